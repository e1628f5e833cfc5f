// OffsetTableFormat.swift - how an offset table looks: descriptor, blocks of 1024 offsets, runs
//
// The same bytes stand in memory while a segment is written, in its footer when it is sealed, and in the .idx file
// when it cannot be. So looking an entry up is one load, wherever the table is.

/// What is needed to use a table.
struct TableDescriptor {
    static var size: Int { 64 }

    var end: SegmentEnd
    var highestTime: Int64
    var highestStamp: Int64
    var tableOffset: UInt64
    var blockCount: UInt32
    var runCount: UInt32
    var runsChecksum: UInt32
    var blocksChecksum: UInt32

    var blocksSize: Int { Int(blockCount) * TableBlock.size }
    var runsSize: Int { Int(runCount) * TableRun.size }

    func encode(to target: MutableBytes) {
        target.store64(end.endIndex, 0)
        target.store64(end.endOffset, 8)
        target.store64(end.digest.value, 16)
        target.store64(highestTime, 24)
        target.store64(tableOffset, 32)
        target.store32(blockCount, 40)
        target.store32(runCount, 44)
        target.store32(runsChecksum, 48)
        target.store32(blocksChecksum, 52)
        target.store64(highestStamp, 56)
    }

    init(
        end: SegmentEnd, highestTime: Int64, highestStamp: Int64, tableOffset: UInt64, blockCount: UInt32, runCount: UInt32,
        runsChecksum: UInt32, blocksChecksum: UInt32
    ) {
        self.end = end
        self.highestTime = highestTime
        self.highestStamp = highestStamp
        self.tableOffset = tableOffset
        self.blockCount = blockCount
        self.runCount = runCount
        self.runsChecksum = runsChecksum
        self.blocksChecksum = blocksChecksum
    }

    init?(_ source: Bytes, segment: UInt64) {
        guard source.count >= TableDescriptor.size else { return nil }
        end = SegmentEnd(
            id: segment, endIndex: source.u64(0), endOffset: source.u64(8), digest: Digest(value: source.u64(16)))
        highestTime = source.i64(24)
        tableOffset = source.u64(32)
        blockCount = source.u32(40)
        runCount = source.u32(44)
        runsChecksum = source.u32(48)
        blocksChecksum = source.u32(52)
        highestStamp = source.i64(56)
        guard runCount >= 1, tableOffset < 1 << 48 else { return nil }
    }
}

/// 1024 offsets and what was known where they begin.
enum TableBlock {
    static var size: Int { 4128 }
    static var entries: Int { 1024 }
    static var shift: UInt32 { 10 }

    static var checksumAt: Int { 0 }
    static var countAt: Int { 4 }
    static var highestTimeAt: Int { 8 }
    static var digestAt: Int { 16 }
    static var durableIndexAt: Int { 24 }
    static var offsetsAt: Int { 32 }

    /// Where in a row of blocks the offset of an entry stands.
    @inline(__always)
    static func position(of relativeIndex: UInt32) -> Int {
        Int(relativeIndex >> shift) &* size &+ offsetsAt &+ Int(relativeIndex & 1023) &* 4
    }

    static func count(for entries: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: (entries &+ 1023) >> 10) }
}

enum TableRun {
    static var size: Int { 24 }

    @inline(__always)
    static func decode(_ runs: Bytes, _ i: Int) -> Run {
        let at = i &* size
        return Run(relativeIndex: runs.u32(at), term: runs.u64(at &+ 8), timeBase: runs.i64(at &+ 16))
    }

    /// From where on the terms never fall, up to the entries of run `count` - 1. Goes back no further than it has to.
    static func risingFrom(_ runs: Bytes, upTo count: Int, _ begin: BeginPayload) -> UInt64 {
        var i = count - 1
        while i > 0 {
            if runs.u64(i * size + 8) < runs.u64((i - 1) * size + 8) {
                return begin.baseIndex + UInt64(runs.u32(i * size))
            }
            i -= 1
        }
        return begin.risingFrom
    }

    static func encode(_ run: Run, to runs: MutableBytes, _ i: Int) {
        let at = i &* size
        runs.store32(run.relativeIndex, at)
        runs.store32(0, at &+ 4)
        runs.store64(run.term, at &+ 8)
        runs.store64(run.timeBase, at &+ 16)
    }
}

/// The first 512 bytes of an .idx file.
struct SideFileHeader {
    static var size: Int { 512 }
    private static var magic: UInt64 { 0x0a_58_44_49_4c_41_57_89 }  // "\x89WALIDX\n"

    var isClean: Bool
    var logID: LogID
    var segment: UInt64
    var salt: UInt32
    var baseIndex: UInt64
    var epoch: UInt64
    var descriptor: TableDescriptor

    init(
        isClean: Bool, logID: LogID, segment: UInt64, salt: UInt32, baseIndex: UInt64, epoch: UInt64,
        descriptor: TableDescriptor
    ) {
        self.isClean = isClean
        self.logID = logID
        self.segment = segment
        self.salt = salt
        self.baseIndex = baseIndex
        self.epoch = epoch
        self.descriptor = descriptor
    }

    func encode(to target: MutableBytes) {
        target.zero(0, SideFileHeader.size)
        target.store64(SideFileHeader.magic, 0)
        target.store16(FormatVersion.major, 8)
        target.store16(FormatVersion.minor, 10)
        target.store32(isClean ? 1 : 0, 12)
        target.store64(logID.high, 16)
        target.store64(logID.low, 24)
        target.store64(segment, 32)
        target.store32(salt, 40)
        target.store64(baseIndex, 48)
        target.store64(epoch, 56)
        descriptor.encode(to: target.slice(64, TableDescriptor.size))
        target.store32(target.bytes.slice(0, 508).checksum(), 508)
    }

    init?(_ source: Bytes) {
        guard source.count >= SideFileHeader.size, source.u64(0) == SideFileHeader.magic,
            source.u32(508) == source.slice(0, 508).checksum(), source.u16(8) == FormatVersion.major,
            let descriptor = TableDescriptor(source.slice(64, TableDescriptor.size), segment: source.u64(32)),
            descriptor.tableOffset == UInt64(SideFileHeader.size)
        else { return nil }
        isClean = source.u32(12) & 1 != 0
        logID = LogID(high: source.u64(16), low: source.u64(24))
        segment = source.u64(32)
        salt = source.u32(40)
        baseIndex = source.u64(48)
        epoch = source.u64(56)
        self.descriptor = descriptor
    }
}
