"""S1: what each phase of the admission cycle costs, by tasks queued, groups and resources."""

from __future__ import annotations

from typing import get_args

from bench.admission_phases import CAPACITY, MODELS, PHASES, Resources, run_phases
from bench.results import CPU_US_PER_TASK, PEAK_MIB, Curve, Figure, Run, Scenario, Side, part_of
from messages.job import Limits

QUEUED, GROUPS = (1_000, 10_000, 100_000), (1, 8, 64, 256)
RESOURCES: tuple[Resources, ...] = get_args(Resources)


def _name(queued: int, groups: int, resources: Resources) -> str:
    return f"{queued:,} tasks, {groups} group{'' if groups == 1 else 's'}, {resources}"


def _side(queued: int, groups: int, resources: Resources) -> Side:
    def run(tasks: int) -> Run:
        return run_phases(max(groups, part_of(queued, tasks)), groups, resources)

    return Side(_name(queued, groups, resources), run, fresh=True)


def _measured(queued: int, groups: int, measure: str, unit: str = " us") -> Figure:
    side = _name(queued, groups, "model")
    label = f"{measure.replace('_', ' ')}, {side}"
    return Figure(label, "measured", side, measure=measure, measured_in=unit)


def _ratio(over: tuple[int, int], under: tuple[int, int]) -> Figure:
    one, other = _name(*over, "model"), _name(*under, "model")
    return Figure(
        f"cycle p50, {one}, over {under[0]:,} and {under[1]}",
        "measured ratio",
        one,
        other,
        measure="cycle_p50",
    )


_CURVES = (
    *(
        Curve(
            f"cycle by groups, {queued:,} tasks queued",
            "groups",
            "cycle_p50",
            "us per task, p50",
            {
                name: tuple((float(groups), _name(queued, groups, name)) for groups in GROUPS)
                for name in RESOURCES
            },
        )
        for queued in QUEUED
    ),
    Curve(
        "peak memory by tasks queued, mixed",
        "tasks queued",
        PEAK_MIB,
        "MiB",
        {
            f"{groups} groups": tuple((float(queued), _name(queued, groups, "mixed")) for queued in QUEUED)
            for groups in GROUPS
        },
    ),
)

SCENARIO = Scenario(
    id="S1",
    name="admission-phases",
    question="What does each phase of the admission cycle cost, by tasks queued, groups and resources?",
    sides=tuple(
        _side(queued, groups, resources) for queued in QUEUED for groups in GROUPS for resources in RESOURCES
    ),
    figures=(
        *(
            _measured(100_000, groups, f"{phase}_{part}")
            for groups in (1, 256)
            for phase in ("cycle", *PHASES)
            for part in ("p50", "p95")
        ),
        *(_measured(100_000, groups, CPU_US_PER_TASK) for groups in (1, 256)),
        *(_measured(100_000, groups, PEAK_MIB, " MiB") for groups in (1, 256)),
        _ratio((100_000, 256), (100_000, 1)),
        _ratio((100_000, 64), (1_000, 64)),
    ),
    inputs={
        "tasks_queued": list(QUEUED),
        "groups": list(GROUPS),
        "resources": {
            "local": "submission and local",
            "model": f"submission, llm_wait and one of {MODELS} models",
            "mixed": "every other group is local",
        },
        "policy": f"{Limits().policy}, nothing under pressure",
        "tasks_at_once": CAPACITY,
        "cycle": "one thread, the actors' cores without their mailboxes; percentiles over batches",
    },
    smoke_tasks=16,
    curves=_CURVES,
)
