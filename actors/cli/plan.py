"""`leasehold plan`: what a job will ask for, and what will bound it, before anything of it runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from actors.cli.capacity_lines import capacity_lines
from actors.cli.check import checked_job
from actors.cli.inspection_screen import Line, table
from actors.cli.output import EXIT_OK, EXIT_USAGE, complain_of, fail, flush, one_line, say
from actors.inspection.words import took
from actors.planning.forecast import CallsForecast, Forecast, forecast
from messages.capacity import CapacityPlan
from messages.hints import possible
from messages.job import Job

_BOUNDS: Final = 4
_WORTH_TELLING: Final = 10
"""Times smaller than the largest, a bound is left out."""


def plan_job(path: Path, *, rows: int | None, latency: Sequence[str], as_json: bool) -> int:
    """Tell the job's forecast, or everything that is wrong with it; return the exit code.

    Raises:
        typer.Exit: a `--latency` is not one, or names no model of the job.
    """
    job, checked = checked_job(path, rows=rows, as_json=as_json)
    complain_of(checked.problems, about=str(path))
    if job is None or checked.plan is None or checked.configured is None:
        return EXIT_USAGE
    found = forecast(job, checked.plan, checked.configured, latencies=_latencies(latency, job))
    capacity = CapacityPlan(checked.configured)
    if as_json:
        data = msgspec.to_builtins(found) | {
            "least_seconds": found.least_seconds,
            "capacity": msgspec.to_builtins(capacity),
            "warnings": checked.warnings,
        }
        say(msgspec.json.encode(data).decode())
    else:
        for line in (*_lines(job, found), *capacity_lines(capacity)):
            say(line.text)
        for warning in checked.warnings:
            say(one_line(f"warning: {warning}"))
    flush()
    return EXIT_OK


def _latencies(given: Sequence[str], job: Job) -> dict[str, float]:
    """Return what `--latency` says, by the models' aliases."""
    found = {}
    for each in given:
        alias, separator, text = each.partition("=")
        if alias not in job.models:
            models = possible(alias, sorted(job.models)) or "the job has none"
            fail(f"--latency: there is no model {alias!r}; {models}")
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not separator or not (0 <= seconds < math.inf):
            fail(f"--latency: {each!r} says no time; write {alias}=SECONDS, such as {alias}=1.5")
        found[alias] = seconds
    return found


def _lines(job: Job, found: Forecast) -> Iterator[Line]:
    yield Line("", one_line(f"{job.name}: {found.rows} rows in {found.row_groups} row groups"))
    yield Line("", f"  at the least {took(found.least_seconds)}" if found.bounds else "  no bound is known")
    if found.bounds:
        yield Line("", "")
        yield Line("", "What will bound it, in a run without failures")
        weighty = [each for each in found.bounds if each.seconds * _WORTH_TELLING >= found.least_seconds]
        for number, bound in enumerate(weighty[:_BOUNDS], 1):
            yield Line("", f"  {number}. {bound.by}, {took(bound.seconds)}: {bound.subject}: {bound.says}")
            yield Line("", f"     -> {bound.remedy}")
    if found.unknown:
        yield Line("", "Not known, and left out")
        yield from (Line("", f"  {one_line(each)}") for each in found.unknown)
    yield Line("", "")
    yield Line("", "What it will do")
    yield from table(
        ("column", "tasks", "calls"),
        [(name, str(each.tasks), _calls(each.calls)) for name, each in found.columns.items()],
    )
    if found.models:
        yield Line("", "")
        yield from table(
            ("model", "calls", "at once", "a call", "a minute"),
            [
                (
                    f"{', '.join(each.aliases)} ({name})",
                    _calls(each.calls),
                    str(each.at_once),
                    "?" if each.latency_seconds is None else took(each.latency_seconds),
                    "-" if each.requests_per_minute is None else str(each.requests_per_minute),
                )
                for name, each in found.models.items()
            ],
        )


def _calls(calls: CallsForecast) -> str:
    if calls.exact:
        return str(calls.least)
    return f"{calls.least} or more" if calls.most is None else f"{calls.least} to {calls.most}"
