// OffsetTable.swift - the offset table of a segment that is being written, in memory
//
// Blocks and runs have the form that they will have on disk. The memory is reserved for the most entries that the
// segment can take and never moves, so readers look entries up while the one writer appends; what they may look at is what
// the segment's published end index covers.

struct OffsetTable: ~Copyable {
    private let blocks: ReservedMemory
    private let runs: ReservedMemory
    private(set) var count: UInt64 = 0
    private(set) var runCount = 0

    /// Room for a segment of `capacity` bytes, whatever it holds.
    init(capacity: UInt64) throws(LogError) {
        let most = capacity / UInt64(FrameHeader.size) + 1
        let mostRuns = capacity / UInt64(FrameHeader.frameSize(Run.payloadSize)) + 2
        let blocks = try ReservedMemory(count: Int(TableBlock.count(for: most)) * TableBlock.size)
        let runs = try ReservedMemory(count: Int(mostRuns) * TableRun.size)
        self.blocks = blocks
        self.runs = runs
    }

    var blockBytes: Bytes { blocks.bytes.bytes }
    var runBytes: Bytes { runs.bytes.bytes }

    /// Notes the next entry's frame. The other three are what holds before it, and are kept where a block begins.
    @inline(__always)
    mutating func append(offset: UInt64, highestTime: Int64, digest: Digest, durableIndex: UInt64) {
        let relative = UInt32(truncatingIfNeeded: count)
        if relative & 1023 == 0 {
            let block = blocks.bytes.slice(Int(relative >> TableBlock.shift) &* TableBlock.size, TableBlock.size)
            block.store64(highestTime, TableBlock.highestTimeAt)
            block.store64(digest.value, TableBlock.digestAt)
            block.store64(durableIndex, TableBlock.durableIndexAt)
        }
        blocks.bytes.store32(UInt32(truncatingIfNeeded: offset >> 3), TableBlock.position(of: relative))
        count &+= 1
    }

    mutating func append(_ run: Run) {
        TableRun.encode(run, to: runs.bytes, runCount)
        runCount += 1
    }

    /// Forgets the entries from `count` on and the runs that began behind them.
    mutating func shrink(toCount count: UInt64, runCount: Int) {
        self.count = count
        self.runCount = runCount
    }

    /// Fills in counts and checksums, and describes the table for a place in a file.
    mutating func finish(end: SegmentEnd, highestTime: Int64, highestStamp: Int64, tableOffset: UInt64) -> TableDescriptor {
        let blockCount = TableBlock.count(for: count)
        var all: UInt32 = 0
        for i in 0..<Int(blockCount) {
            let block = blocks.bytes.slice(i * TableBlock.size, TableBlock.size)
            block.store32(UInt32(min(1024, count - UInt64(i) * 1024)), TableBlock.countAt)
            block.store32(block.bytes.slice(4, TableBlock.size - 4).checksum(), TableBlock.checksumAt)
            all = block.bytes.slice(0, 4).checksum(from: all)
        }
        return TableDescriptor(
            end: end, highestTime: highestTime, highestStamp: highestStamp, tableOffset: tableOffset, blockCount: blockCount,
            runCount: UInt32(runCount), runsChecksum: runBytes.slice(0, runCount * TableRun.size).checksum(),
            blocksChecksum: all)
    }

    /// Takes over a table that was read from a file into `blocks` and `runs`. False if it does not verify.
    mutating func load(
        _ descriptor: TableDescriptor, entries: UInt64,
        read: (_ offset: UInt64, _ target: MutableBytes) throws(LogError) -> Bool
    ) throws(LogError) -> Bool {
        guard descriptor.blockCount == TableBlock.count(for: entries), descriptor.blocksSize <= blocks.bytes.count,
            descriptor.runsSize <= runs.bytes.count
        else { return false }
        let target = blocks.bytes.slice(0, descriptor.blocksSize)
        let runTarget = runs.bytes.slice(0, descriptor.runsSize)
        guard try read(descriptor.tableOffset, target),
            try read(descriptor.tableOffset + UInt64(descriptor.blocksSize), runTarget),
            runTarget.bytes.checksum() == descriptor.runsChecksum
        else { return false }
        var all: UInt32 = 0
        for i in 0..<Int(descriptor.blockCount) {
            let block = target.bytes.slice(i * TableBlock.size, TableBlock.size)
            guard block.u32(0) == block.slice(4, TableBlock.size - 4).checksum() else { return false }
            all = block.slice(0, 4).checksum(from: all)
        }
        guard all == descriptor.blocksChecksum else { return false }
        count = entries
        runCount = Int(descriptor.runCount)
        return true
    }
}
