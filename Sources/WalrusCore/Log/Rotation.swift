// Rotation.swift - rotation on demand, and what is told of the segments

import CWalrusPlatform
import Synchronization

/// One segment of the log, as it was at a moment.
public struct SegmentInfo: BitwiseCopyable, Sendable {
    public var id: UInt64
    /// Of its entries that are in the log.
    public var firstIndex: UInt64
    /// One above its last entry's.
    public var endIndex: UInt64
    /// Bytes of its frames, from the file's start.
    public var bytes: UInt64
    public var fileBytes: UInt64
    /// No entry up to its end has a later time.
    public var highestTime: Int64
    public var isTail: Bool
}

extension Log {
    /// Ends the tail and begins a new segment, unless the tail has no entries.
    ///
    /// - Throws: `.noSpace`, `.noMemory`: nothing was done. `.io`.
    public func rotate() throws(LogError) {
        try checkWritable()
        try settle()
        try writer.withLock { (writer) throws(LogError) in
            if commit.isPoisoned { throw GroupCommit.poisonedError }
            if commit.isClosed { throw GroupCommit.closedError }
            guard writer.tail.hasEntries else { return }
            do throws(LogError) {
                try writer.rotate(durableIndex: commit.durableIndex)
            } catch {
                throw writer.tail.hasFailed ? poison(error) : error
            }
            if writer.wantsUpkeep { storage.background.request() }
        }
    }

    /// Calls `visit` for each segment that the log had at the call, oldest first, until it answers false. Segments that were dropped
    /// meanwhile are left out. No lock is held during a visit.
    public func forEachSegment(_ visit: (SegmentInfo) -> Bool) throws(LogError) {
        try checkUsable()
        var infos = CArray<SegmentInfo>()
        try unchanged { () throws(LogError) in try gather(&infos) }
        for i in 0..<infos.count where segments.has(infos[i].id) {
            if !visit(infos[i]) { return }
        }
    }

    /// Runs `body`, which looks at several things that belong together, until no truncation came between.
    func unchanged<Result>(_ body: () throws(LogError) -> Result) throws(LogError) -> Result {
        while true {
            try catchUp(to: .max)
            let structure = structure.load(ordering: .acquiring)
            do throws(LogError) {
                let result = try body()
                if structure == self.structure.load(ordering: .acquiring) { return result }
            } catch {
                // Beside a truncation anything may look wrong; without one, it is.
                try lookAgain()
                if structure == self.structure.load(ordering: .acquiring) { throw error }
            }
            try checkUsable()
        }
    }

    private func gather(_ infos: inout CArray<SegmentInfo>) throws(LogError) {
        infos.removeLast(infos.count)
        let first = first.load(ordering: .acquiring)
        var ids = CArray<UInt64>()
        let last: SegmentInfo?
        if let following {
            last = try following.state.withLock { (state) throws(LogError) in
                try segments.copyIDs(to: &ids)
                return state.tailInfo
            }
        } else {
            // With the writer held back, its tail is the last of the table.
            last = try writer.withLock { (writer) throws(LogError) -> SegmentInfo? in
                try segments.copyIDs(to: &ids)
                return writer.tailInfo
            }
        }
        if ids.count == 0 { return }
        var begin = try begin(of: ids[0])
        for i in 0..<ids.count {
            var info: SegmentInfo
            if let last, last.id == ids[i] {
                info = last
            } else {
                guard i + 1 < ids.count else { return }
                let successor = try self.begin(of: ids[i + 1])
                let end = try end(of: ids[i], begin, before: successor)
                info = SegmentInfo(
                    id: ids[i], firstIndex: begin.baseIndex, endIndex: end.endIndex, bytes: end.endOffset, fileBytes: 0,
                    highestTime: successor.highestTime, isTail: false)
                begin = successor
            }
            info.firstIndex = max(info.firstIndex, first)
            info.fileBytes = try fileSize(of: ids[i])
            try infos.append(info)
        }
    }

    /// Where a segment ends. A salvaged log may have lost the one behind it, so that the next one speaks of another.
    private func end(of id: UInt64, _ begin: BeginPayload, before next: BeginPayload) throws(LogError) -> SegmentEnd {
        if next.predecessor.id == id { return next.predecessor }
        do throws(LogError) {
            guard options.recovery == .salvage else {
                throw LogError(.corrupt, "a segment file is missing; put it back", file: .segment(next.predecessor.id))
            }
            let opener = SegmentOpener(storage: storage, logID: logID, format: format, lends: false)
            let segment = try opener.openAlone(id, before: next)
            defer { storage.close(segment.release()) }
            return SegmentEnd(id: id, endIndex: segment.endIndex, endOffset: segment.readableEnd, digest: Digest())
        } catch {
            // Nothing can be read of it then.
            guard error.code == .corrupt, options.recovery == .salvage else { throw error }
            return SegmentEnd(id: id, endIndex: begin.baseIndex, endOffset: 0, digest: Digest())
        }
    }

    /// A live segment's begin frame, without opening the segment.
    func begin(of id: UInt64) throws(LogError) -> BeginPayload {
        if let open = segments.pinOpen(id) {
            defer { storage.close(open.release()) }
            return open.begin
        }
        let (file, head) = try SegmentOpener(storage: storage, logID: logID, format: format, lends: false).openHead(id)
        storage.close(file)
        return head.begin
    }

    func fileSize(of id: UInt64) throws(LogError) -> UInt64 {
        do throws(LogError) {
            let file = try storage.open(.segment(id), .read)
            defer { storage.close(file) }
            return try storage.size(file)
        } catch {
            throw error.located(in: .segment(id))
        }
    }
}

extension LogWriter {
    /// The tail as it is now; its file's size is left open.
    var tailInfo: SegmentInfo? {
        guard let segment = tail.segment else { return nil }
        return SegmentInfo(
            id: segment.id, firstIndex: segment.baseIndex, endIndex: tail.nextIndex, bytes: tail.endOffset, fileBytes: 0,
            highestTime: tail.highestTime, isTail: true)
    }
}
