/* read.c - workloads that read a log that "fill" wrote: at random, in order
 *
 * Everything is in memory: each is preceded by a pass over the whole log, which brings in the pages, the engine's caches and its
 * mappings. What is left is the engine's own work and the processor's cache misses.
 */
#include "../engine.h"

#include <string.h>

struct reader {
    uint64_t next, difference; /* difference: of the last entry's index to what it should be, that is 0 */
    size_t size;
};

static void check_next(void *ctx, const void *data, size_t size) {
    struct reader *reader = ctx;
    uint64_t found;
    payload_check(reader->next, data, size, reader->size);
    memcpy(&found, data, sizeof found);
    reader->difference = found - reader->next++;
}

static void scan_all(void *log, const struct settings *settings) {
    struct reader reader = {1, 0, settings->size};
    engine.scan(log, 1, settings->entries, check_next, &reader);
    if (reader.next != settings->entries + 1) fail("the scan ended before entry %llu", (unsigned long long)reader.next);
}

/* reads= entries at random places: ns each. Where the next one is depends, for all that the processor knows, on the bytes of the one before, so
 * that their cache misses come one after the other, as they do for a program that acts on what it reads. */
static void run_get(const char *dir, struct settings settings) {
    uint64_t reads = argument("reads", 100000), state = 88172645463325252u;
    settings.promise = TO_OS;
    void *log = engine.open(dir, &settings);
    scan_all(log, &settings);
    struct reader reader = {0, 0, settings.size};
    for (int pass = 0; pass < 2; pass++) { /* the first one fills what caches single reads */
        uint64_t start = now_ns();
        for (uint64_t i = 0; i < reads; i++) {
            state += reader.difference;
            reader.next = 1 + random_next(&state) % settings.entries;
            engine.get(log, reader.next, check_next, &reader);
        }
        if (pass == 1) result("ns", (double)(now_ns() - start) / (double)reads);
    }
    engine.close(log);
}

/* The whole log in order: ns an entry. */
static void run_scan(const char *dir, struct settings settings) {
    settings.promise = TO_OS;
    void *log = engine.open(dir, &settings);
    scan_all(log, &settings);
    uint64_t passes = argument("passes", 1);
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < passes; i++) scan_all(log, &settings);
    result("ns", (double)(now_ns() - start) / (double)(passes * settings.entries));
    engine.close(log);
}

const struct workload read_workloads[] = {{"get", run_get}, {"scan", run_scan}, {NULL, NULL}};
