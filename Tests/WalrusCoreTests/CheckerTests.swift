// CheckerTests.swift - the checker says yes to a right log, and no to each wrong one

import Testing
import WalrusCore
import WalrusSimulation

@Suite struct CheckerTests {
    private func findings<M: Mistaken>(_: M.Type, seeds: UInt64, faults: Bool = false) -> Findings {
        var simulation = Simulation<NaiveLog<M>>()
        simulation.statesAtEach = 2
        for seed in 0..<seeds where simulation.findings.failures.isEmpty {
            if faults { simulation.runFaults(seed: seed, tries: 8) } else { simulation.run(seed: seed) }
        }
        return simulation.findings
    }

    @Test func aRightLogPasses() {
        let found = findings(NoMistake.self, seeds: 2)
        #expect(found.failures.isEmpty, "\(found.failures)")
        #expect(found.states > 200)
        let withFaults = findings(NoMistake.self, seeds: 2, faults: true)
        #expect(withFaults.failures.isEmpty, "\(withFaults.failures)")
    }

    @Test func aLogThatDoesNotSyncIsFound() { #expect(!findings(NoSync.self, seeds: 4).failures.isEmpty) }
    @Test func aLogThatDoesNotSyncItsDirectoryIsFound() { #expect(!findings(NoDirectorySync.self, seeds: 4).failures.isEmpty) }
    @Test func aLogThatAcknowledgesEarlyIsFound() {
        #expect(!findings(AcknowledgesBeforeSaving.self, seeds: 4).failures.isEmpty)
    }
    @Test func aLogThatTearsBatchesIsFound() { #expect(!findings(SavesBatchesInHalves.self, seeds: 4).failures.isEmpty) }
    @Test func aLogWhoseTruncationsComeUndoneIsFound() {
        #expect(!findings(ForgetsTruncations.self, seeds: 8).failures.isEmpty)
    }
    @Test func aLogThatLosesAnEntryAtOpenIsFound() { #expect(!findings(DropsLastOnReopen.self, seeds: 4).failures.isEmpty) }
    @Test func aLogThatForgetsMetadataIsFound() { #expect(!findings(ForgetsMetadata.self, seeds: 8).failures.isEmpty) }
    @Test func aLogThatLosesStagedMetadataIsFound() { #expect(!findings(LosesStagedMetadata.self, seeds: 8).failures.isEmpty) }
    @Test func aLogWhoseTruncationTakesMetadataIsFound() { #expect(!findings(ResetsMetadata.self, seeds: 8).failures.isEmpty) }
    @Test func aLogThatOverwritesItselfIsFound() { #expect(!findings(AlwaysInPlace.self, seeds: 4).failures.isEmpty) }
}
