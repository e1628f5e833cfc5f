// CursorFunctions.swift - cursors

import CWalrus
import WalrusCore

/// Calls `body` with the cursor behind a handle, without counting references.
@inline(__always)
private func withCursor(_ handle: OpaquePointer?, _ body: (DiskCursor) throws(LogError) -> Void) -> Int32 {
    guard let handle = unsafe handle else { return fail(LogError(.invalid, "the cursor is NULL")) }
    return unsafe Unmanaged<DiskCursor>.fromOpaque(UnsafeRawPointer(handle))._withUnsafeGuaranteedRef { cursor in
        do throws(LogError) {
            try body(cursor)
            return ok
        } catch {
            return fail(error, in: cursor.log)
        }
    }
}

@c @implementation public func walrus_cursor_open(
    _ log: OpaquePointer?, _ index: UInt64, _ flags: UInt32, _ cursor: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let cursor = unsafe cursor else { throw LogError(.invalid, "cursor is NULL") }
        guard flags <= 1 else { throw LogError(.invalid, "the flags must be 0 or WALRUS_DURABLE_ONLY") }
        let opened = try DiskCursor(log, at: index, isDurableOnly: flags == 1)
        unsafe cursor.pointee = OpaquePointer(Unmanaged.passRetained(opened).toOpaque())
    }
}

@c @implementation public func walrus_cursor_next(
    _ cursor: OpaquePointer?, _ entry: UnsafeMutablePointer<walrus_entry_t>?
) -> Int32 {
    guard let entry = unsafe entry else { return fail(LogError(.invalid, "the entry is NULL")) }
    let code = unsafe withCursor(cursor) { (cursor) throws(LogError) in unsafe entry.pointee = foreign(try cursor.next()) }
    if code != ok { unsafe entry.pointee = walrus_entry_t() }
    return code
}

@c @implementation public func walrus_cursor_prev(
    _ cursor: OpaquePointer?, _ entry: UnsafeMutablePointer<walrus_entry_t>?
) -> Int32 {
    guard let entry = unsafe entry else { return fail(LogError(.invalid, "the entry is NULL")) }
    let code = unsafe withCursor(cursor) { (cursor) throws(LogError) in
        unsafe entry.pointee = foreign(try cursor.previous())
    }
    if code != ok { unsafe entry.pointee = walrus_entry_t() }
    return code
}

@c @implementation public func walrus_cursor_seek(_ cursor: OpaquePointer?, _ index: UInt64) -> Int32 {
    unsafe withCursor(cursor) { (cursor) throws(LogError) in try cursor.seek(index) }
}

@c @implementation public func walrus_cursor_position(_ cursor: OpaquePointer?) -> UInt64 {
    guard let cursor = unsafe cursor else { return 0 }
    return unsafe Unmanaged<DiskCursor>.fromOpaque(UnsafeRawPointer(cursor))._withUnsafeGuaranteedRef { $0.position }
}

@c @implementation public func walrus_cursor_wait(_ cursor: OpaquePointer?, _ timeout: Int64) -> Int32 {
    unsafe withCursor(cursor) { (cursor) throws(LogError) in try cursor.wait(milliseconds: timeout) }
}

@c @implementation public func walrus_cursor_close(_ cursor: OpaquePointer?) {
    guard let handle = unsafe cursor else { return }
    unsafe Unmanaged<DiskCursor>.fromOpaque(UnsafeRawPointer(handle)).takeRetainedValue().close()
}
