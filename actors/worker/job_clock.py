"""The time that a job has been running for: what a provider's script goes by."""

from __future__ import annotations

from collections.abc import Callable


class JobClock:
    """Seconds since a job's first task was started; stands at 0 until then.

    Outlives the worker that started the task: a provider does not begin anew because a worker was lost.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._started_at: float | None = None

    def start(self) -> None:
        """Begin to count, if that has not been said before."""
        if self._started_at is None:
            self._started_at = self._now()

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return 0.0 if self._started_at is None else self._now() - self._started_at
