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
