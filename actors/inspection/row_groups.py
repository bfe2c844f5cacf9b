"""How many row groups and rows a run has admitted and stored, and whether more may be in flight."""

from __future__ import annotations

from actors.inspection.explained import Curve, RowGroupsExplained
from actors.inspection.measures import Series
from messages.telemetry import Event, RunDescriptor


class RowGroups:
    """The row groups of one run. Rows count earlier runs' too; moments are microseconds."""

    def __init__(self, run: RunDescriptor, at: int) -> None:
        self._run = run
        self._stored_before = sum(end - first for first, end in run.row_groups_before)
        self._admitted = self._stored = self.most_in_flight = 0
        self._target_reached = False
        self.written, self.dropped = run.rows_written_before, run.rows_dropped_before
        self._completion = Series()
        self._completion.set(self.written, at)

    @property
    def in_flight(self) -> int:
        """How many are in flight."""
        return self._admitted - self._stored

    @property
    def bound(self) -> bool:
        """Whether there are more of them, and they may not be in flight yet."""
        more = self._admitted + self._stored_before < self._run.row_groups
        return more and (self._target_reached or self.in_flight >= self._run.row_group_concurrency)

    def admitted(self) -> None:
        """Note that one is in flight."""
        self._admitted += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._target_reached = False

    def blocked(self, reason: str) -> None:
        """Note what keeps the next one out; that there are enough of them, their number tells."""
        self._target_reached = reason != "concurrency"

    def stored(self, event: Event, at: int) -> None:
        """Note that one is on disk, with its rows."""
        said = event.diagnostics or {}
        self._stored += 1
        self.written += said.get("rows", 0)
        self.dropped += said.get("dropped", 0)
        self._completion.set(self.written, at)

    def completed(self, event: Event) -> None:
        """Take the counts that the run ended with."""
        said = event.diagnostics or {}
        self.written = said.get("rows_written", self.written)
        self.dropped = said.get("rows_dropped", self.dropped)

    def completion(self, origin: int) -> Curve:
        """Return the rows written over time."""
        return self._completion.curve(origin)

    def explained(self, *, bound_seconds: float, checkpoint_seconds: float) -> RowGroupsExplained:
        """Return the row groups as they are now."""
        return RowGroupsExplained(
            concurrency=self._run.row_group_concurrency,
            admitted=self._admitted,
            stored=self._stored,
            in_flight=self.in_flight,
            most_in_flight=self.most_in_flight,
            bound_seconds=bound_seconds,
            checkpoint_seconds=checkpoint_seconds,
        )
