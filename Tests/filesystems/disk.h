/* disk.h - a disk that records what a file system does to it, and can be as a power cut left it
 *
 * A process of its own serves a FUSE file system with one file, on which the kernel's loop driver makes a block device. A write
 * to that device arrives here as a write, a flush as an fsync. While it records, both are numbered and kept with their bytes; then the
 * disk can be put into any state in which a power cut could have left it after so many operations: everything before the last flush is
 * there, and of the writes since then what a seed chooses, sector by sector. It can refuse operations, too.
 *
 * Images are tables of counted pages, so that a state costs a copy of the table and no bytes. Orders are written to a second
 * file; the number of recorded operations stands in shared memory, where a journal can stamp what it notes with it.
 */
#ifndef DISK_H
#define DISK_H

#define FUSE_USE_VERSION 31
#include <fuse_lowlevel.h>
#include <linux/falloc.h>

#include "../c/support.h"

enum { PAGE = 4096, DISK_BYTES = 320 << 20, PAGES = DISK_BYTES / PAGE }; /* XFS takes no less than 300 MB */

typedef struct page {
    uint32_t references;
    unsigned char bytes[PAGE];
} page_t;

/* NULL: zeros. */
typedef struct image_table {
    page_t *pages[PAGES];
} image_table_t;

typedef enum { BLOCK_WRITE, BLOCK_ZERO, BLOCK_FLUSH } block_kind_t;

typedef struct block_operation {
    block_kind_t kind;
    uint64_t offset, size;
    unsigned char *bytes; /* of a write */
} block_operation_t;

typedef enum {
    ORDER_KEEP_FRESH, /* the disk as it is now is what ORDER_FRESH brings back                                               */
    ORDER_FRESH,
    ORDER_RECORD,     /* forget what was recorded, and record from here on                                                  */
    ORDER_STOP,       /* record no more                                                                                     */
    ORDER_STATE,      /* the disk is as a power cut left it at that point of the record                                     */
    ORDER_FAIL        /* answer EIO to `count` operations from the `point`-th after this order on; count 0: to none          */
} order_kind_t;

typedef struct order {
    order_kind_t kind;
    uint64_t point, seed, count;
    uint32_t sector; /* what the disk writes as one: 512 or 4096 */
} order_t;

/* What the server tells; shared by all processes of a case. */
typedef struct disk_shared {
    uint64_t operations; /* recorded; in server order, counted before the operation is answered                              */
    uint64_t flushes;    /* among them                                                                                      */
    uint64_t refused;    /* answered with EIO                                                                               */
} disk_shared_t;

static disk_shared_t *disk_shared;

static inline uint64_t operations_now(void) { return __atomic_load_n(&disk_shared->operations, __ATOMIC_SEQ_CST); }

/* ---- In the server -------------------------------------------------------------------------- */

/* Its state, which no other process sees. */
static struct {
    image_table_t *now, *fresh, *base, *stable; /* stable: base and all writes before operation `applied`, which a flush follows */
    size_t applied;
    block_operation_t *operations;
    size_t count, capacity;
    bool is_recording;
    uint64_t fail_from, fail_to, requests;
} disk;

static inline page_t *page_new(void) {
    page_t *page = calloc(1, sizeof *page);
    if (page == NULL)
        _exit(3);
    page->references = 1;
    return page;
}

static inline void page_drop(page_t *page) {
    if (page != NULL && --page->references == 0)
        free(page);
}

static inline image_table_t *table_new(void) {
    image_table_t *table = calloc(1, sizeof *table);
    if (table == NULL)
        _exit(3);
    return table;
}

static inline void table_copy(image_table_t *to, const image_table_t *from) {
    for (size_t i = 0; i < PAGES; i++) {
        if (to->pages[i] == from->pages[i])
            continue;
        page_drop(to->pages[i]);
        to->pages[i] = from->pages[i];
        if (to->pages[i] != NULL)
            to->pages[i]->references++;
    }
}

/* bytes NULL: zeros. */
static inline void table_write(image_table_t *table, uint64_t offset, uint64_t size, const unsigned char *bytes) {
    while (size > 0) {
        uint64_t in_page = offset % PAGE, part = size < PAGE - in_page ? size : PAGE - in_page;
        page_t **place = &table->pages[offset / PAGE];
        bool is_zero = bytes == NULL || is_zeroed(bytes, part);
        if (part == PAGE && is_zero) {
            page_drop(*place);
            *place = NULL;
        } else if (*place != NULL || !is_zero) {
            if (*place == NULL || (*place)->references > 1) {
                page_t *page = page_new();
                if (*place != NULL)
                    memcpy(page->bytes, (*place)->bytes, PAGE);
                page_drop(*place);
                *place = page;
            }
            if (bytes != NULL)
                memcpy((*place)->bytes + in_page, bytes, part);
            else
                memset((*place)->bytes + in_page, 0, part);
        }
        offset += part;
        size -= part;
        bytes = bytes != NULL ? bytes + part : NULL;
    }
}

static inline void table_read(const image_table_t *table, uint64_t offset, uint64_t size, unsigned char *bytes) {
    while (size > 0) {
        uint64_t in_page = offset % PAGE, part = size < PAGE - in_page ? size : PAGE - in_page;
        const page_t *page = table->pages[offset / PAGE];
        if (page != NULL)
            memcpy(bytes, page->bytes + in_page, part);
        else
            memset(bytes, 0, part);
        offset += part;
        size -= part;
        bytes += part;
    }
}

static inline void apply(image_table_t *table, const block_operation_t *operation) {
    if (operation->kind != BLOCK_FLUSH)
        table_write(table, operation->offset, operation->size, operation->bytes);
}

/* A part of it: those sectors that `chance` keeps, each with a probability of `of_16` sixteenths. */
static inline void apply_sectors(image_table_t *table, const block_operation_t *operation, uint32_t sector, uint64_t of_16,
                                 random_source_t *chance) {
    for (uint64_t done = 0, part; operation->kind != BLOCK_FLUSH && done < operation->size; done += part) {
        uint64_t offset = operation->offset + done, to_end = sector - offset % sector;
        part = operation->size - done < to_end ? operation->size - done : to_end;
        if (below(chance, 16) < of_16)
            table_write(table, offset, part, operation->bytes != NULL ? operation->bytes + done : NULL);
    }
}

static inline void forget_operations(void) {
    for (size_t i = 0; i < disk.count; i++)
        free(disk.operations[i].bytes);
    disk.count = 0;
    __atomic_store_n(&disk_shared->operations, 0, __ATOMIC_SEQ_CST);
    disk_shared->flushes = 0;
}

/* Puts the disk into a state of after `point` operations. Points that only grow are the cheapest. */
static inline void become_state(size_t point, uint64_t seed, uint32_t sector) {
    point = point < disk.count ? point : disk.count;
    size_t flushed = point;
    while (flushed > 0 && disk.operations[flushed - 1].kind != BLOCK_FLUSH)
        flushed--;
    if (flushed < disk.applied) {
        table_copy(disk.stable, disk.base);
        disk.applied = 0;
    }
    for (; disk.applied < flushed; disk.applied++)
        apply(disk.stable, &disk.operations[disk.applied]);
    table_copy(disk.now, disk.stable);
    random_source_t chance = {seed};
    uint64_t way = below(&chance, 8), writes = point - flushed, some = below(&chance, writes + 1);
    for (size_t i = 0; i < writes; i++) {
        const block_operation_t *operation = &disk.operations[flushed + i];
        uint64_t of_16 = 0;
        switch (way) {
        case 0: break;                                            /* none of them                  */
        case 1: of_16 = 16; break;                                /* all                           */
        case 2: of_16 = i < some ? 16 : i == some ? 8 : 0; break; /* in order, up to a torn one    */
        case 3: of_16 = i == some ? 0 : 16; break;                /* all but one                   */
        case 4: of_16 = i == some ? 16 : 0; break;                /* that one alone                */
        case 5: of_16 = below(&chance, 2) * 16; break;            /* some, whole                   */
        case 6: of_16 = 8; break;                                 /* of each one half              */
        default: of_16 = below(&chance, 17);                      /* of each one something         */
        }
        apply_sectors(disk.now, operation, sector, of_16, &chance);
    }
}

static inline int obey(const order_t *order) {
    switch (order->kind) {
    case ORDER_KEEP_FRESH: table_copy(disk.fresh, disk.now); break;
    case ORDER_FRESH: table_copy(disk.now, disk.fresh); break;
    case ORDER_RECORD:
        forget_operations();
        table_copy(disk.base, disk.now);
        table_copy(disk.stable, disk.now);
        disk.applied = 0;
        disk.is_recording = true;
        break;
    case ORDER_STOP: disk.is_recording = false; break;
    case ORDER_STATE: become_state(order->point, order->seed, order->sector); break;
    case ORDER_FAIL:
        disk.fail_from = disk.requests + order->point;
        disk.fail_to = disk.fail_from + order->count;
        if (order->count != 0)
            disk_shared->refused = 0;
        break;
    default: return EINVAL;
    }
    return 0;
}

/* A write or a flush has arrived; EIO if it is to be refused. bytes become the record's. */
static inline int take(block_operation_t operation) {
    uint64_t request = disk.requests++;
    bool is_refused = request >= disk.fail_from && request < disk.fail_to;
    if (!is_refused)
        apply(disk.now, &operation);
    if (is_refused || !disk.is_recording) {
        free(operation.bytes);
        if (is_refused)
            __atomic_add_fetch(&disk_shared->refused, 1, __ATOMIC_SEQ_CST);
        return is_refused ? EIO : 0;
    }
    if (disk.count == disk.capacity) {
        disk.capacity = disk.capacity ? disk.capacity * 2 : 1024;
        disk.operations = realloc(disk.operations, disk.capacity * sizeof *disk.operations);
        if (disk.operations == NULL)
            _exit(3);
    }
    disk.operations[disk.count++] = operation;
    disk_shared->flushes += operation.kind == BLOCK_FLUSH;
    __atomic_add_fetch(&disk_shared->operations, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* ---- FUSE ----------------------------------------------------------------------------------- */

enum { INODE_ROOT = FUSE_ROOT_ID, INODE_DISK, INODE_ORDERS };

static void describe_inode(fuse_ino_t inode, struct stat *status) {
    *status = (struct stat){.st_ino = inode, .st_nlink = 1, .st_mode = S_IFREG | 0600};
    if (inode == INODE_ROOT)
        status->st_mode = S_IFDIR | 0700;
    if (inode == INODE_DISK)
        status->st_size = DISK_BYTES;
}

static void serve_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
    (void)parent;
    struct fuse_entry_param entry = {.attr_timeout = 1000, .entry_timeout = 1000};
    entry.ino = strcmp(name, "disk") == 0 ? INODE_DISK : strcmp(name, "orders") == 0 ? INODE_ORDERS : 0;
    if (entry.ino == 0) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    describe_inode(entry.ino, &entry.attr);
    fuse_reply_entry(request, &entry);
}

static void serve_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
    (void)file;
    struct stat status;
    describe_inode(inode, &status);
    fuse_reply_attr(request, &status, 1000);
}

/* Past the page cache: a state must be seen at once. */
static void serve_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
    (void)inode;
    file->direct_io = 1;
    fuse_reply_open(request, file);
}

static void serve_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)file;
    if (inode != INODE_DISK || offset < 0 || offset >= DISK_BYTES)
        size = 0;
    else if (size > (size_t)(DISK_BYTES - offset))
        size = (size_t)(DISK_BYTES - offset);
    unsigned char *bytes = malloc(size + 1);
    if (bytes == NULL)
        _exit(3);
    table_read(disk.now, (uint64_t)offset, size, bytes);
    fuse_reply_buf(request, (char *)bytes, size);
    free(bytes);
}

static void serve_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)file;
    int error = EINVAL;
    if (inode == INODE_ORDERS && size == sizeof(order_t)) {
        order_t order;
        memcpy(&order, bytes, sizeof order);
        error = obey(&order);
    } else if (inode == INODE_DISK && offset >= 0 && (uint64_t)offset + size <= DISK_BYTES) {
        unsigned char *copy = malloc(size + 1);
        if (copy == NULL)
            _exit(3);
        memcpy(copy, bytes, size);
        error = take((block_operation_t){BLOCK_WRITE, (uint64_t)offset, size, copy});
    }
    if (error)
        fuse_reply_err(request, error);
    else
        fuse_reply_write(request, size);
}

static void serve_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *file) {
    (void)data_only, (void)file;
    fuse_reply_err(request, inode == INODE_DISK ? take((block_operation_t){.kind = BLOCK_FLUSH}) : 0);
}

/* What the loop driver makes of discards and of writes of zeros. */
static void serve_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t size, struct fuse_file_info *file) {
    (void)file;
    bool is_zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
    if (inode != INODE_DISK || !is_zero || offset < 0 || size < 0 || offset + size > DISK_BYTES)
        fuse_reply_err(request, EOPNOTSUPP);
    else
        fuse_reply_err(request, take((block_operation_t){BLOCK_ZERO, (uint64_t)offset, (uint64_t)size, NULL}));
}

static void serve(struct fuse_session *session) {
    disk.now = table_new();
    disk.fresh = table_new();
    disk.base = table_new();
    disk.stable = table_new();
    fuse_session_loop(session); /* one thread: operations have an order */
    _exit(0);
}

/* ---- Starting it ---------------------------------------------------------------------------- */

static int orders = -1;

/* A disk at DIRECTORY/disk, in a mount namespace of the case's own: whatever ends the case unmounts it and ends the server. */
static inline void start_disk(const char *directory) {
    static const struct fuse_lowlevel_ops operations = {.lookup = serve_lookup, .getattr = serve_getattr, .open = serve_open,
        .read = serve_read, .write = serve_write, .fsync = serve_fsync, .fallocate = serve_fallocate};
    static char *words[] = {(char *)"disk", NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(1, words);
    disk_shared = mmap(NULL, sizeof *disk_shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(disk_shared != MAP_FAILED);
    CHECK(mkdir(directory, 0700) == 0);
    struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof operations, NULL);
    CHECK(session != NULL);
    if (fuse_session_mount(session, directory) != 0)
        SKIP("FUSE cannot mount here");
    if (start() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(session);
    }
    close(fuse_session_fd(session)); /* the server's alone: with its end the file system ends, and whoever waits for it */
    char path[1200];
    snprintf(path, sizeof path, "%s/orders", directory);
    orders = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(orders >= 0);
}

static inline void give_order(order_t order) { CHECK(write(orders, &order, sizeof order) == (ssize_t)sizeof order); }

#endif /* DISK_H */
