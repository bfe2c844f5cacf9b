"""A job's life from submission to result, one job at a time: which phase it is in.

What a phase does is the phase's; here it is only decided which one a message goes to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from actors.scheduler.phases.idle import Idle
from actors.scheduler.phases.orphaned import taken_over
from actors.scheduler.phases.phase import Desk, Orphan, Phase, answer
from messages._base import Message, Outgoing
from messages.job import Problem
from messages.request_admission import RequestCircuitChanged, RequestResourcesRegistered
from messages.scheduler import CancelJob, CheckJob, JobRejected, SchedulerSnapshot, SubmitJob
from messages.storage import (
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
    TaskAdmissionViewChanged,
    TaskLeasesDecided,
    TaskLeasesRecovered,
    TaskLeasesReturned,
    TaskLeasesSettled,
)
from messages.telemetry import CapacityPlanReported, RunLogClosed, RunLogOpened, RunLogRefused
from messages.worker import JobPrepared, JobReleased, JobUnpreparable, ModelsProbed

_BUSY = Problem(
    "", "another job is running in this actor system", "wait for it to finish, or start another system"
)

_ACCEPTED: frozenset[type[Message]] = frozenset(
    {
        SubmitJob,
        CheckJob,
        CancelJob,
        FilesInspected,
        JobPrepared,
        JobUnpreparable,
        ModelsProbed,
        RunLogOpened,
        RunLogRefused,
        RunOpened,
        RunRefused,
        TaskAdmissionConfigured,
        RequestResourcesRegistered,
        RequestCircuitChanged,
        RowGroupLoaded,
        RowGroupStored,
        TaskLeasesDecided,
        TaskLeasesReturned,
        TaskLeasesRecovered,
        TaskAdmissionViewChanged,
        TaskLeasesSettled,
        StorageFailed,
        JournalFailed,
        HandlerFailed,
        ActorRestarted,
        JobReleased,
        CapacityPlanReported,
        RunClosed,
        RunLogClosed,
    }
)


class SchedulerCore:
    """One scheduler: idle, preparing, running, closing, and idle again."""

    def __init__(
        self,
        policy_named: Callable[[str], TaskAdmissionPolicy],
        run_ids: Iterator[str],
        *,
        generation: int = 1,
        orphan: Orphan | None = None,
        execution_ids_from: int = 1,
    ) -> None:
        self._generation = generation
        desk = Desk(policy_named, run_ids, next_execution_id=execution_ids_from)
        self._phase: Phase = Idle(desk)
        self._last_words = list(orphan.last_words) if orphan is not None else []
        self._begun = True
        if orphan is not None and orphan.plan is not None:
            # At once: what is in the mailbox was sent to the lost scheduler, and is this run's business.
            self._phase, self._begun = taken_over(desk, orphan, orphan.plan), False

    # -- the shell's side ------------------------------------------------------------------------------

    @property
    def accepts(self) -> frozenset[type[Message]]:
        """The scheduler's commands, and the replies to what it asks of others."""
        return _ACCEPTED

    @property
    def generation(self) -> int:
        """Which incarnation of the scheduler this is."""
        return self._generation

    @property
    def orphan(self) -> Orphan | None:
        """What a next incarnation has to know: which run there is, and who waits for its end."""
        return self._phase.orphan

    @property
    def next_execution_id(self) -> int:
        """The number of the next task execution: unlike any before, in this incarnation and later ones."""
        return self._phase.next_execution_id

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one message."""
        if isinstance(message, SubmitJob | CheckJob) and not isinstance(self._phase, Idle):
            return answer(message.reply_to, JobRejected((_BUSY,)))
        return self._phase.take(message, now) + self._change_phase(now)

    def idle(self, *, now: float) -> list[Outgoing]:
        """Do what the phase does when no message waits."""
        outgoing, self._last_words = self._last_words, []
        if not self._begun:
            self._begun = True
            outgoing += self._phase.begin(now)
        return outgoing + self._phase.idle(now) + self._change_phase(now)

    def next_deadline(self) -> float | None:
        """Return when the phase wants to be woken."""
        return self._phase.next_deadline()

    def close(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - the shells' common interface
        """Return nothing: there is nothing to let go of."""
        return []

    def snapshot(self, *, now: float) -> SchedulerSnapshot:  # noqa: ARG002 - as above
        """Return how far the job is."""
        return self._phase.snapshot()

    def check(self) -> None:
        """Assert the running job's invariants."""
        self._phase.check()

    def _change_phase(self, now: float) -> list[Outgoing]:
        outgoing: list[Outgoing] = []
        while (following := self._phase.next) is not None:
            # A phase that names none in particular leaves the scheduler free for the next job.
            self._phase = Idle(following.desk) if type(following) is Phase else following
            outgoing += self._phase.begin(now)
        return outgoing
