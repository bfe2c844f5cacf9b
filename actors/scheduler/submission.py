"""A job on its way to being run: what has been asked of whom, and what came back.

Opening goes one step at a time, so that a refusal leaves nothing behind that a later step made.
"""

from __future__ import annotations

from typing import Any

import msgspec

from messages._base import REQUEST_ADMISSION, SCHEDULER, STORAGE, TASK_ADMISSION, TELEMETRY, WORKER, Outgoing
from messages.capacity import CapacityPlan
from messages.job import Problem
from messages.request_admission import RegisterRequestResources
from messages.scheduler import CheckJob, SubmitJob
from messages.storage import FilesInspected, InspectFiles, OpenRun
from messages.task_admission import (
    ConfigureTaskAdmission,
    TaskAdmissionConfig,
    TaskAdmissionConfigured,
    TaskAdmissionView,
)
from messages.telemetry import OpenRunLog
from messages.worker import JobPrepared, PrepareJob


class Submission:
    """One `SubmitJob` or `CheckJob` between its arrival and its answer."""

    def __init__(self, message: SubmitJob | CheckJob, run_id: str) -> None:
        self.message = message
        self.job = message.job
        self.run_id = run_id
        self.problems: tuple[Problem, ...] = ()
        self.prepared: JobPrepared | None = None
        self.view: TaskAdmissionView | None = None
        self.cancel_reason: str | None = None
        self._steps = [self._open_log, self._open_run, self._configure, self._register]

    def inspect(self) -> Outgoing:
        """Ask what the job's files hold."""
        return Outgoing(STORAGE, InspectFiles(self.run_id, self.job, self.message.out, reply_to=SCHEDULER))

    def prepare(self, inspected: FilesInspected) -> Outgoing:
        """Ask for the job's generators and plan. Problems of files are kept, to be told with the others."""
        self.problems = inspected.problems
        prepare = PrepareJob(
            self.run_id, self.job, inspected.source_fields, inspected.source_rows, reply_to=SCHEDULER
        )
        return Outgoing(WORKER, prepare)

    def open_next(self) -> list[Outgoing]:
        """Return the next step of opening the run; empty when all are done."""
        return [self._steps.pop(0)()] if self._steps else []

    def note(self, message: Any) -> None:
        """Keep what a step answered, where it is wanted later."""
        if isinstance(message, TaskAdmissionConfigured):
            self.view = message.view

    def _ready(self) -> JobPrepared:
        assert self.prepared is not None
        return self.prepared

    def _open_log(self) -> Outgoing:
        prepared = self._ready()
        path = self.message.log if isinstance(self.message, SubmitJob) else None
        open_log = OpenRunLog(self.run_id, prepared.plan, prepared.configured, path, reply_to=SCHEDULER)
        return Outgoing(TELEMETRY, open_log)

    def _open_run(self) -> Outgoing:
        prepared = self._ready()
        open_run = OpenRun(
            self.run_id,
            self.job,
            prepared.plan.rows,
            prepared.plan.dataset_columns,
            self.message.out,
            msgspec.to_builtins(CapacityPlan(prepared.configured)),
            reply_to=SCHEDULER,
        )
        return Outgoing(STORAGE, open_run)

    def _configure(self) -> Outgoing:
        plan = self._ready().plan
        config = TaskAdmissionConfig(plan.resource_limits, plan.policy)
        return Outgoing(TASK_ADMISSION, ConfigureTaskAdmission(self.run_id, config, reply_to=SCHEDULER))

    def _register(self) -> Outgoing:
        register = RegisterRequestResources(
            self.run_id, self._ready().plan.request_resources, reply_to=SCHEDULER
        )
        return Outgoing(REQUEST_ADMISSION, register)
