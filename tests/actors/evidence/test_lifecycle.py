"""The tables are the specification; every pair of a state and an event is either in them or refused."""

from __future__ import annotations

import itertools

import pytest

from actors.evidence.lifecycle import (
    ASKS_FOR_SCHEDULER_RESOURCE,
    ATTEMPT_LIFECYCLE,
    ATTEMPT_STATE_AFTER,
    STARTED,
    TASK_LIFECYCLE,
    TASK_STATE_AFTER,
)

TABLES = {"task": (TASK_LIFECYCLE, TASK_STATE_AFTER), "attempt": (ATTEMPT_LIFECYCLE, ATTEMPT_STATE_AFTER)}


def reachable(table, start):
    seen, following = {start}, [start]
    while following:
        for state in table[following.pop()].values():
            if state not in seen:
                seen.add(state)
                following.append(state)
    return seen


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached_and_every_state_can_end(name):
    table, _ = TABLES[name]

    assert reachable(table, "absent") == set(table)
    assert all("ended" in reachable(table, state) for state in table)


@pytest.mark.parametrize("name", TABLES)
def test_an_event_leads_where_its_kind_says(name):
    """But for a stale lease's return: its task is where it was, in the queue."""
    table, state_after = TABLES[name]
    for state, kind in itertools.product(table, state_after):
        following = table[state].get(kind)
        if following is not None and (state, kind) != ("stale", "task_lease_released"):
            assert following == state_after[kind]


def test_t1_a_worker_starts_from_a_lease_and_from_nowhere_else():
    assert [state for state, events in TASK_LIFECYCLE.items() if "worker_spawned" in events] == ["leased"]


def test_t5_nothing_that_has_started_may_ask_for_a_scheduler_resource():
    for state in STARTED:
        assert not ASKS_FOR_SCHEDULER_RESOURCE & TASK_LIFECYCLE[state].keys()


def test_t2_every_state_with_a_lease_can_return_it_and_no_other_can():
    returns = {state for state, events in TASK_LIFECYCLE.items() if "task_lease_released" in events}

    assert returns == reachable(TASK_LIFECYCLE, "leased") & returns
    assert returns == {"leased", "stale", "unstarted", "running", "completed"}


def test_a1_one_request_is_sent_under_one_lease():
    assert [state for state, events in ATTEMPT_LIFECYCLE.items() if "model_request_started" in events] == [
        "held"
    ]
    assert "held" not in reachable(ATTEMPT_LIFECYCLE, "sent")
