/* floor.c - no engine: what the machine itself takes for the same work
 *
 * A frame is a header of 32 bytes with a checksum of the payload, and the payload padded to 8 bytes, at a place that follows from its index.
 * There is one file, whose space is there before it is needed, and no rotation, no metadata, no recovery, no threads that share.
 *
 *   append buffered   checksum and copy in one pass into 64 KiB, pwrite when they are full
 *   append to the OS  the same, and one pwrite an entry
 *   append mapped     the same, stored into a mapped file whose pages are present and dirty
 *   append durable    naive group commit: frames gather in a buffer under a mutex, one thread writes and syncs them, the others sleep.
 *                     With one thread that is pwrite and fdatasync
 *   asynchronous      two buffers: one thread fills the one while another writes and syncs the other
 *   read              checksum (or two words) of a mapped file
 *   open              open and map; after a kill, one pass over the file with checksums
 *   truncate          one synced write of 4 KiB
 */
#define _GNU_SOURCE
#include "../engine.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "walrus_crc32.h"

enum { HEADER = 32, BUFFER = 64 << 10, GROUP = 8 << 20, LARGEST = 1 << 20 };

struct buffer {
    unsigned char *bytes;
    size_t used;
    uint64_t last; /* number of the last frame in it */
};

struct floor {
    int file;
    enum promise promise;
    bool verify;
    size_t frame;
    off_t at, space;
    unsigned char *map;
    size_t mapped;
    struct buffer buffers[2]; /* [filling] is being filled; the other one is being written, or empty */
    int filling;
    uint64_t appended, durable;
    bool writing, ending, has_thread;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

static size_t frame_size(size_t size) { return HEADER + ((size + 7) & ~(size_t)7); }

static size_t put(unsigned char *to, const void *data, size_t size) {
    uint32_t header[2] = {wp_crc32_copy(0, to + HEADER, data, size), (uint32_t)size};
    memcpy(to, header, sizeof header);
    return frame_size(size);
}

static void write_out(struct floor *f, const void *bytes, size_t size) {
    if (f->at + (off_t)size > f->space) f->at = 0;
    if (pwrite(f->file, bytes, size, f->at) != (ssize_t)size) fail("pwrite");
    f->at += (off_t)size;
}

static void map_file(struct floor *f, bool for_stores) {
    f->mapped = (size_t)f->space;
    f->map = mmap(NULL, f->mapped, PROT_READ | (for_stores ? PROT_WRITE : 0), MAP_SHARED, f->file, 0);
    if (f->map == MAP_FAILED) fail("mmap");
    for (size_t at = 0; for_stores && at < f->mapped; at += 4096) f->map[at] = 1;
}

static bool intact(const unsigned char *frame) {
    uint32_t header[2];
    memcpy(header, frame, sizeof header);
    return wp_crc32(0, frame + HEADER, header[1]) == header[0];
}

static void *floor_open(const char *dir, const struct settings *settings) {
    char path[4096];
    struct stat status;
    snprintf(path, sizeof path, "%s/floor", dir);
    struct floor *f = calloc(1, sizeof *f);
    if (f == NULL) fail("no memory");
    f->promise = settings->promise, f->verify = settings->verify, f->frame = frame_size(settings->size);
    f->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->file < 0 || fstat(f->file, &status) != 0) fail("%s cannot be opened", path);
    f->space = status.st_size;
    if (f->space > 0) { /* written before: to be read */
        map_file(f, false);
        for (uint64_t i = 0; argument("recover", 0) != 0 && i < settings->entries; i++)
            if (!intact(f->map + i * f->frame)) fail("frame %llu is torn", (unsigned long long)i + 1);
        return f;
    }
    f->space = settings->entries > 0 ? (off_t)((settings->entries + 1) * f->frame) : 256 << 20;
    if (fallocate(f->file, 0, 0, f->space) != 0 || fsync(f->file) != 0) fail("fallocate");
    if (f->promise == MAPPED) map_file(f, true);
    bool group = f->promise == DURABLE;
    for (int i = 0; i < (group ? 2 : 1); i++) {
        f->buffers[i].bytes = malloc((group ? GROUP : BUFFER) + LARGEST);
        if (f->buffers[i].bytes == NULL) fail("no memory");
    }
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    return f;
}

static void flush(struct floor *f) {
    struct buffer *buffer = &f->buffers[f->filling];
    if (buffer->used > 0) write_out(f, buffer->bytes, buffer->used);
    buffer->used = 0;
}

/* Writes and syncs what has gathered; called and returns with the mutex held, f->writing being the caller's. */
static void commit(struct floor *f) {
    struct buffer *buffer = &f->buffers[f->filling];
    f->filling = !f->filling;
    buffer->last = f->appended;
    pthread_mutex_unlock(&f->mutex);
    write_out(f, buffer->bytes, buffer->used);
    if (fdatasync(f->file) != 0) fail("fdatasync");
    pthread_mutex_lock(&f->mutex);
    buffer->used = 0;
    f->durable = buffer->last;
    f->writing = false;
    pthread_cond_broadcast(&f->changed);
}

static void gather(struct floor *f, const void *data, size_t size) {
    struct buffer *buffer = &f->buffers[f->filling];
    if (buffer->used + frame_size(size) > GROUP + LARGEST) fail("the group does not fit");
    buffer->used += put(buffer->bytes + buffer->used, data, size);
    f->appended++;
}

static void append_group(struct floor *f, const struct slice *entries, size_t count) {
    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < count; i++) gather(f, entries[i].data, entries[i].size);
    uint64_t mine = f->appended;
    while (f->durable < mine) {
        if (f->writing) {
            pthread_cond_wait(&f->changed, &f->mutex);
        } else {
            f->writing = true;
            commit(f);
        }
    }
    pthread_mutex_unlock(&f->mutex);
}

static void append_one(struct floor *f, const void *data, size_t size) {
    if (f->promise == MAPPED) {
        f->at += (off_t)put(f->map + f->at, data, size);
        return;
    }
    struct buffer *buffer = &f->buffers[0];
    buffer->used += put(buffer->bytes + buffer->used, data, size);
    if (f->promise == TO_OS || buffer->used >= BUFFER) flush(f);
}

static void floor_append(void *log, const void *data, size_t size) {
    struct floor *f = log;
    if (f->promise == DURABLE) append_group(f, &(struct slice){data, size}, 1);
    else append_one(f, data, size);
}

static void floor_append_batch(void *log, const struct slice *entries, size_t count) {
    struct floor *f = log;
    if (f->promise == DURABLE) {
        append_group(f, entries, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct buffer *buffer = &f->buffers[0];
        buffer->used += put(buffer->bytes + buffer->used, entries[i].data, entries[i].size);
        if (buffer->used >= BUFFER) flush(f);
    }
    if (f->promise != BUFFERED) flush(f);
}

static void *commit_all(void *log) {
    struct floor *f = log;
    pthread_mutex_lock(&f->mutex);
    while (!f->ending || f->durable < f->appended) {
        if (f->durable < f->appended) commit(f);
        else pthread_cond_wait(&f->changed, &f->mutex);
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

static void floor_append_async(void *log, const void *data, size_t size) {
    struct floor *f = log;
    if (!f->has_thread) f->has_thread = pthread_create(&f->thread, NULL, commit_all, f) == 0;
    pthread_mutex_lock(&f->mutex);
    while (f->buffers[f->filling].used >= GROUP) pthread_cond_wait(&f->changed, &f->mutex);
    bool first = f->durable == f->appended;
    gather(f, data, size);
    if (first) pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
}

static void floor_wait_async(void *log) {
    struct floor *f = log;
    pthread_mutex_lock(&f->mutex);
    f->ending = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    pthread_join(f->thread, NULL);
}

static void floor_sync(void *log) {
    struct floor *f = log;
    flush(f);
    if (fdatasync(f->file) != 0) fail("fdatasync");
}

static void floor_close(void *log) {
    struct floor *f = log;
    if (f->buffers[0].bytes != NULL) flush(f);
    if (f->map != NULL) munmap(f->map, f->mapped);
    for (int i = 0; i < 2; i++) free(f->buffers[i].bytes);
    close(f->file);
    free(f);
}

static void floor_get(void *log, uint64_t index, visit_fn visit, void *ctx) {
    struct floor *f = log;
    const unsigned char *frame = f->map + (index - 1) * f->frame;
    uint32_t size;
    if (f->verify && !intact(frame)) fail("frame %llu is damaged", (unsigned long long)index);
    memcpy(&size, frame + 4, 4);
    visit(ctx, frame + HEADER, size);
}

static void floor_scan(void *log, uint64_t first, uint64_t last, visit_fn visit, void *ctx) {
    for (uint64_t i = first; i <= last; i++) floor_get(log, i, visit, ctx);
}

static void floor_truncate(void *log, uint64_t index) {
    struct floor *f = log;
    (void)index; /* the least that a durable cut takes; that the first frames are lost matters to nobody */
    static unsigned char block[4096];
    if (pwrite(f->file, block, sizeof block, 0) < 0 || fdatasync(f->file) != 0) fail("cut");
}

static const char *floor_version(void) { return wp_crc32_kernel(); }

const struct engine engine = {
    .name = "floor", .version = floor_version, .open = floor_open, .close = floor_close, .sync = floor_sync,
    .append = floor_append, .append_batch = floor_append_batch, .append_async = floor_append_async,
    .wait_async = floor_wait_async, .get = floor_get, .scan = floor_scan, .truncate_back = floor_truncate,
    .truncate_front = floor_truncate,
};
