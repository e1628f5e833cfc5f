// Appending.swift - append in all its forms

internal import WalrusCore

/// What an append is to have done when it returns, in place of the log's `sync`.
public enum Durability: Sendable {
    /// The entry, and all before it, are on stable storage.
    case durable
    /// It is handed to the operating system: it survives a killed process.
    case toOS
    /// It is in memory.
    case buffered

    var policy: Policy {
        switch self {
        case .durable: .durable
        case .toOS: .system
        case .buffered: .buffered
        }
    }
}

extension Log {
    /// Appends an entry and returns its index. Appends from several threads share their syncs.
    ///
    /// - Throws: `.tooLarge`, `.outOfOrder`, `.noSpace`, `.noMemory`, `.readOnly`, `.invalid`, `.busy`: certainly not in the log. `.canceled`: in the
    ///   log at the error's `index`. `.io`, `.poisoned`, `.closed`: the next open tells.
    @discardableResult
    public func append(
        _ bytes: RawSpan, term: UInt64? = nil, index: UInt64? = nil, timestampNanoseconds: Int64? = nil,
        durability: Durability? = nil
    ) throws(WalrusError) -> UInt64 {
        try call { (log) throws(LogError) in
            try withEngineBytes(bytes) { (payload) throws(LogError) in
                let record = WalrusCore.Record(payload: payload, index: index ?? 0, term: term, time: timestampNanoseconds)
                return try put(OneRecord(record), into: log, durability)
            }
        }
    }

    /// Appends an entry and returns its index; throws as the one with a span.
    @discardableResult
    public func append(_ bytes: [UInt8], durability: Durability? = nil) throws(WalrusError) -> UInt64 {
        try unsafe append(bytes.span.bytes, durability: durability)
    }

    /// Appends a text as UTF-8 and returns its index; throws as the one with a span.
    @discardableResult
    public func append(_ text: String, durability: Durability? = nil) throws(WalrusError) -> UInt64 {
        try unsafe append(text.utf8.span.bytes, durability: durability)
    }

    /// Appends an entry and returns its index; throws as the one with a span.
    @discardableResult
    public func append(_ record: Record, durability: Durability? = nil) throws(WalrusError) -> UInt64 {
        try unsafe append(
            record.payload.span.bytes, term: record.term, index: record.index,
            timestampNanoseconds: record.timestampNanoseconds, durability: durability)
    }

    /// Appends records as one batch and returns their indexes: after any crash all of them are there, or none. No records: a no-op, whose
    /// empty range stands at the next index. Throws as `append`; nothing of the batch is in the log then.
    @discardableResult
    public func append(contentsOf records: [Record], durability: Durability? = nil) throws(WalrusError) -> Range<UInt64> {
        try call { (log) throws(LogError) in
            if records.isEmpty {
                try log.checkWritable()
                return log.nextIndex..<log.nextIndex
            }
            return try Batch.with(records) { (batch) throws(LogError) in
                let first = try put(batch, into: log, durability)
                return first..<first + UInt64(records.count)
            }
        }
    }

    private func put<R: Records>(
        _ records: R, into log: DiskLog, _ durability: Durability?
    ) throws(LogError) -> UInt64 {
        var first: UInt64 = 0
        do throws(LogError) {
            try log.append(records, durability?.policy) { first = $0 }
        } catch {
            guard error.code == .canceled else { throw error }
            var located = error
            located.index = first
            throw located
        }
        return first
    }

    /// Drops every entry from `index` on and appends `records` in their place, as one step: after a crash the log has all of the old end or
    /// all of the new one. Durable on return.
    ///
    /// - Throws: `.notFound` above the next index, `.compacted` below the first, and as `append`.
    public func replaceSuffix(from index: UInt64, with records: [Record]) throws(WalrusError) {
        try call { (log) throws(LogError) in
            if records.isEmpty { return try log.replaceSuffix(index, NoRecords()) }
            try Batch.with(records) { (batch) throws(LogError) in try log.replaceSuffix(index, batch) }
        }
    }

    // ---- Asynchronously

    /// Appends an entry and returns its index without waiting for it to become durable, which the background sees to at once, whatever `sync` says.
    /// `completion` is told once that has happened (nil), or why it is not known (`.io`, `.poisoned`, `.closed`), in the order of the
    /// indexes, on a thread of the log. It may call whatever does not wait; the rest answers `.busy`.
    ///
    /// Waits only while `asyncMaxBytes` are outstanding.
    /// - Throws: as `append`; then `completion` is not called.
    @discardableResult
    public func appendAsync(
        _ record: Record, completion: @escaping @Sendable (UInt64, WalrusError?) -> Void
    ) throws(WalrusError) -> UInt64 {
        let told = unsafe Unmanaged.passRetained(Told(completion))
        do throws(WalrusError) {
            return try call { (log) throws(LogError) in
                var assigned: UInt64 = 0
                try record.withRecord { (record) throws(LogError) in
                    try log.appendAsync(record, unsafe Completion(tell, context: told.toOpaque())) { assigned = $0 }
                }
                return assigned
            }
        } catch {
            unsafe told.release()
            throw error
        }
    }

    /// Appends an entry and returns its index once it is durable, without holding a thread meanwhile. Many of them at once share a sync.
    ///
    /// - Throws: as `append`.
    @discardableResult
    public func appendAsync(_ record: Record) async throws(WalrusError) -> UInt64 {
        let result: Result<UInt64, WalrusError> = await withCheckedContinuation { continuation in
            do throws(WalrusError) {
                try appendAsync(record) { index, error in
                    continuation.resume(returning: error.map { .failure($0) } ?? .success(index))
                }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        return try result.get()
    }
}

/// A completion, where the engine can point to it.
private final class Told: Sendable {
    let completion: @Sendable (UInt64, WalrusError?) -> Void

    init(_ completion: @escaping @Sendable (UInt64, WalrusError?) -> Void) { self.completion = completion }
}

private func tell(_ context: UnsafeMutableRawPointer?, _ index: UInt64, _ status: Int32) {
    guard let context = unsafe context else { return }
    let told = unsafe Unmanaged<Told>.fromOpaque(context).takeRetainedValue()
    if status == 0 { return told.completion(index, nil) }
    let code = WalrusError.Code(rawValue: status) ?? .internal
    told.completion(
        index, WalrusError(code, "the entry at index \(index) is not known to be durable: \(code.explanation)", index: index))
}
