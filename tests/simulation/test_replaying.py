"""A world that fails is told in one line, made small, and kept; what once failed is played for ever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.simulation.__main__ import main
from tests.simulation.checkers import Problem, kind_of
from tests.simulation.faults import KINDS
from tests.simulation.mutants import double_a_grant, drop_a_waiter, miscount_debt
from tests.simulation.seeds import Verdict, judge, shrunk, world_of
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


def test_a_smaller_world_that_fails_of_something_else_does_not_count():
    world = next(world for world in map(draw, range(1000)) if world.job.rows > 8 and world.faults)

    def verdict(candidate, *, compare):
        found = [] if candidate.faults else [Problem("no fault", "nothing goes wrong")]
        if candidate.job.rows > 5:
            return Verdict([Problem("many rows", f"{candidate.job.rows} rows"), *found])
        return Verdict([Problem("few rows", f"{candidate.job.rows} rows"), *found])

    assert shrunk(world, verdict=verdict).job.rows == 6
    assert shrunk(world, verdict=verdict).faults == ()


def test_what_needs_the_runs_without_faults_is_found_again_by_them():
    world = next(world for world in map(draw, range(1000)) if world.job.rows > 8)
    compared = []

    def verdict(candidate, *, compare):
        compared.append(compare)
        return Verdict([Problem("other values", "rows differ")] if compare else [])

    assert shrunk(world, verdict=verdict).job.rows == 0
    assert compared[:2] == [False, True]
    assert all(compared[2:])


@pytest.mark.parametrize("mutant", [miscount_debt, drop_a_waiter, double_a_grant])
def test_a_world_shrinks_to_one_that_fails_for_the_same_reason(mutant):
    with mutant():
        world = next(world for world in map(draw, range(1000)) if judge(world, compare=False).problems)
        reason = judge(world, compare=False).problems[0].kind
        small = judge(shrunk(world, seconds=10.0), compare=False).problems
    assert reason in {problem.kind for problem in small}


def test_the_kind_of_a_problem_does_not_depend_on_its_numbers():
    assert kind_of("the job ended as failed: row 13 of 21, at 0.25 s") == kind_of(
        "the job ended as failed: row 1 of 2, at 3 s"
    )
    assert kind_of("the job ended as failed: KeyError") != kind_of("the job ended as failed: TypeError")


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
