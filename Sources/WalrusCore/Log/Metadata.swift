// Metadata.swift - small values beside the log: set, delete, stage, get, each
//
// A value that is set is in the slots when the call returns, whatever is appended meanwhile. So everything that rode on appends before has to be
// durable first: the slots' sequence number says that it is in them, too. Both happen with the lead, the update with the writer's
// mutex as well.

extension Log {
    /// Sets a value. Durable on return.
    ///
    /// - Throws: `.invalid`, `.tooLarge`, `.noSpace`, `.noMemory`: nothing was changed. `.io`, `.poisoned`.
    public func setMetadata(_ key: Bytes, _ value: Bytes) throws(LogError) {
        try changeMetadata(.set(try checked(key, value)))
    }

    /// Removes a key and its value. Durable on return.
    ///
    /// - Throws: also `.notFound`.
    public func deleteMetadata(_ key: Bytes) throws(LogError) {
        try changeMetadata(.remove(try checked(key, .empty).key))
    }

    /// Stages a value that is set with the next append.
    public func stageMetadata(_ key: Bytes, _ value: Bytes) throws(LogError) {
        let record = try checked(key, value)
        try checkWritable()
        try settle()
        try writer.withLock { (writer) throws(LogError) in
            if commit.isPoisoned { throw GroupCommit.poisonedError }
            if commit.isClosed { throw GroupCommit.closedError }
            try writer.values.stage(record)
            // What the slots will need is claimed now: whatever folds it must not fail on a full disk.
            try writer.metadata.prepare(recordsSize: writer.values.sizeWhenStaged)
            writer.values.keepStaged()
        }
    }

    /// Calls `body` with a value, which lives until it returns. `body` must not call the log.
    ///
    /// - Throws: `.notFound`; `.poisoned` for one that rode on an append which is not durable and will not be.
    public func metadata(_ key: Bytes, _ body: (Bytes) throws(LogError) -> Void) throws(LogError) {
        let key = try checked(key, .empty).key
        try checkUsable()
        try catchUp(to: .max)
        try writer.withLock { (writer) throws(LogError) in
            guard let record = writer.values.current.record(MetadataRecord.callers, key) else {
                throw MetadataState.notFound
            }
            if isLost(writer.values.lastRide) && writer.values.isRidden(key) { throw GroupCommit.poisonedError }
            try body(record.value)
        }
    }

    /// Calls `visit` with each key, a NUL behind it, and its value, in order, until one call returns a number above 0; returns that.
    /// They are those of the moment of the call; `visit` may change them.
    public func forEachMetadata(_ visit: (_ key: Bytes, _ value: Bytes) -> Int32) throws(LogError) -> Int32 {
        try checkUsable()
        try catchUp(to: .max)
        let copy = try writer.withLock { (writer) throws(LogError) -> Memory in
            if isLost(writer.values.lastRide) { throw GroupCommit.poisonedError }
            let current = writer.values.current.bytes
            let copy = try Memory(count: current.count)
            copy.bytes.copy(current, to: 0)
            return copy
        }
        let key = try Memory(count: MetadataRecord.longestKey + 1)
        let records = copy.bytes.bytes
        var at = 0
        while at < records.count {
            let record = MetadataRecord(in: records, at: at)
            at += record.size
            if record.kind != MetadataRecord.callers { continue }
            key.bytes.copy(record.key, to: 0)
            key.bytes.store8(0, record.key.count)
            let answer = visit(key.bytes.bytes.slice(0, record.key.count + 1), record.value)
            if answer > 0 { return answer }
        }
        return 0
    }

    private func checked(_ key: Bytes, _ value: Bytes) throws(LogError) -> MetadataRecord {
        guard key.count >= 1, key.count <= MetadataRecord.longestKey, !key.containsZero else {
            throw LogError(.invalid, "a key has 1 to 255 bytes")
        }
        guard value.count <= MetadataRecord.largestValue else {
            throw LogError(.tooLarge, "the value is larger than 65535 bytes; append it as an entry and keep its index")
        }
        return MetadataRecord(key: key, value: value)
    }

    /// Whether it is not known what became of the rides up to the append with this index.
    private func isLost(_ lastRide: UInt64) -> Bool { commit.isPoisoned && lastRide > commit.durableIndex }

    // ---- Into the slots

    /// Makes durable what is staged, or has ridden since it was.
    func syncStaged() throws(LogError) {
        let isStaged = try writer.withLock { (writer) throws(LogError) in !writer.values.staged.isEmpty }
        if isStaged { try changeMetadata(.setStaged) }
    }

    private func changeMetadata(_ change: MetadataState.Change) throws(LogError) {
        try checkWritable()
        try checkMayWait()
        try commit.lead { () throws(LogError) in
            try settleWithLead()
            let lastRide = try writer.withLock { (writer) throws(LogError) in writer.values.lastRide }
            if lastRide > commit.durableIndex { try syncWithLead() }
            try writer.withLock { (writer) throws(LogError) in
                if commit.isPoisoned { throw GroupCommit.poisonedError }
                if case .setStaged = change, writer.values.staged.isEmpty {
                    // It rode on an append just now.
                    return try syncRides(&writer)
                }
                let size = try writer.values.prepare(change, folded: writer.metadata.records.bytes)
                try writer.metadata.prepare(recordsSize: size)
                try syncRides(&writer)
                do throws(LogError) {
                    try writer.values.write(change, to: &writer.metadata)
                } catch {
                    throw poison(error)
                }
            }
        }
    }

    /// Syncs what rode since the leader's sync, while nobody can append: or there would be no end to it.
    private func syncRides(_ writer: inout LogWriter<S>) throws(LogError) {
        if writer.values.lastRide <= commit.durableIndex { return }
        do throws(LogError) {
            if options.syncPadding > 0 { try writer.tail.pad(to: options.syncPadding) }
            try writer.tail.flush()
            for i in 0..<writer.unsynced.count {
                do throws(LogError) {
                    try storage.sync(writer.unsynced[i].file)
                } catch { throw error.located(in: .segment(writer.unsynced[i].segment.id)) }
            }
            if writer.tail.takeDirty() { try storage.sync(writer.tail.file) }
            writer.forgetUnsynced(writer.unsynced.count)
            setDurable(max(commit.durableIndex, writer.tail.nextIndex - 1))
        } catch {
            throw poison(error)
        }
    }

    /// Brings into the slots what rode before the log last rotated, so that new segments need not repeat it. With the lead.
    func foldWithLead() {
        do throws(LogError) {
            try writer.withLock { (writer) throws(LogError) in
                guard !commit.isPoisoned, writer.values.canFoldOlder(durableIndex: commit.durableIndex) else { return }
                try writer.prepareFold(.foldOlder)
                do throws(LogError) {
                    try writer.values.write(.foldOlder, to: &writer.metadata)
                } catch {
                    throw poison(error)
                }
            }
        } catch {
            pauseUpkeep(error)
        }
    }
}

extension LogWriter {
    /// Makes ready an update of the slots that brings into them what has ridden. Nothing is changed when it throws.
    mutating func prepareFold(_ change: MetadataState.Change = .foldAll) throws(LogError) {
        let size = try values.prepare(change, folded: metadata.records.bytes)
        try metadata.prepare(recordsSize: size)
    }

    /// Updates the slots, and brings into them all that has ridden: it is durable, or what it rode on is dropped by this update. `change`:
    /// the one that was prepared.
    mutating func updateFolding(_ change: MetadataState.Change = .foldAll, _ update: (inout MetadataSlot) -> Void)
        throws(LogError)
    {
        try values.write(change, to: &metadata, update)
    }
}
