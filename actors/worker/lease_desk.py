"""The worker's side of the conversation with request admission: asks, keeps, gives up, gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from actors.worker.attempt_numbers import generation_of
from messages._base import REQUEST_ADMISSION, WORKER, Outgoing
from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    HeldRequestLease,
    RequestAdmissionDecision,
    RequestAdmissionItem,
    RequestEventContext,
    RequestLease,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestLeasesReported,
    RequestOutcome,
    ReturnRequestLease,
)

_UNUSED = RequestOutcome("local_cancelled", sent=False)
"""How a lease comes back that nobody wants any more (A7)."""


class _Asking(NamedTuple):
    """An attempt that waits for its answer, and what it asked."""

    answer: asyncio.Future[RequestAdmissionDecision]
    message: AcquireRequestLease


class LeaseDesk:
    """Owns who waits and what is held; keeps what is to be sent until the next flush."""

    def __init__(self, loop: asyncio.AbstractEventLoop, attend: Callable[[], None]) -> None:
        self._loop = loop
        self._attend = attend
        self._asking: dict[int, _Asking] = {}
        self._held: dict[int, HeldRequestLease] = {}
        self._outgoing: list[Outgoing] = []

    @property
    def waiting(self) -> int:
        """How many attempts wait for a lease."""
        return len(self._asking)

    def ask(self, item: RequestAdmissionItem) -> asyncio.Future[RequestAdmissionDecision]:
        """Ask for a lease; return what will hold the answer."""
        answer: asyncio.Future[RequestAdmissionDecision] = self._loop.create_future()
        acquire = AcquireRequestLease(item, reply_to=WORKER)
        self._asking[item.event_context.request_attempt_id] = _Asking(answer, acquire)
        self.tell(Outgoing(REQUEST_ADMISSION, acquire))
        return answer

    def give_up(self, answer: asyncio.Future[RequestAdmissionDecision], context: RequestEventContext) -> None:
        """Want the lease no longer: stop waiting, or give it back where it was granted meanwhile."""
        if answer.done() and not answer.cancelled():
            decision = answer.result()
            if isinstance(decision, RequestLease):
                self.give_back(decision, _UNUSED, context)
            return
        answer.cancel()
        if context.request_attempt_id in self._asking:
            self.tell(Outgoing(REQUEST_ADMISSION, CancelRequestWait(context.request_attempt_id, context)))

    def give_back(self, lease: RequestLease, outcome: RequestOutcome, context: RequestEventContext) -> None:
        """Return a lease."""
        self._held.pop(lease.lease_id, None)
        self.tell(Outgoing(REQUEST_ADMISSION, ReturnRequestLease(lease, outcome, context)))

    def decided(self, message: RequestLeaseGranted | RequestLeaseDenied) -> None:
        """Hand an answer to the attempt that waits for it; give back a lease that nobody wants (A7)."""
        asking = self._asking.pop(message.request_attempt_id, None)
        if asking is None:
            if isinstance(message, RequestLeaseGranted) and message.event_context is not None:
                lost = generation_of(message.request_attempt_id)
                unheard = ReturnRequestLease(message.lease, _UNUSED, message.event_context, lost_holder=lost)
                self.tell(Outgoing(REQUEST_ADMISSION, unheard))
            elif isinstance(message, RequestLeaseDenied):
                # Whoever denied it may have been lost as well: its successor must not take it for waiting.
                self.tell(Outgoing(REQUEST_ADMISSION, CancelRequestWait(message.request_attempt_id)))
            return
        context = asking.message.item.event_context
        decision = message.lease if isinstance(message, RequestLeaseGranted) else message.denied
        if isinstance(decision, RequestLease):
            self._held[decision.lease_id] = HeldRequestLease(decision, context)
        if not asking.answer.done():
            asking.answer.set_result(decision)
        elif isinstance(decision, RequestLease):
            self.give_back(decision, _UNUSED, context)

    def report(self) -> RequestLeasesReported:
        """Return what is held and who waits, for a request admission that has lost its state.

        Who has given up is not named, and so nobody will answer it: it is forgotten here as well.
        """
        self._asking = {number: asking for number, asking in self._asking.items() if not asking.answer.done()}
        waiting = [asking.message for asking in self._asking.values()]
        return RequestLeasesReported(list(self._held.values()), waiting)

    def tell(self, outgoing: Outgoing) -> None:
        """Send a message with the next flush."""
        self._outgoing.append(outgoing)
        self._attend()

    def take_outgoing(self) -> list[Outgoing]:
        """Return what is to be sent since the last call, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing
