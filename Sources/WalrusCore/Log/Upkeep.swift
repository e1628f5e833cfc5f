// Upkeep.swift - what runs in the background: expiry, the next segment, syncs of full ones, metadata, retention, removals

extension LogWriter {
    /// Segments below this size are made when they are needed: a thread's wake-up costs more.
    private static var smallestPrepared: UInt64 { 1 << 20 }

    /// Whether the background has something to do. Looked at after each append.
    @inline(__always)
    var wantsUpkeep: Bool {
        !hasUpkeepFailed
            && (wantsSpare || dead.count > 0 || unsynced.count > 0 || wantsRetention || values.hasOlderRides)
    }

    /// The next segment is made when this one is half full: a small log never pays for it.
    @inline(__always)
    var wantsSpare: Bool {
        options.preallocate && tail.endOffset > tail.capacity / 2 && !stock.hasSpare
            && options.segmentSize >= LogWriter.smallestPrepared
    }
}

extension Log {
    func runUpkeep() {
        guard isUsable else { return }
        expireTransactions()
        if commit.isPoisoned { return }
        commit.leadIfFree {
            syncFullWithLead()
            foldWithLead()
        }
        applyRetention()
        prepareSpare()
        removeDead()
    }

    private func prepareSpare() {
        let isWanted = (try? writer.withLock { $0.wantsSpare }) ?? false
        guard isWanted else { return }
        do throws(LogError) {
            try stock.fill(reservedEnd: options.capacity)
        } catch {
            // The append that needs the segment tries again and says why.
            pauseUpkeep(error)
        }
    }

    func pauseUpkeep(_ error: LogError) {
        try? writer.withLock { $0.hasUpkeepFailed = true }
        options.diagnostics.log(.warn, "work in the background failed and is put off", error)
    }

    /// Removes the files of segments that are no longer part of the log.
    func removeDead() {
        var ids = CArray<UInt64>()
        try? writer.withLock { (writer) throws(LogError) in
            for i in 0..<writer.dead.count { try ids.append(writer.dead[i]) }
        }
        if ids.count == 0 { return }
        do throws(LogError) {
            for i in 0..<ids.count {
                try storage.remove(.segment(ids[i]))
                try storage.remove(.offsetTable(ids[i]))
            }
            try storage.syncDirectory()
        } catch {
            // They stay in the list, and are found at the next open at the latest.
            pauseUpkeep(error)
            return
        }
        try? writer.withLock { writer in
            var kept = 0
            for i in 0..<writer.dead.count {
                let id = writer.dead[i]
                var isGone = false
                for j in 0..<ids.count where ids[j] == id { isGone = true }
                if !isGone {
                    writer.dead[kept] = id
                    kept += 1
                }
            }
            writer.counts.segmentsRemoved += UInt64(writer.dead.count - kept)
            writer.dead.removeLast(writer.dead.count - kept)
        }
    }
}
