"""Who may write to a run's folder: one process at a time, and of this one, the run that has claimed it."""

from __future__ import annotations

from pathlib import Path

from actors.storage import layout
from actors.storage.filesystem import FileSystem
from actors.storage.locking import HeldError, Lock
from messages.job import Problem


class Claim:
    """Owns the lock of the folder that is run in, from before anything is written to it until the end.

    There is one run at a time, and so one folder. A claim outlives the storage core that made it.
    """

    def __init__(self, files: FileSystem) -> None:
        self._files = files
        self._run_id: str | None = None
        self._folder: Path | None = None
        self._lock: Lock | None = None

    def take(self, run_id: str, folder: Path) -> tuple[Problem, ...]:
        """Claim the folder, which exists, for the run; return who is in the way.

        Raises:
            OSError: the lock cannot be made.
        """
        if self._folder != folder:
            self.release()
            try:
                self._lock = self._files.lock(folder / layout.LOCK)
            except HeldError as error:
                return (_in_use(folder, error.holder),)
            self._folder = folder
        self._run_id = run_id
        return ()

    def give_up(self, run_id: str) -> None:
        """Let go of the folder, if it is claimed for this run."""
        if self._run_id == run_id:
            self.release()

    def release(self) -> None:
        """Let go of the folder, if one is claimed."""
        if self._lock is not None:
            self._lock.release()
        self._run_id = self._folder = self._lock = None


def _in_use(folder: Path, holder: str) -> Problem:
    return Problem(
        path="out",
        message=f"{folder} is in use: {holder} is running a job in it",
        remedy="let it end, or end it, and go on with --resume; or choose another folder with --out",
    )
