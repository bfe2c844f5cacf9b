"""The catalogue, and the sides that need nothing installed: they do the work they are timed for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bench
from bench.admission_phases import PHASES, run_phases
from bench.logs import run_logged
from bench.memory import MemoryWatch
from bench.noop_jobs import CAPACITY, many_groups, one_column, run_noops
from bench.peers.bare_pykka import run_pipeline
from bench.peers.semaphore import run_gather
from bench.peers.tokens import OwnTokens, ThinTokens
from bench.preparing import run_preparing
from bench.request_client import run_request_admission
from bench.results import MIB, BenchError
from bench.scenarios import all_scenarios, named
from bench.shapes import SHAPES, run_shape
from bench.startup import NOTHING, START_AND_STOP, run_program
from bench.stub_worker import run_admission

SCENARIOS = all_scenarios()


def test_scenarios_have_ids_and_names_of_their_own():
    assert len({scenario.id for scenario in SCENARIOS}) == len(SCENARIOS)
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert named("p3") is named("against-counting-sink")
    with pytest.raises(KeyError):
        named("P99")


def test_the_readme_says_what_every_scenario_asks():
    readme = (Path(bench.__file__).parent / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## What each figure means")[2].partition("\n## ")[0]
    told = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)
    assert {scenario.id for scenario in SCENARIOS} <= set(told)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_figures_speak_of_sides_that_are_there(scenario):
    names = [side.name for side in scenario.sides]
    assert len(set(names)) == len(names)
    for figure in scenario.figures:
        assert figure.side in names
        assert figure.against in names or figure.kind in ("cost", "measured")
    for curve in scenario.curves:
        assert {side for points in curve.points.values() for _, side in points} <= set(names)
    assert any(figure.bar for figure in scenario.figures) or not scenario.id.startswith("P")


@pytest.mark.parametrize("policy", ["provider_aware", "service_time_fair"])
@pytest.mark.parametrize("resources", ["local", "model", "mixed"])
def test_every_phase_of_an_admission_cycle_is_told_and_every_lease_comes_back(resources, policy):
    run = run_phases(600, 8, resources, policy=policy)
    assert (run.tasks, run.leases_left) == (600, 0)
    assert run.evidence.final_task_snapshot["releases_by_reason"] == {"released": 600}
    for phase in ("cycle", *PHASES):
        assert 0 < run.measures[f"{phase}_p50"] <= run.measures[f"{phase}_p95"]
    phases = sum(run.measures[f"{phase}_p50"] for phase in PHASES)
    assert run.measures["cycle_p50"] == pytest.approx(phases, rel=0.5)


def test_memory_is_what_was_taken_at_most_since_the_beginning():
    with MemoryWatch() as watch:
        held = bytearray(64 * MIB)
        held[::4096] = b"x" * (64 * MIB // 4096)
        del held
    assert 60 * MIB < watch.peak_bytes < 80 * MIB
    with MemoryWatch() as watch:
        pass
    assert watch.peak_bytes < 8 * MIB


def test_a_job_of_a_million_row_groups_begins_and_is_cancelled_without_a_row():
    run = run_preparing(1_000_000, out=True)
    assert (run.tasks, run.leases_left) == (1, 0)
    assert run.evidence.final_task_snapshot["active_leases"] == 0
    assert run.evidence.hidden_waiters == 0


@pytest.mark.parametrize("name", ["actors.jsonl", "actors.jsonl.gz"])
def test_the_log_of_a_run_is_verified_and_inspected_by_another_interpreter(name):
    run = run_logged(200, name)
    assert run.evidence.log_lines > 7 * 200
    assert run.evidence.hidden_waiters == 0
    assert {"verify_mib", "inspect_mib", "verify_seconds", "inspect_seconds"} <= set(run.measures)
    assert run.measures["bytes_per_task"] < (1200 if name == "actors.jsonl" else 300)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_makes_the_same_rows_under_every_policy(shape):
    one, other = (run_shape(shape, 4, policy) for policy in ("provider_aware", "strict_fair"))
    assert one.output_hash == other.output_hash
    assert one.measures["over_least"] > 0.8, "or the least is not the least; calls vary by a fifth"
    assert (one.leases_left, one.evidence.hidden_waiters) == (0, 0)


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
