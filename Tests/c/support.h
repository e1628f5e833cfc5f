/* support.h - what several of the C tests need: settings as text, payloads, directory images, a model of a log
 *
 * Payloads are made from a seed and a size, so that a test knows what every entry must hold without keeping it. A
 * directory image is all files of a directory in memory: the means by which tests crash a log (copy the directory of
 * one that is open), damage it, and prove that nothing was touched.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "check.h"

#include <sys/resource.h>

/* ---- Places --------------------------------------------------------------------------------- */

static inline const char *path_in(const char *directory, const char *format, va_list arguments) {
    char name[256], path[1536];
    vsnprintf(name, sizeof name, format, arguments);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return strdup(path); /* never freed: a case's process is short */
}

/* A path in the case's directory. */
__attribute__((format(printf, 1, 2))) static inline const char *at(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *path = path_in(check_directory, format, arguments);
    va_end(arguments);
    return path;
}

/* The same in memory, where a sync costs nothing: for sweeps that are not about what a disk keeps. */
__attribute__((format(printf, 1, 2))) static inline const char *in_memory(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *path = path_in(check_memory_directory, format, arguments);
    va_end(arguments);
    return path;
}

static inline bool exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

static inline void write_file(const char *path, const void *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(fd, (const char *)bytes + done, size - done);
        CHECK(wrote > 0);
        done += (size_t)wrote;
    }
    close(fd);
}

static inline unsigned char *read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    struct stat status;
    CHECK(fstat(fd, &status) == 0);
    unsigned char *bytes = malloc((size_t)status.st_size + 1);
    CHECK(bytes != NULL);
    size_t done = 0;
    for (ssize_t got;
         done < (size_t)status.st_size && (got = read(fd, bytes + done, (size_t)status.st_size - done)) > 0;)
        done += (size_t)got;
    close(fd);
    *size = done;
    return bytes;
}

/* ---- Chance --------------------------------------------------------------------------------- */

typedef struct random_source {
    uint64_t state;
} random_source_t;

/* splitmix64: small, and every seed is a good one. */
static inline uint64_t next_random(random_source_t *source) {
    uint64_t z = source->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline uint64_t below(random_source_t *source, uint64_t bound) {
    return bound == 0 ? 0 : next_random(source) % bound;
}

/* The seed of this run: WALRUS_SEED if it is set, otherwise a new one. Printed, so that a failure can be had again. */
static inline uint64_t run_seed(void) {
    const char *text = getenv("WALRUS_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = text != NULL && text[0] != 0
                        ? strtoull(text, NULL, 0)
                        : ((uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec) % 1000000000;
    printf("      %s: WALRUS_SEED=%" PRIu64 "\n", check_case_name, seed);
    fflush(stdout);
    return seed;
}

/* ---- Payloads ------------------------------------------------------------------------------- */

/* Payloads are letters that can be compressed, instead of noise that can not. */
static bool payloads_are_text;

static inline uint64_t next_word(random_source_t *source) {
    uint64_t word = next_random(source);
    return payloads_are_text ? (word & UINT64_C(0x0707070707070707)) | UINT64_C(0x6060606060606060) : word;
}

static inline void fill(void *buffer, size_t size, uint64_t seed) {
    random_source_t source = {seed * 2 + 1};
    unsigned char *bytes = buffer;
    for (size_t done = 0; done < size;) {
        uint64_t word = next_word(&source);
        size_t part = size - done < 8 ? size - done : 8;
        memcpy(bytes + done, &word, part);
        done += part;
    }
}

/* Freshly allocated, never NULL, also for 0 bytes. */
static inline unsigned char *payload(size_t size, uint64_t seed) {
    unsigned char *bytes = malloc(size + 1);
    CHECK(bytes != NULL);
    fill(bytes, size, seed);
    return bytes;
}

static inline bool is_payload(const void *data, size_t size, uint64_t seed) {
    random_source_t source = {seed * 2 + 1};
    const unsigned char *bytes = data;
    for (size_t done = 0; done < size;) {
        uint64_t word = next_word(&source);
        size_t part = size - done < 8 ? size - done : 8;
        if (memcmp(bytes + done, &word, part) != 0)
            return false;
        done += part;
    }
    return true;
}

static inline uint64_t append_payload(walrus_t *log, size_t size, uint64_t seed) {
    unsigned char *bytes = payload(size, seed);
    uint64_t index = 0;
    CHECK_OK(walrus_append(log, bytes, size, &index));
    free(bytes);
    return index;
}

static inline void check_entry(walrus_t *log, uint64_t index, size_t size, uint64_t seed) {
    walrus_entry_t entry;
    memset(&entry, 0xA5, sizeof entry);
    CHECK_OK(walrus_get(log, index, &entry));
    CHECK_U64(index, entry.index);
    CHECK_U64(size, entry.size);
    CHECK(entry.size == 0 || is_payload(entry.data, entry.size, seed));
    CHECK_U64(walrus_crc32(entry.data, entry.size), entry.checksum);
    CHECK_U64(0, entry.flags);
    walrus_entry_release(&entry);
}

static inline bool is_zeroed(const void *memory, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)memory)[i] != 0)
            return false;
    return true;
}

static inline bool is_filled(const void *memory, size_t size, unsigned char with) {
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)memory)[i] != with)
            return false;
    return true;
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* Options from "key=value key=value". */
static inline walrus_options_t *settings(const char *text) {
    walrus_options_t *options = walrus_options_new();
    CHECK(options != NULL);
    char copy[512], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        if (word[0] == 0)
            continue;
        char *value = strchr(word, '=');
        CHECK(value != NULL);
        *value++ = 0;
        CHECK_OK(walrus_options_set(options, word, value));
    }
    return options;
}

static inline int32_t try_open(const char *dir, const char *text, walrus_t **log) {
    walrus_options_t *options = settings(text);
    int32_t result = walrus_open(dir, options, log);
    walrus_options_free(options);
    return result;
}

static inline walrus_t *open_log(const char *dir, const char *text) {
    walrus_t *log = NULL;
    CHECK_OK(try_open(dir, text, &log));
    CHECK(log != NULL);
    return log;
}

static inline walrus_error_t last_error(void) {
    walrus_error_t error;
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    CHECK(walrus_last_error(&error) == WALRUS_OK);
    return error;
}

/* ---- What the process holds ----------------------------------------------------------------- */

static inline size_t count_names(const char *path) {
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static inline size_t count_descriptors(void) { return count_names("/proc/self/fd"); }
static inline size_t count_threads(void) { return count_names("/proc/self/task"); }

/* Mappings of files whose path contains text. */
static inline size_t count_mappings(const char *text) {
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    size_t count = 0;
    char line[PATH_MAX + 200];
    while (fgets(line, sizeof line, maps) != NULL)
        count += strstr(line, text) != NULL;
    fclose(maps);
    return count;
}

/* Whether the address lies in a mapping of a file whose path contains text. */
static inline bool is_mapped_from(const void *address, const char *text) {
    FILE *maps = fopen("/proc/self/maps", "re");
    CHECK(maps != NULL);
    bool found = false;
    char line[PATH_MAX + 200];
    while (!found && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from, to;
        found = sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && (uintptr_t)address >= from &&
                (uintptr_t)address < to && strstr(line, text) != NULL;
    }
    fclose(maps);
    return found;
}

typedef struct holdings {
    size_t descriptors, threads, mappings;
} holdings_t;

static inline holdings_t count_holdings(void) {
    return (holdings_t){count_descriptors(), count_threads(), count_mappings(".wal")};
}

/* Nothing more is held than before. A joined thread may show in /proc a moment longer, hence the patience. */
static inline void check_holdings(const char *file, int line, holdings_t before) {
    holdings_t now = count_holdings();
    for (int wait = 0; wait < 200 && now.threads > before.threads; wait++) {
        usleep(5000);
        now = count_holdings();
    }
    if (now.descriptors > before.descriptors || now.threads > before.threads || now.mappings > before.mappings)
        check_failed(file, line, "left behind: %zu descriptors (of %zu), %zu threads (of %zu), %zu mappings (of %zu)",
                     now.descriptors - before.descriptors, now.descriptors, now.threads - before.threads, now.threads,
                     now.mappings - before.mappings, now.mappings);
}
#define CHECK_HOLDINGS(before) check_holdings(__FILE__, __LINE__, before)

/* ---- Processes ------------------------------------------------------------------------------ */

static inline pid_t start(void) {
    fflush(stdout);
    fflush(stderr);
    pid_t child = fork();
    CHECK(child >= 0);
    return child;
}

/* Waits for a child; its exit status, or 1000 + the signal that ended it. */
static inline int await(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        CHECK(errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- Directory images ----------------------------------------------------------------------- */

typedef struct image_file {
    char name[256];
    unsigned char *bytes;
    size_t size;
    mode_t mode;
} image_file_t;

typedef struct image {
    image_file_t *files;
    size_t count, capacity;
} image_t;

static inline int image_order(const void *a, const void *b) {
    return strcmp(((const image_file_t *)a)->name, ((const image_file_t *)b)->name);
}

/* All regular files of a directory, by name. A file that is removed meanwhile (the library does so in the background)
 * is left out. */
static inline image_t *image_read(const char *dir) {
    image_t *image = calloc(1, sizeof *image);
    CHECK(image != NULL);
    DIR *directory = opendir(dir);
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat status;
        if (fd < 0)
            continue;
        if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
            close(fd);
            continue;
        }
        if (image->count == image->capacity) {
            image->capacity = image->capacity ? image->capacity * 2 : 16;
            image->files = realloc(image->files, image->capacity * sizeof *image->files);
            CHECK(image->files != NULL);
        }
        image_file_t *file = &image->files[image->count++];
        memset(file, 0, sizeof *file);
        snprintf(file->name, sizeof file->name, "%s", entry->d_name);
        file->mode = status.st_mode & 07777;
        file->bytes = malloc((size_t)status.st_size + 1);
        CHECK(file->bytes != NULL);
        for (ssize_t got; file->size < (size_t)status.st_size &&
                          (got = read(fd, file->bytes + file->size, (size_t)status.st_size - file->size)) > 0;)
            file->size += (size_t)got;
        close(fd);
    }
    closedir(directory);
    if (image->count != 0)
        qsort(image->files, image->count, sizeof image->files[0], image_order);
    return image;
}

static inline void image_free(image_t *image) {
    for (size_t i = 0; i < image->count; i++)
        free(image->files[i].bytes);
    free(image->files);
    free(image);
}

/* Makes dir hold exactly the image's files. */
static inline void image_write(const image_t *image, const char *dir) {
    check_remove_tree(AT_FDCWD, dir);
    CHECK(mkdir(dir, 0755) == 0);
    int parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(parent >= 0);
    for (size_t i = 0; i < image->count; i++) {
        const image_file_t *file = &image->files[i];
        int fd = openat(parent, file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK(fchmod(fd, file->mode) == 0);
        for (size_t done = 0; done < file->size;) {
            ssize_t wrote = write(fd, file->bytes + done, file->size - done);
            CHECK(wrote > 0);
            done += (size_t)wrote;
        }
        close(fd);
    }
    close(parent);
}

static inline void copy_directory(const char *from, const char *to) {
    image_t *image = image_read(from);
    image_write(image, to);
    image_free(image);
}

static inline image_file_t *image_find(image_t *image, const char *name) {
    for (size_t i = 0; i < image->count; i++)
        if (strcmp(image->files[i].name, name) == 0)
            return &image->files[i];
    return NULL;
}

static inline bool is_segment(const char *name) {
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".wal") == 0;
}

/* A file that carries no data, only a lock. */
static inline bool is_lock(const char *name) { return strcasestr(name, "lock") != NULL; }

/* The first difference between two images in words, or NULL. Lock files do not count: they are there to be touched. */
static inline const char *image_difference(const image_t *a, const image_t *b) {
    static char text[600];
    size_t i = 0, j = 0;
    for (;;) {
        while (i < a->count && is_lock(a->files[i].name))
            i++;
        while (j < b->count && is_lock(b->files[j].name))
            j++;
        if (i == a->count && j == b->count)
            return NULL;
        int order = i == a->count ? 1 : j == b->count ? -1 : strcmp(a->files[i].name, b->files[j].name);
        if (order != 0) {
            snprintf(text, sizeof text, "%s is %s", order < 0 ? a->files[i].name : b->files[j].name,
                     order < 0 ? "gone" : "new");
            return text;
        }
        const image_file_t *x = &a->files[i++], *y = &b->files[j++];
        if (x->size != y->size) {
            snprintf(text, sizeof text, "%s has %zu bytes, not %zu", x->name, y->size, x->size);
            return text;
        }
        if (x->size != 0 && memcmp(x->bytes, y->bytes, x->size) != 0) {
            size_t offset = 0;
            while (x->bytes[offset] == y->bytes[offset])
                offset++;
            snprintf(text, sizeof text, "%s differs at offset %zu", x->name, offset);
            return text;
        }
    }
}

static inline void check_untouched(const char *file, int line, const image_t *before, const char *dir) {
    image_t *after = image_read(dir);
    const char *difference = image_difference(before, after);
    if (difference != NULL)
        check_failed(file, line, "the directory was changed: %s", difference);
    image_free(after);
}
#define CHECK_UNTOUCHED(before, dir) check_untouched(__FILE__, __LINE__, before, dir)

/* Where in the image's segments the payload is: its file, and *offset. NULL if nowhere. */
static inline image_file_t *image_find_payload(image_t *image, size_t size, uint64_t seed, size_t *offset) {
    unsigned char *bytes = payload(size, seed);
    image_file_t *found = NULL;
    for (size_t i = 0; i < image->count && found == NULL; i++) {
        image_file_t *file = &image->files[i];
        unsigned char *place = memmem(file->bytes, file->size, bytes, size);
        if (place != NULL) {
            found = file;
            *offset = (size_t)(place - file->bytes);
        }
    }
    free(bytes);
    return found;
}

/* The same in a directory, whose file can then be damaged in place. False if it is nowhere. */
static inline bool find_payload(const char *dir, size_t size, uint64_t seed, char *path, size_t *offset) {
    image_t *image = image_read(dir);
    image_file_t *file = image_find_payload(image, size, seed, offset);
    if (file != NULL)
        snprintf(path, PATH_MAX, "%s/%s", dir, file->name);
    image_free(image);
    return file != NULL;
}

static inline void flip_in_file(const char *path, size_t offset, unsigned char mask) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char byte;
    CHECK(fd >= 0);
    CHECK(pread(fd, &byte, 1, (off_t)offset) == 1);
    byte ^= mask;
    CHECK(pwrite(fd, &byte, 1, (off_t)offset) == 1);
    close(fd);
}

static inline size_t count_segments(const char *dir) {
    DIR *directory = opendir(dir);
    CHECK(directory != NULL);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += is_segment(entry->d_name);
    closedir(directory);
    return count;
}

/* ---- A model of a log ----------------------------------------------------------------------- */

typedef struct model_entry {
    uint64_t seed, term;
    int64_t timestamp_ns; /* 0: the log gave it, and it is learnt at the first look */
    size_t size;
} model_entry_t;

/* What a log must be. An empty one has first == next: what is below next is compacted, the rest not found. */
typedef struct model {
    uint64_t first, next;
    bool ever_held;
    model_entry_t *entries; /* [index - first] */
    size_t capacity;
} model_t;

static inline size_t model_count(const model_t *model) { return (size_t)(model->next - model->first); }

static inline void model_append(model_t *model, uint64_t index, size_t size, uint64_t seed, uint64_t term,
                                int64_t timestamp_ns) {
    if (model->first == 0)
        model->first = model->next = 1;
    if (index != 0 && !model->ever_held)
        model->first = model->next = index;
    if (model_count(model) == model->capacity) {
        model->capacity = model->capacity ? model->capacity * 2 : 256;
        model->entries = realloc(model->entries, model->capacity * sizeof *model->entries);
        CHECK(model->entries != NULL);
    }
    model->entries[model->next++ - model->first] = (model_entry_t){seed, term, timestamp_ns, size};
    model->ever_held = true;
}

static inline void model_truncate(model_t *model, uint64_t index) { model->next = index + 1; }

static inline void model_truncate_front(model_t *model, uint64_t index) {
    if (index <= model->first)
        return;
    memmove(model->entries, model->entries + (index - model->first),
            (size_t)(model->next - index) * sizeof *model->entries);
    model->first = index;
}

static inline void model_reset(model_t *model, uint64_t next) { model->first = model->next = next; }

static inline uint64_t model_last_term(const model_t *model) {
    return model_count(model) ? model->entries[model_count(model) - 1].term : 0;
}

static inline void model_free(model_t *model) {
    free(model->entries);
    memset(model, 0, sizeof *model);
}

static inline void model_check_one(const model_t *model, const walrus_entry_t *entry, uint64_t index) {
    model_entry_t *expected = &model->entries[index - model->first];
    if (entry->index != index || entry->size != expected->size || entry->term != expected->term)
        FAIL("at %" PRIu64 ": index %" PRIu64 ", size %zu (not %zu), term %" PRIu64 " (not %" PRIu64 ")", index,
             entry->index, entry->size, expected->size, entry->term, expected->term);
    if (expected->timestamp_ns == 0)
        expected->timestamp_ns = entry->timestamp_ns;
    if (entry->timestamp_ns != expected->timestamp_ns)
        FAIL("at %" PRIu64 ": timestamp %" PRId64 ", not %" PRId64, index, entry->timestamp_ns, expected->timestamp_ns);
    if (!is_payload(entry->data, entry->size, expected->seed))
        FAIL("at %" PRIu64 ": other bytes than were appended", index);
}

typedef struct model_walk {
    const model_t *model;
    uint64_t next;
} model_walk_t;

static inline int32_t model_visit(void *ctx, const walrus_entry_t *entry) {
    model_walk_t *walk = ctx;
    model_check_one(walk->model, entry, walk->next++);
    return 0;
}

/* The log holds exactly what the model holds, seen through each kind of read. */
static inline void model_check(const model_t *model, walrus_t *log) {
    uint64_t first = model->first ? model->first : 1, next = model->next ? model->next : 1;
    bool empty = first == next;
    walrus_entry_t entry;
    CHECK_U64(empty ? 0 : first, walrus_first_index(log));
    CHECK_U64(empty ? 0 : next - 1, walrus_last_index(log));
    CHECK_U64(next, walrus_next_index(log));
    CHECK(walrus_durable_index(log) < next);
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(log, next, &entry));
    CHECK_CODE(WALRUS_E_NOT_FOUND, walrus_get(log, 0, &entry));
    if (first > 1)
        CHECK_CODE(WALRUS_E_COMPACTED, walrus_get(log, first - 1, &entry));
    if (empty)
        return;
    for (uint64_t index = first; index < next; index++) {
        CHECK_OK(walrus_get(log, index, &entry));
        model_check_one(model, &entry, index);
        CHECK_U64(walrus_crc32(entry.data, entry.size), entry.checksum);
        walrus_entry_release(&entry);
        uint64_t term = ~UINT64_C(0);
        CHECK_OK(walrus_term(log, index, &term));
        CHECK_U64(model->entries[index - first].term, term);
    }
    model_walk_t walk = {model, first};
    CHECK_OK(walrus_scan(log, first, UINT64_MAX, model_visit, &walk));
    CHECK_U64(next, walk.next);
    for (uint64_t index = first; index < next;) {
        walrus_entry_t entries[16];
        size_t count = 0;
        CHECK_OK(walrus_get_range(log, index, next - 1, SIZE_MAX, entries, 16, &count));
        CHECK(count >= 1 && count <= 16);
        for (size_t i = 0; i < count; i++)
            model_check_one(model, &entries[i], index++);
        walrus_entries_release(entries, count);
    }
}

#endif /* SUPPORT_H */
