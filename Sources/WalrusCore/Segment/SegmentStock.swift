// SegmentStock.swift - the next segment, made before it is needed
//
// Ids are given out under the stock's own lock, which is held while a file is made: an append that finds the background at work
// waits for that file instead of making another one with a higher id. So segments are begun strictly in the order of
// their ids, and a file without a begin frame can only be the newest.

import Synchronization

final class SegmentStock<S: Storage>: Sendable {
    private struct Shelf {
        var spare: PreparedSegment?
        /// One was taken and is not begun yet: it may come back, and no higher one may be made.
        var isOut = false
        var nextID: UInt64
    }

    private let maker: SegmentMaker<S>
    private let shelf: Guarded<Shelf>
    /// Looked at by each append; the truth is on the shelf.
    private let isStocked = Atomic<Bool>(false)

    init(maker: SegmentMaker<S>, nextID: UInt64) throws(LogError) {
        self.maker = maker
        shelf = try Guarded(Shelf(spare: nil, nextID: nextID))
    }

    @inline(__always) var hasSpare: Bool { isStocked.load(ordering: .relaxed) }

    /// The spare, or a segment that is made now with space up to `reservedEnd`.
    func take(reservedEnd: UInt64) throws(LogError) -> PreparedSegment {
        try shelf.withLock { (shelf) throws(LogError) in
            if let spare = shelf.spare {
                shelf.spare = nil
                shelf.isOut = true
                isStocked.store(false, ordering: .relaxed)
                return spare
            }
            let made = try maker.prepare(shelf.nextID, reservedEnd: reservedEnd)
            shelf.nextID += 1
            shelf.isOut = true
            return made
        }
    }

    /// Gives back what was taken and not begun.
    func putBack(_ prepared: PreparedSegment) {
        try? shelf.withLock { shelf in
            shelf.spare = prepared
            shelf.isOut = false
            isStocked.store(true, ordering: .relaxed)
        }
    }

    /// What was taken is in use.
    func begun() { try? shelf.withLock { $0.isOut = false } }

    /// Makes a spare if there is none.
    func fill(reservedEnd: UInt64) throws(LogError) {
        try shelf.withLock { (shelf) throws(LogError) in
            guard shelf.spare == nil, !shelf.isOut else { return }
            shelf.spare = try maker.prepare(shelf.nextID, reservedEnd: reservedEnd)
            shelf.nextID += 1
            isStocked.store(true, ordering: .relaxed)
        }
    }

    /// The spare, which the caller is to close and remove, and the highest id that was given out.
    func clear() throws(LogError) -> (spare: PreparedSegment?, highestID: UInt64) {
        try shelf.withLock { shelf in
            let spare = shelf.spare
            shelf.spare = nil
            isStocked.store(false, ordering: .relaxed)
            return (spare, shelf.nextID - 1)
        }
    }

    /// The highest id that was given out.
    func highestID() throws(LogError) -> UInt64 { try shelf.withLock { $0.nextID - 1 } }
}
