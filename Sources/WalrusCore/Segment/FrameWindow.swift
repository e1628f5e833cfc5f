// FrameWindow.swift - a file read front to back, through a buffer of fixed size
//
// With pread and not through a mapping, so that a disk that fails is an error and not a signal, and so that the bytes which
// were verified are the bytes that are used.

struct FrameWindow<S: Storage>: ~Copyable {
    private let storage: S
    private let file: FileHandle
    let fileSize: UInt64
    private let buffer: Memory
    private var start: UInt64 = 0
    private var count = 0
    private(set) var bytesRead: UInt64 = 0

    init(storage: S, file: FileHandle, bufferSize: UInt64 = 256 << 10) throws(LogError) {
        let size = try storage.size(file)
        let buffer = try Memory(count: Int(min(bufferSize, max(size, 8192))))
        self.storage = storage
        self.file = file
        self.fileSize = size
        self.buffer = buffer
    }

    /// Up to `wanted` bytes from `offset` on (fewer at the file's end), at most a buffer's worth. They live until the next call.
    mutating func bytes(at offset: UInt64, _ wanted: Int) throws(LogError) -> Bytes {
        let wanted = min(wanted, buffer.bytes.count)
        let windowEnd = start &+ UInt64(count)
        let endsWithFile = count > 0 && windowEnd >= fileSize && offset <= windowEnd
        if offset < start || (offset &+ UInt64(wanted) > windowEnd && !endsWithFile) {
            start = offset
            count = 0
            count = try storage.read(file, at: offset, into: buffer.bytes)
            bytesRead += UInt64(count)
        }
        let at = Int(offset - start)
        return buffer.bytes.bytes.slice(at, min(wanted, count - at))
    }

    /// Copies the bytes at `offset`. False if the file ends before.
    mutating func read(at offset: UInt64, into target: MutableBytes) throws(LogError) -> Bool {
        var done = 0
        while done < target.count {
            let part = try bytes(at: offset &+ UInt64(done), target.count - done)
            if part.count == 0 { return false }
            target.copy(part, to: done)
            done += part.count
        }
        return true
    }

    /// CRC-32 of the `length` bytes at `offset`, going on from `start`, or nil if the file ends before.
    mutating func checksum(at offset: UInt64, _ length: Int, from start: UInt32 = 0) throws(LogError) -> UInt32? {
        var crc = start
        var done = 0
        while done < length {
            let part = try bytes(at: offset &+ UInt64(done), length - done)
            if part.count == 0 { return nil }
            crc = part.checksum(from: crc)
            done += part.count
        }
        return crc
    }

    /// Reads anew what is looked at next.
    mutating func forget() {
        start = 0
        count = 0
    }

    func nextData(from offset: UInt64) -> UInt64? {
        guard offset < fileSize, let at = storage.nextData(file, from: offset), at < fileSize else { return nil }
        return at
    }
}
