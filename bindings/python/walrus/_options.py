# _options.py - the options of walrus.open, and its logger
#
# SPDX-License-Identifier: MIT
import ctypes
import enum
from ctypes import byref, c_size_t
from threading import get_ident
from typing import Any, Callable, Dict, List, NamedTuple, Tuple, Union

from ._errors import NoMemoryError
from ._ffi import Logger, OptionVisit, as_number, as_text, check, library

Setting = Union[str, int, bool]


class Option(NamedTuple):
    """One option of walrus.open: its value and its default as text, and what is allowed, in words."""

    value: str
    default: str
    allowed: str


class Options:
    """An options handle, freed at the end of its with statement."""

    def __init__(self, settings: Dict[str, Setting]) -> None:
        self.handle = library.walrus_options_new()
        if not self.handle:
            raise NoMemoryError("there is no memory for a log's options")
        try:
            for key, value in settings.items():
                self.set(key, value)
        except BaseException:
            self.free()
            raise

    def set(self, key: str, value: Setting) -> None:
        name = as_text(key, "an option's name")
        if isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(value, str):
            check(library.walrus_options_set(self.handle, name, as_text(value, f"option {key}")))
        else:
            check(library.walrus_options_set_u64(self.handle, name, as_number(value, f"option {key}")))

    def get(self, key: bytes) -> str:
        size = c_size_t()
        library.walrus_options_get(self.handle, key, None, 0, byref(size))
        buffer = ctypes.create_string_buffer(max(size.value, 1))
        check(library.walrus_options_get(self.handle, key, buffer, size.value, None))
        return buffer.value.decode()

    def free(self) -> None:
        library.walrus_options_free(self.handle)
        self.handle = None

    def __enter__(self) -> "Options":
        return self

    def __exit__(self, *_: object) -> None:
        self.free()


def options(**settings: Setting) -> Dict[str, Option]:
    """All options of walrus.open, as they are with these settings; raises InvalidError where one is wrong."""
    found: List[Tuple[bytes, bytes, bytes]] = []

    def visit(_context: Any, key: bytes, default: bytes, allowed: bytes) -> int:
        found.append((key, default, allowed))
        return 0

    with Options(settings) as handle:
        check(library.walrus_options_each(handle.handle, OptionVisit(visit), None))
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
logging_threads: Dict[int, int] = {}


def logger_callback(function: Callable[[int, str], object]) -> Any:
    def log(_context: Any, level: int, message: bytes) -> None:
        me = get_ident()
        logging_threads[me] = logging_threads.get(me, 0) + 1
        try:
            function(level, message.decode("utf-8", "replace"))
        finally:
            leave(logging_threads, me)

    return Logger(log)


def leave(counts: Dict[int, int], me: int) -> None:
    depth = counts[me] - 1
    if depth:
        counts[me] = depth
    else:
        del counts[me]
