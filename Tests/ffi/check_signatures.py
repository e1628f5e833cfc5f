"""check_signatures.py - the harness's table against the header and against the library's symbols

    check_signatures.py SIGNATURES.H WALRUS.H LIBRARY

Prints a line for each difference; its status is 1 if there is one.
"""

import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "abi"))
import header  # noqa: E402

PLAIN = {
    "void": "void", "int32_t": "i32", "uint32_t": "u32", "int64_t": "i64", "uint64_t": "u64", "size_t": "size",
    "const char *": "text", "char *": "chars", "const void *": "data", "void *": "room",
    "uint64_t *": "u64*", "uint32_t *": "u32*", "size_t *": "size*", "int *": "int*", "const uint32_t *": "u32[]",
}  # fmt: skip


def word(kind, declared):
    """The table's word for a C type."""
    if kind in PLAIN:
        return PLAIN[kind]
    match = re.fullmatch(r"(?:const )?walrus_(\w+?)( \*| \*\*)?", kind)
    if match and declared.known("walrus_" + match[1]):
        name = "log" if match[1] == "t" else re.sub(r"_t$", "", match[1])
        if match[1].endswith("_fn") and match[2] is None:
            return name
        if match[2]:
            return name + ("*" if match[2] == " **" else "")
    raise header.HeaderError(f"a type that the table has no word for, and a foreign caller might not have either: {kind}")


def lines_of(declarations, declared):
    return {name: (word(result, declared), " ".join(word(one, declared) for one in types)) for name, (result, types) in declarations.items()}


def table(path, array):
    with open(path, encoding="utf-8") as file:
        body = re.search(array + r"\[\] = \{(.*?)\n\};", file.read(), re.S)[1]
    rows = re.findall(r'\{"(\w+)",\s*"([^"]*)",\s*"([^"]*)"\}', body)
    return {name: (result, arguments) for name, result, arguments in rows}


def differences(what, expected, actual):
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            yield f"{what} {name} is in the header and not in the table"
        elif name not in expected:
            yield f"{what} {name} is in the table and not in the header"
        elif expected[name] != actual[name]:
            yield f"{what} {name} is {expected[name]} in the header and {actual[name]} in the table"


def main(signatures, path, library):
    declared = header.read(path)
    functions = table(signatures, "function_signatures")
    found = list(differences("function", lines_of(declared.functions, declared), functions))
    found += differences("callback", lines_of(declared.callbacks, declared), table(signatures, "callback_signatures"))
    listing = subprocess.run(["nm", "-D", "--defined-only", library], check=True, stdout=subprocess.PIPE, text=True).stdout
    symbols = {line.split()[2].split("@")[0] for line in listing.splitlines() if line.split()[1] != "A"}
    found += [f"function {name} is in the table, but the library does not export it" for name in sorted(functions.keys() - symbols)]
    found += [f"symbol {name} of the library is not in the table" for name in sorted(symbols - functions.keys())]
    print("\n".join(found) or f"{len(functions)} functions and their types agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
