// GroupCommit.swift - who syncs, and who waits for it
//
// At most one thread at a time has the lead. It syncs outside every lock while others go on appending, and whatever was
// appended before it began is durable when it is done; everybody else waits and is woken on every path, failure
// included. Whoever changes the log's structure (truncate, reset, recovery, close) takes the lead, too, so that no
// sync is in flight meanwhile.
//
// Waiters form two groups: the flying one, which the sync under way covers, and the gathering one, which the next will.
// When a sync is done, first one of the gathering group is woken, to lead, and then the whole flying group, which sleeps on a word and needs
// no mutex to go on. The new leader gives way to those twice before it syncs: on a busy machine most of them have appended again by
// then, and fly with it. A thread that appends alone never waits for anybody.

import Synchronization

final class GroupCommit: Sendable {
    private let mutex: Mutex
    /// For those who wait to change the structure.
    private let leadIsFree: Condition
    private let firstWord: WaitWord
    private let secondWord: WaitWord
    /// These are guarded by the mutex.
    private let hasLeader = Atomic<Bool>(false)
    /// Threads that wait to change the structure. They go before those that only sync, which would never let them in.
    private let waitingToLead = Atomic<Int>(0)
    /// Which of the two words the gathering group sleeps on.
    private let gathering = Atomic<Int>(0)
    private let gatheringCount = Atomic<Int>(0)
    /// How many waited for the sync under way, or the last one.
    private let flyingCount = Atomic<Int>(0)
    /// Whether a sync is under way, and up to which index it covers.
    private let isFlying = Atomic<Bool>(false)
    private let target = Atomic<UInt64>(0)

    /// The durable index moved, or nothing will move it any more.
    let durableMoved: Event

    private let durable: Atomic<UInt64>
    private let poison = Atomic<Bool>(false)
    private let closed = Atomic<Bool>(false)
    private let interrupts = Atomic<UInt64>(0)
    /// The highest index that somebody waits for without leading.
    private let wanted = Atomic<UInt64>(0)

    init() throws(LogError) {
        mutex = try Mutex()
        leadIsFree = try Condition()
        firstWord = try WaitWord()
        secondWord = try WaitWord()
        durableMoved = try Event()
        durable = Atomic(0)
    }

    /// Every index up to this one is on stable storage.
    @inline(__always) var durableIndex: UInt64 { durable.load(ordering: .acquiring) }
    @inline(__always) var isPoisoned: Bool { poison.load(ordering: .acquiring) }
    @inline(__always) var isClosed: Bool { closed.load(ordering: .acquiring) }
    /// Grows with each interruption.
    var interruptCount: UInt64 { interrupts.load(ordering: .acquiring) }
    var wantedIndex: UInt64 { wanted.load(ordering: .acquiring) }
    func want(_ index: UInt64) { wanted.max(index, ordering: .acquiringAndReleasing) }

    static var poisonedError: LogError {
        LogError(.poisoned, "an earlier write or sync failed; close the log, see to the disk, and open it again")
    }
    static var canceledError: LogError { LogError(.canceled, "the wait was ended by walrus_interrupt") }
    static var closedError: LogError { LogError(.closed, "the log was shut down") }

    /// Only by the leader, whose waiters are woken when it is done. Sinks only where the log was cut.
    func setDurable(_ index: UInt64) {
        durable.store(index, ordering: .releasing)
        durableMoved.signal()
    }
    /// The log was cut: nobody waits for what was dropped.
    func forgetWanted() { wanted.store(0, ordering: .releasing) }

    /// From now on nothing more is acknowledged.
    func setPoisoned() {
        poison.store(true, ordering: .releasing)
        wakeEverybody()
    }

    func setClosed() {
        closed.store(true, ordering: .releasing)
        wakeEverybody()
    }

    /// Ends the waits that began before.
    func interrupt() {
        interrupts.add(1, ordering: .acquiringAndReleasing)
        wakeEverybody()
    }

    private func wakeEverybody() {
        mutex.lock()
        firstWord.bump()
        secondWord.bump()
        leadIsFree.wakeAll()
        mutex.unlock()
        firstWord.wakeAll()
        secondWord.wakeAll()
        durableMoved.signal()
    }

    // ---- The lead

    /// Runs `body` with the lead, to change the structure. After shutdown only for `close`.
    func lead<Result>(isClosing: Bool = false, _ body: () throws(LogError) -> Result) throws(LogError) -> Result {
        mutex.lock()
        waitingToLead.add(1, ordering: .relaxed)
        while hasLeader.load(ordering: .relaxed) { leadIsFree.wait(mutex) }
        waitingToLead.subtract(1, ordering: .relaxed)
        hasLeader.store(true, ordering: .relaxed)
        mutex.unlock()
        defer {
            giveUpLead()
            wakeEverybody()
        }
        if isClosed && !isClosing { throw GroupCommit.closedError }
        return try body()
    }

    /// Runs `body` with the lead if nobody has it.
    func leadIfFree(_ body: () -> Void) {
        mutex.lock()
        let isFree = !hasLeader.load(ordering: .relaxed) && waitingToLead.load(ordering: .relaxed) == 0
        if isFree { hasLeader.store(true, ordering: .relaxed) }
        mutex.unlock()
        guard isFree else { return }
        body()
        giveUpLead()
        wakeEverybody()
    }

    private func giveUpLead() {
        mutex.lock()
        isFlying.store(false, ordering: .relaxed)
        hasLeader.store(false, ordering: .relaxed)
        mutex.unlock()
    }

    /// The leader is about to sync everything up to `index`: who waits for that flies, who comes for more gathers anew.
    func takeOff(_ index: UInt64) {
        mutex.lock()
        target.store(index, ordering: .relaxed)
        isFlying.store(true, ordering: .relaxed)
        gathering.store(1 - gathering.load(ordering: .relaxed), ordering: .relaxed)
        flyingCount.store(gatheringCount.exchange(0, ordering: .relaxed), ordering: .relaxed)
        mutex.unlock()
    }

    /// The sync is done, for better or worse: the lead goes to the gathering group, then the flying one is woken.
    private func land() {
        mutex.lock()
        hasLeader.store(false, ordering: .relaxed)
        isFlying.store(false, ordering: .relaxed)
        let isSecond = gathering.load(ordering: .relaxed) == 1
        let hasFollowers = gatheringCount.load(ordering: .relaxed) > 0
        // Bumped, too, so that a thread which is just about to sleep there looks again instead.
        firstWord.bump()
        secondWord.bump()
        if waitingToLead.load(ordering: .relaxed) > 0 { leadIsFree.wakeAll() }
        mutex.unlock()
        if isSecond {
            if hasFollowers { secondWord.wakeOne() }
            firstWord.wakeAll()
        } else {
            if hasFollowers { firstWord.wakeOne() }
            secondWord.wakeAll()
        }
    }

    // ---- Waiting

    /// Returns once `index` is durable: because a leader got that far, or by leading. `sync` makes durable what was appended
    /// before it was called; one that fails poisons. `isGone`: the entry was truncated away meanwhile, and there is
    /// nothing left to wait for.
    func waitDurable(_ index: UInt64, isGone: () -> Bool, sync: () throws(LogError) -> Void) throws(LogError) {
        if durableIndex >= index { return }
        let wait = Wait(self)
        while true {
            if durableIndex >= index || isGone() { return }
            try wait.check(self)
            mutex.lock()
            if !hasLeader.load(ordering: .relaxed) && waitingToLead.load(ordering: .relaxed) == 0 {
                hasLeader.store(true, ordering: .relaxed)
                let hasCompany = flyingCount.load(ordering: .relaxed) > 0 || gatheringCount.load(ordering: .relaxed) > 0
                mutex.unlock()
                defer { land() }
                if hasCompany {
                    giveWay()
                    giveWay()
                }
                // The last leader may have got this far between the look above and here.
                if durableIndex < index { try sync() }
                continue
            }
            let flies = isFlying.load(ordering: .relaxed) && index <= target.load(ordering: .relaxed)
            let isSecond = (gathering.load(ordering: .relaxed) == 1) != flies
            if !flies { gatheringCount.add(1, ordering: .relaxed) }
            let value = isSecond ? secondWord.value : firstWord.value
            mutex.unlock()
            if isSecond { secondWord.sleep(while: value) } else { firstWord.sleep(while: value) }
        }
    }
}
