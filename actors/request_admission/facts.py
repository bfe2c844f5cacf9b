"""What request admission has to tell telemetry, in the order in which it happened."""

from __future__ import annotations

from messages._base import TELEMETRY, Outgoing
from messages.request_admission import (
    RequestEventContext,
    RequestLease,
    RequestOutcomeKind,
    RequestResourceSpec,
)
from messages.telemetry import Event, RecordEvents, RequestEventKind


class RequestFacts:
    """Events of the request stream, collected until `take`."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def take(self) -> list[Outgoing]:
        """Return what was collected since the last call, as one message."""
        if not self._events:
            return []
        events, self._events = self._events, []
        return [Outgoing(TELEMETRY, RecordEvents("request", events))]

    def add(
        self,
        kind: RequestEventKind,
        context: RequestEventContext,
        resource: str,
        now: float,
        *,
        lease_id: int = 0,
        outcome: str = "",
    ) -> None:
        """Keep one event about an attempt. `resource` is the resource's name, empty where it is not known."""
        self._events.append(
            Event(
                kind,
                now,
                context.correlation,
                request_lease_id=lease_id,
                request_attempt_id=context.request_attempt_id,
                resource=resource,
                reason_or_outcome=outcome,
            )
        )

    def registered(self, spec: RequestResourceSpec, endpoint: str, now: float) -> None:
        """Keep that a resource may be asked for."""
        diagnostics = {"endpoint": endpoint, "static_cap": spec.static_cap}
        self._events.append(
            Event("request_resource_registered", now, resource=spec.resource.name, diagnostics=diagnostics)
        )

    def released(
        self, context: RequestEventContext, lease: RequestLease, outcome: RequestOutcomeKind, now: float
    ) -> None:
        """Keep that a token is back."""
        self.add(
            "request_lease_released",
            context,
            lease.resource.name,
            now,
            lease_id=lease.lease_id,
            outcome=outcome,
        )

    def recovered(
        self, context: RequestEventContext, lease: RequestLease, *, replaces: int, now: float
    ) -> None:
        """Keep that a lease takes the place of one of an earlier generation."""
        self._events.append(
            Event(
                "request_lease_acquired",
                now,
                context.correlation,
                request_lease_id=lease.lease_id,
                request_attempt_id=context.request_attempt_id,
                resource=lease.resource.name,
                reason_or_outcome="recovered",
                diagnostics={"replaces": replaces},
            )
        )
