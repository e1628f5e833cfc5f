// EntryOwner.swift - what keeps an entry's bytes alive: a mapped segment, or a buffer of their own

import CWalrusPlatform

/// One word, so that it fits a foreign struct: the address of a segment, or that of a buffer with its lowest bit set, or 0.
@safe public struct EntryOwner: @unchecked Sendable {
    private let word: UInt

    public static var nobody: EntryOwner { EntryOwner(word: 0) }

    private init(word: UInt) { self.word = word }

    /// Takes over a reference.
    @inline(__always)
    init(_ segment: SegmentRef) { word = unsafe UInt(bitPattern: segment.address) }

    /// Whether it is a segment, and not a buffer.
    var isSegment: Bool { segment != nil }

    @inline(__always)
    var segment: SegmentRef? {
        guard word != 0 && word & 1 == 0, let address = unsafe UnsafeMutableRawPointer(bitPattern: word) else { return nil }
        return unsafe SegmentRef(address: address)
    }

    /// A new buffer of `count` bytes.
    static func buffer(count: Int) throws(LogError) -> (EntryOwner, MutableBytes) {
        guard let base = unsafe malloc(max(count, 1)) else {
            throw LogError(.noMemory, "there is not enough memory for a copy of the entry")
        }
        return unsafe (EntryOwner(word: UInt(bitPattern: base) | 1), MutableBytes(base, count: count))
    }

    /// For the boundary.
    @unsafe public init(address: UnsafeMutableRawPointer?) { word = UInt(bitPattern: address) }
    @unsafe public var address: UnsafeMutableRawPointer? { unsafe UnsafeMutableRawPointer(bitPattern: word) }

    /// The last view of a segment unmaps it. Needs no log: that may be long closed.
    @inline(__always)
    public func release() {
        guard word != 0 else { return }
        if word & 1 == 1 {
            unsafe free(UnsafeMutableRawPointer(bitPattern: word & ~1))
        } else if let address = unsafe UnsafeMutableRawPointer(bitPattern: word) {
            // A segment that lends views holds no descriptor once the log is done with it.
            _ = unsafe SegmentRef(address: address).release()
        }
    }
}
