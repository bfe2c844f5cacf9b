"""Leasehold's side of the admission cycle: the real scheduler and task admission, and a worker that is none.

The probe stands for the worker under its name. It runs nothing: every lease it is given goes back at
once as a success, in the sender's thread, so that a cycle costs what the scheduler and task admission
take (ready, enqueue, select, acquire, commit, return, complete) and the messages between them.
"""

from __future__ import annotations

from actors import ActorSystem
from actors.planning import Prepared, prepare
from actors.planning.capacity import describe_capacity
from actors.runtime.router import Router
from bench.noop_jobs import finished_run, leases_left, many_groups
from bench.results import Run
from bench.stopwatch import Stopwatch
from messages import Message, Query
from messages._base import REQUEST_ADMISSION, SCHEDULER, STORAGE, TASK_ADMISSION, TELEMETRY, WORKER
from messages.task_admission import ReturnTaskLeases, TaskLeaseReturn
from messages.tasks import TaskOutcome
from messages.worker import ExecuteTasks, JobPrepared, JobReleased, PrepareJob, ReleaseJob

_DONE = TaskOutcome("success", 1)
_ACTORS = (TELEMETRY, STORAGE, TASK_ADMISSION, REQUEST_ADMISSION, SCHEDULER)


class StubWorker:
    """Answers the worker's protocol without a worker. Called in the senders' threads."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.executed = 0
        router.register(WORKER, self.deliver)

    def deliver(self, messages: list[Message]) -> bool:
        """Take messages for the worker."""
        for message in messages:
            match message:
                case ExecuteTasks(starts=starts):
                    self.executed += len(starts)
                    returns = [TaskLeaseReturn(start.lease, _DONE) for start in starts]
                    self._router.send(WORKER, TASK_ADMISSION, [ReturnTaskLeases(returns)])
                case PrepareJob():
                    self._answer(message, _prepared(message))
                case ReleaseJob():
                    self._answer(message, JobReleased(message.run_id, {}))
        return True

    def _answer(self, query: Query, answer: Message) -> None:
        if query.reply_to:
            self._router.send(WORKER, query.reply_to, [answer])


def run_admission(tasks: int, groups: int) -> Run:
    """Run about `tasks` tasks of so many groups through both actors, telemetry not observing.

    Raises:
        BenchError: a task did not come back.
    """
    job = many_groups(tasks, groups)
    with ActorSystem.start(actors=_ACTORS, observing=False) as system:
        StubWorker(system.router)
        with Stopwatch() as watch:
            result = system.run(job)
        left = leases_left(system, (TASK_ADMISSION, REQUEST_ADMISSION))
    return finished_run(job, result, watch, left)


def _prepared(message: PrepareJob) -> JobPrepared:
    prepared = prepare(
        message.job,
        run_id=message.run_id,
        source_fields=message.source_fields,
        source_rows=message.rows,
    )
    assert isinstance(prepared, Prepared), prepared
    return JobPrepared(message.run_id, prepared.plan, describe_capacity(message.job, prepared.plan))
