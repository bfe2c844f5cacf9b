"""One attempt: asks for its lease, makes the call under it, and gives it back exactly once (A1, A11).

The provider client runs as an asyncio task of its own and is not trusted: it may swallow a cancel, answer
late, or never. Whatever ends the attempt first, a reply, an exception, a clock, a cancel, settles it: the
lease goes back in that very step, and what comes of the client afterwards is dropped.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any, Generic, NamedTuple, TypeVar

from actors.worker.attempt_book import AttemptBook
from actors.worker.classification import RETRYABLE, Finding, classify, tokens_of
from actors.worker.failures import RequestFailedError
from actors.worker.lease_desk import LeaseDesk
from actors.worker.model_request import ModelRequest
from actors.worker.providers.base import on_request_sent
from messages.request_admission import (
    RequestAdmissionDecision,
    RequestAdmissionItem,
    RequestEventContext,
    RequestLease,
    RequestOutcome,
)

T = TypeVar("T")

_DENIED_FOR_NOW = frozenset(
    {"queue_timeout", "cooldown", "no_capacity", "queued_waiters_ahead", "circuit_open", "budget"}
)


class AttemptSetting(NamedTuple):
    """What every attempt of a worker works with. `calls` keeps hold of client tasks until they end."""

    loop: asyncio.AbstractEventLoop
    desk: LeaseDesk
    book: AttemptBook
    calls: dict[asyncio.Task[Any], None]


class Attempt(Generic[T]):
    """One attempt of a request, in the worker's event loop. `made` is awaited once.

    Three clocks, never mixed: request admission's wait is the lease desk's; `_began` until `_sent_at` is
    the wait for a connection, of a client that reports sending; from `_sent_at` on it is the provider's time.
    """

    def __init__(self, request: ModelRequest[T], number: int, setting: AttemptSetting) -> None:
        self._request = request
        self._context = RequestEventContext(request.correlation, number)
        self._loop, self._desk, self._book, self._calls = setting
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._asked = self._desk.ask(self._item())
        self._lease: RequestLease | None = None
        self._call: asyncio.Task[T] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._settled = False
        self._reports_sending = False
        self._began = 0.0
        self._sent_at: float | None = None
        self._failure: RequestFailedError | None = None

    async def made(self) -> T:
        """Return the reply.

        Raises:
            RequestFailedError: the attempt was not admitted, or gave no reply.
            asyncio.CancelledError: it was cancelled or given up; its lease has been returned by then.
        """
        self._request.scope.enter(self)
        try:
            self._begin(await self._asked)
            await self._over
        except asyncio.CancelledError:
            self.give_up()
            raise
        finally:
            self._request.scope.leave(self)
        if self._failure is not None:
            raise self._failure
        assert self._call is not None
        return self._call.result()

    @property
    def end_of_call(self) -> asyncio.Future[None] | None:
        """What is done once the call under the lease is over; None where no call is under way."""
        return None if self._lease is None or self._settled else self._over

    def give_up(self) -> None:
        """End the attempt now; whoever waits for it is cancelled. Does nothing to one that is over."""
        if self._settled:
            return
        if self._lease is None:
            self._settled = True
            self._desk.give_up(self._asked, self._context)
            return
        overdue = self._request.scope.is_overdue()
        self._over.cancel()
        self._settle(Finding("local_timeout" if overdue else "local_cancelled", ""))

    # -- under the lease -------------------------------------------------------------------------------

    def _item(self) -> RequestAdmissionItem:
        request = self._request
        return RequestAdmissionItem(
            resource=request.resources[0],
            group=request.group,
            queue_wait_timeout=request.queue_timeout_seconds,
            event_context=self._context,
            replicas=request.resources[1:],
            input_tokens=request.input_tokens,
            output_tokens=request.output_tokens,
        )

    def _begin(self, decision: RequestAdmissionDecision) -> None:
        if self._settled:
            # Given up after the grant and before this step; the lease is back.
            raise asyncio.CancelledError
        if not isinstance(decision, RequestLease):
            text = f"{self._request.resources[0].name} was not admitted: {decision.reason}"
            raise RequestFailedError(
                decision.reason,
                f"{text} ({decision.message})" if decision.message else text,
                retryable=decision.reason in _DENIED_FOR_NOW,
                retry_after_seconds=decision.retry_after_seconds,
            )
        self._lease = decision
        self._book.started(self._request.alias, decision, self._context)
        self._began = self._loop.time()
        self._timer = self._loop.call_at(self._began + self._request.timeout_seconds, self._time_is_up)
        context = copy_context()
        context.run(on_request_sent.set, self._note_sent)
        self._call = self._loop.create_task(self._called(decision), context=context)
        self._calls[self._call] = None
        self._call.add_done_callback(self._returned)

    async def _called(self, lease: RequestLease) -> T:
        """Make the call: all of it that touches the client."""
        client = self._request.clients[lease.resource.provider]
        self._reports_sending = getattr(client, "reports_sending", False) is True
        if not self._reports_sending:
            self._note_sent()
        return await self._request.call(client)

    def _note_sent(self) -> None:
        """Note the moment alone, the first time: a client may say so from a thread of its own."""
        if self._sent_at is None:
            self._sent_at = self._loop.time()

    def _time_is_up(self) -> None:
        seconds = self._request.timeout_seconds
        if self._sent_at is None:
            self._fail(Finding("provider_failure", f"no connection within {seconds:g} s", sent=False))
        elif (until := self._sent_at + seconds) > self._loop.time():
            self._timer = self._loop.call_at(until, self._time_is_up)  # sent meanwhile: the time begins there
        else:
            self._fail(Finding("provider_timeout", f"no reply within {seconds:g} s"))

    def _returned(self, call: asyncio.Task[T]) -> None:
        """Take what the client's task ended with; drop it where the attempt is over."""
        self._calls.pop(call, None)
        # Asked for in any case: asyncio warns of an exception that nobody has seen.
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        if self._settled or self._lease is None:
            return
        if error is not None:
            statuses = self._request.overload_statuses.get(self._lease.resource.provider, ())
            self._fail(classify(error, statuses), error)
            return
        reply, expected = call.result(), self._request.expects
        if isinstance(reply, expected):
            self._settle(Finding("success", ""), *tokens_of(reply))
        else:
            text = f"the provider client returned {type(reply).__name__}, not {expected.__name__}"
            self._fail(Finding("unexpected_exception", text))

    # -- the end -----------------------------------------------------------------------------------------

    def _fail(self, found: Finding, cause: BaseException | None = None) -> None:
        assert self._lease is not None
        self._failure = RequestFailedError(
            found.kind,
            f"model {self._request.alias}: {found.text}",
            retryable=found.kind in RETRYABLE,
            retry_after_seconds=found.retry_after_seconds,
            status=found.status,
            resource=self._lease.resource,
            detail=found.text,
        )
        self._failure.__cause__ = cause
        self._settle(found)

    def _settle(
        self, found: Finding, input_tokens: int | None = None, output_tokens: int | None = None
    ) -> None:
        """End the attempt: tell it, return its lease, let go of the client."""
        assert self._lease is not None
        assert self._call is not None
        assert self._timer is not None
        self._settled = True
        self._timer.cancel()
        now, sent_at = self._loop.time(), self._sent_at
        # A client that reports sending and did not has sent nothing, unless it has an answer to show.
        answered = found.kind == "success" or found.status is not None
        sent = found.sent and (answered or sent_at is not None)
        outcome = RequestOutcome(
            found.kind,
            found.retry_after_seconds,
            found.status,
            duration_seconds=_seconds(self._began if sent_at is None else sent_at, now) if sent else None,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            sent=sent,
        )
        connection = _seconds(self._began, now if sent_at is None else sent_at)
        self._book.completed(
            self._lease, self._context, outcome, connection if self._reports_sending else None
        )
        self._desk.give_back(self._lease, outcome, self._context)
        self._call.cancel()
        if not self._over.done():
            self._over.set_result(None)


def _seconds(start: float, end: float) -> float:
    return round(max(0.0, end - start), 6)
