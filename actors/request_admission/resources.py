"""What calls are made to: resources, and the endpoints whose cap and budgets several of them share."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from actors.request_admission.budgets import EndpointBudgets, budgets_of
from actors.request_admission.circuit import Circuit
from actors.request_admission.closed_time import ClosedTime
from actors.request_admission.cooldown import Cooldown
from actors.request_admission.limits import LimitTransition, make_limit
from actors.request_admission.suspicion import Suspicion
from messages.request_admission import (
    ProviderModelKey,
    ProviderModelPressureSnapshot,
    RequestAdmissionConfig,
    RequestAdmissionItem,
    RequestDenialReason,
    RequestLease,
    RequestOutcome,
    RequestOutcomeKind,
    RequestPressureSnapshot,
    RequestResourceSpec,
)


class ClosedSeconds(NamedTuple):
    """What can stand in the way beside a limit, and for how long it has, in seconds."""

    circuit: float
    cooldown: float
    budget: float

    def since(self, earlier: ClosedSeconds, waited: float) -> dict[str, float] | None:
        """Return what a wait is to be charged to, so far as it was not the limit; None where it was.

        Where two things stood in the way at once, the first is charged.
        """
        charged: dict[str, float] = {}
        left = waited
        for name, now, then in zip(self._fields, self, earlier, strict=True):
            seconds = round(min(now - then, left), 6)
            if seconds > 0.0:
                charged[name] = seconds
                left -= seconds
        return charged or None


class Learnt:
    """What the end of an attempt, or the passing of time, changed about a resource."""

    __slots__ = ("circuit_changed", "transitions")

    def __init__(
        self, transitions: tuple[LimitTransition, ...] = (), *, circuit_changed: bool = False
    ) -> None:
        self.transitions = transitions
        self.circuit_changed = circuit_changed


class Resource:
    """One domain of an endpoint: its limit, its gate, its circuit, and what is in flight."""

    def __init__(self, spec: RequestResourceSpec, endpoint: Endpoint, config: RequestAdmissionConfig) -> None:
        self.key = spec.resource
        self.name = spec.resource.name
        self.spec = spec
        self.endpoint = endpoint
        self.tuning = config.tuning_of(spec.resource)
        self.limit = make_limit(
            self.tuning,
            static_cap=spec.static_cap,
            initial=config.initial_limits.get(self.name),
            clamp=config.max_limit_clamps.get(self.name),
        )
        self.cooldown = Cooldown(self.tuning.cooldown_seconds)
        self.circuit = Circuit(self.tuning)
        self.suspicion = Suspicion()
        self.in_flight = 0
        self.waiting = 0
        """Attempts that wait and would do with this resource."""
        self.outcomes: Counter[str] = Counter()
        self.consecutive_rate_limits = 0
        self.last_outcome: RequestOutcomeKind | None = None

    def room(self, now: float) -> int:
        """Return how many more attempts may leave at `now` (A3); the budgets are not asked."""
        endpoint = self.endpoint
        free = min(self.limit.current - self.in_flight, endpoint.static_cap - endpoint.in_flight)
        if free <= 0 or self.cooldown.is_closed(now):
            return 0
        if self.circuit.state == "open":
            return 1 if self.circuit.admits(now, self.in_flight) else 0
        return free

    def obstacle(self, now: float) -> tuple[RequestDenialReason, float | None]:
        """Return why nothing may leave at `now`, and until when, where that is known."""
        if self.circuit.state == "open":
            return "circuit_open", self.circuit.probe_at
        if self.cooldown.is_closed(now):
            return "cooldown", self.cooldown.blocked_until
        return "no_capacity", None

    def take(self, now: float) -> None:
        """Count one more attempt."""
        self.in_flight += 1
        self.endpoint.in_flight += 1
        self.limit.on_acquire(now=now)

    def settle(self, lease: RequestLease, outcome: RequestOutcome, now: float) -> Learnt:
        """Count one attempt less, and learn from how it ended."""
        kind, in_flight = outcome.kind, self.in_flight
        cooling = self.cooldown.is_closed(now)
        self.in_flight -= 1
        self.endpoint.in_flight -= 1
        self.last_outcome = kind
        self.outcomes[kind] += 1
        if kind == "rate_limited":
            self.consecutive_rate_limits += 1
            self.cooldown.close(now=now, retry_after=outcome.retry_after_seconds)
        elif kind == "success":
            self.consecutive_rate_limits = 0
        transitions = self.limit.on_return(lease, outcome, now=now, in_flight=in_flight, cooling=cooling)
        self.suspicion.on_outcome(outcome, now=now)
        changed = self.circuit.on_outcome(
            kind,
            now=now,
            granted_at=lease.acquired_at,
            at_minimum=self.limit.at_minimum,
            blocked_until=self.cooldown.blocked_until,
        )
        return Learnt(transitions, circuit_changed=changed)

    def advance(self, now: float) -> Learnt | None:
        """Let time pass; return what changed, None where nothing did."""
        changed = self.circuit.advance(now=now, blocked_until=self.cooldown.blocked_until)
        due = self.limit.next_change()
        transitions = self.limit.advance(now=now) if due is not None and due <= now else ()
        return Learnt(transitions, circuit_changed=changed) if changed or transitions else None

    def next_moment(self, now: float) -> float | None:
        """Return the first moment after `now` at which time alone changes what may leave."""
        cooldown, circuit = self.cooldown, self.circuit
        if (
            cooldown.blocked_until is None
            and circuit.since is None
            and self.suspicion.until is None
            and self.limit.next_change() is None
        ):
            return None  # the commonest case: nothing here depends on time
        moments = (
            cooldown.blocked_until,
            circuit.probe_at,
            circuit.decide_at(cooldown.blocked_until),
            self.suspicion.until,
            self.limit.next_change(),
        )
        return min((moment for moment in moments if moment is not None and moment > now), default=None)

    def closed_seconds(self, now: float) -> ClosedSeconds:
        """Return for how long each thing but the limit has stood in the way, in all until `now`."""
        return ClosedSeconds(
            self.circuit.opened.seconds(now),
            self.cooldown.closed.seconds(now),
            self.endpoint.held_back.seconds(now),
        )

    def counts(self) -> dict[str, int]:
        """Return what is in use and who waits: what an event about the limit is to be judged by."""
        return {
            "current_limit": self.limit.current,
            "in_flight": self.in_flight,
            "waiters": self.waiting,
            "aggregate_in_flight": self.endpoint.in_flight,
        }

    def snapshot(self, *, now: float, sequence: int) -> RequestPressureSnapshot:
        """Return the resource at this moment."""
        blocked = self.endpoint.budget_blocked_until
        closed = self.cooldown.is_closed(now)
        return RequestPressureSnapshot(
            captured_at=now,
            sequence=sequence,
            resource=self.key,
            effective_max=self.limit.effective_max,
            current_limit=self.limit.current,
            in_flight=self.in_flight,
            active_leases=self.in_flight,
            waiters=self.waiting,
            blocked_until=self.cooldown.blocked_until if closed else None,
            cooldown_remaining=self.cooldown.remaining(now),
            rate_limit_ceiling=self.limit.rate_limit_ceiling,
            consecutive_rate_limits=self.consecutive_rate_limits,
            last_outcome=self.last_outcome,
            algorithm=self.tuning.algorithm,
            circuit=self.circuit.state,
            next_probe_at=self.circuit.probe_at,
            budget_blocked_until=blocked if blocked is not None and blocked > now else None,
            suspect_until=self.suspicion.until if self.suspicion.stands(now) else None,
            outcomes=dict(self.outcomes),
        )


class Endpoint:
    """One provider's model: what all of its domains hold together, and may use together."""

    def __init__(self, key: ProviderModelKey, spec: RequestResourceSpec) -> None:
        self.key = key
        self.static_cap = spec.static_cap
        self.in_flight = 0
        self.budgets: EndpointBudgets | None = budgets_of(spec.budgets)
        self.budget_blocked_until: float | None = None
        """When the first in turn fits the budgets; None where they hold nobody back."""
        self.held_back = ClosedTime()
        """When the budgets held somebody back."""
        self.resources: list[Resource] = []

    def admits(self, item: RequestAdmissionItem, now: float) -> bool:
        """Return whether an attempt fits the budgets at `now`; note until when it does not."""
        if self.budgets is None:
            return True
        at = self.budgets.room_at(item, now)
        if at <= now:
            self.budget_blocked_until = None
            self.held_back.open(now)
            return True
        self.budget_blocked_until = at
        self.held_back.close(now, at)
        return False

    def snapshot(self) -> ProviderModelPressureSnapshot:
        """Return the endpoint at this moment."""
        specs = [resource.spec for resource in self.resources]
        return ProviderModelPressureSnapshot(
            key=self.key,
            static_cap=self.static_cap,
            aggregate_in_flight=self.in_flight,
            aggregate_active_leases=sum(resource.in_flight for resource in self.resources),
            aliases=tuple(dict.fromkeys(alias for spec in specs for alias in spec.aliases)),
            raw_caps={alias: cap for spec in specs for alias, cap in spec.raw_caps.items()},
            limits_by_domain={resource.key.domain: resource.limit.current for resource in self.resources},
        )
