/* test_log.c - what is appended is what is read, through every call and after every reopen
 *
 * The log is compared with a plain model of it (support.h), which is also what the random case at the end drives:
 * thousands of operations from a printed seed, with reopens in between.
 */
#include "support.h"

#include <zlib.h>

#define TWO_TO_63 (UINT64_C(1) << 63)
#define SETTINGS "sync=os segment_size=16KiB"

static uint64_t seeds;

/* Appends one entry to both. */
static void append_both(walrus_t *log, model_t *model, size_t size) {
    uint64_t seed = ++seeds;
    uint64_t term = model_last_term(model);
    uint64_t index = append_payload(log, size, seed);
    if (model_count(model) == 0 && model->ever_held) /* what the previous entry is then, the header leaves open */
        CHECK_OK(walrus_term(log, index, &term));
    model_append(model, 0, size, seed, term, 0);
    CHECK_U64(model->next - 1, index);
}

/* Closes, opens again and compares. */
static walrus_t *reopen(walrus_t *log, const char *dir, const char *text, const model_t *model) {
    CHECK_OK(walrus_close(log));
    log = open_log(dir, text);
    model_check(model, log);
    if (model_count(model) != 0)
        CHECK_U64(model->next - 1, walrus_durable_index(log));
    return log;
}

/* ---- Append and read ------------------------------------------------------------------------ */

/* Catches: an empty log that answers anything but empty. */
CASE(a_new_log_is_empty_and_stays_so_when_it_is_reopened) {
    model_t model = {0};
    walrus_t *log = open_log(at("log"), "");
    model_check(&model, log);
    CHECK_U64(0, walrus_durable_index(log));
    CHECK_OK(walrus_sync(log));
    log = reopen(log, at("log"), "", &model);
    uint64_t first = 4711;
    walrus_record_t none = {0};
    CHECK_OK(walrus_append_batch(log, &none, 0, 0, &first));
    CHECK_U64(1, first);
    CHECK_OK(walrus_close(log));
}

/* Catches: sizes at which a frame, its padding, a buffer or a segment ends. */
CASE(entries_of_every_size_come_back_from_the_buffer_from_the_file_and_after_a_reopen) {
    const char *texts[] = {"sync=none segment_size=16KiB buffer_size=4KiB", "sync=os segment_size=4KiB",
                           "sync=os segment_size=64KiB zero_copy=off", "sync=os segment_size=16KiB sync_padding=4096",
                           "sync=os segment_size=16KiB preallocate=off cached_segments=1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *dir = at("log%zu", i);
        model_t model = {0};
        walrus_t *log = open_log(dir, texts[i]);
        CHECK_NOTE("%s", texts[i]);
        for (size_t size = 0; size <= 70; size++)
            append_both(log, &model, size);
        for (size_t power = 128; power <= 131072; power *= 2)
            for (int more = -1; more <= 1; more++)
                append_both(log, &model, power + (size_t)more);
        for (size_t around = 4096 - 140; around <= 4096; around += 13)
            append_both(log, &model, around);
        append_both(log, &model, 0);
        append_both(log, &model, 1000000);
        append_both(log, &model, 1);
        model_check(&model, log);
        CHECK_OK(walrus_sync(log));
        CHECK_U64(model.next - 1, walrus_durable_index(log));
        log = reopen(log, dir, texts[i], &model);
        append_both(log, &model, 33);
        log = reopen(log, dir, "read_only=true", &model);
        CHECK_OK(walrus_close(log));
        model_free(&model);
    }
}

/* Catches: an entry that is in the log only after it was written out, and one that is lost between buffer and file. */
CASE(an_entry_can_be_read_as_soon_as_its_append_returns) {
    const char *texts[] = {"sync=none", "sync=none buffer_size=4KiB segment_size=16KiB", "sync=os",
                           "zero_copy=off sync=none"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        walrus_t *log = open_log(at("log%zu", i), texts[i]);
        for (uint64_t n = 1; n <= 300; n++) {
            size_t size = (size_t)(n * 37 % 900);
            CHECK_U64(n, append_payload(log, size, n));
            check_entry(log, n, size, n);
            CHECK_U64(n, walrus_last_index(log));
            check_entry(log, n / 2 + 1, (size_t)((n / 2 + 1) * 37 % 900), n / 2 + 1);
        }
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: a default limit that is off by one, and buffers that cannot hold the largest entry. */
CASE(an_entry_of_64_mib_is_an_entry_like_any_other) {
    size_t size = (size_t)64 << 20;
    unsigned char *bytes = payload(size, 99);
    const char *texts[] = {"sync=none segment_size=64KiB", "sync=os"};
    for (int i = 0; i < 2; i++) {
        const char *dir = at("log%d", i);
        walrus_t *log = open_log(dir, texts[i]);
        append_payload(log, 10, 1);
        CHECK_OK(walrus_append(log, bytes, size, NULL));
        CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append(log, bytes, size + 1, NULL));
        append_payload(log, 10, 3);
        for (int round = 0; round < 2; round++) {
            walrus_entry_t entry;
            CHECK_OK(walrus_get(log, 2, &entry));
            CHECK_BYTES(bytes, size, entry.data, entry.size);
            CHECK_U64(crc32(0, bytes, (uInt)size), entry.checksum);
            walrus_entry_release(&entry);
            check_entry(log, 1, 10, 1);
            check_entry(log, 3, 10, 3);
            CHECK_U64(3, walrus_last_index(log));
            if (round == 0) {
                CHECK_OK(walrus_close(log));
                log = open_log(dir, texts[i]);
            }
        }
        CHECK_OK(walrus_close(log));
        CHECK_OK(walrus_destroy(dir));
    }
    free(bytes);
}

/* Catches: input that is kept by pointer instead of copied. */
CASE(the_callers_bytes_are_copied_before_append_returns) {
    walrus_t *log = open_log(at("log"), "sync=none");
    unsigned char bytes[200];
    for (uint64_t i = 1; i <= 50; i++) {
        fill(bytes, sizeof bytes, i);
        walrus_record_t records[2] = {{.data = bytes, .size = 200}, {.data = bytes, .size = 100}};
        CHECK_OK(walrus_append_batch(log, records, 2, 0, NULL));
        memset(bytes, 0xEE, sizeof bytes);
        memset(records, 0xEE, sizeof records);
    }
    for (uint64_t i = 1; i <= 50; i++) {
        check_entry(log, 2 * i - 1, 200, i);
        check_entry(log, 2 * i, 100, i);
    }
    CHECK_OK(walrus_close(log));
}

/* Catches: a checksum that covers more than the payload, or another polynomial. */
CASE(an_entrys_checksum_is_zlibs_crc32_of_its_bytes) {
    walrus_t *log = open_log(at("log"), "sync=os");
    for (size_t size = 0; size < 600; size += size < 80 ? 1 : 37) {
        unsigned char *bytes = payload(size, size);
        uint64_t index = 0;
        walrus_entry_t entry;
        CHECK_OK(walrus_append(log, bytes, size, &index));
        CHECK_OK(walrus_get(log, index, &entry));
        CHECK_U64(crc32(0, bytes, (uInt)size), entry.checksum);
        CHECK_U64(walrus_crc32(bytes, size), entry.checksum);
        walrus_entry_release(&entry);
        free(bytes);
    }
    CHECK_OK(walrus_close(log));
}

/* ---- Batches -------------------------------------------------------------------------------- */

static void batch_both(walrus_t *log, model_t *model, size_t count, const size_t *sizes, uint32_t flags) {
    walrus_record_t *records = calloc(count + 1, sizeof *records);
    uint64_t term = model_last_term(model), next = model->next ? model->next : 1, first = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t seed = ++seeds;
        records[i] = (walrus_record_t){.data = payload(sizes[i], seed), .size = sizes[i], .term = term + i % 3};
        model_append(model, 0, sizes[i], seed, term + i % 3, 0);
    }
    CHECK_OK(walrus_append_batch(log, records, count, flags, &first));
    CHECK_U64(next, first);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)records[i].data);
    free(records);
}

/* Catches: a batch that is split where a segment ends, and empty entries that vanish from it. */
CASE(batches_of_every_shape_come_back_whole) {
    model_t model = {0};
    const char *dir = at("log");
    walrus_t *log = open_log(dir, SETTINGS);
    size_t sizes[1000] = {0};
    batch_both(log, &model, 0, sizes, 0);
    CHECK_U64(0, walrus_last_index(log));
    for (size_t count = 1; count <= 40; count++) {
        for (size_t i = 0; i < count; i++)
            sizes[i] = count % 4 == 0 ? 0 : (count * i * 7) % 300;
        batch_both(log, &model, count, sizes, 0);
    }
    for (size_t i = 0; i < 1000; i++)
        sizes[i] = 100;
    batch_both(log, &model, 1000, sizes, 0); /* several segments large */
    batch_both(log, &model, 0, sizes, WALRUS_DURABLE);
    batch_both(log, &model, 1, sizes, WALRUS_DURABLE);
    CHECK_U64(model.next - 1, walrus_durable_index(log));
    for (size_t i = 0; i < 20; i++)
        sizes[i] = i == 10 ? 100000 : i;
    batch_both(log, &model, 20, sizes, WALRUS_TO_OS);
    batch_both(log, &model, 20, sizes, WALRUS_BUFFERED);
    model_check(&model, log);
    log = reopen(log, dir, SETTINGS, &model);
    append_both(log, &model, 10);
    log = reopen(log, dir, SETTINGS, &model);
    CHECK_OK(walrus_close(log));
    model_free(&model);
}

/* Catches: a refused batch of which some records are in the log. */
CASE(a_batch_that_is_refused_leaves_nothing_behind) {
    model_t model = {0};
    walrus_t *log = open_log(at("log"), SETTINGS " max_entry_size=5000");
    append_both(log, &model, 10);
    unsigned char *bytes = payload(6000, 1);
    for (int bad = 0; bad < 4; bad++)
        for (size_t position = 0; position < 5; position++) {
            walrus_record_t records[5];
            memset(records, 0, sizeof records);
            for (size_t i = 0; i < 5; i++)
                records[i] = (walrus_record_t){.data = bytes, .size = 100};
            uint64_t first = 4711;
            int32_t expected = WALRUS_E_INVALID;
            if (bad == 0)
                records[position].size = 5001, expected = WALRUS_E_TOO_LARGE;
            else if (bad == 1)
                records[position].data = NULL;
            else if (bad == 2)
                records[position].index = walrus_next_index(log) + position + 1, expected = WALRUS_E_OUT_OF_ORDER;
            else
                records[position].reserved[1] = 1;
            CHECK_CODE(expected, walrus_append_batch(log, records, 5, 0, &first));
            CHECK_U64(4711, first);
            model_check(&model, log);
            append_both(log, &model, 50);
        }
    log = reopen(log, at("log"), SETTINGS, &model);
    CHECK_OK(walrus_close(log));
    free(bytes);
    model_free(&model);
}

/* ---- Index, term, time ---------------------------------------------------------------------- */

/* Catches: a log that begins at 1 whatever it was told, and batches whose named indexes are not compared. */
CASE(a_fresh_log_begins_at_the_index_that_its_first_record_names) {
    static const uint64_t firsts[] = {1, 2, 1000, UINT32_MAX, (uint64_t)UINT32_MAX + 1, TWO_TO_63 - 10};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        const char *dir = at("log%zu", i);
        model_t model = {0};
        walrus_t *log = open_log(dir, SETTINGS);
        uint64_t index = 0;
        walrus_record_t record = {.data = "first", .size = 5, .index = firsts[i]};
        unsigned char *bytes = payload(5, 1);
        record.data = bytes;
        CHECK_OK(walrus_append_record(log, &record, 0, &index));
        CHECK_U64(firsts[i], index);
        model_append(&model, firsts[i], 5, 1, 0, 0);
        record.index = firsts[i] + 1;
        CHECK_OK(walrus_append_record(log, &record, 0, &index));
        model_append(&model, firsts[i] + 1, 5, 1, 0, 0);
        walrus_record_t batch[3] = {record, record, record};
        batch[0].index = firsts[i] + 2, batch[1].index = 0, batch[2].index = firsts[i] + 4;
        CHECK_OK(walrus_append_batch(log, batch, 3, 0, &index));
        CHECK_U64(firsts[i] + 2, index);
        for (int n = 0; n < 3; n++)
            model_append(&model, 0, 5, 1, 0, 0);
        for (int n = 0; n < 30; n++)
            append_both(log, &model, 1000);
        model_check(&model, log);
        log = reopen(log, dir, SETTINGS, &model);
        append_both(log, &model, 10);
        log = reopen(log, dir, SETTINGS, &model);
        CHECK_OK(walrus_close(log));
        free(bytes);
        model_free(&model);
    }
}

/* Catches: a first index that only a single record can set. */
CASE(a_batch_may_name_the_first_index_of_a_fresh_log_also_after_a_reopen) {
    walrus_t *log = open_log(at("log"), SETTINGS);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), SETTINGS);
    unsigned char *bytes = payload(7, 7);
    walrus_record_t batch[2] = {{.data = bytes, .size = 7, .index = 500}, {.data = bytes, .size = 7, .index = 501}};
    uint64_t first = 0;
    CHECK_OK(walrus_append_batch(log, batch, 2, 0, &first));
    CHECK_U64(500, first);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), SETTINGS);
    CHECK_U64(500, walrus_first_index(log));
    check_entry(log, 501, 7, 7);
    CHECK_OK(walrus_close(log));
    free(bytes);
}

/* Catches: a log that forgets that it held entries once, and lets the next one go anywhere. */
CASE(a_log_that_was_emptied_goes_on_where_it_was) {
    const char *dir = at("log");
    model_t model = {0};
    walrus_t *log = open_log(dir, SETTINGS);
    for (int i = 0; i < 5; i++)
        append_both(log, &model, 100);
    CHECK_OK(walrus_truncate(log, 0));
    model_truncate(&model, 0);
    walrus_record_t record = {.data = "x", .size = 1, .index = 77};
    CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_append_record(log, &record, 0, NULL));
    log = reopen(log, dir, SETTINGS, &model);
    CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_append_record(log, &record, 0, NULL));
    append_both(log, &model, 100);
    log = reopen(log, dir, SETTINGS, &model);
    CHECK_OK(walrus_close(log));
    model_free(&model);
}

/* Catches: terms and times that are packed into fewer bits than they have, or that must not fall. */
CASE(terms_and_timestamps_are_stored_as_given_also_when_they_fall) {
    static const uint64_t terms[] = {0, 1, 5, 5, 3, UINT64_MAX, 0, UINT32_MAX, (uint64_t)1 << 40, 7, 7, 7, 8};
    static const int64_t stamps[] = {1,
                                     INT64_MAX,
                                     -1,
                                     INT64_MIN,
                                     1000000000,
                                     999999999,
                                     999999999 + ((int64_t)1 << 40),
                                     999999999,
                                     (int64_t)1 << 40,
                                     ((int64_t)1 << 40) - 1,
                                     5,
                                     INT64_MIN,
                                     INT64_MAX};
    const char *dir = at("log");
    model_t model = {0};
    walrus_t *log = open_log(dir, "sync=none segment_size=16KiB");
    for (int round = 0; round < 30; round++)
        for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
            uint64_t seed = ++seeds;
            unsigned char *bytes = payload(100, seed);
            int64_t stamp = stamps[(i + (size_t)round) % (sizeof stamps / sizeof stamps[0])];
            walrus_record_t record = {.data = bytes, .size = 100, .term = terms[i], .timestamp_ns = stamp};
            CHECK_OK(walrus_append_record(log, &record, 0, NULL));
            model_append(&model, 0, 100, seed, terms[i], stamp);
            free(bytes);
        }
    size_t count = sizeof terms / sizeof terms[0];
    walrus_record_t batch[sizeof terms / sizeof terms[0]];
    memset(batch, 0, sizeof batch);
    for (size_t i = 0; i < count; i++) {
        batch[i] = (walrus_record_t){.term = terms[count - 1 - i], .timestamp_ns = stamps[i]};
        model_append(&model, 0, 0, 0, terms[count - 1 - i], stamps[i]);
    }
    CHECK_OK(walrus_append_batch(log, batch, count, 0, NULL));
    model_check(&model, log);
    log = reopen(log, dir, SETTINGS, &model);
    CHECK_OK(walrus_close(log));
    model_free(&model);
}

/* Catches: an append that forgets the term across a rotation, a truncation or a reopen. */
CASE(a_plain_append_has_the_term_of_the_entry_before_it) {
    const char *dir = at("log");
    walrus_t *log = open_log(dir, SETTINGS);
    uint64_t term = 4711;
    append_payload(log, 10, 1);
    CHECK_OK(walrus_term(log, 1, &term));
    CHECK_U64(0, term);
    walrus_record_t record = {.data = "x", .size = 1, .term = 9};
    CHECK_OK(walrus_append_record(log, &record, 0, NULL)); /* 2 */
    for (uint64_t i = 3; i <= 40; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_term(log, 40, &term));
    CHECK_U64(9, term);
    record.term = 4;
    CHECK_OK(walrus_append_record(log, &record, 0, NULL)); /* 41 */
    append_payload(log, 10, 42);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, SETTINGS);
    CHECK_U64(43, append_payload(log, 10, 43));
    CHECK_OK(walrus_term(log, 43, &term));
    CHECK_U64(4, term);
    CHECK_OK(walrus_truncate(log, 40));
    CHECK_U64(41, append_payload(log, 10, 41));
    CHECK_OK(walrus_term(log, 41, &term));
    CHECK_U64(9, term);
    CHECK_OK(walrus_truncate(log, 1));
    CHECK_U64(2, append_payload(log, 10, 2));
    CHECK_OK(walrus_term(log, 2, &term));
    CHECK_U64(0, term);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, SETTINGS);
    CHECK_OK(walrus_term(log, 2, &term));
    CHECK_U64(0, term);
    CHECK_OK(walrus_close(log));
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t stamp_of(walrus_t *log, uint64_t index) {
    walrus_entry_t entry;
    CHECK_OK(walrus_get(log, index, &entry));
    int64_t stamp = entry.timestamp_ns;
    walrus_entry_release(&entry);
    return stamp;
}

/* Catches: a stamp in another unit, one that goes backwards, and a given stamp that the log takes for its own. */
CASE(stamps_that_the_log_gives_are_the_time_and_never_go_backwards) {
    const char *dir = at("log");
    const int64_t slack = 1000000000, day = INT64_C(86400) * 1000000000;
    walrus_t *log = open_log(dir, "sync=none segment_size=16KiB");
    int64_t before = now_ns(), last = 0;
    for (uint64_t i = 1; i <= 500; i++) {
        if (i % 100 == 0) {
            walrus_record_t future = {
                .data = "x", .size = 1, .timestamp_ns = i == 500 ? INT64_MAX : before + (int64_t)i * day};
            CHECK_OK(walrus_append_record(log, &future, 0, NULL));
            continue;
        }
        if (i == 250) {
            CHECK_OK(walrus_close(log));
            log = open_log(dir, "sync=none segment_size=16KiB");
        }
        append_payload(log, 100, i);
        int64_t stamp = stamp_of(log, i);
        CHECK(stamp >= last);
        CHECK(stamp >= before - slack && stamp <= now_ns() + slack);
        last = stamp;
    }
    walrus_record_t batch[4];
    memset(batch, 0, sizeof batch);
    batch[1].timestamp_ns = 5;
    uint64_t first = 0;
    CHECK_OK(walrus_append_batch(log, batch, 4, 0, &first));
    CHECK(stamp_of(log, first) >= last && stamp_of(log, first) <= now_ns() + slack);
    CHECK(stamp_of(log, first + 1) == 5);
    CHECK(stamp_of(log, first + 2) >= stamp_of(log, first) && stamp_of(log, first + 3) >= stamp_of(log, first + 2));
    CHECK_OK(walrus_close(log));
}

/* ---- Scan ----------------------------------------------------------------------------------- */

typedef struct walk {
    walrus_t *log;
    uint64_t expected, stop_at, next_seen;
    int32_t answer;
    int what;
} walk_t;

static int32_t walk_visit(void *ctx, const walrus_entry_t *entry) {
    walk_t *walk = ctx;
    CHECK_U64(walk->expected, entry->index);
    CHECK(is_payload(entry->data, entry->size, entry->index));
    walk->expected++;
    return entry->index == walk->stop_at ? walk->answer : -(int32_t)entry->index;
}

static walrus_t *log_of(const char *dir, const char *text, uint64_t count, size_t size) {
    walrus_t *log = open_log(dir, text);
    for (uint64_t i = 1; i <= count; i++)
        append_payload(log, size, i);
    return log;
}

/* Catches: a stop that is swallowed or turned into an error, and a negative answer that is taken for one. */
CASE(a_visitor_stops_a_scan_with_a_value_above_zero_only) {
    walrus_t *log = log_of(at("log"), SETTINGS, 100, 500);
    const int32_t answers[] = {1, 2, 77, INT32_MAX};
    for (size_t i = 0; i < 4; i++)
        for (uint64_t stop = 10; stop <= 100; stop += 45) {
            walk_t walk = {.expected = 10, .stop_at = stop, .answer = answers[i]};
            CHECK_CODE(answers[i], walrus_scan(log, 10, 100, walk_visit, &walk));
            CHECK_U64(stop + 1, walk.expected);
        }
    const int32_t ignored[] = {0, -1, WALRUS_E_CORRUPT, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        walk_t walk = {.expected = 1, .stop_at = 50, .answer = ignored[i]};
        CHECK_OK(walrus_scan(log, 1, 100, walk_visit, &walk));
        CHECK_U64(101, walk.expected);
    }
    CHECK_OK(walrus_close(log));
}

/* Catches: both ends of a range, and the clip at the last index. */
CASE(a_scan_visits_first_to_last_and_is_clipped_at_the_last_index) {
    walrus_t *log = log_of(at("log"), SETTINGS, 60, 1000);
    CHECK_OK(walrus_truncate_front(log, 21));
    for (uint64_t first = 21; first <= 60; first++)
        for (uint64_t last = first; last <= 62; last++) {
            walk_t walk = {.expected = first};
            CHECK_OK(walrus_scan(log, first, last, walk_visit, &walk));
            CHECK_U64((last < 60 ? last : 60) + 1, walk.expected);
        }
    walk_t walk = {.expected = 21};
    CHECK_OK(walrus_scan(log, 21, UINT64_MAX, walk_visit, &walk));
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_scan(log, 20, 60, walk_visit, &walk));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_scan(log, 61, 70, walk_visit, &walk));
    CHECK_U64(61, walk.expected);
    CHECK_OK(walrus_close(log));
}

static int32_t walk_and_use_the_log(void *ctx, const walrus_entry_t *entry) {
    walk_t *walk = ctx;
    CHECK_U64(walk->expected, entry->index);
    walk->expected++;
    CHECK(is_payload(entry->data, entry->size, entry->index));
    check_entry(walk->log, entry->index, entry->size, entry->index);
    uint64_t next = walrus_next_index(walk->log), term = 1;
    CHECK_U64(next, append_payload(walk->log, 500, next));
    check_entry(walk->log, next, 500, next);
    CHECK_OK(walrus_term(walk->log, next, &term));
    if (entry->index % 16 == 0)
        CHECK_OK(walrus_sync(walk->log));
    walk_t inner = {.expected = 1};
    if (entry->index % 16 == 1)
        CHECK_OK(walrus_scan(walk->log, 1, 5, walk_visit, &inner));
    CHECK(is_payload(entry->data, entry->size, entry->index));
    return 0;
}

/* Catches: a lock that is held while the visitor runs, and a scan that chases the entries that its visitor appends. */
CASE(a_visitor_may_read_append_sync_and_scan_the_same_log) {
    const char *texts[] = {"sync=none buffer_size=4KiB segment_size=16KiB", SETTINGS};
    for (int i = 0; i < 2; i++) {
        walrus_t *log = log_of(at("log%d", i), texts[i], 100, 500);
        walk_t walk = {.log = log, .expected = 1};
        CHECK_OK(walrus_scan(log, 1, UINT64_MAX, walk_and_use_the_log, &walk));
        CHECK_U64(101, walk.expected);
        CHECK_U64(200, walrus_last_index(log));
        CHECK_OK(walrus_close(log));
    }
}

static int32_t walk_and_truncate(void *ctx, const walrus_entry_t *entry) {
    walk_t *walk = ctx;
    CHECK_U64(walk->expected, entry->index);
    walk->expected++;
    if (entry->index == walk->stop_at) {
        if (walk->what == 0)
            CHECK_OK(walrus_truncate(walk->log, entry->index - 1));
        else if (walk->what == 1)
            CHECK_OK(walrus_truncate_front(walk->log, entry->index + 20));
        else if (walk->what == 2)
            CHECK_OK(walrus_reset(walk->log, 1000));
        else
            CHECK_OK(walrus_shutdown(walk->log));
    }
    CHECK(is_payload(entry->data, entry->size, entry->index));
    return 0;
}

/* Catches: a deadlock, and an entry whose file goes away while the visitor looks at it. */
CASE(a_visitor_may_truncate_or_shut_down_the_log_that_it_walks) {
    for (int what = 0; what < 4; what++)
        for (uint64_t stop = 5; stop <= 65; stop += 30) {
            const char *dir = at("log-%d-%d", what, (int)stop);
            walrus_t *log = log_of(dir, SETTINGS, 100, 1000);
            walk_t walk = {.log = log, .expected = 1, .stop_at = stop, .what = what};
            int32_t result = walrus_scan(log, 1, 100, walk_and_truncate, &walk);
            CHECK_NOTE("what %d at %" PRIu64 ": %s after %" PRIu64, what, stop, check_code_name(result), walk.expected);
            if (what == 0)
                CHECK(result == WALRUS_OK || result == WALRUS_E_NOT_FOUND);
            else if (what == 3)
                CHECK(result == WALRUS_OK || result == WALRUS_E_CLOSED);
            else
                CHECK(result == WALRUS_OK || result == WALRUS_E_COMPACTED);
            CHECK_OK(walrus_close(log));
        }
}

/* ---- get_range ------------------------------------------------------------------------------ */

/* Catches: max_bytes that is off by one entry, that starves on a large first one, or that counts frames. */
CASE(get_range_stops_before_max_bytes_but_reads_at_least_one) {
    static const size_t sizes[] = {0, 10, 0, 1, 100, 5, 5000, 0, 0, 1};
    enum { COUNT = 60 };
    walrus_t *log = open_log(at("log"), SETTINGS);
    for (uint64_t i = 1; i <= COUNT; i++)
        append_payload(log, sizes[i % 10], i);
    static const size_t limits[] = {0, 1, 2, 9, 10, 11, 100, 101, 116, 5000, 5116, 5117, 20000, SIZE_MAX - 1, SIZE_MAX};
    walrus_entry_t entries[COUNT];
    for (uint64_t first = 1; first <= COUNT; first++)
        for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++)
            for (size_t capacity = 1; capacity <= COUNT; capacity += 19) {
                size_t count = 0, expected = 1, sum = sizes[first % 10];
                while (expected < capacity && first + expected <= COUNT && sum <= limits[l] &&
                       sizes[(first + expected) % 10] <= limits[l] - sum)
                    sum += sizes[(first + expected++) % 10];
                CHECK_NOTE("from %" PRIu64 ", %zu bytes, capacity %zu", first, limits[l], capacity);
                CHECK_OK(walrus_get_range(log, first, COUNT + 5, limits[l], entries, capacity, &count));
                CHECK_U64(expected, count);
                for (size_t i = 0; i < count; i++) {
                    CHECK_U64(first + i, entries[i].index);
                    CHECK_U64(sizes[(first + i) % 10], entries[i].size);
                    CHECK(is_payload(entries[i].data, entries[i].size, first + i));
                }
                walrus_entries_release(entries, count);
            }
    CHECK_OK(walrus_close(log));
}

/* Catches: last that is taken for a count, and slots beyond the count that are written to. */
CASE(get_range_ends_at_last_and_leaves_the_other_slots_alone) {
    walrus_t *log = log_of(at("log"), SETTINGS, 30, 1000);
    walrus_entry_t entries[40];
    for (uint64_t first = 1; first <= 30; first += 7)
        for (uint64_t last = first; last <= 33; last++) {
            size_t count = 0, expected = (size_t)((last < 30 ? last : 30) - first + 1);
            memset(entries, 0xA5, sizeof entries);
            CHECK_OK(walrus_get_range(log, first, last, SIZE_MAX, entries, 40, &count));
            CHECK_U64(expected, count);
            CHECK(is_filled(entries + count, (40 - count) * sizeof entries[0], 0xA5));
            walrus_entries_release(entries, count);
        }
    CHECK_OK(walrus_close(log));
}

/* ---- Truncate ------------------------------------------------------------------------------- */

typedef enum { BACK, FRONT, RESET } cut_t;

/* Does the same to both; the code that the header promises for it. */
static int32_t cut_model(model_t *model, cut_t cut, uint64_t index) {
    if (model->first == 0)
        model->first = model->next = 1;
    uint64_t first = model->first, next = model->next;
    if (cut == BACK) {
        if (index >= next)
            return WALRUS_E_NOT_FOUND;
        if (index + 1 < first)
            return WALRUS_E_COMPACTED;
        model_truncate(model, index);
    } else if (cut == FRONT) {
        if (index > next)
            return WALRUS_E_NOT_FOUND;
        model_truncate_front(model, index);
    } else {
        if (index == 0 || index > TWO_TO_63)
            return WALRUS_E_INVALID;
        model_reset(model, index);
    }
    return WALRUS_OK;
}

static int32_t cut_log(walrus_t *log, cut_t cut, uint64_t index) {
    return cut == BACK    ? walrus_truncate(log, index)
           : cut == FRONT ? walrus_truncate_front(log, index)
                          : walrus_reset(log, index);
}

static void cut_both(walrus_t *log, model_t *model, cut_t cut, uint64_t index) {
    static const char *const names[] = {"truncate", "truncate_front", "reset"};
    CHECK_NOTE("%s %" PRIu64, names[cut], index);
    CHECK_CODE(cut_model(model, cut, index), cut_log(log, cut, index));
}

/* Catches: every edge of a truncation: no-op, all, one, a segment's first and last entry, out of range on both sides;
 * and entries that come back at the reopen, or after others were appended in their place. */
CASE(every_truncation_holds_through_append_close_and_reopen) {
    enum { COUNT = 40, SIZE = 1500 };
    for (int cut = BACK; cut <= FRONT; cut++)
        for (uint64_t index = 0; index <= COUNT + 3; index++)
            for (int first = 1; first <= 11; first += 10) {
                const char *dir = in_memory("log");
                model_t model = {0};
                walrus_t *log = open_log(dir, "sync=none segment_size=16KiB");
                for (int i = 0; i < COUNT; i++)
                    append_both(log, &model, SIZE);
                if (first > 1)
                    cut_both(log, &model, FRONT, (uint64_t)first);
                cut_both(log, &model, (cut_t)cut, index);
                model_check(&model, log);
                if (index % 2 == 0)
                    log = reopen(log, dir, SETTINGS, &model);
                for (int i = 0; i < 3; i++)
                    append_both(log, &model, SIZE);
                model_check(&model, log);
                log = reopen(log, dir, SETTINGS, &model);
                for (int i = 0; i < 12; i++)
                    append_both(log, &model, SIZE);
                log = reopen(log, dir, SETTINGS, &model);
                CHECK_OK(walrus_close(log));
                CHECK_OK(walrus_destroy(dir));
                model_free(&model);
            }
}

/* Catches: a reset that keeps an entry, goes on at another index, or cannot go below the old ones. */
CASE(a_reset_drops_everything_and_goes_on_at_the_index_given) {
    static const uint64_t nexts[] = {1, 2, 20, 40, 41, 42, 1000000, TWO_TO_63 - 100};
    for (size_t i = 0; i < sizeof nexts / sizeof nexts[0]; i++)
        for (int fresh = 0; fresh < 2; fresh++) {
            const char *dir = in_memory("log");
            model_t model = {0};
            walrus_t *log = open_log(dir, SETTINGS);
            for (int n = 0; n < (fresh ? 0 : 40); n++)
                append_both(log, &model, 1500);
            cut_both(log, &model, RESET, nexts[i]);
            model_check(&model, log);
            if (i % 2 == 0)
                log = reopen(log, dir, SETTINGS, &model);
            for (int n = 0; n < 20; n++)
                append_both(log, &model, 1500);
            CHECK_U64(nexts[i], walrus_first_index(log));
            log = reopen(log, dir, SETTINGS, &model);
            cut_both(log, &model, RESET, nexts[i]); /* the same again: other entries at the same indexes */
            append_both(log, &model, 10);
            log = reopen(log, dir, SETTINGS, &model);
            CHECK_OK(walrus_close(log));
            CHECK_OK(walrus_destroy(dir));
            model_free(&model);
        }
}

/* Catches: truncations of a log that is empty already, and of one that never held anything. */
CASE(an_empty_log_can_be_truncated_where_it_stands) {
    model_t model = {0};
    walrus_t *log = open_log(at("log"), SETTINGS);
    cut_both(log, &model, BACK, 1);
    cut_both(log, &model, FRONT, 2);
    cut_both(log, &model, FRONT, 1);
    cut_both(log, &model, FRONT, 0);
    model_check(&model, log);
    for (int i = 0; i < 9; i++)
        append_both(log, &model, 100);
    cut_both(log, &model, FRONT, 10);
    model_check(&model, log);
    cut_both(log, &model, FRONT, 10);
    cut_both(log, &model, FRONT, 5);
    cut_both(log, &model, FRONT, 11);
    cut_both(log, &model, BACK, 9);
    cut_both(log, &model, BACK, 10);
    cut_both(log, &model, BACK, 8);
    model_check(&model, log);
    log = reopen(log, at("log"), SETTINGS, &model);
    append_both(log, &model, 100);
    cut_both(log, &model, BACK, 9);
    log = reopen(log, at("log"), SETTINGS, &model);
    append_both(log, &model, 100);
    log = reopen(log, at("log"), SETTINGS, &model);
    CHECK_OK(walrus_close(log));
    model_free(&model);
}

/* Catches: a cut that is only in memory: a crash right after it brings the entries back. */
CASE(a_truncation_is_in_the_files_when_it_returns) {
    static const struct {
        cut_t cut;
        uint64_t index;
    } cuts[] = {{BACK, 33}, {BACK, 30}, {FRONT, 9}, {BACK, 20}, {FRONT, 15}, {BACK, 14}, {RESET, 40}, {RESET, 3}};
    const char *dir = in_memory("log"), *crashed = in_memory("crashed");
    model_t model = {0};
    walrus_t *log = open_log(dir, "sync=none segment_size=16KiB");
    for (int i = 0; i < 36; i++)
        append_both(log, &model, 1500);
    CHECK_OK(walrus_sync(log)); /* the cut is durable by itself, the entries that it leaves are not */
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        cut_both(log, &model, cuts[i].cut, cuts[i].index);
        copy_directory(dir, crashed);
        walrus_t *copy = open_log(crashed, "");
        model_check(&model, copy);
        CHECK_OK(walrus_close(copy));
        append_both(log, &model, 700);
        append_both(log, &model, 700);
        CHECK_OK(walrus_sync(log));
        copy_directory(dir, crashed);
        copy = open_log(crashed, "");
        model_check(&model, copy);
        CHECK_OK(walrus_close(copy));
    }
    CHECK_OK(walrus_close(log));
    model_free(&model);
}

/* Catches: the same bytes at the same index, of which the dead copy and the live one look alike. */
CASE(identical_entries_appended_after_a_truncation_are_the_new_ones) {
    const char *dir = in_memory("log"), *crashed = in_memory("crashed");
    walrus_t *log = open_log(dir, "");
    unsigned char *bytes = payload(300, 1);
    walrus_record_t record = {.data = bytes, .size = 300, .term = 1, .timestamp_ns = 1};
    for (int i = 0; i < 10; i++)
        CHECK_OK(walrus_append_record(log, &record, 0, NULL));
    for (uint64_t keep = 9; keep >= 2; keep--) {
        CHECK_OK(walrus_truncate(log, keep));
        CHECK_OK(walrus_append_record(log, &record, 0, NULL)); /* only one of those that were cut */
        copy_directory(dir, crashed);
        walrus_t *copy = open_log(crashed, "");
        CHECK_U64(keep + 1, walrus_last_index(copy));
        for (uint64_t i = 1; i <= keep + 1; i++)
            check_entry(copy, i, 300, 1);
        CHECK_OK(walrus_close(copy));
    }
    CHECK_OK(walrus_close(log));
    free(bytes);
}

/* Catches: files that are kept for ever. */
CASE(truncated_segments_are_removed) {
    walrus_t *log = open_log(at("log"), SETTINGS);
    for (uint64_t i = 1; i <= 300; i++)
        append_payload(log, 1000, i);
    size_t before = count_segments(at("log"));
    CHECK_OK(walrus_truncate_front(log, 290));
    size_t after = before;
    for (int wait = 0; wait < 400 && after > 5; wait++) { /* in the background, says the header */
        usleep(5000);
        after = count_segments(at("log"));
    }
    if (after > 5)
        FAIL("%zu of %zu segments are left", after, before);
    CHECK_OK(walrus_reset(log, 1000));
    append_payload(log, 10, 1);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), SETTINGS);
    for (int wait = 0; wait < 400 && count_segments(at("log")) > 3; wait++)
        usleep(5000);
    CHECK(count_segments(at("log")) <= 3);
    CHECK_OK(walrus_close(log));
}

/* ---- Chance --------------------------------------------------------------------------------- */

static const char *random_settings(random_source_t *chance) {
    static char text[256];
    static const char *const syncs[] = {"none", "os", "os", "none"};
    static const char *const sizes[] = {"4KiB", "16KiB", "16KiB", "64KiB", "1MiB"};
    static const char *const buffers[] = {"4KiB", "16KiB", "256KiB"};
    static const char *const caches[] = {"1", "2", "512"};
    snprintf(text, sizeof text,
             "sync=%s segment_size=%s buffer_size=%s cached_segments=%s zero_copy=%s preallocate=%s "
             "sync_padding=%s verify_reads=%s",
             syncs[below(chance, 4)], sizes[below(chance, 5)], buffers[below(chance, 3)], caches[below(chance, 3)],
             below(chance, 3) ? "on" : "off", below(chance, 3) ? "on" : "off", below(chance, 4) ? "0" : "4096",
             below(chance, 8) ? "on" : "off");
    return text;
}

static size_t random_size(random_source_t *chance) {
    switch (below(chance, 12)) {
    case 0:
        return 0;
    case 1:
        return 1 + below(chance, 8);
    case 2:
        return 3900 + below(chance, 300);
    case 3:
        return below(chance, 40000);
    default:
        return below(chance, 500);
    }
}

/* An index around the places where something happens. */
static uint64_t random_index(random_source_t *chance, const model_t *model) {
    uint64_t first = model->first ? model->first : 1, next = model->next ? model->next : 1;
    switch (below(chance, 8)) {
    case 0:
        return first + below(chance, 3) - (first > 2 ? 1 : 0);
    case 1:
        return next + below(chance, 3) - 1;
    case 2:
        return next > 3 ? next - below(chance, 3) : 1;
    default:
        return first + below(chance, next - first + 1);
    }
}

static void random_append(walrus_t *log, model_t *model, random_source_t *chance) {
    static const uint32_t flags[] = {0, 0, 0, 0, WALRUS_TO_OS, WALRUS_BUFFERED, WALRUS_DURABLE};
    size_t count = below(chance, 4) ? 1 : below(chance, 12);
    walrus_record_t records[12];
    memset(records, 0, sizeof records);
    uint64_t next = model->next ? model->next : 1, first = 0;
    uint64_t term = model_last_term(model);
    if (count == 1 && below(chance, 2)) {
        append_both(log, model, random_size(chance));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t seed = ++seeds;
        size_t size = random_size(chance);
        if (below(chance, 10) == 0)
            term = below(chance, 5);
        int64_t stamp = below(chance, 10) ? 0 : (int64_t)next_random(chance);
        records[i] = (walrus_record_t){.data = payload(size, seed),
                                       .size = size,
                                       .term = term,
                                       .timestamp_ns = stamp,
                                       .index = below(chance, 3) ? 0 : next + i};
        model_append(model, 0, size, seed, term, stamp);
    }
    uint32_t flag = flags[below(chance, 7)];
    if (count == 1 && below(chance, 2))
        CHECK_OK(walrus_append_record(log, &records[0], flag, &first));
    else
        CHECK_OK(walrus_append_batch(log, records, count, flag, &first));
    CHECK_U64(next, first);
    if (flag == WALRUS_DURABLE && count != 0)
        CHECK_U64(model->next - 1, walrus_durable_index(log));
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)records[i].data);
}

static void random_read(walrus_t *log, model_t *model, random_source_t *chance) {
    uint64_t index = random_index(chance, model), first = model->first ? model->first : 1;
    uint64_t next = model->next ? model->next : 1;
    walrus_entry_t entry;
    int32_t expected = index == 0 || index >= next ? WALRUS_E_NOT_FOUND
                       : index < first             ? WALRUS_E_COMPACTED
                                                   : WALRUS_OK;
    CHECK_CODE(expected, walrus_get(log, index, &entry));
    if (expected != WALRUS_OK)
        return;
    model_check_one(model, &entry, index);
    walrus_entry_release(&entry);
    unsigned char *buffer = malloc(40001);
    size_t size = 0;
    CHECK_OK(walrus_read(log, index, buffer, 40001, &size));
    CHECK(size == model->entries[index - first].size && is_payload(buffer, size, model->entries[index - first].seed));
    free(buffer);
}

/* Catches: what nobody thought of. */
CASE(random_operations_agree_with_the_model) {
    enum { OPERATIONS = 4000 };
    uint64_t seed = run_seed();
    random_source_t chance = {seed};
    const char *dir = in_memory("log"), *crashed = in_memory("crashed");
    model_t model = {0};
    walrus_t *log = open_log(dir, random_settings(&chance));
    for (int i = 0; i < OPERATIONS; i++) {
        uint64_t what = below(&chance, 1000);
        CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", operation %d, kind %" PRIu64, seed, i, what);
        if (what < 600)
            random_append(log, &model, &chance);
        else if (what < 900)
            random_read(log, &model, &chance);
        else if (what < 920)
            CHECK_OK(walrus_sync(log));
        else if (what < 940)
            cut_both(log, &model, BACK, random_index(&chance, &model));
        else if (what < 960)
            cut_both(log, &model, FRONT, random_index(&chance, &model));
        else if (what < 963)
            cut_both(log, &model, RESET, 1 + below(&chance, 100000));
        else if (what < 985) {
            const char *text = random_settings(&chance);
            CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", operation %d, reopen with %s", seed, i, text);
            log = reopen(log, dir, text, &model);
        } else if (what < 990) { /* a crash that loses nothing, since all was synced */
            CHECK_OK(walrus_sync(log));
            copy_directory(dir, crashed);
            walrus_t *copy = open_log(crashed, random_settings(&chance));
            model_check(&model, copy);
            CHECK_OK(walrus_close(copy));
        } else
            model_check(&model, log);
        /* The log may not grow for ever, nor may this case's time. */
        if (model_count(&model) > 1500)
            cut_both(log, &model, FRONT, model.next - 300);
    }
    model_check(&model, log);
    log = reopen(log, dir, "", &model);
    CHECK_OK(walrus_close(log));
    model_free(&model);
}

/* Catches: space that is counted without the control frames which changing times bring along: the segment then outgrows
 * its mapping, and what lies behind that cannot be read until the log is opened again. */
CASE(batches_whose_times_jump_find_their_space_and_are_read_at_once) {
    const int64_t far = (INT64_C(1) << 39) / 10 * 9;
    for (int kind = 0; kind < 2; kind++) {
        const char *dir = at("log%d", kind);
        walrus_t *log = open_log(dir, "segment_size=8KiB preallocate=false");
        walrus_record_t first = {.data = "first", .size = 5, .timestamp_ns = 1};
        CHECK_OK(walrus_append_record(log, &first, 0, NULL));
        enum { COUNT = 400 };
        walrus_record_t records[COUNT];
        memset(records, 0, sizeof records);
        unsigned char *bytes = payload(200, 7);
        for (int i = 0; i < COUNT; i++) {
            records[i].data = bytes;
            records[i].size = kind == 0 ? 200 : 0;
            /* Far apart, both within reach of the run before; or given ones and stamps in turn. */
            records[i].timestamp_ns = kind == 0 ? 1 + (i % 2 ? far : -far) : i % 2;
        }
        uint64_t index = 0;
        CHECK_OK(walrus_append_batch(log, records, COUNT, 0, &index));
        for (int round = 0; round < 2; round++) {
            for (uint64_t i = 0; i < COUNT; i++) {
                walrus_entry_t entry;
                CHECK_NOTE("kind %d, round %d, entry %" PRIu64, kind, round, index + i);
                CHECK_OK(walrus_get(log, index + i, &entry));
                CHECK_U64(records[i].size, entry.size);
                if (records[i].timestamp_ns != 0)
                    CHECK(entry.timestamp_ns == records[i].timestamp_ns);
                walrus_entry_release(&entry);
            }
            CHECK_OK(walrus_close(log));
            log = open_log(dir, "");
        }
        CHECK_OK(walrus_close(log));
        free(bytes);
    }
}
