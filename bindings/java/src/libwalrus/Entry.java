// Entry.java - what is appended and what is read
//
// SPDX-License-Identifier: MIT
package libwalrus;

import java.nio.charset.StandardCharsets;

/**
 * An entry. To append: index 0 is the next one (another one is checked, or chooses the first of a log that never held an
 * entry), timestampNs 0 is now, and the checksum is not looked at. Indexes and terms are unsigned.
 *
 * @param timestampNs nanoseconds since 1970 UTC
 * @param checksum CRC-32 of data, as java.util.zip.CRC32 computes it
 */
public record Entry(long index, long term, long timestampNs, byte[] data, int checksum) {
    public static Entry of(byte[] data) {
        return new Entry(0, 0, 0, data, 0);
    }

    public static Entry of(String text) {
        return of(text.getBytes(StandardCharsets.UTF_8));
    }

    public Entry withTerm(long term) {
        return new Entry(index, term, timestampNs, data, checksum);
    }

    public Entry withIndex(long index) {
        return new Entry(index, term, timestampNs, data, checksum);
    }

    public Entry withTimestampNs(long timestampNs) {
        return new Entry(index, term, timestampNs, data, checksum);
    }

    /** The data as text in UTF-8. */
    public String text() {
        return new String(data, StandardCharsets.UTF_8);
    }
}
