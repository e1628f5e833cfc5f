// ErrorFunctions.swift - version, errors, checksum

import CWalrus
import CWalrusPlatform
import WalrusCore

@c @implementation public func walrus_version() -> UnsafePointer<CChar>? { unsafe cString("0.2.0") }
@c @implementation public func walrus_version_number() -> UInt32 { 200 }
@c @implementation public func walrus_abi_version() -> UInt32 { 1 }

/// A literal as a C string: it ends in NUL and lives for ever.
@unsafe func cString(_ text: StaticString) -> UnsafePointer<CChar> {
    unsafe UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

@c @implementation public func walrus_strerror(_ code: Int32) -> UnsafePointer<CChar>? {
    unsafe cString(explanation(code))
}

private func explanation(_ code: Int32) -> StaticString {
    switch code {
    case 0: "WALRUS_OK: success"
    case -1: "WALRUS_E_INVALID: an argument, option or combination that is never allowed"
    case -2: "WALRUS_E_NOT_FOUND: no such index yet, or no such key"
    case -3: "WALRUS_E_COMPACTED: the index was truncated away at the front"
    case -4: "WALRUS_E_OUT_OF_ORDER: the record's index is not the next one"
    case -5: "WALRUS_E_TOO_LARGE: the entry or batch is larger than allowed"
    case -6: "WALRUS_E_TOO_SMALL: the caller's buffer is too small"
    case -7: "WALRUS_E_EXISTS: there is a log already"
    case -8: "WALRUS_E_NO_LOG: the directory holds no log"
    case -9: "WALRUS_E_NOT_A_LOG: the path holds something that is not a log"
    case -10: "WALRUS_E_VERSION: the log was written by a newer version of libwalrus"
    case -11: "WALRUS_E_FORMAT: the log was created with another format"
    case -12: "WALRUS_E_LOCKED: the log is open already, in this process or another"
    case -13: "WALRUS_E_READ_ONLY: the log was opened with read_only"
    case -14: "WALRUS_E_IO: the system refused a read or a write"
    case -15: "WALRUS_E_NO_SPACE: the disk, the quota or the file-size limit is full"
    case -16: "WALRUS_E_NO_MEMORY: memory or address space could not be had"
    case -17: "WALRUS_E_CORRUPT: data that had been durable is damaged"
    case -18: "WALRUS_E_TORN: the log ends in an unfinished write, which recovery=strict does not cut"
    case -19: "WALRUS_E_POISONED: a write or sync failed; close the log and open it again to write"
    case -20: "WALRUS_E_CLOSED: the log was shut down"
    case -21: "WALRUS_E_TIMEOUT: the time given is over"
    case -22: "WALRUS_E_CANCELED: the wait was interrupted"
    case -23: "WALRUS_E_CAUGHT_UP: the cursor is at the end"
    case -24: "WALRUS_E_TXN_STATE: the transaction is no longer open"
    case -25: "WALRUS_E_TXN_EXPIRED: the transaction's time was over"
    case -26: "WALRUS_E_TXN_FULL: the transaction takes no more entries"
    case -27: "WALRUS_E_FORKED: the log was opened before the process forked"
    case -28: "WALRUS_E_BUSY: not now, or not from inside this callback"
    case -29: "WALRUS_E_UNSUPPORTED: this version of libwalrus does not do that"
    case -30: "WALRUS_E_INTERNAL: a bug in libwalrus"
    default: "unknown code: not one of libwalrus"
    }
}

@c @implementation public func walrus_last_error(_ out: UnsafeMutablePointer<walrus_error_t>?) -> Int32 {
    var error = walrus_error_t()
    if let failure = unsafe wp_last_failure(0) {
        unsafe error.code = failure.pointee.code
        unsafe error.os_errno = failure.pointee.os_errno
        unsafe error.index = failure.pointee.index
        unsafe error.offset = failure.pointee.offset
        unsafe error.path = failure.pointee.path
        unsafe error.message = failure.pointee.message
    }
    do throws(LogError) {
        try unsafe fill(out, size: out?.pointee.struct_size ?? 0, from: &error)
        return ok
    } catch {
        return fail(error)
    }
}

@c @implementation public func walrus_crc32(_ data: UnsafeRawPointer?, _ size: Int) -> UInt32 {
    guard unsafe data != nil, size != 0 else { return 0 }
    return unsafe wp_crc32(0, data, size)
}
