"""One request lease around every attempt: it is asked for, waited for, and always given back."""

from __future__ import annotations

import pytest

from messages.request_admission import CancelRequestWait, ReturnRequestLease
from tests.actors.worker.lone_worker import a_chat_job


def prepared(worker, **model):
    worker.prepare(**a_chat_job(**model))
    return worker


def test_a1_an_attempt_leaves_under_a_lease_that_comes_back(worker):
    prepared(worker)
    leases = worker.start("story")
    item = worker.asked()
    assert item.resource.name == "sim/sim-writer/chat"
    assert worker.snapshot().waiting_for_request_lease == 1
    lease = worker.grant(item)
    (outcome,) = worker.outcomes(*leases)
    assert (outcome.kind, type(outcome.value)) == ("success", str)
    returned = worker.sent_to_requests(ReturnRequestLease)
    assert (returned.lease, returned.outcome.kind) == (lease, "success")
    assert worker.release().models["writer"].outcomes == {"success": 1}


def test_a1_every_task_asks_for_a_lease_of_its_own(worker):
    prepared(worker)
    leases = worker.start(*["story"] * 5)
    items = [worker.asked()]
    while len(items) < 5:
        items.append(worker.asked())
    granted = [worker.grant(item) for item in items]
    assert len({item.event_context.request_attempt_id for item in items}) == 5
    worker.outcomes(*leases)
    returned = [message.lease for message in worker.request_mail()]
    assert sorted(lease.lease_id for lease in returned) == sorted(lease.lease_id for lease in granted)


def test_a11_a_provider_that_takes_too_long_has_timed_out(worker):
    prepared(worker, latency_ms=60_000.0, timeout_seconds=0.02)
    leases = worker.start("story")
    worker.grant(worker.asked())
    (outcome,) = worker.outcomes(*leases)
    assert (outcome.kind, outcome.error.kind) == ("retryable_failure", "provider_timeout")
    assert outcome.error.message == "model writer: no reply within 0.02 s"
    assert worker.sent_to_requests(ReturnRequestLease).outcome.kind == "provider_timeout"
    assert worker.snapshot().attempts_in_flight == 0


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("queue_timeout", "retryable_failure"),
        ("budget", "retryable_failure"),
        ("circuit_open", "retryable_failure"),
        ("cooldown", "retryable_failure"),
        ("no_capacity", "retryable_failure"),
        ("hard_policy_denial", "non_retryable_failure"),
        ("shutdown", "non_retryable_failure"),
    ],
)
def test_r4_r5_a_denied_attempt_ends_its_task(worker, reason, kind):
    prepared(worker)
    leases = worker.start("story")
    worker.deny(worker.asked(), reason, retry_after_seconds=1.5)
    (outcome,) = worker.outcomes(*leases)
    assert (outcome.kind, outcome.error.kind) == (kind, reason)
    assert outcome.error.retry_after_seconds == 1.5
    assert worker.snapshot().waiting_for_request_lease == 0


def test_a7_a_task_that_is_cancelled_while_it_waits_says_so(worker):
    prepared(worker)
    leases = worker.start("story")
    item = worker.asked()
    worker.cancel()
    assert worker.outcomes(*leases)[0].kind == "cancelled"
    cancelled = worker.sent_to_requests(CancelRequestWait)
    assert cancelled.request_attempt_id == item.event_context.request_attempt_id


def test_a7_a_lease_that_is_granted_after_its_task_gave_up_is_returned(worker):
    prepared(worker)
    leases = worker.start("story")
    item = worker.asked()
    worker.cancel()
    worker.outcomes(*leases)
    lease = worker.grant(item)
    returned = worker.sent_to_requests(ReturnRequestLease)
    assert (returned.lease, returned.outcome.kind) == (lease, "local_cancelled")
    assert returned.event_context == item.event_context
    assert worker.snapshot().waiting_for_request_lease == 0


def test_a7_a_grant_and_a_cancel_at_the_same_time_lose_nothing(worker):
    """Both are in the mailbox before the task gets its turn; whichever comes first, the lease comes back."""
    for order in ("grant first", "cancel first"):
        prepared(worker)
        leases = worker.start("story")
        item = worker.asked()
        if order == "grant first":
            lease = worker.grant(item)
            worker.cancel()
        else:
            worker.cancel()
            lease = worker.grant(item)
        worker.outcomes(*leases)
        returned = worker.sent_to_requests(ReturnRequestLease)
        assert returned.lease == lease
        assert returned.outcome.kind in ("local_cancelled", "success")
        worker.release()


def test_a11_a_cancelled_attempt_returns_its_lease_before_its_task_ends(worker):
    prepared(worker, latency_ms=60_000.0)
    leases = worker.start("story")
    lease = worker.grant(worker.asked())
    while worker.snapshot().attempts_in_flight == 0:
        pass
    worker.cancel()
    assert worker.outcomes(*leases)[0].kind == "cancelled"
    (returned,) = worker.request_mail()
    assert isinstance(returned, ReturnRequestLease)
    assert (returned.lease, returned.outcome.kind) == (lease, "local_cancelled")


def test_an_attempt_is_told_before_its_lease_is_returned(worker):
    prepared(worker)
    leases = worker.start("story")
    worker.grant(worker.asked())
    worker.outcomes(*leases)
    events = [event.event_kind for event in worker.request_events()]
    assert events == ["model_request_started", "model_request_completed"]
