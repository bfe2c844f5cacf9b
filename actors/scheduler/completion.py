"""Readiness: which tasks have everything they need, over the row groups in flight.

Owns what is complete and what waits for it (R1, R3, R7). Knows nothing of values, queues or leases.
Memory is proportional to the row groups in flight: a finished one is forgotten.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from messages.plan import GeneratorPlan, JobPlan
from messages.tasks import Task, TaskId

_DONE = 1
_DROPPED = 2


class _Generator:
    """One generator's place in the graph, by number."""

    __slots__ = ("cell_upstream", "dependents", "group_upstream", "is_cell", "number", "plan")

    def __init__(self, number: int, plan: GeneratorPlan) -> None:
        self.number = number
        self.plan = plan
        self.is_cell = plan.task_type == "cell"
        self.dependents: list[_Generator] = []
        self.cell_upstream: list[_Generator] = []
        self.group_upstream: list[_Generator] = []


class _RowGroup:
    """One row group's progress.

    `waiting[g]` counts what generator g still waits for: per row for a cell generator, in all for one
    over the row group. `done[g]` says per row (or once) what is complete.
    """

    __slots__ = ("alive", "done", "dropped", "first_row", "index", "open_tasks", "rows", "waiting")

    def __init__(self, index: int, first_row: int, rows: int, generators: Sequence[_Generator]) -> None:
        self.index = index
        self.first_row = first_row
        self.rows = rows
        self.alive = rows
        self.dropped = bytearray(rows)
        self.waiting: list[array[int]] = []
        self.done: list[bytearray] = []
        self.open_tasks = 0
        for generator in generators:
            cells, groups = len(generator.cell_upstream), len(generator.group_upstream)
            if generator.is_cell:
                self.waiting.append(array("L", [cells + groups]) * rows)
                self.done.append(bytearray(rows))
                self.open_tasks += rows
            else:
                self.waiting.append(array("L", [cells * rows + groups]))
                self.done.append(bytearray(1))
                self.open_tasks += 1


class CompletionTracker:
    """The ready frontier of a job's row groups in flight."""

    def __init__(self, plan: JobPlan) -> None:
        self._generators = [_Generator(number, item) for number, item in enumerate(plan.generators)]
        self._by_name = {generator.plan.name: generator for generator in self._generators}
        self._groups: dict[int, _RowGroup] = {}
        self._frontier: dict[TaskId, Task] = {}
        self._gates = {
            generator.number: _OrderGate() for generator in self._generators if generator.plan.order_dependent
        }
        for generator in self._generators:
            for name in generator.plan.upstream:
                upstream = self._by_name[name]
                upstream.dependents.append(generator)
                (generator.cell_upstream if upstream.is_cell else generator.group_upstream).append(upstream)

    # -- identity ----------------------------------------------------------------------------------

    def task_id(self, task: Task) -> TaskId:
        """Return the task's stable id: its generator and its row, or its row group."""
        number = self._by_name[task.column].number
        unit = task.row_group if task.row_index is None else task.row_index
        return ((unit * len(self._generators) + number) << 1) | (task.row_index is None)

    # -- row groups --------------------------------------------------------------------------------

    def admit(self, index: int, first_row: int, rows: int) -> None:
        """Start tracking a row group; what waits for nothing is ready."""
        group = self._groups[index] = _RowGroup(index, first_row, rows, self._generators)
        for generator in self._generators:
            if generator.cell_upstream or generator.group_upstream:
                continue
            if generator.is_cell:
                for offset in range(rows):
                    self._make_ready(group, generator, offset)
            else:
                self._make_ready(group, generator, None)

    def is_finished(self, index: int) -> bool:
        """Return whether nothing of the row group remains to be done."""
        return self._groups[index].open_tasks == 0

    def forget(self, index: int) -> None:
        """Stop tracking a row group."""
        del self._groups[index]

    def surviving(self, index: int) -> list[int]:
        """Return the offsets, in the row group, of the rows that were not dropped."""
        return [offset for offset, gone in enumerate(self._groups[index].dropped) if not gone]

    def is_alive(self, index: int, offset: int) -> bool:
        """Return whether this row of the row group was not dropped."""
        return not self._groups[index].dropped[offset]

    def alive(self, index: int) -> int:
        """Return how many rows of the row group were not dropped."""
        return self._groups[index].alive

    # -- the frontier ------------------------------------------------------------------------------

    def ready_frontier(self) -> dict[TaskId, Task]:
        """Return the tasks that are ready and not yet acknowledged. Asking again gives them again."""
        return self._frontier.copy()

    def mark_enqueued(self, task_ids: Iterable[TaskId]) -> None:
        """Acknowledge ready tasks: they are not handed out again."""
        for task_id in task_ids:
            self._frontier.pop(task_id, None)

    def reopen(self, task: Task) -> None:
        """Put a task that was acknowledged back on the frontier, to be tried again.

        Nothing happens if its row has been dropped, or its row group forgotten, meanwhile.
        """
        if self._is_open(task):
            self._frontier[self.task_id(task)] = task

    # -- progress ----------------------------------------------------------------------------------

    def mark_complete(self, task: Task) -> bool:
        """Record that a task succeeded; what waited only for it becomes ready.

        Returns False, changing nothing, if its row was dropped or it was complete already.
        """
        group = self._groups.get(task.row_group)
        if group is None:
            return False
        generator = self._by_name[task.column]
        done = group.done[generator.number]
        if task.row_index is not None:
            offset = task.row_index - group.first_row
            if done[offset]:
                return False
            done[offset] = _DONE
            self._cell_complete(group, generator, offset)
        else:
            if done[0]:
                return False
            done[0] = _DONE
            self._group_task_complete(group, generator)
        self._close_one(group, generator)
        return True

    def drop_rows(self, index: int, offsets: Iterable[int]) -> list[TaskId]:
        """Drop rows of a row group: their downstream is skipped, batches no longer wait for them (R3).

        Returns the ids of the rows' cell tasks that are not complete: whatever of them is queued or
        runs is no longer wanted.
        """
        group = self._groups[index]
        unwanted: list[TaskId] = []
        for offset in offsets:
            if group.dropped[offset]:
                continue
            group.dropped[offset] = 1
            group.alive -= 1
            for generator in self._generators:
                if not generator.is_cell or group.done[generator.number][offset]:
                    continue
                group.done[generator.number][offset] = _DROPPED
                task_id = (((group.first_row + offset) * len(self._generators)) + generator.number) << 1
                unwanted.append(task_id)
                self._frontier.pop(task_id, None)
                for dependent in generator.dependents:
                    if not dependent.is_cell:
                        self._count_down(group, dependent, 0, None)
                self._close_one(group, generator)
        if not group.alive:
            self._abandon_group_tasks(group, unwanted)
        return unwanted

    def check(self) -> None:
        """Assert that counters agree with what they count. O(cells in flight)."""
        for group in self._groups.values():
            assert group.alive == group.dropped.count(0)
            assert group.open_tasks == sum(flags.count(0) for flags in group.done)
            for generator in self._generators:
                for offset, waiting in enumerate(group.waiting[generator.number]):
                    if group.done[generator.number][offset]:
                        continue
                    open_upstream = sum(not group.done[item.number][0] for item in generator.group_upstream)
                    for item in generator.cell_upstream:
                        flags = group.done[item.number]
                        open_upstream += (not flags[offset]) if generator.is_cell else flags.count(0)
                    assert waiting == open_upstream, (generator.plan.name, offset)

    # -- inside ------------------------------------------------------------------------------------

    def _is_open(self, task: Task) -> bool:
        group = self._groups.get(task.row_group)
        if group is None:
            return False
        offset = 0 if task.row_index is None else task.row_index - group.first_row
        return group.done[self._by_name[task.column].number][offset] == 0

    def _make_ready(self, group: _RowGroup, generator: _Generator, offset: int | None) -> None:
        plan = generator.plan
        row = None if offset is None else group.first_row + offset
        unit = group.index if row is None else row
        task_id = ((unit * len(self._generators) + generator.number) << 1) | (row is None)
        task = Task(plan.name, group.index, row, plan.task_type)
        gate = self._gates.get(generator.number)
        if gate is None or gate.admits(group.index, task_id, task):
            self._frontier[task_id] = task

    def _cell_complete(self, group: _RowGroup, generator: _Generator, offset: int) -> None:
        for dependent in generator.dependents:
            if dependent.is_cell:
                self._count_down(group, dependent, offset, offset)
            else:
                self._count_down(group, dependent, 0, None)

    def _group_task_complete(self, group: _RowGroup, generator: _Generator) -> None:
        for dependent in generator.dependents:
            if dependent.is_cell:
                for offset in range(group.rows):
                    if not group.dropped[offset]:
                        self._count_down(group, dependent, offset, offset)
            else:
                self._count_down(group, dependent, 0, None)

    def _count_down(self, group: _RowGroup, generator: _Generator, at: int, offset: int | None) -> None:
        waiting = group.waiting[generator.number]
        waiting[at] -= 1
        if not waiting[at] and not group.done[generator.number][at]:
            self._make_ready(group, generator, offset)

    def _close_one(self, group: _RowGroup, generator: _Generator) -> None:
        group.open_tasks -= 1
        gate = self._gates.get(generator.number)
        if gate is not None and 0 not in group.done[generator.number]:
            for task_id, task in gate.open_after(group.index).items():
                if self._is_open(task):
                    self._frontier[task_id] = task

    def _abandon_group_tasks(self, group: _RowGroup, unwanted: list[TaskId]) -> None:
        for generator in self._generators:
            if generator.is_cell or group.done[generator.number][0]:
                continue
            group.done[generator.number][0] = _DROPPED
            task_id = ((group.index * len(self._generators) + generator.number) << 1) | 1
            unwanted.append(task_id)
            self._frontier.pop(task_id, None)
            self._close_one(group, generator)


class _OrderGate:
    """Lets an order-dependent generator work on one row group at a time, in order (R7)."""

    def __init__(self) -> None:
        self._turn = 0
        self._finished: set[int] = set()
        self._waiting: dict[int, dict[TaskId, Task]] = {}

    def admits(self, row_group: int, task_id: TaskId, task: Task) -> bool:
        """Return whether it is the row group's turn; keep the task until it is."""
        if row_group == self._turn:
            return True
        self._waiting.setdefault(row_group, {})[task_id] = task
        return False

    def open_after(self, row_group: int) -> dict[TaskId, Task]:
        """Note that a row group is finished; return what may go because of it."""
        self._finished.add(row_group)
        opened: dict[TaskId, Task] = {}
        while self._turn in self._finished:
            self._finished.remove(self._turn)
            self._turn += 1
            opened.update(self._waiting.pop(self._turn, {}))
        return opened
