"""Counters over time: one sample for each moment at which a value changed."""

from __future__ import annotations

from actors.tracing.trace_events import TraceEvent, counter


class Counters:
    """Values by process and name. Changes at one and the same moment are one sample: the last."""

    def __init__(self) -> None:
        self._now: dict[tuple[int, str], tuple[int, float]] = {}

    def value(self, pid: int, name: str) -> float:
        """Return what a counter stands at."""
        return self._now.get((pid, name), (0, 0))[1]

    def set(self, pid: int, name: str, at: int, value: float) -> list[TraceEvent]:
        """Note a value; return the sample that is complete by that, if there is one."""
        key = (pid, name)
        before = self._now.get(key)
        self._now[key] = (at, value)
        return [] if before is None or before[0] == at else [counter(pid, name, *before)]

    def change(self, pid: int, name: str, at: int, by: float) -> list[TraceEvent]:
        """Note a change; as `set`."""
        return self.set(pid, name, at, self.value(pid, name) + by)

    def rest(self) -> list[TraceEvent]:
        """Return the last sample of every counter."""
        return [counter(pid, name, at, value) for (pid, name), (at, value) in self._now.items()]
