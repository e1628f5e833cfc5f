// ScenarioOperations.swift - what each operation of the scenarios is in Swift

import Foundation
import Walrus

extension Scenario {
    func perform(_ name: Substring, _ arguments: Arguments) throws -> [Came] {
        let families = [library, opening, appending, reading, cutting, cursor, transaction, metadata, operating, place]
        for family in families {
            if let came = try family(name, arguments) {
                if !arguments.rest().isEmpty { throw Mismatch("\(name) takes fewer arguments") }
                return came
            }
        }
        throw Mismatch("there is no operation \(name)")
    }

    // ---- Library, options

    private func library(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        switch name {
        case "version":
            let number = Library.versionNumber
            guard Library.version == "\(number / 10000).\(number / 100 % 100).\(number % 100)" else { throw Mismatch("version") }
            // The binary interface is not in the way of a Swift program.
            return [.number(1)]
        case "strerror":
            guard let code = Int32(try arguments.token()) else { throw Mismatch("no code") }
            // A code is a case of an enumeration: there are no others, and success is none.
            let text = code == 0 ? "WALRUS_OK" : WalrusError.Code(rawValue: code)?.explanation ?? "unknown code"
            return [.bytes(Array(text.prefix { $0 != ":" }.utf8))]
        case "crc32":
            let bytes = try arguments.bytes()
            return [.number(UInt64(crc32(bytes.span.bytes)))]
        case "message":
            let part = try arguments.text()
            guard message.contains(part) else { throw Mismatch("the message is: \(message)") }
            return []
        case "option", "option_u64":
            let key = String(try arguments.token())
            var value = try arguments.text()
            if name == "option_u64" {
                if key == "sync" || key == "recovery" { throw Failure(code: .invalid, message: "option \(key) = \(value)") }
                if key == "file_mode", let mode = Int(value) { value = String(mode, radix: 8) }
            }
            var options = Options()
            try OptionText.set(key, value, in: &options)
            try judge(options)
            return [.bytes(Array(try OptionText.get(key, from: options).utf8))]
        case "option_default":
            return [.bytes(Array(try OptionText.get(String(try arguments.token()), from: Options()).utf8))]
        default: return nil
        }
    }

    /// The package judges options when a log is opened; a directory that is not there keeps it from being opened.
    private func judge(_ options: Options) throws {
        do {
            _ = try Log(directory + "/nowhere/log", options)
        } catch {
            if error.code != .io && error.code != .noLog { throw error }
        }
    }

    // ---- Open and close

    private func opening(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        switch name {
        case "open":
            var options = Options()
            for setting in arguments.rest() {
                let parts = setting.split(separator: "=", maxSplits: 1)
                let value = String(decoding: try Tokens.bytes(parts[1]), as: UTF8.self)
                try OptionText.set(String(parts[0]), value, in: &options)
            }
            logs[handle] = try Log(directory, options)
            return []
        case "close":
            let log = try log
            logs[handle] = nil
            try log.close()
            return []
        case "shutdown":
            try log.shutdown()
            return []
        case "destroy":
            try Log.destroy(directory)
            return []
        case "recovery":
            let report = try log.recoveryReport()
            return [.word("\(report.reason)"), .number(report.entriesCut)]
        case "bounds":
            let log = try log
            return [.number(log.firstIndex), .number(log.lastIndex), .number(log.nextIndex)]
        default: return nil
        }
    }

    // ---- Append, durability

    private func appending(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        switch name {
        case "append": return [.number(try log.append(try arguments.bytes()))]
        case "record":
            let durability = try arguments.durability()
            return [.number(try log.append(try arguments.record(), durability: durability))]
        case "batch":
            let durability = try arguments.durability()
            return [.number(try log.append(contentsOf: try arguments.records(), durability: durability).lowerBound)]
        case "packed":
            let durability = try arguments.durability()
            let term = try arguments.number()
            let records = try arguments.rest().map { Record(try Tokens.bytes($0), term: term) }
            return [.number(try log.append(contentsOf: records, durability: durability).lowerBound)]
        case "async":
            let completed = completed
            let index = try log.appendAsync(try arguments.record()) { completed.note($0, $1) }
            expected += 1
            return [.number(index)]
        case "completions":
            defer { expected = 0 }
            return try completed.take(expected).map { .number($0) }
        case "sync":
            try log.sync()
            return []
        case "durable": return [.number(try log.durableIndex)]
        case "interrupt":
            try log.interrupt()
            return []
        case "wait_durable":
            try log.waitDurable(try arguments.number(), timeout: try arguments.timeout())
            return []
        case "notify":
            var poller = pollfd(fd: try log.notifyDescriptor(), events: Int16(POLLIN), revents: 0)
            guard poll(&poller, 1, Int32(try arguments.number())) == 1 else { return [.word("quiet")] }
            var moved: UInt64 = 0
            guard Foundation.read(poller.fd, &moved, 8) == 8 else { throw Mismatch("8 bytes could not be read") }
            return [.word("readable")]
        default: return nil
        }
    }

    // ---- Read

    private func checked(_ entry: Entry) throws -> Entry {
        guard entry.checksum == crc32(entry.bytes) else { throw Mismatch("the checksum of entry \(entry.index) is wrong") }
        return entry
    }

    private func checked(_ entries: [Entry], from first: UInt64) throws -> [Came] {
        for (i, entry) in entries.enumerated() where try checked(entry).index != first + UInt64(i) {
            throw Mismatch("entry \(entry.index) came in place of \(first + UInt64(i))")
        }
        return entries.map { .bytes(Array($0)) }
    }

    /// The lowest index must not be above the highest in a ClosedRange: so that is answered here as the library would.
    private func range(_ arguments: Arguments) throws -> ClosedRange<UInt64> {
        let (first, last) = (try arguments.number(), try arguments.number())
        if first > last { throw Failure(code: .invalid) }
        return first...last
    }

    private func reading(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        switch name {
        case "get":
            let index = try arguments.number()
            let entry = try checked(try log.get(index))
            guard entry.index == index else { throw Mismatch("entry \(entry.index) came") }
            return [.bytes(Array(entry)), .number(entry.term), .signed(entry.timestampNanoseconds)]
        case "read":
            let index = try arguments.number()
            var buffer = [UInt8](repeating: 0, count: try arguments.limit())
            let size = try read(index, into: &buffer)
            return [.bytes(Array(buffer.prefix(size)))]
        case "scan":
            let range = try range(arguments)
            let most = try arguments.limit()
            var entries: [Entry] = []
            try log.scan(range) { entry in
                entries.append(entry)
                return entries.count != most
            }
            return try checked(entries, from: range.lowerBound)
        case "range":
            let range = try range(arguments)
            let maxBytes = try arguments.limit()
            let entries = try log.entries(range, maxCount: try arguments.limit(), maxBytes: maxBytes)
            return try checked(entries, from: range.lowerBound)
        case "read_packed": return try readPacked(arguments)
        case "term": return [.number(try log.term(of: try arguments.number()))]
        case "last_index_of_term": return [.number(try log.lastIndex(ofTerm: try arguments.number()))]
        case "seek_time":
            guard let time = Int64(try arguments.token()) else { throw Mismatch("no time") }
            return [.number(try log.firstIndex(since: time))]
        default: return nil
        }
    }

    private func read(_ index: UInt64, into buffer: inout [UInt8]) throws -> Int {
        let log = try log
        var span = buffer.mutableSpan
        var bytes = span.mutableBytes
        return try log.read(index, into: &bytes)
    }

    /// In Swift entries are lent one by one at no cost, so there is no function that packs them.
    private func readPacked(_ arguments: Arguments) throws -> [Came] {
        let first = try arguments.number()
        let (most, capacity) = (try arguments.limit(), try arguments.limit())
        if most == 0 { throw Failure(code: .invalid) }
        let entries = try log.entries(first...UInt64.max, maxCount: most, maxBytes: capacity)
        if entries[0].count > capacity { throw Failure(code: .tooSmall, size: entries[0].count) }
        return try checked(entries, from: first)
    }

    // ---- Truncate

    private func cutting(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        switch name {
        case "truncate": try log.truncate(after: try arguments.number())
        case "truncate_front": try log.truncateFront(before: try arguments.number())
        case "reset": try log.reset(nextIndex: try arguments.number())
        case "replace_suffix":
            let index = try arguments.number()
            // It is durable whatever the flags say, so here there are none.
            let durability = try arguments.durability()
            guard durability == nil || durability == .durable else { throw Mismatch("no such flag") }
            try log.replaceSuffix(from: index, with: try arguments.records())
        default: return nil
        }
        return []
    }

    // ---- Cursors

    private func cursor(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        guard name.hasPrefix("cursor_") else { return nil }
        let key = try arguments.token()
        if name == "cursor_open" {
            let index = try arguments.number()
            cursors[key] = CursorBox(try log.cursor(at: index, durableOnly: try arguments.token() == "durable"))
            return []
        }
        guard let box = cursors[key] else { throw Mismatch("there is no cursor \(key)") }
        switch name {
        case "cursor_next":
            guard let entry = try box.cursor.next() else { throw Failure(code: .caughtUp) }
            return [.number(try checked(entry).index), .bytes(Array(entry))]
        case "cursor_prev":
            guard let entry = try box.cursor.previous() else { throw Failure(code: .notFound) }
            return [.number(try checked(entry).index), .bytes(Array(entry))]
        case "cursor_seek": try box.cursor.seek(try arguments.number())
        case "cursor_position": return [.number(box.cursor.position)]
        case "cursor_wait": try box.cursor.wait(timeout: try arguments.timeout())
        case "cursor_close": cursors[key] = nil
        default: return nil
        }
        return []
    }

    // ---- Transactions

    private func transaction(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        if name == "txn_count" { return [.number(try log.openTransactions)] }
        if name == "txn_expire" { return [.number(try log.expireTransactions())] }
        guard name.hasPrefix("txn_") else { return nil }
        let key = try arguments.token()
        if name == "txn_begin" {
            transactions[key] = try begin(try arguments.timeout())
            return []
        }
        guard let box = transactions[key] else { throw Mismatch("there is no transaction \(key)") }
        switch name {
        case "txn_append": try box.transaction.append(try arguments.record())
        case "txn_commit":
            let indexes = try box.transaction.commit(durability: try arguments.durability())
            transactions[key] = nil
            return [.number(indexes.lowerBound), .number(UInt64(indexes.count))]
        case "txn_rollback": transactions[key] = nil
        case "txn_state": return [.word("\(try box.transaction.state)")]
        default: return nil
        }
        return []
    }

    /// 0 is what the options say.
    private func begin(_ timeout: Duration?) throws -> TransactionBox {
        if timeout == .zero { return TransactionBox(try log.transaction()) }
        return TransactionBox(try log.transaction(timeout: timeout))
    }

    // ---- Metadata

    private func metadata(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        guard name.hasPrefix("meta_") else { return nil }
        let metadata = try log.metadata
        switch name {
        case "meta_set": try metadata.set(try arguments.text(), try arguments.bytes())
        case "meta_stage": try metadata.stage(try arguments.text(), try arguments.bytes())
        case "meta_delete": try metadata.remove(try arguments.text())
        case "meta_get":
            guard let value = try metadata.get(try arguments.text()) else { throw Failure(code: .notFound) }
            let capacity = try arguments.limit()
            if value.count > capacity { throw Failure(code: .tooSmall, size: value.count) }
            return [.bytes(value)]
        case "meta_list": return try metadata.all().map { .pair(key: Array($0.key.utf8), value: $0.value) }
        default: return nil
        }
        return []
    }

    // ---- Operations

    private func operating(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        switch name {
        case "rotate":
            try log.rotate()
            return []
        case "segments":
            return try log.segments().map {
                // One without entries ends before it begins.
                .word("\($0.indexes.lowerBound):\($0.indexes.upperBound - 1)")
            }
        case "stats":
            let statistics = try log.statistics()
            switch try arguments.token() {
            case "is_poisoned": return [.number(statistics.isPoisoned ? 1 : 0)]
            case "first_index": return [.number(statistics.firstIndex)]
            case "last_index": return [.number(statistics.lastIndex)]
            case "durable_index": return [.number(statistics.durableIndex)]
            case "txn_open": return [.number(statistics.openTransactions)]
            case "appends": return [.number(statistics.appends)]
            case "entries_appended": return [.number(statistics.entriesAppended)]
            case "bytes_appended": return [.number(statistics.bytesAppended)]
            case "rotations": return [.number(statistics.rotations)]
            case "truncations": return [.number(statistics.truncations)]
            case let field: throw Mismatch("this runner does not look at \(field) yet")
            }
        case "stats_text":
            let start = try arguments.token() + " "
            let lines = try log.statisticsText().split(separator: "\n")
            guard let line = lines.first(where: { $0.hasPrefix(start) }) else { throw Mismatch("there is no such line") }
            return [.number(try Tokens.number(line.dropFirst(start.count)))]
        default: return nil
        }
    }

    // ---- The place

    private func place(_ name: Substring, _ arguments: Arguments) throws -> [Came]? {
        let files = FileManager.default
        switch name {
        case "file":
            try? files.createDirectory(atPath: directory, withIntermediateDirectories: false)
            let name = try arguments.token()
            try Data(try arguments.bytes()).write(to: URL(fileURLWithPath: directory + "/" + name))
        case "crash":
            let log = try log
            let aside = directory + ".crashed"
            try files.copyItem(atPath: directory, toPath: aside)
            logs[handle] = nil
            try log.close()
            try files.removeItem(atPath: directory)
            try files.moveItem(atPath: aside, toPath: directory)
        case "damage": try damage(Data(try arguments.bytes()))
        case "sleep": usleep(UInt32(try arguments.number()) * 1000)
        default: return nil
        }
        return []
    }

    private func damage(_ bytes: Data) throws {
        var found = 0
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasSuffix(".wal") {
            let url = URL(fileURLWithPath: directory + "/" + name)
            var content = try Data(contentsOf: url)
            guard let place = content.range(of: bytes) else { continue }
            found += content.range(of: bytes, in: place.upperBound..<content.endIndex) == nil ? 1 : 2
            content[place.lowerBound] ^= 1
            // Into the same file: a new one would have lost its place on the disk.
            let file = try FileHandle(forWritingTo: url)
            try file.seek(toOffset: UInt64(place.lowerBound))
            try file.write(contentsOf: content[place.lowerBound...place.lowerBound])
            try file.close()
        }
        if found != 1 { throw Mismatch("these bytes are in the segments \(found) times, not once") }
    }
}
