"""Reading a run's folder back: for the command line's tools and for resume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from actors.storage import layout
from actors.storage.filesystem import LocalReading, Reading
from actors.storage.manifest import SCHEMA_VERSION, DroppedRecord, Manifest


class NotARunFolderError(ValueError):
    """The folder does not hold a run that can be read; the message says why and what to do."""


class RunFolder(NamedTuple):
    """A folder that holds a run, finished or not. What is in `rows/` is the truth about its progress."""

    path: Path
    manifest: Manifest
    files: Reading

    @property
    def log_path(self) -> Path:
        """Where the actor log of the folder's latest run is, if it was kept."""
        return self.path / (self.manifest.runs[-1].log or layout.ACTOR_LOG)

    @property
    def capacity_plan_path(self) -> Path:
        """Where the run's capacity plan is."""
        return self.path / layout.CAPACITY_PLAN

    def rows_files(self) -> dict[int, Path]:
        """Return the files of the finished row groups by number, in order.

        Raises:
            OSError: `rows/` cannot be listed.
        """
        paths = self.files.names(self.path / layout.ROWS)
        names = ((layout.row_group_number(path.name), path) for path in paths)
        return dict(sorted((number, path) for number, path in names if number is not None))

    def dropped(self) -> Iterator[DroppedRecord]:
        """Yield the dropped rows of finished row groups.

        Lines of an unfinished row group, and a last line torn by a crash, belong to rows that are still
        pending, and are passed over.

        Raises:
            NotARunFolderError: another line is malformed; names it.
            OSError: a file cannot be read.
        """
        finished = self.rows_files().keys()
        path = self.path / layout.DROPPED
        decode = msgspec.json.Decoder(DroppedRecord).decode
        for number, line in enumerate(self.files.lines(path), 1):
            if not line.endswith(b"\n"):
                return
            try:
                record = decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise NotARunFolderError(f"{path}, line {number}: {error}") from error
            if record.row_group in finished:
                yield record


def open_run_folder(path: str | Path, files: Reading | None = None) -> RunFolder:
    """Return the run that the folder holds. `files` are the operating system's where none are given.

    Raises:
        NotARunFolderError: it holds none, or one of another version; says why and what to do.
        OSError: its manifest cannot be read.
    """
    folder = Path(path)
    manifest = folder / layout.MANIFEST
    files = LocalReading() if files is None else files
    kind = files.kind(folder)
    if kind != "folder":
        what = "does not exist" if kind is None else "is not a folder"
        raise NotARunFolderError(f"{folder} {what}: name the folder given to --out")
    try:
        content = files.read(manifest)
    except FileNotFoundError:
        raise NotARunFolderError(
            f"{folder} holds no run, for it has no {layout.MANIFEST}: name the folder given to --out"
        ) from None
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise NotARunFolderError(
                f"{manifest} has schema version {version}, but this program reads {SCHEMA_VERSION}: "
                "use the version of the program that made it"
            )
        return RunFolder(folder, msgspec.json.decode(content, type=Manifest), files)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotARunFolderError(f"{manifest} is not a manifest: {error}") from error


class _Version(msgspec.Struct):
    schema_version: int
