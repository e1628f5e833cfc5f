# _state.py - one handle of an open log, and the rules that keep it safe
#
#   - No call reaches C with a freed handle. Each call is counted while it lasts; close() first turns new ones away,
#     then waits until none is left, then frees. Cursors and transactions keep the same rule: they call through here.
#   - A wait that may be long is made of short ones, so that Ctrl-C and close() are heard.
#   - What a logger runs inside of may hold a lock of the library: from there no call goes back.
#
# SPDX-License-Identifier: MIT
import os
import threading
import time
import warnings
from ctypes import byref, c_int, c_void_p
from threading import get_ident
from typing import Any, Callable, Dict, Optional

from ._async import Completer, Watch
from ._entry import late, release_late
from ._errors import BusyError, CanceledError, ClosedError, ForkedError, TimeoutError
from ._ffi import check, library, milliseconds
from ._options import leave, logging_threads

SLICE_MS = 100  # how long a wait stays in C at once


class State:
    """What a log shares with its cursors and transactions. It must not know the log, or that would never die."""

    def __init__(self, path: str, logger: Any) -> None:
        self.path = path
        self.logger = logger  # C calls it until walrus_close has returned
        self.handle = c_void_p()
        self.pid = os.getpid()
        self.active: Dict[int, int] = {}  # calls in flight, by thread
        self.closing = False
        self.shut_down = False
        self.close_once = threading.Lock()
        self.freeing = threading.RLock()  # held while C frees what belongs to the log, or the log itself
        self.interrupts = 0
        self.completer = Completer(self)
        self.watch: Optional[Watch] = None
        self.watch_once = threading.Lock()

    def forked(self) -> bool:
        return os.getpid() != self.pid

    # ---- Calls

    def call(self, function: Any, *arguments: Any) -> int:
        """Calls function with the log's handle, unless the log is closed, and raises its error."""
        return self.call_on(self, function, *arguments)

    def call_on(self, owner: Any, function: Any, *arguments: Any) -> int:
        """The same with the handle of a cursor or a transaction. It is looked up once nothing can free it any more."""
        me = get_ident()
        if me in logging_threads:
            raise BusyError("a logger may not use a log: hand the message to another thread")
        active = self.active
        active[me] = active.get(me, 0) + 1
        try:
            if self.closing:
                raise ClosedError(f"log {self.path!r} is closed: open it again to use it", path=self.path)
            if late:
                release_late()
            return check(function(owner.handle, *arguments))
        finally:
            leave(active, me)

    def number(self, function: Any) -> int:
        """Calls a function whose answer is a number, and 0 also where it cannot answer."""
        number = self.call(function)
        if not number:
            self.check_usable()
        return number

    def check_usable(self) -> None:
        if self.forked():
            raise ForkedError(f"log {self.path!r} was opened before the fork: open it anew here", path=self.path)
        if self.shut_down or self.closing:
            raise ClosedError(f"log {self.path!r} was shut down: open it again to use it", path=self.path)

    def wait(self, call: Callable[[int], object], timeout: Optional[float]) -> None:
        """Calls call with milliseconds until it does not say TIMEOUT any more, or timeout seconds are over."""
        deadline = None if timeout is None else time.monotonic() + max(timeout, 0)
        interrupts = self.interrupts
        while True:
            left = SLICE_MS if deadline is None else min(milliseconds(deadline - time.monotonic()), SLICE_MS)
            try:
                call(left)
                return
            except TimeoutError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
            if self.interrupts != interrupts:  # it came between two short waits
                raise CanceledError("interrupt() ended the wait", path=self.path)

    # ---- Event loops

    def watcher(self) -> Watch:
        with self.watch_once:
            if self.watch is None:
                fd = c_int()
                self.call(library.walrus_notify_fd, byref(fd))
                self.watch = Watch(fd.value)
            return self.watch

    def appended(self) -> None:
        """Tells cursors in event loops of entries that are not durable yet: of those the descriptor says nothing."""
        if self.watch is not None:
            self.watch.wake()

    # ---- Close

    def close(self) -> None:
        if not self.close_once.acquire(blocking=False):
            return
        # From here on calls are turned away. Each one enters itself before it looks at closing, so that none
        # slips through between the two. In a forked child those of other threads are not there to wait for.
        self.closing = True
        try:
            while self.active and not self.forked():
                time.sleep(0.0002)
            if not self.forked():
                self.completer.finish()
        except BaseException:  # Ctrl-C: the log is open as before
            self.closing = False
            self.close_once.release()
            raise
        with self.freeing:
            handle, self.handle = self.handle, c_void_p()
            code = library.walrus_close(handle)
        if self.watch is not None and not self.forked():
            self.watch.wake()
        if code != ForkedError.code:
            check(code)


class Owned:
    """The handle of a cursor or a transaction, and who frees it."""

    def __init__(self, state: State, function: Any) -> None:
        self.state = state
        self.function = function
        self.handle = c_void_p()

    def free(self) -> None:
        handle, self.handle = self.handle, c_void_p()
        if not handle or self.state.forked():  # the child has a copy of the memory, and nothing else of it
            return
        if get_ident() in logging_threads:
            late.append((self.function, handle))
            return
        with self.state.freeing:  # not while another thread closes the log
            self.function(handle)


def close_abandoned(state: State) -> None:
    if not state.closing and not state.forked():
        warnings.warn(f"log {state.path!r} was never closed: use a with statement", ResourceWarning, stacklevel=2)
    state.close()
