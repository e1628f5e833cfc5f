// Work.swift - seeds for two threads, and the sum of what they found

import CWalrusPlatform
import Synchronization
import WalrusCore

struct Arguments {
    var states = Int.max
    var seeds = Int.max
    var seconds = Int.max
    var first: UInt64 = 0
    var seed: UInt64?
    var operation: Int?
    var fault: Int?
    var state: Int?
    var traces = false

    init() {
        var isFirstGiven = false
        var rest = CommandLine.arguments.dropFirst()
        while let name = rest.popFirst() {
            if name == "--trace" {
                traces = true
                continue
            }
            guard let value = rest.popFirst().flatMap({ UInt64($0) }) else { Arguments.refuse(name) }
            switch name {
            case "--states": states = Int(value)
            case "--seeds": seeds = Int(value)
            case "--seconds": seconds = Int(value)
            case "--first":
                first = value
                isFirstGiven = true
            case "--seed": seed = value
            case "--operation": operation = Int(value)
            case "--fault": fault = Int(value)
            case "--state": state = Int(value)
            default: Arguments.refuse(name)
            }
        }
        if states == .max && seeds == .max && seconds == .max { states = 1_000_000 }
        if seconds != .max && !isFirstGiven { first = UInt64(time(nil)) % 1_000_000 * 1000 }
        if let seed {
            first = seed
            seeds = 1
        }
    }

    private static func refuse(_ name: String) -> Never {
        print("walrus-simulate: '\(name)' is no option, or lacks its number; scripts/test-simulation says what there is")
        exit(2)
    }
}

/// What the threads share.
final class Work: Sendable {
    let arguments: Arguments
    let ends: Int
    private let next = Atomic<Int>(0)
    private let states = Atomic<Int>(0)
    private let failed = Atomic<Int>(0)
    private let findings: Guarded<Findings>

    init(_ arguments: Arguments) throws(LogError) {
        self.arguments = arguments
        ends = arguments.seconds == .max ? .max : time(nil) + arguments.seconds
        findings = try Guarded(Findings())
    }

    /// The next seed, unless a limit is reached.
    func takeSeed() -> UInt64? {
        if states.load(ordering: .relaxed) >= arguments.states || time(nil) >= ends { return nil }
        // Enough to see what is the matter.
        if failed.load(ordering: .relaxed) >= 20 { return nil }
        let number = next.add(1, ordering: .relaxed).oldValue
        return number < arguments.seeds ? arguments.first + UInt64(number) : nil
    }

    func add(_ found: Findings) {
        states.add(found.states, ordering: .relaxed)
        for failure in found.failures { print("FAIL  \(failure)") }
        if !found.failures.isEmpty { failed.add(1, ordering: .relaxed) }
        try? findings.withLock { $0 += found }
    }

    func run() {
        var simulation = Simulation<EngineUnderTest>()
        simulation.onlyOperation = arguments.operation
        simulation.onlyFault = arguments.fault
        simulation.onlyState = arguments.state
        if arguments.traces { simulation.trace = { print("    \($0)") } }
        while let seed = takeSeed() {
            if arguments.fault == nil { simulation.run(seed: seed) }
            if arguments.operation == nil { simulation.runFaults(seed: seed, tries: 12) }
            simulation.findings.seeds = 1
            add(simulation.findings)
            simulation.findings = Findings()
        }
    }

    /// Prints the sums; true if nothing failed.
    func conclude(_ started: Int64) throws(LogError) -> Bool {
        // Of both threads, in microseconds.
        let busy = Double(clock()) / 1e6
        let found = try findings.withLock { $0 }
        print("seeds from \(arguments.first) on: \(found.text)")
        print(
            "\((wp_monotonic_ns() - started) / 1_000_000_000) s, \(Int(busy)) s of one core, "
                + "\(Int(Double(found.states) / max(busy, 0.001))) crash states in each of those")
        let bad = failed.load(ordering: .relaxed)
        print("\(found.seeds - bad) passed, \(bad) failed")
        return bad == 0 && found.states > 0
    }

    /// Runs it on this thread and on another one, and returns the process's exit status.
    static func runOnTwoThreads(_ arguments: Arguments) throws(LogError) -> Int32 {
        // A log takes memory and gives it back at each open; asking the system for it each time would take longer than all the rest.
        _ = unsafe mallopt(M_MMAP_THRESHOLD, 1 << 28)
        _ = unsafe mallopt(M_TRIM_THRESHOLD, 1 << 28)
        let started = wp_monotonic_ns()
        let work = try Work(arguments)
        var other = pthread_t()
        let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
            unsafe Unmanaged<Work>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue().run()
            return nil
        }
        let hasOther =
            unsafe arguments.seed == nil && wp_thread_start(&other, body, Unmanaged.passUnretained(work).toOpaque()) == 0
        work.run()
        if hasOther { unsafe pthread_join(other, nil) }
        return try work.conclude(started) ? 0 : 1
    }
}
