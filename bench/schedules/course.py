"""What a schedule was worth: figures of task executions whose every moment is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.results import Evidence


class Execution:
    """One task: the column and row it was about, and when it was ready, leased and given back."""

    __slots__ = ("column", "ended_at", "leased_at", "place", "ready_at")

    def __init__(self, column: str, place: tuple[int, int], ready_at: float) -> None:
        self.column = column
        self.place = place
        self.ready_at = ready_at
        self.leased_at = 0.0
        self.ended_at = 0.0

    @property
    def wait(self) -> float:
        """Seconds from ready to lease."""
        return self.leased_at - self.ready_at


class _Moment(NamedTuple):
    """How things are from `time` until `until`."""

    time: float
    until: float
    active: int
    ready: int


@dataclass
class Course:
    """All executions of a run. `measured` are the columns whose tasks take the capacity.

    left: leases and waiters afterwards. evidence: what our own actors left beside that.
    """

    executions: list[Execution]
    capacity: int
    measured: frozenset[str]
    left: int = 0
    evidence: Evidence = field(default_factory=Evidence)

    def of(self, columns: Collection[str]) -> list[Execution]:
        """Return the executions of some columns, in the order of their leases."""
        found = [execution for execution in self.executions if execution.column in columns]
        return sorted(found, key=lambda execution: execution.leased_at)

    @property
    def wall(self) -> float:
        """When the last task ended."""
        return max(execution.ended_at for execution in self.executions)

    def p95_wait(self, columns: Collection[str]) -> float:
        """Return the wait from ready to lease that 95 % of the tasks do not exceed."""
        return _nearest_rank([execution.wait for execution in self.of(columns)], 0.95)

    @property
    def ready_idle_gap(self) -> float:
        """The longest time in which work was ready and capacity free, and no lease was given."""
        longest = since = 0.0
        for moment in self._moments():
            if moment.ready and moment.active < self.capacity:
                since += moment.until - moment.time
                longest = max(longest, since)
            else:
                since = 0.0
        return longest

    @property
    def active_capacity(self) -> float:
        """The integral of active leases over the capacity: the part of it that was made use of."""
        busy = sum((moment.until - moment.time) * moment.active for moment in self._moments())
        return busy / (self.capacity * self.wall)

    def over_admission(self, roots: Collection[str], downstream: Collection[str], share: int) -> int:
        """Return how many leases roots were given beyond their strict share of the capacity.

        Counted from when the first downstream task was ready, while any was.
        """
        changes: list[tuple[float, int, int, int]] = []
        for execution in self.of(roots):
            changes += [(execution.ended_at, 0, -1, 0), (execution.leased_at, 2, 1, 0)]
        for execution in self.of(downstream):
            changes += [(execution.ready_at, 1, 0, 1), (execution.leased_at, 3, 0, -1)]
        held = ready = beyond = 0
        for _, _, root, waiting in sorted(changes):
            held, ready = held + root, ready + waiting
            beyond += root > 0 and held > share and ready > 0
        return beyond

    def row_ends(self) -> list[float]:
        """Return when each row was complete, in order: when the last task about it had ended."""
        ends: dict[tuple[int, int], float] = {}
        whole: dict[int, float] = {}
        for execution in self.executions:
            row_group, row = execution.place
            if row < 0:
                whole[row_group] = max(whole.get(row_group, 0.0), execution.ended_at)
            else:
                ends[execution.place] = max(ends.get(execution.place, 0.0), execution.ended_at)
        return sorted(max(end, whole.get(place[0], 0.0)) for place, end in ends.items())

    def p95_row(self) -> float:
        """Return when 95 % of the rows were complete."""
        return _nearest_rank(self.row_ends(), 0.95)

    def _moments(self) -> Iterator[_Moment]:
        """Yield every stretch between two changes."""
        changes: dict[float, list[int]] = {}
        for execution in self.of(self.measured):
            for time, active, ready in (
                (execution.ready_at, 0, 1),
                (execution.leased_at, 1, -1),
                (execution.ended_at, -1, 0),
            ):
                change = changes.setdefault(time, [0, 0])
                change[0] += active
                change[1] += ready
        times = sorted(changes)
        active = ready = 0
        for time, until in itertools.pairwise(times):
            active, ready = active + changes[time][0], ready + changes[time][1]
            yield _Moment(time, until, active, ready)


def _nearest_rank(values: Sequence[float], part: float) -> float:
    """Return the least of the values that so large a part of them does not exceed."""
    return sorted(values)[math.ceil(len(values) * part) - 1]
