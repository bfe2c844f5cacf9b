"""The whole actor system on virtual time, as a user has it: submit a job, wait for its end, ask, stop.

Files, logs and user functions are real; only time, threads and who goes first are made up.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from actors.storage.files import FileRuns
from actors.storage.source import FileSources
from actors.system.cores import Ports
from actors.telemetry.sinks import open_log_file
from bench.results import BenchError
from bench.virtual.clock import VirtualClock
from bench.virtual.stage import OnSend, Stage
from messages import Message
from messages._base import SCHEDULER, ActorName
from messages.job import Job
from messages.scheduler import JobAccepted, JobFinished, JobResult, SubmitJob
from messages.supervision import ActorSnapshot, GetSnapshot

_CLIENT: ActorName = "client"


class Happening(NamedTuple):
    """At a time, somebody is told something that no actor has sent."""

    at: float
    to: ActorName
    message: Message


class VirtualSystem:
    """Six actors. `seed` decides who goes first wherever several could; `on_send` as in the router."""

    def __init__(self, *, seed: int = 0, on_send: OnSend | None = None) -> None:
        clock = VirtualClock()
        ports = Ports(
            now=clock.now,
            open_log=open_log_file,
            open_system_log=None,
            runs=FileRuns(),
            sources=FileSources(),
            run_ids=(f"run-{number}" for number in itertools.count(1)),
        )
        self._stage = Stage(ports, clock, Random(seed))
        self._answers: list[Message] = []
        self._stage.router.on_send = on_send
        self._stage.router.register(_CLIENT, self._answered)

    def run(self, job: Job, log: Path, happenings: Sequence[Happening] = ()) -> JobResult:
        """Run a job and log it; return its result. happenings: what is told whom while it runs.

        Raises:
            BenchError: the job was refused, or everything stands still before it has ended.
        """
        for at, to, message in happenings:
            self._stage.at_time(at, partial(self._tell, to, message))
        answer = self._ask(SCHEDULER, SubmitJob(job, log=str(log), reply_to=_CLIENT))
        if not isinstance(answer, JobFinished):
            raise BenchError(f"{job.name} did not end: {answer}")
        self._stage.run()
        return answer.result

    def snapshot(self, actor: ActorName) -> ActorSnapshot:
        """Return what an actor says of itself.

        Raises:
            BenchError: it has stopped.
        """
        answer = self._ask(actor, GetSnapshot(reply_to=_CLIENT))
        if not isinstance(answer, ActorSnapshot):
            raise BenchError(f"{actor} does not answer: {answer}")
        return answer

    def stop(self) -> None:
        """Stop the actors, the last one started first."""
        self._stage.stop()

    def _ask(self, actor: ActorName, question: Message) -> Message | None:
        """Return the last word of an actor on a question; None where nothing happens any more before it."""
        self._answers.clear()
        self._tell(actor, question)
        self._stage.run(lambda: bool(self._answers) and not isinstance(self._answers[-1], JobAccepted))
        return self._answers[-1] if self._answers else None

    def _tell(self, actor: ActorName, message: Message) -> None:
        self._stage.router.send(_CLIENT, actor, [message])

    def _answered(self, messages: list[Message]) -> bool:
        self._answers += messages
        return True
