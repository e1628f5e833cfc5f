// Frame.swift - the unit of a segment: 24 bytes of header, a payload, zeros to a multiple of 8
//
//      0        4         8       12       16    17      18    19        24
//      +--------+---------+-------+--------+-----+-------+-----+---------+----------
//      | header | payload | stored| relat. |type | flags |dura-| time    | payload
//      | crc    | crc     | length| index  |     |       |ble d| 40 bits | ...
//      +--------+---------+-------+--------+-----+-------+-----+---------+----------
//
// The header's checksum starts from (salt XOR offset / 8), so a frame verifies only in its own segment and at its own place: what
// recycled space, a misdirected write or a copy inside a payload holds is never taken for a frame. Nothing of a header is
// believed, its length above all, before its checksum agrees.

import CWalrusPlatform

enum FrameType {
    static var entry: UInt8 { 1 }
    static var begin: UInt8 { 2 }
    static var run: UInt8 { 3 }
    static var seal: UInt8 { 4 }
    static var watermark: UInt8 { 5 }
    static var padding: UInt8 { 6 }
    static var metadata: UInt8 { 7 }
    /// From here on a reader that does not know a type may pass over it.
    static var skippable: UInt8 { 128 }
}

struct FrameHeader {
    static var size: Int { 24 }
    static var largestLength: Int { 1 << 30 }
    static var continuesFlag: UInt8 { 1 }
    /// The caller gave the entry's time; without it the log stamped the entry itself.
    static var givenTimeFlag: UInt8 { 2 }
    /// What the payload was compressed with: 0 nothing, 1 zlib.
    static var codecShift: UInt8 { 4 }
    static var codecMask: UInt8 { 0x30 }
    /// Times are kept as a 40-bit distance from their run's time base.
    static var timeRange: UInt64 { 1 << 40 }

    var payloadChecksum: UInt32
    var length: UInt32
    var relativeIndex: UInt32
    var type: UInt8
    var flags: UInt8
    var durableDistance: UInt8
    var time: UInt64
    // The formats that people can read say these in each entry, and the index in each control frame as well. In binary
    // frames they stand in runs and, where an entry is compressed, before its payload.
    var index: UInt64 = 0
    var term: UInt64 = 0
    var timestamp: Int64 = 0
    /// Length and CRC-32 of an entry before it was compressed: those of the payload if it was not.
    var size: UInt32 = 0
    var checksum: UInt32 = 0

    /// Bytes on disk of a frame with `length` bytes of payload.
    @inline(__always)
    static func frameSize(_ length: Int) -> Int { (size &+ length &+ 7) & ~7 }

    @inline(__always) var frameSize: Int { FrameHeader.frameSize(Int(length)) }

    /// An entry's time.
    @inline(__always)
    func time(in run: Run, _ format: FrameFormat) -> Int64 { format == .binary ? run.time(at: time) : timestamp }

    @inline(__always) var continues: Bool { flags & FrameHeader.continuesFlag != 0 }
    var hasGivenTime: Bool { flags & FrameHeader.givenTimeFlag != 0 }
    var codec: UInt8 { (flags & FrameHeader.codecMask) >> FrameHeader.codecShift }
    /// Whether this library knows what the frame says. It must refuse a log in which it meets one that it does not know.
    var isKnown: Bool {
        (type >= FrameType.entry && type <= FrameType.metadata || type >= FrameType.skippable)
            && flags & ~(FrameHeader.continuesFlag | FrameHeader.givenTimeFlag | FrameHeader.codecMask) == 0 && codec <= 1
    }

    @inline(__always)
    static func seed(salt: UInt32, offset: UInt64) -> UInt32 { salt ^ UInt32(truncatingIfNeeded: offset >> 3) }

    /// Stores the header at `at` and returns its checksum, which the digest takes up.
    @inline(__always)
    func encode(to target: MutableBytes, at: Int, salt: UInt32, offset: UInt64) -> UInt32 {
        let head = target.slice(at, FrameHeader.size)
        head.store32(payloadChecksum, 4)
        head.store64(UInt64(length) | UInt64(relativeIndex) << 32, 8)
        head.store64(UInt64(type) | UInt64(flags) << 8 | UInt64(durableDistance) << 16 | time << 24, 16)
        let checksum = unsafe wp_crc32_20(FrameHeader.seed(salt: salt, offset: offset), head.pointer(4, 20))
        head.store32(checksum, 0)
        return checksum
    }

    /// The header in the first 24 bytes of `source`, or nil if they are none that belongs at `offset`.
    ///
    /// They are copied before they are verified: memory that is shared with the system may change between two loads.
    @inline(__always)
    static func decode(_ source: Bytes, salt: UInt32, offset: UInt64) -> (header: FrameHeader, checksum: UInt32)? {
        guard source.count >= size else { return nil }
        var copy = (source.u64(0), source.u64(8), source.u64(16))
        let checksum = UInt32(truncatingIfNeeded: copy.0)
        let actual = unsafe withUnsafeBytes(of: &copy) { bytes in
            unsafe wp_crc32_20(seed(salt: salt, offset: offset), bytes.baseAddress.unsafelyUnwrapped + 4)
        }
        let header = FrameHeader(copy)
        guard actual == checksum, header.type != 0, Int(header.length) <= largestLength else { return nil }
        return (header, checksum)
    }

    /// The header in 24 bytes whose checksum the caller does not want checked.
    @inline(__always)
    init(_ words: (UInt64, UInt64, UInt64)) {
        payloadChecksum = UInt32(truncatingIfNeeded: words.0 >> 32)
        length = UInt32(truncatingIfNeeded: words.1)
        relativeIndex = UInt32(truncatingIfNeeded: words.1 >> 32)
        type = UInt8(truncatingIfNeeded: words.2)
        flags = UInt8(truncatingIfNeeded: words.2 >> 8)
        durableDistance = UInt8(truncatingIfNeeded: words.2 >> 16)
        time = words.2 >> 24
    }

    /// An entry's header that takes up the most bytes in formats where that depends on what it says.
    static var longest: FrameHeader {
        FrameHeader(
            type: FrameType.entry, flags: continuesFlag | givenTimeFlag | 1 << codecShift, length: .max, index: .max, term: .max,
            timestamp: .max, durableDistance: .max, size: .max, checksum: .max)
    }

    /// A header for the formats that say the index.
    init(
        type: UInt8, flags: UInt8 = 0, length: UInt32, index: UInt64, term: UInt64 = 0, timestamp: Int64 = 0,
        durableDistance: UInt8 = 0, size: UInt32, checksum: UInt32
    ) {
        self.init(
            type: type, flags: flags, payloadChecksum: checksum, length: length, relativeIndex: 0,
            durableDistance: durableDistance)
        self.index = index
        self.term = term
        self.timestamp = timestamp
        self.size = size
        self.checksum = checksum
    }

    @inline(__always)
    init(
        type: UInt8, flags: UInt8 = 0, payloadChecksum: UInt32, length: UInt32, relativeIndex: UInt32,
        durableDistance: UInt8 = 0, time: UInt64 = 0
    ) {
        self.type = type
        self.flags = flags
        self.payloadChecksum = payloadChecksum
        self.length = length
        self.relativeIndex = relativeIndex
        self.durableDistance = durableDistance
        self.time = time
    }
}

/// The first frame of a segment: what was not known yet when the segment was prepared.
struct BeginPayload {
    static var size: Int { 96 }

    var baseIndex: UInt64
    var epoch: UInt64
    var predecessor: SegmentEnd
    var run: Run
    var highestTime: Int64
    var highestStamp: Int64
    var durableIndex: UInt64
    /// The terms of the entries from this one on, and then that of the first run, never fall.
    var risingFrom: UInt64
    /// Of the metadata frame that follows and repeats what the slots do not have; 0: none does.
    var metadataSequence: UInt64

    func encode(to target: MutableBytes) {
        target.zero(0, BeginPayload.size)
        target.store64(baseIndex, 0)
        target.store64(epoch, 8)
        target.store64(predecessor.id, 16)
        target.store64(risingFrom, 24)
        target.store64(predecessor.endOffset, 32)
        target.store64(predecessor.digest.value, 40)
        target.store64(run.term, 48)
        target.store64(run.timeBase, 56)
        target.store64(highestTime, 64)
        target.store64(durableIndex, 72)
        target.store64(highestStamp, 80)
        target.store64(metadataSequence, 88)
    }

    init(
        baseIndex: UInt64, epoch: UInt64, predecessor: SegmentEnd, run: Run, highestTime: Int64, highestStamp: Int64,
        durableIndex: UInt64, risingFrom: UInt64, metadataSequence: UInt64 = 0
    ) {
        self.baseIndex = baseIndex
        self.epoch = epoch
        self.predecessor = predecessor
        self.run = run
        self.highestTime = highestTime
        self.highestStamp = highestStamp
        self.durableIndex = durableIndex
        self.risingFrom = risingFrom
        self.metadataSequence = metadataSequence
    }

    init?(_ source: Bytes) {
        guard source.count == BeginPayload.size else { return nil }
        baseIndex = source.u64(0)
        epoch = source.u64(8)
        predecessor = SegmentEnd(
            id: source.u64(16), endIndex: source.u64(16) == 0 ? 0 : baseIndex, endOffset: source.u64(32),
            digest: Digest(value: source.u64(40)))
        run = Run(relativeIndex: 0, term: source.u64(48), timeBase: source.i64(56))
        highestTime = source.i64(64)
        durableIndex = source.u64(72)
        highestStamp = source.i64(80)
        metadataSequence = source.u64(88)
        // 0, not known, and what cannot be: the base index is always right.
        let rising = source.u64(24)
        risingFrom = rising == 0 ? baseIndex : min(rising, baseIndex)
        guard baseIndex >= 1, baseIndex < .max - UInt64(UInt32.max) else { return nil }
    }
}

/// Where a segment ends: what its successor's begin frame and a cut both say.
struct SegmentEnd: Equatable {
    /// 0: no segment.
    var id: UInt64
    /// One above the last entry's index.
    var endIndex: UInt64
    /// One above the last frame's last byte.
    var endOffset: UInt64
    var digest: Digest

    static var none: SegmentEnd { SegmentEnd(id: 0, endIndex: 0, endOffset: 0, digest: Digest()) }
}

/// The term and the time base of the entries from `relativeIndex` to the next run.
struct Run {
    static var payloadSize: Int { 16 }

    var relativeIndex: UInt32
    var term: UInt64
    var timeBase: Int64

    /// A run that keeps `time` in its middle, so that times may go up and down from it by nine minutes.
    init(relativeIndex: UInt32, term: UInt64, around time: Int64) {
        self.init(relativeIndex: relativeIndex, term: term, timeBase: time &- (1 << 39))
    }

    init(relativeIndex: UInt32, term: UInt64, timeBase: Int64) {
        self.relativeIndex = relativeIndex
        self.term = term
        self.timeBase = timeBase
    }

    /// The distance of `time` from the base; from `FrameHeader.timeRange` up it does not fit.
    @inline(__always)
    func distance(of time: Int64) -> UInt64 { UInt64(bitPattern: time &- timeBase) }

    @inline(__always)
    func time(at distance: UInt64) -> Int64 { timeBase &+ Int64(bitPattern: distance) }

    init(payload: Bytes, relativeIndex: UInt32) {
        self.init(relativeIndex: relativeIndex, term: payload.u64(0), timeBase: payload.i64(8))
    }

    func encodePayload(to target: MutableBytes) {
        target.store64(term, 0)
        target.store64(timeBase, 8)
    }
}
