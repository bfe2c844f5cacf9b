"""The worker's core with a runner whose tasks do nothing but take time."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple, TypeAlias

from actors.worker.core import RunnerStatus, WorkerCore
from messages._base import Message, Outgoing
from messages.request_admission import RequestLeaseDenied, RequestLeaseGranted, RequestLeasesReported
from messages.scheduler import ModelUsage
from messages.tasks import TaskOutcome
from messages.worker import JobPrepared, JobUnpreparable, PrepareJob, ProbeModels, TaskStart


class Ending(NamedTuple):
    """How a task ends, and how many seconds after its start."""

    seconds: float
    outcome: TaskOutcome


Endings: TypeAlias = Callable[[TaskStart], Ending]
"""Asked once for every start."""


class TimedRunner:
    """Runs nothing: every task that is started ends when its time is over, or when it is cancelled."""

    def __init__(self, endings: Endings, prepare: Callable[[PrepareJob], JobPrepared]) -> None:
        self._endings = endings
        self._prepare = prepare
        self._coming: list[tuple[float, int, TaskOutcome]] = []
        self.now = 0.0

    def prepare(self, message: PrepareJob) -> JobPrepared | JobUnpreparable:
        """Return what the job was said to come to."""
        return self._prepare(message)

    def probe(self, message: ProbeModels) -> None:
        """Do nothing: there are no models."""

    def start(self, starts: list[TaskStart]) -> list[int]:
        """Begin to let their time pass."""
        for start in starts:
            seconds, outcome = self._endings(start)
            heappush(self._coming, (round(self.now + seconds, 6), start.lease.lease_id, outcome))
        return []

    def cancel_all(self) -> None:
        """End everything that runs, now."""
        self._coming = [(self.now, lease, TaskOutcome("cancelled")) for _, lease, _ in sorted(self._coming)]

    def release(self, run_id: str) -> dict[str, ModelUsage]:
        """Return no usage: there are no models."""
        del run_id
        return {}

    def decided(self, message: RequestLeaseGranted | RequestLeaseDenied) -> None:
        """Do nothing: no task asks for anything."""

    def report(self) -> RequestLeasesReported:
        """Return that nothing is held."""
        return RequestLeasesReported([], [])

    def take_outgoing(self) -> list[Outgoing]:
        """Return nothing."""
        return []

    def status(self) -> RunnerStatus:
        """Return that nothing waits."""
        return RunnerStatus(0, 0, 0, 0, {})

    def next_end(self) -> float | None:
        """Return when the next task ends."""
        return self._coming[0][0] if self._coming else None

    def take_ended(self) -> list[tuple[int, TaskOutcome]]:
        """Return the leases of the tasks whose time is over, and how they ended."""
        ended = []
        while self._coming and self._coming[0][0] <= self.now:
            _, lease, outcome = heappop(self._coming)
            ended.append((lease, outcome))
        return ended


class TimedWorker(WorkerCore):
    """The product's worker core, whose tasks end by its own deadlines and not by an event loop's."""

    def __init__(
        self,
        endings: Endings,
        prepare: Callable[[PrepareJob], JobPrepared],
        lost: WorkerCore | None = None,
    ) -> None:
        super().__init__(generation=lost.generation + 1 if lost else 1)
        self._timed = TimedRunner(endings, prepare)
        self.attach(self._timed)

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one command; what it starts, starts now."""
        self._timed.now = now
        return super().handle(message, now=now)

    def idle(self, *, now: float) -> list[Outgoing]:
        """Return the tokens of the tasks that have ended."""
        self._timed.now = now
        for lease, outcome in self._timed.take_ended():
            self.finished(lease, outcome, now=now)
        return super().idle(now=now)

    def next_deadline(self) -> float | None:
        """Return when the next task ends."""
        return self._timed.next_end()
