// Reading.swift - get, and everything that is made of it
//
// A get is two loads for the bounds, a binary search under a shared lock, a count of the segment, and then, without any lock, one load from
// the offset table, the frame's header and its payload. Entries that are still in the write buffer are copied under
// the writer's mutex.

import CWalrusPlatform
import Synchronization

extension Log {
    /// Reads one entry; its owner is the caller's to release.
    ///
    /// - Throws: `.notFound`, `.compacted`, `.corrupt`, `.io`, `.noMemory`, `.poisoned`.
    @inline(__always)
    public func get(_ index: UInt64) throws(LogError) -> Entry {
        try checkUsable()
        while true {
            let structure = structure.load(ordering: .acquiring)
            try checkBounds(index)
            do throws(LogError) {
                return try readEntry(index)
            } catch {
                // Beside a truncation anything may look wrong; without one, it is. One that has moved a bound and nothing else yet
                // shows in a second look, before which nothing can have been appended if the structure has not changed after it.
                try lookAgain()
                try checkBounds(index)
                if structure == self.structure.load(ordering: .acquiring) { throw error }
            }
        }
    }

    @inline(__always)
    private func checkBounds(_ index: UInt64) throws(LogError) {
        try catchUp(to: index)
        if index >= next.load(ordering: .acquiring) || index == 0 {
            throw LogError(.notFound, "there is no entry at this index yet", index: index)
        }
        if index < first.load(ordering: .acquiring) {
            throw LogError(.compacted, "the entry was truncated away at the front", index: index)
        }
        if commit.isPoisoned && index > commit.durableIndex { throw poisonedEntry(index) }
    }

    private func poisonedEntry(_ index: UInt64) -> LogError {
        LogError(
            .poisoned, "a write or sync failed before this entry was durable; close the log, see to the disk, and open it again",
            index: index)
    }

    /// The segment that holds `index`, with a reference.
    @inline(__always)
    func pin(_ index: UInt64) throws(LogError) -> SegmentRef {
        if case .found(let segment) = segments.find(index) { return segment }
        return try pinSlowly(index)
    }

    @inline(never)
    private func pinSlowly(_ index: UInt64) throws(LogError) -> SegmentRef {
        let opener = SegmentOpener(storage: storage, logID: logID, format: format, lends: options.zeroCopy)
        while true {
            let structure = structure.load(ordering: .acquiring)
            switch segments.find(index, isFirstLook: false) {
            case .found(let segment): return segment
            case .none: throw LogError(.corrupt, "the entry's segment is missing", index: index)
            case .needsBase(let id):
                try segments.noteBase(id, try baseIndex(of: id, opener))
            case .needsOpening(let id, let successor):
                let opened = try openBefore(successor, id, index, opener)
                let unwanted = try segments.install(opened) { structure == self.structure.load(ordering: .acquiring) }
                if let unwanted { storage.close(unwanted.release()) }
            }
        }
    }

    private func openBefore(_ successor: UInt64, _ id: UInt64, _ index: UInt64, _ opener: SegmentOpener<S>) throws(LogError)
        -> SegmentRef
    {
        let begin = try begin(of: successor)
        guard begin.predecessor.id == id else {
            if options.recovery == .salvage { return try opener.openAlone(id, before: begin) }
            throw LogError(.corrupt, "a segment file is missing; put it back", file: .segment(begin.predecessor.id), index: index)
        }
        return try opener.open(id, end: begin.predecessor)
    }

    private func baseIndex(of id: UInt64, _ opener: SegmentOpener<S>) throws(LogError) -> UInt64 {
        let (file, head) = try opener.openHead(id)
        storage.close(file)
        return head.begin.baseIndex
    }

    @inline(__always)
    private func readEntry(_ index: UInt64) throws(LogError) -> Entry {
        let segment = try pin(index)
        do throws(LogError) {
            // It lies within the log's bounds, so a truncation beside this read took it, or its segment is lost.
            guard index < segment.endIndex else { throw damaged(segment, segment.readableEnd, index) }
            let relative = UInt32(truncatingIfNeeded: index &- segment.baseIndex)
            let offset = try segment.offset(of: relative, storage: storage)
            guard offset > SegmentHeader.firstFrame else { throw damaged(segment, offset, index) }
            if format != .binary { return try readSpelled(segment, relative, offset) }
            if offset >= segment.readableEnd {
                // Still in the write buffer; or flushed between the two looks, and then it is in the file.
                if let entry = try copyFromBuffer(segment, relative, offset) {
                    storage.close(segment.release())
                    return entry
                }
            }
            if let mapping = segment.mapping { return try lend(segment, mapping, relative, offset) }
            let entry = try copyFromFile(segment, relative, offset)
            storage.close(segment.release())
            return entry
        } catch {
            storage.close(segment.release())
            throw error
        }
    }

    func damaged(_ segment: SegmentRef, _ offset: UInt64, _ index: UInt64) -> LogError {
        LogError(
            .corrupt, "the entry is damaged; the others can still be read", file: .segment(segment.id), offset: offset,
            index: index, lastIndex: index)
    }

    /// An entry whose payload is a view of the mapped file. Takes over the segment's reference.
    @inline(__always)
    private func lend(_ segment: SegmentRef, _ mapping: Mapping, _ relative: UInt32, _ offset: UInt64) throws(LogError) -> Entry {
        let index = segment.baseIndex &+ UInt64(relative)
        guard let (header, payload) = segment.entry(relative, at: offset, in: mapping, verified: options.verifyReads)
        else { throw damaged(segment, offset, index) }
        if header.codec != 0 {
            let entry = try inflated(segment, relative, offset, header, payload)
            storage.close(segment.release())
            return entry
        }
        let run = segment.run(of: relative)
        return Entry(
            index: index, term: run.term, time: run.time(at: header.time), payload: payload,
            checksum: header.payloadChecksum, owner: EntryOwner(segment))
    }

    @inline(never)
    private func copyFromBuffer(_ segment: SegmentRef, _ relative: UInt32, _ offset: UInt64) throws(LogError) -> Entry? {
        try writer.withLock { (writer) throws(LogError) -> Entry? in
            guard writer.tail.segment == segment, let head = writer.tail.buffered(at: offset, FrameHeader.size),
                let (header, _) = FrameHeader.decode(head, salt: segment.salt, offset: offset),
                header.relativeIndex == relative,
                let payload = writer.tail.buffered(at: offset &+ UInt64(FrameHeader.size), Int(header.length))
            else { return nil }
            if header.codec != 0 { return try inflated(segment, relative, offset, header, payload) }
            let (owner, buffer) = try EntryOwner.buffer(count: payload.count)
            buffer.copy(payload, to: 0)
            return entry(segment, relative, header, buffer.bytes, owner)
        }
    }

    private func copyFromFile(_ segment: SegmentRef, _ relative: UInt32, _ offset: UInt64) throws(LogError) -> Entry {
        let index = segment.baseIndex &+ UInt64(relative)
        let file = segment.file
        guard file.isOpen else { throw damaged(segment, offset, index) }
        // A first read that is likely to hold all of a small entry.
        let probe = try Memory(count: 512)
        let got = try read(file, at: offset, probe.bytes, segment, index)
        guard let (header, _) = FrameHeader.decode(probe.bytes.bytes.slice(0, got), salt: segment.salt, offset: offset),
            header.type == FrameType.entry, header.relativeIndex == relative,
            offset &+ UInt64(header.frameSize) <= segment.readableEnd
        else { throw damaged(segment, offset, index) }
        let length = Int(header.length)
        let (owner, buffer) = try EntryOwner.buffer(count: length)
        do throws(LogError) {
            let inProbe = min(length, got - FrameHeader.size)
            buffer.copy(probe.bytes.bytes.slice(FrameHeader.size, inProbe), to: 0)
            if inProbe < length {
                let rest = buffer.slice(inProbe, length - inProbe)
                guard try read(file, at: offset &+ UInt64(FrameHeader.size + inProbe), rest, segment, index) == rest.count
                else { throw damaged(segment, offset, index) }
            }
            if options.verifyReads && buffer.bytes.checksum() != header.payloadChecksum {
                throw damaged(segment, offset, index)
            }
            if header.codec != 0 {
                let entry = try inflated(segment, relative, offset, header, buffer.bytes)
                owner.release()
                return entry
            }
        } catch {
            owner.release()
            throw error
        }
        return entry(segment, relative, header, buffer.bytes, owner)
    }

    func read(_ file: FileHandle, at offset: UInt64, _ buffer: MutableBytes, _ segment: SegmentRef, _ index: UInt64)
        throws(LogError) -> Int
    {
        do throws(LogError) {
            return try storage.read(file, at: offset, into: buffer)
        } catch {
            var located = error.located(in: .segment(segment.id))
            located.index = index
            throw located
        }
    }

    private func entry(_ segment: SegmentRef, _ relative: UInt32, _ header: FrameHeader, _ payload: Bytes, _ owner: EntryOwner)
        -> Entry
    {
        let run = segment.run(of: relative)
        return Entry(
            index: segment.baseIndex &+ UInt64(relative), term: run.term, time: run.time(at: header.time),
            payload: payload, checksum: header.payloadChecksum, owner: owner)
    }

    /// The term of an entry, from the segment's runs alone.
    public func term(_ index: UInt64) throws(LogError) -> UInt64 {
        try checkUsable()
        while true {
            let structure = structure.load(ordering: .acquiring)
            try checkBounds(index)
            do throws(LogError) {
                let segment = try pin(index)
                defer { storage.close(segment.release()) }
                guard index < segment.endIndex else {
                    throw LogError(.notFound, "there is no entry at this index", index: index)
                }
                return segment.run(of: UInt32(truncatingIfNeeded: index &- segment.baseIndex)).term
            } catch {
                try lookAgain()
                try checkBounds(index)
                if structure == self.structure.load(ordering: .acquiring) { throw error }
            }
        }
    }

    /// The part of [first, last] that the log has, as far as its upper end goes.
    ///
    /// - Throws: `.invalid` if `first` is above `last`; `.notFound`, `.compacted` for `first`.
    public func clip(_ first: UInt64, _ last: UInt64) throws(LogError) -> UInt64 {
        try checkUsable()
        if first > last { throw LogError(.invalid, "the range is empty: its first index is above its last", index: first) }
        try checkBounds(first)
        return min(last, next.load(ordering: .acquiring) &- 1)
    }
}
