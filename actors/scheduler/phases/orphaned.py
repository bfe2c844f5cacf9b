"""A job whose scheduler was lost: ended with a clear error, with every lease back and nothing finished lost.

A new incarnation knows nothing of what was ready or running, so it does not go on with the job. All that
outlives the lost one is which run there was and who waits for its end.
"""

from __future__ import annotations

from actors.scheduler.closing import Closing, RunTotals
from actors.scheduler.phases.ending import Ending
from actors.scheduler.phases.phase import DRAIN_SECONDS, Desk, Orphan, Phase
from actors.scheduler.run import WORKER_LOST
from messages._base import REQUEST_ADMISSION, SCHEDULER, TASK_ADMISSION, TELEMETRY, WORKER, Outgoing
from messages.plan import JobPlan
from messages.request_admission import RegisterRequestResources
from messages.scheduler import SchedulerSnapshot
from messages.storage import RowGroupStored
from messages.supervision import ActorRestarted
from messages.task_admission import (
    AwaitTaskLeases,
    RecoverTaskLeases,
    ReturnTaskLeases,
    TaskAdmissionConfig,
    TaskLeaseReturn,
    TaskLeasesDecided,
    TaskLeasesReturned,
    TaskLeasesSettled,
)
from messages.tasks import TaskOutcome
from messages.telemetry import Event, RecordEvents
from messages.worker import CancelTasks

_SHUTDOWN = TaskOutcome("shutdown")
_ERROR = "the scheduler was lost while the job ran; what had finished is stored"


class Orphaned(Phase):
    """Brings an orphan's leases home. Asks for nothing new and applies no outcome."""

    name = "stopping"

    def __init__(self, desk: Desk, orphan: Orphan, plan: JobPlan) -> None:
        super().__init__(desk, run_id=plan.run_id, reply_to=orphan.reply_to)
        self._of = orphan
        self._plan = plan
        self._drain_by: float | None = None
        self._tokens = {lease.correlation.task_execution_id: lease for lease in orphan.tokens}
        self.handlers |= {
            TaskLeasesDecided: self._decided,
            TaskLeasesReturned: self._returned,
            TaskLeasesSettled: self._settled,
            RowGroupStored: self._stored,
            ActorRestarted: self._restarted,
        }

    @property
    def orphan(self) -> Orphan | None:
        """The same again, should this incarnation be lost too."""
        return self._of._replace(tokens=tuple(self._tokens.values()))

    def begin(self, now: float) -> list[Outgoing]:
        """Cancel what runs, and ask to be told when every lease is back."""
        self._drain_by = now + DRAIN_SECONDS
        return self._ask()

    def idle(self, now: float) -> list[Outgoing]:
        """Close the run all the same when its leases have not come back in time."""
        if self._drain_by is not None and now >= self._drain_by:
            self._end(overdue=True)
        return []

    def next_deadline(self) -> float | None:
        """Return when the run is closed come what may."""
        return self._drain_by

    def _ask(self) -> list[Outgoing]:
        return [
            Outgoing(WORKER, CancelTasks(self._plan.run_id)),
            Outgoing(TASK_ADMISSION, AwaitTaskLeases(self._plan.run_id, reply_to=SCHEDULER)),
        ]

    def _decided(self, message: TaskLeasesDecided, _now: float) -> list[Outgoing]:
        """Return leases that were granted to the lost scheduler: no worker starts under them."""
        self._tokens |= {lease.correlation.task_execution_id: lease for lease in message.leases}
        returns = [TaskLeaseReturn(lease, _SHUTDOWN) for lease in message.leases]
        return [Outgoing(TASK_ADMISSION, ReturnTaskLeases(returns))] if returns else []

    def _returned(self, message: TaskLeasesReturned, _now: float) -> list[Outgoing]:
        """Note which tokens are back."""
        for release in message.releases:
            if release.result.released:
                self._tokens.pop(release.lease.correlation.task_execution_id, None)
        return []

    def _stored(self, message: RowGroupStored, now: float) -> list[Outgoing]:
        """Tell of a row group that the lost scheduler had finished."""
        counts = {"row_group": message.row_group, "rows": message.rows, "dropped": message.dropped}
        stored = Event("row_group_checkpointed", now, diagnostics=counts)
        return [Outgoing(TELEMETRY, RecordEvents("scheduler", [stored]))]

    def _restarted(self, message: ActorRestarted, _now: float) -> list[Outgoing]:
        """Help an actor that has been lost as well to what it has to account for; ask it once more."""
        plan = self._plan
        if message.actor == TASK_ADMISSION:
            config = TaskAdmissionConfig(plan.resource_limits, plan.policy, plan.replicas)
            recover = RecoverTaskLeases(plan.run_id, message.generation, config, list(self._tokens.values()))
            return [Outgoing(TASK_ADMISSION, recover), *self._ask()]
        if message.actor == WORKER:  # whatever it held, nobody returns but us
            returns = [TaskLeaseReturn(lease, WORKER_LOST) for lease in self._tokens.values()]
            return [Outgoing(TASK_ADMISSION, ReturnTaskLeases(returns))] if returns else []
        if message.actor == REQUEST_ADMISSION:
            register = RegisterRequestResources(
                plan.run_id, plan.request_resources, plan.request_admission, reply_to=SCHEDULER
            )
            return [Outgoing(REQUEST_ADMISSION, register)]
        return []

    def _settled(self, _message: TaskLeasesSettled, _now: float) -> list[Outgoing]:
        self._end(overdue=False)
        return []

    def _end(self, *, overdue: bool) -> None:
        closing = Closing(self._totals, started_at=self._of.started_at, overdue=overdue)
        self.next = Ending(
            self.desk,
            closing,
            reply_to=self.reply_to,
            orphan=self._of,
            snapshot=lambda: SchedulerSnapshot(Ending.name, self.run_id),
            late={RowGroupStored: self._stored},
        )

    def _totals(self) -> RunTotals:
        """Return what is known of the run; its rows are storage's to count."""
        remedy = "" if self._of.out is None else f": go on with --resume in {self._of.out}"
        return RunTotals(
            run_id=self._plan.run_id,
            job_name=self._plan.job_name,
            rows=self._plan.rows,
            first_error=_ERROR + remedy,
            stop_status="failed",
            lost=True,
        )


def taken_over(desk: Desk, orphan: Orphan, plan: JobPlan) -> Phase:
    """Return the phase in which the job of a lost scheduler goes on: its last step, if it had ended."""
    result = orphan.result
    if result is None:
        return Orphaned(desk, orphan, plan)
    totals = RunTotals(run_id=plan.run_id, job_name=plan.job_name, rows=plan.rows)
    return Ending(
        desk,
        Closing(lambda: totals, started_at=orphan.started_at, told=result),
        reply_to=orphan.reply_to,
        orphan=orphan,
        snapshot=lambda: SchedulerSnapshot(Ending.name, plan.run_id),
        late={},
    )
