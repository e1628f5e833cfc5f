<?php
// Walrus.php - libwalrus for PHP, over FFI: an embeddable write-ahead log
//
//     require 'Walrus.php';
//     $log = Walrus\Log::open('orders');
//     $index = $log->append('hello');      // on stable storage when it returns
//     $log->get($index)->data;             // 'hello'
//     $log->close();
//
// Each method says what include/walrus.h says of the function that it stands for, and throws a Walrus\Error where that fails.
//
//   - No call reaches C with a freed handle.
//   - What C lends is copied, and given back before a method returns. No function of the program runs inside of a call of C.
//   - PHP cannot take calls on foreign threads, so there are neither completions nor a logger: appendAsync and waitDurable.
//   - Integers of PHP have a sign: indexes, terms and sizes of 2^63 or more are negative. sprintf('%u') shows them.
//
// SPDX-License-Identifier: MIT
declare(strict_types=1);

namespace Walrus;

use FFI;
use FFI\CData;

// What went wrong: a code (one of the constants), and a message to act on.
final class Error extends \RuntimeException
{
    public const INVALID = -1, NOT_FOUND = -2, COMPACTED = -3, OUT_OF_ORDER = -4, TOO_LARGE = -5, TOO_SMALL = -6, EXISTS = -7,
        NO_LOG = -8, NOT_A_LOG = -9, VERSION = -10, FORMAT = -11, LOCKED = -12, READ_ONLY = -13, IO = -14, NO_SPACE = -15,
        NO_MEMORY = -16, CORRUPT = -17, TORN = -18, POISONED = -19, CLOSED = -20, TIMEOUT = -21, CANCELED = -22, CAUGHT_UP = -23,
        TXN_STATE = -24, TXN_EXPIRED = -25, TXN_FULL = -26, FORKED = -27, BUSY = -28, UNSUPPORTED = -29, INTERNAL = -30;

    public function __construct(
        int $code,
        string $message,
        public readonly int $errno = 0,
        public readonly int $index = 0,
        public readonly int $offset = 0,
        public readonly string $path = '',
        public readonly int $size = 0, // TOO_SMALL: the bytes needed
    ) {
        parent::__construct($message, $code);
    }
}

// What is appended and what is read. To append: index 0 is the next one, timestampNs 0 is now.
final class Entry
{
    public function __construct(
        public readonly string $data,
        public readonly int $term = 0,
        public readonly int $index = 0,
        public readonly int $timestampNs = 0,
        public readonly int $checksum = 0, // CRC-32, as crc32() computes it; not looked at by appends
    ) {
    }
}

// What replaces the log's option sync for one call.
enum Durability: int
{
    case Default = 0;
    case Durable = 1; // on stable storage, with all entries before it
    case ToOs = 2; // handed to the operating system
    case Buffered = 4; // in memory
}

// The library, and what crosses the boundary.
final class Library
{
    private const DECLARATIONS = <<<'C'
        typedef struct walrus_log walrus_t;
        typedef struct walrus_options walrus_options_t;
        typedef struct walrus_cursor walrus_cursor_t;
        typedef struct walrus_txn walrus_txn_t;
        typedef struct { uint32_t struct_size; int32_t code, os_errno; uint32_t reserved; uint64_t index, offset;
            char path[512], message[512]; } walrus_error_t;
        typedef struct { const char *data; size_t size; uint64_t index, term; int64_t timestamp_ns; uint64_t reserved[2]; } walrus_record_t;
        typedef struct { uint64_t index, term; int64_t timestamp_ns; void *data; size_t size; uint32_t checksum, flags;
            void *owner; } walrus_entry_t;
        typedef struct { uint32_t struct_size; int32_t reason; uint64_t entries_cut, bytes_cut, cut_index, cut_offset,
            segments_scanned, bytes_scanned, duration_ns, durable_index; char segment[64], message[256]; } walrus_recovery_report_t;
        typedef struct { uint32_t struct_size, is_tail; uint64_t id, first_index, last_index, bytes, file_bytes;
            int64_t highest_timestamp_ns; char *name; } walrus_segment_info_t;
        typedef struct { uint32_t struct_size, is_poisoned; uint64_t first_index, last_index, durable_index, segments,
            async_pending, txn_open, appends, entries_appended, bytes_appended, bytes_written, syncs, entries_synced,
            largest_group, sync_ns, sync_ns_max, sync_histogram[24], rotations, truncations, segments_removed,
            segment_cache_hits, segment_cache_misses, txn_committed, txn_rolled_back, txn_expired, meta_updates, recovery_ns,
            recovery_bytes_cut, recovery_entries_cut; } walrus_stats_t;
        typedef int32_t (*walrus_option_visit_fn)(void *ctx, char *key, char *default_value, char *allowed);
        typedef int32_t (*walrus_meta_visit_fn)(void *ctx, char *key, void *value, size_t size);
        typedef int32_t (*walrus_segment_visit_fn)(void *ctx, walrus_segment_info_t *segment);

        const char *walrus_version(void); uint32_t walrus_version_number(void); uint32_t walrus_abi_version(void);
        const char *walrus_strerror(int32_t code); int32_t walrus_last_error(walrus_error_t *out);
        uint32_t walrus_crc32(const char *data, size_t size);
        walrus_options_t *walrus_options_new(void); void walrus_options_free(walrus_options_t *options);
        int32_t walrus_options_set(walrus_options_t *options, const char *key, const char *value);
        int32_t walrus_options_get(walrus_options_t *options, const char *key, char *buffer, size_t capacity, size_t *size);
        int32_t walrus_options_each(walrus_options_t *options, walrus_option_visit_fn visit, void *ctx);
        int32_t walrus_open(const char *dir, walrus_options_t *options, walrus_t **out);
        int32_t walrus_shutdown(walrus_t *log); int32_t walrus_close(walrus_t *log);
        int32_t walrus_recovery_report(walrus_t *log, walrus_recovery_report_t *report);
        int32_t walrus_destroy(const char *dir);
        int32_t walrus_append(walrus_t *log, const char *data, size_t size, uint64_t *index);
        int32_t walrus_append_record(walrus_t *log, walrus_record_t *record, uint32_t flags, uint64_t *index);
        int32_t walrus_append_batch(walrus_t *log, walrus_record_t *records, size_t count, uint32_t flags, uint64_t *first_index);
        int32_t walrus_append_packed(walrus_t *log, const char *data, uint32_t *sizes, size_t count, uint64_t term,
            uint32_t flags, uint64_t *first_index);
        int32_t walrus_append_async(walrus_t *log, walrus_record_t *record, uint32_t flags, void *done, void *ctx, uint64_t *index);
        int32_t walrus_sync(walrus_t *log); uint64_t walrus_durable_index(walrus_t *log);
        int32_t walrus_wait_durable(walrus_t *log, uint64_t index, int64_t timeout_ms);
        int32_t walrus_notify_fd(walrus_t *log, int *fd); int32_t walrus_interrupt(walrus_t *log);
        uint64_t walrus_first_index(walrus_t *log); uint64_t walrus_last_index(walrus_t *log);
        uint64_t walrus_next_index(walrus_t *log);
        int32_t walrus_get(walrus_t *log, uint64_t index, walrus_entry_t *entry); void walrus_entry_release(walrus_entry_t *entry);
        int32_t walrus_get_range(walrus_t *log, uint64_t first, uint64_t last, size_t max_bytes, walrus_entry_t *entries,
            size_t capacity, size_t *count);
        void walrus_entries_release(walrus_entry_t *entries, size_t count);
        int32_t walrus_read_packed(walrus_t *log, uint64_t first, size_t max_count, void *buffer, size_t capacity,
            uint32_t *sizes, size_t *count);
        int32_t walrus_term(walrus_t *log, uint64_t index, uint64_t *term);
        int32_t walrus_last_index_of_term(walrus_t *log, uint64_t term, uint64_t *index);
        int32_t walrus_seek_time(walrus_t *log, int64_t timestamp_ns, uint64_t *index);
        int32_t walrus_cursor_open(walrus_t *log, uint64_t index, uint32_t flags, walrus_cursor_t **cursor);
        int32_t walrus_cursor_next(walrus_cursor_t *cursor, walrus_entry_t *entry);
        int32_t walrus_cursor_prev(walrus_cursor_t *cursor, walrus_entry_t *entry);
        int32_t walrus_cursor_seek(walrus_cursor_t *cursor, uint64_t index); uint64_t walrus_cursor_position(walrus_cursor_t *cursor);
        int32_t walrus_cursor_wait(walrus_cursor_t *cursor, int64_t timeout_ms); void walrus_cursor_close(walrus_cursor_t *cursor);
        int32_t walrus_truncate(walrus_t *log, uint64_t index); int32_t walrus_truncate_front(walrus_t *log, uint64_t index);
        int32_t walrus_reset(walrus_t *log, uint64_t next_index);
        int32_t walrus_replace_suffix(walrus_t *log, uint64_t from_index, walrus_record_t *records, size_t count, uint32_t flags);
        int32_t walrus_txn_begin(walrus_t *log, int64_t timeout_ms, walrus_txn_t **txn);
        int32_t walrus_txn_append(walrus_txn_t *txn, walrus_record_t *record);
        int32_t walrus_txn_commit(walrus_txn_t *txn, uint32_t flags, uint64_t *first_index, uint64_t *count);
        int32_t walrus_txn_rollback(walrus_txn_t *txn); int32_t walrus_txn_state(walrus_txn_t *txn);
        uint64_t walrus_txn_count(walrus_t *log); int32_t walrus_txn_expire(walrus_t *log, uint64_t *expired);
        int32_t walrus_meta_set(walrus_t *log, const char *key, const char *value, size_t size);
        int32_t walrus_meta_get(walrus_t *log, const char *key, void *buffer, size_t capacity, size_t *size);
        int32_t walrus_meta_delete(walrus_t *log, const char *key);
        int32_t walrus_meta_each(walrus_t *log, walrus_meta_visit_fn visit, void *ctx);
        int32_t walrus_meta_stage(walrus_t *log, const char *key, const char *value, size_t size);
        int32_t walrus_rotate(walrus_t *log); int32_t walrus_segments(walrus_t *log, walrus_segment_visit_fn visit, void *ctx);
        int32_t walrus_stats(walrus_t *log, walrus_stats_t *stats);
        int32_t walrus_convert(const char *source_dir, const char *target_dir, walrus_options_t *options, void *progress, void *ctx);
        int32_t walrus_stats_text(walrus_t *log, char *buffer, size_t capacity, size_t *size);
        C;

    private static ?FFI $ffi = null;

    public static function c(): FFI
    {
        if (self::$ffi === null) {
            $ffi = FFI::cdef(self::DECLARATIONS, getenv('WALRUS_LIBRARY') ?: 'libwalrus.so.1');
            if ($ffi->walrus_abi_version() !== 1) {
                throw new Error(Error::UNSUPPORTED, "this binding knows version 1 of libwalrus' interface, and the library has another");
            }
            self::$ffi = $ffi;
        }
        return self::$ffi;
    }

    public static function check(int $code): int
    {
        if ($code >= 0) {
            return $code;
        }
        $error = self::sized('walrus_error_t');
        self::c()->walrus_last_error(FFI::addr($error));
        throw new Error($code, self::string($error->message), $error->os_errno, $error->index, $error->offset, self::string($error->path));
    }

    // A struct that begins with struct_size.
    public static function sized(string $type): CData
    {
        $struct = self::c()->new($type);
        $struct->struct_size = FFI::sizeof($struct);
        return $struct;
    }

    // Text that would lose its end in C is refused.
    public static function text(string $what, string $text): string
    {
        if (str_contains($text, "\0")) {
            throw new Error(Error::INVALID, "$what has a NUL in it: leave that out");
        }
        return $text;
    }

    // Where an array of char begins.
    public static function start(CData $array): CData
    {
        return FFI::cast('char *', FFI::addr($array));
    }

    // An array of char up to its NUL.
    public static function string(CData $array): string
    {
        return FFI::string(self::start($array));
    }

    public static function bytes(?CData $data, int $size): string
    {
        return $size === 0 ? '' : FFI::string(FFI::cast('char *', $data), $size);
    }

    public static function copyOfEntry(CData $entry): Entry
    {
        $data = self::bytes($entry->data, $entry->size);
        return new Entry($data, $entry->term, $entry->index, $entry->timestamp_ns, $entry->checksum);
    }

    /**
     * Records, and the memory that they point into, which has to be kept until the call is over.
     *
     * @param list<string|Entry> $entries
     * @return array{CData, CData}
     */
    public static function records(array $entries): array
    {
        $entries = array_map(fn ($one) => is_string($one) ? new Entry($one) : $one, array_values($entries));
        $all = implode('', array_map(fn (Entry $one) => $one->data, $entries));
        $bytes = FFI::new('char[' . max(1, strlen($all)) . ']');
        FFI::memcpy($bytes, $all, strlen($all));
        $records = self::c()->new('walrus_record_t[' . max(1, count($entries)) . ']');
        $at = self::start($bytes);
        foreach ($entries as $i => $one) {
            $records[$i]->data = $at;
            $records[$i]->size = strlen($one->data);
            $records[$i]->index = $one->index;
            $records[$i]->term = $one->term;
            $records[$i]->timestamp_ns = $one->timestampNs;
            $at += strlen($one->data);
        }
        return [$records, $bytes];
    }

    public static function compareUnsigned(int $a, int $b): int
    {
        return ($a ^ PHP_INT_MIN) <=> ($b ^ PHP_INT_MIN);
    }

    public static function version(): string
    {
        return self::c()->walrus_version();
    }

    public static function versionNumber(): int
    {
        return self::c()->walrus_version_number();
    }

    public static function abiVersion(): int
    {
        return self::c()->walrus_abi_version();
    }

    public static function strerror(int $code): string
    {
        return self::c()->walrus_strerror($code);
    }

    public static function crc32(string $data): int
    {
        return self::c()->walrus_crc32($data, strlen($data));
    }

    /** @return array<string, array{default: string, allowed: string}> all settings of the library */
    public static function options(): array
    {
        $all = [];
        self::check(self::c()->walrus_options_each(null, function ($ctx, $key, $default, $allowed) use (&$all) {
            $all[FFI::string($key)] = ['default' => FFI::string($default), 'allowed' => FFI::string($allowed)];
            return 0;
        }, null));
        return $all;
    }

    // How the library understands a setting, as in ('segment_size', '64KiB') to '65536', or why it does not.
    public static function checkOption(string $key, string $value): string
    {
        return self::withOptions([$key => $value], function (CData $options) use ($key) {
            $text = FFI::new('char[256]'); // no option is longer
            self::check(self::c()->walrus_options_get($options, $key, $text, 256, null));
            return self::string($text);
        });
    }

    public static function withOptions(array $settings, callable $use): mixed
    {
        $options = self::c()->walrus_options_new();
        if ($options === null || FFI::isNull($options)) {
            throw new Error(Error::NO_MEMORY, 'there is no memory for options');
        }
        try {
            foreach ($settings as $key => $value) {
                $value = is_bool($value) ? ($value ? 'true' : 'false') : (string) $value;
                self::check(self::c()->walrus_options_set(
                    $options,
                    self::text('the option', (string) $key),
                    self::text("the value of $key", $value),
                ));
            }
            return $use($options);
        } finally {
            self::c()->walrus_options_free($options);
        }
    }
}

// An open log. Close it; one that is forgotten is closed, but nobody hears then of a failure.
final class Log
{
    private const PAGE_ENTRIES = 256, PAGE_BYTES = 1 << 20, SLICE_MS = 50;

    private ?CData $handle = null;

    private function __construct(public readonly string $path)
    {
    }

    private function __clone()
    {
    }

    /**
     * Opens the log in a directory.
     *
     * @param array<string, string|int|bool> $options by their names: ['sync' => 'os']; Library::options lists them
     */
    public static function open(string $directory, array $options = []): self
    {
        $log = new self($directory);
        $out = Library::c()->new('walrus_t *');
        Library::withOptions($options, fn (CData $settings) => Library::check(
            Library::c()->walrus_open(Library::text('the directory', $directory), $settings, FFI::addr($out)),
        ));
        $log->handle = $out;
        return $log;
    }

    public static function destroy(string $directory): void
    {
        Library::check(Library::c()->walrus_destroy(Library::text('the directory', $directory)));
    }

    /**
     * Copies a log into another one, in the format and with the compression that options say, with the same indexes, terms, times
     * and metadata. A copy that died goes on where it was when it is called again.
     *
     * @param array<string, string|int|bool> $options
     */
    public static function convert(string $source, string $target, array $options = []): void
    {
        Library::withOptions($options, fn (CData $settings) => Library::check(Library::c()->walrus_convert(
            Library::text('the source', $source),
            Library::text('the target', $target),
            $settings,
            null,
            null,
        )));
    }

    // Writes and syncs what is not durable yet, and frees the log. Again: does nothing.
    public function close(): void
    {
        $handle = $this->handle;
        $this->handle = null;
        if ($handle !== null) {
            Library::check(Library::c()->walrus_close($handle));
        }
    }

    public function __destruct()
    {
        try {
            $this->close();
        } catch (Error) {
            // What was not durable may be lost, and the next open tells.
        }
    }

    public function isClosed(): bool
    {
        return $this->handle === null;
    }

    /** @internal */
    public function handle(): CData
    {
        return $this->handle ?? throw new Error(Error::CLOSED, "log '$this->path' is closed: open it again to use it");
    }

    private function call(string $function, mixed ...$arguments): int
    {
        return Library::check(Library::c()->{"walrus_$function"}($this->handle(), ...$arguments));
    }

    // A call with a place for one number that it gives.
    private function give(string $function, mixed ...$arguments): int
    {
        $place = FFI::new('uint64_t');
        $this->call($function, ...[...$arguments, FFI::addr($place)]);
        return $place->cdata;
    }

    // 0 where the library cannot answer.
    private function number(string $function): int
    {
        return $this->handle === null ? 0 : Library::c()->{"walrus_$function"}($this->handle);
    }

    /** @internal Waits in slices, so that handlers of signals run in between. */
    public static function wait(?float $timeout, callable $call): void
    {
        $deadline = $timeout === null ? null : hrtime(true) + (int) ceil($timeout * 1e9);
        while (true) {
            $left = $deadline === null ? self::SLICE_MS : (int) max(0, ceil(($deadline - hrtime(true)) / 1e6));
            try {
                $call(min($left, self::SLICE_MS));
                return;
            } catch (Error $error) {
                if ($error->getCode() !== Error::TIMEOUT || $left === 0) {
                    throw $error;
                }
            }
        }
    }

    // Ends use of the log: every later call answers CLOSED. close is still due.
    public function shutdown(): void
    {
        $this->call('shutdown');
    }

    /** @return array<string, int|string> what open found and did; reason is clean, complete, torn, batch or reordered */
    public function recoveryReport(): array
    {
        $report = Library::sized('walrus_recovery_report_t');
        $this->call('recovery_report', FFI::addr($report));
        $all = ['reason' => ['clean', 'complete', 'torn', 'batch', 'reordered'][$report->reason] ?? 'unknown'];
        foreach (['entries_cut', 'bytes_cut', 'cut_index', 'cut_offset', 'segments_scanned', 'bytes_scanned', 'duration_ns',
            'durable_index'] as $name) {
            $all[$name] = $report->$name;
        }
        return $all + ['segment' => Library::string($report->segment), 'message' => Library::string($report->message)];
    }

    // ---- Append

    // Appends data as the next entry, with the term of the one before it, and returns its index.
    public function append(string $data): int
    {
        return $this->give('append', $data, strlen($data));
    }

    // Appends an entry with its own term and time, and checks its index if it has one.
    public function appendEntry(Entry $entry, Durability $durability = Durability::Default): int
    {
        [$records, $kept] = Library::records([$entry]);
        return $this->give('append_record', $records, $durability->value);
    }

    /** @param list<string|Entry> $entries appended as one: after any crash all of them are there or none */
    public function appendBatch(array $entries, Durability $durability = Durability::Default): int
    {
        [$records, $kept] = Library::records($entries);
        return $this->give('append_batch', $records, count($entries), $durability->value);
    }

    /** @param list<int> $sizes of the entries in $data, which have to add up to it */
    public function appendPacked(string $data, array $sizes, int $term = 0, Durability $durability = Durability::Default): int
    {
        if (array_sum($sizes) !== strlen($data) || ($sizes !== [] && min($sizes) < 0)) {
            throw new Error(Error::INVALID, 'the sizes do not add up to ' . strlen($data) . ' bytes');
        }
        $list = FFI::new('uint32_t[' . max(1, count($sizes)) . ']');
        foreach (array_values($sizes) as $i => $size) {
            $list[$i] = $size;
        }
        return $this->give('append_packed', $data, $list, count($sizes), $term, $durability->value);
    }

    // Appends, and does not wait for the entry to become durable: many share a sync. waitDurable or durableIndex tell.
    public function appendAsync(Entry $entry): int
    {
        [$records, $kept] = Library::records([$entry]);
        return $this->give('append_async', $records, 0, null, null);
    }

    // ---- Durability

    // Returns once every entry that was appended before, and all staged metadata, is on stable storage.
    public function sync(): void
    {
        $this->call('sync');
    }

    public function durableIndex(): int
    {
        return $this->number('durable_index');
    }

    // Waits until the entry at index is durable, at most timeout seconds; null: for ever, 0 tells at once.
    public function waitDurable(int $index, ?float $timeout = null): void
    {
        self::wait($timeout, fn (int $ms) => $this->call('wait_durable', $index, $ms));
    }

    // A descriptor that becomes readable when the durable index has moved (of a read-only log: the last index). The log's own.
    public function notifyFd(): int
    {
        $fd = FFI::new('int');
        $this->call('notify_fd', FFI::addr($fd));
        return $fd->cdata;
    }

    public function interrupt(): void
    {
        $this->call('interrupt');
    }

    // ---- Read

    public function firstIndex(): int
    {
        return $this->number('first_index');
    }

    public function lastIndex(): int
    {
        return $this->number('last_index');
    }

    public function nextIndex(): int
    {
        return $this->number('next_index');
    }

    public function get(int $index): Entry
    {
        $entry = Library::c()->new('walrus_entry_t');
        $this->call('get', $index, FFI::addr($entry));
        try {
            return Library::copyOfEntry($entry);
        } finally {
            Library::c()->walrus_entry_release(FFI::addr($entry));
        }
    }

    // How many entries there may be from first on: memory is taken for that, not for what was asked.
    private function there(int $first, int $most): int
    {
        $count = $this->lastIndex() - $first + 1;
        return max(0, min($most, is_int($count) ? max(1, $count) : $most, 1 << 20));
    }

    /** @return list<Entry> up to maxCount entries from first to last, fewer before their bytes exceed maxBytes, but one */
    public function range(int $first, int $last, int $maxBytes = self::PAGE_BYTES, int $maxCount = self::PAGE_ENTRIES): array
    {
        if ($maxCount < 1) {
            throw new Error(Error::INVALID, 'maxCount has to be at least 1');
        }
        $capacity = $this->there($first, $maxCount);
        $entries = Library::c()->new("walrus_entry_t[$capacity]");
        $count = FFI::new('size_t');
        $this->call('get_range', $first, $last, $maxBytes, $entries, $capacity, FFI::addr($count));
        try {
            $all = [];
            for ($i = 0; $i < $count->cdata; $i++) {
                $all[] = Library::copyOfEntry($entries[$i]);
            }
            return $all;
        } finally {
            Library::c()->walrus_entries_release($entries, $count->cdata);
        }
    }

    /**
     * Each entry from first to last (-1: the last index), by its index; what comes in meanwhile is not among them. The loop may do
     * anything with the log.
     *
     * @return \Generator<int, Entry>
     */
    public function scan(int $first, int $last = -1): \Generator
    {
        $bound = $this->lastIndex();
        if (Library::compareUnsigned($last, $bound) > 0 && Library::compareUnsigned($first, $bound) <= 0) {
            $last = $bound;
        }
        $capacity = self::PAGE_ENTRIES;
        while (true) {
            try {
                $page = $this->range($first, $last, maxCount: $capacity);
            } catch (Error $error) {
                if ($capacity === 1) {
                    throw $error;
                }
                $capacity = 1; // what lies before the entry that cannot be read is still handed out
                continue;
            }
            foreach ($page as $entry) {
                yield $entry->index => $entry;
            }
            if (end($page)->index === $last) {
                return;
            }
            $first = end($page)->index + 1;
        }
    }

    /** @return \Generator<int, Entry> all entries, by their indexes */
    public function entries(): \Generator
    {
        if ($this->lastIndex() !== 0) {
            yield from $this->scan($this->firstIndex());
        }
    }

    /** @return list<string> from first on, up to maxCount whose bytes fit capacity; TOO_SMALL: not even the first one does */
    public function readPacked(int $first, int $maxCount = 65536, int $capacity = self::PAGE_BYTES): array
    {
        $most = $this->there($first, $maxCount);
        $buffer = FFI::new('char[' . max(1, $capacity) . ']');
        $sizes = FFI::new('uint32_t[' . max(1, $most) . ']');
        $count = FFI::new('size_t');
        try {
            $this->call('read_packed', $first, $most, $buffer, $capacity, $sizes, FFI::addr($count));
        } catch (Error $error) {
            throw $error->getCode() === Error::TOO_SMALL ? new Error(Error::TOO_SMALL, $error->getMessage(), size: $sizes[0]) : $error;
        }
        $all = [];
        for ($i = 0, $offset = 0; $i < $count->cdata; $offset += $sizes[$i++]) {
            $all[] = Library::bytes(Library::start($buffer) + $offset, $sizes[$i]);
        }
        return $all;
    }

    public function term(int $index): int
    {
        return $this->give('term', $index);
    }

    // The highest index whose entry has this term.
    public function lastIndexOfTerm(int $term): int
    {
        return $this->give('last_index_of_term', $term);
    }

    // The first index that holds an entry of this time (nanoseconds since 1970) or a later one, or one that comes after such.
    public function seekTime(int $timestampNs): int
    {
        return $this->give('seek_time', $timestampNs);
    }

    // A cursor before the entry at index; 0 is the first one.
    public function cursor(int $index = 0, bool $durableOnly = false): Cursor
    {
        $out = Library::c()->new('walrus_cursor_t *');
        $this->call('cursor_open', $index, $durableOnly ? 1 : 0, FFI::addr($out));
        return new Cursor($this, $out);
    }

    // ---- Truncate: all durable on return

    // Drops every entry after index.
    public function truncate(int $index): void
    {
        $this->call('truncate', $index);
    }

    // Drops every entry before index.
    public function truncateFront(int $index): void
    {
        $this->call('truncate_front', $index);
    }

    // Drops every entry; the next one gets nextIndex.
    public function reset(int $nextIndex): void
    {
        $this->call('reset', $nextIndex);
    }

    /** @param list<string|Entry> $entries take the place of every entry from index $from on, as one step across any crash */
    public function replaceSuffix(int $from, array $entries): void
    {
        [$records, $kept] = Library::records($entries);
        $this->call('replace_suffix', $from, $records, count($entries), 0);
    }

    // ---- Transactions

    // A transaction that expires after timeout seconds; null: as the option txn_timeout_ms says, INF: never.
    public function begin(?float $timeout = null): Transaction
    {
        $out = Library::c()->new('walrus_txn_t *');
        $this->call('txn_begin', $timeout === INF ? -1 : (int) ceil(($timeout ?? 0) * 1000), FFI::addr($out));
        return new Transaction($this, $out);
    }

    public function txnCount(): int
    {
        return $this->number('txn_count');
    }

    public function txnExpire(): int
    {
        return $this->give('txn_expire');
    }

    // ---- Metadata: small values beside the log that no truncation touches

    // Sets a value, durable on return.
    public function metaSet(string $key, string $value): void
    {
        $this->call('meta_set', Library::text('the key', $key), $value, strlen($value));
    }

    // Stages a value to be set together with the next append: after a crash both are there or none.
    public function metaStage(string $key, string $value): void
    {
        $this->call('meta_stage', Library::text('the key', $key), $value, strlen($value));
    }

    // A value; null where there is none.
    public function meta(string $key): ?string
    {
        $value = FFI::new('char[65536]'); // none is larger
        try {
            return Library::bytes(Library::start($value), $this->give('meta_get', Library::text('the key', $key), $value, 65536));
        } catch (Error $error) {
            return $error->getCode() === Error::NOT_FOUND ? null : throw $error;
        }
    }

    public function metaDelete(string $key): void
    {
        $this->call('meta_delete', Library::text('the key', $key));
    }

    /** @return array<string|int, string> all values by their keys, in the order of their bytes */
    public function allMeta(): array
    {
        $all = [];
        $this->call('meta_each', function ($ctx, $key, $value, $size) use (&$all) {
            $all[FFI::string($key)] = Library::bytes($value, $size);
            return 0;
        }, null);
        return $all;
    }

    // ---- Operations

    // Ends the last segment and begins a new one.
    public function rotate(): void
    {
        $this->call('rotate');
    }

    /** @return list<array<string, int|string>> the files of the log, oldest first */
    public function segments(): array
    {
        $all = [];
        $this->call('segments', function ($ctx, $segment) use (&$all) {
            $one = [];
            foreach (['is_tail', 'id', 'first_index', 'last_index', 'bytes', 'file_bytes', 'highest_timestamp_ns'] as $name) {
                $one[$name] = $segment->$name;
            }
            $all[] = $one + ['name' => FFI::string($segment->name)];
            return 0;
        }, null);
        return $all;
    }

    /** @return array<string, int|list<int>> counts by their names in walrus_stats_t; sync_histogram is a list */
    public function stats(): array
    {
        $stats = Library::sized('walrus_stats_t');
        $this->call('stats', FFI::addr($stats));
        $all = [];
        foreach (array_slice(FFI::typeof($stats)->getStructFieldNames(), 1) as $name) {
            $all[$name] = $stats->$name;
            if ($all[$name] instanceof CData) { // which cannot be iterated over
                $all[$name] = array_map(fn (int $i) => $stats->$name[$i], range(0, count($stats->$name) - 1));
            }
        }
        return $all;
    }

    // The same as text in the Prometheus exposition format.
    public function statsText(): string
    {
        $text = FFI::new('char[65536]'); // many times what there is
        $this->give('stats_text', $text, 65536);
        return Library::string($text);
    }
}

// A position between two entries; Log::cursor makes one. Where the log is truncated below it, it goes back to the cut. Over a log
// that was opened with read_only it follows a writer in another process.
final class Cursor
{
    /** @internal */
    public function __construct(private readonly Log $log, private ?CData $handle)
    {
    }

    private function __clone()
    {
    }

    private function call(string $function, mixed ...$arguments): int
    {
        if ($this->handle === null) {
            throw new Error(Error::CLOSED, 'this cursor is closed: open another one');
        }
        $this->log->handle(); // throws if it is closed
        return Library::check(Library::c()->{"walrus_cursor_$function"}($this->handle, ...$arguments));
    }

    private function read(string $function): Entry
    {
        $entry = Library::c()->new('walrus_entry_t');
        $this->call($function, FFI::addr($entry));
        try {
            return Library::copyOfEntry($entry);
        } finally {
            Library::c()->walrus_entry_release(FFI::addr($entry));
        }
    }

    // Reads the entry behind the cursor and steps over it; null: there is none yet. COMPACTED: it was truncated away, seek(0).
    public function next(): ?Entry
    {
        try {
            return $this->read('next');
        } catch (Error $error) {
            return $error->getCode() === Error::CAUGHT_UP ? null : throw $error;
        }
    }

    // Reads the entry before the cursor and steps back over it.
    public function prev(): Entry
    {
        return $this->read('prev');
    }

    public function seek(int $index): void
    {
        $this->call('seek', $index);
    }

    // The index that next would read: where to go on after a restart. 0 when the cursor or its log is closed.
    public function position(): int
    {
        return $this->handle === null || $this->log->isClosed() ? 0 : Library::c()->walrus_cursor_position($this->handle);
    }

    // Waits until next has something to say, at most timeout seconds; null: for ever. TIMEOUT, CANCELED, CLOSED.
    public function wait(?float $timeout = null): void
    {
        Log::wait($timeout, fn (int $ms) => $this->call('wait', $ms));
    }

    /** @return \Generator<int, Entry> what is behind the cursor, and each that comes later; ends when none came for timeout seconds */
    public function follow(?float $timeout = null): \Generator
    {
        while (true) {
            while (($entry = $this->next()) !== null) {
                yield $entry->index => $entry;
            }
            try {
                $this->wait($timeout);
            } catch (Error $error) {
                if ($error->getCode() !== Error::TIMEOUT) {
                    throw $error;
                }
                return;
            }
        }
    }

    // May come after close of the log, and again.
    public function close(): void
    {
        if ($this->handle !== null) {
            Library::c()->walrus_cursor_close($this->handle);
            $this->handle = null;
        }
    }

    public function __destruct()
    {
        $this->close();
    }
}

// Entries staged in memory, and appended as one batch; Log::begin makes one.
final class Transaction
{
    /** @internal */
    public function __construct(private readonly Log $log, private ?CData $handle)
    {
    }

    private function __clone()
    {
    }

    private function call(string $function, mixed ...$arguments): int
    {
        if ($this->handle === null) {
            throw new Error(Error::TXN_STATE, 'this transaction is over: begin another one');
        }
        $this->log->handle(); // throws if it is closed
        return Library::check(Library::c()->{"walrus_txn_$function"}($this->handle, ...$arguments));
    }

    public function append(string|Entry $entry): void
    {
        [$records, $kept] = Library::records([$entry]);
        $this->call('append', $records);
    }

    /**
     * Appends what was staged as one batch. After a failure it can be committed again, unless state says committed.
     *
     * @return array{int, int} the first index and the count
     */
    public function commit(Durability $durability = Durability::Default): array
    {
        $numbers = [FFI::new('uint64_t'), FFI::new('uint64_t')];
        $this->call('commit', $durability->value, FFI::addr($numbers[0]), FFI::addr($numbers[1]));
        $this->handle = null;
        return [$numbers[0]->cdata, $numbers[1]->cdata];
    }

    // Drops what was staged. After a commit or another rollback it does nothing.
    public function rollback(): void
    {
        if ($this->handle !== null) {
            Library::c()->walrus_txn_rollback($this->handle);
            $this->handle = null;
        }
    }

    // open, expired or committed.
    public function state(): string
    {
        return [1 => 'open', 2 => 'expired', 3 => 'committed'][$this->call('state')] ?? 'unknown';
    }

    public function __destruct()
    {
        $this->rollback();
    }
}
