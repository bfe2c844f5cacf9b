"""The whole system in worlds that are drawn from a number: every interleaving, and what goes wrong in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.play import play
from tests.simulation.seeds import judge, world_of
from tests.simulation.worlds import draw

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))
BLOCKS = [range(at, at + 40) for at in range(0, 320, 40)]


@pytest.mark.parametrize("seeds", BLOCKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_r12_r13_every_world_ends_with_every_lease_back_and_every_row_accounted_for(seeds):
    failed = [f"python -m tests.simulation {seed}" for seed in seeds if judge(draw(seed)).problems]
    assert failed == []


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_world_that_once_failed_does_not_fail_again(path):
    assert judge(world_of(str(path)), compare=True).problems == []


def fingerprint(seeds):
    """Return a digest of every byte of the logs of some worlds."""
    found = hashlib.sha256()
    for seed in seeds:
        for log in play(draw(seed)).logs:
            found.update(log)
    return found.hexdigest()


def test_the_same_seed_gives_the_same_log_in_any_process():
    seeds = range(25)
    code = (
        f"from tests.simulation.test_simulation import fingerprint; print(fingerprint(range({seeds.stop})))"
    )
    root = Path(__file__).parents[2]
    found = {fingerprint(seeds)}
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONWARNINGS": "ignore"}
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(ran.stdout.strip())
    assert len(found) == 1


def test_other_seeds_give_other_interleavings():
    assert len({judge(draw(seed), compare=False).trail for seed in range(20)}) == 20
