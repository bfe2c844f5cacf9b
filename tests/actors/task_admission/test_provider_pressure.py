"""From request admission's snapshots to pressed task resources, and who is told of them (A12, T13)."""

from __future__ import annotations

import pytest

from actors.task_admission.core import TaskAdmissionCore
from actors.task_admission.policies import policy_named
from actors.task_admission.provider_pressure import ProviderPressure
from messages.request_admission import RequestPressureChanged
from messages.task_admission import (
    AcquireTaskLeases,
    ConfigureTaskAdmission,
    ForgetRequestPressure,
    RecoverTaskLeases,
    TaskAdmissionConfig,
    TaskAdmissionViewChanged,
    TaskLeasesDecided,
    TaskLeasesRecovered,
)
from tests.actors.scheduler.control_builders import (
    RUN,
    a_pressure,
    a_selection,
    an_item,
    configured_admission,
    told,
)

X, Y, EITHER = "request:x/m", "request:y/m", "request:x+y/m"
CONFIG = TaskAdmissionConfig(
    {"submission": 9, X: 4, Y: 4, EITHER: 4}, "provider_aware", {X: ("x/m",), EITHER: ("x/m", "y/m")}
)


@pytest.fixture
def pressure():
    return ProviderPressure(CONFIG)


def test_a12_nothing_is_pressed_until_it_is_told(pressure):
    assert pressure.pressed() == {}
    pressure.note([a_pressure("x/m"), a_pressure("y/m")])
    assert pressure.pressed() == {}


@pytest.mark.parametrize(
    ("how", "until"),
    [({"cooldown": 3.0}, 5.0), ({"waiters": 1}, None), ({"probe_at": 9.0}, 9.0), ({"probe_at": 1.0}, None)],
    ids=["cooldown", "waiters", "circuit", "a probe that is under way"],
)
def test_a12_a_resource_is_pressed_until_what_is_known_of_its_end(pressure, how, until):
    pressure.note([a_pressure("x/m", now=2.0, **how)])
    assert pressure.pressed() == {X: until}
    pressure.note([a_pressure("x/m", now=3.0)])
    assert pressure.pressed() == {}


def test_a12_an_endpoint_is_pressed_while_any_of_its_resources_is_to_the_last(pressure):
    pressure.note([a_pressure("x/m", cooldown=3.0), a_pressure("x/m", domain="embedding", cooldown=8.0)])
    assert pressure.pressed() == {X: 8.0}
    pressure.note([a_pressure("x/m", domain="embedding")])
    assert pressure.pressed() == {X: 3.0}


def test_a12_a_resource_with_replicas_is_pressed_when_all_of_them_are_to_the_first(pressure):
    pressure.note([a_pressure("x/m", cooldown=7.0)])
    assert EITHER not in pressure.pressed()
    pressure.note([a_pressure("y/m", cooldown=4.0)])
    assert pressure.pressed() == {X: 7.0, Y: 4.0, EITHER: 4.0}
    pressure.note([a_pressure("y/m", waiters=2)])
    assert pressure.pressed()[EITHER] is None, "it may be at any moment"


def test_a12_a_resource_that_no_replicas_are_named_for_is_its_own_endpoints(pressure):
    pressure.note([a_pressure("y/m", cooldown=1.0)])
    assert pressure.pressed() == {Y: 1.0}


def test_a12_an_endpoint_that_serves_no_task_resource_presses_none(pressure):
    pressure.note([a_pressure("other/m", cooldown=1.0)])
    assert pressure.pressed() == {}


# -- the actor's core ------------------------------------------------------------------------------------


@pytest.fixture
def core():
    made = TaskAdmissionCore(policy_named)
    made.handle(ConfigureTaskAdmission(RUN, CONFIG), now=0.0)
    return made


def change(*snapshots, run=RUN):
    return RequestPressureChanged(run, snapshots)


def pressed_told(core, message):
    """Return what the scheduler is told to be pressed because of `message`; None where it is told nothing."""
    sent = told(core.handle(message, now=1.0))
    if not sent:
        return None
    ((to, changed),) = sent
    assert to == "scheduler"
    assert isinstance(changed, TaskAdmissionViewChanged)
    assert changed.view.pressed == core.snapshot(now=1.0).view.pressed
    return changed.view.pressed


def test_t13_the_scheduler_is_told_of_every_change_with_all_that_is_pressed(core):
    assert pressed_told(core, change(a_pressure("x/m", cooldown=2.0))) == {X: 2.0}
    assert pressed_told(core, change(a_pressure("y/m", waiters=1))) == {X: 2.0, Y: None, EITHER: None}
    assert pressed_told(core, change(a_pressure("x/m"), a_pressure("y/m"))) == {}


def test_a12_what_changes_nothing_for_tasks_is_not_told(core):
    assert pressed_told(core, change(a_pressure("x/m"))) is None
    pressed_told(core, change(a_pressure("x/m", waiters=1)))
    assert pressed_told(core, change(a_pressure("x/m", waiters=5))) is None


def test_other_updates_say_nothing_of_pressure(core):
    core.handle(change(a_pressure("x/m", cooldown=2.0)), now=1.0)
    ((_, decided),) = told(core.handle(AcquireTaskLeases([a_selection(an_item(1))]), now=1.0))
    assert isinstance(decided, TaskLeasesDecided)
    assert decided.view.pressed is None


def test_a12_pressure_of_another_run_is_none_of_this_ones(core):
    assert pressed_told(core, change(a_pressure("x/m", cooldown=2.0), run="run-0")) is None
    assert pressed_told(core, ForgetRequestPressure("run-0")) is None


def test_a12_a_new_run_begins_with_nothing_pressed(core):
    core.handle(change(a_pressure("x/m", cooldown=2.0)), now=1.0)
    ((_, configured),) = told(core.handle(ConfigureTaskAdmission("run-2", CONFIG), now=2.0))
    assert configured.view.pressed == {}
    assert pressed_told(core, change(a_pressure("y/m", cooldown=1.0), run="run-2")) == {Y: 1.0}


def test_a12_what_a_lost_request_admission_told_is_forgotten(core):
    pressed_told(core, change(a_pressure("x/m", cooldown=2.0)))
    assert pressed_told(core, ForgetRequestPressure(RUN)) == {}
    assert pressed_told(core, ForgetRequestPressure(RUN)) is None
    assert pressed_told(core, change(a_pressure("y/m", cooldown=1.0))) == {Y: 1.0}


def test_a12_a_new_incarnation_tells_of_pressure_only_after_it_has_recovered():
    core = TaskAdmissionCore(policy_named, generation=2)
    assert told(core.handle(change(a_pressure("x/m", cooldown=2.0)), now=1.0)) == []
    sent = told(core.handle(RecoverTaskLeases(RUN, 2, CONFIG, []), now=2.0))
    recovered, changed = (message for _, message in sent)
    assert isinstance(recovered, TaskLeasesRecovered)
    assert recovered.view.pressed == {}, "the scheduler's copy begins anew"
    assert changed.view.pressed == {X: 2.0}


def test_a12_what_is_pressed_when_asked_is_in_the_snapshot():
    core, view = configured_admission(**{X: 1})
    core.handle(change(a_pressure("x/m", cooldown=2.0)), now=1.0)
    assert core.snapshot(now=1.0).view.pressed == {X: 2.0}
    assert view.pressed == {}, "what was sent is a copy"
