// TransactionFunctions.swift - begin, append, commit, rollback, state, count, expire

import CWalrus
import WalrusCore

/// Calls `body` with the transaction behind a handle, without counting references.
private func withTransaction(_ handle: OpaquePointer?, _ body: (DiskTransaction) throws(LogError) -> Int32) -> Int32 {
    guard let handle = unsafe handle else { return fail(LogError(.invalid, "the transaction is NULL")) }
    return unsafe Unmanaged<DiskTransaction>.fromOpaque(UnsafeRawPointer(handle))._withUnsafeGuaranteedRef { transaction in
        do throws(LogError) {
            return try body(transaction)
        } catch {
            return fail(error, in: transaction.log)
        }
    }
}

@c @implementation public func walrus_txn_begin(
    _ log: OpaquePointer?, _ timeout: Int64, _ txn: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let txn = unsafe txn else { throw LogError(.invalid, "txn is NULL") }
        let milliseconds: UInt64? = timeout < 0 ? nil : timeout == 0 ? log.options.transactionTimeout : UInt64(timeout)
        let begun = try log.beginTransaction(timeout: milliseconds)
        unsafe txn.pointee = OpaquePointer(Unmanaged.passRetained(begun).toOpaque())
    }
}

@c @implementation public func walrus_txn_append(_ txn: OpaquePointer?, _ record: UnsafePointer<walrus_record_t>?) -> Int32 {
    unsafe withTransaction(txn) { (txn) throws(LogError) in
        guard let record = unsafe record else { throw LogError(.invalid, "the record is NULL") }
        try txn.append(try unsafe ForeignRecords(base: record, count: 1).record(0))
        return ok
    }
}

@c @implementation public func walrus_txn_commit(
    _ txn: OpaquePointer?, _ flags: UInt32, _ firstIndex: UnsafeMutablePointer<UInt64>?, _ count: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    let code = unsafe withTransaction(txn) { (txn) throws(LogError) in
        let policy = try policy(flags)
        var committed: Range<UInt64>? = nil
        defer {
            if let committed {
                unsafe firstIndex?.pointee = committed.lowerBound
                unsafe count?.pointee = UInt64(committed.count)
            }
        }
        try txn.commit(policy, &committed)
        return ok
    }
    if code == ok { unsafe release(txn) }
    return code
}

@c @implementation public func walrus_txn_rollback(_ txn: OpaquePointer?) -> Int32 {
    if unsafe txn == nil { return ok }
    var mayFree = true
    let code = unsafe withTransaction(txn) { (txn) throws(LogError) in
        mayFree = txn.isWhole
        do throws(LogError) {
            try txn.rollback()
        } catch {
            if error.code == .busy { mayFree = false }
            throw error
        }
        return ok
    }
    if mayFree { unsafe release(txn) }
    return code
}

private func release(_ txn: OpaquePointer?) {
    guard let txn = unsafe txn else { return }
    unsafe Unmanaged<DiskTransaction>.fromOpaque(UnsafeRawPointer(txn)).release()
}

@c @implementation public func walrus_txn_state(_ txn: OpaquePointer?) -> Int32 {
    unsafe withTransaction(txn) { (txn) throws(LogError) in try txn.state().rawValue }
}

@c @implementation public func walrus_txn_count(_ log: OpaquePointer?) -> UInt64 {
    unsafe numberOf(log) { $0.openTransactions }
}

@c @implementation public func walrus_txn_expire(_ log: OpaquePointer?, _ expired: UnsafeMutablePointer<UInt64>?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        try log.checkUsable()
        let number = log.expireTransactions()
        unsafe expired?.pointee = number
    }
}
