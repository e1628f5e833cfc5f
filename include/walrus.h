/* walrus.h - the public interface of libwalrus, an embeddable write-ahead log
 *
 * A log is a directory of segment files. An entry is the caller's bytes at an index; indexes are
 * contiguous and grow by one. Link with -lwalrus; the library itself needs nothing but libc and libz.
 *
 *     walrus_t *log;
 *     if (walrus_open("orders", NULL, &log) != WALRUS_OK) { ... walrus_last_error ... }
 *     uint64_t index;
 *     walrus_append(log, "hello", 5, &index);      durable when it returns
 *     walrus_entry_t entry;
 *     walrus_get(log, index, &entry);              entry.data, entry.size
 *     walrus_entry_release(&entry);
 *     walrus_close(log);
 *
 * Rules that hold for every function, unless its comment says otherwise:
 *
 *   Results   int32_t: WALRUS_OK (0) or a negative WALRUS_E_*. Outputs are written only on success; a
 *             required size is the exception and says so. walrus_last_error tells the details of
 *             this thread's last failure; success leaves it alone.
 *   NULL      for a required pointer is WALRUS_E_INVALID, never a crash. Closing, freeing or releasing
 *             NULL is a no-op. Functions that return uint64_t answer 0 for a NULL log, after
 *             walrus_shutdown and in a forked child.
 *   Threads   a walrus_t may be used from any number of threads at once. An options handle belongs to
 *             one thread at a time.
 *   Fork      a log that was open when the process forked answers WALRUS_E_FORKED in the child, which
 *             may do nothing with it but walrus_close (frees memory, touches no file). Open it anew.
 *   Memory    input bytes are copied before a call returns. Borrowed output says how long it lives.
 *   Host      the library never prints, never exits or aborts, installs no signal handler, and leaves
 *             no thread and no descriptor behind after walrus_close.
 *   Callbacks are optional, are handed the caller's ctx, must not unwind or longjmp through the
 *             library, and may not call back into the same handle unless their comment says so.
 *
 * Any function that takes a log may return, besides the errors that it lists: WALRUS_E_INVALID,
 * WALRUS_E_CLOSED (after walrus_shutdown), WALRUS_E_FORKED and WALRUS_E_INTERNAL (a bug in libwalrus:
 * please report it).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef WALRUS_H
#define WALRUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define WALRUS_API __attribute__((visibility("default")))
#else
#define WALRUS_API
#endif

/* ---- Version ------------------------------------------------------------------------------- */

#define WALRUS_VERSION "0.1.0"
#define WALRUS_VERSION_NUMBER 100 /* major * 10000 + minor * 100 + patch */
#define WALRUS_ABI_VERSION 1

/* The library's version, as "major.minor.patch". Static memory; any thread; since 0.1. */
WALRUS_API const char *walrus_version(void);

/* The library's version as major * 10000 + minor * 100 + patch. Compare it with
 * WALRUS_VERSION_NUMBER to learn whether header and library belong together. Any thread; since 0.1. */
WALRUS_API uint32_t walrus_version_number(void);

/* The version of the binary interface: WALRUS_ABI_VERSION of the header that the library was built
 * with, the number in its soname. Any thread; since 0.1. */
WALRUS_API uint32_t walrus_abi_version(void);

/* ---- Errors -------------------------------------------------------------------------------- */

/* Result codes. Values are never renumbered; new ones are added with lower numbers. */
enum {
    WALRUS_OK = 0,
    WALRUS_E_INVALID = -1,       /* an argument, option or combination that is never allowed        */
    WALRUS_E_NOT_FOUND = -2,     /* no such index yet (above the last one), or no such key          */
    WALRUS_E_COMPACTED = -3,     /* the index is below the first one: truncated away at the front   */
    WALRUS_E_OUT_OF_ORDER = -4,  /* the record's index is not the next one                          */
    WALRUS_E_TOO_LARGE = -5,     /* an entry above max_entry_size, or a batch above 2 GiB           */
    WALRUS_E_TOO_SMALL = -6,     /* the caller's buffer is too small; the size needed was given     */
    WALRUS_E_EXISTS = -7,        /* must_be_new, but the directory holds a log                      */
    WALRUS_E_NO_LOG = -8,        /* the directory holds no log, and none may be created             */
    WALRUS_E_NOT_A_LOG = -9,     /* a directory that holds something else, or no directory          */
    WALRUS_E_VERSION = -10,      /* written in a newer format than this library knows               */
    WALRUS_E_FORMAT = -11,       /* opened with another format than the log was created with        */
    WALRUS_E_LOCKED = -12,       /* open already, in this process or another                        */
    WALRUS_E_READ_ONLY = -13,    /* a write to a log opened with read_only                          */
    WALRUS_E_IO = -14,           /* the system refused a read or a write; see os_errno              */
    WALRUS_E_NO_SPACE = -15,     /* disk full, quota or file-size limit; nothing was appended       */
    WALRUS_E_NO_MEMORY = -16,    /* memory or address space could not be had; nothing was changed   */
    WALRUS_E_CORRUPT = -17,      /* data that had been durable is damaged; offset and index say where */
    WALRUS_E_TORN = -18,         /* recovery=strict found an unfinished tail, which it will not cut */
    WALRUS_E_POISONED = -19,     /* a write or sync failed: reads go on, writes wait for a reopen   */
    WALRUS_E_CLOSED = -20,       /* walrus_shutdown was called                                      */
    WALRUS_E_TIMEOUT = -21,      /* the time given is over                                          */
    WALRUS_E_CANCELED = -22,     /* walrus_interrupt ended the wait                                 */
    WALRUS_E_CAUGHT_UP = -23,    /* the cursor is at the end; more may come                         */
    WALRUS_E_TXN_STATE = -24,    /* the transaction is no longer open                               */
    WALRUS_E_TXN_EXPIRED = -25,  /* the transaction's time was over                                 */
    WALRUS_E_TXN_FULL = -26,     /* the transaction has txn_max_entries already                     */
    WALRUS_E_FORKED = -27,       /* the handle was inherited through fork; open the log anew        */
    WALRUS_E_BUSY = -28,         /* not now, or not from inside this callback                       */
    WALRUS_E_UNSUPPORTED = -29,  /* this version of the library does not do that                    */
    WALRUS_E_INTERNAL = -30      /* a bug in libwalrus                                              */
};

/* What went wrong, in full. The caller sets struct_size to sizeof(walrus_error_t) before the call;
 * the library writes no further than that. Grows at the end. */
typedef struct walrus_error {
    uint32_t struct_size;   /* set by the caller                                                    */
    int32_t code;           /* WALRUS_E_*, or WALRUS_OK: no call of this thread has failed yet       */
    int32_t os_errno;       /* the system's errno, or 0                                             */
    uint32_t reserved;
    uint64_t index;         /* the entry concerned, or 0                                            */
    uint64_t offset;        /* bytes from the start of the file concerned, or 0                     */
    char path[512];         /* the file or directory concerned; "" if none. NUL-terminated, cut at
                               the front if it is longer                                            */
    char message[512];      /* a sentence that a person can act on. NUL-terminated UTF-8            */
} walrus_error_t;

/* The name of a code and what it means, as in "WALRUS_E_TORN: ...". Unknown codes have a text, too.
 * Static memory; any thread; since 0.1. */
WALRUS_API const char *walrus_strerror(int32_t code);

/* Copies the calling OS thread's last failure into *out. A call that succeeds leaves the record as it is.
 * Errors: INVALID (out is NULL or its struct_size is below 8). Since 0.1. */
WALRUS_API int32_t walrus_last_error(walrus_error_t *out);

/* CRC-32 (IEEE 802.3) of size bytes: the value of zlib's crc32 and of walrus_entry_t.checksum.
 * data may be NULL if size is 0; NULL with another size answers 0. Any thread; since 0.1. */
WALRUS_API uint32_t walrus_crc32(const void *data, size_t size);

/* ---- Types --------------------------------------------------------------------------------- */

typedef struct walrus_log walrus_t;             /* an open log                                      */
typedef struct walrus_options walrus_options_t; /* settings for walrus_open                         */

/* What is appended. Fixed size for ever; initialise it with {0}. */
typedef struct walrus_record {
    const void *data;       /* the payload; may be NULL if size is 0                                */
    size_t size;            /* bytes, 0 to max_entry_size. An entry of 0 bytes is a valid entry     */
    uint64_t index;         /* 0: the next one. Otherwise it must be the next one, or any index
                               from 1 to 2^63 in a log that never held an entry                     */
    uint64_t term;          /* the caller's epoch (a Raft term), stored as given (0 is one, too);
                               may fall                                                             */
    int64_t timestamp_ns;   /* nanoseconds since 1970 UTC, stored as given; 0: now, and not earlier
                               than any stamp that this log gave itself                             */
    uint64_t reserved[2];   /* 0                                                                    */
} walrus_record_t;

/* What is read. Fixed size for ever. */
typedef struct walrus_entry {
    uint64_t index;
    uint64_t term;
    int64_t timestamp_ns;
    const void *data;       /* lives until walrus_entry_release; may be NULL if size is 0           */
    size_t size;
    uint32_t checksum;      /* CRC-32 (IEEE) of data: zlib.crc32(data) agrees                       */
    uint32_t flags;         /* 0                                                                    */
    void *owner;            /* private: what keeps data alive                                       */
} walrus_entry_t;

/* ---- Options ------------------------------------------------------------------------------- */

/* New settings, all at their defaults; NULL if there is no memory. Free them with walrus_options_free,
 * which may be done as soon as walrus_open has returned. Since 0.1.
 *
 *   key               default    values
 *   create            true       open the log, or create it where there is none. false: NO_LOG instead
 *   must_be_new       false      true: EXISTS if there is a log already
 *   read_only         false      true: never writes, takes no lock, may run beside a writer. What is
 *                                seen is the log as it was at open
 *   recovery          torn_tail  strict: refuse to cut anything (TORN); torn_tail: cut an unfinished
 *                                tail, refuse damage to what had been durable (CORRUPT); salvage (needs
 *                                read_only): read whatever is readable, gaps answer CORRUPT
 *   sync              always     when an append returns, its entry is - always: on stable storage; os:
 *                                handed to the operating system; none: in memory, up to buffer_size
 *   segment_size      64MiB      4KiB to 4GiB: a segment is full with this many bytes of entries. An
 *                                entry or batch that is larger gets a segment of its own
 *   preallocate       true       reserve a segment's space, and have the next one ready ahead of need
 *   cached_segments   512        1 to 65536: sealed segments kept open and mapped
 *   buffer_size       256KiB     4KiB to 1GiB: write buffer
 *   sync_padding      0          0 or 4096: 4096 pads each sync so that no 4 KiB block that holds
 *                                acknowledged data is ever written again (after a crash this takes
 *                                reads past the page cache, O_DIRECT)
 *   file_mode         0640       octal permissions of new files (the umask applies)
 *   verify_reads      true       check each payload's checksum when it is read
 *   zero_copy         true       reads lend a view of the mapped file. false: they copy, so that a
 *                                failing disk is an error code and never a SIGBUS
 *   max_entry_size    64MiB      1 to 1GiB: a larger entry is TOO_LARGE
 */
WALRUS_API walrus_options_t *walrus_options_new(void);

/* Frees settings. NULL is a no-op. Since 0.1. */
WALRUS_API void walrus_options_free(walrus_options_t *options);

/* Sets one option from text: sizes as "65536", "64KiB", "64MiB", "1GiB"; booleans as true, false, on, off,
 * 1, 0; file_mode in octal; names as listed above. Both strings end in NUL.
 * Errors: INVALID (unknown key or impossible value; the message names the key, the value and what is
 * allowed), UNSUPPORTED (an option that a later version has). The options are unchanged then. Since 0.1. */
WALRUS_API int32_t walrus_options_set(walrus_options_t *options, const char *key, const char *value);

/* Sets one option from a number: sizes in bytes, booleans 0 or 1, file_mode the number itself (0640 in C).
 * Options whose values are names are INVALID here. Errors: as walrus_options_set. Since 0.1. */
WALRUS_API int32_t walrus_options_set_u64(walrus_options_t *options, const char *key, uint64_t value);

/* Reads one option back as text that walrus_options_set takes, with its NUL. *size (may be NULL) gets the
 * bytes needed, the NUL included, also when the buffer is too small. buffer may be NULL if capacity is 0.
 * Errors: INVALID (unknown key), TOO_SMALL. Since 0.1. */
WALRUS_API int32_t walrus_options_get(const walrus_options_t *options, const char *key, char *buffer,
                                      size_t capacity, size_t *size);

/* Is handed each option: its key, its default as text, and what is allowed, in words. The strings are
 * static. A value above 0 stops the walk and is returned by it; a negative value is taken as 0. It may
 * call any function. */
typedef int32_t (*walrus_option_visit_fn)(void *ctx, const char *key, const char *default_value,
                                          const char *allowed);

/* Calls visit for each option, on the calling thread. options may be NULL: the list is always the same.
 * Returns WALRUS_OK, or what stopped the walk. Errors: INVALID (visit is NULL). Since 0.1. */
WALRUS_API int32_t walrus_options_each(const walrus_options_t *options, walrus_option_visit_fn visit, void *ctx);

/* Levels of the logger, from rare to chatty. */
enum {
    WALRUS_LOG_ERROR = 1,   /* a write, sync or read failed                                         */
    WALRUS_LOG_WARN = 2,    /* the log helped itself: a tail was cut, preallocation was refused     */
    WALRUS_LOG_INFO = 3,    /* opened, created, closed                                              */
    WALRUS_LOG_DEBUG = 4    /* rotations, segments opened and removed                               */
};

/* Diagnostics. message ends in NUL and lives during the call. Runs on the thread that caused it, or on the
 * log's background thread, possibly on several at once and possibly while the library holds a lock: it
 * may not call any function that takes the same log. */
typedef void (*walrus_log_fn)(void *ctx, int32_t level, const char *message);

/* Sets the logger; messages with a level above the given one are not made. fn NULL: none (the default).
 * ctx must stay valid until walrus_close. Errors: INVALID (level not 1 to 4). Since 0.1. */
WALRUS_API int32_t walrus_options_set_logger(walrus_options_t *options, walrus_log_fn fn, void *ctx, int32_t level);

/* ---- Open and close ------------------------------------------------------------------------ */

/* Opens the log in directory dir (its parent must exist, else IO), creating it where the options allow. options may
 * be NULL: all defaults. Recovery is part of opening: what an unfinished write left behind at the end is
 * cut, unless recovery=strict; damage to what had been durable is refused. What was done is told by
 * walrus_recovery_report. When a creation returns, the log's files and its directory's entry are durable.
 * On success *out is a handle that walrus_close frees; on failure *out is untouched, nothing stays open,
 * and an existing log is as it was.
 * Time: one scan of at most the last segment after a crash, none after a clean close.
 * Errors: EXISTS, NO_LOG, NOT_A_LOG, VERSION, FORMAT, LOCKED, IO, NO_SPACE, NO_MEMORY, CORRUPT, TORN,
 * READ_ONLY (recovery=salvage without read_only). Any thread; since 0.1. */
WALRUS_API int32_t walrus_open(const char *dir, const walrus_options_t *options, walrus_t **out);

/* Ends use of the log: every later call on it, and every one that waits, answers CLOSED. May be called at
 * any time, by any thread, more than once, beside any other call. It does not wait for calls in flight.
 * An append that answers CLOSED while it waits to become durable is in the log: walrus_close, which also
 * writes and syncs what was appended with sync=none, makes it durable. Since 0.1. */
WALRUS_API int32_t walrus_shutdown(walrus_t *log);

/* Writes and syncs what is not yet durable, marks the log as cleanly closed, and frees the handle, whatever
 * the result. No other call on the log may be in flight or follow (walrus_shutdown first makes sure that
 * none lasts). Entries lent by walrus_get stay valid until they are released.
 * Errors: IO, NO_SPACE, POISONED (what was not durable may be lost; the next open tells). Since 0.1. */
WALRUS_API int32_t walrus_close(walrus_t *log);

/* Why recovery cut the tail, in walrus_recovery_report_t.reason. */
enum {
    WALRUS_RECOVERY_CLEAN = 0,      /* the log had been closed cleanly (or is new): nothing to do    */
    WALRUS_RECOVERY_COMPLETE = 1,   /* not closed cleanly, but nothing was unfinished                */
    WALRUS_RECOVERY_TORN = 2,       /* cut: the last write was unfinished                            */
    WALRUS_RECOVERY_BATCH = 3,      /* cut: the last batch was unfinished                            */
    WALRUS_RECOVERY_REORDERED = 4   /* cut: later writes had reached the disk before an earlier one  */
};

/* What recovery did. The caller sets struct_size. Grows at the end. */
typedef struct walrus_recovery_report {
    uint32_t struct_size;       /* set by the caller                                                */
    int32_t reason;             /* WALRUS_RECOVERY_*                                                */
    uint64_t entries_cut;       /* whole entries among what was cut; none of them was acknowledged
                                   as durable                                                       */
    uint64_t bytes_cut;         /* bytes from the cut to the last written byte that was found        */
    uint64_t cut_index;         /* index at which the log was cut, or 0                             */
    uint64_t cut_offset;        /* where in the segment, or 0                                       */
    uint64_t segments_scanned;
    uint64_t bytes_scanned;
    uint64_t duration_ns;       /* of the whole walrus_open                                         */
    uint64_t durable_index;     /* how far the log proved to be durable, or 0. Entries above it can
                                   be read; the next sync or durable append makes them durable      */
    char segment[64];           /* file name of the segment that was cut; "" if none                */
    char message[256];          /* the same in a sentence                                           */
} walrus_recovery_report_t;

/* Copies what walrus_open found and did. Errors: INVALID (struct_size below 8). Since 0.1. */
WALRUS_API int32_t walrus_recovery_report(walrus_t *log, walrus_recovery_report_t *report);

/* Removes the log in directory dir: its own files only, then the directory if it is empty. Durable on
 * return. Errors: NO_LOG, NOT_A_LOG, LOCKED (open), IO. Any thread; since 0.1. */
WALRUS_API int32_t walrus_destroy(const char *dir);

/* ---- Append -------------------------------------------------------------------------------- */

/* Flags that replace the log's sync option for one call; at most one of them. */
#define WALRUS_DURABLE UINT32_C(1)   /* on stable storage, with all entries before it, on return */
#define WALRUS_TO_OS UINT32_C(2)     /* handed to the operating system on return: survives kill -9 */
#define WALRUS_BUFFERED UINT32_C(4)  /* in memory on return                                      */

/* Appends size bytes as the next entry, with term of the previous entry (0 at first) and the time now. *index
 * (may be NULL) gets its index. When the call returns, other threads can read the entry; sync says whether
 * it is durable. Appends from several threads share their syncs.
 *
 * Errors: TOO_LARGE, NO_SPACE, NO_MEMORY, READ_ONLY, INVALID: the entry is certainly not in the log.
 * IO, POISONED, CLOSED: it may be; whether it is shows at the next open. Any thread; since 0.1. */
WALRUS_API int32_t walrus_append(walrus_t *log, const void *data, size_t size, uint64_t *index);

/* Appends a record with its own index, term and time; flags: 0, or one of those above.
 * Errors: as walrus_append, and OUT_OF_ORDER (the record's index is not the next one). Since 0.1. */
WALRUS_API int32_t walrus_append_record(walrus_t *log, const walrus_record_t *record, uint32_t flags, uint64_t *index);

/* Appends count records as one batch: after any crash, all of them are there or none. Their frames may take
 * up 2 GiB. *first_index (may be NULL) gets the first one's index; the others follow by one each. Records that
 * name an index must name the one they will get. count 0 is a no-op, *first_index is then the next index.
 * Errors: as walrus_append_record; nothing of the batch is in the log then. Since 0.1. */
WALRUS_API int32_t walrus_append_batch(walrus_t *log, const walrus_record_t *records, size_t count, uint32_t flags,
                                       uint64_t *first_index);

/* ---- Durability ---------------------------------------------------------------------------- */

/* Returns once every entry that was appended before the call is on stable storage.
 * Errors: IO, NO_SPACE, POISONED, READ_ONLY. Any thread; since 0.1. */
WALRUS_API int32_t walrus_sync(walrus_t *log);

/* The highest index that is known to be on stable storage, or 0. Never waits. Since 0.1. */
WALRUS_API uint64_t walrus_durable_index(walrus_t *log);

/* ---- Read ---------------------------------------------------------------------------------- */

/* The lowest index in the log, or 0 when it is empty. Since 0.1. */
WALRUS_API uint64_t walrus_first_index(walrus_t *log);

/* The highest index in the log, or 0 when it is empty. Since 0.1. */
WALRUS_API uint64_t walrus_last_index(walrus_t *log);

/* The index that the next entry will get, also when the log is empty. Since 0.1. */
WALRUS_API uint64_t walrus_next_index(walrus_t *log);

/* Reads one entry. With zero_copy, entry->data points into the mapped segment file, and stays valid until
 * walrus_entry_release whatever happens to the log meanwhile (truncation, walrus_close); otherwise, and for
 * entries that are still in the write buffer, it is a copy that belongs to the entry. Each entry must be
 * released; an entry that never is keeps its segment mapped, at no harm to others.
 * On failure *entry is zeroed, so that releasing it is safe.
 * Errors: NOT_FOUND (above the last index; 0), COMPACTED (below the first), CORRUPT, IO, NO_MEMORY,
 * POISONED (above the durable index after a failed write or sync). Any thread; since 0.1. */
WALRUS_API int32_t walrus_get(walrus_t *log, uint64_t index, walrus_entry_t *entry);

/* Gives an entry back and zeroes it. NULL and a zeroed entry are no-ops, so a second release is one, too.
 * May be called after walrus_close, from any thread, also in a forked child and in callbacks. Since 0.1. */
WALRUS_API void walrus_entry_release(walrus_entry_t *entry);

/* Copies one entry's bytes into buffer. *size (may be NULL) gets the entry's size, also when the buffer is too
 * small. buffer may be NULL if capacity is 0.
 * Errors: TOO_SMALL (nothing was copied), and those of walrus_get. Since 0.1. */
WALRUS_API int32_t walrus_read(walrus_t *log, uint64_t index, void *buffer, size_t capacity, size_t *size);

/* Is handed each entry of a scan. The entry and its data live during the call; do not release it. A value
 * above 0 stops the scan and is returned by it; a negative value is taken as 0. It may call any function on
 * the same log but walrus_close. */
typedef int32_t (*walrus_visit_fn)(void *ctx, const walrus_entry_t *entry);

/* Calls visit for each entry from first to last, in order, on the calling thread. last above the last index is
 * clipped to what the log held when the scan began. Returns WALRUS_OK, or what stopped it.
 * Errors: INVALID (first above last), and those of walrus_get. Since 0.1. */
WALRUS_API int32_t walrus_scan(walrus_t *log, uint64_t first, uint64_t last, walrus_visit_fn visit, void *ctx);

/* Reads up to capacity entries from first to last, as walrus_get does, into entries[0 ...]; *count gets how many.
 * Stops before max_bytes of payload would be exceeded, but reads at least one entry. last above the last index
 * is clipped. Release them with walrus_entries_release.
 * Errors: INVALID (first above last, capacity 0), and those of walrus_get; nothing is to be released
 * then. Since 0.1. */
WALRUS_API int32_t walrus_get_range(walrus_t *log, uint64_t first, uint64_t last, size_t max_bytes,
                                    walrus_entry_t *entries, size_t capacity, size_t *count);

/* Releases count entries. Since 0.1. */
WALRUS_API void walrus_entries_release(walrus_entry_t *entries, size_t count);

/* The term of the entry at index, without reading its payload. Errors: as walrus_get. Since 0.1. */
WALRUS_API int32_t walrus_term(walrus_t *log, uint64_t index, uint64_t *term);

/* ---- Truncate ------------------------------------------------------------------------------ */
/* All of these are durable when they return, whatever sync says; what they dropped never comes back. They
 * wait for appends in flight. On IO or POISONED, whether it happened shows at the next open. */

/* Drops every entry after index. The last index: a no-op. The first index - 1: empties the log; the next index
 * stays index + 1. Errors: NOT_FOUND (above the last index), COMPACTED (below the first index - 1), IO,
 * NO_MEMORY, READ_ONLY, POISONED. Any thread; since 0.1. */
WALRUS_API int32_t walrus_truncate(walrus_t *log, uint64_t index);

/* Drops every entry before index. The first index or lower: a no-op. The last index + 1: empties the log.
 * Files that are no longer needed are removed in the background.
 * Errors: NOT_FOUND (above the last index + 1), IO, NO_MEMORY, READ_ONLY, POISONED. Any thread; since 0.1. */
WALRUS_API int32_t walrus_truncate_front(walrus_t *log, uint64_t index);

/* Drops every entry; the next one gets next_index (1 to 2^63), as after installing a snapshot.
 * Errors: INVALID (next_index is 0 or too large), IO, NO_MEMORY, READ_ONLY, POISONED. Any thread; since 0.1. */
WALRUS_API int32_t walrus_reset(walrus_t *log, uint64_t next_index);

#ifdef __cplusplus
}
#endif

#endif /* WALRUS_H */
