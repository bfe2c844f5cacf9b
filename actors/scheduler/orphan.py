"""A job whose scheduler was lost: ended with a clear error, with every lease back and nothing finished lost.

A new incarnation knows nothing of what was ready or running, so it does not go on with the job. All that
outlives the lost one is which run there was and who waits for its end.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.scheduler.closing import RunTotals
from messages._base import SCHEDULER, STORAGE, TASK_ADMISSION, TELEMETRY, WORKER, ActorName, Outgoing
from messages.plan import JobPlan
from messages.storage import RowGroupStored
from messages.task_admission import AwaitTaskLeases, ReturnTaskLeases, TaskLeaseReturn, TaskLeasesDecided
from messages.tasks import TaskOutcome
from messages.telemetry import Event, RecordEvents
from messages.worker import CancelTasks

_SHUTDOWN = TaskOutcome("shutdown")
_ERROR = "the scheduler was lost while the job ran; what had finished is stored"


class Orphan(NamedTuple):
    """What outlives a lost scheduler. `plan` is None where the job had not begun."""

    plan: JobPlan | None
    reply_to: ActorName
    started_at: float
    out: str | None


class OrphanedRun:
    """Brings an orphan's leases home. Asks for nothing new and applies no outcome."""

    def __init__(self, plan: JobPlan, *, out: str | None) -> None:
        self._plan = plan
        self._out = out

    @property
    def run_id(self) -> str:
        """The run that is ended."""
        return self._plan.run_id

    def begin(self) -> list[Outgoing]:
        """Cancel what runs, and ask to be told when every lease is back."""
        return [
            Outgoing(WORKER, CancelTasks(self.run_id)),
            Outgoing(TASK_ADMISSION, AwaitTaskLeases(self.run_id, reply_to=SCHEDULER)),
        ]

    def on_decided(self, message: TaskLeasesDecided) -> list[Outgoing]:
        """Return leases that were granted to the lost scheduler: no worker starts under them."""
        returns = [TaskLeaseReturn(lease, _SHUTDOWN) for lease in message.leases]
        return [Outgoing(TASK_ADMISSION, ReturnTaskLeases(returns))] if returns else []

    def on_stored(self, message: RowGroupStored, now: float) -> list[Outgoing]:
        """Tell of a row group that the lost scheduler had finished."""
        counts = {"row_group": message.row_group, "rows": message.rows, "dropped": message.dropped}
        stored = Event("row_group_checkpointed", now, diagnostics=counts)
        return [Outgoing(TELEMETRY, RecordEvents("scheduler", [stored]))]

    def again(self, actor: ActorName) -> list[Outgoing]:
        """Ask once more, where an actor that was asked has been lost as well."""
        return self.begin() if actor in (TASK_ADMISSION, WORKER, STORAGE) else []

    def totals(self) -> RunTotals:
        """Return what is known of the run; its rows are storage's to count."""
        remedy = "" if self._out is None else f": go on with --resume in {self._out}"
        return RunTotals(
            run_id=self.run_id,
            job_name=self._plan.job_name,
            rows=self._plan.rows,
            first_error=_ERROR + remedy,
            stop_status="failed",
            lost=True,
        )
