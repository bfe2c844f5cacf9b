"""A job's life from submission to result, one job at a time.

Owns the phase the scheduler is in and the chain of messages that leads from one to the next:
inspect files -> prepare -> open log -> open run -> configure admissions -> run -> release -> close.
What happens while a job runs is `JobRun`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from actors.scheduler.closing import Closing, totals_of
from actors.scheduler.orphan import Orphan, OrphanedRun
from actors.scheduler.recovery import recover
from actors.scheduler.run import JobRun
from actors.scheduler.submission import Submission
from messages._base import STORAGE, TELEMETRY, WORKER, Message, Outgoing
from messages.describe import describe_run
from messages.job import Problem
from messages.request_admission import RequestResourcesRegistered
from messages.scheduler import (
    CancelJob,
    CheckJob,
    JobAccepted,
    JobCancelling,
    JobChecked,
    JobFinished,
    JobRejected,
    JobStatus,
    SchedulerSnapshot,
    SubmitJob,
)
from messages.storage import (
    CloseRun,
    FilesInspected,
    JournalFailed,
    RowGroupLoaded,
    RowGroupStored,
    RunClosed,
    RunOpened,
    RunRefused,
    StorageFailed,
)
from messages.supervision import ActorRestarted, HandlerFailed
from messages.task_admission import (
    TaskAdmissionConfigured,
    TaskAdmissionPolicy,
    TaskLeasesDecided,
    TaskLeasesRecovered,
    TaskLeasesReturned,
    TaskLeasesSettled,
)
from messages.telemetry import (
    CapacityPlanReported,
    CloseRunLog,
    Event,
    LogEntry,
    LogLevel,
    RecordEvents,
    RecordLog,
    RunLogClosed,
    RunLogOpened,
    RunLogRefused,
)
from messages.worker import CancelTasks, JobPrepared, JobReleased, JobUnpreparable, ReleaseJob

DRAIN_SECONDS = 15.0
"""How long a job that was stopped waits for its tokens before it is closed without them."""

_BUSY = Problem(
    "", "another job is running in this actor system", "wait for it to finish, or start another system"
)


class SchedulerCore:
    """One scheduler. At any time at most one of submission, run and closing is there."""

    def __init__(
        self,
        policy_named: Callable[[str], TaskAdmissionPolicy],
        run_ids: Iterator[str],
        *,
        generation: int = 1,
        orphan: Orphan | None = None,
        execution_ids_from: int = 1,
    ) -> None:
        self._policy_named = policy_named
        self._run_ids = run_ids
        self._generation = generation
        self._submission: Submission | None = None
        self._run: JobRun | None = None
        self._closing: Closing | None = None
        self._started_at = 0.0
        self._last_execution_id = execution_ids_from - 1
        self._drain_by: float | None = None
        self._orphan = orphan
        self._orphaned: OrphanedRun | None = None
        self._waits_for_end = ""
        if orphan is not None and orphan.plan is not None:
            # At once: what is in the mailbox was sent to the lost scheduler, and is this run's business.
            self._orphaned = OrphanedRun(orphan.plan, out=orphan.out)
            self._waits_for_end, self._started_at = orphan.reply_to, orphan.started_at
        self._handlers: dict[type[Message], Callable[[Any, float], list[Outgoing]]] = {
            SubmitJob: self._submit,
            CheckJob: self._submit,
            CancelJob: self._cancel,
            FilesInspected: self._prepare,
            JobPrepared: self._prepared,
            JobUnpreparable: self._unpreparable,
            RunLogOpened: self._step,
            RunLogRefused: self._refused,
            RunOpened: self._step,
            RunRefused: self._refused,
            TaskAdmissionConfigured: self._step,
            RequestResourcesRegistered: self._step,
            RowGroupLoaded: self._loaded,
            RowGroupStored: self._stored,
            TaskLeasesDecided: self._decided,
            TaskLeasesReturned: self._returned,
            StorageFailed: self._storage_failed,
            JournalFailed: self._journal_failed,
            HandlerFailed: self._handler_failed,
            ActorRestarted: self._restarted,
            TaskLeasesRecovered: self._recovered,
            TaskLeasesSettled: self._settled,
            JobReleased: self._close_step,
            CapacityPlanReported: self._close_step,
            RunClosed: self._close_step,
            RunLogClosed: self._close_step,
        }

    # -- the shell's side ------------------------------------------------------------------------------

    @property
    def accepts(self) -> frozenset[type[Message]]:
        """The scheduler's commands, and the replies to what it asks of others."""
        return frozenset(self._handlers)

    @property
    def generation(self) -> int:
        """Which incarnation of the scheduler this is."""
        return self._generation

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one message."""
        return self._handlers[type(message)](message, now)

    def idle(self, *, now: float) -> list[Outgoing]:
        """Dispatch what has become ready; close the job when nothing remains to be done."""
        run = self._run
        if self._orphan is not None:
            return self._take_in(self._orphan, now)
        if run is None or self._closing is not None:
            return self._end_orphan(now) if self._orphaned is not None else []
        run.enqueue_ready(now)
        outgoing = []
        if not run.stopping and run.admission.raise_target(now):
            outgoing = run.admit_row_groups(now)
            run.enqueue_ready(now)
        outgoing += run.dispatch(now)
        outgoing += run.facts.take()
        overdue = self._drain_by is not None and now >= self._drain_by
        if run.finished or (run.stopping and (run.quiet or overdue)):
            outgoing += self._close(run, now, overdue=overdue and not run.quiet)
        return outgoing

    def next_deadline(self) -> float | None:
        """Return when deferred work is due, or a stopped job is closed come what may."""
        if self._run is None or self._closing is not None:
            return self._drain_by if self._orphaned is not None and self._closing is None else None
        times = [
            time for time in (self._run.failures.deferrals.next_due(), self._drain_by) if time is not None
        ]
        return min(times, default=None)

    def close(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - the shells' common interface
        """Return nothing: there is nothing to let go of."""
        return []

    def snapshot(self, *, now: float) -> SchedulerSnapshot:  # noqa: ARG002 - the shells' common interface
        """Return how far the job is."""
        run = self._run
        if run is None:
            submission, orphaned = self._submission, self._orphaned
            if orphaned is not None:
                return SchedulerSnapshot("closing" if self._closing else "stopping", orphaned.run_id)
            if submission is None:
                return SchedulerSnapshot("idle")
            return SchedulerSnapshot("preparing", submission.run_id, submission.job.name)
        queue = run.dispatcher.queue
        phase = "closing" if self._closing else "stopping" if run.stopping else "running"
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
        )

    def check(self) -> None:
        """Assert the running job's invariants."""
        if self._run is not None:
            self._run.tracker.check()
            self._run.dispatcher.queue.check()

    # -- submission ------------------------------------------------------------------------------------

    def _submit(self, message: SubmitJob | CheckJob, _now: float) -> list[Outgoing]:
        if self._submission is not None or self._run is not None or self._orphaned is not None:
            return _answer(message.reply_to, JobRejected((_BUSY,)))
        self._submission = Submission(message, next(self._run_ids))
        return [self._submission.inspect()]

    def _prepare(self, message: FilesInspected, _now: float) -> list[Outgoing]:
        submission = self._submission
        if submission is None or message.run_id != submission.run_id:
            return []
        return [submission.prepare(message)]

    def _prepared(self, message: JobPrepared, now: float) -> list[Outgoing]:
        submission = self._submission
        if submission is None or message.run_id != submission.run_id:
            return []
        if self._run is not None:  # a worker that was lost is ready again
            self._run.worker_ready = True
            return []
        submission.prepared = message
        if submission.problems:
            return self._reject(submission, submission.problems)
        if isinstance(submission.message, CheckJob):
            plan = message.plan
            names = tuple(generator.name for generator in plan.generators)
            checked = JobChecked((), plan.rows, plan.row_groups, names, plan.warnings)
            return self._end_submission(submission, checked)
        return submission.open_next() or self._begin(submission, now)

    def _unpreparable(self, message: JobUnpreparable, _now: float) -> list[Outgoing]:
        submission = self._submission
        if submission is None or message.run_id != submission.run_id:
            return []
        return self._reject(submission, submission.problems + message.problems)

    def _step(self, message: Any, now: float) -> list[Outgoing]:
        if self._closing is not None:
            return self._close_step(message, now)
        submission = self._submission
        if self._run is not None or submission is None or message.run_id != submission.run_id:
            return []
        submission.note(message)
        return submission.open_next() or self._begin(submission, now)

    def _refused(self, message: RunRefused | RunLogRefused, _now: float) -> list[Outgoing]:
        submission = self._submission
        if submission is None or message.run_id != submission.run_id:
            return []
        if isinstance(message, RunRefused):
            close_log = Outgoing(TELEMETRY, CloseRunLog(submission.run_id))
            return [*self._reject(submission, message.problems), close_log]
        return self._reject(submission, (submission.log_problem(message.reason),))

    def _reject(self, submission: Submission, problems: tuple[Problem, ...]) -> list[Outgoing]:
        if isinstance(submission.message, CheckJob):
            return self._end_submission(submission, JobChecked(problems))
        rejected = self._end_submission(submission, JobRejected(problems))
        return [*rejected, _log(0.0, "warning", "job_rejected", problems=len(problems))]

    def _end_submission(self, submission: Submission, answer: Message) -> list[Outgoing]:
        self._submission = None
        release = Outgoing(WORKER, ReleaseJob(submission.run_id))
        return [release, *_answer(submission.message.reply_to, answer)]

    # -- running ---------------------------------------------------------------------------------------

    def _begin(self, submission: Submission, now: float) -> list[Outgoing]:
        assert submission.prepared is not None
        assert submission.view is not None
        plan = submission.prepared.plan
        policy = self._policy_named(plan.policy)
        run = JobRun(
            plan,
            policy,
            submission.view,
            first_execution_id=self._last_execution_id + 1,
            earlier=submission.earlier,
            journaling=submission.message.out is not None,
        )
        self._run, self._started_at = run, now
        started = Event(
            "scheduler_job_started", now, diagnostics=describe_run(plan, run.earlier).to_builtins()
        )
        outgoing = [
            Outgoing(TELEMETRY, RecordEvents("scheduler", [started])),
            _log(now, "info", "job_started", run_id=plan.run_id, rows=plan.rows, row_groups=plan.row_groups),
            *_answer(submission.message.reply_to, JobAccepted(plan.run_id, plan.rows, plan.warnings)),
        ]
        if submission.cancel_reason is not None:
            return outgoing + self._stop("cancelled", submission.cancel_reason, now)
        return outgoing + run.admit_row_groups(now)

    def _loaded(self, message: RowGroupLoaded, now: float) -> list[Outgoing]:
        run = self._current(message.run_id)
        return run.on_loaded(message, now) if run is not None else []

    def _stored(self, message: RowGroupStored, now: float) -> list[Outgoing]:
        if self._orphaned is not None:
            return self._orphaned.on_stored(message, now)
        run = self._current(message.run_id)
        return run.on_stored(message, now) if run is not None else []

    def _decided(self, message: TaskLeasesDecided, now: float) -> list[Outgoing]:
        if self._orphaned is not None:
            return self._orphaned.on_decided(message)
        return self._run.on_decided(message, now) if self._run is not None else []

    def _returned(self, message: TaskLeasesReturned, now: float) -> list[Outgoing]:
        run = self._run
        if run is None:
            return []
        outgoing = run.on_returned(message, now)
        if run.verdict is None or run.stopping:
            return outgoing
        return outgoing + self._stop(*run.verdict, now)

    def _current(self, run_id: str) -> JobRun | None:
        run = self._run
        return run if run is not None and run.plan.run_id == run_id else None

    # -- stopping --------------------------------------------------------------------------------------

    def _cancel(self, message: CancelJob, now: float) -> list[Outgoing]:
        run, submission = self._run, self._submission
        if submission is not None and message.submitted_by not in ("", submission.message.reply_to):
            return _answer(message.reply_to, JobCancelling(None))
        if run is not None:
            answer = _answer(message.reply_to, JobCancelling(run.plan.run_id))
            return answer + self._stop("cancelled", message.reason, now)
        if submission is not None:
            if submission.cancel_reason is None:
                submission.cancel_reason = message.reason
            return _answer(message.reply_to, JobCancelling(submission.run_id))
        return _answer(message.reply_to, JobCancelling(None))

    def _storage_failed(self, message: StorageFailed, now: float) -> list[Outgoing]:
        closing, run = self._closing, self._current(message.run_id)
        if closing is not None and message.row_group is None and message.run_id == closing.run_id:
            awaited = closing.awaits(STORAGE, CloseRun.__name__)
            return self._pass_over(closing, str(message.problem), now) if awaited else []
        if run is None:
            return []
        if message.row_group is not None:
            run.row_groups.store_failed(message.row_group)
        return self._stop("failed", str(message.problem), now)

    def _journal_failed(self, message: JournalFailed, now: float) -> list[Outgoing]:
        """Stop: whatever models answer from here on would be paid for and lost by a crash (R14)."""
        if self._current(message.run_id) is None:
            return []
        return self._stop("failed", str(message.problem), now)

    def _handler_failed(self, message: HandlerFailed, now: float) -> list[Outgoing]:
        reason = f"actor {message.actor} failed on {message.message_type}: {message.error}"
        closing = self._closing
        if closing is not None:
            awaited = closing.awaits(message.actor, message.message_type)
            return self._pass_over(closing, reason, now) if awaited else []
        if self._run is not None:
            return self._stop("failed", reason, now)
        if self._submission is not None:
            problem = Problem("", reason, "this is a defect of leasehold: please report it with the log")
            undo = self._submission.withdraw(reason)
            return self._reject(self._submission, (problem,)) + undo
        return []

    def _restarted(self, message: ActorRestarted, _now: float) -> list[Outgoing]:
        """Bring an actor that has lost its state back into the job, or end the job with a clear error."""
        run, submission = self._run, self._submission
        reason = f"actor {message.actor} was lost and began anew (generation {message.generation})"
        if self._closing is not None:
            return self._closing.repeat_for(message.actor)
        if self._orphaned is not None:
            return self._orphaned.again(message.actor)
        if run is not None and submission is not None:
            return recover(message.actor, message.generation, run, submission)
        if submission is not None:
            problem = Problem("", f"{reason} while the job was prepared", "submit the job again")
            return self._reject(submission, (problem,)) + submission.withdraw(reason)
        return []

    def _recovered(self, message: TaskLeasesRecovered, _now: float) -> list[Outgoing]:
        run = self._current(message.run_id)
        if run is not None:
            run.on_recovered(message)
        return []

    # -- after a loss of the scheduler itself ------------------------------------------------------

    @property
    def orphan(self) -> Orphan | None:
        """What a next incarnation has to know: which run there is, and who waits for its end."""
        submission, run = self._submission, self._run
        if submission is None or isinstance(submission.message, CheckJob):
            return None
        plan = run.plan if run is not None else None
        return Orphan(plan, submission.message.reply_to, self._started_at, submission.message.out)

    @property
    def next_execution_id(self) -> int:
        """The number of the next task execution: unlike any before, in this incarnation and later ones."""
        return self._run.executions.next_id if self._run is not None else self._last_execution_id + 1

    def _take_in(self, orphan: Orphan, now: float) -> list[Outgoing]:
        self._orphan = None
        if self._orphaned is None:
            problem = Problem("", "the scheduler was lost while the job was prepared", "submit the job again")
            return _answer(orphan.reply_to, JobRejected((problem,)))
        self._drain_by = now + DRAIN_SECONDS
        return self._orphaned.begin()

    def _settled(self, message: TaskLeasesSettled, now: float) -> list[Outgoing]:
        orphaned = self._orphaned
        if orphaned is None or message.run_id != orphaned.run_id or self._closing is not None:
            return []
        self._closing = Closing(orphaned.totals, started_at=self._started_at, overdue=False)
        return self._close_advance(self._closing, now)

    def _end_orphan(self, now: float) -> list[Outgoing]:
        """Close an orphaned run whose leases have not come back in time."""
        orphaned = self._orphaned
        if orphaned is None or self._closing is not None or self._drain_by is None or now < self._drain_by:
            return []
        self._closing = Closing(orphaned.totals, started_at=self._started_at, overdue=True)
        return self._close_advance(self._closing, now)

    def _stop(self, status: JobStatus, reason: str, now: float) -> list[Outgoing]:
        """Begin to end the job early. Harmless when it is ending already (R11).

        An early shutdown lets running work end, however long it takes, unless the job is stopped again (R6).
        """
        run = self._run
        if run is None or self._closing is not None or self._drain_by is not None:
            return []
        outgoing: list[Outgoing] = []
        if not run.stopping or status == "failed":
            run.stop(status, reason)
            outgoing.append(_log(now, "warning", "job_stopping", run_id=run.plan.run_id, status=status))
        if status != "early_shutdown":
            self._drain_by = now + DRAIN_SECONDS
            outgoing.append(Outgoing(WORKER, CancelTasks(run.plan.run_id)))
        return outgoing

    # -- closing ---------------------------------------------------------------------------------------

    def _close(self, run: JobRun, now: float, *, overdue: bool) -> list[Outgoing]:
        self._last_execution_id = run.executions.next_id - 1
        self._closing = Closing(lambda: totals_of(run), started_at=self._started_at, overdue=overdue)
        return [*run.facts.take(), *self._close_advance(self._closing, now)]

    def _close_step(self, message: Any, now: float) -> list[Outgoing]:
        closing = self._closing
        if closing is None or message.run_id != closing.run_id:
            return []
        closing.note(message)
        return self._close_advance(closing, now)

    def _pass_over(self, closing: Closing, reason: str, now: float) -> list[Outgoing]:
        closing.pass_over(reason)
        return self._close_advance(closing, now)

    def _close_advance(self, closing: Closing, now: float) -> list[Outgoing]:
        outgoing = closing.next_step(now)
        if outgoing:
            return outgoing
        submission, result = self._submission, closing.result(now)
        self._submission = self._run = self._closing = self._drain_by = self._orphaned = None
        reply_to = submission.message.reply_to if submission is not None else self._waits_for_end
        return [
            _log(now, "info", "job_finished", run_id=result.run_id, status=result.status),
            *_answer(reply_to, JobFinished(result)),
        ]


def _answer(reply_to: str, message: Message) -> list[Outgoing]:
    return [Outgoing(reply_to, message)] if reply_to else []


def _log(now: float, level: LogLevel, event: str, **fields: Any) -> Outgoing:
    return Outgoing(TELEMETRY, RecordLog([LogEntry(now, "scheduler", level, event, fields)]))
