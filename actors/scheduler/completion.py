"""Readiness: which tasks have everything they need, over the row groups in flight.

Owns what is complete and what waits for it (R1, R3, R7). Knows nothing of values, queues or leases.
Memory is proportional to the row groups in flight: a finished one is forgotten.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from actors.scheduler.order_gate import OrderGate
from messages.plan import GeneratorPlan, JobPlan
from messages.tasks import Task, TaskId

_DONE = 1
_DROPPED = 2


class _Generator:
    """One generator's place in the graph, by number."""

    __slots__ = (
        "cell_upstream",
        "dependents",
        "group_upstream",
        "is_cell",
        "number",
        "plan",
        "skipped_with",
    )

    def __init__(self, number: int, plan: GeneratorPlan) -> None:
        self.number = number
        self.plan = plan
        self.is_cell = plan.task_type == "cell"
        self.dependents: list[_Generator] = []
        self.cell_upstream: list[_Generator] = []
        self.group_upstream: list[_Generator] = []
        self.skipped_with: list[_Generator] = []
        """The generators whose cells are skipped where one of this generator's is."""


class _RowGroup:
    """One row group's progress.

    `waiting[g]` counts what generator g still waits for: per row for a cell generator, in all for one
    over the row group. `done[g]` says per row (or once) what is complete. `skips[g]` marks the rows in
    which generator g is to be skipped; it has only generators of which there are any.
    """

    __slots__ = ("alive", "done", "dropped", "first_row", "index", "open_tasks", "rows", "skips", "waiting")

    def __init__(self, index: int, first_row: int, rows: int, generators: Sequence[_Generator]) -> None:
        self.index = index
        self.first_row = first_row
        self.rows = rows
        self.alive = rows
        self.dropped = bytearray(rows)
        self.waiting: list[array[int]] = []
        self.done: list[bytearray] = []
        self.open_tasks = 0
        self.skips: dict[int, bytearray] = {}
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

    def __init__(self, plan: JobPlan, *, stored: Iterable[int] = ()) -> None:
        self._generators = [_Generator(number, item) for number, item in enumerate(plan.generators)]
        self._by_name = {generator.plan.name: generator for generator in self._generators}
        self._groups: dict[int, _RowGroup] = {}
        self._frontier: dict[TaskId, Task] = {}
        self._skippable: list[Task] = []
        self.skipping = False
        """Whether any cell has been skipped: until then nobody need ask."""
        ordered = [generator for generator in self._generators if generator.plan.order_dependent]
        done_before = frozenset(stored if ordered else ())
        self._gates = {generator.number: OrderGate(done_before) for generator in ordered}
        for generator in self._generators:
            for name in generator.plan.upstream:
                upstream = self._by_name[name]
                upstream.dependents.append(generator)
                (generator.cell_upstream if upstream.is_cell else generator.group_upstream).append(upstream)
                if upstream.plan.skip_propagates and _is_skipped_with_upstream(generator.plan):
                    upstream.skipped_with.append(generator)

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
            if not generator.is_cell:
                self._make_ready(group, generator, None)
            elif generator.number in self._gates:
                for offset in range(rows):
                    self._make_ready(group, generator, offset)
            else:
                self._make_all_ready(group, generator)

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

    # -- the frontier ------------------------------------------------------------------------------

    def ready_frontier(self) -> dict[TaskId, Task]:
        """Return the tasks that are ready and not yet acknowledged. Asking again gives them again."""
        return self._frontier.copy()

    def mark_enqueued(self, task_ids: Iterable[TaskId]) -> None:
        """Acknowledge ready tasks: they are not handed out again."""
        for task_id in task_ids:
            self._frontier.pop(task_id, None)

    def is_open(self, task: Task) -> bool:
        """Return whether a task is neither complete, nor dropped, nor of a row group that is forgotten."""
        group = self._groups.get(task.row_group)
        if group is None:
            return False
        offset = 0 if task.row_index is None else task.row_index - group.first_row
        return group.done[self._by_name[task.column].number][offset] == 0

    def reopen(self, task: Task) -> None:
        """Put a task that was acknowledged back on the frontier, to be tried again.

        Nothing happens if its row has been dropped, or its row group forgotten, meanwhile. Where all rows
        that it was about are gone, what is left of it is to be skipped.
        """
        if not self.is_open(task):
            return
        group = self._groups[task.row_group]
        if task.row_index is None and self._is_skippable(group, self._by_name[task.column], None):
            self._skippable.append(task)
        else:
            self._frontier[self.task_id(task)] = task

    # -- skipped cells (R9) --------------------------------------------------------------------------

    def mark_skipped(self, task: Task, offsets: Iterable[int]) -> None:
        """Record, before the task is marked complete, in which rows it was skipped.

        The cells there that need it are not put on the frontier; `take_skippable` gives them.
        """
        group = self._groups[task.row_group]
        self.skipping = True
        for dependent in self._by_name[task.column].skipped_with:
            flags = group.skips.setdefault(dependent.number, bytearray(group.rows))
            for offset in offsets:
                flags[offset] = 1

    def take_skippable(self) -> list[Task]:
        """Remove and return the tasks that have become ready and are to be skipped altogether."""
        taken, self._skippable = self._skippable, []
        return [task for task in taken if self.is_open(task)]

    def skipped_rows(self, task: Task) -> list[int]:
        """Return the offsets of the task's surviving rows that are skipped because of others."""
        group = self._groups[task.row_group]
        flags = group.skips.get(self._by_name[task.column].number)
        if flags is None:
            return []
        if task.row_index is not None:
            offset = task.row_index - group.first_row
            return [offset] if flags[offset] else []
        return [offset for offset, flag in enumerate(flags) if flag and not group.dropped[offset]]

    def rows_for(self, task: Task) -> list[int] | None:
        """Return the offsets of the rows that a batch or a processor is about, None for all of them."""
        group = self._groups[task.row_group]
        flags = group.skips.get(self._by_name[task.column].number) if group.skips else None
        if flags is None:
            return None if group.alive == group.rows else self.surviving(group.index)
        return [offset for offset in self.surviving(group.index) if not flags[offset]]

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
            for dependent in generator.dependents:
                if dependent.is_cell:
                    self._count_down(group, dependent, offset, offset)
                else:
                    self._count_down(group, dependent, 0, None)
        else:
            if done[0]:
                return False
            done[0] = _DONE
            self._group_task_complete(group, generator)
        group.open_tasks -= 1
        if self._gates:
            self._pass_gate(group, generator)
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

    def _make_all_ready(self, group: _RowGroup, generator: _Generator) -> None:
        """Put all cells of a row group that is new on the frontier: nothing of it is dropped or skipped."""
        name, index, kind = generator.plan.name, group.index, generator.plan.task_type
        rows = range(group.first_row, group.first_row + group.rows)
        tasks = [Task(name, index, row, kind) for row in rows]
        first = (group.first_row * len(self._generators) + generator.number) << 1
        step = len(self._generators) << 1
        self._frontier.update(zip(range(first, first + step * group.rows, step), tasks, strict=True))

    def _make_ready(self, group: _RowGroup, generator: _Generator, offset: int | None) -> None:
        plan = generator.plan
        row = None if offset is None else group.first_row + offset
        unit = group.index if row is None else row
        task_id = ((unit * len(self._generators) + generator.number) << 1) | (row is None)
        task = Task(plan.name, group.index, row, plan.task_type)
        if group.skips and self._is_skippable(group, generator, offset):
            self._skippable.append(task)
            return
        gate = self._gates.get(generator.number)
        if gate is None or gate.admits(group.index, task_id, task):
            self._frontier[task_id] = task

    def _is_skippable(self, group: _RowGroup, generator: _Generator, offset: int | None) -> bool:
        flags = group.skips.get(generator.number)
        if flags is None:
            return False
        if offset is not None:
            return bool(flags[offset])
        return all(flag or gone for flag, gone in zip(flags, group.dropped, strict=True))

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
        if self._gates:
            self._pass_gate(group, generator)

    def _pass_gate(self, group: _RowGroup, generator: _Generator) -> None:
        """Let an order-dependent generator go on to its next row group, where it is done with this one."""
        gate = self._gates.get(generator.number)
        if gate is not None and 0 not in group.done[generator.number]:
            for task_id, task in gate.open_after(group.index).items():
                if self.is_open(task):
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


def _is_skipped_with_upstream(plan: GeneratorPlan) -> bool:
    """Return whether a generator's cells may be skipped for others': a processor's rows are not."""
    return plan.skip_with_upstream and plan.task_type in ("cell", "batch")
