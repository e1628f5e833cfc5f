/* bridge.h - what cgo cannot say: records that point into Go memory, and callbacks
 *
 * A pointer to Go memory may be handed to C, but no struct that holds one, and C must not keep it. So a record comes
 * here in its parts, and is put together on C's side, for the time of the call. Bytes come as char, not as void: what a
 * void pointer points into is searched for Go pointers, and a program's bytes may be part of something that has some.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef WALRUS_GO_BRIDGE_H
#define WALRUS_GO_BRIDGE_H

#include <stdint.h>
#include <walrus.h>

/* A record without its bytes, which lie one behind the other in a run of their own. */
typedef struct bridge_record {
    size_t size;
    uint64_t index, term;
    int64_t timestamp_ns;
} bridge_record_t;

static inline int32_t bridge_append(walrus_t *log, const char *data, size_t size, uint64_t *index) {
    return walrus_append(log, data, size, index);
}

static inline int32_t bridge_append_packed(walrus_t *log, const char *data, const uint32_t *sizes, size_t count,
                                           uint64_t term, uint32_t flags, uint64_t *first_index) {
    return walrus_append_packed(log, data, sizes, count, term, flags, first_index);
}

static inline int32_t bridge_read(walrus_t *log, uint64_t index, char *buffer, size_t capacity, size_t *size) {
    return walrus_read(log, index, buffer, capacity, size);
}

static inline int32_t bridge_read_packed(walrus_t *log, uint64_t first, size_t max_count, char *buffer, size_t capacity,
                                         uint32_t *sizes, size_t *count) {
    return walrus_read_packed(log, first, max_count, buffer, capacity, sizes, count);
}

static inline int32_t bridge_meta_set(walrus_t *log, const char *key, const char *value, size_t size) {
    return walrus_meta_set(log, key, value, size);
}

static inline int32_t bridge_meta_stage(walrus_t *log, const char *key, const char *value, size_t size) {
    return walrus_meta_stage(log, key, value, size);
}

static inline int32_t bridge_meta_get(walrus_t *log, const char *key, char *buffer, size_t capacity, size_t *size) {
    return walrus_meta_get(log, key, buffer, capacity, size);
}

static inline uint32_t bridge_crc32(const char *data, size_t size) { return walrus_crc32(data, size); }

int32_t bridge_append_record(walrus_t *log, const char *data, bridge_record_t record, uint32_t flags, uint64_t *index);
int32_t bridge_append_batch(walrus_t *log, const char *data, const bridge_record_t *records, size_t count, uint32_t flags,
                            uint64_t *first_index);
int32_t bridge_replace_suffix(walrus_t *log, uint64_t from_index, const char *data, const bridge_record_t *records,
                              size_t count);
int32_t bridge_append_async(walrus_t *log, const char *data, bridge_record_t record, uintptr_t pending, uint64_t *index);
int32_t bridge_txn_append(walrus_txn_t *txn, const char *data, bridge_record_t record);

int32_t bridge_meta_each(walrus_t *log, uintptr_t list);
int32_t bridge_segments(walrus_t *log, uintptr_t list);
int32_t bridge_options_each(uintptr_t list);
int32_t bridge_set_logger(walrus_options_t *options, uintptr_t logger, int32_t level);

/* Whether this OS thread is inside the logger. */
int32_t bridge_is_telling(void);

#endif
