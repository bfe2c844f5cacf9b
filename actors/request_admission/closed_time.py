"""For how long something has been closed in all: what a wait is charged to (O7)."""

from __future__ import annotations


class ClosedTime:
    """Adds up the time that something was closed. Times never go back."""

    __slots__ = ("_before", "_since", "_until")

    def __init__(self) -> None:
        self._before = 0.0
        self._since = 0.0
        self._until: float | None = 0.0

    def close(self, now: float, until: float | None) -> None:
        """Close, or stay closed, until then; None: until `open`."""
        if self._until is not None and self._until <= now:
            self._before += self._until - self._since
            self._since = now
        self._until = until

    def open(self, now: float) -> None:
        """Be open from `now` on, if it is not already."""
        if self._until is None or self._until > now:
            self._until = now

    def seconds(self, now: float) -> float:
        """Return for how long it has been closed until `now`."""
        until = now if self._until is None else min(now, self._until)
        return self._before + until - self._since
