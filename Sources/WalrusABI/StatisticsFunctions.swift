// StatisticsFunctions.swift - stats, as a struct and as text for Prometheus

import CWalrus
import WalrusCore

@c @implementation public func walrus_stats(_ log: OpaquePointer?, _ stats: UnsafeMutablePointer<walrus_stats_t>?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        var filled = try statistics(of: log)
        try unsafe fill(stats, size: stats?.pointee.struct_size ?? 0, from: &filled)
    }
}

@c @implementation public func walrus_stats_text(
    _ log: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ size: UnsafeMutablePointer<Int>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        if unsafe buffer == nil && capacity != 0 { throw LogError(.invalid, "the buffer is NULL, but its capacity is not 0") }
        let counts = try log.counts()
        var measured = Exposition(text: .measure)
        measured.add(counts)
        let needed = measured.text.wanted + 1
        unsafe size?.pointee = needed
        // A capacity above the signed range arrives as a negative number, and is enough for anything.
        guard capacity < 0 || capacity >= needed, let buffer = unsafe buffer else {
            throw LogError(.tooSmall, "the buffer is too small for the statistics; size says what is needed")
        }
        var exposition = unsafe Exposition(text: Text(buffer, capacity: needed))
        exposition.add(counts)
    }
}

private func statistics(of log: DiskLog) throws(LogError) -> walrus_stats_t {
    let counts = try log.counts()
    var stats = walrus_stats_t()
    stats.is_poisoned = counts.isPoisoned ? 1 : 0
    stats.first_index = counts.firstIndex
    stats.last_index = counts.lastIndex
    stats.durable_index = counts.durableIndex
    stats.segments = counts.segments
    stats.async_pending = counts.asyncPending
    stats.txn_open = counts.transactions.open
    stats.appends = counts.appends
    stats.entries_appended = counts.entriesAppended
    stats.bytes_appended = counts.bytesAppended
    stats.bytes_written = counts.bytesWritten
    stats.syncs = counts.sync.syncs
    stats.entries_synced = counts.sync.entries
    stats.largest_group = counts.sync.largestGroup
    stats.sync_ns = counts.sync.time
    stats.sync_ns_max = counts.sync.longest
    unsafe withUnsafeMutableBytes(of: &stats.sync_histogram) { buckets in
        for i in 0..<SyncCounts.buckets {
            unsafe buckets.storeBytes(of: counts.sync.histogram[i], toByteOffset: i * 8, as: UInt64.self)
        }
    }
    stats.rotations = counts.rotations
    stats.truncations = counts.truncations
    stats.segments_removed = counts.segmentsRemoved
    stats.segment_cache_hits = counts.segmentCacheHits
    stats.segment_cache_misses = counts.segmentCacheMisses
    stats.txn_committed = counts.transactions.committed
    stats.txn_rolled_back = counts.transactions.rolledBack
    stats.txn_expired = counts.transactions.expired
    stats.meta_updates = counts.metadataUpdates
    stats.recovery_ns = counts.recoveryTime
    stats.recovery_bytes_cut = counts.recoveryBytesCut
    stats.recovery_entries_cut = counts.recoveryEntriesCut
    return stats
}
