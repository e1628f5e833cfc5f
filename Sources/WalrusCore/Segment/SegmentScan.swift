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
}

struct SegmentScan<S: Storage>: ~Copyable {
    let id: UInt64
    let salt: UInt32
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
    /// Watermarks say whole indexes, which mean nothing where the base index is not known.
    var believesWatermarks = true
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
        begin = head.begin
        self.window = window
        self.table = table
        claim = head.begin.durableIndex
        point = ScanPoint(
            index: head.begin.baseIndex, offset: SegmentHead.end, digest: digest, run: head.begin.run, runCount: 1,
            highestTime: head.begin.highestTime, highestStamp: head.begin.highestStamp, risingFrom: head.begin.risingFrom)
        lastWhole = point
    }

    /// Goes on where an earlier scan stopped.
    init(_ tail: FollowedTail, _ window: consuming FrameWindow<S>, _ table: consuming OffsetTable) {
        id = tail.segment.id
        salt = tail.segment.salt
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
            guard let (header, checksum) = try verifiedFrame(at: point.offset) else { return .badFrame(point.offset) }
            guard header.isKnown else {
                throw LogError(
                    .version, "the log has a record that only a newer version of libwalrus knows; use that one",
                    file: .segment(id), offset: point.offset, index: point.index)
            }
            guard header.type != FrameType.seal else { return .badFrame(point.offset) }
            guard UInt64(header.relativeIndex) == point.index &- begin.baseIndex, header.type != FrameType.begin else {
                return .badFrame(point.offset)
            }
            try take(header, checksum)
        }
    }

    /// The header of the frame at `offset`, if header and payload verify.
    fileprivate mutating func verifiedFrame(at offset: UInt64) throws(LogError) -> (FrameHeader, UInt32)? {
        guard offset &+ UInt64(FrameHeader.size) <= window.fileSize else { return nil }
        let head = try window.bytes(at: offset, FrameHeader.size)
        guard let (header, checksum) = FrameHeader.decode(head, salt: salt, offset: offset) else { return nil }
        let payload = offset &+ UInt64(FrameHeader.size)
        guard payload &+ UInt64(header.length) <= window.fileSize,
            try window.checksum(at: payload, Int(header.length)) == header.payloadChecksum
        else { return nil }
        if header.type == FrameType.metadata {
            guard let bytes = try metadataPayload(header, at: offset), MetadataRecords.decode(payload: bytes) != nil else {
                return nil
            }
        }
        return (header, checksum)
    }

    /// It lies within the file and is smaller than the window, so it is there in one piece.
    private mutating func metadataPayload(_ header: FrameHeader, at offset: UInt64) throws(LogError) -> Bytes? {
        let length = Int(header.length)
        guard length <= MetadataRecords.largestPayload else { return nil }
        let bytes = try window.bytes(at: offset &+ UInt64(FrameHeader.size), length)
        return bytes.count == length ? bytes : nil
    }

    private mutating func take(_ header: FrameHeader, _ checksum: UInt32) throws(LogError) {
        claim = max(claim, try declaredDurable(header, at: point.offset))
        switch header.type {
        case FrameType.entry:
            table.append(
                offset: point.offset, highestTime: point.highestTime, digest: point.digest, durableIndex: claim)
            point.index += 1
            let time = point.run.time(at: header.time)
            point.highestTime = max(point.highestTime, time)
            if !header.hasGivenTime { point.highestStamp = max(point.highestStamp, time) }
            isInsideBatch = header.continues
        case FrameType.run where Int(header.length) == Run.payloadSize:
            let payload = try window.bytes(at: point.offset &+ UInt64(FrameHeader.size), Run.payloadSize)
            let run = Run(payload: payload, relativeIndex: header.relativeIndex)
            if run.term < point.run.term { point.risingFrom = point.index }
            point.run = run
            point.runCount += 1
            table.append(point.run)
        case FrameType.metadata:
            // It belongs to the batch that follows, and is torn with it.
            if header.continues { isInsideBatch = true }
            if ridden.isWanted, let payload = try metadataPayload(header, at: point.offset) { try ridden.take(payload) }
        default: break
        }
        point.digest.add(checksum)
        point.offset &+= UInt64(header.frameSize)
        if !isInsideBatch {
            lastWhole = point
            ridden.keepPending()
        }
    }

    private mutating func declaredDurable(_ header: FrameHeader, at offset: UInt64) throws(LogError) -> UInt64 {
        let index = begin.baseIndex &+ UInt64(header.relativeIndex)
        switch header.type {
        case FrameType.watermark where header.length == 8 && believesWatermarks:
            return try window.bytes(at: offset &+ UInt64(FrameHeader.size), 8).u64(0)
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
            let places = part.count < FrameHeader.size ? 1 : (part.count - FrameHeader.size) / 8 + 1
            if part.isZero {
                at &+= UInt64(places * 8)
                continue
            }
            var candidates = 0
            for place in 0..<places {
                if part.u64(place * 8) == 0 { continue }
                found.end = max(found.end, at &+ UInt64(place * 8) &+ 8)
                guard part.count - place * 8 >= FrameHeader.size else { break }
                let head = part.slice(place * 8, FrameHeader.size)
                if FrameHeader((head.u64(0), head.u64(8), head.u64(16))).isKnown,
                    FrameHeader.decode(head, salt: salt, offset: at &+ UInt64(place * 8)) != nil
                {
                    candidates = place + 1
                    break
                }
            }
            if candidates > 0 {
                let place = at &+ UInt64((candidates - 1) * 8)
                at = place &+ 8
                if let (header, _) = try verifiedFrame(at: place) {
                    found.claim = max(found.claim, try declaredDurable(header, at: place))
                    if header.type == FrameType.entry { found.entries += 1 }
                    found.end = max(found.end, place &+ UInt64(header.frameSize))
                    at = place &+ UInt64(header.frameSize)
                }
            } else {
                at &+= UInt64(places * 8)
            }
        }
        return found
    }
}

extension SegmentScan where S: Storage {
    /// Goes on behind bad frames wherever good ones follow, for salvage: the entries between have no place in the table.
    mutating func skipGaps() throws(LogError) {
        while let (offset, header) = try nextEntry(from: point.offset) {
            while point.index < begin.baseIndex &+ UInt64(header.relativeIndex) {
                table.append(offset: 0, highestTime: point.highestTime, digest: point.digest, durableIndex: claim)
                point.index += 1
            }
            point.offset = offset
            if case .atLimit = try run(to: nil) { break }
        }
        goBack(to: point)
    }

    private mutating func nextEntry(from start: UInt64) throws(LogError) -> (UInt64, FrameHeader)? {
        var at = (start &+ 7) & ~7
        while let data = window.nextData(from: at) {
            at = max(at, data & ~7)
            if let (header, _) = try verifiedFrame(at: at), header.type == FrameType.entry,
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
