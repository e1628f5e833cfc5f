/* test_scenarios.c - runs Tests/scenarios: what every binding must answer, answered by the library itself
 *
 * Each file is a case of its own, and once more for each of variants.h: what a log answers does not depend on how it is stored.
 * README.md there defines the lines; here is one function for each operation. It reads its arguments with take_*, and hands what
 * came to give_*, which holds it against the line's expected results.
 */
#include "variants.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>

/* Functions that a library may not have yet: scenarios that need them are then skipped, and the rest runs. */
#pragma weak walrus_append_packed
#pragma weak walrus_append_async
#pragma weak walrus_wait_durable
#pragma weak walrus_notify_fd
#pragma weak walrus_interrupt
#pragma weak walrus_read_packed
#pragma weak walrus_last_index_of_term
#pragma weak walrus_seek_time
#pragma weak walrus_cursor_open
#pragma weak walrus_cursor_next
#pragma weak walrus_cursor_prev
#pragma weak walrus_cursor_seek
#pragma weak walrus_cursor_position
#pragma weak walrus_cursor_wait
#pragma weak walrus_cursor_close
#pragma weak walrus_replace_suffix
#pragma weak walrus_txn_begin
#pragma weak walrus_txn_append
#pragma weak walrus_txn_commit
#pragma weak walrus_txn_rollback
#pragma weak walrus_txn_state
#pragma weak walrus_txn_count
#pragma weak walrus_txn_expire
#pragma weak walrus_meta_set
#pragma weak walrus_meta_get
#pragma weak walrus_meta_delete
#pragma weak walrus_meta_each
#pragma weak walrus_meta_stage
#pragma weak walrus_rotate
#pragma weak walrus_segments
#pragma weak walrus_stats
#pragma weak walrus_stats_text

enum { TOKENS_MAX = 128, NAMED_MAX = 16, COMPLETIONS_MAX = 64, COMPLETION_SECONDS = 30 };

/* ---- The file -------------------------------------------------------------------------------- */

static char *case_names[256];
static int case_count;


static const char *scenario_path(const char *name) {
    static char path[PATH_MAX];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*s/../scenarios%s%s", slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".",
             name[0] ? "/" : "", name);
    return path;
}

/* The line at hand: file and number for reports, its arguments, and its expected results. */
static struct line {
    const char *file;
    int number;
    char *tokens[TOKENS_MAX];
    int count, next; /* arguments: [next, arrow)  results: [result, count) */
    int arrow, result;
    bool has_results;
} line;

#define MISMATCH(...) check_failed(line.file, line.number, __VA_ARGS__)

/* ---- Tokens ---------------------------------------------------------------------------------- */

typedef struct bytes {
    unsigned char *data;
    size_t size;
} bytes_t;

static uint64_t parse_number(const char *text) {
    if (strcmp(text, "max") == 0)
        return UINT64_MAX;
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0 || *end != 0 || end == text || text[0] == '-' || text[0] == '+')
        MISMATCH("\"%s\" is not a number", text);
    return number;
}

static int64_t parse_signed(const char *text) {
    char *end;
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    if (errno != 0 || *end != 0 || end == text)
        MISMATCH("\"%s\" is not a signed number", text);
    return number;
}

static int hex_digit(char digit) {
    const char *digits = "0123456789abcdef", *found = digit ? strchr(digits, digit) : NULL;
    if (found == NULL)
        MISMATCH("\"%c\" is not a small hex digit", digit);
    return (int)(found - digits);
}

/* A case's process is short: what is parsed is never freed. A NUL follows the bytes. */
static bytes_t parse_bytes(const char *text) {
    size_t length = strlen(text), size = 0, times = 1;
    const char *star = strchr(text, '*');
    unsigned char *once = malloc(length + 1);
    CHECK(once != NULL);
    if (star != NULL) {
        times = parse_number(star + 1);
        length = (size_t)(star - text);
    } else if (strcmp(text, "-") == 0) {
        length = 0;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%') {
            once[size++] = (unsigned char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
            i += 2;
        } else {
            once[size++] = (unsigned char)text[i];
        }
    }
    bytes_t bytes = {malloc(size * times + 1), size * times};
    CHECK(bytes.data != NULL);
    for (size_t i = 0; i < times; i++)
        memcpy(bytes.data + i * size, once, size);
    bytes.data[bytes.size] = 0;
    free(once);
    return bytes;
}

static const char *take(void) {
    if (line.next == line.arrow)
        MISMATCH("the operation needs another argument");
    return line.tokens[line.next++];
}

static bool more(void) { return line.next < line.arrow; }
static uint64_t take_number(void) { return parse_number(take()); }
static int64_t take_signed(void) { return parse_signed(take()); }
static bytes_t take_bytes(void) { return parse_bytes(take()); }
static const char *take_text(void) { return (const char *)take_bytes().data; }

static uint32_t take_flags(void) {
    static const char *const names[] = {"default", "durable", "os", "buffered"};
    static const uint32_t flags[] = {0, WALRUS_DURABLE, WALRUS_TO_OS, WALRUS_BUFFERED};
    const char *word = take();
    for (int i = 0; i < 4; i++)
        if (strcmp(word, names[i]) == 0)
            return flags[i];
    MISMATCH("\"%s\" is no flag", word);
    return 0;
}

static walrus_record_t take_record(void) {
    walrus_record_t record = {0};
    char *rest = (char *)take(), *field = strsep(&rest, ",");
    bytes_t bytes = parse_bytes(field);
    record.data = bytes.data;
    record.size = bytes.size;
    if ((field = strsep(&rest, ",")) != NULL)
        record.term = parse_number(field);
    if ((field = strsep(&rest, ",")) != NULL)
        record.index = parse_number(field);
    if ((field = strsep(&rest, ",")) != NULL)
        record.timestamp_ns = parse_signed(field);
    return record;
}

static size_t take_records(walrus_record_t *records) {
    size_t count = 0;
    while (more())
        records[count++] = take_record();
    return count;
}

/* ---- Results --------------------------------------------------------------------------------- */

static char last_message[512]; /* of the last operation that failed */

/* The next expected result; NULL: whatever comes is right. */
static const char *expect(const char *came) {
    if (!line.has_results)
        return NULL;
    if (line.result == line.count) {
        MISMATCH("nothing more was expected, and %.60s came", came);
        return NULL;
    }
    const char *expected = line.tokens[line.result++];
    return strcmp(expected, "*") == 0 ? NULL : expected;
}

static void give_number(uint64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    const char *expected = expect(text);
    if (expected != NULL && parse_number(expected) != number)
        MISMATCH("%s was expected, and %s came", expected, text);
}

static void give_signed(int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    const char *expected = expect(text);
    if (expected != NULL && parse_signed(expected) != number)
        MISMATCH("%s was expected, and %s came", expected, text);
}

static void give_word(const char *word) {
    const char *expected = expect(word);
    if (expected != NULL && strcmp(expected, word) != 0)
        MISMATCH("%s was expected, and %s came", expected, word);
}

static bool same_bytes(const char *expected, const void *data, size_t size) {
    bytes_t bytes = parse_bytes(expected);
    bool same = bytes.size == size && memcmp(bytes.data, size ? data : "", size) == 0;
    free(bytes.data);
    return same;
}

static void give_bytes(const void *data, size_t size) {
    char came[200] = "";
    size_t used = 0;
    for (size_t i = 0; i < size && i < 40; i++) {
        unsigned char byte = ((const unsigned char *)data)[i];
        bool plain = byte > ' ' && byte < 127 && strchr("%*,=", byte) == NULL;
        used += (size_t)snprintf(came + used, sizeof came - used, plain ? "%c" : "%%%02x", byte);
    }
    snprintf(came + used, sizeof came - used, "%s (%zu bytes)", size > 40 ? "..." : "", size);
    const char *expected = expect(came);
    if (expected != NULL && !same_bytes(expected, data, size))
        MISMATCH("%.60s was expected, and %s came", expected, came);
}

static void give_pair(const char *key, const void *value, size_t size) {
    const char *expected = expect(key);
    if (expected == NULL)
        return;
    char *copy = strdup(expected), *rest = copy, *expected_key = strsep(&rest, ",");
    if (rest == NULL || !same_bytes(expected_key, key, strlen(key)) || !same_bytes(rest, value, size))
        MISMATCH("%.60s was expected, and the key \"%.60s\" with %zu bytes came", expected, key, size);
    free(copy);
}

/* Whether the code is a success that was expected; a failure, expected or not, is dealt with here. */
static bool succeeded(int32_t code, size_t needed) {
    if (code < 0) {
        walrus_error_t error = {.struct_size = sizeof error};
        walrus_last_error(&error);
        snprintf(last_message, sizeof last_message, "%s", error.message);
    }
    bool wants_error = line.has_results && line.result < line.count && strcmp(line.tokens[line.result], "error") == 0;
    if (!wants_error) {
        if (code < 0)
            MISMATCH("success was expected, and error %s came", check_code_name(code));
        return true;
    }
    line.result++;
    const char *name = line.result < line.count ? line.tokens[line.result++] : "";
    if (code >= 0)
        MISMATCH("error %s was expected, and success came", name);
    else if (strcmp(name, check_code_name(code)) != 0)
        MISMATCH("error %s was expected, and error %s came", name, check_code_name(code));
    else if (line.result < line.count)
        give_number(needed);
    return false;
}

static bool done(int32_t code) { return succeeded(code, 0); }

/* ---- What is open ---------------------------------------------------------------------------- */

typedef struct named {
    char name[64];
    void *pointer;
} named_t;

static named_t logs[NAMED_MAX], cursors[NAMED_MAX], txns[NAMED_MAX];
static const char *handle; /* of the line */

static named_t *find(named_t *table, const char *name) {
    for (int i = 0; i < NAMED_MAX; i++)
        if (table[i].pointer != NULL && strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static void keep(named_t *table, const char *name, void *pointer) {
    if (find(table, name) != NULL)
        MISMATCH("there is one called %s already", name);
    for (int i = 0; i < NAMED_MAX; i++)
        if (table[i].pointer == NULL) {
            snprintf(table[i].name, sizeof table[i].name, "%s", name);
            table[i].pointer = pointer;
            return;
        }
    MISMATCH("too many are open");
}

static void *lookup(named_t *table, const char *name) {
    named_t *found = find(table, name);
    if (found == NULL)
        MISMATCH("there is nothing open called %s", name);
    return found->pointer;
}

static walrus_t *log_of_line(void) { return lookup(logs, handle); }
static walrus_cursor_t *take_cursor(void) { return lookup(cursors, take()); }
static walrus_txn_t *take_txn(void) { return lookup(txns, take()); }
static const char *directory(void) { return at("log"); }

/* ---- Library, options ------------------------------------------------------------------------ */

static void op_version(void) {
    char text[32];
    uint32_t number = walrus_version_number();
    snprintf(text, sizeof text, "%u.%u.%u", number / 10000, number / 100 % 100, number % 100);
    if (strcmp(text, walrus_version()) != 0)
        MISMATCH("walrus_version is %s, walrus_version_number %s", walrus_version(), text);
    give_number(walrus_abi_version());
}

static void op_strerror(void) {
    const char *text = walrus_strerror((int32_t)take_signed());
    give_bytes(text, strcspn(text, ":"));
}

static void op_crc32(void) {
    bytes_t bytes = take_bytes();
    give_number(walrus_crc32(bytes.data, bytes.size));
}

static void op_message(void) {
    const char *text = take_text();
    if (strstr(last_message, text) == NULL)
        MISMATCH("the message does not contain \"%s\": %s", text, last_message);
}

static void give_option(walrus_options_t *options, const char *key, int32_t code) {
    char text[256];
    if (done(code) && done(walrus_options_get(options, key, text, sizeof text, NULL)))
        give_bytes(text, strlen(text));
    walrus_options_free(options);
}

static void op_option(void) {
    walrus_options_t *options = walrus_options_new();
    const char *key = take();
    give_option(options, key, walrus_options_set(options, key, take_text()));
}

static void op_option_u64(void) {
    walrus_options_t *options = walrus_options_new();
    const char *key = take();
    give_option(options, key, walrus_options_set_u64(options, key, take_number()));
}

static const char *wanted_key, *found_default;

static int32_t visit_option(void *ctx, const char *key, const char *default_value, const char *allowed) {
    (void)ctx, (void)allowed;
    if (strcmp(key, wanted_key) == 0)
        found_default = default_value;
    return 0;
}

static void op_option_default(void) {
    wanted_key = take();
    found_default = NULL;
    if (!done(walrus_options_each(NULL, visit_option, NULL)))
        return;
    if (found_default == NULL)
        MISMATCH("there is no option %s", wanted_key);
    give_bytes(found_default, strlen(found_default));
}

/* ---- Open and close -------------------------------------------------------------------------- */

static void op_open(void) {
    walrus_options_t *options = settings(variant); /* what the line sets itself comes after that, and holds */
    walrus_t *log = NULL;
    int32_t code = WALRUS_OK;
    while (more() && code == WALRUS_OK) {
        char *value = (char *)take(), *key = strsep(&value, "=");
        if (value == NULL)
            MISMATCH("\"%s\" is not KEY=VALUE", key);
        code = walrus_options_set(options, key, (const char *)parse_bytes(value).data);
    }
    if (code == WALRUS_OK)
        code = walrus_open(directory(), options, &log);
    walrus_options_free(options);
    if (done(code))
        keep(logs, handle, log);
}

static void op_close(void) {
    walrus_t *log = log_of_line();
    find(logs, handle)->pointer = NULL;
    done(walrus_close(log));
}

static void op_shutdown(void) { done(walrus_shutdown(log_of_line())); }
static void op_destroy(void) { done(walrus_destroy(directory())); }

static void op_recovery(void) {
    static const char *const reasons[] = {"clean", "complete", "torn", "batch", "reordered"};
    walrus_recovery_report_t report = {.struct_size = sizeof report};
    if (!done(walrus_recovery_report(log_of_line(), &report)))
        return;
    give_word(report.reason >= 0 && report.reason < 5 ? reasons[report.reason] : "unknown");
    give_number(report.entries_cut);
}

static void op_bounds(void) {
    walrus_t *log = log_of_line();
    give_number(walrus_first_index(log));
    give_number(walrus_last_index(log));
    give_number(walrus_next_index(log));
}

/* ---- Append ---------------------------------------------------------------------------------- */

static void give_index(int32_t code, uint64_t index) {
    if (done(code))
        give_number(index);
}

static void op_append(void) {
    bytes_t bytes = take_bytes();
    uint64_t index = 0;
    int32_t code = walrus_append(log_of_line(), bytes.data, bytes.size, &index);
    give_index(code, index);
}

static void op_record(void) {
    uint32_t flags = take_flags();
    walrus_record_t record = take_record();
    uint64_t index = 0;
    int32_t code = walrus_append_record(log_of_line(), &record, flags, &index);
    give_index(code, index);
}

static void op_batch(void) {
    uint32_t flags = take_flags();
    walrus_record_t records[TOKENS_MAX];
    size_t count = take_records(records);
    uint64_t index = 0;
    int32_t code = walrus_append_batch(log_of_line(), records, count, flags, &index);
    give_index(code, index);
}

static void op_packed(void) {
    uint32_t flags = take_flags(), sizes[TOKENS_MAX];
    uint64_t term = take_number(), index = 0;
    size_t count = 0, total = 0;
    unsigned char *data = NULL;
    while (more()) {
        bytes_t bytes = take_bytes();
        data = realloc(data, total + bytes.size + 1);
        CHECK(data != NULL);
        memcpy(data + total, bytes.data, bytes.size);
        total += bytes.size;
        sizes[count++] = (uint32_t)bytes.size;
    }
    int32_t code = walrus_append_packed(log_of_line(), data, sizes, count, term, flags, &index);
    give_index(code, index);
}

static struct completions {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t expected, count;
    uint64_t indexes[COMPLETIONS_MAX];
    int32_t statuses[COMPLETIONS_MAX];
} completions = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void completed(void *ctx, uint64_t index, int32_t status) {
    struct completions *all = ctx;
    pthread_mutex_lock(&all->mutex);
    if (all->count < COMPLETIONS_MAX) {
        all->indexes[all->count] = index;
        all->statuses[all->count++] = status;
    }
    pthread_cond_signal(&all->changed);
    pthread_mutex_unlock(&all->mutex);
}

static void op_async(void) {
    walrus_record_t record = take_record();
    uint64_t index = 0;
    int32_t code = walrus_append_async(log_of_line(), &record, 0, completed, &completions, &index);
    completions.expected += code == WALRUS_OK;
    give_index(code, index);
}

static void op_completions(void) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += COMPLETION_SECONDS;
    pthread_mutex_lock(&completions.mutex);
    int waited = 0;
    while (completions.count < completions.expected && waited == 0)
        waited = pthread_cond_timedwait(&completions.changed, &completions.mutex, &deadline);
    if (completions.count != completions.expected)
        MISMATCH("%zu of %zu appends were reported", completions.count, completions.expected);
    for (size_t i = 0; i < completions.count; i++) {
        if (completions.statuses[i] != WALRUS_OK)
            MISMATCH("the append of %" PRIu64 " completed with error %s", completions.indexes[i],
                     check_code_name(completions.statuses[i]));
        give_number(completions.indexes[i]);
    }
    completions.count = completions.expected = 0;
    pthread_mutex_unlock(&completions.mutex);
}

/* ---- Durability ------------------------------------------------------------------------------ */

static void op_sync(void) { done(walrus_sync(log_of_line())); }
static void op_durable(void) { give_number(walrus_durable_index(log_of_line())); }
static void op_interrupt(void) { done(walrus_interrupt(log_of_line())); }

static void op_wait_durable(void) {
    uint64_t index = take_number();
    done(walrus_wait_durable(log_of_line(), index, take_signed()));
}

static void op_notify(void) {
    struct pollfd poller = {.events = POLLIN};
    int64_t timeout_ms = take_signed();
    if (!done(walrus_notify_fd(log_of_line(), &poller.fd)))
        return;
    bool readable = poll(&poller, 1, (int)timeout_ms) == 1;
    uint64_t moved;
    if (readable)
        CHECK(read(poller.fd, &moved, sizeof moved) == sizeof moved);
    give_word(readable ? "readable" : "quiet");
}

/* ---- Read ------------------------------------------------------------------------------------ */

static void check_what_was_read(const walrus_entry_t *entry, uint64_t index) {
    if (entry->index != index)
        MISMATCH("the entry says that its index is %" PRIu64 ", not %" PRIu64, entry->index, index);
    if (entry->checksum != walrus_crc32(entry->data, entry->size))
        MISMATCH("the checksum of entry %" PRIu64 " is not that of its bytes", index);
}

static void op_get(void) {
    uint64_t index = take_number();
    walrus_entry_t entry;
    if (!done(walrus_get(log_of_line(), index, &entry)))
        return;
    check_what_was_read(&entry, index);
    give_bytes(entry.data, entry.size);
    give_number(entry.term);
    give_signed(entry.timestamp_ns);
    walrus_entry_release(&entry);
}

static void op_read(void) {
    uint64_t index = take_number();
    size_t capacity = take_number(), size = 0;
    unsigned char *buffer = malloc(capacity + 1);
    int32_t code = walrus_read(log_of_line(), index, buffer, capacity, &size);
    if (succeeded(code, size))
        give_bytes(buffer, size);
    free(buffer);
}

typedef struct scan {
    uint64_t index, most, seen;
} scan_t;

enum { SCAN_ENDED = 7 };

static int32_t visit_entry(void *ctx, const walrus_entry_t *entry) {
    scan_t *scan = ctx;
    check_what_was_read(entry, scan->index++);
    give_bytes(entry->data, entry->size);
    return ++scan->seen == scan->most ? SCAN_ENDED : 0;
}

/* A scan that fails half way has given entries before: a line that expects an error ignores them. */
static int32_t visit_silently(void *ctx, const walrus_entry_t *entry) {
    (void)ctx, (void)entry;
    return 0;
}

static void op_scan(void) {
    uint64_t first = take_number(), last = take_number(), most = take_number();
    scan_t scan = {first, most, 0};
    bool fails = line.result < line.count && strcmp(line.tokens[line.result], "error") == 0;
    int32_t code = walrus_scan(log_of_line(), first, last, fails ? visit_silently : visit_entry, &scan);
    if (done(code) && code != (most != 0 && scan.seen == most ? SCAN_ENDED : 0))
        MISMATCH("walrus_scan answered %" PRId32 " after %" PRIu64 " entries", code, scan.seen);
}

static void op_range(void) {
    uint64_t first = take_number(), last = take_number();
    size_t max_bytes = take_number(), capacity = take_number(), count = 0;
    walrus_entry_t entries[TOKENS_MAX];
    CHECK(capacity <= TOKENS_MAX);
    if (!done(walrus_get_range(log_of_line(), first, last, max_bytes, entries, capacity, &count)))
        return;
    for (size_t i = 0; i < count; i++) {
        check_what_was_read(&entries[i], first + i);
        give_bytes(entries[i].data, entries[i].size);
    }
    walrus_entries_release(entries, count);
}

static void op_read_packed(void) {
    uint64_t first = take_number();
    size_t max_count = take_number(), capacity = take_number(), count = 0, offset = 0;
    if (max_count > TOKENS_MAX)
        max_count = TOKENS_MAX;
    uint32_t sizes[TOKENS_MAX] = {0};
    unsigned char *buffer = malloc(capacity + 1);
    int32_t code = walrus_read_packed(log_of_line(), first, max_count, buffer, capacity, sizes, &count);
    if (succeeded(code, sizes[0]))
        for (size_t i = 0; i < count; offset += sizes[i++])
            give_bytes(buffer + offset, sizes[i]);
    free(buffer);
}

static void op_term(void) {
    uint64_t index = take_number(), term = 0;
    int32_t code = walrus_term(log_of_line(), index, &term);
    give_index(code, term);
}

static void op_last_index_of_term(void) {
    uint64_t term = take_number(), index = 0;
    int32_t code = walrus_last_index_of_term(log_of_line(), term, &index);
    give_index(code, index);
}

static void op_seek_time(void) {
    int64_t time = take_signed();
    uint64_t index = 0;
    int32_t code = walrus_seek_time(log_of_line(), time, &index);
    give_index(code, index);
}

/* ---- Truncate -------------------------------------------------------------------------------- */

static void op_truncate(void) { done(walrus_truncate(log_of_line(), take_number())); }
static void op_truncate_front(void) { done(walrus_truncate_front(log_of_line(), take_number())); }
static void op_reset(void) { done(walrus_reset(log_of_line(), take_number())); }

static void op_replace_suffix(void) {
    uint64_t from = take_number();
    uint32_t flags = take_flags();
    walrus_record_t records[TOKENS_MAX];
    size_t count = take_records(records);
    done(walrus_replace_suffix(log_of_line(), from, records, count, flags));
}

/* ---- Cursors --------------------------------------------------------------------------------- */

static void op_cursor_open(void) {
    const char *name = take();
    uint64_t index = take_number();
    uint32_t flags = strcmp(take(), "durable") == 0 ? WALRUS_DURABLE_ONLY : 0;
    walrus_cursor_t *cursor = NULL;
    if (done(walrus_cursor_open(log_of_line(), index, flags, &cursor)))
        keep(cursors, name, cursor);
}

static void give_entry(int32_t code, walrus_entry_t *entry) {
    if (!done(code))
        return;
    check_what_was_read(entry, entry->index);
    give_number(entry->index);
    give_bytes(entry->data, entry->size);
    walrus_entry_release(entry);
}

static void op_cursor_next(void) {
    walrus_entry_t entry;
    int32_t code = walrus_cursor_next(take_cursor(), &entry);
    give_entry(code, &entry);
}

static void op_cursor_prev(void) {
    walrus_entry_t entry;
    int32_t code = walrus_cursor_prev(take_cursor(), &entry);
    give_entry(code, &entry);
}

static void op_cursor_seek(void) {
    walrus_cursor_t *cursor = take_cursor();
    done(walrus_cursor_seek(cursor, take_number()));
}

static void op_cursor_position(void) { give_number(walrus_cursor_position(take_cursor())); }

static void op_cursor_wait(void) {
    walrus_cursor_t *cursor = take_cursor();
    done(walrus_cursor_wait(cursor, take_signed()));
}

static void op_cursor_close(void) {
    named_t *cursor = find(cursors, line.tokens[line.next]);
    walrus_cursor_close(take_cursor());
    cursor->pointer = NULL;
}

/* ---- Transactions ---------------------------------------------------------------------------- */

static void op_txn_begin(void) {
    const char *name = take();
    walrus_txn_t *txn = NULL;
    if (done(walrus_txn_begin(log_of_line(), take_signed(), &txn)))
        keep(txns, name, txn);
}

static void op_txn_append(void) {
    walrus_txn_t *txn = take_txn();
    walrus_record_t record = take_record();
    done(walrus_txn_append(txn, &record));
}

static void op_txn_commit(void) {
    named_t *txn = find(txns, line.tokens[line.next]);
    walrus_txn_t *pointer = take_txn();
    uint64_t first = 0, count = 0;
    int32_t code = walrus_txn_commit(pointer, take_flags(), &first, &count);
    if (code == WALRUS_OK)
        txn->pointer = NULL;
    if (!done(code))
        return;
    give_number(first);
    give_number(count);
}

static void op_txn_rollback(void) {
    named_t *txn = find(txns, line.tokens[line.next]);
    walrus_txn_t *pointer = take_txn();
    txn->pointer = NULL;
    done(walrus_txn_rollback(pointer));
}

static void op_txn_state(void) {
    static const char *const states[] = {"0", "open", "expired", "committed"};
    int32_t state = walrus_txn_state(take_txn());
    if (done(state))
        give_word(state <= WALRUS_TXN_COMMITTED ? states[state] : "unknown");
}

static void op_txn_count(void) { give_number(walrus_txn_count(log_of_line())); }

static void op_txn_expire(void) {
    uint64_t expired = 0;
    int32_t code = walrus_txn_expire(log_of_line(), &expired);
    give_index(code, expired);
}

/* ---- Metadata -------------------------------------------------------------------------------- */

static void op_meta_set(void) {
    const char *key = take_text();
    bytes_t value = take_bytes();
    done(walrus_meta_set(log_of_line(), key, value.data, value.size));
}

static void op_meta_stage(void) {
    const char *key = take_text();
    bytes_t value = take_bytes();
    done(walrus_meta_stage(log_of_line(), key, value.data, value.size));
}

static void op_meta_delete(void) { done(walrus_meta_delete(log_of_line(), take_text())); }

static void op_meta_get(void) {
    const char *key = take_text();
    size_t capacity = take_number(), size = 0;
    unsigned char *buffer = malloc(capacity + 1);
    int32_t code = walrus_meta_get(log_of_line(), key, buffer, capacity, &size);
    if (succeeded(code, size))
        give_bytes(buffer, size);
    free(buffer);
}

static int32_t visit_meta(void *ctx, const char *key, const void *value, size_t size) {
    (void)ctx;
    give_pair(key, value, size);
    return 0;
}

static void op_meta_list(void) { done(walrus_meta_each(log_of_line(), visit_meta, NULL)); }

/* ---- Operations ------------------------------------------------------------------------------ */

static void op_rotate(void) { done(walrus_rotate(log_of_line())); }

static int32_t visit_segment(void *ctx, const walrus_segment_info_t *segment) {
    char text[64];
    (void)ctx;
    snprintf(text, sizeof text, "%" PRIu64 ":%" PRIu64, segment->first_index, segment->last_index);
    give_word(text);
    return 0;
}

static void op_segments(void) { done(walrus_segments(log_of_line(), visit_segment, NULL)); }

static void op_stats(void) {
#define WIDE(field) {#field, offsetof(walrus_stats_t, field)}
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {WIDE(first_index),          WIDE(last_index),      WIDE(durable_index),        WIDE(segments),
                  WIDE(async_pending),        WIDE(txn_open),        WIDE(appends),              WIDE(entries_appended),
                  WIDE(bytes_appended),       WIDE(bytes_written),   WIDE(syncs),                WIDE(entries_synced),
                  WIDE(largest_group),        WIDE(sync_ns),         WIDE(sync_ns_max),          WIDE(rotations),
                  WIDE(truncations),          WIDE(segments_removed), WIDE(segment_cache_hits),  WIDE(segment_cache_misses),
                  WIDE(txn_committed),        WIDE(txn_rolled_back), WIDE(txn_expired),          WIDE(meta_updates),
                  WIDE(recovery_ns),          WIDE(recovery_bytes_cut), WIDE(recovery_entries_cut)};
#undef WIDE
    walrus_stats_t stats = {.struct_size = sizeof stats};
    const char *name = take();
    if (!done(walrus_stats(log_of_line(), &stats)))
        return;
    if (strcmp(name, "is_poisoned") == 0)
        return give_number(stats.is_poisoned);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].name, name) == 0)
            return give_number(*(uint64_t *)((char *)&stats + fields[i].offset));
    MISMATCH("walrus_stats_t has no field %s", name);
}

static void op_stats_text(void) {
    const char *name = take();
    size_t size = 0;
    walrus_stats_text(log_of_line(), NULL, 0, &size);
    char *text = malloc(size + 1), *rest = text;
    CHECK(text != NULL);
    bool is_found = !done(walrus_stats_text(log_of_line(), text, size, NULL));
    for (char *row; !is_found && (row = strsep(&rest, "\n")) != NULL;)
        if (strncmp(row, name, strlen(name)) == 0 && row[strlen(name)] == ' ') {
            give_number(parse_number(row + strlen(name) + 1));
            is_found = true;
        }
    free(text);
    if (!is_found)
        MISMATCH("the text has no line for %s", name);
}

/* ---- The place ------------------------------------------------------------------------------- */

static void op_file(void) {
    const char *name = take();
    bytes_t bytes = take_bytes();
    mkdir(directory(), 0755);
    write_file(at("log/%s", name), bytes.data, bytes.size);
}

static void op_crash(void) {
    walrus_t *log = log_of_line();
    copy_directory(directory(), at("crashed"));
    find(logs, handle)->pointer = NULL;
    CHECK_OK(walrus_close(log));
    copy_directory(at("crashed"), directory());
}

static void op_damage(void) {
    bytes_t bytes = take_bytes();
    image_t *image = image_read(directory());
    int found = 0;
    for (size_t i = 0; i < image->count; i++) {
        image_file_t *file = &image->files[i];
        unsigned char *from = file->bytes, *place;
        while (is_segment(file->name) &&
               (place = memmem(from, file->size - (size_t)(from - file->bytes), bytes.data, bytes.size)) != NULL) {
            from = place + 1;
            found++;
            flip_in_file(at("log/%s", file->name), (size_t)(place - file->bytes), 1);
        }
    }
    image_free(image);
    if (found != 1)
        MISMATCH("these bytes are in the segments %d times, not once", found);
}

static void op_sleep(void) { usleep((useconds_t)take_number() * 1000); }

/* ---- Running --------------------------------------------------------------------------------- */

#define OPERATION(name) {#name, op_##name}
static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {
    OPERATION(version),       OPERATION(strerror),      OPERATION(crc32),          OPERATION(message),
    OPERATION(option),        OPERATION(option_u64),    OPERATION(option_default), OPERATION(open),
    OPERATION(close),         OPERATION(shutdown),      OPERATION(destroy),        OPERATION(recovery),
    OPERATION(bounds),        OPERATION(append),        OPERATION(record),         OPERATION(batch),
    OPERATION(packed),        OPERATION(async),         OPERATION(completions),    OPERATION(sync),
    OPERATION(durable),       OPERATION(interrupt),     OPERATION(wait_durable),   OPERATION(notify),
    OPERATION(get),           OPERATION(read),          OPERATION(scan),           OPERATION(range),
    OPERATION(read_packed),   OPERATION(term),          OPERATION(last_index_of_term), OPERATION(seek_time),
    OPERATION(truncate),      OPERATION(truncate_front), OPERATION(reset),         OPERATION(replace_suffix),
    OPERATION(cursor_open),   OPERATION(cursor_next),   OPERATION(cursor_prev),    OPERATION(cursor_seek),
    OPERATION(cursor_position), OPERATION(cursor_wait), OPERATION(cursor_close),   OPERATION(txn_begin),
    OPERATION(txn_append),    OPERATION(txn_commit),    OPERATION(txn_rollback),   OPERATION(txn_state),
    OPERATION(txn_count),     OPERATION(txn_expire),    OPERATION(meta_set),       OPERATION(meta_stage),
    OPERATION(meta_delete),   OPERATION(meta_get),      OPERATION(meta_list),      OPERATION(rotate),
    OPERATION(segments),      OPERATION(stats),         OPERATION(stats_text),     OPERATION(file),
    OPERATION(crash),         OPERATION(damage),        OPERATION(sleep)};

/* Splits the line; false where there is nothing to do. */
static bool split(char *text) {
    text[strcspn(text, "\n")] = 0;
    if (text[0] == 0 || text[0] == '#')
        return false;
    line.count = line.next = 0;
    line.arrow = -1;
    for (char *rest = text, *token; (token = strsep(&rest, " ")) != NULL;) {
        if (line.count == TOKENS_MAX || token[0] == 0)
            MISMATCH("there are two spaces in a row, or too many tokens");
        if (line.arrow < 0 && strcmp(token, "->") == 0)
            line.arrow = line.count;
        else
            line.tokens[line.count++] = token;
    }
    line.has_results = line.arrow >= 0;
    if (line.arrow < 0)
        line.arrow = line.count;
    line.result = line.arrow;
    return true;
}

static void run_line(void) {
    handle = "main";
    if (line.tokens[0][0] == '@')
        handle = take() + 1;
    const char *name = take();
    if (strcmp(name, "needs") == 0) {
        while (more()) {
            const char *function = take();
            if (dlsym(RTLD_DEFAULT, function) == NULL)
                SKIP("the library has no %s", function);
        }
        return;
    }
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (strcmp(operations[i].name, name) == 0) {
            operations[i].run();
            if (more())
                MISMATCH("%s takes fewer arguments", name);
            if (line.result != line.count)
                MISMATCH("%s was expected, and nothing more came", line.tokens[line.result]);
            return;
        }
    MISMATCH("there is no operation %s", name);
}

/* Tokens are taken apart in place, and names outlive their line: never freed, as what is parsed. */
static char *keep_line(const char *text) {
    char *copy = strdup(text);
    CHECK(copy != NULL);
    return copy;
}

static void run_scenario(void) {
    char *text = NULL;
    size_t capacity = 0;
    char *name = strdup(check_case_name), *space = strchr(name, ' ');
    if (space != NULL) {
        *space = 0;
        variant = space + 1;
    }
    FILE *file = fopen(scenario_path(name), "re");
    CHECK(file != NULL);
    line.file = check_case_name;
    while (getline(&text, &capacity, file) >= 0) {
        line.number++;
        CHECK_NOTE("%s:%d", line.file, line.number);
        if (split(keep_line(text)))
            run_line();
    }
    free(text);
    fclose(file);
    for (int i = 0; i < NAMED_MAX; i++)
        if (cursors[i].pointer != NULL)
            walrus_cursor_close(cursors[i].pointer);
    for (int i = 0; i < NAMED_MAX; i++)
        if (txns[i].pointer != NULL)
            walrus_txn_rollback(txns[i].pointer);
    for (int i = 0; i < NAMED_MAX; i++)
        if (logs[i].pointer != NULL)
            CHECK_OK(walrus_close(logs[i].pointer));
}

static int in_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

__attribute__((constructor)) static void register_scenarios(void) {
    static check_case_t cases[VARIANTS * (sizeof case_names / sizeof case_names[0])];
    DIR *folder = opendir(scenario_path(""));
    if (folder == NULL) {
        fprintf(stderr, "test_scenarios: there is no %s\n", scenario_path(""));
        exit(2);
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const char *end = strrchr(entry->d_name, '.');
        if (end != NULL && strcmp(end, ".scenario") == 0 && case_count < 256)
            case_names[case_count++] = strdup(entry->d_name);
    }
    closedir(folder);
    qsort(case_names, (size_t)case_count, sizeof case_names[0], in_order);
    for (int v = 0; v < VARIANTS; v++)
        for (int i = 0; i < case_count; i++) {
            check_case_t *added = &cases[v * case_count + i];
            char name[256];
            snprintf(name, sizeof name, "%s%s%s", case_names[i], v ? " " : "", v ? variants[v] : "");
            *added = (check_case_t){strdup(name), run_scenario, NULL};
            *check_next_case = added;
            check_next_case = &added->next;
        }
}
