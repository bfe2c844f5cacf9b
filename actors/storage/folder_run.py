"""One run's folder, filled row group by row group and completed. `layout.py` has its files' names."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from actors.storage import layout
from actors.storage.filesystem import FileSystem, publish
from actors.storage.journal import CellJournal
from actors.storage.manifest import DroppedRecord, Manifest, Totals
from actors.storage.ports import Stored
from actors.storage.rows import encode_rows, rows_of
from messages.scheduler import DroppedRow, JobResult
from messages.storage import Earlier, JournalRecord

WallClock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the wall time, for people and for nothing else."""
    return datetime.now(UTC)


class Begun(NamedTuple):
    """Where a run starts from: its manifest, and what its folder holds already.

    `drops_end` is the length of `dropped.jsonl`, all of whose lines belong to stored row groups.
    """

    manifest: Manifest
    journal: CellJournal
    totals: Totals = Totals(0, 0, 0, 0)
    drops_end: int = 0
    earlier: Earlier = Earlier()


class FolderRun:
    """Owns one run's folder from its manifest on. Keeps no file open between calls."""

    def __init__(self, folder: Path, begun: Begun, files: FileSystem, wall_clock: WallClock) -> None:
        self.earlier = begun.earlier
        self._folder = folder
        self._manifest = begun.manifest
        self._files = files
        self._wall_clock = wall_clock
        self._digits = digits_of(begun.manifest)
        self._journal = begun.journal
        self._drops_end = begun.drops_end
        self._drops_to_cut = False
        self._totals = begun.totals

    @property
    def output(self) -> str | None:
        """The folder's absolute path."""
        return str(self._folder)

    def store(
        self,
        row_group: int,
        columns: dict[str, list[Any]],
        rows: int,
        dropped: Sequence[DroppedRow],
    ) -> Stored:
        """Write the row group's dropped rows, then its file: a finished one has its drops on record.

        Raises:
            OSError: a file operation failed; the row group has no file.
            StorageError: a value cannot be written as JSON; nothing was written.
        """
        started = time.perf_counter()
        data = encode_rows(rows_of(columns, self._manifest.dataset_columns, rows))
        lines = _drops_as_lines(row_group, dropped)
        path = self._folder / layout.ROWS / layout.row_group_name(row_group, self._digits)
        if lines:
            self._drops_to_cut = True
            self._files.append(self._folder / layout.DROPPED, self._drops_end, lines)
        try:
            publish(self._files, path, data)
        except OSError:
            # Not acknowledged, so it must not be found among the finished ones either.
            with contextlib.suppress(OSError):
                self._files.remove(path)
            raise
        # Only now: the drops of a row group that did not get its file are cut off by the next ones.
        self._drops_end += len(lines)
        self._drops_to_cut = self._drops_to_cut and not lines
        written = len(data) + len(lines)
        before = self._totals
        self._totals = Totals(
            row_groups_stored=before.row_groups_stored + 1,
            rows_written=before.rows_written + rows,
            rows_dropped=before.rows_dropped + len(dropped),
            bytes_written=before.bytes_written + written,
        )
        if rows + len(dropped) == self._manifest.row_group_size:
            self._journal.discard(row_group)
        return Stored(written, time.perf_counter() - started)

    def journal(self, records: Sequence[JournalRecord]) -> None:
        """Hand finished cells to the operating system: a killed process loses none of them.

        Raises:
            OSError: a file operation failed; the records may not be there.
        """
        self._journal.append(records)

    def sync_journal(self) -> None:
        """Make the cells journaled so far survive a loss of power.

        Raises:
            OSError: a file operation failed.
        """
        self._journal.sync()

    def complete(self, result: JobResult, capacity_plan: dict[str, Any] | None) -> JobResult:
        """Write the capacity plan and the final manifest; return the result with the folder's name.

        Lines that a row group left in `dropped.jsonl` without getting its file are cut off.

        Raises:
            OSError: a file operation failed; the rows stored so far are not touched by it.
        """
        if self._drops_to_cut:
            self._files.append(self._folder / layout.DROPPED, self._drops_end, b"")
        if capacity_plan is not None:
            publish(self._files, self._folder / layout.CAPACITY_PLAN, to_json(capacity_plan))
        self._journal.remove_folder()
        now, *earlier = self._wall_clock(), *self._manifest.runs[:-1]
        this = msgspec.structs.replace(self._manifest.runs[-1], status=result.status, closed_at=now)
        manifest = msgspec.structs.replace(
            self._manifest,
            status=result.status,
            closed_at=now,
            runs=(*earlier, this),
            result=msgspec.structs.replace(result, output=None, dataset=None),
            totals=self._totals,
        )
        publish(self._files, self._folder / layout.MANIFEST, to_json(manifest))
        return msgspec.structs.replace(result, output=self.output, dataset=None)


def digits_of(manifest: Manifest) -> int:
    """Return how many digits number the run's row groups."""
    return layout.row_group_digits(-(-manifest.rows // max(1, manifest.row_group_size)))


def to_json(value: Any) -> bytes:
    """Return a small document as indented JSON, for files that people open."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _drops_as_lines(row_group: int, dropped: Sequence[DroppedRow]) -> bytes:
    records = [
        DroppedRecord(
            row=row.row,
            column=row.column,
            attempts=row.attempts,
            reason=row.reason,
            error=_writable(row.error),
            causes=tuple(_writable(cause) for cause in row.causes),
            row_group=row_group,
        )
        for row in dropped
    ]
    return msgspec.json.Encoder().encode_lines(records)


def _writable(text: str) -> str:
    """Return the text with what UTF-8 cannot carry escaped: an error may quote anything."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
