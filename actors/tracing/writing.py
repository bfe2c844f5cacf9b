"""Writes a log's trace as a file, event by event: a log of any length in bounded memory."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from actors.evidence.reader import LOG_FILE
from actors.inspection.reading import DAMAGED, LogTail
from actors.telemetry.log_codec import LogFormatError
from actors.tracing.trace_events import TraceEvent
from actors.tracing.tracer import Tracer
from messages.telemetry import LogEntry, SequencedEvent


class TraceCounts(msgspec.Struct, frozen=True):
    """What a trace holds. `unreadable_lines` are those of the log that could not be understood."""

    slices: int
    counters: int
    arrows: int
    instants: int
    tracks: int
    unreadable_lines: int


def write_trace(log: str | Path, to: Path) -> TraceCounts:
    """Write the trace of a run folder's log, or of a log file, to `to`; gzip where that ends in `.gz`.

    Raises:
        LogFormatError: there is no such log, it cannot be read, or it tells of nothing.
        OSError: the trace cannot be written.
    """
    tail = LogTail(log)
    records = tail.records()
    first = next(records, None)
    if first is None:
        raise LogFormatError(f"{log} tells of no run: name a run folder or its {LOG_FILE}")
    counts: Counter[str] = Counter()
    unfinished = to.with_name(f"{to.name}.tmp")
    with gzip.open(unfinished, "wb") if to.suffix == ".gz" else unfinished.open("wb") as file:
        _write(traced(chain((first,), records), tail), file, counts)
    unfinished.replace(to)
    return TraceCounts(
        slices=counts["X"],
        counters=counts["C"],
        arrows=counts["s"],
        instants=counts["i"],
        tracks=counts["thread_name"],
        unreadable_lines=tail.unreadable,
    )


def traced(records: Iterable[SequencedEvent | LogEntry], tail: LogTail) -> Iterator[TraceEvent]:
    """Yield the trace of these records; one that is no line of ours is counted as unreadable."""
    tracer: Tracer | None = None
    for record in records:
        at = record.captured_at if isinstance(record, LogEntry) else record.event.captured_at
        tracer = tracer or Tracer(at)
        try:
            yield from tracer.log(record) if isinstance(record, LogEntry) else tracer.add(record)
        except DAMAGED:
            tail.unreadable += 1
    if tracer is not None:
        yield from tracer.finish()


def _write(events: Iterable[TraceEvent], file: BinaryIO | gzip.GzipFile, counts: Counter[str]) -> None:
    encoder = msgspec.json.Encoder()
    file.write(b'{"displayTimeUnit":"ms","traceEvents":[')
    separator = b"\n"
    for event in events:
        counts[event.name if event.ph == "M" else event.ph] += 1
        file.write(separator)
        file.write(encoder.encode(event))
        separator = b",\n"
    file.write(b"\n]}\n")
