// Checksum.swift - CRC-32, and the digest of a segment

import CWalrusPlatform

/// CRC-32 (IEEE) of `bytes`.
public func crc32(_ bytes: Bytes) -> UInt32 { bytes.checksum() }

/// A number over all frames of a segment, in order: FNV-1a (Fowler, Noll, Vo) by words, over the header checksums, which
/// in turn cover the payloads.
struct Digest: Equatable {
    var value: UInt64 = 0

    @inline(__always)
    mutating func add(_ headerChecksum: UInt32) {
        value = (value ^ UInt64(headerChecksum)) &* 0x100_0000_01b3
    }
}
