"""Shows artifacts: as tables on a terminal, and as Markdown for a README."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.artifact import Artifact, FigureResult, SideResult, Summary
from bench.results import CPU_US_PER_TASK, PEAK_MIB, US_PER_TASK

_STYLES = {"met": "green", "missed": "red", "inconclusive": "yellow", "skipped": "dim"}
_FIGURES = ("figure", "bar", "median", "90 % interval", "min", "max", "mean", "stdev", "p95", "verdict")
_SIDES = ("side", "tasks", "p50", "p95", "min", "max", "mean", "stdev", "CPU p50", "peak MiB")
_WIDE = frozenset({"min", "max", "mean", "stdev", "p95"})
_WORDS = frozenset({"", "figure", "side", "verdict"})


def show(artifacts: Sequence[Artifact], console: Console) -> None:
    """Print the figures against their bars, what each side cost, and the proof; the rest is in artifacts."""
    figures = _table("Figures: over iterations", _FIGURES)
    sides = _table("Sides: wall microseconds per task", _SIDES)
    for artifact in artifacts:
        for figure in artifact.derived_metrics.figures:
            cells = _shown(_FIGURES, _figure_cells(figure))
            figures.add_row(artifact.scenario_id, *cells, style=_STYLES.get(figure.verdict, ""))
        for side in artifact.derived_metrics.sides:
            sides.add_row(artifact.scenario_id, *_shown(_SIDES, _side_cells(side)))
    console.print(sides)
    console.print(figures)
    for artifact in artifacts:
        console.print(f"{artifact.scenario_id}: {artifact.proof}", highlight=False, soft_wrap=True)


def markdown(artifacts: Sequence[Artifact], *, full: bool = False) -> str:
    """Return results: where, when, how, figures, sides, proof; `full` with all statistics of the figures.

    Not full, it is what stands in the README.
    """
    headings = _FIGURES if full else tuple(_shown(_FIGURES, _FIGURES))
    first = artifacts[0]
    machine = first.machine
    place = (machine["cpu"], f"{machine['cores']} cores", f"{machine['memory_gib']} GiB", machine["python"])
    versions = ", ".join(f"{name} {version}" for name, version in first.versions.items())
    kept = max((each.iteration for artifact in artifacts for each in artifact.iterations), default=0)
    repeats = f"{kept} iterations after {first.warmups} warm-up, {first.tasks} tasks"
    revisions = [("baseline", first.baseline_revision), ("revision", first.candidate_revision)]
    told = ", ".join(f"{name} {revision}" for name, revision in revisions if revision) or "revision unknown"
    knobs = ", ".join(f"{name}={value}" for name, value in first.environment_knobs.items())
    lines = [
        f"- machine: {', '.join(place)}; load average {machine['load_average'][0]} at the start",
        f"- versions: {versions}",
        f"- date: {first.started_at[:10]}, {told}",
        f"- command: `{' '.join(first.command_line)}` ({repeats})",
        *([f"- settings: {knobs}"] if knobs else []),
    ]
    for title, with_bar in (("Figures with a bar:", True), ("Further figures:", False)):
        found = [
            (artifact.scenario_id, figure)
            for artifact in artifacts
            for figure in artifact.derived_metrics.figures
            if (figure.bar is not None) is with_bar
        ]
        if found:
            lines += ["", title, "", *_heading(headings)]
            lines += [_figure_line(scenario, figure, full=full) for scenario, figure in found]
    lines += ["", "Sides, wall microseconds per task:", "", *_heading(_SIDES)]
    for artifact in artifacts:
        lines += [_line(artifact.scenario_id, *_side_cells(side)) for side in artifact.derived_metrics.sides]
    lines += ["", *(f"- {artifact.scenario_id}: {artifact.proof}" for artifact in artifacts)]
    return "\n".join(lines) + "\n"


def _figure_line(scenario: str, figure: FigureResult, *, full: bool) -> str:
    every = _figure_cells(figure)
    *cells, verdict = every if full else _shown(_FIGURES, every)
    return _line(scenario, *cells, f"**{verdict}**" if figure.verdict == "missed" else verdict)


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("", *_shown(headings, headings)):
        words = heading in ("figure", "side")
        table.add_column(
            heading,
            justify="left" if heading in _WORDS else "right",
            no_wrap=not words,
            min_width=30 if words else None,
        )
    return table


def _shown(headings: Sequence[str], cells: Sequence[str]) -> list[str]:
    """Return the cells that there is room for on a terminal."""
    return [cell for heading, cell in zip(headings, cells, strict=True) if heading not in _WIDE]


def _heading(headings: Sequence[str]) -> list[str]:
    rules = ["---" if heading in _WORDS else "---:" for heading in ("", *headings)]
    return [_line("", *headings), _line(*rules)]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _figure_cells(figure: FigureResult) -> list[str]:
    bar = f"{figure.bar.sense} {figure.bar.value:g}{figure.unit}" if figure.bar else ""
    summary = figure.summary
    if summary is None:
        return [figure.label, bar, *[""] * 7, f"skipped: {figure.note}"]
    return [
        figure.label,
        bar,
        f"{_number(summary.median)}{figure.unit}",
        _interval(summary),
        _number(summary.minimum),
        _number(summary.maximum),
        _number(summary.mean),
        _number(summary.stdev),
        _number(summary.p95),
        figure.verdict,
    ]


def _side_cells(side: SideResult) -> list[str]:
    if side.skipped:
        return [side.name, f"skipped: {side.skipped}", *[""] * 8]
    cost, cpu = side.metrics[US_PER_TASK], side.metrics[CPU_US_PER_TASK]
    spread = (cost.p50, cost.p95, cost.minimum, cost.maximum, cost.mean, cost.stdev, cpu.p50)
    peak = side.metrics.get(PEAK_MIB)
    return [side.name, str(side.tasks), *map(_number, spread), _number(peak.p50) if peak else ""]


def _interval(summary: Summary) -> str:
    if summary.low is None or summary.high is None:
        return "too few iterations"
    return f"{_number(summary.low)} - {_number(summary.high)}"


def _number(value: float) -> str:
    """Return three significant digits, and no more than are meant."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10 or value == 0:
        return f"{value:.1f}" if value else "0"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
