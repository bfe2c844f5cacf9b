"""A log's lines as people read them, and which of them they asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, get_args

import msgspec

from actors.telemetry.log_codec import EventRecord, LogClosing, LogHeader, LogRecord
from messages._base import REQUEST_ADMISSION, SCHEDULER, TASK_ADMISSION, WORKER, ActorName
from messages.telemetry import EventKind, LogEntry, LogLevel, RequestEventKind, SchedulerEventKind

LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)
"""The levels, the least important first."""

_TASK_ADMISSION_KINDS: Final = (
    "task_lease_acquired",
    "admission_denied",
    "task_lease_released",
    "release_diagnostic",
)
_WORKER_KINDS: Final = (
    "worker_spawned",
    "worker_spawn_failed",
    "task_completed",
    "model_request_started",
    "model_request_completed",
)

OWNER: Final[dict[str, ActorName]] = {
    **dict.fromkeys(get_args(SchedulerEventKind), SCHEDULER),
    **dict.fromkeys(get_args(RequestEventKind), REQUEST_ADMISSION),
    **dict.fromkeys(_TASK_ADMISSION_KINDS, TASK_ADMISSION),
    **dict.fromkeys(_WORKER_KINDS, WORKER),
}
"""Event kind -> the actor that emits it."""


def _of_level(level: LogLevel, *kinds: EventKind) -> dict[str, LogLevel]:
    return dict.fromkeys(kinds, level)


LEVEL: Final[dict[str, LogLevel]] = {
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
        "request_limit_decreased",
        "request_limit_increased",
        "request_soft_ceiling_recovered",
        "request_fully_recovered",
        "request_circuit_closed",
        "cancelled",
        "retry_deferred",
        "salvage_redispatched",
    ),
    **_of_level(
        "warning",
        "worker_spawn_failed",
        "stale_selection",
        "non_retryable_dropped",
        "release_diagnostic",
        "request_release_diagnostic",
        "request_wait_timeout",
        "request_rate_limited",
        "request_circuit_opened",
    ),
}
"""Event kind -> its level: what happens to every task is `debug`, what happens to a job is `info`."""


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
            kind = record.event_kind
            return _line(record.captured_at, LEVEL[kind], OWNER[kind], kind, _particulars(record))
        case LogEntry():
            return _line(record.captured_at, record.level, record.actor, record.event, record.fields.items())
        case LogHeader():
            return f"log opened {record.opened_at}"
        case LogClosing():
            return "log closed"


def _line(
    captured_at: float, level: str, actor: str, what: str, particulars: Iterable[tuple[str, Any]]
) -> str:
    told = " ".join(f"{name}={_text(value)}" for name, value in particulars)
    return f"{captured_at:12.6f} {level:7} {actor:17} {what:27} {told}".rstrip()


def _particulars(record: EventRecord) -> list[tuple[str, Any]]:
    particulars: list[tuple[str, Any]] = []
    if record.execution:
        particulars.append(("execution", record.execution))
    about = record.correlation
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
    particulars.extend((record.snapshot or {}).items())
    return particulars


def _text(value: Any) -> str:
    """Return a value on one line, unambiguous where it holds spaces."""
    if isinstance(value, str) and value and value.isprintable() and " " not in value:
        return value
    return msgspec.json.encode(value).decode()
