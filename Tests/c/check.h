/* check.h - the smallest harness that tests of a write-ahead log need
 *
 * A case is a claim, and its name says which:
 *
 *     CASE(an_empty_log_has_no_first_index) { ... CHECK_U64(0, walrus_first_index(log)); ... }
 *
 * Each case runs in a process of its own, so that a crash, a leak, a changed resource limit or a lock that is
 * still held ends with the case that made it, and the ones after it are judged for themselves. The parent keeps no
 * log open, gives each case a fresh directory, removes it whatever happened, and kills what the case left running.
 *
 * The first check that fails ends its case, unless the case began with CHECK_KEEP_GOING(), as tables do. A failure
 * prints where it was, what the library said (walrus_last_error), and the note that the case set last with
 * CHECK_NOTE, which is also how a case that was killed tells how far it had come.
 *
 * Arguments of a test program: the part of a name; only cases that contain it are run. WALRUS_TEST_INLINE=1 runs them
 * without a process of their own, for a debugger; WALRUS_TEST_FIRST=1 ends them at the first failure.
 *
 * CHECK_IS_FUZZED, defined before this file is included: for the fuzz targets, which have a main and directories of their own, and whose
 * failed checks are crashes.
 */
#ifndef CHECK_H
#define CHECK_H

#include <walrus.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHECK_SKIPPED = 77, CHECK_SECONDS_PER_CASE = 100, CHECK_FAILURES_SHOWN = 20 };

typedef struct check_case {
    const char *name;
    void (*run)(void);
    struct check_case *next;
} check_case_t;

/* Shared with the case's process and its children, so that what they noted outlives them. */
typedef struct check_shared {
    char note[512];
    int failures;
} check_shared_t;

static check_case_t *check_first_case;
static check_case_t **check_next_case = &check_first_case;
static const char *check_case_name = "";
static const char *check_program = "";
static check_shared_t *check_shared;
static int check_shared_fd;
static bool check_keep_going;
static char check_directory[1024];        /* the case's own, removed at its end                     */
static char check_memory_directory[1100]; /* another one, in memory where the system has such a place */

#define CASE(name)                                                                                                     \
    static void name(void);                                                                                            \
    static check_case_t check_case_##name = {#name, name, NULL};                                                       \
    __attribute__((constructor)) static void check_register_##name(void) {                                             \
        *check_next_case = &check_case_##name;                                                                         \
        check_next_case = &check_case_##name.next;                                                                     \
    }                                                                                                                  \
    static void name(void)

/* Sanitizers need address space without bounds, and make everything slower. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CHECK_IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHECK_IS_SANITIZED 1
#endif
#ifndef CHECK_IS_SANITIZED
#define CHECK_IS_SANITIZED 0
#endif

/* ---- Names ---------------------------------------------------------------------------------- */

/* The code's name alone. Not walrus_strerror's work: that is under test, too. */
static inline const char *check_code_name(int64_t code) {
    static const char *const names[] = {
        "OK",        "INVALID",     "NOT_FOUND", "COMPACTED", "OUT_OF_ORDER", "TOO_LARGE",   "TOO_SMALL", "EXISTS",
        "NO_LOG",    "NOT_A_LOG",   "VERSION",   "FORMAT",    "LOCKED",       "READ_ONLY",   "IO",        "NO_SPACE",
        "NO_MEMORY", "CORRUPT",     "TORN",      "POISONED",  "CLOSED",       "TIMEOUT",     "CANCELED",  "CAUGHT_UP",
        "TXN_STATE", "TXN_EXPIRED", "TXN_FULL",  "FORKED",    "BUSY",         "UNSUPPORTED", "INTERNAL"};
    if (code > 0 || code <= -(int64_t)(sizeof names / sizeof names[0]))
        return "(no code)";
    return names[-code];
}

/* ---- Failing -------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static inline void check_failed(const char *file, int line, const char *format,
                                                                      ...) {
    int failures = __atomic_add_fetch(&check_shared->failures, 1, __ATOMIC_RELAXED);
    if (failures <= CHECK_FAILURES_SHOWN) {
        const char *base = strrchr(file, '/');
        char text[2048];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        walrus_error_t error = {.struct_size = sizeof error};
        fflush(stdout);
        fprintf(stderr, "%s:%d: %s: %s\n", base ? base + 1 : file, line, check_case_name, text);
        if (check_shared->note[0])
            fprintf(stderr, "    note: %s\n", check_shared->note);
        if (walrus_last_error(&error) != WALRUS_OK)
            fprintf(stderr, "    walrus_last_error itself failed\n");
        else if (error.code != WALRUS_OK)
            fprintf(stderr,
                    "    walrus_last_error: %s (%" PRId32 "), errno %" PRId32 ", index %" PRIu64 ", offset %" PRIu64
                    ", path \"%s\": %s\n",
                    check_code_name(error.code), error.code, error.os_errno, error.index, error.offset, error.path,
                    error.message);
        if (failures == CHECK_FAILURES_SHOWN)
            fprintf(stderr, "    (this case's further failures are not shown)\n");
        fflush(stderr);
    }
#ifdef CHECK_IS_FUZZED
    abort();
#endif
    if (!check_keep_going)
        _exit(1);
}

/* From here on, a check that fails is counted and the case goes on. For tables, whose rows stand alone. */
#define CHECK_KEEP_GOING() ((void)(check_keep_going = true))

/* What the case is at: printed with a failure, and when the case dies. */
#define CHECK_NOTE(...) ((void)snprintf(check_shared->note, sizeof check_shared->note, __VA_ARGS__))

/* Ends the case as neither passed nor failed, and says why. */
#define SKIP(...)                                                                                                      \
    do {                                                                                                               \
        printf("skip  %s: ", check_case_name);                                                                         \
        printf(__VA_ARGS__);                                                                                           \
        printf("\n");                                                                                                  \
        fflush(stdout);                                                                                                \
        _exit(CHECK_SKIPPED);                                                                                          \
    } while (0)

#define FAIL(...) check_failed(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            check_failed(__FILE__, __LINE__, "not so: %s", #condition);                                                \
    } while (0)

#define CHECK_CODE(expected, call)                                                                                     \
    do {                                                                                                               \
        int64_t check_expected = (expected), check_actual = (call);                                                    \
        if (check_expected != check_actual)                                                                            \
            check_failed(__FILE__, __LINE__, "%s answered %s (%" PRId64 "), not %s", #call,                            \
                         check_code_name(check_actual), check_actual, check_code_name(check_expected));                \
    } while (0)

#define CHECK_OK(call) CHECK_CODE(WALRUS_OK, call)

#define CHECK_U64(expected, actual)                                                                                    \
    do {                                                                                                               \
        uint64_t check_expected = (uint64_t)(expected), check_actual = (uint64_t)(actual);                             \
        if (check_expected != check_actual)                                                                            \
            check_failed(__FILE__, __LINE__, "%s is %" PRIu64 ", not %" PRIu64, #actual, check_actual,                 \
                         check_expected);                                                                              \
    } while (0)

#define CHECK_TEXT(expected, actual)                                                                                   \
    do {                                                                                                               \
        const char *check_expected = (expected), *check_actual = (actual);                                             \
        if (check_actual == NULL || strcmp(check_expected, check_actual) != 0)                                         \
            check_failed(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #actual,                                      \
                         check_actual ? check_actual : "(NULL)", check_expected);                                      \
    } while (0)

#define CHECK_BYTES(expected, expected_size, actual, actual_size)                                                      \
    check_bytes(__FILE__, __LINE__, expected, expected_size, actual, actual_size)

static inline void check_bytes(const char *file, int line, const void *expected, size_t expected_size,
                               const void *actual, size_t actual_size) {
    if (expected_size != actual_size) {
        check_failed(file, line, "%zu bytes where %zu were expected", actual_size, expected_size);
        return;
    }
    if (expected_size == 0 || memcmp(expected, actual, expected_size) == 0)
        return;
    size_t at = 0;
    while (((const unsigned char *)expected)[at] == ((const unsigned char *)actual)[at])
        at++;
    check_failed(file, line, "the bytes differ from offset %zu of %zu on", at, expected_size);
}

/* ---- Running -------------------------------------------------------------------------------- */

static inline void check_remove_tree(int parent, const char *name) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return;
    fchmodat(parent, name, 0700, 0);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            check_remove_tree(fd, entry->d_name);
    closedir(directory);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static inline void check_make_directory(char *path, size_t capacity, const char *parent) {
    int length = snprintf(path, capacity, "%s/walrus-test-XXXXXX", parent);
    if (length < 0 || (size_t)length >= capacity || mkdtemp(path) == NULL) {
        fprintf(stderr, "no temporary directory in %s: %s\n", parent, strerror(errno));
        exit(2);
    }
}

static inline double check_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of the address sanitizer, where it is linked in: a case ends with _exit, which does not look for leaks. */
__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

static inline void check_run_in_this_process(const check_case_t *test) {
    test->run();
    fflush(stdout);
    fflush(stderr);
    if (__lsan_do_recoverable_leak_check == NULL)
        return;
    /* A case that became somebody else, or that may not open files, could not be looked at. */
    if (geteuid() != getuid() && seteuid(getuid()) == 0)
        prctl(PR_SET_DUMPABLE, 1);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    __lsan_do_recoverable_leak_check(); /* whose leak it is, the report tells */
}

/* In the case's own process. */
static inline void check_run_and_exit(const check_case_t *test) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(CHECK_SECONDS_PER_CASE);
    check_run_in_this_process(test);
    _exit(check_shared->failures == 0 ? 0 : 1);
}

/* A process from scratch instead of a fork, for the ordinary Swift runtime that the sanitizers need: its locks remember the thread
 * that they were used in before the fork, and spin for ever in a child that has two threads. */
static inline void check_exec(const check_case_t *test) {
    char fd[16];
    snprintf(fd, sizeof fd, "%d", check_shared_fd);
    setenv("WALRUS_TEST_CASE", test->name, 1);
    setenv("WALRUS_TEST_SHARED", fd, 1);
    setenv("WALRUS_TEST_DIRECTORY", check_directory, 1);
    setenv("WALRUS_TEST_MEMORY_DIRECTORY", check_memory_directory, 1);
    execl("/proc/self/exe", check_program, (char *)NULL);
    _exit(126);
}

/* The other side of it. */
static inline void check_be_exec(const char *name) {
    snprintf(check_directory, sizeof check_directory, "%s", getenv("WALRUS_TEST_DIRECTORY"));
    snprintf(check_memory_directory, sizeof check_memory_directory, "%s", getenv("WALRUS_TEST_MEMORY_DIRECTORY"));
    for (const check_case_t *test = check_first_case; test != NULL; test = test->next)
        if (strcmp(test->name, name) == 0) {
            check_case_name = test->name;
            check_run_and_exit(test);
        }
    _exit(126);
}

/* Whether the case passed: 1, failed: 0, was skipped: -1. */
static inline int check_run(const check_case_t *test) {
    const char *temporary = getenv("TMPDIR");
    check_case_name = test->name;
    check_keep_going = false;
    memset(check_shared, 0, sizeof *check_shared);
    check_make_directory(check_directory, sizeof check_directory,
                         temporary != NULL && temporary[0] != 0 ? temporary : "/tmp");
    check_make_directory(check_memory_directory, sizeof check_memory_directory,
                         access("/dev/shm", W_OK) == 0 ? "/dev/shm" : check_directory);
    double began = check_now_s();
    int status = 0, result = 0;
    const char *inline_run = getenv("WALRUS_TEST_INLINE");
    if (inline_run != NULL && strcmp(inline_run, "1") == 0) {
        check_run_in_this_process(test);
        result = check_shared->failures == 0;
    } else {
        fflush(stdout);
        fflush(stderr);
        pid_t child = fork();
        if (child < 0) {
            perror("fork");
            exit(2);
        }
        if (child == 0) {
            if (CHECK_IS_SANITIZED)
                check_exec(test);
            check_run_and_exit(test);
        }
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            continue;
        kill(-child, SIGKILL); /* whatever the case started and left: its process group only */
        if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIPPED)
            result = -1;
        else if (WIFEXITED(status))
            result = WEXITSTATUS(status) == 0 && check_shared->failures == 0;
        else {
            int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
            fprintf(stderr, "%s: ended by signal %d (%s)\n    note: %s\n", test->name, number,
                    number == SIGALRM ? "it took too long" : strsignal(number),
                    check_shared->note[0] ? check_shared->note : "none");
        }
    }
    check_remove_tree(AT_FDCWD, check_memory_directory);
    check_remove_tree(AT_FDCWD, check_directory);
    if (result >= 0)
        printf("%s  %s (%.0f ms)\n", result ? "ok  " : "FAIL", test->name, (check_now_s() - began) * 1000);
    fflush(stdout);
    return result;
}

#ifndef CHECK_IS_FUZZED
int main(int argc, char **argv) {
    const char *name = strrchr(argv[0], '/'), *only = getenv("WALRUS_TEST_CASE"), *shared = getenv("WALRUS_TEST_SHARED");
    name = name ? name + 1 : argv[0];
    check_program = argv[0];
    int passed = 0, failed = 0;
    check_shared_fd = only && shared ? atoi(shared) : memfd_create("walrus-test", 0);
    if (check_shared_fd < 0 || ftruncate(check_shared_fd, sizeof *check_shared) != 0) {
        perror("memfd_create");
        return 2;
    }
    check_shared = mmap(NULL, sizeof *check_shared, PROT_READ | PROT_WRITE, MAP_SHARED, check_shared_fd, 0);
    if (check_shared == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    if (only != NULL)
        check_be_exec(only);
    for (check_case_t *test = check_first_case; test != NULL; test = test->next) {
        if (argc > 1 && strstr(test->name, argv[1]) == NULL)
            continue;
        int result = check_run(test);
        passed += result == 1;
        failed += result == 0;
        if (failed > 0 && getenv("WALRUS_TEST_FIRST") != NULL)
            break;
    }
    printf("%s: %d passed, %d failed\n", name, passed, failed);
    return failed == 0 ? 0 : 1;
}
#endif

#endif /* CHECK_H */
