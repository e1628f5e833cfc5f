// TruncateFunctions.swift - truncate, truncate_front, reset

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
