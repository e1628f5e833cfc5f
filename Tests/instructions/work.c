/* work.c - a known number of calls on one log, for scripts/test-instructions to count the instructions of
 *
 *     work kernel                     the checksum kernel and the vector width that this processor, or its emulation, leads to
 *     work fill|append|batch|get|scan|durable COUNT DIRECTORY
 *
 * Entries have 256 bytes. get and scan read a log that fill wrote; the others write a new one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <walrus.h>

#include "walrus_crc32.h"

enum { SIZE = 256, BATCH = 100 };

static char payload[SIZE];

static void need(int32_t code) {
    if (code == WALRUS_OK) return;
    walrus_error_t error = {.struct_size = sizeof error};
    walrus_last_error(&error);
    fprintf(stderr, "work: %s\n", error.message);
    exit(1);
}

static int32_t sum_up(void *ctx, const walrus_entry_t *entry) {
    *(uint64_t *)ctx += entry->size;
    return 0;
}

static void append(walrus_t *log, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) need(walrus_append(log, payload, SIZE, NULL));
}

static void batch(walrus_t *log, uint64_t count) {
    walrus_record_t records[BATCH] = {{0}};
    for (int i = 0; i < BATCH; i++) records[i].data = payload, records[i].size = SIZE;
    for (uint64_t i = 0; i < count; i += BATCH) need(walrus_append_batch(log, records, BATCH, 0, NULL));
}

static void get(walrus_t *log, uint64_t count) {
    for (uint64_t i = 1; i <= count; i++) {
        walrus_entry_t entry;
        need(walrus_get(log, i, &entry));
        walrus_entry_release(&entry);
    }
}

static void scan(walrus_t *log, uint64_t count) {
    uint64_t bytes = 0;
    need(walrus_scan(log, 1, count, sum_up, &bytes));
    if (bytes != count * SIZE) exit(1);
}

static const char *vectors(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") ? "avx2" : "sse"; /* what libc copies with */
#else
    return "any";
#endif
}

int main(int argc, char **argv) {
    static const struct {
        const char *name, *sync;
        void (*run)(walrus_t *, uint64_t);
    } works[] = {{"fill", "none", batch}, {"append", "none", append}, {"batch", "none", batch},
                 {"get", "none", get},    {"scan", "none", scan},     {"durable", "always", append}};
    if (argc == 2 && strcmp(argv[1], "kernel") == 0) {
        printf("%s-%s\n", wp_crc32_kernel(), vectors());
        return 0;
    }
    for (size_t i = 0; argc == 4 && i < sizeof works / sizeof *works; i++) {
        if (strcmp(argv[1], works[i].name) != 0) continue;
        walrus_options_t *options = walrus_options_new();
        walrus_t *log;
        need(walrus_options_set(options, "sync", works[i].sync));
        need(walrus_open(argv[3], options, &log));
        works[i].run(log, strtoull(argv[2], NULL, 10));
        need(walrus_close(log));
        walrus_options_free(options);
        return 0;
    }
    fprintf(stderr, "usage: work kernel, or: work fill|append|batch|get|scan|durable COUNT DIRECTORY\n");
    return 2;
}
