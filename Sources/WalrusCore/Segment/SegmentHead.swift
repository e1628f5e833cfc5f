// SegmentHead.swift - opening a segment file: header and begin frame

struct SegmentHead {
    /// Bytes of a file that hold its header and its begin frame, whatever its format.
    private static var most: Int { Int(SegmentHeader.firstFrame) + 2048 }

    var header: SegmentHeader
    var begin: BeginPayload
    var beginChecksum: UInt32
    /// Where the begin frame ends.
    var end: UInt64

    /// The head of a segment whose header is damaged elsewhere than in its salt: its begin frame verifies nevertheless.
    static func readPastDamage<S: Storage>(
        _ file: FileHandle, id: UInt64, logID: LogID, format: FrameFormat, storage: S
    ) throws(LogError) -> SegmentHead? {
        // The other formats have no place for it.
        guard format == .binary else { return nil }
        let buffer = try Memory(count: most)
        let got = try storage.read(file, at: 0, into: buffer.bytes)
        let first = Int(SegmentHeader.firstFrame)
        guard got > first else { return nil }
        // A good header says that the file belongs elsewhere: what counts of its frames is told there, not here.
        let isGood = (try? SegmentHeader.decode(buffer.bytes.bytes.slice(0, first), file: .segment(id))) != nil
        if isGood { return nil }
        let header = SegmentHeader(logID: logID, id: id, salt: SegmentHeader.salt(in: buffer.bytes.bytes), created: 0)
        return try decodeBegin(buffer.bytes.bytes.slice(0, got), header)
    }

    /// What a segment file starts with; its begin frame is nil if there is no good one.
    ///
    /// - Throws: `.corrupt` for a damaged header, which was synced before the file had its name; `.version`, `.io`.
    static func read<S: Storage>(_ file: FileHandle, id: UInt64, logID: LogID, format: FrameFormat, storage: S) throws(LogError)
        -> (header: SegmentHeader, head: SegmentHead?)
    {
        let buffer = try Memory(count: most)
        let got: Int
        do throws(LogError) {
            got = try storage.read(file, at: 0, into: buffer.bytes)
        } catch {
            throw error.located(in: .segment(id))
        }
        let first = Int(SegmentHeader.firstFrame)
        let header = try SegmentHeader.decode(buffer.bytes.bytes.slice(0, min(got, first)), file: .segment(id))
        guard header.id == id, header.logID == logID, header.format == format else {
            throw LogError(
                .corrupt, "the segment belongs to another log, or has another segment's name; put the right file back",
                file: .segment(id))
        }
        return (header, got > first ? try decodeBegin(buffer.bytes.bytes.slice(0, got), header) : nil)
    }

    private static func decodeBegin(_ bytes: Bytes, _ header: SegmentHeader) throws(LogError) -> SegmentHead? {
        let first = Int(SegmentHeader.firstFrame)
        let frame = bytes.slice(first, bytes.count - first)
        guard
            let outline = header.format.outline(
                frame.slice(0, min(frame.count, header.format.outlineSize)), salt: header.salt, offset: UInt64(first),
                baseIndex: nil),
            outline.header.type == FrameType.begin, outline.header.relativeIndex == 0, outline.verifies(frame)
        else { return nil }
        let payload = try Memory(count: max(BeginPayload.size, Int(outline.header.length)))
        guard header.format.decodeBody(outline, outline.body(frame), to: payload.bytes) == BeginPayload.size,
            let begin = BeginPayload(payload.bytes.bytes.slice(0, BeginPayload.size)),
            header.format == .binary || outline.header.index == begin.baseIndex
        else { return nil }
        return SegmentHead(
            header: header, begin: begin, beginChecksum: outline.checksum,
            end: SegmentHeader.firstFrame + UInt64(outline.frameSize))
    }
}

extension LogError {
    /// The same error, with the file filled in where it was not known.
    func located(in file: FileName) -> LogError {
        var error = self
        if error.file == nil { error.file = file }
        return error
    }
}
