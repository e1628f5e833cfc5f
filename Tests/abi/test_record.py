"""test_record.py - what the comparison of two records calls growth, and what a break

Each case changes the committed record as a change of the header would, and says what the check has to answer.
"""

import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "abi"))
import header  # noqa: E402
import record  # noqa: E402

with open(os.path.join(ROOT, "abi", "walrus-1.abi"), encoding="utf-8") as file:
    COMMITTED = file.read().splitlines()
STATS_SIZE = record.Record(COMMITTED).size("walrus_stats_t")


def changed(*changes, add=()):
    """The committed record with text replaced, which has to be there, and lines added."""
    text = "\n".join(COMMITTED)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return record.compare(record.Record(COMMITTED), record.Record(text.splitlines() + list(add)))


class Comparison(unittest.TestCase):
    def growth(self, *changes, add=()):
        growth, breaks = changed(*changes, add=add)
        self.assertEqual(breaks, [])
        self.assertTrue(growth)

    def a_break(self, *changes, add=()):
        self.assertTrue(changed(*changes, add=add)[1])

    def test_the_record_is_equal_to_itself(self):
        self.assertEqual(changed(), ([], []))

    def test_new_functions_callbacks_and_constants_are_growth(self):
        self.growth(add=["function walrus_new WALRUS_1 since 0.9: int32_t (walrus_t *)"])
        self.growth(add=["callback walrus_new_fn: void (void *)"])
        self.growth(add=["constant WALRUS_RECOVERY_NEW 5"])
        self.growth(add=["constant WALRUS_E_NEW -31"])

    def test_a_new_code_among_the_old_numbers_is_a_break(self):
        self.a_break(add=["constant WALRUS_E_NEW -7"])

    def test_what_is_gone_or_different_is_a_break(self):
        self.a_break(("function walrus_sync WALRUS_1", "function walrus_synch WALRUS_1"))
        self.a_break(("function walrus_sync WALRUS_1", "function walrus_sync WALRUS_2"))
        self.a_break(("function walrus_truncate WALRUS_1 since 0.1: int32_t (walrus_t *, uint64_t)",
                      "function walrus_truncate WALRUS_1 since 0.1: int32_t (walrus_t *, uint32_t)"))  # fmt: skip
        self.a_break(("callback walrus_done_fn: void (void *, uint64_t, int32_t)", "callback walrus_done_fn: void (void *, int32_t)"))
        self.a_break(("constant WALRUS_E_TORN -18", "constant WALRUS_E_TORN -17"))
        self.a_break(("constant WALRUS_E_TORN -18\n", ""))
        self.a_break(("soname libwalrus.so.1", "soname libwalrus.so.2"))

    def test_a_struct_with_struct_size_grows_at_its_end_alone(self):
        size = (f"struct walrus_stats_t size {STATS_SIZE}", f"struct walrus_stats_t size {STATS_SIZE + 8}")
        self.growth(size, add=[f"member walrus_stats_t.new offset {STATS_SIZE} size 8 type uint64_t"])
        self.a_break(size, add=[f"member walrus_stats_t.new offset {STATS_SIZE - 4} size 4 type uint32_t"])
        self.a_break((size[0], f"struct walrus_stats_t size {STATS_SIZE - 8}"))
        self.a_break(("member walrus_stats_t.syncs offset 88", "member walrus_stats_t.syncs offset 96"))
        self.a_break(("member walrus_stats_t.syncs offset 88 size 8 type uint64_t", "member walrus_stats_t.syncs offset 88 size 8 type int64_t"))

    def test_a_reserved_member_may_get_a_name(self):
        self.growth(("walrus_error_t.reserved offset", "walrus_error_t.last offset"))

    def test_frozen_structs_do_not_grow(self):
        size = ("struct walrus_entry_t size 56", "struct walrus_entry_t size 64")
        self.a_break(size)
        self.a_break(size, add=["member walrus_entry_t.new offset 56 size 8 type uint64_t"])


class HeaderReader(unittest.TestCase):
    def test_what_it_cannot_place_is_an_error(self):
        for text in ("WALRUS_API int32_t walrus_f(int);", "union u { int a; };", "extern int walrus_x;"):
            with self.assertRaises(header.HeaderError, msg=text):
                header.Header(text)

    def test_pointers_and_names_are_told_apart(self):
        read = header.Header("/* Since 0.1. */\nWALRUS_API const char *walrus_f(const void *a, size_t b,\n    walrus_t **out);")
        self.assertEqual(read.functions, {"walrus_f": ("const char *", ["const void *", "size_t", "walrus_t **"])})
        self.assertEqual(read.since, {"walrus_f": "0.1"})


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=0).result
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
