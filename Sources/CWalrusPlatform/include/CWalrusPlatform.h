/* CWalrusPlatform.h - the little C that Swift cannot say
 *
 * Variadic calls, macros with casts, thread-locals, pthread_atfork and the checksum kernels. Whatever Swift can
 * call by itself it calls by itself, in Storage/SystemCalls.swift.
 */
#ifndef WALRUS_PLATFORM_H
#define WALRUS_PLATFORM_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "walrus_crc32.h"

/* ---- errno: a macro over a function that Swift's importer does not see */
static inline int32_t wp_errno(void) { return errno; }

/* ---- Descriptors. Every one of the library's is opened and closed here, so that a forked child can close them all:
 * a child that never heard of the log would otherwise keep its flock alive after the parent died. All are
 * close-on-exec. Results are those of the system call, errno included. */
int32_t wp_open(int32_t directory, const char *name, int32_t flags, uint32_t mode);
int32_t wp_close(int32_t descriptor);
/* A descriptor that is readable once a file of the directory was written, made, renamed or removed (inotify). */
int32_t wp_open_watch(int32_t directory);
/* Sleeps until a watch or an event's descriptor (wp_event_descriptor) is readable, which is cleared, or until `deadline` on the monotonic clock (INT64_MAX: no
 * end). May also return for no reason. */
void wp_watch_wait(int32_t watch, int32_t wake, int64_t deadline);

/* Grows by one in each forked child. A handle compares it with the value at its open: cheaper than getpid. */
extern uint64_t wp_fork_generation;
static inline uint64_t wp_generation(void) { return __atomic_load_n(&wp_fork_generation, __ATOMIC_RELAXED); }

/* ---- Files */
/* O_DIRECT, which only GNU's name space has. */
int32_t wp_direct(void);
/* Really allocates [offset, offset + length) and grows the file's size to cover it. 0 or errno. */
int32_t wp_allocate(int32_t descriptor, uint64_t offset, uint64_t length);
/* The next offset from `offset` on at which the file may hold something else than zeros; UINT64_MAX if there is
 * none; `offset` itself where the filesystem cannot tell. */
uint64_t wp_next_data(int32_t descriptor, uint64_t offset);
/* The largest size to which this process may grow a file (RLIMIT_FSIZE). Asked before growing one, since the kernel
 * would answer with SIGXFSZ, which kills a host that does not expect it. */
uint64_t wp_file_size_limit(void);
/* The directory's entries, through a descriptor of its own; NULL and errno. closedir ends it. */
DIR *wp_open_listing(int32_t directory);
/* The next of its names; NULL with errno 0 at its end, and with another one where it cannot be read any further. */
const char *wp_next_name(DIR *listing);
/* NULL instead of MAP_FAILED. */
void *wp_map_file(int32_t descriptor, uint64_t length);
void *wp_reserve(uint64_t length);

/* ---- Time and chance */
static inline int64_t wp_realtime_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline int64_t wp_monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
/* The time of day for one thread at a time that asks again and again: between two looks at the system's clock, at most a tenth of a
 * millisecond apart, the processor's time-stamp counter goes on from there, in half the time. All zeros at first. What the counter
 * says is never trusted for longer, so a wrong rate, or another processor's counter, can do no more harm than that. */
struct wp_clock {
    uint64_t ticks; /* of the counter, when the system's clock was looked at */
    int64_t time;   /* what that said */
    uint64_t trust; /* for so many ticks the counter will do */
    uint64_t rate;  /* 2^32 nanoseconds a tick; 0: not known yet */
    uint64_t since_ticks; /* between these and now the rate is measured */
    int64_t since_time;
};
int64_t wp_clock_look(struct wp_clock *clock);
static inline int64_t wp_clock_now(struct wp_clock *clock) {
#if defined(__x86_64__)
    uint64_t ticks = __builtin_ia32_rdtsc() - clock->ticks;
    if (ticks < clock->trust) return clock->time + (int64_t)(ticks * clock->rate >> 32);
    return wp_clock_look(clock);
#else
    (void)clock;
    return wp_realtime_ns();
#endif
}
/* 0, or errno where the system has no randomness to give. */
int32_t wp_random(void *to, size_t size);

/* ---- zlib streams. A state that is used again for each stream; NULL if there is no memory. */
struct wp_deflater;
struct wp_deflater *wp_deflate_new(int32_t level);
void wp_deflate_free(struct wp_deflater *deflater);
/* Bytes of the stream, or 0 if they are more than `capacity`. */
size_t wp_deflate(struct wp_deflater *deflater, const void *from, size_t size, void *to, size_t capacity);
/* 0 if the stream holds exactly `size` bytes and ends with `count`, else EINVAL, or ENOMEM. */
int32_t wp_inflate(const void *from, size_t count, void *to, size_t size);

/* ---- Threads */
/* An enumerator that is an int in C and something else in Swift, depending on the build. */
static inline int32_t wp_prefer_writers(void) { return PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP; }
/* Starts `body(context)` with every signal blocked, so that the host's handlers never run on it. 0 or errno. */
int32_t wp_thread_start(pthread_t *thread, void *(*body)(void *), void *context);

/* A word to sleep on: no mutex has to be had again after waking, as a condition would demand, so that a group of
 * threads that is woken together does not queue up for one. Linux futex(2), private to the process. */
static inline uint32_t wp_word_load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void wp_word_bump(uint32_t *word) { __atomic_fetch_add(word, 1, __ATOMIC_ACQ_REL); }
/* Sleeps while the word has this value; may also wake for no reason. Until `time` on the monotonic clock at the latest, in
 * nanoseconds; INT64_MAX: without end. */
void wp_word_wait(uint32_t *word, uint32_t value, int64_t time);
void wp_word_wake(uint32_t *word, int32_t threads);

/* A word with a count of those who wait on it, so that it costs next to nothing to signal it when nobody does. */
struct wp_event {
    uint32_t word;
    uint32_t waiters;
};
static inline bool wp_event_has_waiters(const struct wp_event *event) {
    /* Keeps the compiler from moving the look before the store that it follows; the processor is kept from it by the
     * waiter's wp_barrier_others. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&event->waiters, __ATOMIC_RELAXED) != 0;
}
static inline void wp_event_enter(struct wp_event *event) { __atomic_fetch_add(&event->waiters, 1, __ATOMIC_SEQ_CST); }
static inline void wp_event_leave(struct wp_event *event) { __atomic_fetch_sub(&event->waiters, 1, __ATOMIC_RELEASE); }
/* Has every running thread of the process pass a full memory barrier before it returns. False where the system cannot. */
bool wp_barrier_others(void);

/* ---- Which callbacks this thread is inside of. A frame lives on the stack of the call that runs the callback. */
struct wp_callback_frame {
    const void *owner;
    int32_t kind; /* one bit */
    const struct wp_callback_frame *outer;
};
void wp_callback_enter(struct wp_callback_frame *frame);
void wp_callback_leave(const struct wp_callback_frame *frame);
/* The kinds of the owner's callbacks that this thread is inside of, as one number; 0: none. */
int32_t wp_callback_kinds(const void *owner);

/* ---- A descriptor that is readable once something was signalled: eventfd(2), nonblocking. -1 and errno. */
int32_t wp_event_descriptor(void);
void wp_event_signal(int32_t descriptor);

/* ---- This thread's last failure, as walrus_last_error reports it */
struct wp_failure {
    int32_t code;
    int32_t os_errno;
    uint64_t index;
    uint64_t offset;
    char path[512];
    char message[512];
};
/* NULL if the thread had none yet, or, with `create`, if there is no memory for one. Freed with the thread. */
struct wp_failure *wp_last_failure(int32_t create);

/* Text is put together in a caller's buffer, cut where it does not fit, always NUL-terminated. */
struct wp_text {
    char *to;
    size_t capacity;
    size_t length;
    size_t wanted; /* the length that it would have if everything fitted */
};
void wp_text_add(struct wp_text *text, const char *string);
void wp_text_add_bytes(struct wp_text *text, const void *bytes, size_t size);
void wp_text_add_number(struct wp_text *text, uint64_t number);
void wp_text_add_octal(struct wp_text *text, uint64_t number);
/* The thread-safe strerror, whichever of its two forms the C library has. */
void wp_text_add_errno(struct wp_text *text, int32_t code);

#endif
