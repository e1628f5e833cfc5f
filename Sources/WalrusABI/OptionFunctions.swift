// OptionFunctions.swift - the options handle
//
// One enumeration of keys; what a key is called, takes and does is told once each below.

import CWalrus
import CWalrusPlatform
import WalrusCore

/// What a walrus_options_t is.
final class OptionSet {
    var options = Options()
}

private enum OptionKey: Int {
    case create, mustBeNew, readOnly, recovery, sync, segmentSize, preallocate, cachedSegments, bufferSize, syncPadding
    case fileMode, verifyReads, zeroCopy, maxEntrySize, syncInterval, syncBytes, asyncMaxBytes
    case maxSegments, retentionBytes, retentionAge, transactionTimeout, transactionMaxEntries
    case format, compression, compressionLevel, compressionMinSize

    static var count: Int { 26 }

    var name: StaticString {
        switch self {
        case .create: "create"
        case .mustBeNew: "must_be_new"
        case .readOnly: "read_only"
        case .recovery: "recovery"
        case .sync: "sync"
        case .segmentSize: "segment_size"
        case .preallocate: "preallocate"
        case .cachedSegments: "cached_segments"
        case .bufferSize: "buffer_size"
        case .syncPadding: "sync_padding"
        case .fileMode: "file_mode"
        case .verifyReads: "verify_reads"
        case .zeroCopy: "zero_copy"
        case .maxEntrySize: "max_entry_size"
        case .syncInterval: "sync_interval_ms"
        case .syncBytes: "sync_bytes"
        case .asyncMaxBytes: "async_max_bytes"
        case .maxSegments: "max_segments"
        case .retentionBytes: "retention_bytes"
        case .retentionAge: "retention_age_ms"
        case .transactionTimeout: "txn_timeout_ms"
        case .transactionMaxEntries: "txn_max_entries"
        case .format: "format"
        case .compression: "compression"
        case .compressionLevel: "compression_level"
        case .compressionMinSize: "compression_min_size"
        }
    }

    var allowed: StaticString {
        switch self {
        case .create, .mustBeNew, .readOnly, .preallocate, .verifyReads, .zeroCopy: "true or false"
        case .recovery: "strict, torn_tail or salvage"
        case .sync: "always, interval, os or none"
        case .segmentSize: "4KiB to 4GiB"
        case .cachedSegments: "1 to 65536"
        case .bufferSize: "4KiB to 1GiB"
        case .syncPadding: "0 or 4096"
        case .fileMode: "an octal number from 0600 to 0777 that lets the owner read and write"
        case .maxEntrySize: "1 to 1GiB"
        case .syncInterval: "1 to 3600000 milliseconds"
        case .syncBytes: "0 (no limit) to 1TiB"
        case .asyncMaxBytes: "1 to 1TiB"
        case .maxSegments: "0 (no limit) to 1048576"
        case .retentionBytes, .retentionAge: "0 (no limit) to 2^60"
        case .transactionTimeout: "1 to 2^60 milliseconds"
        case .transactionMaxEntries: "1 to 16777216"
        case .format: "binary, json or proto"
        case .compression: "none or zlib"
        case .compressionLevel: "-1 (zlib's choice), or 0 to 9"
        case .compressionMinSize: "0 to 1GiB"
        }
    }

    /// As `walrus_options_get` gives it.
    var defaultValue: StaticString {
        switch self {
        case .create, .preallocate, .verifyReads, .zeroCopy: "true"
        case .mustBeNew, .readOnly: "false"
        case .recovery: "torn_tail"
        case .sync: "always"
        case .segmentSize: "67108864"
        case .cachedSegments: "512"
        case .bufferSize: "262144"
        case .syncPadding: "0"
        case .fileMode: "0640"
        case .maxEntrySize, .asyncMaxBytes: "67108864"
        case .syncInterval: "100"
        case .syncBytes, .maxSegments, .retentionBytes, .retentionAge: "0"
        case .transactionTimeout: "30000"
        case .transactionMaxEntries: "1000"
        case .format: "binary"
        case .compression: "none"
        case .compressionLevel: "-1"
        case .compressionMinSize: "256"
        }
    }
}

/// Options that a later version has.
private let laterKeys: [StaticString] = [
    "recycle_segments", "write_mode",
]

private func equal(_ text: UnsafePointer<CChar>, _ literal: StaticString) -> Bool {
    unsafe strcmp(text, cString(literal)) == 0
}

private func formatNamed(_ text: UnsafePointer<CChar>) -> FrameFormat? {
    if unsafe equal(text, "binary") { return .binary }
    if unsafe equal(text, "json") { return .json }
    if unsafe equal(text, "proto") { return .proto }
    return nil
}

private func find(_ key: UnsafePointer<CChar>) -> OptionKey? {
    for i in 0..<OptionKey.count {
        if let option = OptionKey(rawValue: i), unsafe equal(key, option.name) { return option }
    }
    return nil
}

// ---- Numbers and names

@safe private enum Value {
    case number(UInt64)
    case text(UnsafePointer<CChar>)
}

/// What a number counts, and so which units may follow it.
private enum Measure { case bytes, milliseconds, mode, plain }

private func unit(_ text: UnsafePointer<CChar>, of measure: Measure) -> UInt64? {
    if unsafe text.pointee == 0 { return 1 }
    switch measure {
    case .bytes:
        if unsafe equal(text, "B") { return 1 }
        if unsafe equal(text, "KiB") { return 1 << 10 }
        if unsafe equal(text, "MiB") { return 1 << 20 }
        if unsafe equal(text, "GiB") { return 1 << 30 }
        if unsafe equal(text, "TiB") { return 1 << 40 }
    case .milliseconds:
        if unsafe equal(text, "ms") { return 1 }
        if unsafe equal(text, "s") { return 1000 }
        if unsafe equal(text, "min") { return 60_000 }
        if unsafe equal(text, "h") { return 3_600_000 }
        if unsafe equal(text, "d") { return 86_400_000 }
    case .mode, .plain: break
    }
    return nil
}

/// A number, in octal where it is a file mode, and its unit.
private func parse(_ text: UnsafePointer<CChar>, _ measure: Measure) -> UInt64? {
    var number: UInt64 = 0
    var at = 0
    let base: UInt64 = measure == .mode ? 8 : 10
    while unsafe text[at] >= 48 && text[at] < 48 + CChar(base) {
        let (product, tooLarge) = number.multipliedReportingOverflow(by: base)
        let (sum, stillTooLarge) = product.addingReportingOverflow(unsafe UInt64(text[at] - 48))
        if tooLarge || stillTooLarge { return nil }
        number = sum
        at += 1
    }
    if at == 0 { return nil }
    guard let factor = unsafe unit(text + at, of: measure) else { return nil }
    let (product, tooLarge) = number.multipliedReportingOverflow(by: factor)
    return tooLarge ? nil : product
}

private func boolean(_ value: Value) -> Bool? {
    switch value {
    case .number(let number): return number == 0 ? false : number == 1 ? true : nil
    case .text(let text):
        if unsafe equal(text, "true") || equal(text, "on") || equal(text, "1") { return true }
        if unsafe equal(text, "false") || equal(text, "off") || equal(text, "0") { return false }
        return nil
    }
}

private func number(_ value: Value, _ measure: Measure = .bytes) -> UInt64? {
    switch value {
    case .number(let number): return number
    case .text(let text): return unsafe parse(text, measure)
    }
}

// ---- Set

private enum Refusal { case impossible }

extension OptionSet {
    /// nil: done.
    fileprivate func set(_ key: OptionKey, _ value: Value) -> Refusal? {
        switch key {
        case .create: return setBoolean(value) { $0.create = $1 }
        case .mustBeNew: return setBoolean(value) { $0.mustBeNew = $1 }
        case .readOnly: return setBoolean(value) { $0.readOnly = $1 }
        case .preallocate: return setBoolean(value) { $0.preallocate = $1 }
        case .verifyReads: return setBoolean(value) { $0.verifyReads = $1 }
        case .zeroCopy: return setBoolean(value) { $0.zeroCopy = $1 }
        case .segmentSize: return setNumber(value, in: Limits.segmentSize) { $0.segmentSize = $1 }
        case .cachedSegments: return setNumber(value, in: Limits.cachedSegments) { $0.cachedSegments = Int($1) }
        case .bufferSize: return setNumber(value, in: Limits.bufferSize) { $0.bufferSize = Int($1) }
        case .maxEntrySize: return setNumber(value, in: Limits.maxEntrySize) { $0.maxEntrySize = Int($1) }
        case .syncInterval:
            return setNumber(value, .milliseconds, in: Limits.syncInterval) { $0.syncInterval = $1 }
        case .syncBytes: return setNumber(value, in: Limits.syncBytes) { $0.syncBytes = $1 }
        case .asyncMaxBytes: return setNumber(value, in: Limits.asyncMaxBytes) { $0.asyncMaxBytes = $1 }
        case .maxSegments: return setNumber(value, in: Limits.maxSegments) { $0.maxSegments = $1 }
        case .retentionBytes: return setNumber(value, in: Limits.retention) { $0.retentionBytes = $1 }
        case .retentionAge: return setNumber(value, .milliseconds, in: Limits.retention) { $0.retentionAge = $1 }
        case .transactionTimeout:
            return setNumber(value, .milliseconds, in: Limits.transactionTimeout) { $0.transactionTimeout = $1 }
        case .transactionMaxEntries:
            return setNumber(value, in: Limits.transactionMaxEntries) { $0.transactionMaxEntries = $1 }
        case .format:
            guard case .text(let text) = value else { return .impossible }
            guard let format = unsafe formatNamed(text) else { return .impossible }
            options.format = format
        case .compression:
            guard case .text(let text) = value else { return .impossible }
            if unsafe equal(text, "none") {
                options.compression = .none
            } else if unsafe equal(text, "zlib") {
                options.compression = .zlib
            } else {
                return .impossible
            }
        case .compressionLevel:
            if case .text(let text) = value, unsafe equal(text, "-1") {
                options.compressionLevel = -1
            } else {
                guard let level = number(value, .plain), level <= 9 else { return .impossible }
                options.compressionLevel = Int32(level)
            }
        case .compressionMinSize:
            return setNumber(value, in: Limits.compressionMinSize) { $0.compressionMinSize = Int($1) }
        case .syncPadding:
            guard let number = number(value), number == 0 || number == 4096 else { return .impossible }
            options.syncPadding = number
        case .fileMode:
            guard let mode = number(value, .mode), mode <= 0o777, mode & 0o600 == 0o600 else { return .impossible }
            options.fileMode = UInt32(mode)
        case .recovery:
            guard case .text(let text) = value else { return .impossible }
            if unsafe equal(text, "strict") {
                options.recovery = .strict
            } else if unsafe equal(text, "torn_tail") {
                options.recovery = .tornTail
            } else if unsafe equal(text, "salvage") {
                options.recovery = .salvage
            } else {
                return .impossible
            }
        case .sync:
            guard case .text(let text) = value else { return .impossible }
            if unsafe equal(text, "always") {
                options.sync = .durable
            } else if unsafe equal(text, "os") {
                options.sync = .system
            } else if unsafe equal(text, "none") {
                options.sync = .buffered
            } else if unsafe equal(text, "interval") {
                options.sync = .interval
            } else {
                return .impossible
            }
        }
        return nil
    }

    private func setBoolean(_ value: Value, _ store: (inout Options, Bool) -> Void) -> Refusal? {
        guard let flag = boolean(value) else { return .impossible }
        store(&options, flag)
        return nil
    }

    private func setNumber(
        _ value: Value, _ measure: Measure = .bytes, in range: ClosedRange<UInt64>, _ store: (inout Options, UInt64) -> Void
    ) -> Refusal? {
        guard let number = number(value, measure), range.contains(number) else { return .impossible }
        store(&options, number)
        return nil
    }

    fileprivate func write(_ key: OptionKey, to text: inout Text) {
        func add(_ flag: Bool) { text.add(flag ? "true" : "false") }
        switch key {
        case .create: add(options.create)
        case .mustBeNew: add(options.mustBeNew)
        case .readOnly: add(options.readOnly)
        case .preallocate: add(options.preallocate)
        case .verifyReads: add(options.verifyReads)
        case .zeroCopy: add(options.zeroCopy)
        case .segmentSize: text.add(options.segmentSize)
        case .cachedSegments: text.add(UInt64(options.cachedSegments))
        case .bufferSize: text.add(UInt64(options.bufferSize))
        case .maxEntrySize: text.add(UInt64(options.maxEntrySize))
        case .syncInterval: text.add(options.syncInterval)
        case .syncBytes: text.add(options.syncBytes)
        case .asyncMaxBytes: text.add(options.asyncMaxBytes)
        case .maxSegments: text.add(options.maxSegments)
        case .retentionBytes: text.add(options.retentionBytes)
        case .retentionAge: text.add(options.retentionAge)
        case .transactionTimeout: text.add(options.transactionTimeout)
        case .transactionMaxEntries: text.add(options.transactionMaxEntries)
        case .format:
            switch options.format {
            case nil, .binary: text.add("binary")
            case .json: text.add("json")
            case .proto: text.add("proto")
            }
        case .compression: text.add(options.compression == .zlib ? "zlib" : "none")
        case .compressionLevel:
            if options.compressionLevel < 0 { text.add("-1") } else { text.add(UInt64(options.compressionLevel)) }
        case .compressionMinSize: text.add(UInt64(options.compressionMinSize))
        case .syncPadding: text.add(options.syncPadding)
        case .fileMode: text.addOctal(UInt64(options.fileMode))
        case .recovery:
            switch options.recovery {
            case .strict: text.add("strict")
            case .tornTail: text.add("torn_tail")
            case .salvage: text.add("salvage")
            }
        case .sync:
            switch options.sync {
            case .durable: text.add("always")
            case .interval: text.add("interval")
            case .system: text.add("os")
            case .buffered: text.add("none")
            }
        }
    }
}

/// Looks the key up, sets it, and words what was wrong.
private func set(_ handle: OpaquePointer?, _ key: UnsafePointer<CChar>?, _ value: Value) -> Int32 {
    guard let handle = unsafe handle, let key = unsafe key else {
        return fail(LogError(.invalid, "the options or the key is NULL"))
    }
    guard let option = unsafe find(key) else {
        var isLater = false
        for later in laterKeys where unsafe equal(key, later) { isLater = true }
        return unsafe refuse(key, value, isLater ? .unsupported : .invalid, isLater ? nil : "there is no such option")
    }
    let refusal = unsafe Unmanaged<OptionSet>.fromOpaque(UnsafeRawPointer(handle))._withUnsafeGuaranteedRef {
        $0.set(option, value)
    }
    switch refusal {
    case nil: return ok
    case .impossible: return unsafe refuse(key, value, .invalid, option.allowed)
    }
}

private func refuse(_ key: UnsafePointer<CChar>, _ value: Value, _ code: ErrorCode, _ allowed: StaticString?) -> Int32 {
    note(LogError(code, "")) { text in
        text.add("option ")
        unsafe text.add(cString: key)
        text.add(" = ")
        switch value {
        case .number(let number): text.add(number)
        case .text(let string): unsafe text.add(cString: string)
        }
        if code == .unsupported {
            text.add(": this version of libwalrus does not have it yet; leave it out")
        } else if let allowed {
            text.add(": allowed is ")
            text.add(allowed)
        }
    }
    return code.rawValue
}

// ---- The functions

@c @implementation public func walrus_options_new() -> OpaquePointer? {
    unsafe OpaquePointer(Unmanaged.passRetained(OptionSet()).toOpaque())
}

@c @implementation public func walrus_options_free(_ options: OpaquePointer?) {
    if let options = unsafe options { unsafe Unmanaged<OptionSet>.fromOpaque(UnsafeRawPointer(options)).release() }
}

@c @implementation public func walrus_options_set(
    _ options: OpaquePointer?, _ key: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?
) -> Int32 {
    guard let value = unsafe value else { return fail(LogError(.invalid, "the value is NULL")) }
    return unsafe set(options, key, .text(value))
}

@c @implementation public func walrus_options_set_u64(
    _ options: OpaquePointer?, _ key: UnsafePointer<CChar>?, _ value: UInt64
) -> Int32 {
    unsafe set(options, key, .number(value))
}

@c @implementation public func walrus_options_get(
    _ options: OpaquePointer?, _ key: UnsafePointer<CChar>?, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ size: UnsafeMutablePointer<Int>?
) -> Int32 {
    guard let options = unsafe options, let key = unsafe key else {
        return fail(LogError(.invalid, "the options or the key is NULL"))
    }
    if unsafe buffer == nil && capacity != 0 {
        return fail(LogError(.invalid, "the buffer is NULL, but its capacity is not 0"))
    }
    guard let option = unsafe find(key) else {
        return unsafe refuse(key, .number(0), .invalid, "there is no such option")
    }
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { temporary -> Int32 in
        guard let base = temporary.baseAddress else { return fail(LogError(.noMemory, "no memory")) }
        var text = unsafe Text(base, capacity: temporary.count)
        unsafe Unmanaged<OptionSet>.fromOpaque(UnsafeRawPointer(options))._withUnsafeGuaranteedRef {
            $0.write(option, to: &text)
        }
        let needed = text.length + 1
        unsafe size?.pointee = needed
        if capacity >= 0 && capacity < needed {
            return fail(LogError(.tooSmall, "the buffer is too small for the option's value; size says what is needed"))
        }
        if let buffer = unsafe buffer { unsafe memcpy(buffer, base, needed) }
        return ok
    }
}

@c @implementation public func walrus_options_each(
    _ options: OpaquePointer?, _ visit: walrus_option_visit_fn?, _ ctx: UnsafeMutableRawPointer?
) -> Int32 {
    guard let visit = unsafe visit else { return fail(LogError(.invalid, "visit is NULL")) }
    for i in 0..<OptionKey.count {
        guard let option = OptionKey(rawValue: i) else { continue }
        let stopped = unsafe visit(ctx, cString(option.name), cString(option.defaultValue), cString(option.allowed))
        if stopped > 0 { return stopped }
    }
    return ok
}

@c @implementation public func walrus_options_set_logger(
    _ options: OpaquePointer?, _ fn: walrus_log_fn?, _ ctx: UnsafeMutableRawPointer?, _ level: Int32
) -> Int32 {
    guard let options = unsafe options else { return fail(LogError(.invalid, "the options are NULL")) }
    guard level >= 1 && level <= 4 else { return fail(LogError(.invalid, "the level must lie between 1 and 4")) }
    unsafe Unmanaged<OptionSet>.fromOpaque(UnsafeRawPointer(options))._withUnsafeGuaranteedRef {
        unsafe $0.options.diagnostics = Diagnostics(sink: fn, context: ctx, level: level)
    }
    return ok
}
