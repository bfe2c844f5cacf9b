"""The worker's desk for request leases, driven by hand."""

from __future__ import annotations

import asyncio

from actors.worker.lease_desk import LeaseDesk
from messages.request_admission import (
    CancelRequestWait,
    RequestAdmissionDenied,
    RequestAdmissionItem,
    RequestEventContext,
    RequestGroupSpec,
    RequestLease,
    RequestLeaseDenied,
    RequestLeaseGranted,
)
from messages.tasks import RequestResourceKey

RESOURCE = RequestResourceKey("p", "m", "chat")


def asked(desk, number):
    context = RequestEventContext(None, number)
    item = RequestAdmissionItem(
        resource=RESOURCE, group=RequestGroupSpec("g"), queue_wait_timeout=None, event_context=context
    )
    return desk.ask(item), context


def test_a7_what_was_decided_for_a_lost_incarnation_goes_back_as_such():
    loop = asyncio.new_event_loop()
    try:
        desk = LeaseDesk(loop, lambda: None)
        context = RequestEventContext(None, 5)
        lease = RequestLease(7, 1, RESOURCE, 0.0, 2, 2)
        desk.decided(RequestLeaseGranted(5, lease, context))
        desk.decided(RequestLeaseDenied(6, RequestAdmissionDenied("queue_timeout")))
        unheard, denied = (outgoing.message for outgoing in desk.take_outgoing())
        assert (unheard.lease, unheard.outcome.sent, unheard.lost_holder) == (lease, False, 1)
        assert denied == CancelRequestWait(6)
    finally:
        loop.close()


def test_a7_who_has_given_up_waits_no_longer_once_request_admission_is_lost():
    """The lost one has heard of the end of the wait and cannot answer; the next one is not told of it."""
    loop = asyncio.new_event_loop()
    try:
        desk = LeaseDesk(loop, lambda: None)
        given_up, context = asked(desk, 1)
        asked(desk, 2)
        desk.give_up(given_up, context)
        report = desk.report()
        assert [waiting.item.event_context.request_attempt_id for waiting in report.waiting] == [2]
        assert desk.waiting == 1
    finally:
        loop.close()
