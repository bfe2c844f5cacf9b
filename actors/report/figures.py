"""A run's plots as figures in plotly's JSON: plain data, drawn by the library in the page.

Colours are from a palette that colour-blind readers can tell apart, and mid-toned: they stand on a light and
on a dark page. Everything else about the looks is the page's style sheet's.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final, NamedTuple

from actors.inspection.charges import REASONS
from actors.inspection.explained import Curve, ModelExplained, RunExplained
from actors.inspection.words import took

MOST_MODELS: Final = 12
MOST_COLUMNS: Final = 16
_MOST_RESOURCES: Final = 8

_BLUE, _ORANGE, _GREEN, _RED, _PURPLE = "#0a84d8", "#e69f00", "#009e73", "#d55e00", "#b07aa1"
_LINES: Final = (_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, "#56b4e9", "#9c755f", "#8a8f98")
_REASON_COLOURS: Final = {
    "dependency": "#8a8f98",
    "retry": "#9c755f",
    "task_share": "#c49be0",
    "task_capacity": _PURPLE,
    "request_limit": _ORANGE,
    "cooldown": _RED,
    "budget": "#b5a400",
    "connection_pool": "#56b4e9",
    "provider": _BLUE,
    "local_compute": _GREEN,
    "checkpoint": "#5b6b7b",
}
_NARROW: Final = 46


class Figure(NamedTuple):
    """A plot: its place's name in the page, its title, what it shows in words, and plotly's figure."""

    name: str
    title: str
    says: str
    figure: dict[str, Any]


def figures(run: RunExplained) -> list[Figure]:
    """Return the run's plots, in the order of the page."""
    found = [_charges(run), *_models(run), _completion(run), _queue(run)]
    leases = _leases(run)
    return found if leases is None else [*found, leases]


# -- over time -----------------------------------------------------------------------------------------


def _steps(curve: Curve, until: float, scale: float = 1.0) -> tuple[list[float], list[float]]:
    """Return a curve's steps; where a value went up and down within a moment, both are on its line."""
    times: list[float] = []
    values: list[float] = []
    for at, low, high, last in curve:
        for value in (low, high, last) if low != high else (last,):
            times.append(round(max(0.0, at), 6))
            values.append(value * scale)
    if values:
        times.append(round(until, 6))
        values.append(values[-1])
    return times, values


def _line(
    name: str,
    curve: Curve,
    until: float,
    colour: str,
    *,
    scale: float = 1.0,
    width: float = 1.6,
    dash: str = "solid",
    filled: bool = False,
) -> dict[str, Any]:
    times, values = _steps(curve, until, scale)
    line = {"shape": "hv", "color": colour, "width": width, "dash": dash}
    drawn = {"type": "scatter", "mode": "lines", "name": name, "x": times, "y": values, "line": line}
    if filled:
        drawn |= {"fill": "tozeroy", "fillcolor": f"{colour}40"}
    return drawn


def _over_time(traces: list[dict[str, Any]], unit: str, **layout: Any) -> dict[str, Any]:
    axes = {
        "xaxis": {"title": {"text": "seconds since the run began"}, "rangemode": "tozero", "zeroline": False},
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero", "zeroline": False},
    }
    return {"data": traces, "layout": {**axes, "hovermode": "x unified", **layout}}


def _models(run: RunExplained) -> list[Figure]:
    used = [(name, model) for name, model in run.models.items() if model.attempts or model.most_waiting]
    busiest = sorted(used, key=lambda item: -item[1].provider_seconds)[:MOST_MODELS]
    return [_model(number, name, model, run) for number, (name, model) in enumerate(busiest)]


def _model(number: int, name: str, model: ModelExplained, run: RunExplained) -> Figure:
    until = run.run.wall_seconds
    traces = [
        _line("in flight", model.in_flight_curve, until, _BLUE, filled=True),
        _line("limit", model.limit_curve, until, _ORANGE, width=2.2, dash="dash"),
        _line("waiting", model.waiting_curve, until, _PURPLE, width=1.2),
    ]
    if model.limit_changed:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "limit changed",
                "x": [change.at for change in model.limit_changed],
                "y": [change.after for change in model.limit_changed],
                "text": [f"{c.before} to {c.after}: {c.reason}" for c in model.limit_changed],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": _ORANGE, "size": 7, "symbol": "diamond"},
            }
        )
    if model.rate_limited_at:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "429",
                "x": list(model.rate_limited_at),
                "y": [_value_at(model.limit_curve, at) for at in model.rate_limited_at],
                "hovertemplate": "refused at %{x:.2f} s<extra></extra>",
                "marker": {"color": _RED, "size": 9, "symbol": "x"},
            }
        )
    pauses = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": start,
            "x1": end,
            "y0": 0,
            "y1": 1,
            "fillcolor": _RED,
            "opacity": 0.13,
            "line": {"width": 0},
            "layer": "below",
        }
        for start, end in model.cooldowns
    ]
    aliases = ", ".join(model.caps)
    says = (
        f"{model.attempts} calls, {model.most_in_flight} at once at the most, "
        f"limit {model.limit} of {model.effective_max}, {model.rate_limited} refused as too much, "
        f"paused for {took(model.cooldown_seconds)} (shaded)"
    )
    title = f"{aliases} ({name})" if aliases else name
    return Figure(f"model-{number}", title, says, _over_time(traces, "calls", shapes=pauses))


def _value_at(curve: Curve, at: float) -> float:
    place = bisect_right(curve, at, key=lambda point: point[0]) - 1
    return curve[max(0, place)][3] if curve else 0.0


def _completion(run: RunExplained) -> Figure:
    facts = run.run
    until = facts.wall_seconds
    traces = [
        _line("rows written", run.completion, until, _GREEN, filled=True),
        {
            "type": "scatter",
            "mode": "lines",
            "name": "rows of the job",
            "x": [0.0, until],
            "y": [facts.rows, facts.rows],
            "line": {"color": "#8a8f98", "width": 1.2, "dash": "dot"},
        },
    ]
    says = f"{facts.rows_written} of {facts.rows} rows written, {facts.rows_dropped} dropped"
    return Figure("completion", "Rows written", says, _over_time(traces, "rows"))


def _queue(run: RunExplained) -> Figure:
    until = run.run.wall_seconds
    queue = run.queue
    traces = [_line("queued", queue.queued_curve, until, _PURPLE, filled=True)]
    says = f"{queue.most_queued} ready tasks queued at once at the most"
    return Figure("queue", "Ready tasks in the queue", says, _over_time(traces, "tasks"))


def _leases(run: RunExplained) -> Figure | None:
    until = run.run.wall_seconds
    used = sorted(
        ((name, each) for name, each in run.resources.items() if each.most_at_once),
        key=lambda item: -item[1].most_at_once / item[1].limit,
    )[:_MOST_RESOURCES]
    if not used:
        return None
    traces = [
        _line(f"{name} (of {each.limit})", each.held_curve, until, colour, scale=100.0 / each.limit)
        for (name, each), colour in zip(used, _LINES, strict=False)
    ]
    says = ", ".join(f"{name} {each.most_at_once} of {each.limit} at the most" for name, each in used)
    return Figure("leases", "Task leases, share of each resource", says, _over_time(traces, "% in use"))


# -- where time went -------------------------------------------------------------------------------------


def _charges(run: RunExplained) -> Figure:
    columns = sorted(run.columns.items(), key=lambda item: -sum(item[1].charges.values()))[:MOST_COLUMNS]
    bars = [("all", run.charges), *((name, column.charges) for name, column in columns)]
    bars.reverse()  # plotly stacks bars from below
    names = [_short(name) for name, _ in bars]
    totals = [max(1, sum(charges.values())) for _, charges in bars]
    traces = []
    for reason in REASONS:
        amounts = [charges.get(reason, 0) for _, charges in bars]
        if any(amounts):
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": reason,
                    "y": list(range(len(bars))),
                    "x": [100.0 * part / whole for part, whole in zip(amounts, totals, strict=True)],
                    "text": [took(amount / 1e6) for amount in amounts],
                    "textposition": "none",
                    "hovertemplate": f"{reason}: %{{text}}, %{{x:.1f}} %<extra></extra>",
                    "marker": {"color": _REASON_COLOURS[reason]},
                }
            )
    layout = {
        "barmode": "stack",
        "bargap": 0.25,
        "height": 150 + 26 * len(bars),
        "xaxis": {"title": {"text": "% of the time of its tasks"}, "range": [0, 100], "zeroline": False},
        "yaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(bars))),
            "ticktext": names,
            "automargin": True,
        },
        "hovermode": "closest",
    }
    largest = sorted(((amount, reason) for reason, amount in run.charges.items() if amount), reverse=True)
    says = ", ".join(f"{reason} {took(amount / 1e6)}" for amount, reason in largest[:4])
    return Figure("charges", "Where the tasks' time went", says, {"data": traces, "layout": layout})


def _short(name: str) -> str:
    """Return a name that fits beside a bar, as text: plotly would take some of HTML's tags for its own."""
    shown = name if len(name) <= _NARROW else f"{name[: _NARROW - 1]}…"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
