"""The files of a run: made, filled row group by row group, completed. `layout.py` has their names."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from actors.storage import layout
from actors.storage.filesystem import FileSystem, LocalFileSystem, publish
from actors.storage.manifest import SCHEMA_VERSION, DroppedRecord, Manifest, Totals, fingerprint
from actors.storage.memory import MemoryRun
from actors.storage.ports import RunFiles, StorageError, Stored
from actors.storage.rows import encode_rows, rows_of
from messages.job import Problem
from messages.scheduler import DroppedRow, JobResult
from messages.storage import OpenRun

WallClock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the wall time, for people and for nothing else."""
    return datetime.now(UTC)


class FolderRun:
    """Owns one run's folder from its manifest on. Keeps no file open between calls."""

    def __init__(self, folder: Path, manifest: Manifest, files: FileSystem, wall_clock: WallClock) -> None:
        self._folder = folder
        self._manifest = manifest
        self._files = files
        self._wall_clock = wall_clock
        self._digits = layout.row_group_digits(-(-manifest.rows // max(1, manifest.row_group_size)))
        self._drops_end = 0
        self._drops_to_cut = False
        self._totals = Totals(0, 0, 0, 0)

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
        return Stored(written, time.perf_counter() - started)

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
        manifest = msgspec.structs.replace(
            self._manifest,
            status=result.status,
            closed_at=self._wall_clock(),
            result=msgspec.structs.replace(result, output=None, dataset=None),
            totals=self._totals,
        )
        publish(self._files, self._folder / layout.MANIFEST, to_json(manifest))
        return msgspec.structs.replace(result, output=self.output, dataset=None)


class FileRuns:
    """Makes runs: a folder each, or a place in memory where no folder is asked for."""

    def __init__(self, files: FileSystem | None = None, wall_clock: WallClock = utc_now) -> None:
        self._files: FileSystem = LocalFileSystem() if files is None else files
        self._wall_clock = wall_clock

    def problems_of(self, out: str) -> tuple[Problem, ...]:
        """Say what stands against a new run in the folder `out`, changing nothing.

        Raises:
            OSError: the folder cannot be looked into.
        """
        if not out or "\0" in out:
            return (Problem("out", f"{out!r} is no name for a folder", "name a folder"),)
        folder = Path(out).absolute()
        nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        if not nearest.is_dir():
            return (Problem("out", f"{nearest} is not a folder", "name another folder, or remove it"),)
        if not os.access(nearest, os.W_OK | os.X_OK):
            return (
                Problem(
                    "out", f"{nearest} cannot be written to", "change its permissions, or name another folder"
                ),
            )
        if nearest == folder and any(os.path.lexists(folder / name) for name in layout.STORED):
            return (_holds_a_run(folder),)
        return ()

    def open(self, opening: OpenRun) -> RunFiles:
        """Make the run's folder, its manifest last.

        Raises:
            OSError: a file operation failed; what was made before it has been removed.
            StorageError: the folder holds a run, or cannot be one; it is as it was.
        """
        if opening.out is None:
            return MemoryRun(opening.dataset_columns)
        problems = self.problems_of(opening.out)
        if problems:
            raise StorageError(*problems)
        folder = Path(opening.out).absolute()
        manifest = self._manifest_of(opening)
        self._files.make_folders(folder)
        try:
            self._files.claim_folder(folder / layout.ROWS)
        except FileExistsError:
            raise StorageError(_holds_a_run(folder)) from None
        try:
            self._fill(folder, manifest, opening.capacity_plan)
        except OSError:
            self._undo(folder)
            raise
        return FolderRun(folder, manifest, self._files, self._wall_clock)

    def _manifest_of(self, opening: OpenRun) -> Manifest:
        try:
            job_fingerprint = fingerprint(opening.job)
        except (TypeError, ValueError) as error:
            raise StorageError(
                Problem("", f"the job cannot be written as JSON: {error}", "use JSON-compatible values")
            ) from error
        return Manifest(
            schema_version=SCHEMA_VERSION,
            run_id=opening.run_id,
            job_name=opening.job.name,
            job_fingerprint=job_fingerprint,
            rows=opening.rows,
            row_group_size=opening.job.row_group_size,
            dataset_columns=opening.dataset_columns,
            created_at=self._wall_clock(),
        )

    def _fill(self, folder: Path, manifest: Manifest, capacity_plan: dict[str, Any] | None) -> None:
        self._files.write(folder / layout.DROPPED, b"")
        if capacity_plan is not None:
            publish(self._files, folder / layout.CAPACITY_PLAN, to_json(capacity_plan))
        publish(self._files, folder / layout.MANIFEST, to_json(manifest))

    def _undo(self, folder: Path) -> None:
        for name in (layout.MANIFEST, layout.CAPACITY_PLAN, layout.DROPPED):
            with contextlib.suppress(OSError):
                self._files.remove(folder / name)
        with contextlib.suppress(OSError):
            self._files.remove_folder(folder / layout.ROWS)


def to_json(value: Any) -> bytes:
    """Return a small document as indented JSON, for files that people open."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _holds_a_run(folder: Path) -> Problem:
    return Problem(
        path="out",
        message=f"{folder} already holds a run, and a run is never overwritten",
        remedy="choose another folder with --out, or delete this one",
    )


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
