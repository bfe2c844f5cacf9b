"""The open logs: one buffer, written to every log that is open, each with its own first and last line.

A log that fails is reported, closed and left behind; the others go on (O1). Nothing here knows files:
a log is whatever takes bytes.
"""

from __future__ import annotations

import contextlib
from typing import Final, Protocol

from actors.telemetry.log_codec import encode_closing, encode_entries, encode_header
from messages.telemetry import LogEntry, StreamName

WRITE_BYTES: Final = 128 * 1024
"""Lines are held back until there are this many bytes of them, ..."""
WRITE_SECONDS: Final = 0.2
"""... or until the first of them has waited for this long."""


class LogSink(Protocol):
    """Where a log's bytes go. Any method may raise; the sink is then closed and not used again."""

    @property
    def opened_at(self) -> str:
        """Wall time of opening, ISO 8601."""
        ...

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        ...

    def close(self, *, sync: bool) -> None:
        """Close; with `sync`, only once everything written is on disk."""
        ...


class OpenLogs:
    """Owns the logs that are open and the lines not yet written to them."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self.bytes_written = 0
        self._sinks: dict[str, LogSink] = {}
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._write_by: float | None = None

    @property
    def write_by(self) -> float | None:
        """When the buffered lines have to be written; None while there are none."""
        return self._write_by

    def __bool__(self) -> bool:
        """Return whether anything is listening."""
        return bool(self._sinks)

    def open(self, name: str, sink: LogSink, next_sequence: dict[StreamName, int], *, now: float) -> None:
        """Start a log, from the next line on."""
        self.write_out(now=now)
        self._sinks[name] = sink
        self._write(name, encode_header(sink.opened_at, next_sequence), now=now)

    def append(self, lines: bytes, *, now: float) -> None:
        """Add whole lines to every open log, sooner or later."""
        self._chunks.append(lines)
        self._buffered += len(lines)
        if self._write_by is None:
            self._write_by = now + WRITE_SECONDS
        if self._buffered >= WRITE_BYTES or now >= self._write_by:
            self.write_out(now=now)

    def write_due(self, *, now: float) -> None:
        """Write the buffered lines if they have waited long enough."""
        if self._write_by is not None and now >= self._write_by:
            self.write_out(now=now)

    def write_out(self, *, now: float) -> None:
        """Write the buffered lines to every open log."""
        lines = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        self._write_by = None
        if lines:
            for name in tuple(self._sinks):
                self._write(name, lines, now=now)

    def close(self, name: str, next_sequence: dict[StreamName, int], *, now: float) -> str:
        """Complete one log and wait for it to be on disk. Return what went wrong, or nothing."""
        self.write_out(now=now)
        if name in self._sinks:
            self._write(name, encode_closing(next_sequence), now=now)
        sink = self._sinks.pop(name, None)
        if sink is not None:
            try:
                sink.close(sync=True)
            except Exception as error:  # noqa: BLE001 - O1: whatever a sink does, generation goes on
                self._report(name, error, now=now)
        return self.failures.get(name, "")

    def close_all(self, next_sequence: dict[StreamName, int], *, now: float) -> None:
        """Complete every log."""
        for name in tuple(self._sinks):
            self.close(name, next_sequence, now=now)

    def _write(self, name: str, lines: bytes, *, now: float) -> None:
        sink = self._sinks[name]
        try:
            sink.write(lines)
        except Exception as error:  # noqa: BLE001 - O1: whatever a sink does, generation goes on
            del self._sinks[name]
            with contextlib.suppress(Exception):
                sink.close(sync=False)
            self._report(name, error, now=now)
        else:
            self.bytes_written += len(lines)

    def _report(self, name: str, error: Exception, *, now: float) -> None:
        """Keep the first error of a log, and say so once in the logs that still work."""
        if name in self.failures:
            return
        self.failures[name] = f"{type(error).__name__}: {error}"
        if self._sinks:
            fields = {"log": name, "error": self.failures[name]}
            self.append(encode_entries([LogEntry(now, "telemetry", "error", "log_failed", fields)]), now=now)
