/* calls.c - fuzz target: a sequence of calls, decoded from the input and compared with a model
 *
 * The first byte is the format and the compression, the second one the other options, the rest are operations (operations.h).
 */
#include "operations.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    fuzz_begin();
    if (fuzz_wants_seeds(*argc, *argv)) {
        random_source_t chance = {1};
        for (unsigned variant = 0; variant < VARIANTS; variant++)
            for (unsigned operation = 0; operation < 20; operation++) {
                unsigned char bytes[120] = {(unsigned char)variant, (unsigned char)operation};
                for (size_t i = 2; i < sizeof bytes; i++)
                    bytes[i] = (unsigned char)next_random(&chance);
                bytes[60] = (unsigned char)operation;
                fuzz_write_seed(bytes, sizeof bytes);
            }
        exit(0);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
    input_t input = {bytes, size};
    fuzz_enter();
    player_t player = {.dir = fuzz_log_dir, .variant = variants[take(&input) % VARIANTS]};
    player_open(&player, take(&input));
    while (play(&player, &input, fuzz_copy_dir))
        continue;
    CHECK_NOTE("the end");
    player_check(&player, player.log);
    play_reopen(&player, &input);
    CHECK_OK(walrus_close(player.log));
    player_end(&player);
    fuzz_leave();
    return 0;
}
