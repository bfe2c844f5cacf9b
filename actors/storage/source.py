"""The source file of a job: looked through once before the run, then read row group by row group."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

from actors.storage.failures import problem_of
from actors.storage.ports import Inspection, StorageError
from actors.storage.records import Record, Records, open_csv, read_csv, read_jsonl
from messages.job import Problem, Source

_PATH = "source.path"
_MAX_PROBLEMS = 10
_FORMATS: dict[str, Literal["csv", "jsonl"]] = {".csv": "csv", ".jsonl": "jsonl"}


class FileSources:
    """Opens sources; relative paths are relative to the job file's folder."""

    def inspect(self, source: Source, base_dir: str, limit: int | None) -> Inspection:
        """Read and check the first `limit` records (None: all) without keeping them.

        The first problems are told one by one, the rest of them as a number.
        """
        try:
            reader = self.open(source, base_dir)
        except StorageError as error:
            return Inspection(None, 0, error.problems)
        except OSError as error:
            found = problem_of(error, path=_PATH, doing=f"cannot read {source.path}")
            return Inspection(None, 0, (found,))
        try:
            return reader.inspect(limit)
        finally:
            reader.close()

    def open(self, source: Source, base_dir: str) -> FileSourceReader:
        """Return a reader that stands at the first record.

        Raises:
            OSError: the file cannot be read.
            StorageError: it is no file, of no known format, or its head is malformed.
        """
        if not source.path or "\0" in source.path:
            raise StorageError(
                Problem(_PATH, f"{source.path!r} is no name for a file", "name a csv or jsonl file")
            )
        path = Path(base_dir, source.path).absolute()
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise StorageError(Problem(_PATH, f"{path} is {what}", "name a csv or jsonl file"))
        format_ = source.format or _FORMATS.get(path.suffix.lower())
        if format_ is None:
            message = f"{path} ends in {path.suffix or 'nothing'!r}, which is no known format"
            raise StorageError(
                Problem(
                    _PATH, message, 'name a .csv or .jsonl file, or set source.format to "csv" or "jsonl"'
                )
            )
        return FileSourceReader(path, format_)


class FileSourceReader:
    """Owns an open source file and the place in it. Records are numbered from 0."""

    def __init__(self, path: Path, format_: Literal["csv", "jsonl"]) -> None:
        self._path = path
        self._format = format_
        self._file: TextIO | BinaryIO | None = None
        self._records: Iterator[Record | Problem] = iter(())
        self._next = 0
        self.fields = self._reopen().fields

    def inspect(self, limit: int | None) -> Inspection:
        """Read up to `limit` records from here on, and count what is right and what is wrong.

        Raises:
            OSError: the file cannot be read.
        """
        rows = bad = 0
        problems: list[Problem] = []
        try:
            for record in itertools.islice(self._records, limit):
                if not isinstance(record, Problem):
                    rows += 1
                    continue
                bad += 1
                if bad <= _MAX_PROBLEMS:
                    problems.append(record)
        except StorageError as error:
            problems += error.problems
        if bad > _MAX_PROBLEMS:
            problems.append(Problem(_PATH, f"{self._path}: {bad - _MAX_PROBLEMS} more records are malformed"))
        return Inspection(self.fields, rows, tuple(problems))

    def load(self, first_row: int, rows: int) -> dict[str, list[Any]]:
        """Return records `first_row .. first_row + rows - 1`, one list per field.

        Reading on is cheap, and so is skipping; going back reads the file from its start.

        Raises:
            OSError: the file cannot be read.
            StorageError: a record is malformed, or the file has fewer records than that.
        """
        try:
            if self._file is None or first_row < self._next:
                self._check_fields(self._reopen())
            self._take(first_row - self._next, keep=False)
            loaded = self._take(rows, keep=True)
        except (OSError, StorageError):
            # Where an iterator stands after a failure is unknown: the next load starts over.
            self.close()
            raise
        columns = (
            [list(values) for values in zip(*loaded, strict=True)] if loaded else [[] for _ in self.fields]
        )
        return dict(zip(self.fields, columns, strict=True))

    def close(self) -> None:
        """Let go of the file. Harmless twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._records = iter(())

    def _reopen(self) -> Records:
        self.close()
        self._next = 0
        try:
            if self._format == "csv":
                text = self._file = open_csv(self._path)
                opened = read_csv(text, self._path)
            else:
                lines = self._file = self._path.open("rb")
                opened = read_jsonl(lines, self._path)
        except (OSError, StorageError):
            self.close()
            raise
        self._records = opened.records
        return opened

    def _take(self, count: int, *, keep: bool) -> list[Record]:
        taken: list[Record] = []
        for record in itertools.islice(self._records, count):
            if isinstance(record, Problem):
                raise StorageError(record)
            self._next += 1
            count -= 1
            if keep:
                taken.append(record)
        if count:
            message = f"{self._path} has {self._next} records now, and record {self._next} is wanted"
            raise StorageError(Problem(_PATH, message, "do not change the file while a job reads it"))
        return taken

    def _check_fields(self, opened: Records) -> None:
        if opened.fields != self.fields:
            message = f"{self._path} has the fields {list(opened.fields)} now, and had {list(self.fields)}"
            raise StorageError(Problem(_PATH, message, "do not change the file while a job reads it"))
