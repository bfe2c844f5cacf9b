"""Which providers refuse everything, and whether that ends the job (A9).

Owns the circuits that are open, as request admission told them, and the judgement by the job's
`on_provider_exhausted`. A model with several providers is exhausted only when all of them refuse.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from messages.plan import JobPlan
from messages.request_admission import RequestCircuitChanged
from messages.scheduler import OpenCircuit
from messages.tasks import RequestResourceKey


class CircuitNews(NamedTuple):
    """What is worth a line in the actor log."""

    level: Literal["info", "warning"]
    event: str
    fields: dict[str, Any]


class Circuits:
    """The open circuits of one run."""

    def __init__(self, plan: JobPlan) -> None:
        self._stops = plan.on_provider_exhausted == "stop"
        self._open: dict[str, RequestCircuitChanged] = {}
        self._models = _replicas(plan)

    def note(self, message: RequestCircuitChanged, now: float) -> CircuitNews | None:
        """Take a change; return what to say of it: nothing where it is only the time of the next probe."""
        name = message.resource.name
        before = self._open.pop(name, None)
        fields = {"resource": name, "rate_limited": message.rate_limited, "succeeded": message.succeeded}
        if message.state == "closed":
            if before is None:
                return None
            return CircuitNews("info", "provider_recovered", fields | _lasted(before, now))
        self._open[name] = message
        if before is not None:
            return None
        probe = None if message.next_probe_at is None else _seconds(message.next_probe_at - now)
        policy = "stop" if self._stops else "wait"
        told = {**fields, **_lasted(message, now), "next_probe_in": probe, "on_provider_exhausted": policy}
        return CircuitNews("warning", "provider_exhausted", told)

    def verdict(self, now: float) -> str | None:
        """Return why the job ends, where it is to end once nobody serves one of its models any more."""
        if not self._stops:
            return None
        exhausted = next((names for names in self._models if all(name in self._open for name in names)), None)
        if exhausted is None:
            return None
        refused = "; ".join(_refused(self._open[name], now) for name in exhausted)
        circuits = "its circuit is open" if len(exhausted) == 1 else "their circuits are open"
        return f"{refused}: {circuits} and on_provider_exhausted is 'stop'; what has finished is kept"

    def forget(self) -> None:
        """Forget every circuit: who kept them was lost, and begins with closed ones."""
        self._open.clear()

    def snapshot(self) -> tuple[OpenCircuit, ...]:
        """Return the open circuits, the longest open first."""
        return tuple(
            OpenCircuit(message.resource.name, message.since, message.rate_limited, message.next_probe_at)
            for message in sorted(self._open.values(), key=lambda message: message.since)
        )


def _replicas(plan: JobPlan) -> list[tuple[str, ...]]:
    """Return the resources that stand in for each other, a tuple for every model and domain."""
    by_domain: dict[str, list[RequestResourceKey]] = {}
    for spec in plan.request_resources:
        by_domain.setdefault(spec.resource.domain, []).append(spec.resource)
    found: dict[tuple[str, ...], None] = {}
    for resources in by_domain.values():
        alone = {_endpoint(resource): resource.name for resource in resources}
        for endpoints in plan.replicas.values():
            served = tuple(alone[endpoint] for endpoint in endpoints if endpoint in alone)
            if served:
                found[served] = None
        in_plan = {endpoint for endpoints in plan.replicas.values() for endpoint in endpoints}
        found |= {(name,): None for endpoint, name in alone.items() if endpoint not in in_plan}
    return list(found)


def _endpoint(resource: RequestResourceKey) -> str:
    return f"{resource.provider}/{resource.model_id}"


def _refused(message: RequestCircuitChanged, now: float) -> str:
    counts = f"{message.rate_limited} rate limits, {message.succeeded} successes before"
    return (
        f"provider {message.resource.provider} refused every call to {message.resource.name} for "
        f"{now - message.since:.0f} s ({counts})"
    )


def _lasted(message: RequestCircuitChanged, now: float) -> dict[str, float]:
    return {"seconds": _seconds(now - message.since)}


def _seconds(seconds: float) -> float:
    return round(max(0.0, seconds), 3)
