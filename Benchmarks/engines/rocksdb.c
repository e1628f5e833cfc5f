/* rocksdb.c - RocksDB as a log: big-endian indexes as keys, its write-ahead log as the durable part
 *
 * Settings, and where they are recommended:
 *   recycle_log_file_num, manual_wal_flush    wiki "WAL Performance": log files are used again, so that a sync writes no metadata; entries
 *                                             that may be lost with the process stay in RocksDB's own buffer
 *   block cache of a third of the memory      wiki "Setup Options and Basic Tuning"
 *   compression off                           nobody here compresses, and the payloads could not be
 *   leveled compaction, untouched             keys come in order, so that files do not overlap and are moved, not rewritten
 *   DeleteRange                               wiki "DeleteRange": for dropping a range of keys at once
 *   get_pinned                                hands out a block's bytes without a copy
 * Tried and left out, since they made nothing faster here: enable_pipelined_write (wiki "Pipelined Write"), FIFO compaction (wiki "FIFO
 * compaction style").
 */
#define _GNU_SOURCE
#include "../engine.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rocksdb/c.h>

struct opened {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    uint64_t next; /* claimed by a thread with an atomic add */
};

static void check(char *error, const char *what) {
    if (error != NULL) fail("%s: %s", what, error);
}

/* The C interface does not tell; the build reads it from the C++ header. */
static const char *version(void) { return ROCKSDB_VERSION; }

static uint64_t key_of(uint64_t index) { return htobe64(index); }

static void *open_log(const char *dir, const struct settings *settings) {
    struct opened *o = calloc(1, sizeof *o);
    if (o == NULL) fail("no memory");
    o->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o->options, 1);
    rocksdb_options_set_compression(o->options, rocksdb_no_compression);
    rocksdb_options_set_recycle_log_file_num(o->options, 4);
    rocksdb_options_set_manual_wal_flush(o->options, settings->promise == BUFFERED);
    o->table = rocksdb_block_based_options_create();
    o->cache = rocksdb_cache_create_lru((size_t)sysconf(_SC_PHYS_PAGES) / 3 * (size_t)sysconf(_SC_PAGESIZE));
    rocksdb_block_based_options_set_block_cache(o->table, o->cache);
    rocksdb_options_set_block_based_table_factory(o->options, o->table);
    o->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(o->write, settings->promise == DURABLE);
    o->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(o->read, settings->verify);
    char *error = NULL;
    o->db = rocksdb_open(o->options, dir, &error);
    check(error, "open");
    o->next = 1;
    return o;
}

static void close_log(void *log) {
    struct opened *o = log;
    rocksdb_close(o->db);
    rocksdb_readoptions_destroy(o->read);
    rocksdb_writeoptions_destroy(o->write);
    rocksdb_block_based_options_destroy(o->table);
    rocksdb_cache_destroy(o->cache);
    rocksdb_options_destroy(o->options);
    free(o);
}

static void sync_log(void *log) {
    char *error = NULL;
    rocksdb_flush_wal(((struct opened *)log)->db, 1, &error);
    check(error, "flush_wal");
}

static void append(void *log, const void *data, size_t size) {
    struct opened *o = log;
    uint64_t key = key_of(__atomic_fetch_add(&o->next, 1, __ATOMIC_RELAXED));
    char *error = NULL;
    rocksdb_put(o->db, o->write, (const char *)&key, sizeof key, data, size, &error);
    check(error, "put");
}

static void append_batch(void *log, const struct slice *entries, size_t count) {
    struct opened *o = log;
    uint64_t first = __atomic_fetch_add(&o->next, count, __ATOMIC_RELAXED);
    static _Thread_local rocksdb_writebatch_t *batch;
    if (batch == NULL) batch = rocksdb_writebatch_create();
    rocksdb_writebatch_clear(batch);
    for (size_t i = 0; i < count; i++) {
        uint64_t key = key_of(first + i);
        rocksdb_writebatch_put(batch, (const char *)&key, sizeof key, entries[i].data, entries[i].size);
    }
    char *error = NULL;
    rocksdb_write(o->db, o->write, batch, &error);
    check(error, "write");
}

static void get(void *log, uint64_t index, visit_fn visit, void *ctx) {
    struct opened *o = log;
    uint64_t key = key_of(index);
    size_t size;
    char *error = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned(o->db, o->read, (const char *)&key, sizeof key, &error);
    check(error, "get");
    const char *data = rocksdb_pinnableslice_value(slice, &size);
    if (data == NULL) fail("entry %llu is not there", (unsigned long long)index);
    visit(ctx, data, size);
    rocksdb_pinnableslice_destroy(slice);
}

static void scan(void *log, uint64_t first, uint64_t last, visit_fn visit, void *ctx) {
    struct opened *o = log;
    uint64_t key = key_of(first);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(o->db, o->read);
    rocksdb_iter_seek(iterator, (const char *)&key, sizeof key);
    for (uint64_t i = first; i <= last && rocksdb_iter_valid(iterator); i++) {
        size_t size;
        const char *data = rocksdb_iter_value(iterator, &size);
        visit(ctx, data, size);
        rocksdb_iter_next(iterator);
    }
    char *error = NULL;
    rocksdb_iter_get_error(iterator, &error);
    check(error, "scan");
    rocksdb_iter_destroy(iterator);
}

/* Drops the keys from first to below end. */
static void drop(struct opened *o, uint64_t first, uint64_t end) {
    uint64_t from = key_of(first), to = key_of(end);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, (const char *)&from, sizeof from, (const char *)&to, sizeof to);
    char *error = NULL;
    rocksdb_write(o->db, o->write, batch, &error);
    check(error, "delete range");
    rocksdb_writebatch_destroy(batch);
}

static void truncate_back(void *log, uint64_t last_kept) { drop(log, last_kept + 1, UINT64_MAX); }
static void truncate_front(void *log, uint64_t first_kept) { drop(log, 0, first_kept); }

const struct engine engine = {
    .name = "RocksDB", .version = version, .open = open_log, .close = close_log, .sync = sync_log, .append = append,
    .append_batch = append_batch, .get = get, .scan = scan, .truncate_back = truncate_back,
    .truncate_front = truncate_front,
};
