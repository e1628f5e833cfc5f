/* test_recovery.c - what a crash or a damaged byte leaves is a prefix, or an error, and never wrong bytes
 *
 * A crash is a copy of the directory of a log that is open; a power cut, a copy whose end is cut off, zeroed or
 * replaced by garbage; rot, a flipped bit. Every byte offset of a small log is tried, however it is stored (variants.h). What must come
 * out follows from the format's page: where each frame begins and ends, and what the frames behind it declare durable.
 */
#include "format.h"
#include "variants.h"

/* ---- The small log -------------------------------------------------------------------------- */

/* Entries 1 to 6 one by one, 7 to 9 as a batch, 10 to 12 one by one. Each is durable before the next is appended. */
enum { COUNT = 12, BATCH_FIRST = 7, BATCH_LAST = 9 };
#define SETTINGS "segment_size=64KiB preallocate=off"

static bool is_deflated(void) { return strstr(variant, "zlib") != NULL; }

/* Every other entry is text; where something is to be compressed, it is large and repeats itself. */
static bool is_text(uint64_t index) { return index <= COUNT && index % 2 == 0 && variant[0] != 0; }

static size_t size_of_entry(uint64_t index) {
    static const size_t sizes[] = {0, 40, 33, 0, 64, 17, 100, 30, 0, 45, 24, 50, 41};
    return index > COUNT ? 20 : sizes[index] * (is_text(index) && is_deflated() ? 3 : 1);
}

/* To be freed by the caller. */
static unsigned char *bytes_of_entry(uint64_t index) {
    static const char letters[] = "\"\\ \nabcdefghijkl";
    size_t size = size_of_entry(index), run = is_deflated() ? 12 : 1;
    unsigned char *bytes = payload(size, index);
    for (size_t i = 0; is_text(index) && i < size; i++)
        bytes[i] = (unsigned char)(i % run ? bytes[i - 1] : (unsigned char)letters[bytes[i] % 16]);
    return bytes;
}

static bool is_entry(const walrus_entry_t *entry, uint64_t index) {
    unsigned char *bytes = bytes_of_entry(index);
    bool same = entry->index == index && entry->size == size_of_entry(index) &&
                (entry->size == 0 || memcmp(entry->data, bytes, entry->size) == 0);
    free(bytes);
    return same;
}

static void append_some(walrus_t *log, uint64_t first, uint64_t last) {
    for (uint64_t i = first; i <= last; i++) {
        walrus_record_t records[3];
        unsigned char *bytes[3];
        size_t count = i == BATCH_FIRST ? 3 : 1;
        memset(records, 0, sizeof records);
        for (size_t n = 0; n < count; n++) {
            bytes[n] = bytes_of_entry(i + n);
            records[n] = (walrus_record_t){.data = bytes[n], .size = size_of_entry(i + n), .term = 1};
        }
        CHECK_OK(walrus_append_batch(log, records, count, 0, NULL));
        for (size_t n = 0; n < count; n++)
            free(bytes[n]);
        i += count - 1;
    }
}

typedef struct subject {
    image_t *image;
    image_file_t *tail;
    frame_t frames[64];
    size_t frame_count, used; /* used: the tail's last written byte + 1 */
    bool clean;
} subject_t;

static void subject_look(subject_t *subject) {
    subject->tail = tail_segment(subject->image);
    CHECK(subject->tail != NULL);
    subject->frame_count = list_frames(subject->tail->bytes, subject->tail->size, subject->frames, 64);
    subject->used = subject->tail->size;
    while (subject->used > 0 && subject->tail->bytes[subject->used - 1] == 0)
        subject->used--;
}

/* The small log as a crash or a clean close left it. */
static subject_t make_subject(const char *sync, bool clean) {
    subject_t subject = {.clean = clean};
    const char *dir = in_memory("made");
    char text[256];
    snprintf(text, sizeof text, SETTINGS " sync=%s %s", sync, variant);
    walrus_t *log = open_log(dir, text);
    append_some(log, 1, COUNT);
    if (!clean) {
        subject.image = image_read(dir);
        CHECK_OK(walrus_close(log));
    } else {
        CHECK_OK(walrus_close(log));
        subject.image = image_read(dir);
    }
    CHECK_OK(walrus_destroy(dir));
    subject_look(&subject);
    unsigned char *large = bytes_of_entry(6);
    CHECK(!is_deflated() || memmem(subject.tail->bytes, subject.tail->size, large, size_of_entry(6)) == NULL);
    free(large);
    return subject;
}

static const frame_t *frame_of(const subject_t *subject, uint64_t index) {
    for (size_t i = 0; i < subject->frame_count; i++)
        if (subject->frames[i].type == FRAME_ENTRY && subject->frames[i].index == index)
            return &subject->frames[i];
    FAIL("no frame of entry %" PRIu64, index);
    return NULL;
}

/* The tail's bytes in [from, to) are zeros. A frame starts with its checksum, which may itself start with zeros by chance. */
static bool is_blank(const subject_t *subject, size_t from, size_t to) {
    while (from < to && subject->tail->bytes[from] == 0)
        from++;
    return from >= to;
}

/* Batches count whole: the last index that may stand when index is the last whose frame does. */
static uint64_t whole(uint64_t index) { return index >= BATCH_FIRST && index < BATCH_LAST ? BATCH_FIRST - 1 : index; }

/* The last index whose frame ends at or before offset: with its padding, or without. */
static uint64_t last_before(const subject_t *subject, size_t offset, bool with_padding) {
    uint64_t last = 0;
    for (size_t i = 0; i < subject->frame_count; i++) {
        const frame_t *frame = &subject->frames[i];
        if (frame->type == FRAME_ENTRY && (with_padding ? frame->end : frame->payload_end) <= offset)
            last = frame->index;
    }
    return whole(last);
}

/* What is in the log is right; entries that answer CORRUPT may be counted. */
static uint64_t check_contents(walrus_t *log, uint64_t last, bool corrupt_allowed) {
    uint64_t corrupt = 0;
    for (uint64_t i = 1; i <= last; i++) {
        walrus_entry_t entry;
        int32_t result = walrus_get(log, i, &entry);
        if (result == WALRUS_E_CORRUPT && corrupt_allowed) {
            corrupt++;
            continue;
        }
        CHECK_OK(result);
        if (!is_entry(&entry, i) || (i <= COUNT && entry.term != 1))
            FAIL("wrong bytes at %" PRIu64, i);
        walrus_entry_release(&entry);
    }
    return corrupt;
}

/* The log in dir was just recovered to `last`. Then: a crash at once, an append, a second crash, a close, a reopen. */
static void check_goes_on(walrus_t *log, const char *dir, uint64_t last, bool corrupt_allowed) {
    const char *second = in_memory("second");
    copy_directory(dir, second); /* recover of what recover left */
    walrus_t *again = NULL;
    int32_t result = walrus_open(second, NULL, &again);
    if (result != WALRUS_OK)
        CHECK(corrupt_allowed && result == WALRUS_E_CORRUPT);
    else {
        CHECK_U64(last, walrus_last_index(again));
        check_contents(again, last, corrupt_allowed);
        CHECK_OK(walrus_close(again));
    }
    unsigned char *bytes = payload(20, COUNT + 1);
    uint64_t index = 0;
    walrus_record_t record = {.data = bytes, .size = 20, .index = last + 1, .term = 1};
    CHECK_OK(walrus_append_record(log, &record, WALRUS_DURABLE, &index));
    CHECK_U64(last + 1, index);
    copy_directory(dir, second); /* the second crash */
    result = walrus_open(second, NULL, &again);
    if (result != WALRUS_OK)
        CHECK(corrupt_allowed && result == WALRUS_E_CORRUPT);
    else {
        CHECK_U64(last + 1, walrus_last_index(again));
        check_contents(again, last, corrupt_allowed);
        check_entry(again, last + 1, 20, COUNT + 1);
        CHECK_OK(walrus_close(again));
    }
    CHECK_OK(walrus_close(log));
    result = walrus_open(dir, NULL, &again);
    if (result != WALRUS_OK)
        CHECK(corrupt_allowed && result == WALRUS_E_CORRUPT);
    else {
        CHECK_U64(last + 1, walrus_last_index(again));
        CHECK_U64(1, walrus_first_index(again));
        check_contents(again, last, corrupt_allowed);
        check_entry(again, last + 1, 20, COUNT + 1);
        CHECK_OK(walrus_close(again));
    }
    free(bytes);
}

/* How many places there are for one that is looked at, where looking takes long: what comes after does not depend on the format. */
static size_t sparsely(size_t step) { return variant == variants[0] ? step : step * 5; }

/* The same for all that is looked at: under a sanitizer each open takes ten times as long. */
static size_t densely(size_t step) { return CHECK_IS_SANITIZED && variant != variants[0] ? step * 7 : step; }

typedef enum { CUT, ZEROS, GARBAGE } loss_t;

/* Writes the subject to dir with everything of its tail from offset on lost. */
static void write_with_loss(const subject_t *subject, const char *dir, loss_t loss, size_t offset) {
    image_file_t *tail = subject->tail;
    size_t size = tail->size;
    unsigned char *kept = malloc(size);
    memcpy(kept, tail->bytes, size);
    if (loss == CUT)
        tail->size = offset;
    else if (loss == ZEROS)
        memset(tail->bytes + offset, 0, size - offset);
    else
        fill(tail->bytes + offset, size - offset, offset);
    image_write(subject->image, dir);
    tail->size = size;
    memcpy(tail->bytes, kept, size);
    free(kept);
}

/* ---- Sweeps: a lost end --------------------------------------------------------------------- */

static void sweep_losses(const char *sync, loss_t loss, size_t step) {
    subject_t subject = make_subject(sync, false);
    CHECK(last_before(&subject, subject.used, false) == COUNT);
    size_t begin_end = subject.frames[0].end;
    const char *dir = in_memory("damaged");
    for (size_t offset = 0; offset <= subject.used; offset += offset < 4000 ? (offset < 72 ? 1 : 131) : densely(step)) {
        write_with_loss(&subject, dir, loss, offset);
        image_t *before = image_read(dir);
        walrus_t *log = NULL;
        uint64_t least = last_before(&subject, offset, true), most = last_before(&subject, offset, false);
        int32_t result = walrus_open(dir, NULL, &log);
        CHECK_NOTE("sync=%s, tail lost (%d) from %zu on: %s, %" PRIu64 " to %" PRIu64 " entries are whole", sync, loss,
                   offset, check_code_name(result), least, most);
        if (result != WALRUS_OK) { /* only a file without its header and begin frame may be refused */
            CHECK_CODE(WALRUS_E_CORRUPT, result);
            CHECK(offset < begin_end);
            CHECK_UNTOUCHED(before, dir);
        } else {
            uint64_t last = walrus_last_index(log);
            CHECK(last >= least && last <= most);
            CHECK_U64(last + 1, walrus_next_index(log));
            CHECK(walrus_durable_index(log) <= last);
            check_contents(log, last, false);
            if (offset % sparsely(1) == 0)
                check_goes_on(log, dir, last, false);
            else
                CHECK_OK(walrus_close(log));
        }
        image_free(before);
    }
    image_free(subject.image);
}

/* Catches: a torn tail that fails the open, that is kept and appended behind, or that takes whole entries with it. */
VARIANT_CASES(a_tail_cut_at_every_byte_leaves_the_whole_entries_before_it) { sweep_losses("always", CUT, 1); }

/* Catches: the same where the file has its size and the data did not make it. */
VARIANT_CASES(a_tail_zeroed_from_every_byte_leaves_the_whole_entries_before_it) { sweep_losses("always", ZEROS, 1); }

/* Catches: garbage in space that was never synced that is taken for a frame. */
VARIANT_CASES(a_tail_of_garbage_from_every_byte_leaves_the_whole_entries_before_it) { sweep_losses("os", GARBAGE, 3); }

/* Catches: an engine that cuts a log of which it had written down that it was complete. */
VARIANT_CASES(a_cut_after_a_clean_close_is_never_a_silent_loss) {
    subject_t subject = make_subject("always", true);
    const char *dir = in_memory("damaged");
    size_t end = frame_of(&subject, COUNT)->payload_end;
    for (int loss = CUT; loss <= ZEROS; loss++)
        for (size_t offset = 0; offset < end; offset += offset < 4000 ? 131 : 1) {
            write_with_loss(&subject, dir, (loss_t)loss, offset);
            image_t *before = image_read(dir);
            walrus_t *log = NULL;
            int32_t result = walrus_open(dir, NULL, &log);
            CHECK_NOTE("closed, then lost (%d) from %zu on: %s", loss, offset, check_code_name(result));
            if (result != WALRUS_OK) {
                CHECK_CODE(WALRUS_E_CORRUPT, result);
                CHECK_UNTOUCHED(before, dir);
            } else {
                CHECK_U64(COUNT, walrus_last_index(log));
                /* Lost zeros are no loss: an entry may be read whose last bytes were zeros. */
                uint64_t corrupt = check_contents(log, COUNT, true);
                CHECK(corrupt >= 1 || loss == ZEROS);
                CHECK_OK(walrus_close(log));
            }
            image_free(before);
        }
    image_free(subject.image);
}

/* ---- Sweeps: a flipped bit ------------------------------------------------------------------ */

/* The frame that the byte is in, padding included; NULL if it is in none. */
static const frame_t *frame_at(const subject_t *subject, size_t offset) {
    for (size_t i = 0; i < subject->frame_count; i++)
        if (offset >= subject->frames[i].offset && offset < subject->frames[i].end)
            return &subject->frames[i];
    return NULL;
}

static void sweep_flips(const char *sync, bool clean) {
    subject_t subject = make_subject(sync, clean);
    const char *dir = in_memory("damaged");
    bool durable = strcmp(sync, "always") == 0;
    for (size_t f = 0; f < subject.image->count; f++) {
        image_file_t *file = &subject.image->files[f];
        bool is_tail = file == subject.tail;
        for (size_t offset = 0; offset < file->size; offset++) {
            /* Where nothing is written, a byte in each block is enough. */
            bool written =
                is_zeroed(file->bytes + offset, file->size - offset < 64 ? file->size - offset : 64) == false;
            if ((!written && offset % 1021 != 0) || offset % densely(1) != 0)
                continue;
            if (variant != variants[0] && is_segment(file->name) && offset > 300 && offset < FIRST_FRAME && offset % 61 != 0)
                continue; /* a header that is filled up with spaces */
            unsigned char mask = (unsigned char)(1u << (offset * 5 % 8));
            file->bytes[offset] ^= mask;
            image_write(subject.image, dir);
            file->bytes[offset] ^= mask;
            image_t *before = image_read(dir);
            walrus_t *log = NULL;
            int32_t result = walrus_open(dir, NULL, &log);
            const frame_t *hit = is_tail ? frame_at(&subject, offset) : NULL;
            bool in_entry = hit != NULL && hit->type == FRAME_ENTRY && offset < hit->payload_end;
            CHECK_NOTE("sync=%s, %s, flipped %s at %zu (mask %02x): %s", sync, clean ? "clean" : "crashed", file->name,
                       offset, mask, check_code_name(result));
            if (result != WALRUS_OK) {
                CHECK_CODE(WALRUS_E_CORRUPT, result);
                CHECK(last_error().message[0] != 0);
                CHECK_UNTOUCHED(before, dir);
                CHECK(is_tail || strcmp(file->name, "walrus.meta") == 0);
            } else {
                uint64_t last = walrus_last_index(log);
                CHECK_U64(last == 0 ? 0 : 1, walrus_first_index(log));
                if (clean || (is_tail && hit == NULL) || !is_tail)
                    CHECK_U64(COUNT, last);    /* nothing was unfinished: never fewer */
                else if (durable && !in_entry) /* a begin frame, say: it is refused, or it does not matter */
                    CHECK_U64(COUNT, last);
                else if (durable && hit->index < COUNT)
                    FAIL("entry %" PRIu64 " had been durable, and a later frame says so", hit->index);
                else if (in_entry) /* nothing behind it tells: a cut before it, or before its batch */
                    CHECK_U64(whole(hit->index - 1), last);
                CHECK(walrus_durable_index(log) <= last);
                uint64_t corrupt = check_contents(log, last, clean);
                if (in_entry && clean)
                    CHECK(corrupt >= 1);
                if (corrupt == 0 && offset % sparsely(3) == 0)
                    check_goes_on(log, dir, last, clean);
                else
                    CHECK_OK(walrus_close(log));
            }
            image_free(before);
        }
    }
    image_free(subject.image);
}

/* Catches: rot in acknowledged data that is mistaken for a torn tail and silently cut, with all that follows. */
VARIANT_CASES(a_bit_flipped_anywhere_in_durable_data_is_corrupt_or_harmless) { sweep_flips("always", false); }

/* Catches: a damaged byte in a log that was closed cleanly that costs entries or gives wrong bytes. */
VARIANT_CASES(a_bit_flipped_anywhere_in_a_closed_log_never_costs_an_entry_in_silence) { sweep_flips("always", true); }

/* Catches: corruption that is cried where nothing had been promised. */
VARIANT_CASES(a_bit_flipped_in_data_that_was_never_synced_is_a_cut) { sweep_flips("os", false); }

/* ---- strict --------------------------------------------------------------------------------- */

/* Catches: strict that cuts, that refuses a log with nothing to cut, or that leaves its own traces. */
VARIANT_CASES(strict_refuses_every_cut_and_changes_nothing) {
    subject_t subject = make_subject("always", false);
    const char *dir = in_memory("damaged");
    int torn = 0, opened = 0;
    for (size_t offset = subject.frames[0].end; offset <= subject.used; offset++) {
        write_with_loss(&subject, dir, CUT, offset);
        bool on_boundary = false; /* between two entries, and not within a batch: nothing is unfinished */
        bool exactly = false;
        for (size_t i = 0; i < subject.frame_count; i++)
            if (offset >= subject.frames[i].payload_end &&
                (offset <= subject.frames[i].end || is_blank(&subject, subject.frames[i].end, offset)))
                on_boundary = subject.frames[i].type != FRAME_ENTRY || (subject.frames[i].flags & FLAG_CONTINUES) == 0,
                exactly = on_boundary && offset == subject.frames[i].end;
        image_t *before = image_read(dir);
        for (int reader = 0; reader < 2; reader++) {
            walrus_t *log = NULL;
            int32_t result = try_open(dir, reader ? "recovery=strict read_only=true" : "recovery=strict", &log);
            CHECK_NOTE("cut at %zu, %s: %s", offset, reader ? "read only" : "writer", check_code_name(result));
            if (result == WALRUS_OK) {
                CHECK(on_boundary);
                opened++;
                check_contents(log, walrus_last_index(log), false);
                walrus_recovery_report_t report = {.struct_size = sizeof report};
                CHECK_OK(walrus_recovery_report(log, &report));
                CHECK_U64(0, report.bytes_cut);
                CHECK_U64(0, report.entries_cut);
                CHECK_OK(walrus_close(log));
                if (!reader)
                    image_write(before, dir);
            } else {
                CHECK_CODE(WALRUS_E_TORN, result);
                CHECK(!exactly);
                torn++;
                walrus_error_t error = last_error();
                CHECK(error.message[0] != 0 && strstr(error.path, ".wal") != NULL && error.offset >= FIRST_FRAME);
                CHECK_UNTOUCHED(before, dir);
            }
        }
        image_free(before);
    }
    CHECK(torn > 100 && opened > 5);
    image_free(subject.image);
}

/* ---- salvage -------------------------------------------------------------------------------- */

/* Catches: salvage that stops at the first damage, hides it, or repairs. */
VARIANT_CASES(salvage_reads_around_damage_and_says_where_it_is) {
    subject_t subject = make_subject("always", false);
    const char *dir = in_memory("damaged");
    for (uint64_t bad = 1; bad <= COUNT; bad++) {
        if (size_of_entry(bad) == 0)
            continue;
        const frame_t *frame = frame_of(&subject, bad);
        subject.tail->bytes[frame->offset + FRAME_HEADER_BYTES + 3] ^= 0x20;
        image_write(subject.image, dir);
        subject.tail->bytes[frame->offset + FRAME_HEADER_BYTES + 3] ^= 0x20;
        image_t *before = image_read(dir);
        walrus_t *log = NULL;
        if (bad < COUNT) {
            CHECK_CODE(WALRUS_E_CORRUPT, walrus_open(dir, NULL, &log));
            CHECK_UNTOUCHED(before, dir);
        }
        CHECK_NOTE("damage in entry %" PRIu64, bad);
        log = open_log(dir, "recovery=salvage read_only=true");
        uint64_t last = walrus_last_index(log);
        CHECK_U64(1, walrus_first_index(log));
        CHECK(last == COUNT || (bad == COUNT && last == COUNT - 1));
        for (uint64_t i = 1; i <= last; i++) {
            walrus_entry_t entry;
            if (i == bad) {
                CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, i, &entry));
                CHECK_U64(bad, last_error().index);
            } else {
                CHECK_OK(walrus_get(log, i, &entry));
                CHECK(is_entry(&entry, i));
                walrus_entry_release(&entry);
            }
        }
        CHECK_CODE(WALRUS_E_READ_ONLY, walrus_append(log, "x", 1, NULL));
        CHECK_CODE(WALRUS_E_READ_ONLY, walrus_truncate(log, 1));
        CHECK_OK(walrus_close(log));
        CHECK_UNTOUCHED(before, dir);
        image_free(before);
    }
    image_free(subject.image);
}

/* Catches: one lost segment that makes the others unreadable. */
CASE(salvage_reads_around_a_lost_segment) {
    const char *dir = in_memory("log");
    walrus_t *log = open_log(dir, "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 60; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_close(log));
    image_t *image = image_read(dir);
    size_t offset = 0;
    image_file_t *middle = image_find_payload(image, 1000, 30, &offset);
    CHECK(middle != NULL && middle != tail_segment(image));
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, middle->name);
    CHECK(unlink(path) == 0);
    CHECK_CODE(WALRUS_E_CORRUPT, walrus_open(dir, NULL, &log));
    CHECK(last_error().message[0] != 0);
    log = open_log(dir, "recovery=salvage read_only=true");
    CHECK_U64(1, walrus_first_index(log));
    CHECK_U64(60, walrus_last_index(log));
    for (uint64_t i = 1; i <= 60; i++) {
        walrus_entry_t entry;
        unsigned char *bytes = payload(1000, i);
        bool lost = memmem(middle->bytes, middle->size, bytes, 1000) != NULL;
        free(bytes);
        if (lost)
            CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, i, &entry));
        else
            check_entry(log, i, 1000, i);
    }
    CHECK_OK(walrus_close(log));
    image_free(image);
}

/* Catches: a log that lost the segment which its last cut names, and is opened as a shorter or an empty one. */
CASE(a_lost_segment_that_the_log_was_cut_in_is_missed) {
    for (uint64_t last = 5; last <= 25; last += 20) { /* in the first segment, which is then the only one; in a later one */
        const char *dir = in_memory("log-%" PRIu64, last), *copy = in_memory("copy-%" PRIu64, last);
        walrus_t *log = open_log(dir, "sync=os segment_size=16KiB");
        for (uint64_t i = 1; i <= 40; i++)
            append_payload(log, 1000, i);
        CHECK_OK(walrus_truncate(log, last));
        copy_directory(dir, copy); /* a crash: nothing but the slots tells where the log ends */
        CHECK_OK(walrus_close(log));
        char path[PATH_MAX];
        size_t offset = 0;
        CHECK(find_payload(copy, 1000, last, path, &offset));
        CHECK(unlink(path) == 0);
        image_t *before = image_read(copy);
        CHECK_CODE(WALRUS_E_CORRUPT, walrus_open(copy, NULL, &log));
        walrus_error_t error = last_error();
        CHECK_U64(last, error.index);
        CHECK_TEXT(strrchr(path, '/'), strrchr(error.path, '/'));
        CHECK_UNTOUCHED(before, copy);
        log = open_log(copy, "recovery=salvage read_only=true");
        walrus_entry_t entry;
        CHECK_U64(last, walrus_last_index(log));
        CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, last, &entry));
        if (last > 20)
            check_entry(log, 1, 1000, 1);
        CHECK_OK(walrus_close(log));
        image_free(before);
    }
}

/* The segment whose first entry has this index. */
static image_file_t *segment_from(image_t *image, uint64_t index) {
    frame_t frame;
    for (size_t i = 0; i < image->count; i++)
        if (is_segment(image->files[i].name) &&
            list_frames(image->files[i].bytes, image->files[i].size, &frame, 1) == 1 && frame.index == index)
            return &image->files[i];
    FAIL("no segment begins with %" PRIu64, index);
    return NULL;
}

static int32_t check_segment_is_sane(void *ctx, const walrus_segment_info_t *segment) {
    CHECK(segment->first_index >= 1 && segment->last_index + 1 >= segment->first_index && segment->last_index <= 15);
    ++*(int *)ctx;
    return 0;
}

/* Catches: entries that a truncation dropped, which look as good as any, and come back where the segment that tells of the cut is lost;
 * and walrus_segments, which trapped there. Both were found by fuzzing. */
VARIANT_CASES(salvage_without_a_segment_brings_nothing_back_that_was_truncated) {
    const char *dir = in_memory("log");
    char text[200];
    snprintf(text, sizeof text, "sync=always segment_size=64KiB %s", variant);
    walrus_t *log = open_log(dir, text);
    for (uint64_t i = 1; i <= 10; i++)
        append_payload(log, 100, i);
    CHECK_OK(walrus_truncate(log, 5));
    for (uint64_t i = 6; i <= 10; i++)
        append_payload(log, 120, 100 + i);
    CHECK_OK(walrus_rotate(log));
    for (uint64_t i = 11; i <= 15; i++)
        append_payload(log, 140, 100 + i);
    CHECK_OK(walrus_close(log));
    for (int without_table = 0; without_table < 2; without_table++) {
        image_t *image = image_read(dir);
        strcpy(segment_from(image, 6)->name, "lost");
        if (without_table) {
            image_file_t *table = image_find(image, "0000000000000001.idx");
            CHECK(table != NULL);
            strcpy(table->name, "lost too");
        }
        image_write(image, in_memory("damaged"));
        image_free(image);
        log = open_log(in_memory("damaged"), "recovery=salvage read_only=true");
        for (uint64_t i = 1; i <= 10; i++) {
            walrus_entry_t entry;
            CHECK_NOTE("entry %" PRIu64 "%s", i, without_table ? ", without the first segment's table" : "");
            if (i <= 5 && !without_table)
                check_entry(log, i, 100, i);
            else
                CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, i, &entry));
        }
        for (uint64_t i = 11; i <= 15; i++)
            check_entry(log, i, 140, 100 + i);
        int segments = 0;
        CHECK_OK(walrus_segments(log, check_segment_is_sane, &segments));
        CHECK_U64(2, segments);
        CHECK_OK(walrus_close(log));
    }
}

/* A copy of the log in `dir` as it is, without the segments that begin with an index above `last`. */
static void lose_segments_above(uint64_t last, const char *dir, const char *copy) {
    image_t *image = image_read(dir);
    frame_t frame;
    for (size_t i = 0; i < image->count; i++)
        if (is_segment(image->files[i].name) &&
            (list_frames(image->files[i].bytes, image->files[i].size, &frame, 1) == 0 || frame.index > last))
            snprintf(image->files[i].name, sizeof image->files[i].name, "lost-%zu", i);
    image_write(image, copy);
    image_free(image);
}

/* Catches: an open that takes the segment before the lost one for the last: what was durable is gone without a word, and what a truncation had
 * dropped from that segment is back. Found by fuzzing. */
VARIANT_CASES(a_log_without_the_segment_that_was_cut_last_is_refused) {
    const char *dir = in_memory("log"), *copy = in_memory("damaged");
    char text[200];
    snprintf(text, sizeof text, "sync=always segment_size=64KiB %s", variant);
    for (int is_cut_before = 0; is_cut_before < 2; is_cut_before++) {
        walrus_t *log = open_log(dir, text);
        for (uint64_t i = 1; i <= 10; i++)
            append_payload(log, 100, i);
        if (is_cut_before)
            CHECK_OK(walrus_truncate(log, 5));
        else
            CHECK_OK(walrus_rotate(log));
        uint64_t kept = walrus_last_index(log);
        for (uint64_t i = kept + 1; i <= kept + 5; i++)
            append_payload(log, 120, 100 + i);
        CHECK_OK(walrus_truncate(log, kept + 3));
        append_payload(log, 140, 1);
        lose_segments_above(kept, dir, copy);
        CHECK_OK(walrus_close(log));
        CHECK_OK(walrus_destroy(dir));
        CHECK_NOTE("%s cut before", is_cut_before ? "" : "not");
        CHECK_CODE(WALRUS_E_CORRUPT, try_open(copy, "", &log));
        CHECK_CODE(WALRUS_E_CORRUPT, try_open(copy, "read_only=true", &log));
        log = open_log(copy, "recovery=salvage read_only=true");
        CHECK_U64(kept + 3, walrus_last_index(log));
        for (uint64_t i = 1; i <= kept + 3; i++) {
            walrus_entry_t entry;
            if (i <= kept && !is_cut_before)
                check_entry(log, i, 100, i);
            else
                CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, i, &entry));
        }
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: salvage that takes a good segment file under another's name for one whose header is damaged: cut where nobody knows, its dropped entries are back. Found by
 * fuzzing. */
CASE(salvage_reads_nothing_of_a_segment_under_another_name) {
    walrus_t *log = open_log(in_memory("log"), "sync=always");
    for (uint64_t i = 1; i <= 10; i++)
        append_payload(log, 100, i);
    CHECK_OK(walrus_truncate(log, 5));
    for (uint64_t i = 6; i <= 10; i++)
        append_payload(log, 120, 100 + i);
    image_t *image = image_read(in_memory("log"));
    CHECK_OK(walrus_close(log));
    image_file_t *second = segment_from(image, 6), *first = segment_from(image, 1);
    memcpy(second->bytes, first->bytes, first->size < second->size ? first->size : second->size);
    image_write(image, in_memory("damaged"));
    log = open_log(in_memory("damaged"), "recovery=salvage read_only=true");
    for (uint64_t i = 1; i <= 10; i++) {
        walrus_entry_t entry;
        CHECK_NOTE("entry %" PRIu64, i);
        if (i <= 5)
            check_entry(log, i, 100, i);
        else
            CHECK(walrus_get(log, i, &entry) != WALRUS_OK);
    }
    CHECK_OK(walrus_close(log));
    image_free(image);
}

/* Catches: salvage that goes on behind damage with the next entry, and passes over the frame before it, which says which term it has. Found by
 * fuzzing. */
VARIANT_CASES(salvage_heeds_a_change_of_terms_behind_damage) {
    const char *dir = in_memory("log");
    char text[200];
    snprintf(text, sizeof text, "sync=os segment_size=64KiB %s", variant);
    walrus_t *log = open_log(dir, text);
    for (uint64_t i = 1; i <= 10; i++) {
        unsigned char *bytes = payload(100, i);
        walrus_record_t record = {.data = bytes, .size = 100, .term = i <= 5 ? 1 : 2, .timestamp_ns = (int64_t)i};
        CHECK_OK(walrus_append_record(log, &record, i == 9 ? WALRUS_DURABLE : 0, NULL));
        free(bytes);
    }
    CHECK_OK(walrus_append(log, "", 0, NULL)); /* says that those before are durable */
    image_t *image = image_read(dir);
    CHECK_OK(walrus_close(log));
    image_file_t *tail = tail_segment(image);
    frame_t frames[32];
    size_t count = list_frames(tail->bytes, tail->size, frames, 32), n = 0;
    while (n < count && !(frames[n].type == FRAME_ENTRY && frames[n].index == 5))
        n++;
    CHECK(n < count);
    tail->bytes[frames[n].offset + 40] ^= 1;
    image_write(image, in_memory("damaged"));
    image_free(image);
    log = open_log(in_memory("damaged"), "recovery=salvage read_only=true");
    for (uint64_t i = 1; i <= 10; i++) {
        walrus_entry_t entry;
        CHECK_NOTE("entry %" PRIu64, i);
        if (i == 5) {
            CHECK_CODE(WALRUS_E_CORRUPT, walrus_get(log, i, &entry));
            continue;
        }
        uint64_t term = 0;
        CHECK_OK(walrus_get(log, i, &entry));
        CHECK_U64(i <= 5 ? 1 : 2, entry.term);
        CHECK_U64(i, entry.timestamp_ns);
        walrus_entry_release(&entry);
        CHECK_OK(walrus_term(log, i, &term));
        CHECK_U64(i <= 5 ? 1 : 2, term);
        check_entry(log, i, 100, i);
    }
    CHECK_OK(walrus_close(log));
}

/* ---- The report ----------------------------------------------------------------------------- */

static walrus_recovery_report_t report_of(walrus_t *log) {
    walrus_recovery_report_t report;
    memset(&report, 0, sizeof report);
    report.struct_size = sizeof report;
    CHECK_OK(walrus_recovery_report(log, &report));
    CHECK(report.duration_ns > 0 && report.duration_ns < UINT64_C(20000000000));
    CHECK(strnlen(report.segment, sizeof report.segment) < sizeof report.segment);
    CHECK(strnlen(report.message, sizeof report.message) < sizeof report.message);
    return report;
}

/* Catches: a clean log that is scanned, or called unclean, each time it is opened. */
CASE(the_report_of_a_new_and_of_a_closed_log_is_clean) {
    for (int round = 0; round < 3; round++) {
        walrus_t *log = open_log(at("log"), "segment_size=16KiB");
        walrus_recovery_report_t report = report_of(log);
        CHECK_U64(WALRUS_RECOVERY_CLEAN, report.reason);
        CHECK(report.entries_cut == 0 && report.bytes_cut == 0 && report.cut_index == 0 && report.cut_offset == 0);
        CHECK_U64(0, report.segments_scanned);
        CHECK_U64(0, report.bytes_scanned);
        CHECK_U64((uint64_t)round * 30, report.durable_index);
        CHECK_U64((uint64_t)round * 30, walrus_durable_index(log));
        CHECK_TEXT("", report.segment);
        CHECK(report.message[0] != 0);
        for (int i = 0; i < 30; i++)
            append_payload(log, 1000, 1);
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: an unclean log that is taken for a damaged one. */
CASE(the_report_of_a_crash_that_left_nothing_unfinished_is_complete) {
    subject_t subject = make_subject("always", false);
    image_write(subject.image, at("log"));
    walrus_t *log = open_log(at("log"), "");
    walrus_recovery_report_t report = report_of(log);
    CHECK_U64(WALRUS_RECOVERY_COMPLETE, report.reason);
    CHECK(report.entries_cut == 0 && report.bytes_cut == 0 && report.cut_index == 0 && report.cut_offset == 0);
    CHECK(report.segments_scanned >= 1 && report.bytes_scanned > 0);
    CHECK_TEXT("", report.segment);
    /* The last frame of the log declares durable what came before it; nothing declares the last one. */
    CHECK(report.durable_index >= COUNT - 1 && report.durable_index <= COUNT);
    CHECK_U64(report.durable_index, walrus_durable_index(log));
    CHECK_U64(COUNT, walrus_last_index(log));
    CHECK_OK(walrus_sync(log));
    CHECK_U64(COUNT, walrus_durable_index(log));
    CHECK_OK(walrus_close(log));
    image_free(subject.image);
}

/* Catches: a cut that is told wrongly: why, where, how much. */
VARIANT_CASES(the_report_of_a_torn_tail_tells_what_was_cut_and_where) {
    subject_t subject = make_subject("always", false);
    for (uint64_t i = 1; i <= COUNT; i++) {
        const frame_t *frame = frame_of(&subject, i);
        bool in_batch = i > BATCH_FIRST && i <= BATCH_LAST;
        /* A frame's first bytes may happen to be 0, which is nothing to be cut. */
        for (size_t keep = 8; keep < frame->payload_end - frame->offset; keep += 11) {
            write_with_loss(&subject, in_memory("log"), CUT, frame->offset + keep);
            walrus_t *log = open_log(in_memory("log"), "");
            walrus_recovery_report_t report = report_of(log);
            uint64_t last = whole(i - 1);
            const frame_t *from = frame_of(&subject, last + 1);
            CHECK_NOTE("cut in entry %" PRIu64 " after %zu bytes: reason %d, \"%s\"", i, keep, (int)report.reason,
                       report.message);
            CHECK_U64(last, walrus_last_index(log));
            CHECK(report.reason == WALRUS_RECOVERY_TORN ||
                  ((in_batch || i == BATCH_FIRST) && report.reason == WALRUS_RECOVERY_BATCH));
            CHECK(!in_batch || report.reason == WALRUS_RECOVERY_BATCH);
            CHECK_U64(last + 1, report.cut_index);
            CHECK_U64(from->offset, report.cut_offset);
            CHECK_U64(i - (last + 1), report.entries_cut); /* whole entries: of the batch only */
            CHECK(report.bytes_cut > 0 && report.bytes_cut <= frame->offset + keep - from->offset);
            CHECK_TEXT(subject.tail->name, report.segment);
            CHECK(report.message[0] != 0);
            CHECK(report.durable_index <= last);
            CHECK_U64(1, report.segments_scanned);
            CHECK(report.bytes_scanned > 0);
            CHECK_OK(walrus_close(log));
        }
    }
    image_free(subject.image);
}

/* Catches: later writes that reached the disk before an earlier one, kept with a hole, or refused as corruption. */
VARIANT_CASES(a_hole_in_what_was_never_synced_is_a_reorder_and_cut) {
    subject_t subject = make_subject("os", false);
    for (uint64_t hole = 1; hole < COUNT; hole++) {
        const frame_t *frame = frame_of(&subject, hole);
        size_t length = frame->end - frame->offset;
        unsigned char kept[2048];
        memcpy(kept, subject.tail->bytes + frame->offset, length);
        memset(subject.tail->bytes + frame->offset, 0, length);
        image_write(subject.image, in_memory("log"));
        memcpy(subject.tail->bytes + frame->offset, kept, length);
        walrus_t *log = open_log(in_memory("log"), "");
        walrus_recovery_report_t report = report_of(log);
        CHECK_NOTE("hole at entry %" PRIu64 ": reason %d, \"%s\"", hole, (int)report.reason, report.message);
        uint64_t last = whole(hole - 1);
        CHECK_U64(last, walrus_last_index(log));
        CHECK_U64(WALRUS_RECOVERY_REORDERED, report.reason);
        CHECK_U64(last + 1, report.cut_index);
        CHECK_U64(COUNT - last - 1, report.entries_cut); /* all but the one in the hole */
        CHECK_U64(frame_of(&subject, last + 1)->offset, report.cut_offset);
        CHECK_TEXT(subject.tail->name, report.segment);
        check_contents(log, last, false);
        check_goes_on(log, in_memory("log"), last, false);
    }
    image_free(subject.image);
}

/* Catches: an error that leaves the user to search a directory of segments. */
VARIANT_CASES(a_corrupt_error_names_the_file_the_offset_and_the_index) {
    subject_t subject = make_subject("always", false);
    for (uint64_t bad = 1; bad < COUNT; bad++) {
        const frame_t *frame = frame_of(&subject, bad);
        size_t places[] = {frame->offset + 9, frame->payload_end - 1};
        for (int i = 0; i < (frame->length != 0 ? 2 : 1); i++) {
            subject.tail->bytes[places[i]] ^= 4;
            image_write(subject.image, in_memory("log"));
            subject.tail->bytes[places[i]] ^= 4;
            walrus_t *log = NULL;
            CHECK_NOTE("entry %" PRIu64 " damaged at %zu", bad, places[i]);
            CHECK_CODE(WALRUS_E_CORRUPT, walrus_open(in_memory("log"), NULL, &log));
            walrus_error_t error = last_error();
            CHECK_U64(bad, error.index);
            CHECK_U64(frame->offset, error.offset);
            CHECK(strstr(error.path, subject.tail->name) != NULL);
            CHECK(error.message[0] != 0);
        }
    }
    image_free(subject.image);
}

/* ---- Over several segments ------------------------------------------------------------------ */

/* Catches: recovery that looks at the last segment only, when several were never synced. */
CASE(unsynced_segments_are_recovered_up_to_the_first_tear) {
    const char *dir = in_memory("log");
    walrus_t *log = open_log(dir, "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 70; i++)
        append_payload(log, 1000, i);
    image_t *image = image_read(dir);
    CHECK_OK(walrus_close(log));
    for (uint64_t bad = 3; bad <= 70; bad += 4) {
        size_t offset = 0;
        image_file_t *file = image_find_payload(image, 1000, bad, &offset);
        CHECK(file != NULL);
        file->bytes[offset + 100] ^= 1;
        image_write(image, dir);
        file->bytes[offset + 100] ^= 1;
        image_t *before = image_read(dir);
        log = NULL;
        int32_t result = walrus_open(dir, NULL, &log);
        CHECK_NOTE("entry %" PRIu64 " of 70 damaged, nothing was synced on purpose: %s", bad, check_code_name(result));
        if (result == WALRUS_OK) { /* a cut before it; or it was not scanned, because a rotation had synced it */
            uint64_t last = walrus_last_index(log);
            CHECK(last == bad - 1 || last == 70);
            for (uint64_t i = 1; i <= last; i++) {
                walrus_entry_t entry;
                CHECK_CODE(i == bad ? WALRUS_E_CORRUPT : WALRUS_OK, walrus_get(log, i, &entry));
                CHECK(i == bad || is_payload(entry.data, entry.size, i));
                walrus_entry_release(&entry);
            }
            if (last < 70) {
                CHECK_U64(last + 1, append_payload(log, 1000, 5000));
                CHECK_OK(walrus_close(log));
                log = open_log(dir, "");
                CHECK_U64(last + 1, walrus_last_index(log));
                check_entry(log, last + 1, 1000, 5000);
            }
            CHECK_OK(walrus_close(log));
        } else {
            CHECK_CODE(WALRUS_E_CORRUPT, result);
            CHECK_UNTOUCHED(before, dir);
        }
        image_free(before);
    }
    image_free(image);
}

/* Catches: a file at the end of the log whose begin frame never made it to the disk. */
CASE(a_last_segment_that_lost_its_begin_frame_was_never_begun) {
    const char *dir = in_memory("log");
    walrus_t *log = open_log(dir, "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 30; i++)
        append_payload(log, 1000, i);
    image_t *image = image_read(dir);
    CHECK_OK(walrus_close(log));
    image_file_t *tail = tail_segment(image);
    frame_t frames[64];
    size_t count = list_frames(tail->bytes, tail->size, frames, 64);
    uint64_t base = load(tail->bytes + FIRST_FRAME + FRAME_HEADER_BYTES, 8);
    CHECK(count > 2 && base > 1);
    memset(tail->bytes + FIRST_FRAME, 0, tail->size - FIRST_FRAME);
    image_write(image, dir);
    log = open_log(dir, "");
    CHECK_U64(base - 1, walrus_last_index(log));
    for (uint64_t i = 1; i < base; i++)
        check_entry(log, i, 1000, i);
    for (uint64_t i = 0; i < 30; i++)
        CHECK_U64(base + i, append_payload(log, 1000, 5000 + i));
    CHECK_OK(walrus_close(log));
    log = open_log(dir, "");
    CHECK_U64(base + 29, walrus_last_index(log));
    check_entry(log, base, 1000, 5000);
    check_entry(log, base - 1, 1000, base - 1);
    CHECK_OK(walrus_close(log));
    image_free(image);
}

/* Catches: a second crash that finds what the first one's recovery left half done. Several crashes in a row, each with
 * a torn tail, appends in between. */
CASE(crash_after_crash_after_crash_loses_nothing_that_was_acknowledged) {
    const char *dir = in_memory("log"), *crashed = in_memory("crashed");
    uint64_t acknowledged = 0;
    walrus_t *log = open_log(dir, "segment_size=16KiB");
    for (int round = 0; round < 40; round++) {
        CHECK_NOTE("crash %d, %" PRIu64 " acknowledged", round, acknowledged);
        for (int i = 0; i < 3; i++)
            CHECK_U64(++acknowledged, append_payload(log, 700, acknowledged));
        walrus_record_t record = {.data = "never acknowledged, torn by the crash", .size = 37};
        CHECK_OK(walrus_append_record(log, &record, WALRUS_TO_OS, NULL));
        image_t *image = image_read(dir);
        CHECK_OK(walrus_close(log));
        for (size_t f = 0; f < image->count; f++) {
            unsigned char *place = memmem(image->files[f].bytes, image->files[f].size, record.data, record.size);
            if (place != NULL) /* its last bytes never arrived */
                memset(place + 5 + round % 20, 0,
                       image->files[f].size - (size_t)(place + 5 + round % 20 - image->files[f].bytes));
        }
        image_write(image, crashed);
        image_write(image, dir);
        image_free(image);
        for (int again = 0; again < 2; again++) { /* recovery itself is cut short by a crash */
            walrus_t *first = open_log(crashed, "");
            copy_directory(crashed, dir);
            CHECK_U64(acknowledged, walrus_last_index(first));
            CHECK_OK(walrus_close(first));
            copy_directory(dir, crashed);
        }
        log = open_log(dir, "segment_size=16KiB");
        CHECK_U64(acknowledged, walrus_last_index(log));
        for (uint64_t i = 1; i <= acknowledged; i++)
            check_entry(log, i, 700, i);
    }
    CHECK_OK(walrus_close(log));
}

/* Catches: frames inside a payload, or left over from other logs, that are taken for the log's own. */
CASE(frames_copied_into_payloads_and_from_other_logs_never_count) {
    const char *dir = in_memory("log"), *other = in_memory("other");
    walrus_t *log = open_log(other, "preallocate=off");
    for (uint64_t i = 1; i <= 10; i++)
        append_payload(log, 100, 1000 + i);
    CHECK_OK(walrus_close(log));
    image_t *foreign = image_read(other);
    image_file_t *foreign_tail = tail_segment(foreign);
    size_t foreign_size = foreign_tail->size - FIRST_FRAME;

    log = open_log(dir, "preallocate=off");
    append_payload(log, 100, 1);
    CHECK_OK(walrus_append(log, foreign_tail->bytes + FIRST_FRAME, foreign_size, NULL));
    image_t *own = image_read(dir);
    image_file_t *own_tail = tail_segment(own);
    CHECK_OK(walrus_append(log, own_tail->bytes, own_tail->size, NULL));
    image_t *image = image_read(dir);
    CHECK_OK(walrus_close(log));
    image_file_t *tail = tail_segment(image), whole_tail = *tail;
    frame_t frames[16];
    size_t count = list_frames(tail->bytes, tail->size, frames, 16), tried = 0;
    tail->bytes = malloc(whole_tail.size + foreign_size);
    for (size_t i = 0; i < count; i++) {
        if (frames[i].type != FRAME_ENTRY)
            continue;
        /* Another log's frames stand where this log's next one would. */
        memcpy(tail->bytes, whole_tail.bytes, frames[i].end);
        memcpy(tail->bytes + frames[i].end, foreign_tail->bytes + FIRST_FRAME, foreign_size);
        tail->size = frames[i].end + foreign_size;
        image_write(image, dir);
        CHECK_NOTE("foreign frames behind entry %" PRIu64, frames[i].index);
        log = open_log(dir, "");
        CHECK_U64(frames[i].index, walrus_last_index(log));
        check_entry(log, 1, 100, 1);
        CHECK_OK(walrus_close(log));
        tried++;
        if (frames[i].index != 3)
            continue;
        /* The header of an entry is lost; in its payload stand whole frames, one of them of the index wanted. */
        memcpy(tail->bytes, whole_tail.bytes, whole_tail.size);
        tail->size = whole_tail.size;
        tail->bytes[frames[i].offset] ^= 0x40;
        image_write(image, dir);
        CHECK_NOTE("entry 3 lost its header");
        log = open_log(dir, "");
        CHECK_U64(2, walrus_last_index(log));
        CHECK_OK(walrus_close(log));
    }
    CHECK_U64(3, tried);
    free(tail->bytes);
    tail->bytes = whole_tail.bytes;
    image_free(image);
    image_free(own);
    image_free(foreign);
}

/* Catches: two metadata slots of which a bad one counts, or of which both are needed. */
CASE(one_bad_metadata_slot_is_made_good_by_the_other) {
    const char *dir = in_memory("log");
    walrus_t *log = open_log(dir, "sync=os segment_size=16KiB");
    for (uint64_t i = 1; i <= 30; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_truncate(log, 25));
    CHECK_OK(walrus_truncate_front(log, 5));
    image_t *crashed = image_read(dir);
    CHECK_OK(walrus_close(log));
    image_t *clean = image_read(dir);
    image_t *images[] = {crashed, clean};
    for (int which = 0; which < 2; which++)
        for (int slot = 0; slot < 3; slot++)
            for (size_t byte = 0; byte < 256; byte += 5) {
                image_file_t *meta = image_find(images[which], "walrus.meta");
                if (slot != 1)
                    meta->bytes[byte] ^= 8;
                if (slot != 0)
                    meta->bytes[META_SLOT + byte] ^= 8;
                image_write(images[which], dir);
                if (slot != 1)
                    meta->bytes[byte] ^= 8;
                if (slot != 0)
                    meta->bytes[META_SLOT + byte] ^= 8;
                CHECK_NOTE("%s, slot %d, byte %zu", which ? "clean" : "crashed", slot, byte);
                if (slot == 2) {
                    CHECK_CODE(WALRUS_E_CORRUPT, walrus_open(dir, NULL, &log));
                    continue;
                }
                for (int round = 0; round < 2; round++) { /* the second open: the slot was repaired */
                    log = open_log(dir, "");
                    CHECK_U64(5, walrus_first_index(log));
                    CHECK_U64(25, walrus_last_index(log));
                    check_entry(log, 5, 1000, 5);
                    check_entry(log, 25, 1000, 25);
                    CHECK_OK(walrus_close(log));
                }
            }
    image_free(crashed);
    image_free(clean);
}
