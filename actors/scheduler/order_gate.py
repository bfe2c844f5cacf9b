"""Order-dependent generators: whose turn it is (R7). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from messages.tasks import Task, TaskId


class OrderGate:
    """Lets an order-dependent generator work on one row group at a time, in order (R7).

    `done_before` are the row groups that will not come: earlier runs have finished them.
    """

    def __init__(self, done_before: Iterable[int]) -> None:
        self._turn = 0
        self._finished = set(done_before)
        self._waiting: dict[int, dict[TaskId, Task]] = {}
        self._advance()

    def admits(self, row_group: int, task_id: TaskId, task: Task) -> bool:
        """Return whether it is the row group's turn; keep the task until it is."""
        if row_group == self._turn:
            return True
        self._waiting.setdefault(row_group, {})[task_id] = task
        return False

    def open_after(self, row_group: int) -> dict[TaskId, Task]:
        """Note that a row group is finished; return what may go because of it."""
        self._finished.add(row_group)
        self._waiting.pop(row_group, None)
        before = self._turn
        self._advance()
        return self._waiting.pop(self._turn, {}) if self._turn != before else {}

    def _advance(self) -> None:
        while self._turn in self._finished:
            self._finished.remove(self._turn)
            self._turn += 1
