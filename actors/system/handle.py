"""A job that was submitted, from the outside."""

from __future__ import annotations

import contextlib
import threading
import time

import msgspec

from actors.runtime.client import Client
from actors.runtime.router import ReplyBox, UnreachableError
from messages._base import SCHEDULER, Message, MessageRejected
from messages.job import JobError, Problem
from messages.scheduler import (
    CancelJob,
    JobAccepted,
    JobCancelling,
    JobFinished,
    JobRejected,
    JobResult,
    SchedulerSnapshot,
    SubmitJob,
)

END_SECONDS = 20.0
"""How long to wait for the end of a job that was cancelled because its caller was interrupted."""


class JobHandle:
    """One running or finished job. Methods may be called from any thread."""

    def __init__(self, client: Client, box: ReplyBox, accepted: JobAccepted) -> None:
        self._client = client
        self._box = box
        self._lock = threading.Lock()
        self._result: JobResult | None = None
        self.run_id = accepted.run_id
        self.rows = accepted.rows
        self.warnings = accepted.warnings

    @classmethod
    def submit(cls, client: Client, submit: SubmitJob) -> JobHandle:
        """Send `submit` to the scheduler; return when the job has begun.

        An exception while waiting, such as KeyboardInterrupt, cancels the job first.

        Raises:
            JobError: the job was refused.
            UnreachableError: there is no scheduler, or the system has stopped.
        """
        box = client.reply_box()
        try:
            _send(client, msgspec.structs.replace(submit, reply_to=box.address))
            return cls(client, box, _accepted(box.get()))
        except (JobError, UnreachableError):
            box.close()
            raise
        except BaseException:
            _withdraw(client, box)
            box.close()
            raise

    @property
    def done(self) -> bool:
        """Whether the job has ended."""
        try:
            self.result(timeout=0.0)
        except TimeoutError:
            return self._result is not None
        return True

    def progress(self) -> SchedulerSnapshot:
        """Return how far the job is."""
        state = self._client.snapshot(SCHEDULER).state
        assert isinstance(state, SchedulerSnapshot)
        return state

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the scheduler to stop the job (R11). Harmless a second time, or when it has ended."""
        if self._result is None:
            self._client.tell(SCHEDULER, CancelJob(reason, submitted_by=self._box.address))

    def result(self, timeout: float | None = None) -> JobResult:
        """Wait for the job's end and return its result.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
            UnreachableError: the system has stopped, and the job's end was never told.
        """
        until = None if timeout is None else time.monotonic() + timeout
        # Two may wait, and the one who waits for ever must not hold the other beyond its time.
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError(f"run {self.run_id} has not ended within {timeout} s")
        try:
            while self._result is None:
                message = self._box.get(None if until is None else max(0.0, until - time.monotonic()))
                if isinstance(message, JobFinished):
                    self._result = message.result
                    self._box.close()
            return self._result
        finally:
            self._lock.release()


def _send(client: Client, submit: SubmitJob) -> None:
    if not client.tell(SCHEDULER, submit):
        raise UnreachableError(f"job {submit.job.name!r} was not submitted: no scheduler runs here")


def _accepted(message: Message) -> JobAccepted:
    if isinstance(message, JobAccepted):
        return message
    if isinstance(message, JobRejected):
        raise JobError(message.problems)
    assert isinstance(message, MessageRejected), message
    raise JobError((Problem("", f"{message.actor} could not take the job: {message.detail}"),))


def _withdraw(client: Client, box: ReplyBox) -> None:
    """Cancel a job whose submission was interrupted, and wait for its end, unless it is refused."""
    cancel = CancelJob("its submission was interrupted", submitted_by=box.address, reply_to=box.address)
    client.tell(SCHEDULER, cancel)
    with contextlib.suppress(TimeoutError, UnreachableError):
        # What was sent before the cancel may have been lost by the interrupt; what it is answered is not.
        while not isinstance(answer := box.get(END_SECONDS), JobFinished):
            if isinstance(answer, JobCancelling) and answer.run_id is None:
                return
