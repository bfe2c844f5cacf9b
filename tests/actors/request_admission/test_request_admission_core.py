"""Request admission rule by rule: one lease per attempt, its caps, its waiters (A1, A3, A6 to A8, A10)."""

from __future__ import annotations

import msgspec
import pytest

from actors.request_admission.core import RequestAdmissionCore
from messages._base import Outgoing
from messages.request_admission import (
    RequestAdmissionDenied,
    RequestLease,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestLeaseReturned,
    RequestResourcesRegistered,
)
from tests.actors.request_admission.request_builders import (
    CHAT,
    EMBEDDING,
    OTHER,
    Admission,
    asking,
    cancelling,
    registering,
    returning,
)


@pytest.fixture
def admission():
    return Admission((CHAT, 2))


# -- A1, A2, A3 ----------------------------------------------------------------------------------------


def test_a1_every_attempt_gets_a_lease_of_its_own(admission):
    one, two = asking(1), asking(2, reply_to="another")
    lease = RequestLease(1, 1, CHAT, 0.5, 2, 2)
    assert admission.send(one, now=0.5) == [
        Outgoing("worker", RequestLeaseGranted(1, lease, one.item.event_context))
    ]
    lease = RequestLease(2, 1, CHAT, 0.7, 2, 2)
    assert admission.send(two, now=0.7) == [
        Outgoing("another", RequestLeaseGranted(2, lease, two.item.event_context))
    ]


def test_a1_an_immediate_grant_is_a_wait_of_no_length(admission):
    admission.ask(1)
    assert admission.events == ["request_wait_started", "request_wait_completed", "request_lease_acquired"]


def test_a2_a3_no_more_in_flight_than_the_static_cap(admission):
    assert admission.ask(1, 2, 3, 4) == [1, 2]
    resource = admission.resource()
    assert (resource.in_flight, resource.waiters, resource.current_limit, resource.effective_max) == (
        2,
        2,
        2,
        2,
    )


def test_a3_a_newcomer_does_not_pass_those_who_wait(admission):
    admission.ask(1, 2, 3)
    assert admission.give_back(1) == [3]
    assert admission.ask(4) == []
    assert admission.give_back(2) == [4]


def test_a10_all_domains_of_a_model_share_its_cap():
    admission = Admission((CHAT, 2), (EMBEDDING, 2), (OTHER, 2))
    assert admission.ask(1) == [1]
    assert admission.ask(2, 3, resource=EMBEDDING) == [2]
    assert admission.ask(4) == []
    assert admission.ask(5, 6, resource=OTHER) == [5, 6], "another model has a cap of its own"
    assert admission.give_back(1) == [3], "the oldest of either domain"
    (big, _) = admission.core.snapshot(now=0.0).provider_models
    assert (big.aggregate_in_flight, big.aggregate_active_leases, big.static_cap) == (2, 2, 2)
    assert big.limits_by_domain == {"chat": 2, "embedding": 2}


@pytest.mark.parametrize("caps", [(1, 3), (3, 1)])
def test_a10_differing_caps_of_one_endpoint_merge_to_the_least(caps):
    admission = Admission((CHAT, caps[0]), (EMBEDDING, caps[1]))
    granted = admission.ask(1, 2) + admission.ask(3, 4, resource=EMBEDDING)
    assert len(granted) == 1


# -- A6, A7 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "success",
        "provider_failure",
        "provider_timeout",
        "local_cancelled",
        "local_timeout",
        "unexpected_exception",
    ],
)
def test_a6_however_an_attempt_ends_its_place_is_free_and_somebody_is_woken(admission, kind):
    admission.ask(1, 2, 3)
    assert admission.give_back(1, kind=kind) == [3]
    assert admission.resource().last_outcome == kind


def test_a7_oldest_first_inside_a_group(admission):
    admission.ask(1, 2)
    for attempt in (5, 3, 4):
        admission.ask(attempt)
    assert [admission.give_back(attempt) for attempt in (1, 2, 5)] == [[5], [3], [4]]


def test_a7_equal_weights_take_turns_oldest_first():
    admission = Admission((CHAT, 1))
    admission.ask(1)
    admission.ask(11, 12, 13, group="a", now=1.0)
    admission.ask(21, 22, 23, group="b", now=2.0)
    served = [1]
    while granted := admission.give_back(served[-1], now=3.0):
        served += granted
    assert served == [1, 11, 21, 12, 22, 13, 23]


def test_a7_weights_are_shares():
    admission = Admission((CHAT, 1))
    admission.ask(1)
    admission.ask(*range(100, 160), group="heavy", weight=3.0)
    admission.ask(*range(200, 260), group="light")
    served = [1]
    for _ in range(40):
        served += admission.give_back(served[-1])
    assert sum(100 <= attempt < 200 for attempt in served[1:]) == 30


def test_a7_a_group_that_asks_one_at_a_time_does_not_starve_the_others():
    """It is back in the queue before each turn; each time it has had its turn already."""
    admission = Admission((CHAT, 1))
    admission.ask(1, group="drip")
    admission.ask(*range(100, 120), group="steady")
    admission.ask(2, group="drip")
    served, last = [1], 2
    for _ in range(20):
        served += admission.give_back(served[-1])
        if served[-1] < 100:
            last += 1
            admission.ask(last, group="drip")
    assert sum(attempt >= 100 for attempt in served) == 10


def test_a7_having_been_away_earns_no_credit():
    admission = Admission((CHAT, 1))
    admission.ask(1)
    admission.ask(*range(100, 160), group="steady")
    served = [1]
    for _ in range(30):
        served += admission.give_back(served[-1])
    admission.ask(*range(200, 220), group="newcomer")
    for _ in range(10):
        served += admission.give_back(served[-1])
    assert sum(attempt >= 200 for attempt in served[-10:]) == 5


def test_a7_a_cancelled_waiter_is_told_and_passed_over(admission):
    admission.ask(1, 2, 3, 4)
    assert admission.send(cancelling(3), now=1.5) == [
        Outgoing(
            "worker", RequestLeaseDenied(3, RequestAdmissionDenied("cancellation", message="waited 1.500 s"))
        )
    ]
    assert admission.resource().waiters == 1
    assert admission.give_back(1) == [4]
    assert "request_wait_cancelled" in admission.events


def test_a7_a_cancel_that_crosses_the_grant_changes_nothing_and_the_lease_comes_back(admission):
    admission.ask(1, 2, 3)
    assert admission.give_back(1) == [3]
    assert admission.send(cancelling(3)) == []
    assert admission.send(cancelling(3)) == []
    assert admission.give_back(3, kind="local_cancelled") == []
    assert admission.resource().in_flight == 1


def test_a7_asking_twice_for_one_attempt_is_answered_once(admission):
    admission.ask(1, 2)
    admission.send(asking(3))
    admission.send(asking(3))
    assert admission.resource().waiters == 1
    assert admission.give_back(1) == [3]
    assert admission.give_back(2) == []
    assert admission.give_back(3) == []


# -- A8 ------------------------------------------------------------------------------------------------


def test_a8_an_unknown_resource_is_denied_at_once_with_what_is_known(admission):
    (sent,) = admission.send(asking(1, resource=OTHER))
    assert sent == Outgoing(
        "worker",
        RequestLeaseDenied(
            1,
            RequestAdmissionDenied(
                "hard_policy_denial", message="sim/small/chat is not one of: sim/big/chat"
            ),
        ),
    )


def test_a8_before_anything_is_registered_everything_is_unknown():
    core = RequestAdmissionCore()
    (sent,) = core.handle(asking(1), now=0.0)
    assert sent.message.denied.reason == "hard_policy_denial"
    assert sent.message.denied.message.endswith("is not one of: none")


def test_a8_a_wait_ends_at_its_own_deadline(admission):
    admission.ask(1, 2)
    admission.ask(3, timeout=5.0, now=1.0)
    admission.ask(4, timeout=2.0, now=1.5)
    admission.ask(5, now=1.6)
    assert admission.core.next_deadline() == 3.5
    assert admission.at(3.4) == []
    admission.at(3.5)
    assert admission.denied == {4: "queue_timeout"}
    assert admission.core.next_deadline() == 6.0
    admission.at(100.0)
    assert admission.denied == {4: "queue_timeout", 3: "queue_timeout"}
    assert admission.core.next_deadline() is None
    assert admission.give_back(1) == [5]
    assert admission.events.count("request_wait_timeout") == 2


def test_a8_who_was_served_or_gave_up_leaves_no_deadline(admission):
    admission.ask(1, 2)
    admission.ask(3, 4, timeout=5.0)
    admission.give_back(1)
    admission.send(cancelling(4))
    assert admission.core.next_deadline() is None
    admission.at(10.0)
    assert admission.denied == {4: "cancellation"}


def test_a8_one_that_does_not_wait_is_told_at_once_what_stands_in_its_way(admission):
    admission.ask(1, 2)
    admission.ask(3, timeout=0.0)
    assert admission.denied == {3: "no_capacity"}
    assert admission.events[-2:] == ["request_wait_timeout", "request_acquire_denied"]


def test_a8_a_queue_that_forms_and_drains_says_so_once(admission):
    admission.ask(1, 2, 3, 4)
    admission.give_back(1)
    admission.send(cancelling(4))
    assert admission.events.count("request_queue_formed") == 1
    assert admission.events.count("request_queue_drained") == 1


def test_a8_waiters_of_a_run_that_ends_are_told(admission):
    admission.ask(1, 2, 3)
    sent = admission.send(registering((CHAT, 2), run_id="run-2"))
    assert sent[-1] == Outgoing("scheduler", RequestResourcesRegistered("run-2", 1))
    assert admission.denied == {3: "shutdown"}
    assert admission.core.next_deadline() is None


# -- leases --------------------------------------------------------------------------------------------


def test_a_return_is_answered_where_that_is_wanted(admission):
    admission.ask(1)
    lease = admission.leases[1]
    assert admission.send(returning(lease, reply_to="probe")) == [
        Outgoing("probe", RequestLeaseReturned(1, released=True, reason="released"))
    ]


def test_a_refused_return_frees_nothing_and_says_why(admission):
    admission.ask(1, 2)
    lease = admission.leases[1]
    admission.give_back(1)
    hold = msgspec.structs.replace(admission.leases[2], resource=OTHER)
    wrong = {
        "duplicate": lease,
        "wrong_controller_generation": msgspec.structs.replace(lease, generation=2),
        "unknown_lease": msgspec.structs.replace(lease, lease_id=77),
        "stale_lease": hold,
    }
    admission.events.clear()
    for reason, token in wrong.items():
        (sent,) = admission.send(returning(token, reply_to="probe"))
        assert sent.message == RequestLeaseReturned(token.lease_id, released=False, reason=reason)
    assert admission.events == ["request_release_diagnostic"] * 4
    assert admission.resource().in_flight == 1
    assert admission.core.snapshot(now=0.0).releases_by_reason == dict.fromkeys(["released", *wrong], 1)


def test_a_lease_that_outlives_its_run_is_taken_back_and_frees_nothing_of_the_next(admission):
    admission.ask(1, 2)
    admission.send(registering((CHAT, 2), run_id="run-2"))
    assert admission.ask(3, 4, 5) == [3, 4]
    admission.events.clear()
    assert admission.give_back(1) == []
    assert admission.events == ["request_lease_released"]
    assert admission.resource().in_flight == 2
    admission.send(registering(run_id="run-2"))
    assert admission.give_back(3) == []
    assert admission.core.snapshot(now=0.0).releases_by_reason == {"released": 2}


def test_lease_ids_are_unique_over_generations():
    first, second = Admission((CHAT, 1)), Admission((CHAT, 1), generation=2)
    first.ask(1)
    second.ask(1)
    assert first.leases[1].lease_id != second.leases[1].lease_id
    (sent,) = second.send(returning(first.leases[1], reply_to="probe"))
    assert sent.message.reason == "wrong_controller_generation"


def test_events_leave_in_one_message_when_the_mailbox_is_empty(admission):
    core = admission.core
    for attempt in (1, 2):
        core.handle(asking(attempt), now=1.0)
    (told,) = core.idle(now=1.0)
    assert (told.to, told.message.stream, len(told.message.events)) == ("telemetry", "request", 6)
    assert core.idle(now=1.0) == []
