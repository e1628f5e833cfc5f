"""header.py - what include/walrus.h declares, for the checks that compare it with something else

The header is plain C99 in one style, so a few patterns read it; whatever they cannot place is an error, and not left out. Names, types and
comments come from here; numbers (values, sizes, offsets) come from a compiler, through scripts/abi-record.
"""

import re

RESULT_OR_VALUE = {"int", "int32_t", "uint32_t", "int64_t", "uint64_t", "size_t", "char"}


class HeaderError(Exception):
    """The header holds something that a foreign caller, or these patterns, could not express."""


def tidy(text):
    """One spelling for a type: single spaces, the star apart from the name and together with its like."""
    text = re.sub(r"\s*\*\s*", " *", " ".join(text.split()))
    return text.replace("* *", "**").strip()


def type_of(declaration):
    """The type in a parameter's or a member's declaration, and its name: ("const void *", "data")."""
    match = re.fullmatch(r"(.*?[\s*])(\w+)(\[\d+\])?", tidy(declaration))
    if not match or tidy(match[1]) in ("", "const"):
        raise HeaderError(f"a declaration without a name: {declaration!r}")
    return tidy(match[1]) + (match[3] or ""), match[2]


def parameters(text):
    return [] if text.strip() == "void" else [type_of(one)[0] for one in text.split(",")]


class Header:
    """functions and callbacks: {name: (result, [types])}; structs: {name: [(type, member)]}; constants: [name]; handles: [name];
    since: {function: "0.1"}; comments: {function: text}."""

    def __init__(self, text):
        self.functions, self.callbacks, self.structs = {}, {}, {}
        self.constants, self.handles, self.since, self.comments = [], [], {}, {}
        self._comments(text)
        for name in re.findall(r"^#define (WALRUS_\w+) \S", text, re.M):
            if name != "WALRUS_API":
                self.constants.append(name)
        plain = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        plain = re.sub(r"^\s*#.*$", "", plain, flags=re.M)
        plain = re.sub(r'extern "C" \{|^\}\s*\Z', "", plain, flags=re.M)
        for statement in re.findall(r"[^;{]*(?:\{[^}]*\})?[^;{]*;", plain):
            self._statement(" ".join(statement.split()).rstrip(";").strip())

    def _comments(self, text):
        for comment, name in re.findall(r"/\*((?:(?!\*/).)*)\*/\nWALRUS_API [^;(]*?\b(walrus_\w+)\(", text, re.S):
            self.comments[name] = " ".join(comment.replace("\n *", " ").split())
            since = re.findall(r"\b[Ss]ince (\d+\.\d+)\.(?!\S)", self.comments[name])
            if since:
                self.since[name] = since[-1]

    def _statement(self, text):
        if match := re.fullmatch(r"WALRUS_API (.+?)\b(walrus_\w+)\((.*)\)", text):
            self.functions[match[2]] = tidy(match[1]), parameters(match[3])
        elif match := re.fullmatch(r"typedef (.+?)\(\*(walrus_\w+)\)\((.*)\)", text):
            self.callbacks[match[2]] = tidy(match[1]), parameters(match[3])
        elif match := re.fullmatch(r"typedef struct \w+ (walrus_\w+)", text):
            self.handles.append(match[1])
        elif match := re.fullmatch(r"typedef struct \w+ \{(.*)\} (walrus_\w+)", text):
            members = [one for one in match[1].split(";") if one.strip()]
            self.structs[match[2]] = [type_of(one) for one in members]
        elif match := re.fullmatch(r"enum \{(.*)\}", text):
            self.constants += [one.split("=")[0].strip() for one in match[1].split(",") if one.strip()]
        else:
            raise HeaderError(f"a declaration of no known kind: {text!r}")

    def known(self, name):
        """Whether a type's bare name is one that a program in any language can be told."""
        return name in RESULT_OR_VALUE or name in self.structs or name in self.handles or name in self.callbacks or name == "void"


def read(path):
    with open(path, encoding="utf-8") as file:
        return Header(file.read())
