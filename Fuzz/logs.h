/* logs.h - valid logs by number, and what they hold: something to damage
 *
 * A log's number is its seed: its operations are random, but always the same. It is made when it is first asked for and
 * kept in memory. Some are closed, some left as a killed process leaves them.
 */
#ifndef LOGS_H
#define LOGS_H

#include "operations.h"

enum { LOGS = VARIANTS * 16, LOG_OPERATIONS = 24 };

typedef struct made_value {
    int key;
    value_t value;
    struct made_value *next;
} made_value_t;

typedef struct made_log {
    image_t *image;
    const char *variant;
    model_t model;
    made_value_t *values; /* every one that ever was */
} made_log_t;

static made_log_t made_logs[LOGS];
static made_log_t *made_current;

static inline void made_value(int key, const value_t *value) {
    made_value_t *made = malloc(sizeof *made);
    CHECK(made != NULL);
    *made = (made_value_t){key, *value, made_current->values};
    made_current->values = made;
}

static inline made_log_t *made_log(unsigned number) {
    number %= LOGS;
    made_log_t *made = made_current = &made_logs[number];
    if (made->image != NULL)
        return made;
    made->variant = variants[number % VARIANTS];
    unsigned char bytes[LOG_OPERATIONS * 8];
    random_source_t chance = {number / VARIANTS};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)next_random(&chance);
    player_t player = {.dir = fuzz_log_dir, .variant = made->variant, .on_value = made_value};
    input_t input = {bytes, sizeof bytes};
    check_remove_tree(AT_FDCWD, fuzz_log_dir);
    fuzz_repeat_chance();
    player_open(&player, number / VARIANTS);
    /* A few entries at the end, whatever came before. */
    for (int i = 0; i < LOG_OPERATIONS && play(&player, &input, NULL); i++)
        continue;
    for (int i = 0; i < 3; i++)
        play_append(&player, &input, 1), play_append(&player, &input, 0);
    player_check(&player, player.log); /* learns the timestamps that the log gave */
    player_put_aside(&player);
    bool is_killed = number / VARIANTS % 2;
    if (is_killed) {
        CHECK_OK(walrus_sync(player.log));
        usleep(20000); /* the background's files shall be there, or gone, each time */
        made->image = image_read(fuzz_log_dir);
    }
    CHECK_OK(walrus_close(player.log));
    if (!is_killed)
        made->image = image_read(fuzz_log_dir);
    made->model = player.model;
    check_remove_tree(AT_FDCWD, fuzz_log_dir);
    return made;
}

/* Only what the log held last may ever be read of a damaged one: fewer entries, but no others. */
static inline void made_check(walrus_t *log) {
    const model_t *model = &made_current->model;
    uint64_t first = walrus_first_index(log), last = walrus_last_index(log);
    CHECK_NOTE("what a damaged log shows, opened with %s: %" PRIu64 " to %" PRIu64 " of %" PRIu64 " to %" PRIu64, fuzz_opened_with, first,
               last, model->first, model->next - 1);
    /* Salvage may take a damaged frame's word for how far the log went, but then there is nothing to be read. */
    CHECK(first == 0 || (first >= model->first && (last < model->next || fuzz_is_salvage)));
    for (uint64_t index = first; index != 0 && index <= last; index++) {
        walrus_entry_t entry;
        if (walrus_get(log, index, &entry) != WALRUS_OK)
            continue;
        CHECK(index < model->next);
        const model_entry_t *expected = &model->entries[index - model->first];
        CHECK(entry.size == expected->size && is_entry_payload(entry.data, expected));
        if (!fuzz_is_salvage)
            model_check_one(model, &entry, index);
        walrus_entry_release(&entry);
    }
    for (int key = 0; key < KEYS; key++) {
        unsigned char bytes[64];
        size_t size = 0;
        int32_t code = walrus_meta_get(log, key_names[key], bytes, sizeof bytes, &size);
        CHECK(code == WALRUS_OK || code == WALRUS_E_NOT_FOUND);
        bool is_known = code != WALRUS_OK;
        payloads_are_text = false;
        for (made_value_t *made = made_current->values; made != NULL && !is_known; made = made->next)
            is_known = made->key == key && made->value.size == size && is_payload(bytes, size, made->value.seed);
        CHECK(is_known);
    }
}

/* As image_write, but in place where it can be, and without the zeros that most of walrus.meta is. */
static inline void fuzz_write_image(const image_t *image) {
    static const unsigned char zeros[4096];
    check_remove_tree(AT_FDCWD, fuzz_log_dir);
    CHECK(mkdir(fuzz_log_dir, 0755) == 0);
    int parent = open(fuzz_log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(parent >= 0);
    for (size_t i = 0; i < image->count; i++) {
        const image_file_t *file = &image->files[i];
        if (file->name[0] == 0)
            continue;
        int fd = openat(parent, file->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        CHECK(fd >= 0 && ftruncate(fd, (off_t)file->size) == 0);
        for (size_t at = 0; at < file->size; at += sizeof zeros) {
            size_t part = file->size - at < sizeof zeros ? file->size - at : sizeof zeros;
            if (memcmp(file->bytes + at, zeros, part) != 0)
                CHECK(pwrite(fd, file->bytes + at, part, (off_t)at) == (ssize_t)part);
        }
        close(fd);
    }
    close(parent);
}

/* A copy whose files may be changed. */
static inline image_t *image_copy(const image_t *image) {
    image_t *copy = calloc(1, sizeof *copy);
    CHECK(copy != NULL);
    copy->count = copy->capacity = image->count;
    copy->files = calloc(image->count + 1, sizeof *copy->files);
    CHECK(copy->files != NULL);
    for (size_t i = 0; i < image->count; i++) {
        copy->files[i] = image->files[i];
        copy->files[i].bytes = malloc(image->files[i].size + 1);
        CHECK(copy->files[i].bytes != NULL);
        memcpy(copy->files[i].bytes, image->files[i].bytes, image->files[i].size);
    }
    return copy;
}

static inline void image_set(image_file_t *file, const void *bytes, size_t size) {
    unsigned char *copy = malloc(size + 1);
    CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    free(file->bytes);
    file->bytes = copy;
    file->size = size;
}

#endif /* LOGS_H */
