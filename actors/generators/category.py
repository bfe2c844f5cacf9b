"""One of a few values per row, drawn by the job's seed."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from actors.generators.base import Generator
from actors.generators.json_values import NotJsonError, json_value
from actors.generators.seeds import column_seed, row_hash
from messages.job import CategoryColumn, Problem
from messages.worker import TaskStart


class CategoryGenerator(Generator):
    """Draws each row's value by itself: how rows are grouped makes no difference."""

    def __init__(self, name: str, values: Sequence[Any], weights: Sequence[float] | None, seed: int) -> None:
        super().__init__(name, mode="inline", task_type="from_scratch")
        self._values = list(values)
        self._cumulative = list(itertools.accumulate(weights)) if weights else None
        # Rounding may put a draw on the very end: it belongs to the last value that has any weight.
        self._last = max((i for i, weight in enumerate(weights or ()) if weight > 0), default=0)
        self._seed = column_seed(seed, name)

    def run(self, start: TaskStart) -> list[Any]:
        """Return a value for each of the task's rows."""
        seed, values = self._seed, self._values
        rows = range(start.first_row, start.first_row + start.rows)
        if self._cumulative is None:
            count = len(values)
            return [values[(row_hash(seed, row) * count) >> 64] for row in rows]
        cumulative, last = self._cumulative, self._last
        total = cumulative[-1]
        return [
            values[min(last, bisect_right(cumulative, (row_hash(seed, row) >> 11) * 2.0**-53 * total))]
            for row in rows
        ]


def compile_category(name: str, column: CategoryColumn, seed: int) -> Generator | tuple[Problem, ...]:
    """Return the generator of a category column, or everything that is wrong with it."""
    path = f"columns.{name}"
    problems: list[Problem] = []
    values: list[Any] = []
    if not column.values:
        problems.append(Problem(f"{path}.values", "is empty", "expected at least one value"))
    for index, value in enumerate(column.values):
        try:
            values.append(json_value(value))
        except NotJsonError as error:
            problems.append(Problem(f"{path}.values[{index}]{error.place}", error.message))
    problems += _weight_problems(path, column)
    return tuple(problems) or CategoryGenerator(name, values, column.weights, seed)


def _weight_problems(table: str, column: CategoryColumn) -> list[Problem]:
    path, weights = f"{table}.weights", column.weights
    if weights is None:
        return []
    problems = [
        Problem(f"{path}[{index}]", f"is {weight}", "expected a finite number of at least 0")
        for index, weight in enumerate(weights)
        if not (math.isfinite(weight) and weight >= 0)
    ]
    if len(weights) != len(column.values):
        problems.append(
            Problem(
                path,
                f"has {len(weights)} weights",
                f"expected one per value: {len(column.values)}",
                (f"{table}.values",),
            )
        )
    if weights and not problems and not 0 < sum(weights) < math.inf:
        problems.append(Problem(path, f"adds up to {sum(weights)}", "expected a finite sum above 0"))
    return problems
