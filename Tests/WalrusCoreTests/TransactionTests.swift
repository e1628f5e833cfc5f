// TransactionTests.swift - transactions on a disk that fails at every operation, and on a clock that the test moves

import Testing
import WalrusCore
import WalrusSimulation

@Suite struct TransactionTests {
    private func record(_ text: StaticString) -> Record {
        Record(payload: Bytes(text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private func open(_ disk: SimulatedDisk) throws -> Log<SimulatedDisk> {
        var options = Options()
        options.segmentSize = 64 << 10
        options.preallocate = false
        return try Log.open(disk, options)
    }

    /// Catches: a failed commit whose entries are in the log and that may be made again; one that left nothing and may not.
    @Test(arguments: [Fault.io, .noSpace, .shortThenIO, .writeback]) func aFailedCommitIsCommittedExactlyIfItsEntriesAreInTheLog(
        _ fault: Fault
    ) throws {
        var seen = (open: 0, committed: 0)
        for at in 0... {
            let disk = SimulatedDisk(seed: 7)
            let log = try open(disk)
            let transaction = try log.beginTransaction(timeout: nil)
            for _ in 0..<3 { try transaction.append(record("three times")) }
            disk.inject(fault, at: disk.operations + at)
            var committed: Range<UInt64>? = nil
            do throws(LogError) {
                try transaction.commit(nil, &committed)
                #expect(committed == 1..<4 && log.nextIndex == 4)
                if disk.faultsStruck == 0 { break }
            } catch {
                #expect((committed != nil) == (log.nextIndex == 4), "operation \(at): \(error)")
                try judge(log, transaction, committed, disk, &seen)
            }
        }
        if case .noSpace = fault { #expect(seen.open > 0) } else { #expect(seen.committed > 0) }
    }

    private func judge(
        _ log: Log<SimulatedDisk>, _ transaction: Transaction<SimulatedDisk>, _ committed: Range<UInt64>?, _ disk: SimulatedDisk,
        _ seen: inout (open: Int, committed: Int)
    ) throws {
        disk.clearFaults()
        var again: Range<UInt64>? = nil
        if committed != nil {
            seen.committed += 1
            #expect(try transaction.state() == .committed)
            #expect(log.openTransactions == 0)
            let error = #expect(throws: LogError.self) { try transaction.commit(nil, &again) }
            #expect(error?.code == .transactionState)
        } else {
            seen.open += 1
            #expect(try transaction.state() == .open)
            do throws(LogError) {
                try transaction.commit(nil, &again)
                #expect(again == 1..<4 && log.nextIndex == 4)
            } catch {
                #expect(error.code == .poisoned)
                #expect(try transaction.state() == .open)
            }
        }
        try transaction.rollback()
        #expect(log.openTransactions == 0)
    }

    /// Catches: an expiry that runs early, late, or twice.
    @Test func theBackgroundExpiresWhatIsDue() throws {
        let disk = SimulatedDisk(seed: 3)
        let log = try open(disk)
        var transactions: [Transaction<SimulatedDisk>] = []
        for timeout in [3, 1, 2, nil] as [UInt64?] { transactions.append(try log.beginTransaction(timeout: timeout)) }
        for transaction in transactions { try transaction.append(record("bytes")) }
        let begun = disk.monotonic()
        for (passed, open) in [(Int64(500_000), UInt64(4)), (1_500_000, 3), (2_500_000, 2), (10_000_000, 1)] {
            while disk.monotonic() < begun + passed {}
            _ = disk.background.step(now: disk.monotonic())
            #expect(log.openTransactions == open)
        }
        #expect(!disk.background.step(now: disk.monotonic() + 1 << 40))
        #expect(try log.counts().transactions.expired == 3)
        for transaction in transactions { try transaction.rollback() }
        #expect(try log.counts().transactions.rolledBack == 1)
    }
}
