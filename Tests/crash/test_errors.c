/* test_errors.c - each system call, each allocation and each thread that libwalrus.so asks for is refused once, and then for ever
 *
 * A script of calls is run again and again; in run N the N-th thing that the library asks of libc fails (interpose.h), until a
 * run gets by without one. Whatever fails: nothing crashes or hangs, each call answers with a code that its documentation has,
 * what failed with a code that means "certainly not" did not happen, nothing stays open, and once the faults are over
 * the log opens and holds what was promised. Faults that no caller may notice (EINTR, short reads and writes, a file system that cannot
 * reserve space) leave everything as it is without them.
 *
 * WALRUS_SEED and WALRUS_SECONDS (of all cases together) say how far it goes: beyond a first script of each kind the seed draws
 * more of them.
 */
#include "interpose.h"

#include "script.h"

/* ---- What fails, and how -------------------------------------------------------------------- */

typedef struct flavour {
    const char *name;
    bool is_hidden;   /* no caller may notice                                                                                */
    bool only_once;   /* for ever it would be tried for ever                                                                 */
    int errors[CALL_KINDS];
} flavour_t;

static const flavour_t flavours[] = {
    {"EIO", false, false,
     {[CALL_OPENAT] = EIO, [CALL_CREATE] = EIO, [CALL_FSTAT] = EIO, [CALL_FSTATAT] = EIO, [CALL_PREAD] = EIO, [CALL_PWRITE] = EIO, [CALL_PWRITEV] = EIO,
      [CALL_FALLOCATE] = EIO, [CALL_FTRUNCATE] = EIO, [CALL_FDATASYNC] = EIO, [CALL_FSYNC] = EIO, [CALL_RENAMEAT] = EIO,
      [CALL_UNLINKAT] = EIO, [CALL_MKDIR] = EIO, [CALL_FLOCK] = ENOLCK, [CALL_MMAP] = ENODEV, [CALL_FDOPENDIR] = EIO, [CALL_READDIR] = EIO,
      [CALL_GETRANDOM] = ENOSYS, [CALL_EVENTFD] = ENODEV, [CALL_INOTIFY_INIT] = EMFILE, [CALL_INOTIFY_ADD] = ENOSPC}},
    {"ENOSPC", false, false,
     {[CALL_CREATE] = ENOSPC, [CALL_PWRITE] = ENOSPC, [CALL_PWRITEV] = ENOSPC, [CALL_FALLOCATE] = ENOSPC, [CALL_FTRUNCATE] = ENOSPC,
      [CALL_FDATASYNC] = ENOSPC, [CALL_FSYNC] = EDQUOT, [CALL_RENAMEAT] = ENOSPC, [CALL_UNLINKAT] = EROFS, [CALL_MKDIR] = ENOSPC}},
    {"no memory, no descriptors, no threads", false, false,
     {[CALL_OPENAT] = EMFILE, [CALL_CREATE] = EMFILE, [CALL_MMAP] = ENOMEM, [CALL_FDOPENDIR] = ENOMEM, [CALL_EVENTFD] = EMFILE, [CALL_INOTIFY_INIT] = EMFILE,
      [CALL_THREAD] = EAGAIN, [CALL_MUTEX] = ENOMEM, [CALL_CONDITION] = ENOMEM, [CALL_RWLOCK] = ENOMEM, [CALL_MALLOC] = ENOMEM,
      [CALL_CALLOC] = ENOMEM, [CALL_REALLOC] = ENOMEM, [CALL_MEMALIGN] = ENOMEM, [CALL_STRDUP] = ENOMEM,
      [CALL_DEFLATE] = ENOMEM, [CALL_INFLATE] = ENOMEM, [CALL_INFLATING] = ENOMEM}},
    {"EINTR", true, true,
     {[CALL_OPENAT] = EINTR, [CALL_CREATE] = EINTR, [CALL_PREAD] = EINTR, [CALL_PWRITE] = EINTR, [CALL_PWRITEV] = EINTR, [CALL_FALLOCATE] = EINTR,
      [CALL_FTRUNCATE] = EINTR, [CALL_GETRANDOM] = EINTR}},
    {"EINTR from close", true, false, {[CALL_CLOSE] = EINTR}},
    {"short reads and writes", true, false, {[CALL_PREAD] = SHORT, [CALL_PWRITE] = SHORT, [CALL_PWRITEV] = SHORT}},
    {"a file system without fallocate, SEEK_DATA, inotify", true, false,
     {[CALL_FALLOCATE] = EOPNOTSUPP, [CALL_LSEEK] = EINVAL, [CALL_INOTIFY_INIT] = EMFILE, [CALL_INOTIFY_ADD] = ENOSPC}},
};
enum { FLAVOURS = sizeof flavours / sizeof flavours[0] };

static struct {
    uint64_t runs, struck, scripts, calls, certain, uncertain, failed_opens;
    uint64_t kinds[CALL_KINDS]; /* of the first call of a run that failed */
} counts;

static const flavour_t *flavour;

/* What a step may answer to a fault, beside WALRUS_OK. */
static bool is_documented(step_kind_t kind, int32_t code) {
    if (code == WALRUS_E_IO || (code == WALRUS_E_POISONED && kind != STEP_OPEN))
        return true;
    switch (kind) {
    case STEP_SYNC:
    case STEP_CLOSE: return code == WALRUS_E_NO_SPACE;
    case STEP_TRUNCATE:
    case STEP_TRUNCATE_FRONT:
    case STEP_RESET: return code == WALRUS_E_NO_MEMORY;
    default: return code == WALRUS_E_NO_SPACE || code == WALRUS_E_NO_MEMORY;
    }
}

static bool is_certain(int32_t code) { return code == WALRUS_E_NO_SPACE || code == WALRUS_E_NO_MEMORY; }

/* ---- A script under faults ------------------------------------------------------------------ */

typedef struct trial {
    session_t session;
    bool may_have_lost; /* something failed that leaves what was not durable unknown                                        */
    char what[400];     /* for notes                                                                                         */
} trial_t;

static void note(const trial_t *trial, const char *when) {
    CHECK_NOTE("%.300s (%s): %.100s", trial->what, faults.struck ? call_names[faults.first_call] : "none yet", when);
}

/* The log as its handle shows it, while nothing fails. */
static bool shows(walrus_t *log, const line_t *line) {
    disarm_faults();
    difference[0] = 0;
    uint64_t first = walrus_first_index(log);
    bool is_so = walrus_next_index(log) == line_next(line) && first == (line->count ? line->first : 0) &&
                 has_values(log, line, line_next(line));
    faults.is_armed = true;
    return is_so;
}

/* What an open that succeeded found. The faults are over when it returns. */
static void find_line(trial_t *trial) {
    session_t *session = &trial->session;
    disarm_faults();
    line_t *found = match_any(session->log, session->lines, session->count, trial->may_have_lost ? MUST_BE_DURABLE : MUST_BE_ALL);
    if (found == NULL)
        FAIL("the log is none that it could be: %s", difference);
    session->lines[0] = *found;
    session->count = 1;
}

static void add_line(session_t *session, const line_t *line) {
    if (session->count == LINES)
        FAIL("too many courses");
    session->lines[session->count++] = *line;
}

static bool is_poisoned(walrus_t *log) {
    walrus_stats_t stats = {.struct_size = sizeof stats};
    CHECK_OK(walrus_stats(log, &stats));
    return stats.is_poisoned;
}

/* Makes a step, and finds out on which lines the log may be after it. */
static int32_t try_step(trial_t *trial, const step_t *step) {
    session_t *session = &trial->session;
    bool was_poisoned = session->log != NULL && is_poisoned(session->log);
    uint64_t next = session->log != NULL ? walrus_next_index(session->log) : 0, index = 0;
    int accepted = 0;
    char text[100];
    describe(text, sizeof text, step);
    note(trial, text);
    int32_t result = call_step(session, step, &index, &accepted);
    note(trial, text);
    bool is_missing = step->kind == STEP_DELETE && result == WALRUS_E_NOT_FOUND;
    if (result != WALRUS_OK && !is_missing) {
        if (flavour->is_hidden)
            FAIL("%s noticed: %s", step_names[step->kind], check_code_name(result));
        if (!is_documented(step->kind, result))
            FAIL("%s answered %s", step_names[step->kind], check_code_name(result));
    }
    if (was_poisoned && step->kind != STEP_CLOSE)
        CHECK_CODE(WALRUS_E_POISONED, result);
    if (step->kind == STEP_OPEN && result == WALRUS_OK) {
        find_line(trial);
        faults.is_armed = true;
    }
    if (step->kind == STEP_OPEN || is_missing)
        return result;
    if (result == WALRUS_OK) {
        int left = 0;
        for (int i = 0; i < session->count; i++) {
            line_t *line = &session->lines[i];
            if (appends(step) && line_next(line) != index)
                continue;
            change_line(session, line, step);
            promise_line(session, line, step);
            session->lines[left++] = *line;
        }
        session->count = left;
        if (left == 0)
            FAIL("%s was given index %" PRIu64, step_names[step->kind], index);
        forget_staged(session, step);
        return result;
    }
    if (step->kind == STEP_CLOSE) {
        trial->may_have_lost = true;
        memset(session->staged, 0, sizeof session->staged);
        return result;
    }
    step_t rest = *step;
    if (step->kind == STEP_ASYNC && accepted > 0) { /* some are in the log, whatever became of the next one */
        step_t part = *step;
        part.count = accepted;
        for (int i = 0; i < session->count; i++)
            change_line(session, &session->lines[i], &part);
        forget_staged(session, &part);
        rest.count = step->count - accepted;
        memmove(rest.given, step->given + accepted, (size_t)rest.count * sizeof rest.given[0]);
    }
    if (is_certain(result) || was_poisoned) {
        counts.certain++;
        CHECK_U64(next + (uint64_t)accepted, walrus_next_index(session->log));
    } else {
        counts.uncertain++;
        trial->may_have_lost = true;
        for (int i = 0, count = session->count; i < count; i++) {
            static line_t changed;
            changed = session->lines[i];
            change_line(session, &changed, &rest);
            if (memcmp(&changed, &session->lines[i], sizeof changed) != 0)
                add_line(session, &changed);
        }
        /* Where it goes on without a reopen, what the handle shows is what the log is. */
        if (!is_poisoned(session->log)) {
            int left = 0;
            bool shown[LINES];
            for (int i = 0; i < session->count; i++)
                left += shown[i] = shows(session->log, &session->lines[i]);
            if (left == 0 && !is_poisoned(session->log)) /* the background may have met a fault meanwhile */
                FAIL("after %s, which answered %s, the handle shows %" PRIu64 "..<%" PRIu64 ", which cannot be: %s", step_names[step->kind],
                     check_code_name(result), walrus_first_index(session->log), walrus_next_index(session->log), difference);
            int count = session->count;
            for (int i = session->count = 0; i < count; i++)
                if (left == 0 || shown[i])
                    session->lines[session->count++] = session->lines[i];
        }
    }
    return result;
}

/* A fault that is over after one call: the open that fails may be tried again, and then succeeds. */
static bool try_open_again(trial_t *trial, bool for_ever) {
    holdings_t before = count_holdings();
    for (int try = 0; try < 2; try++) {
        if (try_step(trial, &(step_t){.kind = STEP_OPEN}) == WALRUS_OK)
            return true;
        counts.failed_opens++;
        CHECK(trial->session.log == NULL);
        CHECK_HOLDINGS(before);
        if (for_ever)
            return false;
    }
    FAIL("a second open failed, too");
    return false;
}

/* Runs the script of that seed, in which call `at` fails. False if none did. */
static bool run_with_fault(uint64_t seed, const char *how, bool for_ever, uint64_t at) {
    static trial_t trial;
    session_t *session = &trial.session;
    alarm(30);
    check_remove_tree(AT_FDCWD, in_memory("log"));
    trial.may_have_lost = false;
    session_begin(session, in_memory("log"), how, seed);
    snprintf(trial.what, sizeof trial.what, "seed %" PRIu64 ", %s, %s %s, call %" PRIu64, seed, session->text, flavour->name,
             for_ever ? "for ever" : "once", at);
    holdings_t before = count_holdings();
    arm_faults(at, for_ever, &flavour->errors);
    bool is_open = try_open_again(&trial, for_ever);
    for (int i = 0; i < 14 && is_open; i++) {
        step_t step = choose_step(session);
        try_step(&trial, &step);
        if (session->log == NULL)
            is_open = try_open_again(&trial, for_ever);
    }
    if (session->log != NULL)
        try_step(&trial, &(step_t){.kind = STEP_CLOSE});
    disarm_faults();
    counts.runs++;
    counts.calls += faults.calls;
    bool struck = faults.struck > 0;
    if (struck)
        counts.kinds[faults.first_call]++;
    note(&trial, "afterwards");
    CHECK_HOLDINGS(before);
    memset(session->staged, 0, sizeof session->staged);
    for (int round = 0; round < 2; round++) {
        session->log = open_log(session->directory, session->text);
        find_line(&trial);
        trial.may_have_lost = false;
        if (round == 0) {
            step_t append = {.kind = STEP_APPEND, .count = 1, .given[0] = {.seed = 1, .size = 10, .term = 1}, .flags = WALRUS_DURABLE};
            CHECK_OK(try_step(&trial, &append));
        }
        CHECK_OK(walrus_close(session->log));
        session->log = NULL;
    }
    counts.struck += struck;
    return struck;
}

/* Each call of the script is refused, in each way. */
static void sweep(uint64_t seed, const char *how) {
    payloads_are_text = seed & 1;
    counts.scripts++;
    for (int f = 0; f < FLAVOURS; f++)
        for (int for_ever = 0; for_ever < 2 - flavours[f].only_once; for_ever++) {
            flavour = &flavours[f];
            for (uint64_t at = 1; run_with_fault(seed, how, for_ever, at); at++)
                continue;
        }
}

static double seconds_of_all(void) {
    const char *text = getenv("WALRUS_SECONDS");
    return text != NULL && text[0] != 0 ? strtod(text, NULL) : 30;
}

static void print_counts(uint64_t seed) {
    printf("      seed %" PRIu64 ": %" PRIu64 " scripts, %" PRIu64 " runs, %" PRIu64 " of them with faults; steps that failed and were not done: %" PRIu64
           ", perhaps done: %" PRIu64 "; opens that failed: %" PRIu64 "\n      failed first:",
           seed, counts.scripts, counts.runs, counts.struck, counts.certain, counts.uncertain, counts.failed_opens);
    for (int i = 0; i < CALL_KINDS; i++)
        if (counts.kinds[i] > 0)
            printf(" %s %" PRIu64, call_names[i], counts.kinds[i]);
    printf("\n");
}

/* Catches: whatever is wrong in a path that only an error takes. */
VARIANT_CASES(a_call_that_fails_breaks_no_promise) {
    uint64_t seed = run_seed();
    double until = check_now_s() + seconds_of_all() / (VARIANTS + 1);
    uint64_t round = 0;
    do {
        sweep(round ? seed * 1000003 + round : seed, variant);
        round++;
    } while (check_now_s() < until);
    print_counts(seed);
    CHECK(counts.struck > 100);
}

/* ---- Reading -------------------------------------------------------------------------------- */

enum { READ_ENTRIES = 60 };

static void check_read(int32_t result, const char *what) {
    if (result == WALRUS_OK)
        return;
    if (flavour->is_hidden || (result != WALRUS_E_IO && result != WALRUS_E_NO_MEMORY))
        FAIL("%s answered %s", what, check_code_name(result));
}

static int32_t visit_entry(void *ctx, const walrus_entry_t *entry) {
    uint64_t *next = ctx;
    CHECK_U64(++*next, entry->index);
    CHECK(is_payload(entry->data, entry->size, entry->index));
    return 0;
}

static int32_t visit_segment(void *ctx, const walrus_segment_info_t *segment) {
    uint64_t *next = ctx;
    if (segment->last_index >= segment->first_index) {
        CHECK_U64(*next, segment->first_index);
        *next = segment->last_index + 1;
    }
    return 0;
}

/* Each function that reads, once. What is answered is right or an error. */
static void read_all(walrus_t *log) {
    walrus_entry_t entry, entries[8];
    for (uint64_t index = 1; index <= READ_ENTRIES; index += 13) {
        int32_t result = walrus_get(log, index, &entry);
        check_read(result, "get");
        CHECK(result != WALRUS_OK || is_payload(entry.data, entry.size, index));
        walrus_entry_release(&entry);
    }
    uint64_t next = 0, found = 0, term = 0;
    check_read(walrus_scan(log, 1, UINT64_MAX, visit_entry, &next), "scan");
    int32_t result = walrus_last_index_of_term(log, 3, &found);
    check_read(result, "last_index_of_term");
    CHECK(result != WALRUS_OK || found == 39);
    result = walrus_seek_time(log, 25, &found);
    check_read(result, "seek_time");
    CHECK(result != WALRUS_OK || found == 25);
    result = walrus_term(log, 17, &term);
    check_read(result, "term");
    CHECK(result != WALRUS_OK || term == 1);
    size_t count = 0, size = 0;
    result = walrus_get_range(log, 20, 40, SIZE_MAX, entries, 8, &count);
    check_read(result, "get_range");
    if (result == WALRUS_OK) {
        CHECK(count == 8 && is_payload(entries[7].data, entries[7].size, 27));
        walrus_entries_release(entries, count);
    }
    static char buffer[20000];
    uint32_t sizes[8];
    result = walrus_read_packed(log, 30, 8, buffer, sizeof buffer, sizes, &count);
    check_read(result, "read_packed");
    CHECK(result != WALRUS_OK || (count == 8 && is_payload(buffer, sizes[0], 30)));
    result = walrus_meta_get(log, "key", buffer, sizeof buffer, &size);
    check_read(result, "meta_get");
    CHECK(result != WALRUS_OK || (size == 5 && memcmp(buffer, "value", 5) == 0));
    next = 1;
    result = walrus_segments(log, visit_segment, &next);
    check_read(result, "segments");
    CHECK(result != WALRUS_OK || next == READ_ENTRIES + 1);
    int fd = -1;
    check_read(walrus_notify_fd(log, &fd), "notify_fd");
    walrus_cursor_t *cursor = NULL;
    result = walrus_cursor_open(log, 55, 0, &cursor);
    check_read(result, "cursor_open");
    for (uint64_t index = 55; cursor != NULL && index <= READ_ENTRIES; index++) {
        result = walrus_cursor_next(cursor, &entry);
        check_read(result, "cursor_next");
        CHECK(result != WALRUS_OK || entry.index >= 55);
        walrus_entry_release(&entry);
        if (result != WALRUS_OK)
            break;
    }
    if (cursor != NULL) {
        result = walrus_cursor_wait(cursor, 0);
        if (result != WALRUS_E_TIMEOUT)
            check_read(result, "cursor_wait");
    }
    walrus_cursor_close(cursor);
    check_read(walrus_stats_text(log, buffer, sizeof buffer, &size), "stats_text");
}

/* A log of several segments, some of it cut, with metadata; closed, or as it is while open. */
static image_t *log_to_read(bool closed) {
    payloads_are_text = true;
    check_remove_tree(AT_FDCWD, in_memory("base"));
    walrus_t *log = open_log(in_memory("base"), closed ? "segment_size=4KiB sync=os compression=zlib compression_min_size=0" : "segment_size=4KiB sync=os");
    for (uint64_t index = 1; index <= READ_ENTRIES + 3; index++) {
        unsigned char *bytes = payload(200 + index, index);
        walrus_record_t record = {.data = bytes, .size = 200 + index, .term = index < 20 ? 1 : index < 40 ? 3 : 4, .timestamp_ns = (int64_t)index};
        CHECK_OK(walrus_append_record(log, &record, 0, NULL));
        free(bytes);
    }
    CHECK_OK(walrus_meta_set(log, "key", "value", 5));
    CHECK_OK(walrus_truncate(log, READ_ENTRIES));
    CHECK_OK(walrus_sync(log));
    image_t *image = closed ? NULL : image_read(in_memory("base"));
    CHECK_OK(walrus_close(log));
    return image ? image : image_read(in_memory("base"));
}

/* Catches: an error that is taken for damage or for the end, wrong bytes, and what a read that fails leaves behind. */
CASE(a_read_that_fails_answers_so_and_holds_nothing) {
    static const char *const how[] = {"", "zero_copy=off cached_segments=1", "read_only=on", "read_only=on zero_copy=off cached_segments=1",
                                      "recovery=strict", "recovery=salvage read_only=on"};
    uint64_t runs = 0, struck = 0;
    for (int closed = 0; closed < 2; closed++) {
        image_t *image = log_to_read(closed);
        for (size_t h = 0; h < sizeof how / sizeof how[0]; h += closed ? 3 : 1)
            for (int f = 0; f < FLAVOURS; f++)
                for (int for_ever = 0; for_ever < 2 - flavours[f].only_once; for_ever++) {
                    flavour = &flavours[f];
                    image_write(image, in_memory("log"));
                    bool has_struck = true;
                    for (uint64_t at = 1; has_struck; at += for_ever ? 5 : 1) {
                        alarm(30);
                        CHECK_NOTE("%s log, %s, %s %s, call %" PRIu64, closed ? "closed" : "crashed", how[h], flavour->name,
                                   for_ever ? "for ever" : "once", at);
                        holdings_t before = count_holdings();
                        walrus_t *log = NULL;
                        arm_faults(at, for_ever, &flavour->errors);
                        int32_t result = try_open(in_memory("log"), how[h], &log);
                        CHECK_NOTE("%s log, %s, %s %s, call %" PRIu64 " (%s)", closed ? "closed" : "crashed", how[h], flavour->name,
                                   for_ever ? "for ever" : "once", at, faults.struck ? call_names[faults.first_call] : "none yet");
                        if (result != WALRUS_E_NO_SPACE)
                            check_read(result, "open");
                        if (log != NULL) {
                            CHECK_U64(READ_ENTRIES, walrus_last_index(log));
                            read_all(log);
                            walrus_close(log);
                        }
                        disarm_faults();
                        has_struck = faults.struck > 0;
                        struck += has_struck;
                        runs++;
                        CHECK_HOLDINGS(before);
                    }
                    flavour = &flavours[0];
                    walrus_t *log = open_log(in_memory("log"), "");
                    read_all(log);
                    CHECK_OK(walrus_close(log));
                }
        image_free(image);
    }
    printf("      %" PRIu64 " runs, %" PRIu64 " of them with faults\n", runs, struck);
    CHECK(struck > 500);
}

/* Catches: half a listing that is taken for the whole one, after which a log has lost files, or is none; with recovery=salvage it was
 * opened without a word. */
CASE(a_directory_that_cannot_be_read_to_its_end_is_an_error) {
    static const int error[CALL_KINDS] = {[CALL_READDIR] = EIO};
    static const char *const how[] = {"", "read_only=on", "recovery=salvage read_only=on"};
    for (int closed = 0; closed < 2; closed++) {
        image_t *image = log_to_read(closed);
        image_write(image, in_memory("log"));
        image_free(image);
        for (int h = 0; h < 3; h++)
            for (uint64_t at = 1;; at++) {
                walrus_t *log = NULL;
                arm_faults(at, false, &error);
                int32_t result = try_open(in_memory("log"), how[h], &log);
                disarm_faults();
                CHECK_NOTE("%s log, %s, name %" PRIu64, closed ? "closed" : "crashed", how[h], at);
                CHECK_CODE(faults.struck ? WALRUS_E_IO : WALRUS_OK, result);
                CHECK_OK(walrus_close(log));
                if (!faults.struck) {
                    CHECK(at > 10);
                    break;
                }
                CHECK_U64(EIO, (uint64_t)last_error().os_errno);
            }
    }
}

/* Catches: a reader that has no memory to decompress with and is told of damage. */
CASE(an_entry_that_no_memory_is_there_to_decompress_is_not_damaged) {
    static const int errors[2][CALL_KINDS] = {{[CALL_INFLATE] = ENOMEM}, {[CALL_INFLATING] = ENOMEM}};
    payloads_are_text = true;
    for (int v = 0; v < VARIANTS; v++) {
        CHECK_NOTE("%s", variants[v]);
        walrus_t *log = open_log(in_memory("log-%d", v), variants[v]);
        append_payload(log, 1000, 1);
        for (int e = 0; e < 2; e++) {
            walrus_entry_t entry;
            arm_faults(1, true, &errors[e]);
            int32_t result = walrus_get(log, 1, &entry);
            disarm_faults();
            CHECK_CODE(v % 2 ? WALRUS_E_NO_MEMORY : WALRUS_OK, result);
            walrus_entry_release(&entry);
            check_entry(log, 1, 1000, 1);
        }
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: an interrupted open of the listing, which file systems in user space answer, taken for an error. */
CASE(a_listing_that_is_interrupted_is_begun_again) {
    static const int error[CALL_KINDS] = {[CALL_OPENAT] = EINTR};
    image_t *image = log_to_read(true);
    image_write(image, in_memory("log"));
    image_free(image);
    for (uint64_t at = 1; at == 1 || faults.struck; at++) {
        CHECK_NOTE("open number %" PRIu64, at);
        arm_faults(at, false, &error);
        walrus_t *log = open_log(in_memory("log"), "");
        disarm_faults();
        CHECK_OK(walrus_close(log));
        CHECK(at < 100);
    }
}

/* Catches: a copy that is called whole and is not, a source that is changed, and a log that is half removed for good. */
CASE(a_copy_or_removal_that_fails_can_be_done_again) {
    image_t *image = log_to_read(true);
    uint64_t runs = 0, struck = 0;
    for (int f = 0; f < FLAVOURS; f++)
        for (int for_ever = 0; for_ever < 2 - flavours[f].only_once; for_ever++) {
            bool has_struck = true;
            for (uint64_t at = 1; has_struck; at += for_ever ? 5 : 1) {
                alarm(30);
                flavour = &flavours[f];
                image_write(image, in_memory("log"));
                check_remove_tree(AT_FDCWD, in_memory("target"));
                walrus_options_t *options = settings("format=json segment_size=8KiB");
                holdings_t before = count_holdings();
                has_struck = false;
                arm_faults(at, for_ever, &flavour->errors);
                int32_t result = walrus_convert(in_memory("log"), in_memory("target"), options, NULL, NULL);
                disarm_faults();
                CHECK_NOTE("convert, %s %s, call %" PRIu64 " (%s): %s", flavour->name, for_ever ? "for ever" : "once", at,
                           faults.struck ? call_names[faults.first_call] : "none", check_code_name(result));
                has_struck |= faults.struck > 0;
                CHECK_HOLDINGS(before);
                CHECK(result == WALRUS_OK || (!flavour->is_hidden && (result == WALRUS_E_IO || result == WALRUS_E_NO_SPACE ||
                                                                      result == WALRUS_E_NO_MEMORY || result == WALRUS_E_POISONED)));
                if (result != WALRUS_OK)
                    CHECK_OK(walrus_convert(in_memory("log"), in_memory("target"), options, NULL, NULL));
                walrus_options_free(options);
                for (int i = 0; i < 2; i++) {
                    walrus_t *log = open_log(i ? in_memory("target") : in_memory("log"), "read_only=on");
                    CHECK_U64(READ_ENTRIES, walrus_last_index(log));
                    read_all(log);
                    CHECK_OK(walrus_close(log));
                }
                arm_faults(at, for_ever, &flavour->errors);
                result = walrus_destroy(in_memory("log"));
                disarm_faults();
                CHECK_NOTE("destroy, %s %s, call %" PRIu64 " (%s): %s", flavour->name, for_ever ? "for ever" : "once", at,
                           faults.struck ? call_names[faults.first_call] : "none", check_code_name(result));
                has_struck |= faults.struck > 0;
                CHECK_HOLDINGS(before);
                CHECK(result == WALRUS_OK || (!flavour->is_hidden && (result == WALRUS_E_IO || result == WALRUS_E_NO_SPACE ||
                                                                      result == WALRUS_E_NO_MEMORY)));
                if (result != WALRUS_OK) {
                    result = walrus_destroy(in_memory("log"));
                    CHECK(result == WALRUS_OK || result == WALRUS_E_NO_LOG);
                }
                /* The lock goes last: where only that was refused, it is left in a directory that is no log any more. */
                walrus_t *log = NULL;
                CHECK_CODE(WALRUS_E_NO_LOG, try_open(in_memory("log"), "create=off", &log));
                CHECK(!exists(in_memory("log")) || image_read(in_memory("log"))->count <= 1);
                struck += has_struck;
                runs++;
            }
        }
    image_free(image);
    printf("      %" PRIu64 " runs, %" PRIu64 " of them with faults\n", runs, struck);
    CHECK(struck > 500);
}
