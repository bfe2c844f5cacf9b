"""A job that runs: its row groups, its ready work, its failures, until nothing remains to be done.

Joins readiness, queue, values and retries, each of which owns its own question. Makes the scheduler
stream's events about tasks and row groups.
"""

from __future__ import annotations

from actors.scheduler.completion import CompletionTracker
from actors.scheduler.dispatch import Dispatcher
from actors.scheduler.retries import Deferrals, RetryPolicy
from actors.scheduler.row_groups import RowGroup, RowGroups
from messages._base import SCHEDULER, STORAGE, TASK_ADMISSION, TELEMETRY, WORKER, Outgoing
from messages.plan import JobPlan
from messages.scheduler import DroppedRow, GeneratorProgress, JobStatus
from messages.storage import LoadRowGroup, RowGroupLoaded, RowGroupStored
from messages.task_admission import (
    AcquireTaskLeases,
    ReturnTaskLeases,
    TaskAdmissionPolicy,
    TaskAdmissionView,
    TaskLease,
    TaskLeaseRelease,
    TaskLeaseReturn,
    TaskLeasesDecided,
    TaskLeasesReturned,
)
from messages.tasks import (
    RuntimeCorrelation,
    SchedulableTask,
    Task,
    TaskError,
    TaskId,
    TaskOutcome,
)
from messages.telemetry import Event, RecordEvents, RecordTaskEvents
from messages.worker import ExecuteTasks, TaskStart

_STALE = TaskOutcome("stale_discard")
_SHUTDOWN = TaskOutcome("shutdown")


class JobRun:
    """One running job. Methods return what should be sent; events are collected for `take_events`."""

    def __init__(
        self, plan: JobPlan, policy: TaskAdmissionPolicy, view: TaskAdmissionView, *, first_execution_id: int
    ) -> None:
        self.plan = plan
        self.dispatcher = Dispatcher(policy, view)
        self.tracker = CompletionTracker(plan)
        self.row_groups = RowGroups(plan)
        self.deferrals = Deferrals(
            RetryPolicy(
                max_retries=plan.max_retries,
                backoff_seconds=plan.backoff_seconds,
                max_backoff_seconds=plan.max_backoff_seconds,
            )
        )
        self.leased = 0
        self.stop_status: JobStatus | None = None
        self.rows_dropped = 0
        self.first_error: str | None = None
        self.next_execution_id = first_execution_id
        self._generators = {generator.name: generator for generator in plan.generators}
        self._scheduling = {
            generator.name: (
                generator.scheduling,
                generator.scheduling.group.key.kind,
                generator.scheduling.group.key.identity_hash,
            )
            for generator in plan.generators
        }
        self._offsets_at_start: dict[int, list[int]] = {}
        self._progress = {generator.name: [0, 0] for generator in plan.generators}
        self._events: list[Event] = []
        self._facts: list[Outgoing] = []
        self._blocked_as: str | None = None
        self._retried: set[int] = set()

    # -- row groups ----------------------------------------------------------------------------------

    def admit_row_groups(self, now: float) -> list[Outgoing]:
        """Admit what may be in flight: ask for its source rows, or start it at once."""
        outgoing: list[Outgoing] = []
        while not self.stopping and (group := self.row_groups.admit_next()) is not None:
            if self.plan.source_fields:
                load = LoadRowGroup(
                    self.plan.run_id, group.index, group.first_row, group.rows, reply_to=SCHEDULER
                )
                outgoing.append(Outgoing(STORAGE, load))
            else:
                outgoing += self._start(group, now)
        return outgoing

    def on_loaded(self, message: RowGroupLoaded, now: float) -> list[Outgoing]:
        """Start a row group with its source rows."""
        group = self.row_groups.loaded(message)
        return [] if self.stopping else self._start(group, now)

    def on_stored(self, message: RowGroupStored, now: float) -> list[Outgoing]:
        """Forget a row group that is on disk, and admit the next."""
        group = self.row_groups.acknowledge(message)
        counts = {"row_group": group.index, "rows": message.rows, "dropped": len(group.dropped)}
        self._events.append(Event("row_group_checkpointed", now, diagnostics=counts))
        return self.admit_row_groups(now)

    def _start(self, group: RowGroup, now: float) -> list[Outgoing]:
        counts = {"row_group": group.index, "rows": group.rows}
        self._events.append(Event("row_group_admitted", now, diagnostics=counts))
        self.tracker.admit(group.index, group.first_row, group.rows)
        return self._store_if_finished(group.index)

    def _store_if_finished(self, index: int) -> list[Outgoing]:
        if not self.tracker.is_finished(index):
            return []
        store = self.row_groups.store(index, self.tracker.surviving(index))
        self.tracker.forget(index)
        return [Outgoing(STORAGE, store)]

    # -- dispatch ------------------------------------------------------------------------------------

    def enqueue_ready(self, now: float) -> None:
        """Move the ready frontier, and deferred work that is due, into the queue."""
        for task in self.deferrals.take_due(now):
            self.tracker.reopen(task)
        frontier = self.tracker.ready_frontier()
        if not frontier or self.stopping:
            return
        items = [self._schedulable(task_id, task) for task_id, task in frontier.items()]
        correlations = [item.correlation for item in items]
        self._tell(RecordTaskEvents("dependency_ready", now, correlations))
        self.dispatcher.queue.enqueue(items)
        self._tell(RecordTaskEvents("ready_enqueued", now, correlations))
        self.tracker.mark_enqueued(frontier)
        self._note_salvaged(items, now)

    def dispatch(self, now: float) -> list[Outgoing]:
        """Ask leases for everything eligible, and say why where nothing is."""
        if self.stopping or self.dispatcher.asking:
            return []
        selections = self.dispatcher.select()
        self._note_blocked(now, selected=bool(selections))
        if not selections:
            return []
        correlations = [selection.item.correlation for selection in selections]
        self._tell(RecordTaskEvents("selected", now, correlations))
        return [Outgoing(TASK_ADMISSION, AcquireTaskLeases(selections))]

    def on_decided(self, message: TaskLeasesDecided, now: float) -> list[Outgoing]:
        """Start what was granted; give back what is no longer wanted (T6)."""
        starts, stale = self.dispatcher.decide(message)
        returns = [TaskLeaseReturn(lease, _STALE) for lease in stale]
        self._events.extend(
            Event("stale_selection", now, lease.correlation, task_lease_id=lease.lease_id) for lease in stale
        )
        self.leased += len(starts) + len(stale)
        outgoing: list[Outgoing] = []
        if self.stopping:
            returns += [TaskLeaseReturn(lease, _SHUTDOWN) for _, lease in starts]
        elif starts:
            begin = [self._task_start(item, lease) for item, lease in starts]
            outgoing.append(Outgoing(WORKER, ExecuteTasks(begin)))
        if returns:
            outgoing.append(Outgoing(TASK_ADMISSION, ReturnTaskLeases(returns)))
        return outgoing

    # -- outcomes ------------------------------------------------------------------------------------

    def on_returned(self, message: TaskLeasesReturned, now: float) -> list[Outgoing]:
        """Apply the outcomes of accepted releases, and only of those (T14)."""
        self.dispatcher.apply(message.view)
        touched: dict[int, None] = {}
        for release in message.releases:
            if not release.result.released:
                continue
            self.leased -= 1
            self._apply(release, now)
            touched[release.lease.correlation.row_group] = None
        outgoing: list[Outgoing] = []
        for index in touched:
            if index in self.row_groups.active:
                outgoing += self._store_if_finished(index)
        return outgoing

    def _apply(self, release: TaskLeaseRelease, now: float) -> None:
        lease, outcome = release.lease, release.outcome
        offsets = self._offsets_at_start.pop(lease.lease_id, None) if self._offsets_at_start else None
        correlation = lease.correlation
        task = Task(
            correlation.task_column, correlation.row_group, correlation.row_index, correlation.task_type
        )
        group = self.row_groups.active.get(task.row_group)
        if group is None:
            return  # its row group has ended without it
        if outcome.kind == "success":
            generator = self._generators[task.column]
            if self.tracker.mark_complete(task):
                if task.row_index is not None and len(generator.outputs) == 1:
                    group.write_cell(generator.outputs[0], task.row_index, outcome.value)
                else:
                    group.write(generator, task, outcome.value, offsets)
                self._progress[task.column][0] += 1
            if self._retried:
                self._retried.discard(lease.task_id)
                self.deferrals.settle(lease.task_id)
        elif outcome.kind in ("cancelled", "shutdown") and self.stopping:
            self._events.append(Event("cancelled", now, correlation, reason_or_outcome=outcome.kind))
        else:
            self._fail(group, task, lease, outcome, now)

    def _fail(self, group: RowGroup, task: Task, lease: TaskLease, outcome: TaskOutcome, now: float) -> None:
        if outcome.kind == "stale_discard":
            return  # the task is queued still, or was discarded: either way nothing is owed to it
        error = outcome.error or TaskError(outcome.kind, outcome.kind)
        due = None if self.stopping else self.deferrals.defer(lease.task_id, task, outcome, now=now)
        if due is not None:
            self._retried.add(lease.task_id)
            diagnostics = {"attempt": self.deferrals.attempts(lease.task_id), "until": due}
            self._events.append(
                Event(
                    "retry_deferred",
                    now,
                    lease.correlation,
                    reason_or_outcome=error.kind,
                    diagnostics=diagnostics,
                )
            )
            return
        if self.stopping:
            return
        self._progress[task.column][1] += 1
        self._events.append(
            Event("non_retryable_dropped", now, lease.correlation, reason_or_outcome=error.kind)
        )
        self._drop(group, task, lease, error)

    def _drop(self, group: RowGroup, task: Task, lease: TaskLease, error: TaskError) -> None:
        """Drop the rows a failed task covers: its own, or its whole row group's (R3)."""
        if self.first_error is None:
            self.first_error = f"column {task.column}: {error.message}"
        attempts = max(1, self.deferrals.attempts(lease.task_id))
        self.deferrals.settle(lease.task_id)
        if task.row_index is None:
            offsets = self.tracker.surviving(group.index)
        else:
            offsets = [task.row_index - group.first_row]
        alive = set(self.tracker.surviving(group.index)) if len(offsets) == 1 else set(offsets)
        for offset in offsets:
            if offset not in alive:
                continue
            self.rows_dropped += 1
            group.dropped.append(
                DroppedRow(
                    group.first_row + offset, task.column, attempts, error.kind, error.message, error.causes
                )
            )
        self.dispatcher.discard(self.tracker.drop_rows(group.index, offsets))

    # -- ending --------------------------------------------------------------------------------------

    def stop(self, status: JobStatus, reason: str) -> None:
        """Admit and start nothing more; what runs is left to end."""
        self.stop_status = status
        if status == "failed" or self.first_error is None:
            self.first_error = reason
        self.deferrals.clear()
        self.dispatcher.discard(self.dispatcher.queue.queued_ids())

    @property
    def stopping(self) -> bool:
        """Whether the job ends early."""
        return self.stop_status is not None

    @property
    def quiet(self) -> bool:
        """Whether no lease is out, none is asked for, and no row group is on its way to storage."""
        return not (self.leased or self.dispatcher.asking or self.row_groups.storing)

    @property
    def finished(self) -> bool:
        """Whether every row group is stored, every lease is back and none is on its way."""
        return self.row_groups.finished and not (self.leased or self.dispatcher.asking)

    def generator_progress(self) -> dict[str, GeneratorProgress]:
        """Return tasks done, failed and in all, per generator."""
        plan = self.plan
        return {
            generator.name: GeneratorProgress(
                self._progress[generator.name][0],
                self._progress[generator.name][1],
                plan.rows if generator.task_type == "cell" else plan.row_groups,
            )
            for generator in plan.generators
        }

    def take_events(self) -> list[Outgoing]:
        """Return the events made since the last call, in order."""
        self._seal_events()
        facts, self._facts = self._facts, []
        return facts

    def _seal_events(self) -> None:
        if self._events:
            self._facts.append(Outgoing(TELEMETRY, RecordEvents("scheduler", self._events)))
            self._events = []

    def _tell(self, batch: RecordTaskEvents) -> None:
        self._seal_events()
        self._facts.append(Outgoing(TELEMETRY, batch))

    # -- inside --------------------------------------------------------------------------------------

    def _schedulable(self, task_id: TaskId, task: Task) -> SchedulableTask:
        scheduling, kind, identity_hash = self._scheduling[task.column]
        correlation = RuntimeCorrelation(
            self.plan.run_id,
            task.row_group,
            task.row_index,
            task.column,
            task.task_type,
            kind,
            identity_hash,
            self.next_execution_id,
        )
        self.next_execution_id += 1
        return SchedulableTask(
            task_id,
            task,
            scheduling.group,
            scheduling.resource_request,
            scheduling.request_resource,
            correlation,
        )

    def _offsets(self, task: Task) -> list[int] | None:
        """Return the rows that a batch is about; None where that is all of the row group's.

        From-scratch work makes every row, so that a value depends on its row alone (R12).
        """
        if task.task_type != "batch":
            return None
        group = self.row_groups.active[task.row_group]
        if self.tracker.alive(task.row_group) == group.rows:
            return None
        return self.tracker.surviving(task.row_group)

    def _task_start(self, item: SchedulableTask, lease: TaskLease) -> TaskStart:
        task = item.task
        group = self.row_groups.active[task.row_group]
        offsets = self._offsets(task)
        if offsets is not None:  # rows dropped while it runs must not shift its values
            self._offsets_at_start[lease.lease_id] = offsets
        inputs = group.inputs(self._generators[task.column], task, offsets)
        if task.row_index is not None:
            return TaskStart(lease, task, inputs, task.row_index, 1)
        return TaskStart(
            lease, task, inputs, group.first_row, group.rows if offsets is None else len(offsets)
        )

    def _note_salvaged(self, items: list[SchedulableTask], now: float) -> None:
        if not self._retried:
            return
        self._events.extend(
            Event("salvage_redispatched", now, item.correlation)
            for item in items
            if item.task_id in self._retried
        )

    def _note_blocked(self, now: float, *, selected: bool) -> None:
        """Say when the queue changes between flowing, empty and blocked: three different facts."""
        queue = self.dispatcher.queue
        if selected:
            state = "flowing"
        elif not len(queue):
            state = "queue_empty"
        else:
            summary = self.dispatcher.explain_blocked()
            state = "group_capped" if "group_cap" in summary.dominant_reasons else "admission_blocked"
            if state != self._blocked_as:
                diagnostics = {
                    "queued": summary.queued_count,
                    "reasons": list(summary.dominant_reasons),
                    **summary.diagnostics,
                }
                self._events.append(Event(state, now, diagnostics=diagnostics))  # type: ignore[arg-type]
        if state == "queue_empty" and self._blocked_as != state:
            self._events.append(Event("queue_empty", now))
        self._blocked_as = state
