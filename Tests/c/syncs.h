/* syncs.h - the disk's promise in the test's hand: syncs of segments held, slowed, failed and counted
 *
 * A program's own fdatasync comes before libc's, for the library as well, so nothing needs to be preloaded. Only segments that
 * are in use are concerned (files that end in .wal): new ones are prepared, and metadata is written, as ever. A sync that is
 * held has not happened: what it would cover may not be called durable. Include it in one file of a program.
 */
#ifndef SYNCS_H
#define SYNCS_H

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool are_held;
    int inside;         /* threads whose sync is held                                               */
    int failures, error;/* the next so many syncs fail with this                                    */
    int slow_us;
    uint64_t count;     /* of syncs that began                                                      */
    walrus_t *watched;  /* of this log `covered` is kept                                            */
    uint64_t covered;   /* its last index when the newest sync that succeeded began                 */
} syncs = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool is_segment_in_use(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return is_segment(path);
}

int fdatasync(int fd) {
    if (!is_segment_in_use(fd))
        return (int)syscall(SYS_fdatasync, fd);
    pthread_mutex_lock(&syncs.mutex);
    uint64_t last = syncs.watched ? walrus_last_index(syncs.watched) : 0;
    syncs.count++;
    syncs.inside++;
    pthread_cond_broadcast(&syncs.changed);
    while (syncs.are_held)
        pthread_cond_wait(&syncs.changed, &syncs.mutex);
    syncs.inside--;
    int error = syncs.failures > 0 ? syncs.error : 0, slow_us = syncs.slow_us;
    syncs.failures -= error != 0;
    pthread_mutex_unlock(&syncs.mutex);
    if (slow_us > 0)
        usleep((useconds_t)slow_us);
    if (error == 0 && syscall(SYS_fdatasync, fd) != 0)
        error = errno;
    if (error != 0) {
        errno = error;
        return -1;
    }
    pthread_mutex_lock(&syncs.mutex);
    if (last > syncs.covered)
        syncs.covered = last;
    pthread_mutex_unlock(&syncs.mutex);
    return 0;
}

/* From now on no sync of a segment ends. */
static inline void hold_syncs(void) {
    pthread_mutex_lock(&syncs.mutex);
    syncs.are_held = true;
    pthread_mutex_unlock(&syncs.mutex);
}

static inline void let_syncs_go(void) {
    pthread_mutex_lock(&syncs.mutex);
    syncs.are_held = false;
    pthread_cond_broadcast(&syncs.changed);
    pthread_mutex_unlock(&syncs.mutex);
}

/* The next so many syncs fail with `error`, those that are held included. */
static inline void fail_syncs(int failures, int error) {
    pthread_mutex_lock(&syncs.mutex);
    syncs.failures = failures;
    syncs.error = error;
    pthread_mutex_unlock(&syncs.mutex);
}

static inline void slow_syncs(int microseconds) {
    pthread_mutex_lock(&syncs.mutex);
    syncs.slow_us = microseconds;
    pthread_mutex_unlock(&syncs.mutex);
}

/* Waits until a sync is held. */
static inline void await_held_sync(void) {
    double began = check_now_s();
    pthread_mutex_lock(&syncs.mutex);
    while (syncs.inside == 0) {
        pthread_mutex_unlock(&syncs.mutex);
        if (check_now_s() - began > 20)
            FAIL("nobody began a sync");
        usleep(500);
        pthread_mutex_lock(&syncs.mutex);
    }
    pthread_mutex_unlock(&syncs.mutex);
}

static inline uint64_t count_syncs(void) {
    pthread_mutex_lock(&syncs.mutex);
    uint64_t count = syncs.count;
    pthread_mutex_unlock(&syncs.mutex);
    return count;
}

static inline void watch_syncs(walrus_t *log) {
    pthread_mutex_lock(&syncs.mutex);
    syncs.watched = log;
    syncs.covered = log ? walrus_last_index(log) : 0;
    pthread_mutex_unlock(&syncs.mutex);
}

static inline uint64_t covered_by_syncs(void) {
    pthread_mutex_lock(&syncs.mutex);
    uint64_t covered = syncs.covered;
    pthread_mutex_unlock(&syncs.mutex);
    return covered;
}

#endif /* SYNCS_H */
