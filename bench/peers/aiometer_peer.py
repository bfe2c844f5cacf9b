"""aiometer.run_all with a cap on how many run at once.

Its own best way: one call for all tasks, which keeps results in order and lets it limit by itself; the cap
is the same as everybody else's, and no rate is set. A call for each 256 tasks was tried and is no quicker.
"""

from __future__ import annotations

import asyncio

import aiometer

from bench.noop_jobs import CAPACITY, hash_values, noop
from bench.results import Run
from bench.stopwatch import Stopwatch


def run_all(tasks: int) -> Run:
    """Run `tasks` no-op coroutines and keep their values."""
    with Stopwatch() as watch:
        values = asyncio.run(_run_all(tasks))
    return Run(len(values), watch.wall_seconds, watch.cpu_seconds, 0, hash_values(values))


async def _run_all(tasks: int) -> list[int]:
    values: list[int] = await aiometer.run_all([noop] * tasks, max_at_once=CAPACITY)
    return values
