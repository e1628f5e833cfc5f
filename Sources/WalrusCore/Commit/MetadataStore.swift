// MetadataStore.swift - the two slots of walrus.meta
//
// Each update writes and syncs the first slot, and then the second before it returns. So a damaged slot beside its predecessor was
// never acknowledged, and a damaged slot beside its equal can be made good. After the end of a process one slot may be torn on the disk that looks good in the page
// cache: the first one where it is the newer, else the second. It is written once more, just as it is, before the other one is touched: where it was on the
// disk already that cannot harm it, so that recovering twice finds the same. Overwriting in place, an update needs no
// new space, unless the records grow: then it is claimed before anything is written. A log can be cut on a full disk.

import CWalrusPlatform

public struct MetadataStore<S: Storage>: ~Copyable {
    private let storage: S
    let file: FileHandle
    private let buffer: Memory
    /// How an opened log's slots stand to each other.
    private enum Standing {
        case equal
        /// An update was interrupted between the two.
        case firstIsNewer
        case secondIsNewer
        case firstIsBad
        case secondIsBad
    }

    private(set) var current: MetadataSlot
    /// How often it was replaced since it was opened.
    private(set) var updates: UInt64 = 0
    /// The records that the slots hold.
    private(set) var records: MetadataRecords
    /// Bytes of each slot for which the file has space.
    private var claimed: Int
    private var standing: Standing
    /// The second slot is good and on the disk, so that the first one can be done without.
    private var isSecondSafe = false

    static var slotOffsets: (UInt64, UInt64) { (0, UInt64(MetadataSlot.capacity)) }

    /// Reads the slots of an existing log. The file is the caller's to close: here and not in a deinit, which the optimiser
    /// leaves out for generic types.
    ///
    /// - Throws: `.corrupt` if neither slot is good; `.version`, `.io`.
    init(storage: S, file: FileHandle) throws(LogError) {
        let buffer = try Memory(count: MetadataSlot.capacity)
        var records = MetadataRecords()
        do throws(LogError) {
            let found = try MetadataStore.readBoth(storage, file, buffer.bytes, &records)
            self.current = found.slot
            self.standing = found.standing
        } catch {
            throw error.located(in: .metadata)
        }
        self.storage = storage
        self.file = file
        self.buffer = buffer
        claimed = MetadataStore.space(for: records.count)
        self.records = records
    }

    func close() { storage.close(file) }

    /// What a log's first metadata has of space for each slot, and what is added to it at a time.
    private static var spaceStep: Int { 4096 }

    private static func space(for recordsSize: Int) -> Int {
        (MetadataSlot.headerSize + recordsSize + spaceStep - 1) / spaceStep * spaceStep
    }

    /// Reads the slot at `offset` into `buffer`.
    private static func read(_ storage: S, _ file: FileHandle, _ offset: UInt64, _ buffer: MutableBytes) throws(LogError)
        -> MetadataSlot.Decoded
    {
        let got = try storage.read(file, at: offset, into: buffer)
        return MetadataSlot.decode(buffer.bytes.slice(0, got))
    }

    /// The newer slot with its records.
    private static func readBoth(
        _ storage: S, _ file: FileHandle, _ buffer: MutableBytes, _ records: inout MetadataRecords
    ) throws(LogError) -> (slot: MetadataSlot, standing: Standing) {
        let first = try read(storage, file, slotOffsets.0, buffer)
        if case .valid(let slot) = first { try keep(slot, buffer.bytes, &records) }
        let second = try read(storage, file, slotOffsets.1, buffer)
        let slot = try choose(first, second)
        switch (first, second) {
        case (.valid(let a), .valid(let b)) where a.sequence >= b.sequence:
            return (slot, a.sequence == b.sequence ? .equal : .firstIsNewer)
        case (.valid, .damaged): return (slot, .secondIsBad)
        case (.valid, _):
            try keep(slot, buffer.bytes, &records)
            return (slot, .secondIsNewer)
        default:
            try keep(slot, buffer.bytes, &records)
            return (slot, .firstIsBad)
        }
    }

    private static func keep(_ slot: MetadataSlot, _ source: Bytes, _ records: inout MetadataRecords) throws(LogError) {
        if slot.recordsSize > 0 { try records.makeRoom() }
        records.replace(with: slot.records(in: source))
    }

    private static func choose(_ first: MetadataSlot.Decoded, _ second: MetadataSlot.Decoded) throws(LogError) -> MetadataSlot {
        switch (first, second) {
        case (.newerVersion, _), (_, .newerVersion):
            throw LogError(.version, "the log was written by a newer version of libwalrus; use that one", file: .metadata)
        case (.unknownFormat, _), (_, .unknownFormat):
            throw LogError(.version, "the log has a format that this version of libwalrus cannot read", file: .metadata)
        case (.valid(let a), .valid(let b)):
            guard a.logID == b.logID else {
                throw LogError(.corrupt, "the two metadata slots belong to different logs", file: .metadata)
            }
            return a.sequence >= b.sequence ? a : b
        case (.valid(let only), .damaged), (.damaged, .valid(let only)): return only
        case (.damaged, .damaged):
            throw LogError(.corrupt, "both metadata slots are damaged; restore walrus.meta from a copy", file: .metadata)
        }
    }

    /// Makes a log's first metadata, under a temporary name until it is durable. The caller syncs the directory.
    static func create(_ slot: MetadataSlot, storage: S) throws(LogError) {
        guard storage.mayGrow(to: slotOffsets.1 + 4096) else {
            throw LogError(.noSpace, "the process's file-size limit (RLIMIT_FSIZE) leaves no room for a log", file: .metadata)
        }
        let file = try storage.open(.metadataInProgress, .create)
        defer { storage.close(file) }
        let block = try Memory(count: 4096)
        block.bytes.zero(0, 4096)
        slot.encode(to: block.bytes, records: .empty)
        try storage.write(file, at: slotOffsets.0, block.bytes.bytes, .empty)
        try storage.write(file, at: slotOffsets.1, block.bytes.bytes, .empty)
        try storage.sync(file)
        try storage.rename(.metadataInProgress, to: .metadata)
    }

    private func mayHold(_ recordsSize: Int) -> Bool {
        storage.mayGrow(to: MetadataStore.slotOffsets.1 + UInt64(MetadataSlot.headerSize + recordsSize))
    }

    /// Makes the slots equal, after an update that was interrupted and where one is damaged. Before anything is done on their word.
    mutating func repair() throws(LogError) {
        if standing == .equal { return }
        try prepare(recordsSize: records.count)
        switch standing {
        case .firstIsNewer:
            try rewrite(slot: 0)
            try rewrite(slot: 1)
        case .secondIsBad: try rewrite(slot: 1)
        case .secondIsNewer: try update { _ in }
        // The only good one is not touched before the other is on the disk.
        case .firstIsBad:
            isSecondSafe = true
            try update { _ in }
        case .equal: break
        }
        standing = .equal
        isSecondSafe = true
    }

    /// Makes sure that the second slot is on the disk, which may have been written by a process that did not see the end of it.
    /// Where the process's file-size limit does not let it, there will be no update either.
    mutating func secure() throws(LogError) {
        if isSecondSafe || !mayHold(records.count) { return }
        try rewrite(slot: 1)
        isSecondSafe = true
    }

    private func rewrite(slot: Int) throws(LogError) {
        do throws(LogError) {
            try write(encode(current, records.bytes), slot: slot)
        } catch {
            throw error.located(in: .metadata)
        }
    }

    /// Makes sure that an update with `recordsSize` bytes of records cannot fail for want of memory or space. Nothing is changed when it
    /// throws.
    mutating func prepare(recordsSize: Int) throws(LogError) {
        if recordsSize > 0 { try records.makeRoom() }
        guard mayHold(recordsSize) else {
            throw LogError(
                .noSpace, "the process's file-size limit (RLIMIT_FSIZE) leaves no room for the metadata", errno: EFBIG,
                file: .metadata)
        }
        let wanted = MetadataStore.space(for: recordsSize)
        if wanted <= claimed { return }
        do throws(LogError) {
            let (first, second) = MetadataStore.slotOffsets
            try storage.claim(file, from: first + UInt64(claimed), to: first + UInt64(wanted))
            try storage.claim(file, from: second + UInt64(claimed), to: second + UInt64(wanted))
        } catch {
            throw error.located(in: .metadata)
        }
        claimed = wanted
    }

    /// Replaces the metadata, but for the records. Durable when it returns. When it throws, either may be what a next open finds.
    mutating func update(_ change: (inout MetadataSlot) -> Void) throws(LogError) {
        var next = current
        change(&next)
        try write(&next, records.bytes)
    }

    /// Replaces the records, too: `sequence` is that of the last change that they have in them. They were prepared for.
    mutating func update(
        records: borrowing MetadataRecords, sequence: UInt64, _ change: (inout MetadataSlot) -> Void = { _ in }
    ) throws(LogError) {
        var next = current
        change(&next)
        next.metadataSequence = sequence
        try write(&next, records.bytes)
        self.records.replace(with: records.bytes)
    }

    private mutating func write(_ next: inout MetadataSlot, _ records: Bytes) throws(LogError) {
        try secure()
        do throws(LogError) {
            next.sequence += 1
            next.recordsSize = records.count
            let bytes = encode(next, records)
            isSecondSafe = false
            try write(bytes, slot: 0)
            try write(bytes, slot: 1)
        } catch {
            throw error.located(in: .metadata)
        }
        current = next
        updates += 1
        isSecondSafe = true
    }

    private func encode(_ slot: MetadataSlot, _ records: Bytes) -> Bytes {
        slot.encode(to: buffer.bytes, records: records)
        return buffer.bytes.bytes.slice(0, slot.size)
    }

    private func write(_ bytes: Bytes, slot: Int) throws(LogError) {
        let offset = slot == 0 ? MetadataStore.slotOffsets.0 : MetadataStore.slotOffsets.1
        try storage.write(file, at: offset, bytes, .empty)
        try storage.sync(file)
    }

    // ---- For a reader beside a writer

    /// The metadata as it is on disk now.
    func reread(_ records: inout MetadataRecords) throws(LogError) -> MetadataSlot {
        try MetadataStore.readBoth(storage, file, buffer.bytes, &records).slot
    }

    /// Where in a slot its sequence number stands.
    private static var sequenceAt: UInt64 { 32 }

    /// The higher of the two sequence numbers as they stand there now. A slot that is just being written may have its new one already.
    func newestSequence() throws(LogError) -> UInt64 { try MetadataStore.newestSequence(in: file, storage) }

    static func newestSequence(in file: FileHandle, _ storage: S) throws(LogError) -> UInt64 {
        max(try sequence(slotOffsets.0, file, storage), try sequence(slotOffsets.1, file, storage))
    }

    private static func sequence(_ slot: UInt64, _ file: FileHandle, _ storage: S) throws(LogError) -> UInt64 {
        var number: UInt64 = 0
        let got = try unsafe withUnsafeMutableBytesOf(&number) { (buffer) throws(LogError) -> Int in
            try storage.read(file, at: slot &+ sequenceAt, into: buffer)
        }
        return got == 8 ? UInt64(littleEndian: number) : 0
    }

    /// The slots as mapped memory, for `newestSequence(in:)`.
    func mapSlots() throws(LogError) -> Mapping? {
        let length = MetadataStore.slotOffsets.1 + UInt64(MetadataSlot.headerSize)
        return try storage.size(file) < length ? nil : try storage.map(file, length: length)
    }

    @inline(__always)
    static func newestSequence(in slots: Mapping) -> UInt64 {
        max(slots.bytes.u64(Int(sequenceAt)), slots.bytes.u64(Int(slotOffsets.1 &+ sequenceAt)))
    }

    /// Takes over what the slots say now, if that is newer.
    mutating func refresh() throws(LogError) -> MetadataSlot {
        if try newestSequence() <= current.sequence { return current }
        var tries = 0
        while true {
            do throws(LogError) {
                var found = MetadataRecords()
                let slot = try reread(&found)
                if slot.sequence > current.sequence {
                    current = slot
                    swap(&records, &found)
                }
                return current
            } catch {
                // One slot was just being written when it was read, and then the other.
                tries += 1
                if error.code != .corrupt || tries == 100 { throw error.located(in: .metadata) }
            }
        }
    }
}
