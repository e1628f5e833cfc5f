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
    func replaceSuffix(_ index: UInt64, _ batch: Batch) throws(LogError) { try log.replaceSuffix(index, batch) }
    func rotate() throws(LogError) { try log.rotate() }
    func lastIndexOfTerm(_ term: UInt64) throws(LogError) -> UInt64 { try log.lastIndexOfTerm(term) }
    func segments() throws(LogError) -> [SegmentInfo] {
        var infos: [SegmentInfo] = []
        try log.forEachSegment {
            infos.append($0)
            return true
        }
        return infos
    }

    private func withName(_ key: MetadataKey, _ body: (Bytes) throws(LogError) -> Void) throws(LogError) {
        let name = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
        defer { name.deallocate() }
        name.pointee = key.rawValue
        try body(Bytes(name, count: 1))
    }

    func setMetadata(_ key: MetadataKey, _ value: Bytes) throws(LogError) {
        try withName(key) { (name) throws(LogError) in try log.setMetadata(name, value) }
    }
    func deleteMetadata(_ key: MetadataKey) throws(LogError) {
        try withName(key) { (name) throws(LogError) in try log.deleteMetadata(name) }
    }
    func stageMetadata(_ key: MetadataKey, _ value: Bytes) throws(LogError) {
        try withName(key) { (name) throws(LogError) in try log.stageMetadata(name, value) }
    }
    func readMetadata(_ body: (MetadataKey, Bytes) -> Void) throws(LogError) {
        _ = try log.forEachMetadata { name, value in
            if let key = MetadataKey(rawValue: name.u8(0)) { body(key, value) }
            return 0
        }
    }

    func read(_ index: UInt64, _ body: (Bytes, UInt64) -> Void) throws(LogError) {
        let entry = try log.get(index)
        body(entry.payload, entry.term)
        entry.owner.release()
    }

    func close() throws(LogError) { try log.close() }
}
