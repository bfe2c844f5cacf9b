"""asyncio.Semaphore with gather: what people write first.

Its own best way: one coroutine per task around the same no-op function, under one semaphore, gathered
as many at a time as may run at once; larger gathers are slower. `at_once` gathers everything in one
call instead, as it is mostly written. `asyncio.TaskGroup` in place of `gather` was tried and costs the same
within a tenth; a pool of loops needs no semaphore, and no task for each piece of work (see
`anyio_limiter`). No leases, no events, no fairness, no retries: the cost of calling a coroutine under a
limit.
"""

from __future__ import annotations

import asyncio

from bench.noop_jobs import CAPACITY, hash_values, noop
from bench.results import Run
from bench.stopwatch import Stopwatch


def run_gather(tasks: int, *, at_once: bool = False) -> Run:
    """Run `tasks` no-op coroutines and keep their values."""
    with Stopwatch() as watch:
        values, left = asyncio.run(_gather(tasks, tasks if at_once else CAPACITY))
    return Run(len(values), watch.wall_seconds, watch.cpu_seconds, left, hash_values(values))


async def _gather(tasks: int, chunk: int) -> tuple[list[int], int]:
    semaphore = asyncio.Semaphore(CAPACITY)

    async def one() -> int:
        async with semaphore:
            return await noop()

    values: list[int] = []
    for first in range(0, tasks, chunk):
        size = min(chunk, tasks - first)
        values += await asyncio.gather(*[one() for _ in range(size)])
    return values, int(semaphore.locked())


def run_cycles(tasks: int) -> Run:
    """Acquire and release an uncontended semaphore so often, on one loop."""
    with Stopwatch() as watch:
        left = asyncio.run(_cycles(tasks))
    return Run(tasks, watch.wall_seconds, watch.cpu_seconds, left)


async def _cycles(tasks: int) -> int:
    semaphore = asyncio.Semaphore(CAPACITY)
    for _ in range(tasks):
        async with semaphore:
            pass
    return int(semaphore.locked())
