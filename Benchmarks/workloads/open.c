/* open.c - workloads about a log as a whole: opening it, the memory that takes, cutting it */
#define _GNU_SOURCE
#include "../engine.h"

#include <stdio.h>

/* Memory of this process in KiB: what is its own (anonymous), and the code that it has touched. */
static void memory(double *anonymous, double *code) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    if (maps == NULL) fail("/proc/self/smaps cannot be read");
    char line[4096], permissions[8] = "";
    unsigned long kib;
    *anonymous = *code = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%*x-%*x %7s", permissions) == 1) continue;
        if (sscanf(line, "Anonymous: %lu", &kib) == 1) *anonymous += (double)kib;
        if (permissions[2] == 'x' && sscanf(line, "Rss: %lu", &kib) == 1) *code += (double)kib;
    }
    fclose(maps);
}

static void check_last(void *ctx, const void *data, size_t size) {
    const struct settings *settings = ctx;
    payload_check(settings->entries, data, size, settings->size);
}

/* Opens the log, and says how long that took and how much memory the process has then. One entry is read, so that an open that puts its
 * work off until then shows it. */
static void run_open(const char *dir, struct settings settings) {
    settings.promise = TO_OS;
    uint64_t start = now_ns();
    void *log = engine.open(dir, &settings);
    result("ms", (double)(now_ns() - start) * 1e-6);
    engine.get(log, settings.entries, check_last, &settings);
    result("first_read_ms", (double)(now_ns() - start) * 1e-6);
    double anonymous, code;
    memory(&anonymous, &code);
    result("anonymous_mib", anonymous / 1024);
    result("memory_mib", (anonymous + code) / 1024);
    engine.close(log);
}

/* Cuts a log at the back to a half, then what is left at the front to a half: ms each. */
static void run_truncate(const char *dir, struct settings settings) {
    settings.promise = DURABLE;
    uint64_t half = settings.entries / 2, quarter = settings.entries / 4;
    void *log = engine.open(dir, &settings);
    uint64_t start = now_ns();
    engine.truncate_back(log, half);
    result("back_ms", (double)(now_ns() - start) * 1e-6);
    start = now_ns();
    engine.truncate_front(log, quarter + 1);
    result("front_ms", (double)(now_ns() - start) * 1e-6);
    settings.entries = half;
    engine.get(log, half, check_last, &settings);
    engine.close(log);
}

const struct workload open_workloads[] = {{"open", run_open}, {"truncate", run_truncate}, {NULL, NULL}};
