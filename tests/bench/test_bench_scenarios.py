"""The catalogue, and the sides that need nothing installed: they do the work they are timed for."""

from __future__ import annotations

import pytest

from bench.noop_jobs import CAPACITY, many_groups, one_column, run_noops
from bench.peers.bare_pykka import run_pipeline
from bench.peers.semaphore import run_gather
from bench.peers.tokens import OwnTokens, ThinTokens
from bench.request_client import run_request_admission
from bench.results import BenchError
from bench.scenarios import SCENARIOS, named
from bench.startup import NOTHING, START_AND_STOP, run_program
from bench.stub_worker import run_admission


def test_scenarios_have_ids_and_names_of_their_own():
    assert len({scenario.id for scenario in SCENARIOS}) == len(SCENARIOS)
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert named("p3") is named("against-counting-sink")
    with pytest.raises(KeyError):
        named("P99")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_figures_speak_of_sides_that_are_there(scenario):
    names = [side.name for side in scenario.sides]
    assert len(set(names)) == len(names)
    for figure in scenario.figures:
        assert figure.side in names
        assert figure.against in names or figure.kind in ("cost", "measured")
    assert any(figure.bar for figure in scenario.figures)


@pytest.mark.parametrize("groups", [1, 8, 64, 256])
def test_jobs_of_any_number_of_groups_have_the_same_size(groups):
    job = many_groups(4096, groups)
    assert job.rows * len(job.columns) == 4096
    assert job.row_group_size * len(job.columns) == 1024
    weights = {column.metadata.weight for column in job.columns.values()}
    assert weights == {CAPACITY // 2}


def test_telemetry_does_not_change_what_comes_out():
    logged = run_noops(one_column(300), telemetry="log")
    silent = run_noops(one_column(300), telemetry="off")
    assert logged.output_hash == silent.output_hash == run_gather(300).output_hash
    assert (logged.tasks, logged.leases_left, silent.leases_left) == (300, 0, 0)


@pytest.mark.parametrize("policy", ["bounded_borrow", "strict_fair"])
def test_the_admission_cycle_moves_every_task_through_both_actors(policy):
    run = run_admission(1024, 64, policy)
    assert (run.tasks, run.leases_left) == (1024, 0)
    assert 0 < run.wall_seconds < 10


def test_a_job_that_loses_rows_is_no_measurement():
    def fails():
        raise ValueError("broken")

    job = one_column(3)
    broken = type(job.columns["c0"])(function=fails)
    with pytest.raises(BenchError, match="with 0 of 3 rows"):
        run_noops(type(job)(name="broken", rows=3, columns={"c0": broken}), telemetry="off")


@pytest.mark.parametrize("tokens", [ThinTokens(), OwnTokens()], ids=["thin", "own"])
@pytest.mark.parametrize("events", [False, True], ids=["silent", "events"])
def test_the_bare_pipeline_moves_every_token_and_keeps_none(tokens, events):
    run = run_pipeline(600, tokens, events=events)
    assert (run.tasks, run.leases_left) == (600, 0)


@pytest.mark.parametrize("telemetry", ["off", "log"])
def test_request_leases_come_back(telemetry):
    run = run_request_admission(300, telemetry=telemetry)
    assert (run.tasks, run.leases_left) == (300, 0)


def test_programs_run_in_fresh_interpreters_and_must_succeed():
    assert run_program(NOTHING).wall_seconds > 0
    assert run_program(START_AND_STOP).cpu_seconds > 0
    with pytest.raises(BenchError, match="exited 1"):
        run_program("raise SystemExit(1)")
