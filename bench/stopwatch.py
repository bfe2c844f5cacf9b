"""Measures a stretch: wall time and the process's CPU time."""

from __future__ import annotations

import gc
import time
from types import TracebackType
from typing import Self


class Stopwatch:
    """Use as a context manager, or `start` and `stop` from any threads. Results stand after the stop."""

    def __init__(self) -> None:
        self.wall_seconds = 0.0
        self.cpu_seconds = 0.0
        self._wall = 0.0
        self._cpu = 0.0

    def start(self) -> None:
        """Begin."""
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def stop(self) -> None:
        """End."""
        self.wall_seconds = time.perf_counter() - self._wall
        self.cpu_seconds = time.process_time() - self._cpu

    def __enter__(self) -> Self:
        """Collect the garbage of earlier work, and begin."""
        gc.collect()
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
