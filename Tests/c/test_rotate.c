/* test_rotate.c - walrus_rotate and walrus_segments */
#include "support.h"

/* ---- What the log says of its segments ------------------------------------------------------- */

typedef struct seen {
    walrus_segment_info_t info[64];
    char names[64][40];
    size_t count;
    walrus_t *log;
    uint64_t truncate_front; /* in the first visit, where it is not 0 */
    size_t stop_after;
} seen_t;

static int32_t look(void *ctx, const walrus_segment_info_t *segment) {
    seen_t *seen = ctx;
    CHECK_U64(sizeof *segment, segment->struct_size);
    CHECK(seen->count < 64);
    snprintf(seen->names[seen->count], sizeof seen->names[0], "%s", segment->name);
    seen->info[seen->count++] = *segment;
    if (seen->truncate_front != 0)
        CHECK_OK(walrus_truncate_front(seen->log, seen->truncate_front));
    seen->truncate_front = 0;
    return seen->count == seen->stop_after ? 42 : -1;
}

static seen_t see(walrus_t *log) {
    seen_t seen = {.log = log};
    CHECK_OK(walrus_segments(log, look, &seen));
    return seen;
}

static void check_segments(walrus_t *log, const char *dir) {
    seen_t seen = see(log);
    uint64_t next = walrus_first_index(log);
    int64_t highest = INT64_MIN;
    for (size_t i = 0; i < seen.count; i++) {
        const walrus_segment_info_t *info = &seen.info[i];
        CHECK_U64(i + 1 == seen.count, info->is_tail);
        CHECK(i == 0 || info->id > seen.info[i - 1].id);
        if (next != 0)
            CHECK_U64(next, info->first_index);
        CHECK(info->last_index + 1 >= info->first_index);
        next = info->last_index + 1;
        for (uint64_t index = info->first_index; index <= info->last_index; index++) {
            walrus_entry_t entry;
            CHECK_OK(walrus_get(log, index, &entry));
            highest = entry.timestamp_ns > highest ? entry.timestamp_ns : highest;
            walrus_entry_release(&entry);
        }
        CHECK(info->highest_timestamp_ns >= highest);
        if (walrus_first_index(log) == 1)
            CHECK(info->highest_timestamp_ns == highest);
        char path[PATH_MAX];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", dir, seen.names[i]);
        CHECK(stat(path, &status) == 0);
        CHECK_U64((uint64_t)status.st_size, info->file_bytes);
        CHECK(info->bytes > 4096);
        if (!info->is_tail)
            CHECK(info->bytes <= info->file_bytes);
    }
    CHECK_U64(walrus_next_index(log), next == 0 ? walrus_next_index(log) : next);
}

CASE(segments_are_told_as_they_are) {
    const char *dir = at("log");
    walrus_t *log = open_log(dir, "sync=none segment_size=4KiB");
    CHECK_U64(0, see(log).count);
    for (uint64_t i = 1; i <= 300; i++) {
        walrus_record_t record = {.data = "0123456789", .size = 10, .timestamp_ns = (int64_t)(i % 50 * 1000 + i)};
        CHECK_OK(walrus_append_record(log, &record, 0, NULL));
    }
    check_segments(log, dir);
    size_t count = see(log).count;
    CHECK(count > 2);
    CHECK_OK(walrus_truncate(log, 250));
    check_segments(log, dir);
    CHECK_OK(walrus_truncate_front(log, 20));
    check_segments(log, dir);
    append_payload(log, 3, 3);
    check_segments(log, dir);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "sync=none segment_size=4KiB");
    check_segments(log, dir);
    walrus_t *reader = open_log(dir, "read_only=true create=false zero_copy=off");
    check_segments(reader, dir);
    CHECK_OK(walrus_close(reader));
    CHECK_OK(walrus_reset(log, 1000));
    CHECK_U64(0, see(log).count);
    CHECK_OK(walrus_close(log));
}

CASE(a_visitor_stops_the_walk_and_may_truncate) {
    walrus_t *log = open_log(at("log"), "sync=none");
    for (uint64_t i = 1; i <= 6; i++) {
        append_payload(log, 10, i);
        CHECK_OK(walrus_rotate(log));
    }
    seen_t seen = {.log = log, .stop_after = 3};
    CHECK(walrus_segments(log, look, &seen) == 42);
    CHECK_U64(3, seen.count);
    /* The first is shown before it goes; of the others those that went with it are left out. */
    seen = (seen_t){.log = log, .truncate_front = 4};
    CHECK_OK(walrus_segments(log, look, &seen));
    CHECK_U64(5, seen.count);
    CHECK_U64(4, seen.info[1].first_index);
    CHECK_CODE(WALRUS_E_INVALID, walrus_segments(log, NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_segments(NULL, look, &seen));
    CHECK_OK(walrus_shutdown(log));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_segments(log, look, &seen));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_rotate(log));
    CHECK_OK(walrus_close(log));
}

/* ---- Rotation -------------------------------------------------------------------------------- */

CASE(a_segment_that_was_rotated_away_does_not_change) {
    const char *dir = at("log");
    walrus_t *log = open_log(dir, "sync=none");
    CHECK_OK(walrus_rotate(log));
    CHECK_U64(0, see(log).count);
    for (uint64_t i = 1; i <= 20; i++)
        append_payload(log, 100, i);
    CHECK_OK(walrus_rotate(log));
    seen_t seen = see(log);
    CHECK_U64(2, seen.count);
    CHECK_U64(20, seen.info[0].last_index);
    CHECK_U64(21, seen.info[1].first_index);
    CHECK_U64(20, seen.info[1].last_index);
    /* It gave back what was reserved for it. */
    CHECK(seen.info[0].file_bytes < 20000);
    /* Without entries there is nothing to end. */
    CHECK_OK(walrus_rotate(log));
    CHECK_U64(2, see(log).count);
    size_t size, now_size;
    unsigned char *before = read_file(at("log/%s", seen.names[0]), &size);
    for (uint64_t i = 21; i <= 40; i++)
        append_payload(log, 100, i);
    CHECK_OK(walrus_sync(log));
    CHECK_OK(walrus_rotate(log));
    CHECK_OK(walrus_close(log));
    unsigned char *after = read_file(at("log/%s", seen.names[0]), &now_size);
    CHECK_BYTES(before, size, after, now_size);
    free(before);
    free(after);
    log = open_log(dir, "");
    for (uint64_t i = 1; i <= 40; i++)
        check_entry(log, i, 100, i);
    CHECK_OK(walrus_close(log));
}

/* Catches: a clean close that leaves no mark where the last segment is empty, and an open that does not go on in it. */
CASE(a_log_closed_with_an_empty_segment_opens_without_a_scan) {
    const char *dir = at("log"), *modes[] = {"", "zero_copy=off", "sync_padding=4096", "recovery=strict"};
    for (size_t mode = 0; mode < 4; mode++) {
        walrus_t *log = open_log(dir, modes[mode]);
        append_payload(log, 100, mode);
        CHECK_OK(walrus_rotate(log));
        size_t count = see(log).count;
        CHECK_OK(walrus_close(log));
        log = open_log(dir, modes[mode]);
        walrus_recovery_report_t report = {.struct_size = sizeof report};
        CHECK_OK(walrus_recovery_report(log, &report));
        CHECK(report.reason == WALRUS_RECOVERY_CLEAN);
        CHECK_U64(0, report.segments_scanned);
        CHECK_U64(mode + 1, walrus_durable_index(log));
        CHECK_U64(count, see(log).count);
        check_segments(log, dir);
        for (size_t i = 0; i <= mode; i++)
            check_entry(log, i + 1, 100, i);
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: recovery, offset tables and searches that take an empty segment for a damaged one. */
CASE(empty_segments_survive_a_kill_wherever_they_stand) {
    const char *dir = in_memory("log"), *copy = in_memory("copy");
    walrus_t *log = open_log(dir, "sync=none segment_size=4KiB buffer_size=4KiB");
    uint64_t last = 0;
    for (uint64_t round = 1; round <= 12; round++) {
        append_payload(log, 40, ++last);
        CHECK_OK(walrus_rotate(log));
        /* Too large for the segment that was just begun: it stays empty for good. */
        if (round % 3 == 0) {
            CHECK_U64(last + 1, append_payload(log, 9000, last + 1));
            last++;
        }
        if (round % 4 == 0)
            CHECK_OK(walrus_rotate(log));
        check_segments(log, dir);
        CHECK_OK(walrus_sync(log));
        copy_directory(dir, copy);
        const char *modes[] = {"segment_size=4KiB", "segment_size=4KiB zero_copy=off cached_segments=1",
                               "read_only=true create=false"};
        for (size_t mode = 0; mode < 3; mode++) {
            walrus_t *other = open_log(mode == 2 ? dir : copy, modes[mode]);
            CHECK_U64(last, walrus_last_index(other));
            for (uint64_t i = 1; i <= last; i++) {
                walrus_entry_t entry;
                CHECK_OK(walrus_get(other, i, &entry));
                CHECK(is_payload(entry.data, entry.size, i));
                walrus_entry_release(&entry);
            }
            CHECK_OK(walrus_close(other));
        }
    }
    for (uint64_t i = last; i > 2; i -= 3) {
        CHECK_OK(walrus_truncate(log, i));
        CHECK_OK(walrus_rotate(log));
        check_segments(log, dir);
    }
    CHECK_OK(walrus_close(log));
}

/* Catches: space that is claimed after the old segment was ended. */
CASE(without_room_neither_rotation_nor_replacement_does_anything) {
    const char *dir = at("log");
    walrus_t *log = open_log(dir, "preallocate=off segment_size=64KiB");
    for (uint64_t i = 1; i <= 5; i++)
        append_payload(log, 100, i);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit none = {4096, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
    walrus_record_t record = {.data = "new", .size = 3};
    CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK_CODE(WALRUS_E_NO_SPACE, walrus_rotate(log));
        CHECK_CODE(WALRUS_E_NO_SPACE, walrus_replace_suffix(log, 3, &record, 1, 0));
    }
    CHECK(setrlimit(RLIMIT_FSIZE, &all) == 0);
    CHECK_U64(5, walrus_last_index(log));
    CHECK_U64(6, append_payload(log, 100, 6));
    CHECK_U64(1, see(log).count);
    CHECK_OK(walrus_rotate(log));
    CHECK_OK(walrus_replace_suffix(log, 4, &record, 1, 0));
    CHECK_U64(4, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "");
    CHECK_U64(4, walrus_last_index(log));
    check_entry(log, 3, 100, 3);
    check_segments(log, dir);
    CHECK_OK(walrus_close(log));
}
