"""Runs a scenario: its sides in turn, A B, B A, so that what changes on the machine changes for all."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import msgspec

from bench.artifact import FigureResult, Iteration, Proof, ScenarioResult, SideResult
from bench.results import BenchError, Figure, Run, Scenario, Side
from bench.statistics import compare, judge, summarize

Notice = Callable[[str], None]
"""Told what is being done, for whoever waits."""


class Runs:
    """Every run of every side, in order, each with the proof that it left nothing behind."""

    def __init__(self, scenario: Scenario, notice: Notice) -> None:
        self.missing = {side.name: _missing(side) for side in scenario.sides}
        self.kept: list[dict[str, Run]] = []
        """By side, in the order in which they were run, one entry per kept iteration."""
        self.all = self.left = self.logs = self.log_lines = self.hidden = 0
        self._scenario = scenario
        self._notice = notice
        self._sides = [side for side in scenario.sides if not self.missing[side.name]]

    def iterate(self, number: int, label: str, tasks: int, *, equal_shares: bool) -> dict[str, Run]:
        """Run every side once, every other time in the opposite order, and return what came of it."""
        runs: dict[str, Run] = {}
        for side in self._sides if number % 2 == 0 else reversed(self._sides):
            self._notice(f"{self._scenario.id} {self._scenario.name}: {label}: {side.name}")
            share = 1.0 if equal_shares else side.share
            runs[side.name] = self._proven(side, max(1, round(tasks * share)))
        self._compare_outputs(runs)
        return runs

    def _compare_outputs(self, runs: dict[str, Run]) -> None:
        """Assert that sides which did as many tasks of the same made the same rows."""
        made: dict[tuple[str, int], dict[str, str]] = {}
        for side in self._sides:
            run = runs[side.name]
            if run.output_hash and (side.output or self._scenario.equal_outputs):
                made.setdefault((side.output, run.tasks), {})[side.name] = run.output_hash
        for hashes in made.values():
            if len(set(hashes.values())) > 1:
                raise BenchError(f"{self._scenario.id} {self._scenario.name}: outputs differ: {hashes}")

    def proof(self) -> Proof:
        """Return what all runs together prove: each was looked at when it was over."""
        return Proof(self.all, self.left, self.logs, self.log_lines, self.hidden)

    def _proven(self, side: Side, tasks: int) -> Run:
        run = side.run(tasks)
        place = f"{self._scenario.id} {self._scenario.name}, {side.name}"
        if run.leases_left:
            raise BenchError(f"{place}: {run.leases_left} leases or waiters are left after the run")
        if run.evidence.hidden_waiters:
            raise BenchError(
                f"{place}: {run.evidence.hidden_waiters} workers waited for a scheduler resource"
            )
        if run.tasks < 1:
            raise BenchError(f"{place}: no task was done of {tasks} asked for")
        self.all += 1
        self.left += run.leases_left
        self.hidden += run.evidence.hidden_waiters or 0
        self.logs += run.evidence.log_lines > 0
        self.log_lines += run.evidence.log_lines
        # Growth is measured from what was there before: it says something in a fresh interpreter alone.
        return run if side.fresh else msgspec.structs.replace(run, peak_bytes=None)


def run_scenario(
    scenario: Scenario,
    *,
    tasks: int,
    iterations: int,
    warmups: int,
    notice: Notice,
    equal_shares: bool = False,
) -> ScenarioResult:
    """Run every side once per iteration and return what came of it.

    tasks: how many tasks a side with share 1 does. warmups: iterations whose times are not kept; none are
    made where every run has an interpreter of its own. equal_shares: give every side all the tasks, so that
    outputs can be compared.

    Raises:
        BenchError: a run failed, lost a task, kept a lease or made other output than its peers.
    """
    runs = Runs(scenario, notice)
    if all(side.fresh for side in scenario.sides):
        warmups = 0
    for number in range(warmups + iterations):
        if number == warmups:
            # What the sides have imported by now is of no interest to the collector any more: one side's
            # libraries must not make another side's collections longer.
            gc.collect()
            gc.freeze()
        label = f"warm-up {number + 1}" if number < warmups else f"iteration {number - warmups + 1}"
        done = runs.iterate(number, label, tasks, equal_shares=equal_shares)
        if number >= warmups:
            runs.kept.append(done)
    return ScenarioResult(
        scenario_id=scenario.id,
        scenario_name=scenario.name,
        scenario_version=scenario.version,
        question=scenario.question,
        inputs=scenario.inputs,
        provider_script=scenario.provider_script,
        clock=scenario.clock,
        capacity_plan={
            name: run.evidence.capacity_plan
            for name, run in (runs.kept[-1] if runs.kept else {}).items()
            if run.evidence.capacity_plan
        },
        iterations=[
            _iteration(number, position, name, run)
            for number, done in enumerate(runs.kept, 1)
            for position, (name, run) in enumerate(done.items(), 1)
        ],
        sides=[_side_result(side, runs.kept, runs.missing[side.name]) for side in scenario.sides],
        figures=[_figure_result(figure, runs.kept, runs.missing) for figure in scenario.figures],
        curves=list(scenario.curves),
        proof=runs.proof(),
    )


def _missing(side: Side) -> str:
    if not side.requires:
        return ""
    try:
        version(side.requires)
    except PackageNotFoundError:
        return f"{side.requires} is not installed: make bench-setup"
    return ""


def _iteration(number: int, position: int, side: str, run: Run) -> Iteration:
    return Iteration(
        iteration=number,
        position=position,
        side=side,
        tasks=run.tasks,
        wall_time_seconds=run.wall_seconds,
        cpu_seconds=run.cpu_seconds,
        peak_bytes=run.peak_bytes,
        timeline=run.evidence.timeline,
        final_task_snapshot=run.evidence.final_task_snapshot,
        final_request_snapshot=run.evidence.final_request_snapshot,
        output_hashes=[run.output_hash] if run.output_hash else [],
        leases_left=run.leases_left,
        hidden_waiters=run.evidence.hidden_waiters,
        log_lines=run.evidence.log_lines,
        measures=run.measures,
    )


def _side_result(side: Side, kept: list[dict[str, Run]], skipped: str) -> SideResult:
    if skipped:
        return SideResult(side.name, 0, {}, skipped)
    told = [iteration[side.name].metrics() for iteration in kept]
    metrics = {name: summarize([each[name] for each in told if name in each]) for name in told[0]}
    return SideResult(side.name, kept[-1][side.name].tasks, metrics)


def _figure_result(figure: Figure, kept: list[dict[str, Run]], missing: dict[str, str]) -> FigureResult:
    absent = missing[figure.side] or missing.get(figure.against, "")
    if absent:
        return FigureResult(figure.label, figure.unit, figure.bar, "skipped", [], None, absent)
    values = [figure.of(runs) for runs in kept]
    if any(math.isnan(value) for value in values):
        nothing = f"there was none of {figure.measure or 'it'}"
        return FigureResult(figure.label, figure.unit, figure.bar, "skipped", [], None, nothing)
    summary = summarize(values)
    verdict = compare(summary) if figure.kind == "paired" else judge(summary, figure.bar)
    return FigureResult(figure.label, figure.unit, figure.bar, verdict, values, summary)
