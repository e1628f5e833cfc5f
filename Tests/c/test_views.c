/* test_views.c - an entry that walrus_get lent stays as it is until it is released
 *
 * Whatever happens to the log meanwhile: truncated at either end, reset, shut down, closed, destroyed.
 */
#include "support.h"

#include <pthread.h>

enum { COUNT = 100, SIZE = 1000 };
#define SETTINGS "sync=os segment_size=16KiB cached_segments=1"

typedef struct held {
    walrus_t *log;
    walrus_entry_t entries[COUNT + 1]; /* [index] */
} held_t;

/* A log whose entries are all lent: some from the files, the last ones perhaps from the buffer. */
static held_t *hold_all(const char *dir, const char *text) {
    held_t *held = calloc(1, sizeof *held);
    held->log = open_log(dir, text);
    for (uint64_t i = 1; i <= COUNT; i++)
        append_payload(held->log, SIZE, i);
    for (uint64_t i = 1; i <= COUNT; i++)
        CHECK_OK(walrus_get(held->log, i, &held->entries[i]));
    return held;
}

static void check_held(const held_t *held) {
    for (uint64_t i = 1; i <= COUNT; i++) {
        const walrus_entry_t *entry = &held->entries[i];
        CHECK_NOTE("entry %" PRIu64, i);
        CHECK(entry->index == i && entry->size == SIZE && is_payload(entry->data, SIZE, i));
        CHECK_U64(walrus_crc32(entry->data, entry->size), entry->checksum);
    }
}

static void release_all(held_t *held, bool backwards) {
    for (uint64_t i = 1; i <= COUNT; i++)
        walrus_entry_release(&held->entries[backwards ? COUNT + 1 - i : i]);
    free(held);
}

static const char *const texts[] = {SETTINGS, "sync=none segment_size=16KiB",
                                    "sync=os segment_size=16KiB zero_copy=off", "sync=none buffer_size=1MiB"};
enum { TEXTS = sizeof texts / sizeof texts[0] };

/* Catches: a segment that is unmapped, or whose file is shortened, although somebody looks at it. */
CASE(views_outlive_a_truncation_at_the_back) {
    for (int i = 0; i < TEXTS; i++) {
        held_t *held = hold_all(at("log%d", i), texts[i]);
        for (uint64_t keep = COUNT - 1; keep > 0; keep -= keep > 10 ? 11 : 1) {
            CHECK_OK(walrus_truncate(held->log, keep));
            CHECK_U64(keep + 1, append_payload(held->log, SIZE, 1000 + keep)); /* other bytes in the same place */
        }
        CHECK_OK(walrus_truncate(held->log, 0));
        for (uint64_t n = 0; n < COUNT; n++)
            append_payload(held->log, SIZE, 5000 + n);
        check_held(held);
        CHECK_OK(walrus_close(held->log));
        check_held(held);
        release_all(held, false);
    }
}

/* Catches: a file that is recycled under a view. */
CASE(views_outlive_a_truncation_at_the_front) {
    for (int i = 0; i < TEXTS; i++) {
        held_t *held = hold_all(at("log%d", i), texts[i]);
        for (uint64_t first = 10; first <= COUNT + 1; first += 13)
            CHECK_OK(walrus_truncate_front(held->log, first));
        CHECK_OK(walrus_truncate_front(held->log, COUNT + 1));
        for (uint64_t n = 0; n < COUNT; n++)
            append_payload(held->log, SIZE, 5000 + n);
        check_held(held);
        usleep(50000); /* files are removed in the background */
        check_held(held);
        CHECK_OK(walrus_close(held->log));
        release_all(held, true);
    }
}

/* Catches: a reset that frees what is lent. */
CASE(views_outlive_a_reset) {
    for (int i = 0; i < TEXTS; i++) {
        held_t *held = hold_all(at("log%d", i), texts[i]);
        CHECK_OK(walrus_reset(held->log, 1));
        for (uint64_t n = 1; n <= COUNT; n++)
            CHECK_U64(n, append_payload(held->log, SIZE, 5000 + n));
        check_held(held);
        for (uint64_t n = 1; n <= COUNT; n++)
            check_entry(held->log, n, SIZE, 5000 + n);
        walrus_t *log = held->log;
        release_all(held, false);
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: views that die with the handle. */
CASE(views_outlive_shutdown_close_and_destroy) {
    for (int i = 0; i < TEXTS; i++) {
        held_t *held = hold_all(at("log%d", i), texts[i]);
        if (i % 2 == 0) {
            CHECK_OK(walrus_shutdown(held->log));
            check_held(held);
        }
        CHECK_OK(walrus_close(held->log));
        check_held(held);
        CHECK_OK(walrus_destroy(at("log%d", i)));
        check_held(held);
        walrus_t *log = open_log(at("log%d", i), texts[i]);
        append_payload(log, SIZE, 1);
        check_held(held);
        CHECK_OK(walrus_close(log));
        release_all(held, i % 2 == 0);
    }
}

/* Catches: a view into the write buffer, which the next entries overwrite. */
CASE(views_of_buffered_entries_do_not_change_when_the_buffer_is_used_again) {
    walrus_t *log = open_log(at("log"), "sync=none buffer_size=4KiB segment_size=16KiB");
    enum { HELD = 2000 };
    walrus_entry_t *entries = calloc(HELD + 1, sizeof *entries);
    for (uint64_t i = 1; i <= HELD; i++) {
        append_payload(log, 100, i);
        CHECK_OK(walrus_get(log, i, &entries[i]));
    }
    CHECK_OK(walrus_sync(log));
    for (uint64_t i = 1; i <= HELD; i++)
        CHECK(is_payload(entries[i].data, 100, i));
    CHECK_OK(walrus_close(log));
    for (uint64_t i = 1; i <= HELD; i++) {
        CHECK(is_payload(entries[i].data, 100, i));
        walrus_entry_release(&entries[i]);
    }
    free(entries);
}

/* Catches: a table of views with a fixed size, and a mapping for each of them. */
CASE(many_thousand_views_at_once_are_no_more_than_their_segments) {
    holdings_t before = count_holdings();
    enum { VIEWS = 20000 };
    walrus_t *log = open_log(at("log"), SETTINGS);
    for (uint64_t i = 1; i <= 1000; i++)
        append_payload(log, 300, i);
    walrus_entry_t *entries = calloc(VIEWS, sizeof *entries);
    for (uint64_t i = 0; i < VIEWS; i++)
        CHECK_OK(walrus_get(log, 1 + i * 7 % 1000, &entries[i]));
    /* A segment that was the tail when a view was taken, and was sealed since, may be mapped twice. */
    CHECK(count_mappings(".wal") <= 2 * count_segments(at("log")) + 4);
    CHECK_OK(walrus_truncate_front(log, 900));
    CHECK_OK(walrus_truncate(log, 950));
    CHECK_OK(walrus_close(log));
    for (uint64_t i = 0; i < VIEWS; i++) {
        CHECK(is_payload(entries[i].data, 300, 1 + i * 7 % 1000));
        walrus_entry_release(&entries[i]);
    }
    free(entries);
    CHECK_HOLDINGS(before);
}

/* Catches: a leak of one mapping or one descriptor for each entry that is never released, which harms the others. */
CASE(an_entry_that_is_never_released_keeps_its_segment_and_nothing_else) {
    walrus_t *log = open_log(at("log"), SETTINGS);
    for (uint64_t i = 1; i <= 200; i++)
        append_payload(log, SIZE, i);
    walrus_entry_t forgotten;
    for (int round = 0; round < 1000; round++)
        CHECK_OK(walrus_get(log, 3, &forgotten));
    for (uint64_t i = 1; i <= 200; i++)
        check_entry(log, i, SIZE, i);
    CHECK_OK(walrus_sync(log)); /* full segments stay open until they are synced */
    CHECK(count_mappings(".wal") <= 6);
    CHECK_OK(walrus_close(log));
    CHECK(count_mappings(".wal") <= 1);
    CHECK(is_payload(forgotten.data, SIZE, 3));
}

static void *release_in_a_thread(void *entries) {
    walrus_entries_release(entries, COUNT + 1);
    return NULL;
}

/* Catches: a release that only the thread or the handle that lent the entry may do. */
CASE(another_thread_may_release_views_after_close) {
    holdings_t before = count_holdings();
    held_t *held = hold_all(at("log"), SETTINGS);
    CHECK_OK(walrus_close(held->log));
    check_held(held);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, release_in_a_thread, held->entries) == 0);
    pthread_join(thread, NULL);
    CHECK(is_zeroed(held->entries, sizeof held->entries));
    free(held);
    CHECK_HOLDINGS(before);
}

/* Catches: a release in a forked child that takes a lock which a thread of the parent held. */
CASE(a_forked_child_may_read_and_release_the_views_it_inherited) {
    held_t *held = hold_all(at("log"), SETTINGS);
    pid_t child = start();
    if (child == 0) {
        alarm(20);
        check_held(held);
        walrus_close(held->log);
        check_held(held);
        release_all(held, false);
        _exit(0);
    }
    CHECK_U64(0, await(child));
    check_held(held);
    CHECK_OK(walrus_close(held->log));
    release_all(held, true);
}
