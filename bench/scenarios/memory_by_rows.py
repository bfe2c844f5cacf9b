"""P8: does memory grow with the rows?"""

from __future__ import annotations

from functools import partial

from bench.evidence import read_log
from bench.job_runs import hash_output, run_job
from bench.noop_jobs import noop_columns
from bench.results import PEAK_MIB, Bar, Curve, Figure, Run, Scenario, Side, part_of
from messages import Job

_ROWS, _COLUMNS, _ROW_GROUP = (10_000, 100_000, 1_000_000), 3, 1_000


_LOG_READ_UP_TO = 100_000
"""Rows. A longer log is left unread: to read it takes longer than everything else, and LOGS does that."""


def _side(rows: int) -> Side:
    def run(tasks: int) -> Run:
        made = part_of(rows, tasks)
        job = Job(name="rows", rows=made, row_group_size=_ROW_GROUP, columns=noop_columns(_COLUMNS))
        read = read_log if made <= _LOG_READ_UP_TO else None
        return run_job(job, telemetry="log", check=hash_output, out=True, read=read)

    return Side(f"{rows:,} rows", run, fresh=True)


_FEW, _SOME, _MANY = _SIDES = tuple(_side(rows) for rows in _ROWS)
_memory = partial(Figure, measure=PEAK_MIB, measured_in=" MiB")

SCENARIO = Scenario(
    id="P8",
    name="memory-by-rows",
    question="How much memory does a job of a million rows take above the idle system, and does it grow?",
    sides=_SIDES,
    figures=(
        _memory(f"peak, {_MANY.name}", "measured", _MANY.name, bar=Bar("at most", 100.0)),
        _memory(f"peak, {_SOME.name}", "measured", _SOME.name),
        _memory(f"peak, {_FEW.name}", "measured", _FEW.name),
        _memory(
            f"peak, {_MANY.name} above {_SOME.name}",
            "measured difference",
            _MANY.name,
            _SOME.name,
            bar=Bar("at most", 10.0),
        ),
    ),
    inputs={
        "rows": list(_ROWS),
        "columns": _COLUMNS,
        "row_group_size": _ROW_GROUP,
        "work": "async function that returns 1",
        "rows_go": "to a folder, every event to a log beside it",
        "measured": "the process's highest resident size above the idle system's, in a fresh interpreter",
    },
    smoke_tasks=16,
    curves=(
        Curve(
            "memory by rows",
            "rows",
            PEAK_MIB,
            "MiB",
            {"3 columns": tuple((float(rows), side.name) for rows, side in zip(_ROWS, _SIDES, strict=True))},
        ),
    ),
)
