"""Measures over time that need no more memory for a longer run. Times are whole microseconds."""

from __future__ import annotations

from actors.inspection.explained import Curve

_MOST_POINTS = 240
_SECOND = 1_000_000


class Stretch:
    """Adds up the time in which something holds. A time before the last one counts as the last one."""

    __slots__ = ("_since", "_total")

    def __init__(self) -> None:
        self._total = 0
        self._since: int | None = None

    def set(self, *, holds: bool, at: int) -> None:
        """Note that it holds from now on, or no longer."""
        if holds:
            if self._since is None:
                self._since = at
        elif self._since is not None:
            self._total += max(0, at - self._since)
            self._since = None

    @property
    def holds(self) -> bool:
        """Whether it holds now."""
        return self._since is not None

    def total(self, until: int) -> int:
        """Return the time in which it has held, up to then."""
        return self._total if self._since is None else self._total + max(0, until - self._since)

    def seconds(self, until: int) -> float:
        """Return the same in seconds."""
        return self.total(until) / _SECOND


class Series:
    """A value over time, in at most so many buckets: each keeps its extremes and its last value.

    When the buckets are used up, each two become one of twice the length.
    """

    __slots__ = ("_buckets", "_first", "_width", "value")

    def __init__(self, value: float = 0) -> None:
        self.value = value
        self._first: int | None = None
        self._width = 1_000
        self._buckets: dict[int, list[float]] = {}

    def set(self, value: float, at: int) -> None:
        """Note the value from now on."""
        if self._first is None:
            self._first = at
        index = max(0, at - self._first) // self._width
        bucket = self._buckets.get(index)
        if bucket is None:
            if len(self._buckets) >= _MOST_POINTS:
                self._halve()
                index = max(0, at - self._first) // self._width
                bucket = self._buckets.get(index)
            if bucket is None:
                bucket = self._buckets[index] = [value, value, value]
        if value < bucket[0]:
            bucket[0] = value
        elif value > bucket[1]:
            bucket[1] = value
        self.value = bucket[2] = value

    def curve(self, origin: int) -> Curve:
        """Return the curve, its times in seconds after `origin`."""
        first, width = self._first or 0, self._width
        return tuple(
            ((first + index * width - origin) / _SECOND, low, high, last)
            for index, (low, high, last) in sorted(self._buckets.items())
        )

    def _halve(self) -> None:
        while len(self._buckets) > _MOST_POINTS // 2:
            self._width *= 2
            merged: dict[int, list[float]] = {}
            for index, (low, high, last) in sorted(self._buckets.items()):
                bucket = merged.get(index // 2)
                if bucket is None:
                    merged[index // 2] = [low, high, last]
                else:
                    bucket[:] = min(bucket[0], low), max(bucket[1], high), last
            self._buckets = merged


class Moments:
    """Moments, at most so many: when they are too many, every other one is left out from then on."""

    __slots__ = ("_every", "count", "kept")

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[int] = []
        self._every = 1

    def add(self, at: int) -> None:
        """Note one."""
        if self.count % self._every == 0:
            self.kept.append(at)
            if len(self.kept) > _MOST_POINTS:
                self.kept = self.kept[::2]
                self._every *= 2
        self.count += 1
