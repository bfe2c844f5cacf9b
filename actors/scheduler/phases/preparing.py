"""A job on its way to being run: inspect files -> prepare -> open log -> open run -> configure -> begin.

Ends in a running job, or in nothing: then everything that was opened has been closed again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.scheduler.phases.phase import Desk, Orphan, Phase, answer, log_line
from actors.scheduler.phases.running import Running
from actors.scheduler.run import JobRun
from actors.scheduler.submission import Submission
from messages._base import TELEMETRY, WORKER, Message, Outgoing
from messages.job import Problem
from messages.request_admission import RequestResourcesRegistered
from messages.scheduler import CheckJob, JobChecked, JobRejected
from messages.storage import FilesInspected, RunOpened, RunRefused
from messages.supervision import ActorRestarted, HandlerFailed
from messages.task_admission import TaskAdmissionConfigured, TaskAdmissionViewChanged
from messages.telemetry import CloseRunLog, RunLogOpened, RunLogRefused
from messages.worker import JobPrepared, JobUnpreparable, ReleaseJob


class Preparing(Phase):
    """One submission, until it is answered."""

    name = "preparing"

    def __init__(self, desk: Desk, submission: Submission) -> None:
        super().__init__(desk, run_id=submission.run_id, reply_to=submission.message.reply_to)
        self._submission = submission
        self.handlers |= {
            FilesInspected: self._prepare,
            JobPrepared: self._prepared,
            JobUnpreparable: self._unpreparable,
            RunLogOpened: self._step,
            RunLogRefused: self._log_refused,
            RunOpened: self._step,
            RunRefused: self._run_refused,
            TaskAdmissionConfigured: self._step,
            TaskAdmissionViewChanged: self._view_changed,
            RequestResourcesRegistered: self._step,
            HandlerFailed: self._handler_failed,
            ActorRestarted: self._restarted,
        }

    @property
    def orphan(self) -> Orphan | None:
        """Only that somebody waits for an answer."""
        if isinstance(self._submission.message, CheckJob):
            return None
        return Orphan(None, self.reply_to, 0.0, self._submission.message.out)

    def begin(self, now: float) -> list[Outgoing]:  # noqa: ARG002 - the phases' common interface
        """Ask what the job's files hold."""
        return [self._submission.inspect()]

    def _prepare(self, message: FilesInspected, _now: float) -> list[Outgoing]:
        return [self._submission.prepare(message)]

    def _prepared(self, message: JobPrepared, now: float) -> list[Outgoing]:
        submission = self._submission
        submission.prepared = message
        if submission.problems:
            return self._reject(submission.problems)
        if isinstance(submission.message, CheckJob):
            plan = message.plan
            names = tuple(generator.name for generator in plan.generators)
            return self._end(JobChecked((), plan.rows, plan.row_groups, names, plan.warnings))
        return self._go_on(now)

    def _unpreparable(self, message: JobUnpreparable, _now: float) -> list[Outgoing]:
        return self._reject(self._submission.problems + message.problems)

    def _step(self, message: Any, now: float) -> list[Outgoing]:
        self._submission.note(message)
        return self._go_on(now)

    def _view_changed(self, message: TaskAdmissionViewChanged, _now: float) -> list[Outgoing]:
        """Keep what is under pressure: the job begins with it. Before there is a view it is another run's."""
        view, pressed = self._submission.view, message.view.pressed
        if view is not None and pressed is not None:
            self._submission.view = msgspec.structs.replace(view, pressed=pressed)
        return []

    def _log_refused(self, message: RunLogRefused, _now: float) -> list[Outgoing]:
        return self._reject((self._submission.log_problem(message.reason),))

    def _run_refused(self, message: RunRefused, _now: float) -> list[Outgoing]:
        close_log = Outgoing(TELEMETRY, CloseRunLog(message.run_id))
        return [*self._reject(message.problems), close_log]

    def _handler_failed(self, message: HandlerFailed, _now: float) -> list[Outgoing]:
        reason = f"actor {message.actor} failed on {message.message_type}: {message.error}"
        problem = Problem("", reason, "this is a defect of leasehold: please report it with the log")
        return self._reject((problem,)) + self._submission.withdraw(reason)

    def _restarted(self, message: ActorRestarted, _now: float) -> list[Outgoing]:
        reason = f"actor {message.actor} was lost and began anew (generation {message.generation})"
        problem = Problem("", f"{reason} while the job was prepared", "submit the job again")
        return self._reject((problem,)) + self._submission.withdraw(reason)

    def _stop_for(self, reason: str, now: float) -> list[Outgoing]:  # noqa: ARG002 - as above
        """Remember to stop as soon as the job has begun: a step under way cannot be taken back."""
        if self._submission.cancel_reason is None:
            self._submission.cancel_reason = reason
        return []

    # -- ends ----------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> list[Outgoing]:
        submission = self._submission
        outgoing = submission.open_next()
        if outgoing:
            return outgoing
        assert submission.prepared is not None
        assert submission.view is not None
        plan = submission.prepared.plan
        run = JobRun(
            plan,
            self.desk.policy_named(plan.policy),
            submission.view,
            first_execution_id=self.desk.next_execution_id,
            earlier=submission.earlier,
            journaling=submission.message.out is not None,
        )
        self.next = Running(self.desk, submission, run, started_at=now)
        return []

    def _reject(self, problems: tuple[Problem, ...]) -> list[Outgoing]:
        if isinstance(self._submission.message, CheckJob):
            return self._end(JobChecked(problems))
        rejected = self._end(JobRejected(problems))
        return [*rejected, log_line(0.0, "warning", "job_rejected", problems=len(problems))]

    def _end(self, message: Message) -> list[Outgoing]:
        self.next = Phase(self.desk)
        release = Outgoing(WORKER, ReleaseJob(self._submission.run_id))
        return [release, *answer(self.reply_to, message)]
