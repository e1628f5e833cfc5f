// Closing.swift - close: the rest made durable, space given back, the clean mark set

import Synchronization

extension Log {
    /// Ends the log. It must not be used again, whatever this throws.
    public func close() throws(LogError) {
        let forked = wasForked
        if !forked {
            // Appends that are under way complete as they should, not as if the log had been shut down.
            if !completions.isEmpty && isUsable { try? waitDurable(next.load(ordering: .acquiring) &- 1) }
            commit.setClosed()
            wakeWaiters()
        }
        storage.syncer.stop(inForkedChild: forked)
        storage.background.stop(inForkedChild: forked)
        storage.completer.stop(inForkedChild: forked)
        notifier.close()
        // In a forked child the files are the parent's affair, their descriptors are closed already, and a lock may
        // be held for ever by a thread that did not come along.
        if forked { return }
        defer { letGo() }
        if options.readOnly { return }
        if commit.isPoisoned { throw GroupCommit.poisonedError }
        options.diagnostics.log(.info) { $0.add("closing the log") }
        // Nothing was written: the log is as clean, or as unclean, as it was.
        if isUnsettled.load(ordering: .acquiring) { return }
        try commit.lead(isClosing: true) { () throws(LogError) in
            try syncWithLead()
            removeDead()
            // From here on a failure costs the next open a scan, nothing else.
            try? writer.withLock { (writer) throws(LogError) in
                if let spare = try stock.clear().spare {
                    storage.close(spare.file)
                    try storage.remove(.segment(spare.id))
                }
                // After a clean close nobody looks for what rode.
                if writer.values.lastRide > 0 {
                    try writer.prepareFold()
                    try writer.updateFolding { _ in }
                }
                guard let segment = writer.tail.segment, segment.place.isMemory else { return }
                if format != .binary {
                    writer.cutToEnd(segment)
                } else if writer.tail.file.isOpen && writer.tail.isOpen {
                    try storage.truncate(writer.tail.file, to: writer.tail.endOffset)
                }
                try SideFile.write(
                    segment, end: writer.tail.end, highestTime: writer.tail.highestTime,
                    highestStamp: writer.tail.highestStamp, isClean: true,
                    epoch: writer.metadata.current.epoch, logID: logID, isDurable: true, storage: storage)
                try storage.syncDirectory()
            }
        }
    }

    /// Gives up files, mappings and memory; lent views keep their segments.
    private func letGo() {
        compression.empty()
        cursors.rest()
        try? writer.withLock { writer in
            writer.forgetUnsynced(writer.unsynced.count)
            if let spare = try? stock.clear().spare { storage.close(spare.file) }
            while let slot = try? segments.takeOut(atFront: false, if: { _, _ in true }) {
                guard let segment = slot.segment else { continue }
                writer.drop(segment, file: writer.tail.segment == segment ? writer.tail.file : .none)
            }
            writer.tail.clear(nextIndex: writer.tail.nextIndex)
            writer.metadata.close()
        }
        following?.close()
    }
}
