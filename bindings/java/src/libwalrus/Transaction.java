// Transaction.java - entries staged for one atomic append
//
// SPDX-License-Identifier: MIT
package libwalrus;

import com.sun.jna.Memory;
import java.lang.ref.Cleaner;
import java.util.List;

/** Stages entries in memory and appends them as one batch; {@link Log#begin} makes one. close() rolls back what was not committed. */
public final class Transaction implements AutoCloseable {
    /** What a transaction can still do. */
    public enum Status {
        /** It takes entries. */
        OPEN,
        /** Its time was over: roll it back. */
        EXPIRED,
        /** Its entries are in the log, but the wait for them to be durable failed: roll it back. */
        COMMITTED
    }

    /** Where a transaction's entries are. */
    public record Committed(long firstIndex, long count) {}

    private final Log log; // stays as long as this
    private final Owned owned;
    private final Cleaner.Cleanable cleanable;

    Transaction(Log log, long timeoutMs) {
        this.log = log;
        long handle = log.state.give(out -> LibWalrus.C.walrus_txn_begin(log.state.handle, timeoutMs, out));
        owned = new Owned(log.state, handle, Code.TXN_STATE, LibWalrus.C::walrus_txn_rollback);
        cleanable = Log.CLEANER.register(this, owned);
    }

    /** Stages a copy of an entry. TXN_FULL, TXN_EXPIRED, TXN_STATE, TOO_LARGE: the transaction is as it was. */
    public void append(Entry entry) {
        try (Memory record = LibWalrus.records(List.of(entry))) {
            owned.call(handle -> LibWalrus.C.walrus_txn_append(handle, record));
        }
    }

    /** Appends what was staged as one batch. After a failure it can be committed again, unless status says COMMITTED. */
    public Committed commit(Durability durability) {
        try (Memory numbers = LibWalrus.zeroed(16)) {
            synchronized (owned) {
                owned.call(handle -> LibWalrus.C.walrus_txn_commit(handle, durability.flags, numbers, numbers.share(8)));
                owned.forget();
            }
            return new Committed(numbers.getLong(0), numbers.getLong(8));
        }
    }

    public Committed commit() {
        return commit(Durability.DEFAULT);
    }

    public Status status() {
        int status = owned.call(LibWalrus.C::walrus_txn_state);
        return Status.values()[status - 1];
    }

    /** Drops what was staged. Does nothing after a commit or another rollback. */
    public void rollback() {
        cleanable.clean();
    }

    @Override
    public void close() {
        rollback();
    }
}
