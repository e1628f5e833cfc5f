// StampClock.swift - the time of day at the price of a counter
//
// Each append takes a time, and the system's clock alone would be a fifth of its cost.

import CWalrusPlatform

/// For one thread at a time. Runs with the system's clock, but learns up to a tenth of a millisecond late that it was set.
public struct StampClock: Sendable {
    private var clock = wp_clock()

    public init() {}

    @inline(__always)
    mutating func now() -> Int64 { unsafe wp_clock_now(&clock) }
}
