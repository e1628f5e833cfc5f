// SegmentOpener.swift - opens a segment that is no longer written, for reading
//
// Its end is known: its successor's begin frame says it, or a cut. The offset table comes from the footer, else from the
// side file, else it is made again from the frames.

struct SegmentOpener<S: Storage> {
    let storage: S
    let logID: LogID
    let format: FrameFormat
    /// Whether reads may lend views of the mapped file.
    let lends: Bool

    /// Opens a segment file and reads its head. The caller closes the file.
    func openHead(_ id: UInt64) throws(LogError) -> (file: FileHandle, head: SegmentHead) {
        let file: FileHandle
        do throws(LogError) {
            file = try storage.open(.segment(id), .read)
        } catch {
            guard error.code == .notFound else { throw error }
            throw LogError(.corrupt, "a segment file is missing; put it back", errno: error.errno, file: .segment(id))
        }
        do throws(LogError) {
            guard let head = try SegmentHead.read(file, id: id, logID: logID, format: format, storage: storage).head else {
                throw LogError(
                    .corrupt, "the segment's first frame is damaged", file: .segment(id), offset: SegmentHeader.firstFrame)
            }
            return (file, head)
        } catch {
            storage.close(file)
            throw error
        }
    }

    /// Opens segment `id`, which ends at `end`. The reference returned is the caller's.
    func open(_ id: UInt64, end: SegmentEnd) throws(LogError) -> SegmentRef {
        let (file, head) = try openHead(id)
        do throws(LogError) {
            let size = try storage.size(file)
            guard end.endOffset <= size, end.endIndex >= head.begin.baseIndex else {
                throw LogError(
                    .corrupt, "the segment file is shorter than the log", file: .segment(id), offset: size,
                    index: head.begin.baseIndex, lastIndex: end.endIndex &- 1)
            }
            if let segment = try openFooter(file, head, end, fileSize: size) { return segment }
            if let segment = try openSideFile(file, head, end) { return segment }
            return try rebuild(file, head, end)
        } catch {
            storage.close(file)
            throw error.located(in: .segment(id))
        }
    }

    private func openFooter(_ file: FileHandle, _ head: SegmentHead, _ end: SegmentEnd, fileSize: UInt64)
        throws(LogError) -> SegmentRef?
    {
        // The other formats have none: it could not be read as what the file holds.
        guard format == .binary else { return nil }
        let frame = try Memory(count: FrameHeader.size + TableDescriptor.size)
        guard try storage.read(file, at: end.endOffset, into: frame.bytes) == frame.bytes.count,
            let (header, _) = FrameHeader.decode(frame.bytes.bytes, salt: head.header.salt, offset: end.endOffset),
            header.type == FrameType.seal, Int(header.length) == TableDescriptor.size
        else { return nil }
        let payload = frame.bytes.bytes.slice(FrameHeader.size, TableDescriptor.size)
        guard payload.checksum() == header.payloadChecksum,
            let descriptor = TableDescriptor(payload, segment: end.id), descriptor.end == end,
            descriptor.tableOffset &+ UInt64(descriptor.blocksSize + descriptor.runsSize) <= fileSize
        else { return nil }
        return try openTable(descriptor, in: file, segmentFile: file, head, end)
    }

    private func openSideFile(_ file: FileHandle, _ head: SegmentHead, _ end: SegmentEnd) throws(LogError) -> SegmentRef? {
        guard let (side, header) = try SideFile.open(end.id, storage: storage) else { return nil }
        defer { storage.close(side) }
        guard header.logID == logID, header.salt == head.header.salt, header.descriptor.end == end,
            header.baseIndex == head.begin.baseIndex,
            header.descriptor.tableOffset &+ UInt64(header.descriptor.blocksSize + header.descriptor.runsSize)
                <= (try storage.size(side))
        else { return nil }
        return try openTable(header.descriptor, in: side, segmentFile: file, head, end)
    }

    /// Whether all blocks of a table verify: a footer is not synced before its segment is used, and may be torn.
    private func isWhole(_ descriptor: TableDescriptor, in file: FileHandle) throws(LogError) -> Bool {
        let block = try Memory(count: TableBlock.size)
        var all: UInt32 = 0
        for i in 0..<Int(descriptor.blockCount) {
            let at = descriptor.tableOffset &+ UInt64(i * TableBlock.size)
            guard try storage.read(file, at: at, into: block.bytes) == TableBlock.size,
                block.bytes.bytes.u32(0) == block.bytes.bytes.slice(4, TableBlock.size - 4).checksum()
            else { return false }
            all = block.bytes.bytes.slice(0, 4).checksum(from: all)
        }
        return all == descriptor.blocksChecksum
    }

    /// A segment whose table lies in `tableFile`, or nil if that does not verify.
    private func openTable(
        _ descriptor: TableDescriptor, in tableFile: FileHandle, segmentFile: FileHandle, _ head: SegmentHead,
        _ end: SegmentEnd
    ) throws(LogError) -> SegmentRef? {
        guard descriptor.blockCount == TableBlock.count(for: end.endIndex &- head.begin.baseIndex) else { return nil }
        let runsAt = descriptor.tableOffset &+ UInt64(descriptor.blocksSize)
        let runs = try Memory(count: descriptor.runsSize)
        guard try storage.read(tableFile, at: runsAt, into: runs.bytes) == descriptor.runsSize,
            runs.bytes.bytes.checksum() == descriptor.runsChecksum, try isWhole(descriptor, in: tableFile)
        else { return nil }
        let isSide = tableFile != segmentFile
        guard lends else {
            // Offsets are read one by one; those of a side file, which is closed again, are rebuilt into memory instead.
            if isSide { return nil }
            let runBytes = runs.bytes.bytes
            return try SegmentRef(
                SegmentState(
                    id: end.id, salt: head.header.salt, format: head.header.format, begin: head.begin, end: end, mapping: nil,
                    sideMapping: nil,
                    file: segmentFile, place: .file(descriptor.tableOffset), runs: runBytes, runMemory: runs,
                    runCount: Int(descriptor.runCount)))
        }
        let tableEnd = runsAt &+ UInt64(descriptor.runsSize)
        let mapping = try storage.map(segmentFile, length: isSide ? end.endOffset : tableEnd)
        var sideMapping: Mapping? = nil
        do throws(LogError) {
            if isSide { sideMapping = try storage.map(tableFile, length: tableEnd) }
            let blocks = (sideMapping ?? mapping).bytes.slice(Int(descriptor.tableOffset), descriptor.blocksSize)
            let runBytes = runs.bytes.bytes
            let segment = try SegmentRef(
                SegmentState(
                    id: end.id, salt: head.header.salt, format: head.header.format, begin: head.begin, end: end, mapping: mapping,
                    sideMapping: sideMapping, file: .none, place: .mapped(blocks), runs: runBytes, runMemory: runs,
                    runCount: Int(descriptor.runCount)))
            storage.close(segmentFile)
            return segment
        } catch {
            mapping.unmap()
            sideMapping?.unmap()
            throw error
        }
    }

    private func rebuild(_ file: FileHandle, _ head: SegmentHead, _ end: SegmentEnd) throws(LogError) -> SegmentRef {
        var scan = try SegmentScan(storage: storage, file: file, head: head, capacity: end.endOffset)
        guard case .atLimit = try scan.run(to: end.endOffset), scan.point.index == end.endIndex,
            scan.point.digest == end.digest
        else {
            throw LogError(
                .corrupt, "the segment is damaged", file: .segment(end.id), offset: scan.point.offset,
                index: scan.point.index, lastIndex: end.endIndex &- 1)
        }
        return try openScanned(file, head, end, scan.table)
    }

    /// Opens segment `id`, whose successor is lost: `next` is what begins the one after that.
    ///
    /// Entries that a cut dropped look as good as any, so the segment's own frames say where it ends only if the log was not
    /// cut since it was begun. Where it was, the side file says it, if it is of that time.
    func openAlone(_ id: UInt64, before next: BeginPayload) throws(LogError) -> SegmentRef {
        let (file, head) = try openHead(id)
        if head.begin.epoch != next.epoch {
            storage.close(file)
            guard let (side, header) = try SideFile.open(id, storage: storage) else { throw lostEnd(id) }
            storage.close(side)
            guard header.logID == logID, header.salt == head.header.salt, header.epoch == next.epoch else { throw lostEnd(id) }
            return try open(id, end: header.descriptor.end)
        }
        do throws(LogError) {
            var scan = try SegmentScan(storage: storage, file: file, head: head, capacity: 0)
            _ = try scan.run(to: nil)
            scan.goBack(to: scan.lastWhole)
            let end = SegmentEnd(
                id: id, endIndex: scan.point.index, endOffset: scan.point.offset, digest: scan.point.digest)
            return try openScanned(file, head, end, scan.table)
        } catch {
            storage.close(file)
            throw error.located(in: .segment(id))
        }
    }

    private func lostEnd(_ id: UInt64) -> LogError {
        LogError(
            .corrupt, "the segment behind this one is missing, and nothing else tells which of its entries were dropped",
            file: .segment(id))
    }

    private func openScanned(_ file: FileHandle, _ head: SegmentHead, _ end: SegmentEnd, _ table: consuming OffsetTable)
        throws(LogError) -> SegmentRef
    {
        let mapping = lends ? try storage.map(file, length: end.endOffset) : nil
        do throws(LogError) {
            let segment = try SegmentRef(
                SegmentState(
                    id: end.id, salt: head.header.salt, format: head.header.format, begin: head.begin, endIndex: end.endIndex,
                    readableEnd: end.endOffset, mapping: mapping, file: lends ? .none : file, table: table))
            if lends { storage.close(file) }
            return segment
        } catch {
            mapping?.unmap()
            throw error
        }
    }
}
