/* events.c - an event loop that appends without waiting, and tells what is durable
 *
 *     events LOGDIR < LINES             append every line; write "durable N" for each, once it is
 *     events --resume LOGDIR < LINES    the same, from where it stopped: the input begins with the lines that
 *                                       the log has already, so they are skipped
 *
 * One thread, one epoll: on the standard input (a file, a pipe, a FIFO, a terminal), on the log's own descriptor,
 * which is readable when more has become durable, and on SIGINT and SIGTERM, after which nothing more is read, but
 * whatever was appended is seen through. A second signal ends the program at once, as kill -9 does: nothing that
 * was reported is lost, and the next run says how far the log goes.
 *
 * walrus_append_async puts an entry into the log and leaves the disk to a thread of the library: lines that come
 * quickly share a sync. No callback is used, so nothing here has to be safe for other threads.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <walrus.h>

/* This many appends may wait for the disk; then the loop stops reading, and the pipe makes its writer wait. The
 * library's own limit, async_max_bytes, would make the loop itself wait. */
enum { MAX_PENDING = 4096, READ_SIZE = 64 * 1024 };

struct loop {
    walrus_t *log;
    int epoll, signals, notify;
    uint64_t skip;     /* lines of the input that the log has already */
    uint64_t appended; /* the index of the last append */
    uint64_t reported; /* up to here "durable" was written */
    char *line;        /* what was read of a line that has not ended yet */
    size_t size, capacity;
    int reading;       /* the input is being watched */
    int is_file;       /* it is a file, which is always readable and which epoll does not take */
    int ended;         /* by its end, a signal, or a failure */
    int failed;
    int lost;          /* no more will become durable, or can be told */
};

static int complain(struct loop *loop, const char *what)
{
    fprintf(stderr, "events: %s: %s\n", what, strerror(errno));
    loop->failed = loop->ended = 1;
    return -1;
}

static int complain_of_log(struct loop *loop)
{
    walrus_error_t error = {.struct_size = sizeof error};
    walrus_last_error(&error);
    fprintf(stderr, "events: %s\n", error.message);
    loop->failed = loop->ended = 1;
    return -1;
}

/* ---- Lines */

static int append(struct loop *loop, const char *line, size_t size)
{
    walrus_record_t record = {.data = line, .size = size};
    if (loop->skip > 0) {
        loop->skip--;
        return 0;
    }
    if (walrus_append_async(loop->log, &record, 0, NULL, NULL, &loop->appended) != WALRUS_OK)
        return complain_of_log(loop);
    return 0;
}

/* Keeps the bytes of a line whose end has not been read. */
static int keep(struct loop *loop, const char *bytes, size_t size)
{
    if (size > loop->capacity - loop->size) {
        size_t capacity = (loop->size + size) * 2;
        char *larger = realloc(loop->line, capacity);
        if (larger == NULL) return complain(loop, "a line");
        loop->line = larger;
        loop->capacity = capacity;
    }
    if (size > 0) memcpy(loop->line + loop->size, bytes, size);
    loop->size += size;
    return 0;
}

static int take(struct loop *loop, const char *bytes, size_t size)
{
    const char *end;
    for (; size > 0 && (end = memchr(bytes, '\n', size)) != NULL; size -= (size_t)(end + 1 - bytes), bytes = end + 1) {
        int status;
        if (loop->size == 0) {
            status = append(loop, bytes, (size_t)(end - bytes));
        } else {
            status = keep(loop, bytes, (size_t)(end - bytes));
            if (status == 0) status = append(loop, loop->line, loop->size);
            loop->size = 0;
        }
        if (status != 0) return status;
    }
    return keep(loop, bytes, size);
}

static void read_input(struct loop *loop)
{
    static char buffer[READ_SIZE];
    ssize_t size = read(STDIN_FILENO, buffer, sizeof buffer);
    if (size > 0) {
        take(loop, buffer, (size_t)size);
    } else if (size == 0) {
        if (loop->size > 0) append(loop, loop->line, loop->size); /* a last line without a newline */
        loop->ended = 1;
    } else if (errno != EINTR && errno != EAGAIN) {
        complain(loop, "the standard input");
    }
}

/* ---- What is durable */

/* After a failed sync the durable index stands still for ever; asked without a wait, the log says so. */
static void look_for_failure(struct loop *loop)
{
    int32_t status = walrus_wait_durable(loop->log, loop->appended, 0);
    if (status == WALRUS_OK || status == WALRUS_E_TIMEOUT) return;
    complain_of_log(loop);
    loop->lost = 1;
}

/* Reading the descriptor clears it, and whatever happened meanwhile counts as one: so all that is durable is told, and
 * a failure is looked for each time. */
static void report(struct loop *loop)
{
    uint64_t count, durable;
    if (read(loop->notify, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
        complain(loop, "the log's descriptor");
    durable = walrus_durable_index(loop->log);
    while (loop->reported < durable)
        printf("durable %" PRIu64 "\n", ++loop->reported);
    if (fflush(stdout) != 0) {
        complain(loop, "the standard output");
        loop->lost = 1;
    } else if (loop->reported < loop->appended) {
        look_for_failure(loop);
    }
}

/* ---- The loop */

static int watch(struct loop *loop, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* The input is watched while there is room for more, and not otherwise: it would wake the loop again and again. */
static void watch_input(struct loop *loop)
{
    int wanted = !loop->ended && loop->appended < loop->reported + MAX_PENDING;
    if (wanted == loop->reading) return;
    loop->reading = wanted;
    if (loop->is_file) return;
    if (!wanted) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    } else if (watch(loop, STDIN_FILENO) != 0) {
        if (errno == EPERM)
            loop->is_file = 1;
        else
            complain(loop, "the standard input");
    }
}

static void stop(struct loop *loop)
{
    struct signalfd_siginfo info;
    if (read(loop->signals, &info, sizeof info) != (ssize_t)sizeof info) return;
    if (loop->ended) _exit(128 + (int)info.ssi_signo);
    fprintf(stderr, "events: stopping at %" PRIu64 "\n", loop->appended);
    loop->ended = 1;
}

static void run(struct loop *loop)
{
    for (watch_input(loop); !loop->lost && (!loop->ended || loop->reported < loop->appended); watch_input(loop)) {
        struct epoll_event events[3];
        int count = epoll_wait(loop->epoll, events, 3, loop->reading && loop->is_file ? 0 : -1);
        if (count < 0 && errno != EINTR) {
            complain(loop, "epoll_wait");
            return;
        }
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == loop->signals) stop(loop);
            if (events[i].data.fd == loop->notify) report(loop);
            if (events[i].data.fd == STDIN_FILENO && !loop->ended) read_input(loop);
        }
        if (loop->reading && loop->is_file && !loop->ended) read_input(loop);
    }
}

static int prepare(struct loop *loop, const char *directory, int resume)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error of fflush */
    /* Before the log is opened: its threads inherit the mask, so none of them takes the signals. */
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0) return complain(loop, "sigprocmask");
    loop->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signals < 0) return complain(loop, "signalfd");
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) return complain(loop, "epoll_create1");

    if (walrus_open(directory, NULL, &loop->log) != WALRUS_OK) return complain_of_log(loop);
    /* What a killed run left in the log may not be durable yet. */
    if (walrus_sync(loop->log) != WALRUS_OK) return complain_of_log(loop);
    if (walrus_notify_fd(loop->log, &loop->notify) != WALRUS_OK) return complain_of_log(loop);
    loop->appended = loop->reported = walrus_next_index(loop->log) - 1;
    if (resume) loop->skip = loop->appended;
    if (loop->appended > 0) fprintf(stderr, "events: entries up to %" PRIu64 " are durable\n", loop->appended);
    if (watch(loop, loop->signals) != 0 || watch(loop, loop->notify) != 0) return complain(loop, "epoll_ctl");
    return 0;
}

int main(int count, char **arguments)
{
    struct loop loop = {.epoll = -1, .signals = -1, .notify = -1};
    int resume = count == 3 && strcmp(arguments[1], "--resume") == 0;
    if (count != 2 + resume || arguments[1 + resume][0] == '-') {
        fprintf(stderr, "usage: events [--resume] LOGDIR < LINES\n");
        return 2;
    }
    if (prepare(&loop, arguments[1 + resume], resume) == 0) run(&loop);
    if (loop.skip > 0 && !loop.failed) fprintf(stderr, "events: the input ended before what the log has of it\n");
    if (walrus_close(loop.log) != WALRUS_OK) complain_of_log(&loop);
    if (loop.signals >= 0) close(loop.signals);
    if (loop.epoll >= 0) close(loop.epoll);
    free(loop.line);
    return loop.failed;
}
