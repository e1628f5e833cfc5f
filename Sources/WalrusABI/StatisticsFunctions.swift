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
        let stats = try statistics(of: log)
        var measured = Exposition(text: .measure)
        measured.add(stats)
        let needed = measured.text.wanted + 1
        unsafe size?.pointee = needed
        // A capacity above the signed range arrives as a negative number, and is enough for anything.
        guard capacity < 0 || capacity >= needed, let buffer = unsafe buffer else {
            throw LogError(.tooSmall, "the buffer is too small for the statistics; size says what is needed")
        }
        var exposition = unsafe Exposition(text: Text(buffer, capacity: needed))
        exposition.add(stats)
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
    let recovery = log.recoveryReport
    stats.recovery_ns = UInt64(max(0, recovery.duration))
    stats.recovery_bytes_cut = recovery.bytesCut
    stats.recovery_entries_cut = recovery.entriesCut
    return stats
}

/// The text exposition format of Prometheus: what each number is, its type, its value. The names are those of the struct's fields.
private struct Exposition {
    var text: Text

    mutating func add(_ stats: walrus_stats_t) {
        addState(stats)
        addWork(stats)
        addSyncs(stats)
    }

    private mutating func addState(_ stats: walrus_stats_t) {
        gauge("is_poisoned", "Whether a write or sync failed, and the log takes no more writes.", UInt64(stats.is_poisoned))
        gauge("first_index", "The lowest index in the log, 0 if it is empty.", stats.first_index)
        gauge("last_index", "The highest index in the log, 0 if it is empty.", stats.last_index)
        gauge("durable_index", "The highest index known to be on stable storage.", stats.durable_index)
        gauge("segments", "Segments of the log.", stats.segments)
        gauge("async_pending", "Asynchronous appends whose completion is outstanding.", stats.async_pending)
        gauge("txn_open", "Open transactions.", stats.txn_open)
        gauge("recovery_bytes_cut", "Bytes that the open left out as unfinished.", stats.recovery_bytes_cut)
        gauge("recovery_entries_cut", "Whole entries among them.", stats.recovery_entries_cut)
        head("recovery_seconds", "How long the open took.", "gauge")
        name("recovery_seconds")
        text.add(" ")
        end(seconds: stats.recovery_ns)
    }

    private mutating func addWork(_ stats: walrus_stats_t) {
        counter("appends", "Calls that appended.", stats.appends)
        counter("entries_appended", "Entries appended.", stats.entries_appended)
        counter("bytes_appended", "Bytes of payload appended.", stats.bytes_appended)
        counter("bytes_written", "Bytes handed to the system for segments.", stats.bytes_written)
        counter("rotations", "Segments that were ended for a new one.", stats.rotations)
        counter("truncations", "Truncations at either end, resets, replaced suffixes, retention.", stats.truncations)
        counter("segments_removed", "Segment files removed.", stats.segments_removed)
        counter("segment_cache_hits", "Reads that found their segment open, counted loosely.", stats.segment_cache_hits)
        counter("segment_cache_misses", "Segments that had to be opened.", stats.segment_cache_misses)
        counter("txn_committed", "Transactions committed.", stats.txn_committed)
        counter("txn_rolled_back", "Transactions rolled back.", stats.txn_rolled_back)
        counter("txn_expired", "Transactions that expired.", stats.txn_expired)
        counter("meta_updates", "Updates of the metadata on stable storage.", stats.meta_updates)
    }

    private mutating func addSyncs(_ stats: walrus_stats_t) {
        counter("entries_synced", "Entries made durable by group syncs.", stats.entries_synced)
        gauge("largest_group", "Most entries made durable by one sync.", stats.largest_group)
        head("sync_seconds_max", "The longest group sync.", "gauge")
        name("sync_seconds_max")
        text.add(" ")
        end(seconds: stats.sync_ns_max)
        head("sync_seconds", "Duration of group syncs.", "histogram")
        var histogram = stats.sync_histogram
        unsafe withUnsafeBytes(of: &histogram) { buckets in
            var sum: UInt64 = 0
            for i in 0..<SyncCounts.buckets - 1 {
                sum += unsafe buckets.load(fromByteOffset: i * 8, as: UInt64.self)
                name("sync_seconds_bucket{le=\"")
                text.add(seconds: 1000 << UInt64(i))
                text.add("\"} ")
                end(sum)
            }
        }
        name("sync_seconds_bucket{le=\"+Inf\"} ")
        end(stats.syncs)
        name("sync_seconds_sum ")
        end(seconds: stats.sync_ns)
        name("sync_seconds_count ")
        end(stats.syncs)
    }

    // ---- Lines

    private mutating func gauge(_ name: StaticString, _ help: StaticString, _ value: UInt64) {
        head(name, help, "gauge")
        self.name(name)
        text.add(" ")
        end(value)
    }

    private mutating func counter(_ name: StaticString, _ help: StaticString, _ value: UInt64) {
        head(name, help, "counter", suffix: "_total")
        self.name(name)
        text.add("_total ")
        end(value)
    }

    private mutating func head(
        _ name: StaticString, _ help: StaticString, _ type: StaticString, suffix: StaticString = ""
    ) {
        text.add("# HELP ")
        self.name(name)
        text.add(suffix)
        text.add(" ")
        text.add(help)
        text.add("\n# TYPE ")
        self.name(name)
        text.add(suffix)
        text.add(" ")
        text.add(type)
        text.add("\n")
    }

    private mutating func name(_ name: StaticString) {
        text.add("walrus_")
        text.add(name)
    }

    private mutating func end(_ value: UInt64) {
        text.add(value)
        text.add("\n")
    }

    private mutating func end(seconds nanoseconds: UInt64) {
        text.add(seconds: nanoseconds)
        text.add("\n")
    }
}
