# consumer.py - a program that mypy --strict must understand through the package's own types; scripts/test-wheel asks it
import asyncio
import concurrent.futures
from typing import List, Optional

import walrus


def use(path: str) -> List[bytes]:
    with walrus.open(path, sync="none", segment_size=1 << 20, create=True) as log:
        index: int = log.append(b"one")
        indexes: range = log.append_batch([b"two", walrus.Record(b"three", term=2)])
        future: concurrent.futures.Future[int] = log.append_async(b"four")
        told: int = log.append_async(b"five", callback=lambda index, error: print(index, error))
        payload: bytes = log[index]
        payloads: List[bytes] = log[index : indexes.stop]
        with log.transaction() as txn:
            txn.append(payload)
        committed: Optional[range] = txn.indexes
        log.meta["told"] = b"%d" % told
        value: Optional[bytes] = log.meta.get("told")
        with log.get(future.result()) as entry, log.cursor(durable_only=True) as cursor:
            view: memoryview = entry.data
            for following in cursor.follow(timeout=0.1):
                view = following.data
        segments: List[walrus.Segment] = log.segments()
        reveal = (committed, value, view, segments[0].first_index, log.stats().syncs, list(log.read_packed(1)))
        print(reveal)
        return payloads


async def follow(log: walrus.Log) -> int:
    index: int = await log.append_async(b"x")
    async for entry in log.cursor(index):
        return entry.index
    return 0


def mistakes(log: walrus.Log) -> None:
    log.append("text")  # type: ignore
    log["1"]  # type: ignore
    log.cursor(0, True)  # type: ignore
    log.meta["key"] = 5  # type: ignore


if __name__ == "__main__":
    use("typed-log")
    with walrus.open("typed-log") as opened:
        print(asyncio.run(follow(opened)))
