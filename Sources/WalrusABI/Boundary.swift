// Boundary.swift - handles, failures and records as C sees them
//
// Each exported function is one do-catch around the engine: arguments are checked, the engine is called, and an error becomes this thread's
// last failure and a code. Nothing here keeps state.

import CWalrus
import CWalrusPlatform
import WalrusCore

let ok: Int32 = 0

// ---- Handles

/// Calls `body` with the log behind a handle, without counting references.
@inline(__always)
func withLog(_ handle: OpaquePointer?, _ body: (DiskLog) throws(LogError) -> Void) -> Int32 {
    guard let handle = unsafe handle else { return fail(LogError(.invalid, "the log is NULL")) }
    return unsafe Unmanaged<DiskLog>.fromOpaque(UnsafeRawPointer(handle))._withUnsafeGuaranteedRef { log in
        do throws(LogError) {
            try body(log)
            return ok
        } catch {
            return fail(error, in: log)
        }
    }
}

/// The same for functions that answer a number, 0 where there is none.
@inline(__always)
func numberOf(_ handle: OpaquePointer?, _ body: (DiskLog) -> UInt64) -> UInt64 {
    guard let handle = unsafe handle else { return 0 }
    return unsafe Unmanaged<DiskLog>.fromOpaque(UnsafeRawPointer(handle))._withUnsafeGuaranteedRef { body($0) }
}

// ---- Failures

/// Notes an error as this thread's last failure and returns its code.
@inline(never)
func fail(_ error: LogError, in log: DiskLog? = nil) -> Int32 {
    unsafe fail(error, directory: log?.storage.path)
}

@inline(never)
func fail(_ error: LogError, directory: UnsafePointer<CChar>?) -> Int32 {
    note(error) { text in
        if let directory = unsafe directory {
            unsafe text.add(cString: directory)
            text.add(": ")
        }
        text.add(error)
    }
    unsafe notePath(directory, error.file)
    return error.code.rawValue
}

/// Notes a failure whose message the caller writes.
func note(_ error: LogError, message: (inout Text) -> Void) {
    guard let failure = unsafe wp_last_failure(1) else { return }
    unsafe failure.pointee.code = error.code.rawValue
    unsafe failure.pointee.os_errno = error.errno
    unsafe failure.pointee.index = error.index
    unsafe failure.pointee.offset = error.offset
    unsafe failure.pointee.path.0 = 0
    let capacity = unsafe MemoryLayout.size(ofValue: failure.pointee.message)
    unsafe withUnsafeMutablePointer(to: &failure.pointee.message) { buffer in
        unsafe buffer.withMemoryRebound(to: CChar.self, capacity: capacity) { base in
            var text = unsafe Text(base, capacity: capacity)
            message(&text)
        }
    }
}

/// The file concerned, with its directory; the front goes where it is too long.
private func notePath(_ directory: UnsafePointer<CChar>?, _ file: FileName?) {
    guard let failure = unsafe wp_last_failure(1), let directory = unsafe directory else { return }
    let capacity = unsafe MemoryLayout.size(ofValue: failure.pointee.path)
    let room = capacity - (file == nil ? 1 : 34)
    let length = unsafe strlen(directory)
    unsafe withUnsafeMutablePointer(to: &failure.pointee.path) { buffer in
        unsafe buffer.withMemoryRebound(to: CChar.self, capacity: capacity) { base in
            var text = unsafe Text(base, capacity: capacity)
            unsafe text.add(cString: directory + max(0, length - room))
            if let file {
                text.add("/")
                text.add(file)
            }
        }
    }
}

// ---- Records

/// The caller's records, read in place.
@safe struct ForeignRecords: Records {
    let base: UnsafePointer<walrus_record_t>
    let count: Int

    @inline(__always)
    func record(_ i: Int) throws(LogError) -> Record {
        let record = unsafe base[i]
        guard unsafe record.reserved.0 == 0 && record.reserved.1 == 0 else {
            throw LogError(.invalid, "a record's reserved words must be 0; initialise it with {0}")
        }
        return Record(
            payload: try unsafe payload(record.data, record.size), index: unsafe record.index, term: unsafe record.term,
            time: unsafe record.timestamp_ns == 0 ? nil : record.timestamp_ns)
    }
}

/// One run of bytes and their sizes, read in place. Records are looked at in order, more than once, so where the last one was is
/// kept instead of a table of offsets.
@safe struct PackedRecords: Records {
    struct Place {
        var record = 0
        var offset = 0
    }

    let data: UnsafeRawPointer?
    let sizes: UnsafePointer<UInt32>
    let count: Int
    let term: UInt64
    let place: UnsafeMutablePointer<Place>

    @inline(__always)
    func record(_ i: Int) throws(LogError) -> Record {
        var at = unsafe place.pointee
        if i < at.record { at = Place() }
        while at.record < i {
            at.offset += unsafe Int(sizes[at.record])
            at.record += 1
        }
        unsafe place.pointee = at
        let size = unsafe Int(sizes[i])
        let start = unsafe size == 0 ? nil : data.map { unsafe $0 + at.offset }
        return Record(payload: try unsafe payload(start, size), term: term)
    }
}

/// Calls `body` with packed records.
func withPackedRecords(
    _ data: UnsafeRawPointer?, _ sizes: UnsafePointer<UInt32>, _ count: Int, _ term: UInt64,
    _ body: (PackedRecords) throws(LogError) -> Void
) throws(LogError) {
    var place = PackedRecords.Place()
    var failure: LogError? = nil
    unsafe withUnsafeMutablePointer(to: &place) { place in
        do throws(LogError) {
            try unsafe body(PackedRecords(data: data, sizes: sizes, count: count, term: term, place: place))
        } catch {
            failure = error
        }
    }
    if let failure { throw failure }
}

@inline(__always)
func payload(_ data: UnsafeRawPointer?, _ size: Int) throws(LogError) -> Bytes {
    if unsafe data == nil && size != 0 { throw LogError(.invalid, "the data is NULL, but its size is not 0") }
    // A size_t above the signed range arrives as a negative number.
    guard size >= 0, size <= Limits.maxEntrySize.upperBound else {
        throw LogError(.tooLarge, "the entry is larger than any entry may be (1 GiB)")
    }
    return unsafe Bytes(data, count: size)
}

/// What the flags of one call ask for; nil: the log's own policy.
@inline(__always)
func policy(_ flags: UInt32) throws(LogError) -> Policy? {
    switch flags {
    case 0: return nil
    case 1: return .durable
    case 2: return .system
    case 4: return .buffered
    default:
        throw LogError(.invalid, "the flags must be 0 or one of WALRUS_DURABLE, WALRUS_TO_OS, WALRUS_BUFFERED")
    }
}

// ---- Structs that grow

/// Copies a filled struct into the caller's, which says in its first field how much of it there is.
func fill<T>(_ target: UnsafeMutablePointer<T>?, size: UInt32, from value: inout T) throws(LogError) {
    guard let target = unsafe target else { throw LogError(.invalid, "the struct to be filled is NULL") }
    guard size >= 8 else {
        throw LogError(.invalid, "struct_size is not set; set it to the struct's sizeof before the call")
    }
    unsafe withUnsafeBytes(of: &value) { bytes in
        let count = min(Int(size), bytes.count)
        // struct_size itself stays the caller's.
        unsafe memcpy(UnsafeMutableRawPointer(target) + 4, bytes.baseAddress.unsafelyUnwrapped + 4, count - 4)
    }
}
