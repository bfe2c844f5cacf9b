"""A job that ends early, and how every job is closed (R11, R13, and what happens when an actor fails)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.scheduler.phases.phase import DRAIN_SECONDS
from messages.job import Problem
from messages.scheduler import JobCancelling, JobFinished
from messages.storage import CloseRun, LoadRowGroup, StorageFailed, StoreRowGroup
from messages.supervision import HandlerFailed
from messages.task_admission import AcquireTaskLeases, ReturnTaskLeases
from messages.tasks import TaskOutcome
from messages.telemetry import CloseRunLog, GetCapacityPlan
from messages.worker import CancelTasks, ReleaseJob
from tests.actors.scheduler.control_builders import a_generator, a_group, a_job_plan
from tests.actors.scheduler.scheduler_world import World, failure, retryable

DISK_FULL = Problem("out", "no space left", "make room")


def world_of(*generators, **plan):
    settings_ = {"rows": 4, "row_group_size": 2, **plan}
    world = World(
        lambda run_id: a_job_plan(*(generators or (a_generator("a"),)), run_id=run_id, **settings_),
        source_fields=settings_.get("source_fields", ()),
        source_rows=settings_["rows"],
    )
    return world.submit()


def assert_ended(world, status, *, written=0, dropped=0, pending=0):
    result = world.result
    assert (result.status, result.rows_written, result.rows_dropped, result.rows_pending) == (
        status,
        written,
        dropped,
        pending,
    )
    assert result.rows_requested == written + dropped + pending
    assert world.phase == "idle"
    assert world.core.next_deadline() is None


# -- R11 -----------------------------------------------------------------------------------------------


def test_r11_cancel_ends_running_work_and_keeps_what_is_stored():
    world = world_of(rows=6, concurrency=2)
    world.finish("a", 0)
    world.finish("a", 1)
    world.cancel("enough")
    assert JobCancelling("run-1") in world.client
    assert world.sent_to("worker", CancelTasks) == [CancelTasks("run-1")]
    assert_ended(world, "cancelled", written=2, pending=4)
    assert world.result.first_error == "enough"
    assert world.leases_out() == 0
    assert ("cancelled", "cancelled") in world.events


def test_r11_a_second_cancel_is_harmless():
    world = world_of()
    world.stubborn = True
    world.cancel("first")
    world.cancel("second")
    assert world.client.count(JobCancelling("run-1")) == 2
    assert len(world.sent_to("worker", CancelTasks)) == 1
    assert world.phase == "stopping"
    world.finish_all()
    world.cancel("third")
    assert world.client[-1] == JobCancelling(None)
    assert world.result.first_error == "first"


def test_r11_nothing_is_admitted_after_a_cancel():
    world = world_of(
        a_generator("a"), a_generator("b", upstream=("a",)), resource_limits={"submission": 2}, rows=8
    )
    world.stubborn = True
    before = len(world.sent_to("task_admission", AcquireTaskLeases))
    world.cancel()
    world.finish("a", 0)
    world.finish("a", 1)
    assert len(world.sent_to("task_admission", AcquireTaskLeases)) == before
    assert_ended(world, "cancelled", pending=8)


def test_r11_a_row_group_that_is_finished_by_running_work_is_kept():
    world = world_of(rows=2)
    world.stubborn = True
    world.cancel()
    world.finish("a", 0)
    world.finish("a", 1)
    assert_ended(world, "cancelled", written=2)


def test_r11_a_lease_granted_while_the_job_is_cancelled_goes_back_unstarted():
    world = world_of(rows=2, row_group_size=2, resource_limits={"submission": 1})
    world.hold_back("task_admission")
    world.account_for("a", 0)
    world.cancel()
    assert world.phase == "stopping"
    world.let_through("task_admission")
    (back,) = world.sent_to("task_admission", ReturnTaskLeases)
    assert {returned.outcome.kind for returned in back.returns} <= {"stale_discard", "shutdown"}
    assert world.tasks() == []
    assert world.leases_out() == 0
    assert_ended(world, "cancelled", pending=2)


def test_r11_deferred_work_is_given_up():
    world = world_of(rows=2)
    world.finish("a", 0, retryable(retry_after=1000.0))
    world.cancel()
    assert_ended(world, "cancelled", pending=2)


def test_r11_failures_after_a_cancel_drop_nothing():
    """What fails because it was cancelled is pending, not dropped: a resumed run does it again."""
    world = world_of(rows=2)
    world.stubborn = True
    world.cancel()
    world.finish("a", 0, failure())
    world.finish("a", 1, retryable())
    assert_ended(world, "cancelled", pending=2)
    assert world.dropped == []


def test_r11_a_cancel_while_the_source_is_loading_waits_for_nothing():
    world = World(
        lambda run_id: a_job_plan(a_generator("a"), run_id=run_id, source_fields=("s",)),
        source_fields=("s",),
        source_rows=4,
    )
    loads = []
    world.answers[LoadRowGroup] = lambda message: loads.append(message) or []
    world.submit()
    world.cancel()
    assert len(loads) == 2
    assert_ended(world, "cancelled", pending=4)


def test_r11_a_row_group_on_its_way_to_storage_is_waited_for():
    world = world_of(rows=2)
    world.hold_back("storage")
    world.finish_all()
    world.cancel()
    assert world.phase == "stopping"
    world.let_through("storage")
    assert_ended(world, "cancelled", written=2)


def test_r11_a_cancel_during_closing_changes_nothing():
    world = world_of(rows=2)
    world.hold_back("telemetry")
    world.finish_all()
    assert world.phase == "closing"
    world.cancel()
    world.let_through("telemetry")
    assert_ended(world, "succeeded", written=2)


def test_r11_tokens_that_never_come_back_end_the_wait_not_the_system():
    world = world_of(rows=2)
    world.stubborn = True
    world.now = 10.0
    world.cancel("enough")
    world.at(10.0 + DRAIN_SECONDS - 0.1)
    assert world.phase == "stopping"
    assert world.core.next_deadline() == 10.0 + DRAIN_SECONDS
    world.at(10.0 + DRAIN_SECONDS)
    assert_ended(world, "failed", pending=2)
    assert world.result.first_error == "enough; 2 task leases were not returned in time"
    late = list(world.running.values())
    world.running.clear()
    world.submit()
    world.give_back(*((start.lease, TaskOutcome("success", "late")) for start in late))
    world.finish_all()
    assert [stored.columns for stored in world.stored.values()] == [{"a": ["v", "v"]}]


# -- storage and handlers that fail --------------------------------------------------------------------


def test_r13_a_row_group_that_cannot_be_stored_fails_the_job_and_is_pending():
    world = world_of(rows=6, concurrency=2)
    world.finish("a", 0)
    world.finish("a", 1)
    world.answers[StoreRowGroup] = lambda message: [
        StorageFailed(message.run_id, message.row_group, DISK_FULL)
    ]
    world.finish("a", 2)
    world.finish("a", 3)
    assert_ended(world, "failed", written=2, pending=4)
    assert world.result.first_error == str(DISK_FULL)
    assert world.leases_out() == 0


def test_r13_a_source_that_cannot_be_read_on_fails_the_job():
    world = World(
        lambda run_id: a_job_plan(a_generator("a"), run_id=run_id, source_fields=("s",)),
        source_fields=("s",),
        source_rows=4,
    )
    world.answers[LoadRowGroup] = lambda message: [
        StorageFailed(message.run_id, message.row_group, DISK_FULL)
    ]
    world.submit()
    assert_ended(world, "failed", pending=4)


def test_a_failure_of_storage_replaces_no_earlier_reason_to_stop():
    world = world_of(rows=2)
    world.stubborn = True
    world.cancel("enough")
    world.tell(StorageFailed("run-1", None, DISK_FULL))
    world.tell(StorageFailed("run-0", None, DISK_FULL))
    world.finish_all()
    assert_ended(world, "cancelled", written=2)


def test_a_handler_that_fails_ends_the_job_and_names_the_actor():
    world = world_of(rows=2)
    world.tell(HandlerFailed("worker", "ExecuteTasks", "KeyError at runner.py:7"))
    assert_ended(world, "failed", pending=2)
    assert world.result.first_error == "actor worker failed on ExecuteTasks: KeyError at runner.py:7"


def test_a_handler_that_fails_after_a_dropped_row_is_the_reason_that_is_told():
    world = world_of(rows=2)
    world.finish("a", 0, failure())
    world.tell(HandlerFailed("worker", "ExecuteTasks", "KeyError"))
    assert "failed on ExecuteTasks" in world.result.first_error


@pytest.mark.parametrize("step", [ReleaseJob, GetCapacityPlan, CloseRunLog])
def test_closing_passes_over_a_step_that_fails(step):
    actor = {ReleaseJob: "worker", GetCapacityPlan: "telemetry", CloseRunLog: "telemetry"}[step]
    world = world_of(rows=2)
    world.answers[step] = lambda message: [HandlerFailed(actor, step.__name__, "KeyError")]
    world.finish_all()
    assert_ended(world, "succeeded", written=2)
    assert world.sent_to("telemetry", CloseRunLog) == [CloseRunLog("run-1", reply_to="scheduler")]
    assert world.result.output == "closed"


@pytest.mark.parametrize(
    "answer",
    [
        lambda message: StorageFailed(message.run_id, None, DISK_FULL),
        lambda _: HandlerFailed("storage", "CloseRun", "KeyError"),
    ],
    ids=["refused", "failed"],
)
def test_a_run_that_storage_cannot_close_has_failed_and_ends_all_the_same(answer):
    world = world_of(rows=2)
    world.answers[CloseRun] = lambda message: [answer(message)]
    world.finish_all()
    assert_ended(world, "failed", written=2)
    assert "no space left" in world.result.first_error or "CloseRun" in world.result.first_error


def test_a_failure_elsewhere_does_not_hurry_closing():
    """The result is storage's, however many other handlers fail while it is awaited."""
    world = world_of(rows=2)
    world.hold_back("worker")
    start = list(world.running.values())
    world.running.clear()
    world.give_back(*((each.lease, TaskOutcome("success", "v")) for each in start))
    assert world.phase == "closing"
    for _ in range(6):
        world.tell(HandlerFailed("telemetry", "RecordEvents", "KeyError"))
        world.tell(StorageFailed("run-1", None, DISK_FULL))
    assert world.phase == "closing"
    world.let_through("worker")
    assert_ended(world, "succeeded", written=2)
    assert world.result.output == "closed"


def test_closing_releases_the_worker_settles_requests_and_closes_storage_before_the_log():
    world = world_of(rows=2)
    world.finish_all()
    tail = [(item.to, type(item.message).__name__) for item in world.sent if item.to != "client"]
    steps = [
        ("worker", "ReleaseJob"),
        ("request_admission", "RegisterRequestResources"),
        ("telemetry", "GetCapacityPlan"),
        ("storage", "CloseRun"),
        ("telemetry", "CloseRunLog"),
    ]
    assert [step for step in tail if step in steps][-5:] == steps
    assert ("scheduler_job_completed", "succeeded") in world.events
    assert sum(isinstance(message, JobFinished) for message in world.client) == 1


# -- anything at all -----------------------------------------------------------------------------------

OUTCOMES = {
    "success": TaskOutcome("success", "v"),
    "boom": failure(),
    "timeout": retryable("provider_timeout"),
    "limited": retryable("rate_limited"),
    "lost": TaskOutcome("worker_lost"),
}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_r13_rows_are_conserved_and_every_token_returns_whatever_happens(data):
    """Any small graph, any outcomes in any order, tokens overtaking requests, and perhaps a cancel."""
    generators = [a_generator("a", group=a_group("a", weight=3, limit=1))]
    for name in data.draw(st.sampled_from(["", "b", "bc", "bcd"])):
        names = [generator.name for generator in generators]
        upstream = tuple(sorted(data.draw(st.sets(st.sampled_from(names), max_size=2))))
        task_type = data.draw(st.sampled_from(("cell", "cell", "batch")))
        generators.append(a_generator(name, task_type=task_type, upstream=upstream))
    world = world_of(
        *generators,
        rows=data.draw(st.integers(1, 7)),
        row_group_size=3,
        concurrency=data.draw(st.integers(1, 3)),
        resource_limits={"submission": data.draw(st.integers(1, 4))},
        max_retries=1,
    )
    cancel_at = data.draw(st.integers(0, 60))
    for step in range(400):
        if any(isinstance(message, JobFinished) for message in world.client):
            break
        if step == cancel_at:
            world.cancel()
            continue
        if not world.running:
            if world.held_back:
                world.let_through("task_admission")
            else:
                world.at(world.core.next_deadline())
            continue
        if data.draw(st.booleans()):
            world.hold_back("task_admission")
        else:
            world.let_through("task_admission")
        if not world.running:
            continue
        start = world.running[data.draw(st.sampled_from(sorted(world.running)))]
        kinds = ["success"] * 6 + sorted(OUTCOMES) if step < 60 else ["success"]
        outcome = OUTCOMES[data.draw(st.sampled_from(kinds))]
        if outcome.kind == "success" and start.task.row_index is None:
            outcome = TaskOutcome("success", ["v"] * start.rows)
        world.account_for_start(start, outcome)
    result = world.result
    assert result.rows_requested == result.rows_written + result.rows_dropped + result.rows_pending
    assert result.rows_written == sum(stored.rows for stored in world.stored.values())
    assert result.rows_dropped == len({row.row for row in world.dropped}) == len(world.dropped)
    assert (result.rows_pending == 0) or result.status == "cancelled"
    assert world.leases_out() == 0
    assert world.phase == "idle"
