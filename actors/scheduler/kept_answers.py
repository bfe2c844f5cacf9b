"""What model calls of failed tries were answered, until their tasks end: finished calls are paid for (R14).

Answers go with the task: a worker hands them back with its outcome, and is given them with its next start,
so that they outlive the worker. They are in no journal: that keeps cells, and these are parts of one.
"""

from __future__ import annotations

from messages.tasks import KeptAnswer, TaskId

_MOST_BYTES = 64 * 2**20
_BYTES_EACH = 200
"""What an answer takes besides its reply."""


class KeptAnswers:
    """The answers of one run's failed tasks, by row group: none outlives its own.

    Bounded: where there are `most_bytes` already, a task keeps what it had, and makes its later calls again.
    Those that have their answers end the sooner, and make room.
    """

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._by_row_group: dict[int, dict[TaskId, tuple[KeptAnswer, ...]]] = {}
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._by_row_group)

    def __len__(self) -> int:
        return sum(len(answers) for answers in self._by_row_group.values())

    def keep(self, row_group: int, task_id: TaskId, answers: tuple[KeptAnswer, ...]) -> None:
        """Keep what a try was answered, in place of what its task has had."""
        growth = _size(answers) - _size(self.of(row_group, task_id))
        if answers and self._bytes + growth <= self._most_bytes:
            self._by_row_group.setdefault(row_group, {})[task_id] = answers
            self._bytes += growth

    def of(self, row_group: int, task_id: TaskId) -> tuple[KeptAnswer, ...]:
        """Return what a task is to be started with."""
        answers = self._by_row_group.get(row_group)
        return answers.get(task_id, ()) if answers else ()

    def forget(self, row_group: int, task_id: TaskId) -> None:
        """Drop the answers of a task that has ended."""
        answers = self._by_row_group.get(row_group)
        if answers:
            self._bytes -= _size(answers.pop(task_id, ()))

    def forget_row_group(self, row_group: int) -> None:
        """Drop the answers of all of a row group's tasks: it is finished."""
        for answers in self._by_row_group.pop(row_group, {}).values():
            self._bytes -= _size(answers)


def _size(answers: tuple[KeptAnswer, ...]) -> int:
    return sum(len(answer.reply) + _BYTES_EACH for answer in answers)
