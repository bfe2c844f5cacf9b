"""A run without an output folder: its rows stay in memory until the run is closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from actors.storage.ports import Stored
from messages.scheduler import DroppedRow, JobResult
from messages.storage import Earlier, JournalRecord


class MemoryRun:
    """Owns the rows of a run that was asked for none on disk."""

    output: str | None = None

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._row_groups: dict[int, dict[str, list[Any]]] = {}
        self._dropped: list[DroppedRow] = []

    @property
    def earlier(self) -> Earlier:
        """What is kept so far: nothing, when the run is opened."""
        rows = sum(len(next(iter(columns.values()), ())) for columns in self._row_groups.values())
        return Earlier(
            row_groups=tuple((number, number + 1) for number in sorted(self._row_groups)),
            rows_written=rows,
            drop_reasons=dict(Counter(row.reason for row in self._dropped)),
        )

    def store(
        self,
        row_group: int,
        columns: dict[str, list[Any]],
        rows: int,  # noqa: ARG002 - the port's shape; the core counts them
        dropped: Sequence[DroppedRow],
    ) -> Stored:
        """Keep the rows, and why others are missing."""
        self._row_groups[row_group] = {name: columns[name] for name in self._columns}
        self._dropped += dropped
        return Stored(0, 0.0)

    def journal(self, records: Sequence[JournalRecord]) -> None:
        """Do nothing: what is in memory ends with the process."""

    def sync_journal(self) -> None:
        """Do nothing."""

    def complete(self, result: JobResult, capacity_plan: dict[str, Any] | None) -> JobResult:  # noqa: ARG002 - the port's shape
        """Return the result with every row, in row order, and every dropped one."""
        dataset = [self._row_groups[row_group] for row_group in sorted(self._row_groups)]
        dropped = sorted(self._dropped, key=lambda one: one.row)
        return msgspec.structs.replace(result, output=None, dataset=dataset, dropped=dropped)
