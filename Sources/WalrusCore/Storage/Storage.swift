// Storage.swift - what the engine asks of the system, and what it may expect
//
// The engine is generic over this protocol and never sees a path, a clock or a system call. The POSIX storage
// serves the shipped library; the simulated one loses, tears and reorders what was not synced.

import CWalrusPlatform

/// A file that was opened. Copyable, closed by hand: whoever opened it closes it.
public struct FileHandle: Equatable, Sendable, BitwiseCopyable {
    public let descriptor: Int32
    public init(descriptor: Int32) { self.descriptor = descriptor }
    public static var none: FileHandle { FileHandle(descriptor: -1) }
    public var isOpen: Bool { descriptor >= 0 }
}

public enum OpenMode: Sendable {
    case read
    case write
    /// Read and write a file that must not exist yet; an existing one is emptied.
    case create
}

/// Memory in which a file's bytes appear as they are written. Reading beyond the file's end is a fault.
@safe public struct Mapping: Sendable {
    public let bytes: Bytes
    /// False where the storage owns the memory itself and wants nothing back.
    public let isMapped: Bool
    public init(bytes: Bytes, isMapped: Bool) {
        self.bytes = bytes
        self.isMapped = isMapped
    }

    func unmap() {
        if isMapped { unsafe munmap(UnsafeMutableRawPointer(mutating: bytes.address), bytes.count) }
    }
}

/// One directory of files, a clock and a source of randomness. All calls may come from several threads at once.
///
/// Each throws `.io` with the system's error number, unless it says otherwise. None of them retries a failed sync.
public protocol Storage: Sendable {
    /// Opens a file. Throws `.notFound` if it does not exist (read, write).
    func open(_ name: FileName, _ mode: OpenMode) throws(LogError) -> FileHandle
    func close(_ file: FileHandle)
    func size(_ file: FileHandle) throws(LogError) -> UInt64

    /// Fills `buffer` from `offset` on and returns how many bytes there were: fewer than asked for only at the file's end.
    func read(_ file: FileHandle, at offset: UInt64, into buffer: MutableBytes) throws(LogError) -> Int
    /// Writes all of `first`, then all of `second`, as one run of bytes. When it throws, any part may have been written.
    /// Throws `.noSpace` where the system has no room for them.
    func write(_ file: FileHandle, at offset: UInt64, _ first: Bytes, _ second: Bytes) throws(LogError)
    /// Really allocates the space of [from, to), with zeros in it, so that writing there does not fail for want of space, and makes the file
    /// at least `to` long. Throws `.noSpace`; `.unsupported` where the file system cannot promise that.
    func reserve(_ file: FileHandle, from: UInt64, to: UInt64) throws(LogError)
    /// Whether a file may grow to `size` at all. Asked before writes that `reserve` does not cover: where the host has a limit,
    /// the system would answer with a signal.
    func mayGrow(to size: UInt64) -> Bool
    /// Sets the file's size.
    func truncate(_ file: FileHandle, to size: UInt64) throws(LogError)
    /// Must not return until everything written to the file is on stable storage. After a failure nothing is
    /// known of what was written since the last success, and a second call proves nothing.
    func sync(_ file: FileHandle) throws(LogError)
    /// The next offset from `offset` on where the file may hold something else than zeros, or nil.
    func nextData(_ file: FileHandle, from offset: UInt64) -> UInt64?

    /// Opens a file so that reads at multiples of 4096, into memory so aligned, tell what the device holds, not what the page
    /// cache shows. nil where that cannot be had.
    func openPastCache(_ name: FileName) -> FileHandle?

    /// Drops what the page cache has of the file and need not write, so that reads tell what the device holds. After a write that failed the
    /// cache shows what the device never got, and writing that again may not be enough: ext4 then takes a reserved block for one that holds
    /// data, and a later mount reads zeros. A wish, not a promise: pages that are mapped stay.
    func forgetCached(_ file: FileHandle)

    /// Maps `length` bytes of the file, which may be more than it has yet.
    func map(_ file: FileHandle, length: UInt64) throws(LogError) -> Mapping

    /// Gives `from` the name `to`, replacing what had it. Lost in a crash unless the directory is synced.
    func rename(_ from: FileName, to: FileName) throws(LogError)
    /// Removes a file; one that does not exist is no error.
    func remove(_ name: FileName) throws(LogError)
    /// Calls `body` for each file; a name that is none of a log's is nil.
    func list(_ body: (FileName?) throws(LogError) -> Void) throws(LogError)
    /// A time, in nanoseconds, that is another one once a name came or went and the system's clock has moved on since.
    func directoryTime() throws(LogError) -> Int64
    /// What to sleep on until a file of the directory may have changed; nil where that cannot be had.
    func watch() -> DirectoryWatch?
    /// Must not return until renames, removals and new files are on stable storage.
    func syncDirectory() throws(LogError)

    /// Must not return until the directory's own name is on stable storage.
    func syncParent() throws(LogError)

    /// Nanoseconds since 1970 UTC. May run backwards.
    func realtime() -> Int64
    /// The same, for whoever asks again and again.
    func realtime(_ clock: inout StampClock) -> Int64
    /// Nanoseconds from some start. Never runs backwards.
    func monotonic() -> Int64
    func random() throws(LogError) -> UInt64

    /// Where upkeep runs, which no append should wait for.
    var background: Background { get }
    /// Where syncs run that nobody leads.
    var syncer: Background { get }
    /// Where asynchronous appends complete.
    var completer: Background { get }
}

extension Storage {
    public func realtime(_ clock: inout StampClock) -> Int64 { realtime() }
    /// Where there is no page cache, or it is to go on showing what the device lacks.
    public func forgetCached(_ file: FileHandle) {}

    /// Reserves space; where the file system cannot, zeros are written, which claim it just as well.
    func claim(_ file: FileHandle, from: UInt64, to: UInt64) throws(LogError) {
        do throws(LogError) {
            try reserve(file, from: from, to: to)
        } catch {
            guard error.code == .unsupported else { throw error }
            let zeros = try Memory(count: 64 << 10)
            zeros.bytes.zero(0, zeros.bytes.count)
            var at = from
            while at < to {
                let count = Int(min(UInt64(zeros.bytes.count), to - at))
                try write(file, at: at, zeros.bytes.bytes.slice(0, count), .empty)
                at += UInt64(count)
            }
        }
    }
}
