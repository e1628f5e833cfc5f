// MetadataRecords.swift - key-value records, one behind the other, as slots and metadata frames hold them
//
//      0        2      4         8
//      +--------+------+---------+-----+-------+----------------------
//      | key    | kind | value   | key | value | zeros to a multiple
//      | length |      | length  |     |       | of 8
//      +--------+------+---------+-----+-------+----------------------
//
// In order of kind and key, none twice. What is kept in memory is the very bytes that are written. Nothing of what was read is
// believed before `isWellFormed` has said yes.

/// One record, as a view of the bytes that hold it.
struct MetadataRecord {
    static var headerSize: Int { 8 }
    static var longestKey: Int { 255 }
    static var largestValue: Int { 65535 }
    /// The kind of what the caller sets.
    static var callers: UInt16 { 0 }

    var kind: UInt16
    var key: Bytes
    var value: Bytes

    init(key: Bytes, value: Bytes) {
        kind = MetadataRecord.callers
        self.key = key
        self.value = value
    }

    /// The record at `at`, of records that are well-formed.
    init(in records: Bytes, at: Int) {
        let keyLength = Int(records.u16(at))
        kind = records.u16(at + 2)
        key = records.slice(at + MetadataRecord.headerSize, keyLength)
        value = records.slice(at + MetadataRecord.headerSize + keyLength, Int(records.u32(at + 4)))
    }

    /// Bytes of the record with what fills it up.
    var size: Int { (MetadataRecord.headerSize + key.count + value.count + 7) & ~7 }
    /// What it counts for in the limit that callers are told. Never less than its size.
    var weight: Int { key.count + value.count + 16 }

    /// Below 0 if it stands before a record with `kind` and `key`, 0 if it is that one.
    func order(_ kind: UInt16, _ key: Bytes) -> Int {
        self.kind == kind ? self.key.order(key) : self.kind < kind ? -1 : 1
    }

    fileprivate func encode(to target: MutableBytes) {
        target.store16(UInt16(key.count), 0)
        target.store16(kind, 2)
        target.store32(UInt32(value.count), 4)
        target.copy(key, to: MetadataRecord.headerSize)
        let end = MetadataRecord.headerSize + key.count
        target.copy(value, to: end)
        target.zero(end + value.count, size - end - value.count)
    }
}

/// A set of records in memory of its own, which is asked for once and never moves.
public struct MetadataRecords: ~Copyable {
    /// No set is larger, whether by its bytes or by its weight.
    static var capacity: Int { 64 << 10 }
    /// A metadata frame begins with its sequence number; room for that is kept before the records.
    private static var front: Int { 8 }

    private var memory: Memory? = nil
    /// All of the memory, the front included; nothing as long as there is none.
    private var room = MutableBytes.empty
    /// Bytes of all records.
    private(set) var count = 0
    private(set) var weight = 0

    init() {}

    var isEmpty: Bool { count == 0 }
    var bytes: Bytes { count == 0 ? .empty : room.bytes.slice(MetadataRecords.front, count) }

    /// Makes sure of the memory, so that no change can fail for want of it.
    mutating func makeRoom() throws(LogError) {
        if room.count > 0 { return }
        let made = try Memory(count: MetadataRecords.front + MetadataRecords.capacity)
        room = made.bytes
        memory = consume made
    }

    /// Whether `bytes` are records that a writer may have written.
    static func isWellFormed(_ bytes: Bytes) -> Bool {
        guard bytes.count <= capacity else { return false }
        var at = 0
        var previous: MetadataRecord? = nil
        while at < bytes.count {
            guard bytes.count - at >= MetadataRecord.headerSize else { return false }
            let keyLength = Int(bytes.u16(at))
            let valueLength = Int(bytes.u32(at + 4))
            guard keyLength >= 1, keyLength <= MetadataRecord.longestKey, valueLength <= MetadataRecord.largestValue,
                (MetadataRecord.headerSize + keyLength + valueLength + 7) & ~7 <= bytes.count - at
            else { return false }
            let record = MetadataRecord(in: bytes, at: at)
            guard !record.key.containsZero, previous.map({ $0.order(record.kind, record.key) < 0 }) ?? true else {
                return false
            }
            previous = record
            at += record.size
        }
        return true
    }

    func forEach(_ body: (MetadataRecord) -> Void) {
        var at = 0
        while at < count {
            let record = MetadataRecord(in: bytes, at: at)
            body(record)
            at += record.size
        }
    }

    /// Where a record stands, or would, and whether it is there. `start`: it stands no earlier.
    private func find(_ kind: UInt16, _ key: Bytes, from start: Int = 0) -> (at: Int, isThere: Bool) {
        var at = start
        while at < count {
            let record = MetadataRecord(in: bytes, at: at)
            let order = record.order(kind, key)
            if order >= 0 { return (at, order == 0) }
            at += record.size
        }
        return (at, false)
    }

    func record(_ kind: UInt16, _ key: Bytes) -> MetadataRecord? {
        let (at, isThere) = find(kind, key)
        return isThere ? MetadataRecord(in: bytes, at: at) : nil
    }

    /// Puts a record in the place of the one with its key. False, and nothing is changed, if there is no room.
    mutating func set(_ record: MetadataRecord) -> Bool { put(record, from: 0) != nil }

    /// Returns where the next record stands, or nil if there was no room.
    private mutating func put(_ record: MetadataRecord, from start: Int) -> Int? {
        guard room.count > 0 else { return nil }
        let target = room.slice(MetadataRecords.front, MetadataRecords.capacity)
        let (at, isThere) = find(record.kind, record.key, from: start)
        let old = isThere ? MetadataRecord(in: bytes, at: at) : nil
        let oldSize = old?.size ?? 0
        guard count - oldSize + record.size <= MetadataRecords.capacity else { return nil }
        let oldWeight = old?.weight ?? 0
        target.copy(target.bytes.slice(at + oldSize, count - at - oldSize), to: at + record.size)
        record.encode(to: target.slice(at, record.size))
        count += record.size - oldSize
        weight += record.weight - oldWeight
        return at + record.size
    }

    /// False if there is no such record.
    mutating func remove(_ kind: UInt16, _ key: Bytes) -> Bool {
        let (at, isThere) = find(kind, key)
        guard isThere else { return false }
        let target = room.slice(MetadataRecords.front, MetadataRecords.capacity)
        let old = MetadataRecord(in: bytes, at: at)
        let size = old.size
        weight -= old.weight
        target.copy(target.bytes.slice(at + size, count - at - size), to: at)
        count -= size
        return true
    }

    mutating func removeAll() {
        count = 0
        weight = 0
    }

    /// Sets all that `records` hold, which are well-formed. False if some found no room.
    mutating func merge(_ records: Bytes) -> Bool {
        var isWhole = true
        var at = 0
        var place = 0
        while at < records.count {
            let record = MetadataRecord(in: records, at: at)
            if let next = put(record, from: place) { place = next } else { isWhole = false }
            at += record.size
        }
        return isWhole
    }

    /// Becomes what `records` hold, which are well-formed. There must be room.
    mutating func replace(with records: Bytes) {
        removeAll()
        guard room.count > 0, records.count <= MetadataRecords.capacity else { return }
        room.copy(records, to: MetadataRecords.front)
        count = records.count
        var sum = 0
        forEach { sum += $0.weight }
        weight = sum
    }

    /// Bytes and weight of this set with all of `other` set in it.
    func union(with other: borrowing MetadataRecords) -> (count: Int, weight: Int) {
        var count = self.count
        var weight = self.weight
        var place = 0
        other.forEach { record in
            let (at, isThere) = find(record.kind, record.key, from: place)
            let old = isThere ? MetadataRecord(in: bytes, at: at) : nil
            place = at
            count += record.size - (old?.size ?? 0)
            weight += record.weight - (old?.weight ?? 0)
        }
        return (count, weight)
    }

    // ---- The payload of a metadata frame

    /// Bytes of the frame that takes these records along; none if there are none.
    var frameSize: Int { isEmpty ? 0 : FrameHeader.frameSize(MetadataRecords.front + count) }

    static var largestPayload: Int { front + capacity }

    /// Lives until the records are changed.
    func payload(sequence: UInt64) -> Bytes {
        guard room.count > 0 else { return .empty }
        room.store64(sequence, 0)
        return room.bytes.slice(0, MetadataRecords.front + count)
    }

    /// The sequence number and the records of a metadata frame, or nil if it is none that a writer may have written.
    static func decode(payload: Bytes) -> (sequence: UInt64, records: Bytes)? {
        guard payload.count >= front else { return nil }
        let records = payload.slice(front, payload.count - front)
        let sequence = payload.u64(0)
        guard sequence >= 1, sequence < 1 << 63, isWellFormed(records) else { return nil }
        return (sequence, records)
    }
}

/// What the metadata frames of a segment say, taken up one after the other.
public struct RiddenMetadata: ~Copyable {
    /// Of the last frame that counts.
    private(set) var sequence: UInt64
    private(set) var records = MetadataRecords()
    /// The sequence number of the first frame, whether it counts or not; 0: there was none.
    private(set) var first: UInt64 = 0
    /// Those of a batch that is not whole yet.
    private var pending = MetadataRecords()
    private var pendingSequence: UInt64 = 0
    /// More than any writer writes.
    private(set) var isTooLarge = false

    /// `folded`: frames up to this sequence number say what is known already. `.max`: nobody wants to know.
    init(after folded: UInt64) { sequence = folded }

    var isWanted: Bool { sequence != .max }

    mutating func take(_ payload: Bytes) throws(LogError) {
        guard let (sequence, found) = MetadataRecords.decode(payload: payload) else { return }
        if first == 0 { first = sequence }
        if sequence <= max(self.sequence, pendingSequence) { return }
        try records.makeRoom()
        try pending.makeRoom()
        if !pending.merge(found) { isTooLarge = true }
        pendingSequence = sequence
    }

    /// The batch is whole.
    mutating func keepPending() {
        if pendingSequence == 0 { return }
        if !records.merge(pending.bytes) { isTooLarge = true }
        sequence = pendingSequence
        dropPending()
    }

    /// Adds what a later segment says.
    mutating func add(_ later: borrowing RiddenMetadata) throws(LogError) {
        if later.records.isEmpty { return }
        try records.makeRoom()
        if !records.merge(later.records.bytes) || later.isTooLarge { isTooLarge = true }
        sequence = max(sequence, later.sequence)
    }

    mutating func dropPending() {
        pending.removeAll()
        pendingSequence = 0
    }
}
