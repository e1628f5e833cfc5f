// DiskState.swift - what is in the cache, what is on the disk, and the journal of how it came to be so
//
// The same `apply` serves the running disk and the replay of its journal, so a crash at operation k is reached without
// running the engine again. Each file has two contents: what a process sees, and what was on stable storage at the last successful
// sync. What lies between them is a list of operations that a power cut may undo one sector at a time (PowerCut.swift).

import WalrusCore

/// One mutating call, with what it really did.
struct Operation {
    enum Kind: UInt8 {
        /// Nothing: a call that failed without a trace.
        case nothing
        case create
        case write
        case reserve
        case truncate
        case sync
        /// A sync that failed: what it was to write stays in the cache, marked clean.
        case failedSync
        /// The system tried to write the file back by itself, and failed. The next sync tells, if its descriptor is old enough.
        case failedWriteback
        /// A read past the cache showed what the device holds of a page whose write-back had failed. The device has accepted
        /// that, then, and the file's next sync, which flushes it, makes it durable.
        case shown
        case rename
        case remove
        case syncDirectory
        case failedSyncDirectory
    }

    var kind: Kind
    var file: Int32 = -1
    var name: FileName = .lock
    var to: FileName = .lock
    var offset = 0
    /// Bytes written, or the end of what was reserved.
    var count = 0
    /// Where the bytes stand in the journal.
    var data = 0
    /// The file's size before and after.
    var sizeBefore = 0
    var size = 0

    func writes(to page: Int) -> Bool {
        kind == .write && count > 0 && offset / pageSize <= page && (offset + count - 1) / pageSize >= page
    }
}

/// All operations from some beginning on, and the bytes they wrote.
@safe final class Journal {
    var operations: [Operation] = []
    /// Operations that happened before the beginning and were not durable then.
    var prehistory = 0
    private(set) var bytes: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity = 1 << 14

    init() { unsafe bytes = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16) }
    deinit { unsafe bytes.deallocate() }

    /// Takes a copy of the bytes and says where it is.
    func keep(_ source: UnsafeRawPointer, _ size: Int) -> Int {
        if count + size > capacity {
            let larger = max(2 * capacity, count + size)
            let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
            unsafe moved.copyMemory(from: bytes, byteCount: count)
            unsafe bytes.deallocate()
            unsafe bytes = moved
            capacity = larger
        }
        let at = count
        unsafe (bytes + at).copyMemory(from: source, byteCount: size)
        count += size
        return at
    }
}

struct DirectoryEntry {
    var name: FileName
    var file: Int
}

final class Inode {
    /// What every process sees, now.
    var cached: Content
    /// What was there at the last successful sync; nil while that is the same.
    var durable: Content?
    var cachedSize = 0
    var durableSize = 0
    /// Operations on this file since its last successful sync.
    var pending: [Int32] = []
    /// Operations whose sync failed. They stay what they are, perhaps there and perhaps not, until their page is written again and synced.
    var limbo: [Int32] = []
    /// Pages for which that came true, and the operations up to which it holds.
    var rescued: [(page: Int, upTo: Int32)] = []
    /// The last sync that succeeded: sizes from before it no longer matter.
    var lastSync: Int32 = -1
    /// Grows with each failed write-back that no sync has told of yet.
    var failures = 0

    init(_ content: Content) { cached = content }

    var isClean: Bool { pending.isEmpty && limbo.isEmpty }

    /// Operations that a power cut may undo, in the order in which they happened.
    var open: [Int32] { limbo.isEmpty ? pending : (limbo + pending).sorted() }

    /// The content on stable storage.
    var stable: Content { durable ?? cached }

    /// The cached content, safe to write into: its address stays if a view of it was lent out, and the durable one stays what it is.
    func writable() -> Content {
        let wasClean = durable == nil
        if isKnownUniquelyReferenced(&cached) {
            if wasClean { durable = cached.copy() }
        } else {
            precondition(!cached.isPinned)
            let shared = cached
            cached = shared.copy()
            if wasClean { durable = shared }
        }
        return cached
    }

    /// The durable content, safe to write into.
    func writableDurable() -> Content {
        guard var content = durable else {
            let content = cached.copy()
            durable = content
            return content
        }
        durable = nil
        if !isKnownUniquelyReferenced(&content) { content = content.copy() }
        durable = content
        return content
    }

    /// Sees to it that the cached bytes will never move.
    func pin() {
        if !cached.isPinned, !isKnownUniquelyReferenced(&cached) {
            let shared = cached
            cached = shared.copy()
            if durable == nil { durable = shared }
        }
        cached.isPinned = true
    }
}

/// The machine's memory and its disk.
final class DiskState {
    let pool: MemoryPool
    var files: [Inode] = []
    var names: [DirectoryEntry] = []
    var durableNames: [DirectoryEntry] = []
    /// Directory operations since the last successful sync of the directory.
    var pendingNames: [Int32] = []
    /// How much of the journal happened: operations, and bytes.
    private(set) var applied = 0
    private(set) var appliedBytes = 0

    init(pool: MemoryPool) { self.pool = pool }

    func find(_ name: FileName) -> Int? {
        for entry in names where entry.name == name { return entry.file }
        return nil
    }

    static func set(_ name: FileName, _ file: Int, in list: inout [DirectoryEntry]) {
        for i in list.indices where list[i].name == name {
            list[i].file = file
            return
        }
        list.append(DirectoryEntry(name: name, file: file))
    }

    static func clear(_ name: FileName, in list: inout [DirectoryEntry]) {
        for i in list.indices where list[i].name == name {
            list.remove(at: i)
            return
        }
    }

    /// Does to `list` what the directory operation did.
    static func apply(_ operation: Operation, to list: inout [DirectoryEntry]) {
        switch operation.kind {
        case .create: set(operation.name, Int(operation.file), in: &list)
        case .remove: clear(operation.name, in: &list)
        case .rename:
            for entry in list where entry.name == operation.name && entry.file == Int(operation.file) {
                clear(operation.name, in: &list)
                break
            }
            set(operation.to, Int(operation.file), in: &list)
        default: break
        }
    }

    /// Does what operation `number` of the journal did.
    func apply(_ number: Int, _ journal: Journal) {
        let operation = journal.operations[number]
        let mark = Int32(number)
        applied = number + 1
        if operation.kind == .write || operation.kind == .shown { appliedBytes = operation.data + operation.count }
        switch operation.kind {
        case .nothing: break

        case .create:
            precondition(Int(operation.file) == files.count)
            files.append(Inode(Content(pool)))
            DiskState.apply(operation, to: &names)
            pendingNames.append(mark)
        case .remove, .rename:
            DiskState.apply(operation, to: &names)
            pendingNames.append(mark)
        case .syncDirectory:
            durableNames = names
            pendingNames.removeAll(keepingCapacity: true)
        // Names are the file system's own: it does not forget that they are not written.
        case .failedSyncDirectory: break

        case .write:
            let file = files[Int(operation.file)]
            let content = file.writable()
            unsafe content.write(at: operation.offset, journal.bytes + operation.data, operation.count)
            content.allocate(from: operation.offset, to: operation.offset + operation.count)
            file.cachedSize = operation.size
            file.pending.append(mark)
        case .reserve:
            let file = files[Int(operation.file)]
            file.writable().allocate(from: operation.offset, to: operation.count)
            file.cachedSize = operation.size
            file.pending.append(mark)
        case .truncate:
            let file = files[Int(operation.file)]
            file.writable().zero(from: operation.size)
            file.cachedSize = operation.size
            file.pending.append(mark)

        case .shown: files[Int(operation.file)].pending.append(mark)
        case .sync: sync(files[Int(operation.file)], mark, journal)
        case .failedSync, .failedWriteback:
            let file = files[Int(operation.file)]
            // Bytes are given up. Sizes and allocations are the file system's own, and it goes on trying.
            for pending in file.pending where journal.operations[Int(pending)].kind == .write { file.limbo.append(pending) }
            file.pending.removeAll {
                let kind = journal.operations[Int($0)].kind
                // A flush that failed says nothing of what the device had shown.
                return kind == .write || (kind == .shown && operation.kind == .failedSync)
            }
            if operation.kind == .failedWriteback { file.failures += 1 }
        }
    }

    /// Whether a page was given up once and not written since: then the device may hold something else of it than the cache.
    func isForgotten(_ page: Int, _ file: Inode, _ journal: Journal) -> Bool {
        !file.limbo.isEmpty && !file.pending.contains { journal.operations[Int($0)].writes(to: page) }
    }

    /// Writes to a page that failed, and may be on the device or not.
    func doubtful(_ page: Int, _ file: Inode, _ journal: Journal) -> [Int32] {
        file.limbo.filter { number in
            journal.operations[Int(number)].writes(to: page)
                && !file.rescued.contains { $0.page == page && number < $0.upTo }
        }
    }

    /// Where in the journal that stands which the device showed of a page since it was last synced.
    func shown(_ page: Int, _ file: Inode, _ journal: Journal) -> Int? {
        for number in file.pending.reversed() {
            let operation = journal.operations[Int(number)]
            if operation.kind == .shown && operation.offset == page * pageSize { return operation.data }
        }
        return nil
    }

    private func sync(_ file: Inode, _ mark: Int32, _ journal: Journal) {
        file.lastSync = mark
        if file.pending.isEmpty {
            file.durableSize = file.cachedSize
            return
        }
        let cached = file.cached
        let durable = file.writableDurable()
        for pending in file.pending {
            let operation = journal.operations[Int(pending)]
            switch operation.kind {
            case .write:
                // The system writes whole pages, with what else the cache holds of them.
                let first = operation.offset / pageSize
                let last = (operation.offset + operation.count - 1) / pageSize
                if operation.count == 0 { continue }
                if file.limbo.isEmpty {
                    durable.take(cached, at: operation.offset, operation.count)
                } else {
                    for page in first...last {
                        durable.take(cached, at: page * pageSize, pageSize)
                        file.rescued.append((page, mark))
                    }
                }
                let firstSector = operation.offset / sectorSize
                for sector in firstSector...(operation.offset + operation.count - 1) / sectorSize { durable.hold(sector) }
            case .shown:
                unsafe durable.write(at: operation.offset, journal.bytes + operation.data, operation.count)
                file.rescued.append((operation.offset / pageSize, mark))
            case .truncate: durable.zero(from: operation.size, to: operation.sizeBefore)
            default: break
            }
        }
        // A truncation among them may have taken bytes away that an earlier write had put there.
        durable.zero(from: file.cachedSize)
        durable.takeAllocation(cached)
        file.durableSize = file.cachedSize
        file.pending.removeAll(keepingCapacity: true)
    }

    /// The same state, sharing contents until one of the two changes them. Operations that are not durable go into `journal`.
    func clone(from old: Journal, into journal: Journal) -> DiskState {
        let other = DiskState(pool: pool)
        var open: [Int32] = pendingNames
        for file in files { open += file.pending + file.limbo }
        open.sort()
        var renumbered: [Int32: Int32] = [:]
        for number in open {
            var operation = old.operations[Int(number)]
            if operation.kind == .write || operation.kind == .shown {
                unsafe operation.data = journal.keep(old.bytes + operation.data, operation.count)
            }
            renumbered[number] = Int32(journal.operations.count)
            journal.operations.append(operation)
        }
        journal.prehistory = journal.operations.count
        other.applied = journal.prehistory
        other.appliedBytes = journal.count
        func moved(_ list: [Int32]) -> [Int32] { list.map { renumbered[$0]! } }
        for file in files {
            let copy = Inode(file.cached.isPinned ? file.cached.copy() : file.cached)
            if let durable = file.durable { copy.durable = durable }
            copy.cachedSize = file.cachedSize
            copy.durableSize = file.durableSize
            copy.pending = moved(file.pending)
            copy.limbo = moved(file.limbo)
            // A rescue holds for all operations before it: for those that are left, up to the last of them.
            for rescue in file.rescued {
                if let last = file.limbo.last(where: { $0 < rescue.upTo }) {
                    copy.rescued.append((rescue.page, renumbered[last]! + 1))
                }
            }
            copy.lastSync = Int32(open.firstIndex { $0 > file.lastSync } ?? open.count) - 1
            copy.failures = file.failures
            other.files.append(copy)
        }
        other.names = names
        other.durableNames = durableNames
        other.pendingNames = moved(pendingNames)
        return other
    }
}
