"""A log's bytes as whole lines, compressed or not, also while it is being written or when it was cut off.

The form is told by the first bytes and not by the name. A file that was cut off yields every whole line that
its bytes still hold: a compressed log is flushed with every write, so that these are all but the last.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from actors.telemetry.log_codec import LogFormatError

_CHUNK: Final = 256 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_FORMS: Final = (_GZIP, _ZSTD)


class _Decompressor(Protocol):
    """What zlib's and zstandard's have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class LogFile:
    """Reads a file from its beginning, and on from there each time it is asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rest = b""
        """What stands after the last whole line: one that is being written, or was cut off."""
        self._ready: deque[bytes] = deque()
        self._offset = 0
        self._begun = False
        self._form = b""
        self._decompressor: _Decompressor | None = None

    def lines(self) -> Iterator[bytes]:
        """Yield the whole lines that have been written since the last call, without their ends.

        Raises:
            LogFormatError: what is compressed is damaged, or of a kind whose library is not installed.
            OSError: the file cannot be read.
        """
        while self._ready:  # whoever read last may have stopped in the middle
            yield self._ready.popleft()
        with self.path.open("rb") as file:
            file.seek(self._offset)
            while chunk := file.read(_CHUNK):
                if not self._begun and any(
                    len(chunk) < len(form) and form.startswith(chunk) for form in _FORMS
                ):
                    return  # too little to tell what it will be
                self._ready.extend((self.rest + self._plain(chunk)).split(b"\n"))
                self.rest = self._ready.pop()
                self._offset += len(chunk)
                while self._ready:
                    yield self._ready.popleft()

    def _plain(self, chunk: bytes) -> bytes:
        if not self._begun:
            self._begun = True
            self._form = next((form for form in _FORMS if chunk.startswith(form)), b"")
            self._decompressor = self._another()
        if self._decompressor is None:
            return chunk
        parts = []
        try:
            while chunk:
                parts.append(self._decompressor.decompress(chunk))
                chunk = self._decompressor.unused_data if self._decompressor.eof else b""
                if self._decompressor.eof:  # several files in one, or a writer that began anew
                    self._decompressor = self._another()
                    assert self._decompressor is not None
        except Exception as error:
            if not _is_damage(error):
                raise
            raise LogFormatError(
                f"{self.path} is damaged in what is compressed near byte {self._offset}: {error}"
            ) from error
        return b"".join(parts)

    def _another(self) -> _Decompressor | None:
        if self._form == _GZIP:
            return zlib.decompressobj(wbits=31)
        if self._form != _ZSTD:
            return None
        try:
            import zstandard  # noqa: PLC0415 - an extra
        except ImportError:
            raise LogFormatError(
                f"{self.path} is compressed with zstd, which is not installed: pip install 'leasehold[zstd]'"
            ) from None
        decompressor: _Decompressor = zstandard.ZstdDecompressor().decompressobj()
        return decompressor


def _is_damage(error: Exception) -> bool:
    return isinstance(error, zlib.error) or type(error).__name__ == "ZstdError"
