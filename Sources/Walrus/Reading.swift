// Reading.swift - get, and everything that is made of it

internal import WalrusCore

extension Log {
    /// Reads one entry.
    ///
    /// - Throws: `.notFound` above the last index, `.compacted` below the first; `.corrupt`, `.io`, `.noMemory`; `.poisoned` above the durable index
    ///   after a failed write.
    public func get(_ index: UInt64) throws(WalrusError) -> Entry {
        Entry(try call { (log) throws(LogError) in try log.get(index) })
    }

    /// Copies one entry's bytes to the start of `buffer` and returns their number.
    ///
    /// - Throws: `.tooSmall`, with the size that is needed in the error's `requiredSize`, and as `get`.
    public func read(_ index: UInt64, into buffer: inout MutableRawSpan) throws(WalrusError) -> Int {
        let entry = try get(index)
        guard entry.count <= buffer.byteCount else {
            var error = WalrusError(
                .tooSmall, "\(directory): the buffer is smaller than the entry, which has \(entry.count) bytes; index \(index)",
                index: index)
            error.requiredSize = entry.count
            throw error
        }
        unsafe buffer.withUnsafeMutableBytes { to in
            unsafe entry.bytes.withUnsafeBytes { from in unsafe to.copyMemory(from: from) }
        }
        return entry.count
    }

    /// The entries from the first to the last index of `range`, its end clipped to the log's: no more than `maxCount`, and no more than `maxBytes`
    /// of payload, but at least one.
    ///
    /// - Throws: as `get`.
    public func entries(
        _ range: ClosedRange<UInt64>, maxCount: Int = .max, maxBytes: Int = .max
    ) throws(WalrusError) -> [Entry] {
        if maxCount < 1 { throw WalrusError(.invalid, "\(directory): maxCount is \(maxCount); ask for at least one entry") }
        var entries: [Entry] = []
        var room = maxBytes
        try scan(range) { entry in
            if !entries.isEmpty && entry.count > room { return false }
            room -= min(room, entry.count)
            entries.append(entry)
            return entries.count < maxCount
        }
        return entries
    }

    /// Calls `visit` for each entry of `range`, its end clipped to what the log held at the call, until it answers false. `visit` may call
    /// anything on the log but `close`.
    ///
    /// - Throws: as `get`.
    public func scan(_ range: ClosedRange<UInt64>, _ visit: (Entry) -> Bool) throws(WalrusError) {
        try call { (log) throws(LogError) in
            let last = try log.clip(range.lowerBound, range.upperBound)
            try log.callbacks.visit { () throws(LogError) in
                var index = range.lowerBound
                while index <= last {
                    guard visit(Entry(try log.get(index))) else { return }
                    index += 1
                }
            }
        }
    }

    /// The term of the entry at `index`, without reading its payload. Throws as `get`.
    public func term(of index: UInt64) throws(WalrusError) -> UInt64 {
        try call { (log) throws(LogError) in try log.term(index) }
    }

    /// The highest index whose entry has this term.
    ///
    /// - Throws: `.notFound` if none has it.
    public func lastIndex(ofTerm term: UInt64) throws(WalrusError) -> UInt64 {
        try call { (log) throws(LogError) in try log.lastIndexOfTerm(term) }
    }

    /// The first index at which the running maximum of the timestamps reaches this one.
    ///
    /// - Throws: `.notFound` if all are earlier.
    public func firstIndex(since timestampNanoseconds: Int64) throws(WalrusError) -> UInt64 {
        try call { (log) throws(LogError) in try log.seekTime(timestampNanoseconds) }
    }
}
