#!/usr/bin/env python3
# events.py - event sourcing: a warehouse whose stock is nothing but its events, played back
#
#     events.py DIR receive ITEM COUNT    goods come in
#     events.py DIR ship ITEM COUNT       goods go out, if there are enough of them
#     events.py DIR run FILE              such commands, one a line; goes on where an earlier run of it stopped
#     events.py DIR stock                 what there is
#     events.py DIR history               every event that is still in the log
#     events.py DIR snapshot              keep the stock as it is, so that later starts need not play back what led to it
#     events.py DIR compact               snapshot, and drop the events that it covers
#
# A command is checked against the stock; what it changes becomes an event, a line of JSON in DIR/log. Only when the
# event is durable, the stock in memory takes it in, and the command is acknowledged. So a crash between any two of these
# steps costs nothing: the stock is rebuilt from the events.
#
# A snapshot is the stock as a file, DIR/snapshot-INDEX.json, where INDEX is the last event in it. log.meta["snapshot"]
# says which one counts, and is set when the file is durable: a file that is only half there is never read.
#
# An event of `run` knows its line in FILE. The highest one is part of the stock, which is how `run` finds where to go on;
# commands that were refused leave no event, and are refused again.
#
# SPDX-License-Identifier: MIT
import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

try:
    import walrus
except ModuleNotFoundError:  # not installed: take the one of this source tree
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings" / "python"))
    import walrus

SNAPSHOT_EVERY = 500  # events of one run
EVENTS = {"receive": "received", "ship": "shipped"}


class Refused(Exception):
    """A command that the stock does not allow, or that says nothing."""


class Stock:
    """The state: what there is of each item. Changed by events, and by nothing else."""

    def __init__(self, items: Optional[Dict[str, int]] = None, line: int = 0, index: int = 0) -> None:
        self.items = items or {}
        self.line = line  # the last line of the file of `run` that led to an event
        self.index = index  # the last event in it

    def event_for(self, command: str, item: str, count: int) -> Dict[str, Any]:
        """Decides about a command. Changes nothing."""
        if command not in EVENTS:
            raise Refused(f"{command!r} is no command: receive ITEM COUNT, or ship ITEM COUNT")
        if count <= 0:
            raise Refused(f"{count} of {item}: a count is above 0")
        there = self.items.get(item, 0)
        if command == "ship" and there < count:
            raise Refused(f"cannot ship {count} of {item}: there are {there}")
        return {"event": EVENTS[command], "item": item, "count": count}

    def apply(self, index: int, event: Dict[str, Any]) -> None:
        """Takes in what has happened. Never refuses: it has happened."""
        change = event["count"] if event["event"] == "received" else -event["count"]
        left = self.items.get(event["item"], 0) + change
        self.items[event["item"]] = left
        if not left:
            del self.items[event["item"]]
        self.line = event.get("line", self.line)
        self.index = index


class Warehouse:
    """The stock and its log."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = walrus.open(self.directory / "log")  # sync="always": an append returns when its event is durable
        try:
            self.stock = self._rebuild()
        except BaseException:
            self.log.close()
            raise

    def __enter__(self) -> "Warehouse":
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def _rebuild(self) -> Stock:
        try:
            number = int(self.log.meta["snapshot"])
        except KeyError:
            stock = Stock()
        else:
            stock = Stock(**json.loads(self._snapshot_file(number).read_text()))
        # What a killed run left at the end can be read, but may not be durable: this run builds on it, so make it so.
        self.log.sync()
        first, self.replayed = stock.index + 1, 0
        if first < self.log.next_index:
            for entry in self.log.entries(first):
                stock.apply(entry.index, json.loads(bytes(entry)))
                self.replayed += 1
        return stock

    def handle(self, command: str, item: str, count: int, line: int = 0) -> int:
        """Returns the index of the event that the command has become; raises Refused."""
        event = self.stock.event_for(command, item, count)
        if line:
            event["line"] = line
        index = self.log.append(json.dumps(event).encode())
        self.stock.apply(index, event)
        return index

    def _snapshot_file(self, index: int) -> Path:
        return self.directory / f"snapshot-{index}.json"

    def snapshot(self) -> int:
        """Returns the last event in it. The steps are in an order in which each one may be the last before a crash."""
        index = self.stock.index
        if self.log.meta.get("snapshot") == b"%d" % index:
            return index  # there is one already, and it counts: not to be written over
        path = self._snapshot_file(index)
        with open(path, "w") as file:
            json.dump(vars(self.stock), file)
            file.flush()
            os.fsync(file.fileno())
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)  # the file's name
        finally:
            os.close(directory)
        self.log.meta["snapshot"] = b"%d" % index  # durable on return: from here on it counts
        for old in self.directory.glob("snapshot-*.json"):
            if old != path:
                old.unlink()
        return index

    def compact(self) -> int:
        index = self.snapshot()
        self.log.truncate_front(index + 1)
        return index


def commands(path: str, after: int) -> Iterator[Tuple[int, str]]:
    with open(path) as file:
        for number, text in enumerate(file, 1):
            if number > after and text.strip():
                yield number, text


def parsed(text: str) -> Tuple[str, str, int]:
    words = text.split()
    if len(words) != 3 or not words[2].isdecimal():
        raise Refused(f"{text.strip()!r} is no command: receive ITEM COUNT, or ship ITEM COUNT")
    return words[0], words[1], int(words[2])


def run(warehouse: Warehouse, path: str) -> int:
    refused = events = 0
    for number, text in commands(path, warehouse.stock.line):
        try:
            index = warehouse.handle(*parsed(text), number)
        except Refused as why:
            refused += 1
            print(f"line {number}: refused: {why}", flush=True)
            continue
        print(f"line {number}: event {index}", flush=True)  # durable by now
        events += 1
        if events % SNAPSHOT_EVERY == 0:
            warehouse.snapshot()
    print(f"events.py: {events} events, {refused} refused", file=sys.stderr)
    return 0


def perform(warehouse: Warehouse, arguments: argparse.Namespace) -> int:
    what = arguments.what
    if what in EVENTS:
        print(f"event {warehouse.handle(what, arguments.item, arguments.count)}")
    elif what == "run":
        return run(warehouse, arguments.file)
    elif what == "stock":
        for item, count in sorted(warehouse.stock.items.items()):
            print(f"{item} {count}")
        print(f"events.py: as of event {warehouse.stock.index}; {warehouse.replayed} played back", file=sys.stderr)
    elif what == "history":
        for entry in warehouse.log.entries():
            print(f"{entry.index} {bytes(entry).decode()}")
    else:
        index = warehouse.snapshot() if what == "snapshot" else warehouse.compact()
        print(f"{what} up to event {index}")
    return 0


def arguments_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A warehouse whose stock is nothing but its events, played back.")
    parser.add_argument("directory", metavar="DIR")
    what = parser.add_subparsers(dest="what", metavar="COMMAND")
    what.required = True
    for name in EVENTS:
        command = what.add_parser(name)
        command.add_argument("item", metavar="ITEM")
        command.add_argument("count", metavar="COUNT", type=int)
    what.add_parser("run").add_argument("file", metavar="FILE")
    for name in ("stock", "history", "snapshot", "compact"):
        what.add_parser(name)
    return parser.parse_args()


def main() -> int:
    arguments = arguments_given()
    try:
        with Warehouse(arguments.directory) as warehouse:
            return perform(warehouse, arguments)
    except (Refused, walrus.Error, OSError) as error:
        print(f"events.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
