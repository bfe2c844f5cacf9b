"""Draws an artifact as an SVG: every run of every side, every figure against its bar, and curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.artifact import Artifact, FigureResult, SideResult
from bench.results import US_PER_TASK, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _TITLE, _LINE, _CURVE = 10.0, 0.8, 0.26, 3.6
"""Inches: the width of it all, the heights of a title with its axis, of an entry and of a curve."""

_PLAIN: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "leasehold",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
}
_FAR_APART = 5
"""From how many times the least value on the greatest one is far from it."""

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
    by_unit: dict[str, list[FigureResult]] = {}
    for figure in derived.figures:
        if figure.summary is not None:
            by_unit.setdefault(figure.unit.strip(), []).append(figure)
    lines = [len(sides), *map(len, by_unit.values())]
    heights = [_TITLE + _LINE * number for number in lines] + [_CURVE] * len(derived.curves)
    with rc_context(_PLAIN):
        drawing = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
        panels = iter(drawing.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
        drawing.suptitle(f"{artifact.scenario_id} {artifact.scenario_name}: {artifact.question}", fontsize=10)
        _draw_sides(next(panels), artifact, sides)
        for unit, figures in by_unit.items():
            _draw_figures(next(panels), unit, figures)
        for curve in derived.curves:
            _draw_curve(next(panels), curve, {side.name: side for side in sides})
        drawing.savefig(path, format="svg", metadata={"Date": None})


def _draw_sides(axes: Axes, artifact: Artifact, sides: list[SideResult]) -> None:
    axes.set_title("microseconds per task, every run; the line is the median")
    for place, side in enumerate(sides):
        runs = [
            run.wall_time_seconds / run.tasks * 1e6 for run in artifact.iterations if run.side == side.name
        ]
        _draw_line(axes, place, runs, side.metrics[US_PER_TASK].median)
    costs = [side.metrics[US_PER_TASK] for side in sides]
    _name_lines(axes, [side.name for side in sides])
    _spread(axes, [end for cost in costs for end in (cost.minimum, cost.maximum)])


def _draw_figures(axes: Axes, unit: str, figures: list[FigureResult]) -> None:
    axes.set_title(f"figures [{unit}], every iteration; red is the bar")
    for place, figure in enumerate(figures):
        assert figure.summary is not None
        _draw_line(axes, place, figure.values, figure.summary.median)
        if figure.bar is not None:
            axes.plot([figure.bar.value] * 2, [place - 0.4, place + 0.4], color=_BAR, linewidth=1.5)
    _name_lines(axes, [figure.label for figure in figures])
    bars = [figure.bar.value for figure in figures if figure.bar is not None]
    _spread(axes, [*bars, *(value for figure in figures for value in figure.values)])


def _draw_line(axes: Axes, place: int, values: list[float], median: float) -> None:
    axes.scatter(values, [place] * len(values), s=16, color=_DOTS, alpha=0.8, zorder=2)
    axes.plot([median] * 2, [place - 0.28, place + 0.28], color=_MEDIAN, linewidth=2, zorder=3)


def _name_lines(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=True, axis="x", alpha=0.3)


def _spread(axes: Axes, values: list[float]) -> None:
    """Lay values that are far apart on a scale of powers, with plain numbers."""
    if min(values) <= 0 or max(values) / min(values) < _FAR_APART:
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}" if max(values) / min(values) < _FAR_APART**2 else "")


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
    _spread(axes, [x for points in curve.points.values() for x, _ in points])
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    if len(curve.points) > 1:
        axes.legend(fontsize=7)
