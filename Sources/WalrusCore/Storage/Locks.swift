// Locks.swift - mutex, condition and read-write lock, with stable addresses
//
// pthread's, in memory from C: a mutex inside a Swift struct may move, and Synchronization.Mutex is missing in Embedded
// Swift. The thread sanitizer understands these.

import CWalrusPlatform

private func allocated<T: ~Copyable>(_: T.Type) throws(LogError) -> UnsafeMutablePointer<T> {
    guard let base = unsafe calloc(1, MemoryLayout<T>.stride) else {
        throw LogError(.noMemory, "there is not enough memory for a lock")
    }
    return unsafe base.bindMemory(to: T.self, capacity: 1)
}

@safe public struct Mutex: ~Copyable, @unchecked Sendable {
    fileprivate let raw: UnsafeMutablePointer<pthread_mutex_t>

    init() throws(LogError) {
        unsafe raw = try allocated(pthread_mutex_t.self)
        unsafe pthread_mutex_init(raw, nil)
    }

    @inline(__always) func lock() { unsafe pthread_mutex_lock(raw) }
    @inline(__always) func unlock() { unsafe pthread_mutex_unlock(raw) }
    /// Takes it if nobody has it.
    func tryLock() -> Bool { unsafe pthread_mutex_trylock(raw) == 0 }

    deinit {
        unsafe pthread_mutex_destroy(raw)
        unsafe free(raw)
    }
}

@safe public struct Condition: ~Copyable, @unchecked Sendable {
    private let raw: UnsafeMutablePointer<pthread_cond_t>
    private let generation = wp_generation()

    init() throws(LogError) {
        unsafe raw = try allocated(pthread_cond_t.self)
        // Deadlines are of the monotonic clock: a clock that is set must not make anybody wait for an hour.
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(raw, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    /// Gives up `mutex`, waits for a wake-up (or none at all), and takes it again.
    func wait(_ mutex: borrowing Mutex) { unsafe pthread_cond_wait(raw, mutex.raw) }
    /// The same, but no longer than until `time` on the monotonic clock, in nanoseconds.
    func wait(_ mutex: borrowing Mutex, until time: Int64) {
        var deadline = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
        unsafe pthread_cond_timedwait(raw, mutex.raw, &deadline)
    }
    func wakeAll() { unsafe pthread_cond_broadcast(raw) }

    deinit {
        // In a forked child it would wait for waiters that did not come along.
        if generation == wp_generation() { unsafe pthread_cond_destroy(raw) }
        unsafe free(raw)
    }
}

/// Lets other threads that could run do so first.
func giveWay() { sched_yield() }

/// Many readers or one writer. Writers go first: a stream of readers must not hold up a rotation.
@safe public struct ReadWriteLock: ~Copyable, @unchecked Sendable {
    private let raw: UnsafeMutablePointer<pthread_rwlock_t>

    init() throws(LogError) {
        unsafe raw = try allocated(pthread_rwlock_t.self)
        var attributes = pthread_rwlockattr_t()
        unsafe pthread_rwlockattr_init(&attributes)
        unsafe pthread_rwlockattr_setkind_np(&attributes, wp_prefer_writers())
        unsafe pthread_rwlock_init(raw, &attributes)
        unsafe pthread_rwlockattr_destroy(&attributes)
    }

    @inline(__always) func lockShared() { unsafe pthread_rwlock_rdlock(raw) }
    @inline(__always) func lockExclusive() { unsafe pthread_rwlock_wrlock(raw) }
    @inline(__always) func unlock() { unsafe pthread_rwlock_unlock(raw) }

    deinit {
        unsafe pthread_rwlock_destroy(raw)
        unsafe free(raw)
    }
}

/// A value in memory from C behind a read-write lock.
@safe public struct ReadWriteGuarded<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    private let value: UnsafeMutablePointer<Value>
    private let lock: ReadWriteLock

    init(_ initial: consuming Value) throws(LogError) {
        let lock = try ReadWriteLock()
        let memory = try unsafe allocated(Value.self)
        unsafe memory.initialize(to: initial)
        self.lock = lock
        unsafe value = memory
    }

    @inline(__always)
    func withShared<Result>(_ body: (borrowing Value) -> Result) -> Result {
        lock.lockShared()
        defer { lock.unlock() }
        return unsafe body(value.pointee)
    }

    func withExclusive<Result>(_ body: (inout Value) throws(LogError) -> Result) throws(LogError) -> Result {
        lock.lockExclusive()
        defer { lock.unlock() }
        return try unsafe body(&value.pointee)
    }

    deinit {
        unsafe value.deinitialize(count: 1)
        unsafe free(value)
    }
}

/// A value in memory from C behind a mutex: the only way to it is `withLock`.
@safe public struct Guarded<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    private let value: UnsafeMutablePointer<Value>
    let mutex: Mutex

    init(_ initial: consuming Value) throws(LogError) {
        let lock = try Mutex()
        let memory = try unsafe allocated(Value.self)
        unsafe memory.initialize(to: initial)
        mutex = lock
        unsafe value = memory
    }

    @inline(__always)
    func withLock<Result: ~Copyable>(_ body: (inout Value) throws(LogError) -> Result) throws(LogError) -> Result {
        mutex.lock()
        defer { mutex.unlock() }
        return try unsafe body(&value.pointee)
    }

    deinit {
        unsafe value.deinitialize(count: 1)
        unsafe free(value)
    }
}
