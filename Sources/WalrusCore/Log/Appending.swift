// Appending.swift - append, and making what was appended durable

import Synchronization

extension Log {
    /// Appends records as one batch and returns once `policy` is fulfilled (nil: the log's own). `assigned` is told the first one's index as soon
    /// as it has one, and may not call the log.
    ///
    /// - Throws: `.tooLarge`, `.outOfOrder`, `.invalid`, `.noSpace`, `.noMemory`, `.busy`: certainly not in the log. `.canceled`: in the log.
    ///   `.io`, `.poisoned`, `.closed`: the next open tells.
    @inline(__always)
    public func append<R: Records>(_ records: R, _ policy: Policy? = nil, assigned: (UInt64) -> Void) throws(LogError) {
        try checkWritable()
        let policy = policy ?? options.sync
        if policy == .durable { try checkMayWait() }
        try settle()
        if records.count == 0 { return assigned(next.load(ordering: .acquiring)) }
        if options.compression == .none { return try putAndWait(records, policy, assigned: assigned) }
        try compressing(records) { (records) throws(LogError) in try putAndWait(records, policy, assigned: assigned) }
    }

    @inline(__always)
    func putAndWait<R: Records>(_ records: R, _ policy: Policy, assigned: (UInt64) -> Void) throws(LogError) {
        let (last, isBehind) = try put(records, policy, assigned: assigned)
        if policy == .durable || (isBehind && !callbacks.isInside(.completion)) { try waitDurable(last) }
    }

    /// The same, for callers that need the index alone.
    public func append<R: Records>(_ records: R, _ policy: Policy? = nil) throws(LogError) -> UInt64 {
        var first: UInt64 = 0
        try append(records, policy) { first = $0 }
        return first
    }

    /// Puts records into the log, visible to readers, and returns the last one's index. `isBehind`: so much waits to be synced that
    /// the caller should wait for it.
    @inline(__always)
    private func put<R: Records>(_ records: R, _ policy: Policy, assigned: (UInt64) -> Void) throws(LogError) -> (
        last: UInt64, isBehind: Bool
    ) {
        let result = try writer.withLock { (writer) throws(LogError) -> (UInt64, Bool) in
            if commit.isPoisoned { throw GroupCommit.poisonedError }
            if commit.isClosed { throw GroupCommit.closedError }
            let wasVirgin = writer.isVirgin
            let first: UInt64
            do throws(WriteFailure) {
                first = try writer.append(records, durableIndex: commit.durableIndex)
            } catch {
                throw error.isHarmless ? error.error : poison(error.error)
            }
            if policy == .system || policy == .interval {
                do throws(LogError) {
                    try writer.tail.flush()
                } catch {
                    throw poison(error)
                }
            }
            assigned(first)
            if wasVirgin {
                self.first.store(first, ordering: .releasing)
                // Who waits at the beginning waits for the first entry, whichever index it chose.
                if first != 1 { cursors.reset(to: first) }
            }
            writer.tail.publish()
            let end = writer.tail.nextIndex
            next.store(end, ordering: .releasing)
            if writer.wantsUpkeep { storage.background.request() }
            if options.sync == .interval && policy != .durable { scheduleSync(&writer) }
            return (end &- 1, writer.unsynced.count > Log.mostUnsynced)
        }
        published.signal()
        return result
    }

    /// Full segments that may wait for their sync, before an append syncs them itself.
    private static var mostUnsynced: Int { 64 }

    /// With sync=interval: sees to it that what was appended is synced in time.
    @inline(never)
    private func scheduleSync(_ writer: inout LogWriter<S>) {
        let waiting = writer.tail.putSinceSync &+ UInt64(writer.unsynced.count) &* options.segmentSize
        if options.syncBytes > 0 && waiting >= options.syncBytes {
            storage.syncer.request()
        } else if !storage.syncer.isScheduled {
            storage.syncer.request(at: storage.monotonic() &+ Int64(options.syncInterval) &* 1_000_000)
        }
    }

    // ---- Asynchronously

    /// Appends one record without waiting for it to become durable, which the background sees to at once; `done` is told then.
    ///
    /// - Throws: as `append`; then `done` is not called. `.canceled`: interrupted while it waited for room.
    public func appendAsync(_ record: Record, _ done: Completion, assigned: (UInt64) -> Void) throws(LogError) {
        try checkWritable()
        try settle()
        // Threads that cannot be had must be known of before the entry is in the log.
        guard storage.syncer.start() && storage.completer.start() else {
            throw LogError(.noMemory, "the system has no threads for asynchronous appends to give")
        }
        try completions.reserve(
            UInt64(record.payload.count), limit: options.asyncMaxBytes, mayWait: !callbacks.isInside(.completion), commit)
        var isPushed = false
        defer { if !isPushed { completions.giveBack(UInt64(record.payload.count)) } }
        func push(_ index: UInt64) {
            assigned(index)
            completions.push(index, UInt64(record.payload.count), done)
            isPushed = true
        }
        if options.compression == .none {
            _ = try put(OneRecord(record), .buffered, assigned: push)
        } else {
            try compressing(OneRecord(record)) { (records) throws(LogError) in
                _ = try put(records, .buffered, assigned: push)
            }
        }
        storage.syncer.request()
    }

    /// What the syncer's thread does: sync, as long as somebody waits for it.
    func runSyncer() {
        if let following { return runWatch(following) }
        repeat {
            if !isUsable || commit.isPoisoned { break }
            do throws(LogError) {
                try settle()
                try waitDurable(next.load(ordering: .acquiring) - 1)
            } catch {
                // Whoever waits learns of a failure from the log's state. Interruptions are meant for callers.
                if error.code != .canceled { break }
            }
        } while min(max(completions.highestIndex, commit.wantedIndex), next.load(ordering: .acquiring) &- 1) > commit.durableIndex
        // Also where nothing had to be synced: entries that were dropped are complete.
        if !completions.isEmpty { storage.completer.request() }
    }

    /// What the completion thread does: tells of all whose fate is known.
    func runCompleter() {
        try? callbacks.run(.completion) {
            while completions.deliver({ index in fate(of: index) }) {}
        }
    }

    /// The status with which the append of `index` completes, or nil if that is not known yet.
    private func fate(of index: UInt64) -> Int32? {
        // In this order: what became durable before the log was poisoned or closed is seen.
        let isPoisoned = commit.isPoisoned
        let isClosed = commit.isClosed
        if index <= commit.durableIndex { return 0 }
        if isPoisoned { return ErrorCode.poisoned.rawValue }
        return isClosed ? ErrorCode.closed.rawValue : nil
    }

    // ---- Durability

    func waitDurable(_ index: UInt64) throws(LogError) {
        try commit.waitDurable(index, isGone: { next.load(ordering: .acquiring) <= index }) {
            () throws(LogError) in try syncWithLead()
        }
    }

    /// Makes everything durable that was appended before the call.
    public func sync() throws(LogError) {
        try checkWritable()
        try checkMayWait()
        try settle()
        try syncStaged()
        let last = next.load(ordering: .acquiring) - 1
        try waitDurable(last)
    }

    /// Waits until `index` is durable, which it asks the background to make it where nobody else is about to. `timeout`: milliseconds;
    /// negative: for ever; 0: asks nobody, and tells at once.
    ///
    /// - Throws: `.notFound`, `.timeout`, `.canceled`, `.poisoned`.
    public func waitDurable(_ index: UInt64, timeout: Int64) throws(LogError) {
        try checkUsable()
        if timeout != 0 { try checkMayWait() }
        var isAsked = false
        try wait(for: commit.durableMoved, milliseconds: timeout) { () throws(LogError) in
            if index > 0 && index <= durableIndex { return true }
            // Not the next index: in a log that was emptied meanwhile it may lie above an entry that is gone, for which nobody would wake us.
            guard index > 0 && index <= lastIndex else {
                throw LogError(.notFound, "there is no entry at this index", index: index)
            }
            if commit.isPoisoned { throw GroupCommit.poisonedError }
            if !isAsked && timeout != 0 && !options.readOnly && options.sync != .interval {
                commit.want(index)
                storage.syncer.request()
                isAsked = true
            }
            return false
        }
    }

    /// Flushes and syncs, predecessors first. For a caller that has the lead; poisons when it fails.
    func syncWithLead() throws(LogError) {
        if commit.isPoisoned { throw GroupCommit.poisonedError }
        do throws(LogError) {
            var files = CArray<UnsyncedSegment>()
            let (target, tailFile, id) = try writer.withLock {
                (writer) throws(LogError) -> (UInt64, FileHandle, UInt64) in
                if options.syncPadding > 0 { try writer.tail.pad(to: options.syncPadding) }
                try writer.tail.flush()
                for i in 0..<writer.unsynced.count { try files.append(writer.unsynced[i]) }
                let isDirty = writer.tail.takeDirty()
                return (writer.tail.nextIndex - 1, isDirty ? writer.tail.file : .none, writer.tail.segment?.id ?? 0)
            }
            commit.takeOff(target)
            let started = storage.monotonic()
            try syncFull(files)
            if tailFile.isOpen {
                do throws(LogError) { try storage.sync(tailFile) } catch { throw error.located(in: .segment(id)) }
            }
            if files.count > 0 || tailFile.isOpen { noteSync(upTo: target, since: started) }
            if files.count > 0 { try writer.withLock { $0.forgetUnsynced(files.count) } }
            setDurable(max(commit.durableIndex, target))
        } catch {
            throw poison(error)
        }
    }

    private func syncFull(_ files: borrowing CArray<UnsyncedSegment>) throws(LogError) {
        for i in 0..<files.count {
            do throws(LogError) {
                try storage.sync(files[i].file)
            } catch { throw error.located(in: .segment(files[i].segment.id)) }
        }
    }

    /// Before the durable index moves.
    private func noteSync(upTo target: UInt64, since started: Int64) {
        let durable = commit.durableIndex
        statistics.noteSync(entries: target > durable ? target - durable : 0, duration: storage.monotonic() - started)
    }

    /// Syncs full segments only, so that a log which is never synced has little to scan after a crash.
    func syncFullWithLead() {
        do throws(LogError) {
            var files = CArray<UnsyncedSegment>()
            try writer.withLock { (writer) throws(LogError) in
                for i in 0..<writer.unsynced.count { try files.append(writer.unsynced[i]) }
            }
            if files.count == 0 || commit.isPoisoned { return }
            let started = storage.monotonic()
            try syncFull(files)
            let target = files[files.count - 1].endIndex - 1
            noteSync(upTo: target, since: started)
            try writer.withLock { $0.forgetUnsynced(files.count) }
            setDurable(max(commit.durableIndex, target))
        } catch {
            poison(error)
        }
    }
}
