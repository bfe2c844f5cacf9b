"""A job that has ended: its worker released, its files completed, its log closed, its result made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from actors.scheduler.run import JobRun
from messages._base import (
    REQUEST_ADMISSION,
    SCHEDULER,
    STORAGE,
    TELEMETRY,
    WORKER,
    ActorName,
    Message,
    Outgoing,
    as_json,
)
from messages.request_admission import RegisterRequestResources, RequestResourcesRegistered
from messages.scheduler import JobResult, JobStatus, ModelUsage
from messages.storage import CloseRun, RunClosed
from messages.telemetry import (
    CapacityPlanReported,
    CloseRunLog,
    Event,
    GetCapacityPlan,
    RecordEvents,
    RunLogClosed,
)
from messages.worker import JobReleased, ReleaseJob

_ANSWERS: dict[type[Message], type[Message]] = {
    ReleaseJob: JobReleased,
    RegisterRequestResources: RequestResourcesRegistered,
    GetCapacityPlan: CapacityPlanReported,
    CloseRun: RunClosed,
    CloseRunLog: RunLogClosed,
}
"""Each step's question and its answer: what another part of the run had asked before is no answer to it."""


class RunTotals(NamedTuple):
    """A run as its result tells of it. With `lost`, who counted is gone and storage is to count anew."""

    run_id: str
    job_name: str
    rows: int
    rows_written: int = 0
    drop_reasons: dict[str, int] = {}
    first_error: str | None = None
    stop_status: JobStatus | None = None
    leased: int = 0
    possibly_billed: int = 0
    skipped: dict[str, int] = {}
    lost: bool = False


def totals_of(run: JobRun) -> RunTotals:
    """Return a run's totals as they are now."""
    return RunTotals(
        run_id=run.plan.run_id,
        job_name=run.plan.job_name,
        rows=run.plan.rows,
        rows_written=run.row_groups.rows_written,
        drop_reasons=dict(run.row_groups.drop_reasons),
        first_error=run.failures.first_error,
        stop_status=run.stop_status,
        leased=run.leased,
        possibly_billed=run.earlier.possibly_billed,
        skipped=dict(run.skips.counts),
    )


class Closing:
    """The chain release -> requests -> capacity plan -> storage -> log. A step that fails is passed over.

    With `told`, the result that a lost scheduler has told the log, only the log is left to be closed.
    """

    def __init__(
        self,
        totals: Callable[[], RunTotals],
        *,
        started_at: float,
        overdue: bool = False,
        told: JobResult | None = None,
    ) -> None:
        self.told = told
        self._totals = totals
        self._started_at = started_at
        self._models: dict[str, ModelUsage] = {}
        self._capacity_plan: dict[str, Any] | None = None
        self._result: JobResult | None = None
        self._overdue = overdue
        self._problem = ""
        self._awaited: Outgoing | None = None
        self._steps = [
            self._release,
            self._settle_requests,
            self._ask_plan,
            self._close_storage,
            self._tell_end,
        ]
        if told is not None:
            self._steps = [self._close_log]

    @property
    def run_id(self) -> str:
        """The run that is closed."""
        return self._totals().run_id

    def next_step(self, now: float) -> list[Outgoing]:
        """Return what to send next; empty when the run is closed."""
        outgoing = self._steps.pop(0)(now) if self._steps else []
        self._awaited = outgoing[-1] if outgoing else None
        return outgoing

    def awaits(self, actor: ActorName, message_type: str) -> bool:
        """Return whether the step under way is this message's."""
        awaited = self._awaited
        return awaited is not None and (awaited.to, type(awaited.message).__name__) == (actor, message_type)

    def is_answered_by(self, message: Message) -> bool:
        """Return whether this is the answer that the step under way waits for."""
        awaited = self._awaited
        return awaited is not None and _ANSWERS.get(type(awaited.message)) is type(message)

    def repeat_for(self, actor: ActorName) -> list[Outgoing]:
        """Return the step under way once more, if it waits for this actor: its answer may be lost."""
        awaited = self._awaited
        return [awaited] if awaited is not None and awaited.to == actor else []

    def pass_over(self, reason: str) -> None:
        """Note why the step under way has failed; a run that storage cannot close has failed itself."""
        if self.awaits(STORAGE, CloseRun.__name__):
            self._problem = reason

    def note(self, message: Any) -> None:
        """Keep what a step answered."""
        if isinstance(message, JobReleased):
            self._models = message.models
        elif isinstance(message, CapacityPlanReported) and message.plan is not None:
            self._capacity_plan = as_json(message.plan)
        elif isinstance(message, RunClosed):
            self._result = message.result

    def result(self, now: float) -> JobResult:
        """Return the job's result: storage's, which has counted what is on disk, where there is one."""
        return self.told or self._result or self._counted(now)

    def _release(self, _now: float) -> list[Outgoing]:
        return [Outgoing(WORKER, ReleaseJob(self.run_id, reply_to=SCHEDULER))]

    def _settle_requests(self, _now: float) -> list[Outgoing]:
        """Withdraw the resources: once that is answered, every earlier return is in the log."""
        withdraw = RegisterRequestResources(self.run_id, (), reply_to=SCHEDULER)
        return [Outgoing(REQUEST_ADMISSION, withdraw)]

    def _ask_plan(self, _now: float) -> list[Outgoing]:
        return [Outgoing(TELEMETRY, GetCapacityPlan(self.run_id, reply_to=SCHEDULER))]

    def _close_storage(self, now: float) -> list[Outgoing]:
        recount = self._totals().lost
        close = CloseRun(self.run_id, self._counted(now), self._capacity_plan, recount, reply_to=SCHEDULER)
        return [Outgoing(STORAGE, close)]

    def _tell_end(self, now: float) -> list[Outgoing]:
        self.told = result = self.result(now)
        counts = {
            "rows_requested": result.rows_requested,
            "rows_written": result.rows_written,
            "rows_dropped": result.rows_dropped,
            "rows_pending": result.rows_pending,
            "wall_seconds": result.wall_seconds,
        }
        completed = Event(
            "scheduler_job_completed",
            now,
            reason_or_outcome=result.status,
            snapshot=self._capacity_plan,
            diagnostics=counts,
        )
        return [Outgoing(TELEMETRY, RecordEvents("scheduler", [completed])), *self._close_log(now)]

    def _close_log(self, _now: float) -> list[Outgoing]:
        return [Outgoing(TELEMETRY, CloseRunLog(self.run_id, reply_to=SCHEDULER))]

    def _counted(self, now: float) -> JobResult:
        run = self._totals()
        dropped = sum(run.drop_reasons.values())
        error = run.first_error
        if self._overdue:
            error = f"{error or 'stopped'}; {run.leased} task leases were not returned in time"
        if self._problem:
            error = f"{error}; then {self._problem}" if error else self._problem
        return JobResult(
            run_id=run.run_id,
            job_name=run.job_name,
            status=self._status(run, dropped),
            rows_requested=run.rows,
            rows_written=run.rows_written,
            rows_dropped=dropped,
            rows_pending=run.rows - run.rows_written - dropped,
            drop_reasons=run.drop_reasons,
            wall_seconds=round(now - self._started_at, 6),
            first_error=error,
            models=self._models,
            possibly_billed=run.possibly_billed,
            skipped=run.skipped,
        )

    def _status(self, run: RunTotals, dropped: int) -> JobStatus:
        if self._overdue or self._problem:
            return "failed"
        if run.stop_status is not None:
            return run.stop_status
        return "partial" if dropped else "succeeded"
