"""The log as text: JSON lines, and how events are shortened on the way in and completed on the way out.

Four kinds of line: a header, events, the actors' own log lines, and a closing line. An event line
leaves out what is at its default (the stream `scheduler` too). What every event of one task execution
would repeat is written once: `dependency_ready` introduces the execution, the run's
`scheduler_job_started` describes its generators, and the per-task events name the execution alone. Rare
kinds and events that are not about one task carry their correlation in full.

This module knows lines. It does not know files, and judges nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count, repeat
from typing import Any, Final, TypeAlias, get_args

import msgspec

from messages.tasks import RuntimeCorrelation, TaskType
from messages.telemetry import (
    Event,
    EventKind,
    LogEntry,
    RecordTaskEvents,
    RequestEventKind,
    RunDescriptor,
    SchedulerEventKind,
    SequencedEvent,
    StreamName,
)

LOG_NAME: Final = "leasehold"
LOG_VERSION: Final = 1
LEFT_OUT: Final = "events_left_out"
"""The log line that stands where events of low value are missing; its `events` are how many of each kind."""

STREAM_OF_KIND: Final[dict[str, StreamName]] = {
    **dict.fromkeys(get_args(SchedulerEventKind), "scheduler"),
    **dict.fromkeys(get_args(RequestEventKind), "request"),
}
"""The one stream that each kind of event belongs to."""

SHORT_KINDS: Final[frozenset[str]] = frozenset(
    {
        "ready_enqueued",
        "selected",
        "task_lease_acquired",
        "admission_denied",
        "worker_spawned",
        "worker_spawn_failed",
        "stale_selection",
        "task_completed",
        "task_lease_released",
        "request_queue_formed",
        "request_wait_started",
        "request_wait_completed",
        "request_wait_timeout",
        "request_wait_cancelled",
        "request_acquire_denied",
        "request_lease_acquired",
        "model_request_started",
        "model_request_completed",
        "request_lease_released",
    }
)
"""Kinds that name their task execution and leave the rest of the correlation to `dependency_ready`."""

_REMEMBERED_ENDED_EXECUTIONS: Final = 4096
"""A request lease granted to a task that had given up comes back shortly after the task's own."""


class LogFormatError(ValueError):
    """A log that cannot be read as one, with the place and the remedy."""


class LineCorrelation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A correlation as it stands on a line: the part that introduces an execution, or all of it."""

    row_group: int
    row_index: int | None
    task_column: str
    task_execution_id: int
    run_id: str = ""
    task_type: TaskType | None = None
    scheduling_group_kind: str = ""
    scheduling_group_identity_hash: str = ""


class EventRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An event as it stands on its line."""

    sequence: int
    event_kind: EventKind
    captured_at: float
    stream: StreamName = "scheduler"
    task_execution_id: int = 0
    task_lease_id: int = 0
    request_lease_id: int = 0
    request_attempt_id: int = 0
    resource: str = ""
    reason_or_outcome: str = ""
    correlation: LineCorrelation | None = None
    snapshot: dict[str, Any] | None = None
    diagnostics: dict[str, Any] | None = None

    @property
    def execution(self) -> int:
        """The task execution that the event is about; 0 where it is about none."""
        if self.correlation is not None:
            return self.correlation.task_execution_id
        return self.task_execution_id


class TaskEventRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The line of an event about one task execution: an `EventRecord` without what it never has.

    What is the same for a whole batch is encoded once.
    """

    sequence: int
    event_kind: msgspec.Raw
    captured_at: msgspec.Raw | float
    task_execution_id: int
    task_lease_id: int = 0
    reason_or_outcome: str = ""


class Introduction(msgspec.Struct, frozen=True, gc=False):
    """The part of a correlation that introduces an execution: a `LineCorrelation` without the rest."""

    row_group: int
    row_index: int | None
    task_column: str
    task_execution_id: int


class ReadyRecord(msgspec.Struct, frozen=True, gc=False):
    """The line that introduces a task execution."""

    sequence: int
    event_kind: msgspec.Raw
    captured_at: msgspec.Raw
    correlation: Introduction


class LogHeader(msgspec.Struct, frozen=True):
    """The first line. `next_sequence` is what the first event of each stream will carry."""

    log: str
    version: int
    opened_at: str
    next_sequence: dict[StreamName, int]


class LogClosing(msgspec.Struct, frozen=True):
    """The last line. `next_sequence` is what an event after it would have carried."""

    log_closed: bool
    next_sequence: dict[StreamName, int]


LogRecord: TypeAlias = LogHeader | EventRecord | LogEntry | LogClosing


def _stand_in(value: Any) -> str:
    """Keep a value that no JSON can hold from costing the event; its text might be row data."""
    return f"<{type(value).__name__}>"


_encoder = msgspec.json.Encoder(enc_hook=_stand_in)
_event_decoder = msgspec.json.Decoder(EventRecord)
_OTHER_RECORDS: Final[tuple[tuple[str, type[LogHeader | LogEntry | LogClosing]], ...]] = (
    ("log", LogHeader),
    ("actor", LogEntry),
    ("log_closed", LogClosing),
)


# -- writing -------------------------------------------------------------------------------------


def encode_header(opened_at: str, next_sequence: dict[StreamName, int]) -> bytes:
    """Return a log's first line. `opened_at` is wall time, ISO 8601."""
    return _encoder.encode(LogHeader(LOG_NAME, LOG_VERSION, opened_at, next_sequence)) + b"\n"


def encode_closing(next_sequence: dict[StreamName, int]) -> bytes:
    """Return a log's last line."""
    return _encoder.encode(LogClosing(log_closed=True, next_sequence=next_sequence)) + b"\n"


def encode_entries(entries: Sequence[LogEntry]) -> bytes:
    """Return one line per line of an actor's logger."""
    return _encoder.encode_lines(entries)


def encode_task_events(first_sequence: int, message: RecordTaskEvents) -> bytes:
    """Return one line per task execution, numbered from `first_sequence`.

    The kind must be a short one, or `dependency_ready`. This is telemetry's hottest loop.
    """
    kind, at = _raw(message.event_kind), _raw(message.captured_at)
    correlations = message.correlations
    numbers = count(first_sequence)  # without an end, as what repeats is: no zip here can be strict
    if message.event_kind == "dependency_ready":
        return _encoder.encode_lines(
            [
                ReadyRecord(
                    n, kind, at, Introduction(c.row_group, c.row_index, c.task_column, c.task_execution_id)
                )
                for n, c in zip(numbers, correlations, strict=False)
            ]
        )
    if not message.task_lease_ids:
        return _encoder.encode_lines(
            [
                TaskEventRecord(n, kind, at, c.task_execution_id)
                for n, c in zip(numbers, correlations, strict=False)
            ]
        )
    moments: Iterable[msgspec.Raw | float] = message.moments or repeat(at)
    outcomes = message.outcomes or repeat("")
    return _encoder.encode_lines(
        [
            TaskEventRecord(n, kind, moment, c.task_execution_id, lease_id, outcome)
            for n, moment, c, lease_id, outcome in zip(
                numbers, moments, correlations, message.task_lease_ids, outcomes, strict=False
            )
        ]
    )


def _raw(value: str | float) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(value))


def events_of(message: RecordTaskEvents) -> list[Event]:
    """Return the events that `message` stands for, one by one."""
    moments = message.moments or repeat(message.captured_at)
    lease_ids = message.task_lease_ids or repeat(0)
    outcomes = message.outcomes or repeat("")
    return [
        Event(
            message.event_kind,
            moment,
            correlation,
            task_lease_id=lease_id,
            reason_or_outcome=outcome,
        )
        for moment, correlation, lease_id, outcome in zip(
            moments, message.correlations, lease_ids, outcomes, strict=False
        )
    ]


def encode_events(stream: StreamName, first_sequence: int, events: Sequence[Event]) -> bytes:
    """Return one line per event, numbered from `first_sequence`."""
    records: list[EventRecord] = []
    append = records.append
    for sequence, event in enumerate(events, first_sequence):
        kind = event.event_kind
        correlation = event.correlation
        written: LineCorrelation | None = None
        execution = 0
        if correlation is not None:
            execution = correlation.task_execution_id
            if kind not in SHORT_KINDS or not execution:
                written = _written_correlation(kind, correlation)
                execution = 0
        append(
            EventRecord(
                sequence,
                kind,
                event.captured_at,
                stream,
                execution,
                event.task_lease_id,
                event.request_lease_id,
                event.request_attempt_id,
                event.resource,
                event.reason_or_outcome,
                written,
                event.snapshot,
                event.diagnostics,
            )
        )
    return _encoder.encode_lines(records)


def _introduction(correlation: RuntimeCorrelation) -> LineCorrelation:
    return LineCorrelation(
        correlation.row_group,
        correlation.row_index,
        correlation.task_column,
        correlation.task_execution_id,
    )


def _written_correlation(kind: str, correlation: RuntimeCorrelation) -> LineCorrelation:
    if kind == "dependency_ready":
        return _introduction(correlation)
    return LineCorrelation(
        correlation.row_group,
        correlation.row_index,
        correlation.task_column,
        correlation.task_execution_id,
        correlation.run_id,
        correlation.task_type,
        correlation.scheduling_group_kind,
        correlation.scheduling_group_identity_hash,
    )


# -- reading -------------------------------------------------------------------------------------


def decode_line(line: bytes) -> LogRecord:
    """Return the record that `line` holds.

    Raises:
        LogFormatError: it is no JSON, or no line of a log; the message says what was found.
    """
    try:
        return _event_decoder.decode(line)
    except msgspec.ValidationError as error:
        return _decode_other(line, error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LogFormatError(f"not JSON: {error}") from error


def _decode_other(line: bytes, error: msgspec.ValidationError) -> LogRecord:
    """Return the header, log line or closing line; `error` is why `line` is no event."""
    try:
        data = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as other:
        raise LogFormatError(f"not JSON: {other}") from other
    if not isinstance(data, dict):
        raise LogFormatError(f"expected a JSON object, found {type(data).__name__}")
    for field, record_type in _OTHER_RECORDS:
        if field in data:
            try:
                return msgspec.convert(data, record_type)
            except msgspec.ValidationError as other:
                raise LogFormatError(f"bad {record_type.__name__}: {other}") from other
    raise LogFormatError(f"bad event: {error}") from error


class LogDecoder:
    """Completes a log's events, read in order, with the correlations they were captured with.

    Remembers the running job's generators and the executions that have not ended, and for a while
    those that have; memory follows what is active, not the length of the log.
    """

    def __init__(self) -> None:
        self._run: RunDescriptor | None = None
        self._executions: dict[int, RuntimeCorrelation] = {}
        self._ended: deque[int] = deque()

    def decode(self, record: EventRecord) -> SequencedEvent:
        """Return the event of `record` as it was emitted.

        Raises:
            LogFormatError: the lines before this one do not introduce its execution or its generator.
        """
        correlation = self._correlation(record)
        event = Event(
            record.event_kind,
            record.captured_at,
            correlation,
            record.task_lease_id,
            record.request_lease_id,
            record.request_attempt_id,
            record.resource,
            record.reason_or_outcome,
            record.snapshot,
            record.diagnostics,
        )
        if record.event_kind == "task_lease_released" and record.reason_or_outcome != "stale_discard":
            self._end(record.execution)
        elif record.event_kind == "scheduler_job_started":
            self._start_run(record)
        return SequencedEvent(record.stream, record.sequence, event)

    def _start_run(self, record: EventRecord) -> None:
        try:
            self._run = RunDescriptor.from_builtins(record.diagnostics)
        except msgspec.ValidationError as error:
            raise LogFormatError(f"scheduler_job_started does not describe its run: {error}") from error
        self._executions.clear()
        self._ended.clear()

    def _end(self, execution: int) -> None:
        self._ended.append(execution)
        if len(self._ended) > _REMEMBERED_ENDED_EXECUTIONS:
            self._executions.pop(self._ended.popleft(), None)

    def _correlation(self, record: EventRecord) -> RuntimeCorrelation | None:
        written = record.correlation
        if written is None:
            if not record.task_execution_id:
                return None
            known = self._executions.get(record.task_execution_id)
            if known is None:
                raise LogFormatError(
                    f"{record.event_kind} of task execution {record.task_execution_id}, which no "
                    "dependency_ready before it introduces"
                )
            return known
        if written.task_type is None:
            introduced = self._introduced(written)
            self._executions[written.task_execution_id] = introduced
            return introduced
        return RuntimeCorrelation(
            written.run_id,
            written.row_group,
            written.row_index,
            written.task_column,
            written.task_type,
            written.scheduling_group_kind,
            written.scheduling_group_identity_hash,
            written.task_execution_id,
        )

    def _introduced(self, written: LineCorrelation) -> RuntimeCorrelation:
        run = self._run
        generator = run.generators.get(written.task_column) if run is not None else None
        if run is None or generator is None:
            raise LogFormatError(
                f"task of {written.task_column!r}, which no scheduler_job_started before it describes"
            )
        return RuntimeCorrelation(
            run.run_id,
            written.row_group,
            written.row_index,
            written.task_column,
            generator.task_type,
            generator.group_kind,
            generator.identity_hash,
            written.task_execution_id,
        )
