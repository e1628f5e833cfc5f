/* mappings.c - small anonymous mappings without a system call
 *
 * Each opened segment reserves memory for its offset table and gives it back, and a crash state opens several in some
 * microseconds: the kernel would take as long as all the rest. The linker puts these two before libc's (--wrap).
 */
#include <string.h>
#include <sys/mman.h>

void *__real_mmap(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t);

enum { UNIT = 4096, LARGEST = 64, KEPT = 64 };

/* For each size in units, blocks of that size whose bytes are zero. */
static _Thread_local void *blocks[LARGEST + 1][KEPT];
static _Thread_local int counts[LARGEST + 1];

static size_t units(size_t length) { return (length + UNIT - 1) / UNIT; }

void *__wrap_mmap(void *at, size_t length, int protection, int flags, int descriptor, off_t offset) {
    size_t size = units(length);
    if (at == NULL && (flags & MAP_ANONYMOUS) && size <= LARGEST && counts[size] > 0) return blocks[size][--counts[size]];
    return __real_mmap(at, length, protection, flags, descriptor, offset);
}

/* Nothing but anonymous memory is unmapped here: the simulated disk has no other. */
int __wrap_munmap(void *at, size_t length) {
    size_t size = units(length);
    if (size <= LARGEST && counts[size] < KEPT) {
        memset(at, 0, length);
        blocks[size][counts[size]++] = at;
        return 0;
    }
    return __real_munmap(at, length);
}
