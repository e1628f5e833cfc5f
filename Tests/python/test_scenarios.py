# test_scenarios.py - runs Tests/scenarios through the Python binding; README.md there defines the lines
#
# SPDX-License-Identifier: MIT
import os
import select
import shutil
import threading
import time
import unittest
from pathlib import Path
from urllib.parse import unquote_to_bytes

from support import ROOT, LogTest, has, walrus

SYNCS = {"default": None, "durable": "always", "os": "os", "buffered": "none"}


def to_bytes(token: str) -> bytes:
    once, star, times = token.partition("*")
    return unquote_to_bytes("" if token == "-" else once) * (int(times) if star else 1)


def to_number(token: str) -> int:
    return (1 << 64) - 1 if token == "max" else int(token)


def to_record(token: str) -> walrus.Record:
    fields = token.split(",")
    numbers = [to_number(field) for field in fields[1:3]] + [int(field) for field in fields[3:]]
    term, index, timestamp_ns = numbers + [0] * (3 - len(numbers))
    return walrus.Record(to_bytes(fields[0]), index, term, timestamp_ns)


def name_of(error: BaseException) -> str:
    return "NOT_FOUND" if isinstance(error, KeyError) else walrus.strerror(error.code).split(":")[0][len("WALRUS_E_") :]


class TooSmall(Exception):
    """What a function without a buffer cannot answer: the runner compares sizes itself."""


class Scenario:
    """One file: an operation is a method op_NAME that takes tokens and returns a list of what came."""

    def __init__(self, directory: str) -> None:
        self.directory = os.path.join(directory, "log")
        self.logs, self.cursors, self.txns = {}, {}, {}
        self.message = ""
        self.completed, self.expected, self.told = [], 0, threading.Condition()

    # ---- Lines

    def run(self, file: Path) -> None:
        for number, line in enumerate(file.read_text("ascii").split("\n"), 1):
            if line and not line.startswith("#"):
                try:
                    self.run_line(line)
                except unittest.SkipTest:
                    raise
                except Exception as error:
                    raise AssertionError(f"{file.name}:{number}: {error} ({line[:80]})") from error
        for table, end in ((self.cursors, "close"), (self.txns, "rollback"), (self.logs, "close")):
            for handle in table.values():
                getattr(handle, end)()

    def run_line(self, line: str) -> None:
        tokens, arrow, results = (line + " ").partition(" -> ")
        tokens, results = tokens.split(), results.split() if arrow else None
        self.handle = tokens.pop(0)[1:] if tokens[0].startswith("@") else "main"
        operation = getattr(self, "op_" + tokens[0])
        try:
            came = operation(*tokens[1:]) or []
        except (walrus.Error, KeyError, TooSmall) as error:
            self.message = str(error)
            came = ["error", "TOO_SMALL", error.args[0]] if isinstance(error, TooSmall) else ["error", name_of(error)]
            if isinstance(error, walrus.TooSmallError):
                came.append(error.size)
            if results is None:
                raise AssertionError(f"success was expected, and {came} came: {error}") from error
        if results is not None:
            same = len(results) == len(came) and all(map(self.agrees, results, came))
            if not same and not (came[:2] == results == ["error", "TOO_SMALL"]):
                raise AssertionError(f"{results} was expected, and {str(came)[:300]} came")

    @staticmethod
    def agrees(expected: str, came: object) -> bool:
        if expected == "*":
            return True
        if isinstance(came, bytes):
            return came == to_bytes(expected)
        if isinstance(came, tuple):
            return came == tuple(map(to_bytes, expected.split(",")))
        return came == (to_number(expected) if isinstance(came, int) else expected)

    @property
    def log(self) -> walrus.Log:
        return self.logs[self.handle]

    def op_needs(self, *functions):
        for function in functions:
            if not has(function):
                raise unittest.SkipTest(f"the library has no {function}")

    # ---- Library, options

    def op_version(self):
        major, minor, patch = map(int, walrus.version().split("."))
        assert walrus.version_number() == major * 10000 + minor * 100 + patch
        return [walrus.abi_version()]

    def op_strerror(self, code):
        return [walrus.strerror(int(code)).split(":")[0].encode()]

    def op_crc32(self, data):
        return [walrus.crc32(to_bytes(data))]

    def op_message(self, text):
        assert to_bytes(text).decode() in self.message, self.message

    def op_option(self, key, value):
        return [walrus.options(**{key: to_bytes(value).decode()})[key].value.encode()]

    def op_option_u64(self, key, value):
        return [walrus.options(**{key: to_number(value)})[key].value.encode()]

    def op_option_default(self, key):
        return [walrus.options()[key].default.encode()]

    # ---- Open and close

    def op_open(self, *settings):
        pairs = (setting.split("=", 1) for setting in settings)
        log = walrus.open(self.directory, **{key: to_bytes(value).decode() for key, value in pairs})
        assert self.handle not in self.logs
        self.logs[self.handle] = log

    def op_close(self):
        self.logs.pop(self.handle).close()

    def op_shutdown(self):
        self.log.shutdown()

    def op_destroy(self):
        walrus.destroy(self.directory)

    def op_recovery(self):
        report = self.log.recovery_report()
        return [report.reason.name.lower(), report.entries_cut]

    def numbers(self, *names):
        # After a shutdown C answers 0; here that is a ClosedError.
        try:
            return [getattr(self.log, name) for name in names]
        except walrus.ClosedError:
            return [0] * len(names)

    def op_bounds(self):
        return self.numbers("first_index", "last_index", "next_index")

    def op_durable(self):
        return self.numbers("durable_index")

    # ---- Append

    def op_append(self, data):
        return [self.log.append(to_bytes(data))]

    @staticmethod
    def fields(record):
        return {"index": record.index, "term": record.term, "timestamp_ns": record.timestamp_ns}

    def op_record(self, flags, token):
        record = to_record(token)
        return [self.log.append_record(record.data, sync=SYNCS[flags], **self.fields(record))]

    def op_batch(self, flags, *tokens):
        # A record that is bytes alone goes as such, so that the binding's fast lane is run as well.
        records = [to_record(token) if "," in token else to_bytes(token) for token in tokens]
        return [self.log.append_batch(records, sync=SYNCS[flags]).start]

    def op_packed(self, flags, term, *tokens):
        payloads = [to_bytes(token) for token in tokens]
        sizes = map(len, payloads)
        return [self.log.append_packed(b"".join(payloads), sizes, term=to_number(term), sync=SYNCS[flags]).start]

    def op_async(self, token):
        record = to_record(token)

        def told(index, error):
            with self.told:
                self.completed.append((index, error))
                self.told.notify()

        index = self.log.append_async(record.data, callback=told, **self.fields(record))
        self.expected += 1
        return [index]

    def op_completions(self):
        with self.told:
            assert self.told.wait_for(lambda: len(self.completed) == self.expected, 30), "not all were reported"
            done, self.completed, self.expected = self.completed, [], 0
        assert all(error is None for _, error in done), done
        return [index for index, _ in done]

    # ---- Durability

    def op_sync(self):
        self.log.sync()

    def op_interrupt(self):
        self.log.interrupt()

    @staticmethod
    def seconds(timeout_ms):
        return None if int(timeout_ms) < 0 else int(timeout_ms) / 1000

    def op_wait_durable(self, index, timeout_ms):
        self.log.wait_durable(to_number(index), self.seconds(timeout_ms))

    def op_notify(self, timeout_ms):
        fd = self.log.notify_fd()
        if not select.select([fd], [], [], self.seconds(timeout_ms))[0]:
            return ["quiet"]
        assert len(os.read(fd, 8)) == 8
        return ["readable"]

    # ---- Read

    @staticmethod
    def checked(entry):
        assert entry.checksum == walrus.crc32(entry.data), entry
        return entry

    def op_get(self, index):
        with self.log.get(to_number(index)) as entry:
            assert self.checked(entry).index == to_number(index)
            return [bytes(entry), entry.term, entry.timestamp_ns]

    def op_read(self, index, capacity):
        buffer = bytearray(to_number(capacity))
        return [bytes(buffer[: self.log.read(to_number(index), buffer)])]

    def op_scan(self, first, last, most):
        most, found = int(most), []

        def visit(entry):
            found.append(bytes(self.checked(entry)))
            return 7 if len(found) == most else 0

        answer = self.log.scan(visit, to_number(first), to_number(last))
        assert answer == (7 if most and len(found) == most else 0), answer
        return found

    def op_range(self, first, last, max_bytes, capacity):
        entries = self.log.get_range(
            to_number(first), to_number(last), max_bytes=to_number(max_bytes), max_count=to_number(capacity)
        )
        assert [entry.index for entry in entries] == list(range(int(first), int(first) + len(entries)))
        return [bytes(self.checked(entry)) for entry in entries]

    def op_read_packed(self, first, count, capacity):
        return list(self.log.read_packed(to_number(first), to_number(count), capacity=int(capacity)))

    def op_term(self, index):
        return [self.log.term(to_number(index))]

    def op_last_index_of_term(self, term):
        return [self.log.last_index_of_term(to_number(term))]

    def op_seek_time(self, timestamp_ns):
        return [self.log.seek_time(int(timestamp_ns))]

    # ---- Truncate

    def op_truncate(self, index):
        self.log.truncate(to_number(index))

    def op_truncate_front(self, index):
        self.log.truncate_front(to_number(index))

    def op_reset(self, next_index):
        self.log.reset(to_number(next_index))

    def op_replace_suffix(self, start, flags, *tokens):
        # It is durable whatever the flags say, so the binding has none.
        assert flags in ("default", "durable")
        self.log.replace_suffix(to_number(start), map(to_record, tokens))

    # ---- Cursors

    def op_cursor_open(self, name, index, which):
        assert name not in self.cursors
        self.cursors[name] = self.log.cursor(to_number(index), durable_only=which == "durable")

    def op_cursor_next(self, name):
        entry = self.checked(self.cursors[name].next())
        return [entry.index, bytes(entry)]

    def op_cursor_prev(self, name):
        entry = self.checked(self.cursors[name].prev())
        return [entry.index, bytes(entry)]

    def op_cursor_seek(self, name, index):
        self.cursors[name].seek(to_number(index))

    def op_cursor_position(self, name):
        return [self.cursors[name].position]

    def op_cursor_wait(self, name, timeout_ms):
        self.cursors[name].wait(self.seconds(timeout_ms))

    def op_cursor_close(self, name):
        self.cursors.pop(name).close()

    # ---- Transactions

    def op_txn_begin(self, name, timeout_ms):
        assert name not in self.txns
        timeout = {"0": None, "-1": float("inf")}.get(timeout_ms, int(timeout_ms) / 1000)
        self.txns[name] = self.log.transaction(timeout)

    def op_txn_append(self, name, token):
        record = to_record(token)
        self.txns[name].append(record.data, **self.fields(record))

    def op_txn_commit(self, name, flags):
        indexes = self.txns[name].commit(sync=SYNCS[flags])
        del self.txns[name]
        return [indexes.start, len(indexes)]

    def op_txn_rollback(self, name):
        self.txns.pop(name).rollback()

    def op_txn_state(self, name):
        return [self.txns[name].state.name.lower()]

    def op_txn_count(self):
        return self.numbers("txn_count")

    def op_txn_expire(self):
        return [self.log.txn_expire()]

    # ---- Metadata

    def op_meta_set(self, key, value):
        self.log.meta[to_bytes(key)] = to_bytes(value)

    def op_meta_stage(self, key, value):
        self.log.meta.stage(to_bytes(key), to_bytes(value))

    def op_meta_delete(self, key):
        del self.log.meta[to_bytes(key)]

    def op_meta_get(self, key, capacity):
        value = self.log.meta[to_bytes(key)]
        if len(value) > int(capacity):
            raise TooSmall(len(value))
        return [value]

    def op_meta_list(self):
        return [(key.encode(), value) for key, value in self.log.meta.items()]

    # ---- Operations

    def op_rotate(self):
        self.log.rotate()

    def op_segments(self):
        return [f"{segment.first_index}:{segment.last_index}" for segment in self.log.segments()]

    def op_stats(self, field):
        return [int(getattr(self.log.stats(), field))]

    def op_stats_text(self, name):
        lines = (line.split(" ") for line in self.log.stats_text().split("\n") if line.startswith(name + " "))
        return [int(next(lines)[1])]

    # ---- The place

    def op_file(self, name, data):
        os.makedirs(self.directory, exist_ok=True)
        Path(self.directory, name).write_bytes(to_bytes(data))

    def op_crash(self):
        aside = self.directory + ".crashed"
        shutil.copytree(self.directory, aside)
        self.op_close()
        shutil.rmtree(self.directory)
        os.rename(aside, self.directory)

    def op_damage(self, data):
        content = to_bytes(data)
        found = [file for file in Path(self.directory).glob("*.wal") if content in file.read_bytes()]
        assert len(found) == 1 and found[0].read_bytes().count(content) == 1, found
        with open(found[0], "r+b") as file:
            offset = file.read().index(content)
            file.seek(offset)
            file.write(bytes([content[0] ^ 1]))

    def op_sleep(self, ms):
        time.sleep(int(ms) / 1000)


class ScenarioTests(LogTest):
    """One test for each file; a binding that departs from the C library fails here."""


def _test(file: Path):
    def test(self):
        scenario = Scenario(self.directory)
        try:
            scenario.run(file)
        finally:
            for log in scenario.logs.values():
                log.close()

    return test


for _file in sorted((ROOT / "Tests" / "scenarios").glob("*.scenario")):
    setattr(ScenarioTests, "test_" + _file.stem, _test(_file))
