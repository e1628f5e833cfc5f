# _entry.py - what is read and what is appended
#
# No view outlives its memory: what a memoryview shows is released when the last view of it dies, slices and casts
# included, whatever happens to the log meanwhile.
#
# SPDX-License-Identifier: MIT
import ctypes
import itertools
from ctypes import byref
from dataclasses import dataclass
from threading import get_ident
from typing import Any, Dict, Iterator, List, Sequence, Tuple, Union, overload

from ._ffi import BytesLike, CEntry, CRecord, as_bytes, as_index, as_number, as_stamp, library
from ._options import logging_threads


class Pin:
    """Holds what walrus_get lent, and gives it back when the last view of it is gone.

    A memoryview refers to its ctypes array, and that one to its pin. When all of them die in a reference
    cycle, the collector would run this finaliser beside those of other objects, which may still read the
    view. So it is hidden from the collector, and dies by its count alone: after every finaliser.
    """

    __slots__ = ("entry",)
    entry: CEntry

    def __del__(
        self, release: Any = library.walrus_entry_release, logging: Dict[int, int] = logging_threads, me: Any = get_ident
    ) -> None:
        if me() in logging:
            late.append((release, byref(self.entry)))  # the next call on a log releases it
        else:
            release(byref(self.entry))


late: List[Tuple[Any, Any]] = []  # what a logger's thread may not give back: the function, and its argument


def release_late() -> None:
    while late:
        try:
            function, argument = late.pop()
        except IndexError:  # another thread was faster
            return
        function(argument)


_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
_untrack.argtypes = [ctypes.py_object]
_untrack.restype = None


def lent_view(lent: CEntry) -> memoryview:
    """A read-only view of the bytes that lent was given; they are given back when the last view is gone."""
    # A copy of the struct: giving back zeroes it, and an entry of 0 bytes is given back at once.
    entry = CEntry.from_buffer_copy(lent)
    pin = Pin()
    pin.entry = entry
    _untrack(pin)
    if not entry.size:
        return memoryview(b"")
    array = (ctypes.c_ubyte * entry.size).from_address(entry.data)
    array.pin = pin
    return memoryview(array).cast("B").toreadonly()


def copy_of(entry: CEntry) -> bytes:
    return ctypes.string_at(entry.data, entry.size) if entry.size else b""


class Entry:
    """What is at an index: data, a read-only memoryview, and what was stored with it.

    An entry of Log.get shows the mapped file itself and keeps its segment alive until the entry and each
    view of data are gone. Leaving its with statement, or release(), ends that early.
    """

    __slots__ = ("index", "term", "timestamp_ns", "checksum", "data")

    index: int
    term: int
    timestamp_ns: int  # nanoseconds since 1970 UTC
    checksum: int  # zlib.crc32(data)
    data: memoryview

    def __init__(self, entry: Any, data: memoryview) -> None:
        self.index = entry.index
        self.term = entry.term
        self.timestamp_ns = entry.timestamp_ns
        self.checksum = entry.checksum
        self.data = data

    def release(self) -> None:
        """Ends the use of data. Slices of it that are in use elsewhere stay valid, and keep the segment."""
        try:
            self.data.release()
        except BufferError:  # an array or a buffer stands on it: it lives as long as that does
            self.data = memoryview(b"")
            self.data.release()

    def __enter__(self) -> "Entry":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<walrus.Entry {self.index}, term {self.term}>"


@dataclass(frozen=True)
class Record:
    """What is appended, where it is more than bytes."""

    data: BytesLike
    index: int = 0  # 0: the next one. Otherwise it must be the next one, or any in a log that never held an entry
    term: int = 0  # the caller's epoch, stored as given
    timestamp_ns: int = 0  # nanoseconds since 1970 UTC, stored as given; 0: now


def fill(record: CRecord, source: Union[Record, BytesLike]) -> None:
    if not isinstance(source, Record):
        source = Record(source)
    content = as_bytes(source.data)
    record.data = content
    record.size = len(content)
    record.index = as_index(source.index)
    record.term = as_number(source.term, "term")
    record.timestamp_ns = as_stamp(source.timestamp_ns)


def records_array(sources: List[Union[Record, BytesLike]]) -> Any:
    array = (CRecord * len(sources))()
    for record, source in zip(array, sources):
        fill(record, source)
    return array


class Packed(Sequence[bytes]):
    """Entries that were read in one go: a sequence of their payloads.

    data holds them one behind the other, sizes how long each is (unsigned 32-bit numbers); both are views of the
    buffer that was read into. first is the index of the first one.
    """

    __slots__ = ("first", "data", "sizes")

    def __init__(self, first: int, data: memoryview, sizes: memoryview) -> None:
        self.first = first
        self.data = data
        self.sizes = sizes

    @property
    def indexes(self) -> range:
        """The entries' indexes."""
        return range(self.first, self.first + len(self.sizes))

    def payloads(self) -> List[bytes]:
        """All payloads, as bytes."""
        content = bytes(self.data)
        ends = list(itertools.accumulate(self.sizes))
        return list(map(content.__getitem__, map(slice, [0, *ends[:-1]], ends)))

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.payloads())

    @overload
    def __getitem__(self, key: int) -> bytes: ...

    @overload
    def __getitem__(self, key: slice) -> List[bytes]: ...

    def __getitem__(self, key: Union[int, slice]) -> Union[bytes, List[bytes]]:
        if isinstance(key, slice):
            return self.payloads()[key]
        position = range(len(self.sizes))[key]
        start = sum(self.sizes[:position])
        return bytes(self.data[start : start + self.sizes[position]])

    def __repr__(self) -> str:
        return f"<walrus.Packed {len(self.sizes)} entries from {self.first}>"
