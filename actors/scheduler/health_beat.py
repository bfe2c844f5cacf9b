"""When a running job tells how it is: as it begins, every so often, and as it ends."""

from __future__ import annotations

from typing import Literal

from messages._base import as_json
from messages.scheduler import SchedulerSnapshot
from messages.telemetry import Event

HEALTH_SECONDS = 10.0
"""How often a job tells how it is. A run that hangs tells so, too: its counts stand still."""

Occasion = Literal["start", "interval", "end"]


class HealthBeat:
    """Knows when the next `scheduler_health_snapshot` is due."""

    def __init__(self, now: float) -> None:
        self.next_due = now

    def is_due(self, now: float) -> bool:
        """Return whether a snapshot is due."""
        return now >= self.next_due

    def event(self, snapshot: SchedulerSnapshot, occasion: Occasion, now: float) -> Event:
        """Return the event, and be due again `HEALTH_SECONDS` later."""
        self.next_due = now + HEALTH_SECONDS
        told = as_json(snapshot)
        del told["type"]
        return Event("scheduler_health_snapshot", now, reason_or_outcome=occasion, snapshot=told)
