// Background.swift - where work runs that no append should wait for
//
// One job a log: look at what is to be done (prepare a segment, sync a full one, remove files) and do it. On the disk it
// runs on a thread that is started when there is first something to do, and is gone after `stop`. In a
// simulation nothing runs until the harness calls `step`, so that a seed decides everything.

import CWalrusPlatform
import Synchronization

public final class Background: @unchecked Sendable {
    private let mutex: Mutex
    private let wakeUp: Condition
    private let usesThread: Bool
    private var job: (() -> Void)?
    private var isWanted = false
    private let isRequested = Atomic<Bool>(false)
    private var isStopping = false
    private var thread: pthread_t?

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
        guard usesThread else { return }
        if thread == nil {
            var started = pthread_t()
            let me = unsafe Unmanaged.passUnretained(self).toOpaque()
            let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
                unsafe Unmanaged<Background>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue().run()
                return nil
            }
            if unsafe wp_thread_start(&started, body, me) == 0 {
                thread = started
            } else {
                isRequested.store(false, ordering: .releasing)
            }
        }
        wakeUp.wakeAll()
    }

    private func run() {
        mutex.lock()
        while true {
            while !isWanted && !isStopping { wakeUp.wait(mutex) }
            if isStopping { break }
            isWanted = false
            isRequested.store(false, ordering: .releasing)
            mutex.unlock()
            job?()
            mutex.lock()
        }
        mutex.unlock()
    }

    /// Runs the job now, on this thread, if it was asked for. For simulations.
    public func step() -> Bool {
        guard !usesThread, isWanted else { return false }
        isWanted = false
        isRequested.store(false, ordering: .releasing)
        job?()
        return true
    }

    /// Waits for a job that is running and forgets the job. `inChild`: the thread did not come along through a fork.
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
