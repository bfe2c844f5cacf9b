"""Every way in which a task can end, for every type of task, on real actors (T2, T6, T14, R4, R5, R11).

How a task ends is decided by the function that it runs, by a worker whose runner says what is asked for,
by the loss of the worker, or by the scheduler where a lease comes too late.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from itertools import product
from typing import NamedTuple, get_args

import pytest

from actors.evidence.reader import read_log
from actors.evidence.report import render
from actors.evidence.verify import verify_log
from actors.harness import Harness
from actors.telemetry.log_codec import EventRecord
from messages import CancelJob, FailurePolicy, Job, Processor, PythonColumn, SequenceColumn, SubmitJob
from messages._base import ACTOR_NAMES
from messages.scheduler import JobFinished
from messages.supervision import CrashActor
from messages.task_admission import TaskLeasesDecided, TaskLeasesReturned
from messages.tasks import TaskOutcomeKind, TaskType
from messages.worker import ExecuteTasks
from tests.scripted_runner import put_scripted_worker

TARGET = "target"


# -- types of task: jobs in which TARGET is the only task of its type -----------------------------------


def a_job(*, columns=None, processors=None):
    columns = {"number": SequenceColumn(), **(columns or {})}
    patient = FailurePolicy(backoff_seconds=0.001)
    return Job(name="paths", rows=1, columns=columns, processors=processors or {}, failure=patient)


def with_cell(first):
    async def target(number):
        await first()
        return number

    return a_job(columns={TARGET: PythonColumn(function=target)})


def with_batch(first):
    async def target(number):
        await first()
        return number

    return a_job(columns={TARGET: PythonColumn(function=target, scope="batch")})


def from_scratch(first):
    async def target(rows):
        await first()
        return [7] * rows

    return a_job(columns={TARGET: PythonColumn(function=target, scope="from_scratch")})


def with_processor(stage):
    def build(first):
        async def target(rows):
            await first()
            return [True] * len(rows)

        return a_job(processors={TARGET: Processor(stage=stage, function=target)})

    return build


JOBS = {
    "from_scratch": from_scratch,
    "cell": with_cell,
    "batch": with_batch,
    "pre_batch_processor": with_processor("pre_batch"),
    "post_batch_processor": with_processor("post_batch"),
}


# -- what the target does before it returns its value ---------------------------------------------------


async def nothing():
    pass


async def for_ever():
    await asyncio.Event().wait()


async def failing():
    raise ValueError("it does not work")


def for_ever_once():
    """Return what waits for ever at the first try, and an event that says that it does."""
    waits = threading.Event()

    async def first():
        if not waits.is_set():
            waits.set()
            await for_ever()

    return first, waits


# -- who ends it ----------------------------------------------------------------------------------------


def starts_target(message):
    return any(start.task.column == TARGET for start in message.starts)


def running(harness, job):
    """Submit a job and return once its target has been given to the worker."""
    harness.send("scheduler", SubmitJob(job))
    harness.expect("worker", ExecuteTasks, where=starts_target)


def it_works(harness, job_of):
    harness.send("scheduler", SubmitJob(job_of(nothing)))


def it_raises(harness, job_of):
    harness.send("scheduler", SubmitJob(job_of(failing)))


def it_is_cancelled(harness, job_of):
    running(harness, job_of(for_ever))
    harness.send("scheduler", CancelJob())


def its_worker_is_lost(harness, job_of):
    first, waits = for_ever_once()
    running(harness, job_of(first))
    assert waits.wait(5)
    harness.send("worker", CrashActor())


def its_lease_comes_too_late(harness, job_of):
    """The cancel reaches the scheduler before the lease that is on its way to it."""

    def overtake(_sender, _to, message):
        if isinstance(message, TaskLeasesDecided) and any(
            lease.correlation.task_column == TARGET for lease in message.leases
        ):
            harness.send("scheduler", CancelJob())

    harness.system.router.add_tap(overtake)
    harness.send("scheduler", SubmitJob(job_of(nothing)))


def its_worker_says_so(harness, job_of):
    """`stage` has put a worker there whose runner does."""
    harness.send("scheduler", SubmitJob(job_of(nothing)))


# -- the table ------------------------------------------------------------------------------------------


class Path(NamedTuple):
    """Who ends the target's first try, how all its tries end, and what the log tells of the first."""

    ended_by: Callable
    ends: tuple[str, ...]
    told: tuple[str, ...]


RAN = ("task_lease_acquired", "worker_spawned", "task_completed", "task_lease_released")
STALE = ("task_lease_acquired", "stale_selection", "task_lease_released")
UNSTARTED = ("task_lease_acquired", "worker_spawn_failed", "task_lease_released")
LOST = ("task_lease_acquired", "worker_spawned", "task_lease_released")

PATHS = {
    "success": Path(it_works, ("success",), RAN),
    "retryable_failure": Path(its_worker_says_so, ("retryable_failure", "success"), RAN),
    "non_retryable_failure": Path(it_raises, ("non_retryable_failure",), RAN),
    "cancelled": Path(it_is_cancelled, ("cancelled",), RAN),
    "shutdown": Path(its_worker_says_so, ("shutdown",), RAN),
    "stale_discard": Path(its_lease_comes_too_late, ("stale_discard",), STALE),
    "worker_spawn_failed": Path(its_worker_says_so, ("worker_spawn_failed", "success"), UNSTARTED),
    "worker_lost": Path(its_worker_is_lost, ("worker_lost", "success"), LOST),
}

FAILS = {
    "from_scratch": "partial",
    "cell": "partial",
    "batch": "partial",
    "pre_batch_processor": "failed",
    "post_batch_processor": "failed",
}
TABLE = {
    **{("success", task_type): "succeeded" for task_type in JOBS},
    **{("retryable_failure", task_type): "succeeded" for task_type in JOBS},
    **{("non_retryable_failure", task_type): status for task_type, status in FAILS.items()},
    **{("cancelled", task_type): "cancelled" for task_type in JOBS},
    **{("shutdown", task_type): status for task_type, status in FAILS.items()},
    **{("stale_discard", task_type): "cancelled" for task_type in JOBS},
    **{("worker_spawn_failed", task_type): "succeeded" for task_type in JOBS},
    **{("worker_lost", task_type): "succeeded" for task_type in JOBS},
}
"""How the job ends whose target ends so."""


@contextlib.contextmanager
def stage(kind, log):
    """Start a harness in which a target's first try can end as `kind`; prove its log once it has stopped."""
    scripted = PATHS[kind].ended_by is its_worker_says_so
    actors = [name for name in ACTOR_NAMES if not (scripted and name == "worker")]
    with Harness.start(actors, log=log) as harness:
        stand_in = put_scripted_worker(harness, TARGET, kind) if scripted else None
        try:
            yield harness
        finally:
            if stand_in is not None:
                stand_in.stop(timeout=5)
    report = verify_log(log)
    assert report.ok, "\n".join(render(report))


@pytest.mark.parametrize(("kind", "task_type"), TABLE)
def test_t2_every_end_returns_its_token_once_and_is_told(tmp_path, kind, task_type):
    path, log = PATHS[kind], tmp_path / "actors.jsonl"
    with stage(kind, log) as harness:
        path.ended_by(harness, JOBS[task_type])
        result = harness.expect("harness", JobFinished, timeout=10).result
        harness.settle()
        assert result.status == TABLE[kind, task_type]
        assert result.rows_written + result.rows_dropped + result.rows_pending == 1
        tries = returned_once(harness, kind)
        assert tuple(outcome for _, outcome in tries) == path.ends
        assert_nothing_is_held(harness)
    assert told_of_releases(log, tries) == path.ends
    assert told_of_try(log, tries[0][0].task_execution_id) == path.told


def returned_once(harness, kind):
    """Check that each lease comes back once and is accepted; return the target's tries and their outcomes."""
    leases, returned, refused = [], [], []
    for delivery in harness.transcript.deliveries():
        message = delivery.message
        if isinstance(message, TaskLeasesDecided):
            leases += message.leases
        elif isinstance(message, TaskLeasesReturned):
            returned += [release for release in message.releases if release.result.released]
            refused += [release.result.reason for release in message.releases if not release.result.released]
    ids = [lease.lease_id for lease in leases]
    assert len(set(ids)) == len(ids)
    assert sorted(release.lease.lease_id for release in returned) == sorted(ids)
    # What a lost worker had given back may be on its way while the scheduler gives it back for it.
    assert set(refused) <= ({"duplicate"} if kind == "worker_lost" else set())
    return [
        (release.lease.correlation, release.outcome.kind)
        for release in returned
        if release.lease.correlation.task_column == TARGET
    ]


def assert_nothing_is_held(harness):
    """All counters are zero."""
    tasks = harness.system.snapshot("task_admission").state
    view = tasks.view
    assert tasks.active_leases == 0
    assert view.leased_resources == {}
    assert (view.leased_resources_by_group, view.running_by_group) == ({}, {})
    assert view.policy_debt_by_group_resource == {}
    requests = harness.system.snapshot("request_admission").state
    assert all(model.aggregate_in_flight == 0 for model in requests.provider_models)
    scheduler = harness.system.snapshot("scheduler").state
    assert (scheduler.queued, scheduler.leased, scheduler.deferred) == (0, 0, 0)
    worker = harness.system.snapshot("worker").state
    assert (worker.tokens_held, worker.threads_busy, worker.attempts_in_flight) == (0, 0, 0)


def told(log, execution):
    """Return the log's events about one try of a task."""
    return [
        line.record
        for line in read_log(log)
        if isinstance(line.record, EventRecord) and line.record.execution == execution
    ]


def told_of_releases(log, tries):
    return tuple(
        record.reason_or_outcome
        for about, _ in tries
        for record in told(log, about.task_execution_id)
        if record.event_kind == "task_lease_released"
    )


def told_of_try(log, execution):
    """Return what the log says of a try from its lease to its return."""
    kinds = [record.event_kind for record in told(log, execution)]
    first, last = kinds.index("task_lease_acquired"), kinds.index("task_lease_released")
    return tuple(kinds[first : last + 1])


def test_the_table_has_every_outcome_for_every_type_of_task():
    assert set(PATHS) == set(get_args(TaskOutcomeKind))
    assert set(JOBS) == set(get_args(TaskType))
    assert set(TABLE) == set(product(get_args(TaskOutcomeKind), get_args(TaskType)))
