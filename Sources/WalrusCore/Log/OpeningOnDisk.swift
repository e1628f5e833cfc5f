// OpeningOnDisk.swift - open and destroy by a path: the directory and its lock, around what Opening does
//
// Generic, although there is one such storage: an embedded build would otherwise specialise the whole engine twice, here and in the boundary.

/// A storage that is a directory with a path and a lock.
public protocol DirectoryStorage: Storage {
    init(path: UnsafePointer<CChar>, permissions: UInt32) throws(LogError)
    static func makeDirectory(path: UnsafePointer<CChar>, permissions: UInt32) throws(LogError)
    func lock() throws(LogError)
    func unlock()
    func removeDirectory(path: UnsafePointer<CChar>) throws(LogError)
}

extension PosixStorage: DirectoryStorage {}

extension Log where S: DirectoryStorage {
    /// Opens the log in the directory at `path`, which is made where the options allow.
    public static func open(path: UnsafePointer<CChar>, _ options: Options) throws(LogError) -> Log<S> {
        try check(options)
        let writes = !options.readOnly
        if writes && options.create { try unsafe S.makeDirectory(path: path, permissions: options.fileMode) }
        let storage = try unsafe S(path: path, permissions: options.fileMode)
        // Before anything is created: a directory of somebody else's stays as it is.
        _ = try isThere(storage, options)
        if writes { try storage.lock() }
        do throws(LogError) {
            return try open(storage, options)
        } catch {
            storage.unlock()
            throw error
        }
    }

    /// Removes the log in the directory at `path`, and the directory if it is empty then.
    public static func destroy(path: UnsafePointer<CChar>) throws(LogError) {
        var existing = Options()
        existing.create = false
        let storage = try unsafe S(path: path, permissions: existing.fileMode)
        _ = try isThere(storage, existing)
        try storage.lock()
        defer { storage.unlock() }
        try destroy(storage)
        try unsafe storage.removeDirectory(path: path)
    }
}

extension Text {
    /// What recovery found and did, in a sentence.
    public mutating func add(_ report: RecoveryReport) {
        switch report.reason {
        case .clean: return add("the log had been closed cleanly")
        case .complete: return add("the log had not been closed, and nothing was unfinished")
        case .torn: add("the last write was unfinished and is left out")
        case .unfinishedBatch: add("the last batch was unfinished and is left out")
        case .reordered: add("later writes had reached the disk before an earlier one, and are left out")
        }
        add(": ")
        add(report.bytesCut)
        add(" bytes from offset ")
        add(report.cutOffset)
        add(" of ")
        add(.segment(report.cutSegment))
        add(", ")
        add(report.entriesCut)
        add(" whole entries among them, none of which was acknowledged as durable")
    }
}
