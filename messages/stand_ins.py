"""What is sure about a job of which parts could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from messages.hints import nearest
from messages.job import Column, Job, PythonColumn

_COLUMN_KEYS = sorted({key for kind in Column.__args__ for key in kind.__struct_fields__})


def judged(job: Job, data: Mapping[str, Any], unsure: Iterable[str]) -> tuple[Job, frozenset[str]]:
    """Return a job that was read from `data` with stand-ins, and every place at which it is unsure.

    A column whose kind cannot be read goes on filling what its `outputs` name. Doubt about one place is
    passed on to what the place decides: `columns.*` are the names that the dataset's columns have,
    `source` is all that a source gives.
    """
    places = set(unsure)
    columns = dict(job.columns)
    for name in columns:
        if f"columns.{name}.kind" in places:
            columns[name] = _of_no_kind(name, data["columns"][name], places)
    if any(f"columns.{name}.{key}" in places for name in columns for key in ("outputs", "side_effects")):
        places.add("columns.*")
    if any(place == "base_dir" or place.startswith("source.") for place in places):
        places.add("source")
    # As many rows as nobody knows: none of the source's records can be said to be among them.
    rows = 0 if "rows" in places else job.rows
    return msgspec.structs.replace(job, columns=columns, rows=rows), frozenset(places)


def _of_no_kind(name: str, table: Mapping[str, Any], unsure: set[str]) -> Column:
    """Return a stand-in for a column of unknown kind; add to `unsure` what is not known of it."""
    unsure.add(f"columns.{name}.function")
    outputs = table.get("outputs", ())
    listed = outputs if isinstance(outputs, list | tuple) else ()
    names = tuple(output for output in listed if isinstance(output, str))
    mistyped = any(key not in _COLUMN_KEYS and nearest(str(key), _COLUMN_KEYS) == "outputs" for key in table)
    if mistyped or not isinstance(outputs, list | tuple) or len(names) < len(outputs):
        unsure.add(f"columns.{name}.outputs")
    return PythonColumn(function="", outputs=names)
