/*
 * walrus_crc32.h - CRC-32 as zlib computes it, on the processor's carry-less
 * multiplication or CRC instructions.
 *
 * The polynomial is that of IEEE 802.3 (0x04C11DB7, reflected 0xEDB88320) with
 * the usual conditioning: the register starts as all ones and is complemented
 * at the end. A crc argument is the finished CRC of the bytes that come before
 * (0 if there are none), so a CRC may be computed in pieces:
 *
 *     wp_crc32(wp_crc32(0, a, m), b, n)  is the CRC of a followed by b.
 *
 * All functions may be called from any thread, and from constructors.
 */
#ifndef WALRUS_CRC32_H
#define WALRUS_CRC32_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/*
 * The CRC of size bytes at data, continuing crc. Any size_t is allowed. With a
 * size of 0 the result is crc, and data is not looked at and may be NULL
 * (where zlib would answer 0 to NULL, whatever crc is).
 */
uint32_t wp_crc32(uint32_t crc, const void *data, size_t size);

/*
 * wp_crc32(crc, data, 20), for the headers of frames. On x86-64 it does not
 * stall on bytes that were stored just before, provided that each of the five
 * groups of 4 bytes lies within one of the stores.
 */
uint32_t wp_crc32_20(uint32_t crc, const void *data);

/*
 * memcpy(to, from, size) and wp_crc32(crc, from, size) in one pass. The two
 * ranges must not overlap. Both pointers may be NULL if size is 0.
 */
uint32_t wp_crc32_copy(uint32_t crc, void *to, const void *from, size_t size);

/* The kernel in use: "vpclmul", "pclmul", "armv8-crc" or "zlib". */
const char *wp_crc32_kernel(void);

/*
 * The kernels this build contains, the fastest first, ended by one whose name
 * is NULL. The functions of a kernel may be called only if supported() is not
 * zero; the last kernel, zlib, always is. This is for tests: they check all
 * kernels, whichever of them the functions above have chosen.
 */
extern const struct wp_crc32_impl {
    const char *name;
    uint32_t (*crc)(uint32_t crc, const void *data, size_t size);
    uint32_t (*crc20)(uint32_t crc, const void *data);
    uint32_t (*copy)(uint32_t crc, void *to, const void *from, size_t size);
    int (*supported)(void);
} wp_crc32_impls[];

#pragma GCC visibility pop

#endif
