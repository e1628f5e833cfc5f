/* interpose.h - the C library in the test's hand: what the log asks of the system is recorded, lied about or refused
 *
 * A program's own functions come before libc's, for the library as well, so nothing needs to be preloaded. Whatever libwalrus.so
 * imports is either here or known to change no file (libc-calls.txt, which scripts/test-crash compares). Stores into
 * mapped files cannot be seen; recording_is_complete finds them out. Include it in one file of a program.
 */
#ifndef INTERPOSE_H
#define INTERPOSE_H

#include "trace.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <zlib.h>

/* What libc has under that name. */
#define REAL(name)                                                                                                     \
    ({                                                                                                                 \
        static __typeof__(&name) real_##name;                                                                          \
        if (real_##name == NULL)                                                                                       \
            real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                                  \
        real_##name;                                                                                                   \
    })

/* ---- Who calls ------------------------------------------------------------------------------ */

static uintptr_t library_begin, library_end;

static int find_library(struct dl_phdr_info *info, size_t size, void *ctx) {
    (void)size, (void)ctx;
    if (strstr(info->dlpi_name, "libwalrus.so") != NULL)
        for (int i = 0; i < info->dlpi_phnum; i++)
            if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
                library_begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
                library_end = library_begin + info->dlpi_phdr[i].p_memsz;
            }
    return 0;
}

__attribute__((constructor)) static void know_library(void) { dl_iterate_phdr(find_library, NULL); }

/* ---- Faults --------------------------------------------------------------------------------- */

typedef enum {
    CALL_OPENAT, CALL_CREATE, CALL_FSTAT, CALL_FSTATAT, CALL_PREAD, CALL_PWRITE, CALL_PWRITEV, CALL_FALLOCATE, CALL_FTRUNCATE, CALL_FDATASYNC,
    CALL_FSYNC, CALL_RENAMEAT, CALL_UNLINKAT, CALL_MKDIR, CALL_LSEEK, CALL_FLOCK, CALL_MMAP, CALL_FDOPENDIR, CALL_READDIR, CALL_GETRANDOM,
    CALL_EVENTFD, CALL_INOTIFY_INIT, CALL_INOTIFY_ADD, CALL_THREAD, CALL_MUTEX, CALL_CONDITION, CALL_RWLOCK, CALL_CLOSE, CALL_MALLOC,
    CALL_CALLOC, CALL_REALLOC, CALL_MEMALIGN, CALL_STRDUP, CALL_DEFLATE, CALL_INFLATE, CALL_INFLATING, CALL_KINDS
} call_kind_t;

static const char *const call_names[CALL_KINDS] = {
    "openat", "openat of a new file", "fstat", "fstatat", "pread", "pwrite", "pwritev", "fallocate", "ftruncate", "fdatasync", "fsync", "renameat",
    "unlinkat", "mkdir", "lseek", "flock", "mmap", "fdopendir", "readdir", "getrandom", "eventfd", "inotify_init1",
    "inotify_add_watch", "pthread_create", "pthread_mutex_init", "pthread_cond_init", "pthread_rwlock_init", "close", "malloc",
    "calloc", "realloc", "posix_memalign", "strdup", "deflateInit", "inflateInit", "inflate"};

enum { SHORT = -1 }; /* instead of an errno: half of what was asked for is done */

static struct {
    atomic_bool is_armed;
    atomic_uint_fast64_t calls;       /* of the library, while armed                                                        */
    uint64_t at;                      /* the call that fails                                                                */
    bool for_ever;                    /* and every later one for which there is an error, too                               */
    const int (*errors)[CALL_KINDS];  /* with what; 0: not at all                                                           */
    atomic_uint_fast64_t struck;
    atomic_int first_call;            /* the kind of the first one that failed                                              */
} faults;

/* The error that this call has, or 0. */
static int fault(call_kind_t call, const void *caller) {
    uintptr_t from = (uintptr_t)caller;
    if (!atomic_load(&faults.is_armed) || from < library_begin || from >= library_end)
        return 0;
    int error = (*faults.errors)[call];
    if (error == 0)
        return 0;
    uint64_t number = atomic_fetch_add(&faults.calls, 1) + 1;
    if (number != faults.at && (!faults.for_ever || number < faults.at))
        return 0;
    if (atomic_fetch_add(&faults.struck, 1) == 0)
        atomic_store(&faults.first_call, (int)call);
    return error;
}

static inline void arm_faults(uint64_t at, bool for_ever, const int (*errors)[CALL_KINDS]) {
    faults.calls = faults.struck = 0;
    faults.at = at;
    faults.for_ever = for_ever;
    faults.errors = errors;
    faults.is_armed = true;
}

static inline void disarm_faults(void) { faults.is_armed = false; }

#define CALLER __builtin_return_address(0)
#define REFUSE(call, result)                                                                                           \
    do {                                                                                                               \
        int error_of_fault = fault(call, CALLER);                                                                      \
        if (error_of_fault != 0) {                                                                                     \
            errno = error_of_fault;                                                                                    \
            return result;                                                                                             \
        }                                                                                                              \
    } while (0)

/* ---- Recording ------------------------------------------------------------------------------ */

enum { LIE_DATA = 1, LIE_DIRECTORY = 2, LIE_PARENT = 4 };
enum { DESCRIPTORS = 1024, FILES = 4096, NO_FILE = -1, THE_DIRECTORY = -2, THE_PARENT = -3 };

static struct {
    pthread_mutex_t mutex;
    atomic_bool is_on;
    const char *directory;
    trace_t *trace;
    int descriptors[DESCRIPTORS]; /* the file, or one of the above                                                          */
    struct {
        char name[40];
        int file;
    } names[FILES];
    int name_count, file_count;
    uint64_t sizes[FILES];
    int lies;                     /* syncs that answer OK and are none                                                      */
    random_source_t chance;
} recorder = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int named_file(const char *name) {
    for (int i = 0; i < recorder.name_count; i++)
        if (strcmp(recorder.names[i].name, name) == 0)
            return i;
    return -1;
}

static void name_file(const char *name, int file) {
    int at = named_file(name);
    if (at < 0)
        at = recorder.name_count++;
    snprintf(recorder.names[at].name, sizeof recorder.names[at].name, "%s", name);
    recorder.names[at].file = file;
}

static void unname_file(const char *name) {
    int at = named_file(name);
    if (at >= 0)
        recorder.names[at] = recorder.names[--recorder.name_count];
}

/* From now on what the library does in `directory` is added to `trace`, after which the directory is as that says. */
static inline void begin_recording(const char *directory, trace_t *trace, uint64_t seed) {
    recorder.directory = directory;
    recorder.trace = trace;
    recorder.name_count = recorder.file_count = 0;
    recorder.chance.state = seed;
    for (int i = 0; i < DESCRIPTORS; i++)
        recorder.descriptors[i] = NO_FILE;
    for (size_t i = 0; i < trace->count; i++) {
        const operation_t *operation = &trace->operations[i];
        switch (operation->kind) {
        case OP_CREATE: recorder.file_count = operation->file + 1; recorder.sizes[operation->file] = 0; name_file(operation->name, operation->file); break;
        case OP_RENAME: unname_file(operation->name); name_file(operation->to, operation->file); break;
        case OP_REMOVE: unname_file(operation->name); break;
        case OP_WRITE:
        case OP_RESIZE: recorder.sizes[operation->file] = operation->after; break;
        default: break;
        }
    }
    atomic_store(&recorder.is_on, true);
}

static inline void end_recording(void) { atomic_store(&recorder.is_on, false); }

/* How many operations there have been. */
static inline size_t recorded(void) {
    pthread_mutex_lock(&recorder.mutex);
    size_t count = recorder.trace->count;
    pthread_mutex_unlock(&recorder.mutex);
    return count;
}

/* With the mutex: operation and record are one step. False if nothing is recorded. */
static bool enter(void) {
    if (!atomic_load(&recorder.is_on))
        return false;
    pthread_mutex_lock(&recorder.mutex);
    return true;
}
static void leave(bool entered) {
    int error = errno;
    if (entered)
        pthread_mutex_unlock(&recorder.mutex);
    errno = error;
}

static int file_of(int descriptor) { return descriptor >= 0 && descriptor < DESCRIPTORS ? recorder.descriptors[descriptor] : NO_FILE; }

static void note_opened(int descriptor, int at, const char *path, int flags) {
    if (descriptor >= DESCRIPTORS)
        abort();
    recorder.descriptors[descriptor] = NO_FILE;
    if (strcmp(path, recorder.directory) == 0)
        recorder.descriptors[descriptor] = THE_DIRECTORY;
    else if (file_of(at) != THE_DIRECTORY)
        return;
    else if (strcmp(path, "..") == 0)
        recorder.descriptors[descriptor] = THE_PARENT;
    else if (strcmp(path, ".") != 0) {
        int named = named_file(path);
        int file = named < 0 ? recorder.file_count++ : recorder.names[named].file;
        recorder.descriptors[descriptor] = file;
        if (named < 0) {
            if (file >= FILES || !(flags & O_CREAT))
                abort(); /* a file that was never created has been opened */
            recorder.sizes[file] = 0;
            name_file(path, file);
            operation_t *operation = trace_add(recorder.trace, OP_CREATE, file);
            snprintf(operation->name, sizeof operation->name, "%s", path);
        } else if (flags & O_TRUNC && recorder.sizes[file] > 0) {
            operation_t *operation = trace_add(recorder.trace, OP_RESIZE, file);
            operation->before = recorder.sizes[file];
            recorder.sizes[file] = 0;
        }
    }
}

static void note_size(operation_t *operation, uint64_t size) {
    operation->before = recorder.sizes[operation->file];
    operation->after = recorder.sizes[operation->file] = size;
}

static void note_write(int descriptor, const void *bytes, size_t size, uint64_t offset) {
    int file = file_of(descriptor);
    if (file < 0)
        return;
    uint64_t data = trace_keep(recorder.trace, bytes, size), end = offset + size;
    operation_t *operation = trace_add(recorder.trace, OP_WRITE, file);
    operation->offset = offset;
    operation->size = size;
    operation->data = data;
    note_size(operation, end > recorder.sizes[file] ? end : recorder.sizes[file]);
}

/* A sync covers what was there when it began, and is one when it has ended. */
static int record_sync(int (*real)(int), int descriptor) {
    bool entered = enter();
    if (!entered)
        return real(descriptor);
    int file = file_of(descriptor);
    uint64_t covers = recorder.trace->count, wait_us = below(&recorder.chance, 8) == 0 ? below(&recorder.chance, 200) : 0;
    leave(true);
    if (wait_us > 0)
        usleep((useconds_t)wait_us);
    int result = real(descriptor);
    int lie = file == THE_PARENT ? LIE_PARENT : file == THE_DIRECTORY ? LIE_DIRECTORY : LIE_DATA;
    if (result != 0 || file == NO_FILE || recorder.lies & lie || !enter())
        return result;
    op_kind_t kind = file == THE_PARENT ? OP_SYNC_PARENT : file == THE_DIRECTORY ? OP_SYNC_DIRECTORY : OP_SYNC;
    trace_add(recorder.trace, kind, file >= 0 ? file : -1)->covers = covers;
    leave(true);
    return result;
}

/* ---- The calls that change files ------------------------------------------------------------ */

int openat(int at, const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    bool creates = flags & O_CREAT && faccessat(at, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    REFUSE(creates ? CALL_CREATE : CALL_OPENAT, -1);
    bool entered = enter();
    int descriptor = REAL(openat)(at, path, flags, mode);
    if (entered && descriptor >= 0)
        note_opened(descriptor, at, path, flags);
    leave(entered);
    return descriptor;
}

int close(int descriptor) {
    int error = fault(CALL_CLOSE, CALLER);
    bool entered = enter();
    if (entered && descriptor >= 0 && descriptor < DESCRIPTORS)
        recorder.descriptors[descriptor] = NO_FILE;
    int result = REAL(close)(descriptor);
    leave(entered);
    if (error != 0) { /* Linux has closed it all the same */
        errno = error;
        return -1;
    }
    return result;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset) {
    int error = fault(CALL_PWRITE, CALLER);
    if (error > 0) {
        errno = error;
        return -1;
    }
    bool entered = enter();
    ssize_t put = REAL(pwrite)(descriptor, bytes, error == SHORT && size > 1 ? size / 2 : size, offset);
    if (entered && put > 0)
        note_write(descriptor, bytes, (size_t)put, (uint64_t)offset);
    leave(entered);
    return put;
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
    int error = fault(CALL_PWRITEV, CALLER);
    if (error > 0) {
        errno = error;
        return -1;
    }
    bool entered = enter();
    ssize_t put = error == SHORT ? REAL(pwrite)(descriptor, parts[0].iov_base, (parts[0].iov_len + 1) / 2, offset)
                                 : REAL(pwritev)(descriptor, parts, count, offset);
    size_t left = put > 0 ? (size_t)put : 0;
    for (int i = 0; entered && left > 0; i++) {
        size_t part = left < parts[i].iov_len ? left : parts[i].iov_len;
        if (part > 0)
            note_write(descriptor, parts[i].iov_base, part, (uint64_t)offset);
        offset += (off_t)part;
        left -= part;
    }
    leave(entered);
    return put;
}

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
    REFUSE(CALL_FALLOCATE, -1);
    bool entered = enter();
    int result = REAL(fallocate)(descriptor, mode, offset, length);
    int file = file_of(descriptor);
    if (entered && file >= 0 && mode != 0)
        abort(); /* punches holes, or keeps the size: nothing here knows what that does */
    if (entered && result == 0 && file >= 0 && (uint64_t)(offset + length) > recorder.sizes[file])
        note_size(trace_add(recorder.trace, OP_RESIZE, file), (uint64_t)(offset + length));
    leave(entered);
    return result;
}

int ftruncate(int descriptor, off_t size) {
    REFUSE(CALL_FTRUNCATE, -1);
    bool entered = enter();
    int result = REAL(ftruncate)(descriptor, size), file = file_of(descriptor);
    if (entered && result == 0 && file >= 0)
        note_size(trace_add(recorder.trace, OP_RESIZE, file), (uint64_t)size);
    leave(entered);
    return result;
}

/* A sync that fails leaves clean pages that the disk does not have: no later sync sees to them. */
static void record_failed_sync(int descriptor) {
    bool entered = enter();
    int file = file_of(descriptor);
    if (entered && file >= 0) {
        uint64_t covers = recorder.trace->count;
        trace_add(recorder.trace, OP_FAILED_SYNC, file)->covers = covers;
    }
    leave(entered);
}

int fdatasync(int descriptor) {
    int error = fault(CALL_FDATASYNC, CALLER);
    if (error != 0) {
        record_failed_sync(descriptor);
        errno = error;
        return -1;
    }
    return record_sync(REAL(fdatasync), descriptor);
}

int fsync(int descriptor) {
    REFUSE(CALL_FSYNC, -1);
    return record_sync(REAL(fsync), descriptor);
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    REFUSE(CALL_RENAMEAT, -1);
    bool entered = enter();
    int result = REAL(renameat)(from_at, from, to_at, to), at = entered ? named_file(from) : -1;
    if (entered && result == 0 && file_of(from_at) == THE_DIRECTORY && at >= 0) {
        operation_t *operation = trace_add(recorder.trace, OP_RENAME, recorder.names[at].file);
        snprintf(operation->name, sizeof operation->name, "%s", from);
        snprintf(operation->to, sizeof operation->to, "%s", to);
        unname_file(from);
        name_file(to, operation->file);
    }
    leave(entered);
    return result;
}

int unlinkat(int at, const char *name, int flags) {
    REFUSE(CALL_UNLINKAT, -1);
    bool entered = enter();
    int result = REAL(unlinkat)(at, name, flags), named = entered ? named_file(name) : -1;
    if (entered && result == 0 && file_of(at) == THE_DIRECTORY && named >= 0) {
        operation_t *operation = trace_add(recorder.trace, OP_REMOVE, recorder.names[named].file);
        snprintf(operation->name, sizeof operation->name, "%s", name);
        unname_file(name);
    }
    leave(entered);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    REFUSE(CALL_MKDIR, -1);
    bool entered = enter();
    int result = REAL(mkdir)(path, mode);
    if (entered && result == 0 && strcmp(path, recorder.directory) == 0)
        trace_add(recorder.trace, OP_MAKE_DIRECTORY, -1);
    leave(entered);
    return result;
}

/* ---- The others, which can only fail --------------------------------------------------------- */

int fstat(int descriptor, struct stat *status) {
    REFUSE(CALL_FSTAT, -1);
    return REAL(fstat)(descriptor, status);
}

int fstatat(int at, const char *path, struct stat *status, int flags) {
    REFUSE(CALL_FSTATAT, -1);
    return REAL(fstatat)(at, path, status, flags);
}

ssize_t pread(int descriptor, void *bytes, size_t size, off_t offset) {
    int error = fault(CALL_PREAD, CALLER);
    if (error > 0) {
        errno = error;
        return -1;
    }
    return REAL(pread)(descriptor, bytes, error == SHORT && size > 1 ? size / 2 : size, offset);
}

off_t lseek(int descriptor, off_t offset, int whence) {
    REFUSE(CALL_LSEEK, -1);
    return REAL(lseek)(descriptor, offset, whence);
}

int flock(int descriptor, int operation) {
    REFUSE(CALL_FLOCK, -1);
    return REAL(flock)(descriptor, operation);
}

void *mmap(void *at, size_t length, int protection, int flags, int descriptor, off_t offset) {
    REFUSE(CALL_MMAP, MAP_FAILED);
    return REAL(mmap)(at, length, protection, flags, descriptor, offset);
}

DIR *fdopendir(int descriptor) {
    REFUSE(CALL_FDOPENDIR, NULL);
    return REAL(fdopendir)(descriptor);
}

struct dirent *readdir(DIR *directory) {
    REFUSE(CALL_READDIR, NULL);
    return REAL(readdir)(directory);
}

ssize_t getrandom(void *bytes, size_t size, unsigned flags) {
    REFUSE(CALL_GETRANDOM, -1);
    return REAL(getrandom)(bytes, size, flags);
}

int eventfd(unsigned value, int flags) {
    REFUSE(CALL_EVENTFD, -1);
    return REAL(eventfd)(value, flags);
}

int inotify_init1(int flags) {
    REFUSE(CALL_INOTIFY_INIT, -1);
    return REAL(inotify_init1)(flags);
}

int inotify_add_watch(int descriptor, const char *path, uint32_t mask) {
    REFUSE(CALL_INOTIFY_ADD, -1);
    return REAL(inotify_add_watch)(descriptor, path, mask);
}

/* The functions of threads return their error. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *ctx) {
    int error = fault(CALL_THREAD, CALLER);
    return error ? error : REAL(pthread_create)(thread, attributes, body, ctx);
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    int error = fault(CALL_MUTEX, CALLER);
    return error ? error : REAL(pthread_mutex_init)(mutex, attributes);
}

int pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes) {
    int error = fault(CALL_CONDITION, CALLER);
    return error ? error : REAL(pthread_cond_init)(condition, attributes);
}

int pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes) {
    int error = fault(CALL_RWLOCK, CALLER);
    return error ? error : REAL(pthread_rwlock_init)(lock, attributes);
}

/* dlsym itself needs memory. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
    REFUSE(CALL_MALLOC, NULL);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    REFUSE(CALL_CALLOC, NULL);
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    REFUSE(CALL_REALLOC, NULL);
    return __libc_realloc(memory, size);
}

/* With a small alignment it makes Swift's own objects, which are exempt: Swift ends the process where it gets no memory. */
int posix_memalign(void **memory, size_t alignment, size_t size) {
    int error = alignment < 64 ? 0 : fault(CALL_MEMALIGN, CALLER);
    if (error == 0 && (*memory = __libc_memalign(alignment, size)) == NULL)
        error = ENOMEM;
    return error;
}

char *strdup(const char *text) {
    REFUSE(CALL_STRDUP, NULL);
    char *copy = __libc_malloc(strlen(text) + 1);
    return copy ? strcpy(copy, text) : NULL;
}

/* zlib, for want of memory. */
int deflateInit_(z_streamp stream, int level, const char *version, int size) {
    REFUSE(CALL_DEFLATE, Z_MEM_ERROR);
    return REAL(deflateInit_)(stream, level, version, size);
}

int inflateInit_(z_streamp stream, const char *version, int size) {
    REFUSE(CALL_INFLATE, Z_MEM_ERROR);
    return REAL(inflateInit_)(stream, version, size);
}

int inflate(z_streamp stream, int flush) {
    REFUSE(CALL_INFLATING, Z_MEM_ERROR);
    return REAL(inflate)(stream, flush);
}

#endif /* INTERPOSE_H */
