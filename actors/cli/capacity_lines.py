"""The capacity plan as lines: what is configured and from where, beside the most that was seen."""

from __future__ import annotations

from collections.abc import Iterator

from actors.cli.inspection_screen import Line, table
from actors.inspection.capacity_table import DETAILS, configured_rows, observed_rows
from messages.capacity import CapacityPlan


def capacity_lines(plan: CapacityPlan) -> Iterator[Line]:
    """Yield the whole plan: every configured value with its source, and apart from them what was seen."""
    seen = list(observed_rows(plan))
    if seen:
        yield Line("", "")
        yield Line("heading", "The most that was seen")
        yield from table(
            ("what", "of", "most", "configured", ""),
            [
                (row.what, row.name, f"{row.most:g}", _bound(row.bound), "full" if row.at_bound else "")
                for row in seen
            ],
        )
    rows = list(configured_rows(plan.configured))
    defaults = {row for row in rows if row.table == DETAILS and row.source == "default"}
    yield Line("", "")
    yield Line("heading", "Configured capacity")
    yield from table(
        ("value of", "for", "value", "source", "note"),
        [
            (row.table or row.name, row.name if row.table else "", row.value, row.source, row.note)
            for row in rows
            if row not in defaults
        ],
    )
    if defaults:
        yield Line("faint", f"  and {len(defaults)} more of {DETAILS} at their defaults: --json has them")


def _bound(bound: int | None) -> str:
    return "-" if bound is None else str(bound)
