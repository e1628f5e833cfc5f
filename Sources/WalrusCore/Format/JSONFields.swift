// JSONFields.swift - the parts of a record in JSON: names, numbers, times, strings
//
// A record is written and read front to back, field by field, in one order and one spelling. The writer also only counts, so
// that measuring and writing cannot disagree.

struct JSONWriter {
    private let target: MutableBytes
    private let isCounting: Bool
    /// Where the next byte goes.
    private(set) var at: Int

    /// Counts bytes and writes none.
    init() {
        target = unsafe MutableBytes(nil, count: 0)
        isCounting = true
        at = 0
    }

    init(to target: MutableBytes, at: Int) {
        self.target = target
        isCounting = false
        self.at = at
    }

    @inline(__always)
    mutating func put(_ text: StaticString) {
        let size = text.utf8CodeUnitCount
        if !isCounting { unsafe target.copy(Bytes(text.utf8Start, count: size), to: at) }
        at &+= size
    }

    mutating func put(_ number: UInt64) {
        var digits = 1
        var rest = number
        while rest >= 10 {
            rest /= 10
            digits &+= 1
        }
        if !isCounting {
            rest = number
            var i = at &+ digits
            repeat {
                i &-= 1
                let tenth = rest / 10
                target.store8(0x30 &+ UInt8(truncatingIfNeeded: rest &- tenth &* 10), i)
                rest = tenth
            } while i > at
        }
        at &+= digits
    }

    mutating func put(hex value: UInt64, digits: Int) {
        if !isCounting {
            for i in 0..<digits {
                target.store8(Hex.digit(UInt8(truncatingIfNeeded: value >> UInt64(4 &* (digits &- 1 &- i))) & 15), at &+ i)
            }
        }
        at &+= digits
    }

    mutating func put(base64URL value: UInt64, digits: Int) {
        if !isCounting {
            for i in 0..<digits {
                let shift = UInt64(6 &* (digits &- 1 &- i))
                target.store8(Base64URL.digit(UInt8(truncatingIfNeeded: value >> shift) & 63), at &+ i)
            }
        }
        at &+= digits
    }

    /// As few digits as there are.
    mutating func put(base64URL value: UInt64) {
        put(base64URL: value, digits: max(1, (69 &- value.leadingZeroBitCount) / 6))
    }

    mutating func put(time: Int64) {
        if !isCounting { Timestamp.encode(time, to: target.slice(at, Timestamp.size)) }
        at &+= Timestamp.size
    }

    mutating func put(spaces count: Int) {
        if !isCounting {
            for i in 0..<count { target.store8(0x20, at &+ i) }
        }
        at &+= count
    }

    mutating func put(text payload: Bytes, count: Int) {
        if !isCounting { JSONText.escape(payload, to: target.slice(at, count)) }
        at &+= count
    }

    mutating func put(base64 payload: Bytes) {
        let count = JSONText.base64Count(payload.count)
        if !isCounting { JSONText.encodeBase64(payload, to: target.slice(at, count)) }
        at &+= count
    }
}

/// Takes a record apart. What does not stand there exactly as the writer writes it is not taken.
struct JSONReader {
    let bytes: Bytes
    var at: Int

    init(_ bytes: Bytes, at: Int = 0) {
        self.bytes = bytes
        self.at = at
    }

    var isAtEnd: Bool { at == bytes.count }

    @inline(__always)
    mutating func take(_ text: StaticString) -> Bool {
        let size = text.utf8CodeUnitCount
        guard bytes.count &- at >= size, unsafe bytes.slice(at, size) == Bytes(text.utf8Start, count: size) else { return false }
        at &+= size
        return true
    }

    mutating func number(atMost limit: UInt64 = .max) -> UInt64? {
        var value: UInt64 = 0
        let start = at
        while at < bytes.count {
            let digit = bytes.u8(at) &- 0x30
            if digit > 9 { break }
            if at > start && value == 0 { return nil }
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, isStillTooLarge) = product.addingReportingOverflow(UInt64(digit))
            if isTooLarge || isStillTooLarge { return nil }
            value = sum
            at &+= 1
        }
        return at > start && value <= limit ? value : nil
    }

    mutating func hex(_ digits: Int) -> UInt64? {
        guard bytes.count &- at >= digits else { return nil }
        var value: UInt64 = 0
        for i in 0..<digits {
            guard let digit = Hex.value(bytes.u8(at &+ i)) else { return nil }
            value = value << 4 | UInt64(digit)
        }
        at &+= digits
        return value
    }

    mutating func base64URL(_ digits: Int) -> UInt64? {
        guard bytes.count &- at >= digits else { return nil }
        var value: UInt64 = 0
        for i in 0..<digits {
            guard let digit = Base64URL.value(bytes.u8(at &+ i)) else { return nil }
            value = value << 6 | UInt64(digit)
        }
        at &+= digits
        return value
    }

    /// At most six digits, and no zeros before them.
    mutating func shortBase64URL() -> UInt64? {
        var digits = 0
        while digits < 6 && at &+ digits < bytes.count && Base64URL.value(bytes.u8(at &+ digits)) != nil { digits &+= 1 }
        guard digits > 0, digits == 1 || bytes.u8(at) != Base64URL.digit(0) else { return nil }
        return base64URL(digits)
    }

    mutating func time() -> Int64? {
        guard bytes.count &- at >= Timestamp.size, let time = Timestamp.decode(bytes.slice(at, Timestamp.size)) else {
            return nil
        }
        at &+= Timestamp.size
        return time
    }

    /// A number behind its name.
    mutating func number(_ name: StaticString) -> UInt64? { take(name) ? number() : nil }

    /// A time behind its name; the name ends in a quote.
    mutating func time(_ name: StaticString) -> Int64? {
        guard take(name), let time = time(), take("\"") else { return nil }
        return time
    }
}
