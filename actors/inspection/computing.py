"""A process that computes all the time: for how long, and what helps where no setting does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from actors.inspection.charges import micros
from actors.inspection.explained import ProcessorExplained, RunExplained
from actors.inspection.finding import Finding
from actors.inspection.settings import column_name
from messages.telemetry import LogEntry

PROCESSOR_BUSY: Final = "processor_busy"
"""The line of the log that tells of some seconds in which the process could not compute more."""

ONE_PROCESS: Final = 5_000
"""Tasks a second beyond which a full resource holds nothing back: the process itself is at its limit."""

_SEVERAL: Final = 1.5


class Computing:
    """The seconds of one run in which its process could not compute more. Microseconds."""

    def __init__(self, started_at: int) -> None:
        self._started_at = started_at
        self._busy_for = 0
        self._computed = 0.0
        self._processors = 0

    def add(self, entry: LogEntry, at: int) -> None:
        """Take a line of an actor's logger. What it tells of before the run began is not the run's."""
        if entry.event != PROCESSOR_BUSY:
            return
        said: dict[str, Any] = entry.fields
        lasted = min(micros(said.get("seconds") or 0.0), max(0, at - self._started_at))
        self._busy_for += lasted
        self._computed += lasted * float(said.get("busy") or 0.0)
        self._processors = int(said.get("processors") or 0)

    def explained(self) -> ProcessorExplained:
        """Return what it came to."""
        busy = self._computed / self._busy_for if self._busy_for else 0.0
        return ProcessorExplained(self._busy_for / 1e6, busy, self._processors)


def busy_processor(run: RunExplained) -> Iterator[Finding]:
    """Yield the finding of a process that computed all the time, if it did."""
    processor, wall = run.processor, run.run.wall_seconds
    if not processor.busy_seconds:
        return
    started = sum(column.started for column in run.columns.values())
    yield Finding(
        layer="processor",
        subject="the processor",
        share=min(1.0, processor.busy_seconds / wall),
        says=f"this process kept {processor.busy:.1f} of {processor.processors} processors busy, with "
        f"{started / wall:,.0f} tasks a second",
        remedy=f"none of the settings: {_helps(run, started / wall)}",
    )


def _helps(run: RunExplained, rate: float) -> str:
    if rate > ONE_PROCESS:
        return "so many tasks are about what one process can do"
    computing = [name for name, column in run.columns.items() if not column.models]
    name = max(computing, key=lambda name: run.columns[name].running_seconds, default="")
    who = column_name(name, run.columns[name]) if name else "functions"
    if run.processor.busy > _SEVERAL:
        return f"all processors compute; use a machine with more, or let {who} compute less"
    return (
        f"threads of one process take turns at computing; let {who} compute less, or have other processes "
        "do it (concurrent.futures.ProcessPoolExecutor)"
    )
