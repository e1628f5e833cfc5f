// Event.swift - something that happens again and again, and for which threads may wait
//
// Whoever makes it happen pays one load as long as nobody waits. A waiter first says that it is there, then looks whether what
// it waits for has happened, then sleeps: each side writes its own word before it reads the other's, so one of them sees the other.

import Synchronization

final class Event: Sendable {
    private let word: WaitWord
    private let waiters = Atomic<Int>(0)

    init() throws(LogError) { word = try WaitWord() }

    /// Says that it has happened, after what happened can be seen.
    @inline(__always)
    func signal() {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if waiters.load(ordering: .relaxed) > 0 { wake() }
    }

    @inline(never)
    private func wake() {
        word.bump()
        word.wakeAll()
    }

    /// Waits until `isReady`, which looks whether there is still something to wait for, and throws where there is none.
    /// Until `deadline` on the monotonic clock at the latest: then it looks once more.
    func wait(until deadline: Int64, isReady: () throws(LogError) -> Bool) throws(LogError) {
        if try isReady() { return }
        waiters.add(1, ordering: .sequentiallyConsistent)
        defer { waiters.subtract(1, ordering: .relaxed) }
        while true {
            let seen = word.value
            if try isReady() { return }
            word.sleep(while: seen, until: deadline)
        }
    }
}
