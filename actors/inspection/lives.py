"""The lives of task executions, from their row group's admission or an earlier try's end to their own.

Memory follows the row groups in flight. What has ended is charged, counted and forgotten; the longest
few are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappush, heapreplace
from typing import Final, NamedTuple

from actors.inspection.charges import CHECKPOINT, Charges, charge, micros, named, no_charges
from actors.inspection.explained import ExecutionExplained
from actors.telemetry.timeline import AttemptTimeline, CorrelatedRuntimeView, TaskTimeline
from messages.tasks import RuntimeCorrelation
from messages.telemetry import Event, SequencedEvent

LISTED: Final = 10
"""So many of the longest, and of the oldest unfinished, are listed."""


class Ended(NamedTuple):
    """An execution that is over, what it was charged to, and when it was over (microseconds)."""

    timeline: TaskTimeline
    charges: Charges
    end: int


class _RowGroup:
    """One row group in flight, times in microseconds."""

    __slots__ = ("admitted_at", "failed", "last_release", "open", "rows")

    def __init__(self, admitted_at: int, rows: int) -> None:
        self.admitted_at = admitted_at
        self.rows = rows
        self.last_release = admitted_at
        self.failed: dict[tuple[str, int | None], int] = {}
        self.open: dict[int, RuntimeCorrelation] = {}


class Lives:
    """The executions of one run. `capped` says for how long in all the queue has stood at a group's cap."""

    def __init__(self, capped: Callable[[int], int]) -> None:
        self._capped = capped
        self._view = CorrelatedRuntimeView()
        self._groups: dict[int, _RowGroup] = {}
        self._capped_before: dict[int, int] = {}
        self._share: dict[int, int] = {}
        self._longest: list[tuple[int, int, int, ExecutionExplained]] = []
        self._noted = 0
        self._total = no_charges()

    def add(self, placed: SequencedEvent) -> None:
        """Take an event about a task or an attempt."""
        self._view.add(placed)

    # -- row groups --------------------------------------------------------------------------------------

    def admitted(self, row_group: int, rows: int, at: int) -> None:
        """Note that a row group is in flight."""
        self._groups[row_group] = _RowGroup(at, rows)

    def checkpointed(self, row_group: int, at: int) -> list[Ended]:
        """Charge a row group's way to the disk; return what was left of it, which nobody wanted any more."""
        group = self._groups.get(row_group)
        if group is None:
            return []
        left = self._discard(group, list(group.open.values()), at)
        del self._groups[row_group]
        self._total[CHECKPOINT] += max(0, at - group.last_release)
        return left

    def rows_of(self, row_group: int) -> int:
        """Return how many rows a row group in flight has."""
        group = self._groups.get(row_group)
        return 0 if group is None else group.rows

    # -- executions --------------------------------------------------------------------------------------

    def ready(self, correlation: RuntimeCorrelation, at: int) -> None:
        """Note that an execution is ready."""
        group = self._groups.get(correlation.row_group)
        if group is None:  # the log begins later than the run, or was torn
            group = self._groups[correlation.row_group] = _RowGroup(at, 0)
        group.open[correlation.task_execution_id] = correlation
        capped = self._capped(at)
        if capped:
            self._capped_before[correlation.task_execution_id] = capped

    def leased(self, correlation: RuntimeCorrelation, at: int) -> None:
        """Note that an execution has its lease."""
        capped = self._capped(at)
        if capped:
            execution = correlation.task_execution_id
            self._share[execution] = capped - self._capped_before.get(execution, 0)

    def released(self, at: int) -> list[Ended]:
        """Return what has ended with the last event, charged."""
        return [self._end(timeline, at) for timeline in self._view.pop_complete()]

    def unwanted(self, dropped: Event, at: int) -> tuple[list[Ended], list[int]]:
        """Take a drop. Return what of its row was queued and has ended, and ids of what may be."""
        correlation = dropped.correlation
        group = None if correlation is None else self._groups.get(correlation.row_group)
        if correlation is None or group is None:
            return [], []
        if correlation.row_index is None:  # some of the row group's rows may be left
            return [], [each.task_execution_id for each in group.open.values() if each.row_index is not None]
        of_row = [each for each in group.open.values() if each.row_index == correlation.row_index]
        queued = [each for each in of_row if not self._is_leased(each)]
        return self._discard(group, queued, at), [each.task_execution_id for each in queued]

    # -- what they came to ---------------------------------------------------------------------------------

    def total(self) -> Charges:
        """Return what everything that has ended was charged to, checkpoints included."""
        return list(self._total)

    def longest(self) -> tuple[ExecutionExplained, ...]:
        """Return those that held their leases longest, the longest first."""
        return tuple(found for *_, found in sorted(self._longest, key=lambda entry: entry[:3], reverse=True))

    def unfinished(self, at: int) -> Iterator[tuple[TaskTimeline, Charges]]:
        """Yield what has not ended, the oldest first, charged up to now."""
        for timeline in self._view.open_timelines():
            yield timeline, self._charged(timeline, at)[0]

    def began(self, timeline: TaskTimeline, at: int) -> int:
        """Return when an open execution's life began, microseconds."""
        began = self._beginning(timeline)[0]
        ready = timeline.dependency_ready_at
        return began if began is not None else at if ready is None else micros(ready)

    # -- inside --------------------------------------------------------------------------------------------

    def _is_leased(self, correlation: RuntimeCorrelation) -> bool:
        timeline = self._view.open_timeline(correlation)
        return timeline is not None and timeline.task_lease_acquired_at is not None

    def _discard(self, group: _RowGroup, unwanted: list[RuntimeCorrelation], at: int) -> list[Ended]:
        ended = []
        for correlation in unwanted:
            group.open.pop(correlation.task_execution_id, None)
            timeline = self._view.open_timeline(correlation)
            if timeline is not None:
                self._view.forget(timeline)
                timeline.outcome = "discarded"
                ended.append(self._end(timeline, at))
        return ended

    def _beginning(self, timeline: TaskTimeline) -> tuple[int | None, bool]:
        """Return when a life began, and whether that was an earlier try's end."""
        about = timeline.correlation
        group = self._groups.get(about.row_group)
        if group is None:
            return None, False
        earlier = group.failed.get((about.task_column, about.row_index)) if group.failed else None
        return (group.admitted_at, False) if earlier is None else (earlier, True)

    def _charged(self, timeline: TaskTimeline, at: int) -> tuple[Charges, int]:
        began, retried = self._beginning(timeline)
        execution = timeline.task_execution_id
        if timeline.task_lease_acquired_at is None:
            capped = self._capped(at)
            share = capped - self._capped_before.get(execution, 0) if capped else 0
        else:
            share = self._share.get(execution, 0)
        released = timeline.task_lease_released_at
        end = at if released is None else micros(released)
        return charge(timeline, began=began, until=end, retried=retried, capped=share), end

    def _end(self, timeline: TaskTimeline, at: int) -> Ended:
        charges, end = self._charged(timeline, at)
        execution, about = timeline.task_execution_id, timeline.correlation
        if self._capped_before:
            self._capped_before.pop(execution, None)
        if self._share:
            self._share.pop(execution, None)
        total = self._total
        for reason, amount in enumerate(charges):
            if amount:
                total[reason] += amount
        self._note_longest(timeline, charges, end)
        group = self._groups.get(about.row_group)
        if group is not None:
            group.open.pop(execution, None)
            group.last_release = max(group.last_release, end)
            task = (about.task_column, about.row_index)
            if timeline.outcome != "success":
                group.failed[task] = end
            elif group.failed:
                group.failed.pop(task, None)
        return Ended(timeline, charges, end)

    def _note_longest(self, timeline: TaskTimeline, charges: Charges, end: int) -> None:
        """Keep an execution if it is one of those that held their leases longest."""
        leased, longest = timeline.task_lease_acquired_at, self._longest
        if leased is None:
            return
        held = end - micros(leased)
        if len(longest) >= LISTED and held <= longest[0][0]:
            return
        found = explain(timeline, charges, began=self.began(timeline, end), at=end, waiting_for="")
        self._noted += 1
        entry = (held, timeline.task_execution_id, self._noted, found)
        if len(longest) < LISTED:
            heappush(longest, entry)
        else:
            heapreplace(longest, entry)


def explain(
    timeline: TaskTimeline, charges: Charges, *, began: int, at: int, waiting_for: str
) -> ExecutionExplained:
    """Return an execution as a value. `began` and `at` are microseconds of the log's time."""
    about, leased, released = (
        timeline.correlation,
        timeline.task_lease_acquired_at,
        timeline.task_lease_released_at,
    )
    end = at if released is None else micros(released)
    return ExecutionExplained(
        task_execution_id=about.task_execution_id,
        column=about.task_column,
        row_group=about.row_group,
        row_index=about.row_index,
        began_at=began / 1e6,
        seconds=sum(charges) / 1e6,
        held_seconds=0.0 if leased is None else max(0, end - micros(leased)) / 1e6,
        attempts=len(timeline.attempts),
        outcome=timeline.outcome,
        waiting_for=waiting_for,
        charges={reason: amount for reason, amount in named(charges).items() if amount},
    )


def waits_for(timeline: TaskTimeline, short_of: str, wait: Callable[[str], str]) -> str:
    """Return what an open execution waits for, in words.

    `short_of` is what the queue lacks now; `wait` says what an attempt that waits for a resource waits for.
    """
    if timeline.task_lease_acquired_at is None:
        return f"task admission, which is short of {short_of}" if short_of else "task admission"
    if timeline.worker_spawned_at is None:
        return "the worker, to start it"
    if timeline.task_completed_at is not None:
        return "its lease to be taken back"
    open_attempts = [attempt for attempt in timeline.attempts if not _is_over(attempt)]
    sent = next((each for each in open_attempts if each.model_request_started_at is not None), None)
    if sent is not None:
        return f"the provider of {sent.resource}, to reply"
    if open_attempts:
        return wait(open_attempts[0].resource)
    return "its own code"


def _is_over(attempt: AttemptTimeline) -> bool:
    return (
        attempt.model_request_completed_at is not None
        or attempt.request_wait_ended_at is not None
        or attempt.request_lease_released_at is not None
    )
