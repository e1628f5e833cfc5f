# _cursor.py - positions in a log that move, and following a log
#
# SPDX-License-Identifier: MIT
import asyncio
import weakref
from ctypes import byref
from threading import RLock
from typing import Any, AsyncIterator, Iterator, Optional

from ._entry import Entry, lent_view
from ._errors import CaughtUpError, ClosedError, TimeoutError
from ._ffi import CEntry, as_index, library
from ._state import Owned, State


RECHECK_SECONDS = 1.0  # in an event loop


class Cursor:
    """A position between two entries; Log.cursor makes one.

    Iterating gives the entries behind it up to the end of the log as it is then, and can be taken up again later;
    follow(), and `async for`, go on waiting for more. Where the log is truncated below a cursor, it goes back to the
    cut. After close() of the cursor or the log all of its methods raise ClosedError.
    """

    def __init__(self, state: State, index: int, flags: int) -> None:
        self._state = state
        self._lock = RLock()  # C wants one thread at a time
        self._owner = Owned(state, library.walrus_cursor_close)
        self._finalizer = weakref.finalize(self, self._owner.free)
        self._finalizer.atexit = False
        state.call(library.walrus_cursor_open, as_index(index), flags, byref(self._owner.handle))

    def _call(self, function: Any, *arguments: Any) -> int:
        with self._lock:
            if not self._owner.handle:
                raise ClosedError("this cursor is closed: open another one with Log.cursor")
            return self._state.call_on(self._owner, function, *arguments)

    def _read(self, function: Any) -> Entry:
        entry = CEntry()
        self._call(function, byref(entry))
        return Entry(entry, lent_view(entry))

    def next(self) -> Entry:
        """Reads the entry behind the cursor, and steps over it.

        Raises CaughtUpError (there is none yet), CompactedError (it was truncated away at the front: seek), and what
        Log.get does. The cursor then stays.
        """
        return self._read(library.walrus_cursor_next)

    def prev(self) -> Entry:
        """Reads the entry before the cursor, and steps back over it.

        Raises NotFoundError (the cursor stands before the first one), CompactedError, and what Log.get does.
        """
        return self._read(library.walrus_cursor_prev)

    def seek(self, index: int) -> None:
        """Moves before the entry at index, or 0: the first. Raises NotFoundError, CompactedError: the cursor stays."""
        self._call(library.walrus_cursor_seek, as_index(index))

    @property
    def position(self) -> int:
        """The index that next() would read: where to go on after a restart."""
        position = self._call(library.walrus_cursor_position)
        if not position:
            self._state.check_usable()
        return position

    def wait(self, timeout: Optional[float] = None) -> None:
        """Waits until next() has something else to say than CaughtUpError; at most timeout seconds, if given.

        Raises TimeoutError, CanceledError (Log.interrupt), ClosedError, PoisonedError (nothing will come any more).
        Ctrl-C is heard.
        """
        self._state.wait(lambda left: self._call(library.walrus_cursor_wait, left), timeout)

    def __iter__(self) -> Iterator[Entry]:
        """The entries behind the cursor, up to the end."""
        while True:
            try:
                entry = self.next()
            except CaughtUpError:
                return
            yield entry

    def follow(self, timeout: Optional[float] = None) -> Iterator[Entry]:
        """The entries behind the cursor, and each that comes later; ends when none came for timeout seconds, if given.

        Raises what next() and wait() do, but CaughtUpError and TimeoutError.
        """
        while True:
            try:
                entry = self.next()
            except CaughtUpError:
                try:
                    self.wait(timeout)
                except TimeoutError:
                    return
                continue
            yield entry

    async def __aiter__(self) -> AsyncIterator[Entry]:
        """As follow(), in an event loop, which goes on meanwhile."""
        while True:
            try:
                entry = self.next()
            except CaughtUpError:
                watch = self._state.watcher()
                waiter = watch.register()
                try:
                    try:
                        entry = self.next()  # what came in before the loop was watching
                    except CaughtUpError:
                        # A read-only log's descriptor does not tell that more of what is there is durable now.
                        await asyncio.wait({waiter}, timeout=RECHECK_SECONDS)
                        continue
                finally:
                    watch.forget(waiter)
            yield entry

    def close(self) -> None:
        """Ends the use of the cursor; its entries stay valid. Calling it again does nothing."""
        with self._lock:
            self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether close() was called, on the cursor or on its log."""
        return not self._owner.handle or self._state.closing

    def __enter__(self) -> "Cursor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<walrus.Cursor of {self._state.path!r}{', closed' if self.closed else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a cursor can be neither copied nor pickled")
