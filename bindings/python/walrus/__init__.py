# walrus - libwalrus, the embeddable write-ahead log, for Python
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
#   _log.py           Log, and open          _errors.py    an exception class for each code
#   _cursor.py        following a log        _options.py   options and the logger
#   _transaction.py   atomic appends         _entry.py     entries, records, and whose memory they show
#   _meta.py          metadata, a mapping    _reports.py   recovery, counts, segments
#   _async.py         futures, event loops   _state.py     one handle, and the rules that keep it safe
#   _library.py       what needs no log      _ffi.py       walrus.h for ctypes
#
# Three rules keep C safe from Python's mistakes: no call reaches C with a freed handle, no view outlives its memory,
# and no exception unwinds through C. Threads may share a log: the interpreter's lock is free while C works.
#
# SPDX-License-Identifier: MIT
"""An embeddable write-ahead log: entries of bytes, at indexes that grow by one, durable when you say so."""

from ._async import AppendFuture
from ._cursor import Cursor
from ._entry import Entry, Packed, Record
from ._errors import (
    BusyError,
    CanceledError,
    CaughtUpError,
    ClosedError,
    CompactedError,
    CorruptError,
    Error,
    ExistsError,
    ForkedError,
    FormatError,
    InternalError,
    InvalidError,
    IoError,
    LockedError,
    NoLogError,
    NoMemoryError,
    NoSpaceError,
    NotALogError,
    NotFoundError,
    OutOfOrderError,
    PoisonedError,
    ReadOnlyError,
    TimeoutError,
    TooLargeError,
    TooSmallError,
    TornError,
    TxnExpiredError,
    TxnFullError,
    TxnStateError,
    UnsupportedError,
    VersionError,
)
from ._ffi import ABI_VERSION
from ._library import abi_version, convert, crc32, destroy, strerror, version, version_number
from ._log import Log, open
from ._meta import Metadata
from ._options import LogLevel, Option, options
from ._reports import Recovery, RecoveryReport, Segment, Stats
from ._transaction import Transaction, TxnState

__version__ = version()

__all__ = [
    "ABI_VERSION",
    "AppendFuture",
    "BusyError",
    "CanceledError",
    "CaughtUpError",
    "ClosedError",
    "CompactedError",
    "CorruptError",
    "Cursor",
    "Entry",
    "Error",
    "ExistsError",
    "ForkedError",
    "FormatError",
    "InternalError",
    "InvalidError",
    "IoError",
    "LockedError",
    "Log",
    "LogLevel",
    "Metadata",
    "NoLogError",
    "NoMemoryError",
    "NoSpaceError",
    "NotALogError",
    "NotFoundError",
    "Option",
    "OutOfOrderError",
    "Packed",
    "PoisonedError",
    "ReadOnlyError",
    "Record",
    "Recovery",
    "RecoveryReport",
    "Segment",
    "Stats",
    "TimeoutError",
    "TooLargeError",
    "TooSmallError",
    "TornError",
    "Transaction",
    "TxnExpiredError",
    "TxnFullError",
    "TxnState",
    "TxnStateError",
    "UnsupportedError",
    "VersionError",
    "abi_version",
    "crc32",
    "convert",
    "destroy",
    "open",
    "options",
    "strerror",
    "version",
    "version_number",
]
