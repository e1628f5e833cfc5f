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
        let log = try unsafe openLog(dir, settings(options))
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

func openLog(_ dir: UnsafePointer<CChar>, _ options: Options) throws(LogError) -> DiskLog {
    try DiskLog.check(options)
    let writes = !options.readOnly
    if writes && options.create { try unsafe PosixStorage.makeDirectory(path: dir, permissions: options.fileMode) }
    let storage = try unsafe PosixStorage(path: dir, permissions: options.fileMode)
    // Before anything is created: a directory of somebody else's stays as it is.
    _ = try DiskLog.isThere(storage, options)
    if writes { try storage.lock() }
    do throws(LogError) {
        return try DiskLog.open(storage, options)
    } catch {
        storage.unlock()
        throw error
    }
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
        write(into: &filled.message) { describe(found, &$0) }
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

private func describe(_ report: RecoveryReport, _ text: inout Text) {
    switch report.reason {
    case .clean:
        text.add("the log had been closed cleanly")
        return
    case .complete:
        text.add("the log had not been closed, and nothing was unfinished")
        return
    case .torn: text.add("the last write was unfinished and is left out")
    case .unfinishedBatch: text.add("the last batch was unfinished and is left out")
    case .reordered: text.add("later writes had reached the disk before an earlier one, and are left out")
    }
    text.add(": ")
    text.add(report.bytesCut)
    text.add(" bytes from offset ")
    text.add(report.cutOffset)
    text.add(" of ")
    text.add(.segment(report.cutSegment))
    text.add(", ")
    text.add(report.entriesCut)
    text.add(" whole entries among them, none of which was acknowledged as durable")
}

@c @implementation public func walrus_destroy(_ dir: UnsafePointer<CChar>?) -> Int32 {
    guard let dir = unsafe dir else { return fail(LogError(.invalid, "dir is NULL")) }
    var existing = Options()
    existing.create = false
    do throws(LogError) {
        let storage = try unsafe PosixStorage(path: dir, permissions: existing.fileMode)
        _ = try DiskLog.isThere(storage, existing)
        try storage.lock()
        defer { storage.unlock() }
        try DiskLog.destroy(storage)
        try unsafe storage.removeDirectory(path: dir)
    } catch {
        return unsafe fail(error, directory: dir)
    }
    return ok
}
