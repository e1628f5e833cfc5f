# _meta.py - small durable values beside the log, as a mapping
#
# SPDX-License-Identifier: MIT
import ctypes
from collections.abc import MutableMapping as _MutableMapping
from ctypes import byref, c_size_t
from typing import TYPE_CHECKING, Any, Dict, ItemsView, Iterator, List, Tuple, Union, ValuesView

from ._errors import ClosedError, InvalidError, NotFoundError, TooSmallError
from ._ffi import BytesLike, MetaVisit, as_bytes, library
from ._state import State

if TYPE_CHECKING:
    from typing import MutableMapping

    Values = MutableMapping[str, bytes]
else:
    Values = _MutableMapping

Key = Union[str, bytes]


def _key(key: Key) -> bytes:
    if not isinstance(key, (str, bytes)):
        raise TypeError(f"a key is a string, and {key!r} is none")
    encoded = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
    if not encoded or b"\0" in encoded:
        raise InvalidError(f"a key is a string of 1 to 255 bytes without NUL, and {key!r} is not")
    return encoded


class Metadata(Values):
    """A log's metadata: log.meta["vote"] = b"...". No entries: no truncation, reset or retention touches them.

    Keys are strings of up to 255 bytes; all keys and values together may take up 64 KiB. Setting and deleting are
    durable on return, whatever sync says. A key that is not there is a KeyError.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def __getitem__(self, key: Key) -> bytes:
        name = _key(key)
        capacity = 256
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            size = c_size_t()
            try:
                self._state.call(library.walrus_meta_get, name, buffer, capacity, byref(size))
                return buffer.raw[: size.value]
            except TooSmallError:
                capacity = size.value
            except NotFoundError:
                raise KeyError(key) from None

    def __setitem__(self, key: Key, value: BytesLike) -> None:
        """Raises TooLargeError, NoSpaceError, IoError, ReadOnlyError, PoisonedError."""
        content = as_bytes(value)
        self._state.call(library.walrus_meta_set, _key(key), content, len(content))

    def __delitem__(self, key: Key) -> None:
        try:
            self._state.call(library.walrus_meta_delete, _key(key))
        except NotFoundError:
            raise KeyError(key) from None

    def stage(self, key: Key, value: BytesLike) -> None:
        """Sets a value together with the next append of whatever kind: after a crash both are there, or none.

        Staging a key again replaces what was staged; Log.sync makes it durable without an append; what is still
        staged at close is lost. Until then the mapping shows the old value.
        """
        content = as_bytes(value)
        self._state.call(library.walrus_meta_stage, _key(key), content, len(content))

    def snapshot(self) -> Dict[str, bytes]:
        """All keys and values, as they were together at one moment."""
        found: List[Tuple[str, bytes]] = []
        raised: List[BaseException] = []
        state = self._state

        def visit(_context: Any, key: bytes, value: int, size: int) -> int:
            try:
                if state.closing:
                    raise ClosedError(f"log {state.path!r} is closed", path=state.path)
                found.append((key.decode("utf-8", "surrogateescape"), ctypes.string_at(value, size) if size else b""))
                return 0
            except BaseException as error:  # a signal's, say: no exception unwinds through C
                raised.append(error)
                return 1

        state.call(library.walrus_meta_each, MetaVisit(visit), None)
        if raised:
            raise raised.pop()
        return dict(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot())

    def __len__(self) -> int:
        return len(self.snapshot())

    def items(self) -> ItemsView[str, bytes]:
        return self.snapshot().items()

    def values(self) -> ValuesView[bytes]:
        return self.snapshot().values()

    def __repr__(self) -> str:
        return f"<walrus.Metadata of {self._state.path!r}>"
