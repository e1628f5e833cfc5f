// PosixStorage.swift - a directory on a real disk

import CWalrusPlatform

@safe public final class PosixStorage: Storage, @unchecked Sendable {
    private var directory: Int32
    private let permissions: UInt32
    private var lockFile = FileHandle.none
    /// In a forked child every descriptor is closed already, and its number may be somebody else's.
    private let generation = wp_generation()
    /// As it was given, for messages.
    public let path: UnsafePointer<CChar>
    public let background: Background
    public let syncer: Background
    public let completer: Background

    /// Opens the directory at `path`. Throws `.noLog` if there is none, `.notALog` if it is something else.
    public init(path: UnsafePointer<CChar>, permissions: UInt32) throws(LogError) {
        guard let copy = unsafe strdup(path) else {
            throw LogError(.noMemory, "there is not enough memory for the directory's name")
        }
        unsafe self.path = UnsafePointer(copy)
        unsafe directory = wp_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0)
        self.permissions = permissions
        let opened = directory
        let number = wp_errno()
        do throws(LogError) {
            background = try Background(usesThread: true)
            syncer = try Background(usesThread: true)
            completer = try Background(usesThread: true)
        } catch {
            if opened >= 0 { wp_close(opened) }
            throw error
        }
        if opened < 0 {
            switch number {
            case ENOENT: throw LogError(.noLog, "there is no such directory", errno: number)
            case ENOTDIR: throw LogError(.notALog, "this is a file; a log is a directory", errno: number)
            case EACCES, EPERM:
                throw LogError(.io, "the directory may not be opened; check its permissions", errno: number)
            default: throw LogError(.io, "the directory could not be opened", errno: number)
            }
        }
    }

    deinit {
        end()
        unsafe free(UnsafeMutableRawPointer(mutating: path))
    }

    // ---- The directory itself

    /// Makes the directory at `path`, whose parent must exist, and makes its name durable. One that exists is fine.
    public static func makeDirectory(path: UnsafePointer<CChar>, permissions: UInt32) throws(LogError) {
        // Whoever may read a file of the log may search its directory.
        let searchable = permissions | (permissions & 0o444) >> 2 | 0o700
        if unsafe mkdir(path, mode_t(searchable)) != 0 && wp_errno() != EEXIST {
            let number = wp_errno()
            switch number {
            case ENOENT: throw LogError(.io, "the directory's parent does not exist; create it first", errno: number)
            case ENOTDIR: throw LogError(.notALog, "a part of the path is a file", errno: number)
            case ENOSPC, EDQUOT: throw LogError(.noSpace, "there is no room for a new directory", errno: number)
            default: throw LogError(.io, "the directory could not be created; check its parent's permissions", errno: number)
            }
        }
    }

    /// Makes the directory's own name durable, by way of its parent. A parent that may not be opened is the host's affair.
    public func syncParent() throws(LogError) {
        guard let parent = try openParent() else { return }
        defer { wp_close(parent) }
        try SystemCalls.syncAll(parent)
    }

    private func openParent() throws(LogError) -> Int32? {
        let parent = unsafe wp_open(directory, "..", O_RDONLY | O_DIRECTORY, 0)
        if parent >= 0 { return parent }
        if wp_errno() == EACCES { return nil }
        throw SystemCalls.failure("the directory's parent could not be opened", nil)
    }

    /// Removes the directory, durably. One that holds something else stays.
    public func removeDirectory(path: UnsafePointer<CChar>) throws(LogError) {
        let parent = try openParent()
        defer { if let parent { wp_close(parent) } }
        if unsafe rmdir(path) == 0, let parent { try SystemCalls.syncAll(parent) }
    }

    /// Takes the one lock that a writer holds. It goes with the descriptor: also when the process dies.
    ///
    /// The file is looked at again once it is locked: `destroy` may have removed it between open and lock, and a lock
    /// on a file without a name excludes nobody.
    /// - Throws: `.locked`.
    public func lock() throws(LogError) {
        while true {
            let file = try SystemCalls.open(directory, .lock, flags: O_RDWR | O_CREAT, mode: permissions)
            guard flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 else {
                let number = wp_errno()
                wp_close(file.descriptor)
                guard number == EWOULDBLOCK else {
                    throw LogError(.io, "the log could not be locked", errno: number, file: .lock)
                }
                throw LogError(
                    .locked, "the log is open already, in this process or another; close it there, or open it with read_only",
                    errno: number, file: .lock)
            }
            var held = stat()
            var named = stat()
            let same = try unsafe SystemCalls.withName(.lock) { name in
                unsafe fstat(file.descriptor, &held) == 0 && fstatat(directory, name, &named, 0) == 0
            }
            if same && held.st_ino == named.st_ino && held.st_dev == named.st_dev {
                lockFile = file
                return
            }
            wp_close(file.descriptor)
        }
    }

    public func unlock() {
        close(lockFile)
        lockFile = .none
    }

    /// Gives up every descriptor. What outlives the log, a transaction say, may keep this object for a long time.
    public func end() {
        unlock()
        close(FileHandle(descriptor: directory))
        directory = -1
    }

    // ---- Files

    public func open(_ name: FileName, _ mode: OpenMode) throws(LogError) -> FileHandle {
        let flags =
            switch mode {
            case .read: O_RDONLY
            case .write: O_RDWR
            case .create: O_RDWR | O_CREAT | O_TRUNC
            }
        return try SystemCalls.open(directory, name, flags: flags, mode: permissions)
    }

    public func close(_ file: FileHandle) {
        if file.isOpen && generation == wp_generation() { wp_close(file.descriptor) }
    }
    public func size(_ file: FileHandle) throws(LogError) -> UInt64 { try SystemCalls.size(file) }

    public func read(_ file: FileHandle, at offset: UInt64, into buffer: MutableBytes) throws(LogError) -> Int {
        try SystemCalls.read(file, at: offset, into: buffer)
    }
    public func write(_ file: FileHandle, at offset: UInt64, _ first: Bytes, _ second: Bytes) throws(LogError) {
        try SystemCalls.write(file, at: offset, first, second)
    }
    public func reserve(_ file: FileHandle, from: UInt64, to: UInt64) throws(LogError) {
        try SystemCalls.reserve(file, from: from, to: to)
    }
    public func mayGrow(to size: UInt64) -> Bool { size <= wp_file_size_limit() }
    public func truncate(_ file: FileHandle, to size: UInt64) throws(LogError) { try SystemCalls.truncate(file, to: size) }
    public func sync(_ file: FileHandle) throws(LogError) { try SystemCalls.syncData(file.descriptor) }

    public func nextData(_ file: FileHandle, from offset: UInt64) -> UInt64? {
        let at = wp_next_data(file.descriptor, offset)
        return at == .max ? nil : at
    }

    public func openPastCache(_ name: FileName) -> FileHandle? {
        try? SystemCalls.open(directory, name, flags: O_RDONLY | wp_direct(), mode: permissions)
    }

    public func forgetCached(_ file: FileHandle) { SystemCalls.forgetCached(file.descriptor) }

    public func map(_ file: FileHandle, length: UInt64) throws(LogError) -> Mapping {
        guard let base = unsafe wp_map_file(file.descriptor, length) else {
            throw SystemCalls.failure("the file could not be mapped; see vm.max_map_count, or use zero_copy=false", nil)
        }
        return Mapping(bytes: unsafe Bytes(base, count: Int(length)), isMapped: true)
    }

    public func rename(_ from: FileName, to: FileName) throws(LogError) { try SystemCalls.rename(directory, from, to: to) }
    public func remove(_ name: FileName) throws(LogError) { try SystemCalls.remove(directory, name) }
    public func directoryTime() throws(LogError) -> Int64 { try SystemCalls.changeTime(directory) }
    public func watch() -> DirectoryWatch? { DirectoryWatch(directory) }
    public func syncDirectory() throws(LogError) { try SystemCalls.syncAll(directory) }

    public func list(_ body: (FileName?) throws(LogError) -> Void) throws(LogError) {
        guard let listing = unsafe wp_open_listing(directory) else {
            throw SystemCalls.failure("the directory could not be read", nil)
        }
        defer { unsafe closedir(listing) }
        while let text = unsafe wp_next_name(listing) {
            let name = unsafe Bytes(UnsafeRawPointer(text), count: strlen(text))
            if name.u8(0) == 46 && (name.count == 1 || (name.count == 2 && name.u8(1) == 46)) { continue }
            try body(FileName(name))
        }
        // Half a listing would look like a log that lost files.
        if wp_errno() != 0 { throw SystemCalls.failure("the directory could not be read to its end", nil) }
    }

    // ---- Time and chance

    public func realtime() -> Int64 { wp_realtime_ns() }
    @inline(__always) public func realtime(_ clock: inout StampClock) -> Int64 { clock.now() }
    public func monotonic() -> Int64 { wp_monotonic_ns() }

    public func random() throws(LogError) -> UInt64 {
        var number: UInt64 = 0
        let failure = unsafe wp_random(&number, 8)
        if failure != 0 { throw LogError(.io, "the system has no randomness to give", errno: failure) }
        return number
    }
}
