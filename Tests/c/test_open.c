/* test_open.c - what may be opened, what may not, and that a refusal leaves neither traces nor leaks
 */
#include "format.h"

#include <sys/prctl.h>

/* A small log of 20 entries over two or three segments, closed cleanly. */
static void make_log(const char *dir) {
    walrus_t *log = open_log(dir, "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 20; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_close(log));
}

static void check_log(const char *dir) {
    walrus_t *log = open_log(dir, "");
    CHECK_U64(1, walrus_first_index(log));
    CHECK(walrus_last_index(log) >= 20);
    for (uint64_t i = 1; i <= 20; i++)
        check_entry(log, i, 1000, i);
    CHECK_OK(walrus_close(log));
}

/* ---- Places that are not a log -------------------------------------------------------------- */

/* Catches: a log that is made in the middle of somebody else's files. */
CASE(a_directory_with_foreign_files_is_not_a_log_and_stays_untouched) {
    const char *names[] = {"README", ".hidden", "data.wal", "0000000000000001.wal", "walrus.txt", "some.tmpx"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *dir = at("dir%zu", i);
        char path[PATH_MAX];
        walrus_t *log = NULL;
        CHECK(mkdir(dir, 0755) == 0);
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        write_file(path, "keep me", 7);
        image_t *before = image_read(dir);
        CHECK_NOTE("%s", names[i]);
        CHECK_CODE(WALRUS_E_NOT_A_LOG, walrus_open(dir, NULL, &log));
        CHECK_CODE(WALRUS_E_NOT_A_LOG, try_open(dir, "must_be_new=true", &log));
        int32_t result = try_open(dir, "create=false", &log);
        CHECK(result == WALRUS_E_NOT_A_LOG || result == WALRUS_E_NO_LOG);
        result = try_open(dir, "read_only=true", &log);
        CHECK(result == WALRUS_E_NOT_A_LOG || result == WALRUS_E_NO_LOG);
        CHECK_CODE(WALRUS_E_NOT_A_LOG, walrus_destroy(dir));
        CHECK(log == NULL);
        CHECK_UNTOUCHED(before, dir);
        CHECK(count_names(dir) + (names[i][0] == '.') == 1);
        image_free(before);
    }
    CHECK(mkdir(at("outer"), 0755) == 0 && mkdir(at("outer/inner"), 0755) == 0);
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_NOT_A_LOG, walrus_open(at("outer"), NULL, &log));
    CHECK(exists(at("outer/inner")));
}

/* Catches: a file that is opened as if it were a directory, or replaced by one. */
CASE(a_path_that_is_no_directory_is_not_a_log) {
    walrus_t *log = NULL;
    write_file(at("file"), "abc", 3);
    CHECK(mkfifo(at("fifo"), 0644) == 0);
    const char *names[] = {"file", "fifo"};
    for (int i = 0; i < 2; i++) {
        const char *options[] = {"", "create=false", "read_only=true", "must_be_new=true"};
        for (int j = 0; j < 4; j++) {
            CHECK_NOTE("%s with %s", names[i], options[j]);
            CHECK_CODE(WALRUS_E_NOT_A_LOG, try_open(at("%s", names[i]), options[j], &log));
        }
        CHECK_CODE(WALRUS_E_NOT_A_LOG, walrus_destroy(at("%s", names[i])));
    }
    CHECK(walrus_open(at("file/log"), NULL, &log) < 0);
    size_t size;
    unsigned char *bytes = read_file(at("file"), &size);
    CHECK_BYTES("abc", 3, bytes, size);
    free(bytes);
}

/* Catches: mkdir -p where nobody asked for it, and an error without the path. */
CASE(a_missing_parent_is_an_error_that_names_the_path) {
    walrus_t *log = NULL;
    int32_t result = walrus_open(at("missing/log"), NULL, &log);
    CHECK(result == WALRUS_E_IO || result == WALRUS_E_NO_LOG || result == WALRUS_E_NOT_A_LOG);
    walrus_error_t error = last_error();
    CHECK(strstr(error.path, "missing") != NULL);
    CHECK(result != WALRUS_E_IO || error.os_errno == ENOENT);
    CHECK(!exists(at("missing")));
}

/* Catches: an empty directory that counts as foreign. */
CASE(an_empty_directory_becomes_a_log) {
    CHECK(mkdir(at("log"), 0755) == 0);
    walrus_t *log = open_log(at("log"), "");
    append_payload(log, 10, 1);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "create=false");
    check_entry(log, 1, 10, 1);
    CHECK_OK(walrus_close(log));
}

/* Catches: a log that refuses to open because of a file that somebody put beside it, or that removes that file. */
CASE(foreign_files_inside_a_log_are_left_alone) {
    const char *dir = at("log");
    make_log(dir);
    write_file(at("log/NOTES"), "mine", 4);
    write_file(at("log/copy.wal"), "mine", 4);
    write_file(at("log/00000000000000zz.wal"), "mine", 4);
    CHECK(mkdir(at("log/sub"), 0755) == 0);
    check_log(dir);
    walrus_t *log = open_log(dir, "sync=os segment_size=16KiB");
    for (uint64_t i = 21; i <= 60; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_truncate_front(log, 50));
    CHECK_OK(walrus_reset(log, 1));
    CHECK_OK(walrus_close(log));
    CHECK(exists(at("log/NOTES")) && exists(at("log/copy.wal")) && exists(at("log/sub")) &&
          exists(at("log/00000000000000zz.wal")));
}

/* ---- Unfinished creations ------------------------------------------------------------------- */

/* Catches: a crash during the first creation after which the directory is neither a log nor free to become one. */
CASE(a_creation_that_was_killed_anywhere_is_made_good_by_the_next_open) {
    for (int round = 0; round < 120; round++) {
        const char *dir = at("log");
        pid_t child = start();
        if (child == 0) {
            walrus_t *log = NULL;
            walrus_open(dir, NULL, &log);
            pause();
        }
        usleep((useconds_t)(round * 25));
        kill(child, SIGKILL);
        await(child);
        CHECK_NOTE("killed after %d us", round * 25);
        walrus_t *log = open_log(dir, "");
        CHECK_U64(0, walrus_last_index(log));
        CHECK_U64(1, append_payload(log, 10, 1));
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "create=false");
        check_entry(log, 1, 10, 1);
        CHECK_OK(walrus_close(log));
        CHECK_OK(walrus_destroy(dir));
        CHECK(!exists(dir));
    }
}

/* Catches: leftovers that count as foreign files. */
CASE(a_directory_of_leftovers_becomes_a_log) {
    const char *files[] = {"walrus.lock", "walrus.meta.tmp", "0000000000000001.wal.tmp"};
    for (unsigned set = 1; set < 8; set++) {
        const char *dir = at("log%u", set);
        CHECK(mkdir(dir, 0755) == 0);
        for (int i = 0; i < 3; i++)
            if (set & 1u << i)
                write_file(at("log%u/%s", set, files[i]), i == 0 ? "" : "\x89WALMET\n half", i == 0 ? 0 : 13);
        walrus_t *log = NULL;
        CHECK_NOTE("set %u", set);
        CHECK_CODE(WALRUS_E_NO_LOG, try_open(dir, "create=false", &log));
        log = open_log(dir, "");
        append_payload(log, 10, 1);
        CHECK_OK(walrus_close(log));
        log = open_log(dir, "create=false");
        check_entry(log, 1, 10, 1);
        CHECK_OK(walrus_close(log));
    }
}

/* ---- Permissions ---------------------------------------------------------------------------- */

/* Root may do everything, so these cases become nobody first. */
static void become_nobody(void) {
    CHECK(chmod(check_directory, 0777) == 0);
    if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0))
        SKIP("root cannot become nobody here");
    CHECK(prctl(PR_SET_DUMPABLE, 1) == 0); /* or /proc/self/fd cannot be read any more */
    if (eaccess(check_directory, W_OK | X_OK) != 0)
        SKIP("nobody cannot reach the temporary directory");
}

/* Catches: a half-made log, a leaked descriptor, or a wrong errno where the directory may not be written to. */
CASE(a_directory_that_may_not_be_written_to_is_an_io_error_without_traces) {
    become_nobody();
    walrus_t *log = NULL;
    CHECK(mkdir(at("parent"), 0755) == 0 && mkdir(at("empty"), 0555) == 0);
    CHECK(chmod(at("parent"), 0555) == 0);
    holdings_t before = count_holdings();
    CHECK_CODE(WALRUS_E_IO, walrus_open(at("parent/log"), NULL, &log));
    CHECK_U64(EACCES, last_error().os_errno);
    CHECK_CODE(WALRUS_E_IO, walrus_open(at("empty"), NULL, &log));
    CHECK_U64(EACCES, last_error().os_errno);
    CHECK(count_names(at("parent")) == 0 && count_names(at("empty")) == 0);
    CHECK_HOLDINGS(before);
}

/* Catches: a reader that opens its files for writing, and a writer that reports anything but the refusal. */
CASE(a_log_without_write_permission_can_be_read_and_not_opened_for_writing) {
    become_nobody();
    const char *dir = at("log");
    make_log(dir);
    image_t *image = image_read(dir);
    for (size_t i = 0; i < image->count; i++)
        CHECK(chmod(at("log/%s", image->files[i].name), 0444) == 0);
    CHECK(chmod(dir, 0555) == 0);
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_IO, walrus_open(dir, NULL, &log));
    CHECK_U64(EACCES, last_error().os_errno);
    log = open_log(dir, "read_only=true");
    for (uint64_t i = 1; i <= 20; i++)
        check_entry(log, i, 1000, i);
    CHECK_OK(walrus_close(log));
    CHECK_UNTOUCHED(image, dir);
    CHECK(chmod(at("log/walrus.meta"), 0) == 0);
    CHECK_CODE(WALRUS_E_IO, try_open(dir, "read_only=true", &log));
    image_free(image);
}

/* ---- destroy -------------------------------------------------------------------------------- */

/* Catches: a destroy that removes what is not its own, or that leaves some of its own. */
CASE(destroy_removes_the_log_and_nothing_else) {
    const char *dir = at("log");
    make_log(dir);
    CHECK_OK(walrus_destroy(dir));
    CHECK(!exists(dir));
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_NO_LOG, try_open(dir, "create=false", &log));

    make_log(dir);
    write_file(at("log/NOTES"), "mine", 4);
    write_file(at("log/copy.wal"), "mine", 4);
    CHECK(mkdir(at("log/sub"), 0755) == 0);
    write_file(at("log/sub/walrus.meta"), "mine", 4);
    CHECK_OK(walrus_destroy(dir));
    CHECK(exists(at("log/NOTES")) && exists(at("log/copy.wal")) && exists(at("log/sub/walrus.meta")));
    CHECK_U64(3, count_names(dir));

    make_log(at("crashed"));
    log = open_log(at("crashed"), "sync=os segment_size=16KiB");
    append_payload(log, 1000, 21);
    CHECK_OK(walrus_truncate(log, 10));
    copy_directory(at("crashed"), at("copy"));
    CHECK_OK(walrus_close(log));
    CHECK_OK(walrus_destroy(at("copy")));
    CHECK(!exists(at("copy")));
}

/* Catches: a destroy that says it removed what was never there. */
CASE(destroy_of_what_is_no_log_says_so) {
    CHECK_CODE(WALRUS_E_NO_LOG, walrus_destroy(at("missing")));
    CHECK(mkdir(at("empty"), 0755) == 0);
    CHECK_CODE(WALRUS_E_NO_LOG, walrus_destroy(at("empty")));
    CHECK(exists(at("empty")));
    make_log(at("log"));
    CHECK_OK(walrus_destroy(at("log")));
    CHECK_CODE(WALRUS_E_NO_LOG, walrus_destroy(at("log")));
}

/* Catches: a destroy under somebody's feet. */
CASE(destroy_of_an_open_log_is_locked) {
    const char *dir = at("log");
    make_log(dir);
    walrus_t *log = open_log(dir, "");
    CHECK_CODE(WALRUS_E_LOCKED, walrus_destroy(dir));
    for (uint64_t i = 1; i <= 20; i++)
        check_entry(log, i, 1000, i);
    append_payload(log, 10, 21);
    CHECK_OK(walrus_close(log));
    check_log(dir);
    CHECK_OK(walrus_destroy(dir));
}

/* Catches: a log that can be destroyed but not when it is damaged, which is when it is wanted. */
CASE(a_damaged_log_can_be_destroyed) {
    const char *dir = at("log");
    make_log(dir);
    write_file(at("log/0000000000000001.wal"), "short", 5);
    walrus_t *log = NULL;
    CHECK(walrus_open(dir, NULL, &log) < 0 || walrus_close(log) <= 0);
    CHECK_OK(walrus_destroy(dir));
    CHECK(!exists(dir));
}

/* ---- Newer formats -------------------------------------------------------------------------- */

typedef void (*damage_fn)(image_t *image);

static void newer_segments(image_t *image) {
    for (size_t i = 0; i < image->count; i++)
        if (is_segment(image->files[i].name)) {
            store(image->files[i].bytes + 8, 2, 2);
            seal_segment_header(image->files[i].bytes);
        }
}

static void newer_meta(image_t *image) {
    image_file_t *meta = image_find(image, "walrus.meta");
    CHECK(meta != NULL && meta->size >= META_SLOT + 256);
    for (int slot = 0; slot < 2; slot++) {
        store(meta->bytes + slot * META_SLOT + 8, 2, 2);
        seal_meta_slot(meta->bytes + slot * META_SLOT);
    }
}

/* Catches: a newer log that is called damaged, cut, or opened and misread. */
CASE(a_newer_major_version_is_version_and_the_files_stay_as_they_are) {
    const damage_fn damages[] = {newer_segments, newer_meta};
    make_log(at("log"));
    for (int i = 0; i < 2; i++) {
        image_t *image = image_read(at("log"));
        damages[i](image);
        image_write(image, at("newer%d", i));
        const char *options[] = {"", "recovery=strict", "read_only=true", "recovery=salvage read_only=true",
                                 "must_be_new=true"};
        for (int j = 0; j < 5; j++) {
            walrus_t *log = NULL;
            CHECK_NOTE("damage %d, %s", i, options[j]);
            int32_t result = try_open(at("newer%d", i), options[j], &log);
            CHECK(result == WALRUS_E_VERSION || (j == 4 && result == WALRUS_E_EXISTS));
            CHECK(log == NULL);
            CHECK_UNTOUCHED(image, at("newer%d", i));
        }
        image_free(image);
    }
}

/* Catches: a minor version, of which the format's page says that it may be read, that is refused. */
CASE(a_newer_minor_version_can_be_read) {
    make_log(at("log"));
    image_t *image = image_read(at("log"));
    for (size_t i = 0; i < image->count; i++)
        if (is_segment(image->files[i].name)) {
            store(image->files[i].bytes + 10, 2, 7);
            seal_segment_header(image->files[i].bytes);
        }
    image_write(image, at("newer"));
    walrus_t *log = open_log(at("newer"), "read_only=true");
    for (uint64_t i = 1; i <= 20; i++)
        check_entry(log, i, 1000, i);
    CHECK_OK(walrus_close(log));
    image_free(image);
}

/* Catches: another format than binary that is read as binary. */
CASE(a_segment_of_another_format_is_refused) {
    make_log(at("log"));
    image_t *image = image_read(at("log"));
    image_file_t *meta = image_find(image, "walrus.meta");
    for (size_t i = 0; i < image->count; i++)
        if (is_segment(image->files[i].name)) {
            store(image->files[i].bytes + 44, 4, 1);
            seal_segment_header(image->files[i].bytes);
        }
    for (int slot = 0; slot < 2; slot++) {
        store(meta->bytes + slot * META_SLOT + 128, 4, 1);
        seal_meta_slot(meta->bytes + slot * META_SLOT);
    }
    image_write(image, at("json"));
    walrus_t *log = NULL;
    int32_t result = walrus_open(at("json"), NULL, &log);
    CHECK(result == WALRUS_E_FORMAT || result == WALRUS_E_VERSION || result == WALRUS_E_UNSUPPORTED);
    CHECK_UNTOUCHED(image, at("json"));
    image_free(image);
}

/* Catches: a code that walrus_open does not list. Found by fuzzing. */
CASE(a_format_that_nobody_knows_yet_is_a_newer_version) {
    make_log(at("log"));
    image_t *image = image_read(at("log"));
    image_file_t *meta = image_find(image, "walrus.meta");
    for (int slot = 0; slot < 2; slot++) {
        store(meta->bytes + slot * META_SLOT + 128, 4, 9);
        seal_meta_slot(meta->bytes + slot * META_SLOT);
    }
    image_write(image, at("newer"));
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_VERSION, walrus_open(at("newer"), NULL, &log));
    CHECK_UNTOUCHED(image, at("newer"));
    image_free(image);
}

/* ---- Lengths and counts that lie ------------------------------------------------------------ */

enum { WRONG_BYTES = 1 }; /* beside the negative codes */

/* Opens and reads the directory in a process that may only take so much memory: damage must be an error code there, not
 * an allocation. Which code it was: WALRUS_OK, or what open or the first failing get said. */
static int32_t open_with_little_memory(const char *dir, const char *text) {
    pid_t child = start();
    if (child == 0) {
        struct rlimit limit = {(rlim_t)768 << 20, (rlim_t)768 << 20};
        CHECK(CHECK_IS_SANITIZED || setrlimit(RLIMIT_AS, &limit) == 0);
        alarm(20);
        walrus_t *log = NULL;
        int32_t result = try_open(dir, text, &log);
        if (result == WALRUS_OK) {
            uint64_t first = walrus_first_index(log), last = walrus_last_index(log);
            for (uint64_t i = first; i != 0 && i <= last && i < first + 100; i++) {
                walrus_entry_t entry;
                int32_t got = walrus_get(log, i, &entry);
                if (got == WALRUS_OK && !is_payload(entry.data, entry.size, i))
                    _exit(100 - WRONG_BYTES);
                walrus_entry_release(&entry);
                if (got != WALRUS_OK && result == WALRUS_OK)
                    result = got;
            }
            walrus_close(log);
        }
        _exit(100 - result);
    }
    int status = await(child);
    if (status >= 1000)
        FAIL("the process died of signal %d", status - 1000);
    return (int32_t)(100 - status);
}

static bool is_refusal(int32_t code) {
    return code == WALRUS_E_CORRUPT || code == WALRUS_E_VERSION || code == WALRUS_E_FORMAT;
}

/* Catches: a length field that is believed: 4 GiB are allocated, or addresses wrap. The frame's checksum is made right
 * again, so that it does not stand guard. */
CASE(a_frame_whose_length_lies_is_damage_and_not_an_allocation) {
    static const uint32_t lengths[] = {0,          1,          999,        1001,       2000,       100000,
                                       0x3FFFFFFF, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFE7, 0xFFFFFFFF};
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 20; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_sync(log));
    append_payload(log, 1000, 21); /* this frame tells that all before are durable */
    copy_directory(at("log"), at("crashed"));
    CHECK_OK(walrus_close(log));
    const char *dirs[] = {at("log"), at("crashed")};
    for (int clean = 0; clean < 2; clean++)
        for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
            for (int place = 0; place < 2; place++) { /* in the first segment, in the last */
                image_t *image = image_read(dirs[!clean]);
                image_file_t *file = place ? tail_segment(image) : image_find(image, "0000000000000001.wal");
                frame_t frames[64];
                size_t count = list_frames(file->bytes, file->size, frames, 64), target = 0;
                while (target < count && frames[target].type != FRAME_ENTRY)
                    target++;
                CHECK(target < count);
                store(file->bytes + frames[target].offset + 8, 4, lengths[l]);
                seal_frame_header(file->bytes, frames[target].offset);
                image_write(image, at("lies"));
                CHECK_NOTE("%s, length %" PRIu32 " in %s", clean ? "clean" : "crashed", lengths[l], file->name);
                int32_t code = open_with_little_memory(at("lies"), "");
                if (!is_refusal(code))
                    FAIL("open or get answered %s", check_code_name(code));
                image_free(image);
            }
}

/* Catches: the same in the tables and slots: every 32-bit word of them is set to values that lie. */
CASE(lying_words_in_metadata_tables_and_begin_frames_are_no_allocations) {
    static const uint32_t lies[] = {0xFFFFFFFF, 0x7FFFFFFF, 0x10000000};
    make_log(at("log"));
    image_t *image = image_read(at("log"));
    for (size_t f = 0; f < image->count; f++) {
        image_file_t *file = &image->files[f];
        if (file->size < 256)
            continue;
        /* [from, to) and where its checksum is: header, begin frame, last frame's place; slots; side file */
        bool segment = is_segment(file->name), meta = strcmp(file->name, "walrus.meta") == 0;
        size_t from = segment ? FIRST_FRAME : 0, to = segment ? FIRST_FRAME + 24 + 96 : meta ? 256 : 512;
        for (size_t word = from; word + 4 <= to && word + 4 <= file->size; word += 4)
            for (size_t l = 0; l < sizeof lies / sizeof lies[0]; l++) {
                unsigned char saved[512];
                size_t span = to - from;
                CHECK(span <= sizeof saved);
                memcpy(saved, file->bytes + from, span);
                store(file->bytes + word, 4, lies[l]);
                if (segment) {
                    store(file->bytes + from + 4, 4, (uint32_t)crc32(0, file->bytes + from + 24, 96));
                    seal_frame_header(file->bytes, from);
                } else if (meta) {
                    if (load(file->bytes + 12, 4) <= META_SLOT && load(file->bytes + 12, 4) >= 256)
                        seal_meta_slot(file->bytes);
                } else
                    store(file->bytes + 508, 4, (uint32_t)crc32(0, file->bytes, 508));
                image_write(image, in_memory("lies"));
                CHECK_NOTE("%s: word at %zu is %08" PRIX32, file->name, word, lies[l]);
                int32_t code = open_with_little_memory(in_memory("lies"), "");
                CHECK(code != WALRUS_E_INTERNAL && code != WRONG_BYTES);
                memcpy(file->bytes + from, saved, span);
            }
    }
    image_free(image);
}

/* Catches: a way back from segment to segment that leads round in a circle, for ever, and one that leads to a file that is not there. Both
 * were found by fuzzing. */
CASE(a_begin_frame_that_lies_about_its_predecessor_ends_the_open) {
    walrus_t *log = open_log(at("log"), "sync=os");
    append_payload(log, 100, 1);
    CHECK_OK(walrus_rotate(log));
    append_payload(log, 100, 2);
    image_t *image = image_read(at("log"));
    CHECK_OK(walrus_close(log));
    image_file_t *tail = tail_segment(image);
    unsigned char *begin = tail->bytes + FIRST_FRAME;
    uint64_t own = strtoull(tail->name, NULL, 16);
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        store(begin + 24 + 16, 8, is_lost ? own - 1 : own);
        store(begin + 24 + 88, 8, 99); /* metadata is repeated behind it, which is not so: it is looked for before it */
        store(begin + 4, 4, (uint32_t)crc32(0, begin + 24, 96));
        seal_frame_header(tail->bytes, FIRST_FRAME);
        if (is_lost)
            strcpy(image_find(image, "0000000000000001.wal")->name, "lost");
        image_write(image, at("lies"));
        CHECK_CODE(WALRUS_E_CORRUPT, try_open(at("lies"), "", &log));
        log = open_log(at("lies"), "read_only=true recovery=salvage");
        check_entry(log, 2, 100, 2);
        CHECK_OK(walrus_close(log));
    }
    image_free(image);
}

/* ---- Failing without leaks ------------------------------------------------------------------ */

static void write_garbage(image_t *image) {
    for (size_t i = 0; i < image->count; i++)
        fill(image->files[i].bytes, image->files[i].size, i);
}
static void lose_first_segment(image_t *image) {
    image_file_t *file = image_find(image, "0000000000000001.wal");
    CHECK(file != NULL);
    strcpy(file->name, "lost");
}
static void lose_tail_segment(image_t *image) { strcpy(tail_segment(image)->name, "lost"); }
static void bad_segment_header(image_t *image) { tail_segment(image)->bytes[20] ^= 1; }
static void bad_begin_frame(image_t *image) { tail_segment(image)->bytes[FIRST_FRAME + 30] ^= 1; }
static void empty_meta(image_t *image) { image_find(image, "walrus.meta")->size = 0; }

/* Catches: an open that makes the slots of walrus.meta equal and only then finds the damage for which it refuses. Found by fuzzing. */
CASE(an_open_that_is_refused_repairs_nothing) {
    make_log(at("log"));
    image_t *image = image_read(at("log"));
    image_find(image, "walrus.meta")->bytes[META_SLOT + 40] ^= 1;
    bad_segment_header(image);
    image_write(image, at("damaged"));
    walrus_t *log = NULL;
    CHECK_CODE(WALRUS_E_CORRUPT, try_open(at("damaged"), "", &log));
    CHECK_UNTOUCHED(image, at("damaged"));
    image_free(image);
}

/* Catches: a descriptor, thread, mapping or lock that an open keeps although it failed. */
CASE(an_open_that_fails_holds_nothing_and_changes_nothing) {
    const damage_fn damages[] = {newer_segments,    newer_meta,         write_garbage,   lose_first_segment,
                                 lose_tail_segment, bad_segment_header, bad_begin_frame, empty_meta};
    const char *options[] = {"", "recovery=strict", "read_only=true", "recovery=salvage read_only=true"};
    walrus_t *log = open_log(at("log"), "segment_size=16KiB");
    for (uint64_t i = 1; i <= 20; i++)
        append_payload(log, 1000, i);
    copy_directory(at("log"), at("crashed"));
    CHECK_OK(walrus_close(log));
    int failed = 0;
    for (size_t d = 0; d < sizeof damages / sizeof damages[0]; d++)
        for (int o = 0; o < 4; o++)
            for (int clean = 0; clean < 2; clean++) {
                image_t *image = image_read(clean ? at("log") : at("crashed"));
                damages[d](image);
                image_write(image, at("damaged"));
                image_free(image);
                image = image_read(at("damaged"));
                holdings_t before = count_holdings();
                log = NULL;
                int32_t result = try_open(at("damaged"), options[o], &log);
                CHECK_NOTE("damage %zu, %s, %s: %s", d, options[o], clean ? "clean" : "crashed",
                           check_code_name(result));
                if (result == WALRUS_OK) {
                    for (uint64_t i = 1; i <= 20; i++) { /* whatever is answered is right */
                        walrus_entry_t entry;
                        int32_t got = walrus_get(log, i, &entry);
                        CHECK(got != WALRUS_OK || is_payload(entry.data, entry.size, i));
                        CHECK(got != WALRUS_E_COMPACTED);
                        /* A whole tail segment that vanishes from a log that was not closed leaves no trace. */
                        CHECK(got != WALRUS_E_NOT_FOUND || (damages[d] == lose_tail_segment && !clean));
                        walrus_entry_release(&entry);
                    }
                    CHECK_OK(walrus_close(log));
                } else {
                    failed++;
                    CHECK(log == NULL);
                    CHECK(result == WALRUS_E_CORRUPT || result == WALRUS_E_VERSION || result == WALRUS_E_NOT_A_LOG);
                    CHECK(last_error().message[0] != 0 && strstr(last_error().path, "damaged") != NULL);
                    CHECK_UNTOUCHED(image, at("damaged"));
                    CHECK_CODE(result, try_open(at("damaged"), options[o], &log)); /* not LOCKED */
                }
                CHECK_HOLDINGS(before);
                image_free(image);
            }
    CHECK(failed >= 20);
}

/* Catches: an open that leaks when it runs out of descriptors halfway. */
CASE(an_open_without_enough_descriptors_fails_cleanly_and_works_later) {
    make_log(at("log"));
    struct rlimit old;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    bool opened = false;
    for (rlim_t more = 0; more < 40 && !opened; more++) {
        const char *dirs[] = {at("log"), at("new%d", (int)more)};
        for (int i = 0; i < 2; i++) {
            int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
            close(lowest);
            holdings_t before = count_holdings();
            struct rlimit limit = {(rlim_t)lowest + more, old.rlim_max};
            walrus_t *log = NULL;
            CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
            int32_t result = try_open(dirs[i], "segment_size=16KiB", &log);
            CHECK_NOTE("%d descriptors for %s: %s", (int)more, dirs[i], check_code_name(result));
            if (result == WALRUS_OK) {
                if (i == 0)
                    opened = true;
                append_payload(log, 10, 21);
                CHECK_OK(walrus_close(log));
            } else {
                CHECK_CODE(WALRUS_E_IO, result);
                CHECK_U64(EMFILE, last_error().os_errno);
            }
            CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
            CHECK_HOLDINGS(before);
            if (i == 1) {
                log = open_log(dirs[i], "");
                CHECK_OK(walrus_close(log));
            }
        }
        check_log(at("log"));
    }
    CHECK(opened);
}

/* Catches: what each round of open and close leaves behind. */
CASE(opening_and_closing_again_and_again_holds_nothing) {
    make_log(at("log"));
    holdings_t before = count_holdings();
    for (int round = 0; round < 50; round++) {
        walrus_t *log = open_log(at("log"), round % 3 == 0 ? "read_only=true" : round % 3 == 1 ? "zero_copy=off" : "");
        for (uint64_t i = 1; i <= 20; i++)
            check_entry(log, i, 1000, i);
        CHECK_OK(walrus_close(log));
        CHECK_HOLDINGS(before);
    }
}

/* Catches: a lost file that turns into lost entries: whatever file is missing or empty, the log is whole or refused. */
CASE(a_log_that_lost_any_one_file_is_whole_or_refused) {
    walrus_t *log = open_log(at("log"), "segment_size=16KiB");
    for (uint64_t i = 1; i <= 40; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_truncate(log, 35));
    for (uint64_t i = 36; i <= 40; i++)
        append_payload(log, 1000, i);
    copy_directory(at("log"), at("crashed"));
    CHECK_OK(walrus_close(log));
    for (int clean = 0; clean < 2; clean++)
        for (int emptied = 0; emptied < 2; emptied++) {
            image_t *image = image_read(clean ? at("log") : at("crashed"));
            for (size_t f = 0; f < image->count; f++) {
                image_write(image, at("damaged"));
                const char *path = at("damaged/%s", image->files[f].name);
                frame_t frame;
                bool live = !is_segment(image->files[f].name) ||
                            list_frames(image->files[f].bytes, image->files[f].size, &frame, 1) == 1;
                CHECK(emptied ? truncate(path, 0) == 0 : unlink(path) == 0);
                log = NULL;
                int32_t result = walrus_open(at("damaged"), NULL, &log);
                CHECK_NOTE("%s, %s %s: %s", clean ? "clean" : "crashed", image->files[f].name,
                           emptied ? "emptied" : "lost", check_code_name(result));
                if (result != WALRUS_OK) {
                    CHECK(live || emptied);
                    CHECK(result == WALRUS_E_CORRUPT || result == WALRUS_E_NOT_A_LOG);
                    continue;
                }
                /* A whole tail segment that vanishes from a log that was not closed leaves no trace. */
                uint64_t last = walrus_last_index(log);
                CHECK_U64(1, walrus_first_index(log));
                CHECK(last == 40 || (last < 40 && !clean && !emptied && &image->files[f] == tail_segment(image)));
                for (uint64_t i = 1; i <= last; i++) {
                    walrus_entry_t entry;
                    int32_t got = walrus_get(log, i, &entry);
                    CHECK(got == WALRUS_OK ? is_payload(entry.data, entry.size, i)
                                           : got == WALRUS_E_CORRUPT || got == WALRUS_E_IO);
                    walrus_entry_release(&entry);
                }
                CHECK_OK(walrus_close(log));
            }
            image_free(image);
        }
}
