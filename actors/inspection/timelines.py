"""Single timelines out of a run's story: those of one execution, of one row, or of one model's calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from actors.inspection.charges import Charges, Reason, named
from actors.inspection.lives import Ended
from actors.telemetry.timeline import AttemptTimeline, TaskTimeline
from messages._base import Value

MOST: Final = 100
"""So many timelines are kept."""


class Step(Value, frozen=True):
    """One step of a timeline: when it was taken, in seconds since the run began, and what it was."""

    at: float
    what: str


class TimelineExplained(Value, frozen=True, kw_only=True):
    """One execution's timeline. Its own times are the log's; those of `steps` are since the run began."""

    timeline: TaskTimeline
    steps: tuple[Step, ...]
    charges: dict[Reason, int]
    """Microseconds."""
    waiting_for: str = ""


class _Kept(NamedTuple):
    timeline: TaskTimeline
    charges: Charges
    waiting_for: str = ""


class Picked:
    """Keeps the timelines that are wanted: the first, or the longest where `longest` says how long."""

    def __init__(
        self,
        wanted: Callable[[TaskTimeline], bool],
        *,
        longest: Callable[[TaskTimeline], float] | None = None,
        most: int = MOST,
    ) -> None:
        self._wanted = wanted
        self._longest = longest
        self._most = most
        self._kept: list[_Kept] = []
        self.count = 0

    def ended(self, ended: Ended) -> None:
        """Look at an execution that has ended."""
        self._look(_Kept(ended.timeline, ended.charges))

    def unfinished(self, found: Iterator[tuple[Ended, str]]) -> None:
        """Look at those that have not."""
        for ended, waiting_for in found:
            self._look(_Kept(ended.timeline, ended.charges, waiting_for))

    def explained(self, origin: float) -> tuple[TimelineExplained, ...]:
        """Return what was kept; `origin` is when the run began, in the log's time."""
        self._shorten()
        return tuple(
            TimelineExplained(
                timeline=each.timeline,
                steps=tuple(steps_of(each.timeline, origin)),
                charges={reason: amount for reason, amount in named(each.charges).items() if amount},
                waiting_for=each.waiting_for,
            )
            for each in self._kept
        )

    def _look(self, found: _Kept) -> None:
        if not self._wanted(found.timeline):
            return
        self.count += 1
        if self._longest is None and len(self._kept) >= self._most:
            return
        self._kept.append(found)
        if len(self._kept) > 2 * self._most:
            self._shorten()

    def _shorten(self) -> None:
        if self._longest is not None:
            longest = self._longest
            self._kept.sort(key=lambda each: -longest(each.timeline))
        del self._kept[self._most :]


def of_execution(execution: int) -> Callable[[TaskTimeline], bool]:
    """Return what picks one task execution."""
    return lambda timeline: timeline.task_execution_id == execution


def of_row(row: int, row_group_size: int) -> Callable[[TaskTimeline], bool]:
    """Return what picks every execution that made a row, those of its row group as a whole included."""

    def wanted(timeline: TaskTimeline) -> bool:
        about = timeline.correlation
        return about.row_index == row or (
            about.row_index is None and about.row_group == row // row_group_size
        )

    return wanted


def of_resource(resource: str) -> Callable[[TaskTimeline], bool]:
    """Return what picks every execution with an attempt at a request resource."""
    return lambda timeline: any(attempt.resource == resource for attempt in timeline.attempts)


def held_seconds(timeline: TaskTimeline) -> float:
    """Return for how long a timeline has held its lease; one that still does comes before all others."""
    if timeline.task_lease_acquired_at is None:
        return 0.0
    released = timeline.task_lease_released_at
    return float("inf") if released is None else released - timeline.task_lease_acquired_at


def steps_of(timeline: TaskTimeline, origin: float) -> Iterator[Step]:
    """Yield what happened to an execution, in order of time, and how long it waited for each."""
    steps = [(at, what) for at, what in _moments(timeline) if at is not None]
    steps.sort(key=lambda step: step[0])
    for at, what in steps:
        yield Step(round(at - origin, 6), what)


def _moments(timeline: TaskTimeline) -> Iterator[tuple[float | None, str]]:
    yield timeline.dependency_ready_at, "its dependencies are there"
    yield timeline.ready_enqueued_at, "queued"
    yield timeline.selected_at, f"selected{_after(timeline.ready_enqueued_at, timeline.selected_at)}"
    leased = timeline.task_lease_acquired_at
    yield leased, f"leased{_after(timeline.ready_enqueued_at, leased)} in the queue"
    yield timeline.worker_spawned_at, "started by the worker"
    for attempt in timeline.attempts:
        yield from _attempt_moments(attempt)
    completed = timeline.task_completed_at
    yield completed, f"completed{_after(timeline.worker_spawned_at, completed)}"
    yield timeline.task_lease_released_at, f"lease returned: {timeline.outcome}"


def _attempt_moments(attempt: AttemptTimeline) -> Iterator[tuple[float | None, str]]:
    name = f"attempt {attempt.request_attempt_id}"
    asked, granted = attempt.request_wait_started_at, attempt.request_lease_acquired_at
    sent, replied = attempt.model_request_started_at, attempt.model_request_completed_at
    reasons = ", ".join(f"{cause} {seconds:.3f} s" for cause, seconds in attempt.waited_for.items())
    waited = f" ({reasons})" if reasons else ""
    yield asked, f"{name}: asks for a request lease of {attempt.resource}"
    yield granted, f"{name}: granted{_after(asked, granted)}{waited}"
    gave_up = attempt.request_wait_ended_at
    yield gave_up, f"{name}: no lease{_after(asked, gave_up)}{waited}: {attempt.outcome}"
    yield sent, f"{name}: sent to the provider"
    connecting = attempt.connection_seconds
    connected = f", {connecting:.3f} s of it for a connection" if connecting else ""
    tokens = "" if attempt.output_tokens is None else f", {attempt.output_tokens} tokens out"
    yield replied, f"{name}: {attempt.outcome}{_after(sent, replied)}{connected}{tokens}"
    yield attempt.request_lease_released_at, f"{name}: request lease returned"


def _after(start: float | None, end: float | None) -> str:
    return "" if start is None or end is None else f" after {max(0.0, end - start):.3f} s"
