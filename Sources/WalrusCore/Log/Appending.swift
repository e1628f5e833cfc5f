// Appending.swift - append, and making what was appended durable

import Synchronization

extension Log {
    /// Appends records as one batch and returns the index of the first, once `policy` is fulfilled (nil: the log's own).
    ///
    /// - Throws: `.tooLarge`, `.outOfOrder`, `.invalid`, `.noSpace`, `.noMemory`: certainly not in the log. `.io`, `.poisoned`: the next open tells.
    @inline(__always)
    public func append<R: Records>(_ records: R, _ policy: Policy? = nil) throws(LogError) -> UInt64 {
        try checkWritable()
        try settle()
        let policy = policy ?? options.sync
        if records.count == 0 { return next.load(ordering: .acquiring) }
        var isBehind = false
        let first = try writer.withLock { (writer) throws(LogError) -> UInt64 in
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
            if wasVirgin { self.first.store(first, ordering: .releasing) }
            writer.tail.publish()
            next.store(writer.tail.nextIndex, ordering: .releasing)
            if writer.wantsUpkeep { storage.background.request() }
            isBehind = writer.unsynced.count > Log.mostUnsynced
            return first
        }
        if policy == .durable || isBehind {
            let last = first &+ UInt64(truncatingIfNeeded: records.count) &- 1
            try waitDurable(last)
        }
        return first
    }

    /// Full segments that may wait for their sync, before an append syncs them itself.
    private static var mostUnsynced: Int { 64 }

    func waitDurable(_ index: UInt64) throws(LogError) {
        try commit.waitDurable(index, isGone: { next.load(ordering: .acquiring) <= index }) {
            () throws(LogError) in try syncWithLead()
        }
    }

    /// Makes everything durable that was appended before the call.
    public func sync() throws(LogError) {
        try checkWritable()
        try settle()
        let last = next.load(ordering: .acquiring) - 1
        try waitDurable(last)
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
            try syncFull(files)
            if tailFile.isOpen {
                do throws(LogError) { try storage.sync(tailFile) } catch { throw error.located(in: .segment(id)) }
            }
            if files.count > 0 { try writer.withLock { $0.forgetUnsynced(files.count) } }
            commit.setDurable(max(commit.durableIndex, target))
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

    /// Syncs full segments only, so that a log which is never synced has little to scan after a crash.
    func syncFullWithLead() {
        do throws(LogError) {
            var files = CArray<UnsyncedSegment>()
            try writer.withLock { (writer) throws(LogError) in
                for i in 0..<writer.unsynced.count { try files.append(writer.unsynced[i]) }
            }
            if files.count == 0 || commit.isPoisoned { return }
            try syncFull(files)
            try writer.withLock { $0.forgetUnsynced(files.count) }
            commit.setDurable(max(commit.durableIndex, files[files.count - 1].endIndex - 1))
        } catch {
            poison(error)
        }
    }
}
