"""What every actor answers, and what actors and the system say of each other's life and death."""

from __future__ import annotations

from typing import TypeAlias

from messages._base import ActorName, Message, Query, Value
from messages.request_admission import RequestAdmissionSnapshot
from messages.scheduler import SchedulerSnapshot
from messages.storage import StorageSnapshot
from messages.task_admission import TaskAdmissionSnapshot
from messages.telemetry import TelemetrySnapshot
from messages.worker import WorkerSnapshot


class MailboxSnapshot(Value, frozen=True):
    """An actor's mailbox: messages waiting, and for how long the oldest has, in seconds."""

    depth: int
    oldest_age_seconds: float
    handled: int


class GetSnapshot(Query, frozen=True):
    """Answered by every actor with an `ActorSnapshot`."""


class ActorSnapshot(Message, frozen=True):
    """An actor at a moment: its mailbox, and the state that answers its one question."""

    actor: ActorName
    generation: int
    captured_at: float
    mailbox: MailboxSnapshot
    dead_letters: int
    state: (
        SchedulerSnapshot
        | TaskAdmissionSnapshot
        | RequestAdmissionSnapshot
        | WorkerSnapshot
        | StorageSnapshot
        | TelemetrySnapshot
        | None
    )


class DeadlineReached(Message, frozen=True):
    """An actor's inbox to the actor itself: the deadline its core asked for has come."""


class HandlerFailed(Message, frozen=True):
    """An actor to the scheduler: handling a message raised; the message was dropped, the actor lives.

    `error` is the exception's type and place, without its text: texts may hold row data.
    """

    actor: ActorName
    message_type: str
    error: str


class CrashActor(Message, frozen=True):
    """A harness to any actor: lose your state now, as if your thread had died between two messages.

    A fault to test with: nothing in the product sends it. What the actor had handled has been sent; its
    mailbox is kept; its next incarnation has the next generation.
    """


class ActorRestarted(Message, frozen=True):
    """An actor's shell to the scheduler: the actor has lost its state and begins anew."""

    actor: ActorName
    generation: int


Command: TypeAlias = GetSnapshot | DeadlineReached | CrashActor
