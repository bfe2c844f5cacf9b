"""Several endpoints of one model: to the one with the most room, and past the one that fails (A3, A7)."""

from __future__ import annotations

import pytest

from messages.tasks import RequestResourceKey
from tests.actors.request_admission.request_builders import Admission

LEFT = RequestResourceKey("left", "m", "chat")
RIGHT = RequestResourceKey("right", "m", "chat")


def choosing(*caps):
    return Admission(*zip((LEFT, RIGHT), caps, strict=True), circuit_after_seconds=10.0)


def ask(admission, *attempts, now=0.0, **how):
    """Ask for attempts that either will do for; return where each of them may go."""
    admission.ask(*attempts, now=now, resource=LEFT, replicas=(RIGHT,), **how)
    return [admission.leases[each].resource.provider for each in attempts if each in admission.leases]


def test_a3_an_attempt_goes_to_the_replica_with_the_most_room():
    admission = choosing(4, 2)
    assert ask(admission, 1, 2, 3, 4, 5, 6, 7) == ["left", "left", "left", "right", "left", "right"]


def test_a7_whoever_waits_is_served_by_whichever_is_free_first():
    admission = choosing(1, 1)
    ask(admission, 1, 2, 3, 4)
    assert admission.give_back(2) == [3]
    assert admission.leases[3].resource == RIGHT
    assert admission.give_back(1) == [4]
    assert admission.leases[4].resource == LEFT


def test_a4_each_replica_keeps_its_own_limits():
    admission = choosing(2, 2)
    ask(admission, 1)
    admission.give_back(1, kind="rate_limited", retry_after=30.0)
    assert ask(admission, 2, 3, 4) == ["right", "right"]
    assert admission.resource(RIGHT).blocked_until is None


def test_a7_attempts_for_one_replica_alone_wait_in_the_same_order():
    admission = choosing(1, 1)
    ask(admission, 1, 2)
    admission.ask(3, resource=LEFT, now=1.0)
    ask(admission, 4, now=2.0)
    assert admission.give_back(1, now=3.0) == [3]
    assert admission.give_back(3, now=4.0) == [4]


def test_a_replica_that_fails_at_once_does_not_draw_every_call():
    """It would always have the most room."""
    admission = choosing(8, 2)
    failed = 0
    for attempt in range(1, 40):
        if ask(admission, attempt) == ["left"]:
            failed += 1
            admission.give_back(attempt, kind="provider_failure")
        elif attempt in admission.leases:
            admission.give_back(attempt)
    assert failed == 3
    assert admission.resource(LEFT).suspect_until == 0.5


def test_a_replica_that_failed_is_tried_again_one_call_at_a_time():
    admission = choosing(8, 1)
    for attempt in (1, 2, 3):
        assert ask(admission, attempt) == ["left"]
        admission.give_back(attempt, kind="provider_failure")
    ask(admission, 4, 5, 6)
    assert {each: lease.resource for each, lease in admission.leases.items() if each > 3} == {4: RIGHT}
    assert admission.wait_until(0.5) == [(5, 0.5)]
    assert admission.leases[5].resource == LEFT
    assert admission.give_back(5, now=1.0) == [6]
    assert ask(admission, 7, 8, now=1.0) == ["left", "left"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_replica_that_refuses_the_key_or_the_model_is_passed_over(status):
    admission = choosing(8, 8)
    ask(admission, 1)
    admission.give_back(1, kind="unexpected_exception", status=status)
    assert set(ask(admission, *range(2, 10))) == {"right"}


def test_when_all_of_them_fail_they_are_asked_all_the_same():
    admission = choosing(1, 1)
    for attempt in range(1, 20):
        assert ask(admission, attempt)
        admission.give_back(attempt, kind="provider_failure")


def test_a_resource_without_another_is_asked_whatever_it_did():
    admission = choosing(1, 1)
    for attempt in range(1, 10):
        assert admission.ask(attempt, resource=LEFT) == [attempt]
        admission.give_back(attempt, kind="provider_failure")


def test_a9_a_circuit_that_opens_leaves_the_work_to_the_other():
    admission = choosing(1, 1)
    ask(admission, 1)
    admission.give_back(1, kind="rate_limited", retry_after=600.0)
    admission.at(10.0)
    assert [changed.resource for changed in admission.circuits] == [LEFT]
    assert ask(admission, 2, now=11.0) == ["right"]


def test_a8_a_replica_that_nobody_registered_is_refused_by_name():
    admission = Admission((LEFT, 1))
    ask(admission, 1)
    assert admission.denials[1].reason == "hard_policy_denial"
    assert "right/m/chat" in admission.denials[1].message


def test_a7_one_that_gives_up_waits_nowhere_any_more():
    admission = choosing(1, 1)
    ask(admission, 1, 2)
    ask(admission, 3, timeout=5.0)
    admission.at(5.0)
    assert admission.denied == {3: "queue_timeout"}
    assert (admission.resource(LEFT).waiters, admission.resource(RIGHT).waiters) == (0, 0)
