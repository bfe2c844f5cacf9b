"""A run explained on one screen of text. Pure: a run in, lines out.

A line is a style and its text; without a terminal the text alone is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from actors.cli.output import one_line
from actors.inspection.capacity_table import observed_rows
from actors.inspection.explained import Curve, ExecutionExplained, ModelExplained, RunExplained
from actors.inspection.finding import Finding
from actors.inspection.words import percent, took

Style = Literal["", "heading", "remedy", "faint", "bad"]

_CAUSES: Final = 3
_WORTH_TELLING: Final = 10
"""Times smaller than the weightiest, a cause is left out."""

_COLUMNS: Final = 6
_MODELS: Final = 6
_FAILURES: Final = 4
_EXECUTIONS: Final = 3
_WARNINGS: Final = 4
_BARS: Final = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH: Final = 24


class Line(NamedTuple):
    """A line of the screen."""

    style: Style
    text: str


def screen(run: RunExplained, found: Sequence[Finding], *, log: str, last_written: str = "") -> list[Line]:
    """Return the screen. `last_written`: how long ago, where the log does not say how the run ended."""
    return [
        *_head(run, last_written),
        *_limited_by(run, found),
        *_where_time_went(run),
        *_columns(run),
        *_models(run),
        *_failures(run),
        *_executions(run),
        *_warnings(run),
        *_capacity(run),
        *_proof(run, log),
    ]


def spark(curve: Curve, *, until: float, most: float, lowest: bool = False) -> str:
    """Return a curve as a row of small bars, from the run's beginning to `until` seconds, 0 to `most`.

    A bar is as high as its part of the time had it at most, or at least where the `lowest` is wanted.
    """
    width = _SPARK_WIDTH
    if not curve or most <= 0:
        return ""
    bars, value, at = [], curve[0][1], 0
    for place in range(width):
        end = until * (place + 1) / width
        low, high = value, value
        while at < len(curve) and curve[at][0] <= end:
            low, high, value = min(low, curve[at][1]), max(high, curve[at][2]), curve[at][3]
            at += 1
        shown = low if lowest else high
        bars.append(_BARS[min(len(_BARS) - 1, round(shown / most * (len(_BARS) - 1)))])
    return "".join(bars)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Line]:
    """Yield a table, its first column to the left and the others to the right."""
    cells = [list(head), *[[one_line(cell) for cell in row] for row in rows]]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    for number, row in enumerate(cells):
        first, *others = (
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield Line("" if number else "faint", f"  {'  '.join([first, *others])}".rstrip())


# -- parts ------------------------------------------------------------------------------------------


def _head(run: RunExplained, last_written: str) -> Iterator[Line]:
    facts = run.run
    status = facts.status
    if status == "unfinished":
        status = f"has not ended, or was cut off (its log was last written {last_written} ago)"  # type: ignore[assignment]
    rows = f"{facts.rows_written} of {facts.rows} rows written, {facts.rows_dropped} dropped"
    yield Line(
        "heading",
        one_line(f"{facts.job_name} ({facts.run_id}): {status}; {rows}, in {took(facts.wall_seconds)}"),
    )
    if run.unreadable_lines:
        yield Line("bad", f"  {run.unreadable_lines} lines of the log could not be understood")


def _limited_by(run: RunExplained, found: Sequence[Finding]) -> Iterator[Line]:
    yield Line("", "")
    causes = [finding for finding in found if not finding.follows_from]
    causes = [finding for finding in causes if finding.share * _WORTH_TELLING >= causes[0].share]
    if not causes:
        yield Line("heading", "Nothing held it back for long: work was flowing.")
        return
    yield Line("heading", "What limited it")
    for number, finding in enumerate(causes[:_CAUSES], 1):
        says = f"  {number}. {finding.layer}, {percent(finding.share)} of the time: {finding.says}"
        yield Line("", one_line_kept(says))
        yield Line("remedy", one_line_kept(f"     -> {finding.remedy}"))
    follow = [finding for finding in found if finding.follows_from and finding.share >= 0.1]
    if follow:
        told = ", ".join(
            f"{finding.layer} {finding.about or finding.subject} {percent(finding.share)} "
            f"(from {finding.follows_from})"
            for finding in follow[:_CAUSES]
        )
        yield Line("faint", one_line_kept(f"  which brought about: {told}"))
    if run.queue.ready_idle_seconds:
        idle = took(run.queue.ready_idle_seconds)
        yield Line("bad", f"  ready tasks stood in the queue for {idle} with nothing in their way")


def _where_time_went(run: RunExplained) -> Iterator[Line]:
    whole = run.task_microseconds
    if not whole:
        return
    yield Line("", "")
    yield Line("heading", f"Where {took(whole / 1e6)} of the tasks' time went")
    largest = sorted(run.charges.items(), key=lambda charge: -charge[1])
    parts = [f"{reason} {percent(amount / whole)}" for reason, amount in largest if amount]
    for start in range(0, len(parts), 5):
        yield Line("", f"  {', '.join(parts[start : start + 5])}")


def _columns(run: RunExplained) -> Iterator[Line]:
    yield Line("", "")
    slowest = sorted(run.columns.items(), key=lambda item: -item[1].running_seconds)
    yield Line("heading", f"Columns, the slowest first{_of(len(slowest), _COLUMNS)}")
    yield from table(
        ("column", "done", "failed", "retried", "calls", "tokens", "running", "longest", "alone"),
        [
            (
                name,
                str(column.done),
                str(column.failed),
                str(column.retried),
                str(column.attempts),
                str(column.input_tokens + column.output_tokens),
                took(column.running_seconds),
                took(column.longest_seconds),
                took(column.alone_seconds),
            )
            for name, column in slowest[:_COLUMNS]
        ],
    )


def _models(run: RunExplained) -> Iterator[Line]:
    used = [(name, model) for name, model in run.models.items() if model.attempts or model.most_waiting]
    if not used:
        return
    yield Line("", "")
    busiest = sorted(used, key=lambda item: -item[1].provider_seconds)
    yield Line("heading", f"Models, the busiest first{_of(len(busiest), _MODELS)}; the limit over time")
    yield from table(
        ("model", "calls", "failed", "429s", "a call", "most", "limit", "full", "paused", "over time"),
        [_model(name, model, run) for name, model in busiest[:_MODELS]],
    )


def _model(name: str, model: ModelExplained, run: RunExplained) -> tuple[str, ...]:
    aliases = ", ".join(model.caps)
    return (
        f"{aliases} ({name})" if aliases else name,
        str(model.attempts),
        str(model.attempts - model.outcomes.get("success", 0)),
        str(model.rate_limited),
        took(model.provider_seconds / model.attempts) if model.attempts else "-",
        str(model.most_in_flight),
        f"{model.limit}/{model.effective_max}",
        took(model.full_seconds + model.cut_seconds),
        took(model.cooldown_seconds + model.circuit_seconds),
        spark(model.limit_curve, until=run.run.wall_seconds, most=max(1, model.effective_max), lowest=True),
    )


def _failures(run: RunExplained) -> Iterator[Line]:
    for told, counts in (("Tried again", run.retries), ("Given up, by first cause", run.drops)):
        if counts:
            yield Line("", "")
            yield Line("heading", f"{told}{_of(len(counts), _FAILURES)}")
            for each in counts[:_FAILURES]:
                yield Line("", one_line_kept(f"  {each.count} of {each.column}: {each.kind}"))


def _executions(run: RunExplained) -> Iterator[Line]:
    yield Line("", "")
    if run.unfinished:
        yield Line("heading", f"Unfinished tasks, the oldest of {run.unfinished_total}")
        for each in run.unfinished[:_EXECUTIONS]:
            yield Line("", one_line_kept(f"{_execution(each)}: waits for {each.waiting_for}"))
    if run.longest:
        yield Line("heading", "Longest tasks")
        for each in run.longest[:_EXECUTIONS]:
            held = f"held its lease for {took(each.held_seconds)}"
            yield Line("", one_line_kept(f"{_execution(each)}: {held}, {_most_of(each)}; {each.outcome}"))


def _execution(each: ExecutionExplained) -> str:
    row = f"row {each.row_index}" if each.row_index is not None else f"row group {each.row_group}"
    return f"  --task {each.task_execution_id}, {each.column} of {row}"


def _most_of(each: ExecutionExplained) -> str:
    held = {
        reason: amount
        for reason, amount in each.charges.items()
        if reason not in ("dependency", "retry", "task_share", "task_capacity")
    }
    if not held:
        return "no time at all"
    reason = max(held, key=lambda reason: held[reason])
    return f"{took(held[reason] / 1e6)} of it {reason}"


def _warnings(run: RunExplained) -> Iterator[Line]:
    if not run.warnings:
        return
    yield Line("", "")
    yield Line("heading", f"Warnings{_of(len(run.warnings), _WARNINGS)}")
    for each in run.warnings[:_WARNINGS]:
        text = f"  {each.level}: {each.actor}: {each.event}, {each.count} times: {each.text}"
        yield Line("bad" if each.level == "error" else "", one_line_kept(text))
        if each.remedy:
            yield Line("faint", f"    {each.remedy}")


def _capacity(run: RunExplained) -> Iterator[Line]:
    full = [] if run.capacity is None else [row for row in observed_rows(run.capacity) if row.at_bound]
    if full:
        told = ", ".join(" ".join(filter(None, (row.what, row.name, f"{row.most:g}"))) for row in full)
        yield Line("", "")
        yield Line("", one_line_kept(f"Capacities that were used in full (all: --capacity): {told}"))


def _proof(run: RunExplained, log: str) -> Iterator[Line]:
    proof = run.proof
    yield Line("", "")
    tasks = f"{proof.task_leases} task leases, {proof.task_leases_returned} returned"
    requests = f"{proof.request_leases} request leases, {proof.request_leases_returned} returned"
    yield Line("faint", f"Proof: {tasks}; {requests}; all of it: leasehold verify {log}")


def _of(count: int, shown: int) -> str:
    return f" ({shown} of {count})" if count > shown else ""


def one_line_kept(text: str) -> str:
    """Return `text` on one line, with the space that it begins with."""
    return text[: len(text) - len(text.lstrip())] + one_line(text)
