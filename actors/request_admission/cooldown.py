"""The gate that a rate limit closes for a while (A4): until when nothing of a resource may leave.

One of the two horizons of a rate limit; the other, how far the limit is cut, is the limit's.
"""

from __future__ import annotations

from actors.request_admission.closed_time import ClosedTime


class Cooldown:
    """Closed until `blocked_until`, which only ever moves away."""

    __slots__ = ("_seconds", "blocked_until", "closed")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.blocked_until: float | None = None
        self.closed = ClosedTime()

    def close(self, *, now: float, retry_after: float | None) -> float:
        """Close for what the provider asked for, else for the configured time; return until when.

        A shorter wait never replaces a longer one.
        """
        until = now + (self._seconds if retry_after is None else max(0.0, retry_after))
        if self.blocked_until is None or until > self.blocked_until:
            self.blocked_until = until
        self.closed.close(now, self.blocked_until)
        return self.blocked_until

    def is_closed(self, now: float) -> bool:
        """Return whether nothing may leave at `now`."""
        return self.blocked_until is not None and now < self.blocked_until

    def remaining(self, now: float) -> float:
        """Return for how long it stays closed, seconds; 0 when it is open."""
        return 0.0 if self.blocked_until is None else max(0.0, self.blocked_until - now)
