// Cursor.java - a position in a log that moves, and following a log
//
// SPDX-License-Identifier: MIT
package libwalrus;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.lang.ref.Cleaner;
import java.time.Duration;
import java.util.Optional;

/**
 * A position between two entries; {@link Log#cursor} makes one. Where the log is truncated below it, it goes back to the cut.
 * Over a log that was opened with read_only it follows a writer in another process.
 */
public final class Cursor implements AutoCloseable {
    private final Log log; // stays as long as this
    private final Owned owned;
    private final Cleaner.Cleanable cleanable;

    Cursor(Log log, long index, int flags) {
        this.log = log;
        long handle = log.state.give(out -> LibWalrus.C.walrus_cursor_open(log.state.handle, index, flags, out));
        owned = new Owned(log.state, handle, Code.CLOSED, LibWalrus.C::walrus_cursor_close);
        cleanable = Log.CLEANER.register(this, owned);
    }

    private interface Reader {
        int read(Pointer cursor, Pointer entry);
    }

    private Entry read(Reader reader) {
        try (Memory entry = LibWalrus.zeroed(LibWalrus.ENTRY_SIZE)) {
            owned.call(handle -> reader.read(handle, entry));
            try {
                return LibWalrus.copyOfEntry(entry);
            } finally {
                LibWalrus.C.walrus_entry_release(entry);
            }
        }
    }

    /**
     * Reads the entry behind the cursor and steps over it; empty where there is none yet. COMPACTED: it was truncated away at
     * the front, go on with seek(0). After a failure the cursor stays.
     */
    public Optional<Entry> next() {
        try {
            return Optional.of(read(LibWalrus.C::walrus_cursor_next));
        } catch (WalrusException exception) {
            if (exception.code() == Code.CAUGHT_UP) {
                return Optional.empty();
            }
            throw exception;
        }
    }

    /** Reads the entry before the cursor and steps back over it. NOT_FOUND: the cursor stands before the first one. */
    public Entry prev() {
        return read(LibWalrus.C::walrus_cursor_prev);
    }

    /** Moves the cursor before the entry at index; 0 is the first one. */
    public void seek(long index) {
        owned.call(handle -> LibWalrus.C.walrus_cursor_seek(handle, index));
    }

    /** The index that next would read: where to go on after a restart. 0 when the cursor or its log is closed. */
    public long position() {
        return owned.number(LibWalrus.C::walrus_cursor_position);
    }

    /**
     * Waits until next has something to say; null waits for ever. TIMEOUT, CANCELED (Log.interrupt), CLOSED, POISONED.
     * The thread's own interruption is heard within 50 ms.
     */
    public void await(Duration timeout) throws InterruptedException {
        log.state.await(timeout, ms -> owned.call(handle -> LibWalrus.C.walrus_cursor_wait(handle, ms)));
    }

    /** The next entry, waiting for it for ever. */
    public Entry follow() throws InterruptedException {
        while (true) {
            Optional<Entry> entry = next();
            if (entry.isPresent()) {
                return entry.get();
            }
            await(null);
        }
    }

    /** Ends the use of the cursor; may come after its log's close, and again. */
    @Override
    public void close() {
        cleanable.clean();
    }
}
