"""The correlated timeline: what one task execution went through, joined from both streams.

Built from events as they come, live or out of a log. It needs no stream to be there: without the request
stream a timeline has no attempts, without the scheduler stream it has nothing else (O3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from messages.tasks import RuntimeCorrelation
from messages.telemetry import Event, SequencedEvent

TASK_TIMES: Final[dict[str, str]] = {
    "dependency_ready": "dependency_ready_at",
    "ready_enqueued": "ready_enqueued_at",
    "selected": "selected_at",
    "task_lease_acquired": "task_lease_acquired_at",
    "worker_spawned": "worker_spawned_at",
    "task_completed": "task_completed_at",
    "task_lease_released": "task_lease_released_at",
}
"""Event kind -> the time of a task's timeline that it gives, in order."""

ATTEMPT_TIMES: Final[dict[str, str]] = {
    "request_wait_started": "request_wait_started_at",
    "request_wait_completed": "request_wait_completed_at",
    "request_lease_acquired": "request_lease_acquired_at",
    "model_request_started": "model_request_started_at",
    "model_request_completed": "model_request_completed_at",
    "request_lease_released": "request_lease_released_at",
}
"""Event kind -> the time of an attempt's timeline that it gives, in order."""

_WAIT_ENDS: Final = frozenset({"request_wait_timeout", "request_wait_cancelled", "request_acquire_denied"})

_WAITED: Final = frozenset({"request_wait_completed", "request_wait_timeout", "request_wait_cancelled"})

WAIT_CAUSES: Final = ("circuit", "cooldown", "budget")
"""What a wait may have been for beside the request limit."""

RECOVERED: Final = "recovered"
"""The reason of a lease that takes the place of one whose actor was lost: it was acquired long before."""

_MANY_ATTEMPTS: Final = 16
"""A task of more attempts than this has them found by their ids, and not by looking through them all."""

_AGES: Final = 1e12
"""Seconds that nothing ever lasted."""

_REMEMBERED_ENDED: Final = 4096
"""A request lease and the task's own come back by different ways: either may be the last to be told."""


class AttemptTimeline(msgspec.Struct, kw_only=True):
    """One request attempt. A time is None where the attempt never came so far.

    `outcome` is how the attempt under its lease ended, or what ended the wait for one. `waited_for` are the
    seconds of a wait that were for something else than the request limit: `cooldown`, `circuit`, `budget`.
    `connection_seconds`, of the time at the provider, went into getting a connection. Tokens are what the
    provider counted; None where it did not say.
    """

    request_attempt_id: int
    resource: str = ""
    request_lease_id: int = 0
    outcome: str = ""
    request_wait_started_at: float | None = None
    request_wait_completed_at: float | None = None
    request_wait_ended_at: float | None = None
    """When a wait was over that brought no lease."""
    request_lease_acquired_at: float | None = None
    model_request_started_at: float | None = None
    model_request_completed_at: float | None = None
    request_lease_released_at: float | None = None
    waited_for: dict[str, float] = {}
    connection_seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class TaskTimeline(msgspec.Struct, kw_only=True):
    """One task execution. A time is None where the execution never came so far.

    Where a task was selected or leased more than once before it started, the last time counts: the
    earlier ones led nowhere. `attempts` is in the order in which they arrived at request admission.
    """

    correlation: RuntimeCorrelation
    task_lease_id: int = 0
    outcome: str = ""
    dependency_ready_at: float | None = None
    ready_enqueued_at: float | None = None
    selected_at: float | None = None
    task_lease_acquired_at: float | None = None
    worker_spawned_at: float | None = None
    attempts: list[AttemptTimeline] = []
    task_completed_at: float | None = None
    task_lease_released_at: float | None = None

    @property
    def task_execution_id(self) -> int:
        """The execution that this is about."""
        return self.correlation.task_execution_id


class CorrelatedRuntimeView:
    """Joins events into timelines, one per task execution. Pop what is complete to keep memory bounded.

    A timeline that was popped may still get its last attempt's end, for as long as it is remembered here.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], TaskTimeline] = {}
        self._complete: list[TaskTimeline] = []
        self._ended: dict[tuple[str, int], TaskTimeline] = {}
        self._ended_order: deque[tuple[str, int]] = deque()
        self._by_id: dict[tuple[str, int], dict[int, AttemptTimeline]] = {}

    def add(self, placed: SequencedEvent) -> None:
        """Take the next event of either stream; one that is about no task execution changes nothing."""
        event = placed.event
        correlation = event.correlation
        if correlation is None or not correlation.task_execution_id:
            return
        kind = event.event_kind
        if kind in TASK_TIMES:
            self._task_event(event, self._timeline(correlation))
        elif kind in ATTEMPT_TIMES or kind in _WAIT_ENDS:
            key = (correlation.run_id, correlation.task_execution_id)
            _attempt_event(
                event, self._attempt_of(event, self._ended.get(key) or self._timeline(correlation))
            )

    def pop_complete(self) -> list[TaskTimeline]:
        """Return the timelines that have ended since the last call, in order of their end."""
        complete, self._complete = self._complete, []
        return complete

    def open_timelines(self) -> list[TaskTimeline]:
        """Return the timelines that have not ended, in order of their beginning."""
        return list(self._open.values())

    def open_timeline(self, correlation: RuntimeCorrelation) -> TaskTimeline | None:
        """Return the timeline of an execution that has not ended, if it is known."""
        return self._open.get((correlation.run_id, correlation.task_execution_id))

    def forget(self, timeline: TaskTimeline) -> None:
        """Drop one that will never end: its task was taken out of the queue, of which no event tells."""
        key = (timeline.correlation.run_id, timeline.task_execution_id)
        self._open.pop(key, None)
        self._by_id.pop(key, None)

    def _timeline(self, correlation: RuntimeCorrelation) -> TaskTimeline:
        key = (correlation.run_id, correlation.task_execution_id)
        timeline = self._open.get(key)
        if timeline is None:
            timeline = self._open[key] = TaskTimeline(correlation=correlation)
        return timeline

    def _task_event(self, event: Event, timeline: TaskTimeline) -> None:
        if event.reason_or_outcome != RECOVERED:
            setattr(timeline, TASK_TIMES[event.event_kind], event.captured_at)
        timeline.task_lease_id = event.task_lease_id or timeline.task_lease_id
        if event.event_kind != "task_lease_released":
            return
        timeline.outcome = event.reason_or_outcome
        if event.reason_or_outcome == "stale_discard":
            # The lease came too late for its selection; the task itself is where it was, in the queue.
            timeline.selected_at = timeline.task_lease_acquired_at = timeline.task_lease_released_at = None
            timeline.task_lease_id, timeline.outcome = 0, ""
            return
        key = (timeline.correlation.run_id, timeline.task_execution_id)
        self._complete.append(self._open.pop(key))
        if timeline.attempts:
            self._ended[key] = timeline
            self._ended_order.append(key)
            if len(self._ended_order) > _REMEMBERED_ENDED:
                forgotten = self._ended_order.popleft()
                self._ended.pop(forgotten, None)
                self._by_id.pop(forgotten, None)

    def _attempt_of(self, event: Event, timeline: TaskTimeline) -> AttemptTimeline:
        """Return the attempt that the event is about, a new one if need be."""
        attempts, asked = timeline.attempts, event.request_attempt_id
        if not asked or len(attempts) <= _MANY_ATTEMPTS:
            found = _among(attempts, event)
            return _appended(attempts, asked) if found is None else found
        key = (timeline.correlation.run_id, timeline.task_execution_id)
        by_id = self._by_id.get(key)
        if by_id is None:
            by_id = self._by_id[key] = {attempt.request_attempt_id: attempt for attempt in attempts}
        found = by_id.get(asked)
        if found is None:
            found = by_id[asked] = _appended(attempts, asked)
        return found


def _among(attempts: list[AttemptTimeline], event: Event) -> AttemptTimeline | None:
    """Return the attempt that the event is about. A return may name its lease alone."""
    for attempt in attempts:
        if event.request_attempt_id:
            if attempt.request_attempt_id == event.request_attempt_id:
                return attempt
        elif attempt.request_lease_id == event.request_lease_id:
            return attempt
    return None


def _appended(attempts: list[AttemptTimeline], request_attempt_id: int) -> AttemptTimeline:
    attempt = AttemptTimeline(request_attempt_id=request_attempt_id)
    attempts.append(attempt)
    return attempt


def _attempt_event(event: Event, attempt: AttemptTimeline) -> None:
    attempt.resource = event.resource or attempt.resource
    attempt.request_lease_id = event.request_lease_id or attempt.request_lease_id
    kind = event.event_kind
    if kind in _WAIT_ENDS:
        attempt.outcome = event.reason_or_outcome or kind
        if kind != "request_acquire_denied" or attempt.request_wait_ended_at is None:
            attempt.request_wait_ended_at = event.captured_at
    elif event.reason_or_outcome != RECOVERED:
        setattr(attempt, ATTEMPT_TIMES[kind], event.captured_at)
    if kind in ("model_request_completed", "request_lease_released"):
        attempt.outcome = event.reason_or_outcome
    if event.diagnostics:
        _diagnosed(attempt, kind, event.diagnostics)


def _diagnosed(attempt: AttemptTimeline, kind: str, diagnostics: Mapping[str, Any]) -> None:
    """Take what an event says beside its time. A log may have been damaged: numbers alone count."""
    if kind == "model_request_completed":
        attempt.connection_seconds = _seconds(diagnostics, "connection_seconds") or attempt.connection_seconds
        attempt.input_tokens = _count(diagnostics, "input_tokens")
        attempt.output_tokens = _count(diagnostics, "output_tokens")
    elif kind in _WAITED:
        waited = {name: _seconds(diagnostics, name) for name in WAIT_CAUSES}
        attempt.waited_for = {name: seconds for name, seconds in waited.items() if seconds}


def _seconds(said: Mapping[str, Any], name: str) -> float:
    found = said.get(name)
    return found if isinstance(found, int | float) and abs(found) < _AGES else 0.0


def _count(said: Mapping[str, Any], name: str) -> int | None:
    found = said.get(name)
    return found if isinstance(found, int) else None
