// Wait.swift - what ends a wait early

/// Made when a call begins to wait.
struct Wait {
    private let interrupts: UInt64

    init(_ commit: borrowing GroupCommit) { interrupts = commit.interruptCount }

    /// Whether the wait may go on.
    ///
    /// - Throws: `.closed`, `.poisoned`, `.canceled`.
    func check(_ commit: borrowing GroupCommit) throws(LogError) {
        if commit.isPoisoned { throw GroupCommit.poisonedError }
        if commit.isClosed { throw GroupCommit.closedError }
        if commit.interruptCount != interrupts { throw GroupCommit.canceledError }
    }
}
