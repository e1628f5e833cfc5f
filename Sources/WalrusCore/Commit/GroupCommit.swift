// GroupCommit.swift - who syncs, and who waits for it
//
// At most one thread at a time has the lead. It syncs outside every lock while others go on appending, and whatever was
// appended before it began is durable when it is done; everybody else waits and is woken on every path, failure
// included. Whoever changes the log's structure (truncate, reset, recovery, close) takes the lead, too, so that no
// sync is in flight meanwhile.

import Synchronization

final class GroupCommit: Sendable {
    private let mutex: Mutex
    private let changed: Condition
    /// Both are guarded by the mutex.
    private let hasLeader = Atomic<Bool>(false)
    /// Threads that wait to change the structure. They go before those that only sync, which would never let them in.
    private let waitingToLead = Atomic<Int>(0)
    private let durable: Atomic<UInt64>
    private let poison = Atomic<Bool>(false)
    private let closed = Atomic<Bool>(false)

    init() throws(LogError) {
        mutex = try Mutex()
        changed = try Condition()
        durable = Atomic(0)
    }

    /// Every index up to this one is on stable storage.
    @inline(__always) var durableIndex: UInt64 { durable.load(ordering: .acquiring) }
    @inline(__always) var isPoisoned: Bool { poison.load(ordering: .acquiring) }
    @inline(__always) var isClosed: Bool { closed.load(ordering: .acquiring) }

    static var poisonedError: LogError {
        LogError(.poisoned, "an earlier write or sync failed; close the log, see to the disk, and open it again")
    }
    static var closedError: LogError { LogError(.closed, "the log was shut down") }

    /// Only by the leader. Sinks only where the log was cut.
    func setDurable(_ index: UInt64) {
        mutex.lock()
        durable.store(index, ordering: .releasing)
        changed.wakeAll()
        mutex.unlock()
    }

    /// From now on nothing more is acknowledged.
    func setPoisoned() {
        mutex.lock()
        poison.store(true, ordering: .releasing)
        changed.wakeAll()
        mutex.unlock()
    }

    func setClosed() {
        mutex.lock()
        closed.store(true, ordering: .releasing)
        changed.wakeAll()
        mutex.unlock()
    }

    /// Runs `body` with the lead. After shutdown only for `close`.
    func lead<Result>(isClosing: Bool = false, _ body: () throws(LogError) -> Result) throws(LogError) -> Result {
        mutex.lock()
        waitingToLead.add(1, ordering: .relaxed)
        while hasLeader.load(ordering: .relaxed) { changed.wait(mutex) }
        waitingToLead.subtract(1, ordering: .relaxed)
        if isClosed && !isClosing {
            changed.wakeAll()
            mutex.unlock()
            throw GroupCommit.closedError
        }
        hasLeader.store(true, ordering: .relaxed)
        mutex.unlock()
        defer {
            mutex.lock()
            hasLeader.store(false, ordering: .relaxed)
            changed.wakeAll()
            mutex.unlock()
        }
        return try body()
    }

    /// Runs `body` with the lead if nobody has it.
    func leadIfFree(_ body: () -> Void) {
        mutex.lock()
        let isFree = !hasLeader.load(ordering: .relaxed)
        if isFree { hasLeader.store(true, ordering: .relaxed) }
        mutex.unlock()
        guard isFree else { return }
        body()
        mutex.lock()
        hasLeader.store(false, ordering: .relaxed)
        changed.wakeAll()
        mutex.unlock()
    }

    /// Returns once `index` is durable: because a leader got that far, or by leading. `sync` makes durable what was appended
    /// before it was called; one that fails poisons. `isGone`: the entry was truncated away meanwhile, and there is
    /// nothing left to wait for.
    func waitDurable(_ index: UInt64, isGone: () -> Bool, sync: () throws(LogError) -> Void) throws(LogError) {
        if durableIndex >= index { return }
        mutex.lock()
        while true {
            if durableIndex >= index || isGone() { break }
            if isPoisoned {
                mutex.unlock()
                throw GroupCommit.poisonedError
            }
            if isClosed {
                mutex.unlock()
                throw GroupCommit.closedError
            }
            if hasLeader.load(ordering: .relaxed) || waitingToLead.load(ordering: .relaxed) > 0 {
                changed.wait(mutex)
                continue
            }
            hasLeader.store(true, ordering: .relaxed)
            mutex.unlock()
            var failure: LogError? = nil
            do throws(LogError) { try sync() } catch { failure = error }
            mutex.lock()
            hasLeader.store(false, ordering: .relaxed)
            changed.wakeAll()
            if let failure {
                mutex.unlock()
                throw failure
            }
        }
        mutex.unlock()
    }
}
