// SideFile.swift - the .idx file: an offset table that cannot stand in its segment's footer
//
// It is kept for the tail across a clean close, and for a segment that was cut. Losing it costs a scan, never data.

enum SideFile {
    /// The side file of a segment with its verified header, or nil if there is none that counts. The caller closes it.
    static func open<S: Storage>(_ id: UInt64, storage: S) throws(LogError) -> (file: FileHandle, header: SideFileHeader)? {
        let file: FileHandle
        do throws(LogError) {
            file = try storage.open(.offsetTable(id), .read)
        } catch {
            if error.code == .notFound { return nil }
            throw error
        }
        do throws(LogError) {
            let buffer = try Memory(count: SideFileHeader.size)
            if try storage.read(file, at: 0, into: buffer.bytes) == SideFileHeader.size,
                let header = SideFileHeader(buffer.bytes.bytes), header.segment == id
            {
                return (file, header)
            }
        } catch {
            storage.close(file)
            throw error
        }
        storage.close(file)
        return nil
    }

    static func exists<S: Storage>(_ id: UInt64, storage: S) throws(LogError) -> Bool {
        do throws(LogError) {
            storage.close(try storage.open(.offsetTable(id), .read))
            return true
        } catch {
            if error.code == .notFound { return false }
            throw error
        }
    }

    /// Writes the side file of a segment whose table is in memory. With `isDurable` it is synced before it gets its name.
    static func write<S: Storage>(
        _ segment: SegmentRef, end: SegmentEnd, highestTime: Int64, highestStamp: Int64, isClean: Bool, epoch: UInt64,
        logID: LogID,
        isDurable: Bool, storage: S
    ) throws(LogError) {
        guard segment.place.isMemory else { return }
        let file = try storage.open(.offsetTableInProgress(segment.id), .create)
        defer { storage.close(file) }
        let header = try Memory(count: SideFileHeader.size)
        try segment.withTable { (table) throws(LogError) in
            let descriptor = table.finish(
                end: end, highestTime: highestTime, highestStamp: highestStamp, tableOffset: UInt64(SideFileHeader.size))
            guard storage.mayGrow(to: UInt64(SideFileHeader.size + descriptor.blocksSize + descriptor.runsSize)) else { return }
            SideFileHeader(
                isClean: isClean, logID: logID, segment: segment.id, salt: segment.salt, baseIndex: segment.baseIndex,
                epoch: epoch, descriptor: descriptor
            ).encode(to: header.bytes)
            try storage.write(
                file, at: 0, header.bytes.bytes, table.blockBytes.slice(0, descriptor.blocksSize))
            try storage.write(
                file, at: UInt64(SideFileHeader.size + descriptor.blocksSize),
                table.runBytes.slice(0, descriptor.runsSize), .empty)
        }
        if isDurable { try storage.sync(file) }
        try storage.rename(.offsetTableInProgress(segment.id), to: .offsetTable(segment.id))
    }

    /// Takes the clean mark away, durably: from now on the log has to be scanned again.
    static func clearCleanMark<S: Storage>(_ id: UInt64, storage: S) throws(LogError) {
        let file = try storage.open(.offsetTable(id), .write)
        defer { storage.close(file) }
        let zeros = try Memory(count: SideFileHeader.size)
        zeros.bytes.zero(0, SideFileHeader.size)
        try storage.write(file, at: 0, zeros.bytes.bytes, .empty)
        try storage.sync(file)
    }
}
