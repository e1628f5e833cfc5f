// SegmentMaker.swift - prepares segment files ahead of need
//
// A file gets its name only when its header and its space are durable, and is used only when its name is. So whatever is
// written into it later needs one sync of the file and nothing else.

/// A file that holds a header and nothing else yet.
struct PreparedSegment: BitwiseCopyable {
    var id: UInt64
    var salt: UInt32
    var file: FileHandle
    var reservedEnd: UInt64
}

struct SegmentMaker<S: Storage> {
    let storage: S
    let logID: LogID
    let format: FrameFormat

    /// Makes segment `id` with space up to `reservedEnd`, less where that much cannot be had.
    func prepare(_ id: UInt64, reservedEnd: UInt64) throws(LogError) -> PreparedSegment {
        let salt = UInt32(truncatingIfNeeded: try storage.random())
        let file = try storage.open(.segmentInProgress(id), .create)
        do throws(LogError) {
            let block = try Memory(count: Int(SegmentHeader.firstFrame))
            SegmentHeader(logID: logID, id: id, salt: salt, created: storage.realtime(), format: format).encode(to: block.bytes)
            var reserved = SegmentHeader.firstFrame
            do throws(LogError) {
                try storage.reserve(file, from: 0, to: max(reservedEnd, reserved))
                reserved = max(reservedEnd, reserved)
            } catch {
                // The tail writer asks again, for no more than it needs, and says so if there is no room.
                guard error.code == .noSpace || error.code == .unsupported else { throw error }
            }
            try storage.write(file, at: 0, block.bytes.bytes, .empty)
            try storage.sync(file)
            try storage.rename(.segmentInProgress(id), to: .segment(id))
            try storage.syncDirectory()
            return PreparedSegment(id: id, salt: salt, file: file, reservedEnd: reserved)
        } catch {
            storage.close(file)
            // Whatever is left has no begin frame and counts for nothing; it is removed now or at the next open.
            try? storage.remove(.segmentInProgress(id))
            try? storage.remove(.segment(id))
            throw error.located(in: .segment(id))
        }
    }
}
