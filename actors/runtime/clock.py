"""The run clock: monotonic seconds since the system started."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where an actor's time comes from."""

    def now(self) -> float:
        """Return seconds since the system started, to the microsecond."""
        ...

    def to_monotonic(self, run_time: float) -> float:
        """Return `run_time` in the seconds by which mailboxes keep their deadlines."""
        ...


class RunClock:
    """Short numbers for logs, and the one place that converts between run time and `time.monotonic`."""

    def __init__(self) -> None:
        self._epoch = time.monotonic_ns()

    def now(self) -> float:
        """Return seconds since the system started, to the microsecond."""
        return (time.monotonic_ns() - self._epoch) // 1000 / 1_000_000

    def to_monotonic(self, run_time: float) -> float:
        """Return `run_time` as a `time.monotonic` value."""
        return self._epoch / 1_000_000_000 + run_time
