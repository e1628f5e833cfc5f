// Scenario.java - runs one file of Tests/scenarios through the Java binding; README.md there defines the lines
//
// SPDX-License-Identifier: MIT
import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import libwalrus.Code;
import libwalrus.Cursor;
import libwalrus.Durability;
import libwalrus.Entry;
import libwalrus.Log;
import libwalrus.Transaction;
import libwalrus.WalrusException;

final class Scenario {
    /** Thrown where the library lacks a function that the file needs. */
    static final class Skipped extends RuntimeException {
        private static final long serialVersionUID = 1;

        Skipped(String function) {
            super("the library has no " + function);
        }
    }

    /** Thrown where a line turns out otherwise, or cannot be read. */
    static final class Mismatch extends RuntimeException {
        private static final long serialVersionUID = 1;

        Mismatch(String message) {
            super(message);
        }
    }

    /** A number without a sign, which a long of Java cannot tell from one with it. */
    private record Unsigned(long value) {
        @Override
        public String toString() {
            return Long.toUnsignedString(value);
        }
    }

    private record Pair(String key, byte[] value) {}

    private final Path directory;
    private final Map<String, Log> logs = new HashMap<>();
    private final Map<String, Cursor> cursors = new HashMap<>();
    private final Map<String, Transaction> transactions = new HashMap<>();
    private final List<Log.Pending> pending = new ArrayList<>();
    private String handle;
    private String message = "";

    Scenario(Path place) {
        directory = place.resolve("log");
    }

    // ---- Tokens

    private static long number(String token) {
        return token.equals("max") ? -1 : Long.parseUnsignedLong(token);
    }

    private static byte[] bytes(String token) {
        String[] parts = token.split("\\*", 2);
        String text = parts[0].equals("-") && parts.length == 1 ? "" : parts[0];
        ByteArrayOutputStream once = new ByteArrayOutputStream();
        for (int i = 0; i < text.length(); i++) {
            if (text.charAt(i) == '%') {
                once.write(Integer.parseInt(text.substring(i + 1, i + 3), 16));
                i += 2;
            } else {
                once.write(text.charAt(i));
            }
        }
        int times = parts.length == 2 ? Integer.parseInt(parts[1]) : 1;
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (int i = 0; i < times; i++) {
            all.writeBytes(once.toByteArray());
        }
        return all.toByteArray();
    }

    private static String text(String token) {
        return new String(bytes(token), StandardCharsets.UTF_8);
    }

    private static Entry record(String token) {
        String[] fields = token.split(",");
        return new Entry(fields.length > 2 ? number(fields[2]) : 0, fields.length > 1 ? number(fields[1]) : 0,
                fields.length > 3 ? Long.parseLong(fields[3]) : 0, bytes(fields[0]), 0);
    }

    private static List<Entry> records(String[] tokens, int from) {
        return Arrays.stream(tokens).skip(from).map(Scenario::record).toList();
    }

    private static Durability durability(String token) {
        return switch (token) {
            case "default" -> Durability.DEFAULT;
            case "durable" -> Durability.DURABLE;
            case "os" -> Durability.TO_OS;
            case "buffered" -> Durability.BUFFERED;
            default -> throw new Mismatch(token + " is no flag");
        };
    }

    private static Duration timeout(String token) {
        return token.startsWith("-") ? null : Duration.ofMillis(Long.parseLong(token));
    }

    // ---- Results

    private static byte[] checked(Entry entry, long index) {
        CRC32 crc = new CRC32();
        crc.update(entry.data());
        if ((int) crc.getValue() != entry.checksum() || entry.index() != index) {
            throw new Mismatch("entry " + Long.toUnsignedString(index) + " has another checksum or says that it has another index");
        }
        return entry.data();
    }

    private static Object[] one(Object result) {
        return new Object[] {result};
    }

    private static Object[] unsigned(long... numbers) {
        return Arrays.stream(numbers).mapToObj(Unsigned::new).toArray();
    }

    private static Object[] none(Runnable operation) {
        operation.run();
        return new Object[0];
    }

    private static boolean agrees(String expected, Object came) {
        if (expected.equals("*")) {
            return true;
        } else if (came instanceof Unsigned unsigned) {
            return number(expected) == unsigned.value();
        } else if (came instanceof Long signed) {
            return Long.parseLong(expected) == signed;
        } else if (came instanceof byte[] data) {
            return Arrays.equals(bytes(expected), data);
        } else if (came instanceof Pair pair) {
            String[] parts = expected.split(",", 2);
            return text(parts[0]).equals(pair.key()) && Arrays.equals(bytes(parts[1]), pair.value());
        }
        return expected.equals(came);
    }

    // ---- Lines

    void run(Path file) throws Exception {
        int number = 0;
        for (String line : Files.readAllLines(file, StandardCharsets.US_ASCII)) {
            number++;
            if (line.isEmpty() || line.startsWith("#")) {
                continue;
            }
            try {
                runLine(line);
            } catch (Skipped skipped) {
                throw skipped;
            } catch (Exception exception) {
                throw new Mismatch(file.getFileName() + ":" + number + ": " + exception);
            }
        }
        closeAll();
    }

    void closeAll() {
        cursors.values().forEach(Cursor::close);
        transactions.values().forEach(Transaction::close);
        logs.values().forEach(Log::close);
    }

    private void runLine(String line) throws Exception {
        int arrow = (line + " ").indexOf(" -> ");
        String[] tokens = (arrow < 0 ? line : line.substring(0, arrow)).split(" ");
        String[] expected = arrow < 0 || line.length() <= arrow + 4 ? new String[0] : line.substring(arrow + 4).split(" ");
        handle = "main";
        if (tokens[0].startsWith("@")) {
            handle = tokens[0].substring(1);
            tokens = Arrays.copyOfRange(tokens, 1, tokens.length);
        }
        Object[] came;
        try {
            came = operate(tokens[0], Arrays.copyOfRange(tokens, 1, tokens.length));
        } catch (WalrusException exception) {
            message = exception.getMessage();
            boolean small = exception.code() == Code.TOO_SMALL;
            came = small ? new Object[] {"error", "TOO_SMALL", new Unsigned(exception.size())}
                    : new Object[] {"error", exception.code().name()};
        }
        if (arrow < 0) {
            if (came.length > 0 && "error".equals(came[0])) {
                throw new Mismatch("success was expected, and error " + came[1] + " came: " + message);
            }
            return;
        }
        if (came.length == 3 && expected.length == 2 && "error".equals(came[0])) {
            came = Arrays.copyOf(came, 2); // the size that is needed is not looked at
        }
        boolean same = came.length == expected.length;
        for (int i = 0; same && i < came.length; i++) {
            same = agrees(expected[i], came[i]);
        }
        if (!same) {
            throw new Mismatch(line.substring(0, Math.min(80, line.length())) + ": this came: " + Arrays.deepToString(came));
        }
    }

    private <T> T lookup(Map<String, T> table, String name) {
        T found = table.get(name);
        if (found == null) {
            throw new Mismatch("there is nothing open called " + name);
        }
        return found;
    }

    private <T> void keep(Map<String, T> table, String name, T value) {
        if (table.put(name, value) != null) {
            throw new Mismatch("there was one called " + name + " already");
        }
    }

    private Log log() {
        return lookup(logs, handle);
    }

    private Object[] operate(String name, String[] a) throws Exception {
        return switch (name) {
            case "needs" -> none(() -> Arrays.stream(a).forEach(Scenario::need));
            case "version" -> version();
            case "strerror" -> one(Code.meaning(Integer.parseInt(a[0])).split(":")[0].getBytes(StandardCharsets.UTF_8));
            case "crc32" -> unsigned(Integer.toUnsignedLong(Log.crc32(bytes(a[0]))));
            case "message" -> none(() -> {
                if (!message.contains(text(a[0]))) {
                    throw new Mismatch("the message does not contain " + a[0] + ": " + message);
                }
            });
            case "option" -> one(Log.checkOption(a[0], text(a[1])).getBytes(StandardCharsets.UTF_8));
            // Options are text here, a mode in octal; there is no other way to set one.
            case "option_u64" -> one(Log.checkOption(a[0], a[0].equals("file_mode") ? "0" + Long.toOctalString(number(a[1])) : a[1])
                    .getBytes(StandardCharsets.UTF_8));
            case "option_default" -> one(Log.options().stream().filter(option -> option.key().equals(a[0])).findFirst()
                    .orElseThrow().defaultValue().getBytes(StandardCharsets.UTF_8));
            case "sleep" -> none(() -> sleep(Long.parseLong(a[0])));
            case "file" -> file(a[0], bytes(a[1]));
            case "crash" -> crash();
            case "damage" -> damage(bytes(a[0]));
            default -> operateOnLog(name, a);
        };
    }

    private Object[] operateOnLog(String name, String[] a) throws Exception {
        if (name.startsWith("cursor_")) {
            return operateOnCursor(name, a);
        } else if (name.startsWith("txn_")) {
            return operateOnTransaction(name, a);
        } else if (name.startsWith("meta_")) {
            return operateOnMeta(name, a);
        }
        return switch (name) {
            case "open" -> none(() -> open(a));
            case "close" -> none(() -> logs.remove(handle).close());
            case "shutdown" -> none(log()::shutdown);
            case "destroy" -> none(() -> Log.destroy(directory));
            case "recovery" -> {
                Log.RecoveryReport report = log().recoveryReport();
                yield new Object[] {report.reason().name().toLowerCase(), new Unsigned(report.entriesCut())};
            }
            case "bounds" -> unsigned(log().firstIndex(), log().lastIndex(), log().nextIndex());
            case "append" -> unsigned(log().append(bytes(a[0])));
            case "record" -> unsigned(log().append(record(a[1]), durability(a[0])));
            case "batch" -> unsigned(log().appendBatch(records(a, 1), durability(a[0])));
            case "packed" -> packed(a);
            case "async" -> {
                Log.Pending one = log().appendAsync(record(a[0]));
                pending.add(one);
                yield unsigned(one.index());
            }
            case "completions" -> completions();
            case "sync" -> none(log()::sync);
            case "durable" -> unsigned(log().durableIndex());
            case "interrupt" -> none(log()::interrupt);
            case "wait_durable" -> {
                log().waitDurable(number(a[0]), timeout(a[1]));
                yield new Object[0];
            }
            case "notify" -> notifyFd(Integer.parseInt(a[0]));
            case "rotate" -> none(log()::rotate);
            case "segments" -> log().segments().stream().map(s -> s.firstIndex() + ":" + s.lastIndex()).toArray();
            case "stats" -> unsigned(log().stats().get(a[0]));
            case "stats_text" -> unsigned(log().statsText().lines().filter(row -> row.startsWith(a[0] + " ")).findFirst()
                    .map(row -> number(row.substring(a[0].length() + 1))).orElseThrow());
            case "truncate" -> none(() -> log().truncate(number(a[0])));
            case "truncate_front" -> none(() -> log().truncateFront(number(a[0])));
            case "reset" -> none(() -> log().reset(number(a[0])));
            // It is durable whatever the flags say, so the binding has none.
            case "replace_suffix" -> none(() -> log().replaceSuffix(number(a[0]), records(a, 2)));
            default -> read(name, a);
        };
    }

    private Object[] read(String name, String[] a) {
        return switch (name) {
            case "get" -> {
                Entry entry = log().get(number(a[0]));
                yield new Object[] {checked(entry, number(a[0])), new Unsigned(entry.term()), entry.timestampNs()};
            }
            case "read" -> sized(log().get(number(a[0])).data(), number(a[1]));
            case "scan" -> scan(number(a[0]), number(a[1]), Integer.parseInt(a[2]));
            case "range" -> {
                List<Object> found = new ArrayList<>();
                long index = number(a[0]);
                for (Entry entry : log().getRange(index, number(a[1]), number(a[2]), Integer.parseInt(a[3]))) {
                    found.add(checked(entry, index++));
                }
                yield found.toArray();
            }
            case "read_packed" -> {
                int count = a[1].equals("max") ? Integer.MAX_VALUE : Integer.parseInt(a[1]);
                Log.Packed packed = log().readPacked(number(a[0]), count, Integer.parseInt(a[2]));
                List<Object> found = new ArrayList<>();
                int offset = 0;
                for (int size : packed.sizes()) {
                    found.add(Arrays.copyOfRange(packed.data(), offset, offset + size));
                    offset += size;
                }
                yield found.toArray();
            }
            case "term" -> unsigned(log().term(number(a[0])));
            case "last_index_of_term" -> unsigned(log().lastIndexOfTerm(number(a[0])));
            case "seek_time" -> unsigned(log().seekTime(Long.parseLong(a[0])));
            default -> throw new Mismatch("there is no operation " + name);
        };
    }

    private Object[] operateOnCursor(String name, String[] a) throws Exception {
        if (name.equals("cursor_open")) {
            return none(() -> keep(cursors, a[0], a[2].equals("durable") ? log().durableCursor(number(a[1])) : log().cursor(number(a[1]))));
        }
        Cursor cursor = lookup(cursors, a[0]);
        return switch (name) {
            // The binding answers with an empty Optional where C says CAUGHT_UP.
            case "cursor_next" -> cursor.next().map(entry -> new Object[] {new Unsigned(entry.index()), checked(entry, entry.index())})
                    .orElse(new Object[] {"error", "CAUGHT_UP"});
            case "cursor_prev" -> {
                Entry entry = cursor.prev();
                yield new Object[] {new Unsigned(entry.index()), checked(entry, entry.index())};
            }
            case "cursor_seek" -> none(() -> cursor.seek(number(a[1])));
            case "cursor_position" -> unsigned(cursor.position());
            case "cursor_wait" -> {
                cursor.await(timeout(a[1]));
                yield new Object[0];
            }
            case "cursor_close" -> none(() -> cursors.remove(a[0]).close());
            default -> throw new Mismatch("there is no operation " + name);
        };
    }

    private Object[] operateOnTransaction(String name, String[] a) {
        return switch (name) {
            case "txn_begin" -> none(() -> keep(transactions, a[0], log().begin(timeout(a[1]))));
            case "txn_append" -> none(() -> lookup(transactions, a[0]).append(record(a[1])));
            case "txn_commit" -> {
                Transaction.Committed committed = lookup(transactions, a[0]).commit(durability(a[1]));
                transactions.remove(a[0]);
                yield unsigned(committed.firstIndex(), committed.count());
            }
            case "txn_rollback" -> none(() -> transactions.remove(a[0]).rollback());
            case "txn_state" -> one(lookup(transactions, a[0]).status().name().toLowerCase());
            case "txn_count" -> unsigned(log().transactions());
            case "txn_expire" -> unsigned(log().expireTransactions());
            default -> throw new Mismatch("there is no operation " + name);
        };
    }

    private Object[] operateOnMeta(String name, String[] a) {
        return switch (name) {
            case "meta_set" -> none(() -> log().setMeta(text(a[0]), bytes(a[1])));
            case "meta_stage" -> none(() -> log().stageMeta(text(a[0]), bytes(a[1])));
            case "meta_delete" -> none(() -> log().deleteMeta(text(a[0])));
            case "meta_get" -> sized(log().meta(text(a[0])), number(a[1]));
            case "meta_list" -> log().allMeta().entrySet().stream().map(pair -> new Pair(pair.getKey(), pair.getValue())).toArray();
            default -> throw new Mismatch("there is no operation " + name);
        };
    }

    // ---- Operations that take more than a line

    private static void need(String function) {
        try {
            NativeLibrary.getInstance(System.getenv("WALRUS_LIBRARY")).getFunction(function);
        } catch (UnsatisfiedLinkError error) {
            throw new Skipped(function);
        }
    }

    private static Object[] version() {
        int number = Log.versionNumber();
        if (!Log.version().equals(number / 10000 + "." + number / 100 % 100 + "." + number % 100)) {
            throw new Mismatch("version is " + Log.version() + ", versionNumber " + number);
        }
        return unsigned(Log.abiVersion());
    }

    private void open(String[] settings) {
        Map<String, String> options = new HashMap<>();
        for (String setting : settings) {
            String[] pair = setting.split("=", 2);
            options.put(pair[0], text(pair[1]));
        }
        keep(logs, handle, Log.open(directory, options));
    }

    private Object[] packed(String[] a) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        int[] sizes = new int[a.length - 2];
        for (int i = 0; i < sizes.length; i++) {
            sizes[i] = bytes(a[i + 2]).length;
            data.writeBytes(bytes(a[i + 2]));
        }
        return unsigned(log().appendPacked(data.toByteArray(), sizes, number(a[1]), durability(a[0])));
    }

    private Object[] completions() throws Exception {
        List<Object> found = new ArrayList<>();
        for (Log.Pending one : pending) {
            found.add(new Unsigned(one.durable().get(30, TimeUnit.SECONDS)));
        }
        pending.clear();
        return found.toArray();
    }

    /** Java cannot poll a number, so libc does. */
    private Object[] notifyFd(int timeoutMs) {
        int fd = log().notifyFd();
        try (Memory poll = new Memory(8)) {
            poll.setInt(0, fd);
            poll.setInt(4, 1); // POLLIN
            if (Function.getFunction("c", "poll").invokeInt(new Object[] {poll, 1L, timeoutMs}) != 1) {
                return one("quiet");
            }
            if (Function.getFunction("c", "read").invokeInt(new Object[] {fd, poll, 8L}) != 8) {
                throw new Mismatch("the descriptor is readable, but has no 8 bytes");
            }
        }
        return one("readable");
    }

    /** The binding has no buffer of the caller's here. */
    private Object[] sized(byte[] data, long capacity) {
        return data.length > capacity ? new Object[] {"error", "TOO_SMALL", new Unsigned(data.length)} : one(data);
    }

    private Object[] scan(long first, long last, int most) {
        List<Object> found = new ArrayList<>();
        long[] index = {first};
        log().scan(first, last, entry -> {
            found.add(checked(entry, index[0]++));
            return found.size() != most;
        });
        return found.toArray();
    }

    private static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException exception) {
            throw new Mismatch("interrupted");
        }
    }

    // ---- The place

    private Object[] file(String name, byte[] content) throws IOException {
        Files.createDirectories(directory);
        Files.write(directory.resolve(name), content);
        return new Object[0];
    }

    private List<Path> files() throws IOException {
        try (var found = Files.list(directory)) {
            return found.toList();
        }
    }

    private Object[] crash() throws IOException {
        Map<Path, byte[]> contents = new HashMap<>();
        for (Path file : files()) {
            contents.put(file, Files.readAllBytes(file));
        }
        logs.remove(handle).close();
        for (Path file : files()) {
            Files.delete(file);
        }
        for (var pair : contents.entrySet()) {
            Files.write(pair.getKey(), pair.getValue());
        }
        return new Object[0];
    }

    private Object[] damage(byte[] content) throws IOException {
        int found = 0;
        String wanted = new String(content, StandardCharsets.ISO_8859_1);
        for (Path file : files()) {
            byte[] bytes = Files.readAllBytes(file);
            String all = new String(bytes, StandardCharsets.ISO_8859_1);
            for (int at = all.indexOf(wanted); file.toString().endsWith(".wal") && at >= 0; at = all.indexOf(wanted, at + 1)) {
                found++;
                bytes[at] ^= 1;
                Files.write(file, bytes);
            }
        }
        if (found != 1) {
            throw new Mismatch("these bytes are in the segments " + found + " times, not once");
        }
        return new Object[0];
    }
}
