// host.swift - a program with the ordinary Swift runtime beside libwalrus.so, which has one of its own that nobody may see
//
// Linked with the shared library (CWalrus), it also loads another copy of it, and has the engine of the package Walrus in itself: each
// reads what the others wrote. What the runtime does in between (generic classes, dictionaries, existentials, tasks) would break if the library's
// swift_retain took the place of the real one.

import CWalrus
import Foundation
import Walrus

func check(_ condition: Bool, _ what: String) {
    if condition { return }
    print("host: \(what)")
    exit(1)
}

final class Counted<Value> {
    nonisolated(unsafe) static var alive: Int {
        get { Alive.count }
        set { Alive.count = newValue }
    }
    let value: Value
    init(_ value: Value) {
        self.value = value
        Counted.alive += 1
    }
    deinit { Counted.alive -= 1 }
}

enum Alive { nonisolated(unsafe) static var count = 0 }

/// What the ordinary runtime is there for.
func exerciseRuntime(_ round: Int) {
    var table: [String: Counted<[Int]>] = [:]
    for i in 0..<200 { table["key \(i) of \(round)"] = Counted(Array(0...i)) }
    let anything: [any CustomStringConvertible] = table.map { "\($0.key): \($0.value.value.count)" }
    check(anything.map(\.description).sorted().count == 200, "the runtime lost something")
    table = [:]
    check(Alive.count == 0, "\(Alive.count) objects were never freed")
}

/// Through the library that the program is linked with.
func appendLinked(_ directory: String, _ text: String) -> UInt64 {
    var log: OpaquePointer? = nil
    var index: UInt64 = 0
    check(walrus_open(directory, nil, &log) == 0, "walrus_open failed")
    let bytes = Array(text.utf8)
    check(walrus_append(log, bytes, bytes.count, &index) == 0, "walrus_append failed")
    var told = walrus_record_t()
    // A completion runs on the library's own thread, and calls into this runtime from there.
    let counted = Unmanaged.passRetained(Counted("completion"))
    let done: walrus_done_fn = { context, _, status in
        check(status == 0, "the append did not complete")
        Unmanaged<Counted<String>>.fromOpaque(context!).release()
    }
    check(walrus_append_async(log, &told, 0, done, counted.toOpaque(), nil) == 0, "walrus_append_async failed")
    check(walrus_close(log) == 0, "walrus_close failed")
    check(Alive.count == 0, "the completion did not come before close returned")
    return index
}

/// Through a library that is loaded while the program runs.
func lastIndexLoaded(_ library: String, _ directory: String) -> UInt64 {
    guard let handle = dlopen(library, RTLD_NOW | RTLD_LOCAL) else {
        check(false, "dlopen: \(String(cString: dlerror()))")
        return 0
    }
    typealias Open = @convention(c) (UnsafePointer<CChar>, OpaquePointer?, UnsafeMutablePointer<OpaquePointer?>) -> Int32
    typealias Number = @convention(c) (OpaquePointer?) -> UInt64
    typealias Close = @convention(c) (OpaquePointer?) -> Int32
    func find<Function>(_ name: String, as type: Function.Type) -> Function {
        guard let address = dlsym(handle, name) else { fatalError("no \(name)") }
        return unsafeBitCast(address, to: type)
    }
    check(dlsym(handle, "swift_retain").map { $0 == dlsym(nil, "swift_retain") } ?? true, "the library shows a swift_retain")
    var log: OpaquePointer? = nil
    check(find("walrus_open", as: Open.self)(directory, nil, &log) == 0, "the loaded walrus_open failed")
    let last = find("walrus_last_index", as: Number.self)(log)
    check(find("walrus_close", as: Close.self)(log) == 0, "the loaded walrus_close failed")
    return last
}

@main struct Host {
    static func main() async throws {
        let (directory, library) = (CommandLine.arguments[1], CommandLine.arguments[2])
        for round in 0..<UInt64(5) {
            exerciseRuntime(Int(round))
            let log = try Log(directory)
            let index = try await log.appendAsync(Record("from the package, round \(round)"))
            check(index == round * 3 + 1, "index \(index)")
            check(try round == 0 || log.get(index - 2).string == "from the library", "the package read something else")
            try log.close()
            exerciseRuntime(Int(round))
            check(appendLinked(directory, "from the library") == round * 3 + 2, "the library's index is wrong")
            check(lastIndexLoaded(library, directory) == round * 3 + 3, "the loaded library's index is wrong")
        }
        print("host: all agree")
    }
}
