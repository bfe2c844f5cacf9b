"""The way up at the start: from one attempt to the initial limit, in a straight line (A2)."""

from __future__ import annotations


class StartupRamp:
    """When each step from 1 to `top` is due. Begins with the first attempt, not when it is made."""

    def __init__(self, *, top: int, seconds: float) -> None:
        self._top = top
        self._seconds = seconds
        self._began_at: float | None = None

    def begin(self, *, now: float) -> None:
        """Let the time run from here, unless it does already."""
        if self._began_at is None:
            self._began_at = now

    def next_step(self, current: int) -> float | None:
        """Return when the limit goes above `current`; None before the beginning and at the top."""
        if self._began_at is None or current >= self._top:
            return None
        return self._began_at + self._seconds * current / (self._top - 1)

    def is_over(self, current: int) -> bool:
        """Whether `current` is the top."""
        return current >= self._top
