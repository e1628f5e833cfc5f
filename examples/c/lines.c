/* lines.c - a file, line by line, in a write-ahead log
 *
 *     lines append LOGDIR FILE [JOURNAL]    append every line that is not in the log yet, each durably
 *     lines check  LOGDIR FILE JOURNAL      prove that nothing acknowledged is missing, nothing changed
 *     lines tour   LOGDIR FILE [JOURNAL]    read by index, by range and backwards, then cut both ends
 *     lines cat    LOGDIR [FIRST [LAST]]    write entries to the standard output
 *
 * Entry n is line n of FILE, newline included, so the log itself knows where to go on: at line
 * walrus_next_index. Kill `lines append` at any moment and run it again.
 *
 * JOURNAL is a record outside the log of what the log has promised. A line is written to it after the
 * library has acknowledged something, never before: "append 17", "truncate 600", "truncate_front 60". It is
 * not synced, so it is a witness for killed processes, not for power cuts.
 *
 *     cc -std=c99 -D_POSIX_C_SOURCE=200809L lines.c -lwalrus -o lines
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <walrus.h>

/* ---- Saying what went wrong ------------------------------------------------------------------ */

/* What the person at the terminal can do about it; "" where the library's own message says it all. */
static const char *advice(const walrus_error_t *error)
{
    switch (error->code) {
    case WALRUS_E_LOCKED:
        return "another process has the log open: wait until it ends, or stop it";
    case WALRUS_E_NO_LOG:
        return "make a log first, with: lines append LOGDIR FILE";
    case WALRUS_E_NOT_A_LOG:
        return "name an empty directory, or one that does not exist yet";
    case WALRUS_E_NO_SPACE:
        return "free some space and run the same command again: it goes on where it stopped";
    case WALRUS_E_IO:
        if (error->os_errno != EIO)
            return "";
        /* fallthrough */
    case WALRUS_E_POISONED:
        return "look at the disk (dmesg), then run the same command again: it goes on where it stopped";
    case WALRUS_E_CORRUPT:
        return "restore the log from a copy, or read what is left with recovery=salvage";
    case WALRUS_E_TOO_LARGE:
        return "a line has to fit the option max_entry_size";
    default:
        return "";
    }
}

/* Reports this thread's last failed call. Always returns EXIT_FAILURE, for `return walrus_failed(...)`. */
static int walrus_failed(const char *format, ...)
{
    walrus_error_t error = {.struct_size = sizeof error};
    walrus_last_error(&error);

    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("lines: cannot ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);

    const char *meaning = walrus_strerror(error.code);
    fprintf(stderr, ": %s\n  %.*s", error.message, (int)strcspn(meaning, ":"), meaning);
    if (error.index != 0)
        fprintf(stderr, ", entry %" PRIu64, error.index);
    if (error.path[0] != '\0')
        fprintf(stderr, ", %s", error.path);
    if (error.offset != 0)
        fprintf(stderr, " at byte %" PRIu64, error.offset);
    if (error.os_errno != 0)
        fprintf(stderr, ", the system says: %s", strerror(error.os_errno));
    fputc('\n', stderr);
    if (advice(&error)[0] != '\0')
        fprintf(stderr, "  %s\n", advice(&error));
    return EXIT_FAILURE;
}

/* Reports anything else. */
static int failed(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("lines: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_FAILURE;
}

/* ---- The file -------------------------------------------------------------------------------- */

typedef struct line {
    const char *bytes;
    size_t size;                /* newline included, if the file has one there */
} line_t;

typedef struct text {
    char *bytes;
    size_t size;
    line_t *lines;
    size_t count;
} text_t;

/* Line `index`, counted from 1 as entries are. */
static line_t line_at(const text_t *text, uint64_t index)
{
    return text->lines[index - 1];
}

static void text_free(text_t *text)
{
    free(text->bytes);
    free(text->lines);
}

static int text_load(text_t *text, const char *path)
{
    memset(text, 0, sizeof *text);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return failed("cannot read %s: %s. Name a file that can be read.", path, strerror(errno));

    size_t capacity = 0, got = 0;
    do {
        text->size += got;
        if (capacity - text->size < 65536) {
            capacity = capacity * 2 + 65536;
            char *larger = realloc(text->bytes, capacity);
            if (larger == NULL)
                goto no_memory;
            text->bytes = larger;
        }
        got = fread(text->bytes + text->size, 1, capacity - text->size, file);
    } while (got > 0);
    if (ferror(file)) {
        fclose(file);
        return failed("cannot read %s: %s. Name a regular file.", path, strerror(errno));
    }

    for (int counting = 1; counting >= 0; counting--) {
        const char *end = text->bytes + text->size;
        text->count = 0;
        for (const char *at = text->bytes; at < end; text->count++) {
            const char *newline = memchr(at, '\n', (size_t)(end - at));
            const char *next = newline != NULL ? newline + 1 : end;
            if (!counting)
                text->lines[text->count] = (line_t){at, (size_t)(next - at)};
            at = next;
        }
        if (counting && (text->lines = malloc((text->count + 1) * sizeof *text->lines)) == NULL)
            goto no_memory;
    }
    fclose(file);
    return EXIT_SUCCESS;

no_memory:
    fclose(file);
    return failed("there is no memory for %s. Try a smaller file.", path);
}

/* Whether an entry is its line of the file, byte for byte. */
static int is_line(const walrus_entry_t *entry, const text_t *text)
{
    if (entry->index == 0 || entry->index > text->count)
        return 0;
    line_t line = line_at(text, entry->index);
    return entry->size == line.size && memcmp(entry->data, line.bytes, line.size) == 0;
}

/* ---- The journal ----------------------------------------------------------------------------- */

/* Opens the journal, a file or a pipe; -1 where there is none. */
static int journal_open(const char *path, int *journal)
{
    *journal = -1;
    if (path == NULL)
        return EXIT_SUCCESS;
    *journal = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (*journal < 0)
        return failed("cannot write the journal %s: %s. Name a file that can be written.", path, strerror(errno));
    return EXIT_SUCCESS;
}

/* Says outside the log what the log has just acknowledged: one write(2), so that nothing waits in a buffer
 * of this process when it is killed. */
static int journal_write(int journal, const char *what, uint64_t index)
{
    if (journal < 0)
        return EXIT_SUCCESS;
    char record[64];
    int size = snprintf(record, sizeof record, "%s %" PRIu64 "\n", what, index);
    ssize_t written;
    do
        written = write(journal, record, (size_t)size);
    while (written < 0 && errno == EINTR);
    if (written != size)
        return failed("cannot write the journal: %s. Make room for it.", written < 0 ? strerror(errno) : "disk full");
    return EXIT_SUCCESS;
}

/* What the log owes according to the journal: entries first to last; first > last means none. */
typedef struct owed {
    uint64_t first, last, acknowledged;
} owed_t;

static int journal_read(const char *path, owed_t *owed)
{
    *owed = (owed_t){.first = 1};
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return failed("cannot read the journal %s: %s. Name the one that was given to append.", path, strerror(errno));

    char record[64], what[32];
    int status = EXIT_SUCCESS;
    while (status == EXIT_SUCCESS && fgets(record, sizeof record, file) != NULL) {
        uint64_t index;
        if (strchr(record, '\n') == NULL)
            break; /* killed in the middle of the last record: it says nothing */
        if (sscanf(record, "%31s %" SCNu64, what, &index) != 2)
            what[0] = '\0';
        if (strcmp(what, "append") == 0) {
            owed->last = index;
            owed->acknowledged++;
        } else if (strcmp(what, "truncate") == 0) {
            owed->last = index;
        } else if (strcmp(what, "truncate_front") == 0) {
            owed->first = index;
        } else {
            status = failed("%s is not a journal of this program: it says \"%.*s\"", path,
                            (int)strcspn(record, "\n"), record);
        }
    }
    fclose(file);
    return status;
}

/* ---- The log --------------------------------------------------------------------------------- */

typedef enum purpose { CREATE, USE, READ } purpose_t;

/* Opens the log. A new one is given segments small enough that the file fills about eight of them, so that
 * cutting the log has whole files to remove. */
static int log_open(const char *dir, purpose_t purpose, size_t file_size, walrus_t **log)
{
    walrus_options_t *options = walrus_options_new();
    if (options == NULL)
        return failed("there is no memory to open %s", dir);

    size_t segment_size = file_size / 8 > 4096 ? file_size / 8 : 4096;
    if (segment_size > (size_t)64 << 20)
        segment_size = (size_t)64 << 20;

    int32_t code = walrus_options_set(options, "sync", "always"); /* the default; here it is the point */
    if (code == WALRUS_OK)
        code = walrus_options_set(options, "create", purpose == CREATE ? "true" : "false");
    if (code == WALRUS_OK)
        code = walrus_options_set(options, "read_only", purpose == READ ? "true" : "false");
    if (code == WALRUS_OK && purpose == CREATE)
        code = walrus_options_set_u64(options, "segment_size", segment_size);
    if (code == WALRUS_OK)
        code = walrus_open(dir, options, log);

    int status = code == WALRUS_OK ? EXIT_SUCCESS : walrus_failed("open the log %s", dir);
    walrus_options_free(options);
    return status;
}

/* Closes the log, and keeps the worse of two results. */
static int log_close(walrus_t *log, const char *dir, int status)
{
    if (walrus_close(log) != WALRUS_OK)
        return walrus_failed("close the log %s", dir);
    return status;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Shows an entry on one line of the screen. */
static void show(const char *label, const walrus_entry_t *entry)
{
    const char *bytes = entry->data;
    size_t size = entry->size;
    while (size > 0 && (bytes[size - 1] == '\n' || bytes[size - 1] == '\r'))
        size--;
    printf("  %-12s %6" PRIu64 " | ", label, entry->index);
    for (size_t at = 0; at < size && at < 60; at++)
        putchar(bytes[at] >= ' ' && bytes[at] <= '~' ? bytes[at] : '.');
    puts(size > 60 ? "..." : "");
}

/* ---- lines append ---------------------------------------------------------------------------- */

static int append_lines(walrus_t *log, const text_t *text, const char *file, int journal)
{
    uint64_t next = walrus_next_index(log);
    uint64_t last = walrus_last_index(log);

    /* Going on with the wrong file would be a pity: the last line in the log must be this file's, too. */
    if (last != 0) {
        walrus_entry_t entry;
        if (walrus_get(log, last, &entry) != WALRUS_OK)
            return walrus_failed("read entry %" PRIu64, last);
        int same = is_line(&entry, text);
        walrus_entry_release(&entry);
        if (!same)
            return failed("entry %" PRIu64 " is not line %" PRIu64 " of %s: this log was made from another file. "
                          "Name that file, or another directory.", last, last, file);
    }
    if (next > text->count) {
        printf("all %zu lines are in the log already\n", text->count);
        return EXIT_SUCCESS;
    }
    if (next > 1)
        printf("going on at line %" PRIu64 " of %zu\n", next, text->count);

    double start = seconds();
    for (uint64_t number = next; number <= text->count; number++) {
        line_t line = line_at(text, number);
        uint64_t index;
        if (walrus_append(log, line.bytes, line.size, &index) != WALRUS_OK)
            return walrus_failed("append line %" PRIu64 " of %s", number, file);
        /* Here the line is on stable storage, and a promise: only now may anybody be told. */
        if (journal_write(journal, "append", index) != EXIT_SUCCESS)
            return EXIT_FAILURE;
        if (index != number)
            return failed("line %" PRIu64 " became entry %" PRIu64 ": please report this", number, index);
    }
    double took = seconds() - start;
    uint64_t count = text->count - next + 1;
    printf("appended lines %" PRIu64 " to %zu in %.2f s: %.0f durable appends/s\n", next, text->count, took,
           (double)count / (took > 0 ? took : 1e-9));
    return EXIT_SUCCESS;
}

static int command_append(const char *dir, const char *file, const char *journal_path)
{
    text_t text;
    walrus_t *log = NULL;
    int journal = -1;
    int status = text_load(&text, file);
    if (status == EXIT_SUCCESS)
        status = journal_open(journal_path, &journal);
    if (status == EXIT_SUCCESS)
        status = log_open(dir, CREATE, text.size, &log);
    if (status == EXIT_SUCCESS)
        status = append_lines(log, &text, file, journal);
    status = log_close(log, dir, status);
    if (journal >= 0)
        close(journal);
    text_free(&text);
    return status;
}

/* ---- lines check ----------------------------------------------------------------------------- */

typedef struct comparison {
    const text_t *text;
    uint64_t next;              /* the index that has to come next                                  */
    uint64_t entries, bytes;
} comparison_t;

/* Compares one entry with its line; a value above 0 ends the scan. */
static int32_t compare(void *ctx, const walrus_entry_t *entry)
{
    comparison_t *comparison = ctx;
    if (entry->index != comparison->next || !is_line(entry, comparison->text))
        return 1;
    comparison->next++;
    comparison->entries++;
    comparison->bytes += entry->size;
    return 0;
}

/* Compares the whole log with the file. */
static int compare_all(walrus_t *log, const text_t *text, comparison_t *comparison)
{
    uint64_t first = walrus_first_index(log), last = walrus_last_index(log);
    *comparison = (comparison_t){.text = text, .next = first};
    if (first == 0)
        return EXIT_SUCCESS; /* empty */
    int32_t code = walrus_scan(log, first, last, compare, comparison);
    if (code < 0)
        return walrus_failed("read the log");
    if (code > 0 || comparison->next != last + 1)
        return failed("FAILED: entry %" PRIu64 " is not line %" PRIu64 " of the file. Is it the file that was appended?",
                      comparison->next, comparison->next);
    return EXIT_SUCCESS;
}

static int check_log(walrus_t *log, const text_t *text, const owed_t *owed)
{
    walrus_recovery_report_t report = {.struct_size = sizeof report};
    if (walrus_recovery_report(log, &report) != WALRUS_OK)
        return walrus_failed("learn what recovery did");
    printf("recovery: %s (%.1f ms)\n", report.message, (double)report.duration_ns / 1e6);

    uint64_t first = walrus_first_index(log), last = walrus_last_index(log);
    int owes = owed->last >= owed->first;
    if (owes && last < owed->last)
        return failed("FAILED: entry %" PRIu64 " was acknowledged as durable, but the log ends at %" PRIu64,
                      owed->last, last);
    if (owes && first > owed->first)
        return failed("FAILED: entry %" PRIu64 " was acknowledged as durable, but the log begins at %" PRIu64,
                      owed->first, first);
    if (first != 0 && first < owed->first)
        return failed("FAILED: entry %" PRIu64 " is back, though it was truncated away", first);

    comparison_t comparison;
    if (compare_all(log, text, &comparison) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    printf("proved: %" PRIu64 " appends were acknowledged, none is missing; ", owed->acknowledged);
    printf("entries %" PRIu64 " to %" PRIu64 " (%" PRIu64 " bytes) are the file's lines, byte for byte\n", first, last,
           comparison.bytes);
    if (last > owed->last)
        printf("  %" PRIu64 " more had reached the log when the process died, before anybody was told\n",
               last - owed->last);
    return EXIT_SUCCESS;
}

static int command_check(const char *dir, const char *file, const char *journal_path)
{
    text_t text;
    owed_t owed;
    walrus_t *log = NULL;
    int status = text_load(&text, file);
    if (status == EXIT_SUCCESS)
        status = journal_read(journal_path, &owed);
    if (status == EXIT_SUCCESS)
        status = log_open(dir, USE, 0, &log);
    if (status == EXIT_SUCCESS)
        status = check_log(log, &text, &owed);
    status = log_close(log, dir, status);
    text_free(&text);
    return status;
}

/* ---- lines tour ------------------------------------------------------------------------------ */

static int read_by_index(walrus_t *log, const text_t *text, uint64_t first, uint64_t last)
{
    uint64_t indexes[] = {first, first + (last - first) / 2, last};
    for (size_t i = 0; i < 3; i++) {
        walrus_entry_t entry;
        if (walrus_get(log, indexes[i], &entry) != WALRUS_OK)
            return walrus_failed("read entry %" PRIu64, indexes[i]);
        int same = is_line(&entry, text) && entry.checksum == walrus_crc32(entry.data, entry.size);
        show(i == 0 ? "by index" : "", &entry);
        walrus_entry_release(&entry);
        if (!same)
            return failed("FAILED: entry %" PRIu64 " is not line %" PRIu64 " of the file", indexes[i], indexes[i]);
    }
    return EXIT_SUCCESS;
}

static int read_by_range(walrus_t *log, const text_t *text, uint64_t first, uint64_t last)
{
    walrus_entry_t entries[4];
    size_t count = 0;
    if (walrus_get_range(log, first + (last - first) / 3, last, SIZE_MAX, entries, 4, &count) != WALRUS_OK)
        return walrus_failed("read a range of entries");
    for (size_t i = 0; i < count; i++)
        show(i == 0 ? "by range" : "", &entries[i]);
    walrus_entries_release(entries, count);

    comparison_t comparison;
    if (compare_all(log, text, &comparison) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    printf("  %-12s a scan from first to last: %" PRIu64 " entries, each the file's line\n", "", comparison.entries);
    return EXIT_SUCCESS;
}

static int read_backwards(walrus_t *log, const text_t *text, uint64_t first, uint64_t last)
{
    for (uint64_t index = last; index >= first; index--) {
        walrus_entry_t entry;
        if (walrus_get(log, index, &entry) != WALRUS_OK)
            return walrus_failed("read entry %" PRIu64, index);
        int same = is_line(&entry, text);
        if (last - index < 3)
            show(index == last ? "backwards" : "", &entry);
        walrus_entry_release(&entry);
        if (!same)
            return failed("FAILED: entry %" PRIu64 " is not line %" PRIu64 " of the file", index, index);
    }
    printf("  %-12s and on to %" PRIu64 ": each the file's line\n", "", first);
    return EXIT_SUCCESS;
}

/* Proves that an entry can no longer be read, for the right reason. */
static int expect_gone(walrus_t *log, uint64_t index, int32_t expected)
{
    walrus_entry_t entry;
    int32_t code = walrus_get(log, index, &entry);
    walrus_entry_release(&entry); /* zeroed when walrus_get has failed, so this is always right */
    if (code != expected)
        return failed("FAILED: entry %" PRIu64 " was truncated away, but reading it answers %s", index,
                      walrus_strerror(code));
    const char *meaning = walrus_strerror(code);
    printf("  %-12s entry %" PRIu64 " now answers %.*s\n", "", index, (int)strcspn(meaning, ":"), meaning);
    return EXIT_SUCCESS;
}

/* Drops a tenth of the entries at each end, while a view of the first one is held. */
static int cut_both_ends(walrus_t *log, const text_t *text, uint64_t first, uint64_t last, int journal)
{
    uint64_t tenth = (last - first + 1) / 10 > 0 ? (last - first + 1) / 10 : 1;
    uint64_t new_first = first + tenth, new_last = last - tenth;

    walrus_entry_t held;
    if (walrus_get(log, first, &held) != WALRUS_OK)
        return walrus_failed("read entry %" PRIu64, first);
    int status = EXIT_FAILURE;

    if (walrus_truncate_front(log, new_first) != WALRUS_OK) {
        walrus_failed("truncate the front up to %" PRIu64, new_first);
        goto release;
    }
    printf("  %-12s %" PRIu64 " entries dropped at the front: it begins at %" PRIu64 "\n", "truncated", tenth,
           walrus_first_index(log));
    if (journal_write(journal, "truncate_front", new_first) != EXIT_SUCCESS ||
        expect_gone(log, first, WALRUS_E_COMPACTED) != EXIT_SUCCESS)
        goto release;

    if (walrus_truncate(log, new_last) != WALRUS_OK) {
        walrus_failed("truncate after %" PRIu64, new_last);
        goto release;
    }
    printf("  %-12s %" PRIu64 " entries dropped at the back: it ends at %" PRIu64 "\n", "", tenth,
           walrus_last_index(log));
    if (journal_write(journal, "truncate", new_last) != EXIT_SUCCESS ||
        expect_gone(log, last, WALRUS_E_NOT_FOUND) != EXIT_SUCCESS)
        goto release;

    if (walrus_first_index(log) != new_first || walrus_last_index(log) != new_last ||
        walrus_next_index(log) != new_last + 1)
        failed("FAILED: the log should hold %" PRIu64 " to %" PRIu64 " now", new_first, new_last);
    else if (!is_line(&held, text))
        failed("FAILED: the view of entry %" PRIu64 " changed when the entry was truncated away", first);
    else
        status = EXIT_SUCCESS;
    if (status == EXIT_SUCCESS)
        printf("  %-12s the view of entry %" PRIu64 " that was lent before still shows it\n", "", first);

release:
    walrus_entry_release(&held);
    return status;
}

static int command_tour(const char *dir, const char *file, const char *journal_path)
{
    text_t text;
    walrus_t *log = NULL;
    int journal = -1;
    int status = text_load(&text, file);
    if (status == EXIT_SUCCESS)
        status = journal_open(journal_path, &journal);
    if (status == EXIT_SUCCESS)
        status = log_open(dir, USE, 0, &log);

    uint64_t first = walrus_first_index(log), last = walrus_last_index(log); /* 0 for a NULL log */
    if (status == EXIT_SUCCESS && (first == 0 || last - first < 9))
        status = failed("a tour takes a log of 10 entries or more: append a longer file first");
    if (status == EXIT_SUCCESS)
        status = read_by_index(log, &text, first, last);
    if (status == EXIT_SUCCESS)
        status = read_by_range(log, &text, first, last);
    if (status == EXIT_SUCCESS)
        status = read_backwards(log, &text, first, last);
    if (status == EXIT_SUCCESS)
        status = cut_both_ends(log, &text, first, last, journal);

    status = log_close(log, dir, status);
    if (journal >= 0)
        close(journal);
    text_free(&text);
    return status;
}

/* ---- lines cat ------------------------------------------------------------------------------- */

static int32_t print_entry(void *ctx, const walrus_entry_t *entry)
{
    (void)ctx;
    return fwrite(entry->data, 1, entry->size, stdout) == entry->size ? 0 : 1;
}

static int command_cat(const char *dir, uint64_t first, uint64_t last)
{
    walrus_t *log = NULL;
    int status = log_open(dir, READ, 0, &log); /* takes no lock: a writer may go on meanwhile */
    if (status != EXIT_SUCCESS)
        return status;
    if (first == 0)
        first = walrus_first_index(log);
    if (first != 0) { /* 0: the log is empty */
        int32_t code = walrus_scan(log, first, last, print_entry, NULL);
        if (code < 0)
            status = walrus_failed("read the log %s", dir);
        else if (code > 0 || fflush(stdout) != 0)
            status = failed("cannot write the standard output: %s", strerror(errno));
    }
    return log_close(log, dir, status);
}

/* ---------------------------------------------------------------------------------------------- */

static int usage(void)
{
    fputs("usage: lines append LOGDIR FILE [JOURNAL]\n"
          "       lines check  LOGDIR FILE JOURNAL\n"
          "       lines tour   LOGDIR FILE [JOURNAL]\n"
          "       lines cat    LOGDIR [FIRST [LAST]]\n",
          stderr);
    return 2;
}

/* Reads an index from the command line; 0 is none. */
static uint64_t parse_index(const char *argument)
{
    char *end;
    errno = 0;
    uint64_t index = strtoull(argument, &end, 10);
    return errno == 0 && *end == '\0' && argument[0] >= '0' && argument[0] <= '9' ? index : 0;
}

int main(int argc, char **argv)
{
    if (walrus_abi_version() != WALRUS_ABI_VERSION)
        return failed("libwalrus %s does not fit the header that this program was compiled with, %s. Compile it anew.",
                      walrus_version(), WALRUS_VERSION);
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "append") == 0 && (argc == 4 || argc == 5))
        return command_append(argv[2], argv[3], argc > 4 ? argv[4] : NULL);
    if (strcmp(command, "check") == 0 && argc == 5)
        return command_check(argv[2], argv[3], argv[4]);
    if (strcmp(command, "tour") == 0 && (argc == 4 || argc == 5))
        return command_tour(argv[2], argv[3], argc > 4 ? argv[4] : NULL);
    if (strcmp(command, "cat") == 0 && argc >= 3 && argc <= 5) {
        uint64_t first = argc > 3 ? parse_index(argv[3]) : 0, last = argc > 4 ? parse_index(argv[4]) : UINT64_MAX;
        if ((argc > 3 && first == 0) || last == 0)
            return usage();
        return command_cat(argv[2], first, last);
    }
    return usage();
}
