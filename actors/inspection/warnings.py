"""What actors warned of in their own lines, and for how long the worker's event loop was held."""

from __future__ import annotations

from typing import Any, Final

from actors.inspection.charges import micros
from actors.inspection.explained import LoopBlocked, WarningExplained
from messages.remedies import LONG_FIELDS, remedy_of
from messages.telemetry import LogEntry

_MOST_KINDS: Final = 50
_BLOCKED: Final = "event_loop_blocked"
_LOOKS: Final = 4
"""The watch looks so often in the time that it allows a block to last."""


class _Blocked:
    """One column's account, microseconds."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self.longest = 0
        self.at = ""


class Warnings:
    """The warnings and errors of one run.

    A blocked loop is told once, while it is still blocked, and found a look or so after it began. It began
    after what the worker last told of, and has ended when the worker tells of anything again.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], WarningExplained] = {}
        self._blocked: dict[str, _Blocked] = {}
        self._open: tuple[str, int, int] | None = None
        self._worker_told_at = 0

    def add(self, entry: LogEntry, at: int) -> None:
        """Take a line of an actor's logger."""
        if entry.level not in ("warning", "error"):
            return
        if entry.event == _BLOCKED:
            self._loop_blocked(entry.fields, at)
        key = (entry.actor, entry.event)
        known = self._found.get(key)
        if known is None and len(self._found) >= _MOST_KINDS:
            return
        self._found[key] = WarningExplained(
            event=entry.event,
            actor=entry.actor,
            level=entry.level,
            count=1 if known is None else known.count + 1,
            first_at=at / 1e6 if known is None else known.first_at,
            last_at=at / 1e6,
            text=_text(entry.fields) if known is None else known.text,
        )

    def worker_lives(self, at: int) -> None:
        """Note that the worker told of something: its loop runs."""
        self._worker_told_at = at
        if self._open is not None and at > self._open[2]:
            self._close(at)

    def explained(self, origin: int) -> tuple[WarningExplained, ...]:
        """Return the warnings by kind, in the order in which they first came."""
        return tuple(
            WarningExplained(
                event=each.event,
                actor=each.actor,
                level=each.level,
                count=each.count,
                first_at=each.first_at - origin / 1e6,
                last_at=each.last_at - origin / 1e6,
                text=each.text,
                remedy=remedy_of(each.event),
            )
            for each in self._found.values()
        )

    def loop_blocked(self, at: int) -> dict[str, LoopBlocked]:
        """Return how long each column has held the loop, up to now."""
        found = {}
        for column, blocked in self._blocked.items():
            total, longest = blocked.total, blocked.longest
            if self._open is not None and self._open[0] == column:
                lasting = max(0, at - self._open[1])
                total, longest = total + lasting, max(longest, lasting)
            found[column] = LoopBlocked(blocked.count, total / 1e6, longest / 1e6, blocked.at)
        return found

    def _loop_blocked(self, fields: dict[str, Any], at: int) -> None:
        if self._open is not None:
            self._close(at)
        column = str(fields.get("column", ""))
        seconds = micros(fields.get("seconds") or 0.0)
        since = at - seconds
        if self._worker_told_at < since:
            since = max(self._worker_told_at, since - seconds // _LOOKS)
        blocked = self._blocked.setdefault(column, _Blocked())
        blocked.count += 1
        blocked.at = str(fields.get("at", ""))
        self._open = (column, since, at)

    def _close(self, at: int) -> None:
        assert self._open is not None
        column, since, _ = self._open
        self._open = None
        blocked = self._blocked[column]
        lasted = max(0, at - since)
        blocked.total += lasted
        blocked.longest = max(blocked.longest, lasted)


def _text(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items() if name not in LONG_FIELDS)[:200]
