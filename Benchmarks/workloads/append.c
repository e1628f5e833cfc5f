/* append.c - workloads that write: one by one, in batches, by many threads, asynchronously
 *
 * Appends that are not synced are a fixed amount of work, since what they cost depends on how much came before (flushes, checkpoints,
 * compactions, rotations). Synced ones are a fixed time.
 */
#define _GNU_SOURCE
#include "../engine.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_IN_BATCH = 1000 };

static struct slice *slices_of(struct payload payload, size_t count) {
    static struct slice slices[MOST_IN_BATCH];
    if (count > MOST_IN_BATCH) fail("batch= is at most %d", MOST_IN_BATCH);
    for (size_t i = 0; i < count; i++) slices[i] = (struct slice){payload.bytes, payload.size};
    return slices;
}

/* Opens a new log and appends one entry: some make their files when they are opened, others when they are first written to, and neither is
 * what an append costs. */
static void *open_begun(const char *dir, const struct settings *settings, struct payload payload) {
    void *log = engine.open(dir, settings);
    engine.append(log, payload.bytes, payload.size);
    return log;
}

/* Appends settings.entries entries one by one: ns an entry. Closing is not part of it, nor is opening. */
static void run_append(const char *dir, struct settings settings) {
    struct payload payload = payload_new(settings.size);
    void *log = open_begun(dir, &settings, payload);
    uint64_t start = now_ns();
    for (uint64_t i = 1; i <= settings.entries; i++) {
        payload_set(payload, i);
        engine.append(log, payload.bytes, payload.size);
    }
    result("ns", (double)(now_ns() - start) / (double)settings.entries);
    engine.close(log);
}

/* The same in batches of batch= entries. The entries of a batch are the same bytes. */
static void run_batch(const char *dir, struct settings settings) {
    size_t count = argument("batch", 100);
    struct payload payload = payload_new(settings.size);
    const struct slice *slices = slices_of(payload, count);
    void *log = open_begun(dir, &settings, payload);
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < settings.entries; i += count) engine.append_batch(log, slices, count);
    result("ns", (double)(now_ns() - start) / (double)settings.entries);
    engine.close(log);
}

/* Appends settings.entries entries and takes the time of each: two clock readings (some 50 ns) are part of every sample. */
static void run_latency(const char *dir, struct settings settings) {
    struct payload payload = payload_new(settings.size);
    uint32_t *samples = calloc(settings.entries, sizeof *samples);
    if (samples == NULL) fail("no memory");
    for (uint64_t i = 0; i < settings.entries; i++) samples[i] = 1; /* touched before, not while measuring */
    void *log = open_begun(dir, &settings, payload);
    for (uint64_t i = 0; i < settings.entries; i++) {
        payload_set(payload, i + 1);
        uint64_t start = now_ns();
        engine.append(log, payload.bytes, payload.size);
        uint64_t spent = now_ns() - start;
        samples[i] = spent < UINT32_MAX ? (uint32_t)spent : UINT32_MAX;
    }
    result_percentiles(samples, settings.entries);
    engine.close(log);
}

/* ---- Durable ---------------------------------------------------------------------------------- */

struct crew {
    void *log;
    size_t size, batch;
    atomic_int started;
    atomic_bool stop;
};

struct worker {
    struct crew *crew;
    pthread_t thread;
    uint32_t *samples;
    uint64_t count, most;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    struct crew *crew = worker->crew;
    struct payload payload = payload_new(crew->size);
    struct slice slices[MOST_IN_BATCH];
    for (size_t i = 0; i < crew->batch; i++) slices[i] = (struct slice){payload.bytes, payload.size};
    atomic_fetch_add(&crew->started, 1);
    while (!atomic_load_explicit(&crew->stop, memory_order_relaxed) && worker->count < worker->most) {
        payload_set(payload, worker->count + 1);
        uint64_t start = now_ns();
        if (crew->batch == 1) engine.append(crew->log, payload.bytes, payload.size);
        else engine.append_batch(crew->log, slices, crew->batch);
        uint64_t spent = now_ns() - start;
        worker->samples[worker->count++] = spent < UINT32_MAX ? (uint32_t)spent : UINT32_MAX;
    }
    free(payload.bytes);
    return NULL;
}

static void wait_until(double end) {
    for (double left; (left = end - now_s()) > 0;) {
        struct timespec pause = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        nanosleep(&pause, NULL);
    }
}

/* before= entries, durably and in large batches: what files are used again, and what caches are filled, in a log that has been in use. */
static void write_before(void *log, struct payload payload) {
    const struct slice *slices = slices_of(payload, MOST_IN_BATCH);
    for (uint64_t left = argument("before", 0); left >= MOST_IN_BATCH; left -= MOST_IN_BATCH)
        engine.append_batch(log, slices, MOST_IN_BATCH);
    engine.append(log, payload.bytes, payload.size); /* what the first durable append alone has to do */
}

/* threads= threads append durably, batch= entries at a time, for milliseconds=: entries a second, and how long each call took. What was
 * acknowledged when the time is over counts, over the time until then. */
static void run_durable(const char *dir, struct settings settings) {
    size_t threads = argument("threads", 1);
    double seconds = (double)argument("milliseconds", 500) * 1e-3;
    settings.promise = DURABLE;
    struct crew crew = {.size = settings.size, .batch = argument("batch", 1)};
    if (crew.batch > MOST_IN_BATCH) fail("batch= is at most %d", MOST_IN_BATCH);
    struct worker *workers = calloc(threads, sizeof *workers);
    crew.log = engine.open(dir, &settings);
    write_before(crew.log, payload_new(settings.size));
    for (size_t i = 0; i < threads; i++) {
        uint64_t most = (uint64_t)(seconds * 200000);
        workers[i] = (struct worker){&crew, 0, malloc(most * sizeof(uint32_t)), 0, most};
        if (workers[i].samples == NULL) fail("no memory");
    }
    uint64_t start = now_ns();
    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) fail("no thread");
    wait_until((double)start * 1e-9 + seconds);
    atomic_store(&crew.stop, true);
    uint64_t total = 0;
    for (size_t i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        total += workers[i].count;
    }
    result("per_s", (double)(total * crew.batch) / ((double)(now_ns() - start) * 1e-9));
    engine.close(crew.log);

    uint32_t *all = malloc(total * sizeof *all);
    uint64_t filled = 0;
    if (all == NULL) fail("no memory");
    for (size_t i = 0; i < threads; i++)
        for (uint64_t k = 0; k < workers[i].count; k++) all[filled++] = workers[i].samples[k];
    result_percentiles(all, total);
}

/* One thread starts settings.entries durable appends without waiting for any, then waits for all: entries a second. */
static void run_async(const char *dir, struct settings settings) {
    settings.promise = DURABLE;
    struct payload payload = payload_new(settings.size);
    void *log = open_begun(dir, &settings, payload);
    uint64_t start = now_ns();
    for (uint64_t i = 1; i <= settings.entries; i++) {
        payload_set(payload, i);
        engine.append_async(log, payload.bytes, payload.size);
    }
    engine.wait_async(log);
    result("per_s", (double)settings.entries / ((double)(now_ns() - start) * 1e-9));
    engine.close(log);
}

/* ---- Logs for the other workloads to read ----------------------------------------------------- */

/* Appends settings.entries entries, whose contents payload_check knows, in batches: ns an entry. kill=1: handed to the operating system and
 * then killed; otherwise synced and closed. */
static void run_fill(const char *dir, struct settings settings) {
    enum { STEP = 100 };
    bool killed = argument("kill", 0) != 0;
    settings.promise = killed ? TO_OS : BUFFERED;
    struct payload payloads[STEP];
    struct slice slices[STEP];
    for (size_t i = 0; i < STEP; i++) {
        payloads[i] = payload_new(settings.size);
        slices[i] = (struct slice){payloads[i].bytes, payloads[i].size};
    }
    void *log = engine.open(dir, &settings);
    uint64_t start = 0;
    for (uint64_t done = 0; done < settings.entries;) {
        size_t count = settings.entries - done < STEP ? (size_t)(settings.entries - done) : STEP;
        for (size_t i = 0; i < count; i++) payload_set(payloads[i], done + i + 1);
        engine.append_batch(log, slices, count);
        if (done == 0) start = now_ns(); /* as in open_begun */
        done += count;
    }
    if (killed) raise(SIGKILL);
    result("ns", (double)(now_ns() - start) / (double)settings.entries);
    engine.sync(log);
    engine.close(log);
}

const struct workload append_workloads[] = {
    {"append", run_append}, {"batch", run_batch}, {"latency", run_latency}, {"durable", run_durable},
    {"async", run_async},   {"fill", run_fill},   {NULL, NULL},
};
