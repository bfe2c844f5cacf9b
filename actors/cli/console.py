"""What actors tell, on standard error while a command runs: the same facts as in the log, for people."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import structlog

from actors.cli.output import complain, one_line
from actors.evidence.human import LEVEL, LEVELS, entry_of
from actors.runtime.logger import PROGRAM_LOGGER
from actors.runtime.subscription import Subscription
from actors.system.system import ActorSystem
from messages.remedies import LONG_FIELDS, remedy_of
from messages.telemetry import LogEntry, LogLevel

_TOLD_OTHERWISE: Final = frozenset({"job_stopping", "job_rejected"})
"""Events that the command itself puts into words."""


class _Handler(logging.Handler):
    """Writes the lines of actors' loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Called in whichever actor's thread has logged it."""
        entry = getattr(record, "entry", None)
        if isinstance(entry, LogEntry):
            if entry.event not in _TOLD_OTHERWISE:
                write(entry)
            return
        try:
            complain(one_line(f"{record.levelname.lower()}: {record.getMessage()}"))
        except (TypeError, ValueError):
            self.handleError(record)


def write(entry: LogEntry) -> None:
    """Write one line: seconds into the run, level, what happened, who told it, particulars, what to do."""
    complain(one_line_of(entry, colors=sys.stderr.isatty()))


def one_line_of(entry: LogEntry, *, colors: bool) -> str:
    """Return the line. `colors`: with escape sequences for a terminal."""
    fields: dict[str, Any] = {name: value for name, value in entry.fields.items() if name not in LONG_FIELDS}
    told: dict[str, Any] = {
        "timestamp": f"{entry.captured_at:.3f}",
        "level": entry.level,
        "event": entry.event,
        "logger": entry.actor,
        **{name: one_line(value) if isinstance(value, str) else value for name, value in fields.items()},
    }
    remedy = remedy_of(entry.event) if entry.level in ("warning", "error") else ""
    line = _renderer(colors=colors)(None, entry.level, told)
    return f"{line}: {remedy}" if remedy else line


def _renderer(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, pad_event_to=0, pad_level=False)


@contextlib.contextmanager
def actors_heard(level: LogLevel) -> Iterator[None]:
    """Write what actors log on standard error, from `level` on.

    Only the logger `leasehold` is touched, and left as it was found (O8).
    """
    logger = logging.getLogger(PROGRAM_LOGGER)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = _Handler(threshold)
    before = (logger.propagate, logger.level)
    logger.propagate = False
    logger.setLevel(threshold)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate, level_before = before
        logger.setLevel(level_before)


@contextlib.contextmanager
def events_heard(system: ActorSystem, level: LogLevel | None) -> Iterator[None]:
    """Write events too, from `level` on, while the block lasts; none where it is None."""
    if level is None:
        yield
        return
    least = LEVELS.index(level)
    kinds = tuple(kind for kind, its in LEVEL.items() if LEVELS.index(its) >= least)
    with system.subscribe(kinds=kinds) as subscription:
        reader = threading.Thread(target=_read, args=(subscription,), name="leasehold-console", daemon=True)
        reader.start()
        try:
            yield
        finally:
            subscription.end()
            reader.join()


def _read(subscription: Subscription) -> None:
    for placed in subscription:
        write(entry_of(placed.event))
    if subscription.missed:
        complain(f"{subscription.missed} events came too fast to be shown here; the log has them")
