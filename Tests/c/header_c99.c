/* header_c99.c - walrus.h is plain C99: compiled with -std=c99 -pedantic and without one extension
 *
 * Nothing but the standard and the header, which stands first so that it must bring along what it needs.
 */
#include <walrus.h>

#include <stdio.h>
#include <string.h>

/* Frozen structs: other languages have written these numbers down. */
typedef char record_is_56_bytes[sizeof(walrus_record_t) == 56 || sizeof(void *) != 8 ? 1 : -1];
typedef char entry_is_56_bytes[sizeof(walrus_entry_t) == 56 || sizeof(void *) != 8 ? 1 : -1];
typedef char flags_are_distinct[(WALRUS_DURABLE ^ WALRUS_TO_OS ^ WALRUS_BUFFERED) == 7 ? 1 : -1];

static int32_t visit(void *ctx, const walrus_entry_t *entry) {
    *(size_t *)ctx += entry->size;
    return 0;
}

static int32_t list(void *ctx, const char *key, const char *default_value, const char *allowed) {
    (void)key, (void)default_value, (void)allowed;
    return ++*(int *)ctx, 0;
}

static void take(void *ctx, int32_t level, const char *message) { (void)ctx, (void)level, (void)message; }

int main(void) {
    static const walrus_visit_fn visitor = visit;
    static const walrus_option_visit_fn lister = list;
    static const walrus_log_fn logger = take;
    record_is_56_bytes *a = NULL;
    entry_is_56_bytes *b = NULL;
    flags_are_distinct *c = NULL;
    walrus_record_t record = {0};
    walrus_entry_t entry;
    walrus_error_t error;
    walrus_recovery_report_t report;
    walrus_options_t *options = walrus_options_new();
    walrus_t *log = NULL;
    int options_seen = 0, good;
    size_t bytes = 0;
    (void)a, (void)b, (void)c, (void)record;
    error.struct_size = sizeof error;
    report.struct_size = sizeof report;
    good = options != NULL && walrus_options_each(options, lister, &options_seen) == WALRUS_OK && options_seen > 10 &&
           walrus_options_set_logger(options, logger, NULL, WALRUS_LOG_WARN) == WALRUS_OK &&
           walrus_open(NULL, options, &log) == WALRUS_E_INVALID && walrus_last_error(&error) == WALRUS_OK &&
           error.code == WALRUS_E_INVALID && walrus_get(log, 1, &entry) == WALRUS_E_INVALID &&
           walrus_scan(log, 1, 1, visitor, &bytes) == WALRUS_E_INVALID &&
           walrus_recovery_report(log, &report) == WALRUS_E_INVALID && strcmp(walrus_version(), WALRUS_VERSION) == 0 &&
           walrus_version_number() == WALRUS_VERSION_NUMBER && walrus_abi_version() == WALRUS_ABI_VERSION;
    walrus_options_free(options);
    printf("header_c99: %d passed, %d failed\n", good, !good);
    return good ? 0 : 1;
}
