"""A job on its way to being run: what has been asked of whom, and what came back.

Opening goes one step at a time, so that a refusal leaves nothing behind that a later step made. Providers
are asked after their health before anything is opened: an unhealthy job leaves no trace. Their resources are
registered for that, withdrawn, and registered anew for the run: what a probe met is no part of the run's
account, and nothing of it is in the run's own log.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeAlias

import msgspec

from messages._base import (
    REQUEST_ADMISSION,
    SCHEDULER,
    STORAGE,
    TASK_ADMISSION,
    TELEMETRY,
    WORKER,
    Outgoing,
    as_json,
)
from messages.capacity import CapacityPlan, ConfiguredCapacity
from messages.job import Problem
from messages.plan import JobPlan
from messages.request_admission import RegisterRequestResources, RequestResourceSpec
from messages.scheduler import CheckJob, JobResult, SubmitJob
from messages.storage import CloseRun, Earlier, FilesInspected, InspectFiles, OpenRun, RunOpened, WithdrawRun
from messages.task_admission import (
    ConfigureTaskAdmission,
    TaskAdmissionConfig,
    TaskAdmissionConfigured,
    TaskAdmissionView,
)
from messages.tasks import RequestResourceKey
from messages.telemetry import CloseRunLog, OpenRunLog
from messages.worker import JobPrepared, ModelsProbed, PrepareJob, ProbeModels

Step: TypeAlias = Callable[[], Outgoing]


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
        self.probing = False
        """Whether the worker is asking the job's providers after their health."""
        self._asked_for: PrepareJob | None = None
        self._finished = False
        self._probe_warnings: tuple[str, ...] = ()
        self.unhealthy: tuple[Problem, ...] = ()
        """What is wrong with the job's providers."""
        opening: list[Step] = [self._open_log, self._open_run, self._configure, self._register]
        self._steps = opening if isinstance(message, SubmitJob) else []
        self._begun: list[Step] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the job's author is told beside that it runs, or could."""
        return self._ready().plan.warnings + self._probe_warnings

    def inspect(self) -> Outgoing:
        """Ask what the job's files hold."""
        inspect = InspectFiles(
            self.run_id, self.job, self.message.out, resume=self._resumes, reply_to=SCHEDULER
        )
        return Outgoing(STORAGE, inspect)

    def prepare(self, inspected: FilesInspected) -> Outgoing:
        """Ask for the job's generators and plan. Problems of files are kept, to be told with the others."""
        self.problems = inspected.problems
        self._finished = inspected.finished
        prepare = PrepareJob(
            self.run_id, self.job, inspected.source_fields, inspected.source_rows, reply_to=SCHEDULER
        )
        self._asked_for = prepare
        return Outgoing(WORKER, prepare)

    def prepare_again(self, generation: int) -> Outgoing:
        """Ask a new incarnation of the worker for the job's generators."""
        assert self._asked_for is not None
        return Outgoing(WORKER, msgspec.structs.replace(self._asked_for, generation=generation))

    def is_prepared(self, prepared: JobPrepared) -> None:
        """Take the job's plan. Its providers are probed first, if that is wanted."""
        self.prepared = prepared
        if self._wants_probe:
            self._steps = [*self._probing_steps, *self._steps]

    def open_next(self) -> list[Outgoing]:
        """Return the next step of opening the run; empty when all are done. A cancelled job is not probed."""
        if self.cancel_reason is not None:
            begun = self._register_to_probe in self._begun
            unwanted = [self._probe] if begun else self._probing_steps
            self._steps = [step for step in self._steps if step not in unwanted]
        if not self._steps:
            return []
        self._begun.append(self._steps.pop(0))
        return [self._begun[-1]()]

    def refuse_step(self) -> None:
        """Note that the step under way opened nothing."""
        self._begun.pop()

    def withdraw(self, reason: str) -> list[Outgoing]:
        """Return what closes again whatever has been opened of a run that will not begin."""
        outgoing: list[Outgoing] = []
        to_probe = self._register_to_probe in self._begun and self._settle_probes not in self._begun
        if to_probe or self._register in self._begun:
            outgoing.append(Outgoing(REQUEST_ADMISSION, RegisterRequestResources(self.run_id, ())))
        if self._open_run in self._begun:
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
        elif self.message.out is not None:
            outgoing.append(Outgoing(STORAGE, WithdrawRun(self.run_id)))
        if self._open_log in self._begun:
            outgoing.append(Outgoing(TELEMETRY, CloseRunLog(self.run_id)))
        return outgoing

    def note(self, message: Any) -> None:
        """Keep what a step answered, where it is wanted later."""
        if isinstance(message, TaskAdmissionConfigured):
            self.view = message.view
        elif isinstance(message, RunOpened):
            self.earlier = message.earlier
        elif isinstance(message, ModelsProbed) and self.cancel_reason is None:
            self._probe_warnings = message.warnings
            if message.problems:
                self.unhealthy, self._steps = message.problems, [self._settle_probes]

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

    @property
    def _probing_steps(self) -> list[Step]:
        return [self._register_to_probe, self._probe, self._settle_probes]

    @property
    def _wants_probe(self) -> bool:
        """Whether providers are to be probed: not where none will be called, as far as the manifest knows."""
        plan = self._ready().plan
        if isinstance(self.message, CheckJob):
            return self.message.probe and bool(plan.request_resources)
        return plan.health_check and bool(plan.request_resources) and not self._finished

    @property
    def configured(self) -> ConfiguredCapacity:
        """The capacities that the job's plan gives it."""
        return self._ready().configured

    @property
    def capacity(self) -> dict[str, Any]:
        """The capacity plan as it is known before the run begins: what is configured, and nothing else."""
        plan: dict[str, Any] = as_json(CapacityPlan(self._ready().configured))
        return plan

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
            self.capacity,
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
        return self._registration(self._ready().plan.request_resources)

    def _register_to_probe(self) -> Outgoing:
        plan = self._ready().plan
        return self._registration((*plan.request_resources, *_health_resources(plan)))

    def _settle_probes(self) -> Outgoing:
        """Withdraw the probes' resources: once that is answered, the end of every probe is told."""
        return self._registration(())

    def _registration(self, resources: tuple[RequestResourceSpec, ...]) -> Outgoing:
        config = self._ready().plan.request_admission
        register = RegisterRequestResources(self.run_id, resources, config, reply_to=SCHEDULER)
        return Outgoing(REQUEST_ADMISSION, register)

    def _probe(self) -> Outgoing:
        self.probing = True
        return Outgoing(WORKER, ProbeModels(self.run_id, reply_to=SCHEDULER))


def _health_resources(plan: JobPlan) -> tuple[RequestResourceSpec, ...]:
    """Return a resource of the domain `healthcheck` for each of the plan's endpoints."""
    known = {spec.resource for spec in plan.request_resources}
    found: dict[RequestResourceKey, RequestResourceSpec] = {}
    for spec in plan.request_resources:
        key = RequestResourceKey(spec.resource.provider, spec.resource.model_id, "healthcheck")
        if key not in known:
            found.setdefault(key, msgspec.structs.replace(spec, resource=key))
    return tuple(found.values())
