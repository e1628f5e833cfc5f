// JSONFrame.swift - a frame as one line of JSON
//
//      {"c":"Xw4RqgEF","index":7,"term":2,"timestamp":"2026-11-24T15:00:00.123456789Z","checksum":"3610a686","data":"hello"}
//            |      |                                                                                                      spaces,
//            |      bytes of the value of the last field, without its quotes, as few digits as there are                   then a
//            check, durable distance, two bits that are 0                                                                  newline
//
// Each line is spelled in one way only: order and names of fields, no spaces but those that fill it up to a multiple of 8,
// escapes as JSONText has them. Where the line ends follows from its beginning, so nobody has to look for a newline.
// docs/FORMAT.md has the grammar.
//
// The check is of every byte behind its digits, the newline included, and then of the durable distance. It starts as that of a
// binary frame does. Check and distance share a digit: with the distance last, the bits that do are neighbours in the checksum's
// eyes, and it finds every change to neighbours.

enum JSONFrame {
    /// A beginning of so many bytes tells all that stands before the last field's value.
    static var outlineSize: Int { 256 }
    private static var checkAt: Int { 6 }
    private static var checkDigits: Int { 7 }
    private static var coverFrom: Int { 13 }
    /// Of the largest payload, escaped; base64 is never longer.
    private static var largestBody: UInt64 { UInt64(JSONText.largestEscaped(FrameHeader.largestLength)) }

    /// The most bytes that a frame with `count` bytes of payload takes up: small records of metadata grow most.
    static func mostBytes(_ count: Int) -> Int { 800 + 3 * count }

    /// A cheap look at 8 bytes, for the search behind a bad frame.
    @inline(__always)
    static func mayBegin(_ word: UInt64) -> Bool { word & 0xffff_ffff_ffff == 0x223a_2263_227b }  // {"c":"

    // ---- Write

    static func measure(_ header: FrameHeader, _ payload: Bytes) -> FrameMeasure {
        let (coding, bodyCount) = form(header.type, payload)
        var writer = JSONWriter()
        putHead(header, coding, bodyCount, &writer)
        let bodyAt = writer.at
        return FrameMeasure(
            frameSize: frameSize(bodyAt, bodyCount, header.type, coding), coding: coding, bodyAt: bodyAt, bodyCount: bodyCount)
    }

    /// Writes the frame at `at` and returns its check.
    static func encode(
        _ header: FrameHeader, _ payload: Bytes, _ measure: FrameMeasure, to target: MutableBytes, at: Int, salt: UInt32,
        offset: UInt64
    ) -> UInt32 {
        let frame = target.slice(at, measure.frameSize)
        var writer = JSONWriter(to: frame, at: 0)
        putHead(header, measure.coding, measure.bodyCount, &writer)
        switch measure.coding {
        case .text: writer.put(text: payload, count: measure.bodyCount)
        case .base64: writer.put(base64: payload)
        case .raw, .fields: _ = JSONControl.put(header.type, payload, &writer)
        }
        writer.put(isQuoted(header.type, measure.coding) ? "\"}" : "}")
        writer.put(spaces: measure.frameSize - writer.at - 1)
        writer.put("\n")
        let behind = frame.bytes.slice(coverFrom, measure.frameSize - coverFrom)
            .checksum(from: FrameHeader.seed(salt: salt, offset: offset))
        let check = ChecksumStep.adding(header.durableDistance, to: behind)
        writer = JSONWriter(to: frame, at: checkAt)
        writer.put(base64URL: UInt64(check) << 10 | UInt64(header.durableDistance) << 2, digits: checkDigits)
        return check
    }

    /// The payload of a padding frame that takes up exactly `gap` bytes, a multiple of 8, or nil if none is so small.
    static func paddingLength(filling gap: Int, index: UInt64) -> Int? {
        let header = FrameHeader(type: FrameType.padding, length: 0, index: index, size: 0, checksum: 0)
        var writer = JSONWriter()
        putHead(header, .fields, gap, &writer)
        let empty = measure(header, .empty).frameSize
        // The size that is told may have a digit less than the gap: then a space makes up for it.
        return gap < empty ? nil : max(0, gap - writer.at - 3)
    }

    private static func form(_ type: UInt8, _ payload: Bytes) -> (BodyCoding, Int) {
        if type != FrameType.entry {
            var writer = JSONWriter()
            if JSONControl.put(type, payload, &writer) { return (.fields, writer.at) }
        }
        if let count = JSONText.escapedCount(payload) { return (.text, count) }
        return (.base64, JSONText.base64Count(payload.count))
    }

    private static func isQuoted(_ type: UInt8, _ coding: BodyCoding) -> Bool {
        coding != .fields || type == FrameType.padding
    }

    private static func frameSize(_ bodyAt: Int, _ bodyCount: Int, _ type: UInt8, _ coding: BodyCoding) -> Int {
        (bodyAt &+ bodyCount &+ (isQuoted(type, coding) ? 3 : 2) &+ 7) & ~7
    }

    private static func putHead(_ header: FrameHeader, _ coding: BodyCoding, _ bodyCount: Int, _ writer: inout JSONWriter) {
        writer.put("{\"c\":\"AAAAAAA")
        writer.put(base64URL: UInt64(bodyCount))
        writer.put("\",\"index\":")
        writer.put(header.index)
        if header.type == FrameType.entry {
            writer.put(",\"term\":")
            writer.put(header.term)
            writer.put(",\"timestamp\":\"")
            writer.put(time: header.timestamp)
            writer.put("\"")
        } else if coding != .fields {
            writer.put(",\"type\":")
            writer.put(UInt64(header.type))
        }
        if header.flags != 0 { putFlags(header, &writer) }
        if header.type == FrameType.entry {
            writer.put(",\"checksum\":\"")
            writer.put(hex: UInt64(header.checksum), digits: 8)
            writer.put("\"")
        }
        switch coding {
        case .text: writer.put(",\"data\":\"")
        case .base64: writer.put(",\"data_base64\":\"")
        case .raw, .fields: writer.put(JSONControl.name(header.type))
        }
    }

    // ---- Flags

    private static func putFlags(_ header: FrameHeader, _ writer: inout JSONWriter) {
        let flags = header.flags & ~FrameHeader.codecMask
        if flags != 0 {
            writer.put(",\"flags\":[")
            var isFirst = true
            for bit in 0..<8 as Range<UInt8> where flags & (1 << bit) != 0 {
                if !isFirst { writer.put(",") }
                isFirst = false
                switch UInt8(1) << bit {
                case FrameHeader.continuesFlag: writer.put("\"continues\"")
                case FrameHeader.givenTimeFlag: writer.put("\"given_time\"")
                default: writer.put(UInt64(1) << UInt64(bit))
                }
            }
            writer.put("]")
        }
        if header.codec != 0 {
            writer.put(",\"codec\":")
            if header.codec == 1 { writer.put("\"zlib\"") } else { writer.put(UInt64(header.codec)) }
            writer.put(",\"size\":")
            writer.put(UInt64(header.size))
        }
    }

    /// Nil: malformed.
    private static func flags(_ reader: inout JSONReader) -> UInt8? {
        guard reader.take(",\"flags\":[") else { return 0 }
        var flags: UInt8 = 0
        repeat {
            var flag: UInt8
            if reader.take("\"continues\"") {
                flag = FrameHeader.continuesFlag
            } else if reader.take("\"given_time\"") {
                flag = FrameHeader.givenTimeFlag
            } else {
                guard let number = reader.number(atMost: 128) else { return nil }
                flag = UInt8(truncatingIfNeeded: number)
                let named = FrameHeader.continuesFlag | FrameHeader.givenTimeFlag | FrameHeader.codecMask
                guard flag.nonzeroBitCount == 1, flag & named == 0 else { return nil }
            }
            guard flag > flags else { return nil }
            flags |= flag
        } while reader.take(",")
        return reader.take("]") ? flags : nil
    }

    /// The codec and the size before it, 0 if there is none. Nil: malformed.
    private static func codec(_ reader: inout JSONReader) -> (UInt8, UInt32)? {
        guard reader.take(",\"codec\":") else { return (0, 0) }
        var codec: UInt64 = 1
        if !reader.take("\"zlib\"") {
            guard let number = reader.number(atMost: 3), number >= 2 else { return nil }
            codec = number
        }
        guard reader.take(",\"size\":"), let size = reader.number(atMost: UInt64(UInt32.max)) else { return nil }
        return (UInt8(codec), UInt32(size))
    }

    // ---- Read

    /// The frame that begins with `prefix`, or nil if none does. `prefix` has `outlineSize` bytes, or all that the file has.
    static func outline(_ prefix: Bytes, salt: UInt32, offset: UInt64) -> FrameOutline? {
        guard prefix.count >= 8, mayBegin(prefix.u64(0)) else { return nil }
        var reader = JSONReader(prefix, at: checkAt)
        guard let packed = reader.base64URL(checkDigits), packed & 3 == 0, let bodyCount = reader.shortBase64URL(),
            bodyCount <= largestBody,
            reader.take("\",\"index\":"), let index = reader.number()
        else { return nil }
        let check = UInt32(truncatingIfNeeded: packed >> 10)
        let distance = UInt8(truncatingIfNeeded: packed >> 2)
        var header = FrameHeader(
            type: FrameType.entry, length: 0, index: index, durableDistance: distance, size: 0, checksum: 0)
        guard let coding = head(&reader, &header), largestLength(header.type, coding, Int(bodyCount), &header.length) else {
            return nil
        }
        if header.codec == 0 { header.size = header.length }
        if header.codec == 0 { header.payloadChecksum = header.checksum }
        let frameSize = frameSize(reader.at, Int(bodyCount), header.type, coding)
        return FrameOutline(
            header: header, checksum: check, frameSize: frameSize, bodyAt: reader.at, bodyCount: Int(bodyCount),
            coding: coding, coverFrom: coverFrom, coverTo: frameSize, coverSeed: FrameHeader.seed(salt: salt, offset: offset),
            coverChecksum: ChecksumStep.removing(distance, from: check))
    }

    /// Reads what stands between the index and the last value.
    private static func head(_ reader: inout JSONReader, _ header: inout FrameHeader) -> BodyCoding? {
        var isControl = true
        if reader.take(",\"term\":") {
            isControl = false
            guard let term = reader.number(), let time = reader.time(",\"timestamp\":\"") else { return nil }
            header.term = term
            header.timestamp = time
        } else if reader.take(",\"type\":") {
            guard let type = reader.number(atMost: 255), type != 0, type != UInt64(FrameType.entry) else { return nil }
            header.type = UInt8(type)
        } else {
            header.type = 0
        }
        guard let flags = flags(&reader), let (codec, size) = codec(&reader) else { return nil }
        header.flags = flags | codec << FrameHeader.codecShift
        header.size = size
        if !isControl {
            guard reader.take(",\"checksum\":\""), let checksum = reader.hex(8), reader.take("\"") else { return nil }
            header.checksum = UInt32(checksum)
        }
        if header.type == 0 {
            guard let type = JSONControl.takeName(&reader) else { return nil }
            header.type = type
            return .fields
        }
        if reader.take(",\"data\":\"") { return .text }
        return reader.take(",\"data_base64\":\"") ? .base64 : nil
    }

    /// The length of the payload where its coding tells it beforehand, else the most that it can be. False: it cannot be.
    private static func largestLength(_ type: UInt8, _ coding: BodyCoding, _ bodyCount: Int, _ length: inout UInt32) -> Bool {
        var count = bodyCount
        switch coding {
        case .base64:
            guard bodyCount % 4 == 0 else { return false }
            count = bodyCount / 4 * 3
        case .fields: count = JSONControl.length(type) ?? bodyCount
        case .raw, .text: break
        }
        length = UInt32(min(count, FrameHeader.largestLength))
        return coding != .fields || count <= FrameHeader.largestLength
    }

    /// Puts the payload into `target` and returns its length. `target` has `header.length` bytes or more; what lies behind the payload
    /// in it may be written over. Nil: `stored`, the outline's body, is not as `encode` writes it, or there is no room.
    static func decodeBody(_ outline: FrameOutline, _ stored: Bytes, to target: MutableBytes) -> Int? {
        guard stored.count == outline.bodyCount else { return nil }
        let type = outline.header.type
        switch outline.coding {
        case .raw: return nil
        case .fields: return JSONControl.decode(type, stored, to: target)
        case .text:
            guard let (from, length) = JSONText.unescape(stored, from: 0, to: target, at: 0), from == stored.count,
                stored.count <= JSONText.largestEscaped(length)
            else { return nil }
            return isBest(.text, type, target, length) ? length : nil
        case .base64:
            guard let length = JSONText.decodeBase64(stored, to: target, at: 0) else { return nil }
            return isBest(.base64, type, target, length) ? length : nil
        }
    }

    /// Whether the writer would have written this payload in this form: each has one only.
    private static func isBest(_ coding: BodyCoding, _ type: UInt8, _ target: MutableBytes, _ length: Int) -> Bool {
        guard length <= FrameHeader.largestLength else { return false }
        if type == FrameType.entry && coding == .text { return true }
        return form(type, target.bytes.slice(0, length)).0 == coding
    }
}
