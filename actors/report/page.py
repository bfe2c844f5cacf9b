"""Puts a run, its findings and its proof into the page. Pure: values in, HTML out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Final

import jinja2
import msgspec

from actors.evidence.report import VerificationReport, render
from actors.inspection.capacity_table import DETAILS, configured_rows, observed_rows
from actors.inspection.explained import ExecutionExplained, RunExplained
from actors.inspection.finding import Finding
from actors.inspection.words import percent, took
from actors.report.figures import figures

_MOST_ROWS: Final = 60
"""Rows of a table of columns, models or limit changes; the rest is counted."""


def render_page(
    run: RunExplained,
    findings: Sequence[Finding],
    proof: VerificationReport,
    *,
    plotly: str,
    version: str,
) -> str:
    """Return the page. `plotly` is the drawing library's own source, which the page carries."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"took": took, "percent": percent}
    source = resources.files("actors.report").joinpath("page.html.j2").read_text("utf-8")
    plots = figures(run)
    causes = [finding for finding in findings if not finding.follows_from]
    return environment.from_string(source).render(
        run=run,
        facts=run.run,
        causes=causes,
        consequences=[finding for finding in findings if finding.follows_from],
        plots=plots,
        model_plots=[plot for plot in plots if plot.name.startswith("model-")],
        data=_in_script({plot.name: plot.figure for plot in plots}),
        columns=sorted(run.columns.items(), key=lambda item: -item[1].running_seconds)[:_MOST_ROWS],
        models=sorted(run.models.items(), key=lambda item: -item[1].provider_seconds)[:_MOST_ROWS],
        changes=list(_changes(run))[-_MOST_ROWS:],
        executions=[_execution(each) for each in run.unfinished or run.longest],
        configured=_configured(run),
        observed=[] if run.capacity is None else list(observed_rows(run.capacity)),
        proof=proof,
        proof_lines=[line.strip() for line in render(proof)[1:]],
        plotly=_closed(plotly),
        version=version,
    )


def _in_script(data: dict[str, Any]) -> str:
    """Return data as JSON that no script element ends in, whatever names are in it."""
    text = msgspec.json.encode(data).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _closed(script: str) -> str:
    return script.replace("</script", "<\\/script")


def _changes(run: RunExplained) -> Iterator[dict[str, Any]]:
    """Yield the limits' changes in the order of time, with the refusals since the one before."""
    found = []
    for name, model in run.models.items():
        before = 0.0
        for change in model.limit_changed:
            refusals = sum(before < at <= change.at for at in model.rate_limited_at)
            found.append({"model": name, "change": change, "refusals": refusals})
            before = change.at
    yield from sorted(found, key=lambda each: each["change"].at)  # type: ignore[attr-defined]


def _execution(each: ExecutionExplained) -> dict[str, Any]:
    row = f"row {each.row_index}" if each.row_index is not None else f"row group {each.row_group}"
    charges = sorted(each.charges.items(), key=lambda item: -item[1])
    return {
        "each": each,
        "row": row,
        "charges": ", ".join(f"{reason} {took(amount / 1e6)}" for reason, amount in charges[:3]),
    }


def _configured(run: RunExplained) -> dict[str, list[Any]]:
    """Return the configured values, what is seldom looked for apart."""
    rows = [] if run.capacity is None else list(configured_rows(run.capacity.configured))
    return {
        "first": [row for row in rows if row.table != DETAILS],
        "details": [row for row in rows if row.table == DETAILS],
    }
