/* formats.c - what a format and its compression cost: bytes on disk, and time to append and to read
 *
 *     formats DIRECTORY KIND FILE      FILE: payloads, one behind the other, each with its size before it in 4 bytes
 *
 * Prints rows of a Markdown table. Each log is written three times (sync=none, one entry at a time), read in order and at random, and the
 * best time counts. What is read has been written just now: no disk is part of it.
 */
#include <walrus.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { ROUNDS = 3 };

static unsigned char *file;
static size_t file_size, count;
static const unsigned char **payloads;
static uint32_t *sizes;

static void check(int32_t result, const char *what) {
    if (result >= 0) return;
    walrus_error_t error = {.struct_size = sizeof error};
    walrus_last_error(&error);
    fprintf(stderr, "formats: %s: %s\n", what, error.message);
    exit(1);
}

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void load(const char *path) {
    FILE *from = fopen(path, "rb");
    struct stat status;
    if (from == NULL || fstat(fileno(from), &status) != 0) {
        perror(path);
        exit(1);
    }
    file_size = (size_t)status.st_size;
    file = malloc(file_size);
    payloads = malloc(file_size / 4 * sizeof *payloads);
    sizes = malloc(file_size / 4 * sizeof *sizes);
    if (file == NULL || payloads == NULL || sizes == NULL || fread(file, 1, file_size, from) != file_size) exit(1);
    fclose(from);
    for (size_t at = 0; at + 4 <= file_size; at += 4 + sizes[count++]) {
        memcpy(&sizes[count], file + at, 4);
        payloads[count] = file + at + 4;
    }
}

static walrus_t *open_log(const char *dir, const char *format, const char *compression, const char *level) {
    walrus_options_t *options = walrus_options_new();
    walrus_t *log = NULL;
    check(walrus_options_set(options, "format", format), "format");
    check(walrus_options_set(options, "compression", compression), "compression");
    check(walrus_options_set(options, "compression_level", level), "level");
    check(walrus_options_set(options, "compression_min_size", "64"), "least size");
    check(walrus_options_set(options, "sync", "none"), "sync");
    check(walrus_open(dir, options, &log), "open");
    walrus_options_free(options);
    return log;
}

static uint64_t bytes_on_disk(const char *dir) {
    DIR *directory = opendir(dir);
    uint64_t bytes = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[4096];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (strstr(entry->d_name, ".wal") != NULL && stat(path, &status) == 0) bytes += (uint64_t)status.st_size - 4096;
    }
    closedir(directory);
    return bytes;
}

static volatile uint64_t sink;

static int32_t visit(void *ctx, const walrus_entry_t *entry) {
    (void)ctx;
    sink += entry->size;
    return 0;
}

static void least(double *best, double value) { *best = *best == 0 || value < *best ? value : *best; }

static void measure(const char *dir, const char *kind, const char *format, const char *compression, const char *level) {
    double append = 0, scan = 0, get = 0;
    uint64_t bytes = 0, payload = 0;
    for (size_t i = 0; i < count; i++) payload += sizes[i];
    for (int round = 0; round < ROUNDS; round++) {
        walrus_t *log = open_log(dir, format, compression, level);
        check(walrus_append(log, payloads[0], sizes[0], NULL), "append"); /* makes the first segment */
        double start = now_ns();
        for (size_t i = 1; i < count; i++) check(walrus_append(log, payloads[i], sizes[i], NULL), "append");
        least(&append, (now_ns() - start) / (double)(count - 1));
        check(walrus_close(log), "close");
        bytes = bytes_on_disk(dir);
        log = open_log(dir, format, "none", "-1");
        check(walrus_scan(log, 1, UINT64_MAX, visit, NULL), "scan"); /* touches what is mapped */
        start = now_ns();
        check(walrus_scan(log, 1, UINT64_MAX, visit, NULL), "scan");
        least(&scan, (now_ns() - start) / (double)count);
        uint64_t state = 88172645463325252u, gets = count / 4;
        start = now_ns();
        for (uint64_t i = 0; i < gets; i++) {
            walrus_entry_t entry;
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            check(walrus_get(log, 1 + state % count, &entry), "get");
            sink += entry.size;
            walrus_entry_release(&entry);
        }
        least(&get, (now_ns() - start) / (double)gets);
        check(walrus_close(log), "close");
        check(walrus_destroy(dir), "destroy");
    }
    const char *label = strcmp(compression, "none") == 0 ? "none" : strcmp(level, "-1") == 0 ? "zlib" : "zlib, level 1";
    printf("| %s | %s | %s | %.0f | %.1f | %.0f %% | %.0f | %.0f | %.0f |\n", kind, format, label, (double)payload / (double)count,
           (double)bytes / (double)count, 100.0 * (double)bytes / (double)payload, append, scan, get);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const char *const formats[] = {"binary", "json", "proto"};
    if (argc != 4) {
        fprintf(stderr, "usage: formats DIRECTORY KIND FILE\n");
        return 2;
    }
    load(argv[3]);
    for (int f = 0; f < 3; f++) {
        measure(argv[1], argv[2], formats[f], "none", "-1");
        measure(argv[1], argv[2], formats[f], "zlib", "1");
        measure(argv[1], argv[2], formats[f], "zlib", "-1");
    }
    return 0;
}
