// Compressing.swift - records whose payloads are compressed before any lock is taken

/// What one append needs to compress with: a deflate state, memory for what it makes, and a list of that.
struct CompressionSpace: ~Copyable {
    let deflater: Deflater
    private var arena: Memory
    private var list: Memory

    private static var pieceSize: Int { 16 }
    /// What is larger is given back after use.
    private static var mostKept: Int { 1 << 20 }

    init(level: Int32) throws(LogError) {
        let deflater = try Deflater(level: level)
        let arena = try Memory(count: 64 << 10)
        let list = try Memory(count: CompressionSpace.pieceSize * 16)
        self.deflater = deflater
        self.arena = arena
        self.list = list
    }

    /// Compresses what is large enough and whose frame gets smaller by it.
    mutating func compress<R: Records>(_ records: R, from minSize: Int, _ format: FrameFormat) throws(LogError)
        -> CompressedRecords<R>
    {
        var total = 0
        for i in 0..<records.count {
            let count = try records.record(i).payload.count
            if count >= minSize { total += count }
            if total > Int(Limits.batchSize) { throw LogError(.tooLarge, "the batch takes up more than 2 GiB") }
        }
        if total > arena.bytes.count { arena = try Memory(count: total) }
        let needed = records.count * CompressionSpace.pieceSize
        if needed > list.bytes.count { list = try Memory(count: needed) }
        var at = 0
        for i in 0..<records.count {
            var record = try records.record(i)
            var count = 0
            if record.payload.count >= minSize {
                count = deflater.deflate(record.payload, to: arena.bytes.slice(at, record.payload.count)) ?? 0
                let plain = format.frameSize(of: record)
                record.deflated = arena.bytes.bytes.slice(at, count)
                if count > 0 && format.frameSize(of: record) >= plain { count = 0 }
            }
            list.bytes.store64(UInt64(at), i * CompressionSpace.pieceSize)
            list.bytes.store64(UInt64(count), i * CompressionSpace.pieceSize + 8)
            at += count
        }
        return CompressedRecords(records: records, arena: arena.bytes.bytes, list: list.bytes.bytes)
    }

    mutating func shrink() {
        if arena.bytes.count > CompressionSpace.mostKept, let small = try? Memory(count: 64 << 10) { arena = small }
        if list.bytes.count > CompressionSpace.mostKept, let small = try? Memory(count: CompressionSpace.pieceSize * 16) {
            list = small
        }
    }
}

/// Records with what was made of them. Of use as long as their space.
struct CompressedRecords<R: Records>: Records {
    let records: R
    let arena: Bytes
    let list: Bytes

    var count: Int { records.count }

    func record(_ i: Int) throws(LogError) -> Record {
        var record = try records.record(i)
        let count = Int(list.u64(i * 16 + 8))
        if count > 0 { record.deflated = arena.slice(Int(list.u64(i * 16)), count) }
        return record
    }
}

extension FrameFormat {
    /// Bytes on disk of an entry's frame, but for those that do not depend on its payload.
    fileprivate func frameSize(of record: Record) -> Int {
        let header = FrameHeader(
            type: FrameType.entry, flags: record.deflated.count > 0 ? 1 << FrameHeader.codecShift : 0, length: 0, index: 0,
            size: UInt32(truncatingIfNeeded: record.payload.count), checksum: .max)
        return measure(header, record.stored(self)).frameSize
    }
}

extension Log {
    /// Calls `body` with compressed records.
    func compressing<R: Records>(_ records: R, _ body: (CompressedRecords<R>) throws(LogError) -> Void) throws(LogError) {
        try compression.use(make: { () throws(LogError) in try CompressionSpace(level: options.compressionLevel) }) {
            (space) throws(LogError) in
            let compressed = try space.compress(records, from: options.compressionMinSize, format)
            defer { space.shrink() }
            try body(compressed)
        }
    }
}
