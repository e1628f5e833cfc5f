/* sealing.h - makes the checksums of changed files right again
 *
 * A changed byte that a checksum finds ends the matter. What lies behind the checksums, hostile lengths above all, is reached only with ones that
 * agree. Nothing here trusts what it reads, either.
 */
#ifndef SEALING_H
#define SEALING_H

#include "fuzz.h"

static inline void seal_binary_frames(unsigned char *bytes, size_t size) {
    for (size_t at = FIRST_FRAME; at + FRAME_HEADER_BYTES <= size;) {
        size_t length = load(bytes + at + 8, 4), payload = at + FRAME_HEADER_BYTES;
        bool fits = length <= size - payload;
        if (fits && bytes[at + 16] == FRAME_SEAL && length == 64) { /* its table, too */
            unsigned char *descriptor = bytes + payload;
            uint64_t table = load(descriptor + 32, 8), blocks = load(descriptor + 40, 4), runs = load(descriptor + 44, 4);
            if (table <= size && blocks * 4128 + runs * 24 <= size - table) {
                uint32_t sum = 0;
                for (uint64_t i = 0; i < blocks; i++) {
                    unsigned char *block = bytes + table + i * 4128;
                    store(block, 4, crc32(0, block + 4, 4124));
                    sum = (uint32_t)crc32(sum, block, 4);
                }
                store(descriptor + 48, 4, crc32(0, bytes + table + blocks * 4128, (uInt)(runs * 24)));
                store(descriptor + 52, 4, sum);
            }
        }
        if (fits)
            store(bytes + at + 4, 4, crc32(0, bytes + payload, (uInt)length));
        seal_frame_header(bytes, at);
        if (!fits)
            return;
        at = (payload + length + 7) / 8 * 8;
    }
}

static inline void seal_json_frames(unsigned char *bytes, size_t size) {
    if (memmem(bytes, FIRST_FRAME - 16, "\"salt\":\"", 8) == NULL)
        return;
    for (size_t at = FIRST_FRAME; at + 40 < size;) {
        unsigned char *newline = memchr(bytes + at, '\n', size - at);
        if (newline == NULL || newline - bytes < (ptrdiff_t)at + 40)
            return;
        /* The durable distance stays what it is; where the digits are none, it becomes one. */
        uint64_t packed = json_digits(bytes + at + 6, 7);
        unsigned distance = packed == UINT64_MAX ? 1 : (unsigned)(packed >> 2 & 255);
        size_t end = (size_t)(newline - bytes) + 1;
        uint32_t check = json_check(json_salt(bytes), at, bytes + at, end - at, distance);
        put_json_digits((char *)bytes + at + 6, 7, (uint64_t)check << 10 | distance << 2);
        at = end;
    }
}

static inline void seal_proto_frames(unsigned char *bytes, size_t size) {
    static const char header[] = "\xfe\x1f\x0d";
    if (memcmp(bytes, header, 3) != 0 || bytes[FIRST_FRAME - 1] != 0)
        return;
    for (size_t at = FIRST_FRAME; at + 16 <= size;) {
        uint64_t length = 0;
        size_t prefix = load_varint(bytes + at, bytes + size, &length);
        if (prefix == 0 || length < 8 || length > size - at - prefix)
            return;
        frame_t frame = {.offset = at, .end = at + prefix + length};
        store(bytes + at + prefix + 1, 4, proto_checksum(bytes, &frame));
        at = frame.end;
    }
}

/* Whatever it holds: header and frames, as far as they can be followed. */
static inline void seal_segment(unsigned char *bytes, size_t size) {
    if (size <= FIRST_FRAME)
        return;
    if (is_json(bytes, size)) {
        char check[9];
        snprintf(check, sizeof check, "%08x", (unsigned)crc32(0, bytes + 34, FIRST_FRAME - 34));
        memcpy(bytes + 26, check, 8);
        seal_json_frames(bytes, size);
    } else if (is_proto(bytes, size)) {
        uLong sum = crc32(0, bytes, 3);
        store(bytes + 3, 4, crc32(sum, bytes + 7, FIRST_FRAME - 7));
        seal_proto_frames(bytes, size);
    } else {
        seal_segment_header(bytes);
        seal_binary_frames(bytes, size);
    }
}

/* A slot whose length lies outside of the file stays as it is. */
static inline void seal_slot(unsigned char *bytes, size_t size, size_t at) {
    if (at + 256 > size)
        return;
    uint64_t length = load(bytes + at + 12, 4);
    if (length >= 256 && length <= META_SLOT && length <= size - at)
        seal_meta_slot(bytes + at);
}

static inline void seal_side_file(unsigned char *bytes, size_t size) {
    if (size < 512)
        return;
    uint64_t blocks = load(bytes + 104, 4), runs = load(bytes + 108, 4), table = load(bytes + 96, 8);
    if (table <= size && blocks * 4128 + runs * 24 <= size - table) {
        uint32_t sum = 0;
        for (uint64_t i = 0; i < blocks; i++) {
            unsigned char *block = bytes + table + i * 4128;
            store(block, 4, crc32(0, block + 4, 4124));
            sum = (uint32_t)crc32(sum, block, 4);
        }
        store(bytes + 112, 4, crc32(0, bytes + table + blocks * 4128, (uInt)(runs * 24)));
        store(bytes + 116, 4, sum);
    }
    store(bytes + 508, 4, crc32(0, bytes, 508));
}

static inline void seal_file(const char *name, unsigned char *bytes, size_t size) {
    if (is_segment(name)) {
        seal_segment(bytes, size);
    } else if (strcmp(name, "walrus.meta") == 0) {
        seal_slot(bytes, size, 0);
        seal_slot(bytes, size, META_SLOT);
    } else if (strstr(name, ".idx") != NULL) {
        seal_side_file(bytes, size);
    }
}

#endif /* SEALING_H */
