"""A job that runs: its row groups, its ready work, its outcomes, until nothing remains to be done.

Joins readiness, queue, values and failures, each of which owns its own question.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from actors.scheduler.cell_journal import CellJournal
from actors.scheduler.circuits import Circuits
from actors.scheduler.completion import CompletionTracker
from actors.scheduler.dispatch import Dispatcher
from actors.scheduler.early_shutdown import EarlyShutdown
from actors.scheduler.executions import TaskExecutions
from actors.scheduler.facts import Facts
from actors.scheduler.failures import PROCESSOR, Failures, error_of
from actors.scheduler.processors import apply_verdicts
from actors.scheduler.provider_health import ProviderHealth
from actors.scheduler.row_group_admission import RowGroupAdmission
from actors.scheduler.row_groups import RowGroup, RowGroups
from actors.scheduler.skips import Skips
from messages._base import SCHEDULER, STORAGE, TASK_ADMISSION, WORKER, Outgoing
from messages.plan import JobPlan
from messages.scheduler import GeneratorProgress, JobStatus
from messages.storage import Earlier, LoadRowGroup, RowGroupLoaded, RowGroupStored
from messages.task_admission import (
    AcquireTaskLeases,
    ReturnTaskLeases,
    TaskAdmissionPolicy,
    TaskAdmissionView,
    TaskLease,
    TaskLeaseReturn,
    TaskLeasesDecided,
    TaskLeasesRecovered,
    TaskLeasesReturned,
)
from messages.tasks import SchedulableTask, Task, TaskError, TaskOutcome
from messages.telemetry import Event
from messages.worker import ExecuteTasks, TaskStart

_STALE = TaskOutcome("stale_discard")
_SHUTDOWN = TaskOutcome("shutdown")
WORKER_LOST = TaskOutcome("worker_lost", error=TaskError("worker_lost", "the worker was lost"))


class JobRun:
    """One running job. Methods return what should be sent; its events wait in `facts`."""

    def __init__(
        self,
        plan: JobPlan,
        policy: TaskAdmissionPolicy,
        view: TaskAdmissionView,
        *,
        first_execution_id: int,
        earlier: Earlier,
        journaling: bool,
        worker: int = 1,
    ) -> None:
        self.plan = plan
        self.earlier = earlier
        self.facts = Facts()
        self.dispatcher = Dispatcher(policy, view)
        self.tracker = CompletionTracker(plan, stored=earlier.numbers())
        self.row_groups = RowGroups(plan, earlier)
        self.admission = RowGroupAdmission(plan, self.row_groups, self.dispatcher, self.facts)
        self.journal = CellJournal(plan, earlier.journal, keeping=journaling)
        self.executions = TaskExecutions(plan, first_id=first_execution_id)
        self.failures = Failures(plan, self.tracker, self.facts)
        self.skips = Skips(plan, self.tracker)
        self.circuits = Circuits(plan)
        self.outstanding: dict[int, TaskLease] = {}
        """Every token that was given out and has not come back, as its holder has it, by task execution."""
        self.worker: int | None = worker
        """The generation of the worker that has the job's generators; None while none has."""
        self.stop_status: JobStatus | None = None
        self.verdict: tuple[JobStatus, str] | None = None
        """How the job ought to end early, once an outcome has decided that, and why."""
        row_groups = sum(end - first for first, end in earlier.row_groups)
        self._done = {
            generator.name: earlier.rows_written if generator.task_type == "cell" else row_groups
            for generator in plan.generators
        }
        self._failed = dict.fromkeys(self._done, 0)
        self._done_before = sum(self._done.values())
        self._health = ProviderHealth(plan)
        self._early_shutdown = EarlyShutdown(rate=plan.early_shutdown_rate, window=plan.early_shutdown_window)

    # -- row groups ----------------------------------------------------------------------------------

    def admit_row_groups(self, now: float) -> list[Outgoing]:
        """Admit what may be in flight: ask for its source rows, or start it at once."""
        outgoing: list[Outgoing] = []
        while not self.stopping and (group := self.admission.admit_next(now)) is not None:
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
        counts: dict[str, Any] = {
            "row_group": group.index,
            "rows": message.rows,
            "dropped": len(group.dropped),
        }
        if sorted_out := Counter(row.column for row in group.dropped if row.reason == PROCESSOR):
            counts["sorted_out"] = dict(sorted_out)
        self.facts.add(Event("row_group_checkpointed", now, diagnostics=counts))
        return self.admit_row_groups(now)

    def _start(self, group: RowGroup, now: float) -> list[Outgoing]:
        counts = {"row_group": group.index, "rows": group.rows}
        self.tracker.admit(group.index, group.first_row, group.rows)
        restored = self.journal.restore(group, self.tracker)
        for task in restored:
            self._done[task.column] += 1
        if restored:
            counts["from_journal"] = len(restored)
        self.facts.add(Event("row_group_admitted", now, diagnostics=counts))
        return self._store_if_finished(group.index)

    def _store_if_finished(self, index: int) -> list[Outgoing]:
        if not self.tracker.is_finished(index):
            return []
        store = self.row_groups.store(index, self.tracker.surviving(index))
        self.tracker.forget(index)
        self.failures.answers.forget_row_group(index)
        return [Outgoing(STORAGE, store)]

    # -- dispatch ------------------------------------------------------------------------------------

    def enqueue_ready(self, now: float) -> None:
        """Move the ready frontier, and deferred work that is due, into the queue."""
        for task in self.failures.deferrals.take_due(now):
            self.tracker.reopen(task)
        frontier = self.tracker.ready_frontier()
        if not frontier or self.stopping:
            return
        schedulable = self.executions.schedulable
        items = [schedulable(task_id, task) for task_id, task in frontier.items()]
        correlations = [item.correlation for item in items]
        self.facts.add_all("dependency_ready", correlations, now)
        self.dispatcher.queue.enqueue(items)
        self.facts.add_all("ready_enqueued", correlations, now)
        self.tracker.mark_enqueued(frontier)
        self.failures.note_redispatched(items, now)

    def dispatch(self, now: float) -> list[Outgoing]:
        """Ask leases for everything eligible, and say why where nothing is."""
        if self.stopping or self.dispatcher.asking or self.worker is None:
            return []
        selections = self.dispatcher.select(now=now)
        self.facts.passed_over(self.dispatcher.advisory.take(), now)
        if not selections:
            if len(self.dispatcher.queue):
                self.facts.queue_is_blocked(self.dispatcher.explain_blocked(), now)
            else:
                self.facts.queue_is_empty(now)
            return []
        self.facts.queue_flows()
        self.facts.add_all("selected", [selection.item.correlation for selection in selections], now)
        return [Outgoing(TASK_ADMISSION, AcquireTaskLeases(selections))]

    def on_decided(self, message: TaskLeasesDecided, now: float) -> list[Outgoing]:
        """Start what was granted; give back what is no longer wanted (T6)."""
        starts, stale = self.dispatcher.decide(message)
        returns = [TaskLeaseReturn(lease, _STALE) for lease in stale]
        for lease in stale:
            self.facts.add(Event("stale_selection", now, lease.correlation, task_lease_id=lease.lease_id))
        outstanding = self.outstanding
        for lease in stale:
            outstanding[lease.correlation.task_execution_id] = lease
        for _, lease in starts:
            outstanding[lease.correlation.task_execution_id] = lease
        outgoing: list[Outgoing] = []
        if self.stopping:
            returns += [TaskLeaseReturn(lease, _SHUTDOWN) for _, lease in starts]
        elif self.worker is None:  # granted while there is no worker to start under it
            returns += [TaskLeaseReturn(lease, WORKER_LOST) for _, lease in starts]
        elif starts:
            outgoing.append(Outgoing(WORKER, ExecuteTasks(self._task_starts(starts), self.worker)))
        if returns:
            outgoing.append(Outgoing(TASK_ADMISSION, ReturnTaskLeases(returns)))
        return outgoing

    def _task_starts(self, starts: list[tuple[SchedulableTask, TaskLease]]) -> list[TaskStart]:
        active, answers, start = self.row_groups.active, self.failures.answers, self.executions.start
        begin: list[TaskStart] = []
        for item, lease in starts:
            task = item.task
            group = active[task.row_group]
            # A batch and a processor are given the rows that are left to them. From-scratch work makes every
            # row, so that a value depends on its row alone (R12).
            about_some = task.row_index is None and task.task_type != "from_scratch"
            offsets = self.tracker.rows_for(task) if about_some else None
            kept = answers.of(group.index, item.task_id) if answers else ()
            begin.append(start(item, lease, group, offsets, kept))
        return begin

    def on_recovered(self, message: TaskLeasesRecovered) -> None:
        """Go on with a new incarnation of task admission, which accounts for the tokens that are out."""
        self.dispatcher.replace_view(message.view)

    # -- outcomes ------------------------------------------------------------------------------------

    def on_returned(self, message: TaskLeasesReturned, now: float) -> list[Outgoing]:
        """Apply the outcomes of accepted releases, and only of those (T14)."""
        self.dispatcher.returned(message)
        touched: dict[int, None] = {}
        for release in message.releases:
            if not release.result.released:
                continue
            lease = release.lease
            self.outstanding.pop(lease.correlation.task_execution_id, None)
            self._apply(lease, release.outcome, now)
            touched[lease.correlation.row_group] = None
        for task in self.skips.settle(self.row_groups.active):
            self._done[task.column] += 1
        outgoing = self.journal.take()  # before a row group is stored: that may fail, and they were paid for
        for index in touched:
            if index in self.row_groups.active:
                outgoing += self._store_if_finished(index)
        return outgoing

    def _apply(self, lease: TaskLease, outcome: TaskOutcome, now: float) -> None:
        task, generator, offsets = self.executions.ended(lease)
        group = self.row_groups.active.get(task.row_group)
        if group is None:
            return  # its row group has ended without it
        if outcome.kind == "success":
            if outcome.skipped or self.tracker.skipping:
                self.skips.note(group, generator, task, outcome, offsets)
            if not generator.outputs:
                self._sort_out(group, task, outcome.value, offsets)
            elif self.tracker.mark_complete(task):
                group.write(generator, task, outcome.value, offsets)
                self.journal.note(task, outcome, whole=offsets is None)
                self._done[task.column] += 1
            self.failures.note_success(lease)
        elif outcome.kind == "stale_discard":
            return  # the task is queued still, or was discarded: either way nothing is owed to it
        elif not self.stopping:
            self._fail(group, task, lease, outcome, now)
        elif outcome.kind in ("cancelled", "shutdown"):
            self.facts.add(Event("cancelled", now, lease.correlation, reason_or_outcome=outcome.kind))

    def _sort_out(self, group: RowGroup, task: Task, verdicts: Any, offsets: list[int] | None) -> None:
        """Do what a processor decided: first the drops, so that nothing becomes ready for a dropped row."""
        dropped = apply_verdicts(group, verdicts, offsets)
        self.dispatcher.discard(self.failures.sort_out(group, task.column, dropped))
        self.tracker.mark_complete(task)
        self._done[task.column] += 1

    def _fail(self, group: RowGroup, task: Task, lease: TaskLease, outcome: TaskOutcome, now: float) -> None:
        if outcome.kind == "retryable_failure":
            mix = self._health.failed(task.column, error_of(outcome).kind, self._done, now)
            if mix is not None:
                self.facts.warn("provider_degraded", {"outcomes": mix}, now)
        if self.failures.defer(task, lease, outcome, now):
            return
        self._failed[task.column] += 1
        if task.task_type in ("pre_batch_processor", "post_batch_processor"):
            error = error_of(outcome)
            why = f"; caused by {'; caused by '.join(error.causes)}" if error.causes else ""
            self.verdict = self.verdict or ("failed", f"processor {task.column}: {error.message}{why}")
            return
        self.dispatcher.discard(self.failures.drop(group, task, lease, outcome, now))
        if outcome.kind == "non_retryable_failure":
            finished = sum(self._done.values()) + sum(self._failed.values()) - self._done_before
            reason = self._early_shutdown.failed(finished)
            if reason and self.verdict is None:
                self.verdict = ("early_shutdown", f"{reason}; the first: {self.failures.first_error}")

    # -- ending --------------------------------------------------------------------------------------

    def stop(self, status: JobStatus, reason: str, now: float) -> None:
        """Admit and start nothing more; what runs is left to end."""
        self.stop_status = status
        unrun = {"queued": len(self.dispatcher.queue), "deferred": len(self.failures.deferrals)}
        if any(unrun.values()):
            self.facts.add(Event("queue_drained", now, reason_or_outcome=status, diagnostics=unrun))
        if status in ("failed", "early_shutdown") or self.failures.first_error is None:
            self.failures.first_error = reason
        self.failures.deferrals.clear()
        self.dispatcher.discard(self.dispatcher.queue.queued_ids())

    @property
    def stopping(self) -> bool:
        """Whether the job ends early."""
        return self.stop_status is not None

    @property
    def leased(self) -> int:
        """How many leases have been granted and have not come back."""
        return len(self.outstanding)

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
                self._done[generator.name],
                self._failed[generator.name],
                plan.rows if generator.task_type == "cell" else plan.row_groups,
            )
            for generator in plan.generators
        }
