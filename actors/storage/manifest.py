"""`manifest.json`: which job a folder holds, and how it ended."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Literal

import msgspec

from messages.job import Job
from messages.scheduler import DroppedRow, JobResult, JobStatus

SCHEMA_VERSION = 1


class Totals(msgspec.Struct, frozen=True):
    """What the folder holds at the end of a run; bytes are those of `rows/` and `dropped.jsonl`."""

    row_groups_stored: int
    rows_written: int
    rows_dropped: int
    bytes_written: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Written when a run starts and once more when it ends; in between, the files in `rows/` are the truth.

    `status` is `running` until the end: a manifest that still says so belongs to a run that goes on, or
    that was killed. Times are wall time, UTC. `result` carries neither rows nor the folder's name: it lies
    in the folder that it is about.
    """

    schema_version: int
    run_id: str
    job_name: str
    job_fingerprint: str
    rows: int
    row_group_size: int
    dataset_columns: tuple[str, ...]
    created_at: datetime
    status: JobStatus | Literal["running"] = "running"
    closed_at: datetime | None = None
    result: JobResult | None = None
    totals: Totals | None = None


class DroppedRecord(DroppedRow, frozen=True, kw_only=True):
    """One line of `dropped.jsonl`: a dropped row, and the row group it would have been in."""

    row_group: int


def fingerprint(job: Job) -> str:
    """Return what identifies a job's content, wherever its file lies: 32 hex digits.

    Raises:
        TypeError: the job holds a value that is not JSON-compatible.
    """
    content = msgspec.to_builtins(job)
    content.pop("base_dir", None)
    canonical = msgspec.json.encode(content, order="sorted")
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()
