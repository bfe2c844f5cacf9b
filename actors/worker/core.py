"""Holds the tokens of the tasks that run, and gives each one back exactly once.

Owns the table of held leases. How tasks are run is the runner's question: it is given as a port, so
that a simulator can bring its own. A token leaves the table in the message that returns it; an ending
that comes later finds no token and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from messages._base import TASK_ADMISSION, TELEMETRY, Message, Outgoing
from messages.request_admission import (
    ReportRequestLeases,
    RequestLeaseDenied,
    RequestLeaseGranted,
    RequestLeasesReported,
)
from messages.scheduler import ModelUsage
from messages.task_admission import ReturnTaskLeases, TaskLease, TaskLeaseReturn
from messages.tasks import RuntimeCorrelation, TaskOutcome
from messages.telemetry import Event, RecordEvents, RecordTaskEvents
from messages.worker import (
    CancelTasks,
    ExecuteTasks,
    JobPrepared,
    JobReleased,
    JobUnpreparable,
    PrepareJob,
    ProbeModels,
    ReleaseJob,
    TaskStart,
    WorkerSnapshot,
)


class RunnerStatus(NamedTuple):
    """What a runner says of itself for a snapshot."""

    waiting_for_request_lease: int
    attempts_in_flight: int
    threads_busy: int
    threads_abandoned: int
    models: dict[str, ModelUsage]


class Runner(Protocol):
    """Runs generators. Says how each task ended by `WorkerCore.finished`, at most once per start."""

    def prepare(self, message: PrepareJob) -> JobPrepared | JobUnpreparable:
        """Make a job's generators ready."""
        ...

    def probe(self, message: ProbeModels) -> None:
        """Ask after the health of the job's models; the answer, `ModelsProbed`, is told later on."""
        ...

    def start(self, starts: list[TaskStart]) -> list[int]:
        """Run these tasks; return the leases of those that cannot be started. Never raises or blocks."""
        ...

    def cancel_all(self) -> None:
        """End everything that runs; each task ends as `cancelled`."""
        ...

    def release(self, run_id: str) -> dict[str, ModelUsage]:
        """Forget a job; return what its models were used for."""
        ...

    def decided(self, message: RequestLeaseGranted | RequestLeaseDenied) -> None:
        """Hand request admission's answer to the attempt that asked."""
        ...

    def report(self) -> RequestLeasesReported:
        """Return which request leases are held, and which attempts wait."""
        ...

    def take_outgoing(self) -> list[Outgoing]:
        """Return what attempts want to send, and their events."""
        ...

    def status(self) -> RunnerStatus:
        """Return the runner's counts."""
        ...


class WorkerCore:
    """One worker's tokens."""

    def __init__(self, *, generation: int = 1) -> None:
        self._generation = generation
        self._runner: Runner | None = None
        self._run_id: str | None = None
        self._held: dict[int, TaskLease] = {}
        self._returns: list[TaskLeaseReturn] = []
        self._moments: list[float] = []
        self._unspawned: list[TaskLeaseReturn] = []
        self._handlers: dict[type[Message], Callable[[Any, float], list[Outgoing]]] = {
            PrepareJob: self._prepare,
            ProbeModels: self._probe,
            ExecuteTasks: self._execute,
            CancelTasks: self._cancel,
            ReleaseJob: self._release,
            RequestLeaseGranted: self._decided,
            RequestLeaseDenied: self._decided,
            ReportRequestLeases: self._report,
        }

    def attach(self, runner: Runner) -> None:
        """Give the core the runner that it starts tasks with."""
        self._runner = runner

    @property
    def accepts(self) -> frozenset[type[Message]]:
        """The worker's commands, and request admission's answers."""
        return frozenset(self._handlers)

    @property
    def generation(self) -> int:
        """Which incarnation of the worker this is."""
        return self._generation

    @property
    def held(self) -> int:
        """How many tokens are held."""
        return len(self._held)

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one command."""
        return self._handlers[type(message)](message, now)

    def finished(self, lease_id: int, outcome: TaskOutcome, *, now: float) -> None:
        """Note how a task ended, and return its token with the next batch (T2, T3)."""
        lease = self._held.pop(lease_id, None)
        if lease is None:
            return
        self._returns.append(TaskLeaseReturn(lease, outcome))
        self._moments.append(now)

    def idle(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - the shells' common interface
        """Return the batch of tokens, and what the attempts have to send."""
        outgoing = self._port.take_outgoing()
        if self._unspawned:
            outgoing.append(Outgoing(TASK_ADMISSION, ReturnTaskLeases(self._unspawned)))
            self._unspawned = []
        if self._returns:
            returns, self._returns = self._returns, []
            moments, self._moments = self._moments, []
            outgoing += _completions(returns, moments)
            outgoing.append(Outgoing(TASK_ADMISSION, ReturnTaskLeases(returns)))
        return outgoing

    def next_deadline(self) -> float | None:
        """Return None: what is timed here is timed by the event loop."""
        return None

    def close(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - the shells' common interface
        """Return nothing: there is nothing to let go of."""
        return []

    def snapshot(self, *, now: float) -> WorkerSnapshot:  # noqa: ARG002 - as above
        """Return the tokens held and the runner's counts."""
        status = self._port.status()
        return WorkerSnapshot(
            run_id=self._run_id,
            tokens_held=len(self._held),
            waiting_for_request_lease=status.waiting_for_request_lease,
            attempts_in_flight=status.attempts_in_flight,
            threads_busy=status.threads_busy,
            threads_abandoned=status.threads_abandoned,
            models=status.models,
        )

    # -- commands ----------------------------------------------------------------------------------

    @property
    def _port(self) -> Runner:
        assert self._runner is not None, "the shell attaches a runner before the first message"
        return self._runner

    def _prepare(self, message: PrepareJob, _now: float) -> list[Outgoing]:
        if message.generation not in (0, self._generation):
            return []  # meant for one that was lost in its turn
        self._run_id = message.run_id
        answer = self._port.prepare(message)
        if isinstance(answer, JobPrepared):
            answer = msgspec.structs.replace(answer, generation=self._generation)
        return [Outgoing(message.reply_to, answer)]

    def _probe(self, message: ProbeModels, _now: float) -> list[Outgoing]:
        self._port.probe(message)
        return []

    def _execute(self, message: ExecuteTasks, now: float) -> list[Outgoing]:
        if message.generation != self._generation:
            return []  # sent to one that was lost, whose tokens the scheduler returns
        leases = [start.lease for start in message.starts]
        self._held.update({lease.lease_id: lease for lease in leases})
        failed = self._port.start(message.starts)
        unstarted = [Event("worker_spawn_failed", now, *self._unstarted(lease_id)) for lease_id in failed]
        if unstarted:
            leases = [lease for lease in leases if lease.lease_id in self._held]
        facts = [Outgoing(TELEMETRY, RecordEvents("scheduler", unstarted))] if unstarted else []
        if not leases:
            return facts
        spawned = RecordTaskEvents(
            "worker_spawned",
            now,
            [lease.correlation for lease in leases],
            [lease.lease_id for lease in leases],
        )
        return [*facts, Outgoing(TELEMETRY, spawned)]

    def _unstarted(self, lease_id: int) -> tuple[RuntimeCorrelation, int]:
        """Give back the token of a task that could not be started; return what its event is about."""
        lease = self._held.pop(lease_id)
        self._unspawned.append(TaskLeaseReturn(lease, TaskOutcome("worker_spawn_failed")))
        return lease.correlation, lease_id

    def _cancel(self, _message: CancelTasks, _now: float) -> list[Outgoing]:
        self._port.cancel_all()
        return []

    def _release(self, message: ReleaseJob, _now: float) -> list[Outgoing]:
        models = self._port.release(message.run_id)
        self._run_id = None
        if not message.reply_to:
            return []
        return [Outgoing(message.reply_to, JobReleased(message.run_id, models))]

    def _report(self, message: ReportRequestLeases, _now: float) -> list[Outgoing]:
        # What attempts have asked or returned goes first: the report tells what is true after it.
        return [*self._port.take_outgoing(), Outgoing(message.reply_to, self._port.report())]

    def _decided(self, message: RequestLeaseGranted | RequestLeaseDenied, _now: float) -> list[Outgoing]:
        self._port.decided(message)
        return []


def _completions(returns: list[TaskLeaseReturn], moments: list[float]) -> list[Outgoing]:
    """Return the events of tasks that ended: those with more to say one by one, with what failed."""
    failed = [
        Event(
            "task_completed",
            moment,
            returned.lease.correlation,
            returned.lease.lease_id,
            reason_or_outcome=returned.outcome.kind,
            diagnostics=_diagnostics(returned.outcome),
        )
        for returned, moment in zip(returns, moments, strict=True)
        if returned.outcome.error is not None or returned.outcome.skipped
    ]
    if failed:
        plain = [
            (returned, moment)
            for returned, moment in zip(returns, moments, strict=True)
            if returned.outcome.error is None and not returned.outcome.skipped
        ]
        returns, moments = [returned for returned, _ in plain], [moment for _, moment in plain]
    facts = [Outgoing(TELEMETRY, RecordEvents("scheduler", failed))] if failed else []
    if returns:
        completed = RecordTaskEvents(
            "task_completed",
            moments[-1],
            [returned.lease.correlation for returned in returns],
            [returned.lease.lease_id for returned in returns],
            [returned.outcome.kind for returned in returns],
            moments,
        )
        facts.append(Outgoing(TELEMETRY, completed))
    return facts


def _diagnostics(outcome: TaskOutcome) -> dict[str, Any]:
    """Return what kind of error an outcome has, or that rows were skipped."""
    return {"error": outcome.error.kind} if outcome.error is not None else {"skipped": True}
