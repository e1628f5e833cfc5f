# _library.py - the functions that need no log
#
# SPDX-License-Identifier: MIT
import os
from typing import Union

from ._ffi import BytesLike, as_bytes, as_text, check, library


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


def destroy(path: Union[str, bytes, "os.PathLike[str]"]) -> None:
    """Removes the log in directory path: its own files only, then the directory if it is empty."""
    check(library.walrus_destroy(as_text(os.fspath(path), "path")))
