// Cursor.swift - a position in a log that moves

import Dispatch
import Synchronization
internal import WalrusCore

/// Stands between two entries: `next` reads the one behind it and steps over it, `previous` the one before it.
///
/// Where the log is truncated below it, it goes back to the cut; `Log.reset` takes it to the new next index. On a read-only log it follows the
/// writer in another process.
public struct Cursor: ~Copyable, Sendable {
    private let log: Log
    private let core: DiskCursor

    fileprivate init(_ log: Log, _ core: DiskCursor) {
        self.log = log
        self.core = core
    }

    deinit { core.close() }

    /// The index that `next` would read. Kept by the caller, it is where to go on after a restart.
    public var position: UInt64 { core.position }

    /// Reads the entry behind the cursor and steps over it; nil if there is none yet. When it throws, the cursor stays.
    ///
    /// - Throws: `.compacted` if it was truncated away at the front (seek to `Log.firstIndex`); `.closed`, `.corrupt`, `.io`, `.noMemory`,
    ///   `.poisoned`.
    public mutating func next() throws(WalrusError) -> Entry? { try step() }

    fileprivate func step() throws(WalrusError) -> Entry? {
        let core = core
        return try log.call { (_) throws(LogError) -> WalrusCore.Entry? in
            do throws(LogError) {
                return try core.next()
            } catch {
                if error.code == .caughtUp { return nil }
                throw error
            }
        }.map { Entry($0) }
    }

    /// Reads the entry before the cursor and steps back over it; nil at the beginning of a log that never dropped one.
    ///
    /// - Throws: `.compacted` if the one before was truncated away, and as `next`.
    public mutating func previous() throws(WalrusError) -> Entry? {
        let core = core
        return try log.call { (_) throws(LogError) -> WalrusCore.Entry? in
            do throws(LogError) {
                return try core.previous()
            } catch {
                if error.code == .notFound { return nil }
                throw error
            }
        }.map { Entry($0) }
    }

    /// Moves the cursor before the entry at `index`; 0: the first one. When it throws, the cursor stays.
    ///
    /// - Throws: `.notFound` above the next index, `.compacted` below the first.
    public mutating func seek(_ index: UInt64) throws(WalrusError) {
        let core = core
        try log.call { (_) throws(LogError) in try core.seek(index) }
    }

    /// Waits until `next` has something to say. `timeout` nil: without end; zero: tells at once.
    ///
    /// - Throws: `.timeout`, `.canceled` (`Log.interrupt`), `.closed`, `.poisoned`.
    public mutating func wait(timeout: Duration? = nil) throws(WalrusError) { try wait(milliseconds(timeout)) }

    fileprivate func wait(_ milliseconds: Int64) throws(WalrusError) {
        let core = core
        try log.call { (_) throws(LogError) in try core.wait(milliseconds: milliseconds) }
    }
}

extension Log {
    /// Opens a cursor before the entry at `index`; 0: the first one, whichever that is then. `durableOnly`: it shows only what is durable.
    ///
    /// - Throws: `.notFound` above the next index, `.compacted` below the first.
    public func cursor(at index: UInt64 = 0, durableOnly: Bool = false) throws(WalrusError) -> Cursor {
        Cursor(self, try call { (log) throws(LogError) in try DiskCursor(log, at: index, isDurableOnly: durableOnly) })
    }

    /// The entries from `index` on (0: from the first one), and then each one that is appended, without end.
    public func following(from index: UInt64 = 0, durableOnly: Bool = false) -> Following {
        Following(log: self, index: index, isDurableOnly: durableOnly)
    }
}

/// A log's entries as they come. Ends when its task is cancelled; throws as `Log.cursor` and `Cursor.next`, `.closed` once the log is closed.
public struct Following: AsyncSequence, Sendable {
    public typealias Element = Entry
    public typealias Failure = WalrusError

    fileprivate let log: Log
    fileprivate let index: UInt64
    fileprivate let isDurableOnly: Bool

    public func makeAsyncIterator() -> Iterator { Iterator(following: self) }

    public struct Iterator: AsyncIteratorProtocol {
        private let following: Following
        private var follower: Follower?

        fileprivate init(following: Following) { self.following = following }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(WalrusError) -> Entry? {
            if follower == nil { follower = try Follower(following) }
            guard let follower else { return nil }
            while !Task.isCancelled {
                if let entry = try follower.next() { return entry }
                try await follower.wait()
            }
            return nil
        }

        public mutating func next() async throws(WalrusError) -> Entry? { try await next(isolation: nil) }
    }
}

/// A cursor that waits on a thread of its own, so that no task holds one.
private final class Follower: Sendable {
    private let cursor: Cursor
    private let queue = DispatchQueue(label: "walrus.following")
    /// How long a wait that nobody needs any more may still last.
    private static let longestSlice: Int64 = 100

    init(_ following: Following) throws(WalrusError) {
        cursor = try following.log.cursor(at: following.index, durableOnly: following.isDurableOnly)
    }

    func next() throws(WalrusError) -> Entry? { try cursor.step() }

    /// Returns once there may be something, or the task is cancelled.
    func wait() async throws(WalrusError) {
        let isCancelled = CancellationFlag()
        let result: Result<Void, WalrusError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                queue.async { continuation.resume(returning: self.wait(unless: isCancelled)) }
            }
        } onCancel: {
            isCancelled.flag.store(true, ordering: .relaxed)
        }
        try result.get()
    }

    private func wait(unless isCancelled: CancellationFlag) -> Result<Void, WalrusError> {
        while !isCancelled.flag.load(ordering: .relaxed) {
            do throws(WalrusError) {
                try cursor.wait(Follower.longestSlice)
                break
            } catch {
                if error.code != .timeout { return .failure(error) }
            }
        }
        return .success(())
    }
}

private final class CancellationFlag: Sendable {
    let flag = Atomic<Bool>(false)
}
