/* test_threads.c - one log, many threads: nothing is lost, doubled, torn or out of order
 *
 * Each payload tells which thread appended it and as its how many-th, so that any reader can judge any entry by itself,
 * and the end state can be compared with what every thread was told.
 */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

enum { APPENDERS = 4, MOST = 40000 };
#define SETTINGS "segment_size=64KiB cached_segments=4"

typedef struct stamp {
    uint64_t magic, thread, number;
} stamp_t;
static const uint64_t stamp_magic = UINT64_C(0x746872656164732d);

static size_t make_payload(unsigned char *bytes, uint64_t thread, uint64_t number) {
    stamp_t stamp = {stamp_magic, thread, number};
    size_t rest = (size_t)(thread * 13 + number * 29) % 300;
    memcpy(bytes, &stamp, sizeof stamp);
    fill(bytes + sizeof stamp, rest, thread << 32 | number);
    return sizeof stamp + rest;
}

static stamp_t judge(const walrus_entry_t *entry) {
    stamp_t stamp = {0, 0, 0};
    CHECK(entry->size >= sizeof stamp);
    memcpy(&stamp, entry->data, sizeof stamp);
    CHECK(stamp.magic == stamp_magic && stamp.thread < 64);
    CHECK(entry->size == sizeof stamp + (stamp.thread * 13 + stamp.number * 29) % 300);
    CHECK(is_payload((const char *)entry->data + sizeof stamp, entry->size - sizeof stamp,
                     stamp.thread << 32 | stamp.number));
    return stamp;
}

typedef struct shared {
    walrus_t *log;
    atomic_bool stop;
    atomic_uint_fast64_t reads, cuts;
    bool until_closed; /* threads go on until a call answers CLOSED */
    double seconds;
} shared_t;

typedef struct appender {
    shared_t *shared;
    uint64_t thread, count;
    uint32_t flags;
    uint64_t *indexes; /* [number]: where its entry went */
    pthread_t id;
} appender_t;

static bool ended(const shared_t *shared, int32_t result) {
    if (result == WALRUS_E_CLOSED) {
        CHECK(shared->until_closed);
        return true;
    }
    CHECK_OK(result);
    return false;
}

static void *append(void *ctx) {
    appender_t *me = ctx;
    walrus_t *log = me->shared->log;
    unsigned char bytes[5][512];
    while (!me->shared->stop && me->count + 5 < MOST) {
        walrus_record_t records[5];
        size_t count = me->count % 3 == 0 ? 5 : 1;
        uint64_t first = 0;
        memset(records, 0, sizeof records);
        for (size_t i = 0; i < count; i++)
            records[i] = (walrus_record_t){.data = bytes[i], .size = make_payload(bytes[i], me->thread, me->count + i)};
        if (ended(me->shared, count == 1 ? walrus_append_record(log, records, me->flags, &first)
                                         : walrus_append_batch(log, records, count, me->flags, &first)))
            break;
        for (size_t i = 0; i < count; i++)
            me->indexes[me->count++] = first + i;
        if (me->flags == WALRUS_DURABLE) {
            uint64_t durable = walrus_durable_index(log);
            CHECK(durable >= first + count - 1 || (me->shared->until_closed && durable == 0));
        }
    }
    return NULL;
}

static int32_t judge_in_order(void *ctx, const walrus_entry_t *entry) {
    uint64_t *next = ctx;
    judge(entry);
    CHECK(*next == 0 || entry->index == *next);
    *next = entry->index + 1;
    return 0;
}

static void *read_at_random(void *ctx) {
    shared_t *shared = ctx;
    random_source_t chance = {(uintptr_t)&chance};
    while (!shared->stop) {
        uint64_t first = walrus_first_index(shared->log), last = walrus_last_index(shared->log);
        if (first == 0 || last < first) {
            if (shared->until_closed && walrus_sync(shared->log) == WALRUS_E_CLOSED)
                break;
            continue;
        }
        walrus_entry_t entry;
        uint64_t index = first + below(&chance, last - first + 1);
        int32_t result = walrus_get(shared->log, index, &entry);
        if (result == WALRUS_E_COMPACTED) /* overtaken by a truncation at the front */
            continue;
        if (ended(shared, result))
            break;
        CHECK_U64(index, entry.index);
        judge(&entry);
        shared->reads++;
        walrus_entry_release(&entry);
    }
    return NULL;
}

static void *scan_all(void *ctx) {
    shared_t *shared = ctx;
    while (!shared->stop) {
        uint64_t first = walrus_first_index(shared->log), next = 0;
        if (first == 0) {
            if (shared->until_closed && walrus_sync(shared->log) == WALRUS_E_CLOSED)
                break;
            continue;
        }
        int32_t result = walrus_scan(shared->log, first, UINT64_MAX, judge_in_order, &next);
        if (result == WALRUS_E_COMPACTED)
            continue;
        if (ended(shared, result))
            break;
        walrus_entry_t entries[20];
        size_t count = 0;
        result = walrus_get_range(shared->log, walrus_last_index(shared->log), UINT64_MAX, 5000, entries, 20, &count);
        if (result == WALRUS_E_COMPACTED || result == WALRUS_E_NOT_FOUND)
            continue;
        if (ended(shared, result))
            break;
        for (size_t i = 0; i < count; i++)
            judge(&entries[i]);
        walrus_entries_release(entries, count);
    }
    return NULL;
}

static void *sync_now_and_then(void *ctx) {
    shared_t *shared = ctx;
    while (!shared->stop) {
        uint64_t before = walrus_last_index(shared->log);
        if (ended(shared, walrus_sync(shared->log)))
            break;
        uint64_t durable = walrus_durable_index(shared->log);
        CHECK(durable >= before || (shared->until_closed && durable == 0));
        usleep(300);
    }
    return NULL;
}

static void *truncate_front_now_and_then(void *ctx) {
    shared_t *shared = ctx;
    while (!shared->stop) {
        uint64_t last = walrus_last_index(shared->log);
        if (last > 1000) {
            int32_t result = walrus_truncate_front(shared->log, last - 500);
            if (ended(shared, result))
                break;
            shared->cuts++;
        } else if (shared->until_closed && walrus_sync(shared->log) == WALRUS_E_CLOSED)
            break;
        usleep(3000);
    }
    return NULL;
}

/* Catches: an index that goes backwards although nothing was truncated at the back. */
static void *watch_indexes(void *ctx) {
    shared_t *shared = ctx;
    uint64_t first = 0, last = 0, durable = 0, next = 0;
    while (!shared->stop) {
        uint64_t d = walrus_durable_index(shared->log), l = walrus_last_index(shared->log),
                 n = walrus_next_index(shared->log), f = walrus_first_index(shared->log);
        if (n == 0) { /* closed */
            CHECK(shared->until_closed);
            break;
        }
        if (f == 0 || l == 0 || d == 0)
            continue; /* still empty, or closed in between */
        CHECK(f >= first && l >= last && d >= durable && n >= next);
        CHECK(d <= walrus_last_index(shared->log) || shared->until_closed);
        CHECK(n > l || shared->until_closed);
        first = f, last = l, durable = d, next = n;
    }
    return NULL;
}

static void start_appenders(shared_t *shared, appender_t *appenders) {
    static const uint32_t flags[APPENDERS] = {WALRUS_DURABLE, WALRUS_DURABLE, WALRUS_BUFFERED, WALRUS_TO_OS};
    for (uint64_t i = 0; i < APPENDERS; i++) {
        appenders[i] =
            (appender_t){.shared = shared, .thread = i, .flags = flags[i], .indexes = calloc(MOST, sizeof(uint64_t))};
        CHECK(pthread_create(&appenders[i].id, NULL, append, &appenders[i]) == 0);
    }
}

/* The log holds what each thread was told, at the place it was told, from `first` on. */
static void check_appended(walrus_t *log, appender_t *appenders, bool everything) {
    uint64_t first = walrus_first_index(log), last = walrus_last_index(log), known = 0;
    unsigned char expected[512];
    for (int a = 0; a < APPENDERS; a++)
        for (uint64_t n = 0; n < appenders[a].count; n++) {
            uint64_t index = appenders[a].indexes[n];
            CHECK(n == 0 || index > appenders[a].indexes[n - 1]);
            if (index < first)
                continue;
            if (index > last) {
                CHECK(!everything);
                CHECK(appenders[a].flags != WALRUS_DURABLE);
                continue;
            }
            walrus_entry_t entry;
            CHECK_OK(walrus_get(log, index, &entry));
            size_t size = make_payload(expected, appenders[a].thread, n);
            CHECK_BYTES(expected, size, entry.data, entry.size);
            walrus_entry_release(&entry);
            known++;
        }
    if (everything)
        CHECK_U64(last - first + 1, known);
    uint64_t next = 0;
    CHECK_OK(walrus_scan(log, first, UINT64_MAX, judge_in_order, &next));
    CHECK_U64(last + 1, next);
}

static void free_appenders(appender_t *appenders) {
    for (int i = 0; i < APPENDERS; i++)
        free(appenders[i].indexes);
}

static void run_for(shared_t *shared, bool cut, const char *text) {
    appender_t appenders[APPENDERS];
    pthread_t others[8];
    void *(*work[])(void *) = {read_at_random,    read_at_random, scan_all,
                               sync_now_and_then, watch_indexes,  truncate_front_now_and_then};
    int count = cut ? 6 : 5;
    shared->log = open_log(at("log"), text);
    start_appenders(shared, appenders);
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&others[i], NULL, work[i], shared) == 0);
    usleep((useconds_t)(shared->seconds * 1e6));
    shared->stop = true;
    for (int i = 0; i < APPENDERS; i++)
        pthread_join(appenders[i].id, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(others[i], NULL);
    CHECK(!cut || shared->cuts > 0);
    CHECK(shared->reads > 100);
    check_appended(shared->log, appenders, true);
    CHECK_OK(walrus_close(shared->log));
    shared->log = open_log(at("log"), "");
    check_appended(shared->log, appenders, true);
    CHECK_OK(walrus_close(shared->log));
    free_appenders(appenders);
}

/* Catches: two appends that get one index, an entry visible before its bytes are, a scan with a hole. */
CASE(appenders_readers_and_syncs_at_once_lose_and_double_nothing) {
    shared_t shared = {.seconds = 1.5};
    run_for(&shared, false, SETTINGS);
}

/* Catches: a segment that goes away under a reader, and a truncation that swallows what is just being appended. */
CASE(truncate_front_beside_appends_and_reads_drops_exactly_the_front) {
    shared_t shared = {.seconds = 1.5};
    run_for(&shared, true, SETTINGS);
}

/* Catches: the same where reads copy from files instead of mappings. */
CASE(reads_by_copy_stand_the_same_traffic) {
    shared_t shared = {.seconds = 1};
    run_for(&shared, true, SETTINGS " zero_copy=off sync_padding=4096");
}

/* Catches: a waiter that nobody wakes at shutdown, a call that goes on with freed memory, and an acknowledged entry
 * that is lost in the race. */
CASE(shutdown_in_the_middle_of_everything_ends_every_call_and_loses_nothing_durable) {
    for (int round = 0; round < 25; round++) {
        const char *dir = at("log%d", round);
        shared_t shared = {.until_closed = true, .log = open_log(dir, SETTINGS)};
        appender_t appenders[APPENDERS];
        pthread_t others[6];
        void *(*work[])(void *) = {
            read_at_random, scan_all, sync_now_and_then, watch_indexes, truncate_front_now_and_then, read_at_random};
        start_appenders(&shared, appenders);
        for (int i = 0; i < 6; i++)
            CHECK(pthread_create(&others[i], NULL, work[i], &shared) == 0);
        usleep((useconds_t)(round * 1500));
        CHECK_NOTE("shutdown after %d us", round * 1500);
        CHECK_OK(walrus_shutdown(shared.log));
        for (int i = 0; i < APPENDERS; i++)
            pthread_join(appenders[i].id, NULL);
        for (int i = 0; i < 6; i++)
            pthread_join(others[i], NULL);
        CHECK_CODE(WALRUS_E_CLOSED, walrus_append(shared.log, "x", 1, NULL));
        CHECK_OK(walrus_close(shared.log));
        shared.log = open_log(dir, "");
        if (walrus_last_index(shared.log) != 0)
            check_appended(shared.log, appenders, false);
        CHECK_OK(walrus_close(shared.log));
        free_appenders(appenders);
    }
}

static void *shut_down(void *log) {
    CHECK_OK(walrus_shutdown(log));
    return NULL;
}

/* Catches: a shutdown that only one thread may call. */
CASE(several_threads_may_shut_down_at_once) {
    for (int round = 0; round < 20; round++) {
        walrus_t *log = open_log(at("log"), "sync=os");
        append_payload(log, 100, 1);
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, shut_down, log) == 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        CHECK_OK(walrus_close(log));
    }
    walrus_t *log = open_log(at("log"), "");
    CHECK_U64(20, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
}

static void *append_durably(void *ctx) {
    appender_t *me = ctx;
    unsigned char bytes[512];
    for (; me->count < 300; me->count++) {
        size_t size = make_payload(bytes, me->thread, me->count);
        CHECK_OK(walrus_append(me->shared->log, bytes, size, &me->indexes[me->count]));
    }
    return NULL;
}

/* Catches: a sync for each append where one would do for all that wait: the point of a group commit. */
CASE(appends_from_several_threads_share_their_syncs) {
    double alone = 0, together = 0;
    for (int crowd = 1; crowd <= 8; crowd *= 8) {
        shared_t shared = {.log = open_log(at("log%d", crowd), "")};
        appender_t appenders[8];
        double began = check_now_s();
        for (int i = 0; i < crowd; i++) {
            appenders[i] =
                (appender_t){.shared = &shared, .thread = (uint64_t)i, .indexes = calloc(MOST, sizeof(uint64_t))};
            CHECK(pthread_create(&appenders[i].id, NULL, append_durably, &appenders[i]) == 0);
        }
        for (int i = 0; i < crowd; i++) {
            pthread_join(appenders[i].id, NULL);
            free(appenders[i].indexes);
        }
        *(crowd == 1 ? &alone : &together) = (check_now_s() - began) / (crowd * 300);
        CHECK_U64((uint64_t)crowd * 300, walrus_durable_index(shared.log));
        CHECK_OK(walrus_close(shared.log));
    }
    CHECK_NOTE("%.0f us an append alone, %.0f with eight threads", alone * 1e6, together * 1e6);
    CHECK(together < alone ||
          alone < 50e-6); /* not a benchmark: on a disk whose sync is free there is nothing to share */
}
