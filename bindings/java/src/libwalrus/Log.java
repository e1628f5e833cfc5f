// Log.java - an open log
//
// SPDX-License-Identifier: MIT
package libwalrus;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.lang.ref.Cleaner;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiConsumer;
import java.util.function.Predicate;

/**
 * An embeddable write-ahead log: {@code try (Log log = Log.open(Path.of("orders"))) { log.append(bytes); }}. Any thread may use
 * it. Each method says what include/walrus.h says of the function that it stands for, and throws a {@link WalrusException} where
 * that fails. Indexes, terms and sizes are unsigned; times are nanoseconds since 1970 UTC.
 */
public final class Log implements AutoCloseable {
    static final Cleaner CLEANER = Cleaner.create();
    private static final LibWalrus C = LibWalrus.C;
    private static final int PAGE_ENTRIES = 256;
    private static final long PAGE_BYTES = 1 << 20;

    final State state;
    private final Cleaner.Cleanable cleanable;

    private Log(State state) {
        this.state = state;
        this.cleanable = CLEANER.register(this, state);
    }

    // ---- Open and close

    /** How important a message of the library is. */
    public enum Level { ERROR, WARN, INFO, DEBUG }

    /** What open found and did; reason is CLEAN, COMPLETE, TORN, BATCH or REORDERED. */
    public record RecoveryReport(Reason reason, long entriesCut, long bytesCut, long cutIndex, long cutOffset,
            long segmentsScanned, long bytesScanned, Duration duration, long durableIndex, String segment, String message) {
        /** Why the end of the log was cut. */
        public enum Reason { CLEAN, COMPLETE, TORN, BATCH, REORDERED, UNKNOWN }
    }

    /** A setting that the library knows, with what is allowed in words. */
    public record Option(String key, String defaultValue, String allowed) {}

    /** One file of the log. */
    public record Segment(long id, long firstIndex, long lastIndex, long bytes, long fileBytes, long highestTimestampNs,
            String name, boolean isTail) {}

    public static Log open(Path directory) {
        return open(directory, Map.of());
    }

    /** Opens the log, with options as text: {@code Map.of("sync", "os", "segment_size", "1MiB")}; options() lists them. */
    public static Log open(Path directory, Map<String, String> options) {
        return open(directory, options, null, Level.WARN);
    }

    /**
     * Opens the log with a logger, which is told messages up to a level. It is called from any thread, maybe from several at
     * once and while the log is locked: it must not use the log. What it throws is dropped.
     */
    public static Log open(Path directory, Map<String, String> options, BiConsumer<Level, String> logger, Level level) {
        String path = LibWalrus.text("the directory", directory.toString());
        Pointer settings = newOptions();
        try (Memory out = LibWalrus.zeroed(8)) {
            options.forEach((key, value) -> set(settings, key, value));
            LibWalrus.Tell tell = logger == null ? null : teller(logger);
            if (tell != null) {
                LibWalrus.check(C.walrus_options_set_logger(settings, tell, null, level.ordinal() + 1));
            }
            LibWalrus.check(C.walrus_open(path, settings, out));
            return new Log(new State(path, out.getPointer(0), tell));
        } finally {
            C.walrus_options_free(settings);
        }
    }

    private static LibWalrus.Tell teller(BiConsumer<Level, String> logger) {
        LibWalrus.Tell tell = (ctx, level, message) -> {
            boolean before = State.TELLING.get();
            State.TELLING.set(true);
            try {
                logger.accept(Level.values()[Math.max(1, Math.min(level, 4)) - 1], message);
            } catch (Throwable dropped) {
                // It must not go through C, and there is nobody above to whom it could be handed.
            } finally {
                State.TELLING.set(before);
            }
        };
        LibWalrus.attachAsDaemon(tell, "libwalrus");
        return tell;
    }

    private static Pointer newOptions() {
        Pointer options = C.walrus_options_new();
        if (options == null) {
            throw new WalrusException(Code.NO_MEMORY, "there is no memory for options");
        }
        return options;
    }

    private static void set(Pointer options, String key, String value) {
        LibWalrus.check(C.walrus_options_set(options, LibWalrus.text("the option", key), LibWalrus.text("the value of " + key, value)));
    }

    /** Writes and syncs what is not durable yet, and frees the log. Waits of other threads answer CLOSED. Again: does nothing. */
    @Override
    public void close() {
        state.close();
        cleanable.clean();
    }

    public boolean isClosed() {
        return state.isClosed();
    }

    /** Ends use of the log: every later call, and every one that waits, answers CLOSED. close is still due. */
    public void shutdown() {
        state.call(() -> C.walrus_shutdown(state.handle));
    }

    public static void destroy(Path directory) {
        LibWalrus.check(C.walrus_destroy(LibWalrus.text("the directory", directory.toString())));
    }

    /**
     * Copies a log into another one, in the format and with the compression that options say, with the same indexes, terms, times
     * and metadata. A copy that died goes on where it was when it is called again.
     */
    public static void convert(Path source, Path target, Map<String, String> options) {
        String from = LibWalrus.text("the source", source.toString());
        String to = LibWalrus.text("the target", target.toString());
        Pointer settings = newOptions();
        try {
            options.forEach((key, value) -> set(settings, key, value));
            LibWalrus.check(C.walrus_convert(from, to, settings, null, null));
        } finally {
            C.walrus_options_free(settings);
        }
    }

    public RecoveryReport recoveryReport() {
        try (Memory report = LibWalrus.sized(LibWalrus.REPORT_SIZE)) {
            state.call(() -> C.walrus_recovery_report(state.handle, report));
            RecoveryReport.Reason[] reasons = RecoveryReport.Reason.values();
            int reason = report.getInt(4);
            return new RecoveryReport(reasons[reason < 0 || reason >= reasons.length ? reasons.length - 1 : reason],
                    report.getLong(8), report.getLong(16), report.getLong(24), report.getLong(32), report.getLong(40),
                    report.getLong(48), Duration.ofNanos(report.getLong(56)), report.getLong(64), report.getString(72, "UTF-8"),
                    report.getString(136, "UTF-8"));
        }
    }

    // ---- The library

    /** All settings of the library. */
    public static List<Option> options() {
        List<Option> all = new ArrayList<>();
        LibWalrus.VisitOption visit = (ctx, key, defaultValue, allowed) -> {
            all.add(new Option(key, defaultValue, allowed));
            return 0;
        };
        LibWalrus.check(C.walrus_options_each(null, visit, null));
        return all;
    }

    /** How the library understands a setting, as in "64KiB" to "65536", or why it does not (INVALID). */
    public static String checkOption(String key, String value) {
        Pointer options = newOptions();
        try {
            set(options, key, value);
            byte[] text = new byte[256]; // no option is longer
            LibWalrus.check(C.walrus_options_get(options, key, text, text.length, null));
            int end = 0;
            while (text[end] != 0) {
                end++;
            }
            return new String(text, 0, end, StandardCharsets.UTF_8);
        } finally {
            C.walrus_options_free(options);
        }
    }

    public static String version() {
        return C.walrus_version();
    }

    public static int versionNumber() {
        return C.walrus_version_number();
    }

    public static int abiVersion() {
        return C.walrus_abi_version();
    }

    public static int crc32(byte[] data) {
        return C.walrus_crc32(data, data.length);
    }

    // ---- Append

    /** Appends data as the next entry, with the term of the one before it, and returns its index. */
    public long append(byte[] data) {
        return state.give(index -> C.walrus_append(state.handle, data, data.length, index));
    }

    public long append(String text) {
        return append(text.getBytes(StandardCharsets.UTF_8));
    }

    /** Appends an entry with its own term and time, and checks its index if it has one. */
    public long append(Entry entry, Durability durability) {
        try (Memory record = LibWalrus.records(List.of(entry))) {
            return state.give(index -> C.walrus_append_record(state.handle, record, durability.flags, index));
        }
    }

    /** Appends entries as one: after any crash all of them are there or none. Returns the first one's index. */
    public long appendBatch(List<Entry> entries, Durability durability) {
        try (Memory records = LibWalrus.records(entries)) {
            return state.give(first -> C.walrus_append_batch(state.handle, records, entries.size(), durability.flags, first));
        }
    }

    public long appendBatch(List<Entry> entries) {
        return appendBatch(entries, Durability.DEFAULT);
    }

    /** Appends a batch that is given as one run of bytes and the sizes of its entries, which have to add up to it. */
    public long appendPacked(byte[] data, int[] sizes, long term, Durability durability) {
        long total = 0;
        for (int size : sizes) {
            total += Integer.toUnsignedLong(size);
        }
        if (total != data.length) {
            throw new WalrusException(Code.INVALID, "the sizes add up to " + total + " bytes, and there are " + data.length);
        }
        return state.give(first -> C.walrus_append_packed(state.handle, data, sizes, sizes.length, term, durability.flags, first));
    }

    private static final AtomicLong LAST_PENDING = new AtomicLong();
    private static final Map<Long, CompletableFuture<Long>> PENDING = new ConcurrentHashMap<>();

    // One for all logs and for ever, so that C can never call one that was collected. What depends on the futures runs
    // elsewhere: on the library's thread much would be BUSY.
    private static final LibWalrus.Done DONE = (ctx, index, status) -> {
        CompletableFuture<Long> future = PENDING.remove(Pointer.nativeValue(ctx));
        ForkJoinPool.commonPool().execute(() -> {
            if (status < 0) {
                future.completeExceptionally(WalrusException.of(status));
            } else {
                future.complete(index);
            }
        });
    };

    static {
        LibWalrus.attachAsDaemon(DONE, "libwalrus completions");
    }

    /** An entry that is in the log; durable gets its index once it is on stable storage. */
    public record Pending(long index, CompletableFuture<Long> durable) {}

    /**
     * Appends an entry and does not wait for it to become durable: many share a sync. Waits only where async_max_bytes are
     * outstanding. The future fails with IO, POISONED, or CLOSED if the log was closed first (it is durable then if close
     * did not fail). What depends on it runs in the common pool.
     */
    public Pending appendAsync(Entry entry) {
        long id = LAST_PENDING.incrementAndGet();
        CompletableFuture<Long> future = new CompletableFuture<>();
        PENDING.put(id, future);
        boolean accepted = false;
        try (Memory record = LibWalrus.records(List.of(entry))) {
            long index = state.give(out -> C.walrus_append_async(state.handle, record, 0, DONE, new Pointer(id), out));
            accepted = true;
            return new Pending(index, future);
        } finally {
            if (!accepted) {
                PENDING.remove(id);
            }
        }
    }

    // ---- Durability

    /** Returns once every entry that was appended before, and all staged metadata, is on stable storage. */
    public void sync() {
        state.call(() -> C.walrus_sync(state.handle));
    }

    /** The highest index known to be on stable storage, or 0. */
    public long durableIndex() {
        return state.number(() -> C.walrus_durable_index(state.handle));
    }

    /** Waits until the entry at index is durable; null waits for ever, zero tells at once. */
    public void waitDurable(long index, Duration timeout) throws InterruptedException {
        state.await(timeout, ms -> state.call(() -> C.walrus_wait_durable(state.handle, index, ms)));
    }

    /** A descriptor that becomes readable when the durable index has moved (of a read-only log: the last index). */
    public int notifyFd() {
        return (int) state.give(fd -> C.walrus_notify_fd(state.handle, fd));
    }

    /** Ends every wait on the log that began before: CANCELED. */
    public void interrupt() {
        state.interrupt();
    }

    // ---- Read

    /** The lowest index in the log, or 0 when it is empty or closed. */
    public long firstIndex() {
        return state.number(() -> C.walrus_first_index(state.handle));
    }

    /** The highest index in the log, or 0 when it is empty or closed. */
    public long lastIndex() {
        return state.number(() -> C.walrus_last_index(state.handle));
    }

    /** What the next entry will get, or 0 when the log is closed. */
    public long nextIndex() {
        return state.number(() -> C.walrus_next_index(state.handle));
    }

    /** Reads one entry. */
    public Entry get(long index) {
        try (Memory entry = LibWalrus.zeroed(LibWalrus.ENTRY_SIZE)) {
            state.call(() -> C.walrus_get(state.handle, index, entry));
            try {
                return LibWalrus.copyOfEntry(entry);
            } finally {
                C.walrus_entry_release(entry);
            }
        }
    }

    /** Reads up to maxCount entries from first to last, and stops before their bytes would exceed maxBytes, but reads one. */
    public List<Entry> getRange(long first, long last, long maxBytes, int maxCount) {
        if (maxCount < 1) {
            throw new WalrusException(Code.INVALID, "a range of " + maxCount + " entries cannot be read: ask for one at least");
        }
        // Memory is taken for what there may be, not for what was asked.
        long there = Math.max(1, lastIndex() - first + 1);
        int capacity = (int) Math.min(maxCount, there);
        try (Memory entries = LibWalrus.zeroed((long) capacity * LibWalrus.ENTRY_SIZE); Memory count = LibWalrus.zeroed(8)) {
            state.call(() -> C.walrus_get_range(state.handle, first, last, maxBytes, entries, capacity, count));
            List<Entry> all = new ArrayList<>();
            try {
                for (long i = 0; i < count.getLong(0); i++) {
                    all.add(LibWalrus.copyOfEntry(entries.share(i * LibWalrus.ENTRY_SIZE)));
                }
            } finally {
                C.walrus_entries_release(entries, count.getLong(0));
            }
            return all;
        }
    }

    /**
     * Hands each entry from first to last, in order, to visit, until that answers false; a last above the last index is clipped
     * to what the log holds at the call. visit runs outside of C: it may throw, and do anything with the log.
     */
    public void scan(long first, long last, Predicate<Entry> visit) {
        long end = lastIndex();
        if (Long.compareUnsigned(last, end) > 0 && Long.compareUnsigned(first, end) <= 0) {
            last = end;
        }
        int capacity = PAGE_ENTRIES;
        while (true) {
            List<Entry> page;
            try {
                page = getRange(first, last, PAGE_BYTES, capacity);
            } catch (WalrusException exception) {
                if (capacity == 1) {
                    throw exception;
                }
                capacity = 1; // what lies before the entry that cannot be read is still handed out
                continue;
            }
            for (Entry entry : page) {
                if (!visit.test(entry)) {
                    return;
                }
                first++;
            }
            if (Long.compareUnsigned(first, last) > 0) {
                return;
            }
        }
    }

    /** Entries as one run of bytes, and their sizes. */
    public record Packed(byte[] data, int[] sizes) {}

    /**
     * Reads up to maxCount entries from first on whose bytes fit capacity. TOO_SMALL: not even the first one does, and
     * WalrusException.size tells what it needs.
     */
    public Packed readPacked(long first, int maxCount, int capacity) {
        long there = Math.max(1, lastIndex() - first + 1);
        int most = maxCount < 1 ? 0 : (int) Math.min(maxCount, there);
        byte[] data = new byte[capacity];
        int[] sizes = new int[Math.max(most, 1)];
        int count;
        try {
            count = (int) state.give(out -> C.walrus_read_packed(state.handle, first, most, data, capacity, sizes, out));
        } catch (WalrusException exception) {
            throw exception.code() == Code.TOO_SMALL ? exception.withSize(Integer.toUnsignedLong(sizes[0])) : exception;
        }
        int used = 0;
        for (int i = 0; i < count; i++) {
            used += sizes[i];
        }
        return new Packed(Arrays.copyOf(data, used), Arrays.copyOf(sizes, count));
    }

    public long term(long index) {
        return state.give(term -> C.walrus_term(state.handle, index, term));
    }

    /** The highest index whose entry has this term. */
    public long lastIndexOfTerm(long term) {
        return state.give(index -> C.walrus_last_index_of_term(state.handle, term, index));
    }

    /** The first index that holds an entry of this time or a later one, or one that comes after such an entry. */
    public long seekTime(long timestampNs) {
        return state.give(index -> C.walrus_seek_time(state.handle, timestampNs, index));
    }

    /** A cursor before the entry at index; 0 is the first one. */
    public Cursor cursor(long index) {
        return new Cursor(this, index, 0);
    }

    /** A cursor that shows only entries that are durable. */
    public Cursor durableCursor(long index) {
        return new Cursor(this, index, 1);
    }

    // ---- Truncate

    /** Drops every entry after index. Durable on return, as are the next three. */
    public void truncate(long index) {
        state.call(() -> C.walrus_truncate(state.handle, index));
    }

    /** Drops every entry before index. */
    public void truncateFront(long index) {
        state.call(() -> C.walrus_truncate_front(state.handle, index));
    }

    /** Drops every entry; the next one gets nextIndex. */
    public void reset(long nextIndex) {
        state.call(() -> C.walrus_reset(state.handle, nextIndex));
    }

    /** Drops every entry from index from on and appends entries in their place, as one step across any crash. */
    public void replaceSuffix(long from, List<Entry> entries) {
        try (Memory records = LibWalrus.records(entries)) {
            state.call(() -> C.walrus_replace_suffix(state.handle, from, records, entries.size(), 0));
        }
    }

    // ---- Transactions

    /** A transaction that expires after timeout; null: never, zero: as the option txn_timeout_ms says. */
    public Transaction begin(Duration timeout) {
        return new Transaction(this, timeout == null ? -1 : timeout.plusNanos(999_999).toMillis());
    }

    /** How many transactions are open. */
    public long transactions() {
        return state.number(() -> C.walrus_txn_count(state.handle));
    }

    /** Expires those whose time is over at once, and returns how many; the background does so by itself. */
    public long expireTransactions() {
        return state.give(expired -> C.walrus_txn_expire(state.handle, expired));
    }

    // ---- Metadata

    /** Sets a value beside the log, durable on return. No truncation touches it. */
    public void setMeta(String key, byte[] value) {
        String name = LibWalrus.text("the key", key);
        state.call(() -> C.walrus_meta_set(state.handle, name, value, value.length));
    }

    /** Stages a value to be set together with the next append: after a crash both are there or none. */
    public void stageMeta(String key, byte[] value) {
        String name = LibWalrus.text("the key", key);
        state.call(() -> C.walrus_meta_stage(state.handle, name, value, value.length));
    }

    /** Reads a value; NOT_FOUND where there is none. */
    public byte[] meta(String key) {
        String name = LibWalrus.text("the key", key);
        byte[] value = new byte[65536]; // no value is larger
        int size = (int) state.give(out -> C.walrus_meta_get(state.handle, name, value, value.length, out));
        return Arrays.copyOf(value, size);
    }

    public void deleteMeta(String key) {
        String name = LibWalrus.text("the key", key);
        state.call(() -> C.walrus_meta_delete(state.handle, name));
    }

    /** All keys and values, in the order of the keys' bytes. */
    public Map<String, byte[]> allMeta() {
        Map<String, byte[]> all = new LinkedHashMap<>();
        LibWalrus.VisitMeta visit = (ctx, key, value, size) -> {
            all.put(key.getString(0, "UTF-8"), size == 0 ? new byte[0] : value.getByteArray(0, (int) size));
            return 0;
        };
        state.call(() -> C.walrus_meta_each(state.handle, visit, null));
        return all;
    }

    // ---- Operations

    /** Ends the last segment and begins a new one. */
    public void rotate() {
        state.call(() -> C.walrus_rotate(state.handle));
    }

    /** The files of the log, oldest first. */
    public List<Segment> segments() {
        List<Segment> all = new ArrayList<>();
        LibWalrus.VisitSegment visit = (ctx, at) -> {
            all.add(new Segment(at.getLong(8), at.getLong(16), at.getLong(24), at.getLong(32), at.getLong(40), at.getLong(48),
                    at.getPointer(56).getString(0, "UTF-8"), at.getInt(4) != 0));
            return 0;
        };
        state.call(() -> C.walrus_segments(state.handle, visit, null));
        return all;
    }

    /** Counts by their names in walrus_stats_t, is_poisoned (0 or 1) among them; the histogram's are sync_histogram[0] and so on. */
    public Map<String, Long> stats() {
        Map<String, Long> all = new LinkedHashMap<>();
        try (Memory stats = LibWalrus.sized(LibWalrus.STATS_SIZE)) {
            state.call(() -> C.walrus_stats(state.handle, stats));
            all.put("is_poisoned", (long) stats.getInt(4));
            long offset = 8;
            for (String name : LibWalrus.STATS) {
                boolean isHistogram = name.equals("sync_histogram");
                for (int i = 0; i < (isHistogram ? LibWalrus.HISTOGRAM_COUNT : 1); i++, offset += 8) {
                    all.put(isHistogram ? name + "[" + i + "]" : name, stats.getLong(offset));
                }
            }
        }
        return all;
    }

    /** The same as text in the Prometheus exposition format. */
    public String statsText() {
        byte[] text = new byte[65536]; // many times what there is
        int size = (int) state.give(out -> C.walrus_stats_text(state.handle, text, text.length, out));
        return new String(text, 0, size - 1, StandardCharsets.UTF_8);
    }
}
