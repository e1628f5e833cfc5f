// ProtoHeader.swift - the first 4096 bytes of a Protocol Buffers segment: a record that says what the binary header says
//
//      0        2      3       7      8      10     12        18
//      +--------+------+-------+------+------+------+---------+---------------------------------------------+
//      | fe 1f  | 0x0d | check | 0x7a | f6 1f| 0a 06| walrus  | fields of the header, zeros as the last one |
//      +--------+------+-------+------+------+------+---------+---------------------------------------------+
//
// Its length and the header's never change, so that its beginning tells people and file(1) what the file is. The check covers
// all but itself.

enum ProtoHeader {
    private static var size: Int { Int(SegmentHeader.firstFrame) }
    private static var checkAt: Int { 3 }
    private static var padding: UInt8 { 15 }

    /// Whether bytes look like a segment's, good or damaged.
    static func isOne(_ source: Bytes) -> Bool {
        source.count >= 18 && source.u16(0) == 0x1ffe && source.u8(2) == 0x0d && source.u64(7) == 0x6c61_7706_0a1f_f67a
            && source.u16(15) == 0x7572 && source.u8(17) == 0x73
    }

    private static func check(_ block: Bytes) -> UInt32 {
        block.slice(checkAt + 4, size - checkAt - 4).checksum(from: block.slice(0, checkAt).checksum())
    }

    /// Fills the first 4096 bytes of `block`.
    static func encode(_ header: SegmentHeader, to block: MutableBytes) {
        block.store64(UInt64(0x0d_1ffe), 0)
        block.store64(UInt64(0x6c61_7706_0a1f_f67a), 7)
        block.store16(0x7572, 15)
        block.store8(0x73, 17)
        var writer = ProtoWriter(to: block, at: 18)
        writer.put(2, UInt64(FormatVersion.major))
        writer.put(3, UInt64(FormatVersion.minor))
        writer.put(4, SegmentHeader.firstFrame)
        writer.open(5, count: 16)
        block.store64(header.logID.high, writer.at)
        block.store64(header.logID.low, writer.at + 8)
        writer = ProtoWriter(to: block, at: writer.at + 16)
        writer.put(6, header.id)
        writer.put(7, fixed32: header.salt)
        writer.put(8, fixed64: UInt64(bitPattern: header.created))
        writer.put(padding, zeros: size - writer.at - 3)
        block.store32(check(block.bytes), checkAt)
    }

    /// - Throws: `.corrupt`, `.version`.
    static func decode(_ block: Bytes, file: FileName) throws(LogError) -> SegmentHeader {
        let damaged = LogError(.corrupt, "the segment's header is damaged", file: file)
        guard block.count >= size, isOne(block), block.u32(checkAt) == check(block) else { throw damaged }
        var reader = ProtoReader(block.slice(0, size), at: 18)
        guard reader.number(2) == UInt64(FormatVersion.major) else {
            throw LogError(.version, "the segment was written by a newer version of libwalrus; use that one", file: file)
        }
        let minor = reader.number(3)
        let firstFrame = reader.number(4)
        guard reader.hasFailed || firstFrame == SegmentHeader.firstFrame else {
            throw LogError(.version, "the segment has a format that this version of libwalrus cannot read", file: file)
        }
        let logID = reader.bytes(5)
        let id = reader.number(6)
        let salt = reader.fixed32(7)
        let created = Int64(bitPattern: reader.fixed64(8))
        // A newer minor version may say more between that and the zeros.
        if minor <= UInt64(FormatVersion.minor) { _ = reader.zeros(padding) } else { reader.skipUnknown(above: 8) }
        guard reader.isDone, logID.count == 16 else { throw damaged }
        return SegmentHeader(
            logID: LogID(high: logID.u64(0), low: logID.u64(8)), id: id, salt: salt, created: created, format: .proto)
    }
}
