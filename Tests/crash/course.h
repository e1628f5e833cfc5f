/* course.h - what a log may hold, given what it was told and what it answered
 *
 * A *line* is one possible course of the log: its first index, every entry from there on, its metadata, and what was promised of them.
 * While calls succeed there is one; a call that failed, or was under way when the power went, leaves more. After a crash
 * the log must hold a beginning of one of its lines: from the line's first index on, without a gap, at least up to what
 * was promised, and not ending inside a batch. What rode on an append is there exactly if that append is.
 */
#ifndef COURSE_H
#define COURSE_H

#include "trace.h"

enum { ENTRIES = 500, KEYS = 4, RIDES = 40, PER_STEP = 7, LINES = 8 };

/* An entry that was given to the log. All of it follows from these. */
typedef struct given {
    uint64_t seed;
    uint32_t size, term;
    bool ends_batch;
} given_t;

typedef struct value {
    uint64_t seed;
    uint32_t size;
    bool is_set;
} value_t;

/* A value that rode on a batch. */
typedef struct ride {
    uint64_t index; /* the batch's last one */
    int key;
    value_t value;
} ride_t;

typedef struct line {
    uint64_t first, count;
    uint64_t durable;     /* every index up to this one survives a power cut                                                */
    uint64_t handed_over; /* every index up to this one survives the end of the process                                     */
    value_t values[KEYS]; /* without what rode on the entries                                                               */
    ride_t rides[RIDES];
    int ride_count;
    given_t entries[ENTRIES];
} line_t;

typedef enum {
    STEP_OPEN, STEP_APPEND, STEP_BATCH, STEP_TRANSACTION, STEP_ASYNC, STEP_SYNC, STEP_TRUNCATE, STEP_TRUNCATE_FRONT, STEP_RESET, STEP_REPLACE,
    STEP_ROTATE, STEP_SET, STEP_DELETE, STEP_STAGE, STEP_CLOSE, STEP_LOOK, STEP_KINDS
} step_kind_t;

static const char *const step_names[STEP_KINDS] = {
    "open", "append", "append_batch", "txn_commit", "append_async", "sync", "truncate", "truncate_front", "reset", "replace_suffix",
    "rotate", "meta_set", "meta_delete", "meta_stage", "close", "look"};

static const char *const keys[KEYS] = {"term", "vote", "a", "position of the snapshot"};

/* One call. */
typedef struct step {
    step_kind_t kind;
    uint64_t index;       /* of cuts and replacements                                                                       */
    int count;
    given_t given[PER_STEP];
    uint32_t flags;       /* of appends                                                                                     */
    int key;
    value_t value;
} step_t;

/* ---- What calls make of a line -------------------------------------------------------------- */

static inline uint64_t line_next(const line_t *line) { return line->first + line->count; }

static inline void line_promise(line_t *line, uint64_t durable) {
    if (durable > line->durable)
        line->durable = durable;
    if (durable > line->handed_over)
        line->handed_over = durable;
}

/* The metadata that holds in a log which ends before `next`. */
static inline void line_values(const line_t *line, uint64_t next, value_t values[KEYS]) {
    memcpy(values, line->values, sizeof line->values);
    for (int i = 0; i < line->ride_count; i++)
        if (line->rides[i].index < next)
            values[line->rides[i].key] = line->rides[i].value;
}

/* What rode below `next` stays, whatever becomes of the entries; the other rides stay what they are. */
static inline void line_fold(line_t *line, uint64_t next) {
    line_values(line, next, line->values);
    int left = 0;
    for (int i = 0; i < line->ride_count; i++)
        if (line->rides[i].index >= next)
            line->rides[left++] = line->rides[i];
    line->ride_count = left;
}

static inline void line_set(line_t *line, int key, value_t value) {
    if (line->ride_count > 0) /* what rode is made durable first */
        line_promise(line, line->rides[line->ride_count - 1].index);
    line_fold(line, UINT64_MAX);
    line->values[key] = value;
}

static inline void line_append(line_t *line, const given_t *given, int count, const value_t staged[KEYS]) {
    if (line->count + (uint64_t)count > ENTRIES || line->ride_count + KEYS > RIDES)
        FAIL("a line is too long");
    memcpy(line->entries + line->count, given, (size_t)count * sizeof *given);
    for (int i = 0; i < count; i++)
        line->entries[line->count + (uint64_t)i].ends_batch = i == count - 1;
    line->count += (uint64_t)count;
    for (int key = 0; key < KEYS && count > 0; key++)
        if (staged[key].is_set)
            line->rides[line->ride_count++] = (ride_t){line_next(line) - 1, key, staged[key]};
}

/* The cut makes the rest of a batch whole. */
static inline void line_truncate(line_t *line, uint64_t index) {
    if (index + 1 == line_next(line))
        return;
    line_fold(line, UINT64_MAX);
    line->count = index + 1 - line->first;
    if (line->count > 0)
        line->entries[line->count - 1].ends_batch = true;
    line->durable = at_most(line->durable, index);
    line->handed_over = at_most(line->handed_over, index);
}

static inline void line_reset(line_t *line, uint64_t next) {
    line_fold(line, UINT64_MAX);
    line->first = next;
    line->count = 0;
    line->durable = line->handed_over = next - 1;
}

static inline void line_truncate_front(line_t *line, uint64_t index) {
    if (index <= line->first)
        return;
    if (index == line_next(line)) {
        line_reset(line, index);
        return;
    }
    line_fold(line, index);
    memmove(line->entries, line->entries + (index - line->first), (line_next(line) - index) * sizeof *line->entries);
    line->count -= index - line->first;
    line->first = index;
    line_promise(line, index - 1);
}

/* What a line becomes by a step, without what the step promises once it has returned. */
static inline void line_change(line_t *line, const step_t *step, const value_t staged[KEYS]) {
    static const value_t none;
    switch (step->kind) {
    case STEP_APPEND:
    case STEP_BATCH:
    case STEP_TRANSACTION:
    case STEP_ASYNC: line_append(line, step->given, step->count, staged); break;
    case STEP_TRUNCATE: line_truncate(line, step->index); break;
    case STEP_TRUNCATE_FRONT: line_truncate_front(line, step->index); break;
    case STEP_RESET: line_reset(line, step->index); break;
    case STEP_REPLACE: {
        bool drops = step->index < line_next(line);
        line_truncate(line, step->index - 1);
        line_append(line, step->given, step->count, staged);
        if (drops) /* what is seen of a replacement is durable; where nothing is dropped it is an append */
            line_promise(line, line_next(line) - 1);
        break;
    }
    case STEP_SET: line_set(line, step->key, step->value); break;
    case STEP_DELETE: line_set(line, step->key, none); break;
    case STEP_SYNC: /* makes durable what is staged, with an append or without */
        for (int key = 0; key < KEYS; key++)
            if (staged[key].is_set)
                line_set(line, key, staged[key]);
        break;
    default: break;
    }
}

/* ---- Comparing ------------------------------------------------------------------------------ */

typedef enum { MUST_BE_DURABLE, MUST_BE_HANDED_OVER, MUST_BE_ALL } expectation_t;

/* The time that an entry was given: any but 0. */
static inline int64_t time_of(const given_t *given) { return (int64_t)(given->seed % 1000003) + 1; }

static char difference[4000];
__attribute__((format(printf, 1, 2))) static inline bool differs(const char *format, ...) {
    size_t length = strlen(difference);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(difference + length, sizeof difference - length, format, arguments);
    va_end(arguments);
    return false;
}

typedef struct values_walk {
    value_t values[KEYS];
    bool is_right;
} values_walk_t;

static inline int32_t compare_value(void *ctx, const char *key, const void *bytes, size_t size) {
    values_walk_t *walk = ctx;
    for (int i = 0; i < KEYS; i++)
        if (strcmp(key, keys[i]) == 0) {
            if (!walk->values[i].is_set)
                walk->is_right = differs("the key \"%s\" should not be there", key);
            else if (walk->values[i].size != size || !is_payload(bytes, size, walk->values[i].seed))
                walk->is_right = differs("the key \"%s\" has another value, of %zu bytes", key, size);
            walk->values[i].is_set = false;
            return 0;
        }
    walk->is_right = differs("the key \"%s\" is foreign", key);
    return 0;
}

static inline bool has_values(walrus_t *log, const line_t *line, uint64_t next) {
    values_walk_t walk = {.is_right = true};
    line_values(line, next, walk.values);
    int32_t result = walrus_meta_each(log, compare_value, &walk);
    if (result != WALRUS_OK)
        return differs("the metadata cannot be read: %s", check_code_name(result));
    for (int i = 0; i < KEYS && walk.is_right; i++)
        if (walk.values[i].is_set)
            return differs("the key \"%s\" is gone", keys[i]);
    return walk.is_right;
}

static inline bool has_entry(walrus_t *log, uint64_t index, const given_t *given) {
    walrus_entry_t entry;
    int32_t result = walrus_get(log, index, &entry);
    if (result != WALRUS_OK)
        return differs("entry %" PRIu64 " cannot be read: %s", index, check_code_name(result));
    bool is_right = entry.size == given->size && entry.term == given->term && entry.timestamp_ns == time_of(given) &&
                    entry.index == index && is_payload(entry.data, entry.size, given->seed);
    if (!is_right)
        differs("entry %" PRIu64 " is another one: %zu bytes, not %" PRIu32 ", term %" PRIu64 ", not %" PRIu32, index, entry.size,
                given->size, entry.term, given->term);
    walrus_entry_release(&entry);
    return is_right;
}

/* Whether the log holds a beginning of the line, which then becomes that. Why not is added to `difference`. */
static inline bool matches(walrus_t *log, line_t *line, expectation_t expectation) {
    uint64_t next = walrus_next_index(log), first = walrus_first_index(log);
    if (first == 0)
        first = next;
    uint64_t floor = expectation == MUST_BE_ALL           ? line_next(line) - 1
                     : expectation == MUST_BE_HANDED_OVER ? line->handed_over
                                                          : line->durable;
    differs("\n    not %" PRIu64 "..<%" PRIu64 " (durable to %" PRIu64 ", handed over to %" PRIu64 "): ", line->first, line_next(line),
            line->durable, line->handed_over);
    if (first != line->first)
        return differs("it begins elsewhere");
    if (next > line_next(line))
        return differs("it has more than was appended");
    if (next <= floor)
        return differs("index %" PRIu64 " was acknowledged and is gone", next);
    if (next < line->first)
        return differs("it ends before it begins");
    if (next > line->first && !line->entries[next - 1 - line->first].ends_batch)
        return differs("it ends inside a batch");
    for (uint64_t index = first; index < next; index++)
        if (!has_entry(log, index, &line->entries[index - first]))
            return false;
    if (!has_values(log, line, next))
        return false;
    line->count = next - line->first;
    int left = 0;
    for (int i = 0; i < line->ride_count; i++)
        if (line->rides[i].index < next)
            line->rides[left++] = line->rides[i];
    line->ride_count = left;
    line->durable = at_most(line->durable, next - 1);
    line->handed_over = next - 1;
    return true;
}

/* The first of the lines of which the log holds a beginning, cut to that, or NULL. */
static inline line_t *match_any(walrus_t *log, line_t *lines, int count, expectation_t expectation) {
    difference[0] = 0;
    differs("the log holds %" PRIu64 "..<%" PRIu64 " (durable to %" PRIu64 ")", walrus_first_index(log), walrus_next_index(log),
            walrus_durable_index(log));
    for (int i = 0; i < count; i++)
        if (matches(log, &lines[i], expectation))
            return &lines[i];
    return NULL;
}

#endif /* COURSE_H */
