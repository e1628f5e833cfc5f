/* test_callbacks.c - callbacks made at run time, with their state bound to them: each kind, each end, each way back in
 *
 * What a callback may call is said by "Callbacks" at the head of walrus.h; what it may not call answers BUSY. A deadlock
 * is a failure: load() sets a watchdog.
 */
#include "foreign.h"

#include <stdatomic.h>
#include <sys/syscall.h>

static pid_t thread_id(void) { return (pid_t)syscall(SYS_gettid); }

/* ---- Walks: what the four kinds of visitors have in common ---------------------------------- */

typedef struct walk {
    const char *callback;
    const char *function;
    uint64_t steps; /* of a walk that nobody stops; 0: whatever the first walk shows */
} walk_t;

static const walk_t walks[] = {{"walrus_visit_fn", "walrus_scan", 50},
                               {"walrus_meta_visit_fn", "walrus_meta_each", 20},
                               {"walrus_segment_visit_fn", "walrus_segments", 0},
                               {"walrus_option_visit_fn", "walrus_options_each", 0}};
enum { WALKS = sizeof walks / sizeof walks[0] };

/* 50 entries in several segments, 20 keys. */
static walrus_t *log_to_walk(void) {
    walrus_options_t *options = (walrus_options_t *)CALL(options_new);
    walrus_t *log = NULL;
    CHECK_OK(CODE(options_set, options, "sync", "os"));
    CHECK_OK(CODE(options_set_u64, options, "segment_size", 4096));
    CHECK_OK(CODE(open, at("log"), options, &log));
    CALL(options_free, options);
    char bytes[300] = "entry", key[16];
    for (int i = 0; i < 50; i++)
        CHECK_OK(CODE(append, log, bytes, sizeof bytes, NULL));
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "key %02d", i);
        CHECK_OK(CODE(meta_set, log, key, &i, sizeof i));
    }
    return log;
}

static int64_t run_walk(const walk_t *walk, walrus_t *log, const closure_t *visitor, void *ctx) {
    void *code = visitor != NULL ? visitor->code : NULL;
    if (strcmp(walk->function, "walrus_scan") == 0)
        return CODE(scan, log, 1, UINT64_MAX, code, ctx);
    if (strcmp(walk->function, "walrus_meta_each") == 0)
        return CODE(meta_each, log, code, ctx);
    if (strcmp(walk->function, "walrus_segments") == 0)
        return CODE(segments, log, code, ctx);
    return CODE(options_each, NULL, code, ctx);
}

typedef struct step {
    uint64_t seen;
    uint64_t stop_after; /* 0: never */
    int64_t answer;      /* at the stop, and everywhere if there is none */
    uint64_t ctx;        /* as it arrived */
    pid_t thread;
    uint64_t last; /* of a scan or of segments: the index up to which all were seen */
    bool in_order;
} step_t;

static int64_t step_once(void *state, const uint64_t *words) {
    step_t *step = state;
    step->ctx = words[0];
    step->thread = thread_id();
    step->seen++;
    return step->stop_after == 0 || step->seen == step->stop_after ? step->answer : 0;
}

static int64_t step_over_entry(void *state, const uint64_t *words) {
    step_t *step = state;
    const walrus_entry_t *entry = (const walrus_entry_t *)words[1];
    step->in_order = step->in_order && entry->index == step->last + 1 && entry->size == 300 &&
                     memcmp(entry->data, "entry", 6) == 0;
    step->last = entry->index;
    return step_once(state, words);
}

static int64_t step_over_key(void *state, const uint64_t *words) {
    step_t *step = state;
    char key[16];
    int number = -1;
    snprintf(key, sizeof key, "key %02d", (int)step->seen);
    if (words[3] == sizeof number)
        memcpy(&number, (const void *)words[2], sizeof number);
    step->in_order = step->in_order && strcmp((const char *)words[1], key) == 0 && number == (int)step->seen;
    return step_once(state, words);
}

static int64_t step_over_segment(void *state, const uint64_t *words) {
    step_t *step = state;
    const walrus_segment_info_t *info = (const walrus_segment_info_t *)words[1];
    step->in_order = step->in_order && info->struct_size >= sizeof *info && info->first_index == step->last + 1 &&
                     info->last_index >= info->first_index && strlen(info->name) > 0 &&
                     (info->is_tail == 1) == (info->last_index == 50);
    step->last = info->last_index;
    return step_once(state, words);
}

static int64_t step_over_option(void *state, const uint64_t *words) {
    step_t *step = state;
    step->in_order =
        step->in_order && strlen((const char *)words[1]) > 0 && words[2] != 0 && strlen((const char *)words[3]) > 0;
    return step_once(state, words);
}

static const closure_body_t bodies[WALKS] = {step_over_entry, step_over_key, step_over_segment, step_over_option};

/* Catches: a wrong argument, a ctx that is not handed through, a visitor on another thread, one that is left out. */
CASE(a_closure_sees_everything_in_order_on_the_calling_thread) {
    CHECK_KEEP_GOING();
    load();
    walrus_t *log = log_to_walk();
    for (size_t i = 0; i < WALKS; i++) {
        step_t step = {.in_order = true};
        closure_t *visitor = closure_new(walks[i].callback, bodies[i], &step);
        CHECK_NOTE("%s", walks[i].function);
        CHECK_OK(run_walk(&walks[i], log, visitor, (void *)UINTPTR_MAX));
        CHECK(step.in_order);
        CHECK(step.seen >= 3);
        CHECK(walks[i].steps == 0 || step.seen == walks[i].steps);
        CHECK_U64(UINTPTR_MAX, step.ctx);
        CHECK(step.thread == thread_id());
        if (i == 2)
            CHECK_U64(50, step.last);
        closure_free(visitor);
    }
    CHECK_OK(CODE(close, log));
}

/* Catches: a stop that is taken for an error, or whose value is changed on the way; an error value that stops. */
CASE(a_value_above_0_stops_and_is_returned_and_a_negative_one_does_not) {
    CHECK_KEEP_GOING();
    load();
    walrus_t *log = log_to_walk();
    for (size_t i = 0; i < WALKS; i++) {
        step_t step = {.stop_after = 2, .answer = 77};
        closure_t *visitor = closure_new(walks[i].callback, step_once, &step);
        CHECK_NOTE("%s", walks[i].function);
        CHECK_CODE(77, run_walk(&walks[i], log, visitor, NULL));
        CHECK_U64(2, step.seen);
        step = (step_t){.stop_after = 1, .answer = INT32_MAX};
        CHECK_CODE(INT32_MAX, run_walk(&walks[i], log, visitor, NULL));
        CHECK_U64(1, step.seen);
        step = (step_t){.answer = 0};
        CHECK_OK(run_walk(&walks[i], log, visitor, NULL));
        uint64_t all = step.seen;
        static const int64_t errors[] = {-1, WALRUS_E_IO, WALRUS_E_BUSY, INT32_MIN};
        for (size_t j = 0; j < sizeof errors / sizeof errors[0]; j++) {
            step = (step_t){.answer = errors[j]};
            CHECK_OK(run_walk(&walks[i], log, visitor, NULL));
            CHECK_U64(all, step.seen);
        }
        closure_free(visitor);
        CHECK_CODE(WALRUS_E_INVALID, run_walk(&walks[i], log, NULL, NULL));
    }
    CHECK_OK(CODE(close, log));
}

/* Catches: a callback that is remembered after its walk: its memory is another closure's by then. */
CASE(closures_are_freed_and_built_again_between_walks) {
    load();
    walrus_t *log = log_to_walk();
    for (int round = 0; round < 500; round++)
        for (size_t i = 0; i < WALKS; i++) {
            step_t *step = calloc(1, sizeof *step);
            step->stop_after = 1 + (uint64_t)round % 3;
            step->answer = round + 1;
            closure_t *visitor = closure_new(walks[i].callback, step_once, step);
            CHECK_CODE(round + 1, run_walk(&walks[i], log, visitor, NULL));
            CHECK_U64(1 + (uint64_t)round % 3, step->seen);
            closure_free(visitor);
            free(step);
        }
    CHECK_OK(CODE(close, log));
}

/* ---- The way back in: visitors -------------------------------------------------------------- */

typedef struct reentry {
    walrus_t *log;
    closure_t *inner; /* for a walk inside a walk */
    uint64_t seen, appended;
} reentry_t;

static void call_everything(reentry_t *state) {
    walrus_t *log = state->log;
    walrus_entry_t entry;
    walrus_cursor_t *cursor = NULL;
    walrus_txn_t *txn = NULL;
    walrus_record_t record = {.data = "from a visitor", .size = 14};
    uint64_t index = 0, first = CALL(first_index, log);
    walrus_stats_t stats = {.struct_size = sizeof stats};
    CHECK_OK(CODE(append, log, "from a visitor", 14, &index));
    CHECK_OK(CODE(append_record, log, &record, WALRUS_DURABLE, &index));
    CHECK_OK(CODE(append_async, log, &record, 0, NULL, NULL, &index));
    CHECK_OK(CODE(wait_durable, log, index, INT64_C(-1)));
    CHECK_OK(CODE(sync, log));
    CHECK_OK(CODE(get, log, first, &entry));
    CALL(entry_release, &entry);
    CHECK_OK(CODE(cursor_open, log, index, 0, &cursor));
    CHECK_OK(CODE(cursor_wait, cursor, INT64_C(0)));
    CHECK_OK(CODE(cursor_next, cursor, &entry));
    CALL(entry_release, &entry);
    CALL(cursor_close, cursor);
    CHECK_OK(CODE(txn_begin, log, INT64_C(0), &txn));
    CHECK_OK(CODE(txn_append, txn, &record));
    CHECK_OK(CODE(txn_commit, txn, 0, &index, NULL));
    CHECK_OK(CODE(meta_set, log, "from a visitor", "value", 5));
    CHECK_OK(CODE(meta_delete, log, "from a visitor"));
    CHECK_OK(CODE(stats, log, &stats));
    CHECK_OK(CODE(rotate, log));
    CHECK_OK(CODE(truncate, log, index - 1));
    CHECK_OK(CODE(replace_suffix, log, index, &record, 1, 0));
    CHECK_OK(CODE(truncate_front, log, first));
    for (size_t i = 0; i < WALKS; i++) {
        step_t step = {.stop_after = 1, .answer = 5};
        closure_t *inner = closure_new(walks[i].callback, step_once, &step);
        CHECK_CODE(5, run_walk(&walks[i], log, inner, NULL));
        closure_free(inner);
    }
    CHECK_CODE(WALRUS_E_BUSY, CODE(close, log));
}

static int64_t visit_and_call(void *opaque, const uint64_t *words) {
    (void)words;
    reentry_t *state = opaque;
    if (state->seen++ < 3)
        call_everything(state);
    return 0;
}

/* Catches: a lock that is held while a visitor runs, and a handle that its own walk's visitor frees. */
CASE(a_visitor_may_call_anything_but_close) {
    load();
    walrus_t *log = log_to_walk();
    for (size_t i = 0; i < WALKS - 1; i++) { /* options_each has no log to close */
        reentry_t state = {.log = log};
        closure_t *visitor = closure_new(walks[i].callback, visit_and_call, &state);
        CHECK_NOTE("%s", walks[i].function);
        CHECK_OK(run_walk(&walks[i], log, visitor, NULL));
        CHECK(state.seen >= 3);
        closure_free(visitor);
        CHECK_OK(CODE(append, log, "after", 5, NULL));
    }
    CHECK_OK(CODE(close, log));
}

static int64_t shut_down(void *opaque, const uint64_t *words) {
    (void)words;
    reentry_t *state = opaque;
    if (state->seen++ == 0)
        CHECK_OK(CODE(shutdown, state->log));
    return 0;
}

/* Catches: a walk that goes on with what is closed. */
CASE(a_visitor_may_shut_the_log_down) {
    load();
    walrus_t *log = log_to_walk();
    reentry_t state = {.log = log};
    closure_t *visitor = closure_new("walrus_visit_fn", shut_down, &state);
    int64_t code = CODE(scan, log, 1, UINT64_MAX, visitor->code, NULL);
    if (code != WALRUS_E_CLOSED)
        FAIL("the scan answered %s", check_code_name(code));
    CHECK_OK(CODE(close, log));
    closure_free(visitor);
}

static int64_t close_another(void *opaque, const uint64_t *words) {
    (void)words;
    reentry_t *state = opaque;
    if (state->seen++ == 0) {
        CHECK_OK(CODE(append, state->log, "other", 5, NULL));
        CHECK_OK(CODE(close, state->log));
    }
    return 0;
}

/* Catches: a guard that takes every log for the one whose callback runs. */
CASE(a_visitor_may_close_another_log) {
    load();
    walrus_t *log = log_to_walk();
    for (size_t i = 0; i < WALKS; i++) {
        reentry_t state = {.log = open_foreign(at("other"), NULL, NULL)};
        closure_t *visitor = closure_new(walks[i].callback, close_another, &state);
        CHECK_OK(run_walk(&walks[i], log, visitor, NULL));
        CHECK(state.seen >= 3);
        closure_free(visitor);
    }
    CHECK_OK(CODE(close, log));
}

/* ---- Completions ---------------------------------------------------------------------------- */

typedef struct completion {
    _Atomic(int) calls;
    _Atomic(uint64_t) index;
    _Atomic(int32_t) status;
    _Atomic(pid_t) thread;
    _Atomic(uint64_t) ctx;
    atomic_ullong *last; /* the highest index completed before, of all completions of the log; NULL: not looked at */
    _Atomic(bool) out_of_order;
} completion_t;

static int64_t complete(void *opaque, const uint64_t *words) {
    completion_t *state = opaque;
    if (state->last != NULL) {
        state->out_of_order = *state->last >= words[1];
        *state->last = words[1];
    }
    state->ctx = words[0];
    state->index = words[1];
    state->status = (int32_t)words[2];
    state->thread = thread_id();
    state->calls++;
    return 0;
}

static void await_calls(completion_t *state, int calls) {
    for (int i = 0; i < 10000 && state->calls < calls; i++)
        usleep(500);
    CHECK_U64(calls, state->calls);
}

/* Catches: a completion on the caller's thread, out of order, twice or never, or for another entry. */
CASE(completions_arrive_once_in_order_on_one_thread_of_the_library) {
    enum { COUNT = 1000 };
    load();
    walrus_t *log = open_foreign(at("log"), NULL, NULL);
    static completion_t states[COUNT];
    static closure_t *closures[COUNT];
    static uint64_t indexes[COUNT];
    atomic_ullong last = 0;
    walrus_record_t record = {.data = "async", .size = 5};
    for (size_t i = 0; i < COUNT; i++) {
        states[i].last = &last;
        closures[i] = closure_new("walrus_done_fn", complete, &states[i]);
        CHECK_OK(CODE(append_async, log, &record, 0, closures[i]->code, &states[i], &indexes[i]));
    }
    await_calls(&states[COUNT - 1], 1);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_U64(1, states[i].calls);
        CHECK_U64(i + 1, indexes[i]);
        CHECK_U64(i + 1, states[i].index);
        CHECK_OK(states[i].status);
        CHECK_U64(W(&states[i]), states[i].ctx);
        CHECK(states[i].thread == states[0].thread && states[i].thread != thread_id());
        CHECK(!states[i].out_of_order);
    }
    CHECK_U64(COUNT, CALL(durable_index, log));
    CHECK_OK(CODE(close, log));
    for (size_t i = 0; i < COUNT; i++)
        closure_free(closures[i]);
}

/* Catches: a use of a callback after it returned: the one before is freed as soon as the next one was called. */
CASE(a_completions_closure_may_be_freed_once_the_next_one_came) {
    load();
    walrus_t *log = open_foreign(at("log"), NULL, NULL);
    closure_t *before = NULL;
    completion_t *state_before = NULL;
    walrus_record_t record = {.data = "async", .size = 5};
    for (int i = 0; i < 300; i++) {
        completion_t *state = calloc(1, sizeof *state);
        closure_t *closure = closure_new("walrus_done_fn", complete, state);
        CHECK_OK(CODE(append_async, log, &record, 0, closure->code, NULL, NULL));
        await_calls(state, 1);
        if (before != NULL)
            closure_free(before);
        free(state_before);
        before = closure, state_before = state;
    }
    CHECK_OK(CODE(close, log));
    closure_free(before);
    free(state_before);
}

typedef struct chain {
    walrus_t *log, *other;
    walrus_cursor_t *cursor; /* of the completion thread alone, as is the transaction */
    walrus_txn_t *txn;
    closure_t *self;
    _Atomic(int) calls, left;
    _Atomic(bool) probed;
} chain_t;

/* From inside a completion: what would wait, and what does not. */
static void probe_completion(chain_t *state, uint64_t index) {
    walrus_t *log = state->log;
    walrus_entry_t entry;
    uint64_t pending = 0;
    walrus_record_t record = {.data = "more", .size = 4};
    CHECK_OK(CODE(get, log, index, &entry));
    CALL(entry_release, &entry);
    CHECK(CALL(durable_index, log) >= index);
    CHECK_OK(CODE(wait_durable, log, index, INT64_C(0)));
    CHECK_OK(CODE(append_async, log, &record, 0, NULL, NULL, &pending));
    CHECK_CODE(WALRUS_E_BUSY, CODE(append, log, "wait", 4, NULL));
    CHECK_CODE(WALRUS_E_BUSY, CODE(append_record, log, &record, WALRUS_DURABLE, NULL));
    CHECK_U64(pending, CALL(last_index, log)); /* what was refused is not in the log */
    CHECK_CODE(WALRUS_E_BUSY, CODE(sync, log));
    CHECK_CODE(WALRUS_E_BUSY, CODE(wait_durable, log, pending, INT64_C(-1)));
    CHECK_CODE(WALRUS_E_BUSY, CODE(truncate, log, index));
    CHECK_CODE(WALRUS_E_BUSY, CODE(truncate_front, log, index));
    CHECK_CODE(WALRUS_E_BUSY, CODE(replace_suffix, log, pending, &record, 1, 0));
    CHECK_CODE(WALRUS_E_BUSY, CODE(reset, log, 100));
    CHECK_CODE(WALRUS_E_BUSY, CODE(meta_set, log, "key", "value", 5));
    CHECK_OK(CODE(cursor_seek, state->cursor, CALL(next_index, log)));
    CHECK_CODE(WALRUS_E_BUSY, CODE(cursor_wait, state->cursor, INT64_C(-1)));
    CHECK_OK(CODE(txn_append, state->txn, &record));
    CHECK_CODE(WALRUS_E_BUSY, CODE(txn_commit, state->txn, WALRUS_DURABLE, NULL, NULL));
    CHECK_CODE(WALRUS_TXN_OPEN, CODE(txn_state, state->txn));
    CHECK_CODE(WALRUS_E_BUSY, CODE(close, log));
    CHECK_OK(CODE(append, state->other, "another log may wait", 20, NULL));
    state->probed = true;
}

static int64_t complete_and_call(void *opaque, const uint64_t *words) {
    chain_t *state = opaque;
    if (!state->probed)
        probe_completion(state, words[1]);
    if (state->left-- > 0) {
        walrus_record_t record = {.data = "next", .size = 4};
        CHECK_OK(CODE(append_async, state->log, &record, 0, state->self->code, NULL, NULL));
    }
    state->calls++;
    return 0;
}

/* Catches: a completion thread that waits for itself, a lock that is held while a completion runs. */
CASE(a_completion_may_append_asynchronously_and_whatever_waits_is_busy) {
    load();
    chain_t state = {.left = 200};
    state.log = open_foreign(at("log"), NULL, NULL);
    state.other = open_foreign(at("other"), NULL, NULL);
    state.self = closure_new("walrus_done_fn", complete_and_call, &state);
    CHECK_OK(CODE(cursor_open, state.log, 0, 0, &state.cursor));
    CHECK_OK(CODE(txn_begin, state.log, INT64_C(-1), &state.txn));
    walrus_record_t record = {.data = "first", .size = 5};
    CHECK_OK(CODE(append_async, state.log, &record, 0, state.self->code, NULL, NULL));
    for (int i = 0; i < 10000 && state.calls < 201; i++)
        usleep(1000);
    CHECK_U64(201, state.calls);
    CHECK_OK(CODE(txn_rollback, state.txn));
    CALL(cursor_close, state.cursor);
    CHECK_OK(CODE(close, state.log));
    CHECK_OK(CODE(close, state.other));
    CHECK_U64(201, state.calls);
    closure_free(state.self);
}

/* Catches: a completion that is dropped, or comes after close has freed what it belongs to. */
CASE(shutdown_and_close_deliver_every_completion) {
    enum { COUNT = 200 };
    load();
    for (int round = 0; round < 10; round++) {
        walrus_t *log = open_foreign(at("log"), NULL, NULL);
        completion_t *states = calloc(COUNT, sizeof *states);
        closure_t *closures[COUNT];
        walrus_record_t record = {.data = "async", .size = 5};
        for (size_t i = 0; i < COUNT; i++) {
            closures[i] = closure_new("walrus_done_fn", complete, &states[i]);
            CHECK_OK(CODE(append_async, log, &record, 0, closures[i]->code, NULL, NULL));
        }
        if (round % 2 == 0)
            CHECK_OK(CODE(shutdown, log));
        CHECK_OK(CODE(close, log));
        for (size_t i = 0; i < COUNT; i++) {
            CHECK_U64(1, states[i].calls);
            CHECK(states[i].status == WALRUS_OK || states[i].status == WALRUS_E_CLOSED);
            closure_free(closures[i]);
        }
        free(states);
    }
    walrus_t *log = open_foreign(at("log"), NULL, NULL);
    CHECK_U64(10 * COUNT, CALL(last_index, log));
    CHECK_OK(CODE(close, log));
}

/* ---- The logger ----------------------------------------------------------------------------- */

typedef struct listener {
    walrus_t *_Atomic log;
    pid_t main_thread; /* the one to which the next two belong */
    walrus_cursor_t *cursor;
    walrus_txn_t *txn;
    _Atomic(uint64_t) messages, refused, wrong;
    _Atomic(bool) closing; /* from then on CLOSED and 0 are right, too */
    _Atomic(bool) broken;  /* a level out of bounds, or no text */
} listener_t;

static void expect_busy(listener_t *state, int64_t code) {
    if (code == WALRUS_E_BUSY || (code == WALRUS_E_CLOSED && state->closing))
        state->refused++;
    else
        state->wrong++;
}

static int64_t visit_never(void *state, const uint64_t *words) {
    (void)words;
    ((listener_t *)state)->wrong++;
    return 0;
}

static void call_with_handles(listener_t *state) {
    walrus_entry_t entry;
    walrus_record_t record = {.data = "logged", .size = 6};
    walrus_txn_t *txn = NULL;
    walrus_cursor_t *cursor = NULL;
    expect_busy(state, CODE(cursor_open, state->log, 0, 0, &cursor));
    expect_busy(state, CODE(cursor_next, state->cursor, &entry));
    expect_busy(state, CODE(cursor_prev, state->cursor, &entry));
    expect_busy(state, CODE(cursor_seek, state->cursor, 1));
    expect_busy(state, CODE(cursor_wait, state->cursor, INT64_C(-1)));
    expect_busy(state, CODE(txn_begin, state->log, INT64_C(0), &txn));
    expect_busy(state, CODE(txn_append, state->txn, &record));
    expect_busy(state, CODE(txn_commit, state->txn, 0, NULL, NULL));
    closure_t *visitor = closure_new("walrus_visit_fn", visit_never, state);
    expect_busy(state, CODE(scan, state->log, 1, UINT64_MAX, visitor->code, NULL));
    closure_free(visitor);
}

static int64_t listen_and_call(void *opaque, const uint64_t *words) {
    listener_t *state = opaque;
    int32_t level = (int32_t)words[1];
    if (level < WALRUS_LOG_ERROR || level > WALRUS_LOG_DEBUG || words[2] == 0 || strlen((const char *)words[2]) == 0)
        state->broken = true;
    state->messages++;
    walrus_t *log = state->log;
    if (log == NULL) /* walrus_open has not returned */
        return 0;
    walrus_entry_t entry;
    walrus_record_t record = {.data = "logged", .size = 6};
    walrus_stats_t stats = {.struct_size = sizeof stats};
    size_t size;
    expect_busy(state, CODE(append, log, "logged", 6, NULL));
    expect_busy(state, CODE(append_async, log, &record, 0, NULL, NULL, NULL));
    expect_busy(state, CODE(get, log, 1, &entry));
    CALL(entry_release, &entry);
    expect_busy(state, CODE(sync, log));
    expect_busy(state, CODE(truncate, log, 1));
    expect_busy(state, CODE(rotate, log));
    expect_busy(state, CODE(meta_set, log, "key", "value", 5));
    expect_busy(state, CODE(meta_get, log, "key", NULL, 0, &size));
    expect_busy(state, CODE(stats, log, &stats));
    expect_busy(state, CODE(close, log));
    if (thread_id() == state->main_thread && state->txn != NULL)
        call_with_handles(state);
    CALL(first_index, log);
    CALL(last_index, log);
    CALL(durable_index, log);
    if (CALL(next_index, log) == 0 && !state->closing)
        state->wrong++;
    return 0;
}

/* Catches: a logger that is called with a lock held, and takes it again; one whose answers make more messages. */
CASE(what_a_logger_calls_on_its_log_is_busy) {
    load();
    listener_t state = {0};
    closure_t *logger = closure_new("walrus_log_fn", listen_and_call, &state);
    walrus_options_t *options = (walrus_options_t *)CALL(options_new);
    walrus_t *log = NULL;
    CHECK_OK(CODE(options_set_u64, options, "segment_size", 4096));
    CHECK_OK(CODE(options_set_logger, options, logger->code, NULL, WALRUS_LOG_DEBUG));
    CHECK_OK(CODE(open, at("log"), options, &log));
    CALL(options_free, options);
    CHECK(state.messages > 0); /* it says that it was created */
    CHECK_OK(CODE(cursor_open, log, 0, 0, &state.cursor));
    CHECK_OK(CODE(txn_begin, log, INT64_C(-1), &state.txn));
    state.main_thread = thread_id();
    state.log = log;
    char bytes[500] = "entry";
    for (int i = 0; i < 100; i++)
        CHECK_OK(CODE(append, log, bytes, sizeof bytes, NULL));
    CHECK_OK(CODE(truncate_front, log, 50));
    CHECK(state.refused > 0);
    CHECK_U64(0, state.wrong);
    CHECK_U64(100, CALL(last_index, log));
    CALL(cursor_close, state.cursor);
    CHECK_OK(CODE(txn_rollback, state.txn));
    state.txn = NULL;
    state.closing = true;
    CHECK_OK(CODE(close, log)); /* it says that it closes, too */
    CHECK_U64(0, state.wrong);
    CHECK(!state.broken);
    closure_free(logger);
}

static int64_t count_message(void *opaque, const uint64_t *words) {
    (void)words;
    listener_t *state = opaque;
    state->messages++;
    return 0;
}

/* Catches: a level that is not kept, a logger that cannot be taken away again. */
CASE(a_logger_hears_its_level_and_can_be_taken_away) {
    load();
    listener_t state = {0};
    closure_t *logger = closure_new("walrus_log_fn", count_message, &state);
    for (int round = 0; round < 3; round++) {
        walrus_options_t *options = (walrus_options_t *)CALL(options_new);
        walrus_t *log = NULL;
        int32_t level = round == 0 ? WALRUS_LOG_ERROR : WALRUS_LOG_INFO;
        CHECK_OK(CODE(options_set_logger, options, logger->code, NULL, level));
        if (round == 2)
            CHECK_OK(CODE(options_set_logger, options, NULL, NULL, WALRUS_LOG_INFO));
        CHECK_OK(CODE(open, at("log"), options, &log));
        CHECK_OK(CODE(close, log));
        CALL(options_free, options);
        CHECK(round == 1 ? state.messages > 0 : state.messages == 0);
        state.messages = 0;
    }
    closure_free(logger);
}

/* ---- Load ----------------------------------------------------------------------------------- */

enum { PRODUCERS = 4, PER_PRODUCER = 1500, READERS = 2 };

typedef struct load_test {
    walrus_t *log;
    completion_t *states;
    closure_t **closures;
    _Atomic(bool) over;
    _Atomic(uint64_t) walks;
} load_test_t;

typedef struct producer {
    load_test_t *test;
    size_t first;
} producer_t;

static void *produce(void *opaque) {
    producer_t *producer = opaque;
    load_test_t *test = producer->test;
    for (size_t i = producer->first; i < producer->first + PER_PRODUCER; i++) {
        walrus_record_t record = {.data = &i, .size = sizeof i};
        test->closures[i] = closure_new("walrus_done_fn", complete, &test->states[i]);
        CHECK_OK(CODE(append_async, test->log, &record, 0, test->closures[i]->code, NULL, NULL));
    }
    return NULL;
}

static int64_t visit_a_number(void *state, const uint64_t *words) {
    const walrus_entry_t *entry = (const walrus_entry_t *)words[1];
    CHECK_U64(sizeof(size_t), entry->size);
    ++*(uint64_t *)state;
    return 0;
}

static void *walk_all_the_time(void *opaque) {
    load_test_t *test = opaque;
    while (!test->over) {
        uint64_t seen = 0, first = CALL(first_index, test->log);
        closure_t *visitor = closure_new("walrus_visit_fn", visit_a_number, &seen);
        if (first != 0)
            CHECK_OK(CODE(scan, test->log, first, first + 200, visitor->code, NULL));
        closure_free(visitor);
        test->walks++;
    }
    return NULL;
}

/* Catches: a race between the completions and everything else, a state that is mixed up with another one's. */
CASE(thousands_of_closures_under_load) {
    load();
    enum { ALL = PRODUCERS * PER_PRODUCER };
    load_test_t test = {.log = open_foreign(at("log"), "async_max_bytes", "4KiB")};
    test.states = calloc(ALL, sizeof *test.states);
    test.closures = calloc(ALL, sizeof *test.closures);
    atomic_ullong last = 0;
    for (size_t i = 0; i < ALL; i++)
        test.states[i].last = &last;
    pthread_t threads[PRODUCERS + READERS];
    producer_t producers[PRODUCERS];
    for (size_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (producer_t){&test, i * PER_PRODUCER};
        CHECK(pthread_create(&threads[i], NULL, produce, &producers[i]) == 0);
    }
    for (size_t i = 0; i < READERS; i++)
        CHECK(pthread_create(&threads[PRODUCERS + i], NULL, walk_all_the_time, &test) == 0);
    for (size_t i = 0; i < PRODUCERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_OK(CODE(sync, test.log));
    for (size_t i = 0; i < ALL; i++)
        await_calls(&test.states[i], 1);
    test.over = true;
    for (size_t i = 0; i < READERS; i++)
        CHECK(pthread_join(threads[PRODUCERS + i], NULL) == 0);
    CHECK(test.walks > 0);
    CHECK_U64(ALL, CALL(last_index, test.log));
    /* Each closure was told the index at which its own number is. */
    for (size_t i = 0; i < ALL; i++) {
        walrus_entry_t entry;
        CHECK(!test.states[i].out_of_order && test.states[i].status == WALRUS_OK);
        CHECK_OK(CODE(get, test.log, test.states[i].index, &entry));
        CHECK_BYTES(&i, sizeof i, entry.data, entry.size);
        CALL(entry_release, &entry);
    }
    CHECK_OK(CODE(close, test.log));
    for (size_t i = 0; i < ALL; i++) {
        CHECK_U64(1, test.states[i].calls);
        closure_free(test.closures[i]);
    }
    free(test.states);
    free(test.closures);
}
