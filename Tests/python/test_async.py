# test_async.py - the fast lane, asynchronous appends, waiting
#
# SPDX-License-Identifier: MIT
import array
import asyncio
import concurrent.futures
import ctypes
import gc
import os
import select
import signal
import threading
import time
import unittest
import warnings
from unittest import mock

from support import LogTest, needs, payload, walrus


class PackedTests(LogTest):
    def test_all_kinds_of_buffers_and_sizes(self):
        log = self.open()
        parts = [b"one", b"", b"three"]
        joined, lengths = b"".join(parts), [3, 0, 5]
        buffers = [joined, bytearray(joined), memoryview(joined), memoryview(bytearray(b"?" + joined))[1:],
                   array.array("b", joined), memoryview(b"".join(bytes([b, 0]) for b in joined))[::2]]  # fmt: skip
        sizes = [lengths, tuple(lengths), iter(lengths), array.array("I", lengths), array.array("Q", lengths),
                 memoryview(array.array("I", lengths)), (ctypes.c_uint32 * 3)(*lengths)]  # fmt: skip
        for number, buffer in enumerate(buffers * len(sizes)):
            kind = sizes[number % len(sizes)]
            kind = iter(lengths) if number % len(sizes) == 2 else kind
            indexes = log.append_packed(buffer, kind, term=4)
            self.assertEqual(log[indexes.start : indexes.stop], parts)
            self.assertEqual(log.term(indexes[-1]), 4)
        self.assertEqual(log.append_packed(b"", []), range(log.next_index, log.next_index))

    def test_sizes_that_do_not_add_up_never_reach_c(self):
        """Catches C reading past the end of a Python buffer."""
        log = self.open()
        for data, sizes in ((b"abc", [4]), (b"abc", [2]), (b"abc", []), (b"", [1]), (b"a" * 10, [1 << 32]), (b"a", [-1])):
            with self.assertRaises(walrus.InvalidError):
                log.append_packed(data, sizes)
        for data, sizes in (("text", [4]), (b"abc", ["3"]), (b"abc", [3.0]), (b"abc", 3)):
            with self.assertRaises(TypeError):
                log.append_packed(data, sizes)
        self.assertEqual(log.next_index, 1)

    def test_sizes_that_another_thread_changes_meanwhile(self):
        """Catches C trusting an array that it shares with Python."""
        log = self.open(sync="none", segment_size="1MiB")
        sizes = array.array("I", [10] * 1000)
        stop = threading.Event()

        def change():
            while not stop.is_set():
                sizes[500] = 0xFFFFFFFF
                sizes[500] = 10

        thread = threading.Thread(target=change)
        thread.start()
        appended = 0
        try:
            for _ in range(300):
                try:
                    appended += len(log.append_packed(b"x" * 10000, sizes))
                except walrus.InvalidError:
                    pass
        finally:
            stop.set()
            thread.join()
        self.assertEqual(len(log), appended)
        self.assertEqual(set(log), {b"x" * 10} if appended else set())

    def test_reading_into_a_buffer_of_ones_own(self):
        log = self.filled(100)
        buffer = bytearray(100_000)
        read = log.read_packed(11, 20, buffer=buffer)
        self.assertEqual((len(read), read.first, read.indexes), (20, 11, range(11, 31)))
        self.assertEqual(list(read), [payload(n) for n in range(11, 31)])
        self.assertEqual((read[0], read[-1], read[2:4]), (payload(11), payload(30), [payload(13), payload(14)]))
        self.assertEqual(read.data[: read.sizes[0]], payload(11))
        self.assertIn(payload(12), read)
        with self.assertRaises(IndexError):
            read[20]
        self.assertEqual(list(log.read_packed(99)), [payload(99), payload(100)])
        with self.assertRaises(walrus.TooSmallError) as caught:
            log.read_packed(7, capacity=3)
        self.assertEqual(caught.exception.size, len(payload(7)))
        with self.assertRaises(walrus.InvalidError):
            log.read_packed(7, 0)
        with self.assertRaises((TypeError, BufferError)):
            log.read_packed(7, buffer=b"not writable" * 1000)
        with self.assertRaises(walrus.NotFoundError):
            log.read_packed(101)

    @unittest.skipIf("WALRUS_PRELOAD" in os.environ, "a sanitizer makes everything slow")
    def test_it_is_fast(self):
        """Not a benchmark: catches a lane that makes an object for each entry, which costs ten times as much."""
        log = self.open(sync="none", preallocate=False)
        count = 100_000
        data, sizes = b"x" * 20 * count, array.array("I", [20]) * count
        best = min(self.seconds(lambda: log.append_packed(data, sizes)) for _ in range(5)) / count
        self.assertLess(best, 1e-6)

    @staticmethod
    def seconds(work):
        began = time.perf_counter()
        work()
        return time.perf_counter() - began


@needs("walrus_append_async")
class AsyncAppendTests(LogTest):
    def test_futures(self):
        log = self.open(sync="none")
        futures = [log.append_async(payload(n), term=n) for n in range(1, 201)]
        self.assertEqual([future.index for future in futures], list(range(1, 201)))
        self.assertEqual([future.result(30) for future in futures], list(range(1, 201)))
        self.assertEqual(log.durable_index, 200)
        self.assertEqual(log[:], [payload(n) for n in range(1, 201)])
        self.assertEqual(log.term(77), 77)
        self.assertIsInstance(futures[0], concurrent.futures.Future)
        self.assertFalse(futures[0].cancel())
        self.assertFalse(log.append_async(b"x").cancel(), "an append that is in the log was cancelled")

    def test_callbacks_come_in_order_on_one_thread(self):
        log = self.open()
        told = []
        done = threading.Event()

        def callback(index, error):
            told.append((index, error, threading.get_ident()))
            if len(told) == 400:
                done.set()

        def work():
            for _ in range(100):
                log.append_async(b"x" * 10, callback=callback)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(done.wait(30))
        self.assertEqual([index for index, _, _ in told], list(range(1, 401)))
        self.assertEqual({error for _, error, _ in told}, {None})
        self.assertEqual(len({thread for _, _, thread in told}), 1)

    def test_a_callback_may_append_again(self):
        log = self.open()
        done = threading.Event()

        def callback(index, error):
            if index == 20:
                done.set()
            else:
                log.append_async(b"next", callback=callback)

        log.append_async(b"first", callback=callback)
        self.assertTrue(done.wait(30))
        self.assertEqual(len(log), 20)

    def test_what_a_callback_raises_is_reported_and_the_next_one_is_called(self):
        log = self.open()
        seen = []
        done = threading.Event()

        def callback(index, error):
            if index == 2:
                done.set()
            raise KeyError(f"mine {index}")

        with mock.patch("threading.excepthook", lambda args: seen.append((args.exc_type, str(args.exc_value)))):
            log.append_async(b"1", callback=callback)
            log.append_async(b"2", callback=callback)
            self.assertTrue(done.wait(30))
            log.close()
        self.assertEqual(seen, [(KeyError, "'mine 1'"), (KeyError, "'mine 2'")])

    def test_a_refused_append_has_no_future(self):
        log = self.open(max_entry_size=10)
        with self.assertRaises(walrus.TooLargeError):
            log.append_async(bytes(11))
        with self.assertRaises(walrus.OutOfOrderError):
            log.append_async(b"1", index=1) and log.append_async(b"3", index=3)
        with self.assertRaises(TypeError):
            log.append_async("text")
        self.assertEqual(log.last_index, 1)

    def test_close_waits_for_what_is_outstanding(self):
        log = self.open(sync="none")
        futures = [log.append_async(bytes(10_000)) for _ in range(50)]
        log.close()
        self.assertEqual([future.result(0) for future in futures], list(range(1, 51)))
        with self.assertRaises(walrus.ClosedError):
            log.append_async(b"late")
        self.assertNotIn("walrus-completions", [thread.name for thread in threading.enumerate()])

    def test_ctrl_c_while_close_waits_leaves_the_log_open(self):
        log = self.open(sync="none")
        log.append_async(b"1").result(30)
        with mock.patch.object(threading.Thread, "join", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                log.close()
        self.assertFalse(log.closed)
        for index in range(2, 50):
            self.assertEqual(log.append_async(b"goes on").result(30), index)
        log.close()
        self.assertTrue(log.closed)

    def test_shutdown_completes_them_one_way_or_the_other(self):
        log = self.open(sync="none")
        futures = [log.append_async(bytes(100_000)) for _ in range(30)]
        log.shutdown()
        for future in futures:
            self.assertIsInstance(future.exception(30), (walrus.ClosedError, type(None)))
        log.close()
        with walrus.open(self.path) as log:
            self.assertEqual(len(log), 30)

    def test_a_truncation_completes_what_it_drops(self):
        log = self.open(sync="none")
        futures = [log.append_async(bytes(50_000)) for _ in range(40)]
        log.truncate(5)
        again = [log.append_async(b"again") for _ in range(3)]
        self.assertEqual([future.result(30) for future in futures + again], list(range(1, 41)) + [6, 7, 8])

    def test_a_callback_may_not_close_the_log(self):
        log = self.open()
        outcome = []
        done = threading.Event()

        def callback(index, error):
            try:
                log.close()
            except walrus.BusyError as busy:
                outcome.append(busy)
            done.set()

        log.append_async(b"x", callback=callback)
        self.assertTrue(done.wait(30))
        self.assertEqual(len(outcome), 1)

    def test_a_log_that_its_own_callback_drops(self):
        """Catches a thread that waits for itself."""
        log = walrus.open(self.path)
        log.append(b"1")
        done = threading.Event()
        held = [log]
        del log

        def callback(index, error):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                held.clear()
                gc.collect()
            done.set()

        held[0].append_async(b"2", callback=callback)
        self.assertTrue(done.wait(30))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with walrus.open(self.path) as log:
                    self.assertEqual(log[:], [b"1", b"2"])
                return
            except walrus.LockedError:
                time.sleep(0.01)
        self.fail("the log stayed open")

    def test_awaiting_an_append(self):
        async def main():
            with walrus.open(self.path, sync="none") as log:
                first = await log.append_async(b"one")
                rest = await asyncio.gather(*(log.append_async(b"%d" % n) for n in range(50)))
                return first, rest, log.durable_index

        self.assertEqual(asyncio.run(main()), (1, list(range(2, 52)), 51))

    def test_the_interpreter_ends_with_appends_outstanding(self):
        self.run_python(f"""
            import walrus
            log = walrus.open({self.path!r}, sync="none")
            for n in range(300): log.append_async(b"kept" * 500, callback=lambda index, error: None)
        """)
        with walrus.open(self.path) as log:
            self.assertEqual((len(log), log.recovery_report().reason), (300, walrus.Recovery.CLEAN))

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_has_no_completions(self):
        log = self.open(sync="none")
        log.append_async(b"1").result(30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            try:
                log.append_async(b"2")
            except walrus.ForkedError:
                log.close()
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(log.append_async(b"2").result(30), 2)


@needs("walrus_wait_durable")
class WaitTests(LogTest):
    def test_wait_durable(self):
        log = self.open(sync="none")
        log.append(b"1")
        with self.assertRaises(walrus.TimeoutError) as caught:
            log.wait_durable(1, 0)
        self.assertIsInstance(caught.exception, TimeoutError)
        self.assertEqual((caught.exception.code, caught.exception.errno), (-21, 0))
        self.assertTrue(str(caught.exception))
        log.wait_durable(1)
        self.assertEqual(log.durable_index, 1)
        log.wait_durable(1, 0)
        with self.assertRaises(walrus.NotFoundError):
            log.wait_durable(2, 1)

    def waiting(self, work):
        """Runs work, which waits, on a thread; returns what ends it and how."""
        outcome = []

        def run():
            try:
                work()
                outcome.append(None)
            except walrus.Error as error:
                outcome.append(type(error))

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.25)  # some short waits have gone by, and it is in the middle of the next one
        self.assertTrue(thread.is_alive(), outcome)
        return thread, outcome

    @needs("walrus_cursor_wait")
    def test_interrupt_shutdown_and_close_end_waits(self):
        for end, expected in (("interrupt", walrus.CanceledError), ("shutdown", walrus.ClosedError),
                              ("close", walrus.ClosedError)):  # fmt: skip
            log = walrus.open(self.path)
            cursor = log.cursor(log.next_index)
            thread, outcome = self.waiting(cursor.wait)
            getattr(log, end)()
            thread.join(10)
            self.assertFalse(thread.is_alive(), end)
            self.assertEqual(outcome, [expected], end)
            log.close()

    @needs("walrus_cursor_wait")
    def test_ctrl_c_ends_a_long_wait(self):
        """Catches a wait that stays in C, where Python hears no signal."""
        log = self.open()
        cursor = log.cursor()
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            cursor.wait(60)
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(log.append(b"goes on"), 1)
        self.assertEqual(bytes(cursor.next()), b"goes on")

    @needs("walrus_notify_fd")
    def test_the_descriptor(self):
        log = self.open()
        fd = log.notify_fd()
        self.assertEqual(log.notify_fd(), fd)
        self.assertEqual(select.select([fd], [], [], 0)[0], [])
        log.append(b"1")
        self.assertEqual(select.select([fd], [], [], 10)[0], [fd])
        self.assertEqual(len(os.read(fd, 8)), 8)
        with self.assertRaises(BlockingIOError):
            os.read(fd, 8)
