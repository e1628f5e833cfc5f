/* consumer.c - a program that knows nothing of the source tree: opens a log in argv[1], appends, reads back, closes */
#include <stdio.h>
#include <string.h>
#include <walrus.h>

int main(int argc, char **argv) {
    walrus_t *log = NULL;
    walrus_entry_t entry;
    uint64_t index = 0;
    if (argc != 2 || strcmp(walrus_version(), WALRUS_VERSION) != 0 || walrus_abi_version() != WALRUS_ABI_VERSION)
        return 2;
    if (walrus_open(argv[1], NULL, &log) != WALRUS_OK || walrus_append(log, "hello", 5, &index) != WALRUS_OK)
        return 1;
    if (walrus_get(log, index, &entry) != WALRUS_OK || entry.size != 5 || memcmp(entry.data, "hello", 5) != 0)
        return 1;
    walrus_entry_release(&entry);
    printf("%s %llu\n", walrus_version(), (unsigned long long)index);
    return walrus_close(log) == WALRUS_OK ? 0 : 1;
}
