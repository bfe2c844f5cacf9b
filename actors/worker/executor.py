"""The only way a model call leaves the process: one request lease around every attempt (A1, A11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from actors.worker.attempt import Attempt, AttemptSetting
from actors.worker.attempt_book import AttemptBook
from actors.worker.classification import REFUSED_BY_REPLICA
from actors.worker.failures import RequestFailedError
from actors.worker.lease_desk import LeaseDesk
from actors.worker.model_request import ModelRequest
from messages._base import TELEMETRY, Outgoing
from messages.request_admission import RequestLeaseDenied, RequestLeaseGranted, RequestLeasesReported
from messages.scheduler import ModelUsage
from messages.telemetry import RecordEvents

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.1
"""Before a call is made again; each pause is twice the last. No lease is held meanwhile."""


class ModelRequestExecutor:
    """Makes calls on the worker's event loop; holds what they want to send until the next flush.

    Owns the retries of a provider's failures, and the way from one replica to another. Rate limits and
    timeouts are not tried again here: their task is, later (R4).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        now: Callable[[], float],
        attend: Callable[[], None],
        first_attempt: int = 1,
    ) -> None:
        self._desk = LeaseDesk(loop, attend)
        self._book = AttemptBook(now)
        self._calls: dict[asyncio.Task[Any], None] = {}
        """The clients' tasks, those that their attempts have left behind among them."""
        self._setting = AttemptSetting(loop, self._desk, self._book, self._calls)
        self._last_attempt = first_attempt - 1

    @property
    def waiting(self) -> int:
        """How many attempts wait for a lease."""
        return self._desk.waiting

    @property
    def in_flight(self) -> int:
        """How many attempts have begun under a lease and are not over."""
        return self._book.in_flight

    async def execute(self, request: ModelRequest[T]) -> T:
        """Make a call, in as many attempts as it takes and may take; return its reply.

        A failure of the provider's is followed by another attempt, up to `request.retries` times, unless it
        asks for a longer pause than there would be: that one is left to the task's retry. A replica that
        refuses the key or does not know the model is left out while there is another.

        Raises:
            RequestFailedError: the last attempt was not admitted, or gave no reply.
            asyncio.CancelledError: as `execute_attempt`.
        """
        retries, pause = request.retries, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self.execute_attempt(request)
            except RequestFailedError as error:
                others = _other_replicas(request, error)
                again = error.kind == "provider_failure" and (error.retry_after_seconds or 0.0) <= pause
                if others is None and not (again and retries):
                    raise
            if others is not None:
                request = others
                continue
            retries -= 1
            await asyncio.sleep(pause)
            pause *= 2.0

    async def execute_attempt(self, request: ModelRequest[T]) -> T:
        """Make one attempt under one lease and return its reply.

        Raises:
            RequestFailedError: it was not admitted, or gave no reply; says whether to try again.
            asyncio.CancelledError: it was cancelled, or its scope ended; the lease is back by then.
        """
        if request.scope.ended:
            raise asyncio.CancelledError
        self._last_attempt += 1
        return await Attempt(request, self._last_attempt, self._setting).made()

    def decided(self, message: RequestLeaseGranted | RequestLeaseDenied) -> None:
        """Hand request admission's answer to the attempt that waits for it."""
        self._desk.decided(message)

    def report(self) -> RequestLeasesReported:
        """Return what is held and who waits, for a request admission that has lost its state."""
        return self._desk.report()

    def tell(self, outgoing: Outgoing) -> None:
        """Send a message after what the attempts so far have to send."""
        self._desk.tell(outgoing)

    def take_outgoing(self) -> list[Outgoing]:
        """Return what is to be sent since the last call, events first."""
        outgoing, events = self._desk.take_outgoing(), self._book.take_events()
        if events:
            outgoing.insert(0, Outgoing(TELEMETRY, RecordEvents("request", events)))
        return outgoing

    def usage(self) -> dict[str, ModelUsage]:
        """Return the attempts of tasks per model alias, by how they ended, and their tokens."""
        return self._book.usage()

    def reset_usage(self) -> None:
        """Start counting anew, for the next job."""
        self._book.reset()

    def take_over(self, lost: ModelRequestExecutor) -> None:
        """Go on where a lost worker's executor was; what it had begun and not heard of is over."""
        self._book.take_over(lost._book)
        self._calls |= lost._calls
        for call in lost._calls:
            call.add_done_callback(self._forget)

    def _forget(self, call: asyncio.Task[Any]) -> None:
        self._calls.pop(call, None)

    def cancel_calls(self) -> None:
        """Cancel the clients' tasks, once more those that have been left behind."""
        for call in self._calls:
            call.cancel()


def _other_replicas(request: ModelRequest[T], error: RequestFailedError) -> ModelRequest[T] | None:
    """Return the request without the replica that refused it; None where it did not, or was the last."""
    if error.resource is None or error.status not in REFUSED_BY_REPLICA or len(request.resources) < 2:
        return None
    return request.without(error.resource)
