// NaiveLog.swift - a log that is right and slow, and the same with one mistake at a time
//
// It writes itself anew with each call, to a temporary file that it syncs and renames. The checker must find it without fault, and each of
// its variants at fault: a checker that never says no says nothing.

import WalrusCore
import WalrusSimulation

enum Mistake {
    case none
    case noSync
    case noDirectorySync
    case acknowledgesBeforeSaving
    case savesBatchesInHalves
    case forgetsTruncations
    case dropsLastOnReopen
    case alwaysInPlace
    case forgetsMetadata
    case losesStagedMetadata
    case resetsMetadata
}

protocol Mistaken {
    static var mistake: Mistake { get }
}

enum NoMistake: Mistaken { static var mistake: Mistake { .none } }
enum NoSync: Mistaken { static var mistake: Mistake { .noSync } }
enum NoDirectorySync: Mistaken { static var mistake: Mistake { .noDirectorySync } }
enum AcknowledgesBeforeSaving: Mistaken { static var mistake: Mistake { .acknowledgesBeforeSaving } }
enum SavesBatchesInHalves: Mistaken { static var mistake: Mistake { .savesBatchesInHalves } }
enum ForgetsTruncations: Mistaken { static var mistake: Mistake { .forgetsTruncations } }
enum DropsLastOnReopen: Mistaken { static var mistake: Mistake { .dropsLastOnReopen } }
enum AlwaysInPlace: Mistaken { static var mistake: Mistake { .alwaysInPlace } }
enum ForgetsMetadata: Mistaken { static var mistake: Mistake { .forgetsMetadata } }
enum LosesStagedMetadata: Mistaken { static var mistake: Mistake { .losesStagedMetadata } }
enum ResetsMetadata: Mistaken { static var mistake: Mistake { .resetsMetadata } }

final class NaiveLog<M: Mistaken>: LogUnderTest {
    private struct Item {
        var term: UInt64
        var bytes: [UInt8]
    }

    private let disk: SimulatedDisk
    private var items: [Item] = []
    private var values: [MetadataKey: [UInt8]] = [:]
    private var staged: [MetadataKey: [UInt8]] = [:]
    private(set) var firstIndex: UInt64 = 1
    private(set) var durableIndex: UInt64 = 0
    private var isPoisoned = false
    private var saves = 0

    var nextIndex: UInt64 { firstIndex + UInt64(items.count) }
    var isEmpty: Bool { items.isEmpty }

    init(_ disk: SimulatedDisk, _: Options) throws(LogError) {
        self.disk = disk
        let file: FileHandle
        do throws(LogError) {
            file = try disk.open(.segment(1), .read)
        } catch {
            if error.code == .notFound { return }
            throw error
        }
        defer { disk.close(file) }
        let size = Int(try disk.size(file))
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 8, alignment: 8)
        defer { room.deallocate() }
        let bytes = MutableBytes(room.baseAddress, count: size)
        guard try disk.read(file, at: 0, into: bytes) == size, size >= 20,
            bytes.bytes.slice(4, size - 4).checksum() == bytes.bytes.u32(0)
        else { throw LogError(.corrupt, "the file is damaged") }
        firstIndex = bytes.bytes.u64(4)
        var at = 20
        for _ in 0..<bytes.bytes.u64(12) {
            let count = Int(bytes.bytes.u64(at))
            let payload = bytes.bytes.slice(at + 16, count)
            items.append(Item(term: bytes.bytes.u64(at + 8), bytes: (0..<count).map { payload.u8($0) }))
            at += 16 + count
        }
        while at < size {
            let count = Int(bytes.bytes.u64(at + 8))
            let value = bytes.bytes.slice(at + 16, count)
            if let key = MetadataKey(rawValue: bytes.bytes.u8(at)) { values[key] = (0..<count).map { value.u8($0) } }
            at += 16 + count
        }
        if M.mistake == .dropsLastOnReopen && items.count > 3 { items.removeLast() }
        durableIndex = nextIndex - 1
    }

    private func check() throws(LogError) {
        if isPoisoned { throw LogError(.poisoned, "an earlier save failed") }
    }

    private func save() throws(LogError) {
        try check()
        saves += 1
        var size = 20
        for item in items { size += 16 + item.bytes.count }
        for (_, value) in values { size += 16 + value.count }
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
        defer { room.deallocate() }
        let bytes = MutableBytes(room.baseAddress, count: size)
        bytes.store64(firstIndex, 4)
        bytes.store64(UInt64(items.count), 12)
        var at = 20
        for item in items {
            bytes.store64(UInt64(item.bytes.count), at)
            bytes.store64(item.term, at + 8)
            item.bytes.withUnsafeBytes { bytes.copy(Bytes($0.baseAddress, count: $0.count), to: at + 16) }
            at += 16 + item.bytes.count
        }
        for (key, value) in values {
            bytes.store64(UInt64(key.rawValue), at)
            bytes.store64(UInt64(value.count), at + 8)
            value.withUnsafeBytes { bytes.copy(Bytes($0.baseAddress, count: $0.count), to: at + 16) }
            at += 16 + value.count
        }
        bytes.store32(bytes.bytes.slice(4, size - 4).checksum(), 0)
        do throws(LogError) {
            let inPlace = M.mistake == .alwaysInPlace
            let file = try disk.open(inPlace ? .segment(1) : .segmentInProgress(1), .create)
            defer { disk.close(file) }
            try disk.write(file, at: 0, bytes.bytes, .empty)
            if M.mistake != .noSync { try disk.sync(file) }
            if !inPlace { try disk.rename(.segmentInProgress(1), to: .segment(1)) }
            if M.mistake != .noDirectorySync { try disk.syncDirectory() }
        } catch {
            isPoisoned = true
            throw LogError(.io, "the log could not be saved", errno: error.errno)
        }
        durableIndex = nextIndex - 1
    }

    func append(_ batch: Batch, _: Policy?) throws(LogError) -> UInt64 {
        try check()
        let first = nextIndex
        takeStaged()
        for i in 0..<batch.count {
            let record = try batch.record(i)
            items.append(
                Item(term: record.term ?? 0, bytes: (0..<record.payload.count).map { record.payload.u8($0) }))
            if M.mistake == .savesBatchesInHalves && 2 * (i + 1) == batch.count { try save() }
        }
        if M.mistake == .acknowledgesBeforeSaving && saves % 3 == 2 {
            saves += 1
            durableIndex = nextIndex - 1
        } else {
            try save()
        }
        return first
    }

    func sync() throws(LogError) {
        takeStaged()
        try save()
    }

    private func takeStaged() {
        if M.mistake == .losesStagedMetadata && saves % 3 == 2 { staged = [:] }
        values.merge(staged) { $1 }
        staged = [:]
    }

    private func copy(_ value: Bytes) -> [UInt8] { (0..<value.count).map { value.u8($0) } }

    func setMetadata(_ key: MetadataKey, _ value: Bytes) throws(LogError) {
        values[key] = copy(value)
        if M.mistake != .forgetsMetadata { try save() }
    }
    func deleteMetadata(_ key: MetadataKey) throws(LogError) {
        values[key] = nil
        try save()
    }
    func stageMetadata(_ key: MetadataKey, _ value: Bytes) throws(LogError) {
        try check()
        staged[key] = copy(value)
    }
    func readMetadata(_ body: (MetadataKey, Bytes) -> Void) throws(LogError) {
        for (key, value) in values {
            value.withUnsafeBytes { body(key, Bytes($0.baseAddress, count: $0.count)) }
        }
    }

    func truncate(_ index: UInt64) throws(LogError) {
        try check()
        if M.mistake == .resetsMetadata && nextIndex != index + 1 { values = [:] }
        items.removeLast(items.count - Int(index + 1 - firstIndex))
        durableIndex = min(durableIndex, nextIndex - 1)
        if M.mistake != .forgetsTruncations { try save() }
    }

    func truncateFront(_ index: UInt64) throws(LogError) {
        try check()
        items.removeFirst(Int(index - firstIndex))
        firstIndex = index
        try save()
    }

    func reset(_ next: UInt64) throws(LogError) {
        try check()
        items = []
        firstIndex = next
        durableIndex = next - 1
        try save()
    }

    func replaceSuffix(_ index: UInt64, _ batch: Batch) throws(LogError) {
        try check()
        durableIndex = min(durableIndex, index - 1)
        items.removeLast(items.count - Int(index - firstIndex))
        _ = try append(batch, nil)
    }

    func rotate() throws(LogError) { try check() }
    func segments() -> [SegmentInfo] { [] }

    func lastIndexOfTerm(_ term: UInt64) throws(LogError) -> UInt64 {
        guard let position = items.lastIndex(where: { $0.term == term }) else {
            throw LogError(.notFound, "no entry has this term")
        }
        return firstIndex + UInt64(position)
    }

    func read(_ index: UInt64, _ body: (Bytes, UInt64) -> Void) throws(LogError) {
        let item = items[Int(index - firstIndex)]
        item.bytes.withUnsafeBytes { body(Bytes($0.baseAddress, count: $0.count), item.term) }
    }

    func close() throws(LogError) {}
}
