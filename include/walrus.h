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
 *   Results   int32_t: WALRUS_OK (0) or a negative WALRUS_E_*. Outputs are written only on success; where
 *             that is not so (a required size, an entry that is zeroed), the comment says it. walrus_last_error
 *             tells the details of this thread's last failure; success leaves it alone. errno means nothing.
 *   NULL      for a required pointer is WALRUS_E_INVALID, never a crash. Closing, freeing or releasing
 *             NULL is a no-op. Functions that return uint64_t answer 0 for a NULL log, after
 *             walrus_shutdown and in a forked child. Flags that are not listed are INVALID, too.
 *   Structs   that begin with struct_size have it set by the caller, to the size that it knows. The library
 *             writes no further, and leaves alone what it is too old to know: zero the struct before.
 *   Threads   a walrus_t may be used from any number of threads at once. An options handle, a cursor and a
 *             transaction belong to one thread at a time.
 *   Waiting   timeouts are milliseconds: negative waits for ever, 0 polls. walrus_interrupt ends waits.
 *   Fork      a log that was open when the process forked answers WALRUS_E_FORKED in the child, which
 *             may do nothing with it but walrus_close (frees memory, touches no file). Open it anew.
 *   Memory    input bytes are copied before a call returns. Borrowed output says how long it lives.
 *   Host      the library never prints, never exits or aborts, installs no signal handler, and leaves
 *             no thread and no descriptor behind after walrus_close.
 *   Lifetime  entries, cursors and transactions may outlive their log: after walrus_close their calls answer
 *             CLOSED, lent views stay valid, and they may be freed in any order.
 *   Callbacks are optional, are handed the caller's ctx, and must not unwind or longjmp through the library.
 *             Visitors run on the calling thread and may call anything on the same log but walrus_close.
 *             A walrus_done_fn may call what does not wait. A walrus_log_fn may call nothing that takes the
 *             same log. What they may not call answers BUSY and has done nothing. Releasing entries and closing
 *             cursors is allowed in all of them, and so is any call on another log.
 *
 * Any function that takes a log may return, besides the errors that it lists: WALRUS_E_INVALID,
 * WALRUS_E_CLOSED (after walrus_shutdown), WALRUS_E_FORKED, WALRUS_E_BUSY (from inside a callback that may not
 * call it), WALRUS_E_VERSION (a segment that is looked at only now was written by a newer version) and
 * WALRUS_E_INTERNAL (a bug in libwalrus: please report it).
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

#define WALRUS_VERSION "0.2.0"
#define WALRUS_VERSION_NUMBER 200 /* major * 10000 + minor * 100 + patch */
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
    char message[512];      /* a sentence that a person can act on. NUL-terminated; UTF-8, if the
                               path in it is                                                        */
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
typedef struct walrus_cursor walrus_cursor_t;   /* a position in a log that moves                   */
typedef struct walrus_txn walrus_txn_t;         /* entries staged for one atomic append             */

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
 *   read_only         false      true: never writes, takes no lock, may run beside a writer in another
 *                                process and follows it: see "Read-only handles" below
 *   recovery          torn_tail  strict: refuse to cut anything (TORN); torn_tail: cut an unfinished
 *                                tail, refuse damage to what had been durable (CORRUPT); salvage (needs
 *                                read_only): read whatever is readable, gaps answer CORRUPT; behind a gap of a
 *                                binary segment term and timestamp may be those from before it
 *   sync              always     when an append returns, its entry is - always: on stable storage; interval:
 *                                handed to the operating system, and synced in the background; os: handed
 *                                to the operating system; none: in memory, up to buffer_size
 *   sync_interval_ms  100        1 to 3600000 (also "100ms", "5s", "1min"). With sync=interval: the background
 *                                syncs at the latest this long after an append
 *   sync_bytes        0          0 to 1TiB. With sync=interval: it also syncs as soon as this many bytes of
 *                                entries wait for it; 0: by time alone
 *   async_max_bytes   64MiB      1 to 1TiB: bytes of asynchronous appends that may wait for their completion;
 *                                a further one waits first (BUSY inside a walrus_done_fn)
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
 *   max_segments      0          0 to 1048576: keep at most this many segments. This option and the next two drop
 *                                the oldest whole segments beyond a limit, in the background, at each rotation
 *                                and at open; never the last segment that has entries. 0: no limit
 *   retention_bytes   0          0 to 2^60: keep at most this many bytes of segment files, the space reserved in
 *                                the last one included; 0: no limit
 *   retention_age_ms  0          0 to 2^60 (also "12h", "7d"): drop segments up to whose end no entry has a
 *                                timestamp younger than this; 0: no limit
 *   format            binary     binary, json or proto: what segment files hold. A log keeps the format that it was
 *                                created with: with another one, walrus_open answers FORMAT. Where this was never
 *                                set, any log is opened, and a new one is binary. json: one JSON object a line,
 *                                readable with jq; proto: length-delimited messages of walrus.proto
 *   compression       none       none or zlib: compress payloads from compression_min_size up, where that makes
 *                                them smaller. May change from open to open; entries say for themselves
 *   compression_level -1         0 to 9, or -1: zlib's own choice
 *   compression_min_size  256    0 to 1GiB
 *   txn_timeout_ms    30000      1 to 2^60: how long a transaction may stay open, where walrus_txn_begin does
 *                                not say otherwise
 *   txn_max_entries   1000       1 to 16777216: entries in one transaction
 */
WALRUS_API walrus_options_t *walrus_options_new(void);

/* Frees settings. NULL is a no-op. Since 0.1. */
WALRUS_API void walrus_options_free(walrus_options_t *options);

/* Sets one option from text: sizes as "65536", "64KiB", "64MiB", "1GiB", "1TiB"; times in milliseconds or as
 * "100ms", "5s", "1min", "12h", "7d"; booleans as true, false, on, off,
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
 * log's background threads, possibly on several at once and possibly while the library holds a lock: any
 * function that takes the same log answers BUSY from inside it (those that return a number work). */
typedef void (*walrus_log_fn)(void *ctx, int32_t level, const char *message);

/* Sets the logger; messages with a level above the given one are not made. fn NULL: none (the default).
 * fn and ctx must stay valid until walrus_close has returned, or walrus_open has failed.
 * Errors: INVALID (level not 1 to 4). Since 0.1. */
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
 * the result, but for BUSY. A log that was only read since it was opened is left as it was found, also where what
 * was found is not known to be durable. No other call on the log may be in flight or follow (walrus_shutdown first
 * makes sure that none lasts). Every walrus_done_fn that is still due is called before it returns, and no callback
 * afterwards; what they call on the log may answer CLOSED by then. Entries lent by walrus_get stay valid
 * until they are released.
 * Errors: IO, NO_SPACE, POISONED (what was not durable may be lost; the next open tells), BUSY (inside one of
 * the log's callbacks; the log stays open). Since 0.1. */
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
 * return. Errors: NO_LOG, NOT_A_LOG, LOCKED (open), IO, NO_SPACE, NO_MEMORY. Any thread; since 0.1. */
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
 * Errors: TOO_LARGE, NO_SPACE, NO_MEMORY, READ_ONLY, INVALID, BUSY: the entry is certainly not in the log.
 * IO, POISONED, CLOSED: it may be; whether it is shows at the next open. CANCELED (walrus_interrupt): it is, *index
 * was written, and it is not known to be durable. Any thread; since 0.1. */
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

/* Appends count records, given as one run of bytes and their sizes, as one batch: a call that is cheap to make from
 * languages in which an array of structs is not. The sizes add up to the bytes at data. All get the term given and
 * the time now. *first_index (may be NULL) gets the first one's index.
 * Errors: as walrus_append_batch. Any thread; since 0.2. */
WALRUS_API int32_t walrus_append_packed(walrus_t *log, const void *data, const uint32_t *sizes, size_t count,
                                        uint64_t term, uint32_t flags, uint64_t *first_index);

/* Is told that an asynchronous append is durable (status WALRUS_OK), or why that is not known: IO, POISONED, or
 * CLOSED (walrus_shutdown came first; the entry is in the log, and walrus_close makes it durable). Called once
 * for each append that was accepted, in the order of their indexes, on the log's completion thread and nowhere
 * else, with no lock held. It may call whatever does not wait, walrus_append_async on the same log among it;
 * calls that would wait answer BUSY. A truncation that dropped the entry completes it with WALRUS_OK. Once it
 * has returned, the library is done with it and its ctx. */
typedef void (*walrus_done_fn)(void *ctx, uint64_t index, int32_t status);

/* Appends a record as walrus_append_record does, but does not wait for it to become durable, which a thread of
 * the library sees to at once, whatever sync says: many of them share a sync. done (may be NULL) is told. For
 * runtimes that cannot take calls on foreign threads: done NULL, then walrus_wait_durable or walrus_notify_fd.
 * Waits only while async_max_bytes are outstanding; a single larger entry passes alone. flags: 0 or
 * WALRUS_DURABLE. *index (may be NULL) gets the entry's index, also before done may be called.
 * Errors: as walrus_append_record, and BUSY (inside done, where it would have to wait), CANCELED (interrupted
 * while it waited). On any error the entry is not in the log, or for IO and POISONED may be, and done is not
 * called. Since 0.2. */
WALRUS_API int32_t walrus_append_async(walrus_t *log, const walrus_record_t *record, uint32_t flags,
                                       walrus_done_fn done, void *ctx, uint64_t *index);

/* ---- Durability ---------------------------------------------------------------------------- */

/* Returns once every entry that was appended before the call, and all metadata that was staged before it, is on stable
 * storage. Errors: IO, NO_SPACE, POISONED, READ_ONLY, CANCELED. Any thread; since 0.1. */
WALRUS_API int32_t walrus_sync(walrus_t *log);

/* The highest index that is known to be on stable storage, or 0. Never waits. Since 0.1. */
WALRUS_API uint64_t walrus_durable_index(walrus_t *log);

/* Waits until the entry at index is durable. With sync=interval, and after walrus_append_async, the background
 * is about to make it so; otherwise the background is asked to. timeout_ms 0 asks for nothing and tells at
 * once.
 * Errors: NOT_FOUND (above the last index; truncated away meanwhile), TIMEOUT, CANCELED (walrus_interrupt), IO,
 * POISONED. On a read-only handle it waits until the writer has said so: see there. Any thread; since 0.2. */
WALRUS_API int32_t walrus_wait_durable(walrus_t *log, uint64_t index, int64_t timeout_ms);

/* A descriptor that becomes readable whenever the durable index has moved since it was last read; on a
 * read-only handle, the last index. For poll, epoll, select and event loops. One for each log, the same at each
 * call, nonblocking, owned by the log until walrus_close: do not close it. Reading 8 bytes clears it; moves in
 * between count as one, so look at walrus_durable_index after each. Made at the first call, when it is not
 * readable yet; also readable once after walrus_shutdown, and after a failed write or sync (POISONED).
 * Errors: IO (no more descriptors), NO_MEMORY. Any thread; since 0.2. */
WALRUS_API int32_t walrus_notify_fd(walrus_t *log, int *fd);

/* Ends every wait on the log that began before this call: durable appends, walrus_sync, walrus_wait_durable,
 * walrus_cursor_wait and walrus_append_async return CANCELED, unless they are just about to return something
 * else. A thread that is inside the system's sync itself finishes it first. A durable append that answers
 * CANCELED has written its index and is in the log, and becomes durable with the next sync; an asynchronous
 * one, which waited for room, is not in the log. Any thread; since 0.2. */
WALRUS_API int32_t walrus_interrupt(walrus_t *log);

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

/* Releases count entries. NULL is a no-op. Since 0.1. */
WALRUS_API void walrus_entries_release(walrus_entry_t *entries, size_t count);

/* Copies up to max_count entries from first on into buffer, one behind the other, and their sizes into sizes,
 * which has room for max_count; *count gets how many. Stops where the next one does not fit, and at the last
 * index.
 * Errors: INVALID (max_count 0), TOO_SMALL (not even the first one fits; its size is then in sizes[0]), and
 * those of walrus_get. Any thread; since 0.2. */
WALRUS_API int32_t walrus_read_packed(walrus_t *log, uint64_t first, size_t max_count, void *buffer, size_t capacity,
                                      uint32_t *sizes, size_t *count);

/* The term of the entry at index, without reading its payload. Errors: as walrus_get. Since 0.1. */
WALRUS_API int32_t walrus_term(walrus_t *log, uint64_t index, uint64_t *term);

/* The highest index whose entry has this term. In a log whose terms never fall this takes O(log n); each place
 * where they fall costs one more search. Errors: NOT_FOUND (no entry has it), CORRUPT, IO, NO_MEMORY, POISONED
 * (entries above the durable index, which cannot be read after a failure, might have it). Any thread; since 0.2. */
WALRUS_API int32_t walrus_last_index_of_term(walrus_t *log, uint64_t term, uint64_t *index);

/* The first index that holds an entry of this time or a later one, or an entry that comes after such a one: the
 * first at which the running maximum of the timestamps reaches timestamp_ns. Entries that were dropped at the front
 * count in it, but not those from before the log was last empty. O(log n), through the footers.
 * Errors: NOT_FOUND (all entries are earlier), CORRUPT, IO, NO_MEMORY, POISONED (all up to the durable index are
 * earlier, and those above it cannot be read after a failure). Any thread; since 0.2. */
WALRUS_API int32_t walrus_seek_time(walrus_t *log, int64_t timestamp_ns, uint64_t *index);

/* ---- Read-only handles -----------------------------------------------------------------------
 * A log that was opened with read_only follows a writer in another process, which knows nothing of it: new
 * entries, rotation, truncation and retention are seen without reopening. Every call looks anew where that
 * matters. What is seen is whole entries and whole batches that the writer has handed to the system; what still
 * waits in the buffer of a sync=none writer is not there yet. walrus_durable_index is what the writer has last
 * written down of it, which lags behind what the writer itself knows until it writes on. Entries of the last
 * segment are copies. An unfinished tail is simply not there yet; it is CORRUPT only if what was written behind it
 * says that it had been durable. With recovery=salvage a handle shows the log as it was at open. Writing functions
 * answer READ_ONLY. */

/* ---- Cursors -------------------------------------------------------------------------------
 * A cursor stands between two entries: walrus_cursor_next reads the one behind it and steps over it,
 * walrus_cursor_prev the one before it. Where the log is truncated below a cursor, by whatever thread or
 * process, the cursor goes back to the cut, so that following a log shows what was appended in place of the
 * dropped entries, too. walrus_reset takes every cursor to the new next index (on a read-only handle those below it
 * stay, and are COMPACTED). A cursor belongs to one thread at a time. Until it is at the end, moved on, or closed, or the
 * log is, it keeps the segment of the entry it read last, as an entry that was not released would. */

/* For walrus_cursor_open: only entries that are durable; behind them the cursor is CAUGHT_UP. */
#define WALRUS_DURABLE_ONLY UINT32_C(1)

/* Opens a cursor before the entry at index; 0 is the first entry, whichever that is then; up to the next index, where
 * only later entries follow. *cursor is the caller's to close. Errors: NOT_FOUND (above the next index),
 * COMPACTED (below the first), NO_MEMORY. Any thread; since 0.2. */
WALRUS_API int32_t walrus_cursor_open(walrus_t *log, uint64_t index, uint32_t flags, walrus_cursor_t **cursor);

/* Reads the entry behind the cursor, as walrus_get does, and steps over it. On failure the cursor stays and
 * *entry is zeroed.
 * Errors: CAUGHT_UP (no entry there yet), COMPACTED (it was truncated away at the front: seek to
 * walrus_first_index), and CORRUPT, IO, NO_MEMORY, POISONED. Since 0.2. */
WALRUS_API int32_t walrus_cursor_next(walrus_cursor_t *cursor, walrus_entry_t *entry);

/* Reads the entry before the cursor and steps back over it.
 * Errors: NOT_FOUND (the cursor stands before the first entry of a log that never dropped one, or of an empty
 * log), COMPACTED (the one before it was truncated away), and CORRUPT, IO, NO_MEMORY, POISONED. Since 0.2. */
WALRUS_API int32_t walrus_cursor_prev(walrus_cursor_t *cursor, walrus_entry_t *entry);

/* Moves the cursor, as walrus_cursor_open places it. On failure it stays. Errors: NOT_FOUND, COMPACTED. Since 0.2. */
WALRUS_API int32_t walrus_cursor_seek(walrus_cursor_t *cursor, uint64_t index);

/* The index that walrus_cursor_next would read, or 0 for NULL: kept by the caller, it is where to go on after a
 * restart. Asks nothing of the log, so it answers after walrus_shutdown and walrus_close and in a forked child,
 * too. Since 0.2. */
WALRUS_API uint64_t walrus_cursor_position(const walrus_cursor_t *cursor);

/* Waits until walrus_cursor_next has something else to say than CAUGHT_UP. Does not spin.
 * Errors: TIMEOUT, CANCELED (walrus_interrupt), CLOSED, POISONED (nothing will come any more); on a read-only handle
 * CORRUPT, IO and NO_MEMORY, too. Since 0.2. */
WALRUS_API int32_t walrus_cursor_wait(walrus_cursor_t *cursor, int64_t timeout_ms);

/* Frees a cursor. NULL is a no-op. May come after walrus_close of its log. Since 0.2. */
WALRUS_API void walrus_cursor_close(walrus_cursor_t *cursor);

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

/* Drops every entry from from_index on and appends count records in their place, as one step: after a crash at
 * any moment the log has all of the old suffix or all of the new one. For Raft followers whose suffix conflicts
 * with the leader's. from_index: from the first index (or, in an empty log, the next one) to the next index.
 * Records that name an index must name the one they will get. count 0 only truncates. Where something is dropped,
 * what is new begins a new segment; for a moment other threads may see the log end at from_index - 1. flags: 0 or
 * WALRUS_DURABLE; it is always durable on return.
 * Errors: NOT_FOUND (above the next index), COMPACTED (below the first), those of walrus_append_batch (the log
 * is as it was, but for IO and POISONED), NO_SPACE. Any thread; since 0.2. */
WALRUS_API int32_t walrus_replace_suffix(walrus_t *log, uint64_t from_index, const walrus_record_t *records,
                                         size_t count, uint32_t flags);

/* ---- Transactions --------------------------------------------------------------------------
 * A transaction stages entries in memory and appends them as one batch. Any number may be open at once. One
 * that is not committed or rolled back in time expires without anyone asking: its memory is freed, its handle
 * is not. */

/* States of a transaction. */
enum {
    WALRUS_TXN_OPEN = 1,        /* takes entries                                                    */
    WALRUS_TXN_EXPIRED = 2,     /* its time was over; roll it back                                  */
    WALRUS_TXN_COMMITTED = 3    /* its entries are in the log, but the commit's wait for them to be durable
                                   failed or was interrupted; roll it back to free the handle       */
};

/* Begins a transaction. timeout_ms: how long it may stay open; 0: txn_timeout_ms; negative: for ever.
 * Errors: READ_ONLY, POISONED, NO_MEMORY. Any thread; since 0.2. */
WALRUS_API int32_t walrus_txn_begin(walrus_t *log, int64_t timeout_ms, walrus_txn_t **txn);

/* Stages a copy of a record. Errors: TXN_FULL (txn_max_entries), TXN_EXPIRED, TXN_STATE (committed), TOO_LARGE
 * (the entry, or the transaction above 2 GiB), INVALID, NO_MEMORY. The transaction is as it was then. Since
 * 0.2. */
WALRUS_API int32_t walrus_txn_append(walrus_txn_t *txn, const walrus_record_t *record);

/* Appends what was staged as walrus_append_batch does, and frees the handle: on success only. *first_index and
 * *count (may be NULL) tell where it is; an empty transaction commits nothing, *first_index is then the next
 * index.
 * Errors: TXN_EXPIRED, TXN_STATE, and those of walrus_append_batch. After an error the transaction is open as
 * before (after NO_SPACE or OUT_OF_ORDER, say, it can be committed again), unless its entries are in the log
 * and only the wait for them failed, as after CANCELED: then it is COMMITTED, and *first_index and *count were
 * written. A commit under way does not expire. Since 0.2. */
WALRUS_API int32_t walrus_txn_commit(walrus_txn_t *txn, uint32_t flags, uint64_t *first_index, uint64_t *count);

/* Drops what was staged and frees the handle, whatever its state and the result. NULL is a no-op. May come after
 * walrus_close of its log, and is then OK, too. Errors: FORKED (freed all the same). Since 0.2. */
WALRUS_API int32_t walrus_txn_rollback(walrus_txn_t *txn);

/* WALRUS_TXN_*, or an error: INVALID (NULL), CLOSED, FORKED. Since 0.2. */
WALRUS_API int32_t walrus_txn_state(const walrus_txn_t *txn);

/* How many transactions of the log are open. Since 0.2. */
WALRUS_API uint64_t walrus_txn_count(walrus_t *log);

/* Expires at once those whose time is over; *expired (may be NULL) gets how many. The background does the same by
 * itself. Any thread; since 0.2. */
WALRUS_API int32_t walrus_txn_expire(walrus_t *log, uint64_t *expired);

/* ---- Metadata ------------------------------------------------------------------------------
 * Small values beside the log: a Raft node's term and vote, the position of a snapshot, a checkpoint. They are
 * no entries: no truncation, reset or retention touches them. A key is a string of 1 to 255 bytes that ends in
 * NUL. All keys and values together may take up 64 KiB (16 bytes a pair are added), else TOO_LARGE. */

/* Sets a value of size bytes (0 to 65535; then value may be NULL). Durable on return, whatever sync says, also
 * on a full disk if the values do not grow. Errors: INVALID, TOO_LARGE, NO_SPACE, IO, NO_MEMORY, READ_ONLY,
 * POISONED. Any thread; since 0.2. */
WALRUS_API int32_t walrus_meta_set(walrus_t *log, const char *key, const void *value, size_t size);

/* Copies a value into buffer. *size (may be NULL) gets its size, also when the buffer is too small. buffer may
 * be NULL if capacity is 0. What was staged is seen once it has ridden on an append. Errors: NOT_FOUND (no such
 * key), TOO_SMALL, POISONED (the value rode on an append that was not durable when the log was poisoned). Any
 * thread; since 0.2. */
WALRUS_API int32_t walrus_meta_get(walrus_t *log, const char *key, void *buffer, size_t capacity, size_t *size);

/* Removes a key and its value. Durable on return. Errors: NOT_FOUND (no such key), and as walrus_meta_set.
 * Since 0.2. */
WALRUS_API int32_t walrus_meta_delete(walrus_t *log, const char *key);

/* Is handed each key and value; both live during the call. A value above 0 stops the walk and is returned by
 * it; a negative value is taken as 0. It may call anything on the same log but walrus_close; what it changes
 * does not show in this walk. */
typedef int32_t (*walrus_meta_visit_fn)(void *ctx, const char *key, const void *value, size_t size);

/* Calls visit for each key, in order of their bytes, on the calling thread. Errors: INVALID, NO_MEMORY, POISONED
 * (as walrus_meta_get). Any thread; since 0.2. */
WALRUS_API int32_t walrus_meta_each(walrus_t *log, walrus_meta_visit_fn visit, void *ctx);

/* Stages a value to be set together with the next append of whatever kind, batch, transaction or replacement:
 * after a crash both are there or none. Staging a key again replaces what was staged. walrus_sync makes a staged
 * value durable without an append; one that is still staged at walrus_close is lost. An append that fails without
 * a trace leaves it staged. Errors: INVALID, TOO_LARGE, NO_SPACE (room for it in walrus.meta is claimed now), IO,
 * NO_MEMORY, READ_ONLY, POISONED. Any thread; since 0.2. */
WALRUS_API int32_t walrus_meta_stage(walrus_t *log, const char *key, const void *value, size_t size);

/* ---- Operations ---------------------------------------------------------------------------- */

/* Ends the last segment and begins a new one, so that the old one will not change any more. A segment without
 * entries stays as it is. Makes nothing durable by itself. Errors: NO_SPACE, IO, NO_MEMORY, READ_ONLY,
 * POISONED. Any thread; since 0.2. */
WALRUS_API int32_t walrus_rotate(walrus_t *log);

/* What walrus_segments tells of a segment. The library sets struct_size. Grows at the end. */
typedef struct walrus_segment_info {
    uint32_t struct_size;
    uint32_t is_tail;           /* 1: the last one, which may still grow; 0: sealed                  */
    uint64_t id;                /* grows from segment to segment, may have gaps                     */
    uint64_t first_index;       /* of its entries that are in the log                               */
    uint64_t last_index;        /* below first_index if it has none                                 */
    uint64_t bytes;             /* of its frames, from the file's start                             */
    uint64_t file_bytes;        /* the file's size                                                  */
    int64_t highest_timestamp_ns; /* no entry up to its end has a later timestamp                    */
    const char *name;           /* of the file in the log's directory; NUL-terminated, lives during the call */
} walrus_segment_info_t;

/* Is handed each segment. A value above 0 stops the walk and is returned by it; a negative value is taken as 0.
 * It may call anything on the same log but walrus_close. */
typedef int32_t (*walrus_segment_visit_fn)(void *ctx, const walrus_segment_info_t *segment);

/* Calls visit for each segment of the log as it was at the call, oldest first, on the calling thread. Segments
 * that have been dropped meanwhile are left out. Errors: INVALID, IO, CORRUPT, NO_MEMORY. Any thread; since
 * 0.2. */
WALRUS_API int32_t walrus_segments(walrus_t *log, walrus_segment_visit_fn visit, void *ctx);

/* Counts since walrus_open, but for those marked "now". The caller sets struct_size. Grows at the end. */
typedef struct walrus_stats {
    uint32_t struct_size;           /* set by the caller                                            */
    uint32_t is_poisoned;           /* now                                                          */
    uint64_t first_index;           /* now, as are the next five                                    */
    uint64_t last_index;
    uint64_t durable_index;
    uint64_t segments;
    uint64_t async_pending;         /* asynchronous appends whose completion is outstanding         */
    uint64_t txn_open;
    uint64_t appends;               /* calls that appended                                          */
    uint64_t entries_appended;
    uint64_t bytes_appended;        /* payloads                                                     */
    uint64_t bytes_written;         /* handed to the system for segments: frames, footers           */
    uint64_t syncs;                 /* group syncs: each covers whatever was appended before it     */
    uint64_t entries_synced;        /* entries made durable by them: divided by syncs, the mean group */
    uint64_t largest_group;         /* most entries made durable by one sync                        */
    uint64_t sync_ns;               /* time spent in them                                           */
    uint64_t sync_ns_max;
    uint64_t sync_histogram[24];    /* [i]: syncs that took less than 2^i microseconds (and not less than
                                       2^(i-1)); the last one: all longer ones                      */
    uint64_t rotations;
    uint64_t truncations;           /* truncate, truncate_front, reset, replace_suffix, retention   */
    uint64_t segments_removed;      /* their files                                                  */
    uint64_t segment_cache_hits;    /* reads that found their segment open; counted loosely: threads that read at
                                       once may miss one                                            */
    uint64_t segment_cache_misses;  /* segments that had to be opened                               */
    uint64_t txn_committed;
    uint64_t txn_rolled_back;
    uint64_t txn_expired;
    uint64_t meta_updates;          /* metadata made durable in walrus.meta                         */
    uint64_t recovery_ns;           /* how long walrus_open took                                    */
    uint64_t recovery_bytes_cut;
    uint64_t recovery_entries_cut;
} walrus_stats_t;

/* Fills in the counts. They are read one by one beside a log in use, so they need not add up to the last one.
 * Errors: INVALID (struct_size below 8). Any thread; since 0.2. */
WALRUS_API int32_t walrus_stats(walrus_t *log, walrus_stats_t *stats);

/* The same as text in the Prometheus exposition format, with its NUL, into buffer: walrus_appends_total 17 and
 * so on, the syncs as the histogram walrus_sync_seconds. *size (may be NULL) gets the bytes needed, also when
 * the buffer is too small. buffer may be NULL if capacity is 0. Errors: TOO_SMALL. Since 0.2. */
WALRUS_API int32_t walrus_stats_text(walrus_t *log, char *buffer, size_t capacity, size_t *size);

/* ---- Formats ------------------------------------------------------------------------------- */

/* Is told how many of how many entries walrus_convert has copied, now and then and at the end, on the calling
 * thread. A value above 0 stops the copy and is returned by it; a negative value is taken as 0. */
typedef int32_t (*walrus_progress_fn)(void *ctx, uint64_t done, uint64_t total);

/* Copies the log in source_dir, as it is at the call, into a log in target_dir: in the format and with the
 * compression that options (may be NULL) say, with the same indexes, terms, timestamps and metadata. The source is
 * opened read_only and not changed. progress may be NULL. A copy that was stopped, or died, goes on where it was
 * when it is called again. Everything is durable, and was read back and compared, when this returns WALRUS_OK.
 * Errors: those of walrus_open for either directory, EXISTS (the target holds something that the source does not),
 * INVALID (source and target are the same log), CORRUPT, IO, POISONED (an earlier write to the target failed),
 * NO_SPACE, NO_MEMORY, READ_ONLY (options say read_only). Any thread; since 0.2. */
WALRUS_API int32_t walrus_convert(const char *source_dir, const char *target_dir, const walrus_options_t *options,
                                  walrus_progress_fn progress, void *ctx);

#ifdef __cplusplus
}
#endif

#endif /* WALRUS_H */
