"""The only way a model call leaves the process: one request lease around every attempt (A1, A11)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from actors.worker.failures import RequestFailedError
from actors.worker.providers.base import ProviderError
from messages._base import REQUEST_ADMISSION, TELEMETRY, WORKER, Outgoing
from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    HeldRequestLease,
    RequestAdmissionDenied,
    RequestAdmissionItem,
    RequestEventContext,
    RequestGroupSpec,
    RequestLease,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestLeasesReported,
    RequestOutcome,
    ReturnRequestLease,
)
from messages.scheduler import ModelUsage
from messages.tasks import RequestResourceKey, RuntimeCorrelation
from messages.telemetry import Event, EventKind, RecordEvents

T = TypeVar("T")

_RETRYABLE = frozenset({"rate_limited", "provider_failure", "provider_timeout", "local_timeout"})
_DENIED_FOR_NOW = frozenset({"queue_timeout", "cooldown", "no_capacity", "queued_waiters_ahead"})


class _Asking(NamedTuple):
    """An attempt that waits for its answer, and what it asked."""

    answer: asyncio.Future[RequestLease | RequestAdmissionDenied]
    message: AcquireRequestLease


class ModelRequestExecutor:
    """Makes attempts on the worker's event loop; holds what they want to send until the next flush."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        now: Callable[[], float],
        attend: Callable[[], None],
        first_attempt: int = 1,
    ) -> None:
        self._loop = loop
        self._now = now
        self._attend = attend
        self._asking: dict[int, _Asking] = {}
        self._held: dict[int, HeldRequestLease] = {}
        self._outgoing: list[Outgoing] = []
        self._events: list[Event] = []
        self._usage: dict[str, Counter[str]] = {}
        self._last_attempt = first_attempt - 1
        self._in_flight: dict[int, str] = {}

    @property
    def waiting(self) -> int:
        """How many attempts wait for a lease."""
        return len(self._asking)

    @property
    def in_flight(self) -> int:
        """How many attempts have been sent and are not over."""
        return len(self._in_flight)

    def take_over(self, lost: ModelRequestExecutor) -> None:
        """Go on counting where a lost worker's executor was; what it had sent and not heard of is over."""
        self._usage = lost._usage
        for alias in lost._in_flight.values():
            self._usage.setdefault(alias, Counter())["local_cancelled"] += 1
        lost._usage = {}

    def usage(self) -> dict[str, ModelUsage]:
        """Return attempts per model alias, by how they ended."""
        return {
            alias: ModelUsage(counts.total(), dict(counts)) for alias, counts in sorted(self._usage.items())
        }

    def reset_usage(self) -> None:
        """Start counting anew, for the next job."""
        self._usage.clear()

    def take_outgoing(self) -> list[Outgoing]:
        """Return what is to be sent since the last call, events first."""
        outgoing, self._outgoing = self._outgoing, []
        if self._events:
            outgoing.insert(0, Outgoing(TELEMETRY, RecordEvents("request", self._events)))
            self._events = []
        return outgoing

    def decided(self, message: RequestLeaseGranted | RequestLeaseDenied) -> None:
        """Hand an answer to the attempt that waits for it; give back a lease that nobody wants (A7)."""
        asking = self._asking.pop(message.request_attempt_id, None)
        if asking is None:
            if isinstance(message, RequestLeaseGranted) and message.event_context is not None:
                # Granted to an incarnation that was lost before it heard of it.
                self._give_back(message.lease, RequestOutcome("local_cancelled"), message.event_context)
            return
        context = asking.message.item.event_context
        decision = message.lease if isinstance(message, RequestLeaseGranted) else message.denied
        if isinstance(decision, RequestLease):
            self._held[decision.lease_id] = HeldRequestLease(decision, context)
        if not asking.answer.done():
            asking.answer.set_result(decision)
        elif isinstance(decision, RequestLease):
            self._give_back(decision, RequestOutcome("local_cancelled"), context)

    def report(self) -> RequestLeasesReported:
        """Return what is held and who waits, for a request admission that has lost its state."""
        waiting = [asking.message for asking in self._asking.values() if not asking.answer.done()]
        return RequestLeasesReported(list(self._held.values()), waiting)

    async def execute_attempt(
        self,
        call: Callable[[], Awaitable[T]],
        *,
        alias: str,
        resource: RequestResourceKey,
        correlation: RuntimeCorrelation,
        timeout_seconds: float,
        queue_timeout_seconds: float | None,
    ) -> T:
        """Make one call under one lease and return its reply.

        Raises:
            RequestFailedError: the call was not admitted, or gave no reply; says whether to try again.
            asyncio.CancelledError: the task was cancelled; the lease has been returned by then.
        """
        self._last_attempt += 1
        context = RequestEventContext(correlation, self._last_attempt)
        lease = await self._acquire(resource, context, queue_timeout_seconds)
        self._record("model_request_started", lease, context)
        self._in_flight[context.request_attempt_id] = alias
        outcome = RequestOutcome("unexpected_exception")
        try:
            async with asyncio.timeout(timeout_seconds):
                reply = await call()
            outcome = RequestOutcome("success")
        except TimeoutError as error:
            outcome = RequestOutcome("provider_timeout")
            text = f"model {alias} gave no reply within {timeout_seconds:g} s"
            raise RequestFailedError("provider_timeout", text, retryable=True) from error
        except ProviderError as error:
            outcome = _classify(error)
            raise RequestFailedError(
                outcome.kind,
                f"model {alias}: {error}",
                retryable=outcome.kind in _RETRYABLE,
                retry_after_seconds=error.retry_after_seconds,
            ) from error
        except asyncio.CancelledError:
            outcome = RequestOutcome("local_cancelled")
            raise
        except Exception as error:
            text = f"model {alias}: the provider client raised {type(error).__name__}"
            raise RequestFailedError("unexpected_exception", text, retryable=False) from error
        finally:
            del self._in_flight[context.request_attempt_id]
            self._usage.setdefault(alias, Counter())[outcome.kind] += 1
            self._record("model_request_completed", lease, context, outcome.kind)
            self._give_back(lease, outcome, context)
        return reply

    async def _acquire(
        self, resource: RequestResourceKey, context: RequestEventContext, queue_timeout: float | None
    ) -> RequestLease:
        group = RequestGroupSpec(context.correlation.task_column if context.correlation is not None else "")
        item = RequestAdmissionItem(resource, group, queue_timeout, context)
        attempt = context.request_attempt_id
        asking: asyncio.Future[RequestLease | RequestAdmissionDenied] = self._loop.create_future()
        acquire = AcquireRequestLease(item, reply_to=WORKER)
        self._asking[attempt] = _Asking(asking, acquire)
        self._send(Outgoing(REQUEST_ADMISSION, acquire))
        try:
            decision = await asking
        except asyncio.CancelledError:
            if asking.done() and not asking.cancelled() and isinstance(asking.result(), RequestLease):
                # Granted in the same turn as the cancel: nobody else will give it back.
                self._give_back(asking.result(), RequestOutcome("local_cancelled"), context)  # type: ignore[arg-type]
            else:
                self._send(Outgoing(REQUEST_ADMISSION, CancelRequestWait(attempt, context)))
            raise
        if isinstance(decision, RequestLease):
            return decision
        text = f"{resource.name} was not admitted: {decision.reason}"
        raise RequestFailedError(
            decision.reason,
            f"{text} ({decision.message})" if decision.message else text,
            retryable=decision.reason in _DENIED_FOR_NOW,
            retry_after_seconds=decision.retry_after_seconds,
        )

    def _give_back(self, lease: RequestLease, outcome: RequestOutcome, context: RequestEventContext) -> None:
        self._held.pop(lease.lease_id, None)
        self._send(Outgoing(REQUEST_ADMISSION, ReturnRequestLease(lease, outcome, context)))

    def _send(self, outgoing: Outgoing) -> None:
        self._outgoing.append(outgoing)
        self._attend()

    def _record(
        self, kind: EventKind, lease: RequestLease, context: RequestEventContext, outcome: str = ""
    ) -> None:
        self._events.append(
            Event(
                kind,
                self._now(),
                context.correlation,
                request_lease_id=lease.lease_id,
                request_attempt_id=context.request_attempt_id,
                resource=lease.resource.name,
                reason_or_outcome=outcome,
            )
        )


def _classify(error: ProviderError) -> RequestOutcome:
    """Return what a provider's error was, by its status (A11)."""
    status = error.status
    overloaded = status in (429, 529) or (status == 503 and error.retry_after_seconds is not None)
    if overloaded:
        return RequestOutcome("rate_limited", error.retry_after_seconds, status)
    if status is None or status >= 500:
        return RequestOutcome("provider_failure", error.retry_after_seconds, status)
    return RequestOutcome("unexpected_exception", None, status)
