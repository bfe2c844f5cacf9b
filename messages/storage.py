"""Storage's protocol: where rows come from, and finished row groups made durable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from messages._base import Message, Query, Value
from messages.job import Job, Problem
from messages.scheduler import DroppedRow, JobResult

# -- values --------------------------------------------------------------------------------------


class JournalRecord(Value, frozen=True):
    """A finished cell that model calls were made for: one line of the cell journal (R14).

    `column` is the generator's name, `row` the row's number in the job, None for a task about the whole
    row group; `value` is its `TaskOutcome.value`.
    """

    column: str
    row_group: int
    row: int | None
    value: Any


class UnsettledAttempt(Value, frozen=True):
    """A model request that was sent by a run that was killed before it could note how the request ended.

    It may have been billed. `row` is None where the task was about the whole row group.
    """

    column: str
    row_group: int
    row: int | None
    resource: str
    request_attempt_id: int


class Earlier(Value, frozen=True):
    """What the earlier runs of a folder have left to the run that continues it.

    `row_groups` are the stored row groups as ranges `(first, end)`, in order, the end not included;
    `rows_written` and `drop_reasons` count their rows. `journal` has the finished cells of other row
    groups, `possibly_billed` the attempts of all earlier runs whose outcome nobody knows.
    """

    row_groups: tuple[tuple[int, int], ...] = ()
    rows_written: int = 0
    drop_reasons: dict[str, int] = {}
    journal: tuple[JournalRecord, ...] = ()
    possibly_billed: int = 0

    @property
    def rows_dropped(self) -> int:
        """How many rows of the stored row groups were dropped."""
        return sum(self.drop_reasons.values())

    def numbers(self) -> Iterator[int]:
        """Yield the stored row groups one by one, in order."""
        for first, end in self.row_groups:
            yield from range(first, end)


# -- commands, and the replies they cause ----------------------------------------------------------


class InspectFiles(Query, frozen=True):
    """The scheduler, before anything else: can the source be read, can `out` be written?

    With `resume`, `out` may hold a run of the same job. Changes nothing, but keeps other processes out of
    `out`, if it holds a run, until `CloseRun` or `WithdrawRun`. Answered by `FilesInspected`.
    """

    run_id: str
    job: Job
    out: str | None
    resume: bool = False


class FilesInspected(Message, frozen=True):
    """What the files hold. `source_fields` is None where the source could not be read.

    `finished`: the run that is to be resumed ended with all of its rows, and the job asks for no more.
    """

    run_id: str
    source_fields: tuple[str, ...] | None
    source_rows: int
    problems: tuple[Problem, ...] = ()
    finished: bool = False


class OpenRun(Query, frozen=True):
    """The scheduler: the job starts, make its folder, or with `resume` go on with the run that it holds.

    `log` is the run's own actor log, which the manifest names. Answered by `RunOpened` or `RunRefused`.
    """

    run_id: str
    job: Job
    rows: int
    dataset_columns: tuple[str, ...]
    out: str | None
    capacity_plan: dict[str, Any] | None = None
    resume: bool = False
    log: str | None = None


class RunOpened(Message, frozen=True):
    """The folder exists and its manifest is on disk; what earlier runs have left in it."""

    run_id: str
    earlier: Earlier = Earlier()


class RunRefused(Message, frozen=True):
    """The run cannot be stored."""

    run_id: str
    problems: tuple[Problem, ...]


class WithdrawRun(Message, frozen=True):
    """The scheduler: a run whose files were inspected will not begin. Not answered."""

    run_id: str


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
    dropped: int = 0


class JournalCells(Query, frozen=True):
    """The scheduler: these cells were paid for and are finished; keep them at once (R14).

    They are in the operating system's hands when storage takes its next message: a killed process loses
    none of them; `output.journal_fsync` says what a loss of power may take. Answered only by
    `JournalFailed`.
    """

    run_id: str
    records: list[JournalRecord]


class JournalFailed(Message, frozen=True):
    """Finished cells could not be journaled: going on would pay for what a crash then loses."""

    run_id: str
    problem: Problem


class StorageFailed(Message, frozen=True):
    """A file operation of the running job failed; `row_group` is None where it was about none."""

    run_id: str
    row_group: int | None
    problem: Problem


class CloseRun(Query, frozen=True):
    """The scheduler: the run has ended with this result; complete its manifest.

    With `recount`, the scheduler that counted the rows is lost: the result gets the rows as stored.
    """

    run_id: str
    result: JobResult
    capacity_plan: dict[str, Any] | None = None
    recount: bool = False


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


Command: TypeAlias = (
    InspectFiles | OpenRun | WithdrawRun | LoadRowGroup | StoreRowGroup | JournalCells | CloseRun
)
