"""Who asked for a lease and has no answer yet: each is granted its own lease, or told why not (A7, A8)."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from actors.request_admission.facts import RequestFacts
from actors.request_admission.resources import Resource
from actors.request_admission.routes import Pool, Route, Routes
from actors.request_admission.waiters import Waiter
from messages._base import Outgoing
from messages.request_admission import (
    AcquireRequestLease,
    RequestAdmissionDenied,
    RequestDenialReason,
    RequestLeaseDenied,
)
from messages.telemetry import RequestEventKind

Charges = dict[str, float] | None
"""What a wait was for beside the limit: seconds of `circuit`, `cooldown`, `budget`; None: of none."""

Grant = Callable[[Resource, Waiter, Charges, float], Outgoing]
"""Makes the lease of an attempt that may leave now, and the message that brings it."""


class WaitingRoom:
    """Everybody who waits, over all routes."""

    def __init__(self, routes: Routes, facts: RequestFacts, grant: Grant) -> None:
        self._routes = routes
        self._facts = facts
        self._grant = grant
        self._waiting: dict[int, tuple[Route, Waiter]] = {}
        self._deadlines: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, attempt: int) -> bool:
        return attempt in self._waiting

    def enter(self, message: AcquireRequestLease, now: float) -> list[Outgoing]:
        """Grant an attempt its lease, let it wait, or deny it."""
        item = message.item
        context = item.event_context
        route = self._routes.of(item)
        if route is None:
            known = ", ".join(self._routes.resources) or "none"
            asked = ", ".join(each.name for each in (item.resource, *item.replicas))
            return [self._denied(message, "hard_policy_denial", now, f"{asked} is not one of: {known}")]
        if context.request_attempt_id in self._waiting:
            return []  # asked twice: the first is answered
        name = item.resource.name
        self._facts.add("request_wait_started", context, name, now)
        waiter = Waiter(message, now)
        if not route.pool.waiting:
            resource = route.choose(item, now)
            if resource is not None:
                return [self._grant(resource, waiter, None, now)]
        if item.queue_wait_timeout is not None and item.queue_wait_timeout <= 0.0:
            return [self._turned_away(route, waiter, now)]
        self.let_wait(route, waiter)
        outgoing = self.serve(route.pool, now) if route.pool.waiting > 1 else []
        if len(route.waiters) == 1 and context.request_attempt_id in self._waiting:
            self._facts.add("request_queue_formed", context, name, now)
        return outgoing

    def let_wait(self, route: Route, waiter: Waiter) -> None:
        """Let an attempt wait for its turn."""
        attempt = waiter.message.item.event_context.request_attempt_id
        waiter.closed_before = tuple(each.closed_seconds(waiter.asked_at) for each in route.resources)
        route.add(waiter)
        self._waiting[attempt] = (route, waiter)
        if waiter.deadline is not None:
            heappush(self._deadlines, (waiter.deadline, attempt))
            if len(self._deadlines) > 2 * len(self._waiting) + 16:
                self._deadlines = [entry for entry in self._deadlines if entry[1] in self._waiting]
                heapify(self._deadlines)

    def serve(self, pool: Pool, now: float) -> list[Outgoing]:
        """Grant to whoever of a pool can go now, in fair order."""
        outgoing: list[Outgoing] = []
        while pool.waiting and (found := pool.next_waiter(now)) is not None:
            route, resource, waiter = found
            del self._waiting[waiter.message.item.event_context.request_attempt_id]
            outgoing.append(self._grant(resource, waiter, _charged(route, resource, waiter, now), now))
            self._note_drained(route, waiter, now)
        return outgoing

    def serve_all(self, now: float) -> list[Outgoing]:
        """Grant to whoever can go now, everywhere."""
        if not self._waiting:
            return []
        return [answer for pool in self._routes.pools() for answer in self.serve(pool, now)]

    def give_up(self, attempt: int, now: float) -> list[Outgoing]:
        """Let an attempt wait no longer, if it still does."""
        if attempt not in self._waiting:
            return []
        return [self._send_away(attempt, "cancellation", "request_wait_cancelled", now)]

    def expire(self, now: float) -> list[Outgoing]:
        """Let those go whose time is up."""
        outgoing: list[Outgoing] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, attempt = heappop(self._deadlines)
            outgoing.append(self._send_away(attempt, "queue_timeout", "request_wait_timeout", now))
        return outgoing

    def next_deadline(self) -> float | None:
        """Return when the next one's time is up."""
        while self._deadlines and self._deadlines[0][1] not in self._waiting:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def clear(self, reason: RequestDenialReason, now: float) -> list[Outgoing]:
        """Send everybody away."""
        return [
            self._send_away(attempt, reason, "request_wait_cancelled", now) for attempt in list(self._waiting)
        ]

    def _turned_away(self, route: Route, waiter: Waiter, now: float) -> Outgoing:
        """Deny one that does not wait, with what stands in its way (A3)."""
        message = waiter.message
        self._facts.add(
            "request_wait_timeout",
            message.item.event_context,
            message.item.resource.name,
            now,
            outcome="queue_timeout",
        )
        obstacles = [_obstacle(route, resource, now) for resource in route.resources]
        # Of several replicas the one that is free first says why.
        obstacles.sort(key=lambda found: (found[1] is None, found[1] or 0.0))
        reason, until = obstacles[0]
        return self._denied(message, reason, now, "there was no room, and it does not wait", until=until)

    def _send_away(
        self, attempt: int, reason: RequestDenialReason, kind: RequestEventKind, now: float
    ) -> Outgoing:
        route, waiter = self._waiting.pop(attempt)
        item = waiter.message.item
        route.remove(waiter)
        charged = _charged(route, route.resources[0], waiter, now)
        self._facts.add(
            kind, item.event_context, item.resource.name, now, outcome=reason, diagnostics=charged
        )
        self._note_drained(route, waiter, now)
        return self._denied(waiter.message, reason, now, f"waited {now - waiter.asked_at:.3f} s")

    def _denied(
        self,
        message: AcquireRequestLease,
        reason: RequestDenialReason,
        now: float,
        text: str,
        *,
        until: float | None = None,
    ) -> Outgoing:
        context = message.item.event_context
        self._facts.add("request_acquire_denied", context, message.item.resource.name, now, outcome=reason)
        wait = None if until is None else max(0.0, until - now)
        denied = RequestAdmissionDenied(reason, wait, until, message=text)
        return Outgoing(message.reply_to, RequestLeaseDenied(context.request_attempt_id, denied))

    def _note_drained(self, route: Route, waiter: Waiter, now: float) -> None:
        if not len(route.waiters):
            item = waiter.message.item
            self._facts.add("request_queue_drained", item.event_context, item.resource.name, now)


def _charged(route: Route, resource: Resource, waiter: Waiter, now: float) -> Charges:
    before = waiter.closed_before[route.resources.index(resource)]
    return resource.closed_seconds(now).since(before, now - waiter.asked_at)


def _obstacle(route: Route, resource: Resource, now: float) -> tuple[RequestDenialReason, float | None]:
    if resource.room(now) <= 0:
        return resource.obstacle(now)
    if route.pool.waiting:
        return "queued_waiters_ahead", None
    if resource.endpoint.budget_blocked_until is not None:
        return "budget", resource.endpoint.budget_blocked_until
    return "no_capacity", None  # a replica that is not trusted just now
