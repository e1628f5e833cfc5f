# proto_frames.py - the frames of Protocol Buffers segments, for readers that share no code with libwalrus
#
# Written from "Protocol Buffers segments" in docs/FORMAT.md and docs/walrus.proto, with Python's standard library only: no runtime, no
# classes made by protoc. A frame that is spelled in any other way than the page tells is none.
#
# SPDX-License-Identifier: MIT
"""Frames and headers of segments of format 2."""

import struct
import zlib
from typing import List, NamedTuple, Optional

HEADER_SIZE = 4096
LARGEST_LENGTH = 1 << 30
MOST_RECORDS = 65536
ENTRY, BEGIN, RUN, SEAL, WATERMARK, PADDING, METADATA = range(1, 8)
OTHER_KIND, HEADER_KIND = 14, 15
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Frame(NamedTuple):
    offset: int
    end: int
    type: int
    flags: int
    index: int  # the entry's, or that of the next entry
    distance: int  # 0: no claim
    term: int  # an entry's own, as the two that follow
    timestamp: int
    size: int  # of the entry before it was compressed
    checksum: int
    payload: bytes  # as stored; that of control frames as binary has it
    check: int


class Header(NamedTuple):
    major: int
    uuid: bytes
    segment: int
    salt: int
    created: int


class Misspelled(Exception):
    pass


def expect(is_right: bool) -> None:
    if not is_right:
        raise Misspelled


class Message:
    """Fields of a message, front to back. What is not there is 0 or empty."""

    def __init__(self, data: bytes, at: int = 0, end: Optional[int] = None) -> None:
        self.data, self.at, self.end = data, at, len(data) if end is None else end

    def varint(self, most: int = (1 << 64) - 1) -> int:
        value, shift = 0, 0
        while True:
            expect(self.at < self.end and shift < 70)
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                expect(value <= most and (byte > 0 or shift == 0))
                return value
            shift += 7

    def has(self, number: int, wire_type: int) -> bool:
        if self.at < self.end and self.data[self.at] == number << 3 | wire_type:
            self.at += 1
            return True
        return False

    def take(self, count: int) -> bytes:
        expect(count <= self.end - self.at)
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, number: int, most: int = (1 << 64) - 1) -> int:
        if not self.has(number, VARINT):
            return 0
        value = self.varint(most)
        expect(value > 0)
        return value

    def fixed(self, number: int, form: str, may_be_zero: bool = False) -> int:
        size = struct.calcsize(form)
        if not self.has(number, FIXED64 if size == 8 else FIXED32):
            return 0
        value = struct.unpack(form, self.take(size))[0]
        expect(value != 0 or may_be_zero)
        return value

    def bytes(self, number: int) -> bytes:
        if not self.has(number, BYTES):
            return b""
        value = self.take(self.varint())
        expect(len(value) > 0)
        return value

    def message(self, number: int) -> "Message":
        expect(self.has(number, BYTES))
        count = self.varint()
        self.take(count)
        return Message(self.data, self.at - count, self.at)

    def done(self, last: int) -> None:
        """The rest is fields that only a newer version knows."""
        while self.at < self.end:
            tag = self.varint((1 << 32) - 1)
            expect(tag >> 3 > last)
            last = (tag >> 3) - 1  # one number may come again
            wire_type = tag & 7
            expect(wire_type in (VARINT, FIXED64, BYTES, FIXED32))
            if wire_type == VARINT:
                self.varint()
            else:
                self.take({FIXED64: 8, FIXED32: 4}.get(wire_type) or self.varint())


def varint_size(number: int) -> int:
    return max(1, (number.bit_length() + 6) // 7)


def padding_of(bare: int) -> int:
    """Bytes of the padding field of a record that has `bare` bytes without it."""
    return next(p for p in (0, *range(2, 40)) if (varint_size(bare + p) + bare + p) % 8 == 0)


# ---- Payloads of control frames, as binary has them


def begin_payload(message: Message) -> bytes:
    base_index, epoch = message.number(1), message.number(2)
    predecessor = message.message(3)
    segment, end_offset, digest = predecessor.number(1), predecessor.number(2), predecessor.fixed(3, "<Q")
    predecessor.done(3)
    rising_from = message.number(4)
    run = message.message(5)
    first_run = run_payload(run)
    run.done(2)
    highest_time, durable_index = message.fixed(6, "<q"), message.number(7)
    highest_stamp, sequence = message.fixed(8, "<q"), message.number(9)
    front = struct.pack("<6Q", base_index, epoch, segment, rising_from, end_offset, digest)
    return front + first_run + struct.pack("<qQqQ", highest_time, durable_index, highest_stamp, sequence)


def run_payload(message: Message) -> bytes:
    return struct.pack("<Qq", message.number(1), message.fixed(2, "<q"))


def metadata_payload(message: Message) -> bytes:
    parts = [struct.pack("<Q", message.number(1))]
    while message.at < message.end and message.data[message.at] == 2 << 3 | BYTES:
        record = message.message(2)
        kind, key, value = record.number(1, 65535), record.bytes(2), record.bytes(3)
        record.done(3)
        expect(len(key) <= 65535)
        part = struct.pack("<HHI", len(key), kind, len(value)) + key + value
        parts.append(part + bytes(-len(part) % 8))
    payload = b"".join(parts)
    expect(len(payload) <= 8 + MOST_RECORDS)
    return payload


def padding_payload(message: Message) -> bytes:
    zeros = message.bytes(1)
    expect(not any(zeros))
    return zeros


PAYLOADS = {
    BEGIN: (begin_payload, 9),
    RUN: (run_payload, 2),
    WATERMARK: (lambda message: struct.pack("<Q", message.number(1)), 1),
    PADDING: (padding_payload, 1),
    METADATA: (metadata_payload, 2),
}


def can_be_fields(kind: int, payload: bytes) -> bool:
    """Whether a payload has to be written as a message of its own."""
    if kind in (BEGIN, RUN, WATERMARK):
        return len(payload) == {BEGIN: 96, RUN: 16, WATERMARK: 8}[kind]
    if kind == PADDING:
        return not any(payload)
    if kind != METADATA or not 8 <= len(payload) <= 8 + MOST_RECORDS:
        return False
    at = 8
    while at < len(payload):
        if len(payload) - at < 8:
            return False
        key_length, _, value_length = struct.unpack_from("<HHI", payload, at)
        end = at + 8 + key_length + value_length
        at = (end + 7) // 8 * 8
        if at > len(payload) or any(payload[end:at]):
            return False
    return True


# ---- Frames


def frame_at(data: bytes, offset: int, salt: int) -> Optional[Frame]:
    """The frame at offset, or None where none verifies."""
    try:
        return read_frame(data, offset, salt)
    except Misspelled:
        return None


def read_frame(data: bytes, offset: int, salt: int) -> Frame:
    record = Message(data, offset)
    size = record.varint((1 << 31) - 1)
    start, end = record.at, record.at + size
    expect((end - offset) % 8 == 0 and end <= len(data))
    record.end = end
    expect(record.at < end and data[start] == 1 << 3 | FIXED32)
    check = record.fixed(1, "<I", may_be_zero=True)
    seed = zlib.crc32(data[offset : start + 1], salt ^ (offset // 8 & 0xFFFFFFFF))
    expect(zlib.crc32(memoryview(data)[start + 5 : end], seed) == check)
    index, distance, continues, more = record.number(2), record.number(3, 255), record.number(4, 1), record.number(5, 255)
    padding_at = record.at
    if record.has(6, BYTES):
        expect(not any(record.take(record.varint())))
    padding = record.at - padding_at
    expect(padding == padding_of(size - padding))
    expect(record.at < end and data[record.at] & 7 == BYTES)
    kind = data[record.at] >> 3
    expect(ENTRY + 6 <= kind <= OTHER_KIND and kind != SEAL + 6)
    message = record.message(kind)
    term = timestamp = checksum = named = 0
    if kind == ENTRY + 6:
        frame_type, term, timestamp = ENTRY, message.number(1), message.fixed(2, "<q")
        given_time, codec = message.number(3, 1), message.number(4, 3)
        stored_size = message.number(5, (1 << 32) - 1) if codec else 0
        checksum, payload = message.fixed(6, "<I"), body(message, 7)
        named = given_time << 1 | codec << 4
        expect(more & 0x33 == 0)
        length = stored_size if codec else len(payload)
    else:
        expect(more & 1 == 0)
        if kind == OTHER_KIND:
            frame_type, payload = message.number(1, 255), body(message, 2)
            expect(frame_type > ENTRY and not can_be_fields(frame_type, payload))
        else:
            frame_type = kind - 6
            of, last = PAYLOADS[frame_type]
            payload = of(message)
            message.done(last)
        length = len(payload)
    expect(len(payload) <= LARGEST_LENGTH)
    return Frame(
        offset, end, frame_type, continues | named | more, index, distance, term, timestamp, length, checksum, payload, check)


def body(message: Message, number: int) -> bytes:
    """An entry's or other bytes. What stands behind them is a newer version's, and not looked at."""
    payload = message.bytes(number)
    if not payload and message.at < message.end:
        expect(message.varint() >> 3 > number)
    return payload


def header_of(data: bytes) -> Optional[Header]:
    """The header of a segment of this format, or None where none verifies."""
    block = data[:HEADER_SIZE]
    if len(block) < HEADER_SIZE or block[:3] != b"\xfe\x1f\x0d" or block[7:18] != b"\x7a\xf6\x1f\x0a\x06walrus":
        return None
    if zlib.crc32(block[7:], zlib.crc32(block[:3])) != struct.unpack_from("<I", block, 3)[0]:
        return None
    try:
        fields = Message(block, 18)
        major = fields.number(2)
        if major != 1:
            return Header(major, b"", 0, 0, 0)
        minor, first_frame = fields.number(3), fields.number(4)
        uuid, segment, salt, created = fields.bytes(5), fields.number(6), fields.fixed(7, "<I"), fields.fixed(8, "<q")
        if minor == 0:
            expect(not any(fields.bytes(15)) and fields.at == HEADER_SIZE)
        fields.done(8)
        expect(first_frame == HEADER_SIZE and len(uuid) == 16)
        return Header(major, uuid, segment, salt, created)
    except Misspelled:
        return None


def frames_of(data: bytes) -> List[Frame]:
    """The frames of a segment, up to the first that does not verify."""
    header, found = header_of(data), []
    at = HEADER_SIZE
    while header and (frame := frame_at(data, at, header.salt)):
        found.append(frame)
        at = frame.end
    return found
