"""What the actors' snapshots say, as samples. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args

from actors.metrics.catalogue import (
    CIRCUIT,
    COOLDOWN,
    EVENTS,
    EVENTS_DROPPED,
    IN_FLIGHT,
    LIMIT,
    LOG_BYTES,
    MAILBOX,
    MAILBOX_AGE,
    RESOURCE_LIMIT,
    RESOURCE_USED,
    ROW_GROUPS,
    ROWS,
    TASKS,
    TASKS_NOW,
    UP,
    WAITERS,
    Sample,
)
from actors.metrics.labels import Label, closed, resource_kind
from actors.metrics.requests import RequestTotals
from messages._base import ACTOR_NAMES, ActorName
from messages.request_admission import RequestAdmissionSnapshot
from messages.scheduler import SchedulerSnapshot
from messages.supervision import ActorSnapshot
from messages.task_admission import TaskAdmissionSnapshot
from messages.tasks import TaskOutcomeKind
from messages.telemetry import RequestEventKind, SchedulerEventKind, TelemetrySnapshot

_ALGORITHMS: Final = ("aimd", "gradient", "fixed")
_EVENT_KINDS: Final = (*get_args(SchedulerEventKind), *get_args(RequestEventKind))
_TASK_OUTCOMES: Final = get_args(TaskOutcomeKind)


def samples(found: Mapping[ActorName, ActorSnapshot], requests: RequestTotals) -> Iterator[Sample]:
    """Yield everything that these snapshots say; an actor that is not among them has not answered."""
    yield Sample(UP, (), float(len(found) == len(ACTOR_NAMES)))
    for name, snapshot in found.items():
        actor = (closed(name, ACTOR_NAMES),)
        yield Sample(MAILBOX, actor, snapshot.mailbox.depth)
        yield Sample(MAILBOX_AGE, actor, snapshot.mailbox.oldest_age_seconds)
        state: Any = snapshot.state
        told = _TOLD.get(type(state))
        if told is not None:
            yield from told(state, requests)


def _scheduler(state: SchedulerSnapshot, _requests: RequestTotals) -> Iterator[Sample]:
    pending = state.rows_requested - state.rows_written - state.rows_dropped
    yield Sample(ROWS, (Label("written"),), state.rows_written)
    yield Sample(ROWS, (Label("dropped"),), state.rows_dropped)
    yield Sample(ROWS, (Label("pending"),), pending)
    yield Sample(TASKS_NOW, (Label("queued"),), state.queued)
    yield Sample(TASKS_NOW, (Label("leased"),), state.leased)
    yield Sample(TASKS_NOW, (Label("deferred"),), state.deferred)
    yield Sample(ROW_GROUPS, (), state.row_groups_in_flight)


def _task_admission(state: TaskAdmissionSnapshot, _requests: RequestTotals) -> Iterator[Sample]:
    """Yield capacity by kind of resource: a job's own resources, and its models', are added up."""
    limits: dict[Label, int] = {}
    used: dict[Label, int] = {}
    available = state.view.resources_available
    for resource, limit in state.view.resource_limits.items():
        kind = resource_kind(resource)
        limits[kind] = limits.get(kind, 0) + limit
        used[kind] = used.get(kind, 0) + limit - available[resource]
    for kind, limit in limits.items():
        yield Sample(RESOURCE_LIMIT, (kind,), limit)
        yield Sample(RESOURCE_USED, (kind,), used[kind])


def _request_admission(state: RequestAdmissionSnapshot, requests: RequestTotals) -> Iterator[Sample]:
    for endpoint in state.provider_models:
        requests.describe(endpoint.key.name, endpoint.aliases)
    for resource in state.resources:
        labels = requests.labels(resource.resource.name)
        yield Sample(IN_FLIGHT, labels, resource.in_flight)
        yield Sample(LIMIT, (*labels, closed(resource.algorithm, _ALGORITHMS)), resource.current_limit)
        yield Sample(WAITERS, labels, resource.waiters)
        yield Sample(COOLDOWN, labels, resource.cooldown_remaining)
        yield Sample(CIRCUIT, labels, float(resource.circuit == "open"))


def _telemetry(state: TelemetrySnapshot, _requests: RequestTotals) -> Iterator[Sample]:
    for kind, count in state.events.items():
        yield Sample(EVENTS, (closed(kind, _EVENT_KINDS),), count)
    for outcome, count in state.task_outcomes.items():
        yield Sample(TASKS, (closed(outcome, _TASK_OUTCOMES),), count)
    yield Sample(EVENTS_DROPPED, (), state.dropped_events)
    yield Sample(LOG_BYTES, (), state.bytes_written)


_TOLD: Final[dict[type, Callable[[Any, RequestTotals], Iterator[Sample]]]] = {
    SchedulerSnapshot: _scheduler,
    TaskAdmissionSnapshot: _task_admission,
    RequestAdmissionSnapshot: _request_admission,
    TelemetrySnapshot: _telemetry,
}
