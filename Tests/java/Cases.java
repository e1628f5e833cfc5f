// Cases.java - what is Java's own: exceptions, threads, futures, closing. Each method is a case, and gets a path for a log.
//
// SPDX-License-Identifier: MIT
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import libwalrus.Code;
import libwalrus.Cursor;
import libwalrus.Durability;
import libwalrus.Entry;
import libwalrus.Log;
import libwalrus.Transaction;
import libwalrus.WalrusException;

final class Cases {
    private interface Action {
        void run() throws Exception;
    }

    private static void check(boolean condition, Object came) {
        if (!condition) {
            throw new AssertionError("this came: " + came);
        }
    }

    private static WalrusException refused(Code code, Action action) throws Exception {
        try {
            action.run();
        } catch (WalrusException exception) {
            check(exception.code() == code, exception);
            return exception;
        }
        throw new AssertionError(code + " was expected, and success came");
    }

    private static void join(Thread thread) throws InterruptedException {
        thread.join(20_000);
        check(!thread.isAlive(), thread + " that does not end");
    }

    static void anExceptionHasItsDetails(Path path) throws Exception {
        try (Log log = Log.open(path)) {
            WalrusException exception = refused(Code.NOT_FOUND, () -> log.get(7));
            check(exception.index() == 7 && exception.number() == -2 && !exception.getMessage().isEmpty(), exception);
            refused(Code.INVALID, () -> log.setMeta("a\0b", new byte[0]));
            refused(Code.INVALID, () -> Log.open(Path.of("/tmp"), Map.of("sync", "always\0")));
            check(refused(Code.LOCKED, () -> Log.open(path)).path().contains("log"), "another path");
        }
        check(refused(Code.IO, () -> Log.open(path.resolve("no/parent"))).errno() == 2, "another errno");
        for (Code code : Code.values()) {
            check(code == Code.UNKNOWN || Code.meaning(code.number()).startsWith("WALRUS_E_" + code + ":"), code);
        }
    }

    /** The last failure belongs to the thread: those that fail at once must not see each other's. */
    static void eachThreadSeesItsOwnFailure(Path path) throws Exception {
        ConcurrentLinkedQueue<Throwable> wrong = new ConcurrentLinkedQueue<>();
        try (Log log = Log.open(path)) {
            List<Thread> threads = new ArrayList<>();
            for (long i = 1; i <= 4; i++) {
                long index = i;
                threads.add(new Thread(() -> {
                    try {
                        for (int n = 0; n < 200; n++) {
                            check(refused(Code.NOT_FOUND, () -> log.get(index)).index() == index, index);
                        }
                    } catch (Throwable throwable) {
                        wrong.add(throwable);
                    }
                }));
            }
            threads.forEach(Thread::start);
            for (Thread thread : threads) {
                join(thread);
            }
        }
        check(wrong.isEmpty(), wrong);
    }

    static void aClosedLogNeverReachesC(Path path) throws Exception {
        Log log = Log.open(path);
        log.append("a");
        Cursor cursor = log.cursor(0);
        Transaction transaction = log.begin(null);
        log.close();
        log.close();
        check(log.isClosed(), "a log that is open");
        refused(Code.CLOSED, () -> log.append("b"));
        refused(Code.CLOSED, () -> log.get(1));
        refused(Code.CLOSED, () -> log.appendAsync(Entry.of("b")));
        refused(Code.CLOSED, () -> log.allMeta());
        refused(Code.CLOSED, () -> log.waitDurable(1, null));
        refused(Code.CLOSED, () -> cursor.next());
        refused(Code.CLOSED, () -> cursor.await(null));
        refused(Code.CLOSED, () -> transaction.append(Entry.of("b")));
        check(log.nextIndex() == 0 && cursor.position() == 0, "a number");
        cursor.close();
        cursor.close();
        transaction.rollback();
        transaction.close();
        refused(Code.CLOSED, () -> cursor.seek(0));
        refused(Code.TXN_STATE, () -> transaction.status());
    }

    /** Close comes while everything is in use: calls end, none crashes, and what was acknowledged is there. */
    static void closeBesideEverything(Path path) throws Exception {
        for (int round = 0; round < 5; round++) {
            Log log = Log.open(path, Map.of("sync", "os"));
            ConcurrentLinkedQueue<Throwable> wrong = new ConcurrentLinkedQueue<>();
            AtomicLong last = new AtomicLong();
            Cursor cursor = log.cursor(0);
            List<Action> actions = List.of(
                    () -> last.accumulateAndGet(log.append("entry"), Math::max),
                    () -> log.appendAsync(Entry.of("later")),
                    () -> log.get(1),
                    () -> log.waitDurable(log.lastIndex(), null),
                    () -> cursor.follow());
            List<Thread> threads = new ArrayList<>();
            for (Action action : actions) {
                Thread thread = new Thread(() -> {
                    while (true) {
                        try {
                            action.run();
                        } catch (WalrusException exception) {
                            if (exception.code() == Code.CLOSED) {
                                return;
                            } else if (exception.code() != Code.NOT_FOUND) {
                                wrong.add(exception);
                                return;
                            }
                        } catch (Throwable throwable) {
                            wrong.add(throwable);
                            return;
                        }
                    }
                });
                threads.add(thread);
                thread.start();
            }
            Thread.sleep(30);
            log.close();
            for (Thread thread : threads) {
                join(thread);
            }
            check(wrong.isEmpty(), wrong);
            try (Log again = Log.open(path)) {
                check(again.lastIndex() >= last.get(), again.lastIndex());
            }
        }
    }

    static void interruptionEndsAWait(Path path) throws Exception {
        try (Log log = Log.open(path); Cursor cursor = log.cursor(0)) {
            AtomicReference<Throwable> came = new AtomicReference<>();
            Action wait = () -> cursor.await(null);
            Action[] ends = {() -> {}, log::interrupt, log::close};
            for (int i = 0; i < ends.length; i++) {
                Thread thread = new Thread(() -> {
                    try {
                        wait.run();
                    } catch (Throwable throwable) {
                        came.set(throwable);
                    }
                });
                thread.start();
                Thread.sleep(20);
                if (i == 0) {
                    thread.interrupt();
                }
                ends[i].run();
                join(thread);
                check(i == 0 ? came.get() instanceof InterruptedException
                        : came.get() instanceof WalrusException exception
                                && exception.code() == (i == 1 ? Code.CANCELED : Code.CLOSED), came.get());
            }
        }
        try (Log log = Log.open(path); Cursor cursor = log.cursor(0)) {
            refused(Code.TIMEOUT, () -> cursor.await(Duration.ofMillis(5)));
        }
    }

    static void futuresCompleteOnceEntriesAreDurable(Path path) throws Exception {
        List<Log.Pending> all = new ArrayList<>();
        try (Log log = Log.open(path, Map.of("sync", "none"))) {
            for (int i = 0; i < 200; i++) {
                all.add(log.appendAsync(Entry.of("entry " + i)));
            }
            // What depends on a future may use the log as it likes.
            long durable = all.get(199).durable().thenApply(index -> {
                log.sync();
                return log.durableIndex();
            }).get(20, TimeUnit.SECONDS);
            check(durable == 200, durable);
            refused(Code.OUT_OF_ORDER, () -> log.appendAsync(Entry.of("no").withIndex(7)));
        }
        for (Log.Pending one : all) {
            check(one.durable().get(20, TimeUnit.SECONDS) == one.index(), one);
        }
        Log log = Log.open(path);
        Log.Pending last = log.appendAsync(Entry.of("at the end"));
        log.close(); // durable, or told that the log was closed first
        try {
            last.durable().get(20, TimeUnit.SECONDS);
        } catch (ExecutionException exception) {
            check(((WalrusException) exception.getCause()).code() == Code.CLOSED, exception);
        }
    }

    static void aVisitorMayDoAnything(Path path) throws Exception {
        Log log = Log.open(path, Map.of("sync", "none"));
        for (int i = 0; i < 600; i++) { // more than a page
            log.append("entry " + (i + 1));
        }
        List<Long> seen = new ArrayList<>();
        log.scan(1, -1, entry -> {
            check(entry.text().equals("entry " + entry.index()), entry);
            log.append("behind the end of the scan");
            return seen.add(entry.index());
        });
        check(seen.size() == 600 && seen.get(599) == 600, seen);
        try {
            log.scan(1, 5, entry -> {
                throw new IllegalStateException("mine");
            });
            check(false, "no exception");
        } catch (IllegalStateException exception) {
            check(exception.getMessage().equals("mine"), exception);
        }
        refused(Code.CLOSED, () -> log.scan(1, -1, entry -> {
            log.close();
            return true;
        }));
    }

    static void theLoggerIsTold(Path path) throws Exception {
        ConcurrentLinkedQueue<String> messages = new ConcurrentLinkedQueue<>();
        AtomicReference<Log> opened = new AtomicReference<>();
        AtomicReference<Throwable> wrong = new AtomicReference<>();
        Log log = Log.open(path, Map.of(), (level, message) -> {
            messages.add(level + " " + message);
            try {
                if (opened.get() != null) {
                    refused(Code.BUSY, opened.get()::close);
                }
            } catch (Throwable throwable) {
                wrong.set(throwable);
            }
            throw new IllegalStateException("is dropped");
        }, Log.Level.DEBUG);
        opened.set(log);
        log.append("a");
        System.gc(); // the callback must not be collected
        log.rotate();
        log.close();
        check(messages.size() >= 2 && wrong.get() == null, messages + " " + wrong);
    }

    static void recordsAreWhatTheyWere(Path path) throws Exception {
        try (Log log = Log.open(path)) {
            log.append(new Entry(1000, 7, -5, new byte[] {0, 1, (byte) 255}, 0), Durability.DURABLE);
            Entry entry = log.get(1000);
            check(entry.term() == 7 && entry.timestampNs() == -5 && entry.data().length == 3 && entry.data()[2] == -1, entry);
            check(log.get(1000).checksum() == Log.crc32(entry.data()), entry);
            refused(Code.INVALID, () -> log.appendPacked(new byte[3], new int[] {1, 1}, 0, Durability.DEFAULT));
            Map<String, Long> stats = log.stats();
            check(stats.get("entries_appended") == 1 && stats.get("recovery_ns") > 0, stats);
        }
    }

    static void convertKeepsEverythingButTheFormat(Path path) throws Exception {
        Map<String, String> json = Map.of("format", "json");
        Path target = path.resolveSibling("json");
        try (Log log = Log.open(path)) {
            log.append(new Entry(5, 3, 0, new byte[] {1, 2}, 0), Durability.DEFAULT);
            log.setMeta("key", new byte[] {3});
            Log.convert(path, target, json);
        }
        try (Log copy = Log.open(target, json)) {
            check(copy.get(5).term() == 3 && copy.get(5).data()[1] == 2 && copy.meta("key")[0] == 3, copy.get(5));
        }
        refused(Code.FORMAT, () -> Log.open(path, json));
        refused(Code.INVALID, () -> Log.convert(path, path, Map.of()));
    }

    static void whatIsForgottenIsFreed(Path path) throws Exception {
        Log.open(path).cursor(0);
        for (long end = System.nanoTime() + 20_000_000_000L; ; Thread.sleep(10)) {
            System.gc();
            try {
                Log.open(path).close();
                return;
            } catch (WalrusException exception) {
                check(exception.code() == Code.LOCKED && System.nanoTime() < end, exception);
            }
        }
    }
}
