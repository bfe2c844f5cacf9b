"""Requests and tokens per minute: in no sixty seconds more than the budget, and nobody forgotten (A13)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.request_admission.budgets import WINDOW_SECONDS, SlidingBudget
from tests.actors.request_admission.request_builders import CHAT, EMBEDDING, Admission


def limited(**budgets):
    return Admission((CHAT, 100), (EMBEDDING, 100), budgets=budgets)


def test_a13_no_more_requests_in_a_minute_than_the_budget():
    admission = limited(requests_per_minute=3)
    assert admission.ask(1, 2, 3, 4, now=0.0) == [1, 2, 3]
    for attempt in (1, 2, 3):
        admission.give_back(attempt, now=5.0)
    assert admission.core.next_deadline() == WINDOW_SECONDS
    assert admission.wait_until(100.0) == [(4, 60.0)]


def test_a13_the_window_slides_and_is_no_calendar_minute():
    admission = limited(requests_per_minute=2)
    admission.ask(1, now=10.0)
    admission.ask(2, now=50.0)
    admission.ask(3, 4, now=55.0)
    assert admission.wait_until(200.0) == [(3, 70.0), (4, 110.0)]


def test_a13_tokens_count_by_estimate_and_are_corrected_by_what_was_used():
    admission = limited(output_tokens_per_minute=100)
    admission.ask(1, output_tokens=80)
    admission.ask(2, output_tokens=50, now=1.0)
    assert admission.give_back(1, now=2.0, output_tokens=30) == [2]
    admission.ask(3, output_tokens=30, now=3.0)
    assert admission.resource(now=3.0).budget_blocked_until == 60.0
    admission.give_back(2, now=4.0, output_tokens=70)
    assert admission.wait_until(100.0) == [(3, 60.0)]


def test_a13_nothing_sent_is_refunded():
    admission = limited(requests_per_minute=1, input_tokens_per_minute=10)
    admission.ask(1, 2, input_tokens=10)
    assert admission.give_back(1, now=1.0, kind="local_cancelled", sent=False) == [2]


def test_a13_a_cancelled_call_that_was_sent_is_not_refunded():
    admission = limited(requests_per_minute=1)
    admission.ask(1, 2)
    assert admission.give_back(1, now=1.0, kind="local_cancelled") == []


def test_a13_a_refusal_counts_as_a_request_and_uses_no_tokens():
    admission = limited(requests_per_minute=2, output_tokens_per_minute=10)
    admission.ask(1, output_tokens=10)
    admission.give_back(1, now=1.0, kind="rate_limited", retry_after=0.0)
    assert admission.ask(2, output_tokens=10, now=2.0) == [2]
    admission.give_back(2, now=2.0, output_tokens=0)
    assert admission.ask(3, output_tokens=1, now=3.0) == []


def test_a13_all_or_nothing_what_does_not_fit_one_budget_spends_none():
    admission = limited(requests_per_minute=5, input_tokens_per_minute=10)
    admission.ask(1, input_tokens=8)
    admission.ask(2, input_tokens=8)
    endpoint = next(iter(admission.core._routes.endpoints.values()))
    assert endpoint.budgets.requests.used == 1


def test_a13_without_an_estimate_what_was_used_lately_stands_for_it():
    admission = limited(output_tokens_per_minute=100)
    admission.ask(1)
    admission.give_back(1, now=1.0, output_tokens=60)
    assert admission.ask(2, now=2.0) == []
    assert admission.wait_until(100.0) == [(2, 60.0)]


def test_a13_more_than_the_whole_budget_leaves_alone_and_does_not_wait_for_ever():
    admission = limited(output_tokens_per_minute=10)
    assert admission.ask(1, output_tokens=500) == [1]
    admission.ask(2, output_tokens=1, now=1.0)
    admission.give_back(1, now=2.0, output_tokens=400)
    assert admission.wait_until(100.0) == [(2, 60.0)]


def test_a13_small_work_does_not_use_up_what_the_first_in_turn_waits_for():
    admission = limited(output_tokens_per_minute=100)
    admission.ask(1, output_tokens=60)
    admission.ask(2, group="big", output_tokens=90, now=1.0)
    admission.ask(3, group="small", resource=EMBEDDING, output_tokens=10, now=2.0)
    assert 3 not in admission.leases
    assert admission.wait_until(60.0) == [(2, 60.0), (3, 60.0)]


def test_a13_domains_of_one_endpoint_share_its_budgets():
    admission = limited(requests_per_minute=1)
    assert admission.ask(1, resource=EMBEDDING) == [1]
    assert admission.ask(2) == []


def test_a13_one_that_does_not_wait_is_told_of_the_budget_and_when_it_fits():
    admission = limited(requests_per_minute=1)
    admission.ask(1, now=10.0)
    admission.ask(2, now=20.0, timeout=0.0)
    denied = admission.denials[2]
    assert (denied.reason, denied.available_after, denied.retry_after_seconds) == ("budget", 70.0, 50.0)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 20),
    st.lists(
        st.tuples(st.floats(0, 30), st.integers(0, 12), st.none() | st.integers(0, 12)),
        min_size=1,
        max_size=60,
    ),
)
def test_a13_in_no_window_more_than_the_budget(limit, attempts):
    """Estimates that were corrected count as corrected; one beyond the whole budget goes alone."""
    budget, now, spent = SlidingBudget(limit), 0.0, []
    for passed, amount, used in attempts:
        now += passed
        at = budget.room_at(amount, now)
        assert at >= now
        now = max(now, at)
        assert budget.room_at(amount, now) == pytest.approx(now)
        spending = budget.spend(amount, now)
        if used is not None and used <= amount:
            budget.correct(spending, used, now)
        spent.append((spending.until, min(spending.amount, limit)))
        in_window = sum(amount for until, amount in spent if until > now)
        assert in_window <= limit + 1e-6
