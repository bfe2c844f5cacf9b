"""Runs a scenario: its sides in turn, A B A B, so that what changes on the machine changes for all."""

from __future__ import annotations

import gc
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from bench.results import (
    BenchError,
    Figure,
    FigureResult,
    Run,
    Scenario,
    ScenarioResult,
    Side,
    SideResult,
)
from bench.statistics import judge, summarize

Notice = Callable[[str], None]
"""Told what is being done, for whoever waits."""


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

    tasks: how many tasks a side with share 1 does. warmups: iterations whose times are not kept.
    equal_shares: give every side all the tasks, so that outputs can be compared.

    Raises:
        BenchError: a run failed, lost a task, kept a lease or made other output than its peers.
    """
    missing = {side.name: _missing(side) for side in scenario.sides}
    sides = [side for side in scenario.sides if not missing[side.name]]
    kept: list[dict[str, Run]] = []
    for iteration in range(warmups + iterations):
        if iteration == warmups:
            # What the sides have imported by now is of no interest to the collector any more: one side's
            # libraries must not make another side's collections longer.
            gc.collect()
            gc.freeze()
        label = f"warm-up {iteration + 1}" if iteration < warmups else f"iteration {iteration - warmups + 1}"
        runs: dict[str, Run] = {}
        for side in sides:
            notice(f"{scenario.id} {scenario.name}: {label}: {side.name}")
            share = 1.0 if equal_shares else side.share
            runs[side.name] = _proven(scenario, side, max(1, round(tasks * share)))
        _compare_outputs(scenario, runs)
        if iteration >= warmups:
            kept.append(runs)
    return ScenarioResult(
        scenario_id=scenario.id,
        scenario_name=scenario.name,
        scenario_version=scenario.version,
        question=scenario.question,
        inputs=scenario.inputs,
        sides=[_side_result(side, kept, missing[side.name]) for side in scenario.sides],
        figures=[_figure_result(figure, kept, missing) for figure in scenario.figures],
    )


def _missing(side: Side) -> str:
    if not side.requires:
        return ""
    try:
        version(side.requires)
    except PackageNotFoundError:
        return f"{side.requires} is not installed: make bench-setup"
    return ""


def _proven(scenario: Scenario, side: Side, tasks: int) -> Run:
    run = side.run(tasks)
    place = f"{scenario.id} {scenario.name}, {side.name}"
    if run.leases_left:
        raise BenchError(f"{place}: {run.leases_left} leases or waiters are left after the run")
    if run.tasks < 1:
        raise BenchError(f"{place}: no task was done of {tasks} asked for")
    return run


def _compare_outputs(scenario: Scenario, runs: dict[str, Run]) -> None:
    """Assert that sides which did as many tasks made the same rows."""
    if not scenario.equal_outputs:
        return
    by_tasks: dict[int, dict[str, str]] = {}
    for name, run in runs.items():
        if run.output_hash:
            by_tasks.setdefault(run.tasks, {})[name] = run.output_hash
    for hashes in by_tasks.values():
        if len(set(hashes.values())) > 1:
            raise BenchError(f"{scenario.id} {scenario.name}: outputs differ: {hashes}")


def _side_result(side: Side, kept: list[dict[str, Run]], skipped: str) -> SideResult:
    if skipped:
        return SideResult(side.name, [], None, None, skipped)
    runs = [iteration[side.name] for iteration in kept]
    cpu = [run.cpu_seconds / run.tasks * 1e6 for run in runs]
    return SideResult(side.name, runs, summarize([run.cost for run in runs]), summarize(cpu))


def _figure_result(figure: Figure, kept: list[dict[str, Run]], missing: dict[str, str]) -> FigureResult:
    absent = missing[figure.side] or missing.get(figure.against, "")
    if absent:
        return FigureResult(figure.label, figure.unit, figure.bar, "skipped", [], None, absent)
    values = [figure.of(runs) for runs in kept]
    summary = summarize(values)
    return FigureResult(figure.label, figure.unit, figure.bar, judge(summary, figure.bar), values, summary)
