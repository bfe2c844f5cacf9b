"""Columns that a user's function fills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from collections.abc import Set as AbstractSet
from typing import Any

from actors.generators.base import BlockingModelCalls, Generator, ModelCalls
from actors.generators.functions import FunctionTable, is_async, is_generator
from actors.generators.json_values import ATOMS, NotJsonError, isolated, json_value
from actors.generators.python_results import ResultShape
from actors.generators.seeds import column_seed, row_hash
from actors.generators.signatures import MODELS, Call, SignatureReader
from actors.generators.user_models import Deliver, UserModels
from messages.job import Job, Problem, PythonColumn
from messages.worker import TaskStart


class PythonGenerator(Generator):
    """Calls a function with copies of the row's values, so that it cannot change the row.

    A function that `takes_models` is given the job's models besides: `aliases` are their names.
    What the function raises passes through: the worker knows what to make of it.
    """

    def __init__(
        self,
        name: str,
        column: PythonColumn,
        function: Callable[..., Any],
        call: Call,
        *,
        aliases: tuple[str, ...],
        job_seed: int,
    ) -> None:
        super().__init__(
            name,
            mode="async" if is_async(function) else "thread",
            task_type=column.scope,
            outputs=_outputs(name, column),
            needs=call.needs,
            timeout_seconds=column.timeout_seconds,
            takes_models=call.takes_models,
        )
        self._function = function
        self._call = call
        self._aliases = aliases
        self._seed = column_seed(job_seed, name)
        self._checked = ResultShape(
            name, _outputs(name, column), column.side_effects, in_rows=column.scope != "cell"
        ).checked
        # The two shortcuts of the commonest case, a cell with one output: its inputs are the arguments
        # as they stand, and a plain value has no shape to be checked.
        self._is_direct = call.is_direct and column.scope == "cell"
        self._is_single = column.scope == "cell" and not _outputs(name, column)

    def run(self, start: TaskStart) -> Any:
        """Call the plain function; the caller chooses the thread."""
        if not start.rows:
            return self._nothing()
        positional, keywords = self._arguments(start, None)
        return self._checked(self._function(*positional, **keywords), start.rows)

    def run_with_models(self, start: TaskStart, models: BlockingModelCalls) -> Any:
        """Call the plain function with models, whose calls block its thread."""
        if not start.rows:
            return self._nothing()
        positional, keywords = self._arguments(start, self._models(start, models, models.wait_for))
        return self._checked(self._function(*positional, **keywords), start.rows)

    async def run_async(self, start: TaskStart, models: ModelCalls | None) -> Any:
        """Call the async function, with models if it takes them."""
        return self.finished(await self.begin(start, models), start)

    def begin(self, start: TaskStart, models: ModelCalls | None) -> Awaitable[Any]:
        """Return the async function's call, with models if it takes them."""
        if self._is_direct:
            inputs = start.inputs
            for value in inputs.values():
                if type(value) not in ATOMS:
                    inputs = {name: isolated(value) for name, value in inputs.items()}
                    break
            call: Awaitable[Any] = self._function(**inputs)
            return call
        if not start.rows:
            return _made(self._nothing())
        given = self._models(start, models, _awaited_by_the_function) if models is not None else None
        positional, keywords = self._arguments(start, given)
        other: Awaitable[Any] = self._function(*positional, **keywords)
        return other

    def finished(self, found: Any, start: TaskStart) -> Any:
        """Return what the function gave, if it is what its column takes."""
        if self._is_single and type(found) in ATOMS:
            try:
                return json_value(found)
            except NotJsonError:
                return self._checked(found, start.rows)  # tells it in the column's name
        return self._checked(found, start.rows)

    def _models(self, start: TaskStart, calls: ModelCalls, deliver: Deliver) -> UserModels:
        return UserModels(self._aliases, calls, seed=row_hash(self._seed, start.first_row), deliver=deliver)

    def _nothing(self) -> list[Any]:
        """Return the result for no rows: all that the batch was about were skipped or dropped meanwhile."""
        return [] if len(self.outputs) == 1 else [[] for _ in self.outputs]

    def _arguments(self, start: TaskStart, models: UserModels | None) -> tuple[list[Any], dict[str, Any]]:
        call, inputs = self._call, start.inputs
        if self.task_type == "from_scratch":
            inputs = {"rows": start.rows, "row_index": start.first_row}
        given = {
            name: isolated(inputs[name]) for name in (*call.positional, *call.keywords) if name in inputs
        }
        if call.takes_models:
            given[MODELS] = models
        return [given[name] for name in call.positional], {name: given[name] for name in call.keywords}


def compile_python(
    name: str,
    column: PythonColumn,
    job: Job,
    *,
    known: AbstractSet[str] | None,
    columns: AbstractSet[str],
    functions: FunctionTable,
) -> Generator | tuple[Problem, ...]:
    """Return the generator of a python column, or everything that is wrong with its function."""
    path = f"columns.{name}.function"
    function = functions.find(column.function, path)
    if isinstance(function, Problem):
        return (function,)
    if is_generator(function):
        return (Problem(path, "is a generator function (it uses `yield`)", "return the value, or a list"),)
    call = SignatureReader(name, column, known, columns, has_models=bool(job.models)).read(function)
    if isinstance(call, tuple):
        return call
    return PythonGenerator(name, column, function, call, aliases=tuple(job.models), job_seed=job.seed)


async def _made(value: Any) -> Any:
    return value


def _awaited_by_the_function(call: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    return call


def _outputs(name: str, column: PythonColumn) -> tuple[str, ...]:
    """Return what the function's result lists: empty where it is the value of the table's own column."""
    if not column.side_effects:
        return column.outputs
    return (*(column.outputs or (name,)), *column.side_effects)
