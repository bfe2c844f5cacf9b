"""Logs as files, compressed where their names say so."""

from __future__ import annotations

import datetime as dt
import errno
import os
import stat
import zlib
from pathlib import Path
from typing import Final, Protocol

_GZIP_LEVEL: Final = 6
_ZSTD_LEVEL: Final = 3


class Compression(Protocol):
    """Makes one compressed stream of what it is given."""

    def compress(self, lines: bytes) -> bytes:
        """Return what to write: with it, everything given so far can be read."""
        ...

    def finish(self) -> bytes:
        """Return the stream's end."""
        ...


class FileLog:
    """A log file, open for appending whole lines. Unbuffered: the buffer is `OpenLogs`'s.

    With a `compression`, every write is flushed through it: a process that is killed loses no more of a
    compressed log than of a plain one. Used by the telemetry actor's thread alone.
    """

    def __init__(self, path: Path, *, replace: bool, compression: Compression | None = None) -> None:
        kind = os.O_TRUNC if replace else os.O_EXCL
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | kind, 0o644)
        self._opened_at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self._compression = compression

    @property
    def opened_at(self) -> str:
        """Wall time of opening, ISO 8601."""
        return self._opened_at

    def write(self, lines: bytes) -> None:
        """Append `lines`, however many calls the system makes of it.

        Raises:
            OSError: the disk is full, or the file is gone.
        """
        self._append(lines if self._compression is None else self._compression.compress(lines))

    def close(self, *, sync: bool) -> None:
        """Close the file; with `sync`, after everything in it is on disk (a pipe has none)."""
        try:
            if sync:
                if self._compression is not None:
                    self._append(self._compression.finish())
                if stat.S_ISREG(os.fstat(self._file).st_mode):
                    os.fsync(self._file)
        finally:
            os.close(self._file)

    def _append(self, written: bytes) -> None:
        rest = memoryview(written)
        while rest:
            rest = rest[os.write(self._file, rest) :]


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(_GZIP_LEVEL, wbits=31)

    def compress(self, lines: bytes) -> bytes:
        return self._stream.compress(lines) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()


class _Zstd:
    def __init__(self, path: Path) -> None:
        try:
            import zstandard  # noqa: PLC0415 - an extra
        except ImportError:
            reason = "zstd is not installed: pip install 'leasehold[zstd]', or let the name end in .gz"
            raise OSError(errno.ENOTSUP, reason, str(path)) from None
        self._stream = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
        self._flush_block = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def compress(self, lines: bytes) -> bytes:
        return self._stream.compress(lines) + self._stream.flush(self._flush_block)

    def finish(self) -> bytes:
        return self._stream.flush()


def open_log_file(path: str | Path, *, replace: bool = False) -> FileLog:
    """Return a new log file, compressed where its name ends in `.gz` or `.zst`. Missing folders are made.

    Raises:
        FileExistsError: there is such a file, and it may not be replaced.
        OSError: it cannot be made, or what it is to be compressed with is not installed.
    """
    path = Path(path)
    compression: Compression | None = None
    if path.suffix == ".gz":
        compression = _Gzip()
    elif path.suffix == ".zst":
        compression = _Zstd(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLog(path, replace=replace, compression=compression)
