"""What must outlive a telemetry core: the open logs, and how far the streams have come.

A log whose sequence began again after a loss would prove nothing. So this belongs to the actor's place
and not to its incarnation: the next one is given it.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import Final

from actors.telemetry.logs import OpenLogs
from actors.telemetry.maxima import ObservedCapacity
from messages.capacity import ConfiguredCapacity
from messages.telemetry import Event, RecordTaskEvents, StreamName

_KIND: Final = attrgetter("event_kind")
_RETURNED: Final = "task_lease_released"


class Journal:
    """The logs, the sequence that each stream's next event gets, and the run that is followed."""

    def __init__(self) -> None:
        self.logs = OpenLogs()
        self.next: dict[StreamName, int] = {"scheduler": 1, "request": 1}
        self.events: Counter[str] = Counter()
        """How many events of each kind there were."""
        self.task_outcomes: Counter[str] = Counter()
        """How many task leases came back with each outcome."""
        self.left_out = 0
        """How many events were left out before they reached telemetry (O6)."""
        self.run_id: str | None = None
        self.run_log: str | None = None
        self.configured: ConfiguredCapacity | None = None
        self.observed: ObservedCapacity | None = None

    def taken(self) -> int:
        """Return how many events there have been."""
        return sum(self.next.values()) - len(self.next)

    def count(self, events: list[Event]) -> None:
        """Count single events."""
        self.events.update(map(_KIND, events))
        for event in events:
            if event.event_kind == _RETURNED:
                self.task_outcomes[event.reason_or_outcome] += 1

    def count_tasks(self, message: RecordTaskEvents) -> None:
        """Count one kind of event of many tasks."""
        self.events[message.event_kind] += len(message.correlations)
        if message.event_kind == _RETURNED:
            self.task_outcomes.update(message.outcomes)
