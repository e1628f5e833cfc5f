# model.py - what a log is, in as little Python as it takes: a list, two numbers and a dictionary
#
# Written from include/walrus.h and not from the engine. Each method says what a call must answer, and does what it does.
#
# SPDX-License-Identifier: MIT
from typing import Dict, List, NamedTuple, Optional, Type

import walrus

Refusal = Optional[Type[walrus.Error]]  # what the call must raise, or None


class Entry(NamedTuple):
    data: bytes
    term: int
    time: int


class Model:
    def __init__(self) -> None:
        self.first = 1
        self.entries: List[Entry] = []
        self.ever_held = False
        # The latest time among the entries dropped at the front: searches by time count them.
        self.front_time: Optional[int] = None
        self.values: Dict[str, bytes] = {}
        self.staged: Dict[str, bytes] = {}

    @property
    def next(self) -> int:
        return self.first + len(self.entries)

    @property
    def is_empty(self) -> bool:
        return not self.entries

    def entry(self, index: int) -> Entry:
        return self.entries[index - self.first]

    # ---- What a call must answer

    def reading(self, index: int) -> Refusal:
        if index >= self.next or index == 0:
            return walrus.NotFoundError
        return walrus.CompactedError if index < self.first else None

    def placing(self, index: int) -> Refusal:
        """A cursor before the entry at index."""
        if index > self.next:
            return walrus.NotFoundError
        return walrus.CompactedError if 0 < index < self.first else None

    def appending_at(self, index: int) -> Refusal:
        if index in (0, self.next):
            return None
        if self.ever_held:
            return walrus.OutOfOrderError
        return None if index <= 1 << 63 else walrus.InvalidError

    def truncating(self, index: int) -> Refusal:
        if index >= self.next:
            return walrus.NotFoundError
        return walrus.CompactedError if index + 1 < self.first else None

    def truncating_front(self, index: int) -> Refusal:
        return walrus.NotFoundError if index > self.next else None

    def replacing(self, index: int) -> Refusal:
        if index > self.next:
            return walrus.NotFoundError
        return walrus.CompactedError if index < self.first else None

    # ---- What it does

    def append(self, entries: List[Entry], index: int = 0) -> None:
        if not entries:
            return
        if not self.ever_held and index:
            self.first = index
        self.entries += entries
        self.ever_held = True
        self.values.update(self.staged)
        self.staged = {}

    def truncate(self, index: int) -> None:
        if index + 1 == self.next:
            return
        del self.entries[index + 1 - self.first :]
        if not self.entries:
            self.front_time = None

    def truncate_front(self, index: int) -> None:
        if index <= self.first:
            return
        dropped = self.entries[: index - self.first]
        times = [entry.time for entry in dropped] + ([] if self.front_time is None else [self.front_time])
        self.front_time = max(times)
        del self.entries[: index - self.first]
        self.first = index
        if not self.entries:
            self.front_time = None

    def reset(self, index: int) -> None:
        self.first = index
        self.entries = []
        self.ever_held = True
        self.front_time = None

    def replace(self, index: int, entries: List[Entry]) -> None:
        self.truncate(index - 1)
        self.append(entries)

    def sync(self) -> None:
        self.values.update(self.staged)
        self.staged = {}

    # ---- Searches

    def last_of_term(self, term: int) -> Optional[int]:
        found = [self.first + i for i, entry in enumerate(self.entries) if entry.term == term]
        return found[-1] if found else None

    def at_time(self, time: int) -> Optional[int]:
        highest = self.front_time
        for i, entry in enumerate(self.entries):
            highest = entry.time if highest is None else max(highest, entry.time)
            if highest >= time:
                return self.first + i
        return None
