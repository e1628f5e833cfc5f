// Simulation.swift - a run, a crash at each of its operations, and what comes after
//
// For each seed: one run of the workload without faults; then, for each operation, several disks that a power cut there could have left, and
// the one that a killed process leaves. Each is opened and checked, and then goes on in one of several ways: closed and opened
// again, used and crashed again at each operation, damaged. A second kind of run injects faults while the workload runs.

import WalrusCore

/// What was done, and what was found.
public struct Findings: Sendable {
    public var seeds = 0
    public var runs = 0
    public var calls = 0
    public var operations = 0
    /// Disks that were opened after a crash, and checked.
    public var states = 0
    public var faults = 0
    /// Suffixes that were replaced by others, and times that retention dropped something.
    public var replacements = 0
    public var retentionDrops = 0
    public var failures: [String] = []

    public static func += (a: inout Findings, b: Findings) {
        a.seeds += b.seeds
        a.runs += b.runs
        a.calls += b.calls
        a.operations += b.operations
        a.states += b.states
        a.faults += b.faults
        a.replacements += b.replacements
        a.retentionDrops += b.retentionDrops
        a.failures += b.failures
    }

    public var text: String {
        "\(seeds) seeds, \(runs) runs, \(calls) calls, \(operations) operations, \(replacements) replacements, \(retentionDrops) drops by retention, \(faults) faults, \(states) crash states"
    }
}

public struct Simulation<Log: LogUnderTest> {
    public var findings = Findings()
    /// Power cuts tried at each operation.
    public var statesAtEach = 3
    /// Only crashes at this operation.
    public var onlyOperation: Int? = nil
    /// Only the run with the fault of this number.
    public var onlyFault: Int? = nil
    /// Only the crash with this number there.
    public var onlyState: Int? = nil
    /// Ends a run after so many failures.
    public var mostFailures = 1
    public var lie = Lie.none
    public var trace: ((String) -> Void)? = nil
    /// Changes a seed's setting.
    public var adjust: (inout Setting) -> Void = { _ in }

    private let pool = MemoryPool(capacity: 1 << 20)
    private var failuresInRun = 0

    public init() {}

    /// `again`: the options with which the failure is seen again.
    private mutating func fail(_ seed: UInt64, _ setting: Setting, _ place: String, _ again: String, _ error: any Error) {
        failuresInRun += 1
        let text = (error as? Violation)?.text ?? "\(error)"
        findings.failures.append(
            "seed \(seed), \(place): \(text)\n    with \(setting.text)\n    again: scripts/test-simulation --seed \(seed)\(again)"
        )
    }

    private func setting(_ seed: UInt64) -> Setting {
        var setting = Setting(seed: seed)
        adjust(&setting)
        return setting
    }

    private func session(
        _ disk: SimulatedDisk, _ setting: Setting, _ lines: [Line], _ payloads: Payloads, seed: UInt64,
        former: [UInt64: Submitted] = [:], expectsFailures: Bool = false
    ) -> Session<Log> {
        let session = Session<Log>(
            disk, setting, lines: lines, payloads, seed: seed, former: former, expectsFailures: expectsFailures)
        session.trace = trace
        return session
    }

    // ---- Without faults

    /// One run, and crashes at each of its operations.
    public mutating func run(seed: UInt64) {
        let setting = setting(seed)
        let payloads = Payloads()
        let disk = SimulatedDisk(seed: seed, pool: pool)
        disk.lie = lie
        let session = session(disk, setting, [Line()], payloads, seed: seed)
        failuresInRun = 0
        findings.seeds += 1
        findings.runs += 1
        do {
            try session.open(.everything)
            for _ in 0..<setting.calls {
                try session.callSomething()
                findings.calls += 1
            }
            if setting.isFull && seed & 7 == 1 { try session.checkCopy(pool) }
            if setting.isFull && seed & 3 == 2 { try session.checkFiles() }
            if seed & 1 == 0 { try session.close() }
        } catch {
            fail(seed, setting, "operation \(session.disk.operations) of the run itself", " --operation 0", error)
        }
        findings.operations += session.disk.operations
        count(session)
        let replay = session.disk.replay()
        for operation in 0...session.disk.operations {
            replay.advance(to: operation)
            if replay.isIdle || failuresInRun >= mostFailures { continue }
            if let onlyOperation, operation != onlyOperation { continue }
            for state in 0...statesAtEach {
                if let onlyState, state != onlyState { continue }
                let stateSeed = Chance.hash(seed, UInt64(operation), UInt64(state))
                // The last of them is the process's end, and not always tried.
                let isPowerCut = state < statesAtEach
                if !isPowerCut && stateSeed & 3 != 0 && onlyState == nil { continue }
                do {
                    let crashed =
                        isPowerCut
                        ? replay.powerCut(seed: stateSeed, model: setting.model, keepsBase: true)
                        : replay.processKilled(seed: stateSeed, keepsBase: true)
                    try goOn(
                        crashed, setting, session.history.lines(at: operation), payloads, seed: stateSeed, session.former,
                        isPowerCut ? .durable : .handedOver)
                } catch {
                    let kind = isPowerCut ? "power cut" : "process killed"
                    fail(
                        seed, setting,
                        "\(kind) at operation \(operation) (\(session.history.call(at: operation)), "
                            + "before \(replay.describe(operation)))",
                        " --operation \(operation) --state \(state)", error)
                }
                if failuresInRun >= mostFailures { break }
            }
        }
        session.abandon()
    }

    private mutating func count(_ session: Session<Log>) {
        findings.replacements += session.replacements
        findings.retentionDrops += session.retentionDrops
    }

    /// What happens to a disk after a crash.
    private mutating func goOn(
        _ disk: SimulatedDisk, _ setting: Setting, _ lines: [Line], _ payloads: Payloads, seed: UInt64,
        _ former: [UInt64: Submitted], _ expectation: Expectation
    ) throws {
        var chance = Chance(seed)
        if chance.once(in: 8) { return try damage(disk, setting, lines, payloads, seed: chance.next()) }
        if setting.isFull && seed & 15 == 0 {
            try openStrictly(disk, setting, lines, payloads, expectation)
        }
        let session = session(disk, setting, lines, payloads, seed: chance.next(), former: former)
        defer { session.abandon() }
        try session.open(expectation)
        findings.states += 1
        switch chance.below(4) {
        case 0:
            // Recovering what was recovered changes nothing, closed or not, and whatever of it reached the disk.
            if chance.once(in: 2) {
                try session.close()
                try session.open(.everything)
            }
            if expectation == .durable { try crashAgain(session, setting, payloads, &chance, .everything) }
        case 1, 2:
            for _ in 0...chance.below(5) { try session.callSomething() }
            try crashAgain(session, setting, payloads, &chance, .durable)
        default: break
        }
    }

    /// Another process opens a disk after a crash first, with recovery=strict and only to read: it is refused where the end is torn, or sees
    /// what every open sees.
    private mutating func openStrictly(
        _ disk: SimulatedDisk, _ setting: Setting, _ lines: [Line], _ payloads: Payloads, _ expectation: Expectation
    ) throws {
        let reader = disk.beside(seed: 1)
        var options = setting.options
        options.recovery = .strict
        options.readOnly = true
        let log: Log
        do throws(LogError) {
            log = try Log(reader, options)
        } catch {
            if reader.openHandles > 0 { throw Violation(text: "a strict open that was refused left files open") }
            if error.code == .torn || (error.code == .noLog && lines.contains { $0.next == 1 }) { return }
            throw Violation(text: "a strict open answered \(error.text)")
        }
        findings.states += 1
        defer { try? log.close() }
        do throws(Violation) {
            _ = try log.match(lines, expectation, payloads)
        } catch {
            throw Violation(text: "with recovery=strict, \(error.text)")
        }
    }

    /// Crashes a session that goes on after a crash, at some or all of its operations. `depth`: how often more.
    private mutating func crashAgain(
        _ session: Session<Log>, _ setting: Setting, _ payloads: Payloads, _ chance: inout Chance, _ expectation: Expectation,
        depth: Int = 1
    ) throws {
        let replay = session.disk.replay()
        let count = session.disk.operations
        if let trace { for operation in 0..<count { trace("\(operation): \(replay.describe(operation))") } }
        for operation in 0...count where operation == count || chance.below(count) < 6 {
            replay.advance(to: operation)
            let seed = chance.next()
            let goesOn = setting.isFull && depth > 0 && Chance.hash(seed, 0xdeed) & 7 == 0
            let disk = replay.powerCut(seed: seed, model: setting.model, keepsBase: goesOn)
            // Where rewriting may destroy, an open that was under way has promised nothing.
            let isExact = expectation == .everything && (setting.model == .sectors || operation == count)
            let expectation = isExact ? expectation : .durable
            let lines = isExact ? session.lines : session.history.lines(at: operation)
            let again = self.session(disk, setting, lines, payloads, seed: seed)
            defer { again.abandon() }
            do {
                try again.open(expectation)
                findings.states += 1
                if goesOn {
                    // What it takes to go on writing is part of recovery, and a crash may come there, too.
                    try again.callSomething()
                    try crashAgain(again, setting, payloads, &chance, .durable, depth: depth - 1)
                }
            } catch {
                throw Violation(
                    text: "second crash, at operation \(operation) of \(count) after the first "
                        + "(\(session.history.call(at: operation)), before \(replay.describe(operation))): "
                        + ((error as? Violation)?.text ?? "\(error)"))
            }
        }
    }

    /// Damages a disk: then the log may refuse or be shorter, but says nothing wrong.
    private mutating func damage(
        _ disk: SimulatedDisk, _ setting: Setting, _ lines: [Line], _ payloads: Payloads, seed: UInt64
    ) throws {
        var chance = Chance(seed)
        let names = disk.fileNames
        if names.isEmpty { return }
        let name = names[chance.below(names.count)]
        let size = disk.contents(name)?.count ?? 0
        if size == 0 { return }
        var what = ""
        switch chance.below(4) {
        case 0, 1:
            // Where something is written, most often.
            let near = chance.once(in: 2) ? min(size, 300) : min(size, 4096 + 2048)
            let offset = chance.below(near)
            disk.flipBit(name, offset: offset, bit: chance.below(8))
            what = "a bit at \(offset)"
        case 2:
            let offset = chance.below(size)
            disk.scribble(name, offset: offset, count: min(size - offset, 512), seed: seed)
            what = "noise at \(offset)"
        default:
            let from = names[chance.below(names.count)]
            let fromSize = disk.contents(from)?.count ?? 0
            let source = chance.below(fromSize / 4096 + 1) * 4096
            let target = chance.below((size + 4095) / 4096) * 4096
            disk.misdirect(from, offset: source, to: name, targetOffset: target)
            what = "the block at \(source) of \(from) at \(target)"
        }
        // Without verifying what is read nobody could tell.
        var options = setting.options
        options.verifyReads = true
        if setting.isFull && seed & 1 == 0 { options.recovery = .strict }
        findings.states += 1
        let log: Log
        do throws(LogError) {
            log = try Log(disk, options)
        } catch {
            if disk.openHandles > 0 { throw Violation(text: "an open that was refused left files open") }
            if error.code == .internal { throw Violation(text: "with \(what) in \(name), open answered \(error.text)") }
            return
        }
        defer {
            disk.kill()
            do throws(LogError) { try log.close() } catch {}
        }
        do {
            _ = try log.match(lines, .anything, payloads)
        } catch {
            throw Violation(text: "with \(what) in \(name): \(error.text)")
        }
    }

    // ---- With faults

    /// Runs of one seed's workload with a fault at one operation each, and crashes from there on. `tries`: how many.
    public mutating func runFaults(seed: UInt64, tries: Int) {
        let setting = setting(seed)
        // How many operations there are.
        let plain = session(SimulatedDisk(seed: seed, pool: pool), setting, [Line()], Payloads(), seed: seed)
        do {
            try plain.open(.everything)
            for _ in 0..<setting.calls { try plain.callSomething() }
        } catch {
            fail(seed, setting, "the run itself", " --operation 0", error)
            plain.abandon()
            return
        }
        let count = plain.disk.operations
        let reads = plain.disk.reads
        plain.abandon()
        failuresInRun = 0
        for number in 0..<tries where failuresInRun < mostFailures {
            if let onlyFault, number != onlyFault { continue }
            var chance = Chance(Chance.hash(seed, UInt64(number), 0xfa17))
            let kinds: [Fault?] = [.io, .io, .noSpace, .shortThenIO, .shortThenNoSpace, .writeback, nil]
            let kind = kinds[chance.below(kinds.count)]
            let at = kind == nil ? chance.below(reads + 1) : chance.below(count + 1)
            let forever = chance.once(in: 3)
            let place =
                "fault run \(number) (\(kind.map { "\($0)" } ?? "read error") at \(at)\(forever ? " and ever after" : ""))"
            do {
                try runFault(seed, setting, kind, at, forever, &chance)
            } catch {
                fail(seed, setting, place, " --fault \(number)", error)
            }
        }
    }

    private mutating func runFault(
        _ seed: UInt64, _ setting: Setting, _ kind: Fault?, _ at: Int, _ forever: Bool, _ chance: inout Chance
    ) throws {
        let payloads = Payloads()
        let disk = SimulatedDisk(seed: seed, pool: pool)
        if let kind {
            disk.inject(kind, at: at, forever: forever)
        } else {
            disk.injectReadFault(at: at, forever: forever)
        }
        disk.lie = lie
        let session = session(disk, setting, [Line()], payloads, seed: seed, expectsFailures: true)
        defer { session.abandon() }
        findings.runs += 1
        try session.open(.everything)
        for _ in 0..<setting.calls {
            try session.callSomething()
            findings.calls += 1
        }
        findings.faults += session.disk.faultsStruck
        count(session)
        // Without the fault, and opened anew if need be, the log works again.
        session.disk.clearFaults()
        try session.recover()
        let count = session.disk.operations
        let replay = session.disk.replay()
        if let trace { for operation in 0..<count { trace("\(operation): \(replay.describe(operation))") } }
        for operation in 0...count where operation == count || chance.below(count) < 12 {
            replay.advance(to: operation)
            for _ in 0..<2 {
                let stateSeed = chance.next()
                do {
                    try goOn(
                        replay.powerCut(seed: stateSeed, model: setting.model, keepsBase: true), setting,
                        session.history.lines(at: operation), payloads, seed: stateSeed, session.former, .durable)
                } catch {
                    let text = (error as? Violation)?.text ?? "\(error)"
                    throw Violation(
                        text: "power cut at operation \(operation) of \(count) "
                            + "(\(session.history.call(at: operation)), before \(replay.describe(operation))): \(text)")
                }
            }
        }
    }
}
