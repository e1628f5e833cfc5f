/* lmdb.c - LMDB as a log: indexes as integer keys, one write transaction for each append or batch
 *
 * Settings, and where they are recommended (lmdb.h, "Environment Flags" and "Write Flags"):
 *   MDB_INTEGERKEY, MDB_APPEND     integer keys; "data is being appended, don't split full pages"
 *   MDB_WRITEMAP                   "faster and uses fewer mallocs", and with it a commit survives kill -9 without a system call
 *   MDB_NOSYNC                     where nothing has to be on stable storage. LMDB has no weaker mode, so that "buffered" is the same. Without
 *                                  it a commit is durable; MDB_NOMETASYNC would not be: it "may undo the last committed transaction"
 *   MDB_NORDAHEAD is left out      it helps where the data is larger than memory, which it is not
 *   mdb_txn_reset, mdb_txn_renew   a reader's handle is used again, "saving the overhead of creating and destroying" it
 * Durable commits go without MDB_WRITEMAP: tried, and slower with it.
 * LMDB has no checksums, so that verified reads are the same as others.
 */
#define _GNU_SOURCE
#include "../engine.h"

#include <stdio.h>
#include <stdlib.h>

#include <lmdb.h>

#define MAP_SIZE ((size_t)64 << 30) /* of addresses; the file is sparse */

struct opened {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *reader;
    uint64_t next; /* guarded by LMDB's writer lock: set inside a transaction */
};

static void check(int status, const char *what) {
    if (status != MDB_SUCCESS) fail("%s: %s", what, mdb_strerror(status));
}

static const char *version(void) {
    static char text[32];
    int major, minor, patch;
    mdb_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

static void *open_log(const char *dir, const struct settings *settings) {
    struct opened *o = calloc(1, sizeof *o);
    if (o == NULL) fail("no memory");
    unsigned flags = settings->promise == DURABLE ? 0 : MDB_WRITEMAP | MDB_NOSYNC;
    check(mdb_env_create(&o->env), "create");
    check(mdb_env_set_mapsize(o->env, MAP_SIZE), "map size");
    check(mdb_env_open(o->env, dir, flags, 0600), "open");
    MDB_txn *txn;
    check(mdb_txn_begin(o->env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &o->dbi), "database");
    check(mdb_txn_commit(txn), "commit");
    o->next = 1;
    return o;
}

static void close_log(void *log) {
    struct opened *o = log;
    if (o->reader != NULL) mdb_txn_abort(o->reader);
    mdb_env_close(o->env);
    free(o);
}

static void sync_log(void *log) { check(mdb_env_sync(((struct opened *)log)->env, 1), "sync"); }

static void append_batch(void *log, const struct slice *entries, size_t count) {
    struct opened *o = log;
    MDB_txn *txn;
    check(mdb_txn_begin(o->env, NULL, 0, &txn), "begin");
    for (size_t i = 0; i < count; i++) {
        uint64_t index = o->next++;
        MDB_val key = {sizeof index, &index}, value = {entries[i].size, (void *)entries[i].data};
        check(mdb_put(txn, o->dbi, &key, &value, MDB_APPEND), "put");
    }
    check(mdb_txn_commit(txn), "commit");
}

static void append(void *log, const void *data, size_t size) { append_batch(log, &(struct slice){data, size}, 1); }

static MDB_txn *begin_reading(struct opened *o) {
    if (o->reader == NULL) check(mdb_txn_begin(o->env, NULL, MDB_RDONLY, &o->reader), "begin");
    else check(mdb_txn_renew(o->reader), "renew");
    return o->reader;
}

static void get(void *log, uint64_t index, visit_fn visit, void *ctx) {
    struct opened *o = log;
    MDB_val key = {sizeof index, &index}, value;
    check(mdb_get(begin_reading(o), o->dbi, &key, &value), "get");
    visit(ctx, value.mv_data, value.mv_size);
    mdb_txn_reset(o->reader);
}

static void scan(void *log, uint64_t first, uint64_t last, visit_fn visit, void *ctx) {
    struct opened *o = log;
    MDB_cursor *cursor;
    MDB_val key = {sizeof first, &first}, value;
    check(mdb_cursor_open(begin_reading(o), o->dbi, &cursor), "cursor");
    for (uint64_t i = first; i <= last; i++) {
        check(mdb_cursor_get(cursor, &key, &value, i == first ? MDB_SET : MDB_NEXT), "next");
        visit(ctx, value.mv_data, value.mv_size);
    }
    mdb_cursor_close(cursor);
    mdb_txn_reset(o->reader);
}

/* Deletes from the end or from the beginning as long as the key is on the wrong side of the bound. */
static void drop(struct opened *o, MDB_cursor_op end, bool (*wrong)(uint64_t index, uint64_t bound), uint64_t bound) {
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    check(mdb_txn_begin(o->env, NULL, 0, &txn), "begin");
    check(mdb_cursor_open(txn, o->dbi, &cursor), "cursor");
    while (mdb_cursor_get(cursor, &key, &value, end) == MDB_SUCCESS && wrong(*(uint64_t *)key.mv_data, bound))
        check(mdb_cursor_del(cursor, 0), "delete");
    mdb_cursor_close(cursor);
    check(mdb_txn_commit(txn), "commit");
}

static bool above(uint64_t index, uint64_t bound) { return index > bound; }
static bool below(uint64_t index, uint64_t bound) { return index < bound; }
static void truncate_back(void *log, uint64_t last_kept) { drop(log, MDB_LAST, above, last_kept); }
static void truncate_front(void *log, uint64_t first_kept) { drop(log, MDB_FIRST, below, first_kept); }

const struct engine engine = {
    .name = "LMDB", .version = version, .open = open_log, .close = close_log, .sync = sync_log, .append = append,
    .append_batch = append_batch, .get = get, .scan = scan, .truncate_back = truncate_back,
    .truncate_front = truncate_front,
};
