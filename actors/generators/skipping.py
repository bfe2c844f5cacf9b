"""Conditional columns: a condition decides per row whether the cell is made at all (R9)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from actors.generators.base import BlockingModelCalls, Generator, ModelCalls
from actors.generators.json_values import NotJsonError, isolated, json_value
from actors.generators.templates import Template, compile_template
from messages.job import Column, Problem
from messages.tasks import TaskOutcome
from messages.worker import TaskStart

_UNTRUE = frozenset({"", "false", "no", "none", "0"})


class SkippingGenerator(Generator):
    """Evaluates a condition for each row and leaves the others to the generator that it stands for.

    Where a row was skipped its result is a `TaskOutcome` that says so, with the default in the row's place.
    """

    def __init__(self, inner: Generator, condition: Template, default: Any) -> None:
        super().__init__(
            inner.name,
            mode=inner.mode,
            task_type=inner.task_type,
            outputs=inner.outputs,
            needs=tuple(dict.fromkeys((*inner.needs, *condition.needs))),
            timeout_seconds=inner.timeout_seconds,
            takes_models=inner.takes_models,
            calls_models=inner.calls_models,
        )
        self._inner = inner
        self._condition = condition
        self._default = default

    def run(self, start: TaskStart) -> Any:
        """Return the inner generator's result where the condition does not hold."""
        skipped = self._skipped(start)
        rest = self._rest(start, skipped)
        return self._joined(start, skipped, None if rest is None else self._inner.run(rest))

    def run_with_models(self, start: TaskStart, models: BlockingModelCalls) -> Any:
        """Return what `run` does, for an inner generator that takes models."""
        skipped = self._skipped(start)
        rest = self._rest(start, skipped)
        return self._joined(
            start, skipped, None if rest is None else self._inner.run_with_models(rest, models)
        )

    async def run_async(self, start: TaskStart, models: ModelCalls | None) -> Any:
        """Return what `run` does, for an inner generator that runs as a coroutine."""
        skipped = self._skipped(start)
        rest = self._rest(start, skipped)
        made = None if rest is None else await self._inner.run_async(rest, models)
        return self._joined(start, skipped, made)

    def _skipped(self, start: TaskStart) -> tuple[int, ...]:
        """Return which of the task's rows the condition holds for, by their position."""
        inputs = start.inputs
        if self.task_type == "cell":
            return (0,) if self._holds(inputs) else ()
        names = self._condition.needs
        rows = zip(*(inputs[name] for name in names), strict=True)
        return tuple(at for at, row in enumerate(rows) if self._holds(dict(zip(names, row, strict=True))))

    def _holds(self, row: dict[str, Any]) -> bool:
        return self._condition.render(row).strip().lower() not in _UNTRUE

    def _rest(self, start: TaskStart, skipped: tuple[int, ...]) -> TaskStart | None:
        """Return the task without what is skipped, None where nothing is left.

        What is made from scratch is made for every row, so that a value depends on its row alone (R12).
        """
        inputs = {name: start.inputs[name] for name in self._inner.needs}
        if not skipped or self.task_type == "from_scratch":
            return TaskStart(start.lease, start.task, inputs, start.first_row, start.rows)
        if len(skipped) == start.rows:
            return None
        gone = frozenset(skipped)
        inputs = {
            name: [value for at, value in enumerate(values) if at not in gone]
            for name, values in inputs.items()
        }
        return TaskStart(start.lease, start.task, inputs, start.first_row, start.rows - len(skipped))

    def _joined(self, start: TaskStart, skipped: tuple[int, ...], made: Any) -> Any:
        if not skipped:
            return made
        outputs = len(self.outputs)
        if self.task_type == "cell":
            default = isolated(self._default)
            return TaskOutcome("success", default if outputs == 1 else [default] * outputs, skipped=skipped)
        parts = ([] if made is None else [made]) if outputs == 1 else made or []
        columns = [self._filled(part, start.rows, frozenset(skipped)) for part in parts or [[]] * outputs]
        return TaskOutcome("success", columns[0] if outputs == 1 else columns, skipped=skipped)

    def _filled(self, values: list[Any], rows: int, skipped: frozenset[int]) -> list[Any]:
        """Return one value per row: the default where it was skipped."""
        if self.task_type == "from_scratch":
            return [isolated(self._default) if at in skipped else values[at] for at in range(rows)]
        kept = iter(values)
        return [isolated(self._default) if at in skipped else next(kept) for at in range(rows)]


def conditional(
    inner: Generator, column: Column, *, known: AbstractSet[str] | None, columns: AbstractSet[str]
) -> Generator | tuple[Problem, ...]:
    """Return the generator under its column's condition, or everything that is wrong with that."""
    assert column.skip is not None
    path = f"columns.{inner.name}.skip"
    condition = compile_template(inner.name, path, column.skip, known=known, columns=columns)
    if isinstance(condition, tuple):
        return condition
    if not condition.needs:
        found = "names no column, so it says the same of every row"
        return (Problem(path, found, "write it over a column, such as {{ mood == 'calm' }}"),)
    made = [name for name in condition.needs if name in columns]
    if inner.task_type == "from_scratch" and made:
        found = (
            f"names {', '.join(map(repr, made))}, but the column is made from scratch, before other columns"
        )
        return (Problem(path, found, "use the source's fields only, or an expression column"),)
    return SkippingGenerator(inner, condition, column.skip_default)


def default_problems(name: str, column: Column) -> tuple[Problem, ...]:
    """Return why the column's `skip_default` cannot be a row's value, if it cannot."""
    try:
        json_value(column.skip_default)
    except NotJsonError as error:
        return (Problem(f"columns.{name}.skip_default{error.place}", error.message),)
    return ()
