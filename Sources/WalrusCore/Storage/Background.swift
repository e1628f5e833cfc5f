// Background.swift - where work runs that no append should wait for
//
// A log has two of these: one for upkeep (prepare a segment, remove files, expire transactions), one that syncs. Each has one
// job: look at what is to be done and do it, when it is asked for or when a time has come. On the disk it runs on a thread that is started when
// there is first something to do, and is gone after `stop`. In a simulation nothing runs until the harness calls
// `step`, so that a seed decides everything.

import CWalrusPlatform
import Synchronization

public final class Background: @unchecked Sendable {
    private let mutex: Mutex
    private let wakeUp: Condition
    private let usesThread: Bool
    private var job: (() -> Void)?
    private var isWanted = false
    private let isRequested = Atomic<Bool>(false)
    /// When the job is to run without being asked again, on the monotonic clock; `.max`: never.
    private let deadline = Atomic<Int64>(.max)
    private var isStopping = false
    private var thread: pthread_t?
    private let isStarted = Atomic<Bool>(false)

    public init(usesThread: Bool) throws(LogError) {
        mutex = try Mutex()
        wakeUp = try Condition()
        self.usesThread = usesThread
    }

    /// Says what the job is. Before the first `request`.
    func attach(_ job: @escaping () -> Void) { self.job = job }

    /// Asks for one run of the job, soon. Where no thread can be had, the work waits for the next request: nothing
    /// depends on it.
    func request() {
        // Appends ask again and again while the job is under way.
        if isRequested.exchange(true, ordering: .acquiringAndReleasing) { return }
        mutex.lock()
        defer { mutex.unlock() }
        guard !isStopping else { return }
        isWanted = true
        if !startThread() { isRequested.store(false, ordering: .releasing) }
        wakeUp.wakeAll()
    }

    /// Asks for one run of the job at a time of the monotonic clock, or earlier if it is asked for by somebody else.
    func request(at time: Int64) {
        if deadline.load(ordering: .relaxed) <= time { return }
        mutex.lock()
        defer { mutex.unlock() }
        guard !isStopping, time < deadline.load(ordering: .relaxed) else { return }
        deadline.store(time, ordering: .relaxed)
        _ = startThread()
        wakeUp.wakeAll()
    }

    /// Whether a time is set already.
    @inline(__always) var isScheduled: Bool { deadline.load(ordering: .relaxed) != .max }

    /// Starts the thread before it is needed. False if none can be had.
    func start() -> Bool {
        if isStarted.load(ordering: .acquiring) { return true }
        mutex.lock()
        defer { mutex.unlock() }
        return !isStopping && startThread()
    }

    /// False if there is no thread and none can be had. With the mutex.
    private func startThread() -> Bool {
        guard !isStarted.load(ordering: .relaxed) else { return true }
        guard usesThread else {
            isStarted.store(true, ordering: .releasing)
            return true
        }
        var started = pthread_t()
        let me = unsafe Unmanaged.passUnretained(self).toOpaque()
        let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
            unsafe Unmanaged<Background>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue().run()
            return nil
        }
        guard unsafe wp_thread_start(&started, body, me) == 0 else { return false }
        thread = started
        isStarted.store(true, ordering: .releasing)
        return true
    }

    private func run() {
        mutex.lock()
        while true {
            while !isWanted && !isStopping {
                let time = deadline.load(ordering: .relaxed)
                if time == .max {
                    wakeUp.wait(mutex)
                } else if wp_monotonic_ns() < time {
                    wakeUp.wait(mutex, until: time)
                } else {
                    isWanted = true
                }
            }
            // What was asked for before the end is still done.
            if !isWanted { break }
            takeRequest()
            mutex.unlock()
            job?()
            mutex.lock()
        }
        mutex.unlock()
    }

    /// What is asked for from now on is asked for anew. With the mutex.
    private func takeRequest() {
        isWanted = false
        deadline.store(.max, ordering: .relaxed)
        isRequested.store(false, ordering: .releasing)
    }

    /// Runs the job now, on this thread, if it was asked for or its time has come. For simulations.
    public func step(now: Int64) -> Bool {
        guard !usesThread, isWanted || deadline.load(ordering: .relaxed) <= now else { return false }
        takeRequest()
        job?()
        return true
    }

    /// Waits until the job is done if it is running or was asked for, and forgets it. `inChild`: the thread did not come along through a fork.
    func stop(inForkedChild: Bool) {
        if inForkedChild {
            job = nil
            return
        }
        mutex.lock()
        isStopping = true
        let running = thread
        thread = nil
        wakeUp.wakeAll()
        mutex.unlock()
        if let running { pthread_join(running, nil) }
        job = nil
    }
}
