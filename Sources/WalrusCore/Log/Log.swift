// Log.swift - an open log
//
// A thin box around its parts: the writer behind its mutex, the table of segments behind its read-write lock, and GroupCommit, which says
// what is durable and who syncs. Reads touch only the second; what is published in atomics is enough to know the bounds.

import CWalrusPlatform
import Synchronization

public typealias DiskLog = Log<PosixStorage>
public typealias DiskTransaction = Transaction<PosixStorage>

public final class Log<S: Storage>: @unchecked Sendable {
    public let storage: S
    public let options: Options
    let logID: LogID
    /// What its segment files hold.
    let format: FrameFormat
    /// Of the process that opened it: a forked child sees another one.
    private let generation: UInt64
    let writer: Guarded<LogWriter<S>>
    let segments: SegmentTable
    let stock: SegmentStock<S>
    let commit: GroupCommit
    let completions: Completions
    let compression: Pool<CompressionSpace>
    public let callbacks: Callbacks
    let notifier = Notifier()
    let statistics: Statistics
    let cursors: CursorList<S>
    /// Of a read-only handle that follows a writer in another process.
    let following: Following<S>?
    public let recoveryReport: RecoveryReport

    /// The lowest index, or the next one if the log is empty.
    let first: Atomic<UInt64>
    /// The index that the next entry gets.
    let next: Atomic<UInt64>
    /// Entries were published, or the first index moved, or nothing will come any more.
    let published: Event
    /// Grows with each truncation and reset: a read that failed beside one is tried again.
    let structure = Atomic<UInt64>(0)
    /// What recovery left to be written before anything else is.
    let isUnsettled: Atomic<Bool>
    let unsettled: Guarded<Unsettled>
    let transactions: Guarded<OpenTransactions<S>>

    init(
        storage: S, options: Options, writer: consuming LogWriter<S>, segments: SegmentTable, unsettled: consuming Unsettled,
        following: Following<S>?, first: UInt64, next: UInt64, durableIndex: UInt64, report: RecoveryReport
    ) throws(LogError) {
        logID = writer.logID
        format = writer.metadata.current.format
        self.next = Atomic(next)
        self.storage = storage
        self.options = options
        self.following = following
        self.segments = segments
        stock = writer.stock
        self.first = Atomic(first)
        recoveryReport = report
        generation = wp_generation()
        isUnsettled = Atomic(unsettled.isNeeded)
        published = try Event()
        cursors = try CursorList()
        commit = try GroupCommit()
        statistics = try Statistics()
        commit.setDurable(durableIndex)
        completions = try Completions()
        compression = try Pool()
        callbacks = options.diagnostics.callbacks ?? Callbacks()
        self.writer = try Guarded(writer)
        self.unsettled = try Guarded(unsettled)
        transactions = try Guarded(OpenTransactions())
        // Unretained: close stops the background before it lets go of the log.
        let me = unsafe Unmanaged.passUnretained(self)
        storage.background.attach { unsafe me.takeUnretainedValue().runUpkeep() }
        storage.syncer.attach { unsafe me.takeUnretainedValue().runSyncer() }
        storage.completer.attach { unsafe me.takeUnretainedValue().runCompleter() }
        if options.hasRetention && !options.readOnly { storage.background.request() }
    }

    // ---- Bounds. All answer 0 where there is nothing, after shutdown and in a forked child. A read-only handle looks anew.

    @inline(__always) public var isUsable: Bool { !commit.isClosed && generation == wp_generation() }
    public var wasForked: Bool { generation != wp_generation() }

    public var firstIndex: UInt64 {
        guard isUsable else { return 0 }
        if let following {
            let (first, next) = newestBounds(following)
            return first < next ? first : 0
        }
        let first = first.load(ordering: .acquiring)
        return first < next.load(ordering: .acquiring) ? first : 0
    }

    public var lastIndex: UInt64 {
        guard isUsable else { return 0 }
        if let following {
            let (first, next) = newestBounds(following)
            return first < next ? next - 1 : 0
        }
        let next = next.load(ordering: .acquiring)
        return first.load(ordering: .acquiring) < next ? next - 1 : 0
    }

    public var nextIndex: UInt64 {
        guard isUsable else { return 0 }
        if let following { return newestBounds(following).next }
        return next.load(ordering: .acquiring)
    }

    /// The first index and the next one.
    @inline(__always)
    func bounds(upTo index: UInt64) throws(LogError) -> (first: UInt64, next: UInt64) {
        try catchUp(to: index)
        return (first.load(ordering: .acquiring), next.load(ordering: .acquiring))
    }

    /// Whether every entry that the log ever held is still there, as far as its front goes.
    var neverDropped: Bool { (try? writer.withLock { $0.metadata.current.firstIndex == 0 }) ?? false }

    public var durableIndex: UInt64 {
        let last = lastIndex
        return min(commit.durableIndex, last)
    }

    // ---- Conditions of every call

    /// - Throws: `.closed`, `.forked`.
    @inline(__always)
    public func checkUsable() throws(LogError) {
        if !isUsable { throw unusableError }
        if callbacks.isInside(.logger) { throw Callbacks.busyError }
    }

    /// For calls that may wait for another thread.
    ///
    /// - Throws: `.busy` inside a completion.
    @inline(__always)
    public func checkMayWait() throws(LogError) {
        if callbacks.isInside(.completion) { throw Callbacks.busyError }
    }

    /// Whether this thread is inside one of the log's callbacks, which close would not survive.
    public var isInsideCallback: Bool {
        callbacks.isInside(.visitor) || callbacks.isInside(.completion) || callbacks.isInside(.logger)
    }

    private var unusableError: LogError {
        wasForked
            ? LogError(.forked, "the log was opened before the process forked; open it anew in the child")
            : GroupCommit.closedError
    }

    /// - Throws: also `.readOnly`, `.poisoned`.
    @inline(__always)
    public func checkWritable() throws(LogError) {
        try checkUsable()
        if options.readOnly { throw LogError(.readOnly, "the log was opened with read_only") }
        if commit.isPoisoned { throw GroupCommit.poisonedError }
    }

    /// From now on nothing is acknowledged: what is on the disk is no longer known. Returns the error as the caller is to be told
    /// of it: "no space" and "no memory" would mean that nothing had happened.
    @discardableResult
    func poison(_ cause: LogError) -> LogError {
        var error = cause
        if error.code != .corrupt && error.code != .poisoned { error.code = .io }
        // For as long as the page cache may be wrong this file is in it, whether or not it ever reaches the disk.
        if let mark = try? storage.open(.suspect, .create) { storage.close(mark) }
        commit.setPoisoned()
        wakeWaiters()
        options.diagnostics.log(.error, "a write or sync failed, and the log takes no more writes", error)
        return error
    }

    public func shutdown() throws(LogError) {
        if wasForked { throw unusableError }
        if callbacks.isInside(.logger) { throw Callbacks.busyError }
        commit.setClosed()
        wakeWaiters()
    }
}
