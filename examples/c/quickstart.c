/* quickstart.c - append an entry, read it back: cc -std=c99 quickstart.c -lwalrus && ./a.out */
#include <stdio.h>
#include <walrus.h>

static int failed(walrus_t *log)
{
    walrus_error_t error = {.struct_size = sizeof error};
    walrus_last_error(&error);
    fprintf(stderr, "orders: %s\n", error.message);
    walrus_close(log);
    return 1;
}

int main(void)
{
    walrus_t *log = NULL;
    uint64_t index;
    walrus_entry_t entry;
    if (walrus_open("orders", NULL, &log) != WALRUS_OK) return failed(log);
    if (walrus_append(log, "hello", 5, &index) != WALRUS_OK) return failed(log); /* durable on return */
    if (walrus_get(log, index, &entry) != WALRUS_OK) return failed(log);
    printf("entry %llu: %.*s\n", (unsigned long long)index, (int)entry.size, (const char *)entry.data);
    walrus_entry_release(&entry);
    return walrus_close(log) == WALRUS_OK ? 0 : failed(NULL);
}
