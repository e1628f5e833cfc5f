# json_frames.py - the frames of JSON segments, for readers that share no code with libwalrus
#
# Written from "JSON segments" in docs/FORMAT.md, with Python's standard library only. A line is taken apart, put together again
# as the page spells it, and counts only if that gives the same bytes.
#
# SPDX-License-Identifier: MIT
"""Frames and headers of segments of format 1."""

import base64
import binascii
import datetime
import json
import re
import struct
import uuid as uuids
import zlib
from typing import List, NamedTuple, Optional, Tuple

from proto_frames import BEGIN, ENTRY, HEADER_SIZE, LARGEST_LENGTH, METADATA, PADDING, RUN, WATERMARK, Frame, Header

NUMBER = rb"(0|[1-9][0-9]{0,19})"
TIME = rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z)"
FLAGS = rb'(?:,"flags":(\[[^\]]*\]))?(?:,"codec":("zlib"|2|3),"size":' + NUMBER + rb")?"
START = re.compile(rb'\{"c":"([A-Za-z0-9_-]{7})(A|[B-Za-z0-9_-][A-Za-z0-9_-]{0,5})","index":' + NUMBER)
REST = (
    re.compile(rb',"term":' + NUMBER + rb',"timestamp":"' + TIME + rb'"' + FLAGS + rb',"checksum":"([0-9a-f]{8})","(data|data_base64)":"'),
    re.compile(rb',"type":' + NUMBER + FLAGS + rb',"(data|data_base64)":"'),
    re.compile(FLAGS + rb',"(begin|run|watermark|padding|metadata)":("?)'),
)
HEADER = re.compile(
    rb'\{"walrus":"json","check":"([0-9a-f]{8})","major":' + NUMBER + rb',"minor":' + NUMBER + rb',"first_frame":' + NUMBER
    + rb',"log":"([0-9a-f-]{36})","segment":' + NUMBER + rb',"salt":"([0-9a-f]{8})","created":"' + TIME + rb'"')
NAMES = {b"begin": BEGIN, b"run": RUN, b"watermark": WATERMARK, b"padding": PADDING, b"metadata": METADATA}
FLAG_NAMES = {1: "continues", 2: "given_time"}
MOST_BODY = 1 << 31
MOST_RECORDS = 1 << 20
EPOCH = datetime.datetime(1970, 1, 1)


class Misspelled(Exception):
    pass


def expect(is_right: bool) -> None:
    if not is_right:
        raise Misspelled


def number_of(digits: bytes, most: int = (1 << 64) - 1) -> int:
    value = int(digits)
    expect(value <= most)
    return value


def digits_of(digits: bytes) -> int:
    """A number in base64url digits, eight at the most."""
    return int.from_bytes(base64.urlsafe_b64decode(digits.rjust(8, b"A")), "big")


# ---- Times and bytes


def time_text(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return (EPOCH + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09}Z"


def time_of(text: str) -> int:
    try:
        whole = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S") - EPOCH
    except ValueError:
        raise Misspelled from None
    value = (whole.days * 86400 + whole.seconds) * 10**9 + int(text[20:29])
    expect(-(1 << 63) <= value < 1 << 63)
    return value


ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
ESCAPES.update({code: f"\\u{code:04x}" for code in range(32) if code not in ESCAPES})


def bytes_field(name: str, data: bytes) -> Tuple[str, bytes]:
    """The name under which bytes are written, and the value without its quotes."""
    try:
        escaped = data.decode("utf-8").translate(ESCAPES).encode("utf-8")
        if len(escaped) <= 2 * len(data):
            return name, escaped
    except UnicodeDecodeError:
        pass
    return name + "_base64", base64.b64encode(data)


def bytes_of(name: bytes, value: bytes) -> bytes:
    try:
        if name.endswith(b"_base64"):
            return base64.b64decode(value, validate=True)
        return json.loads(b'"' + value + b'"').encode("utf-8")
    except (ValueError, binascii.Error, UnicodeError):
        raise Misspelled from None


# ---- Payloads of control frames, as binary has them


def run_value(payload: bytes) -> str:
    term, time_base = struct.unpack("<Qq", payload)
    return f'{{"term":{term},"time_base":"{time_text(time_base)}"}}'


def begin_value(payload: bytes) -> str:
    base, epoch, segment, rising, end_offset, digest = struct.unpack_from("<6Q", payload)
    highest, durable, stamp, sequence = struct.unpack_from("<qQqQ", payload, 64)
    return (
        f'{{"base_index":{base},"epoch":{epoch},"predecessor":{{"segment":{segment},"end_offset":{end_offset},'
        f'"digest":"{digest:016x}"}},"rising_from":{rising},"run":{run_value(payload[48:64])},"highest_time":"{time_text(highest)}",'
        f'"durable_index":{durable},"highest_stamp":"{time_text(stamp)}","metadata_sequence":{sequence}}}')


def metadata_value(payload: bytes) -> Optional[bytes]:
    """None where records do not fill the payload exactly."""
    if not 8 <= len(payload) <= 8 + MOST_RECORDS:
        return None
    records, at = [], 8
    while at < len(payload):
        if len(payload) - at < 8:
            return None
        key_length, kind, value_length = struct.unpack_from("<HHI", payload, at)
        key_end = at + 8 + key_length
        end = key_end + value_length
        padded = (end + 7) // 8 * 8
        if padded > len(payload) or any(payload[end:padded]):
            return None
        (key_name, key), (value_name, value) = (
            bytes_field("key", payload[at + 8 : key_end]), bytes_field("value", payload[key_end:end]))
        of_kind = b'"kind":%d,' % kind if kind else b""
        records.append(b'{%b"%b":"%b","%b":"%b"}' % (of_kind, key_name.encode(), key, value_name.encode(), value))
        at = padded
    return b'{"sequence":%d,"records":[%b]}' % (struct.unpack_from("<Q", payload)[0], b",".join(records))


def value_of(kind: int, payload: bytes) -> Optional[bytes]:
    """What stands behind the name of a control frame's field, without quotes; None where the names cannot say the payload."""
    if kind == BEGIN and len(payload) == 96:
        return begin_value(payload).encode()
    if kind == RUN and len(payload) == 16:
        return run_value(payload).encode()
    if kind == WATERMARK and len(payload) == 8:
        return b"%d" % struct.unpack("<Q", payload)[0]
    if kind == PADDING and not any(payload):
        return b" " * len(payload)
    return metadata_value(payload) if kind == METADATA else None


def payload_of(kind: int, value: bytes) -> bytes:
    if kind == PADDING:
        expect(not value.strip(b" "))
        return bytes(len(value))
    try:
        said = json.loads(value)
        if kind == WATERMARK:
            return struct.pack("<Q", said)
        if kind == RUN:
            return struct.pack("<Qq", said["term"], time_of(said["time_base"]))
        if kind == METADATA:
            parts = [struct.pack("<Q", said["sequence"])]
            for record in said["records"]:
                key, data = (
                    record[name].encode() if name in record else base64.b64decode(record[name + "_base64"], validate=True)
                    for name in ("key", "value"))
                part = struct.pack("<HHI", len(key), record.get("kind", 0), len(data)) + key + data
                parts.append(part + bytes(-len(part) % 8))
            return b"".join(parts)
        before, run = said["predecessor"], said["run"]
        front = struct.pack(
            "<6Q", said["base_index"], said["epoch"], before["segment"], said["rising_from"], before["end_offset"],
            int(before["digest"], 16))
        return front + struct.pack(
            "<QqqQqQ", run["term"], time_of(run["time_base"]), time_of(said["highest_time"]), said["durable_index"],
            time_of(said["highest_stamp"]), said["metadata_sequence"])
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, UnicodeError):
        raise Misspelled from None


# ---- Frames


def flags_of(listed: Optional[bytes], codec: Optional[bytes]) -> int:
    flags = 0
    if listed is not None:
        try:
            names = json.loads(listed)
        except ValueError:
            raise Misspelled from None
        for name in names:
            flags |= next((bit for bit, known in FLAG_NAMES.items() if known == name), name if isinstance(name, int) else 0)
        expect(0 < flags < 256 and not flags & 0x30)
        spelled = [FLAG_NAMES.get(1 << bit, 1 << bit) for bit in range(8) if flags >> bit & 1]
        expect(json.dumps(spelled, separators=(",", ":")).encode() == listed)
    return flags | (0 if codec is None else 1 if codec == b'"zlib"' else int(codec)) << 4


def frame_at(data: bytes, offset: int, salt: int) -> Optional[Frame]:
    """The frame at offset, or None where none verifies."""
    try:
        return read_frame(data, offset, salt)
    except Misspelled:
        return None


def read_frame(data: bytes, offset: int, salt: int) -> Frame:
    start = START.match(data, offset)
    expect(start is not None)
    packed, size, index = digits_of(start[1]), digits_of(start[2]), number_of(start[3])
    check, distance = packed >> 10, packed >> 2 & 255
    expect(packed & 3 == 0)
    for kind, pattern in enumerate(REST):
        rest = pattern.match(data, start.end())
        if rest:
            break
    expect(rest is not None)
    quote = rest.group(rest.lastindex) if kind == 2 else b'"'
    body_at, value_end = rest.end(), rest.end() + size
    end = value_end + len(quote) + 1
    end += -(end - offset + 1) % 8 + 1
    expect(size <= MOST_BODY and end <= len(data))
    expect(data[value_end:end] == (quote + b"}").ljust(end - value_end - 1) + b"\n")
    behind = zlib.crc32(memoryview(data)[offset + 13 : end], salt ^ (offset // 8 & 0xFFFFFFFF))
    expect(zlib.crc32(bytes([distance]), behind) == check)
    value = data[body_at:value_end]
    term = timestamp = checksum = 0
    if kind == 2:
        flags, stored_size = flags_of(rest[1], rest[2]), rest[3]
        frame_type = NAMES[rest[4]]
        expect((quote == b'"') == (frame_type == PADDING))
        payload = payload_of(frame_type, value)
        expect(value_of(frame_type, payload) == value)
    elif kind == 1:
        flags, stored_size, frame_type = flags_of(rest[2], rest[3]), rest[4], number_of(rest[1], 255)
        payload = bytes_of(rest[5], value)
        expect(frame_type > ENTRY and value_of(frame_type, payload) is None)
        expect(bytes_field("data", payload) == (rest[5].decode(), value))
    else:
        flags, stored_size, frame_type = flags_of(rest[3], rest[4]), rest[5], ENTRY
        term, timestamp, checksum = number_of(rest[1]), time_of(rest[2].decode()), int(rest[6], 16)
        payload = bytes_of(rest[7], value)
        expect(bytes_field("data", payload) == (rest[7].decode(), value))
    length = number_of(stored_size, (1 << 32) - 1) if stored_size is not None else len(payload)
    expect(len(payload) <= LARGEST_LENGTH)
    return Frame(offset, end, frame_type, flags, index, distance, term, timestamp, length, checksum, payload, check)


def header_of(data: bytes) -> Optional[Header]:
    """The header of a segment of this format, or None where none verifies."""
    block = data[:HEADER_SIZE]
    found = HEADER.match(block)
    if len(block) < HEADER_SIZE or not found or zlib.crc32(block[34:]) != int(found[1], 16):
        return None
    try:
        major, minor = number_of(found[2]), number_of(found[3])
        if major != 1:
            return Header(major, b"", 0, 0, 0)
        expect(minor > 0 or block[found.end() :] == b"}".ljust(HEADER_SIZE - found.end() - 1) + b"\n")
        uuid = uuids.UUID(found[5].decode())
        expect(str(uuid).encode() == found[5] and number_of(found[4]) == HEADER_SIZE)
        return Header(major, uuid.bytes, number_of(found[6]), int(found[7], 16), time_of(found[8].decode()))
    except (Misspelled, ValueError):
        return None


def frames_of(data: bytes) -> List[Frame]:
    """The frames of a segment, up to the first that does not verify."""
    header, found = header_of(data), []
    at = HEADER_SIZE
    while header and (frame := frame_at(data, at, header.salt)):
        found.append(frame)
        at = frame.end
    return found
