// State.java - one handle of an open log, and the rules that keep it safe
//
//   - No call reaches C with a freed handle. A call holds the lock for reading while it lasts; close() takes it for writing
//     once walrus_shutdown has ended what waits. A call never waits for the lock: while it is held for writing, the log is
//     being closed.
//   - The caller's code never runs inside a call of C, but for the logger.
//   - A wait is made of short ones, so that Thread.interrupt is heard.
//
// A cleaner owns this of a log that was forgotten, so it must not know the Log.
//
// SPDX-License-Identifier: MIT
package libwalrus;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.lang.ref.Reference;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.IntSupplier;
import java.util.function.LongConsumer;
import java.util.function.LongSupplier;
import java.util.function.ToIntFunction;

final class State implements Runnable {
    static final long SLICE_MS = 50;
    static final ThreadLocal<Boolean> TELLING = ThreadLocal.withInitial(() -> false);

    final String path;
    final Pointer handle;
    final Object freeing = new Object(); // held while C frees what belongs to the log, or the log itself
    private final LibWalrus.Tell logger; // C calls it until walrus_close has returned
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    private final AtomicBoolean closing = new AtomicBoolean();
    private final AtomicLong interrupts = new AtomicLong();

    State(String path, Pointer handle, LibWalrus.Tell logger) {
        this.path = path;
        this.handle = handle;
        this.logger = logger;
    }

    WalrusException closed() {
        return new WalrusException(Code.CLOSED, "log '" + path + "' is closed: open it again to use it");
    }

    private boolean enter() {
        if (closing.get()) {
            return false;
        }
        if (!lock.readLock().tryLock()) {
            return false;
        }
        if (closing.get()) {
            lock.readLock().unlock();
            return false;
        }
        return true;
    }

    /** Makes a call, and throws what it failed with. */
    int call(IntSupplier function) {
        if (!enter()) {
            throw closed();
        }
        try {
            return LibWalrus.check(function.getAsInt());
        } finally {
            lock.readLock().unlock();
        }
    }

    /** A call with a place for one number that it gives. */
    long give(ToIntFunction<Pointer> function) {
        try (Memory number = LibWalrus.zeroed(8)) {
            call(() -> function.applyAsInt(number));
            return number.getLong(0);
        }
    }

    /** A function whose answer is a number, which is 0 where it cannot answer. */
    long number(LongSupplier function) {
        if (!enter()) {
            return 0;
        }
        try {
            return function.getAsLong();
        } finally {
            lock.readLock().unlock();
        }
    }

    void interrupt() {
        interrupts.incrementAndGet();
        call(() -> LibWalrus.C.walrus_interrupt(handle));
    }

    /** Makes a call that takes milliseconds again and again, until it says something else than TIMEOUT; null waits for ever. */
    void await(Duration timeout, LongConsumer call) throws InterruptedException {
        long before = interrupts.get();
        long start = System.nanoTime();
        while (true) {
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
            long left = SLICE_MS;
            if (timeout != null) {
                left = Math.max(0, timeout.minusNanos(System.nanoTime() - start).plusNanos(999_999).toMillis());
            }
            try {
                call.accept(Math.min(left, SLICE_MS));
                return;
            } catch (WalrusException exception) {
                if (exception.code() != Code.TIMEOUT || left == 0) {
                    throw exception;
                }
            }
            if (interrupts.get() != before) { // it came between two short waits
                throw new WalrusException(Code.CANCELED, "interrupt() ended the wait");
            }
        }
    }

    void close() {
        if (TELLING.get()) {
            throw new WalrusException(Code.BUSY, "a logger may not close a log: do it elsewhere");
        }
        if (!closing.compareAndSet(false, true)) {
            return;
        }
        LibWalrus.C.walrus_shutdown(handle);
        lock.writeLock().lock(); // never given back
        synchronized (freeing) {
            LibWalrus.check(LibWalrus.C.walrus_close(handle));
        }
        Reference.reachabilityFence(logger);
    }

    boolean isClosed() {
        return closing.get();
    }

    /** By the cleaner, where nobody is left to be told of a failure. */
    @Override
    public void run() {
        try {
            close();
        } catch (WalrusException exception) {
            // What was not durable may be lost, and the next open tells.
        }
    }
}
