"""Skipped cells: their defaults, how many there were, and what is skipped because of them (R9).

Whether a condition holds is the worker's to say. What follows is decided here without running anything:
a cell that needs a skipped one is skipped as soon as it is ready.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from actors.scheduler.completion import CompletionTracker
from actors.scheduler.row_groups import RowGroup
from messages.plan import GeneratorPlan, JobPlan
from messages.tasks import Task, TaskOutcome


class Skips:
    """The skipped cells of one run. `counts` has them by generator."""

    def __init__(self, plan: JobPlan, tracker: CompletionTracker) -> None:
        self.counts: Counter[str] = Counter()
        self._tracker = tracker
        self._generators = {generator.name: generator for generator in plan.generators}

    def note(
        self,
        group: RowGroup,
        generator: GeneratorPlan,
        task: Task,
        outcome: TaskOutcome,
        offsets: list[int] | None,
    ) -> None:
        """Take what a task skipped, before it is marked complete; fill the rows that it was not given."""
        if not self._tracker.is_open(task):
            return
        if task.row_index is not None:
            skipped = [task.row_index - group.first_row] if outcome.skipped else []
        else:
            unasked = self._tracker.skipped_rows(task)
            _fill(group, generator, unasked)
            given = range(group.rows) if offsets is None else offsets
            skipped = [given[at] for at in outcome.skipped] + unasked
        self._count(task, skipped)

    def settle(self, active: Mapping[int, RowGroup]) -> list[Task]:
        """Complete whatever is to be skipped, and what follows from that; return those tasks."""
        settled: list[Task] = []
        while tasks := self._tracker.take_skippable():
            for task in tasks:
                group = active[task.row_group]
                rows = self._tracker.skipped_rows(task)
                _fill(group, self._generators[task.column], rows)
                self._count(task, rows)
                self._tracker.mark_complete(task)
            settled += tasks
        return settled

    def _count(self, task: Task, offsets: list[int]) -> None:
        if offsets:
            self.counts[task.column] += len(offsets)
            self._tracker.mark_skipped(task, offsets)


def _fill(group: RowGroup, generator: GeneratorPlan, offsets: Iterable[int]) -> None:
    for offset in offsets:
        for name in generator.outputs:
            group.columns[name][offset] = generator.skip_default
