// SimulatedDiskTests.swift - the simulated disk does what the fault model says, and no less
//
// A disk that is kinder than the model would make every crash test pass. So each test looks for both outcomes: that what must not happen
// never does, and that what may happen does for some seed.

import Testing
import WalrusCore
import WalrusSimulation

private let name = FileName.segment(1)

extension SimulatedDisk {
    fileprivate func put(_ file: FileHandle, _ offset: Int, _ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { room in
            try write(file, at: UInt64(offset), Bytes(room.baseAddress, count: room.count), .empty)
        }
    }

    fileprivate func get(_ file: FileHandle, _ offset: Int, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: count)
        let got = try bytes.withUnsafeMutableBytes { room in
            try read(file, at: UInt64(offset), into: MutableBytes(room.baseAddress, count: room.count))
        }
        return Array(bytes[0..<got])
    }

    /// What the device holds of the file `name`.
    fileprivate func getPastCache(_ count: Int) throws -> [UInt8] {
        let file = try #require(openPastCache(name))
        defer { close(file) }
        let size = (count + 4095) / 4096 * 4096
        let room = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
        defer { room.deallocate() }
        let got = try read(file, at: 0, into: MutableBytes(room, count: size))
        return (0..<min(got, count)).map { room.load(fromByteOffset: $0, as: UInt8.self) }
    }

    /// A file of `count` bytes of `value` that a power cut cannot touch.
    fileprivate func makeDurable(_ name: FileName, _ value: UInt8, _ count: Int) throws -> FileHandle {
        let file = try open(name, .create)
        try put(file, 0, [UInt8](repeating: value, count: count))
        try sync(file)
        try syncDirectory()
        return file
    }
}

private func filled(_ value: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: value, count: count) }

/// The values of a file's sectors after each of many power cuts; nil for one that is not all one value.
private func sectors(_ disk: SimulatedDisk, _ model: FaultModel = .sectors, seeds: UInt64 = 300) -> [[UInt8?]] {
    (0..<seeds).compactMap { seed in
        guard let bytes = disk.powerCut(seed: seed, model: model).contents(name) else { return nil }
        return stride(from: 0, to: bytes.count, by: 512).map { start in
            let sector = bytes[start..<min(start + 512, bytes.count)]
            return sector.allSatisfy { $0 == sector.first } ? sector.first : nil
        }
    }
}

private func code(_ body: () throws -> Void) -> ErrorCode? {
    do {
        try body()
        return nil
    } catch {
        return (error as? LogError)?.code
    }
}

@Suite struct SimulatedDiskTests {
    // ---- An ordinary disk

    @Test func whatIsWrittenIsRead() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.open(name, .create)
        try disk.put(file, 10, [1, 2, 3])
        #expect(try disk.size(file) == 13)
        #expect(try disk.get(file, 0, 100) == filled(0, 10) + [1, 2, 3])
        #expect(try disk.get(file, 13, 4) == [])
        try "xyz".utf8.withContiguousStorageIfAvailable { both in
            let base = UnsafeRawPointer(both.baseAddress!)
            try disk.write(file, at: 1, Bytes(base, count: 1), Bytes(base + 1, count: 2))
        }
        #expect(try disk.get(file, 0, 5) == [0, 120, 121, 122, 0])
        try disk.truncate(file, to: 2)
        try disk.truncate(file, to: 6)
        #expect(try disk.get(file, 0, 100) == [0, 120, 0, 0, 0, 0])
        disk.close(file)
        #expect(disk.openHandles == 0)
        let again = try disk.open(name, .create)
        #expect(try disk.size(again) == 0)
    }

    @Test func namesAreADirectory() throws {
        let disk = SimulatedDisk(seed: 1)
        #expect(code { _ = try disk.open(name, .read) } == .notFound)
        disk.close(try disk.open(.segmentInProgress(1), .create))
        try disk.rename(.segmentInProgress(1), to: name)
        disk.close(try disk.open(.metadata, .create))
        disk.foreignFiles = 1
        var names: [FileName?] = []
        try disk.list { names.append($0) }
        #expect(names.count == 3 && names.contains(name) && names.contains(.metadata) && names.contains(nil))
        try disk.remove(name)
        try disk.remove(name)
        #expect(disk.fileNames == [.metadata])
    }

    /// A view that did not would hide every mistake made with a shared mapping.
    @Test func aMappingShowsLaterWritesAndStays() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 4096)
        let rebooted = disk.powerCut(seed: 1)
        let again = try rebooted.open(name, .write)
        let view = try rebooted.map(again, length: 8192)
        #expect(!view.isMapped && view.bytes.count == 8192)
        #expect(view.bytes.u8(0) == 1 && view.bytes.u8(5000) == 0)
        let sibling = rebooted.powerCut(seed: 2)
        try rebooted.put(again, 4000, filled(7, 1000))
        #expect(view.bytes.u8(3999) == 1 && view.bytes.u8(4000) == 7 && view.bytes.u8(4999) == 7)
        try rebooted.sync(again)
        try rebooted.put(again, 0, [9])
        #expect(view.bytes.u8(0) == 9)
        // Disks that began with the same bytes go their own ways.
        #expect(try disk.get(file, 0, 4096) == filled(1, 4096))
        #expect(sibling.contents(name) == filled(1, 4096))
    }

    @Test func dataIsFoundBehindHoles() throws {
        let disk = SimulatedDisk(seed: 1)
        disk.knowsHoles = true
        let file = try disk.open(name, .create)
        try disk.reserve(file, from: 0, to: 65536)
        #expect(disk.nextData(file, from: 0) == nil)
        try disk.put(file, 20000, [1])
        #expect(disk.nextData(file, from: 0) == 16384)
        #expect(disk.nextData(file, from: 20001) == 20001)
        #expect(disk.nextData(file, from: 20480) == nil)
        disk.knowsHoles = false
        #expect(disk.nextData(file, from: 30000) == 30000)
        #expect(disk.nextData(file, from: 65536) == nil)
    }

    // ---- A power cut

    @Test func whatWasSyncedSurvives() throws {
        let disk = SimulatedDisk(seed: 1)
        _ = try disk.makeDurable(name, 5, 3000)
        for seed: UInt64 in 0..<300 {
            for model in [FaultModel.sectors, .blocks] {
                #expect(disk.powerCut(seed: seed, model: model).contents(name) == filled(5, 3000))
            }
        }
    }

    @Test func whatWasNotSyncedMayVanishInAnyCombination() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 2048)
        try disk.put(file, 0, filled(2, 2048))
        let states = sectors(disk)
        #expect(Set(states).count == 16)
        #expect(states.allSatisfy { $0.allSatisfy { $0 == 1 || $0 == 2 } })
    }

    /// Writing back in the middle of a row of writes leaves what was there then.
    @Test func aSectorMayBeFoundAtAnyStage() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        for value: UInt8 in 2...4 { try disk.put(file, 0, filled(value, 512)) }
        #expect(Set(sectors(disk)) == [[1], [2], [3], [4]])
    }

    @Test func aSectorIsNeverHalfNewWhereItHeldSyncedBytes() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        try disk.put(file, 100, filled(2, 300))
        for seed: UInt64 in 0..<300 {
            let bytes = disk.powerCut(seed: seed).contents(name)!
            #expect(bytes == filled(1, 512) || bytes == filled(1, 100) + filled(2, 300) + filled(1, 112))
        }
    }

    @Test func aFreshSectorMayHoldGarbage() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        try disk.put(file, 512, filled(2, 512))
        let states = sectors(disk)
        #expect(states.allSatisfy { $0[0] == 1 })
        #expect(states.contains([1]) && states.contains([1, 2]) && states.contains([1, nil]) && states.contains([1, 0]))
        // Garbage stays what it is, whatever happens next.
        let seed = (0..<400 as Range<UInt64>).first {
            let bytes = disk.powerCut(seed: $0).contents(name)!
            return Set(bytes.dropFirst(512)).count > 10
        }!
        let rebooted = disk.powerCut(seed: seed)
        #expect(rebooted.powerCut(seed: 77).contents(name) == rebooted.contents(name))
    }

    @Test func aWholeBlockMayRotInTheSecondModel() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 12288)
        try disk.put(file, 5000, [2])
        #expect(!sectors(disk).contains { $0.contains(nil) && $0[9] != nil })
        let rotten = sectors(disk, .blocks).filter { $0[8...15].contains { $0 != 1 } && $0[10] == nil }
        #expect(rotten.count > 5)
        #expect(sectors(disk, .blocks).allSatisfy { $0[0...7].allSatisfy { $0 == 1 } && $0[16...].allSatisfy { $0 == 1 } })
    }

    @Test func aFilesSizeGoesItsOwnWay() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        try disk.put(file, 512, filled(2, 1024))
        let sizes = Set(sectors(disk).map { $0.count })
        #expect(sizes == [1, 3])
        #expect(sectors(disk).contains { $0 == [1, 0, 0] || $0 == [1, 0, 2] })
    }

    @Test func reservedSpaceReadsAsZeros() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        try disk.reserve(file, from: 512, to: 4096)
        try disk.put(file, 2048, filled(2, 512))
        for state in sectors(disk) {
            for (i, value) in state.enumerated() where i != 4 { #expect(value == (i == 0 ? 1 : 0)) }
        }
        try disk.sync(file)
        #expect(Set(sectors(disk)) == [[1, 0, 0, 0, 2, 0, 0, 0]])
    }

    @Test func aTruncationIsOldOrNewOnceSyncedNew() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 1024)
        try disk.truncate(file, to: 512)
        #expect(Set(sectors(disk)).isSuperset(of: [[1, 1], [1]]))
        try disk.sync(file)
        #expect(Set(sectors(disk)) == [[1]])
        try disk.truncate(file, to: 1024)
        try disk.sync(file)
        #expect(Set(sectors(disk)) == [[1, 0]])
    }

    @Test func aNewNameNeedsADirectorySync() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.open(name, .create)
        try disk.put(file, 0, [1])
        try disk.sync(file)
        let found = Set((0..<200 as Range<UInt64>).map { disk.powerCut(seed: $0).fileNames.count })
        #expect(found == [0, 1])
        try disk.syncDirectory()
        for seed: UInt64 in 0..<200 { #expect(disk.powerCut(seed: seed).contents(name) == [1]) }
    }

    /// The name may be there without the bytes: what a missing sync before a rename does.
    @Test func aNameMayOutliveItsBytes() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.open(name, .create)
        try disk.put(file, 0, filled(3, 512))
        try disk.syncDirectory()
        let found = Set((0..<400 as Range<UInt64>).map { disk.powerCut(seed: $0).contents(name)! })
        #expect(found.contains([]) && found.contains(filled(3, 512)) && found.contains(filled(0, 512)))
    }

    @Test func aRenameIsOldOrNew() throws {
        let disk = SimulatedDisk(seed: 1)
        _ = try disk.makeDurable(name, 1, 8)
        _ = try disk.makeDurable(.segmentInProgress(1), 2, 8)
        try disk.rename(.segmentInProgress(1), to: name)
        var outcomes: Set<UInt8> = []
        for seed: UInt64 in 0..<200 {
            let after = disk.powerCut(seed: seed)
            let value = after.contents(name)![0]
            #expect((after.contents(.segmentInProgress(1)) == nil) == (value == 2))
            outcomes.insert(value)
        }
        #expect(outcomes == [1, 2])
    }

    @Test func directoryOperationsAreLostEachByItself() throws {
        let disk = SimulatedDisk(seed: 1)
        _ = try disk.makeDurable(.segment(1), 1, 8)
        _ = try disk.makeDurable(.segment(2), 2, 8)
        try disk.remove(.segment(1))
        try disk.remove(.segment(2))
        let found = Set(
            (0..<200 as Range<UInt64>).map { seed -> [Bool] in
                let after = disk.powerCut(seed: seed)
                return [after.contents(.segment(1)) != nil, after.contents(.segment(2)) != nil]
            })
        #expect(found.count == 4)
        try disk.syncDirectory()
        for seed: UInt64 in 0..<50 { #expect(disk.powerCut(seed: seed).fileNames.isEmpty) }
    }

    // ---- A killed process

    @Test func aKilledProcessLosesNothingThatWasWritten() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.open(name, .create)
        try disk.put(file, 0, filled(4, 700))
        let view = try disk.map(file, length: 700)
        let replay = disk.replay()
        replay.advance(to: disk.operations)
        let copy = replay.processKilled(seed: 3)
        let next = disk.processKilled()
        // The dead do nothing.
        #expect(code { try disk.put(file, 0, [9]) } == .io)
        #expect(code { try disk.remove(name) } == .io)
        for survivor in [next, copy] {
            #expect(survivor.contents(name) == filled(4, 700))
            // Nothing became durable by the killing.
            let found = Set((0..<100 as Range<UInt64>).map { survivor.powerCut(seed: $0).contents(name)?.count })
            #expect(found == [nil, 0, 700])
        }
        let again = try next.open(name, .write)
        try next.put(again, 0, [8])
        #expect(view.bytes.u8(0) == 8)
        #expect(copy.contents(name) == filled(4, 700))
    }

    // ---- Failing operations

    /// What Linux does, measured: the error comes once, and the cache goes on showing what the disk does not have.
    @Test func aFailedSyncIsToldOnceAndItsPagesAreLost() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        try disk.put(file, 0, filled(2, 512))
        disk.inject(.io, at: disk.operations)
        #expect(code { try disk.sync(file) } == .io)
        #expect(disk.failedSyncs == 1)
        try disk.sync(file)
        #expect(try disk.get(file, 0, 512) == filled(2, 512))
        #expect(disk.processKilled().contents(name) == filled(2, 512))
    }

    @Test func aSyncAfterAFailedOneProvesNothing() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 8192)
        try disk.put(file, 0, filled(2, 8192))
        disk.inject(.io, at: disk.operations)
        #expect(code { try disk.sync(file) } == .io)
        // Touching a page makes the system write the whole page again.
        try disk.put(file, 5000, [3])
        try disk.sync(file)
        let states = sectors(disk)
        #expect(states.contains { $0[0] == 1 } && states.contains { $0[0] == 2 })
        #expect(states.allSatisfy { $0[8] == 2 && $0[15] == 2 && $0[9] == nil })
        // And so says the copy that a replay makes.
        let replay = disk.replay()
        replay.advance(to: disk.operations)
        let killed = sectors(replay.processKilled(seed: 1))
        #expect(Set(killed) == Set(states))
        // Written again and synced, it is there.
        try disk.put(file, 0, filled(2, 4096))
        try disk.sync(file)
        #expect(sectors(disk).allSatisfy { $0[0...8].allSatisfy { $0 == 2 } })
    }

    @Test func cleanPagesAreForgotten() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        try disk.put(file, 0, filled(2, 512))
        disk.inject(.io, at: disk.operations)
        #expect(code { try disk.sync(file) } == .io)
        disk.dropCaches()
        #expect(try disk.get(file, 0, 512) == filled(1, 512))
    }

    /// The only way to see what a failed write-back has left.
    @Test func pastTheCacheIsWhatTheDeviceHas() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 8192)
        try disk.put(file, 0, filled(2, 8192))
        disk.inject(.io, at: disk.operations)
        #expect(code { try disk.sync(file) } == .io)
        try disk.put(file, 4096, [3])
        let shown = try disk.getPastCache(8192)
        let old = Set(shown[0..<4096])
        #expect(old.isSubset(of: [1, 2]) && old.contains(1))
        #expect(shown[4096] == 3 && shown[4097] == 2)
        #expect(try disk.get(file, 0, 1) == [2])
        disk.canReadPastCache = false
        #expect(disk.openPastCache(name) == nil)
    }

    /// A device has accepted what it shows; its next flush makes that durable, and nothing before does.
    @Test func whatTheDeviceShowsIsDurableOnceItIsFlushed() throws {
        var all: Set<[UInt8]> = []
        for seed: UInt64 in 0..<20 {
            let disk = SimulatedDisk(seed: seed)
            let file = try disk.makeDurable(name, 1, 1024)
            try disk.put(file, 0, filled(2, 1024))
            disk.inject(.io, at: disk.operations)
            #expect(code { try disk.sync(file) } == .io)
            let shown = try disk.getPastCache(1024)
            #expect(try disk.getPastCache(1024) == shown)
            all.insert([shown[0], shown[512]])
            #expect(Set(sectors(disk)) == [[1, 1], [1, 2], [2, 1], [2, 2]])
            try disk.sync(file)
            #expect(Set(sectors(disk, .blocks)) == [[shown[0], shown[512]]])
            #expect(try disk.get(file, 0, 1) == [2])
            #expect(try disk.processKilled().getPastCache(1024) == shown)
        }
        #expect(all.count == 4)
    }

    @Test func afterAFailedFlushNothingIsKnownOfWhatTheDeviceShowed() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        try disk.put(file, 0, filled(2, 512))
        disk.inject(.io, at: disk.operations)
        #expect(code { try disk.sync(file) } == .io)
        _ = try disk.getPastCache(512)
        disk.inject(.io, at: disk.operations)
        #expect(code { try disk.sync(file) } == .io)
        try disk.sync(file)
        #expect(Set(sectors(disk)) == [[1], [2]])
    }

    @Test func afterAFailedDirectorySyncNamesMayBeLost() throws {
        let disk = SimulatedDisk(seed: 1)
        disk.close(try disk.open(name, .create))
        disk.inject(.io, at: disk.operations)
        #expect(code { try disk.syncDirectory() } == .io)
        #expect(Set((0..<100 as Range<UInt64>).map { disk.powerCut(seed: $0).fileNames.count }) == [0, 1])
        try disk.syncDirectory()
        #expect(Set((0..<100 as Range<UInt64>).map { disk.powerCut(seed: $0).fileNames.count }) == [1])
    }

    /// The error of a write-back belongs to descriptors that were open when it failed.
    @Test func aLostWritebackIsToldToTheDescriptorThatWrote() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 512)
        try disk.put(file, 0, filled(2, 512))
        disk.inject(.writeback, at: disk.operations)
        let other = try disk.open(.metadata, .create)
        let late = try disk.open(name, .write)
        try disk.sync(late)
        try disk.sync(other)
        #expect(code { try disk.sync(file) } == .io)
        try disk.sync(file)
        #expect(Set(sectors(disk)) == [[1], [2]])
    }

    @Test func anOperationFailsOnceOrForEver() throws {
        for forever in [false, true] {
            let disk = SimulatedDisk(seed: 1)
            let file = try disk.makeDurable(name, 1, 16)
            disk.inject(.io, at: disk.operations + 1, forever: forever)
            try disk.put(file, 0, [2])
            #expect(code { try disk.put(file, 1, [2]) } == .io)
            #expect(code { try disk.put(file, 2, [2]) } == (forever ? .io : nil))
            #expect(code { try disk.truncate(file, to: 1) } == (forever ? .io : nil))
            #expect(code { try disk.remove(name) } == (forever ? .io : nil))
            #expect(disk.faultsStruck == (forever ? 4 : 1))
            #expect(try disk.get(file, 0, 3) == (forever ? [2, 1, 1] : [2]))
        }
    }

    @Test func aFullDiskTakesWhatWasReserved() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 16)
        try disk.reserve(file, from: 16, to: 8192)
        disk.inject(.noSpace, at: 0, forever: true)
        try disk.put(file, 8000, filled(2, 192))
        #expect(code { try disk.put(file, 8000, filled(2, 193)) } == .noSpace)
        #expect(code { try disk.reserve(file, from: 0, to: 8193) } == .noSpace)
        #expect(code { _ = try disk.open(.metadata, .create) } == .noSpace)
        try disk.reserve(file, from: 0, to: 8192)
        try disk.sync(file)
        try disk.remove(name)
        try disk.syncDirectory()
    }

    @Test func aShortWriteLeavesAPart() throws {
        for kind in [Fault.shortThenIO, .shortThenNoSpace] {
            var lengths: Set<Int> = []
            for seed: UInt64 in 0..<100 {
                let disk = SimulatedDisk(seed: seed)
                let file = try disk.open(name, .create)
                disk.inject(kind, at: 0)
                let failure = code { try disk.put(file, 0, filled(2, 8)) }
                #expect(failure == (kind == .shortThenIO ? .io : .noSpace))
                let left = try disk.get(file, 0, 100)
                #expect(left == filled(2, left.count))
                lengths.insert(left.count)
                try disk.put(file, 0, filled(2, 8))
            }
            #expect(lengths == Set(0..<8))
        }
    }

    @Test func aFailedReservationMayHaveGrownTheFile() throws {
        let disk = SimulatedDisk(seed: 3)
        let file = try disk.open(name, .create)
        disk.inject(.shortThenNoSpace, at: disk.operations)
        #expect(code { try disk.reserve(file, from: 0, to: 65536) } == .noSpace)
        #expect(try disk.size(file) > 0)
        disk.canReserve = false
        #expect(code { try disk.reserve(file, from: 0, to: 65536) } == .unsupported)
    }

    @Test func readsFailByTheirOwnNumber() throws {
        let disk = SimulatedDisk(seed: 1)
        let file = try disk.makeDurable(name, 1, 16)
        let before = disk.operations
        disk.injectReadFault(at: disk.reads + 1)
        _ = try disk.get(file, 0, 1)
        #expect(code { _ = try disk.get(file, 0, 1) } == .io)
        _ = try disk.get(file, 0, 1)
        disk.injectReadFault(at: disk.reads, forever: true)
        #expect(code { _ = try disk.size(file) } == .io)
        #expect(code { _ = try disk.open(name, .read) } == .io)
        #expect(code { _ = try disk.map(file, length: 16) } == .io)
        #expect(disk.operations == before)
    }

    @Test func damageIsInTheCacheAndOnTheDisk() throws {
        let disk = SimulatedDisk(seed: 1)
        _ = try disk.makeDurable(name, 1, 8192)
        let other = try disk.makeDurable(.segment(2), 2, 8192)
        #expect(disk.flipBit(name, offset: 3, bit: 1))
        #expect(disk.misdirect(name, offset: 0, to: .segment(2), targetOffset: 4096))
        for state in [disk, disk.powerCut(seed: 5)] {
            #expect(state.contents(name)![3] == 3)
            #expect(state.contents(.segment(2))![4095...4099] == [2, 1, 1, 1, 3])
        }
        #expect(!disk.flipBit(.metadata, offset: 0, bit: 0))
        disk.close(other)
    }

    // ---- Seeds and replays

    /// A replay is worth something only if it ends in the state that the run itself ended in.
    @Test func aReplayComesToTheSameStates() throws {
        for seed: UInt64 in 0..<20 {
            let disk = SimulatedDisk(seed: seed)
            var chance = Chance(seed)
            var counts: [(Int, [[UInt8]?])] = []
            func look(_ disk: SimulatedDisk) -> [[UInt8]?] {
                (0..<4 as Range<UInt64>).flatMap { cut in
                    let after = disk.powerCut(seed: cut &+ seed)
                    return [after.contents(.segment(1)), after.contents(.segment(2)), after.contents(.metadata)]
                }
            }
            for step in 0..<60 {
                let target = FileName.segment(UInt64(chance.below(2) + 1))
                if chance.once(in: 6) { disk.inject(.io, at: disk.operations) }
                do {
                    switch chance.below(8) {
                    case 0: try disk.syncDirectory()
                    case 1: try disk.rename(target, to: .metadata)
                    case 2: try disk.remove(target)
                    case 3: disk.close(try disk.open(target, .create))
                    case let action:
                        let file = try disk.open(target, .write)
                        defer { disk.close(file) }
                        if action == 4 {
                            try disk.sync(file)
                        } else if action == 5 {
                            try disk.truncate(file, to: UInt64(chance.below(9000)))
                        } else {
                            let value = UInt8(truncatingIfNeeded: step)
                            try disk.put(file, chance.below(8000), filled(value, 1 + chance.below(1000)))
                        }
                    }
                } catch {}
                if chance.once(in: 3) { counts.append((disk.operations, look(disk))) }
            }
            let replay = disk.replay()
            for (operations, states) in counts {
                replay.advance(to: operations)
                let seen: [[UInt8]?] = (0..<4 as Range<UInt64>).flatMap { cut in
                    let after = replay.powerCut(seed: cut &+ seed)
                    return [after.contents(.segment(1)), after.contents(.segment(2)), after.contents(.metadata)]
                }
                let isSame = seen == states
                #expect(isSame, "seed \(seed), operation \(operations)")
                // And a clone of it has the same future.
                let clone = replay.processKilled(seed: 1)
                for entry in [FileName.segment(1), .segment(2), .metadata] {
                    if let file = try? clone.open(entry, .write) { try? clone.sync(file) }
                }
            }
        }
    }
}
