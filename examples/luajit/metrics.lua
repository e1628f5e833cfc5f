-- metrics.lua - measurements go into a log, and come out as a summary
--
--     luajit metrics.lua DIR append              takes lines "NAME NUMBER" from the standard input
--     luajit metrics.lua DIR summary [SECONDS]   count, mean, least and most of each name; of the last seconds only
--
-- Measurements may be lost in a power cut, but not by a killed process: they are handed to the system (sync = "interval"), which is
-- synced in the background. The appender says each hundred how far they are on stable storage. Old ones are dropped by themselves, a
-- megabyte is kept. A summary may be made while they are appended.
--
-- SPDX-License-Identifier: MIT
local here = arg[0]:match("^(.*)/") or "."
package.path = package.path .. ";" .. here .. "/../../bindings/luajit/?.lua"
local walrus = require "walrus"

local function append(log)
    local left_out = 0
    for line in io.lines() do
        local name, value = line:match("^(%S+) (%-?%d+%.?%d*)$")
        if name then
            local index = log:append(name .. " " .. value)
            if index % 100 == 0 then
                print(("%d measurements, %d of them on stable storage"):format(index, log:durable_index()))
                io.stdout:flush()
            end
        else
            left_out = left_out + 1
        end
    end
    log:sync()
    print(("%d measurements, all of them on stable storage; %d lines left out"):format(log:last_index(), left_out))
end

local function first_since(log, seconds)
    if not seconds then return log:first_index() end
    local nanoseconds = 1000000000LL
    local ok, index = pcall(log.seek_time, log, (os.time() - seconds) * nanoseconds)
    if ok then return index end
    if walrus.is_error(index, "NOT_FOUND") then return nil end -- all are older
    error(index, 0)
end

local function summary(log, seconds)
    local first = log:last_index() ~= 0 and first_since(log, seconds)
    if not first then return print("no measurements") end
    local all, names = {}, {}
    for _, entry in log:scan(first) do
        local name, value = entry.data:match("^(%S+) (%S+)$")
        value = tonumber(value)
        local one = all[name]
        if not one then
            one = { count = 0, sum = 0, least = value, most = value }
            all[name] = one
            names[#names + 1] = name
        end
        one.count, one.sum = one.count + 1, one.sum + value
        one.least, one.most = math.min(one.least, value), math.max(one.most, value)
    end
    table.sort(names)
    for _, name in ipairs(names) do
        local one = all[name]
        print(("%s: %d, mean %g, least %g, most %g"):format(name, one.count, one.sum / one.count, one.least, one.most))
    end
end

local directory, command, seconds = arg[1], arg[2], tonumber(arg[3])
if not directory or (command ~= "append" and command ~= "summary") or (arg[3] and not seconds) then
    io.stderr:write("usage: luajit metrics.lua DIR append | summary [SECONDS]\n")
    os.exit(2)
end
local options = command == "append" and { sync = "interval", segment_size = "256KiB", retention_bytes = "1MiB" } or { read_only = true }
local ok, problem = pcall(function()
    local log = walrus.open(directory, options)
    if command == "append" then append(log) else summary(log, seconds) end
    log:close()
end)
if not ok then
    io.stderr:write("metrics: " .. tostring(problem) .. "\n")
    os.exit(1)
end
