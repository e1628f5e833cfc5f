// OpenTransactions.swift - the transactions of a log that are open: how many, and which expires next
//
// Those with a deadline stand in a heap, the earliest on top, so that ten thousand of them cost each begin and each end a few steps.
// A transaction's own mutex is taken before this one.

import CWalrusPlatform

public struct TransactionCounts: Sendable {
    public var open: UInt64 = 0
    public var committed: UInt64 = 0
    public var rolledBack: UInt64 = 0
    public var expired: UInt64 = 0
    init() {}
}

public struct OpenTransactions<S: Storage>: ~Copyable {
    /// Not counted: a transaction leaves before it is freed.
    @safe private struct Entry: BitwiseCopyable {
        var deadline: Int64
        var transaction: Unmanaged<Transaction<S>>
    }

    private(set) var counts = TransactionCounts()
    private var heap = CArray<Entry>()

    init() {}

    var earliest: Int64? { heap.count > 0 ? heap[0].deadline : nil }

    mutating func enter(_ transaction: Transaction<S>) throws(LogError) {
        if transaction.deadline != .max {
            try unsafe heap.append(Entry(deadline: transaction.deadline, transaction: Unmanaged.passUnretained(transaction)))
            rise(from: heap.count - 1)
        }
        counts.open += 1
    }

    /// It is open no longer.
    mutating func leave(_ transaction: Transaction<S>, _ end: TransactionEnd) {
        if let place = transaction.place { remove(place) }
        counts.open -= 1
        switch end {
        case .committed: counts.committed += 1
        case .rolledBack: counts.rolledBack += 1
        case .expired: counts.expired += 1
        }
    }

    /// Takes out one whose time is over: it is still open, and stays alive for as long as the caller holds it.
    mutating func takeDue(_ now: Int64) -> Transaction<S>? {
        guard heap.count > 0, heap[0].deadline <= now else { return nil }
        let due = unsafe heap[0].transaction.takeUnretainedValue()
        remove(0)
        return due
    }

    // ---- The heap

    private mutating func put(_ entry: Entry, at place: Int) {
        heap[place] = entry
        unsafe entry.transaction._withUnsafeGuaranteedRef { $0.place = place }
    }

    private mutating func remove(_ place: Int) {
        unsafe heap[place].transaction._withUnsafeGuaranteedRef { $0.place = nil }
        let last = heap[heap.count - 1]
        heap.removeLast(1)
        if place == heap.count { return }
        put(last, at: place)
        rise(from: place)
        sink(from: place)
    }

    private mutating func rise(from start: Int) {
        let entry = heap[start]
        var place = start
        while place > 0, heap[(place - 1) / 2].deadline > entry.deadline {
            put(heap[(place - 1) / 2], at: place)
            place = (place - 1) / 2
        }
        put(entry, at: place)
    }

    private mutating func sink(from start: Int) {
        let entry = heap[start]
        var place = start
        while 2 * place + 1 < heap.count {
            var child = 2 * place + 1
            if child + 1 < heap.count, heap[child + 1].deadline < heap[child].deadline { child += 1 }
            if heap[child].deadline >= entry.deadline { break }
            put(heap[child], at: place)
            place = child
        }
        put(entry, at: place)
    }
}

extension Log {
    /// Begins a transaction that may stay open for `timeout` milliseconds; nil: for ever.
    ///
    /// - Throws: `.readOnly`, `.poisoned`, `.noMemory`.
    public func beginTransaction(timeout: UInt64?) throws(LogError) -> Transaction<S> {
        try checkWritable()
        let transaction = try Transaction(self, deadline: deadline(in: timeout))
        try transactions.withLock { (open) throws(LogError) in try open.enter(transaction) }
        if transaction.deadline != .max { storage.background.request(at: transaction.deadline) }
        return transaction
    }

    private func deadline(in timeout: UInt64?) -> Int64 {
        guard let timeout else { return .max }
        let (nanoseconds, isTooMuch) = timeout.multipliedReportingOverflow(by: 1_000_000)
        let now = storage.monotonic()
        return isTooMuch || nanoseconds >= UInt64(Int64.max - now) ? .max : now + Int64(nanoseconds)
    }

    /// Expires those whose time is over and returns how many.
    @discardableResult
    public func expireTransactions() -> UInt64 {
        let now = storage.monotonic()
        var expired: UInt64 = 0
        while let due = try? transactions.withLock({ $0.takeDue(now) }) {
            if due.expire() { expired += 1 }
        }
        if let next = try? transactions.withLock({ $0.earliest }) { storage.background.request(at: next) }
        if expired > 0 {
            options.diagnostics.log(.warn) {
                $0.add("transactions that expired before they were committed: ")
                $0.add(expired)
            }
        }
        return expired
    }

    public var openTransactions: UInt64 {
        isUsable ? (try? transactions.withLock { $0.counts.open }) ?? 0 : 0
    }
}
