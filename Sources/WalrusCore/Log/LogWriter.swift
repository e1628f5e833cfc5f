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
    /// Full segments that wait for their sync, oldest first; each holds a reference and its file.
    var unsynced = CArray<UnsyncedSegment>()
    /// Segment files that are no longer part of the log.
    var dead: CArray<UInt64>
    /// Those that recovery left out and the slots do not yet say are dead.
    var dropped: CArray<UInt64>
    /// No entry was ever appended: the first one may choose its index.
    var isVirgin: Bool

    // ---- Appending

    /// Puts all records and returns the index of the first. They are visible to readers once `publish` was called.
    ///
    /// - Throws: without a trace `.invalid`, `.tooLarge`, `.outOfOrder`, `.noSpace`, `.noMemory`; `.io` when a write failed, and the caller must poison.
    @inline(__always)
    mutating func append<R: Records>(_ records: R, durableIndex: UInt64) throws(WriteFailure) -> UInt64 {
        do throws(LogError) {
            try admit(records, durableIndex: durableIndex)
        } catch {
            throw WriteFailure(error, isHarmless: !tail.hasFailed)
        }
        let first = tail.nextIndex
        do throws(LogError) {
            for i in 0..<records.count {
                let record = try records.record(i)
                try tail.put(
                    record.payload, term: record.term ?? tail.lastTerm, time: record.time, continues: i &+ 1 < records.count,
                    durableIndex: durableIndex)
            }
        } catch {
            throw WriteFailure(error, isHarmless: false)
        }
        isVirgin = false
        return first
    }

    /// Checks everything that can be wrong with the records and makes room for them.
    @inline(__always)
    private mutating func admit<R: Records>(_ records: R, durableIndex: UInt64) throws(LogError) {
        var needed: UInt64 = 0
        var expected = tail.nextIndex
        var run = tail.run
        var term = tail.lastTerm
        var hasNewRun = false
        for i in 0..<records.count {
            let record = try records.record(i)
            if record.payload.count > options.maxEntrySize {
                throw LogError(.tooLarge, "the entry is larger than max_entry_size", index: expected)
            }
            if record.index != 0 && record.index != expected {
                guard isVirgin && i == 0 else {
                    throw LogError(
                        .outOfOrder, "the record's index is not the next one", index: record.index, lastIndex: expected)
                }
                guard record.index <= Limits.highestIndex else {
                    throw LogError(.invalid, "the record's index is above 2^63", index: record.index)
                }
                expected = record.index
            }
            guard expected < .max - 1 else { throw LogError(.tooLarge, "the log has no more indexes") }
            needed &+= UInt64(FrameHeader.frameSize(record.payload.count))
            term = record.term ?? term
            if let time = record.time {
                if term != run.term || run.distance(of: time) >= FrameHeader.timeRange {
                    needed &+= UInt64(FrameHeader.frameSize(Run.payloadSize))
                    run = Run(relativeIndex: 0, term: term, around: time)
                    hasNewRun = true
                }
            } else if term != run.term || hasNewRun {
                needed &+= UInt64(FrameHeader.frameSize(Run.payloadSize))
                run.term = term
                hasNewRun = true
            }
            expected &+= 1
            if needed > Limits.batchSize { throw LogError(.tooLarge, "the batch takes up more than 2 GiB") }
        }
        needed &+= UInt64(TailWriter<S>.controlSize) &+ UInt64(records.count >> 10) &* 32
        let end = tail.endOffset &+ needed
        if tail.isOpen && end <= tail.capacity {
            try tail.reserve(to: end)
        } else {
            try rotate(for: records, needed: needed, durableIndex: durableIndex)
        }
    }

    // ---- Rotation

    /// Begins a new segment that has room for the records. What was the tail is flushed and sealed.
    @inline(never)
    private mutating func rotate<R: Records>(for records: R, needed: UInt64, durableIndex: UInt64) throws(LogError) {
        let first = try records.record(0)
        let time = first.time ?? tail.stamp()
        let baseIndex = isVirgin && first.index != 0 ? first.index : tail.nextIndex
        try segments.reserveSlot()
        try unsynced.reserve(1)
        try tail.flush()
        let begin = BeginPayload(
            baseIndex: baseIndex, epoch: metadata.current.epoch, predecessor: tail.end,
            run: Run(relativeIndex: 0, term: first.term ?? tail.lastTerm, around: time), highestTime: tail.highestTime,
            highestStamp: tail.highestStamp, durableIndex: durableIndex)
        let capacity = max(options.capacity, SegmentHead.end + needed)
        let least = (SegmentHead.end + needed + 4095) & ~4095
        let wanted = options.preallocate ? max(least, min(SegmentHeader.firstFrame + TailWriter<S>.firstStep, capacity)) : least
        var prepared = try stock.take(reservedEnd: wanted)
        var isUsed = false
        defer { if !isUsed { stock.putBack(prepared) } }
        if prepared.reservedEnd < least {
            do throws(LogError) {
                try storage.claim(prepared.file, from: prepared.reservedEnd, to: least)
            } catch { throw error.located(in: .segment(prepared.id)) }
            prepared.reservedEnd = least
        }
        let segment = try makeSegment(prepared, begin, capacity: capacity)
        isUsed = true
        finishTail()
        let slot = SegmentSlot(id: prepared.id, baseIndex: baseIndex, segment: segment)
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
            $0.add(.segment(prepared.id))
            $0.add(" at index ")
            $0.add(baseIndex)
        }
        try tail.begin(segment, file: prepared.file, capacity: capacity, reservedEnd: prepared.reservedEnd)
    }

    private func makeSegment(_ prepared: PreparedSegment, _ begin: BeginPayload, capacity: UInt64) throws(LogError) -> SegmentRef
    {
        var table = try OffsetTable(capacity: capacity)
        table.append(begin.run)
        let mapping = options.zeroCopy ? try storage.map(prepared.file, length: capacity) : nil
        do throws(LogError) {
            return try SegmentRef(
                SegmentState(
                    id: prepared.id, salt: prepared.salt, begin: begin, endIndex: begin.baseIndex,
                    readableEnd: SegmentHeader.firstFrame, mapping: mapping, file: prepared.file, table: table))
        } catch {
            mapping?.unmap()
            throw error
        }
    }

    /// Writes the tail's offset table to where readers will look for it. Where that fails, it is made again from the frames when
    /// it is needed.
    private func finishTail() {
        guard let old = tail.segment else { return }
        if tail.isOpen {
            try? tail.seal()
        } else {
            try? SideFile.write(
                old, end: tail.end, highestTime: tail.highestTime, highestStamp: tail.highestStamp, isClean: false,
                epoch: metadata.current.epoch,
                logID: logID, isDurable: false, storage: storage)
        }
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
