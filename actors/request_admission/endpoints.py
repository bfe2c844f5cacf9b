"""One provider's model: its static cap, and the resources (domains) that share it."""

from __future__ import annotations

from actors.request_admission.limits import RequestLimit, make_limit
from actors.request_admission.waiters import VirtualClock, Waiter, WaiterQueue
from messages.job import RequestAdmissionTuning
from messages.request_admission import (
    ProviderModelKey,
    ProviderModelPressureSnapshot,
    RequestOutcomeKind,
    RequestPressureSnapshot,
    RequestResourceSpec,
)


class Resource:
    """One domain of an endpoint: its own limit, what is in flight, who waits."""

    def __init__(self, spec: RequestResourceSpec, endpoint: Endpoint) -> None:
        self.key = spec.resource
        self.name = spec.resource.name
        self.spec = spec
        self.endpoint = endpoint
        self.limit: RequestLimit = make_limit(RequestAdmissionTuning(), static_cap=spec.static_cap)
        self.in_flight = 0
        self.waiters = WaiterQueue(endpoint.clock)
        self.last_outcome: RequestOutcomeKind | None = None

    @property
    def has_room(self) -> bool:
        """Whether one more attempt may be in flight (A3)."""
        return self.in_flight < self.limit.current and self.endpoint.in_flight < self.endpoint.static_cap

    def take(self) -> None:
        """Count one more attempt."""
        self.in_flight += 1
        self.endpoint.in_flight += 1

    def free(self) -> None:
        """Count one attempt less."""
        self.in_flight -= 1
        self.endpoint.in_flight -= 1

    def snapshot(self, *, now: float, sequence: int) -> RequestPressureSnapshot:
        """Return the resource at this moment."""
        return RequestPressureSnapshot(
            captured_at=now,
            sequence=sequence,
            resource=self.key,
            effective_max=self.limit.effective_max,
            current_limit=self.limit.current,
            in_flight=self.in_flight,
            active_leases=self.in_flight,
            waiters=len(self.waiters),
            last_outcome=self.last_outcome,
        )


class Endpoint:
    """What all domains of one provider's model hold together."""

    def __init__(self, key: ProviderModelKey, static_cap: int) -> None:
        self.key = key
        self.static_cap = static_cap
        self.in_flight = 0
        self.clock = VirtualClock()
        self.resources: list[Resource] = []

    def next_waiter(self) -> tuple[Resource, Waiter] | None:
        """Remove and return who is served next, if anybody who waits can be."""
        first: Resource | None = None
        place: tuple[float, float, int] | None = None
        for resource in self.resources:
            if not len(resource.waiters) or not resource.has_room:
                continue
            found = resource.waiters.peek()
            if found is not None and (place is None or found < place):
                first, place = resource, found
        return None if first is None else (first, first.waiters.pop())

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
