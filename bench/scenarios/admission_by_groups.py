"""P1: does an admission cycle cost more when there are more groups?"""

from __future__ import annotations

from bench.noop_jobs import CAPACITY, ROW_GROUP_TASKS, many_groups, run_job
from bench.results import Bar, Figure, Run, Scenario, Side
from bench.stub_worker import run_admission

GROUPS = (1, 8, 64, 256)
POLICY = "strict_fair"


def cycle(groups: int) -> Side:
    """Return the cycle alone: real scheduler and task admission, a worker that returns at once."""

    def run(tasks: int) -> Run:
        return run_admission(tasks, groups)

    return Side(f"cycle, {_groups(groups)}", run)


def whole(groups: int) -> Side:
    """Return the whole job: real worker, full event log."""

    def run(tasks: int) -> Run:
        return run_job(many_groups(tasks, groups), telemetry="log")

    return Side(f"whole job, {_groups(groups)}", run)


def _groups(number: int) -> str:
    return f"{number} group{'' if number == 1 else 's'}"


SCENARIO = Scenario(
    id="P1",
    name="admission-by-groups",
    question="What does an admission cycle cost at 256 groups, over its cost at one?",
    sides=(*(cycle(groups) for groups in GROUPS), whole(1), whole(256)),
    figures=(
        *(
            Figure(
                f"cycle, {groups} groups over 1",
                "ratio",
                cycle(groups).name,
                cycle(1).name,
                Bar("at most", 1.5) if groups == 256 else None,
            )
            for groups in GROUPS[1:]
        ),
        Figure("whole job, 256 groups over 1", "ratio", whole(256).name, whole(1).name),
    ),
    inputs={
        "groups": list(GROUPS),
        "policy": POLICY,
        "row_group_tasks": ROW_GROUP_TASKS,
        "tasks_at_once": CAPACITY,
        "cycle": "ready, enqueue, select, acquire, commit, return, complete; telemetry not observing",
    },
)
