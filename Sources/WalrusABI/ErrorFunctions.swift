// ErrorFunctions.swift - version, errors, checksum

import CWalrus
import CWalrusPlatform
import WalrusCore

@c @implementation public func walrus_version() -> UnsafePointer<CChar>? { unsafe cString(LibraryVersion.text) }
@c @implementation public func walrus_version_number() -> UInt32 { LibraryVersion.number }
@c @implementation public func walrus_abi_version() -> UInt32 { LibraryVersion.abi }

/// A literal as a C string: it ends in NUL and lives for ever.
@unsafe func cString(_ text: StaticString) -> UnsafePointer<CChar> {
    unsafe UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

@c @implementation public func walrus_strerror(_ code: Int32) -> UnsafePointer<CChar>? {
    unsafe cString(explanation(code))
}

private func explanation(_ code: Int32) -> StaticString {
    if code == 0 { return "WALRUS_OK: success" }
    return ErrorCode(rawValue: code)?.explanation ?? "unknown code: not one of libwalrus"
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
