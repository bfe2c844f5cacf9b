"""One structlog logger per actor, whose lines travel to telemetry like every other fact."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from messages._base import ActorName
from messages.telemetry import LogEntry, LogLevel

_LEVELS: dict[str, LogLevel] = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "error",
}


class _EntrySink:
    """The end of the processor chain: structlog calls one of these methods with a finished entry."""

    def __init__(self, keep: Callable[[LogEntry], None], standard: logging.Logger) -> None:
        self._keep = keep
        self._standard = standard

    def _log(self, entry: LogEntry) -> None:
        self._keep(entry)
        if entry.level in ("warning", "error"):
            fields = " ".join(f"{key}={value}" for key, value in entry.fields.items())
            self._standard.log(
                logging.WARNING if entry.level == "warning" else logging.ERROR, "%s %s", entry.event, fields
            )

    debug = info = warning = error = exception = critical = _log


def actor_logger(
    actor: ActorName, *, now: Callable[[], float], keep: Callable[[LogEntry], None]
) -> structlog.typing.FilteringBoundLogger:
    """Return a logger with the actor's name bound, giving every line to `keep`.

    Warnings and errors also go to the standard library's logger `leasehold.<actor>`, so that a program
    which never looks at the log still hears of them. Its configuration, and structlog's, is the
    program's own: nothing global is touched (O8).
    """

    def to_entry(
        _logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> tuple[tuple[LogEntry], dict[str, Any]]:
        fields = {key: value for key, value in event.items() if key not in ("event", "actor")}
        entry = LogEntry(now(), str(event["actor"]), _LEVELS[method], str(event["event"]), fields)
        return (entry,), {}

    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _EntrySink(keep, logging.getLogger(f"leasehold.{actor}")),
        processors=[to_entry],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    ).bind(actor=actor)
    return logger
