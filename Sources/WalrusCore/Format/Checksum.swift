// Checksum.swift - CRC-32, and the digest of a segment

import CWalrusPlatform

/// CRC-32 (IEEE) of `bytes`.
public func crc32(_ bytes: Bytes) -> UInt32 { bytes.checksum() }

/// A checksum with one byte more or less at its end, bit by bit. Forwards the lowest bit says whether the polynomial, 0xedb88320, is
/// added behind the shift; it sets the highest bit, which tells that when the step is taken back.
enum ChecksumStep {
    /// The CRC-32 of what `crc` is of and `byte` behind it.
    @inline(__always)
    static func adding(_ byte: UInt8, to crc: UInt32) -> UInt32 {
        var register = ~crc ^ UInt32(byte)
        for _ in 0..<8 { register = register >> 1 ^ 0xedb8_8320 & (0 &- (register & 1)) }
        return ~register
    }

    /// The CRC-32 of what `crc` is of but for `byte`, the last one.
    @inline(__always)
    static func removing(_ byte: UInt8, from crc: UInt32) -> UInt32 {
        var register = ~crc
        for _ in 0..<8 { register = register << 1 ^ 0xdb71_0641 & (0 &- (register >> 31)) }
        return ~(register ^ UInt32(byte))
    }
}

/// A number over all frames of a segment, in order: FNV-1a (Fowler, Noll, Vo) by words, over the header checksums, which
/// in turn cover the payloads.
struct Digest: Equatable {
    var value: UInt64 = 0

    @inline(__always)
    mutating func add(_ headerChecksum: UInt32) {
        value = (value ^ UInt64(headerChecksum)) &* 0x100_0000_01b3
    }
}
