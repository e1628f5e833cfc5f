#!/usr/bin/env python3
# tail.py - follows a log in an event loop, also one that another process writes
#
#     tail.py LOGDIR                      every entry from the first one on, and each that comes, until Ctrl-C
#     tail.py LOGDIR --from INDEX         from there on
#     tail.py LOGDIR --position FILE      goes on where the last run with the same FILE stopped
#     tail.py LOGDIR --until INDEX        ends behind that entry
#     tail.py LOGDIR --durable            only what no power cut can take away any more; a writer that is idle tells that
#                                         with its next write
#
# Writes "INDEX: entry" for each. The handle is read_only: it takes no lock, and the writer knows nothing of it. A log
# that is not there yet is waited for.
#
# An entry is printed first, and then its position is kept: after a kill the last one may be printed again, and none is
# left out. That is what an outside effect can have; for exactly once, keep the position where the effect is.
#
# SPDX-License-Identifier: MIT
import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Optional

try:
    import walrus
except ModuleNotFoundError:  # not installed: take the one of this source tree
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings" / "python"))
    import walrus


class Position:
    """Where to go on, in a file: always a whole number, whenever the process is killed."""

    def __init__(self, path: Optional[str]) -> None:
        self.path = path

    def load(self) -> int:
        try:
            return int(Path(self.path).read_text()) if self.path else 0
        except FileNotFoundError:
            return 0

    def keep(self, index: int) -> None:
        if self.path:
            temporary = f"{self.path}.{os.getpid()}"
            Path(temporary).write_text(f"{index}\n")
            os.replace(temporary, self.path)


async def opened(directory: str) -> walrus.Log:
    """The log, as soon as somebody has created it."""
    told = False
    while True:
        try:
            return walrus.open(directory, read_only=True)
        except walrus.NoLogError as error:
            if not told:
                print(f"tail.py: {error}; waiting for it", file=sys.stderr, flush=True)
            told = True
            await asyncio.sleep(0.1)


def seek(cursor: walrus.Cursor, index: int) -> None:
    try:
        cursor.seek(index)
    except walrus.CompactedError:
        cursor.seek(0)
        print(f"tail.py: {index} to {cursor.position - 1} are gone: dropped before they were read", file=sys.stderr)


async def follow(log: walrus.Log, first: int, until: Optional[int], durable: bool, position: Position) -> None:
    with log.cursor(durable_only=durable) as cursor:
        seek(cursor, first)
        while until is None or cursor.position <= until:
            try:
                async for entry in cursor:  # waits in the event loop, which is free for other tasks
                    with entry:
                        print(f"{entry.index}: {bytes(entry).decode(errors='replace')}", flush=True)
                    position.keep(cursor.position)
                    if until is not None and entry.index >= until:
                        return
            except walrus.CompactedError:  # the writer dropped what has not been read yet
                seek(cursor, cursor.position)


async def tail(arguments: argparse.Namespace) -> None:
    position = Position(arguments.position)
    first = arguments.first or position.load()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with await opened(arguments.directory) as log:
        await follow(log, first, arguments.until, arguments.durable, position)


def main() -> int:
    parser = argparse.ArgumentParser(description="Follows a log, also one that another process writes.")
    parser.add_argument("directory", metavar="LOGDIR")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--from", dest="first", metavar="INDEX", type=int, default=0)
    start.add_argument("--position", metavar="FILE")
    parser.add_argument("--until", metavar="INDEX", type=int)
    parser.add_argument("--durable", action="store_true")
    try:
        asyncio.run(tail(parser.parse_args()))
    except (asyncio.CancelledError, KeyboardInterrupt):
        pass  # a signal: that is how it ends
    except (walrus.Error, OSError, ValueError) as error:
        print(f"tail.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
