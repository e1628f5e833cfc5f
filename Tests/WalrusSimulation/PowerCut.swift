// PowerCut.swift - what may be found on the disk after the power went
//
// Of what was not synced anything may be there and anything may be missing, sector by sector. A sector written several times may be found at
// any of its stages. One that never held synced bytes may hold anything at all: noise, an older file's
// bytes, half of what was written. Sizes and names go their own ways. A seed picks the state; some seeds pick the plain
// ones (all there, nothing there, all up to a moment), since that is where most mistakes show.

import WalrusCore

/// What is assumed of the disk.
public enum FaultModel: Sendable {
    /// A rewritten sector is old or new.
    case sectors
    /// A 4 KiB block that was being written may be garbage, whatever of it had been synced before.
    case blocks
}

private enum Survival: Int {
    case everything
    case nothing
    case half
    case most
    case few
    case upToAMoment
    case wholeFiles
    case oneOperation
}

extension DiskState {
    /// The disk as the machine finds it when the power is back.
    func powerCut(_ seed: UInt64, _ model: FaultModel, _ journal: Journal) -> DiskState {
        var chance = Chance(seed)
        let plan = Plan(&chance, self)
        let after = DiskState(pool: pool)

        var left = durableNames
        for number in pendingNames where plan.survives(number, of: -1, salt: 1) {
            DiskState.apply(journal.operations[Int(number)], to: &left)
        }
        var copies = [Int](repeating: -1, count: files.count)
        for entry in left {
            if copies[entry.file] < 0 {
                copies[entry.file] = after.files.count
                after.files.append(cut(entry.file, plan, model, journal))
            }
            after.names.append(DirectoryEntry(name: entry.name, file: copies[entry.file]))
        }
        after.durableNames = after.names
        return after
    }

    private func cut(_ number: Int, _ plan: Plan, _ model: FaultModel, _ journal: Journal) -> Inode {
        let file = files[number]
        if file.isClean {
            let content = file.stable
            let copy = Inode(content.isPinned ? content.copy() : content)
            copy.cachedSize = file.durableSize
            copy.durableSize = file.durableSize
            return copy
        }
        let content = file.stable.copy()
        let open = file.open
        var size = file.durableSize
        for operationNumber in open {
            let operation = journal.operations[Int(operationNumber)]
            if operation.kind == .shown { continue }
            if operationNumber > file.lastSync, plan.survives(operationNumber, of: number, salt: 2) { size = operation.size }
            switch operation.kind {
            case .write:
                unsafe apply(
                    operationNumber, journal.bytes + operation.data, operation.offset, operation.count, to: content, number,
                    plan)
            case .truncate:
                unsafe apply(
                    operationNumber, nil, operation.size, operation.sizeBefore - operation.size, to: content, number, plan)
            case .reserve: content.allocate(from: operation.offset, to: operation.count)
            default: break
            }
        }
        if plan.makesGarbage {
            for operationNumber in open {
                let operation = journal.operations[Int(operationNumber)]
                if operation.kind == .write && operation.count > 0 {
                    spoil(operationNumber, operation, content, number, plan, model, journal)
                }
            }
        }
        content.zero(from: size)
        content.takeAllocation(file.cached)
        let copy = Inode(content)
        copy.cachedSize = size
        copy.durableSize = size
        return copy
    }

    private func isRescued(_ number: Int32, _ sector: Int, _ file: Inode) -> Bool {
        if file.rescued.isEmpty { return false }
        let page = sector / (pageSize / sectorSize)
        return file.rescued.contains { $0.page == page && number < $0.upTo }
    }

    /// Puts into `content` those sectors of an operation that reached the disk: of `source`, or zeros.
    private func apply(
        _ number: Int32, _ source: UnsafeMutableRawPointer?, _ offset: Int, _ count: Int, to content: Content,
        _ fileNumber: Int, _ plan: Plan
    ) {
        if count <= 0 { return }
        let file = files[fileNumber]
        for sector in offset / sectorSize...(offset + count - 1) / sectorSize {
            guard plan.survives(number, sector: sector, of: fileNumber, file), !isRescued(number, sector, file) else {
                continue
            }
            let from = max(offset, sector * sectorSize)
            let to = min(offset + count, (sector + 1) * sectorSize)
            if let source = unsafe source {
                unsafe content.write(at: from, source + (from - offset), to - from)
                // What is found after the cut is on the disk: when it is written again, it is old or new.
                content.hold(sector)
            } else {
                content.zero(from: from, to: to)
            }
        }
    }

    /// Garbage in sectors of an operation that never held synced bytes, or in its whole blocks.
    private func spoil(
        _ number: Int32, _ operation: Operation, _ content: Content, _ fileNumber: Int, _ plan: Plan, _ model: FaultModel,
        _ journal: Journal
    ) {
        let stable = files[fileNumber].stable
        let first = operation.offset / sectorSize
        let last = (operation.offset + operation.count - 1) / sectorSize
        for sector in first...last {
            let h = Chance.hash(plan.seed ^ 3, UInt64(sector), UInt64(fileNumber))
            if h & 3 == 0, !stable.isHeld(sector), !isRescued(number, sector, files[fileNumber]) {
                spoil(sector * sectorSize, sectorSize, h >> 2, content, journal)
            }
        }
        if model == .blocks {
            let sectors = pageSize / sectorSize
            for page in first / sectors...last / sectors {
                let h = Chance.hash(plan.seed ^ 4, UInt64(page), UInt64(fileNumber))
                if h & 3 == 0, !isRescued(number, page * sectors, files[fileNumber]) {
                    spoil(page * pageSize, pageSize, h >> 2, content, journal)
                }
            }
        }
    }

    private func spoil(_ offset: Int, _ count: Int, _ h: UInt64, _ content: Content, _ journal: Journal) {
        switch h & 7 {
        case 0, 1:
            // Noise.
            fillWithNoise(content, offset, count, h)
        case 2:
            // Half of what is there, then noise.
            let kept = Int(h >> 8) % count
            fillWithNoise(content, offset + kept, count - kept, h)
        case 3:
            // What is there, in another place of the same file.
            let blocks = max(1, (offset + count) / count)
            let from = Int((h >> 8) % UInt64(blocks)) * count
            unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 16) { room in
                unsafe content.read(at: from, to: room.baseAddress.unsafelyUnwrapped, count)
                unsafe content.write(at: offset, UnsafeRawPointer(room.baseAddress.unsafelyUnwrapped), count)
            }
        case 4, 5:
            // An older file's bytes: the place on the disk belonged to it once.
            let other = files[Int((h >> 8) % UInt64(files.count))].cached
            let from = Int((h >> 40) & 3) * pageSize + offset % pageSize
            content.take(other, at: offset, count, from: from)
        case 6:
            // Bytes that were written to somewhere, at some time.
            if appliedBytes > count {
                let from = Int((h >> 8) % UInt64(appliedBytes - count))
                unsafe content.write(at: offset, journal.bytes + from, count)
            }
        default:
            // A few flipped bits: the sector was being written.
            unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 16) { room in
                let bytes = unsafe room.baseAddress.unsafelyUnwrapped
                unsafe content.read(at: offset, to: bytes, count)
                let at = Int((h >> 8) % UInt64(count))
                let byte = unsafe bytes.load(fromByteOffset: at, as: UInt8.self)
                unsafe bytes.storeBytes(of: byte ^ UInt8(1 << (h >> 60 & 7)), toByteOffset: at, as: UInt8.self)
                unsafe content.write(at: offset, bytes, count)
            }
        }
    }

    private func fillWithNoise(_ content: Content, _ offset: Int, _ count: Int, _ h: UInt64) {
        unsafe withUnsafeTemporaryAllocation(byteCount: count + 8, alignment: 16) { room in
            let bytes = unsafe room.baseAddress.unsafelyUnwrapped
            for i in 0..<(count + 7) / 8 {
                unsafe bytes.storeBytes(of: Chance.hash(h, UInt64(i)), toByteOffset: 8 * i, as: UInt64.self)
            }
            unsafe content.write(at: offset, UnsafeRawPointer(bytes), count)
        }
    }
}

/// The decisions of one power cut.
private struct Plan {
    let seed: UInt64
    let survival: Survival
    let makesGarbage: Bool
    /// The last operation that counts, or the one that does.
    let moment: Int32

    init(_ chance: inout Chance, _ state: DiskState) {
        seed = chance.next()
        survival = Survival(rawValue: chance.below(8))!
        makesGarbage = chance.once(in: 2)
        // Somewhere among the last operations, where those are that were not synced.
        let count = state.applied
        let open = state.firstOpen(count)
        moment = Int32(open + chance.below(max(1, count - open)))
    }

    /// Whether an operation's part that is no data (a name, a size) reached the disk.
    func survives(_ number: Int32, of file: Int, salt: UInt64) -> Bool {
        switch survival {
        case .everything: return true
        case .nothing: return false
        case .half, .most, .few: return drawn(Chance.hash(seed ^ salt, UInt64(number), UInt64(bitPattern: Int64(file))))
        case .upToAMoment: return number <= moment
        case .wholeFiles:
            let what = file < 0 ? UInt64(number) << 32 : UInt64(file)
            return Chance.hash(seed ^ salt, what) & 1 == 0
        case .oneOperation: return number == moment
        }
    }

    /// Whether a sector holds what operation `number` wrote there, or what a later one did.
    func survives(_ number: Int32, sector: Int, of fileNumber: Int, _ file: Inode) -> Bool {
        switch survival {
        case .half, .most, .few:
            let h = Chance.hash(seed ^ 5, UInt64(sector), UInt64(fileNumber))
            // A quarter of the sectors stopped at some stage.
            if h >> 62 == 0 {
                let open = file.open
                return number <= open[Int((h >> 8) % UInt64(open.count))]
            }
            return drawn(h)
        case .wholeFiles: return Chance.hash(seed ^ 2, UInt64(fileNumber)) & 1 == 0
        default: return survives(number, of: fileNumber, salt: 2)
        }
    }

    private func drawn(_ h: UInt64) -> Bool {
        switch survival {
        case .half: h & 1 == 0
        case .most: h & 7 != 0
        default: h & 7 == 0
        }
    }
}

extension DiskState {
    /// The oldest operation that is not durable, or `count`.
    fileprivate func firstOpen(_ count: Int) -> Int {
        var oldest = Int32(count)
        for file in files {
            if let first = file.limbo.first { oldest = min(oldest, first) }
            if let first = file.pending.first { oldest = min(oldest, first) }
        }
        if let first = pendingNames.first { oldest = min(oldest, first) }
        return Int(oldest)
    }
}
