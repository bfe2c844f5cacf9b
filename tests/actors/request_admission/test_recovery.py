"""What a new incarnation of request admission tells of leases that an earlier one had granted (A1)."""

from __future__ import annotations

import pytest

from actors.request_admission.core import RequestAdmissionCore
from messages._base import TELEMETRY
from messages.request_admission import (
    RequestEventContext,
    RequestHolderLost,
    RequestLease,
    RequestLeasesReported,
    RequestOutcome,
    ReturnRequestLease,
)
from messages.telemetry import RecordEvents
from tests.actors.request_admission.request_builders import CHAT, registering
from tests.actors.scheduler.control_builders import a_correlation

LEASE = RequestLease(7, 1, CHAT, 0.0, 2, 2)
ABOUT = RequestEventContext(a_correlation(), 3)


def released(*messages):
    """Tell a second incarnation these, then the worker's report; return the leases that it says are back."""
    core = RequestAdmissionCore(generation=2)
    found = []
    for message in (registering((CHAT, 2)), *messages, RequestLeasesReported([], [])):
        outgoing = [*core.handle(message, now=1.0), *core.idle(now=1.0)]
        core.check()
        for item in outgoing:
            if item.to == TELEMETRY and isinstance(item.message, RecordEvents):
                found += [
                    event for event in item.message.events if event.event_kind == "request_lease_released"
                ]
    return [(event.request_lease_id, event.reason_or_outcome) for event in found]


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
