// ConvertFunctions.swift - a log copied into another format

import CWalrus
import WalrusCore

@c @implementation public func walrus_convert(
    _ sourceDir: UnsafePointer<CChar>?, _ targetDir: UnsafePointer<CChar>?, _ options: OpaquePointer?,
    _ progress: walrus_progress_fn?, _ ctx: UnsafeMutableRawPointer?
) -> Int32 {
    guard let sourceDir = unsafe sourceDir, let targetDir = unsafe targetDir else {
        return fail(LogError(.invalid, "source_dir or target_dir is NULL"))
    }
    if unsafe sourceDir.pointee == 0 || targetDir.pointee == 0 {
        return fail(LogError(.invalid, "source_dir or target_dir is empty"))
    }
    let chosen: Options
    let source: DiskLog
    do throws(LogError) {
        chosen = try unsafe settings(options).forTarget()
        source = try unsafe DiskLog.open(path: sourceDir, .forSource)
    } catch {
        return unsafe fail(error, directory: sourceDir)
    }
    defer { try? end(source) }
    var isOfSource = false
    do throws(LogError) {
        let target = try unsafe DiskLog.open(path: targetDir, chosen)
        let stopped: Int32
        do throws(LogError) {
            stopped = try target.copyAll(from: source, isOfSource: &isOfSource) { done, total in
                unsafe progress?(ctx, done, total) ?? 0
            }
        } catch {
            try? end(target)
            throw error
        }
        try end(target)
        return stopped
    } catch {
        return unsafe fail(error, directory: isOfSource ? sourceDir : targetDir)
    }
}

private func end(_ log: DiskLog) throws(LogError) {
    defer { log.storage.end() }
    try log.close()
}
