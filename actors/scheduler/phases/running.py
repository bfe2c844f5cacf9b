"""A job that runs, or that was stopped and whose tokens are on their way back."""

from __future__ import annotations

from actors.scheduler.closing import Closing, totals_of
from actors.scheduler.health_beat import HealthBeat
from actors.scheduler.phases.ending import Ending
from actors.scheduler.phases.phase import DRAIN_SECONDS, Desk, Orphan, Phase, answer, log_line
from actors.scheduler.recovery import recover
from actors.scheduler.run import JobRun
from actors.scheduler.submission import Submission
from messages._base import TELEMETRY, WORKER, Outgoing
from messages.describe import describe_run
from messages.request_admission import RequestCircuitChanged
from messages.scheduler import JobAccepted, JobStatus, SchedulerSnapshot
from messages.storage import JournalFailed, RowGroupLoaded, RowGroupStored, StorageFailed
from messages.supervision import ActorRestarted, HandlerFailed
from messages.task_admission import (
    TaskAdmissionViewChanged,
    TaskLeasesDecided,
    TaskLeasesRecovered,
    TaskLeasesReturned,
)
from messages.telemetry import Event, RecordEvents
from messages.worker import CancelTasks, JobPrepared


class Running(Phase):
    """What happens while a job runs is `JobRun`'s; when and how it stops is decided here."""

    name = "running"

    def __init__(self, desk: Desk, submission: Submission, run: JobRun, *, started_at: float) -> None:
        super().__init__(desk, run_id=submission.run_id, reply_to=submission.message.reply_to)
        self._submission = submission
        self._run = run
        self._started_at = started_at
        self._drain_by: float | None = None
        self._health = HealthBeat(started_at)
        self.handlers |= {
            RowGroupLoaded: run.on_loaded,
            RowGroupStored: run.on_stored,
            TaskLeasesDecided: run.on_decided,
            TaskLeasesReturned: self._returned,
            TaskLeasesRecovered: self._recovered,
            RequestCircuitChanged: self._circuit_changed,
            TaskAdmissionViewChanged: self._view_changed,
            StorageFailed: self._storage_failed,
            JournalFailed: self._journal_failed,
            HandlerFailed: self._handler_failed,
            ActorRestarted: self._restarted,
            JobPrepared: self._worker_ready,
        }

    @property
    def orphan(self) -> Orphan | None:
        """Which run there is, who waits for its end, and what it has given out."""
        run = self._run
        tokens = tuple(run.outstanding.values())
        return Orphan(run.plan, self.reply_to, self._started_at, self._submission.message.out, tokens)

    @property
    def next_execution_id(self) -> int:
        """The number of this run's next task execution."""
        return self._run.executions.next_id

    def begin(self, now: float) -> list[Outgoing]:
        """Accept the job and admit its first row groups."""
        run, plan = self._run, self._run.plan
        described = describe_run(plan, run.earlier).to_builtins()
        capacity = self._submission.capacity
        started = Event("scheduler_job_started", now, snapshot=capacity, diagnostics=described)
        outgoing = [
            Outgoing(TELEMETRY, RecordEvents("scheduler", [started])),
            log_line(
                now, "info", "job_started", run_id=plan.run_id, rows=plan.rows, row_groups=plan.row_groups
            ),
            *answer(self.reply_to, JobAccepted(plan.run_id, plan.rows, self._submission.warnings)),
        ]
        cancelled = self._submission.cancel_reason
        run.facts.add(self._health.event(self.snapshot(), "start", now))
        if cancelled is not None:
            return outgoing + self._stop("cancelled", cancelled, now)
        return outgoing + run.admit_row_groups(now)

    def idle(self, now: float) -> list[Outgoing]:
        """Dispatch what has become ready; go on to closing when nothing remains to be done."""
        run = self._run
        run.enqueue_ready(now)
        outgoing: list[Outgoing] = []
        if not run.stopping and run.admission.raise_target(now):
            outgoing = run.admit_row_groups(now)
            run.enqueue_ready(now)
        outgoing += run.dispatch(now)
        overdue = self._drain_by is not None and now >= self._drain_by
        if run.finished or (run.stopping and (run.quiet or overdue)):
            run.facts.add(self._health.event(self.snapshot(), "end", now))
            self._end(overdue=overdue and not run.quiet)
        elif self._health.is_due(now):
            run.facts.add(self._health.event(self.snapshot(), "interval", now))
        return outgoing + run.facts.take()

    def next_deadline(self) -> float | None:
        """Return when deferred work or the next word on health is due, or a stopped job is closed."""
        run = self._run
        times = (
            run.failures.deferrals.next_due(),
            run.dispatcher.wake_at(),
            self._drain_by,
            self._health.next_due,
        )
        return min((time for time in times if time is not None), default=None)

    def snapshot(self) -> SchedulerSnapshot:
        """Return how far the job is."""
        return self._snapshot("stopping" if self._run.stopping else self.name)

    def check(self) -> None:
        """Assert that counters agree with what they count."""
        self._run.tracker.check()
        self._run.dispatcher.queue.check()

    # -- messages ------------------------------------------------------------------------------------

    def _returned(self, message: TaskLeasesReturned, now: float) -> list[Outgoing]:
        run = self._run
        outgoing = run.on_returned(message, now)
        if run.verdict is None or run.stopping:
            return outgoing
        return outgoing + self._stop(*run.verdict, now)

    def _recovered(self, message: TaskLeasesRecovered, _now: float) -> list[Outgoing]:
        self._run.on_recovered(message)
        return []

    def _circuit_changed(self, message: RequestCircuitChanged, now: float) -> list[Outgoing]:
        """Say that a provider refuses everything, or no longer does; end the job where it asked for that."""
        circuits = self._run.circuits
        news = circuits.note(message, now)
        outgoing = [] if news is None else [log_line(now, news.level, news.event, **news.fields)]
        exhausted = circuits.verdict(now)
        return outgoing if exhausted is None else outgoing + self._stop("failed", exhausted, now)

    def _view_changed(self, message: TaskAdmissionViewChanged, _now: float) -> list[Outgoing]:
        self._run.dispatcher.apply(message.view)  # a wake-up: the dispatch follows when no message waits
        return []

    def _worker_ready(self, message: JobPrepared, _now: float) -> list[Outgoing]:
        self._run.worker = message.generation  # the successor of one that was lost has the job's generators
        return []

    def _restarted(self, message: ActorRestarted, _now: float) -> list[Outgoing]:
        return recover(message.actor, message.generation, self._run, self._submission)

    def _storage_failed(self, message: StorageFailed, now: float) -> list[Outgoing]:
        if message.row_group is not None:
            self._run.row_groups.store_failed(message.row_group)
        return self._stop("failed", str(message.problem), now)

    def _journal_failed(self, message: JournalFailed, now: float) -> list[Outgoing]:
        """Stop: whatever models answer from here on would be paid for and lost by a crash (R14)."""
        return self._stop("failed", str(message.problem), now)

    def _handler_failed(self, message: HandlerFailed, now: float) -> list[Outgoing]:
        reason = f"actor {message.actor} failed on {message.message_type}: {message.error}"
        return self._stop("failed", reason, now)

    # -- stopping ------------------------------------------------------------------------------------

    def _stop_for(self, reason: str, now: float) -> list[Outgoing]:
        return self._stop("cancelled", reason, now)

    def _stop(self, status: JobStatus, reason: str, now: float) -> list[Outgoing]:
        """Begin to end the job early. Harmless when it is ending already (R11).

        An early shutdown lets running work end, however long it takes, unless the job is stopped again (R6).
        """
        run = self._run
        if self._drain_by is not None:
            return []
        outgoing: list[Outgoing] = []
        if not run.stopping or status == "failed":
            run.stop(status, reason, now)
            outgoing += run.facts.take()
            outgoing.append(log_line(now, "warning", "job_stopping", run_id=run.plan.run_id, status=status))
        if status != "early_shutdown":
            self._drain_by = now + DRAIN_SECONDS
            outgoing.append(Outgoing(WORKER, CancelTasks(run.plan.run_id)))
        return outgoing

    def _end(self, *, overdue: bool) -> None:
        run = self._run
        self.desk.next_execution_id = run.executions.next_id
        closing = Closing(lambda: totals_of(run), started_at=self._started_at, overdue=overdue)
        self.next = Ending(
            self.desk,
            closing,
            reply_to=self.reply_to,
            orphan=self.orphan,
            snapshot=lambda: self._snapshot(Ending.name),
            late={RowGroupStored: run.on_stored, TaskLeasesReturned: run.on_returned},
        )

    def _snapshot(self, phase: str) -> SchedulerSnapshot:
        run = self._run
        queue = run.dispatcher.queue
        return SchedulerSnapshot(
            phase=phase,
            run_id=run.plan.run_id,
            job_name=run.plan.job_name,
            started_at=self._started_at,
            rows_requested=run.plan.rows,
            rows_written=run.row_groups.rows_written,
            rows_dropped=run.earlier.rows_dropped + run.failures.rows_dropped,
            row_groups_total=run.plan.row_groups,
            row_groups_in_flight=run.row_groups.in_flight,
            row_groups_stored=run.row_groups.stored,
            queued=len(queue),
            leased=run.leased,
            deferred=len(run.failures.deferrals),
            generators=run.generator_progress(),
            blocked=run.dispatcher.explain_blocked() if len(queue) else None,
            circuits=run.circuits.snapshot(),
        )
