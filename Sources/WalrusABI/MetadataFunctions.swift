// MetadataFunctions.swift - small values beside the log: set, get, delete, each, stage

import CWalrus
import CWalrusPlatform
import WalrusCore

/// The caller's key, without its NUL. One that is too long is looked at no further, and refused by the engine.
private func key(_ text: UnsafePointer<CChar>?) throws(LogError) -> Bytes {
    guard let text = unsafe text else { throw LogError(.invalid, "the key is NULL") }
    return unsafe Bytes(text, count: strnlen(text, 256))
}

private func value(_ data: UnsafeRawPointer?, _ size: Int) throws(LogError) -> Bytes {
    if unsafe data == nil && size != 0 { throw LogError(.invalid, "the value is NULL, but its size is not 0") }
    // A size_t above the signed range arrives as a negative number.
    return unsafe Bytes(data, count: size < 0 ? Int.max : size)
}

@c @implementation public func walrus_meta_set(
    _ log: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ data: UnsafeRawPointer?, _ size: Int
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        try log.setMetadata(try unsafe key(name), try unsafe value(data, size))
    }
}

@c @implementation public func walrus_meta_get(
    _ log: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ buffer: UnsafeMutableRawPointer?, _ capacity: Int,
    _ size: UnsafeMutablePointer<Int>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        if unsafe buffer == nil && capacity != 0 { throw LogError(.invalid, "the buffer is NULL, but its capacity is not 0") }
        try log.metadata(try unsafe key(name)) { (value) throws(LogError) in
            unsafe size?.pointee = value.count
            // A capacity above the signed range arrives as a negative number, and is enough for anything.
            if capacity >= 0 && capacity < value.count {
                throw LogError(.tooSmall, "the buffer is smaller than the value; size says how much is needed")
            }
            if let buffer = unsafe buffer, let data = unsafe value.address { unsafe memcpy(buffer, data, value.count) }
        }
    }
}

@c @implementation public func walrus_meta_delete(_ log: OpaquePointer?, _ name: UnsafePointer<CChar>?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.deleteMetadata(try unsafe key(name)) }
}

@c @implementation public func walrus_meta_each(
    _ log: OpaquePointer?, _ visit: walrus_meta_visit_fn?, _ ctx: UnsafeMutableRawPointer?
) -> Int32 {
    var stopped: Int32 = 0
    let code = unsafe withLog(log) { (log) throws(LogError) in
        guard let visit = unsafe visit else { throw LogError(.invalid, "visit is NULL") }
        try log.callbacks.visit { () throws(LogError) in
            stopped = try log.forEachMetadata { key, value in
                unsafe visit(ctx, key.address?.assumingMemoryBound(to: CChar.self), value.address, value.count)
            }
        }
    }
    return code != ok ? code : stopped
}

@c @implementation public func walrus_meta_stage(
    _ log: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ data: UnsafeRawPointer?, _ size: Int
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        try log.stageMetadata(try unsafe key(name), try unsafe value(data, size))
    }
}
