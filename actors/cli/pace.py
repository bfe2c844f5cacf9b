"""How fast a run is, and when it will be done. Pure: snapshots in, numbers out."""

from __future__ import annotations

from collections import deque

from messages.scheduler import GeneratorProgress, SchedulerSnapshot

_WINDOW_SECONDS = 30.0


class Pace:
    """Judges by the column that will be done last, by its tasks that ended in the last half minute.

    Columns of a task per row are judged while there are any left: row groups end too rarely to go by.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, float]]] = deque()
        self._rows = 0
        self._by_row: frozenset[str] = frozenset()

    def note(self, at: float, job: SchedulerSnapshot) -> None:
        """Take a snapshot made at `at`, seconds; later ones come later."""
        if not self._samples and job.started_at < at:
            self._samples.append((job.started_at, {}))
        self._rows = job.rows_requested
        self._by_row = frozenset(
            name for name, progress in job.generators.items() if progress.total == job.rows_requested
        )
        self._samples.append((at, {name: _share(each, job) for name, each in job.generators.items()}))
        while len(self._samples) > 2 and self._samples[1][0] <= at - _WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def rows_per_second(self) -> float:
        """How many rows the slowest of the columns that are not done gets done in a second."""
        return min((speed for _, speed in self._unfinished()), default=0.0) * self._rows

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this pace; None while there is no telling."""
        unfinished = self._unfinished()
        if any(speed <= 0 for _, speed in unfinished):
            return None
        return max((rest / speed for rest, speed in unfinished), default=0.0)

    def _unfinished(self) -> list[tuple[float, float]]:
        """Return (share left, share done in a second) of every column that is judged by."""
        if len(self._samples) < 2:
            return []
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        unfinished = {name: share for name, share in last.items() if share < 1.0}
        by_row = {name: share for name, share in unfinished.items() if name in self._by_row}
        passed = last_at - first_at
        return [
            (1.0 - share, max(0.0, share - first.get(name, 0.0)) / passed if passed > 0 else 0.0)
            for name, share in (by_row or unfinished).items()
        ]


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
