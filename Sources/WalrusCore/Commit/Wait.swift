// Wait.swift - how long a call waits, and what ends it early

import Synchronization

/// Made when a call begins to wait.
struct Wait {
    /// On the monotonic clock; `.max`: without end.
    let deadline: Int64
    private let interrupts: UInt64

    init(_ commit: borrowing GroupCommit) {
        deadline = .max
        interrupts = commit.interruptCount
    }

    /// `timeout`: milliseconds; negative: for ever; 0: not at all.
    init(_ timeout: Int64, _ now: Int64, _ commit: borrowing GroupCommit) {
        let (duration, isTooLong) = timeout.multipliedReportingOverflow(by: 1_000_000)
        let (end, isTooLate) = now.addingReportingOverflow(duration)
        deadline = timeout < 0 || isTooLong || isTooLate ? .max : end
        interrupts = commit.interruptCount
    }

    /// Whether the wait may go on.
    ///
    /// - Throws: `.closed`, `.poisoned`, `.canceled`.
    func check(_ commit: borrowing GroupCommit) throws(LogError) {
        if commit.isClosed { throw GroupCommit.closedError }
        if commit.isPoisoned { throw GroupCommit.poisonedError }
        if commit.interruptCount != interrupts {
            throw LogError(.canceled, "walrus_interrupt ended the wait")
        }
    }

    /// - Throws: also `.timeout`.
    func check(_ now: Int64, _ commit: borrowing GroupCommit) throws(LogError) {
        try check(commit)
        if now >= deadline { throw LogError(.timeout, "the time given for the wait is over") }
    }
}
