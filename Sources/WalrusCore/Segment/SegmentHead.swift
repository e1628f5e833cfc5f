// SegmentHead.swift - opening a segment file: header and begin frame

struct SegmentHead {
    /// Where the begin frame ends.
    static var end: UInt64 {
        SegmentHeader.firstFrame + UInt64(FrameHeader.frameSize(BeginPayload.size))
    }

    var header: SegmentHeader
    var begin: BeginPayload
    var beginChecksum: UInt32

    /// The head of a segment whose header is damaged elsewhere than in its salt: its begin frame verifies nevertheless.
    static func readPastDamage<S: Storage>(_ file: FileHandle, id: UInt64, logID: LogID, storage: S) throws(LogError)
        -> SegmentHead?
    {
        let buffer = try Memory(count: Int(end))
        guard try storage.read(file, at: 0, into: buffer.bytes) == Int(end) else { return nil }
        let header = SegmentHeader(logID: logID, id: id, salt: SegmentHeader.salt(in: buffer.bytes.bytes), created: 0)
        return decodeBegin(buffer.bytes.bytes, header)
    }

    /// What a segment file starts with; its begin frame is nil if there is no good one.
    ///
    /// - Throws: `.corrupt` for a damaged header, which was synced before the file had its name; `.version`, `.io`.
    static func read<S: Storage>(_ file: FileHandle, id: UInt64, logID: LogID, storage: S) throws(LogError) -> (
        header: SegmentHeader, head: SegmentHead?
    ) {
        let buffer = try Memory(count: Int(end))
        let got: Int
        do throws(LogError) {
            got = try storage.read(file, at: 0, into: buffer.bytes)
        } catch {
            throw error.located(in: .segment(id))
        }
        let header = try SegmentHeader(buffer.bytes.bytes.slice(0, min(got, SegmentHeader.size)), file: .segment(id))
        guard header.id == id, header.logID == logID else {
            throw LogError(
                .corrupt, "the segment belongs to another log, or has another segment's name; put the right file back",
                file: .segment(id))
        }
        return (header, got == Int(end) ? decodeBegin(buffer.bytes.bytes, header) : nil)
    }

    private static func decodeBegin(_ bytes: Bytes, _ header: SegmentHeader) -> SegmentHead? {
        let first = Int(SegmentHeader.firstFrame)
        let payload = bytes.slice(first + FrameHeader.size, BeginPayload.size)
        guard
            let (frame, checksum) = FrameHeader.decode(
                bytes.slice(first, FrameHeader.size), salt: header.salt, offset: UInt64(first)),
            frame.type == FrameType.begin, Int(frame.length) == BeginPayload.size, frame.relativeIndex == 0,
            frame.payloadChecksum == payload.checksum(), let begin = BeginPayload(payload)
        else { return nil }
        return SegmentHead(header: header, begin: begin, beginChecksum: checksum)
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
