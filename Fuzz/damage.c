/* damage.c - fuzz target: a valid log whose files are damaged
 *
 * The input: a log's number (logs.h), whether checksums are made right again, and the damage: flipped bytes, copied blocks, files cut, grown,
 * exchanged, doubled and removed. Where checksums stay as they are, whatever is read of the log must be what it held.
 */
#include "logs.h"
#include "sealing.h"

enum { IS_SEALED = 1 };

static image_file_t *take_file(image_t *image, input_t *input) {
    image_file_t *file = &image->files[take(input) % image->count];
    return file->name[0] == 0 || is_lock(file->name) ? image_find(image, "walrus.meta") : file;
}

/* Most of a file is zeros: the places that matter are what stands at its beginning, about the frames, and at its end. */
static size_t take_offset(const image_file_t *file, input_t *input) {
    size_t where = take(input), more = take(input);
    if (file->size == 0)
        return 0;
    frame_t frames[64];
    size_t count;
    switch (where % 4) {
    case 0: where = where / 4 * 8 + more; break;
    case 1:
        count = is_segment(file->name) ? list_frames(file->bytes, file->size, frames, 64) : 0;
        where = count ? frames[where / 4 % count].offset + more % 64 : META_SLOT + more;
        break;
    case 2: where = FIRST_FRAME + where / 4 * 64 + more; break;
    default: where = file->size - 1 - (where / 4 * 64 + more) % file->size;
    }
    return where % file->size;
}

static void damage(image_t *image, input_t *input) {
    unsigned kind = take(input);
    image_file_t *file = take_file(image, input), *other;
    if (file == NULL) /* even walrus.meta is gone */
        return;
    size_t at = take_offset(file, input), size, from;
    char name[256];
    switch (kind % (fuzz_is_forged ? 10 : 8)) {
    case 0: /* more of these than of anything else */
    case 1:
        if (file->size != 0)
            file->bytes[at] ^= (unsigned char)take(input);
        break;
    case 2: file->size = at; break;
    case 3:
        size = file->size + take(input) * 64;
        file->bytes = realloc(file->bytes, size + 1);
        CHECK(file->bytes != NULL);
        memset(file->bytes + file->size, 0, size - file->size);
        file->size = size;
        break;
    case 4:
        other = take_file(image, input);
        if (other == NULL)
            break;
        from = take_offset(other, input);
        size = take2(input);
        if (size > other->size - from)
            size = other->size - from;
        if (size > file->size - at)
            size = file->size - at;
        if (size != 0)
            memmove(file->bytes + at, other->bytes + from, size);
        break;
    case 5:
        other = take_file(image, input);
        if (other != NULL && other != file)
            image_set(other, file->bytes, file->size);
        break;
    case 6:
        if (take(input) & 1) {
            file->name[0] = 0;
        } else if ((other = take_file(image, input)) != NULL) {
            memcpy(name, file->name, sizeof name);
            memcpy(file->name, other->name, sizeof name);
            memcpy(other->name, name, sizeof name);
        }
        break;
    case 7:
        size = take2(input);
        if (size > file->size - at)
            size = file->size - at;
        if (size != 0)
            memset(file->bytes + at, 0, size);
        break;
    default: /* a number that lies */
        size = kind & 16 ? 8 : 4;
        if (file->size - at >= size) {
            static const uint64_t lies[] = {UINT32_MAX, UINT64_MAX, INT64_MAX, INT64_MIN, 1 << 30, 0xffff, 0, 1};
            uint64_t lie = kind % 10 == 8 ? lies[take(input) % 8] : load(file->bytes + at, (int)size) + take(input) - 128;
            store(file->bytes + at, (int)size, lie);
        }
    }
}

static void write_seeds(void) {
    random_source_t chance = {2};
    for (unsigned number = 0; number < LOGS; number++)
        for (unsigned sealed = 0; sealed <= IS_SEALED; sealed++) {
            unsigned char bytes[40] = {(unsigned char)number, (unsigned char)sealed};
            size_t size = 2 + 7 * (number / VARIANTS % 4);
            for (size_t i = 2; i < size; i++)
                bytes[i] = (unsigned char)next_random(&chance);
            fuzz_write_seed(bytes, size);
        }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    fuzz_begin();
    if (fuzz_wants_seeds(*argc, *argv)) {
        write_seeds();
        exit(0);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
    input_t input = {bytes, size};
    made_log_t *made = made_log(take(&input));
    fuzz_enter();
    fuzz_is_forged = take(&input) & IS_SEALED;
    image_t *image = image_copy(made->image);
    for (int i = 0; i < 12 && input.left != 0; i++)
        damage(image, &input);
    for (size_t i = 0; i < image->count && fuzz_is_forged; i++)
        seal_file(image->files[i].name, image->files[i].bytes, image->files[i].size);
    fuzz_write_image(image);
    image_free(image);
    fuzz_open_and_read(made->variant, fuzz_is_forged ? NULL : made_check);
    fuzz_leave();
    return 0;
}
