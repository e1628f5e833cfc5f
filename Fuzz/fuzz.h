/* fuzz.h - what the fuzz targets share: a place in memory, chance that repeats itself, and what must hold for any log
 *
 * A target is a program with libFuzzer in it, around a build of the library that counts the edges it takes and in which the address sanitizer
 * watches each access. It is handed bytes and makes of them files, or calls. Whatever they are, it must end, soon, with a result
 * that walrus.h lists, holding nothing: a check that fails is a crash, and libFuzzer keeps the bytes that led to it.
 */
#ifndef FUZZ_H
#define FUZZ_H

#define CHECK_IS_FUZZED
#include "../Tests/c/format.h"
#include "../Tests/c/variants.h"

/* ---- Chance that repeats itself -------------------------------------------------------------- */

/* The same input shall make the same salts and ids: so a crash can be had again, and what the fuzzer learns of an input stays
 * true. This takes the place of libc's for the library, too. */
static random_source_t fuzz_chance;

ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
    (void)flags;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)buffer)[i] = (unsigned char)next_random(&fuzz_chance);
    return (ssize_t)size;
}

static inline void fuzz_repeat_chance(void) { fuzz_chance.state = 0; }

/* ---- A place --------------------------------------------------------------------------------- */

static char fuzz_log_dir[1200], fuzz_copy_dir[1200];
static holdings_t fuzz_holdings;

/* $WALRUS_FUZZ_DIR is removed by who made it (scripts/fuzz): a crash cannot. */
static inline void fuzz_begin(void) {
    const char *given = getenv("WALRUS_FUZZ_DIR");
    check_shared = calloc(1, sizeof *check_shared);
    check_case_name = "fuzz";
    snprintf(check_directory, sizeof check_directory, "%s", given ? given : "/dev/shm/walrus-fuzz");
    mkdir(check_directory, 0755);
    /* Each process has its own: replays may run beside a long run. */
    snprintf(fuzz_log_dir, sizeof fuzz_log_dir, "%s/log-%d", check_directory, (int)getpid());
    snprintf(fuzz_copy_dir, sizeof fuzz_copy_dir, "%s/copy-%d", check_directory, (int)getpid());
    fuzz_repeat_chance();
}

/* At the start and at the end of an input: nothing may be left behind by it. */
static inline void fuzz_enter(void) {
    check_shared->note[0] = 0;
    fuzz_repeat_chance();
    fuzz_holdings = count_holdings();
}

static inline void fuzz_leave(void) {
    CHECK_NOTE("what the input left behind");
    CHECK_HOLDINGS(fuzz_holdings);
    check_remove_tree(AT_FDCWD, fuzz_log_dir);
    check_remove_tree(AT_FDCWD, fuzz_copy_dir);
}

/* ---- Bytes of the input ---------------------------------------------------------------------- */

typedef struct input {
    const unsigned char *at;
    size_t left;
} input_t;

/* 0 behind the end. */
static inline unsigned take(input_t *input) {
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

static inline unsigned take2(input_t *input) {
    unsigned low = take(input);
    return low | take(input) << 8;
}

/* ---- Seeds ----------------------------------------------------------------------------------- */

static char fuzz_seed_dir[1024]; /* --seeds=DIR: the target writes its seeds there, instead of fuzzing */
static unsigned fuzz_seed_count;

static inline bool fuzz_wants_seeds(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--seeds=", 8) == 0)
            snprintf(fuzz_seed_dir, sizeof fuzz_seed_dir, "%s", argv[i] + 8);
    return fuzz_seed_dir[0] != 0;
}

static inline void fuzz_write_seed(const void *bytes, size_t size) {
    char path[1200];
    snprintf(path, sizeof path, "%s/seed-%03u", fuzz_seed_dir, fuzz_seed_count++);
    write_file(path, bytes, size);
}

/* ---- What holds for any log ------------------------------------------------------------------ */

/* The input's checksums were made right: a log may contradict itself then, and nothing is asked of it but to end well. */
static bool fuzz_is_forged;

/* Where a run frame (docs/FORMAT.md) is among what is damaged, salvage gives the entries behind it the term and the time of the run before. */
static bool fuzz_is_salvage;
static const char *fuzz_opened_with;

/* walrus_open of an existing directory whose files say anything at all. Never IO or NO_MEMORY: the bytes of a file are not the system's fault. */
static inline void fuzz_check_open_code(int32_t code, bool is_strict) {
    CHECK(code == WALRUS_OK || code == WALRUS_E_CORRUPT || code == WALRUS_E_VERSION || code == WALRUS_E_FORMAT ||
          code == WALRUS_E_NOT_A_LOG || code == WALRUS_E_NO_LOG || (is_strict && code == WALRUS_E_TORN));
}

enum { FUZZ_MOST_READ = 300 }; /* entries read at either end: a claim of 2^60 entries must not make the run long */

/* What a log shows: enough to see whether it shows the same again. */
typedef struct shown {
    uint64_t first, last, count, sum; /* sum: over all that was read of every entry, and over the codes */
    bool is_damaged;
} shown_t;

static inline void fuzz_add(shown_t *shown, const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        shown->sum = (shown->sum ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
}

static inline int32_t fuzz_visit(void *ctx, const walrus_entry_t *entry) {
    uint64_t *next = ctx;
    CHECK_U64(*next, entry->index);
    ++*next;
    return *next % FUZZ_MOST_READ == 0;
}

static inline int32_t fuzz_visit_meta(void *ctx, const char *key, const void *value, size_t size) {
    fuzz_add(ctx, key, strlen(key));
    fuzz_add(ctx, value, size);
    return 0;
}

static inline int32_t fuzz_visit_segment(void *ctx, const walrus_segment_info_t *segment) {
    (void)ctx;
    CHECK(segment->name != NULL && is_segment(segment->name));
    return 0;
}

static inline bool fuzz_is_read_code(int32_t code) {
    return code == WALRUS_OK || code == WALRUS_E_CORRUPT || code == WALRUS_E_VERSION;
}

static inline void fuzz_read_one(walrus_t *log, uint64_t index, shown_t *shown) {
    walrus_entry_t entry;
    int32_t code = walrus_get(log, index, &entry);
    CHECK_NOTE("get %" PRIu64 ": %d", index, code);
    CHECK(fuzz_is_read_code(code));
    fuzz_add(shown, &code, sizeof code);
    if (code != WALRUS_OK) {
        shown->is_damaged = true;
        return;
    }
    CHECK_U64(index, entry.index);
    CHECK(fuzz_is_forged || walrus_crc32(entry.data, entry.size) == entry.checksum);
    fuzz_add(shown, &entry.term, sizeof entry.term);
    fuzz_add(shown, &entry.timestamp_ns, sizeof entry.timestamp_ns);
    fuzz_add(shown, entry.data, entry.size);
    uint64_t term = 0;
    int32_t term_code = walrus_term(log, index, &term);
    CHECK(fuzz_is_read_code(term_code));
    CHECK(fuzz_is_forged || fuzz_is_salvage || term_code != WALRUS_OK || term == entry.term);
    walrus_entry_release(&entry);
    shown->count++;
}

/* Reads all there is in every way there is. */
static inline shown_t fuzz_read_all(walrus_t *log) {
    shown_t shown = {.first = walrus_first_index(log), .last = walrus_last_index(log)};
    uint64_t next = walrus_next_index(log);
    walrus_entry_t entry, entries[8];
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(log, next, &entry));
    CHECK(walrus_durable_index(log) < next);
    CHECK(walrus_meta_each(log, fuzz_visit_meta, &shown) == WALRUS_OK);
    CHECK(fuzz_is_read_code(walrus_segments(log, fuzz_visit_segment, NULL)));
    if (shown.first == 0) {
        CHECK_U64(0, shown.last);
        return shown;
    }
    CHECK(shown.first <= shown.last && shown.last + 1 == next);
    uint64_t count = shown.last - shown.first + 1;
    for (uint64_t i = 0; i < count && i < FUZZ_MOST_READ; i++)
        fuzz_read_one(log, shown.first + i, &shown);
    for (uint64_t i = 0; i + FUZZ_MOST_READ < count && i < FUZZ_MOST_READ; i++)
        fuzz_read_one(log, shown.last - i, &shown);

    next = shown.first;
    CHECK_NOTE("scan");
    int32_t code = walrus_scan(log, shown.first, UINT64_MAX, fuzz_visit, &next);
    CHECK(fuzz_is_read_code(code) || code == 1);
    CHECK(shown.is_damaged || count > FUZZ_MOST_READ || next == shown.last + 1);

    CHECK_NOTE("cursor");
    walrus_cursor_t *cursor;
    CHECK_OK(walrus_cursor_open(log, 0, 0, &cursor));
    size_t forward = 0, back = 0;
    while (forward < FUZZ_MOST_READ && (code = walrus_cursor_next(cursor, &entry)) == WALRUS_OK) {
        CHECK_U64(shown.first + forward++, entry.index);
        walrus_entry_release(&entry);
    }
    CHECK(fuzz_is_read_code(code) || code == WALRUS_E_CAUGHT_UP);
    CHECK(shown.is_damaged || forward == (count < FUZZ_MOST_READ ? count : FUZZ_MOST_READ));
    CHECK_OK(walrus_cursor_seek(cursor, shown.last + 1));
    while (back < FUZZ_MOST_READ && (code = walrus_cursor_prev(cursor, &entry)) == WALRUS_OK) {
        CHECK_U64(shown.last - back++, entry.index);
        walrus_entry_release(&entry);
    }
    CHECK(fuzz_is_read_code(code) || code == WALRUS_E_NOT_FOUND || code == WALRUS_E_COMPACTED);
    CHECK(shown.is_damaged || back == forward);
    walrus_cursor_close(cursor);

    CHECK_NOTE("range, search");
    size_t got = 0;
    code = walrus_get_range(log, shown.first, UINT64_MAX, 1 << 20, entries, 8, &got);
    CHECK(fuzz_is_read_code(code));
    if (code == WALRUS_OK)
        walrus_entries_release(entries, got);
    unsigned char packed[512];
    uint32_t sizes[8];
    code = walrus_read_packed(log, shown.last > 4 ? shown.last - 4 : shown.last, 8, packed, sizeof packed, sizes, &got);
    CHECK(fuzz_is_read_code(code) || code == WALRUS_E_TOO_SMALL || code == WALRUS_E_COMPACTED);
    uint64_t found;
    code = walrus_seek_time(log, INT64_C(1800000000) * 1000000000, &found);
    CHECK(fuzz_is_read_code(code) || code == WALRUS_E_NOT_FOUND);
    CHECK(code != WALRUS_OK || (found >= shown.first && found <= shown.last));
    for (uint64_t term = 0; term < 4; term++) {
        code = walrus_last_index_of_term(log, term, &found);
        CHECK(fuzz_is_read_code(code) || code == WALRUS_E_NOT_FOUND);
        CHECK(code != WALRUS_OK || (found >= shown.first && found <= shown.last));
    }
    return shown;
}

static inline bool fuzz_shows_the_same(const shown_t *a, const shown_t *b) {
    return a->first == b->first && a->last == b->last && a->sum == b->sum;
}

/* Opens what stands in fuzz_log_dir in every way, and reads it; then goes on writing, if that is allowed. `check`, which may be NULL, looks
 * at each log that opened. */
static inline void fuzz_open_and_read(const char *variant, void (*check)(walrus_t *log)) {
    static const char *const readers[] = {"read_only=true", "read_only=true recovery=salvage",
                                          "read_only=true zero_copy=false cached_segments=1"};
    char text[256];
    walrus_t *log;
    image_t *before = image_read(fuzz_log_dir);
    int32_t code = 0;
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        fuzz_opened_with = readers[i];
        CHECK_NOTE("open %s", fuzz_opened_with);
        fuzz_is_salvage = strstr(readers[i], "salvage") != NULL;
        code = try_open(fuzz_log_dir, readers[i], &log);
        fuzz_check_open_code(code, false);
        if (code != WALRUS_OK)
            continue;
        fuzz_read_all(log);
        if (check != NULL)
            check(log);
        CHECK_OK(walrus_close(log));
    }
    fuzz_is_salvage = false;
    /* A writer that refuses changes nothing; nor does a reader. */
    snprintf(text, sizeof text, "create=false segment_size=4096 buffer_size=4096 sync=os %s", variant);
    char strict[300];
    snprintf(strict, sizeof strict, "%s recovery=strict", text);
    CHECK_NOTE("open strict");
    code = try_open(fuzz_log_dir, strict, &log);
    fuzz_check_open_code(code, true);
    if (code != WALRUS_OK)
        CHECK_UNTOUCHED(before, fuzz_log_dir);
    image_free(before);
    if (code == WALRUS_OK) {
        fuzz_read_all(log);
        CHECK_OK(walrus_close(log));
    }
    CHECK_NOTE("open to write");
    fuzz_opened_with = text;
    code = try_open(fuzz_log_dir, text, &log);
    fuzz_check_open_code(code, false);
    if (code != WALRUS_OK)
        return;
    shown_t shown = fuzz_read_all(log);
    if (check != NULL)
        check(log);
    uint64_t index = 0;
    CHECK_NOTE("append");
    code = walrus_append_record(log, &(walrus_record_t){.data = "more", .size = 4, .term = 1}, WALRUS_DURABLE, &index);
    CHECK(fuzz_is_read_code(code) || code == WALRUS_E_INVALID);
    bool went_on = code == WALRUS_OK;
    CHECK_NOTE("after an append that answered %d", code);
    shown_t longer = fuzz_read_all(log);
    if (went_on) {
        CHECK_U64(index, longer.last);
        CHECK(shown.first == 0 || (longer.first == shown.first && longer.last == shown.last + 1));
    }
    CHECK_NOTE("close");
    code = walrus_close(log);
    CHECK(code == WALRUS_OK || !went_on);
    CHECK_NOTE("open again");
    code = try_open(fuzz_log_dir, text, &log);
    fuzz_check_open_code(code, false);
    CHECK(code == WALRUS_OK || fuzz_is_forged || !went_on);
    if (code != WALRUS_OK)
        return;
    shown = fuzz_read_all(log);
    CHECK_NOTE("the log that was opened again is the same");
    CHECK(fuzz_is_forged || !went_on || fuzz_shows_the_same(&longer, &shown));
    CHECK_NOTE("truncate, reset");
    if (shown.first != 0)
        CHECK(fuzz_is_read_code(walrus_truncate(log, shown.last - 1)));
    code = walrus_reset(log, 7);
    CHECK(fuzz_is_read_code(code) || code == WALRUS_E_POISONED);
    shown = fuzz_read_all(log);
    CHECK(code != WALRUS_OK || shown.first == 0);
    CHECK_NOTE("the last close");
    code = walrus_close(log);
    CHECK(code == WALRUS_OK || fuzz_is_forged);
}

#endif /* FUZZ_H */
