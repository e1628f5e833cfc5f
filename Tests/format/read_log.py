#!/usr/bin/env python3
# read_log.py - a reader of log directories that shares no code with libwalrus
#
#     read_log.py DIR             one line an entry: index, term, timestamp, CRC-32, payload in hexadecimal
#     read_log.py --verify DIR    what the directory holds, each checksum of it verified, and the metadata
#
# It is written from docs/FORMAT.md alone, with Python's standard library only, and is there to prove that the page
# is enough. So it is complete rather than fast: it reads every byte of every live segment, and holds offset tables,
# digests and side files, which a reader may do without, against the frames.
#
# Four outcomes: the entries; Damage, where something that had been durable is not there any more; NewerVersion;
# NotALog. Entries that come before a Damage are whole and right.
#
# SPDX-License-Identifier: MIT
"""Reads the entries of a log directory, as docs/FORMAT.md describes it."""

import os
import re
import struct
import sys
import zlib
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import json_frames
import proto_frames

SLOT_OFFSETS = (0, 131072)
SLOT_MAGIC = b"\x89WALMET\n"
SEGMENT_MAGIC = b"\x89WALRUS\n"
SIDE_FILE_MAGIC = b"\x89WALIDX\n"
FIRST_FRAME = 4096
LARGEST_LENGTH = 1 << 30
ENTRY, BEGIN, RUN, SEAL, WATERMARK, PADDING, METADATA, BLOCK = range(1, 9)
PAYLOAD_SIZES = {BEGIN: 96, RUN: 16, SEAL: 64, WATERMARK: 8}
MOST_RECORDS = 65536
CONTINUES, GIVEN_TIME, CODEC, ZLIB = 0x01, 0x02, 0x30, 0x10
BINARY, JSON, PROTO = range(3)
SPELLED = {JSON: json_frames, PROTO: proto_frames}  # formats that tell index, term and time of each entry
MOST_INFLATED = 1032


class Damage(Exception):
    """Bytes that had been durable are not there, or not the ones that were written."""


class NewerVersion(Exception):
    """Written by a version that knows more than the page does. Never damage."""


class NotALog(Exception):
    """No walrus.meta."""


class Entry(NamedTuple):
    index: int
    term: int
    timestamp_ns: int
    payload: bytes
    checksum: int
    given_time: bool  # the caller's, not the log's own


class Frame(NamedTuple):
    offset: int
    end: int
    type: int
    flags: int
    relative_index: int
    distance: int  # 0: no claim
    time: int
    payload: bytes
    header_checksum: int  # of the other formats, the check
    payload_checksum: int
    own: Optional[Tuple[int, int, int, int]] = None  # of an entry in other formats: term, time, size and CRC-32 of its bytes


class Begin(NamedTuple):
    base_index: int
    epoch: int
    predecessor: int
    rising_from: int
    predecessor_end_offset: int
    predecessor_digest: int
    term: int
    time_base: int
    highest_time: int
    durable_index: int
    highest_own_time: int
    metadata_sequence: int


class Slot(NamedTuple):
    magic: bytes
    major: int
    minor: int
    length: int
    uuid: bytes
    sequence: int
    epoch: int
    first_index: int
    lowest: int
    highest: int
    cut_segment: int
    cut_end_index: int
    cut_end_offset: int
    cut_digest: int
    cut_highest_dropped: int
    highest_dropped_time: int
    last_term: int
    format: int
    record_bytes: int
    created: int
    metadata_sequence: int


Records = Dict[Tuple[int, bytes], bytes]  # kind and key, value


class Descriptor(NamedTuple):
    end_index: int
    end_offset: int
    digest: int
    highest_time: int
    table_offset: int
    blocks: int
    runs: int
    runs_checksum: int
    blocks_checksum: int
    highest_own_time: int


class Run(NamedTuple):
    relative_index: int
    term: int
    time_base: int


def signed(value: int) -> int:
    """The low 64 bits of value as an i64."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def next_digest(digest: int, header_checksum: int) -> int:
    return (digest ^ header_checksum) * 0x100000001B3 % (1 << 64)


def frame_at(data: bytes, offset: int, salt: int) -> Optional[Frame]:
    """The binary frame at offset, or None where none verifies: header first, then the bound, then the payload."""
    header = data[offset : offset + 24]
    if len(header) < 24:
        return None
    checksum, payload_checksum, length, relative, kind, flags, distance = struct.unpack_from("<IIIIBBB", header)
    if zlib.crc32(header[4:], salt ^ (offset // 8 & 0xFFFFFFFF)) != checksum:
        return None
    if kind == 0 or length > LARGEST_LENGTH or offset + 24 + length > len(data):
        return None
    payload = data[offset + 24 : offset + 24 + length]
    if zlib.crc32(payload) != payload_checksum or length != PAYLOAD_SIZES.get(kind, length):
        return None
    if kind == METADATA and ride_of(payload) is None:
        return None
    end = offset + 24 + (length + 7) // 8 * 8  # the file may end before: in the zeros behind the payload
    time = int.from_bytes(header[19:24], "little")
    return Frame(offset, end, kind, flags, relative, distance, time, payload, checksum, payload_checksum)


def spelled_frame_at(data: bytes, offset: int, salt: int, format: int, base: Optional[int]) -> Optional[Frame]:
    """The same in another format. base: of the segment, None where it is not known; then the index takes the relative one's place."""
    found = SPELLED[format].frame_at(data, offset, salt)
    if not found or not 0 <= found.index - (base or 0) < 1 << (64 if base is None else 32):
        return None
    if len(found.payload) != PAYLOAD_SIZES.get(found.type, len(found.payload)):
        return None
    if found.type == METADATA and ride_of(found.payload) is None:
        return None
    own = (found.term, found.timestamp, found.size, found.checksum) if found.type == ENTRY else None
    return Frame(
        offset, found.end, found.type, found.flags, found.index - (base or 0), found.distance, 0, found.payload, found.check, 0, own)


def inflate(stream: bytes, size: int, checksum: int) -> Optional[bytes]:
    """The bytes of an entry that was compressed, or None where the stream does not hold exactly them."""
    if size > min(LARGEST_LENGTH, MOST_INFLATED * len(stream)):
        return None
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(stream, size + 1)
        data += inflater.decompress(inflater.unconsumed_tail, 1) if len(data) == size and not inflater.eof else b""
    except zlib.error:
        return None
    good = inflater.eof and not inflater.unused_data and len(data) == size and zlib.crc32(data) == checksum
    return data if good else None


def records_in(data: bytes) -> Optional[Records]:
    """Key-value records, or None where they are not well-formed."""
    records: Records = {}
    position, last = 0, (-1, b"")
    if len(data) > MOST_RECORDS:
        return None
    while position < len(data):
        if len(data) - position < 8:
            return None
        key_length, kind, value_length = struct.unpack_from("<HHI", data, position)
        end = position + (8 + key_length + value_length + 7) // 8 * 8
        if not 1 <= key_length <= 255 or value_length > 65535 or end > len(data):
            return None
        key = data[position + 8 : position + 8 + key_length]
        if b"\0" in key or (kind, key) <= last:
            return None
        records[kind, key] = data[position + 8 + key_length : position + 8 + key_length + value_length]
        position, last = end, (kind, key)
    return records


def ride_of(payload: bytes) -> Optional[Tuple[int, Records]]:
    """The sequence number and the records of a metadata frame, or None where they are not well-formed."""
    records = records_in(payload[8:])
    if len(payload) < 8 or records is None:
        return None
    sequence = struct.unpack_from("<Q", payload)[0]
    return (sequence, records) if 0 < sequence < 1 << 63 else None


# ---- Metadata --------------------------------------------------------------------------------------------


def slot_at(data: bytes, offset: int) -> Optional[Slot]:
    """The slot at offset, or None where none verifies."""
    header = data[offset : offset + 256]
    if len(header) < 256 or header[:8] != SLOT_MAGIC:
        return None
    slot = Slot(*struct.unpack_from("<8sHHI16sQQQQQQQQQQqQIIqQ", header))
    stored = struct.unpack_from("<I", header, 252)[0]
    if not 256 <= slot.length <= 131072 or offset + slot.length > len(data):
        return None
    if zlib.crc32(data[offset + 256 : offset + slot.length], zlib.crc32(header[:252])) != stored:
        return None
    if slot.major > 1:
        raise NewerVersion(f"walrus.meta has format version {slot.major}")
    if records_of(data, offset, slot) is None:
        return None
    return slot


def records_of(data: bytes, offset: int, slot: Slot) -> Optional[Records]:
    """The key-value records of a slot, or None where they are not well-formed, or not within its length."""
    if slot.record_bytes > slot.length - 256:
        return None
    return records_in(data[offset + 256 : offset + 256 + slot.record_bytes])


# ---- Segments --------------------------------------------------------------------------------------------


class Segment:
    """One .wal file: its header, its begin frame, and the frames up to where it ends."""

    def __init__(self, path: str, uuid: bytes, format: int) -> None:
        self.name = os.path.basename(path)
        self.id = int(self.name[:16], 16)
        with open(path, "rb") as file:
            self.data = file.read()
        self.format = format
        self.begin: Optional[Begin] = None
        self._read_header(uuid, format)
        frame = self.frame_at(FIRST_FRAME)
        if frame and frame.type == BEGIN and (format != BINARY or frame.relative_index == 0):
            begin = Begin(*struct.unpack_from("<QQQQQQQqqQqQ", frame.payload))
            if format == BINARY or frame.relative_index == begin.base_index:
                self.begin = begin

    def frame_at(self, offset: int) -> Optional[Frame]:
        """The frame at offset, or None where none verifies."""
        if self.format == BINARY:
            return frame_at(self.data, offset, self.salt)
        return spelled_frame_at(self.data, offset, self.salt, self.format, self.begin.base_index if self.begin else None)

    def _read_header(self, uuid: bytes, format: int) -> None:
        found = next((number for number, module in SPELLED.items() if module.header_of(self.data)), BINARY)
        if found != BINARY:
            self._read_spelled_header(uuid, format, found)
            return
        header = self.data[:64]
        if len(header) < 64 or struct.unpack_from("<I", header, 60)[0] != zlib.crc32(header[:60]):
            raise Damage(f"{self.name}: the segment header does not verify")
        magic, major, _minor, first_frame, own_uuid, own_id, salt, own_format = struct.unpack_from(
            "<8sHHI16sQII", header
        )
        if magic != SEGMENT_MAGIC:
            raise Damage(f"{self.name}: this is no segment")
        if major > 1:
            raise NewerVersion(f"{self.name} has format version {major}")
        if own_uuid != uuid or own_id != self.id or format != BINARY:
            raise Damage(f"{self.name}: the segment belongs to another log or has another name")
        if own_format != BINARY:
            raise NewerVersion(f"{self.name} has entry format {own_format}")
        if first_frame != FIRST_FRAME:
            raise NewerVersion(f"{self.name} has its first frame at {first_frame}")
        self.salt = salt

    def _read_spelled_header(self, uuid: bytes, format: int, found: int) -> None:
        header = SPELLED[found].header_of(self.data)
        if header.major > 1:
            raise NewerVersion(f"{self.name} has format version {header.major}")
        if header.uuid != uuid or header.segment != self.id or format != found:
            raise Damage(f"{self.name}: the segment belongs to another log or has another name")
        self.salt = header.salt

    @property
    def base(self) -> int:
        assert self.begin
        return self.begin.base_index

    def valid_frames_from(self, offset: int) -> Iterator[Frame]:
        """Every frame that verifies at or behind offset, at whatever multiple of 8: what a tear may have left."""
        nonzero = re.compile(rb"[^\0]")
        while True:
            match = nonzero.search(self.data, offset)
            if not match:
                return
            offset = match.start() // 8 * 8
            frame = self.frame_at(offset)
            if frame:
                yield frame
            offset = frame.end if frame else offset + 8

    def claim_from(self, offset: int, base: int) -> int:
        """The highest index that a frame at or behind offset says was durable, or 0."""
        return max((claim_of(frame, base) for frame in self.valid_frames_from(offset)), default=0)

    def claims_own_entries(self) -> bool:
        """Whether, without its begin frame, it says that one of its own entries was durable."""
        if self.format == BINARY:  # a claim counts where it reaches whatever the base was
            base = 1 << 40
            frames = (frame for frame in self.valid_frames_from(FIRST_FRAME) if frame.type != WATERMARK)
            return max((claim_of(frame, base) for frame in frames), default=0) >= base
        frames = list(self.valid_frames_from(FIRST_FRAME))
        lowest = min((frame.relative_index for frame in frames if frame.type == ENTRY), default=1 << 64)
        return max((claim_of(frame, 0) for frame in frames), default=0) >= lowest


def claim_of(frame: Frame, base: int) -> int:
    """The index up to which, as this frame says, everything was durable, or 0."""
    if frame.type == WATERMARK:
        return struct.unpack("<Q", frame.payload)[0]
    return max(base + frame.relative_index - frame.distance, 0) if frame.distance else 0


def refuse_unknown(segment: Segment, frame: Frame) -> None:
    if frame.flags & ~(CONTINUES | GIVEN_TIME | CODEC):
        raise NewerVersion(f"{segment.name}: unknown flags {frame.flags:#x} at {frame.offset}")
    if frame.flags & CODEC > ZLIB:
        raise NewerVersion(f"{segment.name}: codec {frame.flags >> 4 & 3} at {frame.offset}")
    if BLOCK <= frame.type <= 127:
        raise NewerVersion(f"{segment.name}: unknown frame type {frame.type} at {frame.offset}")


class Scan:
    """The frames of one segment from the begin frame to `limit`, or as far as they verify."""

    def __init__(self, segment: Segment, limit: Optional[int]) -> None:
        assert segment.begin
        begin = segment.begin
        self.segment = segment
        self.entries: List[Entry] = []
        self.offsets: List[int] = []  # each entry's frame
        self.digests: List[int] = []  # before each entry's frame
        self.times: List[int] = []  # the highest timestamp before each entry
        self.runs = [Run(0, begin.term, begin.time_base)]
        self.batch_start: Optional[int] = None  # position in entries of an unfinished batch
        self.rides: List[Tuple[int, Records]] = []  # what the metadata frames say
        self.whole_rides = 0  # those that belong to no unfinished batch
        self.highest_time = begin.highest_time
        self.highest_own_time = begin.highest_own_time
        self.claim = begin.durable_index
        self.digest = 0
        self.end = FIRST_FRAME
        while limit is None or self.end < limit:
            frame = segment.frame_at(self.end)
            if not frame:
                break
            refuse_unknown(segment, frame)
            if frame.relative_index != len(self.entries) or (frame.type == BEGIN) != (self.end == FIRST_FRAME):
                break
            if frame.type == SEAL:
                break
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        self.claim = max(self.claim, claim_of(frame, self.segment.base))
        if frame.type == ENTRY:
            self._take_entry(frame)
        elif frame.type == RUN:
            self.runs.append(Run(len(self.entries), *struct.unpack("<Qq", frame.payload)))
        elif frame.type == METADATA:
            ride = ride_of(frame.payload)
            assert ride
            self.rides.append(ride)
            if frame.flags & CONTINUES and self.batch_start is None:
                self.batch_start = len(self.entries)
        if self.batch_start is None:
            self.whole_rides = len(self.rides)
        self.digest = next_digest(self.digest, frame.header_checksum)
        self.end = frame.end

    def _take_entry(self, frame: Frame) -> None:
        run = self.runs[-1]
        term, time, size, checksum = frame.own or (
            run.term, signed(run.time_base + frame.time), len(frame.payload), frame.payload_checksum)
        payload: Optional[bytes] = frame.payload
        if frame.flags & CODEC:
            stream = frame.payload
            if not frame.own:
                size, checksum = struct.unpack_from("<II", stream) if len(stream) > 8 else (0, 0)
                stream = stream[8:]
            payload = inflate(stream, size, checksum)
        elif zlib.crc32(frame.payload) != checksum:
            payload = None
        if payload is None:
            raise Damage(f"{self.segment.name}: entry {self.next_index} at {frame.offset} is not what was appended")
        entry = Entry(self.next_index, term, time, payload, checksum, bool(frame.flags & GIVEN_TIME))
        self.offsets.append(frame.offset)
        self.digests.append(self.digest)
        self.times.append(self.highest_time)
        self.highest_time = max(self.highest_time, entry.timestamp_ns)
        if not entry.given_time:
            self.highest_own_time = max(self.highest_own_time, entry.timestamp_ns)
        if not frame.flags & CONTINUES:
            self.batch_start = None
        elif self.batch_start is None:
            self.batch_start = len(self.entries)
        self.entries.append(entry)

    @property
    def next_index(self) -> int:
        return self.segment.base + len(self.entries)

    def drop_unfinished_batch(self) -> int:
        """Drops the entries of a batch whose last one is missing; returns how many."""
        if self.batch_start is None:
            return 0
        dropped = len(self.entries) - self.batch_start
        del self.entries[self.batch_start :]
        del self.rides[self.whole_rides :]
        return dropped


# ---- Offset tables ---------------------------------------------------------------------------------------


def check_table(data: bytes, descriptor: Descriptor, scan: Scan) -> Optional[str]:
    """What is wrong with an offset table, held against the frames it was made from; None: nothing."""
    count = descriptor.end_index - scan.segment.base
    if (descriptor.end_index, descriptor.end_offset, descriptor.digest) != (scan.next_index, scan.end, scan.digest):
        return "its end is not the segment's"
    if descriptor.blocks != (count + 1023) // 1024:
        return "it has the wrong number of blocks"
    if descriptor.highest_time != scan.highest_time or descriptor.highest_own_time < scan.highest_own_time:
        return "its highest timestamps are not the entries'"
    runs_offset = descriptor.table_offset + descriptor.blocks * 4128
    runs = data[runs_offset : runs_offset + descriptor.runs * 24]
    if len(runs) != descriptor.runs * 24 or zlib.crc32(runs) != descriptor.runs_checksum:
        return "its runs do not verify"
    if [Run(r, term, base) for r, _, term, base in struct.iter_unpack("<IIQq", runs)] != scan.runs:
        return "its runs are not the frames'"
    checksums = b""
    for number in range(descriptor.blocks):
        offset = descriptor.table_offset + number * 4128
        block = data[offset : offset + 4128]
        checksums += block[:4]
        if len(block) < 4128 or zlib.crc32(block[4:]) != struct.unpack_from("<I", block)[0]:
            return f"block {number} does not verify"
        in_block, highest_time, digest, durable = struct.unpack_from("<IqQQ", block, 4)
        first = number * 1024
        if in_block != min(1024, count - first):
            return f"block {number} has the wrong number of entries"
        if (highest_time, digest) != (scan.times[first], scan.digests[first]):
            return f"block {number} does not continue the one before"
        if durable >= scan.segment.base + first:
            return f"block {number} says that entries were durable before they were written"
        offsets = struct.unpack_from(f"<{in_block}I", block, 32)
        if [o * 8 for o in offsets] != scan.offsets[first : first + in_block]:
            return f"block {number} has wrong offsets"
    if zlib.crc32(checksums) != descriptor.blocks_checksum:
        return "the blocks' checksums do not verify"
    return None


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor(*struct.unpack_from("<QQQqQIIIIq", data))


class SideFile(NamedTuple):
    segment: int
    clean: bool  # and it may be believed
    descriptor: Descriptor
    data: bytes


def side_file(path: str, slot: Slot, segment: Optional[Segment]) -> Tuple[Optional[SideFile], str]:
    """A side file and "", or None and why it counts for nothing. segment: the one it must belong to, where known."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None, ""
    if len(data) < 512 or data[:8] != SIDE_FILE_MAGIC:
        return None, "not a side file" if data[:512].strip(b"\0") else "the mark of a clean close was taken away"
    if zlib.crc32(data[:508]) != struct.unpack_from("<I", data, 508)[0]:
        return None, "the header does not verify"
    major, _minor, flags, own_uuid, own_id, salt, _reserved, base, epoch = struct.unpack_from("<HHI16sQIIQQ", data, 8)
    if major != 1:
        return None, "it has a newer version"
    if own_uuid != slot.uuid or own_id != int(os.path.basename(path)[:16], 16) or segment and salt != segment.salt:
        return None, "it belongs to another segment"
    descriptor = descriptor_of(data[64:128])
    if descriptor.table_offset != 512 or segment and segment.begin and base != segment.base:
        return None, "it does not describe this segment"
    clean = bool(flags & 1) and epoch == slot.epoch
    if own_id == slot.cut_segment:
        cut = slot.cut_end_index, slot.cut_end_offset, slot.cut_digest
        clean = clean and cut == (descriptor.end_index, descriptor.end_offset, descriptor.digest)
    return SideFile(own_id, clean, descriptor, data), ""


# ---- Terms -----------------------------------------------------------------------------------------------


class Terms:
    """Holds what begin frames say of terms that never fall against the entries."""

    def __init__(self) -> None:
        self.last: Optional[int] = None
        self.rising_from = 0  # as far as the entries that are there can tell

    def check(self, scan: Scan, found: List[str]) -> None:
        begin, base = scan.segment.begin, scan.segment.base
        assert begin
        falls = self.last is not None and begin.term < self.last
        if begin.rising_from > base or begin.rising_from and begin.rising_from < (base if falls else self.rising_from):
            found.append(f"{scan.segment.name}: from where on terms never fall counts for nothing: they do")
        for entry in scan.entries:
            if self.last is not None and entry.term < self.last:
                self.rising_from = entry.index
            self.last = entry.term


# ---- The log ---------------------------------------------------------------------------------------------


class Log:
    """A log directory. entries() yields what counts; found says, line by line, what was met on the way."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.found: List[str] = []
        self.first_index = self.next_index = 0  # next_index is known once entries() has ended
        self.last: Optional[Tuple[int, Scan]] = None  # the segment in which the log ends, its number and its frames
        self._read_slots()
        self._choose_segments()
        self._check_chain()

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _read_slots(self) -> None:
        """Step 1 of "Which bytes are the log"."""
        try:
            with open(self._path("walrus.meta"), "rb") as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            raise NotALog(f"{self.directory} has no walrus.meta") from None
        slots: Dict[int, Slot] = {}
        for offset in SLOT_OFFSETS:
            slot = slot_at(data, offset)
            if slot:
                slots[offset] = slot
                self.found.append(f"walrus.meta: slot at {offset}: sequence {slot.sequence}, epoch {slot.epoch}, ok")
            else:
                self.found.append(f"walrus.meta: slot at {offset}: does not verify")
        if not slots:
            raise Damage("walrus.meta: neither slot verifies")
        if len({slot.uuid for slot in slots.values()}) > 1:
            raise Damage("walrus.meta: the slots belong to different logs")
        offset = max(slots, key=lambda where: slots[where].sequence)
        self.slot = slots[offset]
        if self.slot.format > PROTO:
            raise NewerVersion(f"walrus.meta: entry format {self.slot.format}")
        self.records = records_of(data, offset, self.slot) or {}

    def _side_file(self, segment: Segment) -> Tuple[Optional[SideFile], str]:
        return side_file(self._path(segment.name[:16] + ".idx"), self.slot, segment)

    # ---- Step 2: which segments are live

    def _choose_segments(self) -> None:
        slot = self.slot
        self.segments: List[Segment] = []
        for name in sorted(os.listdir(self.directory)):
            if not re.fullmatch(r"[0-9a-f]{16}\.wal", name):
                continue
            number = int(name[:16], 16)
            if number < slot.lowest or slot.cut_segment < number <= slot.cut_highest_dropped:
                self.found.append(f"{name}: dropped")
            else:
                self.segments.append(Segment(self._path(name), slot.uuid, slot.format))
        self._refuse_lost_end()
        replacement = ""
        while self.segments:
            last = self.segments[-1]
            if not last.begin:
                self._refuse_lost_begin(last)
                self.found.append(f"{last.name}: not begun")
            elif not replacement and self._is_unfinished_replacement(last):
                replacement = last.name
                self.found.append(f"{last.name}: a replacement that was never finished")
            elif last.begin.epoch > slot.epoch:
                raise Damage(f"{last.name}: its epoch never came: walrus.meta is older than the log")
            else:
                break
            self.segments.pop()

    def _is_unfinished_replacement(self, segment: Segment) -> bool:
        """Whether the slots were to make this segment, with what it holds, part of the log and never did."""
        return (
            segment.begin.epoch == self.slot.epoch + 1
            and segment.claim_from(FIRST_FRAME, segment.base) < segment.base
            and segment.begin.durable_index < segment.base
            and not os.path.exists(self._path(segment.name[:16] + ".idx"))
        )

    def _refuse_lost_end(self) -> None:
        """The segment that a clean side file belongs to is there."""
        highest = self.segments[-1].id if self.segments else 0
        for name in os.listdir(self.directory):
            if re.fullmatch(r"[0-9a-f]{16}\.idx", name) and int(name[:16], 16) > highest:
                side, _ = side_file(self._path(name), self.slot, None)
                if side and side.clean and side.segment >= self.slot.lowest:
                    raise Damage(f"{name[:16]}.wal: the last segment is missing")

    def _refuse_lost_begin(self, segment: Segment) -> None:
        """A segment without a begin frame holds nothing, unless something says that it did."""
        side, _ = self._side_file(segment)
        if side and side.clean or segment.claims_own_entries():
            raise Damage(f"{segment.name}: the begin frame does not verify, and entries behind it had been durable")

    def _check_chain(self) -> None:
        slot = self.slot
        for number, segment in enumerate(self.segments):
            before = self.segments[number - 1] if number else None
            begin = segment.begin
            if not begin:
                if before:
                    continue  # seen to where the one before ends
                if self._claim_of(0) >= max(slot.first_index, 1):
                    raise Damage(f"{segment.name}: the begin frame does not verify, and entries behind it were durable")
                self.found += [f"{nothing.name}: behind the end of the log" for nothing in self.segments]
                self.segments = []
                break
            if begin.epoch > slot.epoch:
                raise Damage(f"{segment.name}: its epoch never came, and segments follow it")
            follows = begin.predecessor == before.id if before else begin.predecessor < slot.lowest
            if not follows:
                raise Damage(f"{segment.name}: the segment before it is missing: {begin.predecessor:016x}.wal")
        self.first_index = slot.first_index
        if self.segments and not slot.first_index:
            self.first_index = self.segments[0].base
        if self.segments and self.segments[0].base > self.first_index:
            raise Damage(f"{self.segments[0].name}: it begins above the log's first index {self.first_index}")

    # ---- Steps 3 and 4: where each segment ends, and the entries

    def entries(self) -> Iterator[Entry]:
        """The entries from the first index on. May be called once."""
        self.next_index = max(self.first_index, 1)
        terms = Terms()
        for number in range(len(self.segments)):
            scan, is_last = self._scan(number)
            terms.check(scan, self.found)
            yield from (entry for entry in scan.entries if entry.index >= self.first_index)
            self.next_index = max(self.next_index, scan.next_index)
            if is_last:
                self.last = number, scan
                break

    def metadata(self) -> Records:
        """The key-value records, once entries() has ended."""
        folded = self.slot.metadata_sequence
        rides: List[Tuple[int, Records]] = []
        if self.last:
            number, scan = self.last
            rides = scan.rides
            while self._lacks_repeat(scan):
                begin = scan.segment.begin
                assert begin
                number -= 1
                if number < 0:
                    raise Damage(f"{scan.segment.name}: the metadata that it should repeat is lost")
                scan = Scan(self.segments[number], begin.predecessor_end_offset)
                if scan.end != begin.predecessor_end_offset:
                    raise Damage(f"{scan.segment.name}: metadata at {scan.end} had been durable")
                rides = scan.rides + rides
        records, last = dict(self.records), folded
        for sequence, changes in rides:
            if sequence > last:
                records.update(changes)
                last = sequence
        return records

    def _lacks_repeat(self, scan: Scan) -> bool:
        """Whether a segment announces metadata that the slots do not hold, and does not begin with it."""
        begin = scan.segment.begin
        assert begin
        first = scan.rides[0][0] if scan.rides else 0
        return begin.metadata_sequence > self.slot.metadata_sequence and first != begin.metadata_sequence

    def _scan(self, number: int) -> Tuple[Scan, bool]:
        """The frames of a live segment, and whether the log ends in it."""
        segment = self.segments[number]
        side, why = self._side_file(segment)
        if why:
            self.found.append(f"{segment.name[:16]}.idx: counts for nothing: {why}")
        end, said_by = self._known_end(number, side)
        scan = Scan(segment, end[1] if end else None)
        line = f"{segment.name}: entries {segment.base} to {scan.next_index - 1}, end {scan.end}"
        is_last = number + 1 == len(self.segments)
        self._check_tables(scan, side)
        if end and (scan.next_index, scan.end, scan.digest) == end:
            self.found.append(f"{line}, as {said_by} says")
            return scan, is_last
        if end and is_last:
            raise Damage(f"{segment.name}: the frame at {scan.end} is not what {said_by} says")
        # The first bad frame, or the end. Segments that follow never counted, unless something says that they did.
        self._check_tear(number, scan)
        dropped = scan.drop_unfinished_batch()
        line += f", without {dropped} entries of an unfinished batch" if dropped else ""
        line += ", torn behind it" if segment.data[scan.end :].strip(b"\0") else ""
        self.found.append(line)
        self.found += [f"{later.name}: behind the end of the log" for later in self.segments[number + 1 :]]
        return scan, True

    def _known_end(self, number: int, side: Optional[SideFile]) -> Tuple[Optional[Tuple[int, int, int]], str]:
        """Where a segment ends (index, offset, digest) and who says so, if anybody does."""
        segment, slot = self.segments[number], self.slot
        if number + 1 < len(self.segments):
            following = self.segments[number + 1]
            begin = following.begin
            if not begin:
                return None, ""
            return (begin.base_index, begin.predecessor_end_offset, begin.predecessor_digest), following.name
        if slot.cut_segment == segment.id:
            return (slot.cut_end_index, slot.cut_end_offset, slot.cut_digest), "the cut"
        if side and side.clean:
            descriptor = side.descriptor
            return (descriptor.end_index, descriptor.end_offset, descriptor.digest), "the clean side file"
        return None, ""

    def _check_tear(self, number: int, scan: Scan) -> None:
        """What stood behind the last frame that verifies must not have been durable."""
        segment = scan.segment
        claim = max(scan.claim, segment.claim_from(scan.end, segment.base), self.slot.first_index - 1)
        claim = max(claim, self._claim_of(number + 1))
        if claim >= scan.next_index:
            raise Damage(
                f"{segment.name}: the frame at {scan.end} does not verify, and entries {scan.next_index} to {claim} "
                "had been durable"
            )

    def _claim_of(self, number: int) -> int:
        """The highest index that the live segments from this one on, or what is told of them, say was durable."""
        claim = 0
        for segment in self.segments[number:]:
            if segment.id == self.slot.cut_segment:
                claim = max(claim, self.slot.cut_end_index - 1)
            if not segment.begin:
                self._refuse_lost_begin(segment)
                continue
            claim = max(claim, segment.begin.durable_index, segment.claim_from(FIRST_FRAME, segment.base))
            side, _ = self._side_file(segment)
            if side and side.clean:
                claim = max(claim, side.descriptor.end_index - 1)
        return claim

    def _check_tables(self, scan: Scan, side: Optional[SideFile]) -> None:
        """Holds footer and side file against the frames. What is wrong with them is told and costs nothing."""
        segment = scan.segment
        seal = segment.frame_at(scan.end)
        if seal and seal.type == SEAL:
            wrong = check_table(segment.data, descriptor_of(seal.payload), scan)
            self.found.append(f"{segment.name}: footer: {'counts for nothing: ' + wrong if wrong else 'ok'}")
        if side:
            wrong = check_table(side.data, side.descriptor, scan)
            state = "clean, " if side.clean else ""
            self.found.append(f"{segment.name[:16]}.idx: {state}{'counts for nothing: ' + wrong if wrong else 'ok'}")


def read(directory: str) -> Iterator[Entry]:
    """The entries of the log in directory, first to last. Raises Damage, NewerVersion, NotALog."""
    yield from Log(directory).entries()


def line_of(entry: Entry) -> str:
    return f"{entry.index} {entry.term} {entry.timestamp_ns} {entry.checksum:08x} {entry.payload.hex() or '-'}"


def main(arguments: List[str]) -> int:
    verify = "--verify" in arguments
    directories = [argument for argument in arguments if argument != "--verify"]
    if len(directories) != 1 or directories[0].startswith("-"):
        print("usage: read_log.py [--verify] DIR", file=sys.stderr)
        return 2
    log, count = None, 0
    try:
        log = Log(directories[0])
        for entry in log.entries():
            count += 1
            if not verify:
                print(line_of(entry))
    except (Damage, NewerVersion, NotALog) as error:
        if verify and log:
            print("\n".join(log.found))
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if verify:
        print("\n".join(log.found))
        for (kind, key), value in sorted(log.metadata().items()):
            print(f"metadata {key!r}, kind {kind}: {len(value)} bytes, {zlib.crc32(value):08x}")
        print(f"{count} entries; the first index is {log.first_index}, the next one {log.next_index}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
