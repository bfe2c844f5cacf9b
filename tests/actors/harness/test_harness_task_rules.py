"""Rules T1, T2, T3, T6 and T7, on real actors with messages between them."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messages import CancelJob, Job, JobAccepted, JobFinished, JobRejected, Limits, PythonColumn, SubmitJob
from messages._base import MessageRejected
from messages.job import SequenceColumn
from messages.supervision import GetSnapshot, HandlerFailed
from messages.task_admission import (
    AcquireTaskLeases,
    ReturnTaskLeases,
    TaskLease,
    TaskLeaseReturn,
    TaskLeasesDecided,
    TaskLeasesReturned,
)
from messages.tasks import TaskOutcome
from messages.telemetry import RecordEvents
from messages.worker import ExecuteTasks
from tests.actors.harness.lease_builders import (
    NOTHING_CHANGED,
    TaskSide,
    a_chat_job,
    a_selection,
    configure_by_hand,
)


def a_job(*, rows=1, limits=None, **columns):
    return Job(name="a job", rows=rows, columns=columns or {"n": SequenceColumn()}, limits=limits or Limits())


def use_gpu(n):
    return n


# -- T1 ------------------------------------------------------------------------------------------------


def test_t1_every_start_carries_a_lease_that_was_granted_before(start):
    harness = start()
    harness.send("scheduler", SubmitJob(a_chat_job()))
    harness.expect("harness", JobFinished)
    granted, started = set(), []
    for delivery in harness.transcript.deliveries():
        message = delivery.message
        if isinstance(message, TaskLeasesDecided):
            granted |= {lease.lease_id for lease in message.leases}
        elif isinstance(message, ExecuteTasks):
            assert {begun.lease.lease_id for begun in message.starts} <= granted
            started += [begun.lease.lease_id for begun in message.starts]
    assert len(started) == len(set(started)) == 1 + 6 + 6


def test_t1_without_a_lease_nothing_is_started(start):
    harness = start("scheduler", "worker", "storage", "request_admission", "telemetry")
    admission = harness.probe("task_admission")
    harness.send("scheduler", SubmitJob(a_job()))
    configure_by_hand(admission)
    admission.expect(AcquireTaskLeases)
    harness.expect_none("worker", ExecuteTasks)


# -- T2, T3 --------------------------------------------------------------------------------------------


def test_t2_a_returned_lease_frees_what_it_held(start):
    tasks = TaskSide(start("task_admission"), submission=1)
    (lease,) = tasks.acquire(a_selection(1)).leases
    assert tasks.acquire(a_selection(2)).denials[0].reason == "no_capacity"
    assert tasks.give_back(lease).reason == "released"
    assert [lease.task_id for lease in tasks.acquire(a_selection(2)).leases] == [2]


def test_t2_a_second_return_frees_nothing_and_is_a_duplicate(start):
    harness = start("task_admission")
    tasks = TaskSide(harness, submission=2)
    first, _held = tasks.acquire(a_selection(1), a_selection(2)).leases
    tasks.give_back(first)
    assert tasks.give_back(first).reason == "duplicate"
    assert available(harness, "submission") == 1
    assert diagnostics(harness) == [(first.lease_id, "duplicate")]


def test_t2_a_duplicate_is_known_however_long_ago_the_lease_was_returned(start):
    harness = start("task_admission")
    tasks = TaskSide(harness, submission=1)
    (oldest,) = tasks.acquire(a_selection(0)).leases
    tasks.give_back(oldest)
    for task_id in range(1, 50):
        (lease,) = tasks.acquire(a_selection(task_id)).leases
        tasks.give_back(lease)
    assert tasks.give_back(oldest).reason == "duplicate"
    assert diagnostics(harness) == [(oldest.lease_id, "duplicate")]


def test_t2_a_token_of_another_generation_frees_nothing(start):
    assert refused(start, generation=2) == "wrong_controller_generation"


def test_t2_a_token_whose_task_does_not_match_frees_nothing(start):
    assert refused(start, task_id=99) == "stale_lease"


def test_t2_an_id_that_was_never_issued_frees_nothing(start):
    assert refused(start, lease_id=12345) == "unknown_lease"


def refused(start, **changes):
    """Return a real lease with `changes`; check that nothing was freed; return the event's reason."""
    harness = start("task_admission")
    tasks = TaskSide(harness, submission=1)
    (lease,) = tasks.acquire(a_selection(1)).leases
    forged = msgspec.structs.replace(lease, **changes)
    result = tasks.give_back(forged)
    assert not result.released
    assert available(harness, "submission") == 0
    assert diagnostics(harness) == [(forged.lease_id, result.reason)]
    assert tasks.give_back(lease).released
    return result.reason


def test_t3_returning_never_fails_whatever_is_returned(start):
    harness = start("task_admission")
    worker = harness.probe("worker")
    item = a_selection(1).item
    for lease_id in (-1, 0, 1, 10**15):  # before any job, and so before any lease
        lease = TaskLease(lease_id, 1, 1, item.group, item.resource_request, 0.0, item.correlation)
        returned = ReturnTaskLeases([TaskLeaseReturn(lease, TaskOutcome("worker_lost"))])
        worker.send("task_admission", returned)
        release = harness.probe("scheduler").expect(TaskLeasesReturned).releases[0]
        assert release.result.reason == "unknown_lease"
    worker.send("task_admission", ReturnTaskLeases([]))
    harness.expect_none("scheduler", HandlerFailed)
    harness.expect_none("worker", MessageRejected)


@given(
    steps=st.lists(st.tuples(st.sampled_from(["acquire", "return"]), st.integers(0, 7)), max_size=25),
    limit=st.integers(1, 4),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_t2_however_often_tokens_are_returned_the_accounts_are_right(start, steps, limit):
    harness = start("task_admission")
    tasks = TaskSide(harness, submission=limit)
    held, issued = {}, []
    for kind, number in steps:
        if kind == "acquire":
            for lease in tasks.acquire(a_selection(number)).leases:
                held[lease.lease_id] = lease
                issued.append(lease)
        elif issued:
            lease = issued[number % len(issued)]
            assert tasks.give_back(lease).released == (held.pop(lease.lease_id, None) is not None)
        assert available(harness, "submission") == limit - len(held)
    harness.stop()


# -- T6 ------------------------------------------------------------------------------------------------


def test_t6_a_lease_for_a_selection_gone_stale_is_returned_before_any_worker_starts(start):
    harness = start("scheduler", "worker", "storage", "request_admission", "telemetry")
    admission = harness.probe("task_admission")
    harness.send("scheduler", SubmitJob(a_job()))
    configure_by_hand(admission)
    (selection,) = admission.expect(AcquireTaskLeases).selections
    harness.send("scheduler", CancelJob())  # discards what is queued, while the lease is being decided
    harness.settle()
    item = selection.item
    lease = TaskLease(1, 1, item.task_id, item.group, item.resource_request, 0.0, item.correlation)
    admission.send("scheduler", TaskLeasesDecided([lease], [], NOTHING_CHANGED))
    (returned,) = admission.expect(ReturnTaskLeases, sender="scheduler").returns
    assert (returned.lease, returned.outcome.kind) == (lease, "stale_discard")
    harness.expect_none("worker", ExecuteTasks)
    stale = [event for event in harness.emitted("scheduler") if event.event_kind == "stale_selection"]
    assert [event.task_lease_id for event in stale] == [1]


# -- T7 ------------------------------------------------------------------------------------------------


def test_t7_a_lease_takes_all_of_its_amounts_or_none(start):
    harness = start("task_admission")
    tasks = TaskSide(harness, submission=10, gpu=2, local=1)
    assert len(tasks.acquire(a_selection(1, submission=1, gpu=1)).leases) == 1
    denied = tasks.acquire(a_selection(2, submission=1, gpu=2, local=1)).denials
    assert [(denial.reason, denial.diagnostics) for denial in denied] == [
        ("no_capacity", {"resource": "gpu"})
    ]
    assert [available(harness, name) for name in ("submission", "gpu", "local")] == [9, 1, 1]


def test_t7_a_job_whose_task_exceeds_a_limit_is_refused_with_resource_and_numbers(start):
    harness = start()
    column = PythonColumn(function=use_gpu, resources={"gpu": 3})
    limits = Limits(resources={"gpu": 2})
    harness.send("scheduler", SubmitJob(a_job(n=SequenceColumn(), used=column, limits=limits)))
    (problem,) = harness.expect("harness", JobRejected).problems
    assert all(part in str(problem) for part in ("gpu", "3", "2"))
    harness.expect_none("task_admission", AcquireTaskLeases)
    harness.expect_none("harness", JobAccepted)


# -- helpers -------------------------------------------------------------------------------------------


def available(harness, resource):
    return harness.ask("task_admission", GetSnapshot()).state.view.resources_available[resource]


def diagnostics(harness):
    """The release diagnostics told to telemetry so far, which a probe received."""
    harness.settle()
    told = [
        event
        for message in harness.probe("telemetry").received
        if isinstance(message, RecordEvents)
        for event in message.events
        if event.event_kind == "release_diagnostic"
    ]
    assert told == [
        event for event in harness.emitted("task_admission") if event.event_kind == "release_diagnostic"
    ]
    return [(event.task_lease_id, event.reason_or_outcome) for event in told]
