/* operations.h - calls that are decoded from bytes, made on a log and on a model of it
 *
 * A player has a log open and knows what it must hold. Each operation is a byte, and a few more for its arguments. The target `calls` takes
 * them from the fuzzer; the logs that other targets damage are played from the bytes of a seed.
 */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "fuzz.h"

enum { KEYS = 3, MOST_ENTRIES = 200, MOST_PENDING = 6 };

typedef struct value {
    bool is_set;
    uint64_t seed;
    size_t size;
} value_t;

typedef struct player {
    const char *dir, *variant;
    char options[256];
    bool is_buffered; /* what was appended may still be in memory, where no other process sees it */
    walrus_t *log;
    model_t model;
    value_t values[KEYS], staged[KEYS];
    walrus_cursor_t *cursor;
    uint64_t position;
    walrus_txn_t *txn;
    model_entry_t pending[MOST_PENDING];
    size_t pending_count;
    uint64_t seed;
    /* Of every entry and value that ever was. */
    void (*on_entry)(uint64_t index, const model_entry_t *entry);
    void (*on_value)(int key, const value_t *value);
} player_t;

static const char *const key_names[KEYS] = {"a", "term", "vote/\xc3\xa9"};

static inline uint64_t player_first(const player_t *player) { return player->model.first ? player->model.first : 1; }
static inline uint64_t player_next(const player_t *player) { return player->model.next ? player->model.next : 1; }

static inline void player_open(player_t *player, unsigned choice) {
    static const char *const syncs[] = {"sync=os", "sync=none", "sync=always", "sync=interval sync_bytes=100"};
    static const char *const sizes[] = {"segment_size=4096", "segment_size=8192 cached_segments=1",
                                        "segment_size=4096 preallocate=false sync_padding=4096 zero_copy=false"};
    player->is_buffered = choice % 4 == 1;
    snprintf(player->options, sizeof player->options, "%s %s %s buffer_size=4096", player->variant, syncs[choice % 4],
             sizes[choice / 4 % 3]);
    player->log = open_log(player->dir, player->options);
}

/* ---- The model's side of it ------------------------------------------------------------------ */

static inline void player_ride(player_t *player) {
    for (int key = 0; key < KEYS; key++)
        if (player->staged[key].is_set) {
            player->values[key] = player->staged[key];
            player->staged[key].is_set = false;
        }
}

static inline void player_appended(player_t *player, uint64_t index, const model_entry_t *entries, size_t count) {
    if (count == 0)
        return;
    if (index != 0 && !player->model.ever_held)
        player->position = index; /* a cursor at the beginning waits for the first entry, whichever index it chose */
    for (size_t i = 0; i < count; i++) {
        model_append(&player->model, i == 0 ? index : 0, entries[i].size, entries[i].seed, entries[i].term,
                     entries[i].timestamp_ns);
        if (player->on_entry != NULL)
            player->on_entry(player->model.next - 1, &entries[i]);
    }
    player_ride(player);
}

static inline void player_cut(player_t *player, uint64_t next) {
    model_truncate(&player->model, next - 1);
    if (player->position > next)
        player->position = next;
}

/* ---- Entries of an operation ----------------------------------------------------------------- */

typedef struct entries {
    size_t count;
    model_entry_t entries[MOST_PENDING];
    walrus_record_t records[MOST_PENDING];
    unsigned char *payloads[MOST_PENDING];
} entries_t;

static inline void entries_take(player_t *player, input_t *input, size_t count, entries_t *made) {
    made->count = count;
    for (size_t i = 0; i < count; i++) {
        unsigned shape = take(input), size = take(input);
        model_entry_t *entry = &made->entries[i];
        /* Every second one compresses; most are short, some as long as a segment. */
        payloads_are_text = shape & 1;
        entry->size = size < 200 ? size % 64 : (size - 200) * 60;
        entry->seed = ++player->seed;
        entry->term = shape >> 1 & 3;
        entry->timestamp_ns = shape & 8 ? INT64_C(1700000000000000000) + (int64_t)size * 1000 : 0;
        if ((shape & 0xf0) == 0xf0)
            entry->timestamp_ns = shape & 4 ? INT64_MAX : INT64_MIN + 1;
        entry->seed = entry->seed << 1 | payloads_are_text;
        made->payloads[i] = payload(entry->size, entry->seed);
        made->records[i] = (walrus_record_t){.data = made->payloads[i],
                                             .size = entry->size,
                                             .term = entry->term,
                                             .timestamp_ns = entry->timestamp_ns};
    }
}

static inline void entries_free(entries_t *made) {
    for (size_t i = 0; i < made->count; i++)
        free(made->payloads[i]);
}

/* ---- Checks ---------------------------------------------------------------------------------- */

/* The payload of a seed says by itself whether it is text. */
static inline bool is_entry_payload(const void *data, const model_entry_t *entry) {
    payloads_are_text = entry->seed & 1;
    return is_payload(data, entry->size, entry->seed);
}

static inline void player_check_entry(player_t *player, const walrus_entry_t *entry, uint64_t index) {
    CHECK(index >= player_first(player) && index < player_next(player));
    payloads_are_text = player->model.entries[index - player_first(player)].seed & 1;
    model_check_one(&player->model, entry, index);
}

static inline void player_check_value(walrus_t *log, int key, const value_t *expected) {
    unsigned char value[64];
    size_t size = 0;
    int32_t code = walrus_meta_get(log, key_names[key], value, sizeof value, &size);
    CHECK_CODE(expected->is_set ? WALRUS_OK : WALRUS_E_NOT_FOUND, code);
    if (expected->is_set) {
        payloads_are_text = false;
        CHECK(size == expected->size && is_payload(value, size, expected->seed));
    }
}

/* All that a log must hold. Not model_check: here payloads are of two kinds. */
static inline void player_check(player_t *player, walrus_t *log) {
    uint64_t first = player_first(player), next = player_next(player);
    bool is_empty = first == next;
    walrus_entry_t entry;
    CHECK_U64(is_empty ? 0 : first, walrus_first_index(log));
    CHECK_U64(is_empty ? 0 : next - 1, walrus_last_index(log));
    CHECK_U64(next, walrus_next_index(log));
    fuzz_read_all(log);
    for (uint64_t index = first; index < next; index++) {
        CHECK_OK(walrus_get(log, index, &entry));
        player_check_entry(player, &entry, index);
        walrus_entry_release(&entry);
    }
    if (first > 1)
        CHECK_CODE(WALRUS_E_COMPACTED, walrus_get(log, first - 1, &entry));
    for (int key = 0; key < KEYS; key++)
        player_check_value(log, key, &player->values[key]);
}

/* ---- Operations ------------------------------------------------------------------------------ */

/* An index about the log: from two below its first to two above its next. */
static inline uint64_t take_index(player_t *player, input_t *input) {
    uint64_t first = player_first(player), next = player_next(player), low = first > 2 ? first - 2 : 0;
    return low + take(input) % (next - low + 3);
}

static inline void play_append(player_t *player, input_t *input, unsigned kind) {
    static const uint32_t flags[] = {0, WALRUS_DURABLE, WALRUS_TO_OS, WALRUS_BUFFERED};
    entries_t made;
    unsigned how = take(input);
    uint64_t index = 0, next = player_next(player), wanted = 0;
    entries_take(player, input, kind == 0 ? 1 : how % (MOST_PENDING + 1), &made);
    uint32_t flag = flags[how >> 6];
    if (flag == WALRUS_BUFFERED)
        player->is_buffered = true;
    if (kind == 0) {
        /* The record names an index: the right one, or one that only a virgin log takes. */
        if (how & 1)
            wanted = made.records[0].index = how & 2 ? next : next + 5;
        int32_t expected = wanted <= next || !player->model.ever_held ? WALRUS_OK : WALRUS_E_OUT_OF_ORDER;
        bool is_async = how & 4;
        if (is_async)
            player->is_buffered = true;
        CHECK_CODE(expected, is_async ? walrus_append_async(player->log, made.records, 0, NULL, NULL, &index)
                                      : walrus_append_record(player->log, made.records, flag, &index));
        if (expected == WALRUS_OK) {
            CHECK_U64(wanted ? wanted : next, index);
            player_appended(player, wanted, made.entries, 1);
        }
    } else if (kind == 1) {
        CHECK_OK(walrus_append_batch(player->log, made.records, made.count, flag, &index));
        CHECK_U64(next, index);
        player_appended(player, 0, made.entries, made.count);
    } else {
        unsigned char *all = malloc(MOST_PENDING * 4000);
        uint32_t sizes[MOST_PENDING];
        size_t size = 0;
        CHECK(all != NULL);
        for (size_t i = 0; i < made.count; i++) {
            made.entries[i].term = how & 3;
            made.entries[i].timestamp_ns = 0;
            memcpy(all + size, made.payloads[i], made.entries[i].size);
            size += sizes[i] = (uint32_t)made.entries[i].size;
        }
        CHECK_OK(walrus_append_packed(player->log, all, sizes, made.count, how & 3, flag, &index));
        CHECK_U64(next, index);
        player_appended(player, 0, made.entries, made.count);
        free(all);
    }
    entries_free(&made);
}

static inline void play_truncate(player_t *player, input_t *input) {
    uint64_t index = take_index(player, input), first = player_first(player), next = player_next(player);
    CHECK_CODE(index >= next       ? WALRUS_E_NOT_FOUND
               : index + 1 < first ? WALRUS_E_COMPACTED
                                   : WALRUS_OK,
               walrus_truncate(player->log, index));
    if (index < next && index + 1 >= first && index + 1 != next)
        player_cut(player, index + 1);
}

static inline void play_truncate_front(player_t *player, input_t *input) {
    uint64_t index = take_index(player, input), next = player_next(player);
    CHECK_CODE(index > next ? WALRUS_E_NOT_FOUND : WALRUS_OK, walrus_truncate_front(player->log, index));
    if (index <= next && index > player_first(player))
        model_truncate_front(&player->model, index);
}

static inline void play_reset(player_t *player, input_t *input) {
    static const uint64_t places[] = {1, 2, 100, UINT64_C(1) << 40, (UINT64_C(1) << 63) - 1000};
    uint64_t next = places[take(input) % 5];
    CHECK_OK(walrus_reset(player->log, next));
    model_reset(&player->model, next);
    player->model.ever_held = true;
    player->position = next;
}

static inline void play_replace(player_t *player, input_t *input) {
    uint64_t from = take_index(player, input), first = player_first(player), next = player_next(player);
    entries_t made;
    entries_take(player, input, take(input) % (MOST_PENDING + 1), &made);
    int32_t expected = from > next ? WALRUS_E_NOT_FOUND : from < first ? WALRUS_E_COMPACTED : WALRUS_OK;
    CHECK_CODE(expected, walrus_replace_suffix(player->log, from, made.records, made.count, 0));
    if (expected == WALRUS_OK) {
        if (from != next)
            player_cut(player, from);
        player_appended(player, 0, made.entries, made.count);
    }
    entries_free(&made);
}

static inline void play_metadata(player_t *player, input_t *input) {
    unsigned how = take(input);
    int key = (int)(how >> 4) % KEYS;
    value_t value = {true, ++player->seed, how & 15};
    unsigned char *bytes = (payloads_are_text = false, payload(value.size, value.seed));
    switch (take(input) % 3) {
    case 0:
        CHECK_OK(walrus_meta_set(player->log, key_names[key], bytes, value.size));
        player->values[key] = value;
        break;
    case 1:
        CHECK_OK(walrus_meta_stage(player->log, key_names[key], bytes, value.size));
        player->staged[key] = value;
        break;
    default:
        CHECK_CODE(player->values[key].is_set ? WALRUS_OK : WALRUS_E_NOT_FOUND,
                   walrus_meta_delete(player->log, key_names[key]));
        player->values[key].is_set = false;
        value.is_set = false;
    }
    if (value.is_set && player->on_value != NULL)
        player->on_value(key, &value);
    free(bytes);
}

static inline bool is_lazy(const player_t *player) { return strstr(player->options, "sync=none") != NULL; }

static inline void play_sync(player_t *player, input_t *input) {
    uint64_t next = player_next(player);
    if (take(input) & 1 && player_first(player) != next) {
        CHECK_OK(walrus_wait_durable(player->log, next - 1, -1));
        CHECK_U64(next - 1, walrus_durable_index(player->log));
    } else {
        CHECK_OK(walrus_sync(player->log));
        player_ride(player);
        player->is_buffered = is_lazy(player);
    }
}

static inline void play_transaction(player_t *player, input_t *input) {
    unsigned how = take(input);
    uint64_t index = 0, count = 0, next = player_next(player);
    if (player->txn == NULL) {
        CHECK_OK(walrus_txn_begin(player->log, -1, &player->txn));
        player->pending_count = 0;
    } else if (how % 4 == 0) {
        CHECK_OK(walrus_txn_rollback(player->txn));
        player->txn = NULL;
    } else if (how % 4 == 1 || player->pending_count == MOST_PENDING) {
        CHECK_OK(walrus_txn_commit(player->txn, 0, &index, &count));
        CHECK_U64(next, index);
        CHECK_U64(player->pending_count, count);
        player_appended(player, 0, player->pending, player->pending_count);
        player->txn = NULL;
    } else {
        entries_t made;
        entries_take(player, input, 1, &made);
        CHECK_OK(walrus_txn_append(player->txn, made.records));
        player->pending[player->pending_count++] = made.entries[0];
        entries_free(&made);
    }
}

static inline void play_cursor(player_t *player, input_t *input) {
    unsigned how = take(input);
    uint64_t first = player_first(player), next = player_next(player);
    walrus_entry_t entry;
    if (player->cursor == NULL || how % 4 == 0) {
        uint64_t index = take_index(player, input);
        int32_t expected = index > next                ? WALRUS_E_NOT_FOUND
                           : index && index < first ? WALRUS_E_COMPACTED
                                                       : WALRUS_OK;
        bool is_new = player->cursor == NULL;
        CHECK_CODE(expected, is_new ? walrus_cursor_open(player->log, index, 0, &player->cursor)
                                    : walrus_cursor_seek(player->cursor, index));
        if (expected == WALRUS_OK)
            player->position = index ? index : first;
    } else if (how % 4 == 3) {
        int32_t code = walrus_cursor_prev(player->cursor, &entry);
        if (player->position > first) {
            CHECK_OK(code);
            player_check_entry(player, &entry, --player->position);
        } else {
            CHECK(code == WALRUS_E_NOT_FOUND || code == WALRUS_E_COMPACTED);
        }
        walrus_entry_release(&entry);
    } else {
        int32_t code = walrus_cursor_next(player->cursor, &entry);
        CHECK_CODE(player->position < first    ? WALRUS_E_COMPACTED
                   : player->position >= next ? WALRUS_E_CAUGHT_UP
                                               : WALRUS_OK,
                   code);
        if (code == WALRUS_OK)
            player_check_entry(player, &entry, player->position++);
        walrus_entry_release(&entry);
    }
    if (player->cursor != NULL)
        CHECK_U64(player->position, walrus_cursor_position(player->cursor));
}

static inline void play_search(player_t *player, input_t *input) {
    uint64_t term = take(input) % 5, found = 0, expected = 0, first = player_first(player);
    for (uint64_t index = first; index < player_next(player); index++)
        if (player->model.entries[index - first].term == term)
            expected = index;
    CHECK_CODE(expected ? WALRUS_OK : WALRUS_E_NOT_FOUND, walrus_last_index_of_term(player->log, term, &found));
    if (expected)
        CHECK_U64(expected, found);
}

static inline void player_put_aside(player_t *player) {
    walrus_cursor_close(player->cursor);
    walrus_txn_rollback(player->txn);
    player->cursor = NULL;
    player->txn = NULL;
}

static inline void play_reopen(player_t *player, input_t *input) {
    bool is_before = take(input) & 1;
    if (is_before)
        player_put_aside(player);
    CHECK_OK(walrus_close(player->log));
    if (!is_before) /* they may outlive the log */
        player_put_aside(player);
    memset(player->staged, 0, sizeof player->staged);
    player_open(player, take(input));
    player_check(player, player->log);
    if (player_first(player) != player_next(player))
        CHECK_U64(player_next(player) - 1, walrus_durable_index(player->log));
}

/* As after kill -9: what the system was handed is there. */
static inline void play_kill(player_t *player, const char *copy_dir, input_t *input) {
    if (player->is_buffered) {
        CHECK_OK(walrus_sync(player->log));
        player_ride(player);
    }
    player->is_buffered = is_lazy(player);
    copy_directory(player->dir, copy_dir);
    walrus_t *log = open_log(copy_dir, take(input) & 1 ? "read_only=true" : player->options);
    player_check(player, log);
    CHECK_OK(walrus_close(log));
}

static inline void play_follow(player_t *player) {
    if (player->is_buffered)
        return;
    walrus_t *log = open_log(player->dir, "read_only=true");
    player_check(player, log);
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_append(log, "x", 1, NULL));
    CHECK_OK(walrus_close(log));
}

static inline void play_misuse(player_t *player, input_t *input) {
    static unsigned char large[65536];
    walrus_record_t record = {.data = NULL, .size = 3};
    walrus_entry_t entry;
    walrus_t *other;
    size_t count;
    switch (take(input) % 8) {
    case 0: CHECK_CODE(WALRUS_E_INVALID, walrus_append(player->log, NULL, 1, NULL)); break;
    case 1: CHECK_CODE(WALRUS_E_INVALID, walrus_append_record(player->log, &record, 0, NULL)); break;
    case 2: CHECK_CODE(WALRUS_E_INVALID, walrus_append_batch(player->log, &record, 1, 0x80, NULL)); break;
    case 3: CHECK_CODE(WALRUS_E_INVALID, walrus_reset(player->log, 0)); break;
    case 4: CHECK_CODE(WALRUS_E_INVALID, walrus_meta_set(player->log, "", "x", 1)); break;
    case 5: CHECK_CODE(WALRUS_E_INVALID, walrus_get_range(player->log, 2, 1, 1, &entry, 1, &count)); break;
    case 6: CHECK_CODE(WALRUS_E_LOCKED, try_open(player->dir, "", &other)); break;
    default: CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_stage(player->log, "k", large, sizeof large));
    }
}

/* One operation, or false at the input's end. */
static inline bool play(player_t *player, input_t *input, const char *copy_dir) {
    if (input->left == 0)
        return false;
    unsigned operation = take(input);
    CHECK_NOTE("operation %u, %zu bytes before the end", operation % 20, input->left);
    if (model_count(&player->model) > MOST_ENTRIES)
        operation = 8;
    switch (operation % 20) {
    case 0: case 1: case 2: play_append(player, input, 0); break;
    case 3: case 4: play_append(player, input, 1); break;
    case 5: play_append(player, input, 2); break;
    case 6: play_sync(player, input); break;
    case 7: play_truncate(player, input); break;
    case 8: play_truncate_front(player, input); break;
    case 9: play_replace(player, input); break;
    case 10: CHECK_OK(walrus_rotate(player->log)); break;
    case 11: case 12: play_metadata(player, input); break;
    case 13: play_transaction(player, input); break;
    case 14: play_cursor(player, input); break;
    case 15: play_search(player, input); break;
    case 16: play_reopen(player, input); break;
    case 17: copy_dir != NULL ? play_kill(player, copy_dir, input) : play_reset(player, input); break;
    case 18: copy_dir != NULL ? play_follow(player) : play_sync(player, input); break;
    default: take(input) & 1 ? play_misuse(player, input) : play_reset(player, input); break;
    }
    return true;
}

static inline void player_end(player_t *player) {
    player_put_aside(player);
    model_free(&player->model);
}

#endif /* OPERATIONS_H */
