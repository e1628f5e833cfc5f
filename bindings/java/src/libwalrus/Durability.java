// Durability.java - what replaces the log's option sync for one call
//
// SPDX-License-Identifier: MIT
package libwalrus;

/** What is true of an entry when its append returns. */
public enum Durability {
    /** What the option sync says. */
    DEFAULT(0),
    /** It is on stable storage, with all entries before it. */
    DURABLE(1),
    /** It was handed to the operating system. */
    TO_OS(2),
    /** It is in memory. */
    BUFFERED(4);

    final int flags;

    Durability(int flags) {
        this.flags = flags;
    }
}
