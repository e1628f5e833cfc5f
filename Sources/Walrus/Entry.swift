// Entry.swift - what is appended, and what is read

internal import WalrusCore

/// An entry to append.
public struct Record: Sendable {
    public var payload: [UInt8]
    /// The caller's epoch (a Raft term), stored as given; may fall. nil: that of the previous entry.
    public var term: UInt64?
    /// nil: the next one. Otherwise it must be the next one, or any from 1 to 2^63 in a log that never held an entry.
    public var index: UInt64?
    /// Nanoseconds since 1970 UTC, stored as given. nil: now, and not earlier than any stamp that the log gave itself.
    public var timestampNanoseconds: Int64?

    public init(_ payload: [UInt8], term: UInt64? = nil, index: UInt64? = nil, timestampNanoseconds: Int64? = nil) {
        self.payload = payload
        self.term = term
        self.index = index
        self.timestampNanoseconds = timestampNanoseconds
    }

    public init(_ text: String, term: UInt64? = nil, index: UInt64? = nil, timestampNanoseconds: Int64? = nil) {
        self.init(Array(text.utf8), term: term, index: index, timestampNanoseconds: timestampNanoseconds)
    }

    /// Calls `body` with the record as the engine takes it.
    func withRecord<Result>(_ body: (WalrusCore.Record) throws(LogError) -> Result) throws(LogError) -> Result {
        try unsafe withEngineBytes(payload.span.bytes) { (bytes) throws(LogError) in
            try body(WalrusCore.Record(payload: bytes, index: index ?? 0, term: term, time: timestampNanoseconds))
        }
    }
}

/// Calls `body` with a view of `span`.
///
/// - Throws: `.tooLarge` above what any entry may have.
func withEngineBytes<Result>(
    _ span: RawSpan, _ body: (Bytes) throws(LogError) -> Result
) throws(LogError) -> Result {
    guard span.byteCount <= Limits.maxEntrySize.upperBound else {
        throw LogError(.tooLarge, "the entry is larger than any entry may be (1 GiB)")
    }
    return try unsafe span.withUnsafeBytes { (buffer) throws(LogError) in
        try body(unsafe Bytes(buffer.baseAddress, count: buffer.count))
    }
}

/// The records of a batch, their payloads copied into one block: the engine looks at them more than once.
struct Batch: Records {
    private let records: [Record]
    private let payloads: Bytes
    private let offsets: [Int]

    /// Calls `body` with the batch.
    static func with<Result>(
        _ records: [Record], _ body: (Batch) throws(LogError) -> Result
    ) throws(LogError) -> Result {
        var offsets: [Int] = []
        offsets.reserveCapacity(records.count)
        var size = 0
        for record in records {
            offsets.append(size)
            size += record.payload.count
            guard size <= Limits.batchSize else { throw LogError(.tooLarge, "the batch is larger than 2 GiB") }
        }
        let block = try Memory(count: size)
        for (record, offset) in zip(records, offsets) {
            try record.withRecord { (engine) throws(LogError) in block.bytes.copy(engine.payload, to: offset) }
        }
        return try body(Batch(records: records, payloads: block.bytes.bytes, offsets: offsets))
    }

    private init(records: [Record], payloads: Bytes, offsets: [Int]) {
        self.records = records
        self.payloads = payloads
        self.offsets = offsets
    }

    var count: Int { records.count }

    func record(_ i: Int) -> WalrusCore.Record {
        let record = records[i]
        return WalrusCore.Record(
            payload: payloads.slice(offsets[i], record.payload.count), index: record.index ?? 0, term: record.term,
            time: record.timestampNanoseconds)
    }
}

/// An entry that was read. Its bytes stay valid for as long as it lives, whatever happens to the log; they may keep a segment file mapped.
public struct Entry: Sendable {
    public let index: UInt64
    public let term: UInt64
    public let timestampNanoseconds: Int64
    /// CRC-32 (IEEE) of the payload.
    public let checksum: UInt32
    private let payload: Payload

    init(_ entry: WalrusCore.Entry) {
        index = entry.index
        term = entry.term
        timestampNanoseconds = entry.time
        checksum = entry.checksum
        payload = Payload(entry)
    }

    /// The payload's size in bytes.
    public var count: Int { payload.bytes.count }

    /// The payload, where it lies: in the mapped file, with `zeroCopy`.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            guard let address = unsafe payload.bytes.address else { return RawSpan() }
            return unsafe _overrideLifetime(
                RawSpan(_unsafeStart: address, byteCount: payload.bytes.count), borrowing: self)
        }
    }

    /// The payload as elements.
    public var span: Span<UInt8> {
        @_lifetime(borrow self)
        get { unsafe _overrideLifetime(Span(_bytes: bytes), borrowing: self) }
    }

    /// The payload as UTF-8; what is none is replaced.
    public var string: String { unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) } }
}

extension Array<UInt8> {
    /// A copy of the entry's payload.
    public init(_ entry: Entry) { self = unsafe entry.bytes.withUnsafeBytes { unsafe Array($0) } }
}

/// Gives an entry's bytes back when the last copy of it goes.
private final class Payload: Sendable {
    let bytes: Bytes
    private let owner: EntryOwner

    init(_ entry: WalrusCore.Entry) {
        bytes = entry.payload
        owner = entry.owner
    }

    deinit { owner.release() }
}
