"""Task executions: what a ready task is queued as, and what a worker is given to start it.

Owns the execution ids, one for every try, and what each execution that was started is about.
"""

from __future__ import annotations

from actors.scheduler.row_groups import RowGroup
from messages.plan import GeneratorPlan, JobPlan
from messages.task_admission import TaskLease
from messages.tasks import KeptAnswer, RuntimeCorrelation, SchedulableTask, Task, TaskId
from messages.worker import TaskStart


class TaskExecutions:
    """Makes the executions of one run, numbered from `first_id`."""

    def __init__(self, plan: JobPlan, *, first_id: int) -> None:
        self.next_id = first_id
        self._run_id = plan.run_id
        self._generators = {generator.name: generator for generator in plan.generators}
        self._started: dict[int, tuple[Task, GeneratorPlan, list[int] | None]] = {}
        """By execution: a lost task admission's lease comes back under another number."""
        self._scheduling = {
            generator.name: (
                generator.scheduling,
                generator.scheduling.group.key.kind,
                generator.scheduling.group.key.identity_hash,
            )
            for generator in plan.generators
        }

    def schedulable(self, task_id: TaskId, task: Task) -> SchedulableTask:
        """Return a ready task as it is queued, as a new execution."""
        scheduling, kind, identity_hash = self._scheduling[task.column]
        correlation = RuntimeCorrelation(
            self._run_id,
            task.row_group,
            task.row_index,
            task.column,
            task.task_type,
            kind,
            identity_hash,
            self.next_id,
        )
        self.next_id += 1
        return SchedulableTask(
            task_id,
            task,
            scheduling.group,
            scheduling.resource_request,
            scheduling.request_resource,
            correlation,
        )

    def start(
        self,
        item: SchedulableTask,
        lease: TaskLease,
        group: RowGroup,
        offsets: list[int] | None,
        answers: tuple[KeptAnswer, ...] = (),
    ) -> TaskStart:
        """Return what the worker is given; `answers` are those of the task's earlier tries.

        `offsets` are the rows that a batch is about, None for all of the row group's. They are kept until
        its value comes: rows that are dropped while it runs must not shift its values.
        """
        task = item.task
        generator = self._generators[task.column]
        self._started[item.correlation.task_execution_id] = (task, generator, offsets)
        inputs = group.inputs(generator, task, offsets) if generator.needs else {}
        if task.row_index is not None:
            return TaskStart(lease, task, inputs, task.row_index, 1, answers)
        rows = group.rows if offsets is None else len(offsets)
        return TaskStart(lease, task, inputs, group.first_row, rows, answers)

    def ended(self, lease: TaskLease) -> tuple[Task, GeneratorPlan, list[int] | None]:
        """Return the task that ran under `lease`, its generator, and the rows that it was given."""
        about = lease.correlation
        started = self._started.pop(about.task_execution_id, None)
        if started is not None:
            return started
        task = Task(about.task_column, about.row_group, about.row_index, about.task_type)
        return task, self._generators[task.column], None
