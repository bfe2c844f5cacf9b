"""What the end-to-end scenarios share: Leasehold's own sides and the inputs they state."""

from __future__ import annotations

from typing import Any

from bench.job_runs import Telemetry
from bench.noop_jobs import CAPACITY, ROW_GROUP_TASKS, one_column, run_noops
from bench.results import Run, Side

INPUTS: dict[str, Any] = {
    "columns": 1,
    "work": "async function that returns 1",
    "row_group_size": ROW_GROUP_TASKS,
    "row_group_concurrency": 3,
    "tasks_at_once": CAPACITY,
    "timed": "submit to result, rows in memory, log on disk where there is one",
}


def _job_run(telemetry: Telemetry) -> Side:
    def run(tasks: int) -> Run:
        return run_noops(one_column(tasks), telemetry=telemetry)

    return Side(f"leasehold, {'full log' if telemetry == 'log' else 'telemetry off'}", run)


FULL_LOG = _job_run("log")
TELEMETRY_OFF = _job_run("off")
