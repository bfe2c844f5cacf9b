"""Leasehold's side of the admission cycle: the real scheduler and task admission, and probes around them.

Probes stand for the worker and for request admission under their names. Nothing is run: every lease
that the worker is given goes back at once as a success, in the sender's thread, so that a cycle costs
what the scheduler and task admission take (ready, enqueue, select, acquire, commit, return, complete)
and the messages between them.

The clock runs while the job does: from the last answer that the scheduler waits for before it begins to
the first thing it asks when all rows are stored. Reading, planning and closing the job are not in it.
"""

from __future__ import annotations

import gc

import msgspec

from actors import ActorSystem
from actors.planning import Prepared, prepare
from actors.planning.capacity import describe_capacity
from actors.runtime.router import Router
from bench.evidence import capacity_plan, leases_left
from bench.knobs import tuned
from bench.noop_jobs import Policy, finished_run, many_groups
from bench.results import Evidence, Run
from bench.stopwatch import Stopwatch
from messages import Message, Query
from messages._base import REQUEST_ADMISSION, SCHEDULER, STORAGE, TASK_ADMISSION, TELEMETRY, WORKER
from messages.request_admission import RegisterRequestResources, RequestResourcesRegistered
from messages.task_admission import ReturnTaskLeases, TaskLeaseReturn
from messages.tasks import TaskOutcome
from messages.worker import ExecuteTasks, JobPrepared, JobReleased, PrepareJob, ReleaseJob

_DONE = TaskOutcome("success", 1)
_ACTORS = (TELEMETRY, STORAGE, TASK_ADMISSION, SCHEDULER)


class Probes:
    """Worker and request admission without either. Called in the senders' threads."""

    def __init__(self, router: Router) -> None:
        self.watch = Stopwatch()
        self._router = router
        self._begun = False
        router.register(WORKER, self.to_worker)
        router.register(REQUEST_ADMISSION, self.to_request_admission)

    def to_worker(self, messages: list[Message]) -> bool:
        """Take messages for the worker."""
        for message in messages:
            match message:
                case ExecuteTasks(starts=starts):
                    returns = [TaskLeaseReturn(start.lease, _DONE) for start in starts]
                    self._router.send(WORKER, TASK_ADMISSION, [ReturnTaskLeases(returns)])
                case PrepareJob():
                    self._answer(WORKER, message, _prepared(message))
                case ReleaseJob():
                    self.watch.stop()
                    self._answer(WORKER, message, JobReleased(message.run_id, {}))
        return True

    def to_request_admission(self, messages: list[Message]) -> bool:
        """Take messages for request admission: the job's resources, and their withdrawal at its end."""
        for message in messages:
            if isinstance(message, RegisterRequestResources):
                if not self._begun:
                    self._begun = True
                    gc.collect()
                    self.watch.start()
                self._answer(REQUEST_ADMISSION, message, RequestResourcesRegistered(message.run_id, 1))
        return True

    def _answer(self, sender: str, query: Query, answer: Message) -> None:
        if query.reply_to:
            self._router.send(sender, query.reply_to, [answer])


def run_admission(tasks: int, groups: int, policy: Policy) -> Run:
    """Run about `tasks` tasks of so many groups through both actors, telemetry not observing.

    Raises:
        BenchError: a task did not come back.
    """
    job = tuned(many_groups(tasks, groups, policy))
    with ActorSystem.start(actors=_ACTORS, observing=False) as system:
        probes = Probes(system.router)
        result = system.run(job)
        left = leases_left(system, (TASK_ADMISSION,))
        held = msgspec.to_builtins(system.snapshot(TASK_ADMISSION).state)
    evidence = Evidence(capacity_plan=capacity_plan(job), final_task_snapshot=held)
    return finished_run(job, result, probes.watch, left, evidence)


def _prepared(message: PrepareJob) -> JobPrepared:
    prepared = prepare(
        message.job,
        run_id=message.run_id,
        source_fields=message.source_fields,
        source_rows=message.rows,
    )
    assert isinstance(prepared, Prepared), prepared
    return JobPrepared(message.run_id, prepared.plan, describe_capacity(message.job, prepared.plan))
