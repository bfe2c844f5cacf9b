"""How a run ended, in words. Pure: a result in, lines out."""

from __future__ import annotations

import shlex
from pathlib import Path

from actors.cli.output import one_line
from actors.inspection.words import told_duration
from actors.storage.layout import ACTOR_LOG, DROPPED
from messages.scheduler import JobResult, ModelUsage

CANCELLED_BY = "interrupted"
"""The reason that an interrupted run gives for its end."""

_OUTCOMES = {
    "succeeded": "all rows are there",
    "partial": "finished, but rows were dropped",
    "failed": "failed; what had finished is kept",
    "cancelled": "cancelled; what had finished is kept",
    "early_shutdown": "ended early, for too many rows failed; what had finished is kept",
}


def summary(result: JobResult, *, log: Path, going_on: str | None = None) -> list[str]:
    """Return the lines that end a run's output.

    `log` is its actor log, `going_on` the command that continues it, None where there is nothing to continue.
    """
    lines = [f"{result.job_name}: {_OUTCOMES[result.status]}", f"  rows: {_rows(result)}"]
    lines += [_model(alias, usage) for alias, usage in result.models.items()]
    lines += [f"  dropped: {count} rows, {reason}" for reason, count in result.drop_reasons.items()]
    lines += [f"  skipped: {count} cells of {column}" for column, count in sorted(result.skipped.items())]
    error = result.first_error
    if error is not None and error != CANCELLED_BY:
        lines.append(f"  first error: {one_line(error)}")
    proved = str(log)
    if result.output is not None:
        lines.append(f"  data: {Path(result.output) / 'rows'}")
        if result.rows_dropped:
            lines.append(f"  dropped rows: {Path(result.output) / DROPPED}")
        if log.absolute() == Path(result.output) / ACTOR_LOG:
            proved = str(log.parent)
    if going_on is not None:
        lines.append(f"  {continued_by(going_on)}")
    lines.append(f"  proof: leasehold verify {shlex.quote(proved)}")
    return lines


def continued_by(command: str) -> str:
    """Return what an unfinished run is continued by, for a person to copy."""
    return f"continue: {command}"


def end_line(result: JobResult) -> str:
    """Return how a run ended on one line, for where progress is told in lines."""
    return f"{result.job_name}: {result.status}, {_rows(result)}"


def _rows(result: JobResult) -> str:
    seconds = result.wall_seconds
    pending = f", {result.rows_pending} not reached" if result.rows_pending else ""
    speed = f", {result.rows_written / seconds:.1f} rows/s" if seconds > 0 else ""
    took = f"{seconds:.2f} s" if seconds < 60 else told_duration(seconds)
    written = f"{result.rows_written} of {result.rows_requested} rows written"
    return f"{written}, {result.rows_dropped} dropped{pending}, in {took}{speed}"


def _model(alias: str, usage: ModelUsage) -> str:
    how = ", ".join(f"{count} {outcome}" for outcome, count in sorted(usage.outcomes.items()))
    told = f"  model {alias}: {usage.attempts} attempts" + (f" ({how})" if how else "")
    if not (usage.input_tokens or usage.output_tokens):
        return told
    return f"{told}, {usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
