/* test_hosts.c - hosts in C, Python and Rust that are killed again and again, and what their logs hold
 *
 * A host opens a log and appends for ever, from several threads, and tells its parent through a pipe what was acknowledged. The parent
 * kills it at a random moment, opens the log, and compares: what was acknowledged is there, with nothing foreign, doubled or missing
 * between, and batches are whole. The next host goes on in the same directory. Every other time the parent only reads, so that it is
 * the next host which recovers, perhaps to be killed while it does.
 *
 * A host is called with DIRECTORY, OPTIONS ("key=value ..."), ROUND and SEED. It writes lines, each with one write:
 *
 *     ready             it is about to open the log
 *     cut? I, cut I     it is about to truncate to index I, and has done so, before its threads append anything
 *     front? I, front I the same at the front
 *     a T O I N         operation O of thread T was appended: N entries from index I on
 *     d T O I N         the same, and it is durable
 *     error ...         something failed that should not
 *
 * Operations are counted from 0 for each thread. An entry is "CHECKSUM ROUND T O POSITION N letters": in hexadecimal the CRC-32 of all
 * behind it, who wrote it, and where in its batch of N it is. Operation O is a batch of 2 + O % 6 entries if O % 8 is 3, an asynchronous append if
 * O % 8 is 5, one that is to be durable if O % 16 is 9, otherwise a plain one. The letters are (ROUND * 7 + O * 13 + POSITION * 29) % 200, and 6000 more
 * if O % 64 is 17: 'a' + (O + POSITION + i) % 26.
 *
 * WALRUS_SEED, WALRUS_KILLS (of all cases together) and WALRUS_SECONDS (the same, instead of a number) say how far it goes.
 */
#include "../c/variants.h"

#include <pthread.h>
#include <zlib.h>

enum { LARGEST = 6400, THREADS = 3, MOST_IN_BATCH = 7 };

/* ---- The host in C -------------------------------------------------------------------------- */

typedef struct host {
    walrus_t *log;
    int journal;
    uint64_t round, thread, operation;
    bool lies; /* it acknowledges what it is only about to append */
} host_t;

__attribute__((format(printf, 2, 3))) static void say(int journal, const char *format, ...) {
    char line[200];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (write(journal, line, (size_t)length) != length)
        _exit(4);
}

static size_t make_entry(char *bytes, uint64_t round, uint64_t thread, uint64_t operation, uint64_t position, uint64_t count) {
    int length = snprintf(bytes + 9, 120, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " ", round, thread, operation, position, count);
    size_t letters = (round * 7 + operation * 13 + position * 29) % 200 + (operation % 64 == 17 ? 6000 : 0), size = 9 + (size_t)length;
    for (size_t i = 0; i < letters; i++)
        bytes[size++] = (char)('a' + (operation + position + i) % 26);
    char checksum[10];
    snprintf(checksum, sizeof checksum, "%08lx ", crc32(0, (const unsigned char *)bytes + 9, (unsigned)(size - 9)));
    memcpy(bytes, checksum, 9);
    return size;
}

typedef struct completion {
    host_t *host;
    uint64_t operation;
} completion_t;

static void tell_durable(void *ctx, uint64_t index, int32_t status) {
    completion_t *completion = ctx;
    if (status == WALRUS_OK)
        say(completion->host->journal, "d %" PRIu64 " %" PRIu64 " %" PRIu64 " 1\n", completion->host->thread, completion->operation, index);
    else
        say(completion->host->journal, "error %s from a completion\n", check_code_name(status));
    free(completion);
}

static void *append_for_ever(void *ctx) {
    host_t *host = ctx;
    static _Thread_local char bytes[MOST_IN_BATCH][LARGEST];
    for (;; host->operation++) {
        uint64_t operation = host->operation, index = 0;
        size_t count = operation % 8 == 3 ? 2 + operation % 6 : 1;
        walrus_record_t records[MOST_IN_BATCH] = {0};
        for (size_t i = 0; i < count; i++)
            records[i] = (walrus_record_t){.data = bytes[i], .size = make_entry(bytes[i], host->round, host->thread, operation, i, count)};
        int32_t result;
        bool is_durable = operation % 16 == 9;
        if (host->lies)
            say(host->journal, "a %" PRIu64 " %" PRIu64 " %" PRIu64 " %zu\n", host->thread, operation, walrus_next_index(host->log), count);
        if (operation % 8 == 5) {
            completion_t *completion = malloc(sizeof *completion);
            *completion = (completion_t){host, operation};
            result = walrus_append_async(host->log, &records[0], 0, tell_durable, completion, &index);
        } else if (count > 1)
            result = walrus_append_batch(host->log, records, count, 0, &index);
        else
            result = walrus_append_record(host->log, &records[0], is_durable ? WALRUS_DURABLE : 0, &index);
        if (result != WALRUS_OK)
            say(host->journal, "error %s: %s\n", check_code_name(result), last_error().message);
        else if (operation % 8 != 5 && !host->lies)
            say(host->journal, "%c %" PRIu64 " %" PRIu64 " %" PRIu64 " %zu\n", is_durable ? 'd' : 'a', host->thread, operation, index, count);
    }
    return NULL;
}

static void be_host(const char *dir, const char *text, uint64_t round, uint64_t seed, int journal, bool lies) {
    walrus_t *log = NULL;
    say(journal, "ready\n");
    int32_t result = try_open(dir, text, &log);
    if (result != WALRUS_OK)
        say(journal, "error %s: %s\n", check_code_name(result), last_error().message);
    uint64_t first = walrus_first_index(log), last = walrus_last_index(log);
    if (round % 3 == 1 && last > first + 20) {
        uint64_t index = last - seed % 15;
        say(journal, "cut? %" PRIu64 "\n", index);
        if (walrus_truncate(log, index) != WALRUS_OK)
            say(journal, "error truncate: %s\n", last_error().message);
        say(journal, "cut %" PRIu64 "\n", index);
    } else if (last > first + 3000) {
        uint64_t index = last - 500;
        say(journal, "front? %" PRIu64 "\n", index);
        if (walrus_truncate_front(log, index) != WALRUS_OK)
            say(journal, "error truncate_front: %s\n", last_error().message);
        say(journal, "front %" PRIu64 "\n", index);
    }
    static host_t hosts[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        hosts[i] = (host_t){log, journal, round, i, 0, lies};
        if (pthread_create(&thread, NULL, append_for_ever, &hosts[i]) != 0)
            say(journal, "error no thread\n");
        if (lies) /* of several nobody could foretell the index */
            break;
    }
    for (;;)
        pause();
}

/* ---- The parent ----------------------------------------------------------------------------- */

/* Who wrote an entry. */
typedef struct writer {
    uint64_t round, thread, operation, position, count;
} writer_t;

typedef struct campaign {
    const char *host, *dir;
    char text[300];
    bool may_lose; /* what was only acknowledged, not durable */
    writer_t *known; /* all that the log held when it was looked at last, and has to hold since; [index - first] */
    uint64_t first, next;
} campaign_t;

/* What a host said. */
typedef struct told {
    char *text;
    size_t size;
    uint64_t cut, front;         /* 0: none                                                                                 */
    bool cut_is_done, front_is_done;
} told_t;

static struct {
    uint64_t kills, acknowledged, found, unacknowledged, lost, before_open, in_cut;
} counts;

static bool host_lies, was_found_out;

__attribute__((format(printf, 1, 2))) static void broken(const char *format, ...) {
    if (host_lies) {
        was_found_out = true;
        return;
    }
    char text[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    FAIL("%s", text);
}

/* Reads an entry, which must be one that a host has made. */
static bool read_writer(walrus_t *log, uint64_t index, writer_t *writer) {
    walrus_entry_t entry;
    char text[200] = "", expected[LARGEST];
    CHECK_OK(walrus_get(log, index, &entry));
    memcpy(text, entry.data, entry.size < sizeof text - 1 ? entry.size : sizeof text - 1);
    bool is_right = sscanf(text, "%*8x %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &writer->round, &writer->thread,
                           &writer->operation, &writer->position, &writer->count) == 5;
    is_right = is_right &&
               make_entry(expected, writer->round, writer->thread, writer->operation, writer->position, writer->count) == entry.size &&
               memcmp(expected, entry.data, entry.size) == 0;
    walrus_entry_release(&entry);
    return is_right;
}

static void read_told(told_t *told, int journal) {
    size_t capacity = 1 << 16;
    *told = (told_t){.text = malloc(capacity + 1)};
    for (ssize_t got; (got = read(journal, told->text + told->size, capacity - told->size)) > 0;) {
        told->size += (size_t)got;
        if (told->size == capacity)
            told->text = realloc(told->text, (capacity *= 2) + 1);
    }
    told->text[told->size] = 0;
    /* The last line may be cut short by the kill. */
    char *end = strrchr(told->text, '\n');
    if (end != NULL)
        end[1] = 0;
    else
        told->text[0] = 0;
    char *error = strstr(told->text, "error ");
    if (error != NULL)
        FAIL("the host says: %.*s", (int)strcspn(error, "\n"), error);
    for (char *line = told->text; *line != 0; line = strchr(line, '\n') + 1) {
        uint64_t index;
        if (sscanf(line, "cut? %" SCNu64, &index) == 1 || sscanf(line, "cut %" SCNu64, &index) == 1)
            told->cut = index, told->cut_is_done = line[3] != '?';
        if (sscanf(line, "front? %" SCNu64, &index) == 1 || sscanf(line, "front %" SCNu64, &index) == 1)
            told->front = index, told->front_is_done = line[5] != '?';
    }
}

/* What was known, less what the host cut. */
static void apply_cuts(campaign_t *campaign, const told_t *told, uint64_t first, uint64_t next) {
    if (told->cut != 0 && (told->cut_is_done || next == told->cut + 1))
        campaign->next = told->cut + 1;
    if (told->front != 0 && (told->front_is_done || first == told->front)) {
        memmove(campaign->known, campaign->known + (told->front - campaign->first), (campaign->next - told->front) * sizeof *campaign->known);
        campaign->first = told->front;
    }
    counts.in_cut += (told->cut != 0 && !told->cut_is_done) || (told->front != 0 && !told->front_is_done);
}

static bool is_same(const writer_t *a, const writer_t *b) { return memcmp(a, b, sizeof *a) == 0; }

/* Everything that was known, then what this round's host has appended: each thread's operations in order, whole and without a gap. */
static void check_entries(campaign_t *campaign, walrus_t *log, uint64_t round, uint64_t next) {
    uint64_t operations[THREADS] = {0}, due = 0;
    campaign->known = realloc(campaign->known, (next - campaign->first + 1) * sizeof *campaign->known);
    CHECK(campaign->known != NULL);
    for (uint64_t index = campaign->first; index < next && !was_found_out; index++) {
        writer_t *known = &campaign->known[index - campaign->first], writer = {0};
        if (!read_writer(log, index, &writer))
            broken("entry %" PRIu64 " is none that a host has made", index);
        else if (index < campaign->next) {
            if (!is_same(&writer, known))
                broken("entry %" PRIu64 " was another one before", index);
        } else if (writer.round != round || writer.thread >= THREADS)
            broken("entry %" PRIu64 " is of round %" PRIu64 " and thread %" PRIu64, index, writer.round, writer.thread);
        else {
            uint64_t *operation = &operations[writer.thread];
            if (writer.operation != *operation || writer.position != due)
                broken("entry %" PRIu64 " is %" PRIu64 " of operation %" PRIu64 " of thread %" PRIu64 "; expected %" PRIu64 " of %" PRIu64, index,
                       writer.position, writer.operation, writer.thread, due, *operation);
            due = writer.position + 1 == writer.count ? 0 : writer.position + 1;
            *operation += due == 0;
        }
        *known = writer;
    }
    if (due != 0)
        broken("the log ends inside a batch");
}

/* Each acknowledged operation is where it was said to be. */
static void check_acknowledged(campaign_t *campaign, const told_t *told, uint64_t round, uint64_t next) {
    uint64_t acknowledged = 0;
    for (char *line = told->text; *line != 0 && !was_found_out; line = strchr(line, '\n') + 1) {
        char kind;
        writer_t writer = {.round = round};
        uint64_t index;
        if (sscanf(line, "%c %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &kind, &writer.thread, &writer.operation, &index, &writer.count) != 5 ||
            (kind != 'a' && kind != 'd'))
            continue;
        counts.acknowledged++;
        for (; writer.position < writer.count && !was_found_out; writer.position++, index++) {
            acknowledged++;
            if (index >= next && campaign->may_lose && kind == 'a')
                counts.lost++;
            else if (index < campaign->first || index >= next)
                broken("entry %" PRIu64 " was acknowledged (%c) and is gone: the log is %" PRIu64 "..<%" PRIu64, index, kind, campaign->first, next);
            else if (!is_same(&writer, &campaign->known[index - campaign->first]))
                broken("entry %" PRIu64 " is not the one that was acknowledged there", index);
        }
    }
    if (next - campaign->next > acknowledged)
        counts.unacknowledged += next - campaign->next - acknowledged;
}

static pid_t start_host(const campaign_t *campaign, uint64_t round, uint64_t seed, int journal) {
    pid_t child = start();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(campaign->host, "c") == 0)
        be_host(campaign->dir, campaign->text, round, seed, journal, host_lies);
    char numbers[2][24];
    snprintf(numbers[0], sizeof numbers[0], "%" PRIu64, round);
    snprintf(numbers[1], sizeof numbers[1], "%" PRIu64, seed);
    dup2(journal, STDOUT_FILENO);
    const char *program = getenv(strcmp(campaign->host, "python") == 0 ? "WALRUS_PYTHON_HOST" : "WALRUS_RUST_HOST"), *python = getenv("PYTHON");
    if (strcmp(campaign->host, "python") == 0)
        execlp(python && python[0] ? python : "python3", "python3", program, campaign->dir, campaign->text, numbers[0], numbers[1], (char *)NULL);
    else
        execl(program, program, campaign->dir, campaign->text, numbers[0], numbers[1], (char *)NULL);
    _exit(126);
}

/* Begins with the log as the last round left it, and ends with one that was looked at. */
static void kill_one(campaign_t *campaign, uint64_t round, random_source_t *chance) {
    int journal[2];
    char ready[6];
    CHECK(pipe2(journal, O_CLOEXEC) == 0);
    CHECK(fcntl(journal[1], F_SETPIPE_SZ, 1 << 20) > 0);
    pid_t child = start_host(campaign, round, next_random(chance) >> 32, journal[1]);
    close(journal[1]);
    if (read(journal[0], ready, 6) != 6 || memcmp(ready, "ready\n", 6) != 0)
        FAIL("the %s host did not start: status %d", campaign->host, await(child));
    uint64_t patience = strcmp(campaign->host, "python") == 0 ? 100000 : 30000; /* us; it takes longer to get going */
    usleep((useconds_t)(below(chance, 4) ? 2000 + below(chance, patience) : below(chance, 4000)));
    kill(child, SIGKILL);
    CHECK_U64(1000 + SIGKILL, await(child));
    told_t told;
    read_told(&told, journal[0]);
    close(journal[0]);
    counts.kills++;
    if (!exists(campaign->dir) || (told.text[0] == 0 && campaign->next == campaign->first && !exists(at("log/walrus.meta")))) {
        counts.before_open++; /* killed before it had created anything: the next one will */
        free(told.text);
        return;
    }
    char text[sizeof campaign->text + 20];
    bool only_reads = round % 2 == 0;
    snprintf(text, sizeof text, "%s%s", campaign->text, only_reads ? " read_only=true" : "");
    walrus_t *log = NULL;
    int32_t result = try_open(campaign->dir, text, &log);
    if (result == WALRUS_E_NO_LOG && only_reads && campaign->next == campaign->first && told.text[0] == 0) {
        counts.before_open++; /* while it was creating the log */
        free(told.text);
        return;
    }
    CHECK_OK(result);
    uint64_t first = walrus_first_index(log), next = walrus_next_index(log);
    if (first == 0)
        first = next;
    apply_cuts(campaign, &told, first, next);
    if (first != campaign->first || next < campaign->next)
        broken("the log is %" PRIu64 "..<%" PRIu64 ", and was %" PRIu64 "..<%" PRIu64, first, next, campaign->first, campaign->next);
    check_entries(campaign, log, round, next);
    check_acknowledged(campaign, &told, round, next);
    counts.found += next - campaign->next;
    campaign->next = next;
    CHECK_OK(walrus_close(log));
    free(told.text);
}

static double setting(const char *name) {
    const char *text = getenv(name);
    return text != NULL ? strtod(text, NULL) : 0;
}

static const char *const levels[] = {"always", "interval sync_interval_ms=5", "os", "none"};

/* Kills hosts of one kind: at each level in turn, in a new directory now and then. `of_12`: the share of all kills that is this one's. */
static void kill_hosts(const char *host, double of_12) {
    uint64_t seed = run_seed(), kills = (uint64_t)(setting("WALRUS_KILLS") * of_12 / 12);
    double began = check_now_s(), seconds = setting("WALRUS_SECONDS") * of_12 / 12;
    if (kills == 0 && seconds == 0)
        kills = (uint64_t)(240 * of_12 / 12);
    if (kills == 0)
        kills = UINT64_MAX;
    double until = seconds > 0 ? began + seconds : 1e15;
    random_source_t chance = {seed};
    for (uint64_t n = 0; counts.kills < kills && check_now_s() < until && !was_found_out; n++) {
        campaign_t campaign = {.host = host, .dir = at("log"), .first = 1, .next = 1, .may_lose = n % 4 == 3};
        check_remove_tree(AT_FDCWD, campaign.dir);
        snprintf(campaign.text, sizeof campaign.text, "sync=%s %s segment_size=%s buffer_size=4KiB%s", levels[n % 4],
                 variants[(n / 4 + seed) % VARIANTS], below(&chance, 2) ? "16KiB" : "256KiB", below(&chance, 4) ? "" : " preallocate=off");
        variant = campaign.text;
        uint64_t rounds = kills < 200 ? (kills + 3) / 4 : 25;
        for (uint64_t round = 1; round <= rounds && counts.kills < kills && check_now_s() < until && !was_found_out; round++) {
            alarm(CHECK_SECONDS_PER_CASE);
            CHECK_NOTE("WALRUS_SEED=%" PRIu64 ", %s host, campaign %" PRIu64 ", round %" PRIu64 ": %s", seed, host, n, round, variant);
            kill_one(&campaign, round, &chance);
        }
        free(campaign.known);
    }
    printf("      %s: %" PRIu64 " kills, %" PRIu64 " before there was a log, %" PRIu64 " in a truncation; %" PRIu64 " operations acknowledged; %" PRIu64
           " new entries found, %" PRIu64 " of them in flight; with sync=none %" PRIu64 " lost; %.0f ms a kill\n",
           host, counts.kills, counts.before_open, counts.in_cut, counts.acknowledged, counts.found, counts.unacknowledged, counts.lost,
           (check_now_s() - began) * 1000 / (double)(counts.kills + 1));
}

static void check_counts(void) { CHECK(counts.kills < 20 || (counts.acknowledged > counts.kills && counts.before_open < counts.kills / 2)); }

static void need(const char *program, const char *what) {
    const char *path = getenv(program);
    if (path == NULL || access(path, R_OK) != 0)
        SKIP("there is no %s", what);
}

/* Catches: an acknowledgement before the write or the sync, from whichever thread, an index that is told to two, half a batch, and a recovery that
 * loses what an earlier one had kept. */
CASE(a_host_in_c_that_is_killed_loses_nothing) {
    kill_hosts("c", 6);
    check_counts();
}

/* Catches: the same, where the binding adds to it. */
CASE(a_host_in_python_that_is_killed_loses_nothing) {
    need("WALRUS_PYTHON_HOST", "host in Python");
    kill_hosts("python", 3);
    check_counts();
}

CASE(a_host_in_rust_that_is_killed_loses_nothing) {
    need("WALRUS_RUST_HOST", "host in Rust: cargo did not build it");
    kill_hosts("rust", 3);
    check_counts();
}

/* Catches: a parent that finds nothing because it looks at nothing. */
CASE(a_host_that_acknowledges_too_early_is_found_out) {
    host_lies = true;
    setenv("WALRUS_KILLS", "400", 1);
    setenv("WALRUS_SECONDS", "60", 1);
    kill_hosts("c", 12);
    CHECK(was_found_out);
}
