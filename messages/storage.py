"""Storage's protocol: where rows come from, and finished row groups made durable."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from messages._base import Message, Query
from messages.job import Job, Problem
from messages.scheduler import DroppedRow, JobResult


class InspectFiles(Query, frozen=True):
    """The scheduler, before anything else: can the source be read, can `out` be written?

    Creates and changes nothing. Answered by `FilesInspected`.
    """

    run_id: str
    job: Job
    out: str | None


class FilesInspected(Message, frozen=True):
    """What the files hold. `source_fields` is None where the source could not be read."""

    run_id: str
    source_fields: tuple[str, ...] | None
    source_rows: int
    problems: tuple[Problem, ...] = ()


class OpenRun(Query, frozen=True):
    """The scheduler: the job starts, make its folder. Answered by `RunOpened` or `RunRefused`."""

    run_id: str
    job: Job
    rows: int
    dataset_columns: tuple[str, ...]
    out: str | None
    capacity_plan: dict[str, Any] | None = None


class RunOpened(Message, frozen=True):
    """The folder exists and its manifest is on disk."""

    run_id: str


class RunRefused(Message, frozen=True):
    """The run cannot be stored."""

    run_id: str
    problems: tuple[Problem, ...]


class LoadRowGroup(Query, frozen=True):
    """The scheduler: give me the source's records of this row group. Asked in order of row groups."""

    run_id: str
    row_group: int
    first_row: int
    rows: int


class RowGroupLoaded(Message, frozen=True):
    """The records, as one list per source field."""

    run_id: str
    row_group: int
    columns: dict[str, list[Any]]


class StoreRowGroup(Query, frozen=True):
    """The scheduler: this row group is finished. `columns` hold the surviving rows, in row order.

    `columns` has one list per dataset column, each of `rows` values; `rows` and the dropped rows together
    are the whole row group (R13). Answered by `RowGroupStored` or `StorageFailed`.
    """

    run_id: str
    row_group: int
    columns: dict[str, list[Any]]
    rows: int
    dropped: tuple[DroppedRow, ...]


class RowGroupStored(Message, frozen=True):
    """The row group is durable: written, synced and renamed into place."""

    run_id: str
    row_group: int
    rows: int


class StorageFailed(Message, frozen=True):
    """A file operation of the running job failed; `row_group` is None where it was about none."""

    run_id: str
    row_group: int | None
    problem: Problem


class CloseRun(Query, frozen=True):
    """The scheduler: the run has ended with this result; complete its manifest."""

    run_id: str
    result: JobResult
    capacity_plan: dict[str, Any] | None = None


class RunClosed(Message, frozen=True):
    """The run's files are complete. `result` names the folder, or holds the rows kept in memory."""

    run_id: str
    result: JobResult


class StorageSnapshot(Message, frozen=True):
    """Storage's answer to `GetSnapshot`."""

    run_id: str | None
    output: str | None
    row_groups_stored: int
    rows_stored: int
    rows_dropped: int
    bytes_written: int
    last_store_seconds: float = msgspec.field(default=0.0)


Command: TypeAlias = InspectFiles | OpenRun | LoadRowGroup | StoreRowGroup | CloseRun
