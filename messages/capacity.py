"""The capacity plan: every capacity a run works under, where its value came from, what was seen."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from messages._base import Value

CapacitySource = Literal[
    "default",
    "job",
    "model_metadata",
    "engine_config",
    "adapter_config",
    "environment",
    "runtime_snapshot",
    "benchmark_override",
]


class CapacityValue(Value, frozen=True):
    """A configured value and where it came from."""

    value: Any
    source: CapacitySource
    fallback_from: str | None = None
    missing_reason: str | None = None


class ConfiguredCapacity(Value, frozen=True):
    """What is known when the run starts. Nothing observed ever stands here."""

    row_group_size: CapacityValue
    row_group_concurrency: CapacityValue
    submission_capacity: CapacityValue
    task_resource_limits: dict[str, CapacityValue]
    request_resources: tuple[str, ...]
    provider_model_static_caps: dict[str, CapacityValue]
    request_initial_limits: dict[str, CapacityValue]
    request_admission_config: dict[str, CapacityValue]
    transport_pool_limits: dict[str, CapacityValue]


class CapacitySnapshot(Value, frozen=True):
    """Request admission at a moment, by resource name."""

    captured_at: float
    current_limits: dict[str, int] = msgspec.field(default_factory=dict)
    effective_max: dict[str, int] = msgspec.field(default_factory=dict)
    blocked_until: dict[str, float] = msgspec.field(default_factory=dict)
    aggregate_in_flight: dict[str, int] = msgspec.field(default_factory=dict)


class ObservedMaxima(Value, frozen=True):
    """The most that was seen at once over the run.

    transport_pool_utilization: by provider, the calls at the provider at once over the connections of its
    pool, where the pool is ours to size; above 1 some of them waited for a connection.
    """

    row_groups_in_flight: int = 0
    queued_tasks_by_group: dict[str, int] = msgspec.field(default_factory=dict)
    task_leases_by_resource: dict[str, int] = msgspec.field(default_factory=dict)
    request_waiters_by_resource: dict[str, int] = msgspec.field(default_factory=dict)
    request_in_flight_by_resource: dict[str, int] = msgspec.field(default_factory=dict)
    provider_model_aggregate_in_flight: dict[str, int] = msgspec.field(default_factory=dict)
    request_current_limits: dict[str, int] = msgspec.field(default_factory=dict)
    transport_pool_utilization: dict[str, float] = msgspec.field(default_factory=dict)


class CapacityPlan(Value, frozen=True):
    """Configured, at a moment, and over the run: three things that are never mixed."""

    configured: ConfiguredCapacity
    runtime_snapshot: CapacitySnapshot | None = None
    observed_maxima: ObservedMaxima | None = None
