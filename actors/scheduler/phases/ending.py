"""A job whose work is over: released, counted, stored and logged, one step at a time; then its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.scheduler.closing import Closing
from actors.scheduler.phases.phase import Desk, Handlers, Orphan, Phase, answer, log_line
from messages._base import STORAGE, ActorName, Outgoing
from messages.request_admission import RequestResourcesRegistered
from messages.scheduler import JobFinished, SchedulerSnapshot
from messages.storage import CloseRun, RunClosed, StorageFailed
from messages.supervision import ActorRestarted, HandlerFailed
from messages.telemetry import CapacityPlanReported, RunLogClosed
from messages.worker import JobReleased


class Ending(Phase):
    """The chain of `Closing`, message by message. `late` are the run's own messages that may still come."""

    name = "closing"

    def __init__(
        self,
        desk: Desk,
        closing: Closing,
        *,
        reply_to: ActorName,
        orphan: Orphan | None,
        snapshot: Callable[[], SchedulerSnapshot],
        late: Handlers,
    ) -> None:
        super().__init__(desk, run_id=closing.run_id, reply_to=reply_to)
        self._closing = closing
        self._orphan = orphan
        self._snapshot = snapshot
        steps: Handlers = {
            JobReleased: self._step,
            RequestResourcesRegistered: self._step,
            CapacityPlanReported: self._step,
            RunClosed: self._step,
            RunLogClosed: self._step,
            StorageFailed: self._storage_failed,
            HandlerFailed: self._handler_failed,
            ActorRestarted: self._restarted,
        }
        self.handlers |= late | steps

    @property
    def orphan(self) -> Orphan | None:
        """The run that is being closed, with its result once that is told."""
        return None if self._orphan is None else self._orphan._replace(result=self._closing.told)

    def begin(self, now: float) -> list[Outgoing]:
        """Take the first step."""
        return self._advance(now)

    def snapshot(self) -> SchedulerSnapshot:
        """Return how far the job came."""
        return self._snapshot()

    def _step(self, message: Any, now: float) -> list[Outgoing]:
        if not self._closing.is_answered_by(message):
            return []
        self._closing.note(message)
        return self._advance(now)

    def _storage_failed(self, message: StorageFailed, now: float) -> list[Outgoing]:
        if message.row_group is not None or not self._closing.awaits(STORAGE, CloseRun.__name__):
            return []
        return self._pass_over(str(message.problem), now)

    def _handler_failed(self, message: HandlerFailed, now: float) -> list[Outgoing]:
        if not self._closing.awaits(message.actor, message.message_type):
            return []
        return self._pass_over(
            f"actor {message.actor} failed on {message.message_type}: {message.error}", now
        )

    def _restarted(self, message: ActorRestarted, _now: float) -> list[Outgoing]:
        return self._closing.repeat_for(message.actor)

    def _pass_over(self, reason: str, now: float) -> list[Outgoing]:
        self._closing.pass_over(reason)
        return self._advance(now)

    def _advance(self, now: float) -> list[Outgoing]:
        outgoing = self._closing.next_step(now)
        if outgoing:
            return outgoing
        self.next = Phase(self.desk)
        result = self._closing.result(now)
        return [
            log_line(now, "info", "job_finished", run_id=result.run_id, status=result.status),
            *answer(self.reply_to, JobFinished(result)),
        ]
