"""P9: what a job of a million row groups costs before its first task."""

from __future__ import annotations

from functools import partial

from bench.preparing import ROW_GROUP_SIZE, run_preparing
from bench.results import PEAK_MIB, Bar, Figure, Run, Scenario, Side

_MANY, _FEW = 1_000_000, 3


def _side(row_groups: int, *, out: bool) -> Side:
    def run(_tasks: int) -> Run:
        return run_preparing(row_groups, out=out)

    where = "to a folder" if out else "in memory"
    return Side(f"{row_groups:,} row groups, rows {where}", run, fresh=True)


_FOLDER, _MEMORY, _SMALL = _side(_MANY, out=True), _side(_MANY, out=False), _side(_FEW, out=True)
_memory = partial(Figure, kind="measured", measure=PEAK_MIB, measured_in=" MiB")
_time = partial(Figure, kind="measured", measure="milliseconds", measured_in=" ms")

SCENARIO = Scenario(
    id="P9",
    name="preparing",
    question="What do time and memory of a job of a million row groups come to, before its first task?",
    sides=(_FOLDER, _MEMORY, _SMALL),
    figures=(
        _memory(f"memory, {_FOLDER.name}", side=_FOLDER.name, bar=Bar("at most", 5.0)),
        _memory(f"memory, {_MEMORY.name}", side=_MEMORY.name, bar=Bar("at most", 5.0)),
        _memory(f"memory, {_SMALL.name}", side=_SMALL.name),
        _time(f"time, {_FOLDER.name}", side=_FOLDER.name, bar=Bar("at most", 1000.0)),
        _time(f"time, {_MEMORY.name}", side=_MEMORY.name, bar=Bar("at most", 1000.0)),
        _time(f"time, {_SMALL.name}", side=_SMALL.name),
    ),
    inputs={
        "row_groups": [_MANY, _FEW],
        "row_group_size": ROW_GROUP_SIZE,
        "columns": 1,
        "measured": "from submit to accepted, above an idle system in a fresh interpreter",
    },
)
