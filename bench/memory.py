"""The most memory that a stretch takes, above what the process had before it."""

from __future__ import annotations

import contextlib
import gc
import resource
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"


class MemoryWatch:
    """Use as a context manager; `peak_bytes` stands afterwards. Exact in an interpreter of its own.

    On Linux it is the resident size's highest mark, which is set back first. Elsewhere the highest mark is
    that of the whole process, and growth below an earlier one is not seen. What earlier work has freed and
    the allocator kept is taken again without growth: hence a fresh interpreter for whatever is compared.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._before = 0

    def __enter__(self) -> Self:
        """Collect the garbage of earlier work, and begin."""
        self.forget()
        try:
            self._before = _status("VmRSS")
        except OSError:
            self._before = _highest()
        return self

    def forget(self) -> None:
        """Collect the garbage and forget the peak so far, not what was there before all."""
        gc.collect()
        with contextlib.suppress(OSError):
            _CLEAR.write_text(_FORGET_PEAK)

    def peak(self) -> int:
        """Return the peak so far, bytes above what was there before."""
        try:
            peak = _status("VmHWM")
        except OSError:
            peak = _highest()
        return max(0, peak - self._before)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.peak_bytes = self.peak()


def _status(name: str) -> int:
    """Return one of the process's sizes, bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} does not tell {name}")


def _highest() -> int:
    """Return the highest resident size so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
