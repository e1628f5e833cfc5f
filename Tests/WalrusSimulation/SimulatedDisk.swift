// SimulatedDisk.swift - a directory in memory that fails when it is told to
//
// The engine runs on it as on a real disk. Whatever changes something is an operation with a number, and the number is all
// that is needed to say where a fault strikes or the power goes: same seed, same numbers. Reads have numbers of their own.
//
// One thread at a time. Background work runs where the harness calls `background.step()`.

import CWalrusPlatform
import WalrusCore

/// What goes wrong.
public enum Fault: Sendable {
    /// The operation fails with EIO and has done nothing; a sync has lost what it was to write.
    case io
    /// The first operation from there on that needs room on the disk fails with ENOSPC. What was reserved stays writable.
    case noSpace
    /// The first write from there on writes a part and fails with EIO.
    case shortThenIO
    /// The first write from there on that needs room writes a part and fails with ENOSPC; a reservation leaves the file longer.
    case shortThenNoSpace
    /// The system writes everything back by itself, fails, and tells nobody before the next sync.
    case writeback
}

/// A disk that does not keep its word, to see whether a harness notices what an engine with the matching fault would do.
public enum Lie: Sendable {
    case none
    /// Syncs of segments do nothing.
    case segmentSyncs
    /// Syncs of the metadata do nothing.
    case metadataSyncs
    case directorySyncs
    /// A sync that fails says that all is well.
    case failedSyncs
}

public final class SimulatedDisk: Storage, @unchecked Sendable {
    private struct Handle {
        var file: Int
        var mode: OpenMode
        var isOpen = true
        var isPastCache = false
        /// Failed write-backs that a sync through this handle need not tell of.
        var failuresSeen: Int
    }

    let state: DiskState
    let journal: Journal
    /// The state before the first operation, for replays.
    private let base: DiskState?
    private var handles: [Handle] = []
    private var chance: Chance
    private var clock: Int64
    private var isDead = false
    /// Belongs to a process that must not change anything.
    private var isReader = false
    /// Called after each operation, in the middle of a call of the engine.
    var observer: (() -> Void)?
    private var fault: (kind: Fault, at: Int, forever: Bool)?
    private var readFault: (at: Int, forever: Bool)?

    public let background: Background
    public let syncer: Background
    public let completer: Background

    /// Whether space can be reserved, as some file systems cannot.
    public var canReserve = true
    /// Whether the device can be read past the page cache.
    public var canReadPastCache = true
    /// Whether `nextData` can tell where there are only zeros.
    public var knowsHoles: Bool
    public var lie = Lie.none
    /// Reads are neither counted nor fail: while a harness looks at what is there.
    public var readsAreSafe = false
    /// Files in the directory that are none of a log's.
    public var foreignFiles = 0
    /// Calls so far that only look.
    public private(set) var reads = 0
    /// Faults that were injected and struck.
    public private(set) var faultsStruck = 0
    /// Syncs, of files or of the directory, that failed.
    public private(set) var failedSyncs = 0

    // ---- Making one

    /// An empty directory. No file may ever be longer than `fileCapacity`.
    public convenience init(seed: UInt64, fileCapacity: Int = 4 << 20, pool: MemoryPool? = nil) {
        let state = DiskState(pool: pool ?? MemoryPool(capacity: fileCapacity))
        self.init(state, Journal(), seed: seed, clock: 1_700_000_000_000_000_000, base: DiskState(pool: state.pool))
    }

    private init(_ state: DiskState, _ journal: Journal, seed: UInt64, clock: Int64, base: DiskState?) {
        self.state = state
        self.journal = journal
        self.base = base
        self.clock = clock
        chance = Chance(seed)
        knowsHoles = chance.next() & 1 == 0
        do throws(LogError) {
            background = try Background(usesThread: false)
            syncer = try Background(usesThread: false)
            completer = try Background(usesThread: false)
        } catch {
            preconditionFailure("no memory for a simulated disk")
        }
    }

    /// Operations so far: the number of the next one.
    public var operations: Int { journal.operations.count - journal.prehistory }

    /// Handles that were opened and not closed.
    public var openHandles: Int {
        var count = 0
        for handle in handles where handle.isOpen { count += 1 }
        return count
    }

    /// Names in the directory, as every process sees them.
    public var fileNames: [FileName] { state.names.map { $0.name } }

    /// The directory, to be read by people: names, files, sizes, and how many operations on each are not durable.
    public var listing: String {
        state.names.map { entry in
            let file = state.files[entry.file]
            return "\(entry.name): file \(entry.file), \(file.cachedSize) bytes, \(file.pending.count + file.limbo.count) open"
        }.joined(separator: "; ")
    }

    // ---- Faults

    /// Lets operation `at` fail, or every one from there on.
    public func inject(_ kind: Fault, at: Int, forever: Bool = false) { fault = (kind, at, forever) }

    /// Lets read number `at` fail with EIO, or every one from there on.
    public func injectReadFault(at: Int, forever: Bool = false) { readFault = (at, forever) }

    public func clearFaults() {
        fault = nil
        readFault = nil
    }

    // ---- Crashes

    /// The disk after a power cut now. `keepsBase`: the new disk's own operations can be replayed.
    public func powerCut(seed: UInt64, model: FaultModel = .sectors, keepsBase: Bool = false) -> SimulatedDisk {
        SimulatedDisk.reboot(state.powerCut(seed, model, journal), seed: seed, clock: clock, keepsBase: keepsBase)
    }

    /// The disk after a power cut right before operation `operation`.
    public func powerCut(at operation: Int, seed: UInt64, model: FaultModel = .sectors) -> SimulatedDisk {
        let replay = self.replay()
        replay.advance(to: operation)
        return replay.powerCut(seed: seed, model: model)
    }

    /// The machine goes on without the process: everything that was written is there, durable or not. This object
    /// belongs to the dead process and does nothing from now on.
    public func processKilled() -> SimulatedDisk {
        isDead = true
        let next = SimulatedDisk(state, journal, seed: chance.next(), clock: clock, base: base)
        next.canReserve = canReserve
        next.canReadPastCache = canReadPastCache
        next.knowsHoles = knowsHoles
        next.lie = lie
        next.fault = fault
        next.readFault = readFault
        next.observer = observer
        observer = nil
        next.faultsStruck = faultsStruck
        next.failedSyncs = failedSyncs
        next.reads = reads
        return next
    }

    /// The same directory, in another process beside this one, which only looks at it.
    public func beside(seed: UInt64) -> SimulatedDisk {
        let other = SimulatedDisk(state, journal, seed: seed, clock: clock, base: nil)
        other.isReader = true
        other.knowsHoles = knowsHoles
        return other
    }

    /// From now on nothing that is done to this object has an effect.
    public func kill() { isDead = true }

    /// Everything that was done to this disk, from its beginning.
    public func replay() -> Replay {
        guard let base else { preconditionFailure("this disk was made without keepsBase") }
        return Replay(base.clone(from: journal, into: Journal()), journal, clock: clock)
    }

    fileprivate static func reboot(_ state: DiskState, seed: UInt64, clock: Int64, keepsBase: Bool) -> SimulatedDisk {
        let base = keepsBase ? state.clone(from: Journal(), into: Journal()) : nil
        return SimulatedDisk(state, Journal(), seed: Chance.hash(seed, 0xd15c), clock: clock, base: base)
    }

    fileprivate static func survivor(
        _ state: DiskState, _ journal: Journal, seed: UInt64, clock: Int64, keepsBase: Bool
    ) -> SimulatedDisk {
        // What is not durable in it stands at the journal's beginning, so the copy means the same operations.
        let base = keepsBase ? state.clone(from: journal, into: Journal()) : nil
        return SimulatedDisk(state, journal, seed: Chance.hash(seed, 0xd15c), clock: clock, base: base)
    }

    // ---- Damage, to what is cached and to what is on the disk

    private func damage(_ name: FileName, _ body: (Content) -> Void) -> Bool {
        guard let number = state.find(name) else { return false }
        let file = state.files[number]
        body(file.writable())
        body(file.writableDurable())
        return true
    }

    /// Turns one bit round. False if there is no such file.
    @discardableResult
    public func flipBit(_ name: FileName, offset: Int, bit: Int) -> Bool {
        damage(name) { content in
            var byte: UInt8 = 0
            unsafe content.read(at: offset, to: &byte, 1)
            byte ^= 1 << UInt8(bit & 7)
            unsafe content.write(at: offset, &byte, 1)
        }
    }

    /// Writes a block's bytes to where another block is: what a misdirected write does, or a lost one that left older bytes.
    @discardableResult
    public func misdirect(
        _ name: FileName, offset: Int, to target: FileName, targetOffset: Int, count: Int = 4096
    ) -> Bool {
        guard let number = state.find(name) else { return false }
        let source = state.files[number].cached.copy()
        return damage(target) { content in content.take(source, at: targetOffset, count, from: offset) }
    }

    /// Puts noise over a part of a file.
    @discardableResult
    public func scribble(_ name: FileName, offset: Int, count: Int, seed: UInt64) -> Bool {
        damage(name) { content in
            for i in 0..<count {
                var byte = UInt8(truncatingIfNeeded: Chance.hash(seed, UInt64(i)))
                unsafe content.write(at: offset + i, &byte, 1)
            }
        }
    }

    /// Forgets pages that are marked clean: where a sync failed, what is read from now on is what the disk has.
    public func dropCaches() {
        for file in state.files where !file.limbo.isEmpty && file.pending.isEmpty {
            file.writable().take(file.stable, at: 0, max(file.cachedSize, file.durableSize))
        }
    }

    /// A file's bytes as every process sees them, for tests; nil if there is no such file.
    public func contents(_ name: FileName) -> [UInt8]? {
        guard let number = state.find(name) else { return nil }
        let file = state.files[number]
        var bytes = [UInt8](repeating: 0, count: file.cachedSize)
        if !bytes.isEmpty {
            unsafe bytes.withUnsafeMutableBytes { room in
                unsafe file.cached.read(at: 0, to: room.baseAddress.unsafelyUnwrapped, room.count)
            }
        }
        return bytes
    }

    // ---- Bookkeeping

    private func handle(_ file: FileHandle) -> Handle {
        let at = Int(file.descriptor) - 3
        precondition(at >= 0 && at < handles.count && handles[at].isOpen, "a file that is not open was used")
        return handles[at]
    }

    private func inode(_ file: FileHandle, writing: Bool = false) -> Inode {
        let handle = self.handle(file)
        precondition(!writing || handle.mode != .read, "a file that was opened for reading was written to")
        return state.files[handle.file]
    }

    private static let dead = LogError(.io, "the process is dead", errno: EIO)

    private static func failure(_ number: Int32, _ name: FileName? = nil) -> LogError {
        number == ENOSPC
            ? LogError(.noSpace, "the simulated disk is full", errno: ENOSPC, file: name)
            : LogError(.io, "the simulated disk failed", errno: number, file: name)
    }

    /// Counts a call that only looks.
    private func look() throws(LogError) {
        if isDead { throw SimulatedDisk.dead }
        if readsAreSafe { return }
        let number = reads
        reads += 1
        if let readFault, number == readFault.at || (readFault.forever && number > readFault.at) {
            faultsStruck += 1
            throw SimulatedDisk.failure(EIO)
        }
    }

    private enum Verdict {
        case fine
        case fails(Int32)
        case partly(Int32)
    }

    /// What becomes of the next operation.
    private func judge(isWrite: Bool = false, isReservation: Bool = false, needsSpace: Bool) throws(LogError) -> Verdict {
        if isDead { throw SimulatedDisk.dead }
        guard let fault, operations >= fault.at else { return .fine }
        var verdict = Verdict.fine
        switch fault.kind {
        case .io: if operations == fault.at || fault.forever { verdict = .fails(EIO) } else { self.fault = nil }
        case .noSpace: if needsSpace { verdict = .fails(ENOSPC) }
        case .shortThenIO: if isWrite { verdict = .partly(EIO) }
        case .shortThenNoSpace: if needsSpace { verdict = isWrite || isReservation ? .partly(ENOSPC) : .fails(ENOSPC) }
        case .writeback:
            for number in state.files.indices where !state.files[number].pending.isEmpty {
                perform(Operation(kind: .failedWriteback, file: Int32(number)))
                faultsStruck += 1
                if !fault.forever { self.fault = nil }
            }
            return .fine
        }
        if case .fine = verdict { return .fine }
        faultsStruck += 1
        if !fault.forever { self.fault = nil }
        return verdict
    }

    private func perform(_ operation: Operation) {
        precondition(!isReader, "a handle that is read-only changed the directory")
        journal.operations.append(operation)
        state.apply(journal.operations.count - 1, journal)
        observer?()
    }

    /// Judges an operation that either happens or leaves no trace.
    private func attempt(_ operation: Operation, needsSpace: Bool, _ name: FileName? = nil) throws(LogError) {
        switch try judge(needsSpace: needsSpace) {
        case .fine: perform(operation)
        case .fails(let number), .partly(let number):
            perform(Operation(kind: .nothing))
            throw SimulatedDisk.failure(number, name)
        }
    }

    // ---- Storage: files

    public func open(_ name: FileName, _ mode: OpenMode) throws(LogError) -> FileHandle {
        var number = state.find(name)
        switch mode {
        case .read, .write:
            try look()
            if number == nil { throw LogError(.notFound, "the file does not exist", errno: ENOENT, file: name) }
        case .create:
            if let number {
                let size = state.files[number].cachedSize
                try attempt(
                    Operation(kind: .truncate, file: Int32(number), sizeBefore: size, size: 0), needsSpace: false, name)
            } else {
                let next = state.files.count
                try attempt(Operation(kind: .create, file: Int32(next), name: name), needsSpace: true, name)
                number = next
            }
        }
        guard let number else { preconditionFailure() }
        handles.append(Handle(file: number, mode: mode, failuresSeen: state.files[number].failures))
        return FileHandle(descriptor: Int32(handles.count + 2))
    }

    public func close(_ file: FileHandle) {
        if !file.isOpen { return }
        _ = handle(file)
        handles[Int(file.descriptor) - 3].isOpen = false
    }

    public func size(_ file: FileHandle) throws(LogError) -> UInt64 {
        let inode = self.inode(file)
        try look()
        return UInt64(inode.cachedSize)
    }

    public func read(_ file: FileHandle, at offset: UInt64, into buffer: MutableBytes) throws(LogError) -> Int {
        let inode = self.inode(file)
        try look()
        guard offset < UInt64(inode.cachedSize), let target = unsafe buffer.address else { return 0 }
        let count = min(buffer.count, inode.cachedSize - Int(offset))
        unsafe inode.cached.read(at: Int(offset), to: target, count)
        if handle(file).isPastCache {
            precondition(
                Int(offset) % pageSize == 0 && buffer.count % pageSize == 0 && Int(bitPattern: target) % pageSize == 0,
                "a read past the cache is not aligned")
            // Dirty pages are written back first. Those that are marked clean since that failed are not what the device has.
            for page in Int(offset) / pageSize..<(Int(offset) + count + pageSize - 1) / pageSize
            where state.isForgotten(page, inode, journal) {
                let start = page * pageSize - Int(offset)
                let length = min(pageSize, count - start)
                let at = state.shown(page, inode, journal) ?? show(page, handle(file).file)
                unsafe (target + start).copyMemory(from: journal.bytes + at, byteCount: length)
            }
        }
        return count
    }

    /// Decides what the device holds of a page whose write-back failed, sector by sector, and says where in the journal that is.
    private func show(_ page: Int, _ number: Int) -> Int {
        let inode = state.files[number]
        let start = page * pageSize
        let at = unsafe journal.keep(inode.stable.base + start, pageSize)
        let doubtful = state.doubtful(page, inode, journal)
        for open in inode.open {
            let operation = journal.operations[Int(open)]
            if operation.kind == .truncate {
                let from = max(operation.size, start)
                if from < start + pageSize { unsafe memset(journal.bytes + (at + from - start), 0, start + pageSize - from) }
                continue
            }
            guard doubtful.contains(open) else { continue }
            let first = max(operation.offset, start)
            let end = min(operation.offset + operation.count, start + pageSize)
            for sector in first / sectorSize...(end - 1) / sectorSize where chance.once(in: 2) {
                let from = max(first, sector * sectorSize)
                let to = min(end, (sector + 1) * sectorSize)
                unsafe (journal.bytes + (at + from - start)).copyMemory(
                    from: journal.bytes + (operation.data + from - operation.offset), byteCount: to - from)
            }
        }
        if !doubtful.isEmpty {
            perform(
                Operation(
                    kind: .shown, file: Int32(number), offset: start, count: pageSize, data: at,
                    sizeBefore: inode.cachedSize, size: inode.cachedSize))
        }
        return at
    }

    public func openPastCache(_ name: FileName) -> FileHandle? {
        guard canReadPastCache else { return nil }
        do throws(LogError) {
            let file = try open(name, .read)
            handles[handles.count - 1].isPastCache = true
            return file
        } catch {
            return nil
        }
    }

    public func write(_ file: FileHandle, at offset: UInt64, _ first: Bytes, _ second: Bytes) throws(LogError) {
        let inode = self.inode(file, writing: true)
        let total = first.count + second.count
        let start = Int(offset)
        precondition(
            start + total <= state.pool.capacity, "a simulated file outgrew its capacity; give the disk a larger fileCapacity")
        let needsSpace = !inode.cached.isAllocated(from: start, to: start + total)
        var written = total
        var failure: LogError? = nil
        switch try judge(isWrite: true, needsSpace: needsSpace) {
        case .fine: break
        case .fails(let number):
            failure = SimulatedDisk.failure(number)
            written = 0
        case .partly(let number):
            failure = SimulatedDisk.failure(number)
            written = total > 0 ? chance.below(total) : 0
        }
        if written == 0 {
            perform(Operation(kind: .nothing))
        } else {
            let inFirst = min(written, first.count)
            var data = journal.count
            if inFirst > 0, let address = unsafe first.address { data = unsafe journal.keep(address, inFirst) }
            if written > inFirst, let address = unsafe second.address {
                let at = unsafe journal.keep(address, written - inFirst)
                if inFirst == 0 { data = at }
            }
            perform(
                Operation(
                    kind: .write, file: Int32(handle(file).file), offset: start, count: written, data: data,
                    sizeBefore: inode.cachedSize, size: max(inode.cachedSize, start + written)))
        }
        if let failure { throw failure }
    }

    public func reserve(_ file: FileHandle, from: UInt64, to: UInt64) throws(LogError) {
        let inode = self.inode(file, writing: true)
        if isDead { throw SimulatedDisk.dead }
        guard canReserve else {
            throw LogError(.unsupported, "the file system cannot reserve space", errno: EOPNOTSUPP)
        }
        precondition(
            Int(to) <= state.pool.capacity, "a simulated file outgrew its capacity; give the disk a larger fileCapacity")
        let number = Int32(handle(file).file)
        let before = inode.cachedSize
        var end = Int(to)
        var failure: LogError? = nil
        switch try judge(isReservation: true, needsSpace: !inode.cached.isAllocated(from: Int(from), to: end)) {
        case .fine: break
        case .fails(let code):
            perform(Operation(kind: .nothing))
            throw SimulatedDisk.failure(code)
        case .partly(let code):
            failure = SimulatedDisk.failure(code)
            end = Int(from) + chance.below(max(1, end - Int(from)))
        }
        perform(
            Operation(
                kind: .reserve, file: number, offset: Int(from), count: end, sizeBefore: before, size: max(before, end)))
        if let failure { throw failure }
    }

    public func truncate(_ file: FileHandle, to size: UInt64) throws(LogError) {
        let inode = self.inode(file, writing: true)
        precondition(Int(size) <= state.pool.capacity)
        try attempt(
            Operation(
                kind: .truncate, file: Int32(handle(file).file), sizeBefore: inode.cachedSize, size: Int(size)),
            needsSpace: false)
    }

    public func sync(_ file: FileHandle) throws(LogError) {
        let inode = self.inode(file)
        let handle = self.handle(file)
        let number = Int32(handle.file)
        var code: Int32 = 0
        switch try judge(needsSpace: false) {
        case .fine: break
        case .fails(let number), .partly(let number): code = number
        }
        if handle.failuresSeen != inode.failures {
            handles[Int(file.descriptor) - 3].failuresSeen = inode.failures
            code = EIO
        }
        let isIdle =
            (lie == .segmentSyncs || lie == .metadataSyncs)
            && (lie == .metadataSyncs) == (number == state.find(.metadata).map(Int32.init))
        perform(Operation(kind: code != 0 ? .failedSync : isIdle ? .nothing : .sync, file: number))
        if code != 0 && lie != .failedSyncs {
            failedSyncs += 1
            throw SimulatedDisk.failure(code)
        }
    }

    public func nextData(_ file: FileHandle, from offset: UInt64) -> UInt64? {
        let inode = self.inode(file)
        guard offset < UInt64(inode.cachedSize) else { return nil }
        if !knowsHoles { return offset }
        guard let at = inode.cached.nextData(from: Int(offset)), at < inode.cachedSize else { return nil }
        return UInt64(at)
    }

    public func map(_ file: FileHandle, length: UInt64) throws(LogError) -> Mapping {
        let inode = self.inode(file)
        try look()
        precondition(
            length <= UInt64(state.pool.capacity),
            "a mapping is longer than a simulated file can be; give the disk a larger fileCapacity")
        inode.pin()
        return Mapping(bytes: unsafe Bytes(inode.cached.base, count: Int(length)), isMapped: false)
    }

    // ---- Storage: names

    public func rename(_ from: FileName, to: FileName) throws(LogError) {
        guard let number = state.find(from) else {
            if isDead { throw SimulatedDisk.dead }
            throw LogError(.io, "there is no such file to rename", errno: ENOENT, file: from)
        }
        try attempt(Operation(kind: .rename, file: Int32(number), name: from, to: to), needsSpace: false, from)
    }

    public func remove(_ name: FileName) throws(LogError) {
        if isDead { throw SimulatedDisk.dead }
        guard state.find(name) != nil else { return }
        try attempt(Operation(kind: .remove, name: name), needsSpace: false, name)
    }

    public func list(_ body: (FileName?) throws(LogError) -> Void) throws(LogError) {
        try look()
        // In no order that means anything, and with what the engine does meanwhile not showing.
        let names = state.names
        let start = names.isEmpty ? 0 : chance.below(names.count)
        for i in names.indices { try body(names[(start + i) % names.count].name) }
        for _ in 0..<foreignFiles { try body(nil) }
    }

    public func mayGrow(to size: UInt64) -> Bool { true }

    /// The directory's own name is outside the model.
    public func syncParent() throws(LogError) {}

    /// Nothing happens between two operations.
    public func directoryTime() throws(LogError) -> Int64 {
        try look()
        return Int64(operations)
    }

    /// Nobody sleeps on it.
    public func watch() -> DirectoryWatch? { nil }

    public func syncDirectory() throws(LogError) {
        switch try judge(needsSpace: false) {
        case .fine: perform(Operation(kind: lie == .directorySyncs ? .nothing : .syncDirectory))
        case .fails(let number), .partly(let number):
            perform(Operation(kind: .failedSyncDirectory))
            failedSyncs += 1
            throw SimulatedDisk.failure(number)
        }
    }

    // ---- Storage: time and chance

    /// Runs on by up to a millisecond each time, and back by a second now and then.
    public func realtime() -> Int64 {
        clock += Int64(chance.below(1_000_000))
        return chance.once(in: 50) ? clock - 1_000_000_000 : clock
    }

    /// No time that was told is later.
    var latest: Int64 { clock }

    public func monotonic() -> Int64 {
        clock += Int64(chance.below(10_000))
        return clock - 1_600_000_000_000_000_000
    }

    public func random() throws(LogError) -> UInt64 {
        if isDead { throw SimulatedDisk.dead }
        return chance.next()
    }
}

/// A disk's past: goes from operation to operation and makes the disks that a crash there could leave.
public final class Replay {
    private let state: DiskState
    private let journal: Journal
    private let clock: Int64
    /// Operations that happened so far.
    public private(set) var position = 0

    fileprivate init(_ state: DiskState, _ journal: Journal, clock: Int64) {
        self.state = state
        self.journal = journal
        self.clock = clock
    }

    /// Lets operations happen until `operation` of them have. There is no way back.
    public func advance(to operation: Int) {
        precondition(operation >= position && operation <= journal.operations.count - journal.prehistory)
        while position < operation {
            state.apply(journal.prehistory + position, journal)
            position += 1
        }
    }

    /// Whether the last operation did nothing: then there is no state here that was not there before.
    public var isIdle: Bool { position > 0 && journal.operations[journal.prehistory + position - 1].kind == .nothing }

    /// What operation `number` was, to be read by people.
    public func describe(_ number: Int) -> String {
        guard number + journal.prehistory < journal.operations.count else { return "the end" }
        let operation = journal.operations[journal.prehistory + number]
        switch operation.kind {
        case .create, .remove, .rename: return "\(operation.kind) \(operation.name) \(operation.to)"
        default: return "\(operation.kind) file \(operation.file) at \(operation.offset), \(operation.count)"
        }
    }

    public func powerCut(seed: UInt64, model: FaultModel = .sectors, keepsBase: Bool = false) -> SimulatedDisk {
        SimulatedDisk.reboot(state.powerCut(seed, model, journal), seed: seed, clock: clock, keepsBase: keepsBase)
    }

    /// The disk that the next process finds when this one is killed here.
    public func processKilled(seed: UInt64, keepsBase: Bool = false) -> SimulatedDisk {
        let journal = Journal()
        let copy = state.clone(from: self.journal, into: journal)
        return SimulatedDisk.survivor(copy, journal, seed: seed, clock: clock, keepsBase: keepsBase)
    }
}
