// Reports.swift - what a log tells of itself

internal import WalrusCore

/// What open found and did.
public struct RecoveryReport: Sendable {
    public enum Reason: Int32, Sendable {
        /// The log had been closed cleanly, or is new.
        case clean = 0
        /// It had not been closed, and nothing was unfinished.
        case complete = 1
        /// Cut: the last write was unfinished.
        case torn = 2
        /// Cut: the last batch was unfinished.
        case batch = 3
        /// Cut: later writes had reached the disk before an earlier one.
        case reordered = 4
    }

    public let reason: Reason
    /// Whole entries among what was cut, none of which was acknowledged as durable.
    public let entriesCut: UInt64
    public let bytesCut: UInt64
    /// Where the log was cut: the index, the segment's file and the offset in it; 0 and nil if it was not.
    public let cutIndex: UInt64
    public let cutOffset: UInt64
    public let segment: String?
    public let segmentsScanned: UInt64
    public let bytesScanned: UInt64
    /// Of the whole open.
    public let duration: Duration
    /// How far the log proved to be durable, or 0.
    public let durableIndex: UInt64
    /// The same in a sentence.
    public let message: String

    init(_ report: WalrusCore.RecoveryReport) {
        reason = Reason(rawValue: report.reason.rawValue) ?? .complete
        entriesCut = report.entriesCut
        bytesCut = report.bytesCut
        cutIndex = report.cutIndex
        cutOffset = report.cutOffset
        segment = report.cutSegment == 0 ? nil : text { $0.add(.segment(report.cutSegment)) }
        segmentsScanned = report.segmentsScanned
        bytesScanned = report.bytesScanned
        duration = .nanoseconds(report.duration)
        durableIndex = report.durableIndex
        message = text { $0.add(report) }
    }
}

/// One segment of a log, as it was at a moment.
public struct Segment: Sendable {
    /// Grows from segment to segment, may have gaps.
    public let id: UInt64
    /// Of its file in the log's directory.
    public let name: String
    /// The indexes of its entries that are in the log.
    public let indexes: Range<UInt64>
    /// Of its frames, from the file's start.
    public let bytes: UInt64
    public let fileBytes: UInt64
    /// No entry up to its end has a later timestamp.
    public let highestTimestampNanoseconds: Int64
    /// The last one, which may still grow.
    public let isTail: Bool

    init(_ info: SegmentInfo) {
        id = info.id
        name = text { $0.add(.segment(info.id)) }
        indexes = info.firstIndex..<max(info.firstIndex, info.endIndex)
        bytes = info.bytes
        fileBytes = info.fileBytes
        highestTimestampNanoseconds = info.highestTime
        isTail = info.isTail
    }
}

/// Counts since open, but for those that say how the log stands now. They are read one by one beside a log in use, so they need not add up
/// to the last one.
public struct Statistics: Sendable {
    // Now
    public let isPoisoned: Bool
    public let firstIndex: UInt64
    public let lastIndex: UInt64
    public let durableIndex: UInt64
    public let segments: UInt64
    /// Asynchronous appends whose completion is outstanding.
    public let asyncPending: UInt64
    public let openTransactions: UInt64
    // Since open
    /// Calls that appended.
    public let appends: UInt64
    public let entriesAppended: UInt64
    /// Of payloads.
    public let bytesAppended: UInt64
    /// Handed to the system for segments.
    public let bytesWritten: UInt64
    /// Group syncs: each covers whatever was appended before it.
    public let syncs: UInt64
    public let entriesSynced: UInt64
    /// Most entries made durable by one sync.
    public let largestGroup: UInt64
    public let syncTime: Duration
    public let longestSync: Duration
    /// [i]: syncs that took less than 2^i microseconds and not less than 2^(i-1); the last one: all longer ones.
    public let syncHistogram: [UInt64]
    public let rotations: UInt64
    /// Truncations at either end, resets, replaced suffixes, retention.
    public let truncations: UInt64
    public let segmentsRemoved: UInt64
    /// Reads that found their segment open, counted loosely.
    public let segmentCacheHits: UInt64
    public let segmentCacheMisses: UInt64
    public let transactionsCommitted: UInt64
    public let transactionsRolledBack: UInt64
    public let transactionsExpired: UInt64
    /// Metadata made durable.
    public let metadataUpdates: UInt64
    // Of the open
    public let recoveryTime: Duration
    public let recoveryBytesCut: UInt64
    public let recoveryEntriesCut: UInt64

    init(_ counts: Counts) {
        isPoisoned = counts.isPoisoned
        firstIndex = counts.firstIndex
        lastIndex = counts.lastIndex
        durableIndex = counts.durableIndex
        segments = counts.segments
        asyncPending = counts.asyncPending
        openTransactions = counts.transactions.open
        appends = counts.appends
        entriesAppended = counts.entriesAppended
        bytesAppended = counts.bytesAppended
        bytesWritten = counts.bytesWritten
        syncs = counts.sync.syncs
        entriesSynced = counts.sync.entries
        largestGroup = counts.sync.largestGroup
        syncTime = .nanoseconds(Int64(clamping: counts.sync.time))
        longestSync = .nanoseconds(Int64(clamping: counts.sync.longest))
        syncHistogram = (0..<SyncCounts.buckets).map { counts.sync.histogram[$0] }
        rotations = counts.rotations
        truncations = counts.truncations
        segmentsRemoved = counts.segmentsRemoved
        segmentCacheHits = counts.segmentCacheHits
        segmentCacheMisses = counts.segmentCacheMisses
        transactionsCommitted = counts.transactions.committed
        transactionsRolledBack = counts.transactions.rolledBack
        transactionsExpired = counts.transactions.expired
        metadataUpdates = counts.metadataUpdates
        recoveryTime = .nanoseconds(Int64(clamping: counts.recoveryTime))
        recoveryBytesCut = counts.recoveryBytesCut
        recoveryEntriesCut = counts.recoveryEntriesCut
    }
}
