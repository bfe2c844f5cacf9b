"""Reads logs line by line, whatever state they are in: complete, torn, or still being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from actors.evidence.log_file import LogFile
from actors.storage.layout import ACTOR_LOG, newest_log
from actors.telemetry.log_codec import EventRecord, LogDecoder, LogFormatError, LogRecord, decode_line
from messages.telemetry import SequencedEvent

LOG_FILE = ACTOR_LOG
"""A run folder's log."""


class BadLine(NamedTuple):
    """A line that is no record. `torn`: the file ends within it, as it does when its writer was killed."""

    problem: str
    torn: bool


class LogLine(NamedTuple):
    """A line's number, from 1, and what it holds."""

    number: int
    record: LogRecord | BadLine


def log_path(path: str | Path) -> Path:
    """Return the log that `path` means: a log file, or that of a run folder's latest run.

    Raises:
        LogFormatError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        inside = newest_log(path)
        if inside is None:
            raise LogFormatError(f"{path} holds no {LOG_FILE}: it is no run folder, or its run had no log")
        return inside
    if not path.exists():
        raise LogFormatError(f"{path} does not exist; expected a run folder or a log file")
    return path


def read_log(path: str | Path) -> Iterator[LogLine]:
    """Yield every line of a log, in order, one in memory at a time. A bad line does not end it.

    Raises:
        LogFormatError: there is no such log, or it cannot be read.
    """
    found = LogFile(log_path(path))
    number = 0
    try:
        for line in found.lines():
            number += 1
            yield LogLine(number, _record(line, torn=False))
    except OSError as error:
        raise LogFormatError(f"{found.path} cannot be read: {error.strerror}") from error
    if found.rest:
        yield LogLine(number + 1, _record(found.rest, torn=True))


def _record(line: bytes, *, torn: bool) -> LogRecord | BadLine:
    try:
        return decode_line(line)
    except LogFormatError as error:
        return BadLine(str(error), torn=torn)


def read_events(path: str | Path) -> Iterator[SequencedEvent]:
    """Yield a log's events with their full correlations. A torn last line is left out.

    Raises:
        LogFormatError: there is no such log, or a line of it cannot be understood; the line is named.
    """
    decoder = LogDecoder()
    for number, record in read_log(path):
        if isinstance(record, EventRecord):
            try:
                event = decoder.decode(record)
            except LogFormatError as error:
                raise LogFormatError(f"{log_path(path)}, line {number}: {error}") from error
            yield event
        elif isinstance(record, BadLine) and not record.torn:
            raise LogFormatError(f"{log_path(path)}, line {number}: {record.problem}")
