"""Writes artifacts: a folder per scenario with JSON, CSV, Markdown and a plot, and a summary of all."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.artifact import Artifact, Summary
from bench.plots import PlotsMissingError, plot
from bench.report import markdown

ARTIFACT, RUNS, STATISTICS, SUMMARY, PLOT = (
    "artifact.json",
    "runs.csv",
    "statistics.csv",
    "summary.md",
    "plot.svg",
)

_STATISTICS = ("count", "median", "minimum", "maximum", "mean", "stdev", "p50", "p95", "low", "high")


def write_artifact(artifact: Artifact, folder: Path, *, drawn: bool = True) -> str:
    """Write an artifact into a folder of its own under `folder`, replacing what is there.

    drawn: with its plot. Returns why it could not be drawn and how to mend that, empty where it was.
    """
    inside = folder / f"{artifact.scenario_id}-{artifact.scenario_name}"
    inside.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode(artifact), indent=2)
    (inside / ARTIFACT).write_bytes(encoded + b"\n")
    _write_csv(inside / RUNS, _runs(artifact))
    _write_csv(inside / STATISTICS, _statistics(artifact))
    problem, picture = "", ""
    if drawn:
        try:
            plot(artifact, inside / PLOT)
            picture = f"\n![plot]({PLOT})\n"
        except PlotsMissingError as error:
            problem = str(error)
    title = f"# {artifact.scenario_id} {artifact.scenario_name}\n\n{artifact.question}\n\n"
    (inside / SUMMARY).write_text(title + markdown([artifact], full=True) + picture, encoding="utf-8")
    return problem


def write_summary(artifacts: Sequence[Artifact], folder: Path) -> None:
    """Write the tables of all artifacts into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).write_text(markdown(artifacts), encoding="utf-8")


def read_artifact(folder: Path, scenario_id: str) -> Artifact:
    """Return the artifact of a scenario that stands under `folder`."""
    (path,) = folder.glob(f"{scenario_id}-*/{ARTIFACT}")
    return msgspec.json.decode(path.read_bytes(), type=Artifact)


def _runs(artifact: Artifact) -> list[dict[str, Any]]:
    """Return a line per run, each with all measures that any run of the scenario has."""
    measures = sorted({name for run in artifact.iterations for name in run.measures})
    return [
        {
            "scenario_id": artifact.scenario_id,
            "iteration": run.iteration,
            "position": run.position,
            "side": run.side,
            "tasks": run.tasks,
            "wall_time_seconds": run.wall_time_seconds,
            "cpu_seconds": run.cpu_seconds,
            "us_per_task": run.wall_time_seconds / run.tasks * 1e6,
            "peak_bytes": run.peak_bytes,
            "leases_left": run.leases_left,
            "hidden_waiters": run.hidden_waiters,
            "log_lines": run.log_lines,
            "output_hashes": " ".join(run.output_hashes),
            **{name: run.measures.get(name) for name in measures},
        }
        for run in artifact.iterations
    ]


def _statistics(artifact: Artifact) -> list[dict[str, Any]]:
    """Return a line per figure, and one per metric of each side."""
    lines: list[dict[str, Any]] = []
    for figure in artifact.derived_metrics.figures:
        bar = f"{figure.bar.sense} {figure.bar.value:g}" if figure.bar else ""
        about = {"what": "figure", "name": figure.label, "metric": "", "unit": figure.unit.strip()}
        lines.append(about | {"bar": bar, "verdict": figure.verdict} | _of(figure.summary))
    for side in artifact.derived_metrics.sides:
        for metric, summary in side.metrics.items():
            about = {"what": "side", "name": side.name, "metric": metric, "unit": ""}
            lines.append(about | {"bar": "", "verdict": ""} | _of(summary))
    return lines


def _of(summary: Summary | None) -> dict[str, Any]:
    return {name: None if summary is None else getattr(summary, name) for name in _STATISTICS}


def _write_csv(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    lines = list(lines)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]) if lines else [])
        writer.writeheader()
        writer.writerows(lines)
