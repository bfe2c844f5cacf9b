"""Builders of request admission's messages, and a core registered for some resources."""

from __future__ import annotations

from actors.request_admission.core import RequestAdmissionCore
from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    RegisterRequestResources,
    RequestAdmissionItem,
    RequestEventContext,
    RequestGroupSpec,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestLeasesReported,
    RequestOutcome,
    RequestResourceSpec,
    ReturnRequestLease,
)
from messages.tasks import RequestResourceKey
from tests.actors.scheduler.control_builders import RUN, a_correlation

CHAT = RequestResourceKey("sim", "big", "chat")
EMBEDDING = RequestResourceKey("sim", "big", "embedding")
OTHER = RequestResourceKey("sim", "small", "chat")


def context(attempt):
    return RequestEventContext(a_correlation(execution=attempt), attempt)


def asking(attempt, group="g", *, weight=1.0, resource=CHAT, timeout=None, reply_to="worker"):
    item = RequestAdmissionItem(resource, RequestGroupSpec(group, weight), timeout, context(attempt))
    return AcquireRequestLease(item, reply_to=reply_to)


def returning(lease, kind="success", *, attempt=0, reply_to=""):
    return ReturnRequestLease(lease, RequestOutcome(kind), context(attempt), reply_to=reply_to)


def cancelling(attempt):
    return CancelRequestWait(attempt)


def registering(*resources, run_id=RUN):
    specs = tuple(RequestResourceSpec(key, cap) for key, cap in resources)
    return RegisterRequestResources(run_id, specs, reply_to="scheduler")


class Admission:
    """A core and what it has granted and denied so far; its invariants are checked after every step."""

    def __init__(self, *resources, generation=1):
        self.core = RequestAdmissionCore(generation=generation)
        self.leases = {}
        self.denied = {}
        self.events = []
        self.core.handle(registering(*(resources or ((CHAT, 2),))), now=0.0)
        if generation > 1:  # nothing is granted before it is known what an earlier one has granted
            self.core.handle(RequestLeasesReported([], []), now=0.0)
        self.idle(0.0)
        self.events.clear()

    def send(self, message, now=0.0):
        """Deliver one message and let the core come to rest; return what it sent, telemetry apart."""
        outgoing = self.core.handle(message, now=now) + self.idle(now)
        self.core.check()
        return self._note(outgoing)

    def at(self, now):
        """Let the core's deadline come; return what it sent."""
        outgoing = self._note(self.idle(now))
        self.core.check()
        return outgoing

    def idle(self, now):
        outgoing = self.core.idle(now=now)
        for item in outgoing:
            self.events += [event.event_kind for event in getattr(item.message, "events", ())]
        return [item for item in outgoing if item.to != "telemetry"]

    def _note(self, outgoing):
        for item in outgoing:
            if isinstance(item.message, RequestLeaseGranted):
                assert item.message.request_attempt_id not in self.leases
                self.leases[item.message.request_attempt_id] = item.message.lease
            elif isinstance(item.message, RequestLeaseDenied):
                self.denied[item.message.request_attempt_id] = item.message.denied.reason
        return outgoing

    def ask(self, *attempts, now=0.0, **how):
        """Ask for these attempts; return which of them were granted at once."""
        for attempt in attempts:
            self.send(asking(attempt, **how), now)
        return [attempt for attempt in attempts if attempt in self.leases]

    def give_back(self, attempt, now=0.0, kind="success"):
        """Return an attempt's lease; return the attempts that were granted because of it."""
        sent = self.send(returning(self.leases[attempt], kind, attempt=attempt), now)
        return [
            item.message.request_attempt_id for item in sent if isinstance(item.message, RequestLeaseGranted)
        ]

    def resource(self, key=CHAT):
        snapshot = self.core.snapshot(now=0.0)
        return next(found for found in snapshot.resources if found.resource == key)
