// AppendFunctions.swift - append in all its forms

import CWalrus
import WalrusCore

/// Appends, and writes the index where it is certain.
@inline(__always)
private func append<R: Records>(
    _ records: R, to log: DiskLog, _ policy: Policy?, _ index: UnsafeMutablePointer<UInt64>?
) throws(LogError) {
    var first: UInt64 = 0
    do throws(LogError) {
        try log.append(records, policy) { first = $0 }
    } catch {
        // The entries are in the log; only the wait for the disk was ended.
        if error.code == .canceled { unsafe index?.pointee = first }
        throw error
    }
    unsafe index?.pointee = first
}

@c @implementation public func walrus_append(
    _ log: OpaquePointer?, _ data: UnsafeRawPointer?, _ size: Int, _ index: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        try unsafe append(OneRecord(Record(payload: try payload(data, size))), to: log, nil, index)
    }
}

@c @implementation public func walrus_append_record(
    _ log: OpaquePointer?, _ record: UnsafePointer<walrus_record_t>?, _ flags: UInt32,
    _ index: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        try unsafe append(OneRecord(try only(record)), to: log, try policy(flags), index)
    }
}

private func only(_ record: UnsafePointer<walrus_record_t>?) throws(LogError) -> Record {
    guard let record = unsafe record else { throw LogError(.invalid, "the record is NULL") }
    return try unsafe ForeignRecords(base: record, count: 1).record(0)
}

@c @implementation public func walrus_append_batch(
    _ log: OpaquePointer?, _ records: UnsafePointer<walrus_record_t>?, _ count: Int, _ flags: UInt32,
    _ firstIndex: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        let policy = try policy(flags)
        try checkCount(count)
        if count == 0 {
            try log.checkWritable()
            unsafe firstIndex?.pointee = log.nextIndex
            return
        }
        guard let records = unsafe records else { throw LogError(.invalid, "the records are NULL") }
        try unsafe append(ForeignRecords(base: records, count: count), to: log, policy, firstIndex)
    }
}

private func checkCount(_ count: Int) throws(LogError) {
    guard count >= 0, count <= 1 << 31 else {
        throw LogError(.tooLarge, "the batch has more records than any batch may have")
    }
}

@c @implementation public func walrus_append_packed(
    _ log: OpaquePointer?, _ data: UnsafeRawPointer?, _ sizes: UnsafePointer<UInt32>?, _ count: Int, _ term: UInt64,
    _ flags: UInt32, _ firstIndex: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        let policy = try policy(flags)
        try checkCount(count)
        if count == 0 {
            try log.checkWritable()
            unsafe firstIndex?.pointee = log.nextIndex
            return
        }
        guard let sizes = unsafe sizes else { throw LogError(.invalid, "the sizes are NULL") }
        try unsafe withPackedRecords(data, sizes, count, term) { (records) throws(LogError) in
            try unsafe append(records, to: log, policy, firstIndex)
        }
    }
}

@c @implementation public func walrus_append_async(
    _ log: OpaquePointer?, _ record: UnsafePointer<walrus_record_t>?, _ flags: UInt32, _ done: walrus_done_fn?,
    _ ctx: UnsafeMutableRawPointer?, _ index: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard try policy(flags) ?? .durable == .durable else {
            throw LogError(.invalid, "asynchronous appends are durable ones: the flags must be 0 or WALRUS_DURABLE")
        }
        let only = try unsafe only(record)
        try log.appendAsync(only, unsafe Completion(done, context: ctx)) { unsafe index?.pointee = $0 }
    }
}
