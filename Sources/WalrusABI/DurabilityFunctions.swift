// DurabilityFunctions.swift - sync, the durable index, and waiting for it

import CWalrus
import WalrusCore

@c @implementation public func walrus_sync(_ log: OpaquePointer?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.sync() }
}

@c @implementation public func walrus_durable_index(_ log: OpaquePointer?) -> UInt64 {
    unsafe numberOf(log) { $0.durableIndex }
}

@c @implementation public func walrus_wait_durable(_ log: OpaquePointer?, _ index: UInt64, _ timeout: Int64) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.waitDurable(index, timeout: timeout) }
}

@c @implementation public func walrus_notify_fd(_ log: OpaquePointer?, _ fd: UnsafeMutablePointer<Int32>?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let fd = unsafe fd else { throw LogError(.invalid, "fd is NULL") }
        unsafe fd.pointee = try log.notifyDescriptor()
    }
}

@c @implementation public func walrus_interrupt(_ log: OpaquePointer?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.interrupt() }
}
