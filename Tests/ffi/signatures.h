/* signatures.h - what a foreign runtime knows of libwalrus: names and types as text, and nothing of walrus.h
 *
 * One line a function or callback: its name, its result, its arguments. The words are those that every foreign function
 * interface has: i32 u32 i64 u64 size by value, "void" for no result, and everything else a pointer. Pointers are told
 * apart for check_signatures.py, which compares each line with the header: text and chars (const char *, char *), data
 * and room (const void *, void *), a struct or handle by its bare name, a word with a star for where an output goes,
 * with [] for an array that is read, and a callback by its name.
 */
#ifndef SIGNATURES_H
#define SIGNATURES_H

typedef struct signature {
    const char *name;
    const char *result;
    const char *arguments;
} signature_t;

/* clang-format off */
static const signature_t function_signatures[] = {
    {"walrus_version",            "text",    ""},
    {"walrus_version_number",     "u32",     ""},
    {"walrus_abi_version",        "u32",     ""},
    {"walrus_strerror",           "text",    "i32"},
    {"walrus_last_error",         "i32",     "error"},
    {"walrus_crc32",              "u32",     "data size"},

    {"walrus_options_new",        "options", ""},
    {"walrus_options_free",       "void",    "options"},
    {"walrus_options_set",        "i32",     "options text text"},
    {"walrus_options_set_u64",    "i32",     "options text u64"},
    {"walrus_options_get",        "i32",     "options text chars size size*"},
    {"walrus_options_each",       "i32",     "options option_visit_fn room"},
    {"walrus_options_set_logger", "i32",     "options log_fn room i32"},

    {"walrus_open",               "i32",     "text options log*"},
    {"walrus_shutdown",           "i32",     "log"},
    {"walrus_close",              "i32",     "log"},
    {"walrus_recovery_report",    "i32",     "log recovery_report"},
    {"walrus_destroy",            "i32",     "text"},

    {"walrus_append",             "i32",     "log data size u64*"},
    {"walrus_append_record",      "i32",     "log record u32 u64*"},
    {"walrus_append_batch",       "i32",     "log record size u32 u64*"},
    {"walrus_append_packed",      "i32",     "log data u32[] size u64 u32 u64*"},
    {"walrus_append_async",       "i32",     "log record u32 done_fn room u64*"},

    {"walrus_sync",               "i32",     "log"},
    {"walrus_durable_index",      "u64",     "log"},
    {"walrus_wait_durable",       "i32",     "log u64 i64"},
    {"walrus_notify_fd",          "i32",     "log int*"},
    {"walrus_interrupt",          "i32",     "log"},

    {"walrus_first_index",        "u64",     "log"},
    {"walrus_last_index",         "u64",     "log"},
    {"walrus_next_index",         "u64",     "log"},
    {"walrus_get",                "i32",     "log u64 entry"},
    {"walrus_entry_release",      "void",    "entry"},
    {"walrus_read",               "i32",     "log u64 room size size*"},
    {"walrus_scan",               "i32",     "log u64 u64 visit_fn room"},
    {"walrus_get_range",          "i32",     "log u64 u64 size entry size size*"},
    {"walrus_entries_release",    "void",    "entry size"},
    {"walrus_read_packed",        "i32",     "log u64 size room size u32* size*"},
    {"walrus_term",               "i32",     "log u64 u64*"},
    {"walrus_last_index_of_term", "i32",     "log u64 u64*"},
    {"walrus_seek_time",          "i32",     "log i64 u64*"},

    {"walrus_cursor_open",        "i32",     "log u64 u32 cursor*"},
    {"walrus_cursor_next",        "i32",     "cursor entry"},
    {"walrus_cursor_prev",        "i32",     "cursor entry"},
    {"walrus_cursor_seek",        "i32",     "cursor u64"},
    {"walrus_cursor_position",    "u64",     "cursor"},
    {"walrus_cursor_wait",        "i32",     "cursor i64"},
    {"walrus_cursor_close",       "void",    "cursor"},

    {"walrus_truncate",           "i32",     "log u64"},
    {"walrus_truncate_front",     "i32",     "log u64"},
    {"walrus_reset",              "i32",     "log u64"},
    {"walrus_replace_suffix",     "i32",     "log u64 record size u32"},

    {"walrus_txn_begin",          "i32",     "log i64 txn*"},
    {"walrus_txn_append",         "i32",     "txn record"},
    {"walrus_txn_commit",         "i32",     "txn u32 u64* u64*"},
    {"walrus_txn_rollback",       "i32",     "txn"},
    {"walrus_txn_state",          "i32",     "txn"},
    {"walrus_txn_count",          "u64",     "log"},
    {"walrus_txn_expire",         "i32",     "log u64*"},

    {"walrus_meta_set",           "i32",     "log text data size"},
    {"walrus_meta_get",           "i32",     "log text room size size*"},
    {"walrus_meta_delete",        "i32",     "log text"},
    {"walrus_meta_each",          "i32",     "log meta_visit_fn room"},
    {"walrus_meta_stage",         "i32",     "log text data size"},

    {"walrus_rotate",             "i32",     "log"},
    {"walrus_segments",           "i32",     "log segment_visit_fn room"},
    {"walrus_stats",              "i32",     "log stats"},
    {"walrus_stats_text",         "i32",     "log chars size size*"},

    {"walrus_convert",            "i32",     "text text options progress_fn room"},
};

static const signature_t callback_signatures[] = {
    {"walrus_option_visit_fn",    "i32",     "room text text text"},
    {"walrus_log_fn",             "void",    "room i32 text"},
    {"walrus_done_fn",            "void",    "room u64 i32"},
    {"walrus_visit_fn",           "i32",     "room entry"},
    {"walrus_meta_visit_fn",      "i32",     "room text data size"},
    {"walrus_segment_visit_fn",   "i32",     "room segment_info"},
    {"walrus_progress_fn",        "i32",     "room u64 u64"},
};
/* clang-format on */

enum {
    FUNCTIONS = sizeof function_signatures / sizeof function_signatures[0],
    CALLBACKS = sizeof callback_signatures / sizeof callback_signatures[0],
    MOST_ARGUMENTS = 7
};

#endif /* SIGNATURES_H */
