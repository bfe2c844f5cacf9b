"""`manifest.json`: which job a folder holds, and how it ended."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Literal

import msgspec

from messages.job import Job
from messages.scheduler import DroppedRow, JobResult, JobStatus
from messages.storage import UnsettledAttempt

SCHEMA_VERSION = 2


class Totals(msgspec.Struct, frozen=True):
    """What the folder holds at the end of a run; bytes are those of `rows/` and `dropped.jsonl`."""

    row_groups_stored: int
    rows_written: int
    rows_dropped: int
    bytes_written: int


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the folder's job: the first, or one that resumed it.

    `log` is its actor log, by its name where it lies in the folder. `status` stays `running` where the run
    was killed; `possibly_billed` are then the attempts that it had sent and whose outcome its log does not
    know, noted by the run that resumed it.
    """

    run_id: str
    started_at: datetime
    log: str | None
    status: JobStatus | Literal["running"] = "running"
    closed_at: datetime | None = None
    possibly_billed: tuple[UnsettledAttempt, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Written when a run starts and once more when it ends; in between, the files in `rows/` are the truth.

    `status` is `running` until the end: a manifest that still says so belongs to a run that goes on, or
    that was killed. Times are wall time, UTC. `result` carries neither rows nor the folder's name: it lies
    in the folder that it is about. `run_id`, `status`, `result` and `totals` are those of the latest of
    `runs`; `job` is what its rows are made by.
    """

    schema_version: int
    run_id: str
    job_name: str
    job_fingerprint: str
    job: dict[str, Any]
    rows: int
    row_group_size: int
    dataset_columns: tuple[str, ...]
    created_at: datetime
    runs: tuple[RunRecord, ...]
    status: JobStatus | Literal["running"] = "running"
    closed_at: datetime | None = None
    result: JobResult | None = None
    totals: Totals | None = None


class DroppedRecord(DroppedRow, frozen=True, kw_only=True):
    """One line of `dropped.jsonl`: a dropped row, and the row group it would have been in."""

    row_group: int


def canonical(job: Job) -> dict[str, Any]:
    """Return a job's content as JSON would give it back, without where its file lies.

    Raises:
        TypeError: the job holds a value that is not JSON-compatible.
    """
    content: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(job))
    content.pop("base_dir", None)
    return content


def fingerprint(job: Job) -> str:
    """Return what identifies a job's content, wherever its file lies: 32 hex digits.

    Raises:
        TypeError: the job holds a value that is not JSON-compatible.
    """
    content = msgspec.json.encode(canonical(job), order="sorted")
    return hashlib.blake2b(content, digest_size=16).hexdigest()
