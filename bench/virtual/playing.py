"""Lets the real actors do a workload on virtual time, and reads in their log what came of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from actors.evidence.reader import read_events
from actors.evidence.verify import verify_log
from bench.evidence import leases_left
from bench.results import BenchError, Evidence
from bench.virtual.course import Course, Execution
from bench.virtual.system import Happening, VirtualSystem
from bench.virtual.timed_worker import Ending, Endings
from bench.virtual.workload import CAPACITY, Workload
from messages._base import REQUEST_ADMISSION, SCHEDULER, TASK_ADMISSION, WORKER
from messages.job import Job
from messages.scheduler import CancelJob
from messages.supervision import CrashActor
from messages.tasks import TaskError, TaskOutcome
from messages.worker import TaskStart

_RETRYABLE = TaskOutcome("retryable_failure", error=TaskError("provider_failure", "as was asked"))
_FATAL = TaskOutcome("non_retryable_failure", error=TaskError("validation", "as was asked"))


def play(workload: Workload, policy: str) -> Course:
    """Run the workload under a policy; return what every task execution went through.

    Raises:
        BenchError: a row is missing, or the log proves that a rule was broken.
    """
    return _play(workload, policy, _succeeding(workload))


def play_in_trouble(workload: Workload, policy: str) -> list[Course]:
    """Run it three times: with tasks that fail, for a while or for good; cancelled; with a worker that dies.

    Raises:
        BenchError: the job ended otherwise than it ought to, or the log proves that a rule was broken.
    """
    half = workload.lease_seconds / CAPACITY / 2
    cancel = Happening(half, SCHEDULER, CancelJob("as was asked"))
    crash = Happening(half, WORKER, CrashActor())
    return [
        _play(workload, policy, _failing(workload), status="partial"),
        _play(workload, policy, _succeeding(workload), (cancel,), status="cancelled"),
        _play(workload, policy, _succeeding(workload), (crash,)),
    ]


def _play(
    workload: Workload,
    policy: str,
    endings: Endings,
    happenings: Sequence[Happening] = (),
    status: str = "succeeded",
) -> Course:
    system = VirtualSystem(endings)
    job = Job(name=workload.name, rows=workload.rows, row_group_size=workload.row_group_size)
    with TemporaryDirectory(prefix="leasehold-bench-") as folder, _unheard():
        log = Path(folder, "actors.jsonl")
        result = system.run(job, lambda run_id: workload.plan(run_id, policy), log, happenings)
        left = leases_left(system)
        evidence = Evidence(
            final_task_snapshot=msgspec.to_builtins(system.snapshot(TASK_ADMISSION).state),
            final_request_snapshot=msgspec.to_builtins(system.snapshot(REQUEST_ADMISSION).state),
        )
        system.stop()
        if result.status != status:
            raise BenchError(f"{workload.name}, {policy}: {result.status}: {result.first_error}")
        report = verify_log(log)
        if not report.ok:
            raise BenchError(f"{workload.name}, {policy}: {report.violations[0]}")
        executions = _executions(log)
    evidence = msgspec.structs.replace(
        evidence,
        log_lines=report.counts.lines,
        hidden_waiters=report.counts.hidden_scheduler_resource_waiters,
    )
    return Course(executions, CAPACITY, workload.measured, left, evidence)


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep to the log what actors warn of: it was asked for."""
    logger = logging.getLogger("leasehold")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _succeeding(workload: Workload) -> Endings:
    seconds = workload.seconds

    def ending(start: TaskStart) -> Ending:
        made = 1 if start.task.row_index is not None else [1] * start.rows
        return Ending(seconds[start.task.column], TaskOutcome("success", made))

    return ending


def _failing(workload: Workload) -> Endings:
    """Return endings of which one in seven is a failure that passes, and one in thirty-one is for good."""
    succeeding = _succeeding(workload)

    def ending(start: TaskStart) -> Ending:
        number = start.lease.correlation.task_execution_id
        if start.task.row_index is None or (number % 7 and number % 31):
            return succeeding(start)
        return Ending(workload.seconds[start.task.column], _FATAL if number % 7 else _RETRYABLE)

    return ending


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
