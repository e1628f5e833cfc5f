// FormatTests.swift - the bytes: what verifies, and what must not

import Testing

@testable import WalrusCore

private func withBytes<Result>(_ count: Int, _ body: (MutableBytes) throws -> Result) rethrows -> Result {
    let base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 8)
    defer { base.deallocate() }
    let bytes = MutableBytes(base, count: count)
    bytes.zero(0, count)
    return try body(bytes)
}

private func flip(_ bytes: MutableBytes, _ bit: Int) { bytes.store8(bytes.bytes.u8(bit / 8) ^ 1 << (bit % 8), bit / 8) }

@Suite struct FormatTests {
    private let frame = FrameHeader(
        type: FrameType.entry, flags: FrameHeader.continuesFlag, payloadChecksum: 0xdead_beef, length: 77, relativeIndex: 5,
        durableDistance: 9, time: (1 << 40) - 3)

    /// Would miss a header whose fields overlap or are cut short.
    @Test func aFrameHeaderComesBackAsItWasPut() throws {
        try withBytes(24) { bytes in
            let checksum = frame.encode(to: bytes, at: 0, salt: 42, offset: 8192)
            let found = try #require(FrameHeader.decode(bytes.bytes, salt: 42, offset: 8192))
            #expect(found.checksum == checksum)
            #expect(found.header.type == frame.type && found.header.flags == frame.flags && found.header.length == frame.length)
            #expect(found.header.relativeIndex == 5 && found.header.durableDistance == 9 && found.header.time == frame.time)
            #expect(found.header.payloadChecksum == frame.payloadChecksum && found.header.frameSize == 104)
        }
    }

    /// Would miss a checksum that is not seeded: recycled space and misdirected blocks would count as frames.
    @Test func aFrameVerifiesOnlyAtItsPlaceAndUnderItsSalt() {
        withBytes(24) { bytes in
            _ = frame.encode(to: bytes, at: 0, salt: 42, offset: 8192)
            for offset in stride(from: UInt64(0), to: 1 << 20, by: 8) where offset != 8192 {
                #expect(FrameHeader.decode(bytes.bytes, salt: 42, offset: offset) == nil)
            }
            for salt in UInt32(0)..<1000 where salt != 42 {
                #expect(FrameHeader.decode(bytes.bytes, salt: salt, offset: 8192) == nil)
            }
        }
    }

    @Test func aFlippedBitAnywhereInAHeaderIsFound() {
        withBytes(24) { bytes in
            _ = frame.encode(to: bytes, at: 0, salt: 42, offset: 8192)
            for bit in 0..<192 {
                flip(bytes, bit)
                // A type of 0 is refused by itself; everything else by the checksum. The payload checksum is covered, too.
                #expect(FrameHeader.decode(bytes.bytes, salt: 42, offset: 8192) == nil, "bit \(bit)")
                flip(bytes, bit)
            }
        }
    }

    /// There is a salt and an offset for which the checksum of zeros is 0: space that was never written must not count there.
    @Test func zerosAreNeverAFrame() {
        withBytes(24) { bytes in
            for offset in stride(from: UInt64(4096), to: 1 << 22, by: 8) {
                #expect(FrameHeader.decode(bytes.bytes, salt: 0, offset: offset) == nil)
            }
            let zeros = bytes.bytes.slice(0, 20).checksum()
            for guess in [zeros, ~zeros, 0, .max] { #expect(FrameHeader.decode(bytes.bytes, salt: guess, offset: 0) == nil) }
        }
    }

    @Test func aLengthAboveOneGibibyteIsNoFrame() {
        withBytes(24) { bytes in
            var long = frame
            long.length = (1 << 30) + 1
            _ = long.encode(to: bytes, at: 0, salt: 1, offset: 0)
            #expect(FrameHeader.decode(bytes.bytes, salt: 1, offset: 0) == nil)
        }
    }

    @Test func aSegmentHeaderComesBackAndAnyFlippedBitIsDamage() throws {
        try withBytes(64) { bytes in
            SegmentHeader(logID: LogID(high: 1, low: 2), id: 3, salt: 4, created: -5).encode(to: bytes)
            let found = try SegmentHeader(bytes.bytes, file: .segment(3))
            #expect(found.logID == LogID(high: 1, low: 2) && found.id == 3 && found.salt == 4 && found.created == -5)
            for bit in 0..<512 {
                flip(bytes, bit)
                #expect { _ = try SegmentHeader(bytes.bytes, file: .segment(3)) } throws: { ($0 as? LogError)?.code == .corrupt }
                flip(bytes, bit)
            }
        }
    }

    /// A newer version with a right checksum is no damage: people must not be told to restore a backup.
    @Test func aNewerMajorVersionIsToldApartFromDamage() {
        withBytes(64) { bytes in
            SegmentHeader(logID: LogID(high: 1, low: 2), id: 3, salt: 4, created: 5).encode(to: bytes)
            bytes.store16(2, 8)
            bytes.store32(bytes.bytes.slice(0, 60).checksum(), 60)
            #expect { _ = try SegmentHeader(bytes.bytes, file: .segment(3)) } throws: { ($0 as? LogError)?.code == .version }
        }
    }

    @Test func aMetadataSlotComesBackAndAnyFlippedBitIsDamage() throws {
        try withBytes(MetadataSlot.headerSize) { bytes in
            var slot = MetadataSlot()
            slot.logID = LogID(high: 7, low: 8)
            slot.sequence = 9
            slot.epoch = 10
            slot.firstIndex = 11
            slot.lowestSegment = 12
            slot.highestSegment = 13
            slot.cut = SegmentEnd(id: 14, endIndex: 15, endOffset: 16, digest: Digest(value: 17))
            slot.cutHighest = 18
            slot.highestStamp = -19
            slot.lastTerm = 20
            slot.encode(to: bytes, records: .empty)
            guard case .valid(let found) = MetadataSlot.decode(bytes.bytes) else {
                Issue.record("the slot does not verify")
                return
            }
            #expect(found.cut == slot.cut && found.sequence == 9 && found.epoch == 10 && found.firstIndex == 11)
            #expect(found.lowestSegment == 12 && found.highestSegment == 13 && found.cutHighest == 18)
            #expect(found.highestStamp == -19 && found.lastTerm == 20 && found.logID == slot.logID)
            for bit in 0..<MetadataSlot.headerSize * 8 {
                flip(bytes, bit)
                if case .damaged = MetadataSlot.decode(bytes.bytes) {} else { Issue.record("bit \(bit) went unseen") }
                flip(bytes, bit)
            }
            for count in 0..<MetadataSlot.headerSize {
                if case .damaged = MetadataSlot.decode(bytes.bytes.slice(0, count)) {
                } else {
                    Issue.record("\(count) bytes counted")
                }
            }
        }
    }

    @Test func aRunKeepsTimesNineMinutesBothWaysAndWrapsAtTheEdges() {
        for middle in [Int64(0), 1_700_000_000_000_000_000, .max, .min, -1] {
            let run = Run(relativeIndex: 0, term: 1, around: middle)
            let half = Int64(1) << 39
            for step: Int64 in [0, 1, -1, half / 2, -half / 2, half - 1, -half] {
                let time = middle &+ step
                #expect(run.distance(of: time) < FrameHeader.timeRange)
                #expect(run.time(at: run.distance(of: time)) == time)
            }
            #expect(run.distance(of: middle &+ (1 << 39)) >= FrameHeader.timeRange)
        }
    }

    @Test func fileNamesComeBackAndForeignOnesAreNone() {
        func parse(_ text: String) -> FileName? {
            var text = text
            return text.withUTF8 { FileName(Bytes($0.baseAddress, count: $0.count)) }
        }
        func name(_ file: FileName) -> String {
            var bytes: [UInt8] = []
            file.forEachByte { bytes.append($0) }
            return String(decoding: bytes, as: UTF8.self)
        }
        let all: [FileName] = [
            .lock, .metadata, .metadataInProgress, .segment(1), .segment(0x7fff_ffff_ffff_ffff), .segmentInProgress(2),
            .offsetTable(3), .offsetTableInProgress(4),
        ]
        for file in all {
            #expect(parse(name(file)) == file)
            #expect(name(file).utf8.count < FileName.capacity)
        }
        #expect(name(.segment(0xab)) == "00000000000000ab.wal")
        for foreign in [
            "", "walrus", "walrus.meta.bak", "walrus.tmp", "notes.tmp", "0000000000000000.wal", "ffffffffffffffff.wal",
            "00000000000000AB.wal", "1.wal", "0000000000000001.wal.bak", "0000000000000001.log", "0000000000000001",
        ] { #expect(parse(foreign) == nil, "\(foreign)") }
    }

    /// Would miss a table whose second block begins elsewhere than readers look.
    @Test func anOffsetTableComesBackFromItsBytes() throws {
        var table = try OffsetTable(capacity: 1 << 20)
        table.append(Run(relativeIndex: 0, term: 1, timeBase: 2))
        let count = UInt64(2500)
        for i in 0..<count {
            table.append(offset: 4216 + i * 32, highestTime: Int64(i), digest: Digest(value: i * 3), durableIndex: i / 2)
        }
        table.append(Run(relativeIndex: 2000, term: 3, timeBase: 4))
        let end = SegmentEnd(id: 1, endIndex: count + 1, endOffset: 4216 + count * 32, digest: Digest(value: 9))
        let descriptor = table.finish(end: end, highestTime: 5, highestStamp: 6, tableOffset: 512)
        #expect(descriptor.blockCount == 3 && descriptor.runCount == 2)

        try withBytes(512 + descriptor.blocksSize + descriptor.runsSize) { (file) throws in
            file.copy(table.blockBytes.slice(0, descriptor.blocksSize), to: 512)
            file.copy(table.runBytes.slice(0, descriptor.runsSize), to: 512 + descriptor.blocksSize)
            func load() throws -> Bool {
                var loaded = try OffsetTable(capacity: 1 << 20)
                let isGood = try loaded.load(descriptor, entries: count) { offset, target in
                    target.copy(file.bytes.slice(Int(offset), target.count), to: 0)
                    return true
                }
                if isGood {
                    for i in UInt32(0)..<UInt32(count) {
                        #expect(loaded.blockBytes.u32(TableBlock.position(of: i)) == (4216 + i * 32) / 8)
                    }
                }
                return isGood
            }
            let isWhole = try load()
            #expect(isWhole)
            for byte in stride(from: 512, to: file.count, by: 13) {
                flip(file, byte * 8 + 3)
                let isDamaged = try !load()
                #expect(isDamaged, "byte \(byte)")
                flip(file, byte * 8 + 3)
            }
        }
    }

    @Test func sortingIsSorting() throws {
        var seed: UInt64 = 7
        for count in 0..<200 {
            var array = CArray<UInt64>()
            for _ in 0..<count {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1
                try array.append(seed >> 40)
            }
            array.sort { $0 }
            for i in stride(from: 1, to: count, by: 1) { #expect(array[i - 1] <= array[i]) }
        }
    }
}
