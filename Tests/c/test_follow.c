/* test_follow.c - read-only handles and their cursors beside a writer in another process
 *
 * The writer is a child, made before the reader opens. In the random courses it keeps a journal in shared memory: what it is about to
 * do, and that it has done it. From that the reader knows every state that the log had, and which of them it may see at any moment: none
 * older than what was done when it looked, none newer than what was begun when it had looked.
 */
#include "support.h"

#include <poll.h>
#include <pthread.h>

#define READER "read_only=true"

static walrus_cursor_t *open_cursor(walrus_t *log, uint64_t index, uint32_t flags) {
    walrus_cursor_t *cursor = NULL;
    CHECK_OK(walrus_cursor_open(log, index, flags, &cursor));
    return cursor;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- A writer that does as it is told ------------------------------------------------------- */

enum { OPEN, CLOSE, APPEND, BATCH, TRUNCATE, FRONT, RESET, SYNC, BUFFERED, SET, STAGE, REPLACE, DIE };

typedef struct order {
    int what;
    uint64_t a, b;
} order_t;

typedef struct writer {
    pid_t child;
    int orders, answers;
} writer_t;

static void append_many(walrus_t *log, uint64_t first, uint64_t last, uint32_t flags, bool together) {
    walrus_record_t records[512];
    size_t count = (size_t)(last - first + 1);
    CHECK(count <= 512);
    memset(records, 0, sizeof records);
    for (size_t i = 0; i < count; i++) {
        size_t size = 20 + (first + i) % 100;
        records[i] = (walrus_record_t){.data = payload(size, first + i), .size = size};
    }
    if (together)
        CHECK_OK(walrus_append_batch(log, records, count, flags, NULL));
    for (size_t i = 0; i < count; i++) {
        if (!together)
            CHECK_OK(walrus_append_record(log, &records[i], flags, NULL));
        free((void *)records[i].data);
    }
}

static uint64_t value_of(walrus_t *log, const char *key) {
    uint64_t value = 0;
    int32_t result = walrus_meta_get(log, key, &value, 8, NULL);
    CHECK(result == WALRUS_OK || result == WALRUS_E_NOT_FOUND);
    return value;
}

/* What the writer itself says of its values after each order, in memory that is shared with it. */
static uint64_t *told_values;

static void obey(const char *dir, int orders, int answers) {
    walrus_t *log = NULL;
    for (order_t order; read(orders, &order, sizeof order) == (ssize_t)sizeof order;) {
        switch (order.what) {
        case OPEN: log = open_log(dir, "sync=os segment_size=4KiB buffer_size=4KiB"); break;
        case CLOSE: CHECK_OK(walrus_close(log)); break;
        case APPEND: append_many(log, order.a, order.b, 0, false); break;
        case BATCH: append_many(log, order.a, order.b, 0, true); break;
        case BUFFERED: append_many(log, order.a, order.b, WALRUS_BUFFERED, false); break;
        case TRUNCATE: CHECK_OK(walrus_truncate(log, order.a)); break;
        case FRONT: CHECK_OK(walrus_truncate_front(log, order.a)); break;
        case RESET: CHECK_OK(walrus_reset(log, order.a)); break;
        case SET: CHECK_OK(walrus_meta_set(log, order.a % 2 ? "odd" : "even", &order.b, 8)); break;
        case STAGE: CHECK_OK(walrus_meta_stage(log, order.a % 2 ? "odd" : "even", &order.b, 8)); break;
        case SYNC: CHECK_OK(walrus_sync(log)); break;
        default: _exit(9);
        }
        if (told_values != NULL && order.what != CLOSE) {
            told_values[0] = value_of(log, "even");
            told_values[1] = value_of(log, "odd");
        }
        CHECK(write(answers, "", 1) == 1);
    }
    _exit(0);
}

static writer_t hire(const char *dir) {
    int orders[2], answers[2];
    CHECK(pipe2(orders, O_CLOEXEC) == 0 && pipe2(answers, O_CLOEXEC) == 0);
    writer_t writer = {start(), orders[1], answers[0]};
    if (writer.child == 0) {
        close(orders[1]);
        close(answers[0]);
        alarm(90);
        obey(dir, orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    return writer;
}

static void tell(writer_t *writer, int what, uint64_t a, uint64_t b) {
    order_t order = {what, a, b};
    char answer;
    CHECK(write(writer->orders, &order, sizeof order) == (ssize_t)sizeof order);
    CHECK(read(writer->answers, &answer, 1) == 1);
}

static void dismiss(writer_t *writer, bool kill_it) {
    if (kill_it)
        kill(writer->child, SIGKILL);
    close(writer->orders);
    close(writer->answers);
    CHECK_U64(kill_it ? 1000 + SIGKILL : 0, (uint64_t)await(writer->child));
}

static void check_range(walrus_t *log, uint64_t first, uint64_t last) {
    for (uint64_t i = first; i <= last; i++)
        check_entry(log, i, 20 + i % 100, i);
}

static void check_steps(walrus_cursor_t *cursor, uint64_t first, uint64_t last) {
    walrus_entry_t entry;
    for (uint64_t i = first; i <= last; i++) {
        CHECK_OK(walrus_cursor_next(cursor, &entry));
        CHECK_U64(i, entry.index);
        CHECK(is_payload(entry.data, entry.size, i));
        walrus_entry_release(&entry);
    }
    CHECK_CODE(WALRUS_E_CAUGHT_UP, walrus_cursor_next(cursor, &entry));
}

static const char *const readers[] = {READER, READER " zero_copy=off", READER " cached_segments=1"};

CASE(a_reader_sees_what_is_appended_rotated_and_cut_without_reopening) {
    for (int mode = 0; mode < 3; mode++) {
        CHECK_NOTE("%s", readers[mode]);
        const char *dir = in_memory("log%d", mode);
        writer_t writer = hire(dir);
        tell(&writer, OPEN, 0, 0);
        walrus_t *log = open_log(dir, readers[mode]);
        walrus_cursor_t *cursor = open_cursor(log, 0, 0);
        CHECK_U64(0, walrus_last_index(log));
        CHECK_U64(1, walrus_next_index(log));
        tell(&writer, APPEND, 1, 3);
        check_steps(cursor, 1, 3); /* without any other call first */
        CHECK_U64(1, walrus_first_index(log));
        tell(&writer, APPEND, 4, 300); /* several segments */
        check_entry(log, 300, 20, 300);
        check_steps(cursor, 4, 300);
        check_range(log, 1, 300);
        tell(&writer, TRUNCATE, 250, 0);
        CHECK_U64(250, walrus_last_index(log));
        CHECK_U64(251, walrus_cursor_position(cursor));
        tell(&writer, BATCH, 251, 260);
        check_steps(cursor, 251, 260);
        /* Several cuts between two looks, and as long again as before. */
        tell(&writer, TRUNCATE, 200, 0);
        tell(&writer, APPEND, 201, 280);
        tell(&writer, TRUNCATE, 240, 0);
        tell(&writer, APPEND, 241, 400);
        tell(&writer, TRUNCATE, 399, 0);
        CHECK_U64(399, walrus_last_index(log));
        check_steps(cursor, 201, 399);
        check_range(log, 1, 399);
        /* From the front: known segments go, and what a cursor stands at is compacted. */
        CHECK_OK(walrus_cursor_seek(cursor, 100));
        tell(&writer, FRONT, 150, 0);
        walrus_entry_t entry;
        CHECK_CODE(WALRUS_E_COMPACTED, walrus_cursor_next(cursor, &entry));
        CHECK_CODE(WALRUS_E_COMPACTED, walrus_cursor_prev(cursor, &entry));
        CHECK_CODE(WALRUS_E_COMPACTED, walrus_get(log, 149, &entry));
        CHECK_U64(150, walrus_first_index(log));
        CHECK_OK(walrus_cursor_seek(cursor, 0));
        check_steps(cursor, 150, 399);
        /* Beyond everything that is known, several times. */
        tell(&writer, APPEND, 400, 700);
        tell(&writer, FRONT, 650, 0);
        tell(&writer, APPEND, 701, 900);
        tell(&writer, FRONT, 800, 0);
        CHECK_CODE(WALRUS_E_COMPACTED, walrus_cursor_next(cursor, &entry));
        check_range(log, 800, 900);
        CHECK_U64(800, walrus_first_index(log));
        CHECK_OK(walrus_cursor_seek(cursor, 0));
        check_steps(cursor, 800, 900);
        /* Emptied in every way. */
        tell(&writer, RESET, 50, 0);
        CHECK_U64(0, walrus_last_index(log));
        CHECK_U64(50, walrus_next_index(log));
        CHECK_U64(50, walrus_cursor_position(cursor));
        tell(&writer, APPEND, 50, 200);
        check_steps(cursor, 50, 200);
        tell(&writer, TRUNCATE, 49, 0);
        CHECK_U64(0, walrus_first_index(log));
        tell(&writer, APPEND, 50, 60);
        check_steps(cursor, 50, 60);
        tell(&writer, FRONT, 61, 0);
        CHECK_CODE(WALRUS_E_CAUGHT_UP, walrus_cursor_next(cursor, &entry));
        tell(&writer, APPEND, 61, 62);
        check_steps(cursor, 61, 62);
        tell(&writer, RESET, 1000, 0);
        CHECK_CODE(WALRUS_E_COMPACTED, walrus_cursor_next(cursor, &entry));
        tell(&writer, APPEND, 1000, 1010);
        CHECK_OK(walrus_cursor_seek(cursor, 0));
        check_steps(cursor, 1000, 1010);
        walrus_cursor_close(cursor);
        CHECK_OK(walrus_close(log));
        dismiss(&writer, false);
    }
}

CASE(a_reader_goes_on_through_the_writers_close_crash_and_reopening) {
    const char *dir = in_memory("log");
    writer_t writer = hire(dir);
    tell(&writer, OPEN, 0, 0);
    tell(&writer, APPEND, 1, 100);
    walrus_t *log = open_log(dir, READER);
    walrus_cursor_t *cursor = open_cursor(log, 0, 0), *durable = open_cursor(log, 0, WALRUS_DURABLE_ONLY);
    check_steps(cursor, 1, 100);
    CHECK(walrus_durable_index(log) < 100);
    tell(&writer, CLOSE, 0, 0);
    CHECK_U64(100, walrus_durable_index(log));
    check_steps(durable, 1, 100);
    for (uint64_t round = 0; round < 6; round++) {
        uint64_t last = walrus_last_index(log);
        dismiss(&writer, round > 0 && round % 2 == 0);
        writer = hire(dir);
        tell(&writer, OPEN, 0, 0);
        tell(&writer, APPEND, last + 1, last + 3 + round * 40);
        check_steps(cursor, last + 1, last + 3 + round * 40);
        tell(&writer, TRUNCATE, last + 2, 0);
        tell(&writer, APPEND, last + 3, last + 90);
        check_steps(cursor, last + 3, last + 90);
        CHECK(walrus_durable_index(log) <= walrus_last_index(log));
        if (round % 2 == 0)
            tell(&writer, CLOSE, 0, 0);
    }
    check_range(log, 1, walrus_last_index(log));
    walrus_cursor_close(cursor);
    walrus_cursor_close(durable);
    CHECK_OK(walrus_close(log));
    dismiss(&writer, true);
}

CASE(what_waits_in_the_writers_buffer_is_not_there_and_a_batch_is_there_whole_or_not_at_all) {
    const char *dir = in_memory("log");
    writer_t writer = hire(dir);
    tell(&writer, OPEN, 0, 0);
    tell(&writer, APPEND, 1, 1);
    walrus_t *log = open_log(dir, READER);
    tell(&writer, BUFFERED, 2, 11); /* less than its buffer of 4 KiB */
    CHECK_U64(1, walrus_last_index(log));
    tell(&writer, SYNC, 0, 0);
    CHECK_U64(11, walrus_last_index(log));
    tell(&writer, BUFFERED, 12, 60); /* some of it had to be written */
    uint64_t last = walrus_last_index(log);
    CHECK(last >= 11 && last < 60);
    check_range(log, 1, last);
    dismiss(&writer, true); /* loses what was buffered */
    CHECK_U64(last, walrus_last_index(log));
    writer = hire(dir);
    tell(&writer, OPEN, 0, 0);
    tell(&writer, BATCH, last + 1, last + 100); /* larger than the buffer and than a segment */
    CHECK_U64(last + 100, walrus_last_index(log));
    check_range(log, 1, last + 100);
    CHECK_OK(walrus_close(log));
    dismiss(&writer, true);
}

/* The bytes behind the last entry of the only segment. */
static off_t end_of_data(const char *path) {
    size_t size;
    unsigned char *bytes = read_file(path, &size);
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    free(bytes);
    return (off_t)((size + 7) / 8 * 8);
}

/* A torn frame, garbage, half a batch: not there yet, never CORRUPT; and gone for good once the next writer has cut it off. */
CASE(an_unfinished_tail_is_simply_not_there_yet) {
    for (int kind = 0; kind < 3; kind++) {
        const char *dir = in_memory("log%d", kind), *segment = in_memory("log%d/0000000000000001.wal", kind);
        writer_t writer = hire(dir);
        tell(&writer, OPEN, 0, 0);
        tell(&writer, APPEND, 1, 2);
        walrus_t *log = open_log(dir, READER);
        CHECK_U64(2, walrus_last_index(log));
        off_t end = end_of_data(segment);
        tell(&writer, BATCH, 3, 12);
        dismiss(&writer, true);
        /* What only half arrived of the batch: the rest is zeros or garbage. */
        size_t size;
        unsigned char *bytes = read_file(segment, &size);
        off_t from = end + (kind == 0 ? 10 : kind == 1 ? 300 : 0), to = end_of_data(segment);
        CHECK(from < to);
        if (kind == 2)
            fill(bytes + from, (size_t)(to - from), 77);
        else
            memset(bytes + from, 0, (size_t)(to - from));
        int fd = open(segment, O_WRONLY);
        CHECK(pwrite(fd, bytes, size, 0) == (ssize_t)size);
        close(fd);
        free(bytes);
        walrus_entry_t entry;
        walrus_cursor_t *cursor = open_cursor(log, 3, 0);
        for (int i = 0; i < 3; i++) {
            CHECK_U64(2, walrus_last_index(log));
            CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(log, 3, &entry));
            CHECK_CODE(WALRUS_E_TIMEOUT, walrus_cursor_wait(cursor, i == 1 ? 1300 : 20)); /* however long it lasts */
        }
        writer = hire(dir);
        tell(&writer, OPEN, 0, 0);
        CHECK_CODE(WALRUS_E_CAUGHT_UP, walrus_cursor_next(cursor, &entry));
        tell(&writer, APPEND, 3, 5);
        check_steps(cursor, 3, 5);
        walrus_cursor_close(cursor);
        CHECK_OK(walrus_close(log));
        dismiss(&writer, true);
    }
}

/* Values that were set, that rode on appends, that rode before others were set; rotated away, cut off, through the writer's crash. */
CASE(a_reader_sees_the_newest_value_of_each_key) {
    const char *dir = in_memory("log");
    told_values = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(told_values != MAP_FAILED);
    writer_t writer = hire(dir);
    tell(&writer, OPEN, 0, 0);
    walrus_t *log = open_log(dir, READER);
    random_source_t random = {run_seed()};
    for (uint64_t round = 1; round <= 3000; round++) {
        uint64_t key = below(&random, 2), next = walrus_next_index(log), chance = below(&random, 100);
        CHECK_NOTE("round %" PRIu64 ", %" PRIu64, round, chance);
        if (chance < 20) {
            tell(&writer, SET, key, round);
        } else if (chance < 50) {
            tell(&writer, STAGE, key, round);
        } else if (chance < 90) {
            uint64_t count = below(&random, 20) == 0 ? 60 : 1;
            tell(&writer, below(&random, 2) ? BATCH : APPEND, next, next + count - 1);
        } else if (chance < 93 && next - walrus_first_index(log) > 3 && walrus_last_index(log) > 0) {
            tell(&writer, TRUNCATE, next - 1 - below(&random, 3), 0);
        } else if (chance < 94) {
            tell(&writer, RESET, next + 5, 0);
        } else if (chance < 96) {
            if (below(&random, 2)) {
                tell(&writer, CLOSE, 0, 0);
                dismiss(&writer, false);
            } else
                dismiss(&writer, true);
            writer = hire(dir);
            tell(&writer, OPEN, 0, 0);
        }
        if (below(&random, 3) != 0) {
            uint64_t even = value_of(log, "even"), odd = value_of(log, "odd");
            if (even != told_values[0] || odd != told_values[1])
                FAIL("the values are %" PRIu64 " and %" PRIu64 ", not %" PRIu64 " and %" PRIu64, even, odd, told_values[0], told_values[1]);
        }
    }
    CHECK_OK(walrus_close(log));
    dismiss(&writer, false);
}

/* Catches a reader that takes damage for a write that is still to be finished, and waits for ever. */
CASE(damage_that_later_frames_declare_durable_is_corrupt_in_the_end) {
    const char *dir = in_memory("log"), *segment = in_memory("log/0000000000000001.wal");
    writer_t writer = hire(dir);
    tell(&writer, OPEN, 0, 0);
    tell(&writer, APPEND, 1, 2);
    walrus_t *log = open_log(dir, READER);
    off_t end = end_of_data(segment);
    tell(&writer, APPEND, 3, 4);
    tell(&writer, SYNC, 0, 0);
    tell(&writer, APPEND, 5, 6);
    int fd = open(segment, O_WRONLY);
    CHECK(pwrite(fd, "?", 1, end + 30) == 1); /* in the payload of entry 3 */
    close(fd);
    walrus_cursor_t *cursor = open_cursor(log, 3, 0);
    CHECK_U64(2, walrus_last_index(log));
    CHECK_CODE(WALRUS_E_CORRUPT, walrus_cursor_wait(cursor, 10000));
    walrus_entry_t entry;
    CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, 3, &entry));
    check_range(log, 1, 2);
    CHECK_U64(2, walrus_last_index(log));
    /* Once the segment is sealed, its end and what follows the damage are known. */
    tell(&writer, APPEND, 7, 300);
    check_entry(log, 300, 20, 300);
    CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, 3, &entry));
    check_range(log, 4, 300);
    walrus_cursor_close(cursor);
    CHECK_OK(walrus_close(log));
    dismiss(&writer, true);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* How long after the beginning of an append another process's waiting cursor has the entry; the writer pauses between them, so that the
 * reader sleeps each time. */
static void measure(const char *name, const char *dir, const char *options, bool without_descriptors) {
    enum { COUNT = 150 };
    pid_t child = start();
    if (child == 0) {
        alarm(60);
        walrus_t *log = open_log(dir, options);
        walrus_append(log, "x", 1, NULL);
        usleep(400000);
        for (int i = 0; i < COUNT; i++) {
            usleep(2000 + (useconds_t)(i % 7) * 300);
            uint64_t now = now_ns();
            CHECK_OK(walrus_append(log, &now, sizeof now, NULL));
        }
        CHECK_OK(walrus_close(log));
        _exit(0);
    }
    walrus_t *log = NULL;
    while (try_open(dir, READER, &log) != WALRUS_OK || walrus_last_index(log) == 0) {
        CHECK_OK(walrus_close(log));
        log = NULL;
        usleep(1000);
    }
    walrus_cursor_t *cursor = open_cursor(log, 2, 0);
    if (without_descriptors) {
        usleep(250000); /* until the directory's time is settled, and need not be listed again */
        CHECK_U64(1, walrus_last_index(log));
        struct rlimit limit = {0};
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = 0;
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    uint64_t times[COUNT], limited = now_ns();
    int count = 0;
    /* Once a second the directory is listed in any case, which takes a descriptor. */
    while (count < COUNT && !(without_descriptors && now_ns() - limited > 500000000)) {
        walrus_entry_t entry;
        CHECK_OK(walrus_cursor_wait(cursor, 5000));
        CHECK_OK(walrus_cursor_next(cursor, &entry));
        uint64_t began;
        memcpy(&began, entry.data, sizeof began);
        times[count++] = now_ns() - began;
        walrus_entry_release(&entry);
    }
    CHECK(count > 5);
    qsort(times, (size_t)count, sizeof times[0], compare_u64);
    printf("      %s: median %.3f ms, 90%% %.3f ms, most %.3f ms\n", name, (double)times[count / 2] / 1e6,
           (double)times[count * 9 / 10] / 1e6, (double)times[count - 1] / 1e6);
    fflush(stdout);
    CHECK(times[count / 2] < 50000000);
    walrus_cursor_close(cursor);
    CHECK_OK(walrus_close(log));
    CHECK_U64(0, (uint64_t)await(child));
}

CASE(a_waiting_cursor_sees_another_processs_append_soon) {
    measure("sync=os", at("os"), "sync=os", false);
    measure("sync=always", at("always"), "", false);
}

/* Where the system has no descriptors to sleep on, it looks now and then. */
CASE(a_waiting_cursor_needs_no_descriptors_of_its_own) {
    measure("looking now and then", at("log"), "sync=os preallocate=false", true);
}

typedef struct waiter {
    walrus_cursor_t *cursor;
    int32_t result;
    _Atomic bool is_done;
} waiter_t;

static void *wait_once(void *ctx) {
    waiter_t *waiter = ctx;
    waiter->result = walrus_cursor_wait(waiter->cursor, 30000);
    waiter->is_done = true;
    return NULL;
}

/* Several threads wait on one handle: one sleeps on the directory, and whoever that is, all are told. */
CASE(every_waiting_thread_is_woken_by_appends_interrupts_and_shutdown) {
    enum { THREADS = 4 };
    const char *dir = in_memory("log");
    writer_t writer = hire(dir);
    tell(&writer, OPEN, 0, 0);
    tell(&writer, APPEND, 1, 5);
    holdings_t before = count_holdings();
    for (int round = 0; round < 9; round++) {
        walrus_t *log = open_log(dir, READER);
        uint64_t last = walrus_last_index(log);
        waiter_t waiters[THREADS];
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            waiters[i] = (waiter_t){open_cursor(log, last + 1, 0), 1, false};
            CHECK(pthread_create(&threads[i], NULL, wait_once, &waiters[i]) == 0);
        }
        usleep(round % 3 == 0 ? 0 : 20000);
        uint64_t began = now_ns();
        int kind = round % 3;
        if (kind == 0)
            tell(&writer, APPEND, last + 1, last + 1);
        else if (kind == 1) {
            for (int i = 0; i < THREADS; i++)
                CHECK(!waiters[i].is_done);
            CHECK_OK(walrus_interrupt(log));
        } else
            CHECK_OK(walrus_shutdown(log));
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            CHECK_CODE(kind == 0 ? WALRUS_OK : kind == 1 ? WALRUS_E_CANCELED : WALRUS_E_CLOSED, waiters[i].result);
            walrus_cursor_close(waiters[i].cursor);
        }
        CHECK(now_ns() - began < UINT64_C(5000000000));
        CHECK_OK(walrus_close(log));
    }
    CHECK_HOLDINGS(before);
    dismiss(&writer, false);
}

static bool is_readable(int fd, int timeout) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, timeout) == 1;
}

/* An event loop sleeps on the descriptor and makes no other call: somebody has to look for it. */
CASE(the_readers_descriptor_tells_of_appends_truncations_and_nothing_else) {
    const char *dir = in_memory("log");
    writer_t writer = hire(dir);
    tell(&writer, OPEN, 0, 0);
    tell(&writer, APPEND, 1, 5);
    holdings_t before = count_holdings();
    walrus_t *log = open_log(dir, READER);
    int fd = -1;
    uint64_t count;
    CHECK_OK(walrus_notify_fd(log, &fd));
    CHECK(!is_readable(fd, 150));
    for (uint64_t last = 6; last <= 60; last += 6) {
        tell(&writer, APPEND, last, last + 5);
        CHECK(is_readable(fd, 5000));
        CHECK(read(fd, &count, 8) == 8);
        while (walrus_last_index(log) != last + 5)
            ;
        while (is_readable(fd, 20))
            CHECK(read(fd, &count, 8) == 8); /* moves that were told one by one */
    }
    CHECK_OK(walrus_interrupt(log)); /* ends waits, not the watch */
    tell(&writer, TRUNCATE, 3, 0);
    CHECK(is_readable(fd, 5000));
    CHECK_U64(3, walrus_last_index(log));
    CHECK(read(fd, &count, 8) == 8);
    /* Another thread's waiting cursor goes on beside it. */
    walrus_cursor_t *cursor = open_cursor(log, 4, 0);
    waiter_t waiter = {cursor, 1, false};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_once, &waiter) == 0);
    usleep(20000);
    tell(&writer, APPEND, 4, 4);
    pthread_join(thread, NULL);
    CHECK_OK(waiter.result);
    CHECK(is_readable(fd, 5000));
    CHECK(read(fd, &count, 8) == 8);
    CHECK_OK(walrus_shutdown(log));
    CHECK(is_readable(fd, 5000));
    walrus_cursor_close(cursor);
    CHECK_OK(walrus_close(log));
    CHECK_HOLDINGS(before);
    dismiss(&writer, false);
}

CASE(a_reader_waits_until_the_writer_has_said_that_an_entry_is_durable) {
    const char *dir = in_memory("log");
    writer_t writer = hire(dir);
    tell(&writer, OPEN, 0, 0);
    tell(&writer, APPEND, 1, 5);
    walrus_t *log = open_log(dir, READER);
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_wait_durable(log, 6, 1000));
    CHECK_CODE(WALRUS_E_TIMEOUT, walrus_wait_durable(log, 5, 0));
    CHECK_CODE(WALRUS_E_TIMEOUT, walrus_wait_durable(log, 5, 30));
    tell(&writer, SYNC, 0, 0);
    tell(&writer, APPEND, 6, 6); /* whose frame says it */
    CHECK_OK(walrus_wait_durable(log, 5, 5000));
    CHECK_U64(5, walrus_durable_index(log));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_sync(log));
    tell(&writer, CLOSE, 0, 0);
    CHECK_OK(walrus_wait_durable(log, 6, 5000));
    CHECK_OK(walrus_close(log));
    dismiss(&writer, false);
}

/* ---- Random courses ------------------------------------------------------------------------- */

enum { MOST_STEPS = 60000, MOST_ENTRIES = 160 };

typedef struct step {
    int what;
    uint64_t a, b; /* as in an order; APPEND and BATCH: first index and count */
} step_t;

/* In memory that the processes share. A step's version is its number. */
typedef struct journal {
    _Atomic uint64_t begun, done;
    _Atomic uint64_t durable; /* the highest that a writer knew, with truncations applied. (A new one may know less.) */
    _Atomic bool is_paused, pause, is_over;
    step_t steps[MOST_STEPS + 1]; /* from 1 */
} journal_t;

/* What the log holds after a step. Indexes are counted from `base`. */
typedef struct state {
    uint64_t first, next;
    uint32_t versions[MOST_ENTRIES + 40]; /* of the entry first + i */
} state_t;

typedef struct history {
    journal_t *journal;
    pthread_mutex_t lock;
    state_t *states;
    uint64_t known;
} history_t;

static void apply(const state_t *before, const step_t *step, uint32_t number, state_t *after) {
    *after = *before;
    switch (step->what) {
    case REPLACE: after->next = step->a; /* fall through */
    case APPEND:
    case BATCH:
        for (uint64_t i = 0; i < step->b; i++)
            after->versions[after->next++ - after->first] = number;
        break;
    case TRUNCATE: after->next = step->a + 1; break;
    case FRONT:
        memmove(after->versions, after->versions + (step->a - after->first),
                (size_t)(after->next - step->a) * sizeof after->versions[0]);
        after->first = step->a;
        break;
    case RESET: after->first = after->next = step->a; break;
    default: break;
    }
}

/* The states up to that after step `number`. */
static state_t *states_to(history_t *model, uint64_t number) {
    pthread_mutex_lock(&model->lock);
    while (model->known < number) {
        uint64_t i = ++model->known;
        const step_t *step = &model->journal->steps[i];
        /* A step that the crashed writer had begun and not done. */
        apply(&model->states[step->what == DIE ? i - 2 : i - 1], step, (uint32_t)i, &model->states[i]);
    }
    pthread_mutex_unlock(&model->lock);
    return model->states;
}

typedef struct content {
    uint64_t version, index;
} content_t;

static void put_entries(walrus_t *log, uint64_t first, uint64_t count, uint64_t version, bool replaces) {
    walrus_record_t records[32];
    unsigned char bytes[32][200];
    memset(records, 0, sizeof records);
    for (uint64_t i = 0; i < count; i++) {
        content_t content = {version, first + i};
        size_t size = sizeof content + (size_t)(version * 7 + i * 31) % 180;
        memcpy(bytes[i], &content, sizeof content);
        fill(bytes[i] + sizeof content, size - sizeof content, version * 1000 + first + i);
        records[i] = (walrus_record_t){.data = bytes[i], .size = size};
    }
    if (replaces)
        CHECK_OK(walrus_replace_suffix(log, first, records, (size_t)count, 0));
    else
        CHECK_OK(walrus_append_batch(log, records, (size_t)count, 0, NULL));
}

static uint64_t version_of(const walrus_entry_t *entry) {
    content_t content;
    CHECK(entry->size >= sizeof content);
    memcpy(&content, entry->data, sizeof content);
    CHECK_U64(entry->index, content.index);
    CHECK(is_payload((const char *)entry->data + sizeof content, entry->size - sizeof content,
                     content.version * 1000 + content.index));
    return content.version;
}

static bool matches(walrus_t *log, const state_t *state) {
    if (walrus_next_index(log) != state->next)
        return false;
    if (state->first == state->next)
        return walrus_last_index(log) == 0;
    if (walrus_first_index(log) != state->first)
        return false;
    walrus_entry_t entry;
    CHECK_OK(walrus_get(log, state->next - 1, &entry));
    bool result = version_of(&entry) == state->versions[state->next - 1 - state->first];
    walrus_entry_release(&entry);
    return result;
}

/* A writer's life: opens the log, settles what the last life left undone, and goes on at random until it is killed or told to end. */
static void live(const char *dir, journal_t *journal, history_t *model, uint64_t seed) {
    static const char *const options[] = {"sync=os segment_size=4KiB", "sync=always segment_size=16KiB buffer_size=4KiB",
                                          "sync=os segment_size=8KiB preallocate=false", "sync=os"};
    random_source_t random = {seed};
    walrus_t *log = open_log(dir, options[below(&random, 4)]);
    uint64_t number = journal->done;
    if (journal->begun > number) {
        if (matches(log, &states_to(model, journal->begun)[journal->begun]))
            journal->done = number = journal->begun;
        else {
            number = journal->begun + 1;
            journal->steps[number] = (step_t){.what = DIE};
            journal->begun = number;
            journal->done = number;
        }
    }
    CHECK(matches(log, &states_to(model, number)[number]));
    while (!journal->is_over && number < MOST_STEPS - 2) {
        const state_t *state = &states_to(model, number)[number];
        uint64_t count = state->next - state->first, chance = below(&random, 100);
        step_t step = {APPEND, state->next, 1};
        if (count > MOST_ENTRIES || (chance < 6 && count > 0))
            step = (step_t){FRONT, state->first + 1 + below(&random, count), 0};
        else if (chance < 26)
            step = (step_t){BATCH, state->next, 2 + below(&random, 12)};
        else if (chance < 32 && count > 0)
            step = (step_t){REPLACE, state->next - 1 - below(&random, chance < 31 && count > 5 ? 5 : count), 1 + below(&random, 9)};
        else if (chance < 38 && count > 0)
            step = (step_t){TRUNCATE, state->next - 1 - below(&random, chance < 36 && count > 5 ? 5 : count + 1), 0};
        else if (chance < 39)
            step = (step_t){RESET, 1 + below(&random, state->next + 50), 0};
        else if (chance < 41)
            step = (step_t){CLOSE, 0, 0};
        journal->steps[++number] = step;
        journal->begun = number;
        switch (step.what) {
        case APPEND:
        case BATCH: put_entries(log, step.a, step.b, number, false); break;
        case REPLACE: put_entries(log, step.a, step.b, number, true); break;
        case TRUNCATE: CHECK_OK(walrus_truncate(log, step.a)); break;
        case FRONT: CHECK_OK(walrus_truncate_front(log, step.a)); break;
        case RESET: CHECK_OK(walrus_reset(log, step.a)); break;
        default:
            CHECK_OK(walrus_close(log));
            log = open_log(dir, options[below(&random, 4)]);
        }
        uint64_t kept = step.what == TRUNCATE ? step.a : step.what == RESET || step.what == REPLACE ? step.a - 1 : UINT64_MAX;
        if (journal->durable > kept)
            journal->durable = kept;
        if (walrus_durable_index(log) > journal->durable)
            journal->durable = walrus_durable_index(log);
        journal->done = number;
        if (journal->pause) {
            journal->is_paused = true;
            while (journal->pause)
                usleep(100);
            journal->is_paused = false;
        }
        if (below(&random, 3) == 0)
            usleep((useconds_t)below(&random, 400));
    }
    CHECK_OK(walrus_close(log));
}

typedef struct observer {
    walrus_t *log;
    history_t *model;
    uint64_t seed;
    _Atomic bool *is_over;
} observer_t;

/* Asks the log one thing at a time, and looks for a state of the time in which that is the answer. */
static void *observe(void *ctx) {
    observer_t *observer = ctx;
    journal_t *journal = observer->model->journal;
    random_source_t random = {observer->seed};
    while (!*observer->is_over) {
        if (below(&random, 20) == 0)
            usleep((useconds_t)below(&random, 3000));
        int what = (int)below(&random, 4);
        uint64_t from = journal->done, answer = 0, index = 0;
        int32_t result = WALRUS_OK;
        walrus_entry_t entry;
        switch (what) {
        case 0: answer = walrus_last_index(observer->log); break;
        case 1: answer = walrus_first_index(observer->log); break;
        case 2: answer = walrus_next_index(observer->log); break;
        default: {
            const state_t *state = &states_to(observer->model, from)[from];
            index = state->first + below(&random, state->next - state->first + 3);
            index = index > 2 ? index - below(&random, 2) : index;
            result = walrus_get(observer->log, index, &entry);
            answer = result == WALRUS_OK ? version_of(&entry) : 0;
            walrus_entry_release(&entry);
        }
        }
        uint64_t to = journal->begun;
        state_t *states = states_to(observer->model, to);
        bool found = false;
        for (uint64_t i = from; i <= to && !found; i++) {
            const state_t *state = &states[i];
            bool is_empty = state->first == state->next;
            switch (what) {
            case 0: found = answer == (is_empty ? 0 : state->next - 1); break;
            case 1: found = answer == (is_empty ? 0 : state->first); break;
            case 2: found = answer == state->next; break;
            default:
                found = result == WALRUS_E_NOT_FOUND   ? index >= state->next
                        : result == WALRUS_E_COMPACTED ? index < state->first
                        : result == WALRUS_OK          ? index >= state->first && index < state->next &&
                                                 state->versions[index - state->first] == answer
                                                       : false;
            }
        }
        if (!found) {
            const step_t *step = &journal->steps[to];
            FAIL("asked for %d (entry %" PRIu64 "), was told %" PRIu64 " (%s), which was true at no moment from step %" PRIu64
                 " to %" PRIu64 " (the last one: %d %" PRIu64 " %" PRIu64 "; first %" PRIu64 ", next %" PRIu64 ")",
                 what, index, answer, check_code_name(result), from, to, step->what, step->a, step->b, states[to].first,
                 states[to].next);
        }
    }
    return NULL;
}

/* Keeps a copy of the log from what a cursor says; compared whenever the writer pauses. */
typedef struct replica {
    walrus_cursor_t *cursor;
    uint32_t versions[1 << 20];
} replica_t;

static void drain(walrus_t *log, replica_t *replica) {
    for (;;) {
        walrus_entry_t entry;
        int32_t result = walrus_cursor_next(replica->cursor, &entry);
        if (result == WALRUS_E_CAUGHT_UP)
            return;
        if (result == WALRUS_E_COMPACTED) {
            result = walrus_cursor_seek(replica->cursor, 0);
            CHECK_OK(result);
            continue;
        }
        CHECK_OK(result);
        CHECK(entry.index < 1 << 20);
        replica->versions[entry.index] = (uint32_t)version_of(&entry);
        walrus_entry_release(&entry);
    }
    (void)log;
}

static void check_copy(walrus_t *log, history_t *model, replica_t *replica) {
    uint64_t number = model->journal->done;
    const state_t *state = &states_to(model, number)[number];
    drain(log, replica);
    CHECK_U64(state->next, walrus_cursor_position(replica->cursor));
    for (uint64_t i = state->first; i < state->next; i++) {
        if (replica->versions[i] != state->versions[i - state->first])
            FAIL("at step %" PRIu64 " the copy has version %u of entry %" PRIu64 ", the log has %u", number,
                 replica->versions[i], i, state->versions[i - state->first]);
    }
}

static pid_t begin_life(const char *dir, journal_t *journal, history_t *model, uint64_t seed) {
    pthread_mutex_lock(&model->lock); /* not held by a thread that does not come along */
    pid_t child = start();
    pthread_mutex_unlock(&model->lock);
    if (child == 0) {
        alarm(60);
        live(dir, journal, model, seed);
        _exit(0);
    }
    return child;
}

static void run_course(const char *dir, const char *options, uint64_t seed, int seconds) {
    enum { OBSERVERS = 2 };
    random_source_t random = {seed};
    journal_t *journal = mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    state_t *states = mmap(NULL, sizeof(state_t) * (MOST_STEPS + 1), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(journal != MAP_FAILED && states != MAP_FAILED);
    history_t model = {.journal = journal, .states = states};
    pthread_mutex_init(&model.lock, NULL);
    states[0] = (state_t){.first = 1, .next = 1};
    CHECK_OK(walrus_close(open_log(dir, "")));
    pid_t child = begin_life(dir, journal, &model, next_random(&random));
    walrus_t *log = open_log(dir, options);
    replica_t *replica = calloc(1, sizeof *replica);
    replica->cursor = open_cursor(log, 0, 0);
    _Atomic bool is_over = false;
    observer_t observers[OBSERVERS];
    pthread_t threads[OBSERVERS];
    for (int i = 0; i < OBSERVERS; i++) {
        observers[i] = (observer_t){log, &model, next_random(&random), &is_over};
        CHECK(pthread_create(&threads[i], NULL, observe, &observers[i]) == 0);
    }
    uint64_t end = now_ns() + (uint64_t)seconds * 1000000000, lives = 1, looks = 0;
    while (now_ns() < end && journal->done < MOST_STEPS - 10) {
        int result = (int)below(&random, 100);
        if (result < 8) {
            kill(child, SIGKILL);
            CHECK_U64(1000 + SIGKILL, (uint64_t)await(child));
            child = begin_life(dir, journal, &model, next_random(&random));
            lives++;
        } else if (result < 30) {
            journal->pause = true;
            while (!journal->is_paused)
                usleep(100);
            check_copy(log, &model, replica);
            CHECK(walrus_durable_index(log) <= journal->durable);
            looks++;
            journal->pause = false;
            while (journal->is_paused)
                usleep(100);
        } else if (result < 60) {
            int32_t waited = walrus_cursor_wait(replica->cursor, 3);
            CHECK(waited == WALRUS_OK || waited == WALRUS_E_TIMEOUT);
            drain(log, replica);
        } else
            usleep((useconds_t)below(&random, 6000));
    }
    journal->is_over = true;
    CHECK_U64(0, (uint64_t)await(child));
    is_over = true;
    for (int i = 0; i < OBSERVERS; i++)
        pthread_join(threads[i], NULL);
    check_copy(log, &model, replica);
    printf("      %s: %" PRIu64 " steps, %" PRIu64 " writers, %" PRIu64 " comparisons\n", options, (uint64_t)journal->done, lives,
           looks);
    walrus_cursor_close(replica->cursor);
    CHECK_OK(walrus_close(log));
}

CASE(a_reader_sees_only_states_that_the_log_had_and_never_an_old_one) {
    uint64_t seed = run_seed();
    run_course(in_memory("log"), READER, seed, 5);
}

CASE(a_reader_that_copies_sees_only_states_that_the_log_had) {
    uint64_t seed = run_seed();
    run_course(in_memory("log"), READER " zero_copy=off cached_segments=2", seed, 4);
}
