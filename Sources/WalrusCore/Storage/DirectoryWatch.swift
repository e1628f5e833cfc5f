// DirectoryWatch.swift - sleeping until somebody else has written to a directory

import CWalrusPlatform

/// Two descriptors: one that tells of changes in the directory, one by which sleepers are woken. Closed by hand.
public struct DirectoryWatch: Sendable, BitwiseCopyable {
    private let changes: Int32
    private let wakeUp: Int32

    /// nil where the system has no such descriptors to give.
    init?(_ directory: Int32) {
        changes = wp_open_watch(directory)
        if changes < 0 { return nil }
        wakeUp = wp_event_descriptor()
        if wakeUp < 0 {
            wp_close(changes)
            return nil
        }
    }

    /// Sleeps until something changed since the last sleep, `wake` was called, or `deadline` on the monotonic clock has passed. May
    /// also return for no reason.
    func sleep(until deadline: Int64) { wp_watch_wait(changes, wakeUp, deadline) }

    /// Wakes who sleeps or is about to.
    func wake() { wp_event_signal(wakeUp) }

    func close() {
        wp_close(changes)
        wp_close(wakeUp)
    }
}
