// Watching.swift - waits for what a writer in another process does
//
// The system tells of it: one of those who wait sleeps on the directory, looks, and signals the others. Where the system has nothing to sleep
// on, it looks now and then, less and less often; and every so often in any case, since not every way to write to a file is told.

import CWalrusPlatform
import Synchronization

extension Log {
    private static var shortestPause: Int64 { 200_000 }
    private static var longestPause: Int64 { 20_000_000 }
    /// The longest sleep on a directory that is watched.
    private static var watchedPause: Int64 { 50_000_000 }

    /// Returns once `isDone`, which is asked at first and after whatever may have changed the answer; false if `end` on the monotonic
    /// clock came first.
    func wait(_ following: Following<S>, until end: Int64, _ isDone: () throws(LogError) -> Bool) throws(LogError) -> Bool {
        while true {
            if !following.isWatched.exchange(true, ordering: .acquiringAndReleasing) {
                defer {
                    // Another one of those who wait has to take over.
                    following.isWatched.store(false, ordering: .releasing)
                    published.signal()
                }
                return try keepWatch(following, until: end, isDone)
            }
            let isInTime = try published.wait(until: end) { () throws(LogError) in
                try isDone() || !following.isWatched.load(ordering: .acquiring)
            }
            if try isDone() { return true }
            if !isInTime { return false }
        }
    }

    private func keepWatch(_ following: Following<S>, until end: Int64, _ isDone: () throws(LogError) -> Bool) throws(LogError)
        -> Bool
    {
        var pause = Log.shortestPause
        let watch = end == .min ? nil : following.watch()
        while true {
            try checkUsable()
            let before = next.load(ordering: .acquiring)
            try look(following)
            if try isDone() { return true }
            let now = wp_monotonic_ns()
            if end <= now { return false }
            if let watch {
                watch.sleep(until: min(end, now + Log.watchedPause))
            } else {
                pause = next.load(ordering: .acquiring) != before ? Log.shortestPause : min(pause * 2, Log.longestPause)
                _ = try published.wait(until: min(end, now + pause), isDone)
            }
        }
    }

    /// Has a thread look for what the writer does, so that the descriptor of `notifyDescriptor` tells of it without any call.
    ///
    /// - Throws: `.noMemory` where no thread can be had.
    func startWatching() throws(LogError) {
        guard storage.syncer.start() else {
            throw LogError(.noMemory, "the system has no thread to give that would watch the log; raise its limit")
        }
        storage.syncer.request()
    }

    /// What that thread does, until the log is closed.
    func runWatch(_ following: Following<S>) {
        while isUsable {
            do throws(LogError) {
                _ = try wait(following, until: .max) { () throws(LogError) in
                    try checkUsable()
                    return false
                }
            } catch {
                // A look that failed is tried again.
                _ = try? published.wait(until: wp_monotonic_ns() + Log.watchedPause) { !isUsable }
            }
        }
    }
}
