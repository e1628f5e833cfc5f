// Options.swift - what a log is opened with

internal import WalrusCore

/// The settings of `Log.init`. Each is the option of that name in walrus.h.
public struct Options: Sendable {
    public enum Recovery: Sendable {
        /// Refuses to cut anything (`.torn`).
        case strict
        /// Cuts an unfinished tail, refuses damage to what had been durable (`.corrupt`).
        case tornTail
        /// With `readOnly`: reads whatever is readable; gaps answer `.corrupt`.
        case salvage
    }

    /// What segment files hold.
    public enum Format: Sendable {
        case binary
        /// One JSON object a line, readable with jq.
        case json
        /// Length-delimited messages of walrus.proto.
        case proto
    }

    public enum Compression: Sendable { case none, zlib }

    /// What an append has done when it returns.
    public enum Sync: Sendable {
        /// The entry is on stable storage.
        case always
        /// It is handed to the operating system, and synced in the background.
        case interval
        /// It is handed to the operating system.
        case os
        /// It is in memory.
        case none
    }

    /// Opens the log, or creates it where there is none. false: `.noLog` instead.
    public var create = true
    /// `.exists` if there is a log already.
    public var mustBeNew = false
    /// Never writes, takes no lock, may run beside a writer in another process and follows it.
    public var readOnly = false
    public var recovery = Recovery.tornTail
    public var sync = Sync.always
    /// With `sync = .interval`: 1 to 3600000 ms until the background syncs.
    public var syncIntervalMilliseconds: UInt64 = 100
    /// With `sync = .interval`: it also syncs as soon as so many bytes wait, up to 1 TiB; 0: by time alone.
    public var syncBytes: UInt64 = 0
    /// 1 byte to 1 TiB of asynchronous appends that may wait for their completion.
    public var asyncMaxBytes: UInt64 = 64 << 20
    /// 4 KiB to 4 GiB of entries fill a segment.
    public var segmentSize: UInt64 = 64 << 20
    /// Reserves a segment's space, and has the next one ready ahead of need.
    public var preallocate = true
    /// 1 to 65536 sealed segments are kept open and mapped.
    public var cachedSegments: UInt64 = 512
    /// The write buffer, 4 KiB to 1 GiB.
    public var bufferSize: UInt64 = 256 << 10
    /// 0, or 4096: no block that holds acknowledged data is ever written again.
    public var syncPadding: UInt64 = 0
    /// Permissions of new files, 0o600 to 0o777; the umask applies.
    public var fileMode: UInt32 = 0o640
    /// Checks each payload's checksum when it is read.
    public var verifyReads = true
    /// Reads lend a view of the mapped file. false: they copy, so that a failing disk is an error and never a signal.
    public var zeroCopy = true
    /// Up to 1 GiB: a larger entry is `.tooLarge`.
    public var maxEntrySize: UInt64 = 64 << 20
    /// Retention: keeps at most so many segments, up to 1048576; 0: no limit.
    public var maxSegments: UInt64 = 0
    /// Retention: keeps at most so many bytes of segment files, up to 2^60; 0: no limit.
    public var retentionBytes: UInt64 = 0
    /// Retention: drops segments without an entry younger than this, up to 2^60; 0: no limit.
    public var retentionAgeMilliseconds: UInt64 = 0
    /// A log keeps the format that it was created with; with another one, `.format` is thrown. nil: any log is opened, and a new one is binary.
    public var format: Format? = nil
    /// Compresses payloads from `compressionMinSize` up, where that makes them smaller. May change from open to open.
    public var compression = Compression.none
    /// 0 to 9; nil: zlib's own choice.
    public var compressionLevel: UInt64? = nil
    /// Up to 1 GiB.
    public var compressionMinSize: UInt64 = 256
    /// How long a transaction may stay open where its begin does not say otherwise, 1 to 2^60.
    public var transactionTimeoutMilliseconds: UInt64 = 30_000
    /// 1 to 16777216 entries in one transaction.
    public var transactionMaxEntries: UInt64 = 1000
    /// Is told what the log does by itself.
    public var logger: Logger? = nil

    public init() {}

    /// The engine's options.
    ///
    /// - Throws: `.invalid`, which names the option, its value and what is allowed.
    func checked() throws(WalrusError) -> WalrusCore.Options {
        try check("segment_size", segmentSize, Limits.segmentSize)
        try check("cached_segments", cachedSegments, Limits.cachedSegments)
        try check("buffer_size", bufferSize, Limits.bufferSize)
        try check("max_entry_size", maxEntrySize, Limits.maxEntrySize)
        try check("sync_interval_ms", syncIntervalMilliseconds, Limits.syncInterval)
        try check("sync_bytes", syncBytes, Limits.syncBytes)
        try check("async_max_bytes", asyncMaxBytes, Limits.asyncMaxBytes)
        try check("max_segments", maxSegments, Limits.maxSegments)
        try check("retention_bytes", retentionBytes, Limits.retention)
        try check("retention_age_ms", retentionAgeMilliseconds, Limits.retention)
        try check("txn_timeout_ms", transactionTimeoutMilliseconds, Limits.transactionTimeout)
        try check("txn_max_entries", transactionMaxEntries, Limits.transactionMaxEntries)
        if let compressionLevel { try check("compression_level", compressionLevel, 0...9) }
        try check("compression_min_size", compressionMinSize, Limits.compressionMinSize)
        guard syncPadding == 0 || syncPadding == 4096 else { throw refusal("sync_padding", "\(syncPadding)", "0 or 4096") }
        guard fileMode <= 0o777, fileMode & 0o600 == 0o600 else {
            throw refusal(
                "file_mode", "0" + String(fileMode, radix: 8), "0600 to 0777 in octal, and the owner may read and write")
        }
        return forEngine
    }

    private func check(_ name: StaticString, _ value: UInt64, _ range: ClosedRange<UInt64>) throws(WalrusError) {
        if !range.contains(value) { throw refusal(name, "\(value)", "\(range.lowerBound) to \(range.upperBound)") }
    }

    private func refusal(_ name: StaticString, _ value: String, _ allowed: String) -> WalrusError {
        WalrusError(.invalid, "option \(name) = \(value): allowed is \(allowed)")
    }

    private var forEngine: WalrusCore.Options {
        var options = WalrusCore.Options()
        options.create = create
        options.mustBeNew = mustBeNew
        options.readOnly = readOnly
        switch recovery {
        case .strict: options.recovery = .strict
        case .tornTail: options.recovery = .tornTail
        case .salvage: options.recovery = .salvage
        }
        switch sync {
        case .always: options.sync = .durable
        case .interval: options.sync = .interval
        case .os: options.sync = .system
        case .none: options.sync = .buffered
        }
        options.syncInterval = syncIntervalMilliseconds
        options.syncBytes = syncBytes
        options.asyncMaxBytes = asyncMaxBytes
        options.segmentSize = segmentSize
        options.preallocate = preallocate
        options.cachedSegments = Int(cachedSegments)
        options.bufferSize = Int(bufferSize)
        options.syncPadding = syncPadding
        options.fileMode = fileMode
        options.verifyReads = verifyReads
        options.zeroCopy = zeroCopy
        options.maxEntrySize = Int(maxEntrySize)
        options.maxSegments = maxSegments
        options.retentionBytes = retentionBytes
        options.retentionAge = retentionAgeMilliseconds
        switch format {
        case .binary: options.format = .binary
        case .json: options.format = .json
        case .proto: options.format = .proto
        case nil: options.format = nil
        }
        options.compression = compression == .zlib ? .zlib : .none
        options.compressionLevel = compressionLevel.map { Int32($0) } ?? -1
        options.compressionMinSize = Int(compressionMinSize)
        options.transactionTimeout = transactionTimeoutMilliseconds
        options.transactionMaxEntries = transactionMaxEntries
        return options
    }
}

/// Whom a log tells what it does by itself.
public struct Logger: Sendable {
    public enum Level: Int32, Sendable, Comparable {
        /// A write, sync or read failed.
        case error = 1
        /// The log helped itself: a tail was cut, preallocation was refused.
        case warning = 2
        /// Opened, created, closed.
        case info = 3
        /// Rotations, segments opened and removed.
        case debug = 4

        public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    /// Messages of a more talkative level are not made.
    public var level: Level
    /// Runs on the thread that caused the message, or on one of the log's own, possibly on several at once. Calls on the same log
    /// answer `.busy` from inside it.
    public var write: @Sendable (Level, String) -> Void

    public init(level: Level = .warning, _ write: @escaping @Sendable (Level, String) -> Void) {
        self.level = level
        self.write = write
    }
}

/// Keeps a logger where the engine can point to it.
final class LoggerBox: Sendable {
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    /// The caller keeps the box for as long as the log is open.
    var diagnostics: Diagnostics {
        unsafe Diagnostics(
            sink: { context, level, message in
                guard let context = unsafe context, let message = unsafe message else { return }
                let box = unsafe Unmanaged<LoggerBox>.fromOpaque(context).takeUnretainedValue()
                box.logger.write(Logger.Level(rawValue: level) ?? .debug, unsafe String(cString: message))
            },
            context: Unmanaged.passUnretained(self).toOpaque(), level: logger.level.rawValue)
    }
}
