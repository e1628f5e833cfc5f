/* variants.h - the ways in which a log can be stored: what it answers must not depend on them
 */
#ifndef VARIANTS_H
#define VARIANTS_H

#include "support.h"

static const char *const variants[] = {
    "format=binary",
    "format=binary compression=zlib compression_min_size=0",
    "format=json",
    "format=json compression=zlib compression_min_size=0",
    "format=proto",
    "format=proto compression=zlib compression_min_size=0",
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

/* That of the case at hand. */
static const char *variant = "";

/* A case for each variant, all with the same body: NAME_1 is that of variants[1]. */
#define VARIANT_CASE(name, number)                                                                                     \
    CASE(name##_##number) {                                                                                            \
        variant = variants[number];                                                                                    \
        printf("      %s: %s\n", check_case_name, variant);                                                            \
        name();                                                                                                        \
    }
#define VARIANT_CASES(name)                                                                                            \
    static void name(void);                                                                                            \
    VARIANT_CASE(name, 0)                                                                                              \
    VARIANT_CASE(name, 1)                                                                                              \
    VARIANT_CASE(name, 2)                                                                                              \
    VARIANT_CASE(name, 3)                                                                                              \
    VARIANT_CASE(name, 4)                                                                                              \
    VARIANT_CASE(name, 5)                                                                                              \
    static void name(void)

#endif /* VARIANTS_H */
