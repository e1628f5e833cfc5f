// SegmentTable.swift - the live segments, oldest first: which of them holds an index
//
// A slot of 32 bytes for each segment file; what is open, and what base index a file has, is filled in when somebody first
// asks. Readers hold the lock for one binary search and one count, never for a system call.

import Synchronization

struct SegmentSlot: BitwiseCopyable {
    var id: UInt64
    /// 0: not known yet.
    var baseIndex: UInt64
    var segment: SegmentRef?
    /// Of a segment that is not written any more; 0: not known yet.
    var fileSize: UInt64 = 0
}

enum SegmentLookup {
    /// The segment, with a reference that is the caller's.
    case found(SegmentRef)
    /// Its base index has to be read first.
    case needsBase(UInt64)
    /// It has to be opened; its successor says where it ends.
    case needsOpening(UInt64, successor: UInt64)
    case none
}

final class SegmentTable: Sendable {
    private let slots: ReadWriteGuarded<CArray<SegmentSlot>>
    /// Segments open at most, the tail not counted.
    private let limit: Int
    private let openings = OpeningCounter()
    /// Hits of segments that the table no longer holds; changed under the exclusive lock.
    private let pastHits = Atomic<UInt64>(0)
    private let misses = Atomic<UInt64>(0)

    init(limit: Int) throws(LogError) {
        slots = try ReadWriteGuarded(CArray())
        self.limit = limit
    }

    /// `isFirstLook`: whether a segment that is found was open without the caller's doing.
    @inline(__always)
    func find(_ index: UInt64, isFirstLook: Bool = true) -> SegmentLookup {
        slots.withShared { slots in
            var low = 0
            var high = slots.count &- 1
            if high < 0 { return .none }
            let last = slots[high]
            if last.baseIndex != 0 && last.baseIndex <= index {
                low = high
            } else {
                while low < high {
                    let middle = (low &+ high &+ 1) >> 1
                    let slot = slots[middle]
                    if slot.baseIndex == 0 { return .needsBase(slot.id) }
                    if slot.baseIndex <= index { low = middle } else { high = middle &- 1 }
                }
            }
            let slot = slots[low]
            // Taken away at the front since the caller looked.
            if slot.baseIndex > index { return .none }
            if let segment = slot.segment {
                segment.retain()
                if isFirstLook { segment.noteHit() }
                let now = openings.now
                if segment.lastUse != now { segment.lastUse = now }
                return .found(segment)
            }
            if low + 1 < slots.count { return .needsOpening(slot.id, successor: slots[low + 1].id) }
            return .none
        }
    }

    /// Position of a segment id, or nil. Ids grow along the table.
    private static func position(_ id: UInt64, in slots: borrowing CArray<SegmentSlot>) -> Int? {
        var low = 0
        var high = slots.count
        while low < high {
            let middle = (low + high) / 2
            if slots[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < slots.count && slots[low].id == id ? low : nil
    }

    func noteBase(_ id: UInt64, _ baseIndex: UInt64) throws(LogError) {
        try slots.withExclusive { slots in
            if let i = SegmentTable.position(id, in: slots) { slots[i].baseIndex = baseIndex }
        }
    }

    /// Puts an opened segment, whose reference the table takes over, into its slot. Gives back what the table no longer wants:
    /// the segment itself if it came too late, or one that was evicted for it. `isCurrent`: whether what it was opened by still holds; a
    /// cut may have moved its end meanwhile.
    func install(_ segment: SegmentRef, if isCurrent: () -> Bool = { true }) throws(LogError) -> SegmentRef? {
        misses.add(1, ordering: .relaxed)
        return try slots.withExclusive { slots in
            guard let i = SegmentTable.position(segment.id, in: slots), slots[i].segment == nil, isCurrent() else {
                return segment
            }
            slots[i].segment = segment
            slots[i].baseIndex = segment.baseIndex
            segment.lastUse = openings.next()
            var open = 0
            var oldest: Int? = nil
            for j in 0..<slots.count - 1 {
                guard let other = slots[j].segment else { continue }
                open += 1
                // One that somebody holds a view of would only be mapped a second time.
                if j == i || other.isPinned { continue }
                if oldest.map({ other.lastUse < slots[$0].segment?.lastUse ?? .max }) ?? true { oldest = j }
            }
            guard open > limit, let evicted = oldest else { return nil }
            let dropped = slots[evicted].segment
            slots[evicted].segment = nil
            keepHits(of: dropped)
            return dropped
        }
    }

    /// Puts another opened segment into the slot of segment `id`, or none; gives back the one that was there, with its reference.
    func exchange(_ id: UInt64, _ segment: SegmentRef?) -> SegmentRef? {
        var old: SegmentRef? = nil
        try? slots.withExclusive { slots in
            guard let i = SegmentTable.position(id, in: slots) else { return }
            old = slots[i].segment
            slots[i].segment = segment
        }
        return old
    }

    /// Makes room for more slots, so that as many `append`s cannot fail.
    func reserveSlots(_ count: Int) throws(LogError) {
        try slots.withExclusive { (slots) throws(LogError) in try slots.reserve(count) }
    }

    /// Makes room for one more slot, so that the `append` which follows cannot fail.
    func reserveSlot() throws(LogError) { try slots.withExclusive { (slots) throws(LogError) in try slots.reserve(1) } }

    /// Adds a slot at the end. Takes over the segment's reference.
    func append(_ slot: SegmentSlot) throws(LogError) {
        try slots.withExclusive { (slots) throws(LogError) in try slots.append(slot) }
    }

    /// Adds a slot and forgets that segment `old` is open, so that the next reader opens it the way sealed ones are. Its reference
    /// is the caller's.
    func append(_ slot: SegmentSlot, detaching old: UInt64?) throws(LogError) -> SegmentRef? {
        try slots.withExclusive { (slots) throws(LogError) in
            try slots.append(slot)
            guard let old, let i = SegmentTable.position(old, in: slots) else { return nil }
            let segment = slots[i].segment
            slots[i].segment = nil
            keepHits(of: segment)
            return segment
        }
    }

    /// Takes the first (`atFront`) or last slot out if `condition` holds for it and its neighbour towards the middle.
    func takeOut(atFront: Bool, if condition: (SegmentSlot, _ neighbour: SegmentSlot?) -> Bool) throws(LogError) -> SegmentSlot? {
        try slots.withExclusive { slots in
            guard slots.count > 0 else { return nil }
            let slot = atFront ? slots[0] : slots[slots.count - 1]
            let neighbour = slots.count < 2 ? nil : atFront ? slots[1] : slots[slots.count - 2]
            guard condition(slot, neighbour) else { return nil }
            if atFront { slots.removeFirst(1) } else { slots.removeLast(1) }
            keepHits(of: slot.segment)
            return slot
        }
    }

    /// The table gives it up, and nobody finds it any more.
    private func keepHits(of segment: SegmentRef?) {
        if let segment { pastHits.add(segment.hits, ordering: .relaxed) }
    }

    /// Reads that found their segment open, and segments that had to be opened.
    var cacheCounts: (hits: UInt64, misses: UInt64) {
        slots.withShared { slots in
            var hits = pastHits.load(ordering: .relaxed)
            for i in 0..<slots.count { hits &+= slots[i].segment?.hits ?? 0 }
            return (hits, misses.load(ordering: .relaxed))
        }
    }

    /// Segment `id` with a reference, if it is open.
    func pinOpen(_ id: UInt64) -> SegmentRef? {
        slots.withShared { slots in
            guard let i = SegmentTable.position(id, in: slots), let segment = slots[i].segment else { return nil }
            segment.retain()
            return segment
        }
    }

    /// The ids of all segments, oldest first.
    func copyIDs(to ids: inout CArray<UInt64>) throws(LogError) {
        ids.removeLast(ids.count)
        // Looked at twice, so that no memory is asked for under the lock.
        while true {
            try ids.reserve(count + 1)
            let isDone = slots.withShared { slots in
                guard ids.hasRoom(for: slots.count) else { return false }
                for i in 0..<slots.count { try? ids.append(slots[i].id) }
                return true
            }
            if isDone { return }
        }
    }

    func has(_ id: UInt64) -> Bool { slots.withShared { SegmentTable.position(id, in: $0) != nil } }

    func fileSize(of id: UInt64) -> UInt64? {
        slots.withShared { slots in
            guard let i = SegmentTable.position(id, in: slots), slots[i].fileSize > 0 else { return nil }
            return slots[i].fileSize
        }
    }

    func noteFileSize(of id: UInt64, _ size: UInt64) {
        try? slots.withExclusive { slots in
            if let i = SegmentTable.position(id, in: slots) { slots[i].fileSize = size }
        }
    }

    func slot(_ i: Int) -> SegmentSlot? { slots.withShared { $0.count > i ? $0[i] : nil } }
    var count: Int { slots.withShared { $0.count } }
    /// The id that follows `id` in the table.
    func successor(of id: UInt64) -> UInt64? {
        slots.withShared { slots in
            guard let i = SegmentTable.position(id, in: slots), i + 1 < slots.count else { return nil }
            return slots[i + 1].id
        }
    }
}
