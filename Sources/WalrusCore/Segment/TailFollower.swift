// TailFollower.swift - the newest segment of a log that somebody else writes
//
// Read with pread behind the place up to which it is known, and only frames that verify count: what is half written is not there yet. Its
// bytes are never mapped for readers, since the writer may cut the file short while it is the newest.

/// How far the segment is known.
struct FollowedTail: BitwiseCopyable {
    /// The reference is the table's.
    var segment: SegmentRef
    /// Behind the last frame that was read.
    var point: ScanPoint
    /// Behind the last entry that ends a batch or stands alone: up to here readers see it.
    var lastWhole: ScanPoint
    var isInsideBatch: Bool
    /// The highest index that it declares durable.
    var claim: UInt64
    /// The offset table has room for a file of this size.
    var capacity: UInt64
    /// A cut says where it ends: nothing follows in this file.
    var isEnded: Bool

    /// A tail of which everything up to `point` is read.
    init(_ segment: SegmentRef, at point: ScanPoint, claim: UInt64, capacity: UInt64, isEnded: Bool) {
        self.segment = segment
        self.point = point
        self.lastWhole = point
        self.isInsideBatch = false
        self.claim = claim
        self.capacity = capacity
        self.isEnded = isEnded
    }
}

extension SegmentOpener {
    /// Opens the segment `id` and reads it as far as it goes; `ridden` takes up what its metadata frames say. The reference is the caller's.
    func follow(_ id: UInt64, capacity: UInt64, _ ridden: inout RiddenMetadata) throws(LogError) -> FollowedTail {
        let (file, head) = try openHead(id)
        do throws(LogError) {
            let room = max(capacity, try storage.size(file) &* 2)
            var scan = try SegmentScan(storage: storage, file: file, head: head, capacity: room)
            swap(&scan.ridden, &ridden)
            _ = try scan.run(to: nil)
            swap(&scan.ridden, &ridden)
            let (point, whole, isInsideBatch, claim) = (scan.point, scan.lastWhole, scan.isInsideBatch, scan.claim)
            let segment = try SegmentRef(
                SegmentState(
                    id: id, salt: head.header.salt, format: head.header.format, begin: head.begin, endIndex: whole.index,
                    readableEnd: whole.offset,
                    mapping: nil, file: file, table: scan.table))
            var tail = FollowedTail(segment, at: point, claim: claim, capacity: room, isEnded: false)
            tail.lastWhole = whole
            tail.isInsideBatch = isInsideBatch
            return tail
        } catch {
            storage.close(file)
            throw error.located(in: .segment(id))
        }
    }

    /// Opens the segment that a cut ended. The reference is the caller's.
    func follow(endedBy cut: SegmentEnd) throws(LogError) -> FollowedTail {
        let segment = try open(cut.id, end: cut)
        let highestTime: Int64
        do throws(LogError) {
            highestTime = try self.highestTime(of: segment)
        } catch {
            storage.close(segment.release())
            throw error.located(in: .segment(cut.id))
        }
        let point = ScanPoint(
            index: cut.endIndex, offset: cut.endOffset, digest: cut.digest, run: segment.begin.run, runCount: segment.runCount,
            highestTime: highestTime, highestStamp: segment.begin.highestStamp,
            risingFrom: TableRun.risingFrom(segment.runs, upTo: segment.runCount, segment.begin))
        return FollowedTail(segment, at: point, claim: cut.endIndex &- 1, capacity: 0, isEnded: true)
    }

    /// The highest time of the entries up to the segment's end: that before its last block, or one in it.
    private func highestTime(of segment: SegmentRef) throws(LogError) -> Int64 {
        let count = UInt32(truncatingIfNeeded: segment.endIndex &- segment.baseIndex)
        if count == 0 { return segment.begin.highestTime }
        let file = try storage.open(.segment(segment.id), .read)
        defer { storage.close(file) }
        let head = try Memory(count: format.outlineSize)
        let start = (count - 1) & ~1023
        var highest = try segment.blockStart(of: start, storage: storage).highestTime
        for relative in start..<count {
            let offset = try segment.offset(of: relative, storage: storage)
            // One that is damaged is reported when it is read.
            let got = try storage.read(file, at: offset, into: head.bytes)
            guard let frame = segment.outline(head.bytes.bytes.slice(0, got), at: offset) else { continue }
            highest = max(highest, frame.header.time(in: segment.run(of: relative), format))
        }
        return highest
    }

    /// Reads on. False if the file has outgrown the offset table, and has to be opened anew.
    func extend(_ tail: inout FollowedTail, _ ridden: inout RiddenMetadata) throws(LogError) -> Bool {
        if tail.isEnded { return true }
        let segment = tail.segment
        guard try hasFrame(segment, at: tail.point.offset) else { return true }
        let window = try FrameWindow(storage: storage, file: segment.file, bufferSize: 32 << 10)
        guard window.fileSize <= tail.capacity else { return false }
        guard let table = segment.takeTable() else { throw LogError(.internal, "a followed segment without a table") }
        var scan = SegmentScan(tail, window, table)
        swap(&scan.ridden, &ridden)
        var failure: LogError? = nil
        do throws(LogError) {
            _ = try scan.run(to: nil)
        } catch {
            failure = error.located(in: .segment(segment.id))
        }
        swap(&scan.ridden, &ridden)
        tail.point = scan.point
        tail.lastWhole = scan.lastWhole
        tail.isInsideBatch = scan.isInsideBatch
        tail.claim = scan.claim
        segment.bringBack(scan.table)
        segment.publish(readableEnd: tail.lastWhole.offset)
        segment.publish(endIndex: tail.lastWhole.index)
        if let failure { throw failure }
        return true
    }

    /// Whether what stands behind the known end is no unfinished write, but damage: a frame behind it declares durable what should
    /// stand there.
    func isDamaged(_ tail: FollowedTail) throws(LogError) -> Bool {
        let segment = tail.segment
        let window = try FrameWindow(storage: storage, file: segment.file)
        guard window.nextData(from: tail.point.offset) != nil, let table = segment.takeTable() else { return false }
        var scan = SegmentScan(tail, window, table)
        let behind = Result { () throws(LogError) in try scan.look(behind: tail.point.offset) }
        segment.bringBack(scan.table)
        return try behind.get().claim >= tail.point.index
    }

    /// Whether a frame's header stands at `offset`: the cheapest way to learn that there is nothing new.
    private func hasFrame(_ segment: SegmentRef, at offset: UInt64) throws(LogError) -> Bool {
        var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
        return try unsafe withUnsafeMutableBytesOf(&words) { (buffer) throws(LogError) -> Bool in
            let got = try storage.read(segment.file, at: offset, into: buffer)
            guard got >= 8, format != .binary else {
                return FrameHeader.decode(buffer.bytes.slice(0, got), salt: segment.salt, offset: offset) != nil
            }
            return format.mayBegin(buffer.bytes.u64(0))
        }
    }
}
