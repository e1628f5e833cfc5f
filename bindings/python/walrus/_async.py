# _async.py - completions of asynchronous appends, and event loops
#
# The library could call back itself, on a thread of its own. A Python thread that waits does the same work, and is
# safe when the interpreter ends or forks: no thread that Python does not know ever comes in.
#
# SPDX-License-Identifier: MIT
import asyncio
import concurrent.futures
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, Generator, Optional, Set, Tuple

from ._errors import CanceledError, CompactedError, Error, NotFoundError, TimeoutError
from ._ffi import failure, library

if TYPE_CHECKING:
    from ._state import State

    IntFuture = concurrent.futures.Future[int]
    Waiter = asyncio.Future[None]
else:
    IntFuture = concurrent.futures.Future

Callback = Callable[[int, Optional[Error]], object]


class AppendFuture(IntFuture):
    """The outcome of an append_async: its result is the entry's index, once that is durable.

    index is known at once. It can be awaited in a coroutine. It cannot be cancelled: the entry is in the log.
    """

    def __init__(self) -> None:
        super().__init__()
        self.index = 0
        self.set_running_or_notify_cancel()

    def __await__(self) -> Generator[Any, None, int]:
        return asyncio.wrap_future(self).__await__()

    def _complete(self, index: int, error: Optional[Error]) -> None:
        if error is None:
            self.set_result(index)
        else:
            self.set_exception(error)


class Completer:
    """Waits until asynchronous appends are durable, and tells, in the order of their indexes, on one thread."""

    def __init__(self, state: "State") -> None:
        self.state = state
        self.order = threading.Lock()  # held while an append gets its index and its place in pending
        self.changed = threading.Condition()
        self.pending: Deque[Tuple[int, Callback]] = deque()
        self.thread: Optional[threading.Thread] = None
        self.idle = False  # the thread waits for something to do
        self.stopped = False

    def submit(self, append: Callable[[], int], told: Callback) -> int:
        with self.order:
            index = append()
            self.pending.append((index, told))
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="walrus-completions", daemon=True)
                self.thread.start()
            # It says that it is idle before it looks at pending for the last time, so one of the two sees the other.
            elif self.idle:
                with self.changed:
                    self.changed.notify()
        return index

    def finish(self) -> None:
        """Tells of what is still pending, and ends the thread. No more will be submitted."""
        thread = self.thread
        try:
            with self.changed:
                self.stopped = True
                self.changed.notify()
            if thread is threading.current_thread():  # a callback dropped the last reference to the log
                self._drain()
            elif thread is not None:
                thread.join()
        except BaseException:  # Ctrl-C: the log stays open, and the thread goes on, or is started anew
            with self.changed:
                self.stopped = False
            raise

    def is_current(self) -> bool:
        return self.thread is threading.current_thread()

    def _run(self) -> None:
        while True:
            with self.changed:
                self.idle = True
                while not self.pending and not self.stopped:
                    self.changed.wait()
                self.idle = False
                if not self.pending:
                    self.thread = None
                    return
            self._drain()

    def _drain(self) -> None:
        while self.pending:
            index, told = self.pending[0]
            error = self._outcome(index)
            self.pending.popleft()
            self._tell(told, index, error)

    def _outcome(self, index: int) -> Optional[Error]:
        handle = self.state.handle  # close() waits for this thread before it frees it
        # Asked for each one anew: a truncation may give an index that had been durable to an entry that is not yet.
        if index <= library.walrus_durable_index(handle):
            return None
        while True:
            code = library.walrus_wait_durable(handle, index, 1000)
            if code == 0 or code in (NotFoundError.code, CompactedError.code):  # a truncation dropped it: that is done
                return None
            if code not in (TimeoutError.code, CanceledError.code):
                return failure(code)

    @staticmethod
    def _tell(told: Callback, index: int, error: Optional[Error]) -> None:
        try:
            told(index, error)
        except BaseException:  # as for any other thread's exception; the next one is told all the same
            kind, value, traceback = sys.exc_info()
            threading.excepthook(threading.ExceptHookArgs((kind, value, traceback, threading.current_thread())))


class Watch:
    """Wakes coroutines, of however many event loops, when the log's descriptor says that something has moved.

    The descriptor is a copy: a loop may look at it a moment longer than the log is open.
    """

    def __init__(self, fd: int) -> None:
        self.fd = os.dup(fd)
        self.lock = threading.Lock()
        self.waiters: "Dict[asyncio.AbstractEventLoop, Set[Waiter]]" = {}

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.fd)

    def register(self) -> "Waiter":
        """A future that is done at the next wake; to be called in a loop, and followed by forget."""
        loop = asyncio.get_running_loop()
        waiter: "Waiter" = loop.create_future()
        with self.lock:
            waiting = self.waiters.setdefault(loop, set())
            waiting.add(waiter)
            if len(waiting) == 1:
                loop.add_reader(self.fd, self._readable)
        return waiter

    def forget(self, waiter: "Waiter") -> None:
        loop = waiter.get_loop()
        with self.lock:
            waiting = self.waiters[loop]
            waiting.discard(waiter)
            if not waiting:
                del self.waiters[loop]
                loop.remove_reader(self.fd)

    def wake(self) -> None:
        with self.lock:
            waiting = [(loop, tuple(waiters)) for loop, waiters in self.waiters.items()]
        for loop, waiters in waiting:
            try:
                loop.call_soon_threadsafe(_finish, waiters)
            except RuntimeError:  # the loop is closed, and nobody waits in it any more
                pass

    def _readable(self) -> None:
        try:
            os.read(self.fd, 8)
        except OSError:  # another loop was faster
            pass
        self.wake()  # those of other loops, too: reading has cleared it for all


def _finish(waiters: "Tuple[Waiter, ...]") -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
