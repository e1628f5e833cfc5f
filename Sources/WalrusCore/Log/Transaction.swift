// Transaction.swift - entries staged in memory, appended as one batch
//
// It belongs to one thread at a time, but the background may expire it at any moment: what is staged is behind a mutex. A commit
// holds that only to say that it has begun. From then on the staged memory is the commit's, an expiry that comes along just leaves
// word, and the commit wins.

/// How a transaction stands. The raw values are those of `WALRUS_TXN_*`.
public enum TransactionState: Int32, Sendable {
    case open = 1
    case expired = 2
    case committed = 3
}

/// How a transaction came to its end.
enum TransactionEnd { case committed, rolledBack, expired }

public final class Transaction<S: Storage>: @unchecked Sendable {
    /// It may outlive the log's handle.
    public let log: Log<S>
    /// On the monotonic clock; `.max`: never.
    let deadline: Int64
    /// Where it stands among those that will expire, or nil. Guarded by the mutex of the log's transactions.
    var place: Int? = nil
    private let staging: Guarded<Staging>

    init(_ log: Log<S>, deadline: Int64) throws(LogError) {
        self.log = log
        self.deadline = deadline
        staging = try Guarded(Staging())
    }

    /// Stages a copy of a record. When it throws, the transaction is as it was.
    ///
    /// - Throws: `.transactionFull`, `.tooLarge`, `.noMemory`, `.transactionExpired`, `.transactionState`, `.busy`.
    public func append(_ record: Record) throws(LogError) {
        try log.checkUsable()
        try staging.withLock { (staging) throws(LogError) in
            try checkOpen(&staging)
            try staging.add(record, log.options)
        }
    }

    /// Appends what was staged as one batch. `committed` gets its indexes as soon as it has them. When this throws and it has none,
    /// the transaction is open as before: nothing is in the log, or, after `.io`, what is there shows at the next open.
    ///
    /// - Throws: `.transactionExpired`, `.transactionState`, `.busy`, and what `Log.append` throws.
    public func commit(_ policy: Policy?, _ committed: inout Range<UInt64>?) throws(LogError) {
        try log.checkUsable()
        let records = try staging.withLock { (staging) throws(LogError) in
            try checkOpen(&staging)
            staging.phase = .committing
            return staging.records
        }
        do throws(LogError) {
            try log.append(records, policy) { first in committed = first..<first + UInt64(records.count) }
            end(.committed, phase: .done)
        } catch {
            // What is in the log must not be committed twice.
            if committed != nil { end(.committed, phase: .committed) } else { reopen() }
            throw error
        }
    }

    /// Drops what was staged, whatever the state. In a forked child the memory alone is given up.
    ///
    /// - Throws: `.forked`; `.busy` from inside its own commit, and then it goes on.
    public func rollback() throws(LogError) {
        if log.wasForked { return try log.checkUsable() }
        let phase = try staging.withLock { staging in staging.phase }
        if phase == .committing { throw Transaction.busyError }
        if phase == .open { end(.rolledBack, phase: .done) }
    }

    /// In a forked child: whether nobody was at work on it when the process forked. Otherwise it is not to be touched, let alone freed.
    public var isWhole: Bool {
        guard log.wasForked else { return true }
        guard staging.mutex.tryLock() else { return false }
        staging.mutex.unlock()
        return true
    }

    public func state() throws(LogError) -> TransactionState {
        try log.checkUsable()
        return try staging.withLock { staging in
            if staging.phase == .open && isDue { expire(&staging) }
            switch staging.phase {
            case .open, .committing: return .open
            case .expired: return .expired
            case .committed, .done: return .committed
            }
        }
    }

    // ---- Expiry

    private var isDue: Bool { deadline != .max && deadline <= log.storage.monotonic() }

    /// Its time is over. Returns whether that was news.
    func expire() -> Bool {
        (try? staging.withLock { staging in
            if staging.phase == .committing { staging.isOverdue = true }
            guard staging.phase == .open else { return false }
            expire(&staging)
            return true
        }) ?? false
    }

    private func expire(_ staging: inout Staging) {
        staging.clear()
        staging.phase = .expired
        leave(.expired)
    }

    private func checkOpen(_ staging: inout Staging) throws(LogError) {
        // The background sees to it, too, but it may be late, or have found no thread.
        if staging.phase == .open && isDue { expire(&staging) }
        switch staging.phase {
        case .open: return
        case .committing: throw Transaction.busyError
        case .expired:
            throw LogError(.transactionExpired, "the transaction's time was over; roll it back and begin a new one")
        case .committed, .done:
            throw LogError(.transactionState, "the transaction's entries are in the log already; roll it back to free it")
        }
    }

    private static var busyError: LogError { LogError(.busy, "the transaction is being committed") }

    // ---- Ends

    private func end(_ way: TransactionEnd, phase: Staging.Phase) {
        try? staging.withLock { staging in
            staging.clear()
            staging.phase = phase
            leave(way)
        }
    }

    /// After a commit that left no trace.
    private func reopen() {
        try? staging.withLock { staging in
            staging.phase = .open
            if staging.isOverdue { expire(&staging) }
        }
    }

    private func leave(_ way: TransactionEnd) {
        try? log.transactions.withLock { $0.leave(self, way) }
    }
}

// ---- What is staged

struct StagedEntry: BitwiseCopyable {
    var offset: Int
    var size: Int
    var index: UInt64
    var term: UInt64?
    var time: Int64?
}

/// The payloads lie one behind the other in one block: where it is large, the system moves pages and not bytes when it grows.
public struct Staging: ~Copyable {
    enum Phase { case open, committing, expired, committed, done }

    var phase = Phase.open
    /// Its time was over during a commit.
    var isOverdue = false
    private var entries = CArray<StagedEntry>()
    private var payloads = CArray<UInt8>()
    private var frameBytes: UInt64 = 0

    init() {}

    mutating func add(_ record: Record, _ options: Options) throws(LogError) {
        let size = record.payload.count
        guard UInt64(entries.count) < options.transactionMaxEntries else {
            throw LogError(.transactionFull, "the transaction has txn_max_entries already; commit it, or raise that option")
        }
        guard size <= options.maxEntrySize else { throw LogError(.tooLarge, "the entry is larger than max_entry_size") }
        let frames = frameBytes + UInt64(FrameHeader.frameSize(size))
        guard frames <= Limits.batchSize else { throw LogError(.tooLarge, "the transaction takes up more than 2 GiB") }
        try entries.reserve(1)
        let offset = payloads.count
        try payloads.append(copyOf: record.payload)
        try entries.append(
            StagedEntry(offset: offset, size: size, index: record.index, term: record.term, time: record.time))
        frameBytes = frames
    }

    mutating func clear() {
        entries = CArray()
        payloads = CArray()
        frameBytes = 0
    }

    var records: StagedRecords { StagedRecords(entries: entries.view, payloads: payloads.bytes) }
}

/// The staged entries, read in place while their transaction is being committed.
struct StagedRecords: Records {
    let entries: CArrayView<StagedEntry>
    let payloads: Bytes

    @inline(__always) var count: Int { entries.count }
    @inline(__always) func record(_ i: Int) -> Record {
        let entry = entries[i]
        return Record(
            payload: payloads.slice(entry.offset, entry.size), index: entry.index, term: entry.term, time: entry.time)
    }
}
