// AppendFunctions.swift - append and sync

import CWalrus
import WalrusCore

@c @implementation public func walrus_append(
    _ log: OpaquePointer?, _ data: UnsafeRawPointer?, _ size: Int, _ index: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        let appended = try log.append(OneRecord(Record(payload: try unsafe payload(data, size))))
        unsafe index?.pointee = appended
    }
}

@c @implementation public func walrus_append_record(
    _ log: OpaquePointer?, _ record: UnsafePointer<walrus_record_t>?, _ flags: UInt32,
    _ index: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let record = unsafe record else { throw LogError(.invalid, "the record is NULL") }
        let only = try unsafe ForeignRecords(base: record, count: 1).record(0)
        let appended = try log.append(OneRecord(only), try policy(flags))
        unsafe index?.pointee = appended
    }
}

@c @implementation public func walrus_append_batch(
    _ log: OpaquePointer?, _ records: UnsafePointer<walrus_record_t>?, _ count: Int, _ flags: UInt32,
    _ firstIndex: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        let policy = try policy(flags)
        guard count >= 0, count <= 1 << 31 else {
            throw LogError(.tooLarge, "the batch has more records than any batch may have")
        }
        if count == 0 {
            try log.checkWritable()
            unsafe firstIndex?.pointee = log.nextIndex
            return
        }
        guard let records = unsafe records else { throw LogError(.invalid, "the records are NULL") }
        let appended = try log.append(unsafe ForeignRecords(base: records, count: count), policy)
        unsafe firstIndex?.pointee = appended
    }
}

@c @implementation public func walrus_sync(_ log: OpaquePointer?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.sync() }
}

@c @implementation public func walrus_durable_index(_ log: OpaquePointer?) -> UInt64 {
    unsafe numberOf(log) { $0.durableIndex }
}
