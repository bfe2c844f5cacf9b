"""anyio.CapacityLimiter with a task group.

Its own best way: a task group for as many tasks as may run at once, each under the limiter as its own
borrower, results put in their place in a list made beforehand. One task group for everything was tried and
takes more than twice as long. A pool of so many loops that each take the next number is three times quicker,
but then the pool is the limit and no piece of work is a task of its own, to be cancelled or to fail alone.
"""

from __future__ import annotations

import anyio

from bench.noop_jobs import CAPACITY, hash_values, noop
from bench.results import Run
from bench.stopwatch import Stopwatch


def run_task_group(tasks: int) -> Run:
    """Run `tasks` no-op coroutines and keep their values."""
    with Stopwatch() as watch:
        values, left = anyio.run(_task_group, tasks)
    return Run(len(values), watch.wall_seconds, watch.cpu_seconds, left, hash_values(values))


async def _task_group(tasks: int) -> tuple[list[int], int]:
    limiter = anyio.CapacityLimiter(CAPACITY)
    values = [0] * tasks

    async def one(place: int) -> None:
        async with limiter:
            values[place] = await noop()

    for first in range(0, tasks, CAPACITY):
        async with anyio.create_task_group() as group:
            for place in range(first, min(first + CAPACITY, tasks)):
                group.start_soon(one, place)
    return values, limiter.borrowed_tokens
