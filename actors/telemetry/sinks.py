"""Logs as files."""

from __future__ import annotations

import datetime as dt
import os
import stat
from pathlib import Path


class FileLog:
    """A log file, open for appending whole lines. Unbuffered: the buffer is `OpenLogs`'s.

    Used by the telemetry actor's thread alone.
    """

    def __init__(self, path: Path, *, replace: bool) -> None:
        kind = os.O_TRUNC if replace else os.O_EXCL
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | kind, 0o644)
        self._opened_at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")

    @property
    def opened_at(self) -> str:
        """Wall time of opening, ISO 8601."""
        return self._opened_at

    def write(self, lines: bytes) -> None:
        """Append `lines`, however many calls the system makes of it.

        Raises:
            OSError: the disk is full, or the file is gone.
        """
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def close(self, *, sync: bool) -> None:
        """Close the file; with `sync`, after everything in it is on disk (a pipe has none)."""
        try:
            if sync and stat.S_ISREG(os.fstat(self._file).st_mode):
                os.fsync(self._file)
        finally:
            os.close(self._file)


def open_log_file(path: str | Path, *, replace: bool = False) -> FileLog:
    """Return a new log file. Missing folders are made.

    Raises:
        FileExistsError: there is such a file, and it may not be replaced.
        OSError: it cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLog(path, replace=replace)
