// JSONControl.swift - the payloads of control frames as fields with names
//
// Decoded they are, byte for byte, what binary frames hold, so that nobody above has to know of the names. A payload that the
// names cannot say, and a type that has none, is written as `"type":9,"data":...` instead, like an entry's bytes.

enum JSONControl {
    /// The name of a field whose value is the payload, with what stands before the value.
    static func name(_ type: UInt8) -> StaticString {
        switch type {
        case FrameType.begin: ",\"begin\":"
        case FrameType.run: ",\"run\":"
        case FrameType.watermark: ",\"watermark\":"
        case FrameType.padding: ",\"padding\":\""
        default: ",\"metadata\":"
        }
    }

    static func takeName(_ reader: inout JSONReader) -> UInt8? {
        for type in FrameType.begin...FrameType.metadata where type != FrameType.seal {
            if reader.take(name(type)) { return type }
        }
        return nil
    }

    /// The length of the payload where it is always the same. That of padding is that of its spaces.
    static func length(_ type: UInt8) -> Int? {
        switch type {
        case FrameType.begin: BeginPayload.size
        case FrameType.run: Run.payloadSize
        case FrameType.watermark: 8
        default: nil
        }
    }

    /// Writes a payload. False if the names cannot say it; what was written then means nothing.
    static func put(_ type: UInt8, _ payload: Bytes, _ writer: inout JSONWriter) -> Bool {
        switch type {
        case FrameType.begin where payload.count == BeginPayload.size: putBegin(payload, &writer)
        case FrameType.run where payload.count == Run.payloadSize: putRun(payload, 0, &writer)
        case FrameType.watermark where payload.count == 8: writer.put(payload.u64(0))
        case FrameType.padding where payload.isZero: writer.put(spaces: payload.count)
        case FrameType.metadata: return JSONMetadata.put(payload, &writer)
        default: return false
        }
        return true
    }

    static func decode(_ type: UInt8, _ body: Bytes, to target: MutableBytes) -> Int? {
        if let length = length(type), target.count < length { return nil }
        var reader = JSONReader(body)
        switch type {
        case FrameType.begin: return decodeBegin(&reader, to: target) && reader.isAtEnd ? BeginPayload.size : nil
        case FrameType.run: return decodeRun(&reader, to: target, 0) && reader.isAtEnd ? Run.payloadSize : nil
        case FrameType.watermark:
            guard let index = reader.number(), reader.isAtEnd else { return nil }
            target.store64(index, 0)
            return 8
        case FrameType.padding:
            guard isSpaces(body), target.count >= body.count else { return nil }
            target.zero(0, body.count)
            return body.count
        case FrameType.metadata: return JSONMetadata.decode(&reader, to: target)
        default: return nil
        }
    }

    private static func isSpaces(_ body: Bytes) -> Bool {
        var at = 0
        while at < body.count && body.u8(at) == 0x20 { at &+= 1 }
        return at == body.count
    }

    // ---- Run

    private static func putRun(_ payload: Bytes, _ at: Int, _ writer: inout JSONWriter) {
        writer.put("{\"term\":")
        writer.put(payload.u64(at))
        writer.put(",\"time_base\":\"")
        writer.put(time: payload.i64(at + 8))
        writer.put("\"}")
    }

    private static func decodeRun(_ reader: inout JSONReader, to target: MutableBytes, _ at: Int) -> Bool {
        guard let term = reader.number("{\"term\":"), let timeBase = reader.time(",\"time_base\":\""), reader.take("}") else {
            return false
        }
        target.store64(term, at)
        target.store64(timeBase, at + 8)
        return true
    }

    // ---- Begin

    private static func putBegin(_ payload: Bytes, _ writer: inout JSONWriter) {
        writer.put("{\"base_index\":")
        writer.put(payload.u64(0))
        writer.put(",\"epoch\":")
        writer.put(payload.u64(8))
        writer.put(",\"predecessor\":{\"segment\":")
        writer.put(payload.u64(16))
        writer.put(",\"end_offset\":")
        writer.put(payload.u64(32))
        writer.put(",\"digest\":\"")
        writer.put(hex: payload.u64(40), digits: 16)
        writer.put("\"},\"rising_from\":")
        writer.put(payload.u64(24))
        writer.put(",\"run\":")
        putRun(payload, 48, &writer)
        writer.put(",\"highest_time\":\"")
        writer.put(time: payload.i64(64))
        writer.put("\",\"durable_index\":")
        writer.put(payload.u64(72))
        writer.put(",\"highest_stamp\":\"")
        writer.put(time: payload.i64(80))
        writer.put("\",\"metadata_sequence\":")
        writer.put(payload.u64(88))
        writer.put("}")
    }

    private static func decodeBegin(_ reader: inout JSONReader, to target: MutableBytes) -> Bool {
        guard let baseIndex = reader.number("{\"base_index\":"), let epoch = reader.number(",\"epoch\":"),
            let predecessor = reader.number(",\"predecessor\":{\"segment\":"),
            let endOffset = reader.number(",\"end_offset\":"), reader.take(",\"digest\":\""), let digest = reader.hex(16),
            let risingFrom = reader.number("\"},\"rising_from\":"), reader.take(",\"run\":"), decodeRun(&reader, to: target, 48),
            let highestTime = reader.time(",\"highest_time\":\""), let durableIndex = reader.number(",\"durable_index\":"),
            let highestStamp = reader.time(",\"highest_stamp\":\""),
            let metadataSequence = reader.number(",\"metadata_sequence\":"), reader.take("}")
        else { return false }
        target.store64(baseIndex, 0)
        target.store64(epoch, 8)
        target.store64(predecessor, 16)
        target.store64(risingFrom, 24)
        target.store64(endOffset, 32)
        target.store64(digest, 40)
        target.store64(highestTime, 64)
        target.store64(durableIndex, 72)
        target.store64(highestStamp, 80)
        target.store64(metadataSequence, 88)
        return true
    }
}

/// The payload of a metadata frame: a sequence number and key-value records, see MetadataRecords. What their lengths say is all
/// that counts here; whether a writer may have written them is not asked.
private enum JSONMetadata {
    private static var recordHead: Int { 8 }
    /// None that is larger is ever written, and it bounds what a line may hold.
    private static var largest: Int { 1 << 20 }

    static func put(_ payload: Bytes, _ writer: inout JSONWriter) -> Bool {
        guard payload.count >= 8, payload.count <= largest else { return false }
        writer.put("{\"sequence\":")
        writer.put(payload.u64(0))
        writer.put(",\"records\":[")
        var at = 8
        while at < payload.count {
            guard payload.count - at >= recordHead else { return false }
            let keyCount = Int(payload.u16(at))
            let valueCount = Int(payload.u32(at + 4))
            let end = at + recordHead + keyCount + valueCount
            let next = (end + 7) & ~7
            guard next <= payload.count, payload.slice(end, next - end).isZero else { return false }
            writer.put(at == 8 ? "{" : ",{")
            if payload.u16(at + 2) != 0 {
                writer.put("\"kind\":")
                writer.put(UInt64(payload.u16(at + 2)))
                writer.put(",")
            }
            put("\"key\":\"", "\"key_base64\":\"", payload.slice(at + recordHead, keyCount), &writer)
            put(",\"value\":\"", ",\"value_base64\":\"", payload.slice(end - valueCount, valueCount), &writer)
            writer.put("}")
            at = next
        }
        writer.put("]}")
        return true
    }

    private static func put(_ name: StaticString, _ base64Name: StaticString, _ bytes: Bytes, _ writer: inout JSONWriter) {
        if let count = JSONText.escapedCount(bytes) {
            writer.put(name)
            writer.put(text: bytes, count: count)
        } else {
            writer.put(base64Name)
            writer.put(base64: bytes)
        }
        writer.put("\"")
    }

    static func decode(_ reader: inout JSONReader, to target: MutableBytes) -> Int? {
        guard target.count >= 8, let sequence = reader.number("{\"sequence\":"), reader.take(",\"records\":[") else { return nil }
        target.store64(sequence, 0)
        var at = 8
        while !reader.take("]}") {
            guard target.count - at >= recordHead, reader.take(at == 8 ? "{" : ",{") else { return nil }
            var kind: UInt64 = 0
            if reader.take("\"kind\":") {
                guard let number = reader.number(atMost: UInt64(UInt16.max)), number > 0, reader.take(",") else { return nil }
                kind = number
            }
            let key = at + recordHead
            guard let value = take("\"key\":\"", "\"key_base64\":\"", &reader, to: target, key),
                let end = take(",\"value\":\"", ",\"value_base64\":\"", &reader, to: target, value), reader.take("}"),
                value - key <= UInt16.max, (end + 7) & ~7 <= target.count
            else { return nil }
            target.store16(UInt16(value - key), at)
            target.store16(UInt16(kind), at + 2)
            target.store32(UInt32(end - value), at + 4)
            at = (end + 7) & ~7
            target.zero(end, at - end)
        }
        return reader.isAtEnd && at <= largest ? at : nil
    }

    /// Puts a string into `target` at `at` and returns where it ends.
    private static func take(
        _ name: StaticString, _ base64Name: StaticString, _ reader: inout JSONReader, to target: MutableBytes, _ at: Int
    ) -> Int? {
        var end = at
        if reader.take(name) {
            guard let (stop, length) = JSONText.unescape(reader.bytes, from: reader.at, to: target, at: at),
                stop - reader.at <= JSONText.largestEscaped(length - at)
            else { return nil }
            reader.at = stop
            end = length
        } else {
            guard reader.take(base64Name) else { return nil }
            var stop = reader.at
            while stop < reader.bytes.count && reader.bytes.u8(stop) != 0x22 { stop &+= 1 }
            guard let length = JSONText.decodeBase64(reader.bytes.slice(reader.at, stop - reader.at), to: target, at: at),
                JSONText.escapedCount(target.bytes.slice(at, length - at)) == nil
            else { return nil }
            reader.at = stop
            end = length
        }
        return reader.take("\"") ? end : nil
    }
}
