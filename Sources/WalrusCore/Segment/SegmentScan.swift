// SegmentScan.swift - reads the frames of one segment in order, verifying each
//
// It knows what a good frame is and where the good ones end, and makes the offset table on the way. What the end means
// (a torn write, corruption, the logical end of a sealed segment) is decided in Recovery.

/// A place between two entries at which the log could end.
struct ScanPoint {
    var index: UInt64
    var offset: UInt64
    var digest: Digest
    var run: Run
    var runCount: Int
    var highestTime: Int64
    /// The highest time that the log gave itself.
    var highestStamp: Int64
    /// The terms of the entries from this one on never fall.
    var risingFrom: UInt64
}

enum ScanStop: Equatable {
    /// Everything up to the limit is good.
    case atLimit
    /// The frame at this offset is not.
    case badFrame(UInt64)
}

/// What stands behind a bad frame.
struct FramesBehind {
    /// Entries in frames that verify.
    var entries: UInt64 = 0
    /// The highest index that one of them declares durable.
    var claim: UInt64 = 0
    /// One above the last byte that is not zero, or 0.
    var end: UInt64 = 0
    /// The lowest index of an entry, where the format tells it.
    var lowestIndex = UInt64.max
}

struct SegmentScan<S: Storage>: ~Copyable {
    let id: UInt64
    let salt: UInt32
    let format: FrameFormat
    let begin: BeginPayload
    var window: FrameWindow<S>
    var table: OffsetTable
    /// The highest index that a frame up to here declares durable.
    fileprivate(set) var claim: UInt64
    /// Behind the last frame that was read.
    fileprivate(set) var point: ScanPoint
    /// Behind the last entry that ends a batch or stands alone.
    private(set) var lastWhole: ScanPoint
    private(set) var isInsideBatch = false
    /// Where it is not, relative indexes mean nothing to formats that tell whole ones, and watermarks nothing to the one that does not.
    var isBaseKnown = true
    /// For payloads that do not stand in the file as they are.
    private var scratch: Memory?
    /// What metadata frames say, as far as it counts at `lastWhole`.
    var ridden = RiddenMetadata(after: .max)

    /// Starts behind the begin frame, which the caller has read already.
    init(storage: S, file: FileHandle, head: SegmentHead, capacity: UInt64) throws(LogError) {
        let window = try FrameWindow(storage: storage, file: file)
        var table = try OffsetTable(capacity: max(capacity, window.fileSize))
        table.append(head.begin.run)
        var digest = Digest()
        digest.add(head.beginChecksum)
        id = head.header.id
        salt = head.header.salt
        format = head.header.format
        begin = head.begin
        self.window = window
        self.table = table
        claim = head.begin.durableIndex
        point = ScanPoint(
            index: head.begin.baseIndex, offset: head.end, digest: digest, run: head.begin.run, runCount: 1,
            highestTime: head.begin.highestTime, highestStamp: head.begin.highestStamp, risingFrom: head.begin.risingFrom)
        lastWhole = point
    }

    /// Goes on where an earlier scan stopped.
    init(_ tail: FollowedTail, _ window: consuming FrameWindow<S>, _ table: consuming OffsetTable) {
        id = tail.segment.id
        salt = tail.segment.salt
        format = tail.segment.format
        begin = tail.segment.begin
        self.window = window
        self.table = table
        claim = tail.claim
        point = tail.point
        lastWhole = tail.lastWhole
        isInsideBatch = tail.isInsideBatch
    }

    /// Reads on to `limit`, or to the first bad frame if there is none.
    ///
    /// - Throws: `.io`; `.version` for a frame of a kind that only a newer library knows.
    mutating func run(to limit: UInt64?) throws(LogError) -> ScanStop {
        while true {
            if let limit, point.offset >= limit {
                return point.offset == limit ? .atLimit : .badFrame(point.offset)
            }
            guard let frame = try verifiedFrame(at: point.offset) else { return .badFrame(point.offset) }
            let header = frame.header
            guard header.isKnown else {
                throw LogError(
                    .version, "the log has a record that only a newer version of libwalrus knows; use that one",
                    file: .segment(id), offset: point.offset, index: point.index)
            }
            guard header.type != FrameType.seal else { return .badFrame(point.offset) }
            guard UInt64(header.relativeIndex) == point.index &- begin.baseIndex, header.type != FrameType.begin else {
                return .badFrame(point.offset)
            }
            try take(frame)
        }
    }

    /// The frame at `offset`, if it verifies.
    fileprivate mutating func verifiedFrame(at offset: UInt64) throws(LogError) -> FrameOutline? {
        guard offset < window.fileSize else { return nil }
        let prefix = try window.bytes(at: offset, format.outlineSize)
        guard let frame = format.outline(prefix, salt: salt, offset: offset, baseIndex: isBaseKnown ? begin.baseIndex : nil),
            offset &+ UInt64(frame.coverTo) <= window.fileSize,
            try window.checksum(
                at: offset &+ UInt64(frame.coverFrom), frame.coverTo - frame.coverFrom, from: frame.coverSeed)
                == frame.coverChecksum
        else { return nil }
        // What a control frame says has to make sense, too.
        if frame.header.type == FrameType.metadata {
            guard let payload = try payload(frame, at: offset), MetadataRecords.decode(payload: payload) != nil else {
                return nil
            }
        }
        return frame
    }

    /// The payload of a control frame that verifies, or nil if it is none that a writer writes. It lives until the next call.
    private mutating func payload(_ frame: FrameOutline, at offset: UInt64) throws(LogError) -> Bytes? {
        let most = 3 * MetadataRecords.largestPayload
        guard frame.bodyCount <= most, Int(frame.header.length) <= most else { return nil }
        if scratch == nil { scratch = try Memory(count: 2 * most) }
        guard let room = scratch?.bytes else { return nil }
        let stored = room.slice(0, frame.bodyCount)
        guard try window.read(at: offset &+ UInt64(frame.bodyAt), into: stored) else { return nil }
        if frame.coding == .raw { return stored.bytes }
        let target = room.slice(most, most)
        guard let length = format.decodeBody(frame, stored.bytes, to: target) else { return nil }
        return target.bytes.slice(0, length)
    }

    private mutating func take(_ frame: FrameOutline) throws(LogError) {
        let header = frame.header
        claim = max(claim, try declaredDurable(frame, at: point.offset))
        switch header.type {
        case FrameType.entry:
            table.append(
                offset: point.offset, highestTime: point.highestTime, digest: point.digest, durableIndex: claim)
            point.index += 1
            let time = header.time(in: point.run, format)
            point.highestTime = max(point.highestTime, time)
            if !header.hasGivenTime { point.highestStamp = max(point.highestStamp, time) }
            isInsideBatch = header.continues
        case FrameType.run where Int(header.length) == Run.payloadSize:
            guard let payload = try payload(frame, at: point.offset) else { break }
            let run = Run(payload: payload, relativeIndex: header.relativeIndex)
            if run.term < point.run.term { point.risingFrom = point.index }
            point.run = run
            point.runCount += 1
            table.append(point.run)
        case FrameType.metadata:
            // It belongs to the batch that follows, and is torn with it.
            if header.continues { isInsideBatch = true }
            if ridden.isWanted, let payload = try payload(frame, at: point.offset) { try ridden.take(payload) }
        default: break
        }
        point.digest.add(frame.checksum)
        point.offset &+= UInt64(frame.frameSize)
        if !isInsideBatch {
            lastWhole = point
            ridden.keepPending()
        }
    }

    private mutating func declaredDurable(_ frame: FrameOutline, at offset: UInt64) throws(LogError) -> UInt64 {
        let header = frame.header
        let index = format == .binary ? begin.baseIndex &+ UInt64(header.relativeIndex) : header.index
        switch header.type {
        case FrameType.watermark where header.length == 8 && (isBaseKnown || format != .binary):
            return try payload(frame, at: offset)?.u64(0) ?? 0
        case FrameType.begin, FrameType.seal, FrameType.watermark: return 0
        default:
            let distance = UInt64(header.durableDistance)
            return distance > 0 && distance <= index ? index - distance : 0
        }
    }

    /// Goes back to a place where the log may end.
    mutating func goBack(to place: ScanPoint) {
        table.shrink(toCount: place.index - begin.baseIndex, runCount: place.runCount)
        if place.offset == point.offset { ridden.keepPending() } else { ridden.dropPending() }
        point = place
        lastWhole = place
        isInsideBatch = false
    }

    /// Looks at everything behind `offset`, at each place where a frame could begin.
    mutating func look(behind offset: UInt64) throws(LogError) -> FramesBehind {
        var found = FramesBehind()
        var at = (offset &+ 7) & ~7
        while let data = window.nextData(from: at) {
            at = max(at, data & ~7)
            let part = try window.bytes(at: at, 64 << 10)
            if part.count < 8 {
                if !part.isZero { found.end = at &+ UInt64(part.count) }
                break
            }
            // Of this part all places with a whole header are looked at; the rest comes with the next one.
            let places = part.count < format.outlineSize ? 1 : (part.count - format.outlineSize) / 8 + 1
            if part.isZero {
                at &+= UInt64(places * 8)
                continue
            }
            var candidates = 0
            for place in 0..<places {
                let word = part.u64(place * 8)
                if word == 0 { continue }
                found.end = max(found.end, at &+ UInt64(place * 8) &+ 8)
                guard format.mayBegin(word) else { continue }
                let prefix = part.slice(place * 8, min(format.outlineSize, part.count - place * 8))
                if let frame = format.outline(
                    prefix, salt: salt, offset: at &+ UInt64(place * 8), baseIndex: isBaseKnown ? begin.baseIndex : nil),
                    frame.header.isKnown
                {
                    candidates = place + 1
                    break
                }
            }
            if candidates > 0 {
                let place = at &+ UInt64((candidates - 1) * 8)
                at = place &+ 8
                if let frame = try verifiedFrame(at: place) {
                    found.claim = max(found.claim, try declaredDurable(frame, at: place))
                    if frame.header.type == FrameType.entry {
                        found.entries += 1
                        found.lowestIndex = min(found.lowestIndex, frame.header.index)
                    }
                    found.end = max(found.end, place &+ UInt64(frame.frameSize))
                    at = place &+ UInt64(frame.frameSize)
                }
            } else {
                at &+= UInt64(places * 8)
            }
        }
        return found
    }
}

extension SegmentScan where S: Storage {
    /// Goes on behind bad frames wherever good ones follow, for salvage: the entries between have no place in the table. `end`: where the log was
    /// cut, if that is known; what looks good behind it was dropped.
    mutating func skipGaps(to end: UInt64?) throws(LogError) {
        while let (offset, header) = try nextFrame(from: point.offset), offset < end ?? .max {
            while point.index < begin.baseIndex &+ UInt64(header.relativeIndex) {
                table.append(offset: 0, highestTime: point.highestTime, digest: point.digest, durableIndex: claim)
                point.index += 1
            }
            point.offset = offset
            if case .atLimit = try run(to: end) { break }
        }
        goBack(to: point)
    }

    /// The next entry, or the run that says what the entries behind it have for a term and a time.
    private mutating func nextFrame(from start: UInt64) throws(LogError) -> (UInt64, FrameHeader)? {
        var at = (start &+ 7) & ~7
        while let data = window.nextData(from: at) {
            at = max(at, data & ~7)
            if let header = try verifiedFrame(at: at)?.header,
                header.type == FrameType.entry || header.type == FrameType.run,
                begin.baseIndex &+ UInt64(header.relativeIndex) >= point.index,
                UInt64(header.relativeIndex) <= window.fileSize / UInt64(FrameHeader.size)
            {
                return (at, header)
            }
            at &+= 8
        }
        return nil
    }
}
