# test_format.py - docs/FORMAT.md and libwalrus say the same
#
# Run by scripts/test-format. read_log.py is written from the page alone; the library is written in Swift. Whatever one
# of them makes of a directory (golden, random, crashed, cut and damaged ones), the other must make of it, too.
# A failure names the seed; WALRUS_TEST_SEED repeats it.
#
# SPDX-License-Identifier: MIT
import ctypes
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "Tests" / "golden"
sys.path[:0] = [str(ROOT / "bindings" / "python"), str(Path(__file__).resolve().parent)]

import read_log

try:
    import walrus
except ImportError as error:
    if __name__ == "__main__":
        sys.exit(f"{error}\n0 passed, 1 failed")
    raise

SEED = int(os.environ.get("WALRUS_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
ROUNDS = int(os.environ.get("WALRUS_TEST_ROUNDS", "30"))
FIRST_FRAME = read_log.FIRST_FRAME

Line = Tuple[int, int, int, bytes, int]  # index, term, timestamp, payload, checksum


class Answer(NamedTuple):
    """What somebody made of a directory: the entries, then the damage that ended them, if any."""

    entries: List[Line]
    next_index: int
    damage: str  # "" for none
    metadata: Dict[bytes, bytes] = {}  # the caller's


def ask_reader(directory: str) -> Answer:
    entries: List[Line] = []
    try:
        log = read_log.Log(directory)
        entries.extend(tuple(entry)[:5] for entry in log.entries())
    except read_log.Damage as error:
        return Answer(entries, 0, str(error))
    return Answer(entries, log.next_index, "", {key: value for (kind, key), value in log.metadata().items() if not kind})


class Metadata:
    """The metadata of an open log, straight through the header's functions."""

    library = ctypes.CDLL(os.environ["WALRUS_LIBRARY"])
    visit_type = ctypes.CFUNCTYPE(
        ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)

    def __init__(self, log: walrus.Log) -> None:
        self.handle = log._state.handle

    def call(self, name: str, *arguments) -> None:
        code = getattr(self.library, name)(self.handle, *arguments)
        assert code == 0, f"{name}: {code}"

    def set(self, key: bytes, value: bytes) -> None:
        self.call("walrus_meta_set", key, value, ctypes.c_size_t(len(value)))

    def stage(self, key: bytes, value: bytes) -> None:
        self.call("walrus_meta_stage", key, value, ctypes.c_size_t(len(value)))

    def delete(self, key: bytes) -> None:
        self.call("walrus_meta_delete", key)

    def all(self) -> Dict[bytes, bytes]:
        found: Dict[bytes, bytes] = {}

        def visit(_ctx, key, value, size) -> int:
            found[key] = value[:size] if size else b""
            return 0

        self.call("walrus_meta_each", self.visit_type(visit), None)
        return found


def ask_library(directory: str, **options) -> Answer:
    entries: List[Line] = []

    def take(entry: walrus.Entry) -> None:
        entries.append((entry.index, entry.term, entry.timestamp_ns, bytes(entry.data), entry.checksum))

    try:
        with walrus.open(directory, create=False, **options) as log:
            log.scan(take)
            return Answer(entries, log.next_index, "", Metadata(log).all())
    except walrus.CorruptError as error:
        return Answer(entries, 0, error.message)


def copy(source: str, target: str) -> str:
    """A crash: the files as they are now, while the log is open. Dead segments may vanish on the way."""
    os.mkdir(target)
    for name in os.listdir(source):
        try:
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))
        except FileNotFoundError:
            pass
    return target


# The ways in which a log can be stored but the one that the tests below are written in.
STORED = {
    "BinaryZlib": {"compression": "zlib", "compression_min_size": 0},
    "JSON": {"format": "json"},
    "JSONZlib": {"format": "json", "compression": "zlib", "compression_min_size": 0},
    "Proto": {"format": "proto"},
    "ProtoZlib": {"format": "proto", "compression": "zlib", "compression_min_size": 0},
}


def each_way(test):
    """Adds a class of the same tests for each of them, with fewer rounds."""
    for name, stored in STORED.items():
        globals()[test.__name__ + name] = type(test.__name__ + name, (test,), {"stored": stored, "thin": 5})
    return test


class FormatTest(unittest.TestCase):
    stored: Dict[str, object] = {}  # options
    thin = 1  # one of so many rounds or offsets

    @property
    def is_binary(self) -> bool:
        return self.stored.get("format", "binary") == "binary"

    def setUp(self) -> None:
        # In memory where that can be had: what a disk keeps is not the subject.
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = tempfile.mkdtemp(prefix="walrus-format-", dir=place)
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.copies = 0

    def new_path(self) -> str:
        self.copies += 1
        return os.path.join(self.directory, str(self.copies))

    def assertAgree(self, directory: str, where: str) -> Answer:
        """They make the same of a directory, and go on doing so once the library has opened it to write."""
        reader = ask_reader(directory)
        library = ask_library(directory, read_only=True)
        self.assertEqual(bool(reader.damage), bool(library.damage), f"{where}: {reader.damage!r}, {library.damage!r}")
        if not reader.damage:
            self.assertEqual(reader, library, where)
            self.assertEqual(ask_library(directory), reader, f"{where}: opened to write")
            self.assertEqual(ask_reader(directory), reader, f"{where}: after it was opened to write")
        for line in reader.entries:
            self.assertEqual(line[4], zlib.crc32(line[3]), where)
        return reader


    def assertTablesAgree(self, directory: str, where: str) -> None:
        """Footers and clean side files, which nothing but the library reads, are right to the last digest."""
        log = read_log.Log(directory)
        for _ in log.entries():
            pass
        self.assertNotRegex("\n".join(log.found), r"(footer: |clean, |never fall )counts for nothing", where)


# ---- The golden logs


class GoldenTests(FormatTest):
    """Catches a reader, or a library, that no longer reads what version 1 wrote."""

    source = GOLDEN / "v1-binary"
    footers = True

    def setUp(self) -> None:
        super().setUp()
        self.expected: List[Line] = []
        for line in (self.source / "expected.txt").read_text().splitlines():
            index, term, time, checksum, payload = line.split(" ")
            data = b"" if payload == "-" else bytes.fromhex(payload)
            self.expected.append((int(index), int(term), int(time), data, int(checksum, 16)))
        # A copy: opening a log to write changes it. Version control keeps no empty directories, holes or lock files.
        self.log = copy(str(self.source / "log"), self.new_path())

    def test_the_reader_reads_the_golden_log(self):
        answer = ask_reader(self.log)
        self.assertEqual(answer, Answer(self.expected, self.expected[-1][0] + 1, ""))

    def test_the_library_reads_the_golden_log(self):
        for options in ({"read_only": True}, {"recovery": "strict"}, {"zero_copy": False}, {}):
            with self.subTest(**options):
                answer = ask_library(copy(str(self.source / "log"), self.new_path()), **options)
                self.assertEqual(answer, Answer(self.expected, self.expected[-1][0] + 1, ""))

    def test_the_library_goes_on_writing_the_golden_log(self):
        with walrus.open(self.log, segment_size="4KiB") as log:
            indexes = log.append_batch([b"", b"more" * 300, b"x"])
        answer = self.assertAgree(self.log, "golden log, written on")
        self.assertEqual(answer.entries[: len(self.expected)], self.expected)
        self.assertEqual([line[0] for line in answer.entries[len(self.expected) :]], list(indexes))

    def test_nothing_in_the_golden_log_counts_for_nothing(self):
        """Slots, footers and side files verify and agree with the frames."""
        log = read_log.Log(self.log)
        self.assertEqual(len(list(log.entries())), len(self.expected))
        found = "\n".join(log.found)
        if not self.footers:  # the table of a segment that was cut later has no other place, either
            found = found.replace(".idx: counts for nothing: its end is not the segment's", "")
        self.assertNotRegex(found, "nothing|torn|does not verify|unfinished")
        for what in ("as the clean side file says", ".idx: ok", ".idx: clean, ok"):
            self.assertIn(what, found)
        self.assertEqual("footer: ok" in found, self.footers)

    def test_the_program_prints_what_is_expected(self):
        program = str(ROOT / "Tests" / "format" / "read_log.py")
        result = subprocess.run([sys.executable, program, self.log], stdout=subprocess.PIPE, check=True)
        self.assertEqual(result.stdout.decode(), (self.source / "expected.txt").read_text())
        result = subprocess.run([sys.executable, program, "--verify", self.log], stdout=subprocess.PIPE, check=True)
        self.assertIn(f"{len(self.expected)} entries", result.stdout.decode())


class GoldenBinaryZlibTests(GoldenTests):
    source = GOLDEN / "v1-binary-zlib"


class GoldenJSONTests(GoldenTests):
    source = GOLDEN / "v1-json"
    footers = False


class GoldenJSONZlibTests(GoldenTests):
    source = GOLDEN / "v1-json-zlib"
    footers = False


class GoldenProtoTests(GoldenTests):
    source = GOLDEN / "v1-proto"
    footers = False


class PageTests(unittest.TestCase):
    def test_the_example_of_the_page_runs(self):
        """The snippet in docs/FORMAT.md verifies the frame that is shown there."""
        example = (ROOT / "docs" / "FORMAT.md").read_text().partition("## Example")[2]
        names: dict = {}
        exec(example.partition("```python\n")[2].partition("```")[0], names)
        self.assertEqual((names["payload"], names["kind"], names["next_offset"]), (b"hello", read_log.ENTRY, 4248))
        self.assertIn(f"time base: {1_700_000_000_000_000_000 - names['time']}", example)

    def test_the_lines_of_the_page_verify(self):
        """The JSON segment that is shown there, each line at its place."""
        page = (ROOT / "docs" / "FORMAT.md").read_text().partition("This is a segment of format 1")[2]
        lines = page.partition("```\n")[2].partition("```")[0].encode().splitlines()
        data = bytes(FIRST_FRAME)
        for line in lines:
            data += line + b" " * (-(len(line) + 1) % 8) + b"\n"
            frame = read_log.json_frames.frame_at(data, len(data) - (len(line) + 8) // 8 * 8, 0xCE49D6CA)
            self.assertIsNotNone(frame, line)
            self.assertEqual(frame.end, len(data))
        self.assertEqual(len(lines), 10)


# ---- Logs made now


def payload_of(chance: random.Random, size: int) -> bytes:
    """Noise, text with what has to be escaped, or text that can be compressed."""
    kind = chance.randrange(3)
    if kind == 0:
        return chance.randbytes(size)
    words = ("a", '"', "\\", "\n", "\x00", "é", "雨", "🦭", "{}") if kind == 1 else ("the same words ", "again ")
    return "".join(chance.choice(words) for _ in range(size)).encode()[:size]


def fill(log: walrus.Log, chance: random.Random, count: int, largest: int = 400) -> None:
    for _ in range(count):
        log.append_record(payload_of(chance, chance.randrange(largest)))


class Life:
    """A log that random things happen to."""

    TIMES = (0, 0, 0, 1, -5, 1 << 40, (1 << 63) - 1, -(1 << 63), 10**18)

    def __init__(self, path: str, chance: random.Random, stored: Dict[str, object]) -> None:
        self.path = path
        self.chance = chance
        self.term = 0
        self.options = {
            "segment_size": chance.choice((4096, 4096, 8192, 65536)),
            "preallocate": chance.random() < 0.5,
            "sync": chance.choice(("always", "os", "none")),
            "sync_padding": chance.choice((0, 0, 0, 4096)),
            "buffer_size": chance.choice((4096, 65536)),
            **stored,
        }
        self.log = walrus.open(path, **self.options)

    def record(self) -> walrus.Record:
        chance = self.chance
        if chance.random() < 0.1:
            self.term = chance.choice(((self.term + 1) % (1 << 64), 0, 3, (1 << 64) - 1))
        size = 0 if chance.random() < 0.1 else int(chance.paretovariate(0.7) * 20) % 6000
        return walrus.Record(payload_of(chance, size), term=self.term, timestamp_ns=chance.choice(self.TIMES))

    def step(self) -> None:
        chance, log = self.chance, self.log
        if chance.random() < 0.5:
            self.change_metadata()
        what = chance.random()
        first, following = log.first_index or log.next_index, log.next_index
        if what < 0.5:
            for _ in range(chance.randrange(1, 30)):
                record = self.record()
                log.append_record(record.data, term=record.term, timestamp_ns=record.timestamp_ns)
        elif what < 0.65:
            log.append_batch(self.record() for _ in range(chance.choice((2, 5, 20))))
        elif what < 0.7 and chance.random() < 0.3:
            log.append_batch(bytes(chance.randrange(4)) for _ in range(chance.choice((300, 3000))))
        elif what < 0.73:
            log.sync()
        elif what < 0.75:
            self.change_metadata()
        elif what < 0.83:
            log.truncate(chance.randrange(max(first - 1, 0), following))
        elif what < 0.9:
            log.truncate_front(chance.randrange(first, following + 1))
        elif what < 0.92:
            log.reset(chance.randrange(1, 10**6))
        else:
            log.close()
            self.log = walrus.open(self.path, **self.options)

    def change_metadata(self) -> None:
        chance, metadata = self.chance, Metadata(self.log)
        keys = sorted(metadata.all())
        for _ in range(chance.randrange(1, 4)):
            key = b"k%d" % chance.randrange(6) + b"y" * chance.choice((0, 0, 0, 200))
            value = chance.randbytes(chance.choice((0, 8, 30, 30, 100, 5000)))
            kind = chance.random()
            if kind < 0.6:
                metadata.stage(key, value)
            elif kind < 0.9 or not keys:
                metadata.set(key, value)
            else:
                metadata.delete(keys.pop())

    def reopen_from(self, path: str) -> None:
        """Life goes on in a copy, as after a crash."""
        self.log.close()
        self.path = path
        self.log = walrus.open(path, **self.options)


@each_way
class AgreementTests(FormatTest):
    def test_random_logs_are_read_alike(self):
        """Closed ones and crashed ones; catches a rule of the page that the library does not follow."""
        for turn in range(0, ROUNDS, self.thin):
            seed = SEED + turn
            chance = random.Random(seed)
            life = Life(self.new_path(), chance, self.stored)
            for _ in range(12):
                life.step()
                image = copy(life.path, self.new_path())
                answer = self.assertAgree(image, f"seed {seed}, crash image")
                self.assertEqual(answer.damage, "", f"seed {seed}")
                self.assertTablesAgree(image, f"seed {seed}, crash image")
                if chance.random() < 0.2:
                    life.reopen_from(copy(life.path, self.new_path()))
            life.log.sync()
            written = ask_reader(copy(life.path, self.new_path()))
            self.assertEqual(written.next_index, life.log.next_index, f"seed {seed}")
            self.assertEqual(written.metadata, Metadata(life.log).all(), f"seed {seed}")
            life.log.close()
            self.assertEqual(self.assertAgree(life.path, f"seed {seed}, closed"), written, f"seed {seed}, closed")
            self.assertTablesAgree(life.path, f"seed {seed}, closed")
            shutil.rmtree(self.directory)
            os.mkdir(self.directory)

    def images(self) -> Iterator[Tuple[str, str]]:
        """Small logs whose last segment holds single entries, a batch, terms; crashed and closed ones."""
        for sync in ("os", "always"):
            for closed in (False, True):
                chance = random.Random(SEED)
                path = self.new_path()
                log = walrus.open(path, sync=sync, segment_size=4096, preallocate=False, **self.stored)
                fill(log, chance, 30)
                Metadata(log).stage(b"batch", b"rides on it")
                log.append_batch([walrus.Record(b"one", term=5), b"", walrus.Record(b"three", term=6), b"4" * 300])
                Metadata(log).stage(b"one", b"rides on one")
                fill(log, chance, 5, 40)
                if not closed:
                    image = copy(path, self.new_path())
                log.close()
                yield (path if closed else image), f"seed {SEED}, sync={sync}, {'closed' if closed else 'crashed'}"

    def test_logs_cut_at_every_37th_byte_are_read_alike(self):
        """The last segment ends at each place of it, after a crash and after a clean close."""
        for image, where in self.images():
            whole = ask_reader(image)
            name = last_segment(image)
            data = Path(image, name).read_bytes()
            for end in range(FIRST_FRAME - 37, len(data), 37 * self.thin):
                for kept in (data[:end], data[:end] + bytes(len(data) - end)):  # a short file, and a hole
                    cut = copy(image, self.new_path())
                    Path(cut, name).write_bytes(kept)
                    answer = self.assertAgree(cut, f"{where}, {name} cut at {end}")
                    self.assertEqual(answer.entries, whole.entries[: len(answer.entries)], f"{where}, cut at {end}")
                    shutil.rmtree(cut)
                    # What said that more had been durable is cut off, too; a clean close leaves it in another file.
                    # The last 7 bytes may be the padding of the last frame.
                    if end < len(data) - 7:
                        if not self.is_binary and end < FIRST_FRAME:
                            continue  # there a header may be all of its block
                        self.assertEqual(bool(answer.damage), "closed" in where, f"{where}, cut at {end}")

    def test_older_segments_cut_at_every_37th_byte_are_read_alike(self):
        """Later segments follow what is lost, and may or may not say that it had been durable."""
        for image, where in self.images():
            whole = ask_reader(image)
            name = sorted(name for name in os.listdir(image) if name.endswith(".wal"))[-2]
            data = Path(image, name).read_bytes()
            for end in range(FIRST_FRAME - 37, min(len(data), FIRST_FRAME + 4096 + 88), 37 * self.thin):
                cut = copy(image, self.new_path())
                Path(cut, name).write_bytes(data[:end] + bytes(len(data) - end))
                answer = self.assertAgree(cut, f"{where}, {name} cut at {end}")
                self.assertEqual(answer.entries, whole.entries[: len(answer.entries)], f"{where}, {name}, {end}")
                shutil.rmtree(cut)


class _Record(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("index", ctypes.c_uint64), ("term", ctypes.c_uint64),
        ("timestamp_ns", ctypes.c_int64), ("reserved", ctypes.c_uint64 * 2),
    ]


class Structured:
    """A log by way of the C functions that change its structure."""

    def __init__(self, path: str, **options: object) -> None:
        self.library = ctypes.CDLL(os.environ.get("WALRUS_LIBRARY") or str(ROOT / "build" / "lib" / "libwalrus.so"))
        self.library.walrus_options_new.restype = ctypes.c_void_p
        self.library.walrus_next_index.restype = ctypes.c_uint64
        settings = ctypes.c_void_p(self.library.walrus_options_new())
        for key, value in options.items():
            self.call("options_set", settings, key.encode(), str(value).encode())
        self.log = ctypes.c_void_p()
        self.call("open", path.encode(), settings, ctypes.byref(self.log))
        self.library.walrus_options_free(settings)

    def call(self, name: str, *arguments: object) -> None:
        code = getattr(self.library, "walrus_" + name)(*arguments)
        if code:
            raise AssertionError(f"walrus_{name} answered {code}")

    def records(self, chance: random.Random, count: int) -> ctypes.Array:
        records = (_Record * count)()
        for record in records:
            record.data = b"x" * chance.choice((0, 5, 300))
            record.size = len(record.data)
            record.term = chance.choice((1, 2, 2, 3, 5))
        return records

    def step(self, chance: random.Random) -> None:
        following = int(self.library.walrus_next_index(self.log))
        count = chance.randrange(1, 25)
        what = chance.random()
        if what < 0.4:
            self.call("append_batch", self.log, self.records(chance, count), ctypes.c_size_t(count), 0, None)
        elif what < 0.7:
            start = max(following - chance.randrange(30), 1)
            self.call("replace_suffix", self.log, ctypes.c_uint64(start), self.records(chance, count), ctypes.c_size_t(count), 0)
        else:
            self.call("rotate", self.log)


@each_way
class StructureTests(FormatTest):
    def test_replaced_and_rotated_logs_are_read_alike(self):
        """Catches a chain of segments, or what begin frames say of terms, that the page does not tell."""
        for seed in range(SEED, SEED + 10, min(self.thin, 3)):
            chance = random.Random(seed)
            path = self.new_path()
            options = {"segment_size": chance.choice((4096, 8192)), "sync": chance.choice(("always", "os"))}
            options.update(self.stored)
            log = Structured(path, **options)
            for _ in range(12):
                log.step(chance)
                image = copy(path, self.new_path())
                self.assertEqual(self.assertAgree(image, f"seed {seed}").damage, "", f"seed {seed}")
                self.assertTablesAgree(image, f"seed {seed}")
            log.call("close", log.log)
            self.assertEqual(self.assertAgree(path, f"seed {seed}, closed").damage, "", f"seed {seed}, closed")
            self.assertTablesAgree(path, f"seed {seed}, closed")

    def test_an_unfinished_replacement_is_read_alike(self):
        """The new segment is there and the slots are those of before; or it had been live, and they are too old."""
        for appends in (0, 3):
            chance = random.Random(SEED)
            path = self.new_path()
            log = Structured(path, sync="always", **self.stored)
            log.call("append_batch", log.log, log.records(chance, 20), ctypes.c_size_t(20), 0, None)
            image = copy(path, self.new_path())
            before = ask_reader(copy(path, self.new_path()))
            log.call("replace_suffix", log.log, ctypes.c_uint64(9), log.records(chance, 2), ctypes.c_size_t(2), 0)
            for _ in range(appends):
                log.call("append_batch", log.log, log.records(chance, 1), ctypes.c_size_t(1), 0, None)
            for name in sorted(os.listdir(path)):  # what came before is cut only once the slots say so
                if name.endswith(".wal") and not Path(image, name).exists():
                    shutil.copyfile(os.path.join(path, name), os.path.join(image, name))
            log.call("close", log.log)
            answer = self.assertAgree(image, f"seed {SEED}, {appends} appends")
            self.assertEqual(bool(answer.damage), appends > 0)
            if not appends:
                self.assertEqual(answer, before)


def last_segment(directory: str) -> str:
    return max(name for name in os.listdir(directory) if name.endswith(".wal"))


# ---- Damage


@each_way
class DamageTests(FormatTest):
    """One byte is another one: what is read is what was written, or its beginning, or nothing."""

    def setUp(self) -> None:
        super().setUp()
        chance = random.Random(SEED)
        path = self.new_path()
        log = walrus.open(path, segment_size=4096, preallocate=False, sync="always", **self.stored)
        fill(log, chance, 14, 300)
        log.append_batch([walrus.Record(b"one", term=5), b"", walrus.Record(b"three", term=6)])
        fill(log, chance, 40, 90)
        self.crashed = copy(path, self.new_path())
        log.close()
        self.closed = path
        self.whole = ask_reader(path)
        self.assertEqual(self.whole, ask_library(copy(path, self.new_path()), read_only=True))
        self.assertEqual(self.whole, ask_reader(self.crashed))

    def flips(self, directory: str, name: str, ranges) -> Iterator[Tuple[int, Answer]]:
        """Each byte of the file in turn, changed, and what the reader makes of it."""
        path = Path(directory, name)
        data = path.read_bytes()
        chance = random.Random(SEED)
        with path.open("r+b", buffering=0) as file:
            for offset in ranges:
                file.seek(offset)
                file.write(bytes((data[offset] ^ chance.randrange(1, 256),)))
                answer = ask_reader(directory)
                where = f"seed {SEED}, {name}, byte {offset}"
                self.assertEqual(answer.entries, self.whole.entries[: len(answer.entries)], where)
                yield offset, answer
                file.seek(offset)
                file.write(data[offset : offset + 1])

    def interesting(self, size: int) -> List[int]:
        """All of a segment but most of what lies between its header and its first frame, and of its footer's table."""
        dense = FIRST_FRAME + 4096 + 88  # a full segment's frames, and its seal frame
        frames = range(FIRST_FRAME, min(size, dense), 2 * self.thin - 1)
        return [*range(80), *range(80, FIRST_FRAME, 97), *frames, *range(dense, size, 41)]

    def test_a_changed_byte_in_the_last_segment(self):
        """After a clean close each byte that counts is missed; after a crash only those that were declared durable."""
        name = last_segment(self.closed)
        end = len(Path(self.closed, name).read_bytes())
        free = self.free_bytes(self.closed, name)
        for offset, answer in self.flips(self.closed, name, self.interesting(end)):
            if offset in free:
                self.assertEqual(answer, self.whole, f"byte {offset}")
            else:
                self.assertNotEqual(answer.damage, "", f"seed {SEED}: a change of byte {offset} of {name} went unseen")
        for offset, answer in self.flips(self.crashed, name, self.interesting(end)):
            self.assertTrue(answer.damage or len(answer.entries) >= len(self.whole.entries) - 1 or offset in free)

    def test_a_changed_byte_in_an_older_segment(self):
        name = min(name for name in os.listdir(self.closed) if name.endswith(".wal"))
        free = self.free_bytes(self.closed, name)
        for offset, answer in self.flips(self.closed, name, self.interesting(Path(self.closed, name).stat().st_size)):
            if offset in free:
                self.assertEqual(answer, self.whole, f"seed {SEED}, byte {offset}")
            else:
                self.assertNotEqual(answer.damage, "", f"seed {SEED}: a change of byte {offset} of {name} went unseen")

    def test_a_changed_byte_in_metadata_and_side_file(self):
        """The other slot makes good for one; a side file is never the only source of anything."""
        slots = [*range(256), *range(131072, 131072 + 256)]
        for offset, answer in self.flips(self.closed, "walrus.meta", slots):
            self.assertEqual(answer, self.whole, f"seed {SEED}, byte {offset}")
        name = last_segment(self.closed)[:16] + ".idx"
        size = Path(self.closed, name).stat().st_size
        for offset, answer in self.flips(self.closed, name, [*range(512), *range(512, size, 11)]):
            self.assertEqual(answer, self.whole, f"seed {SEED}, byte {offset}")

    def test_the_library_never_reads_other_bytes_either(self):
        for name in sorted(name for name in os.listdir(self.closed) if name.endswith((".wal", ".idx"))):
            data = Path(self.closed, name).read_bytes()
            for offset in self.interesting(len(data))[:: 5 if name.endswith(".wal") else 29]:
                Path(self.closed, name).write_bytes(
                    data[:offset] + bytes((data[offset] ^ 0x55,)) + data[offset + 1 :])
                answer = ask_library(self.closed, read_only=True)
                self.assertEqual(answer.entries, self.whole.entries[: len(answer.entries)], f"{name}, byte {offset}")
                self.assertTrue(answer.damage or answer == self.whole, f"{name}, byte {offset}")
            Path(self.closed, name).write_bytes(data)

    @staticmethod
    def free_bytes(directory: str, name: str) -> set:
        """The bytes of a segment that nothing depends on: zeros, and a footer, which the frames can replace."""
        log = read_log.Log(directory)
        segment = next(segment for segment in log.segments if segment.name == name)
        is_binary = segment.format == read_log.BINARY  # elsewhere the checks cover all there is
        free = set(range(64, FIRST_FRAME)) if is_binary else set()
        offset = FIRST_FRAME
        while True:
            frame = segment.frame_at(offset)
            if not frame or frame.type == read_log.SEAL:
                return free | set(range(offset, len(segment.data)))
            free |= set(range(offset + 24 + len(frame.payload), frame.end)) if is_binary else set()
            offset = frame.end


class Runner(unittest.TextTestRunner):
    """unittest's own, whose closing line is the one that scripts read."""

    def run(self, test):
        print(f"libwalrus {walrus.version()}, seed {SEED}", flush=True)
        result = super().run(test)
        if not result.testsRun:
            sys.exit("No test has that name: run scripts/test-format without arguments.\n0 passed, 1 failed")
        failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
        passed = max(result.testsRun - failed - len(result.skipped) - len(result.expectedFailures), 0)
        print(f"{passed} passed, {failed} failed", flush=True)
        return result


if __name__ == "__main__":
    sys.modules["test_format"] = sys.modules["__main__"]
    from test_json import *  # noqa: F403

    unittest.main(testRunner=Runner(stream=sys.stdout, verbosity=2), verbosity=2)
