// ProtoFields.swift - the parts of a Protocol Buffers message: tags, varints, fixed numbers, bytes
//
// A message is written and read front to back, in the order of its field numbers, in one spelling: varints are as short as
// they can be, and fields that are 0 or empty are left out, as proto3 has it. The writer also only counts, so that measuring
// and writing cannot disagree. All fields that have a name here have numbers below 16, so that a tag is one byte.

enum Varint {
    @inline(__always)
    static func size(_ value: UInt64) -> Int { (70 &- (value | 1).leadingZeroBitCount) / 7 }
}

enum WireType {
    static var varint: UInt8 { 0 }
    static var fixed64: UInt8 { 1 }
    static var bytes: UInt8 { 2 }
    static var fixed32: UInt8 { 5 }
}

struct ProtoWriter {
    private let target: MutableBytes
    private let isCounting: Bool
    /// Where the next byte goes.
    private(set) var at: Int

    /// Counts bytes and writes none.
    @inline(__always)
    init() {
        target = .empty
        isCounting = true
        at = 0
    }

    @inline(__always)
    init(to target: MutableBytes, at: Int = 0) {
        self.target = target
        isCounting = false
        self.at = at
    }

    /// Bytes that `body` would write.
    @inline(__always)
    static func count(_ body: (inout ProtoWriter) -> Void) -> Int {
        var writer = ProtoWriter()
        body(&writer)
        return writer.at
    }

    @inline(__always)
    private mutating func put(byte: UInt8) {
        if !isCounting { target.store8(byte, at) }
        at &+= 1
    }

    @inline(__always)
    private mutating func put(tag field: UInt8, _ wireType: UInt8) { put(byte: field << 3 | wireType) }

    @inline(__always)
    mutating func put(varint value: UInt64) {
        if isCounting {
            at &+= Varint.size(value)
            return
        }
        var rest = value
        while rest >= 0x80 {
            target.store8(UInt8(truncatingIfNeeded: rest) | 0x80, at)
            rest >>= 7
            at &+= 1
        }
        target.store8(UInt8(truncatingIfNeeded: rest), at)
        at &+= 1
    }

    @inline(__always)
    mutating func put(_ field: UInt8, _ value: UInt64) {
        if value == 0 { return }
        put(tag: field, WireType.varint)
        put(varint: value)
    }

    @inline(__always)
    mutating func put(_ field: UInt8, fixed64 value: UInt64) {
        if value == 0 { return }
        put(tag: field, WireType.fixed64)
        if !isCounting { target.store64(value, at) }
        at &+= 8
    }

    @inline(__always)
    mutating func put(_ field: UInt8, fixed32 value: UInt32) {
        if value != 0 { put(always: field, fixed32: value) }
    }

    /// The check has its place even where it is 0.
    @inline(__always)
    mutating func put(always field: UInt8, fixed32 value: UInt32) {
        put(tag: field, WireType.fixed32)
        if !isCounting { target.store32(value, at) }
        at &+= 4
    }

    /// The beginning of a message or of bytes: the `count` bytes themselves follow.
    @inline(__always)
    mutating func open(_ field: UInt8, count: Int) {
        put(tag: field, WireType.bytes)
        put(varint: UInt64(count))
    }

    @inline(__always)
    mutating func put(_ field: UInt8, _ bytes: Bytes) {
        if bytes.count == 0 { return }
        open(field, count: bytes.count)
        if !isCounting { target.copy(bytes, to: at) }
        at &+= bytes.count
    }

    /// Bytes that are zero, of which not even none are left out.
    mutating func put(_ field: UInt8, zeros count: Int) {
        open(field, count: count)
        if !isCounting { target.zero(at, count) }
        at &+= count
    }
}

/// Takes a message apart. What does not stand there exactly as the writer writes it makes it fail, and from then on it answers
/// 0 and empty; so it is asked once, at the end. It never reads past `limit`.
struct ProtoReader {
    private let bytes: Bytes
    private(set) var at: Int
    /// Where the bytes end, or the message within them that is being read.
    var limit: Int
    private(set) var hasFailed = false

    @inline(__always)
    init(_ bytes: Bytes, at: Int = 0) {
        self.bytes = bytes
        self.at = at
        limit = bytes.count
    }

    var isAtEnd: Bool { at >= limit }
    /// Whether everything was read and was right.
    var isDone: Bool { !hasFailed && at == limit }

    mutating func fail() { hasFailed = true }

    /// The next byte, which is not taken yet.
    @inline(__always)
    var next: UInt8? { at < limit && !hasFailed ? bytes.u8(at) : nil }

    @inline(__always)
    private mutating func take(tag field: UInt8, _ wireType: UInt8) -> Bool {
        guard next == field << 3 | wireType else { return false }
        at &+= 1
        return true
    }

    @inline(__always)
    mutating func varint(atMost most: UInt64 = .max) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = next {
            at &+= 1
            // Of the tenth byte a single bit is left, and a last byte of 0 says what nothing says as well.
            if shift == 63 && byte > 1 || byte == 0 && shift > 0 { break }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 {
                if value > most { break }
                return value
            }
            shift &+= 7
        }
        fail()
        return 0
    }

    @inline(__always)
    mutating func number(_ field: UInt8, atMost most: UInt64 = .max) -> UInt64 {
        guard take(tag: field, WireType.varint) else { return 0 }
        let value = varint(atMost: most)
        if value == 0 { fail() }
        return value
    }

    @inline(__always)
    mutating func flag(_ field: UInt8) -> Bool { number(field, atMost: 1) == 1 }

    @inline(__always)
    mutating func fixed64(_ field: UInt8) -> UInt64 {
        guard take(tag: field, WireType.fixed64) else { return 0 }
        guard skip(8), bytes.u64(at &- 8) != 0 else {
            fail()
            return 0
        }
        return bytes.u64(at &- 8)
    }

    @inline(__always)
    mutating func fixed32(_ field: UInt8) -> UInt32 {
        guard next == field << 3 | WireType.fixed32 else { return 0 }
        let value = fixed32(always: field)
        if value == 0 { fail() }
        return value
    }

    @inline(__always)
    mutating func fixed32(always field: UInt8) -> UInt32 {
        guard take(tag: field, WireType.fixed32), skip(4) else {
            fail()
            return 0
        }
        return bytes.u32(at &- 4)
    }

    /// Passes over bytes. They have to be there.
    @inline(__always)
    mutating func skip(_ count: Int) -> Bool {
        guard !hasFailed, count <= limit &- at else {
            fail()
            return false
        }
        at &+= count
        return true
    }

    /// The tag and the length of a message, or nil if another field follows or none.
    @inline(__always)
    mutating func open(_ field: UInt8) -> Int? {
        guard take(tag: field, WireType.bytes) else { return nil }
        return Int(varint(atMost: 1 << 31))
    }

    /// The tag and the length of bytes that are not read here: 0 if there are none.
    @inline(__always)
    mutating func openBytes(_ field: UInt8) -> Int {
        guard let count = open(field) else { return 0 }
        if count == 0 { fail() }
        return count
    }

    mutating func bytes(_ field: UInt8) -> Bytes {
        let count = openBytes(field)
        return skip(count) ? bytes.slice(at &- count, count) : .empty
    }

    /// Zeros, of which there may be none. Nil: the field is not there.
    mutating func zeros(_ field: UInt8) -> Int? {
        guard let count = open(field) else { return nil }
        if skip(count), !bytes.slice(at &- count, count).isZero { fail() }
        return count
    }

    /// A message that has to be there, and may have more fields than `body` knows, up to `last`.
    @inline(__always)
    mutating func message(_ field: UInt8, last: UInt64, _ body: (inout ProtoReader) -> Void) {
        guard let count = open(field), !hasFailed, count <= limit &- at else {
            fail()
            return
        }
        let outer = limit
        limit = at &+ count
        body(&self)
        skipUnknown(above: last)
        limit = outer
    }

    /// Passes over what only a newer version knows: fields with higher numbers, up to the limit.
    mutating func skipUnknown(above last: UInt64) {
        var last = last &+ 1
        while !isAtEnd && !hasFailed {
            let tag = varint(atMost: UInt64(UInt32.max))
            guard tag >> 3 >= last else {
                fail()
                return
            }
            last = tag >> 3
            switch UInt8(tag & 7) {
            case WireType.varint: _ = varint()
            case WireType.fixed64: _ = skip(8)
            case WireType.fixed32: _ = skip(4)
            case WireType.bytes: _ = skip(Int(varint(atMost: 1 << 31)))
            default: fail()
            }
        }
    }
}
