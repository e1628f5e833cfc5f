// TruncateFunctions.swift - truncate, truncate_front, reset, replace_suffix

import CWalrus
import WalrusCore

@c @implementation public func walrus_truncate(_ log: OpaquePointer?, _ index: UInt64) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.truncate(index) }
}

@c @implementation public func walrus_truncate_front(_ log: OpaquePointer?, _ index: UInt64) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.truncateFront(index) }
}

@c @implementation public func walrus_reset(_ log: OpaquePointer?, _ nextIndex: UInt64) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.reset(nextIndex) }
}

@c @implementation public func walrus_replace_suffix(
    _ log: OpaquePointer?, _ fromIndex: UInt64, _ records: UnsafePointer<walrus_record_t>?, _ count: Int, _ flags: UInt32
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard flags == 0 || flags == 1 else { throw LogError(.invalid, "the flags must be 0 or WALRUS_DURABLE") }
        guard count >= 0, count <= 1 << 31 else {
            throw LogError(.tooLarge, "the batch has more records than any batch may have")
        }
        if count == 0 { return try log.replaceSuffix(fromIndex, NoRecords()) }
        guard let records = unsafe records else { throw LogError(.invalid, "the records are NULL") }
        try log.replaceSuffix(fromIndex, unsafe ForeignRecords(base: records, count: count))
    }
}
