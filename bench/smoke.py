"""The smoke: every scenario once, tiny, asserting that the work is done, not how long it takes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.artifact import Artifact, Measurement, artifact_of
from bench.harness import Notice, run_scenario
from bench.machine import describe_knobs, describe_machine, describe_revision, describe_versions
from bench.plots import PlotsMissingError, plot
from bench.results import BenchError, Scenario
from bench.writing import PLOT, read_artifact, write_artifact, write_summary


def run_smoke(scenarios: tuple[Scenario, ...], notice: Notice, out: Path | None = None) -> list[str]:
    """Run all scenarios once and return one line for each; sides that are not installed are named.

    Their artifacts are written to `out`, or to a folder that is removed again. Every side runs in this
    interpreter; one plot is drawn, the last scenario's, because drawing takes longest.

    Raises:
        BenchError: tasks were lost, leases were left over, or outputs differ.
    """
    lines, artifacts = [], []
    about = Measurement(
        baseline_revision="",
        candidate_revision=describe_revision(),
        command_line=["python", "-m", "bench", "smoke"],
        started_at="",
        machine=describe_machine(),
        versions=describe_versions(),
        environment_knobs=describe_knobs(),
        iterations=1,
        warmups=0,
        tasks=0,
    )
    for scenario in scenarios:
        with _folders_in_memory():
            result = run_scenario(
                scenario,
                tasks=scenario.smoke_tasks,
                iterations=1,
                warmups=0,
                notice=notice,
                equal_shares=True,
            )
        ran = [side for side in result.sides if not side.skipped]
        if not ran:
            raise BenchError(f"{scenario.id} {scenario.name}: no side could be run")
        done = sum(run.tasks for run in result.iterations)
        proof = result.proof
        left = (
            f"{proof.active_leases_and_waiters} leases or waiters left, {proof.logs_verified} logs verified"
        )
        lines.append(f"{scenario.id} {scenario.name}: {len(ran)} sides, {done} tasks, {left}")
        absent = {side.skipped for side in result.sides if side.skipped}
        lines += [f"{scenario.id} {scenario.name}: skipped: {reason}" for reason in sorted(absent)]
        artifacts.append(artifact_of(result, about))
    with tempfile.TemporaryDirectory(prefix="leasehold-bench-") as folder:
        lines += _write(artifacts, out or Path(folder))
    return lines


@contextlib.contextmanager
def _folders_in_memory() -> Iterator[None]:
    """Let temporary folders be in memory where that can be: no time is judged, and to sync takes some."""
    before, memory = tempfile.tempdir, Path("/dev/shm")
    if os.access(memory, os.W_OK):
        tempfile.tempdir = str(memory)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _write(artifacts: list[Artifact], folder: Path) -> list[str]:
    """Write the artifacts, and see that they can be read again; return what could not be written."""
    write_summary(artifacts, folder)
    for artifact in artifacts:
        write_artifact(artifact, folder, drawn=False)
        read = read_artifact(folder, artifact.scenario_id)
        if msgspec.json.encode(read) != msgspec.json.encode(artifact):
            raise BenchError(
                f"{artifact.scenario_id}: its artifact is read as something else than was written"
            )
    try:
        plot(artifacts[-1], folder / PLOT)
    except PlotsMissingError as error:
        return [str(error)]
    return []
