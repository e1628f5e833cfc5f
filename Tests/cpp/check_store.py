"""check_store.py ACKNOWLEDGED LISTED - whether the store of examples/cpp still has what it acknowledged before it was killed

Values are "roundR-N" and only grow, so what is listed for a key must be its last acknowledged value or a later one, which was
stored but not acknowledged any more.
"""

import re
import sys


def order(value):
    return tuple(map(int, re.fullmatch(r"round(\d+)-(\d+)", value).groups()))


def main(acknowledged, listed):
    with open(listed, encoding="ascii") as lines:
        there = dict(line.rstrip("\n").split(" ", 1) for line in lines)
    last = {}
    with open(acknowledged, encoding="ascii") as lines:
        # The last line may have been cut by the kill.
        for line in (line for line in lines if line.endswith("\n") and line.startswith("ok ")):
            _, key, value = line.rstrip("\n").split(" ", 2)
            last[key] = value
    lost = [key for key, value in last.items() if key not in there or order(there[key]) < order(value)]
    for key in lost:
        print(f"{key}: acknowledged as {last[key]}, and listed as {there.get(key)}")
    print(f"{len(last)} keys were acknowledged, {len(lost)} of them are lost")
    return 1 if lost or not last else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
