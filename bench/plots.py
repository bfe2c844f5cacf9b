"""Draws an artifact as an SVG: every run of every side, every figure against its bar, and curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.artifact import Artifact, FigureResult, SideResult
from bench.results import US_PER_TASK, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _LINE, _CURVE = 10.0, 0.32, 3.6
"""Inches: the drawing's width, the height of an entry, the height of a curve's panel."""

_PLAIN: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "leasehold",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
}
_DOTS, _MEDIAN, _BAR = "#7a9cc6", "#1f3a5f", "#b23a3a"


class PlotsMissingError(Exception):
    """The drawing library is not installed."""


def plot(artifact: Artifact, path: Path) -> None:
    """Draw the artifact into the SVG file `path`. The same artifact gives the same bytes.

    Raises:
        PlotsMissingError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - an extra, and slow to import
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise PlotsMissingError(
            "plots were left out: matplotlib is not installed: pip install 'leasehold[bench]'"
        ) from None
    derived = artifact.derived_metrics
    sides = [side for side in derived.sides if side.metrics]
    figures = [figure for figure in derived.figures if figure.summary is not None]
    heights = [1.0 + _LINE * len(sides)]
    if figures:
        heights.append(1.0 + _LINE * len(figures))
    heights += [_CURVE] * len(derived.curves)
    with rc_context(_PLAIN):
        drawing = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
        panels = drawing.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        drawing.suptitle(f"{artifact.scenario_id} {artifact.scenario_name}: {artifact.question}", fontsize=10)
        _draw_sides(panels[0], artifact, sides)
        if figures:
            _draw_figures(panels[1], figures)
        for panel, curve in zip(panels[len(heights) - len(derived.curves) :], derived.curves, strict=True):
            _draw_curve(panel, curve, {side.name: side for side in sides})
        drawing.savefig(path, format="svg", metadata={"Date": None})


def _draw_sides(axes: Axes, artifact: Artifact, sides: list[SideResult]) -> None:
    axes.set_title("microseconds per task, every run; the line is the median")
    for place, side in enumerate(sides):
        costs = [
            run.wall_time_seconds / run.tasks * 1e6 for run in artifact.iterations if run.side == side.name
        ]
        _draw_line(axes, place, costs, side.metrics[US_PER_TASK].median)
    _name_lines(axes, [side.name for side in sides], positive=True)


def _draw_figures(axes: Axes, figures: list[FigureResult]) -> None:
    axes.set_title("figures, every iteration; red is the bar")
    for place, figure in enumerate(figures):
        assert figure.summary is not None
        _draw_line(axes, place, figure.values, figure.summary.median)
        if figure.bar is not None:
            axes.plot([figure.bar.value] * 2, [place - 0.4, place + 0.4], color=_BAR, linewidth=1.5)
    names = [f"{figure.label} [{figure.unit.strip()}]" for figure in figures]
    _name_lines(axes, names, positive=all(value > 0 for figure in figures for value in figure.values))


def _draw_line(axes: Axes, place: int, values: list[float], median: float) -> None:
    axes.scatter(values, [place] * len(values), s=16, color=_DOTS, alpha=0.8, zorder=2)
    axes.plot([median] * 2, [place - 0.28, place + 0.28], color=_MEDIAN, linewidth=2, zorder=3)


def _name_lines(axes: Axes, names: list[str], *, positive: bool) -> None:
    if positive:
        axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=True, axis="x", alpha=0.3)


def _draw_curve(axes: Axes, curve: Curve, sides: dict[str, SideResult]) -> None:
    axes.set_title(curve.title)
    axes.set_xlabel(curve.x_label)
    axes.set_ylabel(curve.y_label)
    for name, points in curve.points.items():
        found = [
            (x, sides[side].metrics[curve.metric])
            for x, side in points
            if side in sides and curve.metric in sides[side].metrics
        ]
        medians = [summary.median for _, summary in found]
        below = [summary.median - summary.minimum for _, summary in found]
        above = [summary.maximum - summary.median for _, summary in found]
        axes.errorbar([x for x, _ in found], medians, [below, above], marker="o", markersize=3, label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    if len(curve.points) > 1:
        axes.legend(fontsize=7)
