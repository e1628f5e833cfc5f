// FileName.swift - the files that a log is made of, and their names

/// A file of the log. Names are made from it at the system call, so the engine handles no strings.
public enum FileName: Equatable, Sendable, BitwiseCopyable {
    case lock
    case metadata
    case metadataInProgress
    /// Empty. There from a failed write or sync on, until another open has looked at what the disk has.
    case suspect
    case segment(UInt64)
    case segmentInProgress(UInt64)
    case offsetTable(UInt64)
    case offsetTableInProgress(UInt64)

    /// Room for any name, with its NUL.
    static var capacity: Int { 32 }

    /// Calls `body` with the name as bytes, without a NUL.
    public func forEachByte(_ body: (UInt8) -> Void) {
        func add(_ text: StaticString) {
            text.withUTF8Buffer { bytes in
                for i in 0..<bytes.count { unsafe body(bytes[i]) }
            }
        }
        func addHexadecimal(_ number: UInt64) {
            for shift in stride(from: UInt64(60), through: 0, by: -4) {
                let digit = UInt8(truncatingIfNeeded: (number >> shift) & 15)
                body(digit < 10 ? 48 + digit : 87 + digit)
            }
        }
        switch self {
        case .lock: add("walrus.lock")
        case .metadata: add("walrus.meta")
        case .metadataInProgress: add("walrus.meta.tmp")
        case .suspect: add("walrus.suspect")
        case .segment(let id):
            addHexadecimal(id)
            add(".wal")
        case .segmentInProgress(let id):
            addHexadecimal(id)
            add(".wal.tmp")
        case .offsetTable(let id):
            addHexadecimal(id)
            add(".idx")
        case .offsetTableInProgress(let id):
            addHexadecimal(id)
            add(".idx.tmp")
        }
    }

    /// The file that `name` names, or nil if it is none of a log's.
    public init?(_ name: Bytes) {
        func ends(at start: Int, with text: StaticString) -> Bool {
            guard name.count - start == text.utf8CodeUnitCount else { return false }
            return text.withUTF8Buffer { bytes in
                for i in 0..<bytes.count {
                    if unsafe name.u8(start + i) != bytes[i] { return false }
                }
                return true
            }
        }
        if ends(at: 0, with: "walrus.lock") {
            self = .lock
            return
        }
        if ends(at: 0, with: "walrus.meta") {
            self = .metadata
            return
        }
        if ends(at: 0, with: "walrus.meta.tmp") {
            self = .metadataInProgress
            return
        }
        if ends(at: 0, with: "walrus.suspect") {
            self = .suspect
            return
        }
        guard name.count > 16 else { return nil }
        var id: UInt64 = 0
        for i in 0..<16 {
            switch name.u8(i) {
            case let digit where digit >= 48 && digit <= 57: id = id << 4 | UInt64(digit - 48)
            case let digit where digit >= 97 && digit <= 102: id = id << 4 | UInt64(digit - 87)
            default: return nil
            }
        }
        // Ids begin at 1, and nobody gets through half of them.
        guard id > 0, id < 1 << 63 else { return nil }
        if ends(at: 16, with: ".wal") {
            self = .segment(id)
        } else if ends(at: 16, with: ".wal.tmp") {
            self = .segmentInProgress(id)
        } else if ends(at: 16, with: ".idx") {
            self = .offsetTable(id)
        } else if ends(at: 16, with: ".idx.tmp") {
            self = .offsetTableInProgress(id)
        } else {
            return nil
        }
    }
}
