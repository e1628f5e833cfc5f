// LibWalrus.java - walrus.h for JNA: the functions, where members of its structs lie, and what crosses the boundary
//
// SPDX-License-Identifier: MIT
package libwalrus;

import com.sun.jna.Callback;
import com.sun.jna.CallbackThreadInitializer;
import com.sun.jna.Library;
import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import java.util.List;
import java.util.Map;

/**
 * The functions of the library. size_t is long, as on every 64-bit system; unsigned 64 bits are long, to be read with
 * Long.toUnsignedString where they may be 2^63 or more.
 */
interface LibWalrus extends Library {
    LibWalrus C = load();

    private static LibWalrus load() {
        String path = System.getProperty("libwalrus.path", System.getenv("WALRUS_LIBRARY"));
        LibWalrus library = Native.load(path == null ? "libwalrus.so.1" : path, LibWalrus.class,
                Map.of(OPTION_STRING_ENCODING, "UTF-8"));
        if (library.walrus_abi_version() != 1) {
            throw new UnsatisfiedLinkError("this binding knows version 1 of libwalrus' interface, and the library has version "
                    + library.walrus_abi_version() + ": take the binding that came with it");
        }
        return library;
    }

    // ---- Callbacks

    interface Done extends Callback {
        void invoke(Pointer ctx, long index, int status);
    }

    interface Tell extends Callback {
        void invoke(Pointer ctx, int level, String message);
    }

    interface VisitOption extends Callback {
        int invoke(Pointer ctx, String key, String defaultValue, String allowed);
    }

    interface VisitMeta extends Callback {
        int invoke(Pointer ctx, Pointer key, Pointer value, long size);
    }

    interface VisitSegment extends Callback {
        int invoke(Pointer ctx, Pointer segment);
    }

    /** The library's threads are attached as daemons, so that they do not keep the virtual machine up. */
    static void attachAsDaemon(Callback callback, String name) {
        Native.setCallbackThreadInitializer(callback, new CallbackThreadInitializer(true, false, name));
    }

    // ---- Functions

    String walrus_version();
    int walrus_version_number();
    int walrus_abi_version();
    String walrus_strerror(int code);
    int walrus_last_error(Pointer error);
    int walrus_crc32(byte[] data, long size);

    Pointer walrus_options_new();
    void walrus_options_free(Pointer options);
    int walrus_options_set(Pointer options, String key, String value);
    int walrus_options_set_u64(Pointer options, String key, long value);
    int walrus_options_get(Pointer options, String key, byte[] buffer, long capacity, Pointer size);
    int walrus_options_each(Pointer options, VisitOption visit, Pointer ctx);
    int walrus_options_set_logger(Pointer options, Tell fn, Pointer ctx, int level);

    int walrus_open(String dir, Pointer options, Pointer out);
    int walrus_shutdown(Pointer log);
    int walrus_close(Pointer log);
    int walrus_recovery_report(Pointer log, Pointer report);
    int walrus_destroy(String dir);
    int walrus_convert(String source, String target, Pointer options, Pointer progress, Pointer ctx);

    int walrus_append(Pointer log, byte[] data, long size, Pointer index);
    int walrus_append_record(Pointer log, Pointer record, int flags, Pointer index);
    int walrus_append_batch(Pointer log, Pointer records, long count, int flags, Pointer first);
    int walrus_append_packed(Pointer log, byte[] data, int[] sizes, long count, long term, int flags, Pointer first);
    int walrus_append_async(Pointer log, Pointer record, int flags, Done done, Pointer ctx, Pointer index);

    int walrus_sync(Pointer log);
    long walrus_durable_index(Pointer log);
    int walrus_wait_durable(Pointer log, long index, long timeout);
    int walrus_notify_fd(Pointer log, Pointer fd);
    int walrus_interrupt(Pointer log);

    long walrus_first_index(Pointer log);
    long walrus_last_index(Pointer log);
    long walrus_next_index(Pointer log);
    int walrus_get(Pointer log, long index, Pointer entry);
    void walrus_entry_release(Pointer entry);
    int walrus_read(Pointer log, long index, byte[] buffer, long capacity, Pointer size);
    int walrus_get_range(Pointer log, long first, long last, long maxBytes, Pointer entries, long capacity, Pointer count);
    void walrus_entries_release(Pointer entries, long count);
    int walrus_read_packed(Pointer log, long first, long maxCount, byte[] buffer, long capacity, int[] sizes, Pointer count);
    int walrus_term(Pointer log, long index, Pointer term);
    int walrus_last_index_of_term(Pointer log, long term, Pointer index);
    int walrus_seek_time(Pointer log, long timestamp, Pointer index);

    int walrus_cursor_open(Pointer log, long index, int flags, Pointer cursor);
    int walrus_cursor_next(Pointer cursor, Pointer entry);
    int walrus_cursor_prev(Pointer cursor, Pointer entry);
    int walrus_cursor_seek(Pointer cursor, long index);
    long walrus_cursor_position(Pointer cursor);
    int walrus_cursor_wait(Pointer cursor, long timeout);
    void walrus_cursor_close(Pointer cursor);

    int walrus_truncate(Pointer log, long index);
    int walrus_truncate_front(Pointer log, long index);
    int walrus_reset(Pointer log, long nextIndex);
    int walrus_replace_suffix(Pointer log, long from, Pointer records, long count, int flags);

    int walrus_txn_begin(Pointer log, long timeout, Pointer txn);
    int walrus_txn_append(Pointer txn, Pointer record);
    int walrus_txn_commit(Pointer txn, int flags, Pointer first, Pointer count);
    int walrus_txn_rollback(Pointer txn);
    int walrus_txn_state(Pointer txn);
    long walrus_txn_count(Pointer log);
    int walrus_txn_expire(Pointer log, Pointer expired);

    int walrus_meta_set(Pointer log, String key, byte[] value, long size);
    int walrus_meta_get(Pointer log, String key, byte[] buffer, long capacity, Pointer size);
    int walrus_meta_delete(Pointer log, String key);
    int walrus_meta_each(Pointer log, VisitMeta visit, Pointer ctx);
    int walrus_meta_stage(Pointer log, String key, byte[] value, long size);

    int walrus_rotate(Pointer log);
    int walrus_segments(Pointer log, VisitSegment visit, Pointer ctx);
    int walrus_stats(Pointer log, Pointer stats);
    int walrus_stats_text(Pointer log, byte[] buffer, long capacity, Pointer size);

    // ---- Structs: sizes and offsets, as abi/walrus-1.abi records them

    int ERROR_SIZE = 1056;
    int ENTRY_SIZE = 56;
    int RECORD_SIZE = 56;
    int REPORT_SIZE = 392;

    /** The members of walrus_stats_t behind is_poisoned, 8 bytes each, but for the histogram of 24 in the middle. */
    List<String> STATS = List.of("first_index", "last_index", "durable_index", "segments", "async_pending", "txn_open", "appends",
            "entries_appended", "bytes_appended", "bytes_written", "syncs", "entries_synced", "largest_group", "sync_ns",
            "sync_ns_max", "sync_histogram", "rotations", "truncations", "segments_removed", "segment_cache_hits",
            "segment_cache_misses", "txn_committed", "txn_rolled_back", "txn_expired", "meta_updates", "recovery_ns",
            "recovery_bytes_cut", "recovery_entries_cut");
    int HISTOGRAM_COUNT = 24;
    int STATS_SIZE = 8 + 8 * (STATS.size() - 1 + HISTOGRAM_COUNT);

    static Memory zeroed(long size) {
        Memory memory = new Memory(Math.max(size, 1));
        memory.clear();
        return memory;
    }

    /** A struct that begins with struct_size. */
    static Memory sized(int size) {
        Memory memory = zeroed(size);
        memory.setInt(0, size);
        return memory;
    }

    /** Copies an entry that C has lent; its memory can be given back then. */
    static Entry copyOfEntry(Pointer entry) {
        long size = entry.getLong(32);
        byte[] data = size == 0 ? new byte[0] : entry.getPointer(24).getByteArray(0, Math.toIntExact(size));
        return new Entry(entry.getLong(0), entry.getLong(8), entry.getLong(16), data, entry.getInt(40));
    }

    /** The records of entries and, behind them, their bytes: one piece of memory, for the time of a call. */
    static Memory records(List<Entry> entries) {
        long bytes = 0;
        for (Entry entry : entries) {
            bytes += entry.data().length;
        }
        long offset = (long) entries.size() * RECORD_SIZE;
        Memory memory = new Memory(Math.max(offset + bytes, 1));
        for (int i = 0; i < entries.size(); i++) {
            Entry entry = entries.get(i);
            long at = (long) i * RECORD_SIZE;
            byte[] data = entry.data();
            memory.setPointer(at, data.length == 0 ? Pointer.NULL : memory.share(offset));
            memory.setLong(at + 8, data.length);
            memory.setLong(at + 16, entry.index());
            memory.setLong(at + 24, entry.term());
            memory.setLong(at + 32, entry.timestampNs());
            memory.setLong(at + 40, 0);
            memory.setLong(at + 48, 0);
            memory.write(offset, data, 0, data.length);
            offset += data.length;
        }
        return memory;
    }

    /** Refuses text that would lose its end in C. */
    static String text(String what, String text) {
        if (text.indexOf('\0') >= 0) {
            throw new WalrusException(Code.INVALID, what + " has a NUL in it: leave that out");
        }
        return text;
    }

    /** Throws what a call of this thread failed with. */
    static int check(int code) {
        if (code < 0) {
            throw WalrusException.last(code);
        }
        return code;
    }
}
