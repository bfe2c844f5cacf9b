"""`python -m tests.simulation 12345` replays a seed; `--seeds 1000` plays many, on every core."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from tests.simulation.seeds import judge, played, shrunk, world_of
from tests.simulation.worlds import draw

_CHUNK = 50
CORPUS = Path(__file__).parent / "corpus"


def main():
    arguments = _parsed()
    if arguments.world is not None:
        return _replay(world_of(arguments.world), keep=arguments.keep)
    return _many(arguments.first, arguments.seeds, arguments.processes)


def _parsed():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("world", nargs="?", help="a seed, or a file of the corpus, to replay")
    parser.add_argument("--keep", help="make a failing world small and keep it in the corpus under this name")
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds to play")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    return parser.parse_args()


def _replay(world, *, keep):
    verdict = judge(world)
    print(f"{verdict.steps} steps, {verdict.decisions} decisions")
    print(msgspec.json.format(msgspec.json.encode(world), indent=2).decode())
    for problem in verdict.problems:
        print(f"FAILED: {problem}")
    if keep and verdict.problems:
        path = CORPUS / f"{keep}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(shrunk(world)), indent=2) + b"\n")
        print(f"kept: python -m tests.simulation {path}")
    return 1 if verdict.problems else 0


def _many(first, seeds, processes):
    """Play worlds on every core; tell of each failure in one line, smaller where that can be."""
    began = time.monotonic()
    faults, trails, steps, decisions, failed, done = Counter(), set(), 0, 0, [], 0
    chunks = [range(at, min(at + _CHUNK, first + seeds)) for at in range(first, first + seeds, _CHUNK)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for verdicts in pool.imap_unordered(played, chunks):
            for seed, verdict in verdicts:
                done += 1
                faults += verdict.faults
                trails.add(verdict.trail)
                steps += verdict.steps
                decisions += verdict.decisions
                if verdict.problems:
                    failed.append(seed)
                    print(f"FAILED  python -m tests.simulation {seed}   # {verdict.problems[0]}", flush=True)
    seconds = time.monotonic() - began
    print(
        f"{done} worlds in {seconds:.1f} s, {done / seconds:.0f} a second: {len(trails)} interleavings of "
        f"{decisions} decisions in {steps} steps, {sum(faults.values())} faults survived"
    )
    print("  " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())))
    for seed in sorted(failed)[:3]:
        small = shrunk(draw(seed))
        print(f"seed {seed} shrinks to {msgspec.json.encode(small).decode()}")
        print(f"  # {judge(small, compare=True).problems[:1]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
