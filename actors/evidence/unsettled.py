"""The model requests whose end a log does not know: what a killed run may have paid for unseen (R14)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actors.evidence.log_file import LogFile
from actors.telemetry.log_codec import EventRecord, LogFormatError, decode_line
from messages.storage import UnsettledAttempt


def unsettled_attempts(log: Path) -> tuple[UnsettledAttempt, ...]:
    """Return the requests that were started by the log and never completed by it, in the order of starting.

    A log is written a moment after its events: what a killed process sent in its last 0.2 seconds may be
    missing, and an answer of those moments may be unknown. A log that cannot be read tells of nothing.
    """
    try:
        started: dict[int, EventRecord] = {}
        for record in _events(log, b'"model_request_'):
            if record.event_kind == "model_request_started":
                started[record.request_attempt_id] = record
            elif record.event_kind == "model_request_completed":
                started.pop(record.request_attempt_id, None)
        executions = {record.execution for record in started.values()}
        about = {
            record.execution: record.correlation
            for record in (_events(log, b'"dependency_ready"') if executions else ())
            if record.execution in executions
        }
    except (OSError, LogFormatError):
        return ()
    return tuple(
        UnsettledAttempt(
            column=correlation.task_column,
            row_group=correlation.row_group,
            row=correlation.row_index,
            resource=record.resource,
            request_attempt_id=attempt,
        )
        for attempt, record in started.items()
        if (correlation := about.get(record.execution)) is not None
    )


def _events(log: Path, mark: bytes) -> Iterator[EventRecord]:
    """Yield the events on lines that hold `mark`: most lines of a long log need not be decoded."""
    for line in LogFile(log).lines():
        if mark not in line:
            continue
        try:
            record = decode_line(line)
        except LogFormatError:
            continue
        if isinstance(record, EventRecord):
            yield record
