"""A log's lines as people read them, and which of them they asked for."""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec

from actors.telemetry.log_codec import EventRecord, LogClosing, LogHeader, LogRecord
from messages._base import REQUEST_ADMISSION, SCHEDULER, TASK_ADMISSION, WORKER, ActorName
from messages.remedies import remedy_of
from messages.telemetry import Event, EventKind, LogEntry, LogLevel, RequestEventKind, SchedulerEventKind

LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)
"""The levels, the least important first."""

_TASK_ADMISSION_KINDS: Final = (
    "task_lease_acquired",
    "admission_denied",
    "task_lease_released",
    "release_diagnostic",
)
_WITH_PLANS: Final = ("scheduler_job_started", "scheduler_job_completed")

_WORKER_KINDS: Final = (
    "worker_spawned",
    "worker_spawn_failed",
    "task_completed",
    "model_request_started",
    "model_request_completed",
)

OWNER: Final[dict[EventKind, ActorName]] = {
    **dict.fromkeys(get_args(SchedulerEventKind), SCHEDULER),
    **dict.fromkeys(get_args(RequestEventKind), REQUEST_ADMISSION),
    **dict.fromkeys(_TASK_ADMISSION_KINDS, TASK_ADMISSION),
    **dict.fromkeys(_WORKER_KINDS, WORKER),
}
"""Event kind -> the actor that emits it."""


def _of_level(level: LogLevel, *kinds: EventKind) -> dict[EventKind, LogLevel]:
    return dict.fromkeys(kinds, level)


LEVEL: Final[dict[EventKind, LogLevel]] = {
    **dict.fromkeys(OWNER, "debug"),
    **_of_level(
        "info",
        "scheduler_job_started",
        "scheduler_job_completed",
        "scheduler_health_snapshot",
        "row_group_admitted",
        "row_group_admission_blocked",
        "row_group_admission_target_changed",
        "row_group_checkpointed",
        "request_resource_registered",
        "request_effective_cap_changed",
        "request_rate_limited",
        "request_limit_decreased",
        "request_limit_increased",
        "request_soft_ceiling_recovered",
        "request_fully_recovered",
        "request_wait_timeout",
        "request_circuit_closed",
        "queue_drained",
        "stale_selection",
        "cancelled",
        "retry_deferred",
        "salvage_redispatched",
    ),
    **_of_level(
        "warning",
        "worker_spawn_failed",
        "non_retryable_dropped",
        "release_diagnostic",
        "request_release_diagnostic",
        "request_circuit_opened",
    ),
}
"""Event kind -> its level: what happens to every task is `debug`, what happens to a job, its models or a
task that takes another turn is `info`, what costs a row or ought not to be is `warning`."""


class LogFilter(msgspec.Struct, frozen=True):
    """Which lines are wanted; what is not given is not asked for. `level` is the least important one."""

    actor: ActorName | None = None
    level: LogLevel | None = None
    kind: str | None = None

    def wants(self, record: LogRecord) -> bool:
        """Return whether `record` is wanted. A first or last line is, unless anything is asked for."""
        match record:
            case EventRecord():
                kind = record.event_kind
                return self._wants(OWNER[kind], LEVEL[kind], kind)
            case LogEntry():
                return self._wants(record.actor, record.level, record.event)
            case _:
                return self.actor is None and self.level is None and self.kind is None

    def _wants(self, actor: ActorName, level: LogLevel, kind: str) -> bool:
        return (
            (self.actor is None or self.actor == actor)
            and (self.level is None or LEVELS.index(level) >= LEVELS.index(self.level))
            and (self.kind is None or self.kind == kind)
        )


def format_line(record: LogRecord) -> str:
    """Return a record as one line: seconds into the run, level, actor, what happened, particulars."""
    match record:
        case EventRecord():
            return _line(entry_of(record))
        case LogEntry():
            return _line(record)
        case LogHeader():
            return f"log opened {record.opened_at}"
        case LogClosing():
            return "log closed"


def entry_of(record: EventRecord | Event) -> LogEntry:
    """Return an event as the line that the actor who emits it would log."""
    kind = record.event_kind
    return LogEntry(record.captured_at, OWNER[kind], LEVEL[kind], kind, dict(_particulars(record)))


def _line(entry: LogEntry) -> str:
    told = " ".join(f"{name}={_text(value)}" for name, value in entry.fields.items())
    line = f"{entry.captured_at:12.6f} {entry.level:7} {entry.actor:17} {entry.event:27} {told}".rstrip()
    remedy = remedy_of(entry.event) if entry.level in ("warning", "error") else ""
    return f"{line}: {remedy}" if remedy else line


def _particulars(record: EventRecord | Event) -> list[tuple[str, Any]]:
    particulars: list[tuple[str, Any]] = []
    about = record.correlation
    execution = record.execution if isinstance(record, EventRecord) else 0
    execution = execution or (0 if about is None else about.task_execution_id)
    if execution:
        particulars.append(("execution", execution))
    if about is not None:
        if about.task_column:
            particulars.append(("column", about.task_column))
        particulars.append(("row_group", about.row_group))
        if about.row_index is not None:
            particulars.append(("row", about.row_index))
    named = (
        ("lease", record.task_lease_id),
        ("attempt", record.request_attempt_id),
        ("request_lease", record.request_lease_id),
        ("resource", record.resource),
        ("reason", record.reason_or_outcome),
    )
    particulars.extend((name, value) for name, value in named if value)
    # A run's description is for `verify`; a person has the job.
    if record.event_kind != "scheduler_job_started":
        particulars.extend((record.diagnostics or {}).items())
    # Nor are whole capacity plans: those are for `inspect`, and long.
    if record.event_kind not in _WITH_PLANS:
        particulars.extend((record.snapshot or {}).items())
    return [(name, _short(value)) for name, value in particulars if _is_told(value)]


def _is_told(value: Any) -> bool:
    return value is not None and value not in ({}, [])


def _short(value: Any) -> Any:
    """Return a time without the noise of its binary form."""
    return round(value, 6) if isinstance(value, float) else value


def _text(value: Any) -> str:
    """Return a value on one line, unambiguous where it holds spaces."""
    if isinstance(value, str) and value and value.isprintable() and " " not in value:
        return value
    return msgspec.json.encode(value).decode()
