"""Grants one lease per outbound attempt, and takes every one back.

Owns what is in flight and what was learnt from how attempts end. Knows nothing of tasks, columns or row
data: an item's event context is carried, never looked into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from actors.request_admission.budgets import Reservation
from actors.request_admission.facts import RequestFacts
from actors.request_admission.leases import RequestLeases
from actors.request_admission.pressure import PressureWatch
from actors.request_admission.recovery import Recovery
from actors.request_admission.resources import Learnt, Resource
from actors.request_admission.routes import Routes
from actors.request_admission.waiters import Waiter
from actors.request_admission.waiting_room import Charges, WaitingRoom
from messages._base import REQUEST_ADMISSION, SCHEDULER, WORKER, Message, Outgoing
from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    HeldRequestLease,
    RegisterRequestResources,
    ReportRequestLeases,
    RequestAdmissionSnapshot,
    RequestCircuitChanged,
    RequestEventContext,
    RequestHolderLost,
    RequestLeaseGranted,
    RequestLeaseReturned,
    RequestLeasesReported,
    RequestOutcome,
    RequestResourcesRegistered,
    ReturnRequestLease,
)


class _Hold(NamedTuple):
    """What an active lease counts against, also when that is no longer registered, and is about."""

    resource: Resource
    context: RequestEventContext
    reservation: Reservation | None


class RequestAdmissionCore:
    """One generation of request admission. `unfinished` is the recovery that a lost one did not end."""

    def __init__(self, *, generation: int = 1, unfinished: Recovery | None = None) -> None:
        self._generation = generation
        self._now = 0.0
        self._settled = True
        """Whether time has done its part: between two messages it may still have to."""
        self._leases = RequestLeases(generation)
        self._holds: dict[int, _Hold] = {}
        self._facts = RequestFacts()
        self._routes = Routes()
        self._waiting = WaitingRoom(self._routes, self._facts, self._grant)
        self._pressure = PressureWatch("", [])
        self._recovery: Recovery | None = Recovery() if generation > 1 else None
        if self._recovery is not None and unfinished is not None:
            self._recovery.go_on(unfinished)
        self._registered: RegisterRequestResources | None = None
        self._snapshots = 0
        self._handlers: dict[type[Message], Callable[[Any, float], list[Outgoing]]] = {
            RegisterRequestResources: self._register,
            AcquireRequestLease: self._acquire,
            CancelRequestWait: self._cancel,
            ReturnRequestLease: self._return,
            RequestLeasesReported: self._reported,
            RequestHolderLost: self._holder_lost,
        }

    @property
    def accepts(self) -> frozenset[type[Message]]:
        """The commands of `messages.request_admission`."""
        return frozenset(self._handlers)

    @property
    def generation(self) -> int:
        """The generation that this core's leases carry."""
        return self._generation

    @property
    def unfinished(self) -> Recovery | None:
        """A recovery that is under way: what it has put aside is its successor's, should this one be lost."""
        return None if self._recovery is None or self._recovery.over else self._recovery

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one command."""
        self._settled = False
        return self._handlers[type(message)](message, now)

    def idle(self, *, now: float) -> list[Outgoing]:
        """Do what the time has come for; tell the events since the last call, and what is pressed."""
        self._now, self._settled = now, True
        outgoing = self._waiting.expire(now)
        for resource in self._routes.resources.values():
            learnt = resource.advance(now)
            if learnt is not None:
                outgoing += self._tell(resource, learnt, now)
        outgoing += self._waiting.serve_all(now)
        outgoing += self._pressure.changes(now=now, sequence=self._snapshots)
        return outgoing + self._facts.take()

    def next_deadline(self) -> float | None:
        """Return when a wait is over, or a gate, a probe, a ramp or a budget lets something leave (A8)."""
        moments = (self._waiting.next_deadline(), self._routes.first_moment(self._now))
        return min((moment for moment in moments if moment is not None), default=None)

    def close(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - the shells' common interface
        """Return nothing: there is nothing to let go of."""
        return []

    def snapshot(self, *, now: float) -> RequestAdmissionSnapshot:
        """Return every resource and endpoint as it is now."""
        self._snapshots += 1
        routes = self._routes
        return RequestAdmissionSnapshot(
            generation=self._generation,
            resources=tuple(
                resource.snapshot(now=now, sequence=self._snapshots) for resource in routes.resources.values()
            ),
            provider_models=tuple(endpoint.snapshot() for endpoint in routes.endpoints.values()),
            leases_issued=self._leases.issued,
            releases_by_reason=dict(self._leases.releases_by_reason),
        )

    def check(self) -> None:
        """Assert that counts equal what they count, and that nobody waits who could go."""
        routes = self._routes
        for resource in routes.resources.values():
            held = sum(hold.resource is resource for hold in self._holds.values())
            assert resource.in_flight == held <= resource.spec.static_cap
            assert 1 <= resource.limit.current <= resource.limit.effective_max
        for endpoint in routes.endpoints.values():
            assert endpoint.in_flight == sum(resource.in_flight for resource in endpoint.resources)
            assert endpoint.in_flight <= endpoint.static_cap
        for pool in routes.pools():
            assert pool.waiting == sum(len(route.waiters.waiters()) for route in pool.routes)
            if self._settled:
                assert not pool.waiting or pool.next_waiter(self._now) is None, "a wake-up was lost"
        assert self._holds.keys() == self._leases.active.keys()
        assert len(self._waiting) == sum(pool.waiting for pool in routes.pools())

    # -- commands ----------------------------------------------------------------------------------

    def _register(self, message: RegisterRequestResources, now: float) -> list[Outgoing]:
        if self._recovery is not None and self._registered == message:
            return self._registration(message)  # asked again, for one that was lost in its turn
        self._registered = message
        outgoing = self._waiting.clear("shutdown", now)
        for resource, earlier in self._routes.register(message.resources, message.config):
            self._facts.registered(resource, earlier, now)
        self._pressure = PressureWatch(message.run_id, list(self._routes.resources.values()))
        if self._recovery is not None and not self._recovery.over:
            outgoing.append(Outgoing(WORKER, ReportRequestLeases(reply_to=REQUEST_ADMISSION)))
        return outgoing + self._registration(message)

    def _registration(self, message: RegisterRequestResources) -> list[Outgoing]:
        registered = RequestResourcesRegistered(message.run_id, self._generation)
        return [Outgoing(message.reply_to or SCHEDULER, registered)]

    def _acquire(self, message: AcquireRequestLease, now: float) -> list[Outgoing]:
        if self._recovery is not None and self._recovery.keep(message):
            return []
        return self._waiting.enter(message, now)

    def _cancel(self, message: CancelRequestWait, now: float) -> list[Outgoing]:
        if self._recovery is not None and self._recovery.keep(message):
            return []
        # One that was granted meanwhile waits no longer: the worker gives that lease back (A7).
        return self._waiting.give_up(message.request_attempt_id, now)

    def _return(self, message: ReturnRequestLease, now: float) -> list[Outgoing]:
        if self._recovery is not None and self._recovery.keep(message):
            return []
        lease, outcome = message.lease, message.outcome
        reason = self._leases.take_back(lease)
        outgoing: list[Outgoing] = []
        if message.reply_to:
            returned = RequestLeaseReturned(lease.lease_id, reason == "released", reason)
            outgoing.append(Outgoing(message.reply_to, returned))
        if reason != "released":
            return outgoing + self._return_refused(message, reason, now)
        resource, _, reservation = self._holds.pop(lease.lease_id)
        learnt = resource.settle(lease, outcome, now)
        self._facts.released(message.event_context, lease, outcome.kind, now)
        if reservation is not None and resource.endpoint.budgets is not None:
            resource.endpoint.budgets.settle(reservation, outcome, now)
        pool = self._routes.pool_of(resource.endpoint)
        if pool is None:
            return outgoing  # an earlier run's: what it learnt is nothing to those that are registered now
        if outcome.kind == "rate_limited":
            self._facts.rate_limited(message.event_context, lease, resource, outcome, now)
        if learnt.transitions or learnt.circuit_changed:
            outgoing += self._tell(resource, learnt, now, message.event_context)
        if pool.waiting:
            outgoing += self._waiting.serve(pool, now)
        return outgoing

    def _return_refused(self, message: ReturnRequestLease, reason: str, now: float) -> list[Outgoing]:
        """Tell that nothing was freed; end the lease that stands for a lost incarnation's."""
        lease, recovery = message.lease, self._recovery
        if recovery is not None and lease.lease_id in recovery.unowned:
            # Its resource is no longer counted, but the token is back.
            recovery.unowned.discard(lease.lease_id)
            self._facts.released(message.event_context, lease, message.outcome.kind, now)
            return []
        self._facts.refused(message.event_context, lease, reason, now)
        successor = recovery.successor(lease) if recovery is not None else None
        if successor is None:
            return []
        return self._return(msgspec.structs.replace(message, lease=successor), now)

    # -- after a loss ------------------------------------------------------------------------------

    def _reported(self, message: RequestLeasesReported, now: float) -> list[Outgoing]:
        """Take over what the worker holds and who waits there; nothing was granted until now (A3)."""
        recovery = self._recovery
        if recovery is None or recovery.over or self._registered is None:
            return []  # where nothing is registered yet it is the answer to one that was lost in its turn
        for held in message.held:
            self._adopt(held, recovery, now)
        told: set[int] = set()
        for context, lease, outcome in recovery.returned():
            # Returned while nobody counted: the token is back, and there is nothing left to free.
            if lease.lease_id in told:
                self._facts.refused(context, lease, "duplicate", now)
            else:
                self._facts.released(context, lease, outcome.kind, now)
                told.add(lease.lease_id)
        for context in recovery.cancelled():
            self._facts.add("request_wait_cancelled", context, "", now, outcome="cancellation")
        known = recovery.asked()
        outgoing: list[Outgoing] = []
        recovery.over = True
        for waiting in message.waiting:
            context = waiting.item.event_context
            route = self._routes.of(waiting.item)
            if context.request_attempt_id in known or route is None:
                outgoing += self._acquire(waiting, now)
            else:
                self._waiting.let_wait(route, Waiter(waiting, now))
        return outgoing + self._waiting.serve_all(now)

    def _adopt(self, held: HeldRequestLease, recovery: Recovery, now: float) -> None:
        resource = self._routes.resources.get(held.lease.resource.name)
        if resource is None:
            recovery.unowned.add(held.lease.lease_id)
            return
        lease = self._leases.adopt(held.lease, now=now)
        recovery.reissued[held.lease.lease_id] = lease
        resource.take(now)
        self._holds[lease.lease_id] = _Hold(resource, held.event_context, None)
        self._facts.recovered(held.event_context, lease, replaces=held.lease.lease_id, now=now)

    def _holder_lost(self, message: RequestHolderLost, now: float) -> list[Outgoing]:
        """Take back every lease of a worker that is gone, and let nobody wait there any more."""
        recovering = self._recovery is not None and not self._recovery.over
        outgoing = self._waiting.clear("cancellation", now)
        if recovering and self._recovery is not None:
            self._recovery.lost_waiting += [each.item.event_context for each in message.waiting]
            self._recovery.lost_holders.add(message.generation)
        outcome = RequestOutcome("local_cancelled")
        for held in message.held if recovering else ():
            # Nobody counts it here, and nothing else will tell that it is back.
            self._facts.released(held.event_context, held.lease, outcome.kind, now)
        for lease_id, hold in list(self._holds.items()):
            lease = self._leases.active[lease_id]
            outgoing += self._return(ReturnRequestLease(lease, outcome, hold.context), now)
        return outgoing

    # -- inside ------------------------------------------------------------------------------------

    def _grant(self, resource: Resource, waiter: Waiter, charges: Charges, now: float) -> Outgoing:
        message = waiter.message
        item = message.item
        context, budgets = item.event_context, resource.endpoint.budgets
        resource.take(now)
        lease = self._leases.issue(
            resource.key,
            now=now,
            current_limit=resource.limit.current,
            effective_max=resource.limit.effective_max,
        )
        reservation = None if budgets is None else budgets.reserve(item, now)
        self._holds[lease.lease_id] = _Hold(resource, context, reservation)
        self._facts.add("request_wait_completed", context, resource.name, now, diagnostics=charges)
        self._facts.add("request_lease_acquired", context, resource.name, now, lease_id=lease.lease_id)
        return Outgoing(message.reply_to, RequestLeaseGranted(context.request_attempt_id, lease, context))

    def _tell(
        self, resource: Resource, learnt: Learnt, now: float, context: RequestEventContext | None = None
    ) -> list[Outgoing]:
        """Tell what has changed about a resource; the scheduler hears of its circuit (A9)."""
        for transition in learnt.transitions:
            self._facts.limit_changed(resource, transition, now, context)
        if not learnt.circuit_changed or self._registered is None:
            return []
        self._facts.circuit_changed(resource, now, context)
        outcomes, circuit = resource.outcomes, resource.circuit
        changed = RequestCircuitChanged(
            self._registered.run_id,
            resource.key,
            circuit.state,
            since=now if circuit.since is None else circuit.since,
            rate_limited=outcomes["rate_limited"],
            succeeded=outcomes["success"],
            next_probe_at=circuit.probe_at,
        )
        return [Outgoing(SCHEDULER, changed)]
