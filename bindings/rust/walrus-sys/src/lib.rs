//! The C interface of libwalrus, declared as it is. Use the crate `walrus`, which makes it safe.
//!
//! What a function does, which errors it returns and which threads may call it, is said in `include/walrus.h`. `tests/layout.rs` compares
//! everything here with the record of the binary interface, `abi/walrus-1.abi`.
#![no_std]
#![allow(non_camel_case_types)]

use core::ffi::{c_char, c_int, c_void};

// ---- Handles

/// An open log. Opaque: it is only ever pointed to.
#[repr(C)]
pub struct walrus_t {
    _private: [u8; 0],
}

/// Settings for `walrus_open`. Opaque: it is only ever pointed to.
#[repr(C)]
pub struct walrus_options_t {
    _private: [u8; 0],
}

/// A position in a log that moves. Opaque: it is only ever pointed to.
#[repr(C)]
pub struct walrus_cursor_t {
    _private: [u8; 0],
}

/// Entries staged for one atomic append. Opaque: it is only ever pointed to.
#[repr(C)]
pub struct walrus_txn_t {
    _private: [u8; 0],
}

// ---- Constants

pub const WALRUS_VERSION: &str = "0.2.0";
pub const WALRUS_VERSION_NUMBER: u32 = 200;

pub const WALRUS_ABI_VERSION: u32 = 1;

pub const WALRUS_DURABLE: u32 = 1;
pub const WALRUS_TO_OS: u32 = 2;
pub const WALRUS_BUFFERED: u32 = 4;

pub const WALRUS_DURABLE_ONLY: u32 = 1;

pub const WALRUS_OK: i32 = 0;
pub const WALRUS_E_INVALID: i32 = -1;
pub const WALRUS_E_NOT_FOUND: i32 = -2;
pub const WALRUS_E_COMPACTED: i32 = -3;
pub const WALRUS_E_OUT_OF_ORDER: i32 = -4;
pub const WALRUS_E_TOO_LARGE: i32 = -5;
pub const WALRUS_E_TOO_SMALL: i32 = -6;
pub const WALRUS_E_EXISTS: i32 = -7;
pub const WALRUS_E_NO_LOG: i32 = -8;
pub const WALRUS_E_NOT_A_LOG: i32 = -9;
pub const WALRUS_E_VERSION: i32 = -10;
pub const WALRUS_E_FORMAT: i32 = -11;
pub const WALRUS_E_LOCKED: i32 = -12;
pub const WALRUS_E_READ_ONLY: i32 = -13;
pub const WALRUS_E_IO: i32 = -14;
pub const WALRUS_E_NO_SPACE: i32 = -15;
pub const WALRUS_E_NO_MEMORY: i32 = -16;
pub const WALRUS_E_CORRUPT: i32 = -17;
pub const WALRUS_E_TORN: i32 = -18;
pub const WALRUS_E_POISONED: i32 = -19;
pub const WALRUS_E_CLOSED: i32 = -20;
pub const WALRUS_E_TIMEOUT: i32 = -21;
pub const WALRUS_E_CANCELED: i32 = -22;
pub const WALRUS_E_CAUGHT_UP: i32 = -23;
pub const WALRUS_E_TXN_STATE: i32 = -24;
pub const WALRUS_E_TXN_EXPIRED: i32 = -25;
pub const WALRUS_E_TXN_FULL: i32 = -26;
pub const WALRUS_E_FORKED: i32 = -27;
pub const WALRUS_E_BUSY: i32 = -28;
pub const WALRUS_E_UNSUPPORTED: i32 = -29;
pub const WALRUS_E_INTERNAL: i32 = -30;

pub const WALRUS_LOG_ERROR: i32 = 1;
pub const WALRUS_LOG_WARN: i32 = 2;
pub const WALRUS_LOG_INFO: i32 = 3;
pub const WALRUS_LOG_DEBUG: i32 = 4;

pub const WALRUS_RECOVERY_CLEAN: i32 = 0;
pub const WALRUS_RECOVERY_COMPLETE: i32 = 1;
pub const WALRUS_RECOVERY_TORN: i32 = 2;
pub const WALRUS_RECOVERY_BATCH: i32 = 3;
pub const WALRUS_RECOVERY_REORDERED: i32 = 4;

pub const WALRUS_TXN_OPEN: i32 = 1;
pub const WALRUS_TXN_EXPIRED: i32 = 2;
pub const WALRUS_TXN_COMMITTED: i32 = 3;

// ---- Structs

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct walrus_error_t {
    pub struct_size: u32,
    pub code: i32,
    pub os_errno: i32,
    pub reserved: u32,
    pub index: u64,
    pub offset: u64,
    pub path: [c_char; 512],
    pub message: [c_char; 512],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct walrus_record_t {
    pub data: *const c_void,
    pub size: usize,
    pub index: u64,
    pub term: u64,
    pub timestamp_ns: i64,
    pub reserved: [u64; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct walrus_entry_t {
    pub index: u64,
    pub term: u64,
    pub timestamp_ns: i64,
    pub data: *const c_void,
    pub size: usize,
    pub checksum: u32,
    pub flags: u32,
    pub owner: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct walrus_recovery_report_t {
    pub struct_size: u32,
    pub reason: i32,
    pub entries_cut: u64,
    pub bytes_cut: u64,
    pub cut_index: u64,
    pub cut_offset: u64,
    pub segments_scanned: u64,
    pub bytes_scanned: u64,
    pub duration_ns: u64,
    pub durable_index: u64,
    pub segment: [c_char; 64],
    pub message: [c_char; 256],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct walrus_segment_info_t {
    pub struct_size: u32,
    pub is_tail: u32,
    pub id: u64,
    pub first_index: u64,
    pub last_index: u64,
    pub bytes: u64,
    pub file_bytes: u64,
    pub highest_timestamp_ns: i64,
    pub name: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct walrus_stats_t {
    pub struct_size: u32,
    pub is_poisoned: u32,
    pub first_index: u64,
    pub last_index: u64,
    pub durable_index: u64,
    pub segments: u64,
    pub async_pending: u64,
    pub txn_open: u64,
    pub appends: u64,
    pub entries_appended: u64,
    pub bytes_appended: u64,
    pub bytes_written: u64,
    pub syncs: u64,
    pub entries_synced: u64,
    pub largest_group: u64,
    pub sync_ns: u64,
    pub sync_ns_max: u64,
    pub sync_histogram: [u64; 24],
    pub rotations: u64,
    pub truncations: u64,
    pub segments_removed: u64,
    pub segment_cache_hits: u64,
    pub segment_cache_misses: u64,
    pub txn_committed: u64,
    pub txn_rolled_back: u64,
    pub txn_expired: u64,
    pub meta_updates: u64,
    pub recovery_ns: u64,
    pub recovery_bytes_cut: u64,
    pub recovery_entries_cut: u64,
}

// ---- Callbacks

pub type walrus_option_visit_fn =
    Option<unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, *const c_char) -> i32>;
pub type walrus_log_fn = Option<unsafe extern "C" fn(*mut c_void, i32, *const c_char)>;
pub type walrus_done_fn = Option<unsafe extern "C" fn(*mut c_void, u64, i32)>;
pub type walrus_visit_fn = Option<unsafe extern "C" fn(*mut c_void, *const walrus_entry_t) -> i32>;
pub type walrus_meta_visit_fn = Option<unsafe extern "C" fn(*mut c_void, *const c_char, *const c_void, usize) -> i32>;
pub type walrus_segment_visit_fn = Option<unsafe extern "C" fn(*mut c_void, *const walrus_segment_info_t) -> i32>;
pub type walrus_progress_fn = Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> i32>;

// ---- Functions

extern "C" {
    pub fn walrus_version() -> *const c_char;
    pub fn walrus_version_number() -> u32;
    pub fn walrus_abi_version() -> u32;
    pub fn walrus_strerror(code: i32) -> *const c_char;
    pub fn walrus_last_error(out: *mut walrus_error_t) -> i32;
    pub fn walrus_crc32(data: *const c_void, size: usize) -> u32;
    pub fn walrus_options_new() -> *mut walrus_options_t;
    pub fn walrus_options_free(options: *mut walrus_options_t);
    pub fn walrus_options_set(options: *mut walrus_options_t, key: *const c_char, value: *const c_char) -> i32;
    pub fn walrus_options_set_u64(options: *mut walrus_options_t, key: *const c_char, value: u64) -> i32;
    pub fn walrus_options_get(
        options: *const walrus_options_t,
        key: *const c_char,
        buffer: *mut c_char,
        capacity: usize,
        size: *mut usize,
    ) -> i32;
    pub fn walrus_options_each(
        options: *const walrus_options_t,
        visit: walrus_option_visit_fn,
        ctx: *mut c_void,
    ) -> i32;
    pub fn walrus_options_set_logger(
        options: *mut walrus_options_t,
        function: walrus_log_fn,
        ctx: *mut c_void,
        level: i32,
    ) -> i32;
    pub fn walrus_open(dir: *const c_char, options: *const walrus_options_t, out: *mut *mut walrus_t) -> i32;
    pub fn walrus_shutdown(log: *mut walrus_t) -> i32;
    pub fn walrus_close(log: *mut walrus_t) -> i32;
    pub fn walrus_recovery_report(log: *mut walrus_t, report: *mut walrus_recovery_report_t) -> i32;
    pub fn walrus_destroy(dir: *const c_char) -> i32;
    pub fn walrus_append(log: *mut walrus_t, data: *const c_void, size: usize, index: *mut u64) -> i32;
    pub fn walrus_append_record(log: *mut walrus_t, record: *const walrus_record_t, flags: u32, index: *mut u64)
        -> i32;
    pub fn walrus_append_batch(
        log: *mut walrus_t,
        records: *const walrus_record_t,
        count: usize,
        flags: u32,
        first_index: *mut u64,
    ) -> i32;
    pub fn walrus_append_packed(
        log: *mut walrus_t,
        data: *const c_void,
        sizes: *const u32,
        count: usize,
        term: u64,
        flags: u32,
        first_index: *mut u64,
    ) -> i32;
    pub fn walrus_append_async(
        log: *mut walrus_t,
        record: *const walrus_record_t,
        flags: u32,
        done: walrus_done_fn,
        ctx: *mut c_void,
        index: *mut u64,
    ) -> i32;
    pub fn walrus_sync(log: *mut walrus_t) -> i32;
    pub fn walrus_durable_index(log: *mut walrus_t) -> u64;
    pub fn walrus_wait_durable(log: *mut walrus_t, index: u64, timeout_ms: i64) -> i32;
    pub fn walrus_notify_fd(log: *mut walrus_t, fd: *mut c_int) -> i32;
    pub fn walrus_interrupt(log: *mut walrus_t) -> i32;
    pub fn walrus_first_index(log: *mut walrus_t) -> u64;
    pub fn walrus_last_index(log: *mut walrus_t) -> u64;
    pub fn walrus_next_index(log: *mut walrus_t) -> u64;
    pub fn walrus_get(log: *mut walrus_t, index: u64, entry: *mut walrus_entry_t) -> i32;
    pub fn walrus_entry_release(entry: *mut walrus_entry_t);
    pub fn walrus_read(log: *mut walrus_t, index: u64, buffer: *mut c_void, capacity: usize, size: *mut usize) -> i32;
    pub fn walrus_scan(log: *mut walrus_t, first: u64, last: u64, visit: walrus_visit_fn, ctx: *mut c_void) -> i32;
    pub fn walrus_get_range(
        log: *mut walrus_t,
        first: u64,
        last: u64,
        max_bytes: usize,
        entries: *mut walrus_entry_t,
        capacity: usize,
        count: *mut usize,
    ) -> i32;
    pub fn walrus_entries_release(entries: *mut walrus_entry_t, count: usize);
    pub fn walrus_read_packed(
        log: *mut walrus_t,
        first: u64,
        max_count: usize,
        buffer: *mut c_void,
        capacity: usize,
        sizes: *mut u32,
        count: *mut usize,
    ) -> i32;
    pub fn walrus_term(log: *mut walrus_t, index: u64, term: *mut u64) -> i32;
    pub fn walrus_last_index_of_term(log: *mut walrus_t, term: u64, index: *mut u64) -> i32;
    pub fn walrus_seek_time(log: *mut walrus_t, timestamp_ns: i64, index: *mut u64) -> i32;
    pub fn walrus_cursor_open(log: *mut walrus_t, index: u64, flags: u32, cursor: *mut *mut walrus_cursor_t) -> i32;
    pub fn walrus_cursor_next(cursor: *mut walrus_cursor_t, entry: *mut walrus_entry_t) -> i32;
    pub fn walrus_cursor_prev(cursor: *mut walrus_cursor_t, entry: *mut walrus_entry_t) -> i32;
    pub fn walrus_cursor_seek(cursor: *mut walrus_cursor_t, index: u64) -> i32;
    pub fn walrus_cursor_position(cursor: *const walrus_cursor_t) -> u64;
    pub fn walrus_cursor_wait(cursor: *mut walrus_cursor_t, timeout_ms: i64) -> i32;
    pub fn walrus_cursor_close(cursor: *mut walrus_cursor_t);
    pub fn walrus_truncate(log: *mut walrus_t, index: u64) -> i32;
    pub fn walrus_truncate_front(log: *mut walrus_t, index: u64) -> i32;
    pub fn walrus_reset(log: *mut walrus_t, next_index: u64) -> i32;
    pub fn walrus_replace_suffix(
        log: *mut walrus_t,
        from_index: u64,
        records: *const walrus_record_t,
        count: usize,
        flags: u32,
    ) -> i32;
    pub fn walrus_txn_begin(log: *mut walrus_t, timeout_ms: i64, txn: *mut *mut walrus_txn_t) -> i32;
    pub fn walrus_txn_append(txn: *mut walrus_txn_t, record: *const walrus_record_t) -> i32;
    pub fn walrus_txn_commit(txn: *mut walrus_txn_t, flags: u32, first_index: *mut u64, count: *mut u64) -> i32;
    pub fn walrus_txn_rollback(txn: *mut walrus_txn_t) -> i32;
    pub fn walrus_txn_state(txn: *const walrus_txn_t) -> i32;
    pub fn walrus_txn_count(log: *mut walrus_t) -> u64;
    pub fn walrus_txn_expire(log: *mut walrus_t, expired: *mut u64) -> i32;
    pub fn walrus_meta_set(log: *mut walrus_t, key: *const c_char, value: *const c_void, size: usize) -> i32;
    pub fn walrus_meta_get(
        log: *mut walrus_t,
        key: *const c_char,
        buffer: *mut c_void,
        capacity: usize,
        size: *mut usize,
    ) -> i32;
    pub fn walrus_meta_delete(log: *mut walrus_t, key: *const c_char) -> i32;
    pub fn walrus_meta_each(log: *mut walrus_t, visit: walrus_meta_visit_fn, ctx: *mut c_void) -> i32;
    pub fn walrus_meta_stage(log: *mut walrus_t, key: *const c_char, value: *const c_void, size: usize) -> i32;
    pub fn walrus_rotate(log: *mut walrus_t) -> i32;
    pub fn walrus_segments(log: *mut walrus_t, visit: walrus_segment_visit_fn, ctx: *mut c_void) -> i32;
    pub fn walrus_stats(log: *mut walrus_t, stats: *mut walrus_stats_t) -> i32;
    pub fn walrus_stats_text(log: *mut walrus_t, buffer: *mut c_char, capacity: usize, size: *mut usize) -> i32;
    pub fn walrus_convert(
        source_dir: *const c_char,
        target_dir: *const c_char,
        options: *const walrus_options_t,
        progress: walrus_progress_fn,
        ctx: *mut c_void,
    ) -> i32;
}
