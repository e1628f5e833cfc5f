// Completions.swift - asynchronous appends that wait to be told of their fate
//
// A queue in the order of the indexes: an append pushes while it holds the writer's lock, the completion thread takes from the front. Room
// is reserved before the entry gets its index, since afterwards nothing may fail; who finds no room waits for
// completions, on a word that is also bumped when waiting has no sense any more.

import Synchronization

/// Whom to tell. A caller's function and its argument, or nobody.
@safe public struct Completion: BitwiseCopyable, @unchecked Sendable {
    public typealias Function = @convention(c) (UnsafeMutableRawPointer?, UInt64, Int32) -> Void

    private let function: Function?
    private let context: UnsafeMutableRawPointer?

    public init(_ function: Function?, context: UnsafeMutableRawPointer?) {
        unsafe self.function = function
        unsafe self.context = context
    }

    func tell(_ index: UInt64, _ status: Int32) { unsafe function?(context, index, status) }
}

final class Completions: Sendable {
    private struct Pending: BitwiseCopyable {
        var index: UInt64
        var bytes: UInt64
        var completion: Completion
    }

    private struct Queue: ~Copyable {
        var entries = CArray<Pending>()
        /// Those before it are taken.
        var head = 0
        /// Reserved and not pushed yet.
        var reserved = 0
        /// Of all that are reserved, pushed, or being told.
        var bytes: UInt64 = 0
        /// How many at the front are complete whatever their indexes: a truncation came after them.
        var settled = 0

        var isIdle: Bool { entries.count == head && reserved == 0 && bytes == 0 }
    }

    private let queue: Guarded<Queue>
    private let room: WaitWord
    private let waiting = Atomic<Int>(0)
    private let pending = Atomic<Int>(0)
    private let highest = Atomic<UInt64>(0)
    /// What the completion thread is telling just now; nobody else touches it.
    private let taken: Guarded<CArray<Pending>>
    private static var mostTaken: Int { 256 }

    init() throws(LogError) {
        queue = try Guarded(Queue())
        room = try WaitWord()
        var buffer = CArray<Pending>()
        try buffer.reserve(Completions.mostTaken)
        taken = try Guarded(buffer)
    }

    /// Appends whose completion is outstanding.
    var count: Int { pending.load(ordering: .acquiring) }
    @inline(__always) var isEmpty: Bool { count == 0 }
    /// The index that was pushed last.
    @inline(__always) var highestIndex: UInt64 { highest.load(ordering: .acquiring) }

    /// Makes room for one more, waiting until it would be within `limit`. One that is larger passes alone.
    ///
    /// - Throws: `.busy` where it may not wait; `.canceled`, `.closed`, `.poisoned`, `.noMemory`.
    func reserve(_ bytes: UInt64, limit: UInt64, mayWait: Bool, _ commit: borrowing GroupCommit) throws(LogError) {
        let wait = Wait(commit)
        while true {
            let seen = room.value
            let isReserved = try queue.withLock { (queue) throws(LogError) -> Bool in
                guard queue.bytes == 0 || (bytes <= limit && queue.bytes <= limit - bytes) else {
                    waiting.store(1, ordering: .sequentiallyConsistent)
                    return false
                }
                try queue.entries.reserve(queue.reserved + 1)
                queue.reserved += 1
                // At least one byte each, so that appends of nothing are bounded, too.
                queue.bytes += max(bytes, 1)
                return true
            }
            if isReserved { return }
            if !mayWait {
                throw LogError(
                    .busy, "async_max_bytes are outstanding, and a completion may not wait; append when it has returned")
            }
            try wait.check(commit)
            room.sleep(while: seen)
        }
    }

    /// Gives back what was reserved and not pushed.
    func giveBack(_ bytes: UInt64) {
        try? queue.withLock { queue in
            queue.reserved -= 1
            queue.bytes -= max(bytes, 1)
        }
        wake()
    }

    /// Enters an append for which room was reserved. In the order of indexes: with the writer's lock.
    func push(_ index: UInt64, _ bytes: UInt64, _ completion: Completion) {
        try? queue.withLock { (queue) throws(LogError) in
            queue.reserved -= 1
            try queue.entries.append(Pending(index: index, bytes: max(bytes, 1), completion: completion))
        }
        highest.store(index, ordering: .releasing)
        pending.add(1, ordering: .acquiringAndReleasing)
    }

    /// A truncation has made durable or dropped all that was appended before it. With the writer's lock.
    func settleAll() {
        try? queue.withLock { queue in queue.settled = queue.entries.count - queue.head }
        highest.store(0, ordering: .releasing)
    }

    /// Tells of some whose fate is known, in order. False if there was none. On the completion thread alone.
    func deliver(_ fate: (UInt64) -> Int32?) -> Bool {
        var bytes: UInt64 = 0
        var count = 0
        try? taken.withLock { (taken) throws(LogError) in
            var statuses = InlineArray<256, Int32>(repeating: 0)
            try queue.withLock { (queue) throws(LogError) in
                while taken.count < Completions.mostTaken, queue.head < queue.entries.count {
                    let next = queue.entries[queue.head]
                    guard let status = queue.settled > 0 ? 0 : fate(next.index) else { break }
                    statuses[taken.count] = status
                    try taken.append(next)
                    queue.head += 1
                    queue.settled = max(0, queue.settled - 1)
                }
                // Taken ones go when they are half of the queue: each is moved once on the average.
                if queue.head * 2 >= queue.entries.count {
                    queue.entries.removeFirst(queue.head)
                    queue.head = 0
                }
            }
            for i in 0..<taken.count {
                taken[i].completion.tell(taken[i].index, statuses[i])
                bytes += taken[i].bytes
            }
            count = taken.count
            taken.removeLast(taken.count)
        }
        if count == 0 { return false }
        pending.subtract(count, ordering: .acquiringAndReleasing)
        try? queue.withLock { $0.bytes -= bytes }
        wakeIfWaiting()
        return true
    }

    private func wakeIfWaiting() {
        if waiting.exchange(0, ordering: .sequentiallyConsistent) != 0 { wake() }
    }

    /// Whoever waits for room looks again.
    func wake() {
        room.bump()
        room.wakeAll()
    }
}
