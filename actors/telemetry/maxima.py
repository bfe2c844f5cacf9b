"""The most that was seen at once: counts kept from events, a few dict operations each.

Belongs to one run. Counts what events say and asks no controller, so that what is reported here can be
held against what the controllers believe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from messages.capacity import CapacitySnapshot, ConfiguredCapacity, ObservedMaxima
from messages.plan import JobPlan
from messages.telemetry import Event, RecordTaskEvents


class Gauge:
    """Named counts that go up and down, and the highest that each has been."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        """Count `amount` more."""
        count = self.now.get(name, 0) + amount
        self.now[name] = count
        if count > self.most.get(name, 0):
            self.most[name] = count

    def remove(self, name: str, amount: int = 1) -> None:
        """Count `amount` less; never below zero, whatever was missed."""
        self.now[name] = max(0, self.now.get(name, 0) - amount)

    def set(self, name: str, count: int) -> None:
        """Count what is there, whatever was before."""
        self.now[name] = 0
        self.add(name, count)


_ROW_GROUPS: Final = "row_groups"


class ObservedCapacity:
    """Follows one run's events and keeps what was held, queued and waiting at once."""

    def __init__(self, plan: JobPlan, configured: ConfiguredCapacity) -> None:
        self.run_id: Final = plan.run_id
        self._pools = {
            provider: limit.value
            for provider, limit in configured.transport_pool_limits.items()
            if limit.value is not None
        }
        self._leases = Gauge()
        self._queued = Gauge()
        self._row_groups = Gauge()
        self._waiters = Gauge()
        self._requests = Gauge()
        self._endpoints = Gauge()
        self._connections = Gauge()
        self._sent: dict[int, str] = {}
        self._limits = Gauge()
        self._effective_max: dict[str, int] = {}
        self._blocked_until: dict[str, float] = {}
        self.tasks_held = 0
        """Task executions that hold a lease now."""
        self._waiting: dict[int, str] = {}
        self._requested: dict[int, str] = {}
        self._arrived: Event | None = None
        self._group = {generator.name: generator.scheduling.group.name for generator in plan.generators}
        self._vector = {
            generator.name: generator.scheduling.resource_request.amounts for generator in plan.generators
        }
        self._counted: dict[str, Callable[[str, int], None]] = {
            "ready_enqueued": self._count_enqueued,
            "task_lease_acquired": self._count_acquired,
            "task_lease_released": self._count_released,
        }
        self._followed: dict[str, Callable[[Event], None]] = {
            "row_group_admitted": self._on_row_group_admitted,
            "row_group_checkpointed": self._on_row_group_checkpointed,
            "ready_enqueued": self._on_ready_enqueued,
            "queue_empty": self._on_queue_empty,
            "task_lease_acquired": self._on_task_lease_acquired,
            "task_lease_released": self._on_task_lease_released,
            "request_resource_registered": self._on_registered,
            "request_effective_cap_changed": self._on_limit,
            "request_limit_increased": self._on_limit,
            "request_limit_decreased": self._on_limit,
            "request_rate_limited": self._on_rate_limited,
            "request_wait_started": self._on_wait_started,
            "request_wait_completed": self._on_wait_ended,
            "request_wait_timeout": self._on_wait_ended,
            "request_wait_cancelled": self._on_wait_ended,
            "request_acquire_denied": self._on_wait_ended,
            "request_lease_acquired": self._on_request_lease_acquired,
            "request_lease_released": self._on_request_lease_released,
            "model_request_started": self._on_sent,
            "model_request_completed": self._on_answered,
        }

    def record(self, events: Iterable[Event]) -> None:
        """Follow these events, in order."""
        followed = self._followed
        for event in events:
            if event.diagnostics is not None and "replaces" in event.diagnostics:
                self._replaced(event, event.diagnostics["replaces"])
                continue
            follow = followed.get(event.event_kind)
            if follow is not None:
                follow(event)

    def maxima(self) -> ObservedMaxima:
        """Return the most of everything so far."""
        self._settle()
        return ObservedMaxima(
            row_groups_in_flight=self._row_groups.most.get(_ROW_GROUPS, 0),
            queued_tasks_by_group=dict(self._queued.most),
            task_leases_by_resource=dict(self._leases.most),
            request_waiters_by_resource=dict(self._waiters.most),
            request_in_flight_by_resource=dict(self._requests.most),
            provider_model_aggregate_in_flight=dict(self._endpoints.most),
            request_current_limits=dict(self._limits.most),
            transport_pool_utilization={
                provider: self._connections.most.get(provider, 0) / limit
                for provider, limit in self._pools.items()
            },
        )

    def present(self, *, now: float) -> CapacitySnapshot:
        """Return what is in flight now, and under which limits."""
        return CapacitySnapshot(
            captured_at=now,
            current_limits=dict(self._limits.now),
            effective_max=dict(self._effective_max),
            blocked_until={name: until for name, until in self._blocked_until.items() if until > now},
            aggregate_in_flight=dict(self._endpoints.now),
        )

    # -- tasks ---------------------------------------------------------------------------------------

    def _on_row_group_admitted(self, _event: Event) -> None:
        self._row_groups.add(_ROW_GROUPS)

    def _on_row_group_checkpointed(self, _event: Event) -> None:
        self._row_groups.remove(_ROW_GROUPS)

    def record_tasks(self, message: RecordTaskEvents) -> None:
        """Follow one kind of event of many tasks, a generator at a time."""
        count = self._counted.get(message.event_kind)
        if count is not None:
            columns = [correlation.task_column for correlation in message.correlations]
            if len(set(columns)) == 1:  # nearly always, and counted at once
                count(columns[0], len(columns))
                return
            for column, many in Counter(columns).items():
                count(column, many)

    def _on_ready_enqueued(self, event: Event) -> None:
        if event.correlation is not None:
            self._count_enqueued(event.correlation.task_column, 1)

    def _count_enqueued(self, column: str, many: int) -> None:
        self._queued.add(self._group.get(column, ""), many)

    def _on_queue_empty(self, _event: Event) -> None:
        # Rows that are dropped take their queued tasks with them, one event for none of these.
        self._queued.now.clear()

    def _on_task_lease_acquired(self, event: Event) -> None:
        if event.correlation is not None:
            self._count_acquired(event.correlation.task_column, 1)

    def _count_acquired(self, column: str, many: int) -> None:
        self.tasks_held += many
        self._queued.remove(self._group.get(column, ""), many)
        for resource, amount in self._vector.get(column, ()):
            self._leases.add(resource, amount * many)

    def _on_task_lease_released(self, event: Event) -> None:
        if event.correlation is not None:
            self._count_released(event.correlation.task_column, 1)

    def _count_released(self, column: str, many: int) -> None:
        self.tasks_held = max(0, self.tasks_held - many)
        for resource, amount in self._vector.get(column, ()):
            self._leases.remove(resource, amount * many)

    # -- requests ------------------------------------------------------------------------------------

    def _on_registered(self, event: Event) -> None:
        facts = event.diagnostics or {}
        cap = facts.get("static_cap")
        if isinstance(cap, int):
            self._limits.set(event.resource, facts.get("initial_limit", cap))
            self._effective_max[event.resource] = facts.get("effective_max", cap)

    def _on_limit(self, event: Event) -> None:
        facts = event.diagnostics or {}
        if "limit" in facts:
            self._limits.set(event.resource, facts["limit"])
        if "effective_max" in facts:
            self._effective_max[event.resource] = facts["effective_max"]

    def _on_rate_limited(self, event: Event) -> None:
        until = (event.diagnostics or {}).get("blocked_until")
        if until is not None:
            # The gate is monotone (A4): what a later answer says never shortens the wait.
            self._blocked_until[event.resource] = max(until, self._blocked_until.get(event.resource, until))

    def _on_wait_started(self, event: Event) -> None:
        self._settle()
        self._arrived = event

    def _on_wait_ended(self, event: Event) -> None:
        attempt, arrived = event.request_attempt_id, self._arrived
        if arrived is not None and (arrived.request_attempt_id, arrived.captured_at) == (
            attempt,
            event.captured_at,
        ):
            self._arrived = None
            return
        self._settle()
        resource = self._waiting.pop(attempt, None)
        if resource is not None:
            self._waiters.remove(resource)

    def _settle(self) -> None:
        """Count the last arrival as a waiter: its wait has not ended in the moment in which it began.

        A request that is granted at once records a wait of no length: nobody was waiting.
        """
        arrived, self._arrived = self._arrived, None
        if arrived is not None:
            self._waiting[arrived.request_attempt_id] = arrived.resource
            self._waiters.add(arrived.resource)

    def _on_request_lease_acquired(self, event: Event) -> None:
        self._requested[event.request_lease_id] = event.resource
        self._requests.add(event.resource)
        self._endpoints.add(endpoint_of(event.resource))

    def _replaced(self, event: Event, lost: int) -> None:
        """Follow a lease under its new number: one that takes another's place holds nothing more."""
        # Task leases have numbers of their own, and are counted without them.
        if event.event_kind == "request_lease_acquired" and lost in self._requested:
            self._requested[event.request_lease_id] = self._requested.pop(lost)

    def _on_request_lease_released(self, event: Event) -> None:
        self._on_answered(event)
        resource = self._requested.pop(event.request_lease_id, None)
        if resource is not None:
            self._requests.remove(resource)
            self._endpoints.remove(endpoint_of(resource))

    def _on_sent(self, event: Event) -> None:
        provider = self._sent[event.request_attempt_id] = provider_of(event.resource)
        self._connections.add(provider)

    def _on_answered(self, event: Event) -> None:
        # By attempt, and not by lease: that may have got another number since the attempt was sent.
        provider = self._sent.pop(event.request_attempt_id, None)
        if provider is not None:
            self._connections.remove(provider)


def endpoint_of(resource: str) -> str:
    """Return the endpoint's name, `provider/model`, of a resource's, `provider/model/domain`."""
    return resource.rpartition("/")[0]


def provider_of(resource: str) -> str:
    """Return the provider's name of a resource's, `provider/model/domain`."""
    return resource.partition("/")[0]
