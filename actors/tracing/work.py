"""Task executions and request attempts as slices, with arrows from a task to its attempts and its next try.

A task execution is a slice from its lease to the return of it; one that never had a lease is none. An
attempt is up to two slices on its model's lane: the wait, where there was one, and the call from its lease
to the return of it, in which the provider's own time is a slice again. An attempt that a lost worker asked
for after its task's lease was back is none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from actors.telemetry.timeline import RECOVERED, AttemptTimeline, CorrelatedRuntimeView, TaskTimeline
from actors.tracing.trace_events import Arrows, TraceEvent, Track, slice_
from actors.tracing.tracks import Tracks
from messages.tasks import RuntimeCorrelation
from messages.telemetry import Event, SequencedEvent

STALE = "stale_discard"

Key = tuple[str, int]
"""Which execution: its run and its number."""

Try = tuple[str, int, str, int | None]
"""What a try is a try of: the run, its row group, column and row."""


class _Place(NamedTuple):
    """Where an attempt stands: the lane of its wait, and that of its call where this is another."""

    waits: Track
    calls: Track


class Work:
    """Follows tasks and attempts, and gives out their slices when everything of a task is over."""

    def __init__(self, tracks: Tracks, origin: float) -> None:
        self._tracks = tracks
        self._origin = origin
        self._view = CorrelatedRuntimeView()
        self._lanes: dict[Key, Track] = {}
        self._places: dict[int, _Place] = {}
        self._held: dict[Key, TaskTimeline] = {}
        """Over, but for attempts whose leases are still on their way back."""
        self._began: dict[Key, int] = {}
        self._failed: dict[Try, tuple[Track, int]] = {}
        """Where the last failed try of a task ended, as task admission tells: the rest may come late."""
        self._after: dict[Key, tuple[Track, int]] = {}
        """The failed try that one follows."""
        self.arrows = Arrows()

    def add(self, placed: SequencedEvent) -> list[TraceEvent]:
        """Take an event about a task or an attempt; return the slices that are complete by it."""
        event = placed.event
        if event.correlation is None or not event.correlation.task_execution_id:
            return []
        self._lane(event)
        self._view.add(placed)
        for timeline in self._view.pop_complete():
            self._held[_key(timeline)] = timeline
        key = (event.correlation.run_id, event.correlation.task_execution_id)
        held = self._held.get(key)
        if held is None or not all(_is_over(attempt) for attempt in held.attempts):
            return []
        del self._held[key]
        return self._drawn(held, None)

    def rest(self, last: int) -> list[TraceEvent]:
        """Return the slices of what is not over when the log ends, `last` being its last time."""
        drawn: list[TraceEvent] = []
        for timeline in (*self._held.values(), *self._view.open_timelines()):
            drawn += self._drawn(timeline, last)
        return drawn

    def forget(self, run_id: str, row_group: int) -> None:
        """Note that nothing of a row group will be tried again."""
        if self._failed:
            self._failed = {
                key: place for key, place in self._failed.items() if key[:2] != (run_id, row_group)
            }

    # -- lanes ---------------------------------------------------------------------------------------

    def _at(self, seconds: float) -> int:
        return round((seconds - self._origin) * 1e6)

    def _lane(self, event: Event) -> None:
        """Take a lane for what begins, give back that of what ends."""
        assert event.correlation is not None
        key, at = (event.correlation.run_id, event.correlation.task_execution_id), self._at(event.captured_at)
        match event.event_kind:
            case "task_lease_acquired" if event.reason_or_outcome != RECOVERED:
                self._begins(key, event.correlation, at)
            case "task_lease_released" if key in self._lanes:
                self._ends(key, event.correlation, at, event.reason_or_outcome)
            case "request_wait_started" if key in self._lanes and key not in self._held:
                lane = self._tracks.model(event.resource).take(at)
                self._places[event.request_attempt_id] = _Place(lane, lane)
            case "request_lease_acquired" if event.reason_or_outcome != RECOVERED:
                self._called(event, at)
            case "request_wait_timeout" | "request_wait_cancelled" | "request_lease_released":
                self._left(event.request_attempt_id, at)

    def _begins(self, key: Key, about: RuntimeCorrelation, at: int) -> None:
        lane = self._tracks.tasks.take(at)
        self._lanes[key] = lane
        self._began[key] = at
        earlier = self._failed.get(_try(about))
        if earlier is not None:
            self._after.setdefault(key, earlier)

    def _ends(self, key: Key, about: RuntimeCorrelation, at: int, outcome: str) -> None:
        lane, began = self._lanes[key], self._began.pop(key)
        self._tracks.tasks.give_back(lane, at + 1)
        if outcome == STALE:
            del self._lanes[key]
        elif outcome != "success":
            self._failed[_try(about)] = (lane, max(began, at - 1))

    def _called(self, event: Event, at: int) -> None:
        lanes, place = self._tracks.model(event.resource), self._places.get(event.request_attempt_id)
        if place is not None and place.waits.pid != lanes.pid:  # another replica than was asked first
            self._tracks.give_back(place.waits, at + 1)
            self._places[event.request_attempt_id] = _Place(place.waits, lanes.take(at))

    def _left(self, attempt: int, at: int) -> None:
        place = self._places.get(attempt)
        if place is not None:
            self._tracks.give_back(place.calls, at + 1)

    # -- slices --------------------------------------------------------------------------------------

    def _drawn(self, timeline: TaskTimeline, last: int | None) -> list[TraceEvent]:
        """Return everything of one execution; `last` is the end of what has none."""
        about = timeline.correlation
        places = [
            (attempt, self._places.pop(attempt.request_attempt_id, None)) for attempt in timeline.attempts
        ]
        lane = self._lanes.pop(_key(timeline), None)
        if lane is None or timeline.task_lease_acquired_at is None:
            return []
        start = self._at(timeline.task_lease_acquired_at)
        end = self._end(timeline.task_lease_released_at, start, last)
        drawn = [slice_(lane, _name(about.task_column, timeline.outcome), start, end, self._told(timeline))]
        for attempt, place in places:
            if place is not None:
                drawn += self._attempt(attempt, place, about.task_column, (lane, start, end), last)
        earlier = self._after.pop(_key(timeline), None)
        if earlier is not None:
            drawn += self.arrows.between("next try", earlier, (lane, start))
        return drawn

    def _attempt(
        self,
        attempt: AttemptTimeline,
        place: _Place,
        column: str,
        task: tuple[Track, int, int],
        last: int | None,
    ) -> list[TraceEvent]:
        """Return an attempt's slices and the arrow that leads to the first of them."""
        drawn: list[TraceEvent] = []
        first: tuple[Track, int] | None = None
        waited_from = attempt.request_wait_started_at
        if waited_from is not None:
            start = self._at(waited_from)
            over = attempt.request_wait_completed_at or attempt.request_wait_ended_at
            waited = (last if over is None else self._at(over)) or start
            if waited > start or attempt.request_lease_acquired_at is None:
                drawn.append(slice_(place.waits, _wait(attempt), start, max(waited, start + 1)))
                first = (place.waits, start)
        if attempt.request_lease_acquired_at is not None:
            start = self._at(attempt.request_lease_acquired_at)
            end = self._end(attempt.request_lease_released_at, start, last)
            drawn.append(slice_(place.calls, _name(column, attempt.outcome), start, end, _spent(attempt)))
            drawn += self._provider(attempt, place.calls, start, end)
            first = first or (place.calls, start)
        if first is not None:
            lane, began, ended = task
            drawn += self.arrows.between("attempt", (lane, min(max(first[1], began), ended - 1)), first)
        return drawn

    def _provider(self, attempt: AttemptTimeline, lane: Track, start: int, end: int) -> list[TraceEvent]:
        if attempt.model_request_started_at is None:
            return []
        sent = min(max(self._at(attempt.model_request_started_at), start), end)
        done = attempt.model_request_completed_at
        answered = end if done is None else min(max(self._at(done), sent), end)
        return [slice_(lane, "provider", sent, answered)]

    def _end(self, seconds: float | None, start: int, last: int | None) -> int:
        """Return a slice's end: at least a microsecond long, or an arrow could not begin in it."""
        end = last if seconds is None else self._at(seconds)
        return max(start + 1, start if end is None else end)

    def _told(self, timeline: TaskTimeline) -> dict[str, Any]:
        about, leased = timeline.correlation, timeline.task_lease_acquired_at
        told: dict[str, Any] = {
            "task_execution_id": about.task_execution_id,
            "row_group": about.row_group,
            "row_index": about.row_index,
            "task_lease_id": timeline.task_lease_id,
            "outcome": timeline.outcome or "unfinished",
        }
        if timeline.ready_enqueued_at is not None and leased is not None:
            told["waited_for_lease_ms"] = round((leased - timeline.ready_enqueued_at) * 1e3, 3)
        return told


def _key(timeline: TaskTimeline) -> Key:
    return (timeline.correlation.run_id, timeline.task_execution_id)


def _try(about: RuntimeCorrelation) -> Try:
    return (about.run_id, about.row_group, about.task_column, about.row_index)


def _name(column: str, outcome: str) -> str:
    return column if outcome == "success" else f"{column}: {outcome or 'unfinished'}"


def _wait(attempt: AttemptTimeline) -> str:
    causes = attempt.waited_for
    return f"waits: {max(causes, key=lambda name: causes[name])}" if causes else "waits: limit"


def _spent(attempt: AttemptTimeline) -> dict[str, Any]:
    spent: dict[str, Any] = {
        "request_attempt_id": attempt.request_attempt_id,
        "request_lease_id": attempt.request_lease_id,
        "outcome": attempt.outcome or "unfinished",
        "input_tokens": attempt.input_tokens,
        "output_tokens": attempt.output_tokens,
    }
    return {name: value for name, value in spent.items() if value is not None}


def _is_over(attempt: AttemptTimeline) -> bool:
    if attempt.request_lease_acquired_at is not None:
        return attempt.request_lease_released_at is not None
    return attempt.request_wait_ended_at is not None
