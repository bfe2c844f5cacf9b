"""What a measurement is: the values that runs produce, scenarios are made of and artifacts hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import msgspec

ARTIFACT_SCHEMA_VERSION = 1
HARNESS_VERSION = "0.1.0"

Verdict = Literal["met", "missed", "inconclusive", "measured", "skipped"]


class BenchError(Exception):
    """A run that did not do its work: what it measured would mean nothing."""


class Run(msgspec.Struct, frozen=True):
    """One timed run of one side.

    `tasks` is how many tasks it did, `leases_left` what was still held or waited for afterwards.
    `output_hash` covers the output's values in stable order; empty where a run has no output. `measures` are
    what a run in virtual time tells beside its cost, by name.
    """

    tasks: int
    wall_seconds: float
    cpu_seconds: float
    leases_left: int = 0
    output_hash: str = ""
    measures: dict[str, float] = {}

    @property
    def cost(self) -> float:
        """Wall microseconds per task."""
        return self.wall_seconds / self.tasks * 1e6


class Side(msgspec.Struct, frozen=True):
    """Somebody who does a scenario's work.

    `run` takes how many tasks to do and may do fewer where the number has to be a round one. `share`
    is its part of the scenario's tasks: the slower a side, the fewer, so that all take about as long and
    what a run costs once weighs the same. `requires` is the distribution that has to be installed.
    """

    name: str
    run: Callable[[int], Run]
    share: float = 1.0
    requires: str = ""


class Bar(msgspec.Struct, frozen=True):
    """Where a figure has to lie."""

    sense: Literal["at most", "at least"]
    value: float


class Figure(msgspec.Struct, frozen=True):
    """One number that answers the scenario's question, made anew in every iteration.

    ratio: cost of `side` over cost of `against`. difference: milliseconds of `side` above `against`.
    cost: microseconds per task of `side`. measured: what `side` tells as `measure`, in `measured_in`.
    measured ratio: that of `side` over that of `against`; not a number where there is none of it.
    Without a bar it stands for information.
    """

    label: str
    kind: Literal["ratio", "difference", "cost", "measured", "measured ratio"]
    side: str
    against: str = ""
    bar: Bar | None = None
    measure: str = ""
    measured_in: str = ""

    def of(self, runs: dict[str, Run]) -> float:
        """Return the figure for one iteration's runs, by side."""
        run = runs[self.side]
        match self.kind:
            case "ratio":
                return run.cost / runs[self.against].cost
            case "difference":
                return (run.wall_seconds - runs[self.against].wall_seconds) * 1e3
            case "cost":
                return run.cost
            case "measured":
                return run.measures[self.measure]
            case "measured ratio":
                whole = runs[self.against].measures[self.measure]
                return run.measures[self.measure] / whole if whole else math.nan

    @property
    def unit(self) -> str:
        """What the number counts."""
        units = {"ratio": "x", "difference": " ms", "cost": " us", "measured ratio": "x"}
        return units.get(self.kind, self.measured_in)


class Scenario(msgspec.Struct, frozen=True):
    """One question, the sides that are asked and the figures that answer.

    `equal_outputs` says that all sides that produce rows must produce the same for as many tasks.
    """

    id: str
    name: str
    question: str
    sides: tuple[Side, ...]
    figures: tuple[Figure, ...]
    inputs: dict[str, Any]
    version: int = 1
    equal_outputs: bool = False


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
    """A side over all iterations; `summary` is of its microseconds per task."""

    name: str
    runs: list[Run]
    summary: Summary | None
    cpu: Summary | None
    skipped: str = ""


class ScenarioResult(msgspec.Struct, frozen=True):
    """A scenario's answer."""

    scenario_id: str
    scenario_name: str
    scenario_version: int
    question: str
    inputs: dict[str, Any]
    sides: list[SideResult]
    figures: list[FigureResult]


class Artifact(msgspec.Struct, frozen=True):
    """Everything that one call of the harness measured, and where."""

    artifact_schema_version: int
    harness_version: str
    revision: str
    command_line: list[str]
    started_at: str
    machine: dict[str, Any]
    versions: dict[str, str]
    clock: str
    iterations: int
    warmups: int
    tasks: int
    scenarios: list[ScenarioResult]
