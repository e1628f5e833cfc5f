#!/usr/bin/env python3
# lines.py - a file, line by line, in a write-ahead log
#
#     lines.py append LOGDIR FILE [JOURNAL]    append every line that is not in the log yet, each durably
#     lines.py check  LOGDIR FILE JOURNAL      prove that nothing acknowledged is missing, nothing changed
#     lines.py tour   LOGDIR FILE [JOURNAL]    read by index, by range and backwards, then cut both ends
#     lines.py cat    LOGDIR [FIRST [LAST]]    write entries to the standard output
#
# Entry n is line n of FILE, newline included, so the log itself knows where to go on: at line
# log.next_index. Kill `lines.py append` at any moment and run it again.
#
# JOURNAL is a record outside the log of what the log has promised. A line is written to it after the
# library has acknowledged something, never before: "append 17", "truncate 600", "truncate_front 60". It is
# not synced, so it is a witness for killed processes, not for power cuts. The C example keeps the same one.
#
# SPDX-License-Identifier: MIT
import argparse
import os
import sys
import time
import zlib
from pathlib import Path
from typing import List, NamedTuple, Optional

try:
    import walrus
except ModuleNotFoundError:  # not installed: take the one of this source tree
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings" / "python"))
    import walrus

# What the person at the terminal can do about it, where the library's own message does not say it all.
ADVICE = {
    walrus.LockedError: "another process has the log open: wait until it ends, or stop it",
    walrus.NoLogError: "make a log first, with: lines.py append LOGDIR FILE",
    walrus.NotALogError: "name an empty directory, or one that does not exist yet",
    walrus.NoSpaceError: "free some space and run the same command again: it goes on where it stopped",
    walrus.PoisonedError: "look at the disk (dmesg), then run the same command again: it goes on where it stopped",
    walrus.CorruptError: 'restore the log from a copy, or read what is left with recovery="salvage"',
    walrus.TooLargeError: "a line has to fit the option max_entry_size",
}


class Failed(Exception):
    """A proof failed, or the command was given what it cannot use."""


class Text:
    """The file's lines, counted from 1 as entries are."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self.lines: List[bytes] = file.read().split(b"\n")
        self.lines = [line + b"\n" for line in self.lines[:-1]] + [line for line in self.lines[-1:] if line]
        self.size = sum(map(len, self.lines))

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> bytes:
        return self.lines[index - 1] if 1 <= index <= len(self.lines) else b""


class Journal:
    """The outside record. Each line is one os.write: nothing waits in a buffer when the process is killed."""

    def __init__(self, path: Optional[str]) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if path else None

    def write(self, what: str, index: int) -> None:
        if self.file is not None:
            os.write(self.file, b"%s %d\n" % (what.encode(), index))


class Owed(NamedTuple):
    """What the log owes according to the journal: entries first to last; first > last means none."""

    first: int
    last: int
    acknowledged: int


def read_journal(path: str) -> Owed:
    first, last, acknowledged = 1, 0, 0
    with open(path) as file:
        for record in file:
            if not record.endswith("\n"):
                break  # killed in the middle of the last record: it says nothing
            what, _, index = record.strip().partition(" ")
            if not index.isdigit():
                what = ""
            if what == "append":
                last, acknowledged = int(index), acknowledged + 1
            elif what == "truncate":
                last = int(index)
            elif what == "truncate_front":
                first = int(index)
            else:
                raise Failed(f"{path} is not a journal of this program: it says {record!r}")
    return Owed(first, last, acknowledged)


def show(label: str, index: int, line: bytes) -> None:
    text = line.rstrip(b"\r\n").decode("ascii", "replace")
    print(f"  {label:12} {index:6} | {text[:60]}{'...' if len(text) > 60 else ''}")


def demand(proof: bool, otherwise: str) -> None:
    if not proof:
        raise Failed(f"FAILED: {otherwise}")


def append(arguments: argparse.Namespace) -> None:
    text = Text(arguments.file)
    journal = Journal(arguments.journal)
    # Segments small enough that the file fills about eight: cutting the log then has whole files to remove.
    segment_size = min(max(text.size // 8, 4096), 64 << 20)
    with walrus.open(arguments.log, sync="always", segment_size=segment_size) as log:
        begin, last = log.next_index, log.last_index

        # Going on with the wrong file would be a pity: the last line in the log must be this file's, too.
        if last and log[last] != text[last]:
            raise Failed(
                f"entry {last} is not line {last} of {arguments.file}: this log was made from another file. "
                "Name that file, or another directory."
            )
        if begin > len(text):
            print(f"all {len(text)} lines are in the log already")
            return
        if begin > 1:
            print(f"going on at line {begin} of {len(text)}")

        start = time.monotonic()
        for number in range(begin, len(text) + 1):
            index = log.append(text[number])
            # Here the line is on stable storage, and a promise: only now may anybody be told.
            journal.write("append", index)
            demand(index == number, f"line {number} became entry {index}: please report this")
        took = time.monotonic() - start
        rate = (len(text) - begin + 1) / max(took, 1e-9)
        print(f"appended lines {begin} to {len(text)} in {took:.2f} s: {rate:.0f} durable appends/s")


def check(arguments: argparse.Namespace) -> None:
    text = Text(arguments.file)
    owed = read_journal(arguments.journal)
    with walrus.open(arguments.log, create=False) as log:
        report = log.recovery_report()
        print(f"recovery: {report.message} ({report.duration_ns / 1e6:.1f} ms)")

        first, last = log.first_index, log.last_index
        if owed.last >= owed.first:
            demand(last >= owed.last, f"entry {owed.last} was acknowledged as durable, but the log ends at {last}")
            demand(
                first <= owed.first, f"entry {owed.first} was acknowledged as durable, but the log begins at {first}"
            )
        demand(not first or first >= owed.first, f"entry {first} is back, though it was truncated away")

        index = size = 0
        for index, payload in enumerate(log, first):
            demand(
                payload == text[index],
                f"entry {index} is not line {index} of the file. Is it the file that was appended?",
            )
            size += len(payload)
        demand(index == last, f"reading the log from {first} on ended at {index}, though it ends at {last}")
        print(
            f"proved: {owed.acknowledged} appends were acknowledged, none is missing; "
            f"entries {first} to {last} ({size} bytes) are the file's lines, byte for byte"
        )
        if last > owed.last:
            print(f"  {last - owed.last} more had reached the log when the process died, before anybody was told")


def tour(arguments: argparse.Namespace) -> None:
    text = Text(arguments.file)
    journal = Journal(arguments.journal)
    with walrus.open(arguments.log, create=False) as log:
        first, last = log.first_index, log.last_index
        if not first or last - first < 9:
            raise Failed("a tour takes a log of 10 entries or more: append a longer file first")

        for label, index in (("by index", first), ("", (first + last) // 2), ("", last)):
            with log.get(index) as entry:  # entry.data is a view of the mapped file
                show(label, index, bytes(entry))
                demand(entry.data == text[index], f"entry {index} is not line {index} of the file")
                demand(entry.checksum == zlib.crc32(entry.data), f"entry {index} has a wrong checksum")

        middle = first + (last - first) // 3
        for index, payload in enumerate(log[middle : middle + 4], middle):
            show("by range" if index == middle else "", index, payload)
        wrong = log.scan(lambda entry: entry.index if entry.data != text[entry.index] else 0, first, last)
        demand(not wrong, f"entry {wrong} is not line {wrong} of the file")
        print(f"  {'':12} a scan from first to last: {last - first + 1} entries, each the file's line")

        for index, payload in zip(range(last, first - 1, -1), reversed(log)):
            if last - index < 3:
                show("backwards" if index == last else "", index, payload)
            demand(payload == text[index], f"entry {index} is not line {index} of the file")
        print(f"  {'':12} and on to {first}: each the file's line")

        cut_both_ends(log, text, journal)


def cut_both_ends(log: walrus.Log, text: Text, journal: Journal) -> None:
    """Drops a tenth of the entries at each end, while a view of the first one is held."""
    first, last = log.first_index, log.last_index
    tenth = len(log) // 10
    new_first, new_last = first + tenth, last - tenth
    with log.get(first) as held:
        log.truncate_front(new_first)
        journal.write("truncate_front", new_first)
        print(f"  {'truncated':12} {tenth} entries dropped at the front: it begins at {log.first_index}")
        expect_gone(log, first, walrus.CompactedError)

        log.truncate(new_last)
        journal.write("truncate", new_last)
        print(f"  {'':12} {tenth} entries dropped at the back: it ends at {log.last_index}")
        expect_gone(log, last, walrus.NotFoundError)

        demand(
            (log.first_index, log.last_index, log.next_index) == (new_first, new_last, new_last + 1),
            f"the log should hold {new_first} to {new_last} now",
        )
        demand(held.data == text[first], f"the view of entry {first} changed when the entry was truncated away")
        print(f"  {'':12} the view of entry {first} that was lent before still shows it")


def expect_gone(log: walrus.Log, index: int, expected: type) -> None:
    """Proves that an entry can no longer be read, for the right reason."""
    try:
        log[index]
    except walrus.Error as error:
        demand(type(error) is expected, f"entry {index} was truncated away, but reading it raises {error!r}")
        print(f"  {'':12} entry {index} now raises walrus.{expected.__name__}")
    else:
        raise Failed(f"FAILED: entry {index} was truncated away, but it can be read")


def cat(arguments: argparse.Namespace) -> None:
    # Read-only takes no lock: a writer may go on meanwhile.
    with walrus.open(arguments.log, create=False, read_only=True) as log:
        for entry in log.entries(arguments.first, arguments.last):
            sys.stdout.buffer.write(entry.data)
    sys.stdout.buffer.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="A file, line by line, in a write-ahead log.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for function, journal, meaning in (
        (append, "?", "append every line that is not in the log yet, each durably"),
        (check, None, "prove that nothing acknowledged is missing, nothing changed"),
        (tour, "?", "read by index, by range and backwards, then cut both ends"),
    ):
        command = commands.add_parser(function.__name__, help=meaning)
        command.set_defaults(run=function)
        command.add_argument("log", metavar="LOGDIR")
        command.add_argument("file", metavar="FILE")
        command.add_argument("journal", metavar="JOURNAL", nargs=journal)
    command = commands.add_parser("cat", help="write entries to the standard output")
    command.set_defaults(run=cat)
    command.add_argument("log", metavar="LOGDIR")
    command.add_argument("first", metavar="FIRST", nargs="?", type=int)
    command.add_argument("last", metavar="LAST", nargs="?", type=int)
    arguments = parser.parse_args()

    try:
        arguments.run(arguments)
    except walrus.Error as error:
        place = f", {error.path}" if error.path else ""
        place += f" at byte {error.offset}" if error.offset else ""
        system = f", the system says: {os.strerror(error.errno)}" if error.errno else ""
        advice = f"\n  {ADVICE[type(error)]}" if type(error) in ADVICE else ""
        sys.stdout.flush()
        sys.exit(f"lines.py: {error}\n  walrus.{type(error).__name__}{place}{system}{advice}")
    except Failed as error:
        sys.stdout.flush()
        sys.exit(f"lines.py: {error}")
    except OSError as error:
        sys.stdout.flush()
        sys.exit(f"lines.py: {error.filename}: {error.strerror}. Name a file that can be used.")


if __name__ == "__main__":
    main()
