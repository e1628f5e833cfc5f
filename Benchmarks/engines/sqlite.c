/* sqlite.c - SQLite as a log: a table with an INTEGER PRIMARY KEY and a BLOB, prepared statements
 *
 * Settings, and where they are recommended (sqlite.org):
 *   journal_mode=WAL               wal.html: faster than a rollback journal, fewer syncs
 *   synchronous=FULL               pragma.html#pragma_synchronous: a commit is durable. Where it need not be: OFF, which hands everything to
 *                                  the operating system and syncs nothing. SQLite has no weaker mode, so that "buffered" is the same
 *   locking_mode=EXCLUSIVE         pragma.html#pragma_locking_mode: fewer system calls, and wal.html: no shared memory. The others hold their
 *                                  directory alone, too
 *   mmap_size                      mmap.html: reads without a copy
 *   SQLITE_OPEN_NOMUTEX            threadsafe.html: one mutex, here, is enough. Writers of one database cannot share a sync, however many
 *                                  connections they have, and with one connection they do not have to poll for its lock
 * Tried and left at their defaults, since larger values made writing slower here: wal_autocheckpoint, cache_size.
 */
#define _GNU_SOURCE
#include "../engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <sqlite3.h>

struct opened {
    sqlite3 *db;
    sqlite3_stmt *insert, *begin, *commit, *get, *scan, *cut_back, *cut_front;
    pthread_mutex_t mutex;
    uint64_t next;
};

static void check(struct opened *o, int status, int expected, const char *what) {
    if (status != expected) fail("%s: %s", what, sqlite3_errmsg(o->db));
}

static void run(struct opened *o, const char *sql) { check(o, sqlite3_exec(o->db, sql, NULL, NULL, NULL), SQLITE_OK, sql); }

static sqlite3_stmt *prepare(struct opened *o, const char *sql) {
    sqlite3_stmt *statement;
    check(o, sqlite3_prepare_v3(o->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL), SQLITE_OK, sql);
    return statement;
}

static void step(struct opened *o, sqlite3_stmt *statement) {
    check(o, sqlite3_step(statement), SQLITE_DONE, "step");
    sqlite3_reset(statement);
}

static void *open_log(const char *dir, const struct settings *settings) {
    char path[4096];
    struct opened *o = calloc(1, sizeof *o);
    if (o == NULL) fail("no memory");
    snprintf(path, sizeof path, "%s/log.db", dir);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    check(o, sqlite3_open_v2(path, &o->db, flags, NULL), SQLITE_OK, "open");
    run(o, "PRAGMA locking_mode=EXCLUSIVE");
    run(o, "PRAGMA journal_mode=WAL");
    run(o, settings->promise == DURABLE ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
    run(o, "PRAGMA mmap_size=2147418112");
    run(o, "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, data BLOB NOT NULL)");
    o->insert = prepare(o, "INSERT INTO log VALUES (?, ?)");
    o->begin = prepare(o, "BEGIN IMMEDIATE");
    o->commit = prepare(o, "COMMIT");
    o->get = prepare(o, "SELECT data FROM log WHERE id = ?");
    o->scan = prepare(o, "SELECT data FROM log WHERE id BETWEEN ? AND ? ORDER BY id");
    o->cut_back = prepare(o, "DELETE FROM log WHERE id > ?");
    o->cut_front = prepare(o, "DELETE FROM log WHERE id < ?");
    pthread_mutex_init(&o->mutex, NULL);
    o->next = 1;
    return o;
}

static void close_log(void *log) {
    struct opened *o = log;
    sqlite3_stmt *statements[] = {o->insert, o->begin, o->commit, o->get, o->scan, o->cut_back, o->cut_front};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) sqlite3_finalize(statements[i]);
    check(o, sqlite3_close(o->db), SQLITE_OK, "close");
    free(o);
}

/* With synchronous=FULL a checkpoint syncs the log before it copies, and the database after it. */
static void sync_log(void *log) {
    struct opened *o = log;
    run(o, "PRAGMA synchronous=FULL");
    check(o, sqlite3_wal_checkpoint_v2(o->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL), SQLITE_OK, "checkpoint");
}

static void insert(struct opened *o, const void *data, size_t size) {
    sqlite3_bind_int64(o->insert, 1, (sqlite3_int64)o->next++);
    sqlite3_bind_blob(o->insert, 2, data, (int)size, SQLITE_STATIC);
    step(o, o->insert);
}

static void append(void *log, const void *data, size_t size) {
    struct opened *o = log;
    pthread_mutex_lock(&o->mutex);
    insert(o, data, size);
    pthread_mutex_unlock(&o->mutex);
}

static void append_batch(void *log, const struct slice *entries, size_t count) {
    struct opened *o = log;
    pthread_mutex_lock(&o->mutex);
    step(o, o->begin);
    for (size_t i = 0; i < count; i++) insert(o, entries[i].data, entries[i].size);
    step(o, o->commit);
    pthread_mutex_unlock(&o->mutex);
}

static void hand_over(sqlite3_stmt *statement, visit_fn visit, void *ctx) {
    const void *data = sqlite3_column_blob(statement, 0);
    visit(ctx, data, (size_t)sqlite3_column_bytes(statement, 0));
}

static void get(void *log, uint64_t index, visit_fn visit, void *ctx) {
    struct opened *o = log;
    sqlite3_bind_int64(o->get, 1, (sqlite3_int64)index);
    check(o, sqlite3_step(o->get), SQLITE_ROW, "get");
    hand_over(o->get, visit, ctx);
    sqlite3_reset(o->get);
}

static void scan(void *log, uint64_t first, uint64_t last, visit_fn visit, void *ctx) {
    struct opened *o = log;
    sqlite3_bind_int64(o->scan, 1, (sqlite3_int64)first);
    sqlite3_bind_int64(o->scan, 2, (sqlite3_int64)last);
    int status;
    while ((status = sqlite3_step(o->scan)) == SQLITE_ROW) hand_over(o->scan, visit, ctx);
    check(o, status, SQLITE_DONE, "scan");
    sqlite3_reset(o->scan);
}

static void cut(struct opened *o, sqlite3_stmt *statement, uint64_t index) {
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)index);
    step(o, statement);
}

static void truncate_back(void *log, uint64_t last_kept) { cut(log, ((struct opened *)log)->cut_back, last_kept); }
static void truncate_front(void *log, uint64_t first_kept) { cut(log, ((struct opened *)log)->cut_front, first_kept); }

const struct engine engine = {
    .name = "SQLite", .version = sqlite3_libversion, .open = open_log, .close = close_log, .sync = sync_log, .append = append,
    .append_batch = append_batch, .get = get, .scan = scan, .truncate_back = truncate_back,
    .truncate_front = truncate_front,
};
