// Settling.swift - what has to be made durable before an opened log takes its first write
//
// `open` only scans. Before the first append, sync or cut: the mark of a clean close is taken away; or, after a crash, what can be read
// but was never declared durable is written again and synced (the page cache may show what the disk never
// got), and then the place where recovery cut the log is recorded.

import Synchronization

struct Unsettled: ~Copyable {
    /// The segment whose side file bears the mark of a clean close, or may do so again after a power cut.
    var sideFile: UInt64?
    var unproven: CArray<Unproven>
    /// Where the log has to be cut; before its first segment if that is no segment.
    var cut: SegmentEnd?
    /// Files that were being made and never came to anything.
    var stale: CArray<FileName>
    /// A segment is there that becomes part of the log if another cut reaches its epoch.
    var hasReplacement = false
    /// The log was not closed cleanly: names may be there that are not durable.
    var needsNames: Bool
    /// Entries up to this one are there.
    var lastIndex: UInt64

    var isNeeded: Bool { sideFile != nil || unproven.count > 0 || cut != nil || hasReplacement || needsNames }
}

extension Log {
    /// Called at the start of every mutating call; one load when there is nothing to do.
    @inline(__always)
    func settle() throws(LogError) {
        if isUnsettled.load(ordering: .acquiring) { try settleNow() }
    }

    @inline(never)
    private func settleNow() throws(LogError) {
        try commit.lead { () throws(LogError) in try settleWithLead() }
    }

    /// The same, for a caller that has the lead.
    func settleWithLead() throws(LogError) {
        guard isUnsettled.load(ordering: .acquiring) else { return }
        if commit.isPoisoned { throw GroupCommit.poisonedError }
        do throws(LogError) {
            try unsettled.withLock { (todo) throws(LogError) in
                if let id = todo.sideFile { try SideFile.clearCleanMark(id, storage: storage) }
                for i in 0..<todo.unproven.count { try writeAgain(todo.unproven[i]) }
                for i in 0..<todo.stale.count { try storage.remove(todo.stale[i]) }
                if todo.needsNames {
                    try writer.withLock { (writer) throws(LogError) in try writer.metadata.secure() }
                    try storage.syncDirectory()
                    try storage.syncParent()
                }
                // Files that an earlier cut dropped, or that were never begun, go before the slots forget about them; those that this
                // cut drops go when it is recorded.
                try writer.withLock { (writer) throws(LogError) in try writer.finishRemovals() }
                if let cut = todo.cut {
                    try writer.withLock { (writer) throws(LogError) in
                        let highest = try stock.highestID()
                        try writer.metadata.update {
                            $0.epoch += 1
                            $0.cut = cut
                            $0.cutHighest = cut.id == 0 ? 0 : highest
                            if cut.id == 0 { $0.lowestSegment = highest + 1 }
                            $0.highestSegment = highest
                        }
                    }
                }
                try writer.withLock { (writer) throws(LogError) in
                    for i in 0..<writer.dropped.count { try writer.dead.append(writer.dropped[i]) }
                    writer.dropped.removeLast(writer.dropped.count)
                    try writer.finishRemovals()
                    // With padding, the block in which the log ends may hold what is acknowledged from now on.
                    if options.syncPadding > 0 && writer.tail.endOffset % options.syncPadding != 0 { writer.tail.freeze() }
                }
                setDurable(max(commit.durableIndex, todo.lastIndex))
            }
        } catch {
            throw poison(error)
        }
        isUnsettled.store(false, ordering: .releasing)
    }

    private func writeAgain(_ part: Unproven) throws(LogError) {
        let file = try storage.open(.segment(part.id), .write)
        defer { storage.close(file) }
        // With padding, a block that holds acknowledged data must not be written again: and if it does, it is on the device.
        let device = options.syncPadding > 0 ? storage.openPastCache(.segment(part.id)) : nil
        defer { if let device { storage.close(device) } }
        let block = options.syncPadding > 0 ? options.syncPadding : 8
        let cached = try Memory(count: 1 << 20)
        let stored = try Memory(count: device == nil ? 0 : 1 << 20, alignment: 4096)
        var at = part.from - part.from % block
        let end = part.to + (block - part.to % block) % block
        while at < end {
            let piece = cached.bytes.slice(0, Int(min(UInt64(cached.bytes.count), end - at)))
            // A file that ends within its last frame's padding gets the padding back.
            let got = try storage.read(file, at: at, into: piece)
            piece.zero(got, piece.count - got)
            if let device {
                let twin = stored.bytes.slice(0, piece.count)
                let there = try storage.read(device, at: at, into: twin)
                for start in stride(from: 0, to: piece.count, by: Int(block)) {
                    // The file may end within the last block, and then gets no more than the padding back.
                    let count = at + UInt64(got) < part.to ? Int(block) : max(0, min(Int(block), got - start))
                    let one = piece.bytes.slice(start, count)
                    if start + count <= there && one == twin.bytes.slice(start, count) { continue }
                    try storage.write(file, at: at + UInt64(start), one, .empty)
                }
            } else {
                try storage.write(file, at: at, piece.bytes, .empty)
            }
            at += UInt64(piece.count)
        }
        do throws(LogError) {
            try storage.sync(file)
        } catch {
            throw error.located(in: .segment(part.id))
        }
        // Between the scan at open and here the cache may have let go of pages that never reached the disk.
        let (other, head) = try SegmentOpener(storage: storage, logID: logID, format: format, lends: false).openHead(part.id)
        defer { storage.close(other) }
        var scan = try SegmentScan(storage: storage, file: other, head: head, capacity: 0)
        guard case .atLimit = try scan.run(to: part.to) else {
            throw LogError(
                .corrupt, "what could be read after a crash was never on the disk; close the log and open it again",
                file: .segment(part.id), offset: scan.point.offset, index: scan.point.index)
        }
    }
}
