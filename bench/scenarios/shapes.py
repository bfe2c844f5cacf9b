"""S6: whole jobs of different shapes, under the default policy and under the strict one."""

from __future__ import annotations

from functools import partial

from bench.results import Figure, Run, Scenario, Side, part_of
from bench.shapes import CALL_MS, CAP, HEAVY_MS, SHAPES, Shape, run_shape
from messages.job import Limits

_DEFAULT, _STRICT = Limits().policy, "strict_fair"


def _side(shape: Shape, policy: str) -> Side:
    def run(tasks: int) -> Run:
        return run_shape(shape, part_of(shape.rows, tasks), policy)

    return Side(f"{shape.name}, {policy}", run, output=shape.name)


def _figures(shape: Shape) -> tuple[Figure, ...]:
    default, strict = (_side(shape, policy).name for policy in (_DEFAULT, _STRICT))
    told = partial(Figure, kind="measured", side=default)
    return (
        told(f"wall over the least, {default}", measure="over_least", measured_in="x"),
        Figure(f"wall, {shape.name}: {_DEFAULT} over {_STRICT}", "paired", default, strict),
        told(f"ready to lease, p95, {default}", measure="ready_to_lease_gap_p95", measured_in=" s"),
        told(f"ready idle gap, {default}", measure="ready_idle_gap", measured_in=" s"),
    )


SCENARIO = Scenario(
    id="S6",
    name="shapes",
    question="How near to the least time that its calls can take does a whole job come, by its shape?",
    sides=tuple(_side(shape, policy) for shape in SHAPES for policy in (_DEFAULT, _STRICT)),
    figures=(
        *(figure for shape in SHAPES for figure in _figures(shape)),
        *(
            Figure(
                f"capacity of the second provider used while the first cools down, {policy}",
                "measured",
                _side(SHAPES[-1], policy).name,
                measure="used_while_other_cools",
                measured_in="x",
            )
            for policy in (_DEFAULT, _STRICT)
        ),
    ),
    inputs={
        "rows": {shape.name: shape.rows for shape in SHAPES},
        "call_ms": CALL_MS,
        "heavy_call_ms": HEAVY_MS,
        "calls_at_once": CAP,
        "policies": [_DEFAULT, _STRICT],
        "least": "calls of a model, one after the other in so many lanes as it has calls at once",
        "timed": "submit to result, rows in a folder, every event in a log; simulated providers, real time",
    },
    smoke_tasks=64,
    provider_script={"cross-provider cooldown": "the first refuses everything from 0.2 s to 0.8 s"},
)
