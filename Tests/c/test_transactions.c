/* test_transactions.c - entries staged in memory, committed as one batch or not at all
 *
 * Limits, states and misuse; expiry, which nobody has to ask for; many transactions at once; and that a crash, whenever it
 * comes, leaves all of a transaction or nothing of it.
 */
#include "support.h"

#include <malloc.h>
#include <pthread.h>

static walrus_txn_t *begin(walrus_t *log, int64_t timeout_ms) {
    walrus_txn_t *txn = NULL;
    CHECK_OK(walrus_txn_begin(log, timeout_ms, &txn));
    CHECK(txn != NULL);
    return txn;
}

static int32_t try_stage(walrus_txn_t *txn, size_t size, uint64_t seed) {
    unsigned char *bytes = payload(size, seed);
    walrus_record_t record = {.data = bytes, .size = size};
    int32_t result = walrus_txn_append(txn, &record);
    memset(bytes, 0xEE, size); /* it was copied */
    free(bytes);
    return result;
}

static void stage(walrus_txn_t *txn, size_t size, uint64_t seed) { CHECK_OK(try_stage(txn, size, seed)); }

static void check_state(int32_t expected, const walrus_txn_t *txn) { CHECK_CODE(expected, walrus_txn_state(txn)); }

/* ---- What a transaction does ---------------------------------------------------------------- */

/* Catches: entries that show before the commit, in another order, or with another term or time than was given. */
CASE(a_commit_appends_what_was_staged_in_order_and_only_then) {
    walrus_t *log = open_log(at("log"), "sync=os");
    append_payload(log, 10, 1);
    walrus_txn_t *txn = begin(log, 0);
    check_state(WALRUS_TXN_OPEN, txn);
    CHECK_U64(1, walrus_txn_count(log));
    unsigned char *bytes = payload(300, 2);
    CHECK_OK(walrus_txn_append(txn, &(walrus_record_t){.data = bytes, .size = 300, .term = 7, .timestamp_ns = 12345}));
    CHECK_OK(walrus_txn_append(txn, &(walrus_record_t){.data = NULL, .size = 0, .term = 9, .index = 3}));
    stage(txn, 100000, 4);
    CHECK_U64(1, walrus_last_index(log));
    uint64_t first = 0, count = 0;
    CHECK_OK(walrus_txn_commit(txn, 0, &first, &count));
    CHECK_U64(2, first);
    CHECK_U64(3, count);
    CHECK_U64(4, walrus_last_index(log));
    CHECK_U64(0, walrus_txn_count(log));
    check_entry(log, 2, 300, 2);
    check_entry(log, 3, 0, 0);
    check_entry(log, 4, 100000, 4);
    walrus_entry_t entry;
    CHECK_OK(walrus_get(log, 2, &entry));
    CHECK_U64(7, entry.term);
    CHECK_U64(12345, (uint64_t)entry.timestamp_ns);
    walrus_entry_release(&entry);
    CHECK_OK(walrus_get(log, 3, &entry));
    CHECK_U64(9, entry.term);
    walrus_entry_release(&entry);
    free(bytes);
    CHECK_OK(walrus_close(log));
}

/* Catches: a rollback that leaves entries, or a count that does not come back. */
CASE(a_rollback_leaves_nothing) {
    walrus_t *log = open_log(at("log"), "sync=os");
    for (int i = 0; i < 10; i++) {
        walrus_txn_t *txn = begin(log, i % 2 ? -1 : 0);
        stage(txn, 100, 1);
        CHECK_U64(1, walrus_txn_count(log));
        CHECK_OK(walrus_txn_rollback(txn));
        CHECK_U64(0, walrus_txn_count(log));
    }
    CHECK_U64(0, walrus_last_index(log));
    CHECK_U64(1, walrus_next_index(log));
    CHECK_OK(walrus_close(log));
}

CASE(an_empty_commit_appends_nothing_and_frees_the_handle) {
    walrus_t *log = open_log(at("log"), "sync=os");
    append_payload(log, 10, 1);
    uint64_t first = 99, count = 99;
    CHECK_OK(walrus_txn_commit(begin(log, 0), WALRUS_DURABLE, &first, &count));
    CHECK_U64(2, first);
    CHECK_U64(0, count);
    CHECK_U64(1, walrus_last_index(log));
    CHECK_U64(0, walrus_txn_count(log));
    CHECK_OK(walrus_txn_commit(begin(log, 0), 0, NULL, NULL));
    CHECK_OK(walrus_close(log));
}

/* Catches: flags of a commit that do nothing. */
CASE(the_flags_of_a_commit_say_how_durable_it_is) {
    walrus_t *log = open_log(at("log"), "sync=none buffer_size=1MiB");
    walrus_txn_t *txn = begin(log, 0);
    stage(txn, 100, 1);
    CHECK_OK(walrus_txn_commit(txn, 0, NULL, NULL));
    CHECK_U64(0, walrus_durable_index(log));
    txn = begin(log, 0);
    stage(txn, 100, 2);
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_commit(txn, 3, NULL, NULL));
    check_state(WALRUS_TXN_OPEN, txn);
    CHECK_OK(walrus_txn_commit(txn, WALRUS_DURABLE, NULL, NULL));
    CHECK_U64(2, walrus_durable_index(log));
    CHECK_OK(walrus_close(log));
}

/* ---- Limits and misuse ---------------------------------------------------------------------- */

/* Catches: a limit that is off by one, and a refused record that changes the transaction. */
CASE(limits_refuse_a_record_and_leave_the_transaction_as_it_was) {
    walrus_t *log = open_log(at("log"), "sync=os txn_max_entries=3 max_entry_size=1000");
    walrus_txn_t *txn = begin(log, 0);
    CHECK_CODE(WALRUS_E_TOO_LARGE, try_stage(txn, 1001, 1));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_txn_append(txn, &(walrus_record_t){.data = "", .size = SIZE_MAX}));
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_append(txn, &(walrus_record_t){.data = NULL, .size = 1}));
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_append(txn, &(walrus_record_t){.data = "x", .size = 1, .reserved = {0, 1}}));
    stage(txn, 1000, 1);
    stage(txn, 1, 2);
    stage(txn, 0, 3);
    CHECK_CODE(WALRUS_E_TXN_FULL, try_stage(txn, 1, 4));
    CHECK(strstr(last_error().message, "txn_max_entries") != NULL);
    check_state(WALRUS_TXN_OPEN, txn);
    uint64_t count = 0;
    CHECK_OK(walrus_txn_commit(txn, 0, NULL, &count));
    CHECK_U64(3, count);
    check_entry(log, 1, 1000, 1);
    check_entry(log, 2, 1, 2);
    check_entry(log, 3, 0, 3);
    CHECK_OK(walrus_close(log));
}

/* Catches: a transaction that can only be seen to be too large when it is committed. */
CASE(a_transaction_above_2_gib_is_refused_while_it_is_staged) {
    walrus_t *log = open_log(at("log"), "sync=os max_entry_size=1GiB");
    walrus_txn_t *txn = begin(log, 0);
    size_t size = (size_t)1 << 30;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(bytes != MAP_FAILED);
    walrus_record_t record = {.data = bytes, .size = size};
    int32_t code = WALRUS_OK;
    int staged = 0;
    while (staged < 4 && (code = walrus_txn_append(txn, &record)) == WALRUS_OK)
        staged++;
    if (code == WALRUS_E_NO_MEMORY)
        SKIP("there is not enough memory for a transaction of 2 GiB");
    CHECK_CODE(WALRUS_E_TOO_LARGE, code);
    CHECK_U64(1, staged); /* the second one's header is too much */
    stage(txn, 1000, 1);
    CHECK_OK(walrus_txn_rollback(txn));
    CHECK_OK(walrus_close(log));
}

/* Catches: a crash on NULL. */
CASE(null_is_invalid_everywhere_and_rollback_of_null_is_a_no_op) {
    walrus_t *log = open_log(at("log"), "sync=os");
    walrus_txn_t *txn = begin(log, 0), *none = NULL;
    uint64_t number = 77;
    walrus_record_t record = {0};
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_begin(NULL, 0, &none));
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_begin(log, 0, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_append(NULL, &record));
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_append(txn, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_commit(NULL, 0, &number, &number));
    CHECK_OK(walrus_txn_rollback(NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_state(NULL));
    CHECK_U64(0, walrus_txn_count(NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_txn_expire(NULL, &number));
    CHECK_OK(walrus_txn_expire(log, NULL));
    CHECK_U64(77, number);
    CHECK_U64(1, walrus_txn_count(log));
    CHECK_OK(walrus_txn_rollback(txn));
    CHECK_OK(walrus_close(log));
}

/* Catches: a commit that fails before it wrote anything and yet costs the caller what was staged. */
CASE(after_out_of_order_and_no_space_the_transaction_is_open_as_before) {
    walrus_t *log = open_log(at("log"), "sync=os preallocate=off segment_size=4KiB");
    append_payload(log, 100, 1);
    walrus_txn_t *txn = begin(log, 0);
    stage(txn, 50, 2);
    CHECK_OK(walrus_txn_append(txn, &(walrus_record_t){.data = "late", .size = 4, .index = 4}));
    uint64_t first = 99, count = 99;
    CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_txn_commit(txn, 0, &first, &count));
    CHECK(first == 99 && count == 99);
    check_state(WALRUS_TXN_OPEN, txn);
    CHECK_U64(1, walrus_txn_count(log));
    append_payload(log, 100, 3); /* now the index is right */
    stage(txn, 200000, 5);
    struct rlimit old, small = {.rlim_cur = 64 << 10};
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    CHECK_CODE(WALRUS_E_NO_SPACE, walrus_txn_commit(txn, 0, &first, &count));
    check_state(WALRUS_TXN_OPEN, txn);
    CHECK_U64(2, walrus_last_index(log));
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK_OK(walrus_txn_commit(txn, 0, &first, &count));
    CHECK_U64(3, first);
    CHECK_U64(3, count);
    check_entry(log, 3, 50, 2);
    check_entry(log, 5, 200000, 5);
    CHECK_OK(walrus_close(log));
}

/* Catches: an append without memory that traps, or that loses what was staged. */
CASE(without_memory_an_append_fails_and_the_transaction_goes_on) {
    walrus_t *log = open_log(at("log"), "sync=os");
    walrus_txn_t *txn = begin(log, 0);
    stage(txn, 1000, 1);
    size_t size = (size_t)60 << 20;
    unsigned char *bytes = payload(size, 2);
    struct rlimit old, small;
    CHECK(getrlimit(RLIMIT_AS, &old) == 0);
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    CHECK(statm != NULL && fscanf(statm, "%zu", &pages) == 1);
    fclose(statm);
    small = (struct rlimit){.rlim_cur = pages * 4096 + (16 << 20), .rlim_max = old.rlim_max};
    CHECK(setrlimit(RLIMIT_AS, &small) == 0);
    CHECK_CODE(WALRUS_E_NO_MEMORY, walrus_txn_append(txn, &(walrus_record_t){.data = bytes, .size = size}));
    check_state(WALRUS_TXN_OPEN, txn);
    stage(txn, 500, 3);
    CHECK(setrlimit(RLIMIT_AS, &old) == 0);
    CHECK_OK(walrus_txn_append(txn, &(walrus_record_t){.data = bytes, .size = size}));
    CHECK_OK(walrus_txn_commit(txn, 0, NULL, NULL));
    check_entry(log, 1, 1000, 1);
    check_entry(log, 2, 500, 3);
    check_entry(log, 3, size, 2);
    free(bytes);
    CHECK_OK(walrus_close(log));
}

CASE(a_read_only_log_begins_no_transaction) {
    CHECK_OK(walrus_close(open_log(at("log"), "")));
    walrus_t *log = open_log(at("log"), "read_only=on");
    walrus_txn_t *txn = (walrus_txn_t *)8;
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_txn_begin(log, 0, &txn));
    CHECK(txn == (walrus_txn_t *)8);
    CHECK_U64(0, walrus_txn_count(log));
    CHECK_OK(walrus_close(log));
}

/* ---- Lifetime ------------------------------------------------------------------------------- */

/* Catches: a transaction that keeps a descriptor, is freed with its log, or that can still write. */
CASE(transactions_outlive_their_log_and_answer_closed) {
    holdings_t before = count_holdings();
    for (int order = 0; order < 3; order++) {
        walrus_t *log = open_log(at("log"), "sync=os");
        walrus_txn_t *txns[3];
        for (int i = 0; i < 3; i++) {
            txns[i] = begin(log, i - 1);
            stage(txns[i], 5000, 1);
        }
        CHECK_OK(walrus_shutdown(log));
        walrus_txn_t *late = NULL;
        CHECK_CODE(WALRUS_E_CLOSED, walrus_txn_begin(log, 0, &late));
        CHECK_CODE(WALRUS_E_CLOSED, walrus_txn_expire(log, NULL));
        CHECK_U64(0, walrus_txn_count(log));
        if (order == 1)
            CHECK_OK(walrus_txn_rollback(txns[0]));
        CHECK_OK(walrus_close(log));
        CHECK_HOLDINGS(before);
        for (int i = order == 1; i < 3; i++) {
            int which = order == 2 ? 2 - i : i;
            check_state(WALRUS_E_CLOSED, txns[which]);
            CHECK_CODE(WALRUS_E_CLOSED, try_stage(txns[which], 10, 1));
            CHECK_CODE(WALRUS_E_CLOSED, walrus_txn_commit(txns[which], 0, NULL, NULL));
            CHECK_OK(walrus_txn_rollback(txns[which]));
        }
        log = open_log(at("log"), ""); /* it is not locked any more, and nothing came into it */
        CHECK_U64(0, walrus_last_index(log));
        CHECK_OK(walrus_close(log));
    }
}

static void check_forked_child(walrus_t *log, walrus_txn_t *txn) {
    walrus_txn_t *other = NULL;
    CHECK_CODE(WALRUS_E_FORKED, walrus_txn_begin(log, 0, &other));
    CHECK_CODE(WALRUS_E_FORKED, try_stage(txn, 10, 1));
    CHECK_CODE(WALRUS_E_FORKED, walrus_txn_commit(txn, 0, NULL, NULL));
    check_state(WALRUS_E_FORKED, txn);
    CHECK_U64(0, walrus_txn_count(log));
    CHECK_CODE(WALRUS_E_FORKED, walrus_txn_expire(log, NULL));
    CHECK_CODE(WALRUS_E_FORKED, walrus_txn_rollback(txn));
}

/* Catches: a child that commits what its parent staged, or that hangs on a lock while it frees. */
CASE(a_forked_child_gets_forked_and_may_free) {
    walrus_t *log = open_log(at("log"), "sync=os");
    walrus_txn_t *txn = begin(log, 0);
    stage(txn, 100000, 1);
    for (int closes_first = 0; closes_first < 2; closes_first++) {
        pid_t child = start();
        if (child == 0) {
            if (closes_first) {
                walrus_close(log);
                CHECK_CODE(WALRUS_E_FORKED, walrus_txn_rollback(txn));
                _exit(0);
            }
            check_forked_child(log, txn);
            walrus_close(log);
            _exit(0);
        }
        CHECK_U64(0, await(child));
    }
    CHECK_OK(walrus_txn_commit(txn, 0, NULL, NULL));
    check_entry(log, 1, 100000, 1);
    CHECK_OK(walrus_close(log));
}

typedef struct stager {
    walrus_txn_t *txn;
    bool stop;
} stager_t;

static void *stage_until_stopped(void *ctx) {
    stager_t *stager = ctx;
    static char bytes[1 << 20];
    while (!__atomic_load_n(&stager->stop, __ATOMIC_RELAXED))
        walrus_txn_append(stager->txn, &(walrus_record_t){.data = bytes, .size = sizeof bytes});
    return NULL;
}

/* Catches: a child that waits for ever for the lock of a thread that did not come along, or frees what that thread was changing. */
CASE(a_fork_in_the_middle_of_an_append_leaves_a_child_that_can_roll_back) {
    walrus_t *log = open_log(at("log"), "sync=os");
    for (int round = 0; round < 20; round++) {
        stager_t stager = {.txn = begin(log, 0)};
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, stage_until_stopped, &stager) == 0);
        usleep(1000);
        pid_t child = start();
        if (child == 0) {
            alarm(10);
            CHECK_CODE(WALRUS_E_FORKED, walrus_txn_rollback(stager.txn));
            walrus_close(log);
            _exit(0);
        }
        CHECK_U64(0, await(child));
        __atomic_store_n(&stager.stop, true, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
        CHECK_OK(walrus_txn_rollback(stager.txn));
    }
    CHECK_OK(walrus_close(log));
}

/* ---- Expiry --------------------------------------------------------------------------------- */

static size_t bytes_in_use(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Sanitizers bring an allocator that tells nothing. */
static bool can_count_bytes(void) {
    size_t before = bytes_in_use();
    void *volatile probe = malloc(1 << 20);
    bool can = bytes_in_use() >= before + (1 << 20);
    free(probe);
    return can;
}

/* Waits for the background, which nothing else hurries. */
static void await_count(walrus_t *log, uint64_t expected) {
    for (int i = 0; i < 1000 && walrus_txn_count(log) != expected; i++)
        usleep(5000);
    CHECK_U64(expected, walrus_txn_count(log));
}

/* Catches: an expiry that waits until somebody asks, and one that keeps the memory until the handle is freed. */
CASE(an_expired_transaction_gives_its_memory_back_without_anyone_asking) {
    walrus_t *log = open_log(at("log"), "sync=os txn_timeout_ms=400");
    walrus_record_t record = {.data = payload((size_t)24 << 20, 1), .size = (size_t)24 << 20};
    bool counts = can_count_bytes();
    size_t before = bytes_in_use();
    walrus_txn_t *by_default = begin(log, 0), *for_ever = begin(log, -1), *longer = begin(log, 3600000);
    double began = check_now_s();
    CHECK_OK(walrus_txn_append(by_default, &record));
    CHECK(!counts || bytes_in_use() >= before + record.size);
    CHECK_U64(3, walrus_txn_count(log));
    await_count(log, 2);
    CHECK(check_now_s() - began >= 0.39);
    CHECK(!counts || bytes_in_use() < before + (1 << 20));
    check_state(WALRUS_TXN_EXPIRED, by_default);
    CHECK_CODE(WALRUS_E_TXN_EXPIRED, try_stage(by_default, 10, 1));
    CHECK_CODE(WALRUS_E_TXN_EXPIRED, walrus_txn_commit(by_default, 0, NULL, NULL));
    check_state(WALRUS_TXN_EXPIRED, by_default);
    check_state(WALRUS_TXN_OPEN, for_ever);
    check_state(WALRUS_TXN_OPEN, longer);
    CHECK_OK(walrus_txn_rollback(by_default));
    CHECK_OK(walrus_txn_rollback(for_ever));
    CHECK_OK(walrus_txn_rollback(longer));
    CHECK_U64(0, walrus_txn_count(log));
    CHECK_U64(0, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
    free((void *)(uintptr_t)record.data);
}

/* Catches: a background that only ever looks at the first deadline, and a heap that loses its order. */
CASE(each_transaction_expires_in_its_own_time) {
    walrus_t *log = open_log(at("log"), "sync=os");
    enum { COUNT = 300 };
    walrus_txn_t *txns[COUNT];
    random_source_t chance = {run_seed()};
    double began = check_now_s();
    for (int i = 0; i < COUNT; i++)
        txns[i] = begin(log, i % 3 == 0 ? 60000 + (int64_t)below(&chance, 1000) : 100 + (int64_t)below(&chance, 300));
    for (int i = 0; i < COUNT; i += 5) { /* some leave from the middle */
        CHECK_OK(walrus_txn_rollback(txns[i]));
        txns[i] = NULL;
    }
    await_count(log, COUNT / 3 - COUNT / 15);
    CHECK(check_now_s() - began < 5);
    for (int i = 0; i < COUNT; i++) {
        if (txns[i] == NULL)
            continue;
        CHECK_NOTE("transaction %d", i);
        check_state(i % 3 == 0 ? WALRUS_TXN_OPEN : WALRUS_TXN_EXPIRED, txns[i]);
        CHECK_OK(walrus_txn_rollback(txns[i]));
    }
    CHECK_U64(0, walrus_txn_count(log));
    CHECK_OK(walrus_close(log));
}

/* Catches: a walrus_txn_expire that counts what had expired before, or that takes what is not due. */
CASE(expire_counts_those_whose_time_is_over) {
    walrus_t *log = open_log(at("log"), "sync=os");
    walrus_txn_t *soon = begin(log, 1), *later = begin(log, 60000);
    usleep(20000);
    uint64_t expired = 99;
    CHECK_OK(walrus_txn_expire(log, &expired));
    CHECK(expired <= 1); /* the background may have been quicker */
    check_state(WALRUS_TXN_EXPIRED, soon);
    CHECK_OK(walrus_txn_expire(log, &expired));
    CHECK_U64(0, expired);
    CHECK_U64(1, walrus_txn_count(log));
    CHECK_OK(walrus_txn_rollback(soon));
    CHECK_OK(walrus_txn_commit(later, 0, NULL, NULL));
    CHECK_OK(walrus_close(log));
}

typedef struct racer {
    walrus_t *log;
    uint64_t seed, committed, expired;
} racer_t;

static void *commit_at_the_deadline(void *ctx) {
    racer_t *racer = ctx;
    random_source_t chance = {racer->seed};
    for (int i = 0; i < 300; i++) {
        walrus_txn_t *txn = begin(racer->log, 1);
        int32_t code = WALRUS_OK;
        for (int n = 0; n < 20 && code == WALRUS_OK; n++)
            code = try_stage(txn, 3000, 1);
        usleep((useconds_t)below(&chance, 1500));
        uint64_t count = 0;
        if (code == WALRUS_OK)
            code = walrus_txn_commit(txn, 0, NULL, &count);
        if (code == WALRUS_OK) {
            CHECK_U64(20, count);
            racer->committed++;
        } else {
            CHECK_CODE(WALRUS_E_TXN_EXPIRED, code);
            check_state(WALRUS_TXN_EXPIRED, txn);
            CHECK_OK(walrus_txn_rollback(txn));
            racer->expired++;
        }
    }
    return NULL;
}

/* Catches: an expiry that frees what a commit is appending, or that counts a transaction twice. */
CASE(a_commit_that_meets_its_deadline_does_all_or_nothing) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=1MiB");
    racer_t racers[4];
    pthread_t threads[4];
    uint64_t committed = 0, expired = 0;
    for (uint64_t i = 0; i < 4; i++) {
        racers[i] = (racer_t){.log = log, .seed = i + 1};
        CHECK(pthread_create(&threads[i], NULL, commit_at_the_deadline, &racers[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        committed += racers[i].committed;
        expired += racers[i].expired;
    }
    printf("      %" PRIu64 " committed, %" PRIu64 " expired\n", committed, expired);
    CHECK(committed > 0 && expired > 0);
    CHECK_U64(0, walrus_txn_count(log));
    CHECK_U64(committed * 20, walrus_last_index(log));
    for (uint64_t i = 1; i <= walrus_last_index(log); i++)
        check_entry(log, i, 3000, 1);
    CHECK_OK(walrus_close(log));
}

/* ---- Many at once --------------------------------------------------------------------------- */

typedef struct client {
    walrus_t *log;
    uint64_t number;
    uint64_t first[8][20]; /* [transaction][round]: where it was committed */
} client_t;

enum { CLIENTS = 8, OPEN = 8, ROUNDS = 20, ENTRIES = 30 };
static uint64_t client_seed(uint64_t client, uint64_t txn, uint64_t round, uint64_t entry) {
    return ((client * 100 + txn) * 100 + round) * 100 + entry;
}

static void *interleave(void *ctx) {
    client_t *client = ctx;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        walrus_txn_t *txns[OPEN];
        for (int t = 0; t < OPEN; t++)
            txns[t] = begin(client->log, 0);
        for (uint64_t e = 0; e < ENTRIES; e++)
            for (uint64_t t = 0; t < OPEN; t++)
                stage(txns[t], 20 + e * t, client_seed(client->number, t, round, e));
        for (int t = OPEN - 1; t >= 0; t--) {
            uint64_t count = 0;
            if ((t + (int)round) % 4 == 3) {
                CHECK_OK(walrus_txn_rollback(txns[t]));
                continue;
            }
            CHECK_OK(walrus_txn_commit(txns[t], 0, &client->first[t][round], &count));
            CHECK_U64(ENTRIES, count);
        }
    }
    return NULL;
}

/* Catches: transactions that mix, and a batch with another one's entries inside. */
CASE(sixty_four_transactions_on_eight_threads_stay_apart) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=256KiB");
    client_t *clients = calloc(CLIENTS, sizeof *clients);
    pthread_t threads[CLIENTS];
    for (uint64_t i = 0; i < CLIENTS; i++) {
        clients[i].log = log;
        clients[i].number = i + 1;
        CHECK(pthread_create(&threads[i], NULL, interleave, &clients[i]) == 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    CHECK_U64(0, walrus_txn_count(log));
    uint64_t committed = 0;
    for (uint64_t i = 0; i < CLIENTS; i++)
        for (uint64_t t = 0; t < OPEN; t++)
            for (uint64_t round = 0; round < ROUNDS; round++) {
                uint64_t first = clients[i].first[t][round];
                committed += first != 0;
                for (uint64_t e = 0; first != 0 && e < ENTRIES; e++)
                    check_entry(log, first + e, 20 + e * t, client_seed(i + 1, t, round, e));
            }
    CHECK_U64(CLIENTS * OPEN * ROUNDS * 3 / 4, committed);
    CHECK_U64(committed * ENTRIES, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
    free(clients);
}

/* Catches: a begin or an end whose time grows with how many are open. */
CASE(ten_thousand_open_transactions_are_no_burden) {
    walrus_t *log = open_log(at("log"), "sync=os");
    enum { MANY = 10000 };
    walrus_txn_t **txns = calloc(MANY, sizeof *txns);
    random_source_t chance = {run_seed()};
    double began = check_now_s();
    for (uint64_t i = 0; i < MANY; i++) {
        txns[i] = begin(log, 600000 + (int64_t)below(&chance, 1000000));
        stage(txns[i], 8, i);
    }
    CHECK_U64(MANY, walrus_txn_count(log));
    for (uint64_t i = 0; i < MANY; i++) { /* in another order */
        uint64_t j = i + below(&chance, MANY - i);
        walrus_txn_t *one = txns[j];
        txns[j] = txns[i];
        if (i % 2)
            CHECK_OK(walrus_txn_rollback(one));
        else
            CHECK_OK(walrus_txn_commit(one, 0, NULL, NULL));
    }
    double took = check_now_s() - began;
    printf("      begun, staged and ended: %.0f ns each\n", took / MANY * 1e9);
    CHECK(took < 5);
    CHECK_U64(0, walrus_txn_count(log));
    CHECK_U64(MANY / 2, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
    free(txns);
}

/* ---- Interrupted commits -------------------------------------------------------------------- */

typedef struct committer {
    walrus_t *log;
    uint64_t number, committed, canceled;
    bool *stop;
} committer_t;

static void *commit_until_stopped(void *ctx) {
    committer_t *me = ctx;
    while (!__atomic_load_n(me->stop, __ATOMIC_RELAXED)) {
        walrus_txn_t *txn = begin(me->log, 0);
        for (uint64_t i = 0; i < 3; i++)
            stage(txn, 100, me->number);
        uint64_t first = 0, count = 0;
        int32_t code = walrus_txn_commit(txn, 0, &first, &count);
        CHECK(first != 0 && count == 3);
        for (uint64_t i = 0; i < 3; i++)
            check_entry(me->log, first + i, 100, me->number);
        me->committed++;
        if (code == WALRUS_OK)
            continue;
        CHECK_CODE(WALRUS_E_CANCELED, code);
        me->canceled++;
        check_state(WALRUS_TXN_COMMITTED, txn);
        CHECK_CODE(WALRUS_E_TXN_STATE, try_stage(txn, 1, 1));
        first = count = 77;
        CHECK_CODE(WALRUS_E_TXN_STATE, walrus_txn_commit(txn, 0, &first, &count));
        CHECK(first == 77 && count == 77);
        check_state(WALRUS_TXN_COMMITTED, txn);
        CHECK_OK(walrus_txn_rollback(txn));
    }
    return NULL;
}

/* Catches: a commit whose wait was ended and that can be made again, so that its entries come twice. */
CASE(an_interrupted_commit_is_committed_once) {
    walrus_t *log = open_log(at("log"), "");
    enum { THREADS = 6 };
    committer_t committers[THREADS];
    pthread_t threads[THREADS];
    bool stop = false;
    for (uint64_t i = 0; i < THREADS; i++) {
        committers[i] = (committer_t){.log = log, .number = i + 1, .stop = &stop};
        CHECK(pthread_create(&threads[i], NULL, commit_until_stopped, &committers[i]) == 0);
    }
    for (int i = 0; i < 2000; i++) {
        usleep(200);
        CHECK_OK(walrus_interrupt(log));
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    uint64_t committed = 0, canceled = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        committed += committers[i].committed;
        canceled += committers[i].canceled;
    }
    printf("      %" PRIu64 " commits, %" PRIu64 " of them interrupted\n", committed, canceled);
    CHECK(canceled > 0);
    CHECK_U64(committed * 3, walrus_last_index(log));
    CHECK_U64(0, walrus_txn_count(log));
    walrus_stats_t stats = {.struct_size = sizeof stats};
    CHECK_OK(walrus_stats(log, &stats));
    CHECK_U64(committed, stats.txn_committed);
    CHECK_U64(0, stats.txn_rolled_back);
    CHECK_OK(walrus_close(log));
}

/* ---- Crashes -------------------------------------------------------------------------------- */

enum { LARGE = 900 };
static size_t large_size(uint64_t round, uint64_t entry) { return (size_t)(round * 7 + entry * 13) % 150; }
static uint64_t large_seed(uint64_t index) { return index; }

static void stage_large(walrus_txn_t *txn, uint64_t first) {
    for (uint64_t e = 0; e < LARGE; e++)
        stage(txn, large_size(first / LARGE, e), large_seed(first + e));
}

/* Whole transactions only, each with its own bytes; returns how many entries. */
static uint64_t check_large(walrus_t *log) {
    uint64_t last = walrus_last_index(log);
    CHECK_U64(0, last % LARGE);
    for (uint64_t i = 1; i <= last; i++)
        check_entry(log, i, large_size((i - 1) / LARGE, (i - 1) % LARGE), large_seed(i - 1));
    return last;
}

/* Catches: a commit that is acknowledged before it is durable, and one of which a part survives. */
CASE(a_kill_leaves_whole_transactions_and_every_acknowledged_one) {
    const char *dir = at("log");
    random_source_t chance = {run_seed()};
    double began = check_now_s();
    uint64_t floor = 0, commits = 0, rounds = 0, extra = 0;
    for (; (rounds < 60 || commits < 100) && check_now_s() - began < 10; rounds++) {
        int journal[2];
        CHECK(pipe2(journal, O_CLOEXEC) == 0);
        pid_t child = start();
        if (child == 0) {
            walrus_t *log = open_log(dir, rounds % 2 ? "segment_size=64KiB buffer_size=4KiB" : "segment_size=64KiB");
            for (uint64_t first = walrus_last_index(log);;) {
                walrus_txn_t *txn = begin(log, 0);
                stage_large(txn, first);
                uint64_t at = 0;
                CHECK_OK(walrus_txn_commit(txn, 0, &at, NULL));
                CHECK_U64(first + 1, at);
                first += LARGE;
                if (write(journal[1], &first, sizeof first) != sizeof first)
                    _exit(4);
            }
        }
        close(journal[1]);
        usleep((useconds_t)(3000 + below(&chance, 25000)));
        kill(child, SIGKILL);
        CHECK_NOTE("round %" PRIu64 ", %" PRIu64 " entries acknowledged", rounds, floor);
        CHECK_U64(1000 + SIGKILL, await(child));
        uint64_t acknowledged;
        while (read(journal[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
            floor = acknowledged;
            commits++;
        }
        close(journal[0]);
        walrus_t *log = open_log(dir, "");
        uint64_t last = check_large(log);
        CHECK(last >= floor && last <= floor + LARGE);
        extra += last > floor;
        floor = last;
        if (last > 20000) { /* begin anew: reading it all takes its time */
            CHECK_OK(walrus_close(log));
            CHECK_OK(walrus_destroy(dir));
            floor = 0;
            continue;
        }
        CHECK_OK(walrus_close(log));
    }
    printf("      %" PRIu64 " kills, %" PRIu64 " commits acknowledged, %" PRIu64 " more that were in flight\n", rounds,
           commits, extra);
    CHECK(CHECK_IS_SANITIZED || commits >= 10); /* few on a busy machine */
}

/* Catches: a part of a transaction that recovery takes for the whole, wherever the file ends. */
CASE(a_log_that_is_cut_anywhere_holds_no_part_of_a_transaction) {
    const char *dir = in_memory("log"), *copy = in_memory("copy");
    walrus_t *log = open_log(dir, "sync=os segment_size=1MiB");
    for (uint64_t first = 0; first < 2 * LARGE; first += LARGE) {
        walrus_txn_t *txn = begin(log, 0);
        stage_large(txn, first);
        CHECK_OK(walrus_txn_commit(txn, 0, NULL, NULL));
    }
    image_t *image = image_read(dir);
    CHECK_OK(walrus_close(log));
    image_file_t *segment = NULL;
    size_t offset = 0, begins = 0;
    segment = image_find_payload(image, large_size(1, LARGE - 1), large_seed(2 * LARGE - 1), &offset);
    CHECK(segment != NULL);
    size_t end = offset + large_size(1, LARGE - 1);
    CHECK(image_find_payload(image, large_size(1, 1), large_seed(LARGE + 1), &begins) == segment);
    uint64_t counts[3] = {0};
    size_t whole = segment->size;
    for (size_t cut = 300; cut <= end; cut += cut >= end - 211 ? 1 : cut < begins + 64 && cut > begins - 256 ? 1 : 211) {
        segment->size = cut;
        CHECK_NOTE("cut at %zu of %zu", cut, end);
        image_write(image, copy);
        log = open_log(copy, "");
        uint64_t last = check_large(log);
        CHECK(last <= 2 * LARGE);
        counts[last / LARGE]++;
        CHECK_OK(walrus_close(log));
    }
    segment->size = whole;
    printf("      of the cuts, %" PRIu64 " left none, %" PRIu64 " one, %" PRIu64 " both\n", counts[0], counts[1], counts[2]);
    CHECK(counts[0] > 100 && counts[1] > 100 && counts[2] > 0);
    image_free(image);
}
