// OperationFunctions.swift - rotate, segments

import CWalrus
import CWalrusPlatform
import WalrusCore

@c @implementation public func walrus_rotate(_ log: OpaquePointer?) -> Int32 {
    unsafe withLog(log) { (log) throws(LogError) in try log.rotate() }
}

@c @implementation public func walrus_segments(
    _ log: OpaquePointer?, _ visit: walrus_segment_visit_fn?, _ ctx: UnsafeMutableRawPointer?
) -> Int32 {
    var stopped: Int32 = 0
    let code = unsafe withLog(log) { (log) throws(LogError) in
        guard let visit = unsafe visit else { throw LogError(.invalid, "visit is NULL") }
        try log.callbacks.visit { () throws(LogError) in
            try log.forEachSegment { info in
                stopped = unsafe show(info, to: visit, ctx)
                return stopped <= 0
            }
        }
    }
    return code != ok ? code : max(stopped, ok)
}

private func show(_ info: SegmentInfo, to visit: walrus_segment_visit_fn, _ ctx: UnsafeMutableRawPointer?) -> Int32 {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
        guard let base = buffer.baseAddress else { return 0 }
        var name = unsafe Text(base, capacity: buffer.count)
        name.add(.segment(info.id))
        var segment = unsafe walrus_segment_info_t(
            struct_size: UInt32(MemoryLayout<walrus_segment_info_t>.size), is_tail: info.isTail ? 1 : 0, id: info.id,
            first_index: info.firstIndex, last_index: max(info.endIndex, 1) - 1, bytes: info.bytes, file_bytes: info.fileBytes,
            highest_timestamp_ns: info.highestTime, name: base)
        return unsafe visit(ctx, &segment)
    }
}
