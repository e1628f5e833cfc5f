# _reports.py - what a log tells about itself: recovery, counts, segments
#
# SPDX-License-Identifier: MIT
import enum
from typing import Any, NamedTuple, Tuple


class Recovery(enum.IntEnum):
    """Why opening a log cut its tail."""

    CLEAN = 0  # the log had been closed cleanly, or is new: nothing to do
    COMPLETE = 1  # not closed cleanly, but nothing was unfinished
    TORN = 2  # cut: the last write was unfinished
    BATCH = 3  # cut: the last batch was unfinished
    REORDERED = 4  # cut: later writes had reached the disk before an earlier one


class RecoveryReport(NamedTuple):
    """What opening a log found and did. Nothing that was acknowledged as durable is ever cut."""

    reason: int  # a Recovery
    entries_cut: int
    bytes_cut: int
    cut_index: int
    cut_offset: int
    segments_scanned: int
    bytes_scanned: int
    duration_ns: int
    durable_index: int
    segment: str
    message: str


def recovery_report(report: Any) -> RecoveryReport:
    known = report.reason in Recovery.__members__.values()
    return RecoveryReport(
        Recovery(report.reason) if known else report.reason,
        report.entries_cut, report.bytes_cut, report.cut_index, report.cut_offset, report.segments_scanned,
        report.bytes_scanned, report.duration_ns, report.durable_index, report.segment.decode("utf-8", "replace"),
        report.message.decode("utf-8", "replace"),
    )  # fmt: skip


class Segment(NamedTuple):
    """One file of a log."""

    name: str  # of the file in the log's directory
    id: int  # grows from segment to segment, may have gaps
    first_index: int  # of its entries that are in the log
    last_index: int  # below first_index if it has none
    bytes: int  # of its frames, from the file's start
    file_bytes: int  # the file's size
    is_tail: bool  # the last one, which may still grow; else it is sealed
    highest_timestamp_ns: int  # no entry up to its end has a later timestamp


def segment(info: Any) -> Segment:
    return Segment(
        info.name.decode("utf-8", "replace"), info.id, info.first_index, info.last_index, info.bytes, info.file_bytes,
        bool(info.is_tail), info.highest_timestamp_ns,
    )  # fmt: skip


class Stats(NamedTuple):
    """Counts since the log was opened, but for those marked "now".

    They are read one by one beside a log in use, so they need not add up to the last one.
    """

    is_poisoned: bool  # now, as are the next six
    first_index: int
    last_index: int
    durable_index: int
    segments: int
    async_pending: int  # asynchronous appends whose completion is outstanding
    txn_open: int
    appends: int  # calls that appended
    entries_appended: int
    bytes_appended: int  # payloads
    bytes_written: int  # handed to the system for segments: frames, footers
    syncs: int  # group syncs: each covers whatever was appended before it
    entries_synced: int  # entries made durable by them: divided by syncs, the mean group
    largest_group: int  # most entries made durable by one sync
    sync_ns: int  # time spent in them
    sync_ns_max: int
    sync_histogram: Tuple[int, ...]  # [i]: syncs that took less than 2^i microseconds; the last one: all longer ones
    rotations: int
    truncations: int  # truncate, truncate_front, reset, replace_suffix, retention
    segments_removed: int
    segment_cache_hits: int  # reads that found their segment open; counted loosely
    segment_cache_misses: int  # segments that had to be opened
    txn_committed: int
    txn_rolled_back: int
    txn_expired: int
    meta_updates: int  # metadata made durable
    recovery_ns: int  # how long open took
    recovery_bytes_cut: int
    recovery_entries_cut: int


def stats(counts: Any) -> Stats:
    values = {name: getattr(counts, name) for name in Stats._fields}
    values["is_poisoned"] = bool(counts.is_poisoned)
    values["sync_histogram"] = tuple(counts.sync_histogram)
    return Stats(**values)
