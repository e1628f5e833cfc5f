// Follower.swift - a read-only handle in another process, beside the writer
//
// It looks between the writer's calls and, in the middle of them, after some of its operations: what it shows must be a beginning of
// what the log holds at that moment, whole batches, with everything that the writer has declared durable.

import WalrusCore

final class Follower<Log: LogUnderTest> {
    private let disk: SimulatedDisk
    private let log: Log
    private let payloads: Payloads
    private var chance: Chance
    /// What was seen in the middle of a call, where nothing can be thrown.
    private var violation: Violation?
    private var isLooking = false

    init(_ writer: SimulatedDisk, _ setting: Setting, _ payloads: Payloads, seed: UInt64) throws(Violation) {
        chance = Chance(seed)
        disk = writer.beside(seed: chance.next())
        self.payloads = payloads
        var options = setting.options
        options.readOnly = true
        options.create = false
        do throws(LogError) {
            log = try Log(disk, options)
        } catch {
            throw Violation(text: "a reader beside the writer cannot open the log: \(error.text)")
        }
    }

    func lookInCall(_ lines: [Line]) {
        if violation != nil || isLooking || !chance.once(in: 4) { return }
        isLooking = true
        defer { isLooking = false }
        do throws(Violation) { try compare(lines) } catch {
            violation = Violation(text: "in the middle of the next call, \(error.text)")
        }
    }

    func look(_ lines: [Line]) throws(Violation) {
        if let violation { throw violation }
        if chance.once(in: 2) { try compare(lines) }
    }

    private func compare(_ lines: [Line]) throws(Violation) {
        do throws(Violation) {
            _ = try log.match(lines, .durable, payloads)
        } catch {
            throw Violation(text: "a reader beside the writer: \(error.text)")
        }
    }

    func close() {
        try? log.close()
        precondition(disk.openHandles == 0, "a reader beside the writer left files open")
    }
}
