/* bridge.c - see bridge.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "_cgo_export.h"
#include "bridge.h"

#include <stdlib.h>

static walrus_record_t put_together(const char *data, bridge_record_t record) {
    return (walrus_record_t){.data = data,
                             .size = record.size,
                             .index = record.index,
                             .term = record.term,
                             .timestamp_ns = record.timestamp_ns};
}

/* NULL: there is no memory for them. To be freed. */
static walrus_record_t *put_all_together(const char *data, const bridge_record_t *records, size_t count) {
    walrus_record_t *all = calloc(count ? count : 1, sizeof *all);
    for (size_t i = 0, offset = 0; all != NULL && i < count; offset += records[i++].size)
        all[i] = put_together(data + offset, records[i]);
    return all;
}

int32_t bridge_append_record(walrus_t *log, const char *data, bridge_record_t record, uint32_t flags, uint64_t *index) {
    walrus_record_t one = put_together(data, record);
    return walrus_append_record(log, &one, flags, index);
}

int32_t bridge_append_batch(walrus_t *log, const char *data, const bridge_record_t *records, size_t count, uint32_t flags,
                            uint64_t *first_index) {
    walrus_record_t *all = put_all_together(data, records, count);
    int32_t code = all == NULL ? WALRUS_E_NO_MEMORY : walrus_append_batch(log, all, count, flags, first_index);
    free(all);
    return code;
}

int32_t bridge_replace_suffix(walrus_t *log, uint64_t from_index, const char *data, const bridge_record_t *records,
                              size_t count) {
    walrus_record_t *all = put_all_together(data, records, count);
    int32_t code = all == NULL ? WALRUS_E_NO_MEMORY : walrus_replace_suffix(log, from_index, all, count, 0);
    free(all);
    return code;
}

static void done(void *ctx, uint64_t index, int32_t status) { walrusGoDone((uintptr_t)ctx, index, status); }

int32_t bridge_append_async(walrus_t *log, const char *data, bridge_record_t record, uintptr_t pending, uint64_t *index) {
    walrus_record_t one = put_together(data, record);
    return walrus_append_async(log, &one, 0, done, (void *)pending, index);
}

int32_t bridge_txn_append(walrus_txn_t *txn, const char *data, bridge_record_t record) {
    walrus_record_t one = put_together(data, record);
    return walrus_txn_append(txn, &one);
}

static int32_t visit_meta(void *ctx, const char *key, const void *value, size_t size) {
    walrusGoMeta((uintptr_t)ctx, (char *)key, (void *)value, size);
    return 0;
}

int32_t bridge_meta_each(walrus_t *log, uintptr_t list) { return walrus_meta_each(log, visit_meta, (void *)list); }

static int32_t visit_segment(void *ctx, const walrus_segment_info_t *segment) {
    walrusGoSegment((uintptr_t)ctx, (walrus_segment_info_t *)segment);
    return 0;
}

int32_t bridge_segments(walrus_t *log, uintptr_t list) { return walrus_segments(log, visit_segment, (void *)list); }

static int32_t visit_option(void *ctx, const char *key, const char *default_value, const char *allowed) {
    walrusGoOption((uintptr_t)ctx, (char *)key, (char *)default_value, (char *)allowed);
    return 0;
}

int32_t bridge_options_each(uintptr_t list) { return walrus_options_each(NULL, visit_option, (void *)list); }

static _Thread_local int32_t telling;

static void tell(void *ctx, int32_t level, const char *message) {
    telling++;
    walrusGoTell((uintptr_t)ctx, level, (char *)message);
    telling--;
}

int32_t bridge_is_telling(void) { return telling; }

int32_t bridge_set_logger(walrus_options_t *options, uintptr_t logger, int32_t level) {
    return walrus_options_set_logger(options, tell, (void *)logger, level);
}
