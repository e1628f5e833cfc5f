"""record.py - the binary interface as text, and what a change of it would do to programs that exist

    scripts/abi-record                     prints the record of include/walrus.h and build/lib/libwalrus.so
    scripts/abi-record --check [RECORD]    compares it with the committed one, abi/walrus-1.abi, and explains each difference

The record holds each function with its version node, each callback, each constant's value, each struct's size and its members' places, as the
compiler ($CC, cc) sees them. --check is red for any difference: growth is then committed on purpose, with the new record; a break needs another
soname, version node and record, as docs/ABI.md says.
"""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import header  # noqa: E402

HEADER = os.path.join(ROOT, "include", "walrus.h")
LIBRARY = os.environ.get("WALRUS_LIBRARY", os.path.join(ROOT, "build", "lib", "libwalrus.so"))
# Other in each release by intention, and no part of the interface.
RELEASE = {"WALRUS_VERSION", "WALRUS_VERSION_NUMBER"}


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60, **more).stdout


# ---- Making the record


def measured(declared):
    """Lines of constants and structs, from a program that a compiler made of the header."""
    lines = ["#include <walrus.h>", "#include <stdio.h>", "int main(void) {", '    printf("pointer %zu\\n", sizeof(void *));']
    for name in declared.constants:
        if name not in RELEASE:
            lines.append(f'    printf("constant {name} %lld\\n", (long long)({name}));')
    for name, members in declared.structs.items():
        lines.append(f'    printf("struct {name} size %zu\\n", sizeof({name}));')
        for kind, member in members:
            lines.append(
                f'    printf("member {name}.{member} offset %zu size %zu type {kind}\\n", offsetof({name}, {member}), '
                f"sizeof((({name} *)0)->{member}));"
            )
    lines.append("}\n")
    with tempfile.TemporaryDirectory() as room:
        program = os.path.join(room, "measure")
        compiler = os.environ.get("CC", "cc").split()
        run(*compiler, "-std=c99", "-Wall", "-Werror", "-I", os.path.dirname(HEADER), "-x", "c", "-", "-o", program, input="\n".join(lines))
        return run(program).splitlines()


def exported():
    """{symbol: version node} of the library."""
    rows = (line.split() for line in run("nm", "-D", "--defined-only", LIBRARY).splitlines())
    return dict(row[2].split("@@") for row in rows if "@@" in row[2])


def signature(result, types):
    return f"{result} ({', '.join(types) or 'void'})"


def record():
    declared, symbols = header.read(HEADER), exported()
    soname = re.search(r"SONAME.*\[(.*)\]", run("readelf", "-d", LIBRARY))
    lines = [f"soname {soname[1] if soname else '(none)'}"]
    for name, (result, types) in sorted(declared.functions.items()):
        if name not in declared.since:
            raise header.HeaderError(f'the comment of {name} does not say "since MAJOR.MINOR."')
        lines.append(
            f"function {name} {symbols.get(name, '(not exported)')} since {declared.since[name]}: {signature(result, types)}"
        )
    for name, (result, types) in sorted(declared.callbacks.items()):
        lines.append(f"callback {name}: {signature(result, types)}")
    return lines + measured(declared)


# ---- Comparing two records


class Record:
    """A record's lines as {kind: {name: the rest}}."""

    def __init__(self, lines):
        self.of = {"soname": {}, "pointer": {}, "function": {}, "callback": {}, "constant": {}, "struct": {}, "member": {}}
        for line in lines:
            if line and not line.startswith("#"):
                kind, name, *rest = line.split(" ", 2)
                if kind in ("soname", "pointer"):
                    name, rest = kind, [name]
                self.of[kind][name.rstrip(":")] = re.sub(r" since \S+:", ":", rest[0])

    def members(self, struct):
        found = {}
        for name, text in self.of["member"].items():
            if name.startswith(struct + "."):
                offset, size, kind = re.fullmatch(r"offset (\d+) size (\d+) type (.*)", text).groups()
                found[name.split(".")[1]] = int(offset), int(size), kind
        return found

    def size(self, struct):
        return int(self.of["struct"][struct].split()[1])


def compare_struct(name, old, new):
    """(growth, breaks) of a struct that both records have."""
    growth, breaks = [], []
    before, after = old.members(name), new.members(name)
    added = {member: place for member, place in after.items() if member not in before}
    for member, place in before.items():
        heir = [other for other, at in added.items() if at[:2] == place[:2]]
        if member.startswith("reserved") and member not in after and heir:
            growth.append(f"{name}.{member} was reserved and is {heir[0]} now")
            del added[heir[0]]
        elif member not in after:
            breaks.append(f"{name}.{member} is gone")
        elif after[member] != place:
            breaks.append(
                f"{name}.{member} was {place[2]} of {place[1]} bytes at {place[0]}; "
                f"it is {after[member][2]} of {after[member][1]} bytes at {after[member][0]}"
            )
    may_grow = next(iter(before), "") == "struct_size"
    for member, place in added.items():
        if not may_grow:
            breaks.append(f"{name}.{member} is new, but {name} does not begin with struct_size: its size is frozen")
        elif place[0] < old.size(name):
            breaks.append(f"{name}.{member} is new at {place[0]}, inside the old struct of {old.size(name)} bytes; add it at the end")
        else:
            growth.append(f"{name}.{member} is new at the end")
    if new.size(name) != old.size(name) and not (may_grow and new.size(name) > old.size(name)):
        breaks.append(f"{name} had {old.size(name)} bytes, it has {new.size(name)}")
    return growth, breaks


def compare(old, new):
    growth, breaks = [], []
    for kind in ("soname", "pointer", "function", "callback", "constant", "struct"):
        for name, text in old.of[kind].items():
            now = new.of[kind].get(name)
            if now is None:
                breaks.append(f"{kind} {name} is gone")
            elif kind == "struct":
                grown, broken = compare_struct(name, old, new)
                growth, breaks = growth + grown, breaks + broken
            elif now != text:
                breaks.append(f"{kind} {name}\n        was: {text}\n        is:  {now}")
        for name in new.of[kind]:
            if name not in old.of[kind]:
                growth.append(f"{kind} {name} is new")
    # Programs that were built before take any code below the ones they know for an error, and none in between.
    codes = [int(value) for name, value in old.of["constant"].items() if name.startswith("WALRUS_E_")]
    for name, value in new.of["constant"].items():
        if name.startswith("WALRUS_E_") and name not in old.of["constant"] and int(value) >= min(codes, default=0):
            breaks.append(f"constant {name} is {value}; a new code takes a number below {min(codes, default=0)}")
    return growth, breaks


def check(path, lines):
    place = os.path.relpath(path, ROOT)
    try:
        with open(path, encoding="utf-8") as file:
            committed = file.read().splitlines()
    except OSError as error:
        print(f"the record cannot be read: {error}")
        return 1
    growth, breaks = compare(Record(committed), Record(lines))
    for text in breaks:
        print(f"    BREAK   {text}")
    for text in growth:
        print(f"    growth  {text}")
    if breaks:
        print(
            f"The interface is no longer the one in {place}: programs and bindings that exist would misread it. Undo the change, or add a new\n"
            "function, constant or struct beside the old one. Only what was never released may still change, on purpose:\n"
            f"    scripts/abi-record > {place}    and commit it together with the change, saying why in the message and in CHANGELOG.md (ABI)\n"
            "After a release a break needs a new WALRUS_ABI_VERSION, soname, version node and record: see docs/ABI.md."
        )
    elif growth:
        print(
            f"The interface has grown. If that is meant:\n    scripts/abi-record > {place}    and commit it together with the change, with a line in "
            "CHANGELOG.md (ABI)"
        )
    elif committed != lines:
        print(f"Nothing that a program sees differs from {place}, but its text does; write it anew: scripts/abi-record > {place}")
    return 0 if committed == lines else 1


def main(arguments):
    if arguments[:1] not in ([], ["--check"]) or len(arguments) > 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        lines = record()
    except (header.HeaderError, subprocess.SubprocessError, OSError) as error:
        print(f"scripts/abi-record: {error}", file=sys.stderr)
        return 1
    if arguments:
        return check(arguments[1] if len(arguments) > 1 else os.path.join(ROOT, "abi", "walrus-1.abi"), lines)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
