"""What every actor's pure part looks like from its shell."""

from __future__ import annotations

from typing import Protocol

from messages._base import Message, Outgoing
from messages.request_admission import RequestAdmissionSnapshot
from messages.scheduler import SchedulerSnapshot
from messages.storage import StorageSnapshot
from messages.task_admission import TaskAdmissionSnapshot
from messages.telemetry import TelemetrySnapshot
from messages.worker import WorkerSnapshot

StateSnapshot = (
    SchedulerSnapshot
    | TaskAdmissionSnapshot
    | RequestAdmissionSnapshot
    | WorkerSnapshot
    | StorageSnapshot
    | TelemetrySnapshot
)


class Core(Protocol):
    """Plain state that answers messages. No clock, thread, I/O or logger: time comes in."""

    @property
    def accepts(self) -> frozenset[type[Message]]:
        """The message classes that `handle` takes; the shell rejects all others."""
        ...

    @property
    def generation(self) -> int:
        """Which incarnation of the actor this is, from 1."""
        ...

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one message, change state, and return what should be sent."""
        ...

    def idle(self, *, now: float) -> list[Outgoing]:
        """Return what was held back to be sent as one batch. Called when the mailbox has run empty."""
        ...

    def next_deadline(self) -> float | None:
        """Return when a `DeadlineReached` is wanted, in run time."""
        ...

    def close(self, *, now: float) -> list[Outgoing]:
        """Let go of what the ports hold: the actor stops. Return the last of what is to be sent."""
        ...

    def snapshot(self, *, now: float) -> StateSnapshot:
        """Return the state for `GetSnapshot`."""
        ...
