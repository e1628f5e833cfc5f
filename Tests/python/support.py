# support.py - what the Python tests share: the binding itself, directories, payloads
#
# SPDX-License-Identifier: MIT
import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# An installed walrus is tested where the caller says so; otherwise the one beside these tests.
if os.environ.get("WALRUS_TEST_INSTALLED") != "1":
    sys.path.insert(0, str(ROOT / "bindings" / "python"))

try:
    import walrus
except ImportError as error:
    sys.exit(f"{error}\n0 passed, 1 failed")


def payload(index: int) -> bytes:
    """The bytes that entry `index` has in these tests: of many sizes, never those of another index."""
    size = int.from_bytes(hashlib.sha256(b"size %d" % index).digest()[:2], "little") % 3000
    return (b"entry %d " % index + hashlib.sha256(b"%d" % index).digest() * 94)[: size + 16]


def has(function: str) -> bool:
    """Whether the library exports a function."""
    return hasattr(ctypes.CDLL(walrus._ffi.library._name), function)


def needs(function: str):
    """For tests of functions that an older library may not have."""
    return unittest.skipUnless(has(function), f"the library has no {function}")


class LogTest(unittest.TestCase):
    """A directory for each test, and a log in it where it is asked for."""

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="walrus-test-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.path = os.path.join(self.directory, "log")

    def open(self, **options):
        log = walrus.open(self.path, **options)
        self.addCleanup(log.close)
        return log

    def filled(self, count: int = 10, **options):
        """A log that holds payload(1) to payload(count)."""
        log = self.open(**{"sync": "os", "segment_size": "4KiB", **options})
        log.append_batch(payload(index) for index in range(1, count + 1))
        return log

    def run_python(self, program: str, timeout: float = 60) -> str:
        """What a program of its own printed; it must end well."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        result = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=timeout,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout
