# test_follow.py - cursors: by hand, in loops, in event loops, over a writer in another process
#
# SPDX-License-Identifier: MIT
import asyncio
import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
import unittest
import warnings
from unittest import mock

from support import LogTest, needs, payload, walrus


@needs("walrus_cursor_open")
class CursorTests(LogTest):
    def filled(self, count=10, **options):
        log = self.open(**{"sync": "os", "segment_size": "4KiB", **options})
        for index in range(1, count + 1):
            log.append(payload(index))
        return log

    def test_both_ways(self):
        log = self.filled(5)
        cursor = log.cursor()
        self.assertEqual([cursor.next().index for _ in range(3)], [1, 2, 3])
        self.assertEqual([bytes(cursor.prev()) for _ in range(2)], [payload(3), payload(2)])
        self.assertEqual(cursor.position, 2)
        cursor.seek(5)
        self.assertEqual(cursor.next().data, payload(5))
        with self.assertRaises(walrus.CaughtUpError):
            cursor.next()
        with self.assertRaises(walrus.NotFoundError):
            cursor.seek(7)
        self.assertEqual(cursor.position, 6)

    def test_a_loop_ends_at_the_end_and_can_be_taken_up_again(self):
        log = self.filled(3)
        cursor = log.cursor(2)
        self.assertEqual([entry.index for entry in cursor], [2, 3])
        self.assertEqual(list(cursor), [])
        log.append(b"4")
        self.assertEqual([bytes(entry) for entry in cursor], [b"4"])

    def test_follow_waits_for_more(self):
        log = self.filled(2)
        seen = []

        def read():
            with log.cursor() as cursor:
                for entry in cursor.follow():
                    seen.append((entry.index, bytes(entry)))
                    if entry.index == 40:
                        return

        thread = threading.Thread(target=read)
        thread.start()
        for index in range(3, 41):
            if index % 10 == 0:
                time.sleep(0.02)
            log.append(payload(index))
        thread.join(30)
        self.assertFalse(thread.is_alive())
        self.assertEqual(seen, [(n, payload(n)) for n in range(1, 41)])

    def test_follow_ends_after_its_timeout(self):
        log = self.filled(3)
        began = time.monotonic()
        self.assertEqual([entry.index for entry in log.cursor().follow(0.15)], [1, 2, 3])
        self.assertGreaterEqual(time.monotonic() - began, 0.14)
        self.assertEqual([entry.index for entry in log.cursor().follow(0)], [1, 2, 3])

    def test_only_what_is_durable(self):
        log = self.open(sync="none")
        log.append(b"1")
        log.sync()
        log.append(b"2")
        cursor = log.cursor(durable_only=True)
        self.assertEqual([bytes(entry) for entry in cursor], [b"1"])
        log.sync()
        self.assertEqual([bytes(entry) for entry in cursor], [b"2"])

    def test_entries_outlive_cursor_and_log(self):
        log = self.filled(30)
        cursor = log.cursor()
        entries = list(cursor)
        cursor.close()
        log.truncate(1)
        log.close()
        self.assertEqual([bytes(entry) for entry in entries], [payload(n) for n in range(1, 31)])

    def test_closed_cursors_and_those_of_closed_logs_raise(self):
        log = self.filled(3)
        cursor, other = log.cursor(), log.cursor()
        calls = lambda c: [c.next, c.prev, lambda: c.seek(1), lambda: c.wait(0), lambda: list(c),
                           lambda: list(c.follow())]  # fmt: skip # noqa: E731
        cursor.close()
        cursor.close()
        self.assertTrue(cursor.closed)
        self.assertFalse(other.closed)
        for call in [*calls(cursor), lambda: cursor.position]:
            with self.assertRaises(walrus.ClosedError):
                call()
        following = other.follow()
        next(following)
        log.shutdown()
        for call in calls(other):
            with self.assertRaises(walrus.ClosedError):
                call()
        with self.assertRaises(walrus.ClosedError):
            next(following)
        self.assertEqual(other.position, 2, "where to go on after a restart")
        log.close()
        for call in calls(other):
            with self.assertRaises(walrus.ClosedError):
                call()
        self.assertIn("closed", repr(other))
        with self.assertRaises(walrus.ClosedError):
            log.cursor()

    def test_they_are_freed_in_any_order(self):
        """Each would free twice, or read freed memory, if ownership were wrong."""
        for order in range(6):
            log = walrus.open(self.path)
            log.append(b"x")
            first, second = log.cursor(), log.cursor()
            entry = first.next()
            steps = [log.close, first.close, second.close]
            for step in (0, 1, 2) if order == 0 else (1, 2, 0) if order == 1 else (2, 0, 1):
                steps[step]()
            self.assertEqual(bytes(entry), b"x")
            del first, second, log, steps
            gc.collect()
        log = walrus.open(self.path)
        cursor = log.cursor()
        cursor.itself = cursor  # a cycle: the collector frees it
        del cursor
        gc.collect()
        log.close()

    def test_a_cursor_of_several_threads(self):
        """C wants one thread at a time: the binding sees to it, and each entry is read once."""
        log = self.filled(300)
        cursor = log.cursor()
        seen = []

        def read():
            for entry in cursor:
                seen.append(entry.index)

        threads = [threading.Thread(target=read) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(seen), list(range(1, 301)))

    def test_closing_under_a_reader(self):
        for _ in range(10):
            log = walrus.open(self.path, sync="os")
            log.append(b"x")
            cursor = log.cursor()
            ends = []

            def read(cursor=cursor, ends=ends):
                while True:
                    try:
                        cursor.seek(0)
                        cursor.next()
                    except walrus.CaughtUpError:  # another thread stepped over the only entry in between
                        pass
                    except walrus.ClosedError as error:
                        ends.append(error)
                        return

            threads = [threading.Thread(target=read) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.005)
            (cursor if _ % 2 else log).close()
            for thread in threads:
                thread.join(20)
            self.assertEqual(len(ends), 3)
            log.close()

    def test_they_are_neither_copied_nor_pickled(self):
        cursor = self.open().cursor()
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            with self.assertRaises(TypeError):
                call(cursor)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_may_only_drop_it(self):
        log = self.filled(2)
        cursor = log.cursor()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            try:
                cursor.next()
            except walrus.ForkedError:
                cursor.close()
                log.close()
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(cursor.next().index, 1)


WRITER = """
import sys, time
import walrus
with walrus.open({path!r}, sync="os", segment_size="4KiB") as log:
    for line in sys.stdin:
        for _ in range(int(line)):
            log.append(b"entry %d" % log.next_index)
        print(log.last_index, flush=True)
"""


@needs("walrus_notify_fd")
@needs("walrus_cursor_open")
class EventLoopTests(LogTest):
    def setUp(self):
        super().setUp()
        # What is not told would be found at the next look. Here it must be told.
        patched = mock.patch("walrus._cursor.RECHECK_SECONDS", 600)
        patched.start()
        self.addCleanup(patched.stop)

    def follow(self, log, count, entries, **options):
        async def read():
            with log.cursor(**options) as cursor:
                async for entry in cursor:
                    entries.append(bytes(entry))
                    if len(entries) == count:
                        return

        return read()

    def test_several_cursors_follow_a_writer_on_another_thread(self):
        """sync="none" moves no durable index: appends that are visible only have to be heard of as well."""
        for sync in ("always", "os", "none"):
            log = walrus.open(os.path.join(self.directory, sync), sync=sync)
            self.addCleanup(log.close)
            seen = [[], [], []]

            def write(log=log):
                for index in range(1, 101):
                    log.append(b"%d" % index)
                    if index % 25 == 0:
                        time.sleep(0.02)

            async def main(log=log, seen=seen, write=write):
                loop = asyncio.get_running_loop()
                readers = [self.follow(log, 100, entries) for entries in seen]
                await asyncio.wait_for(asyncio.gather(loop.run_in_executor(None, write), *readers), 30)

            asyncio.run(main())
            self.assertEqual(seen, [[b"%d" % n for n in range(1, 101)]] * 3, sync)

    def test_durable_only(self):
        log = self.open(sync="none")
        seen = []

        async def main():
            reader = asyncio.ensure_future(self.follow(log, 2, seen, durable_only=True))
            log.append(b"1")
            await asyncio.sleep(0.05)
            self.assertEqual(seen, [])
            log.sync()
            await asyncio.sleep(0)
            log.append_async(b"2")
            await asyncio.wait_for(reader, 30)

        asyncio.run(main())
        self.assertEqual(seen, [b"1", b"2"])

    def test_two_loops_in_two_threads(self):
        """Catches one loop clearing the descriptor that the other one waits for. Of a sync nothing else tells."""
        log = self.open(sync="none")
        seen = [[], []]
        run = lambda entries: asyncio.run(  # noqa: E731
            asyncio.wait_for(self.follow(log, 30, entries, durable_only=True), 30)
        )
        threads = [threading.Thread(target=run, args=(entries,)) for entries in seen]
        for thread in threads:
            thread.start()
        for count in range(30):
            deadline = time.monotonic() + 10
            while log._state.watch is None or len(log._state.watch.waiters) < 2 or min(map(len, seen)) < count:
                self.assertLess(time.monotonic(), deadline, f"{[len(entries) for entries in seen]} of {count} were seen")
                time.sleep(0.001)
            log.append(b"%d" % count)
            log.sync()
        for thread in threads:
            thread.join(40)
        self.assertEqual(seen, [[b"%d" % n for n in range(30)]] * 2)

    def test_what_comes_while_a_loop_begins_to_watch_is_seen(self):
        """Catches a cursor that looks, finds nothing, and then waits for what came in between."""
        log = self.open(sync="none")
        register = walrus._async.Watch.register

        def append_and_register(watch):
            log._call(walrus._ffi.library.walrus_append, b"x", 1, None)  # told to nobody
            return register(watch)

        async def main():
            with mock.patch.object(walrus._async.Watch, "register", append_and_register):
                await asyncio.wait_for(self.follow(log, 1, []), 10)

        asyncio.run(main())

    def test_a_read_only_log_follows_another_process(self):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER.format(path=self.path)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True,
        )  # fmt: skip

        def write(count):
            writer.stdin.write(f"{count}\n")
            writer.stdin.flush()
            return int(writer.stdout.readline())

        try:
            write(3)
            seen = []
            with walrus.open(self.path, read_only=True) as log:

                async def main():
                    loop = asyncio.get_running_loop()
                    reader = asyncio.ensure_future(self.follow(log, 603, seen))
                    for count in (1, 99, 500):
                        await loop.run_in_executor(None, write, count)
                        await asyncio.sleep(0.02)
                    await asyncio.wait_for(reader, 30)

                asyncio.run(main())
            self.assertEqual(seen, [b"entry %d" % n for n in range(1, 604)])
        finally:
            writer.communicate(timeout=30)
        self.assertEqual(writer.returncode, 0)

    def test_close_and_shutdown_end_it(self):
        for end in ("close", "shutdown"):
            log = walrus.open(self.path)

            async def main(log=log, end=end):
                reader = asyncio.ensure_future(self.follow(log, 1000, []))
                await asyncio.sleep(0.02)
                await asyncio.get_running_loop().run_in_executor(None, getattr(log, end))
                with self.assertRaises(walrus.ClosedError):
                    await asyncio.wait_for(reader, 30)

            asyncio.run(main())
            log.close()

    def test_canceling_it_leaves_nothing_behind(self):
        log = self.open()

        async def main():
            reader = asyncio.ensure_future(self.follow(log, 1000, []))
            await asyncio.sleep(0.02)
            reader.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await reader
            self.assertEqual(log._state.watch.waiters, {})

        asyncio.run(main())
        asyncio.run(main())  # another loop
        log.append(b"x")
