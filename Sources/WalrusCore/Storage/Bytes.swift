// Bytes.swift - views of memory that somebody else owns
//
// The engine reads mapped files, write buffers and callers' payloads through these two. Each access is checked
// against the view's bounds, so a wrong length is a trap in a test and never a wild read; code that handles bytes
// from the disk compares lengths before it loads. All numbers are little-endian.

import CWalrusPlatform

/// A read-only view. Whoever hands it out says how long it lives.
@safe public struct Bytes: @unchecked Sendable {
    let base: UnsafeRawPointer?
    public let count: Int

    public init(_ base: UnsafeRawPointer?, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    public static var empty: Bytes { unsafe Bytes(nil, count: 0) }

    /// The address, for the boundary.
    @unsafe public var address: UnsafeRawPointer? { unsafe base }

    @inline(__always)
    func pointer(_ offset: Int, _ size: Int) -> UnsafeRawPointer {
        precondition(offset >= 0 && size <= count && offset <= count &- size)
        return unsafe base.unsafelyUnwrapped + offset
    }

    @inline(__always) public func u8(_ offset: Int) -> UInt8 {
        unsafe pointer(offset, 1).load(as: UInt8.self)
    }
    @inline(__always) public func u16(_ offset: Int) -> UInt16 {
        UInt16(littleEndian: unsafe pointer(offset, 2).loadUnaligned(as: UInt16.self))
    }
    @inline(__always) public func u32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: unsafe pointer(offset, 4).loadUnaligned(as: UInt32.self))
    }
    @inline(__always) public func u64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafe pointer(offset, 8).loadUnaligned(as: UInt64.self))
    }
    @inline(__always) public func i64(_ offset: Int) -> Int64 { Int64(bitPattern: u64(offset)) }

    @inline(__always)
    public func slice(_ offset: Int, _ size: Int) -> Bytes {
        size == 0 ? .empty : unsafe Bytes(pointer(offset, size), count: size)
    }

    /// CRC-32 of all bytes, going on from `start`.
    @inline(__always)
    public func checksum(from start: UInt32 = 0) -> UInt32 {
        unsafe wp_crc32(start, base, count)
    }

    static func == (a: Bytes, b: Bytes) -> Bool {
        guard a.count == b.count else { return false }
        guard let first = unsafe a.base, let second = unsafe b.base else { return a.count == 0 }
        return unsafe memcmp(first, second, a.count) == 0
    }

    /// Below 0 if these bytes come before `other` (a beginning comes before the whole), 0 if they are the same.
    func order(_ other: Bytes) -> Int {
        let common = min(count, other.count)
        if common > 0 {
            let order = unsafe memcmp(pointer(0, common), other.pointer(0, common), common)
            if order != 0 { return Int(order) }
        }
        return count - other.count
    }

    /// Whether one of the bytes is 0.
    var containsZero: Bool {
        if count == 0 { return false }
        return unsafe memchr(pointer(0, count), 0, count) != nil
    }

    /// Whether every byte is 0.
    public var isZero: Bool {
        var offset = 0
        while offset &+ 8 <= count {
            if u64(offset) != 0 { return false }
            offset &+= 8
        }
        while offset < count {
            if u8(offset) != 0 { return false }
            offset &+= 1
        }
        return true
    }
}

/// A writable view.
@safe public struct MutableBytes: @unchecked Sendable {
    let base: UnsafeMutableRawPointer?
    public let count: Int

    public init(_ base: UnsafeMutableRawPointer?, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    public static var empty: MutableBytes { unsafe MutableBytes(nil, count: 0) }

    @unsafe public var address: UnsafeMutableRawPointer? { unsafe base }

    @inline(__always) public var bytes: Bytes { unsafe Bytes(UnsafeRawPointer(base), count: count) }

    @inline(__always)
    func pointer(_ offset: Int, _ size: Int) -> UnsafeMutableRawPointer {
        precondition(offset >= 0 && size <= count && offset <= count &- size)
        return unsafe base.unsafelyUnwrapped + offset
    }

    @inline(__always) public func store8(_ value: UInt8, _ offset: Int) {
        unsafe pointer(offset, 1).storeBytes(of: value, as: UInt8.self)
    }
    @inline(__always) public func store16(_ value: UInt16, _ offset: Int) {
        unsafe pointer(offset, 2).storeBytes(of: value.littleEndian, as: UInt16.self)
    }
    @inline(__always) public func store32(_ value: UInt32, _ offset: Int) {
        unsafe pointer(offset, 4).storeBytes(of: value.littleEndian, as: UInt32.self)
    }
    @inline(__always) public func store64(_ value: UInt64, _ offset: Int) {
        unsafe pointer(offset, 8).storeBytes(of: value.littleEndian, as: UInt64.self)
    }
    @inline(__always) public func store64(_ value: Int64, _ offset: Int) { store64(UInt64(bitPattern: value), offset) }

    @inline(__always)
    public func slice(_ offset: Int, _ size: Int) -> MutableBytes {
        size == 0 ? unsafe MutableBytes(nil, count: 0) : unsafe MutableBytes(pointer(offset, size), count: size)
    }

    public func zero(_ offset: Int, _ size: Int) {
        if size > 0 { unsafe pointer(offset, size).initializeMemory(as: UInt8.self, repeating: 0, count: size) }
    }

    /// Copies `source` to `offset`.
    @inline(__always)
    public func copy(_ source: Bytes, to offset: Int) {
        if source.count > 0 {
            unsafe pointer(offset, source.count).copyMemory(
                from: source.base.unsafelyUnwrapped, byteCount: source.count)
        }
    }

    /// Copies `source` to `offset` and returns its CRC-32, in one pass.
    @inline(__always)
    public func copyChecksummed(_ source: Bytes, to offset: Int) -> UInt32 {
        if source.count == 0 { return 0 }
        return unsafe wp_crc32_copy(0, pointer(offset, source.count), source.base, source.count)
    }
}
