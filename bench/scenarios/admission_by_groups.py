"""P1: does an admission cycle cost more when there are more groups?"""

from __future__ import annotations

from bench.noop_jobs import CAPACITY, ROW_GROUP_TASKS, Policy, many_groups, run_noops
from bench.results import Bar, Figure, Run, Scenario, Side
from bench.stub_worker import run_admission

GROUPS = (1, 8, 64, 256)


def cycle(groups: int, policy: Policy) -> Side:
    """Return the cycle alone: real scheduler and task admission, a worker that returns at once."""

    def run(tasks: int) -> Run:
        return run_admission(tasks, groups, policy)

    return Side(f"cycle, {policy}, {_groups(groups)}", run)


def whole(groups: int) -> Side:
    """Return the whole job: real worker, full event log, bounded borrow."""

    def run(tasks: int) -> Run:
        return run_noops(many_groups(tasks, groups), telemetry="log")

    return Side(f"whole job, {_groups(groups)}", run)


def _groups(number: int) -> str:
    return f"{number} group{'' if number == 1 else 's'}"


SCENARIO = Scenario(
    id="P1",
    name="admission-by-groups",
    question="What does an admission cycle cost at 256 groups, over its cost at one?",
    sides=(
        *(cycle(groups, "bounded_borrow") for groups in GROUPS),
        cycle(1, "strict_fair"),
        cycle(256, "strict_fair"),
        cycle(1, "provider_aware"),
        cycle(256, "provider_aware"),
        cycle(1, "service_time_fair"),
        cycle(256, "service_time_fair"),
        whole(1),
        whole(256),
    ),
    figures=(
        *(
            Figure(
                f"cycle, bounded_borrow, {groups} groups over 1",
                "ratio",
                cycle(groups, "bounded_borrow").name,
                cycle(1, "bounded_borrow").name,
                Bar("at most", 1.5) if groups == 256 else None,
            )
            for groups in GROUPS[1:]
        ),
        Figure(
            "cycle, strict_fair, 256 groups over 1",
            "ratio",
            cycle(256, "strict_fair").name,
            cycle(1, "strict_fair").name,
        ),
        *(
            Figure(
                f"cycle, provider_aware over bounded_borrow, {_groups(groups)}, nothing pressed",
                "ratio",
                cycle(groups, "provider_aware").name,
                cycle(groups, "bounded_borrow").name,
            )
            for groups in (1, 256)
        ),
        Figure(
            "cycle, service_time_fair, 256 groups over 1",
            "ratio",
            cycle(256, "service_time_fair").name,
            cycle(1, "service_time_fair").name,
        ),
        *(
            Figure(
                f"cycle, service_time_fair over provider_aware, {_groups(groups)}",
                "ratio",
                cycle(groups, "service_time_fair").name,
                cycle(groups, "provider_aware").name,
            )
            for groups in (1, 256)
        ),
        Figure("whole job, 256 groups over 1", "ratio", whole(256).name, whole(1).name),
    ),
    inputs={
        "groups": list(GROUPS),
        "policies": ["bounded_borrow", "strict_fair", "provider_aware", "service_time_fair"],
        "row_group_tasks": ROW_GROUP_TASKS,
        "tasks_at_once": CAPACITY,
        "cycle": "ready, enqueue, select, acquire, commit, return, complete; telemetry not observing",
    },
)
