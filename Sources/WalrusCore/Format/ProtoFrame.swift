// ProtoFrame.swift - a frame as one message of docs/walrus.proto, with its length before it
//
//      +--------+------+-------+-------+----------+-------+---------+------+--------+---------+--------+
//      | length | 0x0d | check | index | durable  | flags | padding | kind | length | fields  | body   |
//      | varint |      |       |       | distance |       |         |      | varint | of it   |        |
//      +--------+------+-------+-------+----------+-------+---------+------+--------+---------+--------+
//
// A message has one spelling only, see ProtoFields. What fills it up to a multiple of 8 is a field before the payload, so that
// everything but the payload is in the frame's first bytes, and the payload, as it is, its last ones. Behind it a newer version
// may have fields with higher numbers; they are covered by the check and passed over. The check starts as that of a binary
// frame does, and covers all of the frame but itself, the length before it included. docs/FORMAT.md has the rules.

enum ProtoFrame {
    /// A beginning of so many bytes tells all that stands before the body.
    static var outlineSize: Int { 128 }
    /// The limit of the other runtimes, too.
    private static var largestMessage: UInt64 { (1 << 31) - 1 }

    /// The fields of a record. A kind's is its type's number and six.
    private enum Field {
        static var check: UInt8 { 1 }
        static var index: UInt8 { 2 }
        static var durableDistance: UInt8 { 3 }
        static var continues: UInt8 { 4 }
        static var flags: UInt8 { 5 }
        static var padding: UInt8 { 6 }
        static var entry: UInt8 { 7 }
        static var other: UInt8 { 14 }

        @inline(__always)
        static func ofKind(_ type: UInt8) -> UInt8 { type &+ 6 }
    }

    private enum EntryField {
        static var term: UInt8 { 1 }
        static var timestamp: UInt8 { 2 }
        static var givenTime: UInt8 { 3 }
        static var codec: UInt8 { 4 }
        static var size: UInt8 { 5 }
        static var checksum: UInt8 { 6 }
        static var data: UInt8 { 7 }
    }

    private enum OtherField {
        static var type: UInt8 { 1 }
        static var payload: UInt8 { 2 }
    }

    /// A cheap look at 8 bytes, for the search behind a bad frame: a varint of at most five bytes, then the tag of the check.
    @inline(__always)
    static func mayBegin(_ word: UInt64) -> Bool {
        let ends = ~word & 0x80_8080_8080
        return ends != 0 && (word >> UInt64(ends.trailingZeroBitCount &+ 1)) & 0xff == 0x0d
    }

    // ---- Write

    static func measure(_ header: FrameHeader, _ payload: Bytes) -> FrameMeasure {
        let (coding, bodyCount) = form(header.type, payload)
        let frameSize = layout(header, coding, bodyCount).frameSize
        return FrameMeasure(frameSize: frameSize, coding: coding, bodyAt: frameSize &- bodyCount, bodyCount: bodyCount)
    }

    /// Writes the frame at `at` and returns its check.
    static func encode(
        _ header: FrameHeader, _ payload: Bytes, _ measure: FrameMeasure, to target: MutableBytes, at: Int, salt: UInt32,
        offset: UInt64
    ) -> UInt32 {
        let frame = target.slice(at, measure.frameSize)
        let layout = layout(header, measure.coding, measure.bodyCount)
        var writer = ProtoWriter(to: frame)
        writer.put(varint: UInt64(layout.messageSize))
        let checkAt = writer.at &+ 1
        putHead(header, &writer)
        if layout.padding > 0 { writer.put(Field.padding, zeros: layout.padding &- 2) }
        writer.open(field(header.type, measure.coding), count: layout.kindSize)
        putKindHead(header, measure.coding, measure.bodyCount, &writer)
        if measure.coding == .raw {
            frame.copy(payload, to: writer.at)
        } else {
            _ = ProtoControl.put(header.type, payload, &writer)
        }
        let seed = frame.bytes.slice(0, checkAt).checksum(from: FrameHeader.seed(salt: salt, offset: offset))
        let check = frame.bytes.slice(checkAt &+ 4, frame.count &- checkAt &- 4).checksum(from: seed)
        frame.store32(check, checkAt)
        return check
    }

    /// The payload of a padding frame that takes up exactly `gap` bytes, a multiple of 8, or nil if none is so small.
    static func paddingLength(filling gap: Int, index: UInt64) -> Int? {
        let header = FrameHeader(type: FrameType.padding, length: 0, index: index, size: 0, checksum: 0)
        func frameSize(_ length: Int) -> Int {
            layout(header, .fields, ProtoControl.paddingSize(length)).frameSize
        }
        // Beside the payload there are two lengths that grow with it, and the record's own padding.
        let most = gap &- frameSize(0) &+ 8
        var length = max(0, most &- 32)
        while length <= most {
            if frameSize(length) == gap { return length }
            length &+= 1
        }
        return nil
    }

    /// The most bytes that a frame with `count` bytes of payload takes up: small records of metadata may grow.
    @inline(__always)
    static func mostBytes(_ count: Int) -> Int { count &+ min(count, MetadataRecords.largestPayload) / 8 &+ 128 }

    private static func form(_ type: UInt8, _ payload: Bytes) -> (BodyCoding, Int) {
        if type != FrameType.entry {
            var writer = ProtoWriter()
            if ProtoControl.put(type, payload, &writer) { return (.fields, writer.at) }
        }
        return (.raw, payload.count)
    }

    @inline(__always)
    private static func field(_ type: UInt8, _ coding: BodyCoding) -> UInt8 {
        type == FrameType.entry || coding == .fields ? Field.ofKind(type) : Field.other
    }

    /// Sizes of a frame's parts.
    private struct Layout {
        /// The message of the kind, without its tag and length.
        var kindSize: Int
        /// The padding with its tag and length; 0: there is none.
        var padding: Int
        /// The record without the length before it.
        var messageSize: Int
        var frameSize: Int { messageSize &+ Varint.size(UInt64(messageSize)) }
    }

    @inline(__always)
    private static func layout(_ header: FrameHeader, _ coding: BodyCoding, _ bodyCount: Int) -> Layout {
        var writer = ProtoWriter()
        putKindHead(header, coding, bodyCount, &writer)
        let kindSize = writer.at &+ bodyCount
        writer = ProtoWriter()
        putHead(header, &writer)
        writer.open(field(header.type, coding), count: kindSize)
        let bare = writer.at &+ kindSize
        let padding = padding(bare)
        return Layout(kindSize: kindSize, padding: padding, messageSize: bare &+ padding)
    }

    /// Bytes that the padding of a message takes up which has `bare` bytes without it: as few as make it, with its length before it,
    /// a multiple of 8. One alone cannot be, as a tag and a length are two.
    @inline(__always)
    private static func padding(_ bare: Int) -> Int {
        let size = Varint.size(UInt64(bare))
        var padding = -(size &+ bare) & 7
        if padding == 1 { padding = 9 }
        if Varint.size(UInt64(bare &+ padding)) == size { return padding }
        // It would make the length before the message longer by a byte.
        padding = -(size &+ 1 &+ bare) & 7
        while padding == 1 || Varint.size(UInt64(bare &+ padding)) == size { padding &+= 8 }
        return padding
    }

    @inline(__always)
    private static func putHead(_ header: FrameHeader, _ writer: inout ProtoWriter) {
        writer.put(always: Field.check, fixed32: 0)
        writer.put(Field.index, header.index)
        writer.put(Field.durableDistance, UInt64(header.durableDistance))
        writer.put(Field.continues, header.continues ? 1 : 0)
        writer.put(Field.flags, UInt64(header.flags & ~namedFlags(header.type)))
    }

    /// Those that have a field of their own.
    @inline(__always)
    private static func namedFlags(_ type: UInt8) -> UInt8 {
        type == FrameType.entry
            ? FrameHeader.continuesFlag | FrameHeader.givenTimeFlag | FrameHeader.codecMask : FrameHeader.continuesFlag
    }

    /// The fields of the kind's message before the body, and the tag and length of the body itself.
    @inline(__always)
    private static func putKindHead(
        _ header: FrameHeader, _ coding: BodyCoding, _ bodyCount: Int, _ writer: inout ProtoWriter
    ) {
        if coding == .fields { return }
        if header.type == FrameType.entry {
            writer.put(EntryField.term, header.term)
            writer.put(EntryField.timestamp, fixed64: UInt64(bitPattern: header.timestamp))
            writer.put(EntryField.givenTime, header.hasGivenTime ? 1 : 0)
            writer.put(EntryField.codec, UInt64(header.codec))
            if header.codec != 0 { writer.put(EntryField.size, UInt64(header.size)) }
            writer.put(EntryField.checksum, fixed32: header.checksum)
            if bodyCount > 0 { writer.open(EntryField.data, count: bodyCount) }
        } else {
            writer.put(OtherField.type, UInt64(header.type))
            if bodyCount > 0 { writer.open(OtherField.payload, count: bodyCount) }
        }
    }

    // ---- Read

    /// The frame that begins with `prefix`, or nil if none does. `prefix` has `outlineSize` bytes, or all that the file has.
    static func outline(_ prefix: Bytes, salt: UInt32, offset: UInt64) -> FrameOutline? {
        guard prefix.count >= 8, mayBegin(prefix.u64(0)) else { return nil }
        var reader = ProtoReader(prefix)
        let messageSize = Int(reader.varint(atMost: largestMessage))
        let headAt = reader.at
        let frameSize = headAt &+ messageSize
        guard frameSize & 7 == 0 else { return nil }
        reader.limit = min(prefix.count, frameSize)
        let check = reader.fixed32(always: Field.check)
        var header = FrameHeader(type: 0, length: 0, index: reader.number(Field.index), size: 0, checksum: 0)
        header.durableDistance = UInt8(reader.number(Field.durableDistance, atMost: 255))
        let continues = reader.flag(Field.continues)
        let flags = UInt8(reader.number(Field.flags, atMost: 255))
        let paddingAt = reader.at
        _ = reader.zeros(Field.padding)
        let padding = reader.at &- paddingAt
        guard !reader.hasFailed, padding == self.padding(messageSize &- padding) else { return nil }
        guard let (coding, bodyAt, bodyCount) = kind(&reader, frameSize, &header), flags & namedFlags(header.type) == 0 else {
            return nil
        }
        header.flags |= flags | (continues ? FrameHeader.continuesFlag : 0)
        if header.codec == 0 || header.type != FrameType.entry {
            header.size = header.length
            header.payloadChecksum = header.checksum
        }
        return FrameOutline(
            header: header, checksum: check, frameSize: frameSize, bodyAt: bodyAt, bodyCount: bodyCount, coding: coding,
            coverFrom: headAt &+ 5, coverTo: frameSize,
            coverSeed: prefix.slice(0, headAt &+ 1).checksum(from: FrameHeader.seed(salt: salt, offset: offset)),
            coverChecksum: check)
    }

    /// Reads the message of the kind up to the body.
    @inline(__always)
    private static func kind(
        _ reader: inout ProtoReader, _ frameSize: Int, _ header: inout FrameHeader
    ) -> (coding: BodyCoding, bodyAt: Int, bodyCount: Int)? {
        guard let tag = reader.next, tag & 7 == WireType.bytes else { return nil }
        let field = tag >> 3
        guard field >= Field.entry, field <= Field.other, field != Field.ofKind(FrameType.seal),
            let kindSize = reader.open(field), !reader.hasFailed, kindSize <= frameSize &- reader.at
        else { return nil }
        let kindEnd = reader.at &+ kindSize
        reader.limit = min(reader.limit, kindEnd)
        if field != Field.entry && field != Field.other {
            header.type = field &- Field.ofKind(0)
            guard kindSize <= FrameHeader.largestLength, let length = ProtoControl.length(header.type, reader, kindSize) else {
                return nil
            }
            header.length = UInt32(length)
            return (.fields, reader.at, kindSize)
        }
        var bodyField = EntryField.data
        if field == Field.entry {
            header.type = FrameType.entry
            entry(&reader, &header)
        } else {
            bodyField = OtherField.payload
            header.type = UInt8(reader.number(OtherField.type, atMost: 255))
            guard header.type > FrameType.entry else { return nil }
        }
        let bodyCount = reader.openBytes(bodyField)
        let bodyAt = reader.at
        // Where there is no body, what follows may only be a newer version's.
        if bodyCount == 0 && bodyAt < kindEnd && reader.varint() >> 3 <= UInt64(bodyField) { return nil }
        guard !reader.hasFailed, bodyCount <= FrameHeader.largestLength, bodyCount <= kindEnd &- bodyAt else { return nil }
        header.length = UInt32(bodyCount)
        return (.raw, bodyAt, bodyCount)
    }

    @inline(__always)
    private static func entry(_ reader: inout ProtoReader, _ header: inout FrameHeader) {
        header.term = reader.number(EntryField.term)
        header.timestamp = Int64(bitPattern: reader.fixed64(EntryField.timestamp))
        if reader.flag(EntryField.givenTime) { header.flags = FrameHeader.givenTimeFlag }
        let codec = UInt8(reader.number(EntryField.codec, atMost: 3))
        header.flags |= codec << FrameHeader.codecShift
        if codec != 0 { header.size = UInt32(reader.number(EntryField.size, atMost: UInt64(UInt32.max))) }
        header.checksum = reader.fixed32(EntryField.checksum)
    }

    /// Puts the payload into `target` and returns its length. `target` has `header.length` bytes or more; what lies behind the payload
    /// in it may be written over. Nil: `stored`, the outline's body, is not as `encode` writes it, or there is no room.
    static func decodeBody(_ outline: FrameOutline, _ stored: Bytes, to target: MutableBytes) -> Int? {
        guard stored.count == outline.bodyCount else { return nil }
        let type = outline.header.type
        if outline.coding == .fields { return ProtoControl.decode(type, stored, to: target) }
        // What has names of its own is not written as bytes.
        guard outline.coding == .raw, stored.count <= target.count, form(type, stored).0 == .raw else { return nil }
        target.copy(stored, to: 0)
        return stored.count
    }
}
