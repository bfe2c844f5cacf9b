"""A job that was submitted, from the outside."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from messages._base import SCHEDULER, Message, MessageRejected
from messages.job import JobError, Problem
from messages.scheduler import (
    CancelJob,
    JobAccepted,
    JobFinished,
    JobRejected,
    JobResult,
    SchedulerSnapshot,
    SubmitJob,
)

if TYPE_CHECKING:
    from actors.runtime.router import ReplyBox
    from actors.runtime.system import ActorSystem


class JobHandle:
    """One running or finished job. Methods may be called from any thread."""

    def __init__(self, system: ActorSystem, box: ReplyBox, accepted: JobAccepted) -> None:
        self._system = system
        self._box = box
        self._lock = threading.Lock()
        self._result: JobResult | None = None
        self.run_id = accepted.run_id
        self.rows = accepted.rows
        self.warnings = accepted.warnings

    @classmethod
    def submit(cls, system: ActorSystem, submit: SubmitJob) -> JobHandle:
        """Send `submit` to the scheduler; return when the job has begun.

        Raises:
            JobError: the job was refused.
        """
        box = system.reply_box()
        try:
            system.tell(SCHEDULER, msgspec.structs.replace(submit, reply_to=box.address))
            return cls(system, box, _accepted(box.get()))
        except BaseException:
            box.close()
            raise

    @property
    def done(self) -> bool:
        """Whether the result is known."""
        return self._result is not None

    def progress(self) -> SchedulerSnapshot:
        """Return how far the job is."""
        state = self._system.snapshot(SCHEDULER).state
        assert isinstance(state, SchedulerSnapshot)
        return state

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the scheduler to stop the job (R11). Harmless a second time, or when it has ended."""
        if self._result is None:
            self._system.tell(SCHEDULER, CancelJob(reason))

    def result(self, timeout: float | None = None) -> JobResult:
        """Wait for the job's end and return its result.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
        """
        with self._lock:
            while self._result is None:
                message = self._box.get(timeout)
                if isinstance(message, JobFinished):
                    self._result = message.result
                    self._box.close()
            return self._result


def _accepted(message: Message) -> JobAccepted:
    if isinstance(message, JobAccepted):
        return message
    if isinstance(message, JobRejected):
        raise JobError(message.problems)
    assert isinstance(message, MessageRejected), message
    raise JobError((Problem("", f"{message.actor} could not take the job: {message.detail}"),))
