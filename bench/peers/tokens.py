"""What the bare pipeline moves: Leasehold's own tokens, or the thinnest that could be.

Both make per task what has to be made on a hop, decide nothing, and give seven events a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from messages.task_admission import ReleaseResult, TaskLease, TaskLeaseRelease, TaskLeaseReturn
from messages.tasks import (
    QueueSelection,
    QueueView,
    RuntimeCorrelation,
    SchedulableTask,
    SchedulerResourceRequest,
    Task,
    TaskGroupKey,
    TaskGroupSpec,
    TaskOutcome,
)
from messages.telemetry import Event
from messages.worker import TaskStart


class Tokens(Protocol):
    """What each hop makes of a batch, and its events. Batches are lists with an entry per task."""

    def ask(self, first: int, last: int) -> list[Any]:
        """Scheduler to admission: these tasks are ready."""
        ...

    def grant(self, asked: Sequence[Any], now: float) -> list[Any]:
        """Admission to scheduler: a lease each."""
        ...

    def start(self, leases: list[Any]) -> list[Any]:
        """Scheduler to worker: what runs."""
        ...

    def finish(self, starts: list[Any]) -> list[Any]:
        """Worker to admission: every lease with how it ended."""
        ...

    def release(self, returns: list[Any]) -> list[Any]:
        """Admission to scheduler: every lease accounted for."""
        ...

    def events(self, kind: str, batch: Sequence[Any], now: float) -> list[Any]:
        """Return one event of `kind` for each task of a batch of any hop."""
        ...


class ThinEvent(msgspec.Struct, frozen=True, gc=False):
    """One fact about one task."""

    event_kind: str
    captured_at: float
    token: int


class ThinTokens:
    """A whole number per task, from hop to hop: nothing is made but the events."""

    def ask(self, first: int, last: int) -> list[int]:
        """Return the tasks' numbers."""
        return list(range(first, last))

    def grant(self, asked: Sequence[int], _now: float) -> list[int]:
        """Return them again."""
        return list(asked)

    def start(self, leases: list[int]) -> list[int]:
        """Pass them on."""
        return leases

    def finish(self, starts: list[int]) -> list[int]:
        """Pass them on."""
        return starts

    def release(self, returns: list[int]) -> list[int]:
        """Pass them on."""
        return returns

    def events(self, kind: str, batch: Sequence[int], now: float) -> list[ThinEvent]:
        """Return one small event each."""
        return [ThinEvent(kind, now, token) for token in batch]


_GROUP = TaskGroupSpec(TaskGroupKey("local", ("default", "c0")), 1.0, None, "local:default/c0")
_REQUEST = SchedulerResourceRequest((("local", 1), ("submission", 1)))
_VIEW = QueueView(1, ())
_RELEASED = ReleaseResult(released=True, reason="released")


class OwnTokens:
    """The structs of Leasehold's protocols, made afresh per task as its actors make them."""

    def ask(self, first: int, last: int) -> list[QueueSelection]:
        """Return a selection of a schedulable task each."""
        return [
            QueueSelection(
                SchedulableTask(
                    number,
                    Task("c0", 0, number, "cell"),
                    _GROUP,
                    _REQUEST,
                    None,
                    RuntimeCorrelation("bench", 0, number, "c0", "cell", "local", "0" * 12, number),
                ),
                _VIEW,
                1,
            )
            for number in range(first, last)
        ]

    def grant(self, asked: Sequence[QueueSelection], now: float) -> list[TaskLease]:
        """Return a lease each."""
        return [
            TaskLease(item.task_id, 1, item.task_id, item.group, item.resource_request, now, item.correlation)
            for item in [selection.item for selection in asked]
        ]

    def start(self, leases: list[TaskLease]) -> list[TaskStart]:
        """Return a start each, with its inputs."""
        return [
            TaskStart(lease, Task("c0", 0, lease.task_id, "cell"), {}, lease.task_id, 1) for lease in leases
        ]

    def finish(self, starts: list[TaskStart]) -> list[TaskLeaseReturn]:
        """Return a return each, with its outcome."""
        return [TaskLeaseReturn(start.lease, TaskOutcome("success", 1)) for start in starts]

    def release(self, returns: list[TaskLeaseReturn]) -> list[TaskLeaseRelease]:
        """Return a release each."""
        return [TaskLeaseRelease(one.lease, one.outcome, _RELEASED) for one in returns]

    def events(self, kind: Any, batch: Sequence[Any], now: float) -> list[Event]:
        """Return a whole event each, its correlation in it."""
        if batch and isinstance(batch[0], QueueSelection):
            return [Event(kind, now, selection.item.correlation) for selection in batch]
        leases: list[TaskLease] = [getattr(one, "lease", one) for one in batch]
        return [Event(kind, now, lease.correlation, lease.lease_id) for lease in leases]
