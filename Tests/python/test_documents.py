# test_documents.py - what the documents show is what happens
#
# Each >>> example of the binding's pages is run, in a directory of its own, and each example program.
#
# SPDX-License-Identifier: MIT
import doctest
import os
import subprocess
import sys
from pathlib import Path

from support import ROOT, LogTest, has, walrus

PAGES = [ROOT / "bindings" / "python" / "README.md", ROOT / "docs" / "python.md"]


class DocumentTests(LogTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory)

    def test_the_examples_of_the_pages(self):
        """They show the whole contract, so an older library cannot run them."""
        missing = [function for function in walrus._ffi.PROTOTYPES if not has(function)]
        if missing:
            self.skipTest(f"the library has no {missing[0]}")
        for page in PAGES:
            with self.subTest(page=page.name):
                results = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
                self.assertGreater(results.attempted, 10)
                self.assertEqual(results.failed, 0)

    def test_the_first_program_of_the_page(self):
        """It stands in docs/python.md between its first two fences."""
        program = (ROOT / "docs" / "python.md").read_text().split("```python\n")[1].split("```")[0]
        Path("program.py").write_text(program)
        result = subprocess.run(
            [sys.executable, "program.py"], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
        )  # fmt: skip
        self.assertEqual((result.returncode, result.stdout.split("\n")[0]), (0, "1: deposit 100"), result.stdout)

    def test_every_public_name_is_documented(self):
        for name in walrus.__all__:
            value = getattr(walrus, name)
            if callable(value):
                self.assertTrue(value.__doc__, name)
                for member, function in vars(value).items() if isinstance(value, type) else ():
                    if callable(function) and not member.startswith("_") and value.__module__.startswith("walrus"):
                        self.assertTrue(function.__doc__ or name == "Metadata", f"{name}.{member}")


