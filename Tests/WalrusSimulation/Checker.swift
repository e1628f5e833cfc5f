// Checker.swift - what a log may hold, given what it was told and what it answered
//
// A *line* is one possible course of the log: its first index and every entry from there on. While calls succeed there is one; a call
// that failed, or was under way when the power went, leaves two. After a crash the log must hold a beginning of one of its lines: from the line's
// first index on, without a gap, at least up to what was promised, and not ending inside a batch.

import WalrusCore

/// A broken promise.
public struct Violation: Error {
    public var text: String
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

    var next: UInt64 { first + UInt64(entries.count) }
    var last: UInt64 { next - 1 }

    func appending(_ batch: [Submitted]) -> Line {
        var line = self
        line.entries += batch
        for i in batch.indices { line.ends.append(i == batch.count - 1) }
        return line
    }

    /// Without what is above `index`. The cut makes the rest of a batch whole.
    func truncated(_ index: UInt64) -> Line {
        var line = self
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
        var line = self
        line.entries.removeFirst(Int(index - first))
        line.ends.removeFirst(Int(index - first))
        line.first = index
        line.durable = max(durable, index - 1)
        line.handedOver = max(handedOver, index - 1)
        return line
    }

    func reset(_ next: UInt64) -> Line { Line(first: next, durable: next - 1, handedOver: next - 1) }

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
        var found = line
        if expectation != .anything {
            found.entries.removeLast(Int(line.next - next))
            found.ends.removeLast(Int(line.next - next))
        }
        return (found, "")
    }
}
