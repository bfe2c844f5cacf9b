"""Deliveries as lines for a person.

Row values never stand in a line: only what kind of value was there. Error texts do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from actors.harness.transcript import Delivery
from messages._base import Message
from messages.request_admission import RequestLease
from messages.scheduler import JobResult
from messages.storage import RowGroupLoaded, StoreRowGroup
from messages.task_admission import TaskAdmissionView, TaskAdmissionViewUpdate, TaskLease
from messages.tasks import (
    QueueView,
    RequestResourceKey,
    RuntimeCorrelation,
    SchedulableTask,
    SchedulerResourceRequest,
    Task,
    TaskGroupSpec,
    TaskOutcome,
)
from messages.telemetry import Event, LogEntry
from messages.worker import TaskStart

_MOST_LINES = 500
_LINE_LENGTH = 240
_TEXT_LENGTH = 60
_MOST_ITEMS = 3
_DEEPEST = 4

_NOT_SHOWN: frozenset[str] = frozenset({"captured_at"})
"""Fields whose value is about the time of the delivery itself."""

_ROW_VALUES: Mapping[type, frozenset[str]] = {
    TaskOutcome: frozenset({"value"}),
    TaskStart: frozenset({"inputs"}),
    RowGroupLoaded: frozenset({"columns"}),
    StoreRowGroup: frozenset({"columns"}),
    JobResult: frozenset({"dataset"}),
}


def render_transcript(deliveries: Sequence[Delivery]) -> str:
    """Return the deliveries, a line each; of a very long transcript only the end."""
    skipped = max(0, len(deliveries) - _MOST_LINES)
    lines = [render_delivery(delivery) for delivery in deliveries[skipped:]]
    if skipped:
        lines.insert(0, f"   ... {skipped} earlier messages")
    return "\n".join(lines)


def render_delivery(delivery: Delivery) -> str:
    """Return one line: `   0.0123 scheduler -> task_admission AcquireTaskLeases {...}`."""
    at, sender, receiver, message = delivery
    return _cut(f"{at:9.4f} {sender} -> {receiver} {render_message(message)}", _LINE_LENGTH)


def render_message(message: Message) -> str:
    """Return the message's class and its fields, without those that have their default value."""
    fields = _fields(message, 1)
    return f"{type(message).__name__} {fields}" if fields != "{}" else type(message).__name__


def _value(value: Any, depth: int) -> str:
    short = _SHORT_FORMS.get(type(value))
    if short is not None:
        return short(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, (bool, int)):
        return msgspec.json.encode(value).decode()
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, msgspec.Struct):
        return _fields(value, depth)
    if isinstance(value, Mapping):
        parts = [f"{key}: {_value(item, depth + 1)}" for key, item in value.items()]
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return _items(value, depth)
    return f"<{type(value).__name__}>"


def _fields(struct: msgspec.Struct, depth: int) -> str:
    hidden = _ROW_VALUES.get(type(struct), frozenset())
    parts = []
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if field.name in _NOT_SHOWN or value == _default_of(field):
            continue
        text = _kind(value) if field.name in hidden else _value(value, depth + 1)
        parts.append(f"{field.name}: {text}")
    return f"{{{', '.join(parts)}}}"


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _items(values: Iterable[Any], depth: int) -> str:
    listed = list(values)
    parts = [_value(item, depth + 1) for item in listed[:_MOST_ITEMS]]
    if len(listed) > _MOST_ITEMS:
        parts.append(f"+{len(listed) - _MOST_ITEMS} more")
    return f"[{', '.join(parts)}]"


def _kind(value: Any) -> str:
    """Return what kind of row value this is, without it."""
    size = f" of {len(value)}" if isinstance(value, (list, tuple, dict)) else ""
    return f"<{type(value).__name__}{size}>"


def _text(text: str) -> str:
    if text and len(text) <= _TEXT_LENGTH and not any(mark.isspace() or mark in "{}[],:\"'" for mark in text):
        return text
    return msgspec.json.encode(_cut(text, _TEXT_LENGTH)).decode()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _correlation(value: RuntimeCorrelation) -> str:
    place = f"group {value.row_group}" if value.row_index is None else f"row {value.row_index}"
    return f"{value.task_column}[{place}]#{value.task_execution_id}"


def _task(value: Task) -> str:
    place = f"group {value.row_group}" if value.row_index is None else f"row {value.row_index}"
    return f"{value.column}[{place}]"


def _event(value: Event) -> str:
    about = "" if value.correlation is None else " " + _correlation(value.correlation)
    ids = "".join(
        f" {label} {number}"
        for label, number in (
            ("lease", value.task_lease_id),
            ("request_lease", value.request_lease_id),
            ("attempt", value.request_attempt_id),
        )
        if number
    )
    reason = f" ({value.reason_or_outcome})" if value.reason_or_outcome else ""
    return f"{value.event_kind}{about}{ids}{reason}"


def _log_entry(value: LogEntry) -> str:
    fields = f" {_value(value.fields, _DEEPEST - 1)}" if value.fields else ""
    return f"{value.level} {value.event}{fields}"


def _task_lease(value: TaskLease) -> str:
    return f"lease {value.lease_id} (generation {value.generation}) for {_correlation(value.correlation)}"


def _request_lease(value: RequestLease) -> str:
    return f"lease {value.lease_id} (generation {value.generation}) for {value.resource.name}"


def _schedulable(value: SchedulableTask) -> str:
    return f"{_correlation(value.correlation)} takes {_request(value.resource_request)}"


def _request(value: SchedulerResourceRequest) -> str:
    return "+".join(f"{amount} {resource}" for resource, amount in value.amounts)


def _left_out(_value: Any) -> str:
    return "{...}"


_SHORT_FORMS: Mapping[type, Callable[[Any], str]] = {
    RuntimeCorrelation: _correlation,
    Task: _task,
    Event: _event,
    LogEntry: _log_entry,
    TaskLease: _task_lease,
    RequestLease: _request_lease,
    SchedulableTask: _schedulable,
    SchedulerResourceRequest: _request,
    TaskGroupSpec: lambda group: _text(group.name),
    RequestResourceKey: lambda key: key.name,
    QueueView: _left_out,
    TaskAdmissionView: _left_out,
    TaskAdmissionViewUpdate: _left_out,
}
