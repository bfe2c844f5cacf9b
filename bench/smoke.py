"""The smoke: every scenario once, tiny, asserting that the work is done, not how long it takes."""

from __future__ import annotations

from bench.harness import Notice, run_scenario
from bench.results import BenchError, Scenario

SMOKE_TASKS = 256
"""One for every group where there are most."""


def run_smoke(scenarios: tuple[Scenario, ...], notice: Notice) -> list[str]:
    """Run all scenarios once and return one line for each; sides that are not installed are named.

    Raises:
        BenchError: tasks were lost, leases were left over, or outputs differ.
    """
    lines = []
    for scenario in scenarios:
        result = run_scenario(
            scenario, tasks=SMOKE_TASKS, iterations=1, warmups=0, notice=notice, equal_shares=True
        )
        ran = [side for side in result.sides if side.runs]
        if not ran:
            raise BenchError(f"{scenario.id} {scenario.name}: no side could be run")
        done = sum(run.tasks for side in ran for run in side.runs)
        lines.append(f"{scenario.id} {scenario.name}: {len(ran)} sides, {done} tasks, no lease left")
        absent = {side.skipped for side in result.sides if side.skipped}
        lines += [f"{scenario.id} {scenario.name}: skipped: {reason}" for reason in sorted(absent)]
    return lines
