"""The cell journal: finished model calls of row groups that are not stored yet (R14).

One file per row group in work, `journal/0000007.jsonl`, a `JournalRecord` a line. A file goes when its row
group is stored, so the journal is never longer than the work in flight. The last row group keeps its file
where it is a short one: should the job be given more rows, that row group is made anew from it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from actors.storage import layout
from actors.storage.filesystem import FileSystem, publish
from messages.storage import JournalRecord

_ENCODER = msgspec.json.Encoder()


class CellJournal:
    """Owns the folder `journal/` of a run, which is made for the first record. Keeps no file open."""

    def __init__(self, run_folder: Path, files: FileSystem, digits: int) -> None:
        self._folder = run_folder / layout.JOURNAL
        self._files = files
        self._digits = digits
        self._ends: dict[int, int] = {}
        self._unsynced: set[int] = set()
        self._new_names = False
        self._made = False

    def append(self, records: Iterable[JournalRecord]) -> None:
        """Hand the records to the operating system. A record that JSON cannot hold is left out.

        Raises:
            OSError: a file operation failed; none of that row group's records count, and the next
                append cuts off what it left.
        """
        lines: dict[int, list[bytes]] = {}
        for record in records:
            # Such a value cannot be stored in its row group either, which is where the user is told.
            with contextlib.suppress(TypeError, ValueError, OverflowError, RecursionError):
                lines.setdefault(record.row_group, []).append(_ENCODER.encode(record) + b"\n")
        if lines and not self._made:
            self._files.make_folders(self._folder)
            self._made = True
        for row_group, parts in lines.items():
            data = b"".join(parts)
            end = self._ends.get(row_group, 0)
            self._files.extend(self._path(row_group), end, data)
            self._new_names = self._new_names or row_group not in self._ends
            self._ends[row_group] = end + len(data)
            self._unsynced.add(row_group)

    def sync(self) -> None:
        """Make every record durable.

        Raises:
            OSError: a file operation failed.
        """
        for row_group in sorted(self._unsynced):
            self._files.sync(self._path(row_group))
            self._unsynced.discard(row_group)
        if self._new_names:
            self._files.sync_folder(self._folder)
            self._new_names = False

    def discard(self, row_group: int) -> None:
        """Forget the records of a row group that is stored. A file that will not go is swept by a resume."""
        self._unsynced.discard(row_group)
        if self._ends.pop(row_group, None) is not None:
            with contextlib.suppress(OSError):
                self._files.remove(self._path(row_group))

    def remove_folder(self) -> None:
        """Remove the folder if no row group has records any more."""
        if self._made and not self._ends:
            with contextlib.suppress(OSError):
                self._files.remove_folder(self._folder)
                self._made = False

    def take_over(self, kept: Iterable[int], resized: int | None) -> list[JournalRecord]:
        """Take what earlier runs left: return the records of the row groups that are still to be made.

        Files of row groups that are not among `kept` go. Lines that cannot be read, such as one torn by a
        crash, are cut out: their cells are made again. `resized` is the row group that has got more rows:
        records about all of it are no longer true.

        Raises:
            OSError: a file operation failed.
        """
        if self._files.kind(self._folder) != "folder":
            return []
        self._made = True
        wanted = set(kept)
        found: list[JournalRecord] = []
        for path in self._files.names(self._folder):
            row_group = layout.row_group_number(path.name)
            if row_group not in wanted:
                self._files.remove(path)
            else:
                found += self._taken(path, row_group, resized=row_group == resized)
        return found

    def _taken(self, path: Path, row_group: int, *, resized: bool) -> list[JournalRecord]:
        content = self._files.read(path)
        lines = [
            (line, record)
            for line, record in _readable(content)
            if record.row_group == row_group and not (resized and record.row is None)
        ]
        good = b"".join(line for line, _ in lines)
        if good != content:
            publish(self._files, path, good)
        self._ends[row_group] = len(good)
        return [record for _, record in lines]

    def _path(self, row_group: int) -> Path:
        return self._folder / layout.row_group_name(row_group, self._digits)


def _readable(content: bytes) -> Iterator[tuple[bytes, JournalRecord]]:
    decode = msgspec.json.Decoder(JournalRecord).decode
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                yield line, decode(line)
