// ProtoControl.swift - the payloads of control frames as messages of their own
//
// Decoded they are, byte for byte, what binary frames hold, so that nobody above has to know of the fields. A payload that the
// fields cannot say, and a type that has none, is written as bytes in the message Other.

enum ProtoControl {
    /// The length of a payload, or the most that it can be; nil: it is none. `reader` stands at the body, which has `bodyCount` bytes.
    static func length(_ type: UInt8, _ reader: ProtoReader, _ bodyCount: Int) -> Int? {
        switch type {
        case FrameType.begin: return BeginPayload.size
        case FrameType.run: return Run.payloadSize
        case FrameType.watermark: return 8
        case FrameType.padding:
            var reader = reader
            let count = reader.openBytes(1)
            return !reader.hasFailed && count <= bodyCount ? count : nil
        // Two bytes say a record of nothing, which has eight.
        default: return min(8 &+ 4 &* bodyCount, MetadataRecords.largestPayload)
        }
    }

    /// Bytes of a padding frame's body.
    static func paddingSize(_ length: Int) -> Int { length == 0 ? 0 : 1 &+ Varint.size(UInt64(length)) &+ length }

    /// Writes a payload. False if the fields cannot say it; what was written then means nothing.
    static func put(_ type: UInt8, _ payload: Bytes, _ writer: inout ProtoWriter) -> Bool {
        switch type {
        case FrameType.begin where payload.count == BeginPayload.size: putBegin(payload, &writer)
        case FrameType.run where payload.count == Run.payloadSize: putRun(payload, 0, &writer)
        case FrameType.watermark where payload.count == 8: writer.put(1, payload.u64(0))
        case FrameType.padding where payload.isZero:
            if payload.count > 0 { writer.put(1, zeros: payload.count) }
        case FrameType.metadata: return ProtoMetadata.put(payload, &writer)
        default: return false
        }
        return true
    }

    /// The payload's length. Nil: malformed, or there is no room.
    static func decode(_ type: UInt8, _ body: Bytes, to target: MutableBytes) -> Int? {
        var reader = ProtoReader(body)
        var length = 0
        var last: UInt64 = 1
        switch type {
        case FrameType.begin:
            length = BeginPayload.size
            last = 9
            if target.count >= length { decodeBegin(&reader, to: target) }
        case FrameType.run:
            length = Run.payloadSize
            last = 2
            if target.count >= length { decodeRun(&reader, to: target, 0) }
        case FrameType.watermark:
            length = 8
            let index = reader.number(1)
            if target.count >= length { target.store64(index, 0) }
        case FrameType.padding:
            // Of no zeros not even the field is written.
            length = reader.next == nil ? 0 : reader.zeros(1) ?? 0
            if length == 0 && reader.at > 0 { return nil }
            if !reader.hasFailed && target.count >= length { target.zero(0, length) }
        case FrameType.metadata:
            guard let count = ProtoMetadata.decode(&reader, to: target) else { return nil }
            length = count
            last = 2
        default: return nil
        }
        reader.skipUnknown(above: last)
        return reader.isDone && target.count >= length ? length : nil
    }

    // ---- Run

    private static func putRun(_ payload: Bytes, _ at: Int, _ writer: inout ProtoWriter) {
        writer.put(1, payload.u64(at))
        writer.put(2, fixed64: payload.u64(at + 8))
    }

    private static func decodeRun(_ reader: inout ProtoReader, to target: MutableBytes, _ at: Int) {
        target.store64(reader.number(1), at)
        target.store64(reader.fixed64(2), at + 8)
    }

    // ---- Begin

    private static func putBegin(_ payload: Bytes, _ writer: inout ProtoWriter) {
        writer.put(1, payload.u64(0))
        writer.put(2, payload.u64(8))
        writer.open(3, count: ProtoWriter.count { putPredecessor(payload, &$0) })
        putPredecessor(payload, &writer)
        writer.put(4, payload.u64(24))
        writer.open(5, count: ProtoWriter.count { putRun(payload, 48, &$0) })
        putRun(payload, 48, &writer)
        writer.put(6, fixed64: payload.u64(64))
        writer.put(7, payload.u64(72))
        writer.put(8, fixed64: payload.u64(80))
        writer.put(9, payload.u64(88))
    }

    private static func putPredecessor(_ payload: Bytes, _ writer: inout ProtoWriter) {
        writer.put(1, payload.u64(16))
        writer.put(2, payload.u64(32))
        writer.put(3, fixed64: payload.u64(40))
    }

    private static func decodeBegin(_ reader: inout ProtoReader, to target: MutableBytes) {
        target.store64(reader.number(1), 0)
        target.store64(reader.number(2), 8)
        reader.message(3, last: 3) { reader in
            target.store64(reader.number(1), 16)
            target.store64(reader.number(2), 32)
            target.store64(reader.fixed64(3), 40)
        }
        target.store64(reader.number(4), 24)
        reader.message(5, last: 2) { decodeRun(&$0, to: target, 48) }
        target.store64(reader.fixed64(6), 64)
        target.store64(reader.number(7), 72)
        target.store64(reader.fixed64(8), 80)
        target.store64(reader.number(9), 88)
    }
}

/// The payload of a metadata frame: a sequence number and key-value records, see MetadataRecords. What their lengths say is all
/// that counts here; whether a writer may have written them is not asked.
private enum ProtoMetadata {
    private static var recordHead: Int { 8 }

    static func put(_ payload: Bytes, _ writer: inout ProtoWriter) -> Bool {
        guard payload.count >= 8, payload.count <= MetadataRecords.largestPayload else { return false }
        writer.put(1, payload.u64(0))
        var at = 8
        while at < payload.count {
            guard payload.count - at >= recordHead else { return false }
            let keyCount = Int(payload.u16(at))
            let valueCount = Int(payload.u32(at + 4))
            let end = at + recordHead + keyCount + valueCount
            let next = (end + 7) & ~7
            guard next <= payload.count, payload.slice(end, next - end).isZero else { return false }
            let record = payload.slice(at, end - at)
            writer.open(2, count: ProtoWriter.count { put(record: record, &$0) })
            put(record: record, &writer)
            at = next
        }
        return true
    }

    private static func put(record: Bytes, _ writer: inout ProtoWriter) {
        let value = recordHead + Int(record.u16(0))
        writer.put(1, UInt64(record.u16(2)))
        writer.put(2, record.slice(recordHead, value - recordHead))
        writer.put(3, record.slice(value, record.count - value))
    }

    static func decode(_ reader: inout ProtoReader, to target: MutableBytes) -> Int? {
        guard target.count >= 8 else { return nil }
        target.store64(reader.number(1), 0)
        var at = 8
        while reader.next == 2 << 3 | WireType.bytes {
            var kind: UInt64 = 0
            var key = Bytes.empty
            var value = Bytes.empty
            reader.message(2, last: 3) { reader in
                kind = reader.number(1, atMost: UInt64(UInt16.max))
                key = reader.bytes(2)
                value = reader.bytes(3)
            }
            let end = at + recordHead + key.count + value.count
            let next = (end + 7) & ~7
            guard !reader.hasFailed, key.count <= UInt16.max, next <= min(target.count, MetadataRecords.largestPayload) else {
                return nil
            }
            target.store16(UInt16(key.count), at)
            target.store16(UInt16(kind), at + 2)
            target.store32(UInt32(value.count), at + 4)
            target.copy(key, to: at + recordHead)
            target.copy(value, to: at + recordHead + key.count)
            target.zero(end, next - end)
            at = next
        }
        return at
    }
}
