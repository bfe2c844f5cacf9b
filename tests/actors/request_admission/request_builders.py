"""Builders of request admission's messages, and a core registered for some resources."""

from __future__ import annotations

from actors.request_admission.core import RequestAdmissionCore
from messages.job import RequestAdmissionTuning
from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    RegisterRequestResources,
    RequestAdmissionConfig,
    RequestAdmissionItem,
    RequestBudgets,
    RequestCircuitChanged,
    RequestEventContext,
    RequestGroupSpec,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestLeasesReported,
    RequestOutcome,
    RequestPressureChanged,
    RequestResourceSpec,
    ReturnRequestLease,
)
from messages.tasks import RequestResourceKey
from messages.telemetry import RecordEvents
from tests.actors.scheduler.control_builders import RUN, a_correlation

CHAT = RequestResourceKey("sim", "big", "chat")
EMBEDDING = RequestResourceKey("sim", "big", "embedding")
OTHER = RequestResourceKey("sim", "small", "chat")


def context(attempt):
    return RequestEventContext(a_correlation(execution=attempt), attempt)


def asking(attempt, group="g", *, weight=1.0, resource=CHAT, timeout=None, reply_to="worker", **item):
    asked = RequestAdmissionItem(resource, RequestGroupSpec(group, weight), timeout, context(attempt), **item)
    return AcquireRequestLease(asked, reply_to=reply_to)


def returning(lease, kind="success", *, attempt=0, reply_to="", retry_after=None, status=None, **outcome):
    ended = RequestOutcome(kind, retry_after, status, **outcome)
    return ReturnRequestLease(lease, ended, context(attempt), reply_to=reply_to)


def cancelling(attempt):
    return CancelRequestWait(attempt)


def registering(*resources, run_id=RUN, budgets=None, config=None, **tuning):
    budgets = RequestBudgets(**(budgets or {}))
    specs = tuple(RequestResourceSpec(key, cap, budgets=budgets) for key, cap in resources)
    config = config or RequestAdmissionConfig(default_tuning=RequestAdmissionTuning(**tuning))
    return RegisterRequestResources(run_id, specs, config, reply_to="scheduler")


def granted(sent):
    return [item.message.request_attempt_id for item in sent if isinstance(item.message, RequestLeaseGranted)]


class Admission:
    """A core and what it has granted and denied so far; its invariants are checked after every step.

    `events` are the kinds of what was told, `told` the events themselves; `pressed` is what task admission
    heard last of each resource, `circuits` what the scheduler heard.
    """

    def __init__(self, *resources, generation=1, **how):
        self.core = RequestAdmissionCore(generation=generation)
        self.leases = {}
        self.denied = {}
        self.denials = {}
        self.events = []
        self.told = []
        self.pressed = {}
        self.circuits = []
        self.core.handle(registering(*(resources or ((CHAT, 2),)), **how), now=0.0)
        if generation > 1:  # nothing is granted before it is known what an earlier one has granted
            self.core.handle(RequestLeasesReported([], []), now=0.0)
        self.idle(0.0)
        self.events.clear()

    def send(self, message, now=0.0):
        """Deliver one message and let the core come to rest; return its answers."""
        outgoing = self._answers(self.core.handle(message, now=now)) + self.idle(now)
        self.core.check()
        return self._note(outgoing)

    def at(self, now):
        """Let the core's deadline come; return what it sent."""
        outgoing = self._note(self.idle(now))
        self.core.check()
        return outgoing

    def idle(self, now):
        return self._answers(self.core.idle(now=now))

    def _answers(self, outgoing):
        """Return the answers among these messages; keep what they tell others."""
        answers = []
        for item in outgoing:
            match item.message:
                case RecordEvents(events=events):
                    self.told += events
                    self.events += [event.event_kind for event in events]
                case RequestPressureChanged(pressures=pressures):
                    self.pressed.update({found.resource: found for found in pressures})
                case RequestCircuitChanged():
                    self.circuits.append(item.message)
                case _:
                    answers.append(item)
        return answers

    def _note(self, outgoing):
        for item in outgoing:
            if isinstance(item.message, RequestLeaseGranted):
                assert item.message.request_attempt_id not in self.leases
                self.leases[item.message.request_attempt_id] = item.message.lease
            elif isinstance(item.message, RequestLeaseDenied):
                self.denials[item.message.request_attempt_id] = item.message.denied
                self.denied[item.message.request_attempt_id] = item.message.denied.reason
        return outgoing

    def ask(self, *attempts, now=0.0, **how):
        """Ask for these attempts; return which of them were granted at once."""
        for attempt in attempts:
            self.send(asking(attempt, **how), now)
        return [attempt for attempt in attempts if attempt in self.leases]

    def give_back(self, attempt, now=0.0, kind="success", **outcome):
        """Return an attempt's lease; return the attempts that were granted because of it."""
        return granted(self.send(returning(self.leases[attempt], kind, attempt=attempt, **outcome), now))

    def wait_until(self, now):
        """Let time pass, deadline by deadline; return the attempts that were granted, each with its time."""
        found = []
        while (due := self.core.next_deadline()) is not None and due <= now:
            found += [(attempt, due) for attempt in granted(self.at(due))]
        found += [(attempt, now) for attempt in granted(self.at(now))]
        return found

    def resource(self, key=CHAT, now=0.0):
        snapshot = self.core.snapshot(now=now)
        return next(found for found in snapshot.resources if found.resource == key)
