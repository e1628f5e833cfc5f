// Content.swift - the bytes of one simulated file
//
// A block of address space of fixed size, so that a view that was lent out keeps its address whatever is written later.
// Pages that were never touched cost nothing and read as zeros. Blocks go back to a pool, which zeroes what was
// touched: a crash state lives for some microseconds, and mapping its memory anew would cost more than using it.
//
//      0                              capacity
//      +------------------------------+---------+------+-----------+
//      | bytes                        | touched | held | allocated |
//      +------------------------------+---------+------+-----------+
//
// Behind the bytes stand three bitmaps: pages that may hold something else than zeros, 512-byte sectors that held
// synced bytes once (only others may turn into garbage), and pages for which there is room on the disk.

import CWalrusPlatform

let sectorSize = 512
let pageSize = 4096
private let sectorsInPage = pageSize / sectorSize

/// Blocks of one capacity. Belongs to one thread, as the disks that share it do.
@safe public final class MemoryPool {
    let capacity: Int
    private let total: Int
    private var free: [UInt] = []

    public init(capacity: Int) {
        precondition(capacity > 0 && capacity % (pageSize * 64) == 0, "a file's capacity is a multiple of 256 KiB")
        self.capacity = capacity
        let bitmaps = capacity / pageSize / 8 * (2 + sectorsInPage)
        total = capacity + (bitmaps + pageSize - 1) / pageSize * pageSize
    }

    fileprivate func take() -> UnsafeMutableRawPointer {
        if let block = free.popLast() { return unsafe UnsafeMutableRawPointer(bitPattern: block).unsafelyUnwrapped }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let block = unsafe mmap(nil, total, PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let block = unsafe block, Int(bitPattern: block) != -1 else {
            preconditionFailure("there is no address space left for a simulated file")
        }
        // A huge page for every file of a few kilobytes would be most of the running time.
        unsafe madvise(block, total, MADV_NOHUGEPAGE)
        return unsafe block
    }

    /// Takes back a block whose bytes and bitmaps are zero again.
    fileprivate func give(_ block: UnsafeMutableRawPointer) {
        if free.count < 512 { free.append(UInt(bitPattern: block)) } else { unsafe munmap(block, total) }
    }

    deinit {
        for block in free { unsafe munmap(UnsafeMutableRawPointer(bitPattern: block), total) }
    }
}

@safe final class Content {
    let pool: MemoryPool
    let base: UnsafeMutableRawPointer
    private let touched: UnsafeMutablePointer<UInt64>
    private let held: UnsafeMutablePointer<UInt8>
    private let allocated: UnsafeMutablePointer<UInt64>
    /// Pages below this one may be marked in a bitmap.
    private var pages = 0
    /// A view was lent out: the bytes may not move any more, nor be shared with another disk.
    var isPinned = false

    init(_ pool: MemoryPool) {
        self.pool = pool
        let words = pool.capacity / pageSize / 64
        unsafe base = pool.take()
        unsafe touched = (base + pool.capacity).assumingMemoryBound(to: UInt64.self)
        unsafe allocated = touched + words
        unsafe held = UnsafeMutableRawPointer(touched + 2 * words).assumingMemoryBound(to: UInt8.self)
    }

    deinit {
        eachTouchedPage { page in unsafe memset(base + page * pageSize, 0, pageSize) }
        let words = (pages + 63) / 64
        unsafe memset(touched, 0, words * 8)
        unsafe memset(allocated, 0, words * 8)
        unsafe memset(held, 0, pages)
        unsafe pool.give(base)
    }

    /// The same bytes at another address.
    func copy() -> Content {
        let other = Content(pool)
        eachTouchedPage { page in
            let offset = page * pageSize
            unsafe memcpy(other.base + offset, base + offset, pageSize)
        }
        let words = (pages + 63) / 64
        unsafe memcpy(other.touched, touched, words * 8)
        unsafe memcpy(other.allocated, allocated, words * 8)
        unsafe memcpy(other.held, held, pages)
        other.pages = pages
        return other
    }

    @inline(__always)
    private func eachTouchedPage(_ body: (Int) -> Void) {
        for word in 0..<(pages + 63) / 64 {
            var bits = unsafe touched[word]
            while bits != 0 {
                body(word * 64 + bits.trailingZeroBitCount)
                bits &= bits &- 1
            }
        }
    }

    private func mark(_ bitmap: UnsafeMutablePointer<UInt64>, _ first: Int, _ last: Int) {
        precondition(
            first >= 0 && last < pool.capacity / pageSize,
            "a simulated file outgrew its capacity; give the disk a larger fileCapacity")
        if last < first { return }
        for page in first...last { unsafe bitmap[page >> 6] |= 1 << UInt64(page & 63) }
        pages = max(pages, last + 1)
    }

    // ---- Bytes

    func write(at offset: Int, _ source: UnsafeRawPointer, _ count: Int) {
        if count == 0 { return }
        unsafe mark(touched, offset / pageSize, (offset + count - 1) / pageSize)
        unsafe memcpy(base + offset, source, count)
    }

    /// Zeros from `offset` on up to `end`.
    func zero(from offset: Int, to end: Int = .max) {
        let limit = min(end, pages * pageSize)
        if offset >= limit { return }
        eachTouchedPage { page in
            let from = max(offset, page * pageSize)
            let to = min(limit, (page + 1) * pageSize)
            if from < to { unsafe memset(base + from, 0, to - from) }
        }
    }

    /// Takes over `count` bytes of `other`, from the same place unless another is given.
    func take(_ other: Content, at offset: Int, _ count: Int, from: Int? = nil) {
        let from = from ?? offset
        precondition(from >= 0 && from + count <= pool.capacity)
        unsafe write(at: offset, other.base + from, count)
    }

    func read(at offset: Int, to target: UnsafeMutableRawPointer, _ count: Int) {
        precondition(offset >= 0 && count >= 0 && offset + count <= pool.capacity)
        unsafe memcpy(target, base + offset, count)
    }

    /// The first offset from `offset` on in a page that was touched.
    func nextData(from offset: Int) -> Int? {
        var page = offset / pageSize
        while page < pages {
            if unsafe touched[page >> 6] & 1 << UInt64(page & 63) != 0 { return max(offset, page * pageSize) }
            page += 1
        }
        return nil
    }

    // ---- What is known of them

    func allocate(from: Int, to: Int) {
        if from < to { unsafe mark(allocated, from / pageSize, (to - 1) / pageSize) }
    }

    func isAllocated(from: Int, to: Int) -> Bool {
        var page = from / pageSize
        while page * pageSize < to {
            if unsafe page >= pool.capacity / pageSize || allocated[page >> 6] & 1 << UInt64(page & 63) == 0 {
                return false
            }
            page += 1
        }
        return true
    }

    func takeAllocation(_ other: Content) {
        for word in 0..<(other.pages + 63) / 64 { unsafe allocated[word] |= other.allocated[word] }
        pages = max(pages, other.pages)
    }

    func isHeld(_ sector: Int) -> Bool {
        unsafe held[sector / sectorsInPage] & 1 << UInt8(sector % sectorsInPage) != 0
    }

    func hold(_ sector: Int) {
        unsafe held[sector / sectorsInPage] |= 1 << UInt8(sector % sectorsInPage)
        pages = max(pages, sector / sectorsInPage + 1)
    }

    func holdPage(_ page: Int) {
        unsafe held[page] = 0xff
        pages = max(pages, page + 1)
    }
}

func equalBytes(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Bool { unsafe memcmp(a, b, count) == 0 }
