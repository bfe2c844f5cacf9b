"""What a new incarnation of request admission tells of leases that an earlier one had granted (A1)."""

from __future__ import annotations

import pytest

from actors.request_admission.core import RequestAdmissionCore
from messages._base import TELEMETRY
from messages.request_admission import (
    CancelRequestWait,
    RequestEventContext,
    RequestHolderLost,
    RequestLease,
    RequestLeaseGranted,
    RequestLeasesReported,
    RequestOutcome,
    ReturnRequestLease,
)
from messages.telemetry import RecordEvents
from tests.actors.request_admission.request_builders import CHAT, asking, registering
from tests.actors.scheduler.control_builders import a_correlation

LEASE = RequestLease(7, 1, CHAT, 0.0, 2, 2)
ABOUT = RequestEventContext(a_correlation(), 3)


def events_of(core, *messages):
    """Tell a core these, one after the other; return what it says has happened."""
    found = []
    for message in messages:
        outgoing = [*core.handle(message, now=1.0), *core.idle(now=1.0)]
        core.check()
        for item in outgoing:
            if item.to == TELEMETRY and isinstance(item.message, RecordEvents):
                found += item.message.events
    return found


def released(*messages):
    """Tell a second incarnation these, then the worker's report; return the leases that it says are back."""
    core = RequestAdmissionCore(generation=2)
    found = events_of(core, registering((CHAT, 2)), *messages, RequestLeasesReported([], []))
    return back(found)


def back(events):
    return [
        (event.request_lease_id, event.reason_or_outcome)
        for event in events
        if event.event_kind == "request_lease_released"
    ]


def returned(lost_holder=0):
    return ReturnRequestLease(
        LEASE, RequestOutcome("local_cancelled", sent=False), ABOUT, lost_holder=lost_holder
    )


def test_a_lease_that_comes_back_before_it_is_known_what_was_granted_is_told_as_released():
    assert released(returned()) == [(7, "local_cancelled")]


def test_a1_a_lease_that_an_earlier_incarnation_took_back_from_a_lost_worker_is_not_told_again():
    assert released(returned(lost_holder=1)) == []


@pytest.mark.parametrize(("generation", "told"), [(1, [(7, "local_cancelled")]), (2, [])])
def test_a1_a_lease_that_a_lost_worker_never_heard_of_is_told_by_whoever_heard_of_the_loss(generation, told):
    assert released(RequestHolderLost([], [], generation), returned(lost_holder=1)) == told


def test_a_lease_that_comes_back_twice_before_it_is_known_what_was_granted_is_told_once():
    core = RequestAdmissionCore(generation=2)
    events = events_of(core, registering((CHAT, 2)), returned(), returned(), RequestLeasesReported([], []))
    assert back(events) == [(7, "local_cancelled")]
    (refused,) = (each for each in events if each.event_kind == "request_release_diagnostic")
    assert (refused.request_lease_id, refused.reason_or_outcome) == (7, "duplicate")


def test_what_an_incarnation_had_put_aside_when_it_was_lost_is_told_by_the_next_one():
    second = RequestAdmissionCore(generation=2)
    assert events_of(second, returned()) == []
    third = RequestAdmissionCore(generation=3, unfinished=second.unfinished)
    assert back(events_of(third, registering((CHAT, 2)), RequestLeasesReported([], []))) == [
        (7, "local_cancelled")
    ]
    assert third.unfinished is None
    fourth = RequestAdmissionCore(generation=4, unfinished=third.unfinished)
    assert back(events_of(fourth, registering((CHAT, 2)), RequestLeasesReported([], []))) == []


def test_a8_an_answer_to_a_lost_incarnation_is_not_taken_for_its_successors():
    """It comes before the resources are known: everybody who waits would be refused for good."""
    core = RequestAdmissionCore(generation=3)
    waiting = RequestLeasesReported([], [asking(3)])
    assert [*core.handle(waiting, now=1.0), *core.idle(now=1.0)] == []
    core.handle(registering((CHAT, 2)), now=1.0)
    granted = [item.message for item in core.handle(waiting, now=1.0) if item.to == "worker"]
    assert [type(message) for message in granted] == [RequestLeaseGranted]


@pytest.mark.parametrize(("heard", "told"), [(False, ["request_wait_cancelled"]), (True, [])])
def test_a7_who_was_denied_before_its_worker_was_lost_has_not_given_up_waiting(heard, told):
    core = RequestAdmissionCore(generation=2)
    lost = RequestHolderLost([], [asking(3)], 1)
    answers = [CancelRequestWait(3)] if heard else []
    found = events_of(core, registering((CHAT, 2)), lost, *answers, RequestLeasesReported([], []))
    assert [event.event_kind for event in found if event.request_attempt_id == 3] == told
