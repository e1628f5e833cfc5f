/* test_filesystems.c - after a power cut, and on a disk that fails, ext4, XFS and btrfs keep what the log had promised
 *
 * A script of calls (../crash/script.h) runs on a log in a real file system on a recording disk (disk.h). Each call is noted, outside of that
 * disk, with the number of block operations that were recorded when it began and when it had returned. Then the disk becomes what a
 * power cut could have left at some moment, the kernel mounts it, which recovers the file system, and the library opens the log: it
 * must hold what had been promised by then (../crash/course.h), and go on from there. Some of these states are where the next script begins.
 *
 * WALRUS_SEED, WALRUS_STATES and WALRUS_SECONDS (of all file systems together, or of the one that is looked at where WALRUS_FILE_SYSTEM is 1)
 * say how far it goes.
 */
#include "disk.h"
#include "mounts.h"

#include "../crash/script.h"

#include <sys/syscall.h>

enum { MOMENTS = 160, DEPTH = 3 };

/* ---- A disk that lies ----------------------------------------------------------------------- */

static bool syncs_lie, lie_is_expected;

/* These stand before libc's for the library, too. */
int fdatasync(int fd) { return syncs_lie ? 0 : (int)syscall(SYS_fdatasync, fd); }
int fsync(int fd) { return syncs_lie ? 0 : (int)syscall(SYS_fsync, fd); }

/* A recording disk with an empty file system of that kind, which ORDER_FRESH brings back; not mounted. */
static void make_disk(const char *kind) {
    enter_namespace();
    if (access("/dev/fuse", R_OK | W_OK) != 0)
        SKIP("there is no FUSE here: %s", strerror(errno));
    start_disk(at("fuse"));
    make_file_system(kind, at("fuse/disk"), at("mount"));
    give_order((order_t){.kind = ORDER_KEEP_FRESH});
}

/* ---- The journal ---------------------------------------------------------------------------- */

/* What a crash may leave while a call is under way, which it is from operation `start` to operation `end`, and afterwards. */
typedef struct moment {
    uint64_t start, end;
    char text[100];
    int during_count;
    line_t during[2], after;
} moment_t;

/* In memory that outlives the process which ran the script. */
typedef struct journal {
    char text[300];        /* the log's options                                                                             */
    uint32_t policy;       /* and what they say of its appends                                                              */
    uint64_t created;      /* with this many operations the log had been created                                            */
    uint64_t entries;
    int count;
    moment_t moments[MOMENTS];
    line_t found;          /* by the last check                                                                             */
    /* Of a disk that failed. */
    char failed_step[100];
    int32_t code;          /* what the first call that failed answered, or WALRUS_OK                                        */
    bool was_poisoned;
    bool was_opened;       /* at once, and read                                                                             */
    bool went_on;          /* something was durable afterwards                                                              */
    int line_count;
    line_t lines[2];       /* where the log may be                                                                          */
} journal_t;

static journal_t *journal;

/* Named by reports: with it as WALRUS_SEED, the script that failed is the first to be run. */
static uint64_t root_seed;

static struct {
    uint64_t workloads, operations, flushes, entries, states, at_acknowledgements, second_crashes;
} counts;

static void make_journal(void) {
    journal = mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(journal != MAP_FAILED);
}

static moment_t *add_moment(uint64_t start, const char *text) {
    if (journal->count == MOMENTS)
        FAIL("too many moments");
    moment_t *moment = &journal->moments[journal->count++];
    moment->start = start;
    moment->end = UINT64_MAX; /* until it is over */
    moment->during_count = 0;
    snprintf(moment->text, sizeof moment->text, "%s", text);
    return moment;
}

/* ---- Running a script ----------------------------------------------------------------------- */

/* What the log says of itself is what was promised, or more: that is a promise, too. */
static void look(session_t *session) {
    line_t *line = &session->lines[0];
    CHECK_U64(line_next(line), walrus_next_index(session->log));
    CHECK_U64(line->count ? line->first : 0, walrus_first_index(session->log));
    uint64_t durable = at_most(walrus_durable_index(session->log), line_next(line) - 1);
    if (durable <= line->durable)
        return;
    line_promise(line, durable);
    moment_t *moment = add_moment(operations_now(), "a look at the durable index");
    moment->during[moment->during_count++] = *line;
    moment->after = *line;
    moment->end = moment->start;
}

/* WALRUS_OK, or what an I/O error made of the call: then lines[0] is the log without it, and lines[1] with it. */
static int32_t make_step(session_t *session, const step_t *step) {
    char text[100];
    describe(text, sizeof text, step);
    CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", %s: %s", root_seed, session->text, text);
    line_t *line = &session->lines[0], *changed = &session->lines[1];
    *changed = *line;
    change_line(session, changed, step);
    moment_t *moment = add_moment(operations_now(), text);
    moment->during[moment->during_count++] = *line;
    moment->during[moment->during_count++] = *changed;
    uint64_t index = 0;
    int accepted = 0;
    int32_t result = call_step(session, step, &index, &accepted);
    uint64_t end = operations_now();
    if (step->kind == STEP_DELETE && result == WALRUS_E_NOT_FOUND) {
        journal->count--;
        return WALRUS_OK;
    }
    if (result != WALRUS_OK) {
        snprintf(journal->failed_step, sizeof journal->failed_step, "%s", text);
        return result;
    }
    if (appends(step))
        CHECK_U64(line_next(line), index);
    *line = *changed;
    promise_line(session, line, step);
    moment->after = *line;
    moment->end = end;
    forget_staged(session, step);
    journal->entries += (uint64_t)step->count;
    if (session->log != NULL)
        look(session);
    return WALRUS_OK;
}

/* Some steps; the first code that is not WALRUS_OK. */
static int32_t run_steps(session_t *session, int steps) {
    int32_t result = WALRUS_OK;
    for (int i = 0; i < steps && result == WALRUS_OK; i++) {
        step_t step = choose_step(session);
        result = make_step(session, &step);
        if (result == WALRUS_OK && session->log == NULL)
            result = make_step(session, &(step_t){.kind = STEP_OPEN});
        else if (below(&session->chance, 6) == 0)
            usleep((useconds_t)below(&session->chance, 1500)); /* the background gets on */
    }
    return result;
}

static int steps_of(uint64_t seed) { return 12 + (int)(seed % 5) * 8; }

static void begin_session(session_t *session, uint64_t seed) {
    static char place[1200];
    snprintf(place, sizeof place, "%s/log", mounted.place);
    variant = variants[below(&(random_source_t){seed}, VARIANTS)];
    session_begin(session, place, variant, seed);
}

/* In a process of its own, which the power cut ends. `from`: what the log of the script before holds, or NULL: there is none yet. */
static void run_script(uint64_t seed, const line_t *from) {
    static session_t session;
    begin_session(&session, seed);
    journal->count = 0;
    journal->created = UINT64_MAX;
    if (from != NULL) { /* all of it is on the disk */
        session.lines[0] = *from;
        line_promise(&session.lines[0], line_next(from) - 1);
        session.term = 1000;
        snprintf(session.text, sizeof session.text, "%s", journal->text);
        session.policy = journal->policy;
        journal->created = 0;
    }
    snprintf(journal->text, sizeof journal->text, "%s", session.text);
    journal->policy = session.policy;
    CHECK_OK(make_step(&session, &(step_t){.kind = STEP_OPEN}));
    if (from == NULL)
        journal->created = operations_now();
    syncs_lie = lie_is_expected; /* of an empty log that is lost it would be too easy to find out */
    CHECK_OK(run_steps(&session, from != NULL ? steps_of(seed) / 2 : steps_of(seed)));
    _exit(check_shared->failures ? 1 : 0); /* the log stays open: the power goes */
}

/* ---- Checking a state ----------------------------------------------------------------------- */

static const moment_t *moment_at(uint64_t operations) {
    int at = 0;
    while (at + 1 < journal->count && journal->moments[at + 1].start <= operations)
        at++;
    return &journal->moments[at];
}

static void report(uint64_t point, const char *what) {
    if (lie_is_expected)
        _exit(1);
    const moment_t *moment = moment_at(point);
    FAIL("%s, after %" PRIu64 " block operations, %s %s\n    options: %s\n    %s", what, point, point >= moment->end ? "after" : "in",
         moment->text, journal->text, difference);
}

static walrus_t *open_found(const char *dir, bool must_exist, uint64_t point, const char *when) {
    char text[sizeof journal->text + 20];
    walrus_t *log = NULL;
    snprintf(text, sizeof text, "%s%s", journal->text, must_exist ? " create=off" : "");
    int32_t result = try_open(dir, text, &log);
    if (result != WALRUS_OK) {
        differs("%s: %s", check_code_name(result), last_error().message);
        report(point, when);
    }
    return log;
}

/* In a process of its own: the log is on one of the lines, twice the same, and takes entries that are then there. */
static void check_lines(line_t *lines, int count, bool must_exist, uint64_t point, uint64_t seed) {
    random_source_t chance = {seed};
    const char *dir = at("mount/log");
    difference[0] = 0;
    walrus_t *log = open_found(dir, must_exist, point, "the log cannot be opened");
    line_t *found = match_any(log, lines, count, MUST_BE_DURABLE);
    if (found == NULL)
        report(point, "the log is none that it could be");
    journal->found = *found;
    if (below(&chance, 2)) {
        CHECK_OK(walrus_close(log));
        log = open_found(dir, true, point, "the log cannot be opened again");
        if (!match_any(log, found, 1, MUST_BE_ALL))
            report(point, "the log is another one when it is opened again");
    }
    static const value_t none[KEYS];
    for (int n = 0; n < 2; n++) {
        given_t given = {.seed = next_random(&chance), .size = (uint32_t)below(&chance, 3000), .term = 5000};
        unsigned char *bytes = payload(given.size, given.seed);
        walrus_record_t record = {.data = bytes, .size = given.size, .term = given.term, .timestamp_ns = time_of(&given)};
        line_append(found, &given, 1, none);
        uint64_t index = 0;
        int32_t result = walrus_append_record(log, &record, n ? WALRUS_DURABLE : 0, &index);
        free(bytes);
        if (result != WALRUS_OK || index != line_next(found) - 1) {
            differs("%s at %" PRIu64 ": %s", check_code_name(result), index, last_error().message);
            report(point, "the log takes no entry");
        }
    }
    CHECK_OK(walrus_sync(log));
    CHECK_U64(line_next(found) - 1, walrus_durable_index(log));
    CHECK_OK(walrus_close(log));
    log = open_found(dir, true, point, "the log cannot be opened after an append");
    if (!match_any(log, found, 1, MUST_BE_ALL))
        report(point, "what was appended after the crash is not there");
    CHECK_OK(walrus_close(log));
    _exit(check_shared->failures ? 1 : 0);
}

/* What was promised by then is there. */
static void check_state(uint64_t point, uint64_t seed) {
    const moment_t *moment = moment_at(point);
    bool is_over = point >= moment->end;
    static line_t lines[2];
    int count = is_over ? 1 : moment->during_count;
    memcpy(lines, is_over ? &moment->after : moment->during, (size_t)count * sizeof *lines);
    check_lines(lines, count, point >= journal->created, point, seed);
}

/* A process does `work`, and does not come back from it. Whether it ended well: its failures were counted. */
#define IN_A_PROCESS(work)                                                                                             \
    ({                                                                                                                 \
        pid_t in_child = start();                                                                                      \
        if (in_child == 0) {                                                                                           \
            prctl(PR_SET_PDEATHSIG, SIGKILL);                                                                          \
            work;                                                                                                      \
        }                                                                                                              \
        int in_status = await(in_child);                                                                               \
        if (in_status > 1000)                                                                                          \
            FAIL("a process was ended by signal %d", in_status - 1000);                                                \
        in_status == 0;                                                                                                \
    })

/* ---- Cutting the power ---------------------------------------------------------------------- */

typedef struct cut {
    uint64_t point, seed;
} cut_t;

static int by_point(const void *a, const void *b) {
    const cut_t *x = a, *y = b;
    return x->point < y->point ? -1 : x->point > y->point;
}

static bool show_state(const cut_t *cut) {
    give_order((order_t){.kind = ORDER_STATE, .point = cut->point, .seed = cut->seed, .sector = mounted.kind->sector});
    int error = try_mount();
    if (error != 0)
        FAIL("%s does not mount the state: %s", mounted.kind->name, strerror(error));
    return error == 0;
}

/* One script and some of the states that it may leave. False once one broke a promise. */
static bool cut_script(uint64_t seed, const line_t *from, int depth, uint64_t states) {
    random_source_t chance = {seed ^ UINT64_C(0x5eed)};
    CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", the script at depth %d", root_seed, depth);
    give_order((order_t){.kind = ORDER_RECORD});
    bool ran = IN_A_PROCESS(run_script(seed, from));
    give_order((order_t){.kind = ORDER_STOP});
    uint64_t total = operations_now();
    counts.workloads++;
    counts.operations += total;
    counts.flushes += disk_shared->flushes;
    counts.entries += journal->entries;
    journal->entries = 0;
    unmount_disk();
    if (!ran)
        return false;
    cut_t cuts[64];
    for (uint64_t i = 0; i < states; i++) {
        const moment_t *moment = &journal->moments[below(&chance, (uint64_t)journal->count)];
        bool at_once = below(&chance, 2) && moment->end <= total; /* right after a call had returned */
        counts.at_acknowledgements += at_once;
        cuts[i] = (cut_t){at_once ? moment->end : below(&chance, total + 1), next_random(&chance)};
    }
    qsort(cuts, states, sizeof *cuts, by_point);
    cut_t next = {0};
    static line_t found;
    for (uint64_t i = 0; i < states; i++) {
        alarm(CHECK_SECONDS_PER_CASE);
        CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", depth %d, cut %" PRIu64 ", seed of the state %" PRIu64, root_seed, depth, i, cuts[i].seed);
        if (!show_state(&cuts[i]))
            return false;
        bool is_right = IN_A_PROCESS(check_state(cuts[i].point, cuts[i].seed));
        unmount_disk();
        counts.states++;
        if (!is_right)
            return false;
        if (i == states / 2) {
            next = cuts[i];
            found = journal->found;
        }
    }
    if (depth == DEPTH || states < 4)
        return true;
    /* The next script begins in one of these states, and with the recovery of both systems. */
    if (!show_state(&next))
        return false;
    counts.second_crashes++;
    return cut_script(seed + 1, &found, depth + 1, states / 2);
}

static double setting(const char *name) {
    const char *text = getenv(name);
    return text != NULL ? strtod(text, NULL) : 0;
}

/* How far a case goes: of what is asked for, or of 240 states and 75 s, its file system's share. */
static void take_share(double *states, double *seconds) {
    double shares = setting("WALRUS_FILE_SYSTEM") > 0 ? 1 : 3, no_limit = 1e12;
    *states = setting("WALRUS_STATES");
    *seconds = setting("WALRUS_SECONDS");
    if (*states == 0 && *seconds == 0) {
        *states = 240;
        *seconds = 75;
    }
    *states = *states > 0 ? *states / shares : no_limit;
    *seconds = *seconds > 0 ? *seconds / shares : no_limit;
}

/* False once a promise was broken. */
static bool cut_power(uint64_t seed, uint64_t states, double seconds) {
    double until = check_now_s() + seconds;
    for (uint64_t round = 0; counts.states < states && check_now_s() < until; round++) {
        root_seed = seed + round * 1001;
        payloads_are_text = root_seed & 1;
        give_order((order_t){.kind = ORDER_FRESH});
        mount_disk();
        if (!cut_script(root_seed, NULL, 1, 12))
            return false;
    }
    return true;
}

static void power_cuts(const char *kind) {
    make_disk(kind);
    make_journal();
    uint64_t seed = run_seed();
    double states, seconds, began = check_now_s();
    take_share(&states, &seconds);
    cut_power(seed, (uint64_t)states, seconds);
    printf("      %s: %" PRIu64 " states, %" PRIu64 " of them right after an acknowledgement, of %" PRIu64 " scripts, %" PRIu64
           " of which began in such a state; %" PRIu64 " block operations, %" PRIu64 " flushes, %" PRIu64 " entries; %.0f ms a state\n",
           kind, counts.states, counts.at_acknowledgements, counts.workloads, counts.second_crashes, counts.operations, counts.flushes,
           counts.entries, (check_now_s() - began) * 1000 / (double)(counts.states + 1));
    CHECK(counts.states > 10 && counts.flushes > 10);
}

/* Catches: any way in which what the library does with files is not enough for what it promises, on file systems as they are. */
CASE(ext4_gives_back_what_was_promised_before_a_power_cut) { power_cuts("ext4"); }
CASE(xfs_gives_back_what_was_promised_before_a_power_cut) { power_cuts("xfs"); }
CASE(btrfs_gives_back_what_was_promised_before_a_power_cut) { power_cuts("btrfs"); }

/* Catches a harness that finds nothing because it looks at nothing: fdatasync and fsync do nothing once the log was created. */
static void find_out(const char *kind) {
    make_disk(kind);
    make_journal();
    uint64_t seed = run_seed();
    lie_is_expected = true;
    if (cut_power(seed, 300, 60))
        FAIL("%" PRIu64 " states, and none of them broke a promise", counts.states);
    printf("      %s: state %" PRIu64 " breaks a promise\n", kind, counts.states);
}

CASE(syncs_that_do_nothing_are_found_out_on_ext4) { find_out("ext4"); }
CASE(syncs_that_do_nothing_are_found_out_on_xfs) { find_out("xfs"); }
CASE(syncs_that_do_nothing_are_found_out_on_btrfs) { find_out("btrfs"); }

/* ---- A disk that fails ---------------------------------------------------------------------- */

static struct {
    uint64_t disks, struck, noticed, poisoned, opened_at_once, went_on, cut;
} failures;

static void probe(session_t *session) {
    walrus_t *log = session->log;
    uint64_t durable = walrus_durable_index(log), index = 4711;
    walrus_record_t records[2] = {{.data = "a", .size = 1}, {.data = "b", .size = 1}};
    for (int turn = 0; turn < 3; turn++) { /* the device works again: that must not tempt anybody */
        CHECK_CODE(WALRUS_E_POISONED, walrus_append(log, "more", 4, &index));
        CHECK_CODE(WALRUS_E_POISONED, walrus_append_batch(log, records, 2, WALRUS_BUFFERED, &index));
        CHECK_CODE(WALRUS_E_POISONED, walrus_sync(log));
        CHECK_CODE(WALRUS_E_POISONED, walrus_meta_set(log, keys[0], "c", 1));
        CHECK_CODE(WALRUS_E_POISONED, walrus_reset(log, 1));
        CHECK_U64(4711, index);
        CHECK_U64(durable, walrus_durable_index(log));
    }
    const line_t *lines = session->lines;
    for (uint64_t i = walrus_first_index(log); i != 0 && i <= durable; i++) { /* reads go on */
        bool is_right = false;
        difference[0] = 0;
        for (int l = 0; l < 2 && !is_right; l++)
            is_right = i >= lines[l].first && i < line_next(&lines[l]) && has_entry(log, i, &lines[l].entries[i - lines[l].first]);
        /* XFS gives nothing back once it has shut down. */
        if (!is_right && walrus_get(log, i, &(walrus_entry_t){0}) != WALRUS_E_IO)
            FAIL("a poisoned log reads something else: %s", difference);
    }
}

/* Opens the log where the disk has failed, with what the page cache has and without. Nothing may be missing, unless the file system
 * does not answer at all. */
static void look_at_once(session_t *session, int line_count) {
    static line_t lines[2];
    const char *texts[] = {"read_only=true", ""};
    /* Once btrfs has given up, a directory may no longer show what is in it. So segments are missing, and where a log can tell, it says so. */
    bool forgets_names = strcmp(mounted.kind->name, "btrfs") == 0;
    for (int turn = 0; turn < 4; turn++) {
        walrus_t *log = NULL;
        int32_t result = try_open(session->directory, texts[turn / 2], &log);
        if (result != WALRUS_OK) {
            bool is_forgotten = forgets_names && (result == WALRUS_E_CORRUPT || count_segments(session->directory) == 0);
            if (result != WALRUS_E_IO && result != WALRUS_E_NO_SPACE && !is_forgotten)
                FAIL("walrus_open answered %s on a disk that had failed", check_code_name(result));
            continue;
        }
        memcpy(lines, session->lines, sizeof lines);
        if (match_any(log, lines, line_count, MUST_BE_DURABLE) != NULL)
            journal->was_opened = true;
        else if (strstr(difference, "cannot be read: IO") == NULL &&
                 !(forgets_names && (strstr(difference, "cannot be read: CORRUPT") != NULL || count_segments(session->directory) == 0)))
            FAIL("the log is none that it could be when it is opened at once: %s", difference);
        walrus_close(log);
        DIR *directory = opendir(session->directory);
        for (struct dirent *file; directory != NULL && (file = readdir(directory)) != NULL;) {
            int fd = openat(dirfd(directory), file->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            close(fd);
        }
        closedir(directory);
    }
}

/* The disk works again, and the log is opened with what the page cache has of it, which may be more than the disk was given. What is
 * durable from now on must be on the disk, and all that is below it. */
static void go_on(session_t *session) {
    walrus_t *log = NULL;
    give_order((order_t){.kind = ORDER_FAIL});
    if (try_open(session->directory, session->text, &log) != WALRUS_OK) /* look_at_once says which codes are right */
        return;
    line_t *found = match_any(log, session->lines, session->count, MUST_BE_DURABLE);
    if (found != NULL) {
        static const value_t none[KEYS];
        given_t given = {.seed = 4711, .size = 300, .term = 4000};
        unsigned char *bytes = payload(given.size, given.seed);
        walrus_record_t record = {.data = bytes, .size = given.size, .term = given.term, .timestamp_ns = time_of(&given)};
        line_t before = *found;
        session->lines[0] = session->lines[1] = before;
        line_append(&session->lines[1], &given, 1, none);
        session->count = 2;
        if (walrus_append_record(log, &record, WALRUS_DURABLE, NULL) == WALRUS_OK) {
            session->lines[0] = session->lines[1];
            line_promise(&session->lines[0], line_next(&session->lines[0]) - 1);
            session->count = 1;
            journal->went_on = true;
        }
        free(bytes);
    }
    walrus_close(log);
}

/* In a process of its own. */
static void run_on_failing_disk(uint64_t seed, uint64_t after, uint64_t count) {
    static session_t session;
    begin_session(&session, seed);
    journal->count = 0;
    journal->created = UINT64_MAX;
    journal->was_poisoned = journal->was_opened = journal->went_on = false;
    snprintf(journal->text, sizeof journal->text, "%s", session.text);
    CHECK_OK(make_step(&session, &(step_t){.kind = STEP_OPEN}));
    journal->created = operations_now();
    give_order((order_t){.kind = ORDER_FAIL, .point = after, .count = count});
    int32_t result;
    for (int tries = 0;; tries++) {
        journal->code = result = run_steps(&session, tries ? 2 : 40);
        if (result == WALRUS_OK)
            break;
        CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", %s: %s answered %s", root_seed, session.text, journal->failed_step, check_code_name(result));
        CHECK(result == WALRUS_E_IO || result == WALRUS_E_POISONED || result == WALRUS_E_NO_SPACE);
        walrus_stats_t stats = {.struct_size = sizeof stats};
        if (session.log != NULL && walrus_stats(session.log, &stats) == WALRUS_OK)
            journal->was_poisoned = stats.is_poisoned;
        /* A log that is not poisoned may go on: there is no room for a next segment, say. What it says then must hold. */
        bool is_append = strncmp(journal->failed_step, "append", 6) == 0 && strncmp(journal->failed_step, "append_async", 12) != 0;
        if (tries == 10 || session.log == NULL || journal->was_poisoned || !is_append)
            break;
        CHECK_U64(line_next(&session.lines[0]), walrus_next_index(session.log));
    }
    session.count = result == WALRUS_OK || result == WALRUS_E_NO_SPACE ? 1 : 2;
    if (journal->was_poisoned)
        probe(&session);
    walrus_close(session.log);
    if (result != WALRUS_OK && below(&session.chance, 2))
        look_at_once(&session, session.count);
    else if (result != WALRUS_OK)
        go_on(&session);
    journal->line_count = session.count;
    memcpy(journal->lines, session.lines, sizeof journal->lines);
    _exit(check_shared->failures ? 1 : 0);
}

/* One script on a disk that refuses `count` operations after some of them, and what it leaves. */
static bool fail_disk(uint64_t seed) {
    random_source_t chance = {seed ^ UINT64_C(0xd15c)};
    uint64_t after = below(&chance, 160), count = below(&chance, 3) ? 1 : below(&chance, 2) ? 5 : UINT64_MAX / 2;
    alarm(CHECK_SECONDS_PER_CASE);
    root_seed = seed;
    payloads_are_text = seed & 1;
    CHECK_NOTE("WALRUS_SEED=%" PRIu64, seed);
    give_order((order_t){.kind = ORDER_FRESH});
    mount_disk();
    give_order((order_t){.kind = ORDER_RECORD});
    bool is_right = IN_A_PROCESS(run_on_failing_disk(seed, after, count));
    uint64_t refused = disk_shared->refused;
    give_order((order_t){.kind = ORDER_FAIL});
    uint64_t total = operations_now();
    give_order((order_t){.kind = ORDER_STOP});
    unmount_disk();
    failures.disks++;
    failures.struck += refused > 0;
    failures.noticed += journal->code != WALRUS_OK;
    failures.poisoned += journal->was_poisoned;
    failures.opened_at_once += journal->was_opened;
    failures.went_on += journal->went_on;
    if (!is_right)
        return false;
    /* After a power cut, or as it is. */
    cut_t cut = {total, next_random(&chance)};
    CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", %" PRIu64 " refused after %" PRIu64 ", %s: %s answered %s", seed, refused, after, journal->text,
               journal->failed_step, check_code_name(journal->code));
    failures.cut += seed % 2;
    if (seed % 2 ? !show_state(&cut) : (mount_disk(), false))
        return false;
    is_right = IN_A_PROCESS(check_lines(journal->lines, journal->line_count, true, total, cut.seed));
    unmount_disk();
    return is_right;
}

static void failing_disks(const char *kind) {
    make_disk(kind);
    make_journal();
    uint64_t seed = run_seed();
    double states, seconds;
    take_share(&states, &seconds);
    double until = check_now_s() + seconds / 4;
    for (uint64_t round = 0; (double)round < states / 4 && check_now_s() < until && fail_disk(seed + round * 1001); round++)
        continue;
    printf("      %s: %" PRIu64 " disks, %" PRIu64 " failed in use, %" PRIu64 " calls noticed, %" PRIu64 " logs poisoned, %" PRIu64
           " read at once, %" PRIu64 " went on at once; %" PRIu64 " power cuts afterwards\n",
           kind, failures.disks, failures.struck, failures.noticed, failures.poisoned, failures.opened_at_once, failures.went_on, failures.cut);
    CHECK(failures.disks < 15 || (failures.struck > 5 && failures.poisoned > 3));
}

/* Catches: an acknowledgement after a write or a flush had failed below, a sync that is tried again and believed, an entry that only
 * the page cache has and that counts as durable after the next open. */
CASE(ext4_on_a_disk_that_fails_loses_nothing_that_was_acknowledged) { failing_disks("ext4"); }
CASE(xfs_on_a_disk_that_fails_loses_nothing_that_was_acknowledged) { failing_disks("xfs"); }
CASE(btrfs_on_a_disk_that_fails_loses_nothing_that_was_acknowledged) { failing_disks("btrfs"); }

/* In a process of its own: a sync fails, and the log is opened anew while the page cache still has what the disk did not get. */
static void fail_and_go_on(void) {
    const char *dir = at("mount/log");
    walrus_t *log = open_log(dir, "sync=os segment_size=64KiB");
    append_payload(log, 500, 1);
    CHECK_OK(walrus_sync(log));
    for (uint64_t i = 2; i <= 6; i++)
        append_payload(log, 1500, i);
    give_order((order_t){.kind = ORDER_FAIL, .count = 1});
    CHECK_CODE(WALRUS_E_IO, walrus_sync(log));
    CHECK(disk_shared->refused == 1);
    CHECK_CODE(WALRUS_E_POISONED, walrus_close(log));
    log = open_log(dir, "");
    uint64_t last = walrus_last_index(log);
    CHECK(last >= 1 && last <= 6);
    for (uint64_t i = 1; i <= last; i++)
        check_entry(log, i, i == 1 ? 500 : 1500, i);
    CHECK_U64(last + 1, append_payload(log, 1500, last + 1));
    CHECK_U64(last + 1, walrus_durable_index(log));
    journal->count = (int)last + 1;
    _exit(0); /* without a close */
}

static void check_after_it(void) {
    walrus_t *log = open_log(at("mount/log"), "");
    CHECK_U64(journal->count, walrus_last_index(log));
    for (uint64_t i = 1; i <= (uint64_t)journal->count; i++)
        check_entry(log, i, i == 1 ? 500 : 1500, i);
    CHECK_OK(walrus_close(log));
    _exit(0);
}

/* Catches: a recovery that believes the page cache after a failed write. Where the write was the first one into reserved space, ext4 does not
 * mark the blocks as written when the same bytes are written again, so that a synced entry reads as zeros after the next mount. */
static void believe_the_disk(const char *kind) {
    make_disk(kind);
    make_journal();
    mount_disk();
    if (IN_A_PROCESS(fail_and_go_on())) {
        unmount_disk();
        mount_disk();
        IN_A_PROCESS(check_after_it());
    }
    unmount_disk();
}

CASE(ext4_holds_what_was_synced_after_a_failed_write_and_a_reopen) { believe_the_disk("ext4"); }
CASE(xfs_holds_what_was_synced_after_a_failed_write_and_a_reopen) { believe_the_disk("xfs"); }
CASE(btrfs_holds_what_was_synced_after_a_failed_write_and_a_reopen) { believe_the_disk("btrfs"); }
