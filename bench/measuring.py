"""From what is asked for to artifacts: each scenario in a fresh interpreter, or both variants in theirs."""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from bench.artifact import Artifact, Measurement, artifact_of
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


def measure(plan: Plan, notice: Notice) -> list[Artifact]:
    """Measure the scenarios, each in a fresh interpreter where there are several.

    What one scenario's peers import must not weigh on the next.

    Raises:
        BenchError: a run did not do its work.
    """
    if len(plan.scenarios) > 1:
        return [_in_child(plan, scenario) for scenario in plan.scenarios]
    (scenario,) = plan.scenarios
    return [_measured(plan, with_fresh_sides(scenario), notice)]


def compare_variants(plan: Plan, variants: tuple[Variant, Variant], notice: Notice) -> list[Artifact]:
    """Measure baseline and candidate in turn; scenarios without a side of Leasehold's are left out.

    Raises:
        BenchError: a revision is unknown, a variant cannot run the scenarios, or a run did not do its work.
    """
    baseline, candidate = variants
    told: dict[str, Any] = {
        "baseline_revision": baseline.describe(),
        "candidate_revision": candidate.describe(),
    }
    artifacts = []
    with checkouts(*variants) as folders:
        for scenario in plan.scenarios:
            with contextlib.closing(Compared(variants, folders)) as compared:
                artifacts.append(_measured(plan, compared.scenario(scenario), notice, **told))
    return artifacts


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
        if subprocess.run(child, check=False, stdout=subprocess.DEVNULL).returncode:
            raise BenchError(f"{scenario.id} {scenario.name} could not be measured: see above")
        artifact = read_artifact(Path(folder), scenario.id)
    return msgspec.structs.replace(artifact, command_line=plan.command_line)
