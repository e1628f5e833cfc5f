/* bench.c - one measurement of one engine
 *
 *     bench-ENGINE WORKLOAD DIRECTORY [name=value ...]      prints {"name": value, ...} on one line
 *     bench-ENGINE version                                  prints the version of the library behind it
 *
 * The driver, suite.py, calls the programs in turns. Arguments that all workloads know: promise= (0 buffered, 1 os, 2 mapped, 3 durable),
 * size= and entries= (of the log), verify=. What an engine cannot do is {"skipped": "reason"}.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char **arguments;
static bool any_result;

void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fprintf(stderr, "bench-%s: ", engine.name);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    exit(1);
}

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

double now_s(void) { return (double)now_ns() * 1e-9; }

uint64_t argument(const char *name, uint64_t fallback) {
    size_t length = strlen(name);
    for (char **a = arguments; *a != NULL; a++)
        if (strncmp(*a, name, length) == 0 && (*a)[length] == '=') return strtoull(*a + length + 1, NULL, 10);
    return fallback;
}

void result(const char *name, double value) {
    printf("%s\"%s\": %.6g", any_result ? ", " : "{", name, value);
    any_result = true;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void result_percentiles(uint32_t *samples, size_t count) {
    if (count == 0) fail("no samples");
    qsort(samples, count, sizeof *samples, by_value);
    result("p50_us", samples[count / 2] * 1e-3);
    result("p99_us", samples[(size_t)((double)count * 0.99)] * 1e-3);
    result("p999_us", samples[(size_t)((double)count * 0.999)] * 1e-3);
    result("max_us", samples[count - 1] * 1e-3);
}

struct payload payload_new(size_t size) {
    if (size < 8) fail("entries of less than 8 bytes cannot be told apart");
    struct payload payload = {size, malloc(size)};
    if (payload.bytes == NULL) fail("no memory");
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < size; i++) payload.bytes[i] = (unsigned char)random_next(&state);
    return payload;
}

void payload_set(struct payload payload, uint64_t index) { memcpy(payload.bytes, &index, 8); }

void payload_check(uint64_t index, const void *data, size_t size, size_t expected) {
    uint64_t found;
    if (size != expected) fail("entry %llu has %zu bytes, not %zu", (unsigned long long)index, size, expected);
    memcpy(&found, data, 8);
    if (found != index) fail("entry %llu holds entry %llu", (unsigned long long)index, (unsigned long long)found);
}

static const struct workload *find(const char *name) {
    const struct workload *tables[] = {append_workloads, read_workloads, open_workloads};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct workload *w = tables[t]; w->name != NULL; w++)
            if (strcmp(w->name, name) == 0) return w;
    fail("there is no workload '%s'", name);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("%s\n", engine.version());
        return 0;
    }
    if (argc < 3) fail("usage: bench-%s WORKLOAD DIRECTORY [name=value ...]", engine.name);
    arguments = argv + 3;
    struct settings settings = {
        .promise = (enum promise)argument("promise", BUFFERED),
        .verify = argument("verify", 1) != 0,
        .entries = argument("entries", 0),
        .size = argument("size", 256),
    };
    const struct workload *workload = find(argv[1]);
    const char *lack = engine.lacks != NULL ? engine.lacks(argv[1], &settings) : NULL;
    if (lack == NULL && engine.append_async == NULL && strcmp(argv[1], "async") == 0) lack = "no asynchronous durable append";
    if (lack != NULL) {
        printf("{\"skipped\": \"%s\"}\n", lack);
        return 0;
    }
    workload->run(argv[2], settings);
    puts(any_result ? "}" : "{}");
    return 0;
}
