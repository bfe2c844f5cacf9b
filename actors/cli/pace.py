"""How fast a run is, and when it will be done. Pure: snapshots in, numbers out."""

from __future__ import annotations

from collections import deque

from messages.scheduler import GeneratorProgress, SchedulerSnapshot

_WINDOW_SECONDS = 30.0


class Pace:
    """Judges by the tasks that ended in the last half minute: row groups end too rarely to go by."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque()
        self._rows = 0

    def note(self, at: float, job: SchedulerSnapshot) -> None:
        """Take a snapshot made at `at`, seconds; later ones come later."""
        if not self._samples and job.started_at < at:
            self._samples.append((job.started_at, 0.0))
        self._rows = job.rows_requested
        self._samples.append((at, share_done(job)))
        while len(self._samples) > 2 and self._samples[1][0] <= at - _WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def rows_per_second(self) -> float:
        """How many rows' worth of work is done in a second."""
        return self._shares_per_second * self._rows

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this pace; None while there is no telling."""
        speed = self._shares_per_second
        return (1.0 - self._samples[-1][1]) / speed if speed > 0 else None

    @property
    def _shares_per_second(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        return max(0.0, last - first) / (last_at - first_at) if last_at > first_at else 0.0


def share_done(job: SchedulerSnapshot) -> float:
    """Return the share of the job's tasks that need no more work, 0.0 to 1.0, every column counting alike.

    A dropped row's later tasks are never run: they count as done.
    """
    shares = [_share(progress, job) for progress in job.generators.values()]
    return sum(shares) / len(shares) if shares else 0.0


def _share(progress: GeneratorProgress, job: SchedulerSnapshot) -> float:
    if progress.total <= 0:
        return 1.0
    per_row = progress.total == job.rows_requested
    ended = progress.done + (max(progress.failed, job.rows_dropped) if per_row else progress.failed)
    return min(1.0, ended / progress.total)
