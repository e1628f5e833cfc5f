// Log.swift - an open log
//
// The package stands on the same engine as the C interface, and beside it: what is added here is what Swift can promise and C cannot,
// closing at any time, memory that is never used after it is gone, and errors as values.

import Dispatch
internal import WalrusCore

/// A write-ahead log: a directory of segment files, with entries at contiguous indexes.
///
/// May be used from any number of threads and tasks at once. Cursors and transactions keep it alive. It is closed by `close`, or when its
/// last reference goes; then nobody is told whether that succeeded.
public final class Log: Sendable {
    let core: DiskLog
    /// As it was given.
    public let directory: String
    private let gate = Gate()
    private let logger: LoggerBox?

    /// Opens the log in `directory`, whose parent must exist, creating it where the options allow. An unfinished write at the end is
    /// cut, and told by `recoveryReport`.
    ///
    /// - Throws: `.invalid`, `.exists`, `.noLog`, `.notALog`, `.version`, `.format`, `.locked`, `.io`, `.noSpace`, `.noMemory`, `.corrupt`, `.torn`,
    ///   `.readOnly`. An existing log is as it was then.
    public init(_ directory: String, _ options: Options = Options()) throws(WalrusError) {
        var chosen = try options.checked()
        let logger = options.logger.map { LoggerBox($0) }
        if let logger { chosen.diagnostics = logger.diagnostics }
        self.directory = directory
        self.logger = logger
        core = try unsafe Log.onPath(directory) { (path) throws(LogError) in try unsafe DiskLog.open(path: path, chosen) }
    }

    /// Removes the log in `directory`: its own files only, then the directory if it is empty. Durable on return.
    ///
    /// - Throws: `.noLog`, `.notALog`, `.locked` while it is open, `.io`.
    public static func destroy(_ directory: String) throws(WalrusError) {
        try unsafe onPath(directory) { (path) throws(LogError) in try unsafe DiskLog.destroy(path: path) }
    }

    static func onPath<Result>(
        _ directory: String, _ body: (UnsafePointer<CChar>) throws(LogError) -> Result
    ) throws(WalrusError) -> Result {
        if directory.isEmpty { throw WalrusError(.invalid, "the directory's name is empty") }
        if directory.utf8.contains(0) { throw WalrusError(.invalid, "the directory's name has a NUL in it") }
        do throws(LogError) {
            return try unsafe directory.utf8CString.withUnsafeBufferPointer { (path) throws(LogError) in
                guard let path = path.baseAddress else { throw LogError(.internal, "the path has no end") }
                return try unsafe body(path)
            }
        } catch {
            throw WalrusError(error, in: directory)
        }
    }

    // ---- Close

    /// Makes durable what is not yet, marks the log as cleanly closed and gives up its files. Calls that are waiting on other threads end with
    /// `.closed`, later ones do, too; entries stay valid. Every completion that is due has been called when it returns. A second
    /// call does nothing.
    ///
    /// - Throws: `.io`, `.noSpace`, `.poisoned`: what was not durable may be lost; the log is closed all the same. `.busy` from inside one
    ///   of the log's callbacks; it stays open then.
    public func close() throws(WalrusError) {
        if gate.isClosed { return }
        if core.isInsideCallback {
            throw WalrusError(
                .busy, "\(directory): a log may not be closed from inside its own callback; close it when that has returned")
        }
        guard gate.close(hurry: { try? core.interrupt() }) else { return }
        defer { core.storage.end() }
        do throws(LogError) { try core.close() } catch { throw WalrusError(error, in: directory) }
    }

    deinit {
        if gate.isClosed { return }
        guard core.isInsideCallback else { return closeNow(core) }
        // The last reference went inside a callback, from where the thread that runs it cannot be stopped.
        let (core, logger) = (core, logger)
        // Not on a shared queue: those have as few threads as the machine has processors, and all may be busy for long.
        DispatchQueue(label: "walrus.closing").async {
            withExtendedLifetime(logger) { closeNow(core) }
        }
    }

    /// Ends use of the log at once: every call, waiting ones included, answers `.closed`. `close` is still to follow.
    public func shutdown() throws(WalrusError) {
        try call { (log) throws(LogError) in try log.shutdown() }
    }

    // ---- The way of every call

    @inline(__always)
    func call<Result: ~Copyable>(_ body: (DiskLog) throws(LogError) -> Result) throws(WalrusError) -> Result {
        guard gate.enter() else { throw closedError }
        defer { gate.leave() }
        do throws(LogError) {
            return try body(core)
        } catch {
            throw worded(error)
        }
    }

    @inline(never)
    func worded(_ error: LogError) -> WalrusError {
        // Whoever waited when the log was closed was interrupted for that.
        error.code == .canceled && gate.isClosed ? closedError : WalrusError(error, in: directory)
    }

    private var closedError: WalrusError { WalrusError(.closed, "\(directory): the log is closed") }

    @inline(__always)
    func number(_ body: (DiskLog) -> UInt64) -> UInt64 {
        guard gate.enter() else { return 0 }
        defer { gate.leave() }
        return body(core)
    }

    // ---- Bounds. 0 where there is nothing, after shutdown and after close.

    /// The lowest index in the log, or 0 when it is empty.
    public var firstIndex: UInt64 { number { $0.firstIndex } }
    /// The highest index in the log, or 0 when it is empty.
    public var lastIndex: UInt64 { number { $0.lastIndex } }
    /// The index that the next entry gets, also when the log is empty.
    public var nextIndex: UInt64 { number { $0.nextIndex } }
    /// The highest index that is known to be on stable storage, or 0. Never waits.
    public var durableIndex: UInt64 { number { $0.durableIndex } }

    // ---- Durability

    /// Returns once all that was appended before, and all metadata that was staged before, is on stable storage.
    public func sync() throws(WalrusError) { try call { (log) throws(LogError) in try log.sync() } }

    /// Waits until the entry at `index` is durable; the background is asked to make it so. `timeout` nil: without end; zero: tells at once.
    ///
    /// - Throws: `.notFound`, `.timeout`, `.canceled`, `.closed`, `.poisoned`.
    public func waitDurable(_ index: UInt64, timeout: Duration? = nil) throws(WalrusError) {
        let milliseconds = milliseconds(timeout)
        try call { (log) throws(LogError) in try log.waitDurable(index, timeout: milliseconds) }
    }

    /// A descriptor that becomes readable whenever the durable index has moved, on a read-only log the last index. The log's own: do not close it.
    /// Reading 8 bytes clears it.
    public func notifyDescriptor() throws(WalrusError) -> Int32 {
        try call { (log) throws(LogError) in try log.notifyDescriptor() }
    }

    /// Ends every wait that began before, with `.canceled`.
    public func interrupt() throws(WalrusError) { try call { (log) throws(LogError) in try log.interrupt() } }

    // ---- Truncate. All are durable on return, and what they dropped never comes back.

    /// Drops every entry after `index`.
    ///
    /// - Throws: `.notFound` above the last index, `.compacted` below the first index - 1.
    public func truncate(after index: UInt64) throws(WalrusError) {
        try call { (log) throws(LogError) in try log.truncate(index) }
    }

    /// Drops every entry before `index`.
    ///
    /// - Throws: `.notFound` above the last index + 1.
    public func truncateFront(before index: UInt64) throws(WalrusError) {
        try call { (log) throws(LogError) in try log.truncateFront(index) }
    }

    /// Drops every entry; the next one gets `nextIndex`.
    public func reset(nextIndex: UInt64) throws(WalrusError) {
        try call { (log) throws(LogError) in try log.reset(nextIndex) }
    }

    // ---- Operations

    /// Ends the last segment and begins a new one, unless it has no entries.
    public func rotate() throws(WalrusError) { try call { (log) throws(LogError) in try log.rotate() } }

    /// The log's segments, oldest first.
    public func segments() throws(WalrusError) -> [Segment] {
        try call { (log) throws(LogError) in
            var segments: [Segment] = []
            try log.forEachSegment {
                segments.append(Segment($0))
                return true
            }
            return segments
        }
    }

    /// What the log has done since it was opened, and how it stands now.
    public func statistics() throws(WalrusError) -> Statistics {
        Statistics(try call { (log) throws(LogError) in try log.counts() })
    }

    /// The same in the text exposition format of Prometheus.
    public func statisticsText() throws(WalrusError) -> String {
        let counts = try call { (log) throws(LogError) in try log.counts() }
        var measured = Exposition(text: .measure)
        measured.add(counts)
        return text(capacity: measured.text.wanted + 1) {
            var exposition = Exposition(text: $0)
            exposition.add(counts)
            $0 = exposition.text
        }
    }

    /// What open found and did.
    public func recoveryReport() throws(WalrusError) -> RecoveryReport {
        RecoveryReport(
            try call { (log) throws(LogError) in
                try log.checkUsable()
                return log.recoveryReport
            })
    }
}

private func closeNow(_ core: DiskLog) {
    try? core.close()
    core.storage.end()
}

/// As the engine counts a timeout: nil waits for ever, and what is not above zero polls. Rounded up: a wait is never shorter than asked for.
func milliseconds(_ duration: Duration?) -> Int64 {
    guard let duration else { return -1 }
    let (seconds, attoseconds) = duration.components
    if seconds < 0 || attoseconds < 0 { return 0 }
    let rest = (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    return seconds >= Int64.max / 1000 - 1 ? Int64.max : seconds * 1000 + rest
}

/// libwalrus, as it was built into the program.
public enum Library {
    public static var version: String { "\(LibraryVersion.text)" }
    /// major * 10000 + minor * 100 + patch
    public static var versionNumber: UInt32 { LibraryVersion.number }
}

/// CRC-32 (IEEE 802.3), the value of zlib's crc32 and of `Entry.checksum`.
public func crc32(_ bytes: RawSpan) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe Bytes($0.baseAddress, count: $0.count).checksum() }
}
