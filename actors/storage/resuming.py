"""A folder's run is taken up again: what is finished in it is kept, and everything else is swept away.

What lies in `rows/` and `dropped.jsonl` is the truth about progress (R10). A row group counts as finished if
its rows and its dropped rows add up to its size; any other is made again, from the cell journal where that
has its cells. Every step leaves a folder that can be resumed, so that a crash in between does no harm.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from actors.storage import layout
from actors.storage.changes import changes
from actors.storage.filesystem import FileSystem, Reading, publish
from actors.storage.folder import NotARunFolderError, RunFolder, open_run_folder
from actors.storage.folder_run import Begun, digits_of, to_json
from actors.storage.journal import CellJournal
from actors.storage.manifest import DroppedRecord, Manifest, RunRecord, Totals, canonical, fingerprint
from actors.storage.ports import StorageError, Unsettled
from messages.job import Job, Problem
from messages.storage import Earlier, OpenRun

_OTHER_FOLDER = "choose another folder with --out"
_FINISHED = ("succeeded", "partial")


def is_false_start(folder: Path, files: Reading) -> bool:
    """Return whether the folder holds what a run leaves that was killed before its manifest was there.

    Raises:
        OSError: the folder cannot be looked into.
    """
    rows, dropped = folder / layout.ROWS, folder / layout.DROPPED
    if files.kind(folder / layout.MANIFEST) is not None or files.kind(rows) != "folder":
        return False
    return not files.names(rows) and not (files.kind(dropped) is not None and files.read(dropped))


def run_record(folder: Path, opening: OpenRun, now: datetime) -> RunRecord:
    """Return the manifest's entry of the run that is opened."""
    log = None if opening.log is None else Path(opening.log).absolute()
    name = None if log is None else log.name if log.parent == folder else os.fspath(log)
    return RunRecord(run_id=opening.run_id, started_at=now, log=name)


def problems_of_resuming(folder: Path, job: Job, rows: int | None, files: Reading) -> tuple[Problem, ...]:
    """Say what stands against `job` of `rows` rows going on with the folder's run.

    Raises:
        OSError: the folder cannot be read.
    """
    try:
        manifest = open_run_folder(folder, files).manifest
        content = canonical(job)
    except NotARunFolderError as error:
        return (Problem("out", str(error), _OTHER_FOLDER),)
    except (TypeError, ValueError):
        return ()  # said of the job itself, with the place
    problems = changes(manifest.job, content)
    if rows is not None and rows < manifest.rows:
        told = Problem("rows", f"{manifest.rows} -> {rows}", "a resumed job may have more rows, never fewer")
        problems += (told,)
    return problems


def is_finished(folder: Path, rows: int, files: Reading) -> bool:
    """Return whether the folder's last run ended with so many rows, and none missing, as its manifest says.

    Raises:
        OSError: the folder cannot be read.
    """
    try:
        manifest = open_run_folder(folder, files).manifest
    except NotARunFolderError:
        return False
    return manifest.rows == rows and manifest.status in _FINISHED


def resumed(folder: Path, opening: OpenRun, files: FileSystem, now: datetime, unsettled: Unsettled) -> Begun:
    """Make the folder one that the run of `opening` can go on in, its manifest last.

    Raises:
        OSError: a file operation failed; the folder can still be resumed.
        StorageError: the folder's run is of another job; nothing was changed.
    """
    problems = problems_of_resuming(folder, opening.job, opening.rows, files)
    if problems:
        raise StorageError(*problems)
    run = open_run_folder(folder, files)
    before = run.manifest
    if before.dataset_columns != opening.dataset_columns:
        told = f"{', '.join(before.dataset_columns)} -> {', '.join(opening.dataset_columns)}"
        raise StorageError(Problem("columns", told, f"run the job as it was, or {_OTHER_FOLDER}"))
    manifest = _continued(run, opening, now, unsettled)
    try:
        found = _survey(run, opening.rows)
    except NotARunFolderError as error:
        raise StorageError(Problem("out", str(error), _OTHER_FOLDER)) from error
    _sweep(run, found, files)
    journal = CellJournal(folder, files, digits_of(manifest))
    records = journal.take_over(_journaled(manifest, found), _resized(before, manifest))
    if opening.capacity_plan is not None:
        publish(files, folder / layout.CAPACITY_PLAN, to_json(opening.capacity_plan))
    publish(files, folder / layout.MANIFEST, to_json(manifest))
    earlier = Earlier(
        row_groups=_ranges(found.rows),
        rows_written=sum(found.rows.values()),
        drop_reasons=dict(Counter(record.reason for record in found.dropped)),
        journal=tuple(record for record in records if record.row_group not in found.rows),
        possibly_billed=sum(len(each.possibly_billed) for each in manifest.runs),
    )
    totals = Totals(
        len(found.rows), earlier.rows_written, earlier.rows_dropped, found.row_bytes + len(found.drop_lines)
    )
    return Begun(manifest, journal, totals, len(found.drop_lines), earlier)


class _Survey(NamedTuple):
    """What is finished: rows by row group, its dropped rows, and `dropped.jsonl` as it should be."""

    rows: dict[int, int]
    row_bytes: int
    dropped: list[DroppedRecord]
    drop_lines: bytes
    unfinished: list[Path]


def _survey(run: RunFolder, rows: int) -> _Survey:
    size = run.manifest.row_group_size
    dropped: dict[int, dict[int, DroppedRecord]] = {}
    for record in run.dropped():
        # A row group that was stored at a second try may have left the drops of its first.
        dropped.setdefault(record.row_group, {})[record.row] = record
    whole: dict[int, int] = {}
    row_bytes, unfinished = 0, []
    for row_group, path in run.rows_files().items():
        content = run.files.read(path)
        first = row_group * size
        expected = range(first, min(first + size, rows))
        lines, drops = content.count(b"\n"), dropped.get(row_group, {})
        if expected and lines + len(drops) == len(expected) and all(row in expected for row in drops):
            whole[row_group] = lines
            row_bytes += len(content)
        else:
            unfinished.append(path)
    kept = [record for row_group in sorted(whole) for record in dropped.get(row_group, {}).values()]
    return _Survey(whole, row_bytes, kept, msgspec.json.Encoder().encode_lines(kept), unfinished)


def _sweep(run: RunFolder, found: _Survey, files: FileSystem) -> None:
    """Remove what is not finished: files, drops, and what a killed process was in the middle of writing."""
    folder, rows = run.path, run.path / layout.ROWS
    for path in (*found.unfinished, *_half_written(folder, files), *_half_written(rows, files)):
        files.remove(path)
    if found.unfinished:
        files.sync_folder(rows)
    dropped = folder / layout.DROPPED
    if files.read(dropped) != found.drop_lines:
        publish(files, dropped, found.drop_lines)


def _half_written(folder: Path, files: Reading) -> list[Path]:
    return [path for path in files.names(folder) if path.name.endswith(layout.UNFINISHED)]


def _continued(run: RunFolder, opening: OpenRun, now: datetime, unsettled: Unsettled) -> Manifest:
    """Return the manifest with one more run; a run before it that was killed gets what its log tells."""
    before = run.manifest
    *settled, last = before.runs
    if last.closed_at is None and last.log is not None:
        last = msgspec.structs.replace(last, possibly_billed=unsettled(run.path / last.log))
    return msgspec.structs.replace(
        before,
        run_id=opening.run_id,
        job_fingerprint=fingerprint(opening.job),
        job=canonical(opening.job),
        rows=opening.rows,
        runs=(*settled, last, run_record(run.path, opening, now)),
        status="running",
        closed_at=None,
        result=None,
        totals=None,
    )


def _journaled(manifest: Manifest, found: _Survey) -> list[int]:
    """Return the row groups whose journal is kept: unfinished ones, and a short last one, which may grow."""
    size = manifest.row_group_size
    row_groups = range(-(-manifest.rows // size))
    return [
        number for number in row_groups if number not in found.rows or (number + 1) * size > manifest.rows
    ]


def _resized(before: Manifest, now: Manifest) -> int | None:
    """Return the row group that was short before and has more rows now."""
    size = before.row_group_size
    return before.rows // size if before.rows % size and now.rows > before.rows else None


def _ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return ascending numbers as ranges `(first, end)`."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return tuple(ranges)
