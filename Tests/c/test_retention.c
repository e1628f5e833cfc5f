/* test_retention.c - max_segments, retention_bytes, retention_age_ms: what goes, what never goes, and when */
#include "support.h"

typedef struct totals {
    size_t count;
    uint64_t bytes, first, base_of_tail;
} totals_t;

static int32_t add(void *ctx, const walrus_segment_info_t *segment) {
    totals_t *totals = ctx;
    if (totals->count++ == 0)
        totals->first = segment->first_index;
    totals->bytes += segment->file_bytes;
    totals->base_of_tail = segment->first_index;
    return 0;
}

static totals_t total(walrus_t *log) {
    totals_t totals = {0};
    CHECK_OK(walrus_segments(log, add, &totals));
    return totals;
}

/* The background is at work: it is given a moment to come to the state that is asked for. */
#define AWAIT(condition)                                                                                               \
    do {                                                                                                               \
        for (int patience = 0; patience < 1000 && !(condition); patience++)                                            \
            usleep(5000);                                                                                              \
        CHECK(condition);                                                                                              \
    } while (0)

static void check_entries(walrus_t *log) {
    for (uint64_t index = walrus_first_index(log); index != 0 && index <= walrus_last_index(log); index++)
        check_entry(log, index, 100, index);
}

static void append_many(walrus_t *log, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        append_payload(log, 100, walrus_next_index(log));
}

CASE(nothing_is_dropped_unless_asked) {
    walrus_t *log = open_log(at("log"), "sync=none segment_size=4KiB");
    append_many(log, 1000);
    usleep(50000);
    CHECK_U64(1, walrus_first_index(log));
    CHECK(total(log).count > 20);
    CHECK_OK(walrus_close(log));
}

CASE(the_oldest_segments_beyond_max_segments_go) {
    const char *dir = at("log"), *modes[] = {"always", "os", "none"};
    for (size_t mode = 0; mode < 3; mode++) {
        char options[100];
        snprintf(options, sizeof options, "sync=%s segment_size=4KiB max_segments=3", modes[mode]);
        walrus_t *log = open_log(dir, options);
        uint64_t next = walrus_next_index(log);
        append_many(log, 300);
        AWAIT(total(log).count == 3);
        CHECK_U64(next + 300, walrus_next_index(log));
        CHECK(walrus_first_index(log) > next && walrus_first_index(log) < next + 300);
        check_entries(log);
        walrus_entry_t entry;
        CHECK_CODE(WALRUS_E_COMPACTED, walrus_get(log, walrus_first_index(log) - 1, &entry));
        uint64_t first = walrus_first_index(log);
        CHECK_OK(walrus_sync(log));
        AWAIT(count_segments(dir) <= 5);
        copy_directory(dir, at("copy"));
        walrus_t *other = open_log(at("copy"), "");
        CHECK_U64(first, walrus_first_index(other));
        check_entries(other);
        CHECK_OK(walrus_close(other));
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: retention that waits for a rotation although the log was opened beyond its limits; a reader that writes. */
CASE(opening_drops_what_is_beyond_the_limits_but_reading_never_does) {
    const char *dir = at("log");
    walrus_t *log = open_log(dir, "sync=none segment_size=4KiB");
    append_many(log, 500);
    CHECK_OK(walrus_close(log));
    image_t *before = image_read(dir);
    log = open_log(dir, "read_only=true create=false max_segments=2 retention_bytes=1 retention_age_ms=1");
    usleep(30000);
    CHECK_U64(1, walrus_first_index(log));
    check_entries(log);
    CHECK_OK(walrus_close(log));
    CHECK_UNTOUCHED(before, dir);
    image_free(before);
    log = open_log(dir, "segment_size=4KiB max_segments=2");
    AWAIT(walrus_first_index(log) > 1 && total(log).count == 2);
    CHECK_U64(500, walrus_last_index(log));
    check_entries(log);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "");
    check_entries(log);
    CHECK_OK(walrus_close(log));
}

CASE(files_take_up_no_more_than_retention_bytes) {
    walrus_t *log = open_log(at("log"), "sync=none segment_size=8KiB retention_bytes=64KiB");
    append_many(log, 2000);
    AWAIT(total(log).bytes <= 64 << 10);
    /* No more than a segment less than would fit. */
    CHECK(total(log).bytes > (64 << 10) - 2 * 13000);
    check_entries(log);
    CHECK_U64(2000, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
    /* A limit below any segment leaves the last one. */
    log = open_log(at("log"), "sync=none segment_size=8KiB retention_bytes=1");
    AWAIT(total(log).count == 1);
    CHECK_U64(2000, walrus_last_index(log));
    check_entries(log);
    CHECK_OK(walrus_close(log));
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* One entry, aged so many seconds, in a segment of its own. */
static void append_aged(walrus_t *log, int64_t seconds) {
    unsigned char *bytes = payload(100, walrus_next_index(log));
    walrus_record_t record = {.data = bytes, .size = 100, .timestamp_ns = now_ns() - seconds * 1000000000};
    CHECK_OK(walrus_append_record(log, &record, 0, NULL));
    CHECK_OK(walrus_rotate(log));
    free(bytes);
}

CASE(segments_go_when_all_of_their_entries_are_too_old) {
    walrus_t *log = open_log(at("log"), "");
    int64_t ages[] = {5000, 4000, 2000, 3000, 100, 4000, 10};
    for (size_t i = 0; i < 7; i++)
        append_aged(log, ages[i]);
    append_many(log, 1);
    CHECK_OK(walrus_close(log));
    /* 3000 is older, but comes after 2000. */
    log = open_log(at("log"), "retention_age_ms=2500s");
    AWAIT(walrus_first_index(log) == 3);
    usleep(20000);
    CHECK_U64(3, walrus_first_index(log));
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "retention_age_ms=1000s");
    AWAIT(walrus_first_index(log) == 5);
    check_entries(log);
    CHECK_OK(walrus_close(log));
    /* Everything is older: the last segment stays. */
    usleep(20000);
    log = open_log(at("log"), "retention_age_ms=1ms");
    AWAIT(walrus_first_index(log) == 8);
    check_entries(log);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "retention_age_ms=1152921504606846976");
    append_aged(log, 1000000);
    usleep(20000);
    CHECK_U64(8, walrus_first_index(log));
    CHECK_OK(walrus_close(log));
}

/* Catches: retention that empties the log because its newest segment has no entries yet. */
CASE(the_last_segment_that_has_entries_stays) {
    walrus_t *log = open_log(at("log"), "max_segments=1");
    append_many(log, 5);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(walrus_rotate(log));
        usleep(20000);
        CHECK_U64(1, walrus_first_index(log));
    }
    check_entries(log);
    /* With its first entry the new one counts. */
    append_many(log, 1);
    AWAIT(walrus_first_index(log) == 6);
    check_entries(log);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "max_segments=1");
    CHECK_OK(walrus_rotate(log));
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "max_segments=1");
    usleep(20000);
    CHECK_U64(6, walrus_first_index(log));
    CHECK_U64(6, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
}

/* Catches: retention that races with what truncates, and readers that it surprises with anything but COMPACTED. */
CASE(retention_goes_on_beside_truncations_and_reads) {
    walrus_t *log = open_log(in_memory("log"), "sync=none segment_size=4KiB max_segments=4");
    random_source_t chance = {run_seed()};
    for (uint64_t i = 0; i < 6000; i++) {
        append_payload(log, 100, walrus_next_index(log));
        uint64_t first = walrus_first_index(log), last = walrus_last_index(log), index = 0;
        if (below(&chance, 40) == 0 && last > first) {
            int32_t code = walrus_truncate(log, last - below(&chance, 30) % (last - first));
            CHECK(code == WALRUS_OK || code == WALRUS_E_COMPACTED);
        }
        if (below(&chance, 300) == 0)
            CHECK_OK(walrus_reset(log, walrus_next_index(log) + 5));
        if (below(&chance, 50) == 0)
            CHECK_OK(walrus_rotate(log));
        int32_t code = walrus_seek_time(log, now_ns() - 1000000, &index);
        CHECK(code == WALRUS_OK || code == WALRUS_E_NOT_FOUND);
        walrus_entry_t entry;
        code = walrus_get(log, first, &entry);
        CHECK(code == WALRUS_OK || code == WALRUS_E_COMPACTED || code == WALRUS_E_NOT_FOUND);
        if (code == WALRUS_OK)
            CHECK(is_payload(entry.data, entry.size, first));
        walrus_entry_release(&entry);
        CHECK(total(log).count < 60);
    }
    check_entries(log);
    CHECK_OK(walrus_close(log));
}
