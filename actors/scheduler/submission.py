"""A job on its way to being run: what has been asked of whom, and what came back.

Opening goes one step at a time, so that a refusal leaves nothing behind that a later step made.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec

from messages._base import REQUEST_ADMISSION, SCHEDULER, STORAGE, TASK_ADMISSION, TELEMETRY, WORKER, Outgoing
from messages.capacity import CapacityPlan
from messages.job import Problem
from messages.request_admission import RegisterRequestResources
from messages.scheduler import CheckJob, JobResult, SubmitJob
from messages.storage import CloseRun, Earlier, FilesInspected, InspectFiles, OpenRun, RunOpened
from messages.task_admission import (
    ConfigureTaskAdmission,
    TaskAdmissionConfig,
    TaskAdmissionConfigured,
    TaskAdmissionView,
)
from messages.telemetry import CloseRunLog, OpenRunLog
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
        self.earlier = Earlier()
        self.cancel_reason: str | None = None
        self._asked_for: PrepareJob | None = None
        self._steps = [self._open_log, self._open_run, self._configure, self._register]

    def inspect(self) -> Outgoing:
        """Ask what the job's files hold."""
        inspect = InspectFiles(
            self.run_id, self.job, self.message.out, resume=self._resumes, reply_to=SCHEDULER
        )
        return Outgoing(STORAGE, inspect)

    def prepare(self, inspected: FilesInspected) -> Outgoing:
        """Ask for the job's generators and plan. Problems of files are kept, to be told with the others."""
        self.problems = inspected.problems
        prepare = PrepareJob(
            self.run_id, self.job, inspected.source_fields, inspected.source_rows, reply_to=SCHEDULER
        )
        self._asked_for = prepare
        return Outgoing(WORKER, prepare)

    def prepare_again(self) -> Outgoing:
        """Ask a new worker for the job's generators."""
        assert self._asked_for is not None
        return Outgoing(WORKER, self._asked_for)

    def open_next(self) -> list[Outgoing]:
        """Return the next step of opening the run; empty when all are done."""
        return [self._steps.pop(0)()] if self._steps else []

    def withdraw(self, reason: str) -> list[Outgoing]:
        """Return what closes again whatever has been opened of a run that will not begin."""
        outgoing: list[Outgoing] = []
        if self._open_run not in self._steps:
            plan, earlier = self._ready().plan, self.earlier
            result = JobResult(
                run_id=self.run_id,
                job_name=plan.job_name,
                status="failed",
                rows_requested=plan.rows,
                rows_written=earlier.rows_written,
                rows_dropped=earlier.rows_dropped,
                rows_pending=plan.rows - earlier.rows_written - earlier.rows_dropped,
                drop_reasons=earlier.drop_reasons,
                wall_seconds=0.0,
                first_error=reason,
                models={},
            )
            outgoing.append(Outgoing(STORAGE, CloseRun(self.run_id, result)))
        if self._open_log not in self._steps:
            outgoing.append(Outgoing(TELEMETRY, CloseRunLog(self.run_id)))
        return outgoing

    def note(self, message: Any) -> None:
        """Keep what a step answered, where it is wanted later."""
        if isinstance(message, TaskAdmissionConfigured):
            self.view = message.view
        elif isinstance(message, RunOpened):
            self.earlier = message.earlier

    def log_problem(self, reason: str) -> Problem:
        """Return why the run's log cannot be opened, and which option chooses another place for it."""
        log = self.message.log if isinstance(self.message, SubmitJob) else None
        if log is None:
            return Problem("", reason)
        out = self.message.out
        inside = out is not None and PurePath(log).parent == PurePath(out)
        return Problem("", reason, f"give another {'--out' if inside else '--log'}")

    @property
    def _resumes(self) -> bool:
        return isinstance(self.message, SubmitJob) and self.message.resume

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
            resume=self._resumes,
            log=self.message.log if isinstance(self.message, SubmitJob) else None,
            reply_to=SCHEDULER,
        )
        return Outgoing(STORAGE, open_run)

    def _configure(self) -> Outgoing:
        plan = self._ready().plan
        config = TaskAdmissionConfig(plan.resource_limits, plan.policy, plan.replicas)
        return Outgoing(TASK_ADMISSION, ConfigureTaskAdmission(self.run_id, config, reply_to=SCHEDULER))

    def _register(self) -> Outgoing:
        plan = self._ready().plan
        register = RegisterRequestResources(
            self.run_id, plan.request_resources, plan.request_admission, reply_to=SCHEDULER
        )
        return Outgoing(REQUEST_ADMISSION, register)
