/* test_locks.c - one writer at a time, readers beside it, and what fork does to both
 */
#include "support.h"

#include <pthread.h>
#include <spawn.h>

extern char **environ;

enum { CODE_BASE = 100 }; /* a child's exit status is this minus the code that it got */

static int32_t open_in_child(const char *dir, const char *text) {
    pid_t child = start();
    if (child == 0) {
        walrus_t *log = NULL;
        alarm(20);
        int32_t result = try_open(dir, text, &log);
        if (result == WALRUS_OK)
            result = walrus_close(log);
        _exit(CODE_BASE - result);
    }
    return (int32_t)(CODE_BASE - await(child));
}

/* ---- The lock ------------------------------------------------------------------------------- */

/* Catches: a lock that only keeps other processes out, such as fcntl's. */
CASE(a_log_opens_once_in_a_process) {
    walrus_t *log = open_log(at("log"), ""), *again = NULL;
    CHECK_CODE(WALRUS_E_LOCKED, try_open(at("log"), "", &again));
    CHECK_CODE(WALRUS_E_LOCKED, try_open(at("log"), "create=false", &again));
    CHECK(again == NULL);
    append_payload(log, 10, 1);
    CHECK_CODE(WALRUS_E_LOCKED, try_open(at("log"), "", &again));
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    check_entry(log, 1, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: a table of open logs that compares paths instead of directories. */
CASE(another_spelling_of_the_path_is_the_same_log) {
    walrus_t *log = open_log(at("log"), ""), *again = NULL;
    CHECK(symlink(at("log"), at("link")) == 0);
    CHECK(mkdir(at("other"), 0755) == 0);
    CHECK(chdir(check_directory) == 0);
    const char *spellings[] = {"log",  "./log",  "log/",     "log//",      "other/../log",
                               "link", "link/.", at("link"), at("./log/.")};
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        CHECK_NOTE("%s", spellings[i]);
        CHECK_CODE(WALRUS_E_LOCKED, walrus_open(spellings[i], NULL, &again));
        CHECK_CODE(WALRUS_E_LOCKED, walrus_destroy(spellings[i]));
    }
    CHECK(chdir(at("log")) == 0);
    CHECK_CODE(WALRUS_E_LOCKED, walrus_open(".", NULL, &again));
    CHECK(chdir("/") == 0);
    append_payload(log, 10, 1); /* also when the working directory is another one by now */
    CHECK_OK(walrus_close(log));
    log = open_log(at("link"), "");
    check_entry(log, 1, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: a relative path that is resolved again later, when the working directory has changed. */
CASE(a_log_opened_by_a_relative_path_survives_chdir) {
    CHECK(chdir(check_directory) == 0);
    walrus_t *log = open_log("log", "sync=os segment_size=16KiB cached_segments=1");
    CHECK(chdir("/") == 0);
    for (uint64_t i = 1; i <= 100; i++)
        append_payload(log, 1000, i);
    for (uint64_t i = 1; i <= 100; i++)
        check_entry(log, i, 1000, i);
    CHECK_OK(walrus_truncate(log, 80));
    CHECK_OK(walrus_truncate_front(log, 30));
    append_payload(log, 10, 81);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    CHECK_U64(30, walrus_first_index(log));
    check_entry(log, 81, 10, 81);
    CHECK_OK(walrus_close(log));
}

/* Catches: two logs that are taken for one. */
CASE(two_logs_can_be_open_side_by_side) {
    walrus_t *a = open_log(at("a"), "sync=os"), *b = open_log(at("b"), "sync=os");
    append_payload(a, 10, 1);
    append_payload(b, 20, 2);
    check_entry(a, 1, 10, 1);
    check_entry(b, 1, 20, 2);
    CHECK_OK(walrus_close(a));
    append_payload(b, 20, 3);
    a = open_log(at("a"), "");
    CHECK_OK(walrus_close(b));
    CHECK_OK(walrus_close(a));
}

/* Catches: a lock that other processes do not see, and one that outlives close. */
CASE(a_log_opens_once_among_processes_and_again_after_close) {
    walrus_t *log = open_log(at("log"), "");
    CHECK_CODE(WALRUS_E_LOCKED, open_in_child(at("log"), ""));
    append_payload(log, 10, 1);
    CHECK_CODE(WALRUS_E_LOCKED, open_in_child(at("log"), ""));
    CHECK_OK(walrus_shutdown(log));
    CHECK_CODE(WALRUS_E_LOCKED, open_in_child(at("log"), "")); /* close has still to write */
    CHECK_OK(walrus_close(log));
    CHECK_OK(open_in_child(at("log"), ""));
    log = open_log(at("log"), "");
    CHECK_OK(walrus_close(log));
}

/* Catches: a lock that an open which failed keeps, and one that closing another handle drops. */
CASE(a_failed_open_neither_keeps_nor_drops_the_lock) {
    walrus_t *log = open_log(at("log"), ""), *other = NULL;
    CHECK_CODE(WALRUS_E_LOCKED, try_open(at("log"), "", &other));
    CHECK_CODE(WALRUS_E_LOCKED, open_in_child(at("log"), ""));
    CHECK(try_open(at("log"), "must_be_new=true", &other) < 0);
    CHECK_CODE(WALRUS_E_LOCKED, open_in_child(at("log"), ""));
    other = open_log(at("log"), "read_only=true");
    CHECK_OK(walrus_close(other));
    CHECK_CODE(WALRUS_E_LOCKED, open_in_child(at("log"), "")); /* closing a reader's descriptor */
    CHECK_OK(walrus_close(log));
    CHECK_CODE(WALRUS_E_EXISTS, try_open(at("log"), "must_be_new=true", &other));
    CHECK_OK(open_in_child(at("log"), ""));
}

/* Starts a process that opens the log, appends entry 1, says so, and sleeps. */
static pid_t start_holder(const char *dir, int then) {
    int ready[2];
    CHECK(pipe2(ready, O_CLOEXEC) == 0);
    pid_t holder = start();
    if (holder == 0) {
        walrus_t *log = open_log(dir, "");
        append_payload(log, 10, 1);
        if (then == 1 && fork() == 0) { /* a child that never heard of the log */
            for (;;)
                pause();
        }
        if (then == 2) { /* a program started the way system() and its like do */
            pid_t sleeper;
            char *arguments[] = {"sleep", "1000", NULL};
            CHECK(posix_spawnp(&sleeper, "sleep", NULL, NULL, arguments, environ) == 0);
        }
        CHECK(write(ready[1], "x", 1) == 1);
        for (;;)
            pause();
    }
    char byte;
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    return holder;
}

/* Catches: a lock file whose mere existence is the lock. */
CASE(the_lock_is_gone_when_its_holder_was_killed) {
    pid_t holder = start_holder(at("log"), 0);
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_LOCKED, try_open(at("log"), "", &log));
    CHECK_CODE(WALRUS_E_LOCKED, walrus_destroy(at("log")));
    kill(holder, SIGKILL);
    CHECK_U64(1000 + SIGKILL, await(holder));
    log = open_log(at("log"), "");
    check_entry(log, 1, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: a lock that is shared across fork and so lives as long as the longest child. */
CASE(a_child_that_never_touches_the_log_does_not_keep_its_lock) {
    pid_t holder = start_holder(at("log"), 1);
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_LOCKED, try_open(at("log"), "", &log));
    kill(holder, SIGKILL);
    CHECK_U64(1000 + SIGKILL, await(holder));
    /* Closing the inherited descriptors is the first thing that a forked child does, but it has to get to run. */
    for (int i = 0; i < 100 && try_open(at("log"), "", &log) == WALRUS_E_LOCKED; i++)
        usleep(10000);
    CHECK(log != NULL);
    check_entry(log, 1, 10, 1);
    append_payload(log, 10, 2);
    CHECK_OK(walrus_close(log));
}

/* Catches: a descriptor without O_CLOEXEC. */
CASE(a_program_that_the_holder_started_does_not_keep_the_lock) {
    pid_t holder = start_holder(at("log"), 2);
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_LOCKED, try_open(at("log"), "", &log));
    kill(holder, SIGKILL);
    CHECK_U64(1000 + SIGKILL, await(holder));
    /* The parent of a program goes on before the system has closed the program's descriptors. */
    for (int i = 0; i < 100 && try_open(at("log"), "", &log) == WALRUS_E_LOCKED; i++)
        usleep(10000);
    CHECK(log != NULL);
    check_entry(log, 1, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: descriptors that an exec hands on. */
CASE(every_descriptor_of_an_open_log_is_close_on_exec) {
    bool before[1024];
    for (int fd = 0; fd < 1024; fd++)
        before[fd] = fcntl(fd, F_GETFD) != -1;
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 100; i++)
        append_payload(log, 1000, i);
    check_entry(log, 1, 1000, 1);
    int found = 0;
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags == -1 || before[fd])
            continue;
        found++;
        CHECK_NOTE("descriptor %d", fd);
        CHECK(flags & FD_CLOEXEC);
        CHECK(fd > 2);
    }
    CHECK(found >= 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: two threads that open at once and both get it. */
static void *try_to_open(void *dir) {
    walrus_t *log = NULL;
    int32_t result = try_open(dir, "sync=os", &log);
    CHECK(result == WALRUS_OK || result == WALRUS_E_LOCKED);
    return result == WALRUS_OK ? log : NULL;
}

CASE(of_threads_that_open_the_same_log_at_once_one_gets_it) {
    for (int round = 0; round < 30; round++) {
        pthread_t threads[4];
        walrus_t *got = NULL;
        int winners = 0;
        const char *dir = at("log%d", round / 10);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, try_to_open, (void *)(uintptr_t)dir) == 0);
        for (int i = 0; i < 4; i++) {
            void *log;
            pthread_join(threads[i], &log);
            winners += log != NULL;
            got = log != NULL ? log : got;
        }
        CHECK_U64(1, winners);
        CHECK_OK(walrus_close(got));
    }
}

/* ---- Readers beside a writer ---------------------------------------------------------------- */

static void check_writes_are_refused(walrus_t *log) {
    walrus_record_t record = {.data = "x", .size = 1};
    uint64_t index = 4711, last = walrus_last_index(log);
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_append(log, "x", 1, &index));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_append_record(log, &record, 0, &index));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_append_record(log, &record, WALRUS_BUFFERED, &index));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_append_batch(log, &record, 1, 0, &index));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_truncate(log, last - 1));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_truncate_front(log, last));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_reset(log, 100));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_sync(log));
    CHECK_U64(4711, index);
    CHECK_U64(last, walrus_last_index(log));
}

/* Catches: a reader that needs the lock, that writes, or that stands still. (test_follow has what it follows.) */
CASE(a_read_only_handle_beside_a_writer_follows_it_and_writes_nothing) {
    const char *copies[] = {"read_only=true", "read_only=true zero_copy=off"};
    for (int mode = 0; mode < 2; mode++) {
        const char *dir = at("log%d", mode);
        walrus_t *writer = open_log(dir, "sync=os segment_size=16KiB");
        for (uint64_t i = 1; i <= 50; i++)
            append_payload(writer, 1000, i);
        CHECK_OK(walrus_sync(writer));
        walrus_t *reader = open_log(dir, copies[mode]), *second = open_log(dir, copies[mode]);
        CHECK_U64(1, walrus_first_index(reader));
        CHECK_U64(50, walrus_last_index(reader));
        CHECK_U64(51, walrus_next_index(reader));
        check_writes_are_refused(reader);
        for (uint64_t i = 51; i <= 100; i++)
            append_payload(writer, 1000, i);
        walrus_entry_t entry;
        check_entry(reader, 51, 1000, 51);
        CHECK_U64(100, walrus_last_index(second));
        CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(reader, 101, &entry));
        for (uint64_t i = 1; i <= 100; i++) {
            check_entry(reader, i, 1000, i);
            check_entry(second, i, 1000, i);
        }
        walrus_t *later = open_log(dir, copies[mode]);
        CHECK_U64(100, walrus_last_index(later));
        check_entry(later, 100, 1000, 100);
        CHECK_OK(walrus_close(later));
        CHECK_OK(walrus_close(second));
        CHECK_OK(walrus_close(writer));
        check_entry(reader, 50, 1000, 50);
        writer = open_log(dir, "");
        CHECK_U64(101, append_payload(writer, 10, 101));
        check_entry(reader, 1, 1000, 1);
        check_entry(reader, 101, 10, 101);
        CHECK_OK(walrus_close(reader));
        CHECK_OK(walrus_close(writer));
    }
}

/* Catches: a reader that is given old bytes once the writer has cut the log and appended anew. */
CASE(a_reader_is_never_given_what_the_writer_has_cut_away) {
    walrus_t *writer = open_log(at("log"), "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 60; i++)
        append_payload(writer, 1000, i);
    walrus_t *reader = open_log(at("log"), "read_only=true");
    CHECK_OK(walrus_truncate(writer, 30));
    for (uint64_t i = 31; i <= 90; i++)
        append_payload(writer, 1000, 1000 + i);
    CHECK_OK(walrus_truncate_front(writer, 20));
    for (uint64_t i = 1; i <= 90; i++) {
        walrus_entry_t entry;
        CHECK_NOTE("entry %" PRIu64, i);
        if (i >= 20)
            check_entry(reader, i, 1000, i > 30 ? 1000 + i : i);
        else
            CHECK_CODE(WALRUS_E_COMPACTED, walrus_get(reader, i, &entry));
    }
    CHECK_U64(90, walrus_last_index(reader));
    CHECK_OK(walrus_close(reader));
    CHECK_OK(walrus_close(writer));
}

/* Catches: an open for reading that trips over what the writer is just doing. */
CASE(a_reader_in_another_process_opens_at_any_moment_and_sees_a_prefix) {
    const char *dir = at("log");
    walrus_t *log = open_log(dir, "sync=os segment_size=16KiB");
    append_payload(log, 200, 1);
    pid_t child = start();
    if (child == 0) {
        uint64_t last = 0;
        alarm(60);
        for (int round = 0; round < 150; round++) {
            walrus_t *reader = open_log(dir, "read_only=true");
            CHECK(walrus_last_index(reader) >= last);
            last = walrus_last_index(reader);
            CHECK_U64(1, walrus_first_index(reader));
            for (uint64_t i = last > 200 ? last - 200 : 1; i <= last; i++)
                check_entry(reader, i, 200, i);
            CHECK_OK(walrus_close(reader));
        }
        _exit(last > 1 ? 0 : 3);
    }
    uint64_t next = 2;
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        for (int i = 0; i < 10; i++, next++)
            append_payload(log, 200, next);
        usleep(300);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_OK(walrus_close(log));
}

/* ---- Fork ----------------------------------------------------------------------------------- */

static int32_t visit_nothing(void *ctx, const walrus_entry_t *entry) {
    (void)ctx, (void)entry;
    return 0;
}

static void check_forked(walrus_t *log) {
    walrus_record_t record = {.data = "x", .size = 1};
    walrus_recovery_report_t report;
    walrus_entry_t entry, entries[2];
    uint64_t index = 4711, term = 4711;
    size_t size = 4711, count = 4711;
    char buffer[64];
    memset(&report, 0xA5, sizeof report);
    report.struct_size = sizeof report;
    memset(&entry, 0xA5, sizeof entry);
    CHECK_CODE(WALRUS_E_FORKED, walrus_recovery_report(log, &report));
    CHECK_CODE(WALRUS_E_FORKED, walrus_append(log, "x", 1, &index));
    CHECK_CODE(WALRUS_E_FORKED, walrus_append_record(log, &record, 0, &index));
    CHECK_CODE(WALRUS_E_FORKED, walrus_append_batch(log, &record, 1, WALRUS_DURABLE, &index));
    CHECK_CODE(WALRUS_E_FORKED, walrus_sync(log));
    CHECK_CODE(WALRUS_E_FORKED, walrus_get(log, 1, &entry));
    CHECK(is_zeroed(&entry, sizeof entry));
    CHECK_CODE(WALRUS_E_FORKED, walrus_read(log, 1, buffer, sizeof buffer, &size));
    CHECK_CODE(WALRUS_E_FORKED, walrus_scan(log, 1, 3, visit_nothing, NULL));
    CHECK_CODE(WALRUS_E_FORKED, walrus_get_range(log, 1, 3, 100, entries, 2, &count));
    CHECK_CODE(WALRUS_E_FORKED, walrus_term(log, 1, &term));
    CHECK_CODE(WALRUS_E_FORKED, walrus_truncate(log, 2));
    CHECK_CODE(WALRUS_E_FORKED, walrus_truncate_front(log, 2));
    CHECK_CODE(WALRUS_E_FORKED, walrus_reset(log, 9));
    CHECK_CODE(WALRUS_E_FORKED, walrus_shutdown(log));
    CHECK_U64(0, walrus_first_index(log));
    CHECK_U64(0, walrus_last_index(log));
    CHECK_U64(0, walrus_next_index(log));
    CHECK_U64(0, walrus_durable_index(log));
    CHECK(index == 4711 && term == 4711 && size == 4711 && count == 4711);
    CHECK(is_filled((char *)&report + 4, sizeof report - 4, 0xA5));
    CHECK_CODE(WALRUS_E_FORKED, last_error().code);
}

/* Catches: two processes that append to one file, and a child whose close writes the parent's buffer a second time. */
CASE(a_forked_child_gets_forked_from_everything_and_the_parent_goes_on) {
    const char *texts[] = {"sync=none segment_size=16KiB", "sync=always segment_size=16KiB", "sync=os"};
    for (int mode = 0; mode < 3; mode++) {
        const char *dir = at("log%d", mode);
        walrus_t *log = open_log(dir, texts[mode]);
        walrus_entry_t lent;
        for (uint64_t i = 1; i <= 30; i++)
            append_payload(log, 1000, i);
        append_payload(log, 77, 31); /* with sync=none, still in the buffer */
        CHECK_OK(walrus_get(log, 31, &lent));
        usleep(20000); /* lets the background work come to rest, so that a difference is the child's doing */
        image_t *before = image_read(dir);
        pid_t child = start();
        if (child == 0) {
            alarm(20);
            check_forked(log);
            int32_t closed = walrus_close(log);
            CHECK(closed == WALRUS_OK || closed == WALRUS_E_FORKED);
            walrus_entry_release(&lent);
            CHECK_UNTOUCHED(before, dir);
            walrus_t *own = NULL;
            CHECK_CODE(WALRUS_E_LOCKED, try_open(dir, "", &own));
            own = open_log(at("own%d", mode), "");
            append_payload(own, 10, 1);
            CHECK_OK(walrus_close(own));
            _exit(0);
        }
        CHECK_U64(0, await(child));
        CHECK_UNTOUCHED(before, dir);
        image_free(before);
        CHECK_CODE(WALRUS_E_LOCKED, open_in_child(dir, ""));
        CHECK(is_payload(lent.data, lent.size, 31));
        walrus_entry_release(&lent);
        for (uint64_t i = 32; i <= 60; i++)
            CHECK_U64(i, append_payload(log, 1000, i));
        CHECK_OK(walrus_sync(log));
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "");
        CHECK_U64(60, walrus_last_index(log));
        for (uint64_t i = 1; i <= 60; i++)
            check_entry(log, i, i == 31 ? 77 : 1000, i);
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: a child that cannot close, because the threads it would wait for are the parent's. */
CASE(a_child_that_exits_without_closing_harms_nobody) {
    walrus_t *log = open_log(at("log"), "sync=none");
    for (uint64_t i = 1; i <= 100; i++) {
        append_payload(log, 100, i);
        if (i % 20 == 0) {
            pid_t child = start();
            if (child == 0) {
                if (i % 40 == 0)
                    _exit(0);
                exit(0); /* with exit handlers */
            }
            CHECK_U64(0, await(child));
        }
    }
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    CHECK_U64(100, walrus_last_index(log));
    for (uint64_t i = 1; i <= 100; i++)
        check_entry(log, i, 100, i);
    CHECK_OK(walrus_close(log));
}

/* Catches: a child that inherits "this log is open" and so can never open it itself. */
CASE(a_child_may_open_the_log_anew_once_the_parent_has_closed_it) {
    const char *dir = at("log");
    walrus_t *log = open_log(dir, "");
    append_payload(log, 10, 1);
    int go[2];
    CHECK(pipe2(go, O_CLOEXEC) == 0);
    pid_t child = start();
    if (child == 0) {
        char byte;
        alarm(20);
        CHECK(read(go[0], &byte, 1) == 1);
        walrus_t *own = open_log(dir, "");
        check_entry(own, 1, 10, 1);
        CHECK_U64(2, append_payload(own, 20, 2));
        check_forked(log); /* the inherited handle stays what it is */
        CHECK(walrus_close(log) <= 0);
        CHECK_U64(3, append_payload(own, 20, 3));
        CHECK_OK(walrus_close(own));
        _exit(0);
    }
    CHECK_OK(walrus_close(log));
    CHECK(write(go[1], "x", 1) == 1);
    CHECK_U64(0, await(child));
    log = open_log(dir, "");
    CHECK_U64(3, walrus_last_index(log));
    check_entry(log, 3, 20, 3);
    CHECK_OK(walrus_close(log));
}

static void *append_for_ever(void *ctx) {
    walrus_t *log = ctx;
    unsigned char bytes[100] = {0};
    while (walrus_append(log, bytes, sizeof bytes, NULL) == WALRUS_OK)
        continue;
    return NULL;
}

/* Catches: a lock that some other thread held at the moment of the fork, on which the child then waits for ever. */
CASE(a_fork_in_the_middle_of_other_threads_appends_leaves_a_child_that_can_close) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=64KiB");
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, append_for_ever, log) == 0);
    for (int round = 0; round < 60; round++) {
        pid_t child = start();
        if (child == 0) {
            alarm(10);
            check_forked(log);
            walrus_close(log);
            walrus_t *own = open_log(at("own"), "sync=os");
            append_payload(own, 10, 1);
            CHECK_OK(walrus_close(own));
            _exit(0);
        }
        CHECK_NOTE("round %d", round);
        CHECK_U64(0, await(child));
    }
    CHECK_OK(walrus_shutdown(log));
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_OK(walrus_close(log));
}

/* Catches: a handle generation that only the first fork bumps. */
CASE(a_grandchild_and_a_childs_own_log_follow_the_same_rule) {
    walrus_t *log = open_log(at("log"), "");
    pid_t child = start();
    if (child == 0) {
        alarm(20);
        walrus_t *own = open_log(at("own"), "");
        append_payload(own, 10, 1);
        pid_t grandchild = start();
        if (grandchild == 0) {
            check_forked(log);
            check_forked(own);
            walrus_close(log);
            walrus_close(own);
            _exit(0);
        }
        CHECK_U64(0, await(grandchild));
        append_payload(own, 10, 2);
        CHECK_OK(walrus_close(own));
        _exit(0);
    }
    CHECK_U64(0, await(child));
    append_payload(log, 10, 1);
    CHECK_OK(walrus_close(log));
}
