// CrashSimulationTests.swift - the engine on the simulated disk, crashed at every operation
//
// A few seeds, those that found something once, and proof that the checker would notice a broken engine. scripts/test-simulation runs many
// more, and runs a seed that failed again.

import Testing
import WalrusSimulation

private func report(_ findings: Findings) {
    for failure in findings.failures { Issue.record("\(failure)") }
}

@Suite struct CrashSimulationTests {
    /// Everything that was acknowledged survives a crash anywhere, and nothing else comes back.
    @Test func everyCrashLeavesWhatWasPromised() {
        var simulation = Simulation<EngineUnderTest>()
        for seed: UInt64 in 0..<6 { simulation.run(seed: seed) }
        report(simulation.findings)
        #expect(simulation.findings.states > 0)
    }

    /// Seeds that found a fault once: a clean mark that came back (5, 17), a directory that was never synced (39, 49), dead entries
    /// that returned and live ones that went (6, 28, 57), a slot overwritten beside a bad one (29), a claim out of nothing (38),
    /// a cut below the first index (68), a segment without entries that nothing had made durable (18, 30, 38), a search that passed
    /// over entries of which nothing was known (146), retention that dropped every entry, since the last two segments had
    /// none (300). Others were the checker's own: it forgot a course of the log (104, 187, 205, 334), or the disk lost what it had
    /// shown (327).
    @Test(arguments: [UInt64(30), 38, 49, 53, 57, 59, 68, 104, 146, 187, 205, 300, 327, 334])
    func aSeedThatFoundAFaultStaysGreen(seed: UInt64) {
        var simulation = Simulation<EngineUnderTest>()
        simulation.adjust = {
            $0.options.format = .binary
            $0.isFull = false
        }
        simulation.statesAtEach = 5
        simulation.run(seed: seed)
        simulation.runFaults(seed: seed, tries: 12)
        report(simulation.findings)
    }

    /// The same with the calls that were added since: retention that went by the size of a file before it was cut short (187),
    /// the mark of an older clean close in blocks that were used again (3768). The checker's own: it forgot that retention may drop
    /// less than a cut that failed (4787).
    @Test(arguments: [UInt64(187), 3768, 4787])
    func aSeedOfTheFullWorkloadStaysGreen(seed: UInt64) {
        var simulation = Simulation<EngineUnderTest>()
        simulation.run(seed: seed)
        simulation.runFaults(seed: seed, tries: 12)
        report(simulation.findings)
    }

    /// The same where an operation failed first.
    @Test func everyFaultLeavesWhatWasPromised() {
        var simulation = Simulation<EngineUnderTest>()
        for seed: UInt64 in 0..<6 { simulation.runFaults(seed: seed, tries: 12) }
        report(simulation.findings)
        #expect(simulation.findings.faults > 0)
    }

    /// An engine that left out a sync would fail: its disk leaves it out, and the checker sees it.
    @Test(arguments: [Lie.segmentSyncs, .metadataSyncs, .directorySyncs])
    func aMissingSyncIsNoticed(lie: Lie) {
        var simulation = Simulation<EngineUnderTest>()
        simulation.lie = lie
        simulation.statesAtEach = 6
        for seed: UInt64 in 0..<20 where simulation.findings.failures.isEmpty { simulation.run(seed: seed) }
        #expect(!simulation.findings.failures.isEmpty)
    }

    @Test func anIgnoredSyncErrorIsNoticed() {
        var simulation = Simulation<EngineUnderTest>()
        simulation.lie = .failedSyncs
        for seed: UInt64 in 0..<20 where simulation.findings.failures.isEmpty { simulation.runFaults(seed: seed, tries: 20) }
        #expect(!simulation.findings.failures.isEmpty)
    }
}
