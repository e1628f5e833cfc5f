// OpeningCounter.swift - the clock of the segment cache: it ticks when a segment is opened

import Synchronization

final class OpeningCounter: Sendable {
    private let ticks = Atomic<UInt64>(1)
    @inline(__always) var now: UInt64 { ticks.load(ordering: .relaxed) }
    func next() -> UInt64 { ticks.add(1, ordering: .relaxed).newValue }
}
