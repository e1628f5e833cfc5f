// SegmentHeader.swift - the first 64 bytes of a segment file: what is known before the segment is needed
//
// Written and synced before the file gets its name. docs/FORMAT.md has the table.

struct LogID: Equatable {
    var high: UInt64
    var low: UInt64
}

/// The versions that this library writes; it refuses a higher major one.
enum FormatVersion {
    static var major: UInt16 { 1 }
    static var minor: UInt16 { 0 }
}

struct SegmentHeader {
    static var size: Int { 64 }
    /// Frames begin here, in a block of their own, so that appending never writes the header's block again.
    static var firstFrame: UInt64 { 4096 }
    private static var magic: UInt64 { 0x0a_53_55_52_4c_41_57_89 }  // "\x89WALRUS\n", little-endian

    var logID: LogID
    var id: UInt64
    var salt: UInt32
    var created: Int64
    var format: FrameFormat

    init(logID: LogID, id: UInt64, salt: UInt32, created: Int64, format: FrameFormat = .binary) {
        self.logID = logID
        self.id = id
        self.salt = salt
        self.created = created
        self.format = format
    }

    /// Fills the first 4096 bytes of a file.
    func encode(to block: MutableBytes) {
        switch format {
        case .binary:
            block.zero(SegmentHeader.size, block.count - SegmentHeader.size)
            encodeBinary(to: block)
        case .json: JSONHeader.encode(self, to: block)
        case .proto: ProtoHeader.encode(self, to: block)
        }
    }

    /// What the first 4096 bytes of a file say.
    ///
    /// - Throws: `.corrupt`, `.version`.
    static func decode(_ block: Bytes, file: FileName) throws(LogError) -> SegmentHeader {
        if JSONHeader.isOne(block) { return try JSONHeader.decode(block, file: file) }
        if ProtoHeader.isOne(block) { return try ProtoHeader.decode(block, file: file) }
        return try SegmentHeader(block.slice(0, min(block.count, size)), file: file)
    }

    private func encodeBinary(to target: MutableBytes) {
        target.zero(0, SegmentHeader.size)
        target.store64(SegmentHeader.magic, 0)
        target.store16(FormatVersion.major, 8)
        target.store16(FormatVersion.minor, 10)
        target.store32(UInt32(SegmentHeader.firstFrame), 12)
        target.store64(logID.high, 16)
        target.store64(logID.low, 24)
        target.store64(id, 32)
        target.store32(salt, 40)
        target.store64(created, 48)
        target.store32(target.bytes.slice(0, 60).checksum(), 60)
    }

    static func salt(in source: Bytes) -> UInt32 { source.u32(40) }

    /// Whether bytes look like a segment's, good or damaged.
    static func isOne(_ source: Bytes) -> Bool {
        source.count >= 8 && source.u64(0) == magic || JSONHeader.isOne(source) || ProtoHeader.isOne(source)
    }

    /// - Throws: `.corrupt`, `.version`, `.format`.
    init(_ source: Bytes, file: FileName) throws(LogError) {
        guard source.count >= SegmentHeader.size, source.u64(0) == SegmentHeader.magic,
            source.u32(60) == source.slice(0, 60).checksum()
        else { throw LogError(.corrupt, "the segment's header is damaged", file: file) }
        guard source.u16(8) == FormatVersion.major else {
            throw LogError(.version, "the segment was written by a newer version of libwalrus; use that one", file: file)
        }
        guard source.u32(44) == 0, source.u32(12) == UInt32(SegmentHeader.firstFrame) else {
            throw LogError(.version, "the segment has a format that this version of libwalrus cannot read", file: file)
        }
        logID = LogID(high: source.u64(16), low: source.u64(24))
        id = source.u64(32)
        salt = source.u32(40)
        created = source.i64(48)
        format = .binary
    }
}
