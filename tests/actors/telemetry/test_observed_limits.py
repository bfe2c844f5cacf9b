"""Limits of request admission as the capacity plan sees them: from events alone."""

from __future__ import annotations

import pytest

from actors.telemetry.maxima import ObservedCapacity
from messages.tasks import RuntimeCorrelation
from messages.telemetry import Event
from tests.actors.evidence.log_script import a_plan, some_capacity

CHAT, OTHER = "sim/m/chat", "sim/n/chat"


def told(kind, at, resource=CHAT, **diagnostics):
    return Event(kind, at, resource=resource, diagnostics=diagnostics)


def registered(resource=CHAT, **diagnostics):
    return told("request_resource_registered", 0.0, resource, endpoint="sim/m", **diagnostics)


@pytest.fixture
def observed():
    return ObservedCapacity(a_plan(), some_capacity())


def test_a2_a_limit_begins_where_its_registration_says(observed):
    observed.record(
        [registered(static_cap=8, initial_limit=2, effective_max=6), registered(OTHER, static_cap=4)]
    )
    present = observed.present(now=0.0)

    assert present.current_limits == {CHAT: 2, OTHER: 4}
    assert present.effective_max == {CHAT: 6, OTHER: 4}
    assert present.blocked_until == {}
    assert observed.maxima().request_current_limits == {CHAT: 2, OTHER: 4}


def test_a4_a5_the_limit_follows_its_cuts_and_its_growth_and_the_most_is_kept(observed):
    observed.record(
        [
            registered(static_cap=8, initial_limit=4, effective_max=8),
            told("request_limit_increased", 1.0, limit=5, effective_max=8),
            told("request_limit_decreased", 2.0, limit=3, effective_max=8),
        ]
    )
    assert observed.present(now=2.0).current_limits == {CHAT: 3}
    assert observed.maxima().request_current_limits == {CHAT: 5}


def test_a2_another_cap_is_followed(observed):
    observed.record(
        [
            registered(static_cap=8, initial_limit=8, effective_max=8),
            told("request_effective_cap_changed", 1.0, limit=6, effective_max=6),
        ]
    )
    present = observed.present(now=1.0)
    assert (present.current_limits, present.effective_max) == ({CHAT: 6}, {CHAT: 6})


def test_a4_a_pause_is_known_until_it_is_over_and_never_shortened(observed):
    observed.record(
        [
            registered(static_cap=8),
            told("request_rate_limited", 1.0, blocked_until=9.0),
            told("request_rate_limited", 2.0, blocked_until=4.0),
            told("request_rate_limited", 2.0, resource=OTHER),
        ]
    )
    assert observed.present(now=8.9).blocked_until == {CHAT: 9.0}
    assert observed.present(now=9.0).blocked_until == {}


def test_limits_of_a_new_incarnation_replace_the_old_ones(observed):
    observed.record(
        [
            registered(static_cap=8, initial_limit=8),
            told("request_limit_decreased", 1.0, limit=3, effective_max=8),
            registered(static_cap=8, initial_limit=2),
        ]
    )
    assert observed.present(now=2.0).current_limits == {CHAT: 2}
    assert observed.maxima().request_current_limits == {CHAT: 8}


def leased(stream, lease_id, *, of, replaces=None):
    """Return a grant, or under another number the lease that it `replaces`."""
    about = RuntimeCorrelation("run-1", 0, 0, "story", "cell", "model", "0" * 12, 1)
    return Event(
        f"{stream}_lease_acquired",
        1.0,
        about if stream == "task" else None,
        task_lease_id=lease_id if stream == "task" else 0,
        request_lease_id=lease_id if stream == "request" else 0,
        resource=of,
        reason_or_outcome="" if replaces is None else "recovered",
        diagnostics=None if replaces is None else {"replaces": replaces},
    )


def test_a_task_lease_that_replaces_another_is_no_request_lease_of_the_same_number(observed):
    observed.record([leased("request", 7, of=CHAT), leased("task", 7, of="")])
    observed.record([leased("task", 9, of="", replaces=7)])
    observed.record([Event("request_lease_released", 2.0, request_lease_id=9, resource=CHAT)])
    assert observed.present(now=2.0).aggregate_in_flight == {"sim/m": 1}, "lease 9 is a task's"
    observed.record([Event("request_lease_released", 2.0, request_lease_id=7, resource=CHAT)])
    assert observed.present(now=2.0).aggregate_in_flight == {"sim/m": 0}


def test_a_request_lease_that_replaces_another_is_counted_once_and_released_by_its_new_number(observed):
    observed.record([leased("task", 7, of=""), leased("request", 7, of=CHAT)])
    observed.record([leased("request", 9, of=CHAT, replaces=7)])
    assert observed.present(now=1.0).aggregate_in_flight == {"sim/m": 1}
    observed.record([Event("request_lease_released", 2.0, request_lease_id=9, resource=CHAT)])
    assert observed.present(now=2.0).aggregate_in_flight == {"sim/m": 0}
    assert observed.maxima().request_in_flight_by_resource == {CHAT: 1}
