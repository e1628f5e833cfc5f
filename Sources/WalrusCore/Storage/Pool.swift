// Pool.swift - things that are costly to make, kept for whoever needs one next

import CWalrusPlatform

/// Values in memory from C. Each is used by one thread at a time.
@safe public struct Pool<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    /// Addresses of those that nobody uses.
    private let idle: Guarded<CArray<UInt>>
    /// More than this many are not kept.
    private static var most: Int { 16 }

    init() throws(LogError) {
        var list = CArray<UInt>()
        try list.reserve(Pool.most)
        idle = try Guarded(list)
    }

    /// Calls `body` with a value that nobody else uses, made by `make` if none is idle.
    func use(make: () throws(LogError) -> Value, _ body: (inout Value) throws(LogError) -> Void) throws(LogError) {
        let address: UInt
        if let idle = take() { address = idle } else { address = try Pool.allocate(try make()) }
        var failure: LogError? = nil
        if let value = unsafe UnsafeMutablePointer<Value>(bitPattern: address) {
            do throws(LogError) { try unsafe body(&value.pointee) } catch { failure = error }
        }
        giveBack(address)
        if let failure { throw failure }
    }

    private func take() -> UInt? {
        var address: UInt? = nil
        try? idle.withLock { list in
            address = list.last
            if address != nil { list.removeLast(1) }
        }
        return address
    }

    private static func allocate(_ initial: consuming Value) throws(LogError) -> UInt {
        guard let base = unsafe malloc(max(MemoryLayout<Value>.stride, 1)) else {
            throw LogError(.noMemory, "there is not enough memory for a work space")
        }
        let value = unsafe base.bindMemory(to: Value.self, capacity: 1)
        unsafe value.initialize(to: initial)
        return UInt(bitPattern: value)
    }

    private func giveBack(_ address: UInt) {
        var isKept = false
        try? idle.withLock { (list) throws(LogError) in
            if list.count >= Pool.most { return }
            try list.append(address)
            isKept = true
        }
        if !isKept { Pool.destroy(address) }
    }

    private static func destroy(_ address: UInt) {
        guard let value = unsafe UnsafeMutablePointer<Value>(bitPattern: address) else { return }
        unsafe value.deinitialize(count: 1)
        unsafe free(value)
    }

    /// Lets go of all of them; nobody uses one any more.
    func empty() {
        while let address = take() { Pool.destroy(address) }
    }
}
