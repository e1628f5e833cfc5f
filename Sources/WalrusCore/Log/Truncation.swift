// Truncation.swift - truncate, truncate front, reset, replace a suffix
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
        defer { storage.close(segment.release()) }
        let end = try placeAfter(index, in: segment)
        try writer.withLock { (writer) throws(LogError) in
            if commit.isPoisoned { throw GroupCommit.poisonedError }
            // An append may have come between the sync and this lock: it goes with the rest.
            try writer.dead.reserve(segments.count + 2)
            try writer.prepareFold()
            let (spare, highest) = try stock.clear()
            defer { if let spare { bury(spare, &writer) } }
            do throws(LogError) {
                // Only the newest cut says in the slots which files are dead: those of an earlier one have to go first.
                try writer.finishRemovals()
                // What rode on the entries that are dropped stays.
                try recordCut(end, in: segment, highest: highest, .foldAll, &writer)
            } catch {
                throw poison(error)
            }
            try dropEntries(behind: end, in: segment, &writer)
            forgetDropped(durable: min(commit.durableIndex, end.index - 1))
        }
        wakeWaiters()
    }

    /// The update of the slots that is the cut. `highest`: the highest id among the segments that it drops.
    private func recordCut(
        _ end: ScanPoint, in segment: SegmentRef, highest: UInt64, _ change: MetadataState.Change, _ writer: inout LogWriter<S>
    ) throws(LogError) {
        let known = try stock.highestID()
        let highestStamp = writer.tail.highestStamp
        try writer.updateFolding(change) {
            $0.epoch += 1
            $0.cut = SegmentEnd(id: segment.id, endIndex: end.index, endOffset: end.offset, digest: end.digest)
            $0.cutHighest = highest
            $0.highestSegment = known
            $0.highestStamp = max($0.highestStamp, highestStamp)
        }
    }

    /// Takes what the slots say is cut off away from readers and writer.
    private func dropEntries(
        behind end: ScanPoint, in segment: SegmentRef, _ writer: inout LogWriter<S>
    ) throws(LogError) {
        lowerBounds(next: end.index)
        writer.counts.truncations += 1
        let tailFile = writer.tail.segment == segment ? writer.tail.file : .none
        // Since it was pinned the table may have evicted it, and another reader may have opened it anew. It is held from here on until it is
        // the last one, which is never evicted: nobody may find the log without it.
        var last = segment
        while true {
            if let open = segments.pinOpen(segment.id) {
                last = open
                break
            }
            segment.retain()
            if let unwanted = try segments.install(segment) { storage.close(unwanted.release()) }
        }
        defer { storage.close(last.release()) }
        dropSegments(above: segment.id, &writer)
        // If it was rotated away meanwhile it waits for a sync that it has had, as far as it still counts.
        dropUnsynced(from: segment.id, &writer)
        last.shrink(toEnd: end)
        // The next rotation cuts its file to where it ends: retention has to ask anew how large that is.
        segments.noteFileSize(of: segment.id, 0)
        writer.tail.resume(
            last, file: tailFile, at: end, isOpen: false, capacity: options.capacity, reservedEnd: end.offset)
        structure.add(1, ordering: .acquiringAndReleasing)
    }

    /// The one place where the next index goes back. Readers that began before look again.
    private func lowerBounds(first: UInt64? = nil, next: UInt64) {
        // In this order whoever sees both bounds of a moment in between sees none that claim more than there was.
        let rises = first ?? 0 > self.first.load(ordering: .relaxed)
        if let first, rises { self.first.store(first, ordering: .releasing) }
        self.next.store(next, ordering: .releasing)
        cursors.cut(at: next)
        if let first, !rises { self.first.store(first, ordering: .releasing) }
        structure.add(1, ordering: .acquiringAndReleasing)
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
            let head = try window.bytes(at: offset, format.outlineSize)
            guard let frame = segment.outline(head, at: offset), UInt64(frame.header.relativeIndex) == at - segment.baseIndex
            else {
                throw LogError(
                    .corrupt, "the segment is damaged where it would be cut", file: .segment(segment.id), offset: offset,
                    index: at)
            }
            if frame.header.type == FrameType.entry {
                run = segment.run(of: frame.header.relativeIndex)
                highestTime = max(highestTime, frame.header.time(in: run, format))
                at += 1
            }
            digest.add(frame.checksum)
            offset += UInt64(frame.frameSize)
        }
        return ScanPoint(
            index: index + 1, offset: offset, digest: digest, run: run, runCount: segment.runCount(upTo: relative),
            highestTime: highestTime, highestStamp: .min,
            risingFrom: TableRun.risingFrom(segment.runs, upTo: segment.runCount(upTo: relative), segment.begin))
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
            try dropFront(index)
        }
        storage.background.request()
    }

    /// With the lead. `index` lies in the log.
    func dropFront(_ index: UInt64) throws(LogError) {
        // What is dropped must not be missed by a recovery that finds the kept entries.
        if commit.durableIndex < index { try syncWithLead() }
        let segment = try pin(index)
        let lowest = segment.id
        storage.close(segment.release())
        let highest = try stock.highestID()
        try writer.withLock { (writer) throws(LogError) in
            try writer.dead.reserve(segments.count + 2)
            try writer.metadata.prepare(recordsSize: writer.metadata.records.count)
            do throws(LogError) {
                try writer.metadata.update {
                    $0.firstIndex = index
                    $0.lowestSegment = lowest
                    $0.highestSegment = max($0.highestSegment, highest)
                }
            } catch {
                throw poison(error)
            }
            first.store(index, ordering: .releasing)
            writer.counts.truncations += 1
            structure.add(1, ordering: .acquiringAndReleasing)
            while let slot = try segments.takeOut(atFront: true, if: { slot, _ in slot.id < lowest }) {
                bury(slot, &writer)
            }
            structure.add(1, ordering: .acquiringAndReleasing)
        }
        wakeWaiters()
    }

    /// Drops every entry from index `from` on and appends `records` in their place, as one step across a crash. Durable when it returns.
    ///
    /// - Throws: `.notFound` above the next index, `.compacted` below the first; as `append`.
    public func replaceSuffix<R: Records>(_ from: UInt64, _ records: R) throws(LogError) {
        try checkWritable()
        try checkMayWait()
        try checkReplaceable(from)
        if records.count == 0 { return try truncate(from - 1) }
        let placed = PlacedRecords(records: records, from: from)
        for i in 0..<placed.count { _ = try placed.record(i) }
        if options.compression == .none { return try replaceSuffix(from, placed: placed) }
        try compressing(placed) { (records) throws(LogError) in try replaceSuffix(from, placed: records) }
    }

    private func replaceSuffix<R: Records>(_ from: UInt64, placed: R) throws(LogError) {
        // Where nothing is dropped an append does it, and needs no segment of its own.
        while from == next.load(ordering: .acquiring) {
            do throws(LogError) {
                try settle()
                return try putAndWait(placed, .durable) { _ in }
            } catch {
                // Another append came first, and is to be replaced.
                guard error.code == .outOfOrder, from != next.load(ordering: .acquiring) else { throw error }
            }
        }
        try commit.lead { () throws(LogError) in
            try settleWithLead()
            // The log may have been cut meanwhile. That nothing may be left to be dropped is no matter.
            try checkReplaceable(from)
            try syncWithLead()
            if from == first.load(ordering: .acquiring) { try replaceEverything(from, placed) } else { try replace(from, placed) }
        }
        storage.background.request()
    }

    private func checkReplaceable(_ from: UInt64) throws(LogError) {
        if from > next.load(ordering: .acquiring) {
            throw LogError(.notFound, "there is no entry at this index to replace", index: from)
        }
        if from < first.load(ordering: .acquiring) {
            throw LogError(.compacted, "the entry was truncated away at the front", index: from)
        }
    }

    /// Keeps what is below `from`. Until the slots are updated the new segment is of an epoch that has not come.
    private func replace<R: Records>(_ from: UInt64, _ records: R) throws(LogError) {
        let segment = try pin(from - 1)
        defer { storage.close(segment.release()) }
        let end = try placeAfter(from - 1, in: segment)
        try writer.withLock { (writer) throws(LogError) in
            var fresh = try prepare(records, from, behind: end, in: segment, &writer)
            guard let new = fresh.segment else { throw LogError(.internal, "a replacement without a segment") }
            do throws(LogError) {
                // As with any cut, the files that an earlier one dropped have to go first.
                try writer.finishRemovals()
                try writer.write(records, to: &fresh)
                try recordCut(end, in: segment, highest: new.id - 1, .setStaged, &writer)
            } catch {
                writer.drop(new, file: fresh.file)
                throw poison(error)
            }
            try dropEntries(behind: end, in: segment, &writer)
            try takeOver(&fresh, new, &writer)
        }
    }

    /// The same from the first index on, where nothing is kept.
    private func replaceEverything<R: Records>(_ from: UInt64, _ records: R) throws(LogError) {
        try writer.withLock { (writer) throws(LogError) in
            var fresh = try prepare(records, from, behind: nil, in: nil, &writer)
            guard let new = fresh.segment else { throw LogError(.internal, "a replacement without a segment") }
            do throws(LogError) {
                try writer.finishRemovals()
                try writer.write(records, to: &fresh)
                try recordEmptying(nextIndex: from, lowest: new.id, .setStaged, &writer)
            } catch {
                writer.drop(new, file: fresh.file)
                throw poison(error)
            }
            dropAllEntries(nextIndex: from, &writer)
            try takeOver(&fresh, new, &writer)
        }
    }

    /// Whatever can fail without a trace.
    private func prepare<R: Records>(
        _ records: R, _ from: UInt64, behind kept: ScanPoint?, in segment: SegmentRef?, _ writer: inout LogWriter<S>
    ) throws(LogError) -> TailWriter<S> {
        if commit.isPoisoned { throw GroupCommit.poisonedError }
        try writer.dead.reserve(segments.count + 2)
        try writer.unsynced.reserve(1)
        try segments.reserveSlot()
        // What is staged comes with the records: the update of the slots that makes them part of the log sets it.
        try writer.prepareFold(.setStaged)
        return try writer.makeReplacement(records, from: from, behind: kept, in: segment)
    }

    private func takeOver(_ fresh: inout TailWriter<S>, _ new: SegmentRef, _ writer: inout LogWriter<S>) throws(LogError) {
        try writer.takeOver(&fresh, new)
        next.store(writer.tail.nextIndex, ordering: .releasing)
        structure.add(1, ordering: .acquiringAndReleasing)
        forgetDropped(durable: writer.tail.nextIndex - 1)
        published.signal()
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
            try dropEverything(nextIndex: nextIndex, movesCursors: true)
        }
        storage.background.request()
    }

    /// With the lead. `movesCursors`: to the next index, wherever they are; else only those that stand above it go back.
    private func dropEverything(nextIndex: UInt64, movesCursors: Bool = false) throws(LogError) {
        try writer.withLock { (writer) throws(LogError) in
            if commit.isPoisoned { throw GroupCommit.poisonedError }
            try writer.dead.reserve(segments.count + 2)
            try writer.prepareFold()
            let (spare, highest) = try stock.clear()
            defer { if let spare { bury(spare, &writer) } }
            do throws(LogError) {
                try recordEmptying(nextIndex: nextIndex, lowest: highest + 1, .foldAll, &writer)
            } catch {
                throw poison(error)
            }
            dropAllEntries(nextIndex: nextIndex, &writer)
            if movesCursors { cursors.reset(to: nextIndex) }
            forgetDropped(durable: nextIndex - 1)
        }
        wakeWaiters()
    }

    /// The update of the slots that drops all segments with ids below `lowest`.
    private func recordEmptying(
        nextIndex: UInt64, lowest: UInt64, _ change: MetadataState.Change, _ writer: inout LogWriter<S>
    ) throws(LogError) {
        let known = try stock.highestID()
        let highestStamp = writer.tail.highestStamp
        let lastTerm = writer.tail.lastTerm
        try writer.updateFolding(change) {
            $0.epoch += 1
            $0.firstIndex = nextIndex
            $0.lowestSegment = lowest
            $0.highestSegment = known
            $0.cut = .none
            $0.cutHighest = 0
            $0.highestStamp = max($0.highestStamp, highestStamp)
            $0.lastTerm = lastTerm
        }
    }

    private func dropAllEntries(nextIndex: UInt64, _ writer: inout LogWriter<S>) {
        lowerBounds(first: nextIndex, next: nextIndex)
        writer.counts.truncations += 1
        dropSegments(above: 0, &writer)
        dropUnsynced(from: 0, &writer)
        writer.tail.clear(nextIndex: nextIndex)
        writer.isVirgin = false
        structure.add(1, ordering: .acquiringAndReleasing)
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
