/* disk.h - what may be found on the disk after the power went
 *
 * Of what was not synced anything may be there and anything may be missing: each 512-byte sector, each file's size and each name
 * by itself. A sector that was written several times may be found at any of its stages. One that never held synced bytes may
 * hold anything at all. So a state is a choice: for each *unit* (a sector, a size, a name, the directory) up to which of
 * the operations on it the disk got. What a failed sync was to cover stays open, whatever syncs follow, until its page is written
 * again and synced: the page cache takes it for clean. Where there are few choices all are made; otherwise a seed draws them, and some draws
 * are the plain ones (all there, nothing there, all up to a moment), since that is where most mistakes show.
 */
#ifndef DISK_H
#define DISK_H

#include "trace.h"

enum { SECTOR = 512, BLOCK = 4096, EXHAUSTIVE = 24 };

typedef struct disk_file {
    unsigned char *stable;   /* what is on the disk; zeros behind `end`                                                     */
    size_t room, end;
    uint64_t size;           /* on the disk                                                                                 */
    unsigned char *held;     /* for each sector: it has held synced bytes                                                   */
    size_t held_room;
    uint32_t *open;          /* operations that the disk may not have                                                       */
    size_t open_count, open_room;
    uint64_t failed;         /* those before this one belong to a sync that failed                                          */
    uint64_t settled;        /* those up to this one do not say the file's size any more                                    */
    uint64_t *rescued;       /* for each page: of those before this one the disk has what they wrote there                  */
    size_t rescued_room;
} disk_file_t;

typedef struct disk_name {
    char name[40];
    int file;
} disk_name_t;

/* The disk after the first `applied` operations of a trace. */
typedef struct disk {
    const trace_t *trace;
    size_t applied;
    disk_file_t *files;
    size_t file_count, file_room;
    disk_name_t *names; /* on the disk                                                                                      */
    size_t name_count, name_room;
    uint32_t *open;     /* operations on names that the disk may not have                                                   */
    size_t open_count, open_room;
    int64_t made;       /* the operation that made the directory; -1: none                                                  */
    bool made_durable;
} disk_t;

typedef enum { UNIT_SECTOR, UNIT_SIZE, UNIT_NAME, UNIT_DIRECTORY } unit_kind_t;

typedef struct unit {
    unit_kind_t kind;
    int file;
    uint32_t place;  /* of a sector, or of an operation on a name in disk->open                                             */
    uint32_t stages; /* operations on it that are not durable                                                               */
    uint32_t stage;  /* how many of them the disk got                                                                       */
    bool is_garbage;
} unit_t;

typedef struct choice {
    unit_t *units;
    size_t count, room;
    uint64_t combinations; /* at most EXHAUSTIVE + 1                                                                        */
    uint64_t salt;         /* of the garbage                                                                                */
    bool is_everything;    /* as if only the process had been killed                                                        */
} choice_t;

static inline uint64_t hashed(uint64_t a, uint64_t b) {
    random_source_t source = {a ^ (b + 1) * UINT64_C(0xD1342543DE82EF95)};
    return next_random(&source);
}

/* ---- The disk while it runs ----------------------------------------------------------------- */

static inline void make_room(disk_file_t *file, uint64_t end) {
    size_t before = file->room;
    file->stable = grown(file->stable, end, &file->room, 1);
    memset(file->stable + before, 0, file->room - before);
}

/* Does to the bytes what the operation does, but only in [from, to). */
static inline void apply_bytes(const trace_t *trace, const operation_t *operation, unsigned char *bytes, uint64_t from, uint64_t to) {
    uint64_t begin = operation->kind == OP_WRITE ? operation->offset : operation->after;
    uint64_t end = operation->kind == OP_WRITE ? operation->offset + operation->size : operation->before;
    if (from < begin)
        from = begin;
    if (to > end)
        to = end;
    if (from >= to)
        return;
    if (operation->kind == OP_WRITE)
        memcpy(bytes + from, trace->bytes + operation->data + (from - begin), to - from);
    else
        memset(bytes + from, 0, to - from); /* what was cut off */
}

/* These sectors hold synced bytes from now on. */
static inline void hold(disk_file_t *file, uint64_t from, uint64_t to) {
    size_t before = file->held_room;
    file->held = grown(file->held, to / SECTOR + 1, &file->held_room, 1);
    memset(file->held + before, 0, file->held_room - before);
    memset(file->held + from / SECTOR, 1, (to + SECTOR - 1) / SECTOR - from / SECTOR);
    if (to > file->end)
        file->end = to;
}

static inline uint64_t rescued_at(const disk_file_t *file, uint64_t page) {
    return page < file->rescued_room ? file->rescued[page] : 0;
}

/* What the operations of a failed sync wrote into pages that this sync covers. */
static inline void rescue(disk_t *disk, disk_file_t *file, uint64_t covers) {
    for (size_t i = 0; i < file->open_count && file->failed > 0; i++) {
        uint64_t number = file->open[i];
        const operation_t *operation = &disk->trace->operations[number];
        if (number < file->failed || number >= covers || operation->kind != OP_WRITE)
            continue;
        uint64_t last = (operation->offset + operation->size - 1) / BLOCK;
        size_t before = file->rescued_room;
        file->rescued = grown(file->rescued, last + 1, &file->rescued_room, sizeof *file->rescued);
        memset(file->rescued + before, 0, (file->rescued_room - before) * sizeof *file->rescued);
        for (uint64_t page = operation->offset / BLOCK; page <= last; page++) {
            for (size_t k = 0; k < i; k++)
                if (file->open[k] < file->failed && rescued_at(file, page) <= file->open[k]) {
                    const operation_t *older = &disk->trace->operations[file->open[k]];
                    uint64_t from = page * BLOCK, to = from + BLOCK, end = older->offset + older->size;
                    make_room(file, to);
                    apply_bytes(disk->trace, older, file->stable, from, to);
                    if (older->kind == OP_WRITE && older->offset < to && from < end)
                        hold(file, older->offset > from ? older->offset : from, end < to ? end : to);
                }
            file->rescued[page] = number;
        }
    }
}

static inline void settle_file(disk_t *disk, disk_file_t *file, uint64_t covers) {
    size_t left = 0;
    rescue(disk, file, covers);
    for (size_t i = 0; i < file->open_count; i++) {
        const operation_t *operation = &disk->trace->operations[file->open[i]];
        if (file->open[i] >= covers || file->open[i] < file->failed) {
            file->open[left++] = file->open[i];
            continue;
        }
        make_room(file, operation->before > operation->after ? operation->before : operation->after);
        apply_bytes(disk->trace, operation, file->stable, 0, UINT64_MAX);
        file->size = operation->after;
        file->settled = file->open[i];
        if (operation->kind == OP_RESIZE)
            continue;
        hold(file, operation->offset, operation->offset + operation->size);
    }
    file->open_count = left;
}

static inline void put_name(disk_name_t **names, size_t *count, size_t *room, const operation_t *operation) {
    const char *gone = operation->kind == OP_CREATE ? "" : operation->name;
    const char *come = operation->kind == OP_CREATE ? operation->name : operation->kind == OP_RENAME ? operation->to : "";
    size_t left = 0;
    for (size_t i = 0; i < *count; i++)
        if (strcmp((*names)[i].name, gone) != 0 && strcmp((*names)[i].name, come) != 0)
            (*names)[left++] = (*names)[i];
    *count = left;
    if (come[0] == 0)
        return;
    *names = grown(*names, *count + 1, room, sizeof **names);
    disk_name_t *name = &(*names)[(*count)++];
    snprintf(name->name, sizeof name->name, "%s", come);
    name->file = operation->file;
}

static inline void disk_step(disk_t *disk) {
    uint32_t number = (uint32_t)disk->applied++;
    const operation_t *operation = &disk->trace->operations[number];
    switch (operation->kind) {
    case OP_MAKE_DIRECTORY:
        disk->made = number;
        disk->made_durable = false;
        break;
    case OP_SYNC_PARENT:
        disk->made_durable |= disk->made >= 0 && (uint64_t)disk->made < operation->covers;
        break;
    case OP_CREATE:
        disk->files = grown(disk->files, (size_t)operation->file + 1, &disk->file_room, sizeof *disk->files);
        disk->files[operation->file] = (disk_file_t){0};
        disk->file_count = (size_t)operation->file + 1;
        /* fall through */
    case OP_RENAME:
    case OP_REMOVE:
        disk->open = grown(disk->open, disk->open_count + 1, &disk->open_room, sizeof *disk->open);
        disk->open[disk->open_count++] = number;
        break;
    case OP_WRITE:
    case OP_RESIZE: {
        disk_file_t *file = &disk->files[operation->file];
        file->open = grown(file->open, file->open_count + 1, &file->open_room, sizeof *file->open);
        file->open[file->open_count++] = number;
        break;
    }
    case OP_FAILED_SYNC: disk->files[operation->file].failed = operation->covers; break;
    case OP_SYNC: settle_file(disk, &disk->files[operation->file], operation->covers); break;
    case OP_SYNC_DIRECTORY: {
        size_t left = 0;
        for (size_t i = 0; i < disk->open_count; i++)
            if (disk->open[i] < operation->covers)
                put_name(&disk->names, &disk->name_count, &disk->name_room, &disk->trace->operations[disk->open[i]]);
            else
                disk->open[left++] = disk->open[i];
        disk->open_count = left;
        break;
    }
    }
}

static inline void disk_free(disk_t *disk) {
    for (size_t i = 0; i < disk->file_count; i++) {
        free(disk->files[i].stable);
        free(disk->files[i].held);
        free(disk->files[i].open);
        free(disk->files[i].rescued);
    }
    free(disk->files);
    free(disk->names);
    free(disk->open);
    *disk = (disk_t){0};
}

/* ---- Choosing a state ----------------------------------------------------------------------- */

static inline unit_t *add_unit(choice_t *choice, unit_kind_t kind, int file, uint32_t place, uint32_t stages) {
    choice->units = grown(choice->units, choice->count + 1, &choice->room, sizeof *choice->units);
    unit_t *unit = &choice->units[choice->count++];
    *unit = (unit_t){kind, file, place, stages, 0, false};
    choice->combinations *= stages + 1;
    if (choice->combinations > EXHAUSTIVE)
        choice->combinations = EXHAUSTIVE + 1;
    return unit;
}

/* The sectors that an operation changes. */
static inline bool sectors_of(const operation_t *operation, uint32_t *first, uint32_t *last) {
    uint64_t begin = operation->kind == OP_WRITE ? operation->offset : operation->after;
    uint64_t end = operation->kind == OP_WRITE ? operation->offset + operation->size : operation->before;
    *first = (uint32_t)(begin / SECTOR);
    *last = (uint32_t)((end + SECTOR - 1) / SECTOR);
    return begin < end;
}

/* Whether the disk may lack what operation `number` did to the sector. */
static inline bool is_open(const disk_t *disk, const disk_file_t *file, uint32_t number, uint32_t sector) {
    uint32_t first, last;
    return sectors_of(&disk->trace->operations[number], &first, &last) && first <= sector && sector < last &&
           (number >= file->failed || rescued_at(file, sector / (BLOCK / SECTOR)) <= number);
}

static inline bool is_open_size(const disk_t *disk, const disk_file_t *file, uint32_t number) {
    const operation_t *operation = &disk->trace->operations[number];
    return operation->before != operation->after && number >= file->settled;
}

/* All units, none of which the disk got anything of. */
static inline void list_units(const disk_t *disk, choice_t *choice) {
    choice->count = 0;
    choice->combinations = 1;
    if (disk->made >= 0 && !disk->made_durable)
        add_unit(choice, UNIT_DIRECTORY, -1, 0, 1);
    for (size_t i = 0; i < disk->open_count; i++)
        add_unit(choice, UNIT_NAME, -1, (uint32_t)i, 1);
    for (size_t f = 0; f < disk->file_count; f++) {
        const disk_file_t *file = &disk->files[f];
        uint32_t sizes = 0, low = UINT32_MAX, high = 0, first, last;
        for (size_t i = 0; i < file->open_count; i++) {
            const operation_t *operation = &disk->trace->operations[file->open[i]];
            sizes += is_open_size(disk, file, file->open[i]);
            if (sectors_of(operation, &first, &last)) {
                low = first < low ? first : low;
                high = last > high ? last : high;
            }
        }
        if (sizes > 0)
            add_unit(choice, UNIT_SIZE, (int)f, 0, sizes);
        for (uint32_t sector = low; sector < high; sector++) {
            uint32_t stages = 0;
            for (size_t i = 0; i < file->open_count; i++)
                stages += is_open(disk, file, file->open[i], sector);
            if (stages > 0)
                add_unit(choice, UNIT_SECTOR, (int)f, sector, stages);
        }
    }
}

/* Which operation takes the unit to its stage. */
static inline uint32_t operation_of_stage(const disk_t *disk, const unit_t *unit, uint32_t stage) {
    if (unit->kind == UNIT_DIRECTORY)
        return (uint32_t)disk->made;
    if (unit->kind == UNIT_NAME)
        return disk->open[unit->place];
    const disk_file_t *file = &disk->files[unit->file];
    uint32_t at = 0;
    for (size_t i = 0; i < file->open_count; i++) {
        bool touches = unit->kind == UNIT_SIZE ? is_open_size(disk, file, file->open[i]) : is_open(disk, file, file->open[i], unit->place);
        if (touches && ++at == stage)
            return file->open[i];
    }
    return UINT32_MAX;
}

/* The n-th of all combinations, without garbage. */
static inline void choose_combination(choice_t *choice, uint64_t n) {
    choice->is_everything = n == choice->combinations - 1;
    for (size_t i = 0; i < choice->count; i++) {
        unit_t *unit = &choice->units[i];
        unit->stage = (uint32_t)(n % (unit->stages + 1));
        unit->is_garbage = false;
        n /= unit->stages + 1;
    }
}

typedef enum { EVERYTHING, NOTHING, HALF, MOST, FEW, UP_TO_A_MOMENT, WHOLE_FILES, ONE_OPERATION, SURVIVALS } survival_t;

/* `blocks`: a 4 KiB block that was being written may be garbage, whatever of it had been synced before. */
static inline void choose_by_seed(const disk_t *disk, choice_t *choice, bool blocks, uint64_t seed) {
    random_source_t chance = {seed};
    survival_t survival = (survival_t)below(&chance, SURVIVALS);
    bool makes_garbage = below(&chance, 2);
    /* Somewhere among the last operations, where those are that were not synced. */
    uint64_t oldest = disk->applied;
    for (size_t i = 0; i < choice->count; i++)
        oldest = at_most(oldest, operation_of_stage(disk, &choice->units[i], 1));
    uint64_t moment = oldest + below(&chance, disk->applied - oldest + 1);
    choice->salt = next_random(&chance);
    choice->is_everything = survival == EVERYTHING;
    for (size_t i = 0; i < choice->count; i++) {
        unit_t *unit = &choice->units[i];
        uint64_t drawn = next_random(&chance), stage = 0;
        bool whole_file = hashed(choice->salt, (uint64_t)(unit->file + 1) * 100003 + (unit->kind == UNIT_NAME ? unit->place + 1 : 0)) & 1;
        switch (survival) {
        case EVERYTHING: stage = unit->stages; break;
        case HALF: stage = drawn & 1 ? unit->stages : 0; break;
        case MOST: stage = drawn & 7 ? unit->stages : 0; break;
        case FEW: stage = drawn & 7 ? 0 : unit->stages; break;
        case WHOLE_FILES: stage = whole_file ? unit->stages : 0; break;
        case UP_TO_A_MOMENT:
            while (stage < unit->stages && operation_of_stage(disk, unit, (uint32_t)stage + 1) <= moment)
                stage++;
            break;
        case ONE_OPERATION:
            for (uint32_t s = 1; s <= unit->stages; s++)
                if (operation_of_stage(disk, unit, s) == moment)
                    stage = s;
            break;
        default: break;
        }
        if (survival >= HALF && survival <= FEW && drawn >> 62 == 0) /* a quarter stopped at some stage */
            stage = (drawn >> 8) % (unit->stages + 1);
        unit->stage = (uint32_t)stage;
        uint64_t lottery = hashed(choice->salt, drawn);
        unit->is_garbage = makes_garbage && unit->kind == UNIT_SECTOR && (lottery & 3) == 0 &&
                           (blocks || unit->place >= disk->files[unit->file].held_room || !disk->files[unit->file].held[unit->place]);
        choice->is_everything &= !unit->is_garbage;
    }
}

/* ---- Building it ---------------------------------------------------------------------------- */

/* Anything at all: noise, half of what is there, bytes of another place, a flipped bit. */
static inline void spoil(const disk_t *disk, unsigned char *bytes, uint64_t offset, uint64_t count, uint64_t end, uint64_t seed) {
    random_source_t chance = {seed};
    uint64_t from, kept = 0;
    switch (below(&chance, 6)) {
    case 0: kept = below(&chance, count); /* fall through */
    case 1: fill(bytes + offset + kept, count - kept, seed); break;
    case 2:
        if (end >= 2 * count)
            memmove(bytes + offset, bytes + below(&chance, end / count) * count, count);
        break;
    case 3:
    case 4: /* what was written to somewhere, at some time: the place on the disk was another file's once */
        if (disk->trace->used > count) {
            from = below(&chance, disk->trace->used - count);
            memcpy(bytes + offset, disk->trace->bytes + from, count);
        }
        break;
    default: bytes[offset + below(&chance, count)] ^= (unsigned char)(1 << below(&chance, 8));
    }
}

/* The bytes of one file as chosen; *size gets its size. Freed by the caller. */
static inline unsigned char *build_file(const disk_t *disk, const choice_t *choice, int number, bool blocks, uint64_t *size) {
    const disk_file_t *file = &disk->files[number];
    uint64_t room = file->size > file->end ? file->size : file->end;
    for (size_t i = 0; i < file->open_count; i++) {
        const operation_t *operation = &disk->trace->operations[file->open[i]];
        uint64_t larger = operation->before > operation->after ? operation->before : operation->after;
        room = larger > room ? larger : room;
    }
    room = (room / BLOCK + 2) * BLOCK;
    unsigned char *bytes = calloc(1, room);
    if (bytes == NULL)
        FAIL("no memory for a file");
    if (file->stable != NULL)
        memcpy(bytes, file->stable, file->end);
    *size = file->size;
    for (size_t u = 0; u < choice->count; u++) {
        const unit_t *unit = &choice->units[u];
        if (unit->file != number)
            continue;
        uint32_t left = unit->stage;
        for (size_t i = 0; i < file->open_count && left > 0; i++) {
            const operation_t *operation = &disk->trace->operations[file->open[i]];
            if (unit->kind == UNIT_SIZE && is_open_size(disk, file, file->open[i])) {
                *size = operation->after;
                left--;
            } else if (unit->kind == UNIT_SECTOR && is_open(disk, file, file->open[i], unit->place)) {
                apply_bytes(disk->trace, operation, bytes, (uint64_t)unit->place * SECTOR, (uint64_t)(unit->place + 1) * SECTOR);
                left--;
            }
        }
    }
    for (size_t u = 0; u < choice->count; u++) {
        const unit_t *unit = &choice->units[u];
        uint64_t extent = blocks ? BLOCK : SECTOR;
        if (unit->file == number && unit->is_garbage)
            spoil(disk, bytes, (uint64_t)unit->place * SECTOR / extent * extent, extent, room, hashed(choice->salt, u));
    }
    memset(bytes + *size, 0, room > *size ? room - *size : 0);
    return bytes;
}

/* Writes what is not zero; the rest are holes. */
static inline void write_sparse(int directory, const char *name, const unsigned char *bytes, uint64_t size) {
    static const unsigned char zeros[BLOCK];
    int descriptor = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (descriptor < 0 || ftruncate(descriptor, (off_t)size) != 0)
        FAIL("%s cannot be made: %s", name, strerror(errno));
    for (uint64_t at = 0; at < size; at += BLOCK) {
        size_t part = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        if (memcmp(bytes + at, zeros, part) != 0 && pwrite(descriptor, bytes + at, part, (off_t)at) != (ssize_t)part)
            FAIL("%s cannot be written: %s", name, strerror(errno));
    }
    close(descriptor);
}

/* Makes `path` what the disk holds by this choice. If `as_trace` is given, it gets a trace that makes the same, durably. */
static inline void build_state(const disk_t *disk, const choice_t *choice, bool blocks, const char *path, trace_t *as_trace) {
    check_remove_tree(AT_FDCWD, path);
    bool exists = disk->made >= 0 && disk->made_durable;
    disk_name_t *names = NULL;
    size_t count = 0, room = 0;
    names = grown(names, disk->name_count + 1, &room, sizeof *names);
    if (disk->name_count > 0)
        memcpy(names, disk->names, disk->name_count * sizeof *names);
    count = disk->name_count;
    for (size_t u = 0; u < choice->count; u++) {
        const unit_t *unit = &choice->units[u];
        if (unit->kind == UNIT_DIRECTORY && unit->stage)
            exists = true;
        if (unit->kind == UNIT_NAME && unit->stage)
            put_name(&names, &count, &room, &disk->trace->operations[disk->open[unit->place]]);
    }
    if (!exists) {
        free(names);
        return;
    }
    if (mkdir(path, 0750) != 0)
        FAIL("%s cannot be made: %s", path, strerror(errno));
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (as_trace != NULL)
        trace_add(as_trace, OP_MAKE_DIRECTORY, -1);
    for (size_t i = 0; i < count; i++) {
        uint64_t size;
        unsigned char *bytes = build_file(disk, choice, names[i].file, blocks, &size);
        write_sparse(directory, names[i].name, bytes, size);
        if (as_trace != NULL) {
            int file = (int)i;
            operation_t *operation = trace_add(as_trace, OP_CREATE, file);
            snprintf(operation->name, sizeof operation->name, "%s", names[i].name);
            uint64_t end = 0;
            for (uint64_t from = 0; from < size; from += SECTOR) {
                size_t part = (size_t)at_most(SECTOR, size - from);
                if (is_zeroed(bytes + from, part))
                    continue; /* holds nothing yet */
                uint64_t data = trace_keep(as_trace, bytes + from, part);
                operation = trace_add(as_trace, OP_WRITE, file);
                operation->offset = from;
                operation->size = part;
                operation->data = data;
                operation->before = end;
                operation->after = end = from + part;
            }
            operation = trace_add(as_trace, OP_RESIZE, file);
            operation->before = end;
            operation->after = size;
            uint64_t covers = as_trace->count;
            trace_add(as_trace, OP_SYNC, file)->covers = covers;
        }
        free(bytes);
    }
    if (as_trace != NULL) {
        uint64_t covers = as_trace->count;
        trace_add(as_trace, OP_SYNC_DIRECTORY, -1)->covers = covers;
        trace_add(as_trace, OP_SYNC_PARENT, -1)->covers = covers;
    }
    close(directory);
    free(names);
}

#endif /* DISK_H */
