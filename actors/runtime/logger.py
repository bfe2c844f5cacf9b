"""One structlog logger per actor, whose lines travel to telemetry like every other fact."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog

from messages._base import ActorName
from messages.remedies import LONG_FIELDS, remedy_of
from messages.telemetry import LogEntry, LogLevel

PROGRAM_LOGGER: Final = "leasehold"
"""The standard library's logger above those of the actors. Its configuration is the program's own (O8)."""

_LEVELS: dict[str, LogLevel] = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "error",
}


def tell_program(entry: LogEntry) -> None:
    """Give a line to the standard library's logger `leasehold.<actor>`, with what to do about it.

    A program that never looks at the log hears of warnings and errors so. The record's `entry` is the line.
    """
    logger = logging.getLogger(f"{PROGRAM_LOGGER}.{entry.actor}")
    level = logging.getLevelNamesMapping()[entry.level.upper()]
    if not logger.isEnabledFor(level):
        return
    told = [f"{name}={value}" for name, value in entry.fields.items() if name not in LONG_FIELDS]
    remedy = remedy_of(entry.event)
    text = " ".join([entry.event, *told]) + (f": {remedy}" if remedy else "")
    logger.log(level, "%s", text, extra={"entry": entry})


class _EntrySink:
    """The end of the processor chain: structlog calls one of these methods with a finished entry."""

    def __init__(self, keep: Callable[[LogEntry], None]) -> None:
        self._keep = keep

    def _log(self, entry: LogEntry) -> None:
        self._keep(entry)
        tell_program(entry)

    debug = info = warning = error = exception = critical = _log


def actor_logger(
    actor: ActorName, *, now: Callable[[], float], keep: Callable[[LogEntry], None]
) -> structlog.typing.FilteringBoundLogger:
    """Return a logger with the actor's name bound, giving every line to `keep`, and to the program.

    Nothing global is configured, neither structlog's nor the standard library's loggers (O8).
    """

    def to_entry(
        _logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> tuple[tuple[LogEntry], dict[str, Any]]:
        fields = {key: value for key, value in event.items() if key not in ("event", "actor")}
        entry = LogEntry(now(), str(event["actor"]), _LEVELS[method], str(event["event"]), fields)
        return (entry,), {}

    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _EntrySink(keep),
        processors=[to_entry],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    ).bind(actor=actor)
    return logger
