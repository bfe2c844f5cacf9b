"""The real request admission core as a controller of the simulation: its messages, and virtual time."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from actors.request_admission.core import RequestAdmissionCore
from bench.moving.controllers import RESOURCE, Grant
from bench.results import BenchError
from messages._base import Outgoing
from messages.job import RequestAdmissionTuning
from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    RegisterRequestResources,
    RequestAdmissionConfig,
    RequestAdmissionItem,
    RequestEventContext,
    RequestGroupSpec,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestOutcome,
    RequestResourceSpec,
    ReturnRequestLease,
)
from messages.tasks import RequestResourceKey

_CLIENT = "worker"
_GROUP = RequestGroupSpec("virtual")


class Lane(NamedTuple):
    """Clients who ask for one resource as one group."""

    clients: range
    resource: RequestResourceKey = RESOURCE
    group: RequestGroupSpec = _GROUP


class CoreController:
    """The shell of `RequestAdmissionCore`: hands it messages, and lets its deadlines come.

    Where there are no `lanes`, all clients ask for the same, as one group.
    """

    def __init__(
        self, tuning: RequestAdmissionTuning, *, static_cap: int, lanes: tuple[Lane, ...] = ()
    ) -> None:
        self._core = RequestAdmissionCore()
        self._clients: dict[int, int] = {}
        self._attempts = 0
        self._lane_of = {client: lane for lane in lanes for client in lane.clients}
        self._only = Lane(range(0))
        self.answered: Counter[Lane] = Counter()
        """How many calls of each lane were answered."""
        resources = dict.fromkeys(lane.resource for lane in lanes or (self._only,))
        specs = tuple(RequestResourceSpec(resource, static_cap) for resource in resources)
        config = RequestAdmissionConfig(default_tuning=tuning)
        self._core.handle(RegisterRequestResources("virtual", specs, config), now=0.0)
        self._core.idle(now=0.0)

    def ask(self, client: int, *, now: float) -> list[Grant]:
        """Let a client ask for a lease."""
        self._attempts += 1
        self._clients[self._attempts] = client
        context = RequestEventContext(None, self._attempts)
        lane = self._lane_of.get(client, self._only)
        item = RequestAdmissionItem(lane.resource, lane.group, None, context)
        return self._granted(self._core.handle(AcquireRequestLease(item, reply_to=_CLIENT), now=now), now)

    def give_back(self, grant: Grant, outcome: RequestOutcome, *, now: float) -> list[Grant]:
        """Return a client's lease."""
        granted = grant.token
        assert isinstance(granted, RequestLeaseGranted)
        if outcome.kind == "success":
            self.answered[self._lane_of.get(grant.client, self._only)] += 1
        context = RequestEventContext(None, granted.request_attempt_id)
        message = ReturnRequestLease(granted.lease, outcome, context)
        return self._granted(self._core.handle(message, now=now), now)

    def wake(self, *, now: float) -> list[Grant]:
        """Let the core's deadline come."""
        return self._granted([], now)

    def wakes_at(self) -> float | None:
        """Return the core's next deadline."""
        return self._core.next_deadline()

    def close(self, *, now: float) -> int:
        """Cancel every wait; return how many leases and waiters are left."""
        for attempt in list(self._clients):
            self._core.handle(CancelRequestWait(attempt), now=now)
        self._core.idle(now=now)
        self._core.check()
        resources = self._core.snapshot(now=now).resources
        return sum(resource.active_leases + resource.waiters for resource in resources)

    def _granted(self, outgoing: list[Outgoing], now: float) -> list[Grant]:
        grants = []
        for item in outgoing + self._core.idle(now=now):
            message = item.message
            if isinstance(message, RequestLeaseGranted):
                grants.append(Grant(self._clients.pop(message.request_attempt_id), message))
            elif isinstance(message, RequestLeaseDenied):
                raise BenchError(f"request admission denied an attempt that waits: {message.denied.reason}")
        return grants
