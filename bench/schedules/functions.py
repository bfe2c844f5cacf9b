"""A workload's columns as user functions, which do nothing but take their time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeAlias

from actors.worker.failures import RequestFailedError
from bench.schedules.workload import TimedColumn, Workload
from bench.virtual.event_loop import pass_time
from messages.job import Column, PythonColumn

Trouble: TypeAlias = Callable[[], None]
"""Called at the end of each cell's task; raises where it is to fail."""


def no_trouble() -> None:
    """Let every task succeed."""


def fails_now_and_then() -> Trouble:
    """Return a trouble: one task in seven fails in a way that may pass, and one in thirty-one for good."""
    numbers = count(1)

    def trouble() -> None:
        number = next(numbers)
        if number % 7 == 0:
            raise RequestFailedError("provider_failure", "as was asked", retryable=True)
        if number % 31 == 0:
            raise ValueError("as was asked")

    return trouble


def columns_of(workload: Workload, trouble: Trouble) -> dict[str, Column]:
    """Return the workload's columns as a job has them."""
    return {column.name: _column(column, trouble) for column in workload.columns}


def _column(column: TimedColumn, trouble: Trouble) -> PythonColumn:
    async def take_time() -> int:
        await pass_time(column.seconds)
        return 1

    async def cell() -> int:
        value = await take_time()
        trouble()
        return value

    async def cell_of_others(**row: int) -> int:
        del row
        return await cell()

    async def whole(rows: int) -> list[int]:
        return [await take_time()] * rows

    if column.task_type == "from_scratch":
        return PythonColumn(function=whole, scope="from_scratch")
    return PythonColumn(function=cell_of_others if column.needs else cell, needs=column.needs)
