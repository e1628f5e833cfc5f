// Counts.swift - what a log has done since it was opened, and how it stands now

import Synchronization

/// What the writer counts, under its mutex: the way of an append pays for it with a few additions.
struct WriterCounts {
    var appends: UInt64 = 0
    var entries: UInt64 = 0
    /// Of payloads.
    var bytes: UInt64 = 0
    var rotations: UInt64 = 0
    var truncations: UInt64 = 0
    var segmentsRemoved: UInt64 = 0

    @inline(__always)
    mutating func noteAppend(_ count: Int, _ payloadBytes: UInt64) {
        appends &+= 1
        entries &+= UInt64(count)
        bytes &+= payloadBytes
    }
}

public struct Counts: Sendable {
    // Now
    public var isPoisoned = false
    public var firstIndex: UInt64 = 0
    public var lastIndex: UInt64 = 0
    public var durableIndex: UInt64 = 0
    public var segments: UInt64 = 0
    public var asyncPending: UInt64 = 0
    // Since open
    public var appends: UInt64 = 0
    public var entriesAppended: UInt64 = 0
    public var bytesAppended: UInt64 = 0
    public var bytesWritten: UInt64 = 0
    public var sync = SyncCounts()
    public var rotations: UInt64 = 0
    public var truncations: UInt64 = 0
    public var segmentsRemoved: UInt64 = 0
    public var segmentCacheHits: UInt64 = 0
    public var segmentCacheMisses: UInt64 = 0
    public var transactions = TransactionCounts()
    public var metadataUpdates: UInt64 = 0
    // Of the open
    public var recoveryTime: UInt64 = 0
    public var recoveryBytesCut: UInt64 = 0
    public var recoveryEntriesCut: UInt64 = 0
}

extension Log {
    /// Read one after the other beside a log in use.
    public func counts() throws(LogError) -> Counts {
        try checkUsable()
        var counts = Counts()
        counts.isPoisoned = commit.isPoisoned
        counts.firstIndex = firstIndex
        counts.lastIndex = lastIndex
        counts.durableIndex = durableIndex
        counts.segments = UInt64(segments.count)
        counts.asyncPending = UInt64(completions.count)
        try writer.withLock { writer in
            counts.appends = writer.counts.appends
            counts.entriesAppended = writer.counts.entries
            counts.bytesAppended = writer.counts.bytes
            counts.bytesWritten = writer.tail.written
            counts.rotations = writer.counts.rotations
            counts.truncations = writer.counts.truncations
            counts.segmentsRemoved = writer.counts.segmentsRemoved
            counts.metadataUpdates = writer.metadata.updates
        }
        counts.sync = statistics.syncCounts
        (counts.segmentCacheHits, counts.segmentCacheMisses) = segments.cacheCounts
        counts.transactions = try transactions.withLock { $0.counts }
        counts.recoveryTime = UInt64(max(0, recoveryReport.duration))
        counts.recoveryBytesCut = recoveryReport.bytesCut
        counts.recoveryEntriesCut = recoveryReport.entriesCut
        return counts
    }
}
