"""A job on its way to being run: inspect files -> prepare -> probe -> open log and run -> configure -> begin.

Ends in a running job, or in nothing: then everything that was opened has been closed again. Probing is left
out where it is switched off, where no model is called, and where a run is resumed whose manifest says that
nothing is missing: it returns at once, whether its providers are still there or not.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.scheduler.phases.phase import DRAIN_SECONDS, Desk, Orphan, Phase, answer, log_line
from actors.scheduler.phases.running import Running
from actors.scheduler.run import JobRun
from actors.scheduler.submission import Submission
from messages._base import WORKER, Message, Outgoing
from messages.job import Problem
from messages.plan import JobPlan
from messages.request_admission import RequestResourcesRegistered
from messages.scheduler import CheckJob, JobChecked, JobRejected
from messages.storage import FilesInspected, RunOpened, RunRefused
from messages.supervision import ActorRestarted, HandlerFailed
from messages.task_admission import TaskAdmissionConfigured, TaskAdmissionViewChanged
from messages.telemetry import RunLogOpened, RunLogRefused
from messages.worker import CancelTasks, JobPrepared, JobUnpreparable, ModelsProbed, ReleaseJob

_REFUSED = "the job was refused"
_LOST = Problem("", "the scheduler was lost while the job was prepared", "submit the job again")


class Preparing(Phase):
    """One submission, until it is answered."""

    name = "preparing"

    def __init__(self, desk: Desk, submission: Submission) -> None:
        super().__init__(desk, run_id=submission.run_id, reply_to=submission.message.reply_to)
        self._submission = submission
        self._probed_by: float | None = None
        """Until when the probes of a cancelled job may take to end."""
        self.handlers |= {
            FilesInspected: self._prepare,
            JobPrepared: self._prepared,
            JobUnpreparable: self._unpreparable,
            ModelsProbed: self._probed,
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
        """The refusal, which a next incarnation has to tell, and what it has to close."""
        out = None if isinstance(self._submission.message, CheckJob) else self._submission.message.out
        return Orphan(None, self.reply_to, 0.0, out, last_words=tuple(self._refusal((_LOST,), _LOST.message)))

    def idle(self, now: float) -> list[Outgoing]:
        """Go on to the end of a cancelled job when its probes have not ended in time."""
        if self.next is None and self._probed_by is not None and now >= self._probed_by:
            return self._stop_probing(now)
        return []

    def next_deadline(self) -> float | None:
        """Return when a cancelled job goes on without the answer to its probes."""
        return self._probed_by

    def begin(self, now: float) -> list[Outgoing]:  # noqa: ARG002 - the phases' common interface
        """Ask what the job's files hold."""
        return [self._submission.inspect()]

    def _prepare(self, message: FilesInspected, _now: float) -> list[Outgoing]:
        return [self._submission.prepare(message)]

    def _prepared(self, message: JobPrepared, now: float) -> list[Outgoing]:
        submission = self._submission
        submission.is_prepared(message)
        if submission.problems:
            return self._reject(submission.problems)
        return self._go_on(now)

    def _unpreparable(self, message: JobUnpreparable, _now: float) -> list[Outgoing]:
        return self._reject(self._submission.problems + message.problems)

    def _probed(self, message: ModelsProbed, now: float) -> list[Outgoing]:
        if not self._submission.probing:
            return []
        self._submission.note(message)
        return self._stop_probing(now)

    def _stop_probing(self, now: float) -> list[Outgoing]:
        self._submission.probing = False
        self._probed_by = None
        return self._go_on(now)

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
        self._submission.refuse_step()
        return self._reject((self._submission.log_problem(message.reason),))

    def _run_refused(self, message: RunRefused, _now: float) -> list[Outgoing]:
        self._submission.refuse_step()
        return self._reject(message.problems)

    def _handler_failed(self, message: HandlerFailed, _now: float) -> list[Outgoing]:
        reason = f"actor {message.actor} failed on {message.message_type}: {message.error}"
        problem = Problem("", reason, "this is a defect of leasehold: please report it with the log")
        return self._reject((problem,), reason)

    def _restarted(self, message: ActorRestarted, _now: float) -> list[Outgoing]:
        reason = f"actor {message.actor} was lost and began anew (generation {message.generation})"
        problem = Problem("", f"{reason} while the job was prepared", "submit the job again")
        return self._reject((problem,), reason)

    def _stop_for(self, reason: str, now: float) -> list[Outgoing]:
        """Remember to stop as soon as the job has begun: a step under way cannot be taken back.

        Probes can be ended: the job goes on when the worker says that they are over, which is soon.
        """
        submission = self._submission
        if submission.cancel_reason is not None:
            return []
        submission.cancel_reason = reason
        if not submission.probing:
            return []
        self._probed_by = now + DRAIN_SECONDS
        return [Outgoing(WORKER, CancelTasks(submission.run_id))]

    # -- ends ----------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> list[Outgoing]:
        submission = self._submission
        outgoing = submission.open_next()
        if outgoing:
            return outgoing
        assert submission.prepared is not None
        if submission.unhealthy:
            return self._reject(submission.unhealthy)
        if isinstance(submission.message, CheckJob):
            return self._checked(submission.prepared.plan)
        assert submission.view is not None
        plan = submission.prepared.plan
        run = JobRun(
            plan,
            self.desk.policy_named(plan.policy),
            submission.view,
            first_execution_id=self.desk.next_execution_id,
            earlier=submission.earlier,
            journaling=submission.message.out is not None,
            worker=submission.prepared.generation,
        )
        self.next = Running(self.desk, submission, run, started_at=now)
        return []

    def _checked(self, plan: JobPlan) -> list[Outgoing]:
        submission = self._submission
        if submission.cancel_reason is not None:
            return self._reject((Problem("", f"the check was cancelled: {submission.cancel_reason}"),))
        names = tuple(generator.name for generator in plan.generators)
        checked = JobChecked(
            (), plan.rows, plan.row_groups, names, submission.warnings, plan, submission.configured
        )
        self.next = Phase(self.desk)
        return self._withdrawn(checked, "checked")

    def _reject(self, problems: tuple[Problem, ...], reason: str = _REFUSED) -> list[Outgoing]:
        self.next = Phase(self.desk)
        return self._refusal(problems, reason)

    def _refusal(self, problems: tuple[Problem, ...], reason: str) -> list[Outgoing]:
        if isinstance(self._submission.message, CheckJob):
            return self._withdrawn(JobChecked(problems), reason)
        line = log_line(0.0, "warning", "job_rejected", problems=len(problems))
        return [line, *self._withdrawn(JobRejected(problems), reason)]

    def _withdrawn(self, message: Message, reason: str) -> list[Outgoing]:
        """Return the answer, and what closes again whatever was opened."""
        release = Outgoing(WORKER, ReleaseJob(self._submission.run_id))
        return [release, *answer(self.reply_to, message), *self._submission.withdraw(reason)]
