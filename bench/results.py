"""What a measurement is: what scenarios are made of, and what a run of a side comes to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

MIB = 2**20


class BenchError(Exception):
    """A run that did not do its work: what it measured would mean nothing."""


class Evidence(msgspec.Struct, frozen=True):
    """What a run of Leasehold's own actors leaves beside its times.

    capacity_plan: what the job worked under, each value with its source. timeline: moments of the run,
    seconds after it began, by name. final_task_snapshot and final_request_snapshot: what the two admissions
    still held when it was over. log_lines: how many lines of its log were verified, 0 where it wrote none.
    hidden_waiters: started workers that waited for a scheduler resource; None without a log.
    """

    capacity_plan: dict[str, Any] = {}
    timeline: dict[str, float] = {}
    final_task_snapshot: dict[str, Any] = {}
    final_request_snapshot: dict[str, Any] = {}
    log_lines: int = 0
    hidden_waiters: int | None = None

    def with_lines_of(self, others: Iterable[Evidence]) -> Evidence:
        """Return this with what others' logs prove too."""
        told = [self, *others]
        hidden = [one.hidden_waiters for one in told if one.hidden_waiters is not None]
        return msgspec.structs.replace(
            self,
            log_lines=sum(one.log_lines for one in told),
            hidden_waiters=sum(hidden) if hidden else None,
        )


class Run(msgspec.Struct, frozen=True):
    """One timed run of one side.

    `tasks` is how many tasks it did, `leases_left` what was still held or waited for afterwards.
    `output_hash` covers the output's values in stable order; empty where a run has no output. `measures` are
    what a run tells beside its cost, by name. `peak_bytes` is the most memory that it took above what was
    there before; None where that was not looked at.
    """

    tasks: int
    wall_seconds: float
    cpu_seconds: float
    leases_left: int = 0
    output_hash: str = ""
    measures: dict[str, float] = {}
    peak_bytes: int | None = None
    evidence: Evidence = Evidence()

    @property
    def cost(self) -> float:
        """Wall microseconds per task."""
        return self.wall_seconds / self.tasks * 1e6

    def metrics(self) -> dict[str, float]:
        """Return all that a run tells, by name: its cost, CPU and memory, and its measures."""
        told = {US_PER_TASK: self.cost, CPU_US_PER_TASK: self.cpu_seconds / self.tasks * 1e6}
        if self.peak_bytes is not None:
            told[PEAK_MIB] = self.peak_bytes / MIB
        return told | self.measures

    def told(self, metric: str) -> float:
        """Return one of them; no number for what was not looked at."""
        return self.metrics().get(metric, math.nan)


US_PER_TASK, CPU_US_PER_TASK, PEAK_MIB = "us_per_task", "cpu_us_per_task", "peak_mib"
"""Metrics that are no measures of a run's own."""


class Side(msgspec.Struct, frozen=True):
    """Somebody who does a scenario's work.

    `run` takes how many tasks to do and may do fewer where the number has to be a round one. `share`
    is its part of the scenario's tasks: the slower a side, the fewer, so that all take about as long and
    what a run costs once weighs the same. `requires` is the distribution that has to be installed.
    `peer`: it is somebody that Leasehold is measured against, and the same for every revision of it.
    `fresh`: each run has an interpreter of its own, which is what memory is measured in. `output`: sides with
    the same name for what they make must have made the same, where they did as many tasks.
    """

    name: str
    run: Callable[[int], Run]
    share: float = 1.0
    requires: str = ""
    peer: bool = False
    fresh: bool = False
    output: str = ""


class Bar(msgspec.Struct, frozen=True):
    """Where a figure has to lie."""

    sense: Literal["at most", "at least"]
    value: float


class Figure(msgspec.Struct, frozen=True):
    """One number that answers the scenario's question, made anew in every iteration.

    ratio: cost of `side` over cost of `against`. difference: milliseconds of `side` above `against`.
    cost: microseconds per task of `side`. measured: what `side` tells as `measure`, in `measured_in`.
    measured difference, measured ratio: that of `side` above or over that of `against`; not a number where
    there is none of it.
    paired: the ratio of two that ought to be the same, of their costs or of their `measure`.
    Without a bar it stands for information.
    """

    label: str
    kind: Literal[
        "ratio", "difference", "cost", "measured", "measured difference", "measured ratio", "paired"
    ]
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
                return run.told(self.measure)
            case "measured difference":
                return run.told(self.measure) - runs[self.against].told(self.measure)
            case "measured ratio" | "paired":
                measure = self.measure or US_PER_TASK
                whole = runs[self.against].told(measure)
                return run.told(measure) / whole if whole else math.nan

    @property
    def unit(self) -> str:
        """What the number counts."""
        units = {"ratio": "x", "difference": " ms", "cost": " us", "measured ratio": "x", "paired": "x"}
        return units.get(self.kind, self.measured_in)


FULL_TASKS = 20_000
"""A run of as many tasks, which is what is done unless something else is asked for, does a side's whole work
where that has a size of its own; of fewer, that part of it."""


def part_of(whole: int, tasks: int) -> int:
    """Return which part of a side's whole work a run of so many tasks does."""
    return max(1, round(whole * min(1.0, tasks / FULL_TASKS)))


class Curve(msgspec.Struct, frozen=True):
    """One metric over a quantity: `points` are (quantity, side) by the name of their line."""

    title: str
    x_label: str
    metric: str
    y_label: str
    points: dict[str, tuple[tuple[float, str], ...]]


class Scenario(msgspec.Struct, frozen=True):
    """One question, the sides that are asked and the figures that answer.

    `equal_outputs` says that all sides that produce rows, and name no output of their own, make the same for
    as many tasks. `clock` is
    what times are read from, `provider_script` what its servers do over time. `smoke_tasks` is how many tasks
    a side does in the smoke.
    """

    id: str
    name: str
    question: str
    sides: tuple[Side, ...]
    figures: tuple[Figure, ...]
    inputs: dict[str, Any]
    version: int = 1
    equal_outputs: bool = False
    curves: tuple[Curve, ...] = ()
    clock: Literal["perf_counter", "virtual"] = "perf_counter"
    provider_script: dict[str, Any] = {}
    smoke_tasks: int = 256
