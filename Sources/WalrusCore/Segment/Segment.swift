// Segment.swift - an open segment, as readers see it
//
// A segment lives in memory from C and is counted by hand: the table of segments holds one reference, each read in progress one,
// and each lent view one. So a view outlives truncation, eviction and the log itself, and no Swift reference
// counting happens on the way of a get.

import CWalrusPlatform
import Synchronization

/// Where the offsets are.
enum TablePlace {
    /// In the segment's own OffsetTable.
    case memory
    /// In mapped bytes: a footer or an .idx file.
    case mapped(Bytes)
    /// In the file, from this offset on: where nothing may be mapped.
    case file(UInt64)
}

extension TablePlace {
    var isMemory: Bool {
        if case .memory = self { return true }
        return false
    }
}

struct SegmentState: ~Copyable {
    /// The writer's; readers look at its memory through `tableBlocks` alone. It comes first because the thread sanitizer takes the writer's
    /// access to it for one to the first byte of the whole.
    var table: OffsetTable?
    let id: UInt64
    let baseIndex: UInt64
    let salt: UInt32
    let format: FrameFormat
    /// What the successor of this segment must name as its predecessor's; for the writer.
    let begin: BeginPayload
    let references = Atomic<Int>(1)
    /// Reads that found it open. On the cache line that a read writes anyway.
    let hits = Atomic<UInt64>(0)
    /// One above the last entry that readers may see.
    let endIndex: Atomic<UInt64>
    /// Bytes of the file below this can be read from it; what is above is in the write buffer still.
    let readableEnd: Atomic<UInt64>
    let lastUse = Atomic<UInt64>(0)
    let runCount: Atomic<Int>
    /// Whether reads may lend views: the file is mapped, and nobody else may cut it short.
    let mapping: Mapping?
    let sideMapping: Mapping?
    /// Open as long as somebody needs it; `.none` where the mapping is enough.
    var file: FileHandle
    var place: TablePlace
    let tableBlocks: Bytes
    /// Runs of a table that is not in memory.
    var runs: Bytes
    let runMemory: Memory?

    init(
        id: UInt64, salt: UInt32, format: FrameFormat, begin: BeginPayload, endIndex: UInt64, readableEnd: UInt64,
        mapping: Mapping?,
        file: FileHandle, table: consuming OffsetTable
    ) {
        self.id = id
        self.baseIndex = begin.baseIndex
        self.salt = salt
        self.format = format
        self.begin = begin
        self.endIndex = Atomic(endIndex)
        self.readableEnd = Atomic(readableEnd)
        self.mapping = mapping
        self.sideMapping = nil
        self.file = file
        self.place = .memory
        self.runCount = Atomic(table.runCount)
        self.runs = table.runBytes
        self.tableBlocks = table.blockBytes
        self.runMemory = nil
        self.table = consume table
    }

    init(
        id: UInt64, salt: UInt32, format: FrameFormat, begin: BeginPayload, end: SegmentEnd, mapping: Mapping?,
        sideMapping: Mapping?,
        file: FileHandle, place: TablePlace, runs: Bytes, runMemory: consuming Memory?, runCount: Int
    ) {
        self.id = id
        self.baseIndex = begin.baseIndex
        self.salt = salt
        self.format = format
        self.begin = begin
        self.endIndex = Atomic(end.endIndex)
        self.readableEnd = Atomic(end.endOffset)
        self.mapping = mapping
        self.sideMapping = sideMapping
        self.file = file
        self.place = place
        self.table = nil
        self.tableBlocks = .empty
        self.runs = runs
        self.runMemory = runMemory
        self.runCount = Atomic(runCount)
    }
}

/// A counted reference to an open segment. Copying it does not count.
@safe struct SegmentRef: Equatable, @unchecked Sendable, BitwiseCopyable {
    private let state: UnsafeMutablePointer<SegmentState>

    static func == (a: SegmentRef, b: SegmentRef) -> Bool { unsafe a.state == b.state }

    init(_ initial: consuming SegmentState) throws(LogError) {
        guard let memory = unsafe malloc(MemoryLayout<SegmentState>.stride) else {
            throw LogError(.noMemory, "there is not enough memory to open a segment")
        }
        unsafe state = memory.bindMemory(to: SegmentState.self, capacity: 1)
        unsafe state.initialize(to: initial)
    }

    /// For the boundary, which keeps references in foreign structs.
    @unsafe init(address: UnsafeMutableRawPointer) {
        unsafe state = address.assumingMemoryBound(to: SegmentState.self)
    }
    @unsafe var address: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(state) }

    @inline(__always) func retain() {
        _ = unsafe state.pointee.references.add(1, ordering: .relaxed)
    }

    /// One more read found it open. Reads at once may count as one: an exact count would cost each of them as much as the reference.
    @inline(__always) func noteHit() {
        unsafe state.pointee.hits.store(state.pointee.hits.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }
    func noteHits(_ count: UInt64) {
        unsafe state.pointee.hits.store(state.pointee.hits.load(ordering: .relaxed) &+ count, ordering: .relaxed)
    }
    var hits: UInt64 { unsafe state.pointee.hits.load(ordering: .relaxed) }

    /// Whether somebody besides the table of segments holds it.
    var isPinned: Bool { unsafe state.pointee.references.load(ordering: .relaxed) > 1 }

    /// Gives one reference back; the last one unmaps and frees. Returns the file that is then to be closed.
    @inline(__always)
    func release() -> FileHandle {
        if unsafe state.pointee.references.subtract(1, ordering: .acquiringAndReleasing).newValue > 0 { return .none }
        return destroy()
    }

    @inline(never)
    private func destroy() -> FileHandle {
        let file = unsafe state.pointee.file
        unsafe state.pointee.mapping?.unmap()
        unsafe state.pointee.sideMapping?.unmap()
        unsafe state.deinitialize(count: 1)
        unsafe free(state)
        return file
    }

    var id: UInt64 { unsafe state.pointee.id }
    @inline(__always) var baseIndex: UInt64 { unsafe state.pointee.baseIndex }
    @inline(__always) var salt: UInt32 { unsafe state.pointee.salt }
    @inline(__always) var format: FrameFormat { unsafe state.pointee.format }

    /// The frame that begins with `prefix`, or nil if none of this segment does.
    @inline(__always)
    func outline(_ prefix: Bytes, at offset: UInt64) -> FrameOutline? {
        format.outline(prefix, salt: salt, offset: offset, baseIndex: baseIndex)
    }
    var begin: BeginPayload { unsafe state.pointee.begin }
    @inline(__always) var mapping: Mapping? { unsafe state.pointee.mapping }
    var file: FileHandle { unsafe state.pointee.file }
    @inline(__always) var endIndex: UInt64 { unsafe state.pointee.endIndex.load(ordering: .acquiring) }
    @inline(__always) var readableEnd: UInt64 { unsafe state.pointee.readableEnd.load(ordering: .acquiring) }
    @inline(__always) var runCount: Int { unsafe state.pointee.runCount.load(ordering: .acquiring) }
    @inline(__always) var runs: Bytes { unsafe state.pointee.runs }
    @inline(__always) var place: TablePlace { unsafe state.pointee.place }
    var lastUse: UInt64 {
        get { unsafe state.pointee.lastUse.load(ordering: .relaxed) }
        nonmutating set { unsafe state.pointee.lastUse.store(newValue, ordering: .relaxed) }
    }

    /// The table in memory, if that is where it is.
    @inline(__always) var tableBlocks: Bytes { unsafe state.pointee.tableBlocks }

    // ---- For the one writer

    @inline(__always)
    func publish(endIndex: UInt64) { unsafe state.pointee.endIndex.store(endIndex, ordering: .releasing) }
    func publish(readableEnd: UInt64) { unsafe state.pointee.readableEnd.store(readableEnd, ordering: .releasing) }
    func forgetFile() { unsafe state.pointee.file = .none }

    /// The table, to append to.
    @inline(__always)
    func withTable<Result>(_ body: (inout OffsetTable) throws(LogError) -> Result) throws(LogError) -> Result {
        guard unsafe state.pointee.table != nil else {
            throw LogError(.internal, "a segment that is not being written has no table in memory")
        }
        return try unsafe body(&state.pointee.table!)
    }

    /// Lends the table to whoever reads on, who brings it back. Readers go on with its memory, which does not move.
    func takeTable() -> OffsetTable? { unsafe state.pointee.table.take() }

    func bringBack(_ table: consuming OffsetTable) {
        unsafe state.pointee.runCount.store(table.runCount, ordering: .releasing)
        unsafe state.pointee.table = consume table
    }

    @inline(__always)
    func appendOffset(_ offset: UInt64, highestTime: Int64, digest: Digest, durableIndex: UInt64) {
        unsafe state.pointee.table?.append(
            offset: offset, highestTime: highestTime, digest: digest, durableIndex: durableIndex)
    }

    func appendRun(_ run: Run) {
        unsafe state.pointee.table?.append(run)
        unsafe state.pointee.runCount.store(state.pointee.table?.runCount ?? 1, ordering: .releasing)
    }

    /// Takes the entries behind `end` away.
    func shrink(toEnd end: ScanPoint) {
        publish(endIndex: end.index)
        unsafe state.pointee.table?.shrink(toCount: end.index - baseIndex, runCount: end.runCount)
    }

    // ---- For readers

    /// The run that holds for an entry.
    @inline(__always)
    func run(of relativeIndex: UInt32) -> Run {
        let runs = self.runs
        var low = 0
        var high = runCount &- 1
        while low < high {
            let middle = (low &+ high &+ 1) >> 1
            if runs.u32(middle &* TableRun.size) <= relativeIndex { low = middle } else { high = middle &- 1 }
        }
        return TableRun.decode(runs, low)
    }

    /// How many runs begin at or before an entry.
    func runCount(upTo relativeIndex: UInt32) -> Int {
        let runs = self.runs
        var count = 1
        while count < runCount, runs.u32(count * TableRun.size) <= relativeIndex { count += 1 }
        return count
    }

    /// An entry's frame in the mapped file: its header, and its payload as it is stored. nil if there is none that verifies.
    @inline(__always)
    func entry(_ relative: UInt32, at offset: UInt64, in mapping: Mapping, verified: Bool) -> (FrameHeader, payload: Bytes)? {
        let bytes = mapping.bytes
        let start = Int(truncatingIfNeeded: offset)
        guard start <= bytes.count &- FrameHeader.size,
            let (header, _) = FrameHeader.decode(bytes.slice(start, FrameHeader.size), salt: salt, offset: offset),
            header.type == FrameType.entry, header.relativeIndex == relative,
            Int(header.length) <= bytes.count &- start &- FrameHeader.size,
            offset &+ UInt64(FrameHeader.size) &+ UInt64(header.length) <= readableEnd
        else { return nil }
        let payload = bytes.slice(start &+ FrameHeader.size, Int(header.length))
        return verified && payload.checksum() != header.payloadChecksum ? nil : (header, payload)
    }

    /// What the table keeps of the place where the entry's block begins.
    func blockStart<S: Storage>(of relativeIndex: UInt32, storage: S) throws(LogError) -> (Digest, highestTime: Int64) {
        let position = Int(relativeIndex >> TableBlock.shift) * TableBlock.size
        let head: Bytes
        let buffer = try Memory(count: TableBlock.offsetsAt)
        switch place {
        case .memory: head = tableBlocks.slice(position, TableBlock.offsetsAt)
        case .mapped(let blocks): head = blocks.slice(position, TableBlock.offsetsAt)
        case .file(let start):
            guard try storage.read(file, at: start + UInt64(position), into: buffer.bytes) == TableBlock.offsetsAt else {
                throw LogError(.corrupt, "the segment's offset table is damaged", file: .segment(id))
            }
            head = buffer.bytes.bytes
        }
        return (Digest(value: head.u64(TableBlock.digestAt)), head.i64(TableBlock.highestTimeAt))
    }

    /// Where an entry's frame is, as far as memory tells.
    @inline(__always)
    func knownOffset(of relativeIndex: UInt32) -> UInt64? {
        switch place {
        case .memory: UInt64(tableBlocks.u32(TableBlock.position(of: relativeIndex))) << 3
        case .mapped(let blocks): UInt64(blocks.u32(TableBlock.position(of: relativeIndex))) << 3
        case .file: nil
        }
    }

    /// Where an entry's frame is, or 0 if the table does not know (salvage).
    @inline(__always)
    func offset<S: Storage>(of relativeIndex: UInt32, storage: S) throws(LogError) -> UInt64 {
        let position = TableBlock.position(of: relativeIndex)
        switch place {
        case .memory: return UInt64(tableBlocks.u32(position)) << 3
        case .mapped(let blocks): return UInt64(blocks.u32(position)) << 3
        case .file(let start):
            var number: UInt32 = 0
            let got = try unsafe withUnsafeMutableBytesOf(&number) { (buffer) throws(LogError) -> Int in
                try storage.read(file, at: start &+ UInt64(position), into: buffer)
            }
            return got == 4 ? UInt64(UInt32(littleEndian: number)) << 3 : 0
        }
    }
}

/// A plain value's own bytes, for a read into it.
@unsafe func withUnsafeMutableBytesOf<Value: BitwiseCopyable, Result>(
    _ value: inout Value, _ body: (MutableBytes) throws(LogError) -> Result
) throws(LogError) -> Result {
    var failure: LogError? = nil
    let result = unsafe withUnsafeMutableBytes(of: &value) { raw -> Result? in
        do throws(LogError) {
            return try unsafe body(MutableBytes(raw.baseAddress, count: raw.count))
        } catch {
            failure = error
            return nil
        }
    }
    guard let result else { throw failure ?? LogError(.internal, "a read into a value failed") }
    return result
}
