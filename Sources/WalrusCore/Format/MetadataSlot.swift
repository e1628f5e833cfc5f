// MetadataSlot.swift - one of the two slots of walrus.meta
//
// What is known of a log besides its entries: which segments are live, where it was last cut, its first index, and the caller's
// key-value records. docs/FORMAT.md has the table; MetadataStore writes it.

struct MetadataSlot {
    static var headerSize: Int { 256 }
    /// Slots are this far apart, and none is larger.
    static var capacity: Int { 131072 }
    private static var magic: UInt64 { 0x0a_54_45_4d_4c_41_57_89 }  // "\x89WALMET\n"

    var logID = LogID(high: 0, low: 0)
    var sequence: UInt64 = 0
    /// How often the log was cut. A segment that was begun under a higher epoch than this is not part of the log.
    var epoch: UInt64 = 0
    /// 0 in a log that never held an entry. If no segment is live, the index that the next entry gets.
    var firstIndex: UInt64 = 0
    var lowestSegment: UInt64 = 1
    var highestSegment: UInt64 = 0
    /// Where the cut's segment ends; the segments above it up to `cutHighest` are dead.
    var cut: SegmentEnd = .none
    var cutHighest: UInt64 = 0
    /// The highest time that the log gave itself, of all entries that a cut dropped.
    var highestStamp: Int64 = .min
    var lastTerm: UInt64 = 0
    var created: Int64 = 0
    var format = FrameFormat.binary
    /// Of the last change of metadata that the slot's records have in them. Metadata frames with a higher one are newer.
    var metadataSequence: UInt64 = 0
    /// Bytes of the records behind the header.
    var recordsSize = 0

    init() {}

    /// Bytes that `encode` fills.
    var size: Int { MetadataSlot.headerSize + recordsSize }

    /// `records`: as many bytes as `recordsSize` says.
    func encode(to target: MutableBytes, records: Bytes) {
        target.zero(0, MetadataSlot.headerSize)
        target.store64(MetadataSlot.magic, 0)
        target.store16(FormatVersion.major, 8)
        target.store16(FormatVersion.minor, 10)
        target.store32(UInt32(size), 12)
        target.store64(logID.high, 16)
        target.store64(logID.low, 24)
        target.store64(sequence, 32)
        target.store64(epoch, 40)
        target.store64(firstIndex, 48)
        target.store64(lowestSegment, 56)
        target.store64(highestSegment, 64)
        target.store64(cut.id, 72)
        target.store64(cut.endIndex, 80)
        target.store64(cut.endOffset, 88)
        target.store64(cut.digest.value, 96)
        target.store64(cutHighest, 104)
        target.store64(highestStamp, 112)
        target.store64(lastTerm, 120)
        target.store32(UInt32(recordsSize), 132)
        target.store32(format.rawValue, 128)
        target.store64(created, 136)
        target.store64(metadataSequence, 144)
        target.copy(records, to: MetadataSlot.headerSize)
        target.store32(MetadataSlot.checksum(target.bytes, size: size), 252)
    }

    private static func checksum(_ bytes: Bytes, size: Int) -> UInt32 {
        bytes.slice(headerSize, size - headerSize).checksum(from: bytes.slice(0, 252).checksum())
    }

    enum Decoded {
        case valid(MetadataSlot)
        case damaged
        case newerVersion
        case unknownFormat
    }

    static func decode(_ source: Bytes) -> Decoded {
        guard source.count >= headerSize, source.u64(0) == magic else { return .damaged }
        let size = Int(source.u32(12))
        guard size >= headerSize, size <= capacity, size <= source.count, source.u32(252) == checksum(source, size: size)
        else { return .damaged }
        guard source.u16(8) == FormatVersion.major else { return .newerVersion }
        guard let format = FrameFormat(rawValue: source.u32(128)) else { return .unknownFormat }
        var slot = MetadataSlot()
        slot.format = format
        slot.logID = LogID(high: source.u64(16), low: source.u64(24))
        slot.sequence = source.u64(32)
        slot.epoch = source.u64(40)
        slot.firstIndex = source.u64(48)
        slot.lowestSegment = source.u64(56)
        slot.highestSegment = source.u64(64)
        slot.cut = SegmentEnd(
            id: source.u64(72), endIndex: source.u64(80), endOffset: source.u64(88), digest: Digest(value: source.u64(96)))
        slot.cutHighest = source.u64(104)
        slot.highestStamp = source.i64(112)
        slot.lastTerm = source.u64(120)
        slot.created = source.i64(136)
        slot.metadataSequence = source.u64(144)
        slot.recordsSize = Int(source.u32(132))
        // What no writer ever wrote is damage, checksum or not.
        guard slot.sequence < 1 << 63, slot.epoch < 1 << 63, slot.lowestSegment < 1 << 63, slot.highestSegment < 1 << 63,
            slot.firstIndex <= .max - UInt64(UInt32.max), slot.metadataSequence < 1 << 63,
            slot.recordsSize <= size - headerSize,
            MetadataRecords.isWellFormed(source.slice(headerSize, slot.recordsSize))
        else { return .damaged }
        return .valid(slot)
    }

    /// The records of a slot that was decoded from `source`.
    func records(in source: Bytes) -> Bytes { source.slice(MetadataSlot.headerSize, recordsSize) }
}
