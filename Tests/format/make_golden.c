/* make_golden.c - the program that made a log under Tests/golden
 *
 *     cc -I include Tests/format/make_golden.c -L build/lib -lwalrus -o make_golden
 *     ./make_golden DIR [KEY=VALUE ...]      DIR/log, the log, and DIR/expected.txt, what it holds: a line an entry
 *
 *     v1-binary                                                    v1-json         format=json
 *     v1-binary-zlib  compression=zlib compression_min_size=0      v1-proto        format=proto
 *     v1-json-zlib    format=json compression=zlib compression_min_size=0
 *
 * It is kept to tell how the golden log came to be, not to make it again: a golden log is what an earlier version wrote,
 * and every later one must read it. A new format version gets a directory of its own.
 *
 * expected.txt comes from what was appended, not from what was read back: index, term, timestamp in nanoseconds, CRC-32
 * of the payload, payload in hexadecimal ("-" for none). Only the times that the log gave itself are asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#include <walrus.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_ENTRIES = 128, LARGEST_PAYLOAD = 700 };

typedef struct expected {
    uint64_t index, term;
    int64_t timestamp_ns; /* 0: the log's own */
    size_t size;
    unsigned char data[LARGEST_PAYLOAD];
} expected_t;

static expected_t entries[MOST_ENTRIES];
static size_t count;
static uint64_t next_index;
static char **settings; /* KEY=VALUE; with any, every other entry is text */

static void check(int32_t result, const char *what) {
    if (result == WALRUS_OK)
        return;
    walrus_error_t error = {.struct_size = sizeof error};
    walrus_last_error(&error);
    fprintf(stderr, "make_golden: %s: %s\n", what, error.message);
    exit(1);
}

static walrus_t *open_log(const char *directory) {
    walrus_options_t *options = walrus_options_new();
    walrus_t *log = NULL;
    check(walrus_options_set(options, "segment_size", "4KiB"), "segment_size");
    check(walrus_options_set(options, "preallocate", "false"), "preallocate");
    for (char **setting = settings; *setting; setting++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(*setting, "="), *setting);
        check(walrus_options_set(options, key, strchr(*setting, '=') + 1), *setting);
    }
    check(walrus_open(directory, options, &log), "open");
    walrus_options_free(options);
    return log;
}

/* Notes an entry to come and describes it. Its bytes are made from its size and place, and are different in each. */
static walrus_record_t record(size_t size, uint64_t term, int64_t timestamp_ns) {
    expected_t *entry = &entries[count];
    uint32_t state = (uint32_t)(count * 2654435761u + size);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        entry->data[i] = (unsigned char)(state >> 24);
        if (*settings && count % 2)
            entry->data[i] = (unsigned char)"the quick brown fox \"jumps\" over\n\\"[(i + state % 2) % 36];
    }
    entry->index = next_index++;
    entry->term = term;
    entry->timestamp_ns = timestamp_ns;
    entry->size = size;
    count++;
    return (walrus_record_t){
        .data = size ? entry->data : NULL, .size = size, .index = entry->index, .term = term, .timestamp_ns = timestamp_ns};
}

static void append(walrus_t *log, size_t size, uint64_t term, int64_t timestamp_ns) {
    walrus_record_t one = record(size, term, timestamp_ns);
    check(walrus_append_record(log, &one, 0, NULL), "append");
}

static void append_batch(walrus_t *log, const size_t *sizes, size_t n, uint64_t term, int64_t timestamp_ns, int64_t step) {
    walrus_record_t records[16];
    for (size_t i = 0; i < n; i++)
        records[i] = record(sizes[i], term + i / 3, timestamp_ns + (int64_t)i * step);
    check(walrus_append_batch(log, records, n, 0, NULL), "batch");
}

static void truncate_log(walrus_t *log, uint64_t index) {
    check(walrus_truncate(log, index), "truncate");
    while (count > 0 && entries[count - 1].index > index)
        count--;
    next_index = index + 1;
}

static void truncate_front(walrus_t *log, uint64_t index) {
    check(walrus_truncate_front(log, index), "truncate front");
    size_t dropped = 0;
    while (dropped < count && entries[dropped].index < index)
        dropped++;
    count -= dropped;
    memmove(entries, entries + dropped, count * sizeof *entries);
}

static void write_expected(walrus_t *log, const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        expected_t *entry = &entries[i];
        if (!entry->timestamp_ns) {
            walrus_entry_t read;
            check(walrus_get(log, entry->index, &read), "get");
            entry->timestamp_ns = read.timestamp_ns;
            walrus_entry_release(&read);
        }
        fprintf(file, "%" PRIu64 " %" PRIu64 " %" PRId64 " %08" PRIx32 " ", entry->index, entry->term,
                entry->timestamp_ns, walrus_crc32(entry->data, entry->size));
        for (size_t k = 0; k < entry->size; k++)
            fprintf(file, "%02x", entry->data[k]);
        fputs(entry->size ? "\n" : "-\n", file);
    }
    fclose(file);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: make_golden DIR [KEY=VALUE ...]\n");
        return 2;
    }
    settings = argv + 2;
    char directory[1024], path[1100];
    const int64_t second = 1000000000, day = 86400 * second;
    const int64_t y2020 = 1577836800 * second;
    mkdir(argv[1], 0755);
    snprintf(directory, sizeof directory, "%s/log", argv[1]);
    snprintf(path, sizeof path, "%s/expected.txt", argv[1]);

    walrus_t *log = open_log(directory);
    next_index = 1000; /* a log may begin anywhere */
    append(log, 40, 3, y2020);
    append(log, 0, 3, y2020 + 1);
    for (size_t i = 0; i < 10; i++) /* two segments' worth, front truncated below */
        append(log, 500 + i * 20, 3, y2020 + (int64_t)i * second);
    append_batch(log, (const size_t[]){7, 0, 8, 64, 1}, 5, 4, y2020 + day, -second); /* terms 4, 4, 4, 5, 5; times fall */
    append(log, 16, 9, -day);            /* before 1970 */
    append(log, 17, 9, INT64_MAX);       /* as far from it as can be */
    append(log, 18, 2, INT64_MIN);       /* the sum of base and distance wraps; the term falls */
    append(log, 19, UINT64_MAX, y2020);
    append(log, 20, 0, 1);
    append_batch(log, (const size_t[]){300, 301, 302, 303, 304}, 5, 6, y2020 + 2 * day, day); /* a run within the batch */
    for (size_t i = 0; i < 6; i++)
        append(log, 600 + i, 6, y2020 + 9 * day);
    check(walrus_close(log), "close");

    log = open_log(directory);
    append(log, 33, 7, y2020 + 10 * day); /* behind a clean close */
    truncate_log(log, 1024);              /* in the middle of the second batch, in a sealed segment */
    append(log, 100, 8, y2020 + 11 * day);
    append(log, 101, 8, 0); /* the log's own time */
    append_batch(log, (const size_t[]){5, 6, 0}, 3, 8, y2020 + 12 * day, 1);
    truncate_log(log, 1028); /* in the middle of the batch, in the tail */
    for (size_t i = 0; i < 5; i++)
        append(log, 400 + i * 31, 8, y2020 + (13 + (int64_t)i) * day);
    truncate_front(log, 1009); /* in the middle of a segment */
    append(log, 9, 8, 0);
    append_batch(log, (const size_t[]){0, 1, 2, 3}, 4, 10, y2020 + 30 * day, 7);
    write_expected(log, path);
    check(walrus_close(log), "close");
    return 0;
}
