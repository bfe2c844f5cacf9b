"""A lock on a folder, held by a process and gone with it, however that ends.

It is `flock`'s: the kernel lets go of it when the process is killed, so nothing is ever left to be removed
by hand, as it is with a file that means "taken" by being there, or with libraries that fall back to one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import weakref
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # a system that knows no such locks: a run there is as well off as without any
    fcntl = None

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What file systems say that know no locks: a run there is as well off as without any."""


class HeldError(Exception):
    """Somebody else has the lock; `holder` says who, as far as is known."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"held by {holder}")
        self.holder = holder


class Lock(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Let go of it. Harmless twice."""


class FileLock:
    """A lock that a file stands for. The file says who has it, and is removed with the lock.

    A process that is forked off does not hold it: it may outlive this one. Neither does an object that
    nobody refers to any more.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            HeldError: somebody else has it, in this process or another.
            OSError: the file cannot be made.
        """
        self._path = path
        self._file = _locked(path)
        self._closing = weakref.finalize(self, os.close, self._file)
        with contextlib.suppress(OSError):  # such as a full disk: the lock is had, whatever the file says
            os.ftruncate(self._file, 0)
            os.write(self._file, f"process {os.getpid()} on {platform.node()}\n".encode())
        _held.add(self)

    def release(self) -> None:
        """Remove the file, then let go: whoever has opened it by then notices. Harmless twice."""
        if self._closing.alive:
            with contextlib.suppress(OSError):
                if _is_at(self._file, self._path):  # and not another's, where the folder has been moved
                    self._path.unlink()
            self.abandon()

    def abandon(self) -> None:
        """Close the file, and nothing else: in a process that was forked off, the lock is not its own."""
        self._closing()


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _abandon_all() -> None:
    for lock in list(_held):
        lock.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def _locked(path: Path) -> int:
    """Return the file, open and locked, and still the one of that name."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        if fcntl is None:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            os.close(file)
            raise HeldError(holder) from None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return file
            os.close(file)
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        if _is_at(file, path):
            return file
        os.close(file)  # it was removed by who had it, between our opening and locking it


def _holder(file: int) -> str:
    return os.pread(file, 200, 0).decode("utf-8", "replace").strip() or "another process"


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
