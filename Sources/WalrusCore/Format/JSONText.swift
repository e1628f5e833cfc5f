// JSONText.swift - bytes as the inside of a JSON string: escaped where they are UTF-8, else in base64
//
// One payload has one form, and readers take no other: text is escaped only where JSON asks for it, in the shortest way, and
// base64 is taken only where the bytes are no text, or escaping would make more than twice as much of them: then it is control
// characters that they are full of, for quotes and line ends alone cannot. Eight bytes are looked at at once: `marks` has the
// highest bit of each byte set that is not to be copied as it is.

enum JSONText {
    private static var ones: UInt64 { 0x0101_0101_0101_0101 }
    private static var highs: UInt64 { 0x8080_8080_8080_8080 }

    @inline(__always)
    private static func each(_ byte: UInt8) -> UInt64 { UInt64(byte) &* ones }

    /// Marks bytes that must be escaped: below 0x20, quotes and backslashes. The lowest mark is right; those above it need not be,
    /// as a subtraction that borrows sets them.
    @inline(__always)
    private static func escapeMarks(_ word: UInt64) -> UInt64 {
        let quotes = word ^ each(0x22)
        let backslashes = word ^ each(0x5c)
        return ((word &- each(0x20)) & ~word | (quotes &- ones) & ~quotes | (backslashes &- ones) & ~backslashes) & highs
    }

    /// Marks those and all bytes that are not ASCII. The lowest mark is right.
    @inline(__always)
    private static func marks(_ word: UInt64) -> UInt64 { escapeMarks(word) | word & highs }

    @inline(__always)
    private static func isPlain(_ byte: UInt8) -> Bool { byte >= 0x20 && byte < 0x80 && byte != 0x22 && byte != 0x5c }

    // ---- Measure

    /// Text that is longer than this when it is escaped is written in base64.
    static func largestEscaped(_ count: Int) -> Int { 2 &* count }

    /// Bytes of `payload` as escaped text, or nil if it has to be base64.
    static func escapedCount(_ payload: Bytes) -> Int? {
        let count = payload.count
        let limit = largestEscaped(count)
        var at = 0
        var extra = 0
        while at < count {
            if at &+ 8 <= count {
                let found = marks(payload.u64(at))
                if found == 0 {
                    at &+= 8
                    continue
                }
                at &+= found.trailingZeroBitCount >> 3
            }
            let byte = payload.u8(at)
            if byte >= 0x80 {
                let size = sequences(payload, at)
                if size == 0 { return nil }
                at &+= size
            } else {
                extra &+= escapeSize(byte) &- 1
                at &+= 1
                if count &+ extra > limit { return nil }
            }
        }
        return count &+ extra
    }

    @inline(__always)
    private static func escapeSize(_ byte: UInt8) -> Int {
        if isPlain(byte) { return 1 }
        return shortEscape(byte) == 0 ? 6 : 2
    }

    /// What stands behind the backslash, or 0 if there is no short form.
    @inline(__always)
    private static func shortEscape(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0x22, 0x5c: byte
        case 0x08: 0x62  // b
        case 0x09: 0x74  // t
        case 0x0a: 0x6e  // n
        case 0x0c: 0x66  // f
        case 0x0d: 0x72  // r
        default: 0
        }
    }

    /// Bytes of the row of UTF-8 sequences at `at`, up to the next ASCII character; the first byte is none. 0 if one of them is
    /// malformed: cut short, overlong, a surrogate or above U+10FFFF.
    @inline(__always)
    private static func sequences(_ bytes: Bytes, _ at: Int) -> Int {
        var end = at
        repeat {
            var word: UInt32 = 0
            if end &+ 4 <= bytes.count {
                word = bytes.u32(end)
            } else {
                for i in 0..<(bytes.count &- end) { word |= UInt32(bytes.u8(end &+ i)) << UInt32(8 &* i) }
            }
            let size = sequence(word)
            if size == 0 { return 0 }
            end &+= size
        } while end < bytes.count && bytes.u8(end) >= 0x80
        return end &- at
    }

    /// Bytes of the sequence at the beginning of four bytes, the first of them lowest. Unicode 16, table 3-7.
    @inline(__always)
    private static func sequence(_ word: UInt32) -> Int {
        let first = word & 0xff
        let second = (word >> 8) & 0xff
        if word & 0xc0_c0f0 == 0x80_80e0 {
            return first == 0xe0 && second < 0xa0 || first == 0xed && second >= 0xa0 ? 0 : 3
        }
        if word & 0xc0e0 == 0x80c0 { return first >= 0xc2 ? 2 : 0 }
        guard word & 0xc0c0_c0f8 == 0x8080_80f0 else { return 0 }
        return first > 0xf4 || first == 0xf0 && second < 0x90 || first == 0xf4 && second >= 0x90 ? 0 : 4
    }

    // ---- Write

    /// Fills `target` with `payload`, escaped. `target` has the size that was measured; a payload that its owner changed since
    /// fits badly, is cut or filled up, and no longer agrees with its checksum.
    static func escape(_ payload: Bytes, to target: MutableBytes) {
        var from = 0
        var at = 0
        while from < payload.count && at < target.count {
            if from &+ 8 <= payload.count && at &+ 8 <= target.count {
                let word = payload.u64(from)
                target.store64(word, at)
                let found = escapeMarks(word)
                if found == 0 {
                    from &+= 8
                    at &+= 8
                    continue
                }
                let plain = found.trailingZeroBitCount >> 3
                from &+= plain
                at &+= plain
            }
            let byte = payload.u8(from)
            let size = byte >= 0x80 ? 1 : escapeSize(byte)
            if at &+ size > target.count { break }
            if size == 1 {
                target.store8(byte, at)
            } else {
                target.store8(0x5c, at)
                if size == 2 {
                    target.store8(shortEscape(byte), at &+ 1)
                } else {
                    target.store32(0x3030_3075, at &+ 1)  // u000
                    if byte >= 0x10 { target.store8(0x31, at &+ 4) }
                    target.store8(Hex.digit(byte & 15), at &+ 5)
                }
            }
            from &+= 1
            at &+= size
        }
        while at < target.count {
            target.store8(0x20, at)
            at &+= 1
        }
    }

    // ---- Read

    /// Puts the text of `source` from `from` on into `target` from `at` on, up to a quote or the end of `source`, and returns where
    /// both ended. What lies behind in `target` may be written over. Nil: it is not as `escape` writes it, or there is no room.
    static func unescape(_ source: Bytes, from: Int, to target: MutableBytes, at: Int) -> (from: Int, at: Int)? {
        var from = from
        var at = at
        while from < source.count {
            if from &+ 8 <= source.count && at &+ 8 <= target.count {
                let word = source.u64(from)
                target.store64(word, at)
                let found = marks(word)
                if found == 0 {
                    from &+= 8
                    at &+= 8
                    continue
                }
                let plain = found.trailingZeroBitCount >> 3
                from &+= plain
                at &+= plain
            }
            let byte = source.u8(from)
            if byte == 0x22 { break }
            var size = 1
            var value = byte
            if byte >= 0x80 {
                size = sequences(source, from)
                guard size > 0, size <= target.count &- at else { return nil }
                target.copy(source.slice(from, size), to: at)
                at &+= size
                from &+= size
                continue
            }
            if byte == 0x5c {
                guard let found = escaped(source, from &+ 1) else { return nil }
                (value, size) = found
            } else if byte < 0x20 {
                return nil
            }
            guard at < target.count else { return nil }
            target.store8(value, at)
            from &+= size
            at &+= 1
        }
        return (from, at)
    }

    /// The byte that an escape stands for, behind whose backslash is `at`, and the size of the escape.
    @inline(__always)
    private static func escaped(_ source: Bytes, _ at: Int) -> (UInt8, Int)? {
        guard at < source.count else { return nil }
        let letter = source.u8(at)
        switch letter {
        case 0x22, 0x5c: return (letter, 2)
        case 0x62: return (0x08, 2)
        case 0x74: return (0x09, 2)
        case 0x6e: return (0x0a, 2)
        case 0x66: return (0x0c, 2)
        case 0x72: return (0x0d, 2)
        default:
            guard at &+ 5 <= source.count, source.u32(at) & 0x00ff_ffff == 0x30_3075,  // u00
                source.u8(at &+ 3) & 0xfe == 0x30, let low = Hex.value(source.u8(at &+ 4))
            else { return nil }
            let value = (source.u8(at &+ 3) & 1) << 4 | low
            return shortEscape(value) == 0 ? (value, 6) : nil
        }
    }
}

// Base64, RFC 4648 with padding, eight characters at a time in the bytes of one word.
extension JSONText {
    static func base64Count(_ count: Int) -> Int { (count &+ 2) / 3 &* 4 }

    /// 0xff in each byte that is at least `limit`; all bytes are below 128.
    @inline(__always)
    private static func from(_ word: UInt64, _ limit: UInt8) -> UInt64 {
        ((word &+ each(128 &- limit)) & highs) >> 7 &* 0xff
    }

    /// The 48 bits of `bits` as eight characters, the first in the lowest byte.
    @inline(__always)
    private static func characters(_ bits: UInt64) -> UInt64 {
        var word = bits >> 24 | (bits & 0xff_ffff) << 32
        word = (word >> 12) & 0x0000_0fff_0000_0fff | (word & 0x0000_0fff_0000_0fff) << 16
        word = (word >> 6) & 0x003f_003f_003f_003f | (word & 0x003f_003f_003f_003f) << 8
        // A to Z, a to z, 0 to 9, + and /: the distance to the character changes at 26, 52, 62 and 63.
        return word &+ each(65) &+ (from(word, 26) & each(6)) &- (from(word, 52) & each(75)) &- (from(word, 62) & each(15))
            &+ (from(word, 63) & each(3))
    }

    /// The 48 bits of eight characters, or nil if one of them is none.
    @inline(__always)
    private static func bits(_ text: UInt64) -> UInt64? {
        if text & highs != 0 { return nil }
        let upper = from(text, 65) & ~from(text, 91)
        let lower = from(text, 97) & ~from(text, 123)
        let digits = from(text, 48) & ~from(text, 58)
        let plus = from(text, 43) & ~from(text, 44)
        let slash = from(text, 47) & ~from(text, 48)
        if upper | lower | digits | plus | slash != .max { return nil }
        var word =
            text &- (upper & each(65)) &- (lower & each(71)) &+ (digits & each(4)) &+ (plus & each(19)) &+ (slash & each(16))
        word = (word & 0x00ff_00ff_00ff_00ff) << 6 | (word >> 8) & 0x00ff_00ff_00ff_00ff
        word = (word & 0x0000_ffff_0000_ffff) << 12 | (word >> 16) & 0x0000_ffff_0000_ffff
        return (word & 0xffff_ffff) << 24 | word >> 32
    }

    /// Fills `target` with `payload` in base64. `target` has the size that `base64Count` told.
    static func encodeBase64(_ payload: Bytes, to target: MutableBytes) {
        var from = 0
        var at = 0
        while from &+ 8 <= payload.count {
            target.store64(characters(payload.u64(from).byteSwapped >> 16), at)
            from &+= 6
            at &+= 8
        }
        while from < payload.count {
            let left = min(payload.count &- from, 3)
            var bits: UInt64 = 0
            for i in 0..<left { bits |= UInt64(payload.u8(from &+ i)) << UInt64(40 &- 8 &* i) }
            var four = UInt32(truncatingIfNeeded: characters(bits))
            if left < 3 { four = four & 0x00ff_ffff | 0x3d00_0000 }
            if left < 2 { four = four & 0xff00_ffff | 0x003d_0000 }
            target.store32(four, at)
            from &+= 3
            at &+= 4
        }
    }

    /// Puts what `source` stands for into `target` from `at` on and returns where it ended. What lies behind may be written over. Nil:
    /// it is not as `encodeBase64` writes it, or there is no room.
    static func decodeBase64(_ source: Bytes, to target: MutableBytes, at: Int) -> Int? {
        guard source.count % 4 == 0 else { return nil }
        var from = 0
        var at = at
        while from &+ 8 < source.count && at &+ 8 <= target.count {
            guard let bits = bits(source.u64(from)) else { return nil }
            target.store64((bits << 16).byteSwapped, at)
            from &+= 8
            at &+= 6
        }
        while from < source.count {
            var four = source.u32(from)
            var size = 3
            if from &+ 4 == source.count && four >> 24 == 0x3d {
                size = (four >> 16) & 0xff == 0x3d ? 1 : 2
                // The padding stands for zero bits, which A means.
                four = size == 1 ? four & 0x0000_ffff | 0x4141_0000 : four & 0x00ff_ffff | 0x4100_0000
            }
            guard let bits = bits(UInt64(four) | 0x4141_4141_0000_0000), at &+ size <= target.count,
                bits << UInt64(16 &+ 8 &* size) == 0
            else { return nil }
            for i in 0..<size { target.store8(UInt8(truncatingIfNeeded: bits >> UInt64(40 &- 8 &* i)), at &+ i) }
            from &+= 4
            at &+= size
        }
        return at
    }
}

enum Hex {
    @inline(__always)
    static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 &+ value : 0x57 &+ value }

    /// The value of a digit; upper case is none.
    @inline(__always)
    static func value(_ digit: UInt8) -> UInt8? {
        if digit >= 0x30 && digit <= 0x39 { return digit &- 0x30 }
        return digit >= 0x61 && digit <= 0x66 ? digit &- 0x57 : nil
    }
}

/// The digits of numbers in base64url, RFC 4648 section 5: values, not bytes, so without padding.
enum Base64URL {
    @inline(__always)
    static func digit(_ value: UInt8) -> UInt8 {
        if value < 26 { return 0x41 &+ value }
        if value < 52 { return 0x47 &+ value }
        return value < 62 ? value &- 4 : value == 62 ? 0x2d : 0x5f
    }

    @inline(__always)
    static func value(_ digit: UInt8) -> UInt8? {
        if digit >= 0x61 && digit <= 0x7a { return digit &- 0x47 }
        if digit >= 0x41 && digit <= 0x5a { return digit &- 0x41 }
        if digit >= 0x30 && digit <= 0x39 { return digit &+ 4 }
        return digit == 0x2d ? 62 : digit == 0x5f ? 63 : nil
    }
}
