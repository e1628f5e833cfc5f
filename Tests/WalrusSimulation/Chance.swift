// Chance.swift - every decision of a simulation, from one number
//
// SplitMix64: small, the same on every machine, and good enough that neighbouring seeds have nothing in common.

/// A sequence of numbers that its seed decides.
public struct Chance: Sendable {
    private var state: UInt64

    public init(_ seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return Chance.mix(state)
    }

    /// A number below `bound`, which is above 0.
    public mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// True once in `times`.
    public mutating func once(in times: Int) -> Bool { below(times) == 0 }

    /// Numbers that look unrelated for inputs that are neighbours.
    @inline(__always)
    public static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// One number out of two or three.
    @inline(__always)
    public static func hash(_ a: UInt64, _ b: UInt64, _ c: UInt64 = 0) -> UInt64 {
        mix(mix(mix(a &+ 0x9e37_79b9_7f4a_7c15) ^ b) &+ 0x9e37_79b9_7f4a_7c15 ^ c)
    }
}
