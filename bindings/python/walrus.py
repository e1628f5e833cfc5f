# walrus.py - libwalrus, the embeddable write-ahead log, for Python
#
# One file over the C library, with ctypes and the standard library only (CPython 3.8 or later):
#
#     import walrus
#
#     with walrus.open("orders", sync="always") as log:
#         index = log.append(b"hello")            # durable when it returns
#         log[index]                              # b"hello", a copy
#         with log.get(index) as entry:           # a view of the mapped file, no copy
#             entry.data, entry.term, entry.checksum
#         for payload in log: ...                 # from the first to the last; reversed(log), too
#         log[10:20], log[20:9:-1]                # lists of payloads; the numbers are indexes
#
# Three rules keep C safe from Python's mistakes:
#
#   - No call reaches C with a freed handle. Each call is counted while it lasts; close() first turns new
#     ones away, then waits until none is left, then frees.
#   - No view outlives its memory. What a memoryview shows is released when the last view of it dies,
#     slices and casts included, whatever happens to the log meanwhile.
#   - No exception unwinds through C. What a scan's callback raises is kept, ends the scan, and is raised
#     again by scan().
#
# The library is $WALRUS_LIBRARY, or else lies next to this file, in ../../build/lib, or where the system's
# loader finds it. Threads may share a log: the interpreter's lock is free while C works.
#
# SPDX-License-Identifier: MIT
"""An embeddable write-ahead log: entries of bytes, at indexes that grow by one, durable when you say so."""

import ctypes
import enum
import operator
import os
import threading
import time
import warnings
import weakref
from ctypes import POINTER, byref, c_char, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Type, Union, overload

ABI_VERSION = 1

BytesLike = Union[bytes, bytearray, memoryview]
Setting = Union[str, int, bool]

# ---- Errors ----------------------------------------------------------------------------------------------


class Error(Exception):
    """What libwalrus answered instead of doing what was asked; each code has a subclass of its own.

    message is a sentence that a person can act on; code is the WALRUS_E_* number. errno, index, offset (bytes
    from the start of the file) and path tell where it happened; they are 0 and "" where they do not apply.
    """

    code = 0

    def __init__(
        self, message: str, *, code: int = 0, errno: int = 0, index: int = 0, offset: int = 0, path: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.errno = errno
        self.index = index
        self.offset = offset
        self.path = path


class InvalidError(Error, ValueError):
    """An argument, option or combination that is never allowed."""

    code = -1


class NotFoundError(Error, IndexError):
    """No such index yet: it is above the last one."""

    code = -2


class CompactedError(Error, IndexError):
    """The index is below the first one: truncated away at the front."""

    code = -3


class OutOfOrderError(Error):
    """The record's index is not the next one."""

    code = -4


class TooLargeError(Error):
    """An entry above max_entry_size, or a batch above 2 GiB."""

    code = -5


class TooSmallError(Error):
    """The buffer given to read() is too small; size is what it takes."""

    code = -6
    size = 0


class ExistsError(Error):
    """must_be_new, but the directory holds a log."""

    code = -7


class NoLogError(Error):
    """The directory holds no log, and none may be created."""

    code = -8


class NotALogError(Error):
    """The directory holds something else, or is none."""

    code = -9


class VersionError(Error):
    """Written in a newer format than this library knows."""

    code = -10


class FormatError(Error):
    """Opened with another format than the log was created with."""

    code = -11


class LockedError(Error):
    """Open already, in this process or another."""

    code = -12


class ReadOnlyError(Error):
    """A write to a log opened with read_only."""

    code = -13


class IoError(Error):
    """The system refused a read or a write; errno says why."""

    code = -14


class NoSpaceError(Error):
    """Disk full, quota or file-size limit; nothing was appended."""

    code = -15


class NoMemoryError(Error, MemoryError):
    """Memory or address space could not be had; nothing was changed."""

    code = -16


class CorruptError(Error):
    """Data that had been durable is damaged; offset and index say where."""

    code = -17


class TornError(Error):
    """recovery="strict" found an unfinished tail, which it will not cut."""

    code = -18


class PoisonedError(Error):
    """A write or sync failed earlier: reads go on, writes wait for a reopen."""

    code = -19


class ClosedError(Error, ValueError):
    """The log was closed, or shut down."""

    code = -20


class TimeoutError(Error):
    """The time given is over."""

    code = -21


class CanceledError(Error):
    """The wait was ended by another thread."""

    code = -22


class CaughtUpError(Error):
    """The cursor is at the end; more may come."""

    code = -23


class TxnStateError(Error):
    """The transaction is no longer open."""

    code = -24


class TxnExpiredError(Error):
    """The transaction's time was over."""

    code = -25


class TxnFullError(Error):
    """The transaction has as many entries as it may have."""

    code = -26


class ForkedError(Error):
    """The log was opened before the process forked; the child has to open it anew."""

    code = -27


class BusyError(Error):
    """Not now, or not from inside this callback."""

    code = -28


class UnsupportedError(Error):
    """This version of the library does not do that."""

    code = -29


class InternalError(Error):
    """A bug in libwalrus: please report it."""

    code = -30


_ERRORS: Dict[int, Type[Error]] = {error.code: error for error in Error.__subclasses__()}

# ---- The C side ------------------------------------------------------------------------------------------


class _CError(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("code", c_int32),
        ("os_errno", c_int32),
        ("reserved", c_uint32),
        ("index", c_uint64),
        ("offset", c_uint64),
        ("path", c_char * 512),
        ("message", c_char * 512),
    ]


class _CRecord(ctypes.Structure):
    _fields_ = [
        ("data", c_char_p),  # not c_void_p: this one takes bytes as they are and keeps them alive
        ("size", c_size_t),
        ("index", c_uint64),
        ("term", c_uint64),
        ("timestamp_ns", c_int64),
        ("reserved", c_uint64 * 2),
    ]


class _CEntry(ctypes.Structure):
    _fields_ = [
        ("index", c_uint64),
        ("term", c_uint64),
        ("timestamp_ns", c_int64),
        ("data", c_void_p),
        ("size", c_size_t),
        ("checksum", c_uint32),
        ("flags", c_uint32),
        ("owner", c_void_p),
    ]


class _CRecoveryReport(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reason", c_int32),
        ("entries_cut", c_uint64),
        ("bytes_cut", c_uint64),
        ("cut_index", c_uint64),
        ("cut_offset", c_uint64),
        ("segments_scanned", c_uint64),
        ("bytes_scanned", c_uint64),
        ("duration_ns", c_uint64),
        ("durable_index", c_uint64),
        ("segment", c_char * 64),
        ("message", c_char * 256),
    ]


_OptionVisit = ctypes.CFUNCTYPE(c_int32, c_void_p, c_char_p, c_char_p, c_char_p)
_Logger = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
_Visit = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(_CEntry))

# Every function of walrus.h: result, then arguments.
_PROTOTYPES: Dict[str, Tuple[Any, ...]] = {
    "walrus_version": (c_char_p,),
    "walrus_version_number": (c_uint32,),
    "walrus_abi_version": (c_uint32,),
    "walrus_strerror": (c_char_p, c_int32),
    "walrus_last_error": (c_int32, POINTER(_CError)),
    "walrus_crc32": (c_uint32, c_char_p, c_size_t),
    "walrus_options_new": (c_void_p,),
    "walrus_options_free": (None, c_void_p),
    "walrus_options_set": (c_int32, c_void_p, c_char_p, c_char_p),
    "walrus_options_set_u64": (c_int32, c_void_p, c_char_p, c_uint64),
    "walrus_options_get": (c_int32, c_void_p, c_char_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "walrus_options_each": (c_int32, c_void_p, _OptionVisit, c_void_p),
    "walrus_options_set_logger": (c_int32, c_void_p, _Logger, c_void_p, c_int32),
    "walrus_open": (c_int32, c_char_p, c_void_p, POINTER(c_void_p)),
    "walrus_shutdown": (c_int32, c_void_p),
    "walrus_close": (c_int32, c_void_p),
    "walrus_recovery_report": (c_int32, c_void_p, POINTER(_CRecoveryReport)),
    "walrus_destroy": (c_int32, c_char_p),
    "walrus_append": (c_int32, c_void_p, c_char_p, c_size_t, POINTER(c_uint64)),
    "walrus_append_record": (c_int32, c_void_p, POINTER(_CRecord), c_uint32, POINTER(c_uint64)),
    "walrus_append_batch": (c_int32, c_void_p, POINTER(_CRecord), c_size_t, c_uint32, POINTER(c_uint64)),
    "walrus_sync": (c_int32, c_void_p),
    "walrus_durable_index": (c_uint64, c_void_p),
    "walrus_first_index": (c_uint64, c_void_p),
    "walrus_last_index": (c_uint64, c_void_p),
    "walrus_next_index": (c_uint64, c_void_p),
    "walrus_get": (c_int32, c_void_p, c_uint64, POINTER(_CEntry)),
    "walrus_entry_release": (None, POINTER(_CEntry)),
    "walrus_read": (c_int32, c_void_p, c_uint64, c_void_p, c_size_t, POINTER(c_size_t)),
    "walrus_scan": (c_int32, c_void_p, c_uint64, c_uint64, _Visit, c_void_p),
    "walrus_get_range": (
        c_int32, c_void_p, c_uint64, c_uint64, c_size_t, POINTER(_CEntry), c_size_t, POINTER(c_size_t)
    ),
    "walrus_entries_release": (None, POINTER(_CEntry), c_size_t),
    "walrus_term": (c_int32, c_void_p, c_uint64, POINTER(c_uint64)),
    "walrus_truncate": (c_int32, c_void_p, c_uint64),
    "walrus_truncate_front": (c_int32, c_void_p, c_uint64),
    "walrus_reset": (c_int32, c_void_p, c_uint64),
}


def _find_library() -> ctypes.CDLL:
    """Loads the library from the first place that has one; what is there but does not load is an error."""
    named = os.environ.get("WALRUS_LIBRARY")
    here = Path(__file__).resolve().parent
    names = ("libwalrus.so", "libwalrus.so.1", "libwalrus.dylib")
    places = [here / name for name in names] + [here.parent.parent / "build" / "lib" / name for name in names]
    found = named or next((str(place) for place in places if place.exists()), None)
    if found:
        try:
            return ctypes.CDLL(found)
        except OSError as error:
            hint = "Correct WALRUS_LIBRARY" if named else "Build it anew, or name another one in WALRUS_LIBRARY"
            raise ImportError(f"libwalrus at {found} does not load: {error}. {hint}.") from error
    for name in (names[1], find_library("walrus")):
        try:
            if name:
                return ctypes.CDLL(name)
        except OSError:
            pass
    raise ImportError(
        f"libwalrus was not found in {here}, in {here.parent.parent / 'build' / 'lib'} or by the system's loader. "
        "Build it with `make`, or name it: WALRUS_LIBRARY=/path/to/libwalrus.so"
    )


def _load() -> ctypes.CDLL:
    library = _find_library()
    try:
        # The interface's version first: a library of another one may lack, or mean otherwise, all the rest.
        library.walrus_abi_version.restype = c_uint32
        abi = library.walrus_abi_version()
        if abi != ABI_VERSION:
            raise ImportError(
                f"{library._name} has interface version {abi}, this walrus.py needs {ABI_VERSION}: "
                "take both from the same release of libwalrus"
            )
        for name, (result, *arguments) in _PROTOTYPES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except AttributeError as error:
        raise ImportError(
            f"{library._name} is not the libwalrus that this walrus.py needs: {error}. "
            "Take both from the same release of libwalrus."
        ) from error
    return library


_library = _load()


def _failure(code: int) -> Error:
    """The exception for what the calling thread's last call answered."""
    record = _CError(struct_size=ctypes.sizeof(_CError))
    _library.walrus_last_error(byref(record))
    if record.code != code:  # a destructor's own failure came between: what remains is the code's text
        record = _CError()
    message = record.message.decode("utf-8", "replace") or strerror(code)
    return _ERRORS.get(code, Error)(
        message, code=code, errno=record.os_errno, index=record.index, offset=record.offset,
        path=os.fsdecode(record.path),
    )


def _check(code: int) -> int:
    if code < 0:
        raise _failure(code)
    return code


def _number(value: Any, what: str) -> int:
    """An integer that fits uint64_t: ctypes itself would cut the rest off without a word."""
    number = operator.index(value)
    if not 0 <= number < 1 << 64:
        raise InvalidError(f"{what} must be from 0 to 2^64 - 1, and {number} is not")
    return number


def _index(value: Any) -> int:
    number = operator.index(value)
    if not 0 <= number < 1 << 64:
        raise InvalidError(
            f"an index must be from 0 to 2^64 - 1, and {number} is not. Indexes are the entries' own numbers, "
            "not positions: the last entry is log[log.last_index]"
        )
    return number


def _stamp(value: Any) -> int:
    number = operator.index(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise InvalidError(f"timestamp_ns must fit in 64 bits, and {number} does not")
    return number


def _payload(data: BytesLike) -> bytes:
    # memoryview refuses what is not bytes-like; bytes(5), on the other hand, would be five zeros.
    return data if type(data) is bytes else bytes(memoryview(data))


def _text(value: Union[str, bytes], what: str) -> bytes:
    """A string for C, which ends at the first NUL: one inside would silently name something else."""
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise InvalidError(f"{what} must not contain a NUL character: {value!r}")
    return encoded


_SYNCS = {None: 0, "always": 1, "os": 2, "none": 4}


def _flags(sync: Optional[str]) -> int:
    try:
        return _SYNCS[sync]
    except (KeyError, TypeError):
        raise InvalidError(f'sync must be None, "always", "os" or "none", and {sync!r} is none of them') from None


# ---- The library itself ----------------------------------------------------------------------------------


def version() -> str:
    """The library's version, as "major.minor.patch"."""
    return str(_library.walrus_version().decode())


def version_number() -> int:
    """The library's version as major * 10000 + minor * 100 + patch."""
    return int(_library.walrus_version_number())


def abi_version() -> int:
    """The version of the library's binary interface; always ABI_VERSION, or the import would have failed."""
    return int(_library.walrus_abi_version())


def strerror(code: int) -> str:
    """The name of an error code and what it means."""
    return str(_library.walrus_strerror(code).decode("utf-8", "replace"))


def crc32(data: BytesLike) -> int:
    """CRC-32 (IEEE) of data, as in Entry.checksum and zlib.crc32."""
    payload = _payload(data)
    return int(_library.walrus_crc32(payload, len(payload)))


def destroy(path: Union[str, bytes, "os.PathLike[str]"]) -> None:
    """Removes the log in directory path: its own files only, then the directory if it is empty."""
    _check(_library.walrus_destroy(_text(os.fspath(path), "path")))


# ---- Options ---------------------------------------------------------------------------------------------


class Option(NamedTuple):
    """One option of walrus.open: its value and its default as text, and what is allowed, in words."""

    value: str
    default: str
    allowed: str


class _Options:
    """An options handle, freed at the end of its with statement."""

    def __init__(self, settings: Dict[str, Setting]) -> None:
        self.handle = _library.walrus_options_new()
        if not self.handle:
            raise NoMemoryError("there is no memory for a log's options")
        try:
            for key, value in settings.items():
                self.set(key, value)
        except BaseException:
            self.free()
            raise

    def set(self, key: str, value: Setting) -> None:
        name = _text(key, "an option's name")
        if isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(value, str):
            _check(_library.walrus_options_set(self.handle, name, _text(value, f"option {key}")))
        else:
            _check(_library.walrus_options_set_u64(self.handle, name, _number(value, f"option {key}")))

    def get(self, key: bytes) -> str:
        size = c_size_t()
        _library.walrus_options_get(self.handle, key, None, 0, byref(size))
        buffer = ctypes.create_string_buffer(max(size.value, 1))
        _check(_library.walrus_options_get(self.handle, key, buffer, size.value, None))
        return buffer.value.decode()

    def free(self) -> None:
        _library.walrus_options_free(self.handle)
        self.handle = None

    def __enter__(self) -> "_Options":
        return self

    def __exit__(self, *_: object) -> None:
        self.free()


def options(**settings: Setting) -> Dict[str, Option]:
    """All options of walrus.open, as they are with these settings; raises InvalidError where one is wrong."""
    found: List[Tuple[bytes, bytes, bytes]] = []

    def visit(_context: Any, key: bytes, default: bytes, allowed: bytes) -> int:
        found.append((key, default, allowed))
        return 0

    with _Options(settings) as handle:
        _check(_library.walrus_options_each(handle.handle, _OptionVisit(visit), None))
        return {
            key.decode(): Option(handle.get(key), default.decode(), allowed.decode())
            for key, default, allowed in found
        }


class LogLevel(enum.IntEnum):
    """How chatty a logger is to be."""

    ERROR = 1  # a write, sync or read failed
    WARN = 2  # the log helped itself: a tail was cut, preallocation was refused
    INFO = 3  # opened, created, closed
    DEBUG = 4  # rotations, segments opened and removed


# Threads that are inside a logger now, where the library may hold a lock that any other call would wait for.
_logging: Dict[int, int] = {}


def _logger(function: Callable[[int, str], object]) -> Any:
    def log(_context: Any, level: int, message: bytes) -> None:
        me = get_ident()
        _logging[me] = _logging.get(me, 0) + 1
        try:
            function(level, message.decode("utf-8", "replace"))
        finally:
            _leave(_logging, me)

    return _Logger(log)


def _leave(counts: Dict[int, int], me: int) -> None:
    depth = counts[me] - 1
    if depth:
        counts[me] = depth
    else:
        del counts[me]


# ---- Entries ---------------------------------------------------------------------------------------------


class _Pin:
    """Holds what walrus_get lent, and gives it back when the last view of it is gone.

    A memoryview refers to its ctypes array, and that one to its pin. When all of them die in a reference
    cycle, the collector would run this finaliser beside those of other objects, which may still read the
    view. So it is hidden from the collector, and dies by its count alone: after every finaliser.
    """

    __slots__ = ("entry",)
    entry: _CEntry

    def __del__(
        self, release: Any = _library.walrus_entry_release, logging: Dict[int, int] = _logging, me: Any = get_ident
    ) -> None:
        if me() in logging:
            _late.append(self.entry)  # the next call on a log releases it
        else:
            release(byref(self.entry))


_late: List[_CEntry] = []


def _release_late() -> None:
    while _late:
        try:
            entry = _late.pop()
        except IndexError:  # another thread was faster
            return
        _library.walrus_entry_release(byref(entry))


_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
_untrack.argtypes = [ctypes.py_object]
_untrack.restype = None


def _lent_view(lent: _CEntry) -> memoryview:
    """A read-only view of the bytes that lent was given; they are given back when the last view is gone."""
    # A copy of the struct: giving back zeroes it, and an entry of 0 bytes is given back at once.
    entry = _CEntry.from_buffer_copy(lent)
    pin = _Pin()
    pin.entry = entry
    _untrack(pin)
    if not entry.size:
        return memoryview(b"")
    array = (ctypes.c_ubyte * entry.size).from_address(entry.data)
    array.pin = pin
    return memoryview(array).cast("B").toreadonly()


def _copy(entry: _CEntry) -> bytes:
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

    def __init__(self, entry: _CEntry, data: memoryview) -> None:
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


def _fill(record: _CRecord, source: Union[Record, BytesLike]) -> None:
    if not isinstance(source, Record):
        source = Record(source)
    payload = _payload(source.data)
    record.data = payload
    record.size = len(payload)
    record.index = _index(source.index)
    record.term = _number(source.term, "term")
    record.timestamp_ns = _stamp(source.timestamp_ns)


# ---- Logs ------------------------------------------------------------------------------------------------


class Recovery(enum.IntEnum):
    """Why opening a log cut its tail."""

    CLEAN = 0  # the log had been closed cleanly, or is new: nothing to do
    COMPLETE = 1  # not closed cleanly, but nothing was unfinished
    TORN = 2  # cut: the last write was unfinished
    BATCH = 3  # cut: the last batch was unfinished
    REORDERED = 4  # cut: later writes had reached the disk before an earlier one


class RecoveryReport(NamedTuple):
    """What opening a log found and did. Nothing that was acknowledged as durable is ever cut."""

    reason: int  # a Recovery
    entries_cut: int
    bytes_cut: int
    cut_index: int
    cut_offset: int
    segments_scanned: int
    bytes_scanned: int
    duration_ns: int
    durable_index: int
    segment: str
    message: str


class _State:
    """What a log's finaliser has to know; it must not know the log, or that would never die."""

    def __init__(self, path: str, logger: Any) -> None:
        self.path = path
        self.logger = logger  # C calls it until walrus_close has returned
        self.handle = c_void_p()
        self.pid = os.getpid()
        self.active: Dict[int, int] = {}  # calls in flight, by thread
        self.closing = False
        self.shut_down = False
        self.close_once = threading.Lock()

    def forked(self) -> bool:
        return os.getpid() != self.pid

    def close(self) -> None:
        if not self.close_once.acquire(blocking=False):
            return
        # From here on calls are turned away. Each one enters itself before it looks at closing, so that none
        # slips through between the two. In a forked child those of other threads are not there to wait for.
        self.closing = True
        try:
            while self.active and not self.forked():
                time.sleep(0.0002)
        except BaseException:
            self.closing = False
            self.close_once.release()
            raise
        handle, self.handle = self.handle, c_void_p()
        code = _library.walrus_close(handle)
        if code != ForkedError.code:
            _check(code)


def _close_abandoned(state: _State) -> None:
    if not state.closing and not state.forked():
        warnings.warn(f"log {state.path!r} was never closed: use a with statement", ResourceWarning, stacklevel=2)
    state.close()


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
        directory = _text(os.fspath(path), "path")
        state = _State(os.fsdecode(directory), _logger(logger) if logger else None)
        with _Options(options) as settings:
            if state.logger:
                _check(_library.walrus_options_set_logger(settings.handle, state.logger, None, log_level))
            _check(_library.walrus_open(directory, settings.handle, byref(state.handle)))
        self._state = state
        self._finalizer = weakref.finalize(self, _close_abandoned, state)

    def _call(self, function: Any, *arguments: Any) -> int:
        """Calls function with the handle, unless the log is closed, and raises its error."""
        state = self._state
        me = get_ident()
        if me in _logging:
            raise BusyError("a logger may not use a log: hand the message to another thread")
        active = state.active
        active[me] = active.get(me, 0) + 1
        try:
            if state.closing:
                raise ClosedError(f"log {state.path!r} is closed: open it again to use it", path=state.path)
            if _late:
                _release_late()
            return _check(function(state.handle, *arguments))
        finally:
            _leave(active, me)

    def _get_number(self, function: Any) -> int:
        number = self._call(function)
        if not number:  # also the answer of a log that cannot answer
            if self._state.forked():
                raise ForkedError(f"log {self.path!r} was opened before the fork: open it anew here", path=self.path)
            if self._state.shut_down:
                raise ClosedError(f"log {self.path!r} was shut down: open it again to use it", path=self.path)
        return number

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
        if me in self._state.active or me in _logging:
            raise BusyError(f"log {self.path!r} cannot be closed from inside its own callback: return from it first")
        self._state.close()
        self._finalizer.detach()

    def shutdown(self) -> None:
        """Makes every later call, and every one that waits, raise ClosedError; close() is still to come.

        It may be called beside any other call, and from inside a scan.
        """
        self._call(_library.walrus_shutdown)
        self._state.shut_down = True

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
        report = _CRecoveryReport(struct_size=ctypes.sizeof(_CRecoveryReport))
        self._call(_library.walrus_recovery_report, byref(report))
        known = report.reason in Recovery.__members__.values()
        return RecoveryReport(
            Recovery(report.reason) if known else report.reason,
            report.entries_cut, report.bytes_cut, report.cut_index, report.cut_offset, report.segments_scanned,
            report.bytes_scanned, report.duration_ns, report.durable_index, report.segment.decode("utf-8", "replace"),
            report.message.decode("utf-8", "replace"),
        )

    # ---- Append

    def append(self, data: BytesLike) -> int:
        """Appends data as the next entry, with the previous entry's term and the time now; returns its index.

        With sync="always" it is durable on return.
        Raises TooLargeError, NoSpaceError, NoMemoryError, ReadOnlyError: it is certainly not in the log;
        IoError, PoisonedError: whether it is shows at the next open.
        """
        payload = _payload(data)
        index = c_uint64()
        self._call(_library.walrus_append, payload, len(payload), byref(index))
        return index.value

    def append_record(
        self, data: BytesLike, *, index: int = 0, term: int = 0, timestamp_ns: int = 0, sync: Optional[str] = None
    ) -> int:
        """Appends data with its own index, term and time, stored as given; returns its index.

        index and timestamp_ns may be 0: the next one, and now. sync "always", "os" or "none" replaces the
        log's option for this call. Raises what append does, and OutOfOrderError.
        """
        record = _CRecord()
        _fill(record, Record(data, index, term, timestamp_ns))
        result = c_uint64()
        self._call(_library.walrus_append_record, byref(record), _flags(sync), byref(result))
        return result.value

    def append_batch(self, records: Iterable[Union[Record, BytesLike]], *, sync: Optional[str] = None) -> range:
        """Appends all records, or after a crash none of them; returns their indexes.

        A record is a Record or bytes, which then get the term 0 and the time now. Raises what append_record
        does; nothing of the batch is in the log then.
        """
        sources = list(records)
        array = (_CRecord * len(sources))()
        for record, source in zip(array, sources):
            _fill(record, source)
        first = c_uint64()
        self._call(_library.walrus_append_batch, array, len(sources), _flags(sync), byref(first))
        return range(first.value, first.value + len(sources))

    # ---- Durability

    def sync(self) -> None:
        """Returns once every entry that was appended before is on stable storage."""
        self._call(_library.walrus_sync)

    @property
    def durable_index(self) -> int:
        """The highest index that is known to be on stable storage, or 0."""
        return self._get_number(_library.walrus_durable_index)

    # ---- Read

    @property
    def first_index(self) -> int:
        """The lowest index in the log, or 0 when it is empty."""
        return self._get_number(_library.walrus_first_index)

    @property
    def last_index(self) -> int:
        """The highest index in the log, or 0 when it is empty."""
        return self._get_number(_library.walrus_last_index)

    @property
    def next_index(self) -> int:
        """The index that the next entry will get, also when the log is empty."""
        return self._get_number(_library.walrus_next_index)

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
        entry = _CEntry()
        self._call(_library.walrus_get, _index(index), byref(entry))
        return Entry(entry, _lent_view(entry))

    def read(self, index: int, buffer: Union[bytearray, memoryview]) -> int:
        """Copies the entry at index into a writable buffer and returns its size.

        Raises TooSmallError, whose size is the room it takes, and what get does.
        """
        index = _index(index)
        capacity = memoryview(buffer).nbytes
        target = (c_char * capacity).from_buffer(buffer)
        size = c_size_t()
        try:
            self._call(_library.walrus_read, index, target, capacity, byref(size))
        except TooSmallError as error:
            error.size = size.value
            raise
        return size.value

    def term(self, index: int) -> int:
        """The term of the entry at index, without reading its payload. Raises what get does."""
        term = c_uint64()
        self._call(_library.walrus_term, _index(index), byref(term))
        return term.value

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
            entry = _CEntry()
            self._call(_library.walrus_get, _index(key), byref(entry))
            try:
                return _copy(entry)
            finally:
                _library.walrus_entry_release(byref(entry))
        step = 1 if key.step is None else operator.index(key.step)
        first, following = self.first_index or self.next_index, self.next_index
        if step > 0:
            start = first if key.start is None else _index(key.start)
            stop = following if key.stop is None else min(_index(key.stop), following)
        else:
            start = following - 1 if key.start is None else min(_index(key.start), following - 1)
            stop = first - 1 if key.stop is None else _index(key.stop)
        indexes = range(start, stop, step)
        if step == 1:
            return [bytes(entry.data) for entry in self._entries(indexes)]
        return [self[index] for index in indexes]

    def entries(self, first: Optional[int] = None, last: Optional[int] = None) -> Iterator[Entry]:
        """The entries from first to last, both included, as get gives them; by default all.

        The end is what the log held when the first one was asked for. Raises what get does.
        """
        start = self.first_index or self.next_index if first is None else _index(first)
        end = self.last_index if last is None else min(_index(last), self.last_index)
        return self._entries(range(start, end + 1))

    def _entries(self, indexes: range) -> Iterator[Entry]:
        position, end = indexes.start, indexes.stop
        while position < end:
            chunk = (_CEntry * min(end - position, 256))()
            count = c_size_t()
            self._call(_library.walrus_get_range, position, end - 1, 1 << 20, chunk, len(chunk), byref(count))
            # All of them at once: what a caller abandons halfway is given back, too.
            lent = [Entry(entry, _lent_view(entry)) for entry in chunk[: count.value]]
            position += len(lent)
            yield from lent

    def __iter__(self) -> Iterator[bytes]:
        """Each payload from the first to the last that the log holds now."""
        return (bytes(entry.data) for entry in self.entries())

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
                answer = visit(Entry(entry, memoryview(_copy(entry))))
                return 0 if answer is None else min(max(operator.index(answer), 0), 0x7FFFFFFF)
            except BaseException as error:
                raised.append(error)
                return 1

        if first is None:
            first = self.first_index
            if not first:
                return 0
        last = (1 << 64) - 1 if last is None else _index(last)
        try:
            return self._call(_library.walrus_scan, _index(first), last, _Visit(trampoline), None)
        finally:
            if raised:
                raise raised.pop()

    # ---- Truncate

    def truncate(self, index: int) -> None:
        """Drops every entry after index, durably; first_index - 1 empties the log.

        Raises NotFoundError (above the last index), CompactedError (below first_index - 1), IoError,
        NoMemoryError, ReadOnlyError, PoisonedError.
        """
        self._call(_library.walrus_truncate, _index(index))

    def truncate_front(self, index: int) -> None:
        """Drops every entry before index, durably; last_index + 1 empties the log.

        Raises NotFoundError (above last_index + 1), IoError, NoMemoryError, ReadOnlyError, PoisonedError.
        """
        self._call(_library.walrus_truncate_front, _index(index))

    def reset(self, next_index: int) -> None:
        """Drops every entry, durably; the next one gets next_index. Raises InvalidError (0, above 2^63), IoError,
        NoMemoryError, ReadOnlyError, PoisonedError."""
        self._call(_library.walrus_reset, _index(next_index))


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
