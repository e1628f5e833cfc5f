/* leveldb.c - LevelDB as a log: big-endian indexes as keys, its write-ahead log as the durable part
 *
 * Settings, and where they are recommended (doc/index.md of LevelDB, and leveldb/options.h):
 *   write_buffer_size 64 MiB    "larger values increase performance, especially during bulk loads"; what RocksDB has by default
 *   max_file_size 64 MiB        for file systems that are more efficient with larger files
 *   block_cache                 "Cache": as large as what is read, here a third of the memory
 *   compression off             nobody here compresses, and the payloads could not be
 *   sync                        "Synchronous Writes". Without it a write is handed to the operating system: LevelDB has no weaker mode,
 *                               so that "buffered" is the same
 */
#define _GNU_SOURCE
#include "../engine.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <leveldb/c.h>

struct opened {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_writeoptions_t *write;
    leveldb_readoptions_t *read;
    uint64_t next;    /* claimed by a thread with an atomic add */
    uint64_t entries; /* in the log when it was opened          */
};

static void check(char *error, const char *what) {
    if (error != NULL) fail("%s: %s", what, error);
}

static const char *version(void) {
    static char text[32];
    snprintf(text, sizeof text, "%d.%d", leveldb_major_version(), leveldb_minor_version());
    return text;
}

static uint64_t key_of(uint64_t index) { return htobe64(index); }

static void *open_log(const char *dir, const struct settings *settings) {
    struct opened *o = calloc(1, sizeof *o);
    if (o == NULL) fail("no memory");
    o->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(o->options, 1);
    leveldb_options_set_compression(o->options, leveldb_no_compression);
    leveldb_options_set_write_buffer_size(o->options, 64 << 20);
    leveldb_options_set_max_file_size(o->options, 64 << 20);
    o->cache = leveldb_cache_create_lru((size_t)sysconf(_SC_PHYS_PAGES) / 3 * (size_t)sysconf(_SC_PAGESIZE));
    leveldb_options_set_cache(o->options, o->cache);
    o->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(o->write, settings->promise == DURABLE);
    o->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(o->read, settings->verify);
    char *error = NULL;
    o->db = leveldb_open(o->options, dir, &error);
    check(error, "open");
    o->next = 1;
    o->entries = settings->entries;
    return o;
}

static void close_log(void *log) {
    struct opened *o = log;
    leveldb_close(o->db);
    leveldb_readoptions_destroy(o->read);
    leveldb_writeoptions_destroy(o->write);
    leveldb_options_destroy(o->options);
    leveldb_cache_destroy(o->cache);
    free(o);
}

/* A synced write makes everything before it durable. */
static void sync_log(void *log) {
    struct opened *o = log;
    leveldb_writeoptions_t *synced = leveldb_writeoptions_create();
    leveldb_writebatch_t *empty = leveldb_writebatch_create();
    leveldb_writeoptions_set_sync(synced, 1);
    char *error = NULL;
    leveldb_write(o->db, synced, empty, &error);
    check(error, "sync");
    leveldb_writebatch_destroy(empty);
    leveldb_writeoptions_destroy(synced);
}

static void append(void *log, const void *data, size_t size) {
    struct opened *o = log;
    uint64_t key = key_of(__atomic_fetch_add(&o->next, 1, __ATOMIC_RELAXED));
    char *error = NULL;
    leveldb_put(o->db, o->write, (const char *)&key, sizeof key, data, size, &error);
    check(error, "put");
}

static void append_batch(void *log, const struct slice *entries, size_t count) {
    struct opened *o = log;
    uint64_t first = __atomic_fetch_add(&o->next, count, __ATOMIC_RELAXED);
    static _Thread_local leveldb_writebatch_t *batch;
    if (batch == NULL) batch = leveldb_writebatch_create();
    leveldb_writebatch_clear(batch);
    for (size_t i = 0; i < count; i++) {
        uint64_t key = key_of(first + i);
        leveldb_writebatch_put(batch, (const char *)&key, sizeof key, entries[i].data, entries[i].size);
    }
    char *error = NULL;
    leveldb_write(o->db, o->write, batch, &error);
    check(error, "write");
}

static void get(void *log, uint64_t index, visit_fn visit, void *ctx) {
    struct opened *o = log;
    uint64_t key = key_of(index);
    size_t size;
    char *error = NULL;
    char *data = leveldb_get(o->db, o->read, (const char *)&key, sizeof key, &size, &error);
    check(error, "get");
    if (data == NULL) fail("entry %llu is not there", (unsigned long long)index);
    visit(ctx, data, size);
    leveldb_free(data);
}

static void scan(void *log, uint64_t first, uint64_t last, visit_fn visit, void *ctx) {
    struct opened *o = log;
    uint64_t key = key_of(first);
    leveldb_iterator_t *iterator = leveldb_create_iterator(o->db, o->read);
    leveldb_iter_seek(iterator, (const char *)&key, sizeof key);
    for (uint64_t i = first; i <= last && leveldb_iter_valid(iterator); i++) {
        size_t size;
        const char *data = leveldb_iter_value(iterator, &size);
        visit(ctx, data, size);
        leveldb_iter_next(iterator);
    }
    char *error = NULL;
    leveldb_iter_get_error(iterator, &error);
    check(error, "scan");
    leveldb_iter_destroy(iterator);
}

/* There is no range delete: each key is deleted, in batches, of which only the last one has to wait for the disk. */
static void drop(struct opened *o, uint64_t first, uint64_t end) {
    enum { STEP = 10000 };
    leveldb_writeoptions_t *unsynced = leveldb_writeoptions_create();
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    for (uint64_t i = first; i < end;) {
        leveldb_writebatch_clear(batch);
        for (uint64_t stop = end - i < STEP ? end : i + STEP; i < stop; i++) {
            uint64_t key = key_of(i);
            leveldb_writebatch_delete(batch, (const char *)&key, sizeof key);
        }
        char *error = NULL;
        leveldb_write(o->db, i < end ? unsynced : o->write, batch, &error);
        check(error, "delete");
    }
    leveldb_writebatch_destroy(batch);
    leveldb_writeoptions_destroy(unsynced);
}

static void truncate_back(void *log, uint64_t last_kept) {
    struct opened *o = log;
    drop(o, last_kept + 1, o->entries + 1);
}

static void truncate_front(void *log, uint64_t first_kept) { drop(log, 1, first_kept); }

const struct engine engine = {
    .name = "LevelDB", .version = version, .open = open_log, .close = close_log, .sync = sync_log, .append = append,
    .append_batch = append_batch, .get = get, .scan = scan, .truncate_back = truncate_back,
    .truncate_front = truncate_front,
};
