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

/* A library may know of a format and not write it yet. */
static inline bool variant_works(const char *variant) {
    const char *dir = in_memory("probe");
    walrus_t *log = NULL;
    walrus_entry_t entry = {0};
    bool works = try_open(dir, variant, &log) == WALRUS_OK && walrus_append(log, "x", 1, NULL) == WALRUS_OK &&
                 walrus_get(log, 1, &entry) == WALRUS_OK;
    walrus_entry_release(&entry);
    walrus_close(log);
    walrus_destroy(dir);
    return works;
}

/* A case for each variant of a function that takes it: NAME_1 is that of variants[1]. */
#define VARIANT_CASE(name, number)                                                                                     \
    CASE(name##_##number) {                                                                                            \
        CHECK_NOTE("%s", variants[number]);                                                                            \
        if (!variant_works(variants[number]))                                                                          \
            SKIP("the library cannot write %s", variants[number]);                                                     \
        name(variants[number]);                                                                                        \
    }
#define VARIANT_CASES(name)                                                                                            \
    VARIANT_CASE(name, 0)                                                                                              \
    VARIANT_CASE(name, 1)                                                                                              \
    VARIANT_CASE(name, 2)                                                                                              \
    VARIANT_CASE(name, 3)                                                                                              \
    VARIANT_CASE(name, 4)                                                                                              \
    VARIANT_CASE(name, 5)

#endif /* VARIANTS_H */
