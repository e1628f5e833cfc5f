/* test_arguments.c - misuse is an error code, never a crash, and a failure leaves the caller's memory alone
 *
 * Every function of walrus.h is called with NULL for each pointer, with each number just out of its range, after
 * walrus_shutdown, and with outputs whose bytes are known before.
 */
#include "support.h"

#include <pthread.h>
#include <zlib.h>

#define TWO_TO_63 (UINT64_C(1) << 63)
#define UNTOUCHED UINT64_C(0xA5A5A5A5A5A5A5A5)

static int32_t visit_nothing(void *ctx, const walrus_entry_t *entry) {
    (void)entry;
    if (ctx != NULL)
        ++*(int *)ctx;
    return 0;
}

static int32_t visit_no_option(void *ctx, const char *key, const char *default_value, const char *allowed) {
    (void)ctx, (void)key, (void)default_value, (void)allowed;
    return 0;
}

/* A log with the entries 1, 2 and 3, of 10, 0 and 30 bytes. */
static walrus_t *log_of_three(const char *name) {
    walrus_t *log = open_log(at("%s", name), "sync=os");
    CHECK_U64(1, append_payload(log, 10, 1));
    CHECK_U64(2, append_payload(log, 0, 2));
    CHECK_U64(3, append_payload(log, 30, 3));
    return log;
}

static void check_three(walrus_t *log) {
    CHECK_U64(1, walrus_first_index(log));
    CHECK_U64(3, walrus_last_index(log));
    CHECK_U64(4, walrus_next_index(log));
    check_entry(log, 1, 10, 1);
    check_entry(log, 2, 0, 2);
    check_entry(log, 3, 30, 3);
}

/* ---- Library functions ---------------------------------------------------------------------- */

/* Catches: a header and a library that were released apart from each other. */
CASE(the_library_is_of_the_headers_version) {
    CHECK_TEXT(WALRUS_VERSION, walrus_version());
    CHECK_U64(WALRUS_VERSION_NUMBER, walrus_version_number());
    CHECK_U64(WALRUS_ABI_VERSION, walrus_abi_version());
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", WALRUS_VERSION_NUMBER / 10000, WALRUS_VERSION_NUMBER / 100 % 100,
             WALRUS_VERSION_NUMBER % 100);
    CHECK_TEXT(text, WALRUS_VERSION);
}

/* Catches: a code that was added without a text, and a table that is indexed without a bound. */
CASE(every_code_has_a_text_that_begins_with_its_name) {
    CHECK_KEEP_GOING();
    for (int32_t code = WALRUS_E_INTERNAL; code <= WALRUS_OK; code++) {
        char name[64];
        snprintf(name, sizeof name, "WALRUS_%s%s", code == WALRUS_OK ? "" : "E_", check_code_name(code));
        const char *text = walrus_strerror(code);
        CHECK(text != NULL);
        if (text != NULL && (strncmp(text, name, strlen(name)) != 0 || strlen(text) < strlen(name) + 4))
            FAIL("walrus_strerror(%d) is \"%s\"", (int)code, text);
        CHECK(text == walrus_strerror(code));
    }
    const int32_t unknown[] = {1, 2, 1000, INT32_MAX, WALRUS_E_INTERNAL - 1, -1000, INT32_MIN, INT32_MIN + 1};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        const char *text = walrus_strerror(unknown[i]);
        CHECK(text != NULL && text[0] != 0);
    }
}

/* Catches: a checksum kernel that reads NULL, or that differs from zlib at an odd length or address. */
CASE(crc32_takes_null_and_agrees_with_zlib_at_every_small_length_and_alignment) {
    unsigned char bytes[700];
    fill(bytes, sizeof bytes, 42);
    CHECK_U64(0, walrus_crc32(NULL, 0));
    CHECK_U64(0, walrus_crc32(NULL, 5));
    CHECK_U64(0, walrus_crc32(NULL, SIZE_MAX));
    CHECK_U64(0, walrus_crc32(bytes, 0));
    CHECK_U64(UINT32_C(0xCBF43926), walrus_crc32("123456789", 9));
    for (size_t start = 0; start < 17; start++)
        for (size_t size = 0; size + start <= sizeof bytes; size++)
            if (walrus_crc32(bytes + start, size) != crc32(0, bytes + start, (uInt)size))
                FAIL("%zu bytes from %zu", size, start);
}

/* ---- The error record ----------------------------------------------------------------------- */

/* Catches: a struct that is filled beyond what an older caller has room for. */
CASE(last_error_writes_no_further_than_struct_size) {
    CHECK_KEEP_GOING();
    unsigned char memory[sizeof(walrus_error_t) + 256];
    CHECK_CODE(WALRUS_E_INVALID, walrus_open(NULL, NULL, NULL));
    for (uint32_t size = 8; size <= sizeof(walrus_error_t) + 64; size++) {
        memset(memory, 0xA5, sizeof memory);
        memcpy(memory, &size, sizeof size);
        CHECK_OK(walrus_last_error((walrus_error_t *)memory));
        uint32_t still;
        int32_t code;
        memcpy(&still, memory, sizeof still);
        memcpy(&code, memory + 4, sizeof code);
        CHECK_U64(size, still);
        CHECK_CODE(WALRUS_E_INVALID, code);
        if (!is_filled(memory + size, sizeof memory - size, 0xA5))
            FAIL("with struct_size %" PRIu32 " more was written", size);
        size_t rest = sizeof(walrus_error_t);
        if (size > rest && !is_filled(memory + rest, size - rest, 0xA5) && !is_zeroed(memory + rest, size - rest))
            FAIL("with struct_size %" PRIu32 " the fields that the library does not know hold something", size);
    }
}

/* Catches: a struct_size that is believed before it is looked at. */
CASE(last_error_refuses_null_and_a_struct_size_below_8) {
    CHECK_CODE(WALRUS_E_INVALID, walrus_last_error(NULL));
    for (uint32_t size = 0; size < 8; size++) {
        walrus_error_t error;
        memset(&error, 0xA5, sizeof error);
        error.struct_size = size;
        CHECK_CODE(WALRUS_E_INVALID, walrus_last_error(&error));
        CHECK(is_filled((char *)&error + 4, sizeof error - 4, 0xA5));
    }
}

static void *look_at_a_fresh_threads_error(void *unused) {
    (void)unused;
    walrus_error_t error = last_error();
    CHECK_CODE(WALRUS_OK, error.code);
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(NULL, "sync", "os"));
    error = last_error();
    CHECK_CODE(WALRUS_E_INVALID, error.code);
    return NULL;
}

/* Catches: one error record for the whole process, so that a thread reads another's message. */
CASE(the_last_error_belongs_to_the_thread) {
    walrus_t *log = log_of_three("log");
    walrus_entry_t entry;
    CHECK_CODE(WALRUS_OK, last_error().code);
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(log, 77, &entry));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, look_at_a_fresh_threads_error, NULL) == 0);
    pthread_join(thread, NULL);
    walrus_error_t error = last_error();
    CHECK_CODE(WALRUS_E_NOT_FOUND, error.code);
    CHECK_U64(77, error.index);
    CHECK_OK(walrus_close(log));
}

/* Catches: a record that success clears, and one that a later failure only half replaces. */
CASE(success_leaves_the_last_error_alone_and_failure_replaces_all_of_it) {
    walrus_t *log = log_of_three("log"), *none = NULL;
    walrus_entry_t entry;
    CHECK_CODE(WALRUS_E_NO_LOG, try_open(at("missing"), "create=false", &none));
    walrus_error_t before = last_error();
    CHECK(strcmp(before.path, at("missing")) == 0);
    CHECK(before.message[0] != 0);
    append_payload(log, 5, 4);
    check_entry(log, 4, 5, 4);
    CHECK_OK(walrus_sync(log));
    CHECK_OK(walrus_truncate(log, 3));
    walrus_options_t *options = walrus_options_new();
    CHECK_OK(walrus_options_set(options, "sync", "none"));
    walrus_options_free(options);
    walrus_error_t after = last_error();
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(log, 9, &entry));
    after = last_error();
    CHECK_CODE(WALRUS_E_NOT_FOUND, after.code);
    CHECK_U64(9, after.index);
    CHECK_U64(0, after.os_errno);
    CHECK(strcmp(before.message, after.message) != 0);
    CHECK_OK(walrus_close(log));
}

/* Catches: a path that overruns its field, or that is cut where it matters: at the file's name. */
CASE(a_long_path_is_cut_at_the_front) {
    char dir[1200];
    snprintf(dir, sizeof dir, "%s", at("p"));
    for (int level = 0; level < 4; level++) {
        CHECK(mkdir(dir, 0755) == 0);
        size_t length = strlen(dir);
        dir[length] = '/';
        memset(dir + length + 1, 'a' + level, 200);
        dir[length + 201] = 0;
    }
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_NO_LOG, try_open(dir, "create=false", &log));
    walrus_error_t error = last_error();
    size_t length = strnlen(error.path, sizeof error.path);
    CHECK(length < sizeof error.path && length > 400);
    CHECK(strcmp(error.path + length - 300, dir + strlen(dir) - 300) == 0);
    CHECK(strnlen(error.message, sizeof error.message) < sizeof error.message);
    log = open_log(dir, "");
    append_payload(log, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: paths that are copied into a buffer of fixed size. */
CASE(a_path_that_the_system_refuses_is_an_error) {
    CHECK_KEEP_GOING();
    walrus_t *log = (walrus_t *)&log;
    char *path = malloc(75000);
    const size_t lengths[] = {256, 4095, 4096, 5000, 70000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t have = (size_t)snprintf(path, 2000, "%s/", check_directory);
        memset(path + have, 'x', lengths[i]);
        path[have + lengths[i]] = 0;
        CHECK(walrus_open(path, NULL, &log) < 0);
        CHECK(log == (walrus_t *)&log);
        CHECK(walrus_destroy(path) < 0);
    }
    CHECK(walrus_open("", NULL, &log) < 0);
    CHECK(walrus_destroy("") < 0);
    CHECK(log == (walrus_t *)&log);
    free(path);
}

/* ---- NULL ----------------------------------------------------------------------------------- */

/* Catches: a NULL that is dereferenced where it may stand for "nothing to do". */
CASE(freeing_closing_and_releasing_null_is_a_no_op) {
    walrus_entry_t zeroed;
    memset(&zeroed, 0, sizeof zeroed);
    walrus_options_free(NULL);
    CHECK_OK(walrus_close(NULL));
    walrus_entry_release(NULL);
    walrus_entry_release(&zeroed);
    CHECK(is_zeroed(&zeroed, sizeof zeroed));
    walrus_entries_release(NULL, 0);
    walrus_entries_release(NULL, 3);
    walrus_entries_release(&zeroed, 0);
    walrus_entries_release(&zeroed, 1);
    CHECK_CODE(WALRUS_OK, last_error().code);
}

/* Catches: a NULL log that is dereferenced. */
CASE(a_null_log_is_invalid_everywhere_and_zero_where_an_index_is_asked) {
    CHECK_KEEP_GOING();
    walrus_record_t record = {.data = "x", .size = 1};
    walrus_recovery_report_t report;
    walrus_entry_t entry, entries[2];
    uint64_t index = UNTOUCHED, term = UNTOUCHED;
    size_t size = 4711, count = 4711;
    char buffer[4] = "abc";
    memset(&report, 0xA5, sizeof report);
    report.struct_size = sizeof report;
    memset(&entry, 0xA5, sizeof entry);
    memset(entries, 0xA5, sizeof entries);
    CHECK_CODE(WALRUS_E_INVALID, walrus_shutdown(NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_recovery_report(NULL, &report));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append(NULL, "x", 1, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_record(NULL, &record, 0, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_batch(NULL, &record, 1, 0, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_batch(NULL, &record, 0, 0, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_sync(NULL));
    CHECK_U64(0, walrus_durable_index(NULL));
    CHECK_U64(0, walrus_first_index(NULL));
    CHECK_U64(0, walrus_last_index(NULL));
    CHECK_U64(0, walrus_next_index(NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_read(NULL, 1, buffer, sizeof buffer, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_scan(NULL, 1, 1, visit_nothing, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_get_range(NULL, 1, 1, 1, entries, 2, &count));
    CHECK_CODE(WALRUS_E_INVALID, walrus_term(NULL, 1, &term));
    CHECK_CODE(WALRUS_E_INVALID, walrus_truncate(NULL, 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_truncate_front(NULL, 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_reset(NULL, 1));
    CHECK(is_filled((char *)&report + 4, sizeof report - 4, 0xA5));
    CHECK_U64(UNTOUCHED, index);
    CHECK_U64(UNTOUCHED, term);
    CHECK(size == 4711 && count == 4711 && strcmp(buffer, "abc") == 0);
    CHECK_CODE(WALRUS_E_INVALID, walrus_get(NULL, 1, &entry));
    CHECK(is_zeroed(&entry, sizeof entry));
    CHECK_CODE(WALRUS_E_INVALID, last_error().code);
    CHECK(last_error().message[0] != 0);
}

/* Catches: a required pointer that is written through before it is looked at. */
CASE(null_for_a_required_pointer_is_invalid_and_changes_nothing) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    walrus_record_t no_data = {.data = NULL, .size = 1};
    walrus_record_t batch[3] = {{.data = "a", .size = 1}, {.data = NULL, .size = 9}, {.data = "c", .size = 1}};
    walrus_entry_t entries[2];
    uint64_t index = UNTOUCHED;
    size_t size = 4711, count = 4711;
    memset(entries, 0xA5, sizeof entries);
    CHECK_CODE(WALRUS_E_INVALID, walrus_recovery_report(log, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append(log, NULL, 1, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_record(log, NULL, 0, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_record(log, &no_data, 0, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_batch(log, NULL, 1, 0, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_batch(log, batch, 3, 0, &index));
    CHECK_CODE(WALRUS_E_INVALID, walrus_get(log, 1, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_get(log, 99, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_read(log, 1, NULL, 100, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_read(log, 1, NULL, 1, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_scan(log, 1, 3, NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_get_range(log, 1, 3, 100, NULL, 2, &count));
    CHECK_CODE(WALRUS_E_INVALID, walrus_get_range(log, 1, 3, 100, entries, 2, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_term(log, 1, NULL));
    CHECK_U64(UNTOUCHED, index);
    CHECK(size == 4711 && count == 4711);
    check_three(log);
    CHECK_OK(walrus_close(log));
}

/* Catches: an optional pointer that is taken for a required one. */
CASE(null_for_an_optional_pointer_is_taken) {
    walrus_t *log = open_log(at("log"), "sync=os");
    walrus_record_t record = {.data = NULL, .size = 0};
    char buffer[8];
    CHECK_OK(walrus_append(log, "x", 1, NULL));
    CHECK_OK(walrus_append(log, NULL, 0, NULL));
    CHECK_OK(walrus_append_record(log, &record, 0, NULL));
    CHECK_OK(walrus_append_batch(log, &record, 1, 0, NULL));
    CHECK_OK(walrus_append_batch(log, &record, 0, 0, NULL));
    CHECK_OK(walrus_append_batch(log, NULL, 0, 0, NULL));
    CHECK_U64(4, walrus_last_index(log));
    CHECK_OK(walrus_read(log, 1, buffer, sizeof buffer, NULL));
    CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_read(log, 1, NULL, 0, NULL));
    CHECK_OK(walrus_read(log, 2, NULL, 0, NULL));
    CHECK_OK(walrus_scan(log, 1, 4, visit_nothing, NULL));
    CHECK_OK(walrus_close(log));
}

/* Catches: NULL paths and outputs, and a log that is made although its handle could not be handed out. */
CASE(open_and_destroy_refuse_null_and_make_nothing) {
    walrus_t *log = (walrus_t *)&log;
    walrus_options_t *options = walrus_options_new();
    CHECK_CODE(WALRUS_E_INVALID, walrus_open(NULL, NULL, &log));
    CHECK_CODE(WALRUS_E_INVALID, walrus_open(NULL, options, &log));
    CHECK_CODE(WALRUS_E_INVALID, walrus_open(at("log"), NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_open(at("log"), options, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_open(NULL, NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_destroy(NULL));
    CHECK(log == (walrus_t *)&log);
    CHECK(!exists(at("log")));
    walrus_options_free(options);
}

/* Catches: the same for settings. */
CASE(options_functions_refuse_null_and_leave_outputs_alone) {
    CHECK_KEEP_GOING();
    walrus_options_t *options = walrus_options_new();
    char buffer[64];
    size_t size = 4711;
    memset(buffer, 0x5A, sizeof buffer);
    CHECK(options != NULL);
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(NULL, "sync", "os"));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(options, NULL, "os"));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(options, "sync", NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(options, NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set_u64(NULL, "segment_size", 65536));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set_u64(options, NULL, 65536));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_get(NULL, "sync", buffer, sizeof buffer, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_get(options, NULL, buffer, sizeof buffer, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_get(options, "sync", NULL, sizeof buffer, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_get(options, "no_such_key", buffer, sizeof buffer, &size));
    CHECK(size == 4711 && is_filled(buffer, sizeof buffer, 0x5A));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_each(NULL, NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_each(options, NULL, NULL));
    CHECK_OK(walrus_options_each(NULL, visit_no_option, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set_logger(NULL, NULL, NULL, 1));
    const int32_t levels[] = {0, 5, -1, INT32_MIN, INT32_MAX};
    void (*logger)(void *, int32_t, const char *) = (walrus_log_fn)(void *)visit_nothing; /* never called */
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        CHECK_CODE(WALRUS_E_INVALID, walrus_options_set_logger(options, logger, NULL, levels[i]));
    for (int32_t level = WALRUS_LOG_ERROR; level <= WALRUS_LOG_DEBUG; level++)
        CHECK_OK(walrus_options_set_logger(options, NULL, NULL, level));
    walrus_t *log = NULL;
    CHECK_OK(walrus_open(at("log"), options, &log));
    CHECK_OK(walrus_close(log));
    walrus_options_free(options);
}

/* Catches: a required size that is only given on success, and a buffer that is written to although it is too small. */
CASE(a_buffer_that_is_too_small_gets_nothing_but_the_size_is_told) {
    walrus_options_t *options = walrus_options_new();
    char buffer[64];
    size_t size = 0, need = 0;
    CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_options_get(options, "sync", NULL, 0, &need));
    CHECK_U64(sizeof "always", need);
    for (size_t capacity = 0; capacity < need; capacity++) {
        memset(buffer, 0x5A, sizeof buffer);
        size = 0;
        CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_options_get(options, "sync", buffer, capacity, &size));
        CHECK_U64(need, size);
        CHECK(is_filled(buffer, sizeof buffer, 0x5A));
        CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_options_get(options, "sync", buffer, capacity, NULL));
    }
    size = 0;
    memset(buffer, 0x5A, sizeof buffer);
    CHECK_OK(walrus_options_get(options, "sync", buffer, need, &size));
    CHECK_U64(need, size);
    CHECK_TEXT("always", buffer);
    CHECK(is_filled(buffer + need, sizeof buffer - need, 0x5A));
    walrus_options_free(options);

    walrus_t *log = log_of_three("log");
    for (size_t capacity = 0; capacity < 30; capacity++) {
        memset(buffer, 0x5A, sizeof buffer);
        size = 0;
        CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_read(log, 3, buffer, capacity, &size));
        CHECK_U64(30, size);
        CHECK(is_filled(buffer, sizeof buffer, 0x5A));
    }
    for (size_t capacity = 30; capacity < 33; capacity++) {
        memset(buffer, 0x5A, sizeof buffer);
        size = 0;
        CHECK_OK(walrus_read(log, 3, buffer, capacity, &size));
        CHECK_U64(30, size);
        CHECK(is_payload(buffer, 30, 3));
        CHECK(is_filled(buffer + 30, sizeof buffer - 30, 0x5A));
    }
    size = 4711;
    CHECK_OK(walrus_read(log, 2, NULL, 0, &size));
    CHECK_U64(0, size);
    CHECK_OK(walrus_close(log));
}

/* ---- Numbers -------------------------------------------------------------------------------- */

/* Catches: index arithmetic that wraps, and answers that are given although nothing was read. */
CASE(reading_at_an_index_that_is_not_there_says_which_side_it_is_on) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    CHECK_OK(walrus_truncate_front(log, 2));
    static const struct {
        uint64_t index;
        int32_t code;
    } rows[] = {{0, WALRUS_E_NOT_FOUND},
                {1, WALRUS_E_COMPACTED},
                {4, WALRUS_E_NOT_FOUND},
                {5, WALRUS_E_NOT_FOUND},
                {UINT32_MAX, WALRUS_E_NOT_FOUND},
                {TWO_TO_63 - 1, WALRUS_E_NOT_FOUND},
                {TWO_TO_63, WALRUS_E_NOT_FOUND},
                {TWO_TO_63 + 1, WALRUS_E_NOT_FOUND},
                {UINT64_MAX - 1, WALRUS_E_NOT_FOUND},
                {UINT64_MAX, WALRUS_E_NOT_FOUND}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t index = rows[i].index, term = UNTOUCHED;
        walrus_entry_t entry, entries[2];
        unsigned char buffer[64];
        size_t size = 4711, count = 4711;
        int visits = 0;
        CHECK_NOTE("index %" PRIu64, index);
        memset(&entry, 0xA5, sizeof entry);
        memset(buffer, 0xA5, sizeof buffer);
        CHECK_CODE(rows[i].code, walrus_get(log, index, &entry));
        CHECK(is_zeroed(&entry, sizeof entry));
        walrus_entry_release(&entry);
        CHECK_CODE(rows[i].code, walrus_read(log, index, buffer, sizeof buffer, &size));
        CHECK(size == 4711 && is_filled(buffer, sizeof buffer, 0xA5));
        CHECK_CODE(rows[i].code, walrus_term(log, index, &term));
        CHECK_U64(UNTOUCHED, term);
        CHECK_CODE(rows[i].code, walrus_scan(log, index, UINT64_MAX, visit_nothing, &visits));
        CHECK_CODE(rows[i].code, walrus_scan(log, index, index, visit_nothing, &visits));
        CHECK(visits == 0);
        CHECK_CODE(rows[i].code, walrus_get_range(log, index, UINT64_MAX, 1000, entries, 2, &count));
        CHECK_CODE(rows[i].code, walrus_get_range(log, index, index, 1000, entries, 2, &count));
        CHECK(count == 4711);
        CHECK_U64(index, last_error().index);
    }
    CHECK_OK(walrus_close(log));
}

/* Catches: a range that is walked backwards, or for ever. */
CASE(a_range_that_ends_before_it_begins_and_a_capacity_of_0_are_invalid) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    walrus_entry_t entries[3];
    size_t count = 4711;
    int visits = 0;
    const uint64_t ranges[][2] = {{2, 1}, {3, 2}, {1, 0}, {UINT64_MAX, 1}, {TWO_TO_63, 3}, {4, 3}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        CHECK_NOTE("%" PRIu64 " to %" PRIu64, ranges[i][0], ranges[i][1]);
        CHECK_CODE(WALRUS_E_INVALID, walrus_scan(log, ranges[i][0], ranges[i][1], visit_nothing, &visits));
        CHECK_CODE(WALRUS_E_INVALID, walrus_get_range(log, ranges[i][0], ranges[i][1], 100, entries, 3, &count));
    }
    CHECK_CODE(WALRUS_E_INVALID, walrus_get_range(log, 1, 3, 100, entries, 0, &count));
    CHECK(visits == 0 && count == 4711);
    CHECK_OK(walrus_get_range(log, 1, 3, SIZE_MAX, entries, 3, &count));
    CHECK_U64(3, count);
    walrus_entries_release(entries, count);
    CHECK(is_zeroed(entries, sizeof entries));
    CHECK_OK(walrus_close(log));
}

/* Catches: flags that are ignored where they are not understood, and reserved words that a later version could then
 * never use. */
CASE(unknown_flags_two_flags_and_reserved_words_are_invalid) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    walrus_record_t record = {.data = "x", .size = 1}, batch[2] = {record, record};
    uint64_t index = UNTOUCHED;
    for (uint32_t flags = 0; flags < 16; flags++) {
        bool valid = flags == 0 || flags == WALRUS_DURABLE || flags == WALRUS_TO_OS || flags == WALRUS_BUFFERED;
        if (valid)
            continue;
        CHECK_NOTE("flags %" PRIu32, flags);
        CHECK_CODE(WALRUS_E_INVALID, walrus_append_record(log, &record, flags, &index));
        CHECK_CODE(WALRUS_E_INVALID, walrus_append_batch(log, batch, 2, flags, &index));
    }
    for (int bit = 3; bit < 32; bit++) {
        CHECK_NOTE("flag bit %d", bit);
        CHECK_CODE(WALRUS_E_INVALID, walrus_append_record(log, &record, UINT32_C(1) << bit, &index));
        CHECK_CODE(WALRUS_E_INVALID, walrus_append_record(log, &record, UINT32_C(1) << bit | WALRUS_TO_OS, &index));
    }
    for (int word = 0; word < 2; word++)
        for (int bit = 0; bit < 64; bit += 21) {
            CHECK_NOTE("reserved word %d, bit %d", word, bit);
            walrus_record_t bad = record;
            bad.reserved[word] = UINT64_C(1) << bit;
            CHECK_CODE(WALRUS_E_INVALID, walrus_append_record(log, &bad, 0, &index));
            batch[1] = bad;
            CHECK_CODE(WALRUS_E_INVALID, walrus_append_batch(log, batch, 2, 0, &index));
        }
    CHECK_U64(UNTOUCHED, index);
    check_three(log);
    CHECK_OK(walrus_close(log));
}

/* Catches: an explicit index that is believed instead of compared, and index arithmetic that wraps. */
CASE(a_record_that_names_another_index_than_the_next_is_out_of_order) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    const uint64_t indexes[] = {1, 2, 3, 5, 100, UINT32_MAX, TWO_TO_63 - 1, TWO_TO_63};
    uint64_t got = UNTOUCHED;
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        walrus_record_t record = {.data = "x", .size = 1, .index = indexes[i]};
        walrus_record_t batch[2] = {{.data = "x", .size = 1}, record};
        CHECK_NOTE("index %" PRIu64, indexes[i]);
        CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_append_record(log, &record, 0, &got));
        if (indexes[i] != 5)
            CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_append_batch(log, batch, 2, 0, &got));
    }
    walrus_record_t falling[2] = {{.data = "x", .size = 1, .index = 5}, {.data = "x", .size = 1, .index = 4}};
    CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_append_batch(log, falling, 2, 0, &got));
    walrus_record_t beyond = {.data = "x", .size = 1, .index = TWO_TO_63 + 1};
    CHECK(walrus_append_record(log, &beyond, 0, &got) < 0);
    beyond.index = UINT64_MAX;
    CHECK(walrus_append_record(log, &beyond, 0, &got) < 0);
    CHECK_U64(UNTOUCHED, got);
    check_three(log);
    CHECK_OK(walrus_close(log));
}

/* Catches: a first index beyond the bound, after which the next one could wrap. */
CASE(a_first_index_may_be_2_to_63_and_no_more) {
    walrus_t *log = open_log(at("log"), "sync=os");
    uint64_t got = UNTOUCHED;
    walrus_record_t record = {.data = "x", .size = 1, .index = TWO_TO_63 + 1};
    CHECK(walrus_append_record(log, &record, 0, &got) < 0);
    record.index = UINT64_MAX;
    CHECK(walrus_append_record(log, &record, 0, &got) < 0);
    CHECK_U64(UNTOUCHED, got);
    CHECK_U64(0, walrus_last_index(log));
    CHECK_U64(1, walrus_next_index(log));
    record.index = TWO_TO_63;
    CHECK_OK(walrus_append_record(log, &record, 0, &got));
    CHECK_U64(TWO_TO_63, got);
    CHECK_U64(TWO_TO_63 + 1, append_payload(log, 20, 2));
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "sync=os");
    CHECK_U64(TWO_TO_63, walrus_first_index(log));
    CHECK_U64(TWO_TO_63 + 1, walrus_last_index(log));
    check_entry(log, TWO_TO_63 + 1, 20, 2);
    walrus_entry_t entry;
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_get(log, TWO_TO_63 - 1, &entry));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(log, UINT64_MAX, &entry));
    CHECK_OK(walrus_truncate_front(log, TWO_TO_63 + 1));
    CHECK_OK(walrus_truncate(log, TWO_TO_63));
    CHECK_U64(0, walrus_last_index(log));
    CHECK_U64(TWO_TO_63 + 1, walrus_next_index(log));
    CHECK_OK(walrus_close(log));
}

/* Catches: truncations whose bounds are computed by an addition or subtraction that wraps. */
CASE(truncations_refuse_indexes_that_are_out_of_range) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    const uint64_t high[] = {5, 100, TWO_TO_63, TWO_TO_63 + 1, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof high / sizeof high[0]; i++) {
        CHECK_NOTE("index %" PRIu64, high[i]);
        CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_truncate(log, high[i]));
        CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_truncate_front(log, high[i]));
    }
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_truncate(log, 4));
    CHECK_OK(walrus_truncate_front(log, 0));
    CHECK_OK(walrus_truncate_front(log, 1));
    CHECK_OK(walrus_truncate(log, 3));
    CHECK_CODE(WALRUS_E_INVALID, walrus_reset(log, 0));
    CHECK_CODE(WALRUS_E_INVALID, walrus_reset(log, TWO_TO_63 + 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_reset(log, UINT64_MAX));
    check_three(log);
    CHECK_OK(walrus_truncate_front(log, 3));
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_truncate(log, 0));
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_truncate(log, 1));
    check_entry(log, 3, 30, 3);
    CHECK_OK(walrus_reset(log, TWO_TO_63));
    CHECK_U64(TWO_TO_63, walrus_next_index(log));
    CHECK_OK(walrus_close(log));
}

/* Catches: sizes that are added up before they are bounded, and allocations made before that. */
CASE(sizes_that_no_log_takes_are_too_large_before_they_are_read) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    const size_t sizes[] = {(64u << 20) + 1, (size_t)1 << 30, ((size_t)1 << 30) + 1, (size_t)1 << 32,
                            SIZE_MAX / 2,    SIZE_MAX - 64,   SIZE_MAX - 1,          SIZE_MAX};
    uint64_t index = UNTOUCHED;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        walrus_record_t record = {.data = "x", .size = sizes[i]};
        walrus_record_t batch[2] = {{.data = "x", .size = 1}, record};
        CHECK_NOTE("size %zu", sizes[i]);
        CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append(log, "x", sizes[i], &index));
        CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_record(log, &record, 0, &index));
        CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_batch(log, batch, 2, 0, &index));
    }
    CHECK_U64(UNTOUCHED, index);
    check_three(log);
    CHECK_OK(walrus_close(log));
}

/* Catches: a batch whose size wraps in 32 bits, and one that is half written before it is refused. */
CASE(a_batch_above_2_gib_is_too_large_as_a_whole) {
    walrus_t *log = log_of_three("log");
    size_t size = 64u << 20;
    char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(bytes != MAP_FAILED);
    walrus_record_t batch[70];
    memset(batch, 0, sizeof batch);
    for (size_t i = 0; i < 70; i++)
        batch[i] = (walrus_record_t){.data = bytes, .size = size};
    uint64_t index = UNTOUCHED;
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_batch(log, batch, 33, 0, &index));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_batch(log, batch, 32, 0, &index)); /* the frames' headers count */
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_batch(log, batch, 70, WALRUS_BUFFERED, &index));
    CHECK_U64(UNTOUCHED, index);
    check_three(log);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    check_three(log);
    CHECK_OK(walrus_close(log));
}

/* Catches: a count that is multiplied with a size and wraps, and an array that is walked further than any batch
 * can be. */
CASE(a_count_of_records_that_cannot_fit_is_too_large) {
    walrus_t *log = log_of_three("log");
    walrus_record_t record = {.data = "x", .size = 1};
    uint64_t index = UNTOUCHED;
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_batch(log, &record, SIZE_MAX, 0, &index));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_batch(log, &record, SIZE_MAX / sizeof record + 2, 0, &index));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_batch(log, &record, ((size_t)2 << 30) + 1, 0, &index));
    CHECK_U64(UNTOUCHED, index);
    check_three(log);
    CHECK_OK(walrus_close(log));
}

/* ---- Entries -------------------------------------------------------------------------------- */

/* Catches: a second release that frees what belongs to somebody else by then. */
CASE(releasing_an_entry_twice_is_harmless) {
    walrus_t *log = log_of_three("log");
    walrus_entry_t one, other, range[3];
    size_t count = 0;
    CHECK_OK(walrus_get(log, 1, &one));
    CHECK_OK(walrus_get(log, 1, &other));
    walrus_entry_release(&one);
    CHECK(is_zeroed(&one, sizeof one));
    for (int i = 0; i < 5; i++)
        walrus_entry_release(&one);
    CHECK(is_payload(other.data, other.size, 1));
    CHECK_OK(walrus_get_range(log, 1, 3, SIZE_MAX, range, 3, &count));
    walrus_entries_release(range, count);
    walrus_entries_release(range, count);
    CHECK(is_payload(other.data, other.size, 1));
    CHECK_OK(walrus_close(log));
    CHECK(is_payload(other.data, other.size, 1));
    walrus_entry_release(&other);
    walrus_entry_release(&other);
}

/* ---- Shutdown ------------------------------------------------------------------------------- */

/* Catches: a call that goes on with a log that was shut down, and one that answers without saying so. */
CASE(after_shutdown_every_call_answers_closed_or_zero) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    walrus_record_t record = {.data = "x", .size = 1};
    walrus_recovery_report_t report;
    walrus_entry_t entry, entries[2], lent;
    uint64_t index = UNTOUCHED, term = UNTOUCHED;
    size_t size = 4711, count = 4711;
    char buffer[64];
    int visits = 0;
    memset(&report, 0xA5, sizeof report);
    report.struct_size = sizeof report;
    memset(&entry, 0xA5, sizeof entry);
    memset(buffer, 0x5A, sizeof buffer);
    CHECK_OK(walrus_get(log, 3, &lent));
    CHECK_OK(walrus_shutdown(log));
    CHECK_OK(walrus_shutdown(log));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_recovery_report(log, &report));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_append(log, "x", 1, &index));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_append_record(log, &record, 0, &index));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_append_record(log, &record, WALRUS_BUFFERED, &index));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_append_batch(log, &record, 1, 0, &index));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_append_batch(log, &record, 0, 0, &index));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_sync(log));
    CHECK_U64(0, walrus_durable_index(log));
    CHECK_U64(0, walrus_first_index(log));
    CHECK_U64(0, walrus_last_index(log));
    CHECK_U64(0, walrus_next_index(log));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_get(log, 1, &entry));
    CHECK(is_zeroed(&entry, sizeof entry));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_read(log, 1, buffer, sizeof buffer, &size));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_scan(log, 1, 3, visit_nothing, &visits));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_get_range(log, 1, 3, 100, entries, 2, &count));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_term(log, 1, &term));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_truncate(log, 2));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_truncate_front(log, 2));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_reset(log, 10));
    CHECK(is_filled((char *)&report + 4, sizeof report - 4, 0xA5));
    CHECK(index == UNTOUCHED && term == UNTOUCHED && size == 4711 && count == 4711 && visits == 0);
    CHECK(is_filled(buffer, sizeof buffer, 0x5A));
    CHECK(is_payload(lent.data, lent.size, 3));
    walrus_entry_release(&lent);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    check_three(log);
    CHECK_OK(walrus_close(log));
}

/* Catches: entries that were only buffered and are dropped because the log was shut down before it was closed. */
CASE(close_after_shutdown_keeps_what_was_only_buffered) {
    walrus_t *log = open_log(at("log"), "sync=none");
    for (uint64_t i = 1; i <= 100; i++)
        append_payload(log, 50, i);
    CHECK_OK(walrus_shutdown(log));
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    CHECK_U64(100, walrus_last_index(log));
    CHECK_U64(100, walrus_durable_index(log));
    for (uint64_t i = 1; i <= 100; i++)
        check_entry(log, i, 50, i);
    CHECK_OK(walrus_close(log));
}

/* ---- The recovery report -------------------------------------------------------------------- */

/* Catches: a struct that is filled beyond what an older caller has room for. */
CASE(the_recovery_report_writes_no_further_than_struct_size) {
    CHECK_KEEP_GOING();
    walrus_t *log = log_of_three("log");
    unsigned char memory[sizeof(walrus_recovery_report_t) + 256];
    for (uint32_t size = 0; size < 8; size++) {
        memset(memory, 0xA5, sizeof memory);
        memcpy(memory, &size, sizeof size);
        CHECK_CODE(WALRUS_E_INVALID, walrus_recovery_report(log, (walrus_recovery_report_t *)memory));
        CHECK(is_filled(memory + 4, sizeof memory - 4, 0xA5));
    }
    for (uint32_t size = 8; size <= sizeof(walrus_recovery_report_t) + 64; size++) {
        memset(memory, 0xA5, sizeof memory);
        memcpy(memory, &size, sizeof size);
        CHECK_OK(walrus_recovery_report(log, (walrus_recovery_report_t *)memory));
        uint32_t still;
        int32_t reason;
        memcpy(&still, memory, sizeof still);
        memcpy(&reason, memory + 4, sizeof reason);
        CHECK_U64(size, still);
        CHECK_U64(WALRUS_RECOVERY_CLEAN, reason);
        if (!is_filled(memory + size, sizeof memory - size, 0xA5))
            FAIL("with struct_size %" PRIu32 " more was written", size);
        size_t rest = sizeof(walrus_recovery_report_t);
        if (size > rest && !is_filled(memory + rest, size - rest, 0xA5) && !is_zeroed(memory + rest, size - rest))
            FAIL("with struct_size %" PRIu32 " the fields that the library does not know hold something", size);
    }
    CHECK_OK(walrus_close(log));
}

/* Catches: a handle that leaks on any of the ways above. */
CASE(nothing_is_held_after_all_of_this) {
    holdings_t before = count_holdings();
    for (int round = 0; round < 20; round++) {
        walrus_t *log = NULL;
        CHECK_CODE(WALRUS_E_NO_LOG, try_open(at("missing"), "create=false", &log));
        log = open_log(at("log"), "sync=os segment_size=4KiB");
        for (int i = 0; i < 30; i++)
            append_payload(log, 500, 1);
        walrus_entry_t entry;
        CHECK_OK(walrus_get(log, 1, &entry));
        walrus_entry_release(&entry);
        CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(log, UINT64_MAX, &entry));
        if (round % 2 == 0)
            CHECK_OK(walrus_shutdown(log));
        CHECK_OK(walrus_close(log));
    }
    CHECK_HOLDINGS(before);
}
