// EngineUnderTest.swift - the engine, as the simulation uses it

import WalrusCore

public final class EngineUnderTest: LogUnderTest {
    private let log: Log<SimulatedDisk>

    public init(_ disk: SimulatedDisk, _ options: Options) throws(LogError) {
        log = try Log.open(disk, options)
    }

    public var firstIndex: UInt64 { log.firstIndex }
    public var nextIndex: UInt64 { log.nextIndex }
    public var isEmpty: Bool { log.lastIndex == 0 }
    public var durableIndex: UInt64 { log.durableIndex }

    public func append(_ batch: Batch, _ policy: Policy?) throws(LogError) -> UInt64 { try log.append(batch, policy) }
    public func appendAsync(_ batch: Batch, _ deliveries: Deliveries) throws(LogError) -> UInt64 {
        var index: UInt64 = 0
        try log.appendAsync(try batch.record(0), deliveries.completion) { index = $0 }
        return index
    }
    public func transaction(_ batch: Batch, _ policy: Policy?, commits: Bool) throws(LogError) -> UInt64? {
        let transaction = try log.beginTransaction(timeout: nil)
        for i in 0..<batch.count { try transaction.append(try batch.record(i)) }
        var committed: Range<UInt64>? = nil
        do throws(LogError) {
            if commits { try transaction.commit(policy, &committed) }
        } catch {
            try transaction.rollback()
            throw error
        }
        try transaction.rollback()
        return committed?.lowerBound
    }
    public func copyAll(from source: EngineUnderTest) throws(LogError) {
        var isOfSource = false
        _ = try log.copyAll(from: source.log, isOfSource: &isOfSource) { _, _ in 0 }
    }
    public func sync() throws(LogError) { try log.sync() }
    public func truncate(_ index: UInt64) throws(LogError) { try log.truncate(index) }
    public func truncateFront(_ index: UInt64) throws(LogError) { try log.truncateFront(index) }
    public func reset(_ next: UInt64) throws(LogError) { try log.reset(next) }
    public func replaceSuffix(_ index: UInt64, _ batch: Batch) throws(LogError) { try log.replaceSuffix(index, batch) }
    public func rotate() throws(LogError) { try log.rotate() }
    public func lastIndexOfTerm(_ term: UInt64) throws(LogError) -> UInt64 { try log.lastIndexOfTerm(term) }
    public func segments() throws(LogError) -> [SegmentInfo] {
        var infos: [SegmentInfo] = []
        try log.forEachSegment {
            infos.append($0)
            return true
        }
        return infos
    }

    private func withName(_ key: MetadataKey, _ body: (Bytes) throws(LogError) -> Void) throws(LogError) {
        var name = key.rawValue
        try unsafe withUnsafeBytes(of: &name) { (name) throws(LogError) in
            try body(unsafe Bytes(name.baseAddress, count: 1))
        }
    }

    public func setMetadata(_ key: MetadataKey, _ value: Bytes) throws(LogError) {
        try withName(key) { (name) throws(LogError) in try log.setMetadata(name, value) }
    }
    public func deleteMetadata(_ key: MetadataKey) throws(LogError) {
        try withName(key) { (name) throws(LogError) in try log.deleteMetadata(name) }
    }
    public func stageMetadata(_ key: MetadataKey, _ value: Bytes) throws(LogError) {
        try withName(key) { (name) throws(LogError) in try log.stageMetadata(name, value) }
    }
    public func readMetadata(_ body: (MetadataKey, Bytes) -> Void) throws(LogError) {
        _ = try log.forEachMetadata { name, value in
            if let key = MetadataKey(rawValue: name.u8(0)) { body(key, value) }
            return 0
        }
    }

    public func read(_ index: UInt64, _ body: (Bytes, UInt64) -> Void) throws(LogError) {
        let entry = try log.get(index)
        body(entry.payload, entry.term)
        entry.owner.release()
    }

    public func close() throws(LogError) { try log.close() }
}
