-- walrus.lua - libwalrus for LuaJIT, over its ffi: an embeddable write-ahead log
--
--     local walrus = require "walrus"
--     local log = walrus.open("orders")
--     local index = log:append("hello")    -- on stable storage when it returns
--     log:get(index).data                  -- "hello"
--     log:close()
--
-- Each method says what include/walrus.h says of the function that it stands for. What fails raises a table: code, name (as in
-- "NOT_FOUND"), message, index, offset, path, errno, size; tostring gives the message.
--
--   - No call reaches C with a freed handle.
--   - What C lends is copied, and given back before a method returns. No function of the program runs inside of a call of C.
--   - Indexes, terms and times come as numbers where a number holds them exactly (below 2^53), else as 64-bit cdata; both go in.
--   - LuaJIT cannot take calls on foreign threads, so there are neither completions nor a logger: append_async, wait_durable.
--
-- SPDX-License-Identifier: MIT
local ffi = require "ffi"

ffi.cdef [[
typedef struct walrus_log walrus_t;
typedef struct walrus_options walrus_options_t;
typedef struct walrus_cursor walrus_cursor_t;
typedef struct walrus_txn walrus_txn_t;
typedef struct { uint32_t struct_size; int32_t code, os_errno; uint32_t reserved; uint64_t index, offset;
    char path[512], message[512]; } walrus_error_t;
typedef struct { const char *data; size_t size; uint64_t index, term; int64_t timestamp_ns; uint64_t reserved[2]; } walrus_record_t;
typedef struct { uint64_t index, term; int64_t timestamp_ns; const void *data; size_t size; uint32_t checksum, flags;
    void *owner; } walrus_entry_t;
typedef struct { uint32_t struct_size; int32_t reason; uint64_t entries_cut, bytes_cut, cut_index, cut_offset, segments_scanned,
    bytes_scanned, duration_ns, durable_index; char segment[64], message[256]; } walrus_recovery_report_t;
typedef struct { uint32_t struct_size, is_tail; uint64_t id, first_index, last_index, bytes, file_bytes;
    int64_t highest_timestamp_ns; const char *name; } walrus_segment_info_t;
typedef struct { uint32_t struct_size, is_poisoned; uint64_t first_index, last_index, durable_index, segments, async_pending,
    txn_open, appends, entries_appended, bytes_appended, bytes_written, syncs, entries_synced, largest_group, sync_ns,
    sync_ns_max, sync_histogram[24], rotations, truncations, segments_removed, segment_cache_hits, segment_cache_misses,
    txn_committed, txn_rolled_back, txn_expired, meta_updates, recovery_ns, recovery_bytes_cut, recovery_entries_cut; }
    walrus_stats_t;
typedef int32_t (*walrus_option_visit_fn)(void *ctx, const char *key, const char *default_value, const char *allowed);
typedef int32_t (*walrus_meta_visit_fn)(void *ctx, const char *key, const void *value, size_t size);
typedef int32_t (*walrus_segment_visit_fn)(void *ctx, const walrus_segment_info_t *segment);

const char *walrus_version(void);
uint32_t walrus_version_number(void);
uint32_t walrus_abi_version(void);
const char *walrus_strerror(int32_t code);
int32_t walrus_last_error(walrus_error_t *out);
uint32_t walrus_crc32(const void *data, size_t size);
walrus_options_t *walrus_options_new(void);
void walrus_options_free(walrus_options_t *options);
int32_t walrus_options_set(walrus_options_t *options, const char *key, const char *value);
int32_t walrus_options_get(const walrus_options_t *options, const char *key, char *buffer, size_t capacity, size_t *size);
int32_t walrus_options_each(const walrus_options_t *options, walrus_option_visit_fn visit, void *ctx);
int32_t walrus_open(const char *dir, const walrus_options_t *options, walrus_t **out);
int32_t walrus_shutdown(walrus_t *log);
int32_t walrus_close(walrus_t *log);
int32_t walrus_recovery_report(walrus_t *log, walrus_recovery_report_t *report);
int32_t walrus_destroy(const char *dir);
int32_t walrus_append(walrus_t *log, const void *data, size_t size, uint64_t *index);
int32_t walrus_append_record(walrus_t *log, const walrus_record_t *record, uint32_t flags, uint64_t *index);
int32_t walrus_append_batch(walrus_t *log, const walrus_record_t *records, size_t count, uint32_t flags, uint64_t *first_index);
int32_t walrus_append_packed(walrus_t *log, const void *data, const uint32_t *sizes, size_t count, uint64_t term, uint32_t flags,
    uint64_t *first_index);
int32_t walrus_append_async(walrus_t *log, const walrus_record_t *record, uint32_t flags, void *done, void *ctx, uint64_t *index);
int32_t walrus_sync(walrus_t *log);
uint64_t walrus_durable_index(walrus_t *log);
int32_t walrus_wait_durable(walrus_t *log, uint64_t index, int64_t timeout_ms);
int32_t walrus_notify_fd(walrus_t *log, int *fd);
int32_t walrus_interrupt(walrus_t *log);
uint64_t walrus_first_index(walrus_t *log);
uint64_t walrus_last_index(walrus_t *log);
uint64_t walrus_next_index(walrus_t *log);
int32_t walrus_get(walrus_t *log, uint64_t index, walrus_entry_t *entry);
void walrus_entry_release(walrus_entry_t *entry);
int32_t walrus_get_range(walrus_t *log, uint64_t first, uint64_t last, size_t max_bytes, walrus_entry_t *entries,
    size_t capacity, size_t *count);
void walrus_entries_release(walrus_entry_t *entries, size_t count);
int32_t walrus_read_packed(walrus_t *log, uint64_t first, size_t max_count, void *buffer, size_t capacity, uint32_t *sizes,
    size_t *count);
int32_t walrus_term(walrus_t *log, uint64_t index, uint64_t *term);
int32_t walrus_last_index_of_term(walrus_t *log, uint64_t term, uint64_t *index);
int32_t walrus_seek_time(walrus_t *log, int64_t timestamp_ns, uint64_t *index);
int32_t walrus_cursor_open(walrus_t *log, uint64_t index, uint32_t flags, walrus_cursor_t **cursor);
int32_t walrus_cursor_next(walrus_cursor_t *cursor, walrus_entry_t *entry);
int32_t walrus_cursor_prev(walrus_cursor_t *cursor, walrus_entry_t *entry);
int32_t walrus_cursor_seek(walrus_cursor_t *cursor, uint64_t index);
uint64_t walrus_cursor_position(const walrus_cursor_t *cursor);
int32_t walrus_cursor_wait(walrus_cursor_t *cursor, int64_t timeout_ms);
void walrus_cursor_close(walrus_cursor_t *cursor);
int32_t walrus_truncate(walrus_t *log, uint64_t index);
int32_t walrus_truncate_front(walrus_t *log, uint64_t index);
int32_t walrus_reset(walrus_t *log, uint64_t next_index);
int32_t walrus_replace_suffix(walrus_t *log, uint64_t from_index, const walrus_record_t *records, size_t count, uint32_t flags);
int32_t walrus_txn_begin(walrus_t *log, int64_t timeout_ms, walrus_txn_t **txn);
int32_t walrus_txn_append(walrus_txn_t *txn, const walrus_record_t *record);
int32_t walrus_txn_commit(walrus_txn_t *txn, uint32_t flags, uint64_t *first_index, uint64_t *count);
int32_t walrus_txn_rollback(walrus_txn_t *txn);
int32_t walrus_txn_state(const walrus_txn_t *txn);
uint64_t walrus_txn_count(walrus_t *log);
int32_t walrus_txn_expire(walrus_t *log, uint64_t *expired);
int32_t walrus_meta_set(walrus_t *log, const char *key, const void *value, size_t size);
int32_t walrus_meta_get(walrus_t *log, const char *key, void *buffer, size_t capacity, size_t *size);
int32_t walrus_meta_delete(walrus_t *log, const char *key);
int32_t walrus_meta_each(walrus_t *log, walrus_meta_visit_fn visit, void *ctx);
int32_t walrus_meta_stage(walrus_t *log, const char *key, const void *value, size_t size);
int32_t walrus_rotate(walrus_t *log);
int32_t walrus_segments(walrus_t *log, walrus_segment_visit_fn visit, void *ctx);
int32_t walrus_stats(walrus_t *log, walrus_stats_t *stats);
int32_t walrus_convert(const char *source_dir, const char *target_dir, const walrus_options_t *options, void *progress, void *ctx);
int32_t walrus_stats_text(walrus_t *log, char *buffer, size_t capacity, size_t *size);
]]

local C = ffi.load(os.getenv("WALRUS_LIBRARY") or "libwalrus.so.1")
if C.walrus_abi_version() ~= 1 then
    error("this binding knows version 1 of libwalrus' interface, and the library has another")
end

local walrus = { library = C }

-- ---- Errors

local Error = {}
Error.__index = Error
function Error.__tostring(self) return self.message end

local CODES = {
    "INVALID", "NOT_FOUND", "COMPACTED", "OUT_OF_ORDER", "TOO_LARGE", "TOO_SMALL", "EXISTS", "NO_LOG", "NOT_A_LOG", "VERSION",
    "FORMAT", "LOCKED", "READ_ONLY", "IO", "NO_SPACE", "NO_MEMORY", "CORRUPT", "TORN", "POISONED", "CLOSED", "TIMEOUT",
    "CANCELED", "CAUGHT_UP", "TXN_STATE", "TXN_EXPIRED", "TXN_FULL", "FORKED", "BUSY", "UNSUPPORTED", "INTERNAL",
}
for number, name in ipairs(CODES) do walrus[name] = -number end -- walrus.NOT_FOUND is -2

local function refuse(code, message, details)
    local problem = details or {}
    problem.code, problem.name, problem.message = code, CODES[-code] or "UNKNOWN", message
    error(setmetatable(problem, Error), 0)
end

-- Whether something that pcall caught is of this library; with a name: of that kind.
function walrus.is_error(problem, name)
    return getmetatable(problem) == Error and (name == nil or problem.name == name)
end

-- ---- What crosses the boundary

local EXACT = 2 ^ 53

-- A 64-bit number of C, as a number where that is exact.
local function number(wide)
    -- Beside an unsigned one, -EXACT would be a large number.
    if wide < EXACT and (ffi.istype("uint64_t", wide) or wide > -EXACT) then return tonumber(wide) end
    return wide
end

-- For an unsigned argument: a fraction or a sign would become some other number.
local function unsigned(value)
    if type(value) == "cdata" then return ffi.cast("uint64_t", value) end
    if type(value) ~= "number" or value < 0 or value ~= math.floor(value) or value >= 2 ^ 63 then
        refuse(walrus.INVALID, tostring(value) .. " is not a whole number without a sign below 2^63; above, give cdata: 2 ^ 63 is 0x8000000000000000ULL")
    end
    return ffi.cast("uint64_t", value)
end

local function signed(value)
    if type(value) == "cdata" then return ffi.cast("int64_t", value) end
    if type(value) ~= "number" or value ~= math.floor(value) or math.abs(value) >= 2 ^ 63 then
        refuse(walrus.INVALID, tostring(value) .. " is not a whole number of 64 bits")
    end
    return ffi.cast("int64_t", value)
end

local function bytes(what, value)
    if type(value) ~= "string" then refuse(walrus.INVALID, what .. " has to be a string, and is a " .. type(value)) end
    return value
end

-- Text that would lose its end in C is refused.
local function text(what, value)
    if bytes(what, value):find("\0", 1, true) then refuse(walrus.INVALID, what .. " has a NUL in it: leave that out") end
    return value
end

local function check(code)
    if code >= 0 then return code end
    local last = ffi.new("walrus_error_t", { struct_size = ffi.sizeof("walrus_error_t") })
    C.walrus_last_error(last)
    refuse(code, ffi.string(last.message), {
        index = number(last.index), offset = number(last.offset), path = ffi.string(last.path), errno = last.os_errno,
    })
end

local FLAGS = { always = 1, os = 2, none = 4 } -- what replaces the log's sync for one call

local function flags(sync)
    if sync == nil then return 0 end
    return FLAGS[sync] or refuse(walrus.INVALID, "sync is always, os or none, and not " .. tostring(sync))
end

-- Records point into their strings, which the list keeps until the call is over.
local function records(list)
    local all = ffi.new("walrus_record_t[?]", math.max(1, #list))
    for i, one in ipairs(list) do
        if type(one) ~= "table" then one = { data = one } end
        local data, record = bytes("an entry", one.data), all[i - 1]
        record.data, record.size = data, #data
        record.index, record.term = unsigned(one.index or 0), unsigned(one.term or 0)
        record.timestamp_ns = signed(one.timestamp_ns or 0)
    end
    return all
end

local function copy_of_entry(entry)
    return {
        index = number(entry.index), term = number(entry.term), timestamp_ns = number(entry.timestamp_ns),
        data = entry.size == 0 and "" or ffi.string(entry.data, entry.size), checksum = entry.checksum,
    }
end

local function copies_of_entries(entries, count)
    local all = {}
    for i = 0, count - 1 do all[i + 1] = copy_of_entry(entries[i]) end
    return all
end

-- Reads with a function that lends an entry, which is given back also if there is no memory for the copy.
local function read(read_entry)
    local entry = ffi.new("walrus_entry_t")
    check(read_entry(entry))
    local ok, copy = pcall(copy_of_entry, entry)
    C.walrus_entry_release(entry)
    return ok and copy or error(copy, 0)
end

-- A call that gives one number.
local function give(call, kind)
    local place = ffi.new(kind or "uint64_t[1]")
    check(call(place))
    return number(place[0])
end

-- Walks with a callback that only collects. A compiled trace must not run a call that calls back.
local function walk(kind, call, visit)
    local callback = ffi.cast(kind, visit)
    local code = call(callback)
    callback:free()
    check(code)
end
jit.off(walk, true)

local SLICE_MS = 50

-- Waits in slices, so that Ctrl-C is heard in between; timeout in seconds, nil for ever.
local function wait(timeout, call)
    local left = timeout and math.max(0, math.ceil(timeout * 1000))
    while true do
        local slice = left and math.min(left, SLICE_MS) or SLICE_MS
        local code = call(slice)
        left = left and left - slice
        if code ~= walrus.TIMEOUT or left == 0 then return check(code) end
    end
end

-- ---- The library

function walrus.version() return ffi.string(C.walrus_version()) end
function walrus.version_number() return C.walrus_version_number() end
function walrus.abi_version() return C.walrus_abi_version() end
function walrus.strerror(code) return ffi.string(C.walrus_strerror(code)) end
function walrus.crc32(data) return C.walrus_crc32(data, #data) end
function walrus.destroy(directory) check(C.walrus_destroy(text("the directory", directory))) end

-- All settings of the library: { key =, default =, allowed = } each.
function walrus.options()
    local all = {}
    walk("walrus_option_visit_fn", function(visit) return C.walrus_options_each(nil, visit, nil) end,
        function(_, key, default, allowed)
            all[#all + 1] = { key = ffi.string(key), default = ffi.string(default), allowed = ffi.string(allowed) }
            return 0
        end)
    return all
end
jit.off(walrus.options, true)

local function new_options(settings)
    local options = C.walrus_options_new()
    if options == nil then refuse(walrus.NO_MEMORY, "there is no memory for options") end
    options = ffi.gc(options, C.walrus_options_free)
    for key, value in pairs(settings) do
        check(C.walrus_options_set(options, text("the option", key), text("the value of " .. key, tostring(value))))
    end
    return options
end

-- How the library understands a setting, as in ("segment_size", "64KiB") to "65536", or why it does not.
function walrus.check_option(key, value)
    local answer = ffi.new("char[256]") -- no option is longer
    check(C.walrus_options_get(new_options { [key] = value }, key, answer, 256, nil))
    return ffi.string(answer)
end

-- Copies a log into another one, in the format and with the compression that options say, with the same indexes, terms, times and
-- metadata. A copy that died goes on where it was when it is called again.
function walrus.convert(source, target, options)
    local settings = new_options(options or {})
    check(C.walrus_convert(text("the source", source), text("the target", target), settings, nil, nil))
end

-- ---- An open log

local Log = {}
Log.__index = Log

-- Opens the log in a directory, with options by their names: { sync = "os", segment_size = "1MiB" }; walrus.options() lists them.
function walrus.open(directory, options)
    local out, settings = ffi.new("walrus_t *[1]"), new_options(options or {})
    check(C.walrus_open(text("the directory", directory), settings, out))
    return setmetatable({ path = directory, handle = ffi.gc(out[0], C.walrus_close) }, Log)
end

local function open_handle(log)
    return log.handle or refuse(walrus.CLOSED, "log '" .. log.path .. "' is closed: open it again to use it")
end

-- Writes and syncs what is not durable yet, and frees the log. Again: does nothing.
function Log:close()
    local handle = self.handle
    self.handle = nil
    if handle then check(C.walrus_close(ffi.gc(handle, nil))) end
end

function Log:is_closed() return self.handle == nil end

-- Ends use of the log: every later call answers CLOSED. close is still due.
function Log:shutdown() check(C.walrus_shutdown(open_handle(self))) end

local REASONS = { [0] = "clean", "complete", "torn", "batch", "reordered" }

-- What open found and did.
function Log:recovery_report()
    local report = ffi.new("walrus_recovery_report_t", { struct_size = ffi.sizeof("walrus_recovery_report_t") })
    check(C.walrus_recovery_report(open_handle(self), report))
    local all = { reason = REASONS[report.reason] or "unknown" }
    for _, name in ipairs { "entries_cut", "bytes_cut", "cut_index", "cut_offset", "segments_scanned", "bytes_scanned",
        "duration_ns", "durable_index" } do
        all[name] = number(report[name])
    end
    all.segment, all.message = ffi.string(report.segment), ffi.string(report.message)
    return all
end

-- ---- Append. An entry is a string, or { data =, term =, index =, timestamp_ns = }. sync: always, os or none, for one call.

-- Appends a string as the next entry, with the term of the one before it, and returns its index.
function Log:append(data)
    bytes("an entry", data)
    return give(function(index) return C.walrus_append(open_handle(self), data, #data, index) end)
end

-- Appends an entry with its own term and time, and checks its index if it has one.
function Log:append_entry(entry, sync)
    local list = { entry }
    local all, how = records(list), flags(sync)
    return give(function(index) return C.walrus_append_record(open_handle(self), all, how, index) end)
end

-- Appends entries as one: after any crash all of them are there or none. Returns the first one's index.
function Log:append_batch(entries, sync)
    local all, how = records(entries), flags(sync)
    return give(function(first) return C.walrus_append_batch(open_handle(self), all, #entries, how, first) end)
end

-- Appends a batch that is given as one string and the sizes of its entries, which have to add up to it.
function Log:append_packed(data, sizes, term, sync)
    local list, total, how = ffi.new("uint32_t[?]", math.max(1, #sizes)), 0, flags(sync)
    for i, size in ipairs(sizes) do
        list[i - 1] = unsigned(size)
        total = total + size
    end
    if total ~= #bytes("data", data) then
        refuse(walrus.INVALID, "the sizes add up to " .. total .. " bytes, and there are " .. #data)
    end
    local number_of_term = unsigned(term or 0)
    return give(function(first)
        return C.walrus_append_packed(open_handle(self), data, list, #sizes, number_of_term, how, first)
    end)
end

-- Appends, and does not wait for the entry to become durable: many share a sync. wait_durable or durable_index tell.
function Log:append_async(entry)
    local list = { entry }
    local all = records(list)
    return give(function(index) return C.walrus_append_async(open_handle(self), all, 0, nil, nil, index) end)
end

-- ---- Durability

-- Returns once every entry that was appended before, and all staged metadata, is on stable storage.
function Log:sync() check(C.walrus_sync(open_handle(self))) end

-- Numbers of a log that is closed are 0.
for _, name in ipairs { "durable_index", "first_index", "last_index", "next_index", "txn_count" } do
    local answer = C["walrus_" .. name]
    Log[name] = function(self) return self.handle and number(answer(self.handle)) or 0 end
end

-- Waits until the entry at index is durable, at most timeout seconds; nil: for ever, 0 tells at once.
function Log:wait_durable(index, timeout)
    local at = unsigned(index)
    wait(timeout, function(ms) return C.walrus_wait_durable(open_handle(self), at, ms) end)
end

-- A descriptor that becomes readable when the durable index has moved (of a read-only log: the last index). The log's own.
function Log:notify_fd()
    return give(function(fd) return C.walrus_notify_fd(open_handle(self), fd) end, "int[1]")
end

function Log:interrupt() check(C.walrus_interrupt(open_handle(self))) end

-- ---- Read. An entry is { index =, term =, timestamp_ns =, data =, checksum = }.

function Log:get(index)
    local at = unsigned(index)
    return read(function(entry) return C.walrus_get(open_handle(self), at, entry) end)
end

local PAGE_ENTRIES, PAGE_BYTES = 256, 2 ^ 20

-- How many entries there may be from first on: memory is taken for that, not for what was asked.
local function there(log, first, most)
    local last = unsigned(log:last_index())
    local count = first <= last and first ~= 0 and tonumber(last - first) + 1 or 1
    return math.max(0, math.min(most, count, 2 ^ 20))
end

-- Up to max_count entries from first to last, fewer before their bytes exceed max_bytes, but one.
function Log:range(first, last, max_bytes, max_count)
    first, last, max_count = unsigned(first), unsigned(last), max_count or PAGE_ENTRIES
    if max_count < 1 then refuse(walrus.INVALID, "max_count has to be at least 1") end
    max_bytes = unsigned(max_bytes or PAGE_BYTES)
    local capacity = there(self, first, max_count)
    local entries, count = ffi.new("walrus_entry_t[?]", capacity), ffi.new("size_t[1]")
    check(C.walrus_get_range(open_handle(self), first, last, max_bytes, entries, capacity, count))
    local ok, all = pcall(copies_of_entries, entries, tonumber(count[0]))
    C.walrus_entries_release(entries, count[0])
    return ok and all or error(all, 0)
end

-- An iterator over index and entry, from first to last (nil: the last index); what comes in meanwhile is not among them. The
-- loop may do anything with the log.
function Log:scan(first, last)
    first = unsigned(first)
    last = last and unsigned(last) or 0xffffffffffffffffULL
    local bound = unsigned(self:last_index())
    if last > bound and first <= bound then last = bound end
    local page, at, capacity, is_over = {}, 0, PAGE_ENTRIES, false
    return function()
        if at == #page then
            if is_over then return nil end
            local ok, found = pcall(self.range, self, first, last, PAGE_BYTES, capacity)
            if not ok and capacity > 1 then
                capacity = 1 -- what lies before the entry that cannot be read is still handed out
                ok, found = pcall(self.range, self, first, last, PAGE_BYTES, capacity)
            end
            if not ok then error(found, 0) end
            page, at, first = found, 0, first + #found
            is_over = first > last
        end
        at = at + 1
        return page[at].index, page[at]
    end
end

-- An iterator over all entries.
function Log:entries()
    if self:last_index() == 0 then
        open_handle(self)
        return function() end
    end
    return self:scan(self:first_index())
end

-- The strings from first on, up to max_count whose bytes fit capacity; TOO_SMALL: not even the first one does, size says what it needs.
function Log:read_packed(first, max_count, capacity)
    first, max_count, capacity = unsigned(first), max_count or 65536, capacity or PAGE_BYTES
    local most = there(self, first, max_count)
    local buffer, sizes = ffi.new("char[?]", math.max(1, capacity)), ffi.new("uint32_t[?]", math.max(1, most))
    local count = ffi.new("size_t[1]")
    local ok, problem = pcall(check, C.walrus_read_packed(open_handle(self), first, most, buffer, capacity, sizes, count))
    if not ok then
        problem.size = problem.code == walrus.TOO_SMALL and sizes[0] or nil
        error(problem, 0)
    end
    local all, offset = {}, 0
    for i = 0, tonumber(count[0]) - 1 do
        all[i + 1] = ffi.string(buffer + offset, sizes[i])
        offset = offset + sizes[i]
    end
    return all
end

function Log:term(index)
    local at = unsigned(index)
    return give(function(term) return C.walrus_term(open_handle(self), at, term) end)
end

-- The highest index whose entry has this term.
function Log:last_index_of_term(term)
    local wanted = unsigned(term)
    return give(function(index) return C.walrus_last_index_of_term(open_handle(self), wanted, index) end)
end

-- The first index that holds an entry of this time (nanoseconds since 1970) or a later one, or one that comes after such.
function Log:seek_time(timestamp_ns)
    local wanted = signed(timestamp_ns)
    return give(function(index) return C.walrus_seek_time(open_handle(self), wanted, index) end)
end

-- ---- Truncate: all durable on return

-- Drops every entry after index.
function Log:truncate(index) check(C.walrus_truncate(open_handle(self), unsigned(index))) end
-- Drops every entry before index.
function Log:truncate_front(index) check(C.walrus_truncate_front(open_handle(self), unsigned(index))) end
-- Drops every entry; the next one gets next_index.
function Log:reset(next_index) check(C.walrus_reset(open_handle(self), unsigned(next_index))) end

-- Drops every entry from index from on and appends entries in their place, as one step across any crash.
function Log:replace_suffix(from, entries)
    check(C.walrus_replace_suffix(open_handle(self), unsigned(from), records(entries), #entries, 0))
end

-- ---- Metadata: small values beside the log that no truncation touches

-- Sets a value, durable on return.
function Log:meta_set(key, value)
    check(C.walrus_meta_set(open_handle(self), text("the key", key), bytes("a value", value), #value))
end

-- Stages a value to be set together with the next append: after a crash both are there or none.
function Log:meta_stage(key, value)
    check(C.walrus_meta_stage(open_handle(self), text("the key", key), bytes("a value", value), #value))
end

-- A value; nil where there is none.
function Log:meta(key)
    local value, size = ffi.new("char[65536]"), ffi.new("size_t[1]") -- none is larger
    local code = C.walrus_meta_get(open_handle(self), text("the key", key), value, 65536, size)
    if code == walrus.NOT_FOUND then return nil end
    check(code)
    return ffi.string(value, size[0])
end

function Log:meta_delete(key) check(C.walrus_meta_delete(open_handle(self), text("the key", key))) end

-- All keys and values, as a list of { key, value } in the order of the keys' bytes.
function Log:all_meta()
    local all, handle = {}, open_handle(self)
    walk("walrus_meta_visit_fn", function(visit) return C.walrus_meta_each(handle, visit, nil) end,
        function(_, key, value, size)
            all[#all + 1] = { ffi.string(key), size == 0 and "" or ffi.string(value, size) }
            return 0
        end)
    return all
end
jit.off(Log.all_meta, true)

-- ---- Operations

-- Ends the last segment and begins a new one.
function Log:rotate() check(C.walrus_rotate(open_handle(self))) end

-- The files of the log, oldest first.
function Log:segments()
    local all, handle = {}, open_handle(self)
    walk("walrus_segment_visit_fn", function(visit) return C.walrus_segments(handle, visit, nil) end, function(_, segment)
        all[#all + 1] = {
            is_tail = segment.is_tail ~= 0, id = number(segment.id), first_index = number(segment.first_index),
            last_index = number(segment.last_index), bytes = number(segment.bytes), file_bytes = number(segment.file_bytes),
            highest_timestamp_ns = number(segment.highest_timestamp_ns), name = ffi.string(segment.name),
        }
        return 0
    end)
    return all
end
jit.off(Log.segments, true)

local STATS = {
    "first_index", "last_index", "durable_index", "segments", "async_pending", "txn_open", "appends", "entries_appended",
    "bytes_appended", "bytes_written", "syncs", "entries_synced", "largest_group", "sync_ns", "sync_ns_max", "rotations",
    "truncations", "segments_removed", "segment_cache_hits", "segment_cache_misses", "txn_committed", "txn_rolled_back",
    "txn_expired", "meta_updates", "recovery_ns", "recovery_bytes_cut", "recovery_entries_cut",
}

-- Counts by their names in walrus_stats_t; sync_histogram is a list.
function Log:stats()
    local stats = ffi.new("walrus_stats_t", { struct_size = ffi.sizeof("walrus_stats_t") })
    check(C.walrus_stats(open_handle(self), stats))
    local all = { is_poisoned = stats.is_poisoned, sync_histogram = {} }
    for _, name in ipairs(STATS) do all[name] = number(stats[name]) end
    for i = 0, 23 do all.sync_histogram[i + 1] = number(stats.sync_histogram[i]) end
    return all
end

-- The same as text in the Prometheus exposition format.
function Log:stats_text()
    local answer = ffi.new("char[65536]") -- many times what there is
    check(C.walrus_stats_text(open_handle(self), answer, 65536, nil))
    return ffi.string(answer)
end

-- ---- Cursors: a position between two entries. Where the log is truncated below one, it goes back to the cut. Over a log that
-- was opened with read_only it follows a writer in another process.

local Cursor = {}
Cursor.__index = Cursor

-- A cursor before the entry at index (nil: the first one).
function Log:cursor(index, durable_only)
    local out, at = ffi.new("walrus_cursor_t *[1]"), unsigned(index or 0)
    check(C.walrus_cursor_open(open_handle(self), at, durable_only and 1 or 0, out))
    return setmetatable({ log = self, handle = ffi.gc(out[0], C.walrus_cursor_close) }, Cursor)
end

local function cursor_handle(cursor)
    open_handle(cursor.log)
    return cursor.handle or refuse(walrus.CLOSED, "this cursor is closed: open another one")
end

-- Reads the entry behind the cursor and steps over it; nil: there is none yet. COMPACTED: it was truncated away, seek(0).
function Cursor:next()
    local ok, entry = pcall(read, function(entry) return C.walrus_cursor_next(cursor_handle(self), entry) end)
    if ok then return entry end
    if walrus.is_error(entry, "CAUGHT_UP") then return nil end
    error(entry, 0)
end

-- Reads the entry before the cursor and steps back over it.
function Cursor:prev()
    return read(function(entry) return C.walrus_cursor_prev(cursor_handle(self), entry) end)
end

function Cursor:seek(index) check(C.walrus_cursor_seek(cursor_handle(self), unsigned(index))) end

-- The index that next would read: where to go on after a restart. 0 when the cursor or its log is closed.
function Cursor:position()
    return self.handle and self.log.handle and number(C.walrus_cursor_position(self.handle)) or 0
end

-- Waits until next has something to say, at most timeout seconds; nil: for ever. TIMEOUT, CANCELED, CLOSED.
function Cursor:wait(timeout)
    wait(timeout, function(ms) return C.walrus_cursor_wait(cursor_handle(self), ms) end)
end

-- An iterator over what is behind the cursor, and each entry that comes later; ends when none came for timeout seconds.
function Cursor:follow(timeout)
    return function()
        while true do
            local entry = self:next()
            if entry then return entry.index, entry end
            local ok, problem = pcall(self.wait, self, timeout)
            if not ok then
                if walrus.is_error(problem, "TIMEOUT") then return nil end
                error(problem, 0)
            end
        end
    end
end

-- May come after close of the log, and again.
function Cursor:close()
    local handle = self.handle
    self.handle = nil
    if handle then C.walrus_cursor_close(ffi.gc(handle, nil)) end
end

-- ---- Transactions: entries staged in memory, and appended as one batch

local Transaction = {}
Transaction.__index = Transaction
local STATES = { "open", "expired", "committed" }

-- A transaction that expires after timeout seconds; nil: as the option txn_timeout_ms says, math.huge: never.
function Log:begin(timeout)
    local out = ffi.new("walrus_txn_t *[1]")
    local ms = timeout == math.huge and -1 or math.ceil((timeout or 0) * 1000)
    check(C.walrus_txn_begin(open_handle(self), ms, out))
    return setmetatable({ log = self, handle = ffi.gc(out[0], C.walrus_txn_rollback) }, Transaction)
end

-- Expires those whose time is over at once, and returns how many; the background does so by itself.
function Log:txn_expire()
    return give(function(expired) return C.walrus_txn_expire(open_handle(self), expired) end)
end

local function txn_handle(txn)
    if not txn.handle then refuse(walrus.TXN_STATE, "this transaction is over: begin another one") end
    open_handle(txn.log)
    return txn.handle
end

function Transaction:append(entry)
    local list = { entry }
    check(C.walrus_txn_append(txn_handle(self), records(list)))
end

-- Appends what was staged as one batch; returns the first index and the count. After a failure it can be committed again, unless
-- state says committed.
function Transaction:commit(sync)
    local first, count = ffi.new("uint64_t[1]"), ffi.new("uint64_t[1]")
    check(C.walrus_txn_commit(txn_handle(self), flags(sync), first, count))
    ffi.gc(self.handle, nil)
    self.handle = nil
    return number(first[0]), number(count[0])
end

-- Drops what was staged. After a commit or another rollback it does nothing.
function Transaction:rollback()
    local handle = self.handle
    self.handle = nil
    if handle then C.walrus_txn_rollback(ffi.gc(handle, nil)) end
end

function Transaction:state() return STATES[check(C.walrus_txn_state(txn_handle(self)))] or "unknown" end

return walrus
