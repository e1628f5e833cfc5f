/* test_kill.c - what was acknowledged is there after kill -9, whatever the log was just doing
 *
 * A child process works on a log and keeps a journal outside of it: before each operation it tells the parent what it
 * is about to do, after it that it was done. The parent kills it at a random moment, opens the log, and compares: it
 * holds what was acknowledged, and of the one operation in flight all or nothing. The same directory serves all rounds,
 * so each one begins with what the last crash left.
 *
 * Another case does the same at every system call of a fixed script, by ptrace. Some of them are run for each way to store a log.
 */
#include "variants.h"

#include <pthread.h>
#include <sys/ptrace.h>

/* ---- The journal ---------------------------------------------------------------------------- */

typedef enum { APPEND, TRUNCATE, TRUNCATE_FRONT, RESET, SYNC, REPLACE, ROTATE } kind_t;

/* Written in one piece: smaller than PIPE_BUF. */
typedef struct message {
    uint32_t kind, done;
    uint64_t index; /* of a truncation or replacement; of an append that is done, the index that it was given */
    uint64_t operation;
    uint64_t durable; /* of an operation that is done: whether it promised durability */
} message_t;

/* All about an append follows from its number: how many entries, their sizes, their bytes. */
static size_t batch_size(uint64_t operation) { return operation % 4 == 3 ? 7 : 1; }
static uint64_t seed_of(uint64_t operation, size_t position) { return operation * 8 + position; }
static size_t size_of(uint64_t seed) {
    random_source_t source = {seed};
    uint64_t kind = below(&source, 40);
    return kind == 0 ? 5000 + below(&source, 20000) : kind < 4 ? 0 : below(&source, 300);
}

static void tell(int journal, message_t message) {
    if (write(journal, &message, sizeof message) != sizeof message)
        _exit(4);
}

/* ---- The child ------------------------------------------------------------------------------ */

/* An append, or a replacement of all from an index on (0: an append). */
static void put_operation(walrus_t *log, int journal, uint64_t operation, uint64_t from, uint32_t flags, bool durable) {
    size_t count = batch_size(operation);
    walrus_record_t records[7];
    message_t message = {.kind = from ? REPLACE : APPEND, .index = from, .operation = operation, .durable = durable};
    memset(records, 0, sizeof records);
    for (size_t i = 0; i < count; i++) {
        uint64_t seed = seed_of(operation, i);
        records[i] = (walrus_record_t){.data = payload(size_of(seed), seed), .size = size_of(seed)};
    }
    tell(journal, message);
    CHECK_OK(from         ? walrus_replace_suffix(log, from, records, count, 0)
             : count == 1 ? walrus_append_record(log, records, flags, &message.index)
                          : walrus_append_batch(log, records, count, flags, &message.index));
    message.done = 1;
    tell(journal, message);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)records[i].data);
}

static void cut_operation(walrus_t *log, int journal, kind_t kind, uint64_t index) {
    message_t message = {.kind = kind, .index = index, .durable = 1};
    tell(journal, message);
    CHECK_OK(kind == TRUNCATE         ? walrus_truncate(log, index)
             : kind == TRUNCATE_FRONT ? walrus_truncate_front(log, index)
             : kind == RESET          ? walrus_reset(log, index)
                                      : walrus_sync(log));
    message.done = 1;
    tell(journal, message);
}

static void work_until_killed(const char *dir, const char *sync, uint64_t round, uint64_t seed, int journal) {
    char text[256];
    random_source_t chance = {seed + round * 1000};
    bool always = strcmp(sync, "always") == 0;
    snprintf(text, sizeof text, "sync=%s segment_size=16KiB buffer_size=4KiB %s%s", sync, variant,
             below(&chance, 4) == 0 ? " preallocate=off" : "");
    walrus_t *log = open_log(dir, text);
    for (uint64_t n = 0;; n++) {
        uint64_t what = below(&chance, 100), first = walrus_first_index(log), last = walrus_last_index(log);
        if (what < 4 && last > first)
            cut_operation(log, journal, TRUNCATE, last - below(&chance, last - first < 10 ? last - first : 10));
        else if (last - first > 400 || (what < 6 && last > first))
            cut_operation(log, journal, TRUNCATE_FRONT,
                          last - first > 400 ? last - 100 : first + below(&chance, 20) % (last - first));
        else if (what == 6 && below(&chance, 10) == 0)
            cut_operation(log, journal, RESET, last + below(&chance, 50) + 1);
        else if (what < 9)
            cut_operation(log, journal, SYNC, 0);
        else if (what < 12 && last > 0)
            put_operation(log, journal, (round << 24) + n, last + 1 - below(&chance, last - first < 10 ? last - first + 2 : 10),
                          0, true);
        else if (what == 12)
            CHECK_OK(walrus_rotate(log));
        else {
            bool durable = always || below(&chance, 20) == 0;
            put_operation(log, journal, (round << 24) + n, 0, durable && !always ? WALRUS_DURABLE : 0, durable);
        }
    }
}

/* ---- The parent ----------------------------------------------------------------------------- */

static void apply(model_t *model, const message_t *message) {
    if (message->kind == REPLACE)
        model_truncate(model, message->index - 1);
    if (message->kind == APPEND || message->kind == REPLACE)
        for (size_t i = 0; i < batch_size(message->operation); i++) {
            uint64_t seed = seed_of(message->operation, i);
            model_append(model, 0, size_of(seed), seed, 0, 0);
        }
    else if (message->kind == TRUNCATE)
        model_truncate(model, message->index);
    else if (message->kind == TRUNCATE_FRONT)
        model_truncate_front(model, message->index);
    else if (message->kind == RESET)
        model_reset(model, message->index);
}

static model_t model_copy(const model_t *model) {
    model_t copy = *model;
    copy.capacity = model_count(model) + 64;
    copy.entries = calloc(copy.capacity, sizeof *copy.entries);
    if (model_count(model) != 0)
        memcpy(copy.entries, model->entries, model_count(model) * sizeof *copy.entries);
    return copy;
}

/* Whether the log has the model's bounds; the bytes are compared by whoever relies on it. */
static bool has_bounds(const model_t *model, walrus_t *log) {
    bool empty = model->first == model->next;
    return walrus_next_index(log) == model->next && walrus_first_index(log) == (empty ? 0 : model->first);
}

/* Whether it holds the model's bytes, too. */
static bool holds(const model_t *model, walrus_t *log) {
    if (!has_bounds(model, log))
        return false;
    for (uint64_t index = model->first; index < model->next; index++) {
        const model_entry_t *expected = &model->entries[index - model->first];
        walrus_entry_t entry;
        CHECK_OK(walrus_get(log, index, &entry));
        bool same =
            entry.index == index && entry.size == expected->size && is_payload(entry.data, entry.size, expected->seed);
        walrus_entry_release(&entry);
        if (!same)
            return false;
    }
    return true;
}

typedef struct campaign {
    model_t model;
    uint64_t floor; /* with sync=none: the last index that was promised to be durable */
    uint64_t acknowledged, in_flight_kept, in_flight_lost, lost;
} campaign_t;

/* Reads the journal to its end; whether an operation was in flight, and which. */
static bool read_journal(campaign_t *campaign, int journal, message_t *pending) {
    message_t message;
    bool open_operation = false;
    ssize_t got;
    while ((got = read(journal, &message, sizeof message)) == sizeof message) {
        if (!message.done) {
            *pending = message;
            open_operation = true;
            continue;
        }
        open_operation = false;
        CHECK(message.kind == pending->kind && message.operation == pending->operation);
        if (message.kind == APPEND)
            CHECK_U64(campaign->model.next, message.index);
        apply(&campaign->model, &message);
        uint64_t last = campaign->model.next - 1;
        if (campaign->floor > last)
            campaign->floor = last;
        if (message.durable && (message.kind == APPEND || message.kind == REPLACE || message.kind == SYNC))
            campaign->floor = last;
        campaign->acknowledged++;
    }
    CHECK(got == 0);
    return open_operation;
}

/* Whether the log is the model, but for entries above floor that may be missing from the end, batches whole. The model
 * is shortened then. */
static bool is_prefix(model_t *model, walrus_t *log, uint64_t floor, uint64_t *lost) {
    uint64_t next = walrus_next_index(log), old = model->next;
    if (next > old || next <= floor || next < model->first)
        return false;
    model->next = next;
    /* A batch is torn where the last entry that is there and the first one that is lost belong to the same one. */
    size_t kept = model_count(model);
    bool torn = next != old && kept != 0 && model->entries[kept].seed == model->entries[kept - 1].seed + 1;
    if (!holds(model, log) || torn) {
        model->next = old;
        return false;
    }
    *lost += old - next;
    return true;
}

/* The log must be what the journal says: with the operation in flight, or without it. */
static void judge(campaign_t *campaign, walrus_t *log, bool may_lose, const message_t *pending) {
    model_t *without = &campaign->model, with = model_copy(&campaign->model);
    if (pending != NULL)
        apply(&with, pending);
    uint64_t floor_without = may_lose ? campaign->floor : without->next - 1;
    uint64_t floor_with = with.next - 1 < floor_without || !may_lose ? with.next - 1 : floor_without;
    if (is_prefix(without, log, floor_without, &campaign->lost))
        campaign->in_flight_lost += pending != NULL;
    else if (pending != NULL && is_prefix(&with, log, floor_with, &campaign->lost)) {
        campaign->in_flight_kept++;
        model_t old = campaign->model;
        campaign->model = with;
        with = old;
    } else
        FAIL("the log is %" PRIu64 " to %" PRIu64 "; acknowledged are %" PRIu64 " to %" PRIu64
             ", promised up to %" PRIu64 ", in flight: %d",
             walrus_first_index(log), walrus_next_index(log) - 1, without->first, without->next - 1, floor_without,
             pending != NULL ? (int)pending->kind : -1);
    if (campaign->floor >= campaign->model.next)
        campaign->floor = campaign->model.next - 1;
    model_free(&with);
}

static void run_campaign(const char *sync, int rounds, double seconds) {
    const char *dir = at("log"), *copy = at("copy");
    uint64_t seed = run_seed();
    random_source_t chance = {seed};
    campaign_t campaign = {.model = {.first = 1, .next = 1}};
    double began = check_now_s();
    for (int round = 1; (round <= rounds || campaign.acknowledged <= 50) && check_now_s() - began < seconds; round++) {
        int journal[2];
        CHECK(pipe2(journal, O_CLOEXEC) == 0);
        CHECK(fcntl(journal[1], F_SETPIPE_SZ, 1 << 20) > 0);
        pid_t child = start();
        if (child == 0) {
            close(journal[0]);
            work_until_killed(dir, sync, (uint64_t)round, seed, journal[1]);
        }
        close(journal[1]);
        usleep((useconds_t)(round % 8 == 0 ? below(&chance, 1500) : 3000 + below(&chance, 20000)));
        kill(child, SIGKILL);
        CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", round %d", seed, round);
        CHECK_U64(1000 + SIGKILL, await(child));
        message_t pending;
        bool in_flight = read_journal(&campaign, journal[0], &pending);
        close(journal[0]);
        /* Every other round looks at a copy, so that the next child is the one that recovers. */
        bool aside = round % 2 == 0;
        if (aside && !exists(dir))
            continue;
        if (aside)
            copy_directory(dir, copy);
        /* It may be this open that makes the log: then in the format that the next child asks for. */
        char text[128];
        snprintf(text, sizeof text, "segment_size=16KiB %s", variant);
        walrus_t *log = open_log(aside ? copy : dir, text);
        judge(&campaign, log, strcmp(sync, "none") == 0, in_flight ? &pending : NULL);
        CHECK_OK(walrus_close(log));
    }
    printf("      %" PRIu64 " operations acknowledged; in flight at the kill: %" PRIu64 " kept, %" PRIu64
           " lost; buffered "
           "entries lost: %" PRIu64 "\n",
           campaign.acknowledged, campaign.in_flight_kept, campaign.in_flight_lost, campaign.lost);
    CHECK(campaign.acknowledged > 50);
    model_free(&campaign.model);
}

/* Catches: an acknowledgement before the sync or the write, a batch of which a part survives, a truncation undone, an
 * entry that comes back from the dead. */
CASE(with_sync_always_everything_acknowledged_survives_a_kill) { run_campaign("always", 80, 40); }

/* Catches: entries that an append with sync=os left in the library's memory. */
CASE(with_sync_os_everything_whose_append_returned_survives_a_kill) { run_campaign("os", 80, 40); }

/* Catches: a buffer that is written out of order, and a loss that reaches below what was synced. */
CASE(with_sync_none_a_kill_costs_only_the_end_that_was_not_synced) { run_campaign("none", 80, 40); }

/* Catches: the same in a format whose lines or messages end in another way, and in entries that are compressed. */
VARIANT_CASES(a_kill_costs_nothing_however_the_log_is_stored) {
    payloads_are_text = true;
    run_campaign("os", 40, 6);
    check_remove_tree(AT_FDCWD, at("log"));
    run_campaign("none", 40, 6);
}

/* ---- Replacing over and over ---------------------------------------------------------------- */

/* Ten entries are kept; behind them stand those of one replacement, whose number is in each, and how many they are follows from it. */
static size_t replacement_size(uint64_t operation) { return 1 + operation * 7 % 300; }

static void replace_until_killed(const char *dir, uint64_t operation, int journal) {
    walrus_t *log = open_log(dir, "segment_size=64KiB buffer_size=4KiB");
    while (walrus_last_index(log) < 10)
        append_payload(log, 30, 7);
    walrus_record_t *records = calloc(300, sizeof *records);
    CHECK(records != NULL);
    for (;; operation++) {
        size_t count = replacement_size(operation);
        for (size_t i = 0; i < count; i++)
            records[i] = (walrus_record_t){.data = &operation, .size = sizeof operation, .term = operation};
        tell(journal, (message_t){.kind = REPLACE, .operation = operation});
        CHECK_OK(walrus_replace_suffix(log, 11, records, count, 0));
        tell(journal, (message_t){.kind = REPLACE, .operation = operation, .done = 1});
    }
}

/* Catches: slots that speak of a segment before it is synced, a suffix half of which is new, a leftover that is found again. */
CASE(a_kill_leaves_the_old_suffix_or_the_new_one) {
    const char *dir = at("log");
    random_source_t chance = {run_seed()};
    uint64_t done = 0, kept = 0, lost = 0;
    double began = check_now_s();
    for (int round = 1; round <= 60 && check_now_s() - began < 8; round++) {
        int journal[2];
        CHECK(pipe2(journal, O_CLOEXEC) == 0);
        CHECK(fcntl(journal[1], F_SETPIPE_SZ, 1 << 20) > 0);
        pid_t child = start();
        if (child == 0)
            replace_until_killed(dir, done + 1, journal[1]);
        close(journal[1]);
        usleep((useconds_t)(5000 + below(&chance, 60000)));
        kill(child, SIGKILL);
        CHECK_U64(1000 + SIGKILL, await(child));
        message_t message = {.done = 1};
        uint64_t pending = 0;
        while (read(journal[0], &message, sizeof message) == sizeof message) {
            pending = message.done ? 0 : message.operation;
            done = message.done ? message.operation : done;
        }
        close(journal[0]);
        if (!exists(dir))
            continue;
        CHECK_NOTE("round %d, %" PRIu64 " done, %" PRIu64 " in flight", round, done, pending);
        walrus_t *log = open_log(dir, "");
        uint64_t last = walrus_last_index(log), first_found = 0;
        for (uint64_t index = 11; index <= last; index++) {
            uint64_t found = 0;
            size_t size;
            CHECK_OK(walrus_read(log, index, &found, sizeof found, &size));
            first_found = first_found ? first_found : found;
            CHECK_U64(first_found, found);
        }
        if (last >= 11) {
            CHECK(first_found == done || (pending && first_found == pending));
            CHECK_U64(10 + replacement_size(first_found), last);
        } else
            CHECK(done == 0);
        kept += pending && first_found == pending;
        lost += pending && first_found != pending;
        done = first_found;
        CHECK_OK(walrus_close(log));
    }
    printf("      %" PRIu64 " replacements; in flight at the kill: %" PRIu64 " kept, %" PRIu64 " lost\n", done, kept, lost);
    CHECK(done > 3 && lost > 0);
}

/* ---- Several threads ------------------------------------------------------------------------ */

/* A payload that tells what it is: which operation, which place in its batch, and a size that follows from both. */
typedef struct stamp {
    uint64_t magic, operation, position;
} stamp_t;
static const uint64_t stamp_magic = UINT64_C(0x6b696c6c2d2d2d39);

static size_t stamped(unsigned char *bytes, uint64_t operation, uint64_t position) {
    stamp_t stamp = {stamp_magic, operation, position};
    size_t rest = (size_t)(operation * 31 + position * 7) % 200;
    memcpy(bytes, &stamp, sizeof stamp);
    fill(bytes + sizeof stamp, rest, seed_of(operation, (size_t)position));
    return sizeof stamp + rest;
}

typedef struct worker {
    walrus_t *log;
    int journal;
    uint64_t next_operation;
} worker_t;

static void *append_and_tell(void *ctx) {
    worker_t *worker = ctx;
    unsigned char bytes[7][256];
    for (;; worker->next_operation++) {
        walrus_record_t records[7];
        size_t count = batch_size(worker->next_operation);
        message_t message = {.kind = APPEND, .done = 1, .operation = worker->next_operation};
        memset(records, 0, sizeof records);
        for (size_t i = 0; i < count; i++)
            records[i] = (walrus_record_t){.data = bytes[i], .size = stamped(bytes[i], worker->next_operation, i)};
        CHECK_OK(walrus_append_batch(worker->log, records, count, 0, &message.index));
        tell(worker->journal, message);
    }
    return NULL;
}

/* Catches: a group commit that acknowledges a waiter whose bytes were not in the group. */
CASE(acknowledgements_of_a_group_commit_survive_a_kill) {
    const char *dir = at("log");
    random_source_t chance = {run_seed()};
    uint64_t acknowledged = 0;
    for (uint64_t round = 1; round <= 30; round++) {
        int journal[2];
        CHECK(pipe2(journal, O_CLOEXEC) == 0);
        CHECK(fcntl(journal[1], F_SETPIPE_SZ, 1 << 20) > 0);
        pid_t child = start();
        if (child == 0) {
            walrus_t *log = open_log(dir, "segment_size=64KiB");
            if (walrus_last_index(log) > 3000)
                CHECK_OK(walrus_truncate_front(log, walrus_last_index(log)));
            worker_t workers[4];
            pthread_t thread;
            for (uint64_t i = 0; i < 4; i++) {
                workers[i] = (worker_t){log, journal[1], round << 40 | i << 32};
                CHECK(pthread_create(&thread, NULL, append_and_tell, &workers[i]) == 0);
            }
            for (;;)
                pause();
        }
        close(journal[1]);
        usleep((useconds_t)(5000 + below(&chance, 30000)));
        kill(child, SIGKILL);
        CHECK_NOTE("round %" PRIu64, round);
        CHECK_U64(1000 + SIGKILL, await(child));
        walrus_t *log = open_log(dir, "");
        message_t message;
        unsigned char expected[256];
        while (read(journal[0], &message, sizeof message) == sizeof message) {
            for (uint64_t i = 0; i < batch_size(message.operation); i++) {
                walrus_entry_t entry;
                CHECK_OK(walrus_get(log, message.index + i, &entry));
                size_t size = stamped(expected, message.operation, i);
                CHECK_BYTES(expected, size, entry.data, entry.size);
                walrus_entry_release(&entry);
            }
            acknowledged++;
        }
        close(journal[0]);
        /* Everything else is whole, too: batches in order, nothing foreign. */
        uint64_t first = walrus_first_index(log), last = walrus_last_index(log), due_operation = 0, due = 0;
        for (uint64_t i = first; first != 0 && i <= last; i++) {
            walrus_entry_t entry;
            stamp_t stamp;
            CHECK_OK(walrus_get(log, i, &entry));
            CHECK(entry.size >= sizeof stamp);
            memcpy(&stamp, entry.data, sizeof stamp);
            size_t size = stamped(expected, stamp.operation, stamp.position);
            CHECK_BYTES(expected, size, entry.data, entry.size);
            if (i != first) /* the front may have been cut within a batch */
                CHECK(due == 0 ? stamp.position == 0 : stamp.operation == due_operation && stamp.position == due);
            due_operation = stamp.operation;
            due = stamp.position + 1 == batch_size(stamp.operation) ? 0 : stamp.position + 1;
            walrus_entry_release(&entry);
        }
        CHECK_U64(0, due);
        CHECK_OK(walrus_close(log));
    }
    CHECK(acknowledged > 30);
}

/* ---- Every system call ---------------------------------------------------------------------- */

typedef struct step {
    kind_t kind;
    uint64_t index; /* of an append: how many entries; 1000 and more: one entry of that size; of a replacement: 100 times where + how many */
} step_t;

static const step_t script[] = {
    {APPEND, 1},          {APPEND, 7}, {APPEND, 30000},      {APPEND, 3},    {TRUNCATE, 38}, {APPEND, 2},
    {TRUNCATE_FRONT, 20}, {SYNC, 0},   {TRUNCATE_FRONT, 33}, {APPEND, 5},    {TRUNCATE, 36}, {APPEND, 1},
    {REPLACE, 3504},      {ROTATE, 0}, {REPLACE, 3902},      {REPLACE, 3307}, {APPEND, 2}, {REPLACE, 3901},
    {RESET, 100},         {APPEND, 2}, {RESET, 50},          {APPEND, 9000}, {TRUNCATE, 49}, {APPEND, 4}};
enum { STEPS = sizeof script / sizeof script[0] };

static bool is_large(const step_t *step) { return step->kind == APPEND && step->index >= 1000; }
static size_t step_entries(const step_t *step) { return is_large(step) ? 1 : (size_t)step->index % 100; }
static size_t step_size(const step_t *step) { return is_large(step) ? (size_t)step->index : 500; }
static uint64_t step_seed(size_t number, size_t entry) { return 100000 + number * 100 + entry; }

static void run_script(const char *dir, const char *text, volatile uint32_t *progress) {
    walrus_t *log = open_log(dir, text);
    for (size_t s = 0; s < STEPS; s++) {
        const step_t *step = &script[s];
        progress[0] = (uint32_t)s + 1;
        if (step->kind == APPEND || step->kind == REPLACE) {
            walrus_record_t records[7];
            memset(records, 0, sizeof records);
            for (size_t i = 0; i < step_entries(step); i++)
                records[i] =
                    (walrus_record_t){.data = payload(step_size(step), step_seed(s, i)), .size = step_size(step)};
            CHECK_OK(step->kind == APPEND
                         ? walrus_append_batch(log, records, step_entries(step), 0, NULL)
                         : walrus_replace_suffix(log, step->index / 100, records, step_entries(step), 0));
        } else
            CHECK_OK(step->kind == TRUNCATE         ? walrus_truncate(log, step->index)
                     : step->kind == TRUNCATE_FRONT ? walrus_truncate_front(log, step->index)
                     : step->kind == RESET          ? walrus_reset(log, step->index)
                     : step->kind == ROTATE         ? walrus_rotate(log)
                                                    : walrus_sync(log));
        progress[1] = (uint32_t)s + 1;
    }
    CHECK_OK(walrus_close(log));
    progress[1] = progress[0] = STEPS;
}

static void model_step(model_t *model, size_t s) {
    const step_t *step = &script[s];
    if (step->kind == REPLACE)
        model_truncate(model, step->index / 100 - 1);
    if (step->kind == APPEND || step->kind == REPLACE)
        for (size_t i = 0; i < step_entries(step); i++)
            model_append(model, 0, step_size(step), step_seed(s, i), 0, 0);
    else if (step->kind == TRUNCATE)
        model_truncate(model, step->index);
    else if (step->kind == TRUNCATE_FRONT)
        model_truncate_front(model, step->index);
    else if (step->kind == RESET)
        model_reset(model, step->index);
}

/* Runs the script to just before its n-th system call and kills it there. False once it ended before that. */
static bool run_to_system_call(const char *dir, const char *text, volatile uint32_t *progress, uint64_t n) {
    progress[0] = progress[1] = 0;
    pid_t child = start();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(CHECK_SKIPPED);
        raise(SIGSTOP);
        run_script(dir, text, progress);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIPPED)
        SKIP("ptrace is not allowed here");
    CHECK(WIFSTOPPED(status));
    CHECK(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) == 0);
    bool entering = true;
    for (uint64_t calls = 0;;) {
        if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) != 0)
            break;
        if (waitpid(child, &status, 0) != child || WIFEXITED(status) || WIFSIGNALED(status))
            break;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80))
            continue;
        calls += entering;
        if (entering && calls == n) {
            kill(child, SIGKILL);
            await(child);
            return true;
        }
        entering = !entering;
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return false;
}

static void sweep_system_calls(const char *text) {
    const char *dir = in_memory("log"), *base = in_memory("base");
    volatile uint32_t *progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    walrus_t *log = open_log(base, text);
    model_t states[STEPS + 1];
    model_t start_model = {.first = 1, .next = 1};
    for (uint64_t i = 1; i <= 30; i++) {
        append_payload(log, 700, i);
        model_append(&start_model, 0, 700, i, 0, 0);
    }
    CHECK_OK(walrus_sync(log));
    image_t *crashed = image_read(base); /* the script begins with a recovery */
    CHECK_OK(walrus_close(log));
    image_t *closed = image_read(base);
    states[0] = start_model;
    for (size_t s = 0; s < STEPS; s++) {
        states[s + 1] = model_copy(&states[s]);
        model_step(&states[s + 1], s);
    }
    uint64_t n = 1, kept = 0, lost = 0;
    for (bool more = true; more; n++) {
        image_write(n % 2 ? crashed : closed, dir);
        more = run_to_system_call(dir, text, progress, n);
        uint32_t begun = progress[0], done = progress[1];
        CHECK_NOTE("%s: killed at system call %" PRIu64 ", steps begun %" PRIu32 ", done %" PRIu32, text, n, begun,
                   done);
        for (int round = 0; round < 2; round++) { /* recovery of what recovery and an append left */
            log = open_log(dir, text);
            if (round == 0 && holds(&states[begun], log)) {
                kept += begun != done;
                done = begun;
            } else if (round == 0) {
                lost += begun != done;
                CHECK(holds(&states[done], log));
            }
            model_t after = model_copy(&states[done]);
            if (round == 0) {
                CHECK_U64(after.next, append_payload(log, 100, 77));
                CHECK_OK(walrus_sync(log));
            }
            model_append(&after, 0, 100, 77, 0, 0);
            CHECK(holds(&after, log));
            model_free(&after);
            CHECK_OK(walrus_close(log));
        }
    }
    printf("      killed at each of %" PRIu64 " system calls: the step in flight was kept %" PRIu64
           " times, lost %" PRIu64 "\n",
           n - 2, kept, lost);
    CHECK(n > 60 && kept + lost > 10);
    image_free(crashed);
    image_free(closed);
}

/* Catches: a step between two system calls at which the log on disk is neither the old nor the new one. */
CASE(a_kill_at_any_system_call_leaves_the_state_before_or_after_it) { sweep_system_calls("segment_size=16KiB"); }

/* Catches: the same in a log that relies on the page cache. */
CASE(a_kill_at_any_system_call_of_a_log_with_sync_os_does_so_too) {
    sweep_system_calls("sync=os segment_size=16KiB preallocate=off");
}

/* Catches: the same where a segment is cut to its last line, and has its table beside it. */
VARIANT_CASES(a_kill_at_any_system_call_does_so_however_the_log_is_stored) {
    char text[200];
    payloads_are_text = true;
    snprintf(text, sizeof text, "sync=os segment_size=16KiB preallocate=off %s", variant);
    sweep_system_calls(text);
}
