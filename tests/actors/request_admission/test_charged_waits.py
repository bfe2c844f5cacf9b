"""What a wait for a request lease was for: the limit, or something else for so many seconds (O7)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.request_admission.closed_time import ClosedTime
from tests.actors.request_admission.request_builders import CHAT, Admission, cancelling


def waits(admission):
    """Return what the end of each wait was charged with, by attempt."""
    kinds = ("request_wait_completed", "request_wait_timeout", "request_wait_cancelled")
    return {
        event.request_attempt_id: event.diagnostics for event in admission.told if event.event_kind in kinds
    }


def test_o7_a_wait_for_a_slot_is_charged_with_nothing_else():
    admission = Admission((CHAT, 1))
    admission.ask(1, 2)
    admission.give_back(1, now=3.0)
    assert waits(admission) == {1: None, 2: None}


def test_o7_a_wait_behind_a_closed_gate_is_charged_to_the_cooldown():
    admission = Admission((CHAT, 1))
    admission.ask(1)
    admission.give_back(1, now=1.0, kind="rate_limited", retry_after=4.0)
    admission.ask(2, now=2.0)
    admission.wait_until(5.0)
    assert waits(admission)[2] == {"cooldown": 3.0}


def test_o7_only_the_part_that_the_gate_was_closed_is_the_cooldowns():
    admission = Admission((CHAT, 2), algorithm="fixed")
    admission.ask(1, 2)
    admission.ask(3, now=1.0)
    admission.give_back(1, now=2.0, kind="rate_limited", retry_after=4.0)
    assert admission.wait_until(7.0) == [(3, 6.0)]
    assert waits(admission)[3] == {"cooldown": 4.0}


def test_o7_a_wait_for_a_budget_is_the_budgets():
    admission = Admission((CHAT, 9), budgets={"requests_per_minute": 1})
    admission.ask(1, now=0.0)
    admission.ask(2, now=20.0)
    admission.wait_until(60.0)
    assert waits(admission)[2] == {"budget": 40.0}


def test_o7_a_wait_behind_an_open_circuit_is_the_circuits_first_and_the_sum_is_the_wait():
    admission = Admission((CHAT, 1), circuit_after_seconds=5.0, circuit_probe_seconds=10.0)
    admission.ask(1)
    admission.give_back(1, now=0.0, kind="rate_limited", retry_after=12.0)
    admission.ask(2, now=1.0)
    admission.wait_until(40.0)
    assert waits(admission)[2] == {"circuit": 10.0, "cooldown": 4.0}


def test_o7_who_gives_up_is_charged_as_well():
    admission = Admission((CHAT, 1))
    admission.ask(1)
    admission.give_back(1, now=1.0, kind="rate_limited", retry_after=9.0)
    admission.ask(2, 3, now=1.0, timeout=2.0)
    admission.send(cancelling(2), now=2.0)
    admission.at(3.0)
    assert (waits(admission)[2], waits(admission)[3]) == ({"cooldown": 1.0}, {"cooldown": 2.0})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 9)), max_size=20))
def test_o7_closed_time_is_the_time_in_which_it_was_closed(steps):
    """Counted second by second on the side. A wait that ends earlier than the present one changes nothing."""
    closed, now, until, seconds = ClosedTime(), 0, 0, set()
    for passed, wait in steps:
        for _ in range(passed):
            if now < until:
                seconds.add(now)
            now += 1
        if wait is None:
            closed.open(now)
            until = min(until, now)
        else:
            until = max(until, now + wait)
            closed.close(now, until)
        assert closed.seconds(now) == len(seconds)
