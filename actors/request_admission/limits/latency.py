"""What calls cost when nobody queues: latency per output token, by rounds, against a window's percentile."""

from __future__ import annotations

from collections import deque
from math import inf
from statistics import median

ROUND = 16
"""Calls that a round has at least: the median of fewer says little when latency varies by itself."""

WINDOW = 32
"""Rounds that the baseline is taken from."""

PERCENTILE = 0.2
"""A limit that goes up to the knee and is cut below it spends about so large a part of its time unqueued."""

MOVED = 1.25
"""A measurement of the unloaded latency so many times above or below the window's makes that void."""


class LatencyRound:
    """Calls that all left under the present limit: what they cost, and whether the limit was being used."""

    def __init__(self) -> None:
        self._began_at = float("-inf")
        self._samples: list[float] = []
        self._used = True

    def begin(self, *, now: float) -> None:
        """Begin anew: what left before `now` left under another limit and tells nothing of this one."""
        self._began_at = now
        self._samples = []
        self._used = True

    def add(self, seconds_per_token: float, *, acquired_at: float, used: bool) -> None:
        """Count one call that left at `acquired_at`."""
        if acquired_at >= self._began_at:
            self._samples.append(seconds_per_token)
            self._used = self._used and used

    def is_complete(self, *, limit: int) -> bool:
        """Whether as many calls as may be in flight have come back."""
        return len(self._samples) >= max(ROUND, limit)

    @property
    def was_used(self) -> bool:
        """Whether the limit was being used whenever one of the calls came back."""
        return self._used

    @property
    def latency(self) -> float:
        """Seconds per output token: the median of the round's calls."""
        return median(self._samples)


class LatencyBaseline:
    """The unloaded latency: a low percentile over the last rounds' medians."""

    def __init__(self) -> None:
        self._rounds: deque[float] = deque(maxlen=WINDOW)

    def add(self, latency: float) -> None:
        """Count one more round."""
        self._rounds.append(latency)

    def restart(self, latency: float) -> None:
        """Forget everything but this: it is another server than it was, and no queue is in this."""
        self._rounds.clear()
        self._rounds.append(latency)

    def measured(self, latency: float) -> None:
        """Take a measurement that no queue is in: keep only the rounds that it bears out."""
        kept = [each for each in self._rounds if latency / MOVED <= each <= latency * MOVED]
        self._rounds.clear()
        self._rounds.extend([*kept, latency])

    @property
    def latency(self) -> float:
        """Seconds per output token; infinite while nothing is known, so that nothing is above it."""
        if not self._rounds:
            return inf
        ordered = sorted(self._rounds)
        return ordered[int((len(ordered) - 1) * PERCENTILE)]
