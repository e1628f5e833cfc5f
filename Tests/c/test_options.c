/* test_options.c - every option is taken, refused, read back, and does what the header says
 *
 * One table holds each key with its default, values that must be taken and values that must not be. The cases below it
 * show, option by option, an effect that can be seen from outside.
 */
#include "format.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/* ---- The table ------------------------------------------------------------------------------ */

typedef enum { SIZE, BOOLEAN, OCTAL, NAME, TIME } kind_t;

typedef struct row {
    const char *key, *default_text;
    kind_t kind;
    const char *good[10], *bad[16];
    uint64_t good_numbers[6], bad_numbers[6];
    int good_count, bad_count;
} row_t;

#define GOOD(...) .good_numbers = {__VA_ARGS__}, .good_count = sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)
#define BAD(...) .bad_numbers = {__VA_ARGS__}, .bad_count = sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)
#define BOOLEAN_VALUES                                                                                                 \
    .kind = BOOLEAN, .good = {"true", "false", "on", "off", "1", "0"},                                                 \
    .bad = {"", "2", "-1", "maybe", "yes!", "tru", "truee", "01x", "on off", "null"}, GOOD(0, 1),                      \
    BAD(2, 3, UINT64_MAX)

static const row_t rows[] = {
    {.key = "create", .default_text = "true", BOOLEAN_VALUES},
    {.key = "must_be_new", .default_text = "false", BOOLEAN_VALUES},
    {.key = "read_only", .default_text = "false", BOOLEAN_VALUES},
    {.key = "preallocate", .default_text = "true", BOOLEAN_VALUES},
    {.key = "verify_reads", .default_text = "true", BOOLEAN_VALUES},
    {.key = "zero_copy", .default_text = "true", BOOLEAN_VALUES},
    {.key = "recovery",
     .default_text = "torn_tail",
     .kind = NAME,
     .good = {"strict", "torn_tail", "salvage"},
     .bad = {"", "torn", "strictly", "0", "true", "none", "torn_tail "},
     BAD(0, 1, 2, UINT64_MAX)},
    {.key = "sync",
     .default_text = "always",
     .kind = NAME,
     .good = {"always", "os", "none", "interval"},
     .bad = {"", "alway", "always,", "0", "true", "off", "never", "intervals", "100ms"},
     BAD(0, 1, 2, UINT64_MAX)},
    {.key = "segment_size",
     .default_text = "64MiB",
     .kind = SIZE,
     .good = {"4096", "4KiB", "5000", "64KiB", "16MiB", "1GiB", "4GiB", "4294967296", "4294967295"},
     .bad = {"", "0", "4095", "1", "3KiB", "4294967297", "5GiB", "8GiB", "-1", "abc", "4.5MiB", "64KiBx", "KiB",
             "18446744073709551616", "17179869184GiB", "99999999999999999999999999999999"},
     GOOD(4096, 4097, 64 * MIB, 4 * GIB),
     BAD(0, 4095, 4 * GIB + 1, UINT64_MAX)},
    {.key = "buffer_size",
     .default_text = "256KiB",
     .kind = SIZE,
     .good = {"4096", "4KiB", "64KiB", "1MiB", "1GiB", "1073741824"},
     .bad = {"", "0", "4095", "3KiB", "1073741825", "2GiB", "-4096", "lots", "64KiB64KiB", "17179869185GiB"},
     GOOD(4096, 65536, GIB),
     BAD(0, 4095, GIB + 1, UINT64_MAX)},
    {.key = "max_entry_size",
     .default_text = "64MiB",
     .kind = SIZE,
     .good = {"1", "100", "1KiB", "64MiB", "1GiB", "1073741824"},
     .bad = {"", "0", "1073741825", "2GiB", "-1", "x", "0KiB", "17179869184GiB"},
     GOOD(1, 2, GIB - 1, GIB),
     BAD(0, GIB + 1, UINT64_MAX)},
    {.key = "cached_segments",
     .default_text = "512",
     .kind = SIZE,
     .good = {"1", "2", "512", "65535", "65536"},
     .bad = {"", "0", "65537", "-1", "many", "1.5", "4294967297"},
     GOOD(1, 512, 65536),
     BAD(0, 65537, UINT64_C(4294967297), UINT64_MAX)},
    {.key = "sync_padding",
     .default_text = "0",
     .kind = SIZE,
     .good = {"0", "4096", "4KiB"},
     .bad = {"", "1", "512", "4095", "4097", "8192", "8KiB", "-1", "on"},
     GOOD(0, 4096),
     BAD(1, 4095, 8192, UINT64_MAX)},
    {.key = "file_mode",
     .default_text = "0640",
     .kind = OCTAL,
     .good = {"0640", "640", "0600", "0777", "0666", "600"},
     .bad = {"", "0888", "9", "rw-r-----", "-1", "0x1ff", "100000", "0640 ", "777777777777777777777777"},
     GOOD(0640, 0600, 0777),
     BAD(0100000, UINT64_C(1) << 32 | 0640, UINT64_MAX)},
    {.key = "sync_interval_ms",
     .default_text = "100ms",
     .kind = TIME,
     .good = {"1", "100", "100ms", "5s", "1min", "1h", "3600000"},
     .bad = {"", "0", "0s", "3600001", "61min", "2h", "1d", "-1", "100us", "1.5s", "5 s", "KiB", "5KiB"},
     GOOD(1, 100, 3600000),
     BAD(0, 3600001, UINT64_MAX)},
    {.key = "sync_bytes",
     .default_text = "0",
     .kind = SIZE,
     .good = {"0", "1", "64KiB", "1TiB"},
     .bad = {"", "-1", "1ms", "1025GiB", "2TiB", "16777217TiB"},
     GOOD(0, 1, 1024 * GIB),
     BAD(1024 * GIB + 1, UINT64_MAX)},
    {.key = "async_max_bytes",
     .default_text = "64MiB",
     .kind = SIZE,
     .good = {"1", "64MiB", "1TiB"},
     .bad = {"", "0", "-1", "2TiB"},
     GOOD(1, MIB, 1024 * GIB),
     BAD(0, 1024 * GIB + 1, UINT64_MAX)},
    {.key = "max_segments",
     .default_text = "0",
     .kind = SIZE,
     .good = {"0", "1", "1000", "1048576"},
     .bad = {"", "1048577", "-1", "all"},
     GOOD(0, 1, 1048576),
     BAD(1048577, UINT64_MAX)},
    {.key = "retention_bytes",
     .default_text = "0",
     .kind = SIZE,
     .good = {"0", "1", "10GiB", "1048576TiB"},
     .bad = {"", "-1", "1048577TiB", "1h"},
     GOOD(0, GIB, UINT64_C(1) << 60),
     BAD((UINT64_C(1) << 60) + 1, UINT64_MAX)},
    {.key = "retention_age_ms",
     .default_text = "0",
     .kind = TIME,
     .good = {"0", "1", "12h", "7d", "3650d"},
     .bad = {"", "-1", "1w", "1GiB", "18446744073709551616", "213503982335d"},
     GOOD(0, 1000, UINT64_C(1) << 60),
     BAD((UINT64_C(1) << 60) + 1, UINT64_MAX)},
    {.key = "txn_timeout_ms",
     .default_text = "30s",
     .kind = TIME,
     .good = {"1", "30000", "30s", "1h"},
     .bad = {"", "0", "-1", "forever"},
     GOOD(1, 1000, UINT64_C(1) << 60),
     BAD(0, (UINT64_C(1) << 60) + 1, UINT64_MAX)},
    {.key = "txn_max_entries",
     .default_text = "1000",
     .kind = SIZE,
     .good = {"1", "1000", "16777216"},
     .bad = {"", "0", "16777217", "-1", "1s"},
     GOOD(1, 1000, 16777216),
     BAD(0, 16777217, UINT64_MAX)},
    {.key = "format",
     .default_text = "binary",
     .kind = NAME,
     .good = {"binary", "json", "proto"},
     .bad = {"", "JSON", "bin", "protobuf", "0", "true", "binary "},
     BAD(0, 1, 2, UINT64_MAX)},
    {.key = "compression",
     .default_text = "none",
     .kind = NAME,
     .good = {"none", "zlib"},
     .bad = {"", "zstd", "gzip", "true", "1", "zlib,9"},
     BAD(0, 1, UINT64_MAX)},
    {.key = "compression_level",
     .default_text = "-1",
     .kind = NAME,
     .good = {"-1", "0", "1", "9"},
     .bad = {"", "10", "-2", "best", "5KiB", "1.5", "00x"},
     BAD(10, UINT64_MAX)},
    {.key = "compression_min_size",
     .default_text = "256",
     .kind = SIZE,
     .good = {"0", "1", "256", "4KiB", "1GiB"},
     .bad = {"", "-1", "2GiB", "1073741825", "small"},
     GOOD(0, 1, GIB),
     BAD(GIB + 1, UINT64_MAX)},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* What a value means, whatever the way it is written. */
static uint64_t meaning(kind_t kind, const char *text) {
    if (kind == BOOLEAN)
        return strcmp(text, "true") == 0 || strcmp(text, "on") == 0 || strcmp(text, "1") == 0;
    if (kind == OCTAL)
        return strtoull(text, NULL, 8);
    char *end = NULL;
    uint64_t number = strtoull(text, &end, 10);
    if (strcmp(end, "KiB") == 0)
        return number * KIB;
    if (strcmp(end, "MiB") == 0)
        return number * MIB;
    if (strcmp(end, "GiB") == 0)
        return number * GIB;
    if (strcmp(end, "TiB") == 0)
        return number * 1024 * GIB;
    if (kind == TIME) {
        static const struct {
            const char *name;
            uint64_t factor;
        } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
            if (strcmp(end, units[i].name) == 0)
                return number * units[i].factor;
    }
    CHECK(end != text && end[0] == 0);
    return number;
}

static bool means_the_same(kind_t kind, const char *a, const char *b) {
    return kind == NAME ? strcmp(a, b) == 0 : meaning(kind, a) == meaning(kind, b);
}

static const char *get(const walrus_options_t *options, const char *key) {
    static char texts[4][128];
    static int turn;
    char *text = texts[turn++ % 4];
    size_t size = 0;
    text[0] = 0;
    CHECK_OK(walrus_options_get(options, key, text, sizeof texts[0], &size));
    CHECK_U64(strlen(text) + 1, size);
    return text;
}

/* ---- Set and get ---------------------------------------------------------------------------- */

/* Catches: a default that differs from the header's. */
CASE(fresh_options_have_the_documented_defaults) {
    CHECK_KEEP_GOING();
    walrus_options_t *options = walrus_options_new();
    for (int i = 0; i < ROWS; i++)
        if (!means_the_same(rows[i].kind, rows[i].default_text, get(options, rows[i].key)))
            FAIL("%s is %s, not %s", rows[i].key, get(options, rows[i].key), rows[i].default_text);
    walrus_options_free(options);
}

/* Catches: a unit that is forgotten, a bound that is off by one, a text that get gives and set does not take. */
CASE(every_good_value_is_taken_and_read_back) {
    CHECK_KEEP_GOING();
    for (int i = 0; i < ROWS; i++) {
        const row_t *row = &rows[i];
        walrus_options_t *options = walrus_options_new(), *copy = walrus_options_new();
        for (int j = 0; j < 10 && row->good[j] != NULL; j++) {
            CHECK_NOTE("%s=%s", row->key, row->good[j]);
            CHECK_OK(walrus_options_set(options, row->key, row->good[j]));
            const char *back = get(options, row->key);
            if (!means_the_same(row->kind, row->good[j], back))
                FAIL("read back as %s", back);
            CHECK_OK(walrus_options_set(copy, row->key, back));
            CHECK_TEXT(back, get(copy, row->key));
        }
        for (int j = 0; j < row->good_count; j++) {
            CHECK_NOTE("%s=%" PRIu64 " as a number", row->key, row->good_numbers[j]);
            CHECK_OK(walrus_options_set_u64(options, row->key, row->good_numbers[j]));
            CHECK_U64(row->good_numbers[j], meaning(row->kind, get(options, row->key)));
        }
        walrus_options_free(options);
        walrus_options_free(copy);
    }
}

typedef struct allowed_text {
    const char *key;
    char text[400];
} allowed_text_t;

static int32_t find_allowed(void *ctx, const char *key, const char *default_value, const char *allowed) {
    (void)default_value;
    allowed_text_t *wanted = ctx;
    if (strcmp(key, wanted->key) != 0)
        return 0;
    snprintf(wanted->text, sizeof wanted->text, "%s", allowed);
    return 1;
}

/* Catches: an impossible value that is clipped or wrapped instead of refused, and a message that leaves the user to
 * guess. */
CASE(every_bad_value_is_refused_and_the_message_names_key_value_and_what_is_allowed) {
    CHECK_KEEP_GOING();
    for (int i = 0; i < ROWS; i++) {
        const row_t *row = &rows[i];
        walrus_options_t *options = walrus_options_new();
        allowed_text_t allowed = {row->key, ""};
        CHECK_CODE(1, walrus_options_each(NULL, find_allowed, &allowed));
        CHECK_OK(walrus_options_set(options, row->key, row->good[1]));
        char before[128];
        snprintf(before, sizeof before, "%s", get(options, row->key));
        for (int j = 0; j < 16 && row->bad[j] != NULL; j++) {
            CHECK_NOTE("%s=\"%s\"", row->key, row->bad[j]);
            CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(options, row->key, row->bad[j]));
            walrus_error_t error = last_error();
            if (strstr(error.message, row->key) == NULL || strstr(error.message, row->bad[j]) == NULL ||
                strstr(error.message, allowed.text) == NULL)
                FAIL("the message does not name key, value and \"%s\"", allowed.text);
            CHECK_TEXT(before, get(options, row->key));
        }
        for (int j = 0; j < row->bad_count; j++) {
            char number[32];
            snprintf(number, sizeof number, "%" PRIu64, row->bad_numbers[j]);
            CHECK_NOTE("%s=%s as a number", row->key, number);
            CHECK_CODE(WALRUS_E_INVALID, walrus_options_set_u64(options, row->key, row->bad_numbers[j]));
            if (strstr(last_error().message, row->key) == NULL)
                FAIL("the message does not name the key");
            CHECK_TEXT(before, get(options, row->key));
        }
        walrus_options_free(options);
    }
}

/* Catches: a misspelt key that is taken in silence, and one that overruns the message. */
CASE(an_unknown_key_is_refused_by_name) {
    CHECK_KEEP_GOING();
    char long_key[3000], buffer[64];
    memset(long_key, 'k', sizeof long_key);
    long_key[sizeof long_key - 1] = 0;
    const char *keys[] = {"segment-size",  "Sync", "sync ",    " sync", "segment_siz",
                          "segment_sizes", "",     "\xff\xfe", long_key};
    walrus_options_t *options = walrus_options_new();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        CHECK_NOTE("key \"%.100s\"", keys[i]);
        CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(options, keys[i], "1"));
        if (strlen(keys[i]) < 100)
            CHECK(strstr(last_error().message, keys[i]) != NULL);
        CHECK_CODE(WALRUS_E_INVALID, walrus_options_set_u64(options, keys[i], 1));
        CHECK_CODE(WALRUS_E_INVALID, walrus_options_get(options, keys[i], buffer, sizeof buffer, NULL));
    }
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(options, "sync", long_key));
    CHECK_CODE(WALRUS_E_INVALID, walrus_options_set(options, "segment_size", long_key));
    walrus_options_free(options);
}

/* Catches: an option of a later version that is taken and does nothing. */
CASE(options_that_a_later_version_has_are_unsupported) {
    CHECK_KEEP_GOING();
    static const char *const later[][2] = {{"write_mode", "mapped"}, {"recycle_segments", "1"}};
    walrus_options_t *options = walrus_options_new();
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        CHECK_NOTE("%s=%s", later[i][0], later[i][1]);
        CHECK_CODE(WALRUS_E_UNSUPPORTED, walrus_options_set(options, later[i][0], later[i][1]));
        CHECK(strstr(last_error().message, later[i][0]) != NULL);
        if (later[i][1][0] >= '0' && later[i][1][0] <= '9')
            CHECK_CODE(WALRUS_E_UNSUPPORTED, walrus_options_set_u64(options, later[i][0], 1));
    }
    CHECK_TEXT("always", get(options, "sync"));
    walrus_options_free(options);
}

/* ---- The list ------------------------------------------------------------------------------- */

typedef struct listing {
    walrus_options_t *fresh;
    int seen[ROWS], others;
    const char *keys[64];
    int count, stop_after;
} listing_t;

static int32_t list_option(void *ctx, const char *key, const char *default_value, const char *allowed) {
    listing_t *listing = ctx;
    bool found = false;
    CHECK(key != NULL && key[0] != 0 && default_value != NULL && allowed != NULL && allowed[0] != 0);
    for (int i = 0; i < ROWS; i++)
        if (strcmp(key, rows[i].key) == 0) {
            found = true;
            listing->seen[i]++;
            CHECK(means_the_same(rows[i].kind, rows[i].default_text, default_value));
        }
    if (!found)
        FAIL("%s is listed, but the header does not document it", key);
    CHECK_TEXT(default_value, get(listing->fresh, key));
    CHECK_OK(walrus_options_set(listing->fresh, key, default_value)); /* it may call any function */
    listing->keys[listing->count++] = key;
    if (listing->stop_after == listing->count)
        return 7;
    return -listing->count;
}

/* Catches: an option that the list forgets, a default that the list and the handle tell differently, strings that are
 * gone after the call, and a visitor's answer that is misread. */
CASE(options_each_lists_every_option_once_with_the_default_that_get_tells) {
    listing_t listing = {.fresh = walrus_options_new()};
    CHECK_OK(walrus_options_each(NULL, list_option, &listing));
    for (int i = 0; i < ROWS; i++)
        if (listing.seen[i] != 1)
            FAIL("%s is listed %d times", rows[i].key, listing.seen[i]);
    walrus_options_t *changed = settings("sync=none segment_size=4KiB");
    listing_t again = {.fresh = listing.fresh};
    CHECK_OK(walrus_options_each(changed, list_option, &again));
    CHECK(again.count == listing.count);
    for (int i = 0; i < listing.count; i++)
        CHECK(again.keys[i] == listing.keys[i]);
    for (int stop = 1; stop <= listing.count; stop++) {
        listing_t stopped = {.fresh = listing.fresh, .stop_after = stop};
        CHECK_CODE(7, walrus_options_each(changed, list_option, &stopped));
        CHECK(stopped.count == stop);
    }
    walrus_options_free(changed);
    walrus_options_free(listing.fresh);
}

/* Catches: options that open keeps a pointer to. */
CASE(options_may_be_changed_and_freed_once_open_has_returned) {
    walrus_options_t *options = settings("sync=none max_entry_size=100");
    walrus_t *log = NULL, *other = NULL;
    CHECK_OK(walrus_open(at("log"), options, &log));
    CHECK_OK(walrus_options_set(options, "max_entry_size", "10"));
    CHECK_OK(walrus_open(at("other"), options, &other));
    walrus_options_free(options);
    append_payload(log, 100, 1);
    unsigned char *bytes = payload(101, 2);
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append(log, bytes, 101, NULL));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append(other, bytes, 11, NULL));
    free(bytes);
    CHECK_OK(walrus_close(log));
    CHECK_OK(walrus_close(other));
}

/* ---- create, must_be_new, read_only, recovery ----------------------------------------------- */

/* Catches: a directory that is made although nothing may be created. */
CASE(without_create_a_missing_log_is_no_log_and_an_existing_one_opens) {
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_NO_LOG, try_open(at("log"), "create=false", &log));
    CHECK(log == NULL && !exists(at("log")));
    CHECK(mkdir(at("empty"), 0755) == 0);
    CHECK_CODE(WALRUS_E_NO_LOG, try_open(at("empty"), "create=false", &log));
    CHECK(count_names(at("empty")) == 0);
    log = open_log(at("log"), "create=true");
    append_payload(log, 10, 1);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "create=false");
    check_entry(log, 1, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: must_be_new that opens, or empties, the log that is there. */
CASE(must_be_new_makes_a_log_and_refuses_one_that_exists) {
    walrus_t *log = open_log(at("log"), "must_be_new=true"), *again = NULL;
    append_payload(log, 10, 1);
    CHECK(try_open(at("log"), "must_be_new=true", &again) < 0);
    CHECK_OK(walrus_close(log));
    image_t *before = image_read(at("log"));
    CHECK_CODE(WALRUS_E_EXISTS, try_open(at("log"), "must_be_new=true", &again));
    CHECK(again == NULL);
    CHECK_UNTOUCHED(before, at("log"));
    image_free(before);
    CHECK(mkdir(at("empty"), 0755) == 0);
    log = open_log(at("empty"), "must_be_new=true");
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    check_entry(log, 1, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: a reader that creates, locks, repairs, or marks the log as closed. */
CASE(read_only_writes_nothing_at_all) {
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_NO_LOG, try_open(at("log"), "read_only=true", &log));
    CHECK(!exists(at("log")));
    log = open_log(at("log"), "segment_size=16KiB sync=os");
    for (uint64_t i = 1; i <= 50; i++)
        append_payload(log, 1000, i);
    copy_directory(at("log"), at("crashed"));
    CHECK_OK(walrus_close(log));
    const char *dirs[] = {at("log"), at("crashed")};
    for (int i = 0; i < 2; i++) {
        image_t *before = image_read(dirs[i]);
        log = open_log(dirs[i], "read_only=true");
        CHECK_U64(50, walrus_last_index(log));
        for (uint64_t index = 1; index <= 50; index++)
            check_entry(log, index, 1000, index);
        CHECK_CODE(WALRUS_E_READ_ONLY, walrus_append(log, "x", 1, NULL));
        CHECK_OK(walrus_close(log));
        CHECK_UNTOUCHED(before, dirs[i]);
        image_free(before);
    }
}

/* Catches: salvage on a handle that may write. */
CASE(salvage_needs_read_only) {
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_READ_ONLY, try_open(at("log"), "recovery=salvage", &log));
    CHECK(!exists(at("log")));
    log = open_log(at("log"), "");
    append_payload(log, 10, 1);
    CHECK_OK(walrus_close(log));
    CHECK_CODE(WALRUS_E_READ_ONLY, try_open(at("log"), "recovery=salvage", &log));
    log = open_log(at("log"), "recovery=salvage read_only=true");
    check_entry(log, 1, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* ---- sync, buffer_size ---------------------------------------------------------------------- */

/* Catches: an append that acknowledges before the sync, and a durable index that runs ahead of it. */
CASE(sync_says_what_is_durable_when_an_append_returns) {
    walrus_t *log = open_log(at("always"), "sync=always");
    for (uint64_t i = 1; i <= 5; i++) {
        append_payload(log, 10, i);
        CHECK_U64(i, walrus_durable_index(log));
    }
    CHECK_OK(walrus_close(log));
    const char *modes[] = {"os", "none"};
    for (int i = 0; i < 2; i++) {
        char text[32];
        snprintf(text, sizeof text, "sync=%s", modes[i]);
        log = open_log(at("%s", modes[i]), text);
        for (uint64_t index = 1; index <= 5; index++)
            append_payload(log, 10, index);
        CHECK_U64(0, walrus_durable_index(log));
        CHECK_OK(walrus_sync(log));
        CHECK_U64(5, walrus_durable_index(log));
        append_payload(log, 10, 6);
        CHECK_U64(5, walrus_durable_index(log));
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: a flag that is ignored, or that stays in force for the calls after it. */
CASE(a_flag_replaces_sync_for_one_call) {
    walrus_record_t record = {.data = "a flag for one call", .size = 19};
    walrus_t *log = open_log(at("none"), "sync=none");
    char path[PATH_MAX];
    size_t offset;
    append_payload(log, 100, 1);
    CHECK_OK(walrus_append_record(log, &record, WALRUS_DURABLE, NULL));
    CHECK_U64(2, walrus_durable_index(log));
    append_payload(log, 100, 3);
    CHECK_U64(2, walrus_durable_index(log));
    CHECK(!find_payload(at("none"), 100, 3, path, &offset));
    CHECK_OK(walrus_append_record(log, &record, WALRUS_TO_OS, NULL));
    CHECK(find_payload(at("none"), 100, 3, path, &offset));
    CHECK_U64(2, walrus_durable_index(log));
    CHECK_OK(walrus_append_batch(log, &record, 1, WALRUS_DURABLE, NULL));
    CHECK_U64(5, walrus_durable_index(log));
    CHECK_OK(walrus_close(log));
    log = open_log(at("always"), "sync=always");
    CHECK_OK(walrus_append_record(log, &record, WALRUS_BUFFERED, NULL));
    CHECK_U64(0, walrus_durable_index(log));
    CHECK_OK(walrus_append_record(log, &record, WALRUS_TO_OS, NULL));
    CHECK_U64(0, walrus_durable_index(log));
    append_payload(log, 10, 3);
    CHECK_U64(3, walrus_durable_index(log));
    CHECK_OK(walrus_close(log));
}

/* Catches: sync=os that leaves the entry in the library's memory, where kill -9 takes it. */
CASE(with_sync_os_the_bytes_are_in_the_file_when_the_append_returns) {
    char path[PATH_MAX];
    size_t offset;
    walrus_t *log = open_log(at("os"), "sync=os");
    for (uint64_t i = 1; i <= 20; i++) {
        append_payload(log, 100, i);
        CHECK(find_payload(at("os"), 100, i, path, &offset));
    }
    CHECK_OK(walrus_close(log));
}

/* Catches: a buffer that has one fixed size, and one that is never handed on. */
CASE(buffer_size_bounds_what_waits_in_memory) {
    char path[PATH_MAX];
    size_t offset;
    walrus_t *small = open_log(at("small"), "sync=none buffer_size=4KiB segment_size=1MiB");
    walrus_t *large = open_log(at("large"), "sync=none buffer_size=1MiB segment_size=1MiB");
    for (uint64_t i = 1; i <= 100; i++) {
        append_payload(small, 500, i);
        append_payload(large, 500, i);
        if (i > 8)
            CHECK(find_payload(at("small"), 500, i - 8, path, &offset));
    }
    CHECK(!find_payload(at("large"), 500, 1, path, &offset));
    for (uint64_t i = 1; i <= 100; i++) {
        check_entry(small, i, 500, i);
        check_entry(large, i, 500, i);
    }
    append_payload(small, 100000, 101); /* larger than the buffer */
    check_entry(small, 101, 100000, 101);
    CHECK_OK(walrus_close(small));
    CHECK_OK(walrus_close(large));
    large = open_log(at("large"), "");
    CHECK_U64(100, walrus_last_index(large));
    CHECK_OK(walrus_close(large));
}

/* ---- segment_size, preallocate, cached_segments --------------------------------------------- */

/* Catches: a log that never rotates, or that rotates too early. */
CASE(segment_size_decides_how_many_segments_there_are) {
    static const struct {
        const char *text;
        size_t least, most;
    } sizes[] = {{"segment_size=16KiB", 16, 40}, {"segment_size=64KiB", 4, 8}, {"segment_size=1MiB", 1, 2}, {"", 1, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *dir = at("log%zu", i);
        char text[64];
        snprintf(text, sizeof text, "sync=os %s", sizes[i].text);
        walrus_t *log = open_log(dir, text);
        for (uint64_t index = 1; index <= 260; index++)
            append_payload(log, 1000, index);
        CHECK_OK(walrus_close(log));
        size_t count = count_segments(dir);
        if (count < sizes[i].least || count > sizes[i].most)
            FAIL("%zu segments with \"%s\"", count, text);
    }
    walrus_t *log = open_log(at("log0"), "segment_size=1MiB"); /* another size than it was created with */
    for (uint64_t index = 1; index <= 260; index++)
        check_entry(log, index, 1000, index);
    append_payload(log, 1000, 261);
    check_entry(log, 261, 1000, 261);
    CHECK_OK(walrus_close(log));
}

static uint64_t allocated_bytes(const char *dir) {
    DIR *directory = opendir(dir);
    CHECK(directory != NULL);
    uint64_t bytes = 0;
    struct stat status;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode))
            bytes += (uint64_t)status.st_blocks * 512;
    closedir(directory);
    return bytes;
}

/* Catches: preallocation that cannot be turned off, and space that is never given back. */
CASE(without_preallocate_a_small_log_is_small_and_after_close_any_small_log_is) {
    walrus_t *off = open_log(at("off"), "preallocate=false segment_size=8MiB");
    walrus_t *on = open_log(at("on"), "preallocate=true segment_size=8MiB");
    for (uint64_t i = 1; i <= 20; i++) {
        append_payload(off, 100, i);
        append_payload(on, 100, i);
    }
    uint64_t without = allocated_bytes(at("off")), with = allocated_bytes(at("on"));
    if (without > 128 * KIB || with <= without)
        FAIL("%" PRIu64 " bytes without preallocate, %" PRIu64 " with it", without, with);
    CHECK_OK(walrus_close(off));
    CHECK_OK(walrus_close(on));
    CHECK(allocated_bytes(at("off")) <= 128 * KIB);
    if (allocated_bytes(at("on")) > 256 * KIB)
        FAIL("%" PRIu64 " bytes are still allocated after close", allocated_bytes(at("on")));
}

/* Catches: a cache that grows without bound, or that unmaps what is being read. */
CASE(one_cached_segment_is_enough_to_read_them_all) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 400; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_close(log));
    CHECK(count_segments(at("log")) >= 25);
    size_t mapped[2], opened[2], descriptors = count_descriptors();
    for (int many = 0; many < 2; many++) {
        log = open_log(at("log"), many ? "cached_segments=512" : "cached_segments=1");
        for (uint64_t i = 1; i <= 400; i++)
            check_entry(log, i, 1000, i);
        random_source_t source = {7};
        for (int i = 0; i < 1000; i++) {
            uint64_t index = 1 + below(&source, 400);
            check_entry(log, index, 1000, index);
        }
        mapped[many] = count_mappings(".wal");
        opened[many] = count_descriptors() - descriptors;
        CHECK_OK(walrus_close(log));
    }
    CHECK(mapped[1] > mapped[0]);
    if (mapped[0] > 6 || opened[0] > 12)
        FAIL("with one cached segment, %zu are mapped and %zu descriptors open", mapped[0], opened[0]);
}

/* ---- max_entry_size ------------------------------------------------------------------------- */

/* Catches: a limit that is off by one, one that a batch goes around, and one that makes old entries unreadable. */
CASE(max_entry_size_bounds_what_is_appended_and_not_what_is_read) {
    walrus_t *log = open_log(at("log"), "sync=os max_entry_size=1000");
    unsigned char *bytes = payload(1001, 1);
    walrus_record_t batch[2] = {{.data = bytes, .size = 10}, {.data = bytes, .size = 1001}};
    uint64_t index = 0;
    CHECK_OK(walrus_append(log, bytes, 1000, &index));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append(log, bytes, 1001, &index));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_record(log, &batch[1], 0, &index));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_batch(log, batch, 2, 0, &index));
    CHECK_U64(1, index);
    CHECK_U64(1, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "sync=os max_entry_size=1");
    check_entry(log, 1, 1000, 1);
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append(log, bytes, 2, &index));
    CHECK_OK(walrus_append(log, bytes, 1, &index));
    CHECK_U64(2, index);
    CHECK_OK(walrus_close(log));
    free(bytes);
}

/* ---- file_mode ------------------------------------------------------------------------------ */

static void check_modes(const char *dir, mode_t mode) {
    image_t *image = image_read(dir);
    CHECK(image->count >= 2);
    for (size_t i = 0; i < image->count; i++)
        if (image->files[i].mode != mode)
            FAIL("%s has mode %04o, not %04o", image->files[i].name, image->files[i].mode, mode);
    image_free(image);
}

/* Catches: a file kind that forgets the option, and a mode that is forced with chmod against the umask. */
CASE(file_mode_and_the_umask_decide_the_permissions_of_every_file) {
    static const struct {
        const char *text;
        mode_t umask, mode;
    } modes[] = {{"", 022, 0640},
                 {"", 077, 0600},
                 {"file_mode=0600", 0, 0600},
                 {"file_mode=0666", 0, 0666},
                 {"file_mode=0666", 027, 0640},
                 {"file_mode=644", 0, 0644}};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        const char *dir = at("log%zu", i);
        char text[128];
        snprintf(text, sizeof text, "sync=os segment_size=16KiB %s", modes[i].text);
        umask(modes[i].umask);
        walrus_t *log = open_log(dir, text);
        for (uint64_t index = 1; index <= 60; index++)
            append_payload(log, 1000, index);
        CHECK_OK(walrus_truncate(log, 55));
        append_payload(log, 1000, 56);
        check_modes(dir, modes[i].mode);
        CHECK_OK(walrus_close(log));
        check_modes(dir, modes[i].mode);
    }
    umask(022);
}

/* ---- verify_reads, zero_copy ---------------------------------------------------------------- */

static int32_t count_visits(void *ctx, const walrus_entry_t *entry) {
    (void)entry;
    ++*(int *)ctx;
    return 0;
}

/* Catches: a checksum that is skipped on one of the read paths, or that is computed although it was turned off. */
CASE(verify_reads_finds_a_damaged_payload_in_a_sealed_segment) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 60; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_close(log));
    char path[PATH_MAX];
    size_t offset = 0;
    CHECK(find_payload(at("log"), 1000, 5, path, &offset));
    flip_in_file(path, offset + 500, 0x10);
    unsigned char *damaged = payload(1000, 5), buffer[1000];
    damaged[500] ^= 0x10;
    const char *copy[] = {"zero_copy=true", "zero_copy=false"};
    for (int mode = 0; mode < 4; mode++) {
        bool verify = mode % 2 == 0;
        char text[128];
        snprintf(text, sizeof text, "%s verify_reads=%s%s", copy[mode / 2], verify ? "on" : "off",
                 mode == 1 ? " read_only=true" : "");
        CHECK_NOTE("%s", text);
        log = open_log(at("log"), text);
        walrus_entry_t entry, entries[10];
        size_t size = 0, count = 4711;
        uint64_t term = 7;
        int visits = 0;
        check_entry(log, 4, 1000, 4);
        check_entry(log, 6, 1000, 6);
        CHECK_OK(walrus_term(log, 5, &term));
        memset(&entry, 0xA5, sizeof entry);
        if (verify) {
            CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, 5, &entry));
            CHECK(is_zeroed(&entry, sizeof entry));
            walrus_error_t error = last_error();
            CHECK_U64(5, error.index);
            CHECK_TEXT(path, error.path);
            CHECK(error.offset <= offset + 500 && error.offset + FRAME_HEADER_BYTES >= offset);
            CHECK_CODE(WALRUS_E_CORRUPT, walrus_read(log, 5, buffer, sizeof buffer, &size));
            CHECK_CODE(WALRUS_E_CORRUPT, walrus_scan(log, 1, 60, count_visits, &visits));
            CHECK_U64(4, visits);
            CHECK_CODE(WALRUS_E_CORRUPT, walrus_get_range(log, 5, 10, SIZE_MAX, entries, 10, &count));
            CHECK_U64(4711, count);
        } else {
            CHECK_OK(walrus_get(log, 5, &entry));
            CHECK_BYTES(damaged, 1000, entry.data, entry.size);
            walrus_entry_release(&entry);
            CHECK_OK(walrus_read(log, 5, buffer, sizeof buffer, &size));
            CHECK_BYTES(damaged, 1000, buffer, size);
            CHECK_OK(walrus_scan(log, 1, 60, count_visits, &visits));
            CHECK_U64(60, visits);
            CHECK_OK(walrus_get_range(log, 5, 10, SIZE_MAX, entries, 10, &count));
            CHECK_U64(6, count);
            walrus_entries_release(entries, count);
        }
        CHECK_OK(walrus_close(log));
    }
    free(damaged);
}

/* Catches: "zero copy" that copies, and zero_copy=false that lends views all the same. */
CASE(zero_copy_lends_the_mapped_file_and_without_it_entries_are_copies) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 60; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_close(log));
    walrus_entry_t entry;
    log = open_log(at("log"), "zero_copy=on");
    CHECK_OK(walrus_get(log, 3, &entry));
    CHECK(is_mapped_from(entry.data, at("log")));
    walrus_entry_release(&entry);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "zero_copy=off");
    for (uint64_t i = 1; i <= 60; i++) {
        CHECK_OK(walrus_get(log, i, &entry));
        CHECK(!is_mapped_from(entry.data, at("log")));
        CHECK(is_payload(entry.data, entry.size, i));
        walrus_entry_release(&entry);
    }
    CHECK_OK(walrus_close(log));
}

/* Catches: a mapping that is touched although the file behind it may shrink or its disk may fail: SIGBUS. */
CASE(without_zero_copy_a_file_that_lost_its_bytes_is_an_error_code) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 60; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_close(log));
    char path[PATH_MAX];
    size_t offset = 0, size = 0, count = 4711;
    CHECK(find_payload(at("log"), 1000, 3, path, &offset));
    log = open_log(at("log"), "zero_copy=off");
    walrus_entry_t held, entry, entries[4];
    unsigned char buffer[1000];
    int visits = 0;
    CHECK_OK(walrus_get(log, 3, &held));
    CHECK(truncate(path, 0) == 0);
    CHECK(is_payload(held.data, held.size, 3));
    int32_t result = walrus_get(log, 3, &entry);
    CHECK(result == WALRUS_E_CORRUPT || result == WALRUS_E_IO);
    result = walrus_read(log, 4, buffer, sizeof buffer, &size);
    CHECK(result == WALRUS_E_CORRUPT || result == WALRUS_E_IO);
    result = walrus_scan(log, 1, 10, count_visits, &visits);
    CHECK(result == WALRUS_E_CORRUPT || result == WALRUS_E_IO);
    result = walrus_get_range(log, 1, 4, SIZE_MAX, entries, 4, &count);
    CHECK(result == WALRUS_E_CORRUPT || result == WALRUS_E_IO);
    check_entry(log, 60, 1000, 60);
    walrus_entry_release(&held);
    CHECK_OK(walrus_close(log));
}

/* ---- sync_padding --------------------------------------------------------------------------- */

/* Remembers the 4 KiB blocks that hold a payload, and that they must stay as they are. */
typedef struct kept_block {
    char name[64];
    size_t offset;
    unsigned char bytes[4096];
} kept_block_t;

static size_t keep_blocks(const image_t *image, size_t size, uint64_t seed, kept_block_t *kept, size_t count,
                          size_t capacity) {
    size_t offset = 0;
    image_file_t *file = image_find_payload((image_t *)image, size, seed, &offset);
    CHECK(file != NULL);
    /* The frame's header stands right before the payload, and is acknowledged data, too. */
    for (size_t block = (offset - FRAME_HEADER_BYTES) / 4096 * 4096; block < offset + size; block += 4096) {
        CHECK(count < capacity);
        snprintf(kept[count].name, sizeof kept[count].name, "%.63s", file->name);
        kept[count].offset = block;
        size_t have = file->size - block < 4096 ? file->size - block : 4096;
        memset(kept[count].bytes, 0, 4096);
        memcpy(kept[count].bytes, file->bytes + block, have);
        count++;
    }
    return count;
}

static void check_kept(image_t *image, const kept_block_t *kept, size_t count) {
    for (size_t i = 0; i < count; i++) {
        image_file_t *file = image_find(image, kept[i].name);
        unsigned char now[4096] = {0};
        CHECK(file != NULL);
        if (kept[i].offset < file->size)
            memcpy(now, file->bytes + kept[i].offset,
                   file->size - kept[i].offset < 4096 ? file->size - kept[i].offset : 4096);
        if (memcmp(now, kept[i].bytes, 4096) != 0)
            FAIL("the block at %zu of %s was acknowledged and then written again", kept[i].offset, kept[i].name);
    }
}

/* Catches: a sync that pads the buffer but not the file's position, so that the next frame shares the last block. */
CASE(with_sync_padding_no_block_that_holds_acknowledged_data_is_written_again) {
    enum { APPENDS = 60, CAPACITY = 512 };
    kept_block_t *kept = calloc(CAPACITY, sizeof *kept);
    size_t count = 0;
    uint64_t seed = 0;
    walrus_t *log = open_log(at("log"), "sync=os sync_padding=4096 segment_size=64KiB");
    for (int i = 0; i < APPENDS; i++) {
        static const size_t sizes[] = {100, 1, 4000, 5000, 4072, 8, 300};
        size_t size = sizes[i % 7] < 16 ? 16 : sizes[i % 7]; /* long enough to be found again */
        uint64_t first = seed + 1;
        if (i % 5 == 4) {
            unsigned char *bytes[3];
            walrus_record_t records[3];
            memset(records, 0, sizeof records);
            for (int j = 0; j < 3; j++) {
                bytes[j] = payload(size, ++seed);
                records[j] = (walrus_record_t){.data = bytes[j], .size = size};
            }
            CHECK_OK(walrus_append_batch(log, records, 3, WALRUS_DURABLE, NULL));
            for (int j = 0; j < 3; j++)
                free(bytes[j]);
        } else if (i % 5 == 3) {
            append_payload(log, size, ++seed);
            append_payload(log, size, ++seed);
            CHECK_OK(walrus_sync(log));
        } else {
            unsigned char *bytes = payload(size, ++seed);
            walrus_record_t record = {.data = bytes, .size = size};
            CHECK_OK(walrus_append_record(log, &record, WALRUS_DURABLE, NULL));
            free(bytes);
        }
        CHECK_NOTE("durable append %d", i);
        image_t *image = image_read(at("log"));
        check_kept(image, kept, count);
        if (count + 20 < CAPACITY)
            for (uint64_t s = first; s <= seed; s++)
                count = keep_blocks(image, size, s, kept, count, CAPACITY);
        image_free(image);
    }
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "sync_padding=4096 segment_size=64KiB");
    CHECK_U64(seed, walrus_last_index(log));
    append_payload(log, 100, seed + 1);
    image_t *image = image_read(at("log"));
    check_kept(image, kept, count);
    image_free(image);
    CHECK_OK(walrus_close(log));
    free(kept);
}

/* Catches: padding that is added without being asked for. */
CASE(without_sync_padding_durable_appends_lie_side_by_side) {
    walrus_t *log = open_log(at("log"), "");
    char path[PATH_MAX], other[PATH_MAX];
    size_t one = 0, two = 0;
    append_payload(log, 100, 1);
    append_payload(log, 100, 2);
    CHECK(find_payload(at("log"), 100, 1, path, &one) && find_payload(at("log"), 100, 2, other, &two));
    CHECK(strcmp(path, other) == 0 && two > one && two - one < 300);
    CHECK_OK(walrus_close(log));
}

/* ---- The logger ----------------------------------------------------------------------------- */

typedef struct diagnostics {
    int counts[5];
    bool bad;
} diagnostics_t;

static void take_message(void *ctx, int32_t level, const char *message) {
    diagnostics_t *diagnostics = ctx;
    if (level < WALRUS_LOG_ERROR || level > WALRUS_LOG_DEBUG || message == NULL || message[0] == 0)
        __atomic_store_n(&diagnostics->bad, true, __ATOMIC_RELAXED);
    else
        __atomic_add_fetch(&diagnostics->counts[level], 1, __ATOMIC_RELAXED);
}

static diagnostics_t run_with_logger(const char *dir, int32_t level) {
    diagnostics_t diagnostics = {{0}, false};
    walrus_options_t *options = settings("sync=os segment_size=16KiB");
    walrus_t *log = NULL;
    CHECK_OK(walrus_options_set_logger(options, take_message, &diagnostics, level));
    CHECK_OK(walrus_open(dir, options, &log));
    walrus_options_free(options);
    for (uint64_t i = 0; i < 40; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_close(log));
    CHECK(!diagnostics.bad);
    return diagnostics;
}

/* Catches: a logger that is never called, called above its level, or called after close. */
CASE(the_logger_gets_the_levels_that_were_asked_for) {
    for (int32_t level = WALRUS_LOG_ERROR; level <= WALRUS_LOG_DEBUG; level++) {
        diagnostics_t seen = run_with_logger(at("log%d", (int)level), level);
        CHECK_NOTE("level %d: %d %d %d %d", (int)level, seen.counts[1], seen.counts[2], seen.counts[3], seen.counts[4]);
        for (int above = level + 1; above <= WALRUS_LOG_DEBUG; above++)
            CHECK(seen.counts[above] == 0);
        CHECK(seen.counts[WALRUS_LOG_ERROR] == 0);
        CHECK(level < WALRUS_LOG_INFO || seen.counts[WALRUS_LOG_INFO] >= 2);   /* created or opened, and closed */
        CHECK(level < WALRUS_LOG_DEBUG || seen.counts[WALRUS_LOG_DEBUG] >= 2); /* rotations */
    }
}

/* Catches: a tail that is cut without a word. */
CASE(the_logger_warns_of_a_tail_that_was_cut) {
    walrus_t *log = open_log(at("log"), "");
    append_payload(log, 100, 1);
    append_payload(log, 100, 2);
    copy_directory(at("log"), at("crashed"));
    CHECK_OK(walrus_close(log));
    char path[PATH_MAX];
    size_t offset = 0;
    CHECK(find_payload(at("crashed"), 100, 2, path, &offset));
    CHECK(truncate(path, (off_t)offset + 50) == 0);
    diagnostics_t diagnostics = {{0}, false};
    walrus_options_t *options = walrus_options_new();
    CHECK_OK(walrus_options_set_logger(options, take_message, &diagnostics, WALRUS_LOG_WARN));
    CHECK_OK(walrus_open(at("crashed"), options, &log));
    CHECK_U64(1, walrus_last_index(log));
    CHECK(diagnostics.counts[WALRUS_LOG_WARN] >= 1);
    CHECK_OK(walrus_close(log));
    walrus_options_free(options);
}

/* Catches: a library that prints. */
CASE(the_library_prints_nothing) {
    int out = open(at("out"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int kept_out = dup(1), kept_err = dup(2);
    fflush(stdout);
    dup2(out, 1);
    dup2(out, 2);
    run_with_logger(at("log"), WALRUS_LOG_DEBUG);
    walrus_t *log = NULL;
    int32_t missing = try_open(at("missing"), "create=false", &log);
    log = open_log(at("log"), "");
    copy_directory(at("log"), at("crashed"));
    int32_t closed = walrus_close(log);
    dup2(kept_out, 1);
    dup2(kept_err, 2);
    CHECK_CODE(WALRUS_E_NO_LOG, missing);
    CHECK_OK(closed);
    struct stat status;
    CHECK(fstat(out, &status) == 0);
    CHECK_U64(0, status.st_size);
}
