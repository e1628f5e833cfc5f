# _library.py - the functions that need no log
#
# SPDX-License-Identifier: MIT
import os
from typing import Any, Callable, List, Optional, Union

from ._ffi import BytesLike, Progress, as_bytes, as_text, check, library
from ._options import Options, Setting

Path = Union[str, bytes, "os.PathLike[str]"]


def version() -> str:
    """The library's version, as "major.minor.patch"."""
    return str(library.walrus_version().decode())


def version_number() -> int:
    """The library's version as major * 10000 + minor * 100 + patch."""
    return int(library.walrus_version_number())


def abi_version() -> int:
    """The version of the library's binary interface; always ABI_VERSION, or the import would have failed."""
    return int(library.walrus_abi_version())


def strerror(code: int) -> str:
    """The name of an error code and what it means."""
    return str(library.walrus_strerror(code).decode("utf-8", "replace"))


def crc32(data: BytesLike) -> int:
    """CRC-32 (IEEE) of data, as in Entry.checksum and zlib.crc32."""
    content = as_bytes(data)
    return int(library.walrus_crc32(content, len(content)))


def destroy(path: Path) -> None:
    """Removes the log in directory path: its own files only, then the directory if it is empty."""
    check(library.walrus_destroy(as_text(os.fspath(path), "path")))


def convert(
    source: Path, target: Path, *, progress: Optional[Callable[[int, int], Any]] = None, **settings: Setting
) -> bool:
    """Copies the log in directory source into one in directory target, in the format and with the compression of the settings.

    Indexes, terms, timestamps and metadata stay as they are, and everything is read back and compared. progress is called
    with how many of how many entries are done; where it returns something true the copy is broken off, and goes on
    when it is called again. True if the copy is complete. Raises what open does for either directory,
    ExistsError (the target holds something else), and what progress raises.
    """
    raised: List[BaseException] = []

    def trampoline(_context: Any, done: int, total: int) -> int:
        try:
            return 1 if progress is not None and progress(done, total) else 0
        except BaseException as error:
            raised.append(error)
            return 1

    with Options(settings) as options:
        stopped = check(
            library.walrus_convert(
                as_text(os.fspath(source), "source"), as_text(os.fspath(target), "target"), options.handle,
                Progress(trampoline), None,
            )
        )
    if raised:
        raise raised[0]
    return stopped == 0
