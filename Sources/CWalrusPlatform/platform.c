/* platform.c - descriptors, fork, mappings, randomness, threads and texts for the Swift engine */
/* Here and not in the header, which Swift imports beside its own view of libc. */
#define _GNU_SOURCE
#include "CWalrusPlatform.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <zlib.h>

/* ---- Descriptors and fork ----------------------------------------------------------------------
 *
 * The table below knows every descriptor that the library holds. A mutex covers "open it and note it" as one
 * step, and fork waits for that mutex, so no child is ever made between the two. */

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;
static unsigned char *table; /* one byte a descriptor number: 1 if it is ours */
static size_t table_size;

uint64_t wp_fork_generation = 1;

static void before_fork(void) { pthread_mutex_lock(&table_lock); }
static void after_fork_in_parent(void) { pthread_mutex_unlock(&table_lock); }
static void after_fork_in_child(void) {
    __atomic_fetch_add(&wp_fork_generation, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < table_size; i++) {
        if (table[i]) close((int)i);
        table[i] = 0;
    }
    pthread_mutex_unlock(&table_lock);
}
static void watch_forks(void) { pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }

static int note(int descriptor) {
    size_t needed = (size_t)descriptor + 1;
    if (needed > table_size) {
        size_t size = needed < 256 ? 256 : needed * 2;
        unsigned char *larger = realloc(table, size);
        if (!larger) return ENOMEM;
        memset(larger + table_size, 0, size - table_size);
        table = larger;
        table_size = size;
    }
    table[descriptor] = 1;
    return 0;
}

int32_t wp_open(int32_t directory, const char *name, int32_t flags, uint32_t mode) {
    pthread_once(&table_once, watch_forks);
    pthread_mutex_lock(&table_lock);
    int descriptor;
    do {
        descriptor = openat(directory, name, flags | O_CLOEXEC, (mode_t)mode);
    } while (descriptor < 0 && errno == EINTR);
    int failure = descriptor < 0 ? errno : note(descriptor);
    if (descriptor >= 0 && failure) close(descriptor);
    pthread_mutex_unlock(&table_lock);
    errno = failure;
    return failure ? -1 : descriptor;
}

/* Notes a descriptor that was just opened, with the table's lock; closes it where that fails. Errno is that of the failure. */
static int32_t noted(int descriptor) {
    int failure = descriptor < 0 ? errno : note(descriptor);
    if (descriptor >= 0 && failure) close(descriptor);
    errno = failure;
    return failure ? -1 : descriptor;
}

int32_t wp_open_watch(int32_t directory) {
    pthread_once(&table_once, watch_forks);
    pthread_mutex_lock(&table_lock);
    int32_t watch = noted(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    pthread_mutex_unlock(&table_lock);
    if (watch < 0) return -1;
    /* By the descriptor and not by the path, which may have another meaning by now. */
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", directory);
    if (inotify_add_watch(watch, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE) < 0) {
        int failure = errno;
        wp_close(watch);
        errno = failure;
        return -1;
    }
    return watch;
}

void wp_watch_wait(int32_t watch, int32_t wake, int64_t deadline) {
    struct pollfd two[] = {{.fd = watch, .events = POLLIN}, {.fd = wake, .events = POLLIN}};
    int64_t left = deadline == INT64_MAX ? 0 : deadline - wp_monotonic_ns();
    if (left < 0) left = 0;
    struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (ppoll(two, 2, deadline == INT64_MAX ? NULL : &time, NULL) <= 0) return;
    char events[4096];
    while (two[0].revents && read(watch, events, sizeof events) > 0) {}
    uint64_t count;
    ssize_t got = two[1].revents ? read(wake, &count, sizeof count) : 0;
    (void)got;
}

int32_t wp_close(int32_t descriptor) {
    pthread_mutex_lock(&table_lock);
    /* In a forked child the number may belong to somebody else by now. */
    int ours = (size_t)descriptor < table_size && table[descriptor];
    if (ours) table[descriptor] = 0;
    int result = ours ? close(descriptor) : 0; /* never retried: after EINTR Linux has closed it */
    pthread_mutex_unlock(&table_lock);
    return result;
}

/* ---- Files ------------------------------------------------------------------------------------- */

int32_t wp_direct(void) { return O_DIRECT; }

int32_t wp_allocate(int32_t descriptor, uint64_t offset, uint64_t length) {
    int result;
    do {
        result = fallocate(descriptor, 0, (off_t)offset, (off_t)length);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

uint64_t wp_next_data(int32_t descriptor, uint64_t offset) {
    off_t at = lseek(descriptor, (off_t)offset, SEEK_DATA);
    if (at >= 0) return (uint64_t)at;
    return errno == ENXIO ? UINT64_MAX : offset;
}

uint64_t wp_file_size_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return INT64_MAX;
    return limit.rlim_cur;
}

DIR *wp_open_listing(int32_t directory) {
    int descriptor;
    do {
        descriptor = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) return NULL;
    DIR *listing = fdopendir(descriptor);
    if (!listing) close(descriptor);
    return listing;
}

const char *wp_next_name(DIR *listing) {
    errno = 0; /* all that tells an error from the end */
    struct dirent *entry = readdir(listing);
    return entry ? entry->d_name : NULL;
}

void *wp_map_file(int32_t descriptor, uint64_t length) {
    void *at = mmap(NULL, length, PROT_READ, MAP_SHARED, descriptor, 0);
    return at == MAP_FAILED ? NULL : at;
}

void *wp_reserve(uint64_t length) {
    void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* ---- Time, chance and threads ------------------------------------------------------------------------ */

#if defined(__x86_64__)
int64_t wp_clock_look(struct wp_clock *clock) {
    /* Of a clock that nobody sets. The rate is measured over 2 ms at first, then anew each second. */
    int64_t now = wp_monotonic_ns();
    clock->ticks = __builtin_ia32_rdtsc();
    clock->time = wp_realtime_ns();
    int64_t passed = now - clock->since_time;
    uint64_t ticks = clock->ticks - clock->since_ticks;
    if (clock->since_ticks == 0 || passed < 0 || passed > 60000000000) {
        clock->since_ticks = clock->ticks;
        clock->since_time = now;
        clock->rate = clock->trust = 0;
    } else if (passed > (clock->rate ? 1000000000 : 2000000) && ticks > 0) {
        clock->rate = (uint64_t)(((unsigned __int128)(uint64_t)passed << 32) / ticks);
        /* A counter that stands still or runs at less than 100 MHz or more than 10 GHz is none to go by. */
        bool likely = clock->rate > (1ull << 32) / 10 && clock->rate < (10ull << 32);
        clock->trust = likely ? (100000ull << 32) / clock->rate : 0;
        clock->since_ticks = clock->ticks;
        clock->since_time = now;
    }
    return clock->time;
}
#endif

int32_t wp_random(void *to, size_t size) {
    unsigned char *at = to;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return errno ? errno : EIO;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

#ifdef WALRUS_EMBEDDED
/* The embedded runtime asks for it by name, and glibc has it since 2.36 only: without this one the library would not
 * load on older systems. Hash tables would seed themselves with it; the engine has none. */
__attribute__((visibility("hidden"))) void arc4random_buf(void *to, size_t size) { (void)wp_random(to, size); }
#endif

int32_t wp_thread_start(pthread_t *thread, void *(*body)(void *), void *context) {
    sigset_t all, before;
    sigfillset(&all);
    int failure = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (failure) return failure;
    failure = pthread_create(thread, NULL, body, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

void wp_word_wait(uint32_t *word, uint32_t value, int64_t time) {
    struct timespec deadline = {.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    /* WAIT_BITSET takes a moment of the monotonic clock where WAIT takes a duration. */
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, time == INT64_MAX ? NULL : &deadline, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

void wp_word_wake(uint32_t *word, int32_t threads) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

bool wp_barrier_others(void) {
    /* A process says once that it wants these, and a forked child says it anew. */
    for (int try = 0; try < 2; try++) {
        if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return true;
        if (errno != EPERM) return false;
        if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) return false;
    }
    return false;
}

/* ---- Callbacks --------------------------------------------------------------------------------- */

static pthread_key_t frame_key;
static pthread_once_t frame_once = PTHREAD_ONCE_INIT;
static int frame_key_error;
static void make_frame_key(void) { frame_key_error = pthread_key_create(&frame_key, NULL); }

void wp_callback_enter(struct wp_callback_frame *frame) {
    pthread_once(&frame_once, make_frame_key);
    if (frame_key_error) return;
    frame->outer = pthread_getspecific(frame_key);
    pthread_setspecific(frame_key, frame);
}

void wp_callback_leave(const struct wp_callback_frame *frame) {
    if (!frame_key_error) pthread_setspecific(frame_key, frame->outer);
}

int32_t wp_callback_kinds(const void *owner) {
    pthread_once(&frame_once, make_frame_key);
    if (frame_key_error) return 0;
    int32_t kinds = 0;
    for (const struct wp_callback_frame *frame = pthread_getspecific(frame_key); frame; frame = frame->outer) {
        if (frame->owner == owner) kinds |= frame->kind;
    }
    return kinds;
}

/* ---- Events ------------------------------------------------------------------------------------ */

int32_t wp_event_descriptor(void) {
    pthread_once(&table_once, watch_forks);
    pthread_mutex_lock(&table_lock);
    int32_t descriptor = noted(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    pthread_mutex_unlock(&table_lock);
    return descriptor;
}

void wp_event_signal(int32_t descriptor) {
    uint64_t one = 1;
    /* Full is as good as signalled. */
    if (write(descriptor, &one, sizeof one) < 0) return;
}

/* ---- zlib --------------------------------------------------------------------------------------- */

struct wp_deflater {
    z_stream stream;
};

struct wp_deflater *wp_deflate_new(int32_t level) {
    struct wp_deflater *deflater = calloc(1, sizeof *deflater);
    if (deflater && deflateInit(&deflater->stream, level) != Z_OK) {
        free(deflater);
        return NULL;
    }
    return deflater;
}

void wp_deflate_free(struct wp_deflater *deflater) {
    if (!deflater) return;
    deflateEnd(&deflater->stream);
    free(deflater);
}

/* Entries are below 4 GiB, as zlib's counts are. */
size_t wp_deflate(struct wp_deflater *deflater, const void *from, size_t size, void *to, size_t capacity) {
    z_stream *stream = &deflater->stream;
    if (deflateReset(stream) != Z_OK) return 0;
    stream->next_in = (Bytef *)from;
    stream->avail_in = (uInt)size;
    stream->next_out = to;
    stream->avail_out = (uInt)capacity;
    return deflate(stream, Z_FINISH) == Z_STREAM_END ? capacity - stream->avail_out : 0;
}

int32_t wp_inflate(const void *from, size_t count, void *to, size_t size) {
    z_stream stream = {.next_in = (Bytef *)from, .avail_in = (uInt)count, .next_out = to, .avail_out = (uInt)size};
    /* Linked against a zlib of its own version, it fails for want of memory alone. */
    if (inflateInit(&stream) != Z_OK) return ENOMEM;
    int result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    if (result == Z_MEM_ERROR) return ENOMEM;
    return result == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0 ? 0 : EINVAL;
}

/* ---- Failures and texts ------------------------------------------------------------------------ */

/* A pthread key and not _Thread_local: that would make the library need the dynamic linker by name, or take a kilobyte of
 * the static thread memory that loaders are short of. */
static pthread_key_t failure_key;
static pthread_once_t failure_once = PTHREAD_ONCE_INIT;
static int failure_key_error;
static void make_failure_key(void) { failure_key_error = pthread_key_create(&failure_key, free); }

struct wp_failure *wp_last_failure(int32_t create) {
    pthread_once(&failure_once, make_failure_key);
    if (failure_key_error) return NULL;
    struct wp_failure *failure = pthread_getspecific(failure_key);
    if (failure || !create) return failure;
    failure = calloc(1, sizeof *failure);
    if (failure && pthread_setspecific(failure_key, failure) != 0) {
        free(failure);
        failure = NULL;
    }
    return failure;
}

void wp_text_add_bytes(struct wp_text *text, const void *bytes, size_t size) {
    text->wanted += size;
    if (text->capacity == 0) return;
    size_t room = text->capacity - 1 - text->length;
    size_t taken = size < room ? size : room;
    memcpy(text->to + text->length, bytes, taken);
    text->length += taken;
    text->to[text->length] = 0;
}

void wp_text_add(struct wp_text *text, const char *string) { wp_text_add_bytes(text, string, strlen(string)); }

void wp_text_add_number(struct wp_text *text, uint64_t number) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    wp_text_add_bytes(text, digits, (size_t)length);
}

void wp_text_add_octal(struct wp_text *text, uint64_t number) {
    char digits[32];
    int length = snprintf(digits, sizeof digits, "0%llo", (unsigned long long)number);
    wp_text_add_bytes(text, digits, (size_t)length);
}

/* glibc's strerror_r returns the text, POSIX's a number: let the compiler choose. */
static const char *chosen_text(const char *returned, const char *buffer) { (void)buffer; return returned; }
static const char *chosen_number(int returned, const char *buffer) { return returned == 0 ? buffer : "unknown error"; }

void wp_text_add_errno(struct wp_text *text, int32_t code) {
    char buffer[128] = "";
    wp_text_add(text, _Generic(strerror_r(code, buffer, sizeof buffer), char *: chosen_text, int: chosen_number)(
                          strerror_r(code, buffer, sizeof buffer), buffer));
}
