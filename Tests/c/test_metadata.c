/* test_metadata.c - small values beside the log: set, get, delete, each, stage
 *
 * A value that was set is there whatever happens to the entries; one that was staged comes and goes with the append it
 * rode on, and stays once that is durable. A crash is a copy of the directory of a log that is open, cut where a crash
 * may have cut it, or a process that is killed.
 */
#include "format.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LONGEST_KEY = 255, LARGEST_VALUE = 65535, MOST = 65536, PAIR = 16, FRAME_METADATA = 7 };

static void set(walrus_t *log, const char *key, const char *value) {
    CHECK_OK(walrus_meta_set(log, key, value, strlen(value)));
}

static void stage(walrus_t *log, const char *key, const char *value) {
    CHECK_OK(walrus_meta_stage(log, key, value, strlen(value)));
}

/* The value as text; "-" if there is no such key. */
static const char *get(walrus_t *log, const char *key) {
    static char buffers[8][256];
    static int turn;
    char *buffer = buffers[turn++ % 8];
    size_t size = 0;
    int32_t result = walrus_meta_get(log, key, buffer, 255, &size);
    if (result == WALRUS_E_NOT_FOUND)
        return "-";
    CHECK_OK(result);
    buffer[size] = 0;
    return buffer;
}

static void check_payload(walrus_t *log, const char *key, size_t size, uint64_t seed) {
    unsigned char *bytes = payload(MOST, 0);
    size_t got = 0;
    CHECK_OK(walrus_meta_get(log, key, bytes, MOST, &got));
    CHECK_U64(size, got);
    CHECK(is_payload(bytes, size, seed));
    free(bytes);
}

/* The log as a crash right now would leave it. */
static walrus_t *crashed(const char *dir, const char *text) {
    static int copies;
    const char *copy = in_memory("copy%d", copies++);
    copy_directory(dir, copy);
    return open_log(copy, text);
}

/* ---- Arguments and limits ------------------------------------------------------------------- */

static int32_t no_visit(void *ctx, const char *key, const void *value, size_t size) {
    (void)ctx, (void)key, (void)value, (void)size;
    return 0;
}

/* Catches: a NULL that is followed, a key without an end, a value that is written although the call failed. */
CASE(null_and_wrong_arguments_are_invalid_and_change_nothing) {
    walrus_t *log = open_log(in_memory("log"), "");
    char key[300], buffer[8] = "before";
    size_t size = 4711;
    memset(key, 'k', sizeof key);
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_set(NULL, "a", "b", 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_set(log, NULL, "b", 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_set(log, "", "b", 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_set(log, "a", NULL, 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_stage(NULL, "a", "b", 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_stage(log, NULL, "b", 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_stage(log, "", "b", 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_stage(log, "a", NULL, 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_get(NULL, "a", buffer, 8, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_get(log, NULL, buffer, 8, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_get(log, "", buffer, 8, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_get(log, "a", NULL, 8, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_delete(NULL, "a"));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_delete(log, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_delete(log, ""));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_each(NULL, no_visit, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_each(log, NULL, NULL));
    key[LONGEST_KEY + 1] = 0;
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_set(log, key, "b", 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_stage(log, key, "b", 1));
    CHECK_CODE(WALRUS_E_INVALID, walrus_meta_get(log, key, buffer, 8, &size));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_meta_get(log, "a", buffer, 8, &size));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_meta_delete(log, "a"));
    CHECK_U64(4711, size);
    CHECK_TEXT("before", buffer);
    key[LONGEST_KEY] = 0;
    set(log, key, "long");
    CHECK_TEXT("long", get(log, key));
    CHECK_OK(walrus_meta_set(log, "empty", NULL, 0));
    CHECK_OK(walrus_meta_get(log, "empty", NULL, 0, &size));
    CHECK_U64(0, size);
    CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_meta_get(log, key, buffer, 3, &size));
    CHECK_U64(4, size);
    CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_meta_get(log, key, NULL, 0, NULL));
    CHECK_TEXT("before", buffer);
    CHECK_OK(walrus_meta_get(log, key, buffer, 4, NULL));
    CHECK(memcmp(buffer, "longre", 6) == 0);
    CHECK_OK(walrus_shutdown(log));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_meta_set(log, "a", "b", 1));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_meta_stage(log, "a", "b", 1));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_meta_get(log, "a", buffer, 8, &size));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_meta_delete(log, "a"));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_meta_each(log, no_visit, NULL));
    CHECK_OK(walrus_close(log));
    log = open_log(in_memory("log"), "read_only=true");
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_meta_set(log, "a", "b", 1));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_meta_stage(log, "a", "b", 1));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_meta_delete(log, key));
    CHECK_TEXT("long", get(log, key));
    CHECK_OK(walrus_close(log));
}

/* Catches: a limit that is off by one, that forgets what is staged, or whose records do not fit where they must. */
CASE(all_keys_and_values_together_take_up_64_kib_to_the_byte) {
    const char *dir = in_memory("log");
    walrus_t *log = open_log(dir, "buffer_size=4KiB segment_size=4KiB");
    unsigned char *bytes = payload(MOST, 1);
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_set(log, "a", bytes, LARGEST_VALUE + 1));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_set(log, "a", bytes, SIZE_MAX));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_stage(log, "a", bytes, LARGEST_VALUE + 1));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_set(log, "a", bytes, MOST - PAIR - 1 + 1));
    CHECK_OK(walrus_meta_set(log, "a", bytes, MOST - PAIR - 1));
    check_payload(log, "a", MOST - PAIR - 1, 1);
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_set(log, "b", NULL, 0));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_stage(log, "b", NULL, 0));
    CHECK_OK(walrus_meta_set(log, "a", bytes, 1000));
    CHECK_OK(walrus_meta_stage(log, "b", bytes, MOST - 1000 - 2 * PAIR - 2));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_set(log, "a", bytes, 1001));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_stage(log, "c", NULL, 0));
    CHECK_OK(walrus_meta_stage(log, "a", bytes, 1000)); /* replaces what holds */
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_meta_get(log, "b", NULL, 0, NULL));
    append_payload(log, 100, 1); /* a frame far larger than the buffer and the segment */
    check_payload(log, "b", MOST - 1000 - 2 * PAIR - 2, 1);
    walrus_t *copy = crashed(dir, "");
    check_payload(copy, "b", MOST - 1000 - 2 * PAIR - 2, 1);
    check_payload(copy, "a", 1000, 1);
    check_entry(copy, 1, 100, 1);
    CHECK_OK(walrus_close(copy));
    CHECK_OK(walrus_meta_delete(log, "b"));
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "");
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_meta_get(log, "b", NULL, 0, NULL));
    CHECK_OK(walrus_meta_delete(log, "a"));
    char key[8];
    for (int i = 0; i < MOST / (PAIR + 4); i++) { /* as many pairs as there can be with such keys */
        snprintf(key, sizeof key, "%04d", i);
        CHECK_OK(walrus_meta_stage(log, key, NULL, 0));
    }
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_stage(log, "more", NULL, 0));
    CHECK_OK(walrus_sync(log));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_meta_set(log, "more", NULL, 0));
    CHECK_OK(walrus_meta_get(log, key, NULL, 0, NULL));
    CHECK_OK(walrus_close(log));
    free(bytes);
}

/* ---- Each ----------------------------------------------------------------------------------- */

typedef struct walk {
    walrus_t *log;
    char text[512];
    int32_t answer;
    bool changes;
} walk_t;

static int32_t note(void *ctx, const char *key, const void *value, size_t size) {
    walk_t *walk = ctx;
    char *end = walk->text + strlen(walk->text);
    snprintf(end, sizeof walk->text - (size_t)(end - walk->text), "%s=%.*s ", key, (int)size, (const char *)value);
    if (walk->changes) {
        CHECK_OK(walrus_meta_delete(walk->log, key));
        set(walk->log, "zzz", "new");
        append_payload(walk->log, 10, 1);
        CHECK_CODE(WALRUS_E_BUSY, walrus_close(walk->log));
    }
    return walk->answer;
}

/* Catches: an order of insertion, a key without its NUL, a walk that a change under it confuses or blocks. */
CASE(each_shows_what_held_at_the_call_in_order_of_the_keys) {
    walrus_t *log = open_log(in_memory("log"), "");
    walk_t walk = {.log = log};
    CHECK_OK(walrus_meta_each(log, note, &walk));
    CHECK_TEXT("", walk.text);
    set(log, "b", "2");
    set(log, "\xff", "last");
    set(log, "ba", "4");
    set(log, "a", "first");
    stage(log, "b", "staged");
    CHECK_OK(walrus_meta_each(log, note, &walk));
    CHECK_TEXT("a=first b=2 ba=4 \xff=last ", walk.text);
    append_payload(log, 10, 1);
    walk = (walk_t){.log = log, .answer = -5};
    CHECK_OK(walrus_meta_each(log, note, &walk));
    CHECK_TEXT("a=first b=staged ba=4 \xff=last ", walk.text);
    walk = (walk_t){.log = log, .answer = 7};
    CHECK(walrus_meta_each(log, note, &walk) == 7);
    CHECK_TEXT("a=first ", walk.text);
    walk = (walk_t){.log = log, .changes = true};
    CHECK_OK(walrus_meta_each(log, note, &walk));
    CHECK_TEXT("a=first b=staged ba=4 \xff=last ", walk.text);
    walk = (walk_t){.log = log};
    CHECK_OK(walrus_meta_each(log, note, &walk));
    CHECK_TEXT("zzz=new ", walk.text);
    CHECK_OK(walrus_close(log));
}

/* ---- What is durable, and when -------------------------------------------------------------- */

/* Catches: a value that waits for something, and one that truncations, resets or closes take along. */
CASE(a_value_that_was_set_survives_whatever_happens_to_the_entries) {
    const char *texts[] = {"segment_size=4KiB", "segment_size=4KiB sync=none", "segment_size=4KiB sync_padding=4096",
                           "zero_copy=off sync=os"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *dir = in_memory("log%zu", i);
        CHECK_NOTE("%s", texts[i]);
        walrus_t *log = open_log(dir, texts[i]), *copy;
        set(log, "vote", "1");
        for (uint64_t n = 1; n <= 40; n++) {
            char text[24];
            snprintf(text, sizeof text, "%" PRIu64, n);
            set(log, "vote", text);
            stage(log, "position", text);
            CHECK_U64(n, append_payload(log, 200, n));
            CHECK_TEXT(text, get(log, "position"));
        }
        CHECK_OK(walrus_truncate(log, 20)); /* with what rode on the others */
        CHECK_TEXT("40", get(log, "position"));
        copy = crashed(dir, "");
        CHECK_TEXT("40", get(copy, "vote"));
        CHECK_TEXT("40", get(copy, "position"));
        CHECK_U64(20, walrus_last_index(copy));
        CHECK_OK(walrus_close(copy));
        stage(log, "position", "21");
        append_payload(log, 200, 21);
        CHECK_OK(walrus_truncate_front(log, 15));
        copy = crashed(dir, "");
        CHECK_TEXT(walrus_last_index(copy) == 21 ? "21" : "40", get(copy, "position"));
        CHECK_OK(walrus_close(copy));
        CHECK_OK(walrus_reset(log, 1000));
        CHECK_TEXT("21", get(log, "position"));
        copy = crashed(dir, "");
        CHECK_TEXT("40", get(copy, "vote"));
        CHECK_TEXT("21", get(copy, "position"));
        CHECK_U64(1000, walrus_next_index(copy));
        CHECK_OK(walrus_close(copy));
        CHECK_OK(walrus_meta_delete(log, "vote"));
        stage(log, "lost", "never rode");
        CHECK_OK(walrus_close(log));
        log = open_log(dir, texts[i]);
        CHECK_TEXT("-", get(log, "vote"));
        CHECK_TEXT("-", get(log, "lost"));
        CHECK_TEXT("21", get(log, "position"));
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: a sync that forgets what is staged, an append that takes only the first or the last value along. */
CASE(staged_values_come_with_the_next_append_or_sync_of_whatever_kind) {
    const char *dir = in_memory("log");
    walrus_t *log = open_log(dir, "sync=none segment_size=4KiB"), *copy;
    stage(log, "a", "1");
    stage(log, "b", "1");
    stage(log, "a", "2");
    CHECK_TEXT("-", get(log, "a"));
    CHECK_OK(walrus_sync(log)); /* in a log without an entry */
    CHECK_TEXT("2", get(log, "a"));
    copy = crashed(dir, "");
    CHECK_TEXT("2", get(copy, "a"));
    CHECK_TEXT("1", get(copy, "b"));
    CHECK_OK(walrus_close(copy));
    walrus_record_t records[3] = {{.data = "x", .size = 1}, {.data = "y", .size = 1}, {.data = "z", .size = 1}};
    stage(log, "a", "3");
    CHECK_OK(walrus_append_batch(log, records, 0, 0, NULL)); /* nothing is appended */
    CHECK_TEXT("2", get(log, "a"));
    CHECK_OK(walrus_append_batch(log, records, 3, WALRUS_DURABLE, NULL));
    CHECK_TEXT("3", get(log, "a"));
    stage(log, "a", "4");
    records[0].index = 77;
    CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_append_record(log, records, 0, NULL)); /* it stays staged */
    CHECK_TEXT("3", get(log, "a"));
    CHECK_OK(walrus_append_record(log, records + 1, WALRUS_BUFFERED, NULL));
    CHECK_TEXT("4", get(log, "a"));
    copy = crashed(dir, "");
    CHECK_TEXT("3", get(copy, "a")); /* it is in the buffer, as its entry is */
    CHECK_U64(3, walrus_last_index(copy));
    CHECK_OK(walrus_close(copy));
    set(log, "c", "1"); /* makes what rode before durable */
    copy = crashed(dir, "");
    CHECK_TEXT("4", get(copy, "a"));
    CHECK_TEXT("1", get(copy, "c"));
    CHECK_U64(4, walrus_last_index(copy));
    CHECK_OK(walrus_close(copy));
    walrus_txn_t *txn = NULL;
    uint64_t count = 4711;
    stage(log, "b", "txn");
    CHECK_OK(walrus_txn_begin(log, 0, &txn));
    CHECK_OK(walrus_txn_commit(txn, 0, NULL, &count)); /* an empty one appends nothing */
    CHECK_TEXT("1", get(log, "b"));
    CHECK_OK(walrus_txn_begin(log, 0, &txn));
    CHECK_OK(walrus_txn_append(txn, records + 1));
    CHECK_OK(walrus_txn_append(txn, records + 2));
    CHECK_OK(walrus_txn_commit(txn, WALRUS_DURABLE, NULL, &count));
    CHECK_TEXT("txn", get(log, "b"));
    stage(log, "b", "async");
    CHECK_OK(walrus_append_async(log, records + 2, 0, NULL, NULL, NULL));
    CHECK_TEXT("async", get(log, "b"));
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "");
    CHECK_TEXT("async", get(log, "b"));
    CHECK_U64(7, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
}

/* Catches: a new segment that does not repeat what the slots do not have, and a fold that is not in step with it. */
CASE(what_rode_long_ago_is_there_after_many_rotations) {
    const char *texts[] = {"segment_size=4KiB sync=os", "segment_size=4KiB", "segment_size=4KiB sync=os buffer_size=4KiB"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *dir = in_memory("log%zu", i);
        CHECK_NOTE("%s", texts[i]);
        walrus_t *log = open_log(dir, texts[i]);
        stage(log, "once", "here");
        unsigned char *large = payload(6000, 9);
        CHECK_OK(walrus_meta_stage(log, "large", large, 6000));
        free(large);
        for (uint64_t n = 1; n <= 150; n++) {
            char text[24];
            snprintf(text, sizeof text, "%" PRIu64, n);
            if (n % 3 == 0)
                stage(log, "third", text);
            append_payload(log, 300, n);
            if (n % 10 == 9) {
                walrus_t *copy = crashed(dir, n % 20 == 9 ? "read_only=true" : "");
                CHECK_TEXT("here", get(copy, "once"));
                check_payload(copy, "large", 6000, 9);
                snprintf(text, sizeof text, "%" PRIu64, walrus_last_index(copy) / 3 * 3);
                CHECK_TEXT(text, get(copy, "third"));
                CHECK_OK(walrus_close(copy));
            }
        }
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "recovery=strict");
        CHECK_TEXT("here", get(log, "once"));
        CHECK_TEXT("150", get(log, "third"));
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: a repeat that is torn while its begin frame is not and takes the metadata along, and a segment without its repeat that is written on, so
 * that nothing is left once its predecessor is dropped. */
CASE(a_new_segment_whose_repeat_is_torn_loses_nothing_even_when_its_predecessor_goes) {
    int hits = 0;
    for (int n = 0; n < 60 && hits < 5; n++) {
        const char *dir = in_memory("log%d", n), *copy = in_memory("torn%d", n);
        walrus_t *log = open_log(dir, "sync=os segment_size=4KiB preallocate=off");
        stage(log, "once", "here");
        for (uint64_t i = 1; i <= 15; i++) /* the last one rotates */
            append_payload(log, 300, i);
        image_t *image = image_read(dir);
        CHECK_OK(walrus_close(log));
        image_file_t *tail = tail_segment(image), *meta = image_find(image, "walrus.meta");
        frame_t frames[4];
        if (list_frames(tail->bytes, tail->size, frames, 4) < 3 || frames[1].type != FRAME_METADATA ||
            load(meta->bytes + META_SLOT + 144, 8) != 0) /* the background was there first */
            continue;
        hits++;
        CHECK(frames[1].flags == 0 && load(tail->bytes + FIRST_FRAME + FRAME_HEADER_BYTES + 88, 8) == 1);
        memset(tail->bytes + frames[1].offset, 0, tail->size - frames[1].offset);
        image_write(image, copy);
        log = open_log(copy, "segment_size=64KiB preallocate=off");
        CHECK_TEXT("here", get(log, "once"));
        CHECK_U64(frames[1].index - 1, walrus_last_index(log));
        append_payload(log, 300, 100);
        image_free(image);
        image = image_read(copy);
        size_t offset = 0;
        image_file_t *after = image_find_payload(image, 300, 100, &offset);
        CHECK(list_frames(after->bytes, after->size, frames, 4) == 3 && frames[1].type == FRAME_METADATA);
        CHECK_OK(walrus_truncate_front(log, walrus_last_index(log)));
        for (int wait = 0; wait < 500 && count_segments(copy) > 1; wait++)
            usleep(2000);
        CHECK_U64(1, count_segments(copy));
        image_free(image);
        image = image_read(copy);
        CHECK_OK(walrus_close(log));
        image_write(image, copy);
        log = open_log(copy, "");
        CHECK_TEXT("here", get(log, "once"));
        CHECK_OK(walrus_close(log));
        image_free(image);
    }
    CHECK_NOTE("%d of 60 copies were taken before the background folded", hits);
    CHECK(hits > 0);
}

/* Catches: a read-only handle that knows the slots alone. */
CASE(a_read_only_handle_sees_what_rode_beside_the_writer) {
    const char *dir = in_memory("log");
    walrus_t *log = open_log(dir, "sync=os segment_size=4KiB");
    set(log, "set", "1");
    for (uint64_t n = 1; n <= 60; n++) {
        char text[24];
        snprintf(text, sizeof text, "%" PRIu64, n);
        stage(log, "ridden", text);
        append_payload(log, 300, n);
        walrus_t *reader = open_log(dir, "read_only=true");
        CHECK_TEXT("1", get(reader, "set"));
        CHECK_TEXT(text, get(reader, "ridden"));
        CHECK_OK(walrus_close(reader));
    }
    CHECK_OK(walrus_close(log));
}

/* ---- Torn and damaged ----------------------------------------------------------------------- */

/* Catches: metadata without its batch, a batch without its metadata, and a second open that finds something else. */
CASE(a_torn_batch_takes_its_metadata_along_wherever_it_is_cut) {
    for (int large = 0; large < 2; large++) {
        const char *dir = in_memory("log%d", large);
        walrus_t *log = open_log(dir, "buffer_size=4KiB preallocate=off");
        stage(log, "a", "old");
        append_payload(log, 50, 1);
        walrus_record_t records[3] = {{.data = "x", .size = 1, .term = 9}, {.size = 0, .term = 10}, {.data = "z", .size = 1}};
        image_t *before = image_read(dir);
        size_t start = list_frames(tail_segment(before)->bytes, tail_segment(before)->size, (frame_t[9]){{0}}, 9);
        frame_t frames[32];
        CHECK(start == 3); /* begin, metadata, entry */
        stage(log, "a", "new");
        if (large) {
            unsigned char *bytes = payload(5000, 3);
            CHECK_OK(walrus_meta_stage(log, "large", bytes, 5000));
            free(bytes);
        }
        CHECK_OK(walrus_append_batch(log, records, 3, 0, NULL));
        image_t *image = image_read(dir);
        image_file_t *tail = tail_segment(image);
        walrus_t *original = log; /* open to the end: its files are read again */
        size_t count = list_frames(tail->bytes, tail->size, frames, 32);
        CHECK(count > start && frames[start].type == FRAME_METADATA && frames[start].flags == FLAG_CONTINUES);
        CHECK_U64(2, frames[start].index);
        size_t from = frames[start].offset, to = frames[count - 1].payload_end, whole = tail->size;
        const char *copy = in_memory("cut%d", large);
        for (size_t cut = from; cut <= to; cut += large && cut > from + 40 && cut + 200 < to ? 61 : 1) {
            CHECK_NOTE("cut at %zu of %zu", cut, to);
            memset(tail->bytes + cut, 0, whole - cut);
            tail->size = cut % 2 ? cut : whole; /* zeros, or the file's end */
            image_write(image, copy);
            bool is_whole = cut == to;
            for (int round = 0; round < 3; round++) {
                log = NULL;
                CHECK_OK(try_open(copy, round == 0 ? "read_only=true" : "", &log));
                CHECK_U64(is_whole ? 4 : 1, walrus_last_index(log));
                CHECK_TEXT(is_whole ? "new" : "old", get(log, "a"));
                CHECK(large == 0 || !is_whole || walrus_meta_get(log, "large", NULL, 0, NULL) == WALRUS_E_TOO_SMALL);
                if (round == 1)
                    append_payload(log, 10, 7);
                if (round == 2) {
                    CHECK_OK(walrus_truncate(log, is_whole ? 4 : 1));
                    CHECK_TEXT(is_whole ? "new" : "old", get(log, "a"));
                }
                CHECK_OK(walrus_close(log));
                if (round == 1) { /* the second crash */
                    log = open_log(copy, "");
                    CHECK_TEXT(is_whole ? "new" : "old", get(log, "a"));
                    CHECK_OK(walrus_close(log));
                    break;
                }
            }
            size_t size = 0;
            char path[PATH_MAX];
            snprintf(path, sizeof path, "%s/%s", dir, tail->name);
            unsigned char *again = read_file(path, &size);
            memcpy(tail->bytes, again, whole);
            free(again);
            tail->size = whole;
        }
        CHECK_OK(walrus_close(original));
    }
}

/* A log with values in its slots and on its tail, as a crash leaves it. */
static image_t *make_image(const char *dir) {
    walrus_t *log = open_log(dir, "preallocate=off sync=os");
    set(log, "slot", "a value in the slots");
    set(log, "x", "y");
    append_payload(log, 30, 1);
    stage(log, "ridden", "a value that rode");
    stage(log, "slot", "and another");
    append_payload(log, 30, 2);
    append_payload(log, 30, 3);
    image_t *image = image_read(dir);
    CHECK_OK(walrus_close(log));
    return image;
}

/* Opens whatever is there, and looks at all of it: no crash, and no value that was never given. */
static void open_damaged(const char *dir) {
    const char *texts[] = {"read_only=true", "read_only=true recovery=salvage", "recovery=strict", ""};
    for (int i = 0; i < 4; i++) {
        walrus_t *log = NULL;
        int32_t result = try_open(dir, texts[i], &log);
        CHECK(result == WALRUS_OK || result == WALRUS_E_CORRUPT || result == WALRUS_E_VERSION || result == WALRUS_E_TORN ||
              result == WALRUS_E_UNSUPPORTED);
        if (result != WALRUS_OK)
            continue;
        const char *slot = get(log, "slot"), *ridden = get(log, "ridden"), *x = get(log, "x");
        CHECK(strcmp(slot, "-") == 0 || strcmp(slot, "a value in the slots") == 0 || strcmp(slot, "and another") == 0);
        CHECK(strcmp(ridden, "-") == 0 || strcmp(ridden, "a value that rode") == 0);
        CHECK(strcmp(x, "-") == 0 || strcmp(x, "y") == 0);
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: a length that is believed, a slot that is believed without its checksum, wrong bytes handed out. */
CASE(damaged_slots_and_frames_give_no_wrong_value) {
    image_t *image = make_image(in_memory("log"));
    image_file_t *meta = image_find(image, "walrus.meta"), *tail = tail_segment(image);
    const char *dir = in_memory("damaged");
    size_t length = (size_t)load(meta->bytes + 12, 4);
    CHECK(length > 256 && length < 512 && load(meta->bytes + 132, 4) == length - 256);
    for (size_t at = 0; at < length; at++) { /* one slot: the other makes good for it */
        meta->bytes[at] ^= 0x5A;
        image_write(image, dir);
        walrus_t *log = open_log(dir, "");
        CHECK_TEXT("and another", get(log, "slot"));
        CHECK_TEXT("y", get(log, "x"));
        CHECK_OK(walrus_close(log));
        meta->bytes[at] ^= 0x5A;
    }
    frame_t frames[16];
    size_t count = list_frames(tail->bytes, tail->size, frames, 16);
    for (size_t at = FIRST_FRAME; at < frames[count - 1].end; at++) {
        CHECK_NOTE("byte %zu of the tail", at);
        tail->bytes[at] ^= 0x5A;
        image_write(image, dir);
        open_damaged(dir);
        tail->bytes[at] ^= 0x5A;
    }
}

/* Catches: a trap or a read out of bounds where the checksum is right and the lengths are not. */
CASE(records_that_no_writer_wrote_are_damage_however_right_their_checksums) {
    image_t *image = make_image(in_memory("log"));
    image_file_t *meta = image_find(image, "walrus.meta"), *tail = tail_segment(image);
    const char *dir = in_memory("crafted");
    static const uint32_t values[] = {0, 1, 7, 255, 256, 4096, 65535, 65536, 0x7FFFFFFF, 0xFFFFFFFF};
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        static const struct {
            size_t at;
            int width;
        } fields[] = {{12, 4}, {132, 4}, {144, 8}, {256, 2}, {258, 2}, {260, 4}, {296, 2}, {300, 4}};
        for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++) {
            unsigned char saved[2][600];
            CHECK_NOTE("%u in the field at %zu", values[v], fields[f].at);
            for (int slot = 0; slot < 2; slot++) {
                unsigned char *bytes = meta->bytes + slot * META_SLOT;
                memcpy(saved[slot], bytes, 600);
                store(bytes + fields[f].at, fields[f].width, values[v]);
                size_t length = (size_t)load(bytes + 12, 4);
                if (length >= 256 && slot * META_SLOT + length <= meta->size)
                    seal_meta_slot(bytes);
            }
            image_write(image, dir);
            walrus_t *log = NULL;
            int32_t result = try_open(dir, "read_only=true", &log);
            CHECK(result == WALRUS_OK || result == WALRUS_E_CORRUPT);
            if (result == WALRUS_OK) {
                CHECK_OK(walrus_meta_each(log, no_visit, NULL));
                CHECK_OK(walrus_close(log));
                log = NULL;
                if (try_open(dir, "", &log) == WALRUS_OK) {
                    set(log, "more", "m");
                    CHECK_OK(walrus_close(log));
                }
            }
            for (int slot = 0; slot < 2; slot++)
                memcpy(meta->bytes + slot * META_SLOT, saved[slot], 600);
        }
    }
    frame_t frames[16];
    size_t count = list_frames(tail->bytes, tail->size, frames, 16), n = 0;
    while (n < count && frames[n].type != FRAME_METADATA)
        n++;
    CHECK(n < count);
    unsigned char *frame = tail->bytes + frames[n].offset, *body = frame + FRAME_HEADER_BYTES;
    for (size_t at = 0; at < frames[n].length; at++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            unsigned char saved = body[at];
            body[at] = (unsigned char)values[v];
            store(frame + 4, 4, crc32(0, body, frames[n].length));
            seal_frame_header(tail->bytes, frames[n].offset);
            image_write(image, dir);
            walrus_t *log = NULL;
            if (try_open(dir, "read_only=true recovery=salvage", &log) == WALRUS_OK) {
                CHECK_OK(walrus_meta_each(log, no_visit, NULL));
                CHECK_OK(walrus_close(log));
            }
            body[at] = saved;
        }
}

/* ---- Against a model ------------------------------------------------------------------------ */

enum { KEYS = 6 };

typedef struct values {
    size_t size[KEYS]; /* SIZE_MAX: not there */
    uint64_t seed[KEYS];
} values_t;

static const char *const names[KEYS] = {"a", "term", "vote", "a much longer name of a position", "z", "m"};

static void check_values(walrus_t *log, const values_t *values) {
    for (int k = 0; k < KEYS; k++)
        if (values->size[k] == SIZE_MAX)
            CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_meta_get(log, names[k], NULL, 0, NULL));
        else
            check_payload(log, names[k], values->size[k], values->seed[k]);
}

/* Catches: whatever the cases above did not think of. */
CASE(random_calls_agree_with_a_model) {
    random_source_t chance = {run_seed()};
    const char *texts[] = {"segment_size=4KiB sync=os", "segment_size=16KiB", "segment_size=4KiB sync=none buffer_size=4KiB"};
    for (int round = 0; round < 6; round++) {
        const char *dir = in_memory("log%d", round), *text = texts[round % 3];
        values_t now, staged;
        memset(&now, 0xFF, sizeof now);
        memset(&staged, 0xFF, sizeof staged);
        walrus_t *log = open_log(dir, text);
        for (uint64_t n = 1; n <= 400; n++) {
            int k = (int)below(&chance, KEYS);
            size_t size = below(&chance, 30) == 0 ? below(&chance, 9000) : below(&chance, 60);
            unsigned char *bytes = payload(size, n);
            bool rides = false;
            switch (below(&chance, 12)) {
            case 0:
            case 1:
                CHECK_OK(walrus_meta_set(log, names[k], bytes, size));
                now.size[k] = size, now.seed[k] = n;
                break;
            case 2:
                CHECK_CODE(now.size[k] == SIZE_MAX ? WALRUS_E_NOT_FOUND : WALRUS_OK, walrus_meta_delete(log, names[k]));
                now.size[k] = SIZE_MAX;
                break;
            case 3:
            case 4:
            case 5:
                CHECK_OK(walrus_meta_stage(log, names[k], bytes, size));
                staged.size[k] = size, staged.seed[k] = n;
                break;
            case 6:
                if (walrus_last_index(log) > walrus_first_index(log))
                    CHECK_OK(walrus_truncate(log, walrus_last_index(log) - below(&chance, 2)));
                break;
            case 7:
                if (walrus_first_index(log) != 0)
                    CHECK_OK(walrus_truncate_front(log, walrus_last_index(log) - below(&chance, 2)));
                break;
            case 8:
                if (below(&chance, 4) == 0) {
                    CHECK_OK(walrus_reset(log, n));
                } else if (below(&chance, 2) == 0) {
                    CHECK_OK(walrus_sync(log));
                    rides = true;
                } else {
                    CHECK_OK(walrus_close(log));
                    log = open_log(dir, text);
                    memset(&staged, 0xFF, sizeof staged);
                }
                break;
            default:
                append_payload(log, (size_t)below(&chance, 700), n);
                rides = true;
            }
            if (rides) {
                for (int i = 0; i < KEYS; i++)
                    if (staged.size[i] != SIZE_MAX)
                        now.size[i] = staged.size[i], now.seed[i] = staged.seed[i];
                memset(&staged, 0xFF, sizeof staged);
            }
            free(bytes);
            check_values(log, &now);
            if (n % 40 == 0 && strstr(text, "none") == NULL) {
                walrus_t *copy = crashed(dir, "");
                check_values(copy, &now);
                CHECK_OK(walrus_close(copy));
            }
        }
        CHECK_OK(walrus_close(log));
    }
}

/* ---- Killed --------------------------------------------------------------------------------- */

typedef struct told {
    uint64_t set, appended;
} told_t;

/* Catches: a value that was acknowledged and is gone, and one that is not in step with the entry it rode on. */
CASE(after_kill_9_what_was_set_is_there_and_what_rode_is_in_step) {
    const char *texts[] = {"segment_size=4KiB sync=os", "segment_size=4KiB"};
    random_source_t chance = {run_seed()};
    for (int mode = 0; mode < 2; mode++) {
        const char *dir = at("log%d", mode);
        double end = check_now_s() + 3;
        told_t told = {0, 0};
        for (int round = 0; check_now_s() < end; round++) {
            int journal[2];
            CHECK(pipe2(journal, O_CLOEXEC) == 0);
            pid_t child = start();
            if (child == 0) {
                walrus_t *log = open_log(dir, texts[mode]);
                uint64_t n = walrus_last_index(log);
                uint64_t set = strtoull(get(log, "set"), NULL, 10);
                for (;;) {
                    char text[24];
                    n++;
                    snprintf(text, sizeof text, "%" PRIu64, n);
                    stage(log, "last", text);
                    CHECK_U64(n, append_payload(log, 100 + n % 300, n));
                    if (n % 16 == 0) {
                        snprintf(text, sizeof text, "%" PRIu64, ++set);
                        CHECK_OK(walrus_meta_set(log, "set", text, strlen(text)));
                    }
                    if (n % 40 == 0)
                        CHECK_OK(walrus_truncate_front(log, n - 20));
                    told_t told = {set, n};
                    if (write(journal[1], &told, sizeof told) != sizeof told)
                        _exit(4);
                }
            }
            close(journal[1]);
            told_t next;
            double until = check_now_s() + (double)below(&chance, 80) / 1000;
            while (check_now_s() < until && read(journal[0], &next, sizeof next) == sizeof next)
                told = next;
            kill(child, SIGKILL);
            CHECK_U64(1000 + SIGKILL, await(child));
            while (read(journal[0], &next, sizeof next) == sizeof next)
                told = next;
            close(journal[0]);
            CHECK_NOTE("%s, round %d: %" PRIu64 " set, %" PRIu64 " appended", texts[mode], round, told.set, told.appended);
            walrus_t *log = open_log(dir, texts[mode]);
            uint64_t last = walrus_last_index(log);
            char text[24];
            snprintf(text, sizeof text, "%" PRIu64, last);
            CHECK(last >= told.appended);
            CHECK_TEXT(last == 0 ? "-" : text, get(log, "last"));
            uint64_t set = strtoull(get(log, "set"), NULL, 10);
            CHECK(set >= told.set && set <= told.set + 1);
            told = (told_t){set, last};
            CHECK_OK(walrus_close(log));
        }
    }
}

/* ---- Threads -------------------------------------------------------------------------------- */

typedef struct worker {
    walrus_t *log;
    int number;
    atomic_bool *stop;
    uint64_t last;
    pthread_t id;
} worker_t;

static void *work(void *ctx) {
    worker_t *me = ctx;
    char key[16], rides[16], text[24];
    snprintf(key, sizeof key, "set%d", me->number);
    snprintf(rides, sizeof rides, "staged%d", me->number);
    for (uint64_t n = 1; !*me->stop; n++) {
        snprintf(text, sizeof text, "%" PRIu64, n);
        CHECK_OK(walrus_meta_set(me->log, key, text, strlen(text)));
        char buffer[24] = "";
        size_t size = 0;
        CHECK_OK(walrus_meta_get(me->log, key, buffer, sizeof buffer, &size));
        CHECK_BYTES(text, strlen(text), buffer, size);
        CHECK_OK(walrus_meta_stage(me->log, rides, text, strlen(text)));
        CHECK_OK(walrus_append(me->log, text, strlen(text), NULL));
        CHECK_OK(walrus_meta_get(me->log, rides, buffer, sizeof buffer, &size));
        CHECK_BYTES(text, strlen(text), buffer, size);
        CHECK_OK(walrus_meta_each(me->log, no_visit, NULL));
        me->last = n;
    }
    return NULL;
}

/* Catches: a set that starves under appends that take metadata along, and one that undoes what rode beside it. */
CASE(threads_set_stage_append_and_truncate_at_once) {
    const char *texts[] = {"segment_size=64KiB sync=os", "segment_size=64KiB"};
    for (int mode = 0; mode < 2; mode++) {
        const char *dir = in_memory("log%d", mode);
        walrus_t *log = open_log(dir, texts[mode]);
        atomic_bool stop = false;
        worker_t workers[4];
        for (int i = 0; i < 4; i++) {
            workers[i] = (worker_t){.log = log, .number = i, .stop = &stop};
            CHECK(pthread_create(&workers[i].id, NULL, work, &workers[i]) == 0);
        }
        for (double end = check_now_s() + 1; check_now_s() < end; usleep(3000)) {
            uint64_t last = walrus_last_index(log);
            if (last > 10)
                CHECK_OK(walrus_truncate_front(log, last - 5));
            last = walrus_last_index(log);
            if (last > walrus_first_index(log)) {
                int32_t result = walrus_truncate(log, last);
                CHECK(result == WALRUS_OK || result == WALRUS_E_COMPACTED);
            }
        }
        stop = true;
        for (int i = 0; i < 4; i++)
            CHECK(pthread_join(workers[i].id, NULL) == 0);
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "");
        for (int i = 0; i < 4; i++) {
            char key[16], text[24];
            snprintf(text, sizeof text, "%" PRIu64, workers[i].last);
            CHECK(workers[i].last > 0);
            snprintf(key, sizeof key, "set%d", i);
            CHECK_TEXT(text, get(log, key));
            snprintf(key, sizeof key, "staged%d", i);
            CHECK_TEXT(text, get(log, key));
        }
        CHECK_OK(walrus_close(log));
    }
}
