/* test_cursors.c - cursors in the process that writes: order, bounds, truncation beneath them, waiting, and their end */
#include "support.h"

#include <pthread.h>

static walrus_cursor_t *open_cursor(walrus_t *log, uint64_t index, uint32_t flags) {
    walrus_cursor_t *cursor = NULL;
    CHECK_OK(walrus_cursor_open(log, index, flags, &cursor));
    CHECK(cursor != NULL);
    return cursor;
}

static void check_next(walrus_cursor_t *cursor, uint64_t index, uint64_t seed) {
    walrus_entry_t entry;
    memset(&entry, 0xA5, sizeof entry);
    CHECK_OK(walrus_cursor_next(cursor, &entry));
    CHECK_U64(index, entry.index);
    CHECK(is_payload(entry.data, entry.size, seed));
    CHECK_U64(index + 1, walrus_cursor_position(cursor));
    walrus_entry_release(&entry);
}

static void check_prev(walrus_cursor_t *cursor, uint64_t index, uint64_t seed) {
    walrus_entry_t entry;
    memset(&entry, 0xA5, sizeof entry);
    CHECK_OK(walrus_cursor_prev(cursor, &entry));
    CHECK_U64(index, entry.index);
    CHECK(is_payload(entry.data, entry.size, seed));
    CHECK_U64(index, walrus_cursor_position(cursor));
    walrus_entry_release(&entry);
}

static void check_refused(int32_t code, walrus_cursor_t *cursor, bool forward) {
    walrus_entry_t entry;
    memset(&entry, 0xA5, sizeof entry);
    uint64_t position = walrus_cursor_position(cursor);
    CHECK_CODE(code, forward ? walrus_cursor_next(cursor, &entry) : walrus_cursor_prev(cursor, &entry));
    CHECK(is_zeroed(&entry, sizeof entry));
    CHECK_U64(position, walrus_cursor_position(cursor));
}

static void append_some(walrus_t *log, uint64_t first, uint64_t last, uint64_t round) {
    for (uint64_t i = first; i <= last; i++)
        CHECK_U64(i, append_payload(log, 20 + i % 50, i * 1000 + round));
}

CASE(a_cursor_reads_every_entry_once_in_both_directions_across_segments) {
    walrus_t *log = open_log(in_memory("log"), "segment_size=4KiB buffer_size=4KiB sync=none");
    append_some(log, 1, 400, 0);
    walrus_cursor_t *cursor = open_cursor(log, 0, 0);
    CHECK_U64(1, walrus_cursor_position(cursor));
    for (uint64_t i = 1; i <= 400; i++)
        check_next(cursor, i, i * 1000);
    check_refused(WALRUS_E_CAUGHT_UP, cursor, true);
    append_some(log, 401, 401, 0);
    check_next(cursor, 401, 401000);
    for (uint64_t i = 401; i >= 1; i--)
        check_prev(cursor, i, i * 1000);
    check_refused(WALRUS_E_NOT_FOUND, cursor, false);
    walrus_cursor_close(cursor);
    CHECK_OK(walrus_close(log));
}

CASE(places_that_do_not_exist_are_refused_and_seeking_there_moves_nothing) {
    walrus_t *log = open_log(in_memory("log"), "sync=none");
    walrus_cursor_t *cursor = open_cursor(log, 0, 0), *other = (walrus_cursor_t *)1;
    check_refused(WALRUS_E_CAUGHT_UP, cursor, true);
    check_refused(WALRUS_E_NOT_FOUND, cursor, false);
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_cursor_open(log, 2, 0, &other));
    CHECK_CODE(WALRUS_E_INVALID, walrus_cursor_open(log, 1, 2, &other));
    CHECK_CODE(WALRUS_E_INVALID, walrus_cursor_open(log, 1, 0, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_cursor_open(NULL, 1, 0, &other));
    CHECK(other == (walrus_cursor_t *)1);
    append_some(log, 1, 20, 0);
    CHECK_OK(walrus_truncate_front(log, 5));
    check_refused(WALRUS_E_COMPACTED, cursor, true);
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_cursor_open(log, 4, 0, &other));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_cursor_open(log, 22, 0, &other));
    CHECK_OK(walrus_cursor_seek(cursor, 0));
    CHECK_U64(5, walrus_cursor_position(cursor));
    check_refused(WALRUS_E_COMPACTED, cursor, false);
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_cursor_seek(cursor, 4));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_cursor_seek(cursor, 22));
    CHECK_U64(5, walrus_cursor_position(cursor));
    CHECK_OK(walrus_cursor_seek(cursor, 21));
    check_refused(WALRUS_E_CAUGHT_UP, cursor, true);
    check_prev(cursor, 20, 20000);
    walrus_cursor_close(cursor);
    CHECK_CODE(WALRUS_E_INVALID, walrus_cursor_seek(NULL, 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_cursor_wait(NULL, 0));
    CHECK_CODE(WALRUS_E_INVALID, walrus_cursor_next(NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_cursor_prev(NULL, NULL));
    CHECK_U64(0, walrus_cursor_position(NULL));
    walrus_cursor_close(NULL);
    CHECK_OK(walrus_close(log));
}

CASE(a_truncation_moves_the_cursors_above_it_and_no_others) {
    walrus_t *log = open_log(in_memory("log"), "segment_size=4KiB buffer_size=4KiB sync=none");
    append_some(log, 1, 300, 0);
    walrus_cursor_t *low = open_cursor(log, 10, 0), *at = open_cursor(log, 101, 0), *high = open_cursor(log, 301, 0);
    CHECK_OK(walrus_truncate(log, 100));
    CHECK_U64(10, walrus_cursor_position(low));
    CHECK_U64(101, walrus_cursor_position(at));
    CHECK_U64(101, walrus_cursor_position(high));
    append_some(log, 101, 310, 1);
    check_next(at, 101, 101001);
    check_next(high, 101, 101001);
    check_next(low, 10, 10000);
    /* A second cut before anybody looked: the lower one counts. */
    CHECK_OK(walrus_cursor_seek(high, 311));
    CHECK_OK(walrus_truncate(log, 50));
    append_some(log, 51, 400, 2);
    CHECK_OK(walrus_truncate(log, 390));
    check_next(high, 51, 51002);
    check_next(at, 51, 51002);
    check_next(low, 11, 11000);
    /* Emptied from behind: everybody is at its first index. */
    CHECK_OK(walrus_truncate(log, 0));
    append_some(log, 1, 3, 3);
    check_next(low, 1, 1003);
    check_next(high, 1, 1003);
    /* Emptied from the front: what a cursor stands at is compacted. */
    CHECK_OK(walrus_truncate_front(log, 4));
    check_refused(WALRUS_E_COMPACTED, low, true);
    /* Reset, to higher and to lower indexes: everybody goes along. */
    CHECK_OK(walrus_reset(log, 1000));
    CHECK_U64(1000, walrus_cursor_position(low));
    CHECK_U64(1000, walrus_cursor_position(at));
    append_some(log, 1000, 1003, 4);
    check_next(low, 1000, 1000004);
    CHECK_OK(walrus_reset(log, 7));
    append_some(log, 7, 9, 5);
    CHECK_OK(walrus_truncate(log, 8));
    check_next(low, 7, 7005);
    check_next(low, 8, 8005);
    check_refused(WALRUS_E_CAUGHT_UP, low, true);
    walrus_cursor_close(at);
    walrus_cursor_close(low);
    walrus_cursor_close(high);
    CHECK_OK(walrus_close(log));
}

CASE(a_cursor_at_the_beginning_of_a_new_log_finds_the_first_entry_wherever_it_is) {
    walrus_t *log = open_log(in_memory("log"), "sync=none");
    walrus_cursor_t *cursor = open_cursor(log, 0, 0);
    walrus_record_t record = {.data = "x", .size = 1, .index = 500};
    CHECK_OK(walrus_append_record(log, &record, 0, NULL));
    walrus_entry_t entry;
    CHECK_OK(walrus_cursor_next(cursor, &entry));
    CHECK_U64(500, entry.index);
    walrus_entry_release(&entry);
    CHECK_OK(walrus_cursor_seek(cursor, 500));
    check_refused(WALRUS_E_NOT_FOUND, cursor, false);
    walrus_cursor_close(cursor);
    CHECK_OK(walrus_close(log));
}

CASE(a_durable_only_cursor_stops_at_the_durable_index) {
    walrus_t *log = open_log(at("log"), "sync=os");
    append_some(log, 1, 10, 0);
    walrus_cursor_t *cursor = open_cursor(log, 0, WALRUS_DURABLE_ONLY);
    check_refused(WALRUS_E_CAUGHT_UP, cursor, true);
    CHECK_CODE(WALRUS_E_TIMEOUT, walrus_cursor_wait(cursor, 0));
    CHECK_CODE(WALRUS_E_TIMEOUT, walrus_cursor_wait(cursor, 20));
    CHECK_OK(walrus_sync(log));
    CHECK_OK(walrus_cursor_wait(cursor, 0));
    for (uint64_t i = 1; i <= 10; i++)
        check_next(cursor, i, i * 1000);
    append_some(log, 11, 12, 0);
    check_refused(WALRUS_E_CAUGHT_UP, cursor, true);
    CHECK_OK(walrus_truncate(log, 5)); /* syncs what it keeps */
    append_some(log, 6, 8, 1);
    CHECK_U64(6, walrus_cursor_position(cursor));
    check_refused(WALRUS_E_CAUGHT_UP, cursor, true);
    CHECK_OK(walrus_truncate_front(log, 8));
    check_refused(WALRUS_E_COMPACTED, cursor, true);
    CHECK_OK(walrus_cursor_wait(cursor, 0)); /* COMPACTED is something else to say */
    walrus_cursor_close(cursor);
    CHECK_OK(walrus_close(log));
}

CASE(cursors_outlive_their_log_in_any_order) {
    holdings_t before = count_holdings();
    walrus_t *log = open_log(at("log"), "");
    append_some(log, 1, 5, 0);
    walrus_cursor_t *cursors[3];
    for (int i = 0; i < 3; i++)
        cursors[i] = open_cursor(log, 1, i == 1 ? WALRUS_DURABLE_ONLY : 0);
    walrus_entry_t entry;
    CHECK_OK(walrus_cursor_next(cursors[0], &entry));
    CHECK_OK(walrus_shutdown(log));
    check_refused(WALRUS_E_CLOSED, cursors[1], true);
    check_refused(WALRUS_E_CLOSED, cursors[1], false);
    walrus_cursor_close(cursors[1]);
    CHECK_OK(walrus_close(log));
    CHECK(is_payload(entry.data, entry.size, 1000));
    walrus_entry_release(&entry);
    /* The log is closed for good, whatever the cursors still hold: it can be opened again, and no descriptor is left. */
    CHECK_HOLDINGS(before);
    log = open_log(at("log"), "");
    CHECK_U64(5, walrus_last_index(log));
    check_refused(WALRUS_E_CLOSED, cursors[0], true);
    CHECK_CODE(WALRUS_E_CLOSED, walrus_cursor_seek(cursors[0], 1));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_cursor_wait(cursors[0], 0));
    CHECK_U64(2, walrus_cursor_position(cursors[0]));
    walrus_cursor_close(cursors[0]);
    CHECK_OK(walrus_close(log));
    walrus_cursor_close(cursors[2]);
    CHECK_HOLDINGS(before);
}

CASE(a_forked_child_may_close_what_it_inherited) {
    walrus_t *log = open_log(at("log"), "");
    append_some(log, 1, 3, 0);
    walrus_cursor_t *cursor = open_cursor(log, 1, 0), *second = open_cursor(log, 2, 0);
    pid_t child = start();
    if (child == 0) {
        check_refused(WALRUS_E_FORKED, cursor, true);
        CHECK_CODE(WALRUS_E_FORKED, walrus_cursor_wait(cursor, -1));
        walrus_cursor_close(second);
        CHECK_OK(walrus_close(log));
        walrus_cursor_close(cursor);
        _exit(0);
    }
    CHECK_U64(0, (uint64_t)await(child));
    check_next(cursor, 1, 1000);
    walrus_cursor_close(cursor);
    walrus_cursor_close(second);
    CHECK_OK(walrus_close(log));
}

/* ---- Waiting -------------------------------------------------------------------------------- */

typedef struct waiter {
    walrus_t *log;
    walrus_cursor_t *cursor;
    int64_t timeout;
    int32_t result;
    _Atomic bool is_done;
} waiter_t;

static void *wait_once(void *ctx) {
    waiter_t *waiter = ctx;
    waiter->result = walrus_cursor_wait(waiter->cursor, waiter->timeout);
    waiter->is_done = true;
    return NULL;
}

static pthread_t start_waiting(waiter_t *waiter) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_once, waiter) == 0);
    usleep(20000);
    CHECK(!waiter->is_done);
    return thread;
}

CASE(every_reason_to_wake_a_waiting_cursor_wakes_it) {
    static const char *const reasons[] = {"append", "interrupt", "shutdown", "compacted", "reset", "timeout"};
    for (int durable = 0; durable < 2; durable++)
        for (int i = 0; i < 6; i++) {
            CHECK_NOTE("%s, durable_only %d", reasons[i], durable);
            walrus_t *log = open_log(at("log%d%d", durable, i), "");
            append_some(log, 1, 3, 0);
            walrus_cursor_t *cursor = open_cursor(log, 4, durable ? WALRUS_DURABLE_ONLY : 0);
            waiter_t waiter = {log, cursor, i == 5 ? 60 : -1, 1, false};
            int32_t expected = WALRUS_OK;
            pthread_t thread = start_waiting(&waiter);
            switch (i) {
            case 0: append_some(log, 4, 4, 0); break;
            case 1:
                CHECK_OK(walrus_interrupt(log));
                expected = WALRUS_E_CANCELED;
                break;
            case 2:
                CHECK_OK(walrus_shutdown(log));
                expected = WALRUS_E_CLOSED;
                break;
            case 3:
                append_some(log, 4, 9, 0);
                CHECK_OK(walrus_truncate_front(log, 8));
                break;
            case 4:
                CHECK_OK(walrus_reset(log, 100));
                append_some(log, 100, 100, 0);
                break;
            default: expected = WALRUS_E_TIMEOUT;
            }
            pthread_join(thread, NULL);
            CHECK_CODE(expected, waiter.result);
            walrus_cursor_close(cursor);
            (void)walrus_close(log);
        }
}

/* An interrupt ends the waits that began before it, and no later ones. */
CASE(an_interrupt_is_not_remembered) {
    walrus_t *log = open_log(at("log"), "");
    walrus_cursor_t *cursor = open_cursor(log, 0, 0);
    CHECK_OK(walrus_interrupt(log));
    CHECK_CODE(WALRUS_E_TIMEOUT, walrus_cursor_wait(cursor, 30));
    walrus_cursor_close(cursor);
    CHECK_OK(walrus_close(log));
}

typedef struct pair {
    walrus_t *log;
    uint64_t count;
    _Atomic uint64_t seen;
} pair_t;

static void *follow(void *ctx) {
    pair_t *pair = ctx;
    walrus_cursor_t *cursor = open_cursor(pair->log, 0, 0);
    for (uint64_t i = 1; i <= pair->count;) {
        walrus_entry_t entry;
        int32_t result = walrus_cursor_next(cursor, &entry);
        if (result == WALRUS_E_CAUGHT_UP) {
            CHECK_OK(walrus_cursor_wait(cursor, 20000));
            continue;
        }
        CHECK_OK(result);
        CHECK_U64(i, entry.index);
        walrus_entry_release(&entry);
        pair->seen = i++;
    }
    walrus_cursor_close(cursor);
    return NULL;
}

/* Catches the wake-up that gets lost between a look and a sleep: the writer waits for the reader each time, so a lost one ends in a
 * timeout of 20 seconds. */
CASE(no_wake_up_is_lost_between_a_look_and_a_sleep) {
    pair_t pair = {open_log(in_memory("log"), "sync=none"), 20000, 0};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, follow, &pair) == 0);
    random_source_t random = {7};
    for (uint64_t i = 1; i <= pair.count; i++) {
        append_payload(pair.log, 8, i);
        if (below(&random, 4) != 0)
            while (pair.seen < i)
                if (below(&random, 50) == 0)
                    sched_yield();
    }
    pthread_join(thread, NULL);
    CHECK_U64(pair.count, pair.seen);
    CHECK_OK(walrus_close(pair.log));
}

typedef struct course {
    walrus_t *log;
    _Atomic bool is_over;
} course_t;

/* Keeps a copy of the log from what a cursor says, and nothing else. */
static void *copy(void *ctx) {
    course_t *course = ctx;
    walrus_cursor_t *cursor = open_cursor(course->log, 0, 0);
    static uint64_t rounds[4096];
    uint64_t count = 0;
    while (true) {
        bool was_over = course->is_over;
        walrus_entry_t entry;
        int32_t result = walrus_cursor_next(cursor, &entry);
        if (result == WALRUS_E_CAUGHT_UP) {
            count = walrus_cursor_position(cursor) - 1; /* it went back if entries at the end were dropped */
            if (was_over)
                break;
            continue;
        }
        CHECK_OK(result);
        CHECK(entry.index >= 1 && entry.index <= count + 1);
        uint64_t round;
        memcpy(&round, entry.data, 8);
        rounds[entry.index] = round;
        count = entry.index;
        walrus_entry_release(&entry);
    }
    CHECK_U64(walrus_last_index(course->log), count);
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t round;
        CHECK_OK(walrus_read(course->log, i, &round, 8, NULL));
        CHECK_U64(round, rounds[i]);
    }
    walrus_cursor_close(cursor);
    return NULL;
}

/* Catches a cursor that steps over the first entry of a new suffix because the cut came between its look and its step. */
CASE(a_copy_kept_by_a_cursor_equals_the_log_whatever_is_truncated_meanwhile) {
    random_source_t random = {run_seed()};
    course_t course = {.log = open_log(in_memory("log"), "sync=none segment_size=64KiB")};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, copy, &course) == 0);
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    uint64_t round = 0;
    do {
        for (uint64_t n = 1 + below(&random, 4); n > 0 && walrus_next_index(course.log) < 4000; n--, round++)
            CHECK_OK(walrus_append(course.log, &round, 8, NULL));
        uint64_t last = walrus_last_index(course.log);
        if (last > 2)
            CHECK_OK(walrus_truncate(course.log, last - 1 - below(&random, last > 3 ? 2 : 1)));
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - began.tv_sec < 3);
    course.is_over = true;
    pthread_join(thread, NULL);
    CHECK_OK(walrus_close(course.log));
}
