# test_operations.py - transactions, metadata, replaced suffixes, searches, segments, counts
#
# SPDX-License-Identifier: MIT
import copy
import gc
import math
import os
import pickle
import threading
import time
import unittest
import warnings
from unittest import mock

from support import LogTest, needs, payload, walrus


@needs("walrus_txn_begin")
class TransactionTests(LogTest):
    def test_it_commits_at_the_end_of_its_with_statement(self):
        log = self.open()
        with log.transaction() as txn:
            txn.append(b"a")
            txn.append(b"b", term=5, timestamp_ns=77)
            self.assertEqual((len(log), log.txn_count, txn.indexes), (0, 1, None))
            self.assertEqual(txn.state, walrus.TxnState.OPEN)
        self.assertEqual((txn.indexes, txn.state), (range(1, 3), walrus.TxnState.COMMITTED))
        self.assertEqual((log[:], log.term(2), log.durable_index, log.txn_count), ([b"a", b"b"], 5, 2, 0))

    def test_an_exception_rolls_it_back(self):
        log = self.open()
        for error in (KeyError("mine"), KeyboardInterrupt()):
            with self.assertRaises(type(error)):
                with log.transaction() as txn:
                    txn.append(b"a")
                    raise error
            self.assertEqual((len(log), log.txn_count), (0, 0))
            with self.assertRaises(walrus.TxnStateError):
                txn.append(b"b")
            with self.assertRaises(walrus.TxnStateError):
                txn.commit()
            with self.assertRaises(walrus.TxnStateError):
                txn.state
            txn.rollback()

    def test_it_may_be_ended_inside(self):
        log = self.open()
        with log.transaction() as txn:
            txn.append(b"a")
            self.assertEqual(txn.commit(sync="none"), range(1, 2))
            with self.assertRaises(walrus.TxnStateError):
                txn.append(b"b")
        with log.transaction() as txn:
            txn.append(b"c")
            txn.rollback()
        self.assertEqual(list(log), [b"a"])

    def test_a_commit_that_fails_leaves_it_open(self):
        log = self.open()
        log.append(b"1")
        txn = log.transaction()
        txn.append(b"a", index=3)
        with self.assertRaises(walrus.OutOfOrderError):
            txn.commit()
        log.append(b"2")
        self.assertEqual(txn.commit(), range(3, 4))
        with self.assertRaises(walrus.OutOfOrderError):
            with log.transaction() as other:
                other.append(b"b", index=9)
        self.assertEqual((len(log), log.txn_count), (3, 0))

    def test_limits(self):
        log = self.open(txn_max_entries=2, max_entry_size=10)
        with log.transaction() as txn:
            txn.append(b"a")
            with self.assertRaises(walrus.TooLargeError):
                txn.append(bytes(11))
            with self.assertRaises(TypeError):
                txn.append("text")
            txn.append(b"b")
            with self.assertRaises(walrus.TxnFullError):
                txn.append(b"c")
        self.assertEqual(list(log), [b"a", b"b"])

    def test_time_runs_out(self):
        log = self.open()
        forever, short = log.transaction(math.inf), log.transaction(0.001)
        time.sleep(0.05)
        with self.assertRaises(walrus.TxnExpiredError):
            short.append(b"late")
        self.assertEqual(short.state, walrus.TxnState.EXPIRED)
        with self.assertRaises(walrus.TxnExpiredError):
            short.commit()
        log.txn_expire()
        self.assertEqual(log.txn_expire(), 0)
        self.assertEqual(log.txn_count, 1)
        short.rollback()
        forever.append(b"in time")
        forever.commit()
        self.assertEqual(list(log), [b"in time"])

    def test_a_dropped_one_is_rolled_back(self):
        log = self.open()
        txn = log.transaction()
        txn.append(b"a")
        txn.itself = txn  # a cycle: the collector drops it
        self.assertEqual(log.txn_count, 1)
        del txn
        gc.collect()
        self.assertEqual((log.txn_count, len(log)), (0, 0))

    def test_ctrl_c_right_after_a_commit(self):
        """Catches a handle that C has freed, and that its finaliser frees again."""
        log = self.open()
        for _ in range(20):
            txn = log.transaction()
            txn.append(bytes(1000))
            with mock.patch("walrus._state.check", side_effect=KeyboardInterrupt):
                with self.assertRaises(KeyboardInterrupt):
                    txn.commit()
            with self.assertRaises(walrus.TxnStateError):
                txn.append(b"x")
            txn.rollback()
            del txn
        self.assertEqual((len(log), log.txn_count), (20, 0))

    def test_those_of_closed_logs_raise(self):
        log = self.open()
        txn, other = log.transaction(), log.transaction()
        log.shutdown()
        for _ in range(2):
            for call in (lambda: txn.append(b"x"), txn.commit, lambda: txn.state):
                with self.assertRaises(walrus.ClosedError):
                    call()
            log.close()
        with self.assertRaises(walrus.ClosedError):
            log.transaction()
        with self.assertRaises(walrus.ClosedError):
            with other:
                pass
        txn.rollback()
        other.rollback()

    def test_misuse_from_several_threads(self):
        """C wants one thread at a time: the binding sees to it."""
        log = self.open(txn_max_entries=100_000)
        for _ in range(5):
            txn = log.transaction()
            refused = []

            def work(txn=txn, refused=refused):
                try:
                    for _ in range(200):
                        txn.append(b"x")
                    txn.commit()
                except walrus.TxnStateError as error:
                    refused.append(error)

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(refused), 3)
            self.assertEqual(log.txn_count, 0)

    def test_they_are_neither_copied_nor_pickled(self):
        with self.open().transaction() as txn:
            for call in (copy.copy, copy.deepcopy, pickle.dumps):
                with self.assertRaises(TypeError):
                    call(txn)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_may_only_drop_it(self):
        log = self.open()
        txn = log.transaction()
        txn.append(b"the parent's")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            try:
                txn.commit()
            except walrus.ForkedError:
                txn.rollback()
                log.close()
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(txn.commit(), range(1, 2))


@needs("walrus_meta_set")
class MetadataTests(LogTest):
    def test_it_is_a_mapping(self):
        log = self.open()
        self.assertEqual((len(log.meta), dict(log.meta), "vote" in log.meta, log.meta.get("vote")), (0, {}, False, None))
        log.meta["vote"] = b"node-1"
        log.meta["term"] = bytearray(b"\0\1")
        log.meta["größe"] = b""
        log.meta[b"raw\xff"] = memoryview(b"abc")[1:]
        self.assertEqual(dict(log.meta), {"vote": b"node-1", "term": b"\0\1", "größe": b"", "raw\udcff": b"bc"})
        self.assertEqual(log.meta["raw\udcff"], b"bc")
        self.assertEqual(list(log.meta), sorted(log.meta, key=os.fsencode))
        self.assertEqual(log.meta.pop("vote"), b"node-1")
        self.assertEqual(log.meta.setdefault("vote", b"new"), b"new")
        with self.assertRaises(KeyError):
            log.meta["none"]
        with self.assertRaises(KeyError):
            del log.meta["none"]
        log.meta.clear()
        self.assertEqual(len(log.meta), 0)

    def test_it_is_durable_and_no_truncation_touches_it(self):
        log = self.open(sync="none")
        log.meta["vote"] = b"x" * 3000  # more than the first guess of a buffer
        log.append(b"1")
        log.reset(100)
        log.close()
        with walrus.open(self.path) as log:
            self.assertEqual(log.meta["vote"], b"x" * 3000)
        with walrus.open(self.path, read_only=True) as log:
            self.assertEqual(len(log.meta), 1)
            with self.assertRaises(walrus.ReadOnlyError):
                log.meta["vote"] = b""

    def test_staged_values_ride_on_the_next_append(self):
        log = self.open()
        log.meta.stage("applied", b"1")
        self.assertNotIn("applied", log.meta)
        log.append(b"x")
        self.assertEqual(log.meta["applied"], b"1")
        log.meta.stage("applied", b"2")
        log.sync()
        self.assertEqual(log.meta["applied"], b"2")

    def test_wrong_keys_and_values(self):
        log = self.open()
        for key in ("", b"", "a\0b", "k" * 256):
            with self.assertRaises(walrus.InvalidError):
                log.meta[key] = b"v"
        for key in (1, None, ("a",)):
            with self.assertRaises(TypeError):
                log.meta[key] = b"v"
        for value in ("text", 5, None):
            with self.assertRaises(TypeError):
                log.meta["key"] = value
        with self.assertRaises(walrus.TooLargeError):
            log.meta["key"] = bytes(1 << 16)
        self.assertEqual(len(log.meta), 0)
        meta = log.meta
        log.close()
        for call in (lambda: meta["a"], lambda: len(meta), lambda: list(meta), lambda: meta.stage("a", b"")):
            with self.assertRaises(walrus.ClosedError):
                call()


class StructureTests(LogTest):
    @needs("walrus_replace_suffix")
    def test_replace_suffix(self):
        log = self.filled(5)
        self.assertEqual(log.replace_suffix(3, [b"x", walrus.Record(b"y", term=4)]), range(3, 5))
        self.assertEqual((log[2:], log.term(4), log.durable_index), ([payload(2), b"x", b"y"], 4, 4))
        self.assertEqual(log.replace_suffix(2, []), range(2, 2))
        with self.assertRaises(walrus.NotFoundError):
            log.replace_suffix(4, [b"x"])
        with self.assertRaises(walrus.OutOfOrderError):
            log.replace_suffix(1, [walrus.Record(b"x", index=2)])
        self.assertEqual(list(log), [payload(1)])

    @needs("walrus_seek_time")
    def test_searches(self):
        log = self.open()
        log.append_batch(walrus.Record(b"", term=n // 10, timestamp_ns=n * 100 + 100) for n in range(100))
        self.assertEqual((log.last_index_of_term(3), log.seek_time(5000), log.seek_time(5001)), (40, 50, 51))
        for call in (lambda: log.last_index_of_term(10), lambda: log.seek_time((1 << 63) - 1)):
            with self.assertRaises(walrus.NotFoundError):
                call()
        with self.assertRaises(walrus.InvalidError):
            log.seek_time(1 << 63)

    @needs("walrus_segments")
    def test_segments(self):
        log = self.open(sync="os")
        log.append(b"1")
        log.rotate()
        log.append_record(b"2", timestamp_ns=1 << 61)
        sealed, tail = log.segments()
        self.assertEqual((sealed.first_index, sealed.last_index, sealed.is_tail), (1, 1, False))
        self.assertEqual((tail.first_index, tail.last_index, tail.is_tail), (2, 2, True))
        self.assertLess(sealed.id, tail.id)
        self.assertEqual(os.stat(os.path.join(self.path, tail.name)).st_size, tail.file_bytes)
        self.assertLessEqual(tail.bytes, tail.file_bytes)
        self.assertEqual(tail.highest_timestamp_ns, 1 << 61)

    @needs("walrus_stats")
    def test_stats(self):
        log = self.open()
        for _ in range(3):
            log.append(b"12345")
        counts = log.stats()
        self.assertEqual((counts.appends, counts.bytes_appended, counts.last_index, counts.is_poisoned), (3, 15, 3, False))
        self.assertEqual((len(counts.sync_histogram), sum(counts.sync_histogram)), (24, counts.syncs))
        self.assertGreaterEqual(counts.sync_ns, counts.sync_ns_max)
        text = log.stats_text()
        self.assertIn("\nwalrus_appends_total 3\n", text)


class ConvertTests(LogTest):
    def test_a_copy_in_another_format_can_be_stopped_and_goes_on(self):
        source, target = os.path.join(self.directory, "source"), os.path.join(self.directory, "target")
        with walrus.open(source, sync="none") as log:
            log.append_batch([b"entry %d" % i for i in range(5000)])
            log.meta["key"] = b"value"
        self.assertFalse(walrus.convert(source, target, progress=lambda done, total: done < total, format="json"))
        with self.assertRaises(ZeroDivisionError):
            walrus.convert(source, target, progress=lambda done, total: 1 // 0, format="json")
        self.assertTrue(walrus.convert(source, target, format="json"))
        with walrus.open(target, format="json") as copied:
            self.assertEqual((len(copied), copied[5000], copied.meta["key"]), (5000, b"entry 4999", b"value"))
        with self.assertRaises(walrus.FormatError):
            walrus.open(target, format="proto")
