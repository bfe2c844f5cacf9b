"""Row groups: which are in flight, and the values of their rows until they are stored.

Fixed admission: at most `row_group_concurrency` in flight (R2). A row group is in flight from its
admission until storage has acknowledged it, so that memory is bounded by what is in flight even when
the disk is slow (R10).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from messages._base import SCHEDULER
from messages.plan import GeneratorPlan, JobPlan
from messages.scheduler import DroppedRow
from messages.storage import Earlier, RowGroupLoaded, RowGroupStored, StoreRowGroup
from messages.tasks import Task


class RowGroup:
    """One row group's values, as one list per column, and its dropped rows."""

    __slots__ = ("columns", "dropped", "first_row", "index", "rows")

    def __init__(self, index: int, first_row: int, rows: int, columns: Sequence[str]) -> None:
        self.index = index
        self.first_row = first_row
        self.rows = rows
        self.columns: dict[str, list[Any]] = {name: [None] * rows for name in columns}
        self.dropped: list[DroppedRow] = []

    def fill(self, columns: dict[str, list[Any]]) -> None:
        """Take over whole columns, such as the source's fields."""
        self.columns.update(columns)

    def write(self, generator: GeneratorPlan, task: Task, value: Any, offsets: Sequence[int] | None) -> None:
        """Put a task's value in its place.

        `offsets` are the rows that a row group's task was about, None when it was about all of them.
        """
        outputs = generator.outputs
        if task.row_index is not None and len(outputs) == 1:
            self.columns[outputs[0]][task.row_index - self.first_row] = value
            return
        values = (value,) if len(outputs) == 1 else value
        for name, part in zip(outputs, values, strict=True):
            column = self.columns[name]
            if task.row_index is not None:
                column[task.row_index - self.first_row] = part
            elif offsets is None:
                column[:] = part
            else:
                for offset, cell in zip(offsets, part, strict=True):
                    column[offset] = cell

    def inputs(self, generator: GeneratorPlan, task: Task, offsets: Sequence[int] | None) -> dict[str, Any]:
        """Return what a task needs: a value per column, or the list of the surviving rows' values."""
        columns = self.columns
        if task.row_index is not None:
            offset = task.row_index - self.first_row
            return {name: columns[name][offset] for name in generator.needs}
        if offsets is None:
            return {name: list(columns[name]) for name in generator.needs}
        return {name: [columns[name][offset] for offset in offsets] for name in generator.needs}

    def surviving(self, names: Sequence[str], offsets: Sequence[int]) -> dict[str, list[Any]]:
        """Return the named columns of the surviving rows, in row order."""
        if len(offsets) == self.rows:
            return {name: self.columns[name] for name in names}
        return {name: [self.columns[name][offset] for offset in offsets] for name in names}


class RowGroups:
    """The row groups in flight, each loading, active or on its way to storage. O(in flight) memory.

    Counts what is stored over the whole job: what `earlier` runs have stored, too.
    """

    def __init__(self, plan: JobPlan, earlier: Earlier | None = None) -> None:
        earlier = earlier or Earlier()
        self._plan = plan
        self._next = 0
        self._stored_before = deque(earlier.row_groups)
        self._loading: dict[int, RowGroup] = {}
        self._storing: dict[int, RowGroup] = {}
        self.active: dict[int, RowGroup] = {}
        self.stored = sum(end - first for first, end in earlier.row_groups)
        self.rows_written = earlier.rows_written
        self.drop_reasons: Counter[str] = Counter(earlier.drop_reasons)
        """Why rows of stored row groups were dropped."""
        self._skip_stored()

    @property
    def in_flight(self) -> int:
        """How many row groups are in flight."""
        return len(self._loading) + len(self.active) + len(self._storing)

    @property
    def rows_in_flight(self) -> int:
        """How many rows the row groups in flight have."""
        in_flight = (*self._loading.values(), *self.active.values(), *self._storing.values())
        return sum(group.rows for group in in_flight)

    @property
    def next_rows(self) -> int:
        """How many rows the next row group has, 0 where there is none."""
        return max(
            0, min(self._plan.row_group_size, self._plan.rows - self._next * self._plan.row_group_size)
        )

    @property
    def storing(self) -> bool:
        """Whether storage has still to acknowledge one."""
        return bool(self._storing)

    @property
    def finished(self) -> bool:
        """Whether every row group has been stored."""
        return self._next >= self._plan.row_groups and not self.in_flight

    def admit_next(self) -> RowGroup | None:
        """Return the next row group if it may be in flight now; it is active, or loading its source."""
        plan = self._plan
        if self._next >= plan.row_groups or self.in_flight >= plan.row_group_concurrency:
            return None
        index, first_row = self._next, self._next * plan.row_group_size
        rows = min(plan.row_group_size, plan.rows - first_row)
        names = [name for generator in plan.generators for name in generator.outputs]
        group = RowGroup(index, first_row, rows, names)
        (self._loading if plan.source_fields else self.active)[index] = group
        self._next += 1
        self._skip_stored()
        return group

    def loaded(self, message: RowGroupLoaded) -> RowGroup:
        """Give a row group its source rows; it is active now."""
        group = self.active[message.row_group] = self._loading.pop(message.row_group)
        group.fill(message.columns)
        return group

    def store(self, index: int, offsets: Sequence[int]) -> StoreRowGroup:
        """Return the message that stores a finished row group's surviving rows."""
        plan = self._plan
        group = self._storing[index] = self.active.pop(index)
        columns = group.surviving(plan.dataset_columns, offsets)
        group.columns = {}  # the message holds what is still wanted
        return StoreRowGroup(
            plan.run_id, index, columns, len(offsets), tuple(group.dropped), reply_to=SCHEDULER
        )

    def acknowledge(self, message: RowGroupStored) -> RowGroup:
        """Forget a row group that is stored, and count it."""
        group = self._storing.pop(message.row_group)
        self.stored += 1
        self.rows_written += message.rows
        self.drop_reasons.update(row.reason for row in group.dropped)
        return group

    def _skip_stored(self) -> None:
        """Pass over the row groups that an earlier run has stored: they are never made again (R10)."""
        while self._stored_before and self._stored_before[0][0] == self._next:
            self._next = self._stored_before.popleft()[1]

    def store_failed(self, index: int) -> None:
        """Forget a row group that could not be stored or loaded: its rows stay pending."""
        self._storing.pop(index, None)
        self._loading.pop(index, None)
