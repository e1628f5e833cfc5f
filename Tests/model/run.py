# run.py - the model test in each format, with and without compression; scripts/test-model starts it
#
# A round is a number of examples in each of the six variants; each has a seed of its own, which a failure prints.
#
# SPDX-License-Identifier: MIT
import argparse
import sys
import time
import traceback
from typing import List

import hypothesis
import machine
from hypothesis.stateful import run_state_machine_as_test

import walrus

ROUND = 10  # examples of a variant


def main() -> int:
    arguments = argparse.ArgumentParser(description="random calls on a log and on a model of it")
    arguments.add_argument("--seconds", type=float, help="rounds until so much time is over (40, if no number of examples is given)")
    arguments.add_argument("--examples", type=int, help="so many sequences of calls in each variant")
    arguments.add_argument("--steps", type=int, default=60, help="calls in a sequence, at most (60)")
    arguments.add_argument("--seed", type=int, default=1, help="of the first round (1)")
    arguments.add_argument("--variant", help="only this one: json-zlib, say")
    chosen = arguments.parse_args()
    if chosen.seconds is None and chosen.examples is None:
        chosen.seconds = 40

    variants: List[type] = [
        type(f"{format}-{compression}", (machine.LogMachine,), {"format": format, "compression": compression})
        for format in machine.FORMATS
        for compression in machine.COMPRESSIONS
    ]
    if chosen.variant:
        variants = [variant for variant in variants if variant.__name__ == chosen.variant]
        if not variants:
            sys.exit(f"There is no variant {chosen.variant}.\n0 passed, 1 failed")
    print(f"libwalrus {walrus.version()}, seed {chosen.seed}", flush=True)
    end = time.monotonic() + chosen.seconds if chosen.seconds is not None else None
    seed, failed, is_over = chosen.seed, set(), False
    while not is_over:
        count = ROUND if chosen.examples is None else chosen.examples
        for variant in variants:
            if variant in failed:
                continue
            settings = hypothesis.settings(
                max_examples=count, stateful_step_count=chosen.steps, deadline=None, database=None, print_blob=False,
                suppress_health_check=list(hypothesis.HealthCheck), report_multiple_bugs=False,
            )
            try:
                run_state_machine_as_test(hypothesis.seed(seed)(variant), settings=settings)
            except Exception:
                traceback.print_exc(file=sys.stdout)
                failed.add(variant)
                print(f"FAIL  {variant.__name__}; again with: scripts/test-model --seed {seed} --examples {count} "
                      f"--steps {chosen.steps} --variant {variant.__name__}", flush=True)
            is_over = end is not None and time.monotonic() >= end
            if is_over:
                break
        seed += 1
        is_over = is_over or end is None or len(failed) == len(variants)
    variants = [variant for variant in variants if variant.examples]  # the time may have been over before the last
    for variant in variants:
        print(f"{'FAIL' if variant in failed else 'ok  '}  {variant.__name__} ({variant.examples} sequences, {variant.steps} calls)")
    print(f"{len(variants) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
