// TailWriter.swift - puts frames into the tail segment: through a buffer, or past it where they are large
//
// All of it happens under the writer's lock. Space is reserved before anything is put, so that what fails later is a disk
// that fails, not one that is full.

/// A segment that is about to be begun: its file, its space, and what readers will see of it.
struct NewSegment: BitwiseCopyable {
    var prepared: PreparedSegment
    var segment: SegmentRef
    var capacity: UInt64
}

struct TailWriter<S: Storage>: ~Copyable {
    let storage: S
    private let format: FrameFormat
    private let buffer: Memory
    /// For payloads of control frames.
    private let scratch: Memory
    /// For frames of other formats than binary that do not fit into the buffer; made before they are put.
    private var large: Memory?
    /// Bytes of entries that may wait in the buffer.
    private let bufferLimit: Int
    /// Where the buffer's first byte goes in the file.
    private var bufferStart: UInt64 = 0
    private var bufferCount = 0

    /// The tail, or nil if no segment is live. Its reference is the table's.
    private(set) var segment: SegmentRef?
    private(set) var file = FileHandle.none
    /// Whether frames may be put: not behind a cut, not behind a footer, not where something torn lies.
    private(set) var isOpen = false
    /// How far the buffer may be filled without anything else being done: into space that is reserved, in a segment that takes
    /// more. 0 in formats whose frames have to be spelled.
    private var room = 0
    /// Whether a write failed: what the file holds is no longer known.
    private(set) var hasFailed = false
    /// Whether the file got bytes since it was last synced.
    private(set) var isDirty = false
    /// Bytes handed to the system so far, whichever segment they went to.
    private(set) var written: UInt64 = 0
    /// Where the last sync of the file ends, or where it began.
    private var syncedOffset: UInt64 = 0
    private(set) var nextIndex: UInt64
    private(set) var digest = Digest()
    private(set) var run = Run(relativeIndex: 0, term: 0, timeBase: 0)
    private(set) var highestTime: Int64
    /// The highest time that the log gave itself: it never gives a lower one.
    private(set) var highestStamp: Int64
    /// Term of the last entry.
    private(set) var lastTerm: UInt64
    /// The terms of the entries from this one on never fall.
    private(set) var risingFrom: UInt64
    /// Up to here the segment may grow before the log rotates.
    private(set) var capacity: UInt64 = 0
    private var reservedEnd: UInt64 = 0
    private var clock = StampClock()
    private var reserveStep: UInt64
    /// The highest durable index that a frame of this segment declares.
    private var claimed: UInt64 = 0

    init(
        storage: S, format: FrameFormat, bufferSize: Int, reserveStep: UInt64, nextIndex: UInt64, highestStamp: Int64,
        lastTerm: UInt64
    ) throws(LogError) {
        // The padding of a sync goes through the buffer, too, and may be a little more than a block.
        let buffer = try Memory(count: max(bufferSize, 8192))
        let scratch = try Memory(count: BeginPayload.size)
        self.storage = storage
        self.format = format
        self.scratch = scratch
        self.buffer = buffer
        bufferLimit = bufferSize
        self.reserveStep = reserveStep
        self.nextIndex = nextIndex
        self.highestTime = .min
        self.highestStamp = highestStamp
        self.lastTerm = lastTerm
        risingFrom = nextIndex
    }

    var endOffset: UInt64 { bufferStart &+ UInt64(bufferCount) }
    var isBuffered: Bool { bufferCount > 0 }
    /// Bytes that no sync has covered yet.
    var putSinceSync: UInt64 { endOffset &- syncedOffset }
    var hasEntries: Bool { nextIndex > segment?.baseIndex ?? nextIndex }
    var end: SegmentEnd {
        guard let segment else { return .none }
        return SegmentEnd(id: segment.id, endIndex: nextIndex, endOffset: endOffset, digest: digest)
    }

    /// Goes on with a segment that is there. `reservedEnd`: how far its space is allocated.
    mutating func resume(
        _ segment: SegmentRef?, file: FileHandle, at point: ScanPoint, isOpen: Bool, capacity: UInt64, reservedEnd: UInt64
    ) {
        self.segment = segment
        self.file = file
        self.isOpen = isOpen
        self.capacity = capacity
        self.reservedEnd = reservedEnd
        bufferStart = point.offset
        syncedOffset = point.offset
        bufferCount = 0
        nextIndex = point.index
        digest = point.digest
        run = point.run
        highestTime = point.highestTime
        highestStamp = max(highestStamp, point.highestStamp)
        lastTerm = point.run.term
        risingFrom = point.risingFrom
        claimed = 0
        isDirty = false
        measureRoom()
    }

    /// Goes on with no segment: the next entry gets `nextIndex` and the first of a new one.
    mutating func clear(nextIndex: UInt64) {
        segment = nil
        file = .none
        isOpen = false
        bufferStart = 0
        syncedOffset = 0
        bufferCount = 0
        self.nextIndex = nextIndex
        risingFrom = nextIndex
        highestTime = .min
        isDirty = false
        measureRoom()
    }

    /// Nothing more is put into this segment.
    mutating func freeze() {
        isOpen = false
        measureRoom()
    }

    private mutating func measureRoom() {
        let end = min(reservedEnd, capacity)
        room = isOpen && format == .binary && end > bufferStart ? Int(min(UInt64(bufferLimit), end &- bufferStart)) : 0
    }

    /// Starts a new segment, whose begin frame is put. What was in the buffer is flushed, or is to be forgotten.
    mutating func begin(_ new: NewSegment) {
        let segment = new.segment
        self.segment = segment
        file = new.prepared.file
        capacity = new.capacity
        reservedEnd = new.prepared.reservedEnd
        isOpen = true
        isDirty = false
        bufferStart = SegmentHeader.firstFrame
        syncedOffset = bufferStart
        bufferCount = 0
        nextIndex = segment.begin.baseIndex
        digest = Digest()
        run = segment.begin.run
        highestTime = segment.begin.highestTime
        risingFrom = segment.begin.risingFrom
        claimed = segment.begin.durableIndex
        segment.begin.encode(to: scratch.bytes)
        putSmall(FrameType.begin, scratch.bytes.bytes, segment)
        measureRoom()
    }

    /// Makes sure that frames up to `end` find space. Nothing is in the log yet when this throws `.noSpace`.
    @inline(__always)
    mutating func reserve(to end: UInt64) throws(LogError) {
        if end > reservedEnd { try reserveMore(to: end) }
    }

    @inline(never)
    private mutating func reserveMore(to end: UInt64) throws(LogError) {
        let least = (end &+ 4095) & ~4095
        let wanted = max(least, min(reservedEnd &+ reserveStep, capacity))
        do throws(LogError) {
            try claim(to: wanted)
            reservedEnd = wanted
        } catch {
            guard error.code == .noSpace, wanted > least else { throw error }
            try claim(to: least)
            reservedEnd = least
        }
        reserveStep = min(reserveStep &* 2, 16 << 20)
        measureRoom()
    }

    private func claim(to end: UInt64) throws(LogError) {
        do throws(LogError) {
            try storage.claim(file, from: reservedEnd, to: end)
        } catch { throw located(error) }
    }

    private func located(_ error: LogError) -> LogError {
        guard let segment else { return error }
        return error.located(in: .segment(segment.id))
    }

    // ---- Frames

    /// Puts records as one batch, if they ask for nothing but the next indexes, the term of the last entry and the time now, fit into
    /// the buffer and need no control frame, and returns the bytes of their payloads. nil: nothing was put, and whoever wants
    /// to know why goes the long way.
    @inline(__always)
    mutating func putPlain<R: Records>(_ records: R, largest: Int, durableIndex: UInt64) -> UInt64? {
        var end = bufferCount
        var i = 0
        repeat {
            guard let payload = records.plain(i, term: lastTerm), payload.count <= largest else { return nil }
            end &+= FrameHeader.frameSize(payload.count)
            if end > room { return nil }
            i &+= 1
        } while i < records.count
        guard let segment, lastTerm == run.term else { return nil }
        let last = nextIndex &+ UInt64(truncatingIfNeeded: i &- 1)
        if last >= .max - 1 { return nil }
        if last &- durableIndex > 255 && (durableIndex > claimed || (nextIndex &- 1) >> 10 != last >> 10) { return nil }
        let stamp = stamp()
        let time = run.distance(of: stamp)
        if time >= FrameHeader.timeRange { return nil }
        var bytes: UInt64 = 0
        i = 0
        repeat {
            guard let payload = records.plain(i, term: lastTerm) else { break }
            let distance = nextIndex &- durableIndex
            i &+= 1
            putFitting(
                payload, segment, i < records.count ? FrameHeader.continuesFlag : 0,
                distance: distance > 255 ? 0 : UInt8(truncatingIfNeeded: distance), time: time, durableIndex: durableIndex)
            if stamp > highestTime { highestTime = stamp }
            bytes &+= UInt64(payload.count)
            nextIndex &+= 1
        } while i < records.count
        return bytes
    }

    /// Puts an entry's frame into the buffer, which has room for it.
    @inline(__always)
    private mutating func putFitting(
        _ payload: Bytes, _ segment: SegmentRef, _ flags: UInt8, distance: UInt8, time: UInt64, durableIndex: UInt64
    ) {
        let size = FrameHeader.frameSize(payload.count)
        let offset = endOffset
        // The last eight bytes hold the padding; what of the payload lies there is put over it.
        buffer.bytes.store64(UInt64(0), bufferCount &+ size &- 8)
        segment.appendOffset(offset, highestTime: highestTime, digest: digest, durableIndex: durableIndex)
        let header = FrameHeader(
            type: FrameType.entry, flags: flags,
            payloadChecksum: buffer.bytes.copyChecksummed(payload, to: bufferCount &+ FrameHeader.size),
            length: UInt32(truncatingIfNeeded: payload.count), relativeIndex: relativeIndex, durableDistance: distance, time: time
        )
        digest.add(header.encode(to: buffer.bytes, at: bufferCount, salt: segment.salt, offset: offset))
        bufferCount &+= size
    }

    /// Puts all records as one batch and returns the bytes of their payloads. Space was reserved for them.
    @inline(__always)
    mutating func put<R: Records>(all records: R, durableIndex: UInt64) throws(LogError) -> UInt64 {
        var bytes: UInt64 = 0
        for i in 0..<records.count {
            let record = try records.record(i)
            bytes &+= UInt64(record.payload.count)
            try put(record, continues: i &+ 1 < records.count, durableIndex: durableIndex)
        }
        return bytes
    }

    /// Goes on counting where another one stopped.
    mutating func count(from other: borrowing TailWriter<S>) { written &+= other.written }

    /// Puts one entry. It is not visible before `publish`.
    @inline(__always)
    private mutating func put(_ record: Record, continues: Bool, durableIndex: UInt64) throws(LogError) {
        let given = record.time
        let term = record.term ?? lastTerm
        let time = given ?? stamp()
        guard let segment else { throw LogError(.internal, "an entry without a segment") }
        if term != run.term || run.distance(of: time) >= FrameHeader.timeRange {
            try putRun(Run(relativeIndex: relativeIndex, term: term, around: time))
        }
        var distance = nextIndex &- durableIndex
        if distance > 255 {
            // Too far to be told by the frame itself: a watermark says it, once for each sync and now and then.
            if durableIndex > claimed || nextIndex & 1023 == 0 { try putWatermark(durableIndex) }
            distance = 0
        }
        var flags = (continues ? FrameHeader.continuesFlag : 0) | (given == nil ? 0 : FrameHeader.givenTimeFlag)
        if record.deflated.count > 0 { flags |= 1 << FrameHeader.codecShift }
        if format == .binary {
            try putBinary(record, segment, flags, distance: distance, time: time, durableIndex: durableIndex)
        } else {
            try putSpelled(record, segment, flags, distance: distance, term: term, time: time, durableIndex: durableIndex)
        }
        if time > highestTime { highestTime = time }
        lastTerm = term
        nextIndex &+= 1
    }

    @inline(__always)
    private mutating func putBinary(
        _ record: Record, _ segment: SegmentRef, _ flags: UInt8, distance: UInt64, time: Int64, durableIndex: UInt64
    ) throws(LogError) {
        let payload = record.stored(.binary)
        let size = FrameHeader.frameSize(payload.count)
        if bufferCount &+ size > bufferLimit { try flush() }
        let time = run.distance(of: time)
        if size <= bufferLimit {
            putFitting(
                payload, segment, flags, distance: UInt8(truncatingIfNeeded: distance), time: time, durableIndex: durableIndex)
            return
        }
        let offset = endOffset
        segment.appendOffset(offset, highestTime: highestTime, digest: digest, durableIndex: durableIndex)
        let header = FrameHeader(
            type: FrameType.entry, flags: flags, payloadChecksum: payload.checksum(),
            length: UInt32(truncatingIfNeeded: payload.count), relativeIndex: relativeIndex,
            durableDistance: UInt8(truncatingIfNeeded: distance), time: time)
        digest.add(header.encode(to: buffer.bytes, at: 0, salt: segment.salt, offset: offset))
        try writePast(payload, size)
    }

    /// The same in a format in which the bytes on disk depend on what they say.
    @inline(never)
    private mutating func putSpelled(
        _ record: Record, _ segment: SegmentRef, _ flags: UInt8, distance: UInt64, term: UInt64, time: Int64, durableIndex: UInt64
    ) throws(LogError) {
        let payload = record.stored(format)
        let header = FrameHeader(
            type: FrameType.entry, flags: flags, length: UInt32(truncatingIfNeeded: payload.count), index: nextIndex,
            term: term, timestamp: time, durableDistance: UInt8(truncatingIfNeeded: distance),
            size: UInt32(truncatingIfNeeded: record.payload.count),
            checksum: record.deflated.count > 0 ? record.deflated.u32(4) : payload.checksum())
        let measure = format.measure(header, payload)
        if bufferCount + measure.frameSize > bufferLimit { try flush() }
        segment.appendOffset(endOffset, highestTime: highestTime, digest: digest, durableIndex: durableIndex)
        try putFrame(header, payload, measure, segment)
    }

    /// Writes a frame into the buffer, or past it if it is too large for that.
    private mutating func putFrame(_ header: FrameHeader, _ payload: Bytes, _ measure: FrameMeasure, _ segment: SegmentRef)
        throws(LogError)
    {
        if bufferCount + measure.frameSize > buffer.bytes.count { try flush() }
        if measure.frameSize <= buffer.bytes.count {
            digest.add(
                format.encode(
                    header, payload, measure, to: buffer.bytes, at: bufferCount, salt: segment.salt, offset: endOffset))
            bufferCount += measure.frameSize
            return
        }
        try makeRoom(forFrame: measure.frameSize)
        guard let target = large?.bytes else { throw LogError(.internal, "a frame without memory") }
        digest.add(format.encode(header, payload, measure, to: target, at: 0, salt: segment.salt, offset: endOffset))
        isDirty = true
        do throws(LogError) {
            try storage.write(file, at: bufferStart, target.bytes.slice(0, measure.frameSize), .empty)
        } catch {
            hasFailed = true
            throw located(error)
        }
        written &+= UInt64(measure.frameSize)
        bufferStart &+= UInt64(measure.frameSize)
        measureRoom()
        segment.publish(readableEnd: bufferStart)
    }

    /// Sees to memory for a frame of so many bytes before anything of its batch is put.
    mutating func makeRoom(forFrame size: Int) throws(LogError) {
        if size > buffer.bytes.count && size > large?.bytes.count ?? 0 { large = try Memory(count: size) }
    }

    /// Gives back what a frame needed that is seldom so large.
    mutating func giveRoomBack() { if large != nil { large = nil } }

    /// The time now, but never less than a stamp that was given before.
    @inline(__always)
    mutating func stamp() -> Int64 {
        let now = storage.realtime(&clock)
        if now > highestStamp { highestStamp = now }
        return highestStamp
    }

    @inline(__always)
    private var relativeIndex: UInt32 { UInt32(truncatingIfNeeded: nextIndex &- (segment?.baseIndex ?? nextIndex)) }

    /// Writes the header, which stands alone in the buffer, and a payload that would not fit behind it.
    private mutating func writePast(_ payload: Bytes, _ size: Int) throws(LogError) {
        isDirty = true
        do throws(LogError) {
            try storage.write(file, at: bufferStart, buffer.bytes.bytes.slice(0, FrameHeader.size), payload)
        } catch {
            hasFailed = true
            throw located(error)
        }
        written &+= UInt64(FrameHeader.size &+ payload.count)
        // The padding is zeros, which the reserved space holds already.
        bufferStart &+= UInt64(size)
        measureRoom()
        segment?.publish(readableEnd: bufferStart)
    }

    private mutating func putControl(_ type: UInt8, _ payload: Bytes, flags: UInt8 = 0) throws(LogError) {
        guard let segment else { throw LogError(.internal, "a frame without a segment") }
        if format != .binary {
            let header = header(type, flags, payload)
            return try putFrame(header, payload, format.measure(header, payload), segment)
        }
        let size = FrameHeader.frameSize(payload.count)
        if bufferCount + size > buffer.bytes.count { try flush() }
        if size > buffer.bytes.count {
            let header = header(type, flags, payload)
            digest.add(header.encode(to: buffer.bytes, at: 0, salt: segment.salt, offset: endOffset))
            return try writePast(payload, size)
        }
        putSmall(type, payload, segment, flags: flags)
    }

    /// Puts a control frame for which there is room in the buffer.
    private mutating func putSmall(_ type: UInt8, _ payload: Bytes, _ segment: SegmentRef, flags: UInt8 = 0) {
        let header = header(type, flags, payload)
        let measure = format.measure(header, payload)
        digest.add(
            format.encode(
                header, payload, measure, to: buffer.bytes, at: bufferCount, salt: segment.salt, offset: endOffset))
        bufferCount += measure.frameSize
    }

    private func header(_ type: UInt8, _ flags: UInt8, _ payload: Bytes) -> FrameHeader {
        var header = FrameHeader(
            type: type, flags: flags, payloadChecksum: payload.checksum(), length: UInt32(payload.count),
            relativeIndex: relativeIndex)
        header.index = nextIndex
        return header
    }

    @inline(never)
    private mutating func putRun(_ run: Run) throws(LogError) {
        let payload = scratch.bytes.slice(0, Run.payloadSize)
        run.encodePayload(to: payload)
        try putControl(FrameType.run, payload.bytes)
        if run.term < self.run.term { risingFrom = nextIndex }
        self.run = run
        segment?.appendRun(run)
    }

    @inline(never)
    private mutating func putWatermark(_ durableIndex: UInt64) throws(LogError) {
        let payload = scratch.bytes.slice(0, 8)
        payload.store64(durableIndex, 0)
        try putControl(FrameType.watermark, payload.bytes)
        claimed = durableIndex
    }

    /// Puts a metadata frame. `continues`: it is to count only with the batch that is put next.
    @inline(never)
    mutating func putMetadata(_ payload: Bytes, continues: Bool) throws(LogError) {
        try putControl(FrameType.metadata, payload, flags: continues ? FrameHeader.continuesFlag : 0)
    }

    /// Fills up to a multiple of `block`, so that the sync which follows leaves no block to be written again.
    mutating func pad(to block: UInt64) throws(LogError) {
        guard isOpen, bufferCount > 0 || isDirty else { return }
        var gap = (block - endOffset % block) % block
        if gap == 0 { return }
        if format.paddingLength(filling: Int(gap), index: nextIndex) == nil { gap += block }
        guard let length = format.paddingLength(filling: Int(gap), index: nextIndex) else {
            throw LogError(.internal, "there is no padding of this size")
        }
        try reserve(to: endOffset + gap)
        let zeros = try Memory(count: length)
        zeros.bytes.zero(0, zeros.bytes.count)
        try putControl(FrameType.padding, zeros.bytes.bytes)
    }

    /// Shows readers everything that was put.
    @inline(__always)
    func publish() { segment?.publish(endIndex: nextIndex) }

    // ---- Bytes

    /// Hands the buffer to the operating system.
    mutating func flush() throws(LogError) {
        guard bufferCount > 0 else { return }
        isDirty = true
        do throws(LogError) {
            try storage.write(file, at: bufferStart, buffer.bytes.bytes.slice(0, bufferCount), .empty)
        } catch {
            hasFailed = true
            throw located(error)
        }
        written &+= UInt64(bufferCount)
        bufferStart &+= UInt64(bufferCount)
        bufferCount = 0
        measureRoom()
        segment?.publish(readableEnd: bufferStart)
    }

    /// The leader has flushed the buffer and is about to sync the file.
    mutating func takeDirty() -> Bool {
        defer { isDirty = false }
        syncedOffset = bufferStart
        return isDirty
    }

    /// Makes everything durable that was put, for a caller besides whom nobody syncs this file.
    mutating func sync(padding block: UInt64) throws(LogError) {
        if block > 0 { try pad(to: block) }
        try flush()
        guard takeDirty() else { return }
        do throws(LogError) {
            try storage.sync(file)
        } catch {
            hasFailed = true
            throw located(error)
        }
    }

    /// Bytes that are still in the buffer, or nil if the file has them.
    func buffered(at offset: UInt64, _ count: Int) -> Bytes? {
        guard offset >= bufferStart, offset &+ UInt64(count) <= endOffset else { return nil }
        return buffer.bytes.bytes.slice(Int(offset - bufferStart), count)
    }

    /// Bytes that are still in the buffer, at most `count`; none if the file has them.
    func buffered(at offset: UInt64, atMost count: Int) -> Bytes {
        guard offset >= bufferStart, offset < endOffset else { return .empty }
        return buffer.bytes.bytes.slice(Int(offset - bufferStart), min(count, Int(endOffset - offset)))
    }

    /// Writes the footer behind the last frame. Where that fails, the table stays what can be made again from the frames.
    mutating func seal() throws(LogError) {
        guard let segment else { return }
        let frame = try Memory(count: FrameHeader.frameSize(TableDescriptor.size))
        let end = self.end
        let size = try segment.withTable { (table) throws(LogError) -> Int in
            let descriptor = table.finish(
                end: end, highestTime: highestTime, highestStamp: highestStamp,
                tableOffset: end.endOffset + UInt64(frame.bytes.count))
            let fileEnd = descriptor.tableOffset + UInt64(descriptor.blocksSize + descriptor.runsSize)
            guard storage.mayGrow(to: fileEnd) else { return 0 }
            descriptor.encode(to: frame.bytes.slice(FrameHeader.size, TableDescriptor.size))
            let payload = frame.bytes.bytes.slice(FrameHeader.size, TableDescriptor.size)
            _ = FrameHeader(
                type: FrameType.seal, payloadChecksum: payload.checksum(), length: UInt32(payload.count),
                relativeIndex: relativeIndex
            ).encode(to: frame.bytes, at: 0, salt: segment.salt, offset: end.endOffset)
            try storage.write(
                file, at: end.endOffset, frame.bytes.bytes, table.blockBytes.slice(0, descriptor.blocksSize))
            try storage.write(
                file, at: descriptor.tableOffset + UInt64(descriptor.blocksSize),
                table.runBytes.slice(0, descriptor.runsSize), .empty)
            // A segment that ends early gives back what was reserved for it.
            if reservedEnd > fileEnd { try storage.truncate(file, to: fileEnd) }
            return frame.bytes.count + descriptor.blocksSize + descriptor.runsSize
        }
        written &+= UInt64(size)
    }
}
