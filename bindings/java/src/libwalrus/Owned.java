// Owned.java - the handle of a cursor or a transaction, and who frees it
//
// SPDX-License-Identifier: MIT
package libwalrus;

import com.sun.jna.Pointer;
import java.util.function.Consumer;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;

/** One thread at a time: C wants it so, and a free waits for a call. */
final class Owned implements Runnable {
    private final State state;
    private final Code whenFreed;
    private final Consumer<Pointer> free;
    private Pointer handle;

    Owned(State state, long handle, Code whenFreed, Consumer<Pointer> free) {
        this.state = state;
        this.handle = new Pointer(handle);
        this.whenFreed = whenFreed;
        this.free = free;
    }

    synchronized int call(ToIntFunction<Pointer> function) {
        if (handle == null) {
            throw new WalrusException(whenFreed, "this " + (whenFreed == Code.CLOSED ? "cursor" : "transaction")
                    + " is over: make another one");
        }
        return state.call(() -> function.applyAsInt(handle));
    }

    synchronized long number(ToLongFunction<Pointer> function) {
        return handle == null ? 0 : state.number(() -> function.applyAsLong(handle));
    }

    /** C has freed it. */
    synchronized void forget() {
        handle = null;
    }

    @Override
    public synchronized void run() {
        if (handle != null) {
            synchronized (state.freeing) { // not while another thread closes the log
                free.accept(handle);
            }
            handle = null;
        }
    }
}
