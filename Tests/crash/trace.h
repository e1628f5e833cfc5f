/* trace.h - what a log did to its directory: every mutating system call, in order, with its bytes
 *
 * A trace begins with an empty place. What is in it is enough to build the directory as it was after any number of its operations,
 * and every state in which a power cut could have left it then (disk.h). It can be kept in a file, since threads make each run
 * another one.
 */
#ifndef TRACE_H
#define TRACE_H

#include "../c/support.h"

typedef enum { OP_MAKE_DIRECTORY, OP_CREATE, OP_RENAME, OP_REMOVE, OP_WRITE, OP_RESIZE, OP_SYNC, OP_FAILED_SYNC, OP_SYNC_DIRECTORY, OP_SYNC_PARENT } op_kind_t;

typedef struct operation {
    op_kind_t kind;
    int file;              /* counted from 0 in the order of creation; -1: none                                             */
    char name[40], to[40]; /* of names                                                                                      */
    uint64_t offset, size; /* of a write                                                                                    */
    uint64_t data;         /* where its bytes are in the trace's                                                            */
    uint64_t before, after;/* the file's size                                                                               */
    uint64_t covers;       /* of a sync: operations before this one were there when it began                                */
} operation_t;

typedef struct trace {
    operation_t *operations;
    size_t count, capacity;
    unsigned char *bytes;
    size_t used, room;
} trace_t;

static inline uint64_t at_most(uint64_t a, uint64_t b) { return a < b ? a : b; }

static inline void *grown(void *memory, size_t needed, size_t *capacity, size_t each) {
    if (needed <= *capacity)
        return memory;
    *capacity = needed * 2 < 64 ? 64 : needed * 2;
    memory = realloc(memory, *capacity * each);
    if (memory == NULL)
        FAIL("no memory for the trace");
    return memory;
}

static inline uint64_t trace_keep(trace_t *trace, const void *bytes, size_t size) {
    trace->bytes = grown(trace->bytes, trace->used + size, &trace->room, 1);
    memcpy(trace->bytes + trace->used, bytes, size);
    trace->used += size;
    return trace->used - size;
}

static inline operation_t *trace_add(trace_t *trace, op_kind_t kind, int file) {
    trace->operations = grown(trace->operations, trace->count + 1, &trace->capacity, sizeof *trace->operations);
    operation_t *operation = &trace->operations[trace->count++];
    *operation = (operation_t){.kind = kind, .file = file};
    return operation;
}

/* The first `count` operations of another one. */
static inline void trace_copy(trace_t *trace, const trace_t *from, size_t count) {
    trace->operations = grown(trace->operations, count, &trace->capacity, sizeof *trace->operations);
    memcpy(trace->operations, from->operations, count * sizeof *trace->operations);
    trace->count = count;
    trace->used = 0;
    trace_keep(trace, from->bytes, from->used);
}

static inline void trace_free(trace_t *trace) {
    free(trace->operations);
    free(trace->bytes);
    *trace = (trace_t){0};
}

static inline void operation_print(FILE *to, size_t number, const operation_t *operation) {
    static const char *const names[] = {"mkdir", "create", "rename", "remove", "write", "resize", "sync", "failed sync", "sync directory", "sync parent"};
    fprintf(to, "%6zu  %-14s", number, names[operation->kind]);
    if (operation->file >= 0)
        fprintf(to, " file %d", operation->file);
    if (operation->name[0])
        fprintf(to, " %s", operation->name);
    if (operation->to[0])
        fprintf(to, " -> %s", operation->to);
    if (operation->kind == OP_WRITE)
        fprintf(to, " [%" PRIu64 ", %" PRIu64 ")", operation->offset, operation->offset + operation->size);
    if (operation->kind == OP_WRITE || operation->kind == OP_RESIZE)
        fprintf(to, " size %" PRIu64 " -> %" PRIu64, operation->before, operation->after);
    if (operation->kind >= OP_SYNC)
        fprintf(to, " covers those before %" PRIu64, operation->covers);
    fprintf(to, "\n");
}

#endif /* TRACE_H */
