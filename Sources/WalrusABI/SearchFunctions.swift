// SearchFunctions.swift - seek_time, last_index_of_term

import CWalrus
import WalrusCore

@c @implementation public func walrus_seek_time(
    _ log: OpaquePointer?, _ timestamp: Int64, _ index: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let index = unsafe index else { throw LogError(.invalid, "index is NULL") }
        unsafe index.pointee = try log.seekTime(timestamp)
    }
}

@c @implementation public func walrus_last_index_of_term(
    _ log: OpaquePointer?, _ term: UInt64, _ index: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let index = unsafe index else { throw LogError(.invalid, "index is NULL") }
        unsafe index.pointee = try log.lastIndexOfTerm(term)
    }
}
