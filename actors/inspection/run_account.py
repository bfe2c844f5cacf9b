"""One run's events, handed to the accounts of its columns, models, queue and executions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from actors.inspection.capacity import Capacity
from actors.inspection.charges import CHECKPOINT, Charges, named, no_charges
from actors.inspection.columns import Columns
from actors.inspection.computing import Computing
from actors.inspection.explained import (
    ExecutionExplained,
    LeaseProof,
    RunExplained,
    RunFacts,
    RunStatus,
)
from actors.inspection.lives import LISTED, Ended, Lives, explain, waits_for
from actors.inspection.models import Models
from actors.inspection.queue import Identity, Queue
from actors.inspection.row_groups import RowGroups
from actors.inspection.warnings import Warnings
from actors.telemetry.timeline import RECOVERED
from messages.capacity import ObservedMaxima
from messages.tasks import RuntimeCorrelation
from messages.telemetry import Event, LogEntry, RunDescriptor, SequencedEvent

Handler = Callable[[SequencedEvent, Event, int], None]

OnEnded = Callable[[Ended], None]
"""Called with every execution that has ended."""


class RunAccount:
    """Takes the events of one run. Moments are microseconds of the log's time."""

    def __init__(self, run: RunDescriptor, models: Models, at: int, ended: OnEnded | None = None) -> None:
        self._run = run
        self._on_ended = ended
        self._started_at = self._last_at = at
        self._status: RunStatus = "unfinished"
        self.models = models
        models.describe(run.request_resources)
        self._columns = Columns(run.generators)
        self._queue = Queue(run, models.wanted)
        self._lives = Lives(self._queue.capped)
        self._warnings = Warnings()
        self._computing = Computing(at)
        self.capacity = Capacity()
        self._row_groups = RowGroups(run, at)
        self._leases = self._returned = self._refused = 0
        self._handlers: dict[str, Handler] = {
            **dict.fromkeys(models.handled, self._request),
            "request_acquire_denied": self._in_view,
            "dependency_ready": self._ready,
            "ready_enqueued": self._enqueued,
            "selected": self._selected,
            "queue_empty": self._queue_told,
            "admission_blocked": self._queue_told,
            "group_capped": self._queue_told,
            "task_lease_acquired": self._leased,
            "worker_spawned": self._worker,
            "task_completed": self._completed,
            "model_request_started": self._request_of_worker,
            "model_request_completed": self._attempted,
            "task_lease_released": self._released,
            "retry_deferred": self._deferred,
            "non_retryable_dropped": self._row_dropped,
            "row_group_admitted": self._row_group_admitted,
            "row_group_admission_blocked": self._row_group_blocked,
            "row_group_checkpointed": self._row_group_stored,
            "release_diagnostic": self._return_refused,
            "request_release_diagnostic": self._return_refused,
            "scheduler_job_completed": self._job_completed,
        }

    @property
    def ended(self) -> bool:
        """Whether the run has ended, as far as its log says."""
        return self._status != "unfinished"

    def add(self, placed: SequencedEvent, at: int) -> None:
        """Take the next event."""
        if at > self._last_at and not self.ended:
            self._last_at = at
        handler = self._handlers.get(placed.event.event_kind)
        if handler is not None:
            handler(placed, placed.event, at)

    def log(self, entry: LogEntry, at: int) -> None:
        """Take the next line of an actor's logger."""
        if at > self._last_at and not self.ended:
            self._last_at = at
        if entry.event == "job_stopping":
            self._queue.stopped(at)
        self._warnings.add(entry, at)
        if not self.ended:
            self._computing.add(entry, at)

    # -- tasks -------------------------------------------------------------------------------------------

    def _in_view(self, placed: SequencedEvent, _event: Event, _at: int) -> None:
        self._lives.add(placed)

    def _ready(self, placed: SequencedEvent, event: Event, at: int) -> None:
        self._lives.add(placed)
        about = _about(event)
        self._lives.ready(about, at)
        self._queue.due(_identity(about))

    def _enqueued(self, placed: SequencedEvent, event: Event, at: int) -> None:
        self._lives.add(placed)
        about = _about(event)
        self._queue.enqueued(about.task_execution_id, about.task_column, at)

    def _selected(self, placed: SequencedEvent, _event: Event, at: int) -> None:
        self._lives.add(placed)
        self._queue.selected(at)

    def _queue_told(self, _placed: SequencedEvent, event: Event, at: int) -> None:
        self._queue.told(event, at)

    def _leased(self, placed: SequencedEvent, event: Event, at: int) -> None:
        self._lives.add(placed)
        if event.reason_or_outcome == RECOVERED:  # the execution's one lease, under another number
            return
        self._leases += 1
        about = _about(event)
        self._queue.leased(about.task_execution_id, about.task_column, at)
        self._columns.leased(about.task_column, at)
        self._lives.leased(about, at)

    def _worker(self, placed: SequencedEvent, _event: Event, at: int) -> None:
        self._lives.add(placed)
        self._warnings.worker_lives(at)

    def _completed(self, placed: SequencedEvent, event: Event, at: int) -> None:
        self._worker(placed, event, at)
        if event.diagnostics and event.diagnostics.get("skipped"):
            self._columns.skipped(_about(event).task_column)

    def _released(self, placed: SequencedEvent, event: Event, at: int) -> None:
        self._lives.add(placed)
        column = _about(event).task_column
        self._returned += 1
        self._queue.released(column, at)
        self._columns.released(column, at)
        for ended in self._lives.released(at):
            self._columns.ended(*ended)
            if self._on_ended is not None:
                self._on_ended(ended)

    def _deferred(self, _placed: SequencedEvent, event: Event, at: int) -> None:
        about = _about(event)
        self._columns.retried(about.task_column, event.reason_or_outcome)
        self._queue.deferred(_identity(about), at)

    def _row_dropped(self, _placed: SequencedEvent, event: Event, at: int) -> None:
        about = _about(event)
        rows = 1 if about.row_index is not None else self._lives.rows_of(about.row_group)
        self._columns.dropped(about.task_column, event.reason_or_outcome, rows)
        ended, unwanted = self._lives.unwanted(event, at)
        self._unwanted(ended)
        if unwanted:
            self._queue.discarded(unwanted, at)

    def _unwanted(self, discarded: list[Ended]) -> None:
        for ended in discarded:
            self._columns.charge(ended.timeline, ended.charges)
            if self._on_ended is not None:
                self._on_ended(ended)

    # -- requests ----------------------------------------------------------------------------------------

    def _request(self, placed: SequencedEvent, event: Event, at: int) -> None:
        self._lives.add(placed)
        self.models.add(event, at)

    def _request_of_worker(self, placed: SequencedEvent, event: Event, at: int) -> None:
        self._request(placed, event, at)
        self._warnings.worker_lives(at)

    def _attempted(self, placed: SequencedEvent, event: Event, at: int) -> None:
        self._request_of_worker(placed, event, at)
        if event.correlation is not None:
            self._columns.attempted(event.correlation.task_column, event)

    def _return_refused(self, _placed: SequencedEvent, _event: Event, _at: int) -> None:
        self._refused += 1

    # -- row groups, and the end -------------------------------------------------------------------------

    def _row_group_admitted(self, _placed: SequencedEvent, event: Event, at: int) -> None:
        said = event.diagnostics or {}
        self._lives.admitted(said["row_group"], said.get("rows", 0), at)
        self._row_groups.admitted()
        self._row_groups_changed(at)

    def _row_group_blocked(self, _placed: SequencedEvent, event: Event, at: int) -> None:
        self._row_groups.blocked(event.reason_or_outcome)
        self._row_groups_changed(at)

    def _row_group_stored(self, _placed: SequencedEvent, event: Event, at: int) -> None:
        said = event.diagnostics or {}
        left = self._lives.checkpointed(said["row_group"], at)
        self._unwanted(left)
        if left:
            self._queue.discarded([each.timeline.task_execution_id for each in left], at)
        for processor, rows in (said.get("sorted_out") or {}).items():
            self._columns.sorted_out(processor, rows)
        self._row_groups.stored(event, at)
        self._row_groups_changed(at)

    def _row_groups_changed(self, at: int) -> None:
        self._queue.row_groups(bound=self._row_groups.bound, at=at)

    def _job_completed(self, _placed: SequencedEvent, event: Event, at: int) -> None:
        self._last_at = max(self._last_at, at)
        self._status = event.reason_or_outcome  # type: ignore[assignment]
        self._row_groups.completed(event)
        self.capacity.take(event.snapshot)

    # -- what it came to ---------------------------------------------------------------------------------

    def explained(self, *, events: int, unreadable_lines: int) -> RunExplained:
        """Return the run as it is now."""
        at, origin = self._last_at, self._started_at
        total, by_column, oldest, count = self._unfinished(at)
        run = self._run
        return RunExplained(
            run=RunFacts(
                run_id=run.run_id,
                job_name=run.job_name,
                status=self._status,
                rows=run.rows,
                rows_written=self._row_groups.written,
                rows_dropped=self._row_groups.dropped,
                row_groups=run.row_groups,
                row_group_size=run.row_group_size,
                started_at=origin / 1e6,
                wall_seconds=(at - origin) / 1e6,
                policy=run.policy,
            ),
            task_microseconds=sum(total),
            charges=named(total),
            columns=self._columns.explained(at, by_column, ended=self.ended),
            models=self.models.explained(at, origin),
            resources=self._queue.resources(at, origin),
            queue=self._queue.explained(at, origin),
            row_groups=self._row_groups.explained(
                bound_seconds=self._queue.row_groups_bound_seconds(at),
                checkpoint_seconds=total[CHECKPOINT] / 1e6,
            ),
            retries=self._columns.retries(),
            drops=self._columns.drops(),
            longest=self._lives.longest(),
            unfinished=() if self.ended else tuple(oldest),
            unfinished_total=0 if self.ended else count,
            loop_blocked=self._warnings.loop_blocked(at),
            warnings=self._warnings.explained(origin),
            completion=self._row_groups.completion(origin),
            proof=LeaseProof(
                task_leases=self._leases,
                task_leases_returned=self._returned,
                request_leases=self.models.leases_granted,
                request_leases_returned=self.models.leases_returned,
                refused_returns=self._refused,
            ),
            events=events,
            unreadable_lines=unreadable_lines,
            capacity=self.capacity.explained(self._seen),
            processor=self._computing.explained(),
        )

    def _seen(self) -> ObservedMaxima:
        """Return the most that was seen at once, by this account's own counts."""
        return ObservedMaxima(
            row_groups_in_flight=self._row_groups.most_in_flight,
            queued_tasks_by_group=self._queue.most_by_group,
            task_leases_by_resource=self._queue.most_held,
            request_waiters_by_resource=self.models.most("most_waiting"),
            request_in_flight_by_resource=self.models.most("most_in_flight"),
            provider_model_aggregate_in_flight=self.models.most_by_endpoint,
            request_current_limits=self.models.most("most_limit"),
            transport_pool_utilization=self.capacity.share_of_pools(self.models.most_sent),
        )

    def unfinished(self) -> Iterator[tuple[Ended, str]]:
        """Yield what has not ended, charged up to now, the oldest first, and what each waits for."""
        at = self._last_at
        for timeline, charges in self._lives.unfinished(at):
            short_of = self._queue.now_short_of
            what = waits_for(timeline, short_of, lambda name: self.models.waiting_for(name, at))
            yield Ended(timeline, charges, at), what

    def _unfinished(self, at: int) -> tuple[Charges, dict[str, Charges], list[ExecutionExplained], int]:
        """Return all charges, those of what is open by column, the oldest of that, and how many there are."""
        total, by_column = self._lives.total(), dict[str, Charges]()
        oldest: list[ExecutionExplained] = []
        count = 0
        for (timeline, charges, _), what in self.unfinished():
            count += 1
            column = by_column.setdefault(timeline.correlation.task_column, no_charges())
            for reason, amount in enumerate(charges):
                total[reason] += amount
                column[reason] += amount
            if len(oldest) < LISTED:
                began = self._lives.began(timeline, at)
                oldest.append(explain(timeline, charges, began=began, at=at, waiting_for=what))
        return total, by_column, oldest, count


def _about(event: Event) -> RuntimeCorrelation:
    correlation = event.correlation
    if correlation is None:
        raise ValueError(f"{event.event_kind} says of no task execution that it is about it")
    return correlation


def _identity(correlation: RuntimeCorrelation) -> Identity:
    return (correlation.task_column, correlation.row_group, correlation.row_index)
