/* test_concurrency.c - every call beside every other one, on one log, until it is shut down in the middle of it all
 *
 * Each payload is appended once and says by whom and as its how many-th; who appended it publishes where it went. So any reader can
 * judge any entry alone: it belongs to this run, its bytes are whole, and it stands where its appender was told. Calls that cut
 * the log are counted before and after, so that what was acknowledged as durable may be missed exactly where a cut came
 * between. The counters are relaxed: the test must not order what the library has to order.
 */
#include "calls.h"

#include <poll.h>

enum { APPENDERS = 4, READERS = 2, CURSORS = 2, KEEPERS = 2, MOST = 60000, MOST_REST = 200 };

typedef struct stamp {
    uint64_t magic, run, thread, number;
} stamp_t;

typedef struct run run_t;

/* One append, at its number. */
typedef struct place {
    atomic_uint_fast64_t index;     /* 0: not known                                                 */
    uint64_t cuts_before;           /* cuts that had ended when it began                            */
    bool is_durable, is_async;
    int32_t status;                 /* of an asynchronous one                                       */
    atomic_int times_told;
    uint64_t told_index, written_index;
} place_t;

typedef struct appender {
    run_t *run;
    uint64_t thread, staged;
    atomic_uint_fast64_t count;     /* numbers that were given out                                  */
    place_t *places;
    random_source_t chance;
    pthread_t id;
} appender_t;

/* Threads that do something else. */
typedef struct worker {
    run_t *run;
    uint64_t thread, set;
    random_source_t chance;
    atomic_uint_fast64_t calls;
    pthread_t id;
} worker_t;

struct run {
    walrus_t *log;
    uint64_t number;
    bool has_retention;
    atomic_bool stop_cutting;
    atomic_uint_fast64_t cuts_begun, cuts_ended;
    atomic_uint_fast64_t keys[KEEPERS];     /* the number that was last set under a keeper's key    */
    appender_t appenders[APPENDERS + 1];    /* the last one is the cutter, for what it puts in place */
    worker_t workers[READERS + CURSORS + KEEPERS + 2];
};

#define RELAXED(x) atomic_load_explicit(&(x), memory_order_relaxed)

/* ---- Payloads ------------------------------------------------------------------------------- */

static size_t rest_of(uint64_t thread, uint64_t number) {
    return number % 97 == 0 ? 3000 : (size_t)(thread * 13 + number * 29) % MOST_REST;
}

enum { MOST_PAYLOAD = sizeof(stamp_t) + 3000 };

static size_t make_payload(unsigned char *bytes, const appender_t *me, uint64_t number) {
    stamp_t stamp = {UINT64_C(0x636F6E63757272), me->run->number, me->thread, number};
    size_t rest = rest_of(me->thread, number);
    memcpy(bytes, &stamp, sizeof stamp);
    fill(bytes + sizeof stamp, rest, me->thread << 32 | number);
    return sizeof stamp + rest;
}

/* Whose entry this is: checks that it belongs where it was found. */
static stamp_t judge_bytes(run_t *run, uint64_t index, const void *data, size_t size) {
    stamp_t stamp = {0, 0, 0, 0};
    CHECK(size >= sizeof stamp);
    memcpy(&stamp, data, sizeof stamp);
    CHECK(stamp.magic == UINT64_C(0x636F6E63757272));
    CHECK_U64(run->number, stamp.run);
    CHECK(stamp.thread <= APPENDERS);
    appender_t *appender = &run->appenders[stamp.thread];
    CHECK(stamp.number < RELAXED(appender->count));
    CHECK(size == sizeof stamp + rest_of(stamp.thread, stamp.number));
    CHECK(is_payload((const char *)data + sizeof stamp, size - sizeof stamp, stamp.thread << 32 | stamp.number));
    uint64_t place = RELAXED(appender->places[stamp.number].index);
    if (place != 0 && place != index)
        FAIL("number %" PRIu64 " of thread %" PRIu64 " is at %" PRIu64 ", but went to %" PRIu64, stamp.number, stamp.thread, index,
             place);
    return stamp;
}

static void judge(run_t *run, const walrus_entry_t *entry) { judge_bytes(run, entry->index, entry->data, entry->size); }

/* ---- Results -------------------------------------------------------------------------------- */

/* Whether the log was shut down. Any other result must be among those given (0: no more of them). */
static bool ended_(int line, int32_t result, int32_t a, int32_t b, int32_t c) {
    if (result == WALRUS_E_CLOSED)
        return true;
    if (result < 0 && result != a && result != b && result != c)
        check_failed(__FILE__, line, "a call answered %s", check_code_name(result));
    return false;
}
#define ENDED3(result, a, b, c) ended_(__LINE__, result, a, b, c)
#define ENDED2(result, a, b) ended_(__LINE__, result, a, b, 0)
#define ENDED1(result, a) ended_(__LINE__, result, a, 0, 0)
#define ENDED(result) ended_(__LINE__, result, 0, 0, 0)

/* Whether the log may have been cut since `ended` cuts had ended. */
static bool was_cut_since(run_t *run, uint64_t ended) { return RELAXED(run->cuts_begun) != ended; }

/* ---- Appenders ------------------------------------------------------------------------------ */

static void note_done(void *ctx, uint64_t index, int32_t status) {
    place_t *place = ctx;
    place->told_index = index;
    place->status = status;
    atomic_fetch_add_explicit(&place->times_told, 1, memory_order_relaxed);
}

/* Entry `first` + i of what was just appended is number `number` + i: published, and looked for. */
static bool check_appended(appender_t *me, uint64_t first, uint64_t number, uint64_t count, uint64_t cuts, bool is_durable) {
    run_t *run = me->run;
    for (uint64_t i = 0; i < count; i++) {
        place_t *place = &me->places[number + i];
        place->cuts_before = cuts;
        place->is_durable = is_durable;
        atomic_store_explicit(&place->index, first + i, memory_order_relaxed);
    }
    if (is_durable && walrus_durable_index(run->log) < first + count - 1 && !was_cut_since(run, cuts))
        if (!ENDED(walrus_sync(run->log) == WALRUS_E_CLOSED ? WALRUS_E_CLOSED : WALRUS_OK))
            FAIL("%" PRIu64 " was acknowledged, but the durable index is %" PRIu64, first + count - 1,
                 walrus_durable_index(run->log));
    walrus_entry_t entry;
    uint64_t look = below(&me->chance, count);
    int32_t result = walrus_get(run->log, first + look, &entry);
    if (result == WALRUS_E_CLOSED)
        return true;
    if (result == WALRUS_OK) {
        stamp_t stamp = judge_bytes(run, first + look, entry.data, entry.size);
        if ((stamp.thread != me->thread || stamp.number != number + look) && !was_cut_since(run, cuts))
            FAIL("another entry stands at %" PRIu64 ", and nothing was cut", first + look);
    } else if (!was_cut_since(run, cuts) && !(run->has_retention && result == WALRUS_E_COMPACTED))
        FAIL("%" PRIu64 " was appended and answers %s, and nothing was cut", first + look, check_code_name(result));
    walrus_entry_release(&entry);
    return false;
}

static bool append_async(appender_t *me, walrus_record_t *record, uint64_t number, uint64_t cuts) {
    place_t *place = &me->places[number];
    place->cuts_before = cuts;
    int32_t result = walrus_append_async(me->run->log, record, 0, note_done, place, &place->written_index);
    if (result == WALRUS_OK) {
        place->is_async = true;
        atomic_store_explicit(&place->index, place->written_index, memory_order_relaxed);
    }
    return ENDED1(result, WALRUS_E_CANCELED);
}

/* Whether a transaction, committed or rolled back, ended the run. */
static bool append_by_transaction(appender_t *me, walrus_record_t *records, uint64_t number, uint64_t count, uint64_t cuts) {
    walrus_txn_t *txn;
    uint64_t first = 0, committed = 0;
    bool is_short = below(&me->chance, 8) == 0, rolls_back = below(&me->chance, 4) == 0;
    int32_t result = walrus_txn_begin(me->run->log, is_short ? 1 : 0, &txn);
    if (ENDED(result))
        return true;
    for (uint64_t i = 0; i < count && result == WALRUS_OK; i++)
        result = walrus_txn_append(txn, &records[i]);
    if (is_short)
        usleep(1500);
    if (result != WALRUS_OK || rolls_back) {
        int32_t rollback = walrus_txn_rollback(txn);
        return ENDED1(result, WALRUS_E_TXN_EXPIRED) || ENDED1(rollback, WALRUS_E_TXN_EXPIRED);
    }
    result = walrus_txn_commit(txn, WALRUS_DURABLE, &first, &committed);
    if (result != WALRUS_OK) {
        if (result == WALRUS_E_CANCELED)
            CHECK_U64(count, committed);
        walrus_txn_rollback(txn);
        return ENDED2(result, WALRUS_E_CANCELED, WALRUS_E_TXN_EXPIRED);
    }
    CHECK_U64(count, committed);
    return check_appended(me, first, number, count, cuts, true);
}

/* What was staged before an append is there after it, whatever was cut. */
static bool check_staged(appender_t *me, const char *key) {
    uint64_t value = 0;
    size_t size = 0;
    int32_t result = walrus_meta_get(me->run->log, key, &value, sizeof value, &size);
    if (ENDED(result))
        return true;
    CHECK_U64(me->staged, value);
    return false;
}

static bool append_something(appender_t *me) {
    static const uint32_t flags[] = {0, WALRUS_DURABLE, WALRUS_TO_OS, WALRUS_BUFFERED};
    static _Thread_local unsigned char bytes[6 * MOST_PAYLOAD];
    walrus_record_t records[6];
    uint32_t sizes[6], flag = flags[below(&me->chance, 4)];
    uint64_t kind = below(&me->chance, 8), count = kind < 3 ? 1 : 1 + below(&me->chance, 6), first = 0, number = me->count;
    run_t *run = me->run;
    char key[32];
    size_t total = 0;
    memset(records, 0, sizeof records);
    atomic_store_explicit(&me->count, number + count, memory_order_relaxed);
    for (uint64_t i = 0; i < count; i++) {
        sizes[i] = (uint32_t)make_payload(bytes + total, me, number + i);
        records[i] = (walrus_record_t){.data = bytes + total, .size = sizes[i], .term = number / 1000};
        total += sizes[i];
    }
    uint64_t cuts = RELAXED(run->cuts_ended);
    bool stages = below(&me->chance, 10) == 0;
    snprintf(key, sizeof key, "staged-%" PRIu64, me->thread);
    if (stages) {
        uint64_t value = me->staged + 1;
        if (ENDED(walrus_meta_stage(run->log, key, &value, sizeof value)))
            return true;
        me->staged = value;
    }
    int32_t result;
    if (kind == 0)
        flag = 0, result = walrus_append(run->log, bytes, total, &first);
    else if (kind == 1)
        result = walrus_append_record(run->log, records, flag, &first);
    else if (kind == 2)
        return append_async(me, records, number, cuts) || (stages && check_staged(me, key));
    else if (kind < 5)
        result = walrus_append_batch(run->log, records, count, flag, &first);
    else if (kind < 7)
        result = walrus_append_packed(run->log, bytes, sizes, count, number / 1000, flag, &first);
    else {
        return append_by_transaction(me, records, number, count, cuts);
    }
    if (ENDED1(result, WALRUS_E_CANCELED))
        return true;
    CHECK(first != 0);
    if (check_appended(me, first, number, count, cuts, result == WALRUS_OK && flag == WALRUS_DURABLE))
        return true;
    return stages && check_staged(me, key);
}

static void *append(void *ctx) {
    appender_t *me = ctx;
    while (me->count + 6 < MOST && !append_something(me))
        if (below(&me->chance, 50) == 0)
            usleep(500);
    CHECK_CODE(WALRUS_E_CLOSED, me->count + 6 < MOST ? walrus_append(me->run->log, "x", 1, NULL) : WALRUS_E_CLOSED);
    return NULL;
}

/* ---- Readers -------------------------------------------------------------------------------- */

typedef struct walk {
    run_t *run;
    uint64_t next, left;
} walk_t;

static int32_t visit(void *ctx, const walrus_entry_t *entry) {
    walk_t *walk = ctx;
    CHECK(walk->next == 0 || entry->index == walk->next);
    judge(walk->run, entry);
    walk->next = entry->index + 1;
    return --walk->left == 0 ? 1 : 0;
}

static bool read_packed(worker_t *me, uint64_t index) {
    static _Thread_local unsigned char buffer[8 * MOST_PAYLOAD];
    uint32_t sizes[10];
    size_t count = 0, at_byte = 0;
    int32_t result = walrus_read_packed(me->run->log, index, 10, buffer, sizeof buffer, sizes, &count);
    if (ENDED2(result, WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED))
        return true;
    for (size_t i = 0; result == WALRUS_OK && i < count; at_byte += sizes[i++])
        judge_bytes(me->run, index + i, buffer + at_byte, sizes[i]);
    return false;
}

static bool read_something(worker_t *me) {
    run_t *run = me->run;
    walrus_t *log = run->log;
    uint64_t first = walrus_first_index(log), last = walrus_last_index(log), value = 0, term = 0;
    if (first == 0 || last < first) { /* empty, or closed */
        usleep(200);
        return ENDED2(walrus_term(log, 1, &term), WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
    }
    uint64_t index = first + below(&me->chance, last - first + 1);
    walrus_entry_t entries[16];
    size_t count = 0;
    int32_t result;
    switch (below(&me->chance, 8)) {
    case 0: case 1:
        result = walrus_get(log, index, entries);
        if (result == WALRUS_OK) {
            CHECK_U64(index, entries->index);
            if (below(&me->chance, 20) == 0)
                usleep(1000); /* lent while the log goes on, and judged then */
            judge(run, entries);
        }
        walrus_entry_release(entries);
        return ENDED2(result, WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
    case 2: {
        walk_t walk = {run, 0, 1 + below(&me->chance, 100)};
        return ENDED2(walrus_scan(log, index, UINT64_MAX, visit, &walk), WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
    }
    case 3:
        result = walrus_get_range(log, index, UINT64_MAX, 5000, entries, 16, &count);
        for (size_t i = 0; result == WALRUS_OK && i < count; i++) {
            CHECK_U64(index + i, entries[i].index);
            judge(run, &entries[i]);
        }
        if (result == WALRUS_OK)
            walrus_entries_release(entries, count);
        return ENDED2(result, WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
    case 4: return read_packed(me, index);
    case 5: return ENDED2(walrus_term(log, index, &term), WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
    case 6: return ENDED1(walrus_last_index_of_term(log, below(&me->chance, 5), &value), WALRUS_E_NOT_FOUND);
    default: return ENDED1(walrus_seek_time(log, (int64_t)time(NULL) * 1000000000 - 500000000, &value), WALRUS_E_NOT_FOUND);
    }
}

static void *read_until_closed(void *ctx) {
    worker_t *me = ctx;
    while (!read_something(me))
        me->calls++;
    return NULL;
}

/* ---- Cursors -------------------------------------------------------------------------------- */

/* A cursor that follows shows contiguous indexes, but for cuts, which take it back. */
static bool move_cursor(worker_t *me, walrus_cursor_t *cursor, bool durable_only) {
    run_t *run = me->run;
    walrus_entry_t entry;
    uint64_t cuts = RELAXED(run->cuts_ended), before = walrus_cursor_position(cursor), what = below(&me->chance, 40);
    int32_t result = what < 4 ? walrus_cursor_prev(cursor, &entry) : walrus_cursor_next(cursor, &entry);
    if (result == WALRUS_OK) {
        judge(run, &entry);
        if (!was_cut_since(run, cuts)) {
            CHECK_U64(what < 4 ? before - 1 : before, entry.index);
            CHECK_U64(what < 4 ? before - 1 : before + 1, walrus_cursor_position(cursor));
            uint64_t durable = walrus_durable_index(run->log);
            CHECK(!durable_only || durable == 0 || what < 4 || entry.index <= durable || was_cut_since(run, cuts));
        }
        walrus_entry_release(&entry);
        return false;
    }
    CHECK(is_zeroed(&entry, sizeof entry));
    if (result == WALRUS_E_CAUGHT_UP)
        return ENDED2(walrus_cursor_wait(cursor, 3), WALRUS_E_TIMEOUT, WALRUS_E_CANCELED);
    if (result == WALRUS_E_COMPACTED || what == 39)
        return ENDED2(walrus_cursor_seek(cursor, walrus_first_index(run->log)), WALRUS_E_COMPACTED, WALRUS_E_NOT_FOUND);
    return ENDED1(result, WALRUS_E_NOT_FOUND);
}

static void *follow_until_closed(void *ctx) {
    worker_t *me = ctx;
    for (bool ended = false; !ended;) {
        walrus_cursor_t *cursor = NULL;
        bool durable_only = below(&me->chance, 2) == 0;
        ended = ENDED(walrus_cursor_open(me->run->log, 0, durable_only ? WALRUS_DURABLE_ONLY : 0, &cursor));
        for (int i = 0; i < 2000 && !ended; i++, me->calls++)
            ended = move_cursor(me, cursor, durable_only);
        walrus_cursor_close(cursor);
    }
    return NULL;
}

/* ---- Cuts ----------------------------------------------------------------------------------- */

static bool replace_suffix(worker_t *me, uint64_t from) {
    appender_t *as = &me->run->appenders[APPENDERS];
    static _Thread_local unsigned char bytes[4][MOST_PAYLOAD];
    walrus_record_t records[4];
    uint64_t count = below(&me->chance, 4), number = as->count;
    if (number + count >= MOST)
        count = 0;
    memset(records, 0, sizeof records);
    atomic_store_explicit(&as->count, number + count, memory_order_relaxed);
    for (uint64_t i = 0; i < count; i++)
        records[i] = (walrus_record_t){.data = bytes[i], .size = make_payload(bytes[i], as, number + i)};
    int32_t result = walrus_replace_suffix(me->run->log, from, records, count, 0);
    for (uint64_t i = 0; result == WALRUS_OK && i < count; i++)
        atomic_store_explicit(&as->places[number + i].index, from + i, memory_order_relaxed);
    return ENDED2(result, WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
}

static bool cut_something(worker_t *me) {
    walrus_t *log = me->run->log;
    uint64_t first = walrus_first_index(log), last = walrus_last_index(log);
    if (first == 0 || last < first)
        return ENDED(walrus_truncate_front(log, 1));
    uint64_t few = below(&me->chance, 40), size = last - first + 1;
    if (few >= size)
        few = size - 1;
    switch (below(&me->chance, 12)) {
    case 0: case 1: case 2: return ENDED2(walrus_truncate(log, last - few), WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
    case 3: case 4: case 5: return replace_suffix(me, last - few);
    case 6: return below(&me->chance, 4) ? false : ENDED(walrus_reset(log, 1 + below(&me->chance, 3000)));
    case 7: return ENDED2(walrus_truncate(log, first - 1), WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
    default: return ENDED1(walrus_truncate_front(log, first + size / 2), WALRUS_E_NOT_FOUND);
    }
}

static void *cut_until_closed(void *ctx) {
    worker_t *me = ctx;
    run_t *run = me->run;
    uint64_t term;
    for (bool ended = false; !ended; usleep((useconds_t)(1000 + below(&me->chance, 8000)))) {
        if (run->stop_cutting) {
            ended = ENDED2(walrus_term(run->log, 1, &term), WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED);
            continue;
        }
        atomic_fetch_add_explicit(&run->cuts_begun, 1, memory_order_relaxed);
        ended = cut_something(me);
        atomic_fetch_add_explicit(&run->cuts_ended, 1, memory_order_relaxed);
        me->calls++;
    }
    return NULL;
}

/* ---- Housekeeping --------------------------------------------------------------------------- */

static int32_t see_segment(void *ctx, const walrus_segment_info_t *segment) {
    uint64_t *id = ctx;
    CHECK(segment->id > *id);
    *id = segment->id;
    return 0;
}

static int32_t see_key(void *ctx, const char *key, const void *value, size_t size) {
    (void)value;
    CHECK(size <= 8 && (strncmp(key, "staged-", 7) == 0 || strncmp(key, "key-", 4) == 0 || strncmp(key, "gone-", 5) == 0));
    return *(int *)ctx < 0;
}

static bool keep_metadata(worker_t *me) {
    run_t *run = me->run;
    uint64_t whose = below(&me->chance, KEEPERS), acknowledged = RELAXED(run->keys[whose]), value = 0;
    char key[32];
    size_t size;
    switch (below(&me->chance, 4)) {
    case 0:
        snprintf(key, sizeof key, "key-%" PRIu64, me->thread);
        value = me->set + 1;
        if (ENDED(walrus_meta_set(run->log, key, &value, sizeof value)))
            return true;
        atomic_store_explicit(&run->keys[me->thread], me->set = value, memory_order_relaxed);
        return false;
    case 1:
        snprintf(key, sizeof key, "gone-%" PRIu64, me->thread);
        return ENDED(walrus_meta_set(run->log, key, "x", 1)) || ENDED(walrus_meta_delete(run->log, key));
    case 2: return ENDED(walrus_meta_each(run->log, see_key, &(int){0}));
    default: {
        snprintf(key, sizeof key, "key-%" PRIu64, whose);
        int32_t result = walrus_meta_get(run->log, key, &value, sizeof value, &size);
        CHECK(result != WALRUS_E_NOT_FOUND || acknowledged == 0);
        CHECK(result != WALRUS_OK || value >= acknowledged);
        return ENDED1(result, WALRUS_E_NOT_FOUND);
    }
    }
}

static bool keep_something(worker_t *me) {
    walrus_t *log = me->run->log;
    walrus_stats_t stats = {.struct_size = sizeof stats};
    walrus_recovery_report_t report = {.struct_size = sizeof report};
    char text[16384];
    size_t size;
    uint64_t id = 0, last = walrus_last_index(log), expired;
    int fd;
    usleep((useconds_t)below(&me->chance, 1000));
    switch (below(&me->chance, 12)) {
    case 0: case 1: return ENDED1(walrus_sync(log), WALRUS_E_CANCELED);
    case 2: return ENDED(walrus_rotate(log));
    case 3: return ENDED(walrus_stats(log, &stats));
    case 4: return ENDED1(walrus_stats_text(log, text, sizeof text, &size), WALRUS_E_TOO_SMALL);
    case 5: return ENDED(walrus_segments(log, see_segment, &id));
    case 6: return ENDED(walrus_txn_expire(log, &expired));
    case 7: return ENDED(walrus_recovery_report(log, &report));
    case 8:
        return last != 0 && ENDED3(walrus_wait_durable(log, last, (int64_t)below(&me->chance, 20) - 1), WALRUS_E_NOT_FOUND,
                                   WALRUS_E_TIMEOUT, WALRUS_E_CANCELED);
    case 9:
        if (ENDED(walrus_notify_fd(log, &fd)))
            return true;
        if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 5) == 1)
            (void)!read(fd, text, 8);
        return false;
    default: return keep_metadata(me);
    }
}

static void *keep_until_closed(void *ctx) {
    worker_t *me = ctx;
    while (!keep_something(me))
        me->calls++;
    return NULL;
}

static void *interrupt_until_closed(void *ctx) {
    worker_t *me = ctx;
    while (!ENDED(walrus_interrupt(me->run->log))) {
        me->calls++;
        usleep((useconds_t)(5000 + below(&me->chance, 20000)));
    }
    return NULL;
}

static void *shut_down(void *ctx) {
    CHECK_OK(walrus_shutdown(((run_t *)ctx)->log));
    return NULL;
}

/* ---- The run -------------------------------------------------------------------------------- */

static void start_worker(run_t *run, int at_worker, uint64_t thread, void *(*work)(void *), random_source_t *chance) {
    worker_t *worker = &run->workers[at_worker];
    *worker = (worker_t){.run = run, .thread = thread, .chance = {next_random(chance)}};
    CHECK(pthread_create(&worker->id, NULL, work, worker) == 0);
}

static int start_everybody(run_t *run, random_source_t *chance) {
    int workers = 0;
    for (uint64_t i = 0; i <= APPENDERS; i++) {
        run->appenders[i] = (appender_t){
            .run = run, .thread = i, .places = calloc(MOST, sizeof(place_t)), .chance = {next_random(chance)}};
        CHECK(run->appenders[i].places != NULL);
    }
    for (int i = 0; i < APPENDERS; i++)
        CHECK(pthread_create(&run->appenders[i].id, NULL, append, &run->appenders[i]) == 0);
    for (uint64_t i = 0; i < READERS; i++)
        start_worker(run, workers++, i, read_until_closed, chance);
    for (uint64_t i = 0; i < CURSORS; i++)
        start_worker(run, workers++, i, follow_until_closed, chance);
    for (uint64_t i = 0; i < KEEPERS; i++)
        start_worker(run, workers++, i, keep_until_closed, chance);
    start_worker(run, workers++, 0, cut_until_closed, chance);
    start_worker(run, workers++, 0, interrupt_until_closed, chance);
    return workers;
}

/* After close: each asynchronous append was completed once. */
static uint64_t check_completions(run_t *run) {
    uint64_t completions = 0;
    for (int a = 0; a < APPENDERS; a++)
        for (uint64_t n = 0; n < run->appenders[a].count; n++) {
            place_t *place = &run->appenders[a].places[n];
            CHECK_U64(place->is_async, place->times_told);
            if (!place->is_async)
                continue;
            CHECK_U64(place->written_index, place->told_index);
            CHECK(place->status == WALRUS_OK || place->status == WALRUS_E_CLOSED);
            place->is_durable = place->status == WALRUS_OK;
            completions++;
        }
    return completions;
}

/* After a reopen: everything belongs to the run, and what was acknowledged as durable after the last cut is there. */
static uint64_t check_what_is_left(run_t *run) {
    walk_t walk = {run, 0, UINT64_MAX};
    uint64_t first = walrus_first_index(run->log), kept = 0;
    if (first != 0)
        CHECK_OK(walrus_scan(run->log, first, UINT64_MAX, visit, &walk));
    for (int a = 0; a < APPENDERS; a++)
        for (uint64_t n = 0; n < run->appenders[a].count; n++) {
            place_t *place = &run->appenders[a].places[n];
            uint64_t index = place->index;
            if (!place->is_durable || was_cut_since(run, place->cuts_before) || (run->has_retention && index < first))
                continue;
            walrus_entry_t entry;
            CHECK_OK(walrus_get(run->log, index, &entry));
            stamp_t stamp = judge_bytes(run, index, entry.data, entry.size);
            CHECK(stamp.thread == (uint64_t)a && stamp.number == n);
            walrus_entry_release(&entry);
            kept++;
        }
    for (int k = 0; k < KEEPERS; k++) {
        char key[32];
        uint64_t value = 0;
        snprintf(key, sizeof key, "key-%d", k);
        int32_t result = walrus_meta_get(run->log, key, &value, sizeof value, NULL);
        CHECK(result == WALRUS_OK ? value >= run->keys[k] : run->keys[k] == 0);
    }
    return kept;
}

static void run_everything(const char *text, double seconds, bool has_retention) {
    random_source_t chance = {run_seed()};
    run_t *run = calloc(1, sizeof *run);
    run->number = next_random(&chance);
    run->has_retention = has_retention;
    pthread_t side;
    await_background_of_sanitizers();
    holdings_t before = count_holdings();
    run->log = open_log(at("log"), text);
    int workers = start_everybody(run, &chance);
    usleep((useconds_t)(seconds * 0.8e6));
    run->stop_cutting = true;
    usleep((useconds_t)(seconds * 0.2e6));
    CHECK_NOTE("shutdown");
    CHECK(pthread_create(&side, NULL, shut_down, run) == 0);
    pthread_join(side, NULL);
    for (int i = 0; i < APPENDERS; i++) {
        CHECK_NOTE("waiting for appender %d to end", i);
        pthread_join(run->appenders[i].id, NULL);
    }
    for (int i = 0; i < workers; i++) {
        CHECK_NOTE("waiting for worker %d to end", i);
        pthread_join(run->workers[i].id, NULL);
    }
    CHECK_NOTE("close");
    CHECK_OK(walrus_close(run->log));
    CHECK_HOLDINGS(before);
    uint64_t completions = check_completions(run), appended = 0;
    run->log = open_log(at("log"), "");
    uint64_t kept = check_what_is_left(run);
    CHECK_OK(walrus_close(run->log));
    for (int i = 0; i <= APPENDERS; i++) {
        appended += run->appenders[i].count;
        free(run->appenders[i].places);
    }
    printf("      %" PRIu64 " appended, %" PRIu64 " completed, %" PRIu64 " cuts, %" PRIu64 " found again; calls:", appended, completions,
           (uint64_t)run->cuts_begun, kept);
    for (int i = 0; i < workers; i++) {
        printf(" %" PRIu64, (uint64_t)run->workers[i].calls);
        CHECK(run->workers[i].calls > 0);
    }
    printf("\n");
    CHECK(appended > 100 && completions > 0 && kept > 0);
    free(run);
}

/* Catches: a lock that is missing, taken twice or in another order; an entry at two places or at the wrong one; a thread that shutdown
 * does not reach; a descriptor, mapping or thread that close forgets. */
CASE(everything_at_once_with_sync_always) { run_everything("segment_size=32KiB cached_segments=4 async_max_bytes=64KiB", 3, false); }

/* Catches: the same where the background syncs, and retention drops the front under everybody. */
CASE(everything_at_once_with_sync_interval_and_retention) {
    run_everything("sync=interval sync_interval_ms=3 sync_bytes=64KiB segment_size=16KiB max_segments=6", 3, true);
}

/* Catches: the same where entries wait in memory, reads copy, and blocks are padded. */
CASE(everything_at_once_with_sync_none_and_copies) {
    run_everything("sync=none segment_size=64KiB zero_copy=off sync_padding=4096 buffer_size=8KiB", 3, false);
}

static void *read_low_indexes(void *ctx) {
    worker_t *me = ctx;
    walrus_entry_t entry;
    uint64_t term;
    for (;; me->calls++) {
        uint64_t index = 1 + below(&me->chance, 40);
        int32_t result = walrus_get(me->run->log, index, &entry);
        walrus_entry_release(&entry);
        if (ENDED2(result, WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED) ||
            ENDED2(walrus_term(me->run->log, index, &term), WALRUS_E_NOT_FOUND, WALRUS_E_COMPACTED))
            return NULL;
    }
}

/* Catches: bounds that are moved one after the other, between which an index seems to be there that never was. */
CASE(a_reset_to_a_lower_index_never_looks_like_damage) {
    run_t *run = calloc(1, sizeof *run);
    random_source_t chance = {1};
    run->log = open_log(in_memory("log"), "sync=none segment_size=4KiB");
    for (int i = 0; i < 3; i++)
        start_worker(run, i, 0, read_low_indexes, &chance);
    double began = check_now_s();
    for (uint64_t round = 0; check_now_s() - began < 1.5; round++) {
        CHECK_NOTE("round %" PRIu64, round);
        CHECK_OK(walrus_reset(run->log, round % 2 ? 1 + below(&chance, 20) : 1000));
        for (int i = 0; i < 3; i++)
            CHECK_OK(walrus_append(run->log, "x", 1, NULL));
    }
    CHECK_OK(walrus_shutdown(run->log));
    for (int i = 0; i < 3; i++)
        pthread_join(run->workers[i].id, NULL);
    CHECK_OK(walrus_close(run->log));
    free(run);
}

/* Catches: a shutdown that comes while threads begin their first calls, when nothing has been set up yet. */
CASE(shutdown_at_any_moment_ends_everything) {
    for (int round = 0; round < 12; round++) {
        random_source_t chance = {(uint64_t)round};
        run_t *run = calloc(1, sizeof *run);
        run->number = (uint64_t)round;
        const char *dir = at("log%d", round);
        run->log = open_log(dir, round % 2 ? "segment_size=16KiB" : "sync=interval sync_interval_ms=1");
        int workers = start_everybody(run, &chance);
        usleep((useconds_t)(round * round * 400));
        CHECK_NOTE("round %d", round);
        CHECK_OK(walrus_shutdown(run->log));
        for (int i = 0; i < APPENDERS; i++)
            pthread_join(run->appenders[i].id, NULL);
        for (int i = 0; i < workers; i++)
            pthread_join(run->workers[i].id, NULL);
        CHECK_OK(walrus_close(run->log));
        check_completions(run);
        run->log = open_log(dir, "");
        check_what_is_left(run);
        CHECK_OK(walrus_close(run->log));
        for (int i = 0; i <= APPENDERS; i++)
            free(run->appenders[i].places);
        free(run);
    }
}
