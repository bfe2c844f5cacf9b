"""How far a run has been stored, and whether its rows are conserved (R13)."""

from __future__ import annotations

from collections import Counter

import msgspec

from messages.scheduler import JobResult
from messages.storage import Earlier, StoreRowGroup


class RunProgress:
    """The row groups stored so far, and their rows, written and dropped.

    Row groups are stored roughly in order, so the stored ones are kept as a number below which all are
    stored, and the few beyond it: memory does not grow with the rows already written.
    """

    def __init__(self, *, rows: int, row_group_size: int, columns: tuple[str, ...], earlier: Earlier) -> None:
        self.rows = rows
        self.rows_stored = earlier.rows_written
        self.rows_dropped = earlier.rows_dropped
        self.drop_reasons = Counter(earlier.drop_reasons)
        self.row_groups_stored = 0
        self._size = max(1, row_group_size)
        self._columns = columns
        self._all_below = 0
        self._beyond: set[int] = set()
        for row_group in earlier.numbers():
            self._is_stored(row_group)

    @property
    def row_groups(self) -> int:
        """How many row groups the run has."""
        return -(-self.rows // self._size)

    def objection_to(self, message: StoreRowGroup) -> str | None:
        """Return why this row group cannot be stored as it is; None where nothing is wrong."""
        row_group, rows, dropped = message.row_group, message.rows, message.dropped
        if not 0 <= row_group < self.row_groups:
            return f"the run has row groups 0 to {self.row_groups - 1}"
        if row_group < self._all_below or row_group in self._beyond:
            return "it is stored already"
        if set(message.columns) != set(self._columns):
            return f"it has the columns {sorted(message.columns)}, the dataset has {sorted(self._columns)}"
        wrong = {name: len(values) for name, values in message.columns.items() if len(values) != rows}
        if wrong:
            return f"it should have {rows} values in every column, but has {wrong}"
        first = row_group * self._size
        expected = min(self._size, self.rows - first)
        if rows + len(dropped) != expected:
            return f"{rows} rows and {len(dropped)} dropped ones are not its {expected} rows"
        numbers = {row.row for row in dropped}
        if len(numbers) != len(dropped) or not all(first <= row < first + expected for row in numbers):
            return f"its dropped rows are not different rows of {first} to {first + expected - 1}"
        return None

    def record(self, message: StoreRowGroup) -> None:
        """Count a row group that has been stored."""
        self.rows_stored += message.rows
        self.rows_dropped += len(message.dropped)
        self.drop_reasons.update(row.reason for row in message.dropped)
        self._is_stored(message.row_group)

    def _is_stored(self, row_group: int) -> None:
        self.row_groups_stored += 1
        self._beyond.add(row_group)
        while self._all_below in self._beyond:
            self._beyond.remove(self._all_below)
            self._all_below += 1

    def counted(self, result: JobResult) -> JobResult:
        """Return the result with the rows as they were stored."""
        return msgspec.structs.replace(
            result,
            rows_requested=self.rows,
            rows_written=self.rows_stored,
            rows_dropped=self.rows_dropped,
            rows_pending=self.rows - self.rows_stored - self.rows_dropped,
            drop_reasons=dict(self.drop_reasons),
        )

    def difference_to(self, result: JobResult) -> str | None:
        """Return how the result's rows differ from what was stored (R13); None where they agree."""
        ours = (
            self.rows,
            self.rows_stored,
            self.rows_dropped,
            self.rows - self.rows_stored - self.rows_dropped,
        )
        theirs = (
            result.rows_requested,
            result.rows_written,
            result.rows_dropped,
            result.rows_pending,
        )
        if ours == theirs:
            return None
        names = ("asked for", "written", "dropped", "pending")

        def told(counts: tuple[int, ...]) -> str:
            return ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))

        return f"rows are not conserved: the job reports {told(theirs)}; stored were {told(ours)}"

    def check(self) -> None:
        """Assert that the counts can be true together."""
        assert self.row_groups_stored == self._all_below + len(self._beyond)
        assert all(self._all_below < row_group < self.row_groups for row_group in self._beyond)
        assert self.rows_stored + self.rows_dropped <= self.rows
        whole = self.row_groups_stored == self.row_groups
        assert whole == (self.rows_stored + self.rows_dropped == self.rows)
