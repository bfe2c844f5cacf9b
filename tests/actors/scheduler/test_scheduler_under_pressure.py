"""What the scheduler makes of provider pressure: it wakes, it tells, its copy is not stale (A12, T13)."""

from __future__ import annotations

import msgspec
import pytest

from messages.request_admission import RegisterRequestResources, RequestPressureChanged
from messages.supervision import ActorRestarted
from messages.task_admission import ConfigureTaskAdmission, ForgetRequestPressure, RecoverTaskLeases
from tests.actors.scheduler.control_builders import a_generator, a_group, a_job_plan, a_pressure, a_request
from tests.actors.scheduler.scheduler_world import World

X, Y = "request:x/m", "request:y/m"
SKIPPED = ("request_pressure_advisory_skipped", "provider_pressure")


def a_model_column(name, resource):
    request = a_request(submission=1, **{resource: 1})
    return a_generator(name, group=a_group(name), request=request)


@pytest.fixture
def world():
    """Two columns on two endpoints, and one slot for both; `submit` begins the job."""

    def plan(run_id):
        plan = a_job_plan(
            a_model_column("a", X),
            a_model_column("b", Y),
            run_id=run_id,
            rows=4,
            row_group_size=4,
            resource_limits={"submission": 1, X: 4, Y: 4},
            replicas={X: ("x/m",), Y: ("y/m", "z/m")},
        )
        return msgspec.structs.replace(plan, policy="provider_aware")

    return World(plan)


def press(world, *snapshots, run=None):
    message = RequestPressureChanged(run or "run-1", snapshots)
    world.mail["task_admission"].append(message)
    world.settle()


def order_of_starts(world):
    """End whatever runs until nothing does; return the columns in the order in which they ran."""
    order = []
    while world.running:
        (start,) = world.running.values()
        order.append(start.task.column)
        world.finish(start.task.column, start.task.row_index)
    return "".join(order)


def test_without_pressure_columns_take_turns(world):
    world.submit()
    assert order_of_starts(world) == "abababab"


def test_a12_the_unpressed_column_gets_the_slot_while_it_has_work(world):
    world.submit()
    press(world, a_pressure("x/m", cooldown=9.0))
    assert order_of_starts(world) == "abbbbaaa", "what ran already goes on"
    assert world.result.status == "succeeded"


def test_a12_replicas_from_the_plan_are_heeded(world):
    world.submit()
    press(world, a_pressure("y/m", cooldown=9.0))
    assert order_of_starts(world) == "abababab", "the other replica is free"


def test_a12_the_advisory_is_told_once_with_what_it_is_about(world):
    world.submit()
    press(world, a_pressure("x/m", cooldown=9.0))
    order_of_starts(world)
    assert world.events.count(SKIPPED) == 1
    kinds = [kind for kind, _ in world.events]
    assert kinds.index("request_pressure_advisory_skipped") > kinds.index("selected")


def test_t13_pressure_that_ends_puts_things_back_in_order(world):
    world.submit()
    press(world, a_pressure("x/m", cooldown=9.0))
    world.finish("a", 0)
    world.finish("b", 0)
    assert world.tasks() == [("b", 1)]
    press(world, a_pressure("x/m"))
    assert order_of_starts(world)[:2] == "ba", "a is behind, and has its turn"


def test_a12_pressure_that_comes_while_the_job_is_prepared_is_there_when_it_begins(world):
    world.hold_back("request_admission")
    world.submit()
    assert world.phase == "preparing"
    press(world, a_pressure("x/m", cooldown=9.0))
    world.let_through("request_admission")
    assert order_of_starts(world) == "bbbbaaaa"


def test_a12_pressure_of_an_earlier_run_says_nothing_of_the_next(world):
    world.submit()
    press(world, a_pressure("x/m", cooldown=9.0))
    order_of_starts(world)
    world.hold_back("storage")
    world.submit()
    press(world, a_pressure("y/m", cooldown=9.0))
    world.let_through("storage")
    press(world, a_pressure("x/m", cooldown=9.0))
    assert order_of_starts(world) == "abababab"


def test_a12_both_admissions_are_told_who_serves_what(world):
    world.submit()
    (configure,) = world.sent_to("task_admission", ConfigureTaskAdmission)
    assert configure.config.replicas == {X: ("x/m",), Y: ("y/m", "z/m")}
    world.held_back.add("task_admission")
    world.tell(ActorRestarted("task_admission", 2))
    (recover,) = world.sent_to("task_admission", RecoverTaskLeases)
    assert recover.config == configure.config


def test_a12_a_lost_request_admission_leaves_no_pressure_behind(world):
    world.submit()
    press(world, a_pressure("x/m", cooldown=9.0))
    world.tell(ActorRestarted("request_admission", 2))
    kinds = [type(item.message) for item in world.sent]
    assert kinds[-2:] == [ForgetRequestPressure, RegisterRequestResources], "in this order"
    assert order_of_starts(world) == "abababab"
