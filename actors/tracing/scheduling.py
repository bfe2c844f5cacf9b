"""What the scheduler did: the job, its row groups, the ready queue, what was tried again or given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.telemetry.timeline import RECOVERED
from actors.tracing.counters import Counters
from actors.tracing.trace_events import TraceEvent, Track, instant, slice_
from actors.tracing.tracks import ACTORS, Tracks
from actors.tracing.work import STALE
from messages.tasks import RuntimeCorrelation
from messages.telemetry import Event, RunDescriptor

QUEUED, ROWS_WRITTEN = "queued tasks", "rows written"
LEASES: Final = "task leases: "

TOLD: Final = frozenset(
    {
        "row_group_admission_blocked",
        "row_group_admission_target_changed",
        "request_pressure_advisory_skipped",
        "admission_denied",
        "worker_spawn_failed",
        "stale_selection",
        "retry_deferred",
        "non_retryable_dropped",
        "cancelled",
        "salvage_redispatched",
        "queue_drained",
        "release_diagnostic",
    }
)
"""Kinds that stand as moments on the scheduler's track."""

_QUEUE_STATES: Final = {
    "queue_empty": "empty",
    "admission_blocked": "blocked",
    "group_capped": "at a column's share",
}


class _Queued:
    """The executions that are queued, by row group: what is not wanted any more leaves without an event."""

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[int, dict[int, int | None]] = {}

    def add(self, about: RuntimeCorrelation) -> None:
        """Note that an execution is queued."""
        group = self._groups.setdefault(about.row_group, {})
        self.count += about.task_execution_id not in group
        group[about.task_execution_id] = about.row_index

    def remove(self, about: RuntimeCorrelation) -> None:
        """Note that it has left the queue, if it was there."""
        group = self._groups.get(about.row_group, {})
        self.count -= about.task_execution_id in group
        group.pop(about.task_execution_id, None)

    def forget(self, row_group: int, row: int | None = None) -> bool:
        """Take out what is queued of a row, or of a whole row group; return whether that was anything."""
        group = self._groups.get(row_group, {})
        gone = [execution for execution, each in group.items() if row is None or each == row]
        for execution in gone:
            del group[execution]
        if row is None:
            self._groups.pop(row_group, None)
        self.count -= len(gone)
        return bool(gone)


class SchedulerTracks:
    """Follows the scheduler stream. Moments are whole microseconds since the log's first event."""

    def __init__(self, tracks: Tracks, counters: Counters) -> None:
        self._tracks = tracks
        self._counters = counters
        self._takes: dict[str, tuple[tuple[str, int], ...]] = {}
        self._queued = _Queued()
        self._job: tuple[str, int] | None = None
        self._queue_state: tuple[str, int] | None = None
        self._row_groups: dict[int, tuple[Track, int, int]] = {}
        self._handlers: dict[str, Callable[[Event, int], list[TraceEvent]]] = {
            "scheduler_job_completed": self._job_ended,
            "row_group_admitted": self._row_group_admitted,
            "row_group_checkpointed": self._row_group_stored,
            "ready_enqueued": self._enqueued,
            "selected": self._selected,
            "queue_empty": self._queue_told,
            "admission_blocked": self._queue_told,
            "group_capped": self._queue_told,
            "task_lease_acquired": self._leased,
            "task_lease_released": self._released,
            "non_retryable_dropped": self._row_dropped,
        }

    def begin(self, run: RunDescriptor, at: int) -> list[TraceEvent]:
        """Take a job's beginning."""
        self._takes = {name: tuple(each.resources.items()) for name, each in run.generators.items()}
        self._job = (run.job_name, at)
        return self._counters.set(ACTORS, ROWS_WRITTEN, at, run.rows_written_before)

    def add(self, event: Event, at: int) -> list[TraceEvent]:
        """Take an event of the scheduler stream; return what is complete by it."""
        drawn: list[TraceEvent] = []
        if event.event_kind in TOLD:
            told = {**(event.diagnostics or {}), "reason": event.reason_or_outcome}
            if event.correlation is not None:
                told["column"] = event.correlation.task_column
                told["task_execution_id"] = event.correlation.task_execution_id
            drawn.append(instant(self._tracks.actor("scheduler"), event.event_kind, at, told))
        handler = self._handlers.get(event.event_kind)
        return drawn if handler is None else drawn + handler(event, at)

    def rest(self, last: int) -> list[TraceEvent]:
        """Return what the log does not see the end of."""
        drawn = self._queue_changed(None, last)
        for row_group, (lane, start, rows) in self._row_groups.items():
            named = f"row group {row_group}: unfinished"
            drawn.append(slice_(lane, named, start, max(last, start), {"rows": rows}))
        if self._job is not None:
            name, began = self._job
            drawn.append(slice_(self._tracks.actor("scheduler"), f"job {name}: unfinished", began, last))
        return drawn

    # -- the job and its row groups ----------------------------------------------------------------------

    def _job_ended(self, event: Event, at: int) -> list[TraceEvent]:
        self._queued = _Queued()
        drawn = self._queue_changed(None, at) + self._depth(at)
        if self._job is not None:
            name, began = self._job
            named = f"job {name}: {event.reason_or_outcome}"
            drawn.append(slice_(self._tracks.actor("scheduler"), named, began, at, event.diagnostics))
            self._job = None
        return drawn

    def _row_group_admitted(self, event: Event, at: int) -> list[TraceEvent]:
        said = event.diagnostics or {}
        lane = self._tracks.row_groups.take(at)
        self._row_groups[said["row_group"]] = (lane, at, said.get("rows", 0))
        return []

    def _row_group_stored(self, event: Event, at: int) -> list[TraceEvent]:
        said = event.diagnostics or {}
        drawn = self._depth(at) if self._queued.forget(said["row_group"]) else []
        drawn += self._counters.change(ACTORS, ROWS_WRITTEN, at, said.get("rows", 0))
        found = self._row_groups.pop(said["row_group"], None)
        if found is not None:
            lane, start, _ = found
            self._tracks.row_groups.give_back(lane, max(at, start + 1))
            drawn.append(
                slice_(lane, f"row group {said['row_group']}", start, max(at, start + 1), dict(said))
            )
        return drawn

    # -- the queue ---------------------------------------------------------------------------------------

    def _enqueued(self, event: Event, at: int) -> list[TraceEvent]:
        about = event.correlation
        if about is None:
            return []
        self._queued.add(about)
        return self._depth(at)

    def _selected(self, _event: Event, at: int) -> list[TraceEvent]:
        return self._queue_changed(None, at)

    def _queue_told(self, event: Event, at: int) -> list[TraceEvent]:
        short_of = (event.diagnostics or {}).get("short_of") or ()
        state = _QUEUE_STATES[event.event_kind]
        return self._queue_changed(f"{state}: {', '.join(short_of)}" if short_of else state, at)

    def _queue_changed(self, state: str | None, at: int) -> list[TraceEvent]:
        before, self._queue_state = self._queue_state, None if state is None else (state, at)
        return [] if before is None else [slice_(self._tracks.actor("ready queue"), *before, at)]

    def _row_dropped(self, event: Event, at: int) -> list[TraceEvent]:
        about = event.correlation
        if about is None or not self._queued.forget(about.row_group, about.row_index):
            return []
        return self._depth(at)

    def _depth(self, at: int) -> list[TraceEvent]:
        return self._counters.set(ACTORS, QUEUED, at, self._queued.count)

    # -- task leases -------------------------------------------------------------------------------------

    def _leased(self, event: Event, at: int) -> list[TraceEvent]:
        about = event.correlation
        if about is None or event.reason_or_outcome == RECOVERED:
            return []
        self._queued.remove(about)
        return self._depth(at) + self._count(about.task_column, +1, at)

    def _released(self, event: Event, at: int) -> list[TraceEvent]:
        about = event.correlation
        if about is None:
            return []
        drawn = self._count(about.task_column, -1, at)
        if event.reason_or_outcome == STALE:  # it is where it was, in the queue
            self._queued.add(about)
            drawn += self._depth(at)
        return drawn

    def _count(self, column: str, sign: int, at: int) -> list[TraceEvent]:
        drawn: list[TraceEvent] = []
        for resource, amount in self._takes.get(column, ()):
            drawn += self._counters.change(ACTORS, LEASES + resource, at, sign * amount)
        return drawn
