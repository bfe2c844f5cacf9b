"""Single timelines and single models of a run, as text. Pure: values in, lines out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actors.cli.inspection_screen import Line, one_line_kept, spark
from actors.inspection.explained import ModelExplained, RunExplained
from actors.inspection.timelines import Step, TimelineExplained
from actors.inspection.words import took

_MOST_STEPS: Final = 100
"""So many steps of a timeline are told from its beginning, and as many from its end."""


def timeline_lines(found: tuple[TimelineExplained, ...], total: int) -> Iterator[Line]:
    """Yield every step of every timeline, and what each was charged to."""
    for each in found:
        about = each.timeline.correlation
        row = f"row {about.row_index}, " if about.row_index is not None else ""
        outcome = each.timeline.outcome or "has not ended"
        where = f"{about.task_column}, {row}row group {about.row_group}"
        yield Line("heading", one_line_kept(f"task {about.task_execution_id}: {where}: {outcome}"))
        yield from _steps(each.steps)
        if each.waiting_for and not each.timeline.outcome:
            yield Line("bad", one_line_kept(f"  waits for {each.waiting_for}"))
        charged = sorted(each.charges.items(), key=lambda charge: -charge[1])
        spent = ", ".join(f"{reason} {took(amount / 1e6)}" for reason, amount in charged)
        yield Line("faint", f"  spent on: {spent or 'nothing'}")
    if total > len(found):
        yield Line("faint", f"... and {total - len(found)} more")


def _steps(steps: tuple[Step, ...]) -> Iterator[Line]:
    """Yield a timeline's steps; of a task with thousands of calls the first and the last."""
    left_out = len(steps) - 2 * _MOST_STEPS
    for place, step in enumerate(steps):
        if place == _MOST_STEPS and left_out > 0:
            yield Line("faint", f"  ... and {left_out} more steps: --json has them all")
        if not _MOST_STEPS <= place < _MOST_STEPS + left_out:
            yield Line("", one_line_kept(f"  {step.at:12.6f} s  {step.what}"))


def model_lines(name: str, model: ModelExplained, run: RunExplained) -> Iterator[Line]:
    """Yield what a model's limit, pauses and calls came to, and everything that changed them, in order."""
    wall = run.run.wall_seconds
    aliases = ", ".join(f"models.{alias} (cap {cap})" for alias, cap in model.caps.items())
    yield Line("heading", f"{name}{f': {aliases}' if aliases else ''}")
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(model.outcomes.items()))
    yield Line("", f"  calls: {model.attempts} ({outcomes or 'none ended'})")
    yield Line("", f"  tokens: {model.input_tokens} in, {model.output_tokens} out")
    most = f"{model.most_in_flight} at the most, {model.most_waiting} waiting at the most"
    yield Line("", f"  in flight: {model.in_flight} at the end, {most}")
    waits = ", ".join(f"{cause} {took(each)}" for cause, each in model.waited_seconds.items() if each)
    yield Line("", f"  waits of all calls, added up: {waits or 'none'}")
    full = f"full {took(model.full_seconds)}, cut {took(model.cut_seconds)}"
    paused = f"paused {took(model.cooldown_seconds)}, circuit open {took(model.circuit_seconds)}"
    yield Line("", f"  of {took(wall)}: {full}, {paused}")
    scale = max(1, model.effective_max, model.most_in_flight)
    limit = spark(model.limit_curve, until=wall, most=scale, lowest=True)
    yield Line("", f"  limit      {limit}  {model.limit} of {model.effective_max} ({model.algorithm})")
    yield Line("", f"  in flight  {spark(model.in_flight_curve, until=wall, most=scale)}")
    waiting = spark(model.waiting_curve, until=wall, most=max(1, model.most_waiting))
    yield Line("", f"  waiting    {waiting}")
    for at, what in sorted(_changes(model)):
        yield Line("", one_line_kept(f"  {at:12.6f} s  {what}"))


def _changes(model: ModelExplained) -> Iterator[tuple[float, str]]:
    for change in model.limit_changed:
        yield change.at, f"limit {change.before} -> {change.after}: {change.reason}"
    for start, end in model.cooldowns:
        yield start, f"paused for {took(end - start)}"
    for at in model.rate_limited_at:
        yield at, "refused: too many requests"
