/* metadata.c - fuzz target: arbitrary bytes as walrus.meta, beside the good segments of a log
 *
 * The input: a log's number (logs.h), how the rest is to be taken, two bytes with the length of the first slot, the slots.
 */
#include "logs.h"
#include "sealing.h"

enum { IS_SEALED = 1, IS_ONE = 2 /* both slots are the same */ };

static void write_seeds(void) {
    unsigned char seed[4 + 8192];
    for (unsigned number = 0; number < LOGS; number++) {
        image_file_t *meta = image_find(made_log(number)->image, "walrus.meta");
        size_t length = load(meta->bytes + 12, 4);
        if (length > 4096)
            continue;
        memcpy(seed, (unsigned char[]){(unsigned char)number, IS_SEALED | IS_ONE}, 2);
        store(seed + 2, 2, length);
        memcpy(seed + 4, meta->bytes, length);
        fuzz_write_seed(seed, 4 + length);
        if (number % 7 == 0) {
            seed[1] = IS_SEALED;
            memcpy(seed + 4 + length, meta->bytes, length);
            fuzz_write_seed(seed, 4 + 2 * length);
        }
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
    static unsigned char file[2 * META_SLOT];
    input_t input = {bytes, size};
    made_log_t *made = made_log(take(&input));
    fuzz_enter();
    unsigned how = take(&input);
    size_t first = take2(&input);
    if (first > input.left)
        first = input.left;
    if (input.left > META_SLOT)
        input.left = META_SLOT;
    size_t second = how & IS_ONE ? first : input.left - first;
    memset(file, 0, sizeof file);
    memcpy(file, input.at, first);
    memcpy(file + META_SLOT, how & IS_ONE ? input.at : input.at + first, second);
    size_t length = second == 0 ? first : META_SLOT + second;
    fuzz_is_forged = how & IS_SEALED;
    if (fuzz_is_forged)
        seal_file("walrus.meta", file, length);
    image_t *image = image_copy(made->image);
    image_set(image_find(image, "walrus.meta"), file, length);
    fuzz_write_image(image);
    image_free(image);
    fuzz_open_and_read(made->variant, NULL);
    fuzz_leave();
    return 0;
}
