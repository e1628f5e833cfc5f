// Takes standard input into a log line by line, and has a task follow it: swift run lines LOG < FILE
//
// Run it again with another file, and it goes on where it stopped: what line it had come to rides on the same appends.
import Foundation
import Walrus

guard CommandLine.arguments.count == 2 else {
    FileHandle.standardError.write(Data("usage: lines LOG < FILE\n".utf8))
    exit(2)
}

do {
    var options = Options()
    options.segmentSize = 1 << 20
    options.logger = Logger { level, message in print("\(level): \(message)") }
    let log = try Log(CommandLine.arguments[1], options)
    let found = try log.recoveryReport()
    if found.entriesCut > 0 { print(found.message) }

    // Every line as it becomes durable, on another task.
    let start = log.nextIndex
    let follower = Task {
        var bytes = 0
        for try await entry in log.following(from: start, durableOnly: true) {
            bytes += entry.count
            if entry.count == 0 { break }
        }
        return bytes
    }

    // Many lines under way share a sync.
    var count = try log.metadata.get("lines").flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0
    try await withThrowingTaskGroup { group in
        while let line = readLine(strippingNewline: false) {
            count += 1
            try log.metadata.stage("lines", Array("\(count)".utf8))
            group.addTask { try await log.appendAsync(Record(line)) }
        }
        try await group.waitForAll()
    }
    try log.append("")  // the end
    print("\(count) lines in all; the follower saw \(try await follower.value) bytes of these")
    try log.close()
} catch {
    print("lines: \(error)")
}
