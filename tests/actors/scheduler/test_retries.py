"""What is done about failed work: again later, or never (R4, R5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.scheduler.retries import Deferrals, RetryPolicy
from messages.tasks import Task, TaskError, TaskOutcome

TASK = Task("x", 0, 0, "cell")
PACED = [
    "rate_limited",
    "queue_timeout",
    "circuit_open",
    "cooldown",
    "no_capacity",
    "budget",
    "queued_waiters_ahead",
]
"""What request admission paces, or says of its own queue."""


def policy(**how):
    return RetryPolicy(**{"max_retries": 2, "backoff_seconds": 1.0, "max_backoff_seconds": 8.0, **how})


def failed(kind="provider_failure", *, outcome="retryable_failure", retry_after=None):
    return TaskOutcome(outcome, error=TaskError(kind, "it failed", retry_after_seconds=retry_after))


@pytest.mark.parametrize(("counted", "wait"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (4000, 8.0)])
def test_r4_the_wait_doubles_up_to_its_most(counted, wait):
    assert policy(max_retries=10**6).retry_after(failed(), counted=counted) == wait


def test_r4_a_provider_may_ask_for_a_longer_wait_and_not_for_a_shorter():
    assert policy().retry_after(failed(retry_after=20.0), counted=1) == 20.0
    assert policy().retry_after(failed(retry_after=0.1), counted=2) == 2.0


def test_r4_work_is_given_up_after_max_retries():
    assert policy(max_retries=2).retry_after(failed(), counted=2) is not None
    assert policy(max_retries=2).retry_after(failed(), counted=3) is None
    assert policy(max_retries=0).retry_after(failed(), counted=1) is None


@pytest.mark.parametrize("outcome", ["worker_lost", "worker_spawn_failed"])
def test_r4_a_lost_worker_is_a_reason_to_try_again_with_or_without_a_word(outcome):
    deferrals = Deferrals(policy(max_retries=1))
    assert deferrals.defer(1, TASK, TaskOutcome(outcome), now=10.0) == 11.0
    assert deferrals.defer(1, TASK, failed(outcome=outcome), now=10.0) is None


@pytest.mark.parametrize("outcome", ["non_retryable_failure", "cancelled", "shutdown", "stale_discard"])
def test_r5_what_is_not_retryable_is_given_up_at_once(outcome):
    deferrals = Deferrals(policy())
    assert deferrals.defer(1, TASK, failed(outcome=outcome), now=0.0) is None
    assert deferrals.attempts(1) == 1
    assert deferrals.next_due() is None


@pytest.mark.parametrize("kind", PACED)
def test_r4_rate_limits_and_our_own_queue_are_never_a_reason_to_give_up(kind):
    deferrals = Deferrals(policy(max_retries=0))
    for attempt in range(1, 200):
        assert deferrals.defer(1, TASK, failed(kind), now=0.0) is not None
        assert deferrals.attempts(1) == attempt


@pytest.mark.parametrize("kind", PACED)
def test_r4_what_request_admission_paces_waits_no_longer_each_time(kind):
    deferrals = Deferrals(policy())
    assert [deferrals.defer(1, TASK, failed(kind), now=0.0) for _ in range(5)] == [1.0] * 5
    assert deferrals.defer(1, TASK, failed(kind, retry_after=20.0), now=0.0) == 20.0
    assert deferrals.defer(1, TASK, failed(kind, retry_after=0.1), now=0.0) == 1.0


def test_r4_rate_limits_make_no_later_wait_longer_either():
    deferrals = Deferrals(policy())
    for _ in range(5):
        deferrals.defer(1, TASK, failed("rate_limited"), now=0.0)
    assert deferrals.defer(1, TASK, failed("provider_failure"), now=0.0) == 1.0
    assert deferrals.defer(1, TASK, failed("rate_limited"), now=0.0) == 1.0
    assert deferrals.defer(1, TASK, failed("provider_failure"), now=0.0) == 2.0


@pytest.mark.parametrize("kind", ["local_timeout", "provider_timeout", "provider_failure"])
def test_r4_what_may_never_pass_is_given_up_in_the_end(kind):
    deferrals = Deferrals(policy(max_retries=1))
    assert deferrals.defer(1, TASK, failed(kind), now=0.0) == 1.0
    assert deferrals.defer(1, TASK, failed(kind), now=0.0) is None


def test_r4_rate_limits_do_not_use_up_the_retries_of_other_failures():
    deferrals = Deferrals(policy(max_retries=1))
    kinds = ["rate_limited", "provider_failure", "rate_limited", "queue_timeout"]
    assert all(deferrals.defer(1, TASK, failed(kind), now=0.0) is not None for kind in kinds)
    assert deferrals.defer(1, TASK, failed("provider_failure"), now=0.0) is None


def test_r4_deferred_work_comes_back_when_it_is_due_in_the_order_of_its_times():
    deferrals = Deferrals(policy())
    tasks = {number: Task("x", 0, number, "cell") for number in (1, 2, 3)}
    deferrals.defer(1, tasks[1], failed(retry_after=5.0), now=0.0)
    deferrals.defer(2, tasks[2], failed(), now=0.0)
    deferrals.defer(3, tasks[3], failed(), now=0.0)
    assert (len(deferrals), deferrals.next_due()) == (3, 1.0)
    assert deferrals.take_due(0.999) == []
    assert deferrals.take_due(1.0) == [tasks[2], tasks[3]]
    assert deferrals.take_due(1.0) == []
    assert deferrals.next_due() == 5.0
    assert deferrals.take_due(60.0) == [tasks[1]]
    assert deferrals.next_due() is None


def test_r4_a_settled_task_starts_anew():
    deferrals = Deferrals(policy(max_retries=1))
    deferrals.defer(1, TASK, failed(), now=0.0)
    deferrals.settle(1)
    deferrals.settle(1)
    assert deferrals.attempts(1) == 0
    assert deferrals.defer(1, TASK, failed(), now=0.0) == 1.0


def test_r11_clearing_gives_up_everything_deferred():
    deferrals = Deferrals(policy())
    deferrals.defer(1, TASK, failed(), now=0.0)
    deferrals.clear()
    assert (len(deferrals), deferrals.next_due(), deferrals.take_due(99.0)) == (0, None, [])


@given(
    st.lists(st.sampled_from([*PACED, "provider_failure", "worker_lost"])),
    st.integers(0, 4),
    st.floats(0.01, 10.0),
)
def test_r4_a_task_is_given_up_exactly_when_its_counted_failures_pass_the_limit(kinds, most, backoff):
    deferrals = Deferrals(policy(max_retries=most, backoff_seconds=backoff, max_backoff_seconds=30.0))
    counted, earlier = 0, 0.0
    for kind in kinds:
        counted += kind not in PACED
        due = deferrals.defer(1, TASK, failed(kind), now=0.0)
        assert (due is None) == (counted > most)
        if due is None:
            return
        assert min(backoff, 30.0) <= due <= 30.0
        if kind in PACED:
            assert due == backoff
        else:
            assert due >= earlier
            earlier = due
