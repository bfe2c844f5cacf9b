"""Leasehold's side of a scenario with a job: run it in a fresh system, time it, and see what it leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import msgspec

from actors import ActorSystem
from bench.evidence import LogFacts, evidence_of, leases_left, read_log
from bench.knobs import tuned
from bench.memory import MemoryWatch
from bench.results import BenchError, Run
from bench.stopwatch import Stopwatch
from messages import Job
from messages.scheduler import JobResult

Telemetry = Literal["log", "off"]
"""`log`: every event written to a file, on disk before the result. `off`: events are not observed."""

Check = Callable[[JobResult], str]
"""Looks at a result, raises a `BenchError` where it is not what was asked for, and returns its rows' hash."""


def run_job(
    job: Job,
    *,
    telemetry: Telemetry,
    check: Check,
    out: bool = False,
    log_name: str = "actors.jsonl",
    read: Callable[[Path], LogFacts] | None = read_log,
) -> Run:
    """Run `job` in a fresh system; the time is from submit to result, the memory above the idle system's.

    out: write the rows to a folder, as a user would; otherwise they are kept in memory. log_name: its ending
    says how it is compressed. read: what is made of the log; None leaves it unread.

    Raises:
        BenchError: the result or the log is not what it has to be.
    """
    job = tuned(job)
    with _folder() as folder:
        log = folder / log_name if telemetry == "log" else None
        with ActorSystem.start(observing=telemetry != "off") as system:
            with MemoryWatch() as memory, Stopwatch() as watch:
                result = system.run(job, log=log, out=folder / "out" if out else None)
            left = leases_left(system)
            if log is not None and not log.stat().st_size:
                raise BenchError(f"{job.name}: the log is empty")
            story = read(log) if log is not None and read is not None else None
            evidence = evidence_of(system, job, story)
        tasks = result.rows_written * len(job.columns)
        return Run(
            tasks,
            watch.wall_seconds,
            watch.cpu_seconds,
            left,
            check(result),
            story.measures if story else {},
            memory.peak_bytes,
            evidence,
        )


def hash_rows(rows: Any) -> str:
    """Return a digest of rows, in their order."""
    return blake2b(msgspec.json.encode(rows), digest_size=16).hexdigest()


def hash_output(result: JobResult) -> str:
    """Return a digest of a finished job's rows, one by one; the rows may be on disk and many.

    Raises:
        BenchError: the job did not succeed, or rows are missing.
    """
    if result.status != "succeeded" or result.rows_written != result.rows_requested:
        raise BenchError(
            f"{result.job_name}: {result.status} with {result.rows_written} of {result.rows_requested} rows"
        )
    digest = blake2b(digest_size=16)
    for row in result.rows():
        digest.update(msgspec.json.encode(row))
    return digest.hexdigest()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="leasehold-bench-") as name:
        yield Path(name)
