"""The worker's protocol: make a job's generators ready, run admitted tasks, give every token back."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from messages._base import Message, Query, Value
from messages.capacity import ConfiguredCapacity
from messages.job import Job, Problem
from messages.plan import JobPlan
from messages.scheduler import ModelUsage
from messages.task_admission import TaskLease
from messages.tasks import KeptAnswer, Task


class TaskStart(Value, frozen=True, gc=False):
    """One admitted task and what it needs to run.

    `inputs` maps each needed column to the row's value, or to the list of the surviving rows' values.
    `rows` is how many rows the task is about, `first_row` the job-wide number of the first.
    `answers` are what model calls of its earlier tries were answered: they are not made again (R14).
    """

    lease: TaskLease
    task: Task
    inputs: dict[str, Any]
    first_row: int
    rows: int = 1
    answers: tuple[KeptAnswer, ...] = ()


class PrepareJob(Query, frozen=True):
    """The scheduler: import, compile and resolve everything `job` names; run nothing.

    Meant for the worker's incarnation `generation`, and passed over by any other; 0 is for any.
    `source_fields` is None where the source could not be read; names are then not checked against it.
    `rows` is the number of rows there will be, 0 where it is not known.
    """

    run_id: str
    job: Job
    source_fields: tuple[str, ...] | None
    rows: int
    generation: int = 0


class JobPrepared(Message, frozen=True):
    """The job's generators are ready in this `generation` of the worker; `plan` is what is run."""

    run_id: str
    plan: JobPlan
    configured: ConfiguredCapacity
    generation: int = 1


class JobUnpreparable(Message, frozen=True):
    """Everything about the job that has to be mended first."""

    run_id: str
    problems: tuple[Problem, ...]


class ProbeModels(Query, frozen=True):
    """The scheduler: ask after the health of every endpoint that the prepared job uses.

    Request admission knows the job's resources by then: each probe is an attempt under a lease of its own.
    """

    run_id: str


class ModelsProbed(Message, frozen=True):
    """Every endpoint's answer: `problems` keep the job from running, `warnings` do not."""

    run_id: str
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()


class ExecuteTasks(Message, frozen=True, gc=False):
    """The scheduler: run these. Every lease comes back through task admission.

    Meant for the worker's incarnation `generation`, of which the scheduler knows that it has the job's
    generators. Another one passes it over: the scheduler returns the leases for the one that was lost.
    """

    starts: list[TaskStart]
    generation: int = 1


class CancelTasks(Message, frozen=True):
    """The scheduler: end everything that runs; each token comes back as `cancelled`."""

    run_id: str


class ReleaseJob(Query, frozen=True):
    """The scheduler: the job is over, forget its generators and close its provider clients.

    Answered by `JobReleased`.
    """

    run_id: str


class JobReleased(Message, frozen=True):
    """The worker holds nothing of the job any more; what its models were used for, by alias."""

    run_id: str
    models: dict[str, ModelUsage]


class WorkerSnapshot(Message, frozen=True):
    """The worker's answer to `GetSnapshot`."""

    run_id: str | None
    tokens_held: int
    waiting_for_request_lease: int
    attempts_in_flight: int
    threads_busy: int
    threads_abandoned: int
    models: dict[str, ModelUsage] = msgspec.field(default_factory=dict)


Command: TypeAlias = PrepareJob | ProbeModels | ExecuteTasks | CancelTasks | ReleaseJob
