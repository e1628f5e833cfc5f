// SequentialReader.swift - reads that come in order: scans, ranges, cursors
//
// It keeps a reference to the segment that the last entry came from. As long as the log's structure has not changed since, the next entry
// is most likely there, too, and takes neither a lock nor a search nor a count: a look at the bounds, at the offset
// table, and at the frame. Whatever is not as usual is left to `get`.

import Synchronization

public struct SequentialReader<S: Storage>: ~Copyable {
    private let log: Log<S>
    /// The segment of the last entry, with a reference, if it lends views.
    private var segment: SegmentRef?
    /// What the log's was before the segment was looked up.
    private var structure: UInt64 = 0
    /// Reads that found it open.
    private var hits: UInt64 = 0
    /// Of the last entry, if it is a copy.
    private var copy = EntryOwner.nobody

    public init(_ log: Log<S>) { self.log = log }

    deinit {
        copy.release()
        if let segment { SequentialReader<S>.letGo(segment, hits) }
    }

    private static func letGo(_ segment: SegmentRef, _ hits: UInt64) {
        segment.noteHits(hits)
        EntryOwner(segment).release()
    }

    /// Holds on to nothing.
    public mutating func rest() {
        copy.release()
        copy = .nobody
        if let held = segment { SequentialReader<S>.letGo(held, hits) }
        segment = nil
        hits = 0
    }

    /// An entry, for as long as the reader does nothing else. Its owner is not the caller's.
    ///
    /// - Throws: as `get`.
    @inline(__always)
    public mutating func read(_ index: UInt64) throws(LogError) -> Entry {
        if let entry = lent(index) { return entry }
        return try readAnything(index)
    }

    /// An entry whose owner is the caller's to release.
    @inline(__always)
    public mutating func take(_ index: UInt64) throws(LogError) -> Entry {
        if let entry = lent(index) {
            segment?.retain()
            return entry
        }
        let entry = try readAnything(index)
        if entry.owner.isSegment { segment?.retain() } else { copy = .nobody }
        return entry
    }

    @inline(__always)
    private mutating func lent(_ index: UInt64) -> Entry? {
        // The structure comes last: a next index that counts what was appended after a cut is seen only with that cut.
        guard let segment, let mapping = segment.mapping, index < log.next.load(ordering: .acquiring),
            index >= log.first.load(ordering: .acquiring), index >= segment.baseIndex, index < segment.endIndex, log.isUsable,
            !log.commit.isPoisoned, structure == log.structure.load(ordering: .acquiring)
        else { return nil }
        let relative = UInt32(truncatingIfNeeded: index &- segment.baseIndex)
        guard let offset = segment.knownOffset(of: relative), offset > SegmentHeader.firstFrame,
            let (header, payload) = segment.entry(relative, at: offset, in: mapping, verified: log.options.verifyReads),
            header.codec == 0
        else { return nil }
        hits &+= 1
        let run = segment.run(of: relative)
        return Entry(
            index: index, term: run.term, time: run.time(at: header.time), payload: payload,
            checksum: header.payloadChecksum, owner: EntryOwner(segment))
    }

    @inline(never)
    private mutating func readAnything(_ index: UInt64) throws(LogError) -> Entry {
        rest()
        let structure = log.structure.load(ordering: .acquiring)
        let entry = try log.get(index)
        if let lender = entry.owner.segment {
            segment = lender
            // Beside a writer in another process each read looks anew, and other formats are decoded anyway.
            self.structure = log.following == nil && log.format == .binary ? structure : .max
        } else {
            copy = entry.owner
        }
        return entry
    }
}
