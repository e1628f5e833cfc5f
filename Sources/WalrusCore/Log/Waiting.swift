// Waiting.swift - waits that are neither for a lock nor for one's own sync, and whom to tell when something has moved

import Synchronization

extension Log {
    /// Returns once `isOver`, which is asked at first, after each signal of `event`, and whenever waits are to end. `milliseconds`: negative: no end;
    /// 0: asks only once. On a handle that follows a writer in another process, any change asks.
    ///
    /// - Throws: `.timeout`, `.canceled`, `.closed`, `.forked`, and what `isOver` throws.
    func wait(for event: borrowing Event, milliseconds: Int64, isOver: () throws(LogError) -> Bool) throws(LogError) {
        let interrupted = commit.interruptCount
        func isDone() throws(LogError) -> Bool {
            try checkUsable()
            if try isOver() { return true }
            if commit.interruptCount != interrupted { throw GroupCommit.canceledError }
            return false
        }
        let end = deadline(milliseconds)
        let isInTime: Bool
        if let following {
            isInTime = try wait(following, until: end, isDone)
        } else {
            isInTime = try event.wait(until: end, isDone)
        }
        if !isInTime { throw LogError(.timeout, "the time given for the wait is over") }
    }

    /// When a wait of so many milliseconds is over, on the monotonic clock: never if they are negative.
    private func deadline(_ milliseconds: Int64) -> Int64 {
        if milliseconds < 0 { return .max }
        if milliseconds == 0 { return .min }
        let (duration, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        let (time, late) = storage.monotonic().addingReportingOverflow(duration)
        return overflow || late ? .max : time
    }

    /// Ends every wait that began before.
    public func interrupt() throws(LogError) {
        try checkUsable()
        commit.interrupt()
        wakeWaiters()
    }

    /// Has everybody who waits look again.
    func wakeWaiters() {
        published.signal()
        commit.durableMoved.signal()
        following?.wake()
        completions.wake()
        if commit.isClosed || commit.isPoisoned {
            notifier.notify()
            if !completions.isEmpty { storage.completer.request() }
        }
    }

    /// Every index up to this one is on stable storage; lower than before only where the log was cut.
    func setDurable(_ index: UInt64) {
        if index == commit.durableIndex { return }
        commit.setDurable(index)
        notifier.notify()
        if !completions.isEmpty { storage.completer.request() }
    }

    /// A descriptor that becomes readable whenever the durable index has moved; on a read-only handle, the next index.
    public func notifyDescriptor() throws(LogError) -> Int32 {
        try checkUsable()
        if following != nil { try startWatching() }
        return try notifier.descriptor()
    }
}
