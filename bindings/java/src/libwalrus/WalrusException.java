// WalrusException.java - what every method throws when the library refuses
//
// SPDX-License-Identifier: MIT
package libwalrus;

import com.sun.jna.Memory;

/** A failure: its code, and a message that says what to do. */
public final class WalrusException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final Code code;
    private final int number;
    private final int errno;
    private final long index;
    private final long offset;
    private final String path;
    private long size;

    private WalrusException(int number, String message, int errno, long index, long offset, String path) {
        super(message);
        this.code = Code.of(number);
        this.number = number;
        this.errno = errno;
        this.index = index;
        this.offset = offset;
        this.path = path;
    }

    WalrusException(Code code, String message) {
        this(code.number(), message, 0, 0, 0, "");
    }

    static WalrusException of(int number) {
        return new WalrusException(number, Code.meaning(number), 0, 0, 0, "");
    }

    /** The last failure of this thread, which has to be asked for before it makes another call. */
    static WalrusException last(int number) {
        try (Memory error = LibWalrus.sized(LibWalrus.ERROR_SIZE)) {
            LibWalrus.C.walrus_last_error(error);
            return new WalrusException(number, error.getString(544, "UTF-8"), error.getInt(8), error.getLong(16),
                    error.getLong(24), error.getString(32, "UTF-8"));
        }
    }

    WalrusException withSize(long size) {
        this.size = size;
        return this;
    }

    /** With TOO_SMALL: the bytes needed. */
    public long size() {
        return size;
    }

    public Code code() {
        return code;
    }

    /** The code as a number, also where it is UNKNOWN. */
    public int number() {
        return number;
    }

    /** The system's errno, or 0. */
    public int errno() {
        return errno;
    }

    /** The entry concerned, or 0. */
    public long index() {
        return index;
    }

    /** Bytes from the start of the file concerned, or 0. */
    public long offset() {
        return offset;
    }

    /** The file or directory concerned, or "". */
    public String path() {
        return path;
    }
}
