"""A world that fails is told in one line, made small, and kept; what once failed is played for ever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.simulation.__main__ import main
from tests.simulation.faults import KINDS
from tests.simulation.mutants import miscount_debt
from tests.simulation.seeds import judge, shrunk, world_of
from tests.simulation.worlds import World, draw

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_world_that_once_failed_does_not_fail_again(path):
    assert judge(world_of(str(path)), compare=True).problems == []


@pytest.fixture
def failing():
    """Return the first world, with a fault, that a planted bug fails."""
    with miscount_debt():
        yield next(
            world for world in map(draw, range(1000)) if world.faults and judge(world, compare=False).problems
        )


def test_a_failing_world_shrinks_and_fails_still(failing):
    small = shrunk(failing, seconds=20.0)
    assert judge(small, compare=False).problems
    assert (small.job.rows, len(small.job.columns)) < (failing.job.rows, len(failing.job.columns))
    assert small.faults == (), "the bug needs none"


def test_a_failing_seed_is_told_in_one_line_which_replays_it(failing, capsys):
    assert main(["--first", str(failing.seed), "--seeds", "1", "--processes", "1"]) == 1
    line, summary, *_, small, _ = capsys.readouterr().out.splitlines()
    assert line.startswith(f"FAILED  python -m tests.simulation {failing.seed}   # ")
    assert summary.startswith("1 worlds in")
    assert small.startswith(f"seed {failing.seed} shrinks to: ")

    assert main([str(failing.seed)]) == 1
    assert "FAILED: " in capsys.readouterr().out


def test_faults_can_be_left_out(capsys):
    first = next(seed for seed in range(1000) if draw(seed).faults)
    assert main([str(first), *(f"--without={kind}" for kind in KINDS)]) == 0
    assert "faults: none" in capsys.readouterr().out


def test_a_world_is_kept_as_a_file_that_gives_the_same_world():
    world = next(world for world in map(draw, range(1000)) if len(world.faults) > 1)
    assert msgspec.json.decode(msgspec.json.encode(world), type=World) == world
