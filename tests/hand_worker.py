"""A worker by hand: the scheduler and task admission are real, a test decides what ends and when."""

from __future__ import annotations

from actors.planning import prepare
from actors.planning.capacity import describe_capacity
from messages import Job, Limits, PythonColumn, SchedulingMetadata, SubmitJob
from messages._base import ACTOR_NAMES
from messages.job import FailurePolicy
from messages.task_admission import ReturnTaskLeases, TaskLeaseReturn
from messages.tasks import TaskOutcome
from messages.worker import ExecuteTasks, JobPrepared, PrepareJob

ALL_BUT_THE_WORKER = tuple(name for name in ACTOR_NAMES if name != "worker")


class HandWorker:
    """Submits a job and takes its tasks; `running` are those that were started and have not ended."""

    def __init__(self, harness, job):
        self.harness = harness
        self.probe = harness.probe("worker")
        self.started = []
        self.running = []
        self._read = 0
        harness.send("scheduler", SubmitJob(job))
        asked = self.probe.expect(PrepareJob)
        made = prepare(asked.job, run_id=asked.run_id, source_fields=(), source_rows=0)
        configured = describe_capacity(asked.job, made.plan)
        self.probe.send("scheduler", JobPrepared(asked.run_id, made.plan, configured))
        self.take()

    def take(self):
        """Take what has been started once the actors have settled; return it as `(column, row)`."""
        self.harness.settle()
        received = self.probe.received
        fresh = [
            start
            for message in received[self._read :]
            if isinstance(message, ExecuteTasks)
            for start in message.starts
        ]
        self._read = len(received)
        self.running += fresh
        self.started += fresh
        return [(start.task.column, start.task.row_index) for start in fresh]

    def end(self, column, kind="success"):
        """End the oldest running task of a column; return what is started thereupon."""
        start = next(found for found in self.running if found.task.column == column)
        self.running.remove(start)
        outcome = TaskOutcome(kind, "a value" if kind == "success" else None)
        self.probe.send("task_admission", ReturnTaskLeases([TaskLeaseReturn(start.lease, outcome)]))
        return self.take()

    def running_of(self, column):
        return sum(start.task.column == column for start in self.running)

    def debt_of(self, column):
        """Return the policy's debt of a column's group, by resource."""
        view = self.harness.system.snapshot("task_admission").state.view
        debts = view.policy_debt_by_group_resource
        return next((debt for group, debt in debts.items() if group.endswith(f"/{column}")), {})


def shared(*needs, weight=1):
    """A column that takes the resource which all of these share, `llm_wait`."""

    async def alone():
        return "a value"

    async def behind(**_row):
        return "a value"

    metadata = SchedulingMetadata("custom_model", ("tests", "shared", "1"), weight)
    return PythonColumn(function=behind if needs else alone, needs=needs, metadata=metadata)


def a_job(columns, *, rows=8, policy="bounded_borrow", **limits):
    """A job of `shared` columns."""
    return Job(
        name="by hand",
        rows=rows,
        columns=columns,
        limits=Limits(policy=policy, **limits),
        failure=FailurePolicy(backoff_seconds=0.001),
        health_check=False,
    )
