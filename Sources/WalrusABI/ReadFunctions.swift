// ReadFunctions.swift - bounds, get, read, scan, get_range, term

import CWalrus
import CWalrusPlatform
import WalrusCore

@c @implementation public func walrus_first_index(_ log: OpaquePointer?) -> UInt64 {
    unsafe numberOf(log) { $0.firstIndex }
}
@c @implementation public func walrus_last_index(_ log: OpaquePointer?) -> UInt64 { unsafe numberOf(log) { $0.lastIndex } }
@c @implementation public func walrus_next_index(_ log: OpaquePointer?) -> UInt64 { unsafe numberOf(log) { $0.nextIndex } }

/// An entry as C sees it.
@inline(__always)
func foreign(_ entry: Entry) -> walrus_entry_t {
    unsafe walrus_entry_t(
        index: entry.index, term: entry.term, timestamp_ns: entry.time, data: entry.payload.address,
        size: entry.payload.count, checksum: entry.checksum, flags: 0, owner: entry.owner.address)
}

@c @implementation public func walrus_get(
    _ log: OpaquePointer?, _ index: UInt64, _ entry: UnsafeMutablePointer<walrus_entry_t>?
) -> Int32 {
    guard let entry = unsafe entry else { return fail(LogError(.invalid, "the entry is NULL")) }
    let code = unsafe withLog(log) { (log) throws(LogError) in unsafe entry.pointee = foreign(try log.get(index)) }
    if code != ok { unsafe entry.pointee = walrus_entry_t() }
    return code
}

@c @implementation public func walrus_entry_release(_ entry: UnsafeMutablePointer<walrus_entry_t>?) {
    guard let entry = unsafe entry else { return }
    unsafe EntryOwner(address: entry.pointee.owner).release()
    unsafe entry.pointee = walrus_entry_t()
}

@c @implementation public func walrus_read(
    _ log: OpaquePointer?, _ index: UInt64, _ buffer: UnsafeMutableRawPointer?, _ capacity: Int,
    _ size: UnsafeMutablePointer<Int>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        if unsafe buffer == nil && capacity != 0 { throw LogError(.invalid, "the buffer is NULL, but its capacity is not 0") }
        let entry = try log.get(index)
        defer { entry.owner.release() }
        unsafe size?.pointee = entry.payload.count
        // A capacity above the signed range arrives as a negative number, and is enough for anything.
        if capacity >= 0 && capacity < entry.payload.count {
            throw LogError(.tooSmall, "the buffer is smaller than the entry; size says how much is needed", index: index)
        }
        if let buffer = unsafe buffer, let data = unsafe entry.payload.address {
            unsafe memcpy(buffer, data, entry.payload.count)
        }
    }
}

@c @implementation public func walrus_scan(
    _ log: OpaquePointer?, _ first: UInt64, _ last: UInt64, _ visit: walrus_visit_fn?, _ ctx: UnsafeMutableRawPointer?
) -> Int32 {
    var stopped: Int32 = 0
    let code = unsafe withLog(log) { (log) throws(LogError) in
        guard let visit = unsafe visit else { throw LogError(.invalid, "visit is NULL") }
        let last = try log.clip(first, last)
        try log.callbacks.visit { () throws(LogError) in
            var reader = SequentialReader(log)
            var index = first
            while index <= last {
                var lent = unsafe foreign(try reader.read(index))
                stopped = unsafe visit(ctx, &lent)
                if stopped > 0 { return }
                index += 1
            }
        }
    }
    return code != ok ? code : max(stopped, ok)
}

@c @implementation public func walrus_get_range(
    _ log: OpaquePointer?, _ first: UInt64, _ last: UInt64, _ maxBytes: Int,
    _ entries: UnsafeMutablePointer<walrus_entry_t>?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let entries = unsafe entries, let count = unsafe count else {
            throw LogError(.invalid, "entries or count is NULL")
        }
        if capacity == 0 { throw LogError(.invalid, "the capacity is 0") }
        let last = try log.clip(first, last)
        // Sizes above the signed range arrive as negative numbers: no limit.
        let most = capacity < 0 ? Int.max : capacity
        let room = maxBytes < 0 ? Int.max : maxBytes
        var reader = SequentialReader(log)
        var done = 0
        var bytes = 0
        do throws(LogError) {
            while done < most && first &+ UInt64(done) <= last {
                let entry = try reader.take(first &+ UInt64(done))
                if done > 0 && (bytes > room || entry.payload.count > room - bytes) {
                    entry.owner.release()
                    break
                }
                bytes += entry.payload.count
                unsafe entries[done] = foreign(entry)
                done += 1
            }
        } catch {
            for i in 0..<done { unsafe walrus_entry_release(entries + i) }
            throw error
        }
        unsafe count.pointee = done
    }
}

@c @implementation public func walrus_entries_release(_ entries: UnsafeMutablePointer<walrus_entry_t>?, _ count: Int) {
    guard let entries = unsafe entries, count > 0 else { return }
    for i in 0..<count { unsafe walrus_entry_release(entries + i) }
}

@c @implementation public func walrus_read_packed(
    _ log: OpaquePointer?, _ first: UInt64, _ maxCount: Int, _ buffer: UnsafeMutableRawPointer?, _ capacity: Int,
    _ sizes: UnsafeMutablePointer<UInt32>?, _ count: UnsafeMutablePointer<Int>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let sizes = unsafe sizes, let count = unsafe count else { throw LogError(.invalid, "sizes or count is NULL") }
        if unsafe buffer == nil && capacity != 0 { throw LogError(.invalid, "the buffer is NULL, but its capacity is not 0") }
        if maxCount == 0 { throw LogError(.invalid, "max_count is 0") }
        let last = try log.clip(first, .max)
        // Sizes above the signed range arrive as negative numbers: no limit.
        let most = maxCount < 0 ? Int.max : maxCount
        let room = capacity < 0 ? Int.max : capacity
        var reader = SequentialReader(log)
        var done = 0
        var bytes = 0
        while done < most && first &+ UInt64(done) <= last {
            let entry = try reader.read(first &+ UInt64(done))
            let size = entry.payload.count
            if size > room - bytes { break }
            if let buffer = unsafe buffer, let data = unsafe entry.payload.address, size > 0 {
                unsafe memcpy(buffer + bytes, data, size)
            }
            unsafe sizes[done] = UInt32(truncatingIfNeeded: size)
            bytes += size
            done += 1
        }
        if done == 0 {
            let entry = try reader.read(first)
            unsafe sizes[0] = UInt32(truncatingIfNeeded: entry.payload.count)
            throw LogError(
                .tooSmall, "the buffer is smaller than the first entry; sizes[0] says how much is needed", index: first)
        }
        unsafe count.pointee = done
    }
}

@c @implementation public func walrus_term(
    _ log: OpaquePointer?, _ index: UInt64, _ term: UnsafeMutablePointer<UInt64>?
) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in
        guard let term = unsafe term else { throw LogError(.invalid, "term is NULL") }
        unsafe term.pointee = try log.term(index)
    }
}
