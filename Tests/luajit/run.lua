-- run.lua - the tests of bindings/luajit: the scenarios, and what is LuaJIT's own. run.lua ROOT
--
-- SPDX-License-Identifier: MIT
local ROOT = arg[1]
package.path = ROOT .. "/bindings/luajit/?.lua;" .. ROOT .. "/Tests/luajit/?.lua;" .. package.path
local ffi = require "ffi"
local walrus = require "walrus"
local scenario = require "scenario"
ffi.cdef "int fork(void); int waitpid(int pid, int *status, int options); void _exit(int status);"

local passed, failed = 0, 0

local function test(name, case)
    local place = os.tmpname()
    assert(os.remove(place))
    assert(ffi.C.mkdir(place, 448) == 0)
    local ok, problem = xpcall(case, function(problem)
        return type(problem) == "string" and debug.traceback(problem) or problem
    end, place .. "/log")
    collectgarbage()
    collectgarbage()
    os.execute("rm -rf '" .. place .. "'")
    if ok then
        passed = passed + 1
    elseif getmetatable(problem) == scenario.SKIPPED then
        print("skipped " .. name .. ": " .. problem[1])
    else
        failed = failed + 1
        print("FAILED  " .. name .. ": " .. tostring(problem))
    end
end

local function refused(name, call, ...)
    local ok, problem = pcall(call, ...)
    assert(not ok, name .. " was expected, and success came")
    assert(walrus.is_error(problem, name), name .. " was expected, and this came: " .. tostring(problem))
    return problem
end

local files = io.popen("ls '" .. ROOT .. "'/Tests/scenarios/*.scenario")
local count = 0
for file in files:lines() do
    count = count + 1
    test(file:match("[^/]*$"), function(path) scenario.run(file, path) end)
end
assert(count > 0, "there are no scenarios")

test("an error has its code and its details", function(path)
    local log = walrus.open(path)
    local problem = refused("NOT_FOUND", log.get, log, 7)
    assert(problem.code == walrus.NOT_FOUND and problem.index == 7 and #problem.message > 0)
    assert(log:meta("none") == nil)
    refused("INVALID", log.meta_set, log, "a\0b", "")
    refused("INVALID", log.get, log, -1)
    refused("INVALID", log.get, log, 1.5)
    refused("INVALID", log.append, log, 7)
    refused("INVALID", log.append_packed, log, "abc", { 1, 1 })
    refused("LOCKED", walrus.open, path)
    assert(refused("IO", walrus.open, path .. "/no/parent").errno == 2)
    log:close()
end)

test("a closed log never reaches C", function(path)
    local log = walrus.open(path)
    log:append("a")
    local cursor, txn = log:cursor(), log:begin()
    log:close()
    log:close()
    refused("CLOSED", log.append, log, "b")
    refused("CLOSED", log.get, log, 1)
    refused("CLOSED", log.all_meta, log)
    refused("CLOSED", log.entries, log)
    refused("CLOSED", cursor.next, cursor)
    refused("CLOSED", cursor.wait, cursor)
    refused("CLOSED", txn.append, txn, "b")
    assert(log:next_index() == 0 and cursor:position() == 0)
    for _ = 1, 2 do
        cursor:close()
        txn:rollback()
    end
    refused("CLOSED", cursor.seek, cursor, 0)
    refused("TXN_STATE", txn.state, txn)
end)

test("a loop may do anything", function(path)
    local log = walrus.open(path, { sync = "none" })
    for i = 1, 600 do log:append(tostring(i)) end -- more than a page
    local seen = 0
    for index, entry in log:entries() do
        seen = seen + 1
        assert(index == seen and entry.data == tostring(seen))
        log:append("later")
    end
    assert(seen == 600)
    refused("CLOSED", function()
        for _ in log:scan(1) do log:close() end
    end)
end)

test("walks work in compiled loops", function(path)
    local log = walrus.open(path)
    log:meta_set("key", "value")
    log:append("a")
    for _ = 1, 500 do
        assert(log:all_meta()[1][2] == "value" and #log:segments() == 1 and #walrus.options() > 10)
    end
    log:close()
end)

test("a wait ends", function(path)
    local log = walrus.open(path)
    local cursor = log:cursor()
    refused("TIMEOUT", cursor.wait, cursor, 0.005)
    log:append("a")
    local seen = {}
    for index, entry in cursor:follow(0.005) do seen[#seen + 1] = index .. entry.data end
    assert(#seen == 1 and seen[1] == "1a")
    log:close()
end)

test("convert keeps everything but the format", function(path)
    local log, target = walrus.open(path), path .. ".json"
    log:append_entry { data = "hello", term = 3, index = 5 }
    log:meta_set("key", "value")
    walrus.convert(path, target, { format = "json" })
    log:close()
    local copy = walrus.open(target, { format = "json" })
    assert(copy:get(5).data == "hello" and copy:get(5).term == 3 and copy:meta("key") == "value")
    copy:close()
    refused("FORMAT", walrus.open, path, { format = "json" })
    refused("INVALID", walrus.convert, path, path)
end)

test("what is forgotten is freed", function(path)
    local cursor = walrus.open(path):cursor()
    collectgarbage()
    collectgarbage()
    assert(cursor:position() == 1) -- it keeps the log
    cursor = nil
    collectgarbage()
    collectgarbage()
    walrus.open(path):close()
end)

test("a forked child is told", function(path)
    local log = walrus.open(path)
    local cursor = log:cursor()
    local child = ffi.C.fork()
    if child == 0 then
        local ok, problem = pcall(function()
            refused("FORKED", log.append, log, "b")
            refused("FORKED", cursor.next, cursor)
            cursor:close()
            log:close() -- frees memory, and touches no file
        end)
        if not ok then print(problem) end
        ffi.C._exit(ok and 0 or 1)
    end
    local status = ffi.new("int[1]")
    assert(ffi.C.waitpid(child, status, 0) == child and status[0] == 0, status[0])
    assert(log:append("c") == 1)
    log:close()
end)

print(passed .. " passed, " .. failed .. " failed")
os.exit(failed == 0)
