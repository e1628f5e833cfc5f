// Following.swift - how a read-only handle keeps up with the writer in another process
//
// Whoever asks for what is not known yet looks anew, under one mutex: at the slots, at the end of the newest segment, and for segments behind
// it. Reads of what is known make no system call: the slots are mapped, and two loads tell whether the log was cut.
//
// What a look finds is a state that the log really had. Frames behind the known end were appended before any cut that the slots do
// not show yet, since nothing is appended behind a cut; a segment with an epoch above the slots' is not part of the log. After
// a change of the slots the live segments are followed back, from begin frame to begin frame, to one that is known: what that one's
// successor says of its end tells what was dropped meanwhile, however often the log was cut between two looks.

import CWalrusPlatform
import Synchronization

final class Following<S: Storage>: Sendable {
    let state: Guarded<FollowingState>
    /// Of the slot that was last taken over.
    let sequence: Atomic<UInt64>
    private let storage: S
    /// Of the slots. It is the metadata store's.
    private let file: FileHandle
    /// nil where a failing disk must not be a signal: then each read costs two system calls more.
    private let slots: Mapping?
    /// One of those who wait sleeps on the directory, and looks for the others.
    let isWatched = Atomic<Bool>(false)
    private let watcher: Guarded<Watcher>

    init(
        _ metadata: borrowing MetadataStore<S>, _ storage: S, slots: Mapping?, tail: FollowedTail?,
        ridden: consuming RiddenMetadata, ignoredUpTo: UInt64
    ) throws(LogError) {
        let slot = metadata.current
        sequence = Atomic(slot.sequence)
        self.storage = storage
        file = metadata.file
        self.slots = slots
        watcher = try Guarded(Watcher())
        state = try Guarded(FollowingState(slot: slot, tail: tail, ridden: ridden, ignoredUpTo: ignoredUpTo))
    }

    /// Whether the slots say something newer than what was taken over.
    func isStale() throws(LogError) -> Bool {
        let known = sequence.load(ordering: .acquiring)
        guard let slots else { return try MetadataStore.newestSequence(in: file, storage) > known }
        return MetadataStore<S>.newestSequence(in: slots) > known
    }

    /// What to sleep on, made when somebody first wants to.
    func watch() -> DirectoryWatch? {
        try? watcher.withLock { watcher in
            if !watcher.wasTried { watcher.watch = storage.watch() }
            watcher.wasTried = true
            return watcher.watch
        }
    }

    /// Wakes who sleeps on the directory.
    func wake() { try? watcher.withLock { $0.watch?.wake() } }

    func close() {
        slots?.unmap()
        try? watcher.withLock { $0.watch?.close() }
    }
}

private struct Watcher {
    var watch: DirectoryWatch?
    var wasTried = false
}

struct FollowingState: ~Copyable {
    /// As it was last taken over.
    var slot: MetadataSlot
    var tail: FollowedTail?
    /// What the tail's metadata frames say beyond the slot.
    var ridden: RiddenMetadata
    /// Segments above the tail up to this one were left out by recovery, which only a writer can say in the slots.
    var ignoredUpTo: UInt64
    /// The directory's time when it was last listed; the lowest if it may show the same time after another change.
    var directoryTime: Int64 = .min
    var listedAt: Int64 = .min
    /// Where the tail's known end has been since when, and how long that may go on before it is looked at what stands behind it.
    var endAt: (segment: UInt64, offset: UInt64) = (0, 0)
    var endSince: Int64 = 0
    var patience = FollowingState.leastPatience
    var isDamaged = false
    /// Segments that were not begun when the directory was last listed, or not part of the log.
    var candidates = CArray<UInt64>()

    init(slot: MetadataSlot, tail: FollowedTail?, ridden: consuming RiddenMetadata, ignoredUpTo: UInt64) {
        self.ridden = ridden
        self.slot = slot
        self.tail = tail
        self.ignoredUpTo = ignoredUpTo
    }

    /// The newest segment, as far as it is known; nil if there is none.
    var tailInfo: SegmentInfo? {
        guard let tail else { return nil }
        let end = tail.lastWhole
        return SegmentInfo(
            id: tail.segment.id, firstIndex: tail.segment.baseIndex, endIndex: end.index, bytes: end.offset, fileBytes: 0,
            highestTime: end.highestTime, isTail: true)
    }

    static var leastPatience: Int64 { 1_000_000_000 }
    static var mostPatience: Int64 { 60_000_000_000 }

    /// Whether a segment's file is part of the log, as far as its id tells.
    func isLive(_ id: UInt64, _ slot: MetadataSlot) -> Bool {
        if id < slot.lowestSegment { return false }
        if slot.cut.id != 0 && id > slot.cut.id && id <= slot.cutHighest { return false }
        return slot.epoch != self.slot.epoch || id > ignoredUpTo || id <= tail?.segment.id ?? 0
    }
}

/// The live segments from the newest back to one that is known.
private struct Chain: ~Copyable {
    struct Link: BitwiseCopyable {
        var id: UInt64
        var begin: BeginPayload
    }
    /// Those that are not known, newest first.
    var links = CArray<Link>()
    /// The known one that they follow, or 0. It may be dropped from the front.
    var common: UInt64 = 0
    var newest: UInt64 { links.count > 0 ? links[0].id : common }
}

extension Log {
    private static var mostTries: Int { 50 }
    /// Directories show the time of the system's clock tick. Older than this it will not come again.
    private static var clockTick: Int64 { 100_000_000 }
    /// The directory is listed again after this long, whatever its time says.
    private static var listingAge: Int64 { 1_000_000_000 }

    /// Looks for what the writer has done, if `index` is not known yet or the log may have been cut.
    @inline(__always)
    func catchUp(to index: UInt64) throws(LogError) {
        if options.readOnly { try catchUpSlowly(index) }
    }

    @inline(never)
    private func catchUpSlowly(_ index: UInt64) throws(LogError) {
        guard let following, isUsable else { return }
        var isWanted = index >= next.load(ordering: .acquiring)
        if !isWanted { isWanted = try following.isStale() }
        if isWanted { try look(following) }
    }

    /// Looks for what the writer has done, since something is not as it was known.
    func lookAgain() throws(LogError) {
        if let following { try look(following) }
    }

    /// Looks for what the writer has done.
    func look(_ following: Following<S>) throws(LogError) {
        try following.state.withLock { (state) throws(LogError) in try look(following, &state) }
    }

    /// The first index and the next one as they are now, both of the same moment.
    func newestBounds(_ following: Following<S>) -> (first: UInt64, next: UInt64) {
        let bounds = try? following.state.withLock { state in
            // What cannot be looked at is told by the calls that need it.
            try? look(following, &state)
            return (first.load(ordering: .acquiring), next.load(ordering: .acquiring))
        }
        return bounds ?? (1, 1)
    }

    private func look(_ following: Following<S>, _ state: inout FollowingState) throws(LogError) {
        defer { following.sequence.store(state.slot.sequence, ordering: .releasing) }
        for tries in 1...Log.mostTries {
            do throws(LogError) {
                if try lookOnce(&state) { break }
            } catch {
                // Beside a change anything may look wrong; without one, it is.
                guard tries < Log.mostTries, let newest = try? newestSequence(), newest > state.slot.sequence else { throw error }
            }
        }
    }

    private func newestSequence() throws(LogError) -> UInt64 {
        try writer.withLock { (writer) throws(LogError) in try writer.metadata.newestSequence() }
    }

    /// False if the slots changed meanwhile.
    private func lookOnce(_ state: inout FollowingState) throws(LogError) -> Bool {
        let slot = try writer.withLock { (writer) throws(LogError) in try writer.metadata.refresh() }
        var isStale = slot.sequence != state.slot.sequence
        if !isStale {
            try readOn(&state)
            isStale = try needsListing(&state)
        }
        if isStale { try takeOver(slot, &state) }
        try takeOverValues(state)
        try refuseDamage(&state)
        return try newestSequence() <= slot.sequence
    }

    // ---- The newest segment

    /// Reads on behind the known end and publishes what is there.
    private func readOn(_ state: inout FollowingState) throws(LogError) {
        // What was read counts even if what follows could not be.
        defer { if let tail = state.tail { publish(tail) } }
        guard try !extendTail(&state), let tail = state.tail else { return }
        let larger = try followAnew(tail.segment.id, state.slot, &state)
        drop(segments.exchange(larger.segment.id, larger.segment))
        state.tail = larger
    }

    /// False if the file has outgrown what is known of it, and has to be opened anew.
    private func extendTail(_ state: inout FollowingState) throws(LogError) -> Bool {
        guard var tail = state.tail else { return true }
        defer { state.tail = tail }
        return try opener.extend(&tail, &state.ridden)
    }

    /// Reads a segment from its start, and what its metadata frames say beyond the slot.
    private func followAnew(_ id: UInt64, _ slot: MetadataSlot, _ state: inout FollowingState) throws(LogError) -> FollowedTail {
        state.ridden = RiddenMetadata(after: slot.metadataSequence)
        return try opener.follow(id, capacity: max(options.capacity, state.tail?.capacity ?? 0), &state.ridden)
    }

    /// The key-value records as they are now, if that is newer than what is known. They never go back: what rode on entries that were dropped was
    /// brought into the slots first.
    private func takeOverValues(_ state: borrowing FollowingState) throws(LogError) {
        let last = next.load(ordering: .relaxed) &- 1
        try writer.withLock { (writer) throws(LogError) in
            let folded = writer.metadata.current.metadataSequence
            guard max(folded, state.ridden.sequence) > writer.values.sequence else { return }
            try writer.values.load(writer.metadata.records.bytes, sequence: folded, state.ridden, lastIndex: last)
        }
    }

    /// What stands still for long where the next frame should be may be damage, which no later write makes good.
    ///
    /// - Throws: `.corrupt`.
    private func refuseDamage(_ state: inout FollowingState) throws(LogError) {
        guard let tail = state.tail, !tail.isEnded else { return }
        let now = storage.monotonic()
        let end = (tail.segment.id, tail.point.offset)
        if end != state.endAt {
            state.endAt = end
            state.endSince = now
            state.patience = FollowingState.leastPatience
            state.isDamaged = false
        } else if !state.isDamaged {
            if now - state.endSince < state.patience { return }
            state.endSince = now
            state.patience = min(state.patience * 2, FollowingState.mostPatience)
            if try !opener.isDamaged(tail) { return }
            // Written since the last look at it, it would be whole now.
            try readOn(&state)
            state.isDamaged = state.tail?.point.offset == end.1
        }
        if !state.isDamaged { return }
        throw LogError(
            .corrupt, "data that had been durable is damaged; what follows it is lost to this handle",
            file: .segment(tail.segment.id),
            offset: tail.point.offset, index: tail.point.index, lastIndex: tail.point.index)
    }

    private func publish(_ tail: FollowedTail) {
        let isNew = tail.lastWhole.index != next.load(ordering: .relaxed)
        if isNew {
            next.store(tail.lastWhole.index, ordering: .releasing)
            notifier.notify()
        }
        if tail.claim > commit.durableIndex { commit.setDurable(tail.claim) } else if !isNew { return }
        published.signal()
    }

    private var opener: SegmentOpener<S> {
        SegmentOpener(storage: storage, logID: logID, format: format, lends: options.zeroCopy)
    }

    // ---- Segments behind it

    /// Whether segments may have come or gone without a change of the slots.
    private func needsListing(_ state: inout FollowingState) throws(LogError) -> Bool {
        if try storage.directoryTime() != state.directoryTime { return true }
        if storage.monotonic() &- state.listedAt > Log.listingAge { return true }
        for i in 0..<state.candidates.count where try begun(state.candidates[i], state.slot) != nil { return true }
        return false
    }

    /// The begin frame of a segment that is part of the log, or nil.
    private func begun(_ id: UInt64, _ slot: MetadataSlot) throws(LogError) -> BeginPayload? {
        let file: FileHandle
        do throws(LogError) {
            file = try storage.open(.segment(id), .read)
        } catch {
            if error.code == .notFound { return nil }
            throw error
        }
        defer { storage.close(file) }
        guard let head = try SegmentHead.read(file, id: id, logID: logID, format: format, storage: storage).head,
            head.begin.epoch <= slot.epoch
        else { return nil }
        return head.begin
    }

    /// Lists the segments and makes them, as the slots say they are, what readers see.
    private func takeOver(_ slot: MetadataSlot, _ state: inout FollowingState) throws(LogError) {
        let time = try storage.directoryTime()
        let isSettled = storage.realtime() &- time > Log.clockTick
        let chain = try findChain(slot, &state)
        let isSame = chain.links.count == 0 && chain.common == state.tail?.segment.id ?? 0
        if slot.sequence != state.slot.sequence || !isSame {
            try segments.reserveSlots(chain.links.count)
            let cut = try placeOfCut(slot, chain, state)
            let tail = try openTail(slot, chain, &state)
            apply(slot, chain, cut: cut, tail, &state)
        }
        noteCleanEnd(state)
        state.directoryTime = isSettled ? time : .min
        state.listedAt = storage.monotonic()
    }

    private func findChain(_ slot: MetadataSlot, _ state: inout FollowingState) throws(LogError) -> Chain {
        var chain = Chain()
        var ids = CArray<UInt64>()
        try storage.list { (name) throws(LogError) in
            if case .segment(let id) = name, state.isLive(id, slot) { try ids.append(id) }
        }
        ids.sort { $0 }
        // The files of earlier cuts are gone when the slots tell of the last one.
        if slot.epoch == state.slot.epoch, let known = state.tail?.segment.id, state.isLive(known, slot),
            !Log.contains(known, ids)
        {
            throw missing(known)
        }
        state.candidates.removeLast(state.candidates.count)
        var position = ids.count - 1
        while position >= 0 {
            let id = ids[position]
            if segments.has(id) {
                chain.common = id
                return chain
            }
            if let begin = try begun(id, slot) {
                try chain.links.append(Chain.Link(id: id, begin: begin))
                break
            }
            try state.candidates.append(id)
            position -= 1
        }
        while let last = chain.links.last {
            let before = last.begin.predecessor.id
            if before == 0 { break }
            if segments.has(before) {
                chain.common = before
                break
            }
            if before < slot.lowestSegment { break }
            guard Log.contains(before, ids), let begin = try begun(before, slot) else { throw missing(before) }
            try chain.links.append(Chain.Link(id: before, begin: begin))
        }
        return chain
    }

    private static func contains(_ id: UInt64, _ ids: borrowing CArray<UInt64>) -> Bool {
        for i in 0..<ids.count where ids[i] == id { return true }
        return false
    }

    private func missing(_ id: UInt64) -> LogError {
        LogError(.corrupt, "a segment file is missing; put it back", file: .segment(id))
    }

    /// The lowest index whose entry is no longer what it was; where that is above everything known, nothing was dropped.
    private func placeOfCut(_ slot: MetadataSlot, _ chain: borrowing Chain, _ state: borrowing FollowingState) throws(LogError)
        -> UInt64
    {
        if let oldest = chain.links.last {
            let before = oldest.begin.predecessor
            if chain.common != 0 { return before.endIndex }
            if slot.epoch == state.slot.epoch { return .max }
            // What came before was dropped from the front, and may have been cut and replaced before that: who stood there missed entries.
            return before.id == 0 ? oldest.begin.baseIndex : max(oldest.begin.baseIndex - 1, 1)
        }
        if chain.common == 0 { return slot.epoch == state.slot.epoch ? .max : max(slot.firstIndex, 1) }
        if slot.cut.id == chain.common { return slot.cut.endIndex }
        guard chain.common == state.tail?.segment.id else { throw missing(state.tail?.segment.id ?? 0) }
        return .max
    }

    /// What the newest segment is now; nil if there is none. Whatever is opened for it is the caller's.
    private func openTail(_ slot: MetadataSlot, _ chain: borrowing Chain, _ state: inout FollowingState) throws(LogError)
        -> FollowedTail?
    {
        let newest = chain.newest
        if newest == 0 {
            state.ridden = RiddenMetadata(after: slot.metadataSequence)
            return nil
        }
        if let known = state.tail, known.segment.id == newest {
            if slot.cut.id != newest {
                // What rode before the slots were told of something newer must not be put over that.
                let isOutdated = state.ridden.first != 0 && slot.metadataSequence != state.slot.metadataSequence
                if !isOutdated {
                    if state.ridden.first == 0 { state.ridden = RiddenMetadata(after: slot.metadataSequence) }
                    if try extendTail(&state) { return state.tail }
                }
            } else if known.isEnded && known.point.offset == slot.cut.endOffset {
                return known
            }
        }
        if slot.cut.id == newest {
            state.ridden = RiddenMetadata(after: slot.metadataSequence)
            return try opener.follow(endedBy: slot.cut)
        }
        return try followAnew(newest, slot, &state)
    }

    /// Makes it what readers see. Cannot fail.
    private func apply(
        _ slot: MetadataSlot, _ chain: borrowing Chain, cut: UInt64, _ tail: FollowedTail?, _ state: inout FollowingState
    ) {
        let (known, hadNothing) = (next.load(ordering: .relaxed), segments.count == 0)
        let end = tail?.lastWhole.index ?? max(slot.firstIndex, 1)
        let lowest = hadNothing ? chain.links.last?.begin.baseIndex ?? 1 : first.load(ordering: .relaxed)
        var durable = tail.map { max($0.claim, $0.segment.begin.durableIndex) } ?? end &- 1
        durable = max(durable, min(commit.durableIndex, cut < known ? cut &- 1 : .max))
        // Who waits at the beginning of a log that never held an entry waits for the first one, whichever index it chose.
        if hadNothing && slot.firstIndex == 0 && lowest != 1 { cursors.reset(to: lowest) }
        func change() {
            structure.add(1, ordering: .acquiringAndReleasing)
            changeSegments(slot, chain, tail, state.tail)
            first.store(min(slot.firstIndex != 0 ? slot.firstIndex : lowest, end), ordering: .releasing)
            next.store(end, ordering: .releasing)
            structure.add(1, ordering: .acquiringAndReleasing)
        }
        if cut < known { cursors.cut(at: cut, change) } else { change() }
        if durable != commit.durableIndex { commit.setDurable(durable) }
        state.slot = slot
        state.tail = tail
        published.signal()
        notifier.notify()
    }

    private func changeSegments(
        _ slot: MetadataSlot, _ chain: borrowing Chain, _ tail: FollowedTail?, _ old: FollowedTail?
    ) {
        while let gone = try? segments.takeOut(atFront: false, if: { slot, _ in slot.id > chain.common }) { drop(gone.segment) }
        while let gone = try? segments.takeOut(atFront: true, if: { kept, _ in kept.id < slot.lowestSegment }) {
            drop(gone.segment)
        }
        if chain.links.count > 0 {
            // Sealed, or cut: it is opened anew, to the end that its successor tells.
            drop(segments.exchange(chain.common, nil))
        } else if let tail, tail.segment != old?.segment {
            drop(segments.exchange(chain.common, tail.segment))
        }
        var i = chain.links.count
        while i > 0 {
            i -= 1
            let link = chain.links[i]
            try? segments.append(
                SegmentSlot(id: link.id, baseIndex: link.begin.baseIndex, segment: i == 0 ? tail?.segment : nil))
        }
    }

    private func drop(_ segment: SegmentRef?) {
        if let segment { storage.close(segment.release()) }
    }

    /// After a clean close everything is durable.
    private func noteCleanEnd(_ state: borrowing FollowingState) {
        guard let tail = state.tail, let (side, header) = try? SideFile.open(tail.segment.id, storage: storage) else { return }
        storage.close(side)
        let last = header.descriptor.end.endIndex &- 1
        guard header.isClean, header.logID == logID, header.salt == tail.segment.salt, header.epoch == state.slot.epoch,
            last < tail.lastWhole.index, last > commit.durableIndex
        else { return }
        commit.setDurable(last)
        published.signal()
    }
}
