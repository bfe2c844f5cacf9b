"""What is kept of a measurement: samples summed up, verdicts, and the artifact of a scenario."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bench.results import Bar, Curve

ARTIFACT_SCHEMA_VERSION = 2
HARNESS_VERSION = "0.2.0"

Verdict = Literal["met", "missed", "lower", "higher", "inconclusive", "measured", "skipped"]
"""`lower` and `higher` are of the candidate against the baseline; the others of a bar, or of none."""


class Summary(msgspec.Struct, frozen=True):
    """A sample of measurements of one thing."""

    count: int
    median: float
    minimum: float
    maximum: float
    mean: float
    stdev: float
    p50: float
    p95: float
    low: float | None
    high: float | None
    """`low` to `high` holds the true median with at least 90 %, whatever the distribution.

    None where the sample is too small to say.
    """


class FigureResult(msgspec.Struct, frozen=True):
    """A figure over all iterations."""

    label: str
    unit: str
    bar: Bar | None
    verdict: Verdict
    values: list[float]
    summary: Summary | None
    note: str = ""


class SideResult(msgspec.Struct, frozen=True):
    """A side over all iterations: what each of its metrics came to; none where it was skipped."""

    name: str
    tasks: int
    metrics: dict[str, Summary]
    skipped: str = ""


class Iteration(msgspec.Struct, frozen=True):
    """One run of one side. `iteration` counts from 1, `position` is its place in that iteration's order."""

    iteration: int
    position: int
    side: str
    tasks: int
    wall_time_seconds: float
    cpu_seconds: float
    peak_bytes: int | None
    timeline: dict[str, float]
    final_task_snapshot: dict[str, Any]
    final_request_snapshot: dict[str, Any]
    output_hashes: list[str]
    leases_left: int
    hidden_waiters: int | None
    log_lines: int
    measures: dict[str, float]


class Proof(msgspec.Struct, frozen=True):
    """That nothing was left over: of so many runs, warm-ups too, and of so many verified log lines.

    active_leases_and_waiters: task leases, request leases, waiters and tokens, by the actors' snapshots when
    the run was over, and by each peer's own account. hidden_scheduler_resource_waiters: by the logs.
    """

    runs: int
    active_leases_and_waiters: int
    logs_verified: int
    log_lines_verified: int
    hidden_scheduler_resource_waiters: int

    def __str__(self) -> str:
        """Return the proof as a line for a person."""
        logs = (
            f"{self.logs_verified} logs with {self.log_lines_verified} lines verified, "
            f"{self.hidden_scheduler_resource_waiters} hidden waiters"
        )
        return f"{self.active_leases_and_waiters} leases or waiters left after {self.runs} runs; {logs}"


class ScenarioResult(msgspec.Struct, frozen=True):
    """A scenario's answer, without where and when."""

    scenario_id: str
    scenario_name: str
    scenario_version: int
    question: str
    inputs: dict[str, Any]
    provider_script: dict[str, Any]
    clock: str
    capacity_plan: dict[str, Any]
    """By side."""
    iterations: list[Iteration]
    sides: list[SideResult]
    figures: list[FigureResult]
    curves: list[Curve]
    proof: Proof


class Measurement(msgspec.Struct, frozen=True):
    """Where, when, of what and how something was measured. Revisions are git's; empty outside a checkout."""

    baseline_revision: str
    candidate_revision: str
    command_line: list[str]
    started_at: str
    machine: dict[str, Any]
    versions: dict[str, str]
    environment_knobs: dict[str, str]
    iterations: int
    warmups: int
    tasks: int


class Artifact(msgspec.Struct, frozen=True):
    """One scenario's answer, and all that is needed to ask it again.

    `derived_metrics` are the sides' metrics and the figures, over the iterations.
    """

    scenario_id: str
    artifact_schema_version: int
    scenario_version: int
    harness_version: str
    baseline_revision: str
    candidate_revision: str
    command_line: list[str]
    started_at: str
    machine: dict[str, Any]
    versions: dict[str, str]
    environment_knobs: dict[str, str]
    scenario_name: str
    question: str
    inputs: dict[str, Any]
    provider_script: dict[str, Any]
    clock: str
    capacity_plan: dict[str, Any]
    warmups: int
    tasks: int
    iterations: list[Iteration]
    derived_metrics: DerivedMetrics
    proof: Proof


class DerivedMetrics(msgspec.Struct, frozen=True):
    """What all iterations come to."""

    sides: list[SideResult]
    figures: list[FigureResult]
    curves: list[Curve]


def artifact_of(result: ScenarioResult, measured: Measurement) -> Artifact:
    """Return the artifact of one scenario."""
    return Artifact(
        scenario_id=result.scenario_id,
        artifact_schema_version=ARTIFACT_SCHEMA_VERSION,
        scenario_version=result.scenario_version,
        harness_version=HARNESS_VERSION,
        baseline_revision=measured.baseline_revision,
        candidate_revision=measured.candidate_revision,
        command_line=measured.command_line,
        started_at=measured.started_at,
        machine=measured.machine,
        versions=measured.versions,
        environment_knobs=measured.environment_knobs,
        scenario_name=result.scenario_name,
        question=result.question,
        inputs=result.inputs,
        provider_script=result.provider_script,
        clock=result.clock,
        capacity_plan=result.capacity_plan,
        warmups=measured.warmups,
        tasks=measured.tasks,
        iterations=result.iterations,
        derived_metrics=DerivedMetrics(result.sides, result.figures, result.curves),
        proof=result.proof,
    )
