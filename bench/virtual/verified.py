"""A job's run on virtual time whose log is verified, and everything whose leases are back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from actors.evidence.verify import verify_log
from bench.evidence import leases_left
from bench.results import BenchError, Evidence
from bench.virtual.stage import OnSend
from bench.virtual.system import Happening, VirtualSystem
from messages._base import REQUEST_ADMISSION, TASK_ADMISSION
from messages.job import Job


class VerifiedRun(NamedTuple):
    """left: leases and waiters afterwards. evidence: what the actors left beside that."""

    log: Path
    left: int
    evidence: Evidence


@contextmanager
def verified_run(
    job: Job,
    *,
    seed: int,
    on_send: OnSend | None = None,
    happenings: Sequence[Happening] = (),
    status: str = "succeeded",
) -> Iterator[VerifiedRun]:
    """Run a job; its log is there for as long as the context.

    Raises:
        BenchError: it ended otherwise than with `status`, or the log proves that a rule was broken.
    """
    system = VirtualSystem(seed=seed, on_send=on_send)
    with TemporaryDirectory(prefix="leasehold-bench-") as folder:
        log = Path(folder, "actors.jsonl")
        with _unheard():
            result = system.run(job, log, happenings)
            left = leases_left(system)
            task_state, request_state = (
                system.snapshot(actor).state for actor in (TASK_ADMISSION, REQUEST_ADMISSION)
            )
            system.stop()
        if result.status != status:
            raise BenchError(f"{job.name}: {result.status}: {result.first_error}")
        report = verify_log(log)
        if not report.ok:
            raise BenchError(f"{job.name}: {report.violations[0]}")
        evidence = Evidence(
            final_task_snapshot=msgspec.to_builtins(task_state),
            final_request_snapshot=msgspec.to_builtins(request_state),
            log_lines=report.counts.lines,
            hidden_waiters=report.counts.hidden_scheduler_resource_waiters,
        )
        yield VerifiedRun(log, left, evidence)


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep to the log what actors warn of: it was asked for."""
    logger = logging.getLogger("leasehold")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
