"""What the storage core needs of the world: files of a run, records of a source.

The core is given objects of these shapes. `files.py` and `source.py` have the real ones; a simulator
brings its own, with the faults it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from messages.job import Job, Problem, Source
from messages.scheduler import DroppedRow, JobResult
from messages.storage import Earlier, JournalRecord, OpenRun, UnsettledAttempt

Unsettled = Callable[[Path], tuple[UnsettledAttempt, ...]]
"""Reads the log of a run that was killed: the model requests whose end it does not know."""


def no_log_is_read(_log: Path) -> tuple[UnsettledAttempt, ...]:
    """Return nothing: the `Unsettled` of storage that keeps to its own files."""
    return ()


class StorageError(Exception):
    """Something about the files is wrong, and `problems` say it to the user, place and remedy included."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Inspection(NamedTuple):
    """What a source holds. `fields` is None where it could not be read far enough to know."""

    fields: tuple[str, ...] | None
    rows: int
    problems: tuple[Problem, ...] = ()


class Stored(NamedTuple):
    """What storing one row group took: bytes written, seconds it lasted."""

    bytes_written: int
    seconds: float


class SourceReader(Protocol):
    """An open source, read in order."""

    def load(self, first_row: int, rows: int) -> dict[str, list[Any]]:
        """Return records `first_row .. first_row + rows - 1`, one list per field.

        Raises:
            OSError: the file cannot be read.
            StorageError: a record is malformed, or the file has fewer records than that.
        """

    def close(self) -> None:
        """Let go of the file. Harmless twice."""


class SourceFactory(Protocol):
    """Where sources come from."""

    def inspect(self, source: Source, base_dir: str, limit: int | None) -> Inspection:
        """Read and check the first `limit` records (None: all) without keeping them.

        Raises:
            OSError: the file cannot be read.
        """

    def open(self, source: Source, base_dir: str) -> SourceReader:
        """Return a reader that stands at the first record.

        Raises:
            OSError: the file cannot be read.
            StorageError: its head is malformed.
        """


class RunFiles(Protocol):
    """Where one run's rows go."""

    @property
    def output(self) -> str | None:
        """The run's folder; None where rows stay in memory."""

    @property
    def earlier(self) -> Earlier:
        """What earlier runs have left in the folder."""

    def store(
        self,
        row_group: int,
        columns: dict[str, list[Any]],
        rows: int,
        dropped: Sequence[DroppedRow],
    ) -> Stored:
        """Keep a row group: when this returns, it is durable, and so are its dropped rows (R10).

        When it raises, the row group counts as not stored, and may be stored again.

        Raises:
            OSError: a file operation failed.
            StorageError: a value cannot be written.
        """

    def journal(self, records: Sequence[JournalRecord]) -> None:
        """Hand finished cells to the operating system: a killed process loses none of them (R14).

        Raises:
            OSError: a file operation failed; the records may not be there.
        """

    def sync_journal(self) -> None:
        """Make the cells journaled so far survive a loss of power.

        Raises:
            OSError: a file operation failed.
        """

    def complete(self, result: JobResult, capacity_plan: dict[str, Any] | None) -> JobResult:
        """Finish the run's files; return `result` with the folder's name, or with the rows themselves.

        Raises:
            OSError: a file operation failed.
        """


class RunFilesFactory(Protocol):
    """Where runs are kept."""

    def problems_of(self, out: str) -> tuple[Problem, ...]:
        """Say what stands against a new run in the folder `out`, changing nothing.

        Raises:
            OSError: the folder cannot be looked into.
        """

    def problems_of_resuming(self, out: str, job: Job, rows: int | None) -> tuple[Problem, ...]:
        """Say what stands against `job` going on in the folder `out`, changing nothing.

        A folder without a run is one for a new run. `rows` is how many the job makes, None where that is
        not known.

        Raises:
            OSError: the folder cannot be looked into.
        """

    def is_finished(self, out: str, rows: int) -> bool:
        """Return whether the run in the folder `out` says that it ended with so many rows, and none missing.

        Raises:
            OSError: the folder cannot be looked into.
        """

    def claim(self, run_id: str, out: str) -> tuple[Problem, ...]:
        """Keep every other process out of the folder `out`, if it holds a run, until this one is forgotten.

        Return who is in the way, if somebody runs a job in it. Done by `open` as well.

        Raises:
            OSError: a file operation failed.
        """

    def open(self, opening: OpenRun) -> RunFiles:
        """Make the run's folder, or a place in memory where `opening.out` is None.

        With `opening.resume`, go on with the run that the folder holds, if it holds one. A start that fails
        leaves behind nothing that would stand in the way of the next one.

        Raises:
            OSError: a file operation failed.
            StorageError: the folder cannot be used.
        """

    def forget(self, run_id: str) -> None:
        """Let go of a run that is complete, or will not begin: it will not be reopened."""

    def release(self) -> None:
        """Let other processes into the folder that is claimed, if one is."""

    def reopen(self, run_id: str) -> tuple[OpenRun, RunFiles] | None:
        """Go on with a run that was opened here and not completed, for a core that has lost its state.

        What is stored is found out anew, from what is stored. None where there is no such run.

        Raises:
            OSError: a file operation failed.
            StorageError: the folder cannot be used any more.
        """
