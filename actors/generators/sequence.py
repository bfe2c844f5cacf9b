"""Numbers in row order."""

from __future__ import annotations

from actors.generators.base import Generator
from messages.job import SequenceColumn
from messages.worker import TaskStart


class SequenceGenerator(Generator):
    """Row number n of the job gets `start + n * step`."""

    def __init__(self, name: str, column: SequenceColumn) -> None:
        super().__init__(name, mode="inline", task_type="from_scratch")
        self._start = column.start
        self._step = column.step

    def run(self, start: TaskStart) -> list[int]:
        """Return the number of each of the task's rows."""
        first = self._start + start.first_row * self._step
        return [first + index * self._step for index in range(start.rows)]
