# _ffi.py - walrus.h for ctypes: structures, prototypes, the library itself, and what crosses the boundary
#
# The library is $WALRUS_LIBRARY, or else lies in this package, in build/lib of the repository, or where the system's
# loader finds it.
#
# SPDX-License-Identifier: MIT
import array
import ctypes
import operator
import os
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from ctypes.util import find_library
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Tuple, Union

from ._errors import ERRORS, Error, InvalidError, UnsupportedError

ABI_VERSION = 1

BytesLike = Union[bytes, bytearray, memoryview]

# ---- Structures


class CError(ctypes.Structure):
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


class CRecord(ctypes.Structure):
    _fields_ = [
        ("data", c_char_p),  # not c_void_p: this one takes bytes as they are and keeps them alive
        ("size", c_size_t),
        ("index", c_uint64),
        ("term", c_uint64),
        ("timestamp_ns", c_int64),
        ("reserved", c_uint64 * 2),
    ]


class CEntry(ctypes.Structure):
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


class CRecoveryReport(ctypes.Structure):
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


class CSegmentInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("is_tail", c_uint32),
        ("id", c_uint64),
        ("first_index", c_uint64),
        ("last_index", c_uint64),
        ("bytes", c_uint64),
        ("file_bytes", c_uint64),
        ("highest_timestamp_ns", c_int64),
        ("name", c_char_p),
    ]


class CStats(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("is_poisoned", c_uint32),
        ("first_index", c_uint64),
        ("last_index", c_uint64),
        ("durable_index", c_uint64),
        ("segments", c_uint64),
        ("async_pending", c_uint64),
        ("txn_open", c_uint64),
        ("appends", c_uint64),
        ("entries_appended", c_uint64),
        ("bytes_appended", c_uint64),
        ("bytes_written", c_uint64),
        ("syncs", c_uint64),
        ("entries_synced", c_uint64),
        ("largest_group", c_uint64),
        ("sync_ns", c_uint64),
        ("sync_ns_max", c_uint64),
        ("sync_histogram", c_uint64 * 24),
        ("rotations", c_uint64),
        ("truncations", c_uint64),
        ("segments_removed", c_uint64),
        ("segment_cache_hits", c_uint64),
        ("segment_cache_misses", c_uint64),
        ("txn_committed", c_uint64),
        ("txn_rolled_back", c_uint64),
        ("txn_expired", c_uint64),
        ("meta_updates", c_uint64),
        ("recovery_ns", c_uint64),
        ("recovery_bytes_cut", c_uint64),
        ("recovery_entries_cut", c_uint64),
    ]


# ---- Prototypes

OptionVisit = ctypes.CFUNCTYPE(c_int32, c_void_p, c_char_p, c_char_p, c_char_p)
Logger = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
Visit = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(CEntry))
Done = ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_int32)
MetaVisit = ctypes.CFUNCTYPE(c_int32, c_void_p, c_char_p, c_void_p, c_size_t)
SegmentVisit = ctypes.CFUNCTYPE(c_int32, c_void_p, POINTER(CSegmentInfo))
Progress = ctypes.CFUNCTYPE(c_int32, c_void_p, c_uint64, c_uint64)

# Every function of walrus.h: result, then arguments.
PROTOTYPES: Dict[str, Tuple[Any, ...]] = {
    "walrus_version": (c_char_p,),
    "walrus_version_number": (c_uint32,),
    "walrus_abi_version": (c_uint32,),
    "walrus_strerror": (c_char_p, c_int32),
    "walrus_last_error": (c_int32, POINTER(CError)),
    "walrus_crc32": (c_uint32, c_char_p, c_size_t),
    "walrus_options_new": (c_void_p,),
    "walrus_options_free": (None, c_void_p),
    "walrus_options_set": (c_int32, c_void_p, c_char_p, c_char_p),
    "walrus_options_set_u64": (c_int32, c_void_p, c_char_p, c_uint64),
    "walrus_options_get": (c_int32, c_void_p, c_char_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "walrus_options_each": (c_int32, c_void_p, OptionVisit, c_void_p),
    "walrus_options_set_logger": (c_int32, c_void_p, Logger, c_void_p, c_int32),
    "walrus_open": (c_int32, c_char_p, c_void_p, POINTER(c_void_p)),
    "walrus_shutdown": (c_int32, c_void_p),
    "walrus_close": (c_int32, c_void_p),
    "walrus_recovery_report": (c_int32, c_void_p, POINTER(CRecoveryReport)),
    "walrus_destroy": (c_int32, c_char_p),
    "walrus_append": (c_int32, c_void_p, c_char_p, c_size_t, POINTER(c_uint64)),
    "walrus_append_record": (c_int32, c_void_p, POINTER(CRecord), c_uint32, POINTER(c_uint64)),
    "walrus_append_batch": (c_int32, c_void_p, POINTER(CRecord), c_size_t, c_uint32, POINTER(c_uint64)),
    "walrus_sync": (c_int32, c_void_p),
    "walrus_durable_index": (c_uint64, c_void_p),
    "walrus_first_index": (c_uint64, c_void_p),
    "walrus_last_index": (c_uint64, c_void_p),
    "walrus_next_index": (c_uint64, c_void_p),
    "walrus_get": (c_int32, c_void_p, c_uint64, POINTER(CEntry)),
    "walrus_entry_release": (None, POINTER(CEntry)),
    "walrus_read": (c_int32, c_void_p, c_uint64, c_void_p, c_size_t, POINTER(c_size_t)),
    "walrus_scan": (c_int32, c_void_p, c_uint64, c_uint64, Visit, c_void_p),
    "walrus_get_range": (
        c_int32, c_void_p, c_uint64, c_uint64, c_size_t, POINTER(CEntry), c_size_t, POINTER(c_size_t)
    ),
    "walrus_entries_release": (None, POINTER(CEntry), c_size_t),
    "walrus_term": (c_int32, c_void_p, c_uint64, POINTER(c_uint64)),
    "walrus_truncate": (c_int32, c_void_p, c_uint64),
    "walrus_truncate_front": (c_int32, c_void_p, c_uint64),
    "walrus_reset": (c_int32, c_void_p, c_uint64),
    "walrus_append_packed": (
        c_int32, c_void_p, c_void_p, c_void_p, c_size_t, c_uint64, c_uint32, POINTER(c_uint64)
    ),
    "walrus_append_async": (
        c_int32, c_void_p, POINTER(CRecord), c_uint32, Done, c_void_p, POINTER(c_uint64)
    ),
    "walrus_wait_durable": (c_int32, c_void_p, c_uint64, c_int64),
    "walrus_notify_fd": (c_int32, c_void_p, POINTER(c_int)),
    "walrus_interrupt": (c_int32, c_void_p),
    "walrus_read_packed": (
        c_int32, c_void_p, c_uint64, c_size_t, c_void_p, c_size_t, c_void_p, POINTER(c_size_t)
    ),
    "walrus_last_index_of_term": (c_int32, c_void_p, c_uint64, POINTER(c_uint64)),
    "walrus_seek_time": (c_int32, c_void_p, c_int64, POINTER(c_uint64)),
    "walrus_cursor_open": (c_int32, c_void_p, c_uint64, c_uint32, POINTER(c_void_p)),
    "walrus_cursor_next": (c_int32, c_void_p, POINTER(CEntry)),
    "walrus_cursor_prev": (c_int32, c_void_p, POINTER(CEntry)),
    "walrus_cursor_seek": (c_int32, c_void_p, c_uint64),
    "walrus_cursor_position": (c_uint64, c_void_p),
    "walrus_cursor_wait": (c_int32, c_void_p, c_int64),
    "walrus_cursor_close": (None, c_void_p),
    "walrus_replace_suffix": (c_int32, c_void_p, c_uint64, POINTER(CRecord), c_size_t, c_uint32),
    "walrus_txn_begin": (c_int32, c_void_p, c_int64, POINTER(c_void_p)),
    "walrus_txn_append": (c_int32, c_void_p, POINTER(CRecord)),
    "walrus_txn_commit": (c_int32, c_void_p, c_uint32, POINTER(c_uint64), POINTER(c_uint64)),
    "walrus_txn_rollback": (c_int32, c_void_p),
    "walrus_txn_state": (c_int32, c_void_p),
    "walrus_txn_count": (c_uint64, c_void_p),
    "walrus_txn_expire": (c_int32, c_void_p, POINTER(c_uint64)),
    "walrus_meta_set": (c_int32, c_void_p, c_char_p, c_char_p, c_size_t),
    "walrus_meta_get": (c_int32, c_void_p, c_char_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "walrus_meta_delete": (c_int32, c_void_p, c_char_p),
    "walrus_meta_each": (c_int32, c_void_p, MetaVisit, c_void_p),
    "walrus_meta_stage": (c_int32, c_void_p, c_char_p, c_char_p, c_size_t),
    "walrus_rotate": (c_int32, c_void_p),
    "walrus_segments": (c_int32, c_void_p, SegmentVisit, c_void_p),
    "walrus_stats": (c_int32, c_void_p, POINTER(CStats)),
    "walrus_stats_text": (c_int32, c_void_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "walrus_convert": (c_int32, c_char_p, c_char_p, c_void_p, Progress, c_void_p),
}

# ---- The library


def _find_library() -> ctypes.CDLL:
    """Loads the library from the first place that has one; what is there but does not load is an error."""
    named = os.environ.get("WALRUS_LIBRARY")
    here = Path(__file__).resolve().parent
    built = here.parent.parent.parent / "build" / "lib"
    names = ("libwalrus.so", "libwalrus.so.1", "libwalrus.dylib")
    places = [here / name for name in names] + [built / name for name in names]
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
        f"libwalrus was not found in {here}, in {built} or by the system's loader. "
        "Build it with `make`, or name it: WALRUS_LIBRARY=/path/to/libwalrus.so"
    )


def _missing(name: str, version: int) -> Any:
    """Stands for a function that an older library of the same interface does not have."""

    def unsupported(*_: Any) -> Any:
        raise UnsupportedError(
            f"libwalrus {version // 10000}.{version // 100 % 100}.{version % 100} has no {name}: take a later one"
        )

    return unsupported


def _load() -> Any:
    library: Any = _find_library()
    try:
        # The interface's version first: a library of another one may lack, or mean otherwise, all the rest.
        library.walrus_abi_version.restype = c_uint32
        abi = library.walrus_abi_version()
        if abi != ABI_VERSION:
            raise ImportError(
                f"{library._name} has interface version {abi}, this package needs {ABI_VERSION}: "
                "take both from the same release of libwalrus"
            )
        for name, (result, *arguments) in PROTOTYPES.items():
            function = getattr(library, name, None)
            if function is None:
                setattr(library, name, _missing(name, library.walrus_version_number()))
                continue
            function.restype = result
            function.argtypes = arguments
    except AttributeError as error:
        raise ImportError(
            f"{library._name} is not the libwalrus that this package needs: {error}. "
            "Take both from the same release of libwalrus."
        ) from error
    return library


library = _load()

# ---- What crosses the boundary


def failure(code: int) -> Error:
    """The exception for what the calling thread's last call answered."""
    record = CError(struct_size=ctypes.sizeof(CError))
    library.walrus_last_error(byref(record))
    if record.code != code:  # a destructor's own failure came between: what remains is the code's text
        record = CError()
    message = record.message.decode("utf-8", "replace") or library.walrus_strerror(code).decode()
    return ERRORS.get(code, Error)(
        message, code=code, errno=record.os_errno, index=record.index, offset=record.offset,
        path=os.fsdecode(record.path),
    )


def check(code: int) -> int:
    if code < 0:
        raise failure(code)
    return code


def as_number(value: Any, what: str) -> int:
    """An integer that fits uint64_t: ctypes itself would cut the rest off without a word."""
    number = operator.index(value)
    if not 0 <= number < 1 << 64:
        raise InvalidError(f"{what} must be from 0 to 2^64 - 1, and {number} is not")
    return number


def as_index(value: Any) -> int:
    number = operator.index(value)
    if not 0 <= number < 1 << 64:
        raise InvalidError(
            f"an index must be from 0 to 2^64 - 1, and {number} is not. Indexes are the entries' own numbers, "
            "not positions: the last entry is log[log.last_index]"
        )
    return number


def as_stamp(value: Any) -> int:
    number = operator.index(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise InvalidError(f"timestamp_ns must fit in 64 bits, and {number} does not")
    return number


def as_bytes(data: BytesLike) -> bytes:
    # memoryview refuses what is not bytes-like; bytes(5), on the other hand, would be five zeros.
    return data if type(data) is bytes else bytes(memoryview(data))


def as_text(value: Union[str, bytes], what: str) -> bytes:
    """A string for C, which ends at the first NUL: one inside would silently name something else."""
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise InvalidError(f"{what} must not contain a NUL character: {value!r}")
    return encoded


def writable(buffer: Any) -> Any:
    """What C may write into: an array that shares the buffer's memory, and keeps it."""
    return (c_char * memoryview(buffer).nbytes).from_buffer(buffer)


def readable(data: Any) -> Tuple[Any, int]:
    """What C may read from, and its size: without a copy wherever ctypes can do without."""
    if type(data) is bytes:
        return data, len(data)
    view = memoryview(data)
    if view.readonly or not view.c_contiguous:
        copy = bytes(view)
        return copy, len(copy)
    return (c_char * view.nbytes).from_buffer(view), view.nbytes


def as_sizes(sizes: Iterable[int]) -> "array.array[int]":
    """Sizes as uint32_t, in an array of our own: C trusts them, and another thread might change the caller's."""
    try:
        return array.array("I", sizes)
    except OverflowError:
        raise InvalidError("each size must be from 0 to 2^32 - 1") from None


def milliseconds(timeout: float) -> int:
    """Seconds as C wants them, rounded up: who waits 0.1 ms does not mean to poll."""
    return min(max(-int(-timeout * 1000 // 1), 0), 1 << 53)


_SYNCS = {None: 0, "always": 1, "os": 2, "none": 4}


def as_flags(sync: Optional[str]) -> int:
    try:
        return _SYNCS[sync]
    except (KeyError, TypeError):
        raise InvalidError(f'sync must be None, "always", "os" or "none", and {sync!r} is none of them') from None
