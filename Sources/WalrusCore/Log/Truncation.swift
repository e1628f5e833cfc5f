// Truncation.swift - truncate, truncate front, reset
//
// A cut is a record in the metadata slots: once both are synced it has happened, and nothing of what it dropped can come
// back, since no byte behind a segment's end is ever written again and files above the cut are dead by their ids.
// Everything below the cut is made durable first. All of it runs with the lead.

import Synchronization

extension Log {
    /// Drops every entry after `index`.
    ///
    /// - Throws: `.notFound` above the last index, `.compacted` below the first but one.
    public func truncate(_ index: UInt64) throws(LogError) {
        try checkWritable()
        try checkMayWait()
        try commit.lead { () throws(LogError) in
            try settleWithLead()
            let first = first.load(ordering: .acquiring)
            let next = next.load(ordering: .acquiring)
            if index >= next { throw LogError(.notFound, "there is no entry at this index to truncate to", index: index) }
            if index &+ 1 < first { throw LogError(.compacted, "the entry was truncated away at the front", index: index) }
            if index &+ 1 == next { return }
            if index &+ 1 == first {
                try dropEverything(nextIndex: index + 1)
            } else {
                try syncWithLead()
                try cut(after: index)
            }
        }
        storage.background.request()
    }

    private func cut(after index: UInt64) throws(LogError) {
        let segment = try pin(index)
        var kept = false
        defer { if !kept { storage.close(segment.release()) } }
        let end = try placeAfter(index, in: segment)
        let segmentEnd = SegmentEnd(id: segment.id, endIndex: end.index, endOffset: end.offset, digest: end.digest)
        try writer.withLock { (writer) throws(LogError) in
            if commit.isPoisoned { throw GroupCommit.poisonedError }
            // An append may have come between the sync and this lock: it goes with the rest.
            try writer.dead.reserve(segments.count + 2)
            let (spare, highest) = try stock.clear()
            defer { if let spare { bury(spare, &writer) } }
            do throws(LogError) {
                // Only the newest cut says in the slots which files are dead: those of an earlier one have to go first.
                try writer.finishRemovals()
                let highestStamp = writer.tail.highestStamp
                try writer.metadata.update {
                    $0.epoch += 1
                    $0.cut = segmentEnd
                    $0.cutHighest = highest
                    $0.highestSegment = highest
                    $0.highestStamp = max($0.highestStamp, highestStamp)
                }
            } catch {
                throw poison(error)
            }
            next.store(end.index, ordering: .releasing)
            writer.counts.truncations += 1
            structure.add(1, ordering: .acquiringAndReleasing)
            let tailFile = writer.tail.segment == segment ? writer.tail.file : .none
            dropSegments(above: segment.id, &writer)
            // If it was rotated away meanwhile it waits for a sync that it has had, as far as it still counts.
            dropUnsynced(from: segment.id, &writer)
            // Between pin and here the table may have evicted it, and another reader may have opened it anew.
            var last = segment
            if let open = segments.pinOpen(segment.id) {
                last = open
                storage.close(open.release())
            } else {
                let unwanted = try segments.install(segment)
                kept = unwanted != segment
                if kept, let unwanted { storage.close(unwanted.release()) }
            }
            last.shrink(toEnd: end)
            writer.tail.resume(
                last, file: tailFile, at: end, isOpen: false, capacity: options.capacity, reservedEnd: end.offset)
            structure.add(1, ordering: .acquiringAndReleasing)
            forgetDropped(durable: min(commit.durableIndex, end.index - 1))
        }
    }

    /// The place behind an entry: walks the frames from the nearest place whose digest the table knows.
    private func placeAfter(_ index: UInt64, in segment: SegmentRef) throws(LogError) -> ScanPoint {
        let relative = UInt32(truncatingIfNeeded: index - segment.baseIndex)
        let file = try storage.open(.segment(segment.id), .read)
        defer { storage.close(file) }
        var window = try FrameWindow(storage: storage, file: file)
        var (digest, highestTime) = try segment.blockStart(of: relative, storage: storage)
        var run = segment.run(of: relative & ~1023)
        var offset = try segment.offset(of: relative & ~1023, storage: storage)
        var at = segment.baseIndex + UInt64(relative & ~1023)
        while at <= index {
            let head = try window.bytes(at: offset, FrameHeader.size + Run.payloadSize)
            guard let (header, checksum) = FrameHeader.decode(head, salt: segment.salt, offset: offset),
                UInt64(header.relativeIndex) == at - segment.baseIndex
            else {
                throw LogError(
                    .corrupt, "the segment is damaged where it would be cut", file: .segment(segment.id), offset: offset,
                    index: at)
            }
            if header.type == FrameType.entry {
                run = segment.run(of: header.relativeIndex)
                highestTime = max(highestTime, run.time(at: header.time))
                at += 1
            }
            digest.add(checksum)
            offset += UInt64(header.frameSize)
        }
        return ScanPoint(
            index: index + 1, offset: offset, digest: digest, run: run, runCount: segment.runCount(upTo: relative),
            highestTime: highestTime, highestStamp: .min)
    }

    /// Drops every entry before `index`.
    ///
    /// - Throws: `.notFound` above the next index.
    public func truncateFront(_ index: UInt64) throws(LogError) {
        try checkWritable()
        try checkMayWait()
        try commit.lead { () throws(LogError) in
            try settleWithLead()
            let first = first.load(ordering: .acquiring)
            let next = next.load(ordering: .acquiring)
            if index > next { throw LogError(.notFound, "there is no entry at this index to truncate to", index: index) }
            if index <= first { return }
            if index == next { return try dropEverything(nextIndex: index) }
            // What is dropped must not be missed by a recovery that finds the kept entries.
            if commit.durableIndex < index { try syncWithLead() }
            let segment = try pin(index)
            let lowest = segment.id
            storage.close(segment.release())
            let highest = try stock.highestID()
            try writer.withLock { (writer) throws(LogError) in
                try writer.dead.reserve(segments.count + 2)
                do throws(LogError) {
                    try writer.metadata.update {
                        $0.firstIndex = index
                        $0.lowestSegment = lowest
                        $0.highestSegment = max($0.highestSegment, highest)
                    }
                } catch {
                    throw poison(error)
                }
                self.first.store(index, ordering: .releasing)
                writer.counts.truncations += 1
                structure.add(1, ordering: .acquiringAndReleasing)
                while let slot = try segments.takeOut(atFront: true, if: { slot, _ in slot.id < lowest }) {
                    bury(slot, &writer)
                }
                structure.add(1, ordering: .acquiringAndReleasing)
            }
        }
        storage.background.request()
    }

    /// Drops every entry; the next one gets `nextIndex`.
    public func reset(_ nextIndex: UInt64) throws(LogError) {
        try checkWritable()
        try checkMayWait()
        guard nextIndex >= 1, nextIndex <= Limits.highestIndex else {
            throw LogError(.invalid, "the next index must lie between 1 and 2^63", index: nextIndex)
        }
        try commit.lead { () throws(LogError) in
            try settleWithLead()
            try dropEverything(nextIndex: nextIndex)
        }
        storage.background.request()
    }

    /// With the lead.
    private func dropEverything(nextIndex: UInt64) throws(LogError) {
        try writer.withLock { (writer) throws(LogError) in
            if commit.isPoisoned { throw GroupCommit.poisonedError }
            try writer.dead.reserve(segments.count + 2)
            let (spare, highest) = try stock.clear()
            defer { if let spare { bury(spare, &writer) } }
            let highestStamp = writer.tail.highestStamp
            let lastTerm = writer.tail.lastTerm
            do throws(LogError) {
                try writer.metadata.update {
                    $0.epoch += 1
                    $0.firstIndex = nextIndex
                    $0.lowestSegment = highest + 1
                    $0.highestSegment = highest
                    $0.cut = .none
                    $0.cutHighest = 0
                    $0.highestStamp = max($0.highestStamp, highestStamp)
                    $0.lastTerm = lastTerm
                }
            } catch {
                throw poison(error)
            }
            first.store(nextIndex, ordering: .releasing)
            next.store(nextIndex, ordering: .releasing)
            writer.counts.truncations += 1
            structure.add(1, ordering: .acquiringAndReleasing)
            dropSegments(above: 0, &writer)
            dropUnsynced(from: 0, &writer)
            writer.tail.clear(nextIndex: nextIndex)
            writer.isVirgin = false
            structure.add(1, ordering: .acquiringAndReleasing)
            forgetDropped(durable: nextIndex - 1)
        }
    }

    /// Nobody waits for what a cut dropped. With the writer's lock.
    private func forgetDropped(durable index: UInt64) {
        completions.settleAll()
        commit.forgetWanted()
        setDurable(index)
        if !completions.isEmpty { storage.completer.request() }
    }

    // ---- Segments that are no longer part of the log. The list of dead ones has room for them.

    private func dropSegments(above id: UInt64, _ writer: inout LogWriter<S>) {
        while let slot = try? segments.takeOut(atFront: false, if: { slot, _ in slot.id > id }) { bury(slot, &writer) }
    }

    private func dropUnsynced(from id: UInt64, _ writer: inout LogWriter<S>) {
        while let last = writer.unsynced.last, last.segment.id >= id {
            writer.drop(last.segment, file: last.file)
            writer.unsynced.removeLast(1)
        }
    }

    private func bury(_ slot: SegmentSlot, _ writer: inout LogWriter<S>) {
        if let segment = slot.segment {
            let isTail = writer.tail.segment == segment
            writer.drop(segment, file: isTail ? writer.tail.file : .none)
        }
        try? writer.dead.append(slot.id)
    }

    private func bury(_ spare: PreparedSegment, _ writer: inout LogWriter<S>) {
        storage.close(spare.file)
        try? writer.dead.append(spare.id)
    }
}
