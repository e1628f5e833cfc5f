// Notifier.swift - tells an event loop that something has moved: a descriptor that becomes readable

import CWalrusPlatform
import Synchronization

final class Notifier: Sendable {
    private let current = Atomic<Int32>(-1)

    /// The descriptor, made at the first call.
    func descriptor() throws(LogError) -> Int32 {
        let known = current.load(ordering: .acquiring)
        if known >= 0 { return known }
        let made = wp_event_descriptor()
        guard made >= 0 else {
            throw LogError(.io, "the system has no descriptor to give; close some, or raise RLIMIT_NOFILE", errno: wp_errno())
        }
        let (isFirst, other) = current.compareExchange(expected: -1, desired: made, ordering: .acquiringAndReleasing)
        if isFirst { return made }
        wp_close(made)
        return other
    }

    @inline(__always)
    func notify() {
        let descriptor = current.load(ordering: .acquiring)
        if descriptor >= 0 { wp_event_signal(descriptor) }
    }

    /// When nobody notifies any more.
    func close() {
        let descriptor = current.exchange(-1, ordering: .acquiringAndReleasing)
        if descriptor >= 0 { wp_close(descriptor) }
    }
}
