"""Jobs whose tasks do nothing, so that what is left is the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from bench.job_runs import Telemetry, hash_rows, run_job
from bench.results import BenchError, Evidence, Run
from bench.stopwatch import Stopwatch
from messages import Column, Job, PythonColumn, SchedulingMetadata
from messages.job import Limits
from messages.scheduler import JobResult

ROW_GROUP_TASKS = 1024
"""Tasks of one row group, however many columns share them."""

CAPACITY = 256
"""Tasks that may run at once."""

Policy = Literal["bounded_borrow", "strict_fair", "provider_aware", "service_time_fair"]
"""Task admission's policy, by its name in a job file."""


async def noop() -> int:
    """Return what shows that the cell was run."""
    return 1


def noop_columns(number: int) -> dict[str, Column]:
    """Return so many independent columns of it, as a user would write them."""
    return {f"c{each}": PythonColumn(function=noop) for each in range(number)}


def one_column(rows: int) -> Job:
    """Return a job of one local column, as a user would write it."""
    return Job(
        name="noop",
        rows=rows,
        row_group_size=ROW_GROUP_TASKS,
        columns=noop_columns(1),
        limits=Limits(local=CAPACITY),
    )


def many_groups(tasks: int, groups: int, policy: Policy = "bounded_borrow") -> Job:
    """Return a job of independent columns, each a scheduling group of its own.

    Tasks in all, tasks per row group, tasks at once and the share of a group's limit are the same for
    every number of groups: a group may hold all the capacity alone, so that only their number differs.
    `tasks` is rounded to whole row groups, where there is more than a part of one.
    """
    columns: dict[str, Column] = {
        f"c{number}": PythonColumn(
            function=noop,
            metadata=SchedulingMetadata("custom_model", ("bench", f"g{number}", "1"), CAPACITY // 2),
        )
        for number in range(groups)
    }
    rows = ROW_GROUP_TASKS // groups
    return Job(
        name=f"noop-{groups}",
        rows=rows * round(tasks / ROW_GROUP_TASKS) or max(1, tasks // groups),
        row_group_size=rows,
        columns=columns,
        limits=Limits(llm_wait=CAPACITY, policy=policy),
    )


def run_noops(job: Job, *, telemetry: Telemetry) -> Run:
    """Run a job of no-op cells in a fresh system, rows kept in memory; the time is from submit to result.

    Raises:
        BenchError: a cell is missing from the result.
    """
    return run_job(job, telemetry=telemetry, check=partial(_checked, job))


def finished_run(job: Job, result: JobResult, watch: Stopwatch, left: int, evidence: Evidence) -> Run:
    """Return what a job's run came to, after counting its cells.

    Raises:
        BenchError: a cell is missing from the result.
    """
    output_hash, tasks = _checked(job, result), result.rows_written * len(job.columns)
    return Run(tasks, watch.wall_seconds, watch.cpu_seconds, left, output_hash, evidence=evidence)


def _checked(job: Job, result: JobResult) -> str:
    """Return the digest of the rows, each cell of which was run."""
    rows = list(result.rows())
    expected = dict.fromkeys(job.columns, 1)
    if result.status != "succeeded" or len(rows) != job.rows or any(row != expected for row in rows):
        raise BenchError(f"{job.name}: {result.status} with {len(rows)} of {job.rows} rows")
    return hash_rows(rows)


def hash_values(values: Sequence[Any]) -> str:
    """Return the digest of the rows that one column's values make."""
    return hash_rows([{"c0": value} for value in values])
