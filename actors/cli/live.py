"""A run drawn on a terminal: rows, columns, models, and what limits it right now."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from actors.cli.limiting import limiting
from actors.cli.pace import Pace, share_done
from actors.cli.progress import told_left
from actors.cli.view import ModelView, RunView
from actors.inspection.words import told_duration
from messages.scheduler import GeneratorProgress

SHOWN_EVERY = 0.2
_BAR_WIDTH = 40
_OTHER_LINES = 12
"""Lines of the display beside the columns': leave them room however many columns there are."""


class LiveDisplay:
    """Draws on standard error in place; what is written meanwhile appears above it."""

    def __init__(self, console: Console | None = None) -> None:
        self.shown_every = SHOWN_EVERY
        self._console = console or Console(stderr=True)
        self._pace = Pace()
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            # Data on standard output that goes elsewhere is none of the display's business.
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the drawing away: the summary says how the run ended."""
        self._live.stop()

    def show(self, view: RunView) -> None:
        """Draw the run as it is now."""
        self._pace.note(view.at, view.job)
        most = max(3, self._console.height - _OTHER_LINES - len(view.models()))
        self._live.update(drawn(view, self._pace, most_columns=most), refresh=True)


def drawn(view: RunView, pace: Pace, *, most_columns: int) -> RenderableType:
    """Return the display of a run, with so many of its columns at most."""
    job = view.job
    done = f"{job.rows_written} of {job.rows_requested} rows written, {job.rows_dropped} dropped"
    speed = f"{pace.rows_per_second:.1f} rows/s, {told_duration(view.elapsed)}, {told_left(pace)}"
    pace_line = Table.grid(padding=(0, 2))
    pace_line.add_row(ProgressBar(total=1.0, completed=share_done(job), width=_BAR_WIDTH), Text(speed))
    parts: list[RenderableType] = [
        Text.assemble((str(job.job_name), "bold"), f"  {done}"),
        pace_line,
        _columns(job.generators, most_columns),
    ]
    models = view.models()
    if models:
        parts.append(_models(models))
    parts.append(Text.assemble(("limited by ", "dim"), limiting(view).text))
    return Group(*parts)


def _columns(generators: dict[str, GeneratorProgress], most: int) -> Table:
    table = Table("column", box=None, pad_edge=False, header_style="dim")
    for heading in ("done", "failed", "of"):
        table.add_column(heading, justify="right")
    for name in columns_to_show(generators, most):
        progress = generators[name]
        failed = Text(str(progress.failed), style="red" if progress.failed else "")
        table.add_row(Text(name), str(progress.done), failed, str(progress.total))
    hidden = len(generators) - table.row_count
    if hidden:
        table.add_row(Text(f"and {hidden} more", style="dim"))
    return table


def _models(models: list[ModelView]) -> Table:
    table = Table("model", box=None, pad_edge=False, header_style="dim")
    for heading in ("in flight", "limit", "waiting"):
        table.add_column(heading, justify="right")
    for model in models:
        limit = str(model.limit) if model.limit == model.maximum else f"{model.limit}/{model.maximum}"
        table.add_row(Text(model.name), str(model.in_flight), limit, str(model.waiting))
    return table


def columns_to_show(generators: dict[str, GeneratorProgress], most: int) -> list[str]:
    """Return the columns there is room for, in the job's order: those at work first, finished ones last."""
    if len(generators) <= most:
        return list(generators)
    chosen = set(sorted(generators, key=lambda name: _interest(generators[name]))[: most - 1])
    return [name for name in generators if name in chosen]


def _interest(progress: GeneratorProgress) -> int:
    ended = progress.done + progress.failed
    if 0 < ended < progress.total:
        return 0
    return 1 if ended == 0 else 2
