"""The run's story: takes a log's records or live events one by one, and explains the run at any time.

One pass; memory follows what is active, not the length of the run. Of several runs in one log the last
is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from actors.inspection.charges import micros
from actors.inspection.explained import RunExplained
from actors.inspection.lives import Ended
from actors.inspection.models import Models
from actors.inspection.run_account import OnEnded, RunAccount
from messages.telemetry import LogEntry, RunDescriptor, SequencedEvent


class RunStory:
    """Tells one run after the other. Pure: moments are those that events carry."""

    def __init__(self, *, ended: OnEnded | None = None) -> None:
        """Call `ended`, if given, with every execution that has ended and what it was charged to."""
        self._on_ended = ended
        self._run: RunAccount | None = None
        self._coming = Models()
        self._events = 0
        self._unreadable = 0

    @property
    def is_about_a_run(self) -> bool:
        """Whether any run has begun so far."""
        return self._run is not None

    def add(self, placed: SequencedEvent) -> None:
        """Take the next event, of a log or live.

        Raises:
            msgspec.ValidationError: a `scheduler_job_started` does not describe its run.
            ValueError: an event about a task says not of which.
        """
        self._events += 1
        event = placed.event
        at = micros(event.captured_at)
        run = self._run
        if event.event_kind == "scheduler_job_started":
            described = RunDescriptor.from_builtins(event.diagnostics)
            self._run, self._coming = RunAccount(described, self._coming, at, self._on_ended), Models()
            self._run.capacity.take(event.snapshot)
        elif run is None or (run.ended and event.event_kind != "task_lease_released"):
            if event.event_kind in self._coming.handled:  # the next run's models are there before it is
                self._coming.add(event, at)
        else:
            run.add(placed, at)

    def log(self, entry: LogEntry) -> None:
        """Take the next line of an actor's logger."""
        if self._run is not None:
            self._run.log(entry, micros(entry.captured_at))

    def unfinished(self) -> Iterator[tuple[Ended, str]]:
        """Yield the executions that have not ended, charged up to now, and what each waits for."""
        if self._run is not None:
            yield from self._run.unfinished()

    def unreadable(self) -> None:
        """Count a line of a log that could not be understood."""
        self._unreadable += 1

    def explain(self) -> RunExplained | None:
        """Return the last run as it is now; None where none has begun. May be asked again later."""
        if self._run is None:
            return None
        return self._run.explained(events=self._events, unreadable_lines=self._unreadable)
