/* test_full_disk.c - a disk without room costs the append that met it, and nothing else
 *
 * Three kinds of full: a limit on file sizes (RLIMIT_FSIZE), a small tmpfs, and ext4, XFS and btrfs in a file behind a loop
 * device. What is mounted is mounted in a mount namespace of the case's own, and gone with it. No signal is handled
 * or ignored where it is not said: one that came with a full disk would end the case.
 */
#include "../filesystems/mounts.h"
#include "variants.h"

#include <sys/statvfs.h>

enum { SIZE = 1000 };

static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void check_all(walrus_t *log, uint64_t last) {
    uint64_t first = walrus_first_index(log);
    CHECK_U64(last, walrus_last_index(log));
    for (uint64_t i = first; i <= last; i++)
        check_entry(log, i, SIZE, i);
}

static int32_t append_one(walrus_t *log, uint64_t *index) {
    unsigned char *bytes = payload(SIZE, walrus_next_index(log));
    int32_t result = walrus_append(log, bytes, SIZE, index);
    free(bytes);
    return result;
}

/* Appends until there is no room; the last index. With sync=none the log may find out too late, and is poisoned. */
static uint64_t fill_up(walrus_t *log, uint64_t most) {
    uint64_t last = walrus_last_index(log);
    for (uint64_t n = 0;; n++) {
        uint64_t index = 4711;
        int32_t result = append_one(log, &index);
        if (result != WALRUS_OK) {
            CHECK_CODE(WALRUS_E_NO_SPACE, result);
            CHECK_U64(4711, index);
            walrus_error_t error = last_error();
            CHECK(error.os_errno == ENOSPC || error.os_errno == EFBIG || error.os_errno == EDQUOT);
            CHECK(error.message[0] != 0);
            CHECK_U64(last, walrus_last_index(log));
            CHECK_U64(last + 1, walrus_next_index(log));
            return last;
        }
        CHECK_U64(++last, index);
        CHECK(n < most);
    }
}

/* ---- RLIMIT_FSIZE --------------------------------------------------------------------------- */

/* Catches: SIGXFSZ that the library should never cause to end its host silently, a short write that is acknowledged, an
 * index that is used up by an append that failed, and a log that is lost once it met the limit. */
CASE(at_the_file_size_limit_appends_answer_no_space_and_the_log_stays_whole) {
    const char *texts[] = {"sync=os segment_size=1MiB", "sync=os segment_size=1MiB preallocate=off",
                           "segment_size=1MiB preallocate=off", "segment_size=1MiB",
                           "sync=os segment_size=1MiB preallocate=off zero_copy=off sync_padding=4096"};
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *dir = at("log%zu", i), *copy = at("copy%zu", i);
        CHECK_NOTE("%s", texts[i]);
        limit_file_size(RLIM_INFINITY);
        walrus_t *log = open_log(dir, texts[i]);
        for (uint64_t n = 1; n <= 5; n++)
            append_payload(log, SIZE, n);
        CHECK_OK(walrus_close(log));
        limit_file_size(300000); /* room for the metadata file, not for a segment */
        log = open_log(dir, texts[i]);
        uint64_t last = fill_up(log, 100000);
        CHECK_U64(last, fill_up(log, 0)); /* the next one fares the same */
        check_all(log, last);
        CHECK_OK(walrus_sync(log));
        CHECK_U64(last, walrus_durable_index(log));
        limit_file_size(RLIM_INFINITY);
        copy_directory(dir, copy); /* a crash now */
        walrus_t *crashed = open_log(copy, "");
        check_all(crashed, last);
        CHECK_OK(walrus_close(crashed));
        for (uint64_t n = 1; n <= 50; n++) { /* there is room again */
            uint64_t index = 0;
            CHECK_OK(append_one(log, &index));
            CHECK_U64(last + n, index);
        }
        check_all(log, last + 50);
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "");
        check_all(log, last + 50);
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: a batch that is half written when the limit is met. */
CASE(a_batch_that_does_not_fit_leaves_nothing_and_a_smaller_entry_still_goes_in) {
    signal(SIGXFSZ, SIG_IGN);
    const char *dir = at("log");
    walrus_t *log = open_log(dir, "segment_size=1MiB preallocate=off");
    for (uint64_t n = 1; n <= 20; n++)
        append_payload(log, SIZE, n);
    limit_file_size(200000);
    unsigned char *bytes = payload(100000, 1);
    walrus_record_t records[3] = {
        {.data = bytes, .size = 60000}, {.data = bytes, .size = 60000}, {.data = bytes, .size = 100000}};
    uint64_t index = 4711;
    CHECK_CODE(WALRUS_E_NO_SPACE, walrus_append_batch(log, records, 3, WALRUS_DURABLE, &index));
    CHECK_U64(4711, index);
    check_all(log, 20);
    CHECK_OK(append_one(log, &index));
    CHECK_U64(21, index);
    CHECK_CODE(WALRUS_E_NO_SPACE, walrus_append_batch(log, records, 3, 0, &index));
    CHECK_OK(append_one(log, &index));
    CHECK_U64(22, index);
    limit_file_size(RLIM_INFINITY);
    copy_directory(dir, at("copy"));
    walrus_t *crashed = open_log(at("copy"), "");
    check_all(crashed, 22);
    CHECK_OK(walrus_close(crashed));
    CHECK_OK(walrus_append_batch(log, records, 3, 0, &index));
    CHECK_U64(23, index);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "");
    CHECK_U64(25, walrus_last_index(log));
    check_entry(log, 23, 60000, 1);
    check_entry(log, 25, 100000, 1);
    CHECK_OK(walrus_close(log));
    free(bytes);
}

/* Catches: buffered entries that could not be written, and of which nobody is told. */
CASE(buffered_entries_that_meet_the_limit_are_reported_and_never_half_there) {
    signal(SIGXFSZ, SIG_IGN);
    const char *dir = at("log");
    walrus_t *log = open_log(dir, "sync=none buffer_size=64KiB segment_size=1MiB preallocate=off");
    for (uint64_t n = 1; n <= 10; n++)
        append_payload(log, SIZE, n);
    CHECK_OK(walrus_sync(log));
    limit_file_size(200000);
    uint64_t appended = 10;
    int32_t result = WALRUS_OK;
    while (result == WALRUS_OK && appended < 1000) {
        uint64_t index = 0;
        result = append_one(log, &index);
        appended += result == WALRUS_OK;
    }
    CHECK(result == WALRUS_E_NO_SPACE || result == WALRUS_E_POISONED);
    int32_t synced = walrus_sync(log);
    CHECK(synced == WALRUS_OK || synced == WALRUS_E_NO_SPACE || synced == WALRUS_E_POISONED);
    uint64_t durable = walrus_durable_index(log);
    CHECK(durable >= 10 && (synced != WALRUS_OK || durable == walrus_last_index(log)));
    for (uint64_t i = 1; i <= durable; i++)
        check_entry(log, i, SIZE, i);
    CHECK_NOTE("%" PRIu64 " appended, %" PRIu64 " durable, sync: %s", appended, durable, check_code_name(synced));
    int32_t closed = walrus_close(log);
    CHECK(closed == WALRUS_OK || closed == WALRUS_E_NO_SPACE || closed == WALRUS_E_POISONED);
    limit_file_size(RLIM_INFINITY);
    log = open_log(dir, "");
    uint64_t last = walrus_last_index(log);
    CHECK(last >= durable && last <= appended && (closed != WALRUS_OK || synced != WALRUS_OK || last == appended));
    check_all(log, last);
    CHECK_OK(append_one(log, NULL));
    CHECK_OK(walrus_close(log));
}

/* Catches: a creation that fails and leaves a directory that is neither a log nor empty. */
CASE(a_creation_that_meets_the_limit_fails_cleanly_and_works_later) {
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit <= 400000; limit += limit < 10000 ? 1000 : 30000) {
        const char *dir = at("log%d", (int)limit);
        holdings_t before = count_holdings();
        walrus_t *log = NULL;
        limit_file_size(limit);
        int32_t result = try_open(dir, "segment_size=64KiB", &log);
        limit_file_size(RLIM_INFINITY);
        CHECK_NOTE("limit %d: %s", (int)limit, check_code_name(result));
        if (result == WALRUS_OK)
            CHECK_OK(walrus_close(log));
        else {
            CHECK_CODE(WALRUS_E_NO_SPACE, result);
            CHECK(log == NULL);
        }
        CHECK_HOLDINGS(before);
        log = open_log(dir, "segment_size=64KiB");
        CHECK_U64(1, append_payload(log, SIZE, 1));
        CHECK_OK(walrus_close(log));
    }
}

/* ---- A small filesystem --------------------------------------------------------------------- */

static const char *mount_small(const char *size) {
    const char *dir = at("disk");
    char options[64];
    snprintf(options, sizeof options, "size=%s", size);
    CHECK(mkdir(dir, 0755) == 0);
    enter_namespace();
    if (mount("none", dir, "tmpfs", 0, options) != 0)
        SKIP("no tmpfs can be mounted here: %s", strerror(errno));
    return dir;
}

static void unmount_small(void) {
    if (umount(at("disk")) != 0)
        CHECK(umount2(at("disk"), MNT_DETACH) == 0);
}

static uint64_t free_bytes(const char *dir) {
    struct statvfs status;
    CHECK(statvfs(dir, &status) == 0);
    return (uint64_t)status.f_bavail * status.f_bsize;
}

/* Uses up all room but `leave` bytes. */
static void write_ballast(uint64_t leave) {
    int fd = open(at("disk/ballast"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char block[4096];
    CHECK(fd >= 0);
    memset(block, 'b', sizeof block);
    while (free_bytes(at("disk")) > leave && write(fd, block, sizeof block) > 0)
        continue;
    close(fd);
}

/* Appends until it works again: what a truncation drops is removed in the background. */
static void append_with_patience(walrus_t *log) {
    int32_t result = WALRUS_E_NO_SPACE;
    for (int wait = 0; wait < 400 && result == WALRUS_E_NO_SPACE; wait++) {
        result = append_one(log, NULL);
        if (result == WALRUS_E_NO_SPACE)
            usleep(5000);
    }
    CHECK_OK(result);
}

/* Catches: an acknowledgement that the disk had no room for, and a log that cannot be truncated where it is needed
 * most: on a full disk. */
CASE(on_a_full_disk_the_log_reads_truncates_and_goes_on_once_there_is_room) {
    mount_small("3m");
    const char *texts[] = {"sync=os segment_size=256KiB", "segment_size=256KiB preallocate=off", "segment_size=64KiB"};
    for (int i = 0; i < 3; i++) {
        const char *dir = at("disk/log%d", i);
        CHECK_NOTE("%s", texts[i]);
        walrus_t *log = open_log(dir, texts[i]);
        uint64_t last = fill_up(log, 5000);
        CHECK(last > 1000);
        check_all(log, last);
        write_ballast(0);
        last = fill_up(log, 5000) - 3;
        uint64_t first = last / 2;
        CHECK_OK(walrus_truncate(log, last)); /* on the full disk */
        CHECK_U64(last, walrus_last_index(log));
        CHECK_OK(walrus_truncate_front(log, first));
        CHECK_U64(first, walrus_first_index(log));
        check_all(log, last);
        append_with_patience(log);
        for (int n = 2; n <= 20; n++)
            append_with_patience(log);
        check_all(log, last + 20);
        CHECK_OK(walrus_close(log));
        log = open_log(dir, texts[i]);
        CHECK_U64(first, walrus_first_index(log));
        check_all(log, last + 20);
        CHECK_OK(walrus_close(log));
        CHECK_OK(walrus_destroy(dir));
        CHECK(unlink(at("disk/ballast")) == 0);
    }
    unmount_small();
}

/* Catches: an open that needs room, so that a full disk cannot be helped (dqlite#309). */
CASE(a_log_opens_on_a_full_disk_after_a_close_and_after_a_kill) {
    mount_small("4m");
    for (int killed = 0; killed < 2; killed++) {
        const char *dir = at("disk/log%d", killed);
        pid_t child = start();
        if (child == 0) {
            walrus_t *log = open_log(dir, "segment_size=256KiB");
            for (uint64_t i = 1; i <= 1000; i++)
                append_payload(log, SIZE, i);
            if (killed)
                raise(SIGKILL);
            CHECK_OK(walrus_close(log));
            _exit(0);
        }
        CHECK_U64(killed ? 1000 + SIGKILL : 0, await(child));
        write_ballast(0);
        CHECK_NOTE("%s, %" PRIu64 " bytes free", killed ? "killed" : "closed", free_bytes(at("disk")));
        CHECK(free_bytes(at("disk")) < 8192);
        walrus_t *log = open_log(dir, "read_only=true");
        check_all(log, 1000);
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "segment_size=256KiB");
        check_all(log, 1000);
        CHECK_OK(walrus_truncate_front(log, 900));
        for (int n = 0; n < 20; n++)
            append_with_patience(log);
        check_all(log, 1020);
        CHECK_U64(900, walrus_first_index(log));
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "segment_size=256KiB");
        CHECK_U64(900, walrus_first_index(log));
        check_all(log, 1020);
        CHECK_OK(walrus_close(log));
        CHECK_OK(walrus_destroy(dir));
        CHECK(unlink(at("disk/ballast")) == 0);
    }
    unmount_small();
}

/* Catches: acknowledgements that a kill on the full disk takes back, and a reset that needs room. */
CASE(a_kill_on_a_full_disk_loses_nothing_that_was_acknowledged) {
    mount_small("2m");
    const char *dir = at("disk/log");
    uint64_t acknowledged = 0;
    for (int round = 0; round < 8; round++) {
        int journal[2];
        CHECK(pipe2(journal, O_CLOEXEC) == 0);
        pid_t child = start();
        if (child == 0) {
            walrus_t *log = open_log(dir, "segment_size=64KiB");
            uint64_t last = fill_up(log, 5000);
            if (write(journal[1], &last, sizeof last) != sizeof last)
                _exit(5);
            for (;;)
                (void)!append_one(log, NULL);
        }
        close(journal[1]);
        CHECK(read(journal[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged);
        close(journal[0]);
        usleep(2000);
        kill(child, SIGKILL);
        CHECK_U64(1000 + SIGKILL, await(child));
        CHECK_NOTE("round %d, %" PRIu64 " acknowledged", round, acknowledged);
        walrus_t *log = open_log(dir, "segment_size=64KiB");
        CHECK(walrus_last_index(log) >= acknowledged);
        check_all(log, walrus_last_index(log));
        if (round == 7)
            CHECK_OK(walrus_reset(log, 1));
        else
            CHECK_OK(walrus_truncate_front(log, acknowledged - 100));
        for (int wait = 0; wait < 400 && free_bytes(at("disk")) < 500000; wait++)
            usleep(5000);
        CHECK(free_bytes(at("disk")) >= 500000);
        if (round == 7)
            CHECK_U64(1, append_payload(log, SIZE, 1));
        CHECK_OK(walrus_close(log));
    }
    unmount_small();
}

/* Catches: a creation on a full disk that leaves something behind which then counts as foreign. */
CASE(a_creation_on_a_full_disk_answers_no_space_and_works_later) {
    mount_small("1m");
    for (uint64_t leave = 0; leave <= 400000; leave += 20000) {
        const char *dir = at("disk/log");
        unlink(at("disk/ballast"));
        write_ballast(leave);
        walrus_t *log = NULL;
        int32_t result = try_open(dir, "segment_size=64KiB", &log);
        CHECK_NOTE("%" PRIu64 " bytes free: %s", leave, check_code_name(result));
        if (result == WALRUS_OK)
            CHECK_OK(walrus_close(log));
        else
            CHECK_CODE(WALRUS_E_NO_SPACE, result);
        CHECK(unlink(at("disk/ballast")) == 0);
        log = open_log(dir, "segment_size=64KiB");
        append_payload(log, SIZE, 1);
        CHECK_OK(walrus_close(log));
        CHECK_OK(walrus_destroy(dir));
    }
    unmount_small();
}

/* Catches: a footer or side file that is written beyond the limit, whose signal then kills a host that does not expect it. */
CASE(a_file_size_limit_between_a_segments_end_and_its_footer_kills_nobody) {
    signal(SIGXFSZ, SIG_DFL);
    walrus_t *log = open_log(at("log"), "sync=os segment_size=64KiB preallocate=false");
    limit_file_size(64 * 1024 + 4096);
    uint64_t last = 0;
    for (int i = 0; i < 3000; i++)
        CHECK_OK(walrus_append(log, "small", 5, &last));
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    CHECK_U64(3000, walrus_last_index(log));
    for (uint64_t i = 1; i <= last; i += 7) {
        walrus_entry_t entry;
        CHECK_OK(walrus_get(log, i, &entry));
        walrus_entry_release(&entry);
    }
    CHECK_OK(walrus_close(log));
}

/* ---- Each level, format and file system ----------------------------------------------------- */

static const char *const levels[] = {"always", "interval", "os", "none"};
enum { LEVELS = sizeof levels / sizeof levels[0], VOTE = 3000 };

static void cast_vote(walrus_t *log, uint64_t seed) {
    unsigned char *vote = payload(VOTE, seed);
    CHECK_OK(walrus_meta_set(log, "vote", vote, VOTE));
    free(vote);
}

static void check_vote(walrus_t *log, uint64_t seed) {
    unsigned char vote[VOTE];
    size_t size = 0;
    CHECK_OK(walrus_meta_get(log, "vote", vote, sizeof vote, &size));
    CHECK(size == VOTE && is_payload(vote, VOTE, seed));
}

/* Appends entries, and batches of three now and then, until there is no room; all that was counted is what was acknowledged. */
static void fill_and_count(walrus_t *log) {
    uint64_t calls = 0, entries = 0, begin = walrus_next_index(log);
    int32_t result = WALRUS_OK;
    while (result == WALRUS_OK) {
        CHECK(entries < 20000);
        uint64_t next = walrus_next_index(log), index = 4711;
        size_t count = next % 11 == 5 ? 3 : 1;
        walrus_record_t records[3] = {0};
        for (size_t i = 0; i < count; i++)
            records[i] = (walrus_record_t){.data = payload(SIZE, next + i), .size = SIZE};
        result = count == 1 ? walrus_append(log, records[0].data, SIZE, &index) : walrus_append_batch(log, records, count, 0, &index);
        for (size_t i = 0; i < count; i++)
            free((void *)(uintptr_t)records[i].data);
        CHECK_U64(result == WALRUS_OK ? next : 4711, index);
        calls += result == WALRUS_OK;
        entries += result == WALRUS_OK ? count : 0;
    }
    CHECK_CODE(WALRUS_E_NO_SPACE, result);
    CHECK_U64(begin + entries, walrus_next_index(log));
    walrus_stats_t stats = {.struct_size = sizeof stats};
    CHECK_OK(walrus_stats(log, &stats));
    CHECK_U64(0, stats.is_poisoned);
    CHECK_U64(calls, stats.appends);
    CHECK_U64(entries, stats.entries_appended);
    CHECK_U64(entries * SIZE, stats.bytes_appended);
    CHECK_U64(begin + entries - 1, stats.last_index);
    CHECK(stats.durable_index <= stats.last_index);
}

/* What a log must do on a disk that is full, and once it no longer is. `make_room` is called in between. */
static void live_through_it(const char *dir, const char *text, bool truncation_helps, void (*fill_disk)(void), void (*make_room)(void)) {
    CHECK_NOTE("%s", text);
    walrus_t *log = open_log(dir, text);
    for (uint64_t i = 1; i <= 300; i++)
        append_payload(log, SIZE, i);
    cast_vote(log, 1);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, text);
    fill_disk();
    fill_and_count(log);
    uint64_t last = walrus_last_index(log);
    CHECK(last >= 300);
    check_all(log, last);
    cast_vote(log, 2);
    check_vote(log, 2);
    CHECK_OK(walrus_sync(log)); /* room for all that was taken had been claimed */
    CHECK_U64(last, walrus_durable_index(log));
    check_all(log, last);
    CHECK_OK(walrus_close(log));

    log = open_log(dir, text); /* on the full disk */
    check_all(log, last);
    check_vote(log, 2);
    CHECK_OK(walrus_truncate(log, last -= 3));
    check_all(log, last);
    cast_vote(log, 3);
    uint64_t first = last - 50;
    CHECK_OK(walrus_truncate_front(log, first));
    CHECK_U64(first, walrus_first_index(log));
    check_all(log, last);
    if (truncation_helps) { /* what it dropped is room */
        append_with_patience(log);
        last++;
    }
    check_all(log, last);
    CHECK_OK(walrus_close(log));

    log = open_log(dir, text);
    CHECK_U64(first, walrus_first_index(log));
    check_all(log, last);
    make_room();
    for (int i = 0; i < 400; i++) /* over more than one segment */
        append_with_patience(log);
    check_all(log, last += 400);
    check_vote(log, 3);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "");
    CHECK_U64(first, walrus_first_index(log));
    check_all(log, last);
    check_vote(log, 3);
    CHECK_OK(walrus_close(log));
    CHECK_OK(walrus_destroy(dir));
}

static void fill_tmpfs(void) { write_ballast(300000); }
static void remove_ballast(void) { CHECK(unlink(at("disk/ballast")) == 0); }

/* Catches: a format or a level that finds out too late that there is no room, entries that are counted but not there, a last sync for which there
 * is no room, a vote that cannot be cast. */
VARIANT_CASES(at_each_level_a_log_lives_through_a_full_disk) {
    mount_small("4m");
    for (int i = 0; i < LEVELS * 2; i++) {
        char text[300];
        snprintf(text, sizeof text, "sync=%s %s segment_size=64KiB buffer_size=16KiB preallocate=%s", levels[i / 2], variant, i % 2 ? "on" : "off");
        live_through_it(at("disk/log"), text, true, fill_tmpfs, remove_ballast);
    }
    unmount_small();
}

static void limit_files(void) { limit_file_size(180000); }
static void lift_limit(void) { limit_file_size(RLIM_INFINITY); }

/* Catches: the same at a limit, where segments that are not that long are no trouble; and a SIGXFSZ, which nobody ignores here. */
VARIANT_CASES(at_each_level_a_log_lives_through_a_file_size_limit) {
    for (int i = 0; i < LEVELS * 2; i++) {
        char text[300];
        snprintf(text, sizeof text, "sync=%s %s segment_size=512KiB buffer_size=16KiB preallocate=%s", levels[i / 2], variant, i % 2 ? "on" : "off");
        live_through_it(in_memory("log"), text, false, limit_files, lift_limit);
    }
}

static uint64_t room_left;

/* By reserving what can be had in ever smaller pieces, which writes nothing. */
static void reserve_ballast(void) {
    int fd = open(at("disk/ballast"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    off_t size = 0;
    for (off_t piece = 64 << 20; piece >= 4096;) {
        if (free_bytes(at("disk")) > room_left + (uint64_t)piece && posix_fallocate(fd, size, piece) == 0)
            size += piece;
        else
            piece /= 2;
    }
    CHECK(fsync(fd) == 0);
    close(fd);
}

/* btrfs copies each block that is written again, so that nothing that the log could claim is sure: a write may fail, which poisons
 * the log, and so may the update of the slots. What was durable is there all the same, and there is a way on. */
static void survive_it(const char *dir, const char *text, void (*fill_disk)(void), void (*make_room)(void)) {
    CHECK_NOTE("%s", text);
    walrus_t *log = open_log(dir, text);
    for (uint64_t i = 1; i <= 300; i++)
        append_payload(log, SIZE, i);
    cast_vote(log, 1);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, text);
    fill_disk();
    uint64_t appended = 300;
    int32_t result;
    while ((result = append_one(log, NULL)) == WALRUS_OK)
        CHECK(++appended < 20000);
    CHECK(result == WALRUS_E_NO_SPACE || ((result == WALRUS_E_IO || result == WALRUS_E_POISONED) && last_error().os_errno != EIO));
    uint64_t durable = walrus_durable_index(log);
    CHECK(durable <= appended && (durable == appended || strncmp(text, "sync=always", 11) != 0));
    for (uint64_t i = 1; i <= durable; i++)
        check_entry(log, i, SIZE, i);
    result = walrus_close(log);
    CHECK(result == WALRUS_OK || result == WALRUS_E_NO_SPACE || result == WALRUS_E_IO || result == WALRUS_E_POISONED);
    if (result == WALRUS_OK)
        durable = appended;
    const char *ways[] = {"read_only=true", "", text};
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            make_room();
        log = open_log(dir, ways[i]);
        CHECK(walrus_last_index(log) >= durable && walrus_last_index(log) <= appended + 1);
        check_all(log, walrus_last_index(log));
        check_vote(log, 1);
        if (i < 2)
            walrus_close(log);
    }
    for (int i = 0; i < 400; i++)
        append_with_patience(log);
    uint64_t last = walrus_last_index(log);
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "");
    check_all(log, last);
    CHECK_OK(walrus_close(log));
    CHECK_OK(walrus_destroy(dir));
}

static void live_on(const char *kind) {
    enter_namespace();
    const char *image = in_memory("image");
    int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 320 << 20) == 0);
    close(fd);
    make_file_system(kind, image, at("disk"));
    mount_disk();
    for (int i = 0; i < LEVELS * 2; i++) {
        char text[300];
        snprintf(text, sizeof text, "sync=%s %s segment_size=64KiB buffer_size=16KiB preallocate=%s", levels[i / 2], variants[i % VARIANTS],
                 i % 2 ? "on" : "off");
        room_left = 1 << 20;
        if (strcmp(kind, "btrfs") == 0)
            survive_it(at("disk/log"), text, reserve_ballast, remove_ballast);
        else
            live_through_it(at("disk/log"), text, false, reserve_ballast, remove_ballast);
    }
    unmount_disk();
}

/* Catches: room that a file system promises and does not have: with delayed allocation, for its own blocks, for copies on write. */
CASE(a_log_lives_through_a_full_ext4) { live_on("ext4"); }
CASE(a_log_lives_through_a_full_xfs) { live_on("xfs"); }
CASE(a_log_survives_a_full_btrfs) { live_on("btrfs"); }

/* ---- Metadata ------------------------------------------------------------------------------- */

static void check_value(walrus_t *log, const char *key, size_t size, uint64_t seed) {
    unsigned char *bytes = payload(65536, 0);
    size_t got = 0;
    CHECK_OK(walrus_meta_get(log, key, bytes, 65536, &got));
    CHECK_U64(size, got);
    CHECK(is_payload(bytes, size, seed));
    free(bytes);
}

/* Catches: a vote that cannot be cast on a full disk, a value that does not fit and costs the old one or the log, and a truncation
 * that needs room for what rode on the entries. */
CASE(on_a_full_disk_values_that_do_not_grow_are_set_and_what_rode_survives_truncations) {
    mount_small("2m");
    const char *texts[] = {"segment_size=64KiB", "segment_size=64KiB sync=os preallocate=off"};
    unsigned char *bytes = payload(20000, 1), *others = payload(20000, 2);
    for (int i = 0; i < 2; i++) {
        const char *dir = at("disk/log%d", i);
        CHECK_NOTE("%s", texts[i]);
        walrus_t *log = open_log(dir, texts[i]);
        CHECK_OK(walrus_meta_set(log, "vote", bytes, 6000));
        uint64_t last = fill_up(log, 5000);
        CHECK_OK(walrus_sync(log));
        write_ballast(0);
        last = fill_up(log, 5000);
        for (int n = 0; n < 20; n++) {
            CHECK_OK(walrus_meta_set(log, "vote", n % 2 ? bytes : others, 6000));
            check_value(log, "vote", 6000, n % 2 ? 1 : 2);
        }
        CHECK_CODE(WALRUS_E_NO_SPACE, walrus_meta_set(log, "vote", others, 20000));
        CHECK_CODE(WALRUS_E_NO_SPACE, walrus_meta_stage(log, "position", others, 20000));
        check_value(log, "vote", 6000, 1);
        CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_meta_get(log, "position", NULL, 0, NULL));
        CHECK_OK(walrus_meta_stage(log, "position", "some", 4));
        CHECK_CODE(WALRUS_E_NO_SPACE, append_one(log, NULL)); /* what is staged waits for one that succeeds */
        CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_meta_get(log, "position", NULL, 0, NULL));
        CHECK_OK(walrus_truncate_front(log, last - 10));
        append_with_patience(log);
        CHECK_U64(last + 1, walrus_last_index(log));
        write_ballast(0);
        CHECK_OK(walrus_truncate(log, last)); /* drops what it rode on */
        check_all(log, last);
        CHECK_OK(walrus_close(log));
        log = open_log(dir, texts[i]);
        size_t size = 0;
        char buffer[8];
        CHECK_OK(walrus_meta_get(log, "position", buffer, sizeof buffer, &size));
        CHECK_BYTES("some", 4, buffer, size);
        check_value(log, "vote", 6000, 1);
        CHECK(unlink(at("disk/ballast")) == 0);
        CHECK_OK(walrus_meta_set(log, "vote", others, 20000)); /* there is room again */
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "read_only=true");
        check_value(log, "vote", 20000, 2);
        check_all(log, last);
        CHECK_OK(walrus_close(log));
        CHECK_OK(walrus_destroy(dir));
    }
    unmount_small();
    free(bytes);
    free(others);
}

/* Catches: a signal for an update that the limit does not allow, and a log that is poisoned by it. */
CASE(at_the_file_size_limit_metadata_answers_no_space_and_kills_nobody) {
    signal(SIGXFSZ, SIG_DFL);
    walrus_t *log = open_log(at("log"), "segment_size=64KiB preallocate=false");
    CHECK_OK(walrus_meta_set(log, "a", "before", 6));
    append_payload(log, SIZE, 1);
    static const rlim_t limits[] = {0, 4096, 131072, 131072 + 256};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        limit_file_size(limits[i]);
        CHECK_CODE(WALRUS_E_NO_SPACE, walrus_meta_set(log, "a", "after", 5));
        CHECK_CODE(WALRUS_E_NO_SPACE, walrus_meta_stage(log, "a", "after", 5));
        if (limits[i] <= 131072)
            CHECK_CODE(WALRUS_E_NO_SPACE, walrus_meta_delete(log, "a"));
    }
    limit_file_size(RLIM_INFINITY);
    CHECK_OK(walrus_meta_set(log, "b", "after", 5));
    append_payload(log, SIZE, 2);
    CHECK_OK(walrus_close(log));
}
