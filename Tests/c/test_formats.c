/* test_formats.c - what a log answers does not depend on how it is stored; what it is stored as follows from its options
 *
 * Random calls are held against a model, in each format, compressed and not. Other cases are about what is on the disk: formats that
 * are not mixed up, what compression saves, what JSON costs, and streams that nobody's writer makes.
 */
#include "format.h"
#include "variants.h"

#include <sys/time.h>
#include <zlib.h>

/* ---- Payloads ------------------------------------------------------------------------------- */

/* What is hard for one format or the other; the kind is the caller's to count. */
static unsigned char *hard_payload(random_source_t *chance, size_t *size) {
    static const char *const pieces[] = {
        "\"", "\\", "\\u0000", "/", "\x7f", "\xc3\xa9", "\xe9\x9b\xa8", "\xf0\x9f\xa6\xad", "\xe2\x80\xa8", "\xef\xbf\xbf",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xc0\x80", "\xf4\x90\x80\x80", "\xe9\x9b", "\x80", "\xff", "{\"c\":\"", "\n", "\r\n",
        "}\n{\"c\":\"AAAAAAAA\",\"index\":1", "data_base64", "a longer piece of text, so that something is compressed "};
    static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 40, 200, 1000, 3000, 9000, 40000};
    uint64_t kind = below(chance, 8);
    *size = sizes[below(chance, sizeof sizes / sizeof sizes[0])] + below(chance, 8) % 3;
    if (below(chance, 300) == 0)
        *size = 300000 + below(chance, 1000);
    unsigned char *bytes = payload(*size, next_random(chance));
    if (kind == 0)
        memset(bytes, 0, *size);
    for (size_t i = 0; kind == 1 && i < *size; i++) /* every byte there is, in turn */
        bytes[i] = (unsigned char)i;
    for (size_t i = 0; (kind == 2 || kind == 3) && i < *size; i++) /* text, and text with control characters */
        bytes[i] = kind == 2 ? 0x20 + bytes[i] % 0x5f : bytes[i] % 0x40;
    for (size_t i = 0; kind >= 4 && kind < 7 && i < *size;) { /* one of the pieces alone, or all of them */
        const char *piece = pieces[kind == 4 ? *size % 23 : bytes[i] % 23];
        size_t length = strlen(piece) < *size - i ? strlen(piece) : *size - i;
        memcpy(bytes + i, piece, length);
        i += length;
    }
    return bytes;
}

/* ---- A model -------------------------------------------------------------------------------- */

typedef struct kept {
    unsigned char *data;
    size_t size;
    uint64_t term;
    int64_t time; /* 0: the log's own, learnt at the first look */
} kept_t;

enum { KEPT_MOST = 4096, KEYS = 4 };

typedef struct world {
    const char *dir;
    walrus_t *log;
    random_source_t chance;
    uint64_t first, next;
    bool ever_held, lost_front; /* lost_front: what seek_time answers depends on more than is kept here */
    kept_t kept[KEPT_MOST];     /* [index % KEPT_MOST] */
    unsigned char *values[KEYS], *staged[KEYS];
    size_t value_sizes[KEYS], staged_sizes[KEYS];
    uint64_t durable; /* at least */
} world_t;

static kept_t *at_index(world_t *world, uint64_t index) { return &world->kept[index % KEPT_MOST]; }

static void forget(world_t *world, uint64_t from, uint64_t to) {
    for (uint64_t i = from; i < to; i++) {
        free(at_index(world, i)->data);
        *at_index(world, i) = (kept_t){0};
    }
}

static walrus_record_t make_record(world_t *world) {
    size_t size;
    walrus_record_t record = {.data = hard_payload(&world->chance, &size)};
    record.size = size;
    uint64_t what = below(&world->chance, 20);
    record.term = what < 16 ? 3 : what == 16 ? UINT64_MAX : next_random(&world->chance) >> (what * 3);
    static const int64_t times[] = {1, -1, INT64_MAX, INT64_MIN + 1, 1700000000000000000, 999999999};
    record.timestamp_ns = below(&world->chance, 3) ? 0 : times[below(&world->chance, 6)];
    return record;
}

static void keep_record(world_t *world, const walrus_record_t *record) {
    *at_index(world, world->next++) = (kept_t){(unsigned char *)(uintptr_t)record->data, record->size, record->term, record->timestamp_ns};
    world->ever_held = true;
}

static void keep_staged(world_t *world) {
    for (int i = 0; i < KEYS; i++)
        if (world->staged[i] != NULL) {
            free(world->values[i]);
            world->values[i] = world->staged[i];
            world->value_sizes[i] = world->staged_sizes[i];
            world->staged[i] = NULL;
        }
}

static void check_one(world_t *world, const walrus_entry_t *entry, uint64_t index) {
    kept_t *kept = at_index(world, index);
    CHECK_U64(index, entry->index);
    CHECK_U64(kept->term, entry->term);
    CHECK_BYTES(kept->data, kept->size, entry->data, entry->size);
    CHECK_U64(crc32(0, kept->data, (uInt)kept->size), entry->checksum);
    if (kept->time == 0)
        kept->time = entry->timestamp_ns;
    CHECK(kept->time == entry->timestamp_ns);
}

typedef struct walk {
    world_t *world;
    uint64_t next;
} walk_t;

static int32_t check_visited(void *ctx, const walrus_entry_t *entry) {
    walk_t *walk = ctx;
    check_one(walk->world, entry, walk->next++);
    return 0;
}

static void check_metadata(world_t *world) {
    for (int i = 0; i < KEYS; i++) {
        char key[2] = {(char)('a' + i), 0}, value[512];
        size_t size = 0;
        int32_t result = walrus_meta_get(world->log, key, value, sizeof value, &size);
        if (world->values[i] == NULL)
            CHECK_CODE(WALRUS_E_NOT_FOUND, result);
        else {
            CHECK_OK(result);
            CHECK_BYTES(world->values[i], world->value_sizes[i], value, size);
        }
    }
}

static void check_searches(world_t *world) {
    uint64_t index = 0, expected = 0;
    kept_t *some = at_index(world, world->first + below(&world->chance, world->next - world->first));
    for (uint64_t i = world->first; i < world->next; i++)
        if (at_index(world, i)->term == some->term)
            expected = i;
    CHECK_OK(walrus_last_index_of_term(world->log, some->term, &index));
    CHECK_U64(expected, index);
    if (world->lost_front)
        return;
    for (expected = world->first; at_index(world, expected)->time < some->time;)
        expected++;
    CHECK_OK(walrus_seek_time(world->log, some->time, &index));
    CHECK_U64(expected, index);
}

static void check_cursor(world_t *world) {
    walrus_cursor_t *cursor = NULL;
    walrus_entry_t entry;
    uint64_t from = world->first + below(&world->chance, world->next - world->first);
    CHECK_OK(walrus_cursor_open(world->log, from, 0, &cursor));
    for (uint64_t i = from; i < world->next && i < from + 20; i++) {
        CHECK_OK(walrus_cursor_next(cursor, &entry));
        check_one(world, &entry, i);
        walrus_entry_release(&entry);
    }
    if (world->next <= from + 20)
        CHECK_CODE(WALRUS_E_CAUGHT_UP, walrus_cursor_next(cursor, &entry));
    uint64_t position = walrus_cursor_position(cursor);
    CHECK_OK(walrus_cursor_prev(cursor, &entry));
    check_one(world, &entry, position - 1);
    walrus_entry_release(&entry);
    walrus_cursor_close(cursor);
}

static void check_packed(world_t *world) {
    static unsigned char buffer[1 << 20];
    uint32_t sizes[32];
    size_t count = 0, at = 0;
    uint64_t from = world->first + below(&world->chance, world->next - world->first);
    CHECK_OK(walrus_read_packed(world->log, from, 32, buffer, sizeof buffer, sizes, &count));
    CHECK(count >= 1);
    for (size_t i = 0; i < count; at += sizes[i++])
        CHECK_BYTES(at_index(world, from + i)->data, at_index(world, from + i)->size, buffer + at, sizes[i]);
}

/* The whole log, by a scan, and some of it in each other way. */
static void check_world(world_t *world) {
    bool empty = world->first == world->next;
    CHECK_U64(empty ? 0 : world->first, walrus_first_index(world->log));
    CHECK_U64(world->next, walrus_next_index(world->log));
    check_metadata(world);
    if (empty)
        return;
    walk_t walk = {world, world->first};
    CHECK_OK(walrus_scan(world->log, world->first, UINT64_MAX, check_visited, &walk));
    CHECK_U64(world->next, walk.next);
    walrus_entry_t entries[8];
    size_t count = 0;
    uint64_t from = world->first + below(&world->chance, world->next - world->first);
    CHECK_OK(walrus_get_range(world->log, from, UINT64_MAX, SIZE_MAX, entries, 8, &count));
    for (size_t i = 0; i < count; i++)
        check_one(world, &entries[i], from + i);
    walrus_entries_release(entries, count);
    uint64_t term;
    static unsigned char copy[1 << 20];
    size_t size = 0;
    CHECK_OK(walrus_read(world->log, from, copy, sizeof copy, &size));
    CHECK_BYTES(at_index(world, from)->data, at_index(world, from)->size, copy, size);
    CHECK_OK(walrus_term(world->log, from, &term));
    CHECK_U64(at_index(world, from)->term, term);
    check_searches(world);
    check_cursor(world);
    check_packed(world);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static void call_append(world_t *world) {
    walrus_record_t records[9];
    uint64_t index = 0, kind = below(&world->chance, 5);
    size_t count = kind < 2 ? 1 : below(&world->chance, 9);
    for (size_t i = 0; i < count; i++)
        records[i] = make_record(world);
    if (kind == 0)
        CHECK_OK(walrus_append_record(world->log, &records[0], 0, &index));
    else if (kind == 1) {
        CHECK_OK(walrus_append_async(world->log, &records[0], 0, NULL, NULL, &index));
        CHECK_OK(walrus_wait_durable(world->log, index, 10000));
    } else if (kind == 2 || kind == 3)
        CHECK_OK(walrus_append_batch(world->log, records, count, kind == 3 ? WALRUS_DURABLE : 0, &index));
    else {
        walrus_txn_t *txn = NULL;
        uint64_t committed = 0;
        CHECK_OK(walrus_txn_begin(world->log, 0, &txn));
        for (size_t i = 0; i < count; i++)
            CHECK_OK(walrus_txn_append(txn, &records[i]));
        CHECK_OK(walrus_txn_commit(txn, 0, &index, &committed));
        CHECK_U64(count, committed);
    }
    CHECK_U64(world->next, index);
    for (size_t i = 0; i < count; i++)
        keep_record(world, &records[i]);
    if (count > 0)
        keep_staged(world);
}

static void call_append_packed(world_t *world) {
    walrus_record_t records[9];
    uint32_t sizes[9];
    size_t count = 1 + below(&world->chance, 8), total = 0;
    unsigned char *run = malloc(1);
    for (size_t i = 0; i < count; i++) {
        records[i] = make_record(world);
        records[i].term = 3;
        records[i].timestamp_ns = 0;
        sizes[i] = (uint32_t)records[i].size;
        run = realloc(run, total + records[i].size + 1);
        memcpy(run + total, records[i].data, records[i].size);
        total += records[i].size;
    }
    uint64_t index = 0;
    CHECK_OK(walrus_append_packed(world->log, run, sizes, count, 3, 0, &index));
    CHECK_U64(world->next, index);
    for (size_t i = 0; i < count; i++)
        keep_record(world, &records[i]);
    keep_staged(world);
    free(run);
}

static void call_cut(world_t *world) {
    uint64_t count = world->next - world->first, where = world->first + below(&world->chance, count + 1), kind = below(&world->chance, 10);
    if (kind < 4) {
        uint64_t last = where > world->next - 1 ? world->next - 1 : where < world->next - 12 && count > 12 ? world->next - 12 : where;
        CHECK_OK(walrus_truncate(world->log, last));
        forget(world, last + 1, world->next);
        world->next = last + 1;
    } else if (kind < 7) {
        CHECK_OK(walrus_truncate_front(world->log, where));
        world->lost_front |= where > world->first;
        forget(world, world->first, where);
        world->first = where;
    } else if (kind == 7) {
        where = world->next + below(&world->chance, 3);
        CHECK_OK(walrus_reset(world->log, where));
        world->lost_front = true;
        forget(world, world->first, world->next);
        world->first = world->next = where;
    } else {
        walrus_record_t records[5];
        size_t new = 1 + below(&world->chance, 5);
        uint64_t from = count > 6 ? world->next - below(&world->chance, 6) : where;
        for (size_t i = 0; i < new; i++)
            records[i] = make_record(world);
        world->lost_front |= from == world->first;
        CHECK_OK(walrus_replace_suffix(world->log, from, records, new, 0));
        forget(world, from, world->next);
        world->next = from;
        for (size_t i = 0; i < new; i++)
            keep_record(world, &records[i]);
        keep_staged(world);
    }
}

static void call_metadata(world_t *world) {
    int i = (int)below(&world->chance, KEYS);
    char key[2] = {(char)('a' + i), 0};
    size_t size = below(&world->chance, 300);
    unsigned char *value = payload(size, next_random(&world->chance));
    uint64_t kind = below(&world->chance, 4);
    if (kind == 0 && world->values[i] != NULL && world->staged[i] == NULL) {
        CHECK_OK(walrus_meta_delete(world->log, key));
        free(world->values[i]);
        free(value);
        world->values[i] = NULL;
    } else if (kind < 2 && world->staged[i] == NULL) {
        CHECK_OK(walrus_meta_set(world->log, key, value, size));
        free(world->values[i]);
        world->values[i] = value;
        world->value_sizes[i] = size;
    } else {
        CHECK_OK(walrus_meta_stage(world->log, key, value, size));
        free(world->staged[i]);
        world->staged[i] = value;
        world->staged_sizes[i] = size;
    }
}

/* Any compression will do, and the format need not be named again. */
static void open_world(world_t *world, bool is_new) {
    static const char *const compressions[] = {"", " compression=zlib", " compression=zlib compression_min_size=0 compression_level=1",
                                               " compression=zlib compression_level=0"};
    char text[400], format[20];
    sscanf(variant, "%19s", format);
    bool is_fixed = below(&world->chance, 2); /* as the variant says */
    snprintf(text, sizeof text, "sync=%s zero_copy=%s sync_padding=%d buffer_size=%s segment_size=%s verify_reads=%s preallocate=%s%s%s%s",
             below(&world->chance, 4) ? "os" : "none", below(&world->chance, 2) ? "on" : "off", below(&world->chance, 2) ? 4096 : 0,
             below(&world->chance, 2) ? "4KiB" : "64KiB", below(&world->chance, 2) ? "4KiB" : "256KiB",
             below(&world->chance, 4) ? "on" : "off", below(&world->chance, 2) ? "on" : "off",
             is_fixed || is_new ? " " : "", is_fixed ? variant : is_new ? format : "",
             is_fixed ? "" : compressions[below(&world->chance, 4)]);
    world->log = open_log(world->dir, text);
}

static void reopen(world_t *world) {
    if (below(&world->chance, 2)) {
        for (int i = 0; i < KEYS; i++) { /* what was staged goes with the handle */
            free(world->staged[i]);
            world->staged[i] = NULL;
        }
        CHECK_OK(walrus_close(world->log));
    } else { /* a crash of a process that had handed everything over */
        CHECK_OK(walrus_sync(world->log));
        keep_staged(world);
        image_t *image = image_read(world->dir);
        CHECK_OK(walrus_close(world->log));
        image_write(image, world->dir);
        image_free(image);
    }
    open_world(world, false);
}

static void run_calls(uint64_t seed, int calls) {
    static world_t world;
    memset(&world, 0, sizeof world);
    world.dir = in_memory("log");
    world.chance = (random_source_t){seed};
    world.first = world.next = 1;
    check_remove_tree(AT_FDCWD, world.dir);
    open_world(&world, true);
    for (int call = 0; call < calls; call++) {
        uint64_t what = below(&world.chance, 100);
        CHECK_NOTE("seed %" PRIu64 ", call %d (%" PRIu64 "), entries %" PRIu64 " to %" PRIu64, seed, call, what, world.first, world.next);
        if (what < 45)
            call_append(&world);
        else if (what < 55)
            call_append_packed(&world);
        else if (what < 65 && world.ever_held)
            call_cut(&world);
        else if (what < 75)
            call_metadata(&world);
        else if (what < 80)
            CHECK_OK(walrus_rotate(world.log));
        else if (what < 84) {
            CHECK_OK(walrus_sync(world.log));
            keep_staged(&world);
        } else if (what < 92)
            reopen(&world);
        else
            check_world(&world);
        if (world.next - world.first > KEPT_MOST - 100) {
            CHECK_OK(walrus_truncate_front(world.log, world.next - 100));
            forget(&world, world.first, world.next - 100);
            world.first = world.next - 100;
            world.lost_front = true;
        }
    }
    check_world(&world);
    reopen(&world);
    check_world(&world);
    CHECK_OK(walrus_close(world.log));
    forget(&world, world.first, world.next);
    for (int i = 0; i < KEYS; i++) {
        free(world.values[i]);
        free(world.staged[i]);
    }
}

/* Catches: a call that one format or the other answers differently, whatever the settings and whatever came before. */
VARIANT_CASES(random_calls_are_answered_as_a_model_answers_them) {
    uint64_t seed = run_seed();
    double began = check_now_s();
    int rounds = 0;
    for (; rounds < 60 && check_now_s() - began < 5; rounds++)
        run_calls(seed + (uint64_t)rounds, 120);
    CHECK(rounds >= 2);
}

/* Catches: a limit or a rounding that only large entries meet, with the smallest buffers and segments. */
VARIANT_CASES(entries_of_up_to_64_MiB_come_back) {
    static const size_t sizes[] = {4000, 4096, 65536, 65537, (1 << 20) - 1, 5 << 20, 64 << 20};
    char text[256];
    for (int text_only = 0; text_only < 2; text_only++) {
        snprintf(text, sizeof text, "sync=os segment_size=4KiB buffer_size=4KiB %s", variant);
        walrus_t *log = open_log(in_memory("log"), text);
        for (size_t round = 0; round < 2; round++) {
            for (size_t i = 0; i < 7; i++) {
                unsigned char *bytes = payload(sizes[i], i + 1);
                for (size_t k = 0; text_only && k < sizes[i]; k++)
                    bytes[k] = (unsigned char)(bytes[k] % 100 == 0 ? '"' : bytes[k] % 64 + 0x40);
                walrus_entry_t entry;
                CHECK_NOTE("%s, %zu bytes of %s", variant, sizes[i], text_only ? "text" : "anything");
                if (round == 0)
                    CHECK_OK(walrus_append(log, bytes, sizes[i], NULL));
                CHECK_OK(walrus_get(log, i + 1, &entry));
                CHECK_BYTES(bytes, sizes[i], entry.data, entry.size);
                walrus_entry_release(&entry);
                free(bytes);
            }
            CHECK_OK(walrus_close(log));
            log = open_log(in_memory("log"), round ? "" : "zero_copy=off");
        }
        CHECK_OK(walrus_close(log));
        CHECK_OK(walrus_destroy(in_memory("log")));
    }
}

/* ---- Formats are not mixed up --------------------------------------------------------------- */

/* Catches: an open that writes a second format into a log, or touches what it refuses. */
CASE(another_format_is_refused_and_nothing_is_touched) {
    static const char *const formats[] = {"binary", "json", "proto"};
    for (int made = 0; made < 3; made++)
        for (int crashed = 0; crashed < 2; crashed++) {
            char text[100];
            const char *dir = in_memory("log");
            snprintf(text, sizeof text, "segment_size=4KiB format=%s", formats[made]);
            walrus_t *log = open_log(dir, text);
            for (uint64_t i = 1; i <= 60; i++)
                append_payload(log, 100, i);
            image_t *image = image_read(dir);
            CHECK_OK(walrus_close(log));
            if (crashed)
                image_write(image, dir);
            image_free(image);
            image = image_read(dir);
            for (int wanted = 0; wanted < 3; wanted++)
                for (int reader = 0; reader < 3; reader++) {
                    if (wanted == made)
                        continue;
                    static const char *const more[] = {"", " read_only=true", " read_only=true recovery=salvage"};
                    snprintf(text, sizeof text, "format=%s%s", formats[wanted], more[reader]);
                    CHECK_NOTE("a log of format %s, opened with %s", formats[made], text);
                    CHECK_CODE(WALRUS_E_FORMAT, try_open(dir, text, &log));
                    CHECK(strstr(last_error().message, "format") != NULL);
                    CHECK_UNTOUCHED(image, dir);
                }
            for (int open = 0; open < 4; open++) { /* left out, or right */
                snprintf(text, sizeof text, "format=%s%s", formats[made], open & 1 ? " read_only=true" : "");
                log = open_log(dir, open & 2 ? text : open & 1 ? "read_only=true" : "");
                CHECK_U64(60, walrus_last_index(log));
                for (uint64_t i = 1; i <= 60; i++)
                    check_entry(log, i, 100, i);
                CHECK_OK(walrus_close(log));
            }
            image_free(image);
            CHECK_OK(walrus_destroy(dir));
        }
}

/* Catches: a segment of one format that is read in a log of another. */
CASE(a_segment_of_another_format_is_damage) {
    static const char *const formats[] = {"binary", "json", "proto"};
    image_t *images[3];
    for (int i = 0; i < 3; i++) {
        char text[100];
        snprintf(text, sizeof text, "format=%s", formats[i]);
        walrus_t *log = open_log(in_memory("log"), text);
        append_payload(log, 100, 1);
        CHECK_OK(walrus_close(log));
        images[i] = image_read(in_memory("log"));
        CHECK_OK(walrus_destroy(in_memory("log")));
    }
    for (int i = 0; i < 9; i++) {
        if (i % 3 == i / 3)
            continue;
        image_file_t *file = tail_segment(images[i % 3]), kept = *file;
        *file = *tail_segment(images[i / 3]);
        image_write(images[i % 3], in_memory("log"));
        *file = kept;
        walrus_t *log = NULL;
        CHECK_NOTE("a %s segment in a %s log", formats[i / 3], formats[i % 3]);
        CHECK_CODE(WALRUS_E_CORRUPT, try_open(in_memory("log"), "", &log));
    }
    for (int i = 0; i < 3; i++)
        image_free(images[i]);
}

/* ---- What compression saves ----------------------------------------------------------------- */

typedef struct outcome {
    uint64_t written, on_disk;
} outcome_t;

/* count entries of `size` bytes each, text that repeats itself or noise. */
static outcome_t measure(const char *text, size_t size, size_t count, bool is_text) {
    const char *dir = in_memory("log");
    char settings_text[300];
    snprintf(settings_text, sizeof settings_text, "sync=os preallocate=off %s", text);
    walrus_t *log = open_log(dir, settings_text);
    for (uint64_t i = 1; i <= count; i++) {
        unsigned char *bytes = payload(size, i);
        for (size_t k = 0; is_text && k < size; k++)
            bytes[k] = (unsigned char)"etaoin shrdlu"[(bytes[k / 5] + k % 5) % 13];
        CHECK_OK(walrus_append(log, bytes, size, NULL));
        walrus_entry_t entry;
        CHECK_OK(walrus_get(log, i, &entry));
        CHECK_BYTES(bytes, size, entry.data, entry.size);
        walrus_entry_release(&entry);
        free(bytes);
    }
    CHECK_OK(walrus_sync(log));
    walrus_stats_t stats = {.struct_size = sizeof stats};
    CHECK_OK(walrus_stats(log, &stats));
    CHECK_U64(size * count, stats.bytes_appended);
    CHECK_OK(walrus_close(log));
    outcome_t outcome = {.written = stats.bytes_written};
    image_t *image = image_read(dir);
    for (size_t i = 0; i < image->count; i++)
        outcome.on_disk += is_segment(image->files[i].name) ? image->files[i].size - FIRST_FRAME : 0;
    if (!is_text) { /* noise is stored as it is, so that it is found there; but not in base64 */
        size_t offset;
        CHECK((strstr(text, "json") != NULL) != (image_find_payload(image, size, 1, &offset) != NULL));
    }
    image_free(image);
    CHECK_OK(walrus_destroy(dir));
    return outcome;
}

/* Catches: options without effect, and compression that makes things larger. */
CASE(compression_and_its_options_have_the_effect_that_they_tell) {
    static const char *const formats[] = {"format=binary", "format=json", "format=proto"};
    for (int f = 0; f < 3; f++) {
        char text[6][200];
        static const char *const options[] = {"", "compression=zlib", "compression=zlib compression_min_size=2000",
                                              "compression=zlib compression_min_size=2001", "compression=zlib compression_level=0",
                                              "compression=zlib compression_level=9"};
        outcome_t of_text[6], of_noise[6];
        for (int i = 0; i < 6; i++) {
            snprintf(text[i], sizeof text[i], "%s %s", formats[f], options[i]);
            CHECK_NOTE("%.199s", text[i]);
            of_text[i] = measure(text[i], 2000, 100, true);
            of_noise[i] = measure(text[i], 2000, 100, false);
            CHECK_U64(of_noise[0].on_disk, of_noise[i].on_disk);
            CHECK_U64(of_noise[0].written, of_noise[i].written);
        }
        CHECK_NOTE("%s: %" PRIu64 " bytes, compressed %" PRIu64 ", level 9 %" PRIu64, formats[f], of_text[0].on_disk, of_text[1].on_disk,
                   of_text[5].on_disk);
        CHECK(of_text[0].on_disk > 200000 && of_text[1].on_disk < of_text[0].on_disk * 3 / 4);
        CHECK(of_text[1].written < of_text[0].written * 3 / 4);
        CHECK_U64(of_text[1].on_disk, of_text[2].on_disk);
        CHECK_U64(of_text[0].on_disk, of_text[3].on_disk); /* smaller than the least size */
        CHECK_U64(of_text[0].on_disk, of_text[4].on_disk); /* level 0 makes nothing smaller, and so is left out */
        CHECK(of_text[5].on_disk <= of_text[1].on_disk);
        snprintf(text[0], sizeof text[0], "%s compression=zlib compression_level=1", formats[f]);
        CHECK(measure(text[0], 2000, 100, true).on_disk > of_text[5].on_disk);
        snprintf(text[0], sizeof text[0], "%s compression=zlib compression_min_size=10", formats[f]);
        snprintf(text[1], sizeof text[1], "%s", formats[f]);
        CHECK(measure(text[0], 60, 100, true).on_disk <= measure(text[1], 60, 100, true).on_disk);
    }
}

/* ---- Streams that no writer makes ----------------------------------------------------------- */

/* An entry's frame with this stream in place of its payload, at the place of `old`. */
typedef struct forged {
    unsigned char *bytes;
    size_t size;
} forged_t;

static forged_t forge_binary(const unsigned char *segment, const frame_t *old, uint32_t size, uint32_t checksum,
                             const unsigned char *stream, size_t count) {
    forged_t frame = {.size = (FRAME_HEADER_BYTES + 8 + count + 7) / 8 * 8};
    unsigned char *whole = calloc(1, old->offset + frame.size), *bytes = whole + old->offset;
    memcpy(whole, segment, old->offset + FRAME_HEADER_BYTES);
    store(bytes + 24, 4, size);
    store(bytes + 28, 4, checksum);
    memcpy(bytes + 32, stream, count);
    store(bytes + 8, 4, 8 + count);
    store(bytes + 4, 4, (uint32_t)crc32(0, bytes + 24, (uInt)count + 8));
    bytes[17] |= 0x10;
    seal_frame_header(whole, old->offset);
    frame.bytes = memcpy(malloc(frame.size), bytes, frame.size);
    free(whole);
    return frame;
}

static forged_t forge_json(const unsigned char *segment, const frame_t *old, uint32_t size, uint32_t checksum,
                           const unsigned char *stream, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t encoded = (count + 2) / 3 * 4;
    char *line = malloc(encoded + 512);
    const char *from = (const char *)segment + old->offset, *time = strstr(from, ",\"term\":"), *end = strchr(time, 'Z');
    char c[16] = "AAAAAAA";
    put_json_digits(c + 7, json_digit_count(encoded), encoded);
    int head = sprintf(line, "{\"c\":\"%s\",\"index\":%" PRIu64 "%.*s\",\"codec\":\"zlib\",\"size\":%" PRIu32
                             ",\"checksum\":\"%08" PRIx32 "\",\"data_base64\":\"",
                       c, old->index, (int)(end + 1 - time), time, size, checksum);
    char *out = line + head;
    for (size_t i = 0; i < count; i += 3) {
        uint32_t three = (uint32_t)stream[i] << 16 | (i + 1 < count ? (uint32_t)stream[i + 1] << 8 : 0) | (i + 2 < count ? stream[i + 2] : 0);
        for (int k = 0; k < 4; k++)
            *out++ = i + (size_t)k > count ? '=' : digits[three >> (18 - 6 * k) & 63];
    }
    *out++ = '"';
    *out++ = '}';
    while ((out - line + 1) % 8 != 0)
        *out++ = ' ';
    *out++ = '\n';
    forged_t frame = {.size = (size_t)(out - line), .bytes = (unsigned char *)line};
    unsigned distance = (unsigned)(json_digits((const unsigned char *)from + 6, 7) >> 2 & 255);
    uint32_t check = json_check(json_salt(segment), old->offset, frame.bytes, frame.size, distance);
    put_json_digits(line + 6, 7, (uint64_t)check << 10 | distance << 2);
    return frame;
}

static size_t put_varint(unsigned char *to, uint64_t value) {
    size_t count = 0;
    for (; value > 127; value >>= 7)
        to[count++] = (unsigned char)(value | 128);
    to[count++] = (unsigned char)value;
    return count;
}

static forged_t forge_proto(const unsigned char *segment, const frame_t *old, uint32_t size, uint32_t checksum,
                            const unsigned char *stream, size_t count) {
    unsigned char *kind = calloc(1, count + 64), head[64], *whole = calloc(1, old->offset + count + 256);
    size_t at = 0, before = 0;
    kind[at++] = 0x08, kind[at++] = 1; /* term 1 */
    kind[at++] = 0x11, store(kind + at, 8, 1), at += 8;
    kind[at++] = 0x18, kind[at++] = 1; /* the time was given */
    kind[at++] = 0x20, kind[at++] = 1; /* zlib */
    if (size != 0)
        kind[at++] = 0x28, at += put_varint(kind + at, size);
    if (checksum != 0)
        kind[at++] = 0x35, store(kind + at, 4, checksum), at += 4;
    if (count != 0) {
        kind[at++] = 0x3a, at += put_varint(kind + at, count);
        memcpy(kind + at, stream, count);
        at += count;
    }
    head[before++] = 0x0d, before += 4;
    head[before++] = 0x10, before += put_varint(head + before, old->index);
    head[before++] = 0x18, head[before++] = 1;
    unsigned char open[8], length[8];
    open[0] = 0x3a;
    size_t open_size = 1 + put_varint(open + 1, at), padding = 0, bare = before + open_size + at;
    while (padding == 1 || (bare + padding + put_varint(length, bare + padding)) % 8 != 0)
        padding++;
    unsigned char *bytes = whole + old->offset, *to = bytes;
    memcpy(whole, segment, FIRST_FRAME);
    to += put_varint(to, bare + padding);
    memcpy(to, head, before), to += before;
    if (padding != 0)
        to[0] = 0x32, to[1] = (unsigned char)(padding - 2), to += padding;
    memcpy(to, open, open_size), to += open_size;
    memcpy(to, kind, at), to += at;
    forged_t frame = {.size = (size_t)(to - bytes)};
    frame_t made = {.offset = old->offset, .end = old->offset + frame.size};
    uint64_t ignored;
    store(bytes + load_varint(bytes, to, &ignored) + 1, 4, proto_checksum(whole, &made));
    frame.bytes = memcpy(malloc(frame.size), bytes, frame.size);
    free(whole);
    free(kind);
    return frame;
}

typedef struct hostile {
    const char *name;
    size_t inflated, size;   /* of zeros that the stream holds, and what is said of it */
    uint32_t checksum_error; /* added to the right one */
    int trailing, missing;   /* bytes behind the stream, or of it */
    int spoilt;              /* 1 + which byte has a bit flipped */
    bool is_good;
} hostile_t;

static const hostile_t hostiles[] = {
    {.name = "as it should be", .inflated = 1000, .size = 1000, .is_good = true},
    {.name = "a bomb", .inflated = 200 << 20, .size = 100},
    {.name = "a size far too large", .inflated = 1000, .size = 1 << 30},
    {.name = "a size that no entry has", .inflated = 1000, .size = 0xffffffff},
    {.name = "a size too large by one", .inflated = 1000, .size = 1001},
    {.name = "a size too small by one", .inflated = 1000, .size = 999},
    {.name = "a size of nothing", .inflated = 1000, .size = 0},
    {.name = "another checksum", .inflated = 1000, .size = 1000, .checksum_error = 1},
    {.name = "a byte behind the stream", .inflated = 1000, .size = 1000, .trailing = 1},
    {.name = "many bytes behind the stream", .inflated = 1000, .size = 1000, .trailing = 500},
    {.name = "a stream that is cut off", .inflated = 1000, .size = 1000, .missing = 1},
    {.name = "a stream without a checksum", .inflated = 1000, .size = 1000, .missing = 4},
    {.name = "hardly a stream", .inflated = 1000, .size = 1000, .missing = 10},
    {.name = "another method", .inflated = 1000, .size = 1000, .spoilt = 1},
    {.name = "a dictionary that nobody has", .inflated = 1000, .size = 1000, .spoilt = 2},
    {.name = "a bad block", .inflated = 1000, .size = 1000, .spoilt = 3},
};

static forged_t forge(const hostile_t *hostile, const unsigned char *segment, const frame_t *frame, bool json, bool proto) {
    uLongf count = compressBound(hostile->inflated);
    unsigned char *zeros = calloc(1, hostile->inflated), *stream = malloc(count + 1000);
    CHECK(compress(stream, &count, zeros, hostile->inflated) == Z_OK);
    uint32_t checksum = (uint32_t)crc32(0, zeros, hostile->size < 2000 ? (uInt)hostile->size : 1000) + hostile->checksum_error;
    if (hostile->spoilt)
        stream[hostile->spoilt - 1] ^= hostile->spoilt == 2 ? 0x20 : 0x07;
    if (hostile->spoilt == 2) /* the header's own check is to be right */
        stream[1] = (unsigned char)((stream[1] & 0xe0) | (31 - ((stream[0] << 8) + (stream[1] & 0xe0)) % 31) % 31);
    memset(stream + count, 'x', 1000);
    count = count + (uLongf)hostile->trailing - (uLongf)hostile->missing;
    forged_t forged = (json ? forge_json : proto ? forge_proto : forge_binary)(segment, frame, (uint32_t)hostile->size, checksum, stream, count);
    free(zeros);
    free(stream);
    return forged;
}

/* Memory that the process may still take, at the most. */
static void limit_memory(size_t more) {
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    struct rlimit limit = {pages * 4096 + more, pages * 4096 + more};
    if (!CHECK_IS_SANITIZED)
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* Reads entry 2 in each way, with little memory, in a process of its own. */
static void read_forged(const char *dir, const char *text, bool is_good) {
    pid_t child = start();
    if (child == 0) {
        walrus_t *log = open_log(dir, text);
        limit_memory(80 << 20);
        walrus_entry_t entry;
        CHECK_U64(2, walrus_last_index(log));
        for (int round = 0; round < 3; round++) {
            int32_t result = walrus_get(log, 2, &entry);
            CHECK_CODE(is_good ? WALRUS_OK : WALRUS_E_CORRUPT, result);
            if (is_good)
                CHECK(entry.size == 1000 && is_zeroed(entry.data, entry.size));
            else
                CHECK_U64(2, last_error().index);
            walrus_entry_release(&entry);
        }
        CHECK_OK(walrus_get(log, 1, &entry));
        walrus_entry_release(&entry);
        CHECK_OK(walrus_close(log));
        _exit(check_shared->failures ? 1 : 0);
    }
    CHECK_U64(0, await(child));
}

/* Catches: a stream that is believed: memory as its size says, bytes beyond it, an end that nobody looks at. */
CASE(a_forged_stream_is_corrupt_and_costs_no_memory) {
    static const char *const formats[] = {"format=binary", "format=json", "format=proto"};
    for (int f = 0; f < 3; f++) {
        char text[100];
        snprintf(text, sizeof text, "%s preallocate=off", formats[f]);
        walrus_t *log = open_log(in_memory("made"), text);
        append_payload(log, 100, 1);
        append_payload(log, 2000, 2);
        image_t *image = image_read(in_memory("made"));
        CHECK_OK(walrus_close(log));
        image_file_t *tail = tail_segment(image), kept = *tail;
        frame_t frames[16];
        size_t count = list_frames(tail->bytes, tail->size, frames, 16);
        CHECK(count > 0 && frames[count - 1].type == FRAME_ENTRY && frames[count - 1].index == 2);
        for (size_t h = 0; h < sizeof hostiles / sizeof hostiles[0]; h++) {
            const frame_t *old = &frames[count - 1];
            forged_t forged = forge(&hostiles[h], kept.bytes, old, f == 1, f == 2);
            tail->size = old->offset + forged.size;
            tail->bytes = malloc(tail->size);
            memcpy(tail->bytes, kept.bytes, old->offset);
            memcpy(tail->bytes + old->offset, forged.bytes, forged.size);
            for (int copies = 0; copies < 2; copies++) {
                image_write(image, in_memory("log"));
                CHECK_NOTE("%s, %s", formats[f], hostiles[h].name);
                read_forged(in_memory("log"), copies ? "zero_copy=off" : "", hostiles[h].is_good);
            }
            free(tail->bytes);
            free(forged.bytes);
            *tail = kept;
        }
        image_free(image);
        CHECK_OK(walrus_destroy(in_memory("made")));
    }
}

/* ---- Followers ------------------------------------------------------------------------------ */

/* Catches: a follower that takes a line for finished that is not, or that cannot find the next one. */
VARIANT_CASES(a_follower_in_another_process_reads_what_is_appended) {
    enum { ENTRIES = 3000 };
    const char *dir = in_memory("log");
    char text[200];
    snprintf(text, sizeof text, "sync=os segment_size=64KiB %s", variant);
    walrus_t *log = open_log(dir, text);
    random_source_t chance = {7};
    pid_t child = start();
    if (child == 0) {
        walrus_t *follower = open_log(dir, "read_only=true");
        walrus_cursor_t *cursor = NULL;
        CHECK_OK(walrus_cursor_open(follower, 1, 0, &cursor));
        for (uint64_t i = 1; i <= ENTRIES;) {
            walrus_entry_t entry;
            int32_t result = walrus_cursor_next(cursor, &entry);
            if (result == WALRUS_E_CAUGHT_UP) {
                CHECK_OK(walrus_cursor_wait(cursor, 20000));
                continue;
            }
            CHECK_OK(result);
            size_t size;
            unsigned char *bytes = hard_payload(&chance, &size);
            CHECK_U64(i++, entry.index);
            CHECK_BYTES(bytes, size, entry.data, entry.size);
            walrus_entry_release(&entry);
            free(bytes);
        }
        walrus_cursor_close(cursor);
        CHECK_OK(walrus_close(follower));
        _exit(check_shared->failures ? 1 : 0);
    }
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        size_t size;
        unsigned char *bytes = hard_payload(&chance, &size);
        CHECK_OK(walrus_append(log, bytes, size, NULL));
        free(bytes);
        if (i % 500 == 0)
            usleep(3000);
    }
    CHECK_U64(0, await(child));
    CHECK_OK(walrus_close(log));
}

/* ---- What JSON costs ------------------------------------------------------------------------ */

static size_t escaped_size(const unsigned char *bytes, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += bytes[i] == '"' || bytes[i] == '\\' || (bytes[i] != 0 && bytes[i] < 0x20 && strchr("\b\t\n\f\r", bytes[i])) ? 2
                 : bytes[i] < 0x20                                                                                           ? 6
                                                                                                                             : 1;
    return count;
}

/* Catches: the promise broken. Size, index and term have 2, 6 and 3 digits at the most, the 11 for which no entry may cost more than 128, and
 * some cost just that. In the sum the log's watermarks, runs and begin frames count, too; only the 4096 bytes of each header do not. */
CASE(json_costs_at_most_128_bytes_an_entry_beyond_its_escaped_text) {
    enum { ENTRIES = 100000, FIRST = 400000 };
    static size_t escaped[ENTRIES];
    for (int durable = 0; durable < 2; durable++) {
        const char *dir = in_memory("log");
        walrus_t *log = open_log(dir, durable ? "format=json sync=always" : "format=json sync=none");
        random_source_t chance = {3};
        size_t all_escaped = 0, taken = 0, lines = 0, most_cost = 0, all_costs = 0;
        CHECK_OK(walrus_reset(log, FIRST));
        for (size_t i = 0; i < ENTRIES; i++) {
            static const char *const pieces[] = {"some text ", "\"with quotes\"", " and \\ and \n", "\t", "\xe9\x9b\xa8", "a", "\x7f"};
            unsigned char bytes[3000];
            size_t size = 0, most = below(&chance, below(&chance, 10) ? 120 : below(&chance, 10) ? 700 : 2900);
            while (size < most) {
                const char *piece = pieces[below(&chance, 7)];
                memcpy(bytes + size, piece, strlen(piece));
                size += strlen(piece);
            }
            escaped[i] = escaped_size(bytes, size);
            CHECK(escaped[i] < 4096);
            all_escaped += escaped[i];
            walrus_record_t record = {.data = bytes, .size = size, .term = 990 + i / 20000};
            CHECK_OK(walrus_append_record(log, &record, 0, NULL));
        }
        CHECK_OK(walrus_close(log));
        image_t *image = image_read(dir);
        for (size_t i = 0; i < image->count; i++) {
            const image_file_t *file = &image->files[i];
            if (!is_segment(file->name))
                continue;
            taken += file->size - FIRST_FRAME;
            CHECK(memmem(file->bytes, file->size, "data_base64", 11) == NULL);
            const char *line = (const char *)file->bytes + FIRST_FRAME, *end = (const char *)file->bytes + file->size, *newline;
            for (; (newline = memchr(line, '\n', (size_t)(end - line))) != NULL; line = newline + 1) {
                const char *term = memmem(line, (size_t)(newline - line), ",\"term\":", 8);
                const char *number = memmem(line, (size_t)(newline - line), "\"index\":", 8);
                if (term == NULL)
                    continue; /* the log's own */
                CHECK(number != NULL && number < term);
                uint64_t index = strtoull(number + 8, NULL, 10);
                CHECK(index >= FIRST && index < FIRST + ENTRIES);
                size_t cost = (size_t)(newline + 1 - line) - escaped[index - FIRST];
                CHECK_NOTE("%.*s", (int)(newline - line < 400 ? newline - line : 400), line);
                CHECK(cost <= 128);
                most_cost = cost > most_cost ? cost : most_cost;
                all_costs += cost;
                lines++;
            }
        }
        CHECK_NOTE("%zu bytes, %zu of them escaped text", taken, all_escaped);
        CHECK_U64(ENTRIES, lines);
        double each = (double)(taken - all_escaped) / ENTRIES;
        printf("      sync=%s: beyond its escaped text an entry costs %.1f bytes, %zu at the most; with all else that is written %.1f\n",
               durable ? "always" : "none", (double)all_costs / ENTRIES, most_cost, each);
        CHECK_U64(128, most_cost);
        CHECK(each <= 128);
        image_free(image);
        CHECK_OK(walrus_destroy(dir));
    }
}
