// Diagnostics.swift - sentences for the host's logger, made without allocating

import CWalrusPlatform

public enum LogLevel: Int32, Sendable { case error = 1, warn, info, debug }

/// Where messages go. Nothing is put together for a level that nobody wants.
@safe public struct Diagnostics: @unchecked Sendable {
    public typealias Sink = @convention(c) (UnsafeMutableRawPointer?, Int32, UnsafePointer<CChar>?) -> Void

    private var sink: Sink? = nil
    private var context: UnsafeMutableRawPointer? = nil
    private var level: Int32 = 0
    /// Of the log that the messages are about, once it is open.
    var callbacks: Callbacks? = nil

    public init() {}

    public init(sink: Sink?, context: UnsafeMutableRawPointer?, level: Int32) {
        unsafe self.sink = sink
        unsafe self.context = context
        self.level = level
    }

    func log(_ level: LogLevel, _ message: (inout Text) -> Void) {
        guard let sink = unsafe self.sink, level.rawValue <= self.level else { return }
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { buffer in
            guard let base = buffer.baseAddress else { return }
            var text = unsafe Text(base, capacity: buffer.count)
            message(&text)
            guard let callbacks else { return unsafe sink(context, level.rawValue, base) }
            try? callbacks.run(.logger) { unsafe sink(context, level.rawValue, base) }
        }
    }

    /// Tells of an error with its code's place, and what it means.
    func log(_ level: LogLevel, _ what: StaticString, _ error: LogError) {
        log(level) {
            $0.add(what)
            $0.add(": ")
            $0.add(error)
        }
    }
}

/// Text in a buffer of fixed size, cut where it does not fit, always ended by NUL.
@safe public struct Text {
    private var raw: wp_text

    public init(_ base: UnsafeMutablePointer<CChar>, capacity: Int) {
        unsafe raw = wp_text(to: base, capacity: capacity, length: 0, wanted: 0)
        if capacity > 0 { unsafe base[0] = 0 }
    }

    /// Text that is measured and not kept.
    public static var measure: Text { Text() }
    private init() { unsafe raw = wp_text(to: nil, capacity: 0, length: 0, wanted: 0) }

    public mutating func add(_ text: StaticString) {
        unsafe wp_text_add_bytes(&raw, text.utf8Start, text.utf8CodeUnitCount)
    }
    public mutating func add(_ number: UInt64) { unsafe wp_text_add_number(&raw, number) }
    public mutating func addOctal(_ number: UInt64) { unsafe wp_text_add_octal(&raw, number) }
    public mutating func add(cString: UnsafePointer<CChar>) { unsafe wp_text_add(&raw, cString) }
    public mutating func add(_ name: FileName) {
        name.forEachByte { byte in
            var byte = byte
            unsafe wp_text_add_bytes(&raw, &byte, 1)
        }
    }

    /// "what happened; file F, offset O, index I (the system says: S)"
    public mutating func add(_ error: LogError) {
        add(error.detail)
        if let file = error.file {
            add("; file ")
            add(file)
            if error.offset > 0 {
                add(", offset ")
                add(error.offset)
            }
        }
        if error.index > 0 {
            add(error.lastIndex > error.index ? "; indexes " : "; index ")
            add(error.index)
            if error.lastIndex > error.index {
                add(" to ")
                add(error.lastIndex)
            }
        }
        if error.errno != 0 {
            add(" (the system says: ")
            unsafe wp_text_add_errno(&raw, error.errno)
            add(")")
        }
    }

    /// Nanoseconds as seconds: 0.000002000.
    public mutating func add(seconds nanoseconds: UInt64) {
        add(nanoseconds / 1_000_000_000)
        add(".")
        var unit: UInt64 = 100_000_000
        while unit > 0 {
            add(nanoseconds / unit % 10)
            unit /= 10
        }
    }

    public var length: Int { unsafe raw.length }
    /// The length that it would have if everything fitted.
    public var wanted: Int { unsafe raw.wanted }
}
