// Event.swift - something that happens again and again, for those who wait for it
//
// Whoever makes it happen pays one relaxed load while nobody waits. That is sound without a fence on their side because the waiter
// pays for both: it counts itself, has every other thread pass a memory barrier, and only then looks for what it waits for. So either the
// signalling thread sees the waiter, or the waiter sees what happened.

import CWalrusPlatform

/// A word to sleep on and the number of those who do.
@safe public struct Event: ~Copyable, @unchecked Sendable {
    private let raw: UnsafeMutablePointer<wp_event>

    init() throws(LogError) {
        // A cache line of its own: appends look at it all the time.
        var base: UnsafeMutableRawPointer? = nil
        guard unsafe posix_memalign(&base, 64, 64) == 0, let base = unsafe base else {
            throw LogError(.noMemory, "there is not enough memory for a lock")
        }
        unsafe raw = base.bindMemory(to: wp_event.self, capacity: 1)
        unsafe raw.initialize(to: wp_event(word: 0, waiters: 0))
    }

    /// It happened: to be called once what the waiters look for has been stored. Any thread, with or without locks.
    @inline(__always)
    func signal() {
        if unsafe wp_event_has_waiters(raw) { wake() }
    }

    @inline(never)
    private func wake() {
        unsafe wp_word_bump(&raw.pointee.word)
        unsafe wp_word_wake(&raw.pointee.word, .max)
    }

    /// Sleeps until `isOver`, which is asked at first and after each signal, or until `deadline` on the monotonic clock
    /// (`.max`: no end) has passed: then false. `isOver` may throw what ends the wait otherwise.
    func wait(until deadline: Int64, _ isOver: () throws(LogError) -> Bool) throws(LogError) -> Bool {
        if try isOver() { return true }
        if deadline <= wp_monotonic_ns() { return false }
        unsafe wp_event_enter(raw)
        defer { unsafe wp_event_leave(raw) }
        let hasBarrier = wp_barrier_others()
        while true {
            let value = unsafe wp_word_load(&raw.pointee.word)
            if try isOver() { return true }
            let now = wp_monotonic_ns()
            if deadline <= now { return false }
            // Without the barrier a signal may be missed that was on its way when the waiter entered.
            let limit = hasBarrier ? deadline : min(deadline, now + 1_000_000)
            unsafe wp_word_wait(&raw.pointee.word, value, limit)
        }
    }

    deinit { unsafe free(raw) }
}
