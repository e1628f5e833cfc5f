// Checker.swift - what a log may hold, given what it was told and what it answered
//
// Metadata is part of a line: what was set, and what rode on the appends, which is there exactly if they are.
//
// A *line* is one possible course of the log: its first index and every entry from there on. While calls succeed there is one; a call
// that failed, or was under way when the power went, leaves two. After a crash the log must hold a beginning of one of its lines: from the line's
// first index on, without a gap, at least up to what was promised, and not ending inside a batch.
//
// What of the simulation checks which promise:
//
//    1  what was acknowledged is there, identical    `compare`: the floor, the bytes
//    2  a beginning of what was given, nothing else   `compare`: the first index, the end, the bytes of every entry
//    3  indexes without a gap                         `compare` reads each from the first to the last
//    4  batches all or nothing                        `isWhole`
//    5  a truncation is never undone                  `truncated` and its like, the only line once the call has returned
//    6  no dead entry returns                         the same, and `Session.former`: identical bytes are appended again
//    7  recovery of what was recovered                `Simulation.goOn`, `crashAgain`, to the third crash in a row
//    8  appending and crashing after a recovery       the same
//    9  nothing is acknowledged after a poisoning     `Session.call`, `observe`, `checkDeliveries`
//   10  bounds never go backwards but by truncation   `Session.observe`
//   11  damage: the same data, a cut, or an error     `Simulation.damage`
//   12  no failure leaks                              `openHandles` after each open that failed and each close, `Session.checkFiles`

import WalrusCore

/// A broken promise.
public struct Violation: Error {
    public var text: String
}

typealias Values = [MetadataKey: Submitted]

/// Metadata that rode on a batch.
struct Ride: Equatable {
    /// The batch's last index.
    var index: UInt64
    var values: Values
}

struct Line: Equatable {
    var first: UInt64 = 1
    var entries: [Submitted] = []
    /// For each entry, whether a batch ends with it.
    var ends: [Bool] = []
    /// Every index up to this one survives a power cut.
    var durable: UInt64 = 0
    /// Every index up to this one survives the end of the process.
    var handedOver: UInt64 = 0
    /// The metadata without what rode on the entries.
    var values: Values = [:]
    var rides: [Ride] = []
    /// Every value that a key was ever given.
    var given: [MetadataKey: [Submitted]] = [:]
    /// Calls that failed on the way, and happened all the same.
    var doubts = 0

    /// The metadata that holds in a log which ends before `next`.
    func values(at next: UInt64) -> Values {
        rides.filter { $0.index < next }.reduce(values) { $0.merging($1.values) { $1 } }
    }

    /// What rode stays whatever becomes of the entries from now on.
    func folded() -> Line {
        var line = self
        line.values = values(at: next)
        line.rides = []
        return line
    }

    /// With metadata set, before which what rode was made durable; nil: deleted.
    func setting(_ values: [MetadataKey: Submitted?]) -> Line {
        var line = folded()
        if let last = rides.last?.index { line = line.promising(durable: last) }
        for (key, value) in values { line.values[key] = value }
        line.note(values.compactMapValues { $0 })
        return line
    }

    private mutating func note(_ values: Values) {
        for (key, value) in values { given[key, default: []].append(value) }
    }

    var next: UInt64 { first + UInt64(entries.count) }
    var last: UInt64 { next - 1 }

    func appending(_ batch: [Submitted], with values: Values = [:]) -> Line {
        var line = self
        line.entries += batch
        if !values.isEmpty { line.rides.append(Ride(index: line.last, values: values)) }
        line.note(values)
        for i in batch.indices { line.ends.append(i == batch.count - 1) }
        return line
    }

    /// Whether both say the same of the log, but for what was promised.
    func isCourse(of other: Line) -> Bool {
        first == other.first && entries == other.entries && values == other.values && rides == other.rides
    }

    /// Without what is above `index`. The cut makes the rest of a batch whole.
    func truncated(_ index: UInt64) -> Line {
        if index == last { return self }
        var line = folded()
        let left = Int(index + 1 - first)
        line.entries.removeLast(entries.count - left)
        line.ends.removeLast(ends.count - left)
        if left > 0 { line.ends[left - 1] = true }
        line.durable = min(durable, index)
        line.handedOver = min(handedOver, index)
        return line
    }

    /// Without what is below `index`.
    func truncatedFront(_ index: UInt64) -> Line {
        if index == next { return reset(next) }
        var line = self
        line.values = values(at: index)
        line.rides.removeAll { $0.index < index }
        line.entries.removeFirst(Int(index - first))
        line.ends.removeFirst(Int(index - first))
        line.first = index
        line.durable = max(durable, index - 1)
        line.handedOver = max(handedOver, index - 1)
        return line
    }

    func reset(_ next: UInt64) -> Line {
        Line(first: next, durable: next - 1, handedOver: next - 1, values: values(at: self.next), given: given)
    }

    func promising(durable index: UInt64) -> Line {
        var line = self
        line.durable = max(durable, index)
        line.handedOver = max(handedOver, index)
        return line
    }

    func handingOver(_ index: UInt64) -> Line {
        var line = self
        line.handedOver = max(handedOver, index)
        return line
    }

    /// Whether the log may end before `next`, seen from where batches end.
    func isWhole(at next: UInt64) -> Bool { next == first || ends[Int(next - 1 - first)] }

    var text: String {
        "\(first)..<\(next) (durable to \(durable), handed over to \(handedOver))"
    }
}

/// What happened, and what the log may hold because of it.
struct Step {
    var call: String
    /// Operations before and after the call.
    var start: Int
    var end: Int
    /// What a crash may leave until the call has returned, and afterwards.
    var during: [Line]
    var after: [Line]
}

struct History {
    private(set) var steps: [Step] = []

    mutating func add(_ step: Step) { steps.append(step) }

    private func step(at operation: Int) -> Step {
        var low = 0
        var high = steps.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if steps[middle].start <= operation { low = middle } else { high = middle }
        }
        return steps[low]
    }

    /// The lines of which the log may hold a beginning after a crash right before operation `operation`.
    func lines(at operation: Int) -> [Line] {
        let step = step(at: operation)
        return operation >= step.end ? step.after : step.during
    }

    func call(at operation: Int) -> String {
        let step = step(at: operation)
        return operation >= step.end ? "after \(step.call)" : "in \(step.call)"
    }
}

/// How much of a line must be there.
enum Expectation {
    /// What was promised for a power cut.
    case durable
    /// What was promised for the end of the process.
    case handedOver
    /// All of it.
    case everything
    /// Nothing: something was damaged. But what is there is right.
    case anything
}

extension LogUnderTest {
    private var actualFirst: UInt64 { isEmpty ? nextIndex : firstIndex }

    /// Finds the line of which the log holds a beginning, and returns what it holds.
    func match(_ lines: [Line], _ expectation: Expectation, _ payloads: Payloads) throws(Violation) -> Line {
        var reasons = ""
        for line in lines {
            let (found, reason) = compare(line, expectation, payloads)
            if var found {
                found.durable = min(found.durable, found.last)
                found.handedOver = found.last
                return found
            }
            reasons += "\n    not \(line.text): \(reason)"
        }
        throw Violation(text: "the log holds \(actualFirst)..<\(nextIndex) (durable to \(durableIndex))\(reasons)")
    }

    private func compare(_ line: Line, _ expectation: Expectation, _ payloads: Payloads) -> (Line?, String) {
        let first = actualFirst
        let next = nextIndex
        if first != line.first {
            if expectation != .anything || first < line.first { return (nil, "it begins elsewhere") }
        }
        if next > line.next { return (nil, "it has more than was appended: an entry came back") }
        let floor =
            switch expectation {
            case .durable: line.durable
            case .handedOver: line.handedOver
            case .everything: line.last
            case .anything: UInt64(0)
            }
        if next <= floor { return (nil, "index \(next) was acknowledged and is gone") }
        if next < line.first { return (nil, "it ends before it begins") }
        if expectation != .anything, !line.isWhole(at: next) { return (nil, "it ends inside a batch") }
        var index = first
        while index < next {
            let expected = line.entries[Int(index - line.first)]
            var reason: String? = "entry \(index) was not given"
            do throws(LogError) {
                try read(index) { bytes, term in
                    if bytes.count != expected.size {
                        reason = "entry \(index) has \(bytes.count) bytes instead of \(expected.size)"
                    } else if !payloads.matches(expected, bytes) {
                        reason = "entry \(index) has wrong bytes"
                    } else if term != expected.term {
                        reason = "entry \(index) has term \(term) instead of \(expected.term)"
                    } else {
                        reason = nil
                    }
                }
            } catch {
                // A damaged entry may be refused.
                reason = expectation == .anything ? nil : "entry \(index) cannot be read: \(error.code): \(error.detail)"
            }
            if let reason { return (nil, reason) }
            index += 1
        }
        if let reason = compareMetadata(line, next, expectation, payloads) { return (nil, reason) }
        var found = line
        if expectation != .anything {
            found.entries.removeLast(Int(line.next - next))
            found.ends.removeLast(Int(line.next - next))
            found.rides.removeAll { $0.index >= next }
        }
        return (found, "")
    }

    /// What is wrong with the metadata of a log that ends before `next`.
    private func compareMetadata(_ line: Line, _ next: UInt64, _ expectation: Expectation, _ payloads: Payloads) -> String? {
        if expectation == .anything { return foreignMetadata(line, payloads) }
        return differenceOfMetadata(from: line.values(at: next), payloads)
    }

    /// Damage may take metadata with the entries that it rode on, or show what held before; but nothing that was never given.
    private func foreignMetadata(_ line: Line, _ payloads: Payloads) -> String? {
        var reason: String? = nil
        do throws(LogError) {
            try readMetadata { key, value in
                let given = line.given[key] ?? []
                if !given.contains(where: { payloads.matches($0, value) }) { reason = "metadata \(key) was never given" }
            }
        } catch { return nil }
        return reason
    }

    func differenceOfMetadata(from expected: Values, _ payloads: Payloads) -> String? {
        var missing = expected
        var reason: String? = nil
        do throws(LogError) {
            try readMetadata { key, value in
                guard let given = missing.removeValue(forKey: key) else {
                    reason = "metadata \(key) should not be there"
                    return
                }
                if !payloads.matches(given, value) { reason = "metadata \(key) has another value (\(value.count) bytes)" }
            }
        } catch { return "the metadata cannot be read: \(error.text)" }
        return reason ?? missing.keys.first.map { "metadata \($0) is gone" }
    }
}
