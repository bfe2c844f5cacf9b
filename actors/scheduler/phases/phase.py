"""What every phase of the scheduler is: it takes some messages, and at its end names the next phase.

A message that means nothing in a phase is late, and is passed over: so is one of another run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from messages._base import TELEMETRY, ActorName, Message, Outgoing
from messages.plan import JobPlan
from messages.scheduler import CancelJob, JobCancelling, JobResult, SchedulerSnapshot
from messages.task_admission import TaskAdmissionPolicy, TaskLease
from messages.telemetry import LogEntry, LogLevel, RecordLog

Handlers: TypeAlias = dict[type[Message], Callable[[Any, float], list[Outgoing]]]

DRAIN_SECONDS = 15.0
"""How long a job that was stopped waits for its tokens before it is closed without them."""


class Orphan(NamedTuple):
    """What outlives a lost scheduler. `plan` is None where the job had not begun.

    `tokens` were given out and had not come back: should task admission be lost as well, nobody else could
    say what it has to account for. `result` is there once the log has been told how the run ended: all that
    is missing then is that whoever waits hears of it. `last_words` are all that is left to do for a job that
    had not begun: they refuse it, and close again what was opened for it.
    """

    plan: JobPlan | None
    reply_to: ActorName
    started_at: float
    out: str | None
    tokens: tuple[TaskLease, ...] = ()
    result: JobResult | None = None
    last_words: tuple[Outgoing, ...] = ()


class Desk:
    """What outlives a phase: where policies and run ids come from, and the number of the next execution."""

    def __init__(
        self,
        policy_named: Callable[[str], TaskAdmissionPolicy],
        run_ids: Iterator[str],
        *,
        next_execution_id: int,
    ) -> None:
        self.policy_named = policy_named
        self.run_ids = run_ids
        self.next_execution_id = next_execution_id


class Phase:
    """A phase with nothing to do. `next` is the phase that follows, once this one is over."""

    name = "idle"

    def __init__(self, desk: Desk, *, run_id: str | None = None, reply_to: ActorName = "") -> None:
        self.desk = desk
        self.run_id = run_id
        self.reply_to = reply_to
        self.next: Phase | None = None
        self.handlers: Handlers = {CancelJob: self._cancel}

    @property
    def orphan(self) -> Orphan | None:
        """What a next incarnation of the scheduler has to know, were this one lost now."""
        return None

    @property
    def next_execution_id(self) -> int:
        """The number of the next task execution: unlike any before, in this incarnation and later ones."""
        return self.desk.next_execution_id

    def begin(self, now: float) -> list[Outgoing]:  # noqa: ARG002 - the phases' common interface
        """Return what the phase does first."""
        return []

    def take(self, message: Message, now: float) -> list[Outgoing]:
        """Take one message, if it means something here."""
        handler = self.handlers.get(type(message))
        about = getattr(message, "run_id", self.run_id)
        return [] if handler is None or about != self.run_id else handler(message, now)

    def idle(self, now: float) -> list[Outgoing]:  # noqa: ARG002 - as above
        """Return what is done when no message waits."""
        return []

    def next_deadline(self) -> float | None:
        """Return when the phase wants to be woken."""
        return None

    def snapshot(self) -> SchedulerSnapshot:
        """Return how far the job is."""
        return SchedulerSnapshot(self.name, self.run_id)

    def check(self) -> None:
        """Assert the phase's invariants."""

    def _cancel(self, message: CancelJob, now: float) -> list[Outgoing]:
        """Stop the job, if there is one and it is the one that is meant (R11)."""
        meant = self.run_id is not None and message.submitted_by in ("", self.reply_to)
        outgoing = answer(message.reply_to, JobCancelling(self.run_id if meant else None))
        return outgoing + self._stop_for(message.reason, now) if meant else outgoing

    def _stop_for(self, reason: str, now: float) -> list[Outgoing]:  # noqa: ARG002 - as above
        return []


def answer(reply_to: ActorName, message: Message) -> list[Outgoing]:
    """Return `message` on its way to who asked, if anybody wants it."""
    return [Outgoing(reply_to, message)] if reply_to else []


def log_line(now: float, level: LogLevel, event: str, **fields: Any) -> Outgoing:
    """Return a line of the scheduler's log."""
    return Outgoing(TELEMETRY, RecordLog([LogEntry(now, "scheduler", level, event, fields)]))
