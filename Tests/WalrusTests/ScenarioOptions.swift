// ScenarioOptions.swift - options as text, which the scenarios speak and the package does not
//
// The package has a field for each option, and the compiler sees to its name and type. So here a name that is no field's, a number that is none
// and a word that is no case's are answered as the library would; whatever a field can hold is judged by the package.

import Walrus

enum OptionText {
    private static let numbers: [(key: String, field: WritableKeyPath<Options, UInt64> & Sendable)] = [
        ("segment_size", \.segmentSize), ("cached_segments", \.cachedSegments), ("buffer_size", \.bufferSize),
        ("sync_padding", \.syncPadding), ("max_entry_size", \.maxEntrySize), ("sync_interval_ms", \.syncIntervalMilliseconds),
        ("sync_bytes", \.syncBytes), ("async_max_bytes", \.asyncMaxBytes), ("max_segments", \.maxSegments),
        ("retention_bytes", \.retentionBytes), ("retention_age_ms", \.retentionAgeMilliseconds),
        ("compression_min_size", \.compressionMinSize), ("txn_timeout_ms", \.transactionTimeoutMilliseconds),
        ("txn_max_entries", \.transactionMaxEntries),
    ]
    private static let booleans: [(key: String, field: WritableKeyPath<Options, Bool> & Sendable)] = [
        ("create", \.create), ("must_be_new", \.mustBeNew), ("read_only", \.readOnly), ("preallocate", \.preallocate),
        ("verify_reads", \.verifyReads), ("zero_copy", \.zeroCopy),
    ]
    private static let syncs: [(String, Options.Sync)] = [
        ("always", .always), ("interval", .interval), ("os", .os), ("none", .none),
    ]
    private static let recoveries: [(String, Options.Recovery)] = [
        ("strict", .strict), ("torn_tail", .tornTail), ("salvage", .salvage),
    ]
    private static let formats: [(String, Options.Format)] = [("binary", .binary), ("json", .json), ("proto", .proto)]
    private static let units: [(String, UInt64)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("ms", 1), ("s", 1000), ("min", 60_000),
        ("h", 3_600_000), ("d", 86_400_000),
    ]

    static func set(_ key: String, _ value: String, in options: inout Options) throws {
        let refusal = Failure(code: .invalid, message: "option \(key) = \(value)")
        if let field = numbers.first(where: { $0.key == key })?.field {
            guard let number = number(value) else { throw refusal }
            options[keyPath: field] = number
        } else if let field = booleans.first(where: { $0.key == key })?.field {
            guard ["true", "on", "1", "false", "off", "0"].contains(value) else { throw refusal }
            options[keyPath: field] = ["true", "on", "1"].contains(value)
        } else if key == "file_mode", let mode = UInt32(value, radix: 8) {
            options.fileMode = mode
        } else if key == "sync", let sync = syncs.first(where: { $0.0 == value }) {
            options.sync = sync.1
        } else if key == "format", let format = formats.first(where: { $0.0 == value }) {
            options.format = format.1
        } else if key == "compression", value == "none" || value == "zlib" {
            options.compression = value == "zlib" ? .zlib : .none
        } else if key == "compression_level", value == "-1" || number(value) != nil {
            options.compressionLevel = value == "-1" ? nil : number(value)
        } else if key == "recovery", let recovery = recoveries.first(where: { $0.0 == value }) {
            options.recovery = recovery.1
        } else {
            throw refusal
        }
    }

    private static func number(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isNumber }
        let unit = text.dropFirst(digits.count)
        guard let number = UInt64(digits) else { return nil }
        if unit.isEmpty { return number }
        return units.first { $0.0 == unit }.map { number * $0.1 }
    }

    static func get(_ key: String, from options: Options) throws -> String {
        if let field = numbers.first(where: { $0.key == key })?.field { return "\(options[keyPath: field])" }
        if let field = booleans.first(where: { $0.key == key })?.field { return "\(options[keyPath: field])" }
        switch key {
        case "file_mode": return "0" + String(options.fileMode, radix: 8)
        case "sync": return syncs.first { $0.1 == options.sync }?.0 ?? ""
        case "format": return formats.first { $0.1 == options.format }?.0 ?? "binary"
        case "compression": return "\(options.compression)"
        case "compression_level": return options.compressionLevel.map { "\($0)" } ?? "-1"
        case "recovery": return recoveries.first { $0.1 == options.recovery }?.0 ?? ""
        default: throw Mismatch("there is no option \(key)")
        }
    }
}
