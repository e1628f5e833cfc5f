/* test_calls.c - every exported function through ffi_call: a whole life of a log, and sweeps over the table
 *
 * The sweeps take their cases from the table, so a function that is added to the header is swept as soon as it has its
 * line.
 */
#include "foreign.h"

#include <poll.h>

/* ---- Sweeps --------------------------------------------------------------------------------- */

typedef enum sweep {
    ALL_ZERO,    /* NULL and 0 for everything                                  */
    NO_HANDLE,   /* a handle that is NULL, and everything else as it should be */
    HANDLE_ONLY, /* the handle alone, and NULL and 0 for the rest              */
    PLAUSIBLE,   /* everything as it should be                                 */
    BAD_FLAGS,   /* the same, but for flags that the header does not list      */
    SHUT_DOWN,   /* the same after walrus_shutdown                             */
    IN_CHILD     /* the same in a forked child                                 */
} sweep_t;

/* Everything that a call may need, fresh for each. */
typedef struct world {
    walrus_t *log;
    walrus_options_t *options;
    walrus_cursor_t *cursor;
    walrus_txn_t *txn;
    walrus_record_t record;
    walrus_entry_t entry;
    walrus_error_t error;
    walrus_recovery_report_t report;
    walrus_stats_t stats;
    uint32_t sizes[4];
    uint64_t outputs[MOST_ARGUMENTS]; /* one for each argument: a number, a descriptor or a handle */
    char room[256];
    closure_t *closures[CALLBACKS];
} world_t;

enum { FLAGS_OF_NOBODY = 0x40000000 };

static int64_t answer_nothing(void *state, const uint64_t *words) {
    (void)state, (void)words;
    return 0;
}

static void world_new(world_t *world, const char *name) {
    memset(world, 0, sizeof *world);
    world->log = open_foreign(name, "sync", "os");
    append_many(world->log, 3);
    CHECK_OK(CODE(meta_set, world->log, "key", "value", 5));
    CHECK_OK(CODE(cursor_open, world->log, 1, 0, &world->cursor));
    CHECK_OK(CODE(txn_begin, world->log, 0, &world->txn));
    world->options = (walrus_options_t *)CALL(options_new);
    world->record = (walrus_record_t){.data = "r", .size = 1};
    world->error.struct_size = sizeof world->error;
    world->report.struct_size = sizeof world->report;
    world->stats.struct_size = sizeof world->stats;
    world->sizes[0] = 1;
    for (size_t i = 0; i < CALLBACKS; i++)
        world->closures[i] = closure_new(callback_signatures[i].name, answer_nothing, NULL);
}

static void world_free(world_t *world) {
    CALL(cursor_close, world->cursor);
    CALL(txn_rollback, world->txn);
    CALL(close, world->log);
    CALL(options_free, world->options);
    for (size_t i = 0; i < CALLBACKS; i++)
        closure_free(world->closures[i]);
}

static bool is(const foreign_function_t *function, const char *name) {
    return strcmp(function->signature->name + strlen("walrus_"), name) == 0;
}

/* Whatever is a u32 is flags. */
static bool is_flags(const foreign_function_t *function, unsigned place) {
    return strcmp(function->words[place], "u32") == 0;
}

static bool has_flags(const foreign_function_t *function) {
    for (unsigned i = 0; i < function->count; i++)
        if (is_flags(function, i))
            return true;
    return false;
}

/* The handle that a function works on, or NULL if its first argument is none. */
static void *handle_of(world_t *world, const foreign_function_t *function) {
    const char *word = function->count > 0 ? function->words[0] : "";
    return strcmp(word, "log") == 0       ? (void *)world->log
           : strcmp(word, "cursor") == 0  ? (void *)world->cursor
           : strcmp(word, "txn") == 0     ? (void *)world->txn
           : strcmp(word, "options") == 0 ? (void *)world->options
                                          : NULL;
}

/* An argument that a careful caller might pass. */
static uint64_t plausible(world_t *world, const foreign_function_t *function, unsigned place) {
    const char *word = function->words[place];
    bool of_options = strncmp(function->signature->name, "walrus_options", 14) == 0;
    if (strcmp(word, "i32") == 0 || strcmp(word, "u64") == 0 || strcmp(word, "size") == 0)
        return 1;
    if (strcmp(word, "u32") == 0 || strcmp(word, "i64") == 0)
        return 0;
    if (strcmp(word, "text") == 0)
        return W(!of_options ? "key" : place == 1 ? "sync_interval_ms" : "1");
    for (size_t i = 0; i < CALLBACKS; i++)
        if (strcmp(word, callback_signatures[i].name + strlen("walrus_")) == 0)
            return W(world->closures[i]->code);
    const struct {
        const char *word;
        void *pointer;
    } pointers[] = {{"log", world->log},        {"options", world->options}, {"cursor", world->cursor},
                    {"txn", world->txn},        {"record", &world->record},  {"entry", &world->entry},
                    {"error", &world->error},   {"stats", &world->stats},    {"recovery_report", &world->report},
                    {"data", "data"},           {"room", world->room},       {"chars", world->room},
                    {"u32[]", world->sizes},    {"u32*", world->sizes}};
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++)
        if (strcmp(word, pointers[i].word) == 0)
            return W(pointers[i].pointer);
    CHECK(strchr(word, '*') != NULL);
    return W(&world->outputs[place]);
}

/* The handles that a successful call gave away or took back. */
static void settle_handles(world_t *world, const foreign_function_t *function, sweep_t sweep, int64_t result) {
    if (sweep == ALL_ZERO || sweep == NO_HANDLE) {
        if (is(function, "options_new"))
            CALL(options_free, result);
    } else if (is(function, "close")) {
        world->log = NULL;
    } else if (is(function, "cursor_close")) {
        world->cursor = NULL;
    } else if (is(function, "options_free")) {
        world->options = NULL;
    } else if (is(function, "txn_rollback") || (is(function, "txn_commit") && result == WALRUS_OK)) {
        world->txn = NULL;
    } else if (is(function, "options_new")) {
        CALL(options_free, result);
    }
    if (result != WALRUS_OK)
        return;
    if (is(function, "open"))
        CALL(close, world->outputs[2]);
    else if (is(function, "cursor_open"))
        CALL(cursor_close, world->outputs[3]);
    else if (is(function, "txn_begin"))
        CALL(txn_rollback, world->outputs[2]);
    else if (is(function, "get") || is(function, "get_range") || is(function, "cursor_next") ||
             is(function, "cursor_prev"))
        CALL(entry_release, &world->entry);
}

/* What the header says of a code that is answered in a sweep; NULL if the answer is right, else what would be. */
static const char *judge_code(const foreign_function_t *function, sweep_t sweep, int64_t code) {
    bool frees = is(function, "close") || is(function, "txn_rollback");
    bool of_log = function->count > 0 && strcmp(function->words[0], "options") != 0;
    if (code < WALRUS_E_INTERNAL + 1 || code > (is(function, "txn_state") ? WALRUS_TXN_COMMITTED : WALRUS_OK))
        return "a code of the header, and not INTERNAL";
    switch (sweep) {
    case ALL_ZERO:
    case NO_HANDLE:
        if (sweep == NO_HANDLE && is(function, "options_each"))
            return code == WALRUS_OK ? NULL : "OK: the options may be NULL";
        if (frees)
            return code == WALRUS_OK ? NULL : "OK: freeing NULL is a no-op";
        return code == WALRUS_E_INVALID ? NULL : "INVALID";
    case HANDLE_ONLY: return code != WALRUS_E_BUSY ? NULL : "something else than BUSY";
    case PLAUSIBLE:
        return code != WALRUS_E_INVALID && code != WALRUS_E_BUSY ? NULL : "something else than INVALID and BUSY";
    case BAD_FLAGS: return code == WALRUS_E_INVALID ? NULL : "INVALID";
    case SHUT_DOWN:
        if (!of_log || is(function, "shutdown") || frees)
            return NULL;
        return code == WALRUS_E_CLOSED ? NULL : "CLOSED";
    case IN_CHILD:
        if (!of_log || frees)
            return NULL;
        return code == WALRUS_E_FORKED ? NULL : "FORKED";
    }
    return NULL;
}

static const char *judge(const foreign_function_t *function, sweep_t sweep, int64_t result) {
    const char *type = function->signature->result;
    if (strcmp(type, "i32") == 0)
        return judge_code(function, sweep, result);
    if (strcmp(type, "text") == 0 || strcmp(type, "options") == 0)
        return result != 0 ? NULL : "something";
    if (is(function, "cursor_position") && (sweep == SHUT_DOWN || sweep == IN_CHILD))
        return result == 1 ? NULL : "1: it asks nothing of the log";
    if (strcmp(type, "u64") == 0 && sweep != PLAUSIBLE && sweep != HANDLE_ONLY)
        return result == 0 ? NULL : "0";
    return NULL;
}

static void sweep_one(foreign_function_t *function, sweep_t sweep, world_t *world) {
    uint64_t words[MOST_ARGUMENTS] = {0};
    for (unsigned i = 0; i < function->count && sweep != ALL_ZERO; i++)
        if (i > 0 ? sweep != HANDLE_ONLY : sweep != NO_HANDLE)
            words[i] = sweep == BAD_FLAGS && is_flags(function, i) ? FLAGS_OF_NOBODY : plausible(world, function, i);
    int64_t result = (int64_t)foreign_call_words(function, words);
    const char *rather = judge(function, sweep, result);
    if (rather != NULL)
        FAIL("it answered %s (%" PRId64 "), not %s", check_code_name(result), result, rather);
    settle_handles(world, function, sweep, result);
}

static void sweep_all(sweep_t sweep) {
    CHECK_KEEP_GOING();
    load();
    CHECK(chdir(check_memory_directory) == 0); /* hundreds of logs: not for a disk's syncs */
    for (size_t i = 0; i < FUNCTIONS; i++) {
        foreign_function_t *function = &foreign_functions[i];
        world_t world;
        CHECK_NOTE("%s", function->signature->name);
        if (function->address == NULL)
            continue; /* that it is missing is told by another case */
        if (sweep == BAD_FLAGS && !has_flags(function))
            continue;
        world_new(&world, function->signature->name);
        if (sweep != ALL_ZERO && sweep != PLAUSIBLE && handle_of(&world, function) == NULL) {
            world_free(&world); /* it has no handle, so this sweep has nothing to say of it */
            continue;
        }
        if (sweep == SHUT_DOWN)
            CHECK_OK(CODE(shutdown, world.log));
        if (sweep == IN_CHILD) {
            pid_t child = fork();
            if (child == 0) {
                alarm(WATCHDOG_SECONDS);
                sweep_one(function, sweep, &world);
                world_free(&world);
                _exit(0);
            }
            int status = -1;
            CHECK(child > 0 && waitpid(child, &status, 0) == child);
            if (status != 0)
                FAIL("the child ended with status %d", status);
        } else {
            sweep_one(function, sweep, &world);
        }
        if (world.log != NULL && sweep != SHUT_DOWN && !is(function, "shutdown"))
            CHECK_OK(CODE(sync, world.log)); /* whatever the call was, the log is as good as before */
        world_free(&world);
    }
}

/* Catches: a required pointer that is not checked, a function that frees what it was not given. */
CASE(null_and_zero_for_everything_is_a_code_and_no_crash) { sweep_all(ALL_ZERO); }

/* Catches: a handle that is looked into before the other arguments were. */
CASE(a_null_handle_is_invalid_whatever_else_is_passed) { sweep_all(NO_HANDLE); }

/* Catches: an optional pointer that is written through although it is NULL. */
CASE(a_handle_and_nothing_else_is_a_code_and_no_crash) { sweep_all(HANDLE_ONLY); }

/* Catches: a signature whose types are not the header's: an argument would arrive as another one. */
CASE(every_function_takes_what_the_header_asks_for) { sweep_all(PLAUSIBLE); }

/* Catches: flags that are ignored today and would mean something to a later library. */
CASE(flags_that_nobody_knows_are_invalid) { sweep_all(BAD_FLAGS); }

/* Catches: a function that forgot to look whether the log is closed. */
CASE(after_shutdown_every_function_answers_closed) { sweep_all(SHUT_DOWN); }

/* Catches: a function that works on with what it shares with the parent. */
CASE(in_a_forked_child_every_function_answers_forked) { sweep_all(IN_CHILD); }

/* ---- A whole life --------------------------------------------------------------------------- */

static void check_read(walrus_t *log, uint64_t index, const char *text) {
    walrus_entry_t entry;
    char buffer[64];
    size_t size = 0;
    CHECK_OK(CODE(get, log, index, &entry));
    CHECK_U64(index, entry.index);
    CHECK_BYTES(text, strlen(text), entry.data, entry.size);
    CHECK_U64(CALL(crc32, text, strlen(text)), entry.checksum);
    CALL(entry_release, &entry);
    CHECK(entry.data == NULL && entry.owner == NULL);
    CHECK_CODE(WALRUS_E_TOO_SMALL, CODE(read, log, index, buffer, 1, &size));
    CHECK_U64(strlen(text), size);
    CHECK_OK(CODE(read, log, index, buffer, sizeof buffer, &size));
    CHECK_BYTES(text, strlen(text), buffer, size);
}

/* Entries 1 to 8: one, a record, two as a batch, three packed, one asynchronous. */
static void append_in_each_way(walrus_t *log) {
    uint64_t index = 0;
    CHECK_OK(CODE(append, log, "one", 3, &index));
    CHECK_U64(1, index);
    walrus_record_t record = {.data = "two", .size = 3, .index = 2, .term = 7, .timestamp_ns = 1000};
    CHECK_OK(CODE(append_record, log, &record, WALRUS_DURABLE, &index));
    CHECK_U64(2, index);
    walrus_record_t batch[2] = {{.data = "three", .size = 5, .term = 8}, {.data = "four", .size = 4, .term = 8}};
    CHECK_OK(CODE(append_batch, log, batch, 2, WALRUS_TO_OS, &index));
    CHECK_U64(3, index);
    const uint32_t sizes[] = {4, 3, 5};
    CHECK_OK(CODE(append_packed, log, "fivesixseven", sizes, 3, 9, 0, &index));
    CHECK_U64(5, index);
    record = (walrus_record_t){.data = "eight", .size = 5, .term = 9};
    CHECK_OK(CODE(append_async, log, &record, 0, NULL, NULL, &index));
    CHECK_U64(8, index);
    CHECK_OK(CODE(wait_durable, log, 8, -1));
    CHECK_U64(8, CALL(durable_index, log));
}

static void read_in_each_way(walrus_t *log) {
    static const char *const texts[] = {"one", "two", "three", "four", "five", "six", "seven", "eight"};
    walrus_entry_t entries[8];
    uint64_t index = 0, term = 0;
    size_t count = 0;
    for (uint64_t i = 0; i < 8; i++)
        check_read(log, i + 1, texts[i]);
    CHECK_U64(1, CALL(first_index, log));
    CHECK_U64(8, CALL(last_index, log));
    CHECK_U64(9, CALL(next_index, log));
    CHECK_OK(CODE(get_range, log, 2, 6, SIZE_MAX, entries, 8, &count));
    CHECK_U64(5, count);
    CHECK_BYTES("six", 3, entries[4].data, entries[4].size);
    CALL(entries_release, entries, count);
    char buffer[64];
    uint32_t sizes[8];
    CHECK_OK(CODE(read_packed, log, 5, 8, buffer, sizeof buffer, sizes, &count));
    CHECK_U64(4, count);
    CHECK_BYTES("fivesixseveneight", 17, buffer, (size_t)sizes[0] + sizes[1] + sizes[2] + sizes[3]);
    CHECK_OK(CODE(term, log, 2, &term));
    CHECK_U64(7, term);
    CHECK_OK(CODE(last_index_of_term, log, 8, &index));
    CHECK_U64(4, index);
    CHECK_OK(CODE(seek_time, log, INT64_C(1000), &index));
    CHECK_U64(1, index);
    CHECK_CODE(WALRUS_E_NOT_FOUND, CODE(seek_time, log, INT64_MAX, &index));
}

static void move_a_cursor(walrus_t *log) {
    walrus_cursor_t *cursor = NULL;
    walrus_entry_t entry;
    CHECK_OK(CODE(cursor_open, log, 0, WALRUS_DURABLE_ONLY, &cursor));
    for (uint64_t index = 1; index <= 8; index++) {
        CHECK_U64(index, CALL(cursor_position, cursor));
        CHECK_OK(CODE(cursor_next, cursor, &entry));
        CHECK_U64(index, entry.index);
        CALL(entry_release, &entry);
    }
    CHECK_CODE(WALRUS_E_CAUGHT_UP, CODE(cursor_next, cursor, &entry));
    CHECK_CODE(WALRUS_E_TIMEOUT, CODE(cursor_wait, cursor, INT64_C(20)));
    CHECK_OK(CODE(cursor_prev, cursor, &entry));
    CHECK_U64(8, entry.index);
    CALL(entry_release, &entry);
    CHECK_OK(CODE(cursor_seek, cursor, 3));
    CHECK_U64(3, CALL(cursor_position, cursor));
    CALL(cursor_close, cursor);
}

/* Entries 9 and 10 by a transaction; another one is dropped. */
static void run_transactions(walrus_t *log) {
    walrus_txn_t *txn = NULL;
    uint64_t index = 0, count = 0;
    walrus_record_t record = {.data = "in a transaction", .size = 16};
    CHECK_OK(CODE(txn_begin, log, INT64_C(-1), &txn));
    CHECK_CODE(WALRUS_TXN_OPEN, CODE(txn_state, txn));
    CHECK_U64(1, CALL(txn_count, log));
    CHECK_OK(CODE(txn_append, txn, &record));
    CHECK_OK(CODE(txn_append, txn, &record));
    CHECK_OK(CODE(txn_commit, txn, WALRUS_DURABLE, &index, &count));
    CHECK_U64(9, index);
    CHECK_U64(2, count);
    CHECK_OK(CODE(txn_begin, log, INT64_C(0), &txn));
    CHECK_OK(CODE(txn_append, txn, &record));
    CHECK_OK(CODE(txn_rollback, txn));
    CHECK_OK(CODE(txn_expire, log, &count));
    CHECK_U64(0, count);
    CHECK_U64(10, CALL(last_index, log));
}

static void keep_metadata(walrus_t *log) {
    char buffer[16];
    size_t size = 0;
    CHECK_OK(CODE(meta_set, log, "vote", "node 3", 6));
    CHECK_CODE(WALRUS_E_TOO_SMALL, CODE(meta_get, log, "vote", NULL, 0, &size));
    CHECK_U64(6, size);
    CHECK_OK(CODE(meta_stage, log, "applied", "10", 2));
    CHECK_OK(CODE(sync, log));
    CHECK_OK(CODE(meta_get, log, "applied", buffer, sizeof buffer, &size));
    CHECK_BYTES("10", 2, buffer, size);
    CHECK_OK(CODE(meta_delete, log, "applied"));
    CHECK_CODE(WALRUS_E_NOT_FOUND, CODE(meta_get, log, "applied", buffer, sizeof buffer, &size));
}

static void look_at_it(walrus_t *log) {
    walrus_stats_t stats = {.struct_size = sizeof stats};
    CHECK_OK(CODE(stats, log, &stats));
    CHECK_U64(10, stats.entries_appended);
    CHECK_U64(10, stats.last_index);
    CHECK_U64(1, stats.txn_committed);
    CHECK_U64(sizeof stats, stats.struct_size);
    size_t size = 0, again = 0;
    CHECK_CODE(WALRUS_E_TOO_SMALL, CODE(stats_text, log, NULL, 0, &size));
    char *text = malloc(size + 200); /* numbers may have grown meanwhile */
    CHECK_OK(CODE(stats_text, log, text, size + 200, &again));
    CHECK_U64(strlen(text) + 1, again);
    CHECK(strstr(text, "walrus_") != NULL);
    free(text);
}

static void cut_it(walrus_t *log) {
    walrus_record_t records[2] = {{.data = "new 9", .size = 5}, {.data = "new 10", .size = 6}};
    CHECK_OK(CODE(rotate, log));
    CHECK_OK(CODE(replace_suffix, log, 9, records, 2, 0));
    check_read(log, 10, "new 10");
    CHECK_OK(CODE(truncate, log, 9));
    CHECK_U64(9, CALL(last_index, log));
    CHECK_OK(CODE(truncate_front, log, 5));
    CHECK_U64(5, CALL(first_index, log));
    check_read(log, 9, "new 9");
    CHECK_OK(CODE(reset, log, 100));
    CHECK_U64(0, CALL(last_index, log));
    CHECK_U64(100, CALL(next_index, log));
}

static void check_that_a_descriptor_tells(walrus_t *log) {
    int fd = -1, again = -1;
    uint64_t moves = 0;
    CHECK_OK(CODE(notify_fd, log, &fd));
    CHECK_OK(CODE(notify_fd, log, &again));
    CHECK(fd >= 0 && fd == again);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    CHECK(poll(&poll_fd, 1, 0) == 0);
    CHECK_OK(CODE(append, log, "durable", 7, NULL));
    CHECK(poll(&poll_fd, 1, 5000) == 1);
    CHECK(read(fd, &moves, sizeof moves) == sizeof moves);
    CHECK(poll(&poll_fd, 1, 0) == 0);
}

/* Catches: a function that works for a compiler, which knows the header, and not for a runtime that knows its types
 * by name alone. */
CASE(a_log_lives_its_whole_life_through_ffi) {
    load();
    CHECK_TEXT(WALRUS_VERSION, (const char *)CALL(version));
    CHECK_U64(WALRUS_VERSION_NUMBER, CALL(version_number));
    CHECK_U64(WALRUS_ABI_VERSION, CALL(abi_version));
    CHECK(strncmp((const char *)CALL(strerror, WALRUS_E_TORN), "WALRUS_E_TORN: ", 15) == 0);
    walrus_t *log = open_foreign(at("log"), NULL, NULL);
    append_in_each_way(log);
    read_in_each_way(log);
    move_a_cursor(log);
    run_transactions(log);
    keep_metadata(log);
    look_at_it(log);
    cut_it(log);
    check_that_a_descriptor_tells(log);
    CHECK_OK(CODE(interrupt, log));
    CHECK_OK(CODE(shutdown, log));
    CHECK_CODE(WALRUS_E_CLOSED, CODE(append, log, "late", 4, NULL));
    walrus_error_t error = {.struct_size = sizeof error};
    CHECK_OK(CODE(last_error, &error));
    CHECK_CODE(WALRUS_E_CLOSED, error.code);
    CHECK_OK(CODE(close, log));

    log = open_foreign(at("log"), "create", "false");
    walrus_recovery_report_t report = {.struct_size = sizeof report};
    CHECK_OK(CODE(recovery_report, log, &report));
    CHECK_CODE(WALRUS_RECOVERY_CLEAN, report.reason);
    check_read(log, 100, "durable");
    char value[16];
    size_t size = 0;
    CHECK_OK(CODE(meta_get, log, "vote", value, sizeof value, &size));
    CHECK_BYTES("node 3", 6, value, size);
    CHECK_CODE(WALRUS_E_LOCKED, CODE(destroy, at("log")));
    CHECK_OK(CODE(close, log));
    CHECK_OK(CODE(destroy, at("log")));
    CHECK(access(at("log"), F_OK) != 0);
}

/* A struct of which the caller knows `known` bytes: no others are touched, and all of them may be. */
static void check_filling(const char *name, walrus_t *log, uint32_t size, uint32_t known) {
    unsigned char bytes[8192];
    CHECK(known <= sizeof bytes);
    memset(bytes, 0xA5, sizeof bytes);
    memcpy(bytes, &known, sizeof known);
    CHECK_NOTE("%s with a struct_size of %u", name, known);
    uint64_t words[] = {log != NULL ? W(log) : W(bytes), W(bytes)};
    int64_t code = (int64_t)foreign_call(name, log != NULL ? 2 : 1, words);
    CHECK_CODE(known < 8 ? WALRUS_E_INVALID : WALRUS_OK, code);
    CHECK(memcmp(bytes, &known, sizeof known) == 0);
    for (size_t i = known < 8 ? sizeof known : known < size ? known : size; i < sizeof bytes; i++)
        CHECK(bytes[i] == 0xA5);
}

/* Catches: a library that writes beyond the struct of a caller with an older header, or chokes on a newer one. */
CASE(a_struct_is_filled_as_far_as_its_caller_knows_it) {
    CHECK_KEEP_GOING();
    load();
    walrus_t *log = open_foreign(at("log"), NULL, NULL);
    const struct {
        const char *name;
        walrus_t *log;
        uint32_t size;
    } rows[] = {{"walrus_stats", log, sizeof(walrus_stats_t)},
                {"walrus_recovery_report", log, sizeof(walrus_recovery_report_t)},
                {"walrus_last_error", NULL, sizeof(walrus_error_t)}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const uint32_t sizes[] = {0, 4, 7, 8, 9, 16, rows[i].size - 1, rows[i].size, rows[i].size + 1, 8192};
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++)
            check_filling(rows[i].name, rows[i].log, rows[i].size, sizes[j]);
    }
    CHECK_OK(CODE(close, log));
}

/* Catches: a table with a row too few or too many for the library, or a type that libffi cannot pass. */
CASE(every_function_of_the_table_is_found_by_its_name) {
    CHECK_KEEP_GOING();
    load();
    for (size_t i = 0; i < FUNCTIONS; i++)
        if (foreign_functions[i].address == NULL)
            FAIL("%s is not there", function_signatures[i].name);
}
