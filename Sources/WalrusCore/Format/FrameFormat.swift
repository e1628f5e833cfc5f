// FrameFormat.swift - what every format of a segment's frames has in common
//
// A frame is the unit of a segment in each format: it begins at a multiple of 8, verifies alone and says the same things; only
// its bytes look different. A format is a namespace of static functions over views of bytes: `measure` and `encode` write a
// frame, `outline` and `decodeBody` read one. Between those two the reader checks what the outline names: nothing of an
// outline is to be believed before.

/// What segment files hold. A log keeps the format it was created with.
public enum FrameFormat: UInt32, Sendable {
    case binary = 0
    case json = 1
    case proto = 2
}

/// How a payload's bytes stand in a frame.
enum BodyCoding: UInt8 {
    /// As they are.
    case raw
    /// As the inside of a JSON string.
    case text
    case base64
    /// A control frame's payload as fields with names. Decoded it is what the binary format has.
    case fields
}

/// How a frame will look that is still to be written.
struct FrameMeasure {
    /// Bytes on disk, the padding included: a multiple of 8.
    var frameSize: Int
    var coding: BodyCoding
    /// The payload in its coding: where it begins in the frame, and how many bytes it takes up.
    var bodyAt: Int
    var bodyCount: Int
}

/// Where a frame's parts are, and what has to be checked before any of it is believed.
struct FrameOutline {
    /// `length` is exact for begin, run, watermark and padding frames; for others JSON tells only what it is at most, and
    /// `decodeBody` what it is. `relativeIndex` is what the format tells: 0 where it tells the index.
    var header: FrameHeader
    /// The frame's own check, which the segment's digest takes up.
    var checksum: UInt32
    /// Bytes on disk, the padding included: a multiple of 8.
    var frameSize: Int
    /// The payload in its coding, from the frame's start.
    var bodyAt: Int
    var bodyCount: Int
    var coding: BodyCoding
    /// The frame verifies if the CRC-32 of these bytes of it, going on from the seed, is `coverChecksum`.
    var coverFrom: Int
    var coverTo: Int
    var coverSeed: UInt32
    var coverChecksum: UInt32

    /// Whether a whole frame verifies. One that is too large for memory is checked piece by piece, in the same way.
    func verifies(_ frame: Bytes) -> Bool {
        frame.count >= coverTo && frame.slice(coverFrom, coverTo - coverFrom).checksum(from: coverSeed) == coverChecksum
    }

    /// The payload of a whole frame, in its coding.
    func body(_ frame: Bytes) -> Bytes { frame.slice(bodyAt, bodyCount) }
}

extension FrameFormat {
    /// A beginning of so many bytes always tells the outline.
    var outlineSize: Int {
        switch self {
        case .binary: FrameHeader.size
        case .json: JSONFrame.outlineSize
        case .proto: ProtoFrame.outlineSize
        }
    }

    /// Whether a frame may begin with these 8 bytes: a cheap look, for the search behind a bad frame.
    @inline(__always)
    func mayBegin(_ word: UInt64) -> Bool {
        switch self {
        case .binary: word != 0
        case .json: JSONFrame.mayBegin(word)
        case .proto: ProtoFrame.mayBegin(word)
        }
    }

    /// The frame that begins with `prefix`, or nil if none does. Nothing of it is to be believed before it verifies.
    ///
    /// Formats that tell an entry's index are told the segment's base index, so that the relative index is always there; nil: it is not
    /// known, and then the relative index means nothing in them.
    @inline(__always)
    func outline(_ prefix: Bytes, salt: UInt32, offset: UInt64, baseIndex: UInt64?) -> FrameOutline? {
        if case .binary = self { return BinaryFrame.outline(prefix, salt: salt, offset: offset) }
        return spelledOutline(prefix, salt: salt, offset: offset, baseIndex: baseIndex)
    }

    @inline(never)
    private func spelledOutline(_ prefix: Bytes, salt: UInt32, offset: UInt64, baseIndex: UInt64?) -> FrameOutline? {
        let found =
            self == .json
            ? JSONFrame.outline(prefix, salt: salt, offset: offset) : ProtoFrame.outline(prefix, salt: salt, offset: offset)
        guard var outline = found else { return nil }
        if let baseIndex {
            let (relative, isBelow) = outline.header.index.subtractingReportingOverflow(baseIndex)
            guard !isBelow, relative <= UInt64(UInt32.max) else { return nil }
            outline.header.relativeIndex = UInt32(relative)
        }
        return outline
    }

    func measure(_ header: FrameHeader, _ payload: Bytes) -> FrameMeasure {
        switch self {
        case .binary: BinaryFrame.measure(payload)
        case .json: JSONFrame.measure(header, payload)
        case .proto: ProtoFrame.measure(header, payload)
        }
    }

    /// Writes the frame at `at`, as `measure` told it, and returns its check.
    func encode(
        _ header: FrameHeader, _ payload: Bytes, _ measure: FrameMeasure, to target: MutableBytes, at: Int, salt: UInt32,
        offset: UInt64
    ) -> UInt32 {
        switch self {
        case .binary: BinaryFrame.encode(header, payload, measure, to: target, at: at, salt: salt, offset: offset)
        case .json: JSONFrame.encode(header, payload, measure, to: target, at: at, salt: salt, offset: offset)
        case .proto: ProtoFrame.encode(header, payload, measure, to: target, at: at, salt: salt, offset: offset)
        }
    }

    /// Puts the payload of a frame that verifies into `target`, which has room for `header.length` bytes, and returns its length; nil if it is not
    /// as `encode` writes it.
    func decodeBody(_ outline: FrameOutline, _ stored: Bytes, to target: MutableBytes) -> Int? {
        switch self {
        case .json: return JSONFrame.decodeBody(outline, stored, to: target)
        case .proto where outline.coding != .raw: return ProtoFrame.decodeBody(outline, stored, to: target)
        case .binary, .proto:
            guard stored.count <= target.count else { return nil }
            target.copy(stored, to: 0)
            return stored.count
        }
    }

    /// The most bytes on disk that an entry with this payload takes up, whatever its index and term.
    @inline(__always)
    func mostBytes(for payload: Bytes) -> Int {
        self == .binary ? FrameHeader.frameSize(payload.count) : measure(FrameHeader.longest, payload).frameSize
    }

    /// The most bytes on disk that a control frame with `count` bytes of payload takes up, whatever they are.
    @inline(__always)
    func mostBytes(_ count: Int) -> Int {
        switch self {
        case .binary: FrameHeader.frameSize(count)
        case .json: JSONFrame.mostBytes(count)
        case .proto: ProtoFrame.mostBytes(count)
        }
    }

    /// The payload of a padding frame that takes up exactly `gap` bytes, a multiple of 8, or nil if none is so small.
    func paddingLength(filling gap: Int, index: UInt64) -> Int? {
        switch self {
        case .binary: gap < FrameHeader.size ? nil : gap - FrameHeader.size
        case .json: JSONFrame.paddingLength(filling: gap, index: index)
        case .proto: ProtoFrame.paddingLength(filling: gap, index: index)
        }
    }
}

/// Today's frames of 24 bytes and a payload, see Frame.swift, as the other formats look at theirs.
enum BinaryFrame {
    static func measure(_ payload: Bytes) -> FrameMeasure {
        FrameMeasure(
            frameSize: FrameHeader.frameSize(payload.count), coding: .raw, bodyAt: FrameHeader.size, bodyCount: payload.count)
    }

    static func encode(
        _ header: FrameHeader, _ payload: Bytes, _ measure: FrameMeasure, to target: MutableBytes, at: Int, salt: UInt32,
        offset: UInt64
    ) -> UInt32 {
        let end = FrameHeader.size + payload.count
        target.copy(payload, to: at + FrameHeader.size)
        target.zero(at + end, measure.frameSize - end)
        return header.encode(to: target, at: at, salt: salt, offset: offset)
    }

    @inline(__always)
    static func outline(_ prefix: Bytes, salt: UInt32, offset: UInt64) -> FrameOutline? {
        guard let (header, checksum) = FrameHeader.decode(prefix, salt: salt, offset: offset) else { return nil }
        return FrameOutline(
            header: header, checksum: checksum, frameSize: header.frameSize, bodyAt: FrameHeader.size,
            bodyCount: Int(header.length), coding: .raw, coverFrom: FrameHeader.size,
            coverTo: FrameHeader.size &+ Int(header.length), coverSeed: 0, coverChecksum: header.payloadChecksum)
    }
}
