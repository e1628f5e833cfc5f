// LogWriter.swift - the writing side of a log: the tail, rotation, and what waits to be synced or removed
//
// One of it, behind a mutex. Whoever changes the structure (truncation, recovery's cut, close) holds the lead
// of GroupCommit as well; an append holds the mutex alone.

/// A segment that is full and not known to be durable.
struct UnsyncedSegment: BitwiseCopyable {
    var segment: SegmentRef
    var file: FileHandle
    var endIndex: UInt64
}

struct LogWriter<S: Storage>: ~Copyable {
    let storage: S
    let options: Options
    let logID: LogID
    let segments: SegmentTable
    let stock: SegmentStock<S>
    var metadata: MetadataStore<S>
    var tail: TailWriter<S>
    /// The caller's key-value records.
    var values: MetadataState
    /// Full segments that wait for their sync, oldest first; each holds a reference and its file.
    var unsynced = CArray<UnsyncedSegment>()
    /// Segment files that are no longer part of the log.
    var dead: CArray<UInt64>
    /// Those that recovery left out and the slots do not yet say are dead.
    var dropped: CArray<UInt64>
    /// Background work failed: it is tried again once the log has rotated, not at each append.
    var hasUpkeepFailed = false
    /// The background is to see whether retention drops something.
    var wantsRetention: Bool
    /// No entry was ever appended: the first one may choose its index.
    var isVirgin: Bool
    var counts = WriterCounts()
    var format: FrameFormat { metadata.current.format }

    // ---- Appending

    /// Puts all records and returns the index of the first. They are visible to readers once `publish` was called.
    ///
    /// - Throws: without a trace `.invalid`, `.tooLarge`, `.outOfOrder`, `.noSpace`, `.noMemory`; `.io` when a write failed, and the caller must poison.
    @inline(__always)
    mutating func append<R: Records>(_ records: R, durableIndex: UInt64) throws(WriteFailure) -> UInt64 {
        let first = tail.nextIndex
        if !isVirgin && values.staged.isEmpty,
            let bytes = tail.putPlain(records, largest: options.maxEntrySize, durableIndex: durableIndex)
        {
            counts.noteAppend(records.count, bytes)
            return first
        }
        return try appendAnything(records, durableIndex: durableIndex)
    }

    @inline(never)
    private mutating func appendAnything<R: Records>(_ records: R, durableIndex: UInt64) throws(WriteFailure) -> UInt64 {
        do throws(LogError) {
            try admit(records, durableIndex: durableIndex)
        } catch {
            throw WriteFailure(error, isHarmless: !tail.hasFailed)
        }
        let first = tail.nextIndex
        var bytes: UInt64 = 0
        let hasStaged = !values.staged.isEmpty
        do throws(LogError) {
            if hasStaged { try tail.putMetadata(values.stagedPayload(), continues: true) }
            bytes = try tail.put(all: records, durableIndex: durableIndex)
            if format != .binary { tail.giveRoomBack() }
        } catch {
            throw WriteFailure(error, isHarmless: false)
        }
        isVirgin = false
        counts.noteAppend(records.count, bytes)
        if hasStaged { values.ride(lastIndex: tail.nextIndex &- 1) }
        return first
    }

    /// Checks everything that can be wrong with the records and makes room for them.
    @inline(__always)
    private mutating func admit<R: Records>(_ records: R, durableIndex: UInt64) throws(LogError) {
        try check(records, from: tail.nextIndex)
        if format != .binary { try tail.makeRoom(forFrame: try largestFrame(of: records)) }
        let needed = try space(for: records, behind: tail.run, term: tail.lastTerm)
        let end = tail.endOffset &+ needed
        if tail.isOpen && end <= tail.capacity {
            try tail.reserve(to: end)
        } else {
            try rotate(for: records, durableIndex: durableIndex)
        }
    }

    /// The most bytes that one frame of the records takes up, if any is larger than the write buffer: memory for it is had before
    /// anything is put.
    @inline(never)
    private func largestFrame<R: Records>(of records: R) throws(LogError) -> Int {
        var largest = values.staged.isEmpty ? 0 : format.mostBytes(values.stagedPayload().count)
        for i in 0..<records.count {
            let payload = try records.record(i).stored(format)
            if payload.count > options.bufferSize / 4 { largest = max(largest, format.mostBytes(for: payload)) }
        }
        return largest
    }

    /// Checks sizes and indexes; the first record is to get `next`.
    @inline(__always)
    private func check<R: Records>(_ records: R, from next: UInt64) throws(LogError) {
        var expected = next
        for i in 0..<records.count {
            let record = try records.record(i)
            if record.payload.count > options.maxEntrySize {
                throw LogError(.tooLarge, "the entry is larger than max_entry_size", index: expected)
            }
            if record.index != 0 && record.index != expected { expected = try firstIndex(record.index, i, expected) }
            guard expected < .max - 1 else { throw LogError(.tooLarge, "the log has no more indexes") }
            expected &+= 1
        }
    }

    /// The index that a record names although it is not the next one: allowed for the very first entry alone.
    @inline(never)
    private func firstIndex(_ index: UInt64, _ i: Int, _ expected: UInt64) throws(LogError) -> UInt64 {
        guard isVirgin && i == 0 else {
            throw LogError(.outOfOrder, "the record's index is not the next one", index: index, lastIndex: expected)
        }
        guard index <= Limits.highestIndex else { throw LogError(.invalid, "the record's index is above 2^63", index: index) }
        return index
    }

    /// The most bytes that the records' frames can take up behind a run, control frames included.
    @inline(__always)
    private func space<R: Records>(for records: R, behind first: Run, term last: UInt64) throws(LogError) -> UInt64 {
        // What a binary frame takes up is then plain arithmetic.
        if format == .binary { return try space(for: records, behind: first, term: last, in: .binary) }
        return try spelledSpace(for: records, behind: first, term: last)
    }

    @inline(never)
    private func spelledSpace<R: Records>(for records: R, behind first: Run, term last: UInt64) throws(LogError) -> UInt64 {
        try space(for: records, behind: first, term: last, in: format)
    }

    @inline(__always)
    private func space<R: Records>(for records: R, behind first: Run, term last: UInt64, in format: FrameFormat)
        throws(LogError) -> UInt64
    {
        let runSize = UInt64(format.mostBytes(Run.payloadSize))
        var needed: UInt64 = 0
        var run = first
        var term = last
        var hasNewRun = false
        var wasStamped = false
        for i in 0..<records.count {
            let record = try records.record(i)
            needed &+= UInt64(format.mostBytes(for: record.stored(format)))
            term = record.term ?? term
            // What a stamp will be is not known yet, so each change between given times and stamps may cost a run.
            if let time = record.time {
                if term != run.term || wasStamped || run.distance(of: time) >= FrameHeader.timeRange {
                    needed &+= runSize
                    run = Run(relativeIndex: 0, term: term, around: time)
                    hasNewRun = true
                }
                wasStamped = false
            } else {
                if term != run.term || hasNewRun || (i > 0 && !wasStamped) {
                    needed &+= runSize
                    run.term = term
                    hasNewRun = true
                }
                wasStamped = true
            }
            if needed > Limits.batchSize { throw LogError(.tooLarge, "the batch takes up more than 2 GiB") }
        }
        if !values.staged.isEmpty { needed &+= UInt64(format.mostBytes(values.stagedPayload().count)) }
        return needed &+ runSize &+ UInt64(format.mostBytes(8)) &+ UInt64(records.count >> 10 &+ 1) &* 32 &+ 2
            &* options.syncPadding
    }

    // ---- Rotation

    /// Begins a new segment that has room for the records. What was the tail is flushed and sealed.
    @inline(never)
    private mutating func rotate<R: Records>(for records: R, durableIndex: UInt64) throws(LogError) {
        let first = try records.record(0)
        let run = Run(relativeIndex: 0, term: first.term ?? tail.lastTerm, around: first.time ?? tail.stamp())
        let needed = try space(for: records, behind: run, term: run.term)
        let baseIndex = isVirgin && first.index != 0 ? first.index : tail.nextIndex
        try rotate(at: baseIndex, run, needed: needed, durableIndex: durableIndex)
    }

    /// Begins a new segment that has no entry yet, so that the old one will not change any more.
    mutating func rotate(durableIndex: UInt64) throws(LogError) {
        let run = Run(relativeIndex: 0, term: tail.lastTerm, around: tail.stamp())
        try rotate(at: tail.nextIndex, run, needed: 0, durableIndex: durableIndex)
        try tail.flush()
    }

    private mutating func rotate(at baseIndex: UInt64, _ run: Run, needed: UInt64, durableIndex: UInt64) throws(LogError) {
        try segments.reserveSlot()
        try unsynced.reserve(1)
        // What proves all entries below an index durable does not prove it of a segment that has none, and later ones name it.
        if tail.hasEntries { try tail.flush() } else { try tail.sync(padding: options.syncPadding) }
        values.gatherRides()
        let repeated = values.repeatedSequence > 0 ? values.repeatedPayload() : .empty
        try tail.makeRoom(forFrame: format.mostBytes(repeated.count))
        let new = try makeSegment(
            BeginPayload(
                baseIndex: baseIndex, epoch: metadata.current.epoch, predecessor: tail.end, run: run,
                highestTime: tail.highestTime, highestStamp: tail.highestStamp, durableIndex: durableIndex,
                risingFrom: tail.segment == nil || run.term < tail.lastTerm ? baseIndex : tail.risingFrom,
                metadataSequence: values.repeatedSequence),
            needed: needed + UInt64(repeated.count > 0 ? format.mostBytes(repeated.count) : 0))
        stock.begun()
        try retireTail(for: new.segment)
        tail.begin(new)
        // What the slots do not have yet must be in the last segment.
        if repeated.count > 0 { try tail.putMetadata(repeated, continues: false) }
    }

    /// A file with room for `needed` bytes of frames behind its begin frame. Where that fails, the log is as it was.
    private func makeSegment(_ begin: BeginPayload, needed: UInt64) throws(LogError) -> NewSegment {
        let start = SegmentHeader.firstFrame + UInt64(format.mostBytes(BeginPayload.size))
        let capacity = max(options.capacity, start + needed)
        let least = (start + needed + 4095) & ~4095
        let wanted = options.preallocate ? max(least, min(SegmentHeader.firstFrame + options.reserveStep, capacity)) : least
        var prepared = try stock.take(reservedEnd: wanted)
        do throws(LogError) {
            if prepared.reservedEnd < least {
                do throws(LogError) {
                    try storage.claim(prepared.file, from: prepared.reservedEnd, to: least)
                } catch { throw error.located(in: .segment(prepared.id)) }
                prepared.reservedEnd = least
            }
            let segment = try makeReference(prepared, begin, capacity: capacity)
            return NewSegment(prepared: prepared, segment: segment, capacity: capacity)
        } catch {
            stock.putBack(prepared)
            throw error
        }
    }

    private func makeReference(_ prepared: PreparedSegment, _ begin: BeginPayload, capacity: UInt64) throws(LogError)
        -> SegmentRef
    {
        var table = try OffsetTable(capacity: capacity)
        table.append(begin.run)
        let mapping = options.zeroCopy ? try storage.map(prepared.file, length: capacity) : nil
        do throws(LogError) {
            return try SegmentRef(
                SegmentState(
                    id: prepared.id, salt: prepared.salt, format: metadata.current.format, begin: begin,
                    endIndex: begin.baseIndex,
                    readableEnd: SegmentHeader.firstFrame, mapping: mapping, file: prepared.file, table: table))
        } catch {
            mapping?.unmap()
            throw error
        }
    }

    /// Ends the tail and puts a new segment behind it into the table, which has room for it, as has the list of the unsynced.
    private mutating func retireTail(for new: SegmentRef) throws(LogError) {
        hasUpkeepFailed = false
        wantsRetention = options.hasRetention
        finishTail()
        let slot = SegmentSlot(id: new.id, baseIndex: new.baseIndex, segment: new)
        if let old = try segments.append(slot, detaching: tail.segment?.id) {
            // Its sync is left to whoever syncs next.
            if tail.file.isOpen {
                try unsynced.append(UnsyncedSegment(segment: old, file: tail.file, endIndex: tail.nextIndex))
            } else {
                storage.close(old.release())
            }
        }
        options.diagnostics.log(.debug) {
            $0.add("rotated to ")
            $0.add(.segment(new.id))
            $0.add(" at index ")
            $0.add(new.baseIndex)
        }
    }

    // ---- Replacing a suffix

    /// A tail that holds `records` from index `from` on and is not part of the log yet: its segment bears the next epoch. Nothing was
    /// written for it.
    func makeReplacement<R: Records>(_ records: R, from: UInt64, behind kept: ScanPoint?, in segment: SegmentRef?)
        throws(LogError)
        -> TailWriter<S>
    {
        try check(records, from: from)
        let lastTerm = kept?.run.term ?? tail.lastTerm
        var fresh = try TailWriter(
            storage: storage, format: format, bufferSize: options.bufferSize, reserveStep: options.reserveStep, nextIndex: from,
            highestStamp: tail.highestStamp, lastTerm: lastTerm)
        if format != .binary { try fresh.makeRoom(forFrame: try largestFrame(of: records)) }
        let first = try records.record(0)
        let run = Run(relativeIndex: 0, term: first.term ?? lastTerm, around: first.time ?? fresh.stamp())
        var predecessor = SegmentEnd.none
        if let kept, let segment {
            predecessor = SegmentEnd(id: segment.id, endIndex: kept.index, endOffset: kept.offset, digest: kept.digest)
        }
        let new = try makeSegment(
            BeginPayload(
                baseIndex: from, epoch: metadata.current.epoch + 1, predecessor: predecessor, run: run,
                highestTime: kept?.highestTime ?? .min, highestStamp: fresh.highestStamp, durableIndex: from - 1,
                risingFrom: run.term < lastTerm ? from : kept?.risingFrom ?? from),
            needed: try space(for: records, behind: run, term: run.term))
        fresh.begin(new)
        return fresh
    }

    /// Writes a replacement's records and makes them durable.
    mutating func write<R: Records>(_ records: R, to fresh: inout TailWriter<S>) throws(LogError) {
        // No entry of it is said to be durable: that is how it is known for what it is, as long as the slots do not say more.
        let bytes = try fresh.put(all: records, durableIndex: fresh.nextIndex - 1)
        try fresh.sync(padding: options.syncPadding)
        counts.noteAppend(records.count, bytes)
    }

    /// Puts a replacement, which the slots speak of by now, in the place of the tail.
    mutating func takeOver(_ fresh: inout TailWriter<S>, _ new: SegmentRef) throws(LogError) {
        stock.begun()
        fresh.publish()
        try retireTail(for: new)
        fresh.count(from: tail)
        swap(&tail, &fresh)
        isVirgin = false
    }

    /// Writes the tail's offset table to where readers will look for it. Where that fails, it is made again from the frames when
    /// it is needed.
    private mutating func finishTail() {
        guard let old = tail.segment else { return }
        counts.rotations += 1
        if format != .binary { cutToEnd(old) }
        if tail.isOpen && format == .binary {
            try? tail.seal()
        } else {
            try? SideFile.write(
                old, end: tail.end, highestTime: tail.highestTime, highestStamp: tail.highestStamp, isClean: false,
                epoch: metadata.current.epoch,
                logID: logID, isDurable: false, storage: storage)
        }
    }

    /// The file of a format that people can read holds nothing but what counts. Bytes behind a logical end are never written again, but they may go.
    func cutToEnd(_ segment: SegmentRef) {
        guard let file = try? storage.open(.segment(segment.id), .write) else { return }
        // With padding, the block in which a recovered tail ends may hold what is acknowledged, and a cut within it writes it again.
        let block = tail.isOpen ? 1 : max(options.syncPadding, 1)
        try? storage.truncate(file, to: (tail.endOffset + block - 1) / block * block)
        storage.close(file)
    }

    // ---- Giving up segments

    /// Closes what a segment that is dropped still holds, and gives the reference back.
    func drop(_ segment: SegmentRef, file: FileHandle) {
        if file.isOpen {
            // Without a mapping somebody may be reading through the file: then the last reference closes it.
            if segment.mapping != nil {
                segment.forgetFile()
                storage.close(file)
                _ = segment.release()
            } else {
                storage.close(segment.release())
            }
        } else {
            storage.close(segment.release())
        }
    }

    /// Removes the files of segments that are no longer part of the log, durably.
    mutating func finishRemovals() throws(LogError) {
        guard dead.count > 0 else { return }
        for i in 0..<dead.count {
            try storage.remove(.segment(dead[i]))
            try storage.remove(.offsetTable(dead[i]))
        }
        try storage.syncDirectory()
        counts.segmentsRemoved += UInt64(dead.count)
        dead.removeLast(dead.count)
    }

    /// Forgets the first `count` unsynced segments.
    mutating func forgetUnsynced(_ count: Int) {
        for i in 0..<count { drop(unsynced[i].segment, file: unsynced[i].file) }
        unsynced.removeFirst(count)
    }
}

/// A failed append: did anything reach the log?
struct WriteFailure: Error {
    var error: LogError
    /// Nothing was written, and the log goes on as if the call had not been made.
    var isHarmless: Bool
    init(_ error: LogError, isHarmless: Bool) {
        self.error = error
        self.isHarmless = isHarmless
    }
}
