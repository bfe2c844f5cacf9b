"""What a job tells of itself beside its tasks: how it is, what keeps row groups out, what was never run."""

from __future__ import annotations

import pytest

from actors.scheduler.health_beat import HEALTH_SECONDS
from messages.telemetry import Event, RecordEvents
from tests.actors.scheduler.control_builders import a_generator, a_job_plan
from tests.actors.scheduler.scheduler_world import World, retryable


def world_of(**plan):
    settings = {"rows": 6, "row_group_size": 2, "concurrency": 2, **plan}
    return World(lambda run_id: a_job_plan(a_generator("a"), run_id=run_id, **settings)).submit()


def told(world, kind) -> list[Event]:
    return [
        event
        for message in world.sent_to("telemetry", RecordEvents)
        for event in message.events
        if event.event_kind == kind
    ]


def occasions(world):
    return [event.reason_or_outcome for event in told(world, "scheduler_health_snapshot")]


def test_a_job_tells_how_it_is_as_it_begins_every_so_often_and_as_it_ends():
    world = world_of()
    assert occasions(world) == ["start"]
    assert world.core.next_deadline() == HEALTH_SECONDS
    world.at(HEALTH_SECONDS - 0.1)
    assert occasions(world) == ["start"]
    world.at(HEALTH_SECONDS)
    world.at(HEALTH_SECONDS + 0.1)
    assert occasions(world) == ["start", "interval"]
    world.finish_all()
    assert occasions(world) == ["start", "interval", "end"]
    assert world.core.next_deadline() is None
    start, interval, end = (event.snapshot for event in told(world, "scheduler_health_snapshot"))
    assert (start["phase"], start["leased"], start["rows_written"]) == ("running", 0, 0)
    assert (interval["leased"], interval["row_groups_in_flight"]) == (4, 2)
    assert (end["leased"], end["rows_written"], end["generators"]["a"]["done"]) == (0, 6, 6)


@pytest.mark.parametrize("deferred", [0, 1])
def test_r11_what_was_queued_and_is_never_run_is_told_when_a_job_is_stopped(deferred):
    world = world_of(resource_limits={"submission": 1})
    if deferred:
        world.finish("a", 0, retryable())
    world.cancel("enough")
    (drained,) = told(world, "queue_drained")
    assert drained.reason_or_outcome == "cancelled"
    assert drained.diagnostics == {"queued": 3 - deferred, "deferred": deferred}


def test_a_stopped_job_with_nothing_queued_drains_nothing():
    world = world_of(rows=2)
    world.cancel("enough")
    assert told(world, "queue_drained") == []


def test_r2_that_enough_row_groups_are_in_flight_is_told_once():
    world = world_of(rows=10)
    world.finish_all()
    (blocked,) = told(world, "row_group_admission_blocked")
    assert blocked.reason_or_outcome == "concurrency"
    assert blocked.diagnostics == {"target": 2, "row_groups_in_flight": 2, "rows_in_flight": 4}


def test_r2_row_groups_that_are_all_in_flight_are_not_blocked():
    world = world_of(rows=4)
    assert told(world, "row_group_admission_blocked") == []
    world.finish_all()
    assert told(world, "row_group_admission_blocked") == []
