"""How a job of very many row groups begins: the time and the memory from submit to accepted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from actors import ActorSystem
from bench.evidence import evidence_of, leases_left, read_log
from bench.knobs import tuned
from bench.memory import MemoryWatch
from bench.results import BenchError, Run
from bench.stopwatch import Stopwatch
from messages import Column, Job, PythonColumn

ROW_GROUP_SIZE = 1_000


async def never() -> int:
    """Wait until it is cancelled: what is measured is that everything before it stands."""
    await asyncio.Event().wait()
    return 1


def run_preparing(row_groups: int, *, out: bool) -> Run:
    """Submit a job of so many row groups to an idle system, and cancel it once it has begun. One task.

    out: its rows go to a folder, as a user's would. The memory is what it has taken at most when it is
    accepted, above the idle system's.

    Raises:
        BenchError: it ended otherwise than by the cancel.
    """
    columns: dict[str, Column] = {"c0": PythonColumn(function=never)}
    size = ROW_GROUP_SIZE
    job = tuned(Job(name="prepare", rows=row_groups * size, row_group_size=size, columns=columns))
    with TemporaryDirectory(prefix="leasehold-bench-") as folder:
        log = Path(folder, "actors.jsonl")
        with ActorSystem.start() as system:
            with MemoryWatch() as memory, Stopwatch() as watch:
                handle = system.submit(job, out=Path(folder, "out") if out else None, log=log)
            handle.cancel()
            result = handle.result(timeout=30.0)
            left = leases_left(system)
            evidence = evidence_of(system, job, read_log(log))
    if result.status != "cancelled" or result.rows_pending != job.rows:
        raise BenchError(f"the job ended as {result.status}")
    return Run(
        1,
        watch.wall_seconds,
        watch.cpu_seconds,
        left,
        measures={"milliseconds": watch.wall_seconds * 1e3},
        peak_bytes=memory.peak_bytes,
        evidence=evidence,
    )
