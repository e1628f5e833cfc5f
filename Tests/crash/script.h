/* script.h - a seeded script of calls, and the journal of what was promised when
 *
 * A session drives one log through the public header. After each call it knows on which lines the log may be; calls that fail
 * leave both what was before and what was asked for, unless their code says that nothing was done.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "course.h"
#include "../c/variants.h"

typedef struct session {
    walrus_t *log;
    const char *directory;
    char text[300];          /* its options                                                                                 */
    uint32_t policy;         /* that of its appends, as a flag                                                              */
    random_source_t chance;
    line_t lines[LINES];     /* where the log may be                                                                        */
    int count;
    value_t staged[KEYS];
    given_t former[512];     /* what was given at an index (modulo 512), for entries that come back byte for byte           */
    uint32_t term;
    bool was_poisoned;       /* before the call at hand                                                                     */
} session_t;

enum { POLICIES = 4 };
static const struct {
    const char *text;
    uint32_t flag;
} policies[POLICIES] = {{"always", WALRUS_DURABLE}, {"os", WALRUS_TO_OS}, {"interval sync_interval_ms=3", WALRUS_TO_OS}, {"none", WALRUS_BUFFERED}};

/* A session that begins with a log that does not exist yet. All of it follows from the seed. */
static inline void session_begin(session_t *session, const char *directory, const char *how, uint64_t seed) {
    memset(session, 0, sizeof *session);
    session->directory = directory;
    session->chance.state = seed;
    random_source_t *chance = &session->chance;
    static const char *const sizes[] = {"4KiB", "4KiB", "8KiB", "16KiB", "64KiB"};
    uint64_t policy = below(chance, 2) ? 0 : below(chance, POLICIES);
    session->policy = policies[policy].flag;
    snprintf(session->text, sizeof session->text, "sync=%s segment_size=%s buffer_size=4KiB %s%s%s%s", policies[policy].text,
             sizes[below(chance, 5)], how, below(chance, 4) ? "" : " preallocate=off", below(chance, 5) ? "" : " sync_padding=4096",
             below(chance, 4) ? "" : " zero_copy=off");
    session->count = 1;
    session->lines[0].first = 1;
    session->term = 1;
}

/* ---- Choosing ------------------------------------------------------------------------------- */

static inline given_t choose_entry(session_t *session, uint64_t index) {
    random_source_t *chance = &session->chance;
    given_t *former = &session->former[index % 512];
    if (below(chance, 12) == 0)
        session->term++;
    if (former->term == 0 || below(chance, 2)) {
        uint32_t size = below(chance, 8) == 0 ? 0 : (uint32_t)below(chance, 300);
        if (below(chance, 30) == 0)
            size = 2000 + (uint32_t)below(chance, 9000);
        *former = (given_t){.seed = next_random(chance), .size = size, .term = session->term};
    }
    return *former;
}

static inline value_t choose_value(random_source_t *chance) {
    uint32_t size = below(chance, 6) == 0 ? 0 : (uint32_t)below(chance, 80);
    if (below(chance, 12) == 0) /* more than fits into a slot's first block, or into the smallest write buffer */
        size = 3000 + (uint32_t)below(chance, 5000);
    return (value_t){next_random(chance), size, true};
}

static inline void choose_entries(session_t *session, step_t *step, int count, uint64_t index) {
    step->count = count;
    for (int i = 0; i < count; i++)
        step->given[i] = choose_entry(session, index + (uint64_t)i);
}

/* A step that the log as it is now allows. */
static inline step_t choose_step(session_t *session) {
    random_source_t *chance = &session->chance;
    uint64_t next = walrus_next_index(session->log), first = walrus_first_index(session->log);
    if (first == 0)
        first = next;
    uint64_t span = next - first, what = below(chance, 100);
    step_t step = {.kind = STEP_LOOK, .key = (int)below(chance, KEYS)};
    static const uint32_t flags[] = {WALRUS_DURABLE, WALRUS_TO_OS, WALRUS_BUFFERED};
    step.flags = below(chance, 3) ? 0 : flags[below(chance, 3)];
    if (span > ENTRIES / 2)
        what = 66;
    if (what < 28) {
        step.kind = STEP_APPEND;
        choose_entries(session, &step, 1, next);
    } else if (what < 48) {
        step.kind = what < 41 ? STEP_BATCH : STEP_TRANSACTION;
        choose_entries(session, &step, 2 + (int)below(chance, PER_STEP - 1), next);
    } else if (what < 52) {
        step.kind = STEP_ASYNC;
        choose_entries(session, &step, 1 + (int)below(chance, PER_STEP), next);
    } else if (what < 58)
        step.kind = STEP_SYNC;
    else if (what < 66) {
        step.kind = STEP_TRUNCATE;
        step.index = next - 1 - below(chance, span + 1);
    } else if (what < 71) {
        step.kind = STEP_TRUNCATE_FRONT;
        step.index = first + below(chance, span + 1);
    } else if (what < 72) {
        step.kind = STEP_RESET;
        step.index = 1 + below(chance, 200);
    } else if (what < 78) {
        step.kind = STEP_REPLACE;
        step.index = next - below(chance, span + 1);
        choose_entries(session, &step, 1 + (int)below(chance, 4), step.index);
    } else if (what < 82)
        step.kind = STEP_ROTATE;
    else if (what < 85)
        step.kind = STEP_CLOSE;
    else if (what < 89)
        step.kind = STEP_SET;
    else if (what < 91)
        step.kind = STEP_DELETE;
    else
        step.kind = STEP_STAGE;
    if (step.kind == STEP_SET || step.kind == STEP_STAGE)
        step.value = choose_value(chance);
    return step;
}

/* ---- Calling -------------------------------------------------------------------------------- */

static inline bool appends(const step_t *step) { return step->kind >= STEP_APPEND && step->kind <= STEP_ASYNC; }

static inline int32_t call_transaction(walrus_t *log, const walrus_record_t *records, int count, uint32_t flags, uint64_t *index) {
    walrus_txn_t *transaction = NULL;
    int32_t result = walrus_txn_begin(log, 0, &transaction);
    for (int i = 0; i < count && result == WALRUS_OK; i++)
        result = walrus_txn_append(transaction, &records[i]);
    if (result == WALRUS_OK)
        result = walrus_txn_commit(transaction, flags, index, NULL);
    if (result != WALRUS_OK)
        walrus_txn_rollback(transaction);
    return result;
}

/* Makes the step's call. *index gets the first index that it was given, and *accepted how many asynchronous appends were. */
static inline int32_t call_step(session_t *session, const step_t *step, uint64_t *index, int *accepted) {
    walrus_t *log = session->log;
    walrus_record_t records[PER_STEP] = {0};
    for (int i = 0; i < step->count; i++) {
        const given_t *given = &step->given[i];
        records[i] = (walrus_record_t){.data = payload(given->size, given->seed), .size = given->size, .term = given->term,
                                       .timestamp_ns = time_of(given)};
    }
    unsigned char *value = payload(step->value.size, step->value.seed);
    size_t count = (size_t)step->count;
    int32_t result = WALRUS_OK;
    switch (step->kind) {
    case STEP_OPEN: result = try_open(session->directory, session->text, &session->log); break;
    case STEP_APPEND: result = walrus_append_record(log, records, step->flags, index); break;
    case STEP_BATCH: result = walrus_append_batch(log, records, count, step->flags, index); break;
    case STEP_TRANSACTION: result = call_transaction(log, records, step->count, step->flags, index); break;
    case STEP_ASYNC: {
        uint64_t last = 0;
        for (*accepted = 0; *accepted < step->count && result == WALRUS_OK; ++*accepted) {
            result = walrus_append_async(log, &records[*accepted], 0, NULL, NULL, *accepted ? &last : index);
            if (result != WALRUS_OK)
                break;
        }
        if (*accepted == step->count)
            result = walrus_wait_durable(log, *index + count - 1, -1);
        break;
    }
    case STEP_SYNC: result = walrus_sync(log); break;
    case STEP_TRUNCATE: result = walrus_truncate(log, step->index); break;
    case STEP_TRUNCATE_FRONT: result = walrus_truncate_front(log, step->index); break;
    case STEP_RESET: result = walrus_reset(log, step->index); break;
    case STEP_REPLACE: result = walrus_replace_suffix(log, step->index, records, count, 0); break;
    case STEP_ROTATE: result = walrus_rotate(log); break;
    case STEP_SET: result = walrus_meta_set(log, keys[step->key], value, step->value.size); break;
    case STEP_DELETE: result = walrus_meta_delete(log, keys[step->key]); break;
    case STEP_STAGE: result = walrus_meta_stage(log, keys[step->key], value, step->value.size); break;
    case STEP_CLOSE:
        result = walrus_close(log);
        session->log = NULL;
        break;
    default: break;
    }
    for (int i = 0; i < step->count; i++)
        free((void *)(uintptr_t)records[i].data);
    free(value);
    return result;
}

/* What a line may become while the step is under way. */
static inline void change_line(const session_t *session, line_t *line, const step_t *step) {
    if (step->kind == STEP_ASYNC) { /* entries of their own, the first of which carries what is staged */
        static const value_t none[KEYS];
        for (int i = 0; i < step->count; i++)
            line_append(line, &step->given[i], 1, i ? none : session->staged);
    } else
        line_change(line, step, session->staged);
}

/* What the step promised once it has returned WALRUS_OK. */
static inline void promise_line(const session_t *session, line_t *line, const step_t *step) {
    uint64_t last = line_next(line) - 1;
    uint32_t policy = step->flags ? step->flags : session->policy;
    if (step->kind == STEP_SYNC || step->kind == STEP_ASYNC || step->kind == STEP_REPLACE || step->kind == STEP_CLOSE ||
        (appends(step) && policy == WALRUS_DURABLE))
        line_promise(line, last);
    else if (appends(step) && policy == WALRUS_TO_OS && last > line->handed_over)
        line->handed_over = last;
}

/* What was staged has gone with this step, which succeeded. */
static inline void forget_staged(session_t *session, const step_t *step) {
    if ((appends(step) || step->kind == STEP_REPLACE) ? step->count > 0 : step->kind == STEP_SYNC || step->kind == STEP_CLOSE)
        memset(session->staged, 0, sizeof session->staged);
    if (step->kind == STEP_STAGE)
        session->staged[step->key] = step->value;
}

static inline void describe(char *text, size_t capacity, const step_t *step) {
    int length = snprintf(text, capacity, "%s", step_names[step->kind]);
    if (step->count)
        length += snprintf(text + length, capacity - (size_t)length, " of %d", step->count);
    if (step->index)
        length += snprintf(text + length, capacity - (size_t)length, " at %" PRIu64, step->index);
    if (step->flags && appends(step))
        length += snprintf(text + length, capacity - (size_t)length, " flags %" PRIu32, step->flags);
    if (step->kind == STEP_SET || step->kind == STEP_STAGE || step->kind == STEP_DELETE)
        snprintf(text + length, capacity - (size_t)length, " \"%s\", %" PRIu32 " bytes", keys[step->key], step->value.size);
}

#endif /* SCRIPT_H */
