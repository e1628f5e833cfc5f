/* test_crash.c - after a power cut at any moment the shipped library finds what it had promised
 *
 * A script of calls runs on libwalrus.so while every system call that changes a file is recorded (interpose.h). Then, for each
 * number of these operations, states are built in which the power could have left the disk at that moment (disk.h), and the library
 * opens them: it must hold what the journal of the script says (course.h), the same when it is opened twice, and go on
 * from there. Some of the recoveries are recorded themselves, with some calls more, and cut short in the same way; others begin
 * after a kill, with a page cache that shows what the disk does not have.
 *
 * WALRUS_SEED, WALRUS_SECONDS (of all cases together) and WALRUS_STATES (drawn at each moment) say how far it goes; WALRUS_KEEP names a
 * directory for the state that broke a promise, and a report of how it came to be.
 */
#include "interpose.h"

#include "disk.h"
#include "script.h"

enum { DEPTH = 3, SHADOWS = 6, MOMENTS = 400 };

/* What a crash may leave while a call is under way, which it is from operation `start` to operation `end`, and afterwards. */
typedef struct moment {
    size_t start, end;
    char text[100];
    int during_count, after_count;
    line_t during[SHADOWS], after[SHADOWS];
} moment_t;

/* A script that was run and recorded. */
typedef struct run {
    trace_t trace;
    moment_t *moments[MOMENTS];
    int count;
    size_t from;          /* operations before this one were not its own                                                    */
    size_t created;       /* with this many the log had been created, durably; SIZE_MAX: not yet                            */
    session_t session;
    line_t shadows[SHADOWS]; /* what was not seen may still be what the disk holds, until something is promised               */
    int shadow_count;
    bool is_written_to;   /* since a process died: otherwise close leaves what was found as it is                           */
    bool has_failed;      /* a call did, since a fault struck, and it is not known what it left                             */
    uint64_t seed;        /* of the script that all began with                                                              */
    int depth;
    bool blocks;          /* the fault model                                                                                */
} run_t;

static struct {
    uint64_t failures, unknown; /* of calls that were refused; of scripts that ended by it                                  */
    uint64_t workloads, operations, points, states, exhaustive, recoveries, kills, entries;
} counts;

static uint64_t states_per_point = 3;
static bool disk_lies;        /* a state that breaks a promise is what the case looks for */
static uint64_t violations;

/* ---- Running a script ----------------------------------------------------------------------- */

static moment_t *add_moment(run_t *run, size_t start, size_t end, const char *text) {
    if (run->count == MOMENTS)
        FAIL("too many moments");
    moment_t *moment = calloc(1, sizeof *moment);
    CHECK(moment != NULL);
    run->moments[run->count++] = moment;
    moment->start = start;
    moment->end = end;
    snprintf(moment->text, sizeof moment->text, "%s", text);
    return moment;
}

static void add_line(line_t *lines, int *count, const line_t *line) {
    if (*count < SHADOWS)
        lines[(*count)++] = *line;
}

static void add_shadows(const run_t *run, line_t *lines, int *count) {
    for (int i = 0; i < run->shadow_count; i++)
        add_line(lines, count, &run->shadows[i]);
}

/* After it the disk holds what the session sees, and nothing else. */
static bool settles(const run_t *run, const step_t *step, const line_t *before) {
    const session_t *session = &run->session;
    uint32_t policy = step->flags ? step->flags : session->policy;
    switch (step->kind) {
    case STEP_APPEND:
    case STEP_BATCH:
    case STEP_TRANSACTION: return policy == WALRUS_DURABLE;
    case STEP_TRUNCATE: return step->index + 1 < line_next(before);
    case STEP_TRUNCATE_FRONT: return step->index > before->first;
    case STEP_ASYNC:
    case STEP_SYNC:
    case STEP_REPLACE:
    case STEP_SET:
    case STEP_RESET: return true;
    case STEP_CLOSE: return run->is_written_to;
    default: return false;
    }
}

/* What the log says of itself is what was promised, or more: that is a promise, too. */
static void look(run_t *run) {
    session_t *session = &run->session;
    line_t *line = &session->lines[0];
    uint64_t first = walrus_first_index(session->log), next = walrus_next_index(session->log);
    CHECK_U64(line_next(line), next);
    CHECK_U64(line->count ? line->first : 0, first);
    uint64_t durable = at_most(walrus_durable_index(session->log), next - 1);
    if (durable <= line->durable)
        return;
    line_promise(line, durable);
    size_t now = recorded();
    moment_t *moment = add_moment(run, now, now, "a look at the durable index");
    add_line(moment->after, &moment->after_count, line);
    add_shadows(run, moment->after, &moment->after_count);
}

static void make_step(run_t *run, const step_t *step) {
    session_t *session = &run->session;
    char text[100];
    describe(text, sizeof text, step);
    CHECK_NOTE("seed %" PRIu64 ", %s: %s", run->seed, session->text, text);
    line_t before = session->lines[0], changed = before;
    size_t start = recorded();
    uint64_t index = 0;
    int accepted = 0;
    int32_t result = call_step(session, step, &index, &accepted);
    size_t end = recorded();
    bool is_missing = step->kind == STEP_DELETE && result == WALRUS_E_NOT_FOUND;
    if (!is_missing && faults.struck == 0)
        CHECK_OK(result);
    if (!is_missing && result != WALRUS_OK) {
        /* What a fault may leave: what was before, and, unless the code says that nothing was done, what was asked for. */
        if (step->kind == STEP_OPEN)
            FAIL("an open failed");
        bool is_certain = result == WALRUS_E_NO_SPACE || result == WALRUS_E_NO_MEMORY;
        moment_t *failed = add_moment(run, start, end, text);
        add_line(failed->during, &failed->during_count, &before);
        if (!is_certain) {
            change_line(session, &changed, step);
            add_line(failed->during, &failed->during_count, &changed);
            run->has_failed = true;
        }
        failed->after_count = failed->during_count;
        memcpy(failed->after, failed->during, sizeof failed->after);
        return;
    }
    if (appends(step))
        CHECK_U64(line_next(&before), index);
    if (!is_missing)
        change_line(session, &changed, step);
    moment_t *moment = add_moment(run, start, end, text);
    add_line(moment->during, &moment->during_count, &before);
    add_line(moment->during, &moment->during_count, &changed);
    add_shadows(run, moment->during, &moment->during_count);
    line_t *after = &session->lines[0];
    *after = changed;
    if (step->kind != STEP_CLOSE || run->is_written_to)
        promise_line(session, after, step);
    run->is_written_to |= appends(step);
    if (settles(run, step, &before)) {
        run->shadow_count = 0;
        run->is_written_to = true;
        if (run->created == SIZE_MAX)
            run->created = end;
    }
    add_line(moment->after, &moment->after_count, after);
    add_shadows(run, moment->after, &moment->after_count);
    forget_staged(session, step);
    counts.entries += (uint64_t)step->count;
    if (session->log != NULL)
        look(run);
}

static void open_again(run_t *run) { make_step(run, &(step_t){.kind = STEP_OPEN}); }

static void run_steps(run_t *run, int steps) {
    session_t *session = &run->session;
    for (int i = 0; i < steps && !run->has_failed; i++) {
        step_t step = choose_step(session);
        make_step(run, &step);
        if (run->has_failed)
            break;
        if (session->log == NULL)
            open_again(run);
        else if (below(&session->chance, 6) == 0)
            usleep((useconds_t)below(&session->chance, 1500)); /* the background gets on */
    }
    if (!run->has_failed)
        make_step(run, &(step_t){.kind = STEP_CLOSE});
    else if (session->log != NULL) {
        int32_t result = walrus_close(session->log);
        session->log = NULL;
        if (result != WALRUS_OK && result != WALRUS_E_POISONED && result != WALRUS_E_IO)
            FAIL("close answered %s", check_code_name(result));
    }
}

static void run_free(run_t *run) {
    for (int i = 0; i < run->count; i++)
        free(run->moments[i]);
    trace_free(&run->trace);
    free(run);
}

/* What was recorded is all that happened: otherwise the library has ways to the disk that are not seen here. */
static void check_recording(const run_t *run) {
    disk_t disk = {.trace = &run->trace, .made = -1};
    choice_t choice = {0};
    while (disk.applied < run->trace.count)
        disk_step(&disk);
    list_units(&disk, &choice);
    for (size_t i = 0; i < choice.count; i++)
        choice.units[i].stage = choice.units[i].stages;
    build_state(&disk, &choice, false, in_memory("copy"), NULL);
    image_t *real = image_read(run->session.directory), *copy = image_read(in_memory("copy"));
    const char *what = image_difference(real, copy);
    if (what != NULL)
        FAIL("the directory is not what was recorded: %s", what);
    image_free(real);
    image_free(copy);
    free(choice.units);
    disk_free(&disk);
}

/* ---- Checking a state ----------------------------------------------------------------------- */

/* Where a state comes from, for reports. */
typedef struct origin {
    const run_t *run;
    const disk_t *disk;
    const choice_t *choice;
} origin_t;

static const moment_t *moment_at(const run_t *run, size_t operations) {
    int at = 0;
    while (at + 1 < run->count && run->moments[at + 1]->start <= operations)
        at++;
    return run->moments[at];
}

static int lines_at(const run_t *run, size_t operations, line_t lines[SHADOWS], const char **when) {
    const moment_t *moment = moment_at(run, operations);
    bool is_over = operations >= moment->end;
    int count = is_over ? moment->after_count : moment->during_count;
    memcpy(lines, is_over ? moment->after : moment->during, (size_t)count * sizeof *lines);
    *when = is_over ? "after" : "in";
    return count;
}

static void report(FILE *to, const origin_t *origin, const char *what) {
    const run_t *run = origin->run;
    size_t at = origin->disk->applied;
    fprintf(to, "%s\noptions: %s\nseed of the script %" PRIu64 ", depth %d, operation %zu, %s %s\n%s\n", what, run->session.text, run->seed,
            run->depth, at, at >= moment_at(run, at)->end ? "after" : "in", moment_at(run, at)->text, difference);
}

/* The calls, the operations, and what the disk got of those that were not durable. */
static void report_all(FILE *to, const origin_t *origin) {
    const run_t *run = origin->run;
    size_t at = origin->disk->applied;
    for (int i = 0; i < run->count && run->moments[i]->start <= at; i++)
        fprintf(to, "[%zu, %zu) %s\n", run->moments[i]->start, run->moments[i]->end, run->moments[i]->text);
    for (size_t i = 0; i < at; i++)
        operation_print(to, i, &run->trace.operations[i]);
    for (size_t u = 0; u < origin->choice->count; u++) {
        const unit_t *unit = &origin->choice->units[u];
        static const char *const kinds[] = {"sector", "size", "name", "directory"};
        uint32_t last = operation_of_stage(origin->disk, unit, unit->stages);
        fprintf(to, "%s %" PRIu32 " of file %d: %" PRIu32 " of %" PRIu32 " operations (up to %" PRIu32 ")%s\n", kinds[unit->kind], unit->place,
                unit->file, unit->stage, unit->stages, last, unit->is_garbage ? ", garbage" : "");
    }
}

static bool broken(const origin_t *origin, const char *what) {
    violations++;
    if (disk_lies)
        return false;
    report(stderr, origin, what);
    const char *keep = getenv("WALRUS_KEEP");
    if (keep != NULL && keep[0] != 0) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s-%" PRIu64, keep, check_case_name, origin->run->seed);
        build_state(origin->disk, origin->choice, origin->run->blocks, path, NULL);
        fprintf(stderr, "the state is kept in %s, how it came to be in %s.txt\n", path, path);
        strcat(path, ".txt");
        FILE *file = fopen(path, "w");
        if (file != NULL) {
            report(file, origin, what);
            report_all(file, origin);
            fclose(file);
        }
    } else
        report_all(stderr, origin);
    FAIL("a promise was broken");
    return false;
}

static int32_t open_state(const run_t *run, const char *path, bool must_exist, walrus_t **log) {
    char text[sizeof run->session.text + 20];
    snprintf(text, sizeof text, "%s%s", run->session.text, must_exist ? " create=off" : "");
    return try_open(path, text, log);
}

/* The log at `path` is on one of the lines, twice the same, and takes an entry that is then there. */
static bool check_state(const origin_t *origin, const char *path, random_source_t *chance) {
    const run_t *run = origin->run;
    static line_t lines[SHADOWS];
    const char *when;
    int count = lines_at(run, origin->disk->applied, lines, &when);
    bool must_exist = origin->disk->applied >= run->created;
    walrus_t *log = NULL;
    difference[0] = 0;
    int32_t result = open_state(run, path, must_exist, &log);
    if (result != WALRUS_OK) {
        differs("%s: %s", check_code_name(result), last_error().message);
        return broken(origin, "the log cannot be opened");
    }
    line_t *found = match_any(log, lines, count, origin->choice->is_everything ? MUST_BE_HANDED_OVER : MUST_BE_DURABLE);
    bool is_right = found != NULL || broken(origin, "the log is none that it could be");
    bool open_twice = below(chance, 3) == 0;
    if (is_right && open_twice) {
        CHECK_OK(walrus_close(log));
        log = NULL;
        result = open_state(run, path, true, &log);
        is_right = (result == WALRUS_OK && match_any(log, found, 1, MUST_BE_ALL)) ||
                   broken(origin, "the log is another one when it is opened again");
    }
    if (is_right) {
        given_t given = {.seed = next_random(chance), .size = (uint32_t)below(chance, 300), .term = 7};
        unsigned char *bytes = payload(given.size, given.seed);
        walrus_record_t record = {.data = bytes, .size = given.size, .term = given.term, .timestamp_ns = time_of(&given)};
        static const value_t none[KEYS];
        line_append(found, &given, 1, none);
        uint64_t index = 0;
        result = walrus_append_record(log, &record, WALRUS_DURABLE, &index);
        free(bytes);
        if (result != WALRUS_OK || index != line_next(found) - 1) {
            differs("%s at %" PRIu64, check_code_name(result), index);
            is_right = broken(origin, "the log takes no entry");
        }
    }
    if (is_right && below(chance, 3) == 0) {
        CHECK_OK(walrus_close(log));
        log = NULL;
        result = open_state(run, path, true, &log);
        is_right = (result == WALRUS_OK && match_any(log, found, 1, MUST_BE_ALL)) || broken(origin, "what was appended after the crash is not there");
    }
    if (walrus_close(log) != WALRUS_OK && is_right)
        return broken(origin, "the log cannot be closed");
    return is_right;
}

/* ---- Cutting the power ---------------------------------------------------------------------- */

static void cut_everywhere(run_t *run, uint64_t seed, double until);

/* A recovery of that state that is recorded, followed by some calls and cut short in turn. `is_kill`: only the process ended. */
static void cut_recovery(const origin_t *origin, bool is_kill, uint64_t seed, double until) {
    const run_t *from = origin->run;
    run_t *run = calloc(1, sizeof *run);
    CHECK(run != NULL);
    run->depth = from->depth + 1;
    run->seed = from->seed;
    run->session = from->session;
    session_t *session = &run->session;
    session->directory = in_memory("run-%d", run->depth);
    session->chance.state = seed;
    memset(session->staged, 0, sizeof session->staged);
    build_state(origin->disk, origin->choice, from->blocks, session->directory, is_kill ? NULL : &run->trace);
    if (is_kill)
        trace_copy(&run->trace, &from->trace, origin->disk->applied);
    run->from = run->trace.count;
    static line_t lines[SHADOWS];
    const char *when;
    int count = lines_at(from, origin->disk->applied, lines, &when);
    bool existed = origin->disk->applied >= from->created;
    bool was_made = exists(in_memory("run-%d/walrus.meta", run->depth));
    begin_recording(session->directory, &run->trace, seed);
    CHECK_NOTE("seed %" PRIu64 ", recovery at depth %d", run->seed, run->depth);
    CHECK_OK(open_state(run, session->directory, existed, &session->log));
    /* A log that a killed process had just created is made durable by the first call that changes it. */
    run->created = existed ? 0 : was_made ? SIZE_MAX : recorded();
    size_t opened = recorded();
    if (is_kill)
        for (int i = 0; i < count; i++)
            add_line(run->shadows, &run->shadow_count, &lines[i]);
    line_t *found = match_any(session->log, lines, count, is_kill ? MUST_BE_HANDED_OVER : MUST_BE_DURABLE);
    if (found == NULL)
        broken(origin, "the log is none that it could be");
    if (!is_kill) /* all of it is on the disk */
        line_promise(found, line_next(found) - 1);
    session->lines[0] = *found;
    moment_t *moment = add_moment(run, run->from, opened, "open");
    add_line(moment->during, &moment->during_count, found);
    add_shadows(run, moment->during, &moment->during_count);
    moment->after_count = moment->during_count;
    memcpy(moment->after, moment->during, sizeof moment->after);
    look(run);
    run_steps(run, 1 + (int)below(&session->chance, 6));
    end_recording();
    counts.recoveries++;
    cut_everywhere(run, seed, until);
    run_free(run);
}

static void cut_everywhere(run_t *run, uint64_t seed, double until) {
    disk_t disk = {.trace = &run->trace, .made = -1};
    choice_t choice = {0};
    random_source_t chance = {seed};
    const char *path = in_memory("state-%d", run->depth);
    origin_t origin = {run, &disk, &choice};
    size_t stride = 1 + below(&chance, 4); /* rather more scripts than every moment of a few */
    for (size_t at = 0; at <= run->trace.count && check_now_s() < until && !(disk_lies && violations); at++) {
        if (at > 0)
            disk_step(&disk);
        if (at < run->from || (at % stride != 0 && !disk_lies))
            continue;
        list_units(&disk, &choice);
        counts.points++;
        bool all = choice.combinations <= EXHAUSTIVE;
        counts.exhaustive += all;
        /* A few draws more than there are combinations: of garbage. */
        uint64_t states = all && choice.combinations > 1 ? choice.combinations + 2 : all ? 1 : states_per_point;
        if (run->depth > 1 && !all)
            states = 2;
        for (uint64_t s = 0; s < states && !(disk_lies && violations); s++) {
            if (all && s < choice.combinations)
                choose_combination(&choice, s);
            else
                choose_by_seed(&disk, &choice, run->blocks, next_random(&chance));
            CHECK_NOTE("seed %" PRIu64 ", depth %d, operation %zu, state %" PRIu64 ": %s", run->seed, run->depth, at, s, run->session.text);
            build_state(&disk, &choice, run->blocks, path, NULL);
            counts.states++;
            check_state(&origin, path, &chance);
            if (run->depth < DEPTH && !disk_lies && below(&chance, run->depth == 1 ? 150 : 2000) == 0)
                cut_recovery(&origin, false, next_random(&chance), until);
        }
        /* More often where names are not durable, which is seldom so. */
        uint64_t odds = disk.open_count > 0 || !disk.made_durable ? 12 : 60;
        if (run->depth < DEPTH && !disk_lies && at > 0 && below(&chance, run->depth == 1 ? odds : odds * 12) == 0) {
            choose_combination(&choice, 0);
            for (size_t i = 0; i < choice.count; i++)
                choice.units[i].stage = choice.units[i].stages;
            choice.is_everything = true;
            counts.kills++;
            cut_recovery(&origin, true, next_random(&chance), until);
        }
    }
    free(choice.units);
    disk_free(&disk);
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static double seconds_of_all(void) {
    const char *text = getenv("WALRUS_SECONDS");
    return text != NULL && text[0] != 0 ? strtod(text, NULL) : 60;
}

/* `fail`: one of the calls that change files is refused once, and most often it is a sync. */
static void one_workload(uint64_t seed, const char *how, int lies, bool fail, double until) {
    static const int syncs[CALL_KINDS] = {[CALL_FDATASYNC] = EIO, [CALL_FSYNC] = EIO};
    static const int all[CALL_KINDS] = {[CALL_FDATASYNC] = EIO, [CALL_FSYNC] = EIO, [CALL_PWRITE] = EIO, [CALL_PWRITEV] = EIO,
                                        [CALL_FALLOCATE] = ENOSPC, [CALL_FTRUNCATE] = EIO, [CALL_RENAMEAT] = EIO, [CALL_UNLINKAT] = EIO,
                                        [CALL_CREATE] = ENOSPC};
    alarm(CHECK_SECONDS_PER_CASE);
    run_t *run = calloc(1, sizeof *run);
    CHECK(run != NULL);
    run->depth = 1;
    run->seed = seed;
    run->is_written_to = true;
    run->created = SIZE_MAX;
    payloads_are_text = seed & 1;
    session_begin(&run->session, in_memory("run-1"), how, seed);
    /* After a failed sync a log with padding asks the device, by a direct read, what it has. Here that read shows the page cache, so what the
     * failed sync left there would pass for what is on the disk. The simulation has a device to ask. */
    char *padding = strstr(run->session.text, " sync_padding=4096");
    if (fail && padding != NULL)
        memmove(padding, padding + strlen(" sync_padding=4096"), strlen(padding + strlen(" sync_padding=4096")) + 1);
    run->blocks = strstr(run->session.text, "sync_padding=4096") != NULL;
    check_remove_tree(AT_FDCWD, run->session.directory);
    recorder.lies = lies & LIE_PARENT; /* the others begin behind the creation, which would be too easy to find out */
    disk_lies = lies != 0;
    begin_recording(run->session.directory, &run->trace, seed);
    make_step(run, &(step_t){.kind = STEP_OPEN});
    run->created = run->moments[0]->end;
    recorder.lies = lies;
    faults.struck = 0;
    if (fail)
        arm_faults(1 + hashed(seed, 1) % (seed & 2 ? 60 : 100), false, seed & 2 ? &syncs : &all);
    run_steps(run, 12 + (int)(seed % 4) * 10);
    disarm_faults();
    counts.failures += faults.struck;
    counts.unknown += run->has_failed;
    faults.struck = 0;
    end_recording();
    check_recording(run);
    counts.workloads++;
    counts.operations += run->trace.count;
    cut_everywhere(run, seed, until);
    run_free(run);
}

static void print_counts(uint64_t seed) {
    printf("      seed %" PRIu64 ": %" PRIu64 " workloads, %" PRIu64 " operations, %" PRIu64 " entries; %" PRIu64 " states at %" PRIu64
           " moments (all states of %" PRIu64 "), %" PRIu64 " recoveries cut short, %" PRIu64 " of them after a kill\n",
           seed, counts.workloads, counts.operations, counts.entries, counts.states, counts.points, counts.exhaustive, counts.recoveries,
           counts.kills);
}

/* Catches: any step between two operations at which the disk holds neither what was promised nor what comes after it. */
VARIANT_CASES(a_power_cut_takes_nothing_that_was_promised) {
    const char *states = getenv("WALRUS_STATES");
    if (states != NULL && states[0] != 0)
        states_per_point = strtoull(states, NULL, 0);
    uint64_t seed = run_seed();
    double until = check_now_s() + seconds_of_all() / (VARIANTS + 2);
    for (uint64_t round = 0; check_now_s() < until; round++)
        one_workload(round ? hashed(seed, round) : seed, variant, 0, false, until);
    print_counts(seed);
    CHECK(counts.states > 100 && counts.workloads > 0);
}

/* Catches: an acknowledgement after a failed sync, a second sync that is believed, and a reopen that believes the page cache. */
CASE(a_power_cut_after_a_call_that_failed_takes_nothing_that_was_promised) {
    uint64_t seed = run_seed();
    double until = check_now_s() + seconds_of_all() / (VARIANTS + 2);
    for (uint64_t round = 0; check_now_s() < until; round++) {
        uint64_t one = round ? hashed(seed, round) : seed;
        one_workload(one, variants[one % VARIANTS], 0, true, until);
    }
    print_counts(seed);
    printf("      %" PRIu64 " calls were refused, which ended %" PRIu64 " scripts\n", counts.failures, counts.unknown);
    CHECK(counts.states > 100 && counts.unknown > 0);
}

/* ---- Several threads ------------------------------------------------------------------------ */

enum { CREW = 4, CREW_BATCHES = 25 };

/* What several threads append, and what each was told, with how many operations there had been by then. */
typedef struct crew {
    run_t *run;
    pthread_mutex_t mutex;
    line_t line;
    struct {
        uint64_t index;
        size_t at;
    } promises[CREW * CREW_BATCHES * 2];
    int count;
} crew_t;

typedef struct sailor {
    crew_t *crew;
    random_source_t chance;
    pthread_t thread;
} sailor_t;

static void note_promise(crew_t *crew, uint64_t index) {
    size_t at = recorded();
    pthread_mutex_lock(&crew->mutex);
    crew->promises[crew->count].index = index;
    crew->promises[crew->count++].at = at;
    pthread_mutex_unlock(&crew->mutex);
}

static void *append_in_company(void *ctx) {
    sailor_t *me = ctx;
    crew_t *crew = me->crew;
    walrus_t *log = crew->run->session.log;
    for (int i = 0; i < CREW_BATCHES; i++) {
        int count = 1 + (int)below(&me->chance, 3);
        bool asks_later = below(&me->chance, 6) == 0;
        given_t given[3];
        walrus_record_t records[3] = {0};
        for (int k = 0; k < count; k++) {
            given[k] = (given_t){next_random(&me->chance), (uint32_t)below(&me->chance, 300), 1, k == count - 1};
            records[k] = (walrus_record_t){.data = payload(given[k].size, given[k].seed), .size = given[k].size, .term = 1,
                                           .timestamp_ns = time_of(&given[k])};
        }
        uint64_t first = 0;
        CHECK_OK(walrus_append_batch(log, records, (size_t)count, asks_later ? WALRUS_BUFFERED : WALRUS_DURABLE, &first));
        if (asks_later)
            CHECK_OK(walrus_sync(log));
        uint64_t last = first + (uint64_t)count - 1;
        note_promise(crew, last);
        if (below(&me->chance, 3) == 0)
            note_promise(crew, walrus_durable_index(log));
        pthread_mutex_lock(&crew->mutex);
        memcpy(&crew->line.entries[first - 1], given, (size_t)count * sizeof given[0]);
        if (last > crew->line.count)
            crew->line.count = last;
        pthread_mutex_unlock(&crew->mutex);
        for (int k = 0; k < count; k++)
            free((void *)(uintptr_t)records[k].data);
    }
    return NULL;
}

/* Catches: a group commit that acknowledges somebody whose bytes were not in the group. */
CASE(a_power_cut_takes_nothing_that_a_group_was_promised) {
    uint64_t seed = run_seed();
    double until = check_now_s() + seconds_of_all() / (VARIANTS + 2);
    for (uint64_t round = 0; check_now_s() < until; round++) {
        uint64_t one = round ? hashed(seed, round) : seed;
        alarm(CHECK_SECONDS_PER_CASE);
        static crew_t crew;
        memset(&crew, 0, sizeof crew);
        pthread_mutex_init(&crew.mutex, NULL);
        run_t *run = crew.run = calloc(1, sizeof *run);
        CHECK(run != NULL);
        run->depth = 1;
        run->seed = one;
        payloads_are_text = one & 1;
        session_begin(&run->session, in_memory("run-1"), variants[one % VARIANTS], one);
        run->blocks = strstr(run->session.text, "sync_padding=4096") != NULL;
        check_remove_tree(AT_FDCWD, run->session.directory);
        CHECK_NOTE("seed %" PRIu64 ", %s", one, run->session.text);
        begin_recording(run->session.directory, &run->trace, one);
        run->session.log = open_log(run->session.directory, run->session.text);
        run->created = recorded();
        crew.line.first = 1;
        sailor_t sailors[CREW];
        for (int i = 0; i < CREW; i++) {
            sailors[i] = (sailor_t){.crew = &crew, .chance = {hashed(one, (uint64_t)i)}};
            CHECK(pthread_create(&sailors[i].thread, NULL, append_in_company, &sailors[i]) == 0);
        }
        for (int i = 0; i < CREW; i++)
            CHECK(pthread_join(sailors[i].thread, NULL) == 0);
        CHECK_OK(walrus_close(run->session.log));
        run->session.log = NULL;
        end_recording();
        check_recording(run);
        /* One moment for each number of operations at which more was promised than before. */
        moment_t *moment = add_moment(run, 0, 0, "the beginning");
        add_line(moment->after, &moment->after_count, &crew.line);
        for (size_t at = 0; at <= run->trace.count; at++) {
            uint64_t durable = run->moments[run->count - 1]->after[0].durable, most = durable;
            for (int i = 0; i < crew.count; i++)
                if (crew.promises[i].at == at && crew.promises[i].index > most)
                    most = crew.promises[i].index;
            if (most == durable)
                continue;
            moment = add_moment(run, at, at, "appends of several threads");
            add_line(moment->after, &moment->after_count, &crew.line);
            line_promise(&moment->after[0], most);
        }
        counts.entries += crew.line.count;
        counts.workloads++;
        counts.operations += run->trace.count;
        cut_everywhere(run, one, until);
        run_free(run);
    }
    print_counts(seed);
    CHECK(counts.states > 100 && counts.workloads > 0);
}

/* ---- Disks that lie -------------------------------------------------------------------------- */

/* How many states it takes until one breaks a promise, on a disk that answers OK to some syncs and does nothing. */
static void find_out(int lies, const char *what) {
    uint64_t seed = run_seed();
    double until = check_now_s() + 30;
    for (uint64_t round = 0; violations == 0; round++) {
        if (check_now_s() > until)
            FAIL("%" PRIu64 " states, and none of them broke a promise", counts.states);
        one_workload(hashed(seed, round), variants[round % VARIANTS], lies, false, until);
    }
    printf("      seed %" PRIu64 ", without %s: state %" PRIu64 " of workload %" PRIu64 " breaks a promise: %.90s\n", seed, what, counts.states,
           counts.workloads, difference);
}

/* These catch a harness that finds nothing because it looks at nothing. */
CASE(data_that_was_never_synced_is_found_out) { find_out(LIE_DATA, "fdatasync"); }
CASE(names_that_were_never_synced_are_found_out) { find_out(LIE_DIRECTORY, "fsync of the directory"); }
CASE(a_directory_whose_parent_was_never_synced_is_found_out) { find_out(LIE_PARENT, "fsync of the parent"); }
