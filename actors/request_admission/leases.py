"""Request leases of one generation: issued in order, returned once."""

from __future__ import annotations

from collections import Counter

from messages.request_admission import RequestLease
from messages.tasks import RequestResourceKey

LEASES_PER_GENERATION = 10**12
"""Generation g issues ids from (g - 1) times this, plus one: an id is unique over all generations."""


class RequestLeases:
    """The active tokens. Remembers no returned id: ids are issued in order, so a gap is a return."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.active: dict[int, RequestLease] = {}
        self.releases_by_reason: Counter[str] = Counter()
        self._first_id = self._next_id = (generation - 1) * LEASES_PER_GENERATION + 1

    @property
    def issued(self) -> int:
        """How many leases have been issued."""
        return self._next_id - self._first_id

    def issue(
        self, resource: RequestResourceKey, *, now: float, current_limit: int, effective_max: int
    ) -> RequestLease:
        """Return a new active token."""
        lease = RequestLease(self._next_id, self.generation, resource, now, current_limit, effective_max)
        self._next_id += 1
        self.active[lease.lease_id] = lease
        return lease

    def adopt(self, lost: RequestLease, *, now: float) -> RequestLease:
        """Return a new active token for an attempt that holds one of an earlier generation."""
        lease = RequestLease(
            self._next_id, self.generation, lost.resource, now, lost.current_limit, lost.effective_max
        )
        self._next_id += 1
        self.active[lease.lease_id] = lease
        return lease

    def take_back(self, lease: RequestLease) -> str:
        """End a token if it is active; return `released`, or why it is not accepted."""
        known = self.active.get(lease.lease_id)
        if lease.generation != self.generation:
            reason = "wrong_controller_generation"
        elif known is not None:
            reason = "released" if known.resource == lease.resource else "stale_lease"
        elif self._first_id <= lease.lease_id < self._next_id:
            reason = "duplicate"
        else:
            reason = "unknown_lease"
        if reason == "released":
            del self.active[lease.lease_id]
        self.releases_by_reason[reason] += 1
        return reason
