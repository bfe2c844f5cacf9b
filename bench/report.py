"""Shows an artifact: as tables on a terminal, as JSON, and as Markdown for a README."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.results import Artifact, FigureResult, ScenarioResult, SideResult, Summary

_STYLES = {"met": "green", "missed": "red", "inconclusive": "yellow", "skipped": "dim", "measured": ""}


def show(artifact: Artifact, console: Console) -> None:
    """Print the figures against their bars, and what each side cost."""
    figures = Table(title="Figures: median over iterations", title_justify="left")
    for heading in ("", "figure", "bar", "median", "90 % interval", "min", "max", "stdev", "verdict"):
        words = heading in ("", "figure", "verdict")
        figures.add_column(heading, justify="left" if words else "right", no_wrap=heading == "verdict")
    sides = Table(title="Sides: wall microseconds per task", title_justify="left")
    for heading in ("", "side", "tasks", "p50", "p95", "min", "max", "mean", "stdev", "CPU p50"):
        sides.add_column(heading, justify="left" if heading in ("", "side") else "right")
    for scenario in artifact.scenarios:
        for figure in scenario.figures:
            figures.add_row(scenario.scenario_id, *_figure_cells(figure), style=_STYLES[figure.verdict])
        for side in scenario.sides:
            sides.add_row(scenario.scenario_id, *_side_cells(side))
    console.print(sides)
    console.print(figures)


def write_json(artifact: Artifact, path: Path) -> None:
    """Write the artifact to `path`, making missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(artifact), indent=2) + b"\n")


def markdown(artifact: Artifact) -> str:
    """Return the latest results as they stand in the README: where, when, how, figures, sides."""
    machine = artifact.machine
    place = (machine["cpu"], f"{machine['cores']} cores", f"{machine['memory_gib']} GiB", machine["python"])
    versions = ", ".join(f"{name} {version}" for name, version in artifact.versions.items())
    repeats = f"{artifact.iterations} iterations after {artifact.warmups} warm-up, {artifact.tasks} tasks"
    lines = [
        f"- machine: {', '.join(place)}; load average {machine['load_average'][0]} at the start",
        f"- versions: {versions}",
        f"- date: {artifact.started_at[:10]}, revision {artifact.revision or 'unknown'}",
        f"- command: `{' '.join(artifact.command_line)}` ({repeats})",
        "",
        "| | Figure | Bar | Median | 90 % interval | Verdict |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for scenario in artifact.scenarios:
        lines += [_figure_line(scenario, figure) for figure in scenario.figures]
    lines += [
        "",
        "| | Side | Tasks | us/task p50 | p95 | min | max | mean | stdev | CPU us/task |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for scenario in artifact.scenarios:
        lines += [f"| {' | '.join([scenario.scenario_id, *_side_cells(side)])} |" for side in scenario.sides]
    return "\n".join(lines) + "\n"


def _figure_line(scenario: ScenarioResult, figure: FigureResult) -> str:
    label, bar, median, interval, *_, verdict = _figure_cells(figure)
    shown = f"**{verdict}**" if figure.verdict == "missed" else verdict
    return f"| {scenario.scenario_id} | {label} | {bar} | {median} | {interval} | {shown} |"


def _figure_cells(figure: FigureResult) -> list[str]:
    bar = f"{figure.bar.sense} {figure.bar.value:g}{figure.unit}" if figure.bar else ""
    summary = figure.summary
    if summary is None:
        return [figure.label, bar, "", "", "", "", "", f"skipped: {figure.note}"]
    return [
        figure.label,
        bar,
        f"{_number(summary.median)}{figure.unit}",
        _interval(summary),
        _number(summary.minimum),
        _number(summary.maximum),
        _number(summary.stdev),
        figure.verdict,
    ]


def _side_cells(side: SideResult) -> list[str]:
    summary, cpu = side.summary, side.cpu
    if summary is None or cpu is None:
        return [side.name, f"skipped: {side.skipped}", *[""] * 7]
    spread = (
        summary.p50,
        summary.p95,
        summary.minimum,
        summary.maximum,
        summary.mean,
        summary.stdev,
        cpu.p50,
    )
    return [side.name, str(side.runs[-1].tasks), *map(_number, spread)]


def _interval(summary: Summary) -> str:
    if summary.low is None or summary.high is None:
        return "too few iterations"
    return f"{_number(summary.low)} - {_number(summary.high)}"


def _number(value: float) -> str:
    """Return three significant digits, and no more than are meant."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
