#!/usr/bin/env python3
# test_proto.py - other people's software reads segments of Protocol Buffers
#
#     test_proto.py FILE...               each file is a segment that was closed or sealed; see scripts/test-proto
#     test_proto.py --entries FILE...     what it holds instead: index, term, timestamp, CRC-32, payload in hexadecimal
#
# Nothing of libwalrus is used: docs/walrus.proto, classes that protoc made of it (walrus_pb2, on $PYTHONPATH), and Google's runtime, whose
# parse_length_prefixed is parseDelimitedFrom. What docs/FORMAT.md says of checks, order and padding is held against the bytes.
#
# SPDX-License-Identifier: MIT
"""Reads segments with the runtime of Protocol Buffers."""

import io
import os
import struct
import sys
import unittest
import zlib
from typing import Iterator, List, NamedTuple

from google.protobuf import proto
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.unknown_fields import UnknownFieldSet

import proto_frames
import walrus_pb2

HEADER_SIZE = 4096
FILES: List[str] = []


class Placed(NamedTuple):
    """A record, where it stands, and its bytes with the length before them."""

    offset: int
    record: walrus_pb2.Record
    data: bytes


def records(data: bytes) -> Iterator[Placed]:
    """Each record of a file, to its end."""
    stream = io.BytesIO(data)
    while True:
        offset = stream.tell()
        record = proto.parse_length_prefixed(walrus_pb2.Record, stream)
        if record is None:
            return
        yield Placed(offset, record, data[offset : stream.tell()])


def payload_of(entry: walrus_pb2.Entry) -> bytes:
    return zlib.decompress(entry.data) if entry.codec == walrus_pb2.ZLIB else entry.data


def check_of(placed: Placed, salt: int) -> int:
    """The check that a record has to have."""
    at = 1
    while placed.data[at - 1] & 0x80:
        at += 1
    assert placed.data[at] == 0x0D, "the check is the first field"
    start = zlib.crc32(placed.data[: at + 1], salt ^ placed.offset // 8 if placed.offset else 0)
    return zlib.crc32(placed.data[at + 5 :], start)


def varint_size(number: int) -> int:
    return max(1, (number.bit_length() + 6) // 7)


class Segments(unittest.TestCase):
    def setUp(self) -> None:
        self.files = {path: list(records(open(path, "rb").read())) for path in FILES}

    def each(self) -> Iterator[Placed]:
        for found in self.files.values():
            yield from found[1:]

    def test_the_header_comes_first_and_fills_its_block(self) -> None:
        for path, found in self.files.items():
            header = found[0].record.header
            self.assertEqual((found[0].offset, len(found[0].data)), (0, HEADER_SIZE), path)
            self.assertEqual((header.magic, header.major, header.first_frame), ("walrus", 1, HEADER_SIZE))
            self.assertEqual(len(header.log_id), 16)
            self.assertEqual(header.padding.strip(b"\0"), b"")
            self.assertEqual(found[0].record.check, check_of(found[0], 0))

    def test_records_reach_to_the_end_of_the_file(self) -> None:
        for path, found in self.files.items():
            self.assertEqual(found[-1].offset + len(found[-1].data), os.path.getsize(path))
            self.assertEqual(found[1].record.WhichOneof("kind"), "begin")

    def test_each_record_says_something_that_the_schema_knows(self) -> None:
        for placed in self.each():
            self.assertIsNotNone(placed.record.WhichOneof("kind"))
            self.assertEqual(len(UnknownFieldSet(placed.record)), 0)
            self.assertTrue(placed.record.HasField("check"))

    def test_checks_agree(self) -> None:
        for path, found in self.files.items():
            for placed in found[1:]:
                self.assertEqual(placed.record.check, check_of(placed, found[0].record.header.salt), f"{path} {placed.offset}")

    def test_the_runtime_writes_the_same_bytes(self) -> None:
        for placed in self.each():
            again = io.BytesIO()
            proto.serialize_length_prefixed(placed.record, again)
            self.assertEqual(again.getvalue(), placed.data, f"{placed.offset}")

    def test_records_begin_at_multiples_of_8_and_are_padded_no_more_than_that_takes(self) -> None:
        for placed in self.each():
            record = placed.record
            self.assertEqual(placed.offset % 8, 0)
            self.assertEqual(record.padding.strip(b"\0"), b"")
            used = len(record.padding) + 2 if record.HasField("padding") else 0
            record.ClearField("padding")
            bare = record.ByteSize()
            fits = [most for most in (0, *range(2, 40)) if (varint_size(bare + most) + bare + most) % 8 == 0]
            self.assertEqual(used, fits[0], f"{placed.offset}")

    def test_entries_are_whole(self) -> None:
        entries = 0
        for placed in self.each():
            if placed.record.HasField("entry"):
                entry, payload = placed.record.entry, payload_of(placed.record.entry)
                self.assertEqual(entry.checksum, zlib.crc32(payload))
                self.assertEqual(entry.size, len(payload) if entry.codec else 0)
                entries += 1
        self.assertGreater(entries, 0)

    def test_indexes_follow_each_other(self) -> None:
        for path, found in self.files.items():
            index = found[1].record.begin.base_index
            for placed in found[1:]:
                self.assertEqual(placed.record.index, index, f"{path} {placed.offset}")
                index += placed.record.HasField("entry")

    def test_a_reader_written_from_the_page_finds_the_same(self) -> None:
        for path, found in self.files.items():
            data = open(path, "rb").read()
            frames = proto_frames.frames_of(data)
            self.assertEqual([frame.offset for frame in frames], [placed.offset for placed in found[1:]])
            for frame, (offset, record, _) in zip(frames, found[1:]):
                known = (record.check, record.index, record.durable_distance, record.continues)
                self.assertEqual((frame.check, frame.index, frame.distance, frame.flags & 1), known, f"{path} {offset}")
                if record.HasField("entry"):
                    entry = record.entry
                    known = (entry.term, entry.timestamp_ns, entry.checksum, entry.data)
                    self.assertEqual((frame.term, frame.timestamp, frame.checksum, frame.payload), known)
                    self.assertEqual(frame.size, entry.size if entry.codec else len(entry.data))

    def test_that_reader_finds_any_flipped_bit(self) -> None:
        for path, found in self.files.items():
            salt = found[0].record.header.salt
            for offset, record, data in found[1:30]:
                if len(data) > 300:
                    continue
                whole = bytearray(offset) + data
                for bit in range(len(data) * 8):
                    whole[offset + bit // 8] ^= 1 << bit % 8
                    self.assertIsNone(proto_frames.frame_at(bytes(whole), offset, salt), f"{path} {offset}: bit {bit}")
                    whole[offset + bit // 8] ^= 1 << bit % 8

    def test_records_come_back_from_the_runtimes_own_json(self) -> None:
        for placed in self.each():
            if len(placed.data) < 10_000:
                self.assertEqual(Parse(MessageToJson(placed.record), walrus_pb2.Record()), placed.record)


def print_entries() -> None:
    for path in FILES:
        for placed in records(open(path, "rb").read()):
            if placed.record.HasField("entry"):
                entry, payload = placed.record.entry, payload_of(placed.record.entry)
                print(placed.record.index, entry.term, entry.timestamp_ns, f"{zlib.crc32(payload):08x}", payload.hex() or "-")


def main() -> int:
    only_entries = sys.argv[1:2] == ["--entries"]
    FILES.extend(sys.argv[2:] if only_entries else sys.argv[1:])
    if not FILES:
        print("usage: test_proto.py [--entries] FILE...", file=sys.stderr)
        return 2
    if only_entries:
        print_entries()
        return 0
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(Segments))
    failed = len({str(case).split(" [")[0].split(" (")[0] for case, _ in result.failures + result.errors})
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
