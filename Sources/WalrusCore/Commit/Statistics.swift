// Statistics.swift - how many syncs there were, what each made durable, and how long it took
//
// Counted by whoever led the sync, once for each: beside a disk a mutex costs nothing, and what is read is of one
// moment, so that the histogram adds up. What appends count is plain numbers of the writer, under its mutex.

public struct SyncCounts: Sendable {
    /// [i]: syncs of less than 2^i microseconds and not less than half of that; the last one: all longer ones.
    public static var buckets: Int { 24 }

    public var syncs: UInt64 = 0
    /// Entries that they made durable.
    public var entries: UInt64 = 0
    public var largestGroup: UInt64 = 0
    /// Nanoseconds spent in them.
    public var time: UInt64 = 0
    public var longest: UInt64 = 0
    public var histogram = InlineArray<24, UInt64>(repeating: 0)

    public init() {}

    static func bucket(_ duration: UInt64) -> Int {
        min(UInt64.bitWidth - (duration / 1000).leadingZeroBitCount, buckets - 1)
    }
}

final class Statistics: Sendable {
    private let syncs: Guarded<SyncCounts>

    init() throws(LogError) { syncs = try Guarded(SyncCounts()) }

    /// A group sync succeeded: it made this many entries durable and took this many nanoseconds.
    func noteSync(entries: UInt64, duration: Int64) {
        let duration = UInt64(max(0, duration))
        try? syncs.withLock { counts in
            counts.syncs &+= 1
            counts.entries &+= entries
            counts.largestGroup = max(counts.largestGroup, entries)
            counts.time &+= duration
            counts.longest = max(counts.longest, duration)
            counts.histogram[SyncCounts.bucket(duration)] &+= 1
        }
    }

    var syncCounts: SyncCounts { (try? syncs.withLock { $0 }) ?? SyncCounts() }
}
