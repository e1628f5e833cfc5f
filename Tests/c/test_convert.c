/* test_convert.c - walrus_convert: a log copied into another format */
#include "support.h"

enum { FIRST = 500, COUNT = 9000 };

static const char *const formats[][2] = {{"binary", "none"}, {"binary", "zlib"}, {"json", "none"},
                                         {"json", "zlib"},   {"proto", "none"},  {"proto", "zlib"}};
enum { FORMATS = sizeof formats / sizeof formats[0] };

static walrus_options_t *target_options(int i) {
    walrus_options_t *options = walrus_options_new();
    CHECK_OK(walrus_options_set(options, "format", formats[i][0]));
    CHECK_OK(walrus_options_set(options, "compression", formats[i][1]));
    CHECK_OK(walrus_options_set(options, "compression_min_size", "40"));
    CHECK_OK(walrus_options_set(options, "segment_size", "64KiB"));
    return options;
}

/* Terms and times that fall, payloads of every kind, a first index that is not 1, and metadata. */
static void write_source(const char *dir) {
    walrus_t *log = open_log(dir, "sync=none segment_size=64KiB");
    char text[200];
    for (int i = 0; i < COUNT; i++) {
        int size = i % 5 == 0 ? 0 : snprintf(text, sizeof text, "entry %d says \"\xc3\xa9\" and %s", i,
                                             i % 3 ? "the same thing over and over and over again" : "\xff\xfe\x01");
        walrus_record_t record = {.data = text,
                                  .size = (size_t)size,
                                  .index = i == 0 ? FIRST : 0,
                                  .term = (uint64_t)(i * 7 % 40),
                                  .timestamp_ns = 1700000000000000000 + (i % 11) * 1000000007};
        CHECK_OK(walrus_append_record(log, &record, 0, NULL));
    }
    CHECK_OK(walrus_meta_set(log, "vote", "\xff\x00z", 3));
    CHECK_OK(walrus_meta_set(log, "empty", NULL, 0));
    CHECK_OK(walrus_close(log));
}

static void check_same(const char *one, const char *other) {
    walrus_t *a = open_log(one, "read_only=true"), *b = open_log(other, "read_only=true");
    CHECK_U64(FIRST, walrus_first_index(b));
    CHECK_U64(walrus_last_index(a), walrus_last_index(b));
    CHECK_U64(walrus_next_index(a), walrus_next_index(b));
    for (uint64_t i = walrus_first_index(a); i <= walrus_last_index(a); i++) {
        walrus_entry_t x, y;
        CHECK_OK(walrus_get(a, i, &x));
        CHECK_OK(walrus_get(b, i, &y));
        CHECK(x.index == y.index && x.term == y.term && x.timestamp_ns == y.timestamp_ns && x.checksum == y.checksum);
        CHECK_BYTES(x.data, x.size, y.data, y.size);
        walrus_entry_release(&x);
        walrus_entry_release(&y);
    }
    char value[8];
    size_t size = 9;
    CHECK_OK(walrus_meta_get(b, "vote", value, sizeof value, &size));
    CHECK(size == 3 && memcmp(value, "\xff\x00z", 3) == 0);
    CHECK_OK(walrus_meta_get(b, "empty", value, sizeof value, &size));
    CHECK_U64(0, size);
    CHECK_OK(walrus_close(a));
    CHECK_OK(walrus_close(b));
}

/* Catches: an index, term, time, byte or value that another format loses, and a source that is touched. */
CASE(a_log_comes_through_every_format_and_back_unchanged) {
    write_source(in_memory("source"));
    image_t *before = image_read(in_memory("source"));
    const char *from = in_memory("source");
    for (int i = 0; i < FORMATS; i++) {
        CHECK_NOTE("%s, %s", formats[i][0], formats[i][1]);
        walrus_options_t *options = target_options(i);
        const char *to = in_memory("copy%d", i);
        CHECK_OK(walrus_convert(from, to, options, NULL, NULL));
        check_same(in_memory("source"), to);
        walrus_options_free(options);
        from = to; /* so each format is read as well as written */
    }
    CHECK_OK(walrus_convert(from, in_memory("back"), NULL, NULL, NULL));
    check_same(in_memory("source"), in_memory("back"));
    CHECK_UNTOUCHED(before, in_memory("source"));
    image_free(before);
}

typedef struct watch {
    uint64_t calls, last, total, stop_at;
} watch_t;

static int32_t watch(void *ctx, uint64_t done, uint64_t total) {
    watch_t *watch = ctx;
    CHECK(done > watch->last && done <= total);
    watch->calls++;
    watch->last = done;
    watch->total = total;
    return watch->stop_at != 0 && done >= watch->stop_at ? 77 : -5;
}

/* Catches: a copy that begins anew, one that ends short without a word, and a progress that lies. */
CASE(a_copy_that_was_stopped_goes_on_where_it_was) {
    write_source(in_memory("source"));
    walrus_options_t *options = target_options(3);
    watch_t first = {.stop_at = 1};
    CHECK_CODE(77, walrus_convert(in_memory("source"), in_memory("copy"), options, watch, &first));
    CHECK_U64(COUNT, first.total);
    CHECK(first.last < COUNT);
    watch_t rest = {.last = first.last};
    CHECK_OK(walrus_convert(in_memory("source"), in_memory("copy"), options, watch, &rest));
    CHECK_U64(COUNT, rest.last);
    check_same(in_memory("source"), in_memory("copy"));
    watch_t again = {.last = COUNT};
    CHECK_OK(walrus_convert(in_memory("source"), in_memory("copy"), options, watch, &again));
    CHECK_U64(0, again.calls);
    walrus_options_free(options);
}

/* Catches: a target that is overwritten, a log copied into itself, and a source that is made instead of missed. */
CASE(what_cannot_be_copied_is_refused_and_nothing_is_touched) {
    write_source(in_memory("source"));
    walrus_t *log = open_log(in_memory("other"), "");
    CHECK_OK(walrus_append(log, "mine", 4, NULL));
    CHECK_OK(walrus_close(log));
    image_t *before = image_read(in_memory("other"));
    CHECK_CODE(WALRUS_E_EXISTS, walrus_convert(in_memory("source"), in_memory("other"), NULL, NULL, NULL));
    CHECK(strstr(last_error().message, "empty directory") != NULL);
    walrus_options_t *options = target_options(2);
    CHECK_CODE(WALRUS_E_FORMAT, walrus_convert(in_memory("source"), in_memory("other"), options, NULL, NULL));
    CHECK_UNTOUCHED(before, in_memory("other"));
    image_free(before);
    CHECK_CODE(WALRUS_E_INVALID, walrus_convert(in_memory("source"), in_memory("source"), NULL, NULL, NULL));
    CHECK_CODE(WALRUS_E_NO_LOG, walrus_convert(in_memory("nothing"), in_memory("copy"), NULL, NULL, NULL));
    CHECK(!exists(in_memory("nothing")) && !exists(in_memory("copy")));
    CHECK_OK(walrus_options_set(options, "read_only", "true"));
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_convert(in_memory("source"), in_memory("copy"), options, NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_convert(NULL, in_memory("copy"), NULL, NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_convert(in_memory("source"), NULL, NULL, NULL, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_convert("", "", NULL, NULL, NULL));
    walrus_options_free(options);
}

/* Catches: damage to the source that is said to be in the target. */
CASE(damage_to_the_source_is_told_of_the_source) {
    walrus_t *log = open_log(in_memory("source"), "");
    for (uint64_t i = 1; i <= 10; i++)
        append_payload(log, 1000, i);
    CHECK_OK(walrus_close(log));
    char path[PATH_MAX];
    size_t offset = 0;
    CHECK(find_payload(in_memory("source"), 1000, 5, path, &offset));
    flip_in_file(path, offset + 10, 1);
    CHECK_CODE(WALRUS_E_CORRUPT, walrus_convert(in_memory("source"), in_memory("copy"), NULL, NULL, NULL));
    walrus_error_t error = last_error();
    CHECK_TEXT(path, error.path);
    CHECK_U64(5, last_error().index);
}

/* Catches: an empty log whose next index is lost. */
CASE(an_empty_log_keeps_its_next_index) {
    walrus_t *log = open_log(in_memory("source"), "");
    CHECK_OK(walrus_append(log, "x", 1, NULL));
    CHECK_OK(walrus_reset(log, 1000));
    CHECK_OK(walrus_close(log));
    walrus_options_t *options = target_options(2);
    CHECK_OK(walrus_convert(in_memory("source"), in_memory("copy"), options, NULL, NULL));
    log = open_log(in_memory("copy"), "format=json");
    CHECK_U64(1000, walrus_next_index(log));
    CHECK_U64(0, walrus_last_index(log));
    CHECK_OK(walrus_close(log));
    walrus_options_free(options);
}
