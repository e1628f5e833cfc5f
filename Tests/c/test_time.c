/* test_time.c - entries by time and by term: walrus_seek_time, walrus_last_index_of_term
 *
 * A log lives through everything that can happen to it, with times and terms that rise, stand still and fall, and after
 * each step both searches are held against a walk over all entries.
 */
#include "support.h"

/* ---- What the searches must answer ---------------------------------------------------------- */

typedef struct history {
    model_t model;
    int64_t highest_before; /* of the entries that were dropped at the front since the log was last empty */
    uint64_t operation;
} history_t;

static uint64_t expected_of_time(const history_t *history, int64_t time) {
    int64_t highest = history->highest_before;
    for (uint64_t index = history->model.first; index < history->model.next; index++) {
        int64_t own = history->model.entries[index - history->model.first].timestamp_ns;
        highest = own > highest ? own : highest;
        if (highest >= time)
            return index;
    }
    return 0;
}

static uint64_t expected_of_term(const history_t *history, uint64_t term) {
    for (uint64_t index = history->model.next; index > history->model.first; index--)
        if (history->model.entries[index - 1 - history->model.first].term == term)
            return index - 1;
    return 0;
}

static void check_time(const history_t *history, walrus_t *log, int64_t time) {
    uint64_t expected = expected_of_time(history, time), found = 0;
    int32_t code = walrus_seek_time(log, time, &found);
    if (code != (expected ? WALRUS_OK : WALRUS_E_NOT_FOUND) || found != expected)
        FAIL("after operation %" PRIu64 ": time %" PRId64 " is at %" PRIu64 ", and the log said %" PRIu64 " (%d)",
             history->operation, time, expected, found, code);
}

static void check_term(const history_t *history, walrus_t *log, uint64_t term) {
    uint64_t expected = expected_of_term(history, term), found = 0;
    int32_t code = walrus_last_index_of_term(log, term, &found);
    if (code != (expected ? WALRUS_OK : WALRUS_E_NOT_FOUND) || found != expected)
        FAIL("after operation %" PRIu64 ": term %" PRIu64 " is last at %" PRIu64 ", and the log said %" PRIu64 " (%d)",
             history->operation, term, expected, found, code);
}

static void check_searches(const history_t *history, walrus_t *log, random_source_t *chance, size_t tries) {
    size_t count = model_count(&history->model);
    CHECK_U64(history->model.next, walrus_next_index(log));
    for (size_t i = 0; i < tries; i++) {
        int64_t time = (int64_t)below(chance, 4000) - 200;
        if (count > 0 && below(chance, 2) == 0)
            time = history->model.entries[below(chance, count)].timestamp_ns + (int64_t)below(chance, 3) - 1;
        check_time(history, log, time);
        check_term(history, log, below(chance, 60));
        if (count > 0)
            check_term(history, log, history->model.entries[below(chance, count)].term);
    }
    check_time(history, log, INT64_MIN);
    check_time(history, log, INT64_MAX);
}

/* ---- What happens to the log ---------------------------------------------------------------- */

/* Records with times and terms that mostly grow with the history. */
static size_t make_records(history_t *history, random_source_t *chance, walrus_record_t *records, size_t most) {
    static const char bytes[700];
    size_t count = 1 + below(chance, most);
    for (size_t i = 0; i < count; i++) {
        int64_t now = (int64_t)history->operation * 3;
        records[i] = (walrus_record_t){.data = bytes, .size = below(chance, below(chance, 20) == 0 ? 700 : 60)};
        records[i].term = history->operation / 20 + below(chance, 2);
        if (below(chance, 15) == 0)
            records[i].term = below(chance, 50);
        records[i].timestamp_ns = now + (int64_t)below(chance, 10) + 1;
        if (below(chance, 20) == 0)
            records[i].timestamp_ns = (int64_t)below(chance, 3000) - 100;
        if (records[i].timestamp_ns == 0)
            records[i].timestamp_ns = 1;
        /* Too far from the others for the 40 bits that an entry keeps. */
        if (below(chance, 60) == 0)
            records[i].timestamp_ns -= INT64_C(1) << 41;
    }
    return count;
}

static void note_records(history_t *history, const walrus_record_t *records, size_t count) {
    for (size_t i = 0; i < count; i++)
        model_append(&history->model, 0, records[i].size, 0, records[i].term, records[i].timestamp_ns);
}

static void note_truncation(history_t *history, uint64_t index) {
    model_truncate(&history->model, index);
    if (history->model.first == history->model.next)
        history->highest_before = INT64_MIN;
}

static void note_front(history_t *history, uint64_t index) {
    for (uint64_t i = history->model.first; i < index; i++) {
        int64_t time = history->model.entries[i - history->model.first].timestamp_ns;
        if (time > history->highest_before)
            history->highest_before = time;
    }
    model_truncate_front(&history->model, index);
    if (history->model.first == history->model.next)
        history->highest_before = INT64_MIN;
}

static void do_something(history_t *history, walrus_t *log, random_source_t *chance) {
    model_t *model = &history->model;
    uint64_t count = model_count(model), what = below(chance, 100);
    walrus_record_t records[40];
    history->operation++;
    if (what < 3 && count > 0) {
        uint64_t index = model->next - 1 - below(chance, count < 60 ? count : 60);
        CHECK_OK(walrus_truncate(log, index));
        note_truncation(history, index);
    } else if (what < 6 || count > 1500) {
        uint64_t index = model->first + below(chance, count > 1500 ? count : count / 4 + 1);
        CHECK_OK(walrus_truncate_front(log, index));
        note_front(history, index);
    } else if (what == 6 && below(chance, 8) == 0) {
        uint64_t next = model->next + below(chance, 5);
        CHECK_OK(walrus_reset(log, next));
        model_reset(model, next);
        history->highest_before = INT64_MIN;
    } else if (what < 10) {
        uint64_t from = model->next - below(chance, (count < 60 ? count : 60) + 1);
        size_t made = make_records(history, chance, records, 40);
        CHECK_OK(walrus_replace_suffix(log, from, records, made, 0));
        note_truncation(history, from - 1);
        note_records(history, records, made);
    } else if (what < 14)
        CHECK_OK(walrus_rotate(log));
    else {
        size_t made = make_records(history, chance, records, what < 60 ? 40 : 2);
        CHECK_OK(walrus_append_batch(log, records, made, 0, NULL));
        note_records(history, records, made);
    }
}

static void live(const char *options, int operations) {
    const char *dir = in_memory("log"), *copy = in_memory("copy");
    uint64_t seed = run_seed();
    random_source_t chance = {seed};
    history_t history = {.model = {.first = 1, .next = 1}, .highest_before = INT64_MIN};
    CHECK_NOTE("WALRUS_SEED=%" PRIu64, seed);
    walrus_t *log = open_log(dir, options);
    for (int i = 0; i < operations; i++) {
        do_something(&history, log, &chance);
        check_searches(&history, log, &chance, 4);
        if (i % 40 == 20) {
            /* What a killed process leaves: all of it, but for what the library still had in its memory. */
            CHECK_OK(walrus_sync(log));
            copy_directory(dir, copy);
            walrus_t *other = open_log(copy, options);
            check_searches(&history, other, &chance, 20);
            do_something(&(history_t){.model = {.first = 1, .next = 1}}, other, &(random_source_t){99});
            CHECK_OK(walrus_close(other));
        }
        if (i % 50 == 30) {
            walrus_t *reader = NULL;
            CHECK_OK(walrus_sync(log));
            CHECK_OK(try_open(dir, "read_only=true create=false", &reader));
            check_searches(&history, reader, &chance, 20);
            CHECK_OK(walrus_close(reader));
        }
        if (i % 60 == 50) {
            CHECK_OK(walrus_close(log));
            log = open_log(dir, options);
            check_searches(&history, log, &chance, 20);
        }
    }
    CHECK_OK(walrus_close(log));
    model_free(&history.model);
}

/* Catches: a binary search over what may fall, a begin frame that says too much of the terms before it, a running maximum that
 * forgets or keeps what a truncation dropped, entries that are still in the write buffer. */
CASE(searches_answer_what_a_walk_over_all_entries_would) { live("sync=none segment_size=4KiB buffer_size=16KiB", 700); }
CASE(searches_answer_so_without_mappings_and_with_few_segments_open) {
    live("sync=os segment_size=4KiB buffer_size=4KiB zero_copy=off cached_segments=2", 200);
}

/* Several blocks of 1024 entries in a segment, and in the buffer. */
CASE(a_time_is_found_in_the_midst_of_a_large_segment) {
    const char *modes[] = {"sync=none segment_size=1MiB buffer_size=1MiB", "sync=os segment_size=1MiB zero_copy=off"};
    for (size_t mode = 0; mode < 2; mode++) {
        walrus_t *log = open_log(in_memory("log%zu", mode), modes[mode]);
        uint64_t found;
        for (uint64_t i = 1; i <= 40000; i++) {
            walrus_record_t record = {.term = i / 100, .timestamp_ns = (int64_t)(i % 7 == 0 ? i * 10 - 500 : i * 10)};
            CHECK_OK(walrus_append_record(log, &record, 0, NULL));
        }
        for (uint64_t i = 8; i < 40000; i += 37) {
            CHECK_OK(walrus_seek_time(log, (int64_t)i * 10 - 9, &found));
            CHECK_U64(i % 7 == 0 ? i + 1 : i, found);
        }
        /* The very times at which blocks begin and end. */
        for (uint64_t i = 1020; i < 40000; i += i % 1024 == 4 ? 1016 : 1) {
            CHECK_OK(walrus_seek_time(log, (int64_t)i * 10, &found));
            CHECK_U64(i % 7 == 0 ? i + 1 : i, found);
        }
        for (uint64_t term = 1; term < 400; term += 3) {
            CHECK_OK(walrus_last_index_of_term(log, term, &found));
            CHECK_U64(term * 100 + 99, found);
        }
        CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_last_index_of_term(log, 401, &found));
        CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_seek_time(log, 400001, &found));
        CHECK_OK(walrus_close(log));
    }
}

/* What was not told when the log was written (version 0.1 left the place empty) is no answer. */
CASE(the_golden_log_is_searched_rightly) {
    const char *dir = in_memory("golden");
    const char *names[] = {"0000000000000002.wal", "0000000000000003.wal", "0000000000000005.idx", "0000000000000005.wal",
                           "0000000000000006.idx", "0000000000000006.wal", "walrus.meta"};
    CHECK(mkdir(dir, 0755) == 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char from[PATH_MAX];
        size_t size;
        snprintf(from, sizeof from, "%.*s/../golden/v1-binary/log/%s", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__,
                 names[i]);
        unsigned char *bytes = read_file(from, &size);
        write_file(in_memory("golden/%s", names[i]), bytes, size);
        free(bytes);
    }
    walrus_t *log = open_log(dir, "create=false");
    history_t history = {.model = {.first = walrus_first_index(log), .next = walrus_first_index(log), .ever_held = true}};
    for (uint64_t index = walrus_first_index(log); index <= walrus_last_index(log); index++) {
        walrus_entry_t entry;
        CHECK_OK(walrus_get(log, index, &entry));
        model_append(&history.model, 0, entry.size, 0, entry.term, entry.timestamp_ns);
        walrus_entry_release(&entry);
    }
    size_t count = model_count(&history.model);
    CHECK(count > 10);
    for (size_t i = 0; i < count; i++)
        check_term(&history, log, history.model.entries[i].term);
    check_term(&history, log, 987654321);
    CHECK_OK(walrus_close(log));
    model_free(&history.model);
}

CASE(searches_refuse_what_they_cannot_answer) {
    walrus_t *log = open_log(in_memory("log"), "sync=none");
    uint64_t found = 77;
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_seek_time(log, INT64_MIN, &found));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_last_index_of_term(log, 0, &found));
    CHECK_CODE(WALRUS_E_INVALID, walrus_seek_time(log, 0, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_last_index_of_term(log, 0, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_seek_time(NULL, 0, &found));
    CHECK_CODE(WALRUS_E_INVALID, walrus_last_index_of_term(NULL, 0, &found));
    CHECK_OK(walrus_append(log, "x", 1, NULL));
    CHECK_OK(walrus_last_index_of_term(log, 0, &found));
    CHECK_U64(1, found);
    CHECK_OK(walrus_shutdown(log));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_seek_time(log, 0, &found));
    CHECK_OK(walrus_close(log));
}
