"""S8: cost per task and memory as curves over rows, columns, groups and tasks in flight."""

from __future__ import annotations

from collections.abc import Callable

from bench.evidence import read_log
from bench.job_runs import hash_output, run_job
from bench.noop_jobs import many_groups, noop_columns
from bench.results import PEAK_MIB, US_PER_TASK, Curve, Figure, Run, Scenario, Side, part_of
from messages import Job
from messages.job import Limits

_ROWS = (1_000, 10_000, 100_000, 1_000_000)
_COLUMNS = (1, 4, 16, 64)
_GROUPS = (1, 16, 64, 256, 1024)
_IN_FLIGHT = (16, 64, 256, 1024, 4096)
_TASKS = 32_768
"""Tasks of a run whose number of rows is not what is varied."""

_LOG_READ_UP_TO = _TASKS
"""Logs of more tasks are left unread: verifying them would take longer than everything else."""

_ROW_GROUP = 1_000


def _of_rows(rows: int) -> Job:
    return Job(name="rows", rows=rows, row_group_size=_ROW_GROUP, columns=noop_columns(1))


def _of_columns(columns: int, tasks: int) -> Job:
    return Job(
        name="columns",
        rows=max(1, tasks // columns),
        row_group_size=max(1, 1024 // columns),
        columns=noop_columns(columns),
    )


def _of_flight(in_flight: int, tasks: int) -> Job:
    limits = Limits(local=in_flight, submission=max(in_flight, 1024))
    return Job(name="in-flight", rows=tasks, row_group_size=4096, columns=noop_columns(1), limits=limits)


def _side(name: str, full: int, job_of: Callable[[int], Job]) -> Side:
    def run(tasks: int) -> Run:
        part = part_of(full, tasks)
        read = read_log if part <= _LOG_READ_UP_TO else None
        return run_job(job_of(part), telemetry="log", check=hash_output, out=True, read=read)

    return Side(name, run, fresh=True)


def _columns_side(columns: int) -> Side:
    return _side(f"{columns} columns", _TASKS, lambda tasks: _of_columns(columns, tasks))


def _groups_side(groups: int) -> Side:
    return _side(f"{groups} groups", _TASKS, lambda tasks: many_groups(tasks, groups))


def _flight_side(in_flight: int) -> Side:
    return _side(f"{in_flight} in flight", _TASKS, lambda tasks: _of_flight(in_flight, tasks))


_VARIED = {
    "rows": [(rows, _side(f"{rows:,} rows", rows, _of_rows)) for rows in _ROWS],
    "columns": [(columns, _columns_side(columns)) for columns in _COLUMNS],
    "groups": [(groups, _groups_side(groups)) for groups in _GROUPS],
    "tasks in flight": [(in_flight, _flight_side(in_flight)) for in_flight in _IN_FLIGHT],
}


def _figures(varied: list[tuple[int, Side]]) -> tuple[Figure, ...]:
    (_, least), *_, (_, most) = varied
    over = f"{most.name} over {least.name}"
    return (
        Figure(f"cost, {over}", "ratio", most.name, least.name),
        Figure(f"peak memory, {most.name}", "measured", most.name, measure=PEAK_MIB, measured_in=" MiB"),
    )


def _curves(quantity: str, varied: list[tuple[int, Side]]) -> tuple[Curve, ...]:
    points = {quantity: tuple((float(number), side.name) for number, side in varied)}
    return (
        Curve(f"cost by {quantity}", quantity, US_PER_TASK, "us per task", points),
        Curve(f"memory by {quantity}", quantity, PEAK_MIB, "MiB above idle", points),
    )


SCENARIO = Scenario(
    id="S8",
    name="scale",
    question="How do the cost of a task and memory grow with rows, columns, groups and tasks in flight?",
    sides=tuple(side for varied in _VARIED.values() for _, side in varied),
    figures=tuple(figure for varied in _VARIED.values() for figure in _figures(varied)),
    inputs={
        "rows": list(_ROWS),
        "columns": list(_COLUMNS),
        "groups": list(_GROUPS),
        "in_flight": list(_IN_FLIGHT),
        "tasks": f"{_TASKS} where rows are not varied",
        "work": "async function that returns 1",
        "timed": "submit to result, rows in a folder, every event in a log",
        "memory": "the process's highest resident size above the idle system's, in a fresh interpreter",
    },
    smoke_tasks=16,
    curves=tuple(curve for quantity, varied in _VARIED.items() for curve in _curves(quantity, varied)),
)
