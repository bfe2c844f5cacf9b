"""Turns a log's records, one by one, into the events of a trace. Pure; memory follows what is active."""

from __future__ import annotations

from actors.tracing.counters import Counters
from actors.tracing.models import ModelTracks
from actors.tracing.scheduling import SchedulerTracks
from actors.tracing.trace_events import TraceEvent, instant
from actors.tracing.tracks import Tracks
from actors.tracing.work import Work
from messages.telemetry import LogEntry, RunDescriptor, SequencedEvent


class Tracer:
    """Takes the records of one log in order, all of its runs. `finish` gives what is left.

    Times of the trace are whole microseconds since `origin`, in the log's seconds.
    """

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self._last = 0
        self._tracks = Tracks()
        self._counters = Counters()
        self._work = Work(self._tracks, origin)
        self._models = ModelTracks(self._tracks, self._counters, self._moment)
        self._scheduler = SchedulerTracks(self._tracks, self._counters)
        self._run_id = ""

    @property
    def arrows(self) -> int:
        """How many arrows there are so far."""
        return self._work.arrows.count

    def add(self, placed: SequencedEvent) -> list[TraceEvent]:
        """Take the next event; return what is complete by it.

        Raises:
            msgspec.ValidationError: a `scheduler_job_started` does not describe its run.
        """
        event = placed.event
        at = self._moment(event.captured_at)
        self._last = max(self._last, at)
        drawn = self._work.add(placed)
        if placed.stream == "request":
            return drawn + self._models.add(event, at)
        if event.event_kind == "scheduler_job_started":
            run = RunDescriptor.from_builtins(event.diagnostics)
            self._run_id = run.run_id
            self._models.describe(run)
            drawn += self._scheduler.begin(run, at)
        elif event.event_kind == "row_group_checkpointed":
            self._work.forget(self._run_id, (event.diagnostics or {})["row_group"])
        return drawn + self._scheduler.add(event, at)

    def log(self, entry: LogEntry) -> list[TraceEvent]:
        """Take the next line of an actor's logger: a moment on its track, mechanics (debug) left out."""
        at = self._moment(entry.captured_at)
        self._last = max(self._last, at)
        if entry.level == "debug":
            return []
        named = entry.event if entry.level == "info" else f"{entry.level}: {entry.event}"
        return [instant(self._tracks.actor(entry.actor), named, at, dict(entry.fields))]

    def finish(self) -> list[TraceEvent]:
        """Return what had no end by the end of the log, the counters' last samples, and all names."""
        return [
            *self._work.rest(self._last),
            *self._models.rest(self._last),
            *self._scheduler.rest(self._last),
            *self._counters.rest(),
            *self._tracks.named(),
        ]

    def _moment(self, seconds: float) -> int:
        return round((seconds - self._origin) * 1e6)
