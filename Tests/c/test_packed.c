/* test_packed.c - walrus_append_packed and walrus_read_packed: one run of bytes, and the sizes of its entries */
#include "support.h"

enum { MOST = 64 };

/* A batch of entries whose sizes and bytes follow from a seed. */
typedef struct packed {
    uint32_t sizes[MOST];
    size_t count, total;
    unsigned char *bytes;
    uint64_t seed;
} packed_t;

static packed_t pack(uint64_t seed, size_t count, uint32_t most) {
    packed_t packed = {.count = count, .seed = seed};
    random_source_t chance = {seed};
    for (size_t i = 0; i < count; i++)
        packed.total += packed.sizes[i] = below(&chance, 4) == 0 ? 0 : (uint32_t)below(&chance, most + 1);
    packed.bytes = payload(packed.total, seed);
    return packed;
}

static void check_packed(walrus_t *log, uint64_t first, const packed_t *packed, uint64_t term) {
    const unsigned char *at_byte = packed->bytes;
    for (size_t i = 0; i < packed->count; at_byte += packed->sizes[i++]) {
        walrus_entry_t entry;
        CHECK_OK(walrus_get(log, first + i, &entry));
        CHECK_BYTES(at_byte, packed->sizes[i], entry.data, entry.size);
        CHECK_U64(term, entry.term);
        CHECK(entry.timestamp_ns > 0);
        CHECK_U64(walrus_crc32(entry.data, entry.size), entry.checksum);
        walrus_entry_release(&entry);
    }
}

/* Catches: sizes that are added up wrongly, the caller's bytes borrowed instead of copied, a term that only the first one gets. */
CASE(packed_entries_come_back_one_by_one) {
    walrus_t *log = open_log(at("log"), "sync=os segment_size=16KiB");
    packed_t batches[40];
    uint64_t firsts[40], next = 1;
    for (uint64_t b = 0; b < 40; b++) {
        CHECK_NOTE("batch %" PRIu64, b);
        batches[b] = pack(b + 1, 1 + b % MOST, b % 10 == 9 ? 5000 : 100);
        unsigned char *copy = malloc(batches[b].total + 1);
        uint32_t sizes[MOST];
        memcpy(copy, batches[b].bytes, batches[b].total);
        memcpy(sizes, batches[b].sizes, sizeof sizes);
        CHECK_OK(walrus_append_packed(log, copy, sizes, batches[b].count, b * 7, 0, &firsts[b]));
        memset(copy, 0xEE, batches[b].total);
        memset(sizes, 0xEE, sizeof sizes);
        free(copy);
        CHECK_U64(next, firsts[b]);
        next += batches[b].count;
        CHECK_U64(next, walrus_next_index(log));
    }
    for (int round = 0; round < 2; round++) {
        for (uint64_t b = 0; b < 40; b++) {
            CHECK_NOTE("round %d, batch %" PRIu64, round, b);
            check_packed(log, firsts[b], &batches[b], b * 7);
        }
        CHECK_OK(walrus_close(log));
        log = open_log(at("log"), "");
    }
    for (int b = 0; b < 40; b++)
        free(batches[b].bytes);
    CHECK_OK(walrus_close(log));
}

/* Catches: a batch of nothing that is refused or appends, and NULL taken for an error where there are no bytes. */
CASE(empty_entries_and_empty_batches_need_no_bytes) {
    walrus_t *log = open_log(at("log"), "");
    uint32_t zeros[5] = {0};
    uint64_t first = 0;
    CHECK_OK(walrus_append_packed(log, NULL, NULL, 0, 3, 0, &first));
    CHECK_U64(1, first);
    CHECK_U64(0, walrus_last_index(log));
    CHECK_OK(walrus_append_packed(log, NULL, zeros, 5, 3, 0, &first));
    CHECK_U64(1, first);
    CHECK_U64(5, walrus_last_index(log));
    CHECK_U64(5, walrus_durable_index(log));
    CHECK_OK(walrus_append_packed(log, NULL, zeros, 1, 3, 0, NULL));
    CHECK_OK(walrus_append_packed(log, NULL, NULL, 0, 3, 0, &first));
    CHECK_U64(7, first);
    for (uint64_t i = 1; i <= 6; i++) {
        walrus_entry_t entry;
        CHECK_OK(walrus_get(log, i, &entry));
        CHECK_U64(0, entry.size);
        CHECK_U64(3, entry.term);
        walrus_entry_release(&entry);
    }
    uint32_t sizes[10];
    size_t count = 0;
    CHECK_OK(walrus_read_packed(log, 1, 10, NULL, 0, sizes, &count));
    CHECK_U64(6, count);
    CHECK(is_zeroed(sizes, 6 * sizeof sizes[0]));
    CHECK_OK(walrus_close(log));
}

/* Catches: half of a batch that was refused; sizes that are believed before they are added up, so that bytes behind the caller's are read. */
CASE(a_packed_batch_that_is_refused_leaves_nothing_behind) {
    walrus_t *log = open_log(at("log"), "max_entry_size=1MiB");
    CHECK_OK(walrus_append(log, "x", 1, NULL));
    uint64_t first = 4711;
    uint32_t sizes[4] = {1, 2, 3, 4};
    unsigned char bytes[16] = {0};
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_packed(NULL, bytes, sizes, 4, 0, 0, &first));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_packed(log, NULL, sizes, 4, 0, 0, &first));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_packed(log, bytes, NULL, 4, 0, 0, &first));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_packed(log, bytes, sizes, 4, 0, WALRUS_DURABLE | WALRUS_TO_OS, &first));
    CHECK_CODE(WALRUS_E_INVALID, walrus_append_packed(log, bytes, sizes, 4, 0, 64, &first));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_packed(log, bytes, sizes, SIZE_MAX, 0, 0, &first));
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_packed(log, bytes, sizes, (size_t)1 << 40, 0, 0, &first));
    sizes[3] = (1 << 20) + 1;
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_packed(log, bytes, sizes, 4, 0, 0, &first));
    sizes[3] = UINT32_MAX;
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_packed(log, bytes, sizes, 4, 0, 0, &first));
    uint32_t many[4096]; /* 4 GiB, of which no byte is there */
    for (int i = 0; i < 4096; i++)
        many[i] = 1 << 20;
    CHECK_CODE(WALRUS_E_TOO_LARGE, walrus_append_packed(log, bytes, many, 4096, 0, 0, &first));
    CHECK_U64(4711, first);
    CHECK_U64(1, walrus_last_index(log));
    CHECK_OK(walrus_append(log, "y", 1, &first));
    CHECK_U64(2, first);
    CHECK_OK(walrus_close(log));
}

/* Catches: a packed batch that is N appends, of which a crash leaves some. */
CASE(a_crash_leaves_all_of_a_packed_batch_or_none) {
    const char *dir = in_memory("log"), *copy = in_memory("copy");
    walrus_t *log = open_log(dir, "sync=os segment_size=64KiB");
    append_payload(log, 100, 1);
    CHECK_OK(walrus_sync(log));
    packed_t packed = pack(42, 9, 60);
    uint64_t first;
    CHECK_OK(walrus_append_packed(log, packed.bytes, packed.sizes, packed.count, 1, WALRUS_TO_OS, &first));
    image_t *image = image_read(dir);
    image_file_t *tail = NULL;
    for (size_t i = 0; i < image->count; i++)
        if (is_segment(image->files[i].name))
            tail = &image->files[i];
    CHECK(tail != NULL);
    size_t end = tail->size, none = 0, all = 0;
    while (end > 0 && tail->bytes[end - 1] == 0)
        end--;
    size_t offset = 0;
    CHECK(image_find_payload(image, 100, 1, &offset) == tail);
    for (size_t cut = offset + 100 + 8; cut <= end + 8 && cut <= tail->size; cut++) {
        CHECK_NOTE("cut at %zu", cut);
        size_t size = tail->size;
        tail->size = cut;
        image_write(image, copy);
        tail->size = size;
        walrus_t *crashed = open_log(copy, "");
        uint64_t last = walrus_last_index(crashed);
        CHECK(last == 1 || last == packed.count + 1);
        if (last != 1)
            check_packed(crashed, first, &packed, 1);
        none += last == 1;
        all += last != 1;
        CHECK_OK(walrus_close(crashed));
    }
    CHECK(none > packed.total && all > 0);
    image_free(image);
    free(packed.bytes);
    CHECK_OK(walrus_close(log));
}

/* Catches: policies that the fast lane forgets. */
CASE(flags_mean_the_same_for_packed_batches) {
    walrus_t *log = open_log(at("log"), "sync=os");
    uint32_t sizes[2] = {3, 4};
    CHECK_OK(walrus_append_packed(log, "abcdefg", sizes, 2, 0, 0, NULL));
    CHECK_U64(0, walrus_durable_index(log));
    CHECK_OK(walrus_append_packed(log, "abcdefg", sizes, 2, 0, WALRUS_DURABLE, NULL));
    CHECK_U64(4, walrus_durable_index(log));
    CHECK_OK(walrus_close(log));
    log = open_log(at("log"), "read_only=true");
    CHECK_CODE(WALRUS_E_READ_ONLY, walrus_append_packed(log, "abcdefg", sizes, 2, 0, 0, NULL));
    uint32_t got[4];
    size_t count;
    char buffer[64];
    CHECK_OK(walrus_read_packed(log, 1, 4, buffer, sizeof buffer, got, &count));
    CHECK_U64(4, count);
    CHECK_BYTES("abcdefgabcdefg", 14, buffer, 14);
    CHECK_OK(walrus_close(log));
}

/* Catches: a byte too many, an entry that is cut to fit, one too few where it fits exactly, sizes of what was not copied. */
CASE(read_packed_stops_exactly_where_the_next_one_does_not_fit) {
    static const char *const texts[] = {"sync=os segment_size=4KiB", "sync=none", "sync=os zero_copy=off"};
    enum { COUNT = 120 };
    uint32_t sizes[COUNT];
    for (int t = 0; t < 3; t++) {
        walrus_t *log = open_log(at("log%d", t), texts[t]);
        unsigned char *all = malloc(COUNT * 200);
        size_t total = 0;
        for (uint64_t i = 0; i < COUNT; i++) {
            sizes[i] = (uint32_t)(i * 37 % 150);
            fill(all + total, sizes[i], i + 1);
            CHECK_OK(walrus_append(log, all + total, sizes[i], NULL));
            total += sizes[i];
        }
        unsigned char *buffer = malloc(total + 64);
        uint32_t got[COUNT + 8];
        size_t from = 0;
        for (uint64_t first = 0; first < COUNT; from += sizes[first++])
            for (size_t want = 1; want <= 8; want++) {
                size_t fits = 0, bytes = 0, count = 4711;
                while (fits < want && first + fits < COUNT)
                    bytes += sizes[first + fits++];
                CHECK_NOTE("%s: %zu from %" PRIu64, texts[t], want, first + 1);
                memset(buffer, 0xA5, total + 64);
                memset(got, 0xA5, sizeof got);
                CHECK_OK(walrus_read_packed(log, first + 1, want, buffer, bytes, got, &count));
                CHECK_U64(fits, count);
                CHECK(memcmp(got, sizes + first, fits * sizeof got[0]) == 0);
                CHECK(is_filled(got + fits, sizeof got - fits * sizeof got[0], 0xA5));
                CHECK_BYTES(all + from, bytes, buffer, bytes);
                CHECK(is_filled(buffer + bytes, 64, 0xA5));
                if (bytes == 0 || sizes[first + fits - 1] == 0)
                    continue;
                memset(buffer, 0xA5, total + 64); /* a byte less */
                count = 4711;
                int32_t result = walrus_read_packed(log, first + 1, want, buffer, bytes - 1, got, &count);
                size_t fewer = bytes - sizes[first + fits - 1];
                if (fits == 1) {
                    CHECK_CODE(WALRUS_E_TOO_SMALL, result);
                    CHECK_U64(sizes[first], got[0]);
                    CHECK_U64(4711, count);
                } else {
                    CHECK_OK(result);
                    CHECK_U64(fits - 1, count);
                    CHECK_BYTES(all + from, fewer, buffer, fewer);
                }
                CHECK(is_filled(buffer + bytes - 1, 64, 0xA5));
            }
        size_t count = 0;
        CHECK_OK(walrus_read_packed(log, 1, SIZE_MAX, buffer, total, got, &count) == WALRUS_OK ? WALRUS_OK : WALRUS_E_INVALID);
        CHECK_U64(COUNT, count);
        CHECK_BYTES(all, total, buffer, total);
        free(buffer);
        free(all);
        CHECK_OK(walrus_close(log));
    }
}

/* Catches: an answer where there is no entry, and a crash where an argument is missing. */
CASE(read_packed_names_what_is_wrong) {
    walrus_t *log = open_log(at("log"), "sync=os");
    uint32_t sizes[4] = {7, 7, 7, 7};
    size_t count = 4711;
    char buffer[32];
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_read_packed(log, 1, 4, buffer, sizeof buffer, sizes, &count));
    for (uint64_t i = 1; i <= 10; i++)
        append_payload(log, 5, i);
    CHECK_OK(walrus_truncate_front(log, 4));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_read_packed(log, 0, 4, buffer, sizeof buffer, sizes, &count));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_read_packed(log, 11, 4, buffer, sizeof buffer, sizes, &count));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_read_packed(log, UINT64_MAX, 4, buffer, sizeof buffer, sizes, &count));
    CHECK_CODE(WALRUS_E_COMPACTED, walrus_read_packed(log, 3, 4, buffer, sizeof buffer, sizes, &count));
    CHECK_CODE(WALRUS_E_INVALID, walrus_read_packed(log, 4, 0, buffer, sizeof buffer, sizes, &count));
    CHECK_CODE(WALRUS_E_INVALID, walrus_read_packed(log, 4, 4, NULL, sizeof buffer, sizes, &count));
    CHECK_CODE(WALRUS_E_INVALID, walrus_read_packed(log, 4, 4, buffer, sizeof buffer, NULL, &count));
    CHECK_CODE(WALRUS_E_INVALID, walrus_read_packed(log, 4, 4, buffer, sizeof buffer, sizes, NULL));
    CHECK_CODE(WALRUS_E_INVALID, walrus_read_packed(NULL, 4, 4, buffer, sizeof buffer, sizes, &count));
    CHECK_U64(4711, count);
    CHECK_U64(7, sizes[0]);
    CHECK_CODE(WALRUS_E_TOO_SMALL, walrus_read_packed(log, 4, 4, NULL, 0, sizes, &count));
    CHECK_U64(5, sizes[0]);
    CHECK_U64(7, sizes[1]);
    CHECK_U64(4711, count);
    CHECK_OK(walrus_read_packed(log, 9, 4, buffer, sizeof buffer, sizes, &count));
    CHECK_U64(2, count);
    CHECK_OK(walrus_close(log));
}

/* Catches: damaged bytes handed out, since the fast lane skips the checksum. */
CASE(read_packed_never_hands_out_damaged_bytes) {
    walrus_t *log = open_log(at("log"), "sync=os");
    for (uint64_t i = 1; i <= 10; i++)
        append_payload(log, 200, i);
    CHECK_OK(walrus_close(log));
    char path[PATH_MAX];
    size_t offset = 0;
    CHECK(find_payload(at("log"), 200, 5, path, &offset));
    flip_in_file(path, offset + 77, 0x10);
    log = open_log(at("log"), "");
    unsigned char buffer[4096];
    uint32_t sizes[10];
    size_t count = 0;
    CHECK_CODE(WALRUS_E_CORRUPT, walrus_read_packed(log, 5, 10, buffer, sizeof buffer, sizes, &count));
    CHECK_U64(5, last_error().index);
    int32_t result = walrus_read_packed(log, 1, 10, buffer, sizeof buffer, sizes, &count);
    CHECK(result == WALRUS_E_CORRUPT || (result == WALRUS_OK && count == 4));
    CHECK_OK(walrus_read_packed(log, 1, 4, buffer, sizeof buffer, sizes, &count));
    CHECK_U64(4, count);
    CHECK_OK(walrus_close(log));
}
