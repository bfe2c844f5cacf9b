"""A disk in memory that keeps what POSIX promises over the end of a process or of the power, and fails."""

from __future__ import annotations

import contextlib
import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from actors.storage.files import FileRuns
from actors.storage.folder import NotARunFolderError, open_run_folder
from actors.storage.locking import HeldError
from messages.storage import JournalRecord

FOLDER = object()
NOW = datetime(2001, 1, 1, tzinfo=UTC)


class _File:
    """A file whatever its name: what is read from it, and what of it would outlive a loss of power."""

    __slots__ = ("content", "durable")

    def __init__(self):
        self.content = bytearray()
        self.durable = b""

    def sync(self):
        self.durable = bytes(self.content)


class SimulatedDisk:
    """Names and contents, each as they are and as they are durable.

    A process that ends takes nothing with it: what was handed to the operating system is there. A loss of
    power leaves contents as they were synced, plus any first part of what was written since, and of the
    changes of a folder's names since its last sync any first part, in their order.
    """

    def __init__(self):
        root = Path("/")
        self._names = {root: FOLDER}
        self._durable = {root: FOLDER}
        self._pending = {}
        self._operations = 0
        self._failing = {}
        self._lasting = None
        self._locked = set()

    # -- faults --------------------------------------------------------------------------------------

    def fail_at(self, operation, error, when, *, lasting, told):
        """Let an operation that changes something fail; with `lasting`, all that follow it as well.

        `told` is called when it does.
        """
        self._failing[self._operations + operation] = (getattr(errno, error), when, lasting, told)

    def process_ends(self, *, power, chance):
        """The process is gone, and with `power` the memory of the whole machine."""
        self._failing, self._lasting = {}, None
        self._locked = set()
        if not power:
            return
        for folder in sorted(self._pending):
            changes = self._pending[folder]
            for change in changes[: chance.randrange(len(changes) + 1)]:
                change(self._durable)
        self._pending = {}
        self._names = dict(self._durable)
        for path in [path for path in self._names if path.parent not in self._names]:
            del self._names[path], self._durable[path]  # its folder's name was lost
        for path in sorted(self._names):
            found = self._names[path]
            if found is not FOLDER and found.content != found.durable:
                _tear(found, chance)

    # -- reading -------------------------------------------------------------------------------------

    def kind(self, path):
        found = self._names.get(path)
        return None if found is None else "folder" if found is FOLDER else "file"

    def may_write(self, folder):
        return True

    def names(self, folder):
        self._folder(folder)
        return sorted(path for path in self._names if path.parent == folder and path != folder)

    def read(self, path):
        return bytes(self._file(path).content)

    def lines(self, path):
        yield from self.read(path).splitlines(keepends=True)

    # -- writing -------------------------------------------------------------------------------------

    def make_folders(self, folder):
        with self._operation(folder):
            for path in reversed([folder, *folder.parents]):
                self._names[path] = self._durable[path] = FOLDER

    def claim_folder(self, folder):
        with self._operation(folder, whole=True):
            self._folder(folder.parent)
            if folder in self._names:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
            self._name(folder, FOLDER)

    def write(self, path, data):
        with self._operation(path) as share:
            file = self._made(path)
            file.content[:] = data[: share(len(data))]
            file.sync()

    def append(self, path, at, data):
        with self._operation(path) as share:
            self._put(self._file(path), path, at, data[: share(len(data))])
            self._file(path).sync()

    def extend(self, path, at, data):
        with self._operation(path) as share:
            self._put(self._made(path), path, at, data[: share(len(data))])

    def sync(self, path):
        with self._operation(path):
            self._file(path).sync()

    def rename(self, old, new):
        with self._operation(new, whole=True):
            file = self._file(old)

            def change(names):
                names.pop(old, None)
                names[new] = file

            self._change(new.parent, change)

    def sync_folder(self, folder):
        with self._operation(folder):
            self._folder(folder)
            for change in self._pending.pop(folder, ()):
                change(self._durable)

    def remove(self, path):
        with self._operation(path, frees=True):
            self._file(path)
            self._change(path.parent, lambda names: names.pop(path, None))

    def remove_folder(self, folder):
        with self._operation(folder, frees=True):
            self._folder(folder)
            if self.names(folder):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(folder))
            self._change(folder.parent, lambda names: names.pop(folder, None))

    def lock(self, path):
        """Take a lock; there is one process at a time, so only its own can be in the way. No operation."""
        if path in self._locked:
            raise HeldError("the process itself")
        self._locked.add(path)
        return _Lock(lambda: self._locked.discard(path))

    @property
    def locked(self):
        """The locks that are held."""
        return sorted(self._locked)

    # -- inside --------------------------------------------------------------------------------------

    def _operation(self, path, *, whole=False, frees=False):
        """Count an operation. What happens `whole` fails before it does; what `frees` room can lack none."""
        self._operations += 1
        error, when = self._lasting, "before"
        if self._operations in self._failing:
            error, when, lasting, told = self._failing.pop(self._operations)
            self._lasting = error if lasting else None
            told()
        if frees and error == errno.ENOSPC:
            error = None
        return _Operation(self, path, error, "before" if whole else when)

    def _name(self, path, what):
        self._change(path.parent, lambda names: names.__setitem__(path, what))

    def _change(self, folder, change):
        change(self._names)
        self._pending.setdefault(folder, []).append(change)

    def _folder(self, folder):
        if self._names.get(folder) is not FOLDER:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))

    def _file(self, path):
        found = self._names.get(path)
        if found is None or found is FOLDER:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return found

    def _made(self, path):
        if self._names.get(path) is None:
            self._folder(path.parent)
            self._name(path, _File())
        return self._file(path)

    def _put(self, file, path, at, data):
        if len(file.content) < at:
            raise OSError(errno.EIO, "the file has lost lines that were written to it", str(path))
        file.content[at:] = data


class _Lock:
    def __init__(self, release):
        self.release = release


class _Operation:
    """One change of the disk; a failing one raises before, half-way through or after it."""

    def __init__(self, disk, path, error, when):
        self._disk = disk
        self._path = path
        self._error = error
        self._when = when

    def __enter__(self):
        if self._error is not None and self._when == "before":
            self._fail()
        return self._share

    def __exit__(self, kind, error, traceback):
        if kind is None and self._error is not None:
            self._fail()

    def _share(self, length):
        return length // 2 if self._error is not None and self._when == "half" else length

    def _fail(self):
        raise OSError(self._error, os.strerror(self._error), str(self._path))


def _tear(file, chance):
    """Let a file be what it may be after a loss of power."""
    kept, written = file.durable, bytes(file.content)
    if written.startswith(kept):
        kept = written[: chance.randrange(len(kept), len(written) + 1)]
        if chance.random() < 0.2 and len(kept) > len(file.durable):
            kept = kept[:-1] + b"\0"
    elif chance.random() < 0.5:
        kept = written[: chance.randrange(len(written) + 1)]
    file.content[:] = kept
    file.sync()


def runs_on(disk, unsettled):
    """Return where runs are kept on this disk."""
    return FileRuns(disk, wall_clock=lambda: NOW, unsettled=unsettled)


def journaled_on(disk, out):
    """Return the cells whose values are on the disk, as (column, row group, row), of whole lines only."""
    folder = Path(out) / "journal"
    found = set()
    for path in disk.names(folder) if disk.kind(folder) == "folder" else ():
        with contextlib.suppress(msgspec.DecodeError, ValueError):
            for line in disk.lines(path):
                if line.endswith(b"\n"):
                    record = msgspec.json.decode(line, type=JournalRecord)
                    found.add((record.column, record.row_group, record.row))
    return found


def rows_on(disk, out):
    """Return what is on the disk: the rows of finished row groups, in order, and their dropped rows."""
    try:
        run = open_run_folder(out, disk)
    except NotARunFolderError:
        return [], []
    files = run.rows_files()
    rows = [msgspec.json.decode(line) for path in files.values() for line in disk.lines(path)]
    return rows, list(run.dropped())
