// Callbacks.swift - which of a log's callbacks a thread is inside of, and so what it may not call
//
// A callback that called back into its log without a rule would deadlock: on a lock that its caller holds, or on the thread that it runs
// on itself. So whoever runs a callback says so here, and calls that would not come back are refused with BUSY.

import CWalrusPlatform
import Synchronization

enum CallbackKind: Int32 {
    /// Runs on the calling thread without a lock: may call everything but close.
    case visitor = 1
    /// Runs on the completion thread: may call what does not wait.
    case completion = 2
    /// May run while a lock is held: may call nothing that takes the log.
    case logger = 4
}

public final class Callbacks: Sendable {
    // Callbacks under way on any thread: while there is none of a kind, nothing has to be looked up.
    private let visitors = Atomic<Int>(0)
    private let completions = Atomic<Int>(0)
    private let loggers = Atomic<Int>(0)

    init() {}

    /// Whether this thread is inside a callback of this kind.
    @inline(__always)
    func isInside(_ kind: CallbackKind) -> Bool {
        count(kind) { $0.load(ordering: .relaxed) } != 0 && isThisThreadInside(kind)
    }

    @inline(never)
    private func isThisThreadInside(_ kind: CallbackKind) -> Bool {
        unsafe wp_callback_kinds(Unmanaged.passUnretained(self).toOpaque()) & kind.rawValue != 0
    }

    @inline(__always)
    private func count<Result>(_ kind: CallbackKind, _ body: (borrowing Atomic<Int>) -> Result) -> Result {
        switch kind {
        case .visitor: body(visitors)
        case .completion: body(completions)
        case .logger: body(loggers)
        }
    }

    /// Runs `body`, which calls callbacks of this kind.
    func run(_ kind: CallbackKind, _ body: () throws(LogError) -> Void) throws(LogError) {
        count(kind) { _ = $0.add(1, ordering: .relaxed) }
        defer { count(kind) { _ = $0.subtract(1, ordering: .relaxed) } }
        var frame = unsafe wp_callback_frame(
            owner: Unmanaged.passUnretained(self).toOpaque(), kind: kind.rawValue, outer: nil)
        var failure: LogError? = nil
        unsafe withUnsafeMutablePointer(to: &frame) { frame in
            unsafe wp_callback_enter(frame)
            do throws(LogError) { try body() } catch { failure = error }
            unsafe wp_callback_leave(frame)
        }
        if let failure { throw failure }
    }

    /// Runs `body`, which calls a visitor.
    public func visit(_ body: () throws(LogError) -> Void) throws(LogError) { try run(.visitor, body) }

    static var busyError: LogError {
        LogError(.busy, "this may not be called from inside this callback; do it when the callback has returned")
    }
}
