"""Leasehold's side of request admission: a client that takes and returns leases through the actor."""

from __future__ import annotations

import queue
from pathlib import Path
from tempfile import TemporaryDirectory

from actors import ActorSystem
from bench.evidence import leases_left
from bench.job_runs import Telemetry
from bench.noop_jobs import CAPACITY
from bench.results import BenchError, Run
from bench.stopwatch import Stopwatch
from messages import Message
from messages._base import REQUEST_ADMISSION, TELEMETRY
from messages.request_admission import (
    AcquireRequestLease,
    RegisterRequestResources,
    RequestAdmissionItem,
    RequestEventContext,
    RequestGroupSpec,
    RequestLeaseGranted,
    RequestLeaseReturned,
    RequestOutcome,
    RequestResourceSpec,
    RequestResourcesRegistered,
    ReturnRequestLease,
)
from messages.tasks import RequestResourceKey, RuntimeCorrelation

_CLIENT = "bench"
_RESOURCE = RequestResourceKey("bench", "model", "chat")
_CORRELATION = RuntimeCorrelation("bench", 0, 0, "c0", "cell", "model", "0" * 12, 1)
_GROUP = RequestGroupSpec("c0")
_SUCCESS = RequestOutcome("success")
_PATIENCE_SECONDS = 30.0


class RequestClient:
    """Stands where a worker would: what request admission sends it waits in a queue."""

    def __init__(self, system: ActorSystem) -> None:
        self._router = system.router
        self._inbox: queue.SimpleQueue[list[Message]] = queue.SimpleQueue()
        self._router.register(_CLIENT, self._deliver)
        self._last_attempt = 0

    def register(self) -> None:
        """Make the one resource known, with room for a whole batch."""
        spec = RequestResourceSpec(_RESOURCE, CAPACITY)
        self._send([RegisterRequestResources("bench", (spec,), reply_to=_CLIENT)])
        self._expect(1, RequestResourcesRegistered)

    def cycle(self, leases: int) -> int:
        """Acquire and return so many leases, a batch at a time; return how many were granted.

        A batch's returns and the next batch's asks go as one mailbox entry, as a busy worker sends them.
        """
        granted = 0
        returns: list[Message] = []
        while granted < leases:
            batch = min(CAPACITY, leases - granted)
            self._send([*returns, *(self._ask() for _ in range(batch))])
            returns = [self._return(grant) for grant in self._expect(batch, RequestLeaseGranted)]
            granted += batch
        last = returns.pop()
        assert isinstance(last, ReturnRequestLease)
        answered = ReturnRequestLease(last.lease, last.outcome, last.event_context, reply_to=_CLIENT)
        self._send([*returns, answered])
        self._expect(1, RequestLeaseReturned)
        return granted

    def _ask(self) -> AcquireRequestLease:
        self._last_attempt += 1
        context = RequestEventContext(_CORRELATION, self._last_attempt)
        return AcquireRequestLease(RequestAdmissionItem(_RESOURCE, _GROUP, None, context), reply_to=_CLIENT)

    def _return(self, granted: Message) -> ReturnRequestLease:
        assert isinstance(granted, RequestLeaseGranted)
        context = RequestEventContext(_CORRELATION, granted.request_attempt_id)
        return ReturnRequestLease(granted.lease, _SUCCESS, context)

    def _send(self, messages: list[Message]) -> None:
        self._router.send(_CLIENT, REQUEST_ADMISSION, messages)

    def _deliver(self, messages: list[Message]) -> bool:
        self._inbox.put(messages)
        return True

    def _expect(self, count: int, kind: type[Message]) -> list[Message]:
        received: list[Message] = []
        while len(received) < count:
            try:
                received += self._inbox.get(timeout=_PATIENCE_SECONDS)
            except queue.Empty:
                raise BenchError(f"request admission sent {len(received)} of {count} answers") from None
        unexpected = {type(message).__name__ for message in received if type(message) is not kind}
        if unexpected or len(received) > count:
            raise BenchError(f"request admission sent {len(received)} of {count} answers, also {unexpected}")
        return received


def run_request_admission(tasks: int, *, telemetry: Telemetry) -> Run:
    """Take and return `tasks` uncontended leases through the real actor.

    Raises:
        BenchError: an ask was denied or not answered.
    """
    with TemporaryDirectory(prefix="leasehold-bench-") as folder:
        log = Path(folder, "actors.jsonl") if telemetry == "log" else None
        with ActorSystem.start(
            actors=(TELEMETRY, REQUEST_ADMISSION), log=log, observing=telemetry != "off"
        ) as system:
            client = RequestClient(system)
            client.register()
            with Stopwatch() as watch:
                granted = client.cycle(tasks)
            left = leases_left(system, (REQUEST_ADMISSION,))
    return Run(granted, watch.wall_seconds, watch.cpu_seconds, left)
