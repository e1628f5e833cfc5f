// Compression.swift - zlib streams (RFC 1950)

import CWalrusPlatform

public enum Codec: Sendable { case none, zlib }

enum Compression {
    /// Before the stream in a binary frame: 4 bytes size, 4 bytes CRC-32, both of the entry's own bytes.
    static var prefixSize: Int { 8 }

    /// The most bytes that a stream can hold: two bits of it stand for 258 bytes at best.
    static func mostInflated(_ count: Int) -> Int { count &* 1032 }

    /// Fills `target` exactly. False if the stream is not one of so many bytes: a hostile one gets no further than that.
    ///
    /// - Throws: `.noMemory`: nothing is known of the stream then.
    static func inflate(_ stream: Bytes, to target: MutableBytes) throws(LogError) -> Bool {
        let failure = unsafe wp_inflate(stream.address, stream.count, target.address, target.count)
        if failure == ENOMEM { throw LogError(.noMemory, "there is not enough memory to decompress an entry", errno: ENOMEM) }
        return failure == 0
    }
}

/// A deflate state and room for what it makes, used again and again. One thread at a time.
@safe public struct Deflater: ~Copyable, @unchecked Sendable {
    private let state: OpaquePointer
    let level: Int32

    init(level: Int32) throws(LogError) {
        guard let made = unsafe wp_deflate_new(level) else {
            throw LogError(.noMemory, "there is not enough memory to compress with")
        }
        unsafe state = made
        self.level = level
    }

    /// Puts the prefix and the stream of `payload` into `target` and returns how many bytes that are, or nil if they are not
    /// fewer than the payload's.
    func deflate(_ payload: Bytes, to target: MutableBytes) -> Int? {
        let room = min(target.count, payload.count - 1)
        guard room > Compression.prefixSize else { return nil }
        let stream = target.slice(Compression.prefixSize, room - Compression.prefixSize)
        let count = unsafe wp_deflate(state, payload.address, payload.count, stream.address, stream.count)
        guard count > 0 else { return nil }
        target.store32(UInt32(payload.count), 0)
        target.store32(payload.checksum(), 4)
        return Compression.prefixSize + count
    }

    deinit { unsafe wp_deflate_free(state) }
}
