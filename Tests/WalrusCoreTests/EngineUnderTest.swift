// EngineUnderTest.swift - the engine, as the simulation uses it

import WalrusCore
import WalrusSimulation

final class EngineUnderTest: LogUnderTest {
    private let log: Log<SimulatedDisk>

    init(_ disk: SimulatedDisk, _ options: Options) throws(LogError) {
        log = try Log.open(disk, options)
    }

    var firstIndex: UInt64 { log.firstIndex }
    var nextIndex: UInt64 { log.nextIndex }
    var isEmpty: Bool { log.lastIndex == 0 }
    var durableIndex: UInt64 { log.durableIndex }

    func append(_ batch: Batch, _ policy: Policy?) throws(LogError) -> UInt64 { try log.append(batch, policy) }
    func sync() throws(LogError) { try log.sync() }
    func truncate(_ index: UInt64) throws(LogError) { try log.truncate(index) }
    func truncateFront(_ index: UInt64) throws(LogError) { try log.truncateFront(index) }
    func reset(_ next: UInt64) throws(LogError) { try log.reset(next) }
    func replaceSuffix(_ index: UInt64, _ batch: Batch) throws(LogError) {
        throw LogError(.unsupported, "the engine cannot replace a suffix yet")
    }
    func rotate() throws(LogError) { throw LogError(.unsupported, "the engine cannot rotate on demand yet") }

    func read(_ index: UInt64, _ body: (Bytes, UInt64) -> Void) throws(LogError) {
        let entry = try log.get(index)
        body(entry.payload, entry.term)
        entry.owner.release()
    }

    func close() throws(LogError) { try log.close() }
}
