"""Leasehold's side end to end: a job whose tasks do nothing, so that what is left is the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import msgspec

from actors import ActorSystem
from bench.results import BenchError, Run
from bench.stopwatch import Stopwatch
from messages import ActorName, Column, Job, PythonColumn, SchedulingMetadata
from messages._base import REQUEST_ADMISSION, TASK_ADMISSION, WORKER
from messages.job import Limits
from messages.request_admission import RequestAdmissionSnapshot
from messages.scheduler import JobResult
from messages.task_admission import TaskAdmissionSnapshot
from messages.worker import WorkerSnapshot

ROW_GROUP_TASKS = 1024
"""Tasks of one row group, however many columns share them."""

CAPACITY = 256
"""Tasks that may run at once."""

LEASE_HOLDERS: tuple[ActorName, ...] = (TASK_ADMISSION, REQUEST_ADMISSION, WORKER)

Policy = Literal["bounded_borrow", "strict_fair", "provider_aware", "service_time_fair"]
"""Task admission's policy, by its name in a job file."""

Telemetry = Literal["log", "off"]
"""`log`: every event written to a file, on disk before the result. `off`: events are not observed."""


async def noop() -> int:
    """Return what shows that the cell was run."""
    return 1


def one_column(rows: int) -> Job:
    """Return a job of one local column, as a user would write it."""
    return Job(
        name="noop",
        rows=rows,
        row_group_size=ROW_GROUP_TASKS,
        columns={"c0": PythonColumn(function=noop)},
        limits=Limits(local=CAPACITY),
    )


def many_groups(tasks: int, groups: int, policy: Policy = "bounded_borrow") -> Job:
    """Return a job of independent columns, each a scheduling group of its own.

    Tasks in all, tasks per row group, tasks at once and the share of a group's limit are the same for
    every number of groups: a group may hold all the capacity alone, so that only their number differs.
    `tasks` is rounded to whole row groups.
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
        rows=rows * max(1, round(tasks / ROW_GROUP_TASKS)),
        row_group_size=rows,
        columns=columns,
        limits=Limits(llm_wait=CAPACITY, policy=policy),
    )


def run_job(job: Job, *, telemetry: Telemetry) -> Run:
    """Run `job` in a fresh system, rows kept in memory; the time is from submit to result.

    Raises:
        BenchError: a cell is missing from the result.
    """
    with TemporaryDirectory(prefix="leasehold-bench-") as folder:
        log = Path(folder, "actors.jsonl") if telemetry == "log" else None
        with ActorSystem.start(observing=telemetry != "off") as system:
            with Stopwatch() as watch:
                result = system.run(job, log=log)
            left = leases_left(system)
        if log is not None and not log.stat().st_size:
            raise BenchError(f"{job.name}: the log is empty")
    return finished_run(job, result, watch, left)


def finished_run(job: Job, result: JobResult, watch: Stopwatch, left: int) -> Run:
    """Return what a job's run came to, after counting its cells.

    Raises:
        BenchError: a cell is missing from the result.
    """
    rows = list(result.rows())
    expected = dict.fromkeys(job.columns, 1)
    if result.status != "succeeded" or len(rows) != job.rows or any(row != expected for row in rows):
        raise BenchError(f"{job.name}: {result.status} with {len(rows)} of {job.rows} rows")
    return Run(len(rows) * len(expected), watch.wall_seconds, watch.cpu_seconds, left, hash_rows(rows))


def leases_left(system: ActorSystem, actors: Sequence[ActorName] = LEASE_HOLDERS) -> int:
    """Return how many leases, waiters and tokens the named actors still know of."""
    left = 0
    for name in actors:
        match system.snapshot(name).state:
            case TaskAdmissionSnapshot(active_leases=active):
                left += active
            case WorkerSnapshot(tokens_held=held, waiting_for_request_lease=waiting):
                left += held + waiting
            case RequestAdmissionSnapshot(resources=resources):
                left += sum(one.active_leases + one.waiters for one in resources)
    return left


def hash_rows(rows: Any) -> str:
    """Return a digest of rows, in their order."""
    return blake2b(msgspec.json.encode(rows), digest_size=16).hexdigest()


def hash_values(values: Sequence[Any]) -> str:
    """Return the digest of the rows that one column's values make."""
    return hash_rows([{"c0": value} for value in values])
