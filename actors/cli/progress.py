"""Showing how far a run is: drawn on a terminal, as plain lines elsewhere, or not at all."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from actors.cli.limiting import limiting
from actors.cli.output import complain
from actors.cli.pace import Pace
from actors.cli.view import RunView
from actors.inspection.words import told_duration

LINE_SECONDS = 3.0


class Progress(Protocol):
    """Shows a run while its block lasts. `shown_every` is how often it wants a view, in seconds."""

    shown_every: float

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop showing."""
        ...

    def show(self, view: RunView) -> None:
        """Show the run as it is now."""
        ...


class Silent:
    """Shows nothing, and asks for no views."""

    shown_every = float("inf")

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def show(self, view: RunView) -> None:
        """Show nothing."""


class PlainLines:
    """Writes a line to standard error every few seconds."""

    def __init__(self, *, every: float = LINE_SECONDS) -> None:
        self.shown_every = every
        self._pace = Pace()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End; how the run ended is the summary's to say."""

    def show(self, view: RunView) -> None:
        """Write the line."""
        self._pace.note(view.at, view.job)
        complain(progress_line(view, self._pace))


def progress_line(view: RunView, pace: Pace) -> str:
    """Return a run's progress on one line."""
    job = view.job
    parts = [
        f"{told_duration(view.elapsed)}: {job.rows_written} of {job.rows_requested} rows written",
        f"{job.rows_dropped} dropped",
        f"{pace.rows_per_second:.1f} rows/s",
        told_left(pace),
        f"limited by {limiting(view).text}",
    ]
    return ", ".join(parts)


def told_left(pace: Pace) -> str:
    """Return the time left as words."""
    left = pace.seconds_left
    return "time left unknown" if left is None else f"about {told_duration(left)} left"
