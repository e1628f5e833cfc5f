// Searching.swift - entries by time and by term
//
// Both search first among the segments, by what their begin frames say, and open only the one that it comes down to.
//
// Times: the running maximum of the timestamps never falls. Begin frames and the blocks of the offset tables say what it was
// before them; the rest is told by the headers of one block.
//
// Terms may fall, so they are searched stretch by stretch, from the end: from how far back they never fall is said by the begin frames and,
// within a segment, by its runs.

import Synchronization

extension Log {
    /// The first index at which the running maximum of the timestamps reaches `time`.
    ///
    /// - Throws: `.notFound` if all are earlier.
    public func seekTime(_ time: Int64) throws(LogError) -> UInt64 {
        try checkUsable()
        let found = try unchanged { () throws(LogError) in try seek(time) }
        guard let found else { throw LogError(.notFound, "all entries are earlier than this time") }
        return found
    }

    /// The highest index whose entry has this term.
    ///
    /// - Throws: `.notFound` if none has it.
    public func lastIndexOfTerm(_ term: UInt64) throws(LogError) -> UInt64 {
        try checkUsable()
        let found = try unchanged { () throws(LogError) in try searchTerm(term) }
        guard let found else { throw LogError(.notFound, "no entry has this term") }
        return found
    }

    /// The entries that can be read: [first, end). `hasMore`: behind them are some of which a failed write or sync left nothing known.
    private func readableRange() -> (first: UInt64, end: UInt64, hasMore: Bool) {
        let first = first.load(ordering: .acquiring)
        let next = next.load(ordering: .acquiring)
        let end = commit.isPoisoned ? min(next, commit.durableIndex + 1) : next
        return (first, max(first, end), end < next)
    }

    /// Position of the last of the segments `ids[low...high]` whose begin frame fulfils `condition`, which those from some place on do
    /// not; nil if the first one does not.
    private func lastSegment(
        _ ids: borrowing CArray<UInt64>, _ low: Int, _ high: Int, _ condition: (BeginPayload) -> Bool
    ) throws(LogError) -> Int? {
        var low = low
        var high = high + 1
        let start = low
        // All before `low` fulfil it, none from `high` on does.
        while low < high {
            let middle = (low + high) / 2
            if condition(try begin(of: ids[middle])) { low = middle + 1 } else { high = middle }
        }
        return low > start ? low - 1 : nil
    }

    // ---- By time

    private func seek(_ time: Int64) throws(LogError) -> UInt64? {
        let range = readableRange()
        let found = try seek(time, first: range.first, end: range.end)
        if found == nil && range.hasMore { throw GroupCommit.poisonedError }
        return found
    }

    private func seek(_ time: Int64, first: UInt64, end: UInt64) throws(LogError) -> UInt64? {
        var ids = CArray<UInt64>()
        try segments.copyIDs(to: &ids)
        if first >= end || ids.count == 0 { return nil }
        // The last segment before which all entries are earlier holds the first one that is not.
        guard let position = try lastSegment(ids, 0, ids.count - 1, { $0.highestTime < time }) else { return first }
        let base = try begin(of: ids[position]).baseIndex
        // A segment without entries ends where the log does, or where the next one begins.
        if base >= end { return nil }
        let segment = try pin(base)
        defer { storage.close(segment.release()) }
        let found = try seek(time, in: segment, end: min(end, segment.endIndex))
        return found.map { max($0, first) }
    }

    /// The same in a segment before which all entries are earlier.
    private func seek(_ time: Int64, in segment: SegmentRef, end: UInt64) throws(LogError) -> UInt64? {
        if end <= segment.baseIndex { return nil }
        let count = UInt32(truncatingIfNeeded: end &- segment.baseIndex)
        // All before block `low` are earlier.
        var low: UInt32 = 0
        var high = (count - 1) >> TableBlock.shift
        while low < high {
            let middle = (low + high + 1) / 2
            if try segment.blockStart(of: middle << TableBlock.shift, storage: storage).highestTime < time {
                low = middle
            } else {
                high = middle - 1
            }
        }
        let start = low << TableBlock.shift
        for relative in start..<min(start + UInt32(TableBlock.entries), count) {
            guard let header = try header(of: relative, in: segment) else { continue }
            if header.time(in: segment.run(of: relative), format) >= time { return segment.baseIndex + UInt64(relative) }
        }
        return nil
    }

    // ---- By term

    private func searchTerm(_ term: UInt64) throws(LogError) -> UInt64? {
        let range = readableRange()
        if range.hasMore { throw GroupCommit.poisonedError }
        let first = range.first
        var end = range.end
        var ids = CArray<UInt64>()
        try segments.copyIDs(to: &ids)
        while end > first {
            let from = max(first, try startOfStretch(endingAt: end))
            if let found = try searchTerm(term, ids, from, end) { return found }
            end = from
        }
        return nil
    }

    /// From where on the terms never fall, up to the entry before `end`.
    private func startOfStretch(endingAt end: UInt64) throws(LogError) -> UInt64 {
        if !options.readOnly {
            // The writer knows it of its own end.
            let known = try writer.withLock { $0.tail.nextIndex == end && $0.tail.hasEntries ? $0.tail.risingFrom : 0 }
            if known > 0 { return min(known, end - 1) }
        }
        let segment = try pin(end - 1)
        defer { storage.close(segment.release()) }
        guard end - 1 < segment.endIndex else { throw missing(end - 1) }
        let count = segment.runCount(upTo: UInt32(truncatingIfNeeded: end - 1 - segment.baseIndex))
        return min(TableRun.risingFrom(segment.runs, upTo: count, segment.begin), end - 1)
    }

    private func missing(_ index: UInt64) -> LogError {
        LogError(.corrupt, "the entry's segment is damaged or missing", index: index)
    }

    /// The last entry of this term in [from, end), where terms never fall.
    private func searchTerm(_ term: UInt64, _ ids: borrowing CArray<UInt64>, _ from: UInt64, _ end: UInt64) throws(LogError)
        -> UInt64?
    {
        // Segments that begin within the stretch begin with a term of it; the one that holds its start does not count as beginning in it.
        guard let low = try lastSegment(ids, 0, ids.count - 1, { $0.baseIndex <= from }),
            let high = try lastSegment(ids, low, ids.count - 1, { $0.baseIndex < end })
        else { throw missing(from) }
        let position = low < high ? try lastSegment(ids, low + 1, high, { $0.run.term <= term }) ?? low : low
        let base = try begin(of: ids[position]).baseIndex
        if base < end {
            let segment = try pin(max(base, from))
            defer { storage.close(segment.release()) }
            let start = max(from, segment.baseIndex)
            let stop = min(end, segment.endIndex)
            if start < stop, let found = lastIndex(upTo: term, in: segment, start, stop) {
                return segment.run(of: UInt32(truncatingIfNeeded: found - segment.baseIndex)).term == term ? found : nil
            }
        }
        // A segment may say a lower first term than its first entry has: then it is the entry before that counts.
        guard base > from, base <= end else { return nil }
        let segment = try pin(base - 1)
        defer { storage.close(segment.release()) }
        guard base - 1 < segment.endIndex else { throw missing(base - 1) }
        return segment.run(of: UInt32(truncatingIfNeeded: base - 1 - segment.baseIndex)).term == term ? base - 1 : nil
    }

    /// The last entry of [start, stop), where terms never fall, whose term is not above `term`.
    private func lastIndex(upTo term: UInt64, in segment: SegmentRef, _ start: UInt64, _ stop: UInt64) -> UInt64? {
        var low = start
        var high = stop
        while low < high {
            let middle = low + (high - low) / 2
            if segment.run(of: UInt32(truncatingIfNeeded: middle - segment.baseIndex)).term <= term {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low > start ? low - 1 : nil
    }

    // ---- Headers

    /// The header of an entry's frame; nil where salvage left a gap.
    private func header(of relative: UInt32, in segment: SegmentRef) throws(LogError) -> FrameHeader? {
        let offset = try segment.offset(of: relative, storage: storage)
        if offset == 0 && options.recovery == .salvage { return nil }
        if offset >= segment.readableEnd {
            // Still in the write buffer; or flushed between the two looks, and then it is in the file.
            let buffered = try writer.withLock { (writer) -> FrameHeader? in
                guard writer.tail.segment == segment else { return nil }
                return segment.outline(writer.tail.buffered(at: offset, atMost: format.outlineSize), at: offset)?.header
            }
            if let buffered { return buffered }
        }
        var head = Bytes.empty
        let copy = try Memory(count: segment.mapping == nil ? format.outlineSize : 0)
        if let mapping = segment.mapping {
            let end = Int(truncatingIfNeeded: min(segment.readableEnd, UInt64(mapping.bytes.count)))
            let start = Int(truncatingIfNeeded: offset)
            if start < end { head = mapping.bytes.slice(start, min(format.outlineSize, end - start)) }
        } else {
            do throws(LogError) {
                head = copy.bytes.bytes.slice(0, try storage.read(segment.file, at: offset, into: copy.bytes))
            } catch {
                throw error.located(in: .segment(segment.id))
            }
        }
        guard let header = segment.outline(head, at: offset)?.header, header.type == FrameType.entry,
            header.relativeIndex == relative
        else {
            throw LogError(
                .corrupt, "the entry is damaged; the others can still be read", file: .segment(segment.id), offset: offset,
                index: segment.baseIndex + UInt64(relative))
        }
        return header
    }
}
