// Gate.swift - lets calls in until the log is closed
//
// The engine frees what it has at close, and so asks that no call is in flight then. Here any thread may call or close at any time, so calls
// are counted: close turns new ones away and waits for those that are inside.

import Dispatch
import Synchronization

final class Gate: Sendable {
    /// Two for each call that is inside; one: closed.
    private let state = Atomic<Int>(0)
    private let isEmpty = DispatchSemaphore(value: 0)

    var isClosed: Bool { state.load(ordering: .relaxed) & 1 == 1 }

    @inline(__always)
    func enter() -> Bool {
        var seen = state.load(ordering: .relaxed)
        while seen & 1 == 0 {
            let (exchanged, original) = state.weakCompareExchange(
                expected: seen, desired: seen &+ 2, ordering: .acquiring)
            if exchanged { return true }
            seen = original
        }
        return false
    }

    /// Nobody enters a closed gate, so exactly one call is the last one out.
    @inline(__always)
    func leave() {
        if state.subtract(2, ordering: .acquiringAndReleasing).newValue == 1 { isEmpty.signal() }
    }

    /// Turns away whoever comes from now on, and waits for those that are inside; `hurry` is called now and then to end their waits.
    /// False if it was closed already.
    func close(hurry: () -> Void) -> Bool {
        let before = state.bitwiseOr(1, ordering: .acquiringAndReleasing).oldValue
        if before & 1 == 1 { return false }
        if before == 0 { return true }
        // Once is not enough: a call that was let in may not have begun to wait yet.
        repeat { hurry() } while isEmpty.wait(timeout: .now() + .milliseconds(5)) == .timedOut
        return true
    }
}
