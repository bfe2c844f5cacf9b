"""What a server can do at a moment, by a script in the words of a job file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from messages.job import ScriptStep


class Conditions(NamedTuple):
    """The server at a moment. `capacity` is how many calls it serves at once."""

    capacity: int
    retry_after: float
    reachable: bool
    latency_factor: float


class CapacityScript:
    """The steps of a `ScriptStep` script, read at any time; what a step leaves out stays as it was.

    `tick` is how often a slope is looked at, seconds.
    """

    tick = 0.25

    def __init__(self, steps: tuple[ScriptStep, ...]) -> None:
        self._steps = steps

    def at(self, now: float) -> Conditions:
        """Return what holds at `now`, seconds from the start."""
        capacity, retry_after, reachable, factor = 0.0, 0.0, True, 1.0
        for step in self._steps:
            if step.at > now:
                break
            if step.capacity is not None:
                share = min(1.0, (now - step.at) / step.ramp_seconds) if step.ramp_seconds else 1.0
                capacity += (step.capacity - capacity) * share
            retry_after = step.retry_after if step.retry_after is not None else retry_after
            factor = step.latency_factor if step.latency_factor is not None else factor
            reachable = not step.outage or now >= step.at + step.outage
        return Conditions(int(capacity), retry_after, reachable, factor)

    def changes(self, until: float) -> Iterator[float]:
        """Return when something may be different from the moment before, up to `until`."""
        for step in self._steps:
            times = [step.at, step.at + step.outage]
            times += [
                step.at + self.tick * number for number in range(int(step.ramp_seconds / self.tick) + 2)
            ]
            yield from (time for time in times if time <= until)
