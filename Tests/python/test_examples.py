# test_examples.py - examples/python/events.py and tail.py, killed while they are at work
#
# SPDX-License-Identifier: MIT
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from support import ROOT, LogTest, walrus

EXAMPLES = ROOT / "examples" / "python"
SECONDS = 60

WRITER = """
import sys, time, walrus
with walrus.open(sys.argv[1], sync="os", segment_size="4KiB") as log:
    for index in range(log.next_index, int(sys.argv[2]) + 1):
        log.append(b"entry %d" % index)
        time.sleep(0.001)
"""


class ExampleTests(LogTest):
    """Programs in processes of their own."""

    def setUp(self):
        super().setUp()
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run_example(self, program, *arguments, status=0):
        result = subprocess.run(
            [sys.executable, str(EXAMPLES / program), *map(str, arguments)], env=self.environment, timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        )  # fmt: skip
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result

    def start(self, command, output):
        """Its output goes to a file, which is there whatever happens to the process."""
        with open(output, "ab") as file:
            process = subprocess.Popen(
                list(map(str, command)), env=self.environment, stdout=file, stderr=subprocess.PIPE
            )  # fmt: skip
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for_lines(self, path, count, process=None):
        end = time.monotonic() + SECONDS
        while len(self.lines(path)) < count:
            if process is not None and process.poll() is not None:
                return
            self.assertLess(time.monotonic(), end, f"{path} has only {len(self.lines(path))} lines")
            time.sleep(0.002)

    def kill(self, process):
        process.kill()
        self.assertEqual(process.wait(SECONDS), -signal.SIGKILL, "it ended before it could be killed")

    def lines(self, path):
        """Those that are whole."""
        path = Path(path)
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def place(self, name):
        return os.path.join(self.directory, name)


class EventTests(ExampleTests):
    def commands(self, count):
        """Lines for a file, the events that they lead to, and the stock in the end."""
        stock, lines, events = {}, [], []
        for number in range(1, count + 1):
            item, amount = f"item{number % 7}", number * 31 % 17 + 1
            command = "ship" if number % 3 == 0 else "receive"
            lines.append(f"{command} {item} {amount}" if number % 50 else "steal everything")
            if number % 50 == 0 or command == "ship" and stock.get(item, 0) < amount:
                continue
            stock[item] = stock.get(item, 0) + (amount if command == "receive" else -amount)
            name = "received" if command == "receive" else "shipped"
            events.append({"event": name, "item": item, "count": amount, "line": number})
        return lines, events, {item: left for item, left in stock.items() if left}

    def stock(self, house):
        result = self.run_example("events.py", house, "stock")
        lines = [line.split() for line in result.stdout.splitlines()]
        return {item: int(count) for item, count in lines}, result.stderr

    def test_killed_runs_go_on_where_they_stopped(self):
        """Catches: an event that is lost, or there twice; a snapshot that is not the state at its index."""
        lines, events, stock = self.commands(3000)
        house, file, output = self.place("house"), self.place("commands"), self.place("output")
        Path(file).write_text("\n".join(lines) + "\n")
        command = [sys.executable, EXAMPLES / "events.py", house, "run", file]
        for seen in (150, 400, 900):
            process = self.start(command, output)
            self.wait_for_lines(output, seen, process)
            self.kill(process)
            kept = [line for line in self.lines(output) if ": event " in line]
            with walrus.open(os.path.join(house, "log"), read_only=True) as log:
                for line in kept:  # whatever was acknowledged
                    number, index = line[5:].split(": event ")
                    self.assertEqual(json.loads(log[int(index)])["line"], int(number))
        self.run_example("events.py", house, "run", file)
        history = self.run_example("events.py", house, "history").stdout.splitlines()
        self.assertEqual([json.loads(line.split(" ", 1)[1]) for line in history], events)
        self.assertEqual(self.stock(house)[0], stock)
        self.assertIn("0 events", self.run_example("events.py", house, "run", file).stderr)

    def test_snapshots_stand_in_for_the_events_before_them(self):
        house = self.place("house")
        for command in ("receive bolts 10", "ship bolts 4", "receive nuts 5"):
            self.run_example("events.py", house, *command.split())
        self.assertIn("3 played back", self.stock(house)[1])
        self.run_example("events.py", house, "snapshot")
        self.run_example("events.py", house, "ship", "nuts", 5)
        Path(house, "snapshot-4.json").write_text("{")  # killed while it wrote the next one: it does not count
        stock, said = self.stock(house)
        self.assertEqual(stock, {"bolts": 6})
        self.assertIn("as of event 4; 1 played back", said)
        self.run_example("events.py", house, "compact")
        self.run_example("events.py", house, "compact")
        self.assertEqual(self.run_example("events.py", house, "history").stdout, "")
        self.assertEqual([path.name for path in Path(house).glob("snapshot-*")], ["snapshot-4.json"])
        self.assertEqual(self.run_example("events.py", house, "receive", "bolts", 1).stdout, "event 5\n")
        self.assertEqual(self.stock(house)[0], {"bolts": 7})

    def test_bad_commands_change_nothing(self):
        house = self.place("house")
        self.run_example("events.py", house, "receive", "bolts", 3)
        self.assertIn("there are 3", self.run_example("events.py", house, "ship", "bolts", 4, status=1).stderr)
        self.assertIn("above 0", self.run_example("events.py", house, "receive", "bolts", 0, status=1).stderr)
        self.run_example("events.py", house, "steal", status=2)
        self.run_example("events.py", house, "run", self.place("missing"), status=1)
        self.assertEqual(self.stock(house)[0], {"bolts": 3})


class TailTests(ExampleTests):
    def test_follower_and_writer_are_killed_and_go_on(self):
        """The follower is there before the log; each of the two is killed while the other one works."""
        output, position, last = self.place("output"), self.place("position"), 1500
        follow = [sys.executable, EXAMPLES / "tail.py", self.path, "--position", position, "--until", last]
        write = [sys.executable, "-c", WRITER, self.path, last]
        follower = self.start(follow, output)
        writer = self.start(write, self.place("said"))
        self.wait_for_lines(output, 100, follower)
        self.kill(writer)
        before = len(self.lines(output))
        writer = self.start(write, self.place("said"))
        self.wait_for_lines(output, before + 200, follower)
        self.kill(follower)
        follower = self.start(follow, output)
        self.assertEqual(writer.wait(SECONDS), 0)
        self.assertEqual(follower.wait(SECONDS), 0, follower.stderr.read())
        lines = self.lines(output)
        expected = [f"{index}: entry {index}" for index in range(1, last + 1)]
        # The kill may fall between an entry and its position: one may be there twice.
        self.assertLessEqual(len(lines), last + 1)
        self.assertEqual([line for at, line in enumerate(lines) if not at or line != lines[at - 1]], expected)
        self.assertEqual(int(Path(position).read_text()), last + 1)

    def test_dropped_entries_are_told_and_skipped(self):
        with self.open() as log:
            log.append_batch(b"entry %d" % index for index in range(1, 21))
            log.truncate_front(11)
        result = self.run_example("tail.py", self.path, "--from", 5, "--until", 12)
        self.assertEqual(result.stdout, "11: entry 11\n12: entry 12\n")
        self.assertIn("5 to 10 are gone", result.stderr)

    def test_a_signal_ends_it(self):
        with self.open() as log:  # closed again: while it is open, what is durable may be told late to other processes
            log.append_batch([b"one", b"two", b"three"])
        output = self.place("output")
        follower = self.start([sys.executable, EXAMPLES / "tail.py", self.path, "--durable"], output)
        self.wait_for_lines(output, 3, follower)
        follower.send_signal(signal.SIGINT)
        self.assertEqual(follower.wait(SECONDS), 0, follower.stderr.read())

    def test_bad_input(self):
        self.filled(3).close()
        self.run_example("tail.py", self.path, "--from", 9, status=1)
        Path(self.place("position")).write_text("here")
        self.run_example("tail.py", self.path, "--position", self.place("position"), status=1)
