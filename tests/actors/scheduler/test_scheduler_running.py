"""A job that runs: values, drops, retries and row groups, seen from outside (T1, T6, T14, R1 to R5, R13)."""

from __future__ import annotations

import msgspec
import pytest

from actors.scheduler.health_beat import HEALTH_SECONDS
from messages.scheduler import DroppedRow, GeneratorProgress
from messages.storage import LoadRowGroup, StoreRowGroup
from messages.task_admission import AcquireTaskLeases, ReturnTaskLeases
from messages.tasks import KeptAnswer, TaskOutcome
from tests.actors.scheduler.control_builders import a_generator, a_group, a_job_plan
from tests.actors.scheduler.scheduler_world import World, failure, retryable


def world_of(*generators, source_rows=0, **plan):
    settings = {"rows": 2, "row_group_size": 2, **plan}
    world = World(
        lambda run_id: a_job_plan(*generators, run_id=run_id, **settings),
        source_fields=settings.get("source_fields", ()),
        source_rows=source_rows,
    )
    return world.submit()


def assert_conserved(world):
    """R13: rows asked for = written + dropped + pending; what is dropped is said row by row."""
    result = world.result
    assert result.rows_requested == result.rows_written + result.rows_dropped + result.rows_pending
    assert result.rows_written == sum(stored.rows for stored in world.stored.values())
    assert result.rows_dropped == len(world.dropped) == sum(result.drop_reasons.values())
    assert len({row.row for row in world.dropped}) == len(world.dropped)
    assert world.leases_out() == 0
    assert world.phase == "idle"


def asked_for(world):
    """Return (column, row) of what leases were asked for last."""
    asked = world.sent_to("task_admission", AcquireTaskLeases)[-1]
    return [(selection.item.task.column, selection.item.task.row_index) for selection in asked.selections]


# -- values --------------------------------------------------------------------------------------------


def test_r1_a_job_of_dependent_columns_runs_to_its_end():
    world = world_of(a_generator("a"), a_generator("b", upstream=("a",)), rows=3)
    world.finish_all(lambda start: f"{start.task.column}{start.task.row_index}{start.inputs.get('a', '')}")
    assert {index: stored.columns for index, stored in world.stored.items()} == {
        0: {"a": ["a0", "a1"], "b": ["b0a0", "b1a1"]},
        1: {"a": ["a2"], "b": ["b2a2"]},
    }
    assert (world.result.status, world.result.rows_written) == ("succeeded", 3)
    assert world.result.output == "closed", "storage has the last word"
    assert world.result.models["m"].attempts == 3
    assert_conserved(world)


def test_source_fields_are_loaded_before_work_starts_and_given_to_tasks():
    world = world_of(a_generator("a", needs=("s",)), source_fields=("s",), source_rows=3, rows=3)
    assert world.start_of("a", 2).inputs == {"s": "s2"}
    assert [load.first_row for load in world.sent_to("storage", LoadRowGroup)] == [0, 2]
    world.finish_all(lambda start: start.inputs["s"].upper())
    assert world.stored[0].columns == {"s": ["s0", "s1"], "a": ["S0", "S1"]}
    assert_conserved(world)


def test_a_job_that_only_copies_its_source_needs_no_task():
    world = world_of(source_fields=("s",), source_rows=5, rows=5, concurrency=2)
    assert world.result.rows_written == 5
    assert world.sent_to("task_admission", AcquireTaskLeases) == []
    assert_conserved(world)


def test_a_job_without_rows_ends_at_once():
    world = world_of(a_generator("a"), rows=0)
    assert (world.result.status, world.result.rows_requested) == ("succeeded", 0)
    assert_conserved(world)


def test_r1_a_batch_is_given_every_surviving_rows_value():
    world = world_of(a_generator("a"), a_generator("all", task_type="batch", upstream=("a",)), rows=2)
    world.finish("a", 0, value="x")
    world.finish("a", 1, value="y")
    start = world.start_of("all")
    assert (start.inputs, start.first_row, start.rows) == ({"a": ["x", "y"]}, 0, 2)
    world.finish("all", value=["X", "Y"])
    assert world.stored[0].columns["all"] == ["X", "Y"]
    assert_conserved(world)


def test_r7_several_outputs_are_filled_by_one_task():
    world = world_of(a_generator("t", outputs=("p", "q")), rows=1)
    world.finish("t", 0, value=[1, 2])
    assert world.stored[0].columns == {"p": [1], "q": [2]}


def test_t1_every_start_carries_a_lease_of_its_own_task():
    world = world_of(a_generator("a"), rows=4, row_group_size=2)
    leases = [start.lease for start in world.running.values()]
    assert len({lease.lease_id for lease in leases}) == 4
    assert all(start.lease.correlation.row_index == start.task.row_index for start in world.running.values())


def test_no_more_runs_than_is_leased_and_the_rest_follows():
    world = world_of(a_generator("a"), rows=4, row_group_size=4, resource_limits={"submission": 2})
    assert world.tasks() == [("a", 0), ("a", 1)]
    world.finish("a", 1)
    assert world.tasks() == [("a", 0), ("a", 2)]
    blocked = world.core.snapshot(now=0.0).blocked
    assert (blocked.queued_count, blocked.dominant_reasons) == (1, ("no_capacity",))
    assert ("admission_blocked", "") in world.events


def test_groups_share_what_there_is():
    world = world_of(
        a_generator("a", group=a_group("a", weight=2)),
        a_generator("b"),
        rows=9,
        row_group_size=9,
        resource_limits={"submission": 6},
    )
    columns = [column for column, _ in world.tasks()]
    assert (columns.count("a"), columns.count("b")) == (4, 2)


# -- row groups ----------------------------------------------------------------------------------------


def test_r2_row_groups_in_flight_are_bounded_also_when_storage_is_slow():
    world = world_of(a_generator("a"), rows=6, row_group_size=1, concurrency=2)
    world.hold_back("storage")
    world.finish("a", 0)
    world.finish("a", 1)
    assert world.tasks() == []
    assert world.core.snapshot(now=0.0).row_groups_in_flight == 2
    world.let_through("storage")
    assert world.tasks() == [("a", 2), ("a", 3)]
    world.finish_all()
    assert_conserved(world)


def test_r10_a_row_group_is_stored_as_soon_as_it_is_finished_and_once():
    world = world_of(a_generator("a"), rows=4, row_group_size=2)
    world.finish("a", 2)
    world.finish("a", 3)
    assert [store.row_group for store in world.sent_to("storage", StoreRowGroup)] == [1]
    world.finish_all()
    assert [store.row_group for store in world.sent_to("storage", StoreRowGroup)] == [1, 0]
    assert_conserved(world)


# -- R3, R5: drops -------------------------------------------------------------------------------------


def test_r5_a_failure_that_cannot_pass_drops_its_row_with_the_cause():
    world = world_of(a_generator("a"), a_generator("b", upstream=("a",)))
    world.finish("a", 0, failure("wrong_shape", message="three values", causes=("ValueError: 3",)))
    world.finish_all()
    assert world.stored[0].dropped == (
        DroppedRow(0, "a", 1, "wrong_shape", "three values", ("ValueError: 3",)),
    )
    assert world.stored[0].columns == {"a": ["v"], "b": ["v"]}
    assert world.result.status == "partial"
    assert world.result.first_error == "column a: three values"
    assert world.result.drop_reasons == {"wrong_shape": 1}
    assert_conserved(world)


def test_r5_the_first_cause_is_kept():
    world = world_of(a_generator("a"))
    world.finish("a", 1, failure(message="first"))
    world.finish("a", 0, failure(message="second"))
    assert world.result.first_error == "column a: first"
    assert (world.result.rows_written, world.result.rows_dropped) == (0, 2)
    assert_conserved(world)


def test_r3_a_dropped_row_unblocks_the_batch_and_is_not_in_it():
    world = world_of(
        a_generator("a"), a_generator("all", task_type="batch", upstream=("a",)), rows=3, row_group_size=3
    )
    world.finish("a", 0, value="x")
    world.finish("a", 2, value="z")
    world.finish("a", 1, failure())
    start = world.start_of("all")
    assert (start.inputs, start.rows) == ({"a": ["x", "z"]}, 2)
    world.finish("all", value=["X", "Z"])
    assert world.stored[0].columns == {"a": ["x", "z"], "all": ["X", "Z"]}
    assert_conserved(world)


def test_r3_a_row_dropped_while_a_batch_runs_shifts_nobodys_value():
    world = world_of(
        a_generator("a"),
        a_generator("side"),
        a_generator("all", task_type="batch", upstream=("a",)),
        rows=3,
        row_group_size=3,
    )
    for row in (0, 1, 2):
        world.finish("a", row, value=f"a{row}")
    world.finish("side", 0, failure())
    world.finish("all", value=["A0", "A1", "A2"])
    world.finish_all()
    assert world.stored[0].columns["all"] == ["A1", "A2"]
    assert_conserved(world)


def test_r3_a_batch_over_survivors_that_loses_another_row_meanwhile_shifts_nobodys_value():
    world = world_of(
        a_generator("a"),
        a_generator("side"),
        a_generator("all", task_type="batch", upstream=("a",)),
        rows=3,
        row_group_size=3,
    )
    world.finish("a", 0, failure())
    world.finish("a", 1)
    world.finish("a", 2)
    world.finish("side", 1, failure())
    world.finish("all", value=["A1", "A2"])
    world.finish_all()
    assert world.stored[0].columns["all"] == ["A2"]
    assert_conserved(world)


@pytest.mark.parametrize("task_type", ["batch", "from_scratch"])
def test_r3_a_failed_row_group_task_drops_the_rows_it_covers(task_type):
    world = world_of(
        a_generator("all", task_type=task_type), a_generator("z", upstream=("all",)), rows=4, row_group_size=2
    )
    first = next(start for start in world.running.values() if start.task.row_group == 0)
    del world.running[first.lease.lease_id]
    world.give_back((first.lease, failure("boom")))
    assert [row.row for row in world.stored[0].dropped] == [0, 1]
    world.finish_all(lambda start: ["p", "q"] if start.task.row_index is None else "v")
    assert (world.result.rows_written, world.result.rows_dropped) == (2, 2)
    assert_conserved(world)


def test_r3_a_failure_of_a_row_that_is_gone_drops_nothing_twice():
    world = world_of(a_generator("a"), a_generator("b"))
    world.finish("a", 0, failure("first"))
    world.finish("b", 0, failure("second"))
    world.finish_all()
    assert [row.reason for row in world.dropped] == ["first"]
    assert_conserved(world)


def test_r3_a_success_of_a_row_that_is_gone_writes_nothing():
    world = world_of(a_generator("a"), a_generator("b"), rows=1, row_group_size=1)
    world.finish("a", 0, failure())
    assert world.stored[0].rows == 0
    assert world.phase == "running", "a token is still out"
    world.finish("b", 0)
    assert world.result.rows_dropped == 1
    assert_conserved(world)


def test_r3_queued_tasks_of_a_dropped_row_never_start():
    world = world_of(a_generator("a"), a_generator("b"), resource_limits={"submission": 2})
    assert world.tasks() == [("a", 0), ("b", 0)]
    world.finish("a", 0, failure())
    world.finish_all()
    starts = [start for message in world.sent_to("worker")[1:] for start in getattr(message, "starts", ())]
    assert [(start.task.column, start.task.row_index) for start in starts] == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
        ("b", 1),
    ]
    assert_conserved(world)


# -- T6 ------------------------------------------------------------------------------------------------


def test_t6_a_lease_granted_for_a_row_that_was_dropped_meanwhile_goes_back_unstarted():
    world = world_of(a_generator("a"), a_generator("b"), resource_limits={"submission": 3})
    assert world.tasks() == [("a", 0), ("a", 1), ("b", 0)]
    world.hold_back("task_admission")
    world.account_for("a", 0)
    assert asked_for(world) == [("b", 1)]
    world.account_for("a", 1, failure())
    world.let_through("task_admission")
    assert world.tasks() == [("b", 0)]
    assert ("stale_selection", "") in world.events
    (back,) = world.sent_to("task_admission", ReturnTaskLeases)
    assert [returned.outcome.kind for returned in back.returns] == ["stale_discard"]
    assert world.leases_out() == 1
    world.finish_all()
    assert_conserved(world)


def test_t6_a_row_that_goes_takes_no_other_rows_work_with_it():
    """It is dropped while its group's next task, of another row, is asked for: that task starts."""
    world = world_of(
        a_generator("a", group=a_group("a", weight=9)),
        a_generator("b"),
        rows=3,
        row_group_size=3,
        resource_limits={"submission": 4},
    )
    assert world.tasks() == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]
    world.hold_back("task_admission")
    world.account_for("a", 0)
    assert asked_for(world) == [("b", 1)]
    world.account_for("a", 2, failure())
    world.let_through("task_admission")
    assert world.tasks() == [("a", 1), ("b", 0), ("b", 1)]
    world.finish_all()
    assert world.result.rows_written == 2
    assert_conserved(world)


def test_t2_a_job_does_not_close_over_a_lease_that_is_on_its_way():
    """Its last row goes, and is stored, while a lease for another of its columns is being granted."""
    world = world_of(
        a_generator("a"), a_generator("b"), a_generator("c"), rows=1, resource_limits={"submission": 2}
    )
    world.hold_back("task_admission")
    world.account_for("a", 0)
    assert asked_for(world) == [("c", 0)]
    world.account_for("b", 0, failure())
    assert (sorted(world.stored), world.phase) == ([0], "running")
    world.let_through("task_admission")
    assert world.kinds_sent_to("storage")[-1] == "CloseRun"
    assert_conserved(world)


# -- R4, T14: retries ----------------------------------------------------------------------------------


def test_r4_a_failure_that_may_pass_is_tried_again_after_its_wait():
    world = world_of(a_generator("a"))
    first = world.finish("a", 0, retryable())
    world.finish("a", 1)
    assert (world.core.next_deadline(), world.core.snapshot(now=0.0).deferred) == (1.0, 1)
    world.at(0.9)
    assert world.tasks() == []
    world.at(1.0)
    again = world.start_of("a", 0)
    assert again.lease.task_id == first.lease.task_id
    assert again.lease.lease_id != first.lease.lease_id
    assert again.lease.correlation.task_execution_id != first.lease.correlation.task_execution_id, (
        "every try is an execution of its own"
    )
    world.finish_all()
    assert {("retry_deferred", "provider_failure"), ("salvage_redispatched", "")} <= set(world.events)
    assert world.result.status == "succeeded"
    assert_conserved(world)


def test_r4_deferred_work_blocks_nothing_else():
    world = world_of(
        a_generator("a"), rows=3, row_group_size=1, concurrency=2, resource_limits={"submission": 1}
    )
    world.finish("a", 0, retryable(retry_after=50.0))
    world.finish("a", 1)
    world.finish("a", 2)
    assert sorted(world.stored) == [1, 2]
    world.at(50.0)
    world.finish("a", 0)
    assert_conserved(world)


def test_r14_the_answers_of_a_failed_try_go_with_the_tasks_next_start():
    world = world_of(a_generator("a"))
    answers = (KeptAnswer("first", b"1"), KeptAnswer("second", b"2"))
    world.finish("a", 0, msgspec.structs.replace(retryable("rate_limited"), answers=answers))
    world.at(1.0)
    assert (world.start_of("a", 0).answers, world.start_of("a", 1).answers) == (answers, ())
    world.finish("a", 0, TaskOutcome("worker_lost"))
    world.at(60.0)
    assert world.start_of("a", 0).answers == answers, "a lost worker does not take them along"
    world.finish_all()
    assert world.result.status == "succeeded"
    assert_conserved(world)


def test_r4_retries_that_are_used_up_drop_the_row_with_attempts_and_reason():
    world = world_of(a_generator("a"), max_retries=2)
    for _ in range(3):
        world.finish("a", 0, retryable("provider_timeout", message="no reply", causes=("TimeoutError",)))
        world.at(world.now + 60.0)
    world.finish("a", 1)
    assert world.dropped == [DroppedRow(0, "a", 3, "provider_timeout", "no reply", ("TimeoutError",))]
    assert world.result.drop_reasons == {"provider_timeout": 1}
    assert_conserved(world)


@pytest.mark.parametrize("kind", ["rate_limited", "queue_timeout"])
def test_r4_rate_limits_and_queue_timeouts_never_drop_a_row(kind):
    world = world_of(a_generator("a"), max_retries=0)
    world.finish("a", 1)
    for _ in range(30):
        world.finish("a", 0, retryable(kind))
        world.at(world.now + 60.0)
    world.finish("a", 0)
    assert (world.result.status, world.result.rows_written) == ("succeeded", 2)
    assert_conserved(world)


@pytest.mark.parametrize("outcome", ["worker_lost", "worker_spawn_failed"])
def test_r4_a_lost_worker_costs_no_row(outcome):
    world = world_of(a_generator("a"))
    world.finish("a", 0, TaskOutcome(outcome))
    world.finish("a", 1)
    world.at(5.0)
    world.finish_all()
    assert world.result.status == "succeeded"
    assert_conserved(world)


def test_r4_a_deferred_task_whose_row_is_dropped_is_not_tried_again():
    world = world_of(a_generator("a"), a_generator("b"))
    world.finish("a", 0, retryable())
    world.finish("b", 0, failure())
    world.at(60.0)
    assert world.tasks() == [("a", 1), ("b", 1)]
    world.finish_all()
    assert_conserved(world)


def test_r4_a_row_group_task_is_tried_again_as_a_whole():
    world = world_of(a_generator("all", task_type="batch"))
    world.finish("all", None, retryable())
    world.at(5.0)
    world.finish("all", value=["x", "y"])
    assert world.stored[0].columns == {"all": ["x", "y"]}
    assert_conserved(world)


def test_t14_nothing_is_tried_again_before_its_lease_has_been_accounted_for():
    world = world_of(a_generator("a"), rows=1, resource_limits={"submission": 1})
    start = world.start_of("a", 0)
    world.running.clear()
    world.hold_back("task_admission")
    world.give_back((start.lease, retryable()))
    world.at(30.0)
    assert (world.tasks(), world.core.next_deadline()) == ([], 30.0 + HEALTH_SECONDS)
    world.let_through("task_admission")
    assert world.core.next_deadline() == 31.0
    world.at(31.0)
    world.finish_all()
    assert_conserved(world)


@pytest.mark.parametrize(
    "forge", [{"generation": 9}, {"lease_id": 4711}, {"task_id": 4711}], ids=lambda forge: next(iter(forge))
)
def test_t14_an_outcome_counts_only_where_its_release_was_accepted(forge):
    world = world_of(a_generator("a"), rows=1)
    start = world.start_of("a", 0)
    forged = msgspec.structs.replace(start.lease, **forge)
    world.give_back((forged, TaskOutcome("success", "forged")), (forged, failure()))
    assert world.phase == "running"
    assert world.core.snapshot(now=0.0).leased == 1
    world.finish("a", 0, value="true")
    assert world.stored[0].columns == {"a": ["true"]}
    assert_conserved(world)


def test_t2_a_token_returned_twice_counts_once():
    world = world_of(a_generator("a"), rows=2)
    start = world.start_of("a", 0)
    world.running.pop(start.lease.lease_id)
    success = TaskOutcome("success", "first")
    world.give_back((start.lease, success), (start.lease, failure()), (start.lease, failure()))
    assert world.core.snapshot(now=0.0).leased == 1
    world.finish("a", 1)
    assert world.stored[0].columns == {"a": ["first", "v"]}
    assert_conserved(world)


# -- progress ------------------------------------------------------------------------------------------


def test_progress_counts_tasks_per_generator():
    world = world_of(
        a_generator("a"), a_generator("all", task_type="batch", upstream=("a",)), rows=4, row_group_size=2
    )
    world.finish("a", 0)
    world.finish("a", 1, failure())
    snapshot = world.core.snapshot(now=0.0)
    assert snapshot.generators == {"a": GeneratorProgress(1, 1, 4), "all": GeneratorProgress(0, 0, 2)}
    assert (snapshot.rows_requested, snapshot.rows_dropped, snapshot.leased) == (4, 1, 3)
    assert (snapshot.row_groups_total, snapshot.row_groups_in_flight) == (2, 2)
