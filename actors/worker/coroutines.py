"""Runs many coroutines on few asyncio tasks, each as if it had a task of its own.

A task costs more than the coroutine of a small cell. So a runner task takes one cell after another for
as long as they end without waiting. When one waits, the next runner goes on with the rest: a cell that
waits has a task to itself, cells that do not wait share one.
"""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextvars import copy_context
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Stepping(Generic[Item]):
    """Whose cell the loop runs at this very moment, for another thread to see; None between two steps."""

    __slots__ = ("item",)

    def __init__(self) -> None:
        self.item: Item | None = None


class CoroutineRunners(Generic[Item]):
    """A queue of items and the tasks that work it off. `cell(item)` must not raise.

    `waits(item, task)` is called when a cell waits for the first time, with the task that is its own from
    then on. Of a cell that ends without waiting nobody needs to hear: nothing else happens while it runs.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cell: Callable[[Item], Coroutine[Any, Any, None]],
        waits: Callable[[Item, asyncio.Task[None]], object],
        stepping: Stepping[Item],
    ) -> None:
        self._loop = loop
        self._cell = cell
        self._waits = waits
        self._stepping = stepping
        self._items: deque[Item] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hiring = False
        self._context = copy_context()

    def add(self, items: Iterable[Item]) -> None:
        """Run the items' cells as soon as the loop turns."""
        self._items.extend(items)
        if self._items:
            self._hire_soon()

    def take_waiting(self) -> list[Item]:
        """Remove and return the items that have not begun."""
        waiting = list(self._items)
        self._items.clear()
        return waiting

    def _hire_soon(self) -> None:
        if not self._hiring:
            self._hiring = True
            self._loop.call_soon(self._hire)

    def _hire(self) -> None:
        """Start a runner if there is work left, and look again once it waits for the first time."""
        if not self._items:
            self._hiring = False
            return
        task = self._loop.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._loop.call_soon(self._hire)

    async def _work(self) -> None:
        items, start_of, fresh, stepping = self._items, self._cell, self._context.copy, self._stepping
        task = asyncio.current_task()
        assert task is not None
        while items:
            item = items.popleft()
            cell, run = start_of(item), fresh().run
            try:
                stepping.item = item
                waits_for = run(cell.send, None)
            except StopIteration:  # most cells end without waiting
                stepping.item = None
            else:
                self._waits(item, task)
                await _continued(cell, run, waits_for, stepping, item)
            if task.cancelling():  # a cancel may still be due, and must not hit the next cell
                self._hire_soon()
                return


@types.coroutine
def _continued(
    cell: Coroutine[Any, Any, None],
    run: Callable[..., Any],
    waits_for: object,
    stepping: Stepping[Item],
    item: Item,
) -> Generator[Any, Any, None]:
    """Await a cell that waits, each of its steps in its own context: variables do not pass between cells.

    `stepping` shows `item` while the cell runs.
    """
    try:
        while True:
            stepping.item = None
            try:
                value = yield waits_for
            except GeneratorExit:
                cell.close()
                raise
            except BaseException as error:  # noqa: BLE001 - cancellation too is the cell's to handle
                stepping.item = item
                waits_for = run(cell.throw, error)
            else:
                stepping.item = item
                waits_for = run(cell.send, value)
    except StopIteration:
        return
    finally:
        stepping.item = None
