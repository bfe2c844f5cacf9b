"""What rate limits do: the gate, the circuit behind it, and who hears of either (A3, A4, A8, A9, A12)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.request_admission.cooldown import Cooldown
from messages.request_admission import RequestAdmissionConfig
from tests.actors.request_admission.request_builders import (
    CHAT,
    EMBEDDING,
    RUN,
    Admission,
    cancelling,
    registering,
)

TUNING = {"cooldown_seconds": 2.0, "circuit_after_seconds": 10.0, "circuit_probe_seconds": 4.0}


@pytest.fixture
def admission():
    return Admission((CHAT, 2), **TUNING)


# -- the gate ------------------------------------------------------------------------------------------


def test_a3_a4_nothing_leaves_before_what_the_provider_asked_for_is_over(admission):
    admission.ask(1, now=1.0)
    admission.give_back(1, now=1.5, kind="rate_limited", retry_after=3.0)
    admission.ask(2, now=2.0)
    assert admission.core.next_deadline() == 4.5
    assert admission.wait_until(5.0) == [(2, 4.5)]


def test_a4_without_a_header_the_configured_cooldown_holds(admission):
    admission.ask(1)
    admission.give_back(1, now=1.0, kind="rate_limited")
    admission.ask(2, now=1.0)
    assert admission.resource(now=2.0).cooldown_remaining == 1.0
    assert admission.wait_until(3.0) == [(2, 3.0)]


def test_a4_a_later_rate_limit_without_the_header_never_shortens_a_longer_wait(admission):
    admission.ask(1, 2)
    admission.give_back(1, now=1.0, kind="rate_limited", retry_after=30.0)
    admission.give_back(2, now=2.0, kind="rate_limited")
    assert admission.resource(now=2.0).blocked_until == 31.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.none() | st.floats(0, 100)), min_size=1, max_size=20))
def test_a4_the_gate_only_ever_moves_away(refusals):
    gate, now, latest = Cooldown(2.0), 0.0, 0.0
    for passed, wait in refusals:
        now += passed
        latest = max(latest, now + (2.0 if wait is None else wait))
        assert gate.close(now=now, retry_after=wait) == latest
        assert gate.remaining(now) == max(0.0, latest - now)
        assert gate.is_closed(now) == (now < latest)


def test_a4_one_domain_that_is_refused_leaves_the_others_alone():
    admission = Admission((CHAT, 2), (EMBEDDING, 2), **TUNING)
    admission.ask(1)
    admission.give_back(1, kind="rate_limited")
    assert admission.ask(2, resource=EMBEDDING) == [2]


def test_a4_a_rate_limit_is_told_with_its_wait(admission):
    admission.ask(1)
    admission.give_back(1, now=1.0, kind="rate_limited", retry_after=3.0, status=429)
    (told,) = [event for event in admission.told if event.event_kind == "request_rate_limited"]
    assert told.resource == CHAT.name
    assert told.diagnostics == {"retry_after": 3.0, "status": 429, "blocked_until": 4.0, "in_a_row": 1}


def test_a4_what_an_earlier_runs_late_attempt_learns_is_nothing_to_the_present_one(admission):
    admission.ask(1)
    admission.send(registering((CHAT, 2), run_id="run-2"))
    admission.events.clear()
    admission.give_back(1, now=1.0, kind="rate_limited", retry_after=30.0)
    assert admission.events == ["request_lease_released"]
    assert admission.ask(2, now=1.0) == [2]


def test_a8_one_that_does_not_wait_is_told_of_the_cooldown_and_when_it_is_over(admission):
    admission.ask(1)
    admission.give_back(1, now=1.0, kind="rate_limited", retry_after=3.0)
    admission.ask(2, now=2.0, timeout=0.0)
    denied = admission.denials[2]
    assert (denied.reason, denied.available_after, denied.retry_after_seconds) == ("cooldown", 4.0, 2.0)


@pytest.mark.parametrize("kind", ["provider_failure", "provider_timeout", "local_timeout", "local_cancelled"])
def test_a6_other_ends_close_no_gate(admission, kind):
    admission.ask(1)
    admission.give_back(1, kind=kind)
    assert admission.resource().blocked_until is None
    assert admission.ask(2) == [2]


# -- the circuit ---------------------------------------------------------------------------------------


def refused_until(admission, until, *, attempt=100, now=0.0):
    """Let attempt after attempt be refused, each as soon as it may leave; return the last one's number."""
    while now < until:
        attempt += 1
        admission.ask(attempt, now=now)
        if attempt not in admission.leases:
            ((_, now),) = admission.wait_until(admission.core.next_deadline())
        admission.give_back(attempt, now=now, kind="rate_limited")
    return attempt


def test_a9_rate_limits_without_a_success_open_the_circuit_and_the_scheduler_hears_of_it(admission):
    refused_until(admission, 10.0)
    (changed,) = admission.circuits
    assert (changed.run_id, changed.resource, changed.state) == (RUN, CHAT, "open")
    assert (changed.since, changed.rate_limited, changed.succeeded, changed.next_probe_at) == (
        0.0,
        6,
        0,
        14.0,
    )
    assert admission.events.count("request_circuit_opened") == 1
    assert admission.resource(now=10.0).circuit == "open"


def test_a9_a_success_in_between_begins_the_time_anew(admission):
    last = refused_until(admission, 8.0)
    admission.wait_until(10.0)
    admission.ask(1, now=10.0)
    admission.give_back(1, now=10.0)
    refused_until(admission, 17.0, attempt=last, now=10.0)
    assert admission.circuits == []


def test_a9_above_the_least_limit_nothing_opens():
    admission = Admission((CHAT, 64), multiplicative_decrease_factor=0.99, **TUNING)
    admission.ask(*range(64))
    for attempt in range(64):
        admission.give_back(attempt, now=float(attempt), kind="rate_limited", retry_after=0.0)
    assert admission.resource().current_limit > 1
    assert admission.circuits == []


def test_a9_a_provider_that_asks_for_a_longer_wait_than_that_opens_it_without_another_call(admission):
    admission = Admission((CHAT, 1), **TUNING)
    admission.ask(1)
    admission.give_back(1, kind="rate_limited", retry_after=600.0)
    assert admission.core.next_deadline() == 10.0
    admission.at(10.0)
    assert [changed.next_probe_at for changed in admission.circuits] == [600.0]


def test_a9_while_it_is_open_one_attempt_at_a_time_is_let_through_at_growing_intervals(admission):
    last = refused_until(admission, 10.0)
    attempts = list(range(last + 1, last + 6))
    admission.ask(*attempts, now=10.0)
    sent, now = [], 10.0
    while now < 60.0:
        for attempt, at in admission.wait_until(admission.core.next_deadline()):
            sent.append(at)
            now = at
            assert admission.resource(now=at).in_flight == 1
            admission.give_back(attempt, now=at, kind="rate_limited", retry_after=0.0)
    assert sent == [14.0, 22.0, 38.0, 70.0]
    assert len(admission.circuits) == 1


def test_a9_a_probe_that_succeeds_closes_it_and_the_work_flows_again(admission):
    last = refused_until(admission, 10.0)
    admission.ask(last + 1, last + 2, last + 3, now=10.0)
    ((probe, at),) = admission.wait_until(14.0)
    admission.give_back(probe, now=at + 0.5)
    assert [changed.state for changed in admission.circuits] == ["open", "closed"]
    assert admission.events.count("request_circuit_closed") == 1
    assert admission.resource(now=at + 0.5).waiters < 2


def test_a9_a_probe_that_fails_otherwise_waits_longer_and_closes_nothing(admission):
    last = refused_until(admission, 10.0)
    admission.ask(last + 1, last + 2, now=10.0)
    ((probe, at),) = admission.wait_until(14.0)
    admission.give_back(probe, now=at, kind="provider_failure")
    assert admission.resource(now=at).next_probe_at == 22.0
    assert admission.resource(now=at).circuit == "open"


def test_a9_refusals_of_what_left_before_it_opened_do_not_put_the_probe_off():
    admission = Admission((CHAT, 32), algorithm="fixed", **TUNING)
    admission.ask(*range(32))
    admission.give_back(0, kind="rate_limited")
    for attempt in range(1, 32):
        admission.give_back(attempt, now=10.0 + attempt / 100, kind="rate_limited", retry_after=0.0)
    assert admission.resource(now=11.0).circuit == "open"
    assert admission.resource(now=11.0).next_probe_at == pytest.approx(14.01)


def test_a9_a_probe_that_is_cancelled_here_is_followed_by_the_next_at_once(admission):
    last = refused_until(admission, 10.0)
    admission.ask(last + 1, last + 2, now=10.0)
    ((probe, at),) = admission.wait_until(14.0)
    assert admission.give_back(probe, now=at + 1.0, kind="local_cancelled") == [last + 2]
    assert admission.resource(now=at + 1.0).circuit == "open"


def test_a9_one_that_does_not_wait_is_told_that_the_circuit_is_open(admission):
    last = refused_until(admission, 10.0)
    admission.ask(last + 1, now=11.0, timeout=0.0)
    denied = admission.denials[last + 1]
    assert (denied.reason, denied.available_after) == ("circuit_open", 14.0)


def test_a9_rows_wait_and_are_not_denied(admission):
    last = refused_until(admission, 10.0)
    admission.ask(last + 1, now=10.0)
    admission.at(13.0)
    assert admission.denied == {}


# -- pressure ------------------------------------------------------------------------------------------


def test_a12_task_admission_hears_when_a_resource_is_pressed_and_when_it_no_longer_is(admission):
    admission.ask(1)
    assert admission.pressed == {}
    admission.give_back(1, now=1.0, kind="rate_limited", retry_after=3.0)
    pressed = admission.pressed[CHAT]
    assert pressed.is_pressed
    assert (pressed.blocked_until, pressed.waiters) == (4.0, 0)
    assert admission.core.next_deadline() == 4.0
    admission.at(4.0)
    assert not admission.pressed[CHAT].is_pressed


def test_a12_waiters_are_told_once_however_many_they_are(admission):
    admission.ask(1, 2, 3)
    first = admission.pressed[CHAT]
    assert (first.is_pressed, first.waiters) == (True, 1)
    admission.ask(4, 5)
    assert admission.pressed[CHAT] is first
    for attempt in (3, 4, 5):
        admission.send(cancelling(attempt))
    assert not admission.pressed[CHAT].is_pressed


def test_a12_an_open_circuit_presses(admission):
    refused_until(admission, 10.0)
    admission.at(13.0)
    assert admission.pressed[CHAT].circuit == "open"
    assert admission.pressed[CHAT].is_pressed


def test_a12_reading_pressure_changes_no_request_state(admission):
    admission.ask(1, 2, 3)
    before = [admission.core.snapshot(now=0.0).resources[0] for _ in range(2)]
    assert before[0].waiters == before[1].waiters == 1
    assert admission.core.idle(now=0.0) == []


# -- what a registration says --------------------------------------------------------------------------


def test_a2_a_registered_resource_tells_its_limits():
    config = RequestAdmissionConfig(initial_limits={CHAT.name: 3}, max_limit_clamps={CHAT.name: 5})
    admission = Admission((CHAT, 8))
    admission.told.clear()
    admission.send(registering((CHAT, 8), config=config))
    registered, changed = admission.told
    assert registered.diagnostics == {
        "endpoint": "sim/big",
        "static_cap": 8,
        "initial_limit": 3,
        "effective_max": 5,
        "algorithm": "aimd",
    }
    assert changed.event_kind == "request_effective_cap_changed"
    assert changed.diagnostics == {"before": 8, "effective_max": 5, "limit": 3}
    assert admission.ask(*range(10)) == [0, 1, 2]
