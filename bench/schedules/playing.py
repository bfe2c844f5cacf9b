"""Lets the real actors do a workload on virtual time, and reads in their log what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.evidence.reader import read_events
from bench.schedules.course import Course, Execution
from bench.schedules.functions import Trouble, columns_of, fails_now_and_then, no_trouble
from bench.schedules.workload import CAPACITY, Workload
from bench.virtual.stage import OnSend
from bench.virtual.system import Happening
from bench.virtual.verified import verified_run
from messages import Message
from messages._base import SCHEDULER, WORKER, ActorName
from messages.job import Job
from messages.scheduler import CancelJob
from messages.supervision import CrashActor
from messages.worker import JobPrepared


def play(workload: Workload, policy: str, seed: int = 0) -> Course:
    """Run the workload under a policy; return what every task execution went through.

    seed: decides which actor goes first wherever several could.

    Raises:
        BenchError: a row is missing, or the log proves that a rule was broken.
    """
    return _play(workload, policy, seed=seed)


def play_in_trouble(workload: Workload, policy: str, seed: int = 0) -> list[Course]:
    """Run it three times: with tasks that fail, for a while or for good; cancelled; with a worker that dies.

    Raises:
        BenchError: the job ended otherwise than it ought to, or the log proves that a rule was broken.
    """
    half = workload.lease_seconds / CAPACITY / 2
    cancel = Happening(half, SCHEDULER, CancelJob("as was asked"))
    crash = Happening(half, WORKER, CrashActor())
    return [
        _play(workload, policy, fails_now_and_then(), status="partial", seed=seed),
        _play(workload, policy, happenings=(cancel,), status="cancelled", seed=seed),
        _play(workload, policy, happenings=(crash,), seed=seed),
    ]


def _play(
    workload: Workload,
    policy: str,
    trouble: Trouble = no_trouble,
    *,
    happenings: Sequence[Happening] = (),
    status: str = "succeeded",
    seed: int,
) -> Course:
    job = Job(
        name=f"{workload.name}, {policy}",
        rows=workload.rows,
        row_group_size=workload.row_group_size,
        columns=columns_of(workload, trouble),
    )
    with verified_run(
        job, seed=seed, on_send=_scheduled_as(workload, policy), happenings=happenings, status=status
    ) as run:
        return Course(_executions(run.log), CAPACITY, workload.measured, run.left, run.evidence)


def _scheduled_as(workload: Workload, policy: str) -> OnSend:
    """Return what puts the workload's groups, weights and limits in place of those that the job comes to.

    A job file has one group a column, and the weights of its models; these workloads need others.
    """

    def replaced(sender: ActorName, to: ActorName, messages: list[Message]) -> list[Message]:
        del sender, to
        return [
            msgspec.structs.replace(message, plan=workload.plan(message.run_id, policy))
            if isinstance(message, JobPrepared)
            else message
            for message in messages
        ]

    return replaced


def _executions(log: Path) -> list[Execution]:
    """Return the executions that were given a lease."""
    found: dict[int, Execution] = {}
    leased: dict[int, Execution] = {}
    for sequenced in read_events(log):
        event = sequenced.event
        about = event.correlation
        if about is None:
            continue
        number = about.task_execution_id
        match event.event_kind:
            case "ready_enqueued":
                row = about.row_index if about.row_index is not None else -1
                found[number] = Execution(about.task_column, (about.row_group, row), event.captured_at)
            case "task_lease_acquired":
                leased[number] = found[number]
                leased[number].leased_at = event.captured_at
            case "task_lease_released":
                leased[number].ended_at = event.captured_at
    return list(leased.values())
