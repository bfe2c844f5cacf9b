"""What a simulated endpoint's script says at a given time. Pure: seconds in, conditions out."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from messages.job import ScriptStep

_EXACT = 1e-9
"""What a straight line may miss a whole number by and still count as having reached it."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint is at one moment; by default as if nothing was ever wrong.

    capacity: calls that it serves at once, None without a bound. retry_after: seconds that a refusal asks
    for, None where it asks for nothing. outage: nothing can be reached. The rates are shares of calls.
    """

    capacity: int | None = None
    retry_after: float | None = None
    outage: bool = False
    error_rate: float = 0.0
    refuse_rate: float = 0.0
    hang_rate: float = 0.0
    reset_rate: float = 0.0
    latency_factor: float = 1.0


class Script:
    """The steps of a script, each with what it takes over from the one before.

    `steps` are in the order of `at`. With `repeat_seconds` everything begins anew each time they are over.
    """

    def __init__(self, steps: Sequence[ScriptStep], repeat_seconds: float | None = None) -> None:
        self._steps = tuple(steps)
        self._repeat = repeat_seconds
        self._times = [step.at for step in steps]
        self._lasting: list[Conditions] = []
        self._capacities_before: list[float] = []
        lasting = Conditions()
        for index, step in enumerate(steps):
            before = self._capacity(index - 1, step.at) if index else None
            # Where nothing was said before, a slow start begins with a single call.
            self._capacities_before.append(1.0 if before is None else before)
            lasting = _after(lasting, step)
            self._lasting.append(lasting)

    def at(self, seconds: float) -> Conditions:
        """Return how the endpoint is, `seconds` after the job's start."""
        now = self._folded(seconds)
        index = bisect_right(self._times, now) - 1
        if index < 0:
            return Conditions()
        capacity = self._capacity(index, now)
        whole = None if capacity is None else math.floor(capacity + _EXACT)
        outage = any(step.at <= now < step.at + step.outage for step in self._steps[: index + 1])
        return msgspec.structs.replace(self._lasting[index], capacity=whole, outage=outage)

    def next_change(self, seconds: float) -> float | None:
        """Return when the capacity next changes, or may, after `seconds`; None where it never does again."""
        now = self._folded(seconds)
        index = bisect_right(self._times, now) - 1
        changes = [*self._times[index + 1 : index + 2]]
        if index >= 0:
            changes += self._next_on_the_way(index, now)
        if self._repeat is not None:
            changes.append(self._repeat)
        later = [change for change in changes if change > now]
        return seconds + min(later) - now if later else None

    def _next_on_the_way(self, index: int, now: float) -> list[float]:
        """Return when a step's ramp reaches the next whole number, if it is on its way."""
        step, start = self._steps[index], self._capacities_before[index]
        target = self._lasting[index].capacity
        if target is None or not now < step.at + step.ramp_seconds or start == target:
            return []
        reached = start + (target - start) * (now - step.at) / step.ramp_seconds
        following = math.floor(reached + _EXACT) + 1 if target > start else math.ceil(reached - _EXACT) - 1
        share = (following - start) / (target - start)
        return [step.at + step.ramp_seconds * min(1.0, share + _EXACT)]

    def _capacity(self, index: int, now: float) -> float | None:
        """Return the capacity at `now`, while step `index` holds; a ramp's is between two whole numbers."""
        step, target = self._steps[index], self._lasting[index].capacity
        if target is None or now >= step.at + step.ramp_seconds:
            return target
        start = self._capacities_before[index]
        return start + (target - start) * (now - step.at) / step.ramp_seconds

    def _folded(self, seconds: float) -> float:
        return seconds if self._repeat is None else seconds % self._repeat


def _after(before: Conditions, step: ScriptStep) -> Conditions:
    """Return what holds once `step` is said: what it leaves out stays."""
    said = {
        "capacity": step.capacity,
        "retry_after": step.retry_after,
        "error_rate": step.error_rate,
        "refuse_rate": step.refuse_rate,
        "hang_rate": step.hang_rate,
        "reset_rate": step.reset_rate,
        "latency_factor": step.latency_factor,
    }
    changes: dict[str, float | None] = {name: value for name, value in said.items() if value is not None}
    if changes.get("retry_after") == 0:
        changes["retry_after"] = None
    return msgspec.structs.replace(before, **changes)
