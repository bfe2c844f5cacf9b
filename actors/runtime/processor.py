"""Notices that this process computes all the time, so that nobody looks for a setting that would help.

Threads of one interpreter take turns, so one processor is all that most jobs can use. What lets go of the
interpreter while it computes can use several.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

_NEARLY: Final = 0.85
"""The share of a processor's time from which on it counts as busy all the time."""

_LOOK_SECONDS: Final = 1.0


class Effort(NamedTuple):
    """How many processors, of those that there are, a process has kept busy for some seconds."""

    busy: float = 0.0
    processors: int = 1
    seconds: float = 0.0

    @property
    def is_all(self) -> bool:
        """Whether it could hardly be more: one processor's worth of turns, or all processors."""
        return self.takes_turns or self.busy >= _NEARLY * self.processors

    @property
    def takes_turns(self) -> bool:
        """Whether it is what one interpreter comes to."""
        return _NEARLY <= self.busy <= 2.0 - _NEARLY


class EffortMeter:
    """Measures what this process does between two readings."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._computed = time.process_time()

    def read(self) -> Effort:
        """Return the effort since the last reading, or since the meter was made."""
        at, computed = time.monotonic(), time.process_time()
        passed = max(at - self._at, 1e-6)
        effort = Effort((computed - self._computed) / passed, os.cpu_count() or 1, passed)
        self._at, self._computed = at, computed
        return effort


class ProcessorWatch:
    """A thread that reads the meter every second, and reports each in which the process could do no more."""

    def __init__(
        self,
        report: Callable[[Effort], None],
        *,
        every: float = _LOOK_SECONDS,
        meter: EffortMeter | None = None,
    ) -> None:
        self._report = report
        self._every = every
        self._meter = EffortMeter() if meter is None else meter
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="leasehold-processor", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; returns when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            effort = self._meter.read()
            if effort.is_all:
                self._report(effort)
