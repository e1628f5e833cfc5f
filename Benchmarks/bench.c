/* bench.c - libwalrus through its C interface, against the floor of the machine
 *
 * Floor and library take turns in one run, and each figure is the median of the rounds with the lowest and the
 * highest beside it, since a machine that others share drifts. The floor does no more than the work cannot do
 * without: a checksum, a copy, a write, a flush.
 *
 *     bench [DIRECTORY [ROUNDS]]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <walrus.h>

#include "walrus_crc32.h"

enum { SIZE = 256, HEADER = 32, MOST_ROUNDS = 31 };

static char payload[65536];
static const char *place;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    walrus_error_t error = {.struct_size = sizeof error};
    walrus_last_error(&error);
    fprintf(stderr, "bench: %s: %s\n", what, error.message);
    exit(1);
}

static const char *path(const char *name) {
    static char text[4096];
    snprintf(text, sizeof text, "%s/%s", place, name);
    return text;
}

static walrus_t *open_log(const char *name, const char *sync) {
    walrus_options_t *options = walrus_options_new();
    if (walrus_options_set(options, "sync", sync) != WALRUS_OK) die("sync");
    walrus_t *log;
    if (walrus_open(path(name), options, &log) != WALRUS_OK) die("open");
    walrus_options_free(options);
    return log;
}

static void close_and_destroy(walrus_t *log, const char *name) {
    if (walrus_close(log) != WALRUS_OK) die("close");
    if (walrus_destroy(path(name)) != WALRUS_OK) die("destroy");
}

/* ---- Not synced ------------------------------------------------------------------------------ */

/* A 64 KiB buffer, checksum and copy in one pass, pwrite into space that is allocated. ns an entry. */
static double floor_append(size_t size, int count) {
    int file = open(path("floor"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    size_t frame = HEADER + ((size + 7) & ~(size_t)7);
    size_t total = frame * (size_t)count;
    if (file < 0 || fallocate(file, 0, 0, (off_t)total + 65536) != 0) die("floor file");
    static char buffer[65536 + 131072];
    size_t used = 0;
    off_t at = 0;
    double start = now();
    for (int i = 0; i < count; i++) {
        uint32_t crc = wp_crc32_copy(0, buffer + used + HEADER, payload, size);
        memcpy(buffer + used, &crc, 4);
        used += frame;
        if (used >= 65536) {
            if (pwrite(file, buffer, used, at) < 0) die("pwrite");
            at += (off_t)used;
            used = 0;
        }
    }
    double spent = now() - start;
    close(file);
    unlink(path("floor"));
    return spent / count * 1e9;
}

static double walrus_append_none(size_t size, int count) {
    walrus_t *log = open_log("none", "none");
    double start = now();
    for (int i = 0; i < count; i++)
        if (walrus_append(log, payload, size, NULL) != WALRUS_OK) die("append");
    double spent = now() - start;
    close_and_destroy(log, "none");
    return spent / count * 1e9;
}

static double walrus_batch_none(size_t size, int count) {
    walrus_t *log = open_log("none", "none");
    walrus_record_t records[100] = {{0}};
    for (int i = 0; i < 100; i++) {
        records[i].data = payload;
        records[i].size = size;
    }
    double start = now();
    for (int i = 0; i < count; i += 100)
        if (walrus_append_batch(log, records, 100, 0, NULL) != WALRUS_OK) die("batch");
    double spent = now() - start;
    close_and_destroy(log, "none");
    return spent / count * 1e9;
}

/* ---- Synced ---------------------------------------------------------------------------------- */

/* pwrite and fdatasync of one frame into allocated space. Entries a second. */
static double floor_synced(int count) {
    int file = open(path("floor"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || fallocate(file, 0, 0, 1 << 20) != 0 || fsync(file) != 0) die("floor file");
    double start = now();
    for (int i = 0; i < count; i++)
        if (pwrite(file, payload, SIZE + HEADER, (off_t)i * (SIZE + HEADER)) < 0 || fdatasync(file) != 0) die("sync");
    double spent = now() - start;
    close(file);
    unlink(path("floor"));
    return count / spent;
}

struct work {
    walrus_t *log;
    int count;
};

static void *append_durably(void *argument) {
    struct work *work = argument;
    for (int i = 0; i < work->count; i++)
        if (walrus_append(work->log, payload, SIZE, NULL) != WALRUS_OK) die("append");
    return NULL;
}

static double walrus_synced(int threads, int count) {
    walrus_t *log = open_log("always", "always");
    if (walrus_append(log, payload, SIZE, NULL) != WALRUS_OK) die("append");
    pthread_t thread[64];
    struct work work = {log, count / threads};
    double start = now();
    for (int i = 0; i < threads; i++) pthread_create(&thread[i], NULL, append_durably, &work);
    for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
    double spent = now() - start;
    close_and_destroy(log, "always");
    return work.count * threads / spent;
}

/* ---- Reads ----------------------------------------------------------------------------------- */

enum { ENTRIES = 200000 };

static double walrus_get_cached(walrus_t *log, int count) {
    uint64_t sum = 0;
    double start = now();
    for (int i = 0; i < count; i++) {
        walrus_entry_t entry;
        if (walrus_get(log, 1000, &entry) != WALRUS_OK) die("get");
        sum += entry.size;
        walrus_entry_release(&entry);
    }
    double spent = now() - start;
    if (sum != (uint64_t)count * SIZE) die("size");
    return spent / count * 1e9;
}

static double walrus_get_random(walrus_t *log, int count) {
    uint64_t state = 88172645463325252u, sum = 0;
    double start = now();
    for (int i = 0; i < count; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        walrus_entry_t entry;
        if (walrus_get(log, 1 + state % ENTRIES, &entry) != WALRUS_OK) die("get");
        sum += ((const unsigned char *)entry.data)[0];
        walrus_entry_release(&entry);
    }
    double spent = now() - start;
    return sum == 1 ? 0 : spent / count * 1e9;
}

static int32_t count_entry(void *ctx, const walrus_entry_t *entry) {
    *(uint64_t *)ctx += entry->size;
    return 0;
}

static double walrus_scan_all(walrus_t *log, int count) {
    uint64_t sum = 0;
    double start = now();
    if (walrus_scan(log, 1, ENTRIES, count_entry, &sum) != WALRUS_OK) die("scan");
    (void)count;
    return (now() - start) / ENTRIES * 1e9;
}

/* ---- The table ------------------------------------------------------------------------------- */

struct row {
    const char *name;
    const char *unit;
    double rounds[MOST_ROUNDS];
};

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    place = argc > 1 ? argv[1] : "build/bench";
    int rounds = argc > 2 ? atoi(argv[2]) : 5;
    if (rounds < 1 || rounds > MOST_ROUNDS) rounds = 5;
    mkdir(place, 0700);
    for (size_t i = 0; i < sizeof payload; i++) payload[i] = (char)(i * 31 + i / 251);

    walrus_t *log = open_log("reads", "none");
    for (int i = 0; i < ENTRIES; i++)
        if (walrus_append(log, payload, SIZE, NULL) != WALRUS_OK) die("append");
    if (walrus_sync(log) != WALRUS_OK) die("sync");

    struct row rows[] = {
        {"floor: append 256 B, not synced", "ns", {0}},    {"walrus_append 256 B, sync=none", "ns", {0}},
        {"walrus_append_batch of 100, sync=none", "ns", {0}}, {"floor: append 64 B, not synced", "ns", {0}},
        {"walrus_append 64 B, sync=none", "ns", {0}},      {"floor: append 4 KiB, not synced", "ns", {0}},
        {"walrus_append 4 KiB, sync=none", "ns", {0}},     {"floor: pwrite + fdatasync", "/s", {0}},
        {"walrus_append, sync=always, 1 thread", "/s", {0}}, {"the same, 16 threads", "/s", {0}},
        {"the same, 64 threads", "/s", {0}},               {"walrus_get of one cached entry", "ns", {0}},
        {"walrus_get at random", "ns", {0}},               {"walrus_scan", "ns", {0}},
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    for (int r = -1; r < rounds; r++) { /* the first one warms up */
        double figures[ROWS] = {
            floor_append(SIZE, 400000), walrus_append_none(SIZE, 400000), walrus_batch_none(SIZE, 400000),
            floor_append(64, 1000000),  walrus_append_none(64, 1000000),  floor_append(4096, 40000),
            walrus_append_none(4096, 40000), floor_synced(3000), walrus_synced(1, 3000), walrus_synced(16, 16000),
            walrus_synced(64, 64000),   walrus_get_cached(log, 1000000),  walrus_get_random(log, 300000),
            walrus_scan_all(log, 0),
        };
        for (int i = 0; r >= 0 && i < ROWS; i++) rows[i].rounds[r] = figures[i];
    }
    close_and_destroy(log, "reads");

    printf("%-42s %10s %10s %10s\n", "", "median", "lowest", "highest");
    for (int i = 0; i < ROWS; i++) {
        qsort(rows[i].rounds, (size_t)rounds, sizeof(double), compare);
        printf("%-42s %7.0f %-2s %7.0f %-2s %7.0f %-2s\n", rows[i].name, rows[i].rounds[rounds / 2], rows[i].unit,
               rows[i].rounds[0], rows[i].unit, rows[i].rounds[rounds - 1], rows[i].unit);
    }
    return 0;
}
