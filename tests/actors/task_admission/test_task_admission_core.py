"""Task admission as messages: one answer per question, one event per change (T2, T3, T6 to T11)."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from actors.task_admission.core import TaskAdmissionCore
from actors.task_admission.policies import policy_named
from messages.request_admission import RequestPressureChanged
from messages.supervision import GetSnapshot
from messages.task_admission import (
    AcquireTaskLeases,
    Command,
    ConfigureTaskAdmission,
    PolicyStateDelta,
    ReturnTaskLeases,
    TaskAdmissionConfig,
    TaskAdmissionPolicyDecision,
    TaskLeasesDecided,
    TaskLeasesReturned,
)
from messages.tasks import HeadDemand, QueueSelection, QueueView, TaskOutcome
from tests.actors.scheduler.control_builders import (
    a_group,
    a_request,
    a_selection,
    an_item,
    configured_admission,
    returned,
    told,
)


@pytest.fixture
def core_of():
    made = []

    def make(**how):
        core, _ = configured_admission(**how)
        made.append(core)
        return core

    yield make
    for core in made:
        core.check()


def acquire(core, *items, heads=(), now=1.0):
    """Ask for leases; the selections' queue view has these heads. Return the answer."""
    view = QueueView(len(items), tuple(heads))
    message = AcquireTaskLeases([QueueSelection(item, view, 0) for item in items])
    ((to, answer),) = told(core.handle(message, now=now))
    assert to == "scheduler"
    assert isinstance(answer, TaskLeasesDecided)
    core.check()
    return answer


def give_back(core, *leases, outcome=None, now=2.0):
    message = ReturnTaskLeases([returned(lease, outcome or TaskOutcome("success")) for lease in leases])
    ((to, answer),) = told(core.handle(message, now=now))
    assert to == "scheduler"
    assert isinstance(answer, TaskLeasesReturned)
    core.check()
    return answer


def ids(leases_or_denials):
    return [found.task_id for found in leases_or_denials]


def test_every_asked_task_is_granted_or_denied_in_the_asked_order(core_of):
    core = core_of(submission=3, gpu=1)
    items = [an_item(1, "a", gpu=1), an_item(2, "b", gpu=1), an_item(3, "c"), an_item(4, "d", gpu=1)]
    answer = acquire(core, *items, now=4.5)
    assert ids(answer.leases) == [1, 3]
    assert ids(answer.denials) == [2, 4]
    assert [(denial.reason, denial.diagnostics) for denial in answer.denials] == [
        ("no_capacity", {"resource": "gpu"})
    ] * 2
    assert {lease.acquired_at for lease in answer.leases} == {4.5}


def test_nothing_asked_is_answered_too(core_of):
    answer = acquire(core_of())
    assert (answer.leases, answer.denials) == ([], [])


def test_t7_all_of_a_vector_or_none(core_of):
    core = core_of(submission=9, gpu=1, ram=4)
    answer = acquire(core, an_item(1, "a", ram=4, gpu=2), an_item(2, "b", ram=4, gpu=1))
    assert ids(answer.leases) == [2]
    assert answer.view.resources_available == {"submission": 9, "gpu": 0, "ram": 0}


def test_t7_an_unknown_resource_is_never_free(core_of):
    answer = acquire(core_of(submission=9), an_item(1, submission=1, tpu=1))
    assert answer.denials[0].diagnostics == {"resource": "tpu"}


def test_fifo_a_group_is_not_looked_at_past_its_first_denial(core_of):
    core = core_of(submission=9, gpu=1)
    answer = acquire(core, an_item(1, "a", gpu=2), an_item(2, "a", gpu=1), an_item(3, "b", gpu=1))
    assert ids(answer.leases) == [3]
    assert [(denial.task_id, denial.reason) for denial in answer.denials] == [
        (1, "no_capacity"),
        (2, "no_capacity"),
    ]


def test_the_answer_tells_the_truth_about_denied_groups_too(core_of):
    core = core_of(submission=1)
    acquire(core, an_item(1, "a"))
    answer = acquire(core, an_item(2, "a"), an_item(3, "b"))
    assert answer.view.running_by_group == {"a": 1, "b": 0}


# -- returns -------------------------------------------------------------------------------------------


def test_t2_every_token_is_answered_for_with_its_own_outcome(core_of):
    core = core_of(submission=9)
    one, two = acquire(core, an_item(1), an_item(2)).leases
    foreign = msgspec.structs.replace(one, lease_id=999)
    old = msgspec.structs.replace(one, generation=7)
    wrong = msgspec.structs.replace(two, task_id=5)
    lost = TaskOutcome("worker_lost")
    answer = give_back(core, one, one, foreign, old, wrong, outcome=lost)
    reasons = ["released", "duplicate", "unknown_lease", "wrong_controller_generation", "stale_lease"]
    assert [release.result.reason for release in answer.releases] == reasons
    assert [release.result.released for release in answer.releases] == [True, *[False] * 4]
    assert all(release.outcome == lost for release in answer.releases)
    assert core.snapshot(now=3.0).active_leases == 1
    assert core.snapshot(now=3.0).releases_by_reason == dict.fromkeys(reasons, 1)


def test_t3_a_token_returned_before_anything_is_configured_is_refused_not_raised():
    core = TaskAdmissionCore(policy_named)
    (lease,) = acquire(core_with_lease(), an_item(1)).leases
    assert [release.result.reason for release in give_back(core, lease).releases] == ["unknown_lease"]


def core_with_lease():
    core, _ = configured_admission()
    return core


def test_t2_a_new_job_counts_anew_and_knows_no_token_of_the_old(core_of):
    core = core_of(submission=1)
    (old,) = acquire(core, an_item(1)).leases
    config = TaskAdmissionConfig({"submission": 1})
    ((to, answer),) = told(core.handle(ConfigureTaskAdmission("run-2", config, reply_to="asker"), now=5.0))
    assert (to, answer.run_id) == ("asker", "run-2")
    assert answer.view.resources_available == {"submission": 1}
    assert give_back(core, old).releases[0].result.reason == "unknown_lease"
    (new,) = acquire(core, an_item(1)).leases
    assert new.lease_id > old.lease_id
    assert give_back(core, old).releases[0].result.released is False
    assert core.snapshot(now=6.0).active_leases == 1


def test_nothing_is_admitted_before_it_is_configured():
    answer = acquire(TaskAdmissionCore(policy_named), an_item(1))
    assert [denial.reason for denial in answer.denials] == ["shutdown"]


def test_t7_capacity_comes_back_with_the_token_and_only_once(core_of):
    core = core_of(submission=1)
    (lease,) = acquire(core, an_item(1)).leases
    assert ids(acquire(core, an_item(2)).denials) == [2]
    give_back(core, lease, lease)
    assert ids(acquire(core, an_item(2), an_item(3)).leases) == [2]


# -- policy --------------------------------------------------------------------------------------------


class BorrowingPolicy:
    """Allows everything and lends one `gpu` with each lease; remembers nothing."""

    def evaluate(self, item, queue_view, admission_view):
        return TaskAdmissionPolicyDecision(allowed=True, borrows=(("gpu", 1),))

    def on_acquire(self, lease, decision):
        return PolicyStateDelta(decision.borrows)

    def on_release(self, lease):
        return PolicyStateDelta((("gpu", -2),))


class StandingPolicy:
    """Allows everything whatever is held, and keeps what it was asked about."""

    def __init__(self):
        self.judged = []

    def evaluate(self, item, queue_view, admission_view):
        self.judged.append(item.task_id)
        return TaskAdmissionPolicyDecision(allowed=True, standing=True)

    def on_acquire(self, lease, decision):
        raise AssertionError("what stands brings no debt")

    def on_release(self, lease):
        return PolicyStateDelta()


class RefusingPolicy(BorrowingPolicy):
    def evaluate(self, item, queue_view, admission_view):
        return TaskAdmissionPolicyDecision(allowed=False, available_after=9.5)


def test_t8_debt_changes_with_the_lease_and_not_what_is_free(core_of):
    core = core_of(policy=BorrowingPolicy(), submission=9)
    one, two = acquire(core, an_item(1, "a"), an_item(2, "a")).leases
    view = core.snapshot(now=0.0).view
    assert view.policy_debt_by_group_resource == {"a": {"gpu": 2}}
    assert view.resources_available == {"submission": 7}
    give_back(core, one, one)
    assert core.snapshot(now=0.0).view.policy_debt_by_group_resource == {}
    give_back(core, two)


def test_t9_an_answer_that_stands_is_asked_for_once_in_a_run_of_like_tasks(core_of):
    policy = StandingPolicy()
    core = core_of(policy=policy, submission=9, gpu=1)
    one, other = a_group("a"), a_group("b")
    items = [an_item(1, one), an_item(2, one), an_item(3, other), an_item(4, one), an_item(5, one, gpu=1)]
    answer = acquire(core, *items, an_item(6, one, gpu=1))
    assert ids(answer.leases) == [1, 2, 3, 4, 5]
    assert policy.judged == [1, 3, 4, 5], "another group, and another vector, are another question"
    assert [(denial.task_id, denial.reason) for denial in answer.denials] == [(6, "no_capacity")]


def test_t7_an_answer_that_stands_takes_no_more_than_there_is(core_of):
    core = core_of(policy=StandingPolicy(), submission=5)
    group = a_group("a")
    answer = acquire(core, *(an_item(number, group, submission=2) for number in (1, 2, 3)))
    assert (ids(answer.leases), ids(answer.denials)) == ([1, 2], [3])
    give_back(core, *answer.leases)


def test_t8_a_refused_return_repays_no_debt(core_of):
    core = core_of(policy=BorrowingPolicy(), submission=9)
    (lease,) = acquire(core, an_item(1, "a")).leases
    give_back(core, msgspec.structs.replace(lease, task_id=9))
    assert core.snapshot(now=0.0).view.policy_debt_by_group_resource == {"a": {"gpu": 1}}


def test_a_policy_that_gives_no_reason_is_named_as_the_reason(core_of):
    (denial,) = acquire(core_of(policy=RefusingPolicy()), an_item(1)).denials
    assert (denial.reason, denial.available_after) == ("policy_denial", 9.5)


def test_t9_t11_a_capped_group_is_denied_under_pressure_and_admitted_without(core_of):
    core = core_of(submission=9)
    capped = a_group("a", limit=1)
    acquire(core, an_item(1, capped))
    mine, peer = HeadDemand(a_request(), 1, 1.0), HeadDemand(a_request(), 2, 2.0)
    (denial,) = acquire(core, an_item(2, capped), heads=[peer]).denials
    assert denial.reason == "group_cap"
    assert denial.diagnostics.items() >= {"group": "a", "admitted_limit": 1, "running": 1}.items()
    assert ids(acquire(core, an_item(2, capped), heads=[mine]).leases) == [2], "T10: alone"


def test_t11_pressure_is_judged_on_typed_resources_where_there_are_any(core_of):
    core = core_of(submission=9, gpu=9, llm_wait=9)
    capped = a_group("a", limit=1)
    acquire(core, an_item(1, capped, submission=1, gpu=1))
    elsewhere = HeadDemand(a_request(submission=1, llm_wait=1), 1, 1.0)
    assert acquire(core, an_item(2, capped, submission=1, gpu=1), heads=[elsewhere]).leases
    same = HeadDemand(a_request(submission=1, gpu=2), 1, 1.0)
    assert acquire(core, an_item(3, capped, submission=1, gpu=1), heads=[same]).denials


def test_t11_a_peer_that_could_not_go_now_does_not_press(core_of):
    core = core_of(submission=9, gpu=2)
    capped = a_group("a", limit=1)
    acquire(core, an_item(1, capped, submission=1, gpu=1))
    too_big = HeadDemand(a_request(submission=1, gpu=2), 1, 1.0)
    assert acquire(core, an_item(2, capped, submission=1, gpu=1), heads=[too_big]).leases


def test_it_takes_its_commands_and_no_others(core_of):
    core = core_of()
    assert core.accepts == {*get_args(Command), RequestPressureChanged}
    assert GetSnapshot not in core.accepts
    assert core.idle(now=1.0) == []
    assert core.next_deadline() is None
    assert core.handle(AcquireTaskLeases([a_selection(an_item(1))]), now=1.0)
