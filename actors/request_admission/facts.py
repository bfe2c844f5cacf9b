"""What request admission has to tell telemetry, in the order in which it happened."""

from __future__ import annotations

from actors.request_admission.limits import LimitTransition
from actors.request_admission.resources import Resource
from messages._base import TELEMETRY, Outgoing
from messages.request_admission import (
    RequestEventContext,
    RequestLease,
    RequestOutcome,
    RequestOutcomeKind,
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
        diagnostics: dict[str, float] | None = None,
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
                diagnostics=diagnostics,
            )
        )

    def registered(self, resource: Resource, earlier: Resource | None, now: float) -> None:
        """Keep that a resource may be asked for, and that its cap is another than it was."""
        limit, name = resource.limit, resource.name
        diagnostics = {
            "endpoint": resource.endpoint.key.name,
            "static_cap": resource.spec.static_cap,
            "initial_limit": limit.current,
            "effective_max": limit.effective_max,
            "algorithm": resource.tuning.algorithm,
        }
        self._events.append(Event("request_resource_registered", now, resource=name, diagnostics=diagnostics))
        if earlier is not None and earlier.limit.effective_max != limit.effective_max:
            self._events.append(
                Event(
                    "request_effective_cap_changed",
                    now,
                    resource=name,
                    diagnostics={
                        "before": earlier.limit.effective_max,
                        "effective_max": limit.effective_max,
                        "limit": limit.current,
                    },
                )
            )

    def rate_limited(
        self,
        context: RequestEventContext,
        lease: RequestLease,
        resource: Resource,
        outcome: RequestOutcome,
        now: float,
    ) -> None:
        """Keep that a provider refused for being asked too much, and until when nothing leaves (A4)."""
        self._events.append(
            Event(
                "request_rate_limited",
                now,
                context.correlation,
                request_lease_id=lease.lease_id,
                request_attempt_id=context.request_attempt_id,
                resource=resource.name,
                diagnostics={
                    "retry_after": outcome.retry_after_seconds,
                    "status": outcome.provider_status,
                    "blocked_until": resource.cooldown.blocked_until,
                    "in_a_row": resource.consecutive_rate_limits,
                },
                snapshot=resource.counts(),
            )
        )

    def limit_changed(
        self,
        resource: Resource,
        transition: LimitTransition,
        now: float,
        context: RequestEventContext | None,
    ) -> None:
        """Keep one change of a limit (A4, A5)."""
        self._events.append(
            Event(
                transition.kind,
                now,
                None if context is None else context.correlation,
                request_attempt_id=0 if context is None else context.request_attempt_id,
                resource=resource.name,
                reason_or_outcome=transition.reason,
                diagnostics={
                    "before": transition.before,
                    "after": transition.after,
                    "limit": transition.after,
                    "effective_max": resource.limit.effective_max,
                },
                snapshot=resource.counts(),
            )
        )

    def circuit_changed(self, resource: Resource, now: float, context: RequestEventContext | None) -> None:
        """Keep that a resource's circuit opened or closed (A9)."""
        circuit, outcomes = resource.circuit, resource.outcomes
        self._events.append(
            Event(
                "request_circuit_opened" if circuit.state == "open" else "request_circuit_closed",
                now,
                None if context is None else context.correlation,
                resource=resource.name,
                diagnostics={
                    "since": circuit.since,
                    "next_probe_at": circuit.probe_at,
                    "rate_limited": outcomes["rate_limited"],
                    "succeeded": outcomes["success"],
                },
                snapshot=resource.counts(),
            )
        )

    def refused(self, context: RequestEventContext, lease: RequestLease, reason: str, now: float) -> None:
        """Keep that a token came back which is not one that is out."""
        self.add(
            "request_release_diagnostic",
            context,
            lease.resource.name,
            now,
            lease_id=lease.lease_id,
            outcome=reason,
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
