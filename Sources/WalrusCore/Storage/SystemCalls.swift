// SystemCalls.swift - every system call of the engine, one function each, with one rule for retries
//
// EINTR is retried, and short reads and writes go on, except for close and sync: after a failed sync the page
// cache may claim to be clean while the disk never got the data, so a second sync would prove nothing.

import CWalrusPlatform

enum SystemCalls {
    static func failure(_ detail: StaticString, _ file: FileName?, offset: UInt64 = 0) -> LogError {
        let number = wp_errno()
        switch number {
        case ENOSPC, EDQUOT, EFBIG:
            return LogError(
                .noSpace, "the disk, the quota or the file-size limit is full; make room and try again", errno: number,
                file: file, offset: offset)
        case ENOMEM:
            return LogError(.noMemory, "the system has no memory to give", errno: number, file: file, offset: offset)
        default: return LogError(.io, detail, errno: number, file: file, offset: offset)
        }
    }

    /// Calls `body` with the name as a C string.
    static func withName<Result>(
        _ name: FileName, _ body: (UnsafePointer<CChar>) throws(LogError) -> Result
    ) throws(LogError) -> Result {
        var storage = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))  // FileName.capacity bytes
        var failure: LogError? = nil
        let result = unsafe withUnsafeMutableBytes(of: &storage) { bytes -> Result? in
            var at = 0
            name.forEachByte { byte in
                unsafe bytes[at] = byte
                at += 1
            }
            do throws(LogError) {
                return try unsafe body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self))
            } catch {
                failure = error
                return nil
            }
        }
        guard let result else { throw failure ?? LogError(.internal, "a file name could not be made") }
        return result
    }

    static func open(_ directory: Int32, _ name: FileName, flags: Int32, mode: UInt32) throws(LogError) -> FileHandle {
        let descriptor = try unsafe withName(name) { text in unsafe wp_open(directory, text, flags, mode) }
        if descriptor < 0 {
            if wp_errno() == ENOENT { throw LogError(.notFound, "the file does not exist", errno: ENOENT, file: name) }
            throw failure("the file could not be opened; check its permissions", name)
        }
        return FileHandle(descriptor: descriptor)
    }

    static func size(_ file: FileHandle) throws(LogError) -> UInt64 {
        var status = stat()
        guard unsafe fstat(file.descriptor, &status) == 0 else { throw failure("the file's size could not be read", nil) }
        return UInt64(max(0, status.st_size))
    }

    /// When a name of the directory last came or went.
    static func changeTime(_ directory: Int32) throws(LogError) -> Int64 {
        var status = stat()
        guard unsafe fstat(directory, &status) == 0 else { throw failure("the directory's time could not be read", nil) }
        return Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
    }

    static func read(_ file: FileHandle, at offset: UInt64, into buffer: MutableBytes) throws(LogError) -> Int {
        var done = 0
        while done < buffer.count {
            let got = unsafe pread(
                file.descriptor, buffer.pointer(done, buffer.count - done), buffer.count - done,
                off_t(clamping: offset &+ UInt64(done)))
            if got > 0 {
                done += got
            } else if got == 0 {
                break
            } else if wp_errno() != EINTR {
                throw failure("the file could not be read", nil, offset: offset &+ UInt64(done))
            }
        }
        return done
    }

    static func write(_ file: FileHandle, at offset: UInt64, _ first: Bytes, _ second: Bytes) throws(LogError) {
        var done = 0
        let total = first.count + second.count
        while done < total {
            let put: Int
            if second.count > 0 && done < first.count {
                var parts = (
                    unsafe iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: first.pointer(done, first.count - done)),
                        iov_len: first.count - done),
                    unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: second.base), iov_len: second.count)
                )
                put = unsafe withUnsafePointer(to: &parts) { pair in
                    unsafe pair.withMemoryRebound(to: iovec.self, capacity: 2) { list in
                        unsafe pwritev(file.descriptor, list, 2, off_t(clamping: offset &+ UInt64(done)))
                    }
                }
            } else {
                let part = done < first.count ? first : second
                let from = done < first.count ? done : done - first.count
                put = unsafe pwrite(
                    file.descriptor, part.pointer(from, part.count - from), part.count - from,
                    off_t(clamping: offset &+ UInt64(done)))
            }
            if put > 0 {
                done += put
            } else if put == 0 {
                throw LogError(.io, "the system wrote nothing and gave no reason", errno: EIO, offset: offset &+ UInt64(done))
            } else if wp_errno() != EINTR {
                throw failure("the file could not be written", nil, offset: offset &+ UInt64(done))
            }
        }
    }

    static func reserve(_ file: FileHandle, from: UInt64, to: UInt64) throws(LogError) {
        guard to <= wp_file_size_limit() else {
            throw LogError(
                .noSpace, "the process's file-size limit (RLIMIT_FSIZE) is reached; raise it or use a smaller segment_size",
                errno: EFBIG, offset: to)
        }
        switch wp_allocate(file.descriptor, from, to - from) {
        case 0: return
        case EOPNOTSUPP, ENOSYS, EINVAL:
            throw LogError(.unsupported, "the file system cannot reserve space", errno: EOPNOTSUPP)
        case let number where number == ENOSPC || number == EDQUOT || number == EFBIG:
            throw LogError(
                .noSpace, "the disk, the quota or the file-size limit is full; make room and try again", errno: number,
                offset: to)
        case let number: throw LogError(.io, "space could not be reserved", errno: number, offset: from)
        }
    }

    static func truncate(_ file: FileHandle, to size: UInt64) throws(LogError) {
        while ftruncate(file.descriptor, off_t(clamping: size)) != 0 {
            if wp_errno() != EINTR { throw failure("the file's size could not be changed", nil, offset: size) }
        }
    }

    static func forgetCached(_ descriptor: Int32) {
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    static func syncData(_ descriptor: Int32) throws(LogError) {
        if fdatasync(descriptor) != 0 { throw failure("the disk refused to make data durable", nil) }
    }

    static func syncAll(_ descriptor: Int32) throws(LogError) {
        if fsync(descriptor) != 0 { throw failure("the disk refused to make a directory durable", nil) }
    }

    static func rename(_ directory: Int32, _ from: FileName, to: FileName) throws(LogError) {
        let result = try unsafe withName(from) { (old) throws(LogError) in
            try unsafe withName(to) { new in unsafe renameat(directory, old, directory, new) }
        }
        if result != 0 { throw failure("a file could not be renamed", from) }
    }

    static func remove(_ directory: Int32, _ name: FileName) throws(LogError) {
        let result = try unsafe withName(name) { text in unsafe unlinkat(directory, text, 0) }
        if result != 0 && wp_errno() != ENOENT { throw failure("a file could not be removed", name) }
    }
}
