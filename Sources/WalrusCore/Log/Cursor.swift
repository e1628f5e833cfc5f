// Cursor.swift - a position in a log that moves
//
// A cursor's thread alone moves it. A truncation, which may happen on any other thread, leaves it a notice: where the log was cut. A cursor
// looks for notices before it reads and again after: an entry that took the place of a dropped one can only be seen
// by somebody who sees the notice, too, so nothing of a new suffix is ever stepped over unread.

import CWalrusPlatform
import Synchronization

public typealias DiskCursor = Cursor<PosixStorage>

@safe public final class Cursor<S: Storage>: @unchecked Sendable {
    public let log: Log<S>
    private let isDurableOnly: Bool
    /// The index that `next` reads.
    private var at: UInt64 = 1
    fileprivate var reader: SequentialReader<S>

    fileprivate let isNoticed = Atomic<Bool>(false)
    /// These four are guarded by the list's mutex. The notice: the log went on from `resetTo`, if that is not 0, and was then cut at `cutAt`.
    fileprivate var resetTo: UInt64 = 0
    fileprivate var cutAt: UInt64 = .max
    fileprivate var before: Unmanaged<Cursor<S>>?
    fileprivate var behind: Unmanaged<Cursor<S>>?

    /// Opens a cursor before the entry at `index`; 0: the first one.
    ///
    /// - Throws: `.notFound` above the next index, `.compacted` below the first.
    public init(_ log: Log<S>, at index: UInt64, isDurableOnly: Bool) throws(LogError) {
        try log.checkUsable()
        self.log = log
        self.isDurableOnly = isDurableOnly
        reader = SequentialReader(log)
        log.cursors.add(self)
        do throws(LogError) {
            try seek(index)
        } catch {
            log.cursors.remove(self)
            throw error
        }
    }

    /// Nothing may be done with the cursor after this. Needs no open log.
    public func close() {
        // In a forked child the list's mutex may be held for ever, and nobody walks the list.
        if !log.wasForked { log.cursors.remove(self) }
    }

    /// The index that `next` would read.
    public var position: UInt64 {
        heed()
        return at
    }

    /// - Throws: `.notFound`, `.compacted`, as `init`.
    public func seek(_ index: UInt64) throws(LogError) {
        try log.checkUsable()
        var (first, next) = (UInt64(0), UInt64(0))
        repeat {
            // What was noticed before the bounds were taken belongs to the old place.
            heed()
            (first, next) = try log.bounds(upTo: index)
        } while hasNotice
        if index > next { throw LogError(.notFound, "there is no entry at this index yet", index: index) }
        if index != 0 && index < first {
            throw LogError(.compacted, "the entry was truncated away at the front", index: index)
        }
        at = index == 0 ? first : index
    }

    /// Reads the entry behind the cursor and steps over it; its owner is the caller's to release.
    ///
    /// - Throws: `.caughtUp`, `.compacted`, and what `get` throws but `.notFound`.
    @inline(__always)
    public func next() throws(LogError) -> Entry {
        while true {
            heed()
            do throws(LogError) {
                if isDurableOnly { try checkDurable() }
                let entry = try reader.take(at)
                if !hasNotice {
                    at &+= 1
                    return entry
                }
                entry.owner.release()
            } catch {
                // Beside a cut it is about a place where the cursor no longer is.
                if !hasNotice { throw error.code == .notFound ? caughtUp : error }
            }
        }
    }

    private var caughtUp: LogError { LogError(.caughtUp, "the cursor is at the end; more may come", index: at) }

    private func checkDurable() throws(LogError) {
        try log.checkUsable()
        if at <= log.commit.durableIndex { return }
        try log.lookAgain()
        if at <= log.commit.durableIndex { return }
        // What is there and will never be known to be durable, and what is gone, get tells.
        if log.commit.isPoisoned || at < log.first.load(ordering: .acquiring) { return }
        throw caughtUp
    }

    /// Reads the entry before the cursor and steps back over it; its owner is the caller's to release.
    ///
    /// - Throws: `.notFound` if the log has and had none there, `.compacted` if it was truncated away, and what `get` throws.
    public func previous() throws(LogError) -> Entry {
        while true {
            heed()
            try log.checkUsable()
            let (first, next) = try log.bounds(upTo: at &- 1)
            if hasNotice { continue }
            // Before the first entry of a log that never dropped one there is nothing that could be missing.
            if at <= 1 || (at == first && (first == next || log.neverDropped)) {
                throw LogError(.notFound, "there is no entry before the cursor", index: at &- 1)
            }
            do throws(LogError) {
                let entry = try reader.take(at &- 1)
                if !hasNotice {
                    at &-= 1
                    return entry
                }
                entry.owner.release()
            } catch {
                if !hasNotice { throw error }
            }
        }
    }

    /// Waits until `next` has something else to say than that the cursor is at the end.
    ///
    /// - Throws: `.timeout`, `.canceled`, `.closed`, `.poisoned`.
    public func wait(milliseconds: Int64) throws(LogError) {
        try log.checkUsable()
        if milliseconds != 0 { try log.checkMayWait() }
        func isOver() throws(LogError) -> Bool {
            heed()
            if at < log.first.load(ordering: .acquiring) { return true }
            if at < log.next.load(ordering: .acquiring) && (!isDurableOnly || at <= log.commit.durableIndex) { return true }
            if log.commit.isPoisoned { throw GroupCommit.poisonedError }
            return false
        }
        if isDurableOnly {
            try log.wait(for: log.commit.durableMoved, milliseconds: milliseconds, isOver: isOver)
        } else {
            try log.wait(for: log.published, milliseconds: milliseconds, isOver: isOver)
        }
    }

    /// Whether a truncation left a notice. In a forked child nobody may take it: the list's mutex may be held for ever.
    @inline(__always)
    private var hasNotice: Bool { isNoticed.load(ordering: .acquiring) && !log.wasForked }

    /// Takes the notice that a truncation left, if one did.
    @inline(__always)
    private func heed() {
        if hasNotice { log.cursors.takeNotice(self, &at) }
    }
}

/// The open cursors of a log. It does not keep them alive; they keep the log.
@safe final class CursorList<S: Storage>: @unchecked Sendable {
    private let mutex: Mutex
    private var newest: Unmanaged<Cursor<S>>?

    init() throws(LogError) { mutex = try Mutex() }

    func add(_ cursor: Cursor<S>) {
        mutex.lock()
        defer { mutex.unlock() }
        let added = unsafe Unmanaged.passUnretained(cursor)
        unsafe cursor.before = newest
        unsafe newest?._withUnsafeGuaranteedRef { unsafe $0.behind = added }
        unsafe newest = added
    }

    func remove(_ cursor: Cursor<S>) {
        mutex.lock()
        defer { mutex.unlock() }
        let (before, behind) = unsafe (cursor.before, cursor.behind)
        unsafe before?._withUnsafeGuaranteedRef { unsafe $0.behind = behind }
        if let behind = unsafe behind {
            unsafe behind._withUnsafeGuaranteedRef { unsafe $0.before = before }
        } else {
            unsafe newest = before
        }
        unsafe cursor.before = nil
        unsafe cursor.behind = nil
    }

    /// Tells all cursors that the log was cut: what was from `index` on is gone. After the next index was lowered, and before
    /// anything is published in place of what was dropped.
    func cut(at index: UInt64) { tell { $0.cutAt = min($0.cutAt, index) } }

    /// The same for a cut that becomes visible together with what took the place of the dropped entries: by `change`, before which no
    /// cursor goes on.
    func cut(at index: UInt64, _ change: () -> Void) { tell({ $0.cutAt = min($0.cutAt, index) }, change) }

    /// Tells all cursors that the log goes on at `index`, wherever they were.
    func reset(to index: UInt64) {
        tell {
            $0.resetTo = index
            $0.cutAt = .max
        }
    }

    /// The log is closed, and nobody uses its cursors meanwhile: they hold on to none of its segments any more.
    func rest() {
        mutex.lock()
        defer { mutex.unlock() }
        var next = unsafe newest
        while let cursor = unsafe next {
            unsafe cursor._withUnsafeGuaranteedRef {
                $0.reader.rest()
                unsafe next = $0.before
            }
        }
    }

    private func tell(_ notice: (Cursor<S>) -> Void, _ change: () -> Void = {}) {
        mutex.lock()
        defer { mutex.unlock() }
        var next = unsafe newest
        while let cursor = unsafe next {
            unsafe cursor._withUnsafeGuaranteedRef {
                notice($0)
                $0.isNoticed.store(true, ordering: .releasing)
                unsafe next = $0.before
            }
        }
        change()
    }

    func takeNotice(_ cursor: Cursor<S>, _ position: inout UInt64) {
        mutex.lock()
        defer { mutex.unlock() }
        if cursor.resetTo != 0 { position = cursor.resetTo }
        position = min(position, cursor.cutAt)
        cursor.resetTo = 0
        cursor.cutAt = .max
        cursor.isNoticed.store(false, ordering: .relaxed)
    }
}
