"""A seed is all that a world depends on."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.simulation.play import play
from tests.simulation.seeds import judge
from tests.simulation.worlds import draw


def fingerprint(seeds):
    """Return a digest of every byte of the logs of some worlds."""
    found = hashlib.sha256()
    for seed in seeds:
        for log in play(draw(seed)).logs:
            found.update(log)
    return found.hexdigest()


def test_the_same_seed_gives_the_same_log_in_any_process():
    seeds = range(15)
    code = (
        f"from tests.simulation.test_determinism import fingerprint; print(fingerprint(range({seeds.stop})))"
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
