// Record.swift - what is appended, and what is read

/// One entry to append.
public struct Record {
    public var payload: Bytes
    /// 0: the next one.
    public var index: UInt64
    /// nil: that of the previous entry.
    public var term: UInt64?
    /// nil: now.
    public var time: Int64?
    /// The payload compressed, with its prefix; empty if it is not.
    var deflated = Bytes.empty

    /// What a frame has for its payload: in formats that have fields for size and checksum, the stream alone.
    @inline(__always)
    func stored(_ format: FrameFormat) -> Bytes {
        if deflated.count == 0 { return payload }
        return format == .binary ? deflated : deflated.slice(Compression.prefixSize, deflated.count - Compression.prefixSize)
    }

    public init(payload: Bytes, index: UInt64 = 0, term: UInt64? = nil, time: Int64? = nil) {
        self.payload = payload
        self.index = index
        self.term = term
        self.time = time
    }
}

/// Entries to append, looked at one by one and more than once: so foreign structs need not be copied first.
public protocol Records {
    var count: Int { get }
    func record(_ i: Int) throws(LogError) -> Record
}

extension Records {
    /// The payload of a record that asks for nothing else: for no index, for no time, and for no other term than this one.
    @inline(__always)
    func plain(_ i: Int, term: UInt64) -> Bytes? {
        guard let record = try? record(i), record.index == 0, record.time == nil, record.term ?? term == term,
            record.deflated.count == 0
        else { return nil }
        return record.payload
    }
}

public struct OneRecord: Records {
    let only: Record
    public init(_ record: Record) { only = record }
    @inline(__always) public var count: Int { 1 }
    @inline(__always) public func record(_: Int) -> Record { only }
}

public struct NoRecords: Records {
    public init() {}
    public var count: Int { 0 }
    public func record(_: Int) throws(LogError) -> Record { throw LogError(.internal, "there are no records") }
}

/// Records of which the first is to get a certain index.
struct PlacedRecords<R: Records>: Records {
    let records: R
    let from: UInt64

    @inline(__always) var count: Int { records.count }

    @inline(__always)
    func record(_ i: Int) throws(LogError) -> Record {
        var record = try records.record(i)
        let index = from &+ UInt64(truncatingIfNeeded: i)
        if record.index != 0 && record.index != index {
            throw LogError(
                .outOfOrder, "the record's index is not the one that it would get", index: record.index, lastIndex: index)
        }
        record.index = index
        return record
    }
}

/// One entry that was read. Whoever holds it gives its owner back.
public struct Entry {
    public var index: UInt64
    public var term: UInt64
    public var time: Int64
    public var payload: Bytes
    public var checksum: UInt32
    public var owner: EntryOwner
}
