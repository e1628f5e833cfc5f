/* test_async.c - walrus_append_async: who is told, when, how often, in which order and on which thread
 *
 * Each completion writes into the slot that was its ctx, and takes the next number of a counter: so it is seen whether one came
 * twice, never, or out of turn.
 */
#include "calls.h"
#include "syncs.h"

enum { PATIENCE_S = 20 };

typedef struct told told_t;
typedef struct slot {
    told_t *told;
    uint64_t index;             /* written by walrus_append_async                                   */
    uint64_t told_index;        /* what the completion was handed                                   */
    int32_t status;
    atomic_int times;
    uint64_t turn;
    uint64_t durable;           /* the durable index that the completion saw                        */
} slot_t;

struct told {
    walrus_t *log;
    atomic_uint_fast64_t count;
    uint64_t last_index;
    pid_t thread;
    bool is_out_of_order, has_many_threads, came_before_its_index;
};

/* Plain fields on purpose: the completion thread is the only one to write them, and the thread sanitizer is to say so. */
static void note_done(void *ctx, uint64_t index, int32_t status) {
    slot_t *slot = ctx;
    told_t *told = slot->told;
    pid_t me = gettid();
    if (told->thread == 0)
        told->thread = me;
    told->has_many_threads |= told->thread != me;
    told->is_out_of_order |= index <= told->last_index;
    told->came_before_its_index |= slot->index != index;
    told->last_index = index;
    slot->told_index = index;
    slot->status = status;
    slot->durable = walrus_durable_index(told->log);
    slot->turn = told->count;
    slot->times++;
    told->count++;
}

static void check_told(const told_t *told) {
    CHECK(!told->is_out_of_order);
    CHECK(!told->has_many_threads);
    CHECK(!told->came_before_its_index);
    CHECK(told->thread != gettid());
}

static int32_t append_async(told_t *told, slot_t *slot, size_t size) {
    unsigned char *bytes = payload(size, size);
    walrus_record_t record = {.data = bytes, .size = size};
    slot->told = told;
    int32_t result = walrus_append_async(told->log, &record, 0, note_done, slot, &slot->index);
    memset(bytes, 0, size); /* the library has its copy */
    free(bytes);
    return result;
}

#define CHECK_ALL_TOLD(told, number) CHECK(COMES_TRUE(PATIENCE_S, (told).count == (uint64_t)(number)))

/* Catches: a completion before its entry is durable, one that waits for somebody to sync, a callback on the caller's thread. */
CASE(completions_come_by_themselves_in_order_on_one_thread_of_the_library_whatever_the_policy) {
    enum { COUNT = 2000 };
    static const char *const policies[] = {"sync=always", "sync=interval sync_interval_ms=3600000", "sync=os", "sync=none"};
    for (int p = 0; p < 4; p++) {
        CHECK_NOTE("%s", policies[p]);
        told_t told = {.log = open_log(at("log%d", p), policies[p])};
        slot_t *slots = calloc(COUNT, sizeof *slots);
        for (uint64_t i = 0; i < COUNT; i++) {
            CHECK_OK(append_async(&told, &slots[i], i % 100));
            CHECK_U64(i + 1, slots[i].index);
        }
        CHECK_ALL_TOLD(told, COUNT);
        check_told(&told);
        for (uint64_t i = 0; i < COUNT; i++) {
            CHECK_OK(slots[i].status);
            CHECK_U64(1, slots[i].times);
            CHECK_U64(i, slots[i].turn);
            CHECK_U64(i + 1, slots[i].told_index);
            CHECK(slots[i].durable >= i + 1);
            check_entry(told.log, i + 1, i % 100, i % 100);
        }
        CHECK_OK(walrus_close(told.log));
        free(slots);
    }
}

/* Catches: a sync for each entry, where many would share one. */
CASE(asynchronous_appends_share_their_syncs) {
    enum { COUNT = 1000 };
    told_t told = {.log = open_log(at("log"), "")};
    slot_t *slots = calloc(COUNT, sizeof *slots);
    hold_syncs();
    uint64_t before = count_syncs();
    CHECK_OK(append_async(&told, &slots[0], 10));
    await_held_sync();
    for (int i = 1; i < COUNT; i++)
        CHECK_OK(append_async(&told, &slots[i], 10));
    usleep(20000);
    CHECK_U64(0, told.count);
    let_syncs_go();
    CHECK_ALL_TOLD(told, COUNT);
    CHECK_NOTE("%" PRIu64 " syncs", count_syncs() - before);
    CHECK(count_syncs() - before <= 3);
    CHECK_OK(walrus_close(told.log));
    free(slots);
}

typedef struct crowd {
    told_t *told;
    slot_t *slots;
    uint64_t count;
    unsigned kind;
} crowd_t;

static void *append_many(void *ctx) {
    crowd_t *crowd = ctx;
    for (uint64_t i = 0; i < crowd->count; i++) {
        CHECK_OK(append_async(crowd->told, &crowd->slots[i], 20 + i % 30));
        if (crowd->kind == 1 && i % 16 == 0)
            CHECK_OK(walrus_append(crowd->told->log, "between", 7, NULL));
        if (crowd->kind == 2 && i % 16 == 0)
            CHECK_OK(walrus_sync(crowd->told->log));
    }
    return NULL;
}

/* Catches: an order that is that of the calls' returns, or of each thread alone, instead of that of the indexes; a callback that runs
 * before the caller's index is written. */
CASE(completions_of_many_threads_come_in_the_order_of_their_indexes) {
    enum { CROWD = 6, EACH = 1500 };
    told_t told = {.log = open_log(at("log"), "segment_size=64KiB")};
    crowd_t crowds[CROWD];
    pthread_t threads[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        crowds[i] = (crowd_t){&told, calloc(EACH, sizeof(slot_t)), EACH, i % 3};
        CHECK(pthread_create(&threads[i], NULL, append_many, &crowds[i]) == 0);
    }
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    CHECK_ALL_TOLD(told, CROWD * EACH);
    check_told(&told);
    for (int c = 0; c < CROWD; c++) {
        for (uint64_t i = 0; i < EACH; i++) {
            slot_t *slot = &crowds[c].slots[i];
            CHECK_U64(1, slot->times);
            CHECK_OK(slot->status);
            CHECK(slot->durable >= slot->index);
            check_entry(told.log, slot->index, 20 + i % 30, 20 + i % 30);
        }
        free(crowds[c].slots);
    }
    CHECK_OK(walrus_close(told.log));
}

/* Catches: an append that becomes durable only because somebody is to be told. */
CASE(without_a_completion_the_entry_becomes_durable_all_the_same) {
    static const char *const policies[] = {"sync=always", "sync=interval sync_interval_ms=3600000", "sync=os", "sync=none"};
    for (int p = 0; p < 4; p++) {
        CHECK_NOTE("%s", policies[p]);
        walrus_t *log = open_log(at("log%d", p), policies[p]);
        walrus_record_t record = {.data = "x", .size = 1};
        uint64_t index = 0;
        CHECK_OK(walrus_append_async(log, &record, 0, NULL, NULL, &index));
        CHECK_U64(1, index);
        CHECK(COMES_TRUE(PATIENCE_S, walrus_durable_index(log) == 1));
        CHECK_OK(walrus_append_async(log, &record, WALRUS_DURABLE, NULL, NULL, NULL));
        CHECK_OK(walrus_wait_durable(log, 2, -1));
        CHECK_U64(2, walrus_durable_index(log));
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: a completion of an append that was refused; a refused one that leaves something behind. */
CASE(what_is_refused_is_not_in_the_log_and_completes_nothing) {
    told_t told = {.log = open_log(at("log"), "max_entry_size=1000")};
    slot_t slot = {.told = &told};
    static unsigned char big[1001];
    struct {
        walrus_record_t record;
        uint32_t flags;
        int32_t code;
    } rows[] = {{{.data = big, .size = 1}, WALRUS_TO_OS, WALRUS_E_INVALID},
                {{.data = big, .size = 1}, WALRUS_BUFFERED, WALRUS_E_INVALID},
                {{.data = big, .size = 1}, WALRUS_DURABLE | WALRUS_TO_OS, WALRUS_E_INVALID},
                {{.data = big, .size = 1}, 8, WALRUS_E_INVALID},
                {{.data = NULL, .size = 1}, 0, WALRUS_E_INVALID},
                {{.data = big, .size = 1, .reserved = {1, 0}}, 0, WALRUS_E_INVALID},
                {{.data = big, .size = 1, .index = 7}, 0, WALRUS_E_OUT_OF_ORDER},
                {{.data = big, .size = 1001}, 0, WALRUS_E_TOO_LARGE}};
    CHECK_OK(walrus_append(told.log, "x", 1, NULL));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t index = 4711;
        CHECK_NOTE("row %zu", i);
        CHECK_CODE(rows[i].code, walrus_append_async(told.log, &rows[i].record, rows[i].flags, note_done, &slot, &index));
        CHECK_U64(4711, index);
    }
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_async(told.log, NULL, 0, note_done, &slot, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_async(NULL, &rows[0].record, 0, note_done, &slot, NULL));
    CHECK_U64(1, walrus_last_index(told.log));
    usleep(50000);
    CHECK_U64(0, told.count);
    CHECK_OK(walrus_close(told.log));
    CHECK_U64(0, told.count);
}

/* ---- async_max_bytes ------------------------------------------------------------------------ */

/* Catches: memory without bounds while the disk is stuck; a limit that stops everybody; one that nothing lifts. */
CASE(beyond_async_max_bytes_the_next_one_waits_and_nobody_else) {
    told_t told = {.log = open_log(at("log"), "async_max_bytes=64KiB")};
    slot_t slots[128];
    memset(slots, 0, sizeof slots);
    hold_syncs();
    int accepted = 0;
    CHECK_OK(append_async(&told, &slots[accepted++], 1024));
    await_held_sync();
    while (accepted < 60)
        CHECK_OK(append_async(&told, &slots[accepted++], 1024));
    call_t calls[8];
    memset(calls, 0, sizeof calls);
    int waits = -1;
    for (int i = 0; i < 8; i++) {
        calls[i] = (call_t){.log = told.log, .kind = CALL_APPEND_ASYNC, .size = 1024};
        begin(&calls[i]);
        if (waits < 0 && still_waits(&calls[i]))
            waits = i;
    }
    CHECK_NOTE("the %dth waits", 60 + waits + 1);
    CHECK(waits >= 0 && waits <= 5);
    for (int i = waits; i < 8; i++)
        CHECK(still_waits(&calls[i]));
    uint64_t last = walrus_last_index(told.log);
    CHECK_U64(60 + (uint64_t)waits, last);
    walrus_record_t record = {.data = "x", .size = 1};
    CHECK_OK(walrus_append_record(told.log, &record, WALRUS_TO_OS, NULL));
    check_entry(told.log, 1, 1024, 1024);
    let_syncs_go();
    for (int i = 0; i < 8; i++)
        CHECK_OK(result_of(&calls[i]));
    CHECK_ALL_TOLD(told, 60);
    check_told(&told);
    CHECK_OK(walrus_close(told.log));
}

/* Catches: an entry above the limit that waits for ever, since it will never fit. */
CASE(an_entry_larger_than_async_max_bytes_passes_alone) {
    told_t told = {.log = open_log(at("log"), "async_max_bytes=1KiB")};
    slot_t slots[3];
    memset(slots, 0, sizeof slots);
    hold_syncs();
    CHECK_OK(append_async(&told, &slots[0], 100000));
    await_held_sync();
    call_t call = {.log = told.log, .kind = CALL_APPEND_ASYNC, .size = 200000};
    begin(&call);
    CHECK(still_waits(&call));
    let_syncs_go();
    CHECK_OK(result_of(&call));
    CHECK_ALL_TOLD(told, 1);
    CHECK_OK(append_async(&told, &slots[1], 100000));
    CHECK_ALL_TOLD(told, 2);
    CHECK_OK(walrus_close(told.log));
}

/* Catches: a waiting append that an interrupt or a shutdown does not reach, or that is in the log although it was canceled. */
CASE(an_append_that_waits_for_room_can_be_interrupted_and_is_not_in_the_log_then) {
    told_t told = {.log = open_log(at("log"), "async_max_bytes=1KiB")};
    slot_t slot = {0};
    hold_syncs();
    CHECK_OK(append_async(&told, &slot, 1024));
    await_held_sync();
    for (int i = 0; i < 2; i++) {
        call_t call = {.log = told.log, .kind = CALL_APPEND_ASYNC, .index = 4711, .size = 1000};
        begin(&call);
        CHECK(still_waits(&call));
        CHECK_OK(i == 0 ? walrus_interrupt(told.log) : walrus_shutdown(told.log));
        CHECK_CODE(i == 0 ? WALRUS_E_CANCELED : WALRUS_E_CLOSED, result_of(&call));
        CHECK_U64(4711, call.index);
        if (i == 0)
            CHECK_U64(1, walrus_last_index(told.log));
    }
    let_syncs_go();
    CHECK_OK(walrus_close(told.log));
    CHECK_U64(1, told.count);
    walrus_t *log = open_log(at("log"), "");
    CHECK_U64(1, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
}

/* ---- Inside a completion -------------------------------------------------------------------- */

enum { CHAIN = 500 };

typedef struct chain {
    walrus_t *log;
    uint64_t index;
    atomic_int links;
    atomic_int refused;
} chain_t;

static void append_the_next(void *ctx, uint64_t index, int32_t status) {
    chain_t *chain = ctx;
    if (status != WALRUS_OK || index != chain->index) {
        chain->refused++;
        return;
    }
    if (++chain->links == CHAIN)
        return;
    walrus_record_t record = {.data = "link", .size = 4};
    if (walrus_append_async(chain->log, &record, 0, append_the_next, chain, &chain->index) != WALRUS_OK)
        chain->refused++;
}

/* Catches: a lock that is held while a completion runs; a completion thread that sleeps although its own callback made work. */
CASE(a_completion_may_append_the_next_entry) {
    chain_t chain = {.log = open_log(at("log"), "")};
    append_the_next(&chain, 0, WALRUS_OK);
    CHECK(COMES_TRUE(60, chain.links == CHAIN || chain.refused));
    CHECK_U64(0, chain.refused);
    CHECK_U64(CHAIN - 1, walrus_last_index(chain.log));
    CHECK_OK(walrus_close(chain.log));
}

typedef struct inside {
    walrus_t *log;
    atomic_bool is_done;
    int32_t got, wait_0, wait_durable, wait_undurable, append, append_os, sync, truncate, front, reset, notify, interrupt, close, full,
        cursor_open, cursor_wait, replace;
    uint64_t append_index;
} inside_t;

static void call_everything(void *ctx, uint64_t index, int32_t status) {
    inside_t *inside = ctx;
    walrus_t *log = inside->log;
    walrus_entry_t entry;
    walrus_record_t record = {.data = "y", .size = 1};
    static unsigned char big[2000];
    walrus_record_t large = {.data = big, .size = sizeof big};
    int fd;
    (void)status;
    inside->got = walrus_get(log, index, &entry);
    walrus_entry_release(&entry);
    inside->append_os = walrus_append_record(log, &record, WALRUS_TO_OS, &inside->append_index);
    inside->wait_0 = walrus_wait_durable(log, inside->append_index, 0);
    inside->wait_durable = walrus_wait_durable(log, index, -1);
    inside->wait_undurable = walrus_wait_durable(log, inside->append_index, -1);
    inside->append = walrus_append(log, "x", 1, NULL);
    inside->sync = walrus_sync(log);
    inside->truncate = walrus_truncate(log, 1);
    inside->front = walrus_truncate_front(log, 2);
    inside->reset = walrus_reset(log, 100);
    inside->replace = walrus_replace_suffix(log, 1, &record, 1, 0);
    walrus_cursor_t *cursor = NULL;
    inside->cursor_open = walrus_cursor_open(log, walrus_next_index(log), 0, &cursor);
    inside->cursor_wait = walrus_cursor_wait(cursor, -1);
    walrus_cursor_close(cursor);
    inside->notify = walrus_notify_fd(log, &fd);
    inside->interrupt = walrus_interrupt(log);
    walrus_append_async(log, &large, 0, NULL, NULL, NULL);
    inside->full = walrus_append_async(log, &large, 0, NULL, NULL, NULL);
    inside->close = walrus_close(log);
    inside->is_done = true;
}

/* Catches: a call that waits for the completion thread on the completion thread: the log hangs for ever. */
CASE(inside_a_completion_what_does_not_wait_works_and_what_would_wait_is_busy) {
    inside_t inside = {.log = open_log(at("log"), "async_max_bytes=3000")};
    walrus_record_t record = {.data = "x", .size = 1};
    for (int i = 0; i < 5; i++)
        CHECK_OK(walrus_append(inside.log, "x", 1, NULL));
    CHECK_OK(walrus_append_async(inside.log, &record, 0, call_everything, &inside, NULL));
    CHECK(COMES_TRUE(PATIENCE_S, inside.is_done));
    CHECK_OK(inside.got);
    CHECK_OK(inside.append_os);
    CHECK_CODE(WALRUS_E_TIMEOUT, inside.wait_0);
    CHECK(inside.wait_durable == WALRUS_OK || inside.wait_durable == WALRUS_E_BUSY);
    CHECK_CODE(WALRUS_E_BUSY, inside.wait_undurable);
    CHECK_CODE(WALRUS_E_BUSY, inside.append);
    CHECK_CODE(WALRUS_E_BUSY, inside.sync);
    CHECK_CODE(WALRUS_E_BUSY, inside.truncate);
    CHECK_CODE(WALRUS_E_BUSY, inside.front);
    CHECK_CODE(WALRUS_E_BUSY, inside.reset);
    CHECK_CODE(WALRUS_E_BUSY, inside.replace);
    CHECK_OK(inside.cursor_open);
    CHECK_CODE(WALRUS_E_BUSY, inside.cursor_wait);
    CHECK_OK(inside.notify);
    CHECK_OK(inside.interrupt);
    CHECK_CODE(WALRUS_E_BUSY, inside.full);
    CHECK_CODE(WALRUS_E_BUSY, inside.close);
    CHECK_U64(7, inside.append_index);
    CHECK_U64(8, walrus_last_index(inside.log)); /* a BUSY append is not in the log */
    CHECK_U64(1, walrus_first_index(inside.log));
    CHECK_OK(walrus_append(inside.log, "z", 1, NULL));
    CHECK_OK(walrus_close(inside.log));
}

static void shut_down(void *ctx, uint64_t index, int32_t status) {
    (void)index, (void)status;
    slot_t *slot = ctx;
    slot->status = walrus_shutdown(slot->told->log);
    slot->times++;
}

/* Catches: a shutdown that waits for the thread that it is called on. */
CASE(a_completion_may_shut_the_log_down) {
    told_t told = {.log = open_log(at("log"), "")};
    slot_t slot = {.told = &told, .status = 1}, later = {0};
    walrus_record_t record = {.data = "x", .size = 1};
    CHECK_OK(walrus_append_async(told.log, &record, 0, shut_down, &slot, NULL));
    CHECK(COMES_TRUE(PATIENCE_S, slot.times == 1));
    CHECK_OK(slot.status);
    CHECK_CODE(WALRUS_E_CLOSED, append_async(&told, &later, 10));
    CHECK_OK(walrus_close(told.log));
    CHECK_U64(0, told.count);
}

/* ---- The end of the log --------------------------------------------------------------------- */

/* Catches: a completion that never comes because the log went first, one that comes after close, an entry that is lost. */
CASE(every_append_is_completed_once_before_close_returns) {
    enum { COUNT = 300 };
    await_background_of_sanitizers();
    for (int round = 0; round < 12; round++) {
        bool first_shutdown = round % 3 == 1, held = round % 2 == 1;
        CHECK_NOTE("round %d: %s, %s", round, first_shutdown ? "shutdown" : "close", held ? "syncs were held" : "syncs as ever");
        const char *dir = at("log%d", round);
        holdings_t before = count_holdings();
        told_t told = {.log = open_log(dir, round % 4 < 2 ? "" : "sync=none")};
        slot_t *slots = calloc(COUNT, sizeof *slots);
        if (held)
            hold_syncs();
        for (uint64_t i = 0; i < COUNT; i++)
            CHECK_OK(append_async(&told, &slots[i], 10 + i));
        if (first_shutdown) {
            CHECK_OK(walrus_shutdown(told.log));
            usleep(10000);
        }
        let_syncs_go();
        CHECK_OK(walrus_close(told.log));
        CHECK_U64(COUNT, told.count);
        check_told(&told);
        for (int i = 0; i < COUNT; i++) {
            CHECK_U64(1, slots[i].times);
            CHECK(slots[i].status == WALRUS_OK || slots[i].status == WALRUS_E_CLOSED);
            CHECK(slots[i].status == WALRUS_OK || first_shutdown);
        }
        CHECK_HOLDINGS(before);
        walrus_t *log = open_log(dir, "");
        CHECK_U64(COUNT, walrus_last_index(log));
        for (uint64_t i = 0; i < COUNT; i++)
            check_entry(log, i + 1, 10 + i, 10 + i);
        CHECK_OK(walrus_close(log));
        usleep(2000);
        CHECK_U64(COUNT, told.count);
        free(slots);
    }
}

/* Catches: completions that wait for what was cut away. */
CASE(a_truncation_completes_what_it_dropped) {
    enum { COUNT = 20 };
    static const struct {
        int kind;
        uint64_t index;
    } cuts[] = {{CALL_TRUNCATE, 5}, {CALL_TRUNCATE, 0}, {CALL_RESET, 50}, {CALL_RESET, 1}, {CALL_TRUNCATE_FRONT, COUNT + 1}};
    for (int c = 0; c < 5; c++) {
        CHECK_NOTE("cut %d", c);
        told_t told = {.log = open_log(at("log%d", c), "")};
        slot_t slots[COUNT + 1];
        memset(slots, 0, sizeof slots);
        hold_syncs();
        CHECK_OK(append_async(&told, &slots[0], 10));
        await_held_sync();
        for (int i = 1; i < COUNT; i++)
            CHECK_OK(append_async(&told, &slots[i], 10));
        call_t cut = {.log = told.log, .kind = cuts[c].kind, .index = cuts[c].index};
        begin(&cut);
        CHECK(still_waits(&cut));
        let_syncs_go();
        CHECK_OK(result_of(&cut));
        CHECK_ALL_TOLD(told, COUNT);
        for (int i = 0; i < COUNT; i++)
            CHECK_OK(slots[i].status);
        check_told(&told);
        /* The indexes begin anew, and so does the order. */
        told.last_index = 0;
        CHECK_OK(append_async(&told, &slots[COUNT], 10));
        CHECK_ALL_TOLD(told, COUNT + 1);
        check_told(&told);
        CHECK_OK(slots[COUNT].status);
        CHECK_U64(slots[COUNT].index, walrus_last_index(told.log));
        CHECK_OK(walrus_close(told.log));
    }
}

/* Catches: OK for an entry whose sync failed, a completion that never comes, an append that a poisoned log takes. */
CASE(a_failed_sync_completes_all_that_wait_with_an_error_in_order) {
    enum { COUNT = 50 };
    told_t told = {.log = open_log(at("log"), "")};
    slot_t slots[COUNT + 2];
    memset(slots, 0, sizeof slots);
    CHECK_OK(append_async(&told, &slots[COUNT], 10));
    CHECK_ALL_TOLD(told, 1);
    hold_syncs();
    CHECK_OK(append_async(&told, &slots[0], 10));
    await_held_sync();
    for (int i = 1; i < COUNT; i++)
        CHECK_OK(append_async(&told, &slots[i], 10));
    fail_syncs(1, EIO);
    uint64_t count = count_syncs();
    let_syncs_go();
    CHECK_ALL_TOLD(told, COUNT + 1);
    check_told(&told);
    for (int i = 0; i < COUNT; i++) {
        CHECK_U64(1, slots[i].times);
        CHECK(slots[i].status == WALRUS_E_IO || slots[i].status == WALRUS_E_POISONED);
    }
    CHECK_U64(1, walrus_durable_index(told.log));
    CHECK_CODE(WALRUS_E_POISONED, append_async(&told, &slots[COUNT + 1], 10));
    CHECK_U64(count, count_syncs());
    CHECK(walrus_close(told.log) != WALRUS_OK);
    CHECK_U64(COUNT + 1, told.count);
}

/* Catches: a thread for a log that never needed one; one that is left behind. */
CASE(the_completion_thread_is_there_from_the_first_append_to_close) {
    slot_t slots[2];
    memset(slots, 0, sizeof slots);
    await_background_of_sanitizers();
    holdings_t before = count_holdings();
    told_t told = {.log = open_log(at("log"), "")};
    append_payload(told.log, 10, 1);
    CHECK_U64(before.threads, count_threads());
    CHECK_OK(append_async(&told, &slots[1], 1));
    CHECK_ALL_TOLD(told, 1);
    CHECK(count_threads() > before.threads);
    CHECK_OK(walrus_close(told.log));
    CHECK_HOLDINGS(before);
}

/* Catches: a child that appends to its parent's log, or completes the parent's appends a second time. */
CASE(a_forked_child_is_told_nothing) {
    told_t told = {.log = open_log(at("log"), "")};
    slot_t slots[2];
    memset(slots, 0, sizeof slots);
    hold_syncs();
    CHECK_OK(append_async(&told, &slots[0], 10));
    await_held_sync();
    pid_t child = start();
    if (child == 0) {
        CHECK_CODE(WALRUS_E_FORKED, append_async(&told, &slots[1], 10));
        walrus_close(told.log);
        CHECK_U64(0, told.count);
        _exit(0);
    }
    CHECK_U64(0, await(child));
    let_syncs_go();
    CHECK_ALL_TOLD(told, 1);
    CHECK_OK(slots[0].status);
    CHECK_OK(walrus_close(told.log));
}
