// LogError.swift - the one error type of the engine
//
// A value of fixed size: failing allocates nothing. The boundary turns it into a code and a sentence.

/// Why a call failed. The raw values are those of `WALRUS_E_*`.
public enum ErrorCode: Int32, Sendable {
    case invalid = -1
    case notFound = -2
    case compacted = -3
    case outOfOrder = -4
    case tooLarge = -5
    case tooSmall = -6
    case exists = -7
    case noLog = -8
    case notALog = -9
    case version = -10
    case format = -11
    case locked = -12
    case readOnly = -13
    case io = -14
    case noSpace = -15
    case noMemory = -16
    case corrupt = -17
    case torn = -18
    case poisoned = -19
    case closed = -20
    case timeout = -21
    case canceled = -22
    case caughtUp = -23
    case transactionState = -24
    case transactionExpired = -25
    case transactionFull = -26
    case forked = -27
    case busy = -28
    case unsupported = -29
    case `internal` = -30

    /// The code's name in the C interface, and what it means.
    public var explanation: StaticString {
        switch self {
        case .invalid: "WALRUS_E_INVALID: an argument, option or combination that is never allowed"
        case .notFound: "WALRUS_E_NOT_FOUND: no such index yet, or no such key"
        case .compacted: "WALRUS_E_COMPACTED: the index was truncated away at the front"
        case .outOfOrder: "WALRUS_E_OUT_OF_ORDER: the record's index is not the next one"
        case .tooLarge: "WALRUS_E_TOO_LARGE: the entry or batch is larger than allowed"
        case .tooSmall: "WALRUS_E_TOO_SMALL: the caller's buffer is too small"
        case .exists: "WALRUS_E_EXISTS: there is a log already"
        case .noLog: "WALRUS_E_NO_LOG: the directory holds no log"
        case .notALog: "WALRUS_E_NOT_A_LOG: the path holds something that is not a log"
        case .version: "WALRUS_E_VERSION: the log was written by a newer version of libwalrus"
        case .format: "WALRUS_E_FORMAT: the log was created with another format"
        case .locked: "WALRUS_E_LOCKED: the log is open already, in this process or another"
        case .readOnly: "WALRUS_E_READ_ONLY: the log was opened with read_only"
        case .io: "WALRUS_E_IO: the system refused a read or a write"
        case .noSpace: "WALRUS_E_NO_SPACE: the disk, the quota or the file-size limit is full"
        case .noMemory: "WALRUS_E_NO_MEMORY: memory or address space could not be had"
        case .corrupt: "WALRUS_E_CORRUPT: data that had been durable is damaged"
        case .torn: "WALRUS_E_TORN: the log ends in an unfinished write, which recovery=strict does not cut"
        case .poisoned: "WALRUS_E_POISONED: a write or sync failed; close the log and open it again to write"
        case .closed: "WALRUS_E_CLOSED: the log was shut down"
        case .timeout: "WALRUS_E_TIMEOUT: the time given is over"
        case .canceled: "WALRUS_E_CANCELED: the wait was interrupted"
        case .caughtUp: "WALRUS_E_CAUGHT_UP: the cursor is at the end"
        case .transactionState: "WALRUS_E_TXN_STATE: the transaction is no longer open"
        case .transactionExpired: "WALRUS_E_TXN_EXPIRED: the transaction's time was over"
        case .transactionFull: "WALRUS_E_TXN_FULL: the transaction takes no more entries"
        case .forked: "WALRUS_E_FORKED: the log was opened before the process forked"
        case .busy: "WALRUS_E_BUSY: not now, or not from inside this callback"
        case .unsupported: "WALRUS_E_UNSUPPORTED: this version of libwalrus does not do that"
        case .internal: "WALRUS_E_INTERNAL: a bug in libwalrus"
        }
    }
}

public struct LogError: Error, Sendable {
    public var code: ErrorCode
    /// What happened and what to do, in a sentence without its full stop.
    public var detail: StaticString
    /// The system's error number, or 0.
    public var errno: Int32 = 0
    /// The file concerned.
    public var file: FileName? = nil
    /// Bytes from that file's start.
    public var offset: UInt64 = 0
    /// The entry concerned, or 0.
    public var index: UInt64 = 0
    /// The last entry concerned, where it is a range.
    public var lastIndex: UInt64 = 0

    public init(
        _ code: ErrorCode, _ detail: StaticString, errno: Int32 = 0, file: FileName? = nil, offset: UInt64 = 0,
        index: UInt64 = 0, lastIndex: UInt64 = 0
    ) {
        self.code = code
        self.detail = detail
        self.errno = errno
        self.file = file
        self.offset = offset
        self.index = index
        self.lastIndex = lastIndex
    }
}
