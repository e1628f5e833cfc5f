// Options.swift - what a log is opened with

public enum RecoveryMode: Sendable { case strict, tornTail, salvage }

/// What an append promises when it returns.
public enum Policy: Sendable {
    /// On stable storage.
    case durable
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
    public var diagnostics = Diagnostics()

    public init() {}
}

/// The limits within which options and arguments make sense.
public enum Limits {
    public static var segmentSize: ClosedRange<UInt64> { 4 << 10...4 << 30 }
    public static var cachedSegments: ClosedRange<UInt64> { 1...65536 }
    public static var bufferSize: ClosedRange<UInt64> { 4 << 10...1 << 30 }
    public static var maxEntrySize: ClosedRange<UInt64> { 1...1 << 30 }
    /// Bytes of frames in one batch.
    public static var batchSize: UInt64 { 2 << 30 }
    public static var highestIndex: UInt64 { 1 << 63 }
}
