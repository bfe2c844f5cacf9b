"""What must outlive a telemetry core: the open logs, and how far the streams have come.

A log whose sequence began again after a loss would prove nothing. So this belongs to the actor's place
and not to its incarnation: the next one is given it.
"""

from __future__ import annotations

from actors.telemetry.logs import OpenLogs
from actors.telemetry.maxima import ObservedCapacity
from messages.capacity import ConfiguredCapacity
from messages.telemetry import StreamName


class Journal:
    """The logs, the sequence that each stream's next event gets, and the run that is followed."""

    def __init__(self) -> None:
        self.logs = OpenLogs()
        self.next: dict[StreamName, int] = {"scheduler": 1, "request": 1}
        self.run_id: str | None = None
        self.run_log: str | None = None
        self.configured: ConfiguredCapacity | None = None
        self.observed: ObservedCapacity | None = None
