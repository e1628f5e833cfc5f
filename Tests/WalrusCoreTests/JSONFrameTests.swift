// JSONFrameTests.swift - frames as lines of JSON: what comes back, what verifies, and what must not
//
// Foundation's parser stands for other people's: each line that is written has to be JSON to it, and mean the same.

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

    init(_ text: String) { self.init(Array(text.utf8)) }

    var line: [UInt8] {
        view(payload) { payload in
            let measure = JSONFrame.measure(header, payload)
            return filled(measure.frameSize) { target in
                let check = JSONFrame.encode(header, payload, measure, to: target, at: 0, salt: salt, offset: offset)
                let outline = JSONFrame.outline(target.bytes, salt: salt, offset: offset)
                #expect(outline?.checksum == check && outline?.coding == measure.coding)
                #expect(outline?.bodyAt == measure.bodyAt && outline?.bodyCount == measure.bodyCount)
                #expect(outline?.frameSize == measure.frameSize && measure.frameSize % 8 == 0)
            }
        }
    }
}

private struct Found {
    var header: FrameHeader
    var payload: [UInt8]
    var coding: BodyCoding
}

/// What a reader finds at the beginning of `bytes`, if it is a frame that verifies.
private func read(_ bytes: [UInt8]) -> Found? {
    view(bytes) { bytes in
        let prefix = bytes.slice(0, min(bytes.count, JSONFrame.outlineSize))
        guard let outline = JSONFrame.outline(prefix, salt: salt, offset: offset), outline.frameSize <= bytes.count,
            outline.verifies(bytes)
        else { return nil }
        var length: Int? = nil
        let room = filled(Int(outline.header.length)) {
            length = JSONFrame.decodeBody(outline, outline.body(bytes), to: $0)
        }
        guard let length else { return nil }
        return Found(header: outline.header, payload: Array(room[..<length]), coding: outline.coding)
    }
}

private let base64URL = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

/// A number in base64url, with as few digits as there are, but so many at least.
private func digits(_ number: Int, atLeast count: Int = 1) -> [UInt8] {
    let rest = number >> 6
    return (rest > 0 || count > 1 ? digits(rest, atLeast: count - 1) : []) + [base64URL[number & 63]]
}

/// A line with its check and its size made right again, so that only its form can be wrong. Its durable distance is 1.
private func resealed(_ text: String, body: Int) -> [UInt8] {
    var line = Array(text.utf8)
    line.replaceSubrange(13..<line[13...].firstIndex(of: 0x22)!, with: digits(body))
    while (line.count + 1) % 8 != 0 { line.append(0x20) }
    line.append(0x0a)
    let check = view(Array(line[13...]) + [1]) { $0.checksum(from: FrameHeader.seed(salt: salt, offset: offset)) }
    line.replaceSubrange(6..<13, with: digits(Int(check) << 10 | 1 << 2, atLeast: 7))
    return line
}

private func json(_ line: [UInt8]) throws -> [String: Any] {
    #expect(line.last == 0x0a && !line.dropLast().contains(0x0a), "a record is one line")
    return try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
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
    (FrameType.begin, beginPayload), (FrameType.begin, fullBeginPayload), (FrameType.run, little([4, 1 << 60])),
    (FrameType.run, little([.max, .max])), (FrameType.watermark, little([0])), (FrameType.watermark, little([.max])),
    (FrameType.padding, []), (FrameType.padding, [UInt8](repeating: 0, count: 77)), (FrameType.metadata, metadataPayload),
    (FrameType.metadata, little([1])),
]

/// Payloads that the names of their fields cannot say.
private let oddControls: [(UInt8, [UInt8])] = [
    (FrameType.begin, [1, 2, 3]), (FrameType.run, []), (FrameType.watermark, Array("seven".utf8)), (FrameType.padding, [0, 1]),
    (FrameType.seal, little([1, 2, 3, 4, 5, 6, 7, 8])), (FrameType.metadata, [1, 2, 3]),
    (FrameType.metadata, metadataPayload + [0]), (FrameType.metadata, metadataPayload + little([0xff])),
    (FrameType.metadata, little([1]) + Array(metadataRecord(0, [65], [66]).dropLast()) + [1]), (9, Array("later".utf8)),
    (200, [0xff]), (255, []),
]

private let notUTF8: [[UInt8]] = [
    [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x41], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf], [0xe1, 0x80],
    [0xe1, 0x80, 0xc0], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80], [0xf0, 0x80, 0x80, 0x80],
    [0xf0, 0x8f, 0xbf, 0xbf], [0xf1, 0x80, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xfe], [0xff],
]

private let texts: [String] = [
    "", "a", "hello", "a longer text without anything in it that has to be escaped", "a \"quote\" and a \\ back\\\\slash",
    "tab\tnewline\nreturn\rfeed\u{c}bell\u{8}", "nul \u{0} and \u{1f} among a lot of other characters, \u{7f} too",
    "\u{2028}\u{2029}\u{85}", "schön für 雨の日 🦭 and \u{10ffff}\u{10000}\u{ffff}\u{e000}\u{d7ff}\u{800}\u{7ff}\u{80}", "/",
    "{\"looks\":\"like JSON\",\"c\":\"Xw4RqgEF\"}",
]

@Suite struct JSONFrameTests {
    // ---- What comes back

    @Test func textComesBackAndIsTheSameToOtherParsers() throws {
        for text in texts {
            for shift in 0..<9 {
                let text = String(repeating: "x", count: shift) + text
                let sample = Sample(text)
                let found = try #require(read(sample.line), "\(text)")
                #expect(found.coding == .text && found.payload == sample.payload)
                #expect(try json(sample.line)["data"] as? String == text)
            }
        }
    }

    /// A log of small documents must be readable, whatever the share of their quotes.
    @Test func quotesAndLineEndsAloneAreAlwaysText() throws {
        for text in ["\"", "\"\"\"", "{\"a\":\"b\"}", "\n\n\n", "\\", "\r\n\t\u{8}\u{c}"] {
            #expect(try json(Sample(text).line)["data"] as? String == text)
        }
    }

    @Test func whatIsNoTextComesBackFromBase64() throws {
        var payloads = notUTF8
        for bytes in notUTF8 {
            for shift in [1, 5, 7, 8, 9, 23] {
                payloads.append([UInt8](repeating: 0x61, count: shift) + bytes)
                payloads.append([UInt8](repeating: 0x61, count: shift) + bytes + [UInt8](repeating: 0x62, count: shift))
            }
        }
        payloads.append(Array(0...255))
        payloads.append([UInt8](repeating: 0, count: 100))
        for payload in payloads {
            let line = Sample(payload).line
            let found = try #require(read(line), "\(payload)")
            #expect(found.coding == .base64 && found.payload == payload)
            #expect(Data(base64Encoded: try #require(try json(line)["data_base64"] as? String)) == Data(payload))
        }
    }

    /// Would miss a vector path that mistakes a byte for its neighbour, at any place in the word.
    @Test func randomBytesOfEveryKindComeBack() throws {
        var chance = Chance(1)
        let alphabets: [[UInt8]] = [
            Array(0...255), Array(0x20...0x7e), Array("\"\\\n\u{1f}ab".utf8), Array("aé雨🦭\"".utf8), Array(0x7a...0x85),
        ]
        for round in 0..<4000 {
            let alphabet = alphabets[round % alphabets.count]
            let payload = (0..<chance.below(70)).map { _ in alphabet[chance.below(alphabet.count)] }
            let line = Sample(payload).line
            let found = try #require(read(line), "\(payload)")
            #expect(found.payload == payload)
            let object = try json(line)
            if let text = object["data"] as? String {
                #expect(Array(text.utf8) == payload)
            } else {
                #expect(Data(base64Encoded: try #require(object["data_base64"] as? String)) == Data(payload))
                let isText = String(validating: payload, as: UTF8.self) != nil
                #expect(!isText || payload.contains { $0 < 0x20 || $0 == 0x22 || $0 == 0x5c }, "\(payload) is text")
            }
        }
    }

    /// The bytes of docs/FORMAT.md: what was written once must be written and read so for ever.
    @Test func theSpellingIsSettled() {
        let line =
            "{\"c\":\"BzFlLwEF\",\"index\":1,\"term\":1,\"timestamp\":\"2023-11-14T22:13:20.000000000Z\",\"flags\":[\"given_time\"],"
            + "\"checksum\":\"3610a686\",\"data\":\"hello\"}   \n"
        let sample = Sample(
            Array("hello".utf8), flags: FrameHeader.givenTimeFlag, index: 1, term: 1, timestamp: 1_700_000_000_000_000_000)
        view(sample.payload) { payload in
            let measure = JSONFrame.measure(sample.header, payload)
            let written = filled(measure.frameSize) {
                let check = JSONFrame.encode(sample.header, payload, measure, to: $0, at: 0, salt: 0xce49_d6ca, offset: 4448)
                #expect(check == 0x0731_652f)
            }
            #expect(String(decoding: written, as: UTF8.self) == line)
        }
    }

    @Test func everyFieldOfAHeaderComesBack() throws {
        for flags in UInt8.min...UInt8.max {
            for type in [FrameType.entry, FrameType.metadata, FrameType.watermark, 9, 255] {
                var sample = Sample(little([12]), type: type, flags: flags, index: 1, distance: flags)
                sample.header.size = sample.header.codec == 0 ? sample.header.size : .max
                let found = try #require(read(sample.line), "flags \(flags), type \(type)")
                #expect(found.header.flags == flags && found.header.type == type && found.header.durableDistance == flags)
                #expect(found.payload == sample.payload && (found.header.codec == 0 || found.header.size == .max))
                _ = try json(sample.line)
            }
        }
        for number in [0, 1, 9, 10, 99, 100, 1 << 53, .max - 1, .max] as [UInt64] {
            for time in [0, -1, .min, .max, 1_795_532_400_123_456_789] as [Int64] {
                let found = try #require(read(Sample([65], index: number, term: number, timestamp: time).line))
                #expect(found.header.index == number && found.header.term == number && found.header.timestamp == time)
                #expect(found.header.checksum == view([65]) { $0.checksum() } && found.header.length == 1)
            }
        }
    }

    @Test func controlFramesComeBackAsBinaryHasThem() throws {
        for (type, payload) in controls {
            let line = Sample(payload, type: type, distance: 0).line
            let found = try #require(read(line), "type \(type)")
            #expect(found.payload == payload && found.header.type == type && found.coding == .fields)
            #expect(try json(line)["type"] == nil)
            if type != FrameType.metadata { #expect(Int(found.header.length) == payload.count) }
        }
        let begin = try #require(
            try json(Sample(beginPayload, type: FrameType.begin, index: 1).line)["begin"] as? [String: Any])
        #expect((begin["run"] as? [String: Any])?["time_base"] as? String == "2026-11-24T15:00:00.000000000Z")
        let metadata = try #require(
            try json(Sample(metadataPayload, type: FrameType.metadata).line)["metadata"] as? [String: Any])
        let records = try #require(metadata["records"] as? [[String: Any]])
        #expect(
            records.count == 4 && records[0]["key"] as? String == "term" && records[0]["value_base64"] as? String == "AwAA/w==")
        #expect(records[1]["key"] as? String == "v\"ote" && records[2]["key_base64"] as? String == "//4=")
        #expect(records[3]["kind"] as? Int == 9)
    }

    @Test func whatNamesCannotSayComesBackAsData() throws {
        for (type, payload) in oddControls {
            let line = Sample(payload, type: type).line
            let found = try #require(read(line), "type \(type)")
            #expect(found.payload == payload && found.header.type == type && found.coding != .fields)
            #expect(try json(line)["type"] as? Int == Int(type))
        }
    }

    @Test func paddingFillsEveryGapExactly() throws {
        for index in [1, 123_456_789, .max] as [UInt64] {
            let least = try #require((0..<30).map { $0 * 8 }.first { JSONFrame.paddingLength(filling: $0, index: index) != nil })
            #expect(least <= 72)
            for gap in stride(from: least, through: 3 * 4096, by: 8) {
                let length = try #require(JSONFrame.paddingLength(filling: gap, index: index))
                let sample = Sample([UInt8](repeating: 0, count: length), type: FrameType.padding, index: index, distance: 0)
                #expect(sample.line.count == gap)
            }
        }
    }

    /// The promise: at most 128 bytes beyond the escaped text where size, index and term have 11 digits in all.
    @Test func anEntryCosts128BytesBeyondItsText() {
        for (index, term) in [(9_999_999, 99), (99_999_999, 9), (999_999, 999), (0, 99_999_999)] as [(UInt64, UInt64)] {
            var costs: Set<Int> = []
            for count in 0..<4096 {
                let text = [UInt8](repeating: 0x61, count: count)
                let sample = Sample(text, index: index, term: term, distance: 255)
                let measure = view(text) { JSONFrame.measure(sample.header, $0) }
                costs.insert(measure.frameSize - measure.bodyCount)
                #expect((measure.bodyAt + count + 3 + 7) & ~7 == measure.frameSize)
                #expect(measure.bodyAt + 3 == 110 + (count < 64 ? 1 : 2) + "\(index)\(term)".utf8.count)
            }
            #expect(costs.max() == 128)
        }
    }

    // ---- What verifies

    @Test func aFlippedBitAnywhereIsFound() {
        var samples = (controls + oddControls).map { Sample($0.1, type: $0.0, flags: 1, distance: 0) }
        samples += texts.map { Sample($0) } + notUTF8.map { Sample($0) }
        samples.append(Sample(Array("compressed".utf8), flags: 0x13))
        for sample in samples {
            var line = sample.line
            #expect(read(line) != nil)
            for bit in 0..<line.count * 8 {
                line[bit / 8] ^= 1 << (bit % 8)
                if read(line) != nil { Issue.record("bit \(bit) of \(String(decoding: line, as: UTF8.self))") }
                line[bit / 8] ^= 1 << (bit % 8)
            }
        }
    }

    /// Check and durable distance share a digit. With the distance first in the check, a changed digit could go unseen in a line of
    /// the wrong length; as it is, it cannot, and whichever way one is changed must be found.
    @Test func anyOtherDigitOfTheCheckIsFound() {
        for count in 0..<600 {
            var line = Sample([UInt8](repeating: 0x61, count: count), distance: UInt8(count & 255)).line
            for at in 6..<13 {
                let digit = line[at]
                for other in UInt8.min...UInt8.max where other != digit {
                    line[at] = other
                    if read(line) != nil { Issue.record("\(other) in place of \(digit) at \(at) of \(count)") }
                }
                line[at] = digit
            }
        }
    }

    /// The two bits behind the distance are 0: in no other spelling does a line verify.
    @Test func theSpareBitsAreZero() throws {
        var line = Sample("hello").line
        let last = try #require(base64URL.firstIndex(of: line[12]))
        #expect(last & 3 == 0 && read(line) != nil)
        for spare in 1...3 {
            line[12] = base64URL[last | spare]
            #expect(read(line) == nil)
        }
    }

    @Test func aByteIsAddedToAChecksumAndTakenOff() {
        var chance = Chance(5)
        for byte in UInt8.min...UInt8.max {
            for start in [0, 1, .max, 1 << 31, UInt32(truncatingIfNeeded: chance.next())] as [UInt32] {
                let sum = view([byte]) { $0.checksum(from: start) }
                #expect(ChecksumStep.adding(byte, to: start) == sum && ChecksumStep.removing(byte, from: sum) == start)
            }
        }
    }

    @Test func aFrameVerifiesOnlyAtItsPlaceAndUnderItsSalt() {
        let line = Sample("hello").line
        view(line) { line in
            for place in stride(from: UInt64(0), to: 1 << 16, by: 8) {
                #expect(JSONFrame.outline(line, salt: salt, offset: place)?.verifies(line) == (place == offset))
            }
            for other in [0, 1, ~salt] as [UInt32] {
                #expect(JSONFrame.outline(line, salt: other, offset: offset)?.verifies(line) == false)
            }
        }
    }

    /// What follows a record in the window must not matter, and too short a beginning must be no frame, never a trap.
    @Test func aBeginningOfOutlineSizeTellsEverything() throws {
        for payload in [[], [UInt8](repeating: 0x22, count: 9000), [UInt8](repeating: 0xff, count: 9000)] {
            var sample = Sample(
                payload, flags: 0xff, index: .max, term: .max, timestamp: .min, distance: 255)
            sample.header.size = .max
            let line = sample.line
            let whole = try #require(view(line) { JSONFrame.outline($0, salt: salt, offset: offset) })
            #expect(whole.bodyAt <= JSONFrame.outlineSize)
            for count in 0...min(line.count, 300) {
                let part = view(Array(line[..<count])) { JSONFrame.outline($0, salt: salt, offset: offset) }
                #expect((part != nil) == (count >= whole.bodyAt) && (part == nil || part?.frameSize == line.count))
            }
        }
    }

    /// Lines whose check is right, but which no writer writes.
    @Test func onlyTheOneSpellingIsTaken() throws {
        let head =
            "{\"c\":\"AAAAAAEA\",\"index\":7,\"term\":2,\"timestamp\":\"2026-11-24T15:00:00.123456789Z\",\"checksum\":\"3610a686\""
        #expect(read(resealed(head + ",\"data\":\"hello\"}", body: 5))?.payload == Array("hello".utf8))
        let bodies = [
            "\\/", "\\u0041", "\\u000a", "\\u000A", "\\u001F", "\\u007f", "\\x41", "\\", "\\u00", "\\u0020", "\\U001f", "\t",
            "a\"b",
            "\u{1}", "\\u0022", "\\u005c",
        ]
        for body in bodies {
            for text in [body, "a lot more text before it " + body, body + " a lot more text behind it"] {
                #expect(read(resealed(head + ",\"data\":\"\(text)\"}", body: text.utf8.count)) == nil, "\(text)")
            }
        }
        #expect(read(resealed(head + ",\"data\":\"more text: \\u001f\"}", body: 17))?.payload.last == 0x1f)
        for text in ["", "aGVsbG8=", "/w=", "/x==", "/+9=", "/w==/w==", "/w\n=", "____", "=w==", "/===", "====", "A/==", "/w=a"] {
            #expect(read(resealed(head + ",\"data_base64\":\"\(text)\"}", body: text.utf8.count)) == nil, "\(text)")
        }
        #expect(read(resealed(head + ",\"data_base64\":\"/w==\"}", body: 4))?.payload == [0xff])
        // Text that gets more than twice as long.
        #expect(read(resealed(head + ",\"data\":\"\\u0001abc\"}", body: 9)) == nil)
        #expect(read(resealed(head + ",\"data\":\"\\u0001abcd\"}", body: 10)) != nil)
        #expect(read(resealed(head + ",\"data_base64\":\"AWFiY2Q=\"}", body: 8)) == nil)
    }

    @Test func numbersTimesAndFlagsHaveOneSpelling() {
        func entry(_ index: String, _ term: String, _ time: String, _ more: String, _ crc: String = "3610a686") -> [UInt8] {
            resealed(
                "{\"c\":\"AAAAAAEA\",\"index\":\(index),\"term\":\(term),\"timestamp\":\"\(time)\"\(more),\"checksum\":\"\(crc)\",\"data\":\"a\"}",
                body: 1)
        }
        let time = "2026-11-24T15:00:00.123456789Z"
        let big = "18446744073709551615"
        #expect(read(entry("1", "0", time, "")) != nil && read(entry(big, big, time, "")) != nil)
        #expect(read(entry("1", "0", time, ",\"flags\":[\"continues\",\"given_time\",4,8,64,128],\"codec\":3,\"size\":0")) != nil)
        for number in [
            "", "-1", "01", "00", "+1", "1.0", "1e3", " 1", "1 ", "18446744073709551616", "99999999999999999999", "0x1",
        ] {
            #expect(read(entry(number, "1", time, "")) == nil && read(entry("1", number, time, "")) == nil, "\(number)")
        }
        for time in [
            "2026-11-24T15:00:00.123456789z", "2026-11-24 15:00:00.123456789Z", "2026-02-29T15:00:00.123456789Z",
            "2026-13-01T15:00:00.123456789Z", "2026-00-01T15:00:00.123456789Z", "2026-01-00T15:00:00.123456789Z",
            "2026-04-31T15:00:00.123456789Z", "2026-11-24T24:00:00.123456789Z", "2026-11-24T15:60:00.123456789Z",
            "2026-11-24T15:00:60.123456789Z", "2026-11-24T15:00:00.12345678Z", "2262-04-11T23:47:16.854775808Z",
            "1677-09-21T00:12:43.145224191Z", "0000-01-01T00:00:00.000000000Z", "9999-12-31T23:59:59.999999999Z",
        ] {
            #expect(read(entry("1", "1", time, "")) == nil, "\(time)")
        }
        for more in [
            ",\"flags\":[]", ",\"flags\":[\"given_time\",\"continues\"]", ",\"flags\":[\"continues\",\"continues\"]",
            ",\"flags\":[1]", ",\"flags\":[2]", ",\"flags\":[16]", ",\"flags\":[0]", ",\"flags\":[12]", ",\"flags\":[256]",
            ",\"flags\":[4,]", ",\"flags\":[\"later\"]", ",\"codec\":\"none\",\"size\":1", ",\"codec\":1,\"size\":1",
            ",\"codec\":0,\"size\":1", ",\"codec\":4,\"size\":1", ",\"codec\":\"zlib\"",
            ",\"codec\":\"zlib\",\"size\":4294967296",
            ",\"codec\":\"zlib\",\"size\":1,\"flags\":[4]", ",\"new\":1",
        ] {
            #expect(read(entry("1", "1", time, more)) == nil, "\(more)")
        }
        #expect(read(entry("1", "1", time, "", "3610A686")) == nil)
        for type in ["0", "1", "2", "256", "05"] {
            let line = "{\"c\":\"AAAAAAEA\",\"index\":7,\"type\":\(type),\"data_base64\":\"/w==\"}"
            #expect((read(resealed(line, body: 4)) != nil) == (type == "2"), "\(type)")
        }
        // What has a name is not written as data.
        let line = "{\"c\":\"AAAAAAEA\",\"index\":7,\"type\":6,\"data_base64\":\"AAAA\"}"
        #expect(read(resealed(line, body: 4)) == nil)
        // Metadata has one spelling, too.
        for (body, isGood) in [
            ("{\"sequence\":1,\"records\":[{\"key\":\"a\",\"value\":\"b\"}]}", true),
            ("{\"sequence\":1,\"records\":[{\"kind\":0,\"key\":\"a\",\"value\":\"b\"}]}", false),
            ("{\"sequence\":1,\"records\":[{\"kind\":65536,\"key\":\"a\",\"value\":\"b\"}]}", false),
            ("{\"sequence\":1,\"records\":[{\"key_base64\":\"YQ==\",\"value\":\"b\"}]}", false),
            ("{\"sequence\":1,\"records\":[{\"key\":\"a\",\"value\":\"\\u0001\"}]}", false),
            ("{\"sequence\":1,\"records\":[{\"key\":\"a\",\"value\":\"b\"},]}", false),
            ("{\"sequence\":1,\"records\":[]} ", false), ("{\"sequence\":1,\"records\":[]", false),
            ("{\"sequence\":1,\"records\":[{\"key\":\"\(String(repeating: "k", count: 65536))\",\"value\":\"b\"}]}", false),
            ("{\"sequence\":1,\"records\":[{\"key\":\"\(String(repeating: "k", count: 65535))\",\"value\":\"b\"}]}", true),
        ] {
            let line = resealed("{\"c\":\"AAAAAAEA\",\"index\":7,\"metadata\":\(body)}", body: body.utf8.count)
            #expect((read(line) != nil) == isGood, "\(body.prefix(100))")
        }
    }

    @Test func aSizeBeyondAllBoundsIsNoFrame() {
        for (size, isOne) in [
            ("A", true), ("B", true), ("_", true), ("-", true), ("BA", true), ("CAAAAA", true), ("CAAAAB", false),
            ("B_____", true), ("______", false), ("BAAAAAA", false), ("AA", false), ("AB", false), ("", false), ("+", false),
            ("/", false), ("=", false), ("A=", false), (" A", false), ("B ", false), ("B.", false), ("é", false),
        ] {
            let line = Array("{\"c\":\"AAAAAAE\(size)\",\"index\":7,\"type\":9,\"data\":\"".utf8)
            let outline = view(line) { JSONFrame.outline($0, salt: salt, offset: offset) }
            #expect((outline != nil) == isOne, "\(size)")
            let value = size.utf8.reduce(0) { $0 << 6 | (base64URL.firstIndex(of: $1) ?? 0) }
            #expect(outline == nil || outline?.bodyCount == value, "\(size)")
        }
        for size in [0, 1, 63, 64, 4095, 4096, 262_143, 262_144, 1 << 24, 1 << 30, 1 << 31] {
            var writer = JSONWriter()
            writer.put(base64URL: UInt64(size))
            let written = filled(writer.at) {
                var writer = JSONWriter(to: $0, at: 0)
                writer.put(base64URL: UInt64(size))
            }
            #expect(written == digits(size))
        }
    }

    /// Nothing that stands on a disk may trap: mutated lines, with a check that is right, so that the body is looked at, too.
    @Test func noBytesTrap() {
        var chance = Chance(4711)
        let seeds =
            (controls + oddControls).map { Sample($0.1, type: $0.0) } + texts.map { Sample($0) } + notUTF8.map { Sample($0) }
        let lines = seeds.map(\.line)
        let spice =
            Array("\"\\{}[],:0123456789abcdefuTAE_-Z=\u{0}\u{1f}\u{7f}".utf8) + [0x80, 0xbf, 0xc2, 0xe0, 0xed, 0xf4, 0xff]
        var verified = 0
        for _ in 0..<100_000 {
            var line = lines[chance.below(lines.count)]
            for _ in 0...chance.below(3) {
                let at = chance.below(line.count)
                switch chance.below(4) {
                case 0: line[at] = spice[chance.below(spice.count)]
                case 1: line[at] ^= 1 << UInt8(chance.below(8))
                case 2: if line.count > 1 { line.remove(at: at) }
                default: line.insert(spice[chance.below(spice.count)], at: at)
                }
            }
            view(line) { bytes in
                guard let outline = JSONFrame.outline(bytes, salt: salt, offset: offset), outline.bodyAt <= bytes.count else {
                    return
                }
                let body = bytes.slice(outline.bodyAt, min(outline.bodyCount, bytes.count - outline.bodyAt))
                for room in [Int(outline.header.length), chance.below(100)] where room < 1 << 20 {
                    _ = filled(room) { target in
                        if JSONFrame.decodeBody(outline, body, to: target) != nil { verified += 1 }
                    }
                }
            }
            _ = read(line)
        }
        #expect(verified > 1000, "the mutations never reach a body")
        for _ in 0..<20_000 {
            let line = (0..<chance.below(300)).map { _ in spice[chance.below(spice.count)] }
            #expect(read(Array("{\"c\":\"".utf8) + line) == nil)
        }
    }

    /// A room that is too small is an answer, not a trap.
    @Test func tooSmallARoomIsRefused() throws {
        for sample in (controls + oddControls).map({ Sample($0.1, type: $0.0) }) + texts.map({ Sample($0) }) {
            view(sample.line) { line in
                let outline = JSONFrame.outline(line, salt: salt, offset: offset)!
                for room in 0..<sample.payload.count {
                    _ = filled(room) { #expect(JSONFrame.decodeBody(outline, outline.body(line), to: $0) == nil) }
                }
            }
        }
    }

    // ---- The header

    private let header = SegmentHeader(
        logID: LogID(high: 0x0706_0504_0302_0100, low: 0x0f0e_0d0c_0b0a_0908), id: 3, salt: salt, created: -5)

    @Test func aHeaderComesBackAndAnyFlippedBitIsDamage() throws {
        var block = filled(4096) { JSONHeader.encode(header, to: $0) }
        let found = try view(block) { try JSONHeader.decode($0, file: .segment(3)) }
        #expect(found.logID == header.logID && found.id == 3 && found.salt == salt && found.created == -5)
        let object = try json(block)
        #expect(object["log"] as? String == "00010203-0405-0607-0809-0a0b0c0d0e0f" && object["segment"] as? Int == 3)
        func code(_ block: Bytes) -> ErrorCode? {
            do throws(LogError) {
                _ = try JSONHeader.decode(block, file: .segment(3))
                return nil
            } catch { return error.code }
        }
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
        func decode(_ from: String, _ to: String) throws -> SegmentHeader {
            let block = filled(4096) { JSONHeader.encode(header, to: $0) }
            let text = String(decoding: block, as: UTF8.self).replacingOccurrences(of: from, with: to)
            var bytes = Array(text.utf8)
            while bytes.count < 4096 { bytes.insert(0x20, at: bytes.count - 1) }
            while bytes.count > 4096 { bytes.remove(at: bytes.count - 2) }
            let digits = String(view(Array(bytes[34...])) { $0.checksum() }, radix: 16)
            bytes.replaceSubrange(26..<34, with: Array((String(repeating: "0", count: 8 - digits.count) + digits).utf8))
            return try view(bytes) { try JSONHeader.decode($0, file: .segment(3)) }
        }
        func code(_ from: String, _ to: String) -> ErrorCode? {
            do {
                _ = try decode(from, to)
                return nil
            } catch { return (error as? LogError)?.code }
        }
        #expect(code("\"major\":1,\"minor\":0", "\"major\":2,\"anything\":0") == .version)
        #expect(code("\"minor\":0", "\"minor\":7") == nil && code("Z\"}", "Z\",\"more\":1}") == .corrupt)
        #expect(try decode("\"minor\":0", "\"minor\":7").id == 3)
        #expect(code("\"first_frame\":4096", "\"first_frame\":8192") == .version)
        #expect(code("\"segment\":3", "\"segment\":03") == .corrupt && code("}", "} x") == .corrupt)
    }

    // ---- Times

    /// Each day of five centuries, counted by hand, with its first and last nanosecond.
    @Test func everyDayHasItsDate() {
        var (year, month, day) = (1678, 1, 1)
        let first: Int64 = -106_650
        func text(_ time: Int64) -> String {
            String(decoding: filled(Timestamp.size) { Timestamp.encode(time, to: $0) }, as: UTF8.self)
        }
        for days in first..<106_000 {
            let start = days * 86_400_000_000_000
            let date = "\(year)-\(month < 10 ? "0" : "")\(month)-\(day < 10 ? "0" : "")\(day)"
            let last = date + "T23:59:59.999999999Z"
            if text(start) != date + "T00:00:00.000000000Z" || text(start + 86_399_999_999_999) != last
                || view(Array(last.utf8), Timestamp.decode) != start + 86_399_999_999_999
            {
                Issue.record("\(date) is \(text(start))")
            }
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let length = month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
            day += 1
            if day > length { (month, day) = (month + 1, 1) }
            if month > 12 { (year, month) = (year + 1, 1) }
        }
    }

    @Test func everyTimeComesBack() {
        var chance = Chance(9)
        var times: [Int64] = [.min, .min + 1, .max, .max - 1, 0, 1, -1, 999_999_999, -1_000_000_000, -999_999_999]
        for _ in 0..<20_000 { times.append(Int64(bitPattern: chance.next()) >> Int64(chance.below(64))) }
        for time in times {
            let text = filled(Timestamp.size) { Timestamp.encode(time, to: $0) }
            #expect(view(text) { Timestamp.decode($0) } == time)
        }
        let ends = [Int64.min, .max].map { time in
            String(decoding: filled(Timestamp.size) { Timestamp.encode(time, to: $0) }, as: UTF8.self)
        }
        #expect(ends == ["1677-09-21T00:12:43.145224192Z", "2262-04-11T23:47:16.854775807Z"])
    }
}
