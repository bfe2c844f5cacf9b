"""Measures one block: wall time and the process's CPU time."""

from __future__ import annotations

import gc
import time
from types import TracebackType
from typing import Self


class Stopwatch:
    """A context manager; its results stand after the block. Garbage of earlier work is collected first."""

    def __init__(self) -> None:
        self.wall_seconds = 0.0
        self.cpu_seconds = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall_seconds = time.perf_counter() - self._wall
        self.cpu_seconds = time.process_time() - self._cpu
