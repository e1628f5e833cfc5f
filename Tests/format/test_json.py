# test_json.py - other people's software reads JSON segments
#
# Run by scripts/test-format. Nothing of libwalrus reads here: jq (Debian: jq) and Python's json and zlib do, as docs/formats.md tells
# users to. What they find is held against what was appended.
#
# SPDX-License-Identifier: MIT
import base64
import datetime
import json
import os
import random
import re
import shutil
import subprocess
import unittest
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List

from test_format import ROOT, SEED, FormatTest, Metadata, copy, payload_of, walrus

JQ = shutil.which("jq")


def objects(path: Path) -> Iterator[Dict[str, Any]]:
    """Each line of a segment as an object, up to what was never written."""
    for line in path.read_bytes().split(b"\n"):
        if not line.strip(b"\0"):
            return
        yield json.loads(line)


def segments(directory: str) -> List[Path]:
    return sorted(Path(directory).glob("*.wal"))


def bytes_of(entry: Dict[str, Any]) -> bytes:
    data = entry["data"].encode() if "data" in entry else base64.b64decode(entry["data_base64"], validate=True)
    return zlib.decompress(data) if entry.get("codec") == "zlib" else data


def nanoseconds(text: str) -> int:
    whole = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S") - datetime.datetime(1970, 1, 1)
    return (whole.days * 86400 + whole.seconds) * 10**9 + int(text[20:29])


class JSONTests(FormatTest):
    stored: Dict[str, object] = {"format": "json"}

    def setUp(self) -> None:
        super().setUp()
        chance = random.Random(SEED)
        self.path = self.new_path()
        self.appended: List[tuple] = []
        self.log = walrus.open(self.path, segment_size=16384, sync="os", **self.stored)
        Metadata(self.log).stage(b"checkpoint", b"12")
        for number in range(1, 301):
            payload = payload_of(chance, chance.randrange(600))
            time = chance.choice((1, -1, 1_700_000_000_123_456_789, (1 << 63) - 1, -(1 << 63) + 1, 951_782_400 * 10**9))
            self.log.append_record(payload, term=number // 50, timestamp_ns=time)
            self.appended.append((number, number // 50, time, payload))
        self.log.append_batch([walrus.Record(b"batch", term=9, timestamp_ns=5), walrus.Record(b"", term=9, timestamp_ns=6)])
        self.appended += [(301, 9, 5, b"batch"), (302, 9, 6, b"")]

    def closed(self) -> str:
        self.log.close()
        return self.path

    def check(self, entries: List[Dict[str, Any]]) -> None:
        self.assertEqual(len(entries), len(self.appended))
        for entry, (index, term, time, payload) in zip(entries, self.appended):
            self.assertEqual((entry["index"], entry["term"], nanoseconds(entry["timestamp"])), (index, term, time), f"seed {SEED}")
            self.assertEqual(bytes_of(entry), payload, f"seed {SEED}")
            self.assertEqual(int(entry["checksum"], 16), zlib.crc32(payload))

    def test_python_reads_all_entries_of_a_closed_log(self):
        paths = segments(self.closed())
        self.assertGreater(len(paths), 3)
        self.check([entry for path in paths for entry in objects(path) if "term" in entry])
        for path in paths:  # nothing but lines, to the last byte
            self.assertTrue(path.read_bytes().endswith(b"\n") and b"\0" not in path.read_bytes())
            header, begin = list(objects(path))[:2]
            self.assertEqual((header["walrus"], header["major"], header["segment"]), ("json", 1, int(path.stem, 16)))
            self.assertIn("begin", begin)

    def test_python_reads_an_open_log_up_to_what_is_not_written_yet(self):
        self.check([entry for path in segments(copy(self.path, self.new_path())) for entry in objects(path) if "term" in entry])
        self.log.close()

    def test_metadata_and_batches_can_be_seen(self):
        lines = [line for path in segments(self.closed()) for line in objects(path)]
        ridden = [record for line in lines if "metadata" in line for record in line["metadata"]["records"]]
        self.assertEqual(ridden[0], {"key": "checkpoint", "value": "12"})
        flags = {line["index"]: line.get("flags", []) for line in lines if "term" in line}
        self.assertIn("continues", flags[301])
        self.assertNotIn("continues", flags[302])

    def test_compressed_entries_are_few_bytes_and_the_others_are_readable(self):
        lines = [line for path in segments(self.closed()) for line in objects(path) if "term" in line]
        deflated = [line for line in lines if "codec" in line]
        self.assertEqual(bool(deflated), "compression" in self.stored)
        for line in deflated:
            self.assertEqual(line["size"], len(bytes_of(line)))
            self.assertLess(len(line["data_base64"]), (line["size"] + 2) // 3 * 4)
        texts = [line["data"] for line in lines if "data" in line]
        self.assertTrue(texts)

    @unittest.skipUnless(JQ, "there is no jq (Debian: jq)")
    def test_jq_reads_all_entries_of_a_closed_log(self):
        paths = segments(self.closed())
        answer = subprocess.run([JQ, "-c", 'select(has("term"))', *paths], stdout=subprocess.PIPE, check=True)
        self.check([json.loads(line) for line in answer.stdout.splitlines()])
        program = 'select(has("term")) | (.data // (.data_base64 | if . then "..." else "" end))'
        answer = subprocess.run([JQ, "-r", "-j", program, *paths], stdout=subprocess.PIPE, check=True)
        self.assertIn(b"batch", answer.stdout)

    @unittest.skipUnless(JQ, "there is no jq (Debian: jq)")
    def test_jq_reads_an_open_log_without_its_zeros(self):
        image = copy(self.path, self.new_path())
        self.log.close()
        lines = b"".join(path.read_bytes().replace(b"\0", b"") for path in segments(image))
        answer = subprocess.run([JQ, "-c", 'select(has("term"))'], input=lines, stdout=subprocess.PIPE, check=True)
        self.check([json.loads(line) for line in answer.stdout.splitlines()])

    def test_the_examples_for_readers_run(self):
        """docs/formats.md: its Python, on this log; its shell where there is a jq."""
        page = (ROOT / "docs" / "formats.md").read_text()
        examples = re.findall(r"```python\n(.*?)```", page, re.S)
        self.assertGreater(len(examples), 1)
        names: Dict[str, Any] = {"directory": self.closed()}
        exec(examples[0], names)
        self.assertEqual([(i, t, p) for i, t, _, p in names["entries"]], [(i, t, p) for i, t, _, p in self.appended])
        for example in re.findall(r"```sh\n(.*?)```", page, re.S):
            for line in example.splitlines():
                if line.startswith("jq ") and not JQ or "protoc" in line:
                    continue
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 0, f"{line}: {done.stderr.decode()}")
                self.assertTrue(done.stdout, line)


class JSONZlibTests(JSONTests):
    stored = {"format": "json", "compression": "zlib", "compression_min_size": 0}


class DeflatedTests(FormatTest):
    """Python's zlib inflates what binary segments hold, and the reader written from the page finds it."""

    def test_python_inflates_binary_entries(self):
        import read_log

        path = self.new_path()
        texts = [b"a text that is said again and again, " * n for n in range(1, 40)]
        with walrus.open(path, compression="zlib", compression_min_size=100) as log:
            for text in texts:
                log.append(text)
        log = read_log.Log(path)
        self.assertEqual([entry.payload for entry in log.entries()], texts)
        frames, offset = [], read_log.FIRST_FRAME
        while (frame := log.segments[0].frame_at(offset)) and frame.type != read_log.SEAL:
            frames.append(frame)
            offset = frame.end
        entries = [frame for frame in frames if frame.type == read_log.ENTRY]
        for frame, text in zip(entries, texts):
            self.assertEqual(bool(frame.flags & read_log.CODEC), len(text) >= 100)
            if frame.flags & read_log.CODEC:
                self.assertEqual(frame.payload[:4], len(text).to_bytes(4, "little"))
                self.assertEqual(frame.payload[4:8], zlib.crc32(text).to_bytes(4, "little"))
                self.assertEqual(zlib.decompress(frame.payload[8:]), text)
