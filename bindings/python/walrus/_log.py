# _log.py - an open log
#
# SPDX-License-Identifier: MIT
import ctypes
import operator
import os
import weakref
from ctypes import byref, c_int, c_size_t, c_uint32, c_uint64
from threading import get_ident
from typing import Any, Callable, Iterable, Iterator, List, Optional, Union, cast, overload

from ._async import AppendFuture, Callback
from ._cursor import Cursor
from ._entry import Entry, Packed, Record, copy_of, fill, lent_view, records_array
from ._errors import BusyError, ClosedError, InvalidError, TooSmallError
from ._ffi import (
    BytesLike,
    CEntry,
    CRecord,
    CRecoveryReport,
    CStats,
    Done,
    SegmentVisit,
    Visit,
    as_bytes,
    as_flags,
    as_index,
    as_number,
    as_sizes,
    as_stamp,
    as_text,
    check,
    library,
    readable,
    writable,
)
from ._meta import Metadata
from ._options import LogLevel, Options, Setting, logger_callback, logging_threads
from ._reports import RecoveryReport, Segment, Stats, recovery_report, segment, stats
from ._state import State, close_abandoned
from ._transaction import Transaction


class Log:
    """An open log; walrus.open makes one. Any number of threads may use it at once.

    Besides what each method names, all of them raise ClosedError after close() or shutdown(), and ForkedError
    in a forked child. A function that runs inside a scan may call any method but close; a logger, none.
    """

    def __init__(
        self,
        path: Union[str, bytes, "os.PathLike[str]"],
        *,
        logger: Optional[Callable[[int, str], object]] = None,
        log_level: int = LogLevel.WARN,
        **options: Setting,
    ) -> None:
        directory = as_text(os.fspath(path), "path")
        state = State(os.fsdecode(directory), logger_callback(logger) if logger else None)
        with Options(options) as settings:
            if state.logger:
                check(library.walrus_options_set_logger(settings.handle, state.logger, None, log_level))
            try:
                check(library.walrus_open(directory, settings.handle, byref(state.handle)))
            except BaseException:  # a Ctrl-C that is raised as soon as C is back: the log would stay locked
                library.walrus_close(state.handle)
                raise
        self._state = state
        self._finalizer = weakref.finalize(self, close_abandoned, state)

    def _call(self, function: Any, *arguments: Any) -> int:
        return self._state.call(function, *arguments)

    def _append(self, function: Any, *arguments: Any) -> None:
        self._state.call(function, *arguments)
        self._state.appended()

    # ---- Open and close

    @property
    def path(self) -> str:
        """The log's directory, as it was given to open."""
        return self._state.path

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._state.closing

    def close(self) -> None:
        """Waits for calls in flight, makes durable what is not yet, and ends the use of the log.

        Entries and their views stay valid. Calling it again does nothing.
        Raises IoError, NoSpaceError or PoisonedError: what was not durable may be lost, and the log is closed
        all the same; BusyError from inside a scan or a logger.
        """
        me = get_ident()
        if me in self._state.active or me in logging_threads or self._state.completer.is_current():
            raise BusyError(f"log {self.path!r} cannot be closed from inside its own callback: return from it first")
        self._state.close()
        self._finalizer.detach()

    def shutdown(self) -> None:
        """Makes every later call, and every one that waits, raise ClosedError; close() is still to come.

        It may be called beside any other call, and from inside a scan.
        """
        self._call(library.walrus_shutdown)
        self._state.shut_down = True
        self._state.appended()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<walrus.Log {self.path!r}{', closed' if self.closed else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a log can be neither copied nor pickled: open it where it is needed")

    def recovery_report(self) -> RecoveryReport:
        """What open found and did."""
        report = CRecoveryReport(struct_size=ctypes.sizeof(CRecoveryReport))
        self._call(library.walrus_recovery_report, byref(report))
        return recovery_report(report)

    # ---- Append

    def append(self, data: BytesLike) -> int:
        """Appends data as the next entry, with the previous entry's term and the time now; returns its index.

        With sync="always" it is durable on return.
        Raises TooLargeError, NoSpaceError, NoMemoryError, ReadOnlyError: it is certainly not in the log;
        IoError, PoisonedError: whether it is shows at the next open; CanceledError (interrupt): it is, and is not
        known to be durable.
        """
        payload = as_bytes(data)
        index = c_uint64()
        self._append(library.walrus_append, payload, len(payload), byref(index))
        return index.value

    def append_record(
        self, data: BytesLike, *, index: int = 0, term: int = 0, timestamp_ns: int = 0, sync: Optional[str] = None
    ) -> int:
        """Appends data with its own index, term and time, stored as given; returns its index.

        index and timestamp_ns may be 0: the next one, and now. sync "always", "os" or "none" replaces the
        log's option for this call. Raises what append does, and OutOfOrderError.
        """
        record = CRecord()
        fill(record, Record(data, index, term, timestamp_ns))
        result = c_uint64()
        self._append(library.walrus_append_record, byref(record), as_flags(sync), byref(result))
        return result.value

    def append_batch(self, records: Iterable[Union[Record, BytesLike]], *, sync: Optional[str] = None) -> range:
        """Appends all records, or after a crash none of them; returns their indexes.

        A record is a Record or bytes, which then get the term 0 and the time now. A list of bytes alone takes the
        fast lane of append_packed. Raises what append_record does; nothing of the batch is in the log then.
        """
        sources = list(records)
        first = c_uint64()
        if set(map(type, sources)) == {bytes}:
            payloads = cast(List[bytes], sources)
            return self.append_packed(b"".join(payloads), map(len, payloads), sync=sync)
        array = records_array(sources)
        self._append(library.walrus_append_batch, array, len(sources), as_flags(sync), byref(first))
        return range(first.value, first.value + len(sources))

    def append_packed(
        self, data: BytesLike, sizes: Iterable[int], *, term: int = 0, sync: Optional[str] = None
    ) -> range:
        """Appends entries that lie one behind the other in data, as one batch; returns their indexes.

        sizes are their lengths: an array.array("I") or a buffer of such numbers is quickest. data is not copied on
        its way to C where it is bytes or a writable buffer. Raises what append_batch does, and InvalidError (the
        sizes do not add up to the bytes).
        """
        lengths = as_sizes(sizes)
        source, size = readable(data)
        if sum(lengths) != size:
            raise InvalidError(f"the sizes add up to {sum(lengths)} bytes, and the data has {size}")
        first = c_uint64()
        self._append(
            library.walrus_append_packed, source, lengths.buffer_info()[0], len(lengths), as_number(term, "term"),
            as_flags(sync), byref(first),
        )  # fmt: skip
        return range(first.value, first.value + len(lengths))

    @overload
    def append_async(
        self, data: BytesLike, *, index: int = 0, term: int = 0, timestamp_ns: int = 0, callback: None = None
    ) -> AppendFuture: ...

    @overload
    def append_async(
        self, data: BytesLike, *, index: int = 0, term: int = 0, timestamp_ns: int = 0, callback: Callback
    ) -> int: ...

    def append_async(
        self,
        data: BytesLike,
        *,
        index: int = 0,
        term: int = 0,
        timestamp_ns: int = 0,
        callback: Optional[Callback] = None,
    ) -> Union[AppendFuture, int]:
        """Appends data and does not wait until it is durable, to which the library sees at once, whatever sync says.

        Returns a future, which can also be awaited; or, with a callback, the entry's index. callback(index, error)
        is called once it is durable (error is None) or that is not known, in the order of the indexes, on one thread
        of the log; what it raises goes to threading.excepthook. Futures fail with IoError, PoisonedError or
        ClosedError (shutdown came first). close() waits for what is outstanding. Waits itself only while
        async_max_bytes are outstanding. Raises what append_record does; then nothing was appended.
        """
        record = CRecord()
        fill(record, Record(data, index, term, timestamp_ns))
        result = c_uint64()

        def append() -> int:
            self._append(library.walrus_append_async, byref(record), 0, Done(), None, byref(result))
            return result.value

        if callback is not None:
            return self._state.completer.submit(append, callback)
        future = AppendFuture()
        future.index = self._state.completer.submit(append, future._complete)
        return future

    def transaction(self, timeout: Optional[float] = None) -> Transaction:
        """Begins a transaction: `with log.transaction() as txn: txn.append(...)`.

        It expires after timeout seconds; None: the log's option txn_timeout_ms; math.inf: never. Raises
        ReadOnlyError, PoisonedError, NoMemoryError.
        """
        return Transaction(self._state, timeout)

    @property
    def txn_count(self) -> int:
        """How many transactions are open."""
        return self._state.number(library.walrus_txn_count)

    def txn_expire(self) -> int:
        """Expires at once the transactions whose time is over; returns how many. It happens by itself, too."""
        expired = c_uint64()
        self._call(library.walrus_txn_expire, byref(expired))
        return expired.value

    # ---- Durability

    def sync(self) -> None:
        """Returns once every entry that was appended before is on stable storage."""
        self._call(library.walrus_sync)

    @property
    def durable_index(self) -> int:
        """The highest index that is known to be on stable storage, or 0."""
        return self._state.number(library.walrus_durable_index)

    def wait_durable(self, index: int, timeout: Optional[float] = None) -> None:
        """Waits until the entry at index is durable; at most timeout seconds, if given; 0 polls. Ctrl-C is heard.

        Raises NotFoundError (above the last index; truncated away meanwhile), TimeoutError, CanceledError
        (interrupt), IoError, PoisonedError.
        """
        number = as_index(index)
        self._state.wait(lambda left: self._call(library.walrus_wait_durable, number, left), timeout)

    def interrupt(self) -> None:
        """Ends every wait on the log that began before: it raises CanceledError, unless it is just about to end."""
        self._state.interrupts += 1
        self._call(library.walrus_interrupt)

    def notify_fd(self) -> int:
        """A descriptor that becomes readable whenever durable_index has moved (in a read-only log: last_index).

        For select, poll and event loops. Reading 8 bytes clears it. It is the same at each call, and the log's: do
        not close it. Cursors in `async for` read it themselves.
        """
        fd = c_int()
        self._call(library.walrus_notify_fd, byref(fd))
        return fd.value

    # ---- Read

    @property
    def first_index(self) -> int:
        """The lowest index in the log, or 0 when it is empty."""
        return self._state.number(library.walrus_first_index)

    @property
    def last_index(self) -> int:
        """The highest index in the log, or 0 when it is empty."""
        return self._state.number(library.walrus_last_index)

    @property
    def next_index(self) -> int:
        """The index that the next entry will get, also when the log is empty."""
        return self._state.number(library.walrus_next_index)

    def __len__(self) -> int:
        first = self.first_index
        return max(self.last_index - first + 1, 0) if first else 0

    def __bool__(self) -> bool:
        return True  # an empty log is a log: `log or open(...)` must not open another

    def get(self, index: int) -> Entry:
        """The entry at index, without a copy: its data shows the mapped file.

        Raises NotFoundError (above the last index), CompactedError (below the first), CorruptError, IoError,
        NoMemoryError, PoisonedError.
        """
        entry = CEntry()
        self._call(library.walrus_get, as_index(index), byref(entry))
        return Entry(entry, lent_view(entry))

    def read(self, index: int, buffer: Union[bytearray, memoryview]) -> int:
        """Copies the entry at index into a writable buffer and returns its size.

        Raises TooSmallError, whose size is the room it takes, and what get does.
        """
        index = as_index(index)
        target = writable(buffer)
        size = c_size_t()
        try:
            self._call(library.walrus_read, index, target, len(target), byref(size))
        except TooSmallError as error:
            error.size = size.value
            raise
        return size.value

    def term(self, index: int) -> int:
        """The term of the entry at index, without reading its payload. Raises what get does."""
        term = c_uint64()
        self._call(library.walrus_term, as_index(index), byref(term))
        return term.value

    def read_packed(
        self,
        first: int,
        max_count: int = 4096,
        *,
        capacity: int = 1 << 20,
        buffer: Union[bytearray, memoryview, None] = None,
    ) -> Packed:
        """Copies up to max_count entries from first on into one buffer: the quickest way to many small entries.

        The buffer is made with so many bytes, or is the writable one given, which can be used again when the result is
        not needed any more. Stops where the next entry does not fit. Raises TooSmallError, whose size is the room
        that the first one takes, InvalidError (max_count 0), and what get does.
        """
        start = as_index(first)
        count = min(as_number(max_count, "max_count"), 1 << 20)
        room: Union[bytearray, memoryview] = bytearray(capacity) if buffer is None else buffer
        target = writable(room)
        sizes = (c_uint32 * max(count, 1))()
        done = c_size_t()
        try:
            self._call(library.walrus_read_packed, start, count, target, len(target), sizes, byref(done))
        except TooSmallError as error:
            error.size = sizes[0]
            raise
        lengths = memoryview(sizes).cast("B").cast("I")[: done.value]
        return Packed(start, memoryview(room).cast("B")[: sum(lengths)], lengths)

    def last_index_of_term(self, term: int) -> int:
        """The highest index whose entry has this term. Raises NotFoundError, CorruptError, IoError, NoMemoryError."""
        index = c_uint64()
        self._call(library.walrus_last_index_of_term, as_number(term, "term"), byref(index))
        return index.value

    def seek_time(self, timestamp_ns: int) -> int:
        """The first index at which an entry of this time or a later one is or has been.

        Raises NotFoundError (all entries are earlier), CorruptError, IoError, NoMemoryError.
        """
        index = c_uint64()
        self._call(library.walrus_seek_time, as_stamp(timestamp_ns), byref(index))
        return index.value

    def cursor(self, index: int = 0, *, durable_only: bool = False) -> Cursor:
        """A cursor before the entry at index, 0 being the first; durable_only: it sees no other entries.

        Raises NotFoundError (above next_index), CompactedError (below first_index), NoMemoryError.
        """
        return Cursor(self._state, index, 1 if durable_only else 0)

    @overload
    def __getitem__(self, key: int) -> bytes: ...

    @overload
    def __getitem__(self, key: slice) -> List[bytes]: ...

    def __getitem__(self, key: Union[int, slice]) -> Union[bytes, List[bytes]]:
        """A copy of the payload at an index, or of those of a range of indexes.

        log[a:b] ends before b, as slices do, or at the log's end; log[b:a:-1] runs backwards. The numbers are
        indexes, so that there are no negative ones, and a start below the first index is a CompactedError.
        """
        if not isinstance(key, slice):
            entry = CEntry()
            self._call(library.walrus_get, as_index(key), byref(entry))
            try:
                return copy_of(entry)
            finally:
                library.walrus_entry_release(byref(entry))
        step = 1 if key.step is None else operator.index(key.step)
        first, following = self.first_index or self.next_index, self.next_index
        if step > 0:
            start = first if key.start is None else as_index(key.start)
            stop = following if key.stop is None else min(as_index(key.stop), following)
        else:
            start = following - 1 if key.start is None else min(as_index(key.start), following - 1)
            stop = first - 1 if key.stop is None else as_index(key.stop)
        indexes = range(start, stop, step)
        if step == 1:
            return list(self._payloads(indexes))
        return [self[index] for index in indexes]

    def entries(self, first: Optional[int] = None, last: Optional[int] = None) -> Iterator[Entry]:
        """The entries from first to last, both included, as get gives them; by default all.

        The end is what the log held when the first one was asked for. Raises what get does.
        """
        start = self.first_index or self.next_index if first is None else as_index(first)
        end = self.last_index if last is None else min(as_index(last), self.last_index)
        return self._entries(range(start, end + 1))

    def get_range(
        self, first: int, last: Optional[int] = None, *, max_bytes: int = 1 << 20, max_count: int = 256
    ) -> List[Entry]:
        """The entries from first to last, both included, in one call: not more than max_count, and with not more than
        max_bytes of payload, but at least one. Raises InvalidError (first above last, max_count 0), and what get does.
        """
        start, end = as_index(first), (1 << 64) - 1 if last is None else as_index(last)
        room = min(as_number(max_count, "max_count"), 1 << 16)
        entries = (CEntry * max(room, 1))()
        count = c_size_t()
        limit = as_number(max_bytes, "max_bytes")
        self._call(library.walrus_get_range, start, end, limit, entries, room, byref(count))
        # All of them at once: what a caller abandons half way is given back, too.
        return [Entry(entry, lent_view(entry)) for entry in entries[: count.value]]

    def _entries(self, indexes: range) -> Iterator[Entry]:
        position, end = indexes.start, indexes.stop
        while position < end:
            lent = self.get_range(position, end - 1, max_count=min(end - position, 256))
            position += len(lent)
            yield from lent

    def _payloads(self, indexes: range) -> Iterator[bytes]:
        position, end = indexes.start, indexes.stop
        buffer = bytearray(0)
        count = 16  # a loop that is left early has read little
        while position < end:
            if len(buffer) < min(count * 256, 1 << 20):
                buffer = bytearray(min(count * 256, 1 << 20))
            try:
                packed = self.read_packed(position, min(count, end - position), buffer=buffer)
            except TooSmallError as error:
                buffer = bytearray(error.size)
                continue
            position += len(packed)
            count = min(count * 4, 4096)
            yield from packed.payloads()

    def __iter__(self) -> Iterator[bytes]:
        """Each payload from the first to the last that the log holds now."""
        first = self.first_index
        return self._payloads(range(first, self.last_index + 1) if first else range(0))

    def __reversed__(self) -> Iterator[bytes]:
        """Each payload from the last to the first that the log holds now."""
        first, last = self.first_index, self.last_index
        return (self[index] for index in range(last, first - 1, -1) if first)

    def scan(
        self,
        visit: Callable[[Entry], Optional[int]],
        first: Optional[int] = None,
        last: Optional[int] = None,
    ) -> int:
        """Calls visit with each entry from first to last, both included, in order; by default all.

        visit's entries are copies, so they may be kept. Where it returns True or a number above 0, the scan
        ends and returns that; otherwise 0. What it raises ends the scan and is raised here.
        Raises InvalidError (first above last), and what get does.
        """
        state = self._state
        raised: List[BaseException] = []

        def trampoline(_context: Any, pointer: Any) -> int:
            try:
                if state.closing:
                    raise ClosedError(f"log {state.path!r} was closed during a scan", path=state.path)
                entry = pointer.contents
                answer = visit(Entry(entry, memoryview(copy_of(entry))))
                return 0 if answer is None else min(max(operator.index(answer), 0), 0x7FFFFFFF)
            except BaseException as error:
                raised.append(error)
                return 1

        if first is None:
            first = self.first_index
            if not first:
                return 0
        last = (1 << 64) - 1 if last is None else as_index(last)
        try:
            return self._call(library.walrus_scan, as_index(first), last, Visit(trampoline), None)
        finally:
            if raised:
                raise raised.pop()

    # ---- Truncate

    def truncate(self, index: int) -> None:
        """Drops every entry after index, durably; first_index - 1 empties the log.

        Raises NotFoundError (above the last index), CompactedError (below first_index - 1), IoError,
        NoMemoryError, ReadOnlyError, PoisonedError.
        """
        self._call(library.walrus_truncate, as_index(index))

    def truncate_front(self, index: int) -> None:
        """Drops every entry before index, durably; last_index + 1 empties the log.

        Raises NotFoundError (above last_index + 1), IoError, NoMemoryError, ReadOnlyError, PoisonedError.
        """
        self._call(library.walrus_truncate_front, as_index(index))

    def reset(self, next_index: int) -> None:
        """Drops every entry, durably; the next one gets next_index. Raises InvalidError (0, above 2^63), IoError,
        NoMemoryError, ReadOnlyError, PoisonedError."""
        self._call(library.walrus_reset, as_index(next_index))

    def replace_suffix(self, from_index: int, records: Iterable[Union[Record, BytesLike]]) -> range:
        """Drops every entry from from_index on and appends the records in their place, as one step; durable on return.

        After a crash the log has all of the old suffix or all of the new one. Returns the new entries' indexes.
        Raises NotFoundError (above next_index), CompactedError (below first_index), and what append_batch does.
        """
        sources = list(records)
        array = records_array(sources)
        start = as_index(from_index)
        self._append(library.walrus_replace_suffix, start, array, len(sources), 0)
        return range(start, start + len(sources))

    # ---- Operations

    @property
    def meta(self) -> Metadata:
        """Small durable values beside the log, as a mapping: log.meta["vote"] = b"..."."""
        return Metadata(self._state)

    def rotate(self) -> None:
        """Ends the last segment and begins a new one. Raises NoSpaceError, IoError, ReadOnlyError, PoisonedError."""
        self._call(library.walrus_rotate)

    def segments(self) -> List[Segment]:
        """The log's segments, oldest first. Raises IoError, CorruptError, NoMemoryError."""
        found: List[Segment] = []
        raised: List[BaseException] = []

        def visit(_context: Any, info: Any) -> int:
            try:
                found.append(segment(info.contents))
                return 0
            except BaseException as error:  # a signal's, say: no exception unwinds through C
                raised.append(error)
                return 1

        self._call(library.walrus_segments, SegmentVisit(visit), None)
        if raised:
            raise raised.pop()
        return found

    def stats(self) -> Stats:
        """What the log counts."""
        counts = CStats(struct_size=ctypes.sizeof(CStats))
        self._call(library.walrus_stats, byref(counts))
        return stats(counts)

    def stats_text(self) -> str:
        """The same as text in the Prometheus exposition format."""
        capacity = 8192
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            size = c_size_t()
            try:
                self._call(library.walrus_stats_text, buffer, capacity, byref(size))
                return buffer.value.decode()
            except TooSmallError:
                capacity = size.value


def open(
    path: Union[str, bytes, "os.PathLike[str]"],
    *,
    logger: Optional[Callable[[int, str], object]] = None,
    log_level: int = LogLevel.WARN,
    **options: Setting,
) -> Log:
    """Opens the log in directory path, creating it where the options allow.

    The options are those of walrus.options(): open("orders", sync="os", segment_size="16MiB", create=False,
    file_mode=0o600). Numbers are bytes or counts. logger(level, message) is called for messages up to
    log_level, possibly on other threads and several at once, and may not use any log.
    Raises InvalidError, UnsupportedError (an option), ExistsError, NoLogError, NotALogError, VersionError,
    FormatError, LockedError, IoError, NoSpaceError, NoMemoryError, CorruptError, TornError, ReadOnlyError.
    """
    return Log(path, logger=logger, log_level=log_level, **options)
