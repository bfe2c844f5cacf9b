"""LOGS: what the log of a million tasks costs, plain and compressed."""

from __future__ import annotations

from functools import partial

from bench.logs import run_logged, run_unlogged
from bench.results import Bar, Figure, Run, Scenario, Side, part_of

TASKS = 1_000_000

_NAMES = {"plain": "actors.jsonl", "gzip": "actors.jsonl.gz", "zstd": "actors.jsonl.zst"}


def _side(name: str) -> Side:
    def run(tasks: int) -> Run:
        return run_logged(part_of(TASKS, tasks), _NAMES[name])

    return Side(f"log, {name}", run, requires="zstandard" if name == "zstd" else "", fresh=True)


def _silent(tasks: int) -> Run:
    return run_unlogged(part_of(TASKS, tasks))


_OFF = Side("telemetry off", _silent, fresh=True)
_LOGGED = {name: _side(name) for name in _NAMES}


def _figures(name: str) -> tuple[Figure, ...]:
    side = _LOGGED[name].name
    told = partial(Figure, kind="measured", side=side)
    return (
        told(f"bytes per task, {name}", measure="bytes_per_task", measured_in=" B"),
        Figure(f"{side}, over telemetry off", "ratio", side, _OFF.name),
        told(f"verify, {name}", measure="verify_seconds", measured_in=" s"),
        told(f"verify, memory, {name}", measure="verify_mib", measured_in=" MiB", bar=Bar("at most", 100.0)),
        told(f"inspect, {name}", measure="inspect_seconds", measured_in=" s"),
        told(
            f"inspect, memory, {name}", measure="inspect_mib", measured_in=" MiB", bar=Bar("at most", 100.0)
        ),
    )


SCENARIO = Scenario(
    id="LOGS",
    name="logs",
    question="What does the log of a million tasks cost to write, keep, verify and inspect?",
    sides=(_OFF, *_LOGGED.values()),
    figures=tuple(figure for name in _NAMES for figure in _figures(name)),
    smoke_tasks=16,
    inputs={
        "tasks": TASKS,
        "columns": 1,
        "work": "async function that returns 1",
        "timed": "submit to result, rows in a folder, the log synced",
        "read": "verify, then inspect, in another interpreter; memory above that of having imported them",
    },
)
