"""No job: waits for one."""

from __future__ import annotations

from actors.scheduler.phases.phase import Desk, Phase
from actors.scheduler.phases.preparing import Preparing
from actors.scheduler.submission import Submission
from messages._base import Outgoing
from messages.scheduler import CheckJob, SubmitJob


class Idle(Phase):
    """Takes the next job."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.handlers[SubmitJob] = self.handlers[CheckJob] = self._submit

    def _submit(self, message: SubmitJob | CheckJob, _now: float) -> list[Outgoing]:
        self.next = Preparing(self.desk, Submission(message, next(self.desk.run_ids)))
        return []
