"""What the scheduler has to tell telemetry, in the order in which it happened.

Owns the facts not yet sent, and what was last said of the queue, so that a state is told when it begins
and not at every look.
"""

from __future__ import annotations

from typing import Any

from actors.scheduler.advisory import Skip
from messages._base import SCHEDULER, TELEMETRY, Outgoing
from messages.task_admission import TaskAdmissionBlockSummary
from messages.tasks import RuntimeCorrelation
from messages.telemetry import (
    Event,
    LogEntry,
    RecordEvents,
    RecordLog,
    RecordTaskEvents,
    SchedulerEventKind,
)


class Facts:
    """Events of one run, collected until `take`."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._sealed: list[Outgoing] = []
        self._queue_state: SchedulerEventKind | None = None

    def add(self, event: Event) -> None:
        """Keep one event."""
        self._events.append(event)

    def add_all(self, kind: SchedulerEventKind, correlations: list[RuntimeCorrelation], now: float) -> None:
        """Keep one event of `kind` for each of many task executions."""
        self._seal()
        self._sealed.append(Outgoing(TELEMETRY, RecordTaskEvents(kind, now, correlations)))

    def warn(self, event: str, fields: dict[str, Any], now: float) -> None:
        """Keep a warning for the actor log."""
        self._seal()
        entry = LogEntry(now, SCHEDULER, "warning", event, fields)
        self._sealed.append(Outgoing(TELEMETRY, RecordLog([entry])))

    def take(self) -> list[Outgoing]:
        """Return what was kept since the last call, in order."""
        self._seal()
        taken, self._sealed = self._sealed, []
        return taken

    # -- the queue: three different facts ------------------------------------------------------------

    def queue_flows(self) -> None:
        """Note that something was selected."""
        self._queue_state = None

    def queue_is_empty(self, now: float) -> None:
        """Tell that nothing is queued, if that is news."""
        if self._queue_state != "queue_empty":
            self._queue_state = "queue_empty"
            self.add(Event("queue_empty", now))

    def queue_is_blocked(self, summary: TaskAdmissionBlockSummary, now: float) -> None:
        """Tell that work is queued and nothing of it is eligible, and whether a group cap is the reason."""
        state: SchedulerEventKind = (
            "group_capped" if "group_cap" in summary.dominant_reasons else "admission_blocked"
        )
        if self._queue_state != state:
            self._queue_state = state
            diagnostics = {
                "queued": summary.queued_count,
                "reasons": list(summary.dominant_reasons),
                "available_after": summary.available_after,
                **summary.diagnostics,
            }
            self.add(Event(state, now, diagnostics=diagnostics))

    def passed_over(self, skips: list[Skip], now: float) -> None:
        """Tell whose groups have begun to let others go first, because a provider is under pressure (A12)."""
        for item, decision in skips:
            self.add(
                Event(
                    "request_pressure_advisory_skipped",
                    now,
                    item.correlation,
                    reason_or_outcome=decision.reason or "",
                    diagnostics=decision.diagnostics,
                )
            )

    def _seal(self) -> None:
        if self._events:
            self._sealed.append(Outgoing(TELEMETRY, RecordEvents("scheduler", self._events)))
            self._events = []
