// WalrusError.swift - the one error type of the package

internal import WalrusCore

/// Why a call failed, in a sentence to act on and in numbers.
public struct WalrusError: Error, Sendable, CustomStringConvertible {
    /// The codes of the C interface. A later version may have more of them.
    public enum Code: Int32, Sendable, CaseIterable {
        /// An argument, option or combination that is never allowed.
        case invalid = -1
        /// No such index yet, or no such key.
        case notFound = -2
        /// The index is below the first one: truncated away at the front.
        case compacted = -3
        /// The record's index is not the next one.
        case outOfOrder = -4
        /// An entry above `maxEntrySize`, a batch above 2 GiB, or metadata above 64 KiB.
        case tooLarge = -5
        /// The buffer is too small; `requiredSize` says what is needed.
        case tooSmall = -6
        /// `mustBeNew`, but the directory holds a log.
        case exists = -7
        /// The directory holds no log, and none may be created.
        case noLog = -8
        /// A directory that holds something else, or no directory.
        case notALog = -9
        /// Written in a newer format than this library knows.
        case version = -10
        /// Opened with another format than the log was created with.
        case format = -11
        /// Open already, in this process or another.
        case locked = -12
        /// A write to a log that was opened with `readOnly`.
        case readOnly = -13
        /// The system refused a read or a write; see `osError`.
        case io = -14
        /// Disk full, quota or file-size limit; nothing was appended.
        case noSpace = -15
        /// Memory or address space could not be had; nothing was changed.
        case noMemory = -16
        /// Data that had been durable is damaged; `path`, `offset` and `index` say where.
        case corrupt = -17
        /// `recovery = .strict` found an unfinished tail, which it will not cut.
        case torn = -18
        /// A write or sync failed: reads go on, writes wait for a reopen.
        case poisoned = -19
        /// The log was closed or shut down.
        case closed = -20
        /// The time given is over.
        case timeout = -21
        /// `Log.interrupt` ended the wait.
        case canceled = -22
        /// The cursor is at the end. `Cursor.next` answers nil instead.
        case caughtUp = -23
        /// The transaction is no longer open.
        case transactionState = -24
        /// The transaction's time was over.
        case transactionExpired = -25
        /// The transaction takes no more entries.
        case transactionFull = -26
        /// The log was opened before the process forked.
        case forked = -27
        /// Not from inside this callback.
        case busy = -28
        /// This version does not do that.
        case unsupported = -29
        /// A bug in libwalrus: please report it.
        case `internal` = -30

        /// The code's name in the C interface and what it means, as in "WALRUS_E_TORN: ...".
        public var explanation: String { ErrorCode(rawValue: rawValue).map { "\($0.explanation)" } ?? "" }
    }

    public var code: Code
    /// What happened, where, and what to do.
    public var message: String
    /// The system's error number, or 0.
    public var osError: Int32 = 0
    /// The file or directory concerned.
    public var path: String? = nil
    /// Bytes from that file's start, or 0.
    public var offset: UInt64 = 0
    /// The entry concerned, or 0. A durable append that answers `.canceled` is in the log at this index.
    public var index: UInt64 = 0
    /// The last entry concerned where there are several, or 0.
    public var lastIndex: UInt64 = 0
    /// With `.tooSmall`: the bytes that are needed.
    public var requiredSize: Int = 0

    public var description: String { message }

    init(_ code: Code, _ message: String, index: UInt64 = 0) {
        self.code = code
        self.message = message
        self.index = index
    }

    init(_ error: LogError, in directory: String?) {
        code = Code(rawValue: error.code.rawValue) ?? .internal
        message = (directory.map { "\($0): " } ?? "") + text { $0.add(error) }
        osError = error.errno
        path = directory
        if let directory, let file = error.file { path = "\(directory)/" + text { $0.add(file) } }
        offset = error.offset
        index = error.index
        lastIndex = error.lastIndex
    }
}

/// What the engine writes, as a string.
func text(capacity: Int = 1024, _ write: (inout Text) -> Void) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
        guard let base = buffer.baseAddress else { return "" }
        var text = unsafe Text(base, capacity: buffer.count)
        write(&text)
        return unsafe String(cString: base)
    }
}
