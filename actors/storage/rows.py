"""Columns of a row group as rows, and rows as JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from actors.storage.ports import StorageError
from messages.job import Problem

_ENCODER = msgspec.json.Encoder()


def rows_of(columns: dict[str, list[Any]], names: Sequence[str], rows: int) -> list[dict[str, Any]]:
    """Return the rows as dicts, their fields in the order of `names`."""
    if not names:
        return [{} for _ in range(rows)]
    values = (columns[name] for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def encode_rows(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return the rows as JSON lines.

    Raises:
        StorageError: a value cannot be written as JSON; names the row's place in the group and the column.
    """
    try:
        return _ENCODER.encode_lines(rows)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StorageError(_culprit(rows, error)) from error


def _culprit(rows: Sequence[dict[str, Any]], error: Exception) -> Problem:
    """Find the value that could not be encoded; this is slow, and done only after a failure."""
    for place, row in enumerate(rows):
        for name, value in row.items():
            try:
                _ENCODER.encode(value)
            except (TypeError, ValueError, OverflowError, RecursionError) as cause:
                return Problem(
                    path=f"columns.{name}",
                    message=f"surviving row {place} of the row group cannot be written as JSON: {cause}",
                    remedy="return text, numbers, booleans, lists and string-keyed mappings only",
                )
    return Problem(path="columns", message=f"the rows cannot be written as JSON: {error}")
