"""From what is asked for to artifacts: each scenario in a fresh interpreter, or both variants in theirs."""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from bench.artifact import Artifact, Measurement, artifact_of
from bench.children import child_environment
from bench.comparison import Compared, Variant, checkouts
from bench.harness import Notice, run_scenario
from bench.machine import describe_knobs, describe_machine, describe_revision, describe_versions
from bench.results import BenchError, Scenario
from bench.side_process import with_fresh_sides
from bench.writing import read_artifact


class Plan(NamedTuple):
    """What is asked for."""

    scenarios: tuple[Scenario, ...]
    tasks: int
    iterations: int
    warmups: int
    command_line: list[str]


def measure(plan: Plan, notice: Notice) -> Iterator[Artifact | BenchError]:
    """Measure the scenarios one by one, each in a fresh interpreter where there are several.

    What one scenario's peers import must not weigh on the next. Of a scenario of which a run did not do its
    work the error is yielded.
    """
    for scenario in plan.scenarios:
        try:
            if len(plan.scenarios) > 1:
                yield _in_child(plan, scenario)
            else:
                yield _measured(plan, with_fresh_sides(scenario), notice)
        except BenchError as error:
            yield error


def compare_variants(
    plan: Plan, variants: tuple[Variant, Variant], notice: Notice
) -> Iterator[Artifact | BenchError]:
    """Measure baseline and candidate in turn, scenario by scenario.

    Of a scenario that a variant cannot run, or of which a run did not do its work, the error is yielded.

    Raises:
        BenchError: a revision is unknown.
    """
    baseline, candidate = variants
    told: dict[str, Any] = {
        "baseline_revision": baseline.describe(),
        "candidate_revision": candidate.describe(),
    }
    with checkouts(*variants) as folders:
        for scenario in plan.scenarios:
            try:
                with contextlib.closing(Compared(variants, folders)) as compared:
                    yield _measured(plan, compared.scenario(scenario), notice, **told)
            except BenchError as error:
                yield error


def _measured(plan: Plan, scenario: Scenario, notice: Notice, **revisions: str) -> Artifact:
    about = Measurement(
        **{"baseline_revision": "", "candidate_revision": describe_revision()} | revisions,
        command_line=plan.command_line,
        started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        versions=describe_versions(),
        environment_knobs=describe_knobs(),
        iterations=plan.iterations,
        warmups=plan.warmups,
        tasks=plan.tasks,
    )
    result = run_scenario(
        scenario, tasks=plan.tasks, iterations=plan.iterations, warmups=plan.warmups, notice=notice
    )
    return artifact_of(result, about)


def _in_child(plan: Plan, scenario: Scenario) -> Artifact:
    """Measure one scenario in a new interpreter, which shows the progress itself."""
    with TemporaryDirectory(prefix="leasehold-bench-") as folder:
        numbers = {"iterations": plan.iterations, "warmups": plan.warmups, "tasks": plan.tasks}
        arguments = [f"--{name}={number}" for name, number in numbers.items()]
        child = [sys.executable, "-m", "bench", scenario.id, f"--out={folder}", *arguments]
        if subprocess.run(child, env=child_environment(), check=False, stdout=subprocess.DEVNULL).returncode:
            raise BenchError(f"{scenario.id} {scenario.name} could not be measured: see above")
        artifact = read_artifact(Path(folder), scenario.id)
    return msgspec.structs.replace(artifact, command_line=plan.command_line)
