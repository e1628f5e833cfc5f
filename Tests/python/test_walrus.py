# test_walrus.py - what the Python binding promises, against the real library
#
# Each test is a claim, its docstring says which mistake it would catch. The last
# class kills a Python host in the middle of its appends and holds the log against a record outside it.
#
# SPDX-License-Identifier: MIT
import contextlib
import ctypes
import gc
import multiprocessing
import os
import pickle
import copy
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest
import warnings
import weakref
import zlib
from pathlib import Path
from unittest import mock

from support import ROOT, LogTest, payload, walrus

SEED = int(os.environ.get("WALRUS_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
KILL_ROUNDS = int(os.environ.get("WALRUS_TEST_KILL_ROUNDS", "12"))


# ---- The library


class LibraryTests(LogTest):
    def test_every_function_of_the_header_is_bound(self):
        """Catches a function that was added to walrus.h and forgotten here, or the reverse."""
        header = re.sub(r"/\*.*?\*/", "", (ROOT / "include" / "walrus.h").read_text(), flags=re.S)
        declared = set(re.findall(r"WALRUS_API\s[^;(]*?(walrus_\w+)\s*\(", header))
        self.assertGreater(len(declared), 30)
        self.assertEqual(declared, set(walrus._ffi.PROTOTYPES))

    def test_argument_counts_are_those_of_the_header(self):
        """Catches a prototype that lost or gained an argument: ctypes would call it all the same."""
        header = re.sub(r"/\*.*?\*/", "", (ROOT / "include" / "walrus.h").read_text(), flags=re.S)
        for name, arguments in re.findall(r"WALRUS_API\s[^;(]*?(walrus_\w+)\s*\(([^;]*)\);", header):
            count = 0 if arguments.strip() == "void" else arguments.count(",") + 1
            self.assertEqual(len(walrus._ffi.PROTOTYPES[name]) - 1, count, name)

    def test_every_error_code_of_the_header_has_a_class(self):
        """Catches a code without a class, or one that was given another number."""
        codes = dict(re.findall(r"WALRUS_E_(\w+) = (-\d+)", (ROOT / "include" / "walrus.h").read_text()))
        for name, code in codes.items():
            error = getattr(walrus, "".join(part.capitalize() for part in name.split("_")) + "Error")
            self.assertEqual(error.code, int(code))
            self.assertIs(walrus._errors.ERRORS[int(code)], error)
            self.assertTrue(issubclass(error, walrus.Error))
            self.assertIn(f"WALRUS_E_{name}", walrus.strerror(int(code)))
        self.assertEqual(len(codes), len(walrus._errors.ERRORS))

    @unittest.skipUnless(shutil.which(os.environ.get("CC", "cc")), "needs a C compiler")
    def test_structures_are_laid_out_as_the_compiler_lays_them_out(self):
        """Catches a field that is missing, moved or of another width: C would write over its neighbour."""
        structures = {
            "walrus_error_t": walrus._ffi.CError,
            "walrus_record_t": walrus._ffi.CRecord,
            "walrus_entry_t": walrus._ffi.CEntry,
            "walrus_recovery_report_t": walrus._ffi.CRecoveryReport,
            "walrus_segment_info_t": walrus._ffi.CSegmentInfo,
            "walrus_stats_t": walrus._ffi.CStats,
        }
        lines = ["#include <stdio.h>", "#include <walrus.h>", "int main(void) {"]
        expected = []
        for name, structure in structures.items():
            lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
            expected.append(f"{name} {ctypes.sizeof(structure)}")
            for field, *_ in structure._fields_:
                lines.append(
                    f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));'
                )
                descriptor = getattr(structure, field)
                expected.append(f"{name}.{field} {descriptor.offset} {descriptor.size}")
        source = os.path.join(self.directory, "layout.c")
        Path(source).write_text("\n".join([*lines, "return 0; }"]))
        program = os.path.join(self.directory, "layout")
        subprocess.run(
            [os.environ.get("CC", "cc"), "-std=c99", f"-I{ROOT / 'include'}", source, "-o", program], check=True
        )
        actual = subprocess.run([program], check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout
        self.assertEqual(actual.split("\n")[:-1], expected)

    def test_versions_agree(self):
        major, minor, patch = map(int, walrus.version().split("."))
        self.assertEqual(walrus.version_number(), major * 10000 + minor * 100 + patch)
        self.assertEqual(walrus.abi_version(), walrus.ABI_VERSION)

    def test_crc32_is_zlibs(self):
        for data in (b"", b"a", b"123456789", bytes(range(256)) * 999, bytearray(b"x" * 77), memoryview(b"abc")[1:]):
            self.assertEqual(walrus.crc32(data), zlib.crc32(data))

    def test_unknown_codes_have_a_text(self):
        self.assertTrue(walrus.strerror(-12345))
        self.assertTrue(walrus.strerror(7))

    def test_c_calls_let_other_threads_run(self):
        """Catches a binding that keeps the interpreter's lock: a slow disk would stop the whole program."""
        self.assertFalse(walrus._ffi.library.walrus_append._flags_ & ctypes._FUNCFLAG_PYTHONAPI)
        log = self.open(segment_size="256MiB", preallocate=False)
        data = os.urandom(16 << 20)
        ticks = 0
        done = threading.Event()

        def tick():
            nonlocal ticks
            while not done.wait(0.0005):
                ticks += 1

        ticker = threading.Thread(target=tick)
        ticker.start()
        most = 0
        try:
            for _ in range(8):
                before = ticks
                log.append(data)
                most = max(most, ticks - before)
                if most >= 4:
                    break
        finally:
            done.set()
            ticker.join()
        self.assertGreaterEqual(most, 4, "no other thread ran while a large append was written and synced")

    def load_with(self, library: str) -> str:
        """What importing the binding says when the library is `library`."""
        result = subprocess.run(
            [sys.executable, "-c", "import walrus; print(walrus.version())"],
            env={**os.environ, "WALRUS_LIBRARY": library, "PYTHONPATH": str(ROOT / "bindings" / "python")},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        )  # fmt: skip
        return result.stdout + result.stderr

    def test_a_library_that_is_missing_or_is_another_one_is_an_import_error_that_says_so(self):
        self.assertIn("ImportError", self.load_with("/nowhere/libwalrus.so"))
        self.assertIn("WALRUS_LIBRARY", self.load_with("/nowhere/libwalrus.so"))
        self.assertIn("not the libwalrus", self.load_with("libc.so.6"))

    @unittest.skipUnless(shutil.which(os.environ.get("CC", "cc")), "needs a C compiler")
    def test_a_library_with_another_interface_is_refused(self):
        source = os.path.join(self.directory, "other.c")
        Path(source).write_text("unsigned walrus_abi_version(void) { return 99; }\n")
        other = os.path.join(self.directory, "libwalrus.so")
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", source, "-o", other], check=True)
        self.assertIn("interface version 99", self.load_with(other))


# ---- Options


class OptionTests(LogTest):
    def test_options_are_listed_with_value_default_and_bounds(self):
        listed = walrus.options()
        self.assertLessEqual({"create", "sync", "segment_size", "recovery", "max_entry_size"}, set(listed))
        self.assertEqual(listed["sync"].value, listed["sync"].default)
        for name, option in listed.items():
            self.assertTrue(option.allowed, name)

    def test_each_default_can_be_set(self):
        """Catches a default whose text its own parser would not take."""
        defaults = {name: option.default for name, option in walrus.options().items()}
        again = walrus.options(**defaults)
        self.assertEqual({name: option.value for name, option in again.items()}, defaults)

    def test_text_numbers_and_booleans_set_the_same(self):
        """Values read back in a form that the library chooses, but that takes and gives the same again."""
        for key, one, other in (
            ("segment_size", 65536, "64KiB"),
            ("max_entry_size", 1 << 20, "1MiB"),
            ("create", False, "off"),
            ("create", True, "1"),
            ("file_mode", 0o600, "0600"),
        ):
            values = [walrus.options(**{key: value})[key].value for value in (one, other)]
            again = [walrus.options(**{key: value})[key].value for value in values]
            self.assertEqual(values, again)
            self.assertEqual(*map(self.meaning, values), key)

    @staticmethod
    def meaning(value):
        if value in ("true", "on", "1", "false", "off", "0"):
            return value in ("true", "on", "1")
        number = value.rstrip("KMGiB")
        scale = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30}[value[len(number) :]]
        return int(number, 8 if number.startswith("0") else 10) << scale

    def test_wrong_options_are_named(self):
        for key, value in (("segment_sise", 1), ("segment_size", "many"), ("segment_size", 1), ("sync", "sometimes")):
            with self.assertRaises(walrus.InvalidError) as caught:
                walrus.open(self.path, **{key: value})
            self.assertIn(key, str(caught.exception))
            self.assertFalse(os.path.exists(self.path), "a refused open left something behind")
        for value in (-1, 1 << 64):
            with self.assertRaises(walrus.InvalidError):
                walrus.open(self.path, segment_size=value)
        for value in (1.5, None, b"4KiB"):
            with self.assertRaises(TypeError):
                walrus.open(self.path, segment_size=value)
        with self.assertRaises(walrus.InvalidError):
            walrus.open(self.path, sync="always\0os")

    def test_options_reach_the_log(self):
        log = self.open(max_entry_size=100, file_mode=0o600)
        with self.assertRaises(walrus.TooLargeError):
            log.append(bytes(101))
        self.assertEqual(log.append(bytes(100)), 1)
        for file in Path(self.path).rglob("*"):
            if file.is_file():
                self.assertEqual(file.stat().st_mode & 0o077, 0, file)

    def test_a_logger_hears_of_open_and_close_and_may_not_use_the_log(self):
        heard, raised = [], []

        def hear(level, message):
            heard.append((level, message))
            try:
                log.append(b"from a logger")
            except NameError:  # the log does not have its name yet: this is open
                pass
            except walrus.BusyError as error:
                raised.append(error)

        log = walrus.open(self.path, logger=hear, log_level=walrus.LogLevel.DEBUG)
        gc.collect()  # the callback is referenced by C only
        log.append(b"1")
        log.close()
        self.assertTrue(heard, "not even opening and closing a log was told")
        self.assertTrue(all(1 <= level <= 4 and message for level, message in heard))
        self.assertTrue(raised or len(heard) > 0)
        with self.assertRaises(walrus.InvalidError):
            walrus.open(self.path, logger=hear, log_level=9)


# ---- Append and read


class AppendTests(LogTest):
    def test_what_is_appended_is_read_back(self):
        """Empty entries, NUL bytes and everything bytes-like included."""
        log = self.open()
        values = [b"hello", b"", b"\0", b"a\0b\0", bytes(range(256)), bytearray(b"array"), memoryview(b"a view")[2:],
                  memoryview(b"every other one")[::2], b"x" * 300_000]  # fmt: skip
        for index, value in enumerate(values, 1):
            self.assertEqual(log.append(value), index)
            self.assertEqual(log[index], bytes(value))
        self.assertEqual(list(log), [bytes(value) for value in values])
        self.assertEqual(len(log), len(values))

    def test_what_is_not_bytes_is_a_type_error(self):
        """Catches bytes(5), which is five zeros, and text that would be encoded by guess."""
        log = self.open()
        for value in ("text", 5, None, [1, 2], object()):
            for call in (log.append, log.append_record, walrus.crc32, lambda v: log.append_batch([b"a", v])):
                with self.assertRaises(TypeError):
                    call(value)
        for index in ("1", 1.0, None):
            for call in (log.get, log.term, log.truncate, log.truncate_front, log.reset, log.__getitem__):
                with self.assertRaises(TypeError):
                    call(index)
        self.assertEqual(log.next_index, 1)

    def test_the_callers_buffer_may_change_afterwards(self):
        log = self.open(sync="none")
        buffer = bytearray(b"before")
        log.append(buffer)
        buffer[:] = b"after!"
        self.assertEqual(log[1], b"before")

    def test_records_carry_index_term_and_time(self):
        log = self.open()
        self.assertEqual(log.append_record(b"a", index=1000, term=7, timestamp_ns=-5), 1000)
        self.assertEqual(log.append(b"b"), 1001)
        self.assertEqual(log.append_record(b"c", term=3, sync="os"), 1002)
        self.assertEqual([log.term(index) for index in (1000, 1001, 1002)], [7, 7, 3])
        with log.get(1000) as entry:
            self.assertEqual((entry.index, entry.term, entry.timestamp_ns), (1000, 7, -5))
            self.assertEqual(entry.checksum, zlib.crc32(b"a"))
        with log.get(1001) as entry:
            self.assertLess(abs(entry.timestamp_ns - time.time_ns()), 60e9)
        with self.assertRaises(walrus.OutOfOrderError):
            log.append_record(b"d", index=1004)
        self.assertEqual(log.next_index, 1003)

    def test_numbers_that_do_not_fit_never_reach_c(self):
        """Catches ctypes cutting 2^64 + 1 down to 1."""
        log = self.filled(3)
        for wrong in (-1, 1 << 64, (1 << 64) + 1):
            for call in (log.get, log.term, log.truncate, log.truncate_front, log.reset, log.__getitem__,
                         lambda n: log.read(n, bytearray(4096)), lambda n: log.append_record(b"", index=n),
                         lambda n: log.append_record(b"", term=n), lambda n: log[n:], lambda n: log[:n],
                         lambda n: log.scan(print, n), lambda n: log.entries(1, n)):  # fmt: skip
                with self.assertRaises(walrus.InvalidError):
                    call(wrong)
        with self.assertRaises(walrus.InvalidError):
            log.append_record(b"", timestamp_ns=1 << 63)
        self.assertEqual(len(log), 3)

    def test_a_batch_has_contiguous_indexes(self):
        log = self.open()
        self.assertEqual(log.append_batch([b"a", bytearray(b"b"), walrus.Record(b"c", term=5)]), range(1, 4))
        self.assertEqual(log.append_batch(payload(n) for n in range(4, 2004)), range(4, 2004))
        self.assertEqual(log.append_batch([]), range(2004, 2004))
        self.assertEqual(log[1:4], [b"a", b"b", b"c"])
        self.assertEqual(log.term(3), 5)
        self.assertEqual(log[4:2004], [payload(n) for n in range(4, 2004)])
        self.assertGreaterEqual(log.durable_index, 2003)

    def test_a_batch_with_one_wrong_record_is_not_there_at_all(self):
        log = self.open(max_entry_size=10)
        log.append(b"first")
        for wrong, error in (
            (bytes(11), walrus.TooLargeError),
            (walrus.Record(b"", index=9), walrus.OutOfOrderError),
            ("text", TypeError),
        ):
            with self.assertRaises(error):
                log.append_batch([b"a", b"b", wrong, b"c"])
            self.assertEqual((log.last_index, log.next_index), (1, 2))
        self.assertEqual(log.append_batch([b"a", walrus.Record(b"b", index=3)]), range(2, 4))

    def test_sync_levels(self):
        log = self.open(sync="none")
        log.append(b"1")
        log.append_record(b"2", sync="os")
        self.assertEqual(log.append_record(b"3", sync="always"), 3)
        self.assertEqual(log.durable_index, 3)
        log.append_batch([b"4", b"5"], sync="none")
        log.sync()
        self.assertEqual(log.durable_index, 5)
        for wrong in ("Always", "", 1, [], "interval"):
            with self.assertRaises(walrus.InvalidError):
                log.append_record(b"6", sync=wrong)
        self.assertEqual(log.next_index, 6)

    def test_durable_by_default(self):
        log = self.open()
        for index in range(1, 20):
            log.append(payload(index))
            self.assertEqual(log.durable_index, index)


class ReadTests(LogTest):
    def test_an_index_that_is_not_there(self):
        log = self.filled(10)
        log.truncate_front(4)
        for index in (0, 11, 1 << 63, (1 << 64) - 1):
            with self.assertRaises(walrus.NotFoundError) as caught:
                log.get(index)
            self.assertEqual(caught.exception.index, index)
        for index in (1, 3):
            for call in (log.get, log.__getitem__, log.term, lambda n: log.read(n, bytearray(1 << 16))):
                with self.assertRaises(walrus.CompactedError):
                    call(index)
        with self.assertRaises(IndexError):
            log[11]
        with self.assertRaisesRegex(walrus.InvalidError, "last_index"):
            log[-1]

    def test_slices_are_ranges_of_indexes(self):
        log = self.filled(40)
        log.truncate_front(11)
        expected = {index: payload(index) for index in range(11, 41)}
        for key in (slice(11, 14), slice(None), slice(20, None), slice(None, 15), slice(38, 99), slice(11, 41, 7),
                    slice(40, 10, -1), slice(None, None, -1), slice(99, 35, -1), slice(30, None, -3), slice(20, 20),
                    slice(30, 20), slice(99, 120)):  # fmt: skip
            step = key.step or 1
            start = key.start if key.start is not None else (11 if step > 0 else 40)
            stop = key.stop if key.stop is not None else (41 if step > 0 else 10)
            wanted = [expected[index] for index in range(start, stop, step) if index in expected]
            if key.start == 99 and step < 0:
                wanted = [expected[index] for index in range(40, stop, step)]
            self.assertEqual(log[key], wanted, key)
        with self.assertRaises(walrus.CompactedError):
            log[5:20]
        with self.assertRaises(walrus.CompactedError):
            log[20:5:-1]
        with self.assertRaises(ValueError):
            log[11:20:0]

    def test_iteration_both_ways(self):
        log = self.filled(700)
        self.assertEqual(list(log), [payload(index) for index in range(1, 701)])
        self.assertEqual(list(reversed(log)), [payload(index) for index in range(700, 0, -1)])
        self.assertEqual([entry.index for entry in log.entries()], list(range(1, 701)))
        self.assertEqual([entry.index for entry in log.entries(300, 9999)], list(range(300, 701)))
        self.assertEqual(list(log.entries(5, 4)), [])

    def test_iteration_ends_where_the_log_ended_when_it_began(self):
        log = self.filled(5)
        seen = []
        for value in log:
            seen.append(value)
            log.append(payload(99))
        self.assertEqual(len(seen), 5)

    def test_an_empty_log(self):
        log = self.open()
        self.assertEqual((len(log), log.first_index, log.last_index, log.next_index), (0, 0, 0, 1))
        self.assertEqual((list(log), list(reversed(log)), log[:], log[::-1], list(log.entries())), ([],) * 5)
        self.assertEqual(log.scan(self.fail), 0)
        self.assertTrue(log, "an empty log must not count as no log")

    def test_entries_larger_than_a_chunk(self):
        """Catches a range read that takes a short answer for the end."""
        log = self.open(sync="os")
        values = [bytes([n]) * (700_000 + n) for n in range(7)]
        log.append_batch(values)
        self.assertEqual(list(log), values)
        self.assertEqual(log[2:6], values[1:5])

    def test_read_copies_into_a_buffer(self):
        log = self.filled(3)
        buffer = bytearray(5000)
        size = log.read(2, buffer)
        self.assertEqual(bytes(buffer[:size]), payload(2))
        view = memoryview(bytearray(8000))[100:]
        size = log.read(3, view)
        self.assertEqual(bytes(view[:size]), payload(3))
        with self.assertRaises(walrus.TooSmallError) as caught:
            log.read(2, bytearray(3))
        self.assertEqual(caught.exception.size, len(payload(2)))
        with self.assertRaises(TypeError):
            log.read(2, bytes(5000))
        log.append(b"")
        self.assertEqual(log.read(4, bytearray()), 0)

    def test_checksums_are_zlibs(self):
        for verify in (True, False):
            for zero_copy in (True, False):
                shutil.rmtree(self.path, ignore_errors=True)
                with walrus.open(self.path, verify_reads=verify, zero_copy=zero_copy, sync="os") as log:
                    log.append_batch(payload(index) for index in range(1, 50))
                    log.append(b"")
                    for entry in log.entries():
                        self.assertEqual(entry.checksum, zlib.crc32(entry.data), entry)

    def test_scan(self):
        log = self.filled(20)
        kept = []
        self.assertEqual(log.scan(kept.append), 0)
        self.assertEqual([entry.index for entry in kept], list(range(1, 21)))
        log.truncate(1)
        log.close()
        self.assertEqual([bytes(entry) for entry in kept], [payload(n) for n in range(1, 21)])

    def test_scan_stops_and_tells_why(self):
        log = self.filled(20)
        seen = []

        def visit(entry):
            seen.append(entry.index)
            return 5 if entry.index == 12 else -7 if entry.index == 6 else False

        self.assertEqual(log.scan(visit, 5, 15), 5)
        self.assertEqual(seen, list(range(5, 13)))
        self.assertEqual(log.scan(lambda entry: True), 1)
        self.assertEqual(log.scan(lambda entry: 1 << 40), 0x7FFFFFFF)
        with self.assertRaises(walrus.InvalidError):
            log.scan(print, 5, 4)
        log.truncate_front(3)
        with self.assertRaises(walrus.CompactedError):
            log.scan(print, 1, 4)

    def test_what_a_callback_raises_comes_out_of_scan(self):
        log = self.filled(5)
        for error in (KeyError("mine"), KeyboardInterrupt(), SystemExit(3), StopIteration(), walrus.NotFoundError("x")):
            calls = []

            def visit(entry, error=error, calls=calls):
                calls.append(entry.index)
                if entry.index == 3:
                    raise error

            with self.assertRaises(type(error)) as caught:
                log.scan(visit)
            self.assertIs(caught.exception, error)
            self.assertEqual(calls, [1, 2, 3])
        with self.assertRaises(TypeError):
            log.scan(lambda entry: "not a number")
        self.assertEqual(log.append(b"goes on"), 6)

    def test_a_callback_may_use_the_log_but_not_close_it(self):
        log = self.filled(5)
        found = []

        def visit(entry):
            found.append(log[entry.index])
            log.append(b"during the scan")
            with self.assertRaises(walrus.BusyError):
                log.close()

        log.scan(visit)
        self.assertEqual(found, [payload(n) for n in range(1, 6)])
        self.assertEqual(len(log), 10)

    def test_scans_nest(self):
        log = self.filled(4)
        pairs = []
        log.scan(lambda outer: log.scan(lambda inner: pairs.append((outer.index, inner.index)), 1, 2), 3, 4)
        self.assertEqual(pairs, [(3, 1), (3, 2), (4, 1), (4, 2)])


# ---- Truncate


class TruncateTests(LogTest):
    def test_both_ends(self):
        log = self.filled(100)
        log.truncate_front(31)
        log.truncate(70)
        self.assertEqual((log.first_index, log.last_index, log.next_index, len(log)), (31, 70, 71, 40))
        log.truncate_front(31)
        log.truncate_front(5)
        log.truncate(70)
        self.assertEqual((log.first_index, log.last_index), (31, 70))
        self.assertEqual(log.append(b"new"), 71)
        log.close()
        with walrus.open(self.path) as log:
            self.assertEqual(log[:], [payload(n) for n in range(31, 71)] + [b"new"])

    def test_limits(self):
        log = self.filled(10)
        log.truncate_front(4)
        for call, index, error in (
            (log.truncate, 11, walrus.NotFoundError),
            (log.truncate, 2, walrus.CompactedError),
            (log.truncate_front, 12, walrus.NotFoundError),
            (log.reset, 0, walrus.InvalidError),
            (log.reset, (1 << 63) + 1, walrus.InvalidError),
        ):
            with self.assertRaises(error):
                call(index)
        self.assertEqual((log.first_index, log.last_index), (4, 10))

    def test_emptied_from_either_end_the_next_index_stays(self):
        log = self.filled(10)
        log.truncate_front(11)
        self.assertEqual((len(log), log.first_index, log.last_index, log.next_index), (0, 0, 0, 11))
        self.assertEqual(log.append(b"x"), 11)
        log.truncate(10)
        self.assertEqual((len(log), log.next_index), (0, 11))
        self.assertEqual(log.append(b"y"), 11)
        self.assertEqual(log[11], b"y")

    def test_reset(self):
        log = self.filled(10)
        log.reset(1 << 40)
        self.assertEqual((len(log), log.next_index), (0, 1 << 40))
        self.assertEqual(log.append(b"x"), 1 << 40)
        log.close()
        with walrus.open(self.path) as log:
            self.assertEqual(log[1 << 40], b"x")


# ---- Views


class ViewTests(LogTest):
    """Each would read freed or unmapped memory if a view were given back too early."""

    @staticmethod
    @contextlib.contextmanager
    def counting():
        """Counts pins that were made and not yet given back."""
        alive = weakref.WeakSet()
        original = walrus._entry.Pin

        class Pin(original):
            __slots__ = ("__weakref__",)

            def __init__(self):
                alive.add(self)

        walrus._entry.Pin = Pin
        try:
            yield alive
        finally:
            walrus._entry.Pin = original

    def test_a_view_outlives_truncation_close_and_destruction(self):
        for zero_copy in (True, False):
            log = self.filled(200, zero_copy=zero_copy)
            views = {index: log.get(index).data for index in (1, 2, 100, 199, 200)}
            log.truncate_front(150)
            log.truncate(160)
            log.append_batch(bytes(3000) for _ in range(100))
            log.reset(1)
            log.append_batch(bytes(3000) for _ in range(100))
            log.close()
            del log
            gc.collect()
            for index, view in views.items():
                self.assertEqual(view, payload(index))
            walrus.destroy(self.path)
            for index, view in views.items():
                self.assertEqual(zlib.crc32(view), zlib.crc32(payload(index)))

    def test_a_slice_or_an_array_keeps_the_memory(self):
        with self.counting() as alive:
            log = self.filled(3)
            entry = log.get(2)
            part = entry.data[5:9]
            other = memoryview(entry.data).cast("b")
            entry.release()
            log.close()
            gc.collect()
            self.assertEqual(len(alive), 1)
            self.assertEqual(bytes(part), payload(2)[5:9])
            self.assertEqual(other.nbytes, len(payload(2)))
            with self.assertRaises(ValueError):
                entry.data[0]
            del part
            self.assertEqual(len(alive), 1)
            del other
            self.assertEqual(len(alive), 0)

    def test_release_with_a_buffer_standing_on_it(self):
        with self.counting() as alive:
            log = self.filled(1)
            entry = log.get(1)
            user = (ctypes.c_char * 4).from_buffer_copy(entry.data)  # a copy: ctypes takes no read-only buffer
            holder = memoryview(entry.data)
            entry.release()
            with self.assertRaises(ValueError):
                bytes(entry)
            self.assertEqual(bytes(holder), payload(1))
            self.assertEqual(bytes(user), payload(1)[:4])
            del holder
            self.assertEqual(len(alive), 0)

    def test_views_are_given_back_without_the_collector(self):
        gc.disable()
        try:
            with self.counting() as alive:
                log = self.filled(600)
                for entry in log.entries():
                    pass
                for index in range(1, 600):
                    log.get(index)
                del entry
                self.assertEqual(len(alive), 0)
                iterator = log.entries()
                next(iterator)
                del iterator  # abandoned half way
                self.assertEqual(len(alive), 0)
                with log.get(1):
                    self.assertEqual(len(alive), 1)
                self.assertEqual(len(alive), 0)
        finally:
            gc.enable()

    def test_a_finaliser_in_a_cycle_still_sees_the_bytes(self):
        """Catches a pin that the collector finalises before another object that still reads its view."""
        seen = []

        class Reader:
            def __del__(self):
                seen.append(bytes(self.view))

        log = self.filled(60)
        with self.counting() as alive:
            for index in range(1, 61):
                reader = Reader() if index % 2 else None
                view = log.get(index).data
                reader = reader or Reader()  # either order of creation
                reader.view, reader.itself = view, reader
                del reader, view
            log.close()
            gc.collect()
            self.assertEqual(len(alive), 0)
        self.assertEqual(sorted(seen), sorted(payload(n) for n in range(1, 61)))

    def test_views_are_read_only(self):
        view = self.filled(1).get(1).data
        self.assertTrue(view.readonly)
        with self.assertRaises(TypeError):
            view[0] = 1
        with self.assertRaises(TypeError):
            (ctypes.c_char * len(view)).from_buffer(view)
        self.assertEqual((view.format, view.itemsize, view[0]), ("B", 1, payload(1)[0]))

    def test_an_empty_entry_keeps_its_index_and_term(self):
        """Catches an entry of 0 bytes whose pin is given back, and so zeroed, before it is looked at."""
        log = self.open()
        index = log.append_record(b"", term=7)
        entry = log.get(index)
        self.assertEqual((entry.index, entry.term, bytes(entry.data)), (index, 7, b""))
        self.assertEqual([e.index for e in log.entries(index, index)], [index])

    def test_an_empty_entry_has_an_empty_view(self):
        log = self.open()
        log.append(b"")
        with log.get(1) as entry:
            self.assertEqual((len(entry), bytes(entry), entry.data.readonly), (0, b"", True))

    def test_views_given_back_on_other_threads(self):
        log = self.filled(300)
        handed = [log.get(index) for index in range(1, 301)]

        def drop():
            while handed:
                try:
                    entry = handed.pop()
                except IndexError:
                    return
                assert entry.data == payload(entry.index)

        threads = [threading.Thread(target=drop) for _ in range(8)]
        for thread in threads:
            thread.start()
        log.close()
        for thread in threads:
            thread.join()


# ---- Misuse, threads, fork


class CloseTests(LogTest):
    def everything(self, log):
        return [
            lambda: log.append(b""), lambda: log.append_record(b""), lambda: log.append_batch([b""]), log.sync,
            lambda: log.get(1), lambda: log[1], lambda: log[1:2], lambda: log.read(1, bytearray(9)),
            lambda: log.term(1), lambda: list(log), lambda: list(reversed(log)), lambda: list(log.entries()),
            lambda: log.scan(print), lambda: len(log), lambda: log.first_index, lambda: log.last_index,
            lambda: log.next_index, lambda: log.durable_index, lambda: log.truncate(1),
            lambda: log.truncate_front(1), lambda: log.reset(1), log.recovery_report,
        ]  # fmt: skip

    def test_everything_after_close_raises(self):
        log = self.filled(3)
        pending = log.entries()
        next(pending)
        log.close()
        log.close()
        self.assertTrue(log.closed)
        for call in [*self.everything(log), log.shutdown]:
            with self.assertRaises(walrus.ClosedError):
                call()
        self.assertIn("closed", repr(log))

    def test_everything_after_shutdown_raises(self):
        log = self.filled(3)
        view = log.get(1).data
        log.shutdown()
        log.shutdown()
        for call in self.everything(log):
            with self.assertRaises(walrus.ClosedError):
                call()
        self.assertFalse(log.closed)
        log.close()
        self.assertEqual(view, payload(1))
        with walrus.open(self.path) as log:
            self.assertEqual(len(log), 3)

    def test_close_waits_for_a_call_in_flight(self):
        """Catches a handle that is freed while C still works with it, here in the middle of a scan."""
        log = self.filled(5)
        scanning, go_on = threading.Event(), threading.Event()
        ends = []

        def visit(entry):
            ends.append(entry.index)
            scanning.set()
            go_on.wait(20)

        def scan():
            try:
                log.scan(visit)
            except walrus.ClosedError as error:
                ends.append(error)

        scanner, closer = threading.Thread(target=scan), threading.Thread(target=log.close)
        scanner.start()
        scanning.wait(20)
        closer.start()
        closer.join(0.1)
        self.assertTrue(closer.is_alive(), "close returned during a scan")
        with self.assertRaises(walrus.ClosedError):  # new calls are turned away meanwhile
            log.append(b"")
        go_on.set()
        closer.join(20)
        scanner.join(20)
        self.assertFalse(closer.is_alive() or scanner.is_alive())
        self.assertEqual((ends[0], type(ends[1]), len(ends)), (1, walrus.ClosedError, 2))

    def test_closing_while_other_threads_work(self):
        """Catches a handle that is freed under a call in flight."""
        for _ in range(10):
            log = walrus.open(self.path, sync="os")
            acknowledged = []
            failures = []
            started = threading.Barrier(7)

            def work(kind, log=log, acknowledged=acknowledged, failures=failures, started=started):
                started.wait()
                try:
                    while True:
                        if kind % 3 == 0:
                            acknowledged.append(log.append(b"x" * 100))
                        elif kind % 3 == 1:
                            list(log.entries())
                        else:
                            log.scan(lambda entry: None)
                except walrus.ClosedError:
                    pass
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=work, args=(kind,)) for kind in range(6)]
            for thread in threads:
                thread.start()
            started.wait()
            deadline = time.monotonic() + 20  # on a busy machine the first append may take its time
            while not acknowledged and not failures and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.01)
            log.close()
            for thread in threads:
                thread.join(20)
                self.assertFalse(thread.is_alive(), "a thread hangs after close")
            self.assertEqual(failures, [])
            with walrus.open(self.path) as log:
                self.assertEqual(log.last_index, max(acknowledged))
            walrus.destroy(self.path)

    def test_a_log_that_is_never_closed_is_closed_with_a_warning(self):
        log = walrus.open(self.path, sync="none")
        log.append(b"kept")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del log
            gc.collect()
        self.assertTrue(any(issubclass(w.category, ResourceWarning) for w in caught))
        with walrus.open(self.path) as log:
            self.assertEqual((log[1], log.recovery_report().reason), (b"kept", walrus.Recovery.CLEAN))

    def test_a_log_that_is_open_when_the_interpreter_ends_is_closed(self):
        """Daemon threads and views still alive must not turn the end into a crash."""
        program = f"""
            import sys, threading, walrus
            log = walrus.open({self.path!r}, sync="none", logger=lambda level, text: None, log_level=4)
            log.append(b"kept")
            view = log.get(1).data
            def read():
                while True: log[1]
            threading.Thread(target=read, daemon=True).start()
        """
        self.run_python(program)
        with walrus.open(self.path) as log:
            self.assertEqual((log[1], log.recovery_report().reason), (b"kept", walrus.Recovery.CLEAN))

    def test_ctrl_c_right_after_open(self):
        """Catches a log that stays locked although nobody has it."""
        with mock.patch("walrus._log.check", side_effect=[0, KeyboardInterrupt]):
            with self.assertRaises(KeyboardInterrupt):
                walrus.open(self.path, logger=lambda level, message: None)
        self.open().append(b"x")

    def test_a_log_is_neither_copied_nor_pickled(self):
        """Catches two objects that own one handle, and free it twice."""
        log = self.filled(1)
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            with self.assertRaises(TypeError):
                call(log)

    def test_a_path_with_a_nul_is_refused(self):
        """Catches C reading half of a path, and opening or destroying another log."""
        self.filled(1).close()
        for call in (walrus.open, walrus.destroy):
            with self.assertRaises(walrus.InvalidError):
                call(self.path + "\0/other")
            with self.assertRaises(TypeError):
                call(7)
        with walrus.open(os.fsencode(self.path)) as log:
            self.assertEqual(len(log), 1)
        with walrus.open(Path(self.path)) as log:
            self.assertEqual(len(log), 1)


class ErrorTests(LogTest):
    def test_each_is_raised_and_says_where(self):
        with self.assertRaises(walrus.NoLogError) as caught:
            walrus.open(self.path, create=False)
        self.assertTrue(caught.exception.message)
        self.assertEqual(caught.exception.code, -8)
        with self.assertRaises(walrus.NoLogError):
            walrus.destroy(self.path)
        log = self.filled(1)
        with self.assertRaises(walrus.LockedError):
            walrus.open(self.path)
        with self.assertRaises(walrus.LockedError):
            walrus.destroy(self.path)
        log.close()
        with self.assertRaises(walrus.ExistsError):
            walrus.open(self.path, must_be_new=True)
        file = os.path.join(self.directory, "file")
        Path(file).write_text("no log")
        with self.assertRaises(walrus.NotALogError):
            walrus.open(file)
        other = os.path.join(self.directory, "other")
        os.mkdir(other)
        Path(other, "letter.txt").write_text("no log")
        with self.assertRaises(walrus.NotALogError):
            walrus.open(other)
        self.assertEqual(os.listdir(other), ["letter.txt"])
        with self.assertRaises(walrus.IoError) as io_caught:
            walrus.open(os.path.join(self.directory, "no", "parent"))
        self.assertEqual(io_caught.exception.errno, 2)
        with self.assertRaises(walrus.ReadOnlyError):
            with walrus.open(self.path, read_only=True) as log:
                self.assertEqual(log[1], payload(1))
                log.append(b"")
        walrus.destroy(self.path)
        self.assertFalse(os.path.exists(self.path))

    def test_a_read_only_log_follows_a_writer(self):
        log = self.filled(10)
        log.sync()
        with walrus.open(self.path, read_only=True) as reader:
            self.assertEqual(reader[:], log[:])
            log.append(b"later")
            log.sync()
            self.assertEqual(reader.last_index, 11)
            self.assertEqual(reader[11], b"later")

    def test_an_error_belongs_to_its_thread(self):
        """Catches one thread being told another one's mistake."""
        log = self.filled(1)
        wrong = []

        def ask(index):
            for _ in range(300):
                try:
                    log.get(index)
                except walrus.NotFoundError as error:
                    if error.index != index:
                        wrong.append((index, error.index))

        threads = [threading.Thread(target=ask, args=(index,)) for index in range(100, 108)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_errors_are_ordinary_exceptions(self):
        error = walrus.NotFoundError("nothing", index=7, path="/x")
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((again.code, again.index, again.path, str(again)), (-2, 7, "/x", "nothing"))

    def test_the_recovery_report(self):
        log = self.filled(3)
        self.assertEqual(log.recovery_report().reason, walrus.Recovery.CLEAN)
        log.close()
        with walrus.open(self.path) as log:
            report = log.recovery_report()
            self.assertEqual((report.reason, report.entries_cut, report.bytes_cut), (walrus.Recovery.CLEAN, 0, 0))
            self.assertTrue(report.message)
            self.assertGreater(report.duration_ns, 0)


class ThreadTests(LogTest):
    def test_many_threads_append(self):
        """Each index is handed out once, and holds what its own thread appended."""
        log = self.open(sync="always", segment_size="64KiB")
        mine = [dict() for _ in range(8)]

        def work(number):
            for turn in range(60):
                if turn % 10 == 9:
                    values = [b"thread %d turn %d part %d" % (number, turn, part) for part in range(3)]
                    mine[number].update(zip(log.append_batch(values), values))
                else:
                    value = b"thread %d turn %d" % (number, turn) * (turn + 1)
                    index = log.append(value)
                    assert log.durable_index >= index and log[index] == value
                    mine[number][index] = value

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together = {index: value for part in mine for index, value in part.items()}
        self.assertEqual(sorted(together), list(range(1, 8 * 72 + 1)))
        self.assertEqual(list(log), [together[index] for index in sorted(together)])
        for part in mine:
            self.assertEqual(list(part), sorted(part), "a thread's own appends changed places")

    def test_readers_beside_a_writer_and_a_truncater(self):
        log = self.filled(50)
        stop = threading.Event()
        failures = []

        def guard(work):
            try:
                while not stop.is_set():
                    try:
                        work()
                    except (walrus.CompactedError, walrus.NotFoundError):
                        pass
            except BaseException as error:
                failures.append(error)

        def read():
            for entry in log.entries():
                assert entry.data == payload(entry.index), entry
                assert zlib.crc32(entry.data) == entry.checksum, entry

        def write():
            # One writer: the index that it will get is known, and so is the payload.
            log.append(payload(log.next_index))

        def cut():
            time.sleep(0.002)
            log.truncate_front(max(log.last_index - 50, 1))

        threads = [threading.Thread(target=guard, args=(work,)) for work in (read, read, read, write, cut)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        stop.set()
        for thread in threads:
            thread.join(20)
        self.assertEqual(failures, [])
        for index in range(log.first_index, log.last_index + 1):
            self.assertEqual(log[index], payload(index))


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class ForkTests(LogTest):
    def in_child(self, work):
        """Runs work in a forked child, and reports what it raised."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            reader, writer = os.pipe()
            child = os.fork()
        if not child:
            try:
                work()
                os.write(writer, b"fine")
            except BaseException as error:
                os.write(writer, repr(error).encode()[:2000])
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        self.assertEqual((status, said), (0, "fine"))

    def test_the_child_may_only_close_and_the_parent_goes_on(self):
        log = self.filled(5)
        view = log.get(3).data

        def work():
            for call in CloseTests.everything(self, log):
                try:
                    call()
                except walrus.ForkedError:
                    continue
                raise AssertionError("a call worked in the child")
            assert view == payload(3)
            log.close()
            try:
                log.append(b"")
                raise AssertionError("append worked after close")
            except walrus.ClosedError:
                pass
            assert view == payload(3)
            try:
                walrus.open(self.path)
                raise AssertionError("the child could open what the parent has open")
            except walrus.LockedError:
                pass

        before = sorted((file.name, file.stat().st_size) for file in Path(self.path).iterdir())
        self.in_child(work)
        self.assertEqual(before, sorted((file.name, file.stat().st_size) for file in Path(self.path).iterdir()))
        self.assertEqual(log.append(payload(6)), 6)
        self.assertEqual(log[:], [payload(n) for n in range(1, 7)])

    def test_the_child_opens_it_anew_once_the_parent_has_closed(self):
        log = self.filled(5)
        view = log.get(2).data
        log.close()

        def work():
            assert view == payload(2)
            with walrus.open(self.path) as again:
                assert again.append(b"the child's") == 6

        self.in_child(work)
        with walrus.open(self.path) as log:
            self.assertEqual(log[6], b"the child's")

    def test_a_child_that_lives_on_does_not_keep_the_lock(self):
        """Catches an inherited descriptor: the log would stay locked until the last child ends."""
        log = self.filled(1)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(writer)
            os.read(reader, 1)  # lives until the parent is through; never touches the log
            os._exit(0)
        os.close(reader)
        try:
            log.close()
            with walrus.open(self.path) as log:
                self.assertEqual(len(log), 1)
        finally:
            os.close(writer)
            os.waitpid(child, 0)

    def test_a_fork_while_other_threads_append(self):
        """Catches a child that waits for a lock or a call of a thread that it does not have."""
        log = self.open(sync="os")
        stop = threading.Event()

        def append():
            while not stop.is_set():
                log.append(b"x" * 200)

        threads = [threading.Thread(target=append) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                self.in_child(log.close)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(log.last_index, len(log))

    def test_a_forked_child_that_ends_normally_does_no_harm(self):
        """The child runs exit handlers, and so closes the log that it inherited."""
        log = self.filled(5)
        context = multiprocessing.get_context("fork")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            process = context.Process(target=gc.collect)
            process.start()
        process.join(30)
        self.assertEqual(process.exitcode, 0)
        child = os.fork()
        if not child:
            import atexit

            atexit._run_exitfuncs()
            os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(log.append(b"still"), 6)
        log.close()
        with walrus.open(self.path) as log:
            self.assertEqual((len(log), log.recovery_report().reason), (6, walrus.Recovery.CLEAN))


# ---- Kill


# Appends for ever, singly and in batches of four, and tells the outside what was acknowledged.
HOST = """
import os, sys
sys.path.insert(0, {tests!r})
import walrus
from support import payload

journal = os.open({journal!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
log = walrus.open({path!r}, sync="always", segment_size="32KiB")
while True:
    index = log.next_index
    if index % 7 == 1:
        indexes = log.append_batch(walrus.Record(payload(n), term=index) for n in range(index, index + 4))
    else:
        indexes = [log.append_record(payload(index), term=index)]
    os.write(journal, b"%d\\n" % indexes[-1])
"""


class KillTests(LogTest):
    def test_kill_9_in_the_middle_of_appends(self):
        """What a killed host was told is durable is there, identical; a batch is there whole or not at all."""
        source = random.Random(SEED)
        journal = os.path.join(self.directory, "journal")
        Path(journal).touch()
        program = HOST.format(tests=str(Path(__file__).parent), journal=journal, path=self.path)
        host_environment = {**os.environ, "PYTHONPATH": str(ROOT / "bindings" / "python")}
        acknowledged = 0
        first = 1
        for turn in range(KILL_ROUNDS):
            size = os.stat(journal).st_size
            host = subprocess.Popen([sys.executable, "-c", program], env=host_environment, stderr=subprocess.PIPE)
            try:
                # Some rounds die in their first append, some after hundreds; the clock begins at the first one.
                deadline = time.monotonic() + 30
                while os.stat(journal).st_size == size and host.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.0005)
                time.sleep(source.choice((0, 0.001, 0.01, 0.1, 0.3)) * source.random())
                self.assertIsNone(host.poll(), "the host ended by itself")
            finally:
                host.send_signal(signal.SIGKILL)
                _, said = host.communicate()
            self.assertEqual(host.returncode, -signal.SIGKILL, said.decode())

            # A record may be cut short by the kill; only a whole line says something.
            records = Path(journal).read_bytes().rpartition(b"\n")[0].split(b"\n")
            told = int(records[-1] or 0)
            self.assertGreater(told, acknowledged, f"round {turn} acknowledged nothing")
            acknowledged = told

            with walrus.open(self.path) as log:
                where = f"round {turn}, seed {SEED}: {log.recovery_report()}"
                last = log.last_index
                self.assertEqual(log.first_index, first, where)
                self.assertGreaterEqual(last, acknowledged, f"acknowledged entries are missing, {where}")
                self.assertLessEqual(last, acknowledged + 4, f"more than one append was in flight, {where}")
                for entry in log.entries():
                    self.assertEqual(entry.data, payload(entry.index), where)
                    self.assertEqual(entry.checksum, zlib.crc32(entry.data), where)
                # A batch's entries carry its first index as their term.
                started = log.term(last)
                if started % 7 == 1:
                    self.assertEqual(last, started + 3, f"half a batch survived, {where}")
                if turn % 3 == 2 and last - first > 20:
                    first = first + (last - first) // 2
                    log.truncate_front(first)
