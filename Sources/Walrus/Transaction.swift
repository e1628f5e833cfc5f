// Transaction.swift - entries staged in memory, appended as one batch

internal import WalrusCore

/// Stages entries and appends them as one batch. One that goes without a commit is rolled back; one that is not committed in time
/// expires by itself.
public struct Transaction: ~Copyable, Sendable {
    public enum State: Sendable {
        /// Takes entries.
        case open
        /// Its time was over.
        case expired
        /// Its entries are in the log.
        case committed
    }

    private let log: Log
    private let core: DiskTransaction

    fileprivate init(_ log: Log, _ core: DiskTransaction) {
        self.log = log
        self.core = core
    }

    deinit { try? core.rollback() }

    /// Stages a copy of a record. When it throws, the transaction is as it was.
    ///
    /// - Throws: `.transactionFull`, `.transactionExpired`, `.transactionState` (committed), `.tooLarge`, `.noMemory`.
    public mutating func append(_ record: Record) throws(WalrusError) {
        let core = core
        try log.call { (_) throws(LogError) in
            try record.withRecord { (record) throws(LogError) in try core.append(record) }
        }
    }

    /// Appends what was staged as one batch and returns its indexes; an empty transaction commits nothing.
    ///
    /// - Throws: `.transactionExpired`, `.transactionState`, and as `Log.append`. The transaction is open as before then, and may be committed
    ///   again, unless only the wait for its entries to be durable failed: then its state is `.committed`, and they are in the log from the error's
    ///   `index` to its `lastIndex`.
    @discardableResult
    public mutating func commit(durability: Durability? = nil) throws(WalrusError) -> Range<UInt64> {
        let core = core
        return try log.call { (_) throws(LogError) in
            var committed: Range<UInt64>? = nil
            do throws(LogError) {
                try core.commit(durability?.policy, &committed)
            } catch {
                guard let committed, !committed.isEmpty else { throw error }
                var located = error
                (located.index, located.lastIndex) = (committed.lowerBound, committed.upperBound - 1)
                throw located
            }
            guard let committed else { throw LogError(.internal, "the commit gave no indexes") }
            return committed
        }
    }

    /// Drops what was staged, whatever the state. The same happens where the transaction just goes.
    public consuming func rollback() {}

    /// - Throws: `.closed`.
    public var state: State {
        get throws(WalrusError) {
            let core = core
            switch try log.call({ (_) throws(LogError) in try core.state() }) {
            case .open: return .open
            case .expired: return .expired
            case .committed: return .committed
            }
        }
    }
}

extension Log {
    /// Begins a transaction that may stay open as long as the options say.
    ///
    /// - Throws: `.readOnly`, `.poisoned`, `.noMemory`.
    public func transaction() throws(WalrusError) -> Transaction {
        Transaction(
            self, try call { (log) throws(LogError) in try log.beginTransaction(timeout: log.options.transactionTimeout) })
    }

    /// Begins a transaction that may stay open so long; nil: for ever.
    ///
    /// - Throws: `.invalid` if that is not above zero, `.readOnly`, `.poisoned`, `.noMemory`.
    public func transaction(timeout: Duration?) throws(WalrusError) -> Transaction {
        let limit = milliseconds(timeout)
        if limit == 0 { throw WalrusError(.invalid, "\(directory): a transaction's timeout must be above zero") }
        return Transaction(
            self, try call { (log) throws(LogError) in try log.beginTransaction(timeout: limit < 0 ? nil : UInt64(limit)) })
    }

    /// How many transactions are open.
    public var openTransactions: UInt64 { number { $0.openTransactions } }

    /// Expires at once those whose time is over, as the background does by itself, and returns how many.
    @discardableResult
    public func expireTransactions() throws(WalrusError) -> UInt64 {
        try call { (log) throws(LogError) in
            try log.checkUsable()
            return log.expireTransactions()
        }
    }
}
