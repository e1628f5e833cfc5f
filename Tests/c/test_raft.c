/* test_raft.c - what a Raft node asks of its log: its own indexes and terms, a suffix that gives way to the leader's
 *
 * walrus_replace_suffix above all: what it leaves in memory, on the disk, and of the log when it is refused or killed
 * half way.
 */
#include "support.h"

static void check_bounds(walrus_t *log, uint64_t first, uint64_t last) {
    CHECK_U64(first, walrus_first_index(log));
    CHECK_U64(last, walrus_last_index(log));
    CHECK_U64(last + 1, walrus_next_index(log));
}

/* Replaces from on by count entries, in the log and in the model. */
static void replace(walrus_t *log, model_t *model, uint64_t from, size_t count, uint64_t term, uint64_t seed) {
    walrus_record_t *records = calloc(count + 1, sizeof *records);
    bool names_indexes = seed % 2 == 0;
    CHECK(records != NULL);
    model_truncate(model, from - 1);
    for (size_t i = 0; i < count; i++) {
        size_t size = (seed + i) % 9 == 0 ? 0 : (seed + i) % 11 == 0 ? 3000 : (seed + i) % 100;
        records[i] = (walrus_record_t){.data = payload(size, seed + i), .size = size, .term = term};
        records[i].index = names_indexes ? from + i : 0;
        model_append(model, 0, size, seed + i, term, 0);
    }
    CHECK_OK(walrus_replace_suffix(log, from, records, count, seed % 3 == 0 ? WALRUS_DURABLE : 0));
    if (count > 0)
        CHECK_U64(model->next - 1, walrus_durable_index(log));
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)records[i].data);
    free(records);
}

/* Catches: an index that is off by one where the suffix begins, bounds or tables that keep what was dropped, a new segment
 * that is lost, or an old one that is found, after a reopen of whatever kind. */
static void replace_and_reopen(const char *options) {
    const char *dir = in_memory("log"), *copy = in_memory("copy");
    uint64_t seed = run_seed();
    random_source_t chance = {seed};
    model_t model = {.first = 1, .next = 1};
    walrus_t *log = open_log(dir, options);
    CHECK_NOTE("WALRUS_SEED=%" PRIu64, seed);
    for (uint64_t round = 1; round <= 300; round++) {
        uint64_t count = model_count(&model), what = below(&chance, 12);
        if (what < 6)
            replace(log, &model, model.next - below(&chance, (count < 40 ? count : 40) + 1), below(&chance, 30), round,
                    round * 1000);
        else if (what == 6)
            replace(log, &model, model.first, 1 + below(&chance, 5), round, round * 1000);
        else if (what == 7 && count > 0) {
            uint64_t index = model.first + below(&chance, count < 30 ? count : 30);
            CHECK_OK(walrus_truncate_front(log, index));
            model_truncate_front(&model, index);
        } else if (what == 8 && count > 0) {
            uint64_t index = model.next - 1 - below(&chance, count < 10 ? count : 10);
            CHECK_OK(walrus_truncate(log, index));
            model_truncate(&model, index);
        } else
            for (uint64_t i = 0; i < 1 + below(&chance, 10); i++) {
                append_payload(log, i * 7, round * 1000 + 500 + i);
                model_append(&model, 0, i * 7, round * 1000 + 500 + i, model_last_term(&model), 0);
            }
        /* walrus_append gives the term of the entry before, of which an empty log may have none left: that is not asked here. */
        for (uint64_t index = model.first; index < model.next; index++)
            CHECK_OK(walrus_term(log, index, &model.entries[index - model.first].term));
        if (round % 10 == 0)
            model_check(&model, log);
        if (round % 25 == 7) {
            CHECK_OK(walrus_sync(log));
            copy_directory(dir, copy);
            walrus_t *other = open_log(copy, options);
            model_check(&model, other);
            append_payload(other, 5, 5);
            CHECK_U64(model.next, walrus_last_index(other));
            CHECK_OK(walrus_close(other));
        }
        if (round % 40 == 3) {
            CHECK_OK(walrus_close(log));
            log = open_log(dir, options);
            model_check(&model, log);
        }
    }
    CHECK_OK(walrus_close(log));
    model_free(&model);
}

CASE(a_suffix_is_replaced_wherever_it_begins) { replace_and_reopen("sync=none segment_size=4KiB buffer_size=4KiB"); }
CASE(a_suffix_is_replaced_with_sync_always_and_large_segments) { replace_and_reopen("segment_size=1MiB"); }
CASE(a_suffix_is_replaced_without_mappings_and_with_padding) {
    replace_and_reopen("sync=os segment_size=16KiB zero_copy=off cached_segments=1 sync_padding=4096");
}

CASE(terms_of_a_replaced_suffix_are_the_new_ones) {
    walrus_t *log = open_log(at("log"), "");
    uint64_t term, index;
    for (uint64_t i = 1; i <= 10; i++) {
        walrus_record_t record = {.index = i + 100, .term = i / 4 + 1, .data = &i, .size = sizeof i};
        CHECK_OK(walrus_append_record(log, &record, 0, &index));
        CHECK_U64(i + 100, index);
    }
    walrus_record_t news[2] = {{.index = 105, .term = 9}, {.index = 106, .term = 2}};
    CHECK_OK(walrus_replace_suffix(log, 105, news, 2, 0));
    check_bounds(log, 101, 106);
    CHECK_OK(walrus_term(log, 104, &term));
    CHECK_U64(2, term);
    CHECK_OK(walrus_term(log, 105, &term));
    CHECK_U64(9, term);
    CHECK_OK(walrus_last_index_of_term(log, 2, &index));
    CHECK_U64(106, index);
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_last_index_of_term(log, 3, &index));
    /* After a snapshot. */
    CHECK_OK(walrus_reset(log, 5000));
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_replace_suffix(log, 4999, news, 2, 0));
    news[0].index = news[1].index = 0;
    CHECK_OK(walrus_replace_suffix(log, 5000, news, 2, 0));
    check_bounds(log, 5000, 5001);
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "");
    check_bounds(log, 5000, 5001);
    CHECK_OK(walrus_close(log));
}

/* Catches: a refusal that had already dropped something. */
CASE(a_refused_replacement_leaves_the_log_as_it_was) {
    walrus_t *log = open_log(at("log"), "max_entry_size=1000");
    model_t model = {.first = 1, .next = 1};
    char bytes[1001] = {0};
    walrus_record_t bad[3] = {{.data = "a", .size = 1}, {.data = "b", .size = 1}, {.data = "c", .size = 1}};
    for (uint64_t i = 1; i <= 8; i++) {
        append_payload(log, 10, i);
        model_append(&model, 0, 10, i, 0, 0);
    }
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_replace_suffix(log, 10, bad, 3, 0));
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_replace_suffix(log, 0, bad, 3, 0));
    CHECK_CODE(WALRUS_E_INVALID, walrus_replace_suffix(log, 5, bad, 3, WALRUS_TO_OS));
    CHECK_CODE(WALRUS_E_INVALID, walrus_replace_suffix(log, 5, NULL, 3, 0));
    CHECK_CODE(WALRUS_E_INVALID, walrus_replace_suffix(NULL, 5, bad, 3, 0));
    bad[1].index = 7;
    CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_replace_suffix(log, 5, bad, 3, 0));
    CHECK_CODE(WALRUS_E_OUT_OF_ORDER, walrus_replace_suffix(log, 9, bad, 3, 0));
    bad[1] = (walrus_record_t){.data = bytes, .size = sizeof bytes};
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_replace_suffix(log, 5, bad, 3, 0));
    bad[1] = (walrus_record_t){.size = 1};
    CHECK_CODE(WALRUS_E_INVALID, walrus_replace_suffix(log, 5, bad, 3, 0));
    bad[1] = (walrus_record_t){.reserved = {1, 0}};
    CHECK_CODE(WALRUS_E_INVALID, walrus_replace_suffix(log, 5, bad, 3, 0));
    model_check(&model, log);
    /* Nothing to put in its place: a truncation. */
    CHECK_OK(walrus_replace_suffix(log, 9, NULL, 0, 0));
    model_check(&model, log);
    CHECK_OK(walrus_replace_suffix(log, 6, NULL, 0, 0));
    model_truncate(&model, 5);
    model_check(&model, log);
    CHECK_OK(walrus_close(log));
    walrus_t *reader = open_log(at("log"), "read_only=true create=false");
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_replace_suffix(reader, 5, bad, 1, 0));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_rotate(reader));
    CHECK_OK(walrus_close(reader));
    model_free(&model);
}

/* Catches: views of a dropped suffix that change under their holder. */
CASE(a_view_of_a_replaced_entry_stays_what_it_was) {
    walrus_t *log = open_log(at("log"), "");
    for (uint64_t i = 1; i <= 6; i++)
        append_payload(log, 100, i);
    walrus_entry_t old, kept;
    CHECK_OK(walrus_get(log, 5, &old));
    CHECK_OK(walrus_get(log, 2, &kept));
    walrus_record_t record = {.data = "new", .size = 3, .term = 4};
    CHECK_OK(walrus_replace_suffix(log, 3, &record, 1, 0));
    CHECK(is_payload(old.data, old.size, 5) && is_payload(kept.data, kept.size, 2));
    check_bounds(log, 1, 3);
    CHECK_OK(walrus_replace_suffix(log, 1, &record, 1, 0));
    CHECK_OK(walrus_close(log));
    CHECK(is_payload(old.data, old.size, 5) && is_payload(kept.data, kept.size, 2));
    walrus_entry_release(&old);
    walrus_entry_release(&kept);
}

CASE(replacing_leaves_nothing_behind) {
    walrus_t *log = open_log(at("log"), "segment_size=4KiB");
    CHECK_OK(walrus_close(log));
    holdings_t before = count_holdings();
    log = open_log(at("log"), "segment_size=4KiB");
    walrus_record_t records[20] = {{.data = "x", .size = 1}};
    for (uint64_t i = 0; i < 200; i++)
        CHECK_OK(walrus_replace_suffix(log, i % 7 == 0 ? 1 : walrus_next_index(log) - i % 3, records, 20, 0));
    CHECK_OK(walrus_close(log));
    CHECK_HOLDINGS(before);
    CHECK(count_segments(at("log")) < 100);
}

/* ---- A replacement that was never finished --------------------------------------------------- */

/* The directory as it is after the new segment was written and synced, and before the slots speak of it: the segment
 * of a finished replacement beside the slots of before. */
static image_t *unfinished(const char *dir, size_t *position, bool append_more) {
    walrus_t *log = open_log(dir, "sync=always");
    for (uint64_t i = 1; i <= 20; i++)
        append_payload(log, 50, i);
    image_t *before = image_read(dir);
    walrus_record_t record = {.data = "new", .size = 3, .term = 4};
    CHECK_OK(walrus_replace_suffix(log, 11, &record, 1, 0));
    if (append_more) {
        append_payload(log, 1, 1);
        append_payload(log, 1, 1);
    }
    image_t *after = image_read(dir);
    CHECK_OK(walrus_close(log));
    image_file_t *old = image_find(before, "walrus.meta"), *meta = image_find(after, "walrus.meta");
    CHECK(old != NULL && meta != NULL && old->size == meta->size);
    memcpy(meta->bytes, old->bytes, old->size);
    *position = after->count;
    for (size_t i = 0; i < after->count; i++)
        if (is_segment(after->files[i].name) && image_find(before, after->files[i].name) == NULL)
            *position = i;
    CHECK(*position < after->count);
    image_free(before);
    return after;
}

/* Catches: a leftover that a later cut makes part of the log. */
CASE(an_unfinished_replacement_never_counts) {
    size_t position;
    image_t *image = unfinished(at("log"), &position, false);
    const char *name = image->files[position].name;
    image_write(image, at("copy"));
    walrus_t *reader = open_log(at("copy"), "read_only=true create=false recovery=strict");
    check_bounds(reader, 1, 20);
    check_entry(reader, 20, 50, 20);
    CHECK_OK(walrus_close(reader));
    CHECK(exists(at("copy/%s", name)));
    for (int kind = 0; kind < 5; kind++) {
        image_write(image, at("copy"));
        walrus_t *log = open_log(at("copy"), "");
        check_bounds(log, 1, 20);
        CHECK(exists(at("copy/%s", name)));
        walrus_record_t record = {.data = "other", .size = 5};
        uint64_t last = kind == 0 ? 21 : kind == 1 ? 10 : kind == 2 ? 20 : kind == 3 ? 11 : 20;
        CHECK_OK(kind == 0   ? walrus_append(log, "x", 1, NULL)
                 : kind == 1 ? walrus_truncate(log, 10)
                 : kind == 2 ? walrus_rotate(log)
                 : kind == 3 ? walrus_replace_suffix(log, 11, &record, 1, 0)
                             : walrus_truncate_front(log, 5));
        CHECK(!exists(at("copy/%s", name)));
        copy_directory(at("copy"), at("crashed"));
        CHECK_OK(walrus_close(log));
        for (int way = 0; way < 2; way++) {
            log = open_log(way ? at("copy") : at("crashed"), "");
            check_bounds(log, kind == 4 ? 5 : 1, last);
            CHECK_OK(walrus_close(log));
        }
    }
    image_free(image);
}

/* Catches: acknowledged entries taken for an unfinished replacement because an old walrus.meta was put back. */
CASE(metadata_older_than_the_log_is_still_refused) {
    size_t position;
    walrus_t *log = NULL;
    image_t *image = unfinished(at("log"), &position, true);
    image_write(image, at("copy"));
    image_t *before = image_read(at("copy"));
    CHECK_CODE(WALRUS_E_CORRUPT, try_open(at("copy"), "", &log));
    CHECK_UNTOUCHED(before, at("copy"));
    image_free(before);
    image_free(image);
}
