/* mutant.c - which of the faults that scripts/test-mutants builds in is awake: the one whose number is in WALRUS_MUTANT, or none */
#include "CWalrusPlatform.h"

#include <stdlib.h>

static int32_t awake;

__attribute__((constructor)) static void wake(void) {
    const char *text = getenv("WALRUS_MUTANT");
    for (; text != NULL && *text >= '0' && *text <= '9'; text++)
        awake = awake * 10 + (*text - '0');
}

int32_t wp_mutant(void) { return awake; }
