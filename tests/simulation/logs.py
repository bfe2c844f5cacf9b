"""Logs in memory, which may fail."""

from __future__ import annotations


class SimulatedLogs:
    """The logs that a play opens, by path: what their writers were told is on disk, and what is not yet."""

    def __init__(self):
        self.contents = {}
        self.failed = set()
        self._writes = 0
        self._fail_from = None
        self._told = None

    def fail_from(self, write, told):
        """Let a write fail and all that follow it; call `told` at the first."""
        self._fail_from, self._told = write, told

    def open(self, path):
        path = str(path)
        if path in self.contents:
            raise FileExistsError(17, "File exists", path)
        self.contents[path] = bytearray()
        return _Log(self, path)

    def append(self, path, lines):
        self._writes += 1
        if self._fail_from is not None and self._writes >= self._fail_from:
            if not self.failed:
                self._told()
            self.failed.add(path)
            raise OSError(28, "No space left on device", path)
        self.contents[path] += lines


class _Log:
    opened_at = "2001-01-01T00:00:00.000+00:00"

    def __init__(self, logs, path):
        self._logs = logs
        self._path = path

    def write(self, lines):
        self._logs.append(self._path, lines)

    def close(self, *, sync):
        pass
