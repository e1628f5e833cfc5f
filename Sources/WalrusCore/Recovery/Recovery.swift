// Recovery.swift - what a crash left, and where the log ends
//
// Only scans and decides; nothing is written here. From the newest segment it walks back to the first one that a later
// frame declares durable, verifies every frame on the way, and then:
//
//   - everything good: the log ends there;
//   - a bad frame, nothing good behind it: a torn write, cut;
//   - a bad frame, good ones behind it that do not claim it to be durable: writes reached the disk out of order, cut;
//   - a bad frame, and a later one declares that its place was durable: corruption. Refuse, and say what is lost.
//
// An unfinished batch at the end is cut from its first entry. Whatever lies above the last declared durable index is kept, but counts as durable only
// once the log has written it again and synced it: the page cache may show what the disk never got.

/// A part of a segment that may not be on the disk although it can be read.
struct Unproven: BitwiseCopyable {
    var id: UInt64
    var from: UInt64
    var to: UInt64
}

public enum RecoveryReason: Int32, Sendable {
    case clean = 0
    case complete = 1
    case torn = 2
    case unfinishedBatch = 3
    case reordered = 4
}

public struct RecoveryReport: Sendable {
    public var reason = RecoveryReason.clean
    public var entriesCut: UInt64 = 0
    public var bytesCut: UInt64 = 0
    public var cutIndex: UInt64 = 0
    public var cutOffset: UInt64 = 0
    public var cutSegment: UInt64 = 0
    public var segmentsScanned: UInt64 = 0
    public var bytesScanned: UInt64 = 0
    public var duration: Int64 = 0
    public var durableIndex: UInt64 = 0
}

/// The last live segment, as recovery leaves it.
struct RecoveredTail: BitwiseCopyable {
    var segment: SegmentRef
    var file: FileHandle
    var end: ScanPoint
    /// Whether new frames may follow in this file.
    var isOpen: Bool
    var fileSize: UInt64
}

struct Recovery<S: Storage>: ~Copyable {
    let storage: S
    let options: Options
    let metadata: MetadataSlot

    // What is found
    var live = CArray<UInt64>()
    /// Files that count for nothing: the slots say so, or they were never begun.
    var dead = CArray<UInt64>()
    /// Segments above a place where the log has to be cut. The slots do not say so yet.
    var dropped = CArray<UInt64>()
    /// Files that are of no use once the log is settled: those that were being made, and the mark of a failure.
    var stale = CArray<FileName>()
    var unproven = CArray<Unproven>()
    var highestID: UInt64 = 0
    private var highestSideFile: UInt64 = 0
    var tail: RecoveredTail?
    /// The tail ends where bytes lie behind its end, and no cut says so yet.
    var needsCut = false
    /// The log was closed cleanly, and its tail needed no scan.
    private(set) var isClean = false
    /// The tail has a side file. Even one that bears no clean mark may do so again after a power cut, as long as its loss was not synced.
    var hasSideFile = false
    var durableIndex: UInt64 = 0
    /// What the metadata frames of the tail say beyond the slots.
    var ridden: RiddenMetadata
    /// The highest index that a segment declared durable which was dropped because an older one is torn.
    private var claimOfDropped: UInt64 = 0
    /// Where a log ended whose last segment is lost, for salvage; else 0.
    private(set) var lostEnd: UInt64 = 0
    /// Entries behind a begin frame that is damaged, for salvage.
    private var lostEntries: UInt64 = 0
    /// The segment of a replacement that never came to be part of the log, or 0. It is dead, and must be gone before the next cut.
    private(set) var unfinishedReplacement: UInt64 = 0
    /// Base index of the lowest live segment, 1 if there is none.
    var lowestBase: UInt64 = 1
    var report = RecoveryReport()
    /// A write or sync failed since the system was started, and the page cache may show what the disk never got.
    private let isSuspect: Bool

    init(storage: S, options: Options, metadata: MetadataSlot, isSuspect: Bool) {
        self.storage = storage
        self.isSuspect = isSuspect
        self.options = options
        self.metadata = metadata
        ridden = RiddenMetadata(after: metadata.metadataSequence)
    }

    private var opener: SegmentOpener<S> {
        SegmentOpener(
            storage: storage, logID: metadata.logID, format: metadata.format, lends: options.zeroCopy && !options.readOnly)
    }

    mutating func run() throws(LogError) {
        try listSegments()
        highestID = max(metadata.highestSegment, live.last ?? 0, dead.last ?? 0)
        try refuseLostTail()
        try refuseLostCut()
        try findTail()
        if dropped.count > 0 {
            needsCut = true
            tail?.isOpen = false
        }
        if let tail { hasSideFile = try SideFile.exists(tail.segment.id, storage: storage) }
        report.durableIndex = durableIndex
        if options.recovery != .salvage {
            try findMissing()
        } else if lostEntries > 0, let tail {
            lostEnd = max(lostEnd, tail.end.index &+ lostEntries)
        }
    }

    /// Sorts the segment files into live and dead ones.
    private mutating func listSegments() throws(LogError) {
        var found = CArray<UInt64>()
        try storage.list { (name) throws(LogError) in
            switch name {
            case .segment(let id): try found.append(id)
            case .offsetTable(let id): highestSideFile = max(highestSideFile, id)
            case .segmentInProgress, .offsetTableInProgress, .metadataInProgress, .suspect:
                if let name { try stale.append(name) }
            default: break
            }
        }
        found.sort { $0 }
        for i in 0..<found.count {
            let id = found[i]
            let isCutOff = metadata.cut.id != 0 && id > metadata.cut.id && id <= metadata.cutHighest
            if id < metadata.lowestSegment || isCutOff {
                try dead.append(id)
            } else {
                try live.append(id)
            }
        }
    }

    // ---- The newest segment that holds something

    private mutating func findTail() throws(LogError) {
        while let id = live.last {
            let file = try openFile(id)
            var isKept = false
            defer { if !isKept { storage.close(file) } }
            guard let (header, head) = try readHead(file, id) else {
                live.removeLast(1)
                try dead.append(id)
                continue
            }
            if let head, head.begin.epoch > metadata.epoch {
                if try isUnfinishedReplacement(file, head) {
                    unfinishedReplacement = id
                    live.removeLast(1)
                    try dead.append(id)
                    continue
                }
                if options.recovery != .salvage {
                    throw LogError(
                        .corrupt, "walrus.meta is older than the log; restore the newest copy of it", file: .metadata)
                }
            }
            var clean = try cleanEnd(id, header)
            if let end = clean, let head, try goesOn(file, head, behind: end) { clean = nil }
            if let head {
                if let clean, try openClean(clean, id, file, head) {
                    isKept = true
                    return
                }
                var knownEnd = clean ?? (metadata.cut.id == id ? metadata.cut : nil)
                if knownEnd == nil, isEndLost(id, head) {
                    var digest = Digest()
                    digest.add(head.beginChecksum)
                    knownEnd = SegmentEnd(id: id, endIndex: head.begin.baseIndex, endOffset: head.end, digest: digest)
                }
                isKept = try scanTail(id, file, head, knownEnd: knownEnd)
                if isKept { return }
                // An older segment is torn: it is the newest one now, and is looked at as such.
                continue
            }
            if let clean, head == nil { lostEnd = clean.endIndex }
            if let clean, head == nil, options.recovery != .salvage {
                throw corruption(
                    id, from: SegmentHeader.firstFrame, index: max(metadata.firstIndex, 1), upTo: clean.endIndex &- 1)
            }
            if head == nil, metadata.cut.id == id, options.recovery != .salvage {
                throw corruption(
                    id, from: SegmentHeader.firstFrame, index: max(metadata.firstIndex, 1), upTo: metadata.cut.endIndex &- 1)
            }
            // Never begun, begun by a step that was never finished, or its first frame is torn.
            if head == nil { try refuseDurableFrames(id, file, header) }
            live.removeLast(1)
            // Below one that was dropped it may be that one's predecessor, and must not go before the slots say so.
            if dropped.count > 0 {
                try dropped.append(id)
            } else {
                try dead.append(id)
            }
        }
    }

    /// Whether the newest segment is one that was to replace the log's end when the slots could not yet say so. One that was live holds
    /// entries that were declared durable once something followed them, or has a side file.
    private func isUnfinishedReplacement(_ file: FileHandle, _ head: SegmentHead) throws(LogError) -> Bool {
        guard head.begin.epoch == metadata.epoch &+ 1, unfinishedReplacement == 0, dropped.count == 0,
            try !SideFile.exists(head.header.id, storage: storage)
        else { return false }
        var scan = try SegmentScan(storage: storage, file: file, head: head, capacity: 0)
        _ = try scan.run(to: nil)
        let behind = try scan.look(behind: scan.point.offset)
        return max(scan.claim, behind.claim) < head.begin.baseIndex
    }

    /// nil: the header is damaged, and salvage goes on without the segment.
    private func readHead(_ file: FileHandle, _ id: UInt64) throws(LogError) -> (header: SegmentHeader, head: SegmentHead?)? {
        do throws(LogError) {
            return try SegmentHead.read(file, id: id, logID: metadata.logID, format: metadata.format, storage: storage)
        } catch {
            guard error.code == .corrupt, options.recovery == .salvage else { throw error }
            guard
                let head = try SegmentHead.readPastDamage(
                    file, id: id, logID: metadata.logID, format: metadata.format, storage: storage)
            else {
                return nil
            }
            return (head.header, head)
        }
    }

    /// A log that was closed cleanly has the segment that it was closed with.
    private mutating func refuseLostTail() throws(LogError) {
        guard highestSideFile > live.last ?? 0,
            let (side, header) = try SideFile.open(highestSideFile, storage: storage)
        else { return }
        storage.close(side)
        if header.isClean && header.logID == metadata.logID && header.epoch == metadata.epoch
            && header.segment >= metadata.lowestSegment
        {
            lostEnd = header.descriptor.end.endIndex
            if options.recovery == .salvage { return }
            throw LogError(
                .corrupt,
                "the log's last segment file is missing; put it back, or read the rest with read_only and recovery=salvage",
                file: .segment(header.segment), index: header.baseIndex, lastIndex: header.descriptor.end.endIndex &- 1)
        }
    }

    /// A log that was cut has the segment that it was cut in, as long as it has entries before the cut. Without it what is left would look like a
    /// log that ends earlier: nothing else names the last segment of a log that was not closed cleanly.
    private mutating func refuseLostCut() throws(LogError) {
        let cut = metadata.cut
        guard cut.id != 0, cut.id >= metadata.lowestSegment, cut.endIndex > max(metadata.firstIndex, 1) else { return }
        for i in 0..<live.count where live[i] == cut.id { return }
        lostEnd = max(lostEnd, cut.endIndex)
        if options.recovery == .salvage { return }
        throw LogError(
            .corrupt, "a segment file is missing; put it back, or read the rest with read_only and recovery=salvage",
            file: .segment(cut.id), index: cut.endIndex &- 1)
    }

    /// For salvage, of a segment that is the last one because those behind it are lost: whether the log was cut since it was begun, and not only in
    /// one of those. Its frames do not say then which entries were dropped.
    private func isEndLost(_ id: UInt64, _ head: SegmentHead) -> Bool {
        options.recovery == .salvage && metadata.cut.id > id && metadata.epoch &- head.begin.epoch > 1
    }

    /// Every live segment but the first must follow the one before it, and the first must follow none that should be live.
    /// Where ids follow each other that is so; the others are looked at.
    private mutating func findMissing() throws(LogError) {
        for i in 0..<live.count {
            let id = live[i]
            if i > 0 && live[i - 1] &+ 1 == id { continue }
            let begin: BeginPayload
            if let tail, tail.segment.id == id {
                begin = tail.segment.begin
            } else {
                let (file, head) = try opener.openHead(id)
                storage.close(file)
                begin = head.begin
            }
            let before = begin.predecessor
            let isWhole = i > 0 ? before.id == live[i - 1] : before.id < metadata.lowestSegment
            guard isWhole else {
                throw LogError(
                    .corrupt, "a segment file is missing; put it back, or read the rest with read_only and recovery=salvage",
                    file: .segment(before.id), index: before.endIndex &- 1)
            }
            if i == 0 { lowestBase = begin.baseIndex }
        }
    }

    private func openFile(_ id: UInt64) throws(LogError) -> FileHandle {
        do throws(LogError) {
            return try storage.open(.segment(id), options.readOnly ? .read : .write)
        } catch {
            throw error.located(in: .segment(id))
        }
    }

    /// A segment whose begin frame is bad counts for nothing, unless a frame in it declares a part of it durable.
    private mutating func refuseDurableFrames(_ id: UInt64, _ file: FileHandle, _ header: SegmentHeader) throws(LogError) {
        let nothing = BeginPayload(
            baseIndex: 1 << 40, epoch: 0, predecessor: .none, run: Run(relativeIndex: 0, term: 0, timeBase: 0),
            highestTime: .min, highestStamp: .min, durableIndex: 0, risingFrom: 1)
        let head = SegmentHead(header: header, begin: nothing, beginChecksum: 0, end: SegmentHeader.firstFrame)
        var scan = try SegmentScan(storage: storage, file: file, head: head, capacity: 0)
        scan.isBaseKnown = false
        let behind = try scan.look(behind: SegmentHeader.firstFrame)
        if behind.end > 0 {
            report.reason = behind.entries > 0 ? .reordered : .torn
            report.entriesCut += behind.entries
            report.bytesCut += behind.end - SegmentHeader.firstFrame
            report.cutSegment = id
            report.cutOffset = SegmentHeader.firstFrame
        }
        lostEntries &+= behind.entries
        // The real base index is not known, so a claim is one that reaches the stand-in for it, or the lowest index that was found.
        if behind.claim >= (metadata.format == .binary ? nothing.baseIndex : behind.lowestIndex) && options.recovery != .salvage {
            throw LogError(
                .corrupt, "the segment's first frame is damaged, and it had been durable", file: .segment(id),
                offset: SegmentHeader.firstFrame)
        }
        if behind.end > 0 && options.recovery == .strict {
            throw LogError(
                .torn,
                "the log ends in an unfinished write, and recovery=strict does not cut it; open it with recovery=torn_tail",
                file: .segment(id), offset: SegmentHeader.firstFrame)
        }
    }

    /// Where a segment ended when the log was closed cleanly with it as its last, if it was and nothing was written since.
    private func cleanEnd(_ id: UInt64, _ segment: SegmentHeader) throws(LogError) -> SegmentEnd? {
        guard let (side, header) = try SideFile.open(id, storage: storage) else { return nil }
        storage.close(side)
        let end = header.descriptor.end
        guard header.isClean, header.logID == metadata.logID, header.salt == segment.salt,
            header.epoch == metadata.epoch, end.endIndex >= header.baseIndex, metadata.cut.id != id || metadata.cut == end
        else { return nil }
        return end
    }

    /// Whether a frame follows where a side file says that the log was closed. Then it is an older close: a side file that was made in
    /// place of that one, and not synced, may hold those bytes again after a power cut.
    private func goesOn(_ file: FileHandle, _ head: SegmentHead, behind end: SegmentEnd) throws(LogError) -> Bool {
        // Where the end lies outside the file nothing follows it, and `openClean` refuses the table.
        guard metadata.cut.id != end.id, end.endOffset < (try storage.size(file)) else { return false }
        let prefix = try Memory(count: metadata.format.outlineSize)
        let got = try storage.read(file, at: end.endOffset, into: prefix.bytes)
        prefix.bytes.zero(got, prefix.bytes.count - got)
        return metadata.format.outline(
            prefix.bytes.bytes, salt: head.header.salt, offset: end.endOffset, baseIndex: head.begin.baseIndex) != nil
    }

    /// Takes the tail as its side file describes it. False if the table there does not verify.
    private mutating func openClean(_ end: SegmentEnd, _ id: UInt64, _ file: FileHandle, _ head: SegmentHead) throws(LogError)
        -> Bool
    {
        guard let (side, header) = try SideFile.open(id, storage: storage) else { return false }
        defer { storage.close(side) }
        let size = try storage.size(file)
        guard header.baseIndex == head.begin.baseIndex, end.endOffset <= size else { return false }
        var table = try OffsetTable(capacity: max(options.capacity, size))
        let isGood = try table.load(header.descriptor, entries: end.endIndex - header.baseIndex) {
            (offset, target) throws(LogError) in
            try storage.read(side, at: offset, into: target) == target.count
        }
        guard isGood else { return false }
        let runCount = table.runCount
        let point = ScanPoint(
            index: end.endIndex, offset: end.endOffset, digest: end.digest,
            run: TableRun.decode(table.runBytes, runCount - 1), runCount: runCount,
            highestTime: header.descriptor.highestTime, highestStamp: header.descriptor.highestStamp,
            risingFrom: TableRun.risingFrom(table.runBytes, upTo: runCount, head.begin))
        var isOpen = metadata.cut.id != id
        if isOpen { isOpen = try isZero(file, from: end.endOffset) }
        try keepTail(id, file, head, table, at: point, isOpen: isOpen, fileSize: size)
        durableIndex = end.endIndex &- 1
        isClean = true
        return true
    }

    private func isZero(_ file: FileHandle, from offset: UInt64) throws(LogError) -> Bool {
        let buffer = try Memory(count: FrameHeader.size)
        let got = try storage.read(file, at: offset, into: buffer.bytes)
        return buffer.bytes.bytes.slice(0, got).isZero
    }

    private mutating func keepTail(
        _ id: UInt64, _ file: FileHandle, _ head: SegmentHead, _ table: consuming OffsetTable, at point: ScanPoint,
        isOpen: Bool, fileSize: UInt64
    ) throws(LogError) {
        let lends = options.zeroCopy && !options.readOnly
        let mapping = lends ? try storage.map(file, length: max(options.capacity, fileSize)) : nil
        do throws(LogError) {
            let segment = try SegmentRef(
                SegmentState(
                    id: id, salt: head.header.salt, format: head.header.format, begin: head.begin, endIndex: point.index,
                    readableEnd: point.offset,
                    mapping: mapping, file: file, table: table))
            tail = RecoveredTail(segment: segment, file: file, end: point, isOpen: isOpen, fileSize: fileSize)
        } catch {
            mapping?.unmap()
            throw error
        }
    }

    // ---- Scanning

    /// Scans the tail and as many predecessors as are not proven durable. True if the tail's file was kept.
    /// `knownEnd`: where a cut or a clean close says that it ends.
    private mutating func scanTail(_ id: UInt64, _ file: FileHandle, _ head: SegmentHead, knownEnd: SegmentEnd?) throws(LogError)
        -> Bool
    {
        if isSuspect { storage.forgetCached(file) }
        var scan = try SegmentScan(storage: storage, file: file, head: head, capacity: options.capacity)
        scan.ridden = RiddenMetadata(after: metadata.metadataSequence)
        let stop = try scan.run(to: knownEnd?.endOffset)
        report.segmentsScanned += 1
        var isOpen = false
        // What was below the first index had been durable before that was recorded.
        var claim = max(scan.claim, claimOfDropped, max(metadata.firstIndex, 1) - 1)
        if let knownEnd {
            // Everything below it was durable before it was recorded.
            claim = max(claim, knownEnd.endIndex &- 1)
            if stop != .atLimit || scan.point.index != knownEnd.endIndex || scan.point.digest != knownEnd.digest {
                guard options.recovery == .salvage else { throw corruption(id, at: scan.point, upTo: knownEnd.endIndex &- 1) }
                try scan.skipGaps(to: knownEnd.endOffset)
            }
            scan.goBack(to: scan.point)
            try refuseLoss(id, scan.point, claim)
            if report.reason == .clean { report.reason = .complete }
        } else if try isSealed(scan.point.offset, file, head) {
            try refuseLoss(id, scan.point, claim)
            if report.reason == .clean { report.reason = .complete }
        } else {
            var behind = try scan.look(behind: scan.point.offset)
            // A writer beside this reader goes on: what it wrote between the two looks is no contradiction.
            while options.readOnly, max(claim, behind.claim) >= scan.point.index {
                let before = scan.point.offset
                scan.window.forget()
                _ = try scan.run(to: nil)
                if scan.point.offset == before { break }
                behind = try scan.look(behind: scan.point.offset)
            }
            claim = max(claim, scan.claim, behind.claim)
            try settleEnd(id, &scan, behind, claim)
            isOpen = !needsCut
        }
        report.bytesScanned += scan.window.bytesRead
        let fileSize = scan.window.fileSize
        let point = scan.point

        guard try provePredecessors(head.begin, &claim) else {
            report.entriesCut &+= point.index &- head.begin.baseIndex
            return false
        }
        durableIndex = min(claim, point.index - 1)
        if knownEnd == nil {
            // From the last proven entry on: control frames may follow it that are not proven.
            let from =
                durableIndex >= head.begin.baseIndex
                ? UInt64(
                    scan.table.blockBytes.u32(
                        TableBlock.position(of: UInt32(truncatingIfNeeded: durableIndex - head.begin.baseIndex)))) << 3
                : SegmentHeader.firstFrame
            try unproven.append(Unproven(id: id, from: from, to: point.offset))
        }
        if dropped.count > 0 && report.cutSegment != id {
            report.reason = .reordered
            noteCut(id, point)
            try refuseIfStrict(id, point)
        }
        swap(&ridden, &scan.ridden)
        if lacksRepeat(ridden, head.begin) {
            // Nothing may be appended to it: once its predecessor is dropped, it would be all there is.
            isOpen = false
            try takeRides(before: head.begin, of: id)
        }
        try keepTail(id, file, head, scan.table, at: point, isOpen: isOpen, fileSize: fileSize)
        return true
    }

    // ---- Metadata

    /// Whether a segment says that it begins by repeating metadata which the slots do not have, and that frame is torn.
    private func lacksRepeat(_ found: borrowing RiddenMetadata, _ begin: BeginPayload) -> Bool {
        begin.metadataSequence > metadata.metadataSequence && found.first != begin.metadataSequence
    }

    /// Looks for what a segment should repeat in those before it.
    private mutating func takeRides(before newest: BeginPayload, of tail: UInt64) throws(LogError) {
        var (begin, id) = (newest, tail)
        while true {
            let expected = begin.predecessor
            // Ids fall on the way back: one that does not would lead round in a circle.
            if expected.id == 0 || expected.id < metadata.lowestSegment || expected.id >= id {
                return try refuseLostRides(expected.id)
            }
            id = expected.id
            guard let (file, head) = try openRides(expected.id) else { return }
            defer { storage.close(file) }
            var scan = try SegmentScan(storage: storage, file: file, head: head, capacity: 0)
            scan.ridden = RiddenMetadata(after: metadata.metadataSequence)
            let stop = try scan.run(to: expected.endOffset)
            report.bytesScanned += scan.window.bytesRead
            if stop != .atLimit { try refuseLostRides(expected.id) }
            scan.goBack(to: scan.point)
            try scan.ridden.add(ridden)
            swap(&ridden, &scan.ridden)
            if !lacksRepeat(ridden, head.begin) { return }
            begin = head.begin
        }
    }

    /// nil: the segment is damaged or gone, and salvage goes on without what rode in it.
    private func openRides(_ id: UInt64) throws(LogError) -> (file: FileHandle, head: SegmentHead)? {
        do throws(LogError) {
            return try opener.openHead(id)
        } catch {
            guard error.code == .corrupt, options.recovery == .salvage else { throw error }
            return nil
        }
    }

    private func refuseLostRides(_ id: UInt64) throws(LogError) {
        if options.recovery == .salvage { return }
        throw LogError(
            .corrupt, "metadata that had been durable is damaged; read the rest with read_only and recovery=salvage",
            file: .segment(id))
    }

    /// Whether the segment has its footer: then it ended there, however little of the footer's table arrived.
    private func isSealed(_ offset: UInt64, _ file: FileHandle, _ head: SegmentHead) throws(LogError) -> Bool {
        guard metadata.format == .binary else { return false }
        let frame = try Memory(count: FrameHeader.size)
        guard try storage.read(file, at: offset, into: frame.bytes) == FrameHeader.size,
            let (header, _) = FrameHeader.decode(frame.bytes.bytes, salt: head.header.salt, offset: offset)
        else { return false }
        return header.type == FrameType.seal
    }

    /// A segment that ends as it should, but before what a dropped one declares durable.
    private func refuseLoss(_ id: UInt64, _ point: ScanPoint, _ claim: UInt64) throws(LogError) {
        if claim >= point.index && options.recovery != .salvage { throw corruption(id, at: point, upTo: claim) }
    }

    /// Decides what the first bad frame of the newest segment means, and goes back to where the log ends.
    private mutating func settleEnd(_ id: UInt64, _ scan: inout SegmentScan<S>, _ behind: FramesBehind, _ claim: UInt64)
        throws(LogError)
    {
        let tear = scan.point
        // What is declared durable of a batch declares all of it, so its unfinished end is no torn write.
        if claim >= scan.lastWhole.index {
            guard options.recovery == .salvage else { throw corruption(id, at: tear, upTo: claim) }
            try scan.skipGaps(to: nil)
            report.reason = .reordered
            needsCut = true
            return
        }
        let isBatchUnfinished = scan.isInsideBatch
        scan.goBack(to: scan.lastWhole)
        needsCut = behind.end > 0 || isBatchUnfinished || dropped.count > 0
        guard needsCut else {
            if report.reason == .clean { report.reason = .complete }
            return
        }
        report.reason = behind.entries > 0 || dropped.count > 0 ? .reordered : isBatchUnfinished ? .unfinishedBatch : .torn
        report.entriesCut &+= behind.entries &+ (tear.index &- scan.point.index)
        report.bytesCut &+= max(behind.end, tear.offset) - scan.point.offset
        noteCut(id, scan.point)
        try refuseIfStrict(id, scan.point)
    }

    private mutating func noteCut(_ id: UInt64, _ point: ScanPoint) {
        report.cutSegment = id
        report.cutIndex = point.index
        report.cutOffset = point.offset
    }

    private func refuseIfStrict(_ id: UInt64, _ point: ScanPoint) throws(LogError) {
        guard options.recovery == .strict else { return }
        throw LogError(
            .torn, "the log ends in an unfinished write, and recovery=strict does not cut it; open it with recovery=torn_tail",
            file: .segment(id), offset: point.offset, index: point.index)
    }

    private func corruption(_ id: UInt64, at point: ScanPoint, upTo last: UInt64) -> LogError {
        corruption(id, from: point.offset, index: point.index, upTo: last)
    }

    private func corruption(_ id: UInt64, from offset: UInt64, index: UInt64, upTo last: UInt64) -> LogError {
        LogError(
            .corrupt,
            "data that had been durable is damaged; open the log with read_only and recovery=salvage to read the rest",
            file: .segment(id), offset: offset, index: index, lastIndex: max(last, index))
    }

    /// Walks back over the segments that nothing declares durable. False if the log ends in one of them: those above it
    /// are dropped then, and it is the newest.
    private mutating func provePredecessors(_ newest: BeginPayload, _ claim: inout UInt64) throws(LogError) -> Bool {
        var begin = newest
        var position = live.count - 2
        while begin.predecessor.id != 0, begin.predecessor.id >= metadata.lowestSegment, claim < begin.baseIndex &- 1 {
            let expected = begin.predecessor
            guard position >= 0, live[position] == expected.id else {
                if options.recovery == .salvage { return true }
                throw LogError(
                    .corrupt, "a segment file is missing; put it back", file: .segment(expected.id), index: expected.endIndex)
            }
            let file = try openFile(expected.id)
            defer { storage.close(file) }
            if isSuspect { storage.forgetCached(file) }
            let head = try SegmentHead.read(
                file, id: expected.id, logID: metadata.logID, format: metadata.format, storage: storage
            ).head
            guard let head, try isWhole(file, head, expected, &claim) else {
                unproven.removeLast(unproven.count)
                needsCut = false
                claimOfDropped = max(claimOfDropped, claim)
                try dropSegments(above: expected.id)
                return false
            }
            if claim < expected.endIndex &- 1 {
                try insertUnproven(Unproven(id: expected.id, from: SegmentHeader.firstFrame, to: expected.endOffset))
            }
            begin = head.begin
            position -= 1
        }
        return true
    }

    /// Whether a segment holds all that its successor's begin frame says.
    private mutating func isWhole(_ file: FileHandle, _ head: SegmentHead, _ expected: SegmentEnd, _ claim: inout UInt64)
        throws(LogError) -> Bool
    {
        var scan = try SegmentScan(storage: storage, file: file, head: head, capacity: options.capacity)
        let stop = try scan.run(to: expected.endOffset)
        report.segmentsScanned += 1
        report.bytesScanned += scan.window.bytesRead
        claim = max(claim, scan.claim)
        return stop == .atLimit && scan.point.index == expected.endIndex && scan.point.digest == expected.digest
    }

    private mutating func insertUnproven(_ part: Unproven) throws(LogError) {
        try unproven.append(part)
        var i = unproven.count - 1
        while i > 0, unproven[i - 1].id > unproven[i].id {
            let later = unproven[i - 1]
            unproven[i - 1] = unproven[i]
            unproven[i] = later
            i -= 1
        }
    }

    private mutating func dropSegments(above id: UInt64) throws(LogError) {
        while let last = live.last, last > id {
            live.removeLast(1)
            try dropped.append(last)
        }
    }
}

extension Options {
    /// How large a segment's file may get before the log rotates: the header's block does not count.
    var capacity: UInt64 { segmentSize + SegmentHeader.firstFrame }
}
