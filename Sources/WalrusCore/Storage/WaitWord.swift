// WaitWord.swift - a word on which threads sleep until it changes

import CWalrusPlatform

/// Whoever sees its value may sleep until it has another one. Nobody who looked before a `bump` sleeps through it.
@safe public struct WaitWord: ~Copyable, @unchecked Sendable {
    private let raw: UnsafeMutablePointer<UInt32>

    init() throws(LogError) {
        // A cache line of its own: sleepers of one word do not disturb those of another.
        guard let base = unsafe calloc(1, 64) else { throw LogError(.noMemory, "there is not enough memory for a lock") }
        unsafe raw = base.bindMemory(to: UInt32.self, capacity: 1)
    }

    var value: UInt32 { unsafe wp_word_load(raw) }
    /// Until `time` on the monotonic clock at the latest; may also wake for no reason.
    func sleep(while value: UInt32, until time: Int64 = .max) { unsafe wp_word_wait(raw, value, time) }
    func bump() { unsafe wp_word_bump(raw) }
    func wakeOne() { unsafe wp_word_wake(raw, 1) }
    func wakeAll() { unsafe wp_word_wake(raw, .max) }

    deinit { unsafe free(raw) }
}
