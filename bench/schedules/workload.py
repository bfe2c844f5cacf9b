"""Work whose every duration is known: columns of groups, as a plan that any scheduler can be given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from messages.plan import GeneratorPlan, JobPlan, ResolvedTaskScheduling
from messages.tasks import SchedulerResourceRequest, TaskGroupKey, TaskGroupSpec, TaskType

CAPACITY = 8
"""Tasks at once of those that take an `llm_wait`: all but what is there to let others become ready."""

MODEL_TASK = SchedulerResourceRequest((("llm_wait", 1), ("submission", 1)))
LOCAL_TASK = SchedulerResourceRequest((("local", 1), ("submission", 1)))


class TimedColumn(NamedTuple):
    """A column whose tasks all take `seconds`. Columns of one `group` queue together, as one group.

    `local` tasks take none of the capacity that is measured.
    """

    name: str
    group: str
    weight: int
    seconds: float
    needs: tuple[str, ...] = ()
    task_type: TaskType = "cell"
    local: bool = False


class Workload(NamedTuple):
    """So many rows of these columns. Both groups may hold all of the capacity under peer pressure."""

    name: str
    columns: tuple[TimedColumn, ...]
    rows: int
    row_group_size: int

    @property
    def seconds(self) -> dict[str, float]:
        """How long each column's tasks take."""
        return {column.name: column.seconds for column in self.columns}

    @property
    def measured(self) -> frozenset[str]:
        """The columns whose tasks take the measured capacity."""
        return frozenset(column.name for column in self.columns if not column.local)

    def columns_of(self, group: str) -> frozenset[str]:
        """Return the names of a group's columns."""
        return frozenset(column.name for column in self.columns if column.group == group)

    @property
    def lease_seconds(self) -> float:
        """What all the tasks that take the measured capacity take of it."""
        return sum(self._tasks(column) * column.seconds for column in self.columns if not column.local)

    def plan(self, run_id: str, policy: str) -> JobPlan:
        """Return the work as a plan under a policy of task admission."""
        groups = -(-self.rows // self.row_group_size)
        return JobPlan(
            run_id=run_id,
            job_name=self.name,
            rows=self.rows,
            row_group_size=self.row_group_size,
            row_group_concurrency=groups,
            source_fields=(),
            dataset_columns=tuple(column.name for column in self.columns),
            generators=tuple(_generators(self.columns)),
            resource_limits={"submission": CAPACITY + 1, "llm_wait": CAPACITY, "local": 1},
            request_resources=(),
            policy=policy,
            max_retries=3,
            backoff_seconds=0.1,
            max_backoff_seconds=1.0,
        )

    def _tasks(self, column: TimedColumn) -> int:
        return self.rows if column.task_type == "cell" else -(-self.rows // self.row_group_size)


def _generators(columns: Iterable[TimedColumn]) -> Iterable[GeneratorPlan]:
    for column in columns:
        key = TaskGroupKey("custom_model", ("bench", column.group, "1"))
        group = TaskGroupSpec(key, column.weight, None if column.local else CAPACITY, key.name)
        yield GeneratorPlan(
            name=column.name,
            task_type=column.task_type,
            outputs=(column.name,),
            needs=column.needs,
            upstream=column.needs,
            scheduling=ResolvedTaskScheduling(group, LOCAL_TASK if column.local else MODEL_TASK, None),
        )


def heavy_root(scale: float = 1.0) -> Workload:
    """Return 512 hot tasks of 0.5 s and weight 4, and 256 of 0.05 s and weight 1 that are ready at 0.05 s.

    A gate, which takes nothing of the capacity, lets the second become ready. `scale`: that part of both.
    """
    rows = max(8, round(256 * scale))
    columns = (
        TimedColumn("hot_a", "hot", 4, 0.5),
        TimedColumn("hot_b", "hot", 4, 0.5),
        TimedColumn("gate", "gate", 1, 0.05, task_type="from_scratch", local=True),
        TimedColumn("peer", "peer", 1, 0.05, ("gate",)),
    )
    return Workload("heavy-root", columns, rows, rows)


def true_roots(scale: float = 1.0) -> Workload:
    """Return 512 from-scratch roots of 0.5 s and weight 4, each feeding one row of a column of 0.05 s."""
    columns = (
        TimedColumn("root", "hot", 4, 0.5, task_type="from_scratch"),
        TimedColumn("downstream", "peer", 1, 0.05, ("root",)),
    )
    return Workload("true-roots", columns, max(16, round(512 * scale)), 1)


def neutral(scale: float = 1.0) -> Workload:
    """Return 256 and 256 tasks of 0.1 s and equal weight."""
    columns = (TimedColumn("one", "one", 1, 0.1), TimedColumn("two", "two", 1, 0.1))
    rows = max(8, round(256 * scale))
    return Workload("neutral", columns, rows, rows)
