"""Where runs are kept: a new folder is made, or one that holds a run is taken up again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from actors.storage import layout
from actors.storage.claim import Claim
from actors.storage.filesystem import FileSystem, LocalFileSystem, publish
from actors.storage.folder_run import Begun, FolderRun, WallClock, digits_of, to_json, utc_now
from actors.storage.journal import CellJournal
from actors.storage.manifest import SCHEMA_VERSION, Manifest, canonical, fingerprint
from actors.storage.memory import MemoryRun
from actors.storage.ports import RunFiles, StorageError, Unsettled, no_log_is_read
from actors.storage.resuming import is_false_start, is_finished, problems_of_resuming, resumed, run_record
from messages.job import Job, Problem
from messages.storage import OpenRun


class FileRuns:
    """Makes runs: a folder each, or a place in memory where no folder is asked for."""

    def __init__(
        self,
        files: FileSystem | None = None,
        wall_clock: WallClock = utc_now,
        unsettled: Unsettled = no_log_is_read,
    ) -> None:
        self._files: FileSystem = LocalFileSystem() if files is None else files
        self._wall_clock = wall_clock
        self._unsettled = unsettled
        self._claim = Claim(self._files)
        self._open: tuple[OpenRun, RunFiles] | None = None

    def problems_of(self, out: str) -> tuple[Problem, ...]:
        """Say what stands against a new run in the folder `out`, changing nothing.

        Raises:
            OSError: the folder cannot be looked into.
        """
        unusable = self._unusable(out)
        folder = Path(out).absolute()
        if not unusable and self._holds_any(folder, layout.STORED):
            return (_holds_a_run(folder),)
        return unusable

    def problems_of_resuming(self, out: str, job: Job, rows: int | None) -> tuple[Problem, ...]:
        """Say what stands against `job` going on in the folder `out`, changing nothing.

        A folder without a run is one for a new run. `rows` is how many the job makes, None where that is
        not known.

        Raises:
            OSError: the folder cannot be looked into.
        """
        unusable = self._unusable(out)
        if unusable:
            return unusable
        folder = Path(out).absolute()
        if self._has_manifest(folder):
            return problems_of_resuming(folder, job, rows, self._files)
        return () if is_false_start(folder, self._files) else self.problems_of(out)

    def is_finished(self, out: str, rows: int) -> bool:
        """Return whether the run in the folder `out` says that it ended with so many rows, and none missing.

        Raises:
            OSError: the folder cannot be looked into.
        """
        folder = Path(out).absolute()
        return self._has_manifest(folder) and is_finished(folder, rows, self._files)

    def claim(self, run_id: str, out: str) -> tuple[Problem, ...]:
        """Keep every other process out of the folder `out`, if it holds a run, until this one is forgotten.

        A folder without a run is claimed when it is opened: of two that begin there, the one that is first
        with its log goes on.

        Raises:
            OSError: the lock cannot be made.
        """
        folder = Path(out).absolute()
        if self._unusable(out) or not self._holds_any(folder, (*layout.STORED, layout.LOCK)):
            return ()
        return self._claim.take(run_id, folder)

    def open(self, opening: OpenRun) -> RunFiles:
        """Make the run's folder, its manifest last; or go on in it, where `opening.resume` and it has one.

        Raises:
            OSError: a file operation failed; of a new run, what was made before it has been removed.
            StorageError: the folder holds a run, or cannot be one, or is in use; it is as it was.
        """
        try:
            files = self._opened(opening, self._unsettled)
        except (OSError, StorageError):
            self._claim.give_up(opening.run_id)
            raise
        self._open = (opening, files)
        return files

    def forget(self, run_id: str) -> None:
        """Let go of a run that is complete, and of its rows where they are in memory."""
        self._claim.give_up(run_id)
        if self._open is not None and self._open[0].run_id == run_id:
            self._open = None

    def release(self) -> None:
        """Let other processes into the folder that is claimed, if one is."""
        self._claim.release()

    def reopen(self, run_id: str) -> tuple[OpenRun, RunFiles] | None:
        """Go on with the run that was opened last, from what its folder holds; in memory, as it is.

        Raises:
            OSError: a file operation failed.
            StorageError: the folder cannot be used any more.
        """
        if self._open is None or self._open[0].run_id != run_id:
            return None
        opening, files = self._open
        if opening.out is not None:
            # Its own log is still being written: what that has sent is not unsettled.
            files = self._opened(msgspec.structs.replace(opening, resume=True), no_log_is_read)
            self._open = (opening, files)
        return opening, files

    def _opened(self, opening: OpenRun, unsettled: Unsettled) -> RunFiles:
        if opening.out is None:
            return MemoryRun(opening.dataset_columns)
        folder = Path(opening.out).absolute()
        if opening.resume and not self._unusable(opening.out):
            if self._holds_any(folder, layout.STORED):
                _refuse(self._claim.take(opening.run_id, folder))
            if self._has_manifest(folder):
                begun = resumed(folder, opening, self._files, self._wall_clock(), unsettled)
                return FolderRun(folder, begun, self._files, self._wall_clock)
            if is_false_start(folder, self._files):
                self._undo(folder)
                for path in self._files.names(folder):
                    if path.name.endswith(layout.UNFINISHED):
                        self._files.remove(path)
        return self._new_run(folder, opening)

    def _new_run(self, folder: Path, opening: OpenRun) -> FolderRun:
        _refuse(self.problems_of(str(folder)))
        manifest = self._manifest_of(folder, opening)
        self._files.make_folders(folder)
        _refuse(self._claim.take(opening.run_id, folder))
        try:
            self._files.claim_folder(folder / layout.ROWS)
        except FileExistsError:
            raise StorageError(_holds_a_run(folder)) from None
        try:
            self._fill(folder, manifest, opening.capacity_plan)
        except OSError:
            self._undo(folder)
            raise
        begun = Begun(manifest, CellJournal(folder, self._files, digits_of(manifest)))
        return FolderRun(folder, begun, self._files, self._wall_clock)

    def _manifest_of(self, folder: Path, opening: OpenRun) -> Manifest:
        try:
            job = canonical(opening.job)
        except (TypeError, ValueError) as error:
            raise StorageError(
                Problem("", f"the job cannot be written as JSON: {error}", "use JSON-compatible values")
            ) from error
        now = self._wall_clock()
        return Manifest(
            schema_version=SCHEMA_VERSION,
            run_id=opening.run_id,
            job_name=opening.job.name,
            job_fingerprint=fingerprint(opening.job),
            job=job,
            rows=opening.rows,
            row_group_size=opening.job.row_group_size,
            dataset_columns=opening.dataset_columns,
            created_at=now,
            runs=(run_record(folder, opening, now),),
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

    def _holds_any(self, folder: Path, names: tuple[str, ...]) -> bool:
        return any(self._files.kind(folder / name) is not None for name in names)

    def _has_manifest(self, folder: Path) -> bool:
        return self._files.kind(folder / layout.MANIFEST) in ("file", "folder")

    def _unusable(self, out: str) -> tuple[Problem, ...]:
        """Return why `out` cannot be a folder that is written to."""
        if not out or "\0" in out:
            return (Problem("out", f"{out!r} is no name for a folder", "name a folder"),)
        folder, kind = Path(out).absolute(), self._files.kind
        nearest = next(path for path in (folder, *folder.parents) if kind(path) is not None)
        if kind(nearest) != "folder":
            return (Problem("out", f"{nearest} is not a folder", "name another folder, or remove it"),)
        if not self._files.may_write(nearest):
            remedy = "change its permissions, or name another folder"
            return (Problem("out", f"{nearest} cannot be written to", remedy),)
        return ()


def _refuse(problems: tuple[Problem, ...]) -> None:
    if problems:
        raise StorageError(*problems)


def _holds_a_run(folder: Path) -> Problem:
    return Problem(
        path="out",
        message=f"{folder} already holds a run, and a run is never overwritten",
        remedy="continue it with --resume, choose another folder with --out, or delete this one",
    )
