// LogFunctions.swift - open, shutdown, close, recovery report, destroy

import CWalrus
import CWalrusPlatform
import WalrusCore

@c @implementation public func walrus_open(
    _ dir: UnsafePointer<CChar>?, _ options: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    guard let dir = unsafe dir, let out = unsafe out else { return fail(LogError(.invalid, "dir or out is NULL")) }
    if unsafe dir.pointee == 0 { return fail(LogError(.invalid, "dir is empty")) }
    do throws(LogError) {
        let log = try unsafe DiskLog.open(path: dir, settings(options))
        unsafe out.pointee = OpaquePointer(Unmanaged.passRetained(log).toOpaque())
        return ok
    } catch {
        return unsafe fail(error, directory: dir)
    }
}

/// What a handle says; NULL: all defaults.
func settings(_ options: OpaquePointer?) -> Options {
    guard let options = unsafe options else { return Options() }
    return unsafe Unmanaged<OptionSet>.fromOpaque(UnsafeRawPointer(options))._withUnsafeGuaranteedRef { $0.options }
}

@c @implementation public func walrus_shutdown(_ log: OpaquePointer?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.shutdown() }
}

@c @implementation public func walrus_close(_ log: OpaquePointer?) -> Int32 {
    guard let handle = unsafe log else { return ok }
    let held = unsafe Unmanaged<DiskLog>.fromOpaque(UnsafeRawPointer(handle))
    let isInsideCallback = unsafe held._withUnsafeGuaranteedRef { $0.isInsideCallback }
    if isInsideCallback {
        return fail(LogError(.busy, "a log may not be closed from inside its own callback; close it when that has returned"))
    }
    let log = unsafe held.takeRetainedValue()
    defer { log.storage.end() }
    do throws(LogError) {
        try log.close()
        return ok
    } catch {
        return fail(error, in: log)
    }
}

@c @implementation public func walrus_recovery_report(
    _ log: OpaquePointer?, _ report: UnsafeMutablePointer<walrus_recovery_report_t>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        try log.checkUsable()
        let found = log.recoveryReport
        var filled = walrus_recovery_report_t()
        filled.reason = found.reason.rawValue
        filled.entries_cut = found.entriesCut
        filled.bytes_cut = found.bytesCut
        filled.cut_index = found.cutIndex
        filled.cut_offset = found.cutOffset
        filled.segments_scanned = found.segmentsScanned
        filled.bytes_scanned = found.bytesScanned
        filled.duration_ns = UInt64(max(0, found.duration))
        filled.durable_index = found.durableIndex
        write(into: &filled.segment) { if found.cutSegment != 0 { $0.add(.segment(found.cutSegment)) } }
        write(into: &filled.message) { $0.add(found) }
        try unsafe fill(report, size: report?.pointee.struct_size ?? 0, from: &filled)
    }
}

/// Writes text into an array of char inside a struct.
private func write<T>(into field: inout T, _ message: (inout Text) -> Void) {
    let capacity = MemoryLayout<T>.size
    unsafe withUnsafeMutableBytes(of: &field) { bytes in
        guard let base = bytes.baseAddress else { return }
        var text = unsafe Text(base.assumingMemoryBound(to: CChar.self), capacity: capacity)
        message(&text)
    }
}

@c @implementation public func walrus_destroy(_ dir: UnsafePointer<CChar>?) -> Int32 {
    guard let dir = unsafe dir else { return fail(LogError(.invalid, "dir is NULL")) }
    do throws(LogError) {
        try unsafe DiskLog.destroy(path: dir)
    } catch {
        return unsafe fail(error, directory: dir)
    }
    return ok
}
