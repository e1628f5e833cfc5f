# _transaction.py - entries staged for one atomic append
#
# SPDX-License-Identifier: MIT
import enum
import math
import weakref
from ctypes import byref, c_uint64
from threading import RLock
from types import TracebackType
from typing import Any, Optional, Type

from ._entry import Record, fill
from ._errors import CanceledError, Error, TxnStateError
from ._ffi import BytesLike, CRecord, as_flags, library, milliseconds
from ._state import Owned, State


class TxnState(enum.IntEnum):
    """What may be done with a transaction."""

    OPEN = 1  # takes entries
    EXPIRED = 2  # its time was over; roll it back
    COMMITTED = 3  # its entries are in the log


class Transaction:
    """Entries that are appended together or not at all; Log.transaction makes one.

    Leaving its with statement commits it; leaving it by an exception rolls it back. Once it is committed or rolled
    back, its methods raise TxnStateError. A transaction that is dropped is rolled back.
    """

    def __init__(self, state: State, timeout: Optional[float]) -> None:
        self._state = state
        self._lock = RLock()  # C wants one thread at a time
        self._owner = Owned(state, library.walrus_txn_rollback)
        self._indexes: Optional[range] = None
        timeout_ms = 0 if timeout is None else -1 if timeout == math.inf else max(milliseconds(timeout), 1)
        self._finalizer = weakref.finalize(self, self._owner.free)
        self._finalizer.atexit = False
        state.call(library.walrus_txn_begin, timeout_ms, byref(self._owner.handle))

    def _call(self, owner: Owned, function: Any, *arguments: Any) -> int:
        if not owner.handle:
            done = "rolled back" if self._indexes is None else "committed"
            raise TxnStateError(f"the transaction was {done}: begin another one with Log.transaction")
        return self._state.call_on(owner, function, *arguments)

    def append(self, data: BytesLike, *, index: int = 0, term: int = 0, timestamp_ns: int = 0) -> None:
        """Stages an entry. Raises TxnFullError, TxnExpiredError, TooLargeError: the transaction stays as it was."""
        record = CRecord()
        fill(record, Record(data, index, term, timestamp_ns))
        with self._lock:
            self._call(self._owner, library.walrus_txn_append, byref(record))

    def commit(self, *, sync: Optional[str] = None) -> range:
        """Appends what was staged as one batch; returns the indexes.

        sync is that of Log.append_record. Raises TxnExpiredError and what Log.append_batch does; after NoSpaceError,
        OutOfOrderError and NoMemoryError the transaction is open as before; after CanceledError its entries are in
        the log, at indexes, but not known to be durable.
        """
        first, count = c_uint64(), c_uint64()
        flags = as_flags(sync)
        with self._lock:
            # Success frees the handle. So it is given away first: a Ctrl-C that is raised as soon as C is back leaves
            # nothing here that could be freed again.
            owner = self._owner
            given = Owned(self._state, None)
            given.handle, owner.handle = owner.handle, given.handle
            try:
                self._call(given, library.walrus_txn_commit, flags, byref(first), byref(count))
            except Error as error:
                owner.handle = given.handle
                if isinstance(error, CanceledError):
                    self._indexes = range(first.value, first.value + count.value)
                raise
            self._indexes = range(first.value, first.value + count.value)
        self._state.appended()
        return self._indexes

    def rollback(self) -> None:
        """Drops what was staged. Calling it again, or after commit, does nothing."""
        with self._lock:
            self._finalizer()

    @property
    def indexes(self) -> Optional[range]:
        """Where the entries are, once they are committed."""
        return self._indexes

    @property
    def state(self) -> TxnState:
        """OPEN, EXPIRED or COMMITTED. Raises TxnStateError after rollback()."""
        with self._lock:
            if not self._owner.handle and self._indexes is not None:
                return TxnState.COMMITTED
            return TxnState(self._call(self._owner, library.walrus_txn_state))

    def __enter__(self) -> "Transaction":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        try:
            # One that was ended inside the with statement is not ended twice.
            if kind is None and self._owner.handle:
                self.commit()
        finally:
            self.rollback()

    def __repr__(self) -> str:
        return f"<walrus.Transaction of {self._state.path!r}>"

    def __reduce__(self) -> Any:
        raise TypeError("a transaction can be neither copied nor pickled")
