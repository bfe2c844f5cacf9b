"""The scheduler's protocol: run this job, stop it, how far is it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from messages._base import ActorName, Message, Query, Value
from messages.capacity import ConfiguredCapacity
from messages.job import Job, Problem
from messages.plan import JobPlan
from messages.task_admission import TaskAdmissionBlockSummary

# -- values --------------------------------------------------------------------------------------

JobStatus = Literal["succeeded", "partial", "failed", "cancelled", "early_shutdown"]


class DroppedRow(Value, frozen=True):
    """A row that is not in the dataset, and why: one line of `dropped.jsonl`.

    `row` is the row's number in the job, from 0. `causes` is the chain behind `error`, outermost first.
    """

    row: int
    column: str
    attempts: int
    reason: str
    error: str
    causes: tuple[str, ...] = ()


class ModelUsage(Value, frozen=True):
    """Outbound attempts of one model, by how they ended, and the tokens that its providers counted."""

    attempts: int
    outcomes: dict[str, int]
    input_tokens: int = 0
    output_tokens: int = 0


class GeneratorProgress(Value, frozen=True):
    """How far one generator is, in tasks."""

    done: int
    failed: int
    total: int


class JobResult(Value, frozen=True):
    """How a job ended.

    rows_requested = rows_written + rows_dropped + rows_pending (R13). `dataset` holds the rows of a job
    that was run without an output folder, as one mapping of columns per row group, and `dropped` its dropped
    rows; with a folder both are None and `output` names it.

    Rows are those of the whole job, whichever run of it made them; `models`, `wall_seconds`, `first_error`
    and `skipped`, the number of skipped cells per column, are this run's. `possibly_billed` counts the
    attempts that were sent by earlier runs which were then killed, and whose outcome nobody knows: the
    manifest names them (R14).
    """

    run_id: str
    job_name: str
    status: JobStatus
    rows_requested: int
    rows_written: int
    rows_dropped: int
    rows_pending: int
    drop_reasons: dict[str, int]
    wall_seconds: float
    first_error: str | None
    models: dict[str, ModelUsage]
    output: str | None = None
    dataset: list[dict[str, list[Any]]] | None = None
    dropped: list[DroppedRow] | None = None
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    possibly_billed: int = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the finished rows, in row order, from memory or from the output folder."""
        if self.dataset is not None:
            for columns in self.dataset:
                for values in zip(*columns.values(), strict=True):
                    yield dict(zip(columns, values, strict=True))
        elif self.output is not None:
            yield from read_rows(self.output)


def read_rows(output: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the finished row groups in an output folder, in row order."""
    from pathlib import Path  # noqa: PLC0415 - the one place of this package that reads a file

    for path in sorted(Path(output, "rows").glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                yield msgspec.json.decode(line)


# -- commands, and the replies they cause ----------------------------------------------------------


class SubmitJob(Query, frozen=True):
    """Run `job`. Answered by `JobAccepted` or `JobRejected`, and after the first by `JobFinished`.

    `out` is the folder for the dataset, None to keep the rows in memory. `log` is a file for the actor
    log of this run alone, beside any log the system keeps. With `resume`, the run that `out` holds is
    continued: finished row groups and finished model calls are kept. Where it holds none, one is begun.
    """

    job: Job
    out: str | None = None
    log: str | None = None
    resume: bool = False


class CheckJob(Query, frozen=True):
    """Say whether `job` could be run, without running anything. Answered by `JobChecked`.

    With `probe`, its providers are asked whether they are there, take the key and know the model.
    """

    job: Job
    out: str | None = None
    probe: bool = False


class JobAccepted(Message, frozen=True):
    """The job's work begins now."""

    run_id: str
    rows: int
    warnings: tuple[str, ...] = ()


class JobRejected(Message, frozen=True):
    """The job was not started; nothing has been written."""

    problems: tuple[Problem, ...]


class JobChecked(Message, frozen=True):
    """What a check found. No problems: the job can be run as it stands, under `plan`."""

    problems: tuple[Problem, ...]
    rows: int = 0
    row_groups: int = 0
    generators: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    plan: JobPlan | None = None
    configured: ConfiguredCapacity | None = None


class JobFinished(Message, frozen=True):
    """The job has ended, everything that finished is stored, and every lease is back."""

    result: JobResult


class CancelJob(Query, frozen=True):
    """Stop the running job (R11): no new work, running work cancelled, finished row groups kept.

    `submitted_by` is the `reply_to` of the `SubmitJob` that is meant; empty means whichever job runs.
    Answered by `JobCancelling`. Harmless when nothing runs, when another job does, or a second time.
    """

    reason: str = "cancelled"
    submitted_by: ActorName = ""


class JobCancelling(Message, frozen=True):
    """Whether there was a job to cancel, and which."""

    run_id: str | None


class OpenCircuit(Value, frozen=True):
    """A request resource whose provider refuses everything (A9).

    `since` is when the rate limits without a success began, `rate_limited` how many there were in all,
    `next_probe_at` when one call is let through to see; both times in run time, seconds.
    """

    resource: str
    since: float
    rate_limited: int
    next_probe_at: float | None = None


class SchedulerSnapshot(Message, frozen=True):
    """The scheduler's answer to `GetSnapshot`.

    `phase` is `idle`, `preparing`, `running`, `stopping` or `closing`.
    """

    phase: str
    run_id: str | None = None
    job_name: str | None = None
    started_at: float = 0.0
    rows_requested: int = 0
    rows_written: int = 0
    rows_dropped: int = 0
    row_groups_total: int = 0
    row_groups_in_flight: int = 0
    row_groups_stored: int = 0
    queued: int = 0
    leased: int = 0
    deferred: int = 0
    generators: dict[str, GeneratorProgress] = msgspec.field(default_factory=dict)
    blocked: TaskAdmissionBlockSummary | None = None
    circuits: tuple[OpenCircuit, ...] = ()


Command: TypeAlias = SubmitJob | CheckJob | CancelJob
