# machine.py - calls in any order, on a log and on its model
#
# hypothesis chooses the calls and their arguments, and shrinks what fails to the shortest that does. A rule is one call, or the few that belong
# together; after each of them the bounds must be the model's, and now and then everything.
#
# SPDX-License-Identifier: MIT
import os
import shutil
import tempfile
import time
from typing import Any, Callable, List, Optional, Tuple

import walrus
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model import Entry, Model, Refusal

FORMATS = ("binary", "json", "proto")
COMPRESSIONS = ("none", "zlib")
KEYS = ("term", "vote", "snapshot/\u00e9")

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

# What a format may stumble over: nothing, text that is escaped, text that is no UTF-8, more than a segment takes.
payloads = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"", b'"\\\n\x00\x1f\x7f', b"\xff\xfe", "\u2028\u96e8".encode(), b"{}" * 3000, bytes(range(256)) * 20]),
)
terms = st.integers(0, 3) | st.sampled_from([(1 << 64) - 1])
stamps = st.sampled_from([0, 0, 1, 1000, 10**18, 2 * 10**18, -(10**18), (1 << 63) - 1, -(1 << 63)])
records = st.builds(walrus.Record, payloads, index=st.just(0), term=terms, timestamp_ns=stamps)
syncs = st.sampled_from([None, None, "always", "os", "none"])
# An index is chosen about the log's own: a fraction of it, and a few more or less.
places = st.tuples(st.integers(0, 8), st.integers(-2, 2))
settings_of_an_open = st.fixed_dictionaries(
    {
        "sync": st.sampled_from(["os", "always", "none", "interval"]),
        "segment_size": st.sampled_from([4096, 8192, 65536]),
        "buffer_size": st.sampled_from([4096, 65536]),
        "zero_copy": st.booleans(),
        "preallocate": st.booleans(),
        "cached_segments": st.sampled_from([1, 512]),
        "sync_padding": st.sampled_from([0, 0, 4096]),
    }
)


def indexes_of(segment: Any) -> range:
    return range(segment.first_index, segment.last_index + 1)


def expect(refusal: Refusal, call: Callable[[], Any]) -> Any:
    """Makes the call, which must raise that class and no other, or nothing."""
    try:
        result = call()
    except walrus.Error as error:
        assert refusal is not None and type(error) is refusal, f"{type(error).__name__}: {error}; not {refusal}"
        return None
    assert refusal is None, f"answered {result!r}, and should have raised {refusal}"
    return result


class LogMachine(RuleBasedStateMachine):
    """A log beside its model. Subclasses say in which format."""

    format = "binary"
    compression = "none"
    examples = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.directory = tempfile.mkdtemp(prefix="walrus-model-", dir=MEMORY)
        self.path = os.path.join(self.directory, "log")
        self.model = Model()
        self.log: Any = None
        self.follower: Any = None
        self.cursors: List[List[Any]] = []  # [cursor, the index before which it stands]
        self.transaction: Optional[Tuple[Any, List[walrus.Record]]] = None
        self.futures: List[Tuple[Any, int]] = []
        self.is_buffered = False  # something may be in memory alone, where no other handle sees it

    def teardown(self) -> None:
        for handle in (self.follower, self.log):
            if handle is not None:
                handle.close()
        shutil.rmtree(self.directory)

    # ---- Opening

    def open(self, settings: Any) -> None:
        self.settings = dict(settings)
        self.log = walrus.open(
            self.path, format=self.format, compression=self.compression, compression_min_size=0, **self.settings
        )
        self.is_buffered = False

    @initialize(settings=settings_of_an_open, sources=st.lists(records, max_size=12))
    def create(self, settings: Any, sources: List[walrus.Record]) -> None:
        self.open(settings)
        if sources:  # else it is one that never held an entry
            self.append_batch(sources, None)

    def close(self) -> None:
        for cursor, _ in self.cursors:
            cursor.close()
        self.cursors = []
        if self.transaction is not None:
            self.transaction[0].rollback()
            self.transaction = None
        self.log.close()
        for future, index in self.futures:
            assert future.result(0) == index
        self.futures = []
        self.model.staged = {}

    @rule(settings=settings_of_an_open)
    def reopen(self, settings: Any) -> None:
        self.close()
        self.open(settings)
        self.check_all(self.log)
        if not self.model.is_empty:
            assert self.log.durable_index == self.model.next - 1

    @rule(settings=settings_of_an_open)
    def killed_and_opened_again(self, settings: Any) -> None:
        """A copy of the directory of an open log is what a killed process leaves behind."""
        copy = os.path.join(self.directory, "copy")
        os.mkdir(copy)
        for name in os.listdir(self.path):
            try:
                shutil.copyfile(os.path.join(self.path, name), os.path.join(copy, name))
            except FileNotFoundError:
                pass  # the log's background removes what was dropped
        with walrus.open(copy, **settings) as log:
            if self.is_buffered:
                self.check_beginning(log)
            else:
                self.check_all(log)
        shutil.rmtree(copy)

    @rule(kind=st.sampled_from(["max_segments", "retention_bytes", "retention_age_ms"]), limit=st.integers(1, 4))
    def open_with_retention(self, kind: str, limit: int) -> None:
        held = self.log.segments()
        if held and not len(indexes_of(held[-1])):  # a last segment that was begun and is empty counts for nothing
            held.pop()
        settings, before = self.settings, self.log.first_index
        self.close()
        self.open({**settings, kind: limit * 4096 if kind == "retention_bytes" else limit})
        # Whole segments from the front, in the background, and never the last one that has entries.
        boundaries = [segment.first_index for segment in held]
        target = None
        if kind == "max_segments" and held:
            target = boundaries[max(0, len(held) - limit)]
        end = time.monotonic() + 5
        while target is not None and self.log.first_index != target and time.monotonic() < end:
            time.sleep(0.001)
        self.close()
        self.open(settings)
        first = self.log.first_index
        if target is not None:
            assert first == target, f"the first index is {first}, and {kind}={limit} should have made it {target}"
        assert first == before or first in boundaries
        if first:
            self.model.truncate_front(first)
        self.check_all(self.log)

    # ---- Appending

    def appended(self, index: int, sources: List[walrus.Record], wanted: int = 0, sync: Optional[str] = None) -> None:
        """The model's side. Times that the log gave are taken from it."""
        if wanted and not self.model.ever_held:
            for cursor in self.cursors:
                cursor[1] = wanted  # it waits for the first entry, whichever index that chose
        assert index == (wanted or self.model.next)
        entries = []
        for i, record in enumerate(sources):
            stamp = record.timestamp_ns or self.log.get(index + i).timestamp_ns
            entries.append(Entry(bytes(record.data), record.term, stamp))
        self.model.append(entries, wanted)
        policy = sync or {"none": "none", "interval": "os"}.get(self.settings["sync"], self.settings["sync"])
        if policy == "none" and sources:
            self.is_buffered = True
        elif sources:
            self.is_buffered = False

    @rule(data=payloads)
    def append(self, data: bytes) -> None:
        was_empty, term = self.model.is_empty, 0 if self.model.is_empty else self.model.entries[-1].term
        index = self.log.append(data)
        if was_empty and self.model.ever_held:  # whose term it then gets is left open
            term = self.log.term(index)
        self.appended(index, [walrus.Record(data, 0, term, 0)])

    @rule(record=records, sync=syncs, aim=st.sampled_from(["none", "next", "after", "before", "far", "beyond"]))
    def append_record(self, record: walrus.Record, sync: Optional[str], aim: str) -> None:
        after = self.model.next
        wanted = {"none": 0, "next": after, "after": after + 3, "before": max(after - 1, 1), "far": 1 << 40, "beyond": (1 << 63) + 1}[aim]
        refusal = self.model.appending_at(wanted)
        index = expect(
            refusal,
            lambda: self.log.append_record(
                record.data, index=wanted, term=record.term, timestamp_ns=record.timestamp_ns, sync=sync
            ),
        )
        if refusal is None:
            self.appended(index, [record], wanted, sync)

    @rule(sources=st.lists(records, max_size=12), sync=syncs)
    def append_batch(self, sources: List[walrus.Record], sync: Optional[str]) -> None:
        indexes = self.log.append_batch(sources, sync=sync)
        assert len(indexes) == len(sources)
        self.appended(indexes.start, sources, 0, sync)

    @rule(data=st.lists(payloads, max_size=5), term=terms, sync=syncs)
    def append_packed(self, data: List[bytes], term: int, sync: Optional[str]) -> None:
        indexes = self.log.append_packed(b"".join(data), map(len, data), term=term, sync=sync)
        self.appended(indexes.start, [walrus.Record(one, 0, term, 0) for one in data], 0, sync)

    @rule(record=records)
    def append_async(self, record: walrus.Record) -> None:
        future = self.log.append_async(record.data, term=record.term, timestamp_ns=record.timestamp_ns)
        self.appended(future.index, [record], 0, "none")
        self.futures.append((future, future.index))

    @precondition(lambda self: self.futures)
    @rule()
    def async_appends_complete(self) -> None:
        for future, index in self.futures:
            assert future.result(30) == index
        self.futures = []

    @rule(how=st.sampled_from(["sync", "wait"]))
    def make_durable(self, how: str) -> None:
        if how == "sync" or self.model.is_empty:
            self.log.sync()
            self.model.sync()
        else:
            self.log.wait_durable(self.model.next - 1, 30)
        assert self.model.is_empty or self.log.durable_index == self.model.next - 1
        self.is_buffered = False

    @rule(place=places)
    def wait_durable(self, place: Tuple[int, int]) -> None:
        """An entry that was dropped at the front counts as durable, as long as there are any entries behind it."""
        index = self.place(place)
        refusal = walrus.NotFoundError if index == 0 or index >= self.model.next or self.model.is_empty else None
        expect(refusal, lambda: self.log.wait_durable(index, 30))

    # ---- Transactions

    @precondition(lambda self: self.transaction is None)
    @rule()
    def begin(self) -> None:
        self.transaction = (self.log.transaction(), [])

    @precondition(lambda self: self.transaction is not None)
    @rule(record=records)
    def stage(self, record: walrus.Record) -> None:
        assert self.transaction is not None
        self.transaction[0].append(record.data, term=record.term, timestamp_ns=record.timestamp_ns)
        self.transaction[1].append(record)

    @precondition(lambda self: self.transaction is not None)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        assert self.transaction is not None
        transaction, staged = self.transaction
        self.transaction = None
        if commit:
            indexes = transaction.commit()
            assert len(indexes) == len(staged)
            self.appended(indexes.start, staged)
        else:
            transaction.rollback()

    # ---- Truncating

    def place(self, place: Tuple[int, int]) -> int:
        eighths, more = place
        return max(self.model.first + len(self.model.entries) * eighths // 8 + more, 0)

    def cut(self, at: int) -> None:
        for cursor in self.cursors:
            cursor[1] = min(cursor[1], at)

    @rule(place=places)
    def truncate(self, place: Tuple[int, int]) -> None:
        index = self.place(place)
        refusal = self.model.truncating(index)
        expect(refusal, lambda: self.log.truncate(index))
        if refusal is None:
            if index + 1 != self.model.next:
                self.cut(index + 1)
            self.model.truncate(index)

    @precondition(lambda self: len(self.model.entries) > 1)
    @rule(part=st.integers(1, 7), looks=st.booleans())
    def truncate_within(self, part: int, looks: bool) -> None:
        """With somebody who stands at the end."""
        cursor = [self.log.cursor(self.model.next), self.model.next]
        self.cursors = self.cursors[:2] + [cursor]
        self.truncate((part, -1))
        if looks:
            self.cursors_stand_where_they_should()

    @rule(place=places)
    def truncate_front(self, place: Tuple[int, int]) -> None:
        index = self.place(place)
        refusal = self.model.truncating_front(index)
        expect(refusal, lambda: self.log.truncate_front(index))
        if refusal is None:
            self.model.truncate_front(index)

    @precondition(lambda self: not self.model.ever_held or len(self.model.entries) > 8)
    @rule(index=st.sampled_from([1, 2, 50, 1 << 40, 1 << 62]))
    def reset(self, index: int) -> None:
        self.log.reset(index)
        self.model.reset(index)
        self.is_buffered = False
        for cursor in self.cursors:
            cursor[1] = index

    @rule(place=places, sources=st.lists(records, max_size=4))
    def replace_suffix(self, place: Tuple[int, int], sources: List[walrus.Record]) -> None:
        index = self.place(place)
        refusal = self.model.replacing(index)
        expect(refusal, lambda: self.log.replace_suffix(index, sources))
        if refusal is None:
            if index != self.model.next:
                self.cut(index)
            self.model.truncate(index - 1)
            self.appended(index, sources, 0, "always")

    @rule()
    def rotate(self) -> None:
        self.log.rotate()

    # ---- Metadata

    @rule(key=st.sampled_from(KEYS), value=st.binary(max_size=20) | st.just(b"v" * 9000))
    def set_value(self, key: str, value: bytes) -> None:
        self.log.meta[key] = value
        self.model.values[key] = value

    @rule(key=st.sampled_from(KEYS), value=st.binary(max_size=20))
    def stage_value(self, key: str, value: bytes) -> None:
        self.log.meta.stage(key, value)
        self.model.staged[key] = value

    @rule(key=st.sampled_from(KEYS))
    def delete_value(self, key: str) -> None:
        if key in self.model.values:
            del self.log.meta[key]
            del self.model.values[key]
        else:
            try:
                del self.log.meta[key]
                raise AssertionError(f"{key} is not there and was deleted")
            except KeyError:
                pass

    # ---- Cursors

    @precondition(lambda self: len(self.cursors) < 3)
    @rule(place=places, is_first=st.booleans())
    def open_cursor(self, place: Tuple[int, int], is_first: bool) -> None:
        index = 0 if is_first else self.place(place)
        cursor = expect(self.model.placing(index), lambda: self.log.cursor(index))
        if cursor is not None:
            self.cursors.append([cursor, index or self.model.first])

    @precondition(lambda self: self.cursors)
    @rule(which=st.integers(0, 2), place=places)
    def seek(self, which: int, place: Tuple[int, int]) -> None:
        cursor, index = self.cursors[which % len(self.cursors)], self.place(place)
        refusal = self.model.placing(index)
        expect(refusal, lambda: cursor[0].seek(index))
        if refusal is None:
            cursor[1] = index or self.model.first

    @precondition(lambda self: self.cursors)
    @rule(which=st.integers(0, 2), steps=st.integers(1, 4))
    def step(self, which: int, steps: int) -> None:
        cursor = self.cursors[which % len(self.cursors)]
        for _ in range(steps):
            refusal: Refusal = None
            if cursor[1] < self.model.first:
                refusal = walrus.CompactedError
            elif cursor[1] >= self.model.next:
                refusal = walrus.CaughtUpError
            entry = expect(refusal, cursor[0].next)
            if entry is not None:
                self.check_entry(entry, cursor[1])
                cursor[1] += 1
            assert cursor[0].position == cursor[1]

    @precondition(lambda self: self.cursors)
    @rule(which=st.integers(0, 2))
    def step_back(self, which: int) -> None:
        cursor = self.cursors[which % len(self.cursors)]
        if cursor[1] > self.model.first:
            self.check_entry(cursor[0].prev(), cursor[1] - 1)
            cursor[1] -= 1
        else:
            try:
                cursor[0].prev()
                raise AssertionError("there is nothing before the cursor, and it read it")
            except (walrus.NotFoundError, walrus.CompactedError):
                pass
        assert cursor[0].position == cursor[1]

    @precondition(lambda self: self.cursors)
    @rule()
    def cursors_stand_where_they_should(self) -> None:
        """No invariant: a cursor that is asked takes notice of a truncation before it reads."""
        for cursor, index in self.cursors:
            assert cursor.position == index, f"a cursor stands before {cursor.position}, not before {index}"

    # ---- Reading

    def check_entry(self, entry: Any, index: int) -> None:
        expected = self.model.entry(index)
        seen = Entry(bytes(entry), entry.term, entry.timestamp_ns)
        assert entry.index == index and seen == expected, f"at {index}: {seen}, not {expected}"

    @rule(place=places)
    def get(self, place: Tuple[int, int]) -> None:
        index = self.place(place)
        refusal = self.model.reading(index)
        entry = expect(refusal, lambda: self.log.get(index))
        if entry is not None:
            self.check_entry(entry, index)
        term = expect(refusal, lambda: self.log.term(index))
        assert term is None or term == self.model.entry(index).term

    @rule(start=places, stop=places, max_bytes=st.sampled_from([0, 100, 1 << 20]), max_count=st.integers(1, 9))
    def get_range(self, start: Tuple[int, int], stop: Tuple[int, int], max_bytes: int, max_count: int) -> None:
        first, last = self.place(start), self.place(stop)
        refusal = walrus.InvalidError if first > last else self.model.reading(first)
        found = expect(refusal, lambda: self.log.get_range(first, last, max_bytes=max_bytes, max_count=max_count))
        if found is None:
            return
        expected, size = [], 0
        for index in range(first, min(last + 1, self.model.next, first + max_count)):
            size += len(self.model.entry(index).data)
            if expected and size > max_bytes:
                break
            expected.append(index)
        assert [entry.index for entry in found] == expected
        for entry in found:
            self.check_entry(entry, entry.index)

    @rule(start=places, stop=places)
    def scan(self, start: Tuple[int, int], stop: Tuple[int, int]) -> None:
        first, last = self.place(start), self.place(stop)
        refusal = walrus.InvalidError if first > last else self.model.reading(first)
        seen: List[int] = []

        def visit(entry: Any) -> None:
            self.check_entry(entry, entry.index)
            seen.append(entry.index)

        if expect(refusal, lambda: self.log.scan(visit, first, last)) is not None:
            assert seen == list(range(first, min(last, self.model.next - 1) + 1))

    @rule(place=places, capacity=st.sampled_from([0, 50, 9000, 1 << 16]), count=st.integers(1, 5))
    def read_packed(self, place: Tuple[int, int], capacity: int, count: int) -> None:
        index = self.place(place)
        refusal = self.model.reading(index)
        if refusal is None and len(self.model.entry(index).data) > capacity:
            refusal = walrus.TooSmallError
        packed = expect(refusal, lambda: self.log.read_packed(index, count, capacity=capacity))
        if packed is not None:
            found = packed.payloads()
            assert 1 <= len(found) <= count
            assert found == [entry.data for entry in self.model.entries[index - self.model.first :][: len(found)]]

    @rule(term=terms)
    def last_index_of_term(self, term: int) -> None:
        expected = self.model.last_of_term(term)
        found = expect(walrus.NotFoundError if expected is None else None, lambda: self.log.last_index_of_term(term))
        assert found == expected, f"{found}, not {expected}"

    @rule(data=st.data())
    def seek_time(self, data: Any) -> None:
        times = [entry.time for entry in self.model.entries] + [0, 10**18]
        time = min(data.draw(st.sampled_from(times)) + data.draw(st.integers(-1, 1)), (1 << 63) - 1)
        time = max(time, -(1 << 63))
        expected = self.model.at_time(time)
        found = expect(walrus.NotFoundError if expected is None else None, lambda: self.log.seek_time(time))
        assert found == expected, f"{found}, not {expected}"

    # ---- What must be refused

    @rule(what=st.integers(0, 8))
    def misuse(self, what: int) -> None:
        log, invalid = self.log, walrus.InvalidError
        calls: List[Tuple[Refusal, Callable[[], Any]]] = [
            (invalid, lambda: log.reset(0)),
            (invalid, lambda: log.reset((1 << 63) + 1)),
            (invalid, lambda: log.scan(lambda entry: None, 2, 1)),
            (invalid, lambda: log.get_range(1, 1, max_count=0)),
            (invalid, lambda: log.read_packed(1, 0)),
            (invalid, lambda: log.append_packed(b"abc", [1, 1])),
            (walrus.TooLargeError, lambda: log.meta.stage("large", bytes(65536))),
            (walrus.NotFoundError, lambda: log.wait_durable(self.model.next, 0)),
            (walrus.LockedError, lambda: walrus.open(self.path)),
        ]
        expect(*calls[what])

    # ---- Everything

    def check_beginning(self, log: Any) -> None:
        """What is there is a beginning of what the model holds."""
        model = self.model
        assert log.next_index <= model.next
        for index in range(log.first_index or 1, log.last_index + 1):
            assert index >= model.first
            self.check_entry(log.get(index), index)

    def check_all(self, log: Any) -> None:
        model = self.model
        assert log.first_index == (0 if model.is_empty else model.first)
        assert log.next_index == model.next
        for index in range(model.first, model.next):
            self.check_entry(log.get(index), index)
        assert log.meta.snapshot() == model.values, f"{log.meta.snapshot()}, not {model.values}"
        covered = [index for segment in log.segments() for index in indexes_of(segment)]
        assert covered == list(range(model.first, model.next)), f"segments hold {covered}"

    @rule()
    def everything_is_as_it_should_be(self) -> None:
        self.check_all(self.log)

    @precondition(lambda self: not self.is_buffered)
    @rule(keeps=st.booleans())
    def follow(self, keeps: bool) -> None:
        """A reader beside the writer, opened now or long ago."""
        if self.follower is None:
            self.follower = walrus.open(self.path, read_only=True)
        self.check_all(self.follower)
        expect(walrus.ReadOnlyError, lambda: self.follower.append(b"no"))
        if not keeps:
            self.follower.close()
            self.follower = None

    @invariant()
    def bounds_are_the_models(self) -> None:
        if self.log is None:
            return
        type(self).steps += 1
        model = self.model
        assert self.log.first_index == (0 if model.is_empty else model.first)
        assert self.log.last_index == (0 if model.is_empty else model.next - 1)
        assert self.log.next_index == model.next
        assert self.log.durable_index < model.next
