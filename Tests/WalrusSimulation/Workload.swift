// Workload.swift - a host that uses a log in every way it can, and remembers what it was told
//
// A seed decides the options, the calls, the entries and when background work runs. Each call is entered in the history with the operations of the
// disk that it took, so that for a crash at any operation it is known what was promised until then.

import WalrusCore

/// How one run is set up.
public struct Setting: Sendable {
    public var options = Options()
    public var canReserve = true
    public var canReadPastCache = true
    public var model = FaultModel.sectors
    public var calls = 40
    /// Calls and looks that came later than the first seeds that found something: those keep their workloads without them.
    public var isFull = true
    /// Where something else opened the log before: a reader beside the writer, that looks in the middle of its calls, too.
    public var hasFollower = false

    public init(seed: UInt64) {
        var chance = Chance(Chance.hash(seed, 0x5e77))
        options.segmentSize = [4096, 8192, 16384][chance.below(3)]
        options.sync = [Policy.durable, .durable, .system, .buffered, .interval][chance.below(5)]
        options.preallocate = !chance.once(in: 4)
        options.bufferSize = chance.once(in: 2) ? 4096 : 65536
        options.zeroCopy = !chance.once(in: 4)
        options.verifyReads = !chance.once(in: 4)
        options.cachedSegments = chance.once(in: 2) ? 1 + chance.below(3) : 512
        options.maxEntrySize = 1 << 16
        if chance.once(in: 4) {
            options.syncPadding = 4096
            model = .blocks
        }
        canReserve = !chance.once(in: 5)
        canReadPastCache = !chance.once(in: 3)
        // Without reads past the cache, the first write after a crash may write blocks again: see docs/DURABILITY.md.
        if !canReadPastCache { model = .sectors }
        calls = 20 + chance.below(30)
        switch chance.below(9) {
        case 0: options.maxSegments = UInt64(1 + chance.below(3))
        case 1: options.retentionBytes = UInt64(1 + chance.below(8)) * 8192
        case 2: options.retentionAge = UInt64(1 + chance.below(30))
        default: break
        }
        hasFollower = Chance.hash(seed, 0xf011) & 3 == 0
        // Out of a source of its own, so that a seed's workload does not depend on it.
        var coding = Chance(Chance.hash(seed, 0xf0f0))
        options.format = [FrameFormat.binary, .json, .proto][coding.below(3)]
        if coding.once(in: 2) {
            options.compression = .zlib
            options.compressionLevel = [-1, 0, 1, 9][coding.below(4)]
            options.compressionMinSize = [0, 64, 1000][coding.below(3)]
        }
    }

    public var text: String {
        "format=\(options.format ?? .binary) compression=\(options.compression) level=\(options.compressionLevel) "
            + "min_size=\(options.compressionMinSize) segment_size=\(options.segmentSize) sync=\(options.sync) preallocate=\(options.preallocate) "
            + "buffer_size=\(options.bufferSize) zero_copy=\(options.zeroCopy) cached_segments=\(options.cachedSegments) "
            + "sync_padding=\(options.syncPadding) max_segments=\(options.maxSegments) "
            + "retention_bytes=\(options.retentionBytes) retention_age=\(options.retentionAge) can_reserve=\(canReserve) "
            + "can_read_past_cache=\(canReadPastCache) follower=\(hasFollower)"
    }
}

/// A log in use: the log itself, its disk, and all that it may hold.
final class Session<Log: LogUnderTest> {
    private(set) var disk: SimulatedDisk
    private(set) var log: Log?
    let setting: Setting
    let payloads: Payloads
    private(set) var lines: [Line]
    /// What else a power cut may bring to light: courses that an open on a warm cache did not see, since a call that never returned had
    /// left its mark in the cache alone. Only until the next call that promises durability.
    private var shadows: [Line] = []
    private(set) var history = History()
    private var chance: Chance
    private var term: UInt64 = 1
    /// What stood at an index last, to append the same once more after it was dropped.
    private(set) var former: [UInt64: Submitted]
    /// Faults may make calls fail.
    private let expectsFailures: Bool
    private var isPoisoned = false
    /// Metadata that waits for an append of this handle.
    private var staged: Values = [:]
    private var lastDurable: UInt64 = 0
    /// Asynchronous appends that were not told of their fate yet, oldest first, and whether a cut dropped them meanwhile.
    private var outstanding: [(index: UInt64, isDropped: Bool)] = []
    private let deliveries = Deliveries()
    private var follower: Follower<Log>?
    /// What a follower may see in the middle of the call under way.
    private var linesInCall: [Line] = []
    /// How often entries really were replaced, and how often retention dropped some.
    private(set) var replacements = 0
    private(set) var retentionDrops = 0
    /// Where to print each call and its answer.
    var trace: ((String) -> Void)?

    init(
        _ disk: SimulatedDisk, _ setting: Setting, lines: [Line], _ payloads: Payloads, seed: UInt64,
        former: [UInt64: Submitted] = [:], expectsFailures: Bool = false
    ) {
        self.disk = disk
        self.setting = setting
        self.lines = lines
        self.payloads = payloads
        self.former = former
        self.expectsFailures = expectsFailures
        chance = Chance(seed)
        disk.canReserve = setting.canReserve
        disk.canReadPastCache = setting.canReadPastCache
    }

    // ---- Opening and closing

    /// Opens the log and checks what is in it. With faults, an open that fails is tried again without them.
    func open(_ expectation: Expectation) throws(Violation) {
        let start = disk.operations
        let before = lines
        let opened: Log
        do throws(LogError) {
            opened = try Log(disk, setting.options)
        } catch {
            if disk.openHandles != 0 {
                throw Violation(text: "an open that failed (\(error.code)) left \(disk.openHandles) files open")
            }
            guard expectsFailures, disk.faultsStruck > 0, error.code == .io || error.code == .noSpace else {
                throw Violation(text: "open failed: \(error.text)")
            }
            trace?("open: \(error.text)")
            record("failed open", start, before)
            disk.clearFaults()
            return try open(expectation)
        }
        isPoisoned = false
        staged = [:]
        outstanding = []
        log = opened
        let found: Line
        disk.readsAreSafe = true
        defer { disk.readsAreSafe = false }
        do {
            found = try opened.match(lines, expectation, payloads)
        } catch {
            throw Violation(text: "after open, \(error.text)")
        }
        // A disk that lost its power has nothing but what is on it.
        if expectation != .durable && lines.count > 1 {
            shadows += lines.filter { !shadows.contains($0) && !$0.isCourse(of: found) }
        }
        lines = [found]
        lastDurable = 0
        try observe()
        trace?("open: \(lines[0].text); \(disk.listing)")
        record("open", start, before)
        try follow()
    }

    /// Closes the log and lets go of it.
    private func letGo() -> LogError? {
        let closing = log
        log = nil
        do throws(LogError) { try closing?.close() } catch { return error }
        return nil
    }

    func close() throws(Violation) {
        if log == nil { return }
        // The threads of a real log do what they were asked for before they end.
        if !outstanding.isEmpty { try stepBackground() }
        let start = disk.operations
        let before = lines
        linesInCall = lines
        let failure = letGo()
        if !outstanding.isEmpty {
            throw Violation(text: "close left the append of \(outstanding[0].index) without an answer")
        }
        trace?("close: \(failure?.text ?? "done")")
        if disk.openHandles != 0 { throw Violation(text: "close left \(disk.openHandles) files open") }
        // A storage serves one log; the next one gets its own.
        disk = disk.processKilled()
        if let failure {
            try expect(failure, "close")
        } else if !isPoisoned {
            lines = lines.map { $0.handingOver($0.last) }
        }
        record("close", start, before)
    }

    private func record(_ call: String, _ start: Int, _ before: [Line], _ changed: [Line] = []) {
        history.add(
            Step(
                call: call, start: start, end: disk.operations, during: before + changed + shadows, after: lines + shadows))
    }

    /// A copy in another format is the same log, although the power went while it was made.
    func checkCopy(_ pool: MemoryPool) throws(Violation) {
        guard let source = log, lines.count == 1, !isPoisoned else { return }
        var options = Options()
        options.format = [FrameFormat.binary, .json, .proto][chance.below(3)]
        options.compression = chance.once(in: 2) ? .zlib : .none
        options.segmentSize = 8192
        var target = SimulatedDisk(seed: chance.next(), pool: pool)
        let again: Log
        do throws(LogError) {
            options = try options.forTarget()
            let log = try Log(target, options)
            try log.copyAll(from: source)
            try log.close()
            let replay = target.replay()
            replay.advance(to: chance.below(target.operations + 1))
            target = replay.powerCut(seed: chance.next())
            again = try Log(target, options)
            try again.copyAll(from: source)
        } catch {
            if error.code == .unsupported { return }
            throw Violation(text: "a copy of the log: \(error.text)")
        }
        defer { try? again.close() }
        do throws(Violation) { _ = try again.match(lines, .everything, payloads) } catch {
            throw Violation(text: "in a copy of the log, \(error.text)")
        }
    }

    /// No file is left that is not the log's, once the background has nothing more to do.
    func checkFiles() throws(Violation) {
        try append(1, .durable)
        try stepBackground()
        try stepBackground()
        guard let log, !isPoisoned else { return }
        let infos: [SegmentInfo]
        do throws(LogError) { infos = try log.segments() } catch { throw Violation(text: "segments failed: \(error.text)") }
        for name in disk.fileNames {
            switch name {
            case .metadata, .lock: continue
            case .segment(let id), .offsetTable(let id): if infos.contains(where: { $0.id == id }) { continue }
            default: break
            }
            throw Violation(text: "\(name) was left behind")
        }
    }

    /// After faults: an append must work, on the same log unless it is poisoned. Then on a new one.
    func recover() throws(Violation) {
        if log != nil && !isPoisoned {
            try append(1, .durable)
            if !isPoisoned { return }
        }
        if chance.once(in: 2) { try close() } else { try kill() }
        try open(.handedOver)
        let before = lines[0].next
        try append(1, .durable)
        if lines.count != 1 || lines[0].next != before + 1 {
            throw Violation(text: "the log takes no entries after it was opened on a sound disk")
        }
    }

    /// The process dies; the machine goes on.
    func kill() throws(Violation) {
        if log == nil { return }
        linesInCall = lines
        let next = disk.processKilled()
        _ = letGo()
        outstanding = []
        if disk.openHandles != 0 { throw Violation(text: "close on a dead disk left \(disk.openHandles) files open") }
        trace?("kill")
        disk = next
    }

    /// Ends it, without a word to the disk.
    func abandon() {
        follower?.close()
        follower = nil
        disk.observer = nil
        if log == nil { return }
        disk.kill()
        _ = letGo()
    }

    // ---- A reader beside it

    /// Sees to a follower where the setting asks for one, which stays when the writer's process goes, and looks.
    private func follow() throws(Violation) {
        guard setting.isFull && setting.hasFollower && !expectsFailures, log != nil else { return }
        if follower == nil { follower = try Follower(disk, setting, payloads, seed: chance.next()) }
        disk.observer = { [unowned self] in follower?.lookInCall(linesInCall) }
        try follower?.look(lines)
    }

    // ---- What is seen of it

    private func expect(_ failure: LogError, _ call: String) throws(Violation) {
        // What the log cannot do yet was not done.
        if failure.code == .unsupported { return }
        if expectsFailures {
            switch failure.code {
            case .poisoned:
                isPoisoned = true
                return
            case .io, .noSpace: if disk.faultsStruck > 0 { return }
            default: break
            }
        }
        throw Violation(text: "\(call) failed: \(failure.text)")
    }

    /// Indexes that the log shows are those of a line, and do not go backwards.
    private func observe(cutTo: UInt64 = .max) throws(Violation) {
        guard let log else { return }
        // All bounds but the next index answer 0 where there is nothing.
        let durable = log.isEmpty ? log.nextIndex - 1 : log.durableIndex
        let least = min(lastDurable, cutTo)
        if durable < least { throw Violation(text: "the durable index fell from \(lastDurable) to \(durable)") }
        if isPoisoned && durable > lastDurable { throw Violation(text: "the durable index grew after a poisoning") }
        lastDurable = durable
        if durable >= log.nextIndex { throw Violation(text: "the durable index \(durable) is above the last one") }
        lines = lines.map { $0.promising(durable: min(durable, $0.last)) }
        if lines.count == 1 && !isPoisoned {
            let line = lines[0]
            if log.nextIndex != line.next || log.isEmpty != line.entries.isEmpty
                || (!log.isEmpty && log.firstIndex != line.first)
            {
                throw Violation(
                    text: "the log shows \(log.firstIndex)..<\(log.nextIndex), empty: \(log.isEmpty), instead of \(line.text)")
            }
            try observeMetadata(line.values(at: line.next), log)
        }
    }

    private func observeMetadata(_ expected: Values, _ log: Log) throws(Violation) {
        do throws(LogError) {
            try log.readMetadata { _, _ in }
        } catch {
            // The call that failed just now has poisoned the log.
            if expectsFailures && error.code == .poisoned { return }
        }
        if let difference = log.differenceOfMetadata(from: expected, payloads) { throw Violation(text: difference) }
    }

    /// Makes one call. `certain`: errors that mean that nothing was done. `change` gives what a line becomes by it.
    private func call(
        _ name: String, certain: [ErrorCode] = [], promisesDurability: Bool = true, cutTo: UInt64 = .max,
        change: ((Line) -> Line)?, mayDropTo bases: [UInt64] = [],
        done: (Line) -> Line = { $0 }, _ body: (Log) throws(LogError) -> UInt64?
    ) throws(Violation) {
        guard let log else { return }
        let start = disk.operations
        let before = lines
        var changed = change.map { change in before.map(change) } ?? []
        linesInCall =
            before + changed
            + bases.flatMap { base in
                before.filter { $0.first < base && base < $0.next }.map { $0.truncatedFront(base) }
            }
        let faults = disk.faultsStruck
        let wasPoisoned = isPoisoned
        var failure: LogError? = nil
        var index: UInt64? = nil
        do throws(LogError) { index = try body(log) } catch { failure = error }
        // What retention may have done, and, unless an operation failed, whether it did.
        let first = log.isEmpty ? log.nextIndex : log.firstIndex
        changed += bases.flatMap { base in before.filter { $0.first < base && base < $0.next }.map { $0.truncatedFront(base) } }
        let hasDropped = !bases.isEmpty && before.contains { $0.first < first } && !before.contains { $0.first == first }
        if hasDropped { retentionDrops += 1 }
        trace?("\(name) [\(start)..<\(disk.operations)]: \(failure?.text ?? "done") \(index.map { "at \($0)" } ?? "")")
        if let failure {
            try expect(failure, name)
            let isRefused = (wasPoisoned || failure.code == .poisoned) && start == disk.operations
            if certain.contains(failure.code) || failure.code == .unsupported || isRefused || change == nil {
                lines = before
            } else {
                lines = before
                for var line in changed where !lines.contains(line) {
                    line.doubts += 1
                    lines.append(line)
                }
                // Many failures in a row: the courses on which the fewest of them happened. A log that was not sure of one is
                // poisoned, and refuses the next.
                if lines.count > 128 {
                    lines.sort { $0.doubts < $1.doubts }
                    lines.removeLast(lines.count - 128)
                }
            }
        } else {
            if wasPoisoned && name != "background" && name != "syncer" {
                throw Violation(text: "\(name) succeeded after a poisoning")
            }
            var left: [Line] = []
            for (i, line) in before.enumerated() where index == nil || line.next == index {
                let result = done(change == nil ? line : changed[i])
                if !left.contains(result) { left.append(result) }
            }
            if disk.faultsStruck > faults {
                for line in changed where !left.contains(line) { left.append(line) }
            } else if hasDropped {
                left = changed.filter { $0.first == first }
            }
            if left.isEmpty {
                throw Violation(
                    text:
                        "\(name) was given index \(index ?? 0) instead of \(before.map { "\($0.next)" }.joined(separator: " or "))"
                )
            }
            lines = left
        }
        do {
            try observe(cutTo: failure == nil || !certain.contains(failure!.code) ? cutTo : .max)
        } catch {
            throw Violation(text: "after \(name), \(error.text)")
        }
        if failure == nil, let index, let changed = changed.first {
            // What could not be seen goes on below what is appended, or does not have it.
            let batch = changed.entries.suffix(Int(changed.next - index))
            let ridden = changed.rides.last.map { $0.index >= index ? $0.values : [:] } ?? [:]
            shadows = shadows.map { $0.next == index ? $0.appending(Array(batch), with: ridden) : $0 }
        }
        record(name, start, before, changed)
        if failure == nil && cutTo != .max {
            for i in outstanding.indices where outstanding[i].index > cutTo { outstanding[i].isDropped = true }
        }
        linesInCall = lines
        try follow()
        if failure == nil && (promisesDurability || hasDropped) {
            shadows = []
            record("return of \(name)", disk.operations, lines)
        }
    }

    // ---- The calls

    private func makeBatch(_ count: Int, at index: UInt64) -> Batch {
        var entries: [Submitted] = []
        for i in 0..<count {
            if chance.once(in: 12) { term += 1 }
            if let before = former[index + UInt64(i)], chance.once(in: 2) {
                entries.append(before)
                continue
            }
            var size = chance.once(in: 8) ? 0 : chance.below(300)
            if chance.once(in: 40) { size = 2000 + chance.below(Int(setting.options.segmentSize)) }
            let entry = payloads.make(size, term: term, &chance, disk)
            former[index + UInt64(i)] = entry
            entries.append(entry)
        }
        return Batch(payloads: payloads, entries: entries)
    }

    private let certainErrors: [ErrorCode] = [.noSpace, .invalid, .tooLarge, .outOfOrder]

    func append(_ count: Int, _ policy: Policy?) throws(Violation) {
        var batch = makeBatch(count, at: lines[0].next)
        if lines.count == 1 && chance.once(in: 4) { batch.index = lines[0].next }
        let promise = policy ?? setting.options.sync
        let next = lines[0].next
        let staged = self.staged
        try call(
            "append of \(count), \(promise)", certain: certainErrors, promisesDurability: promise == .durable,
            change: { $0.appending(batch.entries, with: staged) },
            done: { line in
                switch promise {
                case .durable: line.promising(durable: line.last)
                case .system, .interval: line.handingOver(line.last)
                case .buffered: line
                }
            }
        ) { (log) throws(LogError) in
            let index = try log.append(batch, policy)
            self.staged = [:]
            return index
        }
        if promise == .durable, let log, lines.count == 1, lines[0].next > next, log.durableIndex < lines[0].last {
            throw Violation(text: "a durable append returned and the durable index is \(log.durableIndex)")
        }
    }

    func appendAsync() throws(Violation) {
        let batch = makeBatch(1, at: lines[0].next)
        let staged = self.staged
        var given: UInt64? = nil
        try call(
            "asynchronous append", certain: certainErrors, promisesDurability: false,
            change: { $0.appending(batch.entries, with: staged) }
        ) { (log) throws(LogError) in
            given = try log.appendAsync(batch, deliveries)
            self.staged = [:]
            return given
        }
        if let given { outstanding.append((given, false)) }
    }

    /// What asynchronous appends were told is true, in their order, and once.
    private func checkDeliveries(_ log: Log) throws(Violation) {
        for (index, status) in deliveries.takeAll() {
            guard let oldest = outstanding.first, oldest.index == index else {
                throw Violation(text: "the append of \(index) was answered twice or before an older one")
            }
            outstanding.removeFirst()
            switch ErrorCode(rawValue: status) {
            case nil where status == 0:
                // An empty log answers 0; what was dropped is complete.
                if !oldest.isDropped && index > max(log.durableIndex, log.isEmpty ? log.nextIndex - 1 : 0) {
                    throw Violation(text: "the append of \(index) completed and the durable index is \(log.durableIndex)")
                }
                if !oldest.isDropped { lines = lines.map { $0.promising(durable: min(index, $0.last)) } }
            case .poisoned:
                if !expectsFailures || disk.faultsStruck == 0 { throw Violation(text: "an append was told of a poisoning") }
                isPoisoned = true
            default: throw Violation(text: "the append of \(index) was told \(status)")
            }
        }
    }

    func transaction(_ count: Int, _ policy: Policy?, commits: Bool) throws(Violation) {
        let batch = makeBatch(count, at: lines[0].next)
        let promise = policy ?? setting.options.sync
        let staged = self.staged
        try call(
            "\(commits ? "commit" : "rollback") of \(count), \(promise)", certain: certainErrors,
            promisesDurability: commits && promise == .durable,
            change: commits ? { $0.appending(batch.entries, with: staged) } : nil,
            done: { line in
                if !commits { return line }
                return switch promise {
                case .durable: line.promising(durable: line.last)
                case .system, .interval: line.handingOver(line.last)
                case .buffered: line
                }
            }
        ) { (log) throws(LogError) in
            let index = try log.transaction(batch, policy, commits: commits)
            if commits { self.staged = [:] }
            return index
        }
    }

    func sync() throws(Violation) {
        let staged = self.staged
        let change: ((Line) -> Line)? = staged.isEmpty ? nil : { $0.setting(staged.mapValues { $0 }) }
        try call("sync", change: change, done: { $0.promising(durable: $0.last) }) { (log) throws(LogError) in
            try log.sync()
            self.staged = [:]
            return nil
        }
    }

    // ---- Metadata

    private func makeValue() -> Submitted {
        var size = chance.once(in: 6) ? 0 : chance.below(80)
        // Now and then more than fits into a slot's first block, or into the smallest write buffer.
        if chance.once(in: 12) { size = 3000 + chance.below(5000) }
        return payloads.make(size, term: 0, &chance, disk)
    }

    private func someKey() -> MetadataKey { MetadataKey.allCases[chance.below(MetadataKey.allCases.count)] }

    func setMetadata() throws(Violation) {
        let key = someKey()
        let value = makeValue()
        try call("set of metadata \(key)", certain: [.noSpace], change: { $0.setting([key: value]) }) {
            (log) throws(LogError) in
            try log.setMetadata(key, payloads.bytes(value))
            return nil
        }
    }

    func deleteMetadata() throws(Violation) {
        // Only what is there whatever became of a call that failed.
        let keys = MetadataKey.allCases.filter { key in lines.allSatisfy { $0.values(at: $0.next)[key] != nil } }
        if keys.isEmpty { return }
        let key = keys[chance.below(keys.count)]
        try call("delete of metadata \(key)", certain: [.noSpace], change: { $0.setting([key: nil as Submitted?]) }) {
            (log) throws(LogError) in
            try log.deleteMetadata(key)
            return nil
        }
    }

    func stageMetadata() throws(Violation) {
        let key = someKey()
        let value = makeValue()
        try call("stage of metadata \(key)", certain: [.noSpace], promisesDurability: false, change: nil) {
            (log) throws(LogError) in
            try log.stageMetadata(key, payloads.bytes(value))
            self.staged[key] = value
            return nil
        }
    }

    private var lowest: UInt64 { lines.map { $0.first }.max()! }
    private var highest: UInt64 { lines.map { $0.next }.min()! }

    func truncate(_ index: UInt64) throws(Violation) {
        try call("truncate to \(index)", cutTo: index, change: { $0.truncated(index) }) { (log) throws(LogError) in
            try log.truncate(index)
            return nil
        }
    }

    func truncateFront(_ index: UInt64) throws(Violation) {
        try call("truncate front to \(index)", change: { $0.truncatedFront(index) }) { (log) throws(LogError) in
            try log.truncateFront(index)
            return nil
        }
    }

    func reset(_ next: UInt64) throws(Violation) {
        try call("reset to \(next)", cutTo: next - 1, change: { $0.reset(next) }) { (log) throws(LogError) in
            try log.reset(next)
            return nil
        }
    }

    func replaceSuffix(_ index: UInt64, _ count: Int) throws(Violation) {
        let batch = makeBatch(count, at: index)
        let staged = self.staged
        try call(
            "replace from \(index) by \(count)", certain: certainErrors, cutTo: index - 1,
            change: { line in
                let replaced = line.truncated(index - 1).appending(batch.entries, with: staged)
                // What is seen of a replacement is durable. Where nothing is dropped it is no more than an append.
                return index < line.next ? replaced.promising(durable: replaced.last) : replaced
            },
            done: { $0.promising(durable: $0.last) }
        ) { (log) throws(LogError) in
            let isLess = index < log.nextIndex
            try log.replaceSuffix(index, batch)
            if isLess { replacements += 1 }
            self.staged = [:]
            return nil
        }
    }

    func rotate() throws(Violation) {
        try call("rotate", certain: [.noSpace], promisesDurability: false, change: nil) { (log) throws(LogError) in
            try log.rotate()
            return nil
        }
    }

    func stepBackground() throws(Violation) {
        // Some more time has passed than any interval takes.
        try call("syncer", promisesDurability: false, change: nil) { (_) throws(LogError) in
            _ = disk.syncer.step(now: .max)
            return nil
        }
        if !outstanding.isEmpty, let log {
            _ = disk.completer.step(now: .max)
            try checkDeliveries(log)
            if !outstanding.isEmpty && !expectsFailures {
                throw Violation(text: "the append of \(outstanding[0].index) was synced and got no answer")
            }
        }
        try call("background", promisesDurability: false, change: nil, mayDropTo: retentionBases()) { (_) throws(LogError) in
            _ = disk.background.step(now: .max)
            return nil
        }
    }

    /// The indexes to which retention may drop the log's front: none but where a segment begins, none beyond what the limits ask for,
    /// and with a limit that is known exactly that one alone.
    private func retentionBases() throws(Violation) -> [UInt64] {
        let options = setting.options
        guard let log, !isPoisoned, options.maxSegments > 0 || options.retentionBytes > 0 || options.retentionAge > 0 else {
            return []
        }
        disk.readsAreSafe = true
        defer { disk.readsAreSafe = false }
        var infos: [SegmentInfo]
        do throws(LogError) { infos = try log.segments() } catch { throw Violation(text: "segments failed: \(error.text)") }
        for (before, after) in zip(infos, infos.dropFirst()) where before.endIndex != max(after.firstIndex, before.endIndex) {
            throw Violation(text: "segment \(after.id) does not go on where the one before it ends")
        }
        var bytes: UInt64 = 0
        while let last = infos.last, last.firstIndex == last.endIndex {
            bytes += last.fileBytes
            infos.removeLast()
        }
        guard infos.count > 1 else { return [] }
        if options.retentionAge > 0 {
            // What time the log will look at is not known.
            let limit = disk.latest - Int64(options.retentionAge) * 1_000_000 + 3_000_000
            return infos.indices.dropFirst().filter { infos[$0 - 1].highestTime < limit }.map { infos[$0].firstIndex }
        }
        var keep = infos.count - 1
        if options.maxSegments > 0 {
            keep = max(0, infos.count - Int(options.maxSegments))
        } else {
            bytes += infos[keep].fileBytes
            while keep > 0, bytes + infos[keep - 1].fileBytes <= options.retentionBytes {
                keep -= 1
                bytes += infos[keep].fileBytes
            }
        }
        return keep > 0 ? [infos[keep].firstIndex] : []
    }

    /// Reads an entry or two, as a host would between its writes.
    func look() throws(Violation) {
        guard let log, lines.count == 1, !isPoisoned, !lines[0].entries.isEmpty else { return }
        let line = lines[0]
        let index = line.first + UInt64(chance.below(line.entries.count))
        let expected = line.entries[Int(index - line.first)]
        var isRight = false
        do throws(LogError) {
            try log.read(index) { bytes, term in isRight = payloads.matches(expected, bytes) && term == expected.term }
        } catch {
            try expect(error, "read of \(index)")
            return
        }
        if !isRight { throw Violation(text: "entry \(index) is not what was appended") }
        try search(log, line)
    }

    /// The last entry of a term is found, or that there is none.
    private func search(_ log: Log, _ line: Line) throws(Violation) {
        let term = chance.below(Int(self.term) + 2)
        let expected = line.entries.lastIndex { $0.term == UInt64(term) }.map { line.first + UInt64($0) }
        var found: UInt64? = nil
        do throws(LogError) {
            found = try log.lastIndexOfTerm(UInt64(term))
        } catch {
            if error.code != .notFound { return try expect(error, "search for term \(term)") }
        }
        if found != expected {
            throw Violation(text: "the last entry of term \(term) is \(expected ?? 0), and \(found ?? 0) was found")
        }
    }

    /// One call of some kind.
    func callSomething() throws(Violation) {
        // Ends of a line that others do not share are left alone until it is known which one holds.
        let lowest = self.lowest
        let highest = self.highest
        let span = highest > lowest ? Int(highest - lowest) : 0
        let wanted = Int(setting.options.segmentSize) * 8
        if payloads.isFull(for: wanted) { return }
        switch chance.below(setting.isFull ? 138 : 118) {
        case 0..<34: try append(1, chance.once(in: 4) ? [.durable, .system, .buffered][chance.below(3)] : nil)
        case 34..<52: try append(2 + chance.below(6), chance.once(in: 4) ? [.durable, .system, .buffered][chance.below(3)] : nil)
        case 52..<62: try sync()
        case 62..<69: if lowest <= highest { try truncate(lowest - 1 + UInt64(chance.below(span + 1))) }
        case 69..<74: if lowest <= highest { try truncateFront(lowest + UInt64(chance.below(span + 1))) }
        case 74: try reset(1 + UInt64(chance.below(200)))
        case 75..<80:
            if lowest <= highest { try replaceSuffix(lowest + UInt64(chance.below(span + 1)), 1 + chance.below(4)) }
        case 80..<83: try rotate()
        case 83..<86:
            try close()
            try open(expectsFailures ? .handedOver : .everything)
        case 86..<89:
            try kill()
            try open(.handedOver)
        case 89..<94: try look()
        case 94..<98: try setMetadata()
        case 98..<100: try deleteMetadata()
        case 100..<112: try stageMetadata()
        case 118..<130: try appendAsync()
        case 130..<138:
            try transaction(
                1 + chance.below(4), chance.once(in: 2) ? [.durable, .system, .buffered][chance.below(3)] : nil,
                commits: !chance.once(in: 4))
        default: try stepBackground()
        }
    }
}

extension LogError {
    public var text: String {
        var text = "\(code): \(detail)"
        if let file { text += ", \(file) at \(offset)" }
        if index != 0 { text += ", entry \(index)" }
        return text
    }
}
