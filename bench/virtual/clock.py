"""A clock that moves when it is told to."""

from __future__ import annotations


class VirtualClock:
    """Seconds since the system started; they pass when somebody says so."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.time

    def pass_to(self, time: float) -> None:
        """Let time pass until `time`, in whole microseconds: what is due then is due for everybody."""
        whole = round(time, 6)
        self.time = max(self.time, whole if whole >= time else round(whole + 1e-6, 6))

    def to_monotonic(self, run_time: float) -> float:
        """Return the time by which mailboxes keep their deadlines: the same."""
        return run_time
