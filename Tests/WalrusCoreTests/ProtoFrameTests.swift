// ProtoFrameTests.swift - frames as Protocol Buffers messages: what comes back, what verifies, and what must not
//
// That other people's software reads them is shown by Tests/format/test_proto.py, with the segment that is written here.

import Foundation
import Testing
import WalrusSimulation

@testable import WalrusCore

private let salt: UInt32 = 0x5a17_0bad
private let offset: UInt64 = 8192

private func view<Result>(_ bytes: [UInt8], _ body: (Bytes) throws -> Result) rethrows -> Result {
    try bytes.withUnsafeBytes { try body(Bytes($0.baseAddress, count: $0.count)) }
}

private func filled(_ count: Int, _ body: (MutableBytes) throws -> Void) rethrows -> [UInt8] {
    var bytes = [UInt8](repeating: 0xee, count: count)
    try bytes.withUnsafeMutableBytes { try body(MutableBytes($0.baseAddress, count: $0.count)) }
    return bytes
}

/// A frame to be written: a header and what it is about.
private struct Sample {
    var header: FrameHeader
    var payload: [UInt8]

    init(
        _ payload: [UInt8], type: UInt8 = FrameType.entry, flags: UInt8 = 0, index: UInt64 = 7, term: UInt64 = 2,
        timestamp: Int64 = 1_795_532_400_123_456_789, distance: UInt8 = 1
    ) {
        self.payload = payload
        let checksum = type == FrameType.entry ? view(payload) { $0.checksum() } : 0
        header = FrameHeader(
            type: type, flags: flags, length: UInt32(payload.count), index: index,
            term: type == FrameType.entry ? term : 0, timestamp: type == FrameType.entry ? timestamp : 0,
            durableDistance: distance, size: UInt32(payload.count), checksum: checksum)
    }

    /// The frame as it is written at `place`.
    func frame(at place: UInt64) -> [UInt8] {
        view(payload) { payload in
            let measure = ProtoFrame.measure(header, payload)
            return filled(measure.frameSize) { target in
                let check = ProtoFrame.encode(header, payload, measure, to: target, at: 0, salt: salt, offset: place)
                let outline = ProtoFrame.outline(target.bytes, salt: salt, offset: place)
                #expect(outline?.checksum == check && outline?.coding == measure.coding)
                #expect(outline?.bodyAt == measure.bodyAt && outline?.bodyCount == measure.bodyCount)
                #expect(outline?.frameSize == measure.frameSize && measure.frameSize % 8 == 0)
                #expect(ProtoFrame.mayBegin(target.bytes.u64(0)))
                #expect(measure.frameSize <= ProtoFrame.mostBytes(payload.count))
            }
        }
    }

    var frame: [UInt8] { frame(at: offset) }
}

private struct Found {
    var header: FrameHeader
    var payload: [UInt8]
    var coding: BodyCoding
}

/// What a reader finds at the beginning of `bytes`, if it is a frame that verifies.
private func read(_ bytes: [UInt8]) -> Found? {
    view(bytes) { bytes in
        let prefix = bytes.slice(0, min(bytes.count, ProtoFrame.outlineSize))
        guard let outline = ProtoFrame.outline(prefix, salt: salt, offset: offset), outline.frameSize <= bytes.count,
            outline.verifies(bytes)
        else { return nil }
        var length: Int? = nil
        let room = filled(Int(outline.header.length)) {
            length = ProtoFrame.decodeBody(outline, outline.body(bytes), to: $0)
        }
        guard let length else { return nil }
        return Found(header: outline.header, payload: Array(room[..<length]), coding: outline.coding)
    }
}

private func varint(_ value: Int) -> [UInt8] {
    value < 128 ? [UInt8(value)] : [UInt8(value & 127 | 128)] + varint(value >> 7)
}

/// A field of bytes, or a message.
private func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2] + varint(bytes.count) + bytes }

/// A record of these fields with as much padding and the check that it has to have.
private func sealed(_ head: [UInt8], _ rest: [UInt8], padding: Int? = nil) -> [UInt8] {
    func message(_ padding: Int) -> [UInt8] {
        head + (padding == 0 ? [] : field(6, [UInt8](repeating: 0, count: padding - 2))) + rest
    }
    func size(_ padding: Int) -> Int {
        let count = 5 + message(padding).count
        return varint(count).count + count
    }
    let least = [0] + Array(2..<40)
    let padding = padding ?? least.first { size($0) % 8 == 0 }!
    return checked([0x0d, 0, 0, 0, 0] + message(padding))
}

private func checked(_ message: [UInt8]) -> [UInt8] {
    var record = varint(message.count)
    let at = record.count + 1
    record += message
    guard record.count >= at + 4 else { return record }
    let start = view(Array(record[..<at])) { $0.checksum(from: FrameHeader.seed(salt: salt, offset: offset)) }
    let check = view(Array(record[(at + 4)...])) { $0.checksum(from: start) }
    for i in 0..<4 { record[at + i] = UInt8(check >> (i * 8) & 255) }
    return record
}

private func little(_ words: [UInt64]) -> [UInt8] { words.flatMap { word in (0..<8).map { UInt8(word >> ($0 * 8) & 255) } } }

private let beginPayload = little([1, 0, 0, 0, 0, 0, 3, 1_795_532_400_000_000_000, 1 << 63, 5, 1 << 63, 9])
private let fullBeginPayload = little([UInt64](repeating: .max, count: 12))

private func metadataRecord(_ kind: UInt16, _ key: [UInt8], _ value: [UInt8]) -> [UInt8] {
    var record = [UInt8(key.count & 255), UInt8(key.count >> 8), UInt8(kind & 255), UInt8(kind >> 8)]
    record += (0..<4).map { UInt8(value.count >> ($0 * 8) & 255) } + key + value
    while record.count % 8 != 0 { record.append(0) }
    return record
}

private let metadataPayload =
    little([12]) + metadataRecord(0, Array("term".utf8), [3, 0, 0, 0xff]) + metadataRecord(0, Array("v\"ote".utf8), [])
    + metadataRecord(0, [0xff, 0xfe], Array("node 7".utf8)) + metadataRecord(9, [], [UInt8](0...255))

private let controls: [(UInt8, [UInt8])] = [
    (FrameType.begin, beginPayload), (FrameType.begin, fullBeginPayload),
    (FrameType.begin, little([UInt64](repeating: 0, count: 12))), (FrameType.run, little([4, 1 << 60])),
    (FrameType.run, little([0, 0])), (FrameType.run, little([.max, .max])), (FrameType.watermark, little([0])),
    (FrameType.watermark, little([.max])), (FrameType.padding, []), (FrameType.padding, [0]),
    (FrameType.padding, [UInt8](repeating: 0, count: 300)), (FrameType.metadata, metadataPayload),
    (FrameType.metadata, little([1])), (FrameType.metadata, little([0])),
]

/// Payloads that the fields cannot say.
private let oddControls: [(UInt8, [UInt8])] = [
    (FrameType.begin, [1, 2, 3]), (FrameType.run, []), (FrameType.watermark, Array("seven".utf8)), (FrameType.padding, [0, 1]),
    (FrameType.seal, little([1, 2, 3, 4, 5, 6, 7, 8])), (FrameType.metadata, [1, 2, 3]),
    (FrameType.metadata, metadataPayload + [0]), (FrameType.metadata, metadataPayload + little([0xff])),
    (FrameType.metadata, little([1]) + Array(metadataRecord(0, [65], [66]).dropLast()) + [1]), (9, Array("later".utf8)),
    (200, [0xff]), (255, []),
]

private let sizes = [0, 1, 2, 7, 8, 90, 127, 128, 129, 255, 4096, 16383, 16384, 16385, (1 << 21) - 1, 1 << 21, (1 << 21) + 1]

@Suite struct ProtoFrameTests {
    // ---- What comes back

    @Test func payloadsOfEachSizeComeBackAndStandInTheFrameAsTheyAre() throws {
        var chance = Chance(3)
        for size in sizes {
            let sample = Sample((0..<size).map { _ in UInt8(truncatingIfNeeded: chance.next()) })
            let frame = sample.frame
            let found = try #require(read(frame), "\(size) bytes")
            #expect(found.payload == sample.payload && found.coding == .raw && Int(found.header.length) == size)
            #expect(Array(frame[(frame.count - size)...]) == sample.payload)
            #expect(frame.count - size <= 64 && ProtoFrame.mostBytes(size) - frame.count < 128 + 8192)
        }
    }

    @Test func aLargePayloadComesBack() throws {
        let sample = Sample([UInt8](repeating: 0xa5, count: 64 << 20))
        let found = try #require(read(sample.frame))
        #expect(found.payload == sample.payload)
    }

    /// Every size across the places where a length gets a byte longer, with every distance to a multiple of 8: a padding of one byte does not
    /// exist, and a padding may lengthen the length before the record.
    @Test func everySizeHasItsOnePadding() {
        var paddings = Set<Int>()
        let ranges = [0..<700, 16_200..<16_500, 2_097_000..<2_097_200]
        for size in ranges.joined() {
            for index in [0, 1, 1000] as [UInt64] {
                let payload = [UInt8](repeating: 0x61, count: size)
                let header = Sample([], index: index).header
                view(payload) { payload in
                    let measure = ProtoFrame.measure(header, payload)
                    let frame = filled(measure.frameSize) {
                        _ = ProtoFrame.encode(header, payload, measure, to: $0, at: 0, salt: salt, offset: offset)
                    }
                    // By hand: the smallest padding that makes a multiple of 8 together with the length.
                    let bare = view(frame) { frame -> Int in
                        var reader = ProtoReader(frame)
                        let messageSize = Int(reader.varint())
                        _ = reader.fixed32(always: 1)
                        _ = (reader.number(2), reader.number(3))
                        let at = reader.at
                        _ = reader.zeros(6)
                        paddings.insert(reader.at - at)
                        return messageSize - (reader.at - at)
                    }
                    let least = ([0] + Array(2..<40)).first { (varint(bare + $0).count + bare + $0) % 8 == 0 }!
                    if varint(bare + least).count + bare + least != frame.count { Issue.record("\(size) bytes, index \(index)") }
                }
                if size < 700 && read(Sample(payload, index: index).frame)?.payload != payload {
                    Issue.record("\(size) bytes, index \(index) did not come back")
                }
            }
        }
        #expect(paddings == [0, 2, 3, 4, 5, 6, 7, 8, 9])
    }

    @Test func everyFieldOfAHeaderComesBack() throws {
        for flags in UInt8.min...UInt8.max {
            for type in [FrameType.entry, FrameType.metadata, FrameType.watermark, 9, 255] {
                var sample = Sample(little([12]), type: type, flags: flags, index: 1, distance: flags)
                let hasSize = type == FrameType.entry && sample.header.codec != 0
                if hasSize { sample.header.size = .max }
                let found = try #require(read(sample.frame), "flags \(flags), type \(type)")
                #expect(found.header.flags == flags && found.header.type == type && found.header.durableDistance == flags)
                #expect(found.payload == sample.payload)
                if type != FrameType.metadata { #expect(found.header.size == (hasSize ? .max : 8)) }
            }
        }
        for number in [0, 1, 127, 128, 1 << 53, .max - 1, .max] as [UInt64] {
            for time in [0, -1, .min, .max, 1_795_532_400_123_456_789] as [Int64] {
                let found = try #require(read(Sample([65], index: number, term: number, timestamp: time).frame))
                #expect(found.header.index == number && found.header.term == number && found.header.timestamp == time)
                #expect(found.header.checksum == view([65]) { $0.checksum() } && found.header.length == 1)
                #expect(found.header.payloadChecksum == found.header.checksum)
            }
        }
    }

    @Test func controlFramesComeBackAsBinaryHasThem() throws {
        for (type, payload) in controls {
            let found = try #require(read(Sample(payload, type: type, distance: 0).frame), "type \(type)")
            #expect(found.payload == payload && found.header.type == type && found.coding == .fields)
            if type != FrameType.metadata { #expect(Int(found.header.length) == payload.count) }
        }
        for (type, payload) in oddControls {
            let found = try #require(read(Sample(payload, type: type, distance: 0).frame), "type \(type)")
            #expect(found.payload == payload && found.header.type == type && found.coding == .raw)
        }
    }

    /// The largest metadata that there can be must fit wherever it is put, of whatever records it consists.
    @Test func fullMetadataComesBackWithinMostBytes() throws {
        for (kind, key, value) in [
            (0, 1, 0), (0, 255, 0), (0, 4, 120), (0, 8, 16384), (0, 200, 65000), (3, 8, 0), (65535, 8, 0), (65535, 4, 4),
            (300, 8, 128),
        ] {
            let record = metadataRecord(UInt16(kind), [UInt8](repeating: 1, count: key), [UInt8](repeating: 2, count: value))
            let count = MetadataRecords.capacity / record.count
            let payload = little([1]) + (0..<count).flatMap { _ in record }
            let found = try #require(read(Sample(payload, type: FrameType.metadata).frame), "\(kind) \(key) \(value)")
            #expect(found.payload == payload && found.coding == .fields)
            #expect(Int(found.header.length) <= MetadataRecords.largestPayload)
        }
    }

    /// The bytes of docs/FORMAT.md: what was written once must be written and read so for ever.
    @Test func theSpellingIsSettled() {
        let sample = Sample(
            Array("hello".utf8), flags: FrameHeader.givenTimeFlag, index: 1, term: 1, timestamp: 1_700_000_000_000_000_000)
        let spelled: [UInt8] =
            [
                0x27, 0x0d, 0x05, 0x99, 0x04, 0xf4, 0x10, 1, 0x18, 1, 0x32, 1, 0, 0x3a, 0x19, 8, 1, 0x11, 0, 0, 0x2a, 0x36, 0xfe,
                0x9c,
            ]
            + [0x97, 0x17, 0x18, 1, 0x35, 0x86, 0xa6, 0x10, 0x36, 0x3a, 5] + Array("hello".utf8)
        view(sample.payload) { payload in
            let measure = ProtoFrame.measure(sample.header, payload)
            let frame = filled(measure.frameSize) {
                let check = ProtoFrame.encode(sample.header, payload, measure, to: $0, at: 0, salt: 0xce49_d6ca, offset: 4160)
                #expect(check == 0xf404_9905)
            }
            #expect(frame == spelled)
        }
    }

    // ---- What must not verify

    @Test func anyFlippedBitIsFound() {
        var samples = (controls + oddControls).map { Sample($0.1, type: $0.0) }
        samples += [0, 1, 100, 127, 128, 300].map { Sample([UInt8](repeating: 0x5c, count: $0), flags: 0xff) }
        for sample in samples {
            var frame = sample.frame
            for bit in 0..<frame.count * 8 {
                frame[bit / 8] ^= 1 << (bit % 8)
                if read(frame) != nil { Issue.record("type \(sample.header.type): bit \(bit) went unseen") }
                frame[bit / 8] ^= 1 << (bit % 8)
            }
            for count in 0..<frame.count where read(Array(frame[..<count])) != nil { Issue.record("\(count) bytes counted") }
        }
    }

    @Test func aFrameVerifiesOnlyAtItsPlaceAndUnderItsSalt() {
        view(Sample(Array("hello".utf8)).frame) { frame in
            for place in stride(from: UInt64(0), to: 1 << 16, by: 8) {
                #expect(ProtoFrame.outline(frame, salt: salt, offset: place)?.verifies(frame) == (place == offset))
            }
            for other in [0, 1, ~salt] as [UInt32] {
                #expect(ProtoFrame.outline(frame, salt: other, offset: offset)?.verifies(frame) == false)
            }
        }
    }

    /// What follows a record in the window must not matter, and too short a beginning must be no frame, never a trap.
    @Test func aBeginningOfOutlineSizeTellsEverything() throws {
        for size in [0, 1, 9000, 1 << 21] {
            var sample = Sample(
                [UInt8](repeating: 0xff, count: size), flags: 0xff, index: .max, term: .max, timestamp: .min, distance: 255)
            sample.header.size = .max
            let frame = sample.frame
            let whole = try #require(view(frame) { ProtoFrame.outline($0, salt: salt, offset: offset) })
            #expect(whole.bodyAt <= ProtoFrame.outlineSize)
            for count in 0...min(frame.count, 300) {
                let part = view(Array(frame[..<count])) { ProtoFrame.outline($0, salt: salt, offset: offset) }
                #expect((part != nil) == (count >= whole.bodyAt) && (part == nil || part?.frameSize == frame.count))
            }
        }
    }

    @Test func zerosAreNoFrame() {
        for count in [0, 7, 8, 128, 4096] {
            #expect(view([UInt8](repeating: 0, count: count)) { ProtoFrame.outline($0, salt: 0, offset: 0) } == nil)
        }
    }

    /// Records whose check is right, but which no writer writes.
    @Test func onlyTheOneSpellingIsTaken() {
        let index: [UInt8] = [0x10, 7]
        let crc: [UInt8] = [0x35, 1, 2, 3, 4]
        func entry(_ fields: [UInt8]) -> [UInt8] { field(7, fields) }
        let good = entry([8, 2] + crc + field(7, [65]))
        #expect(read(sealed(index, good))?.payload == [65] && read(sealed([], entry([])))?.payload == [])
        let heads: [[UInt8]] = [
            [0x10, 0], [0x10, 0x87, 0], [0x18, 1, 0x10, 7], [0x10, 7, 0x10, 7], [0x10], [0x18, 0x80, 2], [0x20, 2], [0x20, 0],
            [0x28, 1],
            [0x28, 2], [0x28, 0x80, 2], [0x10] + [UInt8](repeating: 0xff, count: 9) + [2],
            [0x10] + [UInt8](repeating: 0xff, count: 11),
            [0x12, 1, 7], [0x15, 7, 0, 0, 0], [0x52, 0], [0x48, 1], [0x13], [0x14], [0x00, 1],
        ]
        for head in heads { #expect(read(sealed(head, good)) == nil, "\(head)") }
        let entries: [[UInt8]] = [
            [8, 0], [8, 0x80, 0], field(7, []), crc + [8, 2], [0x35, 0, 0, 0, 0], [0x11] + little([0]),
            [0x18, 0],
            [0x18, 2], [0x20, 0], [0x20, 4], [0x28, 9], [0x20, 1, 0x28, 0], [0x20, 1, 0x28, 0xff, 0xff, 0xff, 0xff, 0x1f],
            [0x35, 1, 2, 3],
            [7 << 3 | 2, 2, 65], [7 << 3 | 2, 0x81, 0, 65], [0x3a], [0x38, 1], [8],
        ]
        for fields in entries { #expect(read(sealed(index, entry(fields))) == nil, "\(fields)") }
        #expect(read(sealed(index, entry([0x20, 1, 0x28, 9])))?.header.size == 9)
        for kind in [
            [7 << 3 | 2, 9, 8, 2], [7 << 3 | 2, 0x82, 0, 8, 2], [], [0x38, 1], field(10, []), field(15, []), field(16, []),
        ] as [[UInt8]] {
            #expect(read(sealed(index, kind)) == nil, "\(kind)")
        }
        let others: [[UInt8]] = [
            [], [8, 0], [8, 1], [8, 0x80, 2], [8, 9, 8, 9], [8, 9] + field(2, []), field(2, [1]), [8, 5] + field(2, little([1])),
            [8, 6] + field(2, [0]), [8, 6], [8, 3] + field(2, little([1, 2])), [8, 7] + field(2, metadataPayload),
        ]
        for fields in others { #expect(read(sealed(index, field(14, fields))) == nil, "\(fields)") }
        #expect(read(sealed(index, field(14, [8, 9] + field(2, [1]))))?.header.type == 9)
    }

    @Test func controlFieldsHaveOneSpelling() {
        let begin: [UInt8] = field(3, []) + field(5, [])
        for (kind, body, isGood) in [
            (8, begin, true), (8, [], false), (8, field(3, []), false), (8, field(5, []) + field(3, []), false),
            (8, [8, 0] + begin, false),
            (8, begin + [0x48, 1], true), (8, begin + [0x48, 0], false), (8, begin + [0x50, 1], true),
            (8, begin + [0x50, 1, 0x48, 1], false),
            (8, field(3, [8, 1, 8, 1]) + field(5, []), false), (9, [8, 1], true), (9, [8, 1, 8, 1], false),
            (9, [0x11] + little([0]), false),
            (11, [8, 1], true), (11, [8, 0], false), (11, [0x0a, 0], false), (12, field(1, [0]), true), (12, field(1, []), false),
            (12, field(1, [1]), false), (12, field(1, [0, 1]), false), (13, [8, 1] + field(2, []), true),
            (13, field(2, []) + [8, 1], false),
            (13, [8, 1] + field(2, [8, 0]), false), (13, [8, 1] + field(2, field(3, [1]) + field(2, [1])), false),
            (13, [8, 1] + field(2, [8, 0x80, 0x80, 4]), false), (13, [8, 1] + field(2, [8, 0xff, 0xff, 3]), true),
            (13, [8, 1] + field(2, field(2, [UInt8](repeating: 1, count: 65536))), false), (13, [8, 1, 0x12, 5], false),
        ] as [(UInt8, [UInt8], Bool)] {
            #expect((read(sealed([0x10, 7], field(kind, body))) != nil) == isGood, "\(kind) \(body.prefix(40))")
        }
    }

    @Test func paddingHasOneSize() {
        let kind = field(7, [8, 2])
        let good = sealed([0x10, 7], kind)
        #expect(read(good) != nil)
        for padding in [0] + Array(2..<40) {
            let record = sealed([0x10, 7], kind, padding: padding)
            #expect((read(record) != nil) == (record == good), "\(padding)")
        }
        // Zeros only, once, and in its place.
        let least = checked([0x0d, 0, 0, 0, 0, 0x10, 7] + field(6, [0, 0]) + kind)
        #expect(read(least)?.header.term == 2 && least == good)
        #expect(read(checked([0x0d, 0, 0, 0, 0, 0x10, 7] + field(6, [0, 1]) + kind)) == nil)
        #expect(read(checked([0x0d, 0, 0, 0, 0, 0x10, 7] + field(6, []) + field(6, []) + kind)) == nil)
        #expect(read(sealed([], field(6, [0]) + [0x10, 7] + kind)) == nil)
    }

    /// What a newer minor version appends must not make its logs unreadable.
    @Test func fieldsWithHigherNumbersArePassedOver() throws {
        let more: [UInt8] = [0x82, 0x01, 3, 1, 2, 3, 0x88, 0x01, 5]
        let inner: [UInt8] = [0x40, 9] + field(9, Array("more".utf8)) + [0x51] + little([1]) + [0x5d, 1, 2, 3, 4]
        for (kind, body, payload) in [
            (7, [8, 2] + field(7, Array("hello".utf8)), Array("hello".utf8)), (7, [8, 2], []),
            (7, field(7, [UInt8](repeating: 9, count: 5000)), [UInt8](repeating: 9, count: 5000)),
            (14, [8, 9] + field(2, [1, 2]), [1, 2]), (14, [8, 9], []),
        ] as [(UInt8, [UInt8], [UInt8])] {
            #expect(try #require(read(sealed([0x10, 7], field(kind, body) + more))).payload == payload)
            #expect(try #require(read(sealed([0x10, 7], field(kind, body + inner)))).payload == payload)
            #expect(try #require(read(sealed([0x10, 7], field(kind, body + inner) + more))).payload == payload)
        }
        for (type, payload) in controls {
            let frame = Sample(payload, type: type).frame
            let outline = try #require(view(frame) { ProtoFrame.outline($0, salt: salt, offset: offset) })
            let body = Array(frame[outline.bodyAt..<outline.bodyAt + outline.bodyCount])
            let later: [UInt8] = [0x78, 1]  // field 15
            let found = try #require(read(sealed([0x10, 7], field(type + 6, body + later) + more)), "type \(type)")
            #expect(found.payload == payload)
            #expect(read(sealed([0x10, 7], field(type + 6, body + [0x7f, 1]))) == nil)
        }
    }

    @Test func aSizeBeyondAllBoundsIsNoFrame() {
        let tail: [UInt8] = [0x0d, 1, 2, 3, 4, 0x10, 7]
        func outline(_ prefix: [UInt8], _ rest: [UInt8]) -> FrameOutline? {
            view(prefix + tail + rest) { ProtoFrame.outline($0, salt: salt, offset: offset) }
        }
        // A frame of 2^30 bytes of payload is one, of a byte more it is none, whatever its record says of its own length.
        for size in [0x3fff_ff00, 0x4000_0000, 0x4000_0001, 0x7fff_ff00, 0xffff_ffff, .max - 1000] as [Int] {
            for pad in 0..<24 where pad != 1 {
                let padding = pad == 0 ? [] : field(6, [UInt8](repeating: 0, count: pad - 2))
                let data = [UInt8(7 << 3 | 2)] + varint(size)
                let kind = [UInt8(7 << 3 | 2)] + varint(size &+ data.count) + data
                let message = tail.count + padding.count + kind.count
                let found = outline(varint(message + size), padding + kind)
                #expect(found == nil || size <= 1 << 30 && found?.bodyCount == size)
            }
        }
        for prefix in [[0], [4], [0x80, 0], [0x87, 0], [0xff, 0xff, 0xff, 0xff, 0x0f], [0xff, 0xff, 0xff, 0xff, 0xff, 0x01]]
            as [[UInt8]]
        {
            #expect(outline(prefix, field(7, [8, 2])) == nil, "\(prefix)")
        }
    }

    /// Nothing that stands on a disk may trap: mutated records, with a check that is right, so that the body is looked at, too.
    @Test func noBytesTrap() {
        var chance = Chance(4711)
        let samples =
            (controls + oddControls).map { Sample($0.1, type: $0.0) }
            + [0, 1, 30, 90, 127, 128, 300].map { Sample([UInt8](repeating: 0x5c, count: $0), flags: 0x13) }
        let records = samples.map(\.frame)
        let spice: [UInt8] = [
            0, 1, 2, 7, 8, 0x0a, 0x0d, 0x10, 0x12, 0x1a, 0x22, 0x32, 0x3a, 0x42, 0x4a, 0x62, 0x6a, 0x72, 0x7f, 0x80, 0xff,
        ]
        var verified = 0
        for _ in 0..<100_000 {
            var message = Array(records[chance.below(records.count)].drop { $0 != 0x0d })
            for _ in 0...chance.below(3) {
                let at = chance.below(message.count)
                switch chance.below(4) {
                case 0: message[at] = spice[chance.below(spice.count)]
                case 1: message[at] ^= 1 << UInt8(chance.below(8))
                case 2: if message.count > 6 { message.remove(at: at) }
                default: message.insert(spice[chance.below(spice.count)], at: at)
                }
            }
            let record = checked(message)
            if read(record) != nil { verified += 1 }
            view(record) { bytes in
                guard let outline = ProtoFrame.outline(bytes, salt: salt, offset: offset), outline.bodyAt <= bytes.count else {
                    return
                }
                #expect(outline.bodyAt + outline.bodyCount <= outline.frameSize && outline.frameSize % 8 == 0)
                let body = bytes.slice(outline.bodyAt, min(outline.bodyCount, bytes.count - outline.bodyAt))
                for room in [Int(outline.header.length), chance.below(100)] where room < 1 << 20 {
                    _ = filled(room) { _ = ProtoFrame.decodeBody(outline, body, to: $0) }
                }
            }
        }
        #expect(verified > 1000, "the mutations never reach a body")
        for _ in 0..<20_000 {
            let bytes = (0..<chance.below(300)).map { _ in spice[chance.below(spice.count)] }
            #expect(read([UInt8(chance.below(128)), 0x0d] + bytes) == nil)
        }
    }

    /// A room that is too small is an answer, not a trap.
    @Test func tooSmallARoomIsRefused() throws {
        for sample in (controls + oddControls).map({ Sample($0.1, type: $0.0) }) + [Sample([1, 2, 3])] {
            view(sample.frame) { frame in
                let outline = ProtoFrame.outline(frame, salt: salt, offset: offset)!
                for room in 0..<sample.payload.count {
                    _ = filled(room) { #expect(ProtoFrame.decodeBody(outline, outline.body(frame), to: $0) == nil) }
                }
            }
        }
    }

    @Test func paddingFillsAnyGap() throws {
        for index in [0, 1, 1 << 20, .max] as [UInt64] {
            for gap in Array(stride(from: 8, to: 1000, by: 8)) + Array(stride(from: 16_000, to: 17_000, by: 8)) {
                guard let length = ProtoFrame.paddingLength(filling: gap, index: index) else {
                    #expect(gap < 32)
                    continue
                }
                let sample = Sample([UInt8](repeating: 0, count: length), type: FrameType.padding, index: index, distance: 0)
                #expect(sample.frame.count == gap)
            }
        }
    }

    // ---- The header

    private let header = SegmentHeader(
        logID: LogID(high: 0x0706_0504_0302_0100, low: 0x0f0e_0d0c_0b0a_0908), id: 3, salt: salt, created: -5)

    private func code(_ block: Bytes) -> ErrorCode? {
        do throws(LogError) {
            _ = try ProtoHeader.decode(block, file: .segment(3))
            return nil
        } catch { return error.code }
    }

    @Test func aHeaderComesBackAndAnyFlippedBitIsDamage() throws {
        var block = filled(4096) { ProtoHeader.encode(header, to: $0) }
        let found = try view(block) { try ProtoHeader.decode($0, file: .segment(3)) }
        #expect(found.logID == header.logID && found.id == 3 && found.salt == salt && found.created == -5)
        #expect(view(block) { ProtoHeader.isOne($0) && !JSONHeader.isOne($0) })
        for bit in 0..<4096 * 8 {
            block[bit / 8] ^= 1 << (bit % 8)
            if view(block, code) != .corrupt { Issue.record("bit \(bit) went unseen") }
            block[bit / 8] ^= 1 << (bit % 8)
        }
        view(block) { block in
            for count in 0..<4096 where code(block.slice(0, count)) != .corrupt { Issue.record("\(count) bytes counted") }
        }
    }

    @Test func aNewerHeaderIsToldApartFromDamage() throws {
        // The fields from the major version on, without the zeros.
        func code(_ fields: [UInt8]) -> ErrorCode? {
            var block = filled(4096) { ProtoHeader.encode(header, to: $0) }
            let zeros = 4096 - 18 - fields.count - 3
            block.replaceSubrange(18..., with: fields + field(15, [UInt8](repeating: 0, count: zeros)))
            let start = view(Array(block[..<3])) { $0.checksum() }
            let check = view(Array(block[7...])) { $0.checksum(from: start) }
            for i in 0..<4 { block[3 + i] = UInt8(check >> (i * 8) & 255) }
            return view(block, self.code)
        }
        let rest: [UInt8] = [0x20, 0x80, 0x20] + field(5, Array(0...15)) + [0x30, 3, 0x3d, 1, 2, 3, 4]
        #expect(code([0x10, 1] + rest) == nil)
        #expect(code([0x10, 2] + rest) == .version && code([0x10, 2, 0x7f, 0xff]) == .version && code([]) == .version)
        #expect(code([0x10, 1, 0x18, 7] + rest + field(9, [1])) == nil && code([0x10, 1] + rest + field(9, [1])) == .corrupt)
        #expect(code([0x10, 1, 0x18, 7] + rest + [0x7f]) == .corrupt)
        #expect(code([0x10, 1, 0x20, 1] + field(5, Array(0...15))) == .version)
        #expect(code([0x10, 1, 0x20, 0x80, 0x20] + field(5, Array(0...14))) == .corrupt)
        #expect(code([0x10, 1, 0x18, 0] + rest) == .corrupt)
    }

    /// For Tests/format/test_proto.py: a segment of every kind of record and size.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["WALRUS_PROTO_SEGMENT"] != nil))
    func aSegmentForOtherPeoplesSoftware() throws {
        let path = try #require(ProcessInfo.processInfo.environment["WALRUS_PROTO_SEGMENT"])
        var file = filled(4096) { ProtoHeader.encode(header, to: $0) }
        var samples = (controls + oddControls).map { Sample($0.1, type: $0.0, index: 1, distance: 0) }
        var chance = Chance(5)
        for (number, size) in (sizes + Array(60..<140) + Array(16_300..<16_400)).enumerated() {
            let payload = (0..<size).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
            samples.append(
                Sample(
                    payload, flags: UInt8(number & 3), index: UInt64(number) + 1, term: UInt64(number / 10),
                    timestamp: 1_700_000_000_000_000_000 + Int64(number), distance: UInt8(number & 255)))
        }
        for sample in samples { file += sample.frame(at: UInt64(file.count)) }
        try Data(file).write(to: URL(fileURLWithPath: path))
    }
}
