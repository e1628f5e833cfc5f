// MetadataState.swift - the caller's key-value records: what holds, what waits, and where it stands on disk
//
// A change gets into the slots by an update of its own, or it rides: it is staged, and a metadata frame takes it along with the next
// append. What has ridden is *folded* into the slots later, so that nobody has to look for it; until then each new segment repeats it,
// so that the last segment alone says all that the slots do not. One sequence number orders changes of both kinds: the slots
// tell up to which one they know, and frames with a higher one are newer.
//
// Only what is durable may be folded: a power cut may take an append that is not, and must take what rode on it, too.
// So what has ridden is kept in two parts, of which the older one becomes durable, and can be folded, while newer rides follow.

/// Records that have ridden on appends.
struct Rides: ~Copyable {
    var records = MetadataRecords()
    /// Of the last of them.
    var sequence: UInt64 = 0
    /// They are durable once this index is. 0: there are none.
    var lastIndex: UInt64 = 0

    mutating func clear() {
        records.removeAll()
        lastIndex = 0
    }
}

/// Guarded by the writer's mutex.
struct MetadataState: ~Copyable {
    /// What holds: what readers see.
    private(set) var current = MetadataRecords()
    /// What the next append takes along.
    private(set) var staged = MetadataRecords()
    private var older = Rides()
    private var newer = Rides()
    /// What an update is to write.
    private var next = MetadataRecords()
    /// Of the last change.
    private(set) var sequence: UInt64 = 0

    init() {}

    /// Replaces everything but what is staged: by the slots' records and by what the last segment's metadata frames say
    /// beyond them, the last of which lies before `lastIndex` + 1.
    ///
    /// - Throws: `.corrupt` if it is more than any writer writes; `.noMemory`.
    mutating func load(_ folded: Bytes, sequence: UInt64, _ ridden: borrowing RiddenMetadata, lastIndex: UInt64)
        throws(LogError)
    {
        older.clear()
        newer.clear()
        current.removeAll()
        self.sequence = max(sequence, ridden.sequence)
        if folded.count == 0 && ridden.records.isEmpty { return }
        try makeRoom()
        current.replace(with: folded)
        if ridden.sequence <= sequence { return }
        newer.records.replace(with: ridden.records.bytes)
        newer.sequence = ridden.sequence
        newer.lastIndex = lastIndex
        if !current.merge(ridden.records.bytes) || ridden.isTooLarge {
            throw LogError(.corrupt, "the metadata is larger than it can be", file: .metadata)
        }
    }

    /// So that nothing fails for want of memory once it has begun.
    private mutating func makeRoom() throws(LogError) {
        try current.makeRoom()
        try staged.makeRoom()
        try older.records.makeRoom()
        try newer.records.makeRoom()
        try next.makeRoom()
    }

    /// The last index on which something rode that the slots do not have; 0 if there is none.
    var lastRide: UInt64 { max(older.lastIndex, newer.lastIndex) }

    /// Whether a record rode on an append, and no slot has it yet.
    func isRidden(_ key: Bytes) -> Bool {
        older.records.record(MetadataRecord.callers, key) != nil || newer.records.record(MetadataRecord.callers, key) != nil
    }

    // ---- Staging and riding

    private static var tooLarge: LogError {
        LogError(.tooLarge, "all keys and values together would take up more than 64 KiB; delete some, or store less")
    }

    /// Stages a record. Returns the bytes of records that the slots may have to hold because of it.
    mutating func stage(_ record: MetadataRecord) throws(LogError) {
        try makeRoom()
        next.replace(with: staged.bytes)
        guard next.set(record), current.union(with: next).weight <= MetadataRecords.capacity else {
            throw MetadataState.tooLarge
        }
    }

    /// Bytes of records in the slots when what `stage` has looked at is in them.
    var sizeWhenStaged: Int { current.union(with: next).count }

    /// What `stage` has looked at is staged.
    mutating func keepStaged() { swap(&staged, &next) }

    var stagedFrameSize: Int { staged.frameSize }

    /// The payload of the frame that takes along what is staged.
    func stagedPayload() -> Bytes { staged.payload(sequence: sequence + 1) }

    /// What was staged is in the log, in a batch that ends with `lastIndex`.
    mutating func ride(lastIndex: UInt64) {
        sequence += 1
        _ = current.merge(staged.bytes)
        _ = newer.records.merge(staged.bytes)
        newer.sequence = sequence
        newer.lastIndex = lastIndex
        staged.removeAll()
    }

    // ---- What a new segment repeats

    /// Everything that has ridden and is not folded, from now on as the older part.
    mutating func gatherRides() {
        if newer.lastIndex == 0 { return }
        _ = older.records.merge(newer.records.bytes)
        older.sequence = newer.sequence
        older.lastIndex = newer.lastIndex
        newer.clear()
    }

    var repeatedFrameSize: Int { older.records.frameSize }
    /// 0: nothing is to be repeated.
    var repeatedSequence: UInt64 { older.lastIndex == 0 ? 0 : older.sequence }
    func repeatedPayload() -> Bytes { older.records.payload(sequence: older.sequence) }

    // ---- Folding

    /// What an update of the slots is to write.
    enum Change {
        /// One record, and all that has ridden, which is durable.
        case set(MetadataRecord)
        case remove(Bytes)
        /// What is staged, and all that has ridden, which is durable.
        case setStaged
        /// All that has ridden: it is durable, or the entries it rode on are dropped by the same update.
        case foldAll
        /// The older rides, which are durable.
        case foldOlder
    }

    /// Makes ready what a change is to write. Nothing is changed when it throws.
    ///
    /// - Returns: bytes of the records.
    /// - Throws: `.tooLarge`, `.notFound`, `.noMemory`.
    mutating func prepare(_ change: Change, folded: Bytes) throws(LogError) -> Int {
        try makeRoom()
        next.replace(with: current.bytes)
        switch change {
        case .set(let record):
            guard next.set(record), next.weight <= MetadataRecords.capacity,
                next.union(with: staged).weight <= MetadataRecords.capacity
            else { throw MetadataState.tooLarge }
        case .remove(let key):
            guard next.remove(MetadataRecord.callers, key) else { throw MetadataState.notFound }
        case .setStaged: _ = next.merge(staged.bytes)
        case .foldAll: break
        case .foldOlder:
            next.replace(with: folded)
            _ = next.merge(older.records.bytes)
        }
        return next.count
    }

    static var notFound: LogError { LogError(.notFound, "there is no metadata with this key") }

    /// Writes what was prepared into the slots, together with `update`.
    ///
    /// - Throws: when the slots are not known any more, and the caller must poison.
    mutating func write<S: Storage>(
        _ change: Change, to store: inout MetadataStore<S>, _ update: (inout MetadataSlot) -> Void = { _ in }
    ) throws(LogError) {
        switch change {
        case .foldOlder:
            try store.update(records: next, sequence: older.sequence, update)
            return older.clear()
        case .foldAll: try store.update(records: next, sequence: sequence, update)
        default:
            try store.update(records: next, sequence: sequence + 1, update)
            sequence += 1
        }
        swap(&current, &next)
        older.clear()
        newer.clear()
        if case .setStaged = change { staged.removeAll() }
    }

    /// Whether the older rides can be folded.
    func canFoldOlder(durableIndex: UInt64) -> Bool { older.lastIndex != 0 && older.lastIndex <= durableIndex }
    var hasOlderRides: Bool { older.lastIndex != 0 }
}
