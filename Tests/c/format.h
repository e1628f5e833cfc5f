/* format.h - the little of docs/FORMAT.md that tests need in order to damage a log on purpose
 *
 * Written from that page and not from the library, so that the two check each other. A frame that a test changes gets
 * a checksum that is right again: only then does the change reach the code behind the checksum.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include "support.h"

#include <zlib.h>

enum {
    SEGMENT_HEADER_BYTES = 64,
    FIRST_FRAME = 4096,
    FRAME_HEADER_BYTES = 24,
    FRAME_ENTRY = 1,
    FRAME_BEGIN = 2,
    FRAME_SEAL = 4,
    FRAME_OTHER = 255,
    FLAG_CONTINUES = 1,
    META_SLOT = 131072
};

static inline uint64_t load(const unsigned char *bytes, int width) {
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static inline void store(unsigned char *bytes, int width, uint64_t value) {
    for (int i = 0; i < width; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
}

typedef struct frame {
    size_t offset, payload_end, end; /* end: with the padding to a multiple of 8 */
    uint64_t index;                  /* of an entry; of a control frame, the next entry's */
    uint32_t length;
    int type, flags;
} frame_t;

/* ---- JSON ----------------------------------------------------------------------------------- */

static inline bool is_json(const unsigned char *segment, size_t size) {
    return size > FIRST_FRAME && memcmp(segment, "{\"walrus\":\"json\"", 16) == 0;
}

static inline uint32_t json_salt(const unsigned char *segment) {
    const char *field = memmem(segment, FIRST_FRAME - 8, "\"salt\":\"", 8);
    return field == NULL ? 0 : (uint32_t)strtoul(field + 8, NULL, 16); /* without one nothing verifies */
}

static const char json_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The number that some base64url digits say, the first the highest; all ones if one of them is none. */
static inline uint64_t json_digits(const unsigned char *digits, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        const char *digit = digits[i] == 0 ? NULL : strchr(json_alphabet, digits[i]);
        if (digit == NULL)
            return UINT64_MAX;
        value = value << 6 | (uint64_t)(digit - json_alphabet);
    }
    return value;
}

static inline size_t json_digit_count(uint64_t value) {
    size_t count = 1;
    while (value >>= 6)
        count++;
    return count;
}

static inline void put_json_digits(char *to, size_t count, uint64_t value) {
    for (size_t i = count; i-- > 0; value >>= 6)
        to[i] = json_alphabet[value & 63];
}

/* What a line's check has to be: of the bytes behind its digits, then of the durable distance. */
static inline uint32_t json_check(uint32_t salt, size_t offset, const unsigned char *line, size_t size, unsigned distance) {
    unsigned char last = (unsigned char)distance;
    return (uint32_t)crc32(crc32(salt ^ (uint32_t)(offset / 8), line + 13, (uInt)size - 13), &last, 1);
}

/* The line at offset, if it verifies. Where it ends is told by its newline here, not by what it says of its length. */
static inline bool json_frame(const unsigned char *segment, size_t size, size_t offset, frame_t *frame) {
    const unsigned char *line = segment + offset, *newline = offset < size ? memchr(line, '\n', size - offset) : NULL;
    if (newline == NULL || newline - line < 30 || memcmp(line, "{\"c\":\"", 6) != 0)
        return false;
    size_t length = (size_t)(newline - line) + 1;
    const char *quote = memchr(line + 6, '"', 20), *name;
    *frame = (frame_t){.offset = offset, .payload_end = offset + length, .end = offset + length};
    if (quote == NULL || quote < (const char *)line + 14 || strncmp(quote, "\",\"index\":", 10) != 0)
        return false;
    frame->index = strtoull(quote + 10, (char **)&name, 10);
    frame->type = strncmp(name, ",\"term\"", 7) == 0    ? FRAME_ENTRY
                  : strncmp(name, ",\"begin\"", 8) == 0 ? FRAME_BEGIN
                                                        : FRAME_OTHER;
    size_t head = (size_t)((const char *)newline - name) < 100 ? (size_t)((const char *)newline - name) : 100;
    frame->flags = memmem(name, head, ",\"flags\":[\"continues\"", 21) != NULL ? FLAG_CONTINUES : 0;
    frame->length = (uint32_t)json_digits(line + 13, (size_t)(quote - (const char *)line) - 13);
    uint64_t packed = json_digits(line + 6, 7);
    uint32_t check = json_check(json_salt(segment), offset, line, length, (unsigned)(packed >> 2 & 255));
    return (packed & 3) == 0 && packed >> 10 == check;
}

/* ---- Protocol Buffers ----------------------------------------------------------------------- */

static inline bool is_proto(const unsigned char *segment, size_t size) {
    return size > FIRST_FRAME && memcmp(segment + 10, "\x0a\x06walrus", 8) == 0;
}

/* 0 bytes were read where there is no varint before end. */
static inline size_t load_varint(const unsigned char *from, const unsigned char *end, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < 10 && from + i < end; i++) {
        *value |= (uint64_t)(from[i] & 127) << (7 * i);
        if (from[i] < 128)
            return i + 1;
    }
    return 0;
}

static inline uint32_t proto_salt(const unsigned char *segment) {
    const unsigned char *at = segment + 18, *end = segment + FIRST_FRAME;
    while (at < end && *at != 0x3d) {
        unsigned kind = *at++ & 7;
        uint64_t value;
        size_t count = load_varint(at, end, &value);
        at += count;
        if (count == 0 || (kind == 2 && value > (uint64_t)(end - at)))
            return 0; /* a damaged header: nothing verifies */
        at += kind == 2 ? value : 0;
    }
    return end - at < 5 ? 0 : (uint32_t)load(at + 1, 4);
}

static inline uint32_t proto_checksum(const unsigned char *segment, const frame_t *frame) {
    uint64_t length;
    size_t before = load_varint(segment + frame->offset, segment + frame->end, &length) + 1;
    uint32_t seed = proto_salt(segment) ^ (uint32_t)(frame->offset / 8);
    seed = (uint32_t)crc32(seed, segment + frame->offset, (uInt)before);
    return (uint32_t)crc32(seed, segment + frame->offset + before + 4, (uInt)(frame->end - frame->offset - before - 4));
}

/* The record at offset, if it verifies. */
static inline bool proto_frame(const unsigned char *segment, size_t size, size_t offset, frame_t *frame) {
    const unsigned char *at = segment + offset, *end = segment + size;
    uint64_t length = 0, value = 0;
    size_t prefix = offset < size ? load_varint(at, end, &length) : 0;
    if (prefix == 0 || length < 8 || length > (size_t)(end - at) - prefix || at[prefix] != 0x0d)
        return false;
    end = at + prefix + length;
    *frame = (frame_t){.offset = offset, .payload_end = (size_t)(end - segment), .end = (size_t)(end - segment)};
    uint32_t check = (uint32_t)load(at + prefix + 1, 4);
    for (at += prefix + 5; at < end && *at <= 0x32;) {
        int tag = *at++;
        at += load_varint(at, end, &value);
        if (tag == 0x10)
            frame->index = value;
        if (tag == 0x20)
            frame->flags |= FLAG_CONTINUES;
        if (tag == 0x32)
            at += value;
    }
    if (at >= end || check != proto_checksum(segment, frame))
        return false;
    frame->type = *at == 0x3a ? FRAME_ENTRY : *at == 0x42 ? FRAME_BEGIN : FRAME_OTHER;
    load_varint(at + 1, end, &value);
    frame->length = (uint32_t)value;
    return true;
}

/* ---- Frames --------------------------------------------------------------------------------- */

static inline uint32_t frame_checksum(const unsigned char *segment, size_t offset) {
    uint32_t salt = (uint32_t)load(segment + 40, 4);
    return (uint32_t)crc32(salt ^ (uint32_t)(offset / 8), segment + offset + 4, FRAME_HEADER_BYTES - 4);
}

static inline void seal_frame_header(unsigned char *segment, size_t offset) {
    store(segment + offset, 4, frame_checksum(segment, offset));
}

static inline void seal_segment_header(unsigned char *segment) {
    store(segment + 60, 4, (uint32_t)crc32(0, segment, 60));
}

static inline void seal_meta_slot(unsigned char *slot) {
    uint32_t length = (uint32_t)load(slot + 12, 4);
    uint32_t sum = (uint32_t)crc32(0, slot, 252);
    store(slot + 252, 4, (uint32_t)crc32(sum, slot + 256, length - 256));
}

/* The valid frames of a segment in order, as far as they follow each other: at most capacity; how many. */
static inline size_t list_frames(const unsigned char *segment, size_t size, frame_t *frames, size_t capacity) {
    size_t count = 0, offset = FIRST_FRAME;
    uint64_t base = 0;
    bool json = is_json(segment, size), proto = is_proto(segment, size);
    while ((json || proto) && count < capacity &&
           (json ? json_frame : proto_frame)(segment, size, offset, &frames[count]))
        offset = frames[count++].end;
    while (!json && !proto && count < capacity && offset + FRAME_HEADER_BYTES <= size) {
        const unsigned char *bytes = segment + offset;
        frame_t frame = {
            .offset = offset, .length = (uint32_t)load(bytes + 8, 4), .type = bytes[16], .flags = bytes[17]};
        frame.payload_end = offset + FRAME_HEADER_BYTES + frame.length;
        frame.end = (frame.payload_end + 7) / 8 * 8;
        if (frame.type == 0 || load(bytes, 4) != frame_checksum(segment, offset) || frame.payload_end > size ||
            load(bytes + 4, 4) != crc32(0, bytes + FRAME_HEADER_BYTES, frame.length))
            break;
        if (frame.type == FRAME_BEGIN)
            base = load(bytes + FRAME_HEADER_BYTES, 8);
        frame.index = base + load(bytes + 12, 4);
        frames[count++] = frame;
        offset = frame.end;
    }
    return count;
}

/* The image's segment with the highest id that has a begin frame: where the next entry would go. */
static inline image_file_t *tail_segment(image_t *image) {
    image_file_t *tail = NULL;
    frame_t frame;
    for (size_t i = 0; i < image->count; i++)
        if (is_segment(image->files[i].name) &&
            list_frames(image->files[i].bytes, image->files[i].size, &frame, 1) == 1)
            tail = &image->files[i];
    return tail;
}

#endif /* FORMAT_H */
