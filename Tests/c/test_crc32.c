/*
 * test_crc32.c - checks every CRC-32 kernel this machine can run, and the
 * functions that choose among them, against zlib.
 *
 * A plain program; links crc32.c, zlib and threads. It fills memory with random
 * bytes, asks zlib for the CRC and expects the same from each kernel, for all
 * short lengths at all alignments and for some long ones. Reads out of bounds
 * are caught by pages without access next to the data, and writes out of bounds
 * by the bytes around the destination.
 *
 * With the argument "huge" it also takes the CRC of more than 4 GiB.
 */
#define _DEFAULT_SOURCE

#include "walrus_crc32.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

enum { SHORT = 1100, ALIGNMENTS = 64, SEEDS = 5, GUARD = 64, LONG = 1 << 20 };

typedef const struct wp_crc32_impl impl;

static unsigned long checks, failures;
static uint32_t seeds[SEEDS] = { 0, 0xffffffff };
static uint8_t bytes[LONG + 4096] __attribute__((aligned(64)));

/* The functions of the interface, tested as one more kernel. */
static int always(void)
{
    return 1;
}

static impl interface
    = { "chosen", wp_crc32, wp_crc32_20, wp_crc32_copy, always };

static void check(int good, impl *k, const char *what, size_t size, size_t at)
{
    checks++;
    if (good)
        return;
    if (failures++ < 20)
        printf("%s: %s is wrong, size %zu, at %zu\n", k->name, what, size, at);
}

static uint32_t expected(uint32_t seed, const void *data, size_t size)
{
    return size ? (uint32_t)crc32_z(seed, data, size) : seed;
}

/* xorshift; the same bytes in every run. */
static uint32_t random32(void)
{
    static uint32_t x = 2463534242;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

static void *must(void *memory)
{
    if (memory != NULL && memory != MAP_FAILED)
        return memory;
    perror("memory");
    exit(2);
}

static void make_bytes(void)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(random32() >> 11);
    for (int i = 2; i < SEEDS; i++)
        seeds[i] = random32();
}

/* A known value, lest zlib and the kernels be wrong in the same way. */
static void test_known(impl *k)
{
    check(k->crc(0, "123456789", 9) == 0xcbf43926, k, "crc", 9, 0);
}

static void test_nothing(impl *k)
{
    for (int i = 0; i < SEEDS; i++) {
        check(k->crc(seeds[i], NULL, 0) == seeds[i], k, "crc", 0, 0);
        check(k->copy(seeds[i], NULL, NULL, 0) == seeds[i], k, "copy", 0, 0);
    }
}

static void test_crc(impl *k, const uint8_t *data, size_t size)
{
    const size_t at = (size_t)(data - bytes);
    for (int i = 0; i < SEEDS; i++)
        check(k->crc(seeds[i], data, size) == expected(seeds[i], data, size),
              k, "crc", size, at);
}

static void test_20(impl *k, const uint8_t *data)
{
    for (int i = 0; i < SEEDS; i++)
        check(k->crc20(seeds[i], data) == expected(seeds[i], data, 20),
              k, "crc20", 20, (size_t)(data - bytes));
}

static void test_short(impl *k)
{
    for (size_t at = 0; at < ALIGNMENTS; at++) {
        for (size_t size = 0; size <= SHORT; size++)
            test_crc(k, bytes + at, size);
        test_20(k, bytes + at);
    }
}

static int all(const uint8_t *from, size_t size, uint8_t value)
{
    while (size > 0 && from[size - 1] == value)
        size--;
    return size == 0;
}

/* Around the destination there are GUARD bytes that must stay as they are. */
static void
test_copy(impl *k, uint8_t *to, const uint8_t *from, size_t size, size_t at)
{
    const uint32_t seed = seeds[size % SEEDS];
    memset(to - GUARD, 0xa5, size + 2 * GUARD);
    check(k->copy(seed, to, from, size) == expected(seed, from, size),
          k, "copy's crc", size, at);
    check(memcmp(to, from, size) == 0, k, "copy", size, at);
    check(all(to - GUARD, GUARD, 0xa5) && all(to + size, GUARD, 0xa5),
          k, "the space around the copy", size, at);
}

static void test_short_copies(impl *k)
{
    static uint8_t space[SHORT + ALIGNMENTS + 2 * GUARD];
    for (size_t at = 0; at < ALIGNMENTS; at++)
        for (size_t size = 0; size <= SHORT; size++)
            test_copy(k, space + GUARD + (at * 7 + size) % ALIGNMENTS,
                      bytes + at, size, at);
}

static void test_long(impl *k, size_t size)
{
    uint8_t *const space = must(malloc(LONG + 4096 + 2 * GUARD));
    for (size_t at = 0; at < ALIGNMENTS; at += 21) {
        test_crc(k, bytes + at, size);
        test_copy(k, space + GUARD + at / 3, bytes + at, size, at);
    }
    free(space);
}

static void test_around(impl *k, size_t size)
{
    static const size_t less[] = { 129, 65, 31, 17, 15, 3, 1, 0 };
    static const size_t more[] = { 1, 5, 16, 33, 63, 64, 127, 255, 1001 };
    for (size_t i = 0; i < sizeof less / sizeof *less; i++)
        test_long(k, size - less[i]);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        test_long(k, size + more[i]);
}

/* In two pieces, and in many. */
static void test_pieces(impl *k)
{
    const size_t size = 700;
    const uint32_t whole = expected(seeds[2], bytes, size);
    for (size_t cut = 0; cut <= size; cut++) {
        const uint32_t head = k->crc(seeds[2], bytes, cut);
        check(k->crc(head, bytes + cut, size - cut) == whole,
              k, "crc in two pieces", size, cut);
    }
    for (size_t step = 1; step < 300; step++) {
        uint32_t crc = seeds[2];
        for (size_t at = 0; at < size; at += step)
            crc = k->crc(crc, bytes + at, step < size - at ? step : size - at);
        check(crc == whole, k, "crc in pieces", size, step);
    }
}

static void test_at_edge(impl *k, const uint8_t *data, size_t size, uint8_t *to)
{
    check(k->crc(1, data, size) == expected(1, data, size),
          k, "crc at the edge of a page", size, 0);
    check(k->copy(1, to, data, size) == expected(1, data, size)
              && memcmp(to, data, size) == 0,
          k, "copy at the edge of a page", size, 0);
    if (size == 20)
        check(k->crc20(1, data) == expected(1, data, size),
              k, "crc20 at the edge of a page", size, 0);
}

/* Some pages that may be used, between two that may not. */
static uint8_t *fenced(size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *const whole = must(mmap(NULL, size + 2 * page, PROT_NONE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (mprotect(whole + page, size, PROT_READ | PROT_WRITE) == 0)
        return whole + page;
    perror("mprotect");
    exit(2);
}

/* Source and destination both end, then both begin, where a page does. */
static void test_edges(impl *k)
{
    const size_t space = 65536;
    static uint8_t *from, *to;
    if (from == NULL) {
        from = fenced(space);
        to = fenced(space);
        memcpy(from, bytes, space);
    }
    for (size_t size = 0; size <= 2 * SHORT; size++) {
        test_at_edge(k, from + space - size, size, to + space - size);
        test_at_edge(k, from, size, to);
    }
}

/* The source is the zero page many times over, so this takes no memory. */
static void test_huge(impl *k)
{
    const size_t size = ((size_t)1 << 32) + 1234567, half = size / 2;
    uint8_t *const zeros
        = must(mmap(NULL, size, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    const uint32_t crc = k->crc(k->crc(7, zeros, half), zeros, size - half);
    check(k->crc(7, zeros, size) == crc, k, "crc", size, 0);
    munmap(zeros, size);
}

static void test_kernel(impl *k, int huge)
{
    test_known(k);
    test_nothing(k);
    test_short(k);
    test_short_copies(k);
    test_around(k, 4096);
    test_around(k, 65536);
    test_around(k, LONG);
    test_pieces(k);
    test_edges(k);
    if (huge)
        test_huge(k);
}

/*
 * A constructor that runs before the one of crc32.c starts threads that call
 * functions not chosen yet, all at once and each thread another one first.
 */
enum { THREADS = 6 };
static uint32_t early[THREADS][3];
static int go;

static void *call_early(void *result)
{
    uint32_t *const crc = result;
    const ptrdiff_t first = (crc - early[0]) / 3;
    char copy[9];
    while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
        ;
    for (ptrdiff_t i = first; i < first + 3; i++) {
        if (i % 3 == 0)
            crc[0] = wp_crc32(0, "123456789", 9);
        else if (i % 3 == 1)
            crc[1] = wp_crc32_20(0, "123456789\0\0\0\0\0\0\0\0\0\0");
        else
            crc[2] = wp_crc32_copy(0, copy, "123456789", 9);
    }
    return NULL;
}

__attribute__((constructor(101))) static void call_before_choice(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, call_early, early[i]))
            abort();
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void test_early(void)
{
    const uint32_t crc20 = expected(0, "123456789\0\0\0\0\0\0\0\0\0\0", 20);
    for (int i = 0; i < THREADS; i++) {
        check(early[i][0] == 0xcbf43926, &interface, "early crc", 9, 0);
        check(early[i][1] == crc20, &interface, "early crc20", 20, 0);
        check(early[i][2] == 0xcbf43926, &interface, "early copy", 9, 0);
    }
}

/* The first kernel that is supported is the one to be chosen. */
static void test_choice(void)
{
    impl *k = wp_crc32_impls;
    while (!k->supported())
        k++;
    check(strcmp(wp_crc32_kernel(), k->name) == 0, k, "choice", 0, 0);
}

int main(int argc, char **argv)
{
    const int huge = argc > 1 && strcmp(argv[1], "huge") == 0;
    char kernels[100] = "";
    make_bytes();
    test_early();
    test_choice();
    test_kernel(&interface, 0);
    for (impl *k = wp_crc32_impls; k->name != NULL; k++) {
        if (!k->supported())
            continue;
        test_kernel(k, huge);
        strcat(strcat(kernels, *kernels ? ", " : ""), k->name);
    }
    printf("crc32: %lu checks, %lu failures (kernels: %s)\n",
           checks, failures, kernels);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
