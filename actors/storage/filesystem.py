"""The few file operations that a run's folder is made of, and the real ones."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

from actors.storage.layout import UNFINISHED
from actors.storage.locking import FileLock, Lock

_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP})


class Reading(Protocol):
    """What is asked of a disk. Everything raises OSError when it fails."""

    def kind(self, path: Path) -> Literal["file", "folder", "other"] | None:
        """Return what has this name, None where nothing has; a link that leads nowhere is `other`."""

    def may_write(self, folder: Path) -> bool:
        """Return whether files can be made in the folder."""

    def names(self, folder: Path) -> list[Path]:
        """Return everything in the folder, sorted."""

    def read(self, path: Path) -> bytes:
        """Return the file's content."""

    def lines(self, path: Path) -> Iterator[bytes]:
        """Yield the file's lines, each with its end, one in memory at a time."""


class FileSystem(Reading, Protocol):
    """What storing a run does to a disk. Every operation raises OSError when it fails."""

    def make_folders(self, folder: Path) -> None:
        """Make the folder and those above it that are missing, durably."""

    def claim_folder(self, folder: Path) -> None:
        """Make the folder; FileExistsError where there is one, so that only one process ever succeeds."""

    def write(self, path: Path, data: bytes) -> None:
        """Make the file hold exactly `data`, and sync it."""

    def append(self, path: Path, at: int, data: bytes) -> None:
        """Cut the file to its first `at` bytes, add `data`, and sync it.

        So whatever a failed append left behind is gone with the next one.
        """

    def extend(self, path: Path, at: int, data: bytes) -> None:
        """Do as `append` without syncing; the file is made if there is none."""

    def sync(self, path: Path) -> None:
        """Make the file's content durable."""

    def rename(self, old: Path, new: Path) -> None:
        """Give the file another name, replacing what has it, in one step."""

    def sync_folder(self, folder: Path) -> None:
        """Make the names in the folder durable."""

    def remove(self, path: Path) -> None:
        """Remove a file."""

    def remove_folder(self, folder: Path) -> None:
        """Remove an empty folder."""

    def lock(self, path: Path) -> Lock:
        """Take the lock that the file stands for; it ends with the process. HeldError: somebody has it."""


class LocalReading:
    """The operating system's files, to be looked at."""

    def kind(self, path: Path) -> Literal["file", "folder", "other"] | None:
        """Return what has this name, None where nothing has; a link that leads nowhere is `other`."""
        if path.is_dir():
            return "folder"
        if path.is_file():
            return "file"
        return "other" if os.path.lexists(path) else None

    def may_write(self, folder: Path) -> bool:
        """Return whether files can be made in the folder."""
        return os.access(folder, os.W_OK | os.X_OK)

    def names(self, folder: Path) -> list[Path]:
        """Return everything in the folder, sorted."""
        return sorted(folder.iterdir())

    def read(self, path: Path) -> bytes:
        """Return the file's content."""
        return path.read_bytes()

    def lines(self, path: Path) -> Iterator[bytes]:
        """Yield the file's lines, each with its end, one in memory at a time."""
        with path.open("rb") as lines:
            yield from lines


class LocalFileSystem(LocalReading):
    """The operating system's files."""

    def make_folders(self, folder: Path) -> None:
        """Make the folder and those above it that are missing, durably."""
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            self.sync_folder(path.parent)

    def claim_folder(self, folder: Path) -> None:
        """Make the folder; FileExistsError where there is one."""
        folder.mkdir()

    def write(self, path: Path, data: bytes) -> None:
        """Make the file hold exactly `data`, and sync it."""
        with _opened(path, os.O_CREAT | os.O_TRUNC) as file:
            _write_all(file, data)
            os.fsync(file)

    def append(self, path: Path, at: int, data: bytes) -> None:
        """Cut the file to its first `at` bytes, add `data`, and sync it."""
        with _opened(path, 0) as file:
            _write_at(file, at, data)
            os.fsync(file)

    def extend(self, path: Path, at: int, data: bytes) -> None:
        """Do as `append` without syncing; the file is made if there is none."""
        with _opened(path, os.O_CREAT) as file:
            _write_at(file, at, data)

    def sync(self, path: Path) -> None:
        """Make the file's content durable."""
        with _opened(path, 0) as file:
            os.fsync(file)

    def rename(self, old: Path, new: Path) -> None:
        """Give the file another name, replacing what has it, in one step."""
        old.replace(new)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in the folder durable."""
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        except OSError as error:
            # Some network file systems cannot sync a folder and order renames by themselves.
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(handle)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def remove_folder(self, folder: Path) -> None:
        """Remove an empty folder."""
        folder.rmdir()

    def lock(self, path: Path) -> Lock:
        """Take the lock that the file stands for; it ends with the process. HeldError: somebody has it."""
        return FileLock(path)


def publish(files: FileSystem, path: Path, data: bytes) -> None:
    """Make `path` hold `data`, all of it or nothing, so that it survives a crash from here on.

    A crash in between leaves at most a file that ends in `.tmp`, which the next writer replaces.

    Raises:
        OSError: an operation failed. `path` is as before, unless only its folder could not be synced.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        files.write(unfinished, data)
        files.rename(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            files.remove(unfinished)
        raise
    files.sync_folder(path.parent)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """Open for writing; errors that name no file, as those of a write, name this one."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
    try:
        yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        os.close(file)


def _write_at(file: int, at: int, data: bytes) -> None:
    if os.fstat(file).st_size < at:
        raise OSError(errno.EIO, "the file has lost lines that were written to it")
    os.ftruncate(file, at)
    os.lseek(file, at, os.SEEK_SET)
    _write_all(file, data)


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
