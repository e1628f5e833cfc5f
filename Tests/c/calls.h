/* calls.h - calls that wait, each in a thread of its own
 *
 *     call_t call = {.log = log, .kind = CALL_WAIT_DURABLE, .index = 7, .timeout_ms = -1};
 *     begin(&call);
 *     CHECK(still_waits(&call));
 *     CHECK_CODE(WALRUS_E_CANCELED, result_of(&call));
 */
#ifndef CALLS_H
#define CALLS_H

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    CALL_APPEND,        /* durable                                                                  */
    CALL_APPEND_BATCH,  /* durable, of two records                                                  */
    CALL_APPEND_ASYNC,  /* of `size` bytes, without a completion                                    */
    CALL_SYNC,
    CALL_WAIT_DURABLE,  /* index, timeout_ms                                                        */
    CALL_CURSOR_WAIT,   /* a cursor at the next index; timeout_ms                                   */
    CALL_TRUNCATE,      /* index                                                                    */
    CALL_TRUNCATE_FRONT,/* index                                                                    */
    CALL_RESET          /* index                                                                    */
};

typedef struct call {
    walrus_t *log;
    int kind;
    uint64_t index;     /* what was asked for; what an append was given                             */
    int64_t timeout_ms;
    size_t size;
    int32_t result;
    double seconds;     /* how long it took                                                         */
    atomic_bool has_begun, is_done;
    pthread_t thread;
} call_t;

static inline int32_t wait_at_the_end(call_t *call) {
    walrus_cursor_t *cursor = NULL;
    int32_t result = walrus_cursor_open(call->log, walrus_next_index(call->log), 0, &cursor);
    if (result != WALRUS_OK)
        return result;
    call->has_begun = true;
    result = walrus_cursor_wait(cursor, call->timeout_ms);
    walrus_cursor_close(cursor);
    return result;
}

static inline void *make_call(void *ctx) {
    call_t *call = ctx;
    unsigned char *bytes = payload(call->size, call->size);
    walrus_record_t records[2] = {{.data = bytes, .size = call->size}, {.data = bytes, .size = call->size}};
    double began = check_now_s();
    call->has_begun = call->kind != CALL_CURSOR_WAIT;
    switch (call->kind) {
    case CALL_APPEND: call->result = walrus_append_record(call->log, records, WALRUS_DURABLE, &call->index); break;
    case CALL_APPEND_BATCH:
        call->result = walrus_append_batch(call->log, records, 2, WALRUS_DURABLE, &call->index);
        break;
    case CALL_APPEND_ASYNC: call->result = walrus_append_async(call->log, records, 0, NULL, NULL, &call->index); break;
    case CALL_SYNC: call->result = walrus_sync(call->log); break;
    case CALL_WAIT_DURABLE: call->result = walrus_wait_durable(call->log, call->index, call->timeout_ms); break;
    case CALL_CURSOR_WAIT: call->result = wait_at_the_end(call); break;
    case CALL_TRUNCATE: call->result = walrus_truncate(call->log, call->index); break;
    case CALL_TRUNCATE_FRONT: call->result = walrus_truncate_front(call->log, call->index); break;
    case CALL_RESET: call->result = walrus_reset(call->log, call->index); break;
    default: FAIL("no such call");
    }
    call->seconds = check_now_s() - began;
    call->is_done = true;
    free(bytes);
    return NULL;
}

/* Starts the call and gives it time to get to where it waits. */
static inline void begin(call_t *call) {
    CHECK(pthread_create(&call->thread, NULL, make_call, call) == 0);
    while (!call->has_begun && !call->is_done)
        usleep(100);
    for (int i = 0; i < 30 && !call->is_done; i++)
        usleep(1000);
}

static inline bool still_waits(call_t *call) { return !call->is_done; }

/* Waits for the call to end, but not for ever. */
static inline int32_t result_of(call_t *call) {
    for (int i = 0; !call->is_done; i++) {
        if (i == 30000)
            FAIL("call %d for index %" PRIu64 " never returns", call->kind, call->index);
        usleep(1000);
    }
    pthread_join(call->thread, NULL);
    return call->result;
}

static inline void *do_nothing(void *ctx) { return ctx; }

/* Sanitizers start a thread of their own beside a program's first one. Before threads are counted. */
static inline void await_background_of_sanitizers(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, do_nothing, NULL) == 0);
    pthread_join(thread, NULL);
    usleep(CHECK_IS_SANITIZED ? 100000 : 10000);
}

/* Whether the condition comes true within the time: for what happens in the background. */
#define COMES_TRUE(seconds, condition)                                                                                 \
    ({                                                                                                                 \
        double check_until = check_now_s() + (seconds);                                                                \
        bool check_true;                                                                                               \
        while (!(check_true = (condition)) && check_now_s() < check_until)                                             \
            usleep(1000);                                                                                              \
        check_true;                                                                                                    \
    })

#endif /* CALLS_H */
