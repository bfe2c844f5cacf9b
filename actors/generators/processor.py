"""Processors: a user's function over the rows of a row group, which may change and drop rows (R8)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from actors.generators.base import Generator, GeneratorError, GeneratorErrorKind, ModelCalls
from actors.generators.functions import FunctionTable, is_async, is_generator
from actors.generators.json_values import NotJsonError, isolated, json_value
from messages.job import Problem, Processor
from messages.worker import TaskStart

_RETURN = "return one entry per row: the row, True to keep it, None or False to drop it"


class ProcessorGenerator(Generator):
    """Calls a function with copies of the rows; fills no column of its own.

    Its result has one entry per row: None where the row is dropped, True where it is kept as it was, and
    otherwise a dict with the values that the row's columns have from now on.
    """

    def __init__(
        self, name: str, processor: Processor, function: Callable[..., Any], columns: tuple[str, ...]
    ) -> None:
        super().__init__(
            name,
            mode="async" if is_async(function) else "thread",
            task_type="pre_batch_processor" if processor.stage == "pre_batch" else "post_batch_processor",
            needs=columns,
            timeout_seconds=processor.timeout_seconds,
        )
        self.outputs = ()
        self._function = function
        self._columns = frozenset(columns)

    def run(self, start: TaskStart) -> list[Any]:
        """Call the plain function; the caller chooses the thread."""
        return self._checked(self._function(_rows(start)), start.rows)

    async def run_async(self, start: TaskStart, models: ModelCalls | None) -> list[Any]:
        """Call the async function; it makes no model calls of its own."""
        del models
        return self._checked(await self._function(_rows(start)), start.rows)

    def _checked(self, found: Any, rows: int) -> list[Any]:
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            raise self._unusable(
                "wrong_type", "returned an awaitable; declare the function `async def`, or await it"
            )
        if not isinstance(found, list | tuple):
            raise self._unusable("wrong_type", f"returned a {type(found).__name__}; {_RETURN}")
        if len(found) != rows:
            raise self._unusable("wrong_shape", f"returned {len(found)} entries for {rows} rows; {_RETURN}")
        return [self._verdict(entry, number) for number, entry in enumerate(found)]

    def _verdict(self, entry: Any, number: int) -> Any:
        if entry is None or entry is False:
            return None
        if entry is True:
            return True
        if not isinstance(entry, dict):
            raise self._unusable("wrong_type", f"returned a {type(entry).__name__} at [{number}]; {_RETURN}")
        added = [str(key) for key in entry if key not in self._columns]
        if added:
            raise self._unusable(
                "wrong_shape",
                f"returned {', '.join(map(repr, added))} at [{number}], which no column here has; "
                "a processor adds no columns",
            )
        try:
            changed: dict[str, Any] = json_value(entry)
        except NotJsonError as error:
            raise self._unusable(
                "wrong_type", f"returned at [{number}]{error.place}: {error.message}"
            ) from error
        return changed

    def _unusable(self, kind: GeneratorErrorKind, what: str) -> GeneratorError:
        return GeneratorError(kind, f"the function of processor {self.name!r} {what}")


def compile_processor(
    name: str, processor: Processor, columns: tuple[str, ...], functions: FunctionTable
) -> ProcessorGenerator | tuple[Problem, ...]:
    """Return the generator of a processor over `columns`, or everything that is wrong with it."""
    path = f"processors.{name}.function"
    function = functions.find(processor.function, path)
    if isinstance(function, Problem):
        return (function,)
    if is_generator(function):
        return (Problem(path, "is a generator function (it uses `yield`)", "return a list"),)
    try:
        inspect.signature(function).bind([])
    except TypeError as error:
        return (Problem(path, f"cannot be called with the list of rows: {error}", "take one argument"),)
    except ValueError:
        pass  # it does not say what its parameters are: the call will show
    return ProcessorGenerator(name, processor, function, columns)


def _rows(start: TaskStart) -> list[dict[str, Any]]:
    columns = [isolated(values) for values in start.inputs.values()]
    if not columns:
        return [{} for _ in range(start.rows)]
    return [dict(zip(start.inputs, values, strict=True)) for values in zip(*columns, strict=True)]
