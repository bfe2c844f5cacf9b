"""`python -m tests.simulation 12345` replays a seed; `--seeds 1000` plays many, on every core."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import msgspec

from tests.simulation.faults import KINDS
from tests.simulation.mutants import MUTANTS
from tests.simulation.seeds import judge, played, shrunk, world_of
from tests.simulation.worlds import described, draw, without

_CHUNK = 20
_SHRUNK = 3
"""How many of the failing worlds are made small for the report."""

_SHRINK_SECONDS = 30.0

CORPUS = Path(__file__).parent / "corpus"


def main(arguments=None):
    """Return the exit status: 0 where everything was as it should be."""
    options = _parsed(arguments)
    # A killed process leaves coroutines behind, and the interpreter would say of each that nobody awaited it.
    sys.unraisablehook = lambda _: None
    warnings.simplefilter("ignore", RuntimeWarning)
    if options.mutants:
        return _plant(options.seeds)
    if options.world is not None:
        return _replay(without(world_of(options.world), options.without), keep=options.keep)
    return _many(options.first, options.seeds, options.processes, options.without)


def _parsed(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("world", nargs="?", help="a seed, or a file of the corpus, to replay")
    parser.add_argument("--keep", help="make a failing world small and keep it in the corpus under this name")
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds to play")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument(
        "--without", action="append", default=[], choices=KINDS, help="leave out faults of this kind"
    )
    parser.add_argument(
        "--mutants", action="store_true", help="plant every known bug in its turn, and tell who finds it"
    )
    return parser.parse_args(arguments)


def _replay(world, *, keep):
    verdict = judge(world, compare=True)
    print(described(world))
    print(f"{verdict.steps} steps, {verdict.decisions} decisions; gone wrong: {_counts(verdict.faults)}")
    for problem in verdict.problems:
        print(f"FAILED: {problem}")
    if keep and verdict.problems:
        path = CORPUS / f"{keep}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(shrunk(world)), indent=2) + b"\n")
        print(f"kept: python -m tests.simulation {path}")
    return 1 if verdict.problems else 0


def _many(first, seeds, processes, kinds):
    """Play worlds on every core; tell of each failure in one line, and of some in fewer words than theirs."""
    began = time.monotonic()
    faults, trails, steps, decisions, failed, done = Counter(), set(), 0, 0, [], 0
    chunks = [range(at, min(at + _CHUNK, first + seeds)) for at in range(first, first + seeds, _CHUNK)]
    left_out = "".join(f" --without {kind}" for kind in kinds)
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for verdicts in pool.imap_unordered(partial(played, leaving_out=kinds), chunks):
            for seed, verdict in verdicts:
                done += 1
                faults += verdict.faults
                trails.add(verdict.trail)
                steps += verdict.steps
                decisions += verdict.decisions
                if verdict.problems:
                    failed.append(seed)
                    line = f"python -m tests.simulation {seed}{left_out}"
                    print(f"FAILED  {line}   # {verdict.problems[0]}", flush=True)
    seconds = time.monotonic() - began
    print(
        f"{done} worlds in {seconds:.1f} s, {done / seconds:.0f} a second: {len(trails)} interleavings of "
        f"{decisions} decisions in {steps} steps; {len(failed)} failed"
    )
    print(f"{sum(faults.values())} faults survived: {_counts(faults)}", flush=True)
    for seed in sorted(failed)[:_SHRUNK]:
        small = shrunk(without(draw(seed), kinds), seconds=_SHRINK_SECONDS)
        print(f"seed {seed} shrinks to: {described(small)}")
        told = " | ".join(map(str, judge(small, compare=True).problems[:1]))
        print(f"  # {told}", flush=True)
    return 1 if failed else 0


def _plant(seeds):
    """Plant each bug, and tell of the first world that finds it."""
    missed = 0
    for mutant in MUTANTS:
        with mutant():
            found = next((seed for seed in range(seeds) if judge(draw(seed), compare=False).problems), None)
        missed += found is None
        told = f"not found within {seeds} worlds" if found is None else f"found by seed {found}"
        print(f"{mutant.__name__}: {told}", flush=True)
    return 1 if missed else 0


def _counts(faults):
    return ", ".join(f"{name} {count}" for name, count in sorted(faults.items())) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
