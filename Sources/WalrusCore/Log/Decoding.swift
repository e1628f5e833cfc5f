// Decoding.swift - entries that do not stand in the file as they are: compressed ones, and those of formats that people can read

import CWalrusPlatform

extension Log {
    /// An entry that was compressed, from its payload as it is stored in binary frames: size, CRC-32, zlib stream.
    @inline(never)
    func inflated(_ segment: SegmentRef, _ relative: UInt32, _ offset: UInt64, _ header: FrameHeader, _ stored: Bytes)
        throws(LogError) -> Entry
    {
        let index = segment.baseIndex &+ UInt64(relative)
        guard stored.count > Compression.prefixSize else { throw damaged(segment, offset, index) }
        let stream = stored.slice(Compression.prefixSize, stored.count - Compression.prefixSize)
        return try inflated(segment, relative, offset, header, stream, size: stored.u32(0), checksum: stored.u32(4))
    }

    private func inflated(
        _ segment: SegmentRef, _ relative: UInt32, _ offset: UInt64, _ header: FrameHeader, _ stream: Bytes, size: UInt32,
        checksum: UInt32
    ) throws(LogError) -> Entry {
        let index = segment.baseIndex &+ UInt64(relative)
        // Nothing is allocated, and no stream is followed, beyond what an entry may have and the stream can hold.
        guard Int(size) <= min(FrameHeader.largestLength, Compression.mostInflated(stream.count)) else {
            throw damaged(segment, offset, index)
        }
        let (owner, buffer) = try EntryOwner.buffer(count: Int(size))
        do throws(LogError) {
            guard try Compression.inflate(stream, to: buffer), !options.verifyReads || buffer.bytes.checksum() == checksum
            else { throw damaged(segment, offset, index) }
        } catch {
            owner.release()
            throw error
        }
        let run = segment.run(of: relative)
        return Entry(
            index: index, term: run.term, time: header.time(in: run, format), payload: buffer.bytes, checksum: checksum,
            owner: owner)
    }

    // ---- Formats other than binary

    /// Reads an entry of a format in which it has to be looked for in its frame. Takes over the segment's reference.
    @inline(never)
    func readSpelled(_ segment: SegmentRef, _ relative: UInt32, _ offset: UInt64) throws(LogError) -> Entry {
        if offset >= segment.readableEnd, let frame = try frameInBuffer(segment, offset) {
            return try releasing(segment) { () throws(LogError) in
                try decode(frame.bytes.bytes, segment, relative, offset, mayLend: false)
            }
        }
        if let mapping = segment.mapping {
            let end = min(segment.readableEnd, UInt64(mapping.bytes.count))
            guard offset < end else { throw damaged(segment, offset, segment.baseIndex &+ UInt64(relative)) }
            let entry = try decode(
                mapping.bytes.slice(Int(offset), Int(end - offset)), segment, relative, offset, mayLend: true)
            // A view keeps the segment; a copy does not.
            if !entry.owner.isSegment { storage.close(segment.release()) }
            return entry
        }
        let frame = try frameInFile(segment, relative, offset)
        return try releasing(segment) { () throws(LogError) in
            try decode(frame.bytes.bytes, segment, relative, offset, mayLend: false)
        }
    }

    private func releasing(_ segment: SegmentRef, _ body: () throws(LogError) -> Entry) throws(LogError) -> Entry {
        let entry = try body()
        storage.close(segment.release())
        return entry
    }

    /// A copy of a frame that is still in the write buffer, or nil if the file has it by now.
    private func frameInBuffer(_ segment: SegmentRef, _ offset: UInt64) throws(LogError) -> Memory? {
        try writer.withLock { (writer) throws(LogError) -> Memory? in
            guard writer.tail.segment == segment else { return nil }
            let prefix = writer.tail.buffered(at: offset, atMost: format.outlineSize)
            guard let outline = segment.outline(prefix, at: offset),
                let bytes = writer.tail.buffered(at: offset, outline.frameSize)
            else { return nil }
            let frame = try Memory(count: bytes.count)
            frame.bytes.copy(bytes, to: 0)
            return frame
        }
    }

    private func frameInFile(_ segment: SegmentRef, _ relative: UInt32, _ offset: UInt64) throws(LogError) -> Memory {
        let index = segment.baseIndex &+ UInt64(relative)
        let file = segment.file
        guard file.isOpen else { throw damaged(segment, offset, index) }
        let prefix = try Memory(count: format.outlineSize)
        let got = try read(file, at: offset, prefix.bytes, segment, index)
        guard let outline = segment.outline(prefix.bytes.bytes.slice(0, got), at: offset),
            offset &+ UInt64(outline.frameSize) <= segment.readableEnd
        else { throw damaged(segment, offset, index) }
        let frame = try Memory(count: outline.frameSize)
        guard try read(file, at: offset, frame.bytes, segment, index) == outline.frameSize else {
            throw damaged(segment, offset, index)
        }
        return frame
    }

    /// The entry in the frame that `bytes` begin with. `mayLend`: they are the segment's mapping.
    private func decode(_ bytes: Bytes, _ segment: SegmentRef, _ relative: UInt32, _ offset: UInt64, mayLend: Bool)
        throws(LogError) -> Entry
    {
        let index = segment.baseIndex &+ UInt64(relative)
        guard let outline = segment.outline(bytes.slice(0, min(bytes.count, format.outlineSize)), at: offset),
            outline.header.type == FrameType.entry, outline.header.relativeIndex == relative,
            outline.frameSize <= bytes.count
        else { throw damaged(segment, offset, index) }
        let header = outline.header
        let frame = bytes.slice(0, outline.frameSize)
        // What has to be decoded is verified anyway: that costs the least of it.
        if options.verifyReads || outline.coding != .raw || header.codec != 0 {
            guard outline.verifies(frame) else { throw damaged(segment, offset, index) }
        }
        let stored = outline.body(frame)
        if outline.coding == .raw && header.codec == 0 && mayLend {
            return Entry(
                index: index, term: header.term, time: header.timestamp, payload: stored, checksum: header.checksum,
                owner: EntryOwner(segment))
        }
        if outline.coding == .raw && header.codec != 0 {
            return try inflated(
                segment, relative, offset, header, stored, size: header.size, checksum: header.checksum)
        }
        let (owner, buffer) = try EntryOwner.buffer(count: Int(header.length))
        do throws(LogError) {
            guard let length = format.decodeBody(outline, stored, to: buffer) else { throw damaged(segment, offset, index) }
            let payload = buffer.bytes.slice(0, length)
            if header.codec != 0 {
                let entry = try inflated(
                    segment, relative, offset, header, payload, size: header.size, checksum: header.checksum)
                owner.release()
                return entry
            }
            if options.verifyReads && payload.checksum() != header.checksum { throw damaged(segment, offset, index) }
            return Entry(
                index: index, term: header.term, time: header.timestamp, payload: payload, checksum: header.checksum,
                owner: owner)
        } catch {
            owner.release()
            throw error
        }
    }
}
