// Options.swift - what a log is opened with

public enum RecoveryMode: Sendable { case strict, tornTail, salvage }

/// What an append promises when it returns.
public enum Policy: Sendable {
    /// On stable storage.
    case durable
    /// Handed to the operating system, and synced in the background.
    case interval
    /// Handed to the operating system.
    case system
    /// In memory.
    case buffered
}

public struct Options: Sendable {
    public var create = true
    public var mustBeNew = false
    public var readOnly = false
    public var recovery = RecoveryMode.tornTail
    public var sync = Policy.durable
    public var segmentSize: UInt64 = 64 << 20
    public var preallocate = true
    public var cachedSegments = 512
    public var bufferSize = 256 << 10
    /// 0, or the size of the blocks to which each sync is padded.
    public var syncPadding: UInt64 = 0
    public var fileMode: UInt32 = 0o640
    public var verifyReads = true
    public var zeroCopy = true
    public var maxEntrySize = 64 << 20
    /// With `.interval`: the longest that an append waits for its sync, in milliseconds.
    public var syncInterval: UInt64 = 100
    /// With `.interval`: bytes of entries that do not wait for the interval to be over; 0: no limit.
    public var syncBytes: UInt64 = 0
    /// Bytes of asynchronous appends that may wait for their completion.
    public var asyncMaxBytes: UInt64 = 64 << 20
    /// Retention: what is beyond these goes, whole segments at a time. 0: no limit.
    public var maxSegments: UInt64 = 0
    public var retentionBytes: UInt64 = 0
    public var retentionAge: UInt64 = 0
    /// Milliseconds that a transaction may stay open.
    public var transactionTimeout: UInt64 = 30_000
    public var transactionMaxEntries: UInt64 = 1000
    /// What segment files hold; nil: binary in a new log, whatever it is in one that exists.
    public var format: FrameFormat?
    public var compression = Codec.none
    /// 1 to 9, or -1: zlib's own choice.
    public var compressionLevel: Int32 = -1
    /// Smaller entries are left as they are.
    public var compressionMinSize = 256
    public var diagnostics = Diagnostics()

    public init() {}

    var hasRetention: Bool { maxSegments > 0 || retentionBytes > 0 || retentionAge > 0 }
    /// In what steps space is claimed at first. They double: a thousand small logs must not claim a thousand segments.
    var reserveStep: UInt64 { preallocate ? 1 << 20 : 64 << 10 }
}

/// The limits within which options and arguments make sense.
public enum Limits {
    public static var segmentSize: ClosedRange<UInt64> { 4 << 10...4 << 30 }
    public static var cachedSegments: ClosedRange<UInt64> { 1...65536 }
    public static var bufferSize: ClosedRange<UInt64> { 4 << 10...1 << 30 }
    public static var maxEntrySize: ClosedRange<UInt64> { 1...1 << 30 }
    public static var compressionMinSize: ClosedRange<UInt64> { 0...1 << 30 }
    public static var syncInterval: ClosedRange<UInt64> { 1...3_600_000 }
    public static var syncBytes: ClosedRange<UInt64> { 0...1 << 40 }
    public static var asyncMaxBytes: ClosedRange<UInt64> { 1...1 << 40 }
    public static var maxSegments: ClosedRange<UInt64> { 0...1 << 20 }
    public static var retention: ClosedRange<UInt64> { 0...1 << 60 }
    public static var transactionTimeout: ClosedRange<UInt64> { 1...1 << 60 }
    public static var transactionMaxEntries: ClosedRange<UInt64> { 1...1 << 24 }
    /// Bytes of frames in one batch.
    public static var batchSize: UInt64 { 2 << 30 }
    public static var highestIndex: UInt64 { 1 << 63 }
}
