/* failing_sync.c - linked into an example: the disk fails at the n-th sync of a segment, $FAIL_AT, and ever after
 *
 * A program's own fdatasync comes before libc's, for the library as well. Files that are no segments are synced as ever.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_segment(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    return size > 4 && memcmp(path + size - 4, ".wal", 4) == 0;
}

int fdatasync(int fd) {
    static atomic_int count;
    const char *at = getenv("FAIL_AT");
    if (at != NULL && is_segment(fd) && ++count >= atoi(at)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
