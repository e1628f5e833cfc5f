// Code.java - a constant for each kind of failure
//
// SPDX-License-Identifier: MIT
package libwalrus;

/** Kinds of failure. What each means in a call, include/walrus.h says at the function; {@link #meaning} in general. */
public enum Code {
    INVALID, NOT_FOUND, COMPACTED, OUT_OF_ORDER, TOO_LARGE, TOO_SMALL, EXISTS, NO_LOG, NOT_A_LOG, VERSION, FORMAT, LOCKED,
    READ_ONLY, IO, NO_SPACE, NO_MEMORY, CORRUPT, TORN, POISONED, CLOSED, TIMEOUT, CANCELED, CAUGHT_UP, TXN_STATE, TXN_EXPIRED,
    TXN_FULL, FORKED, BUSY, UNSUPPORTED, INTERNAL,
    /** One that this binding is too old to know; {@link WalrusException#number} says which. */
    UNKNOWN;

    private static final Code[] ALL = values();

    /** The number in walrus.h; 0 for UNKNOWN. */
    public int number() {
        return this == UNKNOWN ? 0 : -(ordinal() + 1);
    }

    static Code of(int number) {
        return number < 0 && number >= -INTERNAL.ordinal() - 1 ? ALL[-number - 1] : UNKNOWN;
    }

    /** The name and a sentence for a number, as the library has them. */
    public static String meaning(int number) {
        return LibWalrus.C.walrus_strerror(number);
    }
}
