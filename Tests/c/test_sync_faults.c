/* test_sync_faults.c - a sync that fails: who is told what, and what goes on
 *
 * After a failed sync the page cache may claim to be clean while the disk never got the data. So nothing is acknowledged any
 * more, nothing is tried again, and nobody who waits is left behind.
 */
#include "calls.h"
#include "syncs.h"

enum { PATIENCE_S = 20 };

static uint64_t append_to_os(walrus_t *log, size_t size, uint64_t seed) {
    unsigned char *bytes = payload(size, seed);
    walrus_record_t record = {.data = bytes, .size = size};
    uint64_t index = 0;
    CHECK_OK(walrus_append_record(log, &record, WALRUS_TO_OS, &index));
    free(bytes);
    return index;
}

/* Every function that writes refuses; reads go on up to the durable index. */
static void check_poisoned(walrus_t *log, uint64_t durable, uint64_t last) {
    walrus_record_t record = {.data = "x", .size = 1};
    uint32_t size = 1;
    walrus_txn_t *txn;
    static const uint32_t flags[] = {0, WALRUS_DURABLE, WALRUS_TO_OS, WALRUS_BUFFERED};
    for (int i = 0; i < 4; i++)
        CHECK_CODE(WALRUS_E_POISONED, walrus_append_record(log, &record, flags[i], NULL));
    CHECK_CODE(WALRUS_E_POISONED, walrus_append(log, "x", 1, NULL));
    CHECK_CODE(WALRUS_E_POISONED, walrus_append_batch(log, &record, 1, 0, NULL));
    CHECK_CODE(WALRUS_E_POISONED, walrus_append_packed(log, "x", &size, 1, 0, 0, NULL));
    CHECK_CODE(WALRUS_E_POISONED, walrus_append_async(log, &record, 0, NULL, NULL, NULL));
    CHECK_CODE(WALRUS_E_POISONED, walrus_sync(log));
    CHECK_CODE(WALRUS_E_POISONED, walrus_truncate(log, durable));
    CHECK_CODE(WALRUS_E_POISONED, walrus_truncate_front(log, durable));
    CHECK_CODE(WALRUS_E_POISONED, walrus_reset(log, 1000));
    CHECK_CODE(WALRUS_E_POISONED, walrus_replace_suffix(log, durable, &record, 1, 0));
    CHECK_CODE(WALRUS_E_POISONED, walrus_rotate(log));
    CHECK_CODE(WALRUS_E_POISONED, walrus_meta_set(log, "key", "value", 5));
    CHECK_CODE(WALRUS_E_POISONED, walrus_meta_stage(log, "key", "value", 5));
    CHECK_CODE(WALRUS_E_POISONED, walrus_txn_begin(log, 0, &txn));
    CHECK_U64(durable, walrus_durable_index(log));
    CHECK_U64(last, walrus_last_index(log));
    CHECK_OK(walrus_wait_durable(log, durable, -1));
    walrus_entry_t entry;
    for (uint64_t index = 1; index <= durable; index++)
        check_entry(log, index, 100, index);
    for (uint64_t index = durable + 1; index <= last; index++) {
        CHECK_CODE(WALRUS_E_POISONED, walrus_get(log, index, &entry));
        CHECK_CODE(WALRUS_E_POISONED, walrus_wait_durable(log, index, -1));
        CHECK_CODE(WALRUS_E_POISONED, walrus_wait_durable(log, index, 0));
    }
}

/* Catches: a waiter that hangs or is told OK, a second sync that "succeeds", a log that goes on as if nothing had happened. */
CASE(a_failed_sync_tells_everybody_who_waits_and_poisons_the_log) {
    enum { CROWD = 8 };
    walrus_t *log = open_log(at("log"), "");
    for (uint64_t i = 1; i <= 3; i++)
        append_payload(log, 100, i);
    hold_syncs();
    call_t leader = {.log = log, .kind = CALL_APPEND, .size = 100};
    begin(&leader);
    await_held_sync();
    call_t calls[CROWD];
    memset(calls, 0, sizeof calls);
    for (int i = 0; i < CROWD; i++) {
        int kind = i < 4 ? CALL_APPEND : i == 4 ? CALL_APPEND_BATCH : i == 5 ? CALL_SYNC : i == 6 ? CALL_WAIT_DURABLE : CALL_CURSOR_WAIT;
        calls[i] = (call_t){.log = log, .kind = kind, .index = 4, .size = 100, .timeout_ms = -1};
        begin(&calls[i]);
        CHECK_NOTE("call %d", kind);
        CHECK(still_waits(&calls[i]));
    }
    fail_syncs(1, EIO);
    uint64_t count = count_syncs(), last = walrus_last_index(log);
    let_syncs_go();
    CHECK_CODE(WALRUS_E_IO, result_of(&leader));
    for (int i = 0; i < CROWD; i++) {
        CHECK_NOTE("call %d", calls[i].kind);
        CHECK_CODE(WALRUS_E_POISONED, result_of(&calls[i]));
    }
    CHECK_U64(10, last);
    check_poisoned(log, 3, last);
    int32_t result = walrus_close(log);
    CHECK(result == WALRUS_E_POISONED || result == WALRUS_E_IO);
    CHECK_U64(count, count_syncs()); /* neither a later call nor close has tried again */
    log = open_log(at("log"), "");
    CHECK(walrus_last_index(log) >= 3);
    for (uint64_t i = 1; i <= 3; i++)
        check_entry(log, i, 100, i);
    append_payload(log, 100, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches a next writer that believes the page cache: the mark of a failure has to be there until somebody has looked at the disk, and no
 * longer, since a log without it opens much faster. */
CASE(a_failure_leaves_a_mark_that_the_next_writer_takes_away) {
    const char *directory = at("log");
    char mark[512];
    snprintf(mark, sizeof mark, "%s/walrus.suspect", directory);
    walrus_t *log = open_log(directory, "");
    append_payload(log, 100, 1);
    CHECK(access(mark, F_OK) != 0);
    fail_syncs(1, EIO);
    CHECK_CODE(WALRUS_E_IO, walrus_append(log, "x", 1, NULL));
    CHECK(access(mark, F_OK) == 0);
    CHECK(walrus_close(log) != WALRUS_OK);
    log = open_log(directory, "read_only=true");
    check_entry(log, 1, 100, 1);
    CHECK_OK(walrus_close(log));
    CHECK(access(mark, F_OK) == 0);
    log = open_log(directory, "");
    CHECK(access(mark, F_OK) == 0); /* nothing is settled yet */
    append_payload(log, 100, 2);
    CHECK(access(mark, F_OK) != 0);
    CHECK_OK(walrus_close(log));
}

/* Catches: an error that only one of the system's codes makes, EINTR taken for "try again", and NO_SPACE, which would mean that nothing was
 * appended. */
CASE(whatever_error_a_sync_has_it_is_io_and_final) {
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EINTR, EROFS, EINVAL, EBADF, ENOMEM};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        CHECK_NOTE("%s", strerror(errors[i]));
        walrus_t *log = open_log(at("log%zu", i), "");
        append_payload(log, 100, 1);
        fail_syncs(1, errors[i]);
        uint64_t count = count_syncs();
        CHECK_CODE(WALRUS_E_IO, walrus_append(log, "x", 1, NULL));
        CHECK_U64((uint64_t)errors[i], (uint64_t)last_error().os_errno);
        CHECK(strstr(last_error().path, ".wal") != NULL);
        CHECK_U64(count + 1, count_syncs());
        check_poisoned(log, 1, 2);
        CHECK(walrus_close(log) != WALRUS_OK);
        CHECK_U64(count + 1, count_syncs());
    }
}

/* Catches: a failure that shows only to those who asked for durability. */
CASE(a_failed_walrus_sync_poisons_logs_of_every_policy) {
    static const char *const policies[] = {"sync=interval sync_interval_ms=3600000", "sync=os", "sync=none"};
    for (int i = 0; i < 3; i++) {
        CHECK_NOTE("%s", policies[i]);
        walrus_t *log = open_log(at("log%d", i), policies[i]);
        append_payload(log, 100, 1);
        append_payload(log, 100, 2);
        CHECK_OK(walrus_sync(log));
        append_payload(log, 100, 3);
        fail_syncs(1, EIO);
        CHECK_CODE(WALRUS_E_IO, walrus_sync(log));
        check_poisoned(log, 2, 3);
        CHECK(walrus_close(log) != WALRUS_OK);
    }
}

/* Catches: an error of a sync that the background makes, for somebody who waits, that is swallowed there. */
CASE(a_wait_is_told_of_the_background_sync_that_failed) {
    static const char *const policies[] = {"sync=interval sync_interval_ms=50", "sync=os", "sync=none"};
    for (int i = 0; i < 3; i++) {
        CHECK_NOTE("%s", policies[i]);
        walrus_t *log = open_log(at("log%d", i), policies[i]);
        append_payload(log, 100, 1);
        CHECK_OK(walrus_wait_durable(log, 1, -1));
        int fd = -1;
        CHECK_OK(walrus_notify_fd(log, &fd));
        hold_syncs();
        append_payload(log, 100, 2);
        call_t wait = {.log = log, .kind = CALL_WAIT_DURABLE, .index = 2, .timeout_ms = -1};
        begin(&wait);
        await_held_sync();
        fail_syncs(1, EIO);
        let_syncs_go();
        int32_t result = result_of(&wait);
        CHECK(result == WALRUS_E_IO || result == WALRUS_E_POISONED);
        check_poisoned(log, 1, 2);
        CHECK(walrus_close(log) != WALRUS_OK);
    }
}

/* Catches: a full segment whose failed sync is forgotten because the tail's went well; order: the predecessors first. */
CASE(a_failed_sync_of_a_full_segment_is_none_of_its_successors_luck) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=4KiB");
    append_payload(log, 100, 1);
    CHECK_OK(walrus_sync(log));
    hold_syncs(); /* the background, too, would like to sync full segments */
    for (uint64_t i = 2; i <= 120; i++)
        append_to_os(log, 100, i);
    fail_syncs(1, EIO);
    let_syncs_go();
    int32_t result = walrus_sync(log);
    CHECK(result == WALRUS_E_IO || result == WALRUS_E_POISONED);
    CHECK(walrus_durable_index(log) < 60); /* what lies in the second segment or behind is not durable */
    CHECK_CODE(WALRUS_E_POISONED, walrus_append(log, "x", 1, NULL));
    check_entry(log, 1, 100, 1);
    CHECK(walrus_close(log) != WALRUS_OK);
    log = open_log(at("log"), "");
    check_entry(log, 1, 100, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: a close that reports success although its own sync failed. */
CASE(a_sync_that_fails_in_close_is_closes_result) {
    static const char *const policies[] = {"sync=os", "sync=none", "sync=interval sync_interval_ms=3600000"};
    await_background_of_sanitizers();
    for (int i = 0; i < 3; i++) {
        CHECK_NOTE("%s", policies[i]);
        holdings_t before = count_holdings();
        walrus_t *log = open_log(at("log%d", i), policies[i]);
        append_payload(log, 100, 1);
        fail_syncs(1, EIO);
        int32_t result = walrus_close(log);
        CHECK(result == WALRUS_E_IO || result == WALRUS_E_POISONED);
        fail_syncs(0, 0);
        CHECK_HOLDINGS(before);
        log = open_log(at("log%d", i), "");
        CHECK(walrus_last_index(log) <= 1);
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: threads that hang on a log that was poisoned under them; an acknowledgement after the failure. */
CASE(a_failure_in_the_middle_of_traffic_ends_every_thread_and_loses_nothing_acknowledged) {
    enum { CROWD = 12 };
    for (int round = 0; round < 15; round++) {
        CHECK_NOTE("round %d", round);
        const char *dir = at("log%d", round);
        walrus_t *log = open_log(dir, "segment_size=16KiB");
        uint64_t highest = 0;
        bool has_failed = false;
        for (int wave = 0; wave < 5 + round && !has_failed; wave++) {
            call_t calls[CROWD];
            memset(calls, 0, sizeof calls);
            for (int i = 0; i < CROWD; i++) {
                if (wave == 2 && i == round % CROWD)
                    fail_syncs(1, EIO);
                calls[i] = (call_t){.log = log, .kind = i % 3 ? CALL_APPEND : CALL_APPEND_BATCH, .size = 200};
                CHECK(pthread_create(&calls[i].thread, NULL, make_call, &calls[i]) == 0);
            }
            for (int i = 0; i < CROWD; i++) {
                int32_t result = result_of(&calls[i]);
                CHECK(result == WALRUS_OK || result == WALRUS_E_IO || result == WALRUS_E_POISONED);
                has_failed |= result != WALRUS_OK;
                uint64_t last = calls[i].index + (calls[i].kind == CALL_APPEND_BATCH);
                if (result == WALRUS_OK && last > highest)
                    highest = last;
            }
        }
        CHECK(has_failed);
        CHECK(highest <= walrus_durable_index(log));
        CHECK(walrus_close(log) != WALRUS_OK);
        log = open_log(dir, "");
        CHECK(walrus_last_index(log) >= highest);
        for (uint64_t index = 1; index <= highest; index++)
            check_entry(log, index, 200, 200);
        CHECK_OK(walrus_close(log));
    }
}
