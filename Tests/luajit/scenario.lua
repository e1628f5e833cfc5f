-- scenario.lua - runs one file of Tests/scenarios through the LuaJIT binding; README.md there defines the lines
--
-- SPDX-License-Identifier: MIT
local ffi = require "ffi"
local walrus = require "walrus"

ffi.cdef [[
unsigned long long strtoull(const char *text, char **end, int base);
long long strtoll(const char *text, char **end, int base);
struct pollfd { int fd; short events, revents; };
int poll(struct pollfd *fds, unsigned long count, int timeout);
long read(int fd, void *buffer, size_t size);
int usleep(unsigned microseconds);
int mkdir(const char *path, unsigned mode);
]]

local SYNCS = { durable = "always", os = "os", buffered = "none" } -- default: nil
local SKIPPED = {}

-- ---- Tokens

local function number(token)
    return token == "max" and 0xffffffffffffffffULL or ffi.cast("uint64_t", ffi.C.strtoull(token, nil, 10))
end

local function signed(token) return ffi.cast("int64_t", ffi.C.strtoll(token, nil, 10)) end

local function bytes(token)
    local once, times = token:match("^(.-)%*(%d+)$")
    once = once or (token == "-" and "" or token)
    return (once:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end):rep(tonumber(times or 1)))
end

local function record(token)
    local fields = {}
    for field in token:gmatch("[^,]+") do fields[#fields + 1] = field end
    return {
        data = bytes(fields[1]), term = fields[2] and number(fields[2]), index = fields[3] and number(fields[3]),
        timestamp_ns = fields[4] and signed(fields[4]),
    }
end

local function records(tokens, from)
    local all = {}
    for i = from, #tokens do all[#all + 1] = record(tokens[i]) end
    return all
end

local function seconds(ms) return ms ~= "-1" and tonumber(ms) / 1000 or nil end

local function slurp(name)
    local file = assert(io.open(name, "rb"))
    local content = file:read("*a")
    file:close()
    return content
end

local function spill(name, content)
    local file = assert(io.open(name, "wb"))
    assert(file:write(content))
    file:close()
end

local function list(path)
    local all = {}
    local pipe = io.popen("ls '" .. path .. "'")
    for name in pipe:lines() do all[#all + 1] = path .. "/" .. name end
    pipe:close()
    return all
end

-- ---- Results: { kind, value } each, so that a string of bytes is not taken for a word

local function n(value) return { "number", value } end
local function s(value) return { "signed", value } end
local function b(value) return { "bytes", value } end
local function w(value) return { "word", value } end

local function all(kind, values)
    local results = {}
    for i, value in ipairs(values) do results[i] = kind(value) end
    return results
end

local function agrees(expected, came)
    local kind, value = came[1], came[2]
    if expected == "*" then return true end
    if kind == "number" then return number(expected) == value end
    if kind == "signed" then return signed(expected) == value end
    if kind == "bytes" then return bytes(expected) == value end
    if kind == "pair" then
        local key, data = expected:match("^(.-),(.*)$")
        return bytes(key) == value[1] and bytes(data) == value[2]
    end
    return expected == value
end

-- What a method without a buffer cannot answer: the runner compares sizes itself.
local function fits(data, capacity)
    if #data > tonumber(capacity) then return { w "error", w "TOO_SMALL", n(#data) } end
    return { b(data) }
end

local function checked(entry, index)
    assert(entry.checksum == walrus.crc32(entry.data), "a wrong checksum")
    assert(index == nil or entry.index == index, "a wrong index")
    return entry.data
end

local function moved(entry)
    -- The binding answers nil where C says CAUGHT_UP.
    if entry == nil then return { w "error", w "CAUGHT_UP" } end
    return { n(entry.index), b(checked(entry)) }
end

-- ---- Operations: each takes the scenario, the log, and tokens

local op = {}

local function keep(where, name, value)
    assert(where[name] == nil, "there is one called " .. name .. " already")
    where[name] = value
end

local function exports(name) return walrus.library[name] end

function op.needs(_, _, ...)
    for _, name in ipairs { ... } do
        if not pcall(exports, name) then error(setmetatable({ "the library has no " .. name }, SKIPPED), 0) end
    end
end

function op.version()
    local number_of = walrus.version_number()
    local wanted = ("%d.%d.%d"):format(number_of / 10000, number_of / 100 % 100, number_of % 100)
    assert(wanted == walrus.version(), walrus.version())
    return { n(walrus.abi_version()) }
end

function op.strerror(_, _, code) return { b(walrus.strerror(tonumber(code)):match("^[^:]*")) } end
function op.crc32(_, _, data) return { n(walrus.crc32(bytes(data))) } end
function op.message(self, _, text) assert(self.message:find(bytes(text), 1, true), self.message) end
function op.option(_, _, key, value) return { b(walrus.check_option(key, bytes(value))) } end

-- Options are text here, a mode in octal; there is no other way to set one.
function op.option_u64(_, _, key, value)
    return { b(walrus.check_option(key, key == "file_mode" and ("0%o"):format(tonumber(value)) or value)) }
end

function op.option_default(_, _, key)
    for _, option in ipairs(walrus.options()) do
        if option.key == key then return { b(option.default) } end
    end
end

function op.open(self, _, ...)
    local options = {}
    for _, setting in ipairs { ... } do
        local key, value = setting:match("^(.-)=(.*)$")
        options[key] = bytes(value)
    end
    keep(self.logs, self.handle, walrus.open(self.path, options))
end

function op.close(self, log)
    self.logs[self.handle] = nil
    log:close()
end

for _, name in ipairs { "shutdown", "sync", "rotate", "interrupt" } do
    op[name] = function(_, log) log[name](log) end
end

function op.destroy(self) walrus.destroy(self.path) end

function op.recovery(_, log)
    local report = log:recovery_report()
    return { w(report.reason), n(report.entries_cut) }
end

function op.bounds(_, log) return all(n, { log:first_index(), log:last_index(), log:next_index() }) end
function op.durable(_, log) return { n(log:durable_index()) } end
function op.append(_, log, data) return { n(log:append(bytes(data))) } end
function op.record(_, log, flags, token) return { n(log:append_entry(record(token), SYNCS[flags])) } end
function op.batch(_, log, flags, ...) return { n(log:append_batch(records({ ... }, 1), SYNCS[flags])) } end

function op.packed(_, log, flags, term, ...)
    local data, sizes = {}, {}
    for i, token in ipairs { ... } do
        data[i] = bytes(token)
        sizes[i] = #data[i]
    end
    return { n(log:append_packed(table.concat(data), sizes, number(term), SYNCS[flags])) }
end

function op.async(self, log, token)
    local index = log:append_async(record(token))
    self.pending[#self.pending + 1] = index
    return { n(index) }
end

-- Without callbacks: each is waited for in turn.
function op.completions(self, log)
    local done = self.pending
    self.pending = {}
    for _, index in ipairs(done) do log:wait_durable(index, 30) end
    return all(n, done)
end

function op.wait_durable(_, log, index, timeout) log:wait_durable(number(index), seconds(timeout)) end

function op.notify(_, log, timeout)
    local poll = ffi.new("struct pollfd", { fd = log:notify_fd(), events = 1 })
    if ffi.C.poll(poll, 1, tonumber(timeout)) ~= 1 then return { w "quiet" } end
    assert(ffi.C.read(poll.fd, ffi.new("char[8]"), 8) == 8)
    return { w "readable" }
end

function op.get(_, log, index)
    local entry = log:get(number(index))
    return { b(checked(entry, number(index))), n(entry.term), s(entry.timestamp_ns) }
end

function op.read(_, log, index, capacity) return fits(log:get(number(index)).data, capacity) end

function op.scan(_, log, first, last, most)
    local found = {}
    for _, entry in log:scan(number(first), number(last)) do
        found[#found + 1] = checked(entry, number(first) + #found)
        if #found == tonumber(most) then break end
    end
    return all(b, found)
end

function op.range(_, log, first, last, max_bytes, capacity)
    local found = log:range(number(first), number(last), number(max_bytes), tonumber(capacity))
    for i, entry in ipairs(found) do found[i] = checked(entry, number(first) + i - 1) end
    return all(b, found)
end

function op.read_packed(_, log, first, count, capacity)
    return all(b, log:read_packed(number(first), count == "max" and 2 ^ 31 or tonumber(count), tonumber(capacity)))
end

function op.term(_, log, index) return { n(log:term(number(index))) } end
function op.last_index_of_term(_, log, term) return { n(log:last_index_of_term(number(term))) } end
function op.seek_time(_, log, time) return { n(log:seek_time(signed(time))) } end
function op.truncate(_, log, index) log:truncate(number(index)) end
function op.truncate_front(_, log, index) log:truncate_front(number(index)) end
function op.reset(_, log, index) log:reset(number(index)) end
-- It is durable whatever the flags say, so the binding has none.
function op.replace_suffix(_, log, from, _, ...) log:replace_suffix(number(from), records({ ... }, 1)) end

function op.cursor_open(self, log, name, index, which)
    keep(self.cursors, name, log:cursor(number(index), which == "durable"))
end

function op.cursor_next(self, _, name) return moved(self.cursors[name]:next()) end
function op.cursor_prev(self, _, name) return moved(self.cursors[name]:prev()) end
function op.cursor_seek(self, _, name, index) self.cursors[name]:seek(number(index)) end
function op.cursor_position(self, _, name) return { n(self.cursors[name]:position()) } end
function op.cursor_wait(self, _, name, timeout) self.cursors[name]:wait(seconds(timeout)) end

function op.cursor_close(self, _, name)
    self.cursors[name]:close()
    self.cursors[name] = nil
end

function op.txn_begin(self, log, name, timeout)
    keep(self.txns, name, log:begin(timeout == "-1" and math.huge or seconds(timeout)))
end

function op.txn_append(self, _, name, token) self.txns[name]:append(record(token)) end

function op.txn_commit(self, _, name, flags)
    local first, count = self.txns[name]:commit(SYNCS[flags])
    self.txns[name] = nil
    return { n(first), n(count) }
end

function op.txn_rollback(self, _, name)
    self.txns[name]:rollback()
    self.txns[name] = nil
end

function op.txn_state(self, _, name) return { w(self.txns[name]:state()) } end
function op.txn_count(_, log) return { n(log:txn_count()) } end
function op.txn_expire(_, log) return { n(log:txn_expire()) } end
function op.meta_set(_, log, key, value) log:meta_set(bytes(key), bytes(value)) end
function op.meta_stage(_, log, key, value) log:meta_stage(bytes(key), bytes(value)) end
function op.meta_delete(_, log, key) log:meta_delete(bytes(key)) end

-- The binding answers nil where C says NOT_FOUND.
function op.meta_get(_, log, key, capacity)
    local value = log:meta(bytes(key))
    return value and fits(value, capacity) or { w "error", w "NOT_FOUND" }
end

function op.meta_list(_, log) return all(function(pair) return { "pair", pair } end, log:all_meta()) end

function op.segments(_, log)
    return all(function(one) return w(one.first_index .. ":" .. one.last_index) end, log:segments())
end

function op.stats(_, log, field) return { n(assert(log:stats()[field])) } end
function op.stats_text(_, log, name) return { n(tonumber(("\n" .. log:stats_text()):match("\n" .. name .. " (%d+)\n"))) } end

function op.file(self, _, name, data)
    ffi.C.mkdir(self.path, 493)
    spill(self.path .. "/" .. name, bytes(data))
end

function op.crash(self, log)
    local contents = {}
    for _, name in ipairs(list(self.path)) do contents[name] = slurp(name) end
    op.close(self, log)
    for _, name in ipairs(list(self.path)) do assert(os.remove(name)) end
    for name, content in pairs(contents) do spill(name, content) end
end

function op.damage(self, _, data)
    local content, found = bytes(data), 0
    for _, name in ipairs(list(self.path)) do
        local whole = name:match("%.wal$") and slurp(name) or ""
        local at = whole:find(content, 1, true)
        while at do
            found = found + 1
            spill(name, whole:sub(1, at - 1) .. string.char(bit.bxor(whole:byte(at), 1)) .. whole:sub(at + 1))
            at = whole:find(content, at + 1, true)
        end
    end
    assert(found == 1, "these bytes are in the segments " .. found .. " times, not once")
end

function op.sleep(_, _, ms) ffi.C.usleep(tonumber(ms) * 1000) end

-- ---- Lines

local function words(part)
    local found = {}
    for word in part:gmatch("%S+") do found[#found + 1] = word end
    return found
end

local function run_line(self, line)
    local before, after = (line .. " "):match("^(.-) %->(.*)$")
    local tokens, expected = words(before or line), after and words(after)
    self.handle = "main"
    if tokens[1]:sub(1, 1) == "@" then self.handle = table.remove(tokens, 1):sub(2) end
    local operation = assert(op[tokens[1]], "there is no operation " .. tokens[1])
    local ok, came = pcall(operation, self, self.logs[self.handle], unpack(tokens, 2))
    if not ok then
        if not walrus.is_error(came) then error(came, 0) end
        self.message = came.message
        came = { w "error", w(came.name), came.size and n(came.size) }
    end
    came = came or {}
    local failed = came[1] and came[1][2] == "error" and came[1][1] == "word"
    if not expected then
        assert(not failed, "success was expected, and an error came: " .. tostring(failed and came[2][2]) .. " " .. self.message)
        return
    end
    if failed and #expected == 2 then came[3] = nil end -- the size that is needed is not looked at
    local same = #came == #expected
    for i = 1, #came do same = same and agrees(expected[i], came[i]) end
    if not same then
        for i, one in ipairs(came) do came[i] = tostring(one[2]) end
        error("this came: " .. table.concat(came, " "):sub(1, 300), 0)
    end
end

return {
    SKIPPED = SKIPPED,
    run = function(file, path)
        local self = { path = path, logs = {}, cursors = {}, txns = {}, pending = {}, message = "" }
        local count = 0
        for line in io.lines(file) do
            count = count + 1
            if line ~= "" and line:sub(1, 1) ~= "#" then
                local ok, problem = pcall(run_line, self, line)
                if not ok then
                    for _, log in pairs(self.logs) do pcall(log.close, log) end
                    if getmetatable(problem) == SKIPPED then error(problem, 0) end
                    error(file:match("[^/]*$") .. ":" .. count .. ": " .. tostring(problem) .. " (" .. line:sub(1, 80) .. ")", 0)
                end
            end
        end
        for _, cursor in pairs(self.cursors) do cursor:close() end
        for _, txn in pairs(self.txns) do txn:rollback() end
        for _, log in pairs(self.logs) do log:close() end
    end,
}
