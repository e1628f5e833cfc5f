// Exposition.swift - the counts as text

/// The text exposition format of Prometheus: what each number is, its type, its value. The names are those of walrus_stats_t's fields.
public struct Exposition {
    public var text: Text

    public init(text: Text) { self.text = text }

    public mutating func add(_ counts: Counts) {
        addState(counts)
        addWork(counts)
        addSyncs(counts)
    }

    private mutating func addState(_ counts: Counts) {
        gauge("is_poisoned", "Whether a write or sync failed, and the log takes no more writes.", counts.isPoisoned ? 1 : 0)
        gauge("first_index", "The lowest index in the log, 0 if it is empty.", counts.firstIndex)
        gauge("last_index", "The highest index in the log, 0 if it is empty.", counts.lastIndex)
        gauge("durable_index", "The highest index known to be on stable storage.", counts.durableIndex)
        gauge("segments", "Segments of the log.", counts.segments)
        gauge("async_pending", "Asynchronous appends whose completion is outstanding.", counts.asyncPending)
        gauge("txn_open", "Open transactions.", counts.transactions.open)
        gauge("recovery_bytes_cut", "Bytes that the open left out as unfinished.", counts.recoveryBytesCut)
        gauge("recovery_entries_cut", "Whole entries among them.", counts.recoveryEntriesCut)
        head("recovery_seconds", "How long the open took.", "gauge")
        name("recovery_seconds")
        text.add(" ")
        end(seconds: counts.recoveryTime)
    }

    private mutating func addWork(_ counts: Counts) {
        counter("appends", "Calls that appended.", counts.appends)
        counter("entries_appended", "Entries appended.", counts.entriesAppended)
        counter("bytes_appended", "Bytes of payload appended.", counts.bytesAppended)
        counter("bytes_written", "Bytes handed to the system for segments.", counts.bytesWritten)
        counter("rotations", "Segments that were ended for a new one.", counts.rotations)
        counter("truncations", "Truncations at either end, resets, replaced suffixes, retention.", counts.truncations)
        counter("segments_removed", "Segment files removed.", counts.segmentsRemoved)
        counter("segment_cache_hits", "Reads that found their segment open, counted loosely.", counts.segmentCacheHits)
        counter("segment_cache_misses", "Segments that had to be opened.", counts.segmentCacheMisses)
        counter("txn_committed", "Transactions committed.", counts.transactions.committed)
        counter("txn_rolled_back", "Transactions rolled back.", counts.transactions.rolledBack)
        counter("txn_expired", "Transactions that expired.", counts.transactions.expired)
        counter("meta_updates", "Updates of the metadata on stable storage.", counts.metadataUpdates)
    }

    private mutating func addSyncs(_ counts: Counts) {
        counter("entries_synced", "Entries made durable by group syncs.", counts.sync.entries)
        gauge("largest_group", "Most entries made durable by one sync.", counts.sync.largestGroup)
        head("sync_seconds_max", "The longest group sync.", "gauge")
        name("sync_seconds_max")
        text.add(" ")
        end(seconds: counts.sync.longest)
        head("sync_seconds", "Duration of group syncs.", "histogram")
        var sum: UInt64 = 0
        for i in 0..<SyncCounts.buckets - 1 {
            sum += counts.sync.histogram[i]
            name("sync_seconds_bucket{le=\"")
            text.add(seconds: 1000 << UInt64(i))
            text.add("\"} ")
            end(sum)
        }
        name("sync_seconds_bucket{le=\"+Inf\"} ")
        end(counts.sync.syncs)
        name("sync_seconds_sum ")
        end(seconds: counts.sync.time)
        name("sync_seconds_count ")
        end(counts.sync.syncs)
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
