"""The scheduler's side of the cell journal (R14): what to keep of outcomes, what earlier runs have kept.

A cell counts as finished for ever once storage has its record; until then, a crash takes it along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.scheduler.completion import CompletionTracker
from actors.scheduler.row_groups import RowGroup
from messages._base import SCHEDULER, STORAGE, Outgoing
from messages.plan import GeneratorPlan, JobPlan
from messages.storage import JournalCells, JournalRecord
from messages.tasks import Task, TaskOutcome


class CellJournal:
    """Records not yet sent to storage, and records of row groups not yet begun again.

    `keeping` is False where the rows stay in memory: what ends with the process needs no journal.
    """

    def __init__(self, plan: JobPlan, earlier: Iterable[JournalRecord], *, keeping: bool) -> None:
        self._run_id = plan.run_id
        self._keeping = keeping
        self._generators: Mapping[str, GeneratorPlan] = {item.name: item for item in plan.generators}
        self._earlier: dict[int, list[JournalRecord]] = {}
        self._unsent: list[JournalRecord] = []
        for record in earlier:
            self._earlier.setdefault(record.row_group, []).append(record)

    def restore(self, group: RowGroup, tracker: CompletionTracker) -> list[Task]:
        """Complete the cells of a row group that earlier runs have finished; return their tasks."""
        restored: list[Task] = []
        for record in self._earlier.pop(group.index, ()):
            generator = self._generators.get(record.column)
            if generator is None:
                continue
            task = Task(record.column, group.index, record.row, generator.task_type)
            if tracker.mark_complete(task):
                group.write(generator, task, record.value, None)
                restored.append(task)
        tracker.mark_enqueued(tracker.task_id(task) for task in restored)
        return restored

    def note(self, task: Task, outcome: TaskOutcome, *, whole: bool) -> None:
        """Keep what a task has made, if model calls were made for it.

        A task about a row group that had lost rows (not `whole`) is not kept: its value is for the rows that
        it was given, and the next run may lose others.
        """
        if outcome.calls and self._keeping and (whole or task.row_index is not None):
            self._unsent.append(JournalRecord(task.column, task.row_group, task.row_index, outcome.value))

    def take(self) -> list[Outgoing]:
        """Return what is to be journaled since the last call."""
        if not self._unsent:
            return []
        records, self._unsent = self._unsent, []
        return [Outgoing(STORAGE, JournalCells(self._run_id, records, reply_to=SCHEDULER))]
