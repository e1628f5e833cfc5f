/*
 * crc32.c - CRC-32 (IEEE 802.3) kernels and the choice between them.
 *
 * Every frame of the log is protected by a CRC, computed once when the frame
 * is appended and once whenever it is read. Frames are often short, so the
 * cost that counts is that of a call on 20 to a few hundred bytes as much as
 * the speed on large blocks.
 *
 * On x86-64 the CRC is computed by folding with carry-less multiplication,
 * after V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using
 * PCLMULQDQ Instruction" (Intel, 2009). On arm64 there are instructions for
 * this very CRC. Anywhere else, and on processors without these extensions,
 * zlib does the work. A kernel is three functions: over any number of bytes,
 * over 20 bytes, and over bytes that are copied at the same time.
 *
 *
 * Polynomials in registers
 *
 * Let P = x^32 + x^26 + ... + 1 = 0x104C11DB7. The CRC of a message M, read as
 * a polynomial whose highest term is the lowest bit of the first byte, is
 * M x^32 mod P (once the first 32 bits of M were xored with the complement of
 * the preceding CRC, the "state"; the result is complemented too).
 *
 * The CRC is "reflected": bytes are sent lowest bit first. So a little-endian
 * load of w bits puts the term x^(w-1) in bit 0 and x^0 in bit w-1, and in a
 * 128-bit register the *low* quadword H holds the earlier bytes: its value is
 * H x^64 + L. Shifting a register right multiplies by x.
 *
 * The carry-less product of two reflected 64-bit polynomials a and b has the
 * term x^d of a b in bit 126-d; read as a 128-bit polynomial it is x a b. All
 * constants below make good for this factor x.
 *
 * A multiplier k is written as 32 bits: x^n mod P, reflected (x^31 in bit 0),
 * in the low half of its quadword. In that place it means x^32 (x^n mod P), so
 * multiplying by k is multiplying by x^(n+33) modulo P.
 *
 *
 * Folding
 *
 * To carry an accumulator over D bits of message is to multiply it by x^D:
 *
 *     (H x^64 + L) x^D  =  H x^(D+64) + L x^D,
 *
 * two products with n = D+31 and n = D-33, whose sum has 128 bits again and is
 * added to (xored with) the 128 bits of message found there. FOLD(D) below is
 * this pair of multipliers. Four accumulators in flight hide the latency of
 * the multiplication.
 *
 *
 * Reduction
 *
 * The last accumulator A stands for the whole message, and A x^32 mod P is
 * wanted. Take B = H (x^96 mod P) + L x^32, which has 96 bits, and hold it as
 * B x^32, so that its 64 high terms T are the low quadword and its 32 low terms
 * are doubleword 2. The factor for H is then x^128, that is n = 95.
 *
 * Barrett's division gives B mod P. With u = floor(x^95 / P), a polynomial of
 * degree 63, the quotient is q = floor(T u / x^63) exactly: with
 * x^95 = u P + r, the neglected T r / (P x^63) has a degree of at most
 * 63 + 31 - 32 - 63 < 0. The terms x^63 and up of T u are the low quadword of
 * the product. The remainder is the 32 low terms of B + q P; the multiplier
 * P x^31 puts them in doubleword 2 too, and the remainder is taken from there.
 *
 * Short messages enter this reduction at the step their length allows.
 */
#include "walrus_crc32.h"

#include <string.h>
#include <zlib.h>

#if defined(__x86_64__)
#define HAVE_CLMUL 1
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define HAVE_ARMV8_CRC 1
#include <arm_acle.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#define INLINE static inline __attribute__((always_inline))

#if HAVE_CLMUL || HAVE_ARMV8_CRC

/*
 * A little-endian word from an unaligned place. Where `to` is not NULL it is
 * copied as well: the same code serves for the CRC alone, inlined with NULL,
 * and for copying, inlined with a pointer the caller has tested (NULL comes
 * with a size of 0). No further test of the pointer is left then.
 */
#define TAKE(bits) \
    INLINE uint##bits##_t \
    take##bits(uint8_t *to, const uint8_t *from, size_t at) \
    { \
        uint##bits##_t v; \
        memcpy(&v, from + at, sizeof v); \
        if (to) \
            memcpy(to + at, &v, sizeof v); \
        return v; \
    }

TAKE(8)
TAKE(32)
TAKE(64)

#endif

#if HAVE_CLMUL

/*
 * What both kernels have in common is inlined into each of them, and so gets
 * the encoding (SSE or AVX) of the kernel it is part of.
 */
#define PCLMUL __attribute__((target("pclmul,sse4.1")))
#define VPCLMUL __attribute__((target("avx2,pclmul,vpclmulqdq")))

#define PAIR(low, high) _mm_set_epi64x((high), (low))

/* x^(D+31) mod P and x^(D-33) mod P. */
#define FOLD_128 PAIR(0xae689191, 0xccaa009e)
#define FOLD_256 PAIR(0xf1da05aa, 0x81256527)
#define FOLD_384 PAIR(0x3db1ecdc, 0xaf449247)
#define FOLD_512 PAIR(0x8f352d95, 0x1d9513d7)
#define FOLD_768 PAIR(0xdf068dc2, 0x57c54819)
#define FOLD_1024 PAIR(0x33fff533, 0x910eeec1)

/* For a multiplication by x^m, x^(m-33) mod P. */
#define BY_X128_X64 PAIR(0xccaa009e, 0x00000001)
#define BY_X160_X96 PAIR(0x9ba54c6f, 0xb8bc6765)
#define BY_X256_X192 PAIR(0x81256527, 0xae689191)

/* u = floor(x^95 / P) and P x^31, reflected over 64 bits. */
#define BARRETT PAIR((long long)0xb4e5b025f7011641, 0x1db710641)

PCLMUL INLINE __m128i load128(const uint8_t *from)
{
    return _mm_loadu_si128((const void *)from);
}

PCLMUL INLINE __m128i take128(uint8_t *to, const uint8_t *from, size_t at)
{
    const __m128i v = load128(from + at);
    if (to)
        _mm_storeu_si128((void *)(to + at), v);
    return v;
}

PCLMUL INLINE __m128i fold(__m128i a, __m128i k, __m128i next)
{
    const __m128i h = _mm_clmulepi64_si128(a, k, 0x00);
    const __m128i l = _mm_clmulepi64_si128(a, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(h, next), l);
}

/* B mod P of a register that holds B x^32. */
PCLMUL INLINE uint32_t barrett(__m128i b)
{
    const __m128i q = _mm_clmulepi64_si128(b, BARRETT, 0x00);
    const __m128i qp = _mm_clmulepi64_si128(q, BARRETT, 0x10);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(b, qp), 2);
}

/* A x^32 mod P. */
PCLMUL INLINE uint32_t reduce(__m128i a)
{
    const __m128i h = _mm_clmulepi64_si128(a, BY_X128_X64, 0x00);
    return barrett(_mm_xor_si128(h, _mm_srli_si128(a, 8)));
}

/*
 * Up to 8 bytes are a B already. Of fewer than 4 the state is the longer: what
 * the message does not reach of it becomes low terms of B, which division
 * leaves alone.
 */
PCLMUL INLINE uint32_t
crc_1_to_3(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    const size_t half = size / 2, end = size - 1;
    const uint32_t a = take8(to, from, 0);
    const uint32_t b = take8(to, from, half);
    const uint32_t c = take8(to, from, end);
    state ^= a | b << 8 * half | c << 8 * end;
    const uint64_t t = (uint64_t)state << (64 - 8 * size);
    return barrett(_mm_cvtsi64_si128((long long)t)) ^ state >> 8 * size;
}

PCLMUL INLINE uint32_t
crc_4_to_8(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    const uint32_t first = take32(to, from, 0);
    const uint64_t last = take32(to, from, size - 4);
    const uint64_t m = first | last << (8 * size - 32);
    const uint64_t t = (m ^ state) << (64 - 8 * size);
    return barrett(_mm_cvtsi64_si128((long long)t));
}

/* The message is an A with zeros for its first bytes, which do not count. */
PCLMUL INLINE uint32_t
crc_9_to_15(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    const uint64_t first = take64(to, from, 0);
    const uint64_t last = take64(to, from, size - 8);
    const size_t lacking = 8 * (16 - size);
    const uint64_t h = (first ^ state) << lacking;
    const uint64_t l = last ^ (uint64_t)state >> (64 - lacking);
    return reduce(PAIR((long long)h, (long long)l));
}

/*
 * The 1 to 15 bytes after the last whole 16. The accumulator and they are 16 +
 * n bytes: its first n bytes are folded over the 16 that are left, which end
 * with the 16 bytes that end the message. An index of 0x80 makes pshufb write
 * a zero, and blendv choose its second operand.
 */
PCLMUL INLINE __m128i
fold_rest(__m128i a, uint8_t *to, const uint8_t *from, size_t at, size_t size)
{
    static const uint8_t shift[48] = {
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    };
    const uint8_t *const n = shift + (size - at);
    const __m128i head = _mm_shuffle_epi8(a, load128(n));
    const __m128i left = load128(n + 16);
    const __m128i end = take128(to, from, size - 16);
    return fold(head, FOLD_128,
                _mm_blendv_epi8(_mm_shuffle_epi8(a, left), end, left));
}

/* What is left after an accumulator took in the first at bytes. */
PCLMUL INLINE uint32_t
crc_from(__m128i a, uint8_t *to, const uint8_t *from, size_t at, size_t size)
{
    for (; size - at >= 16; at += 16)
        a = fold(a, FOLD_128, take128(to, from, at));
    if (at < size)
        a = fold_rest(a, to, from, at, size);
    return reduce(a);
}

PCLMUL INLINE uint32_t
crc_16_to_63(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    const __m128i s = _mm_cvtsi32_si128((int)state);
    const __m128i a = _mm_xor_si128(s, take128(to, from, 0));
    return crc_from(a, to, from, 16, size);
}

PCLMUL INLINE uint32_t
crc_below_64(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    if (size >= 16)
        return crc_16_to_63(state, to, from, size);
    if (size > 8)
        return crc_9_to_15(state, to, from, size);
    if (size >= 4)
        return crc_4_to_8(state, to, from, size);
    return size ? crc_1_to_3(state, to, from, size) : state;
}

PCLMUL INLINE uint32_t
crc_from_64(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    const __m128i s = _mm_cvtsi32_si128((int)state);
    __m128i a = _mm_xor_si128(s, take128(to, from, 0));
    __m128i b = take128(to, from, 16);
    __m128i c = take128(to, from, 32);
    __m128i d = take128(to, from, 48);
    size_t at = 64;
    for (; size - at >= 64; at += 64) {
        a = fold(a, FOLD_512, take128(to, from, at));
        b = fold(b, FOLD_512, take128(to, from, at + 16));
        c = fold(c, FOLD_512, take128(to, from, at + 32));
        d = fold(d, FOLD_512, take128(to, from, at + 48));
    }
    d = fold(c, FOLD_128, d);
    d = fold(b, FOLD_256, d);
    d = fold(a, FOLD_384, d);
    return crc_from(d, to, from, at, size);
}

/* A doubleword by a load of its own, which the compiler must not widen. */
INLINE uint64_t load32(const uint8_t *from, size_t at)
{
    uint32_t v = take32(NULL, from, at);
    __asm__("" : "+r"(v));
    return v;
}

PCLMUL INLINE __m128i two32(const uint8_t *from, size_t at)
{
    const uint64_t low = load32(from, at), high = load32(from, at + 4);
    return _mm_cvtsi64_si128((long long)(low | high << 32));
}

/*
 * The B x^32 of 20 bytes is 8 bytes by x^160, 8 by x^96 and 4 by x^64. Only the
 * first part has to wait for the state.
 *
 * The CRC of a frame header is wanted as soon as its fields are written, and a
 * load that spans two recent stores must wait until both have reached the
 * cache. That takes longer than all of the rest; hence loads of 4 bytes.
 */
PCLMUL INLINE uint32_t crc_20(uint32_t state, const uint8_t *from)
{
    const __m128i s = _mm_cvtsi32_si128((int)state);
    const __m128i m = _mm_xor_si128(s, two32(from, 0));
    const __m128i end = _mm_cvtsi64_si128((long long)(load32(from, 16) << 32));
    const __m128i l = _mm_clmulepi64_si128(two32(from, 8), BY_X160_X96, 0x10);
    const __m128i h = _mm_clmulepi64_si128(m, BY_X160_X96, 0x00);
    return barrett(_mm_xor_si128(h, _mm_xor_si128(l, end)));
}

PCLMUL INLINE uint32_t
crc_by_128(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    return size >= 64 ? crc_from_64(state, to, from, size)
                      : crc_below_64(state, to, from, size);
}

PCLMUL static uint32_t
pclmul_crc(uint32_t crc, const void *data, size_t size)
{
    return ~crc_by_128(~crc, NULL, data, size);
}

PCLMUL static uint32_t pclmul_crc20(uint32_t crc, const void *data)
{
    return ~crc_20(~crc, data);
}

PCLMUL static uint32_t
pclmul_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    return to ? ~crc_by_128(~crc, to, from, size) : crc;
}

/*
 * The same with two 128-bit lanes in a register, each of which is folded over
 * twice the distance.
 */
VPCLMUL INLINE __m256i twice(__m128i k)
{
    return _mm256_broadcastsi128_si256(k);
}

VPCLMUL INLINE __m256i take256(uint8_t *to, const uint8_t *from, size_t at)
{
    const __m256i v = _mm256_loadu_si256((const void *)(from + at));
    if (to)
        _mm256_storeu_si256((void *)(to + at), v);
    return v;
}

VPCLMUL INLINE __m256i fold_lanes(__m256i a, __m128i k, __m256i next)
{
    const __m256i h = _mm256_clmulepi64_epi128(a, twice(k), 0x00);
    const __m256i l = _mm256_clmulepi64_epi128(a, twice(k), 0x11);
    return _mm256_xor_si256(_mm256_xor_si256(h, next), l);
}

/* A x^32 mod P of the 256-bit accumulator: all of it at once becomes B x^32. */
VPCLMUL INLINE uint32_t reduce_lanes(__m256i a)
{
    const __m256i k = _mm256_set_m128i(BY_X128_X64, BY_X256_X192);
    const __m256i h = _mm256_clmulepi64_epi128(a, k, 0x00);
    const __m256i l = _mm256_clmulepi64_epi128(a, k, 0x11);
    const __m256i b = _mm256_xor_si256(h, l);
    return barrett(_mm_xor_si128(_mm256_castsi256_si128(b),
                                 _mm256_extracti128_si256(b, 1)));
}

VPCLMUL INLINE uint32_t
crc_from_128(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    const __m128i s = _mm_cvtsi32_si128((int)state);
    __m256i a = _mm256_xor_si256(_mm256_zextsi128_si256(s),
                                 take256(to, from, 0));
    __m256i b = take256(to, from, 32);
    __m256i c = take256(to, from, 64);
    __m256i d = take256(to, from, 96);
    size_t at = 128;
    for (; size - at >= 128; at += 128) {
        a = fold_lanes(a, FOLD_1024, take256(to, from, at));
        b = fold_lanes(b, FOLD_1024, take256(to, from, at + 32));
        c = fold_lanes(c, FOLD_1024, take256(to, from, at + 64));
        d = fold_lanes(d, FOLD_1024, take256(to, from, at + 96));
    }
    d = fold_lanes(c, FOLD_256, d);
    d = fold_lanes(b, FOLD_512, d);
    d = fold_lanes(a, FOLD_768, d);
    for (; size - at >= 32; at += 32)
        d = fold_lanes(d, FOLD_256, take256(to, from, at));
    if (at == size)
        return reduce_lanes(d);
    return crc_from(fold(_mm256_castsi256_si128(d), FOLD_128,
                         _mm256_extracti128_si256(d, 1)),
                    to, from, at, size);
}

VPCLMUL INLINE uint32_t
crc_by_256(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    return size >= 128 ? crc_from_128(state, to, from, size)
                       : crc_by_128(state, to, from, size);
}

VPCLMUL static uint32_t
vpclmul_crc(uint32_t crc, const void *data, size_t size)
{
    return ~crc_by_256(~crc, NULL, data, size);
}

VPCLMUL static uint32_t vpclmul_crc20(uint32_t crc, const void *data)
{
    return ~crc_20(~crc, data);
}

VPCLMUL static uint32_t
vpclmul_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    return to ? ~crc_by_256(~crc, to, from, size) : crc;
}

static int pclmul_supported(void)
{
    unsigned a, b, c, d;
    const unsigned needed = bit_PCLMUL | bit_SSSE3 | bit_SSE4_1;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & needed) == needed;
}

/* Whether the system saves the XMM (bit 1) and YMM (bit 2) state. */
static int ymm_enabled(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6;
}

static int vpclmul_supported(void)
{
    unsigned a, b, c, d;
    const unsigned needed = bit_OSXSAVE | bit_AVX;
    if (!pclmul_supported() || !__get_cpuid(1, &a, &b, &c, &d)
        || (c & needed) != needed || !ymm_enabled())
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d)
        && (b & bit_AVX2) && (c & bit_VPCLMULQDQ);
}

#endif

#if HAVE_ARMV8_CRC

#define ARMV8_CRC __attribute__((target("+crc")))

TAKE(16)

ARMV8_CRC INLINE uint32_t
crc_armv8(uint32_t state, uint8_t *to, const uint8_t *from, size_t size)
{
    size_t at = 0;
    for (; size - at >= 8; at += 8)
        state = __crc32d(state, take64(to, from, at));
    if (size & 4) {
        state = __crc32w(state, take32(to, from, at));
        at += 4;
    }
    if (size & 2) {
        state = __crc32h(state, take16(to, from, at));
        at += 2;
    }
    if (size & 1)
        state = __crc32b(state, take8(to, from, at));
    return state;
}

ARMV8_CRC static uint32_t
armv8_crc(uint32_t crc, const void *data, size_t size)
{
    return ~crc_armv8(~crc, NULL, data, size);
}

ARMV8_CRC static uint32_t armv8_crc20(uint32_t crc, const void *data)
{
    return ~crc_armv8(~crc, NULL, data, 20);
}

ARMV8_CRC static uint32_t
armv8_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    return to ? ~crc_armv8(~crc, to, from, size) : crc;
}

static int armv8_supported(void)
{
#if defined(__ARM_FEATURE_CRC32)
    return 1;
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#else
    return 0;
#endif
}

#endif

static uint32_t zlib_crc(uint32_t crc, const void *data, size_t size)
{
    return size ? (uint32_t)crc32_z(crc, data, size) : crc;
}

static uint32_t zlib_crc20(uint32_t crc, const void *data)
{
    return zlib_crc(crc, data, 20);
}

static uint32_t
zlib_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    if (size)
        memcpy(to, from, size);
    return zlib_crc(crc, from, size);
}

static int zlib_supported(void)
{
    return 1;
}

#define KERNEL(name, prefix) \
    { name, prefix##_crc, prefix##_crc20, prefix##_copy, prefix##_supported }

const struct wp_crc32_impl wp_crc32_impls[] = {
#if HAVE_CLMUL
    KERNEL("vpclmul", vpclmul),
    KERNEL("pclmul", pclmul),
#endif
#if HAVE_ARMV8_CRC
    KERNEL("armv8-crc", armv8),
#endif
    KERNEL("zlib", zlib),
    { NULL, NULL, NULL, NULL, NULL },
};

/*
 * The choice is three pointers, which lead to stubs that make it until the
 * constructor (or a call from a constructor that ran before it) has made it.
 * Threads that come too early make the same choice twice. All that the pointers
 * lead to is constant, so relaxed atomics, which cost nothing, will do.
 */
static uint32_t choose_crc(uint32_t, const void *, size_t);
static uint32_t choose_crc20(uint32_t, const void *);
static uint32_t choose_copy(uint32_t, void *, const void *, size_t);

static uint32_t (*chosen_crc)(uint32_t, const void *, size_t) = choose_crc;
static uint32_t (*chosen_crc20)(uint32_t, const void *) = choose_crc20;
static uint32_t (*chosen_copy)(uint32_t, void *, const void *, size_t)
    = choose_copy;

#define CHOSEN(pointer) __atomic_load_n(&(pointer), __ATOMIC_RELAXED)

__attribute__((constructor)) static void choose(void)
{
    const struct wp_crc32_impl *i = wp_crc32_impls;
    while (!i->supported())
        i++;
    __atomic_store_n(&chosen_crc, i->crc, __ATOMIC_RELAXED);
    __atomic_store_n(&chosen_crc20, i->crc20, __ATOMIC_RELAXED);
    __atomic_store_n(&chosen_copy, i->copy, __ATOMIC_RELAXED);
}

static uint32_t choose_crc(uint32_t crc, const void *data, size_t size)
{
    choose();
    return wp_crc32(crc, data, size);
}

static uint32_t choose_crc20(uint32_t crc, const void *data)
{
    choose();
    return wp_crc32_20(crc, data);
}

static uint32_t
choose_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    choose();
    return wp_crc32_copy(crc, to, from, size);
}

uint32_t wp_crc32(uint32_t crc, const void *data, size_t size)
{
    return CHOSEN(chosen_crc)(crc, data, size);
}

uint32_t wp_crc32_20(uint32_t crc, const void *data)
{
    return CHOSEN(chosen_crc20)(crc, data);
}

uint32_t
wp_crc32_copy(uint32_t crc, void *to, const void *from, size_t size)
{
    return CHOSEN(chosen_copy)(crc, to, from, size);
}

const char *wp_crc32_kernel(void)
{
    if (CHOSEN(chosen_crc) == choose_crc)
        choose();
    const struct wp_crc32_impl *i = wp_crc32_impls;
    while (i->crc != CHOSEN(chosen_crc))
        i++;
    return i->name;
}
