/* engine.h - what a log engine is to the benchmark, and what the workloads share
 *
 * Each engine is one file in engines/ and becomes a program of its own, so that it is measured with nothing in its process but itself. The
 * floor is an engine like the others: the least that the machine must do for the same work.
 *
 * An engine does its work or ends the program through fail(): there is no result that a workload could forget to look at.
 */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an append promises when it returns. */
enum promise {
    BUFFERED, /* in memory                                                                      */
    TO_OS,    /* handed to the operating system: survives kill -9                               */
    MAPPED,   /* survives kill -9 without a system call, where the engine can do that; else TO_OS */
    DURABLE   /* on stable storage                                                              */
};

struct settings {
    enum promise promise;
    bool verify;      /* check checksums when reading, where the engine has any */
    uint64_t entries; /* the floor's file is laid out for this many ...         */
    size_t size;      /* ... entries of this many bytes                         */
};

struct slice {
    const void *data;
    size_t size;
};

/* Is handed each entry of a scan, in order. */
typedef void (*visit_fn)(void *ctx, const void *data, size_t size);

/* Functions that an engine does not have are NULL. Entries have indexes from 1 on. append and append_batch may be called by several threads
 * at once; the other ones by one thread. */
struct engine {
    const char *name;
    const char *(*version)(void);
    /* The reason why this library cannot do what is asked for, or NULL. */
    const char *(*lacks)(const char *workload, const struct settings *settings);

    void *(*open)(const char *dir, const struct settings *settings);
    void (*close)(void *log);
    void (*sync)(void *log); /* everything appended so far is on stable storage */

    void (*append)(void *log, const void *data, size_t size);
    void (*append_batch)(void *log, const struct slice *entries, size_t count);
    /* Starts a durable append and does not wait; wait_async waits for all of them. One thread. */
    void (*append_async)(void *log, const void *data, size_t size);
    void (*wait_async)(void *log);

    /* Hands the entry to visit; its bytes live during the call. */
    void (*get)(void *log, uint64_t index, visit_fn visit, void *ctx);
    void (*scan)(void *log, uint64_t first, uint64_t last, visit_fn visit, void *ctx);

    /* Durable on return. */
    void (*truncate_back)(void *log, uint64_t last_kept);
    void (*truncate_front)(void *log, uint64_t first_kept);
};

extern const struct engine engine; /* the one that this program was built with */

/* ---- What the workloads share ----------------------------------------------------------------- */

/* Says what failed and ends the program. */
_Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

double now_s(void);
uint64_t now_ns(void);

/* A number from "name=value" among the program's arguments, or the fallback. */
uint64_t argument(const char *name, uint64_t fallback);

/* Prints one result; names end in their unit. */
void result(const char *name, double value);

/* Prints p50, p99, p999, max of count samples in nanoseconds, as microseconds. Sorts them. */
void result_percentiles(uint32_t *samples, size_t count);

/* size bytes that do not compress, the first 8 of which tell which entry this is. */
struct payload {
    size_t size;
    unsigned char *bytes;
};
struct payload payload_new(size_t size);
void payload_set(struct payload payload, uint64_t index);
/* Ends the program unless data is what payload_set made for index. */
void payload_check(uint64_t index, const void *data, size_t size, size_t expected);

/* xorshift64: the same places for every engine. */
static inline uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}

struct workload {
    const char *name;
    void (*run)(const char *dir, struct settings settings);
};
extern const struct workload append_workloads[], read_workloads[], open_workloads[]; /* each ends with a NULL name */

#endif
