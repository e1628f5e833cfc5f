# run.py - all tests of this folder; scripts/test-python starts it
#
# SPDX-License-Identifier: MIT
import sys
import unittest

import test_walrus
from support import walrus

# unittest's own way to name classes and tests on the command line wants them here.
from test_async import *  # noqa: F403
from test_documents import *  # noqa: F403
from test_examples import *  # noqa: F403
from test_follow import *  # noqa: F403
from test_operations import *  # noqa: F403
from test_scenarios import *  # noqa: F403
from test_walrus import *  # noqa: F403


class Runner(unittest.TextTestRunner):
    """unittest's own, whose closing line is the one that scripts read."""

    def run(self, test):
        print(f"libwalrus {walrus.version()} at {walrus._ffi.library._name}, seed {test_walrus.SEED}", flush=True)
        result = super().run(test)
        if not result.testsRun:
            sys.exit("No test has that name: run scripts/test-python without arguments.\n0 passed, 1 failed")
        failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
        passed = max(result.testsRun - failed - len(result.skipped) - len(result.expectedFailures), 0)
        print(f"{passed} passed, {failed} failed", flush=True)
        return result


if __name__ == "__main__":
    unittest.main(testRunner=Runner(stream=sys.stdout, verbosity=2), verbosity=2)
