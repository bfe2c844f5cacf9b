"""Grants one lease per outbound attempt, and takes every one back.

Owns limits, what is in flight and who waits. Knows nothing of tasks, columns or row data: an item's
event context is carried, never looked into.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import msgspec

from actors.request_admission.endpoints import Endpoint, Resource
from actors.request_admission.facts import RequestFacts
from actors.request_admission.leases import RequestLeases
from actors.request_admission.recovery import Recovery
from actors.request_admission.waiters import Waiter
from messages._base import REQUEST_ADMISSION, SCHEDULER, WORKER, Message, Outgoing
from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    HeldRequestLease,
    ProviderModelKey,
    RegisterRequestResources,
    ReportRequestLeases,
    RequestAdmissionDenied,
    RequestAdmissionSnapshot,
    RequestDenialReason,
    RequestEventContext,
    RequestHolderLost,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestLeaseReturned,
    RequestLeasesReported,
    RequestOutcome,
    RequestResourcesRegistered,
    ReturnRequestLease,
)
from messages.telemetry import RequestEventKind


class RequestAdmissionCore:
    """One generation of request admission."""

    def __init__(self, *, generation: int = 1) -> None:
        self._generation = generation
        self._leases = RequestLeases(generation)
        self._endpoints: dict[str, Endpoint] = {}
        self._resources: dict[str, Resource] = {}
        self._holds: dict[int, tuple[Resource, RequestEventContext]] = {}
        """What each active lease counts against, also when it is no longer registered, and is about."""
        self._recovery: Recovery | None = Recovery() if generation > 1 else None
        self._registered: RegisterRequestResources | None = None
        self._waiting: dict[int, tuple[Resource, Waiter]] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._snapshots = 0
        self._facts = RequestFacts()
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

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one command."""
        return self._handlers[type(message)](message, now)

    def idle(self, *, now: float) -> list[Outgoing]:
        """Let go of waiters whose time is up; tell the events since the last call."""
        return self._expire(now) + self._facts.take()

    def next_deadline(self) -> float | None:
        """Return when the next waiter's time is up."""
        while self._deadlines and self._deadlines[0][1] not in self._waiting:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def close(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - the shells' common interface
        """Return nothing: there is nothing to let go of."""
        return []

    def snapshot(self, *, now: float) -> RequestAdmissionSnapshot:
        """Return every resource and endpoint as it is now."""
        self._snapshots += 1
        return RequestAdmissionSnapshot(
            generation=self._generation,
            resources=tuple(
                resource.snapshot(now=now, sequence=self._snapshots) for resource in self._resources.values()
            ),
            provider_models=tuple(endpoint.snapshot() for endpoint in self._endpoints.values()),
            leases_issued=self._leases.issued,
            releases_by_reason=dict(self._leases.releases_by_reason),
        )

    def check(self) -> None:
        """Assert that counts equal what they count, and that nobody waits who could go."""
        for resource in self._resources.values():
            held = sum(holder is resource for holder, _ in self._holds.values())
            assert resource.in_flight == held <= resource.limit.effective_max
            assert len(resource.waiters) == len(resource.waiters.waiters())
            assert not (len(resource.waiters) and resource.has_room), f"{resource.name}: a wake-up was lost"
        for endpoint in self._endpoints.values():
            assert endpoint.in_flight == sum(resource.in_flight for resource in endpoint.resources)
            assert endpoint.in_flight <= endpoint.static_cap
        assert self._holds.keys() == self._leases.active.keys()
        assert len(self._waiting) == sum(len(resource.waiters) for resource in self._resources.values())

    # -- commands ----------------------------------------------------------------------------------

    def _register(self, message: RegisterRequestResources, now: float) -> list[Outgoing]:
        if self._recovery is not None and self._registered == message:
            return self._registration(message)  # asked again, for one that was lost in its turn
        self._registered = message
        outgoing = self._deny_all("shutdown", now)
        self._endpoints, self._resources = {}, {}
        for spec in message.resources:
            key = ProviderModelKey(spec.resource.provider, spec.resource.model_id)
            endpoint = self._endpoints.setdefault(key.name, Endpoint(key, spec.static_cap))
            resource = Resource(spec, endpoint)
            endpoint.static_cap = min(endpoint.static_cap, spec.static_cap)
            endpoint.resources.append(resource)
            self._resources[resource.name] = resource
            self._facts.registered(spec, key.name, now)
        if self._recovery is not None and not self._recovery.over:
            outgoing.append(Outgoing(WORKER, ReportRequestLeases(reply_to=REQUEST_ADMISSION)))
        return outgoing + self._registration(message)

    def _registration(self, message: RegisterRequestResources) -> list[Outgoing]:
        registered = RequestResourcesRegistered(message.run_id, self._generation)
        return [Outgoing(message.reply_to or SCHEDULER, registered)]

    def _acquire(self, message: AcquireRequestLease, now: float) -> list[Outgoing]:
        if self._recovery is not None and self._recovery.keep(message):
            return []
        item = message.item
        context = item.event_context
        resource = self._resources.get(item.resource.name)
        if resource is None:
            known = ", ".join(self._resources) or "none"
            return [
                self._denied(
                    message, "hard_policy_denial", now, f"{item.resource.name} is not one of: {known}"
                )
            ]
        if context.request_attempt_id in self._waiting:
            return []  # asked twice: the first is answered
        self._facts.add("request_wait_started", context, resource.name, now)
        waiter = Waiter(message, now)
        if resource.has_room and not len(resource.waiters):
            return [self._grant(resource, waiter, now)]
        if not len(resource.waiters):
            self._facts.add("request_queue_formed", context, resource.name, now)
        self._wait(resource, waiter)
        return []

    def _wait(self, resource: Resource, waiter: Waiter) -> None:
        attempt = waiter.message.item.event_context.request_attempt_id
        resource.waiters.add(waiter)
        self._waiting[attempt] = (resource, waiter)
        if waiter.deadline is not None:
            heappush(self._deadlines, (waiter.deadline, attempt))

    def _cancel(self, message: CancelRequestWait, now: float) -> list[Outgoing]:
        if self._recovery is not None and self._recovery.keep(message):
            return []
        found = self._waiting.get(message.request_attempt_id)
        if found is None:
            return []  # granted meanwhile: the worker gives that lease back (A7)
        return [self._give_up(*found, "cancellation", "request_wait_cancelled", now)]

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
            self._facts.add(
                "request_release_diagnostic",
                message.event_context,
                lease.resource.name,
                now,
                lease_id=lease.lease_id,
                outcome=reason,
            )
            successor = self._recovery.successor(lease) if self._recovery is not None else None
            if successor is None:
                return outgoing
            return outgoing + self._return(msgspec.structs.replace(message, lease=successor), now)
        resource, _ = self._holds.pop(lease.lease_id)
        resource.free()
        resource.last_outcome = outcome.kind
        self._facts.released(message.event_context, lease, outcome.kind, now)
        return outgoing + self._serve(resource.endpoint, now)

    # -- after a loss ------------------------------------------------------------------------------

    def _reported(self, message: RequestLeasesReported, now: float) -> list[Outgoing]:
        """Take over what the worker holds and who waits there; nothing was granted until now (A3)."""
        recovery = self._recovery
        if recovery is None or recovery.over:
            return []
        for held in message.held:
            self._adopt(held, recovery, now)
        for context, lease, outcome in recovery.returned():
            # Returned while nobody counted: the token is back, and there is nothing left to free.
            self._facts.released(context, lease, outcome.kind, now)
        for context in recovery.cancelled():
            self._facts.add("request_wait_cancelled", context, "", now, outcome="cancellation")
        known = recovery.asked()
        outgoing: list[Outgoing] = []
        recovery.over = True
        for waiting in message.waiting:
            context = waiting.item.event_context
            resource = self._resources.get(waiting.item.resource.name)
            if context.request_attempt_id in known or resource is None:
                outgoing += self._acquire(waiting, now)
            else:
                self._wait(resource, Waiter(waiting, now))
        for endpoint in self._endpoints.values():
            outgoing += self._serve(endpoint, now)
        return outgoing

    def _adopt(self, held: HeldRequestLease, recovery: Recovery, now: float) -> None:
        resource = self._resources.get(held.lease.resource.name)
        if resource is None:
            return
        lease = self._leases.adopt(held.lease, now=now)
        recovery.reissued[held.lease.lease_id] = lease
        resource.take()
        self._holds[lease.lease_id] = (resource, held.event_context)
        self._facts.recovered(held.event_context, lease, replaces=held.lease.lease_id, now=now)

    def _holder_lost(self, message: RequestHolderLost, now: float) -> list[Outgoing]:
        """Take back every lease of a worker that is gone, and let nobody wait there any more."""
        recovering = self._recovery is not None and not self._recovery.over
        outgoing = self._deny_all("cancellation", now)
        if recovering and self._recovery is not None:
            self._recovery.lost_waiting += [each.item.event_context for each in message.waiting]
        outcome = RequestOutcome("local_cancelled")
        for held in message.held if recovering else ():
            # Nobody counts it here, and nothing else will tell that it is back.
            self._facts.released(held.event_context, held.lease, outcome.kind, now)
        for lease_id, (_, context) in list(self._holds.items()):
            lease = self._leases.active[lease_id]
            outgoing += self._return(ReturnRequestLease(lease, outcome, context), now)
        return outgoing

    # -- inside ------------------------------------------------------------------------------------

    def _serve(self, endpoint: Endpoint, now: float) -> list[Outgoing]:
        """Grant to whoever can go now, in fair order."""
        outgoing: list[Outgoing] = []
        while (found := endpoint.next_waiter()) is not None:
            resource, waiter = found
            del self._waiting[waiter.message.item.event_context.request_attempt_id]
            outgoing.append(self._grant(resource, waiter, now))
            self._note_drained(resource, waiter, now)
        return outgoing

    def _grant(self, resource: Resource, waiter: Waiter, now: float) -> Outgoing:
        message = waiter.message
        context = message.item.event_context
        resource.take()
        lease = self._leases.issue(
            resource.key,
            now=now,
            current_limit=resource.limit.current,
            effective_max=resource.limit.effective_max,
        )
        self._holds[lease.lease_id] = (resource, context)
        self._facts.add("request_wait_completed", context, resource.name, now)
        self._facts.add("request_lease_acquired", context, resource.name, now, lease_id=lease.lease_id)
        return Outgoing(message.reply_to, RequestLeaseGranted(context.request_attempt_id, lease, context))

    def _expire(self, now: float) -> list[Outgoing]:
        outgoing: list[Outgoing] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, attempt = heappop(self._deadlines)
            resource, waiter = self._waiting[attempt]
            outgoing.append(self._give_up(resource, waiter, "queue_timeout", "request_wait_timeout", now))
        return outgoing

    def _deny_all(self, reason: RequestDenialReason, now: float) -> list[Outgoing]:
        waiting = list(self._waiting.values())
        return [
            self._give_up(resource, waiter, reason, "request_wait_cancelled", now)
            for resource, waiter in waiting
        ]

    def _give_up(
        self,
        resource: Resource,
        waiter: Waiter,
        reason: RequestDenialReason,
        kind: RequestEventKind,
        now: float,
    ) -> Outgoing:
        context = waiter.message.item.event_context
        del self._waiting[context.request_attempt_id]
        resource.waiters.remove(waiter)
        self._facts.add(kind, context, resource.name, now, outcome=reason)
        self._note_drained(resource, waiter, now)
        return self._denied(waiter.message, reason, now, f"waited {now - waiter.asked_at:.3f} s")

    def _denied(
        self, message: AcquireRequestLease, reason: RequestDenialReason, now: float, text: str
    ) -> Outgoing:
        context = message.item.event_context
        self._facts.add("request_acquire_denied", context, message.item.resource.name, now, outcome=reason)
        denied = RequestAdmissionDenied(reason, message=text)
        return Outgoing(message.reply_to, RequestLeaseDenied(context.request_attempt_id, denied))

    def _note_drained(self, resource: Resource, waiter: Waiter, now: float) -> None:
        if not len(resource.waiters):
            self._facts.add("request_queue_drained", waiter.message.item.event_context, resource.name, now)
