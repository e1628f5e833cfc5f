// Opening.swift - open, create and destroy

extension Log {
    /// Opens the log in the storage's directory, creating it where the options allow. The storage is locked already if
    /// the log is to be written.
    public static func open(_ storage: S, _ options: Options) throws(LogError) -> Log<S> {
        let started = storage.monotonic()
        var options = options
        options.diagnostics.callbacks = Callbacks()
        if try !isThere(storage, options) {
            try create(storage, options.format ?? .binary)
            try storage.syncDirectory()
            try storage.syncParent()
            options.diagnostics.log(.info) { $0.add("created a log") }
        }
        let isSuspect = options.readOnly ? false : try isSuspect(storage)
        while true {
            let file = try storage.open(.metadata, options.readOnly ? .read : .write)
            if isSuspect { storage.forgetCached(file) }
            var sequence: UInt64 = 0
            do throws(LogError) {
                let metadata = try MetadataStore(storage: storage, file: file)
                sequence = metadata.current.sequence
                return try open(storage, options, metadata, isSuspect: isSuspect, started: started)
            } catch {
                defer { storage.close(file) }
                // A reader beside a writer may have seen half of a change: look again if there was one.
                guard options.readOnly, sequence != 0,
                    try MetadataStore(storage: storage, file: file).current.sequence != sequence
                else { throw error }
            }
        }
    }

    /// Whether a write or sync of the log failed, and nobody has looked since at what the disk has.
    private static func isSuspect(_ storage: S) throws(LogError) -> Bool {
        do throws(LogError) {
            storage.close(try storage.open(.suspect, .read))
            return true
        } catch {
            if error.code == .notFound { return false }
            throw error
        }
    }

    /// Whether these options go together. Before anything is touched.
    ///
    /// - Throws: `.readOnly`.
    public static func check(_ options: Options) throws(LogError) {
        if options.recovery == .salvage && !options.readOnly {
            throw LogError(.readOnly, "recovery=salvage needs read_only=true: it leaves gaps that must not be written behind")
        }
    }

    /// Whether the directory holds a log already, and that or its absence is what the options allow. Changes nothing.
    ///
    /// - Throws: `.exists`, `.noLog`, `.notALog`, `.corrupt`, `.io`.
    public static func isThere(_ storage: S, _ options: Options) throws(LogError) -> Bool {
        if try survey(storage) {
            if options.mustBeNew { throw LogError(.exists, "there is a log already, and must_be_new is set") }
            return true
        }
        guard options.create && !options.readOnly else {
            throw LogError(.noLog, "the directory holds no log; open it with create=true to make one")
        }
        return false
    }

    /// Whether the directory holds a log.
    ///
    /// - Throws: `.notALog` if it holds something else; `.corrupt` if it is a log that lost its metadata.
    private static func survey(_ storage: S) throws(LogError) -> Bool {
        var hasMetadata = false
        var segments = CArray<UInt64>()
        var hasForeign = false
        try storage.list { (name) throws(LogError) in
            switch name {
            case .metadata: hasMetadata = true
            case .segment(let id): try segments.append(id)
            case nil: hasForeign = true
            default: break
            }
        }
        if hasMetadata { return true }
        for i in 0..<segments.count {
            if try isSegment(segments[i], storage) {
                throw LogError(.corrupt, "the log's metadata is missing; restore walrus.meta from a copy", file: .metadata)
            }
            hasForeign = true
        }
        if hasForeign {
            throw LogError(.notALog, "the directory holds something else; choose an empty one, or one that does not exist yet")
        }
        return false
    }

    /// Whether a file is what its name says, or somebody else's.
    private static func isSegment(_ id: UInt64, _ storage: S) throws(LogError) -> Bool {
        let file = try storage.open(.segment(id), .read)
        defer { storage.close(file) }
        let buffer = try Memory(count: SegmentHeader.size)
        let got = try storage.read(file, at: 0, into: buffer.bytes)
        return SegmentHeader.isOne(buffer.bytes.bytes.slice(0, got))
    }

    /// Makes an empty log. It exists from the moment in which its metadata has its name.
    private static func create(_ storage: S, _ format: FrameFormat) throws(LogError) {
        var slot = MetadataSlot()
        slot.format = format
        // A version 4 UUID (RFC 9562).
        slot.logID = LogID(
            high: try storage.random() & ~0xf0_00_00_00_00_00_00_00 | 0x40_00_00_00_00_00_00_00,
            low: try storage.random() & ~0xc0 | 0x80)
        slot.sequence = 1
        slot.created = storage.realtime()
        try MetadataStore.create(slot, storage: storage)
    }

    private static func open(
        _ storage: S, _ options: Options, _ opened: consuming MetadataStore<S>, isSuspect: Bool, started: Int64
    ) throws(LogError) -> Log<S> {
        let metadata = opened
        if let wanted = options.format, metadata.current.format != wanted {
            throw LogError(
                .format,
                "the log was created with another format, which it keeps; leave the option out, or copy the log with walrus_convert",
                file: .metadata)
        }
        let slot = metadata.current
        var found = Recovery(storage: storage, options: options, metadata: slot, isSuspect: isSuspect)
        do throws(LogError) {
            try found.run()
            return try assemble(storage, options, metadata, &found, started: started)
        } catch {
            if let tail = found.tail {
                _ = tail.segment.release()
                storage.close(tail.file)
            }
            throw error
        }
    }

    private static func assemble(
        _ storage: S, _ options: Options, _ opened: consuming MetadataStore<S>, _ found: inout Recovery<S>, started: Int64
    ) throws(LogError) -> Log<S> {
        var metadata = opened
        let slot = metadata.current
        let segments = try SegmentTable(limit: options.cachedSegments)
        for i in 0..<found.live.count {
            let isTail = i == found.live.count - 1
            try segments.append(
                SegmentSlot(
                    id: found.live[i], baseIndex: isTail ? found.tail?.segment.baseIndex ?? 0 : 0,
                    segment: isTail ? found.tail?.segment : nil))
        }
        var tail = try TailWriter(
            storage: storage, format: slot.format, bufferSize: options.readOnly ? 4096 : options.bufferSize,
            reserveStep: options.reserveStep, nextIndex: max(slot.firstIndex, 1),
            highestStamp: slot.highestStamp, lastTerm: slot.lastTerm)
        let follows = options.readOnly && options.recovery != .salvage
        if let last = found.tail, !follows {
            tail.resume(
                last.segment, file: last.file, at: last.end, isOpen: last.isOpen && !options.readOnly,
                capacity: options.capacity, reservedEnd: last.end.offset)
        }
        // Of a log whose front was never truncated the lowest segment says the first index.
        let first = slot.firstIndex != 0 ? slot.firstIndex : found.lowestBase
        var unsettled = Unsettled(
            sideFile: nil, unproven: CArray(), cut: nil, stale: CArray(), needsNames: !options.readOnly && !found.isClean,
            lastIndex: tail.nextIndex - 1)
        if !options.readOnly {
            if found.hasSideFile { unsettled.sideFile = found.tail?.segment.id }
            swap(&unsettled.unproven, &found.unproven)
            swap(&unsettled.stale, &found.stale)
            if found.needsCut { unsettled.cut = tail.end }
            unsettled.hasReplacement = found.unfinishedReplacement != 0
        }
        found.report.duration = storage.monotonic() - started
        if found.unfinishedReplacement != 0 {
            options.diagnostics.log(.warn) {
                $0.add("a replacement of the log's end that was never finished is left out: ")
                $0.add(.segment(found.unfinishedReplacement))
            }
        }
        let nextIndex = max(found.tail?.end.index ?? tail.nextIndex, found.lostEnd)
        report(found.report, nextIndex: nextIndex, options.diagnostics)
        var dead = CArray<UInt64>()
        swap(&dead, &found.dead)
        var dropped = CArray<UInt64>()
        swap(&dropped, &found.dropped)
        let stock = try SegmentStock(
            maker: SegmentMaker(storage: storage, logID: slot.logID, format: slot.format), nextID: found.highestID &+ 1)
        let values = try loadValues(metadata, found.ridden, options, lastIndex: nextIndex - 1)
        let following = follows ? try follow(storage, options, metadata, &found, ignoring: dropped.view) : nil
        // What only one slot says may not be durable; nothing may be done on its word before it is. And not earlier: a log that is refused stays as it is.
        if !options.readOnly { try metadata.repair() }
        let writer = LogWriter(
            storage: storage, options: options, logID: slot.logID, segments: segments, stock: stock,
            metadata: metadata, tail: tail, values: values,
            dead: dead, dropped: dropped,
            wantsRetention: options.hasRetention && !options.readOnly, isVirgin: slot.firstIndex == 0 && found.tail == nil)
        do throws(LogError) {
            return try Log(
                storage: storage, options: options, writer: writer, segments: segments, unsettled: unsettled,
                following: following, first: max(min(first, nextIndex), 1), next: nextIndex,
                durableIndex: found.tail == nil ? nextIndex - 1 : found.durableIndex,
                report: found.report)
        } catch {
            following?.close()
            throw error
        }
    }

    /// From here on the handle keeps up with a writer in another process.
    private static func follow(
        _ storage: S, _ options: Options, _ metadata: borrowing MetadataStore<S>, _ found: inout Recovery<S>,
        ignoring dropped: CArrayView<UInt64>
    ) throws(LogError) -> Following<S> {
        var tail: FollowedTail? = nil
        if let last = found.tail {
            tail = FollowedTail(
                last.segment, at: last.end, claim: found.durableIndex, capacity: max(options.capacity, last.fileSize),
                isEnded: metadata.current.cut.id == last.segment.id)
        }
        var ridden = RiddenMetadata(after: metadata.current.metadataSequence)
        swap(&ridden, &found.ridden)
        var ignored: UInt64 = 0
        for i in 0..<dropped.count { ignored = max(ignored, dropped[i]) }
        return try Following(
            metadata, storage, slots: options.zeroCopy ? try? metadata.mapSlots() : nil, tail: tail, ridden: ridden,
            ignoredUpTo: ignored)
    }

    /// The key-value records: those in the slots, and what rode since.
    private static func loadValues(
        _ metadata: borrowing MetadataStore<S>, _ ridden: borrowing RiddenMetadata, _ options: Options, lastIndex: UInt64
    ) throws(LogError) -> MetadataState {
        var values = MetadataState()
        let slot = metadata.current
        if options.readOnly {
            // A writer may have brought into the slots meanwhile what rode, and begun a segment that does not repeat it.
            var records = MetadataRecords()
            let newer = try metadata.reread(&records)
            if newer.metadataSequence != slot.metadataSequence {
                guard newer.metadataSequence >= ridden.sequence else {
                    throw LogError(.busy, "the log's metadata was changed while it was read; try again")
                }
                try values.load(records.bytes, sequence: newer.metadataSequence, ridden, lastIndex: lastIndex)
                return values
            }
        }
        try values.load(metadata.records.bytes, sequence: slot.metadataSequence, ridden, lastIndex: lastIndex)
        return values
    }

    private static func report(_ report: RecoveryReport, nextIndex: UInt64, _ diagnostics: Diagnostics) {
        diagnostics.log(.info) {
            $0.add("opened a log; the next index is ")
            $0.add(nextIndex)
        }
        guard report.cutSegment != 0 else { return }
        diagnostics.log(.warn) {
            $0.add("an unfinished write at the end is left out: ")
            $0.add(report.bytesCut)
            $0.add(" bytes in ")
            $0.add(.segment(report.cutSegment))
            $0.add(" from offset ")
            $0.add(report.cutOffset)
        }
    }

    /// Removes the log's files. Whatever else the directory holds stays.
    ///
    /// - Throws: `.noLog`, `.notALog`.
    public static func destroy(_ storage: S) throws(LogError) {
        guard try survey(storage) else { throw LogError(.noLog, "the directory holds no log") }
        var segments = CArray<UInt64>()
        var tables = CArray<UInt64>()
        try storage.list { (name) throws(LogError) in
            switch name {
            case .segment(let id), .segmentInProgress(let id): try segments.append(id)
            case .offsetTable(let id), .offsetTableInProgress(let id): try tables.append(id)
            default: break
            }
        }
        // Segments first, then the metadata: a crash in between leaves a log that can be destroyed again.
        for i in 0..<segments.count {
            try storage.remove(.segment(segments[i]))
            try storage.remove(.segmentInProgress(segments[i]))
        }
        for i in 0..<tables.count {
            try storage.remove(.offsetTable(tables[i]))
            try storage.remove(.offsetTableInProgress(tables[i]))
        }
        try storage.syncDirectory()
        try storage.remove(.metadataInProgress)
        try storage.remove(.suspect)
        try storage.remove(.metadata)
        try storage.remove(.lock)
        try storage.syncDirectory()
    }
}
