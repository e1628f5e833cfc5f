/* test_stats.c - the counts are those of the work that was done, and the text says the same
 */
#include "support.h"

static walrus_stats_t stats_of(walrus_t *log) {
    walrus_stats_t stats = {.struct_size = sizeof stats};
    CHECK_OK(walrus_stats(log, &stats));
    CHECK_U64(sizeof stats, stats.struct_size);
    return stats;
}

static uint64_t histogram_sum(const walrus_stats_t *stats) {
    uint64_t sum = 0;
    for (int i = 0; i < 24; i++)
        sum += stats->sync_histogram[i];
    return sum;
}

/* ---- Counts --------------------------------------------------------------------------------- */

/* Catches: a count that is missing, doubled, or of something else. */
CASE(appends_and_syncs_are_counted) {
    walrus_t *log = open_log(at("log"), "sync=none buffer_size=4KiB");
    walrus_stats_t stats = stats_of(log);
    CHECK(stats.appends == 0 && stats.syncs == 0 && stats.last_index == 0 && stats.is_poisoned == 0);
    CHECK(stats.recovery_ns > 0);
    for (uint64_t i = 0; i < 10; i++)
        append_payload(log, 100, i);
    walrus_record_t records[5] = {0};
    for (int i = 0; i < 5; i++)
        records[i] = (walrus_record_t){.data = "seven b", .size = 7};
    CHECK_OK(walrus_append_batch(log, records, 5, 0, NULL));
    CHECK_OK(walrus_append_batch(log, records, 0, 0, NULL));
    walrus_record_t late = {.data = "x", .size = 1, .index = 99};
    CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_append_record(log, &late, 0, NULL));
    stats = stats_of(log);
    CHECK_U64(11, stats.appends);
    CHECK_U64(15, stats.entries_appended);
    CHECK_U64(1035, stats.bytes_appended);
    CHECK_U64(0, stats.bytes_written);
    CHECK_U64(1, stats.first_index);
    CHECK_U64(15, stats.last_index);
    CHECK_U64(0, stats.durable_index);
    CHECK_U64(0, stats.syncs);
    CHECK_OK(walrus_sync(log));
    stats = stats_of(log);
    CHECK_U64(1, stats.syncs);
    CHECK_U64(15, stats.entries_synced);
    CHECK_U64(15, stats.largest_group);
    CHECK_U64(15, stats.durable_index);
    CHECK(stats.sync_ns > 0 && stats.sync_ns == stats.sync_ns_max);
    CHECK_U64(1, histogram_sum(&stats));
    for (int i = 0; i < 23; i++)
        if (stats.sync_histogram[i] != 0)
            CHECK(stats.sync_ns / 1000 < UINT64_C(1) << i && (i == 0 || stats.sync_ns / 1000 >= UINT64_C(1) << (i - 1)));
    /* Frames are 8-byte aligned and have a header each: more than the payloads, less than twice as much. */
    CHECK(stats.bytes_written > 1035 && stats.bytes_written < 2070);
    CHECK_OK(walrus_sync(log)); /* nothing to do, so no sync */
    append_payload(log, 20000, 1);
    CHECK_OK(walrus_sync(log));
    stats = stats_of(log);
    CHECK_U64(2, stats.syncs);
    CHECK_U64(2, histogram_sum(&stats));
    CHECK_U64(16, stats.entries_synced);
    CHECK_U64(15, stats.largest_group);
    CHECK(stats.sync_ns >= stats.sync_ns_max);
    CHECK(stats.bytes_written > 21035 && stats.bytes_written < 22500);
    CHECK_OK(walrus_close(log));
}

/* Catches: bytes of a footer or of a large entry that nobody counted. */
CASE(bytes_written_are_the_bytes_that_the_files_got) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=64KiB preallocate=off buffer_size=8KiB");
    for (uint64_t i = 0; i < 300; i++)
        append_payload(log, i % 50 == 0 ? 20000 : 500, i);
    walrus_stats_t stats = stats_of(log);
    CHECK(stats.rotations > 2);
    CHECK_U64(stats.rotations + 1, stats.segments);
    CHECK_U64(stats.segments, count_segments(at("log")));
    image_t *image = image_read(at("log"));
    CHECK_OK(walrus_close(log));
    /* Each file ends with what was written last, but for the tail, which is longer than that. */
    uint64_t sizes = 0;
    for (image_file_t *file = image->files; file < image->files + image->count; file++)
        if (is_segment(file->name))
            sizes += file->size;
    CHECK(stats.bytes_written <= sizes);
    CHECK(stats.bytes_written + (200 << 10) > sizes);
    image_free(image);
}

static void truncate_and_count(walrus_t *log) {
    CHECK_OK(walrus_truncate(log, 190));
    CHECK_OK(walrus_truncate(log, 190)); /* a no-op */
    CHECK_OK(walrus_truncate_front(log, 100));
    CHECK_OK(walrus_truncate_front(log, 50)); /* a no-op */
    CHECK_U64(2, stats_of(log).truncations);
    CHECK_OK(walrus_reset(log, 500));
    CHECK_U64(3, stats_of(log).truncations);
}

CASE(truncations_and_removed_segments_are_counted) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB preallocate=off");
    for (uint64_t i = 0; i < 200; i++)
        append_payload(log, 500, i);
    size_t files = count_segments(at("log"));
    uint64_t updates = stats_of(log).meta_updates;
    truncate_and_count(log);
    CHECK(stats_of(log).meta_updates >= updates + 3);
    for (int i = 0; i < 1000 && stats_of(log).segments_removed < files; i++)
        usleep(5000);
    walrus_stats_t stats = stats_of(log);
    CHECK_U64(files, stats.segments_removed);
    CHECK_U64(0, count_segments(at("log")));
    CHECK_U64(0, stats.segments);
    CHECK_U64(0, stats.durable_index);
    CHECK_OK(walrus_close(log));
}

/* Catches: hits that get lost with the segment that is evicted, and a miss that is a hit, too. */
CASE(reads_of_open_segments_are_hits_and_the_others_misses) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB preallocate=off cached_segments=2");
    for (uint64_t i = 1; i <= 200; i++)
        append_payload(log, 500, i);
    walrus_stats_t before = stats_of(log);
    CHECK(before.segments > 5);
    for (uint64_t i = 1; i <= 200; i++)
        check_entry(log, i, 500, i);
    walrus_stats_t after = stats_of(log);
    uint64_t misses = after.segment_cache_misses - before.segment_cache_misses;
    CHECK_U64(before.segments - 1, misses);
    CHECK_U64(200 - misses, after.segment_cache_hits - before.segment_cache_hits);
    CHECK_OK(walrus_reset(log, 300));
    CHECK_U64(after.segment_cache_hits, stats_of(log).segment_cache_hits);
    CHECK_OK(walrus_close(log));
}

CASE(transactions_are_counted_by_their_ends) {
    walrus_t *log = open_log(at("log"), "sync=os");
    walrus_txn_t *txns[7];
    for (int i = 0; i < 7; i++) {
        CHECK_OK(walrus_txn_begin(log, i == 6 ? 1 : -1, &txns[i]));
        if (i != 6)
            CHECK_OK(walrus_txn_append(txns[i], &(walrus_record_t){.data = "x", .size = 1}));
    }
    CHECK_OK(walrus_txn_commit(txns[0], 0, NULL, NULL));
    CHECK_OK(walrus_txn_commit(txns[1], 0, NULL, NULL));
    for (int i = 2; i < 5; i++)
        CHECK_OK(walrus_txn_rollback(txns[i]));
    usleep(3000);
    CHECK_OK(walrus_txn_expire(log, NULL));
    CHECK_CODE(WALRUS_TXN_EXPIRED, walrus_txn_state(txns[6]));
    CHECK_OK(walrus_txn_rollback(txns[6])); /* not rolled back a second time */
    walrus_stats_t stats = stats_of(log);
    CHECK_U64(1, stats.txn_open);
    CHECK_U64(2, stats.txn_committed);
    CHECK_U64(3, stats.txn_rolled_back);
    CHECK_U64(1, stats.txn_expired);
    CHECK_U64(2, stats.entries_appended);
    CHECK_OK(walrus_txn_rollback(txns[5]));
    CHECK_OK(walrus_close(log));
}

CASE(what_recovery_cut_is_told) {
    walrus_t *log = open_log(at("log"), "");
    append_payload(log, 100, 1);
    append_payload(log, 100, 2);
    image_t *image = image_read(at("log"));
    CHECK_OK(walrus_close(log));
    size_t offset = 0;
    image_file_t *file = image_find_payload(image, 100, 2, &offset);
    CHECK(file != NULL);
    file->bytes[offset + 50] ^= 1;
    image_write(image, at("copy"));
    log = open_log(at("copy"), "");
    walrus_stats_t stats = stats_of(log);
    walrus_recovery_report_t report = {.struct_size = sizeof report};
    CHECK_OK(walrus_recovery_report(log, &report));
    CHECK(stats.recovery_bytes_cut > 0);
    CHECK_U64(report.bytes_cut, stats.recovery_bytes_cut);
    CHECK_U64(report.entries_cut, stats.recovery_entries_cut);
    CHECK_U64(report.duration_ns, stats.recovery_ns);
    CHECK_U64(1, stats.last_index);
    CHECK_OK(walrus_close(log));
    image_free(image);
}

/* ---- The struct ----------------------------------------------------------------------------- */

/* Catches: a library that writes behind the struct of a program built with an older header, or fails one built with a newer. */
CASE(a_struct_of_another_size_is_filled_as_far_as_both_know_it) {
    walrus_t *log = open_log(at("log"), "sync=os");
    append_payload(log, 10, 1);
    struct {
        walrus_stats_t stats;
        unsigned char behind[64];
    } larger;
    memset(&larger, 0xA5, sizeof larger);
    larger.stats.struct_size = sizeof larger;
    CHECK_OK(walrus_stats(log, &larger.stats));
    CHECK_U64(1, larger.stats.last_index);
    CHECK_U64(sizeof larger, larger.stats.struct_size);
    CHECK(is_filled(larger.behind, sizeof larger.behind, 0xA5));
    for (uint32_t size = 8; size < sizeof(walrus_stats_t); size++) {
        walrus_stats_t smaller;
        memset(&smaller, 0xA5, sizeof smaller);
        smaller.struct_size = size;
        CHECK_NOTE("struct_size %u", size);
        CHECK_OK(walrus_stats(log, &smaller));
        CHECK(is_filled((unsigned char *)&smaller + size, sizeof smaller - size, 0xA5));
        CHECK(size < 24 || smaller.last_index == 1);
    }
    for (uint32_t size = 0; size < 8; size++) {
        walrus_stats_t none = {.struct_size = size};
        CHECK_CODE(WALRUS_E_INVALID, walrus_stats(log, &none));
    }
    CHECK_CODE(WALRUS_E_INVALID, walrus_stats(log, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_stats(NULL, &larger.stats));
    CHECK_OK(walrus_shutdown(log));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_stats(log, &larger.stats));
    CHECK_CODE(WALRUS_E_CLOSED, walrus_stats_text(log, NULL, 0, NULL));
    CHECK_OK(walrus_close(log));
}

/* ---- The text ------------------------------------------------------------------------------- */

typedef struct sample {
    char name[80];
    double value;
    char type[16]; /* of the family that the line stands under */
} sample_t;

typedef struct samples {
    sample_t list[100];
    size_t count, families;
} samples_t;

/* Whether a sample may stand under the family's # TYPE line. */
static bool belongs(const char *name, const char *family, const char *type) {
    size_t length = strlen(family);
    if (strncmp(name, family, length) != 0)
        return false;
    if (strcmp(type, "histogram") != 0)
        return name[length] == 0 && (strcmp(type, "gauge") == 0 || strcmp(family + length - 6, "_total") == 0);
    return strncmp(name + length, "_bucket{le=\"", 12) == 0 || strcmp(name + length, "_sum") == 0 ||
           strcmp(name + length, "_count") == 0;
}

/* Takes the text apart line by line; what the format does not allow fails. */
static samples_t parse(char *text) {
    samples_t samples = {0};
    char family[80] = "", type[16] = "", help[80] = "";
    size_t length = strlen(text);
    CHECK(length > 0 && text[length - 1] == '\n');
    for (char *line; (line = strsep(&text, "\n")) != NULL && *line != 0;) {
        CHECK_NOTE("line: %.200s", line);
        int end = 0;
        if (sscanf(line, "# HELP %79s %n", help, &end) == 1) {
            CHECK(end > 0 && line[end] != 0);
            continue;
        }
        if (sscanf(line, "# TYPE %79s %15s%n", family, type, &end) == 2) {
            CHECK(line[end] == 0);
            CHECK_TEXT(help, family);
            samples.families++;
            continue;
        }
        sample_t *sample = &samples.list[samples.count++];
        CHECK(samples.count < 100 && sscanf(line, "%79s %lf%n", sample->name, &sample->value, &end) == 2 && line[end] == 0);
        CHECK(belongs(sample->name, family, type));
        strcpy(sample->type, type);
        for (size_t i = 0; i + 1 < samples.count; i++)
            CHECK(strcmp(samples.list[i].name, sample->name) != 0);
    }
    return samples;
}

static double value_of(const samples_t *samples, const char *name) {
    for (size_t i = 0; i < samples->count; i++)
        if (strcmp(samples->list[i].name, name) == 0)
            return samples->list[i].value;
    FAIL("there is no %s", name);
    return -1;
}

#define SAME(field, suffix) CHECK(value_of(&samples, "walrus_" #field suffix) == (double)stats.field)
#define IS_ABOUT(a, b) CHECK((a) > (b) - 1e-9 && (a) < (b) + 1e-9)

/* Catches: a line that Prometheus would refuse, a number that is not the struct's, a histogram that does not add up. */
CASE(the_text_is_prometheus_and_says_what_the_struct_says) {
    walrus_t *log = open_log(at("log"), "segment_size=16KiB preallocate=off");
    for (uint64_t i = 0; i < 100; i++)
        append_payload(log, 500, i);
    CHECK_OK(walrus_truncate_front(log, 60));
    usleep(100000); /* the background is done */
    for (uint64_t i = 60; i <= 100; i++)
        check_entry(log, i, 500, i - 1);
    walrus_txn_t *txn;
    CHECK_OK(walrus_txn_begin(log, -1, &txn));
    size_t size = 0;
    CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_stats_text(log, NULL, 0, &size));
    char *text = malloc(size);
    CHECK_OK(walrus_stats_text(log, text, size, &size));
    CHECK_U64(strlen(text) + 1, size);
    walrus_stats_t stats = stats_of(log);
    samples_t samples = parse(text);
    SAME(is_poisoned, "");
    SAME(first_index, "");
    SAME(last_index, "");
    SAME(durable_index, "");
    SAME(segments, "");
    SAME(async_pending, "");
    SAME(txn_open, "");
    SAME(largest_group, "");
    SAME(recovery_bytes_cut, "");
    SAME(recovery_entries_cut, "");
    SAME(appends, "_total");
    SAME(entries_appended, "_total");
    SAME(bytes_appended, "_total");
    SAME(bytes_written, "_total");
    SAME(entries_synced, "_total");
    SAME(rotations, "_total");
    SAME(truncations, "_total");
    SAME(segments_removed, "_total");
    SAME(segment_cache_hits, "_total");
    SAME(segment_cache_misses, "_total");
    SAME(txn_committed, "_total");
    SAME(txn_rolled_back, "_total");
    SAME(txn_expired, "_total");
    SAME(meta_updates, "_total");
    CHECK(stats.last_index == 100 && stats.first_index == 60 && stats.truncations == 1 && stats.txn_open == 1);
    CHECK(value_of(&samples, "walrus_sync_seconds_count") == (double)stats.syncs && stats.syncs >= 100);
    IS_ABOUT(value_of(&samples, "walrus_sync_seconds_sum"), (double)stats.sync_ns / 1e9);
    IS_ABOUT(value_of(&samples, "walrus_sync_seconds_max"), (double)stats.sync_ns_max / 1e9);
    IS_ABOUT(value_of(&samples, "walrus_recovery_seconds"), (double)stats.recovery_ns / 1e9);
    uint64_t sum = 0;
    for (int i = 0; i < 24; i++) {
        char name[80];
        sum += stats.sync_histogram[i];
        uint64_t us = UINT64_C(1) << i;
        snprintf(name, sizeof name, "walrus_sync_seconds_bucket{le=\"%" PRIu64 ".%06" PRIu64 "000\"}", us / 1000000,
                 us % 1000000);
        CHECK(value_of(&samples, i == 23 ? "walrus_sync_seconds_bucket{le=\"+Inf\"}" : name) == (double)sum);
    }
    CHECK_U64(stats.syncs, sum);
    CHECK_U64(27, samples.families);
    CHECK_OK(walrus_txn_rollback(txn));
    CHECK_OK(walrus_close(log));
    free(text);
}

/* Catches: a buffer that is overrun, or written although it is too small. */
CASE(a_text_buffer_that_is_too_small_stays_as_it_is) {
    walrus_t *log = open_log(at("log"), "sync=os");
    append_payload(log, 100, 1);
    size_t size = 0;
    CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_stats_text(log, NULL, 0, &size));
    CHECK(size > 1000);
    size_t needed = size;
    char *text = malloc(needed + 16);
    for (size_t capacity = needed < 300 ? 0 : needed - 300; capacity < needed; capacity++) {
        memset(text, 0xA5, needed + 16);
        size = 0;
        CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_stats_text(log, text, capacity, &size));
        CHECK_U64(needed, size);
        CHECK(is_filled(text, needed + 16, 0xA5));
    }
    memset(text, 0xA5, needed + 16);
    CHECK_OK(walrus_stats_text(log, text, needed, NULL));
    CHECK(text[needed - 1] == 0 && strlen(text) == needed - 1);
    CHECK(is_filled(text + needed, 16, 0xA5));
    memset(text, 0xA5, needed + 16);
    CHECK_OK(walrus_stats_text(log, text, SIZE_MAX, &size));
    CHECK_U64(needed, size);
    CHECK(is_filled(text + needed, 16, 0xA5));
    CHECK_CODE(WALRUS_E_INVALID, walrus_stats_text(log, NULL, 10, &size));
    CHECK_CODE(WALRUS_E_INVALID, walrus_stats_text(NULL, text, needed, &size));
    CHECK_OK(walrus_close(log));
    free(text);
}
