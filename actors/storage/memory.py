"""A run without an output folder: its rows stay in memory until the run is closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from actors.storage.ports import Stored
from actors.storage.rows import rows_of
from messages.scheduler import DroppedRow, JobResult


class MemoryRun:
    """Owns the rows of a run that was asked for none on disk."""

    output: str | None = None

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._row_groups: dict[int, list[dict[str, Any]]] = {}

    def store(
        self,
        row_group: int,
        columns: dict[str, list[Any]],
        rows: int,
        dropped: Sequence[DroppedRow],  # noqa: ARG002 - the port's shape; the core counts them
    ) -> Stored:
        """Keep the rows."""
        self._row_groups[row_group] = rows_of(columns, self._columns, rows)
        return Stored(0, 0.0)

    def complete(self, result: JobResult, capacity_plan: dict[str, Any] | None) -> JobResult:  # noqa: ARG002 - the port's shape
        """Return the result with every row, in row order."""
        dataset = [row for row_group in sorted(self._row_groups) for row in self._row_groups[row_group]]
        return msgspec.structs.replace(result, output=None, dataset=dataset)
