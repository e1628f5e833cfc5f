// Metadata.swift - small values beside the log

internal import WalrusCore

/// A Raft node's term and vote, a snapshot's position, a checkpoint: no entries, and no truncation, reset or retention touches them. A key has 1 to 255
/// bytes of UTF-8 without a NUL; all keys and values together may take up 64 KiB (16 bytes a pair are added).
public struct Metadata: Sendable {
    fileprivate let log: Log

    /// A copy of the value, or nil if there is no such key. What was staged is seen once it has ridden on an append.
    ///
    /// - Throws: `.invalid`, `.closed`; `.poisoned` if it rode on an append that was not durable when the log was poisoned.
    public func get(_ key: String) throws(WalrusError) -> [UInt8]? {
        try withKey(key) { (log, key) throws(LogError) in
            var value: [UInt8]? = nil
            do throws(LogError) {
                try log.metadata(key) { value = copy($0) }
            } catch {
                if error.code != .notFound { throw error }
            }
            return value
        }
    }

    /// Sets a value of at most 65535 bytes. Durable on return, also on a full disk if the values do not grow.
    ///
    /// - Throws: `.invalid`, `.tooLarge`, `.noSpace`, `.io`, `.noMemory`, `.readOnly`, `.poisoned`.
    public func set(_ key: String, _ value: [UInt8]) throws(WalrusError) {
        try withKey(key) { (log, key) throws(LogError) in
            try unsafe withEngineBytes(value.span.bytes) { (value) throws(LogError) in try log.setMetadata(key, value) }
        }
    }

    /// Removes a key and its value. Durable on return.
    ///
    /// - Throws: `.notFound` if there is no such key, and as `set`.
    public func remove(_ key: String) throws(WalrusError) {
        try withKey(key) { (log, key) throws(LogError) in try log.deleteMetadata(key) }
    }

    /// Stages a value that is set together with the next append of whatever kind: after a crash both are there, or none. `Log.sync` makes it
    /// durable without an append; one that is still staged at close is lost.
    ///
    /// - Throws: as `set`.
    public func stage(_ key: String, _ value: [UInt8]) throws(WalrusError) {
        try withKey(key) { (log, key) throws(LogError) in
            try unsafe withEngineBytes(value.span.bytes) { (value) throws(LogError) in try log.stageMetadata(key, value) }
        }
    }

    /// All keys and values of this moment, in order of the keys' bytes.
    public func all() throws(WalrusError) -> [(key: String, value: [UInt8])] {
        try log.call { (log) throws(LogError) in
            var all: [(key: String, value: [UInt8])] = []
            _ = try log.forEachMetadata { key, value in
                all.append((String(decoding: copy(key.slice(0, key.count - 1)), as: UTF8.self), copy(value)))
                return 0
            }
            return all
        }
    }

    private func withKey<Result>(
        _ key: String, _ body: (DiskLog, Bytes) throws(LogError) -> Result
    ) throws(WalrusError) -> Result {
        try log.call { (log) throws(LogError) in
            try unsafe withEngineBytes(key.utf8.span.bytes) { (key) throws(LogError) in try body(log, key) }
        }
    }
}

private func copy(_ bytes: Bytes) -> [UInt8] {
    guard let address = unsafe bytes.address else { return [] }
    return unsafe Array(UnsafeRawBufferPointer(start: address, count: bytes.count))
}

extension Log {
    /// Small values beside the log.
    public var metadata: Metadata { Metadata(log: self) }
}
