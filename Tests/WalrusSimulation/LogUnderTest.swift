// LogUnderTest.swift - what the simulation asks of a log, and what it gives it to keep

import WalrusCore

/// A log on a simulated disk. The engine is bound to this, and so are logs with deliberate faults, to see the checker find them.
public protocol LogUnderTest: AnyObject {
    /// Opens the log on `disk`, recovering it, or makes it.
    init(_ disk: SimulatedDisk, _ options: Options) throws(LogError)

    /// The first entry's index; of no meaning in an empty log.
    var firstIndex: UInt64 { get }
    /// The index that the next entry will get.
    var nextIndex: UInt64 { get }
    var isEmpty: Bool { get }
    var durableIndex: UInt64 { get }

    /// Appends all of `batch` as one; returns the first one's index. `policy`: another than the log's own.
    func append(_ batch: Batch, _ policy: Policy?) throws(LogError) -> UInt64
    /// Appends the one entry of `batch` without waiting; `deliveries` is told of its fate once that is known.
    func appendAsync(_ batch: Batch, _ deliveries: Deliveries) throws(LogError) -> UInt64
    /// Stages all of `batch` in a transaction, and commits that, or rolls it back. Returns the first one's index, or nil.
    func transaction(_ batch: Batch, _ policy: Policy?, commits: Bool) throws(LogError) -> UInt64?
    /// Copies everything that `source` holds into this log.
    func copyAll(from source: Self) throws(LogError)
    func sync() throws(LogError)
    /// Drops everything above `index`.
    func truncate(_ index: UInt64) throws(LogError)
    /// Drops everything below `index`.
    func truncateFront(_ index: UInt64) throws(LogError)
    /// Drops everything and goes on at `next`.
    func reset(_ next: UInt64) throws(LogError)
    /// Drops everything from `index` on and appends `batch` in its place.
    func replaceSuffix(_ index: UInt64, _ batch: Batch) throws(LogError)
    func rotate() throws(LogError)
    /// Throws `.notFound` where no entry has this term.
    func lastIndexOfTerm(_ term: UInt64) throws(LogError) -> UInt64
    /// The segments, oldest first; empty for a log that drops none by itself.
    func segments() throws(LogError) -> [SegmentInfo]
    func setMetadata(_ key: MetadataKey, _ value: Bytes) throws(LogError)
    func deleteMetadata(_ key: MetadataKey) throws(LogError)
    /// Stages a value that comes with the next append.
    func stageMetadata(_ key: MetadataKey, _ value: Bytes) throws(LogError)
    /// Calls `body` with each value.
    func readMetadata(_ body: (MetadataKey, Bytes) -> Void) throws(LogError)
    /// Calls `body` with the entry's bytes and its term.
    func read(_ index: UInt64, _ body: (Bytes, UInt64) -> Void) throws(LogError)
    /// After this nothing may be left of the log in memory, whether it throws or not.
    func close() throws(LogError)
}

extension LogUnderTest {
    private var missing: LogError { LogError(.unsupported, "this log does not have that") }
    public func appendAsync(_ batch: Batch, _ deliveries: Deliveries) throws(LogError) -> UInt64 { throw missing }
    public func transaction(_ batch: Batch, _ policy: Policy?, commits: Bool) throws(LogError) -> UInt64? { throw missing }
    public func copyAll(from source: Self) throws(LogError) { throw missing }
}

/// What asynchronous appends were told, in order.
@safe public final class Deliveries {
    public private(set) var told: [(index: UInt64, status: Int32)] = []

    /// Valid while this object lives.
    public var completion: Completion {
        unsafe Completion(
            { context, index, status in
                guard let context = unsafe context else { return }
                unsafe Unmanaged<Deliveries>.fromOpaque(context).takeUnretainedValue().told.append((index, status))
            }, context: Unmanaged.passUnretained(self).toOpaque())
    }

    func takeAll() -> [(index: UInt64, status: Int32)] {
        defer { told = [] }
        return told
    }
}

/// An entry that was handed to a log: where its bytes are kept.
public struct Submitted: Equatable {
    var offset: Int
    var size: Int
    var term: UInt64
}

/// A few names are enough: what matters is that they are set again and again.
public enum MetadataKey: UInt8, CaseIterable, Sendable {
    case a = 0x61
    case b, c, d
}

/// Every payload of a run, for as long as the run lasts.
@safe public final class Payloads {
    // Reserved once, so that a batch's payloads do not move while the log looks at them.
    private let base: UnsafeMutableRawPointer
    private let capacity: Int
    private(set) var count = 0

    public init(capacity: Int = 4 << 20) {
        self.capacity = capacity
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    }
    deinit { unsafe base.deallocate() }

    func bytes(_ entry: Submitted) -> Bytes { unsafe Bytes(base + entry.offset, count: entry.size) }

    func isFull(for size: Int) -> Bool { count + size + 8 > capacity }

    /// A new payload. Some are zeros, some are text, and some are a piece of what was written to `disk`: frames inside a payload.
    func make(_ size: Int, term: UInt64, _ chance: inout Chance, _ disk: SimulatedDisk) -> Submitted {
        let entry = Submitted(offset: count, size: size, term: term)
        precondition(!isFull(for: size))
        let target = unsafe base + count
        count += (size + 7) & ~7
        switch chance.below(10) {
        case 0: unsafe target.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        case 1 where disk.journal.count > size:
            let from = chance.below(disk.journal.count - size)
            unsafe target.copyMemory(from: disk.journal.bytes + from, byteCount: size)
        case 2, 3:
            let seed = chance.next()
            for i in 0..<size {
                let letter = UInt8(0x20 + Chance.mix(seed &+ UInt64(i / 3)) % 12)  // a space, a quote, and some others, in threes
                unsafe target.storeBytes(of: letter, toByteOffset: i, as: UInt8.self)
            }
        default:
            let seed = chance.next()
            for i in 0..<(size + 7) / 8 {
                unsafe target.storeBytes(of: Chance.mix(seed &+ UInt64(i)), toByteOffset: 8 * i, as: UInt64.self)
            }
        }
        return entry
    }

    /// Whether `bytes` are those of `entry`.
    func matches(_ entry: Submitted, _ bytes: Bytes) -> Bool {
        guard bytes.count == entry.size else { return false }
        if entry.size == 0 { return true }
        guard let address = unsafe bytes.address else { return false }
        return unsafe equalBytes(base + entry.offset, address, entry.size)
    }
}

/// Entries to append together.
public struct Batch: Records {
    let payloads: Payloads
    let entries: [Submitted]
    /// The index that the first one must get, or 0.
    var index: UInt64 = 0

    public var count: Int { entries.count }
    public func record(_ i: Int) throws(LogError) -> Record {
        Record(
            payload: payloads.bytes(entries[i]), index: index == 0 ? 0 : index + UInt64(i), term: entries[i].term)
    }
}
