/* segment.c - fuzz target: arbitrary bytes as a segment file, and the log that holds it
 *
 * The first byte says what the rest is (below). A log of one segment and nothing but good around it is opened with it in every way.
 */
#include "logs.h"
#include "sealing.h"

enum { IS_FILE = 8, IS_SEALED = 16 }; /* beside the variant in the lowest three bits */

static image_t *bases[VARIANTS]; /* logs of one entry, as a killed process leaves them */

static void make_base(unsigned number) {
    fuzz_repeat_chance();
    check_remove_tree(AT_FDCWD, fuzz_log_dir);
    walrus_t *log = open_log(fuzz_log_dir, variants[number]);
    append_payload(log, 10, 1);
    bases[number] = image_read(fuzz_log_dir);
    CHECK_OK(walrus_close(log));
    /* What was prepared ahead is of no interest. */
    for (size_t i = 0; i < bases[number]->count; i++)
        if (strcmp(bases[number]->files[i].name, "walrus.meta") != 0 && image_find(bases[number], "0000000000000001.wal") != &bases[number]->files[i])
            bases[number]->files[i].name[0] = 0;
}

static void write_seeds(void) {
    unsigned char seed[1 + 8192];
    for (unsigned number = 0; number < VARIANTS * 4; number++) {
        made_log_t *made = made_log(number);
        for (size_t i = 0; i < made->image->count; i++) {
            const image_file_t *file = &made->image->files[i];
            frame_t frames[100];
            size_t count = is_segment(file->name) ? list_frames(file->bytes, file->size, frames, 100) : 0;
            if (count < 2)
                continue;
            size_t end = frames[count - 1].end - FIRST_FRAME;
            seed[0] = (unsigned char)(number % VARIANTS | IS_SEALED);
            if (end > 2500)
                continue;
            memcpy(seed + 1, file->bytes + FIRST_FRAME, end);
            fuzz_write_seed(seed, 1 + end);
        }
    }
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        image_file_t *file = image_find(bases[variant], "0000000000000001.wal");
        size_t size = file->size < 4600 ? file->size : 4600;
        seed[0] = (unsigned char)(variant | IS_FILE);
        memcpy(seed + 1, file->bytes, size);
        fuzz_write_seed(seed, 1 + size);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    fuzz_begin();
    for (unsigned i = 0; i < VARIANTS; i++)
        make_base(i);
    if (fuzz_wants_seeds(*argc, *argv)) {
        write_seeds();
        exit(0);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
    input_t input = {bytes, size};
    fuzz_enter();
    unsigned how = take(&input), variant = how % 8 % VARIANTS;
    image_t *image = image_copy(bases[variant]);
    image_file_t *segment = image_find(image, "0000000000000001.wal");
    size_t before = how & IS_FILE ? 0 : FIRST_FRAME;
    unsigned char *file = malloc(before + input.left + 1);
    CHECK(file != NULL);
    memcpy(file, segment->bytes, before);
    memcpy(file + before, input.at, input.left);
    fuzz_is_forged = how & IS_SEALED;
    if (fuzz_is_forged)
        seal_segment(file, before + input.left);
    image_set(segment, file, before + input.left);
    free(file);
    fuzz_write_image(image);
    image_free(image);
    fuzz_open_and_read(variants[variant], NULL);
    fuzz_leave();
    return 0;
}
