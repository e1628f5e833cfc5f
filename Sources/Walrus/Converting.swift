// Converting.swift - a log copied into another format

internal import WalrusCore

extension Log {
    /// Copies the log in `source`, as it is at the call, into a log in `target`, in the format and with the compression of `options`, with the same indexes,
    /// terms, timestamps and metadata. The source is not changed. `progress` is told now and then how many of how many entries were copied; when it answers
    /// false, the copy stops, and false is returned. One that was stopped, or died, goes on where it was when this is called again. Everything is
    /// durable, and was read back and compared, when this returns true.
    ///
    /// - Throws: as `init` for either directory; `.exists` if the target holds something that the source does not; `.invalid` if they are the same log;
    ///   `.corrupt`, `.io`, `.noSpace`, `.noMemory`; `.readOnly` if the options say so.
    @discardableResult
    public static func convert(
        from source: String, to target: String, _ options: Options = Options(),
        progress: (_ done: UInt64, _ total: UInt64) -> Bool = { _, _ in true }
    ) throws(WalrusError) -> Bool {
        let wanted = try options.checked()
        let original = try unsafe onPath(source) { (path) throws(LogError) in try unsafe DiskLog.open(path: path, .forSource) }
        defer { try? end(original) }
        var isOfSource = false
        var failure: LogError? = nil
        do throws(WalrusError) {
            return try unsafe onPath(target) { (path) throws(LogError) in
                let copy = try unsafe DiskLog.open(path: path, wanted.forTarget())
                let stopped: Int32
                do throws(LogError) {
                    stopped = try copy.copyAll(from: original, isOfSource: &isOfSource) { progress($0, $1) ? 0 : 1 }
                } catch {
                    try? end(copy)
                    failure = error
                    throw error
                }
                try end(copy)
                return stopped == 0
            }
        } catch {
            if isOfSource, let failure { throw WalrusError(failure, in: source) }
            throw error
        }
    }

    private static func end(_ log: DiskLog) throws(LogError) {
        defer { log.storage.end() }
        try log.close()
    }
}
