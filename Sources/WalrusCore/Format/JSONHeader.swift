// JSONHeader.swift - the first 4096 bytes of a JSON segment: one line that says what the binary header says
//
// Its beginning tells people and file(1) what the file is. The check stands at a fixed place and covers all that is behind it,
// the spaces and the newline included.

enum JSONHeader {
    private static var checkAt: Int { 26 }
    private static var coverFrom: Int { 34 }
    private static var size: Int { Int(SegmentHeader.firstFrame) }
    private static var start: StaticString { "{\"walrus\":\"json\",\"check\":\"" }

    /// Whether bytes look like a segment's, good or damaged.
    static func isOne(_ source: Bytes) -> Bool {
        var reader = JSONReader(source)
        return reader.take(start)
    }

    private static func check(_ block: Bytes) -> UInt32 { block.slice(coverFrom, size - coverFrom).checksum() }

    /// Fills the first 4096 bytes of `block`.
    static func encode(_ header: SegmentHeader, to block: MutableBytes) {
        var writer = JSONWriter(to: block, at: 0)
        writer.put(start)
        writer.put("00000000\",\"major\":")
        writer.put(UInt64(FormatVersion.major))
        writer.put(",\"minor\":")
        writer.put(UInt64(FormatVersion.minor))
        writer.put(",\"first_frame\":")
        writer.put(SegmentHeader.firstFrame)
        writer.put(",\"log\":\"")
        put(header.logID, &writer)
        writer.put("\",\"segment\":")
        writer.put(header.id)
        writer.put(",\"salt\":\"")
        writer.put(hex: UInt64(header.salt), digits: 8)
        writer.put("\",\"created\":\"")
        writer.put(time: header.created)
        writer.put("\"}")
        writer.put(spaces: size - writer.at - 1)
        writer.put("\n")
        writer = JSONWriter(to: block, at: checkAt)
        writer.put(hex: UInt64(check(block.bytes)), digits: 8)
    }

    /// - Throws: `.corrupt`, `.version`.
    static func decode(_ block: Bytes, file: FileName) throws(LogError) -> SegmentHeader {
        let damaged = LogError(.corrupt, "the segment's header is damaged", file: file)
        var reader = JSONReader(block)
        guard block.count >= size, reader.take(start), reader.hex(8) == UInt64(check(block)),
            let major = reader.number("\",\"major\":")
        else { throw damaged }
        guard major == UInt64(FormatVersion.major) else {
            throw LogError(.version, "the segment was written by a newer version of libwalrus; use that one", file: file)
        }
        guard let minor = reader.number(",\"minor\":"), let firstFrame = reader.number(",\"first_frame\":") else { throw damaged }
        guard firstFrame == SegmentHeader.firstFrame else {
            throw LogError(.version, "the segment has a format that this version of libwalrus cannot read", file: file)
        }
        guard reader.take(",\"log\":\""), let logID = logID(&reader), let id = reader.number("\",\"segment\":"),
            reader.take(",\"salt\":\""), let salt = reader.hex(8), reader.take("\""),
            let created = reader.time(",\"created\":\"")
        else { throw damaged }
        // A newer minor version may say more behind that.
        guard minor > UInt64(FormatVersion.minor) || ends(&reader) else { throw damaged }
        return SegmentHeader(logID: logID, id: id, salt: UInt32(salt), created: created, format: .json)
    }

    private static func ends(_ reader: inout JSONReader) -> Bool {
        guard reader.take("}") else { return false }
        while reader.at < size - 1 {
            if !reader.take(" ") { return false }
        }
        return reader.take("\n")
    }

    /// As UUIDs are written: 8, 4, 4, 4 and 12 digits.
    private static func put(_ id: LogID, _ writer: inout JSONWriter) {
        let high = id.high.byteSwapped
        let low = id.low.byteSwapped
        writer.put(hex: high >> 32, digits: 8)
        writer.put("-")
        writer.put(hex: high >> 16, digits: 4)
        writer.put("-")
        writer.put(hex: high, digits: 4)
        writer.put("-")
        writer.put(hex: low >> 48, digits: 4)
        writer.put("-")
        writer.put(hex: low, digits: 12)
    }

    private static func logID(_ reader: inout JSONReader) -> LogID? {
        guard let a = reader.hex(8), reader.take("-"), let b = reader.hex(4), reader.take("-"), let c = reader.hex(4),
            reader.take("-"), let d = reader.hex(4), reader.take("-"), let e = reader.hex(12)
        else { return nil }
        return LogID(high: (a << 32 | b << 16 | c).byteSwapped, low: (d << 48 | e).byteSwapped)
    }
}
