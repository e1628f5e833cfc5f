# _errors.py - an exception class for each code of walrus.h
#
# SPDX-License-Identifier: MIT
import builtins
from typing import Dict, Type


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
    """No such index yet (it is above the last one), or no such entry."""

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
    """The buffer given is too small; size is what it takes."""

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


class TimeoutError(Error, builtins.TimeoutError):  # type: ignore[misc]  # OSError's errno may be None
    """The time given is over."""

    code = -21


class CanceledError(Error):
    """interrupt() ended the wait."""

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


ERRORS: Dict[int, Type[Error]] = {error.code: error for error in Error.__subclasses__()}
