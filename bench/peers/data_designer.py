"""data-designer end to end: its AsyncTaskScheduler over generators that do nothing.

Its own best way: the scheduler is wired as its own builder does it (compact row-group plan, execution
graph, completion tracker, row buffers, bounded borrow), with a generator that implements the native
async method, so that no thread pool comes in between. No progress reporter, no tracing, no pressure
advisory: each would only cost it time. Rows are kept in memory, as on the other sides: the buffer's
rows are taken over as they are, no data frame and no parquet file is made. Building graph, tracker and
scheduler is timed too, as preparing the job is on Leasehold's side.

`sink` "none" makes no events; "counting" gives it the cheapest sink there is, one that adds one.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from data_designer.config.column_configs import ExpressionColumnConfig, GenerationStrategy
from data_designer.engine.column_generators.generators.base import ColumnGenerator
from data_designer.engine.dataset_builders.async_scheduler import AsyncTaskScheduler
from data_designer.engine.dataset_builders.row_group_plan import CompactRowGroupPlan
from data_designer.engine.dataset_builders.scheduling.completion import CompletionTracker
from data_designer.engine.dataset_builders.utils.execution_graph import ExecutionGraph
from data_designer.engine.dataset_builders.utils.row_group_buffer import RowGroupBufferManager

from bench.job_runs import hash_rows
from bench.noop_jobs import CAPACITY, ROW_GROUP_TASKS, noop
from bench.results import BenchError, Run
from bench.stopwatch import Stopwatch


class NoOpGenerator(ColumnGenerator[ExpressionColumnConfig]):
    """A cell generator whose work is the same no-op function."""

    @staticmethod
    def get_generation_strategy() -> GenerationStrategy:
        """Return cell by cell."""
        return GenerationStrategy.CELL_BY_CELL

    async def agenerate(self, data: dict[str, Any]) -> dict[str, Any]:
        """Fill the cell."""
        data[self.config.name] = await noop()
        return data


class CountingSink:
    """The least that a sink can do."""

    def __init__(self) -> None:
        self.events = 0

    def emit_scheduler_event(self, _event: object) -> None:
        """Count it."""
        self.events += 1


def run_scheduler(tasks: int, *, sink: Literal["none", "counting"]) -> Run:
    """Run `tasks` no-op cells of one column.

    Raises:
        BenchError: the sink was told of less than the events every task has.
    """
    counting = CountingSink() if sink == "counting" else None
    generator = NoOpGenerator(config=ExpressionColumnConfig(name="c0", expr="1"), resource_provider=None)
    with Stopwatch() as watch:
        rows, left = asyncio.run(_schedule(tasks, generator, counting))
    if counting is not None and counting.events < 6 * tasks:
        raise BenchError(f"data-designer emitted {counting.events} events for {tasks} tasks")
    return Run(len(rows), watch.wall_seconds, watch.cpu_seconds, left, hash_rows(rows))


async def _schedule(
    tasks: int, generator: NoOpGenerator, sink: CountingSink | None
) -> tuple[list[dict[str, Any]], int]:
    graph = ExecutionGraph.create([generator.config], {"c0": GenerationStrategy.CELL_BY_CELL})
    plan = CompactRowGroupPlan.fresh(num_records=tasks, buffer_size=ROW_GROUP_TASKS)
    buffers = RowGroupBufferManager(None)
    finished: dict[int, list[dict[str, Any]]] = {}

    def finalize(row_group: int) -> None:
        size = plan.row_group_size(row_group)
        finished[row_group] = [buffers.get_row(row_group, row) for row in range(size)]
        buffers.free_row_group(row_group)

    scheduler = AsyncTaskScheduler(
        {"c0": generator},
        graph,
        CompletionTracker.with_graph(graph, plan),
        plan,
        buffers,
        max_in_flight_tasks=CAPACITY,
        max_model_task_admission=CAPACITY,
        on_finalize_row_group=finalize,
        scheduler_event_sink=sink,
    )
    await scheduler.run()
    rows = [row for row_group in sorted(finished) for row in finished[row_group]]
    left = sum(scheduler.task_admission_snapshot().leased_resources.values()) + scheduler.active_worker_count
    return rows, left
