"""What happened to each model: its limit, calls in flight and waiters over time, its pauses, its circuit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from actors.telemetry.timeline import RECOVERED
from actors.tracing.counters import Counters
from actors.tracing.trace_events import TraceEvent, instant, slice_
from actors.tracing.tracks import Tracks
from messages.telemetry import Event, RunDescriptor

LIMIT, IN_FLIGHT, WAITING = "limit", "in flight", "waiting"

TOLD: Final = frozenset(
    {
        "request_effective_cap_changed",
        "request_rate_limited",
        "request_limit_decreased",
        "request_limit_increased",
        "request_soft_ceiling_recovered",
        "request_fully_recovered",
        "request_circuit_opened",
        "request_circuit_closed",
        "request_release_diagnostic",
    }
)
"""Kinds that stand as moments on the track of a model's limit."""


class ModelTracks:
    """Follows the request stream. Moments are whole microseconds since the log's first event."""

    def __init__(self, tracks: Tracks, counters: Counters, moment: Callable[[float], int]) -> None:
        self._tracks = tracks
        self._counters = counters
        self._moment = moment
        self._waiting: dict[int, str] = {}
        self._pauses: dict[str, tuple[int, int]] = {}
        self._opened: dict[str, int] = {}
        self._handlers: dict[str, Callable[[Event, int], list[TraceEvent]]] = {
            "request_resource_registered": self._limit_set,
            "request_effective_cap_changed": self._limit_set,
            "request_limit_increased": self._limit_set,
            "request_limit_decreased": self._limit_set,
            "request_wait_started": self._wait_started,
            "request_wait_completed": self._wait_over,
            "request_wait_timeout": self._wait_over,
            "request_wait_cancelled": self._wait_over,
            "request_lease_acquired": self._granted,
            "request_lease_released": self._released,
            "request_rate_limited": self._rate_limited,
            "request_circuit_opened": self._circuit_opened,
            "request_circuit_closed": self._circuit_closed,
        }

    def describe(self, run: RunDescriptor) -> None:
        """Name the models as the job file does."""
        models = {name: tuple(each.caps) for name, each in run.request_resources.items()}
        self._tracks.describe(run.job_name, models)

    def add(self, event: Event, at: int) -> list[TraceEvent]:
        """Take an event of the request stream; return what is complete by it."""
        drawn: list[TraceEvent] = []
        if event.event_kind in TOLD and event.resource:
            told = {**(event.diagnostics or {}), "reason": event.reason_or_outcome}
            named = event.event_kind.removeprefix("request_")
            drawn.append(instant(self._tracks.limit(event.resource), named, at, told))
        handler = self._handlers.get(event.event_kind)
        return drawn if handler is None else drawn + handler(event, at)

    def rest(self, last: int) -> list[TraceEvent]:
        """Return the pauses and open circuits that the log does not see the end of."""
        drawn = [
            slice_(self._tracks.pauses(name), "cooldown", start, min(end, max(last, start + 1)))
            for name, (start, end) in self._pauses.items()
        ]
        for name, opened in self._opened.items():
            drawn.append(slice_(self._tracks.circuit(name), "circuit open", opened, last))
        return drawn

    # -- limits and calls ------------------------------------------------------------------------------

    def _set(self, resource: str, counter: str, at: int, value: float) -> list[TraceEvent]:
        return self._counters.set(self._tracks.model(resource).pid, counter, at, value)

    def _change(self, resource: str, counter: str, at: int, by: int) -> list[TraceEvent]:
        return self._counters.change(self._tracks.model(resource).pid, counter, at, by)

    def _limit_set(self, event: Event, at: int) -> list[TraceEvent]:
        said = event.diagnostics or {}
        limit: Any = said.get("limit", said.get("initial_limit"))
        return [] if limit is None else self._set(event.resource, LIMIT, at, limit)

    def _wait_started(self, event: Event, at: int) -> list[TraceEvent]:
        self._waiting[event.request_attempt_id] = event.resource
        return self._change(event.resource, WAITING, at, +1)

    def _wait_over(self, event: Event, at: int) -> list[TraceEvent]:
        # Of several replicas the one that was asked first has counted the wait.
        asked = self._waiting.pop(event.request_attempt_id, None)
        return [] if asked is None else self._change(asked, WAITING, at, -1)

    def _granted(self, event: Event, at: int) -> list[TraceEvent]:
        if event.reason_or_outcome == RECOVERED:  # the attempt's one lease, under another number
            return []
        return self._change(event.resource, IN_FLIGHT, at, +1)

    def _released(self, event: Event, at: int) -> list[TraceEvent]:
        return self._change(event.resource, IN_FLIGHT, at, -1)

    # -- pauses ----------------------------------------------------------------------------------------

    def _rate_limited(self, event: Event, at: int) -> list[TraceEvent]:
        until = (event.diagnostics or {}).get("blocked_until")
        if until is None or self._moment(until) <= at:
            return []
        end, before = self._moment(until), self._pauses.get(event.resource)
        if before is not None and at <= before[1]:
            self._pauses[event.resource] = (before[0], max(before[1], end))
            return []
        self._pauses[event.resource] = (at, end)
        return [] if before is None else [slice_(self._tracks.pauses(event.resource), "cooldown", *before)]

    def _circuit_opened(self, event: Event, at: int) -> list[TraceEvent]:
        self._opened.setdefault(event.resource, at)
        return []

    def _circuit_closed(self, event: Event, at: int) -> list[TraceEvent]:
        opened = self._opened.pop(event.resource, None)
        if opened is None:
            return []
        return [slice_(self._tracks.circuit(event.resource), "circuit open", opened, at)]
