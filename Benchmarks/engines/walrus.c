/* walrus.c - libwalrus through its public header
 *
 * What a library of this version does not have yet is looked up at run time and left out by name.
 */
#define _GNU_SOURCE
#include "../engine.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <walrus.h>

struct opened {
    walrus_t *log;
    atomic_uint_fast64_t completed;
    uint64_t started;
};

static _Noreturn void fail_here(const char *what) {
    walrus_error_t error = {.struct_size = sizeof error};
    walrus_last_error(&error);
    fail("%s: %s", what, error.message);
}

static int32_t (*append_async)(walrus_t *, const walrus_record_t *, uint32_t, walrus_done_fn, void *, uint64_t *);

static walrus_options_t *options_for(const struct settings *settings, bool *refused) {
    static const char *const sync[] = {[BUFFERED] = "none", [TO_OS] = "os", [MAPPED] = "os", [DURABLE] = "always"};
    walrus_options_t *options = walrus_options_new();
    *refused = walrus_options_set(options, "sync", sync[settings->promise]) != WALRUS_OK ||
               walrus_options_set(options, "verify_reads", settings->verify ? "true" : "false") != WALRUS_OK ||
               (settings->promise == MAPPED && walrus_options_set(options, "write_mode", "mapped") != WALRUS_OK);
    return options;
}

static const char *lacks(const char *workload, const struct settings *settings) {
    append_async = (__typeof__(append_async))dlsym(RTLD_DEFAULT, "walrus_append_async");
    if (strcmp(workload, "async") == 0 && append_async == NULL) return "this library has no walrus_append_async";
    bool refused;
    walrus_options_free(options_for(settings, &refused));
    return refused ? "this library has no write_mode=mapped" : NULL;
}

static void *open_log(const char *dir, const struct settings *settings) {
    struct opened *opened = calloc(1, sizeof *opened);
    bool refused;
    walrus_options_t *options = options_for(settings, &refused);
    if (opened == NULL || refused || walrus_open(dir, options, &opened->log) != WALRUS_OK) fail_here("open");
    walrus_options_free(options);
    return opened;
}

static void close_log(void *log) {
    struct opened *opened = log;
    if (walrus_close(opened->log) != WALRUS_OK) fail_here("close");
    free(opened);
}

static void sync_log(void *log) {
    if (walrus_sync(((struct opened *)log)->log) != WALRUS_OK) fail_here("sync");
}

static void append(void *log, const void *data, size_t size) {
    if (walrus_append(((struct opened *)log)->log, data, size, NULL) != WALRUS_OK) fail_here("append");
}

static void append_batch(void *log, const struct slice *entries, size_t count) {
    walrus_record_t records[1000];
    for (size_t i = 0; i < count; i++) records[i] = (walrus_record_t){.data = entries[i].data, .size = entries[i].size};
    if (walrus_append_batch(((struct opened *)log)->log, records, count, 0, NULL) != WALRUS_OK) fail_here("batch");
}

static void done(void *ctx, uint64_t index, int32_t status) {
    (void)index;
    if (status != WALRUS_OK) fail("asynchronous append: %s", walrus_strerror(status));
    atomic_fetch_add_explicit((atomic_uint_fast64_t *)ctx, 1, memory_order_release);
}

static void start_append(void *log, const void *data, size_t size) {
    struct opened *opened = log;
    walrus_record_t record = {.data = data, .size = size};
    if (append_async(opened->log, &record, 0, done, &opened->completed, NULL) != WALRUS_OK) fail_here("append_async");
    opened->started++;
}

/* Every callback has been called, not merely every entry synced. */
static void wait_async(void *log) {
    struct opened *opened = log;
    sync_log(log);
    double patience = now_s() + 60;
    while (atomic_load_explicit(&opened->completed, memory_order_acquire) < opened->started)
        if (now_s() > patience) fail("completions are missing");
}

static void get(void *log, uint64_t index, visit_fn visit, void *ctx) {
    walrus_entry_t entry;
    if (walrus_get(((struct opened *)log)->log, index, &entry) != WALRUS_OK) fail_here("get");
    visit(ctx, entry.data, entry.size);
    walrus_entry_release(&entry);
}

struct visitor {
    visit_fn visit;
    void *ctx;
};

static int32_t pass_on(void *ctx, const walrus_entry_t *entry) {
    const struct visitor *visitor = ctx;
    visitor->visit(visitor->ctx, entry->data, entry->size);
    return 0;
}

static void scan(void *log, uint64_t first, uint64_t last, visit_fn visit, void *ctx) {
    struct visitor visitor = {visit, ctx};
    if (walrus_scan(((struct opened *)log)->log, first, last, pass_on, &visitor) != WALRUS_OK) fail_here("scan");
}

static void truncate_back(void *log, uint64_t last_kept) {
    if (walrus_truncate(((struct opened *)log)->log, last_kept) != WALRUS_OK) fail_here("truncate");
}

static void truncate_front(void *log, uint64_t first_kept) {
    if (walrus_truncate_front(((struct opened *)log)->log, first_kept) != WALRUS_OK) fail_here("truncate_front");
}

const struct engine engine = {
    .name = "libwalrus", .version = walrus_version, .lacks = lacks, .open = open_log, .close = close_log, .sync = sync_log,
    .append = append, .append_batch = append_batch, .append_async = start_append, .wait_async = wait_async, .get = get,
    .scan = scan, .truncate_back = truncate_back, .truncate_front = truncate_front,
};
