// Retention.swift - the oldest segments go when the log is beyond its limits
//
// Looked at in the background, after each rotation and after an open. What is to go is found without any lock; it goes as by
// `truncateFront`. Whole segments only, and never the last one that has entries: segments behind it that were begun and are empty count for
// nothing, and retention looks again when the tail's first entry has come.
//
//   max_segments      how many may stay
//   retention_bytes   what their files may take up together, the space reserved for the tail included
//   retention_age     a segment goes when no entry up to its end is younger, which its successor's begin frame tells. So a time
//                     far in the future keeps what comes after it

import Synchronization

extension Log {
    /// Called by the background.
    func applyRetention() {
        let isWanted =
            (try? writer.withLock { writer in
                defer { writer.wantsRetention = false }
                return writer.wantsRetention
            }) ?? false
        guard isWanted else { return }
        do throws(LogError) {
            let structure = structure.load(ordering: .acquiring)
            guard let index = try unchanged({ () throws(LogError) in try firstToKeep() }),
                index > first.load(ordering: .acquiring)
            else { return }
            try commit.lead { () throws(LogError) in
                // Whatever was truncated meanwhile, it is another log now: the next rotation looks at that.
                guard structure == self.structure.load(ordering: .acquiring) else { return }
                try settleWithLead()
                try dropFront(index)
                options.diagnostics.log(.debug) {
                    $0.add("retention dropped the entries below index ")
                    $0.add(index)
                }
            }
        } catch {
            if error.code != .closed { pauseUpkeep(error) }
        }
    }

    /// The lowest index that is within all limits, if anything is beyond one.
    private func firstToKeep() throws(LogError) -> UInt64? {
        var ids = CArray<UInt64>()
        let end = try writer.withLock { (writer) throws(LogError) in
            try segments.copyIDs(to: &ids)
            writer.wantsRetention = !writer.tail.hasEntries
            return writer.tail.nextIndex
        }
        // One that was rotated away without an entry, or lost them in a crash, may stand before an empty tail.
        var count = ids.count
        while count > 0, try begin(of: ids[count - 1]).baseIndex == end { count -= 1 }
        if count < 2 { return nil }
        var keep = 0
        if options.maxSegments > 0 { keep = max(keep, count - Int(options.maxSegments)) }
        if options.retentionBytes > 0 {
            var bytes: UInt64 = 0
            var i = ids.count - 1
            while i >= keep {
                bytes &+= try sealedSize(of: ids[i], isTail: i >= count - 1)
                if bytes > options.retentionBytes { keep = max(keep, min(i + 1, count - 1)) }
                i -= 1
            }
        }
        // Above this a limit would lie before all time.
        if options.retentionAge > 0, options.retentionAge < UInt64(Int64.max) / 1_000_000 {
            keep = try firstYoung(
                ids, from: keep, to: count - 1, limit: storage.realtime() &- Int64(options.retentionAge) &* 1_000_000)
        }
        return keep > 0 ? try begin(of: ids[keep]).baseIndex : nil
    }

    /// The last segment of those from `low` to `high` before which no entry is as young as `limit`.
    private func firstYoung(_ ids: borrowing CArray<UInt64>, from low: Int, to high: Int, limit: Int64) throws(LogError) -> Int {
        var low = low
        var high = high
        while low < high {
            let middle = (low + high + 1) / 2
            if try begin(of: ids[middle]).highestTime < limit { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// The size of a segment's file, which is asked for once where it will not change any more.
    private func sealedSize(of id: UInt64, isTail: Bool) throws(LogError) -> UInt64 {
        if isTail { return try fileSize(of: id) }
        if let known = segments.fileSize(of: id) { return known }
        let size = try fileSize(of: id)
        segments.noteFileSize(of: id, size)
        return size
    }
}
