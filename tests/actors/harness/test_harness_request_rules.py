"""Rules A1, A3, A7 and A8, on real actors with messages between them."""

from __future__ import annotations

import msgspec
import pytest

from messages import GetSnapshot, JobFinished, SubmitJob
from messages.request_admission import (
    CancelRequestWait,
    RegisterRequestResources,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestLeaseReturned,
    ReturnRequestLease,
)
from tests.actors.harness.lease_builders import CHAT, EMBEDDING, RequestSide, a_chat_job


def in_flight(harness):
    (endpoint,) = harness.ask("request_admission", GetSnapshot()).state.provider_models
    return endpoint.aggregate_in_flight


def test_a1_every_attempt_has_a_lease_of_its_own_and_gives_it_back_once(start):
    harness = start()
    harness.send("scheduler", SubmitJob(a_chat_job(rows=5)))
    result = harness.expect("harness", JobFinished).result
    harness.settle()
    granted = [m for m in harness.transcript.received("worker") if isinstance(m, RequestLeaseGranted)]
    returned = [
        m for m in harness.transcript.received("request_admission") if isinstance(m, ReturnRequestLease)
    ]
    ids = sorted(grant.lease.lease_id for grant in granted)
    assert ids == sorted(back.lease.lease_id for back in returned) == list(range(1, 11))
    assert len({grant.request_attempt_id for grant in granted}) == 10
    started = [
        e.request_lease_id for e in harness.emitted("worker") if e.event_kind == "model_request_started"
    ]
    assert sorted(started) == ids
    assert result.models["m"].attempts == 10


def test_a1_a_lease_returned_twice_frees_nothing_the_second_time(start):
    harness = start("request_admission")
    requests = RequestSide(harness, cap=2)
    requests.ask(1)
    requests.ask(2)
    first = requests.probe.expect(RequestLeaseGranted)
    requests.probe.expect(RequestLeaseGranted)
    for reason in ("released", "duplicate"):
        requests.give_back(first)
        assert requests.probe.expect(RequestLeaseReturned).reason == reason
    assert in_flight(harness) == 1
    assert requests.outcomes("request_release_diagnostic") == ["duplicate"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"generation": 9}, "wrong_controller_generation"),
        ({"resource": EMBEDDING}, "stale_lease"),
        ({"lease_id": 77}, "unknown_lease"),
    ],
)
def test_a1_a_lease_that_is_not_the_issued_one_frees_nothing(start, changes, reason):
    harness = start("request_admission")
    requests = RequestSide(harness, resources=(CHAT, EMBEDDING))
    requests.ask(1)
    granted = requests.probe.expect(RequestLeaseGranted)
    forged = msgspec.structs.replace(granted.lease, **changes)
    requests.give_back(msgspec.structs.replace(granted, lease=forged))
    assert requests.probe.expect(RequestLeaseReturned).reason == reason
    assert in_flight(harness) == 1
    assert requests.outcomes("request_release_diagnostic") == [reason]


def test_a3_no_more_than_the_static_cap_leave_at_once(start):
    harness = start("request_admission")
    requests = RequestSide(harness, cap=2)
    for attempt in (1, 2, 3):
        requests.ask(attempt)
    granted = [requests.probe.expect(RequestLeaseGranted).request_attempt_id for _ in range(2)]
    assert granted == [1, 2]
    harness.expect_none("worker", RequestLeaseGranted)


def test_a3_the_domains_of_one_model_share_its_static_cap(start):
    harness = start("request_admission")
    requests = RequestSide(harness, cap=1, resources=(CHAT, EMBEDDING))
    requests.ask(1, resource=CHAT)
    requests.ask(2, resource=EMBEDDING)
    first = requests.probe.expect(RequestLeaseGranted)
    harness.expect_none("worker", RequestLeaseGranted)
    requests.give_back(first)
    assert requests.probe.expect(RequestLeaseGranted).lease.resource == EMBEDDING


def test_a7_a_freed_slot_goes_to_the_oldest_waiter(start):
    requests = RequestSide(start("request_admission"))
    for attempt in (1, 2, 3):
        requests.ask(attempt)
    for attempt in (1, 2, 3):
        granted = requests.probe.expect(RequestLeaseGranted)
        assert granted.request_attempt_id == attempt
        requests.give_back(granted)


def test_a7_groups_that_wait_are_served_by_their_weights(start):
    requests = RequestSide(start("request_admission"))
    requests.ask(100)
    for attempt in range(8):
        requests.ask(attempt, group="light")
    for attempt in range(10, 18):
        requests.ask(attempt, group="heavy", weight=3.0)
    requests.give_back(requests.probe.expect(RequestLeaseGranted))
    served = []
    for _ in range(8):
        granted = requests.probe.expect(RequestLeaseGranted)
        served.append("heavy" if granted.request_attempt_id >= 10 else "light")
        requests.give_back(granted)
    assert served.count("heavy") == 6


def test_a7_a_waiter_that_is_cancelled_gets_no_lease_and_is_reported(start):
    harness = start("request_admission")
    requests = RequestSide(harness)
    requests.ask(1)
    requests.ask(2)
    requests.ask(3)
    granted = requests.probe.expect(RequestLeaseGranted)
    requests.probe.send("request_admission", CancelRequestWait(2))
    denied = requests.probe.expect(RequestLeaseDenied)
    assert (denied.request_attempt_id, denied.denied.reason) == (2, "cancellation")
    assert requests.outcomes("request_wait_cancelled") == ["cancellation"]
    requests.give_back(granted)
    assert requests.probe.expect(RequestLeaseGranted).request_attempt_id == 3


def test_a7_a_lease_granted_to_one_that_gave_up_is_returned_and_lost_by_nobody(start):
    harness = start("request_admission")
    requests = RequestSide(harness)
    requests.ask(1)
    granted = requests.probe.expect(RequestLeaseGranted)
    requests.probe.send("request_admission", CancelRequestWait(1))
    harness.expect_none("worker", RequestLeaseDenied)
    requests.give_back(granted, "local_cancelled")
    requests.ask(2)
    assert requests.probe.expect(RequestLeaseGranted).request_attempt_id == 2
    assert requests.outcomes("request_lease_released") == ["local_cancelled"]


def test_a7_waiters_are_told_when_their_resources_are_shut_down(start):
    harness = start("request_admission")
    requests = RequestSide(harness)
    requests.ask(1)
    requests.ask(2)
    harness.probe("scheduler").send("request_admission", RegisterRequestResources("run", ()))
    denied = requests.probe.expect(RequestLeaseDenied)
    assert (denied.request_attempt_id, denied.denied.reason) == (2, "shutdown")


def test_a8_a_return_wakes_the_waiter_it_makes_room_for(start):
    harness = start("request_admission")
    requests = RequestSide(harness)
    requests.ask(1)
    first = requests.probe.expect(RequestLeaseGranted)
    requests.ask(2)
    harness.expect_none("worker", RequestLeaseGranted)
    requests.give_back(first)
    assert requests.probe.expect(RequestLeaseGranted).request_attempt_id == 2


def test_a8_a_queue_timeout_wakes_its_waiter_by_deadline_though_no_message_comes(start):
    harness = start("request_admission")
    requests = RequestSide(harness)
    requests.ask(1)
    granted = requests.probe.expect(RequestLeaseGranted)
    requests.ask(2, timeout=0.05)
    denied = requests.probe.expect(RequestLeaseDenied)
    assert (denied.request_attempt_id, denied.denied.reason) == (2, "queue_timeout")
    assert requests.outcomes("request_wait_timeout") == ["queue_timeout"]
    requests.give_back(granted)
    harness.expect_none("worker", RequestLeaseGranted)


def test_a8_an_unknown_model_is_denied_at_once(start):
    requests = RequestSide(start("request_admission"))
    requests.ask(1, resource=msgspec.structs.replace(CHAT, model_id="other"))
    denied = requests.probe.expect(RequestLeaseDenied).denied
    assert denied.reason == "hard_policy_denial"
    assert "sim/m/chat" in denied.message
