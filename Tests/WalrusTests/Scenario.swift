// Scenario.swift - runs Tests/scenarios through the Swift package; README.md there defines the lines

import Foundation
import Synchronization
import Walrus

/// What ends a scenario: the line was not answered as it says.
struct Mismatch: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// What came, as it is compared with a token.
enum Came: CustomStringConvertible {
    case number(UInt64)
    case signed(Int64)
    case bytes([UInt8])
    case word(String)
    case pair(key: [UInt8], value: [UInt8])

    var description: String {
        switch self {
        case .number(let number): "\(number)"
        case .signed(let number): "\(number)"
        case .bytes(let bytes): "\(String(decoding: bytes.prefix(40), as: UTF8.self)) (\(bytes.count) bytes)"
        case .word(let word): word
        case .pair(let key, let value): "\(String(decoding: key, as: UTF8.self)),(\(value.count) bytes)"
        }
    }

    func agrees(with token: Substring) throws -> Bool {
        if token == "*" { return true }
        switch self {
        case .number(let number): return try Tokens.number(token) == number
        case .signed(let number): return Int64(token) == number
        case .bytes(let bytes): return try Tokens.bytes(token) == bytes
        case .word(let word): return token == word
        case .pair(let key, let value):
            let parts = token.split(separator: ",", omittingEmptySubsequences: false)
            return try parts.count == 2 && Tokens.bytes(parts[0]) == key && Tokens.bytes(parts[1]) == value
        }
    }
}

/// A failure as the line expects it: what the package answers otherwise than with an error (nil, say) becomes one here.
struct Failure: Error {
    var code: WalrusError.Code
    var message = ""
    var size = 0
}

enum Tokens {
    static func number(_ token: Substring) throws -> UInt64 {
        if token == "max" { return .max }
        guard let number = UInt64(token) else { throw Mismatch("\(token) is not a number") }
        return number
    }

    static func bytes(_ token: Substring) throws -> [UInt8] {
        let parts = token.split(separator: "*", maxSplits: 1, omittingEmptySubsequences: false)
        var once: [UInt8] = []
        var rest = parts[0] == "-" && parts.count == 1 ? "" : parts[0]
        while let character = rest.popFirst() {
            if character == "%" {
                guard let byte = UInt8(rest.prefix(2), radix: 16) else { throw Mismatch("bad escape in \(token)") }
                once.append(byte)
                rest = rest.dropFirst(2)
            } else {
                once.append(contentsOf: Array(String(character).utf8))
            }
        }
        if parts.count == 1 { return once }
        let times = Int(try number(parts[1]))
        var all: [UInt8] = []
        all.reserveCapacity(once.count * times)
        for _ in 0..<times { all.append(contentsOf: once) }
        return all
    }

    /// In C a term that is left out is 0, which is stored; here nil would be that of the previous entry.
    static func record(_ token: Substring) throws -> Record {
        let parts = token.split(separator: ",", omittingEmptySubsequences: false)
        var record = Record(try bytes(parts[0]), term: 0)
        if parts.count > 1 { record.term = try number(parts[1]) }
        if parts.count > 2 { record.index = try number(parts[2]) }
        if parts.count > 3, let time = Int64(parts[3]), time != 0 { record.timestampNanoseconds = time }
        return record
    }

    static func durability(_ token: Substring) throws -> Durability? {
        switch token {
        case "default": return nil
        case "durable": return .durable
        case "os": return .toOS
        case "buffered": return .buffered
        default: throw Mismatch("\(token) is no flag")
        }
    }

    static func timeout(_ token: Substring) throws -> Duration? {
        guard let milliseconds = Int64(token) else { throw Mismatch("\(token) is no timeout") }
        return milliseconds < 0 ? nil : .milliseconds(milliseconds)
    }
}

/// A noncopyable value where a dictionary can keep it.
final class CursorBox {
    var cursor: Cursor
    init(_ cursor: consuming Cursor) { self.cursor = cursor }
}

final class TransactionBox {
    var transaction: Transaction
    init(_ transaction: consuming Transaction) { self.transaction = transaction }
}

/// The completions that were told, in their order.
final class Completed: Sendable {
    private let told = Mutex<[(index: UInt64, error: WalrusError?)]>([])

    func note(_ index: UInt64, _ error: WalrusError?) { told.withLock { $0.append((index, error)) } }

    func take(_ count: Int) throws -> [UInt64] {
        let deadline = ContinuousClock.now + .seconds(30)
        while told.withLock({ $0.count }) < count {
            guard ContinuousClock.now < deadline else { throw Mismatch("not all appends were reported") }
            usleep(500)
        }
        return try told.withLock { told in
            defer { told = [] }
            return try told.map { if let error = $0.error { throw Mismatch("\(error)") } else { $0.index } }
        }
    }
}

/// One file.
final class Scenario {
    let directory: String
    var logs: [Substring: Log] = [:]
    var cursors: [Substring: CursorBox] = [:]
    var transactions: [Substring: TransactionBox] = [:]
    var message = ""
    let completed = Completed()
    var expected = 0
    /// Of the line.
    var handle: Substring = "main"

    init(in place: String) { directory = place + "/log" }

    static func run(_ file: URL) throws {
        let place = NSTemporaryDirectory() + "walrus-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: place) }
        let scenario = Scenario(in: place)
        let lines = try String(contentsOf: file, encoding: .ascii).split(separator: "\n", omittingEmptySubsequences: false)
        for (number, line) in lines.enumerated() where !line.isEmpty && !line.hasPrefix("#") {
            do {
                try scenario.run(line)
            } catch {
                throw Mismatch("\(file.lastPathComponent):\(number + 1): \(error) (\(line.prefix(80)))")
            }
        }
        scenario.cursors = [:]
        scenario.transactions = [:]
        for log in scenario.logs.values { try log.close() }
    }

    private func run(_ line: Substring) throws {
        var tokens = line.split(separator: " ", omittingEmptySubsequences: false)
        var results: [Substring]? = nil
        if let arrow = tokens.firstIndex(of: "->") {
            results = Array(tokens[(arrow + 1)...])
            tokens.removeSubrange(arrow...)
        }
        handle = "main"
        if tokens[0].hasPrefix("@") { handle = tokens.removeFirst().dropFirst() }
        let name = tokens.removeFirst()
        // The package has everything that a scenario may need.
        if name == "needs" { return }
        let failure: Failure
        do {
            let came = try perform(name, Arguments(tokens))
            guard let results else { return }
            guard try came.count == results.count && zip(came, results).allSatisfy({ try $0.agrees(with: $1) }) else {
                throw Mismatch("\(results) was expected, and \(came) came")
            }
            return
        } catch let error as WalrusError {
            failure = Failure(code: error.code, message: error.message, size: error.requiredSize)
        } catch let error as Failure {
            failure = error
        }
        message = failure.message
        let code = failure.code.explanation.prefix { $0 != ":" }.dropFirst("WALRUS_E_".count)
        guard let results else { throw Mismatch("success was expected, and error \(code) came: \(message)") }
        guard results.count >= 2, results[0] == "error", results[1] == code,
            try results.count == 2 || Tokens.number(results[2]) == UInt64(failure.size)
        else { throw Mismatch("\(results) was expected, and error \(code) \(failure.size) came: \(message)") }
    }

    var log: Log {
        get throws {
            guard let log = logs[handle] else { throw Mismatch("there is no open log \(handle)") }
            return log
        }
    }
}

/// The arguments of a line, taken one by one.
final class Arguments {
    private var tokens: ArraySlice<Substring>

    init(_ tokens: [Substring]) { self.tokens = tokens[...] }

    func token() throws -> Substring {
        guard let token = tokens.popFirst() else { throw Mismatch("the operation needs another argument") }
        return token
    }

    func rest() -> [Substring] {
        defer { tokens = [] }
        return Array(tokens)
    }

    func number() throws -> UInt64 { try Tokens.number(try token()) }
    func bytes() throws -> [UInt8] { try Tokens.bytes(try token()) }
    func text() throws -> String { String(decoding: try bytes(), as: UTF8.self) }
    func record() throws -> Record { try Tokens.record(try token()) }
    func records() throws -> [Record] { try rest().map { try Tokens.record($0) } }
    func durability() throws -> Durability? { try Tokens.durability(try token()) }
    func timeout() throws -> Duration? { try Tokens.timeout(try token()) }
    /// A number that the package takes as an Int: what is larger is no limit.
    func limit() throws -> Int { Int(clamping: try number()) }
}
