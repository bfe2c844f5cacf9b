"""The whole actor system on virtual time: the product's own bodies, cores, messages and log, and no thread.

Only what a task does is made up: it takes as long as it is said to take. The actors take their mailboxes'
entries in turn, always in the same order, and time passes when nobody has anything to do. So a run of many
minutes is over in a second or less, and is the same every time, to the microsecond.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from actors.planning.capacity import describe_capacity
from actors.runtime.body import ActorBody
from actors.runtime.router import Router
from actors.storage.files import FileRuns
from actors.storage.source import FileSources
from actors.system.cores import Ports, core_makers
from actors.telemetry.sinks import open_log_file
from bench.results import BenchError
from bench.virtual.timed_worker import Endings, TimedWorker
from messages import Message
from messages._base import ACTOR_NAMES, SCHEDULER, WORKER, ActorName
from messages.job import Job
from messages.plan import JobPlan
from messages.scheduler import JobFinished, JobResult, SubmitJob
from messages.supervision import ActorSnapshot, DeadlineReached, GetSnapshot
from messages.worker import JobPrepared, PrepareJob

_CLIENT: ActorName = "client"


class VirtualClock:
    """Seconds that pass when somebody says so, in whole microseconds, as the product's clock gives them."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.time

    def to_monotonic(self, run_time: float) -> float:
        """Return the time by which mailboxes keep their deadlines: the same."""
        return run_time


class Happening(NamedTuple):
    """At a time, somebody is told something that no actor has sent."""

    at: float
    to: ActorName
    message: Message


class _Inbox:
    """A mailbox that is read by the system below."""

    def __init__(self, clock: VirtualClock) -> None:
        self.deadline: float | None = None
        self.entries: deque[tuple[float, list[Message]]] = deque()
        self._clock = clock

    @property
    def depth(self) -> int:
        return len(self.entries)

    def empty(self) -> bool:
        return not self.entries

    def oldest_age(self) -> float:
        return self._clock.time - self.entries[0][0] if self.entries else 0.0

    def put(self, messages: list[Message]) -> bool:
        self.entries.append((self._clock.time, messages))
        return True

    def take_due(self) -> bool:
        """Return whether the deadline has come, and forget it then."""
        if self.deadline is None or self.deadline > self._clock.time:
            return False
        self.deadline = None
        return True


class VirtualSystem:
    """Six actors that run one job. `endings` says how long each task takes, and how it ends."""

    def __init__(self, endings: Endings) -> None:
        self._clock = VirtualClock()
        self._router = Router()
        self._inboxes: dict[ActorName, _Inbox] = {}
        self._bodies: dict[ActorName, ActorBody] = {}
        self._answers: list[Message] = []
        self._plan_of: Callable[[PrepareJob], JobPrepared] | None = None
        ports = Ports(
            now=self._clock.now,
            open_log=open_log_file,
            open_system_log=None,
            runs=FileRuns(),
            sources=FileSources(),
            run_ids=(f"run-{number}" for number in itertools.count(1)),
        )
        makers = core_makers(ports)
        makers[WORKER] = lambda lost: TimedWorker(endings, self._prepare, lost)
        for name, make in makers.items():
            inbox = self._inboxes[name] = _Inbox(self._clock)
            self._bodies[name] = ActorBody(name, make(None), self._router, self._clock, inbox, make)
            self._router.register(name, inbox.put)
        self._router.register(_CLIENT, self._answered)

    def run(
        self,
        job: Job,
        plan_of: Callable[[str], JobPlan],
        log: Path,
        happenings: Sequence[Happening] = (),
    ) -> JobResult:
        """Run the job by the plan that is made for its run's id, and log it; return its result.

        happenings: what is told whom while it runs.

        Raises:
            BenchError: the job was refused, or everything stands still before it has ended.
        """
        self._plan_of = lambda message: _prepared(message, plan_of(message.run_id))
        for name in ACTOR_NAMES:
            self._bodies[name].start()
        self._router.send(_CLIENT, SCHEDULER, [SubmitJob(job, log=str(log), reply_to=_CLIENT)])
        coming = deque(sorted(happenings, key=lambda happening: happening.at))
        while True:
            self._let_all_come_to_rest()
            for answer in self._answers:
                if isinstance(answer, JobFinished):
                    return answer.result
            due = [inbox.deadline for inbox in self._inboxes.values() if inbox.deadline is not None]
            due += [happening.at for happening in coming]
            if not due:
                raise BenchError(f"{job.name} did not end: {self._answers}")
            self._clock.time = max(self._clock.time, min(due))
            while coming and coming[0].at <= self._clock.time:
                happening = coming.popleft()
                self._router.send(_CLIENT, happening.to, [happening.message])

    def snapshot(self, actor: ActorName) -> ActorSnapshot:
        """Return what an actor says of itself.

        Raises:
            BenchError: it has stopped.
        """
        self._answers.clear()
        self._router.send(_CLIENT, actor, [GetSnapshot(reply_to=_CLIENT)])
        self._let_all_come_to_rest()
        for answer in self._answers:
            if isinstance(answer, ActorSnapshot):
                return answer
        raise BenchError(f"{actor} does not answer")

    def stop(self) -> None:
        """Stop the actors, the last one started first."""
        for name in reversed(ACTOR_NAMES):
            self._bodies[name].stop()

    def _let_all_come_to_rest(self) -> None:
        busy = True
        while busy:
            busy = False
            for name, inbox in self._inboxes.items():
                if inbox.take_due():
                    busy = True
                    self._bodies[name].take(DeadlineReached())
                elif inbox.entries:
                    busy = True
                    self._bodies[name].take(inbox.entries.popleft()[1])

    def _prepare(self, message: PrepareJob) -> JobPrepared:
        assert self._plan_of is not None
        return self._plan_of(message)

    def _answered(self, messages: list[Message]) -> bool:
        self._answers += messages
        return True


def _prepared(message: PrepareJob, plan: JobPlan) -> JobPrepared:
    return JobPrepared(message.run_id, plan, describe_capacity(message.job, plan))
