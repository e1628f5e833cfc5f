#!/usr/bin/env python3
# Writes the payloads of Benchmarks/formats: text lines, JSON documents and random bytes, each with its size before it.
#
#     payloads.py ROOT DIRECTORY      ROOT: of the repository, whose own pages are the text
import json
import random
import struct
import sys
from pathlib import Path

COUNT = 40_000


def main() -> None:
    root, target = Path(sys.argv[1]), Path(sys.argv[2])
    chance = random.Random(1)
    pages = [page.read_text() for page in sorted(root.glob("docs/*.md")) + [root / "README.md", root / "CHANGELOG.md"]]
    lines = [line for page in pages for line in page.splitlines() if line]
    words = [word for line in lines for word in line.split()]

    def document(number: int) -> dict:
        return {
            "id": f"{chance.getrandbits(64):016x}", "sequence": number, "kind": chance.choice(("created", "updated", "deleted")),
            "customer": {"name": f"{chance.choice(words)} {chance.choice(words)}", "region": chance.choice(("eu", "us", "ap"))},
            "items": [{"sku": chance.randrange(10**6), "count": chance.randrange(9) + 1, "price": chance.randrange(10**5) / 100}
                      for _ in range(chance.randrange(1, 9))],
            "note": " ".join(chance.choice(words) for _ in range(chance.randrange(12))),
        }

    kinds = {
        "text": (chance.choice(lines).encode() for _ in range(COUNT)),
        "documents": (json.dumps(document(number), ensure_ascii=False).encode() for number in range(COUNT)),
        "random": (chance.randbytes(256) for _ in range(COUNT)),
    }
    for name, payloads in kinds.items():
        with open(target / name, "wb") as file:
            for payload in payloads:
                file.write(struct.pack("<I", len(payload)) + payload)


if __name__ == "__main__":
    main()
