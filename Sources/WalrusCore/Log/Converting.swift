// Converting.swift - a log copied into another one, of another format or compression
//
// The copy has the same entries at the same indexes, with their terms and times, and the same metadata. It can be broken off anywhere and begun
// again: what the target holds is compared first, and only what is missing is appended. At the end everything is read
// back and compared, so that the source may be done away with.

import Synchronization

extension Options {
    /// What the log that is copied is opened with.
    public static var forSource: Options {
        var options = Options()
        options.readOnly = true
        return options
    }

    /// What the copy is opened with, of what its owner wants.
    ///
    /// - Throws: `.readOnly`.
    public func forTarget() throws(LogError) -> Options {
        if readOnly { throw LogError(.readOnly, "the target is written; leave read_only out of the options") }
        var options = self
        options.mustBeNew = false
        // The entries are synced as a whole; what the options say is for who opens the log next.
        options.sync = .buffered
        options.maxSegments = 0
        options.retentionBytes = 0
        options.retentionAge = 0
        options.maxEntrySize = Int(Limits.maxEntrySize.upperBound)
        return options
    }
}

extension Log {
    /// Copies all that `source` holds now. `progress` is told how many of how many entries are done, and stops the copy with a value
    /// above 0, which is returned. `isOfSource`: whether what is thrown is about the source, and not about this log.
    ///
    /// - Throws: `.exists` if this log holds something that the source does not; `.corrupt` where what was written cannot be read back as it was; and
    ///   what reading the source and appending here throw.
    public func copyAll(
        from source: Log<S>, isOfSource: inout Bool, progress: (_ done: UInt64, _ total: UInt64) -> Int32
    ) throws(LogError) -> Int32 {
        guard logID != source.logID else {
            throw LogError(.invalid, "source and target are the same log; name another directory")
        }
        let end = source.nextIndex
        let first = source.lastIndex == 0 ? end : source.firstIndex
        try adoptStart(first, end)
        var index = first
        // What an earlier run has copied.
        while index < nextIndex && index < end {
            guard try isSame(index, source, &isOfSource) else { throw Log.foreign(index) }
            index += 1
        }
        if nextIndex > end { throw Log.foreign(end) }
        var lastTold = index
        while index < end {
            let entry = try source.getAsSource(index, &isOfSource)
            defer { entry.owner.release() }
            let record = Record(payload: entry.payload, index: index, term: entry.term, time: entry.time)
            _ = try append(OneRecord(record), .buffered)
            index += 1
            // Often enough for a person who looks on, seldom enough to cost nothing.
            if index - lastTold >= 4096 || index == end {
                lastTold = index
                let stopped = progress(index - first, end - first)
                if stopped > 0 {
                    try sync()
                    return stopped
                }
            }
        }
        try copyMetadata(from: source, &isOfSource)
        try sync()
        index = first
        while index < end {
            guard try isSame(index, source, &isOfSource) else {
                throw LogError(
                    .corrupt, "an entry of the copy is not as it was written; copy the log again, to a sound disk", index: index)
            }
            index += 1
        }
        return 0
    }

    private static func foreign(_ index: UInt64) -> LogError {
        LogError(.exists, "the target holds a log that is no part of the source; choose an empty directory", index: index)
    }

    /// An empty target begins where the source does.
    private func adoptStart(_ first: UInt64, _ end: UInt64) throws(LogError) {
        if lastIndex != 0 {
            guard firstIndex == first else { throw Log.foreign(firstIndex) }
        } else if nextIndex != first {
            try reset(first)
        }
    }

    private func getAsSource(_ index: UInt64, _ isOfSource: inout Bool) throws(LogError) -> Entry {
        isOfSource = true
        let entry = try get(index)
        isOfSource = false
        return entry
    }

    private func isSame(_ index: UInt64, _ source: Log<S>, _ isOfSource: inout Bool) throws(LogError) -> Bool {
        let theirs = try source.getAsSource(index, &isOfSource)
        defer { theirs.owner.release() }
        let ours = try get(index)
        defer { ours.owner.release() }
        return ours.term == theirs.term && ours.time == theirs.time && ours.checksum == theirs.checksum
            && ours.payload == theirs.payload
    }

    /// Sets what the source has and this log has not, and removes what the source has not.
    private func copyMetadata(from source: Log<S>, _ isOfSource: inout Bool) throws(LogError) {
        var failure: LogError? = nil
        isOfSource = true
        _ = try source.forEachMetadata { text, value in
            let key = Log.key(text)
            do throws(LogError) {
                if try !hasMetadata(key, value) { try setMetadata(key, value) }
                return 0
            } catch {
                failure = error
                return 1
            }
        }
        isOfSource = false
        if let failure { throw failure }
        _ = try forEachMetadata { text, _ in
            let key = Log.key(text)
            do throws(LogError) {
                if try !source.hasMetadata(key, nil) { try deleteMetadata(key) }
                return 0
            } catch {
                failure = error
                return 1
            }
        }
        if let failure { throw failure }
    }

    /// Without the NUL with which visitors get it.
    private static func key(_ text: Bytes) -> Bytes { text.slice(0, text.count - 1) }

    /// Whether there is such a key, and it has this value (nil: any).
    private func hasMetadata(_ key: Bytes, _ value: Bytes?) throws(LogError) -> Bool {
        do throws(LogError) {
            var isSame = true
            try metadata(key) { found in if let value { isSame = found == value } }
            return isSame
        } catch {
            if error.code == .notFound { return false }
            throw error
        }
    }
}
