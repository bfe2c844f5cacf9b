"""The capacity plan as rows to read: configured values with their sources; what was seen stands apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from messages.capacity import CapacityPlan, CapacityValue, ConfiguredCapacity, ObservedMaxima

_WHOLE_RUN: Final = ("row_group_size", "row_group_concurrency", "submission_capacity")
_BY_NAME: Final = (
    "task_resource_limits",
    "provider_model_static_caps",
    "request_initial_limits",
    "request_admission_config",
    "transport_pool_limits",
)
DETAILS: Final = "request_admission_config"
"""The table that is long, and seldom what one looks for."""


class ConfiguredRow(NamedTuple):
    """One configured value: its table and name, what it is, where it came from, what there is to say."""

    table: str
    name: str
    value: str
    source: str
    note: str


class ObservedRow(NamedTuple):
    """The most that was seen of something, and the configured bound on it; None where there is none."""

    what: str
    name: str
    most: float
    bound: int | None

    @property
    def at_bound(self) -> bool:
        """Whether it came up to its bound."""
        return self.bound is not None and self.most >= self.bound


def configured_rows(configured: ConfiguredCapacity) -> Iterator[ConfiguredRow]:
    """Yield every configured value, in the order of the plan."""
    for name in _WHOLE_RUN:
        yield _row("", name, getattr(configured, name))
    for table in _BY_NAME:
        for name, value in sorted(getattr(configured, table).items()):
            yield _row(table, name, value)


def observed_rows(plan: CapacityPlan) -> Iterator[ObservedRow]:
    """Yield the most that was seen of everything, beside what bounds it."""
    seen, configured = plan.observed_maxima, plan.configured
    if seen is None:
        return
    yield ObservedRow(
        "row groups in flight", "", seen.row_groups_in_flight, _whole(configured.row_group_concurrency)
    )
    limits = {name: _whole(value) for name, value in configured.task_resource_limits.items()}
    for what, found, bounds in _observed(seen, limits, _caps(configured)):
        for name, most in sorted(found.items()):
            yield ObservedRow(what, name, most, bounds.get(name))


def _observed(
    seen: ObservedMaxima, limits: dict[str, int | None], caps: dict[str, int | None]
) -> Iterator[tuple[str, dict[str, Any], dict[str, int | None]]]:
    yield "task leases", seen.task_leases_by_resource, limits
    yield "queued tasks", seen.queued_tasks_by_group, {}
    yield "calls in flight", seen.provider_model_aggregate_in_flight, caps
    yield "calls in flight", seen.request_in_flight_by_resource, {}
    yield "calls waiting", seen.request_waiters_by_resource, {}
    yield "request limit", seen.request_current_limits, {}
    yield "connections, share of the pool", seen.transport_pool_utilization, {}


def _caps(configured: ConfiguredCapacity) -> dict[str, int | None]:
    return {name: value.value["cap"] for name, value in configured.provider_model_static_caps.items()}


def _row(table: str, name: str, value: CapacityValue) -> ConfiguredRow:
    notes = []
    if value.fallback_from is not None:
        notes.append(f"from {value.fallback_from}")
    if value.missing_reason is not None:
        notes.append(value.missing_reason)
    shown = value.value
    if isinstance(shown, dict):  # an endpoint's cap, with what it was merged from
        raw = ", ".join(f"{alias} {cap}" for alias, cap in sorted(shown["raw_caps"].items()))
        if len(shown["raw_caps"]) > 1:
            notes.append(f"the least of {raw}")
        shown = shown["cap"]
    return ConfiguredRow(table, name, "-" if shown is None else str(shown), value.source, "; ".join(notes))


def _whole(value: CapacityValue) -> int | None:
    return value.value if isinstance(value.value, int) else None
