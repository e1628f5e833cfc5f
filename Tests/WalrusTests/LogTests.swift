// LogTests.swift - what the Swift package promises beyond the scenarios: values, lifetimes, tasks and closing at any time

import Foundation
import Synchronization
import Testing
import Walrus

private let scenarios = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("scenarios")
private let scenarioFiles = try! FileManager.default.contentsOfDirectory(atPath: scenarios.path)
    .filter { $0.hasSuffix(".scenario") }.sorted()

/// A directory that goes with the test.
private final class Place {
    let log: String
    private let path = NSTemporaryDirectory() + "walrus-" + UUID().uuidString

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        log = path + "/log"
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite(.timeLimit(.minutes(1))) struct LogTests {
    private let place: Place

    init() throws { place = try Place() }

    private func open(_ change: (inout Options) -> Void = { _ in }) throws -> Log {
        var options = Options()
        options.segmentSize = 64 << 10
        change(&options)
        return try Log(place.log, options)
    }

    /// Catches: a difference to what the other languages say.
    @Test(arguments: scenarioFiles) func scenario(_ name: String) throws {
        try Scenario.run(scenarios.appendingPathComponent(name))
    }

    /// Catches: an empty list of scenarios, which would test nothing.
    @Test func thereAreScenarios() { #expect(scenarioFiles.count >= 20) }

    /// Catches: a view that dies with the log, with its truncation, or with another copy of the entry.
    @Test func anEntryOutlivesItsLog() throws {
        var entry: Entry
        do {
            let log = try open()
            let payload = [UInt8](repeating: 7, count: 100_000)
            try log.append(payload)
            entry = try log.get(1)
            let copy = entry
            try log.truncate(after: 0)
            try log.append("something else")
            try log.close()
            #expect(copy.count == 100_000)
        }
        #expect(Array(entry) == [UInt8](repeating: 7, count: 100_000))
        #expect(entry.span[99_999] == 7)
        #expect(crc32(entry.bytes) == entry.checksum)
        entry = try emptyEntry()
        #expect(entry.count == 0 && entry.string.isEmpty && entry.bytes.isEmpty)
    }

    private func emptyEntry() throws -> Entry {
        let log = try open()
        return try log.get(try log.append(""))
    }

    /// Catches: an error that does not say where.
    @Test func anErrorSaysWhatAndWhere() throws {
        let log = try open()
        let missing = #expect(throws: WalrusError.self) { try log.get(3) }
        #expect(missing?.code == .notFound && missing?.index == 3)
        #expect(missing?.message.hasPrefix(place.log + ": ") == true)
        let second = #expect(throws: WalrusError.self) { try open() }
        #expect(second?.code == .locked && second?.path == place.log + "/walrus.lock" && second?.osError == EWOULDBLOCK)
        var buffer = [UInt8](repeating: 0, count: 3)
        try log.append("hello")
        func read() throws {
            var span = buffer.mutableSpan
            var bytes = span.mutableBytes
            _ = try log.read(1, into: &bytes)
        }
        let small = #expect(throws: WalrusError.self) { try read() }
        #expect(small?.code == .tooSmall && small?.requiredSize == 5)
        for code in WalrusError.Code.allCases { #expect(code.explanation.hasPrefix("WALRUS_E_")) }
        let name = #expect(throws: WalrusError.self) { try Log("a\0b") }
        #expect(name?.code == .invalid)
    }

    /// Catches: an option outside its limits that reaches the engine.
    @Test func anImpossibleOptionIsNamed() throws {
        func refused(_ name: String, _ change: (inout Options) -> Void) {
            let error = #expect(throws: WalrusError.self) { try open(change) }
            #expect(error?.code == .invalid && error?.message.contains("option \(name) = ") == true, "\(error as Any)")
        }
        refused("segment_size") { $0.segmentSize = 0 }
        refused("cached_segments") { $0.cachedSegments = .max }
        refused("buffer_size") { $0.bufferSize = 1 }
        refused("max_entry_size") { $0.maxEntrySize = 2 << 30 }
        refused("sync_interval_ms") { $0.syncIntervalMilliseconds = 0 }
        refused("sync_bytes") { $0.syncBytes = .max }
        refused("async_max_bytes") { $0.asyncMaxBytes = 0 }
        refused("max_segments") { $0.maxSegments = .max }
        refused("retention_bytes") { $0.retentionBytes = .max }
        refused("retention_age_ms") { $0.retentionAgeMilliseconds = .max }
        refused("txn_timeout_ms") { $0.transactionTimeoutMilliseconds = 0 }
        refused("txn_max_entries") { $0.transactionMaxEntries = 0 }
        refused("compression_level") { $0.compressionLevel = 10 }
        refused("compression_min_size") { $0.compressionMinSize = .max }
        refused("sync_padding") { $0.syncPadding = 512 }
        refused("file_mode") { $0.fileMode = 0o444 }
        #expect(!FileManager.default.fileExists(atPath: place.log))
    }

    /// Catches: a logger that is freed before its log, that hears nothing, or deadlocks when it calls back.
    @Test func theLoggerHearsAndIsKept() throws {
        let heard = Mutex<[String]>([])
        let answer = Mutex<WalrusError.Code?>(nil)
        let itself = Mutex<Log?>(nil)
        do {
            let log = try open {
                $0.logger = Logger(level: .debug) { level, message in
                    heard.withLock { $0.append("\(level): \(message)") }
                    guard let log = itself.withLock({ $0 }) else { return }
                    do throws(WalrusError) { try log.sync() } catch { answer.withLock { $0 = error.code } }
                }
            }
            itself.withLock { $0 = log }
            try log.append("a")
            try log.rotate()
            try log.append("b")
            try log.close()
            itself.withLock { $0 = nil }
        }
        #expect(heard.withLock { $0.contains { $0.hasPrefix("info: created a log") } })
        #expect(heard.withLock { $0.count } > 2)
        // Once the gate is closed it says so; before, the engine says that this is no place to call from.
        #expect(answer.withLock { $0 } == .busy || answer.withLock { $0 } == .closed)
    }

    /// Catches: an asynchronous append that comes back before it is durable, twice, or never.
    @Test func asyncAppendsAreDurableWhenTheyComeBack() async throws {
        let log = try open { $0.sync = .none }
        let indexes = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for i in 0..<200 {
                group.addTask {
                    let index = try await log.appendAsync(Record("entry \(i)"))
                    #expect(log.durableIndex >= index)
                    return index
                }
            }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(indexes == Set(1...200))
        try log.close()
        await #expect(throws: WalrusError.self) { try await log.appendAsync(Record("late")) }
    }

    /// Catches: a completion that close does not wait for, or a close that a completion may not survive.
    @Test func completionsAreToldBeforeCloseReturns() throws {
        let told = Mutex<[UInt64]>([])
        let inside = Mutex<WalrusError.Code?>(nil)
        let log = try open { $0.sync = .none }
        for _ in 0..<100 {
            try log.appendAsync(Record("x")) { index, error in
                #expect(error == nil)
                told.withLock { $0.append(index) }
                do throws(WalrusError) { try log.close() } catch { inside.withLock { $0 = error.code } }
            }
        }
        while inside.withLock({ $0 }) == nil { usleep(100) }
        #expect(inside.withLock { $0 } == .busy)
        try log.close()
        #expect(told.withLock { $0 } == Array(1...100))
    }

    /// Catches: a log whose last reference goes on its own completion thread, and that waits for that thread for ever.
    @Test func aLogMayGoInsideItsOwnCompletion() throws {
        let (mayReturn, hasReturned) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        do {
            let log = try open()
            try log.appendAsync(Record("x")) { [log] _, _ in
                mayReturn.wait()
                _ = log.directory
                hasReturned.signal()
            }
        }
        mayReturn.signal()
        #expect(hasReturned.wait(timeout: .now() + .seconds(20)) == .success)
        let deadline = ContinuousClock.now + .seconds(120)
        var again: Log? = nil
        while again == nil && ContinuousClock.now < deadline {
            do throws(WalrusError) { again = try Log(place.log) } catch { #expect(error.code == .locked) }
            usleep(1000)
        }
        #expect(try again?.recoveryReport().reason == .clean)
        #expect(again?.lastIndex == 1)
    }

    /// Catches: a follower that misses, repeats, spins past its end, or holds up the log's close.
    @Test func followingSeesEverythingAndEndsWhenTheLogCloses() async throws {
        let log = try open { $0.sync = .os }
        let (seen, code) = try await withThrowingTaskGroup(of: ([UInt64], WalrusError.Code?).self) { group in
            group.addTask {
                var seen: [UInt64] = []
                do throws(WalrusError) {
                    for try await entry in log.following() { seen.append(entry.index) }
                } catch {
                    return (seen, error.code)
                }
                return (seen, nil)
            }
            for i in 1...300 {
                try log.append("entry \(i)")
                if i % 50 == 0 { try await Task.sleep(for: .milliseconds(2)) }
            }
            while try log.statistics().lastIndex < 300 { await Task.yield() }
            try await Task.sleep(for: .milliseconds(100))
            try log.close()
            return try #require(await group.next())
        }
        #expect(seen == Array(1...300))
        #expect(code == .closed)
    }

    /// Catches: a cancelled task that waits on.
    @Test func aCancelledFollowerEnds() async throws {
        let log = try open()
        try log.append("only one")
        let task = Task { () -> [String] in
            var seen: [String] = []
            for try await entry in log.following(durableOnly: true) { seen.append(entry.string) }
            return seen
        }
        try await Task.sleep(for: .milliseconds(50))
        let cancelled = ContinuousClock.now
        task.cancel()
        #expect(try await task.value == ["only one"])
        #expect(ContinuousClock.now - cancelled < .seconds(5))
        try log.close()
    }

    /// Catches: a close that returns while a call is still inside the log.
    @Test func closeWaitsForACallThatIsUnderWay() throws {
        let log = try open()
        try log.append("entry")
        let isInside = DispatchSemaphore(value: 0)
        let isDone = Mutex(false)
        let thread = Thread {
            try? log.scan(1...1) { _ in
                isInside.signal()
                usleep(100_000)
                isDone.withLock { $0 = true }
                return true
            }
        }
        thread.start()
        isInside.wait()
        try log.close()
        #expect(isDone.withLock { $0 })
    }

    /// Catches: a close that frees what another thread's call is using, or waits for a wait that has no end.
    @Test func closingBesideEverythingIsSafe() async throws {
        for round in 0..<10 {
            let log = try open { $0.sync = round % 2 == 0 ? .always : .none }
            try log.append("first")
            await withTaskGroup(of: WalrusError.Code?.self) { group in
                func until(_ body: @escaping @Sendable () throws(WalrusError) -> Void) {
                    group.addTask {
                        while true {
                            do throws(WalrusError) { try body() } catch { return error.code }
                        }
                    }
                }
                until { () throws(WalrusError) in try log.append("entry") }
                until { () throws(WalrusError) in _ = try log.get(1) }
                until { () throws(WalrusError) in try log.scan(1...UInt64.max) { $0.count > 0 } }
                until { () throws(WalrusError) in
                    var cursor = try log.cursor(at: log.nextIndex)
                    try cursor.wait()
                }
                until { () throws(WalrusError) in
                    var transaction = try log.transaction()
                    try transaction.append(Record("in a transaction"))
                    try transaction.commit()
                }
                usleep(5000)
                #expect(throws: Never.self) { try log.close() }
                for await code in group { #expect(code == .closed || code == .notFound) }
            }
        }
        let log = try open { $0.mustBeNew = false }
        #expect(try log.recoveryReport().reason == .clean)
    }

    /// Catches: a transaction that stays open when its value goes.
    @Test func aTransactionThatGoesIsRolledBack() throws {
        let log = try open()
        do {
            var transaction = try log.transaction(timeout: nil)
            try transaction.append(Record("never"))
            #expect(log.openTransactions == 1)
        }
        #expect(log.openTransactions == 0 && log.lastIndex == 0)
        let transaction = try log.transaction(timeout: .seconds(5))
        transaction.rollback()
        #expect(try log.statistics().transactionsRolledBack == 2)
        let refused = #expect(throws: WalrusError.self) { _ = try log.transaction(timeout: .zero) }
        #expect(refused?.code == .invalid)
    }

    /// Catches: formats and codecs that do not reach the engine, and a conversion that stops, loses or changes something.
    @Test func aLogIsConverted() throws {
        let texts = (0..<100).map { "{\"entry\": \($0), \"padding\": \"" + String(repeating: "x", count: 500) + "\"}" }
        let log = try open()
        try log.append(contentsOf: texts.map { Record($0, term: 7) })
        try log.metadata.set("vote", [1])
        try log.close()
        for (format, compression) in [(Options.Format.json, Options.Compression.none), (.proto, .zlib)] {
            let target = "\(place.log)-\(format)"
            var options = Options()
            options.format = format
            options.compression = compression
            options.compressionLevel = 9
            #expect(try !Log.convert(from: place.log, to: target, options) { _, _ in false })
            #expect(try Log.convert(from: place.log, to: target, options))
            let copy = try Log(target)
            #expect(try copy.entries(1...100).map(\.string) == texts && copy.term(of: 100) == 7)
            #expect(try copy.metadata.get("vote") == [1])
            let size = try copy.segments().reduce(0) { $0 + $1.bytes }
            #expect(compression == .zlib ? size < 20_000 : size > 50_000)
            try copy.close()
            options.format = .binary
            let error = #expect(throws: WalrusError.self) { try Log(target, options) }
            #expect(error?.code == .format)
        }
        let same = #expect(throws: WalrusError.self) { try Log.convert(from: place.log, to: place.log) }
        #expect(same?.code == .invalid)
    }

    /// Catches: nil, defaults and durations that mean something else than they say.
    @Test func recordsAndReports() throws {
        let log = try open()
        let indexes = try log.append(contentsOf: [
            Record("a", term: 3, index: 10, timestampNanoseconds: 0), Record("b"), Record([1, 2, 3], term: 0),
        ])
        #expect(indexes == 10..<13)
        #expect(try log.entries(10...12).map(\.term) == [3, 3, 0])
        #expect(try log.get(10).timestampNanoseconds == 0)
        #expect(try log.entries(10...99, maxCount: 2).map(\.string) == ["a", "b"])
        #expect(try log.append(contentsOf: []) == 13..<13)
        let segments = try log.segments()
        #expect(segments.count == 1 && segments[0].indexes == 10..<13 && segments[0].isTail)
        #expect(FileManager.default.fileExists(atPath: "\(place.log)/\(segments[0].name)"))
        let statistics = try log.statistics()
        #expect(statistics.entriesAppended == 3 && statistics.syncHistogram.reduce(0, +) == statistics.syncs)
        let waited = ContinuousClock.now
        let late = #expect(throws: WalrusError.self) {
            var cursor = try log.cursor(at: log.nextIndex)
            try cursor.wait(timeout: .milliseconds(20))
        }
        #expect(late?.code == .timeout && ContinuousClock.now - waited >= .milliseconds(20))
        #expect(try log.recoveryReport().message == "the log had been closed cleanly")
        #expect(Library.version.split(separator: ".").count == 3)
    }
}
