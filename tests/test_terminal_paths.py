"""Every way in which a task can end, for every type of task, on real actors (T2, T6, T14, R4, R5, R11).

How a task ends is decided by the function that it runs, by a worker whose runner says what is asked for,
by the loss of the worker, or by the scheduler where a lease comes too late.
"""

from __future__ import annotations

import asyncio
import contextlib
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
    tries = []

    async def first():
        tries.append(1)
        if len(tries) == 1:
            await for_ever()

    return first


# -- who ends it ----------------------------------------------------------------------------------------


def starts_target(message):
    return any(start.task.column == TARGET for start in message.starts)


def running(harness, job):
    """Submit a job and return once its target has been given to the worker."""
    harness.send("scheduler", SubmitJob(job))
    harness.expect("worker", ExecuteTasks, where=starts_target)


def it_works(harness, job_of, _kind):
    harness.send("scheduler", SubmitJob(job_of(nothing)))


def it_raises(harness, job_of, _kind):
    harness.send("scheduler", SubmitJob(job_of(failing)))


def it_is_cancelled(harness, job_of, _kind):
    running(harness, job_of(for_ever))
    harness.send("scheduler", CancelJob())


def its_worker_is_lost(harness, job_of, _kind):
    running(harness, job_of(for_ever_once()))
    harness.send("worker", CrashActor())


def its_lease_comes_too_late(harness, job_of, _kind):
    """The cancel reaches the scheduler before the lease that is on its way to it."""

    def overtake(_sender, _to, message):
        if isinstance(message, TaskLeasesDecided) and any(
            lease.correlation.task_column == TARGET for lease in message.leases
        ):
            harness.send("scheduler", CancelJob())

    harness.system.router.add_tap(overtake)
    harness.send("scheduler", SubmitJob(job_of(nothing)))


def its_worker_says_so(harness, job_of, kind):
    actor = put_scripted_worker(harness, TARGET, kind)
    harness.send("scheduler", SubmitJob(job_of(nothing)))
    return actor


# -- the table ------------------------------------------------------------------------------------------


class Path(NamedTuple):
    """Who ends the target's first try, and how its tries end, one after another."""

    ended_by: Callable
    ends: tuple[str, ...]


PATHS = {
    "success": Path(it_works, ("success",)),
    "retryable_failure": Path(its_worker_says_so, ("retryable_failure", "success")),
    "non_retryable_failure": Path(it_raises, ("non_retryable_failure",)),
    "cancelled": Path(it_is_cancelled, ("cancelled",)),
    "shutdown": Path(its_worker_says_so, ("shutdown",)),
    "stale_discard": Path(its_lease_comes_too_late, ("stale_discard",)),
    "worker_spawn_failed": Path(its_worker_says_so, ("worker_spawn_failed", "success")),
    "worker_lost": Path(its_worker_is_lost, ("worker_lost", "success")),
}

TABLE = {
    **{("success", task_type): "succeeded" for task_type in JOBS},
    **{("retryable_failure", task_type): "succeeded" for task_type in JOBS},
    **{("non_retryable_failure", task_type): "failed" for task_type in JOBS},
    **{("cancelled", task_type): "cancelled" for task_type in JOBS},
    **{("shutdown", task_type): "failed" for task_type in JOBS},
    **{("stale_discard", task_type): "cancelled" for task_type in JOBS},
    **{("worker_spawn_failed", task_type): "succeeded" for task_type in JOBS},
    **{("worker_lost", task_type): "succeeded" for task_type in JOBS},
}
"""How the job ends whose target ends so."""


@contextlib.contextmanager
def stage(path, log):
    """Start a harness for a path, and prove its log once it has stopped."""
    without_worker = path.ended_by is its_worker_says_so
    actors = [name for name in ACTOR_NAMES if not (without_worker and name == "worker")]
    with Harness.start(actors, log=log) as harness:
        yield harness
    report = verify_log(log)
    assert report.ok, "\n".join(render(report))


@pytest.mark.parametrize(("kind", "task_type"), TABLE)
def test_t2_every_end_returns_its_token_once_and_is_told(tmp_path, kind, task_type):
    path, log = PATHS[kind], tmp_path / "actors.jsonl"
    with stage(path, log) as harness:
        stand_in = path.ended_by(harness, JOBS[task_type], kind)
        result = harness.expect("harness", JobFinished, timeout=10).result
        harness.settle()
        assert result.status == TABLE[kind, task_type]
        assert result.rows_written + result.rows_dropped + result.rows_pending == 1
        assert_returned_once(harness, path.ends)
        assert_nothing_is_held(harness)
        if stand_in is not None:
            assert stand_in.proxy().core.get().held == 0
            stand_in.stop(timeout=5)
    assert logged_releases(log) == path.ends


def assert_returned_once(harness, ends):
    """Each lease of the target comes back once, accepted, with its outcome on it."""
    leases, returned = [], []
    for delivery in harness.transcript.deliveries():
        message = delivery.message
        if isinstance(message, TaskLeasesDecided):
            leases += [lease for lease in message.leases if lease.correlation.task_column == TARGET]
        elif isinstance(message, TaskLeasesReturned):
            assert all(release.result.reason == "released" for release in message.releases)
            returned += [
                release for release in message.releases if release.lease.correlation.task_column == TARGET
            ]
    assert tuple(release.outcome.kind for release in returned) == ends
    assert [release.lease.lease_id for release in returned] == [lease.lease_id for lease in leases]
    assert len({lease.lease_id for lease in leases}) == len(leases)


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
    with contextlib.suppress(TimeoutError):
        worker = harness.system.snapshot("worker").state
        assert (worker.tokens_held, worker.threads_busy, worker.attempts_in_flight) == (0, 0, 0)


def logged_releases(log):
    return tuple(
        line.record.reason_or_outcome
        for line in read_log(log)
        if isinstance(line.record, EventRecord)
        and line.record.event_kind == "task_lease_released"
        and line.record.correlation.task_column == TARGET
    )


def test_the_table_has_every_outcome_for_every_type_of_task():
    assert set(PATHS) == set(get_args(TaskOutcomeKind))
    assert set(JOBS) == set(get_args(TaskType))
    assert set(TABLE) == set(product(get_args(TaskOutcomeKind), get_args(TaskType)))
